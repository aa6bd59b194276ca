//! UDP datagrams over IPv4 and IPv6 in whole frames, checked on the way in and filled in completely
//! on the way out.
//!
//! ```
//! use std::net::IpAddr;
//!
//! use magpie_wire::LinkAddr;
//! use magpie_wire::datagram::{Datagram, MDNS_GROUP_V6, MDNS_PORT, Received, group_lladdr};
//!
//! let group = IpAddr::V6(MDNS_GROUP_V6);
//! let query = Datagram {
//!     ethernet_source: LinkAddr([2, 0, 0, 0, 0, 0x11]),
//!     ethernet_destination: group_lladdr(group),
//!     source: "[fe80::11]:5353".parse()?,
//!     destination: (group, MDNS_PORT).into(),
//!     hop_limit: 255,
//!     payload: b"who has pi-41.local?",
//! };
//! let mut frame = Vec::new();
//! query.emit(&mut frame);
//! assert_eq!(Received::parse(&frame)?, Received::Whole(query));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use zerocopy::byteorder::network_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::checksum::{plain_checksum, transport_checksum};
use crate::ethernet::{
    ETHERTYPE_IPV4, ETHERTYPE_IPV6, ETHERTYPE_QINQ, ETHERTYPE_VLAN, EthernetHeader,
};
use crate::ipv6::{
    DESTINATION_OPTIONS, FRAGMENT, HOP_BY_HOP, Ipv6Header, ROUTING, UDP, is_node_address,
};
use crate::{ETHERNET_LEN, IPV6_LEN, LinkAddr, Malformed, multicast_lladdr};

/// The port of multicast DNS (RFC 6762 section 3).
pub const MDNS_PORT: u16 = 5353;
/// The IPv4 group of multicast DNS (RFC 6762 section 3).
pub const MDNS_GROUP_V4: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 251);
/// The IPv6 group of multicast DNS on one link (RFC 6762 section 3).
pub const MDNS_GROUP_V6: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0xfb);
/// Octets of an IPv4 header without options.
pub const IPV4_LEN: usize = 20;
/// Octets of a UDP header.
pub const UDP_LEN: usize = 8;

const FRAGMENT_LEN: usize = 8;
const DONT_FRAGMENT: u16 = 0x4000;
const MORE_FRAGMENTS: u16 = 0x2000;
const OFFSET_MASK: u16 = 0x1fff;
/// What the offset of a fragment counts in (RFC 791 section 3.1, RFC 8200 section 4.5).
const FRAGMENT_UNIT: usize = 8;

/// One datagram as a value.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Datagram<'a> {
    /// Ethernet source; [`LinkAddr::ZERO`] where frames have none.
    pub ethernet_source: LinkAddr,
    /// Ethernet destination; [`LinkAddr::ZERO`] where frames have none.
    pub ethernet_destination: LinkAddr,
    /// Who sent it. The scope identifier is 0.
    pub source: SocketAddr,
    /// Who it is for; of the same family.
    pub destination: SocketAddr,
    /// Hop limit (IPv6), time to live (IPv4).
    pub hop_limit: u8,
    /// What it says.
    pub payload: &'a [u8],
}

/// What a frame holds.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Received<'a> {
    /// A whole datagram.
    Whole(Datagram<'a>),
    /// A piece of one. Its checksum can be checked when all of them are there.
    Fragment(Fragment<'a>),
}

/// A piece of a datagram. Pieces belong together whose addresses and identification are equal.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Fragment<'a> {
    /// Ethernet source; [`LinkAddr::ZERO`] where frames have none.
    pub ethernet_source: LinkAddr,
    /// Ethernet destination; [`LinkAddr::ZERO`] where frames have none.
    pub ethernet_destination: LinkAddr,
    /// Who sent it.
    pub source: IpAddr,
    /// Who it is for.
    pub destination: IpAddr,
    /// What its sender numbered the whole with.
    pub identification: u32,
    /// Where in the whole (UDP header included) the piece begins, in octets.
    pub offset: usize,
    /// Whether more follows behind this piece.
    pub more: bool,
    /// Hop limit (IPv6), time to live (IPv4).
    pub hop_limit: u8,
    /// The piece, not empty.
    pub payload: &'a [u8],
}

