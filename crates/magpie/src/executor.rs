//! Carries out what the engine wants of the kernel: routes in batches, group memberships at once.

use std::net::Ipv6Addr;
use std::time::{Duration, Instant};

use magpie_engine::{Egress, FoundRoute, KernelOp, LinkId, RequestId};
use magpie_sys::group::{GroupError, Memberships};
use magpie_sys::netlink::{self, Answer, Batch, Errno, Family, NetlinkError, NetlinkSocket};

use crate::mark::Mark;

/// The socket for routes and the sockets for groups, with the requests under way.
#[derive(Debug)]
pub(crate) struct Executor {
    /// What the host routes carry.
    mark: Mark,
    /// What looks up routes for this host itself does so in this VRF.
    vrf: Option<LinkId>,
    socket: NetlinkSocket,
    batch: Batch,
    /// The requests in the batch, in its order.
    requests: Vec<Request>,
    memberships: Memberships,
    /// Those of them that the kernel has ended, as far as that was noticed.
    lost_groups: Vec<(u32, Ipv6Addr)>,
    /// Changes of memberships that came behind changes of routes.
    later: Vec<(RequestId, KernelOp)>,
    outcomes: Vec<Outcome>,
}

/// What became of a request of the engine's.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Outcome {
    /// A change was made, or not.
    Change {
        request: RequestId,
        op: KernelOp,
        /// The error is the `errno` value.
        result: Result<(), i32>,
        /// The kernel did something, and will announce it.
        had_effect: bool,
    },
    /// A route was looked up; the error is that the kernel has not said.
    Lookup { request: RequestId, route: Result<Option<FoundRoute>, Unanswered> },
}

/// The kernel has not answered a question.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Unanswered;

/// A change of routes, or a question about them.
#[derive(Clone, Debug)]
struct Request {
    sequence: u32,
    id: RequestId,
    wish: Wish,
    /// None while the kernel has not answered.
    answer: Option<Answer>,
}

#[derive(Clone, Copy, Debug)]
enum Wish {
    Change(KernelOp),
    Lookup {
        target: Ipv6Addr,
        from: Option<LinkId>,
        /// Known if the kernel has told all but the device.
        prefix_len: Option<u8>,
    },
}

impl Executor {
    /// Opens the socket for routes in the calling thread's network namespace. Host routes get
    /// `mark`.
    pub(crate) fn open(mark: Mark) -> Result<Self, NetlinkError> {
        Ok(Self {
            mark,
            vrf: None,
            socket: NetlinkSocket::open(Family::Route)?,
            batch: Batch::new(),
            requests: Vec::new(),
            memberships: Memberships::new(),
            lost_groups: Vec::new(),
            later: Vec::new(),
            outcomes: Vec::new(),
        })
    }

    /// Takes a request: changes of routes wait for [`Executor::commit`], changes of memberships
    /// are made at once, or wait for [`Executor::catch_up`] if changes of routes came before them.
    pub(crate) fn accept(&mut self, id: RequestId, op: KernelOp) {
        match op {
            KernelOp::SetRoute { target, link } => {
                let sequence = self.batch.replace_host_route(&self.mark.route(target, link));
                self.await_answer(sequence, id, Wish::Change(op));
            }
            KernelOp::DelRoute { target, link } => {
                let sequence = self.batch.delete_host_route(&self.mark.route(target, link));
                self.await_answer(sequence, id, Wish::Change(op));
            }
            KernelOp::JoinGroup { .. } | KernelOp::LeaveGroup { .. } if self.is_behind() => {
                self.later.push((id, op));
            }
            KernelOp::JoinGroup { link, group } => {
                let result = self.memberships.join(link.0, group);
                let had_effect = matches!(result, Ok(true));
                let result = result.map(drop).map_err(|error| errno_of(&error));
                self.outcomes.push(Outcome::Change { request: id, op, result, had_effect });
            }
            KernelOp::LeaveGroup { link, group } => {
                let had_effect = self.memberships.leave(link.0, group);
                let outcome = Outcome::Change { request: id, op, result: Ok(()), had_effect };
                self.outcomes.push(outcome);
            }
        }
    }

    /// Takes a question: which route a packet to `target` takes that comes in by the link `from`,
    /// or from this host itself. It waits for [`Executor::commit`] in order with the changes.
    pub(crate) fn find_route(&mut self, id: RequestId, target: Ipv6Addr, from: Option<LinkId>) {
        // What comes in by the VRF device itself is looked up as what this host sends there.
        let from = from.or(self.vrf);
        let sequence = self.batch.find_route(target, from.map(|link| link.0));
        self.await_answer(sequence, id, Wish::Lookup { target, from, prefix_len: None });
    }

