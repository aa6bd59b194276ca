//! Reads configuration files, and what they say together.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use toml::de::DeTable;

use crate::assemble::assemble;
use crate::draft::Drafts;
use crate::model::Config;
use crate::read::{Reader, lines, touch};
use crate::{Diagnostic, Diagnostics, Severity, Source, strangers};

/// A configuration that can be used.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// What it says.
    pub config: Config,
    /// What is perhaps not meant so.
    pub warnings: Diagnostics,
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// A file or folder cannot be read.
    #[error("cannot read {}", path.display())]
    Unreadable {
        /// Which one.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The files say what makes no configuration.
    #[error("{0}")]
    Invalid(Diagnostics),
}

/// Whether a configuration is complete by itself.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Relays {
    Needed,
    Optional,
}

/// Reads a file, and the files `conf.d/*.toml` beside it in lexical order; later ones refine
/// earlier ones.
///
/// # Errors
///
/// What cannot be read, or all mistakes of all files.
pub fn load(file: &Path) -> Result<Loaded, LoadError> {
    load_files(file, Relays::Needed)
}

/// Reads files as [`load`] does, for a caller that adds links of its own and checks the whole
/// then: there need not be any relay or responder, nor enough links.
///
/// # Errors
///
/// What cannot be read, or all mistakes of all files.
pub fn load_base(file: &Path) -> Result<Loaded, LoadError> {
    load_files(file, Relays::Optional)
}

/// Reads configurations, of which later ones refine earlier ones.
///
/// # Errors
///
/// All mistakes.
pub fn parse(sources: &[Source]) -> Result<Loaded, Diagnostics> {
    parse_files(sources.to_vec(), Relays::Needed, Vec::new())
}

impl Config {
    /// Checks what was put together by other means than from files: remarks point into the text
    /// that [`render`](crate::render()) makes of it.
    ///
    /// # Errors
    ///
    /// All mistakes.
    pub fn check(&self) -> Result<Diagnostics, Diagnostics> {
        let source = Source::new("effective configuration", crate::render(self));
        parse(&[source]).map(|loaded| loaded.warnings)
    }
}

fn load_files(file: &Path, relays: Relays) -> Result<Loaded, LoadError> {
    let mut sources = Vec::new();
    let mut remarks = Vec::new();
    let mut paths = vec![file.to_owned()];
    paths.extend(further_files(file)?);
    for path in paths {
        let bytes = fs::read(&path)
            .map_err(|source| LoadError::Unreadable { path: path.clone(), source })?;
        remarks.extend(not_utf8(sources.len(), &bytes));
        let text = String::from_utf8_lossy(&bytes).into_owned();
        sources.push(Source::new(path.display().to_string(), text));
    }
    parse_files(sources, relays, remarks).map_err(LoadError::Invalid)
}

