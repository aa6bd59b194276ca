//! Keeping what is known true: verification, confirmation, upkeep, forgetting (RFC 4861 section
//! 7.3, RFC 8929 section 9.3).

use std::net::Ipv6Addr;
use std::time::Duration;

use magpie_wire::{Advert, LinkAddr};

use crate::bare::named;
use crate::binding::{Announcement, Binding, KernelView, Upkeep, Verification, is_by_owner};
use crate::engine::Engine;
use crate::fib::Purpose;
use crate::link::Link;
use crate::resolution::Phase;
use crate::search::{MAX_MULTICAST_SOLICIT, RETRANS_TIMER};
use crate::send::Budget;
use crate::{
    Decision, Egress, Event, Evidence, FoundRoute, Instant, LinkId, Lost, RoutePolicy, Timer,
};

/// RFC 4861 section 10; each confirmation lasts a random 0.5 to 1.5 of it (section 6.3.2). Values
/// that routers announce for their link are not taken over: the links of a relay may have
/// different routers, and hosts on one are asked for from the other.
const REACHABLE_TIME: Duration = Duration::from_secs(30);
/// RFC 4861 section 10.
const MAX_UNICAST_SOLICIT: u8 = 3;
/// Time between unicast probes of a known place (RFC 6620 section 3.3: `T_WAIT`).
const PROBE_TIMER: Duration = Duration::from_millis(250);
/// A host whose time of duplicate address detection is over may be late by the tick of its clock,
/// and answers nothing before: the first probes come quickly.
const FRESH_PROBES: u8 = 3;
const FRESH_PROBE_TIMER: Duration = Duration::from_millis(40);
/// Wait for a turn when the budget of probes is used up: about the time in which it is renewed.
const BUSY_WAIT: Duration = Duration::from_secs(1);
/// How many of the last upkeep probes ask everybody, in case the link-layer address changed.
const MULTICAST_UPKEEP: u8 = 2;

impl Engine {
    /// Begins quick probing of the known place of a target, unless that is under way or everybody
    /// is asked for the target.
    pub(crate) fn verify(&mut self, target: Ipv6Addr, now: Instant) {
        if !self.is_searched_for(target) {
            self.begin_verification(target, now);
        }
        self.update_binding_timer(target);
    }

    /// Does the same when the link of the target has come up, or the target is remembered to be
    /// there. A search that began before may have left the link out.
    pub(crate) fn verify_at(&mut self, target: Ipv6Addr, link: LinkId, now: Instant) {
        let Some(member) = self.member(link) else { return };
        let asked = self.resolutions.get(&target).is_some_and(|it| it.asks(link, member));
        if !asked {
            self.begin_verification(target, now);
        }
        self.update_binding_timer(target);
    }

    /// Whether everybody is asked for the target.
    pub(crate) fn is_searched_for(&self, target: Ipv6Addr) -> bool {
        let resolution = self.resolutions.get(&target);
        resolution.is_some_and(|resolution| matches!(resolution.phase, Phase::Search(_)))
    }

    fn begin_verification(&mut self, target: Ipv6Addr, now: Instant) {
        let Some(binding) = self.bindings.get_mut(target) else { return };
        if binding.verification.is_none() {
            binding.verification = Some(Verification { sent: 0, next: now, fresh: false });
            self.continue_verification(target, now);
        }
    }

    /// Carries out everything that has become due for a binding.
    pub(crate) fn on_binding_due(&mut self, target: Ipv6Addr, now: Instant) {
        let Some(binding) = self.bindings.get_mut(target) else { return };
        binding.due = None;
        let is_new = binding.tentative.is_some_and(|until| until <= now);
        let link = binding.link;
        if is_new && !self.is_sought_at(target, link) {
            // Known only for as long as somebody might have objected.
            return self.forget(target, Lost::OutOfScope);
        }
        let Some(binding) = self.bindings.get_mut(target) else { return };
        if is_new {
            // Nobody objected (RFC 4862 section 5.4): the address is its owner's. Asking for it
            // at once makes the route ready before anybody wants to use it.
            binding.tentative = None;
            binding.verification = Some(Verification { sent: 0, next: now, fresh: true });
        }
        self.continue_verification(target, now);
        self.continue_claim(target, now);
        self.continue_upkeep(target, now);
        self.continue_announcement(target, now);
        self.inform_kernel(target, now);
        self.update_binding_timer(target);
    }