    /// Makes the changes of memberships that had to wait; tells whether there were any. Frames
    /// that wait for routes are sent before, since a membership takes long.
    pub(crate) fn catch_up(&mut self) -> bool {
        let mut later = std::mem::take(&mut self.later);
        let any = !later.is_empty();
        for (id, op) in later.drain(..) {
            self.accept(id, op);
        }
        self.later = later;
        any
    }

    /// What host routes carry.
    pub(crate) fn mark(&self) -> Mark {
        self.mark
    }

    /// Gives another mark to host routes from now on. `vrf` is the VRF that they are looked up in.
    pub(crate) fn set_mark(&mut self, mark: Mark, vrf: Option<LinkId>) {
        (self.mark, self.vrf) = (mark, vrf);
    }

    /// Deletes a host route with this mark on nobody's behalf.
    pub(crate) fn withdraw(&mut self, mark: Mark, target: Ipv6Addr, link: LinkId) {
        let sequence = self.batch.delete_host_route(&mark.route(target, link));
        let op = KernelOp::DelRoute { target, link };
        self.await_answer(sequence, NOBODY, Wish::Change(op));
    }

    /// Tells whether changes of routes, or questions, wait for [`Executor::commit`].
    pub(crate) fn has_requests(&self) -> bool {
        !self.requests.is_empty()
    }

    /// Hands the kernel the changes of routes and the questions, and reads what became of them.
    ///
    /// The kernel carries them out while they are handed over, so that the answers are there
    /// at once. A change that stays without an answer counts as failed, a question as if there
    /// were no route.
    pub(crate) fn commit(&mut self) {
        while !self.requests.is_empty() {
            if let Err(error) = self.transact() {
                tracing::warn!(error = %crate::Chain(&error), "cannot change or look up routes");
            }
            self.batch.clear();
            let Self { requests, batch, outcomes, .. } = self;
            requests.retain_mut(|request| {
                let is_open = request.rephrase(batch);
                if !is_open {
                    outcomes.push(request.outcome());
                }
                is_open
            });
        }
    }

    /// Exchanges the outcomes that are known, oldest first, for an empty list.
    pub(crate) fn swap_outcomes(&mut self, empty: &mut Vec<Outcome>) {
        std::mem::swap(&mut self.outcomes, empty);
    }

    /// Tells whether there are outcomes to be fed to the engine.
    pub(crate) fn has_outcomes(&self) -> bool {
        !self.outcomes.is_empty()
    }

    /// Forgets the memberships on a link that has gone.
    pub(crate) fn forget_link(&mut self, link: LinkId) {
        self.memberships.leave_link(link.0);
    }

    /// Leaves all groups. Asked to leave one thereafter, it has nothing to do.
    pub(crate) fn leave_all(&mut self) {
        self.memberships.leave_all();
    }

    /// Whether any group is joined.
    pub(crate) fn has_groups(&self) -> bool {
        !self.memberships.is_empty()
    }

    /// Takes note of the groups that the kernel has left by itself: of those that were joined, the
    /// ones that `is_there` says are not there. Returns how many there are.
    pub(crate) fn note_lost_groups(&mut self, is_there: impl Fn(u32, Ipv6Addr) -> bool) -> usize {
        self.lost_groups.clear();
        self.lost_groups.extend(self.memberships.lost(is_there));
        self.lost_groups.len()
    }

    /// Forgets the groups that were noted, so that they can be joined again, and returns them.
    /// Those that were left meanwhile are not among them.
    pub(crate) fn forget_lost_groups(&mut self) -> Vec<(LinkId, Ipv6Addr)> {
        let mut lost = std::mem::take(&mut self.lost_groups);
        // The socket thinks that it is in the group as yet, and would not enter it again.
        lost.retain(|&(ifindex, group)| self.memberships.leave(ifindex, group));
        lost.into_iter().map(|(ifindex, group)| (LinkId(ifindex), group)).collect()
    }

    /// Counts the groups joined on a link.
    pub(crate) fn groups(&self, link: LinkId) -> usize {
        self.memberships.groups(link.0).count()
    }

    /// Whether something that came earlier has yet to be done.
    fn is_behind(&self) -> bool {
        !self.requests.is_empty() || !self.later.is_empty()
    }

