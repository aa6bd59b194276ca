//! Waits for descriptors to become ready, level-triggered, and for deadlines on the boot-time clock.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;
use std::{fmt, io};

use rustix::event::{Timespec, epoll};
use rustix::io::Errno;
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, timerfd_create, timerfd_settime,
};

use crate::clock::boottime_ns;

/// A set of descriptors and the epoll instance that watches them, with a timer.
///
/// Each descriptor goes under a token that the caller chooses, any but `u64::MAX`. The poller never
/// owns a descriptor: closing the last copy of one also removes it from the set.
pub struct Poller {
    epoll: OwnedFd,
    /// The time limit of epoll itself would stand still while the machine is suspended, and what
    /// was due meanwhile would come as late as the sleep was long.
    timer: OwnedFd,
    /// When the timer fires, on the boot-time clock; none if it has fired or was never set.
    armed: Option<u64>,
    events: Box<[epoll::Event]>,
}

/// What to wait for on a descriptor; errors and hang-ups are always reported.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Interest {
    /// There is something to read.
    Read,
    /// There is something to read, or room to write.
    ReadWrite,
}

/// One descriptor that became ready.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Ready {
    /// Token the descriptor was added under.
    pub token: u64,
    /// Reading makes progress; also set on errors and hang-ups, which reading then tells.
    pub readable: bool,
    /// Writing makes progress.
    pub writable: bool,
    /// The descriptor reports an error or a hang-up.
    pub failed: bool,
}

