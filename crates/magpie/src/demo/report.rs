//! Holds the figures against the goals, and shows both to people and to programs.

use std::io::{self, Write};
use std::time::Duration;

use serde::{Serialize, Serializer};

use super::stage::{Paint, Stage};

/// Everything that was measured. The names of the fields in JSON do not change.
#[derive(Debug, Default, Serialize)]
pub(super) struct Report {
    /// The longest first ping from the upstream router to a host; none without an answer.
    #[serde(rename = "first_upstream_to_host_ms", serialize_with = "milliseconds")]
    pub(super) first_inward: Option<Duration>,
    /// The longest first ping from a host to the upstream router; none without an answer.
    #[serde(rename = "first_host_to_upstream_ms", serialize_with = "milliseconds")]
    pub(super) first_outward: Option<Duration>,
    /// The longest first ping between hosts on different links; none without an answer.
    #[serde(rename = "first_between_links_ms", serialize_with = "milliseconds")]
    pub(super) first_across: Option<Duration>,
    /// From when the moved host was plugged in to the next answer; none if it stayed unreachable.
    #[serde(rename = "recovery_ms", serialize_with = "milliseconds")]
    pub(super) recovery: Option<Duration>,
    /// Pings that got lost because a host was on its way.
    pub(super) lost_in_move: usize,
    /// Pings that were sent, those in the move included.
    pub(super) pings: usize,
    /// Pings that got lost for no good reason.
    pub(super) lost_otherwise: usize,
    /// ICMPv6 errors that reached a machine.
    pub(super) icmpv6_errors: u64,
    /// ICMPv6 Redirects that reached a machine.
    pub(super) redirects: u64,
    /// Memory of the daemon, in KiB.
    pub(super) daemon_resident_kib: Option<u64>,
}

impl Report {
    /// Shows the figures and the goals as a table.
    pub(super) fn show(&self, stage: &Stage) {
        let rows = self.rows();
        let width = |column: fn(&Row) -> &str, title: &str| {
            let cells = rows.iter().map(|row| column(row).chars().count());
            cells.chain([title.len()]).max().unwrap_or_default()
        };
        let (first, second) = (width(|row| row.what, WHAT), width(|row| &row.figure, FIGURE));
        let third = width(|row| &row.goal, GOAL);
        stage.show(&format!("{WHAT:<first$}  {FIGURE:>second$}  {GOAL:>third$}  OK"));
        for Row { what, figure, goal, is_met } in &rows {
            let verdict = match is_met {
                Some(true) => stage.paint("yes", Paint::Good),
                Some(false) => stage.paint("NO", Paint::Bad),
                None => "-".to_owned(),
            };
            stage.show(&format!("{what:<first$}  {figure:>second$}  {goal:>third$}  {verdict}"));
        }
    }

    /// Writes the figures as one JSON object, with what was missed.
    pub(super) fn write_json(&self, mut output: impl Write) -> io::Result<()> {
        #[derive(Serialize)]
        struct Whole<'a> {
            #[serde(flatten)]
            report: &'a Report,
            passed: bool,
            missed: &'a [String],
        }
        let missed = self.missed();
        let whole = Whole { report: self, passed: missed.is_empty(), missed: &missed };
        let text = serde_json::to_string_pretty(&whole)?;
        writeln!(output, "{text}")
    }

    /// The goals that were missed, in words.
    pub(super) fn missed(&self) -> Vec<String> {
        let rows = self.rows().into_iter().filter(|row| row.is_met == Some(false));
        rows.map(|row| format!("{} ({}, goal {})", row.what, row.figure, row.goal)).collect()
    }

    fn rows(&self) -> [Row; 8] {
        let none = |what, count: u64| Row {
            what,
            figure: count.to_string(),
            goal: "none".to_owned(),
            is_met: Some(count == 0),
        };
        let lost = Row {
            what: "lost pings, apart from the move",
            figure: format!("{} of {}", self.lost_otherwise, self.pings),
            goal: "none".to_owned(),
            is_met: Some(self.lost_otherwise == 0),
        };
        let memory = Row {
            what: "memory of the daemon (VmRSS)",
            figure: self.daemon_resident_kib.map_or_else(|| "?".to_owned(), mebibytes),
            goal: String::new(),
            is_met: None,
        };
        [
            Row::at_most("first ping upstream -> host, worst", self.first_inward, FIRST_PING),
            Row::at_most("first ping host -> upstream, worst", self.first_outward, FIRST_PING),
            Row::at_most("first ping between inner links, worst", self.first_across, FIRST_PING),
            Row::at_most("recovery after the move", self.recovery, RECOVERY),
            lost,
            none("ICMPv6 errors received by any machine", self.icmpv6_errors),
            none("Redirects received by any machine", self.redirects),
            memory,
        ]
    }
}

