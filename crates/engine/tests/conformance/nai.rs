//! Neighbor Advertisements that come in, and what is learned from them.

use std::time::Duration;

use magpie_engine::{BindingState, Discard, Input};
use magpie_wire::{LinkAddr, Malformed, multicast_lladdr};

use crate::bench::{Bench, Reason, ok_na, probe, search};
use crate::frame::{Frame, dad, na, ns, rs};
use crate::names::{DN, EVIL, MA, MB, MH, MU, UP, X, Y, ip, p};

/// The answer that would end the search for X, but for one thing.
fn refused(answer: &Frame, reason: impl Into<Reason>) {
    let mut bench = Bench::new();
    bench.hear(UP, &ns(X));
    bench.forget_log();
    let reason = reason.into();
    let before = bench.counter(reason);
    bench.hear(DN, answer);
    assert_eq!(bench.transcript(), Vec::<String>::new(), "{reason:?}");
    assert_eq!(bench.counter(reason), before + 1, "{reason:?}");
    assert_eq!(bench.binding(X), None);
    assert_eq!(bench.engine.resolutions(), 1, "the search goes on");
}

/// Lets X go stale on dn while H lives.
fn stale_x() -> Bench {
    let mut bench = Bench::known_x();
    bench.advance(Duration::from_secs(46));
    assert_eq!(bench.state(X), Some(BindingState::Stale));
    bench.forget_log();
    bench
}

#[test]
fn nai_01_every_rule_of_validation() {
    refused(&na(X, MH).hop_limit(254), Malformed::HopLimit);
    refused(&na(X, MH).checksum_error(1), Malformed::Checksum);
    refused(&na(X, MH).code(1), Malformed::Code);
    refused(&na(X, MH).message_length(23), Malformed::Length);
    refused(&na(X, MH).target(ip("ff02::1:ff00:21")), Malformed::Target);
    refused(&na(X, MH).for_all(), Malformed::SolicitedMulticast);
    refused(&na(X, MH).octets(&[200, 0, 0, 0, 0, 0, 0, 0]), Malformed::Option);
    refused(&na(X, MH).octets(&[200, 2, 0, 0, 0, 0, 0, 0]), Malformed::Option);
    refused(&na(X, MH).source(ip("ff02::1")), Malformed::Source);
    refused(&na(X, MH).source(ip("::")), Malformed::Source);
}

#[test]
fn nai_02_fragments_are_ignored() {
    refused(&na(X, MH).behind(44, &[58, 0, 0, 0, 0, 0, 0, 1]), Malformed::Fragment);
}

#[test]
fn nai_03_link_layer_address_names_a_station() {
    let group = multicast_lladdr(ip("ff02::1"));
    for lladdr in [group, LinkAddr::BROADCAST, LinkAddr::ZERO] {
        refused(&na(X, MH).bare().tlla(lladdr), Malformed::LinkAddrOption);
    }
    let long = na(X, MH).bare().option(2, &[2, 0, 0, 0, 0, 0x21, 0, 0]);
    refused(&long, Malformed::LinkAddrOption);
}

#[test]
fn nai_04_a_search_wants_the_link_layer_address() {
    refused(&na(X, MH).bare(), Discard::NoLinkAddr);
}

#[test]
fn nai_04_a_probe_does_not() {
    let mut bench = stale_x();
    bench.station(X).deaf = true;
    bench.hear(UP, &ns(X));
    assert_eq!(bench.heard(), [probe(X, MH)]);
    bench.hear(DN, &na(X, MH).bare());
    assert_eq!(bench.heard(), [ok_na(X)]);
    assert_eq!(bench.place(X), "dn mH reachable");
}

#[test]
fn nai_05_only_the_answer_to_a_probe_confirms() {
    for frame in [na(X, MH), na(X, MH).flags(""), na(X, MH).flags("O").for_all()] {
        let mut bench = stale_x();
        bench.hear(DN, &frame);
        assert_eq!(bench.place(X), "dn mH stale");
        assert_eq!(bench.counter(Discard::Unsolicited), 1);
        bench.silence();
    }
}

