//! Shows what Magpie does: an island of real kernels, the real daemon, and what it achieves there.
//!
//! `island` builds the network, `daemon` runs this very program in it, `story` says what happens
//! and makes it happen, `measure` takes the figures and `report` holds them against the goals.
//! Everything is in namespaces of this process and goes with it, however it ends.

mod daemon;
mod folder;
mod island;
mod measure;
mod report;
mod stage;
mod story;

use std::io;
use std::io::PipeReader;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;

use magpie_sys::signal::{Signal, SignalError, Signals};
use magpie_testnet::UserNamespaceError;
use rustix::event::{PollFd, PollFlags};
use rustix::io::Errno;

use crate::cli::DemoArgs;
use daemon::{Daemon, DaemonError};
use folder::Folder;
use measure::ComplaintsError;
use report::Report;
use stage::Stage;

/// The demonstration could not be given, or showed less than it should.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DemoError {
    /// No namespaces could be had.
    #[error("cannot build the island")]
    Enter(#[from] UserNamespaceError),
    /// Signals cannot be received.
    #[error(transparent)]
    Signal(#[from] SignalError),
    /// A part of the system that every process can use failed.
    #[error("cannot {attempt}")]
    System {
        /// What was attempted.
        attempt: &'static str,
        /// Why it failed.
        source: io::Error,
    },
    /// The network could not be built, or did not do what it should.
    #[error(transparent)]
    Net(#[from] magpie_testnet::Error),
    /// The daemon did not run as it should.
    #[error(transparent)]
    Daemon(#[from] DaemonError),
    /// A kernel's counters could not be read.
    #[error(transparent)]
    Complaints(#[from] ComplaintsError),
    /// Some figures are worse than they should be.
    #[error("these goals were missed: {}", missed.join("; "))]
    Missed {
        /// Which, with figure and goal.
        missed: Vec<String>,
    },
    /// Somebody wanted it to end.
    #[error("interrupted; nothing is left behind")]
    Interrupted,
}

/// The daemon while it runs. Whoever ends the demonstration takes it out.
type Slot = Arc<Mutex<Option<Daemon>>>;

/// Gives the demonstration; returns successfully if all goals were met.
pub(crate) fn run(args: DemoArgs) -> Result<(), DemoError> {
    // Before anything else: both count on a single thread.
    magpie_testnet::enter()?;
    let signals = Signals::block()?;
    let folder = Folder::new()
        .map_err(|source| DemoError::System { attempt: "make a temporary folder", source })?;
    folder.remove_on_panic();
    let stage = Arc::new(Stage::new(args.json));
    let slot = Slot::default();

    let pipe = |source| DemoError::System { attempt: "make a pipe", source };
    let (ended, ending) = io::pipe().map_err(pipe)?;
    let (sender, outcome) = mpsc::channel();
    let (keep, cast) = (args.keep, (Arc::clone(&stage), Arc::clone(&slot), folder.path("")));
    let performer = thread::Builder::new()
        .name("story".to_owned())
        .spawn(move || {
            // Closed when this thread ends, even by a panic.
            let _ending = ending;
            let (stage, slot, folder) = cast;
            let told = story::tell(&stage, &slot, &folder, keep);
            let island = told.map(|(island, report)| {
                // The other side waits for this, or is gone with the whole process.
                let _ = sender.send(Ok(report));
                island
            });
            match island {
                Ok(island) if keep => {
                    story::invite(&stage, &island);
                    loop {
                        thread::park();
                    }
                }
                Ok(_) => {}
                Err(error) => drop(sender.send(Err(error))),
            }
        })
        .map_err(|source| DemoError::System { attempt: "start a thread", source })?;

    let is_over = wait(&signals, &ended)?;
    if !is_over {
        stage.close();
    }
    // Held to the end: a daemon must not start any more.
    let mut last = slot.lock().unwrap_or_else(PoisonError::into_inner);
    drop(last.take());
    let report = match outcome.try_recv() {
        Ok(told) => told?,
        Err(_) if !is_over => return Err(DemoError::Interrupted),
        Err(_) => match performer.join() {
            Err(panic) => std::panic::resume_unwind(panic),
            Ok(()) => return Err(DemoError::Interrupted),
        },
    };
    finish(args, &report)
}

/// Waits until the story is over; false if a signal came first.
fn wait(signals: &Signals, ended: &PipeReader) -> Result<bool, DemoError> {
    loop {
        let mut fds = [PollFd::new(signals, PollFlags::IN), PollFd::new(ended, PollFlags::IN)];
        match rustix::event::poll(&mut fds, None) {
            Err(Errno::INTR) | Ok(_) => {}
            Err(source) => {
                let source = source.into();
                return Err(DemoError::System { attempt: "wait for the end", source });
            }
        }
        let [_, ended] = fds.map(|fd| !fd.revents().is_empty());
        while let Some(signal) = signals.next()? {
            match signal {
                Signal::Terminate | Signal::Interrupt | Signal::Hangup => return Ok(false),
                Signal::User1 | Signal::User2 => {}
            }
        }
        if ended {
            return Ok(true);
        }
    }
}

fn finish(args: DemoArgs, report: &Report) -> Result<(), DemoError> {
    if args.json {
        report
            .write_json(io::stdout().lock())
            .map_err(|source| DemoError::System { attempt: "write the measurements", source })?;
    }
    let missed = report.missed();
    if missed.is_empty() { Ok(()) } else { Err(DemoError::Missed { missed }) }
}
