//! Links without link-layer addresses: tunnels and point-to-point lines, downstream and upstream.

use std::net::Ipv6Addr;
use std::time::Duration;

use ipnet::Ipv6Net;
use magpie_engine::{
    BindingState, Config, Discard, Egress, Input, KernelEvent, Limits, LinkConfig, LinkId,
    NaSource, Prefixes, RoutePolicy, WatchedData,
};
use magpie_wire::LinkAddr;

use crate::bench::{Bench, ok_na, search};
use crate::frame::{Frame, dad, na, ns, query, router_search, rs, unreachable};
use crate::names::{DN, MB, MH, MU, TUN, UP, X, Y, Z, ip, link_local, mac, p};

/// A question from the tunnel, without options.
fn tun_ns(target: Ipv6Addr) -> Frame {
    ns(target).by(LinkAddr::ZERO, link_local(0x41)).bare()
}

/// X is behind the tunnel, and answers.
fn x_in_tun() -> Bench {
    let mut bench = Bench::with_tun();
    bench.host(X, TUN, LinkAddr::ZERO);
    bench
}

fn net(text: &str) -> Ipv6Net {
    text.parse().expect("a literal prefix")
}

#[test]
fn lnk_08_a_host_in_the_tunnel_is_found_without_any_link_layer_address() {
    let mut bench = x_in_tun();
    bench.hear(UP, &ns(X));
    let said = bench.transcript();
    // Asked itself, since nobody there hears what is sent to groups; it answers without option.
    assert!(said.contains(&"tun fe80::13>P::21 NS P::21 +nonce".to_owned()), "{said:?}");
    assert!(said.contains(&"found P::21 tun - advertisement".to_owned()), "{said:?}");
    assert!(said.contains(&"route P::21 tun".to_owned()), "{said:?}");
    assert_eq!(said.last(), Some(&ok_na(X)));
    assert_eq!(bench.place(X), "tun - reachable");
}

#[test]
fn lnk_08_lnk_09_nothing_but_unicast_verifies_it() {
    let mut bench = x_in_tun();
    bench.hear(UP, &ns(X));
    bench.forget_log();
    bench.advance(Duration::from_secs(70));
    let said = bench.heard();
    assert_eq!(said, ["tun fe80::13>P::21 NS P::21 +nonce"], "upkeep");
    bench.advance(Duration::from_secs(50));
    bench.power_off(X);
    bench.forget_log();
    bench.hear(UP, &ns(X));
    bench.advance(Duration::from_secs(400));
    let said = bench.heard();
    let in_tun: Vec<_> = said.iter().filter(|text| text.starts_with("tun")).collect();
    assert!(in_tun.len() >= 5, "{said:?}");
    assert!(in_tun.iter().all(|text| *text == "tun fe80::13>P::21 NS P::21 +nonce"), "{said:?}");
    assert_eq!(bench.place(X), "nowhere");
    assert!(bench.routes.is_empty());
}

#[test]
fn lnk_08_who_asks_in_the_tunnel_is_answered_without_option() {
    let mut bench = Bench::with_tun();
    bench.known(X, DN);
    // By a solicitation to a group as by one to the target, with or without an option.
    for frame in [tun_ns(X), tun_ns(X).unicast(LinkAddr::ZERO), tun_ns(X).slla(MU)] {
        bench.hear(TUN, &frame);
        assert_eq!(bench.heard(), ["tun fe80::13>fe80::41 NA P::21 S"], "{frame:?}");
        bench.advance_ms(50);
    }
    // An address of ours on another link, for which nobody else answers.
    bench.hear(TUN, &tun_ns(p(0x10)));
    assert_eq!(bench.heard(), ["tun fe80::13>fe80::41 NA P::10 RS"]);
}

#[test]
fn lnk_08_who_asks_in_the_tunnel_is_learned_of_and_verified() {
    for frame in [
        tun_ns(X).source(Z),
        tun_ns(X).source(Z).slla(MH),
        rs(Z, MH).bare(),
        na(Z, MH).bare().flags("").for_all(),
        na(Z, MH).flags("O").for_all(),
    ] {
        let mut bench = Bench::with_tun();
        bench.host(Z, TUN, LinkAddr::ZERO);
        bench.hear(TUN, &frame);
        bench.advance_ms(10);
        assert_eq!(bench.place(Z), "tun - reachable", "{frame:?}");
        assert_eq!(bench.routes.get(&Z), Some(&TUN), "{frame:?}");
    }
}

