//! Links: renamed, re-created, with new link-layer addresses.

use std::net::Ipv6Addr;
use std::time::Duration;

use magpie_engine::{Config, Discard, Input, LinkConfig, LinkId};
use magpie_wire::LinkAddr;

use crate::bench::{Bench, ok_na};
use crate::frame::{dad, na, ns};
use crate::names::{DN, EVIL, MA, MB, MH, MU, MZ, UP, X, Z, ip, p, station};
use crate::text;

#[test]
fn lnk_11_a_link_is_its_index_whatever_is_said_of_it() {
    let mut bench = Bench::known_x();
    bench.link(DN, MB, true);
    bench.link(UP, MA, true);
    assert_eq!(bench.transcript(), Vec::<String>::new(), "nothing has changed");
    bench.hear(UP, &ns(X));
    assert_eq!(bench.heard(), [ok_na(X)]);
    // Another device, even with the same link-layer address, is another link.
    bench.ignores(LinkId(9), &ns(X), Discard::LinkDown);
}

#[test]
fn lnk_12_down_and_up_again() {
    let mut bench = Bench::known_x();
    bench.link(UP, MA, false);
    bench.hear(UP, &ns(X));
    assert_eq!(bench.heard(), Vec::<String>::new());
    assert_eq!(bench.counter(Discard::LinkDown), 1);
    bench.link(UP, MA, true);
    bench.forget_log();
    bench.hear(UP, &ns(X));
    assert_eq!(bench.heard(), [ok_na(X)]);
}

#[test]
fn lnk_12_deleted_and_created_again() {
    let mut bench = Bench::known_x();
    bench.known(Z, UP);
    bench.link_gone(DN);
    assert!(bench.told().contains(&"forgotten P::21 dn link-gone".to_owned()));
    assert_eq!(bench.routes.len(), 1);
    bench.ignores(DN, &ns(Z), Discard::LinkDown);

    let again = LinkId(12);
    bench.link(again, MB, true);
    bench.address(again, "fe80::11/64");
    assert!(bench.groups.contains(&(again, ip("ff02::1:ff00:31"))), "joined again for Z");
    assert!(bench.groups.contains(&(again, ip("ff02::1:ff00:10"))), "and for P::10");
    bench.station(X).link = again;
    bench.advance(Duration::from_secs(1));
    bench.forget_log();
    bench.hear(UP, &ns(X));
    assert_eq!(bench.heard().last(), Some(&ok_na(X)));
    assert_eq!(bench.routes.get(&X), Some(&again));
}

#[test]
fn lnk_12_those_who_asked_on_a_link_that_is_gone() {
    let mut bench = Bench::new();
    bench.hear(UP, &ns(X));
    bench.link_gone(UP);
    assert_eq!(bench.engine.resolutions(), 0);
    bench.hear(DN, &na(X, MH));
    bench.advance(Duration::from_secs(10));
    assert!(bench.sent().all(|sent| sent.link == DN));
}

#[test]
fn lnk_13_a_new_link_layer_address_is_used_at_once() {
    let mut bench = Bench::known_x();
    let new = station(0x99);
    bench.link(UP, new, true);
    bench.hear(UP, &ns(X));
    assert_eq!(bench.heard(), [format!("up {new}>mU fe80::10>fe80::1 NA P::21 S +TLLA {new}")]);
    bench.advance(Duration::from_secs(10));
    bench.ignores(UP, &na(X, new).flags("O").for_all(), Discard::OwnFrame);
}

/// What everybody on up is told of `target`, by the link-layer address `lladdr`.
fn notice(target: Ipv6Addr, flags: &str, lladdr: LinkAddr) -> String {
    let target = text::address(target);
    format!("up {lladdr}>33:33:00:00:00:01 fe80::10>ff02::1 NA {target} {flags} +TLLA {lladdr}")
}

#[test]
fn lnk_13_neighbors_are_told_of_a_new_link_layer_address() {
    let mut bench = Bench::known_x();
    bench.address(DN, "2001:db8:1::11/64");
    bench.known(Z, UP);
    bench.advance(Duration::from_secs(5));
    bench.forget_log();
    let new = station(0x99);
    bench.link(UP, new, true);
    bench.advance(Duration::from_secs(10));
    let round = [
        notice(ip("fe80::10"), "RO", new),
        notice(p(0x10), "RO", new),
        notice(p(0x11), "RO", new),
        notice(X, "O", new),
    ];
    // Z, which is on that link itself, speaks for itself; X is asked whether it is still there.
    let (asked, said): (Vec<_>, Vec<_>) =
        bench.heard_in_time().into_iter().partition(|(_, text)| text.contains(" NS P::21 "));
    assert_eq!(asked.len(), 2, "{asked:?}");
    let (times, said): (Vec<_>, Vec<_>) = said.into_iter().unzip();
    assert_eq!(said, [&round[..], &round[..]].concat());
    assert!(times.is_sorted_by(|earlier, later| later - earlier >= 10), "{times:?}");
    assert!((2_900..3_200).contains(&(times[4] - times[3])), "{times:?}");
}

