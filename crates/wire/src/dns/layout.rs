//! Walks over a message before anything is made of it, to know that all of it is there.
//!
//! The counts of the header are believed only when as much has been walked over; names end, within
//! their limits, and point backwards only; the rdata of each type that holds names has the shape of
//! that type. The work is bounded by the length of the message.

use std::ops::Range;

use simple_dns::{QCLASS, QTYPE, TYPE};
use zerocopy::byteorder::network_endian::U16;
use zerocopy::{FromBytes, Immutable, KnownLayout, Unaligned};

use super::name::{MAX_LABEL, MAX_NAME};
use super::{MAX_LEN, kind};

/// Octets of the header (RFC 1035 section 4.1.1).
pub(super) const HEADER_LEN: usize = 12;
/// The most questions and records of one message, which bounds the work that a packet is. So many
/// records of 16 octets fill the longest message, and none that says something of its own is shorter:
/// with its name and that of others compressed, an IPv4 address takes 16, and so does the name of an
/// instance of one letter.
const MAX_ENTRIES: usize = MAX_LEN / 16;
/// More pointers than labels make no sense.
const MAX_POINTERS: usize = 128;
/// How much work names may be: two octets point to as many labels as a name may have, and the share of a
/// name is the square of their number. Of names as long as those below `ip6.arpa`, which are the longest
/// in use, a message may hold a hundred.
const MAX_EFFORT: usize = 131_072;
/// A type that means nothing to anybody else (RFC 6895 section 3.1, private use).
const OPAQUE: u16 = 0xff00;

/// A message of which nothing can be used, and why.
///
/// The labels are stable: they name counters.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, thiserror::Error)]
#[repr(u8)]
pub enum MalformedMessage {
    /// It ends before its header does, or before what the counts of its header promise.
    #[error("the message is shorter than it claims")]
    Truncated,
    /// Longer than multicast DNS allows (RFC 6762 section 17).
    #[error("the message is longer than 9000 octets")]
    TooLong,
    /// More questions and records than a packet has room for, if each of them says something.
    #[error("the message has too many questions and records")]
    Entries,
    /// A label longer than 63 octets, or of a kind that does not exist (RFC 1035 section 4.1.4).
    #[error("a label is longer than 63 octets")]
    Label,
    /// A name longer than 255 octets (RFC 1035 section 3.1).
    #[error("a name is longer than 255 octets")]
    Name,
    /// More long names than anybody has to say at once.
    #[error("the names have too many labels")]
    Labels,
    /// A name that goes on at itself, further on, in the header, or at what does not end before itself
    /// begins (RFC 1035 section 4.1.4).
    #[error("a compressed name does not point to an earlier one")]
    Pointer,
    /// Not the class of the Internet, the one that multicast DNS is used with.
    #[error("a class does not exist")]
    Class,
    /// What a record says does not have the shape of its type.
    #[error("a record does not have the shape of its type")]
    Data,
}

impl MalformedMessage {
    /// Every reason, in the order of their discriminants.
    pub const ALL: [Self; 9] = [
        Self::Truncated,
        Self::TooLong,
        Self::Entries,
        Self::Label,
        Self::Name,
        Self::Labels,
        Self::Pointer,
        Self::Class,
        Self::Data,
    ];

    /// Returns the name of the counter, which never changes once released.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Truncated => "message-truncated",
            Self::TooLong => "message-too-long",
            Self::Entries => "entry-count",
            Self::Label => "label-length",
            Self::Name => "name-length",
            Self::Labels => "label-count",
            Self::Pointer => "compression-pointer",
            Self::Class => "class",
            Self::Data => "record-data",
        }
    }
}

/// A header as it stands on the wire.
#[derive(Clone, Copy, FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct WireHeader {
    pub(super) id: U16,
    flags: U16,
    counts: [U16; 4],
}

impl WireHeader {
    pub(super) fn is_response(self) -> bool {
        self.flags.get() & 0x8000 != 0
    }

    pub(super) fn opcode(self) -> u8 {
        (self.flags.get() >> 11 & 0xf) as u8
    }

    pub(super) fn is_authoritative(self) -> bool {
        self.flags.get() & 0x0400 != 0
    }

    pub(super) fn is_truncated(self) -> bool {
        self.flags.get() & 0x0200 != 0
    }

    pub(super) fn rcode(self) -> u8 {
        (self.flags.get() & 0xf) as u8
    }
}

/// Where everything is.
pub(super) struct Layout {
    pub(super) header: WireHeader,
    /// The types asked for.
    pub(super) questions: Vec<u16>,
    /// The records of the three other sections, in order.
    pub(super) sections: [Vec<RecordAt>; 3],
    /// Where something else has to stand for the message to be read, and what.
    replaced: Vec<(usize, [u8; 2])>,
    seen: Seen,
}

/// What was seen of names.
struct Seen {
    /// For each octet of the message, whether a name points there.
    pointed_at: Vec<bool>,
    /// The squares of their numbers of labels.
    effort: usize,
}

