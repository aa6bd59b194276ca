//! Duplicate address detection across links (RFC 4862 section 5.4, RFC 4389 section 4.1.3.1, RFC
//! 6957 section 4.2).
//!
//! A probe is passed on to the other links, never defended from memory. Its nonce stays as it is,
//! so that whoever sent it knows it again (RFC 7527), and so that a probe that another proxy
//! passes on is told from one by somebody else.

use std::collections::VecDeque;
use std::net::Ipv6Addr;
use std::time::Duration;

use magpie_wire::{LinkAddr, Nonce, Solicit};

use crate::bare;
use crate::delayed::Delayed;
use crate::engine::Engine;
use crate::{Decision, Discard, Evidence, Instant, LinkId, Members};

/// How long a host waits for objections: RFC 4862 section 5.4, `RetransTimer`, for each probe.
const TENTATIVE_TIME: Duration = Duration::from_secs(1);
/// A probe that comes again within this time is an echo: hosts wait a second between two.
const ECHO_WINDOW: Duration = Duration::from_millis(500);
/// Head start of the listener report before the probe that needs the membership (RFC 4862
/// section 5.4.2): Linux sends it within two ticks.
const REPORT_TIME: Duration = Duration::from_millis(20);

/// Hosts that probe several times wait a second in between (RFC 4862 section 5.1); what comes
/// faster is not passed on.
const RELAY_INTERVAL: Duration = Duration::from_millis(900);
/// Relayed probes of one link that are remembered: more than its budget allows in the time.
const MOST_RELAYED: usize = 2048;
/// How long a probe can take to come back through other proxies.
const RETURN_TIME: Duration = Duration::from_secs(5);

/// The latest probes, so that one is known again when another proxy passes it on, or a link
/// echoes it.
#[derive(Debug, Default)]
pub(crate) struct ProbeMemory {
    probes: VecDeque<SeenProbe>,
}

#[derive(Debug)]
struct SeenProbe {
    target: Ipv6Addr,
    nonce: Option<Nonce>,
    link: LinkId,
    lladdr: LinkAddr,
    at: Instant,
}

impl ProbeMemory {
    const CAP: usize = 512;

    /// Whether this probe was seen before: on another link, or a moment ago on this one.
    fn is_echo(&self, probe: &SeenProbe) -> bool {
        self.probes.iter().rev().filter(|seen| seen.target == probe.target).any(|seen| {
            let age = probe.at.since(seen.at);
            let elsewhere = seen.link != probe.link;
            let is_same = bare::is_same((seen.link, seen.lladdr), (probe.link, probe.lladdr));
            match (seen.nonce, probe.nonce) {
                (Some(known), Some(nonce)) if known == nonce => {
                    age < if elsewhere { RETURN_TIME } else { ECHO_WINDOW }
                }
                // Without a nonce, what another proxy passes on looks like somebody else's. To
                // pass that back would take the address from its owner, so it is taken for an
                // echo; two hosts that choose the same address within the same second, on
                // different links and without nonces, are not told of each other. The same
                // station needs some time to move to another link.
                (None, None) if elsewhere && !is_same => age < TENTATIVE_TIME,
                (None, None) => is_same && age < ECHO_WINDOW,
                _ => false,
            }
        })
    }

    fn remember(&mut self, probe: SeenProbe) {
        if self.probes.len() >= Self::CAP {
            self.probes.pop_front();
        }
        self.probes.push_back(probe);
    }
}

impl Engine {
    /// Handles a probe for `solicit.target` from the station `lladdr`.
    pub(crate) fn on_dad(&mut self, id: LinkId, lladdr: LinkAddr, solicit: Solicit, now: Instant) {
        self.counters.solicits_received += 1;
        let Solicit { target, nonce, .. } = solicit;
        if self.links.get(&id).is_some_and(|link| link.owns(target)) {
            return self.counters.count(Discard::OwnTarget);
        }
        let decision = self.decide(target, id);
        if decision == Decision::Deny {
            return self.counters.count(Discard::Denied);
        }
        if self.is_own_address(target, id) {
            if decision == Decision::Uncovered && !self.relays_subnet_to(id) {
                return self.counters.count(Discard::OutOfScope);
            }
            return self.defend_own(id, target, lladdr, now);
        }
        let to = match decision {
            Decision::Static { prefix_len } => {
                return self.defend_by_rule(target, id, prefix_len, now);
            }
            // A host that we found ourselves is asked, whatever rule holds here: its route is
            // ours and proves nothing.
            Decision::Route if self.bindings.get(target).is_some() => Members::NONE,
            Decision::Route => return self.defend_by_route(target, id, now),
            Decision::Probe(to) if self.has_route_away(target, id, to) => {
                return self.defend(target, id, now);
            }
            Decision::Probe(to) => to,
            // Nobody who asks there is answered, but it may be asked for elsewhere.
            Decision::Uncovered if self.is_sought_at(target, id) => Members::NONE,
            Decision::Uncovered | Decision::Deny => {
                return self.counters.count(Discard::OutOfScope);
            }
        };
        let probe = SeenProbe { target, nonce, link: id, lladdr, at: now };
        if self.probes_seen.is_echo(&probe) {
            self.delayed.cancel_relay(id, target);
            return self.counters.count(Discard::DadRepeated);
        }
        self.probes_seen.remember(probe);
        self.end_hold_down(target);
        let until = now + TENTATIVE_TIME;
        match self.bindings.get_mut(target) {
            None => {
                if !self.may_hear_of(id, now)
                    || !self.learn(target, id, Some(lladdr), Evidence::Dad, now)
                {
                    return;
                }
                self.make_tentative(target, id, lladdr, until);
            }
            // The station that is known to have the address checks it again, or has moved: no
            // duplicate (RFC 4389 section 3).
            Some(binding)
                if binding
                    .lladdr
                    .is_none_or(|known| bare::is_same((binding.link, known), (id, lladdr))) =>
            {
                binding.claim = None;
                self.make_tentative(target, id, lladdr, until);
            }
            Some(_) => self.begin_dad_claim(target, id, lladdr, until, now),
        }
        self.update_binding_timer(target);
        self.join_everywhere(target);
        self.relay_from(id, target, to, nonce, now);
    }

    /// Passes a probe on to all links but its own, behind the listener report for its group, and
    /// no faster than hosts probe.
    fn relay_from(
        &mut self,
        id: LinkId,
        target: Ipv6Addr,
        to: Members,
        nonce: Option<Nonce>,
        now: Instant,
    ) {
        let mut last = None;
        while let Some(other) = self.link_after(last) {
            last = Some(other);
            let Some(link) = self.links.get_mut(&other) else { continue };
            if other == id || !to.contains(link.info.member) {
                continue;
            }
            if link.relayed.contains(target, now) {
                self.counters.count(Discard::DadRepeated);
            } else if link.probes.take(now) {
                link.relayed.insert(target, now + RELAY_INTERVAL, MOST_RELAYED, now);
                self.join_first(other, target);
                let relay = Delayed::RelayDad { link: other, target, nonce };
                self.delay(now + REPORT_TIME, relay);
            } else {
                self.counters.count(Discard::SolicitRate);
            }
        }
    }

    /// This host has the address on another link, and is alive: no need to ask.
    fn defend_own(&mut self, id: LinkId, target: Ipv6Addr, lladdr: LinkAddr, now: Instant) {
        // One that is tentative itself may be this very probe, passed on by another proxy.
        if self.own.holds(target) {
            self.report_own_address(id, target, lladdr, now);
            self.advertise_to_all(id, target, true, false);
        }
    }
}
