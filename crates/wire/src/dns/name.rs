//! Domain names (RFC 1035 section 3.1), compared without regard to ASCII case (RFC 4343).

use std::cmp::Ordering;
use std::fmt::{self, Write};
use std::hash::{Hash, Hasher};
use std::str::FromStr;

/// Octets of the longest label.
pub(super) const MAX_LABEL: usize = 63;
/// Octets of the longest name, the final empty label included.
pub(super) const MAX_NAME: usize = 255;

/// A domain name. Names are equal that differ in the case of ASCII letters only, and ordered by
/// their labels from the last one on, so that those of one domain stand together.
#[derive(Clone)]
pub struct Name<'a>(pub(super) simple_dns::Name<'a>);

impl Name<'_> {
    /// Makes a name of labels that hold any octets.
    ///
    /// # Errors
    ///
    /// If a label is empty or longer than 63 octets, or all together are longer than 255.
    pub fn from_labels<L: AsRef<[u8]>>(
        labels: impl IntoIterator<Item = L>,
    ) -> Result<Name<'static>, ParseNameError> {
        let mut parts = Vec::new();
        let mut length = 1;
        for label in labels {
            let label = label.as_ref();
            if label.is_empty() || label.len() > MAX_LABEL {
                return Err(ParseNameError::Label);
            }
            length += 1 + label.len();
            if length > MAX_NAME {
                return Err(ParseNameError::Length);
            }
            parts.push(simple_dns::Label::new_unchecked(label.to_vec()));
        }
        Ok(Name(simple_dns::Name::new_with_labels(&parts)))
    }

    /// Returns the labels, from the first one on, without the empty one at the end.
    pub fn labels(&self) -> impl DoubleEndedIterator<Item = &[u8]> + ExactSizeIterator {
        self.0.get_labels().iter().map(AsRef::as_ref)
    }

    /// Whether this name is `other` or a name below it.
    pub fn ends_with(&self, other: &Name<'_>) -> bool {
        self.labels().len() >= other.labels().len()
            && self.labels().rev().zip(other.labels().rev()).all(|(a, b)| a.eq_ignore_ascii_case(b))
    }

    /// Returns how many octets it takes without compression.
    pub fn wire_len(&self) -> usize {
        1 + self.labels().map(|label| 1 + label.len()).sum::<usize>()
    }

    /// Copies what it borrows.
    pub fn into_owned(self) -> Name<'static> {
        Name(self.0.into_owned())
    }
}

impl PartialEq for Name<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.labels().len() == other.labels().len() && self.ends_with(other)
    }
}

impl Eq for Name<'_> {}

impl PartialOrd for Name<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Name<'_> {
    /// The canonical order of RFC 4034 section 6.1.
    fn cmp(&self, other: &Self) -> Ordering {
        let mut ours = self.labels().rev();
        let mut theirs = other.labels().rev();
        loop {
            match (ours.next(), theirs.next()) {
                (Some(a), Some(b)) => {
                    let lower = |label: &[u8]| label.to_ascii_lowercase();
                    match lower(a).cmp(&lower(b)) {
                        Ordering::Equal => {}
                        unequal => return unequal,
                    }
                }
                (a, b) => return a.is_some().cmp(&b.is_some()),
            }
        }
    }
}

impl Hash for Name<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        // As on the wire, in lower case, and in one piece for each label.
        let mut octets = [0; 1 + MAX_LABEL];
        for label in self.labels() {
            for (place, octet) in octets.iter_mut().skip(1).zip(label) {
                *place = octet.to_ascii_lowercase();
            }
            octets[0] = u8::try_from(label.len()).unwrap_or(u8::MAX);
            state.write(octets.get(..=label.len()).unwrap_or(&octets));
        }
        state.write_u8(0);
    }
}

impl fmt::Display for Name<'_> {
    /// As RFC 1035 section 5.1 writes it, without the final dot: dots and backslashes inside of
    /// labels behind a backslash, and octets that are no printable text as `\DDD`. UTF-8 is text
    /// (RFC 6762 section 16).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, label) in self.labels().enumerate() {
            if index > 0 {
                f.write_char('.')?;
            }
            write_text(f, label, &['.', '\\'])?;
        }
        if self.labels().len() == 0 { f.write_char('.') } else { Ok(()) }
    }
}

impl fmt::Debug for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// Why text is not a name.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum ParseNameError {
    /// Nothing between two dots, or too much.
    #[error("a label of the name is empty, or longer than 63 octets")]
    Label,
    /// Too much altogether.
    #[error("the name is longer than 255 octets")]
    Length,
    /// A backslash that nothing follows, or digits that are not three or beyond 255.
    #[error("a backslash in the name is followed neither by a character nor by three digits")]
    Escape,
}

