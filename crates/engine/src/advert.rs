//! Neighbor Advertisements that come in: what they prove, and what they only claim (RFC 4861
//! section 7.2.5, RFC 9131).

use std::time::Duration;

use magpie_wire::{ALL_NODES, Advert, LinkAddr, Packet};

use crate::bare;
use crate::binding::is_by_owner;
use crate::engine::Engine;
use crate::{Discard, Event, Evidence, Instant, LinkId, Lost};

/// Defenses of addresses not known before that one station may make, and in which time.
const MOST_DEFENSES: u32 = 16;
const DEFENSES_WINDOW: Duration = Duration::from_secs(300);

impl Engine {
    pub(crate) fn on_advert(
        &mut self,
        id: LinkId,
        packet: &Packet<'_>,
        advert: Advert,
        now: Instant,
    ) {
        self.counters.adverts_received += 1;
        let target = advert.target;
        // Our own advertisement, reflected or bridged (RFC 4389 section 6).
        if advert.target_lladdr.is_some_and(|lladdr| self.link_of_lladdr(lladdr).is_some()) {
            return self.counters.count(Discard::OwnLinkAddr);
        }
        if self.is_own_address(target, id) {
            self.report_own_address(id, target, packet.ethernet_source, now);
            return self.counters.count(Discard::OwnTarget);
        }
        // Another proxy's word is no sign that the target is here.
        if is_by_owner(&advert) {
            self.sight(target, id, now);
        }
        if !self.is_sought(target) {
            return self.counters.count(Discard::OutOfScope);
        }
        if advert.solicited {
            // RFC 4861 section 7.3.1: only the answer to a solicitation proves anything.
            // An answer to a unicast solicitation may omit the option (section 7.2.4).
            let from = advert.target_lladdr.unwrap_or(packet.ethernet_source);
            if self.on_answer(id, from, advert, now) {
                return;
            }
            // On a bare link the target itself was asked whether it is a duplicate.
            let was_asked = self
                .links
                .get(&id)
                .is_some_and(|link| link.is_bare() && link.asked.contains(target, now));
            if was_asked && self.on_defense(id, advert, now) {
                return;
            }
        } else if packet.destination == ALL_NODES && self.on_defense(id, advert, now) {
            return;
        }
        self.on_unsolicited(id, packet.ethernet_source, advert, now);
    }

    /// Takes an advertisement as the answer to a solicitation, if one is outstanding there.
    fn on_answer(&mut self, id: LinkId, from: LinkAddr, advert: Advert, now: Instant) -> bool {
        let target = advert.target;
        if let Some(binding) = self.bindings.get_mut(target) {
            if let Some(claim) = &binding.claim
                && claim.link == id
                && claim.lladdr == from
                && (binding.link != id || binding.lladdr != Some(claim.lladdr))
            {
                if claim.tentative.is_none() {
                    self.confirm_claim(target, advert, now);
                }
                return true;
            }
            if binding.link == id && binding.expects_answer(now) {
                return self.on_answer_from_place(advert, now);
            }
        }
        let Some(resolution) = self.resolutions.get(&target) else { return false };
        if !self.member(id).is_some_and(|member| resolution.searches(id, member)) {
            return false;
        }
        // RFC 4861 section 7.2.5: without the address that was asked for, it is no answer.
        let Some(lladdr) = advert.target_lladdr else {
            self.counters.count(Discard::NoLinkAddr);
            return true;
        };
        self.on_found(id, lladdr, advert, now);
        true
    }

    /// An answer came from the link where the target is known to be.
    fn on_answer_from_place(&mut self, advert: Advert, now: Instant) -> bool {
        let target = advert.target;
        let searching = self.is_searched_for(target);
        let Some(binding) = self.bindings.get_mut(target) else { return false };
        match (binding.lladdr, advert.target_lladdr) {
            // RFC 4861 section 7.2.5: a multicast question wants the link-layer address.
            (None, None) => {
                self.counters.count(Discard::NoLinkAddr);
                return true;
            }
            // RFC 4861 section 7.2.5, case I of the table in appendix C: another address without
            // the O flag only casts doubt on the known one.
            // Everybody is asked, since the known place was silent: what was known there counts for
            // nothing any more (RFC 4861 section 7.3.3), and another proxy's answer is an answer.
            (Some(known), Some(lladdr)) if known != lladdr && !advert.overrides && !searching => {
                if binding.is_reachable(now) {
                    binding.reachable_until = None;
                    self.verify(target, now);
                }
                return true;
            }
            _ => {}
        }
        self.confirm(target, advert.target_lladdr, advert, now);
        true
    }

