//! Duplicate address detection across links.

use std::time::Duration;

use magpie_engine::{Config, Discard, Prefixes};
use magpie_wire::Message;

use crate::bench::{Bench, ok_na, probe};
use crate::frame::{dad, na, ns, rs};
use crate::names::{DN, EVIL, MA, MB, MH, UP, X, Y, ip, p, station};

const DEFENSE_ON_UP: &str = "up mA>33:33:00:00:00:01 fe80::10>ff02::1 NA P::21 - +TLLA mA";

fn relayed_to_dn(target: u16, nonce: &str) -> String {
    let group = format!("33:33:ff:00:00:{target:02x}");
    format!("dn mB>{group} ::>ff02::1:ff00:{target:x} NS P::{target:x}{nonce}")
}

fn adverts(bench: &Bench) -> usize {
    bench.sent().filter(|sent| matches!(sent.packet.message, Message::Advert(_))).count()
}

#[test]
fn dad_01_never_defended_from_memory() {
    let mut bench = Bench::known_x();
    bench.power_off(X);
    bench.hear(UP, &dad(X, EVIL).nonce(5));
    bench.advance_ms(990);
    assert_eq!(adverts(&bench), 0);
    let said = bench.heard();
    assert_eq!(said.iter().filter(|text| **text == probe(X, MH)).count(), 3, "{said:?}");
    bench.host(X, UP, EVIL);
    bench.advance_ms(20);
    assert_eq!(bench.place(X), "up evil reachable");
    assert_eq!(bench.routes.get(&X), Some(&UP));
}

#[test]
fn dad_02_a_duplicate_on_another_link_is_reported_in_time() {
    let mut bench = Bench::known_x();
    bench.station(X).deaf = true;
    bench.hear(UP, &dad(X, EVIL).nonce(5));
    bench.advance_ms(700);
    bench.hear(DN, &na(X, MH));
    let (defense, other): (Vec<_>, Vec<_>) =
        bench.heard_in_time().into_iter().partition(|(_, said)| said.contains("NA"));
    assert_eq!(defense, [(700, DEFENSE_ON_UP.to_owned())]);
    assert_eq!(
        other,
        [
            (0, probe(X, MH)),
            (20, relayed_to_dn(0x21, " +nonce 050505050505")),
            (250, probe(X, MH)),
            (500, probe(X, MH)),
        ]
    );
}

#[test]
fn dad_02_observers_are_told() {
    let mut bench = Bench::known_x();
    bench.hear(UP, &dad(X, EVIL).nonce(5));
    assert_eq!(bench.told(), ["duplicate P::21 dn<up evil"]);
    bench.hear(UP, &dad(X, station(5)));
    assert_eq!(bench.heard().last().map(String::as_str), Some(DEFENSE_ON_UP));
}

#[test]
fn dad_02_even_while_another_claim_is_looked_into() {
    let mut bench = Bench::known_x();
    bench.station(X).deaf = true;
    bench.hear(UP, &na(X, station(9)).flags("O").for_all());
    bench.advance_ms(100);
    bench.hear(UP, &dad(X, EVIL).nonce(5));
    // The claim that was there first does not take the place of this one.
    bench.hear(UP, &na(X, station(9)).flags("O").for_all());
    bench.advance_ms(300);
    bench.hear(DN, &na(X, MH));
    let said = bench.transcript();
    assert_eq!(said.iter().filter(|text| text.contains("NA")).collect::<Vec<_>>(), [DEFENSE_ON_UP]);
    assert!(said.contains(&"duplicate P::21 dn<up evil".to_owned()), "{said:?}");
    assert_eq!(bench.place(X), "dn mH reachable");
}

#[test]
fn dad_02_what_could_not_be_asked_is_not_silence() {
    let mut bench = Bench::known_x();
    bench.address_in_state(DN, "fe80::11/64", true);
    // The probe that is passed on gets lost.
    bench.station(X).deaf = true;
    bench.hear(UP, &dad(X, EVIL).nonce(5));
    bench.advance_ms(900);
    assert!(bench.place(X).starts_with("dn mH"), "{}", bench.place(X));
    bench.station(X).deaf = false;
    bench.forget_log();
    bench.address(DN, "fe80::11/64");
    let said = bench.transcript();
    assert!(said.contains(&DEFENSE_ON_UP.to_owned()), "{said:?}");
    assert!(said.contains(&"duplicate P::21 dn<up evil".to_owned()), "{said:?}");
    assert_eq!(bench.place(X), "dn mH reachable");
}

