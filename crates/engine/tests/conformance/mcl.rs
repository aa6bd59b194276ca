//! Multicast memberships and what switches are told.

use std::net::Ipv6Addr;
use std::time::Duration;

use magpie_engine::{Config, Input, Limits, LinkId, Prefixes};
use magpie_wire::{Message, solicited_node};

use crate::bench::{Bench, ok_na, probe};
use crate::frame::{dad, na, ns, query, report, router_search};
use crate::names::{DN, EVIL, MA, MB, MH, MZ, THIRD, UP, X, Z, ip, p, station};

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
    assert!(bench.groups.contains(&(THIRD, ip("ff02::1:ff00:21"))));
    assert!(bench.groups.contains(&(THIRD, ip("ff02::1:ff00:10"))));
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

    // Who waits has the room of one that has left.
    bench.power_off(p(0x101));
    bench.advance(Duration::from_secs(400));
    assert_eq!((groups(&bench, UP), groups(&bench, DN)), (10, 10));
    assert!(bench.groups.contains(&(UP, solicited_node(p(0x100 + 10)))), "the first that waited");
    bench.shut_down();
    assert!(bench.groups.is_empty());
}

/// Makes the hosts `P::100` and up known on dn, all at once.
fn many(bench: &mut Bench, count: u16) {
    for number in 0..count {
        let (target, lladdr) = (p(0x100 + number), station(number));
        bench.host(target, DN, lladdr);
        bench.handle(Input::Restore { target, link: DN, lladdr: Some(lladdr) });
    }
}

/// How many joins and leaves there were in each second since the log was last emptied.
fn changes(bench: &mut Bench, link: &str) -> Vec<usize> {
    let mut seconds = Vec::new();
    let said = bench.done_in_time().into_iter();
    let on_link = |said: &str| {
        said.starts_with(&format!("join {link}")) || said.starts_with(&format!("leave {link}"))
    };
    for (at, _) in said.filter(|(_, said)| on_link(said)) {
        let second = usize::try_from(at / 1_000).expect("a short test");
        seconds.resize(seconds.len().max(second + 1), 0);
        seconds[second] += 1;
    }
    seconds
}

#[test]
fn mcl_05_ten_thousand_groups_are_joined_at_a_steady_pace() {
    const HOSTS: u16 = 10_000;
    let limits = Limits { joins_per_second: 500, ..Limits::default() };
    let mut bench = Bench::with(Config { limits, ..Config::default() });
    many(&mut bench, HOSTS);
    bench.advance(Duration::from_secs(60));
    assert_eq!(bench.engine.bindings(bench.now).count(), usize::from(HOSTS));
    let wanted = (0..HOSTS).map(|number| solicited_node(p(0x100 + number)));
    for group in wanted {
        assert!(bench.groups.contains(&(UP, group)) && bench.groups.contains(&(DN, group)));
    }
    let seconds = changes(&mut bench, "up");
    assert_eq!(seconds.iter().sum::<usize>(), usize::from(HOSTS), "each once");
    assert!(seconds[0] <= 1_000, "what may be done at once, and in the first second");
    assert!(seconds[1..].iter().all(|count| *count <= 550), "{seconds:?}");
    let busy = &seconds[1..seconds.len() - 1];
    assert!(busy.iter().all(|count| *count >= 450), "{seconds:?}");

    // The link is deleted and created again.
    bench.link_gone(UP);
    bench.forget_log();
    bench.address(DN, "2001:db8:1::11/64");
    let again = LinkId(12);
    bench.link_as(again, UP, station(0xffff), true);
    bench.address(again, "fe80::10/64");
    let wanted = bench.engine.bindings(bench.now).count() + 1;
    bench.advance(Duration::from_secs(60));
    let seconds = changes(&mut bench, "#12");
    assert_eq!(seconds.iter().sum::<usize>(), wanted);
    assert!(seconds[1..].iter().all(|count| *count <= 550), "{seconds:?}");
}

