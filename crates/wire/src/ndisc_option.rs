//! Neighbor Discovery options: an iterator over raw ones, and the few that are read (RFC 4861
//! section 4.6, RFC 3971 section 5.3.2).

use std::fmt;
use std::net::Ipv6Addr;
use std::time::Duration;

use crate::{LinkAddr, Malformed};

pub(crate) const SOURCE_LLADDR: u8 = 1;
pub(crate) const TARGET_LLADDR: u8 = 2;
const PREFIX_INFORMATION: u8 = 3;
pub(crate) const NONCE: u8 = 14;

/// One option: its type, and its body without type and length.
pub(crate) struct RawOption<'a> {
    pub(crate) kind: u8,
    pub(crate) body: &'a [u8],
}

/// Walks options; an impossible length ends the walk with an error.
///
/// RFC 4861 section 7.1.1: all included options have a length greater than zero.
pub(crate) struct Options<'a>(pub(crate) &'a [u8]);

impl<'a> Iterator for Options<'a> {
    type Item = Result<RawOption<'a>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let split = match *self.0 {
            [kind, units, ..] if units > 0 => {
                self.0.split_at_checked(usize::from(units) * 8).map(|(one, rest)| (kind, one, rest))
            }
            _ => None,
        };
        let Some((kind, option, rest)) = split else {
            self.0 = &[];
            return Some(Err(Malformed::Option));
        };
        self.0 = rest;
        Some(Ok(RawOption { kind, body: option.get(2..).unwrap_or_default() }))
    }
}

/// Reads a link-layer address option of an Ethernet link, which is one unit long and names a
/// station. Linux obeys a group address here, which turns a solicitation into an amplifier.
pub(crate) fn parse_lladdr(body: &[u8]) -> Result<LinkAddr, Malformed> {
    let octets: [u8; 6] = body.try_into().map_err(|_| Malformed::LinkAddrOption)?;
    let address = LinkAddr(octets);
    if address.is_station() { Ok(address) } else { Err(Malformed::LinkAddrOption) }
}

/// The nonce of a solicitation (RFC 3971 section 5.3.2), which lets a node recognize its own
/// duplicate address detection probe when it comes back (RFC 7527 section 4.1).
#[derive(Clone, Copy, Eq, PartialEq)]
pub struct Nonce {
    length: u8,
    octets: [u8; Self::MAX],
}

impl Nonce {
    /// The longest nonce that is carried: an option of four units.
    pub const MAX: usize = 30;

    /// Takes over a nonce of six random octets.
    pub fn new(octets: [u8; 6]) -> Self {
        let mut nonce = Self { length: 6, octets: [0; Self::MAX] };
        nonce.octets[..6].copy_from_slice(&octets);
        nonce
    }

    /// The octets as they stand in the option.
    pub fn as_bytes(&self) -> &[u8] {
        self.octets.get(..usize::from(self.length)).unwrap_or_default()
    }

    pub(crate) fn parse(body: &[u8]) -> Result<Self, Malformed> {
        let mut octets = [0; Self::MAX];
        octets.get_mut(..body.len()).ok_or(Malformed::Nonce)?.copy_from_slice(body);
        let length = u8::try_from(body.len()).map_err(|_| Malformed::Nonce)?;
        Ok(Self { length, octets })
    }
}

impl fmt::Debug for Nonce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Nonce(")?;
        for octet in self.as_bytes() {
            write!(f, "{octet:02x}")?;
        }
        f.write_str(")")
    }
}

/// A prefix of a Router Advertisement (RFC 4861 section 4.6.2).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct PrefixInformation {
    /// The prefix; bits beyond its length are as they came.
    pub prefix: Ipv6Addr,
    /// Leading bits that count, at most 128.
    pub prefix_len: u8,
    /// The L flag: addresses of the prefix are neighbors.
    pub on_link: bool,
    /// The A flag: hosts form addresses of their own.
    pub autonomous: bool,
    /// How long the prefix is on-link; all ones mean for ever.
    pub valid_lifetime: Duration,
}

impl PrefixInformation {
    fn parse(body: &[u8]) -> Option<Self> {
        let body: &[u8; 30] = body.try_into().ok()?;
        let [prefix_len, flags, a, b, c, d, ..] = *body;
        let (_, prefix) = body.split_last_chunk::<16>()?;
        Some(Self {
            prefix: Ipv6Addr::from(*prefix),
            prefix_len: Some(prefix_len).filter(|len| *len <= 128)?,
            on_link: flags & 0x80 != 0,
            autonomous: flags & 0x40 != 0,
            valid_lifetime: Duration::from_secs(u32::from_be_bytes([a, b, c, d]).into()),
        })
    }
}

/// Finds the prefixes among options that were checked before; others are passed over.
pub(crate) fn prefixes(options: &[u8]) -> impl Iterator<Item = PrefixInformation> + '_ {
    Options(options)
        .flatten()
        .filter(|option| option.kind == PREFIX_INFORMATION)
        .filter_map(|option| PrefixInformation::parse(option.body))
}
