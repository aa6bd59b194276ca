//! Frames put together octet by octet, so that each part of them can be wrong.

use std::net::Ipv6Addr;

use magpie_wire::{LinkAddr, checksum, multicast_lladdr, solicited_node};

pub(crate) const SOURCE_LLADDR: u8 = 1;
pub(crate) const TARGET_LLADDR: u8 = 2;

/// The station that asks, and the one that answers.
pub(crate) const ASKER: LinkAddr = LinkAddr([2, 0, 0, 0, 0, 0x01]);
pub(crate) const OWNER: LinkAddr = LinkAddr([2, 0, 0, 0, 0, 0x21]);
pub(crate) const US: LinkAddr = LinkAddr([2, 0, 0, 0, 0, 0x10]);

/// A frame in parts. What is not set is right.
#[derive(Clone)]
pub(crate) struct Raw {
    pub(crate) ethernet_destination: LinkAddr,
    pub(crate) ethernet_source: LinkAddr,
    /// Between the Ethernet source and the `EtherType` of IPv6.
    pub(crate) tags: Vec<u8>,
    pub(crate) version: u8,
    pub(crate) payload_length: Option<u16>,
    pub(crate) hop_limit: u8,
    pub(crate) source: Ipv6Addr,
    pub(crate) destination: Ipv6Addr,
    /// The first header's number, and the octets of all headers before ICMPv6.
    pub(crate) extensions: Option<(u8, Vec<u8>)>,
    pub(crate) kind: u8,
    pub(crate) code: u8,
    /// Added to the right checksum.
    pub(crate) checksum_error: u16,
    pub(crate) reserved: u32,
    pub(crate) target: Ipv6Addr,
    pub(crate) options: Vec<u8>,
    /// Octets after the IPv6 payload.
    pub(crate) padding: usize,
}

impl Raw {
    /// The multicast solicitation for `2001:db8:1::21` that a router sends.
    pub(crate) fn solicit() -> Self {
        let target = ip("2001:db8:1::21");
        let group = solicited_node(target);
        Self {
            ethernet_destination: multicast_lladdr(group),
            ethernet_source: ASKER,
            tags: Vec::new(),
            version: 6,
            payload_length: None,
            hop_limit: 255,
            source: ip("fe80::1"),
            destination: group,
            extensions: None,
            kind: 135,
            code: 0,
            checksum_error: 0,
            reserved: 0,
            target,
            options: lladdr_option(SOURCE_LLADDR, ASKER),
            padding: 0,
        }
    }

    /// The probe by which a host detects duplicates of its address.
    pub(crate) fn dad() -> Self {
        Self {
            ethernet_source: OWNER,
            source: Ipv6Addr::UNSPECIFIED,
            options: vec![14, 1, 1, 2, 3, 4, 5, 6],
            ..Self::solicit()
        }
    }

    /// The answer of `2001:db8:1::21` to us.
    pub(crate) fn advert() -> Self {
        Self {
            ethernet_destination: US,
            ethernet_source: OWNER,
            source: ip("fe80::21"),
            destination: ip("fe80::10"),
            kind: 136,
            reserved: 0x6000_0000,
            options: lladdr_option(TARGET_LLADDR, OWNER),
            ..Self::solicit()
        }
    }

    pub(crate) fn frame(&self) -> Vec<u8> {
        let mut message = vec![self.kind, self.code, 0, 0];
        message.extend(self.reserved.to_be_bytes());
        message.extend(self.target.octets());
        message.extend(&self.options);
        let sum = checksum(self.source, self.destination, 58, &message);
        message[2..4].copy_from_slice(&sum.wrapping_add(self.checksum_error).to_be_bytes());

        let (first, headers) = self.extensions.clone().unwrap_or((58, Vec::new()));
        let length = u16::try_from(headers.len() + message.len()).expect("a frame is short");
        let mut frame = Vec::new();
        frame.extend(self.ethernet_destination.0);
        frame.extend(self.ethernet_source.0);
        frame.extend(&self.tags);
        frame.extend([0x86, 0xdd]);
        frame.extend([self.version << 4, 0, 0, 0]);
        frame.extend(self.payload_length.unwrap_or(length).to_be_bytes());
        frame.extend([first, self.hop_limit]);
        frame.extend(self.source.octets());
        frame.extend(self.destination.octets());
        frame.extend(headers);
        frame.extend(message);
        frame.resize(frame.len() + self.padding, 0);
        frame
    }
}

pub(crate) fn ip(text: &str) -> Ipv6Addr {
    text.parse().expect("a literal address")
}

pub(crate) fn lladdr_option(kind: u8, lladdr: LinkAddr) -> Vec<u8> {
    [&[kind, 1], &lladdr.0[..]].concat()
}
