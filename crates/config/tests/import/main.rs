//! What the configurations of other programs come to: the traps of their formats, whole files,
//! the samples that Debian installs, and noise.

mod arbitrary;
mod command_line;
mod files;
mod ndppd;
mod npd6;
mod samples;
mod summary;