    /// The place of a target has answered a probe (RFC 4861 section 7.3.1).
    pub(crate) fn confirm(
        &mut self,
        target: Ipv6Addr,
        lladdr: Option<LinkAddr>,
        advert: Advert,
        now: Instant,
    ) {
        let Some(binding) = self.bindings.get(target) else { return };
        let link = binding.link;
        if let Some(lladdr) = lladdr
            && binding.lladdr != Some(lladdr)
        {
            self.bindings.relocate(target, link, lladdr);
        }
        self.bindings.verified(target);
        let lasts = REACHABLE_TIME.mul_f64(0.5 + self.rng.f64());
        let upkeep = self.next_upkeep(now);
        let Some(binding) = self.bindings.get_mut(target) else { return };
        let first = binding.confirmed.is_none();
        binding.untold.routers |= first;
        binding.confirmed = Some(now);
        binding.reachable_until = Some(now + lasts);
        binding.seen = now;
        binding.solicited = None;
        binding.tentative = None;
        binding.verification = None;
        binding.doubted = None;
        binding.router = advert.router;
        binding.by_owner = is_by_owner(&advert);
        binding.upkeep = Upkeep { sent: 0, next: upkeep };
        let is_heard = advert.overrides && advert.target_lladdr.is_some();
        binding.kernel_view = match binding.kernel_view {
            KernelView::Outdated if !is_heard => KernelView::AskAt(now),
            KernelView::AskAt(at) if !is_heard => KernelView::AskAt(at),
            _ => KernelView::Current,
        };
        let moved_from = binding.moved_from.take().filter(|from| *from != link);
        let (evidence, known) = (binding.evidence, binding.lladdr);
        binding.announcement =
            moved_from.map(|from| Announcement::new(from, now)).or(binding.announcement);
        match (known, moved_from) {
            (Some(lladdr), Some(from)) => {
                self.counters.moves += 1;
                // What it reported there before it left is past: it may come back at any time.
                self.reported.remove_all((from, lladdr)..=(from, lladdr));
                let lladdr = named(lladdr);
                self.report(Event::Moved { target, from, to: link, lladdr });
                // So that our kernel hears it too; see `continue_claim`.
                self.solicit_multicast(link, target, Budget::Known, now);
            }
            (Some(lladdr), None) if first => {
                let lladdr = named(lladdr);
                self.report(Event::Found { target, link, lladdr, evidence });
            }
            _ => {}
        }
        self.inform_kernel(target, now);
        self.refute_claim(target, &advert, now);
        self.settle(target, now);
    }

    /// Asks everybody for a target with a new link-layer address, as soon as that is allowed. Our
    /// kernel hears the answers to our questions, too; but to one that was sent to the target alone
    /// the owner answers without the address, or without the override flag, so that the kernel
    /// would go on with the old address (RFC 4861 sections 7.2.4 and 7.2.5).
    fn inform_kernel(&mut self, target: Ipv6Addr, now: Instant) {
        let Some(binding) = self.bindings.get_mut(target) else { return };
        if binding.kernel_view.ask_at().is_none_or(|at| at > now) {
            return;
        }
        let link = binding.link;
        if let Some(at) = self.links.get(&link).and_then(|link| link.asked.until(target, now)) {
            binding.kernel_view = KernelView::AskAt(at);
        } else {
            binding.kernel_view = KernelView::Current;
            self.solicit_multicast(link, target, Budget::Known, now);
        }
    }

