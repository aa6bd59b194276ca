//! Whole frames: Ethernet, IPv6, ICMPv6 and the message in one value, checked as the RFCs demand
//! on the way in and filled in completely on the way out.

use std::net::Ipv6Addr;

use zerocopy::byteorder::network_endian::{U16, U32};
use zerocopy::{FromBytes, IntoBytes};

use crate::ethernet::{ETHERTYPE_IPV6, ETHERTYPE_QINQ, ETHERTYPE_VLAN, EthernetHeader};
use crate::icmpv6::{
    Icmpv6Header, LISTENER_QUERY, LISTENER_REPORT, LISTENER_REPORT_V2, MULTICAST_ROUTER_ADVERT,
    MULTICAST_ROUTER_SOLICIT, MULTICAST_ROUTER_TERMINATION, NEIGHBOR_ADVERT, NEIGHBOR_SOLICIT,
    ROUTER_ADVERT, ROUTER_SOLICIT, UNREACHABLE, is_neighbor_discovery, is_router_alerted,
};
use crate::ipv6::{
    ALL_NODES, DESTINATION_OPTIONS, FRAGMENT, HOP_BY_HOP, ICMPV6, Ipv6Header, ROUTING,
    is_node_address, solicited_node,
};
use crate::mld::{MulticastRouterAdvert, ROUTER_ALERT};
use crate::ndisc::{Advert, RouterAdvert, RouterSolicit, Solicit};
use crate::writer::{BufferTooSmall, Writer};
use crate::{ETHERNET_LEN, IPV6_LEN, LinkAddr, Malformed, checksum};

/// One frame as a value.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Packet<'a> {
    /// Ethernet source; [`LinkAddr::ZERO`] where frames have none.
    pub ethernet_source: LinkAddr,
    /// Ethernet destination; [`LinkAddr::ZERO`] where frames have none.
    pub ethernet_destination: LinkAddr,
    /// IPv6 source.
    pub source: Ipv6Addr,
    /// IPv6 destination.
    pub destination: Ipv6Addr,
    /// What it says.
    pub message: Message<'a>,
}

/// A message that Magpie reads or sends.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Message<'a> {
    /// Neighbor Solicitation.
    Solicit(Solicit),
    /// Neighbor Advertisement.
    Advert(Advert),
    /// Router Solicitation.
    RouterSolicit(RouterSolicit),
    /// Router Advertisement; read, never sent.
    RouterAdvert(RouterAdvert<'a>),
    /// A listener query (RFC 3810): somebody on the link is the querier. Read, never sent.
    ListenerQuery,
    /// A listener report (RFC 2710, RFC 3810): its sender is on the link. Read, never sent.
    ListenerReport,
    /// Multicast Router Advertisement.
    MulticastRouterAdvert(MulticastRouterAdvert),
    /// Multicast Router Solicitation: a snooping switch looks for routers.
    MulticastRouterSolicit,
    /// Multicast Router Termination.
    MulticastRouterTermination,
}

/// What this host's own kernel sent, as far as it shows where the kernel looks for a node.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum OwnMessage {
    /// The kernel asks who has `target`; `probe` tells that it is its own duplicate address
    /// detection.
    Solicit {
        /// The address asked about.
        target: Ipv6Addr,
        /// Sent from the unspecified address.
        probe: bool,
    },
    /// The kernel reports that `target` cannot be reached: no route (code 0) or no neighbor
    /// (code 3).
    Unreachable {
        /// Destination of the packet that could not be delivered.
        target: Ipv6Addr,
    },
    /// The kernel sends, or forwards, a packet to `target`: on a link without link-layer addresses
    /// that is all it does to find out where a node is.
    Data {
        /// Destination of the packet.
        target: Ipv6Addr,
    },
}

impl<'a> Packet<'a> {
    /// Length that holds every frame that [`Packet::emit`] writes.
    pub const MAX_LEN: usize = 128;

    /// Reads a received frame and checks all that can be checked without knowing the network:
    /// RFC 4861 sections 6.1 and 7.1, RFC 6980 section 5.
    ///
    /// Octets beyond the IPv6 payload are padding and are not looked at.
    ///
    /// # Errors
    ///
    /// The rule that demands to discard the frame silently.
    pub fn parse(frame: &'a [u8]) -> Result<Self, Malformed> {
        let (ethernet, datagram) =
            EthernetHeader::read_from_prefix(frame).map_err(|_| Malformed::Truncated)?;
        match ethernet.ethertype.get() {
            ETHERTYPE_IPV6 => {}
            ETHERTYPE_VLAN | ETHERTYPE_QINQ => return Err(Malformed::Vlan),
            _ => return Err(Malformed::NotNeighborDiscovery),
        }
        let source = LinkAddr(ethernet.source);
        if !source.is_station() {
            return Err(Malformed::EthernetSource);
        }
        Self::parse_datagram(source, LinkAddr(ethernet.destination), datagram)
    }

