//! Host routes, caps, restarts and the kernel's own news.

use std::net::Ipv6Addr;
use std::time::Duration;

use magpie_engine::{
    BindingState, Config, Discard, Evidence, Input, KernelEvent, Limits, LinkId, RouteStatus,
    RouteView,
};

use crate::bench::{Bench, ok_na, search};
use crate::frame::{dad, na, ns, ra, unreachable};
use crate::names::{DN, EVIL, MA, MB, MH, THIRD, UP, X, Y, Z, p};

#[test]
fn rte_01_a_binding_has_a_host_route_as_long_as_it_lives() {
    let mut bench = Bench::new();
    bench.host(X, DN, MH);
    bench.hear(UP, &ns(X));
    assert!(bench.done().contains(&"route P::21 dn".to_owned()));
    assert_eq!(bench.binding(X).unwrap().route, RouteView::Installed);
    bench.power_off(X);
    bench.advance(Duration::from_secs(400));
    assert!(bench.done().contains(&"unroute P::21 dn".to_owned()));
    assert!(bench.routes.is_empty());
}

#[test]
fn rte_02_no_advertisement_of_either_kind_before_the_route() {
    let mut bench = Bench::known_x();
    bench.station(X).link = UP;
    bench.hold_acks();
    bench.hear(UP, &dad(X, MH).nonce(1));
    bench.advance(Duration::from_secs(3));
    bench.hear(DN, &ns(X));
    bench.advance(Duration::from_secs(1));
    let said = bench.heard();
    assert!(said.iter().all(|text| !text.contains("NA")), "{said:?}");
    bench.ack();
    let said = bench.heard();
    assert!(said.iter().any(|text| text.contains("NA P::21 O")), "{said:?}");
    assert!(said.iter().any(|text| text.contains("NA P::21 S")), "{said:?}");
}

#[test]
fn rte_03_a_route_of_somebody_else_is_never_replaced() {
    let elsewhere = LinkId(99);
    for (leads_to, refused) in [(UP, true), (elsewhere, true), (DN, false)] {
        let mut bench = Bench::new();
        bench.foreign_route(X, leads_to);
        bench.host(X, DN, MH);
        bench.hear(UP, &ns(X));
        bench.advance(Duration::from_secs(2));
        let said = bench.transcript();
        assert!(!said.iter().any(|text| text.contains("route P::21 dn")), "{said:?}");
        assert_eq!(said.contains(&"foreign P::21 dn".to_owned()), refused, "{said:?}");
        assert_eq!(said.contains(&ok_na(X)), !refused, "{said:?}");
        assert_eq!(bench.binding(X).unwrap().route, RouteView::Foreign);

        bench.resync();
        bench.advance(Duration::from_secs(100));
        assert!(bench.routes.is_empty());

        bench.foreign_route_gone(X);
        assert_eq!(bench.routes.get(&X), Some(&DN), "now it is ours to set");
    }
}

#[test]
fn rte_03_one_that_comes_later_silences_us() {
    let mut bench = Bench::known_x();
    bench.foreign_route(X, UP);
    bench.ignores(UP, &ns(X), Discard::ForeignRoute);
}

#[test]
fn rte_03_a_route_that_was_never_ours_is_not_deleted() {
    let mut bench = Bench::new();
    bench.foreign_route(X, DN);
    bench.host(X, DN, MH);
    bench.hear(UP, &ns(X));
    bench.power_off(X);
    bench.advance(Duration::from_secs(400));
    bench.shut_down();
    assert!(!bench.done().iter().any(|text| text.contains("route")));
}

#[test]
fn rte_04_leftovers_are_adopted_without_a_gap() {
    let mut bench = Bench::empty(Config::default(), 1);
    bench.host(X, DN, MH);
    bench.routes.insert(X, DN);
    bench.routes.insert(Y, DN);
    bench.boot();
    bench.advance(Duration::from_secs(1));
    assert_eq!(bench.place(X), "dn mH reachable");
    bench.hear(UP, &ns(X));
    assert!(bench.heard().contains(&ok_na(X)));
    bench.advance(Duration::from_secs(5));
    let done = bench.done();
    assert_eq!(bench.routes.get(&X), Some(&DN));
    assert!(!done.iter().any(|text| text.contains("route P::21")), "{done:?}");
    assert_eq!(bench.routes.get(&Y), None, "a dead host's route is removed");
    assert_eq!(bench.binding(Y), None);
}