impl FromStr for Name<'static> {
    type Err = ParseNameError;

    /// Reads what [`Display`](fmt::Display) writes; a final dot is allowed.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut labels = vec![Vec::new()];
        let mut octets =
            text.strip_prefix('.').filter(|rest| rest.is_empty()).unwrap_or(text).bytes();
        while let Some(octet) = octets.next() {
            let octet = match octet {
                b'.' => {
                    labels.push(Vec::new());
                    continue;
                }
                b'\\' => unescape(&mut octets)?,
                other => other,
            };
            if let Some(label) = labels.last_mut() {
                label.push(octet);
            }
        }
        // Behind a final dot, or in no text at all, stands the label of the root.
        labels.pop_if(|label| label.is_empty());
        Name::from_labels(labels)
    }
}

/// Reads what follows a backslash.
fn unescape(octets: &mut impl Iterator<Item = u8>) -> Result<u8, ParseNameError> {
    let first = octets.next().ok_or(ParseNameError::Escape)?;
    if !first.is_ascii_digit() {
        return Ok(first);
    }
    let mut value = u32::from(first - b'0');
    for _ in 0..2 {
        let digit = octets.next().filter(u8::is_ascii_digit).ok_or(ParseNameError::Escape)?;
        value = value * 10 + u32::from(digit - b'0');
    }
    u8::try_from(value).map_err(|_| ParseNameError::Escape)
}

/// Writes octets so that they can be shown: printable text as it is, but a backslash before what
/// `escaped` names, and everything else as `\DDD`.
pub(super) fn write_text(out: &mut impl Write, octets: &[u8], escaped: &[char]) -> fmt::Result {
    for chunk in octets.utf8_chunks() {
        for character in chunk.valid().chars() {
            if escaped.contains(&character) {
                out.write_char('\\')?;
                out.write_char(character)?;
            } else if is_printable(character) {
                out.write_char(character)?;
            } else {
                let mut buffer = [0; 4];
                for octet in character.encode_utf8(&mut buffer).bytes() {
                    write!(out, "\\{octet:03}")?;
                }
            }
        }
        for octet in chunk.invalid() {
            write!(out, "\\{octet:03}")?;
        }
    }
    Ok(())
}

/// Whether a character from the network may be shown as it is: neither a control character nor one
/// that turns the direction of the text around it or cannot be seen (Unicode Standard Annex 9).
fn is_printable(character: char) -> bool {
    !character.is_control()
        && !matches!(character,
            '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Name<'static> {
        text.parse().unwrap()
    }

    #[test]
    fn text_survives_a_round_trip() {
        for text in [
            "pi-41.local",
            r"Kitchen Printer\. Floor 2._ipp._tcp.local",
            r"a\\b.local",
            r"a\000\255\127.local",
            "Küche._ipp._tcp.local",
            r"\226\128\174evil.local",
            ".",
        ] {
            assert_eq!(name(text).to_string(), text);
        }
        assert_eq!(name("pi.local."), name("pi.local"));
        assert_eq!(name(""), name("."));
        assert_eq!(name(r"\112\105.local"), name("pi.local"));
    }

    #[test]
    fn text_that_is_no_name_is_refused() {
        let long = "a".repeat(64);
        let longest = ["a".repeat(63), "b".repeat(63), "c".repeat(63)].join(".");
        for (text, error) in [
            ("a..b", ParseNameError::Label),
            (".local", ParseNameError::Label),
            ("..", ParseNameError::Label),
            (&long, ParseNameError::Label),
            (&format!("{longest}.{}", "d".repeat(62)), ParseNameError::Length),
            (r"a\", ParseNameError::Escape),
            (r"a\12", ParseNameError::Escape),
            (r"a\256", ParseNameError::Escape),
        ] {
            assert_eq!(text.parse::<Name<'static>>(), Err(error), "{text}");
        }
        let longest = name(&format!("{longest}.{}", "d".repeat(61)));
        assert_eq!(longest.wire_len(), 255);
    }

    #[test]
    fn case_does_not_matter_but_boundaries_do() {
        assert_eq!(name("PI-41.Local"), name("pi-41.local"));
        assert_eq!(name("PI.local").cmp(&name("pi.LOCAL")), Ordering::Equal);
        assert_ne!(name("KÜCHE.local"), name("küche.local"));
        assert_ne!(name(r"a\.b.local"), name("a.b.local"));
        assert!(name("x._IPP._tcp.local").ends_with(&name("_ipp._tcp.local")));
        assert!(name("_ipp._tcp.local").ends_with(&name("_ipp._tcp.local")));
        assert!(!name("my_ipp._tcp.local").ends_with(&name("_ipp._tcp.local")));
        assert!(!name("_tcp.local").ends_with(&name("_ipp._tcp.local")));
        assert!(name("a.local") < name("b.local"));
        assert!(name("z.a.local") < name("b.local"), "those of one domain stand together");
        assert!(name("local") < name("a.local"));
    }
}
