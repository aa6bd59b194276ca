//! Walks through a parsed file, and remarks on every key and value that is not what it should be.

use std::fmt;
use std::ops::{Range, RangeInclusive};
use std::str::FromStr;
use std::time::Duration;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::suggest::closest;
use crate::value::{self, ValueError};
use crate::{Diagnostic, Severity};

/// A value and its place.
pub(crate) type Value<'i> = Spanned<DeValue<'i>>;

/// A place in one of the sources.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Place {
    pub(crate) source: usize,
    pub(crate) span: Range<usize>,
}

impl Place {
    pub(crate) fn error(&self, message: impl Into<String>) -> Diagnostic {
        Diagnostic::error(self.source, self.span.clone(), message)
    }

    pub(crate) fn warning(&self, message: impl Into<String>) -> Diagnostic {
        Diagnostic::warning(self.source, self.span.clone(), message)
    }
}

/// Something and where it stands.
#[derive(Clone, Debug)]
pub(crate) struct Placed<T> {
    pub(crate) value: T,
    pub(crate) place: Place,
}

/// Reads one source.
pub(crate) struct Reader<'a> {
    source: usize,
    text: &'a str,
    remarks: Vec<Diagnostic>,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(source: usize, text: &'a str) -> Self {
        Self { source, text, remarks: Vec::new() }
    }

    /// Which source it is.
    pub(crate) fn source(&self) -> usize {
        self.source
    }

    /// Adds a remark.
    pub(crate) fn remark(&mut self, remark: Diagnostic) {
        self.remarks.push(remark);
    }

    /// How many errors there are so far.
    pub(crate) fn errors(&self) -> usize {
        self.remarks.iter().filter(|remark| remark.severity == Severity::Error).count()
    }

    /// Ends the reading.
    pub(crate) fn into_remarks(self) -> Vec<Diagnostic> {
        self.remarks
    }

    pub(crate) fn place(&self, span: Range<usize>) -> Place {
        Place { source: self.source, span }
    }

    /// Begins to read a table that stands at `span`; `what` it is, for people.
    pub(crate) fn fields<'t, 'i>(
        &self,
        table: &'t DeTable<'i>,
        span: Range<usize>,
        what: &'static str,
    ) -> Fields<'t, 'i> {
        Fields { table, place: self.place(span), what, known: Vec::new() }
    }

    pub(crate) fn string<'t>(&mut self, value: &'t Value<'_>, example: &str) -> Option<&'t str> {
        if let Some(text) = value.get_ref().as_str() {
            return Some(text);
        }
        let help = match value.get_ref() {
            DeValue::Integer(_) | DeValue::Float(_) | DeValue::Boolean(_) => {
                "texts stand in quotes"
            }
            _ => "",
        };
        self.mismatch(value, &format!("text such as {example}"), help);
        None
    }

    /// Reads text that stands for something else.
    pub(crate) fn text<T: FromStr<Err = ValueError>>(
        &mut self,
        value: &Value<'_>,
        example: &str,
    ) -> Option<T> {
        let text = self.string(value, example)?;
        self.understood(value, text, text.parse())
    }

    /// Passes what was understood of a text, or remarks on what was not.
    pub(crate) fn understood<T>(
        &mut self,
        value: &Value<'_>,
        text: &str,
        result: Result<T, ValueError>,
    ) -> Option<T> {
        match result {
            Ok(understood) => Some(understood),
            Err(error) => {
                self.remark_on(value, text, Severity::Error, error);
                None
            }
        }
    }

    /// Remarks on what may be understood otherwise than it is meant.
    pub(crate) fn doubt(&mut self, value: &Value<'_>, text: &str, doubt: ValueError) {
        self.remark_on(value, text, Severity::Warning, doubt);
    }

    fn remark_on(&mut self, value: &Value<'_>, text: &str, severity: Severity, error: ValueError) {
        let span = self.inside(&value.span(), text, &error.span);
        let remark = Diagnostic::error(self.source, span, error.message).label(error.label);
        self.remark(Diagnostic { severity, help: error.help, ..remark });
    }

    /// Reads one of several words.
    pub(crate) fn choice<T: Copy>(
        &mut self,
        value: &Value<'_>,
        words: &[(&'static str, T)],
    ) -> Option<T> {
        let all = words.iter().map(|(word, _)| *word);
        let Some(text) = value.get_ref().as_str() else {
            let help = format!("one of: {}", listed(all));
            self.mismatch(value, "a word in quotes", &help);
            return None;
        };
        if let Some((_, meaning)) = words.iter().find(|(word, _)| *word == text) {
            return Some(*meaning);
        }
        let remark = self
            .place(value.span())
            .error(format!("`{text}` is not known here"))
            .help(format!("expected one of: {}", listed(all.clone())));
        let begins = all.clone().find(|word| text.len() >= 3 && word.starts_with(text));
        self.remark(match begins.or_else(|| closest(text, all)) {
            Some(meant) => remark.label(format!("did you mean `{meant}`?")),
            None => remark,
        });
        None
    }

    pub(crate) fn boolean(&mut self, value: &Value<'_>) -> Option<bool> {
        let found = value.get_ref().as_bool();
        if found.is_none() {
            self.mismatch(value, "true or false", "without quotes");
        }
        found
    }

    /// Reads a whole number within limits.
    pub(crate) fn integer<T>(&mut self, value: &Value<'_>, range: RangeInclusive<T>) -> Option<T>
    where
        T: TryFrom<i128> + PartialOrd + fmt::Display,
    {
        let Some(integer) = value.get_ref().as_integer() else {
            let help = match value.get_ref() {
                DeValue::String(_) => "numbers stand without quotes",
                _ => "",
            };
            self.mismatch(value, "a whole number", help);
            return None;
        };
        let number = i128::from_str_radix(integer.as_str(), integer.radix())
            .ok()
            .and_then(|number| T::try_from(number).ok());
        match number {
            Some(number) if range.contains(&number) => Some(number),
            _ => {
                let label = format!("must be {} to {}", range.start(), range.end());
                let remark =
                    self.place(value.span()).error("the number is out of range").label(label);
                self.remark(remark);
                None
            }
        }
    }

    /// Reads a duration within limits.
    pub(crate) fn duration(
        &mut self,
        value: &Value<'_>,
        range: RangeInclusive<Duration>,
    ) -> Option<Duration> {
        if let Some(integer) = value.get_ref().as_integer() {
            let remark = self
                .place(value.span())
                .error("expected a duration, found a bare number")
                .label(format!("\"{}s\" if these are seconds", integer.as_str()))
                .help("durations are text with a unit: ms, s, m, h or d");
            self.remark(remark);
            return None;
        }
        let text = self.string(value, "\"10s\"")?;
        let duration = self.understood(value, text, value::duration(text))?;
        if range.contains(&duration) {
            return Some(duration);
        }
        let [shortest, longest] = [*range.start(), *range.end()].map(value::duration_text);
        let remark = self
            .place(value.span())
            .error("the duration is out of range")
            .label(format!("must be {shortest} to {longest}"));
        self.remark(remark);
        None
    }

    /// Reads the elements of an array; those that are wrong are remarked on and left out.
    pub(crate) fn array<T>(
        &mut self,
        value: &Value<'_>,
        mut element: impl FnMut(&mut Self, &Value<'_>) -> Option<T>,
    ) -> Option<Vec<Placed<T>>> {
        let Some(array) = value.get_ref().as_array() else {
            let help = match value.get_ref() {
                DeValue::String(text) => match several(text) {
                    Some(all) => format!("write `[{all}]`"),
                    None => format!("write `[\"{text}\"]`"),
                },
                _ => String::new(),
            };
            self.mismatch(value, "a list in brackets", &help);
            return None;
        };
        let mut elements = Vec::new();
        for value in array {
            if let Some(found) = element(self, value) {
                elements.push(Placed { value: found, place: self.place(value.span()) });
            }
        }
        Some(elements)
    }

    /// Reads tables that may be repeated; `header` is how they are written.
    pub(crate) fn tables<'t, 'i>(
        &mut self,
        value: &'t Value<'i>,
        header: &str,
    ) -> Vec<(&'t DeTable<'i>, Range<usize>)> {
        let mut tables = Vec::new();
        match value.get_ref() {
            DeValue::Array(array) => {
                for value in array {
                    match value.get_ref() {
                        DeValue::Table(table) => tables.push((table, value.span())),
                        _ => self.mismatch(value, &format!("a table `[[{header}]]`"), ""),
                    }
                }
            }
            DeValue::Table(_) if self.is_below(&value.span(), header) => {
                let remark = self
                    .place(value.span())
                    .error(format!("there is no `[[{header}]]` before this"))
                    .label(format!("which `[[{header}]]` does this belong to?"))
                    .help(format!(
                        "put `[[{header}]]` before it, with its `links`, or with the `name` of one \
                         in an earlier file"
                    ));
                self.remark(remark);
            }
            DeValue::Table(_) => {
                let remark = self
                    .place(value.span())
                    .error(format!("`{header}` is a table that may be repeated"))
                    .label(format!("write `[[{header}]]`, with two brackets"));
                self.remark(remark);
            }
            _ => self.mismatch(value, &format!("a table `[[{header}]]`"), ""),
        }
        tables
    }

    /// Reads a table that there is only one of.
    pub(crate) fn table<'t, 'i>(
        &mut self,
        value: &'t Value<'i>,
        header: &str,
    ) -> Option<&'t DeTable<'i>> {
        match value.get_ref() {
            DeValue::Table(table) => Some(table),
            DeValue::Array(array) if array.iter().any(|value| value.get_ref().is_table()) => {
                let remark = self
                    .place(value.span())
                    .error(format!("there is only one table `{header}`"))
                    .label(format!("write `[{header}]`, with one bracket"));
                self.remark(remark);
                None
            }
            _ => {
                self.mismatch(value, &format!("a table `[{header}]`"), "");
                None
            }
        }
    }

    /// Where a part of a text stands in the source; all of it if the source writes it otherwise.
    pub(crate) fn inside(
        &self,
        value: &Range<usize>,
        text: &str,
        part: &Range<usize>,
    ) -> Range<usize> {
        let raw = self.text.get(value.clone()).unwrap_or_default();
        let quotes = raw.len() - raw.trim_start_matches(['"', '\'']).len();
        let same = quotes > 0 && raw.get(quotes..).is_some_and(|raw| raw.starts_with(text));
        if !same {
            return value.clone();
        }
        let start = value.start + quotes;
        start + part.start..start + part.end
    }

    /// Whether what stands there is the header of a table within `header`.
    fn is_below(&self, span: &Range<usize>, header: &str) -> bool {
        let line = self.text.get(lines(self.text, span)).unwrap_or_default();
        let name = line.trim_start().trim_start_matches('[').trim_start();
        name.strip_prefix(header).is_some_and(|rest| rest.trim_start().starts_with('.'))
    }

    fn mismatch(&mut self, value: &Value<'_>, expected: &str, help: &str) {
        let found = match value.get_ref() {
            DeValue::String(_) => "text",
            DeValue::Integer(_) => "a whole number",
            DeValue::Float(_) => "a decimal number",
            DeValue::Boolean(true) => "`true`",
            DeValue::Boolean(false) => "`false`",
            DeValue::Datetime(_) => "a date",
            DeValue::Array(_) => "a list",
            DeValue::Table(_) => "a table",
        };
        let remark = self.place(value.span()).error(format!("expected {expected}, found {found}"));
        self.remark(if help.is_empty() { remark } else { remark.help(help) });
    }
}

/// The keys of a table. Whatever is not taken by the end is unknown.
pub(crate) struct Fields<'t, 'i> {
    table: &'t DeTable<'i>,
    place: Place,
    what: &'static str,
    known: Vec<&'static str>,
}

impl<'t, 'i> Fields<'t, 'i> {
    /// Where the table stands.
    pub(crate) fn place(&self) -> &Place {
        &self.place
    }

    /// Returns the value of a key.
    pub(crate) fn take(&mut self, key: &'static str) -> Option<&'t Value<'i>> {
        self.known.push(key);
        self.table.get(key)
    }

    /// Whether a key is there.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.table.contains_key(key)
    }

    /// Where a key stands that is there.
    pub(crate) fn key_place(&self, key: &str) -> Place {
        let span = self.table.get_key_value(key).map(|(key, _)| key.span());
        Place { source: self.place.source, span: span.unwrap_or_else(|| self.place.span.clone()) }
    }

    /// Remarks on keys that were not taken; `elsewhere` tells where well-known ones belong.
    pub(crate) fn finish(self, reader: &mut Reader<'_>, elsewhere: &[(&str, &str)]) {
        for (key, _) in self.table {
            let name = key.get_ref().as_ref();
            if self.known.contains(&name) {
                continue;
            }
            let remark = reader
                .place(key.span())
                .error(format!("unknown key `{name}` in {}", self.what))
                .help(format!("the keys are: {}", listed(self.known.iter().copied())));
            let found = elsewhere.iter().find(|(key, _)| *key == name);
            let known = || self.known.iter().copied();
            let begins = known().find(|key| name.len() >= 3 && key.starts_with(name));
            let meant = begins.or_else(|| closest(name, known()));
            reader.remark(match (found, meant) {
                (Some((_, hint)), _) => remark.label(*hint),
                (None, Some(meant)) => remark.label(format!("did you mean `{meant}`?")),
                (None, None) => remark.label("not known here"),
            });
        }
    }
}

/// Puts words in a row.
pub(crate) fn listed<'w>(words: impl IntoIterator<Item = &'w str>) -> String {
    words.into_iter().collect::<Vec<_>>().join(", ")
}

/// The elements of a list that was written as one text, each in quotes.
pub(crate) fn several(text: &str) -> Option<String> {
    if text.starts_with("expr:") {
        return None;
    }
    let between = |c: char| c == ',' || c == ';' || c.is_whitespace();
    let parts = text.split(between).filter(|part| !part.is_empty());
    let quoted: Vec<String> = parts.map(|part| format!("\"{part}\"")).collect();
    (quoted.len() > 1).then(|| quoted.join(", "))
}

/// Whether two ranges have octets in common, or touch.
pub(crate) fn touch(one: &Range<usize>, other: &Range<usize>) -> bool {
    (one.start..=one.end).contains(&other.start) || (other.start..=other.end).contains(&one.start)
}

/// The lines that a range lies in, without the last line end.
pub(crate) fn lines(text: &str, range: &Range<usize>) -> Range<usize> {
    let start = range.start.min(text.len());
    let end = range.end.clamp(start, text.len());
    let begin = text.as_bytes().iter().take(start).rposition(|byte| *byte == b'\n');
    let finish = text.as_bytes().iter().skip(end).position(|byte| *byte == b'\n');
    begin.map_or(0, |at| at + 1)..finish.map_or(text.len(), |at| end + at)
}
