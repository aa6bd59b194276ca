//! Turns samples into tables, verdicts and a file for machines.

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;
use std::time::SystemTime;

use serde::Serialize;

use crate::error::BenchError;
use crate::scenario::{
    Bound, Column, Criterion, Figures, OWN_LOSSES, STEERED, STRANGERS, Scenario,
};
use crate::stats::median;
use crate::system::System;

/// What one measurement gave.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Sample {
    scenario: &'static str,
    system: &'static str,
    round: u32,
    figures: Figures,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

/// All samples of a run.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    /// Seconds since 1970.
    time: u64,
    kernel: String,
    quick: bool,
    samples: Vec<Sample>,
}

/// Whether a criterion is met.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Verdict {
    Met,
    Missed,
    NotMeasured,
}

impl Report {
    /// An empty report of a run that starts now.
    pub(crate) fn new(quick: bool) -> Self {
        let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        Self {
            time: since_epoch.map_or(0, |time| time.as_secs()),
            kernel: rustix::system::uname().release().to_string_lossy().into_owned(),
            quick,
            samples: Vec::new(),
        }
    }

    /// Takes the outcome of a measurement over.
    pub(crate) fn add(
        &mut self,
        scenario: &Scenario,
        system: System,
        round: u32,
        outcome: Result<Figures, BenchError>,
    ) {
        let (figures, error) = match outcome {
            Ok(figures) => (figures, None),
            Err(error) => (Figures::new(), Some(chain(&error))),
        };
        if let Some(error) = &error {
            eprintln!("{} of {}: {error}", scenario.name, system.name());
        }
        let (scenario, system) = (scenario.name, system.name());
        self.samples.push(Sample { scenario, system, round, figures, error });
    }

    /// The tables and verdicts of `scenarios` as Markdown.
    pub(crate) fn to_text(&self, scenarios: &[&Scenario]) -> String {
        let mut text = String::new();
        for scenario in scenarios {
            self.write_scenario(scenario, &mut text);
        }
        let worst = |key: &str, worse: fn(f64, f64) -> f64| {
            self.samples.iter().filter_map(|sample| sample.figures.get(key).copied()).reduce(worse)
        };
        if let Some(share) = worst(STRANGERS, f64::max) {
            let _ = writeln!(
                text,
                "Other processes took up to {share:.0} % of one processor during a measurement."
            );
        }
        if let Some(lost) = worst(OWN_LOSSES, f64::max).filter(|&lost| lost > 0.0) {
            let _ = writeln!(
                text,
                "The generator itself lost up to {lost} frames during a measurement."
            );
        }
        if worst(STEERED, f64::min) == Some(0.0) {
            text.push_str(
                "Receive packet steering was not possible (it takes root): part of the kernel's \
                 work was done on the generator's processor.\n",
            );
        }
        text
    }

    /// Whether all criteria of `scenarios` are met.
    pub(crate) fn passes(&self, scenarios: &[&Scenario]) -> bool {
        scenarios.iter().all(|scenario| {
            let mut criteria = scenario.criteria.iter();
            criteria.all(|criterion| self.judge(scenario, criterion).0 == Verdict::Met)
        })
    }

    /// Writes all samples into a file and returns where it is.
    pub(crate) fn save(&self) -> Result<PathBuf, BenchError> {
        let folder = crate::home().join("results");
        let path = folder.join(format!("{}.json", self.time));
        let mut json = serde_json::to_string_pretty(self).unwrap_or_default();
        json.push('\n');
        match fs::create_dir_all(&folder).and_then(|()| fs::write(&path, json)) {
            Ok(()) => Ok(path),
            Err(source) => Err(BenchError::File { attempt: "write", path, source }),
        }
    }

    fn write_scenario(&self, scenario: &Scenario, text: &mut String) {
        let _ = writeln!(text, "### {}\n", scenario.title);
        let titles = scenario.columns.iter().map(|column| column.title.to_owned());
        let mut rows = vec![["system".to_owned()].into_iter().chain(titles).collect::<Vec<_>>()];
        for system in System::ALL.into_iter().filter(|&system| (scenario.fits)(system)) {
            if !self.samples_of(scenario, system).any(|_| true) {
                continue;
            }
            let mut row = vec![system.name().to_owned()];
            row.extend(scenario.columns.iter().map(|column| self.cell(scenario, column, system)));
            rows.push(row);
        }
        write_table(&rows, text);
        let baseline = scenario.baseline.name();
        if scenario.columns.iter().any(|column| column.compared) {
            let _ = writeln!(text, "×: compared with {baseline}; [lowest–highest of the rounds]\n");
        }
        for criterion in scenario.criteria {
            let (verdict, measured) = self.judge(scenario, criterion);
            let verdict = match verdict {
                Verdict::Met => "met",
                Verdict::Missed => "MISSED",
                Verdict::NotMeasured => "not measured",
            };
            let column = scenario.columns.iter().find(|column| column.key == criterion.key);
            let title = column.map_or(criterion.key, |column| column.title);
            let demand = match criterion.bound {
                Bound::Most(bound) => format!("at most {bound}"),
                Bound::Least(bound) => format!("at least {bound}"),
                Bound::MostTimes(factor, rivals) => {
                    format!("at most {factor} × {}", best_of(rivals))
                }
                Bound::LeastTimes(factor, rivals) => {
                    format!("at least {factor} × {}", best_of(rivals))
                }
            };
            let _ = writeln!(text, "- magpie, {title} {demand}: {verdict}{measured}");
        }
        text.push('\n');
    }