#[test]
fn dad_03_a_probe_for_an_unknown_target_is_relayed_unchanged() {
    let mut bench = Bench::with_third();
    bench.hear(UP, &dad(Y, MH).nonce(0xab));
    bench.advance_ms(990);
    let nonce = " +nonce abababababab";
    assert_eq!(
        bench.heard(),
        [
            relayed_to_dn(0x77, nonce),
            format!("third mC>33:33:ff:00:00:77 ::>ff02::1:ff00:77 NS P::77{nonce}"),
        ]
    );
    bench.advance(Duration::from_secs(60));
    assert_eq!(adverts(&bench), 0);
}

#[test]
fn dad_03_octet_by_octet() {
    let mut bench = Bench::new();
    bench.hear(UP, &dad(Y, MH).nonce(0xab));
    bench.advance_ms(20);
    let golden = dad(Y, MB).nonce(0xab).bytes();
    assert_eq!(bench.frames(), [(DN, golden)]);

    let mut bench = Bench::new();
    bench.hear(UP, &dad(Y, MH).option(14, &[0xcd; 14]));
    bench.advance_ms(20);
    let golden = dad(Y, MB).option(14, &[0xcd; 14]).bytes();
    assert_eq!(bench.frames(), [(DN, golden)], "a long nonce");

    let mut bench = Bench::new();
    bench.hear(UP, &dad(Y, MH));
    bench.advance_ms(20);
    assert_eq!(bench.frames(), [(DN, dad(Y, MB).bytes())], "no nonce");
}

#[test]
fn dad_04_the_owner_may_repeat_its_probe() {
    let mut bench = Bench::known_x();
    bench.hear(DN, &dad(X, MH).nonce(9));
    bench.advance_ms(990);
    assert!(bench.sent().all(|sent| sent.link == UP), "silence on its own link");
    assert_eq!(adverts(&bench), 0);
    bench.advance_ms(20);
    assert_eq!(bench.place(X), "dn mH reachable");
}

#[test]
fn dad_05_the_owner_on_another_link_has_moved() {
    let mut bench = Bench::known_x();
    bench.station(X).link = UP;
    bench.hear(UP, &dad(X, MH).nonce(9));
    bench.advance_ms(1_200);
    assert!(
        bench
            .sent()
            .all(|sent| { sent.link == DN || !matches!(sent.packet.message, Message::Advert(_)) })
    );
    assert_eq!(bench.place(X), "up mH reachable");
    assert_eq!(bench.routes.get(&X), Some(&UP), "the route to dn is replaced");
}

#[test]
fn dad_06_simultaneous_probes_meet() {
    for gap in [0, 5, 10, 19, 50, 300] {
        let mut bench = Bench::new();
        bench.hear(UP, &dad(Y, EVIL).nonce(1));
        bench.advance_ms(gap);
        bench.hear(DN, &dad(Y, MH).nonce(2));
        bench.advance_ms(400);
        let said = bench.heard();
        assert!(said.contains(&relayed_to_dn(0x77, " +nonce 010101010101")), "{gap}: {said:?}");
        let other =
            "up mA>33:33:ff:00:00:77 ::>ff02::1:ff00:77 NS P::77 +nonce 020202020202".to_owned();
        assert!(said.contains(&other), "{gap}: {said:?}");
    }
}

#[test]
fn dad_06_without_nonces_the_second_is_taken_for_an_echo() {
    let mut bench = Bench::new();
    bench.hear(UP, &dad(Y, EVIL));
    bench.advance_ms(5);
    bench.hear(DN, &dad(Y, MH));
    assert_eq!(bench.counter(Discard::DadRepeated), 1);
    bench.advance_ms(400);
    assert!(bench.sent().all(|sent| sent.link == DN));
}

#[test]
fn dad_07_a_relayed_probe_never_returns() {
    let mut bench = Bench::new();
    bench.hear(UP, &dad(X, MH).nonce(1));
    bench.advance_ms(20);
    let frames = bench.frames().to_vec();
    bench.forget_log();
    // As it is, bridged back, and as another proxy would pass it on.
    for (_, bytes) in frames {
        bench.hear_bytes(UP, &bytes);
        bench.hear_bytes(DN, &bytes);
    }
    bench.hear(DN, &dad(X, EVIL).nonce(1));
    bench.hear(UP, &dad(X, EVIL).nonce(1));
    bench.advance_ms(900);
    assert_eq!(bench.heard(), Vec::<String>::new());
    assert_eq!(bench.counter(Discard::DadRepeated), 2);
    assert_eq!(bench.place(X), "up mH tentative");
}

