//! Questions and records.

use std::borrow::Cow;
use std::fmt::Write;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use simple_dns::ResourceRecord;
use simple_dns::rdata::{CNAME, NS, PTR, RData};

use super::layout::RecordAt;
use super::name::{Name, write_text};
use super::write::Writer;
use super::{MalformedMessage, kind, kind_name};

/// A question (RFC 1035 section 4.1.2).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Question<'a> {
    /// What it is about.
    pub name: Name<'a>,
    /// The type of records that are asked for, of [`kind`].
    pub kind: u16,
    /// Their class, without the bit that `unicast` is.
    pub class: u16,
    /// Whether the answer may come to the asker alone (RFC 6762 section 5.4).
    pub unicast: bool,
}

impl Question<'_> {
    /// Returns a hash of what is asked, without regard to case and to how the answer may come. It is
    /// the same for the same question in every process of one build.
    pub fn content(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        (&self.name, self.kind, self.class).hash(&mut hasher);
        hasher.finish()
    }

    /// Copies what it borrows.
    pub fn into_owned(self) -> Question<'static> {
        Question { name: self.name.into_owned(), ..self }
    }

    pub(super) fn write(&self, writer: &mut Writer) {
        writer.put_name(&self.name);
        writer.put_number(self.kind);
        writer.put_number(class(self.class, self.unicast));
    }
}

/// A record (RFC 1035 section 4.1.3). Records are equal that differ in the case of names only.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Record<'a> {
    /// What it is about.
    pub name: Name<'a>,
    /// Its class, without the bit that `cache_flush` is.
    pub class: u16,
    /// Whether it is all there is of its name and type, so that what was said before no longer
    /// holds (RFC 6762 section 10.2).
    pub cache_flush: bool,
    /// How long it holds, in seconds; 0 withdraws it (RFC 6762 section 10.1).
    pub ttl: u32,
    kind: u16,
    rdata: Rdata<'a>,
}

/// What a record says, as far as anybody wants to know.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Data<'a> {
    /// An IPv4 address.
    A(Ipv4Addr),
    /// An IPv6 address.
    Aaaa(Ipv6Addr),
    /// Another name.
    Ptr(&'a Name<'a>),
    /// Where a service is.
    Srv {
        /// The host.
        target: &'a Name<'a>,
        /// The port there.
        port: u16,
        /// Targets with lower ones are tried first.
        priority: u16,
        /// How often to choose it among those of one priority.
        weight: u16,
    },
    /// Which types of records there are of its name.
    Nsec {
        /// The next name; in multicast DNS the same one (RFC 6762 section 6.1).
        next: &'a Name<'a>,
        /// The types.
        types: Types<'a>,
    },
    /// Something else.
    Other,
}

/// The types that an NSEC record names (RFC 4034 section 4.1.2).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Types<'a>(&'a [Window<'a>]);

impl<'a> Types<'a> {
    /// Returns them in ascending order.
    pub fn iter(self) -> impl Iterator<Item = u16> + use<'a> {
        self.0.iter().flat_map(|window| {
            let kinds = u16::from(window.block) << 8..=u16::from(window.block) << 8 | 0xff;
            kinds.filter(|kind| window.contains(*kind))
        })
    }

    /// Whether a type is among them.
    pub fn contains(self, kind: u16) -> bool {
        self.0.iter().any(|window| window.contains(kind))
    }
}

/// 256 types (RFC 4034 section 4.1.2).
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
struct Window<'a> {
    block: u8,
    bits: Cow<'a, [u8]>,
}

impl Window<'_> {
    fn contains(&self, kind: u16) -> bool {
        let [block, low] = kind.to_be_bytes();
        let octet = self.bits.get(usize::from(low >> 3)).copied().unwrap_or(0);
        block == self.block && octet & (0x80 >> (low & 7)) != 0
    }
}