#[test]
fn lnk_08_questions_come_from_an_address_that_the_other_end_lets_through() {
    let config =
        || Config { prefixes: Prefixes::only(vec![net("2001:db8:1::/64")]), ..Config::default() };
    for (addresses, source) in [
        (&["2001:db8:9::1/64", "2001:db8:1::13/64"][..], "P::13"),
        (&["2001:db8:9::1/64", "2001:db8:8::1/64"], "2001:db8:9::1"),
        (&["2001:db8:1::13/128", "fe80::13/64"], "fe80::13"),
    ] {
        let mut bench = Bench::with_tun_and(config(), addresses);
        bench.host(X, TUN, LinkAddr::ZERO);
        bench.hear(UP, &ns(X));
        let said = bench.heard();
        assert!(said.contains(&format!("tun {source}>P::21 NS P::21 +nonce")), "{said:?}");
        assert_eq!(said.last(), Some(&ok_na(X)));
    }
    let mut bench = Bench::with_tun_and(config(), &[]);
    bench.hear(UP, &ns(X));
    assert!(bench.heard().iter().all(|text| !text.starts_with("tun")), "nobody to ask as");
    // As soon as there is an address, those who wait are served.
    bench.host(X, TUN, LinkAddr::ZERO);
    bench.address(TUN, "2001:db8:1::13/128");
    assert_eq!(bench.heard().last(), Some(&ok_na(X)));
}

#[test]
fn nao_07_nao_08_answers_in_the_tunnel_come_from_an_address_of_it() {
    for (policy, addresses, source) in [
        (NaSource::LinkLocal, &["2001:db8:1::13/64"][..], "P::13"),
        (NaSource::Global, &["fe80::13/64", "2001:db8:1::13/64"], "P::13"),
        (NaSource::Target, &["fe80::13/64"], "P::21"),
    ] {
        let link = LinkConfig { na_source: policy, ..Default::default() };
        let mut bench = Bench::with_tun_and(Config::alike(link), addresses);
        bench.known(X, DN);
        bench.hear(TUN, &tun_ns(X));
        assert_eq!(bench.heard(), [format!("tun {source}>fe80::41 NA P::21 S")]);
    }
}

#[test]
fn lnk_09_no_groups_no_reports_no_router_discovery() {
    let mut bench = Bench::with_tun();
    bench.known(X, DN);
    bench.hear(TUN, &query());
    bench.hear(TUN, &router_search().by(LinkAddr::ZERO, link_local(0x41)));
    bench.advance(Duration::from_secs(60));
    bench.bare_link(TUN, false);
    bench.bare_link(TUN, true);
    bench.handle(Input::Resumed);
    bench.advance(Duration::from_secs(60));
    let said = bench.heard();
    assert!(said.iter().all(|text| !text.starts_with("tun")), "{said:?}");
    assert!(bench.groups.iter().all(|(link, _)| *link != TUN));
    // Elsewhere the groups of what is in the tunnel are joined.
    bench.known(Z, TUN);
    for link in [UP, DN] {
        assert!(bench.groups.contains(&(link, ip("ff02::1:ff00:31"))));
    }
    bench.shut_down();
    assert!(bench.heard().iter().all(|text| !text.starts_with("tun")), "no termination either");
}

#[test]
fn lnk_09_duplicates_in_the_tunnel_are_found_by_asking_the_target_itself() {
    // Known to be there, and never heard of.
    for is_known in [true, false] {
        let mut bench = x_in_tun();
        if is_known {
            bench.hear(UP, &ns(X));
            bench.advance(Duration::from_secs(1));
        }
        bench.forget_log();
        bench.hear(DN, &dad(X, MH).nonce(5));
        bench.advance_ms(700);
        let said = bench.heard();
        assert!(said.contains(&"tun fe80::13>P::21 NS P::21 +nonce".to_owned()), "{said:?}");
        let defense = "dn mB>33:33:00:00:00:01 fe80::11>ff02::1 NA P::21 - +TLLA mB";
        assert!(said.contains(&defense.to_owned()), "known {is_known}: {said:?}");
        bench.advance(Duration::from_secs(3));
        assert_eq!(bench.place(X), "tun - reachable");
    }
}

#[test]
fn lnk_09_a_proxy_in_the_tunnel_hears_of_duplicate_address_detection() {
    let mut bench = Bench::with_tun();
    bench.hear(DN, &dad(X, MH).nonce(5));
    bench.advance_ms(100);
    let said = bench.heard();
    let relayed = "tun ::>ff02::1:ff00:21 NS P::21 +nonce 050505050505";
    assert!(said.contains(&relayed.to_owned()), "{said:?}");
    // It defends the address as anybody does.
    bench.hear(TUN, &na(X, LinkAddr::ZERO).bare().flags("").for_all());
    let said = bench.heard();
    assert!(said.iter().any(|text| text.starts_with("dn") && text.contains("NA P::21 -")));
}

