//! Checks lookups of routes, routes in other tables and news of routing against the real kernel.
#![forbid(unsafe_code)]

mod common;

use std::error::Error;
use std::fs;
use std::net::Ipv6Addr;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use libtest_mimic::Arguments;
use magpie_sys::netlink::{
    Answer, Batch, Change, Egress, Errno, Event, Family, FoundRoute, Group, HostRoute, Monitor,
    NetlinkSocket, Route, RouteEvent, RouteKind,
};
use magpie_testnet::{Node, connect};
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketType};

use crate::common::{Outcome, chain, trial};

fn main() -> ExitCode {
    if let Err(error) = magpie_testnet::enter() {
        eprintln!("cannot run these tests: {}", chain(&error));
        return ExitCode::FAILURE;
    }
    let tests = vec![
        trial("a_lookup_tells_the_device_and_the_longest_prefix", the_longest_prefix),
        trial("addresses_of_this_host_are_local", addresses_of_this_host_are_local),
        trial("where_packets_end_there_is_no_route", where_packets_end_there_is_no_route),
        trial("a_link_that_is_down_or_missing_is_no_error", a_link_that_is_down_or_missing),
        trial("policy_rules_see_where_the_packet_comes_in", policy_rules_see_where),
        trial("of_several_next_hops_the_way_back_comes_first", of_several_next_hops),
        trial("shared_next_hops_are_followed", shared_next_hops_are_followed),
        trial("changes_and_lookups_are_carried_out_in_order", carried_out_in_order),
        trial("lookups_fill_a_batch", lookups_fill_a_batch),
        trial("host_routes_live_in_any_table", host_routes_live_in_any_table),
        trial("changes_of_routing_are_announced", changes_of_routing_are_announced),
    ];
    libtest_mimic::run(&Arguments::from_args(), tests).exit_code()
}

fn the_longest_prefix() -> Outcome {
    let mut scene = Scene::new()?;
    let (wan, lan) = (scene.wan, scene.lan);
    let gateway = "fe80::9".parse()?;
    let default = Route { gateway: Some(gateway), ..Route::on_link(address("::"), 0, wan) };
    let behind = Route { gateway: Some(gateway), ..Route::on_link(address("1::42"), 128, lan) };
    for route in [
        default,
        Route::on_link(address("1::"), 64, wan),
        Route::on_link(address("1::"), 112, lan),
        behind,
    ] {
        scene.node.add_route(&route)?;
    }
    for from in [None, Some(wan), Some(lan)] {
        for (target, device, prefix_len) in
            [("1::42", lan, 128), ("1::43", lan, 112), ("1::1:0", wan, 64), ("2::1", wan, 0)]
        {
            assert_eq!(
                scene.find(target, from)?,
                Some(device_route(device, prefix_len)),
                "{target}"
            );
        }
    }
    scene.node.delete_route(&behind)?;
    assert_eq!(scene.find("1::42", Some(wan))?, Some(device_route(lan, 112)));
    Ok(())
}

fn addresses_of_this_host_are_local() -> Outcome {
    let mut scene = Scene::new()?;
    scene.node.set_forwarding()?;
    scene.node.add_address_nodad(LAN, address("1::1"), 64)?;
    scene.node.add_route(&Route {
        kind: RouteKind::LOCAL,
        ..Route::on_link(address("7::"), 64, LOOPBACK)
    })?;
    // The kernel takes up an address a little later than it takes it.
    scene.node.wait_routes(LIMIT, "the routes of an address", |routes| {
        let has = |kind, end| {
            let is_it =
                |route: &RouteEvent| route.kind == kind && route.destination == address(end);
            routes.iter().any(is_it)
        };
        let all = has(RouteKind::LOCAL, "1::1") && has(RouteKind::ANYCAST, "1::");
        (all && has(RouteKind::UNICAST, "1::")).then_some(())
    })?;
    for from in [None, Some(scene.wan), Some(scene.lan)] {
        assert_eq!(scene.find("1::1", from)?, Some(local_route(128)));
        assert_eq!(
            scene.find("1::", from)?,
            Some(local_route(128)),
            "the anycast address of routers"
        );
        assert_eq!(scene.find("1::2", from)?, Some(device_route(scene.lan, 64)));
        assert_eq!(scene.find("7::1", from)?, Some(local_route(64)));
    }
    Ok(())
}