    /// Reads what was received on a link without link-layer addresses, where the IPv6 header comes
    /// first (tunnels, RFC 5072); checks it as [`Packet::parse`] does.
    ///
    /// # Errors
    ///
    /// The rule that demands to discard it silently.
    pub fn parse_bare(datagram: &'a [u8]) -> Result<Self, Malformed> {
        Self::parse_datagram(LinkAddr::ZERO, LinkAddr::ZERO, datagram)
    }

    fn parse_datagram(
        ethernet_source: LinkAddr,
        ethernet_destination: LinkAddr,
        datagram: &'a [u8],
    ) -> Result<Self, Malformed> {
        let (ipv6, rest) =
            Ipv6Header::read_from_prefix(datagram).map_err(|_| Malformed::Truncated)?;
        if ipv6.version() != 6 {
            return Err(Malformed::NotNeighborDiscovery);
        }
        let payload = rest.get(..ipv6.payload_length.get().into()).ok_or(Malformed::Truncated)?;
        let (payload, alerted) = upper_layer(ipv6.next_header, payload)?;
        let (icmpv6, body) =
            Icmpv6Header::read_from_prefix(payload).map_err(|_| Malformed::Truncated)?;
        if alerted != is_router_alerted(icmpv6.kind) {
            return Err(Malformed::ExtensionHeader);
        }
        // RFC 4861 sections 6.1 and 7.1: the packet could not have been forwarded by a router.
        if is_neighbor_discovery(icmpv6.kind) && ipv6.hop_limit != 255 {
            return Err(Malformed::HopLimit);
        }
        // RFC 3810 section 6.2, RFC 4286 sections 4 to 6: nor will it be.
        if is_router_alerted(icmpv6.kind) && ipv6.hop_limit != 1 {
            return Err(Malformed::HopLimit);
        }
        let packet = Self {
            ethernet_source,
            ethernet_destination,
            source: Ipv6Addr::from(ipv6.source),
            destination: Ipv6Addr::from(ipv6.destination),
            message: Message::ListenerQuery,
        };
        if checksum(packet.source, packet.destination, ICMPV6, payload) != 0 {
            return Err(Malformed::Checksum);
        }
        if is_neighbor_discovery(icmpv6.kind) && icmpv6.code != 0 {
            return Err(Malformed::Code);
        }
        let message = match icmpv6.kind {
            NEIGHBOR_SOLICIT => Message::Solicit(Solicit::parse(body)?),
            NEIGHBOR_ADVERT => Message::Advert(Advert::parse(body)?),
            ROUTER_SOLICIT => Message::RouterSolicit(RouterSolicit::parse(body)?),
            ROUTER_ADVERT => Message::RouterAdvert(RouterAdvert::parse(body)?),
            LISTENER_QUERY => Message::ListenerQuery,
            LISTENER_REPORT | LISTENER_REPORT_V2 => Message::ListenerReport,
            MULTICAST_ROUTER_ADVERT => Message::MulticastRouterAdvert(
                MulticastRouterAdvert::parse(icmpv6.code, body).ok_or(Malformed::Length)?,
            ),
            MULTICAST_ROUTER_SOLICIT => Message::MulticastRouterSolicit,
            MULTICAST_ROUTER_TERMINATION => Message::MulticastRouterTermination,
            // Redirects among them: they are never learned from, still less relayed.
            _ => return Err(Malformed::NotNeighborDiscovery),
        };
        let packet = Self { message, ..packet };
        packet.check_addresses()?;
        Ok(packet)
    }

    /// Whether this is duplicate address detection: a solicitation from the unspecified address
    /// (RFC 4862 section 5.4.2).
    pub fn is_dad(&self) -> bool {
        self.source.is_unspecified() && matches!(self.message, Message::Solicit(_))
    }

