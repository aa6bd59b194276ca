//! Neighbor Advertisements that go out.

use std::collections::BTreeSet;
use std::net::Ipv6Addr;
use std::time::Duration;

use magpie_engine::{
    Announce, BindingState, Config, Discard, Input, KernelEvent, LinkConfig, LinkId, NaSource,
    Prefixes,
};
use magpie_wire::{Message, Packet};

use crate::bench::{Bench, ok_na, probe, search};
use crate::frame::{dad, na, ns};
use crate::names::{DN, EVIL, MA, MB, MH, MU, THIRD, U, UP, X, Y, ip, link_local, p, station};

#[test]
fn nao_01_answer_goes_to_the_asker_alone() {
    let mut bench = Bench::known_x();
    bench.hear(UP, &ns(X));
    assert_eq!(bench.heard(), [ok_na(X)]);
    bench.hear(UP, &ns(X).by(EVIL, p(0x99)));
    assert!(bench.heard().contains(&"up mA>evil fe80::10>P::99 NA P::21 S +TLLA mA".to_owned()));
}

#[test]
fn nao_02_defense_goes_to_all_nodes_unsolicited() {
    let mut bench = Bench::known_x();
    bench.hear(UP, &dad(X, EVIL));
    assert_eq!(
        bench.heard(),
        [probe(X, MH), "up mA>33:33:00:00:00:01 fe80::10>ff02::1 NA P::21 - +TLLA mA".to_owned(),]
    );
}

#[test]
fn nao_03_a_solicited_answer_never_overrides() {
    let mut bench = Bench::new();
    let mut rng = fastrand::Rng::with_seed(3);
    for number in 1..=20 {
        bench.known_at(p(0x100 + number), DN, station(number));
    }
    let mut answers = 0;
    for _ in 0..1000 {
        let frame = ns(p(0x100 + rng.u16(1..=20))).by(station(rng.u16(100..110)), U);
        let frame = if rng.bool() { frame.unicast(MA) } else { frame };
        bench.hear(UP, &frame);
        for sent in bench.sent() {
            if let Message::Advert(advert) = sent.packet.message {
                assert!(advert.solicited && !advert.overrides);
                answers += 1;
            }
        }
        bench.forget_log();
        bench.advance(Duration::from_millis(rng.u64(0..500)));
    }
    assert!(answers > 900, "{answers}");
}

#[test]
fn nao_04_link_layer_address_is_always_included() {
    let mut bench = Bench::known_x();
    for frame in [ns(X), ns(X).unicast(MA), ns(X).unicast(MA).bare()] {
        bench.advance_ms(100);
        bench.hear(UP, &frame);
        assert_eq!(bench.heard(), [ok_na(X)]);
    }
}

#[test]
fn nao_05_router_flag_is_that_of_the_target() {
    let mut bench = Bench::new();
    bench.host(X, DN, MH);
    bench.station(X).flags = "RSO";
    bench.hear(UP, &ns(X));
    let router = "up mA>mU fe80::10>fe80::1 NA P::21 RS +TLLA mA".to_owned();
    assert_eq!(bench.heard(), [search(X), router.clone()]);
    bench.hear(UP, &ns(X).unicast(MA));
    assert_eq!(bench.heard(), [router]);
    assert!(bench.binding(X).is_some_and(|binding| binding.router));

    bench.station(X).flags = "SO";
    bench.advance(Duration::from_secs(46));
    bench.hear(UP, &ns(X));
    assert_eq!(bench.heard(), [probe(X, MH), ok_na(X)]);
}

#[test]
fn nao_06_an_answer_octet_by_octet() {
    let mut bench = Bench::known_x();
    bench.hear(UP, &ns(X));
    let golden = na(X, MA).flags("S").to(MU, U).source(ip("fe80::10")).bytes();
    assert_eq!(bench.frames(), [(UP, golden)]);
    let mut bench = Bench::known_x();
    bench.hear(UP, &dad(X, EVIL));
    let golden = na(X, MA).flags("").for_all().source(ip("fe80::10")).bytes();
    assert_eq!(bench.frames().last(), Some(&(UP, golden)));
}

