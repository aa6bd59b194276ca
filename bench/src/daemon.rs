//! Runs a system under test and ends it.

use std::env;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};

use crate::account::Process;
use crate::error::BenchError;
use crate::interrupt;
use crate::lab::Lab;

/// A folder that goes with its value.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
}

impl Folder {
    /// Makes an empty folder.
    pub(crate) fn new() -> Result<Self, BenchError> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = env::temp_dir().join(format!("magpie-bench-{}-{number}", std::process::id()));
        match fs::create_dir(&path) {
            Ok(()) => Ok(Self { path }),
            Err(source) => Err(BenchError::File { attempt: "make the folder", path, source }),
        }
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Writes a file into it, with the folders that it is in, and returns where that is.
    pub(crate) fn write(&self, name: &str, content: &str) -> Result<PathBuf, BenchError> {
        let path = self.path.join(name);
        let folder = path.parent().map_or(Ok(()), fs::create_dir_all);
        match folder.and_then(|()| fs::write(&path, content)) {
            Ok(()) => Ok(path),
            Err(source) => Err(BenchError::File { attempt: "write", path, source }),
        }
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // It is in the folder for temporary files: nobody is hurt if it stays.
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// A running system under test.
#[derive(Debug)]
pub(crate) struct Daemon {
    system: &'static str,
    child: Child,
    started: Instant,
    folder: Folder,
}

impl Daemon {
    /// Starts `command` on the router of `lab`; `folder` holds what it reads and writes.
    pub(crate) fn start(
        system: &'static str,
        mut command: Command,
        folder: Folder,
        lab: &Lab,
    ) -> Result<Self, BenchError> {
        let path = folder.path.join(LOG);
        let open = |path: &Path| File::create(path).and_then(|log| Ok((log.try_clone()?, log)));
        let (output, errors) =
            open(&path).map_err(|source| BenchError::File { attempt: "write", path, source })?;
        command.current_dir(&folder.path).stdin(Stdio::null()).stdout(output).stderr(errors);
        interrupt::spare(&mut command);
        let (child, started) = lab.start(&mut command)?;
        Ok(Self { system, child, started, folder })
    }

    /// The moment before it was started.
    pub(crate) fn started(&self) -> Instant {
        self.started
    }

    /// Its process.
    pub(crate) fn process(&self) -> Process {
        Process(self.child.id())
    }

    /// Fails if it has ended.
    pub(crate) fn check(&mut self) -> Result<(), BenchError> {
        match self.child.try_wait() {
            Ok(None) => Ok(()),
            _ => Err(BenchError::Ended { system: self.system, said: self.said() }),
        }
    }

    /// The end of what it wrote to its standard output and error, or that it wrote nothing.
    pub(crate) fn said(&self) -> String {
        let mut text = String::new();
        let read = File::open(self.folder.path.join(LOG))
            .and_then(|log| log.take(LOG_LIMIT).read_to_string(&mut text));
        match read {
            Ok(_) if text.trim().is_empty() => "nothing".to_owned(),
            Ok(_) => text.trim().to_owned(),
            Err(error) => format!("something unreadable ({error})"),
        }
    }

    /// Asks it to end, and waits for a while.
    fn end_gently(&mut self) -> io::Result<bool> {
        let Some(pid) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) else {
            return Ok(false);
        };
        let handle = pidfd_open(pid, PidfdFlags::empty())?;
        kill_process(pid, Signal::TERM)?;
        let mut fds = [PollFd::new(&handle, PollFlags::IN)];
        let patience = Timespec::try_from(END_LIMIT).ok();
        Ok(rustix::event::poll(&mut fds, patience.as_ref())? > 0)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if !matches!(self.end_gently(), Ok(true)) {
            // It may have ended meanwhile, which is as good.
            let _ = self.child.kill();
        }
        let _ = self.child.wait();
    }
}

const LOG: &str = "log";
const LOG_LIMIT: u64 = 2000;
const END_LIMIT: Duration = Duration::from_secs(5);