    /// Writes the whole frame, checksum included; returns its length.
    ///
    /// # Errors
    ///
    /// If `buffer` is shorter than the frame; [`Packet::MAX_LEN`] octets always suffice.
    /// Router Advertisements, listener queries and reports are never sent, and fail too.
    pub fn emit(&self, buffer: &mut [u8]) -> Result<usize, BufferTooSmall> {
        let ethernet = EthernetHeader {
            destination: self.ethernet_destination.0,
            source: self.ethernet_source.0,
            ethertype: ETHERTYPE_IPV6.into(),
        };
        Writer::new(buffer).put(ethernet.as_bytes())?;
        let datagram = buffer.get_mut(ETHERNET_LEN..).ok_or(BufferTooSmall)?;
        Ok(ETHERNET_LEN + self.emit_bare(datagram)?)
    }

    /// Writes what is sent on a link without link-layer addresses: the frame of [`Packet::emit`]
    /// without its Ethernet header.
    ///
    /// # Errors
    ///
    /// As [`Packet::emit`].
    pub fn emit_bare(&self, buffer: &mut [u8]) -> Result<usize, BufferTooSmall> {
        let (kind, code, alert) = match &self.message {
            Message::Solicit(_) => (NEIGHBOR_SOLICIT, 0, false),
            Message::Advert(_) => (NEIGHBOR_ADVERT, 0, false),
            Message::RouterSolicit(_) => (ROUTER_SOLICIT, 0, false),
            Message::MulticastRouterAdvert(advert) => {
                (MULTICAST_ROUTER_ADVERT, advert.code(), true)
            }
            Message::MulticastRouterSolicit => (MULTICAST_ROUTER_SOLICIT, 0, true),
            Message::MulticastRouterTermination => (MULTICAST_ROUTER_TERMINATION, 0, true),
            Message::RouterAdvert(_) | Message::ListenerQuery | Message::ListenerReport => {
                return Err(BufferTooSmall);
            }
        };
        let mut writer = Writer::new(buffer);
        let mut ipv6 = Ipv6Header {
            version_class_flow: U32::new(6 << 28),
            payload_length: U16::ZERO,
            next_header: if alert { HOP_BY_HOP } else { ICMPV6 },
            // RFC 4861 section 4; RFC 4286 section 4 wants 1 for what only switches read.
            hop_limit: if alert { 1 } else { 255 },
            source: self.source.octets(),
            destination: self.destination.octets(),
        };
        writer.put(ipv6.as_bytes())?;
        if alert {
            writer.put(&ROUTER_ALERT)?;
        }
        let start = writer.len();
        writer.put(&[kind, code, 0, 0])?;
        match &self.message {
            Message::Solicit(solicit) => solicit.emit(&mut writer)?,
            Message::Advert(advert) => advert.emit(&mut writer)?,
            Message::RouterSolicit(solicit) => solicit.emit(&mut writer)?,
            Message::MulticastRouterAdvert(advert) => advert.emit(&mut writer)?,
            Message::MulticastRouterSolicit
            | Message::MulticastRouterTermination
            | Message::RouterAdvert(_)
            | Message::ListenerQuery
            | Message::ListenerReport => {}
        }
        let end = writer.len();
        let payload_length = end - IPV6_LEN;
        ipv6.payload_length = u16::try_from(payload_length).map_err(|_| BufferTooSmall)?.into();
        patch(buffer, 0, ipv6.as_bytes())?;
        // Whatever a message that is passed on had for a checksum when it came: other addresses and
        // options make another one, and within one machine it may not even have been finished,
        // since devices are left to do that (`TP_STATUS_CSUMNOTREADY`, packet(7)).
        let message = buffer.get(start..end).ok_or(BufferTooSmall)?;
        let sum = checksum(self.source, self.destination, ICMPV6, message);
        patch(buffer, start + 2, &sum.to_be_bytes())?;
        Ok(end)
    }