#[derive(Clone, Debug, Eq, Hash, PartialEq)]
enum Rdata<'a> {
    A(Ipv4Addr),
    Aaaa(Ipv6Addr),
    /// NS, CNAME or PTR.
    Name(Name<'a>),
    Srv {
        priority: u16,
        weight: u16,
        port: u16,
        target: Name<'a>,
    },
    Nsec {
        next: Name<'a>,
        windows: Vec<Window<'a>>,
    },
    /// Without names that anybody looks at: passed on as it is (RFC 3597 section 4), but without
    /// compression.
    Octets(Cow<'a, [u8]>),
}

impl<'a> Record<'a> {
    /// Makes an address record of the Internet.
    pub fn of_address(name: Name<'a>, ttl: u32, address: IpAddr) -> Self {
        let (kind, rdata) = match address {
            IpAddr::V4(address) => (kind::A, Rdata::A(address)),
            IpAddr::V6(address) => (kind::AAAA, Rdata::Aaaa(address)),
        };
        Self { name, class: kind::CLASS_IN, cache_flush: true, ttl, kind, rdata }
    }

    /// Returns its type, of [`kind`].
    pub fn kind(&self) -> u16 {
        self.kind
    }

    /// Returns what it says.
    pub fn data(&self) -> Data<'_> {
        match &self.rdata {
            Rdata::A(address) => Data::A(*address),
            Rdata::Aaaa(address) => Data::Aaaa(*address),
            Rdata::Name(name) if self.kind == kind::PTR => Data::Ptr(name),
            Rdata::Srv { priority, weight, port, target } => {
                Data::Srv { target, port: *port, priority: *priority, weight: *weight }
            }
            Rdata::Nsec { next, windows } => Data::Nsec { next, types: Types(windows) },
            Rdata::Name(_) | Rdata::Octets(_) => Data::Other,
        }
    }

    /// Returns a hash of the name, type, class and data, without regard to case in names, to the
    /// lifetime and to cache flushing. It is the same for the same record in every process of one
    /// build.
    pub fn content(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        (&self.name, self.kind, self.class, &self.rdata).hash(&mut hasher);
        hasher.finish()
    }

    /// Returns an NSEC record without the types that `withheld` names; `None` if none are left.
    /// Other records stay as they are.
    pub fn without_types(&self, withheld: impl Fn(u16) -> bool) -> Option<Self> {
        let Rdata::Nsec { next, windows } = &self.rdata else { return Some(self.clone()) };
        let left: Vec<_> = windows
            .iter()
            .filter_map(|window| {
                let mut bits = window.bits.to_vec();
                for (octet, index) in bits.iter_mut().zip(0_u16..) {
                    for bit in 0..8 {
                        if withheld(u16::from(window.block) << 8 | index << 3 | bit) {
                            *octet &= !(0x80 >> bit);
                        }
                    }
                }
                Window::of(window.block, Cow::Owned(bits))
            })
            .collect();
        let rdata = Rdata::Nsec { next: next.clone(), windows: left };
        match &rdata {
            Rdata::Nsec { windows, .. } if windows.is_empty() => None,
            _ => Some(Self { name: self.name.clone(), rdata, ..*self }),
        }
    }

    /// Says for people what it says, in at most `max` characters.
    pub fn describe(&self, max: usize) -> String {
        let mut text = String::new();
        // Writing to a string does not fail.
        let _ = self.write_data(&mut text);
        if text.char_indices().nth(max).is_some() {
            let end = text.char_indices().nth(max.saturating_sub(1)).map_or(0, |(at, _)| at);
            text.truncate(end);
            text.extend((max > 0).then_some('…'));
        }
        text
    }

    /// Copies what it borrows.
    pub fn into_owned(self) -> Record<'static> {
        let rdata = match self.rdata {
            Rdata::A(address) => Rdata::A(address),
            Rdata::Aaaa(address) => Rdata::Aaaa(address),
            Rdata::Name(name) => Rdata::Name(name.into_owned()),
            Rdata::Srv { priority, weight, port, target } => {
                Rdata::Srv { priority, weight, port, target: target.into_owned() }
            }
            Rdata::Nsec { next, windows } => Rdata::Nsec {
                next: next.into_owned(),
                windows: windows
                    .into_iter()
                    .map(|window| Window {
                        block: window.block,
                        bits: Cow::Owned(window.bits.into_owned()),
                    })
                    .collect(),
            },
            Rdata::Octets(octets) => Rdata::Octets(Cow::Owned(octets.into_owned())),
        };
        Record {
            name: self.name.into_owned(),
            class: self.class,
            cache_flush: self.cache_flush,
            ttl: self.ttl,
            kind: self.kind,
            rdata,
        }
    }

    /// Takes over what was read of a record at a place of `bytes`.
    pub(super) fn read(
        bytes: &'a [u8],
        record: ResourceRecord<'a>,
        place: &RecordAt,
    ) -> Result<Self, MalformedMessage> {
        let rdata = match record.rdata {
            RData::A(a) => Rdata::A(Ipv4Addr::from_bits(a.address)),
            RData::AAAA(aaaa) => Rdata::Aaaa(Ipv6Addr::from_bits(aaaa.address)),
            RData::NS(NS(name)) | RData::CNAME(CNAME(name)) | RData::PTR(PTR(name)) => {
                Rdata::Name(Name(name))
            }
            RData::SRV(srv) => Rdata::Srv {
                priority: srv.priority,
                weight: srv.weight,
                port: srv.port,
                target: Name(srv.target),
            },
            RData::NSEC(nsec) => Rdata::Nsec {
                next: Name(nsec.next_name),
                windows: nsec
                    .type_bit_maps
                    .into_iter()
                    .filter_map(|window| Window::of(window.window_block, window.bitmap))
                    .collect(),
            },
            _ => {
                let octets = bytes.get(place.rdata.clone()).ok_or(MalformedMessage::Data)?;
                let expanded = place.expanded.clone();
                Rdata::Octets(expanded.map_or(Cow::Borrowed(octets), Cow::Owned))
            }
        };
        Ok(Self {
            name: Name(record.name),
            class: record.class.into(),
            cache_flush: record.cache_flush,
            ttl: record.ttl,
            kind: place.kind,
            rdata,
        })
    }

    pub(super) fn write(&self, writer: &mut Writer) {
        writer.put_name(&self.name);
        writer.put_number(self.kind);
        writer.put_number(class(self.class, self.cache_flush));
        writer.put(&self.ttl.to_be_bytes());
        let at = writer.len();
        writer.put_number(0);
        match &self.rdata {
            Rdata::A(address) => writer.put(&address.octets()),
            Rdata::Aaaa(address) => writer.put(&address.octets()),
            Rdata::Name(name) => writer.put_name(name),
            Rdata::Srv { priority, weight, port, target } => {
                writer.put_number(*priority);
                writer.put_number(*weight);
                writer.put_number(*port);
                writer.put_plain_name(target);
            }
            Rdata::Nsec { next, windows } => {
                writer.put_plain_name(next);
                for window in windows {
                    // There are no more than 32 octets.
                    let length = u8::try_from(window.bits.len()).unwrap_or(u8::MAX);
                    writer.put(&[window.block, length]);
                    writer.put(&window.bits);
                }
            }
            Rdata::Octets(octets) => writer.put(octets),
        }
        // What is longer fits no message.
        let length = u16::try_from(writer.len() - at - 2).unwrap_or(u16::MAX);
        writer.set_number(at, length);
    }

    fn write_data(&self, out: &mut String) -> std::fmt::Result {
        match &self.rdata {
            Rdata::A(address) => write!(out, "{address}"),
            Rdata::Aaaa(address) => write!(out, "{address}"),
            Rdata::Name(name) => write!(out, "{name}"),
            Rdata::Srv { port, target, .. } => write!(out, "{target}:{port}"),
            Rdata::Nsec { windows, .. } => {
                for (index, kind) in Types(windows).iter().enumerate() {
                    let space = if index > 0 { " " } else { "" };
                    write!(out, "{space}{}", kind_name(kind))?;
                }
                Ok(())
            }
            Rdata::Octets(octets) => match self.kind {
                kind::TXT | kind::HINFO => write_strings(out, octets),
                // RFC 3597 section 5.
                _ => {
                    write!(out, "\\# {}", octets.len())?;
                    if !octets.is_empty() {
                        out.push(' ');
                    }
                    octets.iter().try_for_each(|octet| write!(out, "{octet:02x}"))
                }
            },
        }
    }
}

