//! Sends what the daemon has to say to the journal or to standard error.

use std::env;
use std::io::{self, IsTerminal as _};
use std::sync::OnceLock;

use magpie_config::model::LogLevel;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Registry, fmt, reload};

/// Starts logging: to the journal if standard error leads there anyway, so that levels and fields
/// survive; otherwise to standard error, with the time only for people at a terminal.
pub(crate) fn start(level: LogLevel) {
    let (filter, handle) = reload::Layer::new(filter(level));
    // Logging starts once.
    let _ = FILTER.set(handle);
    let registry = tracing_subscriber::registry().with(filter);
    if leads_to_journal()
        && let Ok(journal) = tracing_journald::layer()
    {
        registry.with(journal.with_field_prefix(None)).init();
        return;
    }
    let plain = fmt::layer().with_writer(io::stderr).with_ansi(false).with_target(false);
    if io::stderr().is_terminal() {
        registry.with(plain).init();
    } else {
        registry.with(plain.without_time()).init();
    }
}

/// Tells more, or less, from now on.
pub(crate) fn set_level(level: LogLevel) {
    if let Some(handle) = FILTER.get()
        && let Err(error) = handle.reload(filter(level))
    {
        tracing::warn!(%error, "the log level stays as it is");
    }
}

fn filter(level: LogLevel) -> LevelFilter {
    match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warning => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Verbose => LevelFilter::DEBUG,
        LogLevel::Debug => LevelFilter::TRACE,
    }
}

/// Whether standard error is connected to the journal (systemd.exec(5), `JOURNAL_STREAM`).
fn leads_to_journal() -> bool {
    let Ok(stream) = env::var("JOURNAL_STREAM") else { return false };
    let Ok(stat) = rustix::fs::fstat(io::stderr()) else { return false };
    stream == format!("{}:{}", stat.st_dev, stat.st_ino)
}

/// What is told, once logging has started.
static FILTER: OnceLock<reload::Handle<LevelFilter, Registry>> = OnceLock::new();
