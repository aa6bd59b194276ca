//! Magpie: makes several links behave as one IPv6 subnet.
//!
//! Without a command it is the daemon: `daemon` assembles it, `driver` waits and dispatches,
//! `service` holds what is served, `settings` works out what is configured. `attach`, `reload` and
//! `rulebook` are what becomes of links, configurations and rules while it runs. With a command it
//! is a client of a running daemon (`views`, `commands`), or looks at configurations (`commands`).
#![forbid(unsafe_code)]

mod attach;
mod audience;
mod check;
mod cli;
mod commands;
mod daemon;
mod demo;
mod devices;
mod displaced;
mod driver;
mod executor;
mod foreign;
mod granted;
mod journal;
mod kernel;
mod ledger;
mod links;
mod log;
mod mark;
mod memory;
mod obstacle;
mod outlook;
mod port;
mod relay;
mod reload;
mod report;
mod rulebook;
mod saver;
mod service;
mod settings;
mod shield;
mod sought;
mod state;
mod survey;
mod systemd;
mod table;
mod tally;
mod trace;
mod views;

use std::error::Error;
use std::fmt;
use std::process::ExitCode;

use crate::cli::{Cli, Command};

fn main() -> ExitCode {
    let cli = Cli::from_command_line();
    let result: Result<(), Box<dyn Error>> = match &cli.command {
        None => return daemon::run(&cli.launch()),
        Some(Command::Run(args)) => return daemon::run(&args.launch()),
        Some(Command::Status(args)) => views::status(args).map_err(Into::into),
        Some(Command::Hosts(args)) => views::hosts(args).map_err(Into::into),
        Some(Command::Watch(args)) => views::watch(args).map_err(Into::into),
        Some(Command::Reload(args)) => views::reload(args).map_err(Into::into),
        Some(Command::Check(args)) => return commands::check::run(args),
        Some(Command::Import(args)) => return commands::import::run(args),
        Some(Command::Names(args)) => return commands::names::run(args),
        Some(Command::Routes(args)) => return commands::routes::run(args),
        Some(Command::Announce(args)) => return commands::announce::run(args),
        Some(Command::Targets(args)) => return commands::targets::run(args),
        Some(Command::Rules(args)) => return commands::rules::run(args),
        Some(Command::Demo(args)) => demo::run(*args).map_err(Into::into),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("magpie: {}", Chain(&*error));
            ExitCode::FAILURE
        }
    }
}

/// An error with all its causes, on one line.
struct Chain<'a>(&'a dyn Error);

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}
