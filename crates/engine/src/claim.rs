//! Who is right when an address is claimed at another place than where it is known (RFC 6620
//! section 3.2.3, RFC 6957 section 4.2.2).
//!
//! The old place is asked first. If it answers, the claim is refused; if it stays silent and the
//! claimant answers, the target has moved.

use std::net::Ipv6Addr;
use std::time::Duration;

use magpie_wire::{Advert, LinkAddr};

use crate::bare::{self, named};
use crate::binding::{Claim, Stage, is_by_owner};
use crate::engine::Engine;
use crate::link::Link;
use crate::resolution::Phase;
use crate::search::RETRANS_TIMER;
use crate::send::Budget;
use crate::{Discard, Event, Evidence, Instant, LinkId};

/// Probes that each place gets.
const PROBES: u8 = 3;
/// Times that a probe may fail to be sent, before silence is taken for an answer.
const MOST_UNASKED: u8 = 8;
/// Time between them for a claim by another station, and for the same station seen elsewhere,
/// which most likely moved. The old place counts as silent one interval after the last: within 800 ms (RFC 8929
/// section 12), since a host waits one second for objections to its address (RFC 4862 section
/// 5.4).
const STRANGER_INTERVAL: Duration = Duration::from_millis(250);
const SAME_STATION_INTERVAL: Duration = Duration::from_millis(100);

/// Whether it may be that somebody is there, but nobody has said so for the address: reports are of
/// groups, and names are said by others, too.
fn is_guess(evidence: Evidence) -> bool {
    matches!(evidence, Evidence::ListenerReport | Evidence::Name)
}

impl Engine {
    /// Takes up a claim that is no duplicate address detection.
    pub(crate) fn begin_claim(
        &mut self,
        target: Ipv6Addr,
        link: LinkId,
        lladdr: LinkAddr,
        evidence: Evidence,
        now: Instant,
    ) {
        self.open_claim(target, link, lladdr, evidence, None, now);
    }

    /// Takes up a claim by duplicate address detection; the claimant cannot answer yet.
    pub(crate) fn begin_dad_claim(
        &mut self,
        target: Ipv6Addr,
        link: LinkId,
        lladdr: LinkAddr,
        until: Instant,
        now: Instant,
    ) {
        self.open_claim(target, link, lladdr, Evidence::Dad, Some(until), now);
    }

    fn open_claim(
        &mut self,
        target: Ipv6Addr,
        link: LinkId,
        lladdr: LinkAddr,
        evidence: Evidence,
        tentative: Option<Instant>,
        now: Instant,
    ) {
        let Some(binding) = self.bindings.get_mut(target) else { return };
        if let Some(claim) = &mut binding.claim {
            // A guess must not keep out who speaks for the address.
            let is_better = is_guess(claim.evidence) && !is_guess(evidence);
            if (claim.link, claim.lladdr) == (link, lladdr) {
                claim.tentative = tentative.or(claim.tentative);
                if is_better {
                    claim.evidence = evidence;
                }
                return;
            }
            // One that detects duplicates has to be told in time; others can wait.
            let is_urgent = claim.tentative.is_none() && tentative.is_some();
            if !is_urgent && !is_better {
                return;
            }
        }
        if binding.tentative.is_some() && tentative.is_none() {
            // Nobody has the address yet; whoever speaks for it is heard by the owner-to-be.
            return;
        }
        let mut first = now;
        if let Some(decided) = binding.claim_decided
            && tentative.is_none()
            && now.since(decided) < RETRANS_TIMER
        {
            if evidence != Evidence::Solicitation {
                // Two proxies that answer for the same target would claim it for ever.
                return self.counters.count(Discard::Repeated);
            }
            // Who asks from the target's address is a station, which may not do so again: one
            // that moves on within a second is looked for when its turn comes.
            first = decided + RETRANS_TIMER;
        }
        let is_same = binding
            .lladdr
            .is_some_and(|known| bare::is_same((binding.link, known), (link, lladdr)));
        let interval = if is_same { SAME_STATION_INTERVAL } else { STRANGER_INTERVAL };
        let old_place_down = !self.links.get(&binding.link).is_some_and(Link::usable);
        let stage = if old_place_down { Stage::AskNew } else { Stage::AskOld };
        binding.claim = Some(Box::new(Claim {
            link,
            lladdr,
            evidence,
            tentative,
            stage,
            answered_by_proxy: false,
            sent: 0,
            unasked: 0,
            interval,
            next: first,
        }));
        self.continue_claim(target, now);
        self.update_binding_timer(target);
    }

