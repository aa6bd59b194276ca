//! Frames as they were on a link, and frames to put there.

use std::io;
use std::net::Ipv6Addr;

use magpie_sys::link_socket::LinkSocket;
use magpie_wire::{ETHERNET_LEN, ETHERTYPE_IPV6, IPV6_LEN, LinkAddr, OwnMessage, Packet, checksum};

/// A frame that was seen on a link.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Frame {
    /// All of it, from the Ethernet header on, with VLAN tags.
    pub bytes: Vec<u8>,
    /// When it was seen, in nanoseconds since 1970.
    pub time_ns: u64,
    /// The node where it was seen had sent it.
    pub outgoing: bool,
}

/// An ICMPv6 message with what matters of its IPv6 header.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Icmpv6<'a> {
    /// The IPv6 source.
    pub source: Ipv6Addr,
    /// The IPv6 destination.
    pub destination: Ipv6Addr,
    /// The IPv6 hop limit.
    pub hop_limit: u8,
    /// The type of the message.
    pub kind: u8,
    /// The code of the message.
    pub code: u8,
    /// What follows the checksum.
    pub body: &'a [u8],
}

impl Frame {
    /// The frame as a Neighbor Discovery message, if it is a correct one.
    pub fn packet(&self) -> Option<Packet<'_>> {
        Packet::parse(&self.bytes).ok()
    }

    /// The frame as an ICMPv6 message, correct or not, if no extension header is before it.
    pub fn icmpv6(&self) -> Option<Icmpv6<'_>> {
        let (_, rest) = self.bytes.split_first_chunk::<12>()?;
        let (ethertype, rest) = rest.split_first_chunk::<2>()?;
        if u16::from_be_bytes(*ethertype) != ETHERTYPE_IPV6 {
            return None;
        }
        let (header, payload) = rest.split_first_chunk::<IPV6_LEN>()?;
        let [_, _, _, _, len_high, len_low, next_header, hop_limit, addresses @ ..] = header;
        let (source, destination) = addresses.split_first_chunk::<16>()?;
        let destination: &[u8; 16] = destination.try_into().ok()?;
        if *next_header != ICMPV6 {
            return None;
        }
        let len = usize::from(u16::from_be_bytes([*len_high, *len_low]));
        let [kind, code, _, _, body @ ..] = payload.get(..len)? else { return None };
        Some(Icmpv6 {
            source: Ipv6Addr::from(*source),
            destination: Ipv6Addr::from(*destination),
            hop_limit: *hop_limit,
            kind: *kind,
            code: *code,
            body,
        })
    }

    /// The frame as something that a kernel said by itself: a solicitation or an error.
    pub fn own_message(&self) -> Option<OwnMessage> {
        OwnMessage::parse(&self.bytes)
    }

    /// One line for people.
    pub(crate) fn summary(&self) -> String {
        let direction = if self.outgoing { "sent" } else { "received" };
        if let Some(packet) = self.packet() {
            return format!(
                "{direction} {} > {}: {:?}",
                packet.source, packet.destination, packet.message
            );
        }
        match self.icmpv6() {
            Some(found) => format!(
                "{direction} {} > {}: ICMPv6 type {} code {} hop limit {}",
                found.source, found.destination, found.kind, found.code, found.hop_limit
            ),
            None => format!("{direction} {} octets of something else", self.bytes.len()),
        }
    }

    /// Receives one frame; `None` if there is none.
    pub(crate) fn receive(socket: &LinkSocket, buffer: &mut [u8]) -> io::Result<Option<Self>> {
        let Some(info) = socket.receive(buffer)? else { return Ok(None) };
        let kept = buffer.get(..info.len.min(buffer.len())).unwrap_or_default();
        let mut bytes = Vec::with_capacity(kept.len() + 4);
        match (info.vlan, kept.split_at_checked(12)) {
            (Some((tpid, tci)), Some((addresses, rest))) => {
                bytes.extend_from_slice(addresses);
                bytes.extend_from_slice(&tpid.to_be_bytes());
                bytes.extend_from_slice(&tci.to_be_bytes());
                bytes.extend_from_slice(rest);
            }
            _ => bytes.extend_from_slice(kept),
        }
        Ok(Some(Self { bytes, time_ns: info.time_ns, outgoing: info.outgoing }))
    }
}

/// Builds a frame with an ICMPv6 message of any kind and a correct checksum.
///
/// For correct Neighbor Discovery messages there is [`Packet::emit`]; this is for all others.
///
/// # Panics
///
/// If the message is longer than 65,531 octets.
pub fn icmpv6_frame(
    ethernet: (LinkAddr, LinkAddr),
    ipv6: (Ipv6Addr, Ipv6Addr),
    hop_limit: u8,
    (kind, code): (u8, u8),
    body: &[u8],
) -> Vec<u8> {
    let mut message = vec![kind, code, 0, 0];
    message.extend_from_slice(body);
    let sum = checksum(ipv6.0, ipv6.1, ICMPV6, &message).to_be_bytes();
    if let Some(field) = message.get_mut(2..4) {
        field.copy_from_slice(&sum);
    }
    let len = u16::try_from(message.len()).expect("the length of an IPv6 payload has 16 bits");
    let mut frame = Vec::with_capacity(ETHERNET_LEN + IPV6_LEN + message.len());
    frame.extend_from_slice(&ethernet.1.0);
    frame.extend_from_slice(&ethernet.0.0);
    frame.extend_from_slice(&ETHERTYPE_IPV6.to_be_bytes());
    frame.extend_from_slice(&[0x60, 0, 0, 0]);
    frame.extend_from_slice(&len.to_be_bytes());
    frame.extend_from_slice(&[ICMPV6, hop_limit]);
    frame.extend_from_slice(&ipv6.0.octets());
    frame.extend_from_slice(&ipv6.1.octets());
    frame.extend_from_slice(&message);
    frame
}

const ICMPV6: u8 = 58;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_built_frame_is_read_back() {
        let (us, them) = (LinkAddr([2, 0, 0, 0, 0, 1]), LinkAddr([2, 0, 0, 0, 0, 2]));
        let addresses = ("fe80::1".parse().unwrap(), "2001:db8::1".parse().unwrap());
        let bytes = icmpv6_frame((us, them), addresses, 64, (128, 0), &[1, 2, 3, 4]);
        let frame = Frame { bytes, time_ns: 0, outgoing: false };
        let expected = Icmpv6 {
            source: addresses.0,
            destination: addresses.1,
            hop_limit: 64,
            kind: 128,
            code: 0,
            body: &[1, 2, 3, 4],
        };
        assert_eq!(frame.icmpv6(), Some(expected));
        assert_eq!(checksum(addresses.0, addresses.1, ICMPV6, &frame.bytes[54..]), 0);
    }
}
