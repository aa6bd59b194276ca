//! Several gateways in a row, each with a daemon of its own, make one subnet of all their links.
#![forbid(unsafe_code)]

mod common;

use std::error::Error;
use std::net::Ipv6Addr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use common::{LIMIT, Magpie, Outcome, host_address};
use magpie_testnet::{AddressState, Bridge, Host, HostOptions, Node, Ping, Pinger, connect};

fn main() -> ExitCode {
    // Figures of first contact mean little where many tests compete for the processor.
    common::run_all(
        [
            ("hosts_on_all_links_reach_one_another", hosts_reach_one_another as fn() -> Outcome),
            ("duplicates_are_found_across_all_links", duplicates_are_found),
            ("the_one_in_the_middle_may_crash", the_one_in_the_middle_may_crash),
            ("a_host_moves_from_the_last_to_the_first_link", a_host_moves_all_the_way),
            ("a_link_in_the_middle_is_made_anew", a_link_in_the_middle_is_made_anew),
        ],
        1,
    )
}

/// Four bridges, three gateways between them, and a router on the first bridge.
struct Row {
    switch: Arc<Node>,
    router: Node,
    gateways: Vec<Node>,
    daemons: Vec<Magpie>,
}

impl Row {
    fn new() -> Result<Self, Box<dyn Error>> {
        let switch = Arc::new(Node::switch("switch")?);
        for bridge in BRIDGES {
            switch.add_bridge(&Bridge::new(bridge))?;
        }
        let router = quick_node("router")?;
        router.set_forwarding()?;
        connect(&router.plug("lan"), &switch.plug("router").bridge(BRIDGES[0]))?;
        router.add_address_nodad("lan", ROUTER, 64)?;

        let mut gateways = Vec::new();
        for (number, bridges) in (1_u16..).zip(BRIDGES.windows(2)) {
            let gateway = quick_node(&format!("gateway-{number}"))?;
            gateway.set_forwarding()?;
            for (link, bridge) in ["wan", "lan"].into_iter().zip(bridges) {
                let port = format!("gw{number}-{link}");
                connect(&gateway.plug(link), &switch.plug(&port).bridge(bridge))?;
                gateway.wait_link_local(link, LIMIT)?;
            }
            gateway.add_address_nodad("wan", host_address(0x10 * number), 64)?;
            gateways.push(gateway);
        }
        let daemons = gateways.iter().map(Magpie::start).collect::<Result<_, _>>()?;
        Ok(Self { switch, router, gateways, daemons })
    }

    /// Adds a host whose address nobody has heard of.
    fn host(&self, bridge: &str, number: u16) -> Result<(Host, Ipv6Addr), Box<dyn Error>> {
        let options = HostOptions { accept_ra: false, ..HostOptions::default() };
        let host = Host::new(&format!("host-{number:x}"), &self.switch, bridge, &options)?;
        host.wait_link_local(Host::LINK, LIMIT)?;
        let address = host_address(number);
        host.add_address_nodad(Host::LINK, address, 64)?;
        host.wait_address(Host::LINK, address, AddressState::Valid, LIMIT)?;
        Ok((host, address))
    }

    fn stop(self) -> Outcome {
        for daemon in self.daemons {
            daemon.stop()?;
        }
        for gateway in &self.gateways {
            let left = gateway.routes()?;
            assert!(!left.iter().any(|route| route.protocol == PROTOCOL), "{left:?}");
        }
        Ok(())
    }
}