#[test]
fn rte_04_a_leftover_that_goes_is_not_put_back_before_its_host_has_answered() {
    let mut bench = Bench::empty(Config::default(), 1);
    bench.routes.insert(X, DN);
    bench.boot();
    bench.route_gone(X);
    assert_eq!(bench.routes.get(&X), None);
    bench.hear(DN, &na(X, MH));
    assert_eq!(bench.routes.get(&X), Some(&DN));
}

#[test]
fn rte_04_leftovers_without_a_place_in_the_relay_are_removed() {
    let mut bench = Bench::empty(Config::default(), 1);
    let outside = "2001:db8:9::1".parse().unwrap();
    bench.routes.insert(outside, DN);
    bench.routes.insert(p(0x10), DN);
    bench.boot();
    // Advertisements may yet show that it belongs to the subnet.
    assert_eq!(bench.routes.keys().copied().collect::<Vec<_>>(), [outside]);
    bench.advance(Duration::from_secs(30));
    assert!(bench.routes.is_empty(), "{:?}", bench.routes);
}

#[test]
fn rte_04_a_leftover_with_its_saved_place_is_probed_by_unicast() {
    let mut bench = Bench::empty(Config::default(), 1);
    bench.host(X, DN, MH);
    bench.station(X).deaf = true;
    bench.routes.insert(X, DN);
    bench.boot();
    bench.handle(Input::Restore { target: X, link: DN, lladdr: Some(MH) });
    bench.station(X).deaf = false;
    bench.advance(Duration::from_secs(1));
    assert_eq!(bench.place(X), "dn mH reachable");
}

#[test]
fn rte_04_leftovers_wait_until_the_subnet_is_known() {
    let ways: [fn(&mut Bench); 2] = [
        |bench| bench.address(UP, "2001:db8:1::10/64"),
        |bench| bench.hear(UP, &ra(p(0), 3_600, 0)),
    ];
    for becomes_known in ways {
        let mut bench = Bench::empty(Config::default(), 1);
        bench.host(X, DN, MH);
        bench.routes.insert(X, DN);
        bench.routes.insert(Y, DN);
        bench.kernel(KernelEvent::Overrun);
        bench.link(UP, MA, true);
        bench.link(DN, MB, true);
        bench.address(UP, "fe80::10/64");
        bench.address(DN, "fe80::11/64");
        bench.resync();
        bench.handle(Input::Restore { target: X, link: DN, lladdr: Some(MH) });
        bench.advance(Duration::from_secs(15));
        bench.resync();
        bench.advance(Duration::from_secs(14));
        let done = bench.done();
        assert!(!done.iter().any(|text| text.contains("route")), "{done:?}");
        assert_eq!(bench.engine.bindings(bench.now).count(), 0, "the subnet is not known");

        becomes_known(&mut bench);
        assert_eq!(bench.place(X), "dn mH reachable");
        assert_eq!(bench.place(Y), "dn - probing");
        bench.advance(Duration::from_secs(10));
        assert_eq!(bench.routes.keys().copied().collect::<Vec<_>>(), [X]);
        let done = bench.done();
        assert!(!done.iter().any(|text| text.contains("route P::21")), "{done:?}");
    }
}

#[test]
fn rte_05_a_link_that_was_down_is_verified_and_restored() {
    let mut bench = Bench::known_x();
    bench.link(DN, MB, false);
    bench.route_gone(X);
    bench.address_gone(DN, "fe80::11".parse().unwrap());
    bench.hear(UP, &ns(X));
    bench.advance(Duration::from_secs(6));
    assert!(bench.heard().iter().all(|text| !text.contains("NA")));
    assert!(bench.binding(X).is_some(), "a link that is down is not a host that is gone");
    bench.link(DN, MB, true);
    bench.address_in_state(DN, "fe80::11/64", true);
    bench.advance(Duration::from_secs(1));
    bench.address(DN, "fe80::11/64");
    bench.forget_log();
    bench.hear(UP, &ns(X));
    assert_eq!(bench.heard(), [ok_na(X)]);
    assert_eq!(bench.routes.get(&X), Some(&DN));
}