impl<'a> Received<'a> {
    /// Reads a received frame, and checks its headers, lengths and checksums.
    ///
    /// IPv4 options are skipped. Octets beyond what the headers claim are padding and are not
    /// looked at. A packet to one node in a group-addressed frame is refused, as is one whose
    /// source is not the address of one node.
    ///
    /// # Errors
    ///
    /// The rule that demands to discard the frame silently.
    pub fn parse(frame: &'a [u8]) -> Result<Self, Malformed> {
        let (ethernet, packet) =
            EthernetHeader::read_from_prefix(frame).map_err(|_| Malformed::Truncated)?;
        let version = match ethernet.ethertype.get() {
            ETHERTYPE_IPV4 => 4,
            ETHERTYPE_IPV6 => 6,
            ETHERTYPE_VLAN | ETHERTYPE_QINQ => return Err(Malformed::Vlan),
            _ => return Err(Malformed::NotDatagram),
        };
        let link = EthernetAddrs {
            source: LinkAddr(ethernet.source),
            destination: LinkAddr(ethernet.destination),
        };
        if !link.source.is_station() {
            return Err(Malformed::EthernetSource);
        }
        if packet.first().map(|octet| octet >> 4) != Some(version) {
            return Err(Malformed::NotDatagram);
        }
        Self::parse_packet(link, packet)
    }

    /// Reads what was received on a link without link-layer addresses, where the IP header comes
    /// first; checks it as [`Received::parse`] does.
    ///
    /// # Errors
    ///
    /// The rule that demands to discard it silently.
    pub fn parse_bare(packet: &'a [u8]) -> Result<Self, Malformed> {
        Self::parse_packet(
            EthernetAddrs { source: LinkAddr::ZERO, destination: LinkAddr::ZERO },
            packet,
        )
    }

    fn parse_packet(link: EthernetAddrs, packet: &'a [u8]) -> Result<Self, Malformed> {
        let content = IpPacket::read(packet)?;
        content.check_addresses(link)?;
        let piece = Fragment {
            ethernet_source: link.source,
            ethernet_destination: link.destination,
            source: content.source,
            destination: content.destination,
            identification: content.identification,
            offset: content.offset,
            more: content.more,
            hop_limit: content.hop_limit,
            payload: content.payload,
        };
        // A fragment that is the whole needs no others (RFC 6946).
        if piece.offset == 0 && !piece.more {
            return Datagram::of_payload(&piece, piece.payload).map(Self::Whole);
        }
        if piece.payload.is_empty()
            || (piece.more && !piece.payload.len().is_multiple_of(FRAGMENT_UNIT))
            || piece.offset + piece.payload.len() > usize::from(u16::MAX)
        {
            return Err(Malformed::FragmentLength);
        }
        Ok(Self::Fragment(piece))
    }
}

impl<'a> Datagram<'a> {
    /// The longest payload that a datagram over either version of IP can have.
    pub const MAX_PAYLOAD: usize = 65_535 - IPV4_LEN - UDP_LEN;

    /// Reads a UDP header and what follows it, put together from fragments: everything else comes
    /// from the first of them.
    ///
    /// # Errors
    ///
    /// The rule that demands to discard it silently.
    pub fn of_payload(first: &Fragment<'_>, octets: &'a [u8]) -> Result<Self, Malformed> {
        let (udp, _) = UdpHeader::read_from_prefix(octets).map_err(|_| Malformed::Truncated)?;
        let message = octets.get(..udp.length.get().into()).ok_or(Malformed::Truncated)?;
        let payload = message.get(UDP_LEN..).ok_or(Malformed::Length)?;
        // RFC 768: none is allowed over IPv4; RFC 8200 section 8.1: not over IPv6.
        let unchecked = udp.checksum.get() == 0;
        if unchecked && first.source.is_ipv6()
            || !unchecked && transport_checksum(first.source, first.destination, UDP, message) != 0
        {
            return Err(Malformed::Checksum);
        }
        Ok(Self {
            ethernet_source: first.ethernet_source,
            ethernet_destination: first.ethernet_destination,
            source: (first.source, udp.source.get()).into(),
            destination: (first.destination, udp.destination.get()).into(),
            hop_limit: first.hop_limit,
            payload,
        })
    }

    /// Whether the packet, without its Ethernet header, is no longer than `mtu` octets.
    pub fn fits(&self, mtu: usize) -> bool {
        let header = if self.source.is_ipv4() { IPV4_LEN } else { IPV6_LEN };
        header + UDP_LEN + self.payload.len() <= mtu
    }

    /// Writes the whole frame, checksums included, in place of what `out` holds.
    ///
    /// Nothing is written if the payload is longer than [`Datagram::MAX_PAYLOAD`] or the addresses
    /// are of two families.
    pub fn emit(&self, out: &mut Vec<u8>) {
        out.clear();
        if let Some(message) = self.message() {
            out.reserve(ETHERNET_LEN + IPV6_LEN + message.len());
            self.put_ethernet(out);
            self.put_packet(out, &message);
        }
    }

