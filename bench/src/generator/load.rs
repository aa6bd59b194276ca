//! What load is laid on the network, and what came of it.

use std::ops::Range;
use std::time::{Duration, Instant};

use super::{InsideReport, Tally};

/// A load: streams of solicitations, and a flood.
#[derive(Clone, Debug)]
pub(crate) struct Load {
    /// The streams of solicitations for hosts.
    pub(crate) streams: Vec<Stream>,
    /// Solicitations a second for addresses that nobody has.
    pub(crate) flood: u32,
    /// Nothing new is asked after this time.
    pub(crate) limit: Duration,
    /// The first answer ends it.
    pub(crate) until_answered: bool,
    /// The hosts that the system knows already; the others are new to it.
    pub(crate) known: Range<u32>,
}

/// One host after the other is solicited.
#[derive(Clone, Debug)]
pub(crate) struct Stream {
    /// The hosts, in turn.
    pub(crate) hosts: Range<u32>,
    /// Solicitations a second.
    pub(crate) rate: u32,
    /// How many hosts are asked for; without end if `None`.
    pub(crate) count: Option<u32>,
    /// How often each solicitation is sent before it is given up.
    pub(crate) tries: u8,
    /// The time between tries, and before it is given up.
    pub(crate) patience: Duration,
}

/// What came of a load.
#[derive(Clone, Debug)]
pub(crate) struct Report {
    /// How long the load was laid.
    pub(crate) span: Duration,
    /// What came of each stream.
    pub(crate) streams: Vec<Tally>,
    /// Solicitations of the flood.
    pub(crate) flood_sent: u32,
    /// Advertisements for addresses that nobody has.
    pub(crate) flood_answered: u32,
    /// Advertisements that break a rule.
    pub(crate) faulty: u32,
    /// Advertisements for hosts that nobody was waiting for.
    pub(crate) unasked: u32,
    /// Frames that the generator itself could not send or receive.
    pub(crate) lost_by_generator: u32,
    /// What the hosts inside saw.
    pub(crate) inside: InsideReport,
}

impl Load {
    /// A load of one stream that ends when all is asked.
    pub(crate) fn once(stream: Stream) -> Self {
        Self {
            streams: vec![stream],
            flood: 0,
            limit: NO_LIMIT,
            until_answered: false,
            known: 0..0,
        }
    }
}

/// When the next one of an even stream is due.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    start: Instant,
    rate: u32,
    done: u64,
}

impl Pace {
    /// A stream of `rate` a second from `start` on.
    pub(crate) fn new(rate: u32, start: Instant) -> Self {
        Self { start, rate, done: 0 }
    }

    /// How many are due at `now`.
    pub(crate) fn due(&self, now: Instant) -> usize {
        if self.rate == 0 {
            return 0;
        }
        let nanoseconds = now.saturating_duration_since(self.start).as_nanos();
        let wanted = nanoseconds * u128::from(self.rate) / 1_000_000_000 + 1;
        usize::try_from(wanted.saturating_sub(u128::from(self.done))).unwrap_or(usize::MAX)
    }

    /// One is done.
    pub(crate) fn advance(&mut self) {
        self.done += 1;
    }

    /// How many are done.
    pub(crate) fn done(&self) -> u64 {
        self.done
    }
}

/// Longer than any measurement.
const NO_LIMIT: Duration = Duration::from_secs(3600);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pace_is_even_from_its_first_moment_on() {
        let start = Instant::now();
        let mut pace = Pace::new(100, start);
        assert_eq!(pace.due(start), 1);
        pace.advance();
        assert_eq!(pace.due(start + Duration::from_millis(9)), 0);
        assert_eq!(pace.due(start + Duration::from_millis(10)), 1);
        assert_eq!(pace.due(start + Duration::from_secs(1)), 100);
    }

    #[test]
    fn without_a_rate_nothing_is_due() {
        let start = Instant::now();
        assert_eq!(Pace::new(0, start).due(start + Duration::from_secs(1)), 0);
    }
}