/// Finds `conf.d/*.toml` beside a file.
fn further_files(file: &Path) -> Result<Vec<PathBuf>, LoadError> {
    let folder = file.with_file_name("conf.d");
    let unreadable = |source| LoadError::Unreadable { path: folder.clone(), source };
    let entries = match fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(unreadable(error)),
    };
    let mut paths = Vec::new();
    for entry in entries {
        let path = entry.map_err(unreadable)?.path();
        let hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        if !hidden && path.extension().is_some_and(|extension| extension == "toml") {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

/// Remarks on the first octets that are not UTF-8.
fn not_utf8(source: usize, bytes: &[u8]) -> Option<Diagnostic> {
    let at = std::str::from_utf8(bytes).err()?.valid_up_to();
    let error = Diagnostic::error(
        source,
        at..at + char::REPLACEMENT_CHARACTER.len_utf8(),
        "the file is not UTF-8",
    );
    let label = match bytes {
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => "this looks like UTF-16",
        _ => "no character in UTF-8",
    };
    Some(error.label(label).help("save the file as UTF-8"))
}

fn parse_files(
    sources: Vec<Source>,
    relays: Relays,
    mut remarks: Vec<Diagnostic>,
) -> Result<Loaded, Diagnostics> {
    let mut drafts = Drafts::default();
    let mut legible = remarks.is_empty();
    for (index, source) in sources.iter().enumerate() {
        if garbled(&remarks, index) && source.text.contains('\0') {
            // UTF-16: it would be wrong in every line.
            legible = false;
            continue;
        }
        let (table, errors) = DeTable::parse_recoverable(&source.text);
        if !errors.is_empty()
            && let Some(error) = strangers::remark(index, source)
        {
            remarks.push(error);
            legible = false;
            continue;
        }
        let mut reader = Reader::new(index, &source.text);
        drafts.read(&mut reader, table.get_ref());
        let garbled: Vec<_> = remarks.extract_if(.., |remark| remark.source == index).collect();
        let unclosed = errors.iter().any(|error| error.message().starts_with(UNCLOSED));
        let mut syntax: Vec<Diagnostic> = syntax_errors(index, errors, &source.text)
            .into_iter()
            .filter(|error| !garbled.iter().any(|other| touch(&other.span, &error.span)))
            .collect();
        syntax.extend(garbled);
        legible &= syntax.is_empty();
        let swallows = |error: &&Diagnostic| {
            error.message == NO_END || unclosed && error.message == NO_TEXT_END
        };
        let swallowed = syntax.iter().find(swallows).map(|error| error.span.start);
        // What stands in a line that could not be read was perhaps never meant.
        let spoiled: Vec<_> = syntax
            .iter()
            .map(|error| lines(&source.text, &error.span))
            .chain(swallowed.map(|start| start..source.text.len()))
            .collect();
        let found = reader.into_remarks().into_iter();
        remarks
            .extend(found.filter(|remark| !spoiled.iter().any(|line| touch(line, &remark.span))));
        remarks.extend(syntax);
    }
    let empty = drafts.relays.is_empty() && !drafts.incomplete;
    let mut together = Vec::new();
    let config = assemble(drafts, relays == Relays::Needed, &mut together);
    if legible {
        remarks.extend(together);
        if empty && relays == Relays::Needed {
            remarks.push(
                Diagnostic::error(0, 0..0, "nothing is configured")
                    .label("no `[[relay]]` and no `[[responder]]`")
                    .help(MINIMAL),
            );
        }
    }
    let mut diagnostics = Diagnostics::new(sources);
    let failed = remarks.iter().any(|remark| remark.severity == Severity::Error);
    for remark in remarks {
        diagnostics.push(remark);
    }
    if failed {
        return Err(diagnostics);
    }
    Ok(Loaded { config, warnings: diagnostics })
}

/// Whether a source was found not to be text.
fn garbled(remarks: &[Diagnostic], source: usize) -> bool {
    remarks.iter().any(|remark| remark.source == source)
}

/// Turns what the parser says into remarks.
fn syntax_errors(source: usize, errors: Vec<toml::de::Error>, text: &str) -> Vec<Diagnostic> {
    // An array that is never closed swallows the rest of the file; one remark on that will do.
    let unclosed = errors.iter().any(|error| error.message().starts_with(UNCLOSED));
    // A text that is never closed takes the `]` with it, and is what is to be told then.
    let is_endless = |error: &toml::de::Error| error.message() == ENDLESS_TEXT;
    let endless = unclosed && errors.iter().any(is_endless);
    let errors = errors.into_iter().filter(|error| !endless || is_endless(error));
    let mut remarks: Vec<Diagnostic> = Vec::new();
    for error in errors {
        let span = error.span().unwrap_or(text.len()..text.len());
        let (message, expected) = match error.message().split_once(", expected ") {
            Some((message, expected)) => (message, Some(expected)),
            None => (error.message(), None),
        };
        if unclosed && message == "unexpected `=` in array" {
            // What was taken for the next elements begins the next lines.
            let at_line =
                |at: usize| text.get(lines(text, &(at..at)).start..at).unwrap_or_default();
            let mut end = text.get(..span.start).unwrap_or_default().rfind('\n').unwrap_or(0);
            while let Some(comma) = remarks.pop_if(|last| {
                last.message == NO_COMMA && at_line(last.span.start).trim().is_empty()
            }) {
                end = comma.span.start;
            }
            let end = text.get(..end).unwrap_or_default().trim_end().len();
            remarks.push(Diagnostic::error(source, end..end, NO_END).label("expected `]`"));
            break;
        }
        let line = text.get(lines(text, &span)).unwrap_or_default();
        let missing = span.is_empty();
        let curly = text.get(span.clone()).is_some_and(|value| value.contains(CURLY_QUOTES));
        let remark = Diagnostic::error(source, span, message);
        remarks.push(match (message, expected) {
            ("duplicate key", _) if line.trim_start().starts_with('[') => remark
                .label("given before")
                .help("tables that may be repeated have two brackets each time, as in [[relay]]"),
            ("duplicate key", _) => remark.label("given before"),
            ("string values must be quoted", _) if missing => {
                Diagnostic { message: "the value is missing".to_owned(), ..remark }
            }
            ("string values must be quoted", _) if curly => {
                remark.label("these are not the quotes `\"`")
            }
            ("string values must be quoted", _) => remark.label("expected quotes around this"),
            ("invalid basic string", Some("`\"`")) => {
                Diagnostic { message: NO_TEXT_END.to_owned(), ..remark }.label("expected `\"`")
            }
            ("invalid basic string", Some(expected)) if expected.starts_with("non-double") => {
                let message = "control characters cannot stand in a text".to_owned();
                Diagnostic { message, ..remark }.label("expected an escape such as `\\u001b`")
            }
            (_, Some("nothing")) => remark.label("leave this out"),
            (_, Some(expected)) => remark.label(format!("expected {expected}")),
            (_, None) => remark,
        });
    }
    remarks
}

/// What editors and web pages put in place of `"` and `'`.
const CURLY_QUOTES: [char; 8] = [
    '\u{201c}', '\u{201d}', '\u{201e}', '\u{201f}', '\u{2018}', '\u{2019}', '\u{201a}', '\u{201b}',
];

/// How the parser begins to say that a list has no end.
const UNCLOSED: &str = "unclosed array,";
/// What the parser says where a text has no end in its line.
const ENDLESS_TEXT: &str = "invalid basic string, expected `\"`";
/// What the parser says where an element follows another at once.
const NO_COMMA: &str = "missing comma between array elements";
const NO_TEXT_END: &str = "this text has no end";
const NO_END: &str = "this list does not end";

/// The least that does something.
const MINIMAL: &str =
    "a relay needs no more than this:\n\n[[relay]]\nlinks = [\"wan\", \"br-lan\"]";