    /// Sees to it that the host route leads to a confirmed target, and answers those who wait as
    /// soon as it does: state before promise.
    pub(crate) fn settle(&mut self, target: Ipv6Addr, now: Instant) {
        self.update_binding_timer(target);
        let Some(binding) = self.bindings.get(target) else { return };
        let link = binding.link;
        if !self.is_sought_at(target, link) {
            // It has moved to where nobody looks for it.
            return self.forget(target, Lost::OutOfScope);
        }
        let is_needed = match self.config.routes {
            RoutePolicy::All => true,
            RoutePolicy::Needed => self.routes.wanted(target).is_some(),
            RoutePolicy::Never => false,
        };
        if is_needed {
            self.routes.want(target, Some(link));
            self.reconcile_route(target);
        }
        // Before any answer, but behind the request for the route, which those who wait need first.
        self.join_everywhere(target);
        if self.is_routed(target, link) {
            return self.on_routed(target, now);
        }
        if self.routes.conflicts(target, link) {
            self.end_resolution(target);
            return self.report_foreign_route(target, link, now);
        }
        self.enter_phase(target, Phase::Route, now);
        if !is_needed {
            self.find_route(target, None, Purpose::Settle, now);
        }
    }

    /// The kernel has said where packets for a target go, which has no host route of ours.
    pub(crate) fn settle_by_route(
        &mut self,
        target: Ipv6Addr,
        route: Option<FoundRoute>,
        outdated: bool,
        now: Instant,
    ) {
        let Some(link) = self.bindings.get(target).map(|binding| binding.link) else { return };
        if outdated {
            return self.find_route(target, None, Purpose::Settle, now);
        }
        if route.is_some_and(|route| route.egress == Egress::Device(link)) {
            return self.on_routed(target, now);
        }
        self.routes.want(target, Some(link));
        self.reconcile_route(target);
    }

    /// Whether packets for `target` surely go out on `link`.
    pub(crate) fn is_routed(&self, target: Ipv6Addr, link: LinkId) -> bool {
        match self.config.routes {
            RoutePolicy::All => self.routes.leads_to(target, link),
            RoutePolicy::Needed => {
                self.routes.leads_to(target, link)
                    || self.routes.wanted(target).is_none() && self.fib.leads_to(target, link)
            }
            RoutePolicy::Never => !self.routes.conflicts(target, link),
        }
    }

    /// Makes the host routes of all that is known agree with another policy.
    pub(crate) fn on_route_policy_changed(&mut self, now: Instant) {
        if self.config.routes == RoutePolicy::Never {
            let targets: Vec<_> = self.routes.targets().collect();
            for target in targets {
                self.routes.want(target, None);
                self.reconcile_route(target);
            }
            return;
        }
        let confirmed = self.bindings.iter().filter(|(_, binding)| binding.confirmed.is_some());
        let targets: Vec<_> = confirmed.map(|(target, _)| target).collect();
        for target in targets {
            self.settle(target, now);
        }
    }

    /// The kernel forwards to the target's place now.
    pub(crate) fn on_routed(&mut self, target: Ipv6Addr, now: Instant) {
        let Some(binding) = self.bindings.get(target) else { return };
        // Somebody else's route may have come while ours was being installed.
        if !binding.is_reachable(now) || !self.is_routed(target, binding.link) {
            return;
        }
        self.announce_move(target, now);
        self.answer_waiting(target, now);
        self.note_routed(target, now);
    }

    /// Learns that a target may be somewhere. Nothing is promised before it has answered a probe
    /// there (RFC 9131 section 6.1.1, RFC 6620 section 3.2).
    pub(crate) fn on_hint(
        &mut self,
        target: Ipv6Addr,
        link: LinkId,
        lladdr: LinkAddr,
        evidence: Evidence,
        now: Instant,
    ) {
        if self.is_own_address(target, link) {
            return;
        }
        self.end_hold_down(target);
        match self.bindings.get_mut(target) {
            Some(binding) if binding.link == link && binding.lladdr == Some(lladdr) => {
                binding.seen = now;
            }
            Some(binding) if binding.lladdr.is_none() && binding.link == link => {
                self.bindings.relocate(target, link, lladdr);
                self.verify(target, now);
            }
            Some(_) => self.begin_claim(target, link, lladdr, evidence, now),
            None => {
                if self.is_sought_at(target, link)
                    && self.may_hear_of(link, now)
                    && self.learn(target, link, Some(lladdr), evidence, now)
                {
                    self.enter_phase(target, Phase::Verify, now);
                    self.verify(target, now);
                }
            }
        }
    }

