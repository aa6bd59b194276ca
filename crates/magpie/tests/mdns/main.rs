//! Names across links on real kernels, with avahi-daemon and systemd-resolved as hosts and with
//! stations that say what no program does.
#![forbid(unsafe_code)]

mod addresses;
mod answers;
mod browse;
#[path = "../common/mod.rs"]
mod common;
mod homes;
mod island;
mod keeping;
mod loops;
mod message;
mod others;
mod place;
mod questions;
mod reach;
mod speaker;

use std::process::ExitCode;

use common::Outcome;
use magpie_testnet::peers::Peer;

/// A test and its name.
type Scenario = (String, Box<dyn FnOnce() -> Outcome + Send>);

fn main() -> ExitCode {
    // Namespaces have no way out: what is missing is fetched before.
    for peer in [Peer::Avahi, Peer::Resolved] {
        if let Err(error) = place::files(peer) {
            eprintln!("cannot run these tests: {}", common::chain(&*error));
            return ExitCode::FAILURE;
        }
    }
    let groups = [
        loops::scenarios(),
        homes::scenarios(),
        island::scenarios(),
        browse::scenarios(),
        questions::scenarios(),
        answers::scenarios(),
        addresses::scenarios(),
        reach::scenarios(),
        keeping::scenarios(),
        others::scenarios(),
    ];
    // They mostly wait for the timers of the standard.
    common::run_all(groups.into_iter().flatten(), 8)
}

/// Names a test.
fn scenario(name: &str, test: impl FnOnce() -> Outcome + Send + 'static) -> Scenario {
    (name.to_owned(), Box::new(test))
}
