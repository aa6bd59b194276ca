//! Boils many figures down to few.

use std::time::Duration;

/// Sorts latencies and returns the one that `permille` thousandths do not exceed, in microseconds;
/// `None` if there are none.
pub(crate) fn percentile(latencies: &mut [Duration], permille: usize) -> Option<f64> {
    latencies.sort_unstable();
    let rank = (latencies.len() * permille).div_ceil(1000).max(1);
    latencies.get(rank - 1).map(|latency| latency.as_secs_f64() * 1e6)
}

/// Returns the figure in the middle; the higher one of two. `None` if there are none.
pub(crate) fn median(figures: &[f64]) -> Option<f64> {
    let mut figures = figures.to_vec();
    figures.sort_unstable_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied()
}

/// Returns how many percent `part` is of `whole`; all if the whole is nothing.
pub(crate) fn percent(part: u32, whole: u32) -> f64 {
    if whole == 0 { 100.0 } else { f64::from(part) * 100.0 / f64::from(whole) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_figures_that_were_measured() {
        let mut latencies: Vec<Duration> = (1..=100).rev().map(Duration::from_micros).collect();
        for (permille, expected) in [(0, 1.0), (500, 50.0), (990, 99.0), (1000, 100.0)] {
            let percentile = percentile(&mut latencies, permille).unwrap();
            assert!((percentile - expected).abs() < 1e-6, "{permille}: {percentile}");
        }
        assert_eq!(percentile(&mut [], 500), None);
    }

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[4.0, 1.0]), Some(4.0));
        assert_eq!(median(&[]), None);
    }
}
