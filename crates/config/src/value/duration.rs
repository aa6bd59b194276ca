//! Durations: a whole number and its unit.

use std::time::Duration;

use super::ValueError;

/// Reads a duration such as `500ms`, `10s`, `5m`, `1h` or `1d`.
///
/// # Errors
///
/// What is wrong, and where.
pub fn duration(text: &str) -> Result<Duration, ValueError> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let whole = 0..text.len();
    if number.is_empty() {
        return Err(ValueError::new(whole, format!("`{text}` is not a duration"))
            .label("expected a whole number and a unit")
            .help(EXAMPLES));
    }
    let Some((_, unit)) = UNITS.iter().find(|(name, _)| *name == unit.trim_start()) else {
        let error = if unit.is_empty() {
            ValueError::new(whole, format!("the duration `{text}` has no unit"))
                .label(format!("`{number}s` if these are seconds"))
        } else if unit.starts_with(['.', ',']) {
            ValueError::new(whole, format!("`{text}` is not a whole number"))
                .label("a smaller unit helps: `1500ms` is 1.5 seconds")
        } else {
            ValueError::new(digits..text.len(), format!("`{unit}` is no unit of time"))
                .label("expected ms, s, m, h or d")
        };
        return Err(error.help(EXAMPLES));
    };
    number
        .parse::<u64>()
        .ok()
        .and_then(|number| number.checked_mul(*unit))
        .map(Duration::from_millis)
        .ok_or_else(|| ValueError::new(whole, format!("the duration `{text}` is too long")))
}

/// Writes a duration so that [`duration`] reads it again; what is below a millisecond is lost.
pub fn duration_text(duration: Duration) -> String {
    let millis = duration.as_millis();
    let (name, unit) = UNITS
        .iter()
        .rev()
        .find(|(_, unit)| millis != 0 && millis.is_multiple_of(u128::from(*unit)))
        .unwrap_or(&("ms", 1));
    format!("{}{name}", millis / u128::from(*unit))
}

/// Milliseconds in each unit, from the shortest.
const UNITS: [(&str, u64); 5] =
    [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];

const EXAMPLES: &str = "durations are written like \"500ms\", \"10s\", \"5m\", \"1h\" or \"1d\"";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_and_written() {
        for (text, millis, written) in [
            ("0ms", 0, "0ms"),
            ("0s", 0, "0ms"),
            ("500ms", 500, "500ms"),
            ("10s", 10_000, "10s"),
            ("10 s", 10_000, "10s"),
            ("60s", 60_000, "1m"),
            ("90s", 90_000, "90s"),
            ("24h", 86_400_000, "1d"),
            ("1d", 86_400_000, "1d"),
        ] {
            let read = duration(text);
            assert_eq!(read, Ok(Duration::from_millis(millis)), "{text}");
            assert_eq!(duration_text(Duration::from_millis(millis)), written, "{text}");
        }
        for text in ["", "s", "-1s", "1", "1.5s", "1w", "1S", "1s2", "99999999999999999999s"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }
}
