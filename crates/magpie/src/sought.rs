//! Keeps hosts that are looked for where they were until they are found, and says when to look
//! again.

use std::collections::BTreeMap;
use std::net::Ipv6Addr;
use std::time::Duration;

use magpie_engine::Instant;

use crate::displaced::MOST;
use crate::state::Saved;

/// Hosts that were asked where they had been, and did not answer yet.
#[derive(Debug, Default)]
pub(crate) struct Sought {
    hosts: BTreeMap<Ipv6Addr, Search>,
    /// When to look again; not later than for any of them.
    due: Option<Instant>,
}

#[derive(Debug)]
struct Search {
    host: Saved,
    /// Until when it is remembered.
    until: Instant,
    /// When it is asked again; none after the last time.
    at: Option<Instant>,
    /// How often it was asked again.
    repeats: usize,
}

impl Sought {
    /// Takes note that a host was asked that is to be remembered `until` then. If there are too many
    /// it is not asked again.
    pub(crate) fn insert(&mut self, host: Saved, until: Instant, now: Instant) {
        if self.hosts.len() < MOST {
            let at = PAUSES.first().map(|pause| now + *pause);
            self.hosts.insert(host.target, Search { host, until, at, repeats: 0 });
            self.due = [self.due, at].into_iter().flatten().min();
        }
    }

    /// Forgets a host: where it is now is known.
    pub(crate) fn remove(&mut self, target: Ipv6Addr) {
        if self.hosts.remove(&target).is_some() && self.hosts.is_empty() {
            self.due = None;
        }
    }

    /// Whether a host is looked for.
    pub(crate) fn contains(&self, target: Ipv6Addr) -> bool {
        self.hosts.contains_key(&target)
    }

    /// When to look again; none while there is nobody to look for.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.due
    }

    /// Looks again for those that it is time for. Returns those that `place` does not take, since
    /// their place is gone, with the times until which they are remembered.
    pub(crate) fn look(
        &mut self,
        mut place: impl FnMut(&Saved) -> bool,
        now: Instant,
    ) -> Vec<(Saved, Instant)> {
        let is_due = |search: &Search| search.at.is_some_and(|at| at <= now);
        let mut gone = Vec::new();
        for search in self.hosts.values_mut().filter(|search| is_due(search)) {
            search.repeats += 1;
            search.at = PAUSES.get(search.repeats).map(|pause| now + *pause);
            if !place(&search.host) {
                gone.push((search.host.clone(), search.until));
            }
        }
        for (host, _) in &gone {
            self.hosts.remove(&host.target);
        }
        self.expire(now);
        self.due = self.hosts.values().filter_map(|search| search.at).min();
        gone
    }

    /// Takes out those on a link, with the times until which they are remembered.
    pub(crate) fn take_on(&mut self, link: &str) -> Vec<(Saved, Instant)> {
        self.take(|search| search.host.link == link)
    }

    /// Takes out those that are not asked again, with the times until which they are remembered.
    pub(crate) fn take_resting(&mut self) -> Vec<(Saved, Instant)> {
        self.take(|search| search.at.is_none())
    }

    /// Whether there are any that are not asked again.
    pub(crate) fn has_resting(&self) -> bool {
        self.hosts.values().any(|search| search.at.is_none())
    }

    fn take(&mut self, is_wanted: impl Fn(&Search) -> bool) -> Vec<(Saved, Instant)> {
        let mut taken = Vec::new();
        self.hosts.retain(|_, search| {
            let is_taken = is_wanted(search);
            if is_taken {
                taken.push((search.host.clone(), search.until));
            }
            !is_taken
        });
        taken
    }

    /// Forgets those that went long ago.
    pub(crate) fn expire(&mut self, now: Instant) {
        self.hosts.retain(|_, search| search.until >= now);
    }

    /// All of them, with the times until which they are remembered.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Saved, Instant)> {
        self.hosts.values().map(|search| (&search.host, search.until))
    }

    /// Whether there is none.
    pub(crate) fn is_empty(&self) -> bool {
        self.hosts.is_empty()
    }
}

/// A host is asked again after these: it may come up later than its link, or than this one.
const PAUSES: [Duration; 3] =
    [Duration::from_secs(5), Duration::from_secs(30), Duration::from_secs(120)];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::samples::saved;

    #[test]
    fn a_silent_host_is_asked_again_a_few_times_and_then_rests() {
        let mut sought = Sought::default();
        let host = saved(1, "lan", None);
        let end = second(10_000);
        sought.insert(host.clone(), end, Instant::ZERO);
        let (mut asked, mut waits) = (0, Vec::new());
        let mut now = Instant::ZERO;
        while let Some(at) = sought.due() {
            assert!(!sought.has_resting());
            waits.push(at.since(now).as_secs());
            now = at;
            let gone = sought.look(
                |_| {
                    asked += 1;
                    true
                },
                now,
            );
            assert_eq!(gone, []);
        }
        assert_eq!((asked, waits), (3, vec![5, 30, 120]));
        assert!(sought.has_resting() && sought.contains(host.target));
        assert_eq!(sought.take_resting(), [(host, end)]);
        assert!(sought.is_empty());
    }

    #[test]
    fn nothing_is_due_for_a_host_that_was_found_has_no_place_or_is_too_long_gone() {
        let mut sought = Sought::default();
        let host = saved(1, "lan", None);
        sought.insert(host.clone(), second(100), Instant::ZERO);
        sought.remove(host.target);
        assert_eq!(sought.due(), None);

        sought.insert(host.clone(), second(100), Instant::ZERO);
        assert_eq!(sought.look(|_| false, second(5)), [(host.clone(), second(100))]);
        assert!(sought.is_empty() && sought.due().is_none());

        sought.insert(host.clone(), second(100), Instant::ZERO);
        sought.look(|_| true, second(101));
        assert!(sought.is_empty() && sought.due().is_none());

        sought.insert(host.clone(), second(100), Instant::ZERO);
        assert_eq!(sought.take_on("wan"), []);
        assert_eq!(sought.take_on("lan"), [(host, second(100))]);
    }

    fn second(number: u64) -> Instant {
        Instant::ZERO + Duration::from_secs(number)
    }
}
