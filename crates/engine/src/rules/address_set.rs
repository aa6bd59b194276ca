//! Sets of addresses: prefixes, ranges, patterns of interface identifiers, and expressions.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv6Addr;

use ipnet::Ipv6Net;

use super::{Expressions, identifier};

/// A set of addresses. Looking one up takes a few steps, however many prefixes, ranges and makers
/// are on it, and allocates nothing.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct AddressSet {
    /// Last address of each prefix and range, by its first one. None touches or overlaps another.
    ranges: BTreeMap<u128, u128>,
    /// What the masked interface identifier may be, by mask.
    identifiers: BTreeMap<u64, BTreeSet<u64>>,
    expressions: Expressions,
}

impl AddressSet {
    /// Adds all addresses of a prefix.
    pub fn insert_prefix(&mut self, prefix: Ipv6Net) {
        self.insert_range(prefix.network(), prefix.broadcast());
    }

    /// Adds all addresses from `first` to `last`, both included; none if `last` comes before
    /// `first`.
    pub fn insert_range(&mut self, first: Ipv6Addr, last: Ipv6Addr) {
        let (mut first, mut last) = (first.to_bits(), last.to_bits());
        if last < first {
            return;
        }
        while let Some((start, end)) = self.last_until(last.saturating_add(1))
            && end.saturating_add(1) >= first
        {
            self.ranges.remove(&start);
            first = first.min(start);
            last = last.max(end);
        }
        self.ranges.insert(first, last);
    }

    /// Adds all addresses whose interface identifier (RFC 4291 section 2.5.1: the last 64 bits)
    /// agrees with `value` in the bits of `mask`.
    pub fn insert_interface_identifier(&mut self, mask: u64, value: u64) {
        self.identifiers.entry(mask).or_default().insert(value & mask);
    }

    /// Adds all addresses whose interface identifier is made of a link-layer address that begins
    /// with `oui`, which names a maker: its first 24 bits are these with the universal/local bit
    /// inverted (RFC 4291 appendix A). What follows is not looked at, so identifiers made of
    /// 64-bit link-layer addresses are in, too.
    pub fn insert_oui(&mut self, [first, second, third]: [u8; 3]) {
        let value = u64::from_be_bytes([first ^ UNIVERSAL_LOCAL, second, third, 0, 0, 0, 0, 0]);
        self.insert_interface_identifier(OUI, value);
    }

    /// Adds all addresses that an expression holds of, instead of those of earlier expressions.
    pub fn set_expressions(&mut self, expressions: Expressions) {
        self.expressions = expressions;
    }

    /// Whether `target` is surely on the list.
    pub fn allows(&self, target: Ipv6Addr) -> bool {
        self.holds(target) || self.expressions.holds(target) == Some(true)
    }

    /// Whether `target` is on the list, or that cannot be told.
    pub fn denies(&self, target: Ipv6Addr) -> bool {
        self.holds(target) || self.expressions.holds(target) != Some(false)
    }

    fn holds(&self, target: Ipv6Addr) -> bool {
        self.is_in_range(target.to_bits()) || self.is_identified(identifier(target))
    }

    fn is_in_range(&self, target: u128) -> bool {
        self.last_until(target).is_some_and(|(_, last)| target <= last)
    }

    /// Returns the last range that begins at or before `address`.
    fn last_until(&self, address: u128) -> Option<(u128, u128)> {
        self.ranges.range(..=address).next_back().map(|(first, last)| (*first, *last))
    }

    fn is_identified(&self, identifier: u64) -> bool {
        self.identifiers.iter().any(|(mask, values)| values.contains(&(identifier & mask)))
    }
}

/// The bits of an interface identifier that tell the maker (RFC 4291 appendix A).
const OUI: u64 = 0xffff_ff00_0000_0000;
/// The universal/local bit in the first octet of a link-layer address.
const UNIVERSAL_LOCAL: u8 = 0x02;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_that_touch_or_overlap_become_one() {
        let cases: [[&[(u128, u128)]; 2]; 9] = [
            [&[(1, 2), (4, 5)], &[(1, 2), (4, 5)]],
            [&[(4, 5), (1, 2)], &[(1, 2), (4, 5)]],
            [&[(1, 2), (3, 5)], &[(1, 5)]],
            [&[(3, 5), (1, 2)], &[(1, 5)]],
            [&[(1, 9), (3, 5)], &[(1, 9)]],
            [&[(3, 5), (7, 8), (20, 30), (1, 9)], &[(1, 9), (20, 30)]],
            [&[(1, 2), (4, 5), (7, 8), (5, 7)], &[(1, 2), (4, 8)]],
            [&[(u128::MAX, u128::MAX), (0, 0)], &[(0, 0), (u128::MAX, u128::MAX)]],
            [&[(0, u128::MAX), (5, 4)], &[(0, u128::MAX)]],
        ];
        for [inserted, expected] in cases {
            let mut set = AddressSet::default();
            for (first, last) in inserted {
                set.insert_range(Ipv6Addr::from_bits(*first), Ipv6Addr::from_bits(*last));
            }
            assert!(set.ranges.into_iter().eq(expected.iter().copied()), "{inserted:?}");
        }
    }

    #[test]
    fn makers_share_one_mask() {
        let mut set = AddressSet::default();
        for number in 0..3_000_u16 {
            let [high, low] = number.to_be_bytes();
            set.insert_oui([0, high, low]);
        }
        assert_eq!(set.identifiers.len(), 1);
    }
}
