//! IPv6 routes.

use std::net::{IpAddr, Ipv6Addr};

use netlink_bindings::rt_route::{
    OpDelrouteDo, OpGetrouteDump, OpNewrouteDo, PushRouteAttrs, RouteAttrs, Rtmsg,
};

use super::Batch;
use super::batch::{ACK, CREATE, DUMP, EXCLUSIVE, REPLACE};

/// A route of the kernel's.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RouteEvent {
    /// The destination's prefix.
    pub destination: Ipv6Addr,
    /// Bits of the prefix.
    pub prefix_len: u8,
    /// The link that the packets leave by; `None` if the route has several or none.
    pub oif: Option<u32>,
    /// The router that the packets go to, if not to the destination itself.
    pub gateway: Option<Ipv6Addr>,
    /// The metric; less wins.
    pub metric: u32,
    /// The routing table.
    pub table: u32,
    /// Who made the route (`RTPROT_*`).
    pub protocol: u8,
    /// What becomes of packets.
    pub kind: RouteKind,
}

/// What becomes of packets that match a route (`RTN_*`).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct RouteKind(pub u8);

impl RouteKind {
    /// They are forwarded.
    pub const UNICAST: Self = Self(1);
    /// They are for this host.
    pub const LOCAL: Self = Self(2);
    /// They are for this host and for others.
    pub const ANYCAST: Self = Self(4);
    /// They are for a group.
    pub const MULTICAST: Self = Self(5);
    /// They are dropped without a word.
    pub const BLACKHOLE: Self = Self(6);
    /// They are dropped and the sender is told that there is no route.
    pub const UNREACHABLE: Self = Self(7);
    /// They are dropped and the sender is told that it is forbidden.
    pub const PROHIBIT: Self = Self(8);
}

/// A route to a single address on a link.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct HostRoute {
    /// The address.
    pub destination: Ipv6Addr,
    /// The link.
    pub oif: u32,
    /// The metric; less wins.
    pub metric: u32,
    /// The routing table; 254 is the main one.
    pub table: u32,
    /// Who made the route; the kernel leaves the meaning of 109 to others.
    pub protocol: u8,
}

impl From<HostRoute> for Route {
    fn from(route: HostRoute) -> Self {
        Self {
            destination: route.destination,
            prefix_len: 128,
            kind: RouteKind::UNICAST,
            gateway: None,
            oif: Some(route.oif),
            metric: route.metric,
            table: route.table,
            protocol: route.protocol,
        }
    }
}

/// A route to make or to delete.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Route {
    /// The destination's prefix.
    pub destination: Ipv6Addr,
    /// Bits of the prefix.
    pub prefix_len: u8,
    /// What becomes of packets.
    pub kind: RouteKind,
    /// The router to send them to.
    pub gateway: Option<Ipv6Addr>,
    /// The link to send them over.
    pub oif: Option<u32>,
    /// The metric; less wins.
    pub metric: u32,
    /// The routing table; 254 is the main one.
    pub table: u32,
    /// Who made the route (`RTPROT_*`).
    pub protocol: u8,
}

impl Route {
    /// The main routing table.
    pub const MAIN_TABLE: u32 = 254;
    /// The protocol number of routes that an administrator made by hand (`RTPROT_STATIC`).
    pub const PROTOCOL_STATIC: u8 = 4;
    /// The metric that the kernel gives to routes without one.
    pub const DEFAULT_METRIC: u32 = 1024;

    /// A route of the administrator's in the main table, by `oif` without a router.
    pub const fn on_link(destination: Ipv6Addr, prefix_len: u8, oif: u32) -> Self {
        Self {
            destination,
            prefix_len,
            kind: RouteKind::UNICAST,
            gateway: None,
            oif: Some(oif),
            metric: Self::DEFAULT_METRIC,
            table: Self::MAIN_TABLE,
            protocol: Self::PROTOCOL_STATIC,
        }
    }
}

impl Batch {
    /// Adds a host route; returns the sequence number. The kernel refuses it with `EEXIST` if
    /// the table holds a route to the address with the same metric, whoever made it.
    pub fn add_host_route(&mut self, route: &HostRoute) -> u32 {
        self.add_route(&Route::from(*route))
    }

    /// Adds a host route or, in one step, puts it in the place of the route to the same address
    /// with the same metric, whoever made that; returns the sequence number.
    pub fn replace_host_route(&mut self, route: &HostRoute) -> u32 {
        self.replace_route(&Route::from(*route))
    }