    /// Whether there is room for one more unverified binding on a link.
    pub(crate) fn may_hear_of(&mut self, link: LinkId, now: Instant) -> bool {
        match self.bindings.has_room_for_hearsay(link, &self.config.limits) {
            Ok(()) => true,
            Err(reason) => {
                self.refuse(link, reason, now);
                false
            }
        }
    }

    /// Makes a binding, if there is room.
    pub(crate) fn learn(
        &mut self,
        target: Ipv6Addr,
        link: LinkId,
        lladdr: Option<LinkAddr>,
        evidence: Evidence,
        now: Instant,
    ) -> bool {
        // Everybody on a bare link has the same one.
        let lladdr = if self.is_bare(link) { Some(LinkAddr::ZERO) } else { lladdr };
        if let Err(reason) = self.bindings.has_room(link, lladdr, &self.config.limits) {
            self.refuse(link, reason, now);
            return false;
        }
        let mut binding = Binding::new(link, lladdr, evidence, now);
        binding.upkeep.next = self.next_upkeep(now);
        self.bindings.insert(target, binding);
        self.watch_again(target);
        self.update_binding_timer(target);
        true
    }

    /// Forgets a binding: host route, memberships and answers end together.
    pub(crate) fn forget(&mut self, target: Ipv6Addr, why: Lost) {
        let Some(mut binding) = self.bindings.remove(target) else { return };
        self.timers.set(&mut binding.due, Timer::Binding(target), None);
        if binding.joined {
            self.leave_everywhere(target);
        }
        self.routes.want(target, None);
        self.reconcile_route(target);
        let link = binding.link;
        self.watch_again(target);
        if binding.confirmed.is_some() {
            self.report(Event::Forgotten { target, link, why });
        }
        let was_here = binding.confirmed.is_some()
            || matches!(binding.evidence, Evidence::Saved | Evidence::Route);
        if was_here && matches!(why, Lost::LinkGone | Lost::OutOfScope) {
            let lladdr = binding.lladdr.and_then(named);
            self.report(Event::Displaced { target, link, lladdr });
        }
    }

    fn continue_verification(&mut self, target: Ipv6Addr, now: Instant) {
        let Some(binding) = self.bindings.get_mut(target) else { return };
        let Some(Verification { sent, next, fresh }) = binding.verification else { return };
        if next > now {
            return;
        }
        let (link, lladdr) = (binding.link, binding.lladdr);
        // That a name points there does not make a host of it.
        let is_rumor = binding.confirmed.is_none() && binding.evidence == Evidence::Name;
        let budget = if is_rumor { Budget::Unknown } else { Budget::Known };
        let (most, interval) = match lladdr {
            Some(_) if fresh && sent < FRESH_PROBES => (u8::MAX, FRESH_PROBE_TIMER),
            Some(_) if fresh => (FRESH_PROBES + MAX_UNICAST_SOLICIT, PROBE_TIMER),
            Some(_) => (MAX_UNICAST_SOLICIT, PROBE_TIMER),
            None => (MAX_MULTICAST_SOLICIT, RETRANS_TIMER),
        };
        if sent >= most {
            return self.on_unverified(target, now);
        }
        let asked = match lladdr {
            Some(lladdr) => self.solicit_unicast(link, target, lladdr, now),
            None => self.solicit_multicast(link, target, budget, now),
        };
        let can_ask = self.links.get(&link).is_some_and(Link::can_ask);
        let busy_wait = self.busy_wait();
        let Some(binding) = self.bindings.get_mut(target) else { return };
        if asked {
            binding.solicited = Some(now);
            binding.verification =
                Some(Verification { sent: sent + 1, next: now + interval, fresh });
        } else if can_ask {
            binding.verification = Some(Verification { sent, next: now + busy_wait, fresh });
        } else {
            // A link that is down, or that we cannot ask from yet, is not a host that is silent.
            // When the link is ready, everything on it is verified; until then the target may be
            // elsewhere.
            binding.verification = None;
            if self.resolutions.get(&target).is_some_and(|waiting| waiting.phase == Phase::Verify) {
                self.widen_to_search(target, now);
            }
        }
    }