#[test]
fn dad_08_a_defense_is_relayed_to_the_claimant_only() {
    let mut bench = Bench::known_x();
    bench.add_third();
    bench.station(X).deaf = true;
    bench.hear(UP, &dad(X, EVIL).nonce(5));
    bench.advance_ms(50);
    bench.forget_log();
    bench.hear(DN, &na(X, MH).flags("O").for_all());
    assert_eq!(bench.heard(), [DEFENSE_ON_UP]);
    bench.hear(DN, &na(X, MH).flags("O").for_all());
    bench.advance(Duration::from_secs(1));
    assert_eq!(adverts(&bench), 0);
}

#[test]
fn dad_08_even_of_an_owner_that_was_not_known() {
    let mut bench = Bench::with_third();
    bench.hear(UP, &dad(X, EVIL).nonce(5));
    bench.advance_ms(50);
    bench.forget_log();
    bench.host(X, DN, MH);
    bench.hear(DN, &na(X, MH).flags("O").for_all());
    let said = bench.heard();
    let adverts: Vec<_> = said.iter().filter(|text| text.contains("NA")).collect();
    assert_eq!(adverts, [DEFENSE_ON_UP]);
    bench.advance(Duration::from_secs(1));
    assert_eq!(bench.place(X), "dn mH reachable");
}

#[test]
fn dad_08_a_defense_that_nobody_waits_for_goes_nowhere() {
    let mut bench = Bench::known_x();
    bench.hear(DN, &na(X, MH).flags("O").for_all());
    bench.silence();
}

#[test]
fn dad_09_a_tentative_binding_promises_nothing() {
    let mut bench = Bench::new();
    bench.hear(DN, &dad(X, MH).nonce(1));
    assert_eq!(bench.place(X), "dn mH tentative");
    for _ in 0..9 {
        bench.advance_ms(100);
        bench.hear(UP, &ns(X));
    }
    assert_eq!(adverts(&bench), 0);
    assert_eq!(bench.routes.len(), 0);
    assert!(!bench.done().iter().any(|text| text.starts_with("route")));
}

#[test]
fn dad_10_an_optimistic_owner_answers_for_itself() {
    let mut bench = Bench::new();
    bench.host(X, DN, MH);
    bench.station(X).flags = "S";
    bench.hear(DN, &dad(X, MH).nonce(1));
    bench.advance_ms(100);
    bench.forget_log();
    bench.hear(UP, &ns(X));
    assert_eq!(bench.heard(), [probe(X, MH), ok_na(X)]);
}

#[test]
fn dad_11_without_link_layer_address_an_optimistic_node_is_nothing() {
    let mut bench = Bench::new();
    bench.hear(DN, &rs(X, MH).bare());
    bench.silence();
    assert_eq!(bench.binding(X), None);
    bench.hear(DN, &rs(X, MH));
    assert_eq!(bench.heard(), [probe(X, MH)], "with one it is a hint");
}

#[test]
fn dad_12_who_lost_leaves_nothing_behind() {
    let mut bench = Bench::known_x();
    bench.hear(UP, &dad(X, EVIL).nonce(5));
    bench.advance(Duration::from_secs(3));
    assert_eq!(bench.place(X), "dn mH reachable");
    assert_eq!(bench.engine.bindings(bench.now).count(), 1);
    assert_eq!(bench.routes.get(&X), Some(&DN));
}

#[test]
fn dad_13_a_prefix_is_not_defended() {
    let prefixes = Prefixes::only(vec!["2001:db8:1::/64".parse().unwrap()]);
    let config = Config { prefixes, ..Config::default() };
    let mut bench = Bench::with(config);
    for number in 0..50 {
        bench.hear(UP, &dad(p(0x1000 + number), station(number)).nonce(3));
    }
    bench.advance(Duration::from_secs(10));
    assert_eq!(adverts(&bench), 0);
}

#[test]
fn dad_14_our_own_address_is_not_defended_against_ourselves() {
    let mut bench = Bench::new();
    bench.address_in_state(UP, "2001:db8:1::50/64", true);
    bench.forget_log();
    bench.kernel_sends(UP, &dad(p(0x50), MA).nonce(8));
    bench.ignores(UP, &dad(p(0x50), MA).nonce(8), Discard::OwnFrame);
    // Another proxy passes it on, to either side.
    bench.ignores(UP, &dad(p(0x50), EVIL).nonce(8), Discard::OwnTarget);
    bench.hear(DN, &dad(p(0x50), EVIL).nonce(8));
    bench.silence();
    assert_eq!(bench.binding(p(0x50)), None);
    bench.address(UP, "2001:db8:1::50/64");
    bench.forget_log();
    bench.hear(DN, &dad(p(0x50), EVIL).nonce(8));
    assert_eq!(
        bench.heard(),
        ["dn mB>33:33:00:00:00:01 fe80::11>ff02::1 NA P::50 R +TLLA mB"],
        "once it is ours, it is defended"
    );
}