#[test]
fn mcl_05_what_is_not_needed_any_longer_is_not_joined() {
    let limits = Limits { joins_per_second: 10, ..Limits::default() };
    let mut bench = Bench::with(Config { limits, ..Config::default() });
    many(&mut bench, 100);
    bench.link_gone(DN);
    bench.advance(Duration::from_secs(60));
    assert!(bench.groups.is_empty(), "{:?}", bench.groups);
    let joined = bench.done().iter().filter(|said| said.starts_with("join")).count();
    assert!(joined <= 40, "{joined}");
    assert_eq!(bench.engine.poll_timeout(), None, "nothing is left to do");
}

#[test]
fn mcl_05_a_probe_is_passed_on_behind_its_own_join() {
    let limits = Limits { joins_per_second: 10, ..Limits::default() };
    let mut bench = Bench::with(Config { limits, ..Config::default() });
    many(&mut bench, 200);
    bench.forget_log();
    let target = p(0x1234);
    bench.hear(DN, &dad(target, MH).nonce(1));
    bench.advance_ms(30);
    let said = bench.transcript();
    let joined = said.iter().position(|said| said == "join up ff02::1:ff00:1234");
    let passed = said.iter().position(|said| said.contains("NS P::1234"));
    assert!(joined.is_some() && joined < passed, "{said:?}");
}

#[test]
fn mcl_05_a_join_that_the_kernel_refused_is_tried_again() {
    const ENOBUFS: i32 = 105;
    let mut bench = Bench::new();
    bench.refuse_joins(Some(ENOBUFS));
    many(&mut bench, 50);
    bench.advance(Duration::from_secs(100));
    let tried = bench.done().iter().filter(|said| said.starts_with("join up")).count();
    assert!((5..=60).contains(&tried), "{tried} times");
    bench.hear(UP, &ns(p(0x111)));
    assert!(bench.heard().contains(&ok_na(p(0x111))), "the host is served all the same");
    bench.refuse_joins(None);
    bench.advance(Duration::from_secs(65));
    let joined = |bench: &Bench| {
        (0..50).all(|number| bench.groups.contains(&(UP, solicited_node(p(0x100 + number)))))
    };
    assert!(joined(&bench), "{:?}", bench.groups);

    // Where IPv6 was off, they are tried as soon as it is on again.
    let mut bench = Bench::new();
    bench.refuse_joins(Some(19));
    many(&mut bench, 50);
    bench.advance(Duration::from_secs(100));
    bench.refuse_joins(None);
    bench.address_gone(UP, ip("fe80::10"));
    bench.address(UP, "fe80::10/64");
    assert!(joined(&bench), "{:?}", bench.groups);
}

#[test]
fn mcl_05_other_limits_are_in_force_at_once() {
    let limits = Limits { groups_per_link: 10, ..Limits::default() };
    let mut bench = Bench::with(Config { limits, ..Config::default() });
    many(&mut bench, 16);
    bench.advance(Duration::from_secs(1));
    let groups = |bench: &Bench| bench.groups.iter().filter(|(on, _)| *on == UP).count();
    assert_eq!(groups(&bench), 10);
    bench.reconfigure(Config::default());
    assert_eq!(groups(&bench), 16);
}

/// A station roams to up and only reports its groups there.
fn roams_with_a_report(bench: &mut Bench, targets: &[Ipv6Addr]) {
    for target in targets {
        bench.station(*target).link = UP;
    }
    bench.forget_log();
    bench.hear(UP, &report(MH));
}

#[test]
fn a_listener_report_shows_that_a_host_may_have_moved() {
    let mut bench = Bench::known_x();
    roams_with_a_report(&mut bench, &[X]);
    bench.advance_ms(400);
    assert_eq!(bench.place(X), "up mH reachable");
    assert_eq!(bench.routes.get(&X), Some(&UP));
    assert!(bench.told().contains(&"moved P::21 dn>up mH".to_owned()));

    // If it is still where it was, that is all.
    let mut bench = Bench::known_x();
    bench.hear(UP, &report(MH));
    assert_eq!(bench.transcript(), [probe(X, MH)]);
    bench.silence();
    assert_eq!(bench.place(X), "dn mH reachable");
}

#[test]
fn a_station_that_comes_back_at_once_is_followed_by_its_reports() {
    let mut bench = Bench::known_x();
    for link in [UP, DN, UP] {
        bench.station(X).link = link;
        bench.hear(link, &report(MH));
        bench.advance_ms(1_200);
        assert_eq!(bench.engine.bindings(bench.now).next().map(|host| host.link), Some(link));
    }
}

