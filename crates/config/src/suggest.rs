//! Finds what somebody who mistyped a name probably meant.

/// The candidate that is most like `name`, if any is much like it.
pub fn closest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let most = name.chars().count().div_ceil(3);
    candidates
        .into_iter()
        .map(|candidate| (distance(name, candidate), candidate))
        .filter(|(distance, _)| *distance <= most)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// How many characters must be put in, taken out, exchanged, or swapped with the next to turn one
/// into the other.
fn distance(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    // Distances to each beginning of `to`: from what was read of `from`, and from one and two
    // characters less.
    let mut row: Vec<usize> = (0..=to.len()).collect();
    let mut before: Vec<usize> = Vec::new();
    let mut last = None;
    for (index, have) in from.chars().enumerate() {
        let mut next = vec![index + 1];
        let mut left = index + 1;
        let mut previous = None;
        for (column, want) in to.iter().enumerate() {
            let at = |row: &[usize], column: usize| row.get(column).copied().unwrap_or(usize::MAX);
            let exchanged = at(&row, column) + usize::from(have != *want);
            let mut best = exchanged.min(left + 1).min(at(&row, column + 1).saturating_add(1));
            if column > 0 && last == Some(*want) && previous == Some(have) {
                best = best.min(at(&before, column - 1).saturating_add(1));
            }
            next.push(best);
            left = best;
            previous = Some(*want);
        }
        before = std::mem::replace(&mut row, next);
        last = Some(have);
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_recognized_and_strangers_are_not() {
        let candidates = ["eth0", "br-lan", "wan"];
        for (name, expected) in [
            ("eht0", Some("eth0")),
            ("wna", Some("wan")),
            ("br_lan", Some("br-lan")),
            ("brlan", Some("br-lan")),
            ("want", Some("wan")),
            ("docker0", None),
            ("", None),
        ] {
            assert_eq!(closest(name, candidates), expected, "{name}");
        }
    }

    #[test]
    fn the_distance_counts_changes() {
        for (from, to, expected) in [
            ("", "", 0),
            ("abc", "", 3),
            ("", "abc", 3),
            ("kitten", "sitting", 3),
            ("ab", "ba", 1),
            ("abcd", "badc", 2),
        ] {
            assert_eq!(distance(from, to), expected, "{from} {to}");
        }
    }
}
