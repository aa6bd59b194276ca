//! Turns the signals that steer a daemon into events that an event loop reads.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::ptr;

use rustix::io::Errno;

/// The steering signals, blocked for this thread and readable from a descriptor.
///
/// Dropping it does not unblock them: a late signal must not cut the cleaning up short.
#[derive(Debug)]
pub struct Signals {
    fd: OwnedFd,
    before: libc::sigset_t,
}

/// A signal that steers the daemon.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Signal {
    /// `SIGTERM`.
    Terminate,
    /// `SIGINT`.
    Interrupt,
    /// `SIGHUP`.
    Hangup,
    /// `SIGUSR1`.
    User1,
    /// `SIGUSR2`.
    User2,
}

/// What could not be done about signals.
#[derive(Debug, thiserror::Error)]
pub enum SignalError {
    /// The signals could not be blocked.
    #[error("cannot block signals")]
    Block(#[source] io::Error),
    /// The descriptor could not be made.
    #[error("cannot create a signal descriptor")]
    Create(#[source] io::Error),
    /// The descriptor could not be read.
    #[error("cannot read from the signal descriptor")]
    Read(#[source] io::Error),
}

impl Signals {
    /// Blocks the steering signals in the calling thread and opens a descriptor for them.
    ///
    /// Call it before other threads start: they inherit what is blocked, and a thread that does
    /// not would be struck instead.
    ///
    /// # Errors
    ///
    /// [`SignalError::Create`] when the process has no descriptors left.
    pub fn block() -> Result<Self, SignalError> {
        let set = steering_set();
        let before = change_mask(libc::SIG_BLOCK, &set).map_err(SignalError::Block)?;
        // SAFETY: `set` is an initialized signal set that outlives the call; -1 asks for a new
        // descriptor.
        let fd =
            unsafe { libc::signalfd(-1, &raw const set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK) };
        if fd < 0 {
            return Err(SignalError::Create(io::Error::last_os_error()));
        }
        // SAFETY: the kernel has just returned `fd`, and nobody else knows it.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        Ok(Self { fd, before })
    }

    /// Takes the next pending signal, or `None` when there is none.
    ///
    /// # Errors
    ///
    /// [`SignalError::Read`], which no valid use brings about.
    pub fn next(&self) -> Result<Option<Signal>, SignalError> {
        loop {
            let mut record = [0; size_of::<libc::signalfd_siginfo>()];
            match rustix::io::read(&self.fd, &mut record) {
                Ok(_) => {}
                Err(Errno::AGAIN) => return Ok(None),
                Err(Errno::INTR) => continue,
                Err(errno) => return Err(SignalError::Read(errno.into())),
            }
            // The record starts with the signal number.
            let [a, b, c, d, ..] = record;
            let number = u32::from_ne_bytes([a, b, c, d]);
            if let Some((signal, _)) =
                STEERING.iter().find(|(_, raw)| u32::try_from(*raw) == Ok(number))
            {
                return Ok(Some(*signal));
            }
        }
    }

    /// Gives the child that `command` will start the signal mask that this process had before:
    /// children inherit what is blocked, and most do not expect it.
    pub fn restore_in<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        let before = self.before;
        let restore = move || change_mask(libc::SIG_SETMASK, &before).map(drop);
        // SAFETY: between fork and exec, `restore` makes one async-signal-safe call on a copy of
        // its own; it neither allocates nor takes locks.
        unsafe { command.pre_exec(restore) }
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Returns the set of all signals in [`STEERING`].
fn steering_set() -> libc::sigset_t {
    let mut set = MaybeUninit::uninit();
    // SAFETY: sigemptyset initializes the set that it is given a valid pointer to.
    let mut set = unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        set.assume_init()
    };
    for (_, raw) in STEERING {
        // SAFETY: `set` is initialized, and `raw` is a valid signal number.
        unsafe { libc::sigaddset(&raw mut set, raw) };
    }
    set
}

/// Changes the calling thread's signal mask and returns what it was.
fn change_mask(how: libc::c_int, set: &libc::sigset_t) -> io::Result<libc::sigset_t> {
    let mut before = MaybeUninit::uninit();
    // SAFETY: `set` is initialized, and `before` is valid for writing a signal set.
    let errno = unsafe { libc::pthread_sigmask(how, ptr::from_ref(set), before.as_mut_ptr()) };
    if errno != 0 {
        return Err(io::Error::from_raw_os_error(errno));
    }
    // SAFETY: the call succeeded, so it has filled in the old mask.
    Ok(unsafe { before.assume_init() })
}

const STEERING: [(Signal, libc::c_int); 5] = [
    (Signal::Terminate, libc::SIGTERM),
    (Signal::Interrupt, libc::SIGINT),
    (Signal::Hangup, libc::SIGHUP),
    (Signal::User1, libc::SIGUSR1),
    (Signal::User2, libc::SIGUSR2),
];

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::{STEERING, Signals};
    use crate::clock::boottime_ns;
    use crate::poller::{Interest, Poller};

    /// Sends `raw` to the calling thread alone; other tests run beside this one.
    fn raise(raw: libc::c_int) {
        // SAFETY: both calls take plain numbers, and the thread is the caller's.
        let failed = unsafe { libc::pthread_kill(libc::pthread_self(), raw) };
        assert_eq!(failed, 0);
    }

    #[test]
    fn signals_arrive_on_the_descriptor_instead_of_killing() {
        let signals = Signals::block().unwrap();
        assert_eq!(signals.next().unwrap(), None);
        let mut poller = Poller::new().unwrap();
        poller.add(&signals, 1, Interest::Read).unwrap();
        for (signal, raw) in STEERING {
            raise(raw);
            let mut ready = Vec::new();
            poller.wait(&mut ready, Some(boottime_ns() + 5_000_000_000)).unwrap();
            assert_eq!(ready.len(), 1, "{signal:?}");
            assert_eq!(signals.next().unwrap(), Some(signal));
            assert_eq!(signals.next().unwrap(), None);
        }
    }

    #[test]
    fn a_child_gets_the_mask_from_before() {
        let signals = Signals::block().unwrap();
        let blocked = |restore: bool| {
            let mut command = Command::new("/bin/cat");
            command.arg("/proc/self/status").stdout(Stdio::piped());
            if restore {
                signals.restore_in(&mut command);
            }
            let output = command.output().unwrap();
            let status = String::from_utf8(output.stdout).unwrap();
            let line = status.lines().find(|line| line.starts_with("SigBlk:")).unwrap();
            u64::from_str_radix(line.trim_start_matches("SigBlk:").trim(), 16).unwrap()
        };
        let term = 1 << (libc::SIGTERM - 1);
        assert_eq!(blocked(false) & term, term);
        assert_eq!(blocked(true) & term, 0);
    }
}