#[test]
fn nao_07_source_is_an_assigned_address_of_the_sending_link() {
    let prefixes = Prefixes::only(vec!["2001:db8:1::/64".parse().unwrap()]);
    let config = Config { prefixes, ..Config::default() };
    let mut bench = Bench::with(config.clone());
    bench.address_gone(UP, p(0x10));
    bench.address(DN, "2001:db8:1::11/64");
    bench.known(X, DN);
    bench.hear(UP, &ns(X));
    assert_eq!(bench.heard(), [ok_na(X)]);

    // A tentative link-local address is not used, an assigned global one is.
    let mut bench = Bench::with(config.clone());
    bench.known(X, DN);
    bench.address_in_state(UP, "fe80::10/64", true);
    bench.hear(UP, &ns(X));
    assert_eq!(bench.heard(), ["up mA>mU P::10>fe80::1 NA P::21 S +TLLA mA"].map(String::from));

    // Without any, nothing is sent, least of all from another link's address.
    let mut bench = Bench::with(config);
    bench.known(X, DN);
    bench.address_gone(UP, p(0x10));
    bench.address_gone(UP, ip("fe80::10"));
    bench.ignores(UP, &ns(X), Discard::NoSource);
}

#[test]
fn nao_08_source_can_be_chosen() {
    for (na_source, expected) in [
        (NaSource::LinkLocal, "fe80::10"),
        (NaSource::Global, "P::10"),
        (NaSource::Target, "P::21"),
    ] {
        let config = Config::alike(LinkConfig { na_source, ..LinkConfig::default() });
        let mut bench = Bench::with(config);
        bench.known(X, DN);
        bench.hear(UP, &ns(X));
        let expected = format!("up mA>mU {expected}>fe80::1 NA P::21 S +TLLA mA");
        assert_eq!(bench.heard(), [expected]);
    }
}

#[test]
fn nao_09_ethernet_source_is_that_of_the_link() {
    let mut bench = Bench::known_x();
    bench.link(UP, station(9), true);
    bench.hear(UP, &ns(X));
    let own = station(9);
    assert_eq!(bench.heard(), [format!("up {own}>mU fe80::10>fe80::1 NA P::21 S +TLLA {own}")]);
}

#[test]
fn nao_10_answers_to_everybody_are_spread_if_so_configured() {
    let answer_delay = Duration::from_secs(1);
    let config = Config::alike(LinkConfig { answer_delay, ..LinkConfig::default() });
    let mut bench = Bench::with(config);
    bench.known(X, DN);
    for number in 0..50 {
        bench.hear(UP, &ns(X).by(station(number), link_local(0x1000 + number)));
    }
    let mut delays = Vec::new();
    bench.advance_ms(10);
    let early = bench.sent().count();
    bench.advance_ms(990);
    for (at, said) in bench.heard_in_time() {
        assert!(said.contains("NA P::21 S"), "{said}");
        delays.push(at);
    }
    assert_eq!(delays.len(), 50);
    assert!(early < 10, "{early} came at once");
    let early = delays.iter().filter(|delay| **delay < 500).count();
    assert!((10..=40).contains(&early), "{early} of 50 in the first half");

    bench.advance_ms(100);
    bench.hear(UP, &ns(X).unicast(MA));
    assert_eq!(bench.heard(), [ok_na(X)], "a probe to one node is not delayed");
    bench.hear(UP, &dad(X, EVIL));
    assert_eq!(bench.heard().len(), 2, "a defense is not delayed");
}

#[test]
fn nao_10_a_delayed_answer_that_is_no_longer_true_is_not_given() {
    let answer_delay = Duration::from_secs(1);
    let config = Config::alike(LinkConfig { answer_delay, ..LinkConfig::default() });
    let mut bench = Bench::with(config);
    bench.known(X, DN);
    bench.hear(UP, &ns(X));
    bench.link(DN, MB, false);
    bench.silence();
}

#[test]
fn nao_10_answers_come_at_once_by_default() {
    let mut bench = Bench::known_x();
    bench.hear(UP, &ns(X));
    assert_eq!(bench.heard_in_time(), [(0, ok_na(X))]);
}

#[test]
fn nao_11_what_the_kernel_answers_we_do_not() {
    let mut bench = Bench::known_x();
    bench.kernel(KernelEvent::ProxyNeighbor { link: UP, target: X });
    bench.ignores(UP, &ns(X), Discard::KernelProxy);
}

#[test]
fn nao_12_the_host_route_is_there_before_the_first_answer() {
    let mut bench = Bench::new();
    bench.host(X, DN, MH);
    bench.hold_acks();
    bench.hear(UP, &ns(X));
    bench.advance_ms(500);
    let said = bench.transcript();
    assert!(said.contains(&"route P::21 dn".to_owned()), "{said:?}");
    assert!(!said.contains(&ok_na(X)), "{said:?}");
    bench.ack();
    assert_eq!(bench.heard(), [ok_na(X)]);
}

