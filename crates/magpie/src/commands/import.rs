//! Turns configurations of other programs into Magpie's.

use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use magpie_config::import::{self, Imported};
use magpie_config::{Diagnostics, Source};

use super::{UNUSABLE, conclude, is_colorful};
use crate::cli::{Foreign, ImportArgs, Origin};
use crate::views::print;

/// A text to import cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("cannot read {}", path.display())]
struct ReadError {
    path: PathBuf,
    source: io::Error,
}

/// Prints what a foreign configuration comes to; what its user should look at goes to standard
/// error.
pub(crate) fn run(args: &ImportArgs) -> ExitCode {
    let imported = match &args.origin {
        Origin::Npd6(args) => read(&args.file).map(|source| convert(Foreign::Npd6, source)),
        Origin::Ndppd(args) => read(&args.file).map(|source| convert(Foreign::Ndppd, source)),
        Origin::Avahi(args) => read(&args.file).map(import::avahi),
        Origin::Magpie(args) if args.arguments == [STDIN] => {
            read(Path::new(STDIN)).map(|source| import::magpie(source.text.trim()))
        }
        Origin::Magpie(args) => Ok(import::magpie(&args.arguments.join(" "))),
    };
    match imported {
        Err(error) => conclude(Err(error)),
        Ok(Err(mistakes)) => {
            eprint!("{}", mistakes.render(is_colorful()));
            ExitCode::from(UNUSABLE)
        }
        Ok(Ok(Imported { config, warnings })) => {
            eprint!("{}", warnings.render(is_colorful()));
            conclude(print(&magpie_config::render(&config)).map(drop))
        }
    }
}

/// Turns the configuration file of another program into Magpie's.
fn convert(program: Foreign, source: Source) -> Result<Imported, Diagnostics> {
    match program {
        Foreign::Npd6 => import::npd6(source),
        Foreign::Ndppd => import::ndppd(source),
    }
}

/// Reads a file; `-` is standard input. What is not UTF-8 is no matter where it does not count,
/// such as in comments, and is seen as a strange character elsewhere.
fn read(path: &Path) -> Result<Source, ReadError> {
    let (name, octets) = if path == Path::new(STDIN) {
        let mut octets = Vec::new();
        let read = io::stdin().lock().read_to_end(&mut octets);
        ("standard input".to_owned(), read.map(|_| octets))
    } else {
        (path.display().to_string(), fs::read(path))
    };
    let octets = octets.map_err(|source| ReadError { path: path.to_owned(), source })?;
    Ok(Source::new(name, String::from_utf8_lossy(&octets)))
}

const STDIN: &str = "-";
