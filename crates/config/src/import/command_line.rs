//! Imports the command line of the magpie that is written in C++.

use std::ops::Range;
use std::path::PathBuf;
use std::time::Duration;

use super::Imported;
use super::remarks::{Remarks, comment, error, listed, warning};
use crate::model::{Config, Daemon, Kind, LogLevel, Relay};
use crate::suggest::closest;
use crate::value::check_interface_name;
use crate::{Diagnostic, Diagnostics, Source};

/// Imports a command line.
pub(super) fn import(arguments: &str) -> Result<Imported, Diagnostics> {
    let mut reader = Reader {
        remarks: Remarks::new(Source::new("arguments", arguments)),
        interfaces: Vec::new(),
        given: Vec::new(),
        daemon: Daemon::default(),
        timing: Relay::new(Kind::Relay, [""]).timing,
    };
    let words = reader.words(arguments);
    reader.options(&words);
    reader.finish(arguments)
}

struct Reader {
    remarks: Remarks,
    interfaces: Vec<(String, Range<usize>)>,
    /// Options that were given, with the places.
    given: Vec<(char, Range<usize>)>,
    daemon: Daemon,
    timing: magpie_engine::Timing,
}

/// A word of the command line, without its quotation marks.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Word {
    text: String,
    span: Range<usize>,
}

impl Reader {
    /// Splits as `xargs` does: at blanks that are neither quoted nor behind a backslash.
    fn words(&mut self, text: &str) -> Vec<Word> {
        let mut words: Vec<Word> = Vec::new();
        let mut inside = false;
        let mut quoted: Option<(char, usize)> = None;
        let mut escaped = false;
        for (at, c) in text.char_indices() {
            let end = at + c.len_utf8();
            if !inside && !c.is_whitespace() {
                inside = true;
                words.push(Word { text: String::new(), span: at..end });
            }
            let Some(word) = words.last_mut().filter(|_| inside) else { continue };
            match quoted {
                _ if escaped => {
                    escaped = false;
                    word.text.push(c);
                }
                Some((quote, _)) if c == quote => quoted = None,
                Some(_) => word.text.push(c),
                None if c.is_whitespace() => {
                    inside = false;
                    continue;
                }
                None => match c {
                    '"' | '\'' => quoted = Some((c, at)),
                    '\\' => escaped = true,
                    c => word.text.push(c),
                },
            }
            word.span.end = end;
        }
        if let Some((_, at)) = quoted {
            self.remarks.error(error(&(at..text.len()), "this quotation does not end"));
        }
        words
    }

    fn options(&mut self, words: &[Word]) {
        let mut rest = words.iter().enumerate().peekable();
        while let Some((index, word)) = rest.next() {
            let program = word.text == "magpie" || word.text.ends_with("/magpie");
            if index == 0 && program {
                continue;
            }
            let Some((option, value)) = self.option(word) else {
                // What follows is its value, perhaps.
                if word.text.starts_with('-') {
                    rest.next_if(|(_, next)| !next.text.starts_with('-'));
                }
                continue;
            };
            let mut apart = || rest.next_if(|(_, next)| !next.text.starts_with('-'));
            let Some(value) = value.or_else(|| Some(apart()?.1.clone())) else {
                let (long, expected) = expected(option);
                self.remarks.error(
                    error(&word.span, format!("--{long} lacks its value"))
                        .label(format!("expected {expected}")),
                );
                continue;
            };
            let earlier = self.given.iter().find(|(earlier, _)| *earlier == option);
            if let Some((_, earlier)) = earlier
                && option != 'i'
            {
                let (long, _) = expected(option);
                self.remarks.error(
                    error(&word.span, format!("--{long} is given twice"))
                        .also(earlier.clone(), "first here"),
                );
                continue;
            }
            self.given.push((option, word.span.clone()));
            self.value(option, &value);
        }
    }

