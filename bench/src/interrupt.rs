//! Lets a measurement end early and in order, so that no daemon is left behind.

use std::process::Command;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use magpie_sys::signal::Signals;
use rustix::event::{PollFd, PollFlags};

use crate::error::BenchError;

/// Takes over the signals that end a program. Call it before other threads start.
pub(crate) fn watch() -> Result<(), BenchError> {
    let signals = Signals::block()?;
    let signals = SIGNALS.get_or_init(|| signals);
    let watcher = || {
        while rustix::event::poll(&mut [PollFd::new(signals, PollFlags::IN)], None).is_ok() {
            if matches!(signals.next(), Ok(Some(_))) {
                REQUESTED.store(true, Ordering::Relaxed);
            }
        }
    };
    thread::Builder::new()
        .name("signals".to_owned())
        .spawn(watcher)
        .map(drop)
        .map_err(|source| BenchError::Start { program: "a thread for signals".to_owned(), source })
}

/// Gives the signals back to what `command` will start.
pub(crate) fn spare(command: &mut Command) {
    if let Some(signals) = SIGNALS.get() {
        signals.restore_in(command);
    }
}

/// Fails if somebody wants the measurements to end.
pub(crate) fn check() -> Result<(), BenchError> {
    if REQUESTED.load(Ordering::Relaxed) { Err(BenchError::Interrupted) } else { Ok(()) }
}

static SIGNALS: OnceLock<Signals> = OnceLock::new();
static REQUESTED: AtomicBool = AtomicBool::new(false);