/// What the poller could not do.
#[derive(Debug, thiserror::Error)]
pub enum PollError {
    /// No epoll instance or no timer could be made.
    #[error("cannot create an epoll instance with a timer")]
    Create(#[source] io::Error),
    /// A descriptor could not be added, changed or removed.
    #[error("cannot {attempt} the descriptor under token {token}")]
    Register {
        /// What was tried.
        attempt: &'static str,
        /// Token of the descriptor.
        token: u64,
        /// Why it failed.
        source: io::Error,
    },
    /// Waiting failed.
    #[error("cannot wait for events")]
    Wait(#[source] io::Error),
}

impl Poller {
    /// Creates a poller that watches nothing yet.
    ///
    /// # Errors
    ///
    /// [`PollError::Create`] when the process has no descriptors left.
    pub fn new() -> Result<Self, PollError> {
        let (epoll, timer) = create().map_err(|errno| PollError::Create(errno.into()))?;
        let nothing =
            epoll::Event { flags: epoll::EventFlags::empty(), data: epoll::EventData::new_u64(0) };
        let events = vec![nothing; EVENTS_PER_WAIT].into_boxed_slice();
        Ok(Self { epoll, timer, armed: None, events })
    }

    /// Watches `fd` under `token`.
    ///
    /// # Errors
    ///
    /// [`PollError::Register`] when `fd` is watched already or cannot be watched.
    pub fn add(&self, fd: impl AsFd, token: u64, interest: Interest) -> Result<(), PollError> {
        epoll::add(&self.epoll, fd, epoll::EventData::new_u64(token), interest.flags())
            .map_err(|errno| PollError::Register { attempt: "add", token, source: errno.into() })
    }

    /// Changes what is waited for on `fd`.
    ///
    /// # Errors
    ///
    /// [`PollError::Register`] when `fd` is not watched.
    pub fn modify(&self, fd: impl AsFd, token: u64, interest: Interest) -> Result<(), PollError> {
        epoll::modify(&self.epoll, fd, epoll::EventData::new_u64(token), interest.flags())
            .map_err(|errno| PollError::Register { attempt: "change", token, source: errno.into() })
    }

    /// Stops watching `fd`, which was added under `token`.
    ///
    /// # Errors
    ///
    /// [`PollError::Register`] when `fd` is not watched.
    pub fn remove(&self, fd: impl AsFd, token: u64) -> Result<(), PollError> {
        epoll::delete(&self.epoll, fd).map_err(|errno| PollError::Register {
            attempt: "remove",
            token,
            source: errno.into(),
        })
    }

    /// Waits until a descriptor is ready or the boot-time clock reads `deadline` nanoseconds
    /// ([`boottime_ns`]), and replaces the contents of `ready` by what is ready; without a deadline
    /// it waits as long as it takes.
    ///
    /// It may return early with nothing when a signal handler ran. A deadline that passes while the
    /// machine is suspended is noticed as soon as it wakes up.
    ///
    /// # Errors
    ///
    /// [`PollError::Wait`], which no valid use brings about.
    pub fn wait(&mut self, ready: &mut Vec<Ready>, deadline: Option<u64>) -> Result<(), PollError> {
        ready.clear();
        let fail = |errno: Errno| PollError::Wait(errno.into());
        loop {
            let is_due = has_passed(deadline);
            // A timer that is set to some earlier time is left alone: deadlines mostly recede, and
            // to be woken in vain once costs less than to set the timer at each turn.
            if let Some(deadline) = deadline
                && !is_due
                && self.armed.is_none_or(|armed| armed > deadline)
            {
                self.arm(deadline).map_err(fail)?;
            }
            let timeout = if is_due { Some(&NOW) } else { None };
            let count = match epoll::wait(&self.epoll, &mut *self.events, timeout) {
                Ok(count) => count,
                Err(Errno::INTR) => return Ok(()),
                Err(errno) => return Err(fail(errno)),
            };
            for event in self.events.iter().take(count) {
                if event.data.u64() == TIMER {
                    self.armed = None;
                } else {
                    ready.push(Ready::from_event(event));
                }
            }
            if !ready.is_empty() || is_due || has_passed(deadline) {
                return Ok(());
            }
        }
    }

    /// Sets the timer.
    fn arm(&mut self, deadline: u64) -> Result<(), Errno> {
        let it_value =
            Timespec::try_from(Duration::from_nanos(deadline)).map_err(|_| Errno::OVERFLOW)?;
        let once = Itimerspec { it_interval: NOW, it_value };
        timerfd_settime(&self.timer, TimerfdTimerFlags::ABSTIME, &once)?;
        self.armed = Some(deadline);
        Ok(())
    }
}

/// Makes an epoll instance that watches a timer.
fn create() -> Result<(OwnedFd, OwnedFd), Errno> {
    let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    let flags = TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK;
    let timer = timerfd_create(TimerfdClockId::Boottime, flags)?;
    // It is reported once each time it fires, without having to be read.
    let interest = epoll::EventFlags::IN | epoll::EventFlags::ET;
    epoll::add(&epoll, &timer, epoll::EventData::new_u64(TIMER), interest)?;
    Ok((epoll, timer))
}

fn has_passed(deadline: Option<u64>) -> bool {
    deadline.is_some_and(|deadline| deadline <= boottime_ns())
}

impl fmt::Debug for Poller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Poller").field("epoll", &self.epoll).finish_non_exhaustive()
    }
}

impl AsFd for Poller {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.epoll.as_fd()
    }
}

impl Interest {
    const fn flags(self) -> epoll::EventFlags {
        match self {
            Self::Read => epoll::EventFlags::IN,
            Self::ReadWrite => epoll::EventFlags::IN.union(epoll::EventFlags::OUT),
        }
    }
}

impl Ready {
    fn from_event(event: &epoll::Event) -> Self {
        let flags = event.flags;
        let failed = flags.intersects(epoll::EventFlags::ERR | epoll::EventFlags::HUP);
        Self {
            token: event.data.u64(),
            readable: failed || flags.contains(epoll::EventFlags::IN),
            writable: flags.contains(epoll::EventFlags::OUT),
            failed,
        }
    }
}

/// The token of the poller's own timer.
const TIMER: u64 = u64::MAX;

const NOW: Timespec = Timespec { tv_sec: 0, tv_nsec: 0 };

