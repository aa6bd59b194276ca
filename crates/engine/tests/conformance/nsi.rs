//! Neighbor Solicitations that come in.

use std::net::Ipv6Addr;
use std::time::Duration;

use magpie_engine::{BindingState, Discard};
use magpie_wire::{LinkAddr, Malformed, multicast_lladdr, solicited_node};

use crate::bench::{Bench, Reason, ok_na, search};
use crate::frame::{Frame, dad, na, ns, ra};
use crate::names::{DN, EVIL, MA, MH, MU, UP, X, Y, Z, ip, p};

/// A frame on up leads to nothing although X is known.
fn refused(frame: &Frame, reason: impl Into<Reason>) {
    Bench::known_x().ignores(UP, frame, reason);
}

/// A frame on up is answered as if nothing were special about it.
fn answered(frame: &Frame) {
    let mut bench = Bench::known_x();
    bench.hear(UP, frame);
    assert_eq!(bench.heard(), [ok_na(X)]);
    bench.silence();
}

#[test]
fn nsi_01_hop_limit_has_to_be_255() {
    for hop_limit in [254, 64, 1, 0] {
        refused(&ns(X).hop_limit(hop_limit), Malformed::HopLimit);
    }
}

#[test]
fn nsi_02_checksum_has_to_be_right() {
    refused(&ns(X).checksum_error(1), Malformed::Checksum);
    refused(&ns(X).no_checksum(), Malformed::Checksum);
}

#[test]
fn nsi_03_code_has_to_be_0() {
    for code in [1, 255] {
        refused(&ns(X).code(code), Malformed::Code);
    }
}

#[test]
fn nsi_04_length_is_that_of_the_ipv6_header() {
    refused(&ns(X).message_length(23), Malformed::Length);
    refused(&ns(X).payload_length(200), Malformed::Truncated);
    refused(&ns(X).cut(14 + 40 + 8 + 8), Malformed::Truncated);
    answered(&ns(X).bare().padding(6));
    answered(&ns(X).padding(40));
}

#[test]
fn nsi_05_target_is_not_multicast() {
    for target in ["ff02::1", "ff02::1:ff00:21"] {
        refused(&ns(X).target(ip(target)), Malformed::Target);
    }
}

#[test]
fn nsi_06_an_option_of_length_zero_spoils_the_message() {
    let sender = p(0x99);
    refused(&ns(X).by(MU, sender).octets(&[200, 0, 0, 0, 0, 0, 0, 0]), Malformed::Option);
}

#[test]
fn nsi_07_options_have_to_fit() {
    refused(&ns(X).bare().octets(&[1, 2, 2, 0, 0, 0, 0, 1]), Malformed::Option);
    refused(&ns(X).octets(&[0]), Malformed::Option);
}

#[test]
fn nsi_08_from_unspecified_only_to_the_solicited_node_group() {
    refused(&dad(X, EVIL).for_all(), Malformed::Unspecified);
    refused(&dad(X, EVIL).unicast(MA), Malformed::Unspecified);
}

#[test]
fn nsi_09_from_unspecified_without_link_layer_address() {
    refused(&dad(X, MU).slla(MU), Malformed::Unspecified);
    refused(&dad(Y, MU).slla(MU), Malformed::Unspecified);
}

#[test]
fn nsi_10_reserved_field_is_ignored() {
    answered(&ns(X).reserved(0xffff_ffff));
}

#[test]
fn nsi_11_unknown_options_are_ignored() {
    let mut frame = ns(X).nonce(9);
    for kind in [200, 33, 11, 12, 13, 253] {
        frame = frame.option(kind, &[0x5a; 14]);
    }
    answered(&frame);
}

#[test]
fn nsi_12_options_that_do_not_belong_there_are_ignored() {
    let prefix = [[64, 0xc0].as_slice(), &[0xff; 8], &[0; 4], &[0xfd; 16]].concat();
    let frame = ns(X).tlla(EVIL).option(3, &prefix).option(5, &[0, 0, 0, 0, 5, 0xdc]);
    answered(&frame);
    let mut bench = Bench::known_x();
    let prefixes = bench.engine.prefixes(bench.now).count();
    bench.hear(UP, &frame);
    assert_eq!(bench.engine.prefixes(bench.now).count(), prefixes);
    assert_eq!(bench.engine.bindings(bench.now).count(), 1);
}

#[test]
fn nsi_13_two_link_layer_addresses_get_one_answer_to_the_ethernet_source() {
    answered(&ns(X).slla(EVIL));
    answered(&ns(X).bare().slla(EVIL).slla(MU));
}

