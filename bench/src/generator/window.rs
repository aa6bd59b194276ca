//! Keeps so many solicitations under way at all times: each answer makes room for the next one.

use std::ops::Range;
use std::time::{Duration, Instant};

/// A load that goes as fast as the system answers.
#[derive(Clone, Debug)]
pub(crate) struct Window {
    /// Solicitations under way.
    pub(crate) size: u32,
    /// The targets, each asked for once.
    pub(crate) hosts: Range<u32>,
    /// Time after which a solicitation is given up.
    pub(crate) patience: Duration,
    /// Nothing new is asked after this time.
    pub(crate) limit: Duration,
}

/// What came of a window.
#[derive(Clone, Debug)]
pub(crate) struct WindowReport {
    /// From the first solicitation to the last answer.
    pub(crate) span: Duration,
    /// Solicitations sent.
    pub(crate) asked: u32,
    /// Those that were answered.
    pub(crate) answered: u32,
    /// Those that were given up.
    pub(crate) lost: u32,
    /// Advertisements that break a rule.
    pub(crate) faulty: u32,
    /// Advertisements that nobody was waiting for.
    pub(crate) unasked: u32,
    /// Frames that the generator itself could not send or receive.
    pub(crate) lost_by_generator: u32,
    /// Time in which the generator had nothing to do.
    pub(crate) idle: Duration,
}

/// The solicitations under way.
///
/// The targets go round the places of the window, so that the number of a target tells its place.
#[derive(Debug)]
pub(super) struct Places {
    hosts: Range<u32>,
    patience: Duration,
    slots: Vec<Option<Ask>>,
    /// What is to be sent next, at most one for each place.
    due: Vec<u32>,
    pub(super) asked: u32,
    pub(super) answered: u32,
    pub(super) lost: u32,
    pub(super) last_answer: Option<Instant>,
}

#[derive(Clone, Copy, Debug)]
struct Ask {
    number: u32,
    sent: Instant,
}

impl Places {
    pub(super) fn new(window: &Window) -> Self {
        let hosts = window.hosts.clone();
        let first = hosts.start..hosts.end.min(hosts.start.saturating_add(window.size));
        Self {
            slots: vec![None; first.len()],
            due: first.collect(),
            hosts,
            patience: window.patience,
            asked: 0,
            answered: 0,
            lost: 0,
            last_answer: None,
        }
    }

    /// Returns the next target to solicit now.
    pub(super) fn next(&mut self, now: Instant) -> Option<u32> {
        let number = self.due.pop()?;
        let place = self.place(number)?;
        *self.slots.get_mut(place)? = Some(Ask { number, sent: now });
        self.asked += 1;
        Some(number)
    }

    /// Takes note of an answer; false if nobody waits for it.
    pub(super) fn answered(&mut self, number: u32, now: Instant) -> bool {
        let Some(place) = self.place(number) else { return false };
        let Some(slot) = self.slots.get_mut(place) else { return false };
        if slot.take_if(|ask| ask.number == number).is_none() {
            return false;
        }
        self.answered += 1;
        self.last_answer = Some(now);
        self.follow(number);
        true
    }

    /// Gives up what was not answered in time.
    pub(super) fn give_up(&mut self, now: Instant) {
        for place in 0..self.slots.len() {
            let Some(slot) = self.slots.get_mut(place) else { continue };
            let late = |ask: &mut Ask| now.saturating_duration_since(ask.sent) >= self.patience;
            if let Some(ask) = slot.take_if(late) {
                self.lost += 1;
                self.follow(ask.number);
            }
        }
    }

    /// Asks for nothing new.
    pub(super) fn stop(&mut self) {
        self.due.clear();
        self.hosts.end = self.hosts.start;
    }

    /// Whether all is asked, and answered or given up.
    pub(super) fn is_settled(&self) -> bool {
        self.due.is_empty() && self.slots.iter().all(Option::is_none)
    }

    /// Makes the target that takes the place of this one due.
    fn follow(&mut self, number: u32) {
        let size = u32::try_from(self.slots.len()).unwrap_or(u32::MAX);
        let next = number.checked_add(size).filter(|next| self.hosts.contains(next));
        self.due.extend(next);
    }

    fn place(&self, number: u32) -> Option<usize> {
        let turn = usize::try_from(number.checked_sub(self.hosts.start)?).ok()?;
        turn.checked_rem(self.slots.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_millis(100);

    fn places(size: u32, hosts: Range<u32>) -> Places {
        Places::new(&Window { size, hosts, patience: PATIENCE, limit: PATIENCE })
    }

    fn asked(places: &mut Places, now: Instant) -> Vec<u32> {
        let mut asked: Vec<u32> = std::iter::from_fn(|| places.next(now)).collect();
        asked.sort_unstable();
        asked
    }

    #[test]
    fn an_answer_makes_room_for_one_more() {
        let now = Instant::now();
        let mut places = places(2, 5..10);
        assert_eq!(asked(&mut places, now), [5, 6]);
        assert!(places.answered(6, now));
        assert!(!places.answered(6, now));
        assert!(!places.answered(4, now));
        assert_eq!(asked(&mut places, now), [8]);
        assert!(places.answered(5, now) && places.answered(8, now));
        assert_eq!(asked(&mut places, now), [7]);
        assert!(places.answered(7, now));
        assert_eq!(asked(&mut places, now), [9]);
        assert!(!places.is_settled());
        assert!(places.answered(9, now));
        assert!(places.is_settled());
        assert_eq!((places.asked, places.answered, places.lost), (5, 5, 0));
    }

    #[test]
    fn what_is_not_answered_makes_room_too() {
        let now = Instant::now();
        let mut places = places(1, 0..2);
        assert_eq!(asked(&mut places, now), [0]);
        places.give_up(now);
        assert_eq!(places.next(now), None);
        places.give_up(now + PATIENCE);
        assert!(!places.answered(0, now + PATIENCE));
        assert_eq!(asked(&mut places, now + PATIENCE), [1]);
        assert_eq!((places.asked, places.answered, places.lost), (2, 0, 1));
    }

    #[test]
    fn a_stop_lets_only_what_is_under_way_end() {
        let now = Instant::now();
        let mut places = places(1, 3..9);
        assert_eq!(asked(&mut places, now), [3]);
        places.stop();
        assert!(!places.is_settled());
        assert!(places.answered(3, now));
        assert!(places.is_settled());
    }
}