#[test]
fn nai_06_an_unsolicited_advertisement_makes_a_candidate() {
    let all_routers = ip("ff02::2");
    let mut bench = Bench::new();
    let gratuitous = na(X, MH).flags("").to(multicast_lladdr(all_routers), all_routers);
    bench.hear(DN, &gratuitous);
    assert_eq!(bench.place(X), "dn mH probing");
    assert_eq!(bench.routes.len(), 0, "nothing is promised yet");
    assert_eq!(bench.heard(), [probe(X, MH)]);
    bench.hear(DN, &na(X, MH));
    // Hearsay joins nothing.
    let done = ["route P::21 dn", "join up ff02::1:ff00:21", "join dn ff02::1:ff00:21"];
    assert_eq!(bench.done(), done);
    assert_eq!(bench.place(X), "dn mH reachable");

    let mut bench = Bench::new();
    bench.ignores(DN, &gratuitous.bare(), Discard::NoLinkAddr);
}

#[test]
fn nai_06_a_candidate_that_does_not_answer_is_forgotten() {
    let mut bench = Bench::new();
    bench.hear(DN, &na(X, MH).flags("O").for_all());
    bench.advance(Duration::from_secs(1));
    assert_eq!(bench.binding(X), None);
    assert_eq!(bench.heard(), [probe(X, MH), probe(X, MH), probe(X, MH)]);
    assert!(!bench.groups.contains(&(UP, ip("ff02::1:ff00:21"))));
}

#[test]
fn nai_07_without_override_another_address_only_casts_doubt() {
    for flags in ["", "S"] {
        let mut bench = Bench::known_x();
        bench.station(X).deaf = true;
        bench.hear(DN, &na(X, EVIL).flags(flags));
        assert_eq!(bench.heard(), [probe(X, MH)]);
        assert_eq!(bench.place(X), "dn mH probing");
        bench.hear(DN, &na(X, MH));
        assert_eq!(bench.place(X), "dn mH reachable");
    }
    // What is doubted already stays as it is.
    let mut bench = stale_x();
    bench.hear(DN, &na(X, EVIL).flags("").for_all());
    bench.silence();
    assert_eq!(bench.place(X), "dn mH stale");
}

#[test]
fn nai_08_with_override_it_replaces_the_known_one_once_that_is_silent() {
    let mut bench = Bench::known_x();
    bench.power_off(X);
    bench.host(X, DN, EVIL);
    bench.hear(DN, &na(X, EVIL).flags("O").for_all());
    assert_eq!(bench.place(X), "dn mH reachable");
    bench.advance(Duration::from_secs(1));
    assert_eq!(bench.place(X), "dn evil reachable");
    assert_eq!(bench.routes.get(&X), Some(&DN));
}

#[test]
fn nai_08_but_not_while_the_known_one_answers() {
    let mut bench = Bench::known_x();
    bench.host(X, DN, EVIL);
    bench.hear(DN, &na(X, EVIL).flags("O").for_all());
    bench.advance(Duration::from_secs(2));
    assert_eq!(bench.place(X), "dn mH reachable");
}

#[test]
fn nai_08_an_owner_that_answers_with_a_new_address_is_believed() {
    let mut bench = stale_x();
    bench.power_off(X);
    bench.hear(UP, &ns(X));
    bench.hear(DN, &na(X, EVIL));
    assert_eq!(bench.place(X), "dn evil reachable");
    assert_eq!(bench.heard().last(), Some(&ok_na(X)));
}

#[test]
fn nai_08_everybody_is_asked_lest_our_kernel_stay_with_the_old_one() {
    // Only an answer to such a question tells our kernel of the new one: others come without the
    // override flag and the address. But everybody has been asked a moment ago.
    let mut bench = Bench::known_x();
    bench.power_off(X);
    bench.host(X, DN, EVIL);
    bench.forget_log();
    bench.hear(DN, &ns(Y).by(EVIL, X));
    bench.advance_ms(1_300);
    assert_eq!(bench.place(X), "dn evil reachable");
    let said = bench.heard();
    assert!(said.contains(&search(X)), "{said:?}");
}

