//! A network in memory, on a virtual clock, to try the engine of Magpie on.
//!
//! Links lose, delay, duplicate and echo frames; hosts detect duplicates of their addresses,
//! resolve their neighbors as Linux does, move and sleep; kernels forward along the host routes
//! that the engines under test ask for. At every step of an engine the rules are checked that it
//! must never break; whoever breaks one is shown with the seed and the events that led to it.
#![forbid(unsafe_code)]

use std::num::NonZero;
use std::sync::atomic::{AtomicU64, Ordering};

mod churn;
mod frame;
mod habits;
mod host;
mod interface;
mod invariants;
mod kernel;
mod medium;
mod neighbor;
mod node;
mod queue;
mod trace;
mod world;

pub use frame::PingId;
pub use habits::{Habits, Talks};
pub use host::Roam;
pub use interface::{Stack, Validity};
pub use medium::Medium;
pub use world::{Attempt, OUTSIDE, SUBNET, World};

/// A host of a [`World`].
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct HostId(pub(crate) usize);

/// A node of a [`World`] that runs Magpie.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct NodeId(pub(crate) usize);

/// Returns the seeds to run a test with: the one that `MAGPIE_SIM_SEED` names, or the given ones.
///
/// # Panics
///
/// If the variable does not hold a number.
pub fn seeds(usual: std::ops::Range<u64>) -> std::ops::Range<u64> {
    match std::env::var("MAGPIE_SIM_SEED") {
        Ok(seed) => {
            let seed = seed.parse().expect("MAGPIE_SIM_SEED is a number");
            seed..seed + 1
        }
        Err(_) => usual,
    }
}

/// Runs something with each seed, on all processors, and prints the seed before.
///
/// # Panics
///
/// If one of the runs does.
pub fn spread(seeds: std::ops::Range<u64>, run: impl Fn(u64) + Sync) {
    let next = AtomicU64::new(seeds.start);
    let workers = std::thread::available_parallelism().map_or(1, NonZero::get);
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if !seeds.contains(&seed) {
                        return;
                    }
                    println!("seed {seed}; replay with MAGPIE_SIM_SEED={seed}");
                    run(seed);
                }
            });
        }
    });
}

/// Returns every pair of hosts.
pub fn pairs(hosts: &[HostId]) -> Vec<(HostId, HostId)> {
    let mut pairs = Vec::new();
    for (at, one) in hosts.iter().enumerate() {
        pairs.extend(hosts.iter().skip(at + 1).map(|other| (*one, *other)));
    }
    pairs
}