fn where_packets_end_there_is_no_route() -> Outcome {
    let mut scene = Scene::new()?;
    for (prefix, kind, errno) in [
        ("1::", RouteKind::BLACKHOLE, Errno::INVAL),
        ("2::", RouteKind::UNREACHABLE, Errno::HOSTUNREACH),
        ("3::", RouteKind::PROHIBIT, Errno::ACCESS),
        ("4::", RouteKind(THROW), Errno::NETUNREACH),
    ] {
        let route = Route { oif: None, kind, ..Route::on_link(address(prefix), 64, 0) };
        scene.node.add_route(&route)?;
        for from in [None, Some(scene.wan)] {
            let answer = scene.ask(address(prefix), from)?;
            assert_eq!(refusal(&answer), Some(errno), "{kind:?}: {answer:?}");
        }
    }
    scene.node.add_route(&Route::on_link(address("5::"), 64, LOOPBACK))?;
    for from in [None, Some(scene.wan)] {
        assert_eq!(scene.ask(address("5::1"), from)?, Answer::Route(None));
        let answer = scene.ask(address("6::1"), from)?;
        assert_eq!(refusal(&answer), Some(Errno::NETUNREACH), "{answer:?}");
    }
    Ok(())
}

fn a_link_that_is_down_or_missing() -> Outcome {
    let mut scene = Scene::new()?;
    let (wan, lan) = (scene.wan, scene.lan);
    scene.node.add_route(&Route::on_link(address("1::"), 64, lan))?;
    let answer = scene.ask(address("1::1"), Some(999))?;
    assert_eq!(refusal(&answer), Some(Errno::NODEV), "{answer:?}");
    // A packet that came in before the link went down is still forwarded.
    scene.node.set_down(WAN)?;
    assert_eq!(scene.find("1::1", Some(wan))?, Some(device_route(lan, 64)));
    scene.node.set_down(LAN)?;
    assert_eq!(scene.find("1::1", Some(wan))?, None);
    Ok(())
}

fn policy_rules_see_where() -> Outcome {
    let mut scene = Scene::new()?;
    let (wan, lan) = (scene.wan, scene.lan);
    scene.node.add_route(&Route::on_link(address("1::"), 64, wan))?;
    scene.node.add_route(&Route { table: 100, ..Route::on_link(address("1::"), 112, lan) })?;
    assert_eq!(scene.find("1::1", Some(wan))?, Some(device_route(wan, 64)));

    scene.change(RULE_NEW, &rule(WAN, 100))?;
    assert_eq!(scene.find("1::1", Some(wan))?, Some(device_route(lan, 112)));
    assert_eq!(scene.find("1::1:0", Some(wan))?, Some(device_route(wan, 64)));
    assert_eq!(scene.find("1::1", Some(lan))?, Some(device_route(wan, 64)));
    assert_eq!(scene.find("1::1", None)?, Some(device_route(wan, 64)));

    scene.change(RULE_DELETE, &rule(WAN, 100))?;
    assert_eq!(scene.find("1::1", Some(wan))?, Some(device_route(wan, 64)));
    Ok(())
}

fn of_several_next_hops() -> Outcome {
    let mut scene = Scene::new()?;
    let (wan, lan) = (scene.wan, scene.lan);
    let hops: Vec<u8> = [wan, lan].into_iter().flat_map(hop).collect();
    scene.change(ROUTE_NEW, &route(64, &[(RTA_MULTIPATH, &hops)]))?;
    assert_eq!(scene.find("1::1", Some(wan))?, Some(device_route(wan, 64)));
    assert_eq!(scene.find("1::1", Some(lan))?, Some(device_route(lan, 64)));
    let either = [Some(device_route(wan, 64)), Some(device_route(lan, 64))];
    assert!(either.contains(&scene.find("1::1", None)?));
    scene.peer.set_down(WAN)?;
    scene.node.wait_carrier(WAN, false)?;
    assert_eq!(scene.find("1::1", None)?, Some(device_route(lan, 64)));
    assert_eq!(scene.find("1::1", Some(wan))?, Some(device_route(wan, 64)));
    Ok(())
}

