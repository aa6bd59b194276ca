//! The place of these scenarios: an upstream link, two inner ones, and the gateway between them.
//!
//! Addresses are valid at once, without Duplicate Address Detection, so that a test takes no longer
//! than what it is about.

use std::error::Error;
use std::fs;
use std::net::Ipv6Addr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use magpie_sys::netlink::{Group, Monitor, Route, RouteEvent, RouteKind};
use magpie_testnet::{
    Bridge, Capture, Frame, Host, HostOptions, Node, connect, icmpv6_frame, wait_for,
};
use magpie_wire::LinkAddr;

use crate::common::{LIMIT, Magpie, Options, Outcome, Station, host_address};

/// Who asks for a neighbor's reachability, or for anything, within this time is a kernel that
/// follows RFC 4861 (section 10: `MAX_MULTICAST_SOLICIT` times `RETRANS_TIMER`).
pub(crate) const SILENCE: Duration = Duration::from_secs(3);
/// The protocol number of Magpie's routes.
pub(crate) const PROTOCOL: u8 = 109;

/// Four nodes: the bridges "up", "down" and "side"; the gateway with the links "wan", "lan" and
/// "lab" on them; the upstream router on "up"; a client behind the router, on another subnet.
pub(crate) struct Place {
    pub(crate) switch: Arc<Node>,
    pub(crate) gateway: Node,
    pub(crate) router: Node,
    pub(crate) client: Node,
}

impl Place {
    /// Builds it.
    pub(crate) fn new() -> Result<Self, Box<dyn Error>> {
        let switch = Arc::new(Node::switch("switch")?);
        for bridge in ["up", "down", "side"] {
            switch.add_bridge(&Bridge::new(bridge))?;
        }
        let router = quick_node("router")?;
        router.set_forwarding()?;
        connect(&router.plug("lan"), &switch.plug("router").bridge("up"))?;
        router.add_address_nodad("lan", Self::router_address(), 64)?;

        let client = quick_node("client")?;
        connect(&client.plug("eth0"), &router.plug("far"))?;
        router.add_address_nodad("far", far_address(1), 64)?;
        client.add_address_nodad("eth0", Self::client_address(), 64)?;
        client.add_default_route("eth0", far_address(1))?;

        let gateway = quick_node("gateway")?;
        gateway.set_forwarding()?;
        for (link, port, bridge) in
            [("wan", "gw-wan", "up"), ("lan", "gw-lan", "down"), ("lab", "gw-lab", "side")]
        {
            connect(&gateway.plug(link), &switch.plug(port).bridge(bridge))?;
            gateway.wait_link_local(link, LIMIT)?;
        }
        gateway.add_address_nodad("wan", Self::gateway_address(), 64)?;
        gateway.add_default_route("wan", Self::router_address())?;
        Ok(Self { switch, gateway, router, client })
    }

    /// Starts the daemon between all three links.
    pub(crate) fn magpie(&self) -> Result<Magpie, Box<dyn Error>> {
        Magpie::start_with(&self.gateway, &options())
    }

    /// Adds a host to a bridge. It finds other subnets by way of the upstream router.
    pub(crate) fn host(
        &self,
        name: &str,
        bridge: &str,
        number: u16,
    ) -> Result<(Host, Ipv6Addr), Box<dyn Error>> {
        let options = HostOptions { accept_ra: false, ..HostOptions::default() };
        let host = Host::new(name, &self.switch, bridge, &options)?;
        let address = host_address(number);
        host.add_address_nodad(Host::LINK, address, 64)?;
        if bridge != "up" {
            host.add_default_route(Host::LINK, Self::router_address())?;
        }
        Ok((host, address))
    }

    /// Adds a station that speaks by hand.
    pub(crate) fn station(&self, name: &str, bridge: &str) -> Result<Station, Box<dyn Error>> {
        Station::new(name, &self.switch, bridge)
    }

    /// Records what happens on the gateway's links and, last, on the router's.
    pub(crate) fn capture(&self, name: &str) -> Result<Capture, Box<dyn Error>> {
        let gateway = &self.gateway;
        let links = [(gateway, "wan"), (gateway, "lan"), (gateway, "lab"), (&self.router, "lan")];
        Ok(Capture::start(&std::env::temp_dir().join("magpie-captures"), name, &links)?)
    }

    /// Subscribes to the gateway's routes.
    pub(crate) fn route_monitor(&self) -> Result<Monitor, Box<dyn Error>> {
        let _inside = self.gateway.enter()?;
        Ok(Monitor::open(&[Group::Route])?)
    }

    /// The host routes of Magpie's, in a fixed order.
    pub(crate) fn host_routes(&self) -> Result<Vec<RouteEvent>, Box<dyn Error>> {
        let mut routes = self.gateway.routes()?;
        routes.retain(|route| route.protocol == PROTOCOL);
        routes.sort_by_key(|route| (route.destination, route.oif));
        Ok(routes)
    }