#[test]
fn dad_15_each_probe_is_relayed_once() {
    for same_nonce in [true, false] {
        let mut bench = Bench::new();
        bench.host(X, DN, MH);
        for number in 1..=3 {
            bench.hear(DN, &dad(X, MH).nonce(if same_nonce { 1 } else { number }));
            bench.advance(Duration::from_secs(1));
        }
        let relayed: Vec<_> = bench
            .heard_in_time()
            .into_iter()
            .filter(|(_, said)| said.contains("::>"))
            .map(|(at, said)| (at, said.starts_with("up")))
            .collect();
        assert_eq!(relayed, [(20, true), (1_020, true), (2_020, true)]);
        assert_eq!(bench.place(X), "dn mH reachable");
        assert_eq!(bench.counter(Discard::DadRepeated), 0);
    }
}

#[test]
fn dad_15_what_comes_faster_than_hosts_probe_is_not_relayed() {
    for owner_answers in [true, false] {
        let mut bench = Bench::with_third();
        bench.known(X, DN);
        bench.station(X).deaf = !owner_answers;
        for number in 0..3_000_u16 {
            let [high, low] = number.to_be_bytes();
            bench.hear(UP, &dad(X, EVIL).option(14, &[1, 2, 3, 4, high, low]));
            bench.advance_ms(1);
        }
        let relayed: Vec<_> =
            bench.heard_in_time().into_iter().filter(|(_, said)| said.contains("::>")).collect();
        for link in ["dn ", "third "] {
            let times: Vec<_> = relayed
                .iter()
                .filter(|(_, said)| said.starts_with(link))
                .map(|(at, _)| *at)
                .collect();
            assert!(times.windows(2).all(|pair| pair[1] - pair[0] >= 900), "{times:?}");
            assert!(owner_answers || times.len() == 4, "{times:?}");
        }
        assert!(relayed.iter().all(|(_, said)| !said.starts_with("up ")), "{relayed:?}");
    }
}

#[test]
fn dad_16_an_old_place_that_is_silent_loses_the_address() {
    let mut bench = Bench::known_x();
    bench.power_off(X);
    bench.hear(UP, &dad(X, EVIL).nonce(5));
    bench.advance_ms(990);
    bench.host(X, UP, EVIL);
    bench.advance(Duration::from_secs(5));
    bench.forget_log();
    bench.hear(DN, &ns(X).by(MH, ip("fe80::21")));
    assert_eq!(bench.heard(), ["dn mB>mH fe80::11>fe80::21 NA P::21 S +TLLA mB"]);
    bench.ignores(UP, &ns(X), Discard::SameLink);
}

#[test]
fn dad_17_an_attacker_is_contained() {
    // Whether it answers probes too, or only defends.
    for answers in [true, false] {
        let mut bench = Bench::new();
        let mut defended = 0;
        for number in 0..30 {
            let target = p(0x1000 + number);
            if answers {
                bench.host(target, DN, EVIL);
            }
            bench.hear(UP, &dad(target, station(number)).nonce(3));
            bench.advance_ms(50);
            bench.hear(DN, &na(target, EVIL).flags("O").for_all());
            bench.advance_ms(50);
            defended += adverts(&bench);
            bench.forget_log();
            bench.advance(Duration::from_secs(2));
        }
        assert_eq!(defended, 16, "answers: {answers}");
        assert!(bench.counter(Discard::Defenses) >= 14, "answers: {answers}");
        // Nobody asked: nothing is passed on.
        bench.forget_log();
        bench.hear(DN, &na(Y, EVIL).flags("O").for_all());
        bench.advance(Duration::from_secs(2));
        assert_eq!(adverts(&bench), 0);
    }
}

#[test]
fn dad_18_two_proxies_do_not_answer_each_other() {
    // The other proxy hears the host on up, and we hear what it passes on to dn, or the reverse.
    for (first, second) in [(UP, DN), (DN, UP)] {
        let mut bench = Bench::new();
        bench.hear(first, &dad(X, MH).nonce(1));
        bench.advance_ms(5);
        bench.hear(second, &dad(X, station(8)).nonce(1));
        bench.advance_ms(900);
        assert_eq!(adverts(&bench), 0);
    }
}

#[test]
fn dad_19_the_probe_is_all_it_takes() {
    let mut bench = Bench::new();
    bench.host(X, DN, MH);
    bench.hear(DN, &dad(X, MH).nonce(1));
    bench.advance(Duration::from_secs(2));
    bench.forget_log();
    bench.hear(UP, &ns(X));
    assert_eq!(bench.heard_in_time(), [(0, ok_na(X))]);
}