    /// Writes what is sent on a link without link-layer addresses: the frame of [`Datagram::emit`]
    /// without its Ethernet header.
    pub fn emit_bare(&self, out: &mut Vec<u8>) {
        out.clear();
        if let Some(message) = self.message() {
            out.reserve(IPV6_LEN + message.len());
            self.put_packet(out, &message);
        }
    }

    /// Hands the frames of the datagram to `each`, in order: fragments if it does not fit into
    /// packets of `mtu` octets, numbered with `identification` (of which IPv4 has room for the
    /// low 16 bits). Without Ethernet headers if `bare`.
    ///
    /// There are none if [`Datagram::emit`] writes nothing, or if `mtu` has no room for anything.
    pub fn emit_fragments(
        &self,
        mtu: usize,
        bare: bool,
        identification: u32,
        mut each: impl FnMut(&[u8]),
    ) {
        let mut frame = Vec::new();
        if self.fits(mtu) {
            if bare {
                self.emit_bare(&mut frame);
            } else {
                self.emit(&mut frame);
            }
            if !frame.is_empty() {
                each(&frame);
            }
            return;
        }
        let header = if self.source.is_ipv4() { IPV4_LEN } else { IPV6_LEN + FRAGMENT_LEN };
        let room = mtu.saturating_sub(header) / FRAGMENT_UNIT * FRAGMENT_UNIT;
        let Some(message) = self.message().filter(|_| room > 0) else { return };
        let mut pieces = message.chunks(room).enumerate().peekable();
        while let Some((index, piece)) = pieces.next() {
            // Counted in units of eight octets; a message has no more than 65 535.
            let Ok(offset) = u16::try_from(index * room / FRAGMENT_UNIT) else { return };
            let more = pieces.peek().is_some();
            frame.clear();
            if !bare {
                self.put_ethernet(&mut frame);
            }
            match (self.source.ip(), self.destination.ip()) {
                (IpAddr::V4(source), IpAddr::V4(destination)) => {
                    let flags = if more { MORE_FRAGMENTS } else { 0 };
                    let identification = (identification & 0xffff) as u16;
                    let placed = (identification, flags | offset);
                    put_ipv4(&mut frame, source, destination, self.hop_limit, placed, piece);
                }
                (IpAddr::V6(source), IpAddr::V6(destination)) => {
                    let fragment = FragmentHeader {
                        next_header: UDP,
                        reserved: 0,
                        offset: (offset << 3 | u16::from(more)).into(),
                        identification: identification.into(),
                    };
                    let header = Ipv6Addrs { source, destination, hop_limit: self.hop_limit };
                    header.put(&mut frame, FRAGMENT, FRAGMENT_LEN + piece.len());
                    frame.extend_from_slice(fragment.as_bytes());
                    frame.extend_from_slice(piece);
                }
                _ => return,
            }
            each(&frame);
        }
    }

    /// The UDP header and the payload, with the checksum; `None` if they are impossible.
    fn message(&self) -> Option<Vec<u8>> {
        let length = UDP_LEN + self.payload.len();
        if self.payload.len() > Self::MAX_PAYLOAD
            || self.source.is_ipv4() != self.destination.is_ipv4()
        {
            return None;
        }
        let mut udp = UdpHeader {
            source: self.source.port().into(),
            destination: self.destination.port().into(),
            length: u16::try_from(length).ok()?.into(),
            checksum: U16::ZERO,
        };
        let mut message = Vec::with_capacity(length);
        message.extend_from_slice(udp.as_bytes());
        message.extend_from_slice(self.payload);
        udp.checksum = udp_checksum(self.source.ip(), self.destination.ip(), &message).into();
        message.get_mut(..UDP_LEN)?.copy_from_slice(udp.as_bytes());
        Some(message)
    }

    fn put_ethernet(&self, out: &mut Vec<u8>) {
        let ethertype = if self.source.is_ipv4() { ETHERTYPE_IPV4 } else { ETHERTYPE_IPV6 };
        let ethernet = EthernetHeader {
            destination: self.ethernet_destination.0,
            source: self.ethernet_source.0,
            ethertype: ethertype.into(),
        };
        out.extend_from_slice(ethernet.as_bytes());
    }