#[test]
fn nao_13_a_move_is_announced_where_the_host_has_left() {
    let mut bench = Bench::known_x();
    bench.station(X).link = UP;
    bench.hear(UP, &dad(X, MH).nonce(1));
    bench.advance(Duration::from_secs(1));
    let said = bench.transcript();
    assert!(said.contains(&"moved P::21 dn>up mH".to_owned()), "{said:?}");
    let announcement = "dn mB>33:33:00:00:00:01 fe80::11>ff02::1 NA P::21 O +TLLA mB".to_owned();
    let route = said.iter().position(|text| text == "route P::21 up").expect("the route");
    let first = said.iter().position(|text| *text == announcement).expect("the announcement");
    assert!(route < first, "{said:?}");
    bench.advance(Duration::from_secs(30));
    let on_dn: Vec<_> =
        bench.heard_in_time().into_iter().filter(|(_, text)| text.starts_with("dn")).collect();
    assert_eq!(
        on_dn,
        [(1_000, announcement.clone()), (2_000, announcement)],
        "three in all, one second apart"
    );
}

#[test]
fn nao_13_a_move_since_an_earlier_run_is_announced_too() {
    let mut bench = Bench::new();
    bench.handle(Input::Restore { target: X, link: UP, lladdr: Some(MH) });
    bench.host(X, DN, MH);
    bench.forget_log();
    bench.hear(DN, &ns(Y).by(MH, X));
    bench.advance(Duration::from_secs(1));
    assert_eq!(bench.place(X), "dn mH reachable");
    let said = bench.heard();
    assert!(said.iter().any(|text| text.starts_with("up") && text.contains("NA")), "{said:?}");
}

#[test]
fn nao_13_a_move_that_may_be_over_is_not_announced_again() {
    let mut bench = Bench::known_x();
    bench.station(X).link = UP;
    bench.hear(UP, &dad(X, MH).nonce(1));
    bench.advance(Duration::from_secs(1));
    bench.forget_log();
    // X is on its way back: an announcement now would deny it its own address.
    bench.power_off(X);
    bench.advance(Duration::from_secs(30));
    let said = bench.heard();
    assert!(said.iter().all(|text| !text.contains("NA")), "{said:?}");
}

#[test]
fn nao_13_our_kernels_question_does_not_stand_in_for_an_answer() {
    let mut bench = Bench::known_x();
    bench.station(X).link = UP;
    bench.hear(UP, &dad(X, MH).nonce(1));
    bench.advance(Duration::from_secs(1));
    bench.power_off(X);
    // The next announcement waits for an answer that does not come.
    bench.advance_ms(1_050);
    bench.forget_log();
    bench.kernel_sends(DN, &ns(X));
    bench.advance(Duration::from_secs(5));
    let said = bench.heard();
    assert!(said.iter().all(|text| !text.contains("NA")), "{said:?}");
}

/// Targets of what was said without having been asked on up, in order.
fn told_on_up(bench: &Bench) -> Vec<Ipv6Addr> {
    bench
        .sent()
        .filter_map(|sent| match sent.packet.message {
            Message::Advert(advert) if !advert.solicited && sent.link == UP => Some(advert.target),
            _ => None,
        })
        .collect()
}

#[test]
fn nao_14_a_thousand_hosts_are_announced_at_a_hundred_a_second() {
    const HOSTS: u16 = 1_000;
    let mut bench = Bench::new();
    for number in 0..HOSTS {
        bench.known_at(p(0x1000 + number), DN, station(number));
    }
    // Most of them were confirmed some time ago. Two were asked for lately, one just now.
    let urgent = [p(0x1100), p(0x1234)];
    bench.hear(UP, &ns(urgent[1]));
    bench.advance(Duration::from_secs(1));
    bench.hear(UP, &ns(urgent[0]));
    bench.advance(Duration::from_secs(1));
    bench.forget_log();
    let new = station(0x9999);
    bench.link(UP, new, true);
    bench.advance(Duration::from_secs(60));
    let told = told_on_up(&bench);
    let own = [ip("fe80::10"), p(0x10)];
    assert_eq!(told[..2], own);
    assert_eq!(told[2..4], urgent, "those who need it first");
    let hosts: BTreeSet<_> = told[2..].iter().collect();
    assert_eq!((hosts.len(), told.len()), (HOSTS.into(), usize::from(HOSTS) + 2), "each once");
    let mut times = Vec::new();
    for (at, said) in bench.heard_in_time() {
        if said.contains(" NA ") {
            assert!(said.ends_with(&format!("O +TLLA {new}")), "{said}");
            times.push(at);
        }
    }
    let most = (0..times.len())
        .map(|index| times[index..].iter().take_while(|at| **at < times[index] + 1_000).count())
        .max();
    assert!(most <= Some(100), "{most:?} within a second");
    // Who had been silent for some time is asked first.
    assert!(times.last() <= Some(&21_000), "{:?}", times.last());
}

