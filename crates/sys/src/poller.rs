//! Waits for descriptors to become ready, level-triggered, with deadlines exact to the nanosecond.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;
use std::{fmt, io};

use rustix::event::{Timespec, epoll};
use rustix::io::Errno;

/// A set of descriptors and the epoll instance that watches them.
///
/// Each descriptor goes under a token that the caller chooses. The poller never owns a descriptor:
/// closing the last copy of one also removes it from the set.
pub struct Poller {
    epoll: OwnedFd,
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
    /// No epoll instance could be made.
    #[error("cannot create an epoll instance")]
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
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)
            .map_err(|errno| PollError::Create(errno.into()))?;
        let nothing =
            epoll::Event { flags: epoll::EventFlags::empty(), data: epoll::EventData::new_u64(0) };
        Ok(Self { epoll, events: vec![nothing; EVENTS_PER_WAIT].into_boxed_slice() })
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

    /// Waits until a descriptor is ready or `timeout` has passed, and replaces the contents of
    /// `ready` by what is ready; without a timeout it waits as long as it takes.
    ///
    /// It may return early with nothing when a signal handler ran. Time that the machine spends
    /// asleep does not count against the timeout.
    ///
    /// # Errors
    ///
    /// [`PollError::Wait`], which no valid use brings about.
    pub fn wait(
        &mut self,
        ready: &mut Vec<Ready>,
        timeout: Option<Duration>,
    ) -> Result<(), PollError> {
        ready.clear();
        // A timeout too long for the kernel is as good as none.
        let timeout = timeout.and_then(|timeout| Timespec::try_from(timeout).ok());
        let count = match epoll::wait(&self.epoll, &mut *self.events, timeout.as_ref()) {
            Ok(count) => count,
            Err(Errno::INTR) => 0,
            Err(errno) => return Err(PollError::Wait(errno.into())),
        };
        ready.extend(self.events.iter().take(count).map(Ready::from_event));
        Ok(())
    }
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

/// More than the links, sockets and clients of any usual configuration.
const EVENTS_PER_WAIT: usize = 64;

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::os::unix::net::UnixStream;
    use std::time::{Duration, Instant};

    use super::{Interest, Poller, Ready};

    const FOREVER: Option<Duration> = None;
    const AT_ONCE: Option<Duration> = Some(Duration::ZERO);

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
        poller.add(&far, u64::MAX, Interest::ReadWrite).unwrap();
        poller.wait(&mut ready, FOREVER).unwrap();
        let expected = Ready { token: u64::MAX, readable: false, writable: true, failed: false };
        assert_eq!(ready, [expected]);

        poller.modify(&far, u64::MAX, Interest::Read).unwrap();
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
    fn a_short_timeout_is_not_rounded_down_to_nothing() {
        let mut poller = Poller::new().unwrap();
        let mut ready = Vec::new();
        let timeout = Duration::from_micros(300);
        let start = Instant::now();
        poller.wait(&mut ready, Some(timeout)).unwrap();
        assert!(start.elapsed() >= timeout);
        assert_eq!(ready, []);
    }

    #[test]
    fn names_what_failed() {
        let (near, _far) = UnixStream::pair().unwrap();
        let poller = Poller::new().unwrap();
        let error = poller.remove(&near, 3).unwrap_err();
        assert_eq!(error.to_string(), "cannot remove the descriptor under token 3");
    }
}
