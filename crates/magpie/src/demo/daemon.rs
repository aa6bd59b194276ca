//! Runs the real daemon, which is this very program, on the gateway of the island.

use std::io::{self, BufRead as _, BufReader};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixDatagram;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use magpie_sys::child::end_with_parent;
use magpie_testnet::Node;
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal};

use super::stage::Stage;

/// A running daemon, whose log goes to the stage. Dropping it kills it.
#[derive(Debug)]
pub(super) struct Daemon {
    child: Child,
    pidfd: OwnedFd,
    control: PathBuf,
    log: Option<JoinHandle<()>>,
}

/// The daemon did not run as it should.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DaemonError {
    /// It could not be started.
    #[error("cannot start the daemon")]
    Start(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// It ended by itself.
    #[error("the daemon ended too early, with {status}")]
    Ended {
        /// How.
        status: ExitStatus,
    },
    /// It did not become ready, or did not end when it was asked to.
    #[error("waited {} seconds for the daemon to {what}", LIMIT.as_secs())]
    Late {
        /// What it should have done.
        what: &'static str,
    },
    /// It ended with an error.
    #[error("the daemon ended with {status} when it was asked to stop")]
    Failed {
        /// How.
        status: ExitStatus,
    },
    /// It could not be waited for or talked to.
    #[error("cannot {attempt}")]
    System {
        /// What was attempted.
        attempt: &'static str,
        /// Why it failed.
        source: io::Error,
    },
    /// The view of its hosts failed.
    #[error("`magpie hosts` failed: {complaint}")]
    View {
        /// What it said.
        complaint: String,
    },
}

impl Daemon {
    /// Starts the daemon between `links` of `gateway` and waits until it serves; its sockets are in
    /// `folder`. It ends with the calling thread at the latest.
    pub(super) fn start(
        gateway: &Node,
        links: &[&str],
        folder: &Path,
        stage: &Arc<Stage>,
    ) -> Result<Self, DaemonError> {
        let (control, notify) = (folder.join(CONTROL), folder.join("notify"));
        let news = UnixDatagram::bind(&notify)
            .map_err(|source| DaemonError::System { attempt: "listen for the daemon", source })?;
        let mut command =
            gateway.command(PROGRAM).map_err(|error| DaemonError::Start(error.into()))?;
        command
            .arg0("magpie")
            .arg("-i")
            .arg(links.join(","))
            .arg("--control")
            .arg(&control)
            .env("NOTIFY_SOCKET", &notify)
            .env_remove("JOURNAL_STREAM")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            // An interruption from the terminal is for the demonstration, which then ends this.
            .process_group(0);
        let mut child = end_with_parent(&mut command)
            .spawn()
            .map_err(|error| DaemonError::Start(error.into()))?;
        let log = child.stderr.take().map(|log| repeat(log, stage));
        let pidfd =
            rustix::process::pidfd_open(Pid::from_child(&child), PidfdFlags::empty()).map_err(
                |source| DaemonError::System { attempt: "watch the daemon", source: source.into() },
            );
        let pidfd = match pidfd {
            Ok(pidfd) => pidfd,
            Err(error) => {
                let _ = child.kill();
                let _ = child.wait();
                return Err(error);
            }
        };
        let mut daemon = Self { child, pidfd, control, log };
        daemon.wait_ready(&news)?;
        Ok(daemon)
    }

    /// Its process identifier.
    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What the command `magpie hosts` prints.
    pub(super) fn hosts(&self) -> Result<String, DaemonError> {
        let output = Command::new(PROGRAM)
            .arg0("magpie")
            .args(["hosts", "--control"])
            .arg(&self.control)
            .stdin(Stdio::null())
            .output()
            .map_err(|source| DaemonError::System { attempt: "run `magpie hosts`", source })?;
        if !output.status.success() {
            let complaint = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            return Err(DaemonError::View { complaint });
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Asks it to stop as a service manager would, and waits until it has.
    pub(super) fn stop(mut self) -> Result<(), DaemonError> {
        let failed = |source: Errno| DaemonError::System {
            attempt: "stop the daemon",
            source: source.into(),
        };
        rustix::process::pidfd_send_signal(&self.pidfd, Signal::TERM).map_err(failed)?;
        let mut fds = [PollFd::new(&self.pidfd, PollFlags::IN)];
        if !poll(&mut fds, Instant::now() + LIMIT).map_err(failed)? {
            return Err(DaemonError::Late { what: "stop" });
        }
        let status = self.reap()?;
        if status.success() { Ok(()) } else { Err(DaemonError::Failed { status }) }
    }

    /// Waits for the word with which services say that they are ready (`sd_notify(3)`).
    fn wait_ready(&mut self, news: &UnixDatagram) -> Result<(), DaemonError> {
        let failed = |source| DaemonError::System { attempt: "wait for the daemon", source };
        let deadline = Instant::now() + LIMIT;
        let mut buffer = [0; 4096];
        loop {
            let mut fds = [
                PollFd::from_borrowed_fd(news.as_fd(), PollFlags::IN),
                PollFd::from_borrowed_fd(self.pidfd.as_fd(), PollFlags::IN),
            ];
            poll(&mut fds, deadline).map_err(|errno| failed(errno.into()))?;
            let [is_told, has_ended] = fds.map(|fd| fd.revents().contains(PollFlags::IN));
            if is_told {
                let length = news.recv(&mut buffer).map_err(failed)?;
                let text = String::from_utf8_lossy(buffer.get(..length).unwrap_or_default());
                if text.lines().any(|line| line == "READY=1") {
                    return Ok(());
                }
            } else if has_ended {
                return Err(DaemonError::Ended { status: self.reap()? });
            } else {
                return Err(DaemonError::Late { what: "become ready" });
            }
        }
    }

    /// Waits until it has ended and everything that it wrote is told.
    fn reap(&mut self) -> Result<ExitStatus, DaemonError> {
        let status = self
            .child
            .wait()
            .map_err(|source| DaemonError::System { attempt: "wait for the daemon", source })?;
        if let Some(log) = self.log.take() {
            // It has told of its panic itself.
            let _ = log.join();
        }
        Ok(status)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.reap();
    }
}

/// Passes on what the daemon writes, line by line, until it has ended.
fn repeat(log: ChildStderr, stage: &Arc<Stage>) -> JoinHandle<()> {
    let stage = Arc::clone(stage);
    thread::spawn(move || {
        for line in BufReader::new(log).lines().map_while(Result::ok) {
            // The time is of no interest in a story.
            stage.quote(line.split_once(' ').map_or(line.as_str(), |(_, told)| told));
        }
    })
}

/// Waits for one of `fds`; false if `deadline` passed first.
fn poll(fds: &mut [PollFd<'_>], deadline: Instant) -> Result<bool, Errno> {
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        match rustix::event::poll(fds, Timespec::try_from(left).ok().as_ref()) {
            Err(Errno::INTR) => {}
            ready => return ready.map(|ready| ready > 0),
        }
    }
}

/// Name of the daemon's control socket in its folder.
pub(super) const CONTROL: &str = "control";
/// This program, also after its file was replaced.
const PROGRAM: &str = "/proc/self/exe";
/// Far more than the daemon ever takes.
const LIMIT: Duration = Duration::from_secs(10);
