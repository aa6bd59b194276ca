//! Asks the kernel which route it would take.

use std::net::{IpAddr, Ipv6Addr};

use netlink_bindings::rt_route::{OpGetrouteDo, OpNewrouteDo, RouteAttrs, Rtmsg};
use netlink_bindings::utils;

use super::route::{AF_INET6, GET};
use super::{Batch, RouteKind};

/// The route that the kernel would take.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct FoundRoute {
    /// Where it leads.
    pub egress: Egress,
    /// Bits of its prefix; zero is a default route.
    pub prefix_len: u8,
}

/// Where a route leads.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Egress {
    /// To this host itself.
    Local,
    /// Out of the link with this number.
    Device(u32),
    /// Out of a link that is not told, since the route shares its next hop with others and
    /// `net.ipv4.nexthop_compat_mode` is off: [`Batch::find_device`] tells.
    Shared,
}

impl Batch {
    /// Asks which route a packet to `destination` would take now that comes in by the link `from`,
    /// or that this host itself sends; returns the sequence number. The rules of policy routing
    /// count, as far as they look at nothing but the destination and the link.
    ///
    /// Exactly one answer comes, [`Answer::Route`] or a refusal, which means that there is no
    /// route or that packets are dropped: [`NetlinkSocket::read_some_answers`] tells.
    ///
    /// [`Answer::Route`]: super::Answer::Route
    /// [`NetlinkSocket::read_some_answers`]: super::NetlinkSocket::read_some_answers
    pub fn find_route(&mut self, destination: Ipv6Addr, from: Option<u32>) -> u32 {
        self.look_up(destination, from, FLAG_FIB_MATCH)
    }

    /// Asks as [`Batch::find_route`] does, for the case that the link was not told: it is told now,
    /// if there is one, and the length of the prefix is not; returns the sequence number.
    pub fn find_device(&mut self, destination: Ipv6Addr, from: Option<u32>) -> u32 {
        // Without the flag the answer is what becomes of a packet, not what the table holds.
        self.look_up(destination, from, 0)
    }

    fn look_up(&mut self, destination: Ipv6Addr, from: Option<u32>, flags: u32) -> u32 {
        // Acknowledged besides, a lookup would have two answers.
        self.push(GET, 0, |buffer| {
            let mut header = Rtmsg::new();
            header.rtm_family = AF_INET6;
            header.rtm_dst_len = 128;
            header.rtm_flags = flags;
            let attributes =
                OpGetrouteDo::encode_request(buffer, &header).push_dst(IpAddr::V6(destination));
            if let Some(from) = from {
                attributes.push_iif(from);
            }
        })
    }
}

/// Reads the answer to a lookup; `None` if packets end on that route.
pub(crate) fn decode(payload: &[u8]) -> Option<FoundRoute> {
    if payload.len() < Rtmsg::len() {
        return None;
    }
    let (header, attributes) = OpNewrouteDo::decode_request(payload);
    if header.rtm_family != AF_INET6 {
        return None;
    }
    let egress = match RouteKind(header.rtm_type) {
        RouteKind::LOCAL | RouteKind::ANYCAST => Egress::Local,
        RouteKind::UNICAST => {
            let (mut oif, mut from, mut hops, mut is_shared) = (None, None, &[][..], false);
            for attribute in attributes.flatten() {
                match attribute {
                    RouteAttrs::Oif(value) => oif = Some(value),
                    RouteAttrs::Iif(value) => from = Some(value),
                    RouteAttrs::Multipath(value) => hops = value,
                    RouteAttrs::NhId(_) => is_shared = true,
                    _ => {}
                }
            }
            match oif.or_else(|| choose(hops, from)) {
                // What leaves by the loopback link comes in again and goes round until it expires.
                Some(LOOPBACK) => return None,
                Some(oif) => Egress::Device(oif),
                None if is_shared => Egress::Shared,
                None => return None,
            }
        }
        _ => return None,
    };
    Some(FoundRoute { egress, prefix_len: header.rtm_dst_len })
}

/// Chooses one of several next hops: the one by the link that the packet comes in by, since the
/// packet may turn back there; otherwise the first one that works.
fn choose(hops: &[u8], from: Option<u32>) -> Option<u32> {
    if let Some(from) = from
        && Hops(hops).any(|hop| hop.oif == from)
    {
        return Some(from);
    }
    Hops(hops).find(|hop| hop.is_alive).or_else(|| Hops(hops).next()).map(|hop| hop.oif)
}

/// The next hops of a route (`struct rtnexthop`, each with attributes that nobody reads).
struct Hops<'a>(&'a [u8]);

struct Hop {
    oif: u32,
    is_alive: bool,
}

impl Iterator for Hops<'_> {
    type Item = Hop;

    fn next(&mut self) -> Option<Hop> {
        let &[len0, len1, flags, _, index0, index1, index2, index3, ..] = self.0 else {
            return None;
        };
        let len = usize::from(u16::from_ne_bytes([len0, len1]));
        if len < HOP_LEN {
            return None;
        }
        self.0 = self.0.get(len.next_multiple_of(utils::NLA_ALIGNTO)..).unwrap_or_default();
        Some(Hop {
            oif: u32::from_ne_bytes([index0, index1, index2, index3]),
            is_alive: flags & (HOP_DEAD | HOP_LINKDOWN) == 0,
        })
    }
}

/// `RTM_F_FIB_MATCH`.
const FLAG_FIB_MATCH: u32 = 0x2000;
/// The number of the loopback link, the same in every network namespace.
const LOOPBACK: u32 = 1;
/// Octets of `struct rtnexthop`.
const HOP_LEN: usize = 8;
/// `RTNH_F_DEAD`.
const HOP_DEAD: u8 = 1;
/// `RTNH_F_LINKDOWN`.
const HOP_LINKDOWN: u8 = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_several_next_hops_the_way_back_counts_then_one_that_works() {
        let hops = [hop(5, HOP_DEAD), hop(6, HOP_LINKDOWN), hop(7, 0), hop(8, 0)].concat();
        assert_eq!(choose(&hops, None), Some(7));
        assert_eq!(choose(&hops, Some(9)), Some(7));
        assert_eq!(choose(&hops, Some(8)), Some(8));
        assert_eq!(choose(&hops, Some(5)), Some(5));
        assert_eq!(choose(&hop(5, HOP_DEAD), None), Some(5));
        assert_eq!(choose(&[], Some(5)), None);
    }

    #[test]
    fn broken_next_hops_end_the_list_without_a_panic() {
        let hops = [hop(5, HOP_DEAD), hop(6, 0)].concat();
        for len in 0..hops.len() {
            for octet in [0, 1, 7, 8, 9, 0xff] {
                let mut broken = hops.clone();
                broken[len] = octet;
                assert!(Hops(&broken).count() <= hops.len() / HOP_LEN);
                assert!(Hops(&broken[..len]).count() <= len / HOP_LEN);
            }
        }
    }

    /// A next hop with an attribute behind it.
    fn hop(oif: u32, flags: u8) -> Vec<u8> {
        let mut hop = Vec::from(24_u16.to_ne_bytes());
        hop.extend([flags, 0]);
        hop.extend(oif.to_ne_bytes());
        hop.resize(24, 0xee);
        hop
    }
}