impl<'a> Window<'a> {
    /// Leaves out what says nothing, as RFC 4034 section 4.1.2 demands: octets without bits at the
    /// end, and windows without any.
    fn of(block: u8, bits: Cow<'a, [u8]>) -> Option<Self> {
        let length = bits.iter().rposition(|octet| *octet != 0)? + 1;
        let bits = match bits {
            Cow::Borrowed(bits) => Cow::Borrowed(bits.get(..length)?),
            Cow::Owned(mut bits) => {
                bits.truncate(length);
                Cow::Owned(bits)
            }
        };
        Some(Self { block, bits })
    }
}

/// Returns a class with its highest bit.
fn class(class: u16, top: bool) -> u16 {
    class & 0x7fff | if top { 0x8000 } else { 0 }
}

/// Writes character strings (RFC 1035 section 3.3) in quotes, with spaces between.
fn write_strings(out: &mut String, octets: &[u8]) -> std::fmt::Result {
    let mut rest = octets;
    while let Some((length, after)) = rest.split_first() {
        let Some((string, after)) = after.split_at_checked(usize::from(*length)) else { break };
        rest = after;
        if !out.is_empty() {
            out.push(' ');
        }
        out.push('"');
        write_text(out, string, &['"', '\\'])?;
        out.push('"');
    }
    Ok(())
}
