//! Memory, idle and with many hosts known.

use super::{Bound, Column, Criterion, Figures, Measure, Scenario, Trial};
use crate::error::BenchError;
use crate::generator::{Load, MAX_MULTICAST_SOLICIT, RETRANS_TIMER, Stream};
use crate::stats::percent;
use crate::system::{Job, Routes, System};

pub(super) const SCENARIO: Scenario = Scenario {
    name: "memory",
    title: "Memory, idle and with 10 000 hosts known (1 000 in a quick run)",
    fits: |system| {
        matches!(system, System::Magpie | System::Reference(Routes::Acknowledged) | System::Ndppd)
    },
    many_targets: true,
    baseline: System::Reference(Routes::Acknowledged),
    columns: &[
        Column { key: "idle", title: "idle KiB", decimals: 0, compared: true },
        Column { key: "full", title: "full KiB", decimals: 0, compared: true },
        Column { key: "per_host", title: "octets/host", decimals: 0, compared: true },
        Column { key: "learned", title: "learned %", decimals: 1, compared: false },
    ],
    criteria: &[
        Criterion { key: "idle", bound: Bound::Most(5.0 * 1024.0) },
        Criterion { key: "full", bound: Bound::Most(12.0 * 1024.0) },
        Criterion { key: "learned", bound: Bound::Least(100.0) },
    ],
    rounds: 1,
    measure: Measure::Alone(measure),
};

fn measure(trial: &Trial<'_>) -> Result<Figures, BenchError> {
    let hosts = trial.scale(1_000, 10_000);
    let mut setup = trial.begin(Job::Relay, hosts)?;
    let idle = f64::from(setup.process().resident_kib()?);
    let report = setup.run(&Load::once(Stream {
        hosts: 0..hosts,
        rate: RATE,
        count: Some(hosts),
        tries: MAX_MULTICAST_SOLICIT,
        patience: RETRANS_TIMER,
    }))?;
    let full = f64::from(setup.process().resident_kib()?);
    let answered: u32 = report.streams.iter().map(|tally| tally.answered).sum();
    let figures = Figures::from([
        ("idle", idle),
        ("full", full),
        ("per_host", (full - idle) * 1024.0 / f64::from(hosts)),
        ("learned", percent(answered, hosts)),
    ]);
    setup.finish(figures)
}

/// New hosts a second: fewer than the rate that Magpie limits its own solicitations to.
const RATE: u32 = 200;