    /// Which option a word is, with its value if that is part of the word.
    fn option(&mut self, word: &Word) -> Option<(char, Option<Word>)> {
        let part = |text: &str| {
            let start = word.span.end.saturating_sub(text.len()).max(word.span.start);
            Word { text: text.to_owned(), span: start..word.span.end }
        };
        if let Some(long) = word.text.strip_prefix("--") {
            let (name, value) = match long.split_once('=') {
                Some((name, value)) => (name, Some(part(value))),
                None => (long, None),
            };
            if let Some((short, ..)) = OPTIONS.iter().find(|(_, long, _)| *long == name) {
                return Some((*short, value));
            }
            let names = || OPTIONS.iter().map(|(_, long, _)| *long);
            let meant = closest(name, names())
                .or_else(|| names().find(|long| !name.is_empty() && long.starts_with(name)));
            self.unknown(word, meant.map(|long| format!("--{long}")));
            return None;
        }
        let mut characters = word.text.chars();
        match (characters.next(), characters.next()) {
            (Some('-'), Some(short)) if OPTIONS.iter().any(|(known, ..)| *known == short) => {
                let value = characters.as_str();
                let value = value.strip_prefix('=').unwrap_or(value);
                Some((short, (!value.is_empty()).then(|| part(value))))
            }
            (Some('-'), Some(short)) => {
                let lower = short.to_ascii_lowercase();
                let meant = OPTIONS.iter().find(|(known, ..)| *known == lower);
                self.unknown(word, meant.map(|(short, ..)| format!("-{short}")));
                None
            }
            _ => {
                let meant = word.text.contains(',').then(|| format!("-i {}", word.text));
                self.unknown(word, meant);
                None
            }
        }
    }

    fn unknown(&mut self, word: &Word, meant: Option<String>) {
        let mut remark =
            error(&word.span, format!("magpie has no option '{}'", word.text)).label("unexpected");
        remark = if let Some(meant) = meant {
            remark.help(format!("did you mean '{meant}'?"))
        } else {
            let all: Vec<String> =
                OPTIONS.iter().map(|(short, long, _)| format!("-{short} (--{long})")).collect();
            remark.help(format!("there are {}", listed(&all)))
        };
        self.remarks.error(remark);
    }

    fn value(&mut self, option: char, value: &Word) {
        let seconds = |seconds: u64| Duration::from_secs(seconds);
        match option {
            'i' => self.interfaces(value),
            'a' => {
                if let Some(number) = self.number(value, 3600) {
                    self.timing.alarm_interval = seconds(number);
                }
            }
            'p' => {
                if let Some(number) = self.number(value, 86_400) {
                    self.timing.probe_interval = seconds(number);
                }
            }
            'r' => {
                let retries = self.number(value, 100).and_then(|it| u8::try_from(it).ok());
                if let Some(retries) = retries {
                    self.timing.probe_retries = retries;
                }
            }
            'f' => self.daemon.state_file = Some(PathBuf::from(&value.text)),
            _ => self.log_level(value),
        }
    }

    fn interfaces(&mut self, value: &Word) {
        // Places within the word are known where nothing in it is quoted.
        let plain = value.span.len() == value.text.len();
        let mut start = value.span.start;
        for name in value.text.split(',') {
            let span = if plain { start..start + name.len() } else { value.span.clone() };
            start += name.len() + 1;
            let shown = if span.is_empty() { value.span.clone() } else { span.clone() };
            if let Err(refused) = check_interface_name(name) {
                self.remarks.error(
                    error(&shown, format!("magpie does not start: {refused}"))
                        .label("not an interface"),
                );
            } else if let Some((_, earlier)) = self.interfaces.iter().find(|(it, _)| it == name) {
                let remark = error(&shown, format!("magpie does not start with '{name}' twice"))
                    .also(earlier.clone(), "first here");
                self.remarks.error(remark);
            } else {
                self.interfaces.push((name.to_owned(), span));
            }
        }
    }

