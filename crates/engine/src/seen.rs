//! Which targets were asked for lately, and answered.

use std::cmp::Reverse;
use std::net::Ipv6Addr;
use std::time::Duration;

use crate::{Instant, LinkId};

/// A target that was asked for on a link that answers for it, or that a rule denies there.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct SeenTarget {
    /// The address.
    pub target: Ipv6Addr,
    /// Where it was asked for.
    pub link: LinkId,
    /// How often, duplicate address detection apart.
    pub asked: u64,
    /// How often that was answered.
    pub answered: u64,
    /// Time since the first question.
    pub first: Duration,
    /// Time since the last question.
    pub last: Duration,
}

/// Who asked: the address, and the beginning of the nonce if there was one, which is another one
/// for each question.
pub(crate) type Questioner = (Ipv6Addr, Option<u64>);

/// Targets asked for lately, in a table that never grows.
///
/// A target has its place in one of the rows, which its hash tells. When the row is full, the
/// one that was not asked for for the longest time makes room. So each question costs the same,
/// whatever is asked for.
#[derive(Debug)]
pub(crate) struct SeenTargets {
    places: Vec<Option<Seen>>,
    /// Keeps others from choosing targets that displace each other.
    key: u64,
}

#[derive(Clone, Copy, Debug)]
struct Seen {
    target: Ipv6Addr,
    link: LinkId,
    asked: u64,
    answered: u64,
    first: Instant,
    last: Instant,
    /// Who got the last two answers, and when, the latest first.
    answers: [Option<(Questioner, Instant)>; 2],
}

impl SeenTargets {
    /// Places in a row.
    const ROW: usize = 8;

    /// Places without which a question that is repeated would not be known again.
    const FEWEST: usize = 256;

    /// Makes room for `cap` targets, rounded up to full rows, and for a few in any case.
    pub(crate) fn new(cap: usize, key: u64) -> Self {
        Self { places: vec![None; cap.max(Self::FEWEST).next_multiple_of(Self::ROW)], key }
    }

    /// Counts a question.
    pub(crate) fn ask(&mut self, target: Ipv6Addr, link: LinkId, now: Instant) {
        let row = self.row(target, link);
        if let Some(seen) = row.iter_mut().flatten().find(|seen| seen.is(target, link)) {
            seen.asked += 1;
            seen.last = now;
            return;
        }
        let oldest = row.iter_mut().min_by_key(|place| place.map(|seen| seen.last));
        if let Some(place) = oldest {
            let (first, last) = (now, now);
            *place =
                Some(Seen { target, link, asked: 1, answered: 0, first, last, answers: [None; 2] });
        }
    }

    /// Counts an answer, unless `asker` got the last two, both within the last `window`; tells
    /// whether it did.
    pub(crate) fn answer(
        &mut self,
        target: Ipv6Addr,
        link: LinkId,
        asker: Questioner,
        window: Duration,
        now: Instant,
    ) -> bool {
        let row = self.row(target, link);
        let Some(seen) = row.iter_mut().flatten().find(|seen| seen.is(target, link)) else {
            return true;
        };
        let is_repeated = seen
            .answers
            .iter()
            .all(|answer| answer.is_some_and(|(to, at)| to == asker && now.since(at) < window));
        if !is_repeated {
            seen.answered += 1;
            seen.answers = [Some((asker, now)), seen.answers[0]];
        }
        !is_repeated
    }

    /// Returns all that are remembered, by address.
    pub(crate) fn list(&self, now: Instant) -> Vec<SeenTarget> {
        let seen = self.places.iter().flatten().map(|seen| SeenTarget {
            target: seen.target,
            link: seen.link,
            asked: seen.asked,
            answered: seen.answered,
            first: now.since(seen.first),
            last: now.since(seen.last),
        });
        let mut list: Vec<_> = seen.collect();
        list.sort_unstable_by_key(|seen| (seen.target, seen.link));
        list
    }

