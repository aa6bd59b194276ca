//! Ethernet II headers and link-layer addresses (RFC 2464).

use std::fmt;
use std::str::FromStr;

use zerocopy::byteorder::network_endian::U16;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// EtherType of IPv4 (RFC 894).
pub const ETHERTYPE_IPV4: u16 = 0x0800;
/// EtherType of IPv6 (RFC 2464 section 3).
pub const ETHERTYPE_IPV6: u16 = 0x86dd;
/// EtherType of an 802.1Q tag.
pub const ETHERTYPE_VLAN: u16 = 0x8100;
/// EtherType of an 802.1ad service tag.
pub const ETHERTYPE_QINQ: u16 = 0x88a8;
/// Octets of an untagged Ethernet header.
pub const ETHERNET_LEN: usize = 14;

/// An untagged Ethernet header as it stands on the wire.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct EthernetHeader {
    /// Who the frame is for.
    pub destination: [u8; 6],
    /// Who sent the frame.
    pub source: [u8; 6],
    /// The protocol of the payload.
    pub ethertype: U16,
}

/// A link-layer address of an Ethernet-like link.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct LinkAddr(pub [u8; 6]);

impl LinkAddr {
    /// Broadcast.
    pub const BROADCAST: Self = Self([0xff; 6]);
    /// The all-zero address, which no station has. It stands for the address of whoever is on a
    /// link without link-layer addresses.
    pub const ZERO: Self = Self([0; 6]);

    /// Whether the group bit is set: multicast or broadcast (IEEE 802.3 section 3.2.3).
    pub const fn is_group(self) -> bool {
        self.0[0] & 1 != 0
    }

    /// Whether a station can have this address, so that a frame may be sent to it alone.
    pub fn is_station(self) -> bool {
        !self.is_group() && self != Self::ZERO
    }
}

impl fmt::Display for LinkAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [first, rest @ ..] = self.0;
        write!(f, "{first:02x}")?;
        rest.iter().try_for_each(|octet| write!(f, ":{octet:02x}"))
    }
}

/// The text is not six hexadecimal octets separated by colons.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("not a link-layer address; expected six octets such as 02:00:5e:10:00:01")]
pub struct ParseLinkAddrError;

impl FromStr for LinkAddr {
    type Err = ParseLinkAddrError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut octets = [0; 6];
        let mut parts = text.split(':');
        for octet in &mut octets {
            let part = parts.next().filter(|part| part.len() == 2).ok_or(ParseLinkAddrError)?;
            *octet = u8::from_str_radix(part, 16).map_err(|_| ParseLinkAddrError)?;
        }
        if parts.next().is_some() {
            return Err(ParseLinkAddrError);
        }
        Ok(Self(octets))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_survives_a_round_trip() {
        let text = "02:00:5e:10:00:ff";
        assert_eq!(text.parse::<LinkAddr>().unwrap().to_string(), text);
        for bad in ["", "02:00", "02:00:5e:10:00:ff:00", "02:00:5e:10:00:fg", "2:0:5e:10:0:ff"] {
            assert_eq!(bad.parse::<LinkAddr>(), Err(ParseLinkAddrError), "{bad}");
        }
    }

    #[test]
    fn groups_broadcast_and_zero_are_not_stations() {
        assert!(LinkAddr([2, 0, 0, 0, 0, 1]).is_station());
        assert!(!LinkAddr([0x33, 0x33, 0, 0, 0, 1]).is_station());
        assert!(!LinkAddr::BROADCAST.is_station());
        assert!(!LinkAddr::ZERO.is_station());
    }
}
