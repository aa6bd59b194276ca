//! Idleness: how often a system is put on a processor when nothing happens.

use std::time::Duration;

use super::{Bound, Column, Criterion, Figures, Measure, Scenario, Trial};
use crate::error::BenchError;
use crate::generator::Load;
use crate::system::{Job, Routes, System};

pub(super) const SCENARIO: Scenario = Scenario {
    name: "idle",
    title: "Context switches in 10 seconds without traffic (3 seconds in a quick run)",
    fits: |system| {
        !matches!(
            system,
            System::Reference(Routes::Batched | Routes::None) | System::Responder | System::Avahi
        )
    },
    many_targets: false,
    baseline: System::Ndppd,
    columns: &[Column { key: "switches", title: "context switches", decimals: 0, compared: false }],
    criteria: &[Criterion { key: "switches", bound: Bound::Most(0.0) }],
    rounds: 2,
    measure: Measure::Alone(measure),
};

fn measure(trial: &Trial<'_>) -> Result<Figures, BenchError> {
    let mut setup = trial.begin(Job::Relay, 0)?;
    // What follows the first answer, such as the kernel's own probes, is no idleness yet.
    setup.run(&silence(SETTLE))?;
    let before = setup.process().context_switches()?;
    setup.run(&silence(Duration::from_secs(trial.scale(3, 10))))?;
    let switches = setup.process().context_switches()?.saturating_sub(before);
    setup.finish(Figures::from([("switches", f64::from(switches))]))
}

fn silence(limit: Duration) -> Load {
    Load { streams: Vec::new(), flood: 0, limit, until_answered: false, known: 0..0 }
}

const SETTLE: Duration = Duration::from_secs(5);