    fn put_packet(&self, out: &mut Vec<u8>, message: &[u8]) {
        match (self.source.ip(), self.destination.ip()) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                // Not to be fragmented, so that it needs no identification (RFC 6864 section 4.1).
                let placed = (0, DONT_FRAGMENT);
                put_ipv4(out, source, destination, self.hop_limit, placed, message);
            }
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                let header = Ipv6Addrs { source, destination, hop_limit: self.hop_limit };
                header.put(out, UDP, message.len());
                out.extend_from_slice(message);
            }
            _ => {}
        }
    }
}

/// Returns the Ethernet group of an IP group: RFC 1112 section 6.4, RFC 2464 section 7.
pub const fn group_lladdr(group: IpAddr) -> LinkAddr {
    match group {
        IpAddr::V4(group) => {
            let [_, b, c, d] = group.octets();
            LinkAddr([0x01, 0x00, 0x5e, b & 0x7f, c, d])
        }
        IpAddr::V6(group) => multicast_lladdr(group),
    }
}

/// Fills the UDP checksum of a frame in, `bare` or with an Ethernet header.
///
/// What a program on this machine sends through a virtual device comes with a checksum that the
/// device has been left to finish (`TP_STATUS_CSUMNOTREADY`, packet(7)). Frames that hold no whole
/// datagram are left alone.
pub fn complete_checksum(frame: &mut [u8], bare: bool) {
    let start = if bare { 0 } else { ETHERNET_LEN };
    let Some(packet) = frame.get_mut(start..) else { return };
    let Ok(content) = IpPacket::read(packet) else { return };
    let (source, destination) = (content.source, content.destination);
    if content.offset != 0 || content.more {
        return;
    }
    let (length, at) = (content.payload.len(), content.payload_at);
    let Some(message) = packet.get_mut(at..at + length) else { return };
    let Ok((mut udp, _)) = UdpHeader::read_from_prefix(message) else { return };
    let Some(message) = message.get_mut(..udp.length.get().into()) else { return };
    let Some(header) = message.get_mut(..UDP_LEN) else { return };
    udp.checksum = U16::ZERO;
    header.copy_from_slice(udp.as_bytes());
    udp.checksum = udp_checksum(source, destination, message).into();
    if let Some(header) = message.get_mut(..UDP_LEN) {
        header.copy_from_slice(udp.as_bytes());
    }
}

#[derive(Clone, Copy)]
struct EthernetAddrs {
    source: LinkAddr,
    destination: LinkAddr,
}

/// What the headers of a packet say that holds UDP, or a piece of it.
struct IpPacket<'a> {
    source: IpAddr,
    destination: IpAddr,
    hop_limit: u8,
    identification: u32,
    offset: usize,
    more: bool,
    payload: &'a [u8],
    /// Where the payload begins in the packet.
    payload_at: usize,
}

impl<'a> IpPacket<'a> {
    fn read(packet: &'a [u8]) -> Result<Self, Malformed> {
        match packet.first().map(|octet| octet >> 4) {
            Some(4) => Self::read_ipv4(packet),
            Some(6) => Self::read_ipv6(packet),
            Some(_) => Err(Malformed::NotDatagram),
            None => Err(Malformed::Truncated),
        }
    }

    fn read_ipv4(packet: &'a [u8]) -> Result<Self, Malformed> {
        let (ipv4, _) = Ipv4Header::read_from_prefix(packet).map_err(|_| Malformed::Truncated)?;
        let header_length = usize::from(ipv4.version_length & 0xf) * 4;
        if header_length < IPV4_LEN {
            return Err(Malformed::Length);
        }
        let packet = packet.get(..ipv4.total_length.get().into()).ok_or(Malformed::Truncated)?;
        let (header, payload) =
            packet.split_at_checked(header_length).ok_or(Malformed::Truncated)?;
        if plain_checksum(header) != 0 {
            return Err(Malformed::Checksum);
        }
        if ipv4.protocol != UDP {
            return Err(Malformed::NotDatagram);
        }
        let fragment = ipv4.fragment.get();
        Ok(Self {
            source: Ipv4Addr::from(ipv4.source).into(),
            destination: Ipv4Addr::from(ipv4.destination).into(),
            hop_limit: ipv4.time_to_live,
            identification: ipv4.identification.get().into(),
            offset: usize::from(fragment & OFFSET_MASK) * FRAGMENT_UNIT,
            more: fragment & MORE_FRAGMENTS != 0,
            payload,
            payload_at: header_length,
        })
    }