    /// The median, the range if there is one, and the ratio to the baseline.
    fn cell(&self, scenario: &Scenario, column: &Column, system: System) -> String {
        let figures = self.figures(scenario, column.key, system);
        let Some(middle) = median(&figures) else { return "–".to_owned() };
        let decimals = column.decimals;
        let mut cell = format!("{middle:.decimals$}");
        let lowest = figures.iter().copied().fold(f64::INFINITY, f64::min);
        let highest = figures.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let range = format!("{lowest:.decimals$}–{highest:.decimals$}");
        if range != format!("{cell}–{cell}") {
            let _ = write!(cell, " [{range}]");
        }
        if column.compared
            && system != scenario.baseline
            && let Some(baseline) = median(&self.figures(scenario, column.key, scenario.baseline))
            && baseline > 0.0
        {
            let _ = write!(cell, " (× {:.2})", middle / baseline);
        }
        cell
    }

    /// Judges Magpie's median, and says what was measured.
    fn judge(&self, scenario: &Scenario, criterion: &Criterion) -> (Verdict, String) {
        let median_of = |system| median(&self.figures(scenario, criterion.key, system));
        let magpie = median_of(System::Magpie);
        // Only a figure of each of them shows the best.
        let ratio = |rivals: &[System], best: fn(f64, f64) -> f64| {
            let rivals: Option<Vec<f64>> = rivals.iter().map(|&rival| median_of(rival)).collect();
            let best = rivals?.into_iter().reduce(best).filter(|&best| best > 0.0)?;
            magpie.map(|magpie| magpie / best)
        };
        let (figure, bound, at_most) = match criterion.bound {
            Bound::Most(bound) => (magpie, bound, true),
            Bound::Least(bound) => (magpie, bound, false),
            Bound::MostTimes(factor, rivals) => (ratio(rivals, f64::min), factor, true),
            Bound::LeastTimes(factor, rivals) => (ratio(rivals, f64::max), factor, false),
        };
        let Some(figure) = figure else { return (Verdict::NotMeasured, String::new()) };
        let met = if at_most { figure <= bound } else { figure >= bound };
        (if met { Verdict::Met } else { Verdict::Missed }, format!(" ({figure:.2})"))
    }

    fn figures(&self, scenario: &Scenario, key: &str, system: System) -> Vec<f64> {
        let samples = self.samples_of(scenario, system);
        samples.filter_map(|sample| sample.figures.get(key).copied()).collect()
    }

    fn samples_of(&self, scenario: &Scenario, system: System) -> impl Iterator<Item = &Sample> {
        let (scenario, system) = (scenario.name, system.name());
        self.samples
            .iter()
            .filter(move |sample| sample.scenario == scenario && sample.system == system)
    }
}

/// Names systems, the best of which something is compared with.
fn best_of(systems: &[System]) -> String {
    let names: Vec<_> = systems.iter().map(|system| system.name()).collect();
    match names.as_slice() {
        [name] => (*name).to_owned(),
        names => format!("the best of {}", names.join(" and ")),
    }
}

/// Writes rows, of which the first is the heading, as a table of even columns.
fn write_table(rows: &[Vec<String>], text: &mut String) {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    for (number, row) in rows.iter().enumerate() {
        for (place, (cell, &width)) in row.iter().zip(&widths).enumerate() {
            let _ = match place {
                0 => write!(text, "| {cell:<width$} "),
                _ => write!(text, "| {cell:>width$} "),
            };
        }
        text.push_str("|\n");
        if number == 0 {
            for (place, &width) in widths.iter().enumerate() {
                let end = if place == 0 { '-' } else { ':' };
                let _ = write!(text, "|{}{end}", "-".repeat(width + 1));
            }
            text.push_str("|\n");
        }
    }
    text.push('\n');
}

/// The error with its causes.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let _ = write!(text, ": {cause}");
        next = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario;
    use crate::system::Routes;

    fn report(magpie: f64, reference: f64) -> Report {
        let mut report = Report::new(true);
        let [first, ..] = scenario::ALL;
        let systems =
            [(System::Magpie, magpie), (System::Reference(Routes::Acknowledged), reference)];
        for (system, p50) in systems {
            let figures = Figures::from([("p50", p50), ("answered", 100.0), ("faulty", 0.0)]);
            report.add(first, system, 0, Ok(figures));
        }
        report
    }

    #[test]
    fn a_ratio_within_its_bound_passes() {
        let [first, ..] = scenario::ALL;
        assert!(report(130.0, 100.0).passes(&[first]));
        assert!(!report(131.0, 100.0).passes(&[first]));
        assert!(!Report::new(true).passes(&[first]));
    }

    #[test]
    fn the_best_rival_counts_and_all_have_to_be_measured() {
        let [.., answers, _, _] = scenario::ALL;
        let mut report = Report::new(true);
        let demand = answers.criteria.iter().find(|criterion| {
            matches!(criterion.bound, Bound::LeastTimes(_, rivals) if rivals.len() == 2)
        });
        let demand = demand.unwrap();
        let mut judge = |system, rate| {
            report.add(answers, system, 0, Ok(Figures::from([(demand.key, rate)])));
            report.judge(answers, demand).0
        };
        assert_eq!(judge(System::Magpie, 190.0), Verdict::NotMeasured);
        assert_eq!(judge(System::Ndppd, 50.0), Verdict::NotMeasured);
        assert_eq!(judge(System::Npd6, 100.0), Verdict::Met);
        assert_eq!(judge(System::Ndppd, 300.0), Verdict::Missed);
    }

    #[test]
    fn a_table_shows_figures_and_ratios() {
        let [first, ..] = scenario::ALL;
        let text = report(120.0, 100.0).to_text(&[first]);
        assert!(text.contains("| magpie "), "{text}");
        assert!(text.contains("120 (× 1.20)"), "{text}");
        assert!(text.contains("at most 1.3 × reference-ack: met (1.20)"), "{text}");
    }
}
