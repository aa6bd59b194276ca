//! Packets that this host's kernel sends on bare links.
//!
//! Kernels do not ask there before they send, so a packet that leaves by such a link is all that
//! shows whom they look for there. If nobody knows of the target, or knows it elsewhere, it is a
//! miss: that is how a host without a host route comes to notice where the other router never
//! asks (RFC 7278 section 3). But packets for hosts that are there leave by the link as well, all
//! of them, and are not worth waking up for. Nor are further packets for targets that are being
//! looked for, were looked for in vain, or are not to be helped.

use std::collections::BTreeMap;
use std::net::Ipv6Addr;
use std::time::Duration;

use ipnet::Ipv6Net;

use crate::engine::Engine;
use crate::fib::{Answer, Purpose};
use crate::limit::TokenBucket;
use crate::resolution::Charged;
use crate::{Decision, Discard, FoundRoute, Instant, LinkId, Method, RulePrefix, Timer};

/// Targets on one link whose packets the caller need not report. It compares each packet with all.
const MOST_EXCEPTED: usize = 64;
/// Packets that go where they should, beyond those for the excepted targets: so many are looked at
/// in a second, lest traffic at full speed ...
const ORDINARY_PER_SECOND: u32 = 100;
/// ... goes past us; then none for this time.
const PAUSE: Duration = Duration::from_secs(10);
/// Misses that are looked at in a second; then none for as long, since somebody scans the subnet
/// through us.
const MISSES_PER_SECOND: u32 = 100;
const SCAN_PAUSE: Duration = Duration::from_secs(1);
/// What was done about a miss takes so long at least, and what could not be done is tried again
/// then: meanwhile further packets for the same target say nothing new.
const MISS_INTERVAL: Duration = Duration::from_secs(1);

/// What of the packets that leave by a bare link is worth being told.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct WatchedData {
    /// Those for addresses in these prefixes, ...
    pub prefixes: Vec<Ipv6Net>,
    /// ... but not those for these addresses.
    pub except: Vec<Ipv6Addr>,
}

/// Which of the packets that leave by one link are of no interest.
#[derive(Debug)]
pub(crate) struct DataWatch {
    /// Targets, and until when: none if until something changes.
    except: BTreeMap<Ipv6Addr, Option<Instant>>,
    ordinary: TokenBucket,
    misses: TokenBucket,
    /// Until when no packets at all are of interest.
    away_until: Option<Instant>,
    /// When more packets are of interest again.
    pub(crate) due: Option<Instant>,
}

