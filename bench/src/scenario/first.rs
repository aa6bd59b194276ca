//! First contact: how long it takes to find hosts that were never seen.

use super::{Bound, Column, Criterion, Figures, Measure, Scenario, Trial};
use crate::error::BenchError;
use crate::generator::{Load, MAX_MULTICAST_SOLICIT, RETRANS_TIMER, Stream};
use crate::stats::{percent, percentile};
use crate::system::{Job, Routes, System};

pub(super) const SCENARIO: Scenario = Scenario {
    name: "first",
    title: "First resolution of a host never seen, 100 new hosts a second",
    fits: System::learns,
    many_targets: false,
    baseline: System::Reference(Routes::Acknowledged),
    columns: &[
        Column { key: "p50", title: "p50 µs", decimals: 0, compared: true },
        Column { key: "p99", title: "p99 µs", decimals: 0, compared: true },
        Column { key: "max", title: "max µs", decimals: 0, compared: false },
        Column { key: "answered", title: "answered %", decimals: 1, compared: false },
        Column { key: "repeated", title: "asked again", decimals: 0, compared: false },
        Column { key: "cpu", title: "processor µs/host", decimals: 0, compared: true },
        Column { key: "faulty", title: "faulty answers", decimals: 0, compared: false },
    ],
    criteria: &[
        Criterion {
            key: "p50",
            bound: Bound::MostTimes(1.3, &[System::Reference(Routes::Acknowledged)]),
        },
        Criterion { key: "answered", bound: Bound::Least(100.0) },
        Criterion { key: "faulty", bound: Bound::Most(0.0) },
    ],
    rounds: u32::MAX,
    measure: Measure::Alone(measure),
};

fn measure(trial: &Trial<'_>) -> Result<Figures, BenchError> {
    let hosts = trial.scale(200, 400);
    let mut setup = trial.begin(Job::Relay, hosts)?;
    let before = setup.process().cpu_time()?;
    let mut report = setup.run(&Load::once(Stream {
        hosts: 0..hosts,
        rate: 100,
        count: Some(hosts),
        tries: MAX_MULTICAST_SOLICIT,
        patience: RETRANS_TIMER,
    }))?;
    let cpu_time = setup.process().cpu_time()?.saturating_sub(before);
    let mut figures = Figures::from([
        ("faulty", f64::from(report.faulty)),
        ("unasked", f64::from(report.unasked)),
    ]);
    for tally in &mut report.streams {
        for (key, permille) in [("p50", 500), ("p99", 990), ("max", 1000)] {
            figures.extend(percentile(&mut tally.latencies, permille).map(|value| (key, value)));
        }
        figures.insert("answered", percent(tally.answered, tally.asked));
        figures.insert("repeated", f64::from(tally.repeated));
        figures.insert("cpu", cpu_time.as_secs_f64() * 1e6 / f64::from(tally.asked));
    }
    setup.finish(figures)
}
