//! A daemon with fixed paths, running in a node with folders of its own.

use std::fs;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use magpie_sys::sandbox::{Sandbox, SandboxError};
use rustix::process::{Pid, Signal};

use super::PeerFiles;
use crate::{Error, Node};

/// A service that a peer offers.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Service {
    /// The instance, such as `Kitchen Printer`.
    pub name: String,
    /// The type, such as `_ipp._tcp`.
    pub kind: String,
    /// The port.
    pub port: u16,
}

impl Service {
    /// A service on a port.
    pub fn new(name: &str, kind: &str, port: u16) -> Self {
        Self { name: name.to_owned(), kind: kind.to_owned(), port }
    }
}

/// A peer could not be run, or did not do what was awaited.
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    /// Its node could not be used.
    #[error("cannot run {peer}")]
    Node {
        /// The program.
        peer: &'static str,
        /// Why.
        source: Error,
    },
    /// Its folders could not be put in place.
    #[error("cannot run {peer}")]
    Sandbox {
        /// The program.
        peer: &'static str,
        /// Why.
        source: SandboxError,
    },
    /// A system call failed.
    #[error("cannot {action} {peer}")]
    System {
        /// What was attempted.
        action: &'static str,
        /// On which program.
        peer: &'static str,
        /// Why.
        source: io::Error,
    },
    /// It did not say what was awaited.
    #[error("{peer} does not say {text:?}; it wrote:\n{log}")]
    Awaited {
        /// The program.
        peer: &'static str,
        /// What was awaited.
        text: String,
        /// What it wrote.
        log: String,
    },
    /// Its answer makes no sense.
    #[error("{peer} answered {answer:?}")]
    Answer {
        /// The program.
        peer: &'static str,
        /// What it said.
        answer: String,
    },
}

/// A running daemon. It is killed when it is dropped, and its folders are removed.
#[derive(Debug)]
pub(super) struct Daemon {
    peer: &'static str,
    child: Child,
    folder: Folder,
    log: Arc<Log>,
}

/// The folders that a daemon sees in place of those of the system.
#[derive(Debug)]
pub(super) struct Folder(PathBuf);

/// What a daemon has written.
#[derive(Debug, Default)]
struct Log {
    text: Mutex<Written>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Written {
    text: String,
    ended: bool,
}

impl Folder {
    /// Makes the folders `etc` and `run` with what every daemon looks for there.
    pub(super) fn new(peer: &'static str) -> Result<Self, DaemonError> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("magpie-peer-{}-{number}", std::process::id());
        let folder = Self(std::env::temp_dir().join(name));
        let write = || {
            fs::create_dir(&folder.0)?;
            fs::create_dir(folder.0.join("run"))?;
            fs::create_dir(folder.0.join("etc"))?;
            // In a user namespace there is but one user, who is root there.
            let names = ["root", "avahi", "systemd-resolve"];
            let users = names.map(|name| format!("{name}:x:0:0::/:/bin/sh\n")).concat();
            let groups = names.map(|name| format!("{name}:x:0:\n")).concat();
            fs::write(folder.0.join("etc/passwd"), users)?;
            fs::write(folder.0.join("etc/group"), groups)?;
            fs::write(folder.0.join("etc/nsswitch.conf"), "passwd: files\ngroup: files\n")
        };
        write().map_err(|source| DaemonError::System {
            action: "make folders for",
            peer,
            source,
        })?;
        Ok(folder)
    }

    /// Writes a file, and makes the folder that it is in.
    pub(super) fn write(
        &self,
        peer: &'static str,
        path: impl AsRef<Path>,
        text: &str,
    ) -> Result<(), DaemonError> {
        let path = self.path(path);
        let write = || {
            fs::create_dir_all(path.parent().unwrap_or(Path::new("/")))?;
            fs::write(&path, text)
        };
        write().map_err(|source| DaemonError::System { action: "write a file of", peer, source })
    }

    /// A path in it.
    pub(super) fn path(&self, path: impl AsRef<Path>) -> PathBuf {
        self.0.join(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What is left behind in the folder for temporary files does no harm.
        let _ = fs::remove_dir_all(&self.0);
    }
}

impl Daemon {
    /// Starts the program in `node`, where it takes itself for the host `hostname`.
    pub(super) fn start(
        peer: &'static str,
        node: &Node,
        files: &PeerFiles,
        folder: Folder,
        hostname: &str,
        arguments: &[&str],
    ) -> Result<Self, DaemonError> {
        let mut command =
            node.command(&files.program).map_err(|source| DaemonError::Node { peer, source })?;
        let sandbox = Sandbox::new()
            .hostname(hostname)
            .folder(&folder.path("etc"), Path::new("/etc"))
            .and_then(|sandbox| sandbox.folder(&folder.path("run"), Path::new("/run")))
            .map_err(|source| DaemonError::Sandbox { peer, source })?;
        sandbox.attach(&mut command);
        let system = |action| move |source| DaemonError::System { action, peer, source };
        if !files.libraries.is_empty() {
            let path = std::env::join_paths(&files.libraries).map_err(io::Error::other);
            command.env("LD_LIBRARY_PATH", path.map_err(system("find the libraries of"))?);
        }
        command
            .args(arguments)
            .env_remove("NOTIFY_SOCKET")
            .env("SYSTEMD_LOG_LEVEL", "debug")
            .env("SYSTEMD_LOG_TARGET", "console")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let mut child = command.spawn().map_err(system("start"))?;
        let log = Arc::new(Log::default());
        if let Some(output) = child.stderr.take() {
            let log = Arc::clone(&log);
            let reader = thread::Builder::new().name("log".to_owned());
            reader.spawn(move || log.fill(output)).map_err(system("read the log of"))?;
        }
        Ok(Self { peer, child, folder, log })
    }

    /// Waits until it has written a line with `text` in it, `count` of them in all.
    pub(super) fn await_lines(
        &self,
        text: &str,
        count: usize,
        limit: Duration,
    ) -> Result<(), DaemonError> {
        let deadline = Instant::now() + limit;
        let mut written = self.log.lock();
        while written.text.lines().filter(|line| line.contains(text)).count() < count {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || written.ended {
                let (text, log) = (text.to_owned(), written.text.clone());
                return Err(DaemonError::Awaited { peer: self.peer, text, log });
            }
            let waited = self.log.changed.wait_timeout(written, left);
            written = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        Ok(())
    }

    /// What it has written so far.
    pub(super) fn log(&self) -> String {
        self.log.lock().text.clone()
    }

    /// A path below the folders that it sees.
    pub(super) fn path(&self, path: impl AsRef<Path>) -> PathBuf {
        self.folder.path(path)
    }

    /// Asks it to end, and waits until it has.
    pub(super) fn stop(mut self) -> Result<ExitStatus, DaemonError> {
        let fail = |source| DaemonError::System { action: "stop", peer: self.peer, source };
        rustix::process::kill_process(Pid::from_child(&self.child), Signal::TERM)
            .map_err(|source| fail(source.into()))?;
        self.child.wait().map_err(fail)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            eprintln!("{} wrote:\n{}", self.peer, self.log());
        }
    }
}

impl Log {
    fn fill(&self, output: impl Read) {
        for line in BufReader::new(output).split(b'\n').map_while(Result::ok) {
            let mut written = self.lock();
            written.text.push_str(&String::from_utf8_lossy(&line));
            written.text.push('\n');
            drop(written);
            self.changed.notify_all();
        }
        self.lock().ended = true;
        self.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, Written> {
        self.text.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
