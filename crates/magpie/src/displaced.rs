//! Remembers for a while where hosts were that went with their link or their prefix.

use std::collections::BTreeMap;
use std::net::Ipv6Addr;
use std::time::Duration;

use magpie_engine::Instant;

use crate::state::Saved;

/// Hosts that lost their place while the daemon ran, and were not found since.
#[derive(Debug, Default)]
pub(crate) struct Displaced {
    /// By the time at which they lost it.
    hosts: BTreeMap<(Instant, Ipv6Addr), Saved>,
    /// When each of them lost it.
    since: BTreeMap<Ipv6Addr, Instant>,
}

impl Displaced {
    /// Remembers where a host was. If there are too many, the oldest is forgotten.
    pub(crate) fn insert(&mut self, host: Saved, now: Instant) {
        self.remove(host.target);
        self.since.insert(host.target, now);
        self.hosts.insert((now, host.target), host);
        if self.hosts.len() > MOST
            && let Some(((_, target), _)) = self.hosts.pop_first()
        {
            self.since.remove(&target);
        }
    }

    /// Forgets a host: where it is now is known.
    pub(crate) fn remove(&mut self, target: Ipv6Addr) {
        if let Some(since) = self.since.remove(&target) {
            self.hosts.remove(&(since, target));
        }
    }

    /// Forgets those that went long ago.
    pub(crate) fn expire(&mut self, now: Instant) {
        while let Some(entry) = self.hosts.first_entry()
            && now.since(entry.key().0) > LIFETIME
        {
            self.since.remove(&entry.key().1);
            entry.remove();
        }
    }

    /// Keeps only those that `keep` says to keep.
    pub(crate) fn retain(&mut self, mut keep: impl FnMut(&Saved) -> bool) {
        let since = &mut self.since;
        self.hosts.retain(|(_, target), host| {
            let is_kept = keep(host);
            if !is_kept {
                since.remove(target);
            }
            is_kept
        });
    }

    /// All of them, those that went first at the beginning.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Saved> {
        self.hosts.values()
    }

    /// Whether there is none.
    pub(crate) fn is_empty(&self) -> bool {
        self.hosts.is_empty()
    }
}

/// Hosts that are remembered at a time: more than a subnet usually has, and less than a megabyte.
const MOST: usize = 4096;
/// Time after which a host is not looked for any longer where it was.
const LIFETIME: Duration = Duration::from_secs(24 * 3600);

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
        assert!(displaced.iter().eq(&[saved(2, "lan", None), saved(1, "wan", None)]));
        displaced.remove(saved(2, "lan", None).target);
        displaced.remove(saved(3, "lan", None).target);
        assert!(displaced.iter().eq(&[saved(1, "wan", None)]));
        displaced.retain(|host| host.link != "wan");
        assert!(displaced.is_empty() && displaced.since.is_empty());
    }

    #[test]
    fn the_oldest_go_when_there_are_too_many_or_when_it_is_too_long_ago() {
        let mut displaced = Displaced::default();
        for number in 0..=u16::try_from(MOST).unwrap() {
            displaced.insert(saved(number, "lan", None), second(number.into()));
        }
        assert_eq!((displaced.hosts.len(), displaced.since.len()), (MOST, MOST));
        assert_eq!(displaced.iter().next(), Some(&saved(1, "lan", None)));
        displaced.expire(second(1) + LIFETIME);
        assert_eq!(displaced.iter().next(), Some(&saved(1, "lan", None)));
        displaced.expire(second(2) + LIFETIME);
        assert_eq!(displaced.iter().next(), Some(&saved(2, "lan", None)));
        displaced.expire(second(10_000) + LIFETIME);
        assert!(displaced.is_empty() && displaced.since.is_empty());
    }

    fn second(number: u64) -> Instant {
        Instant::ZERO + Duration::from_secs(number)
    }
}