    /// Returns how long to wait for a turn when the budget of probes is used up: at random, so
    /// that nobody is last each time.
    fn busy_wait(&mut self) -> Duration {
        BUSY_WAIT.mul_f64(0.25 + self.rng.f64())
    }

    /// The known place is silent. If somebody waits, everybody is asked (RFC 4861 section 7.3.3);
    /// otherwise what was never confirmed is forgotten, and what was is left to upkeep, since
    /// hosts that sleep lose a few probes (RFC 7048 section 3).
    fn on_unverified(&mut self, target: Ipv6Addr, now: Instant) {
        let Some(binding) = self.bindings.get_mut(target) else { return };
        binding.verification = None;
        binding.reachable_until = None;
        binding.announcement = None;
        let (confirmed, claimed) = (binding.confirmed.is_some(), binding.claim.is_some());
        let (link, lladdr) = (binding.link, binding.lladdr);
        if lladdr.is_none() {
            // The probes went to everybody there.
            self.hold_down(target, link, self.config.timing.hold_down, now);
        }
        if let Some(resolution) = self.resolutions.get(&target) {
            if resolution.phase != Phase::Verify {
                return;
            }
            let origin = resolution.origin;
            if let Decision::Probe(to) = self.decide(target, origin)
                && !self.is_held_down(target, origin, to, now)
            {
                return self.widen_to_search(target, now);
            }
            self.end_resolution(target);
        }
        if !claimed && !confirmed {
            self.forget(target, Lost::Silent);
        }
    }

    fn continue_upkeep(&mut self, target: Ipv6Addr, now: Instant) {
        let Some(binding) = self.bindings.get_mut(target) else { return };
        let Upkeep { sent, next } = binding.upkeep;
        if next > now {
            return;
        }
        let timing = self.config.timing;
        let seen = binding.confirmed.map_or(binding.seen, |at| at.max(binding.seen));
        if now.since(seen) < timing.probe_interval {
            binding.upkeep = Upkeep {
                sent: 0,
                next: (seen + timing.probe_interval).round_up(timing.alarm_interval),
            };
            return;
        }
        let (link, lladdr) = (binding.link, binding.lladdr);
        if !self.links.get(&link).is_some_and(Link::can_ask) {
            // Who is there cannot be told; when the link is ready, all are verified.
            let next = self.next_upkeep(now);
            if let Some(binding) = self.bindings.get_mut(target) {
                binding.upkeep.next = next;
            }
            return;
        }
        if sent >= timing.probe_retries {
            return self.forget(target, Lost::Silent);
        }
        let everybody = sent.saturating_add(MULTICAST_UPKEEP) >= timing.probe_retries;
        let asked = match lladdr {
            // Refreshing by unicast leaves sleeping hosts asleep (RFC 9119 section 4).
            Some(lladdr) if !everybody => self.solicit_unicast(link, target, lladdr, now),
            _ => self.solicit_multicast(link, target, Budget::Known, now),
        };
        let busy_wait = self.busy_wait();
        let Some(binding) = self.bindings.get_mut(target) else { return };
        if !asked {
            // Only a question that was asked can remain unanswered.
            binding.upkeep.next = now + busy_wait;
            return;
        }
        binding.solicited = Some(now);
        let last = sent + 1 == timing.probe_retries;
        let next = if last { now + RETRANS_TIMER } else { now + timing.probe_interval };
        binding.upkeep = Upkeep { sent: sent + 1, next: next.round_up(timing.alarm_interval) };
    }

    /// Brings forward what other timing makes due sooner.
    pub(crate) fn on_timing_changed(&mut self, now: Instant) {
        self.held_down.retain(|_| false);
        let latest = self.next_upkeep(now);
        let targets: Vec<_> = self.bindings.iter().map(|(target, _)| target).collect();
        for target in targets {
            if let Some(binding) = self.bindings.get_mut(target) {
                binding.upkeep.next = binding.upkeep.next.min(latest);
            }
            self.update_binding_timer(target);
        }
    }

    pub(crate) fn next_upkeep(&self, now: Instant) -> Instant {
        let timing = &self.config.timing;
        (now + timing.probe_interval).round_up(timing.alarm_interval)
    }
}
