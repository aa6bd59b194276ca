//! When to send Multicast Router Advertisements (RFC 4286), so that snooping switches deliver
//! solicitations for targets that nobody has joined the group of.
//!
//! Only where a querier speaks do switches prune; where none is heard, the initial
//! advertisements suffice and the link stays quiet.

use std::time::Duration;

use crate::engine::Engine;
use crate::{Instant, LinkId, Timer};

/// RFC 4286 section 6: default time between advertisements.
pub(crate) const ADVERTISEMENT_INTERVAL: Duration = Duration::from_secs(20);
/// RFC 4286 section 6: how many advertisements come quickly, and how quickly.
const MAX_INITIAL_ADVERTISEMENTS: u8 = 3;
const MAX_INITIAL_ADVERTISEMENT_INTERVAL: Duration = Duration::from_secs(2);
/// RFC 3810 section 9.5: Other Querier Present Timeout, 2 x 125 s + 10 s / 2.
const QUERIER_PRESENT: Duration = Duration::from_secs(255);

/// RFC 4286 section 6 allows two seconds before switches that ask are answered; sooner is better,
/// and random all the same.
const RESPONSE_DELAY: Duration = Duration::from_millis(500);

/// The advertising of one link.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct RouterDiscovery {
    sent: u8,
    querier_until: Option<Instant>,
}

impl RouterDiscovery {
    /// Starts over, as after the link came up.
    pub(crate) fn restart(&mut self) {
        self.sent = 0;
    }

    /// Notes a listener query.
    pub(crate) fn querier_heard(&mut self, now: Instant) {
        self.querier_until = Some(now + QUERIER_PRESENT);
    }

    /// Whether anything was ever advertised, so that it has to be taken back.
    pub(crate) fn advertised(&self) -> bool {
        self.sent > 0
    }

    /// Notes an advertisement; returns when the next one is due, if ever.
    pub(crate) fn sent(&mut self, rng: &mut fastrand::Rng, now: Instant) -> Option<Instant> {
        self.sent = self.sent.saturating_add(1);
        if self.sent < MAX_INITIAL_ADVERTISEMENTS {
            return Some(now + MAX_INITIAL_ADVERTISEMENT_INTERVAL);
        }
        self.querier_until.filter(|until| *until > now)?;
        // RFC 4286 section 3.1.1: a jitter of 2.5 % of the interval.
        Some(now + ADVERTISEMENT_INTERVAL.mul_f64(0.975 + 0.05 * rng.f64()))
    }
}

impl Engine {
    /// Notes that somebody queries listeners on a link: switches there prune.
    pub(crate) fn on_listener_query(&mut self, id: LinkId, now: Instant) {
        let Some(link) = self.links.get_mut(&id) else { return };
        link.router_discovery.querier_heard(now);
        if link.due.is_none() {
            self.hurry_router_discovery(id, now);
        }
    }

    /// Advertises to snooping switches soon; they may have just come up.
    pub(crate) fn hurry_router_discovery(&mut self, id: LinkId, now: Instant) {
        if !self.config.neighbor_discovery {
            return;
        }
        // There are no switches on bare links.
        let Some(link) = self.links.get_mut(&id).filter(|link| !link.is_bare()) else { return };
        let soon = now + RESPONSE_DELAY.mul_f64(self.rng.f64());
        if link.due.is_none_or(|due| due > soon) {
            self.timers.set(&mut link.due, Timer::Link(id), Some(soon));
        }
    }

    pub(crate) fn on_router_discovery_due(&mut self, id: LinkId, now: Instant) {
        if let Some(link) = self.links.get_mut(&id) {
            link.due = None;
        }
        if self.advertise_multicast_router(id, true)
            && let Some(link) = self.links.get_mut(&id)
        {
            let next = link.router_discovery.sent(&mut self.rng, now);
            self.timers.set(&mut link.due, Timer::Link(id), next);
        }
    }
}
