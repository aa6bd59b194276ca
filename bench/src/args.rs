//! The command line.

use std::path::PathBuf;

use clap::Parser;

use crate::error::BenchError;
use crate::scenario::{self, Scenario};
use crate::system::System;

/// Measures Magpie beside its peers, in network namespaces of its own.
///
/// Real figures take root, two processors and a quiet machine; an ordinary user gets rougher ones.
#[derive(Debug, Parser)]
#[command(name = "magpie-bench", version)]
#[expect(clippy::struct_excessive_bools, reason = "each is an option of the command line")]
pub(crate) struct Args {
    /// Takes a few seconds for each measurement, and one round.
    #[arg(long)]
    pub(crate) quick: bool,
    /// Exits with status 1 if a criterion is not met.
    #[arg(long)]
    pub(crate) check: bool,
    /// Installs missing peers with apt-get first; takes root.
    #[arg(long)]
    pub(crate) install: bool,
    /// How often everything is measured, one system after the other in each round.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) rounds: Option<u32>,
    /// How long each measurement waits, at most, for other processes to leave the machine alone.
    #[arg(long, value_name = "SECONDS", default_value_t = 10)]
    pub(crate) patience: u32,
    /// Also has ndppd solicit thousands of hosts. That fills the kernel's table of neighbors, which
    /// all namespaces share, so that other programs on this machine may fail to reach theirs.
    #[arg(long)]
    pub(crate) all: bool,
    /// Measures only these scenarios: first, flood, memory, names, loops,
    /// static, start, idle.
    #[arg(long, value_name = "NAME,...", value_delimiter = ',')]
    scenarios: Vec<String>,
    /// Measures only these systems: magpie, reference-ack, reference-batch, reference-none,
    /// reference-epoll, ndppd, npd6, avahi, magpie+avahi.
    #[arg(long, value_name = "NAME,...", value_delimiter = ',')]
    systems: Vec<String>,
    /// Measures this program instead of building Magpie.
    #[arg(long, value_name = "PATH")]
    pub(crate) magpie: Option<PathBuf>,
}

impl Args {
    /// How many rounds to make.
    pub(crate) fn rounds(&self) -> u32 {
        self.rounds.unwrap_or(if self.quick { 1 } else { 3 })
    }

    /// The scenarios to measure.
    pub(crate) fn scenarios(&self) -> Result<Vec<&'static Scenario>, BenchError> {
        choose("scenario", &self.scenarios, &scenario::ALL, |scenario| scenario.name)
    }

    /// The systems to measure.
    pub(crate) fn systems(&self) -> Result<Vec<System>, BenchError> {
        choose("system", &self.systems, &System::ALL, System::name)
    }
}

fn choose<T: Copy>(
    kind: &'static str,
    names: &[String],
    all: &[T],
    name_of: impl Fn(T) -> &'static str,
) -> Result<Vec<T>, BenchError> {
    let known = || all.iter().map(|&item| name_of(item)).collect::<Vec<_>>();
    if let Some(name) = names.iter().find(|name| !known().contains(&name.as_str())) {
        let known = known().join(", ");
        return Err(BenchError::Unknown { kind, name: name.clone(), known });
    }
    let chosen = |item: T| names.is_empty() || names.iter().any(|name| name == name_of(item));
    Ok(all.iter().copied().filter(|&item| chosen(item)).collect())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Args::command().debug_assert();
    }

    #[test]
    fn names_choose_and_wrong_ones_are_named() {
        let args = Args::parse_from(["magpie-bench", "--systems", "npd6,magpie"]);
        assert_eq!(args.systems().unwrap(), [System::Magpie, System::Npd6]);
        assert_eq!(args.scenarios().unwrap().len(), scenario::ALL.len());
        let args = Args::parse_from(["magpie-bench", "--scenarios", "fist"]);
        let error = args.scenarios().unwrap_err().to_string();
        assert!(error.starts_with("there is no scenario called \"fist\""), "{error}");
    }
}