/// More than the links, sockets and clients of any usual configuration.
const EVENTS_PER_WAIT: usize = 64;

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::os::unix::net::UnixStream;

    use super::{Interest, Poller, Ready};
    use crate::clock::boottime_ns;

    const FOREVER: Option<u64> = None;
    const AT_ONCE: Option<u64> = Some(0);

    #[test]
    fn reports_a_readable_descriptor_until_it_is_read() {
        let (mut near, far) = UnixStream::pair().unwrap();
        let mut poller = Poller::new().unwrap();
        poller.add(&far, 7, Interest::Read).unwrap();
        let mut ready = Vec::new();
        poller.wait(&mut ready, AT_ONCE).unwrap();
        assert_eq!(ready, []);

        near.write_all(b"x").unwrap();
        let expected = [Ready { token: 7, readable: true, writable: false, failed: false }];
        for _ in 0..2 {
            poller.wait(&mut ready, FOREVER).unwrap();
            assert_eq!(ready, expected);
        }
    }

    #[test]
    fn reports_room_to_write_only_when_asked() {
        let (_near, far) = UnixStream::pair().unwrap();
        let mut poller = Poller::new().unwrap();
        let mut ready = Vec::new();
        poller.add(&far, 9, Interest::ReadWrite).unwrap();
        poller.wait(&mut ready, FOREVER).unwrap();
        let expected = Ready { token: 9, readable: false, writable: true, failed: false };
        assert_eq!(ready, [expected]);

        poller.modify(&far, 9, Interest::Read).unwrap();
        poller.wait(&mut ready, AT_ONCE).unwrap();
        assert_eq!(ready, []);
    }

    #[test]
    fn reports_a_hang_up_as_readable_and_failed() {
        let (near, far) = UnixStream::pair().unwrap();
        let mut poller = Poller::new().unwrap();
        poller.add(&far, 1, Interest::Read).unwrap();
        drop(near);
        let mut ready = Vec::new();
        poller.wait(&mut ready, FOREVER).unwrap();
        assert_eq!(ready, [Ready { token: 1, readable: true, writable: false, failed: true }]);
        poller.remove(&far, 1).unwrap();
        poller.wait(&mut ready, AT_ONCE).unwrap();
        assert_eq!(ready, []);
    }

    #[test]
    fn tim_05_deadlines_are_reached_on_the_clock_that_counts_sleep() {
        let mut poller = Poller::new().unwrap();
        let mut ready = Vec::new();
        // Closer, farther and closer again than what the timer was set to, and one that has passed.
        for microseconds in [300, 20_000, 2_000, 5_000, 1, 0] {
            let deadline = boottime_ns() + microseconds * 1000;
            poller.wait(&mut ready, Some(deadline)).unwrap();
            assert!(boottime_ns() >= deadline);
            assert_eq!(ready, []);
        }
    }

    #[test]
    fn a_timer_that_was_set_for_an_earlier_turn_ends_no_later_one() {
        let (mut near, far) = UnixStream::pair().unwrap();
        let mut poller = Poller::new().unwrap();
        poller.add(&far, 7, Interest::Read).unwrap();
        let mut ready = Vec::new();
        near.write_all(b"x").unwrap();
        let early = boottime_ns() + 20_000_000;
        poller.wait(&mut ready, Some(early)).unwrap();
        assert_eq!(ready.len(), 1);
        poller.remove(&far, 7).unwrap();

        let late = early + 20_000_000;
        poller.wait(&mut ready, Some(late)).unwrap();
        assert!(boottime_ns() >= late);
        assert_eq!(ready, []);
    }

    #[test]
    fn a_deadline_beyond_all_times_is_as_good_as_none() {
        let (mut near, far) = UnixStream::pair().unwrap();
        let mut poller = Poller::new().unwrap();
        poller.add(&far, 7, Interest::Read).unwrap();
        near.write_all(b"x").unwrap();
        let mut ready = Vec::new();
        poller.wait(&mut ready, Some(u64::MAX)).unwrap();
        assert_eq!(ready.len(), 1);
    }

    #[test]
    fn names_what_failed() {
        let (near, _far) = UnixStream::pair().unwrap();
        let poller = Poller::new().unwrap();
        let error = poller.remove(&near, 3).unwrap_err();
        assert_eq!(error.to_string(), "cannot remove the descriptor under token 3");
    }
}