#[test]
fn nai_08_also_when_it_is_believed_after_a_probe_of_its_own() {
    // Of a predecessor, the old address is all that is known.
    let mut bench = Bench::new();
    bench.handle(Input::Restore { target: X, link: DN, lladdr: Some(MH) });
    bench.forget_log();
    bench.hear(DN, &ns(Y).by(EVIL, X));
    bench.hear(DN, &na(X, EVIL).flags("S").bare());
    assert_eq!(bench.place(X), "dn evil reachable");
    let said = bench.heard();
    assert!(said.contains(&search(X)), "{said:?}");
}

#[test]
fn nai_09_a_station_that_moves_on_within_a_second_is_followed() {
    let mut bench = Bench::known_x();
    for (link, place) in [(UP, "up mH reachable"), (DN, "dn mH reachable")] {
        bench.station(X).link = link;
        // It speaks once.
        bench.hear(link, &ns(Y).by(MH, X));
        bench.advance_ms(400);
        if link == DN {
            assert_eq!(bench.place(X), "up mH reachable", "one claim a second");
            bench.advance_ms(1_000);
        }
        assert_eq!(bench.place(X), place);
    }
}

#[test]
fn nai_09_a_claim_from_another_link_is_refused_while_the_owner_answers() {
    for flags in ["O", "SO"] {
        let mut bench = Bench::known_x();
        bench.host(X, UP, EVIL);
        let claim = na(X, EVIL).flags(flags).to(MA, ip("fe80::10"));
        bench.hear(UP, &claim);
        bench.advance(Duration::from_secs(2));
        assert_eq!(bench.place(X), "dn mH reachable");
        assert_eq!(bench.told(), ["rejected P::21 up evil"]);
        assert_eq!(bench.routes.get(&X), Some(&DN));
    }
}

#[test]
fn nai_09_a_proxy_claims_nothing_of_an_owner_that_is_known() {
    let claim = na(X, EVIL).to(MA, ip("fe80::10"));
    Bench::known_x().ignores(UP, &claim.clone().flags(""), Discard::Unsolicited);
    Bench::known_x().ignores(UP, &claim.flags("S"), Discard::Unsolicited);
}

#[test]
fn nai_09_a_proxy_is_believed_about_an_owner_that_is_silent() {
    let mut bench = Bench::known_x();
    bench.advance(Duration::from_secs(60));
    // X is behind another proxy on the same link now, and asked for before anybody has noticed.
    bench.power_off(X);
    bench.hear(UP, &ns(X));
    bench.advance_ms(800);
    assert!(bench.heard().contains(&search(X)));
    bench.hear(DN, &na(X, EVIL).flags("S"));
    assert_eq!(bench.heard().last(), Some(&ok_na(X)));
    assert_eq!(bench.routes.get(&X), Some(&DN));
}

#[test]
fn nai_09_claims_repeated_fast_are_looked_into_once_a_second() {
    let mut bench = Bench::known_x();
    let claim = na(X, EVIL).flags("O").for_all();
    for _ in 0..1_000 {
        bench.hear(UP, &claim);
        bench.advance_ms(1);
    }
    assert!(bench.heard().len() <= 4);
    assert_eq!(bench.place(X), "dn mH reachable");
}

#[test]
fn nai_09_it_is_accepted_when_the_old_place_is_silent() {
    let mut bench = Bench::known_x();
    bench.power_off(X);
    bench.host(X, UP, EVIL);
    bench.hear(UP, &na(X, EVIL).flags("O").for_all());
    bench.advance_ms(700);
    assert_eq!(bench.routes.get(&X), Some(&DN), "the old place has its chance");
    bench.advance_ms(100);
    assert_eq!(bench.place(X), "up evil reachable");
    let said = bench.transcript();
    assert!(said.contains(&"route P::21 up".to_owned()), "{said:?}");
    assert!(!said.iter().any(|text| text.starts_with("unroute")), "{said:?}");
    assert!(said.contains(&"moved P::21 dn>up evil".to_owned()), "{said:?}");
}