#[test]
fn lnk_09_a_duplicate_in_the_tunnel_is_told_to_who_asks_there() {
    let mut bench = Bench::with_tun();
    bench.known(X, DN);
    bench.hear(TUN, &dad(X, LinkAddr::ZERO).nonce(5));
    bench.advance(Duration::from_secs(2));
    let said = bench.heard();
    assert!(said.contains(&"tun fe80::13>ff02::1 NA P::21 -".to_owned()), "{said:?}");
    assert_eq!(bench.place(X), "dn mH reachable");
}

#[test]
fn lnk_08_a_solicited_answer_that_nobody_asked_for_defends_nothing() {
    let mut bench = Bench::with_tun();
    bench.hear(DN, &dad(X, MH).nonce(5));
    bench.advance_ms(5);
    bench.hear(TUN, &na(X, LinkAddr::ZERO).bare());
    bench.host(X, DN, MH);
    bench.advance(Duration::from_secs(2));
    assert_eq!(bench.place(X), "dn mH reachable");
}

#[test]
fn lnk_08_what_we_sent_ourselves_is_known_again_when_it_comes_back() {
    let mut bench = x_in_tun();
    bench.hear(UP, &ns(X));
    bench.hear(DN, &dad(Z, MH).nonce(5));
    bench.hear(TUN, &tun_ns(p(0x10)));
    bench.advance_ms(500);
    let sent: Vec<_> = bench.frames().to_vec();
    let before = (bench.place(X), bench.place(Z));
    bench.forget_log();
    for (_, bytes) in sent.iter().filter(|(link, _)| *link == TUN) {
        bench.hear_bytes(TUN, bytes);
    }
    assert_eq!(bench.heard(), Vec::<String>::new());
    assert_eq!((bench.place(X), bench.place(Z)), before);
    assert_eq!(bench.counter(Discard::OwnNonce), 2, "questions, X and Z");
    assert_eq!(bench.counter(Discard::OwnSource), 1, "the answer");
    assert_eq!(bench.counter(Discard::DadRepeated), 1, "the probe that was passed on");
}

#[test]
fn lnk_14_nobody_in_one_tunnel_is_taken_for_somebody_in_another() {
    let other = LinkId(6);
    let mut bench = Bench::with_tun();
    bench.bare_link(other, true);
    bench.address(other, "fe80::14/64");
    bench.host(X, TUN, LinkAddr::ZERO);
    bench.hear(UP, &ns(X));
    bench.forget_log();
    // The one has it and answers; the other detects duplicates, with and without a nonce.
    bench.hear(other, &dad(X, LinkAddr::ZERO).nonce(3));
    bench.advance_ms(900);
    let said = bench.transcript();
    assert!(said.contains(&"#6 fe80::14>ff02::1 NA P::21 -".to_owned()), "{said:?}");
    assert!(said.contains(&"duplicate P::21 tun<#6 -".to_owned()), "{said:?}");
    // Neither is one that both probe for at the same time given to both.
    bench.hear(TUN, &dad(Y, LinkAddr::ZERO));
    bench.hear(other, &dad(Y, LinkAddr::ZERO));
    assert_eq!(bench.counter(Discard::DadRepeated), 1);
    bench.advance(Duration::from_secs(3));
    // A claim by other means is decided at the pace for strangers.
    bench.forget_log();
    bench.power_off(X);
    bench.host(X, other, LinkAddr::ZERO);
    bench.hear(other, &tun_ns(Y).source(X));
    bench.advance_ms(740);
    assert_eq!(bench.place(X), "tun - reachable");
    bench.advance_ms(20);
    assert_eq!(bench.place(X), "#6 - reachable");
    let told = bench.told();
    assert!(told.contains(&"moved P::21 tun>#6 -".to_owned()), "{told:?}");
}

#[test]
fn lnk_08_hosts_in_the_tunnel_share_no_cap_for_stations() {
    let limits = Limits { bindings_per_lladdr: 2, ..Limits::default() };
    let mut bench = Bench::with_tun_and(Config { limits, ..Config::default() }, &["fe80::13/64"]);
    for host in 0x50..0x60 {
        bench.host(p(host), TUN, LinkAddr::ZERO);
        bench.hear(UP, &ns(p(host)));
    }
    assert_eq!(bench.engine.bindings(bench.now).count(), 0x10);
    assert_eq!(bench.counter(Discard::BindingsFull), 0);
}

#[test]
fn lnk_08_a_saved_host_of_the_tunnel_is_asked_itself() {
    for lladdr in [None, Some(MH), Some(LinkAddr::ZERO)] {
        let mut bench = x_in_tun();
        bench.handle(Input::Restore { target: X, link: TUN, lladdr });
        assert_eq!(
            bench.transcript(),
            [
                "tun fe80::13>P::21 NS P::21 +nonce",
                "found P::21 tun - saved",
                "route P::21 tun",
                "join up ff02::1:ff00:21",
                "join dn ff02::1:ff00:21",
            ]
        );
    }
}

