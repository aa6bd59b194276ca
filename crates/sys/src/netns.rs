//! Makes, enters and leaves network namespaces, also as an ordinary user.

use std::fs;
use std::io;
use std::marker::PhantomData;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::thread;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::thread::{LinkNameSpaceType, UnshareFlags};

/// A network namespace, kept alive by an open descriptor of it.
#[derive(Debug)]
pub struct Namespace {
    fd: OwnedFd,
}

impl Namespace {
    /// Makes a new namespace; the caller's stays what it is. Its loopback link is down.
    ///
    /// # Errors
    ///
    /// [`NamespaceError`] if the caller may not make namespaces or has no resources left for one.
    pub fn new() -> Result<Self, NamespaceError> {
        thread::scope(|scope| {
            let made = thread::Builder::new()
                .name("namespace".to_owned())
                .spawn_scoped(scope, || {
                    unshare(UnshareFlags::NEWNET)
                        .map_err(|source| NamespaceError::Make { source: source.into() })?;
                    Self::current()
                })
                .map_err(|source| NamespaceError::Thread { source })?;
            made.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// Opens the namespace that the calling thread is in.
    ///
    /// # Errors
    ///
    /// [`NamespaceError::Open`] if `/proc` is not there.
    pub fn current() -> Result<Self, NamespaceError> {
        Self::open(CURRENT)
    }

    /// Opens the namespace at `path`, such as `/run/netns/NAME` or `/proc/PID/ns/net`.
    ///
    /// # Errors
    ///
    /// [`NamespaceError::Open`] if there is no such file or it may not be read.
    pub fn open(path: &str) -> Result<Self, NamespaceError> {
        rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
            .map(|fd| Self { fd })
            .map_err(|source| NamespaceError::Open { path: path.to_owned(), source: source.into() })
    }

    /// Moves the calling thread into this namespace until the guard is dropped.
    ///
    /// Sockets that the thread opens meanwhile belong to this namespace for good.
    ///
    /// # Errors
    ///
    /// [`NamespaceError`] if the caller may not enter.
    pub fn enter(&self) -> Result<Entered, NamespaceError> {
        let previous = Self::current()?;
        self.enter_for_good()?;
        Ok(Entered { previous, stays_on_its_thread: PhantomData })
    }

    /// Moves the calling thread into this namespace, and threads and processes that it starts.
    ///
    /// # Errors
    ///
    /// [`NamespaceError::Enter`] if the caller may not enter.
    pub fn enter_for_good(&self) -> Result<(), NamespaceError> {
        set_namespace(self.fd.as_fd())
            .map_err(|source| NamespaceError::Enter { source: source.into() })
    }

    /// Runs `job` on a thread of its own inside this namespace and waits for it.
    ///
    /// # Errors
    ///
    /// [`NamespaceError`] if the thread cannot be started or may not enter.
    ///
    /// # Panics
    ///
    /// If `job` panics, with its panic.
    pub fn run<T: Send>(&self, job: impl FnOnce() -> T + Send) -> Result<T, NamespaceError> {
        thread::scope(|scope| {
            let job = thread::Builder::new()
                .name("inside".to_owned())
                .spawn_scoped(scope, || self.enter_for_good().map(|()| job()))
                .map_err(|source| NamespaceError::Thread { source })?;
            job.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// Makes the process that `command` will start run inside this namespace.
    ///
    /// # Errors
    ///
    /// [`NamespaceError::Open`] if the descriptor cannot be duplicated.
    pub fn attach<'command>(
        &self,
        command: &'command mut Command,
    ) -> Result<&'command mut Command, NamespaceError> {
        let fd = self.fd.try_clone().map_err(|source| NamespaceError::Open {
            path: "a duplicate of a namespace's descriptor".to_owned(),
            source,
        })?;
        // SAFETY: Between fork and exec the closure makes one system call on a descriptor that it
        // owns; it takes no lock and allocates nothing.
        unsafe {
            command.pre_exec(move || set_namespace(fd.as_fd()).map_err(io::Error::from));
        }
        Ok(command)
    }
}

impl AsFd for Namespace {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl AsRawFd for Namespace {
    fn as_raw_fd(&self) -> i32 {
        self.fd.as_raw_fd()
    }
}

/// The calling thread is inside a namespace; dropping this brings it back to where it was.
#[derive(Debug)]
#[must_use = "the thread goes back as soon as this is dropped"]
pub struct Entered {
    previous: Namespace,
    /// Another thread must not drop this: it would move itself.
    stays_on_its_thread: PhantomData<*const ()>,
}

impl Drop for Entered {
    fn drop(&mut self) {
        self.previous
            .enter_for_good()
            .expect("a thread can return to the namespace that it came from");
    }
}

/// Leaves the namespaces that the process was started in, so that it may make links and more
/// namespaces of its own: a new network namespace and, for an ordinary user, a user namespace
/// around it in which the user is root.
///
/// Call it at the start of `main`: the process must still have a single thread.
///
/// # Errors
///
/// [`UserNamespaceError`], which names the setting to change where there is one.
pub fn enter_user_namespace() -> Result<(), UserNamespaceError> {
    match unshare(UnshareFlags::NEWNET) {
        Ok(()) => return Ok(()),
        Err(Errno::PERM) => {}
        Err(source) => return Err(UserNamespaceError::Unshare { source: source.into() }),
    }
    let (user, group) = (rustix::process::geteuid(), rustix::process::getegid());
    unshare(UnshareFlags::NEWUSER | UnshareFlags::NEWNET).map_err(|source| match source {
        Errno::PERM | Errno::ACCESS => UserNamespaceError::Forbidden { source: source.into() },
        Errno::NOSPC | Errno::USERS => UserNamespaceError::Exhausted { source: source.into() },
        Errno::INVAL => UserNamespaceError::Threads { source: source.into() },
        _ => UserNamespaceError::Unshare { source: source.into() },
    })?;
    // user_namespaces(7): an ordinary user may write a group map only after giving up setgroups(2).
    for (path, content) in [
        ("/proc/self/setgroups", "deny".to_owned()),
        ("/proc/self/uid_map", format!("0 {} 1", user.as_raw())),
        ("/proc/self/gid_map", format!("0 {} 1", group.as_raw())),
    ] {
        fs::write(path, content).map_err(|source| UserNamespaceError::Map { path, source })?;
    }
    Ok(())
}

/// A network namespace could not be made or used.
#[derive(Debug, thiserror::Error)]
pub enum NamespaceError {
    /// No thread could be started to make or enter it.
    #[error("cannot start a thread to work in a network namespace")]
    Thread {
        /// Why.
        source: io::Error,
    },
    /// Making it failed; it takes the capability `CAP_SYS_ADMIN`.
    #[error("cannot make a network namespace (this takes root or a user namespace)")]
    Make {
        /// Why.
        source: io::Error,
    },
    /// Its file could not be opened.
    #[error("cannot open the network namespace {path}")]
    Open {
        /// The file.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// Entering it failed.
    #[error("cannot enter a network namespace (this takes root or a user namespace)")]
    Enter {
        /// Why.
        source: io::Error,
    },
}

/// The process could not get namespaces of its own.
#[derive(Debug, thiserror::Error)]
pub enum UserNamespaceError {
    /// The system does not let ordinary users make user namespaces.
    #[error(
        "ordinary users may not make user namespaces here; run as root, or as root run \
         `sysctl kernel.unprivileged_userns_clone=1` (Debian) or \
         `sysctl kernel.apparmor_restrict_unprivileged_userns=0` (Ubuntu)"
    )]
    Forbidden {
        /// What the kernel said.
        source: io::Error,
    },
    /// The limit on namespaces is reached.
    #[error(
        "no more user or network namespaces are allowed; as root raise them with \
         `sysctl user.max_user_namespaces=15000 user.max_net_namespaces=15000`"
    )]
    Exhausted {
        /// What the kernel said.
        source: io::Error,
    },
    /// The process has more than one thread already.
    #[error("a user namespace can only be entered before the process starts threads")]
    Threads {
        /// What the kernel said.
        source: io::Error,
    },
    /// The system call failed otherwise.
    #[error("cannot make namespaces for this process")]
    Unshare {
        /// What the kernel said.
        source: io::Error,
    },
    /// The user could not be made root of the new namespace.
    #[error("cannot write {path}, which makes the user root of its new user namespace")]
    Map {
        /// The file.
        path: &'static str,
        /// Why.
        source: io::Error,
    },
}

fn set_namespace(fd: BorrowedFd<'_>) -> Result<(), Errno> {
    rustix::thread::move_into_link_name_space(fd, Some(LinkNameSpaceType::Network))
}

fn unshare(flags: UnshareFlags) -> Result<(), Errno> {
    debug_assert!(!flags.contains(UnshareFlags::FILES));
    // SAFETY: Only sharing the descriptor table is dangerous to stop, and no caller asks for it.
    unsafe { rustix::thread::unshare_unsafe(flags) }
}

/// The calling thread's network namespace, which can differ from its process's.
const CURRENT: &str = "/proc/thread-self/ns/net";
