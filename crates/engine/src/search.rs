//! Looking for targets of which nothing is known (RFC 4861 section 7.2.2), and for those that
//! left the place where they were known.

use std::net::Ipv6Addr;
use std::time::Duration;

use crate::engine::Engine;
use crate::resolution::{Asker, Phase, Search};
use crate::send::Budget;
use crate::{Decision, Discard, Instant, LinkId, Lost, Members, Timer};

/// RFC 4861 section 10.
pub(crate) const RETRANS_TIMER: Duration = Duration::from_secs(1);
/// RFC 4861 section 10.
pub(crate) const MAX_MULTICAST_SOLICIT: u8 = 3;

impl Engine {
    /// Looks for an unknown target on behalf of an asker.
    pub(crate) fn look_up(&mut self, asker: Asker, target: Ipv6Addr, to: Members, now: Instant) {
        if let Some(resolution) = self.resolutions.get_mut(&target) {
            // One lookup for many askers. Another proxy's own search looks like an asker too, so
            // the links that were left out at first are asked only if the first round was in
            // vain.
            if let Phase::Search(search) = &mut resolution.phase
                && asker.link != resolution.origin
            {
                search.widened = true;
                search.to = search.to.union(to);
            }
            return self.add_asker(asker, target);
        }
        if self.is_held_down(target, asker.link, to, now) {
            return self.counters.count(Discard::HeldDown);
        }
        if self.begin_search(target, asker.link, to, false, now) {
            self.add_asker(asker, target);
        }
    }

    /// Looks for a target that this host's own kernel looks for on `link`.
    pub(crate) fn look_up_for_kernel(&mut self, target: Ipv6Addr, link: LinkId, now: Instant) {
        let Decision::Probe(to) = self.decide(target, link) else { return };
        if let Some(resolution) = self.resolutions.get_mut(&target) {
            // The kernel looks for it elsewhere, too: it may be on the link that was left out.
            if let Phase::Search(search) = &mut resolution.phase {
                if link == resolution.origin {
                    search.kernel = true;
                } else {
                    search.widened = true;
                    search.to = search.to.union(to);
                }
            }
            return;
        }
        if !self.is_held_down(target, link, to, now) {
            self.begin_search(target, link, to, true, now);
        }
    }

    fn begin_search(
        &mut self,
        target: Ipv6Addr,
        origin: LinkId,
        to: Members,
        kernel: bool,
        now: Instant,
    ) -> bool {
        let search = Search { began: now, sent: 0, to, widened: false, kernel };
        if self.begin_resolution(target, origin, Phase::Search(search), now).is_none() {
            return false;
        }
        self.search(target, now);
        self.resolutions.contains_key(&target)
    }

    /// Goes over from verifying the known place to asking everybody (RFC 4861 section 7.3.3).
    pub(crate) fn widen_to_search(&mut self, target: Ipv6Addr, now: Instant) {
        let Some(origin) = self.resolutions.get(&target).map(|waiting| waiting.origin) else {
            return;
        };
        let Decision::Probe(to) = self.decide(target, origin) else {
            self.end_resolution(target);
            return;
        };
        if let Some(resolution) = self.resolutions.get_mut(&target) {
            let search = Search { began: now, sent: 0, to, widened: false, kernel: false };
            resolution.phase = Phase::Search(search);
            self.search(target, now);
        }
    }

    pub(crate) fn on_resolution_due(&mut self, target: Ipv6Addr, now: Instant) {
        let Some(resolution) = self.resolutions.get_mut(&target) else { return };
        resolution.due = None;
        match resolution.phase {
            Phase::Search(search) if search.sent < MAX_MULTICAST_SOLICIT => {
                self.search(target, now);
            }
            Phase::Search(_) => self.give_up(target, now),
            Phase::Verify | Phase::Route => {
                self.end_resolution(target);
            }
        }
    }

    /// Sends one round of solicitations: never back to the link that asks (RFC 4389 section 4.1).
    fn search(&mut self, target: Ipv6Addr, now: Instant) {
        let Some(resolution) = self.resolutions.get_mut(&target) else { return };
        let Phase::Search(mut search) = resolution.phase else { return };
        let (origin, first) = (resolution.origin, search.sent == 0);
        let is_asked_by_kernel = search.kernel;
        search.sent += 1;
        resolution.phase = Phase::Search(search);
        self.timers.set(&mut resolution.due, Timer::Resolution(target), Some(now + RETRANS_TIMER));
        // On a bare link our kernel does not ask before it sends.
        let is_silent = is_asked_by_kernel && self.is_bare(origin);
        let excluded = (!is_silent && (first || !search.widened)).then_some(origin);
        let known = self.bindings.get(target).is_some();
        let budget = if known { Budget::Known } else { Budget::Unknown };
        let mut asked = false;
        let mut postponed = false;
        let mut last = None;
        while let Some(link) = self.link_after(last) {
            last = Some(link);
            if Some(link) == excluded
                || !self.member(link).is_some_and(|member| search.to.contains(member))
                || self.held_down.contains((target, link), now)
            {
                continue;
            }
            asked |= self.solicit_multicast(link, target, budget, now);
            postponed |= self.awaits_source(link);
        }
        // Nobody could be asked, and waiting would not help: room for the next target.
        if first && !asked && !postponed && !known {
            self.end_resolution(target);
        }
    }

