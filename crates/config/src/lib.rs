//! Magpie's configuration: files to a checked model, and the files of other daemons too.
#![forbid(unsafe_code)]

mod assemble;
mod convert;
mod diagnostic;
mod draft;
pub mod import;
mod limits;
mod load;
pub mod model;
mod read;
mod render;
mod selector;
mod strangers;
pub mod suggest;
pub mod value;
mod words;

pub use diagnostic::{Diagnostic, Diagnostics, Secondary, Severity, Source};
pub use load::{LoadError, Loaded, load, load_base, parse};
pub use render::{render, render_complete};