    /// Asks the old place, then the new one, as far as it is time for it.
    pub(crate) fn continue_claim(&mut self, target: Ipv6Addr, now: Instant) {
        let Some(binding) = self.bindings.get_mut(target) else { return };
        let Some(claim) = &mut binding.claim else { return };
        if claim.next > now {
            return;
        }
        if claim.sent == PROBES {
            match claim.stage {
                Stage::AskOld if claim.tentative.is_some() => {
                    return self.accept_dad_claim(target, now);
                }
                Stage::AskOld if claim.answered_by_proxy => {
                    return self.reject_claim(target, now);
                }
                Stage::AskOld => {
                    claim.stage = Stage::AskNew;
                    claim.sent = 0;
                }
                Stage::AskNew => return self.drop_claim(target, now),
            }
        }
        if claim.stage == Stage::AskNew && claim.tentative.is_some() {
            // It cannot answer yet.
            return self.accept_dad_claim(target, now);
        }
        let first = claim.sent == 0;
        let (stage, new_link, new_lladdr) = (claim.stage, claim.link, claim.lladdr);
        let (old_link, old_lladdr) = (binding.link, binding.lladdr);
        claim.next = now + claim.interval;
        // What only a proxy or nobody vouches for gives way to the owner at once.
        let ask_both = !binding.by_owner && claim.tentative.is_none();
        let asked = match (stage, old_lladdr) {
            (Stage::AskOld, Some(lladdr)) => self.solicit_unicast(old_link, target, lladdr, now),
            (Stage::AskOld, None) => self.solicit_multicast(old_link, target, Budget::Known, now),
            // Our kernel may have been told that the target is at another proxy here. Only the
            // answer to a multicast solicitation has what sets it right: the O flag and the
            // link-layer address (RFC 4861 section 7.2.5).
            (Stage::AskNew, _) if first => {
                self.solicit_multicast(new_link, target, Budget::Known, now)
            }
            (Stage::AskNew, _) => self.solicit_unicast(new_link, target, new_lladdr, now),
        };
        if stage == Stage::AskOld && ask_both {
            self.solicit_unicast(new_link, target, new_lladdr, now);
        }
        let Some(binding) = self.bindings.get_mut(target) else { return };
        let Some(claim) = &mut binding.claim else { return };
        if stage == Stage::AskOld && asked {
            binding.solicited = Some(now);
        }
        // A question that could not be asked says nothing; but it is not tried for ever.
        claim.unasked += u8::from(!asked);
        if asked || claim.unasked > MOST_UNASKED {
            claim.sent += 1;
        }
    }

    /// The claimant has answered a probe.
    pub(crate) fn confirm_claim(&mut self, target: Ipv6Addr, answer: Advert, now: Instant) {
        let Some(binding) = self.bindings.get_mut(target) else { return };
        let Some(claim) = &binding.claim else { return };
        if claim.evidence == Evidence::Name && !is_by_owner(&answer) {
            // Names are said by others too: that a proxy would answer for it as well says nothing.
            return;
        }
        let owner_instead_of_proxy = !binding.by_owner && is_by_owner(&answer);
        if claim.stage == Stage::AskNew || owner_instead_of_proxy {
            let (link, lladdr) = (claim.link, claim.lladdr);
            binding.evidence = claim.evidence;
            self.end_claim(target, now);
            self.move_to(target, link, lladdr, answer, now);
        }
    }

    /// The old place has answered. The owner refutes the claim. A proxy, which may answer from
    /// memory, refutes it only if the claimant does not answer as the owner; and never one by
    /// duplicate address detection: it hears the probe itself, and defends the address if the
    /// owner is still there.
    pub(crate) fn refute_claim(&mut self, target: Ipv6Addr, answer: &Advert, now: Instant) {
        let Some(binding) = self.bindings.get_mut(target) else { return };
        let Some(claim) = &mut binding.claim else { return };
        if is_by_owner(answer) {
            self.reject_claim(target, now);
        } else {
            claim.answered_by_proxy = true;
        }
    }

