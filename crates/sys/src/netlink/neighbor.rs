//! IPv6 neighbors: the kernel's cache, its proxy entries, and its requests to resolve.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::ops::BitOr;

use magpie_wire::LinkAddr;
use netlink_bindings::rt_neigh::{
    Ndmsg, NeighbourAttrs, OpDelneighDo, OpGetneighDump, OpNewneighDo,
};

use super::Batch;
use super::batch::{ACK, CREATE, DUMP, REPLACE};

/// A neighbor in the kernel's cache, a proxy entry, or a request to resolve.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct NeighborEvent {
    /// The link.
    pub ifindex: u32,
    /// The neighbor's address.
    pub address: Ipv6Addr,
    /// Its link-layer address, if known and six octets long.
    pub lladdr: Option<LinkAddr>,
    /// How well it is known.
    pub state: NeighborState,
    /// The kernel takes it for a router.
    pub router: bool,
    /// The kernel answers for the address itself; no neighbor.
    pub is_proxy: bool,
    /// The kernel asks for somebody to resolve the address (`app_solicit`).
    pub is_miss: bool,
}

/// How well the kernel knows a neighbor (`NUD_*`; RFC 4861 section 7.3.2).
#[derive(Clone, Copy, Default, Eq, PartialEq)]
pub struct NeighborState(pub u16);

impl NeighborState {
    /// Being resolved.
    pub const INCOMPLETE: Self = Self(0x01);
    /// Confirmed lately.
    pub const REACHABLE: Self = Self(0x02);
    /// Confirmed some time ago.
    pub const STALE: Self = Self(0x04);
    /// About to be asked.
    pub const DELAY: Self = Self(0x08);
    /// Being asked.
    pub const PROBE: Self = Self(0x10);
    /// Did not answer.
    pub const FAILED: Self = Self(0x20);
    /// Needs no resolution.
    pub const NOARP: Self = Self(0x40);
    /// Set by an administrator.
    pub const PERMANENT: Self = Self(0x80);

    /// Whether all bits of `other` are set.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether any bit of `other` is set.
    pub const fn intersects(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}

impl BitOr for NeighborState {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl fmt::Debug for NeighborState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = [
            (Self::INCOMPLETE, "incomplete"),
            (Self::REACHABLE, "reachable"),
            (Self::STALE, "stale"),
            (Self::DELAY, "delay"),
            (Self::PROBE, "probe"),
            (Self::FAILED, "failed"),
            (Self::NOARP, "noarp"),
            (Self::PERMANENT, "permanent"),
        ];
        let mut names = names.iter().filter(|(state, _)| self.contains(*state));
        let Some((_, first)) = names.next() else { return f.write_str("none") };
        f.write_str(first)?;
        names.try_for_each(|(_, name)| write!(f, "|{name}"))
    }
}

/// A neighbor to put into the kernel's cache.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct NewNeighbor {
    /// The link.
    pub ifindex: u32,
    /// The neighbor's address.
    pub address: Ipv6Addr,
    /// Its link-layer address.
    pub lladdr: LinkAddr,
    /// How well it shall count as known.
    pub state: NeighborState,
}

impl Batch {
    /// Puts a neighbor into the kernel's cache, or changes it; returns the sequence number.
    pub fn replace_neighbor(&mut self, new: &NewNeighbor) -> u32 {
        self.push(NEW, ACK | CREATE | REPLACE, |buffer| {
            let mut header = header(new.ifindex);
            header.ndm_state = new.state.0;
            OpNewneighDo::encode_request(buffer, &header)
                .push_dst(IpAddr::V6(new.address))
                .push_lladdr(&new.lladdr.0);
        })
    }

    /// Takes a neighbor out of the kernel's cache; returns the sequence number.
    pub fn delete_neighbor(&mut self, ifindex: u32, address: Ipv6Addr) -> u32 {
        self.push(DELETE, ACK, |buffer| {
            OpDelneighDo::encode_request(buffer, &header(ifindex)).push_dst(IpAddr::V6(address));
        })
    }

    /// Makes the kernel answer for `address` on a link; returns the sequence number.
    pub fn add_proxy_neighbor(&mut self, ifindex: u32, address: Ipv6Addr) -> u32 {
        self.push(NEW, ACK | CREATE | REPLACE, |buffer| {
            let mut header = header(ifindex);
            header.ndm_flags = FLAG_PROXY;
            OpNewneighDo::encode_request(buffer, &header).push_dst(IpAddr::V6(address));
        })
    }

    /// Stops the kernel from answering for `address` on a link; returns the sequence number.
    pub fn delete_proxy_neighbor(&mut self, ifindex: u32, address: Ipv6Addr) -> u32 {
        self.push(DELETE, ACK, |buffer| {
            let mut header = header(ifindex);
            header.ndm_flags = FLAG_PROXY;
            OpDelneighDo::encode_request(buffer, &header).push_dst(IpAddr::V6(address));
        })
    }

    pub(crate) fn dump_neighbors(&mut self, proxy: bool) -> u32 {
        self.push(GET, DUMP, |buffer| {
            let mut header = header(0);
            header.ndm_flags = if proxy { FLAG_PROXY } else { 0 };
            OpGetneighDump::encode_request(buffer, &header);
        })
    }
}

pub(crate) fn decode(payload: &[u8], is_miss: bool) -> Option<NeighborEvent> {
    if payload.len() < Ndmsg::len() {
        return None;
    }
    let (header, attributes) = OpNewneighDo::decode_request(payload);
    if header.ndm_family != AF_INET6 {
        return None;
    }
    let (mut address, mut lladdr) = (None, None);
    for attribute in attributes.flatten() {
        match attribute {
            NeighbourAttrs::Dst(IpAddr::V6(value)) => address = Some(value),
            NeighbourAttrs::Lladdr(value) => lladdr = value.try_into().ok().map(LinkAddr),
            _ => {}
        }
    }
    Some(NeighborEvent {
        ifindex: u32::try_from(header.ndm_ifindex).ok()?,
        address: address?,
        lladdr,
        state: NeighborState(header.ndm_state),
        router: header.ndm_flags & FLAG_ROUTER != 0,
        is_proxy: header.ndm_flags & FLAG_PROXY != 0,
        is_miss,
    })
}

fn header(ifindex: u32) -> Ndmsg {
    let mut header = Ndmsg::new();
    header.ndm_family = AF_INET6;
    header.ndm_ifindex = ifindex.cast_signed();
    header
}

/// `RTM_NEWNEIGH`.
pub(crate) const NEW: u16 = 28;
/// `RTM_DELNEIGH`.
pub(crate) const DELETE: u16 = 29;
/// `RTM_GETNEIGH`.
pub(crate) const GET: u16 = 30;
const AF_INET6: u8 = 10;
/// `NTF_PROXY`.
const FLAG_PROXY: u8 = 0x08;
/// `NTF_ROUTER`.
const FLAG_ROUTER: u8 = 0x80;
