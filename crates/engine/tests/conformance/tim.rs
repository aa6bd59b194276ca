//! Timers and the life of a binding.

use std::time::Duration;

use magpie_engine::{BindingState, Config, Discard, Input, LinkConfig, Timing};

use crate::bench::{Bench, ok_na, probe, search};
use crate::frame::{dad, na, ns, ra};
use crate::names::{DN, EVIL, MA, MC, MH, MU, MZ, UP, X, Y, Z, ip, p, station};

/// Maintenance to the second.
fn punctual() -> Config {
    let timing = Timing { alarm_interval: Duration::from_secs(1), ..Timing::default() };
    Config { timing, ..Config::default() }
}

#[test]
fn tim_01_reachability_lasts_a_random_time() {
    let mut bench = Bench::new();
    for number in 1..=100 {
        let target = p(0x100 + number);
        bench.host(target, DN, station(number));
        bench.hear(UP, &ns(target));
    }
    let reachable = |bench: &Bench| {
        bench
            .engine
            .bindings(bench.now)
            .filter(|binding| binding.state == BindingState::Reachable)
            .count()
    };
    bench.advance_ms(14_900);
    assert_eq!(reachable(&bench), 100);
    bench.advance(Duration::from_secs(15));
    let half = reachable(&bench);
    assert!((25..=75).contains(&half), "{half} of 100 after half the range");
    bench.advance_ms(15_200);
    assert_eq!(reachable(&bench), 0);
    assert_eq!(bench.engine.bindings(bench.now).count(), 100, "stale, not gone");
}

#[test]
fn tim_02_what_is_stale_is_verified_before_it_is_advertised() {
    let mut bench = Bench::known_x();
    bench.station(X).deaf = true;
    bench.advance(Duration::from_secs(46));
    bench.forget_log();
    bench.hear(UP, &ns(X));
    bench.advance_ms(260);
    assert_eq!(bench.heard_in_time(), [(0, probe(X, MH)), (250, probe(X, MH))]);
    bench.hear(DN, &na(X, MH));
    assert_eq!(bench.heard(), [ok_na(X)]);
}

#[test]
fn tim_03_silence_ends_a_binding_after_five_probes() {
    let mut bench = Bench::with(punctual());
    bench.known(X, DN);
    bench.power_off(X);
    bench.advance_ms(300_900);
    let expected: Vec<_> = [60_000, 120_000, 180_000]
        .map(|at| (at, probe(X, MH)))
        .into_iter()
        .chain([240_000, 300_000].map(|at| (at, search(X))))
        .collect();
    assert_eq!(bench.heard_in_time(), expected);
    assert_eq!(bench.place(X), "dn mH stale");
    bench.advance_ms(100);
    assert_eq!(bench.binding(X), None);
    let said = bench.transcript();
    assert_eq!(
        said,
        [
            "leave up ff02::1:ff00:21",
            "leave dn ff02::1:ff00:21",
            "unroute P::21 dn",
            "forgotten P::21 dn silent",
        ]
    );
    assert!(bench.routes.is_empty());
    assert!(!bench.groups.contains(&(UP, ip("ff02::1:ff00:21"))));
}

#[test]
fn tim_03_by_default_maintenance_waits_for_company() {
    let mut bench = Bench::known_x();
    bench.power_off(X);
    bench.advance(Duration::from_secs(290));
    assert!(bench.binding(X).is_some());
    bench.advance(Duration::from_secs(40));
    assert_eq!(bench.binding(X), None);
}

#[test]
fn tim_03_a_sign_of_life_starts_over() {
    let mut bench = Bench::with(punctual());
    bench.known(X, DN);
    bench.station(X).deaf = true;
    bench.advance(Duration::from_secs(250));
    bench.hear(DN, &ns(p(0x10)).by(MH, X));
    bench.advance(Duration::from_secs(250));
    assert_eq!(bench.place(X), "dn mH stale");
}

#[test]
fn tim_03_any_number_of_probes_can_be_configured() {
    for probe_retries in [0, 1, 2, 255] {
        let timing = Timing { probe_retries, ..punctual().timing };
        let mut bench = Bench::with(Config { timing, ..Config::default() });
        bench.known(X, DN);
        bench.power_off(X);
        let probes = u64::from(probe_retries).max(1);
        bench.advance(Duration::from_secs(60 * probes - 1));
        assert!(bench.binding(X).is_some(), "{probe_retries}");
        bench.advance(Duration::from_secs(2));
        assert_eq!(bench.binding(X), None, "{probe_retries}");
        let sent = bench.heard().len();
        assert_eq!(sent, probe_retries.into(), "each probe is sent");
    }
}

