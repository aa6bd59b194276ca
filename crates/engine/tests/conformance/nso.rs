//! Neighbor Solicitations that go out.

use std::time::Duration;

use magpie_engine::{BindingState, Config, Discard, Input, KernelEvent, LinkId};
use magpie_wire::Message;

use crate::bench::{Bench, ok_na, probe, search};
use crate::frame::{dad, na, ns};
use crate::names::{DN, MB, MC, MH, THIRD, UP, X, Y, ip, link_local, p, station};

#[test]
fn nso_01_a_multicast_solicitation_octet_by_octet() {
    let mut bench = Bench::new();
    bench.hear(UP, &ns(Y));
    let [(link, bytes)] = bench.frames() else { panic!("one question") };
    let nonce = bytes.last_chunk::<6>().expect("a nonce at the end");
    let golden = ns(Y).by(MB, ip("fe80::11")).option(14, nonce).bytes();
    assert_eq!((*link, bytes), (DN, &golden));
    assert_eq!(bytes[..6], [0x33, 0x33, 0xff, 0, 0, 0x77]);
}

#[test]
fn nso_02_probes_carry_the_source_link_layer_address() {
    let mut bench = Bench::known_x();
    bench.advance(Duration::from_secs(70));
    assert_eq!(bench.heard(), [probe(X, MH)]);
}

#[test]
fn nso_03_three_questions_a_second_apart_then_hold_down() {
    let mut bench = Bench::new();
    let mut heard = Vec::new();
    for _ in 0..2_000 {
        bench.hear(UP, &ns(Y));
        bench.advance_ms(5);
    }
    heard.extend(bench.heard_in_time());
    let expected: Vec<_> = [0, 1_000, 2_000].map(|at| (at, search(Y))).to_vec();
    assert_eq!(heard, expected);
    assert_eq!(bench.engine.held_down(), 1);
    assert!(bench.counter(Discard::HeldDown) > 1_000);
}

#[test]
fn nso_03_nso_09_askers_on_all_links_in_turn() {
    for pause in [7, 100, 900, 3_500, 4_000, 7_300] {
        let mut bench = Bench::with_third();
        for asker in [UP, DN, THIRD].into_iter().cycle().take(120_000 / pause) {
            bench.hear(asker, &ns(Y));
            bench.advance_ms(pause.try_into().expect("seconds"));
        }
        let asked = bench.heard_in_time();
        for link in ["up ", "dn ", "third "] {
            let times: Vec<_> = asked
                .iter()
                .filter(|(_, said)| said.starts_with(link))
                .map(|(at, _)| *at)
                .collect();
            assert!(times.len() > 3, "{link}is asked again: {times:?}");
            assert!(times.windows(4).all(|run| run[3] - run[0] >= 20_000), "{link}: {times:?}");
        }
    }
}

#[test]
fn nso_04_never_from_a_tentative_address() {
    let mut bench = Bench::new();
    bench.address_in_state(DN, "fe80::11/64", true);
    bench.forget_log();
    bench.hear(UP, &ns(Y));
    bench.advance_ms(300);
    assert_eq!(bench.heard(), Vec::<String>::new(), "postponed");
    bench.host(Y, DN, MH);
    bench.address(DN, "fe80::11/64");
    let said = bench.heard();
    assert_eq!(said.first(), Some(&search(Y)), "{said:?}");
    assert_eq!(said.last(), Some(&ok_na(Y)), "{said:?}");
}

#[test]
fn nso_05_never_back_to_the_asking_link() {
    let mut bench = Bench::with_third();
    bench.hear(UP, &ns(Y));
    bench.advance(Duration::from_secs(10));
    let links: Vec<_> = bench.sent().map(|sent| sent.link.0).collect();
    assert_eq!(links, [3, 4, 3, 4, 3, 4]);
}

#[test]
fn nso_06_only_links_of_the_relay_are_asked() {
    let mut bench = Bench::new();
    let stranger = LinkId(9);
    bench.ignores(stranger, &ns(Y), Discard::LinkDown);
    bench.hear(UP, &ns(Y));
    bench.advance(Duration::from_secs(10));
    assert!(bench.sent().all(|sent| sent.link == DN));
}

#[test]
fn nso_07_many_askers_one_question_all_answered() {
    let mut bench = Bench::new();
    for number in 0..5 {
        bench.hear(UP, &ns(X).by(station(number), link_local(0x100 + number)));
        bench.advance_ms(20);
    }
    assert_eq!(bench.heard(), [search(X)]);
    bench.hear(DN, &na(X, MH));
    let answers = bench.heard();
    assert_eq!(answers.len(), 5);
    for (number, answer) in (0..5).zip(answers) {
        let (lladdr, address) = (station(number), link_local(0x100 + number));
        let expected = format!("up mA>{lladdr} fe80::10>{address} NA P::21 S +TLLA mA");
        assert_eq!(answer, expected);
    }
}

