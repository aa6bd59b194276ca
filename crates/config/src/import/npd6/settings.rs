//! Imports npd6's settings of one value.

use magpie_engine::RouterFlag;

use super::super::remarks::{error, warning};
use super::{Entry, Importer};

impl Importer {
    /// One of the keys that have a value of their own kind.
    pub(super) fn setting(&mut self, key: &'static str, entry: &Entry) {
        match key {
            "linkOption" => {
                if self.word(entry, ["true", "false"]).is_some() {
                    self.note(
                        entry,
                        "no counterpart: answers always tell the link-layer address, those to \
                         unicast solicitations too",
                    );
                }
            }
            "ignoreLocal" => self.ignore_local(entry),
            "routerNA" => self.router_flag(entry),
            "maxHops" => self.max_hops(entry),
            "collectTargets" => self.collect_targets(entry),
            "pollErrorLimit" => {
                if self.number(entry, i32::MAX).is_some() {
                    self.note(
                        entry,
                        "no counterpart: an interface that goes down or away is waited for",
                    );
                }
            }
            "listlogging" => {
                if self.word(entry, ["on", "off"]).is_some() {
                    self.note(
                        entry,
                        "no counterpart: log-level = \"verbose\" tells why a target was denied",
                    );
                }
            }
            _ => {
                if self.word(entry, ["on", "off"]).is_some() {
                    self.note(
                        entry,
                        "no counterpart: log-level = \"verbose\" tells what Router Advertisements \
                         change",
                    );
                }
            }
        }
    }

    fn ignore_local(&mut self, entry: &Entry) {
        match self.word(entry, ["true", "false"]) {
            Some("true") => self.note(
                entry,
                "unicast solicitations, by which neighbors check that a host is still there, are \
                 answered (npd6 ignores them); this host's own addresses are left to the kernel",
            ),
            Some(_) => self.note(
                entry,
                "unicast solicitations are answered; this host's own addresses are left to the \
                 kernel",
            ),
            None => {}
        }
    }

    fn router_flag(&mut self, entry: &Entry) {
        self.router = match self.word(entry, ["true", "false"]) {
            Some("true") => RouterFlag::On,
            Some(_) => RouterFlag::Off,
            None => return,
        };
        self.note(
            entry,
            "'router-flag'; \"auto\" is better with method = \"probe\": it tells what the host says \
             of itself",
        );
    }

    fn max_hops(&mut self, entry: &Entry) {
        match self.number(entry, 255) {
            Some(255) => self.note(entry, "no counterpart: the hop limit is always 255"),
            Some(hops) => self.warn(
                warning(
                    &entry.value_span,
                    format!("with maxHops = {hops} every receiver drops npd6's answers"),
                )
                .label("ignored: the hop limit is always 255 (RFC 4861 section 7.1.2)"),
            ),
            None => {}
        }
    }

    fn collect_targets(&mut self, entry: &Entry) {
        let Some(most) = self.number(entry, MOST_TARGETS) else { return };
        self.seen = usize::try_from(most).ok();
        self.note(entry, "'seen' in the limits; 'magpie targets' shows them");
    }

    /// Reads one of two words; npd6 does not start with another.
    fn word(&mut self, entry: &Entry, words: [&'static str; 2]) -> Option<&'static str> {
        if let Some(word) = words.into_iter().find(|word| *word == entry.value) {
            return Some(word);
        }
        let [yes, no] = words;
        let meant = match entry.value.to_ascii_lowercase().as_str() {
            "yes" | "true" | "on" | "1" => Some(yes),
            "no" | "false" | "off" | "0" => Some(no),
            value if value.starts_with(yes) => Some(yes),
            value if value.starts_with(no) => Some(no),
            _ => None,
        };
        let mut remark = error(
            &entry.value_span,
            format!("npd6 does not start with '{}' for {}", entry.value, entry.key),
        )
        .label(format!("expected {yes} or {no}"));
        if let Some(meant) = meant {
            remark = remark.help(format!("did you mean '{meant}'?"));
        }
        self.remarks.error(remark);
        None
    }

    /// Reads a number as C's `atoi` does; npd6 does not start with one that is out of range.
    fn number(&mut self, entry: &Entry, most: i32) -> Option<i32> {
        let (number, exact) = atoi(&entry.value);
        if !(0..=most).contains(&number) {
            self.remarks.error(
                error(
                    &entry.value_span,
                    format!("npd6 does not start with '{}' for {}", entry.value, entry.key),
                )
                .label(match most {
                    i32::MAX => "expected a number, 0 or more".to_owned(),
                    most => format!("expected a number from 0 to {most}"),
                }),
            );
            return None;
        }
        if !exact {
            self.warn(
                warning(&entry.value_span, format!("'{}' is no number", entry.value))
                    .label(format!("npd6 reads it as {number}, and so it is imported")),
            );
        }
        Some(number)
    }
}

/// What C's `atoi` makes of a text without blanks, and whether it is nothing but that number.
fn atoi(text: &str) -> (i32, bool) {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let digits: String = unsigned.chars().take_while(char::is_ascii_digit).collect();
    let exact = !digits.is_empty() && digits.len() == unsigned.len();
    let value = match digits.parse::<i32>() {
        Ok(value) => value,
        Err(_) if digits.is_empty() => 0,
        Err(_) => i32::MAX,
    };
    (if text.starts_with('-') { -value } else { value }, exact)
}

/// Targets that npd6 can remember.
const MOST_TARGETS: i32 = 1_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_as_atoi_does() {
        for (text, expected) in [
            ("20", (20, true)),
            ("-1", (-1, true)),
            ("+7", (7, true)),
            ("abc", (0, false)),
            ("9x", (9, false)),
            ("", (0, false)),
            ("99999999999", (i32::MAX, true)),
        ] {
            assert_eq!(atoi(text), expected, "{text}");
        }
    }
}
