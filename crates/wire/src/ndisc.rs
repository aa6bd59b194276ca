//! The bodies of the four Neighbor Discovery messages that hosts and routers exchange (RFC 4861
//! sections 4.1 to 4.4). Checks that need the IPv6 header stand in `packet`.

use std::net::Ipv6Addr;
use std::time::Duration;

use crate::ndisc_option::{NONCE, Options, SOURCE_LLADDR, TARGET_LLADDR, parse_lladdr, prefixes};
use crate::writer::Writer;
use crate::{BufferTooSmall, LinkAddr, Malformed, Nonce, PrefixInformation};

const ROUTER: u8 = 0x80;
const SOLICITED: u8 = 0x40;
const OVERRIDE: u8 = 0x20;

/// A Neighbor Solicitation: who has `target`? (RFC 4861 section 4.3)
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Solicit {
    /// The address asked about.
    pub target: Ipv6Addr,
    /// Where the asker says it can be reached.
    pub source_lladdr: Option<LinkAddr>,
    /// Identifies the probe when it comes back (RFC 7527).
    pub nonce: Option<Nonce>,
}

impl Solicit {
    pub(crate) fn parse(body: &[u8]) -> Result<Self, Malformed> {
        let (target, options) = split_target(body)?;
        let mut solicit = Self { target, source_lladdr: None, nonce: None };
        for option in Options(options) {
            let option = option?;
            // The first one counts, as in Linux. Other options are ignored whatever they hold
            // (RFC 4861 section 7.1.1), signatures and registrations among them.
            match option.kind {
                SOURCE_LLADDR => {
                    let lladdr = parse_lladdr(option.body)?;
                    solicit.source_lladdr.get_or_insert(lladdr);
                }
                NONCE if solicit.nonce.is_none() => {
                    solicit.nonce = Some(Nonce::parse(option.body)?);
                }
                _ => {}
            }
        }
        Ok(solicit)
    }

    pub(crate) fn emit(&self, to: &mut Writer<'_>) -> Result<(), BufferTooSmall> {
        to.put(&[0; 4])?;
        to.put(&self.target.octets())?;
        emit_lladdr(SOURCE_LLADDR, self.source_lladdr, to)?;
        if let Some(nonce) = &self.nonce {
            emit_option(NONCE, nonce.as_bytes(), to)?;
        }
        Ok(())
    }
}

/// A Neighbor Advertisement: `target` is here (RFC 4861 section 4.4).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Advert {
    /// The address that the advertisement speaks of.
    pub target: Ipv6Addr,
    /// R: the target is a router.
    pub router: bool,
    /// S: sent in answer to a solicitation.
    pub solicited: bool,
    /// O: replaces what a cache holds.
    pub overrides: bool,
    /// Where the target can be reached.
    pub target_lladdr: Option<LinkAddr>,
}

impl Advert {
    pub(crate) fn parse(body: &[u8]) -> Result<Self, Malformed> {
        let (target, options) = split_target(body)?;
        let flags = body.first().copied().unwrap_or_default();
        let mut advert = Self {
            target,
            router: flags & ROUTER != 0,
            solicited: flags & SOLICITED != 0,
            overrides: flags & OVERRIDE != 0,
            target_lladdr: None,
        };
        for option in Options(options) {
            let option = option?;
            if option.kind == TARGET_LLADDR {
                let lladdr = parse_lladdr(option.body)?;
                advert.target_lladdr.get_or_insert(lladdr);
            }
        }
        Ok(advert)
    }

    pub(crate) fn emit(&self, to: &mut Writer<'_>) -> Result<(), BufferTooSmall> {
        let bit = |flag: bool, mask: u8| if flag { mask } else { 0 };
        let flags = bit(self.router, ROUTER)
            | bit(self.solicited, SOLICITED)
            | bit(self.overrides, OVERRIDE);
        to.put(&[flags, 0, 0, 0])?;
        to.put(&self.target.octets())?;
        emit_lladdr(TARGET_LLADDR, self.target_lladdr, to)
    }
}

/// A Router Solicitation (RFC 4861 section 4.1).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct RouterSolicit {
    /// Where the asker says it can be reached.
    pub source_lladdr: Option<LinkAddr>,
}

impl RouterSolicit {
    pub(crate) fn parse(body: &[u8]) -> Result<Self, Malformed> {
        let (_, options) = body.split_at_checked(4).ok_or(Malformed::Length)?;
        Ok(Self { source_lladdr: source_lladdr(options)? })
    }

    pub(crate) fn emit(self, to: &mut Writer<'_>) -> Result<(), BufferTooSmall> {
        to.put(&[0; 4])?;
        emit_lladdr(SOURCE_LLADDR, self.source_lladdr, to)
    }
}

/// A Router Advertisement (RFC 4861 section 4.2).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct RouterAdvert<'a> {
    /// How long the sender is a default router; zero if it is none.
    pub router_lifetime: Duration,
    /// Where the sender can be reached.
    pub source_lladdr: Option<LinkAddr>,
    /// All options as they came, their lengths checked.
    pub options: &'a [u8],
}

impl<'a> RouterAdvert<'a> {
    /// Returns the prefixes that the router announces.
    pub fn prefixes(&self) -> impl Iterator<Item = PrefixInformation> + 'a {
        prefixes(self.options)
    }

    pub(crate) fn parse(body: &'a [u8]) -> Result<Self, Malformed> {
        let (fixed, options) = body.split_first_chunk::<12>().ok_or(Malformed::Length)?;
        let [_, _, high, low, ..] = *fixed;
        Ok(Self {
            router_lifetime: Duration::from_secs(u16::from_be_bytes([high, low]).into()),
            source_lladdr: source_lladdr(options)?,
            options,
        })
    }
}

fn split_target(body: &[u8]) -> Result<(Ipv6Addr, &[u8]), Malformed> {
    let (fixed, options) = body.split_first_chunk::<20>().ok_or(Malformed::Length)?;
    let (_, target) = fixed.split_last_chunk::<16>().ok_or(Malformed::Length)?;
    let target = Ipv6Addr::from(*target);
    if target.is_multicast() { Err(Malformed::Target) } else { Ok((target, options)) }
}

fn source_lladdr(options: &[u8]) -> Result<Option<LinkAddr>, Malformed> {
    let mut found = None;
    for option in Options(options) {
        let option = option?;
        if option.kind == SOURCE_LLADDR {
            let lladdr = parse_lladdr(option.body)?;
            found.get_or_insert(lladdr);
        }
    }
    Ok(found)
}

fn emit_lladdr(
    kind: u8,
    lladdr: Option<LinkAddr>,
    to: &mut Writer<'_>,
) -> Result<(), BufferTooSmall> {
    lladdr.map_or(Ok(()), |lladdr| emit_option(kind, &lladdr.0, to))
}

fn emit_option(kind: u8, body: &[u8], to: &mut Writer<'_>) -> Result<(), BufferTooSmall> {
    let units = u8::try_from((body.len() + 2).div_ceil(8)).map_err(|_| BufferTooSmall)?;
    to.put(&[kind, units])?;
    to.put(body)
}
