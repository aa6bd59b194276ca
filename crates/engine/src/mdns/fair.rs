//! A table of bounded size, in which nobody can take the places of others.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::ops::RangeBounds;

use magpie_wire::LinkAddr;

use crate::Instant;

/// Who something was learned from: a station, or an address where stations have none of their own.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct Sender {
    pub(crate) lladdr: LinkAddr,
    source: Option<IpAddr>,
}

impl Sender {
    /// Who sends frames from `lladdr` and packets from `source`.
    pub(crate) fn new(lladdr: LinkAddr, source: IpAddr) -> Self {
        Self { lladdr, source: (lladdr == LinkAddr::ZERO).then_some(source) }
    }
}

/// Items with a lifetime, by key, each charged to who it was learned from.
///
/// Where there is no room, whoever has the most items loses the one that ends first; who is about
/// to add one, if nobody has more. So what a station can put in by saying a lot is at the cost of
/// what it said itself.
#[derive(Debug)]
pub(super) struct Fair<K, V> {
    cap: usize,
    items: BTreeMap<K, Item<V>>,
    /// What each has, in the order in which it ends.
    shares: BTreeMap<Sender, BTreeSet<(Instant, K)>>,
    sizes: BTreeSet<(usize, Sender)>,
}

#[derive(Debug)]
struct Item<V> {
    value: V,
    sender: Sender,
    until: Instant,
}

impl<K: Clone + Ord, V> Fair<K, V> {
    pub(super) fn new(cap: usize) -> Self {
        Self { cap, items: BTreeMap::new(), shares: BTreeMap::new(), sizes: BTreeSet::new() }
    }

    pub(super) fn len(&self) -> usize {
        self.items.len()
    }

    pub(super) fn get(&self, key: &K) -> Option<&V> {
        self.items.get(key).map(|item| &item.value)
    }