fn shared_next_hops_are_followed() -> Outcome {
    let mut scene = Scene::new()?;
    let (wan, lan) = (scene.wan, scene.lan);
    let by_id = |id: u32| route(64, &[(RTA_NH_ID, &id.to_ne_bytes())]);
    for (id, oif) in [(1_u32, wan), (2, lan)] {
        scene.change(NEXTHOP_NEW, &nexthop(id, &[(NHA_OIF, &oif.to_ne_bytes())]))?;
    }
    let group: Vec<u8> = [1, 2].into_iter().flat_map(group_entry).collect();
    scene.change(NEXTHOP_NEW, &nexthop_group(3, &group))?;
    scene.change(NEXTHOP_NEW, &nexthop(4, &[(NHA_BLACKHOLE, &[])]))?;
    for (id, from, expected) in [
        (1, None, Some(device_route(wan, 64))),
        (2, Some(wan), Some(device_route(lan, 64))),
        (3, Some(wan), Some(device_route(wan, 64))),
        (3, Some(lan), Some(device_route(lan, 64))),
        (4, None, None),
    ] {
        scene.change(ROUTE_REPLACE, &by_id(id))?;
        assert_eq!(scene.find("1::1", from)?, expected, "{id} from {from:?}");
    }

    scene.set_nexthop_compat(false)?;
    let shared = Some(FoundRoute { egress: Egress::Shared, prefix_len: 64 });
    for (id, device) in [(1, Some(wan)), (2, Some(lan)), (4, None)] {
        scene.change(ROUTE_REPLACE, &by_id(id))?;
        for from in [None, Some(wan)] {
            assert_eq!(scene.find("1::1", from)?, device.and(shared));
            let answers = scene.ask_all(|batch| {
                batch.find_device(address("1::1"), from);
            })?;
            let found = answers.into_iter().map(short).map(|answer| answer.ok().flatten());
            let expected = device.map(|device| device_route(device, 128));
            assert!(found.eq([expected]), "{id} from {from:?}");
        }
    }
    Ok(())
}

fn carried_out_in_order() -> Outcome {
    let mut scene = Scene::new()?;
    let (wan, lan) = (scene.wan, scene.lan);
    scene.node.add_route(&Route::on_link(address("1::"), 64, wan))?;
    let host = |oif| HostRoute {
        destination: address("1::1"),
        oif,
        metric: 1090,
        table: Route::MAIN_TABLE,
        protocol: 109,
    };
    let answers = scene.ask_all(|batch| {
        batch.find_route(address("1::1"), Some(wan));
        batch.replace_host_route(&host(lan));
        batch.find_route(address("1::1"), Some(wan));
        batch.replace_host_route(&host(wan));
        batch.find_route(address("1::1"), Some(wan));
        batch.delete_host_route(&host(lan));
        batch.find_route(address("9::1"), None);
        batch.delete_host_route(&host(wan));
        batch.find_route(address("1::1"), None);
    })?;
    let found = |device, prefix_len| Ok(Some(device_route(device, prefix_len)));
    let expected = [
        found(wan, 64),
        Ok(None),
        found(lan, 128),
        Ok(None),
        found(wan, 128),
        Err(Errno::SRCH),
        Err(Errno::NETUNREACH),
        Ok(None),
        found(wan, 64),
    ];
    let answers: Vec<_> = answers.into_iter().map(short).collect();
    assert_eq!(answers, expected);
    Ok(())
}

fn lookups_fill_a_batch() -> Outcome {
    let mut scene = Scene::new()?;
    let lan = scene.lan;
    // Every other one has a route.
    for number in (0..256).step_by(2) {
        scene.node.add_route(&Route::on_link(numbered(number), 128, lan))?;
    }
    for _ in 0..16 {
        let answers = scene.ask_all(|batch| {
            for number in 0..256 {
                batch.find_route(numbered(number), Some(2));
            }
        })?;
        for (number, answer) in answers.into_iter().enumerate() {
            let expected = if number % 2 == 0 {
                Ok(Some(device_route(lan, 128)))
            } else {
                Err(Errno::NETUNREACH)
            };
            assert_eq!(short(answer), expected, "{number}");
        }
    }
    Ok(())
}

