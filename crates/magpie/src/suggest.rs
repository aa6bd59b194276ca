//! Finds what somebody who mistyped a name probably meant.

/// The candidate that is most like `name`, if any is much like it.
pub(crate) fn closest<'a>(
    name: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let most = name.chars().count().div_ceil(3);
    candidates
        .into_iter()
        .map(|candidate| (distance(name, candidate), candidate))
        .filter(|(distance, _)| *distance <= most)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// How many characters must be put in, taken out or exchanged to turn one into the other.
fn distance(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (index, have) in from.chars().enumerate() {
        let mut diagonal = index;
        let mut left = index + 1;
        for (want, above) in to.iter().zip(row.iter_mut().skip(1)) {
            let exchanged = diagonal + usize::from(have != *want);
            diagonal = *above;
            left = exchanged.min(left + 1).min(diagonal + 1);
            *above = left;
        }
        if let Some(first) = row.first_mut() {
            *first = index + 1;
        }
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
        for (from, to, expected) in
            [("", "", 0), ("abc", "", 3), ("", "abc", 3), ("kitten", "sitting", 3), ("ab", "ba", 2)]
        {
            assert_eq!(distance(from, to), expected, "{from} {to}");
        }
    }
}