#[test]
fn lnk_08_a_host_moves_into_the_tunnel_and_out_of_it() {
    let mut bench = Bench::with_tun();
    bench.known(X, DN);
    bench.power_off(X);
    bench.host(X, TUN, LinkAddr::ZERO);
    bench.hear(TUN, &tun_ns(Y).source(X));
    bench.advance(Duration::from_secs(2));
    assert_eq!(bench.place(X), "tun - reachable");
    assert_eq!(bench.routes.get(&X), Some(&TUN));
    bench.power_off(X);
    bench.host(X, DN, MH);
    bench.hear(DN, &dad(X, MH).nonce(9));
    bench.advance(Duration::from_secs(3));
    assert_eq!(bench.place(X), "dn mH reachable");
    assert_eq!(bench.routes.get(&X), Some(&DN));
}

// Hosts that the kernel has routes to.

#[test]
fn lnk_10_a_host_with_a_route_into_the_tunnel_needs_no_question() {
    for routed in ["2001:db8:1::21/128", "2001:db8:1::20/124", "2001:db8:1::/65"] {
        let mut bench = Bench::with_tun();
        bench.found.insert(net(routed), Some(Egress::Device(TUN)));
        bench.kernel(KernelEvent::RoutesChanged);
        for _ in 0..3 {
            bench.hear(UP, &ns(X));
            assert_eq!(bench.heard(), [ok_na(X)], "{routed}");
            bench.advance(Duration::from_secs(1));
        }
        assert_eq!(bench.place(X), "nowhere", "the route is all that is known");
        bench.found.clear();
        bench.kernel(KernelEvent::RoutesChanged);
        bench.hear(UP, &ns(X));
        bench.advance(Duration::from_secs(5));
        let said = bench.heard();
        assert!(said.iter().all(|text| !text.contains("NA")), "{said:?}");
        assert!(said.contains(&"tun fe80::13>P::21 NS P::21 +nonce".to_owned()), "{said:?}");
    }
}

#[test]
fn lnk_10_the_route_of_the_subnet_itself_shows_no_host() {
    for (routed, to) in [
        ("2001:db8:1::/64", Some(Egress::Device(TUN))),
        ("2001:db8:1::/48", Some(Egress::Device(TUN))),
        ("::/0", Some(Egress::Device(TUN))),
        // Nor does one to a link where it can be asked, to nowhere, or back.
        ("2001:db8:1::21/128", Some(Egress::Device(DN))),
        ("2001:db8:1::21/128", Some(Egress::Device(UP))),
        ("2001:db8:1::21/128", None),
    ] {
        let mut bench = Bench::with_tun();
        bench.found.insert(net(routed), to);
        bench.hear(UP, &ns(X));
        bench.advance(Duration::from_secs(5));
        let said = bench.heard();
        assert!(said.iter().all(|text| !text.contains("NA")), "{routed} {to:?}: {said:?}");
        assert!(said.contains(&search(X)), "{routed} {to:?}: {said:?}");
    }
}

#[test]
fn lnk_10_our_own_route_shows_nothing() {
    let mut bench = x_in_tun();
    bench.hear(UP, &ns(X));
    bench.advance(Duration::from_secs(50));
    bench.power_off(X);
    bench.forget_log();
    assert_eq!(bench.state(X), Some(BindingState::Stale));
    bench.hear(UP, &ns(X));
    bench.advance(Duration::from_secs(5));
    let said = bench.heard();
    assert!(said.iter().all(|text| !text.contains("NA")), "{said:?}");
}

#[test]
fn lnk_10_somebody_elses_host_route_defends_its_host() {
    let mut bench = Bench::with_tun();
    bench.foreign_route(X, TUN);
    bench.hear(UP, &ns(X));
    assert_eq!(bench.heard(), [ok_na(X)]);
    // The group is joined before anybody asks, on links that have switches.
    assert!(bench.groups.contains(&(UP, ip("ff02::1:ff00:21"))));
    bench.hear(DN, &dad(X, MH).nonce(5));
    let defense = "dn mB>33:33:00:00:00:01 fe80::11>ff02::1 NA P::21 - +TLLA mB";
    assert_eq!(bench.heard(), [defense]);
    bench.foreign_route_gone(X);
    bench.advance(Duration::from_secs(1));
    bench.known(X, DN);
    bench.hear(UP, &ns(X));
    assert_eq!(bench.heard(), [ok_na(X)]);
    // And one that comes while it is here wins: that is where the kernel sends its packets.
    bench.foreign_route(X, TUN);
    bench.hear(UP, &ns(X));
    assert_eq!(bench.heard(), [ok_na(X)]);
    bench.ignores(DN, &ns(X), Discard::SameLink);
}