fn host_routes_live_in_any_table() -> Outcome {
    let mut scene = Scene::new()?;
    let (wan, lan) = (scene.wan, scene.lan);
    let host = |oif| HostRoute {
        destination: address("1::1"),
        oif,
        metric: 700,
        table: 100,
        protocol: 77,
    };
    let of_table = |scene: &Scene, table| -> Result<Vec<_>, Box<dyn Error>> {
        let mut routes = scene.node.routes()?;
        routes.retain(|route| route.table == table && route.prefix_len == 128);
        Ok(routes.into_iter().map(|route| (route.oif, route.metric, route.protocol)).collect())
    };
    let same_in_main = HostRoute { table: Route::MAIN_TABLE, ..host(wan) };
    scene.node.execute("add host routes", |batch| {
        batch.replace_host_route(&host(wan));
        batch.replace_host_route(&host(lan));
        batch.replace_host_route(&same_in_main);
    })?;
    assert_eq!(of_table(&scene, 100)?, [(Some(lan), 700, 77)]);
    assert_eq!(of_table(&scene, Route::MAIN_TABLE)?, [(Some(wan), 700, 77)]);

    // No other than the route that is meant is deleted.
    for other in [
        host(wan),
        HostRoute { metric: 701, ..host(lan) },
        HostRoute { protocol: 78, ..host(lan) },
        HostRoute { table: 101, ..host(lan) },
    ] {
        let answer = scene.ask_all(|batch| {
            batch.delete_host_route(&other);
        })?;
        assert_eq!(answer.into_iter().map(short).collect::<Vec<_>>(), [Err(Errno::SRCH)]);
    }
    scene.node.execute("delete a host route", |batch| {
        batch.delete_host_route(&host(lan));
    })?;
    assert_eq!(of_table(&scene, 100)?, []);
    assert_eq!(of_table(&scene, Route::MAIN_TABLE)?, [(Some(wan), 700, 77)]);

    // A large number does not fit the header's octet.
    let far = HostRoute { table: 70_000, ..host(lan) };
    scene.node.execute("add a host route", |batch| {
        batch.add_host_route(&far);
    })?;
    assert_eq!(of_table(&scene, 70_000)?, [(Some(lan), 700, 77)]);
    scene.node.execute("delete a host route", |batch| {
        batch.delete_host_route(&far);
    })?;
    assert_eq!(of_table(&scene, 70_000)?, []);
    Ok(())
}

fn changes_of_routing_are_announced() -> Outcome {
    let scene = Scene::new()?;
    let lan = scene.lan;
    let mut monitor = {
        let _inside = scene.node.enter()?;
        Monitor::open(&Group::ALL)?
    };
    for kind in [RULE_NEW, RULE_DELETE] {
        scene.change(kind, &rule(WAN, 100))?;
        await_event(&mut monitor, |event| *event == Event::PolicyRule)?;
    }
    let oif = lan.to_ne_bytes();
    scene.change(NEXTHOP_NEW, &nexthop(1, &[(NHA_OIF, &oif)]))?;
    await_event(&mut monitor, |event| *event == Event::Nexthop)?;
    scene.change(NEXTHOP_DELETE, &nexthop(1, &[]))?;
    await_event(&mut monitor, |event| *event == Event::Nexthop)?;
    // Routes that share it change without a word of their own.
    scene.set_nexthop_compat(false)?;
    scene.change(NEXTHOP_NEW, &nexthop(1, &[(NHA_OIF, &oif)]))?;
    scene.change(ROUTE_NEW, &route(64, &[(RTA_NH_ID, &1_u32.to_ne_bytes())]))?;
    let is_it = |route: &RouteEvent| route.destination == address("1::");
    await_event(
        &mut monitor,
        |event| matches!(event, Event::Route(Change::Present(route)) if is_it(route)),
    )?;
    scene.change(NEXTHOP_REPLACE, &nexthop(1, &[(NHA_OIF, &scene.wan.to_ne_bytes())]))?;
    await_event(&mut monitor, |event| *event == Event::Nexthop)?;

    scene.node.add_route(&Route { table: 100, ..Route::on_link(address("2::"), 112, lan) })?;
    await_event(
        &mut monitor,
        |event| matches!(event, Event::Route(Change::Present(route)) if route.table == 100),
    )?;
    Ok(())
}

/// A router with two links, and a socket to ask its kernel.
struct Scene {
    node: Node,
    peer: Node,
    wan: u32,
    lan: u32,
    socket: NetlinkSocket,
    batch: Batch,
}

impl Scene {
    fn new() -> Result<Self, Box<dyn Error>> {
        let (node, peer) = (Node::new("router")?, Node::switch("peer")?);
        for link in [WAN, LAN] {
            connect(&node.plug(link), &peer.plug(link))?;
            node.wait_carrier(link, true)?;
        }
        let socket = {
            let _inside = node.enter()?;
            NetlinkSocket::open(Family::Route)?
        };
        let (wan, lan) = (node.ifindex(WAN)?, node.ifindex(LAN)?);
        Ok(Self { node, peer, wan, lan, socket, batch: Batch::new() })
    }

