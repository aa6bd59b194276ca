//! The reflector in the engine: what it is given, and what is done about what it says.

use std::net::{IpAddr, Ipv6Addr};

use magpie_wire::LinkAddr;

use crate::engine::Engine;
use crate::mdns::{NameView, Reflector, Scene};
use crate::{Evidence, Instant, LinkId};

/// Addresses in one packet that are looked for at once.
const MOST_WANTED: usize = 16;

impl Engine {
    pub(crate) fn on_datagram(&mut self, link: LinkId, bytes: &[u8], now: Instant) {
        let received =
            self.with_reflector(now, |reflector, scene| reflector.receive(scene, link, bytes));
        if let Some(Err(reason)) = received {
            self.counters.count_malformed(reason);
        }
    }

    /// Lets the reflector work, and does what it says.
    pub(crate) fn with_reflector<T>(
        &mut self,
        now: Instant,
        work: impl FnOnce(&mut Reflector, Scene<'_>) -> T,
    ) -> Option<T> {
        let mut reflector = self.reflector.take()?;
        std::mem::swap(&mut reflector.counters, &mut self.counters.names);
        let mdns = self.config.mdns.as_ref();
        let result = mdns.map(|mdns| work(&mut reflector, Scene { engine: self, mdns, now }));
        std::mem::swap(&mut reflector.counters, &mut self.counters.names);
        self.outputs.extend(reflector.outbox.drain(..));
        self.reflector = Some(reflector);
        result
    }

    /// Does what is left of the last datagram when what crosses is on its way.
    pub(crate) fn conclude_datagram(&mut self) {
        let now = self.clock;
        let Some(reflector) = &mut self.reflector else { return };
        reflector.conclude(now);
        self.outputs.extend(reflector.outbox.drain(..));
        if reflector.wanted.is_empty() {
            return;
        }
        let mut wanted = std::mem::take(&mut reflector.wanted);
        wanted.sort_unstable();
        wanted.dedup();
        for (target, link, lladdr) in wanted.into_iter().take(MOST_WANTED) {
            self.expect_packets_for(target, link, lladdr, now);
        }
        self.update_shared_timers();
    }

    /// Somebody has just learned the address of a host, and is about to talk to it: the host is
    /// verified and its route made now, so that the first packet finds it.
    ///
    /// Whoever invents addresses must not take the place of hosts that are there: names have a
    /// budget of their own for what was not known before, and what exceeds it is found when it is
    /// asked for.
    fn expect_packets_for(
        &mut self,
        target: Ipv6Addr,
        link: LinkId,
        lladdr: LinkAddr,
        now: Instant,
    ) {
        if !self.config.neighbor_discovery || !self.is_sought_at(target, link) {
            return;
        }
        match self.bindings.get(target) {
            _ if self.is_own_address(target, link) => {}
            Some(known) if known.tentative.is_some() => {}
            Some(known) if known.link != link => {
                // Who speaks of it here may know better: it is asked, once the known place has been.
                if known.is_unclaimed(now) && self.may_look_ahead(link, now) {
                    self.begin_claim(target, link, lladdr, Evidence::Name, now);
                }
            }
            Some(known) if known.is_reachable(now) => {}
            Some(_) => self.verify(target, now),
            None => {
                if self.may_look_ahead(link, now)
                    && self.may_hear_of(link, now)
                    && self.learn(target, link, None, Evidence::Name, now)
                {
                    self.verify_at(target, link, now);
                }
            }
        }
    }

    /// Whether one more host may be looked for on a link for the sake of its name.
    fn may_look_ahead(&mut self, link: LinkId, now: Instant) -> bool {
        let reflector = self.reflector.as_mut();
        reflector.is_some_and(|reflector| reflector.budgets.may_look_ahead(link, now))
    }

    /// Takes over other settings.
    pub(crate) fn configure_names(&mut self) {
        let Some(mdns) = &self.config.mdns else {
            self.reflector = None;
            return;
        };
        match &mut self.reflector {
            Some(reflector) => reflector.configure(mdns),
            none => *none = Some(Box::new(Reflector::new(mdns, self.rng.u64(..)))),
        }
    }

    pub(crate) fn resume_names(&mut self) {
        if let Some(reflector) = &mut self.reflector {
            reflector.resume();
        }
    }

    pub(crate) fn forget_names_on(&mut self, link: LinkId) {
        if let Some(reflector) = &mut self.reflector {
            reflector.forget_link(link);
        }
    }

    /// Returns the records that were seen, by link and name.
    pub fn names(&self, now: Instant) -> impl Iterator<Item = NameView> + '_ {
        self.reflector.iter().flat_map(move |reflector| reflector.judge.views(now))
    }

    /// Returns the names of an address, and on which links they are its names.
    pub fn names_of(
        &self,
        address: IpAddr,
        now: Instant,
    ) -> impl Iterator<Item = (LinkId, String)> {
        let reflector = self.reflector.iter();
        reflector.flat_map(move |reflector| reflector.judge.names_of(address, now))
    }

    /// Returns the other reflectors that were recognized, and where they send.
    pub fn other_reflectors(&self, now: Instant) -> impl Iterator<Item = (LinkId, IpAddr)> + '_ {
        self.reflector.iter().flat_map(move |reflector| reflector.peers.reflectors(now))
    }
}