pub(super) struct RecordAt {
    pub(super) kind: u16,
    pub(super) rdata: Range<usize>,
    /// The rdata without compression, of types of which nobody looks at the names.
    pub(super) expanded: Option<Vec<u8>>,
}

impl Layout {
    pub(super) fn read(bytes: &[u8]) -> Result<Self, MalformedMessage> {
        if bytes.len() > MAX_LEN {
            return Err(MalformedMessage::TooLong);
        }
        let (header, _) =
            WireHeader::read_from_prefix(bytes).map_err(|_| MalformedMessage::Truncated)?;
        let mut layout = Self {
            header,
            questions: Vec::new(),
            sections: [Vec::new(), Vec::new(), Vec::new()],
            replaced: Vec::new(),
            seen: Seen { pointed_at: vec![false; bytes.len()], effort: 0 },
        };
        // RFC 6762 section 18.7: this bit is ignored, but the reader insists on a zero.
        layout.replaced.extend((header.flags.get() & 0x0040 != 0).then(|| {
            let flags = header.flags.get() & !0x0040;
            (2, flags.to_be_bytes())
        }));
        let counts = header.counts.map(U16::get);
        if counts.into_iter().map(usize::from).sum::<usize>() > MAX_ENTRIES {
            return Err(MalformedMessage::Entries);
        }
        let [questions, records @ ..] = counts;
        let mut at = HEADER_LEN;
        for _ in 0..questions {
            at = layout.question(bytes, at)?;
        }
        for (section, count) in records.into_iter().enumerate() {
            for _ in 0..count {
                let (record, next) = layout.record(bytes, at)?;
                at = next;
                if let Some(section) = layout.sections.get_mut(section) {
                    section.push(record);
                }
            }
        }
        // Names are where names are, so that nothing that is put elsewhere becomes part of one.
        let is_name =
            |at: usize| layout.seen.pointed_at.get(at).is_some_and(|pointed_at| *pointed_at);
        if layout.replaced.iter().any(|(at, octets)| (*at..at + octets.len()).any(is_name)) {
            return Err(MalformedMessage::Pointer);
        }
        Ok(layout)
    }

    /// Returns the message as it can be read, if that is not how it is.
    pub(super) fn readable(&self, bytes: &[u8]) -> Option<Vec<u8>> {
        if self.replaced.is_empty() {
            return None;
        }
        let mut copy = bytes.to_vec();
        for (at, octets) in &self.replaced {
            copy.get_mut(*at..at + octets.len())?.copy_from_slice(octets);
        }
        Some(copy)
    }

    /// Walks over a question; returns where the next one begins.
    fn question(&mut self, bytes: &[u8], at: usize) -> Result<usize, MalformedMessage> {
        let at = Walk::new(bytes, &mut self.seen).name(at, bytes.len())?;
        let kind = number(bytes, at)?;
        let class = number(bytes, at + 2)?;
        QCLASS::try_from(class & 0x7fff).map_err(|_| MalformedMessage::Class)?;
        // A type that the reader has not heard of is no reason not to pass the question on.
        if QTYPE::try_from(kind).is_err() {
            self.replaced.push((at, kind::ANY.to_be_bytes()));
        }
        self.questions.push(kind);
        Ok(at + 4)
    }

    /// Walks over a record; returns where the next one begins.
    fn record(&mut self, bytes: &[u8], at: usize) -> Result<(RecordAt, usize), MalformedMessage> {
        let at = Walk::new(bytes, &mut self.seen).name(at, bytes.len())?;
        let kind = number(bytes, at)?;
        let class = number(bytes, at + 2)?;
        let start = at + 10;
        let end = start + usize::from(number(bytes, at + 8)?);
        if end > bytes.len() {
            return Err(MalformedMessage::Truncated);
        }
        // There it stands for a length (RFC 6891 section 6.1.2).
        if kind != kind::OPT && class & 0x7fff != kind::CLASS_IN {
            return Err(MalformedMessage::Class);
        }
        let mut expanded = None;
        if let Some(shape) = Shape::of(kind) {
            let mut walk = Walk::new(bytes, &mut self.seen);
            walk.expanded = is_rare(kind).then(Vec::new);
            shape.walk(&mut walk, start..end)?;
            expanded = walk.expanded;
        } else if !matches!(TYPE::from(kind), TYPE::Unknown(_) | TYPE::NULL)
            && !matches!(kind, kind::TXT | kind::HINFO | kind::OPT)
        {
            // Its octets are passed on as they are (RFC 3597), whether the reader thinks well of
            // them or not.
            self.replaced.push((at, OPAQUE.to_be_bytes()));
        }
        Ok((RecordAt { kind, rdata: start..end, expanded }, end))
    }
}

/// Whether a type has names in its data that may come compressed (RFC 6762 section 18.14), but that
/// nobody looks at, so that it is passed on as octets without compression.
fn is_rare(kind: u16) -> bool {
    matches!(
        kind,
        kind::SOA
            | kind::MX
            | kind::RP
            | kind::AFSDB
            | kind::RT
            | kind::PX
            | kind::KX
            | kind::DNAME
    )
}