fn hosts_reach_one_another() -> Outcome {
    let row = Row::new()?;
    let mut hosts = Vec::new();
    // A kernel does not join the group of a new address at once: the last has the most time.
    for (number, bridge) in (0x41..).step_by(0x10).zip(BRIDGES.into_iter().rev()) {
        hosts.push(row.host(bridge, number)?);
    }
    hosts.reverse();
    let [first, .., last] = hosts.as_slice() else { unreachable!("there are four bridges") };
    let mut took = Vec::new();
    // Nobody has heard of either; then one direction is known to all, and so on.
    for (way, node, target) in [
        ("down all links", &row.router, last.1),
        ("up all links", last.0.node(), ROUTER),
        ("up to another host", last.0.node(), first.1),
        ("back from there", first.0.node(), last.1),
    ] {
        let time = contact(node, target)?;
        println!("series: first contact {way}: {} ms", time.as_millis());
        took.push(time);
    }
    // A kernel asks again after a second: nobody had to.
    assert!(took.iter().all(|time| *time < Duration::from_millis(950)), "{took:?}");

    for (from, _) in &hosts {
        for (_, target) in &hosts {
            contact(from, *target)?;
        }
    }
    for gateway in &row.gateways {
        let routes = gateway.routes()?;
        for (_, target) in &hosts {
            let all = routes.iter().filter(|route| route.destination == *target);
            assert_eq!(all.count(), 1, "{} and {target}", gateway.name());
        }
    }
    row.stop()
}

fn duplicates_are_found() -> Outcome {
    let row = Row::new()?;
    let (upper, upper_address) = row.host(BRIDGES[0], 0x41)?;
    let (lower, lower_address) = row.host(BRIDGES[3], 0x51)?;
    // Whether or not anybody has heard of them.
    lower.add_address(Host::LINK, upper_address, 64)?;
    lower.wait_address(Host::LINK, upper_address, AddressState::Duplicate, LIMIT)?;
    upper.add_address(Host::LINK, lower_address, 64)?;
    upper.wait_address(Host::LINK, lower_address, AddressState::Duplicate, LIMIT)?;
    // One that failed is no address to speak from, nor one to speak to.
    lower.delete_address(Host::LINK, upper_address, 64)?;
    upper.delete_address(Host::LINK, lower_address, 64)?;
    contact(&row.router, lower_address)?;

    for (host, number) in [(&upper, 0x61), (&lower, 0x62)] {
        let address = host_address(number);
        host.add_address(Host::LINK, address, 64)?;
        host.wait_address(Host::LINK, address, AddressState::Valid, LIMIT)?;
    }
    // Their own are still in use.
    for (host, address) in [(&upper, upper_address), (&lower, lower_address)] {
        host.wait_address(Host::LINK, address, AddressState::Valid, LIMIT)?;
    }
    contact(&upper, lower_address)?;
    row.stop()
}

fn the_one_in_the_middle_may_crash() -> Outcome {
    let mut row = Row::new()?;
    let (lower, address) = row.host(BRIDGES[3], 0x51)?;
    let downwards = Pinger::start(&row.router, &Ping::new(address), INTERVAL)?;
    let upwards = Pinger::start(&lower, &Ping::new(ROUTER), INTERVAL)?;
    let pingers = [&downwards, &upwards];
    for pinger in pingers {
        pinger.wait_reply(LIMIT)?;
    }
    let [_, middle, _] = row.gateways.as_slice() else { unreachable!("there are three") };
    row.daemons.remove(1).kill()?;
    // The kernels know the way.
    for pinger in pingers {
        pinger.wait_reply(LIMIT)?;
    }
    row.daemons.insert(1, Magpie::start(middle)?);
    row.daemons[1].await_host(address, "lan")?;
    row.daemons[1].await_host(ROUTER, "wan")?;
    for pinger in pingers {
        pinger.wait_reply(LIMIT)?;
    }
    // Who is new is found through the new one.
    let (other, other_address) = row.host(BRIDGES[3], 0x52)?;
    let found = contact(&row.router, other_address)?;
    println!("series: first contact after the crash: {} ms", found.as_millis());
    contact(&other, ROUTER)?;
    for (way, pinger) in [("down", downwards), ("up", upwards)] {
        let report = pinger.stop();
        let outage = report.longest_outage();
        let (outage_ms, lost) = (outage.as_millis(), report.lost());
        println!("series: {way}wards, the crash took {outage_ms} ms, {lost} pings lost");
        assert!(outage <= Duration::from_secs(3), "{way}: {outage:?}");
    }
    row.stop()
}

