//! Turns the configurations of other programs into Magpie's, and says what becomes different.
//!
//! Each importer reads a text exactly as its program does, where that is safe. Where the program
//! did something else than the text says, or something that Magpie does not do, a warning points
//! to the place and tells both, and the model carries the same as a comment. Errors are left for
//! texts that the program itself refuses, and for those that nothing safe can be made of.

mod avahi;
mod command_line;
mod ndppd;
mod npd6;
mod remarks;

use crate::model::Config;
use crate::{Diagnostics, Source};

/// What another program's configuration comes to.
#[derive(Clone, Debug)]
pub struct Imported {
    /// The same in Magpie's words. Its comments tell where everything comes from, what differs and
    /// what has no counterpart.
    pub config: Config,
    /// What its user should look at.
    pub warnings: Diagnostics,
}

/// Imports the configuration file of npd6 1.1.
///
/// # Errors
///
/// Everything in it that npd6 refuses, or that nothing safe can be made of.
pub fn npd6(source: Source) -> Result<Imported, Diagnostics> {
    npd6::import(source)
}

/// Imports the configuration file of ndppd: of 0.2.5, of 0.2.6 and of the 1.0 that was never
/// finished, whichever its keys belong to.
///
/// # Errors
///
/// Everything in it that ndppd refuses, or that nothing safe can be made of.
pub fn ndppd(source: Source) -> Result<Imported, Diagnostics> {
    ndppd::import(source)
}

/// Imports what the configuration file of avahi-daemon says about its reflector: a relay of names
/// alone. What else is in it concerns avahi's own names, and is left to it.
///
/// # Errors
///
/// Everything about the reflector that nothing safe can be made of.
pub fn avahi(source: Source) -> Result<Imported, Diagnostics> {
    avahi::import(source)
}

/// Imports the command line of the magpie that is written in C++, as in `-i wan,br-lan -a 5`.
/// Words may be quoted as for `xargs`, through which its service file reads them.
///
/// # Errors
///
/// Everything in it that the other magpie refuses, and options that it does not have.
pub fn magpie(arguments: &str) -> Result<Imported, Diagnostics> {
    command_line::import(arguments)
}
