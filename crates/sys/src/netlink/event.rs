//! What the kernel announces, as plain values.

use super::address::AF_INET;
use super::message::Message;
use super::{
    AddressEvent, ForwardingEvent, Ipv4AddressEvent, LinkEvent, Membership, NeighborEvent,
    RouteEvent, address, link, membership, neighbor, netconf, route,
};

/// Something that is there, new or changed, or that is gone.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Change<T> {
    /// It is there, and this is how it is now.
    Present(T),
    /// It is gone, and this is how it was last.
    Absent(T),
}

impl<T> Change<T> {
    /// What changed, whether it is there or not.
    pub fn value(&self) -> &T {
        match self {
            Self::Present(value) | Self::Absent(value) => value,
        }
    }
}

/// One notification.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Event {
    /// A link.
    Link(Change<LinkEvent>),
    /// An IPv6 address of a link.
    Address(Change<AddressEvent>),
    /// An IPv4 address of a link.
    Ipv4Address(Change<Ipv4AddressEvent>),
    /// An IPv6 route.
    Route(Change<RouteEvent>),
    /// An IPv6 neighbor, or a request to resolve one.
    Neighbor(Change<NeighborEvent>),
    /// The rules of policy routing are others now.
    PolicyRule,
    /// A next hop that routes may share was changed or deleted; the routes themselves need not be
    /// announced anew.
    Nexthop,
    /// Forwarding was switched on or off.
    Forwarding(ForwardingEvent),
    /// This host is in an IPv6 multicast group. Only dumps tell.
    Membership(Membership),
    /// Notifications were lost: only a new dump tells what the tables hold now.
    Overrun,
}

impl Event {
    /// Reads a notification or one item of a dump; `None` if it is about something else.
    pub(crate) fn decode(message: &Message<'_>) -> Option<Self> {
        let payload = message.payload;
        Some(match message.kind {
            link::NEW => Self::Link(Change::Present(link::decode(payload)?)),
            link::DELETE => Self::Link(Change::Absent(link::decode(payload)?)),
            address::NEW if payload.first() == Some(&AF_INET) => {
                Self::Ipv4Address(Change::Present(address::decode_ipv4(payload)?))
            }
            address::DELETE if payload.first() == Some(&AF_INET) => {
                Self::Ipv4Address(Change::Absent(address::decode_ipv4(payload)?))
            }
            address::NEW => Self::Address(Change::Present(address::decode(payload)?)),
            address::DELETE => Self::Address(Change::Absent(address::decode(payload)?)),
            route::NEW => Self::Route(Change::Present(route::decode(payload)?)),
            route::DELETE => Self::Route(Change::Absent(route::decode(payload)?)),
            neighbor::NEW => Self::Neighbor(Change::Present(neighbor::decode(payload, false)?)),
            neighbor::GET => Self::Neighbor(Change::Present(neighbor::decode(payload, true)?)),
            neighbor::DELETE => Self::Neighbor(Change::Absent(neighbor::decode(payload, false)?)),
            RULE_NEW | RULE_DELETE if payload.first() == Some(&AF_INET6) => Self::PolicyRule,
            // A group of next hops belongs to no family.
            NEXTHOP_NEW | NEXTHOP_DELETE if payload.first().is_some_and(|&of| of != AF_INET) => {
                Self::Nexthop
            }
            netconf::NEW => Self::Forwarding(netconf::decode(payload)?),
            membership::NEW | membership::GET => Self::Membership(membership::decode(payload)?),
            _ => return None,
        })
    }
}

/// `RTM_NEWRULE`.
const RULE_NEW: u16 = 32;
/// `RTM_DELRULE`.
const RULE_DELETE: u16 = 33;
/// `RTM_NEWNEXTHOP`.
const NEXTHOP_NEW: u16 = 104;
/// `RTM_DELNEXTHOP`.
const NEXTHOP_DELETE: u16 = 105;
const AF_INET6: u8 = 10;

#[cfg(test)]
mod tests {
    use std::net::Ipv6Addr;

    use magpie_wire::LinkAddr;
    use netlink_bindings::utils;

    use super::*;
    use crate::netlink::message::Messages;
    use crate::netlink::{
        Batch, HostRoute, LinkPlace, NeighborState, NewAddress, NewBridge, NewNeighbor, RouteKind,
    };

