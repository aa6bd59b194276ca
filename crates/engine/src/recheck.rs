//! Verifying everything on a link anew, no faster than the budget of probes allows, and with some
//! of it left for those whom somebody asks for meanwhile.

use std::net::Ipv6Addr;
use std::ops::Bound;
use std::time::Duration;

use crate::engine::Engine;
use crate::link::Link;
use crate::resolution::Phase;
use crate::{Instant, LinkId, Timer};

/// Time between two portions.
const INTERVAL: Duration = Duration::from_millis(100);

/// How far the walk through the bindings of a link has come.
#[derive(Debug, Default)]
pub(crate) struct Recheck {
    /// The target looked at last.
    last: Option<Ipv6Addr>,
    /// When to go on.
    pub(crate) due: Option<Instant>,
}

impl Engine {
    /// Begins to verify everything on a link.
    pub(crate) fn recheck(&mut self, id: LinkId, now: Instant) {
        let Some(link) = self.links.get_mut(&id) else { return };
        link.recheck.last = None;
        // A few hosts, or a few hundred, have their turn at once.
        let half = self.config.limits.probes_per_second / 2;
        self.verify_some(id, half, now);
    }

    pub(crate) fn on_recheck_due(&mut self, id: LinkId, now: Instant) {
        let Some(link) = self.links.get_mut(&id) else { return };
        link.recheck.due = None;
        // Three quarters of the budget; one quarter is for others.
        let portion = self.config.limits.probes_per_second * 3 / 40;
        self.verify_some(id, portion, now);
    }

    /// Nothing that was sure is sure any longer, after a pause that the caller noticed late.
    ///
    /// Who asked before it has given up, what was asked before it was answered into the void, and
    /// nobody knows what detection of duplicates came to.
    pub(crate) fn on_resumed(&mut self, now: Instant) {
        while let Some(target) = self.resolutions.keys().next().copied() {
            self.end_resolution(target);
        }
        self.delayed.clear();
        self.fib.clear();
        self.resume_names();
        let next_upkeep = self.next_upkeep(now);
        let mut contested = Vec::new();
        let targets: Vec<_> = self.bindings.iter().map(|(target, _)| target).collect();
        for target in targets {
            let Some(binding) = self.bindings.get_mut(target) else { continue };
            if binding.claim.take().is_some() {
                contested.push((target, binding.link));
            }
            binding.reachable_until = None;
            binding.verification = None;
            binding.solicited = None;
            binding.announcement = None;
            binding.doubted = None;
            // Unanswered probes of before the pause say little, and all that are due would be
            // asked twice.
            binding.upkeep.sent = 0;
            binding.upkeep.next = next_upkeep;
            self.update_binding_timer(target);
        }
        for (target, link) in contested {
            self.end_hearsay_membership(target);
            // It may be at either place: as if somebody waited for the answer.
            self.begin_resolution(target, link, Phase::Verify, now);
            self.verify(target, now);
        }
        let mut last = None;
        while let Some(id) = self.link_after(last) {
            last = Some(id);
            if let Some(link) = self.links.get_mut(&id) {
                self.timers.set(&mut link.due, Timer::Link(id), None);
            }
            self.on_link_up(id, now);
        }
    }

    fn verify_some(&mut self, id: LinkId, portion: u32, now: Instant) {
        let mut next = None;
        // A link that cannot be asked on begins anew when it can.
        if self.links.get(&id).is_some_and(Link::can_ask) {
            for _ in 0..portion.max(1) {
                let Some(target) = self.next_to_recheck(id) else { break };
                if let Some(link) = self.links.get_mut(&id) {
                    link.recheck.last = Some(target);
                }
                self.verify_at(target, id, now);
            }
            next = self.next_to_recheck(id).map(|_| now + INTERVAL);
        }
        if let Some(link) = self.links.get_mut(&id) {
            self.timers.set(&mut link.recheck.due, Timer::Recheck(id), next);
        }
    }

    fn next_to_recheck(&self, id: LinkId) -> Option<Ipv6Addr> {
        let last = self.links.get(&id)?.recheck.last;
        let mut behind = self.bindings.range(last.map_or(Bound::Unbounded, Bound::Excluded));
        let is_here = behind.find(|(_, binding)| binding.link == id && binding.tentative.is_none());
        is_here.map(|(target, _)| target)
    }
}