#[test]
fn nai_09_a_claimant_that_does_not_answer_gains_nothing() {
    let mut bench = Bench::known_x();
    bench.power_off(X);
    bench.hear(UP, &na(X, EVIL).flags("O").for_all());
    bench.advance(Duration::from_secs(2));
    assert!(bench.place(X).starts_with("dn mH"), "{}", bench.place(X));
    assert_eq!(bench.routes.get(&X), Some(&DN));
}

#[test]
fn nai_09_what_could_not_be_asked_is_not_silence() {
    let mut bench = Bench::known_x();
    bench.address_in_state(DN, "fe80::11/64", true);
    bench.host(X, UP, EVIL);
    bench.hear(UP, &na(X, EVIL).flags("O").for_all());
    bench.advance_ms(1_500);
    assert_eq!(bench.routes.get(&X), Some(&DN));
    bench.address(DN, "fe80::11/64");
    assert_eq!(bench.place(X), "dn mH reachable");
    bench.advance(Duration::from_secs(5));
    assert_eq!(bench.told(), ["rejected P::21 up evil"]);
    assert_eq!(bench.routes.get(&X), Some(&DN));
}

#[test]
fn nai_09_with_the_old_link_down_the_claimant_alone_is_asked() {
    let mut bench = Bench::known_x();
    bench.link(DN, MB, false);
    bench.host(X, UP, MH);
    bench.forget_log();
    bench.hear(UP, &na(X, MH).flags("O").for_all());
    assert_eq!(bench.place(X), "up mH reachable");
    let said = bench.heard();
    assert!(said.iter().all(|text| text.starts_with("up")), "{said:?}");
    // A claimant that is slow gets its time, one that is silent gets nothing.
    for delay in [None, Some(100)] {
        let mut bench = Bench::known_x();
        bench.link(DN, MB, false);
        bench.hear(UP, &na(X, MH).flags("O").for_all());
        if let Some(delay) = delay {
            bench.advance_ms(delay);
            bench.hear(UP, &na(X, MH).to(MA, ip("fe80::10")));
            assert_eq!(bench.place(X), "up mH reachable");
        } else {
            bench.advance(Duration::from_secs(2));
            assert_eq!(bench.place(X), "dn mH stale");
        }
    }
}

#[test]
fn nai_10_the_option_counts_not_the_ethernet_source() {
    let mut bench = Bench::new();
    bench.hear(DN, &na(X, MH).sent_by(EVIL).flags("O").for_all());
    assert_eq!(bench.place(X), "dn mH probing");
    bench.hear(DN, &na(X, MH).sent_by(EVIL));
    assert_eq!(bench.place(X), "dn mH reachable");
}

#[test]
fn nai_11_our_own_advertisement_reflected() {
    let mut bench = Bench::known_x();
    bench.ignores(DN, &na(X, MA).flags("O").for_all(), Discard::OwnFrame);
    bench.ignores(DN, &na(X, MA).sent_by(EVIL).flags("O").for_all(), Discard::OwnLinkAddr);
    bench.ignores(UP, &na(X, MB).sent_by(EVIL), Discard::OwnLinkAddr);
    assert_eq!(bench.place(X), "dn mH reachable");
}

#[test]
fn nai_12_somebody_advertises_our_own_address() {
    for link in [UP, DN] {
        let frame = na(p(0x10), EVIL).source(ip("fe80::ee")).flags("O").for_all();
        let mut bench = Bench::new();
        bench.ignores(link, &frame, Discard::OwnTarget);
        let mut bench = Bench::new();
        bench.hear(link, &frame);
        let name = if link == UP { "up" } else { "dn" };
        assert_eq!(bench.told(), [format!("own P::10 {name} evil")]);
    }
}

#[test]
fn nai_13_solicitations_do_not_change_the_router_flag() {
    let mut bench = Bench::new();
    bench.host(X, DN, MH);
    bench.station(X).flags = "RSO";
    bench.hear(UP, &ns(X));
    assert!(bench.binding(X).unwrap().router);
    bench.hear(DN, &ns(p(0x10)).by(MH, X));
    bench.hear(DN, &rs(X, MH));
    assert!(bench.binding(X).unwrap().router);
}

