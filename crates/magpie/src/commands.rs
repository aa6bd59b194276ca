//! Carries out the commands about configurations, rules, names, routes and announcements.

pub(crate) mod announce;
pub(crate) mod check;
pub(crate) mod import;
pub(crate) mod names;
pub(crate) mod routes;
pub(crate) mod rules;
pub(crate) mod targets;

use std::io::{self, IsTerminal as _};
use std::path::Path;
use std::process::ExitCode;

use magpie_config::LoadError;

use crate::Chain;
use crate::cli::DEFAULT_FILE;
use crate::settings::SettingsError;

/// Status of a program that was given something it cannot use.
pub(crate) const UNUSABLE: u8 = 2;

/// Ends a command: its error, if there is one, goes to standard error.
fn conclude<E: std::error::Error>(result: Result<(), E>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("magpie: {}", Chain(&error));
            ExitCode::FAILURE
        }
    }
}

/// Tells what an operator should look at.
pub(crate) fn warn(warning: &str) {
    eprintln!("warning: {}", warning.trim_end());
}

/// Whether remarks on standard error may be colored.
pub(crate) fn is_colorful() -> bool {
    io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// All that keeps a configuration from being used, for whoever looks at standard error.
pub(crate) fn mistakes(error: &SettingsError) -> String {
    match error {
        SettingsError::File(LoadError::Invalid(found))
        | SettingsError::Foreign(found)
        | SettingsError::Together(found) => found.render(is_colorful()),
        other => format!("magpie: {}", Chain(other)),
    }
}

/// What to say when there is no file where one is looked for without being asked for.
pub(crate) fn missing_file(path: &Path) -> String {
    // That of another program must not get what is for a file of ours.
    if path != Path::new(DEFAULT_FILE) {
        return format!("there is no {}: name the file with -c FILE", path.display());
    }
    format!(
        "there is no configuration file {path}. For a start, put this into it, with the names of \
         your links:\n\n    [[relay]]\n    links = [\"wan\", \"br-lan\"]\n\n\
         Or take over a configuration: magpie import npd6|ndppd|magpie|avahi ... > {path}\n\
         Or do without a file: magpie -i wan,br-lan\n\
         Or name another file with -c FILE",
        path = path.display()
    )
}
