//! Threads that wait for a socket and stop at once when they are told to.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec};
use rustix::io::Errno;

/// A thread that ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Background {
    stop: Stop,
    thread: Option<JoinHandle<()>>,
}

impl Background {
    /// Starts `job`, which must return soon after [`Stop::wait`] said so.
    pub(crate) fn start(name: &str, job: impl FnOnce(&Stop) + Send + 'static) -> io::Result<Self> {
        let stop = Stop { fd: Arc::new(rustix::event::eventfd(0, EventfdFlags::CLOEXEC)?) };
        let seen = stop.clone();
        let thread = thread::Builder::new().name(name.to_owned()).spawn(move || job(&seen))?;
        Ok(Self { stop, thread: Some(thread) })
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        // A counter that was never written to takes a write.
        let _ = rustix::io::write(&*self.stop.fd, &1_u64.to_ne_bytes());
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            eprintln!("a thread of the test network panicked");
        }
    }
}

/// How a background thread learns that it shall end.
#[derive(Clone, Debug)]
pub(crate) struct Stop {
    fd: Arc<OwnedFd>,
}

/// Why a wait ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Woken {
    /// The thread shall end.
    Stop,
    /// One of the descriptors can be read.
    Readable,
    /// The deadline passed.
    Deadline,
}

impl Stop {
    /// Waits until one of `fds` can be read, until `deadline`, or until the thread shall end.
    pub(crate) fn wait(
        &self,
        fds: &[BorrowedFd<'_>],
        deadline: Option<Instant>,
    ) -> Result<Woken, Errno> {
        let mut set = vec![PollFd::new(&*self.fd, PollFlags::IN)];
        set.extend(fds.iter().map(|fd| PollFd::new(fd, PollFlags::IN)));
        if !poll(&mut set, deadline)? {
            return Ok(Woken::Deadline);
        }
        let stop = set.first().is_some_and(|fd| !fd.revents().is_empty());
        Ok(if stop { Woken::Stop } else { Woken::Readable })
    }
}

/// Waits until `fd` can be read; false if `deadline` passed first.
pub(crate) fn wait_readable(fd: impl AsFd, deadline: Instant) -> Result<bool, Errno> {
    poll(&mut [PollFd::new(&fd, PollFlags::IN)], Some(deadline))
}

fn poll(set: &mut [PollFd<'_>], deadline: Option<Instant>) -> Result<bool, Errno> {
    loop {
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        match rustix::event::poll(set, left.and_then(timespec).as_ref()) {
            Err(Errno::INTR) => {}
            ready => return ready.map(|ready| ready > 0),
        }
    }
}

fn timespec(time: Duration) -> Option<Timespec> {
    Timespec::try_from(time).ok()
}