#[test]
fn rte_05_who_was_searched_for_meanwhile_is_asked_where_it_was() {
    let mut bench = Bench::known_x();
    bench.link(DN, MB, false);
    bench.route_gone(X);
    bench.address_gone(DN, "fe80::11".parse().unwrap());
    bench.link(DN, MB, true);
    // The kernel still has packets for X, and nobody can be asked on dn for want of an address.
    bench.kernel(KernelEvent::Miss { link: DN, target: X });
    bench.address(DN, "fe80::11/64");
    assert_eq!(bench.routes.get(&X), Some(&DN));
}

#[test]
fn rte_05_no_route_leads_to_a_link_that_is_down() {
    const NETWORK_IS_DOWN: i32 = 100;
    let mut bench = Bench::known_x();
    bench.known(p(0x22), DN);
    // With the link the kernel takes down its routes, and the news of that is lost.
    bench.link(DN, MB, false);
    bench.routes.clear();
    bench.refuse_routes(NETWORK_IS_DOWN);
    bench.forget_log();
    bench.resync();
    let first = bench.engine.poll_timeout().expect("upkeep");
    assert!(first.at.since(bench.now) > Duration::from_secs(10), "{first:?}");
    bench.advance(Duration::from_secs(600));
    bench.resync();
    assert_eq!(bench.transcript(), Vec::<String>::new());

    bench.ack();
    bench.link(DN, MB, true);
    for target in [X, p(0x22)] {
        assert_eq!(bench.state(target), Some(BindingState::Reachable));
        assert_eq!(bench.routes.get(&target), Some(&DN));
    }
}

#[test]
fn rte_06_without_carrier_nothing_is_promised() {
    let mut bench = Bench::known_x();
    bench.link(DN, MB, false);
    bench.forget_log();
    bench.hear(UP, &ns(X));
    bench.silence();
    bench.link(DN, MB, true);
    bench.advance_ms(100);
    bench.forget_log();
    bench.hear(UP, &ns(X));
    assert_eq!(bench.heard(), [ok_na(X)], "verified when the carrier came back");
    assert_eq!(bench.routes.get(&X), Some(&DN));
}

#[test]
fn rte_06_who_left_a_link_without_carrier_is_found_at_once() {
    let mut bench = Bench::with_third();
    bench.known(X, DN);
    bench.link(DN, MB, false);
    bench.station(X).link = THIRD;
    bench.advance(Duration::from_secs(1));
    bench.forget_log();
    bench.hear(UP, &ns(X));
    let said = bench.transcript();
    assert!(said.contains(&"route P::21 third".to_owned()), "{said:?}");
    assert!(said.contains(&ok_na(X)), "{said:?}");
    assert!(!said.iter().any(|text| text.starts_with("unroute")), "{said:?}");
    assert_eq!(bench.place(X), "third mH reachable");
}

#[test]
fn rte_07_what_is_established_stays_what_is_new_is_refused() {
    let caps = [
        Limits { bindings: 100, ..Limits::default() },
        Limits { bindings_per_link: 100, ..Limits::default() },
        Limits { bindings_per_lladdr: 100, ..Limits::default() },
    ];
    for limits in caps {
        let mut bench = Bench::with(Config { limits, ..Config::default() });
        for number in 0..101 {
            let target = p(0x100 + number);
            bench.host(target, DN, MH);
            bench.hear(DN, &dad(target, MH).nonce(u8::try_from(number).unwrap()));
            if number == 99 {
                bench.advance(Duration::from_secs(1));
                assert_eq!(bench.told().len(), 100);
            }
        }
        assert_eq!(bench.told(), ["refused dn bindings-full"]);
        bench.advance(Duration::from_secs(2));
        assert_eq!(bench.engine.bindings(bench.now).count(), 100);
        assert_eq!(bench.routes.len(), 100);
        bench.forget_log();
        bench.hear(UP, &ns(p(0x100)));
        assert_eq!(bench.heard(), [ok_na(p(0x100))]);
        bench.hear(UP, &ns(p(0x100 + 100)));
        bench.advance(Duration::from_secs(5));
        assert!(!bench.heard().contains(&ok_na(p(0x100 + 100))));
        assert_eq!(bench.engine.resolutions(), 0);
    }
}