#[test]
fn nao_14_nothing_is_told_of_a_host_that_does_not_answer() {
    let mut bench = Bench::known_x();
    bench.known(p(0x22), DN);
    bench.power_off(X);
    bench.advance(Duration::from_secs(46));
    bench.forget_log();
    bench.link(UP, station(0x99), true);
    bench.advance(Duration::from_secs(30));
    let told = told_on_up(&bench);
    assert!(!told.contains(&X), "{told:?}");
    assert!(told.contains(&p(0x22)), "{told:?}");
}

#[test]
fn nao_14_a_host_that_moves_meanwhile_is_not_denied_its_address() {
    let mut bench = Bench::known_x();
    bench.station(X).link = UP;
    bench.hear(UP, &dad(X, MH).nonce(1));
    bench.link(UP, station(0x99), true);
    bench.advance(Duration::from_secs(10));
    assert_eq!(bench.place(X), "up mH reachable");
    assert!(!told_on_up(&bench).contains(&X));
}

#[test]
fn nao_14_after_a_takeover_neighbors_are_told_where_to_send() {
    let mut bench = Bench::known_x();
    assert_eq!(bench.announce(Some(UP)), 3);
    bench.advance(Duration::from_secs(2));
    assert_eq!(told_on_up(&bench), [ip("fe80::10"), p(0x10), X]);
    bench.advance(Duration::from_secs(10));
    bench.forget_log();
    assert_eq!(bench.announce(None), 3 + 2);
    bench.advance(Duration::from_secs(2));
    let is_told = |said: &String| said.starts_with("dn") && said.contains(" NA ");
    let on_dn: Vec<_> = bench.heard().into_iter().filter(is_told).collect();
    let told = |target| format!("dn mB>33:33:00:00:00:01 fe80::11>ff02::1 NA {target} RO +TLLA mB");
    assert_eq!(on_dn, [told("P::10"), told("fe80::11")]);
    assert_eq!(bench.announce(Some(THIRD)), 0);
}

#[test]
fn nao_14_who_detects_duplicates_on_that_very_link_is_not_told_of_itself() {
    let mut bench = Bench::known_x();
    bench.advance(Duration::from_secs(5));
    // It has moved to up, and nothing has been heard of it yet.
    bench.power_off(X);
    bench.announce(Some(UP));
    bench.advance(Duration::from_secs(2));
    assert_eq!(told_on_up(&bench), [ip("fe80::10"), p(0x10)]);
}

#[test]
fn nao_14_hosts_behind_another_proxy_are_announced_once_they_have_answered() {
    let mut bench = Bench::new();
    for number in 0..20 {
        bench.host(p(0x1000 + number), DN, station(1));
        // What a proxy says: without the O flag.
        bench.stations.last_mut().expect("it was just added").flags = "S";
        bench.hear(UP, &ns(p(0x1000 + number)));
        bench.advance(Duration::from_secs(1));
    }
    bench.known(X, DN);
    bench.forget_log();
    bench.link(UP, station(0x99), true);
    bench.advance(Duration::from_secs(3));
    let told: BTreeSet<_> = told_on_up(&bench).into_iter().collect();
    assert_eq!(told.len(), 2 + 20 + 1, "{told:?}");
    bench.advance(Duration::from_secs(10));
    let asked = bench.sent().filter(|sent| matches!(sent.packet.message, Message::Solicit(_)));
    // Once for the round and once for its repetition.
    assert!(asked.count() <= 2 * 21);
}