    /// Returns the targets that were asked for on `link` most lately and answered, the latest
    /// first, `most` at most.
    pub(crate) fn latest(&self, link: LinkId, most: usize) -> Vec<Ipv6Addr> {
        let here = self.places.iter().flatten().filter(|seen| seen.link == link);
        let mut seen: Vec<_> = here.filter(|seen| seen.answered > 0).collect();
        seen.sort_unstable_by_key(|seen| (Reverse(seen.last), seen.target));
        seen.into_iter().take(most).map(|seen| seen.target).collect()
    }

    fn row(&mut self, target: Ipv6Addr, link: LinkId) -> &mut [Option<Seen>] {
        let rows = self.places.len() / Self::ROW;
        let row = self.hash(target, link).checked_rem(rows as u64).unwrap_or_default();
        let first = usize::try_from(row).unwrap_or_default() * Self::ROW;
        self.places.get_mut(first..first + Self::ROW).unwrap_or_default()
    }

    /// Rounds of multiplication and folding, as in the finalizer of `splitmix64`.
    fn hash(&self, target: Ipv6Addr, link: LinkId) -> u64 {
        let octets = target.octets();
        let (chunks, _) = octets.as_chunks::<8>();
        let words = chunks.iter().map(|octets| u64::from_be_bytes(*octets));
        words.chain([link.0.into()]).fold(self.key, |hash, word| {
            let mixed = (hash ^ word).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let mixed = (mixed ^ (mixed >> 29)).wrapping_mul(0x94d0_49bb_1331_11eb);
            mixed ^ (mixed >> 32)
        })
    }
}

impl Seen {
    fn is(&self, target: Ipv6Addr, link: LinkId) -> bool {
        self.target == target && self.link == link
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINK: LinkId = LinkId(2);

    fn target(number: u16) -> Ipv6Addr {
        Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, number)
    }

    fn at(seconds: u64) -> Instant {
        Instant::ZERO + Duration::from_secs(seconds)
    }

    #[test]
    fn questions_and_answers_are_counted() {
        let mut seen = SeenTargets::new(16, 1);
        seen.ask(target(1), LINK, at(10));
        seen.ask(target(1), LINK, at(20));
        let window = Duration::from_secs(5);
        assert!(seen.answer(target(1), LINK, (target(9), None), window, at(20)));
        seen.ask(target(1), LinkId(3), at(20));
        let list = seen.list(at(30));
        let first = SeenTarget {
            target: target(1),
            link: LINK,
            asked: 2,
            answered: 1,
            first: Duration::from_secs(20),
            last: Duration::from_secs(10),
        };
        assert_eq!(list.len(), 2);
        assert_eq!(list[0], first);
    }

    #[test]
    fn an_asker_gets_two_answers_in_a_window() {
        let mut seen = SeenTargets::new(16, 1);
        let window = Duration::from_secs(5);
        let mut answer = |asker, seconds| {
            seen.answer(target(1), LINK, (target(asker), None), window, at(seconds))
        };
        assert!(answer(9, 20), "it was never asked for, so there is nothing to count");
        seen.ask(target(1), LINK, at(20));
        let mut answer = |asker, seconds| {
            seen.answer(target(1), LINK, (target(asker), None), window, at(seconds))
        };
        assert!(answer(9, 20) && answer(9, 21));
        assert!(!answer(9, 24));
        assert!(answer(9, 25) && answer(8, 25) && answer(9, 25));
    }

    #[test]
    fn it_never_grows_and_keeps_what_is_asked_for_most_lately() {
        let mut seen = SeenTargets::new(300, 7);
        for number in 0..10_000 {
            seen.ask(target(number), LINK, at(number.into()));
            seen.ask(target(0), LINK, at(number.into()));
        }
        let list = seen.list(at(10_000));
        assert_eq!(list.len(), 304, "full rows");
        assert_eq!((list[0].target, list[0].asked), (target(0), 10_001));
        assert!(list.iter().all(|seen| seen.target == target(0) || seen.last.as_secs() < 2_000));
    }
}