fn a_host_moves_all_the_way() -> Outcome {
    let row = Row::new()?;
    let (mut roamer, address) = row.host(BRIDGES[3], 0x51)?;
    let (lower, lower_address) = row.host(BRIDGES[3], 0x52)?;
    contact(&row.router, address)?;
    contact(&roamer, ROUTER)?;
    contact(&lower, address)?;
    contact(&row.router, lower_address)?;

    roamer.unplug()?;
    let switch = Arc::clone(&row.switch);
    roamer.move_to(&switch, BRIDGES[0])?;
    // It has noticed a new link, and looks for whom it knows anew; so do those that it has left,
    // which take it for a neighbor for as long as their kernels do not check.
    roamer.flush_neighbors(Host::LINK)?;
    lower.flush_neighbors(Host::LINK)?;
    for (way, node, target) in [
        ("it and its router", roamer.node(), ROUTER),
        ("its router and it", &row.router, address),
        ("a host on the last link and it", lower.node(), address),
        ("it and a host on the last link", roamer.node(), lower_address),
    ] {
        let time = contact(node, target)?;
        println!("series: after a move all the way, from {way}: {} ms", time.as_millis());
        assert!(time < 2 * STATED, "{way}: {time:?}");
    }
    // Every gateway looks for it upstream now.
    for (gateway, daemon) in row.gateways.iter().zip(&row.daemons) {
        daemon.await_host(address, "wan")?;
        let wan = gateway.ifindex("wan")?;
        let routes = gateway.routes()?;
        let led: Vec<_> = routes.iter().filter(|route| route.destination == address).collect();
        assert!(matches!(led[..], [route] if route.oif == Some(wan)), "{led:?}");
    }
    row.stop()
}

fn a_link_in_the_middle_is_made_anew() -> Outcome {
    let row = Row::new()?;
    let (lower, address) = row.host(BRIDGES[3], 0x51)?;
    let downwards = Pinger::start(&row.router, &Ping::new(address), INTERVAL)?;
    let upwards = Pinger::start(&lower, &Ping::new(ROUTER), INTERVAL)?;
    for pinger in [&downwards, &upwards] {
        pinger.wait_reply(LIMIT)?;
    }
    let ([_, middle, _], [_, daemon, _]) = (row.gateways.as_slice(), row.daemons.as_slice()) else {
        unreachable!("there are three")
    };
    let mut watch = daemon.watch()?;
    middle.delete_link("lan")?;
    Magpie::await_event(&mut watch, "the link to go", |event| {
        let detail = event.detail.as_deref()?;
        (event.link.as_deref() == Some("lan") && detail == "it has gone").then_some(())
    })?;
    // The kernel gives it another link-layer address.
    connect(&middle.plug("lan"), &row.switch.plug("gw2-lan").bridge(BRIDGES[2]))?;
    let start = Instant::now();
    for (way, pinger) in [("down", downwards), ("up", upwards)] {
        pinger.wait_reply(LIMIT)?;
        let time = start.elapsed();
        let lost = pinger.stop().lost();
        println!("series: {way}wards, a new link took {} ms, {lost} pings lost", time.as_millis());
        assert!(time < 2 * STATED, "{way}: {time:?}");
    }
    let (other, other_address) = row.host(BRIDGES[3], 0x52)?;
    contact(&row.router, other_address)?;
    contact(&other, ROUTER)?;
    row.stop()
}

/// How long it takes until a ping is answered.
fn contact(node: &Node, target: Ipv6Addr) -> Result<Duration, Box<dyn Error>> {
    let start = Instant::now();
    Pinger::start(node, &Ping::new(target), INTERVAL)?.wait_reply(LIMIT)?;
    Ok(start.elapsed())
}

/// A node whose addresses are valid at once, and that asks for no Router Advertisements.
fn quick_node(name: &str) -> Result<Node, Box<dyn Error>> {
    let node = Node::new(name)?;
    node.set_conf("default", "accept_dad", 0)?;
    node.set_conf("default", "router_solicitations", 0)?;
    Ok(node)
}

const BRIDGES: [&str; 4] = ["first", "second", "third", "fourth"];
const ROUTER: Ipv6Addr = host_address(1);
const INTERVAL: Duration = Duration::from_millis(50);
/// Recovery takes no longer, unless the machine is busy with other things.
const STATED: Duration = Duration::from_secs(3);
/// The protocol number of Magpie's routes.
const PROTOCOL: u8 = 109;
