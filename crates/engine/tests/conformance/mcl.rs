//! Multicast memberships and what switches are told.

use std::time::Duration;

use magpie_engine::{Config, Limits, Prefixes};
use magpie_wire::Message;

use crate::bench::{Bench, ok_na};
use crate::frame::{dad, na, ns, query, router_search};
use crate::names::{DN, MH, UP, X, ip, p, station};

fn router_adverts(bench: &Bench) -> Vec<u32> {
    bench
        .sent()
        .filter(|sent| matches!(sent.packet.message, Message::MulticastRouterAdvert(_)))
        .map(|sent| sent.link.0)
        .collect()
}

#[test]
fn mcl_01_the_group_is_joined_on_every_link() {
    let mut bench = Bench::new();
    bench.hear(DN, &dad(X, MH));
    assert_eq!(bench.done(), ["join up ff02::1:ff00:21", "join dn ff02::1:ff00:21"]);

    let mut bench = Bench::new();
    bench.host(X, DN, MH);
    bench.hear(UP, &ns(X));
    let said = bench.transcript();
    let position = |wanted: &str| said.iter().position(|text| text == wanted);
    assert!(position("join up ff02::1:ff00:21").is_some(), "{said:?}");
    assert!(position("join up ff02::1:ff00:21") < position(&ok_na(X)), "{said:?}");
}

#[test]
fn mcl_01_also_on_links_that_come_later_and_for_our_own_addresses() {
    let mut bench = Bench::known_x();
    assert!(bench.groups.contains(&(DN, ip("ff02::1:ff00:10"))), "P::10 is answered for on dn");
    bench.add_third();
    let third = crate::names::THIRD;
    assert!(bench.groups.contains(&(third, ip("ff02::1:ff00:21"))));
    assert!(bench.groups.contains(&(third, ip("ff02::1:ff00:10"))));
}

#[test]
fn mcl_02_the_group_is_left_with_the_last_address() {
    let prefixes = Prefixes::only(vec!["2001:db8:1::/48".parse().unwrap()]);
    let config = Config { prefixes, ..Config::default() };
    let mut bench = Bench::with(config);
    let (first, second) = (ip("2001:db8:1:0:1::21"), ip("2001:db8:1:0:2::21"));
    bench.known_at(first, DN, MH);
    bench.known_at(second, DN, station(2));
    let group = ip("ff02::1:ff00:21");
    bench.power_off(first);
    bench.advance(Duration::from_secs(400));
    assert_eq!(bench.binding(first), None);
    assert!(bench.groups.contains(&(UP, group)) && bench.groups.contains(&(DN, group)));
    bench.power_off(second);
    bench.advance(Duration::from_secs(400));
    assert!(!bench.groups.contains(&(UP, group)) && !bench.groups.contains(&(DN, group)));
}

#[test]
fn mcl_03_joins_come_before_the_first_message_about_an_address() {
    let mut bench = Bench::new();
    bench.hear(DN, &dad(X, MH).nonce(1));
    bench.advance(Duration::from_secs(2));
    let said = bench.transcript();
    let joined = said.iter().rposition(|text| text.starts_with("join")).expect("joins");
    let sent = said.iter().position(|text| text.contains(" NS ")).expect("a relayed probe");
    assert!(joined < sent, "{said:?}");

    let mut bench = Bench::new();
    bench.hear(DN, &dad(X, MH).nonce(1));
    bench.advance_ms(19);
    assert_eq!(bench.heard(), Vec::<String>::new(), "the report has a head start of 20 ms");
    bench.advance_ms(1);
    assert_eq!(bench.heard().len(), 1);
}

#[test]
fn mcl_03_also_where_the_route_is_there_already() {
    let mut bench = Bench::empty(Config::default(), 1);
    bench.routes.insert(X, DN);
    bench.boot();
    bench.hear(UP, &ns(X));
    bench.hear(DN, &na(X, MH));
    let said = bench.transcript();
    let position = |wanted: &str| said.iter().position(|text| text == wanted);
    assert!(position("join up ff02::1:ff00:21").is_some(), "{said:?}");
    assert!(position("join up ff02::1:ff00:21") < position(&ok_na(X)), "{said:?}");
}