#[test]
fn rte_08_a_move_replaces_the_route_in_one_step() {
    let mut bench = Bench::known_x();
    bench.power_off(X);
    bench.host(X, UP, MH);
    bench.hear(UP, &na(X, MH).flags("O").for_all());
    bench.advance(Duration::from_secs(5));
    assert_eq!(bench.done(), ["route P::21 up"]);
    assert_eq!(bench.place(X), "up mH reachable");
}

#[test]
fn rte_09_after_lost_news_the_state_is_the_kernels() {
    let mut bench = Bench::known_x();
    bench.known(p(0x22), DN);
    bench.known(p(0x23), DN);
    // Lost: one route removed, one of a predecessor, an address gone, a host without its route.
    bench.routes.remove(&X);
    bench.routes.insert(Y, DN);
    bench.resync();
    assert_eq!(bench.done(), ["route P::21 dn"]);
    assert_eq!(bench.routes.len(), 4);
    bench.advance(Duration::from_secs(5));
    assert_eq!(bench.routes.get(&Y), None, "nobody answers there");
    assert_eq!(bench.routes.len(), 3);
    for target in [X, p(0x22), p(0x23)] {
        bench.forget_log();
        bench.hear(UP, &ns(target));
        assert_eq!(bench.heard(), [ok_na(target)]);
    }
}

#[test]
fn rte_09_addresses_that_are_gone_meanwhile() {
    let mut bench = Bench::new();
    bench.address(DN, "2001:db8:1::11/64");
    assert!(bench.groups.contains(&(UP, "ff02::1:ff00:11".parse().unwrap())));
    bench.kernel(KernelEvent::Overrun);
    bench.address(UP, "fe80::10/64");
    bench.address(UP, "2001:db8:1::10/64");
    bench.address(DN, "fe80::11/64");
    bench.kernel(KernelEvent::Synced);
    assert!(!bench.groups.contains(&(UP, "ff02::1:ff00:11".parse().unwrap())));
    bench.forget_log();
    bench.hear(UP, &ns(p(0x11)));
    assert_eq!(bench.heard(), [search(p(0x11))], "no longer our own");
}

#[test]
fn rte_09_a_resync_takes_nothing_from_live_hosts() {
    let mut bench = Bench::known_x();
    bench.resync();
    assert_eq!(bench.transcript(), Vec::<String>::new());
    bench.hear(UP, &ns(X));
    assert_eq!(bench.heard(), [ok_na(X)]);
}

#[test]
fn rte_11_an_orderly_exit_leaves_nothing() {
    let mut bench = Bench::known_x();
    bench.known(Z, UP);
    bench.hear(UP, &ns(Y));
    bench.forget_log();
    bench.shut_down();
    assert!(bench.routes.is_empty());
    assert!(bench.groups.is_empty());
    let said = bench.transcript();
    assert_eq!(said.iter().filter(|text| text.ends_with("MRT")).count(), 2, "{said:?}");
    assert_eq!(bench.engine.poll_timeout(), None);
    assert_eq!(bench.engine.bindings(bench.now).count(), 0);
}

