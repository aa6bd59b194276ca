//! Sends what the daemon has to say to the journal or to standard error.

use std::env;
use std::io::{self, IsTerminal as _};

use tracing::level_filters::LevelFilter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::cli::Level;

/// Starts logging: to the journal if standard error leads there anyway, so that levels and fields
/// survive; otherwise to standard error, with the time only for people at a terminal.
pub(crate) fn start(level: Level) {
    let filter = match level {
        Level::Error => LevelFilter::ERROR,
        Level::Warning => LevelFilter::WARN,
        Level::Info => LevelFilter::INFO,
        Level::Verbose => LevelFilter::DEBUG,
        Level::Debug => LevelFilter::TRACE,
    };
    if leads_to_journal()
        && let Ok(journal) = tracing_journald::layer()
    {
        tracing_subscriber::registry().with(filter).with(journal.with_field_prefix(None)).init();
        return;
    }
    let plain = tracing_subscriber::fmt()
        .with_max_level(filter)
        .with_writer(io::stderr)
        .with_ansi(false)
        .with_target(false);
    if io::stderr().is_terminal() {
        plain.init();
    } else {
        plain.without_time().init();
    }
}

/// Whether standard error is connected to the journal (systemd.exec(5), `JOURNAL_STREAM`).
fn leads_to_journal() -> bool {
    let Ok(stream) = env::var("JOURNAL_STREAM") else { return false };
    let Ok(stat) = rustix::fs::fstat(io::stderr()) else { return false };
    stream == format!("{}:{}", stat.st_dev, stat.st_ino)
}
