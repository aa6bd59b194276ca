//! Start: from the execution of the program to its first answer.

use std::thread;
use std::time::Duration;

use super::{Bound, Column, Criterion, Figures, Measure, START_LIMIT, Scenario, Trial};
use crate::cpu;
use crate::error::BenchError;
use crate::generator::{Generator, Load, Stream};
use crate::lab::Lab;
use crate::stats::median;
use crate::system::{Job, Routes, System};

pub(super) const SCENARIO: Scenario = Scenario {
    name: "start",
    title: "From the start of the program to the first answer, one solicitation a millisecond",
    fits: |system| {
        !matches!(
            system,
            System::Reference(Routes::Batched | Routes::None) | System::Responder | System::Avahi
        )
    },
    many_targets: false,
    baseline: System::Ndppd,
    columns: &[Column { key: "start", title: "start ms", decimals: 1, compared: true }],
    criteria: &[Criterion { key: "start", bound: Bound::Most(50.0) }],
    rounds: u32::MAX,
    measure: Measure::Alone(measure),
};

fn measure(trial: &Trial<'_>) -> Result<Figures, BenchError> {
    let mut times = Vec::new();
    for _ in 0..trial.scale(2, 5) {
        times.push(start(trial)?.as_secs_f64() * 1000.0);
    }
    Ok(median(&times).map(|time| ("start", time)).into_iter().collect())
}

fn start(trial: &Trial<'_>) -> Result<Duration, BenchError> {
    let lab = Lab::new(trial.system.layout(Job::Relay))?;
    let mut generator = Generator::new(lab.ends()?, 1);
    let load = Load {
        limit: START_LIMIT,
        until_answered: true,
        ..Load::once(Stream {
            hosts: 0..1,
            rate: 1000,
            count: None,
            tries: 1,
            patience: Duration::from_secs(1),
        })
    };
    thread::scope(|scope| {
        let starter = scope.spawn(|| {
            // The generator has its processor for itself.
            cpu::pin(cpu::ROUTER)?;
            trial.system.start(Job::Relay, trial.programs, &lab)
        });
        let report = generator.run(&load);
        let daemon = starter.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        let answer = report?.streams.iter().find_map(|tally| tally.first_answer);
        answer.map(|answer| answer.saturating_duration_since(daemon.started())).ok_or_else(|| {
            BenchError::Silent {
                system: trial.system.name(),
                limit: START_LIMIT,
                said: daemon.said(),
            }
        })
    })
}