#[test]
fn tim_03_only_a_question_that_was_asked_can_remain_unanswered() {
    // More hosts than the budget of probes reaches when they fall due together.
    const HOSTS: u16 = 3_000;
    let mut bench = Bench::new();
    for number in 0..HOSTS {
        let (target, lladdr) = (p(0x1000 + number), station(number));
        bench.host(target, DN, lladdr);
        bench.handle(Input::Restore { target, link: DN, lladdr: Some(lladdr) });
    }
    bench.advance(Duration::from_secs(6 * 60));
    let told = bench.told();
    assert!(told.iter().all(|text| text.starts_with("found")), "nobody was forgotten");
    assert_eq!(told.len(), HOSTS.into());
    let overdue = bench
        .engine
        .bindings(bench.now)
        .filter(|binding| binding.confirmed.is_none_or(|age| age > Duration::from_secs(80)));
    assert_eq!(overdue.count(), 0, "all had their turn");
}

#[test]
fn tim_03_where_nothing_can_be_asked_nobody_is_forgotten() {
    let mut bench = Bench::known_x();
    bench.address_in_state(DN, "fe80::11/64", true);
    bench.advance(Duration::from_secs(3600));
    assert_eq!(bench.place(X), "dn mH stale");
    assert_eq!(bench.transcript(), Vec::<String>::new());
    bench.address(DN, "fe80::11/64");
    assert_eq!(bench.place(X), "dn mH reachable");
}

#[test]
fn tim_04_a_host_that_sleeps_keeps_its_binding() {
    // Nobody asks meanwhile.
    let mut bench = Bench::known_x();
    bench.advance(Duration::from_secs(65));
    bench.station(X).deaf = true;
    bench.advance(Duration::from_secs(10));
    bench.station(X).deaf = false;
    bench.forget_log();
    bench.hear(UP, &ns(X));
    bench.advance(Duration::from_secs(1));
    assert_eq!(bench.heard().last(), Some(&ok_na(X)));
    assert!(bench.told().iter().all(|text| !text.starts_with("forgotten")));
}

#[test]
fn tim_04_even_if_somebody_asks_while_it_sleeps() {
    let mut bench = Bench::known_x();
    bench.advance(Duration::from_secs(46));
    bench.station(X).deaf = true;
    bench.forget_log();
    for _ in 0..10 {
        bench.hear(UP, &ns(X));
        bench.advance(Duration::from_secs(1));
    }
    let said = bench.transcript();
    assert!(said.iter().all(|text| !text.starts_with("forgotten")), "{said:?}");
    assert!(said.iter().all(|text| !text.contains("NA")), "{said:?}");
    let multicast = said.iter().filter(|text| **text == search(X)).count();
    assert!(multicast <= 10, "{multicast} questions to everybody in 10 s");
    assert_eq!(bench.routes.get(&X), Some(&DN));
    bench.station(X).deaf = false;
    bench.hear(UP, &ns(X));
    bench.advance(Duration::from_secs(1));
    assert!(bench.heard().contains(&ok_na(X)), "first ping within a second");
}

#[test]
fn tim_05_after_a_long_pause_everything_is_verified_before_use() {
    let mut bench = Bench::known_x();
    bench.station(X).deaf = true;
    bench.now = bench.now + Duration::from_secs(400);
    bench.handle(Input::Timeout);
    assert!(bench.binding(X).is_some(), "one missed deadline is not five unanswered probes");
    bench.forget_log();
    bench.hear(UP, &ns(X));
    assert_eq!(bench.heard(), [probe(X, MH)]);
    bench.hear(DN, &na(X, MH));
    assert_eq!(bench.heard(), [ok_na(X)]);
}

#[test]
fn tim_05_even_if_the_question_comes_before_the_timeout() {
    let mut bench = Bench::known_x();
    bench.station(X).deaf = true;
    bench.now = bench.now + Duration::from_secs(400);
    bench.hear(UP, &ns(X));
    assert_eq!(bench.heard(), [probe(X, MH)]);
}

#[test]
fn tim_05_after_a_pause_what_was_under_way_is_over() {
    let pause = Duration::from_secs(400);
    let answer_delay = Duration::from_secs(1);
    let mut config = punctual();
    config.links = vec![LinkConfig { answer_delay, ..LinkConfig::default() }];
    let mut bench = Bench::with(config);
    bench.known(X, DN);
    bench.known(Z, DN);
    bench.hear(UP, &ns(X));
    bench.hear(UP, &ns(Y));
    bench.hear(DN, &dad(p(0x55), MC).nonce(1));
    bench.hear(UP, &dad(Z, EVIL).nonce(2));
    bench.station(X).deaf = true;
    bench.forget_log();
    bench.resume_after(pause);
    let said = bench.transcript();
    assert!(said.iter().all(|said| !said.contains(" NA ")), "nothing is promised: {said:?}");
    let passed_on = |said: &String| said.contains(" ::>");
    assert!(!said.iter().any(passed_on), "a probe of long ago is not passed on: {said:?}");
    assert!(said.contains(&probe(X, MH)) && said.contains(&probe(Z, MZ)), "{said:?}");
    assert_eq!(bench.engine.resolutions(), 0);
    assert_eq!(bench.place(X), "dn mH probing");
    assert_eq!(bench.place(Z), "dn mZ reachable");
    bench.hear(DN, &na(Y, MU));
    bench.advance(Duration::from_secs(10));
    let said = bench.heard();
    assert!(said.iter().all(|said| !said.contains(" NA ")), "nobody waits any longer: {said:?}");
    bench.station(X).deaf = false;
    bench.hear(UP, &ns(X).unicast(MA));
    assert_eq!(bench.heard(), [probe(X, MH), ok_na(X)]);
}

