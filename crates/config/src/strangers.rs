//! Recognizes configuration files of other programs where one of Magpie's is expected.

use crate::{Diagnostic, Source};

/// What is to be said if it is such a file. Only files that are no TOML come into question.
pub(crate) fn remark(index: usize, source: &Source) -> Option<Diagnostic> {
    let mut start = 0;
    let mut npd6 = None;
    for line in source.text.split_inclusive('\n') {
        let place = start..start + line.trim_end().len();
        start += line.len();
        let line = line.trim();
        if line.starts_with('[') {
            return None;
        }
        if is_ndppd(line) {
            return Some(error(index, place, "ndppd", &source.name));
        }
        if npd6.is_none() && is_npd6(line) {
            npd6 = Some(place);
        }
    }
    npd6.map(|place| error(index, place, "npd6", &source.name))
}

fn error(index: usize, place: std::ops::Range<usize>, program: &str, path: &str) -> Diagnostic {
    Diagnostic::error(index, place, format!("this looks like a file of {program}"))
        .label("no TOML")
        .help(format!(
            "`--compat {program}` uses it as it is, `magpie import {program} {path}` prints it as a \
             file of Magpie's"
        ))
}

/// Whether a block begins, as in `proxy eth0 {`.
fn is_ndppd(line: &str) -> bool {
    let mut words = line.trim_end_matches('{').split_whitespace();
    line.ends_with('{')
        && matches!(words.next(), Some("proxy" | "rule"))
        && words.next().is_some_and(|name| name != "=")
}

/// Whether a setting that every file of npd6's has is made without quotes.
fn is_npd6(line: &str) -> bool {
    let Some((key, value)) = line.split_once('=') else { return false };
    matches!(key.trim(), "prefix" | "interface")
        && value.trim_start().starts_with(|c: char| c.is_ascii_alphanumeric() || c == ':')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_other_programs_are_recognized() {
        for (text, program) in [
            (
                "# ours\nroute-ttl 30000\nproxy eth0 {\n  rule 2001:db8::/64 {\n  }\n}\n",
                Some("ndppd"),
            ),
            ("proxy wan {", Some("ndppd")),
            ("# ours\nprefix=2001:db8:1:0:\ninterface = eth0\n", Some("npd6")),
            ("interface=eth0", Some("npd6")),
            ("[[relay]]\nprefix = 2001:db8::/64\n", None),
            ("links = [\"wan\"\n", None),
            ("prefix = \"auto\"\ninterface = [\n", None),
            ("proxy = {\n", None),
            ("", None),
        ] {
            let found = remark(0, &Source::new("x.conf", text));
            let expected = program.map(|program| format!("this looks like a file of {program}"));
            assert_eq!(found.map(|remark| remark.message), expected, "{text}");
        }
    }
}
