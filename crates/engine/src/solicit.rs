//! Neighbor Solicitations that come in: whether, when and what to answer.

use std::net::Ipv6Addr;
use std::time::Duration;

use magpie_wire::{LinkAddr, Nonce, Packet, Solicit};

use crate::delayed::Delayed;
use crate::direct::away;
use crate::engine::Engine;
use crate::fib::{Answer, Purpose};
use crate::resolution::{Asker, Phase};
use crate::{Decision, Discard, Evidence, Instant, LinkId, Members};

/// Within this time the same question from the same asker gets two answers at most. Some links
/// make copies of it; but who has forgotten the answer and asks again must not wait for a second,
/// which is when it would ask once more.
const REPEAT_WINDOW: Duration = Duration::from_millis(20);
/// A confirmation of this age is still fresh.
const FRESH_TIME: Duration = Duration::from_secs(1);
/// A neighbor that asks again after this time, for a target on its own link, got no answer
/// there (RFC 4861 section 10: `RETRANS_TIMER`, less some jitter) ...
const UNANSWERED_AFTER: Duration = Duration::from_millis(900);
/// ... unless so much time has passed that it may have asked anew.
const UNANSWERED_WITHIN: Duration = Duration::from_millis(3500);

impl Engine {
    pub(crate) fn on_solicit(
        &mut self,
        id: LinkId,
        packet: &Packet<'_>,
        solicit: Solicit,
        now: Instant,
    ) {
        self.counters.solicits_received += 1;
        if solicit.nonce.is_some_and(|nonce| self.nonces.contains(&nonce)) {
            self.report_loop(id, solicit.target, now);
            return self.counters.count(Discard::OwnNonce);
        }
        if let Some(lladdr) = solicit.source_lladdr {
            if self.link_of_lladdr(lladdr).is_some() {
                return self.counters.count(Discard::OwnLinkAddr);
            }
            self.on_source(id, packet.source, lladdr, now);
        }
        let asker = Asker {
            link: id,
            source: packet.source,
            lladdr: packet.ethernet_source,
            multicast: packet.destination.is_multicast(),
            nonce: solicit.nonce.as_ref().map(beginning),
        };
        let target = solicit.target;
        let Some(link) = self.links.get(&id) else { return };
        if link.owns(target) {
            return self.counters.count(Discard::OwnTarget);
        }
        let is_kernel_proxied = link.kernel_proxied.contains(&target);
        let decision = self.decide(target, id);
        let is_own = self.holds_elsewhere(target);
        // Where the subnet is relayed, an address of ours on another link is answered for even
        // outside the subnet's prefixes, but never a link-local one.
        if decision == Decision::Uncovered
            && (!is_own || target.is_unicast_link_local() || !self.relays_subnet_to(id))
        {
            return self.counters.count(Discard::OutOfScope);
        }
        self.seen.ask(target, id, now);
        if is_kernel_proxied {
            return self.counters.count(Discard::KernelProxy);
        }
        match decision {
            Decision::Deny => self.counters.count(Discard::Denied),
            // The kernel accepts packets for any of its addresses on any link, but answers
            // solicitations only on the link of the address. We are a router, so R is set.
            _ if is_own => self.reply(asker, target, true, now),
            Decision::Static { .. } => self.answer_by_rule(asker, target, now),
            Decision::Route => self.answer_by_route(asker, target, now),
            Decision::Probe(to) => self.resolve(asker, target, to, now),
            Decision::Uncovered => {}
        }
    }

    /// Learns of the source of a solicitation. It is a hint, not a proof (RFC 4861 section
    /// 7.2.3): the source is verified before anything is promised for it.
    pub(crate) fn on_source(
        &mut self,
        link: LinkId,
        source: Ipv6Addr,
        lladdr: LinkAddr,
        now: Instant,
    ) {
        if source.is_unicast_link_local() || self.link_of_lladdr(lladdr).is_some() {
            return;
        }
        self.sight(source, link, now);
        if self.bindings.get(source).is_some() || self.is_sought_at(source, link) {
            self.on_hint(source, link, lladdr, Evidence::Solicitation, now);
        }
    }

    /// Finds out where `target` is and tells the asker, at once if that is sure.
    fn resolve(&mut self, asker: Asker, target: Ipv6Addr, to: Members, now: Instant) {
        let is_known = |engine: &Self| {
            engine.bindings.get(target).is_some_and(|binding| {
                let is_sure =
                    || binding.is_reachable(now) && engine.is_routed(target, binding.link);
                binding.link == asker.link || is_sure()
            })
        };
        if !self.may_be_routed(asker.link, to) || is_known(self) {
            return self.resolve_by_probe(asker, target, to, now);
        }
        match self.fib.get(target, Some(asker.link)) {
            Some(Answer(route)) => self.resolve_by_route(asker, target, route, now),
            None => self.find_route(target, Some(asker.link), Purpose::Resolve(asker), now),
        }
    }