#[test]
fn lnk_10_a_route_to_a_tunnel_that_is_down_or_left_out_shows_nothing() {
    let mut bench = Bench::with_tun();
    bench.found.insert(net("2001:db8:1::20/124"), Some(Egress::Device(TUN)));
    bench.bare_link(TUN, false);
    bench.hear(UP, &ns(X));
    bench.silence_but_questions();
    bench.bare_link(TUN, true);
    bench.advance(Duration::from_secs(1));
    bench.forget_log();
    bench.hear(UP, &ns(X));
    assert_eq!(bench.heard(), [ok_na(X)]);
}

#[test]
fn lnk_10_no_route_is_looked_up_where_there_is_no_tunnel() {
    let mut bench = Bench::new();
    bench.hear(UP, &ns(X));
    bench.advance(Duration::from_secs(5));
    let said = bench.transcript();
    assert!(said.iter().all(|text| !text.starts_with("find")), "{said:?}");
}

#[test]
fn lnk_10_those_who_ask_in_the_tunnel_are_not_told_of_what_is_there() {
    let mut bench = Bench::with_tun();
    bench.found.insert(net("2001:db8:1::20/124"), Some(Egress::Device(TUN)));
    bench.hear(TUN, &tun_ns(X));
    bench.advance(Duration::from_secs(5));
    let said = bench.heard();
    assert!(said.iter().all(|text| !text.contains("NA")), "{said:?}");
}

// An upstream that never asks.

#[test]
fn lnk_10_rte_13_the_first_packet_for_a_silent_host_finds_it() {
    let mut bench = Bench::with_tun();
    bench.found.insert(net("2001:db8:1::/64"), Some(Egress::Device(TUN)));
    bench.host(X, DN, MH);
    bench.kernel_sends_data(TUN, X);
    let done = bench.done();
    assert!(done.contains(&"route P::21 dn".to_owned()), "{done:?}");
    assert_eq!(bench.place(X), "dn mH reachable");
    // Packets that were under way meanwhile say nothing new, nor do those for a host in there.
    for _ in 0..10 {
        bench.kernel_sends_data(TUN, X);
    }
    bench.host(Z, TUN, LinkAddr::ZERO);
    bench.kernel_sends_data(TUN, Z);
    assert_eq!(bench.place(Z), "tun - reachable");
    bench.forget_log();
    for _ in 0..10 {
        bench.kernel_sends_data(TUN, Z);
    }
    assert_eq!(bench.transcript(), Vec::<String>::new());
}

#[test]
fn lnk_10_packets_for_hosts_that_are_routed_there_mean_nothing() {
    let mut bench = Bench::with_tun();
    bench.found.insert(net("2001:db8:1::20/124"), Some(Egress::Device(TUN)));
    for _ in 0..10 {
        bench.kernel_sends_data(TUN, X);
    }
    assert_eq!(bench.transcript(), ["find P::21"]);
    // As do those for anybody outside of the subnet, and for ourselves.
    bench.kernel_sends_data(TUN, ip("2001:db8:ffff::1"));
    bench.kernel_sends_data(TUN, p(0x10));
    bench.kernel_sends_data(TUN, link_local(0x41));
    assert_eq!(bench.transcript(), Vec::<String>::new());
}

#[test]
fn lnk_10_a_route_that_was_lost_is_set_again_at_the_next_packet() {
    let mut bench = Bench::with_tun();
    bench.known(X, DN);
    bench.hold_acks();
    bench.route_gone(X);
    bench.forget_log();
    bench.kernel_sends_data(TUN, X);
    assert_eq!(bench.done(), Vec::<String>::new(), "it is under way already");
    bench.ack();
    assert_eq!(bench.routes.get(&X), Some(&DN));
    // Where the kernel needs no route until it is seen to need one.
    let mut bench = Bench::with_tun_and(
        Config { routes: RoutePolicy::Needed, ..Config::default() },
        &["fe80::13/64"],
    );
    bench.found.insert(net("2001:db8:1::/64"), Some(Egress::Device(DN)));
    bench.host(X, DN, MH);
    bench.hear(UP, &ns(X));
    assert_eq!(bench.routes.get(&X), None);
    bench.found.insert(net("2001:db8:1::/64"), Some(Egress::Device(TUN)));
    bench.kernel(KernelEvent::RoutesChanged);
    bench.kernel_sends_data(TUN, X);
    assert_eq!(bench.routes.get(&X), Some(&DN));
}

