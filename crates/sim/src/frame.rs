//! What travels on a link: Neighbor Discovery as octets and as a value, and data.

use std::net::Ipv6Addr;

use magpie_wire::{LinkAddr, Packet};

/// One frame.
#[derive(Clone, Debug)]
pub(crate) enum Frame {
    /// Neighbor Discovery, as it was meant and as it stands on the wire.
    Nd { packet: Packet<'static>, octets: Box<[u8]> },
    /// Anything else.
    Data { destination: LinkAddr, datagram: Datagram },
}

/// An IPv6 packet that is not Neighbor Discovery.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Datagram {
    pub(crate) source: Ipv6Addr,
    pub(crate) destination: Ipv6Addr,
    pub(crate) hop_limit: u8,
    pub(crate) echo: Echo,
}

/// All data are echo requests and their answers.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Echo {
    Request(PingId),
    Reply(PingId),
}

/// Identifies one echo request.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct PingId(pub(crate) usize);

impl Frame {
    pub(crate) fn nd(packet: Packet<'static>) -> Self {
        let mut buffer = [0; Packet::MAX_LEN];
        let length =
            packet.emit(&mut buffer).expect("the buffer holds every frame that is emitted");
        Self::Nd { packet, octets: buffer[..length].into() }
    }

    pub(crate) fn destination(&self) -> LinkAddr {
        match self {
            Self::Nd { packet, .. } => packet.ethernet_destination,
            Self::Data { destination, .. } => *destination,
        }
    }
}

impl Datagram {
    /// Hop limit of what hosts send.
    pub(crate) const HOP_LIMIT: u8 = 64;

    pub(crate) fn request(source: Ipv6Addr, destination: Ipv6Addr, ping: PingId) -> Self {
        Self { source, destination, hop_limit: Self::HOP_LIMIT, echo: Echo::Request(ping) }
    }

    /// Returns the answer to a request.
    pub(crate) fn reply(&self) -> Option<Self> {
        let Echo::Request(ping) = self.echo else { return None };
        Some(Self {
            source: self.destination,
            destination: self.source,
            hop_limit: Self::HOP_LIMIT,
            echo: Echo::Reply(ping),
        })
    }
}