/// What the rdata of a type consists of: octets, names, octets.
#[derive(Clone, Copy)]
struct Shape {
    before: usize,
    names: usize,
    /// `None` for any number.
    after: Option<usize>,
}

impl Shape {
    /// Returns the shape of addresses, and of all types with names that may be compressed in
    /// multicast DNS (RFC 6762 section 18.14).
    fn of(kind: u16) -> Option<Self> {
        let (before, names, after) = match kind {
            kind::A => (4, 0, Some(0)),
            kind::AAAA => (16, 0, Some(0)),
            kind::NS | kind::CNAME | kind::PTR | kind::DNAME => (0, 1, Some(0)),
            kind::MX | kind::AFSDB | kind::RT | kind::KX => (2, 1, Some(0)),
            kind::PX => (2, 2, Some(0)),
            kind::RP => (0, 2, Some(0)),
            kind::SRV => (6, 1, Some(0)),
            kind::SOA => (0, 2, Some(20)),
            kind::NSEC => (0, 1, None),
            _ => return None,
        };
        Some(Self { before, names, after })
    }

    /// Walks over rdata.
    fn walk(self, walk: &mut Walk<'_>, rdata: Range<usize>) -> Result<(), MalformedMessage> {
        let bytes = walk.bytes;
        let mut at = rdata.start + self.before;
        walk.put(bytes.get(rdata.start..at).ok_or(MalformedMessage::Data)?);
        for _ in 0..self.names {
            at = walk.name(at, rdata.end)?;
        }
        let rest = bytes.get(at..rdata.end).ok_or(MalformedMessage::Data)?;
        if self.after.is_some_and(|after| after != rest.len()) {
            return Err(MalformedMessage::Data);
        }
        walk.put(rest);
        Ok(())
    }
}

/// A walk over names, and what was seen of them.
struct Walk<'a> {
    bytes: &'a [u8],
    seen: &'a mut Seen,
    /// What was walked over without compression, if anybody wants to know.
    expanded: Option<Vec<u8>>,
}

impl<'a> Walk<'a> {
    fn new(bytes: &'a [u8], seen: &'a mut Seen) -> Self {
        Self { bytes, seen, expanded: None }
    }

    fn put(&mut self, octets: &[u8]) {
        if let Some(expanded) = &mut self.expanded {
            expanded.extend(octets);
        }
    }

    /// Notes that octets are part of a name, if it is a pointer that leads there.
    fn note(&mut self, octets: Range<usize>, pointers: usize) {
        if pointers > 0
            && let Some(pointed_at) = self.seen.pointed_at.get_mut(octets)
        {
            pointed_at.fill(true);
        }
    }

    /// Walks over a name of which the part that stands at `at` has to end before `end`; returns
    /// where that does.
    fn name(&mut self, at: usize, end: usize) -> Result<usize, MalformedMessage> {
        let mut missing = if end == self.bytes.len() {
            MalformedMessage::Truncated
        } else {
            MalformedMessage::Data
        };
        let (mut at, mut part) = (at, at..end);
        let mut next = None;
        let (mut length, mut labels) = (0, 0);
        let mut pointers = 0;
        loop {
            let bytes = self.bytes.get(..part.end).ok_or(missing)?;
            let first = *bytes.get(at).ok_or(missing)?;
            match first {
                0 => {
                    self.put(&[0]);
                    self.note(at..at + 1, pointers);
                    self.seen.effort += labels * labels;
                    if self.seen.effort > MAX_EFFORT {
                        return Err(MalformedMessage::Labels);
                    }
                    return Ok(next.unwrap_or(at + 1));
                }
                0xc0.. => {
                    let pointer = number(bytes, at).map_err(|_| missing)? & 0x3fff;
                    let pointer = usize::from(pointer);
                    self.note(at..at + 2, pointers);
                    pointers += 1;
                    // What it leads to is all before the part that it ends, so that parts never
                    // share octets, and come to an end.
                    if pointer >= part.start || pointer < HEADER_LEN || pointers > MAX_POINTERS {
                        return Err(MalformedMessage::Pointer);
                    }
                    next = next.or(Some(at + 2));
                    missing = MalformedMessage::Pointer;
                    part = pointer..part.start;
                    at = pointer;
                }
                _ => {
                    let label = usize::from(first);
                    if label > MAX_LABEL {
                        return Err(MalformedMessage::Label);
                    }
                    length += 1 + label;
                    labels += 1;
                    if length + 1 > MAX_NAME {
                        return Err(MalformedMessage::Name);
                    }
                    let after = at + 1 + label;
                    self.put(bytes.get(at..after).ok_or(missing)?);
                    self.note(at..after, pointers);
                    at = after;
                }
            }
        }
    }
}

fn number(bytes: &[u8], at: usize) -> Result<u16, MalformedMessage> {
    let octets = bytes.get(at..at + 2).ok_or(MalformedMessage::Truncated)?;
    U16::read_from_bytes(octets).map(U16::get).map_err(|_| MalformedMessage::Truncated)
}
