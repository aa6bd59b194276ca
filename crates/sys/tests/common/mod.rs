//! What the tests on real kernels have in common.

use std::error::Error;

use libtest_mimic::{Failed, Trial};

pub(crate) type Outcome = Result<(), Box<dyn Error>>;

/// One test, whose failure is told with all its causes.
pub(crate) fn trial(name: &str, run: fn() -> Outcome) -> Trial {
    Trial::test(name, move || run().map_err(|error| Failed::from(chain(&*error))))
}

/// An error and its causes in one line.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}
