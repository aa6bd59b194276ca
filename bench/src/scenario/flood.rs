//! A flood of solicitations for hosts that do not exist: do those that exist still answer?

use std::time::Duration;

use super::{Bound, Column, Criterion, Figures, Measure, Scenario, Trial};
use crate::error::BenchError;
use crate::generator::{Load, MAX_MULTICAST_SOLICIT, RETRANS_TIMER, Stream};
use crate::stats::{percent, percentile};
use crate::system::{Job, Routes, System};

pub(super) const SCENARIO: Scenario = Scenario {
    name: "flood",
    title: "20 000 solicitations a second for hosts that do not exist, beside 50 a second for 50 \
            known ones",
    fits: |system| {
        matches!(system, System::Magpie | System::Reference(Routes::Acknowledged) | System::Ndppd)
    },
    many_targets: true,
    baseline: System::Reference(Routes::Acknowledged),
    columns: &[
        Column { key: "resolved", title: "known resolved %", decimals: 1, compared: false },
        Column { key: "p50", title: "p50 ms", decimals: 3, compared: true },
        Column { key: "p99", title: "p99 ms", decimals: 3, compared: true },
        Column { key: "growth", title: "memory growth KiB", decimals: 0, compared: true },
        Column { key: "inside", title: "NS/s inside", decimals: 0, compared: true },
        Column { key: "peak", title: "new NS in the busiest second", decimals: 0, compared: true },
        Column { key: "unseen", title: "unseen resolved %", decimals: 1, compared: false },
        Column { key: "cpu", title: "processor %", decimals: 0, compared: true },
        Column { key: "wrong", title: "flood answered", decimals: 0, compared: false },
        Column { key: "sent", title: "flood sent/s", decimals: 0, compared: false },
    ],
    criteria: &[
        Criterion { key: "resolved", bound: Bound::Least(100.0) },
        Criterion { key: "p99", bound: Bound::Most(5.0) },
        Criterion { key: "growth", bound: Bound::Most(4096.0) },
        // 256, and what waited for the generator at the end of the second before.
        Criterion { key: "peak", bound: Bound::Most(270.0) },
        Criterion { key: "wrong", bound: Bound::Most(0.0) },
    ],
    rounds: u32::MAX,
    measure: Measure::Alone(measure),
};

fn measure(trial: &Trial<'_>) -> Result<Figures, BenchError> {
    let seconds = trial.scale(3, 20);
    let unseen = KNOWN..KNOWN + UNSEEN_RATE * seconds;
    let mut setup = trial.begin(Job::Relay, unseen.end)?;
    setup.run(&Load::once(Stream {
        hosts: 0..KNOWN,
        rate: KNOWN,
        count: Some(KNOWN),
        tries: MAX_MULTICAST_SOLICIT,
        patience: RETRANS_TIMER,
    }))?;
    let (memory, cpu_time) = (setup.process().resident_kib()?, setup.process().cpu_time()?);
    let report = setup.run(&Load {
        streams: vec![
            // Each host once a second, and before the next time the verdict on the last.
            Stream {
                hosts: 0..KNOWN,
                rate: KNOWN,
                count: None,
                tries: 1,
                patience: Duration::from_millis(900),
            },
            Stream {
                rate: UNSEEN_RATE,
                count: Some(UNSEEN_RATE * seconds),
                hosts: unseen,
                tries: MAX_MULTICAST_SOLICIT,
                patience: RETRANS_TIMER,
            },
        ],
        flood: FLOOD,
        limit: Duration::from_secs(seconds.into()),
        until_answered: false,
        known: 0..KNOWN,
    })?;
    let span = report.span.as_secs_f64();
    let growth = f64::from(setup.process().resident_kib()?) - f64::from(memory);
    let cpu_time = setup.process().cpu_time()?.saturating_sub(cpu_time);
    let busiest = report.inside.new_per_second.iter().max().copied().unwrap_or(0);
    let mut figures = Figures::from([
        ("growth", growth),
        ("inside", f64::from(report.inside.solicitations) / span),
        ("peak", f64::from(busiest)),
        ("cpu", cpu_time.as_secs_f64() * 100.0 / span),
        ("wrong", f64::from(report.flood_answered)),
        ("unasked", f64::from(report.unasked)),
        ("sent", f64::from(report.flood_sent) / span),
    ]);
    if let Ok([mut known, unseen]) = <[_; 2]>::try_from(report.streams) {
        for (key, permille) in [("p50", 500), ("p99", 990)] {
            let latency = percentile(&mut known.latencies, permille);
            figures.extend(latency.map(|microseconds| (key, microseconds / 1000.0)));
        }
        figures.insert("resolved", percent(known.answered, known.asked));
        figures.insert("unseen", percent(unseen.answered, unseen.asked));
    }
    setup.finish(figures)
}

/// Hosts that the system knows before the flood; each is asked for once a second.
const KNOWN: u32 = 50;
/// Hosts a second that the system has to find during the flood.
const UNSEEN_RATE: u32 = 5;
/// Solicitations a second for hosts that do not exist.
const FLOOD: u32 = 20_000;