#[test]
fn nao_14_a_short_round_is_repeated_when_it_is_time_and_no_sooner() {
    let mut bench = Bench::known_x();
    bench.link(UP, station(0x99), true);
    bench.advance(Duration::from_secs(1));
    // Meanwhile there is something else to tell.
    bench.host(p(0x31), DN, station(0x31));
    bench.hear(DN, &ns(X).by(station(0x31), p(0x31)));
    bench.advance(Duration::from_secs(20));
    let said = bench.heard_in_time();
    let told = |target: &str| -> Vec<_> {
        let is_it = |said: &str| said.contains(&format!("ff02::1 NA {target} "));
        said.iter().filter(|(_, said)| is_it(said)).map(|(at, _)| *at).collect()
    };
    let [first, second] = told("P::21")[..] else { panic!("{said:?}") };
    assert!((3_000..3_100).contains(&(second - first)), "{said:?}");
    assert!(told("P::31").first().is_some_and(|at| *at < 1_100), "{said:?}");
}

#[test]
fn nao_14_the_next_change_does_not_wait_for_the_repetition_of_the_last() {
    let mut bench = Bench::known_x();
    for number in 0..3 {
        bench.link(UP, station(0x90 + number), true);
        bench.advance_ms(500);
        assert!(told_on_up(&bench).contains(&X), "change {number}");
        bench.forget_log();
    }
}

#[test]
fn nao_14_what_is_not_told_of_does_not_end_the_round() {
    let mut bench = Bench::new();
    for number in 0..300 {
        bench.known_at(p(0x1000 + number), DN, station(number));
        bench.foreign_route(p(0x1000 + number), LinkId(99));
    }
    bench.known_at(p(0x2000), DN, station(0x2000));
    bench.link(UP, station(0x9999), true);
    bench.advance(Duration::from_secs(1));
    assert_eq!(told_on_up(&bench), [ip("fe80::10"), p(0x10), p(0x2000)]);
}

#[test]
fn nao_14_again_and_again_is_no_faster() {
    let mut bench = Bench::new();
    for number in 0..50 {
        bench.known_at(p(0x1000 + number), DN, station(number));
    }
    bench.forget_log();
    for number in 0..1_000 {
        bench.link(UP, station(0x5000 + number), true);
        bench.announce(None);
        bench.advance_ms(1);
    }
    let told = told_on_up(&bench).len();
    assert!((90..=101).contains(&told), "{told} in a second");
}

#[test]
fn nao_16_routers_are_told_of_new_hosts_if_so_configured() {
    let mut config = Config::alike(LinkConfig::default());
    config.links[0].announce = Announce::Hosts;
    let mut bench = Bench::with(config);
    bench.host(X, DN, MH);
    bench.station(X).flags = "RSO";
    bench.hold_acks();
    bench.hear(DN, &dad(X, MH).nonce(1));
    bench.advance(Duration::from_secs(2));
    let news = "up mA>33:33:00:00:00:02 fe80::10>ff02::2 NA P::21 R +TLLA mA".to_owned();
    assert!(!bench.transcript().contains(&news), "before its route is there");
    bench.ack();
    bench.advance(Duration::from_secs(600));
    let said = bench.heard();
    assert_eq!(said.iter().filter(|said| **said == news).count(), 1, "{said:?}");
    assert_eq!(said.iter().filter(|said| said.contains(" NA ")).count(), 1, "{said:?}");
}

#[test]
fn nao_16_paced_and_not_of_what_a_predecessor_knew() {
    let config = Config::alike(LinkConfig { announce: Announce::Hosts, ..LinkConfig::default() });
    let mut bench = Bench::with(config);
    bench.host(X, DN, MH);
    bench.handle(Input::Restore { target: X, link: DN, lladdr: Some(MH) });
    for number in 0..250 {
        let target = p(0x1000 + number);
        bench.host(target, DN, station(number));
        bench.hear(DN, &ns(X).by(station(number), target));
    }
    bench.advance_ms(1_000);
    let told = told_on_up(&bench).len();
    assert!((95..=101).contains(&told), "{told} in the first second");
    bench.advance(Duration::from_secs(10));
    let told: BTreeSet<_> = told_on_up(&bench).into_iter().collect();
    assert!(!told.contains(&X));
    assert_eq!(told.len(), 250);
}

