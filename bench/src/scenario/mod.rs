//! What is measured: a list of scenarios, each with its figures and criteria.

mod answers;
mod first;
mod flood;
mod idle;
mod loops;
mod memory;
mod names;
mod start;

use std::collections::BTreeMap;
use std::time::Duration;

use crate::account::{Process, Strangers};
use crate::daemon::Daemon;
use crate::error::BenchError;
use crate::generator::{Generator, Load, Report, Stream, Window, WindowReport};
use crate::lab::Lab;
use crate::programs::Programs;
use crate::system::{Job, System};

/// All scenarios, in the order of the report.
pub(crate) const ALL: [&Scenario; 8] = [
    &first::SCENARIO,
    &flood::SCENARIO,
    &memory::SCENARIO,
    &names::SCENARIO,
    &loops::SCENARIO,
    &answers::SCENARIO,
    &start::SCENARIO,
    &idle::SCENARIO,
];

/// Figures by the key of their column.
pub(crate) type Figures = BTreeMap<&'static str, f64>;

/// Something to measure.
#[derive(Debug)]
pub(crate) struct Scenario {
    /// Its name on the command line.
    pub(crate) name: &'static str,
    /// What it is.
    pub(crate) title: &'static str,
    /// The systems that it makes sense for.
    pub(crate) fits: fn(System) -> bool,
    /// It has the systems solicit more targets than the kernel has room for neighbors.
    pub(crate) many_targets: bool,
    /// What the others are compared with.
    pub(crate) baseline: System,
    /// Its figures.
    pub(crate) columns: &'static [Column],
    /// What is demanded of Magpie.
    pub(crate) criteria: &'static [Criterion],
    /// Rounds that are enough, since the figures hardly vary.
    pub(crate) rounds: u32,
    /// Measures once.
    pub(crate) measure: Measure,
}

/// How systems are measured.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Measure {
    /// One after the other.
    Alone(fn(&Trial<'_>) -> Result<Figures, BenchError>),
    /// At the same time, in turns so short that whatever else the machine does strikes all alike.
    Together(fn(&[Trial<'_>]) -> Result<Vec<Figures>, BenchError>),
}

/// A column of a scenario's table.
#[derive(Debug)]
pub(crate) struct Column {
    /// The figure.
    pub(crate) key: &'static str,
    /// Its name and unit.
    pub(crate) title: &'static str,
    /// Digits after the point.
    pub(crate) decimals: usize,
    /// The ratio to the baseline says something.
    pub(crate) compared: bool,
}

/// A bound on one of Magpie's figures.
#[derive(Debug)]
pub(crate) struct Criterion {
    /// The figure.
    pub(crate) key: &'static str,
    /// The bound.
    pub(crate) bound: Bound,
}

/// How a figure is bounded.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Bound {
    /// Not more than this.
    Most(f64),
    /// Not less than this.
    Least(f64),
    /// Not more than this many times the lowest figure of these systems.
    MostTimes(f64, &'static [System]),
    /// Not less than this many times the highest figure of these systems.
    LeastTimes(f64, &'static [System]),
}

/// One measurement of one system.
#[derive(Debug)]
pub(crate) struct Trial<'a> {
    /// The system.
    pub(crate) system: System,
    /// Where the programs are.
    pub(crate) programs: &'a Programs,
    /// A few seconds have to do.
    pub(crate) quick: bool,
}

/// A running system in a network of its own.
#[derive(Debug)]
struct Setup {
    generator: Generator,
    own_losses: u32,
    strangers: Option<Strangers>,
    steered: bool,
    daemon: Daemon,
    // Dropped after the daemon, which works on its links.
    _lab: Lab,
}

impl Trial<'_> {
    /// Builds a network where the first `hosts` hosts exist inside, starts the system to do `job`,
    /// and waits until it answers for one host more.
    fn begin(&self, job: Job, hosts: u32) -> Result<Setup, BenchError> {
        let lab = Lab::new(self.system.layout(job))?;
        let mut generator = Generator::new(lab.ends()?, hosts + 1);
        let mut daemon = self.system.start(job, self.programs, &lab)?;
        let report = generator.run(&first_answer(hosts))?;
        daemon.check()?;
        if report.streams.iter().all(|tally| tally.answered == 0) {
            return Err(BenchError::Silent {
                system: self.system.name(),
                limit: START_LIMIT,
                said: daemon.said(),
            });
        }
        let strangers = Strangers::watch(Some(daemon.process())).ok();
        Ok(Setup {
            generator,
            own_losses: 0,
            strangers,
            steered: lab.is_steered(),
            daemon,
            _lab: lab,
        })
    }

    /// Chooses between a figure for a quick run and one for a full one.
    fn scale<T>(&self, quick: T, full: T) -> T {
        if self.quick { quick } else { full }
    }
}

impl Setup {
    fn process(&self) -> Process {
        self.daemon.process()
    }

    /// Lays a load on the network.
    fn run(&mut self, load: &Load) -> Result<Report, BenchError> {
        let report = self.generator.run(load)?;
        self.own_losses += report.lost_by_generator;
        Ok(report)
    }

    /// Lays a load on the network that goes as fast as the system answers.
    fn run_window(&mut self, window: &Window) -> Result<WindowReport, BenchError> {
        let report = self.generator.run_window(window)?;
        self.own_losses += report.lost_by_generator;
        Ok(report)
    }

    /// Adds to the figures what tells how far they can be trusted.
    fn finish(mut self, mut figures: Figures) -> Result<Figures, BenchError> {
        self.daemon.check()?;
        figures.insert(OWN_LOSSES, f64::from(self.own_losses));
        if let Some(share) = self.strangers.and_then(|strangers| strangers.share().ok()) {
            figures.insert(STRANGERS, share * 100.0);
        }
        figures.insert(STEERED, if self.steered { 1.0 } else { 0.0 });
        Ok(figures)
    }
}

/// Asks for one host a hundred times a second until there is an answer.
fn first_answer(host: u32) -> Load {
    let stream = Stream {
        hosts: host..host + 1,
        rate: 100,
        count: None,
        tries: 1,
        patience: Duration::from_secs(1),
    };
    Load { limit: START_LIMIT, until_answered: true, ..Load::once(stream) }
}

/// Figure: the share of one processor that other processes took meanwhile, in percent.
pub(crate) const STRANGERS: &str = "strangers";
/// Figure: frames that the generator could not send or receive.
pub(crate) const OWN_LOSSES: &str = "own_losses";
/// Figure: 1 if the kernel's work for the router's links stayed on the router's processor.
pub(crate) const STEERED: &str = "steered";

const START_LIMIT: Duration = Duration::from_secs(10);