#[test]
fn tim_05_a_contested_address_is_looked_for_everywhere() {
    let mut bench = Bench::known_x();
    bench.station(X).link = UP;
    bench.hear(UP, &ns(p(0x10)).by(MH, X));
    bench.resume_after(Duration::from_secs(400));
    bench.advance(Duration::from_secs(2));
    assert_eq!(bench.place(X), "up mH reachable");
}

#[test]
fn tim_05_ten_thousand_hosts_are_verified_within_the_budget() {
    const HOSTS: u16 = 10_000;
    let mut bench = Bench::new();
    for number in 0..HOSTS {
        let (target, lladdr) = (p(0x1000 + number), station(number));
        bench.host(target, DN, lladdr);
        bench.handle(Input::Restore { target, link: DN, lladdr: Some(lladdr) });
    }
    bench.advance(Duration::from_secs(60));
    bench.forget_log();
    bench.resume_after(Duration::from_secs(400));
    assert!(bench.heard().len() <= 1_024);
    let asked = p(0x1000 + HOSTS - 1);
    bench.hear(UP, &ns(asked));
    let said = bench.heard();
    assert_eq!(said.last(), Some(&ok_na(asked)), "who is asked for has its turn at once: {said:?}");
    bench.advance(Duration::from_secs(20));
    let said = bench.heard_in_time();
    let solicits: Vec<_> = said.iter().filter(|(_, said)| said.contains(" NS ")).collect();
    for second in 0..20 {
        let within = (second * 1_000)..((second + 1) * 1_000);
        let count = solicits.iter().filter(|(at, _)| within.contains(at)).count();
        assert!(count <= 1_024, "{count} in second {second}");
    }
    assert!((9_000..10_000).contains(&solicits.len()), "each once: {}", solicits.len());
    let verified = bench
        .engine
        .bindings(bench.now)
        .filter(|binding| binding.confirmed.is_some_and(|age| age < Duration::from_secs(21)));
    assert_eq!(verified.count(), HOSTS.into());
}

#[test]
fn tim_05_a_pause_is_no_silence() {
    let mut bench = Bench::with(punctual());
    bench.known(X, DN);
    bench.station(X).deaf = true;
    for _ in 0..10 {
        bench.resume_after(Duration::from_secs(400));
        bench.advance(Duration::from_secs(2));
        assert_eq!(bench.place(X), "dn mH stale");
    }
    assert_eq!(bench.routes.get(&X), Some(&DN));
}

#[test]
fn tim_08_lookups_and_askers_are_bounded() {
    let mut bench = Bench::new();
    let mut rng = fastrand::Rng::with_seed(8);
    for _ in 0..100_000 {
        let target = std::net::Ipv6Addr::from(u128::from(p(0)) | u128::from(rng.u64(1 << 32..)));
        bench.hear(UP, &ns(target));
        bench.advance_ms(36);
        bench.forget_log();
        assert!(bench.engine.resolutions() <= 256);
        assert!(bench.engine.held_down() <= 4_096);
    }
    assert_eq!(bench.engine.bindings(bench.now).count(), 0);
}

#[test]
fn tim_08_a_burst_fills_no_more_than_the_table() {
    let mut bench = Bench::new();
    let mut rng = fastrand::Rng::with_seed(8);
    for _ in 0..10_000 {
        let target = std::net::Ipv6Addr::from(u128::from(p(0)) | u128::from(rng.u64(1 << 32..)));
        bench.hear(UP, &ns(target));
    }
    assert_eq!(bench.engine.resolutions(), 256);
    assert_eq!(bench.counter(Discard::ResolutionsFull), 10_000 - 256);
    assert_eq!(bench.told(), ["refused up resolutions-full"], "reported once");
    bench.advance(Duration::from_secs(10));
    assert_eq!(bench.engine.resolutions(), 0);
}

#[test]
fn tim_09_timers_of_router_advertisements_are_ignored() {
    let mut bench = Bench::new();
    bench.hear(UP, &ra(p(0), 3600, 5_000));
    bench.hear(DN, &ra(p(0), 3600, 5_000));
    bench.forget_log();
    bench.hear(UP, &ns(Y));
    bench.advance(Duration::from_secs(10));
    let expected: Vec<_> = [0, 1_000, 2_000].map(|at| (at, search(Y))).to_vec();
    assert_eq!(bench.heard_in_time(), expected);
}