/// A time as people read it, with three digits that mean something.
pub(super) fn time(time: Duration) -> String {
    let millis = time.as_secs_f64() * 1000.0;
    match time.as_micros() {
        0..10_000 => format!("{millis:.2} ms"),
        10_000..100_000 => format!("{millis:.1} ms"),
        100_000..1_000_000 => format!("{millis:.0} ms"),
        _ => format!("{:.2} s", time.as_secs_f64()),
    }
}

/// One line of the table.
struct Row {
    what: &'static str,
    figure: String,
    goal: String,
    /// Whether the goal is met, if there is one.
    is_met: Option<bool>,
}

impl Row {
    fn at_most(what: &'static str, figure: Option<Duration>, goal: Duration) -> Self {
        Self {
            what,
            figure: figure.map_or_else(|| "no answer".to_owned(), time),
            goal: format!("<= {} ms", goal.as_millis()),
            is_met: Some(figure.is_some_and(|figure| figure <= goal)),
        }
    }
}

fn mebibytes(kib: u64) -> String {
    format!("{}.{} MiB", kib / 1024, kib % 1024 * 10 / 1024)
}

#[expect(clippy::ref_option, reason = "serde passes references")]
fn milliseconds<S: Serializer>(time: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
    time.map(|time| time.as_secs_f64() * 1000.0).serialize(serializer)
}

const WHAT: &str = "MEASURED";
const FIGURE: &str = "FIGURE";
const GOAL: &str = "GOAL";
/// Less than a person notices.
const FIRST_PING: Duration = Duration::from_millis(50);
/// Less than calls and connections notice.
const RECOVERY: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_good_misses_nothing() {
        assert_eq!(good().missed(), [""; 0]);
    }

    #[test]
    fn what_is_missed_is_named_with_figure_and_goal() {
        let report = Report {
            first_inward: None,
            recovery: Some(Duration::from_millis(1300)),
            lost_otherwise: 2,
            ..good()
        };
        let expected = [
            "first ping upstream -> host, worst (no answer, goal <= 50 ms)",
            "recovery after the move (1.30 s, goal <= 1000 ms)",
            "lost pings, apart from the move (2 of 100, goal none)",
        ];
        assert_eq!(report.missed(), expected);
    }

    #[test]
    fn programs_get_numbers() {
        let mut text = Vec::new();
        good().write_json(&mut text).unwrap();
        let expected = serde_json::json!({
            "first_upstream_to_host_ms": 1.5,
            "first_host_to_upstream_ms": 1.5,
            "first_between_links_ms": 1.5,
            "recovery_ms": 1.5,
            "lost_in_move": 3,
            "pings": 100,
            "lost_otherwise": 0,
            "icmpv6_errors": 0,
            "redirects": 0,
            "daemon_resident_kib": 4321,
            "passed": true,
            "missed": [],
        });
        assert_eq!(serde_json::from_slice::<serde_json::Value>(&text).unwrap(), expected);
    }

    #[test]
    fn times_have_three_digits() {
        let cases = [
            (412, "0.41 ms"),
            (1_234, "1.23 ms"),
            (12_345, "12.3 ms"),
            (123_456, "123 ms"),
            (1_234_567, "1.23 s"),
        ];
        for (micros, expected) in cases {
            assert_eq!(time(Duration::from_micros(micros)), expected);
        }
    }

    fn good() -> Report {
        let soon = Some(Duration::from_micros(1500));
        Report {
            first_inward: soon,
            first_outward: soon,
            first_across: soon,
            recovery: soon,
            lost_in_move: 3,
            pings: 100,
            daemon_resident_kib: Some(4321),
            ..Report::default()
        }
    }
}
