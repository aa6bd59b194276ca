//! Collects what there is to say about a foreign text, for its reader and for the comments.

use std::ops::Range;

use super::Imported;
use crate::model::Config;
use crate::{Diagnostic, Diagnostics, Source};

/// What there is to say so far.
pub(super) struct Remarks {
    diagnostics: Diagnostics,
    /// Where each line begins.
    lines: Vec<usize>,
    /// How lines are called in comments, unless there is only one.
    name: String,
}

impl Remarks {
    pub(super) fn new(source: Source) -> Self {
        let mut lines = vec![0];
        lines.extend(source.text.match_indices('\n').map(|(at, _)| at + 1));
        let name = source.name.clone();
        Self { diagnostics: Diagnostics::new(vec![source]), lines, name }
    }

    /// How the text is called.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// The number of the line that an octet is in, from 1.
    pub(super) fn line(&self, offset: usize) -> usize {
        self.lines.partition_point(|start| *start <= offset)
    }

    pub(super) fn error(&mut self, remark: Diagnostic) {
        self.diagnostics.push(remark);
    }

    /// Adds a warning, and returns the comment that says the same.
    pub(super) fn warn(&mut self, remark: Diagnostic) -> String {
        let mut said = remark.message.clone();
        if !remark.label.is_empty() {
            said.push_str("; ");
            said.push_str(&remark.label);
        }
        if let Some(help) = &remark.help {
            said.push_str("; ");
            said.push_str(help);
        }
        let comment = self.note(&remark.span, &said);
        self.diagnostics.push(remark);
        comment
    }

    /// Returns a comment about a place.
    pub(super) fn note(&self, span: &Range<usize>, said: &str) -> String {
        let stop = if said.ends_with(['.', '?']) { "" } else { "." };
        format!("Line {}: {said}{stop}", self.line(span.start))
    }

    pub(super) fn has_errors(&self) -> bool {
        self.diagnostics.has_errors()
    }

    /// The messages so far.
    #[cfg(test)]
    pub(super) fn messages(&self) -> Vec<String> {
        self.diagnostics.iter().map(|remark| remark.message.clone()).collect()
    }

    /// Hands over what was made of the text, unless there were errors.
    pub(super) fn finish(self, config: Config) -> Result<Imported, Diagnostics> {
        if self.diagnostics.has_errors() {
            return Err(self.diagnostics);
        }
        Ok(Imported { config, warnings: self.diagnostics })
    }
}

/// Starts an error in the one text there is.
pub(super) fn error(span: &Range<usize>, message: impl Into<String>) -> Diagnostic {
    Diagnostic::error(0, span.clone(), message)
}

/// Starts a warning in the one text there is.
pub(super) fn warning(span: &Range<usize>, message: impl Into<String>) -> Diagnostic {
    Diagnostic::warning(0, span.clone(), message)
}

/// Adds a sentence to the comments of something, in lines of a convenient length.
pub(super) fn comment(comments: &mut Vec<String>, sentence: &str) {
    let mut line = String::new();
    // Control characters would end the comment, or its line.
    let sentence: String =
        sentence.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
    for word in sentence.split(' ') {
        if !line.is_empty() && line.chars().count() + 1 + word.chars().count() > WIDTH {
            comments.push(std::mem::replace(&mut line, "  ".to_owned()));
            line.push_str(word);
            continue;
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    comments.push(line);
}

/// Lists line numbers: `line 7`, `lines 3, 5 and 7 to 9`.
pub(super) fn lines(numbers: &[usize]) -> String {
    let mut runs: Vec<(usize, usize)> = Vec::new();
    for number in numbers {
        match runs.last_mut() {
            Some((_, last)) if *last == *number || *last + 1 == *number => *last = *number,
            _ => runs.push((*number, *number)),
        }
    }
    let runs: Vec<String> = runs
        .into_iter()
        .map(
            |(first, last)| {
                if first == last { first.to_string() } else { format!("{first} to {last}") }
            },
        )
        .collect();
    let word =
        if runs.len() == 1 && !runs.iter().any(|run| run.contains(' ')) { "line" } else { "lines" };
    format!("{word} {}", listed(&runs))
}

/// Joins words: `a`, `a and b`, `a, b and c`.
pub(super) fn listed<T: AsRef<str>>(words: &[T]) -> String {
    match words {
        [] => String::new(),
        [one] => one.as_ref().to_owned(),
        [first @ .., last] => {
            let first: Vec<&str> = first.iter().map(AsRef::as_ref).collect();
            format!("{} and {}", first.join(", "), last.as_ref())
        }
    }
}

/// Columns of a comment.
const WIDTH: usize = 96;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_listed_in_runs() {
        for (numbers, expected) in [
            (&[7][..], "line 7"),
            (&[3, 5], "lines 3 and 5"),
            (&[3, 4], "lines 3 to 4"),
            (&[3, 5, 7, 8, 9], "lines 3, 5 and 7 to 9"),
        ] {
            assert_eq!(lines(numbers), expected);
        }
    }

    #[test]
    fn comments_are_broken_into_lines_without_control_characters() {
        let mut comments = Vec::new();
        comment(&mut comments, &format!("one\ntwo {}", "word ".repeat(30).trim_end()));
        assert!(comments.len() > 1, "{comments:?}");
        for line in comments {
            assert!(line.chars().count() <= WIDTH, "{line}");
            assert!(!line.contains('\n'), "{line}");
        }
    }

    #[test]
    fn lines_are_counted_from_one() {
        let remarks = Remarks::new(Source::new("x", "a\nb\n\nc"));
        for (offset, expected) in [(0, 1), (1, 1), (2, 2), (4, 3), (5, 4), (6, 4)] {
            assert_eq!(remarks.line(offset), expected, "{offset}");
        }
    }
}
