//! Writes down what happens as it happens: headings, lines with the time, the words of the daemon.

use std::env;
use std::fmt::Display;
use std::io::{self, IsTerminal, Write};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Where the story is told. All times are since this was made.
pub(super) struct Stage {
    start: Instant,
    /// Nothing once the stage is closed.
    output: Mutex<Option<Box<dyn Write + Send>>>,
    colors: bool,
}

impl Stage {
    /// Tells on standard output, or on standard error if that is taken; in colors on a terminal,
    /// unless the user wants none (<https://no-color.org>).
    pub(super) fn new(output_is_taken: bool) -> Self {
        let (output, is_terminal): (Box<dyn Write + Send>, bool) = if output_is_taken {
            (Box::new(io::stderr()), io::stderr().is_terminal())
        } else {
            (Box::new(io::stdout()), io::stdout().is_terminal())
        };
        let unwanted = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
            || env::var_os("TERM").is_none_or(|terminal| terminal == "dumb");
        Self {
            start: Instant::now(),
            output: Mutex::new(Some(output)),
            colors: is_terminal && !unwanted,
        }
    }

    /// Writes nothing any more.
    pub(super) fn close(&self) {
        *self.output.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Opens a new part of the story.
    pub(super) fn heading(&self, text: &str) {
        let text = self.paint(text, Paint::Bold);
        self.write(&format!("\n{text}\n"));
    }

    /// Tells something that happened just now.
    pub(super) fn say(&self, text: impl Display) {
        let time = format!("{:6.3} s", self.elapsed().as_secs_f64());
        self.write(&format!("{}  {text}\n", self.paint(&time, Paint::Dim)));
    }

    /// Repeats a line that the daemon wrote.
    pub(super) fn quote(&self, line: &str) {
        let line = self.paint(&format!("magpie: {}", line.trim()), Paint::Dim);
        self.write(&format!("{INDENT}{line}\n"));
    }

    /// Shows some lines together.
    pub(super) fn show(&self, text: &str) {
        let lines = text.lines().map(|line| format!("{INDENT}{line}").trim_end().to_owned() + "\n");
        self.write(&lines.collect::<String>());
    }

    /// Returns `text` in a color, if there are colors here.
    pub(super) fn paint(&self, text: &str, paint: Paint) -> String {
        if !self.colors {
            return text.to_owned();
        }
        let code = match paint {
            Paint::Bold => "1",
            Paint::Dim => "2",
            Paint::Good => "32",
            Paint::Bad => "1;31",
        };
        format!("\x1b[{code}m{text}\x1b[0m")
    }

    /// The time since the beginning.
    pub(super) fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }

    fn write(&self, text: &str) {
        if let Some(output) = &mut *self.output.lock().unwrap_or_else(PoisonError::into_inner) {
            // The figures count even when nobody reads any more.
            let _ = output.write_all(text.as_bytes()).and_then(|()| output.flush());
        }
    }
}

/// How something shall look.
#[derive(Clone, Copy, Debug)]
pub(super) enum Paint {
    /// What starts something new.
    Bold,
    /// What stands in the background.
    Dim,
    /// A goal that was met.
    Good,
    /// A goal that was missed.
    Bad,
}

/// As wide as a time.
const INDENT: &str = "          ";