    /// The owner is still at the old place.
    pub(crate) fn reject_claim(&mut self, target: Ipv6Addr, now: Instant) {
        let Some(claim) = self.end_claim(target, now) else { return };
        let Some(binding) = self.bindings.get(target) else { return };
        let Claim { link, lladdr, .. } = claim;
        let (owner, router) = (binding.link, binding.router);
        self.end_hearsay_membership(target);
        // On the owner's own link the owner defends itself.
        if claim.tentative.is_some() && link != owner {
            self.advertise_to_all(link, target, router, false);
            let lladdr = named(lladdr);
            self.report(Event::Duplicate { target, owner, claimant: link, lladdr });
        } else if !is_guess(claim.evidence) {
            let lladdr = named(lladdr);
            self.report_claim(Event::ClaimRejected { target, link, lladdr }, link, now);
        }
    }

    /// Neither place answers. What is known is not believed any longer, but not forgotten either.
    fn drop_claim(&mut self, target: Ipv6Addr, now: Instant) {
        let Some(claim) = self.end_claim(target, now) else { return };
        let Some(binding) = self.bindings.get_mut(target) else { return };
        binding.reachable_until = None;
        if is_guess(claim.evidence) {
            // Anybody can forge it, and a host that sleeps has been asked often enough.
            return self.update_binding_timer(target);
        }
        let (link, lladdr) = (binding.link, binding.lladdr);
        let is_same =
            lladdr.is_some_and(|known| bare::is_same((link, known), (claim.link, claim.lladdr)));
        if is_same && !self.resolutions.contains_key(&target) {
            // It surely was where it spoke; on a lossy link the probes may have been lost. The
            // other links are asked, as if somebody waited.
            self.begin_resolution(target, link, Phase::Verify, now);
        }
        self.verify(target, now);
    }

    fn end_claim(&mut self, target: Ipv6Addr, now: Instant) -> Option<Claim> {
        let binding = self.bindings.get_mut(target)?;
        let claim = binding.claim.take()?;
        // A report says nothing of any address: that it was followed in vain delays no claim.
        if claim.evidence != Evidence::ListenerReport {
            binding.claim_decided = Some(now);
        }
        // Its probe need not be passed on any more.
        self.delayed.cancel_relays(target);
        Some(*claim)
    }

    /// A target has been confirmed at another place than where it was.
    pub(crate) fn move_to(
        &mut self,
        target: Ipv6Addr,
        link: LinkId,
        lladdr: LinkAddr,
        advert: Advert,
        now: Instant,
    ) {
        self.relocate(target, link, lladdr);
        self.confirm(target, Some(lladdr), advert, now);
    }

    /// The old place is silent and the claimant detects duplicates: the address will be its own
    /// when nobody else objects (RFC 6957 section 4.2.3.1).
    fn accept_dad_claim(&mut self, target: Ipv6Addr, now: Instant) {
        let Some(binding) = self.bindings.get_mut(target) else { return };
        let Some(claim) = binding.claim.take() else { return };
        let until = claim.tentative.unwrap_or(now);
        self.make_tentative(target, claim.link, claim.lladdr, until);
        self.update_binding_timer(target);
        if until <= now {
            self.on_binding_due(target, now);
        }
    }

    /// Gives a binding a new place whose owner is still detecting duplicates. The host route
    /// stays until the new place has answered, to be replaced in one step.
    pub(crate) fn make_tentative(
        &mut self,
        target: Ipv6Addr,
        link: LinkId,
        lladdr: LinkAddr,
        until: Instant,
    ) {
        self.relocate(target, link, lladdr);
        if let Some(binding) = self.bindings.get_mut(target) {
            binding.tentative = Some(until);
            binding.reachable_until = None;
            binding.verification = None;
            binding.solicited = None;
            binding.evidence = Evidence::Dad;
        }
    }

    /// Notes a new place, and the place that was confirmed last, in an earlier run maybe.
    fn relocate(&mut self, target: Ipv6Addr, link: LinkId, lladdr: LinkAddr) {
        let Some(from) = self.bindings.relocate(target, link, lladdr) else { return };
        self.watch_again(target);
        if let Some(binding) = self.bindings.get_mut(target)
            && binding.hearsay.is_none()
            && binding.moved_from.is_none()
        {
            binding.moved_from = Some(from);
        }
    }
}
