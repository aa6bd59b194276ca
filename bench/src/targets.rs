//! Maps the numbers of hosts to addresses that look random, and back.

use std::net::Ipv6Addr;

use magpie_wire::LinkAddr;

/// The prefix, 64 bits long, that all targets are in.
pub(crate) const PREFIX: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 7, 0, 0, 0, 0, 0);
/// Bits of [`PREFIX`].
pub(crate) const PREFIX_LEN: u8 = 64;

/// What a solicitation asks for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Target {
    /// The host of this number.
    Host(u32),
    /// An address of the flood, which nobody has.
    Nobody,
    /// Something else.
    Other,
}

impl Target {
    /// Tells what an address stands for.
    pub(crate) fn of(address: Ipv6Addr) -> Self {
        let [network, interface_id] = halves(address);
        if network != halves(PREFIX)[0] {
            return Self::Other;
        }
        match interface_id >> SPREAD_BITS {
            HOST_TAG => {
                let number = (interface_id & SPREAD_MASK).wrapping_mul(UNSPREAD) & SPREAD_MASK;
                u32::try_from(number).map_or(Self::Other, Self::Host)
            }
            NOBODY_TAG => Self::Nobody,
            _ => Self::Other,
        }
    }
}

/// Returns the address of the host of this number.
pub(crate) fn host_address(number: u32) -> Ipv6Addr {
    address(HOST_TAG, u64::from(number).wrapping_mul(SPREAD))
}

/// Returns the link-layer address of the host of this number.
pub(crate) fn host_lladdr(number: u32) -> LinkAddr {
    let [a, b, c, d] = number.to_be_bytes();
    LinkAddr([0x02, 0x0a, a, b, c, d])
}

/// Returns an address that nobody has, one for each number below 2^48.
pub(crate) fn nobody_address(number: u64) -> Ipv6Addr {
    address(NOBODY_TAG, number)
}

/// Splits an address into its network and its interface identifier.
fn halves(address: Ipv6Addr) -> [u64; 2] {
    let bits = address.to_bits();
    [bits >> 64, bits & u128::from(u64::MAX)].map(|half| u64::try_from(half).unwrap_or_default())
}

fn address(tag: u64, spread: u64) -> Ipv6Addr {
    let interface_id = tag << SPREAD_BITS | (spread & SPREAD_MASK);
    Ipv6Addr::from_bits(PREFIX.to_bits() | u128::from(interface_id))
}

const SPREAD_BITS: u32 = 48;
const SPREAD_MASK: u64 = (1 << SPREAD_BITS) - 1;
const HOST_TAG: u64 = 0x0200;
const NOBODY_TAG: u64 = 0x0400;
/// Odd, so that multiplying by it is reversible among numbers of 48 bits.
const SPREAD: u64 = 0x9e37_79b9_7f4b;
const UNSPREAD: u64 = inverse(SPREAD);

/// The inverse of an odd number modulo 2^64: each of Newton's steps doubles the right bits.
const fn inverse(odd: u64) -> u64 {
    let mut inverse = odd;
    let mut step = 0;
    while step < 6 {
        inverse = inverse.wrapping_mul(2u64.wrapping_sub(odd.wrapping_mul(inverse)));
        step += 1;
    }
    inverse
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_found_again_by_its_address() {
        for number in [0, 1, 2, 49, 9_999, u32::MAX] {
            assert_eq!(Target::of(host_address(number)), Target::Host(number));
        }
    }

    #[test]
    fn neighbors_in_number_are_far_apart_in_address() {
        let group = |number| host_address(number).to_bits() & 0xff_ffff;
        assert_ne!(group(1), group(2));
        assert_ne!(group(1) >> 12, group(2) >> 12);
    }

    #[test]
    fn the_flood_hits_no_host() {
        assert_eq!(Target::of(nobody_address(7)), Target::Nobody);
        assert_eq!(Target::of("2001:db8:7::1".parse().unwrap()), Target::Other);
        assert_eq!(Target::of("2001:db8:8:0:200::".parse().unwrap()), Target::Other);
    }
}
