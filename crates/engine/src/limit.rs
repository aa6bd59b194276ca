//! Rates and memories of bounded size.

use std::collections::{BTreeMap, VecDeque};
use std::ops::RangeBounds;
use std::time::Duration;

use magpie_wire::Nonce;

use crate::Instant;

/// Allows so many events a second, and as many at once or more.
#[derive(Clone, Debug)]
pub(crate) struct TokenBucket {
    rate: u64,
    /// Tokens that it holds.
    burst: u64,
    /// Billionths of a token.
    tokens: u64,
    filled: Instant,
}

impl TokenBucket {
    const TOKEN: u64 = 1_000_000_000;

    pub(crate) fn new(rate: u32, now: Instant) -> Self {
        Self::with_burst(rate, rate, now)
    }

    pub(crate) fn with_burst(rate: u32, burst: u32, now: Instant) -> Self {
        let (rate, burst) = (u64::from(rate), u64::from(burst));
        Self { rate, burst, tokens: burst * Self::TOKEN, filled: now }
    }

    /// Allows another number of events from now on.
    pub(crate) fn set_rate(&mut self, rate: u32) {
        self.rate = rate.into();
        self.burst = self.rate;
    }

    /// Returns when `wanted` events will be allowed at once, or all that ever are.
    pub(crate) fn ready(&self, wanted: u32, now: Instant) -> Instant {
        let wanted = u64::from(wanted).clamp(1, self.burst.max(1)) * Self::TOKEN;
        let missing = wanted.saturating_sub(self.tokens);
        let at = self.filled + Duration::from_nanos(missing.div_ceil(self.rate.max(1)));
        at.max(now)
    }

    pub(crate) fn take(&mut self, now: Instant) -> bool {
        let elapsed = u64::try_from(now.since(self.filled).as_nanos()).unwrap_or(u64::MAX);
        let full = self.burst * Self::TOKEN;
        self.tokens = self.tokens.saturating_add(elapsed.saturating_mul(self.rate)).min(full);
        self.filled = now;
        let Some(left) = self.tokens.checked_sub(Self::TOKEN) else { return false };
        self.tokens = left;
        true
    }
}

/// What is remembered for a while, all of it for the same time.
///
/// Entries leave in the order in which they came, when room is wanted: they need no timer.
#[derive(Debug)]
pub(crate) struct Recent<K> {
    until: BTreeMap<K, Instant>,
    order: VecDeque<(Instant, K)>,
}

impl<K: Copy + Ord> Recent<K> {
    pub(crate) fn new() -> Self {
        Self { until: BTreeMap::new(), order: VecDeque::new() }
    }

    pub(crate) fn insert(&mut self, key: K, until: Instant, cap: usize, now: Instant) {
        while let Some(&(end, oldest)) = self.order.front() {
            if end > now && self.order.len() < cap {
                break;
            }
            self.order.pop_front();
            if self.until.get(&oldest) == Some(&end) {
                self.until.remove(&oldest);
            }
        }
        if cap > 0 {
            self.order.push_back((until, key));
            self.until.insert(key, until);
        }
    }

    pub(crate) fn contains(&self, key: K, now: Instant) -> bool {
        self.until.get(&key).is_some_and(|until| *until > now)
    }

    /// When a key that is remembered will be forgotten.
    pub(crate) fn until(&self, key: K, now: Instant) -> Option<Instant> {
        self.until.get(&key).copied().filter(|until| *until > now)
    }

    /// Forgets all keys in a range; tells whether there were any.
    pub(crate) fn remove_all(&mut self, range: impl RangeBounds<K> + Clone) -> bool {
        let before = self.until.len();
        while let Some((key, _)) = self.until.range(range.clone()).next() {
            let key = *key;
            self.until.remove(&key);
        }
        self.until.len() != before
    }

    pub(crate) fn retain(&mut self, keep: impl Fn(&K) -> bool) {
        self.until.retain(|key, _| keep(key));
    }

    pub(crate) fn len(&self) -> usize {
        self.until.len()
    }
}

/// The nonces of our own latest solicitations, so that they are known when they come back (RFC
/// 7527 section 4).
#[derive(Debug)]
pub(crate) struct OwnNonces {
    ring: [[u8; 6]; Self::LEN],
    next: usize,
}

impl OwnNonces {
    const LEN: usize = 128;

    pub(crate) fn new() -> Self {
        Self { ring: [[0; 6]; Self::LEN], next: 0 }
    }

