//! IPv6 headers, scopes and the groups that Neighbor Discovery uses.

use std::net::Ipv6Addr;

use zerocopy::byteorder::network_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::LinkAddr;

/// Octets of a fixed IPv6 header.
pub const IPV6_LEN: usize = 40;
/// All nodes on the link (RFC 4291 section 2.7.1).
pub const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
/// All routers on the link (RFC 4291 section 2.7.1).
pub const ALL_ROUTERS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 2);
/// All snoopers on the link (RFC 4286 section 6).
pub const ALL_SNOOPERS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0x6a);

pub(crate) const HOP_BY_HOP: u8 = 0;
pub(crate) const UDP: u8 = 17;
pub(crate) const ROUTING: u8 = 43;
pub(crate) const FRAGMENT: u8 = 44;
pub(crate) const ICMPV6: u8 = 58;
pub(crate) const DESTINATION_OPTIONS: u8 = 60;

/// A fixed IPv6 header as it stands on the wire (RFC 8200 section 3).
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(crate) struct Ipv6Header {
    pub(crate) version_class_flow: U32,
    pub(crate) payload_length: U16,
    pub(crate) next_header: u8,
    pub(crate) hop_limit: u8,
    pub(crate) source: [u8; 16],
    pub(crate) destination: [u8; 16],
}

impl Ipv6Header {
    pub(crate) fn version(&self) -> u32 {
        self.version_class_flow.get() >> 28
    }
}

/// Returns the solicited-node group of `target` (RFC 4291 section 2.7.1).
pub fn solicited_node(target: Ipv6Addr) -> Ipv6Addr {
    let [.., a, b, c] = target.octets();
    Ipv6Addr::from([0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, a, b, c])
}

/// Returns the Ethernet group of an IPv6 group: 33:33 and the low 32 bits (RFC 2464 section 7).
pub const fn multicast_lladdr(group: Ipv6Addr) -> LinkAddr {
    let [.., a, b, c, d] = group.octets();
    LinkAddr([0x33, 0x33, a, b, c, d])
}

/// Whether `address` can belong to one node: not unspecified, multicast, loopback or mapped IPv4.
pub fn is_node_address(address: Ipv6Addr) -> bool {
    !address.is_unspecified()
        && !address.is_multicast()
        && !address.is_loopback()
        && address.to_ipv4_mapped().is_none()
}

/// Whether `address` may be proxied at all, whatever the rules say.
///
/// Link-local addresses stay on their link (RFC 4291 section 2.5.6, RFC 8929 section 7); the
/// subnet-router anycast address (RFC 4291 section 2.6.1) and the reserved anycast interface
/// identifiers (RFC 2526 section 2) belong to no single host. Both forms of the latter are
/// refused: with the universal bit of an EUI-64 identifier cleared, and all ones.
pub fn is_proxiable(address: Ipv6Addr) -> bool {
    let [_, _, _, _, _, _, _, _, id @ ..] = address.octets();
    let interface_id = u64::from_be_bytes(id);
    let reserved_anycast = |base: u64| interface_id >= base && interface_id <= (base | 0x7f);
    is_node_address(address)
        && !address.is_unicast_link_local()
        && interface_id != 0
        && !reserved_anycast(0xfdff_ffff_ffff_ff80)
        && !reserved_anycast(0xffff_ffff_ffff_ff80)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mcl_09_group_maps_to_ethernet_by_its_low_32_bits() {
        let target: Ipv6Addr = "2001:db8:1::12cd:ef01".parse().unwrap();
        let group = solicited_node(target);
        assert_eq!(group, "ff02::1:ffcd:ef01".parse::<Ipv6Addr>().unwrap());
        assert_eq!(multicast_lladdr(group), LinkAddr([0x33, 0x33, 0xff, 0xcd, 0xef, 0x01]));
    }

    #[test]
    fn nsi_26_nsi_27_target_classes_that_are_never_proxied() {
        for never in [
            "fe80::21",
            "::",
            "::1",
            "::ffff:1.2.3.4",
            "ff02::1",
            "2001:db8:1::",
            "2001:db8:1:0:fdff:ffff:ffff:ff80",
            "2001:db8:1:0:fdff:ffff:ffff:ffff",
            "2001:db8:1:0:ffff:ffff:ffff:ff80",
        ] {
            assert!(!is_proxiable(never.parse().unwrap()), "{never}");
        }
        for host in ["2001:db8:1::21", "fd00::1", "2001:db8:1:0:fdff:ffff:ffff:ff7f"] {
            assert!(is_proxiable(host.parse().unwrap()), "{host}");
        }
    }
}