#[test]
fn nso_07_the_list_of_askers_is_bounded() {
    let mut bench = Bench::new();
    for number in 0..20 {
        bench.hear(UP, &ns(X).by(station(number), link_local(0x100 + number)));
    }
    assert_eq!(bench.counter(Discard::AskersFull), 12);
    assert_eq!(bench.heard(), [search(X)]);
    bench.hear(DN, &na(X, MH));
    assert_eq!(bench.heard().len(), 8);
}

#[test]
fn nso_08_a_known_place_is_asked_before_everybody() {
    let mut bench = Bench::known_x();
    bench.power_off(X);
    bench.advance(Duration::from_secs(46));
    bench.forget_log();
    bench.hear(UP, &ns(X));
    bench.advance_ms(3_700);
    let expected: Vec<_> = [0, 250, 500]
        .map(|at| (at, probe(X, MH)))
        .into_iter()
        .chain([750, 1_750, 2_750].map(|at| (at, search(X))))
        .collect();
    assert_eq!(bench.heard_in_time(), expected);
}

#[test]
fn nso_08_also_if_it_could_not_be_asked_when_the_search_began() {
    let mut bench = Bench::known_x();
    bench.address_in_state(DN, "fe80::11/64", true);
    bench.kernel(KernelEvent::Miss { link: DN, target: X });
    assert_eq!(bench.place(X), "dn mH stale");
    assert_eq!(bench.engine.resolutions(), 1, "the other links are asked");
    bench.address(DN, "fe80::11/64");
    assert_eq!(bench.place(X), "dn mH reachable");
}

#[test]
fn nso_08_also_if_it_is_remembered_while_the_search_is_under_way() {
    let mut bench = Bench::new();
    bench.host(X, DN, MH);
    bench.kernel(KernelEvent::Miss { link: DN, target: X });
    assert_eq!(bench.engine.resolutions(), 1, "the other links are asked");
    bench.handle(Input::Restore { target: X, link: DN, lladdr: Some(MH) });
    assert_eq!(bench.place(X), "dn mH reachable");
}

#[test]
fn nso_09_a_target_that_did_not_answer_is_left_alone_for_a_while() {
    let mut bench = Bench::new();
    bench.hear(UP, &ns(Y));
    bench.advance(Duration::from_secs(4));
    bench.ignores(UP, &ns(Y), Discard::HeldDown);
    bench.advance(Duration::from_secs(14));
    bench.hear(UP, &ns(Y));
    assert_eq!(bench.heard(), Vec::<String>::new(), "21 s after the question, 18 after giving up");
    bench.advance(Duration::from_secs(3));
    bench.hear(UP, &ns(Y));
    assert_eq!(bench.heard(), [search(Y)]);
}

#[test]
fn nso_09_a_sign_of_life_ends_that_at_once() {
    for sign in
        [dad(Y, MH).nonce(1), na(Y, MH), na(Y, MH).flags("O").for_all(), ns(p(0x10)).by(MH, Y)]
    {
        let mut bench = Bench::new();
        bench.hear(UP, &ns(Y));
        bench.advance(Duration::from_secs(4));
        bench.host(Y, DN, MH);
        bench.hear(DN, &sign);
        bench.advance(Duration::from_secs(1));
        bench.forget_log();
        bench.hear(UP, &ns(Y));
        assert_eq!(bench.heard(), [ok_na(Y)], "after {sign:?}");
    }
}

#[test]
fn nso_09_even_if_a_route_of_a_predecessor_leads_to_it() {
    let mut bench = Bench::empty(Config::default(), 1);
    bench.routes.insert(Y, DN);
    bench.boot();
    for _ in 0..200 {
        bench.hear(UP, &ns(Y));
        bench.advance_ms(100);
    }
    let questions = bench.heard().into_iter().filter(|said| *said == search(Y)).count();
    assert_eq!(questions, 3);
    assert_eq!(bench.binding(Y), None);
    assert!(bench.routes.is_empty());
}

#[test]
fn nso_09_only_the_link_that_came_up_is_asked_anew() {
    let mut bench = Bench::with_third();
    bench.hear(UP, &ns(Y));
    bench.advance(Duration::from_secs(4));
    bench.link(THIRD, MC, false);
    bench.link(THIRD, MC, true);
    bench.advance(Duration::from_secs(4));
    bench.forget_log();
    bench.hear(UP, &ns(Y));
    bench.advance(Duration::from_secs(4));
    let asked: Vec<_> =
        bench.heard().into_iter().filter(|said| said.contains("NS P::77")).collect();
    assert!(asked.iter().all(|said| said.starts_with("third ")), "{asked:?}");
    assert_eq!(asked.len(), 3);
}