    pub(crate) fn issue(&mut self, rng: &mut fastrand::Rng) -> Nonce {
        let mut octets = [0; 6];
        rng.fill(&mut octets);
        // All zeros mark an unused place.
        octets[0] |= 1;
        if let Some(place) = self.ring.get_mut(self.next) {
            *place = octets;
        }
        self.next = (self.next + 1) % Self::LEN;
        Nonce::new(octets)
    }

    pub(crate) fn contains(&self, nonce: &Nonce) -> bool {
        self.ring.iter().any(|own| own[0] != 0 && own == nonce.as_bytes())
    }
}

/// How often each of a bounded number of parties did something within a window of time.
#[derive(Debug)]
pub(crate) struct Quota<K> {
    since: BTreeMap<K, (Instant, u32)>,
}

impl<K: Copy + Ord> Quota<K> {
    const PARTIES: usize = 256;

    pub(crate) fn new() -> Self {
        Self { since: BTreeMap::new() }
    }

    /// Counts once more for `key`; tells whether that is within `most` in `window`.
    pub(crate) fn take(&mut self, key: K, most: u32, window: Duration, now: Instant) -> bool {
        if self.since.len() >= Self::PARTIES && !self.since.contains_key(&key) {
            self.since.retain(|_, (start, _)| now.since(*start) < window);
            if self.since.len() >= Self::PARTIES {
                return false;
            }
        }
        let (start, count) = self.since.entry(key).or_insert((now, 0));
        if now.since(*start) >= window {
            (*start, *count) = (now, 0);
        }
        *count += 1;
        *count <= most
    }
}

/// What is reported at most once in an interval.
#[derive(Debug)]
pub(crate) struct Rarely<K> {
    last: BTreeMap<K, Instant>,
}

impl<K: Ord> Rarely<K> {
    const INTERVAL: Duration = Duration::from_secs(60);

    pub(crate) fn new() -> Self {
        Self { last: BTreeMap::new() }
    }

    /// Forgets what is no longer of interest.
    pub(crate) fn retain(&mut self, keep: impl Fn(&K) -> bool) {
        self.last.retain(|key, _| keep(key));
    }

    /// Whether it is time to report `key` again. The keys are few by construction.
    pub(crate) fn due(&mut self, key: K, now: Instant) -> bool {
        let due = self.last.get(&key).is_none_or(|last| now.since(*last) >= Self::INTERVAL);
        if due {
            self.last.insert(key, now);
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv6Addr;

    use super::*;

    #[test]
    fn a_bucket_allows_its_rate_and_a_burst_of_the_same_size() {
        let start = Instant::from_nanos(5_000);
        let mut bucket = TokenBucket::new(10, start);
        assert_eq!((0..100).filter(|_| bucket.take(start)).count(), 10);
        let later = start + Duration::from_millis(250);
        assert_eq!((0..100).filter(|_| bucket.take(later)).count(), 2);
        let much_later = later + Duration::from_secs(3600);
        assert_eq!((0..100).filter(|_| bucket.take(much_later)).count(), 10);
    }

    #[test]
    fn a_bucket_tells_when_to_come_again() {
        let start = Instant::from_nanos(5_000);
        let mut bucket = TokenBucket::new(7, start);
        assert_eq!(bucket.ready(7, start), start);
        while bucket.take(start) {}
        for wanted in [1, 3, 7, 100] {
            let at = bucket.ready(wanted, start);
            let mut later = bucket.clone();
            let taken = (0..100).filter(|_| later.take(at)).count();
            assert_eq!(taken, wanted.min(7) as usize);
        }
    }

    #[test]
    fn recent_things_leave_in_time_and_never_exceed_the_cap() {
        let mut recent = Recent::new();
        let at = |seconds| Instant::ZERO + Duration::from_secs(seconds);
        for host in 0..100u16 {
            let target = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, host);
            recent.insert(target, at(20), 10, at(0));
            assert!(recent.len() <= 10);
            assert!(recent.contains(target, at(19)));
            assert!(!recent.contains(target, at(20)));
        }
    }

    #[test]
    fn own_nonces_are_recognized() {
        let mut nonces = OwnNonces::new();
        let mut rng = fastrand::Rng::with_seed(1);
        let nonce = nonces.issue(&mut rng);
        assert!(nonces.contains(&nonce));
        assert!(!nonces.contains(&Nonce::new([0; 6])));
        assert!(!nonces.contains(&Nonce::new([9; 6])));
    }
}
