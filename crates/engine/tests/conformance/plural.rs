//! Links that the configuration does not name one by one: many devices stand for one member.

use std::time::Duration;

use magpie_engine::{
    Config, Discard, KernelEvent, LinkConfig, LinkId, Member, Method, Prefixes, Rule, RulePrefix,
    Rules,
};
use magpie_wire::{LinkAddr, multicast_lladdr, solicited_node};

use crate::bench::{Bench, ok_na};
use crate::frame::{dad, ns};
use crate::names::{DN, MH, MU, UP, X, Y, Z, ip, link_local, mac, p, station};
use crate::text;

const MANY: Member = Member(1);
/// Another device of the member that dn is one of.
const DN2: LinkId = LinkId(9);
const M2: LinkAddr = mac(0x19);

/// The upstream, and a member with any number of devices.
fn config() -> Config {
    let plural = LinkConfig { plural: true, ..LinkConfig::default() };
    Config { links: vec![LinkConfig::default(), plural], ..Config::default() }
}

fn add(bench: &mut Bench, link: LinkId, lladdr: LinkAddr) {
    bench.link_of_member(link, MANY, Some(lladdr), true);
    bench.address(link, &format!("fe80::{:x}/64", 0x100 + link.0));
}

/// up, dn, and another device of dn's member.
fn bench() -> Bench {
    bench_with(config())
}

fn bench_with(config: Config) -> Bench {
    let mut bench = Bench::with(config);
    add(&mut bench, DN2, M2);
    bench.advance(Duration::from_secs(10));
    bench.forget_log();
    bench
}

/// The station `lladdr` answers a question from dn's other device.
fn answer_on_dn2(target: std::net::Ipv6Addr) -> String {
    format!("#9 {M2}>mU fe80::109>fe80::1 NA {} S +TLLA {M2}", text::address(target))
}

#[test]
fn lnk_16_hosts_on_devices_of_one_member_are_told_of_each_other() {
    let mut bench = bench();
    bench.host(X, DN, MH);
    bench.hear(DN2, &ns(X));
    let said = bench.heard();
    assert!(said.contains(&answer_on_dn2(X)), "{said:?}");
    // It was looked for everywhere but where it was asked for.
    let group = solicited_node(X);
    let (asked, lladdr) = (format!(">{group} NS"), multicast_lladdr(group));
    assert_eq!(said.iter().filter(|text| text.contains(&asked)).count(), 2, "{said:?}, {lladdr}");
    assert_eq!(bench.routes.get(&X), Some(&DN));
    bench.hear(UP, &ns(X));
    assert_eq!(bench.heard(), [ok_na(X)]);
    // Never to those on its own link.
    bench.ignores(DN, &ns(X), Discard::SameLink);
}

#[test]
fn lnk_16_duplicates_on_devices_of_one_member_are_found() {
    let mut bench = bench();
    bench.known(X, DN);
    bench.hear(DN2, &dad(X, mac(0x66)).nonce(4));
    bench.advance(Duration::from_secs(2));
    let said = bench.heard();
    let defense = format!("#9 {M2}>33:33:00:00:00:01 fe80::109>ff02::1 NA P::21 - +TLLA {M2}");
    assert!(said.contains(&defense), "{said:?}");
    assert_eq!(bench.place(X), "dn mH reachable");
}

#[test]
fn lnk_16_a_host_moves_between_devices_of_one_member() {
    let mut bench = bench();
    bench.known(X, DN);
    bench.station(X).link = DN2;
    bench.hear(DN2, &dad(X, MH).nonce(4));
    bench.advance(Duration::from_secs(2));
    assert_eq!(bench.place(X), "#9 mH reachable");
    assert_eq!(bench.routes.get(&X), Some(&DN2));
    // Those that it has left are told.
    let said = bench.heard();
    assert!(said.iter().any(|text| text.starts_with("dn") && text.contains("NA P::21 O")));
}