    pub(super) fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        self.items.get_mut(key).map(|item| &mut item.value)
    }

    /// When an item ends.
    pub(super) fn until(&self, key: &K) -> Option<Instant> {
        self.items.get(key).map(|item| item.until)
    }

    /// Returns the items in a range whose time is not over.
    pub(super) fn range(
        &self,
        range: impl RangeBounds<K>,
        now: Instant,
    ) -> impl Iterator<Item = (&K, &V)> {
        let items = self.items.range(range).filter(move |(_, item)| item.until > now);
        items.map(|(key, item)| (key, &item.value))
    }

    /// Puts an item in, in the place of what has its key; returns what had to make room.
    pub(super) fn insert(
        &mut self,
        key: K,
        sender: Sender,
        until: Instant,
        value: V,
    ) -> Option<(K, V)> {
        self.remove(&key);
        let out = if self.items.len() >= self.cap {
            let out = self.dispensable(sender)?;
            self.remove(&out).map(|value| (out, value))
        } else {
            None
        };
        self.charge(sender, until, key.clone());
        self.items.insert(key, Item { value, sender, until });
        out
    }

    /// Charges an item to who said it last, and gives it another end.
    pub(super) fn renew(&mut self, key: &K, sender: Sender, until: Instant) {
        let Some(item) = self.items.get_mut(key) else { return };
        if (item.sender, item.until) == (sender, until) {
            return;
        }
        let (old_sender, old_until) = (item.sender, item.until);
        (item.sender, item.until) = (sender, until);
        self.discharge(old_sender, old_until, key.clone());
        self.charge(sender, until, key.clone());
    }

    /// Lets an item end at `until`, unless it ends before.
    pub(super) fn shorten(&mut self, key: &K, until: Instant) {
        let known = self.items.get(key).map(|item| (item.sender, item.until.min(until)));
        if let Some((sender, until)) = known {
            self.renew(key, sender, until);
        }
    }

    pub(super) fn remove(&mut self, key: &K) -> Option<V> {
        let item = self.items.remove(key)?;
        self.discharge(item.sender, item.until, key.clone());
        Some(item.value)
    }

    /// Takes out all items that `is_out` names.
    pub(super) fn take_all(&mut self, is_out: impl Fn(&K, Sender, Instant) -> bool) -> Vec<(K, V)> {
        let out = self.items.iter().filter(|(key, item)| is_out(key, item.sender, item.until));
        let out: Vec<K> = out.map(|(key, _)| key.clone()).collect();
        out.into_iter().filter_map(|key| self.remove(&key).map(|value| (key, value))).collect()
    }

    /// Takes over another cap; returns what has to go.
    pub(super) fn limit(&mut self, cap: usize) -> Vec<(K, V)> {
        self.cap = cap;
        let mut out = Vec::new();
        while self.items.len() > cap
            && let Some((_, largest)) = self.sizes.last()
            && let Some(key) = self.dispensable(*largest)
        {
            out.extend(self.remove(&key).map(|value| (key, value)));
        }
        out
    }

    /// Returns what has to go so that `sender` can put something in.
    fn dispensable(&self, sender: Sender) -> Option<K> {
        let (most, largest) = *self.sizes.last()?;
        let own = self.shares.get(&sender).filter(|share| share.len() >= most);
        let share = own.or_else(|| self.shares.get(&largest))?;
        share.first().map(|(_, key)| key.clone())
    }

    fn charge(&mut self, sender: Sender, until: Instant, key: K) {
        let share = self.shares.entry(sender).or_default();
        self.sizes.remove(&(share.len(), sender));
        share.insert((until, key));
        self.sizes.insert((share.len(), sender));
    }

    fn discharge(&mut self, sender: Sender, until: Instant, key: K) {
        let Some(share) = self.shares.get_mut(&sender) else { return };
        self.sizes.remove(&(share.len(), sender));
        share.remove(&(until, key));
        if share.is_empty() {
            self.shares.remove(&sender);
        } else {
            self.sizes.insert((share.len(), sender));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    fn sender(number: u8) -> Sender {
        Sender::new(LinkAddr([2, 0, 0, 0, 0, number]), Ipv4Addr::UNSPECIFIED.into())
    }

    fn at(seconds: u64) -> Instant {
        Instant::ZERO + Duration::from_secs(seconds)
    }

    #[test]
    fn who_says_a_lot_loses_what_it_said_itself() {
        let mut table = Fair::new(8);
        for key in 0..3 {
            table.insert(key, sender(1), at(1), ());
        }
        for key in 100..200 {
            let out = table.insert(key, sender(2), at(u64::from(key)), ());
            assert!(out.is_none_or(|(key, ())| key >= 100), "{out:?}");
        }
        let left: Vec<u32> = table.range(.., at(0)).map(|(key, ())| *key).collect();
        assert_eq!(left, [0, 1, 2, 195, 196, 197, 198, 199]);
        // A third gets its share of what the second took.
        for key in 300..302 {
            assert!(matches!(table.insert(key, sender(3), at(9), ()), Some((195.., ()))));
        }
        assert_eq!(table.len(), 8);
    }

    #[test]
    fn who_has_as_much_as_anybody_makes_room_itself() {
        let mut table = Fair::new(2);
        table.insert(1, sender(1), at(1), ());
        table.insert(2, sender(2), at(2), ());
        assert_eq!(table.insert(3, sender(1), at(3), ()), Some((1, ())));
        assert_eq!(table.insert(4, sender(2), at(4), ()), Some((2, ())));
    }

    #[test]
    fn nothing_fits_into_no_room() {
        let mut table = Fair::new(0);
        assert_eq!(table.insert(1, sender(1), at(1), ()), None);
        assert_eq!(table.len(), 0);
    }

    proptest! {
        #[test]
        fn shares_and_items_agree(
            steps in prop::collection::vec((0u8..12, 0u8..4, 0u64..20, 0u8..4), 0..200),
        ) {
            let mut table = Fair::new(6);
            for (key, from, until, what) in steps {
                match what {
                    0 => drop(table.remove(&key)),
                    1 => table.renew(&key, sender(from), at(until)),
                    2 => table.shorten(&key, at(until)),
                    _ => drop(table.insert(key, sender(from), at(until), ())),
                }
                prop_assert!(table.len() <= 6);
                let charged: BTreeSet<_> = table
                    .shares
                    .iter()
                    .flat_map(|(from, share)| share.iter().map(|(until, key)| (*key, *from, *until)))
                    .collect();
                let kept: BTreeSet<_> =
                    table.items.iter().map(|(key, item)| (*key, item.sender, item.until)).collect();
                prop_assert_eq!(charged, kept);
                let sizes: BTreeSet<_> =
                    table.shares.iter().map(|(from, share)| (share.len(), *from)).collect();
                prop_assert_eq!(&table.sizes, &sizes);
            }
        }
    }
}