#[test]
fn lnk_10_a_host_that_nobody_asks_for_is_found_by_what_it_says() {
    for frame in [
        dad(X, MH).nonce(5),
        // It asks for its router; it looks for routers; it says that it is there.
        ns(ip("fe80::11")).by(MH, X),
        rs(X, MH),
        na(X, MH).flags("O").for_all(),
    ] {
        let mut bench = Bench::with_tun();
        bench.host(X, DN, MH);
        bench.hear(DN, &frame);
        bench.advance(Duration::from_secs(2));
        assert_eq!(bench.place(X), "dn mH reachable", "{frame:?}");
        assert_eq!(bench.routes.get(&X), Some(&DN), "{frame:?}");
        // And it is kept, as long as it answers.
        bench.advance(Duration::from_secs(600));
        assert_eq!(bench.routes.get(&X), Some(&DN), "{frame:?}");
        let said = bench.heard();
        assert!(said.iter().all(|text| !text.contains("tun fe80::13>fe80")), "{said:?}");
    }
}

#[test]
fn lnk_10_the_address_of_the_uplink_is_defended_on_the_lan() {
    for prefix_len in [64, 128] {
        let config =
            Config { prefixes: Prefixes::only(vec![net("2001:db8:1::/64")]), ..Config::default() };
        let address = format!("2001:db8:1::13/{prefix_len}");
        let mut bench = Bench::with_tun_and(config, &["fe80::13/64", &address]);
        assert!(bench.groups.contains(&(DN, ip("ff02::1:ff00:13"))), "or it would not be heard");
        bench.forget_log();
        bench.hear(DN, &dad(p(0x13), MH).nonce(5));
        let defense = "dn mB>33:33:00:00:00:01 fe80::11>ff02::1 NA P::13 R +TLLA mB";
        assert_eq!(bench.heard(), [defense]);
        bench.hear(DN, &ns(p(0x13)).by(MH, X));
        let said = bench.heard();
        let answer = "dn mB>mH fe80::11>P::21 NA P::13 RS +TLLA mB".to_owned();
        assert!(said.contains(&answer), "{said:?}");
    }
}

#[test]
fn lnk_10_what_left_where_it_should_is_watched_again_when_its_route_is_gone() {
    let mut bench = Bench::with_tun();
    bench.foreign_route(X, TUN);
    bench.kernel_sends_data(TUN, X);
    assert_eq!(bench.engine.watched_data(TUN, bench.now).except, [X]);
    let before = bench.engine.data_revision();
    bench.foreign_route_gone(X);
    assert!(bench.engine.watched_data(TUN, bench.now).except.is_empty());
    assert!(bench.engine.data_revision() > before);
}

#[test]
fn lnk_10_what_leaves_for_hosts_in_the_tunnel_does_not_wake_us_for_ever() {
    let mut bench = Bench::with_tun();
    let watched = |bench: &Bench| bench.engine.watched_data(TUN, bench.now);
    assert_eq!(watched(&bench).prefixes, [net("2001:db8:1::/64")]);
    assert_eq!(bench.engine.watched_data(DN, bench.now), WatchedData::default());
    bench.host(X, TUN, LinkAddr::ZERO);
    bench.hear(UP, &ns(X));
    bench.found.insert(net("2001:db8:1::30/124"), Some(Egress::Device(TUN)));
    let before = bench.engine.data_revision();
    for target in [X, Z] {
        (0..5).for_each(|_| bench.kernel_sends_data(TUN, target));
    }
    assert_eq!(bench.engine.data_revision(), before + 2);
    assert_eq!(watched(&bench).except, [X, Z]);
    // A route that goes, or a host that leaves, may be missed again.
    bench.kernel(KernelEvent::RoutesChanged);
    assert_eq!(watched(&bench).except, [] as [Ipv6Addr; 0]);
    bench.kernel_sends_data(TUN, X);
    assert_eq!(watched(&bench).except, [X]);
    bench.power_off(X);
    bench.known(X, DN);
    assert_eq!(watched(&bench).except, [] as [Ipv6Addr; 0]);
    assert!(bench.engine.data_revision() > before + 4);

    // With many hosts there, nothing is looked at for a while when there is much traffic.
    bench.found.insert(net("2001:db8:1:0:f::/80"), Some(Egress::Device(TUN)));
    let host = |number: u16| Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0xf, 0, 0, number);
    for number in 0..200 {
        bench.kernel_sends_data(TUN, host(number));
    }
    assert_eq!(watched(&bench), WatchedData::default());
    bench.advance(Duration::from_secs(11));
    assert_eq!(watched(&bench).prefixes, [net("2001:db8:1::/64")]);
    assert_eq!(watched(&bench).except.len(), 64);
    // What goes through us to nobody is reason to look away for a moment, no more.
    for number in 0x1000..0x1400 {
        bench.kernel_sends_data(TUN, p(number));
    }
    assert_eq!(watched(&bench), WatchedData::default());
    bench.advance(Duration::from_secs(1));
    assert_eq!(watched(&bench).except.len(), 64);
    bench.link_gone(TUN);
    assert_eq!(watched(&bench), WatchedData::default());
}

