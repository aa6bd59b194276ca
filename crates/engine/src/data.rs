//! Packets that this host's kernel sends on bare links.
//!
//! Kernels do not ask there before they send, so a packet that leaves by such a link is all that
//! shows whom they look for there. If nobody knows of the target, or knows it elsewhere, it is a
//! miss: that is how a host without a host route comes to notice where the other router never
//! asks (RFC 7278 section 3). But packets for hosts that are there leave by the link as well, all
//! of them, and are not worth waking up for.

use std::collections::BTreeSet;
use std::net::Ipv6Addr;
use std::time::Duration;

use ipnet::Ipv6Net;

use crate::engine::Engine;
use crate::fib::{Answer, Purpose};
use crate::limit::TokenBucket;
use crate::resolution::Charged;
use crate::{Decision, Discard, FoundRoute, Instant, LinkId, Method, RulePrefix, Timer};

/// Hosts on one link whose packets the caller need not report. It compares each packet with all.
const MOST_EXCEPTED: usize = 64;
/// Packets for hosts that are on the link, beyond the excepted ones: so many are looked at in a
/// second, lest traffic at full speed ...
const ORDINARY_PER_SECOND: u32 = 100;
/// ... goes past us; then none for this time.
const PAUSE: Duration = Duration::from_secs(10);

/// What of the packets that leave by a bare link is worth being told.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct WatchedData {
    /// Those for addresses in these prefixes, ...
    pub prefixes: Vec<Ipv6Net>,
    /// ... but not those for these addresses.
    pub except: Vec<Ipv6Addr>,
}

/// What is known of the packets that leave by one link.
#[derive(Debug)]
pub(crate) struct Ordinary {
    targets: BTreeSet<Ipv6Addr>,
    bucket: TokenBucket,
    /// Until when packets are of no interest.
    pub(crate) due: Option<Instant>,
}

impl Ordinary {
    pub(crate) fn new(now: Instant) -> Self {
        let bucket = TokenBucket::new(ORDINARY_PER_SECOND, now);
        Self { targets: BTreeSet::new(), bucket, due: None }
    }
}

impl Engine {
    /// Returns a number that changes whenever [`Engine::watched_data`] may have changed.
    pub fn data_revision(&self) -> u64 {
        self.data_revision
    }

    /// Returns which packets that this host's kernel sends, or forwards, on `link` are worth being
    /// given as [`Input::Outgoing`](crate::Input::Outgoing); the IPv6 header suffices. On links
    /// with link-layer addresses, where the kernel asks before it sends, there are none.
    pub fn watched_data(&self, link: LinkId, now: Instant) -> WatchedData {
        let Some(known) = self.links.get(&link).filter(|link| link.is_bare()) else {
            return WatchedData::default();
        };
        if known.ordinary.due.is_some() {
            return WatchedData::default();
        }
        let by_rule =
            self.config.rules.iter().filter_map(|rule| match (rule.prefix, rule.method) {
                (RulePrefix::Net(net), Method::Probe { .. }) => Some(net),
                _ => None,
            });
        let all = self.scope.prefixes(now).map(|scope| scope.prefix).chain(by_rule).collect();
        WatchedData {
            prefixes: Ipv6Net::aggregate(&all),
            except: known.ordinary.targets.iter().copied().collect(),
        }
    }

    /// The kernel sends a packet for `target` on `id`.
    pub(crate) fn on_data(&mut self, id: LinkId, target: Ipv6Addr, now: Instant) {
        if let Some(binding) = self.bindings.get(target) {
            let place = binding.link;
            if place == id {
                self.note_ordinary(id, target, now);
            } else if !self.is_routed(target, place) {
                self.on_miss(id, target, now);
            }
            // Otherwise it was under way before its route was there.
            return;
        }
        let Decision::Probe(to) = self.decide(target, id) else {
            return self.note_ordinary(id, target, now);
        };
        if self.is_own_address(target, id) || !self.links.contains_key(&id) {
            return;
        }
        if self.is_held_down(target, id, to, now) {
            return self.counters.count(Discard::HeldDown);
        }
        match self.fib.get(target, None) {
            Some(Answer(route)) => self.on_data_routed(id, target, route, now),
            None if self.resolutions.contains_key(&target) => {
                self.look_up_for_kernel(target, id, now);
            }
            None if self.may_resolve(id, Charged::Kernel) => {
                self.find_route(target, None, Purpose::Data(id), now);
            }
            None => self.refuse(id, Discard::ResolutionsFull, now),
        }
    }

    /// The kernel has said which route such a packet takes.
    pub(crate) fn on_data_routed(
        &mut self,
        id: LinkId,
        target: Ipv6Addr,
        route: Option<FoundRoute>,
        now: Instant,
    ) {
        if self.routed_to(target, route) == Some(id) {
            self.note_ordinary(id, target, now);
        } else {
            self.on_miss(id, target, now);
        }
    }

    /// A packet left by the link where it should.
    fn note_ordinary(&mut self, id: LinkId, target: Ipv6Addr, now: Instant) {
        let Some(link) = self.links.get_mut(&id) else { return };
        let ordinary = &mut link.ordinary;
        if ordinary.due.is_some() || ordinary.targets.contains(&target) {
            return;
        }
        if ordinary.targets.len() < MOST_EXCEPTED {
            ordinary.targets.insert(target);
        } else if !ordinary.bucket.take(now) {
            self.timers.set(&mut ordinary.due, Timer::Data(id), Some(now + PAUSE));
        } else {
            return;
        }
        self.data_revision += 1;
    }

    pub(crate) fn on_data_due(&mut self, id: LinkId) {
        if let Some(link) = self.links.get_mut(&id) {
            link.ordinary.due = None;
            self.data_revision += 1;
        }
    }

    /// A target is no longer where its packets went.
    pub(crate) fn forget_ordinary(&mut self, target: Ipv6Addr, id: LinkId) {
        if let Some(link) = self.links.get_mut(&id)
            && link.ordinary.targets.remove(&target)
        {
            self.data_revision += 1;
        }
    }

    /// A route that led to a target is gone, and its packets may not go where they should.
    pub(crate) fn forget_ordinary_anywhere(&mut self, target: Ipv6Addr) {
        let mut last = None;
        while let Some(id) = self.link_after(last) {
            last = Some(id);
            self.forget_ordinary(target, id);
        }
    }

    /// The routes have changed, or the rules, and with them where packets go.
    pub(crate) fn forget_all_ordinary(&mut self) {
        for link in self.links.values_mut().filter(|link| !link.ordinary.targets.is_empty()) {
            link.ordinary.targets.clear();
            self.data_revision += 1;
        }
    }
}
