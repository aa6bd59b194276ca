//! Reads and writes what stands in a configuration as text: prefixes, patterns, durations, names.

mod duration;
mod interface;
mod name;
mod pattern;
mod prefix;
mod selector;

use std::fmt;
use std::ops::Range;

pub use duration::{duration, duration_text};
pub use interface::{InterfaceNameError, check_interface_name};
pub(crate) use name::{SubjectKind, doubtful_service};
pub use prefix::{SHORTEST_PREFIX, check_prefix, prefix};
pub use selector::{check_selector, doubtful_selector};

/// Why a text is not what it should be, and where in it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ValueError {
    /// What is the matter: a sentence without a full stop.
    pub message: String,
    /// What stands beside the underlining; may be empty.
    pub label: String,
    /// What to do about it.
    pub help: Option<String>,
    /// The octets of the text that are wrong.
    pub span: Range<usize>,
}

impl std::error::Error for ValueError {}

impl fmt::Display for ValueError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        match &self.help {
            Some(help) => write!(f, ": {help}"),
            None => Ok(()),
        }
    }
}

impl ValueError {
    fn new(span: Range<usize>, message: impl Into<String>) -> Self {
        Self { message: message.into(), label: String::new(), help: None, span }
    }

    fn label(mut self, label: impl Into<String>) -> Self {
        self.label = label.into();
        self
    }

    fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Moves the place, for a text that is part of another.
    fn within(mut self, offset: usize) -> Self {
        self.span = self.span.start + offset..self.span.end + offset;
        self
    }
}