    fn await_answer(&mut self, sequence: u32, id: RequestId, wish: Wish) {
        self.requests.push(Request { sequence, id, wish, answer: None });
        if self.requests.len() >= MOST_AT_ONCE {
            self.commit();
        }
    }

    fn transact(&mut self) -> Result<(), NetlinkError> {
        self.socket.send(&self.batch)?;
        let requests = &mut self.requests;
        let mut answered = 0;
        let deadline = Instant::now() + ANSWER_LIMIT;
        while answered < requests.len() {
            let read = self.socket.read_some_answers(|sequence, answer| {
                // Answers come in the order of the requests, and an earlier call that gave up may
                // have left some behind.
                let mut open = requests.iter_mut().skip(answered);
                if let Some(request) = open.find(|request| request.sequence == sequence) {
                    request.answer = Some(answer);
                    answered += 1;
                }
            })?;
            if read.is_none() && !self.socket.wait_readable(deadline)? {
                break;
            }
        }
        Ok(())
    }
}

impl Request {
    /// Asks for what the answer to a question has left open; tells whether there is anything.
    fn rephrase(&mut self, batch: &mut Batch) -> bool {
        let Wish::Lookup { target, from, prefix_len: prefix_len @ None } = &mut self.wish else {
            return false;
        };
        let Some(Answer::Route(Some(route))) = &self.answer else { return false };
        if route.egress != netlink::Egress::Shared {
            return false;
        }
        *prefix_len = Some(route.prefix_len);
        self.sequence = batch.find_device(*target, from.map(|link| link.0));
        self.answer = None;
        true
    }

    fn outcome(&self) -> Outcome {
        let request = self.id;
        let op = match self.wish {
            Wish::Change(op) => op,
            Wish::Lookup { prefix_len, .. } => {
                return Outcome::Lookup { request, route: route(self.answer.as_ref(), prefix_len) };
            }
        };
        let result = match &self.answer {
            Some(Answer::Verdict(verdict)) => verdict.as_ref().map_err(|error| error.errno),
            Some(Answer::Route(_)) | None => Err(Errno::TIMEDOUT),
        };
        // What was to be deleted is not there: that is what was wanted.
        let is_gone = matches!(op, KernelOp::DelRoute { .. })
            && matches!(result, Err(Errno::SRCH | Errno::NOENT | Errno::NODEV | Errno::NXIO));
        Outcome::Change {
            request,
            op,
            result: if is_gone { Ok(()) } else { result.copied().map_err(Errno::raw_os_error) },
            had_effect: result.is_ok(),
        }
    }
}

/// The route that the kernel names.
fn route(
    answer: Option<&Answer>,
    prefix_len: Option<u8>,
) -> Result<Option<FoundRoute>, Unanswered> {
    let route = match answer {
        Some(Answer::Route(Some(route))) => route,
        Some(Answer::Route(None)) => return Ok(None),
        Some(Answer::Verdict(Err(error))) if NO_ROUTE.contains(&error.errno) => return Ok(None),
        Some(Answer::Verdict(_)) | None => return Err(Unanswered),
    };
    let egress = match route.egress {
        netlink::Egress::Local => Egress::Local,
        netlink::Egress::Device(index) => Egress::Device(LinkId(index)),
        netlink::Egress::Shared => return Ok(None),
    };
    Ok(Some(FoundRoute { egress, prefix_len: prefix_len.unwrap_or(route.prefix_len) }))
}

fn errno_of(error: &GroupError) -> i32 {
    let source = match error {
        GroupError::Open(source)
        | GroupError::NoLink { source, .. }
        | GroupError::Join { source, .. } => source,
    };
    source.raw_os_error().unwrap_or(Errno::IO.raw_os_error())
}

/// How the kernel says that there is no route, or none that is open: no route or `throw`,
/// `unreachable`, `blackhole`, `prohibit`, and a device that is gone.
const NO_ROUTE: [Errno; 5] =
    [Errno::NETUNREACH, Errno::HOSTUNREACH, Errno::INVAL, Errno::ACCESS, Errno::NODEV];
