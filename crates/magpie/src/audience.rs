//! Keeps a link in the groups of the services that are looked for there.

use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use magpie_engine::{Instant, LinkId};
use magpie_sys::group::{GroupError, LinkGroups};
use magpie_sys::packet::Services;

use crate::Chain;

/// The memberships of one link, and what is in the way of those that are missing.
///
/// Datagrams come without them too, but for switches that look who listens (RFC 4541).
#[derive(Debug)]
pub(crate) struct Audience {
    link: LinkId,
    wanted: Vec<IpAddr>,
    groups: Option<LinkGroups>,
    /// Those of them that the kernel has ended, as far as that was noticed.
    lost: Vec<Ipv6Addr>,
    shortcoming: Option<String>,
    /// When to try again; none while there is nothing to try, or while only news of the link can
    /// change anything.
    retry_at: Option<Instant>,
    /// Attempts that failed in succession.
    failures: u32,
}

impl Audience {
    /// Starts with nothing joined.
    pub(crate) fn new(link: LinkId, services: Services) -> Self {
        Self {
            link,
            wanted: services.groups().collect(),
            groups: None,
            lost: Vec::new(),
            shortcoming: None,
            retry_at: None,
            failures: 0,
        }
    }

    /// Joins what is not joined yet; returns what is in the way if that is news.
    pub(crate) fn join(&mut self, now: Instant) -> Option<String> {
        if self.count() == self.wanted.len() || self.retry_at.is_some_and(|at| at > now) {
            return None;
        }
        let before = self.shortcoming.take();
        self.retry_at = None;
        let Err(error) = self.try_join() else {
            self.failures = 0;
            return None;
        };
        // Where there is no IPv6 there is none until the kernel has news of the link.
        if !matches!(error, GroupError::NoLink { .. }) {
            let pause = SHORTEST_PAUSE.saturating_mul(1 << self.failures.min(6));
            self.retry_at = Some(now + pause);
            self.failures = self.failures.saturating_add(1);
        }
        let reason = Chain(&error).to_string();
        let is_news = before.as_ref() != Some(&reason);
        self.shortcoming = Some(reason.clone());
        is_news.then_some(reason)
    }

    /// Takes note of the memberships that the kernel has ended by itself: those that `is_there` says
    /// are not there. Returns how many there are.
    pub(crate) fn note_lost(&mut self, is_there: impl Fn(u32, Ipv6Addr) -> bool) -> usize {
        self.lost = self.groups.iter().flat_map(|groups| groups.lost(&is_there)).collect();
        self.lost.len()
    }

    /// Joins again what was noted; returns how much that was.
    pub(crate) fn restore(&mut self, now: Instant) -> usize {
        let mut lost = std::mem::take(&mut self.lost);
        if let Some(groups) = &mut self.groups {
            // The socket thinks that it is in the group as yet, and would not enter it again.
            lost.retain(|group| groups.leave(*group));
        }
        if !lost.is_empty() {
            self.join(now);
        }
        lost.len()
    }

    /// When to try again by itself.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.retry_at
    }

    /// What is in the way of what is not joined.
    pub(crate) fn shortcoming(&self) -> Option<&str> {
        self.shortcoming.as_deref()
    }

    /// Counts the groups joined.
    pub(crate) fn count(&self) -> usize {
        self.groups.as_ref().map_or(0, LinkGroups::len)
    }

    /// Tries all, and returns the first error.
    fn try_join(&mut self) -> Result<(), GroupError> {
        let groups = match &mut self.groups {
            Some(groups) => groups,
            None => self.groups.insert(LinkGroups::new(self.link.0)?),
        };
        let attempts: Vec<Result<(), GroupError>> =
            self.wanted.iter().map(|group| groups.join(*group)).collect();
        attempts.into_iter().collect()
    }
}

/// Time before the second attempt; each further one waits twice as long, up to 64 times.
const SHORTEST_PAUSE: Duration = Duration::from_secs(1);
