//! Deadlines by what they are for.

use std::collections::BTreeSet;
use std::net::Ipv6Addr;

use crate::{Instant, LinkId};

/// The purpose of a deadline.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Timer {
    /// A binding: end of its tentative time, verification, upkeep or the verdict on a claim.
    Binding(Ipv6Addr),
    /// A resolution: the next round of solicitations, or giving up.
    Resolution(Ipv6Addr),
    /// A host route that the kernel refused is tried again.
    Route(Ipv6Addr),
    /// A link: the next Multicast Router Advertisement.
    Link(LinkId),
    /// A link: the next announcement that nobody asked for.
    Notice(LinkId),
    /// A link: packets that leave by it are looked at again.
    Data(LinkId),
    /// A link: more of its hosts are verified.
    Recheck(LinkId),
    /// A link: groups that waited are joined and left.
    Groups(LinkId),
    /// A message that had to wait.
    Delayed,
    /// Host routes of a predecessor that belong to no known prefix are removed.
    Leftovers,
    /// A prefix that routers announced ends.
    Prefix,
}

/// When to wake the engine, and why.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Wakeup {
    /// When.
    pub at: Instant,
    /// What becomes due then.
    pub reason: Timer,
}

/// All deadlines, at most one for each purpose.
///
/// Whoever sets a deadline keeps it too, in a slot of its own, so that it can be moved.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    queue: BTreeSet<(Instant, Timer)>,
}

impl Timers {
    /// Moves the deadline in `slot` to `at`, or cancels it.
    pub(crate) fn set(&mut self, slot: &mut Option<Instant>, timer: Timer, at: Option<Instant>) {
        if *slot == at {
            return;
        }
        if let Some(old) = slot.take() {
            self.queue.remove(&(old, timer));
        }
        if let Some(new) = at {
            self.queue.insert((new, timer));
            *slot = Some(new);
        }
    }

    pub(crate) fn first(&self) -> Option<Wakeup> {
        self.queue.first().map(|&(at, reason)| Wakeup { at, reason })
    }

    /// Takes the earliest deadline that has come; its owner's slot must be emptied.
    pub(crate) fn pop(&mut self, now: Instant) -> Option<Timer> {
        let (at, _) = *self.queue.first()?;
        if at > now {
            return None;
        }
        self.queue.pop_first().map(|(_, timer)| timer)
    }

    pub(crate) fn len(&self) -> usize {
        self.queue.len()
    }

    pub(crate) fn clear(&mut self) {
        self.queue.clear();
    }
}