    fn number(&mut self, value: &Word, most: u64) -> Option<u64> {
        let number = value.text.parse::<u64>().ok().filter(|it| (1..=most).contains(it));
        if number.is_none() {
            self.remarks.error(
                error(&value.span, format!("'{}' cannot be used here", value.text))
                    .label(format!("expected a number from 1 to {most}")),
            );
        }
        number
    }

    fn log_level(&mut self, value: &Word) {
        let level = LEVELS.iter().find(|(name, _)| *name == value.text);
        if let Some((_, level)) = level {
            self.daemon.log_level = *level;
            return;
        }
        let names = LEVELS.map(|(name, _)| name);
        let mut remark: Diagnostic =
            error(&value.span, format!("'{}' is no log level", value.text))
                .label(format!("expected {}", listed(&names)));
        if let Some(meant) = closest(&value.text, names) {
            remark = remark.help(format!("did you mean '{meant}'?"));
        }
        self.remarks.error(remark);
    }

    fn finish(mut self, arguments: &str) -> Result<Imported, Diagnostics> {
        let whole = 0..arguments.len();
        match self.interfaces.as_slice() {
            [] if !self.remarks.has_errors() => self.remarks.error(
                error(&whole, "there are no interfaces: magpie does not start")
                    .help("expected something like '-i wan,br-lan'"),
            ),
            [(only, span)] if !self.remarks.has_errors() => {
                let remark = error(span, format!("'{only}' alone is no relay"))
                    .help(format!("give two or more interfaces, as in '-i {only},br-lan'"));
                self.remarks.error(remark);
            }
            _ => {}
        }
        let mut relay = Relay::new(Kind::Relay, self.interfaces.iter().map(|(name, _)| name));
        relay.timing = self.timing;
        for difference in DIFFERENCES {
            comment(&mut relay.comments, difference);
        }
        let mut comments = Vec::new();
        let head = format!("Imported from the command line 'magpie {}'.", arguments.trim());
        comment(&mut comments, &head);
        let file = self.given.iter().find(|(option, _)| *option == 'f').map(|(_, span)| span);
        if let Some(span) = file.cloned() {
            // Where the two differ is no mistake, but cannot be taken back.
            self.remarks.warn(
                warning(&span, "Magpie reads this file, and writes it in a form of its own")
                    .label("keep a copy for the other magpie"),
            );
            comment(
                &mut comments,
                "The state file of the other magpie is read, and then written in a form of \
                 Magpie's own.",
            );
        }
        let config = Config { daemon: self.daemon, relays: vec![relay], comments };
        self.remarks.finish(config)
    }
}

/// What an option is called, and what its value is.
fn expected(option: char) -> (&'static str, &'static str) {
    OPTIONS
        .iter()
        .find(|(short, ..)| *short == option)
        .map_or(("", ""), |(_, long, value)| (*long, *value))
}

/// All options.
const OPTIONS: [(char, &str, &str); 6] = [
    ('i', "interfaces", "interfaces, as in wan,br-lan"),
    ('a', "alarm-interval", "seconds"),
    ('p', "probe-interval", "seconds"),
    ('r', "probe-retries", "a number"),
    ('f', "routes-save-file", "a path"),
    ('l', "log-level", "a level"),
];

/// All log levels.
const LEVELS: [(&str, LogLevel); 5] = [
    ("error", LogLevel::Error),
    ("warning", LogLevel::Warning),
    ("info", LogLevel::Info),
    ("verbose", LogLevel::Verbose),
    ("debug", LogLevel::Debug),
];

/// What is otherwise, whatever the options are.
const DIFFERENCES: [&str; 3] = [
    "Answers are made only for targets in the prefixes of the links, which are found out; magpie \
     looks for any.",
    "Answers carry the router flag of the host (magpie always sets it), and override what is known \
     only after a host has moved.",
    "SIGHUP reloads; it ends the other magpie.",
];
