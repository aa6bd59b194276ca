//! Which addresses belong to the relay's subnet.

use std::collections::BTreeMap;
use std::net::Ipv6Addr;
use std::time::Duration;

use ipnet::Ipv6Net;
use magpie_wire::PrefixInformation;

use crate::{Instant, LinkId, Prefixes, ScopePrefix};

/// Prefixes that routers announce are believed up to this many, so that a flood of
/// advertisements cannot grow the table.
const MAX_ANNOUNCED: usize = 64;
/// The shortest prefix that is taken from an address or a router. Nobody's link is larger, and
/// claiming more than the subnet takes other networks down.
pub(crate) const SHORTEST_SUBNET: u8 = 32;

/// RFC 4862 section 5.5.3 e.
const TWO_HOURS: Duration = Duration::from_secs(7200);

/// When a prefix ends.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum End {
    At(Instant),
    Never,
}

impl End {
    /// A lifetime of all ones is infinite (RFC 4861 section 4.6.2).
    fn after(lifetime: Duration, now: Instant) -> Self {
        if lifetime == Duration::from_secs(u32::MAX.into()) {
            Self::Never
        } else {
            Self::At(now + lifetime)
        }
    }

    fn instant(self) -> Option<Instant> {
        match self {
            Self::At(at) => Some(at),
            Self::Never => None,
        }
    }
}

/// The prefixes of the subnet: those that were written down, and those that addresses and routers
/// show.
#[derive(Debug, Default)]
pub(crate) struct Scope {
    configured: Prefixes,
    /// On-link prefixes of this host's own addresses.
    assigned: Vec<(Ipv6Net, LinkId)>,
    /// The same without links: many may have the same one.
    on_links: Vec<Ipv6Net>,
    /// Prefixes of Router Advertisements, and when they end.
    announced: BTreeMap<(Ipv6Net, LinkId), End>,
}

impl Scope {
    pub(crate) fn new(configured: Prefixes) -> Self {
        Self { configured, ..Self::default() }
    }

    pub(crate) fn configure(&mut self, configured: Prefixes) {
        self.configured = configured;
    }

    /// Returns the length of the longest prefix of the subnet that `target` is in.
    pub(crate) fn longest(&self, target: Ipv6Addr) -> Option<u8> {
        let learned = self
            .configured
            .learned
            .then(|| self.on_links.iter().chain(self.announced.keys().map(|(prefix, _)| prefix)));
        let prefixes = self.configured.listed.iter().chain(learned.into_iter().flatten());
        let around = prefixes.filter(|prefix| prefix.contains(&target));
        around.map(Ipv6Net::prefix_len).max()
    }

    pub(crate) fn set_assigned(&mut self, assigned: impl Iterator<Item = (Ipv6Net, LinkId)>) {
        self.assigned.clear();
        for (address, link) in assigned {
            let prefix = address.trunc();
            if is_subnet(prefix) && !self.assigned.contains(&(prefix, link)) {
                self.assigned.push((prefix, link));
            }
        }
        self.on_links = self.assigned.iter().map(|(prefix, _)| *prefix).collect();
        self.on_links.sort_unstable();
        self.on_links.dedup();
    }

    /// Takes over what a router announces; tells whether the subnet changed.
    ///
    /// A prefix counts whether it is on-link or for address formation only: neighbors of the
    /// announcing router ask for its addresses either way (RFC 5942 section 3). One unsecured
    /// message cannot end a prefix at once, only shorten it to two hours (RFC 4862 section 5.5.3
    /// e), since hosts keep their addresses that long.
    pub(crate) fn announce(
        &mut self,
        link: LinkId,
        information: PrefixInformation,
        now: Instant,
    ) -> bool {
        let Ok(prefix) = Ipv6Net::new(information.prefix, information.prefix_len) else {
            return false;
        };
        let key = (prefix.trunc(), link);
        if !is_subnet(key.0) || !(information.on_link || information.autonomous) {
            return false;
        }
        let offered = End::after(information.valid_lifetime, now);
        let Some(known) = self.announced.get(&key).copied() else {
            if information.valid_lifetime.is_zero() || !self.make_room(offered) {
                return false;
            }
            self.announced.insert(key, offered);
            return true;
        };
        let soonest = End::At(now + TWO_HOURS);
        self.announced.insert(key, offered.max(known.min(soonest)));
        false
    }

    /// Sees to it that there is room for a prefix that ends at `offered`, at the cost of one that
    /// ends sooner.
    fn make_room(&mut self, offered: End) -> bool {
        if self.announced.len() < MAX_ANNOUNCED {
            return true;
        }
        let first = self.announced.iter().min_by_key(|(_, end)| **end);
        match first.map(|(key, end)| (*key, *end)) {
            Some((key, end)) if end < offered => self.announced.remove(&key).is_some(),
            _ => false,
        }
    }

    /// Forgets what was announced on a link.
    pub(crate) fn forget_link(&mut self, link: LinkId) {
        self.announced.retain(|(_, from), _| *from != link);
    }

    /// Drops prefixes whose time is over; tells whether there were any.
    pub(crate) fn expire(&mut self, now: Instant) -> bool {
        let before = self.announced.len();
        self.announced.retain(|_, end| *end > End::At(now));
        self.announced.len() != before
    }

    pub(crate) fn next_expiry(&self) -> Option<Instant> {
        self.announced.values().filter_map(|end| end.instant()).min()
    }

    pub(crate) fn prefixes(&self, now: Instant) -> impl Iterator<Item = ScopePrefix> + '_ {
        let learned = self.configured.learned;
        let configured = self.configured.listed.iter().map(|prefix| ScopePrefix {
            prefix: *prefix,
            link: None,
            lifetime: None,
        });
        let assigned = self.assigned.iter().map(|(prefix, link)| ScopePrefix {
            prefix: *prefix,
            link: Some(*link),
            lifetime: None,
        });
        let announced = self.announced.iter().map(move |((prefix, link), end)| ScopePrefix {
            prefix: *prefix,
            link: Some(*link),
            lifetime: end.instant().map(|end| end.since(now)),
        });
        configured
            .chain(assigned.filter(move |_| learned))
            .chain(announced.filter(move |_| learned))
    }
}

fn is_subnet(prefix: Ipv6Net) -> bool {
    (SHORTEST_SUBNET..128).contains(&prefix.prefix_len())
        && !prefix.network().is_unicast_link_local()
        && !prefix.network().is_multicast()
}