    #[test]
    fn what_is_encoded_is_decoded() {
        let batch = one_of_each();
        let events: Vec<_> =
            Messages::new(batch.as_bytes()).map(|message| Event::decode(&message)).collect();
        let [Some(link), Some(address), Some(route), Some(neighbor), Some(gone)] = &events[..]
        else {
            panic!("{events:?}")
        };
        let Event::Link(Change::Present(link)) = link else { panic!("{link:?}") };
        assert_eq!(
            (link.name.as_str(), link.kind.as_deref(), link.lladdr),
            ("br0", Some("bridge"), Some(LLADDR))
        );
        let Event::Address(Change::Present(address)) = address else { panic!("{address:?}") };
        assert_eq!((address.ifindex, address.address, address.prefix_len), (3, ADDRESS, 64));
        let Event::Route(Change::Present(route)) = route else { panic!("{route:?}") };
        assert_eq!(
            *route,
            RouteEvent {
                destination: ADDRESS,
                prefix_len: 128,
                oif: Some(3),
                gateway: None,
                metric: 512,
                table: 1000,
                protocol: 109,
                kind: RouteKind::UNICAST,
            }
        );
        let Event::Neighbor(Change::Present(neighbor)) = neighbor else { panic!("{neighbor:?}") };
        assert_eq!(
            *neighbor,
            NeighborEvent {
                ifindex: 3,
                address: ADDRESS,
                lladdr: Some(LLADDR),
                state: NeighborState::STALE,
                router: false,
                is_proxy: false,
                is_miss: false,
            }
        );
        assert_eq!(*gone, Event::Route(Change::Absent(route.clone())));
    }

    #[test]
    fn rules_and_next_hops_are_announced_unless_they_are_for_ipv4() {
        for (kind, family, expected) in [
            (RULE_NEW, AF_INET6, Some(Event::PolicyRule)),
            (RULE_DELETE, AF_INET6, Some(Event::PolicyRule)),
            (RULE_NEW, AF_INET, None),
            (NEXTHOP_NEW, AF_INET6, Some(Event::Nexthop)),
            (NEXTHOP_DELETE, 0, Some(Event::Nexthop)),
            (NEXTHOP_DELETE, AF_INET, None),
        ] {
            let message = Message { kind, flags: 0, seq: 0, payload: &[family, 0, 0, 0] };
            assert_eq!(Event::decode(&message), expected, "{kind}, {family}");
            assert_eq!(Event::decode(&Message { payload: &[], ..message }), None);
        }
    }

    #[test]
    fn attributes_that_nobody_reads_may_be_odd() {
        // Shorter than the number, the structure or the text that the specification promises.
        let odd = [0, 5, 7, 9, 12, 16, 23, 25, 40, 56, 200, 0x3fff];
        for message in Messages::new(one_of_each().as_bytes()) {
            let expected = Event::decode(&message);
            for kind in odd {
                if is_read(message.kind, kind) {
                    continue;
                }
                for len in [0, 1, 3] {
                    let mut payload = message.payload.to_vec();
                    let start = utils::write_header(&mut payload, kind);
                    payload.resize(payload.len() + len, 0xff);
                    utils::finalize_nested_header(&mut payload, start);
                    let message = Message { payload: &payload, ..message };
                    assert_eq!(Event::decode(&message), expected, "attribute {kind}, {len} octets");
                }
            }
        }
    }

    #[test]
    fn no_message_is_too_short_or_too_broken_to_survive() {
        for message in Messages::new(one_of_each().as_bytes()) {
            for len in 0..message.payload.len() {
                let payload = &message.payload[..len];
                let _ = Event::decode(&Message { payload, ..message });
                for octet in [0, 1, 3, 5, 0x7f, 0xff] {
                    let mut payload = message.payload.to_vec();
                    payload[len] = octet;
                    let _ = Event::decode(&Message { payload: &payload, ..message });
                }
            }
        }
    }

    fn is_read(message: u16, attribute: u16) -> bool {
        match message {
            link::NEW => matches!(attribute, 1 | 3 | 4 | 5 | 10 | 11 | 18 | 37),
            address::NEW => matches!(attribute, 1 | 2 | 6 | 8),
            route::NEW | route::DELETE => matches!(attribute, 1 | 4 | 5 | 6 | 15),
            _ => matches!(attribute, 1 | 2),
        }
    }

    fn one_of_each() -> Batch {
        let mut batch = Batch::new();
        batch.add_bridge(&NewBridge {
            name: "br0",
            place: LinkPlace { lladdr: Some(LLADDR), ..LinkPlace::default() },
            mcast_snooping: true,
            mcast_querier: false,
            mcast_startup_query_interval: None,
        });
        batch.add_address(&NewAddress::new(3, ADDRESS, 64));
        let route =
            HostRoute { destination: ADDRESS, oif: 3, metric: 512, table: 1000, protocol: 109 };
        batch.add_host_route(&route);
        batch.replace_neighbor(&NewNeighbor {
            ifindex: 3,
            address: ADDRESS,
            lladdr: LLADDR,
            state: NeighborState::STALE,
        });
        batch.delete_host_route(&route);
        batch
    }

    const ADDRESS: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);
    const LLADDR: LinkAddr = LinkAddr([2, 0, 0, 0, 0, 1]);
}
