//! Messages that have to wait for their time.

use std::collections::BTreeMap;
use std::net::Ipv6Addr;

use magpie_wire::Nonce;

use crate::resolution::Asker;
use crate::{Instant, LinkId};

/// A message to be sent later, if it is still true then.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Delayed {
    /// Duplicate address detection, behind the listener report for its group.
    RelayDad { link: LinkId, target: Ipv6Addr, nonce: Option<Nonce> },
    /// An answer to a multicast solicitation, where other proxies may answer too.
    Answer { asker: Asker, target: Ipv6Addr },
}

/// The waiting messages, in the order of their times.
#[derive(Debug, Default)]
pub(crate) struct DelayedQueue {
    queue: BTreeMap<(Instant, u64), Delayed>,
    next: u64,
}

impl DelayedQueue {
    const CAP: usize = 1024;

    /// Takes a message; tells whether there was room.
    pub(crate) fn push(&mut self, at: Instant, delayed: Delayed) -> bool {
        if self.queue.len() >= Self::CAP {
            return false;
        }
        self.next += 1;
        self.queue.insert((at, self.next), delayed);
        true
    }

    pub(crate) fn pop(&mut self, now: Instant) -> Option<Delayed> {
        let first = self.queue.first_entry().filter(|entry| entry.key().0 <= now)?;
        Some(first.remove())
    }

    /// Takes back a probe that was to be passed on to `to`, where it is known already.
    pub(crate) fn cancel_relay(&mut self, to: LinkId, probed: Ipv6Addr) {
        self.retain_relays(|link, target| (link, target) != (to, probed));
    }

    /// Takes back all probes for an address whose owner has been found.
    pub(crate) fn cancel_relays(&mut self, probed: Ipv6Addr) {
        self.retain_relays(|_, target| target != probed);
    }

    pub(crate) fn first(&self) -> Option<Instant> {
        self.queue.keys().next().map(|(at, _)| *at)
    }

    pub(crate) fn len(&self) -> usize {
        self.queue.len()
    }

    pub(crate) fn clear(&mut self) {
        self.queue.clear();
    }

    fn retain_relays(&mut self, keep: impl Fn(LinkId, Ipv6Addr) -> bool) {
        self.queue.retain(|_, delayed| match delayed {
            Delayed::RelayDad { link, target, .. } => keep(*link, *target),
            Delayed::Answer { .. } => true,
        });
    }
}
