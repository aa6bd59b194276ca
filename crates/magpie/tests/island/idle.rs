//! A daemon that has nothing to do does nothing.

use std::fs;
use std::time::Duration;

use magpie_testnet::{Ping, ping_once};

use crate::common::{LIMIT, Magpie, Outcome};
use crate::place::Place;

pub(crate) fn daemon_sleeps() -> Outcome {
    let place = Place::new()?;
    for link in ["wan", "lan", "lab"] {
        // Its own kernel is to lose interest in its neighbors soon after the traffic. It would never
        // do so if the second were longer than the first: its probes count as use.
        place.gateway.set_neigh(link, "base_reachable_time_ms", 4000)?;
        place.gateway.set_neigh(link, "delay_first_probe_time", 1)?;
    }
    let magpie = place.magpie()?;
    let (upper, upper_address) = place.host("upper", "up", 0x41)?;
    let (lower, lower_address) = place.host("lower", "down", 0x21)?;
    ping_once(&lower, &Ping::new(upper_address), LIMIT)?;
    ping_once(&upper, &Ping::new(lower_address), LIMIT)?;
    magpie.await_host(lower_address, "lan")?;
    magpie.await_host(upper_address, "wan")?;

    let mut observer = place.station("observer", "up")?;
    let mut counts = Vec::new();
    loop {
        let before = context_switches(&magpie)?;
        observer.collect(WINDOW)?;
        let count = context_switches(&magpie)? - before;
        counts.push(count);
        if count == 0 {
            break;
        }
        // What was begun at the start takes a while, and hosts are probed once a minute.
        assert!(counts.len() < MOST_WINDOWS, "context switches every {WINDOW:?}: {counts:?}");
    }
    assert!(!magpie.hosts()?.is_empty());
    let resident = status_number(&magpie, RESIDENT)?;
    assert!(resident <= MOST_RESIDENT, "{resident} KiB resident");
    magpie.stop()?;
    Ok(())
}

fn context_switches(magpie: &Magpie) -> Result<u64, Box<dyn std::error::Error>> {
    Ok(status_number(magpie, "voluntary_ctxt_switches")?
        + status_number(magpie, "nonvoluntary_ctxt_switches")?)
}

fn status_number(magpie: &Magpie, key: &str) -> Result<u64, Box<dyn std::error::Error>> {
    let status = fs::read_to_string(format!("/proc/{}/status", magpie.pid()))?;
    let line = status.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'));
    let number = line.and_then(|line| line.split_whitespace().next());
    Ok(number.ok_or_else(|| format!("no {key} in {status}"))?.parse()?)
}

const WINDOW: Duration = Duration::from_secs(10);
const MOST_WINDOWS: usize = 8;
/// Pages of an unoptimized program are no measure: then only what it allocated counts.
const RESIDENT: &str = if cfg!(debug_assertions) { "RssAnon" } else { "VmRSS" };
const MOST_RESIDENT: u64 = 5 * 1024;
