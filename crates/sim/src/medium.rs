//! An Ethernet link as a shared segment: who is on it, and what becomes of a frame on its way to
//! each of them.

use std::collections::BTreeMap;
use std::time::Duration;

use magpie_engine::LinkId;
use magpie_wire::LinkAddr;

use crate::{HostId, NodeId};

/// How well a link carries frames.
#[derive(Clone, Copy, Debug)]
pub struct Medium {
    /// Shortest time on the way.
    pub delay: Duration,
    /// Longest time that comes on top, for each receiver anew: frames overtake each other.
    pub jitter: Duration,
    /// Probability that a receiver misses a frame.
    pub loss: f64,
    /// Probability that a receiver gets a frame twice.
    pub duplication: f64,
    /// A Wi-Fi access point repeats what a station sends to a group, and the station hears it.
    pub echo: bool,
}

impl Default for Medium {
    fn default() -> Self {
        Self {
            delay: Duration::from_micros(50),
            jitter: Duration::from_micros(100),
            loss: 0.0,
            duplication: 0.0,
            echo: false,
        }
    }
}

impl Medium {
    /// Returns when each copy of a frame arrives at one receiver, counted from now.
    pub(crate) fn arrivals(&self, rng: &mut fastrand::Rng) -> impl Iterator<Item = Duration> {
        let copies = if self.loss > 0.0 && rng.f64() < self.loss {
            0
        } else if self.duplication > 0.0 && rng.f64() < self.duplication {
            2
        } else {
            1
        };
        let times = [0, 1].map(|_| self.delay + self.jitter.mul_f64(rng.f64()));
        times.into_iter().take(copies)
    }
}

/// Somebody on a link.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Station {
    Host(HostId),
    Node(NodeId),
    /// Somebody who only sends.
    Intruder,
}

/// One link.
#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) medium: Medium,
    stations: BTreeMap<LinkAddr, Station>,
    /// Links that somebody has connected to this one by a cable.
    pub(crate) bridged: Vec<LinkId>,
}

impl Segment {
    pub(crate) fn new(medium: Medium) -> Self {
        Self { medium, stations: BTreeMap::new(), bridged: Vec::new() }
    }

    pub(crate) fn attach(&mut self, station: Station, lladdr: LinkAddr) {
        self.stations.insert(lladdr, station);
    }

    pub(crate) fn detach(&mut self, lladdr: LinkAddr) {
        self.stations.remove(&lladdr);
    }

    /// Returns the stations that a frame may be for: one, or for a group all.
    pub(crate) fn receivers(&self, destination: LinkAddr) -> impl Iterator<Item = Station> + '_ {
        let range = if destination.is_group() {
            LinkAddr::ZERO..=LinkAddr::BROADCAST
        } else {
            destination..=destination
        };
        self.stations.range(range).map(|(_, station)| *station)
    }
}
