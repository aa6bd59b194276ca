//! What is this host's own, by address instead of by link: every message is compared with it, and
//! there may be many links.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv6Addr;

use magpie_wire::LinkAddr;

use crate::LinkId;

/// The addresses of all links.
#[derive(Debug, Default)]
pub(crate) struct Own {
    /// Two links may have the same, as a VLAN has that of its parent.
    lladdrs: BTreeSet<(LinkAddr, LinkId)>,
    /// And whether the address may be used.
    addresses: BTreeMap<(Ipv6Addr, LinkId), bool>,
    /// Links without link-layer addresses.
    bare: BTreeSet<LinkId>,
}

impl Own {
    const FIRST: LinkId = LinkId(0);
    const LAST: LinkId = LinkId(u32::MAX);

    /// Notes the link-layer address of a link, or that it has none.
    pub(crate) fn set_lladdr(&mut self, link: LinkId, lladdr: Option<LinkAddr>) {
        match lladdr {
            Some(lladdr) => self.lladdrs.insert((lladdr, link)),
            None => self.bare.insert(link),
        };
    }

    /// Forgets the link-layer address of a link.
    pub(crate) fn unset_lladdr(&mut self, link: LinkId, lladdr: Option<LinkAddr>) {
        match lladdr {
            Some(lladdr) => self.lladdrs.remove(&(lladdr, link)),
            None => self.bare.remove(&link),
        };
    }

    /// Notes an address of a link.
    pub(crate) fn set(&mut self, link: LinkId, address: Ipv6Addr, is_usable: bool) {
        self.addresses.insert((address, link), is_usable);
    }

    /// Forgets an address of a link.
    pub(crate) fn unset(&mut self, link: LinkId, address: Ipv6Addr) {
        self.addresses.remove(&(address, link));
    }

    /// Returns a link that has this link-layer address.
    pub(crate) fn link_of(&self, lladdr: LinkAddr) -> Option<LinkId> {
        let mut links = self.lladdrs.range((lladdr, Self::FIRST)..=(lladdr, Self::LAST));
        links.next().map(|(_, link)| *link)
    }

    /// Whether any link has `address`, tentatively or not.
    pub(crate) fn owns(&self, address: Ipv6Addr) -> bool {
        self.usable(address).next().is_some()
    }

    /// Whether any link has `address` for good.
    pub(crate) fn holds(&self, address: Ipv6Addr) -> bool {
        self.usable(address).any(|is_usable| is_usable)
    }

    /// Returns the links without link-layer addresses.
    pub(crate) fn bare(&self) -> impl Iterator<Item = LinkId> + '_ {
        self.bare.iter().copied()
    }

    fn usable(&self, address: Ipv6Addr) -> impl Iterator<Item = bool> + '_ {
        let links = self.addresses.range((address, Self::FIRST)..=(address, Self::LAST));
        links.map(|(_, is_usable)| *is_usable)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADDRESS: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);
    const LLADDR: LinkAddr = LinkAddr([2, 0, 0, 0, 0, 1]);

    #[test]
    fn what_several_links_have_is_ours_until_the_last_has_lost_it() {
        let mut own = Own::default();
        for link in [LinkId(0), LinkId(7), LinkId(u32::MAX)] {
            own.set_lladdr(link, Some(LLADDR));
            own.set(link, ADDRESS, link == LinkId(7));
        }
        assert!(own.owns(ADDRESS) && own.holds(ADDRESS));
        own.set(LinkId(7), ADDRESS, false);
        assert!(own.owns(ADDRESS) && !own.holds(ADDRESS));
        for link in [LinkId(0), LinkId(7)] {
            assert_eq!(own.link_of(LLADDR), Some(link));
            own.unset_lladdr(link, Some(LLADDR));
            own.unset(link, ADDRESS);
        }
        assert!(own.owns(ADDRESS));
        own.unset(LinkId(u32::MAX), ADDRESS);
        assert!(!own.owns(ADDRESS));
        assert_eq!(own.link_of(LLADDR), Some(LinkId(u32::MAX)));
        own.unset_lladdr(LinkId(u32::MAX), Some(LLADDR));
        assert_eq!(own.link_of(LLADDR), None);
    }

    #[test]
    fn links_without_link_layer_addresses_are_listed_and_have_none() {
        let mut own = Own::default();
        own.set_lladdr(LinkId(3), None);
        own.set_lladdr(LinkId(4), None);
        own.unset_lladdr(LinkId(3), None);
        assert_eq!(own.bare().collect::<Vec<_>>(), [LinkId(4)]);
        assert_eq!(own.link_of(LinkAddr::ZERO), None);
    }
}