#[test]
fn lnk_13_also_of_that_of_a_device_in_the_place_of_another() {
    let mut bench = Bench::new();
    bench.address(DN, "2001:db8:1::11/64");
    bench.known(X, DN);
    bench.hear(UP, &ns(X));
    bench.link_gone(UP);
    let (again, new) = (LinkId(12), station(0x99));
    bench.forget_log();
    bench.link_as(again, UP, new, false);
    bench.address_in_state(again, "fe80::10/64", true);
    bench.advance(Duration::from_secs(1));
    assert_eq!(bench.heard(), Vec::<String>::new(), "nothing can be said yet");
    bench.link_as(again, UP, new, true);
    bench.address(again, "fe80::10/64");
    bench.address(again, "2001:db8:1::10/64");
    bench.advance_ms(200);
    let said = bench.heard();
    let told = |target: Ipv6Addr| {
        let target = text::address(target);
        let text = format!("#12 {new}>33:33:00:00:00:01 fe80::10>ff02::1 NA {target}");
        said.iter().filter(|said| said.starts_with(&text)).count()
    };
    assert_eq!((told(ip("fe80::10")), told(p(0x10)), told(X)), (1, 1, 1), "{said:?}");

    // With the same one there is nothing to tell.
    bench.advance(Duration::from_secs(10));
    bench.link_gone(again);
    bench.forget_log();
    let third = LinkId(13);
    bench.link_as(third, UP, new, true);
    bench.address(third, "fe80::10/64");
    bench.advance(Duration::from_secs(10));
    assert!(bench.heard().iter().all(|said| !said.contains(" NA ")));
}

#[test]
fn lnk_13_also_of_hosts_that_are_found_again_soon() {
    let mut bench = Bench::known_x();
    bench.link_gone(UP);
    assert_eq!(bench.binding(X), None, "its prefix is gone with the address on up");
    let (again, new) = (LinkId(12), station(0x99));
    bench.link_as(again, UP, new, true);
    bench.address(again, "fe80::10/64");
    bench.address(again, "2001:db8:1::10/64");
    bench.advance(Duration::from_secs(2));
    bench.forget_log();
    bench.handle(Input::Restore { target: X, link: DN, lladdr: Some(MH) });
    bench.advance(Duration::from_secs(1));
    let told = format!("#12 {new}>33:33:00:00:00:01 fe80::10>ff02::1 NA P::21 O +TLLA {new}");
    assert!(bench.heard().contains(&told));
}

#[test]
fn lnk_13_not_where_one_of_many_devices_comes() {
    let mut config = Config::alike(LinkConfig { plural: true, ..LinkConfig::default() });
    config.links[1].plural = false;
    let mut bench = Bench::with(config);
    bench.known(X, DN);
    bench.link_gone(UP);
    let again = LinkId(12);
    bench.link_as(again, UP, station(0x99), true);
    bench.address(again, "fe80::10/64");
    bench.advance(Duration::from_secs(10));
    assert!(bench.heard().iter().all(|said| !said.contains(" NA ")), "they never met");
}

#[test]
fn lnk_13_a_link_that_was_down_has_nothing_new_to_tell() {
    let mut bench = Bench::known_x();
    bench.link(UP, MA, false);
    bench.advance(Duration::from_secs(2));
    bench.link(UP, MA, true);
    bench.advance(Duration::from_secs(10));
    assert!(bench.heard().iter().all(|said| !said.contains(" NA ")));
    // Unless its link-layer address changed meanwhile.
    let new = station(0x99);
    bench.link(UP, MA, false);
    bench.link(UP, new, false);
    bench.advance(Duration::from_secs(2));
    bench.forget_log();
    bench.link(UP, new, true);
    bench.advance(Duration::from_secs(1));
    assert!(bench.heard().contains(&notice(X, "O", new)));
}

#[test]
fn lnk_14_one_link_layer_address_on_both_links() {
    let mut bench = Bench::new();
    bench.known_at(X, DN, MH);
    bench.known_at(Z, UP, MH);
    assert_eq!(bench.place(X), "dn mH reachable");
    assert_eq!(bench.place(Z), "up mH reachable");
    bench.hear(UP, &ns(X));
    assert_eq!(bench.heard(), [ok_na(X)]);
    bench.hear(DN, &ns(Z));
    assert_eq!(bench.heard(), ["dn mB>mU fe80::11>fe80::1 NA P::31 S +TLLA mB"]);
    // The addresses swap.
    bench.station(X).link = UP;
    bench.station(Z).link = DN;
    bench.hear(UP, &dad(X, MH).nonce(1));
    bench.hear(DN, &dad(Z, MH).nonce(2));
    bench.advance(Duration::from_secs(2));
    assert_eq!(bench.place(X), "up mH reachable");
    assert_eq!(bench.place(Z), "dn mH reachable");
    assert_eq!((bench.routes.get(&X), bench.routes.get(&Z)), (Some(&UP), Some(&DN)));
}

#[test]
fn lnk_17_for_link_local_addresses_only_the_kernel_answers() {
    let mut bench = Bench::known_x();
    let host = ip("fe80::21");
    let own = ip("fe80::11");
    bench.ignores(DN, &ns(own).by(MH, host).unicast(MB), Discard::OwnTarget);
    let router = ip("fe80::1");
    bench.ignores(DN, &ns(router).by(MH, host).unicast(MB), Discard::OutOfScope);
    bench.ignores(DN, &ns(router).by(MH, host), Discard::OutOfScope);
    bench.ignores(UP, &ns(router).by(MZ, ip("fe80::31")), Discard::OutOfScope);
}

#[test]
fn lnk_18_the_answer_leaves_where_the_question_came_in() {
    let mut bench = Bench::with_third();
    bench.known(X, DN);
    bench.hear(UP, &ns(X).by(MU, ip("2001:db8:ffff::5")));
    assert_eq!(bench.heard(), ["up mA>mU fe80::10>2001:db8:ffff::5 NA P::21 S +TLLA mA"]);
    bench.hear(UP, &ns(X).by(EVIL, p(0x99)).bare());
    assert!(bench.heard().iter().all(|text| text.starts_with("up")));
}