#[test]
fn nao_16_routers_are_told_also_while_everybody_on_another_link_is() {
    let mut bench = Bench::with_third();
    let mut config = Config::alike(LinkConfig::default());
    config.links[0].announce = Announce::Hosts;
    bench.reconfigure(config);
    bench.host(X, DN, MH);
    bench.station(X).deaf = true;
    bench.hear(DN, &ns(Y).by(MH, X));
    bench.link(THIRD, station(0x99), true);
    bench.advance_ms(100);
    bench.station(X).deaf = false;
    bench.forget_log();
    bench.advance(Duration::from_secs(5));
    assert_eq!(bench.place(X), "dn mH reachable");
    let said = bench.heard();
    let told = |start: &str, to: &str| {
        let is_meant = |said: &&String| said.starts_with(start) && said.contains(to);
        said.iter().filter(is_meant).count()
    };
    assert_eq!(told("up", ">ff02::2 NA P::21"), 1, "{said:?}");
    assert!(told("third", ">ff02::1 NA P::21") >= 1, "{said:?}");
}

#[test]
fn nao_16_what_cannot_wait_for_its_turn_is_counted() {
    let config = Config::alike(LinkConfig { announce: Announce::Hosts, ..LinkConfig::default() });
    let mut bench = Bench::with(config);
    bench.hold_acks();
    for number in 0..1_200 {
        let target = p(0x1000 + number);
        bench.host(target, DN, station(number));
        bench.hear(DN, &ns(X).by(station(number), target));
        bench.advance_ms(1);
    }
    bench.ack();
    let dropped = bench.counter(Discard::NoticesFull);
    assert!((100..=200).contains(&dropped), "{dropped} beyond a thousand");
    assert_eq!(bench.counter(Discard::DelayedFull), 0);
}

#[test]
fn nao_16_routers_are_told_nothing_by_default() {
    let mut bench = Bench::new();
    bench.host(X, DN, MH);
    bench.hear(DN, &dad(X, MH).nonce(1));
    bench.advance(Duration::from_secs(60));
    assert!(bench.heard().iter().all(|said| !said.contains(" NA ")));
}

#[test]
fn nao_15_no_answer_for_an_address_that_is_still_tentative() {
    let mut bench = Bench::new();
    bench.hear(DN, &dad(X, MH).nonce(1));
    bench.advance_ms(100);
    bench.hear(UP, &ns(X));
    bench.advance_ms(890);
    let early = bench.heard();
    assert!(early.iter().all(|said| !said.contains("NA")), "{early:?}");
    bench.host(X, DN, MH);
    bench.advance_ms(20);
    assert_eq!(bench.heard().last(), Some(&ok_na(X)));
}

#[test]
fn nao_15_an_advertisement_alone_triggers_none() {
    let mut bench = Bench::known_x();
    for frame in
        [na(X, MH), na(X, MH).flags("O").for_all(), na(Y, MH), na(Y, MH).flags("").for_all()]
    {
        bench.hear(DN, &frame);
        bench.advance(Duration::from_secs(5));
        assert!(bench.heard().iter().all(|said| !said.contains("NA")));
    }
}

#[test]
fn nao_17_an_answer_carries_no_nonce() {
    let mut bench = Bench::known_x();
    bench.hear(UP, &ns(X).nonce(7));
    let [(_, bytes)] = bench.frames() else { panic!("one answer") };
    assert_eq!(bytes.len(), 14 + 40 + 24 + 8, "nothing but the link-layer address");
    assert!(matches!(Packet::parse(bytes).unwrap().message, Message::Advert(_)));
}

#[test]
fn nao_18_nothing_overrides_for_an_optimistic_address() {
    let mut bench = Bench::new();
    bench.host(X, DN, MH);
    bench.station(X).flags = "S";
    bench.hear(DN, &dad(X, MH).nonce(1));
    bench.hear(UP, &ns(X));
    bench.advance(Duration::from_secs(1));
    let overriding = bench
        .sent()
        .any(|sent| matches!(sent.packet.message, Message::Advert(advert) if advert.overrides));
    assert!(!overriding);
    assert!(bench.heard().contains(&ok_na(X)), "the optimistic owner has answered itself");
    assert_eq!(bench.state(X), Some(BindingState::Reachable));
}

#[test]
fn nao_19_never_solicited_to_a_group() {
    let mut bench = Bench::known_x();
    for frame in [ns(X), ns(X).for_all(), ns(X).framed_for(MA), dad(X, EVIL)] {
        bench.hear(UP, &frame);
        bench.advance(Duration::from_secs(1));
    }
    for sent in bench.sent() {
        if let Message::Advert(advert) = sent.packet.message {
            assert!(!(advert.solicited && sent.packet.destination.is_multicast()));
        }
    }
}
