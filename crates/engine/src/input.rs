//! Everything that can happen to the engine.

use std::net::Ipv6Addr;
use std::time::Duration;

use ipnet::{Ipv4Net, Ipv6Net};
use magpie_wire::LinkAddr;

use crate::{Member, RequestId};

/// Kernel interface index of one link: its identity, whatever its name becomes.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct LinkId(pub u32);

/// One thing that happened.
#[derive(Clone, Copy, Debug)]
pub enum Input<'a> {
    /// A frame came in on a link, link-layer header first.
    Frame {
        /// Where it came in.
        link: LinkId,
        /// The frame as the socket gave it.
        bytes: &'a [u8],
    },
    /// A UDP datagram for the groups and ports of multicast DNS came in on a link, or for the port
    /// that answers to legacy queries come to: a frame, link-layer header first, or a fragment.
    Datagram {
        /// Where it came in.
        link: LinkId,
        /// The frame as the socket gave it.
        bytes: &'a [u8],
    },
    /// This host's own kernel sent a frame on a link. It shows where the kernel looks for nodes.
    Outgoing {
        /// Where it went out.
        link: LinkId,
        /// The frame as the socket gave it.
        bytes: &'a [u8],
    },
    /// The kernel's view of the network changed.
    Kernel(KernelEvent),
    /// The kernel answered a request that this engine issued.
    Ack {
        /// Which request.
        request: RequestId,
        /// What became of it; the error is the `errno` value.
        result: Result<(), i32>,
    },
    /// The kernel answered [`Output::FindRoute`](crate::Output::FindRoute).
    Route {
        /// Which request.
        request: RequestId,
        /// The route; none if there is none, or if packets end there.
        route: Option<FoundRoute>,
    },
    /// The kernel did not answer [`Output::FindRoute`](crate::Output::FindRoute).
    RouteUnknown {
        /// Which request.
        request: RequestId,
    },
    /// An address is said to be on a link: from the state file, or from an operator. It is probed
    /// before anything is promised for it.
    Restore {
        /// The address.
        target: Ipv6Addr,
        /// Where it was.
        link: LinkId,
        /// Its link-layer address, if that was recorded.
        lladdr: Option<LinkAddr>,
    },
    /// The process was stopped, or the machine suspended, for so long that a deadline was missed.
    /// Whatever was known may have changed meanwhile, and frames that waited to be read are not
    /// given to the engine: it cannot tell how old they are.
    Resumed,
    /// The instant that `poll_timeout` gave has come.
    Timeout,
}

/// A change of the network as this host's kernel reports it. Only links of the relay, and
/// addresses, routes and neighbors that concern them, are reported to the engine.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum KernelEvent {
    /// A link is there, or what is known of it changed.
    Link {
        /// Which link.
        link: LinkId,
        /// Its present state.
        info: LinkInfo,
    },
    /// A link is gone for good: its index is never used again for the same device.
    LinkGone {
        /// Which link.
        link: LinkId,
    },
    /// This host has an address on a link.
    Address {
        /// Which link.
        link: LinkId,
        /// The address and the length of its on-link prefix.
        address: Ipv6Net,
        /// Duplicate address detection has not finished: the address must not be used.
        tentative: bool,
    },
    /// This host no longer has an address on a link.
    AddressGone {
        /// Which link.
        link: LinkId,
        /// The address.
        address: Ipv6Addr,
    },
    /// This host has an IPv4 address on a link.
    Address4 {
        /// Which link.
        link: LinkId,
        /// The address and the length of its on-link prefix.
        address: Ipv4Net,
    },
    /// This host no longer has an IPv4 address on a link.
    Address4Gone {
        /// Which link.
        link: LinkId,
        /// The address and the length of its on-link prefix: one address may be there with several.
        address: Ipv4Net,
    },
    /// The routing table holds a route to a single address.
    Route {
        /// The address.
        target: Ipv6Addr,
        /// The link it leads to, if it is one of the relay.
        link: Option<LinkId>,
        /// Whether it carries our protocol number, table and metric.
        own: bool,
    },
    /// The routing table no longer holds a route to a single address.
    RouteGone {
        /// The address.
        target: Ipv6Addr,
        /// The link it led to, if it was one of the relay.
        link: Option<LinkId>,
        /// Whether it carried our protocol number, table and metric.
        own: bool,
    },
    /// Routes or routing rules that are not ours changed: routes that were found may be others now.
    RoutesChanged,
    /// The kernel itself failed to find a node on a link, or asks user space to.
    Miss {
        /// Where the kernel looked.
        link: LinkId,
        /// Whom it looked for.
        target: Ipv6Addr,
    },
    /// The kernel answers solicitations for an address on a link itself (a proxy neighbor entry).
    ProxyNeighbor {
        /// Where the kernel answers.
        link: LinkId,
        /// For whom.
        target: Ipv6Addr,
    },
    /// The kernel has left a multicast group that was joined on our behalf, without being asked to.
    GroupGone {
        /// Which link.
        link: LinkId,
        /// The group.
        group: Ipv6Addr,
    },
    /// Notifications were lost, or none were read yet; a dump of everything follows.
    Overrun,
    /// The dump is complete: whatever it did not contain is gone.
    Synced,
}

/// A route that the kernel would take.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct FoundRoute {
    /// Where it leads.
    pub egress: Egress,
    /// Length of its prefix; zero is a default route.
    pub prefix_len: u8,
}

/// Where a route leads.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Egress {
    /// To this host itself.
    Local,
    /// Out of a device, which need not be a link of the relay.
    Device(LinkId),
}

/// What is known of a link.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct LinkInfo {
    /// Which of the configured links it is.
    pub member: Member,
    /// The link-layer address that our frames carry; none where nobody has one (tunnels, PPP), so
    /// that frames begin with the IPv6 header.
    pub lladdr: Option<LinkAddr>,
    /// Administratively up and with carrier.
    pub running: bool,
    /// Octets of the largest IP packet that it takes.
    pub mtu: u32,
}

/// A prefix that belongs to the relay's subnet, and for how long.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ScopePrefix {
    /// The prefix.
    pub prefix: Ipv6Net,
    /// The link it was learned on; none if it was configured.
    pub link: Option<LinkId>,
    /// Remaining lifetime if it came from a Router Advertisement.
    pub lifetime: Option<Duration>,
}