    /// A search has found its target.
    fn on_found(&mut self, id: LinkId, lladdr: LinkAddr, advert: Advert, now: Instant) {
        let target = advert.target;
        match self.bindings.get(target).map(|binding| binding.link) {
            // Its old place was silent before the search began.
            Some(_) => self.move_to(target, id, lladdr, advert, now),
            None => {
                if self.learn(target, id, Some(lladdr), Evidence::Advertisement, now) {
                    self.confirm(target, Some(lladdr), advert, now);
                } else {
                    self.end_resolution(target);
                }
            }
        }
    }

    /// Takes an advertisement to all nodes as the defense of an address that somebody on another
    /// link is about to take (RFC 4862 section 5.4.4), and passes it on to that link only.
    fn on_defense(&mut self, id: LinkId, advert: Advert, now: Instant) -> bool {
        let target = advert.target;
        let Some(binding) = self.bindings.get_mut(target) else { return false };
        if let Some(claim) = &binding.claim
            && claim.tentative.is_some()
            && claim.link != id
            && binding.link == id
        {
            binding.seen = now;
            self.reject_claim(target, now);
            return true;
        }
        if binding.tentative.is_none() || binding.link == id {
            return false;
        }
        let Some(lladdr) = advert.target_lladdr else { return false };
        let (claimant, claimant_lladdr) = (binding.link, binding.lladdr);
        if claimant_lladdr.is_some_and(|known| bare::is_same((claimant, known), (id, lladdr))) {
            // The same station is on both links: no duplicate.
            return false;
        }
        // A station that defends whatever is asked for is not believed for long (RFC 3756 section
        // 4.1.3): nobody owns that many addresses that others happen to choose.
        if !self.defenses.take((id, lladdr), MOST_DEFENSES, DEFENSES_WINDOW, now) {
            self.refuse(id, Discard::Defenses, now);
            return true;
        }
        self.advertise_to_all(claimant, target, advert.router, false);
        self.report(Event::Duplicate {
            target,
            owner: id,
            claimant,
            lladdr: claimant_lladdr.and_then(bare::named),
        });
        self.forget(target, Lost::Duplicate);
        self.on_hint(target, id, lladdr, Evidence::Advertisement, now);
        true
    }

    /// Takes an advertisement that answers nothing as a hint, or as a claim.
    fn on_unsolicited(&mut self, id: LinkId, from: LinkAddr, advert: Advert, now: Instant) {
        let target = advert.target;
        // Our kernel's unicast solicitation may be answered without the option, on a link that
        // the station has moved to.
        let moved = advert.solicited
            && self.bindings.get(target).is_some_and(|known| known.lladdr == Some(from));
        let Some(lladdr) = advert.target_lladdr.or(moved.then_some(from)) else {
            return self.counters.count(Discard::NoLinkAddr);
        };
        let known = self.bindings.get(target);
        if !is_by_owner(&advert)
            && known
                .is_some_and(|known| known.link != id && known.by_owner && known.is_reachable(now))
        {
            // Another proxy speaks of a target that we know first-hand.
            return self.counters.count(Discard::Unsolicited);
        }
        if let Some(binding) = self.bindings.get_mut(target)
            && binding.link == id
        {
            match binding.lladdr {
                Some(known) if known != lladdr => {
                    if advert.overrides {
                        // RFC 4861 section 7.2.5: it replaces the known address, after it has
                        // been verified.
                        return self.on_hint(target, id, lladdr, Evidence::Advertisement, now);
                    }
                    // Without the O flag it only casts doubt (RFC 4861 appendix C).
                    if binding.is_reachable(now) {
                        binding.reachable_until = None;
                        self.verify(target, now);
                    }
                    return;
                }
                Some(_) => {
                    binding.seen = now;
                    return self.counters.count(Discard::Unsolicited);
                }
                None => {}
            }
        }
        self.on_hint(target, id, lladdr, Evidence::Advertisement, now);
    }
}
