//! Remembers for a while where hosts were that went with their link or their prefix.

use std::collections::BTreeMap;
use std::net::Ipv6Addr;
use std::time::Duration;

use magpie_engine::Instant;

use crate::state::Saved;

/// Hosts that lost their place while the daemon ran, and were not found since.
#[derive(Debug, Default)]
pub(crate) struct Displaced {
    /// By the time until which they are looked for.
    hosts: BTreeMap<(Instant, Ipv6Addr), Saved>,
    /// Until when each of them is looked for.
    ends: BTreeMap<Ipv6Addr, Instant>,
}

impl Displaced {
    /// Remembers `until` then where a host was. If there are too many, the oldest is forgotten.
    pub(crate) fn insert(&mut self, host: Saved, until: Instant) {
        self.remove(host.target);
        self.ends.insert(host.target, until);
        self.hosts.insert((until, host.target), host);
        if self.hosts.len() > MOST
            && let Some(((_, target), _)) = self.hosts.pop_first()
        {
            self.ends.remove(&target);
        }
    }

    /// Forgets a host: where it is now is known.
    pub(crate) fn remove(&mut self, target: Ipv6Addr) {
        if let Some(until) = self.ends.remove(&target) {
            self.hosts.remove(&(until, target));
        }
    }

    /// Forgets those that went long ago.
    pub(crate) fn expire(&mut self, now: Instant) {
        while let Some(entry) = self.hosts.first_entry()
            && entry.key().0 < now
        {
            self.ends.remove(&entry.key().1);
            entry.remove();
        }
    }

    /// Keeps only those that `keep` says to keep, which is told until when that would be.
    pub(crate) fn retain(&mut self, mut keep: impl FnMut(&Saved, Instant) -> bool) {
        let ends = &mut self.ends;
        self.hosts.retain(|(until, target), host| {
            let is_kept = keep(host, *until);
            if !is_kept {
                ends.remove(target);
            }
            is_kept
        });
    }

    /// All of them, with the times until which they are looked for, those that went first at the
    /// beginning.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Saved, Instant)> {
        self.hosts.iter().map(|((until, _), host)| (host, *until))
    }

    /// Whether there is none.
    pub(crate) fn is_empty(&self) -> bool {
        self.hosts.is_empty()
    }
}

/// Hosts that are remembered at a time: more than a subnet usually has, and less than a megabyte.
pub(crate) const MOST: usize = 4096;
/// Time after which a host is not looked for any longer where it was.
pub(crate) const LIFETIME: Duration = Duration::from_secs(24 * 3600);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::samples::saved;

    #[test]
    fn each_host_is_remembered_once_at_its_last_place() {
        let mut displaced = Displaced::default();
        displaced.insert(saved(1, "lan", None), Instant::ZERO);
        displaced.insert(saved(2, "lan", None), Instant::ZERO);
        displaced.insert(saved(1, "wan", None), second(1));
        assert!(names(&displaced).eq(&[saved(2, "lan", None), saved(1, "wan", None)]));
        displaced.remove(saved(2, "lan", None).target);
        displaced.remove(saved(3, "lan", None).target);
        assert!(names(&displaced).eq(&[saved(1, "wan", None)]));
        displaced.retain(|host, _| host.link != "wan");
        assert!(displaced.is_empty() && displaced.ends.is_empty());
    }

    #[test]
    fn the_oldest_go_when_there_are_too_many_or_when_it_is_too_long_ago() {
        let mut displaced = Displaced::default();
        for number in 0..=u16::try_from(MOST).unwrap() {
            displaced.insert(saved(number, "lan", None), second(number.into()) + LIFETIME);
        }
        assert_eq!((displaced.hosts.len(), displaced.ends.len()), (MOST, MOST));
        assert_eq!(names(&displaced).next(), Some(&saved(1, "lan", None)));
        displaced.expire(second(1) + LIFETIME);
        assert_eq!(names(&displaced).next(), Some(&saved(1, "lan", None)));
        displaced.expire(second(2) + LIFETIME);
        assert_eq!(names(&displaced).next(), Some(&saved(2, "lan", None)));
        displaced.expire(second(10_000) + LIFETIME);
        assert!(displaced.is_empty() && displaced.ends.is_empty());
    }

    fn names(displaced: &Displaced) -> impl Iterator<Item = &Saved> {
        displaced.iter().map(|(host, _)| host)
    }

    fn second(number: u64) -> Instant {
        Instant::ZERO + Duration::from_secs(number)
    }
}