#[test]
fn rte_11_a_link_that_is_served_no_longer_is_left_in_good_order() {
    let mut bench = Bench::known_x();
    bench.known(Z, UP);
    bench.release(DN);
    let said = bench.transcript();
    for done in ["unroute P::21 dn", "leave dn ff02::1:ff00:31", "leave dn ff02::1:ff00:21"] {
        assert!(said.iter().any(|said| said == done), "{done}: {said:?}");
    }
    assert!(said.iter().any(|said| said.starts_with("dn") && said.ends_with("MRT")), "{said:?}");
    assert!(said.contains(&"forgotten P::21 dn link-gone".to_owned()));
    assert!(bench.groups.iter().all(|(link, _)| *link == UP), "{:?}", bench.groups);
    assert!(bench.routes.keys().eq([&Z]), "{:?}", bench.routes);
    assert_eq!(bench.place(Z), "up mZ reachable", "the other link is as it was");
    bench.silence();
}

#[test]
fn rte_11_even_of_routes_that_are_under_way() {
    let mut bench = Bench::new();
    bench.host(X, DN, MH);
    bench.hold_acks();
    bench.hear(UP, &ns(X));
    bench.shut_down();
    bench.ack();
    assert!(bench.routes.is_empty());
}

#[test]
fn rte_13_the_kernels_own_misses_teach() {
    let learned = |bench: &mut Bench| {
        assert_eq!(bench.routes.get(&X), Some(&DN));
        assert_eq!(bench.place(X), "dn mH reachable");
        assert!(bench.heard().contains(&search(X)));
    };
    let mut bench = Bench::new();
    bench.host(X, DN, MH);
    bench.kernel(KernelEvent::Miss { link: UP, target: X });
    learned(&mut bench);

    let mut bench = Bench::new();
    bench.host(X, DN, MH);
    bench.kernel_sends(UP, &ns(X));
    learned(&mut bench);

    for code in [0, 3] {
        let mut bench = Bench::new();
        bench.host(X, DN, MH);
        bench.kernel_sends(UP, &unreachable(X, code));
        learned(&mut bench);
    }
}

#[test]
fn rte_13_a_miss_is_searched_for_everywhere_and_held_down() {
    let mut bench = Bench::new();
    bench.kernel(KernelEvent::Miss { link: UP, target: Y });
    bench.advance(Duration::from_secs(4));
    bench.kernel(KernelEvent::Miss { link: UP, target: Y });
    assert_eq!(bench.heard(), [search(Y), search(Y), search(Y)]);
    // The kernel asks on up itself; the answer it gets there counts.
    let mut bench = Bench::new();
    bench.kernel_sends(UP, &ns(Z));
    bench.hear(UP, &na(Z, crate::names::MZ).to(MA, p(0x10)));
    assert_eq!(bench.routes.get(&Z), Some(&UP));
}

#[test]
fn rte_13_a_host_that_the_kernel_still_knows_is_found_where_it_is() {
    let mut bench = Bench::new();
    bench.host(X, DN, MH);
    // It verifies its neighbor entry on dn, and is asked for X on up as well.
    bench.kernel_sends(DN, &ns(X));
    bench.kernel_sends(UP, &ns(X));
    assert_eq!(bench.binding(X), None);
    bench.advance(Duration::from_secs(1));
    assert_eq!(bench.routes.get(&X), Some(&DN));
}

#[test]
fn rte_13_saved_hosts_are_verified_not_believed() {
    for lladdr in [Some(MH), None] {
        let mut bench = Bench::new();
        bench.handle(Input::Restore { target: X, link: DN, lladdr });
        assert_eq!(bench.state(X), Some(BindingState::Probing));
        assert!(bench.routes.is_empty());
        bench.hear(DN, &na(X, MH));
        assert_eq!(bench.routes.get(&X), Some(&DN));
        let mut bench = Bench::new();
        bench.handle(Input::Restore { target: Y, link: DN, lladdr });
        bench.advance(Duration::from_secs(5));
        assert_eq!(bench.binding(Y), None);
    }
}

#[test]
fn rte_13_nonsense_in_the_saved_state_is_ignored() {
    let outside = "2001:db8:2::21".parse().unwrap();
    let restored = [
        (X, DN, Some(magpie_wire::LinkAddr::BROADCAST)),
        (X, DN, Some(MB)),
        (X, LinkId(9), Some(MH)),
        (outside, DN, Some(MH)),
        (p(0x10), DN, Some(MH)),
    ];
    let mut bench = Bench::new();
    for (target, link, lladdr) in restored {
        bench.handle(Input::Restore { target, link, lladdr });
    }
    bench.silence();
    assert_eq!(bench.engine.bindings(bench.now).count(), 0);
}

