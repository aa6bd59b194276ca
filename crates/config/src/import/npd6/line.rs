//! Takes the lines of npd6's file apart, as npd6 does and as they are meant.

use std::ops::Range;

/// A line `key=value`, without the blanks that npd6 removes everywhere.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Entry {
    /// What stands before the `=`.
    pub(super) key: String,
    /// What stands after it, up to the next one.
    pub(super) value: String,
    /// All that stands after it.
    pub(super) rest: String,
    /// Where each character of that is.
    pub(super) rest_places: Vec<usize>,
    /// Where the key is.
    pub(super) key_span: Range<usize>,
    /// Where the value is.
    pub(super) value_span: Range<usize>,
    /// Where all of it is.
    pub(super) span: Range<usize>,
}

/// What a line is.
#[derive(Debug)]
pub(super) enum Line {
    /// Nothing but blanks.
    Blank,
    /// Begins as a comment does elsewhere; npd6 has none, but knows no such key.
    Comment,
    /// Has no key, or no value.
    Incomplete {
        /// What stands for the key.
        key: String,
        /// Where the line is.
        span: Range<usize>,
    },
    /// Has a key and a value.
    Entry(Entry),
}

/// The lines of a text, with where they are; each ends with its line end.
pub(super) fn lines(text: &str) -> impl Iterator<Item = Range<usize>> {
    text.split_inclusive('\n').scan(0, |start, line| {
        let range = *start..*start + line.len();
        *start = range.end;
        Some(range)
    })
}

/// The pieces in which npd6 reads a line: its buffer holds 127 octets.
pub(super) fn pieces(text: &str, line: Range<usize>) -> Vec<Range<usize>> {
    let mut pieces = Vec::new();
    let mut start = line.start;
    while start < line.end {
        let mut end = line.end.min(start + BUFFER);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        pieces.push(start..end);
        start = end;
    }
    pieces
}

/// Takes a line, or a piece of one, apart.
pub(super) fn parse(text: &str, range: Range<usize>) -> Line {
    let characters: Vec<(usize, char)> = text
        .get(range.clone())
        .unwrap_or_default()
        .char_indices()
        .map(|(at, c)| (range.start + at, c))
        // It is a string of C's: it ends at the first NUL.
        .take_while(|(_, c)| *c != '\0')
        .filter(|(_, c)| !matches!(c, ' ' | '\t'..='\r'))
        .collect();
    let Some((first, c)) = characters.first() else { return Line::Blank };
    let begin: String = characters.iter().take(2).map(|(_, c)| *c).collect();
    if matches!(c, '#' | ';') || begin == "//" {
        return Line::Comment;
    }
    let span = *first..end(&characters).unwrap_or(*first);
    let (_, from_key) = split(&characters, |c| c != '=');
    let (key, from_sign) = split(from_key, |c| c == '=');
    let (_, from_value) = split(from_sign, |c| c != '=');
    let (value, _) = split(from_value, |c| c == '=');
    if key.is_empty() || value.is_empty() {
        return Line::Incomplete { key: string(key), span };
    }
    let rest = from_sign.get(1..).unwrap_or_default();
    Line::Entry(Entry {
        key: string(key),
        value: string(value),
        rest: string(rest),
        rest_places: rest.iter().map(|(at, _)| *at).collect(),
        key_span: place(key, &span),
        value_span: place(value, &span),
        span,
    })
}

type Characters<'a> = &'a [(usize, char)];

/// Splits before the first character that is so.
fn split(
    characters: Characters<'_>,
    is: impl Fn(char) -> bool,
) -> (Characters<'_>, Characters<'_>) {
    let at = characters.iter().position(|(_, c)| is(*c)).unwrap_or(characters.len());
    characters.split_at(at)
}

fn string(characters: Characters<'_>) -> String {
    characters.iter().map(|(_, c)| *c).collect()
}

fn place(characters: Characters<'_>, otherwise: &Range<usize>) -> Range<usize> {
    match (characters.first(), end(characters)) {
        (Some((first, _)), Some(end)) => *first..end,
        _ => otherwise.clone(),
    }
}

fn end(characters: Characters<'_>) -> Option<usize> {
    characters.last().map(|(last, c)| last + c.len_utf8())
}

/// Octets of a line that npd6 reads at once.
const BUFFER: usize = 127;

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(text: &str) -> Option<(String, String, String)> {
        match parse(text, 0..text.len()) {
            Line::Entry(entry) => Some((entry.key, entry.value, entry.rest)),
            _ => None,
        }
    }

    #[test]
    fn lines_are_taken_apart_as_npd6_does() {
        for (text, expected) in [
            ("prefix=1:2:\n", Some(("prefix", "1:2:", "1:2:"))),
            ("  pre fix \t=\x0b1:\x0c2: \r\n", Some(("prefix", "1:2:", "1:2:"))),
            ("=prefix==1:2:=x", Some(("prefix", "1:2:", "=1:2:=x"))),
            ("exprlist=A=5;A==5", Some(("exprlist", "A", "A=5;A==5"))),
            ("prefix=1:2:\0junk", Some(("prefix", "1:2:", "1:2:"))),
            ("prefix=", None),
            ("prefix", None),
            ("===", None),
            ("//prefix=1:2:", None),
            ("# prefix=1:2:", None),
            (" \t\n", None),
        ] {
            let expected = expected.map(|(k, v, r)| (k.to_owned(), v.to_owned(), r.to_owned()));
            assert_eq!(entry(text), expected, "{text:?}");
        }
    }

    #[test]
    fn places_are_those_of_the_text() {
        let text = "x\n  pre fix = 1 : 2 : \n";
        let Line::Entry(entry) = parse(text, 2..text.len()) else { panic!("no entry") };
        assert_eq!(text.get(entry.key_span), Some("pre fix"));
        assert_eq!(text.get(entry.value_span), Some("1 : 2 :"));
        assert_eq!(text.get(entry.span), Some("pre fix = 1 : 2 :"));
    }

    #[test]
    fn long_lines_fall_into_pieces() {
        let text = "x".repeat(300);
        assert_eq!(pieces(&text, 0..300), [0..127, 127..254, 254..300]);
        assert_eq!(pieces(&text, 0..127).len(), 1);
        let umlauts = "ü".repeat(100);
        assert_eq!(pieces(&umlauts, 0..200), [0..126, 126..200]);
    }
}
