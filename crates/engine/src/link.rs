//! What is known of one link of the relay.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, Ipv6Addr};

use ipnet::{Ipv4Net, Ipv6Net};
use magpie_wire::LinkAddr;

use crate::data::DataWatch;
use crate::limit::{Recent, TokenBucket};
use crate::mrd::RouterDiscovery;
use crate::notice::Notices;
use crate::recheck::Recheck;
use crate::resolution::Charged;
use crate::{Instant, Limits, LinkInfo, Members, NaSource};

/// Listener reports of stations that are known elsewhere, on one link.
const REPORTS_PER_SECOND: u32 = 16;

/// One link.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) info: LinkInfo,
    /// When it came up last, or had the first address to ask from.
    pub(crate) up_since: Instant,
    pub(crate) addresses: Vec<OwnAddress>,
    /// IPv4 addresses, and whether the dump that is under way has confirmed them.
    addresses4: Vec<(Ipv4Net, bool)>,
    /// Targets that the kernel answers for here (proxy neighbor entries).
    pub(crate) kernel_proxied: BTreeSet<Ipv6Addr>,
    /// Solicitations for targets of which nothing is known.
    pub(crate) solicits: TokenBucket,
    /// Solicitations that verify what is known; a budget of their own, so that a flood of
    /// unknown targets cannot starve the known ones (RFC 6583 section 7.2).
    pub(crate) probes: TokenBucket,
    /// Targets that everybody here was asked for within the last `RetransTimer`.
    pub(crate) asked: Recent<Ipv6Addr>,
    /// Targets whose duplicate address detection was passed on to here lately.
    pub(crate) relayed: Recent<Ipv6Addr>,
    /// Resolutions of unknown targets under way for askers here, and for our kernel's sake.
    resolutions: usize,
    kernel_resolutions: usize,
    pub(crate) router_discovery: RouterDiscovery,
    /// What of the packets that leave is not worth being told.
    pub(crate) data: DataWatch,
    /// The walk through the hosts here that verifies them all.
    pub(crate) recheck: Recheck,
    /// Listener reports that are looked into.
    pub(crate) reports: TokenBucket,
    /// What neighbors are still to be told.
    pub(crate) notices: Notices,
    /// When router discovery has something to do.
    pub(crate) due: Option<Instant>,
}

/// An address of this host.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OwnAddress {
    pub(crate) net: Ipv6Net,
    pub(crate) tentative: bool,
    /// Confirmed by the dump that is under way.
    pub(crate) current: bool,
}

impl Link {
    pub(crate) fn new(info: LinkInfo, limits: &Limits, now: Instant) -> Self {
        Self {
            info,
            up_since: now,
            addresses: Vec::new(),
            addresses4: Vec::new(),
            kernel_proxied: BTreeSet::new(),
            solicits: TokenBucket::new(limits.solicits_per_second, now),
            probes: TokenBucket::new(limits.probes_per_second, now),
            asked: Recent::new(),
            relayed: Recent::new(),
            resolutions: 0,
            kernel_resolutions: 0,
            router_discovery: RouterDiscovery::default(),
            data: DataWatch::new(now),
            recheck: Recheck::default(),
            reports: TokenBucket::new(REPORTS_PER_SECOND, now),
            notices: Notices::default(),
            due: None,
        }
    }

    /// Takes over other budgets.
    pub(crate) fn limit(&mut self, limits: &Limits) {
        self.solicits.set_rate(limits.solicits_per_second);
        self.probes.set_rate(limits.probes_per_second);
    }

    /// The link-layer address that frames on the link carry.
    pub(crate) fn lladdr(&self) -> LinkAddr {
        self.info.lladdr.unwrap_or(LinkAddr::ZERO)
    }

    /// Whether nobody on the link has a link-layer address.
    pub(crate) fn is_bare(&self) -> bool {
        self.info.lladdr.is_none()
    }

    /// Whether it is such a link, in use and among `members`.
    pub(crate) fn is_bare_in(&self, members: Members) -> bool {
        self.is_bare() && self.usable() && members.contains(self.info.member)
    }

