//! What the end-to-end tests share: a site with a gateway between two links, and the daemon on it.

#![allow(dead_code, unused_imports, reason = "each test binary uses its own part")]

mod access_point;
mod daemon;
mod site;
mod station;

use std::error::Error;
use std::fs;
use std::net::Ipv6Addr;
use std::process::ExitCode;
use std::time::Duration;

use libtest_mimic::{Arguments, Failed, Trial};
use magpie_testnet::{Node, Ping, Pinger};

pub(crate) use access_point::AccessPoint;
pub(crate) use daemon::{ConfigFile, Folder, Magpie, Options};
pub(crate) use site::{PREFIX, Site, host_address};
pub(crate) use station::{Answer, Station, answer_for, is_search_for, solicited};

/// What a test returns.
pub(crate) type Outcome = Result<(), Box<dyn Error>>;

/// How long anything may take that should happen soon.
pub(crate) const LIMIT: Duration = Duration::from_secs(10);

/// A test and its name.
pub(crate) type Test = (&'static str, fn() -> Outcome);

/// Runs the tests of one file; call it from `main` before any thread starts.
pub(crate) fn run(tests: &[Test]) -> ExitCode {
    // Networks mostly wait for the timers of the standards.
    run_all(tests.iter().copied(), 6)
}

/// Runs tests that need not be functions, so many at a time unless the command line says otherwise;
/// call it from `main` before any thread starts.
pub(crate) fn run_all<N: Into<String>, F: FnOnce() -> Outcome + Send + 'static>(
    tests: impl IntoIterator<Item = (N, F)>,
    threads: usize,
) -> ExitCode {
    if let Err(error) = magpie_testnet::enter() {
        eprintln!("cannot run these tests: {}", chain(&error));
        return ExitCode::FAILURE;
    }
    let trials = tests
        .into_iter()
        .map(|(name, test)| {
            Trial::test(name, move || test().map_err(|error| Failed::from(chain(&*error))))
        })
        .collect();
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(threads);
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// Pings until a reply comes: the first request may go to where the host was.
pub(crate) fn ping_until(node: &Node, address: Ipv6Addr) -> Outcome {
    Pinger::start(node, &Ping::new(address), Duration::from_millis(100))?.wait_reply(LIMIT)?;
    Ok(())
}

/// Whether a node is in a multicast group on one of its links.
pub(crate) fn is_in_group(
    node: &Node,
    link: &str,
    group: Ipv6Addr,
) -> Result<bool, Box<dyn Error>> {
    let _inside = node.enter()?;
    let wanted = format!("{:032x}", group.to_bits());
    Ok(fs::read_to_string("/proc/thread-self/net/igmp6")?.lines().any(|line| {
        let mut fields = line.split_whitespace().skip(1);
        fields.next() == Some(link) && fields.next() == Some(&wanted)
    }))
}

/// An address, from its text.
pub(crate) fn address(text: &str) -> Ipv6Addr {
    text.parse().expect("tests write addresses correctly")
}

/// An error with all its causes.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