    /// Deletes a host route; returns the sequence number. The kernel refuses it with `ESRCH`
    /// unless link, metric, table and protocol are all the route's.
    pub fn delete_host_route(&mut self, route: &HostRoute) -> u32 {
        self.delete_route(&Route::from(*route))
    }

    /// Adds a route; returns the sequence number.
    pub fn add_route(&mut self, route: &Route) -> u32 {
        self.push(NEW, ACK | CREATE | EXCLUSIVE, |buffer| {
            push_attributes(OpNewrouteDo::encode_request(buffer, &header(route)), route);
        })
    }

    /// Adds a route, in the place of one to the same prefix with the same metric if there is one;
    /// returns the sequence number.
    pub fn replace_route(&mut self, route: &Route) -> u32 {
        self.push(NEW, ACK | CREATE | REPLACE, |buffer| {
            push_attributes(OpNewrouteDo::encode_request(buffer, &header(route)), route);
        })
    }

    /// Deletes the route that matches in every field; returns the sequence number.
    pub fn delete_route(&mut self, route: &Route) -> u32 {
        self.push(DELETE, ACK, |buffer| {
            push_attributes(OpDelrouteDo::encode_request(buffer, &header(route)), route);
        })
    }

    /// Asks for the routes of `protocol`, or of all; the kernel filters.
    pub(crate) fn dump_routes(&mut self, protocol: Option<u8>) -> u32 {
        self.push(GET, DUMP, |buffer| {
            let mut header = Rtmsg::new();
            header.rtm_family = AF_INET6;
            header.rtm_protocol = protocol.unwrap_or(0);
            OpGetrouteDump::encode_request(buffer, &header);
        })
    }
}

pub(crate) fn decode(payload: &[u8]) -> Option<RouteEvent> {
    if payload.len() < Rtmsg::len() {
        return None;
    }
    let (header, attributes) = OpNewrouteDo::decode_request(payload);
    if header.rtm_family != AF_INET6 {
        return None;
    }
    let mut route = RouteEvent {
        destination: Ipv6Addr::UNSPECIFIED,
        prefix_len: header.rtm_dst_len,
        oif: None,
        gateway: None,
        metric: 0,
        table: u32::from(header.rtm_table),
        protocol: header.rtm_protocol,
        kind: RouteKind(header.rtm_type),
    };
    for attribute in attributes.flatten() {
        match attribute {
            RouteAttrs::Dst(IpAddr::V6(value)) => route.destination = value,
            RouteAttrs::Oif(value) => route.oif = Some(value),
            RouteAttrs::Gateway(IpAddr::V6(value)) => route.gateway = Some(value),
            RouteAttrs::Priority(value) => route.metric = value,
            RouteAttrs::Table(value) => route.table = value,
            _ => {}
        }
    }
    Some(route)
}

fn header(route: &Route) -> Rtmsg {
    let mut header = Rtmsg::new();
    header.rtm_family = AF_INET6;
    header.rtm_dst_len = route.prefix_len;
    header.rtm_protocol = route.protocol;
    header.rtm_scope = match route.gateway {
        Some(_) => SCOPE_UNIVERSE,
        None => SCOPE_LINK,
    };
    header.rtm_type = route.kind.0;
    header
}

fn push_attributes(attributes: PushRouteAttrs<&mut Vec<u8>>, route: &Route) {
    let mut attributes = attributes
        .push_dst(IpAddr::V6(route.destination))
        .push_priority(route.metric)
        .push_table(route.table);
    if let Some(oif) = route.oif {
        attributes = attributes.push_oif(oif);
    }
    if let Some(gateway) = route.gateway {
        attributes.push_gateway(IpAddr::V6(gateway));
    }
}

/// `RTM_NEWROUTE`.
pub(crate) const NEW: u16 = 24;
/// `RTM_DELROUTE`.
pub(crate) const DELETE: u16 = 25;
/// `RTM_GETROUTE`.
pub(crate) const GET: u16 = 26;
pub(crate) const AF_INET6: u8 = 10;
/// `RT_SCOPE_UNIVERSE`.
const SCOPE_UNIVERSE: u8 = 0;
/// `RT_SCOPE_LINK`.
const SCOPE_LINK: u8 = 253;