    pub(crate) fn usable(&self) -> bool {
        self.info.running && self.info.lladdr.is_none_or(LinkAddr::is_station)
    }

    /// The count of resolutions of one kind.
    pub(crate) fn resolutions_of(&mut self, charged: Charged) -> &mut usize {
        match charged {
            Charged::Askers => &mut self.resolutions,
            Charged::Kernel => &mut self.kernel_resolutions,
        }
    }

    /// Whether there is an address to send solicitations from.
    pub(crate) fn can_ask(&self) -> bool {
        self.usable() && self.can_speak()
    }

    /// Whether it will be there as soon as the link is usable.
    pub(crate) fn can_speak(&self) -> bool {
        self.solicit_source(Ipv6Addr::UNSPECIFIED).is_some()
    }

    /// Whether `address` is assigned to this link, tentatively or not.
    pub(crate) fn owns(&self, address: Ipv6Addr) -> bool {
        self.addresses.iter().any(|own| own.net.addr() == address)
    }

    /// Returns the source of solicitations for `target`: the link-local address, since some hosts
    /// ignore solicitations from any other (RFC 4861 section 4.3 leaves the choice). A bare link
    /// may have none; then it is one that shares the target's prefix, if there is one, since
    /// that is the likeliest to be let through by the other end.
    pub(crate) fn solicit_source(&self, target: Ipv6Addr) -> Option<Ipv6Addr> {
        let near = || {
            let mut near = self.addresses.iter().filter(|own| own.net.contains(&target));
            near.find(|own| !own.tentative).map(|own| own.net.addr())
        };
        let any = || near().or_else(|| self.assigned().next());
        self.link_local().or_else(|| if self.is_bare() { any() } else { None })
    }

    /// Returns the link-local address.
    pub(crate) fn link_local(&self) -> Option<Ipv6Addr> {
        self.assigned().find(Ipv6Addr::is_unicast_link_local)
    }

    /// Returns the source of advertisements for `target`: an assigned address of this very link
    /// (RFC 4861 section 4.4), unless the configuration says that it has to be the target.
    pub(crate) fn advert_source(&self, policy: NaSource, target: Ipv6Addr) -> Option<Ipv6Addr> {
        let global = || self.assigned().find(|own| !own.is_unicast_link_local());
        match policy {
            NaSource::LinkLocal => self.link_local().or_else(global),
            NaSource::Global => global().or_else(|| self.link_local()),
            NaSource::Target => Some(target),
        }
    }

    pub(crate) fn assigned(&self) -> impl Iterator<Item = Ipv6Addr> + '_ {
        self.addresses.iter().filter(|own| !own.tentative).map(|own| own.net.addr())
    }

    /// Notes an IPv4 address.
    pub(crate) fn add_address4(&mut self, net: Ipv4Net) {
        match self.addresses4.iter_mut().find(|(known, _)| *known == net) {
            Some((_, is_current)) => *is_current = true,
            None => self.addresses4.push((net, true)),
        }
    }

    /// Forgets an IPv4 address.
    pub(crate) fn remove_address4(&mut self, net: Ipv4Net) {
        self.addresses4.retain(|(known, _)| *known != net);
    }

    /// A dump begins.
    pub(crate) fn doubt_addresses4(&mut self) {
        for (_, is_current) in &mut self.addresses4 {
            *is_current = false;
        }
    }

    /// A dump is over: what it did not contain is gone.
    pub(crate) fn settle_addresses4(&mut self) {
        self.addresses4.retain(|(_, is_current)| *is_current);
    }

    pub(crate) fn addresses4(&self) -> impl Iterator<Item = Ipv4Addr> + '_ {
        self.addresses4.iter().map(|(net, _)| net.addr())
    }

    /// Returns the IPv4 subnets that have room for others.
    pub(crate) fn subnets4(&self) -> impl Iterator<Item = Ipv4Net> + '_ {
        self.addresses4.iter().map(|(net, _)| *net).filter(|net| net.prefix_len() < 32)
    }
}