    /// The checks that concern addresses, in the order of RFC 4861 sections 6.1 and 7.1.
    fn check_addresses(&self) -> Result<(), Malformed> {
        if !self.source.is_unspecified() && !is_node_address(self.source) {
            return Err(Malformed::Source);
        }
        // A multicast packet in a unicast frame is legal (RFC 6085 section 3), the reverse is
        // how a station behind an access point reaches its neighbors unseen.
        if self.ethernet_destination.is_group() && !self.destination.is_multicast() {
            return Err(Malformed::EthernetDestination);
        }
        match self.message {
            Message::Solicit(Solicit { target, source_lladdr, .. }) => {
                let group = solicited_node(target);
                // RFC 4861 section 7.1.1: no source address, so no source link-layer address,
                // and nobody to answer but the group.
                if self.source.is_unspecified()
                    && (source_lladdr.is_some() || self.destination != group)
                {
                    return Err(Malformed::Unspecified);
                }
                if self.destination.is_multicast()
                    && self.destination != group
                    && self.destination != ALL_NODES
                {
                    return Err(Malformed::Group);
                }
            }
            Message::Advert(advert) => {
                if self.source.is_unspecified() {
                    return Err(Malformed::Source);
                }
                // RFC 4861 section 7.1.2.
                if advert.solicited && self.destination.is_multicast() {
                    return Err(Malformed::SolicitedMulticast);
                }
            }
            Message::RouterSolicit(solicit) => {
                // RFC 4861 section 6.1.1.
                if self.source.is_unspecified() && solicit.source_lladdr.is_some() {
                    return Err(Malformed::Unspecified);
                }
            }
            Message::ListenerReport => {
                // RFC 3810 section 5.2.13, RFC 3590: before there is a link-local address, it
                // comes from the unspecified one.
                if !self.source.is_unspecified() && !self.source.is_unicast_link_local() {
                    return Err(Malformed::Source);
                }
            }
            Message::RouterAdvert(_)
            | Message::ListenerQuery
            | Message::MulticastRouterAdvert(_)
            | Message::MulticastRouterSolicit
            | Message::MulticastRouterTermination => {
                // RFC 4861 section 6.1.2; RFC 3810 section 5.1.14; RFC 4286 sections 4 to 6.
                if !self.source.is_unicast_link_local() {
                    return Err(Malformed::Source);
                }
            }
        }
        Ok(())
    }
}

impl OwnMessage {
    /// Reads a frame that this host's kernel sent. The kernel is trusted: only what locates the
    /// target is looked at.
    pub fn parse(frame: &[u8]) -> Option<Self> {
        let (_, datagram) = EthernetHeader::read_from_prefix(frame).ok()?;
        Self::parse_datagram(datagram)
    }

    /// Reads what this host's kernel sent on a link without link-layer addresses: any packet shows
    /// where the kernel believes its destination to be.
    pub fn parse_bare(datagram: &[u8]) -> Option<Self> {
        if let Some(message) = Self::parse_datagram(datagram) {
            return Some(message);
        }
        let (ipv6, _) = Ipv6Header::read_from_prefix(datagram).ok()?;
        let target = Ipv6Addr::from(ipv6.destination);
        (ipv6.version() == 6 && !target.is_multicast()).then_some(Self::Data { target })
    }

    fn parse_datagram(datagram: &[u8]) -> Option<Self> {
        let (ipv6, payload) = Ipv6Header::read_from_prefix(datagram).ok()?;
        if ipv6.next_header != ICMPV6 {
            return None;
        }
        let (icmpv6, body) = Icmpv6Header::read_from_prefix(payload).ok()?;
        match icmpv6.kind {
            NEIGHBOR_SOLICIT => {
                let target = Solicit::parse(body).ok()?.target;
                Some(Self::Solicit { target, probe: ipv6.source == [0; 16] })
            }
            UNREACHABLE if matches!(icmpv6.code, 0 | 3) => {
                let (_, original) = body.split_at_checked(4)?;
                let (original, _) = Ipv6Header::read_from_prefix(original).ok()?;
                Some(Self::Unreachable { target: Ipv6Addr::from(original.destination) })
            }
            _ => None,
        }
    }
}

/// Finds the ICMPv6 message, and tells whether a hop-by-hop header stands before it.
///
/// Multicast listener messages have one by definition (RFC 3810 section 5). Neighbor Discovery
/// behind extension headers is legal but unused; it is dropped rather than misread, fragments
/// because RFC 6980 section 5 demands it.
fn upper_layer(next_header: u8, payload: &[u8]) -> Result<(&[u8], bool), Malformed> {
    match next_header {
        ICMPV6 => Ok((payload, false)),
        HOP_BY_HOP => {
            let [next, units, ..] = *payload else { return Err(Malformed::Truncated) };
            let length = (usize::from(units) + 1) * 8;
            let (_, rest) = payload.split_at_checked(length).ok_or(Malformed::Truncated)?;
            if next == ICMPV6 { Ok((rest, true)) } else { Err(Malformed::ExtensionHeader) }
        }
        FRAGMENT => Err(Malformed::Fragment),
        DESTINATION_OPTIONS | ROUTING => Err(Malformed::ExtensionHeader),
        _ => Err(Malformed::NotNeighborDiscovery),
    }
}

fn patch(buffer: &mut [u8], at: usize, octets: &[u8]) -> Result<(), BufferTooSmall> {
    buffer.get_mut(at..at + octets.len()).ok_or(BufferTooSmall)?.copy_from_slice(octets);
    Ok(())
}
