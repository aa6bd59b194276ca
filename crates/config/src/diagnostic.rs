//! Says what is wrong in a text, and shows where: the file, the line, the underlined words.

use std::fmt;
use std::ops::Range;

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};

/// A text and what it is called, usually the path of its file.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Source {
    /// What it is called.
    pub name: String,
    /// All of it.
    pub text: String,
}

impl Source {
    /// Gives a text its name.
    pub fn new(name: impl Into<String>, text: impl Into<String>) -> Self {
        Self { name: name.into(), text: text.into() }
    }
}

/// How bad it is.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Severity {
    /// It cannot be used.
    Error,
    /// It can be used, but is perhaps not what was meant.
    Warning,
}

/// One remark on a text.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// What is the matter: a sentence without a full stop.
    pub message: String,
    /// Which of the sources it is about, by position.
    pub source: usize,
    /// The octets that are underlined.
    pub span: Range<usize>,
    /// What stands beside the underlining; may be empty.
    pub label: String,
    /// What to do about it.
    pub help: Option<String>,
    /// Further places that belong to it.
    pub secondary: Vec<Secondary>,
}

/// A further place that belongs to a remark.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Secondary {
    /// Which of the sources it is in, by position.
    pub source: usize,
    /// The octets that are underlined.
    pub span: Range<usize>,
    /// What stands beside the underlining.
    pub label: String,
}

impl Diagnostic {
    /// Makes an error at a place in a source.
    pub fn error(source: usize, span: Range<usize>, message: impl Into<String>) -> Self {
        Self::new(Severity::Error, source, span, message.into())
    }

    /// Makes a warning at a place in a source.
    pub fn warning(source: usize, span: Range<usize>, message: impl Into<String>) -> Self {
        Self::new(Severity::Warning, source, span, message.into())
    }

    /// Adds what stands beside the underlining.
    #[must_use]
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = label.into();
        self
    }

    /// Adds what to do about it.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Shows a further place in the same source.
    #[must_use]
    pub fn also(self, span: Range<usize>, label: impl Into<String>) -> Self {
        let source = self.source;
        self.also_in(source, span, label)
    }

    /// Shows a further place, which may be in another source.
    #[must_use]
    pub fn also_in(mut self, source: usize, span: Range<usize>, label: impl Into<String>) -> Self {
        self.secondary.push(Secondary { source, span, label: label.into() });
        self
    }

    fn new(severity: Severity, source: usize, span: Range<usize>, message: String) -> Self {
        let (label, help, secondary) = (String::new(), None, Vec::new());
        Self { severity, message, source, span, label, help, secondary }
    }
}

/// All remarks on some texts, which it owns.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Diagnostics {
    sources: Vec<Source>,
    remarks: Vec<Diagnostic>,
}

impl std::error::Error for Diagnostics {}

impl Diagnostics {
    /// Has no remarks yet on these texts.
    pub fn new(sources: Vec<Source>) -> Self {
        Self { sources, remarks: Vec::new() }
    }

    /// Adds a remark.
    pub fn push(&mut self, remark: Diagnostic) {
        self.remarks.push(remark);
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.remarks.is_empty()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.remarks.len()
    }

    /// Whether any of them is an error.
    pub fn has_errors(&self) -> bool {
        self.remarks.iter().any(|remark| remark.severity == Severity::Error)
    }

    /// The remarks, as they were added.
    pub fn iter(&self) -> impl Iterator<Item = &Diagnostic> {
        self.remarks.iter()
    }

    /// The texts that they are about.
    pub fn sources(&self) -> &[Source] {
        &self.sources
    }

    /// Renders all of them in the order of their places, with an empty line between two and a
    /// line end after the last; `color` is for terminals.
    pub fn render(&self, color: bool) -> String {
        let renderer = if color { Renderer::styled() } else { Renderer::plain() };
        let mut ordered: Vec<&Diagnostic> = self.remarks.iter().collect();
        ordered.sort_by_key(|remark| (remark.source, remark.span.start));
        let mut text = String::new();
        for remark in ordered {
            if !text.is_empty() {
                text.push('\n');
            }
            text.push_str(&renderer.render(&[self.report(remark)]));
            text.push('\n');
        }
        text
    }

    /// Lays one remark out.
    fn report<'a>(&'a self, remark: &'a Diagnostic) -> Group<'a> {
        let level = match remark.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let mut group = Group::with_title(level.primary_title(&remark.message));
        let mut places =
            vec![(remark.source, AnnotationKind::Primary, &remark.span, remark.label.as_str())];
        places.extend(
            remark.secondary.iter().map(|also| {
                (also.source, AnnotationKind::Context, &also.span, also.label.as_str())
            }),
        );
        let mut shown = Vec::new();
        for (source, ..) in &places {
            if shown.contains(source) {
                continue;
            }
            shown.push(*source);
            let Some(Source { name, text }) = self.sources.get(*source) else { continue };
            let annotations = places.iter().filter(|(other, ..)| other == source).map(
                |(_, kind, span, label)| {
                    let label = (!label.is_empty()).then_some(*label);
                    kind.span(within_line(text, span)).label(label)
                },
            );
            group = group.element(
                Snippet::source(text.as_str()).path(name.as_str()).annotations(annotations),
            );
        }
        if let Some(help) = &remark.help {
            group = group.element(Level::HELP.message(help));
        }
        group
    }
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.render(false).trim_end_matches('\n'))
    }
}

/// The part of a span that lies in the text and in the line where it begins.
fn within_line(text: &str, span: &Range<usize>) -> Range<usize> {
    let mut start = span.start.min(text.len());
    while !text.is_char_boundary(start) {
        start -= 1;
    }
    let rest = text.get(start..).unwrap_or_default();
    let line = rest.find(['\n', '\r']).unwrap_or(rest.len());
    let mut end = span.end.clamp(start, start + line);
    while !text.is_char_boundary(end) {
        end += 1;
    }
    start..end
}