    /// Reads a file of the gateway's under `/proc/net`.
    pub(crate) fn proc_net(&self, name: &str) -> Result<String, Box<dyn Error>> {
        let _inside = self.gateway.enter()?;
        Ok(fs::read_to_string(Path::new("/proc/thread-self/net").join(name))?)
    }

    pub(crate) fn router_address() -> Ipv6Addr {
        host_address(1)
    }

    pub(crate) fn gateway_address() -> Ipv6Addr {
        host_address(0x10)
    }

    pub(crate) fn client_address() -> Ipv6Addr {
        far_address(2)
    }
}

/// The daemon's usual options here.
pub(crate) fn options() -> Options {
    Options { interfaces: "wan,lan,lab".to_owned(), ..Options::default() }
}

/// An echo request as a frame.
pub(crate) fn echo_request(
    ethernet: (LinkAddr, LinkAddr),
    ipv6: (Ipv6Addr, Ipv6Addr),
    hop_limit: u8,
    sequence: u16,
) -> Vec<u8> {
    let [high, low] = sequence.to_be_bytes();
    icmpv6_frame(ethernet, ipv6, hop_limit, (ECHO_REQUEST, 0), &[0x4d, 0x67, high, low])
}

/// The frame as an echo request to `destination`; its hop limit.
pub(crate) fn echo_to(frame: &Frame, destination: Ipv6Addr) -> Option<u8> {
    let message = frame.icmpv6()?;
    (message.kind == ECHO_REQUEST && message.destination == destination)
        .then_some(message.hop_limit)
}

/// The frame as an ICMPv6 error: its type and code.
pub(crate) fn error_of(frame: &Frame) -> Option<(u8, u8)> {
    let message = frame.icmpv6()?;
    (message.kind < ECHO_REQUEST).then_some((message.kind, message.code))
}

/// The frame as Neighbor Discovery that a kernel has forwarded, which decrements the hop limit.
pub(crate) fn is_forwarded_discovery(frame: &Frame) -> bool {
    let discovery = frame.icmpv6().filter(|message| (133..=REDIRECT).contains(&message.kind));
    discovery.is_some_and(|message| message.hop_limit != 255)
}

/// The frame as a Redirect.
pub(crate) fn is_redirect(frame: &Frame) -> bool {
    frame.icmpv6().is_some_and(|message| message.kind == REDIRECT)
}

/// Makes and deletes many routes in a table that nobody looks at.
pub(crate) fn burst(node: &Node) -> Outcome {
    let lo = node.ifindex("lo")?;
    let route = |number: u16| Route {
        destination: Ipv6Addr::new(0x2001, 0xdb8, 0xb, number, 0, 0, 0, 0),
        prefix_len: 64,
        kind: RouteKind::BLACKHOLE,
        oif: Some(lo),
        table: 1000,
        ..Route::on_link(Ipv6Addr::UNSPECIFIED, 0, lo)
    };
    for first in (0..BURST).step_by(CHUNK.into()) {
        let numbers = first..first + CHUNK;
        node.execute("make many routes", |batch| {
            for number in numbers.clone() {
                batch.add_route(&route(number));
            }
        })?;
        node.execute("delete many routes", |batch| {
            for number in numbers {
                batch.delete_route(&route(number));
            }
        })?;
    }
    Ok(())
}

/// Waits until the daemon has noticed that notifications were lost, besides those `before`; returns
/// how often they were in all.
pub(crate) fn await_overrun(magpie: &Magpie, before: u64) -> Result<u64, Box<dyn Error>> {
    let lost = || overruns(magpie).ok().filter(|lost| *lost > before);
    Ok(wait_for(LIMIT, "the daemon to notice that notifications were lost", lost)?)
}

/// How often the daemon has lost notifications of the kernel's.
pub(crate) fn overruns(magpie: &Magpie) -> Result<u64, Box<dyn Error>> {
    let counters = magpie.status()?.counters;
    Ok(counters.get("notifications_lost").copied().ok_or("they are not counted")?)
}

/// A node whose addresses are valid at once.
pub(crate) fn quick_node(name: &str) -> Result<Node, Box<dyn Error>> {
    let node = Node::new(name)?;
    node.set_conf("default", "accept_dad", 0)?;
    // Nobody sends Router Advertisements here.
    node.set_conf("default", "router_solicitations", 0)?;
    Ok(node)
}

fn far_address(number: u16) -> Ipv6Addr {
    Ipv6Addr::new(0x2001, 0xdb8, 0xf, 0, 0, 0, 0, number)
}

const ECHO_REQUEST: u8 = 128;
const REDIRECT: u8 = 137;
/// Twice as many notifications, of which each takes hundreds of octets.
const BURST: u16 = 20_000;
/// So many requests at once, whose acknowledgements fit into a buffer.
const CHUNK: u16 = 100;