    fn find(
        &mut self,
        target: &str,
        from: Option<u32>,
    ) -> Result<Option<FoundRoute>, Box<dyn Error>> {
        Ok(match self.ask(address(target), from)? {
            Answer::Route(route) => route,
            Answer::Verdict(_) => None,
        })
    }

    fn ask(&mut self, target: Ipv6Addr, from: Option<u32>) -> Result<Answer, Box<dyn Error>> {
        let answers = self.ask_all(|batch| {
            batch.find_route(target, from);
        })?;
        Ok(answers.into_iter().next().ok_or("no answer")?)
    }

    /// Sends a batch; there has to be one answer to each request, in order, by the time that
    /// sending is over.
    fn ask_all(&mut self, fill: impl FnOnce(&mut Batch)) -> Result<Vec<Answer>, Box<dyn Error>> {
        self.batch.clear();
        let mut expected = self.batch.last_seq();
        fill(&mut self.batch);
        self.socket.send(&self.batch)?;
        let mut answers = Vec::new();
        while self
            .socket
            .read_some_answers(|sequence, answer| {
                expected += 1;
                assert_eq!(sequence, expected);
                answers.push(answer);
            })?
            .is_some()
        {}
        assert_eq!(answers.len(), self.batch.len());
        Ok(answers)
    }

    fn set_nexthop_compat(&self, on: bool) -> Outcome {
        let _inside = self.node.enter()?;
        fs::write("/proc/sys/net/ipv4/nexthop_compat_mode", if on { "1" } else { "0" })?;
        Ok(())
    }

    /// Has the kernel carry out a request for which the library has no method.
    fn change(&self, (kind, flags): (u16, u16), payload: &[u8]) -> Outcome {
        let _inside = self.node.enter()?;
        let socket = rustix::net::socket(AddressFamily::NETLINK, SocketType::RAW, None)?;
        rustix::net::bind(&socket, &SocketAddrNetlink::new(0, 0))?;
        let mut request = Vec::from(u32::try_from(16 + payload.len())?.to_ne_bytes());
        request.extend(kind.to_ne_bytes());
        request.extend((REQUEST | ACK | flags).to_ne_bytes());
        request.extend([0; 8]);
        request.extend(payload);
        rustix::net::send(&socket, &request, SendFlags::empty())?;
        let mut answer = [0; 4096];
        let (length, _) = rustix::net::recv(&socket, &mut answer[..], RecvFlags::empty())?;
        let status = answer.get(16..20).filter(|_| length >= 20).ok_or("a short answer")?;
        match i32::from_ne_bytes(status.try_into()?) {
            0 => Ok(()),
            errno => Err(std::io::Error::from_raw_os_error(-errno).into()),
        }
    }
}

fn await_event(monitor: &mut Monitor, is_it: impl Fn(&Event) -> bool) -> Outcome {
    let deadline = Instant::now() + LIMIT;
    let (mut seen, mut found) = (Vec::new(), false);
    while !found {
        if !monitor.wait_readable(deadline)? {
            return Err(format!("it was not announced, but {seen:?}").into());
        }
        monitor.read(|event| {
            found |= is_it(&event);
            seen.push(event);
        })?;
    }
    Ok(())
}

fn device_route(device: u32, prefix_len: u8) -> FoundRoute {
    FoundRoute { egress: Egress::Device(device), prefix_len }
}

fn local_route(prefix_len: u8) -> FoundRoute {
    FoundRoute { egress: Egress::Local, prefix_len }
}

fn refusal(answer: &Answer) -> Option<Errno> {
    match answer {
        Answer::Verdict(Err(error)) => Some(error.errno),
        _ => None,
    }
}

fn short(answer: Answer) -> Result<Option<FoundRoute>, Errno> {
    match answer {
        Answer::Verdict(verdict) => verdict.map(|()| None).map_err(|error| error.errno),
        Answer::Route(route) => Ok(route),
    }
}

/// The address with this end in the prefix for examples; the unspecified one stays what it is.
fn address(end: &str) -> Ipv6Addr {
    if end == "::" {
        return Ipv6Addr::UNSPECIFIED;
    }
    format!("2001:db8:{end}").parse().expect("the end of an address")
}

