//! Sets of addresses: single ones, prefixes, ranges and patterns of interface identifiers.

use std::net::Ipv6Addr;

use ipnet::Ipv6Net;

/// A set of addresses.
#[derive(Clone, Debug, Default)]
pub struct AddressSet {
    prefixes: Vec<Ipv6Net>,
    ranges: Vec<(Ipv6Addr, Ipv6Addr)>,
    patterns: Vec<(u64, u64)>,
}

impl AddressSet {
    /// Adds all addresses of a prefix.
    pub fn insert_prefix(&mut self, prefix: Ipv6Net) {
        self.prefixes.push(prefix);
    }

    /// Adds all addresses from `first` to `last`, both included.
    pub fn insert_range(&mut self, first: Ipv6Addr, last: Ipv6Addr) {
        self.ranges.push((first, last));
    }

    /// Adds all addresses whose interface identifier (RFC 4291 section 2.5.1), masked with `mask`,
    /// equals `value`.
    pub fn insert_interface_identifier(&mut self, mask: u64, value: u64) {
        self.patterns.push((mask, value));
    }

    /// Whether `target` is surely on the list.
    pub fn allows(&self, target: Ipv6Addr) -> bool {
        self.holds(target)
    }

    /// Whether `target` is on the list, or that cannot be told.
    pub fn denies(&self, target: Ipv6Addr) -> bool {
        self.holds(target)
    }

    fn holds(&self, target: Ipv6Addr) -> bool {
        let [.., a, b, c, d, e, f, g, h] = target.octets();
        let identifier = u64::from_be_bytes([a, b, c, d, e, f, g, h]);
        self.prefixes.iter().any(|prefix| prefix.contains(&target))
            || self.ranges.iter().any(|(first, last)| (*first..=*last).contains(&target))
            || self.patterns.iter().any(|(mask, value)| identifier & mask == *value)
    }
}