#[test]
fn nsi_14_a_link_layer_address_option_is_one_unit_long() {
    refused(&ns(X).bare().option(1, &[2, 0, 0, 0, 0, 1, 0, 0]), Malformed::LinkAddrOption);
}

#[test]
fn nsi_15_an_option_never_names_a_group_broadcast_or_nobody() {
    let group = multicast_lladdr(ip("ff02::1"));
    for lladdr in [group, LinkAddr::BROADCAST, LinkAddr::ZERO] {
        refused(&ns(X).bare().slla(lladdr), Malformed::LinkAddrOption);
    }
}

#[test]
fn nsi_16_ethernet_source_is_a_station() {
    let group = multicast_lladdr(ip("ff02::1"));
    for lladdr in [group, LinkAddr::BROADCAST, LinkAddr::ZERO] {
        refused(&ns(X).sent_by(lladdr), Malformed::EthernetSource);
    }
}

#[test]
fn nsi_17_source_can_be_that_of_a_node() {
    for source in ["ff02::9", "::1", "::ffff:1.2.3.4"] {
        refused(&ns(X).source(ip(source)), Malformed::Source);
    }
}

#[test]
fn nsi_18_source_is_one_of_our_addresses() {
    for (link, source) in [(UP, p(0x10)), (DN, p(0x10)), (UP, ip("fe80::10"))] {
        let mut bench = Bench::known_x();
        bench.hear(link, &ns(X).by(EVIL, source));
        let name = if link == UP { "up" } else { "dn" };
        let source = crate::text::address(source);
        assert_eq!(bench.told(), [format!("own {source} {name} evil")]);
        bench.ignores(link, &ns(X).by(EVIL, p(0x10)), Discard::OwnSource);
    }
}

#[test]
fn nsi_18_a_link_local_address_is_ours_on_its_own_link_only() {
    let mut bench = Bench::known_x();
    bench.hear(UP, &ns(X).by(MU, ip("fe80::11")));
    assert_eq!(bench.heard(), ["up mA>mU fe80::10>fe80::11 NA P::21 S +TLLA mA"]);
}

#[test]
fn nsi_19_our_own_frames_come_back() {
    let mut bench = Bench::known_x();
    bench.hear(UP, &ns(X));
    bench.hear(UP, &ns(Y));
    let frames = bench.frames().to_vec();
    assert_eq!(frames.len(), 2, "an answer for X, a search for Y");
    bench.advance(Duration::from_secs(30));
    for (_, bytes) in &frames {
        for link in [UP, DN] {
            bench.ignores_bytes(link, bytes, Discard::OwnFrame);
        }
    }
}

#[test]
fn nsi_20_fragments_are_ignored_even_atomic_ones() {
    refused(&ns(X).behind(44, &[58, 0, 0, 0, 0, 0, 0, 1]), Malformed::Fragment);
    refused(&ns(X).behind(44, &[58, 0, 0, 1, 0, 0, 0, 1]), Malformed::Fragment);
    refused(&ns(X).behind(44, &[58, 0, 0, 8, 0, 0, 0, 1]), Malformed::Fragment);
}

#[test]
fn nsi_21_extension_headers_are_dropped_and_counted() {
    let padding = |next| [next, 0, 1, 4, 0, 0, 0, 0];
    refused(&ns(X).behind(0, &padding(58)), Malformed::ExtensionHeader);
    refused(&ns(X).behind(60, &padding(58)), Malformed::ExtensionHeader);
    let chain = [padding(60), padding(43), padding(58)].concat();
    refused(&ns(X).behind(0, &chain), Malformed::ExtensionHeader);
    refused(&ns(X).behind(0, &[58, 200, 1, 4, 0, 0, 0, 0]), Malformed::Truncated);
    refused(&ns(X).behind(60, &[58, 200, 1, 4, 0, 0, 0, 0]), Malformed::ExtensionHeader);
}

#[test]
fn nsi_22_every_legal_destination_is_accepted() {
    answered(&ns(X));
    answered(&ns(X).unicast(MA));
    answered(&ns(X).for_all());
}

#[test]
fn nsi_23_the_group_has_to_match_the_target() {
    let group = ip("ff02::1:ff12:3456");
    refused(&ns(X).to(multicast_lladdr(group), group), Malformed::Group);
}

#[test]
fn nsi_24_a_multicast_packet_may_come_in_a_unicast_frame() {
    answered(&ns(X).framed_for(MA));
}

#[test]
fn nsi_25_a_unicast_packet_may_not_come_in_a_group_frame() {
    let group = multicast_lladdr(solicited_node(X));
    refused(&ns(X).unicast(group), Malformed::EthernetDestination);
    refused(&ns(X).unicast(LinkAddr::BROADCAST), Malformed::EthernetDestination);
}

