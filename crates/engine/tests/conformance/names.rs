//! The names of the test network: links, stations and addresses.
//!
//! ```text
//!  U (tester)             the engine                     H (tester)
//!  mU=..:01, fe80::1      up: mA=..:10, fe80::10, P::10  mH=..:21, fe80::21, X=P::21
//!                         dn: mB=..:11, fe80::11         Y=P::77 exists nowhere
//! ```

use std::net::Ipv6Addr;

use magpie_engine::{LinkId, Member};
use magpie_wire::LinkAddr;

pub(crate) const UP: LinkId = LinkId(2);
pub(crate) const DN: LinkId = LinkId(3);
pub(crate) const THIRD: LinkId = LinkId(4);
/// Bare: nobody on it has a link-layer address.
pub(crate) const TUN: LinkId = LinkId(5);

/// The place of a link in the configuration.
pub(crate) fn member(link: LinkId) -> Member {
    Member(u8::try_from(link.0).map_or(0, |index| index - 2))
}

pub(crate) const MU: LinkAddr = mac(0x01);
pub(crate) const MA: LinkAddr = mac(0x10);
pub(crate) const MB: LinkAddr = mac(0x11);
pub(crate) const MC: LinkAddr = mac(0x12);
pub(crate) const MH: LinkAddr = mac(0x21);
pub(crate) const MZ: LinkAddr = mac(0x31);
/// A station that wants what is not its own.
pub(crate) const EVIL: LinkAddr = LinkAddr([2, 0xee, 0, 0, 0, 0xee]);

pub(crate) const U: Ipv6Addr = link_local(0x01);
pub(crate) const X: Ipv6Addr = p(0x21);
pub(crate) const Y: Ipv6Addr = p(0x77);
pub(crate) const Z: Ipv6Addr = p(0x31);

/// The station of the topology whose link-layer address ends in `last`.
pub(crate) const fn mac(last: u8) -> LinkAddr {
    LinkAddr([2, 0, 0, 0, 0, last])
}

/// A station whose link-layer address ends in `number`, for tests with many of them.
pub(crate) const fn station(number: u16) -> LinkAddr {
    let [high, low] = number.to_be_bytes();
    LinkAddr([2, 0, 0, 1, high, low])
}

/// The address `P::suffix`.
pub(crate) const fn p(suffix: u16) -> Ipv6Addr {
    Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, suffix)
}

pub(crate) const fn link_local(suffix: u16) -> Ipv6Addr {
    Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, suffix)
}

pub(crate) fn ip(text: &str) -> Ipv6Addr {
    text.parse().expect("a literal address")
}