#[test]
fn nso_09_a_link_that_came_up_meanwhile_was_not_asked_in_vain() {
    let mut bench = Bench::with_third();
    bench.link(THIRD, MC, false);
    bench.hear(UP, &ns(Y));
    bench.advance_ms(2_500);
    bench.forget_log();
    bench.link(THIRD, MC, true);
    let is_asked = |said: &[String]| {
        said.iter().any(|said| said.starts_with("third ") && said.contains("NS P::77"))
    };
    assert!(is_asked(&bench.heard()), "what is looked for may be there");
    // Its host was not ready when the search ended.
    bench.advance_ms(1_500);
    bench.forget_log();
    bench.hear(UP, &ns(Y));
    assert!(is_asked(&bench.heard()), "it may be ready by now");
}

#[test]
fn nso_10_known_targets_do_not_suffer_from_a_flood_of_unknown_ones() {
    let mut bench = Bench::known_x();
    let mut rng = fastrand::Rng::with_seed(10);
    let mut answers = 0;
    let mut probes = 0;
    let mut searches = 0_usize;
    for step in 0..(50 * 500) {
        for _ in 0..10 {
            let target =
                std::net::Ipv6Addr::from(u128::from(p(0)) | u128::from(rng.u64(1 << 32..)));
            bench.hear(UP, &ns(target));
        }
        if step % 500 == 0 {
            bench.hear(UP, &ns(X));
        }
        bench.advance_ms(2);
        for sent in bench.sent() {
            match sent.packet.message {
                Message::Advert(advert) if advert.target == X => answers += 1,
                Message::Solicit(solicit) if solicit.target == X => probes += 1,
                _ => searches += 1,
            }
        }
        bench.forget_log();
    }
    assert_eq!(answers, 50, "every question for the known target was answered");
    assert!(probes >= 1, "the known target was refreshed");
    assert!(searches <= 51 * 256, "{searches} questions for unknown ones");
    assert!(bench.engine.resolutions() <= 256);
    assert_eq!(bench.state(X), Some(BindingState::Reachable));
}

#[test]
fn nso_10_neighbors_do_not_suffer_from_what_our_kernel_looks_for() {
    for frames in [true, false] {
        let mut bench = Bench::new();
        bench.host(Y, DN, MH);
        for number in 0..400 {
            let target = p(0x1000 + number);
            if frames {
                bench.kernel_sends(UP, &ns(target));
            } else {
                bench.kernel(KernelEvent::Miss { link: UP, target });
            }
        }
        assert_eq!(bench.engine.resolutions(), 64);
        assert_eq!(bench.counter(Discard::ResolutionsFull), 400 - 64);
        bench.forget_log();
        bench.hear(UP, &ns(Y));
        assert_eq!(bench.heard(), [search(Y), ok_na(Y)]);
        bench.advance(Duration::from_secs(10));
        assert_eq!(bench.engine.resolutions(), 0);
        bench.kernel(KernelEvent::Miss { link: UP, target: p(0x2000) });
        assert_eq!(bench.engine.resolutions(), 1, "there is room again");
    }
}

#[test]
fn nso_11_our_nonce_coming_back_is_a_loop() {
    let mut bench = Bench::new();
    bench.hear(UP, &ns(Y));
    let [(_, bytes)] = bench.frames() else { panic!("one question") };
    let nonce = *bytes.last_chunk::<6>().expect("a nonce at the end");
    for (link, name) in [(UP, "up"), (DN, "dn")] {
        let mut bench = Bench::new();
        bench.hear(UP, &ns(Y));
        bench.forget_log();
        bench.hear(link, &ns(Y).by(station(9), link_local(9)).option(14, &nonce));
        assert_eq!(bench.transcript(), [format!("loop P::77 {name}")]);
        assert_eq!(bench.counter(Discard::OwnNonce), 1);
    }
}

#[test]
fn nso_11_links_bridged_together_make_no_storm() {
    let mut bench = Bench::known_x();
    bench.hear(UP, &ns(Y));
    let mut total = 0;
    for _ in 0..20 {
        let frames = bench.frames().to_vec();
        total += frames.len();
        bench.forget_log();
        for (_, bytes) in frames {
            bench.hear_bytes(UP, &bytes);
            bench.hear_bytes(DN, &bytes);
        }
        bench.advance_ms(50);
    }
    assert!(total < 10, "{total} frames in a second");
    assert!(bench.counter(Discard::OwnFrame) > 0);
}
