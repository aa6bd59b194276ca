//! Why a frame is not a message that Neighbor Discovery accepts, nor a datagram.

/// A frame that must be silently discarded, and the rule that demands it.
///
/// The labels are stable: they name counters.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, thiserror::Error)]
#[repr(u8)]
pub enum Malformed {
    /// The frame ends before its headers or its claimed lengths do (RFC 4861 section 7.1).
    #[error("the frame is shorter than it claims")]
    Truncated,
    /// Neither IPv6 nor ICMPv6, or an ICMPv6 type that is of no interest here.
    #[error("not a Neighbor Discovery message")]
    NotNeighborDiscovery,
    /// The frame belongs to a VLAN, so it is not traffic of this link.
    #[error("the frame carries a VLAN tag")]
    Vlan,
    /// The Ethernet source is a group or zero (IEEE 802.3 section 3.2.3).
    #[error("the Ethernet source is not a station")]
    EthernetSource,
    /// A unicast IPv6 destination inside a group-addressed frame ("hole 196").
    #[error("a unicast packet came in a multicast frame")]
    EthernetDestination,
    /// Fragmented, even atomically (RFC 6980 section 5).
    #[error("the message is fragmented")]
    Fragment,
    /// Extension headers before Neighbor Discovery: legal, unused in practice, not parsed.
    #[error("the message stands behind an extension header")]
    ExtensionHeader,
    /// Hop limit other than 255: the message crossed a router (RFC 4861 section 7.1.1).
    #[error("the hop limit is not 255")]
    HopLimit,
    /// Wrong checksum of ICMPv6 (RFC 4443 section 2.3), UDP (RFC 768) or the IPv4 header (RFC 791
    /// section 3.1), or none where there has to be one (RFC 8200 section 8.1).
    #[error("the checksum is wrong")]
    Checksum,
    /// ICMPv6 code other than 0 (RFC 4861 section 7.1.1).
    #[error("the ICMPv6 code is not 0")]
    Code,
    /// The message is shorter than its type demands (RFC 4861 section 7.1.1).
    #[error("the message is too short for its type")]
    Length,
    /// An option of length zero, one that does not fit, or trailing octets (RFC 4861 section 4.6).
    #[error("an option has an impossible length")]
    Option,
    /// A link-layer address option of the wrong size, or naming a group or zero (RFC 2464 section 6).
    #[error("a link-layer address option does not name a station")]
    LinkAddrOption,
    /// A nonce too long to be relayed unchanged (RFC 3971 section 5.3.2 wants six octets or more).
    #[error("the nonce is too long to be relayed")]
    Nonce,
    /// The target is a multicast address (RFC 4861 section 7.1.1).
    #[error("the target is a multicast address")]
    Target,
    /// The IPv6 source cannot be the address of one node (RFC 4291 sections 2.5.3 and 2.7).
    #[error("the source address cannot be that of a node")]
    Source,
    /// From the unspecified address, but not to a solicited-node group, or with a source
    /// link-layer address option (RFC 4861 section 7.1.1).
    #[error("an ill-formed message from the unspecified address")]
    Unspecified,
    /// A solicitation to a group of which the target is no member.
    #[error("the group does not match the target")]
    Group,
    /// A multicast advertisement that claims to be solicited (RFC 4861 section 7.1.2).
    #[error("a multicast advertisement has the solicited flag")]
    SolicitedMulticast,
    /// Looked at as a datagram, but not UDP over IPv4 or IPv6.
    #[error("not a UDP datagram")]
    NotDatagram,
    /// A piece of a datagram that fits nowhere: empty, not of whole units of eight octets although
    /// more is to come, or beyond the longest packet (RFC 791 section 3.1, RFC 8200 section 4.5).
    #[error("a fragment has an impossible length or place")]
    FragmentLength,
}

impl Malformed {
    /// Every reason, in the order of their discriminants.
    pub const ALL: [Self; 21] = [
        Self::Truncated,
        Self::NotNeighborDiscovery,
        Self::Vlan,
        Self::EthernetSource,
        Self::EthernetDestination,
        Self::Fragment,
        Self::ExtensionHeader,
        Self::HopLimit,
        Self::Checksum,
        Self::Code,
        Self::Length,
        Self::Option,
        Self::LinkAddrOption,
        Self::Nonce,
        Self::Target,
        Self::Source,
        Self::Unspecified,
        Self::Group,
        Self::SolicitedMulticast,
        Self::NotDatagram,
        Self::FragmentLength,
    ];

    /// Returns the name of the counter, which never changes once released.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Truncated => "truncated",
            Self::NotNeighborDiscovery => "not-neighbor-discovery",
            Self::Vlan => "vlan",
            Self::EthernetSource => "ethernet-source",
            Self::EthernetDestination => "ethernet-destination",
            Self::Fragment => "fragment",
            Self::ExtensionHeader => "extension-header",
            Self::HopLimit => "hop-limit",
            Self::Checksum => "checksum",
            Self::Code => "code",
            Self::Length => "length",
            Self::Option => "option",
            Self::LinkAddrOption => "lladdr-option",
            Self::Nonce => "nonce",
            Self::Target => "multicast-target",
            Self::Source => "source-address",
            Self::Unspecified => "unspecified-source",
            Self::Group => "group-mismatch",
            Self::SolicitedMulticast => "solicited-multicast",
            Self::NotDatagram => "not-datagram",
            Self::FragmentLength => "fragment-length",
        }
    }
}