#[test]
fn nsi_26_target_classes_that_are_never_proxied() {
    for target in ["fe80::21", "::", "::1", "::ffff:1.2.3.4", "2001:db8:2::21", "fd00::21"] {
        refused(&ns(ip(target)), Discard::OutOfScope);
    }
    refused(&ns(ip("ff05::21")), Malformed::Target);
}

#[test]
fn nsi_26_one_message_does_not_end_a_prefix() {
    const WEEK: u32 = 7 * 24 * 3600;
    let (prefix, target) = (ip("2001:db8:2::"), ip("2001:db8:2::21"));
    let mut bench = Bench::new();
    bench.hear(UP, &ra(prefix, WEEK, 0));
    bench.known_at(target, DN, MH);
    for _ in 0..100 {
        bench.hear(UP, &ra(prefix, 0, 0));
        bench.advance(Duration::from_secs(60));
    }
    bench.advance(Duration::from_secs(2 * 3600 - 6_001));
    assert!(bench.binding(target).is_some());
    bench.advance(Duration::from_secs(2));
    assert_eq!(bench.binding(target), None);
    assert_eq!(
        bench.told(),
        ["forgotten 2001:db8:2::21 dn out-of-scope", "displaced 2001:db8:2::21 dn mH"]
    );
}

#[test]
fn nsi_26_many_short_lived_prefixes_do_not_keep_the_real_one_out() {
    const DAY: u32 = 24 * 3600;
    let mut bench = Bench::new();
    let assigned = bench.engine.prefixes(bench.now).count();
    for number in 0..200 {
        bench.hear(UP, &ra(Ipv6Addr::new(0x2001, 0xdb8, 0x10, number, 0, 0, 0, 0), 3_600, 0));
    }
    assert_eq!(bench.engine.prefixes(bench.now).count(), assigned + 64);
    let target = ip("2001:db8:2::21");
    bench.hear(UP, &ra(ip("2001:db8:2::"), DAY, 0));
    bench.known_at(target, DN, MH);
    for number in 0..200 {
        bench.hear(UP, &ra(Ipv6Addr::new(0x2001, 0xdb8, 0x11, number, 0, 0, 0, 0), 7_200, 0));
    }
    assert_eq!(bench.place(target), "dn mH reachable");
    assert_eq!(bench.engine.prefixes(bench.now).count(), assigned + 64);
}

#[test]
fn nsi_27_anycast_addresses_are_neither_proxied_nor_learned() {
    let anycast = [
        "2001:db8:1::",
        "2001:db8:1:0:fdff:ffff:ffff:ff80",
        "2001:db8:1:0:fdff:ffff:ffff:fffe",
        "2001:db8:1:0:fdff:ffff:ffff:ffff",
    ];
    for target in anycast {
        refused(&ns(ip(target)), Discard::OutOfScope);
        let mut bench = Bench::known_x();
        bench.ignores(DN, &na(ip(target), EVIL).flags("O").for_all(), Discard::OutOfScope);
        bench.ignores(DN, &dad(ip(target), EVIL), Discard::OutOfScope);
    }
}

#[test]
fn nsi_28_for_our_own_address_on_this_link_the_kernel_answers() {
    refused(&ns(p(0x10)), Discard::OwnTarget);
    refused(&ns(p(0x10)).unicast(MA), Discard::OwnTarget);
}

#[test]
fn nsi_29_for_our_own_address_on_another_link_we_answer() {
    let mut bench = Bench::new();
    bench.address(DN, "2001:db8:1::11/64");
    bench.address(DN, "2001:db8:1:1::11/64");
    bench.forget_log();
    bench.hear(UP, &ns(p(0x11)));
    assert_eq!(bench.heard(), ["up mA>mU fe80::10>fe80::1 NA P::11 RS +TLLA mA"]);
    bench.hear(UP, &ns(p(0x11)).unicast(MA));
    assert_eq!(bench.heard(), ["up mA>mU fe80::10>fe80::1 NA P::11 RS +TLLA mA"]);
    bench.hear(UP, &ns(ip("2001:db8:1:1::11")));
    assert_eq!(bench.heard(), ["up mA>mU fe80::10>fe80::1 NA 2001:db8:1:1::11 RS +TLLA mA"]);
    bench.ignores(UP, &ns(ip("fe80::11")), Discard::OutOfScope);
}

#[test]
fn nsi_29_not_while_it_is_tentative() {
    let mut bench = Bench::new();
    bench.address_in_state(DN, "2001:db8:1::11/64", true);
    bench.forget_log();
    bench.hear(UP, &ns(p(0x11)));
    bench.advance(Duration::from_secs(5));
    assert!(bench.heard().iter().all(|said| !said.contains("NA")));
}

