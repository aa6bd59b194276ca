//! Sends what the daemon has to say to the journal or to standard error.

use std::env;
use std::io;
use std::sync::OnceLock;

use magpie_config::model::LogLevel;
use tracing::level_filters::LevelFilter;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime as _, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Registry, fmt, reload};

/// Starts logging: to the journal if standard error leads there anyway, so that levels and fields
/// survive; otherwise to standard error, with the time.
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
    let plain = fmt::layer().with_writer(io::stderr).with_ansi(false).event_format(Line);
    registry.with(plain).init();
}

/// What time it is, as the log writes it: in UTC, in the form of RFC 3339.
pub(crate) fn time_of_day() -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = SystemTime.format_time(&mut Writer::new(&mut text));
    text
}

/// Writes one line: the time in UTC, the level by the name it has in the configuration, and what
/// is to be said.
#[derive(Debug)]
struct Line;

impl<S, N> FormatEvent<S, N> for Line
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> std::fmt::Result {
        SystemTime.format_time(&mut writer)?;
        write!(writer, " {:<7} ", word(*event.metadata().level()))?;
        context.field_format().format_fields(writer.by_ref(), event)?;
        writeln!(writer)
    }
}

/// The name of a level, as in `log-level`.
fn word(level: Level) -> &'static str {
    match level {
        Level::ERROR => "error",
        Level::WARN => "warning",
        Level::INFO => "info",
        Level::DEBUG => "verbose",
        Level::TRACE => "debug",
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

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    use super::*;

    /// Keeps what is written.
    #[derive(Clone, Default)]
    struct Paper(Arc<Mutex<Vec<u8>>>);

    impl Write for Paper {
        fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(octets)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn lines_have_the_time_and_the_level_by_its_configured_name() {
        let paper = Paper::default();
        let writer = paper.clone();
        let layer =
            fmt::layer().with_writer(move || writer.clone()).with_ansi(false).event_format(Line);
        let registry = tracing_subscriber::registry().with(filter(LogLevel::Verbose)).with(layer);
        tracing::subscriber::with_default(registry, || {
            tracing::debug!(link = "wan", "joined");
            tracing::trace!("too much");
        });
        let text = String::from_utf8(paper.0.lock().unwrap().clone()).unwrap();
        let (time, rest) = text.split_once(' ').unwrap();
        assert!(time.starts_with("20") && time.ends_with('Z'), "{text}");
        assert_eq!(rest, "verbose joined link=\"wan\"\n");
    }
}