fn numbered(number: u16) -> Ipv6Addr {
    Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, number)
}

/// A rule that packets which come in by `link` are looked up in `table` first.
fn rule(link: &str, table: u8) -> Vec<u8> {
    let mut payload = vec![AF_INET6, 0, 0, 0, table, 0, 0, TO_TABLE, 0, 0, 0, 0];
    attribute(&mut payload, FRA_IIFNAME, &[link.as_bytes(), &[0]].concat());
    attribute(&mut payload, FRA_PRIORITY, &1000_u32.to_ne_bytes());
    payload
}

/// A route in the main table to the prefix of this length around `2001:db8:1::`.
fn route(prefix_len: u8, attributes: &[(u16, &[u8])]) -> Vec<u8> {
    let main = 254;
    let mut payload = vec![AF_INET6, prefix_len, 0, 0, main, 4, 0, 1, 0, 0, 0, 0];
    attribute(&mut payload, RTA_DST, &address("1::").octets());
    for (kind, octets) in attributes {
        attribute(&mut payload, *kind, octets);
    }
    payload
}

/// A next hop of a route: a router on a link. The kernel takes no others for several.
fn hop(oif: u32) -> Vec<u8> {
    let mut hop = [&[28, 0, 0, 0], &oif.to_ne_bytes()[..]].concat();
    let router = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 9);
    attribute(&mut hop, RTA_GATEWAY, &router.octets());
    hop
}

fn nexthop(id: u32, attributes: &[(u16, &[u8])]) -> Vec<u8> {
    nexthop_of(AF_INET6, id, attributes)
}

fn nexthop_group(id: u32, entries: &[u8]) -> Vec<u8> {
    nexthop_of(0, id, &[(NHA_GROUP, entries)])
}

fn nexthop_of(family: u8, id: u32, attributes: &[(u16, &[u8])]) -> Vec<u8> {
    let mut payload = vec![family, 0, 0, 0, 0, 0, 0, 0];
    attribute(&mut payload, NHA_ID, &id.to_ne_bytes());
    for (kind, octets) in attributes {
        attribute(&mut payload, *kind, octets);
    }
    payload
}

fn group_entry(id: u32) -> Vec<u8> {
    [id.to_ne_bytes(), [0; 4]].concat()
}

fn attribute(payload: &mut Vec<u8>, kind: u16, octets: &[u8]) {
    let length = u16::try_from(4 + octets.len()).expect("a few octets");
    payload.extend(length.to_ne_bytes());
    payload.extend(kind.to_ne_bytes());
    payload.extend(octets);
    payload.resize(payload.len().next_multiple_of(4), 0);
}

const WAN: &str = "wan";
const LAN: &str = "lan";
const LOOPBACK: u32 = 1;
const LIMIT: Duration = Duration::from_secs(10);

const AF_INET6: u8 = 10;
/// `NLM_F_REQUEST`, `NLM_F_ACK`, `NLM_F_REPLACE`, `NLM_F_CREATE`.
const REQUEST: u16 = 1;
const ACK: u16 = 4;
const REPLACE: u16 = 0x100;
const CREATE: u16 = 0x400;
/// `RTM_*` with the flags to send it with.
const ROUTE_NEW: (u16, u16) = (24, CREATE);
const ROUTE_REPLACE: (u16, u16) = (24, CREATE | REPLACE);
const RULE_NEW: (u16, u16) = (32, CREATE);
const RULE_DELETE: (u16, u16) = (33, 0);
const NEXTHOP_NEW: (u16, u16) = (104, CREATE);
const NEXTHOP_REPLACE: (u16, u16) = (104, CREATE | REPLACE);
const NEXTHOP_DELETE: (u16, u16) = (105, 0);
/// `RTN_THROW`.
const THROW: u8 = 9;
const RTA_DST: u16 = 1;
const RTA_GATEWAY: u16 = 5;
const RTA_MULTIPATH: u16 = 9;
const RTA_NH_ID: u16 = 30;
/// `FR_ACT_TO_TBL`.
const TO_TABLE: u8 = 1;
const FRA_IIFNAME: u16 = 3;
const FRA_PRIORITY: u16 = 6;
const NHA_ID: u16 = 1;
const NHA_GROUP: u16 = 2;
const NHA_BLACKHOLE: u16 = 4;
const NHA_OIF: u16 = 5;