    fn read_ipv6(packet: &'a [u8]) -> Result<Self, Malformed> {
        let (ipv6, rest) =
            Ipv6Header::read_from_prefix(packet).map_err(|_| Malformed::Truncated)?;
        let payload = rest.get(..ipv6.payload_length.get().into()).ok_or(Malformed::Truncated)?;
        let whole = Self {
            source: Ipv6Addr::from(ipv6.source).into(),
            destination: Ipv6Addr::from(ipv6.destination).into(),
            hop_limit: ipv6.hop_limit,
            identification: 0,
            offset: 0,
            more: false,
            payload,
            payload_at: IPV6_LEN,
        };
        match ipv6.next_header {
            UDP => Ok(whole),
            FRAGMENT => {
                let (fragment, payload) =
                    FragmentHeader::read_from_prefix(payload).map_err(|_| Malformed::Truncated)?;
                if fragment.next_header != UDP {
                    return Err(not_udp(fragment.next_header));
                }
                let offset = fragment.offset.get();
                Ok(Self {
                    identification: fragment.identification.get(),
                    offset: usize::from(offset >> 3) * FRAGMENT_UNIT,
                    more: offset & 1 != 0,
                    payload,
                    payload_at: IPV6_LEN + FRAGMENT_LEN,
                    ..whole
                })
            }
            other => Err(not_udp(other)),
        }
    }

    fn check_addresses(&self, link: EthernetAddrs) -> Result<(), Malformed> {
        let is_node = match self.source {
            IpAddr::V4(source) => {
                !source.is_unspecified()
                    && !source.is_multicast()
                    && !source.is_broadcast()
                    && !source.is_loopback()
            }
            IpAddr::V6(source) => is_node_address(source),
        };
        if !is_node {
            return Err(Malformed::Source);
        }
        if link.destination.is_group() && !self.destination.is_multicast() {
            return Err(Malformed::EthernetDestination);
        }
        Ok(())
    }
}

/// Names what stands where a UDP header should.
fn not_udp(next_header: u8) -> Malformed {
    match next_header {
        HOP_BY_HOP | ROUTING | FRAGMENT | DESTINATION_OPTIONS => Malformed::ExtensionHeader,
        _ => Malformed::NotDatagram,
    }
}

/// Returns the checksum for a message whose checksum field is 0. None at all is written as 0, which
/// is why a sum of 0 is not (RFC 768).
fn udp_checksum(source: IpAddr, destination: IpAddr, message: &[u8]) -> u16 {
    match transport_checksum(source, destination, UDP, message) {
        0 => 0xffff,
        sum => sum,
    }
}

fn put_ipv4(
    out: &mut Vec<u8>,
    source: Ipv4Addr,
    destination: Ipv4Addr,
    time_to_live: u8,
    (identification, fragment): (u16, u16),
    payload: &[u8],
) {
    let mut ipv4 = Ipv4Header {
        version_length: 0x45,
        service: 0,
        // No payload is that long.
        total_length: u16::try_from(IPV4_LEN + payload.len()).unwrap_or(u16::MAX).into(),
        identification: identification.into(),
        fragment: fragment.into(),
        time_to_live,
        protocol: UDP,
        checksum: U16::ZERO,
        source: source.octets(),
        destination: destination.octets(),
    };
    ipv4.checksum = plain_checksum(ipv4.as_bytes()).into();
    out.extend_from_slice(ipv4.as_bytes());
    out.extend_from_slice(payload);
}

struct Ipv6Addrs {
    source: Ipv6Addr,
    destination: Ipv6Addr,
    hop_limit: u8,
}

impl Ipv6Addrs {
    fn put(&self, out: &mut Vec<u8>, next_header: u8, payload_length: usize) {
        let ipv6 = Ipv6Header {
            version_class_flow: U32::new(6 << 28),
            // No payload is that long.
            payload_length: u16::try_from(payload_length).unwrap_or(u16::MAX).into(),
            next_header,
            hop_limit: self.hop_limit,
            source: self.source.octets(),
            destination: self.destination.octets(),
        };
        out.extend_from_slice(ipv6.as_bytes());
    }
}

/// An IPv4 header without options as it stands on the wire (RFC 791 section 3.1).
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Ipv4Header {
    version_length: u8,
    service: u8,
    total_length: U16,
    identification: U16,
    fragment: U16,
    time_to_live: u8,
    protocol: u8,
    checksum: U16,
    source: [u8; 4],
    destination: [u8; 4],
}

/// A Fragment header as it stands on the wire (RFC 8200 section 4.5).
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct FragmentHeader {
    next_header: u8,
    reserved: u8,
    offset: U16,
    identification: U32,
}

/// A UDP header as it stands on the wire (RFC 768).
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct UdpHeader {
    source: U16,
    destination: U16,
    length: U16,
    checksum: U16,
}
