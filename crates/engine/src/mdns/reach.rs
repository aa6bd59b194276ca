//! What the relay knows of who can be reached from where, for the names that cross.

use std::net::{IpAddr, Ipv6Addr};

use super::address::Reach;
use super::filter::Place;
use crate::Decision;
use crate::direct::away;
use crate::engine::Engine;
use crate::fib::Answer;

impl Reach for Engine {
    fn is_informed(&self) -> bool {
        self.config.neighbor_discovery
    }

    fn is_own(&self, address: IpAddr) -> bool {
        match address {
            IpAddr::V4(address) => self.owns_ipv4(address),
            IpAddr::V6(address) => self.own.owns(address),
        }
    }

    /// Whether the relay would answer for it on `to`, if it is where it is said to be. What the
    /// host table knows better counts: names outlive moves.
    fn is_reachable(&self, address: Ipv6Addr, from: Place, to: Place) -> bool {
        let at = self.bindings.get(address).map_or(from.link, |known| known.link);
        match self.decide(address, to.link) {
            Decision::Probe(_) => self.may_tell(address, to.link, at),
            Decision::Static { .. } => !self.is_on_own_link(address, to.link, self.clock),
            // A route that was not asked for yet leads, most likely, to who just spoke.
            Decision::Route => match self.fib.get(address, Some(to.link)) {
                Some(Answer(route)) => away(route, to.link).is_some(),
                None => at != to.link,
            },
            Decision::Deny | Decision::Uncovered => false,
        }
    }
}
