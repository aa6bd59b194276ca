//! ICMPv6 message types and the header common to all messages (RFC 4443 section 2.1).

use zerocopy::byteorder::network_endian::U16;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

pub(crate) const UNREACHABLE: u8 = 1;
pub(crate) const LISTENER_QUERY: u8 = 130;
/// Of the first version (RFC 2710).
pub(crate) const LISTENER_REPORT: u8 = 131;
pub(crate) const ROUTER_SOLICIT: u8 = 133;
pub(crate) const ROUTER_ADVERT: u8 = 134;
pub(crate) const NEIGHBOR_SOLICIT: u8 = 135;
pub(crate) const NEIGHBOR_ADVERT: u8 = 136;
pub(crate) const REDIRECT: u8 = 137;
pub(crate) const LISTENER_REPORT_V2: u8 = 143;
pub(crate) const MULTICAST_ROUTER_ADVERT: u8 = 151;
pub(crate) const MULTICAST_ROUTER_SOLICIT: u8 = 152;
pub(crate) const MULTICAST_ROUTER_TERMINATION: u8 = 153;

/// Type, code and checksum of an ICMPv6 message.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(crate) struct Icmpv6Header {
    pub(crate) kind: u8,
    pub(crate) code: u8,
    pub(crate) checksum: U16,
}

/// Whether a message of this type is Neighbor Discovery, so that its hop limit has to be 255.
pub(crate) const fn is_neighbor_discovery(kind: u8) -> bool {
    matches!(kind, ROUTER_SOLICIT..=REDIRECT)
}

/// Whether a message of this type stands behind a hop-by-hop header with a Router Alert (RFC 3810
/// section 5, RFC 4286 section 4).
pub(crate) const fn is_router_alerted(kind: u8) -> bool {
    matches!(
        kind,
        LISTENER_QUERY | LISTENER_REPORT | LISTENER_REPORT_V2 | MULTICAST_ROUTER_ADVERT
            ..=MULTICAST_ROUTER_TERMINATION
    )
}
