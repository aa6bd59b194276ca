//! Carries out what the engine wants of the kernel: routes in batches, group memberships at once.

use std::time::{Duration, Instant};

use magpie_engine::{KernelOp, LinkId, RequestId};
use magpie_sys::group::{GroupError, Memberships};
use magpie_sys::netlink::{Batch, Errno, Family, NetlinkError, NetlinkSocket};

use crate::kernel::host_route;

/// The socket for routes and the sockets for groups, with the requests under way.
#[derive(Debug)]
pub(crate) struct Executor {
    socket: NetlinkSocket,
    batch: Batch,
    /// The requests in the batch, in its order.
    requests: Vec<Request>,
    memberships: Memberships,
    /// Changes of memberships that came behind changes of routes.
    later: Vec<(RequestId, KernelOp)>,
    outcomes: Vec<Outcome>,
}

/// What became of a request of the engine's.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Outcome {
    pub(crate) request: RequestId,
    pub(crate) op: KernelOp,
    /// The error is the `errno` value.
    pub(crate) result: Result<(), i32>,
    /// The kernel did something, and will announce it.
    pub(crate) had_effect: bool,
}

/// A change of routes.
#[derive(Clone, Copy, Debug)]
struct Request {
    sequence: u32,
    id: RequestId,
    op: KernelOp,
    /// None while the kernel has not answered.
    result: Option<Result<(), Errno>>,
}

impl Executor {
    /// Opens the socket for routes in the calling thread's network namespace.
    pub(crate) fn open() -> Result<Self, NetlinkError> {
        Ok(Self {
            socket: NetlinkSocket::open(Family::Route)?,
            batch: Batch::new(),
            requests: Vec::new(),
            memberships: Memberships::new(),
            later: Vec::new(),
            outcomes: Vec::new(),
        })
    }

    /// Takes a request: changes of routes wait for [`Executor::commit`], changes of memberships
    /// are made at once, or wait for [`Executor::catch_up`] if changes of routes came before them.
    pub(crate) fn accept(&mut self, id: RequestId, op: KernelOp) {
        match op {
            KernelOp::SetRoute { target, link } => {
                let sequence = self.batch.replace_host_route(&host_route(target, link));
                self.requests.push(Request { sequence, id, op, result: None });
            }
            KernelOp::DelRoute { target, link } => {
                let sequence = self.batch.delete_host_route(&host_route(target, link));
                self.requests.push(Request { sequence, id, op, result: None });
            }
            KernelOp::JoinGroup { .. } | KernelOp::LeaveGroup { .. } if self.is_behind() => {
                self.later.push((id, op));
            }
            KernelOp::JoinGroup { link, group } => {
                let result = self.memberships.join(link.0, group);
                let had_effect = matches!(result, Ok(true));
                let result = result.map(drop).map_err(|error| errno_of(&error));
                self.outcomes.push(Outcome { request: id, op, result, had_effect });
            }
            KernelOp::LeaveGroup { link, group } => {
                let had_effect = self.memberships.leave(link.0, group);
                self.outcomes.push(Outcome { request: id, op, result: Ok(()), had_effect });
            }
        }
        if self.requests.len() >= MOST_AT_ONCE {
            self.commit();
        }
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

    /// Tells whether changes of routes wait for [`Executor::commit`].
    pub(crate) fn has_requests(&self) -> bool {
        !self.requests.is_empty()
    }

    /// Hands the kernel the changes of routes and reads what became of them.
    ///
    /// The kernel carries them out while they are handed over, so that the answers are there
    /// at once. A request that stays without an answer counts as failed.
    pub(crate) fn commit(&mut self) {
        if let Err(error) = self.transact() {
            tracing::warn!(error = %crate::Chain(&error), "cannot change host routes");
        }
        self.batch.clear();
        self.outcomes.extend(self.requests.drain(..).map(Request::outcome));
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

    /// Counts the groups joined on a link.
    pub(crate) fn groups(&self, link: LinkId) -> usize {
        self.memberships.groups(link.0).count()
    }

    /// Whether something that came earlier has yet to be done.
    fn is_behind(&self) -> bool {
        !self.requests.is_empty() || !self.later.is_empty()
    }

    fn transact(&mut self) -> Result<(), NetlinkError> {
        self.socket.send(&self.batch)?;
        let requests = &mut self.requests;
        let mut answered = 0;
        let deadline = Instant::now() + ANSWER_LIMIT;
        while answered < requests.len() {
            let read = self.socket.read_some_acks(|sequence, verdict| {
                // Answers come in the order of the requests, and an earlier call that gave up may
                // have left some behind.
                let mut open = requests.iter_mut().skip(answered);
                if let Some(request) = open.find(|request| request.sequence == sequence) {
                    request.result = Some(verdict.map_err(|error| error.errno));
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
    fn outcome(self) -> Outcome {
        let result = self.result.unwrap_or(Err(Errno::TIMEDOUT));
        // What was to be deleted is not there: that is what was wanted.
        let is_gone = matches!(self.op, KernelOp::DelRoute { .. })
            && matches!(result, Err(Errno::SRCH | Errno::NOENT | Errno::NODEV | Errno::NXIO));
        Outcome {
            request: self.id,
            op: self.op,
            result: if is_gone { Ok(()) } else { result.map_err(Errno::raw_os_error) },
            had_effect: result.is_ok(),
        }
    }
}

fn errno_of(error: &GroupError) -> i32 {
    let source = match error {
        GroupError::Open(source)
        | GroupError::NoLink { source, .. }
        | GroupError::Join { source, .. } => source,
    };
    source.raw_os_error().unwrap_or(Errno::IO.raw_os_error())
}

/// Changes of routes in one send. More than this gains nothing.
const MOST_AT_ONCE: usize = 256;
/// The kernel answers while it is asked; beyond this something is badly wrong.
const ANSWER_LIMIT: Duration = Duration::from_millis(500);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn that_there_is_nothing_to_delete_is_no_failure() {
        let (target, link) = ("2001:db8::1".parse().unwrap(), LinkId(7));
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
            let request = Request { sequence: 1, id: RequestId(9), op, result: answer };
            let expected = Outcome { request: RequestId(9), op, result, had_effect };
            assert_eq!(request.outcome(), expected);
        }
    }
}
