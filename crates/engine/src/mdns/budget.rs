//! How many packets are taken from a sender, and sent to a link.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::net::IpAddr;

use crate::limit::TokenBucket;
use crate::mdns::counters::NameDiscard;
use crate::mdns::memory::Speaker;
use crate::{Instant, LinkId, MdnsLimits};

/// Senders whose packets are counted one by one. When there are more, the one that has been silent
/// longest is counted anew.
const MAX_SENDERS: usize = 512;

/// How many times what may go out on a link is taken from it, since most of what is said is for the
/// link itself.
const ARRIVALS: u32 = 2;
/// Hosts a second that are looked for on a link because their names crossed, and were not known
/// before. Each is asked for three times.
const AHEAD_PER_SECOND: u32 = 32;

/// The budgets of all links and senders. Twice what is allowed in a second may come at once.
#[derive(Debug, Default)]
pub(crate) struct Budgets {
    links: BTreeMap<LinkId, TokenBucket>,
    arrivals: BTreeMap<LinkId, TokenBucket>,
    ahead: BTreeMap<LinkId, TokenBucket>,
    senders: BTreeMap<(LinkId, IpAddr), Account>,
}

/// What there is to know of a sender.
#[derive(Debug)]
struct Account {
    /// Whether it has said more than one thing.
    is_regular: bool,
    last: Instant,
    bucket: TokenBucket,
}

impl Budgets {
    /// Whether there is a packet left for a link.
    pub(crate) fn has_left(&self, link: LinkId, now: Instant) -> bool {
        self.links.get(&link).is_none_or(|bucket| bucket.ready(1, now) <= now)
    }

    /// Takes one search for a host that a name points to; tells whether there was one left.
    pub(crate) fn may_look_ahead(&mut self, link: LinkId, now: Instant) -> bool {
        let new = || TokenBucket::with_burst(AHEAD_PER_SECOND, AHEAD_PER_SECOND * 2, now);
        self.ahead.entry(link).or_insert_with(new).take(now)
    }

    /// Takes one packet from a link and its sender.
    ///
    /// Who has not been heard before gets half of what the link has only, so that no number of
    /// invented senders keeps others from being heard.
    ///
    /// # Errors
    ///
    /// Which of them has none left.
    pub(crate) fn admit(
        &mut self,
        sender: Speaker,
        limits: &MdnsLimits,
        now: Instant,
    ) -> Result<(), NameDiscard> {
        let is_known = self.senders.contains_key(&(sender.link, sender.source));
        if is_known && self.exceeds(sender, limits, now) {
            return Err(NameDiscard::SenderRate);
        }
        let rate = limits.packets_per_second.saturating_mul(ARRIVALS);
        let new = || TokenBucket::with_burst(rate, rate.saturating_mul(2), now);
        let bucket = self.arrivals.entry(sender.link).or_insert_with(new);
        let has_room = is_known || bucket.ready(rate, now) <= now;
        if !has_room || !bucket.take(now) {
            return Err(NameDiscard::ArrivalRate);
        }
        if !is_known {
            self.exceeds(sender, limits, now);
        }
        Ok(())
    }

    /// Takes one packet for a link; tells whether there was one left.
    pub(crate) fn spend(&mut self, link: LinkId, limits: &MdnsLimits, now: Instant) -> bool {
        let rate = limits.packets_per_second;
        let new = || TokenBucket::with_burst(rate, rate.saturating_mul(2), now);
        self.links.entry(link).or_insert_with(new).take(now)
    }

    /// Takes one packet from a sender; tells whether that is one too many.
    fn exceeds(&mut self, sender: Speaker, limits: &MdnsLimits, now: Instant) -> bool {
        let key = (sender.link, sender.source);
        if self.senders.len() >= MAX_SENDERS && !self.senders.contains_key(&key) {
            // Who has spoken only once may be an invention.
            let all = self.senders.iter();
            let longest_silent = all.min_by_key(|(_, known)| (known.is_regular, known.last));
            if let Some(key) = longest_silent.map(|(key, _)| *key) {
                self.senders.remove(&key);
            }
        }
        let rate = limits.packets_per_source;
        let bucket = || TokenBucket::with_burst(rate, rate.saturating_mul(2), now);
        match self.senders.entry(key) {
            Entry::Occupied(known) => {
                let known = known.into_mut();
                (known.is_regular, known.last) = (true, now);
                !known.bucket.take(now)
            }
            Entry::Vacant(place) => {
                let new = Account { is_regular: false, last: now, bucket: bucket() };
                !place.insert(new).bucket.take(now)
            }
        }
    }

    pub(crate) fn forget_link(&mut self, link: LinkId) {
        self.links.remove(&link);
        self.arrivals.remove(&link);
        self.ahead.remove(&link);
        self.senders.retain(|(on, _), _| *on != link);
    }

    /// Other limits begin with full budgets.
    pub(crate) fn clear(&mut self) {
        self.links.clear();
        self.arrivals.clear();
        self.ahead.clear();
        self.senders.clear();
    }

    pub(crate) fn senders(&self) -> usize {
        self.senders.len()
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv6Addr;
    use std::time::Duration;

    use super::*;

    const LINK: LinkId = LinkId(2);

    fn speaker(number: u16) -> Speaker {
        let source = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, number);
        Speaker { link: LINK, source: source.into() }
    }

    #[test]
    fn invented_senders_are_bounded_and_keep_nobody_else_from_being_heard() {
        let limits = MdnsLimits::default();
        let mut budgets = Budgets::default();
        let mut now = Instant::ZERO;
        for _ in 0..2 {
            assert_eq!(budgets.admit(speaker(1), &limits, now), Ok(()));
        }
        let mut admitted = 0;
        for number in 0..50_000 {
            now = now + Duration::from_micros(100);
            admitted += u32::from(budgets.admit(speaker(1_000 + number), &limits, now).is_ok());
            if number % 500 == 0 {
                assert_eq!(budgets.admit(speaker(1), &limits, now), Ok(()), "after {number}");
            }
        }
        let most = limits.packets_per_second * ARRIVALS * 6;
        assert!((most / 2..=most).contains(&admitted), "{admitted} in five seconds");
        assert!(budgets.senders() <= MAX_SENDERS);
        let hasty = (0..1_000).filter(|_| budgets.admit(speaker(1), &limits, now).is_ok());
        assert!(hasty.count() <= 2 * limits.packets_per_source as usize);
        assert_eq!(budgets.admit(speaker(1), &limits, now), Err(NameDiscard::SenderRate));
    }
}