    /// Finds out by asking, unless that is not needed.
    pub(crate) fn resolve_by_probe(
        &mut self,
        asker: Asker,
        target: Ipv6Addr,
        to: Members,
        now: Instant,
    ) {
        let Some(binding) = self.bindings.get(target) else {
            return self.look_up(asker, target, to, now);
        };
        let link = binding.link;
        if link == asker.link {
            // It answers itself (RFC 4389 section 4.1).
            self.counters.count(Discard::SameLink);
            return self.doubt(asker, target, now);
        }
        if !self.member(link).is_some_and(|member| to.contains(member)) {
            // It is where the rules do not look for it.
            return self.counters.count(Discard::OutOfScope);
        }
        if self.routes.conflicts(target, link) {
            return self.counters.count(Discard::ForeignRoute);
        }
        // Another proxy's word is checked each time it is passed on, and so is memory that is
        // passed on to another proxy, lest two of them vouch for each other when the target is
        // gone.
        let fresh = binding.confirmed.is_some_and(|at| now.since(at) < FRESH_TIME);
        let sure =
            binding.is_reachable(now) && binding.by_owner && (fresh || asker.nonce.is_none());
        if sure && self.is_routed(target, link) {
            let router = binding.router;
            return self.reply(asker, target, router, now);
        }
        let phase = if sure { Phase::Route } else { Phase::Verify };
        self.wait_for(asker, target, phase, now);
        if phase == Phase::Route {
            self.settle(target, now);
        } else {
            // What is stale is verified before it is advertised (RFC 8929 section 9.3). An owner
            // that is still detecting duplicates answers only if it is optimistic (RFC 4429).
            self.verify(target, now);
        }
    }

    /// Answers for a target that is sure to be elsewhere, unless the asker has just been answered.
    pub(crate) fn reply(&mut self, asker: Asker, target: Ipv6Addr, router: bool, now: Instant) {
        let Asker { link, source, nonce, .. } = asker;
        // Another Magpie asks, checks what it was told, and its kernel asks once more: one after
        // the other from the same address, and each needs its answer.
        if !self.seen.answer(target, link, (source, nonce), REPEAT_WINDOW, now) {
            return self.counters.count(Discard::Repeated);
        }
        let longest = self.link_config(link).answer_delay;
        if asker.multicast && !longest.is_zero() {
            let wait = longest.mul_f64(self.rng.f64());
            self.delay(now + wait, Delayed::Answer { asker, target });
        } else {
            self.advertise(asker, target, router);
        }
    }

    /// Answers if the target is still elsewhere, as it was when the answer was put off.
    pub(crate) fn answer_if_sure(&mut self, asker: Asker, target: Ipv6Addr, now: Instant) {
        let link = asker.link;
        let decision = self.decide(target, link);
        let router = match decision {
            Decision::Deny => None,
            _ if self.holds_elsewhere(target) => Some(true),
            Decision::Static { .. } => (!self.is_on_own_link(target, link, now)).then_some(false),
            Decision::Route => match self.fib.get(target, Some(link)) {
                Some(Answer(route)) => away(route, link).map(|away| away.is_own),
                None => return self.find_route(target, Some(link), Purpose::Late(asker), now),
            },
            Decision::Probe(to) => {
                let bound = self.bindings.get(target).filter(|binding| {
                    binding.is_reachable(now)
                        && self.may_tell(target, link, binding.link)
                        && self.is_routed(target, binding.link)
                });
                match (bound, self.fib.get(target, Some(link))) {
                    (Some(binding), _) => Some(binding.router),
                    (None, Some(Answer(route))) => {
                        self.is_routed_away(target, route, link, to).then_some(false)
                    }
                    (None, None) if self.may_be_routed(link, to) => {
                        return self.find_route(target, Some(link), Purpose::Late(asker), now);
                    }
                    (None, None) => None,
                }
            }
            Decision::Uncovered => None,
        };
        if let Some(router) = router {
            self.advertise(asker, target, router);
        }
    }

    /// Answers all who wait for a target that is confirmed and routed.
    pub(crate) fn answer_waiting(&mut self, target: Ipv6Addr, now: Instant) {
        let Some(resolution) = self.end_resolution(target) else { return };
        let Some(binding) = self.bindings.get(target) else { return };
        let (link, router) = (binding.link, binding.router);
        for asker in resolution.askers() {
            if self.may_tell(target, asker.link, link) {
                self.reply(asker, target, router, now);
            }
        }
    }

    /// Lets an asker wait for a target whose binding is being verified or routed.
    fn wait_for(&mut self, asker: Asker, target: Ipv6Addr, phase: Phase, now: Instant) {
        if !self.resolutions.contains_key(&target)
            && self.begin_resolution(target, asker.link, phase, now).is_none()
        {
            return;
        }
        self.add_asker(asker, target);
    }

    pub(crate) fn add_asker(&mut self, asker: Asker, target: Ipv6Addr) {
        if let Some(resolution) = self.resolutions.get_mut(&target)
            && !resolution.add(asker)
        {
            self.counters.count(Discard::AskersFull);
        }
    }

    /// A neighbor asks everybody for a target on its own link. If the target is there, it has
    /// answered; if it left in silence, nobody has, and the neighbor asks again.
    fn doubt(&mut self, asker: Asker, target: Ipv6Addr, now: Instant) {
        let Some(binding) = self.bindings.get_mut(target) else { return };
        if !asker.multicast || binding.tentative.is_some() || binding.claim.is_some() {
            return;
        }
        match binding.doubted.map(|at| now.since(at)) {
            Some(age) if age < UNANSWERED_AFTER => {}
            Some(age) if age < UNANSWERED_WITHIN => {
                binding.doubted = None;
                binding.reachable_until = None;
                self.wait_for(asker, target, Phase::Verify, now);
                self.verify(target, now);
            }
            _ => binding.doubted = Some(now),
        }
    }

    /// Whether a global `target` is this host's own, for good, on any link.
    fn holds_elsewhere(&self, target: Ipv6Addr) -> bool {
        self.own.holds(target)
    }
}

fn beginning(nonce: &Nonce) -> u64 {
    nonce.as_bytes().iter().take(8).fold(0, |word, octet| word << 8 | u64::from(*octet))
}