#[test]
fn rte_14_once_a_host_is_gone_nothing_is_said_for_it() {
    let mut bench = Bench::known_x();
    bench.power_off(X);
    bench.advance(Duration::from_secs(400));
    assert_eq!(bench.binding(X), None);
    assert!(bench.routes.is_empty());
    for _ in 0..10 {
        bench.hear(UP, &ns(X));
        bench.advance(Duration::from_secs(1));
    }
    let said = bench.heard();
    assert!(said.iter().all(|text| !text.contains("NA")), "{said:?}");
    assert!(bench.routes.is_empty());
}

#[test]
fn a_route_that_the_kernel_refuses_is_tried_again() {
    let mut bench = Bench::new();
    bench.host(X, DN, MH);
    bench.refuse_routes(28);
    bench.hear(UP, &ns(X));
    let said = bench.transcript();
    assert!(said.contains(&"route-failed P::21 dn 28".to_owned()), "{said:?}");
    assert!(!said.contains(&ok_na(X)), "{said:?}");
    assert_eq!(bench.binding(X).unwrap().route, RouteView::Pending);
    bench.ack();
    bench.advance(Duration::from_secs(5));
    assert_eq!(bench.routes.get(&X), Some(&DN));
    bench.hear(UP, &ns(X));
    assert_eq!(bench.heard().last(), Some(&ok_na(X)));
}

#[test]
fn every_route_is_shown_with_the_host_that_it_is_for() {
    let mut bench = Bench::known_x();
    assert_eq!(shown(&bench), [(X, DN, None, RouteStatus::Installed, Some(Evidence::Dad))]);

    // The new place has answered, and the kernel has not acknowledged the route to it yet.
    bench.station(X).link = UP;
    bench.hold_acks();
    bench.hear(UP, &na(X, MH).flags("O").for_all());
    bench.advance(Duration::from_secs(3));
    assert_eq!(
        shown(&bench),
        [(X, UP, Some(DN), RouteStatus::Wanted, Some(Evidence::Advertisement))]
    );
    bench.ack();

    bench.foreign_route(X, DN);
    assert_eq!(
        shown(&bench),
        [(X, UP, Some(DN), RouteStatus::Foreign, Some(Evidence::Advertisement))]
    );
    bench.foreign_route_gone(X);
    assert_eq!(
        shown(&bench),
        [(X, UP, None, RouteStatus::Installed, Some(Evidence::Advertisement))]
    );

    bench.hold_acks();
    bench.shut_down();
    assert_eq!(shown(&bench), [(X, UP, None, RouteStatus::Obsolete, None)]);
    bench.ack();
    assert_eq!(shown(&bench), []);
}

#[test]
fn a_route_that_is_refused_is_shown_with_the_reason() {
    let mut bench = Bench::new();
    bench.host(X, DN, MH);
    bench.refuse_routes(28);
    bench.hear(UP, &ns(X));
    let refused = RouteStatus::Refused { errno: 28 };
    assert_eq!(shown(&bench), [(X, DN, None, refused, Some(Evidence::Advertisement))]);
    bench.ack();
    bench.advance(Duration::from_secs(5));
    assert_eq!(
        shown(&bench),
        [(X, DN, None, RouteStatus::Installed, Some(Evidence::Advertisement))]
    );
}

#[test]
fn a_route_of_before_is_shown_as_such_until_its_host_has_answered() {
    let mut bench = Bench::empty(Config::default(), 1);
    let outside = "2001:db8:9::1".parse().unwrap();
    bench.host(X, DN, MH);
    bench.station(X).deaf = true;
    bench.routes.insert(X, DN);
    bench.routes.insert(outside, DN);
    bench.boot();
    let adopted = RouteStatus::Adopted;
    assert_eq!(
        shown(&bench),
        [(X, DN, None, adopted, Some(Evidence::Route)), (outside, DN, None, adopted, None)]
    );
    bench.station(X).deaf = false;
    bench.advance(Duration::from_secs(2));
    assert_eq!(
        shown(&bench),
        [
            (X, DN, None, RouteStatus::Installed, Some(Evidence::Route)),
            (outside, DN, None, adopted, None),
        ]
    );
}