#[test]
fn nai_14_targets_that_are_never_learned() {
    for target in ["fe80::21", "2001:db8:1::", "::1", "2001:db8:2::21"] {
        let mut bench = Bench::new();
        let frame = na(ip(target), MH).source(ip("fe80::21")).flags("O").for_all();
        bench.ignores(DN, &frame, Discard::OutOfScope);
        bench.ignores(DN, &na(ip(target), MH).source(ip("fe80::21")), Discard::OutOfScope);
    }
}

#[test]
fn nai_15_a_host_has_many_addresses() {
    let mut bench = Bench::new();
    for number in 0..40 {
        bench.host(p(0x100 + number), DN, MH);
        bench.hear(DN, &dad(p(0x100 + number), MH).nonce(u8::try_from(number).unwrap()));
    }
    bench.advance(Duration::from_secs(2));
    bench.forget_log();
    for number in 0..40 {
        bench.hear(UP, &ns(p(0x100 + number)));
        assert_eq!(bench.heard(), [ok_na(p(0x100 + number))]);
    }
}

#[test]
fn nai_16_the_answer_completes_the_lookup() {
    let mut bench = Bench::new();
    bench.hear(UP, &ns(X));
    assert_eq!(bench.heard(), [search(X)]);
    bench.hear(DN, &na(X, MH));
    assert_eq!(bench.heard(), [ok_na(X)], "the O flag is cleared");
    assert_eq!(bench.place(X), "dn mH reachable");
}

#[test]
fn nai_16_an_answer_from_the_asking_link_completes_nothing() {
    let mut bench = Bench::new();
    bench.hear(UP, &ns(X));
    bench.forget_log();
    bench.hear(UP, &na(X, MH).to(MU, ip("fe80::1")));
    assert!(bench.heard().iter().all(|said| !said.contains("NA")));
    assert_eq!(bench.routes.len(), 0);
}

#[test]
fn nai_17_data_proves_nothing() {
    let mut bench = Bench::new();
    let data = na(X, MH).kind(128);
    bench.ignores(DN, &data, Malformed::NotNeighborDiscovery);
    bench.hear(DN, &rs(X, MH));
    assert_eq!(bench.heard(), [probe(X, MH)]);
    bench.advance(Duration::from_secs(2));
    assert_eq!(bench.routes.len(), 0);
    assert_eq!(bench.binding(X), None);
}

#[test]
fn nai_18_registrations_are_just_unknown_options() {
    let registration = [0, 0, 0, 1, 0, 60, 2, 0, 0, 0, 0, 0, 0, 0x21];
    let mut bench = Bench::known_x();
    bench.hear(UP, &ns(X).option(33, &registration));
    assert_eq!(bench.heard(), [ok_na(X)]);
    bench.ignores(
        DN,
        &ns(ip("fe80::11")).by(MH, ip("fe80::21")).option(33, &registration).unicast(MB),
        Discard::OwnTarget,
    );
    let mut bench = Bench::new();
    bench.hear(UP, &ns(X));
    bench.forget_log();
    bench.hear(DN, &na(X, MH).option(33, &registration));
    assert_eq!(bench.heard(), [ok_na(X)]);
}

#[test]
fn nai_19_signatures_are_no_stronger_and_are_not_passed_on() {
    let mut bench = Bench::new();
    bench.hear(UP, &ns(X));
    bench.forget_log();
    let signed = na(X, MH).option(11, &[1; 30]).option(12, &[2; 62]).option(13, &[3; 14]);
    bench.hear(DN, &signed);
    let [(_, bytes)] = bench.frames() else { panic!("one answer") };
    assert_eq!(bytes.len(), 14 + 40 + 24 + 8, "nothing but the link-layer address");
    assert_eq!(bench.heard(), [ok_na(X)]);

    let mut bench = stale_x();
    bench.hear(DN, &signed.flags(""));
    assert_eq!(bench.place(X), "dn mH stale");
    bench.ignores(DN, &na(Y, MH).bare().option(12, &[2; 62]), Discard::NoLinkAddr);
}