/// Whether packets for `target` that leave by the tunnel wake us.
fn is_watched(bench: &Bench, target: Ipv6Addr) -> bool {
    let watched = bench.engine.watched_data(TUN, bench.now);
    watched.prefixes.iter().any(|net| net.contains(&target)) && !watched.except.contains(&target)
}

#[test]
fn lnk_10_what_leaves_for_nobody_wakes_us_once_in_a_hold_down() {
    let mut bench = Bench::with_tun();
    let mut woken = 0;
    for _ in 0..230 {
        if is_watched(&bench, X) {
            woken += 1;
            bench.kernel_sends_data(TUN, X);
        }
        assert!(is_watched(&bench, Y), "only X is looked for");
        bench.advance_ms(100);
    }
    assert!(woken <= 5, "{woken} times in the three seconds of a search and a hold-down of twenty");
    assert!(bench.counter(Discard::HeldDown) > 0);
    assert!(is_watched(&bench, X) || woken == 5, "it may be tried again");
    // A link where it may have come, or a word of it, ends that before its time.
    bench.advance(Duration::from_secs(30));
    bench.kernel_sends_data(TUN, X);
    bench.advance(Duration::from_secs(4));
    bench.kernel_sends_data(TUN, X);
    assert!(!is_watched(&bench, X));
    bench.link(DN, MB, false);
    bench.link(DN, MB, true);
    assert!(is_watched(&bench, X));
}

#[test]
fn lnk_10_what_leaves_for_hosts_known_elsewhere_does_not_wake_us_while_nothing_can_be_done() {
    // Routes are not ours to make.
    let config = Config { routes: RoutePolicy::Never, ..Config::default() };
    let mut bench = Bench::with_tun_and(config, &["fe80::13/64"]);
    bench.host(X, DN, MH);
    bench.hear(UP, &ns(X));
    assert_eq!(bench.place(X), "dn mH reachable");
    bench.kernel_sends_data(TUN, X);
    assert!(!is_watched(&bench, X));
    bench.advance(Duration::from_secs(20));
    assert!(!is_watched(&bench, X));
    bench.power_off(X);
    bench.advance(Duration::from_secs(600));
    assert_eq!(bench.place(X), "nowhere");
    assert!(is_watched(&bench, X));

    // The route is in place; it may come to be missing.
    let mut bench = Bench::with_tun();
    bench.known(X, DN);
    bench.kernel_sends_data(TUN, X);
    assert!(!is_watched(&bench, X));
    bench.foreign_route(X, TUN);
    assert!(is_watched(&bench, X));

    // Somebody else's route leads elsewhere.
    bench.kernel_sends_data(TUN, X);
    assert!(!is_watched(&bench, X));
    bench.advance(Duration::from_secs(1));
    assert!(is_watched(&bench, X), "that may change without a word");
    bench.kernel_sends_data(TUN, X);
    bench.foreign_route_gone(X);
    assert!(is_watched(&bench, X));

    // The kernel refuses it.
    let mut bench = Bench::with_tun();
    bench.refuse_routes(12);
    bench.host(X, DN, MH);
    bench.hear(UP, &ns(X));
    let mut woken = 0;
    for _ in 0..100 {
        if is_watched(&bench, X) {
            woken += 1;
            bench.kernel_sends_data(TUN, X);
        }
        bench.advance_ms(100);
    }
    assert!((1..=11).contains(&woken), "{woken} times in ten seconds");
}

#[test]
fn lnk_10_a_scan_does_not_wake_us_at_its_own_speed() {
    let budgets = [Limits::default().kernel_resolutions_per_link, 4, 100_000];
    for kernel_resolutions_per_link in budgets {
        let limits = Limits { kernel_resolutions_per_link, ..Limits::default() };
        let mut bench =
            Bench::with_tun_and(Config { limits, ..Config::default() }, &["fe80::13/64"]);
        let mut woken = 0;
        for number in 0x1000..0x2000 {
            if is_watched(&bench, p(number)) {
                woken += 1;
                bench.kernel_sends_data(TUN, p(number));
            }
            bench.advance_ms(1);
        }
        assert!(woken <= 101 * 5, "{woken} times in four seconds");
        // When it is over, or just rests, the next miss is noticed.
        bench.advance(Duration::from_secs(4));
        bench.host(X, DN, MH);
        assert!(is_watched(&bench, X));
        bench.kernel_sends_data(TUN, X);
        assert_eq!(bench.routes.get(&X), Some(&DN));
    }
}