#[test]
fn lnk_16_one_member_is_enough_if_it_is_plural() {
    for plural in [true, false] {
        let link = LinkConfig { plural, ..LinkConfig::default() };
        let mut bench = Bench::empty(Config { links: vec![link], ..Config::default() }, 3);
        bench.kernel(KernelEvent::Overrun);
        bench.link_of_member(DN, Member(0), Some(mac(0x11)), true);
        bench.address(DN, "fe80::11/64");
        bench.address(DN, "2001:db8:1::11/64");
        bench.kernel(KernelEvent::Synced);
        // Known, although nobody could be told of it yet.
        bench.host(X, DN, MH);
        bench.hear(DN, &dad(X, MH).nonce(4));
        bench.advance(Duration::from_secs(2));
        assert_eq!(bench.routes.get(&X), plural.then_some(&DN));
        if plural {
            bench.link_of_member(DN2, Member(0), Some(M2), true);
            bench.address(DN2, "fe80::109/64");
            bench.advance(Duration::from_secs(5));
            assert!(bench.groups.contains(&(DN2, solicited_node(X))));
            bench.forget_log();
            bench.hear(DN2, &ns(X));
            assert_eq!(bench.heard(), [answer_on_dn2(X)]);
        }
    }
}

#[test]
fn lnk_16_a_device_that_goes_takes_its_own_hosts_along_and_no_others() {
    let net = "2001:db8:1::/64".parse().unwrap();
    let prefixes = Prefixes::only(vec![net]);
    let mut bench = bench_with(Config { prefixes, ..config() });
    bench.known(X, DN);
    bench.known(Z, DN2);
    bench.link_gone(DN2);
    assert_eq!(bench.place(Z), "nowhere");
    assert_eq!(bench.place(X), "dn mH reachable", "there may always be another device");
    // The last of those that could have been told.
    bench.link_gone(UP);
    bench.advance(Duration::from_secs(1));
    assert_eq!(bench.routes.get(&X), Some(&DN));
}

#[test]
fn lnk_16_rules_tell_members_from_each_other_not_devices() {
    let only = |members: &[u8]| members.iter().map(|member| Member(*member)).collect();
    let rule = |on: &[u8], to: &[u8]| Rule {
        prefix: RulePrefix::Subnet,
        on: only(on),
        method: Method::Probe { to: only(to) },
    };
    // The devices are told of the upstream and the upstream of them, but not of each other.
    let rules = Rules::new(vec![rule(&[0], &[1]), rule(&[1], &[0])], Vec::new());
    let mut bench = bench_with(Config { rules, ..config() });
    bench.host(X, DN, MH);
    bench.hear(DN2, &ns(X));
    bench.advance(Duration::from_secs(5));
    let said = bench.heard();
    assert!(said.iter().all(|text| text.starts_with("up") && !text.contains("NA")), "{said:?}");
    bench.hear(UP, &ns(X));
    assert!(bench.heard().contains(&ok_na(X)));
    bench.ignores(DN2, &ns(X), Discard::OutOfScope);
    // With a configuration that lets them, at once.
    bench.reconfigure(config());
    bench.hear(DN2, &ns(X));
    assert_eq!(bench.heard(), [answer_on_dn2(X)]);
}

#[test]
fn lnk_16_fifty_devices_come_and_go() {
    const DEVICES: u32 = 50;
    let mut bench = Bench::with(config());
    for round in 0..3 {
        let first = 100 + round * DEVICES;
        for device in first..first + DEVICES {
            let link = LinkId(device);
            let number = u16::try_from(device).unwrap();
            add(&mut bench, link, station(number));
            let host = p(0x1000 + number);
            bench.host(host, link, station(0x1000 + number));
            bench.hear(link, &dad(host, station(0x1000 + number)).nonce(1));
        }
        bench.advance(Duration::from_secs(5));
        assert_eq!(bench.routes.len(), DEVICES as usize);
        bench.forget_log();
        for device in first..first + DEVICES {
            let asker = LinkId(first + (device + 7 - first) % DEVICES);
            let host = p(0x1000 + u16::try_from(device).unwrap());
            bench.hear(asker, &ns(host).by(MU, link_local(0x41)));
            let said = bench.heard();
            assert_eq!(said.len(), 1, "{said:?}");
        }
        for device in first..first + DEVICES {
            bench.link_gone(LinkId(device));
            bench.power_off(p(0x1000 + u16::try_from(device).unwrap()));
        }
        bench.advance(Duration::from_secs(5));
        assert!(bench.routes.is_empty());
        assert_eq!(bench.engine.bindings(bench.now).count(), 0);
        assert!(bench.groups.iter().all(|(link, _)| [UP, DN].contains(link)), "{:?}", bench.groups);
        let own = ip("ff02::1:ff00:10");
        assert_eq!(bench.groups.iter().collect::<Vec<_>>(), [&(DN, own)], "nothing is left behind");
    }
    bench.hear(UP, &ns(Y));
    bench.advance(Duration::from_secs(5));
    assert_eq!(bench.engine.resolutions(), 0);
}
