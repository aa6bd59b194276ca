//! Measures Magpie beside a reference proxy and other programs, in one run and on one machine.
//!
//! Each measurement builds a network of its own in namespaces, starts one system on the router in
//! its middle, lays a load on it and notes figures. A scenario says what to measure, a system how
//! to start it; `main` goes through all pairs, round by round, so that what slows the machine down
//! for a while strikes all systems alike.
#![forbid(unsafe_code)]

mod account;
mod args;
mod avahi;
mod cpu;
mod daemon;
mod error;
mod generator;
mod interrupt;
mod lab;
mod programs;
mod report;
mod scenario;
mod stats;
mod system;
mod targets;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser as _;

use args::Args;
use error::BenchError;
use programs::Programs;
use report::Report;
use scenario::{Measure, Trial};
use system::System;

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("magpie-bench: {}", report::chain(&error));
            ExitCode::FAILURE
        }
    }
}

/// Measures everything; false if a criterion that was to be checked is not met.
fn run(args: &Args) -> Result<bool, BenchError> {
    let (scenarios, systems) = (args.scenarios()?, args.systems()?);
    // Building may take the network, which is out of reach from inside the namespaces.
    let programs = Programs::prepare(args.magpie.clone(), args.install)?;
    magpie_sys::netns::enter_user_namespace()?;
    interrupt::watch()?;
    cpu::pin(cpu::NETWORK)?;
    cpu::hurry();
    let patience = Duration::from_secs(args.patience.into());
    let mut report = Report::new(args.quick);
    for round in 0..args.rounds() {
        for scenario in scenarios.iter().filter(|scenario| round < scenario.rounds) {
            let is_possible = |system: System| {
                let harmful = scenario.many_targets && system.takes_neighbor_entries();
                (scenario.fits)(system) && system.is_here(&programs) && (!harmful || args.all)
            };
            let possible = systems.iter().copied().filter(|system| is_possible(*system));
            let trial = |system| Trial { system, programs: &programs, quick: args.quick };
            let trials: Vec<_> = possible.map(trial).collect();
            let begin = |trials: &[Trial<'_>]| {
                // What cannot be told about the machine does not keep it from being used.
                let _ = account::await_quiet(patience);
                let names: Vec<_> = trials.iter().map(|trial| trial.system.name()).collect();
                eprintln!("round {}: {} of {}", round + 1, scenario.name, names.join(" and "));
            };
            match scenario.measure {
                Measure::Alone(measure) => {
                    for trial in &trials {
                        begin(std::slice::from_ref(trial));
                        let outcome = measure(trial);
                        interrupt::check()?;
                        report.add(scenario, trial.system, round, outcome);
                    }
                }
                Measure::Together(measure) => {
                    begin(&trials);
                    let figures = measure(&trials)?;
                    for (trial, figures) in trials.iter().zip(figures) {
                        report.add(scenario, trial.system, round, Ok(figures));
                    }
                }
            }
        }
    }
    print!("{}", report.to_text(&scenarios));
    eprintln!("All figures: {}", report.save()?.display());
    Ok(!args.check || report.passes(&scenarios))
}

/// The folder of this package: cargo tells where it is.
fn home() -> PathBuf {
    std::env::var_os("CARGO_MANIFEST_DIR").map_or_else(|| PathBuf::from("bench"), PathBuf::from)
}
