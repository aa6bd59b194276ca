//! What the kernel's routing tables say, as far as it was asked.

use std::collections::BTreeMap;
use std::net::Ipv6Addr;

use crate::resolution::Asker;
use crate::{Egress, FoundRoute, LinkId, RequestId};

/// What the kernel said: the route it would take, if there is one.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Answer(pub(crate) Option<FoundRoute>);

/// Answers of the kernel's that are remembered until its routes change, and questions under way.
#[derive(Debug, Default)]
pub(crate) struct Fib {
    known: BTreeMap<(Ipv6Addr, Option<LinkId>), Answer>,
    asked: BTreeMap<RequestId, Question>,
}

/// A question to the kernel.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Question {
    pub(crate) target: Ipv6Addr,
    pub(crate) from: Option<LinkId>,
    pub(crate) purpose: Purpose,
    /// The routes have changed since: the answer is not remembered.
    pub(crate) outdated: bool,
}

/// What the answer is wanted for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Purpose {
    /// Somebody asks for the target.
    Answer(Asker),
    /// Somebody asked for the target, and its answer was put off.
    Late(Asker),
    /// Somebody asks for the target, which may be on a bare link.
    Resolve(Asker),
    /// A packet for the target left by a bare link.
    Data(LinkId),
    /// Somebody detects duplicates of the target.
    Defend(LinkId),
    /// The target was found, and packets have to get there.
    Settle,
}

impl Fib {
    /// Answers that are remembered.
    const MOST_KNOWN: usize = 4096;
    /// Questions under way.
    const MOST_ASKED: usize = 1024;

    /// Returns what the kernel said of packets to `target` that come from `from`; none if it has
    /// not been asked since its routes changed.
    pub(crate) fn get(&self, target: Ipv6Addr, from: Option<LinkId>) -> Option<Answer> {
        self.known.get(&(target, from)).copied()
    }

    /// Returns how many answers are remembered and questions under way.
    pub(crate) fn len(&self) -> usize {
        self.known.len() + self.asked.len()
    }

    /// Whether this host's own packets to `target` surely leave by `link`.
    pub(crate) fn leads_to(&self, target: Ipv6Addr, link: LinkId) -> bool {
        let found = self.get(target, None).and_then(|answer| answer.0);
        found.is_some_and(|found| found.egress == Egress::Device(link))
    }

    /// Whether there is room for one more question.
    pub(crate) fn has_room(&self) -> bool {
        self.asked.len() < Self::MOST_ASKED
    }

    /// Notes that the kernel is being asked.
    pub(crate) fn ask(
        &mut self,
        request: RequestId,
        target: Ipv6Addr,
        from: Option<LinkId>,
        purpose: Purpose,
    ) {
        self.asked.insert(request, Question { target, from, purpose, outdated: false });
    }

    /// Takes the kernel's answer; returns what it was wanted for.
    pub(crate) fn answer(
        &mut self,
        request: RequestId,
        route: Option<FoundRoute>,
    ) -> Option<Question> {
        let question = self.asked.remove(&request)?;
        if !question.outdated {
            if self.known.len() >= Self::MOST_KNOWN {
                self.known.clear();
            }
            self.known.insert((question.target, question.from), Answer(route));
        }
        Some(question)
    }

    /// The kernel does not answer.
    pub(crate) fn withdraw(&mut self, request: RequestId) {
        self.asked.remove(&request);
    }

    /// Forgets what is known of a target whose host route we changed.
    pub(crate) fn forget(&mut self, target: Ipv6Addr) {
        if self.known.is_empty() && self.asked.is_empty() {
            return;
        }
        while let Some((key, _)) = self.known.range((target, None)..).next()
            && key.0 == target
        {
            let key = *key;
            self.known.remove(&key);
        }
        for question in self.asked.values_mut().filter(|question| question.target == target) {
            question.outdated = true;
        }
    }

    /// Forgets everything: the routes have changed.
    pub(crate) fn clear(&mut self) {
        self.known.clear();
        self.asked.values_mut().for_each(|question| question.outdated = true);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WAN: LinkId = LinkId(2);
    const TARGET: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);
    const FOUND: Option<FoundRoute> =
        Some(FoundRoute { egress: Egress::Device(LinkId(7)), prefix_len: 112 });

    #[test]
    fn answers_are_remembered_until_the_routes_change() {
        let mut fib = Fib::default();
        fib.ask(RequestId(1), TARGET, Some(WAN), Purpose::Defend(WAN));
        assert_eq!(fib.get(TARGET, Some(WAN)), None);
        assert!(fib.answer(RequestId(1), FOUND).is_some());
        assert_eq!(fib.get(TARGET, Some(WAN)), Some(Answer(FOUND)));
        assert_eq!(fib.get(TARGET, None), None, "that was another question");
        fib.clear();
        assert_eq!(fib.get(TARGET, Some(WAN)), None);
    }

    #[test]
    fn an_answer_from_before_a_change_is_used_but_not_remembered() {
        let mut fib = Fib::default();
        fib.ask(RequestId(1), TARGET, None, Purpose::Settle);
        fib.clear();
        assert!(fib.answer(RequestId(1), FOUND).is_some());
        assert_eq!(fib.get(TARGET, None), None);
        fib.ask(RequestId(2), TARGET, None, Purpose::Settle);
        fib.forget(TARGET);
        assert!(fib.answer(RequestId(2), None).is_some());
        assert_eq!(fib.get(TARGET, None), None);
        assert!(fib.answer(RequestId(2), None).is_none(), "it was answered");
    }

    #[test]
    fn one_target_is_forgotten_from_all_sides() {
        let other = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 2);
        let mut fib = Fib::default();
        for (request, target, from) in [(1, TARGET, None), (2, TARGET, Some(WAN)), (3, other, None)]
        {
            fib.ask(RequestId(request), target, from, Purpose::Settle);
            fib.answer(RequestId(request), FOUND);
        }
        fib.forget(TARGET);
        assert_eq!((fib.get(TARGET, None), fib.get(TARGET, Some(WAN))), (None, None));
        assert!(fib.leads_to(other, LinkId(7)) && !fib.leads_to(other, WAN));
    }

    #[test]
    fn memory_is_bounded() {
        let mut fib = Fib::default();
        for number in 0..10_000u64 {
            assert!(fib.has_room());
            let target = Ipv6Addr::from_bits(TARGET.to_bits() + u128::from(number));
            fib.ask(RequestId(number), target, None, Purpose::Settle);
            fib.answer(RequestId(number), None);
            assert!(fib.known.len() <= Fib::MOST_KNOWN);
        }
        (0..Fib::MOST_ASKED as u64)
            .for_each(|n| fib.ask(RequestId(n), TARGET, None, Purpose::Settle));
        assert!(!fib.has_room());
    }
}