#[test]
fn a_route_that_somebody_deleted_is_put_back_and_that_is_told() {
    let mut bench = Bench::known_x();
    bench.forget_log();
    bench.route_gone(X);
    assert_eq!(bench.routes.get(&X), Some(&DN));
    assert_eq!(bench.told(), ["route-repaired P::21 dn"]);
    assert_eq!(bench.engine.counters().routes_repaired, 1);

    // The same when it is missed only later.
    bench.routes.clear();
    bench.resync();
    assert_eq!(bench.routes.get(&X), Some(&DN));
    assert_eq!(bench.told(), ["route-repaired P::21 dn"]);
    assert_eq!(bench.engine.counters().routes_repaired, 2);
}

#[test]
fn what_the_kernel_removes_with_a_link_that_is_taken_down_was_not_broken() {
    let mut bench = Bench::known_x();
    bench.forget_log();
    bench.link(DN, MB, false);
    bench.route_gone(X);
    bench.link(DN, MB, true);
    bench.advance(Duration::from_secs(3));
    assert_eq!(bench.routes.get(&X), Some(&DN));
    assert_eq!(bench.told(), [] as [&str; 0]);
    assert_eq!(bench.engine.counters().routes_repaired, 0);
}

#[test]
fn who_goes_with_a_link_or_a_prefix_is_told_so_that_it_can_be_restored() {
    let mut bench = Bench::known_x();
    bench.forget_log();
    bench.link_gone(DN);
    assert_eq!(bench.told(), ["forgotten P::21 dn link-gone", "displaced P::21 dn mH"]);

    // Also before it had time to answer, and without anything known but its address.
    bench.link(DN, MB, true);
    bench.handle(Input::Restore { target: X, link: DN, lladdr: None });
    bench.forget_log();
    bench.link_gone(DN);
    assert_eq!(bench.told(), ["displaced P::21 dn -"]);

    let mut bench = Bench::known_x();
    bench.forget_log();
    for link in [UP, DN] {
        let own: Vec<_> = bench.own_addresses().filter(|(on, _)| *on == link).collect();
        for (link, address) in own.into_iter().filter(|(_, own)| !own.is_unicast_link_local()) {
            bench.address_gone(link, address);
        }
    }
    assert_eq!(bench.told(), ["forgotten P::21 dn out-of-scope", "displaced P::21 dn mH"]);

    // One that was silent will not be there later either.
    let mut bench = Bench::known_x();
    bench.power_off(X);
    bench.advance(Duration::from_secs(400));
    assert_eq!(bench.told().last().map(String::as_str), Some("forgotten P::21 dn silent"));
}

/// What is shown of a host route: target, link, where it leads instead, status, evidence.
type Shown = (Ipv6Addr, LinkId, Option<LinkId>, RouteStatus, Option<Evidence>);

fn shown(bench: &Bench) -> Vec<Shown> {
    let routes = bench.engine.host_routes(bench.now);
    routes
        .map(|route| {
            let evidence = route.binding.map(|binding| binding.evidence);
            (route.target, route.link, route.leads_to, route.status, evidence)
        })
        .collect()
}

#[test]
fn two_claims_for_one_address_end_with_one_route() {
    let mut bench = Bench::new();
    bench.hold_acks();
    bench.host(X, DN, MH);
    bench.hear(UP, &ns(X));
    bench.power_off(X);
    bench.host(X, UP, EVIL);
    bench.hear(UP, &na(X, EVIL).flags("O").for_all());
    bench.advance(Duration::from_secs(3));
    bench.ack();
    assert_eq!(bench.routes.get(&X), Some(&UP));
    assert_eq!(bench.binding(X).unwrap().route, RouteView::Installed);
}