#[test]
fn nsi_30_a_target_on_the_asking_link_answers_itself() {
    let mut bench = Bench::new();
    bench.known(Z, UP);
    bench.ignores(UP, &ns(Z), Discard::SameLink);
}

#[test]
fn nsi_31_an_unknown_target_is_asked_for_and_not_answered_for() {
    let mut bench = Bench::new();
    bench.hear(UP, &ns(Y));
    assert_eq!(bench.heard(), [search(Y)]);
    bench.advance(Duration::from_secs(3600));
    assert_eq!(bench.heard(), [search(Y), search(Y)]);
}

#[test]
fn nsi_32_a_sender_with_a_link_layer_address_is_a_candidate() {
    let sender = p(0x99);
    let mut bench = Bench::known_x();
    bench.hear(UP, &ns(X).by(MU, sender));
    assert_eq!(
        bench.heard(),
        [
            "up mA>mU fe80::10>P::99 NS P::99 +SLLA mA +nonce",
            "up mA>mU fe80::10>P::99 NA P::21 S +TLLA mA",
        ]
    );
    assert_eq!(bench.place(sender), "up mU probing");
    assert!(!bench.routes.contains_key(&sender), "nothing is promised yet");
    bench.hear(UP, &na(sender, MU).to(MA, ip("fe80::10")));
    assert_eq!(bench.place(sender), "up mU reachable");
}

#[test]
fn nsi_32_a_sender_without_link_layer_address_is_nothing() {
    let sender = p(0x99);
    let mut bench = Bench::known_x();
    bench.hear(UP, &ns(X).source(sender).bare());
    assert_eq!(bench.binding(sender), None);
    bench.hear(UP, &ns(X));
    assert_eq!(bench.engine.bindings(bench.now).count(), 1, "a link-local sender is not proxied");
}

#[test]
fn nsi_33_a_unicast_question_without_link_layer_address_is_answered() {
    answered(&ns(X).unicast(MA).bare());
}

#[test]
fn nsi_34_a_multicast_question_without_link_layer_address_is_answered_to_its_sender() {
    answered(&ns(X).bare());
}

#[test]
fn nsi_35_a_question_repeated_fast_gets_two_answers_at_most() {
    let mut bench = Bench::known_x();
    for _ in 0..20 {
        bench.hear(UP, &ns(X));
        bench.advance(Duration::from_micros(500));
    }
    assert_eq!(bench.heard(), [ok_na(X), ok_na(X)]);
    assert_eq!(bench.counter(Discard::Repeated), 18);
    for _ in 0..20 {
        bench.hear(UP, &ns(Y));
        bench.advance(Duration::from_micros(500));
    }
    assert_eq!(bench.heard(), [search(Y)]);
}

#[test]
fn nsi_35_questions_of_another_magpie_and_its_kernel_are_no_copies() {
    let mut bench = Bench::known_x();
    // It searches, checks what it was told, and then its kernel wants to know.
    for question in [ns(X).nonce(1), ns(X).unicast(MA).nonce(2), ns(X), ns(X).nonce(3), ns(X)] {
        bench.hear(UP, &question);
        assert_eq!(bench.heard(), [ok_na(X)]);
        bench.advance(Duration::from_micros(500));
    }
    for _ in 0..20 {
        bench.hear(UP, &ns(X).nonce(4));
        bench.advance(Duration::from_micros(500));
    }
    assert_eq!(bench.heard(), [ok_na(X), ok_na(X)], "these are");
}

#[test]
fn nsi_36_our_own_kernels_question_is_not_answered_but_taken_as_a_hint() {
    let mut bench = Bench::new();
    bench.kernel_sends(UP, &ns(Y).by(MA, p(0x10)));
    assert_eq!(bench.heard(), [search(Y)]);
    bench.advance(Duration::from_secs(60));
    assert_eq!(bench.heard(), [search(Y), search(Y)]);

    let mut bench = Bench::known_x();
    bench.kernel_sends(UP, &ns(X).by(MA, p(0x10)));
    bench.silence();
    assert_eq!(bench.state(X), Some(BindingState::Reachable));
}

#[test]
fn nsi_37_large_but_whole_is_legal() {
    let mut frame = ns(X);
    for _ in 0..178 {
        frame = frame.option(200, &[0; 6]);
    }
    assert!(frame.bytes().len() > 1_450);
    answered(&frame);
}

#[test]
fn lnk_02_a_tagged_frame_is_not_traffic_of_the_link() {
    refused(&ns(X).tagged(10), Malformed::Vlan);
}