    /// Asks for everything that is being looked for on a link that has come up, or only now has an
    /// address to ask from (RFC 4429 section 3.2: never from a tentative one).
    pub(crate) fn search_on(&mut self, link: LinkId, now: Instant) {
        let Some(member) = self.member(link) else { return };
        let targets: Vec<_> = self
            .resolutions
            .iter()
            .filter(|(_, resolution)| match resolution.phase {
                Phase::Search(search) => link != resolution.origin && search.to.contains(member),
                Phase::Verify | Phase::Route => false,
            })
            .map(|(target, _)| *target)
            .collect();
        for target in targets {
            self.solicit_multicast(link, target, Budget::Unknown, now);
        }
    }

    /// Nobody has the target. It is not searched for again for a while, unless it shows itself
    /// (RFC 6583 section 7.1). A host that was confirmed once may only be asleep (RFC 7048 section
    /// 3): it is verified whenever it is asked for, and upkeep decides when it is forgotten.
    fn give_up(&mut self, target: Ipv6Addr, now: Instant) {
        self.counters.resolutions_failed += 1;
        let Some(resolution) = self.end_resolution(target) else { return };
        if self.bindings.get(target).is_some_and(|binding| binding.confirmed.is_none()) {
            self.forget(target, Lost::Silent);
        }
        let Phase::Search(search) = resolution.phase else { return };
        let mut last = None;
        while let Some(link) = self.link_after(last) {
            last = Some(link);
            // A link that was left out because it was held down comes to its turn in time, and one
            // without an address to ask from as soon as it has one.
            let asked = !self.held_down.contains((target, link), now - RETRANS_TIMER)
                && !self.awaits_source(link);
            let meant = self.member(link).is_some_and(|member| search.to.contains(member));
            if asked && meant && (search.widened || link != resolution.origin) {
                // One that has come up since was not asked three times, or before its hosts were
                // ready.
                let is_new = self.links.get(&link).is_some_and(|it| it.up_since > search.began);
                let time = if is_new { RETRANS_TIMER } else { self.config.timing.hold_down };
                self.hold_down(target, link, time, now);
            }
        }
    }

    /// Notes that everybody on a link was asked for a target in vain, and need not be for some time.
    pub(crate) fn hold_down(
        &mut self,
        target: Ipv6Addr,
        link: LinkId,
        time: Duration,
        now: Instant,
    ) {
        self.held_down.insert((target, link), now + time, self.config.limits.held_down, now);
    }

    /// Whether a search for an asker on `origin` would only repeat what was in vain.
    pub(crate) fn is_held_down(
        &self,
        target: Ipv6Addr,
        origin: LinkId,
        to: Members,
        now: Instant,
    ) -> bool {
        self.others(origin, to).all(|id| self.held_down.contains((target, id), now))
    }

    /// When that ends on the first of the links; none if it was in vain on none of them.
    pub(crate) fn held_down_until(
        &self,
        target: Ipv6Addr,
        origin: LinkId,
        to: Members,
        now: Instant,
    ) -> Option<Instant> {
        self.others(origin, to).filter_map(|id| self.held_down.until((target, id), now)).min()
    }

    /// Returns the links that can be asked on behalf of an asker on `origin`.
    fn others(&self, origin: LinkId, to: Members) -> impl Iterator<Item = LinkId> + '_ {
        self.links
            .iter()
            .filter(move |(id, link)| {
                **id != origin && link.usable() && to.contains(link.info.member)
            })
            .map(|(id, _)| *id)
    }

    /// The target has shown itself: it may be searched for again at once.
    pub(crate) fn end_hold_down(&mut self, target: Ipv6Addr) {
        if self.held_down.remove_all((target, LinkId(0))..=(target, LinkId(u32::MAX))) {
            self.watch_again(target);
        }
    }

    fn awaits_source(&self, link: LinkId) -> bool {
        self.links.get(&link).is_some_and(|link| link.usable() && !link.can_speak())
    }
}