#[test]
fn lnk_10_a_scan_leaves_room_for_those_who_are_in_the_tunnel() {
    let mut bench = Bench::with_tun();
    (0x1000..0x1040).for_each(|number| bench.kernel_sends_data(TUN, p(number)));
    bench.known(Z, TUN);
    bench.advance(Duration::from_secs(1));
    (0x2000..0x2040).for_each(|number| bench.kernel_sends_data(TUN, p(number)));
    bench.kernel_sends_data(TUN, Z);
    let watched = bench.engine.watched_data(TUN, bench.now);
    assert!(watched == WatchedData::default() || watched.except.contains(&Z));
    bench.advance(Duration::from_secs(1));
    bench.kernel_sends_data(TUN, Z);
    assert!(!is_watched(&bench, Z));
}

// Misses of all kinds, one budget.

/// Our kernel looks for `P::host` in vain.
type Miss = fn(&mut Bench, u16);

/// Everything that shows that our kernel looks for a target in vain.
fn misses() -> [(&'static str, LinkId, Miss); 4] {
    [
        ("event", UP, |bench, host| {
            bench.kernel(KernelEvent::Miss { link: UP, target: p(host) });
        }),
        ("solicitation", UP, |bench, host| {
            bench.kernel_sends(UP, &ns(p(host)));
        }),
        ("unreachable", UP, |bench, host| {
            bench.kernel_sends(UP, &unreachable(p(host), 3));
        }),
        ("data", TUN, |bench, host| bench.kernel_sends_data(TUN, p(host))),
    ]
}

#[test]
fn rte_13_lnk_10_a_scan_through_us_costs_no_more_than_the_budget() {
    const SCANNED: u16 = 10_000;
    const FIRST: u16 = 0x1000;
    for (kind, _, miss) in misses() {
        let mut bench = Bench::with_tun();
        bench.found.insert(net("2001:db8:1::/64"), Some(Egress::Device(TUN)));
        bench.known(X, DN);
        bench.host(Z, DN, mac(0x31));
        let before = bench.now;
        for host in 0..SCANNED {
            miss(&mut bench, FIRST + host);
            bench.advance_ms(1);
        }
        let limits = Limits::default();
        assert!(bench.engine.resolutions() <= limits.kernel_resolutions_per_link, "{kind}");
        let seconds = bench.now.since(before).as_secs() + 1;
        // A lookup takes three rounds and three seconds.
        let cap = limits.kernel_resolutions_per_link as u64 * (seconds / 3 + 1) * 3;
        for link in [UP, DN, TUN] {
            let asked = bench.sent().filter(|sent| sent.link == link).count() as u64;
            assert!(asked <= cap + 10, "{kind}: {asked} on {link:?}, at most {cap}");
        }
        // Who is known is answered for, and who asks for somebody unknown is not kept from it.
        bench.forget_log();
        bench.hear(UP, &ns(X));
        assert!(bench.heard().contains(&ok_na(X)), "{kind}");
        bench.hear(UP, &ns(Z));
        assert!(bench.heard().contains(&ok_na(Z)), "{kind}");
        // A known host that our kernel has lost is looked for all the same.
        bench.route_gone(X);
        miss(&mut bench, 0x21);
        assert_eq!(bench.routes.get(&X), Some(&DN), "{kind}");
    }
}

#[test]
fn rte_13_lnk_10_all_kinds_of_misses_share_one_budget() {
    let limits = Limits { kernel_resolutions_per_link: 4, ..Limits::default() };
    for (kind, link, first) in misses() {
        for (other, on, second) in misses() {
            if link != on {
                continue;
            }
            let mut bench =
                Bench::with_tun_and(Config { limits, ..Config::default() }, &["fe80::13/64"]);
            (0..4).for_each(|host| first(&mut bench, 0x1000 + host));
            assert_eq!(bench.engine.resolutions(), 4, "{kind}");
            second(&mut bench, 0x2000);
            assert_eq!(bench.engine.resolutions(), 4, "{other} after {kind}");
            assert_eq!(bench.counter(Discard::ResolutionsFull), 1, "{other} after {kind}");
            // What was in vain is not tried again soon.
            bench.advance(Duration::from_secs(5));
            bench.forget_log();
            second(&mut bench, 0x1000);
            assert_eq!(bench.heard(), Vec::<String>::new(), "{other} after {kind}");
        }
    }
}

#[test]
fn rte_13_whoever_does_nothing_but_wait_is_found_by_the_first_packet_for_it() {
    for (kind, _, miss) in misses() {
        let mut bench = Bench::with_tun();
        bench.host(X, DN, MH);
        miss(&mut bench, 0x21);
        assert_eq!(bench.place(X), "dn mH reachable", "{kind}");
        assert_eq!(bench.routes.get(&X), Some(&DN), "{kind}");
    }
}
