//! Magpie's configuration: files to a checked model, and the files of other daemons too.
#![forbid(unsafe_code)]

pub mod model;
