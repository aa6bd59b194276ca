//! Waits, always with a deadline, for what the kernel announces or for what nobody does.

use std::fmt::Debug;
use std::thread;
use std::time::{Duration, Instant};

use magpie_sys::netlink::{Group, Monitor};

use crate::{Error, Node};

/// Repeats `check` until it finds something; only for what has no event to wait for.
///
/// # Errors
///
/// [`Error::Awaited`] after `limit`.
pub fn wait_for<T>(
    limit: Duration,
    what: &str,
    mut check: impl FnMut() -> Option<T>,
) -> Result<T, Error> {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(found) = check() {
            return Ok(found);
        }
        if Instant::now() >= deadline {
            return Err(awaited(what, "it did not happen", limit));
        }
        thread::sleep(PAUSE);
    }
}

/// Looks at the state of `node` once, and again after each change that `groups` announce, until
/// `look` finds what is awaited. What it saw instead goes into the error.
pub(crate) fn wait_state<T, Seen: Debug>(
    node: &Node,
    groups: &[Group],
    limit: Duration,
    what: &str,
    mut look: impl FnMut() -> Result<Result<T, Seen>, Error>,
) -> Result<T, Error> {
    let fail = |source| Error::Netlink { node: node.name().to_owned(), source };
    let mut monitor = {
        let _inside = node.enter()?;
        Monitor::open(groups).map_err(fail)?
    };
    let deadline = Instant::now() + limit;
    loop {
        let seen = match look()? {
            Ok(found) => return Ok(found),
            Err(seen) => seen,
        };
        if !monitor.wait_readable(deadline).map_err(fail)? {
            return Err(awaited(what, &format!("there was {seen:?}"), limit));
        }
        while monitor.read(drop).map_err(fail)? > 0 {}
    }
}

pub(crate) fn awaited(what: &str, seen: &str, limit: Duration) -> Error {
    Error::Awaited { what: what.to_owned(), seen: seen.to_owned(), limit }
}

const PAUSE: Duration = Duration::from_millis(5);
