//! What happens when: an event queue on a virtual clock, in which ties are broken by the order of
//! scheduling, so that a run depends on nothing but its seed.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;

use magpie_engine::Instant;

pub(crate) struct Queue<T> {
    heap: BinaryHeap<Reverse<Entry<T>>>,
    scheduled: u64,
}

struct Entry<T> {
    at: Instant,
    order: u64,
    what: T,
}

impl<T> Queue<T> {
    pub(crate) fn new() -> Self {
        Self { heap: BinaryHeap::new(), scheduled: 0 }
    }

    pub(crate) fn schedule(&mut self, at: Instant, what: T) {
        self.heap.push(Reverse(Entry { at, order: self.scheduled, what }));
        self.scheduled += 1;
    }

    /// Takes the next event if it happens no later than `until`.
    pub(crate) fn pop(&mut self, until: Instant) -> Option<(Instant, T)> {
        if self.heap.peek()?.0.at > until {
            return None;
        }
        self.heap.pop().map(|Reverse(entry)| (entry.at, entry.what))
    }
}

impl<T> Ord for Entry<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.at, self.order).cmp(&(other.at, other.order))
    }
}

impl<T> PartialOrd for Entry<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> PartialEq for Entry<T> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl<T> Eq for Entry<T> {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_come_by_time_and_then_by_order_of_scheduling() {
        let mut queue = Queue::new();
        for (at, what) in [(30, 'd'), (10, 'a'), (20, 'b'), (20, 'c')] {
            queue.schedule(Instant::from_nanos(at), what);
        }
        let mut order = String::new();
        while let Some((_, what)) = queue.pop(Instant::from_nanos(20)) {
            order.push(what);
        }
        assert_eq!(order, "abc");
        assert_eq!(queue.pop(Instant::from_nanos(30)), Some((Instant::from_nanos(30), 'd')));
    }
}
