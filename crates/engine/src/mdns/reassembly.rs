//! Puts fragments of IP packets together: a record that fits no packet comes in several (RFC 6762
//! section 17).

use std::net::IpAddr;
use std::time::Duration;

use magpie_wire::datagram::{Datagram, Fragment};
use magpie_wire::{LinkAddr, Malformed};

use crate::{Instant, LinkId};

/// How long the rest of a packet is waited for. On one link it follows at once.
const PATIENCE: Duration = Duration::from_secs(2);
/// Packets that are put together at a time; the oldest is given up for another.
const MAX_PACKETS: usize = 8;
/// Octets of one packet after its IP header (RFC 6762 section 17), and of the fragments' overlap.
const MAX_OCTETS: usize = 9_000;
/// Fragments of one packet: as many as the smallest MTU makes of it, and then some.
const MAX_FRAGMENTS: usize = 24;

/// What tells packets apart (RFC 8200 section 4.5, RFC 791 section 3.2).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Key {
    link: LinkId,
    lladdr: LinkAddr,
    source: IpAddr,
    destination: IpAddr,
    identification: u32,
}

#[derive(Debug)]
struct Packet {
    key: Key,
    since: Instant,
    ethernet_destination: LinkAddr,
    hop_limit: u8,
    /// Pieces by their offset, without overlaps.
    pieces: Vec<(usize, Vec<u8>)>,
    /// Where the last one ends, once it has come.
    end: Option<usize>,
}

/// A packet that is whole.
#[derive(Debug)]
pub(crate) struct Assembled {
    key: Key,
    ethernet_destination: LinkAddr,
    hop_limit: u8,
    /// What follows the IP header.
    octets: Vec<u8>,
}

impl Assembled {
    /// Reads the datagram.
    pub(crate) fn datagram(&self) -> Result<Datagram<'_>, Malformed> {
        let first = Fragment {
            ethernet_source: self.key.lladdr,
            ethernet_destination: self.ethernet_destination,
            source: self.key.source,
            destination: self.key.destination,
            identification: self.key.identification,
            offset: 0,
            more: false,
            hop_limit: self.hop_limit,
            payload: &self.octets,
        };
        Datagram::of_payload(&first, &self.octets)
    }
}

/// Packets of which parts are there.
#[derive(Debug, Default)]
pub(crate) struct Reassembly {
    packets: Vec<Packet>,
}

impl Reassembly {
    /// Takes a fragment; returns the packet that it completes, or nothing. Overlaps spoil a packet
    /// (RFC 5722 section 4).
    pub(crate) fn take(
        &mut self,
        link: LinkId,
        fragment: &Fragment<'_>,
        now: Instant,
    ) -> Result<Option<Assembled>, Spoiled> {
        self.packets.retain(|packet| now.since(packet.since) < PATIENCE);
        let key = Key {
            link,
            lladdr: fragment.ethernet_source,
            source: fragment.source,
            destination: fragment.destination,
            identification: fragment.identification,
        };
        let known = self.packets.iter().position(|packet| packet.key == key);
        let place = known.unwrap_or_else(|| self.begin(key, fragment, now));
        let Some(packet) = self.packets.get_mut(place) else { return Ok(None) };
        if packet.add(fragment).is_err() {
            self.packets.remove(place);
            return Err(Spoiled);
        }
        if !packet.is_whole() {
            return Ok(None);
        }
        let packet = self.packets.remove(place);
        Ok(Some(Assembled {
            key,
            ethernet_destination: packet.ethernet_destination,
            hop_limit: packet.hop_limit,
            octets: packet.pieces.into_iter().flat_map(|(_, octets)| octets).collect(),
        }))
    }

    /// Makes room for one more packet; returns its place.
    fn begin(&mut self, key: Key, fragment: &Fragment<'_>, now: Instant) -> usize {
        if self.packets.len() >= MAX_PACKETS {
            self.packets.remove(0);
        }
        self.packets.push(Packet {
            key,
            since: now,
            ethernet_destination: fragment.ethernet_destination,
            hop_limit: fragment.hop_limit,
            pieces: Vec::new(),
            end: None,
        });
        self.packets.len() - 1
    }

    pub(crate) fn forget_link(&mut self, link: LinkId) {
        self.packets.retain(|packet| packet.key.link != link);
    }

    pub(crate) fn clear(&mut self) {
        self.packets.clear();
    }

    pub(crate) fn len(&self) -> usize {
        self.packets.len()
    }
}

/// Fragments that contradict each other, or are too large or too many.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Spoiled;

impl Packet {
    fn add(&mut self, fragment: &Fragment<'_>) -> Result<(), Spoiled> {
        let begin = fragment.offset;
        let end = begin + fragment.payload.len();
        if fragment.payload.is_empty() || end > MAX_OCTETS || self.pieces.len() >= MAX_FRAGMENTS {
            return Err(Spoiled);
        }
        if !fragment.more && self.end.replace(end).is_some_and(|before| before != end) {
            return Err(Spoiled);
        }
        let at = self.pieces.partition_point(|(offset, _)| *offset < begin);
        if let Some((offset, octets)) = self.pieces.get(at)
            && *offset < end
        {
            // The very same may come twice.
            let is_copy = *offset == begin && octets.as_slice() == fragment.payload;
            return if is_copy { Ok(()) } else { Err(Spoiled) };
        }
        let before = at.checked_sub(1).and_then(|before| self.pieces.get(before));
        if before.is_some_and(|(offset, octets)| offset + octets.len() > begin) {
            return Err(Spoiled);
        }
        self.pieces.insert(at, (begin, fragment.payload.to_vec()));
        let last = self.pieces.last().map_or(0, |(offset, octets)| offset + octets.len());
        if self.end.is_some_and(|end| last > end) { Err(Spoiled) } else { Ok(()) }
    }

    fn is_whole(&self) -> bool {
        let gathered: usize = self.pieces.iter().map(|(_, octets)| octets.len()).sum();
        self.end == Some(gathered)
    }
}