#[test]
fn a_listener_report_makes_nobody_known() {
    let mut bench = Bench::known_x();
    for lladdr in [MZ, EVIL, MA, MB] {
        bench.hear(UP, &report(lladdr));
        bench.hear(DN, &report(lladdr));
    }
    bench.hear(DN, &report(MH));
    bench.silence();
    assert_eq!(bench.engine.bindings(bench.now).count(), 1);
}

#[test]
fn a_forged_listener_report_does_not_keep_out_where_the_host_really_went() {
    for claim in [ns(Z).by(MH, X), na(X, MH).flags("O").for_all(), dad(X, MH).nonce(1)] {
        let mut bench = Bench::with_third();
        bench.known(X, DN);
        bench.station(X).deaf = true;
        bench.hear(THIRD, &report(MH));
        bench.advance_ms(50);
        bench.station(X).deaf = false;
        bench.station(X).link = UP;
        bench.hear(UP, &claim);
        bench.advance_ms(1_200);
        assert_eq!(bench.place(X), "up mH reachable", "{claim:?}");
    }
}

#[test]
fn a_listener_report_costs_a_sleeping_host_no_search() {
    let mut bench = Bench::known_x();
    bench.station(X).deaf = true;
    bench.forget_log();
    bench.hear(UP, &report(MH));
    bench.advance(Duration::from_secs(8));
    let asked = bench.heard().len();
    assert!((4..=6).contains(&asked), "{asked} questions");
    bench.station(X).deaf = false;
    bench.hear(UP, &ns(X));
    assert_eq!(bench.heard().last(), Some(&ok_na(X)), "it is verified for who asks");
}

#[test]
fn listener_reports_come_to_all_addresses_of_a_station() {
    let mut bench = Bench::new();
    let targets: Vec<_> = (0..40).map(|number| p(0x1000 + number)).collect();
    for target in &targets {
        bench.host(*target, DN, MH);
        bench.handle(Input::Restore { target: *target, link: DN, lladdr: Some(MH) });
    }
    bench.advance(Duration::from_secs(2));
    // The first of them are still there; the last one has gone.
    let roamer = targets[39];
    bench.station(roamer).link = UP;
    for _ in 0..3 {
        bench.hear(UP, &report(MH));
        bench.advance(Duration::from_secs(11));
    }
    assert_eq!(bench.place(roamer), "up mH reachable");
}

#[test]
fn listener_reports_cause_few_questions() {
    // A proxy with hundreds of addresses, and reports of it on the other link.
    let mut bench = Bench::new();
    for number in 0..500 {
        let target = p(0x1000 + number);
        bench.host(target, DN, MH);
        bench.handle(Input::Restore { target, link: DN, lladdr: Some(MH) });
    }
    bench.advance(Duration::from_secs(2));
    bench.forget_log();
    for _ in 0..1_000 {
        bench.hear(UP, &report(MH));
        bench.advance_ms(1);
    }
    let asked = bench.heard().len();
    assert!((1..=16).contains(&asked), "{asked} questions in a second");

    // Many stations, reported by somebody else.
    let mut bench = Bench::new();
    many(&mut bench, 500);
    bench.advance(Duration::from_secs(2));
    bench.forget_log();
    for number in 0..500 {
        bench.hear(UP, &report(station(number)));
    }
    let asked = bench.heard().len();
    assert!((1..=16).contains(&asked), "{asked} questions at once");
}

#[test]
fn lnk_14_reports_of_a_station_on_both_links_settle_nothing() {
    let mut bench = Bench::new();
    bench.known_at(X, DN, MH);
    bench.known_at(Z, UP, MH);
    for _ in 0..600 {
        bench.hear(UP, &report(MH));
        bench.hear(DN, &report(MH));
        bench.advance(Duration::from_secs(1));
    }
    let said = bench.transcript();
    assert!(said.iter().all(|said| said.contains(" NS ")), "{said:?}");
    assert!(said.len() <= 2 * 60 + 2 * 12, "{} questions in ten minutes", said.len());
    assert_eq!(
        (bench.place(X), bench.place(Z)),
        ("dn mH reachable".into(), "up mH reachable".into())
    );
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