impl DataWatch {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            except: BTreeMap::new(),
            ordinary: TokenBucket::new(ORDINARY_PER_SECOND, now),
            misses: TokenBucket::new(MISSES_PER_SECOND, now),
            away_until: None,
            due: None,
        }
    }

    /// Notes that packets for `target` go where they should; tells whether that changed what is
    /// of interest.
    fn except_ordinary(&mut self, target: Ipv6Addr, now: Instant) -> bool {
        if let Some(until) = self.except.get_mut(&target) {
            *until = None;
            return false;
        }
        if self.except.len() >= MOST_EXCEPTED {
            // There may be any number of misses, and they come one by one.
            let miss = self.except.iter().find(|(_, until)| until.is_some());
            let Some(miss) = miss.map(|(target, _)| *target) else {
                return !self.ordinary.take(now) && self.look_away(now + PAUSE);
            };
            self.except.remove(&miss);
        }
        self.except.insert(target, None);
        true
    }

    /// Notes that nothing more is done about a miss before `until`.
    fn except_miss(&mut self, target: Ipv6Addr, until: Instant, now: Instant) -> bool {
        if let Some(known) = self.except.get_mut(&target) {
            *known = Some(until);
            return false;
        }
        if !self.misses.take(now) {
            return self.look_away(now + SCAN_PAUSE);
        }
        let has_room = self.except.len() < MOST_EXCEPTED;
        if has_room {
            self.except.insert(target, Some(until));
        }
        has_room
    }

    fn look_away(&mut self, until: Instant) -> bool {
        let is_new = self.away_until.is_none();
        self.away_until.get_or_insert(until);
        is_new
    }

    /// Ends what is over.
    fn look_again(&mut self, now: Instant) {
        self.away_until = self.away_until.filter(|until| *until > now);
        self.except.retain(|_, until| until.is_none_or(|until| until > now));
    }

    fn next_due(&self) -> Option<Instant> {
        self.away_until.or_else(|| self.except.values().copied().flatten().min())
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
        if known.data.away_until.is_some() {
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
            except: known.data.except.keys().copied().collect(),
        }
    }

    /// The kernel sends a packet for `target` on `id`.
    pub(crate) fn on_data(&mut self, id: LinkId, target: Ipv6Addr, now: Instant) {
        if let Some(binding) = self.bindings.get(target) {
            let place = binding.link;
            if place == id || self.is_routed(target, place) {
                // With its route in place there is nothing to be done about it: it was under way
                // before, or is sent here by something else than routes, or they are not ours.
                return self.note_ordinary(id, target, now);
            }
            self.on_miss(id, target, now);
            return self.note_miss(id, target, now);
        }
        let Decision::Probe(to) = self.decide(target, id) else {
            return self.note_ordinary(id, target, now);
        };
        if self.is_own_address(target, id) || !self.links.contains_key(&id) {
            return self.note_miss(id, target, now);
        }
        if self.is_held_down(target, id, to, now) {
            self.counters.count(Discard::HeldDown);
            return self.note_miss(id, target, now);
        }
        match self.fib.get(target, None) {
            Some(Answer(route)) => return self.on_data_routed(id, target, route, now),
            None if self.resolutions.contains_key(&target) => {
                self.look_up_for_kernel(target, id, now);
            }
            None if self.may_resolve(id, Charged::Kernel) => {
                self.find_route(target, None, Purpose::Data(id), now);
            }
            None => self.refuse(id, Discard::ResolutionsFull, now),
        }
        self.note_miss(id, target, now);
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
            self.note_miss(id, target, now);
        }
    }

    /// A packet left by the link where it should, as far as we have a say in it.
    fn note_ordinary(&mut self, id: LinkId, target: Ipv6Addr, now: Instant) {
        self.change_data_watch(id, |data| data.except_ordinary(target, now));
    }

    /// A packet left by the link where it should not, and what can be done about it now is done.
    fn note_miss(&mut self, id: LinkId, target: Ipv6Addr, now: Instant) {
        let is_known = self.bindings.get(target).is_some();
        if !is_known
            && !self.resolutions.contains_key(&target)
            && !self.may_resolve(id, Charged::Kernel)
        {
            return self.change_data_watch(id, |data| data.look_away(now + SCAN_PAUSE));
        }
        let held_down = match self.decide(target, id) {
            Decision::Probe(to) if !is_known && self.is_held_down(target, id, to, now) => {
                self.held_down_until(target, id, to, now)
            }
            _ => None,
        };
        let until = held_down.unwrap_or(now + MISS_INTERVAL);
        self.change_data_watch(id, |data| data.except_miss(target, until, now));
    }

    pub(crate) fn on_data_due(&mut self, id: LinkId, now: Instant) {
        if let Some(link) = self.links.get_mut(&id) {
            link.data.due = None;
        }
        self.change_data_watch(id, |data| {
            data.look_again(now);
            true
        });
    }

    /// Whether packets for a target go where they should, or why not, may be different now.
    pub(crate) fn watch_again(&mut self, target: Ipv6Addr) {
        let mut last = None;
        while let Some(id) = self.link_after(last) {
            last = Some(id);
            self.change_data_watch(id, |data| data.except.remove(&target).is_some());
        }
    }

    /// The routes have changed, or the rules, and with them where packets go.
    pub(crate) fn watch_all_again(&mut self) {
        self.forget_excepted(|_| true);
    }

    /// Somebody may be where nobody was.
    pub(crate) fn watch_misses_again(&mut self) {
        self.forget_excepted(|until| until.is_some());
    }

    fn forget_excepted(&mut self, is_over: impl Fn(Option<Instant>) -> bool) {
        let mut last = None;
        while let Some(id) = self.link_after(last) {
            last = Some(id);
            self.change_data_watch(id, |data| {
                let before = data.except.len();
                data.except.retain(|_, until| !is_over(*until));
                data.except.len() != before
            });
        }
    }

    /// Changes what is of interest on a bare link; `change` tells whether it did.
    fn change_data_watch(&mut self, id: LinkId, change: impl FnOnce(&mut DataWatch) -> bool) {
        let Some(link) = self.links.get_mut(&id).filter(|link| link.is_bare()) else { return };
        self.data_revision += u64::from(change(&mut link.data));
        let next = link.data.next_due();
        self.timers.set(&mut link.data.due, Timer::Data(id), next);
    }
}
