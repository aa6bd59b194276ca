//! How many packets are taken from a sender, and sent to a link.

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::limit::TokenBucket;
use crate::mdns::memory::Speaker;
use crate::{Instant, LinkId, MdnsLimits};

/// Senders whose packets are counted one by one. When there are more, the one that has been silent
/// longest is counted anew.
const MAX_SENDERS: usize = 512;

/// The budgets of all links and senders. Twice what is allowed in a second may come at once.
#[derive(Debug, Default)]
pub(crate) struct Budgets {
    links: BTreeMap<LinkId, TokenBucket>,
    senders: BTreeMap<(LinkId, IpAddr), (Instant, TokenBucket)>,
}

impl Budgets {
    /// Takes one packet for a link; tells whether there was one left.
    pub(crate) fn spend(&mut self, link: LinkId, limits: &MdnsLimits, now: Instant) -> bool {
        let rate = limits.packets_per_second;
        let new = || TokenBucket::with_burst(rate, rate.saturating_mul(2), now);
        self.links.entry(link).or_insert_with(new).take(now)
    }

    /// Takes one packet from a sender; tells whether that is one too many.
    pub(crate) fn exceeds(&mut self, sender: Speaker, limits: &MdnsLimits, now: Instant) -> bool {
        let key = (sender.link, sender.source);
        if self.senders.len() >= MAX_SENDERS && !self.senders.contains_key(&key) {
            let longest_silent = self.senders.iter().min_by_key(|(_, (last, _))| *last);
            if let Some(key) = longest_silent.map(|(key, _)| *key) {
                self.senders.remove(&key);
            }
        }
        let rate = limits.packets_per_source;
        let new = || (now, TokenBucket::with_burst(rate, rate.saturating_mul(2), now));
        let (last, bucket) = self.senders.entry(key).or_insert_with(new);
        *last = now;
        !bucket.take(now)
    }

    pub(crate) fn forget_link(&mut self, link: LinkId) {
        self.links.remove(&link);
        self.senders.retain(|(on, _), _| *on != link);
    }

    /// Other limits begin with full budgets.
    pub(crate) fn clear(&mut self) {
        self.links.clear();
        self.senders.clear();
    }

    pub(crate) fn senders(&self) -> usize {
        self.senders.len()
    }
}
