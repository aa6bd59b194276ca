//! Static answers: how fast a whole prefix is answered for, and whether that takes memory.

use std::time::Duration;

use super::{Bound, Column, Criterion, Figures, Measure, Scenario, Trial};
use crate::error::BenchError;
use crate::generator::{Load, Stream, Window};
use crate::stats::percentile;
use crate::system::{Job, System};

pub(super) const SCENARIO: Scenario = Scenario {
    name: "static",
    title: "Static answers for a /64: 100 a second, and as many as 64 solicitations under way get",
    fits: System::answers_unasked,
    many_targets: false,
    baseline: System::Responder,
    columns: &[
        Column { key: "rate", title: "answers/s", decimals: 0, compared: true },
        Column { key: "cpu", title: "processor µs/answer", decimals: 2, compared: true },
        Column { key: "p50", title: "p50 µs", decimals: 0, compared: true },
        Column { key: "p99", title: "p99 µs", decimals: 0, compared: true },
        Column { key: "memory", title: "memory KiB", decimals: 0, compared: true },
        Column { key: "growth", title: "memory growth KiB", decimals: 0, compared: false },
        Column { key: "lost", title: "not answered", decimals: 0, compared: false },
        Column { key: "faulty", title: "faulty answers", decimals: 0, compared: false },
        Column { key: "idle", title: "generator idle %", decimals: 0, compared: false },
    ],
    criteria: &[
        Criterion { key: "rate", bound: Bound::LeastTimes(0.8, &[System::Responder]) },
        Criterion { key: "rate", bound: Bound::LeastTimes(1.8, PEERS) },
        Criterion { key: "p50", bound: Bound::MostTimes(1.0, PEERS) },
        Criterion { key: "growth", bound: Bound::Most(128.0) },
        Criterion { key: "lost", bound: Bound::Most(0.0) },
        Criterion { key: "faulty", bound: Bound::Most(0.0) },
    ],
    rounds: u32::MAX,
    measure: Measure::Alone(measure),
};

fn measure(trial: &Trial<'_>) -> Result<Figures, BenchError> {
    let calm = trial.scale(200, 400);
    let warm = calm + trial.scale(20_000, 50_000);
    let fast = warm + trial.scale(100_000, 500_000);
    // The target that tells that the system is ready is none of those: a question that is repeated
    // at once need not be answered.
    let mut setup = trial.begin(Job::Answer, fast)?;
    let mut report = setup.run(&Load::once(Stream {
        hosts: 0..calm,
        rate: 100,
        count: Some(calm),
        tries: 1,
        patience: PATIENCE,
    }))?;
    let window = |hosts| Window { size: WINDOW, hosts, patience: PATIENCE, limit: LIMIT };
    // What is allocated, once and for all, is so now.
    let mut lost = setup.run_window(&window(calm..warm))?.lost;
    let (memory, cpu_time) = (setup.process().resident_kib()?, setup.process().cpu_time()?);
    let outcome = setup.run_window(&window(warm..fast))?;
    let cpu_time = setup.process().cpu_time()?.saturating_sub(cpu_time);
    let full = setup.process().resident_kib()?;
    lost += outcome.lost;
    let (span, answered) = (outcome.span.as_secs_f64(), f64::from(outcome.answered));
    let mut figures = Figures::from([
        ("rate", answered / span),
        ("idle", outcome.idle.as_secs_f64() * 100.0 / span),
        ("memory", f64::from(full)),
        ("growth", f64::from(full) - f64::from(memory)),
        ("faulty", f64::from(report.faulty + outcome.faulty)),
        ("unasked", f64::from(report.unasked + outcome.unasked)),
        ("asked", f64::from(outcome.asked)),
    ]);
    if outcome.answered > 0 {
        figures.insert("cpu", cpu_time.as_secs_f64() * 1e6 / answered);
    }
    for tally in &mut report.streams {
        lost += tally.lost;
        for (key, permille) in [("p50", 500), ("p99", 990)] {
            figures.extend(percentile(&mut tally.latencies, permille).map(|value| (key, value)));
        }
    }
    figures.insert("lost", f64::from(lost));
    setup.finish(figures)
}

/// What Debian has for the same.
const PEERS: &[System] = &[System::Ndppd, System::Npd6];
/// Solicitations under way.
const WINDOW: u32 = 64;
/// Nobody takes that long for an answer that needs no asking, even if other processes are in the way.
const PATIENCE: Duration = Duration::from_secs(3);
/// Nobody is that slow.
const LIMIT: Duration = Duration::from_secs(60);