#[test]
fn mcl_05_no_more_groups_than_the_kernel_can_walk() {
    let limits = Limits { groups_per_link: 10, ..Limits::default() };
    let mut bench = Bench::with(Config { limits, ..Config::default() });
    for number in 1..=30 {
        bench.known_at(p(0x100 + number), DN, station(number));
    }
    let groups = |bench: &Bench, link| bench.groups.iter().filter(|(on, _)| *on == link).count();
    assert_eq!((groups(&bench, UP), groups(&bench, DN)), (10, 10));
    bench.hear(UP, &ns(p(0x100 + 30)));
    assert_eq!(bench.heard(), [ok_na(p(0x100 + 30))], "the host is served all the same");

    // Who comes after one that has left has the room.
    bench.power_off(p(0x101));
    bench.advance(Duration::from_secs(400));
    assert_eq!((groups(&bench, UP), groups(&bench, DN)), (9, 9));
    bench.known(X, DN);
    assert!(bench.groups.contains(&(UP, ip("ff02::1:ff00:21"))));
    bench.shut_down();
    assert!(bench.groups.is_empty());
}

#[test]
fn mcl_06_switches_are_told_thrice_and_then_only_where_a_querier_speaks() {
    let mut bench = Bench::empty(Config::default(), 1);
    bench.boot();
    bench.advance(Duration::from_secs(5));
    let mut links = router_adverts(&bench);
    links.sort_unstable();
    assert_eq!(links, [2, 2, 2, 3, 3, 3]);
    let (_, bytes) = bench.frames().last().expect("an advertisement").clone();
    assert_eq!(bytes[..6], [0x33, 0x33, 0, 0, 0, 0x6a]);
    assert_eq!(bytes[14 + 7], 1, "hop limit");
    assert_eq!(bytes[14 + 40..14 + 48], [58, 0, 5, 2, 0, 0, 1, 0], "router alert");
    assert_eq!(bytes[14 + 48..14 + 50], [151, 20], "type and interval");

    bench.forget_log();
    bench.advance(Duration::from_secs(600));
    assert_eq!(router_adverts(&bench), Vec::<u32>::new(), "quiet without a querier");

    bench.hear(UP, &query());
    bench.forget_log();
    for _ in 0..10 {
        bench.advance(Duration::from_secs(60));
        bench.hear(UP, &query());
    }
    let links = router_adverts(&bench);
    assert!(links.iter().all(|link| *link == 2), "only where the querier is");
    assert!((28..=32).contains(&links.len()), "{} in 600 s", links.len());

    bench.forget_log();
    bench.hear(DN, &router_search());
    bench.advance(Duration::from_millis(500));
    assert!(router_adverts(&bench).contains(&3), "a switch is answered");

    bench.forget_log();
    bench.shut_down();
    let terminated: Vec<_> = bench
        .sent()
        .filter(|sent| matches!(sent.packet.message, Message::MulticastRouterTermination))
        .map(|sent| sent.link.0)
        .collect();
    assert_eq!(terminated, [2, 3]);
}

#[test]
fn mcl_06_searches_of_switches_cause_no_storm() {
    let mut bench = Bench::new();
    for _ in 0..1_000 {
        bench.hear(UP, &router_search());
        bench.advance_ms(10);
    }
    assert!(router_adverts(&bench).len() <= 200, "{}", router_adverts(&bench).len());
}

#[test]
fn mcl_07_never_a_querier() {
    let mut bench = Bench::known_x();
    bench.hear(UP, &query());
    bench.advance(Duration::from_secs(600));
    for (_, bytes) in bench.frames() {
        assert_ne!(bytes.get(14 + 48), Some(&130));
    }
}

#[test]
fn mcl_09_the_ethernet_group_is_the_low_32_bits() {
    let mut bench = Bench::new();
    bench.hear(UP, &ns(ip("2001:db8:1::12cd:ef01")));
    let (_, bytes) = &bench.frames()[0];
    assert_eq!(bytes[..6], [0x33, 0x33, 0xff, 0xcd, 0xef, 0x01]);
}

#[test]
fn mcl_14_refreshing_disturbs_nobody_else() {
    let mut bench = Bench::new();
    for number in 1..=50 {
        bench.known_at(p(0x100 + number), DN, station(number));
    }
    bench.advance(Duration::from_secs(3600));
    let sent: Vec<_> = bench.sent().collect();
    assert!(sent.iter().all(|sent| !sent.packet.ethernet_destination.is_group()));
    assert!(sent.len() >= 50 * 50, "every host was asked about once a minute: {}", sent.len());
    assert!(sent.len() <= 50 * 61, "{}", sent.len());
    assert_eq!(bench.engine.bindings(bench.now).count(), 50);
}
