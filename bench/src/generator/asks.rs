//! Keeps the solicitations of one stream until they are answered or given up.

use std::collections::VecDeque;
use std::ops::Range;
use std::time::{Duration, Instant};

use super::load::{Pace, Stream};

/// What came of a stream.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally {
    /// Hosts asked for.
    pub(crate) asked: u32,
    /// Solicitations sent again.
    pub(crate) repeated: u32,
    /// Hosts answered for.
    pub(crate) answered: u32,
    /// Hosts given up.
    pub(crate) lost: u32,
    /// From the first solicitation for a host to its answer.
    pub(crate) latencies: Vec<Duration>,
    /// When the first answer came.
    pub(crate) first_answer: Option<Instant>,
}

/// The solicitations of one stream.
#[derive(Debug)]
pub(crate) struct Asks {
    hosts: Range<u32>,
    tries: u8,
    patience: Duration,
    count: Option<u32>,
    pace: Pace,
    /// Of each host, the solicitation that waits for an answer.
    waiting: Vec<Option<Ask>>,
    /// What was sent, oldest first; what was answered meanwhile is in it too.
    sent: VecDeque<(Instant, u32)>,
    outstanding: u32,
    tally: Tally,
}

#[derive(Clone, Copy, Debug)]
struct Ask {
    first: Instant,
    last: Instant,
    tries: u8,
}

impl Asks {
    pub(crate) fn new(stream: &Stream, start: Instant) -> Self {
        let expected = stream.count.unwrap_or(stream.hosts.end) as usize;
        Self {
            hosts: stream.hosts.clone(),
            tries: stream.tries,
            patience: stream.patience,
            count: stream.count,
            pace: Pace::new(stream.rate, start),
            waiting: vec![None; stream.hosts.len()],
            sent: VecDeque::with_capacity(expected),
            outstanding: 0,
            tally: Tally { latencies: Vec::with_capacity(expected), ..Tally::default() },
        }
    }

    /// Returns the next host to solicit now: one that did not answer in time, or, while there
    /// shall be `more`, the next one that is due.
    pub(crate) fn next(&mut self, now: Instant, more: bool) -> Option<u32> {
        while let Some(&(at, number)) = self.sent.front() {
            if now.saturating_duration_since(at) < self.patience {
                break;
            }
            self.sent.pop_front();
            let slot = slot(&self.hosts, &mut self.waiting, number)?;
            // Answered meanwhile, or asked again.
            let Some(ask) = slot.as_mut().filter(|ask| ask.last == at) else { continue };
            if ask.tries < self.tries {
                ask.tries += 1;
                ask.last = now;
                self.sent.push_back((now, number));
                self.tally.repeated += 1;
                return Some(number);
            }
            *slot = None;
            self.outstanding -= 1;
            self.tally.lost += 1;
        }
        if !more || self.is_exhausted() || self.pace.due(now) == 0 {
            return None;
        }
        let turn = self.pace.done() % u64::from(self.hosts.end - self.hosts.start).max(1);
        let number = self.hosts.start + u32::try_from(turn).ok()?;
        self.pace.advance();
        let ask = Ask { first: now, last: now, tries: 1 };
        if slot(&self.hosts, &mut self.waiting, number)?.replace(ask).is_some() {
            self.tally.lost += 1;
        } else {
            self.outstanding += 1;
        }
        self.sent.push_back((now, number));
        self.tally.asked += 1;
        Some(number)
    }

    /// Takes note of an answer; false if this stream does not wait for it.
    pub(crate) fn answered(&mut self, number: u32, now: Instant) -> bool {
        let waiting = slot(&self.hosts, &mut self.waiting, number).and_then(Option::take);
        let Some(ask) = waiting else { return false };
        self.outstanding -= 1;
        self.tally.answered += 1;
        self.tally.latencies.push(now.saturating_duration_since(ask.first));
        self.tally.first_answer.get_or_insert(now);
        true
    }

    /// Whether all that shall be asked has been asked.
    pub(crate) fn is_exhausted(&self) -> bool {
        self.count.is_some_and(|count| self.pace.done() >= u64::from(count))
    }

    /// Whether nothing waits for an answer.
    pub(crate) fn is_settled(&self) -> bool {
        self.outstanding == 0
    }

    /// What came of the stream so far.
    pub(crate) fn tally(&self) -> &Tally {
        &self.tally
    }

    /// What came of the stream; what is still waiting counts as lost.
    pub(crate) fn into_tally(mut self) -> Tally {
        self.tally.lost += self.outstanding;
        self.tally
    }
}

fn slot<'a>(
    hosts: &Range<u32>,
    waiting: &'a mut [Option<Ask>],
    number: u32,
) -> Option<&'a mut Option<Ask>> {
    let place = number.checked_sub(hosts.start)?;
    waiting.get_mut(usize::try_from(place).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_millis(100);

    fn asks(tries: u8, start: Instant) -> Asks {
        let stream = Stream { hosts: 5..7, rate: 10, count: Some(2), tries, patience: PATIENCE };
        Asks::new(&stream, start)
    }

    #[test]
    fn an_answer_counts_once_and_from_the_first_try() {
        let start = Instant::now();
        let mut asks = asks(2, start);
        assert_eq!(asks.next(start, true), Some(5));
        assert_eq!(asks.next(start, true), None);
        let again = start + PATIENCE;
        assert_eq!(asks.next(again, false), Some(5));
        assert!(asks.answered(5, again + PATIENCE / 2));
        assert!(!asks.answered(5, again + PATIENCE / 2));
        assert!(!asks.answered(4, again));
        assert!(asks.is_settled());
        let tally = asks.into_tally();
        assert_eq!((tally.asked, tally.repeated, tally.answered, tally.lost), (1, 1, 1, 0));
        assert_eq!(tally.latencies, [PATIENCE + PATIENCE / 2]);
    }

    #[test]
    fn what_nobody_answers_is_given_up() {
        let start = Instant::now();
        let mut asks = asks(1, start);
        assert_eq!(asks.next(start, true), Some(5));
        assert_eq!(asks.next(start + PATIENCE, true), Some(6));
        assert!(asks.is_exhausted());
        assert_eq!(asks.next(start + 2 * PATIENCE, true), None);
        assert!(asks.is_settled());
        assert_eq!(asks.into_tally().lost, 2);
    }
}