/// Whose request it is if it is not the engine's, which counts its own from one.
pub(crate) const NOBODY: RequestId = RequestId(0);
/// Requests in one send. More than this gains nothing.
const MOST_AT_ONCE: usize = 256;
/// The kernel answers while it is asked; beyond this something is badly wrong.
const ANSWER_LIMIT: Duration = Duration::from_millis(500);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn that_there_is_nothing_to_delete_is_no_failure() {
        let (target, link) = (TARGET, LinkId(7));
        let set = KernelOp::SetRoute { target, link };
        let delete = KernelOp::DelRoute { target, link };
        for (op, answer, result, had_effect) in [
            (set, Some(Ok(())), Ok(()), true),
            (set, Some(Err(Errno::NODEV)), Err(Errno::NODEV.raw_os_error()), false),
            (set, None, Err(Errno::TIMEDOUT.raw_os_error()), false),
            (delete, Some(Ok(())), Ok(()), true),
            (delete, Some(Err(Errno::SRCH)), Ok(()), false),
            (delete, Some(Err(Errno::PERM)), Err(Errno::PERM.raw_os_error()), false),
        ] {
            let expected = Outcome::Change { request: ID, op, result, had_effect };
            assert_eq!(outcome(Wish::Change(op), answer.map(verdict)), expected);
        }
    }

    #[test]
    fn only_a_route_that_was_told_is_found() {
        let told = netlink::FoundRoute { egress: netlink::Egress::Device(7), prefix_len: 112 };
        let route = FoundRoute { egress: Egress::Device(LinkId(7)), prefix_len: 112 };
        for (answer, route) in [
            (Some(Answer::Route(Some(told))), Ok(Some(route))),
            (Some(Answer::Route(None)), Ok(None)),
            (Some(verdict(Err(Errno::NETUNREACH))), Ok(None)),
            (Some(verdict(Err(Errno::NOBUFS))), Err(Unanswered)),
            (Some(verdict(Ok(()))), Err(Unanswered)),
            (None, Err(Unanswered)),
        ] {
            assert_eq!(outcome(LOOKUP, answer), Outcome::Lookup { request: ID, route });
        }
    }

    #[test]
    fn a_device_that_is_not_told_is_asked_for_once() {
        let told = |egress, prefix_len| {
            Some(Answer::Route(Some(netlink::FoundRoute { egress, prefix_len })))
        };
        let device = netlink::Egress::Device(7);
        let mut batch = Batch::new();
        let answer = told(netlink::Egress::Shared, 56);
        let mut request = Request { sequence: 1, id: ID, wish: LOOKUP, answer };
        assert!(request.rephrase(&mut batch));
        assert_eq!((batch.len(), request.sequence), (1, batch.last_seq()));
        assert_eq!(request.answer, None);

        for (answer, route) in [
            (
                told(device, 128),
                Ok(Some(FoundRoute { egress: Egress::Device(LinkId(7)), prefix_len: 56 })),
            ),
            (told(netlink::Egress::Shared, 128), Ok(None)),
            (None, Err(Unanswered)),
        ] {
            request.answer = answer;
            assert!(!request.rephrase(&mut batch));
            assert_eq!(request.outcome(), Outcome::Lookup { request: ID, route });
        }
        request.wish = LOOKUP;
        request.answer = told(device, 56);
        assert!(!request.rephrase(&mut batch));
        assert_eq!(batch.len(), 1);
    }

    #[test]
    fn more_than_one_send_holds_is_sent_in_between() {
        let mut executor = Executor::open(crate::mark::samples::usual()).unwrap();
        let count = MOST_AT_ONCE + 3;
        for number in 0..count {
            executor.find_route(RequestId(number as u64), Ipv6Addr::LOCALHOST, None);
        }
        assert_eq!((executor.outcomes.len(), executor.requests.len()), (MOST_AT_ONCE, 3));
        executor.commit();
        let mut outcomes = Vec::new();
        executor.swap_outcomes(&mut outcomes);
        let requests = outcomes.iter().map(|outcome| match outcome {
            Outcome::Change { request, .. } | Outcome::Lookup { request, .. } => request.0,
        });
        assert!(requests.eq(0..count as u64));
        assert!(!executor.has_requests());
    }

    fn outcome(wish: Wish, answer: Option<Answer>) -> Outcome {
        Request { sequence: 1, id: ID, wish, answer }.outcome()
    }

    fn verdict(result: Result<(), Errno>) -> Answer {
        Answer::Verdict(result.map_err(|errno| netlink::KernelError { errno, message: None }))
    }

    const LOOKUP: Wish = Wish::Lookup { target: TARGET, from: None, prefix_len: None };
    const ID: RequestId = RequestId(9);
    const TARGET: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);
}
