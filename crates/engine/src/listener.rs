//! Listener reports as signs that a station has come to a link.
//!
//! A host that gets its carrier back reports its groups at once (Linux: "we might have roamed"),
//! long before it asks for anybody. The addresses that it had elsewhere are asked for there, as if
//! it had claimed them here; no more is believed.

use std::net::Ipv6Addr;
use std::ops::Bound;
use std::time::Duration;

use magpie_wire::LinkAddr;

use crate::engine::Engine;
use crate::{Evidence, Instant, LinkId};

/// Addresses of one station that a report makes us ask for: enough for a host, while a report in
/// the name of a proxy with hundreds does not become hundreds of questions.
const MOST_ASKED: usize = 16;
/// Reports of one station on one link count once in this time: hosts repeat them (RFC 3810
/// section 9.1), and one that is on several links reports on each.
const INTERVAL: Duration = Duration::from_secs(10);
/// Reports that are remembered for this time.
const MOST_REMEMBERED: usize = 1024;

impl Engine {
    /// The station `lladdr` has reported on a link.
    pub(crate) fn on_listener_report(&mut self, id: LinkId, lladdr: LinkAddr, now: Instant) {
        if !lladdr.is_station()
            || !self.bindings.is_elsewhere(lladdr, id)
            || self.reported.contains((id, lladdr), now)
        {
            return;
        }
        // To find the station's addresses takes a walk through all.
        if !self.links.get_mut(&id).is_some_and(|link| link.reports.take(now)) {
            return;
        }
        self.reported.insert((id, lladdr), now + INTERVAL, MOST_REMEMBERED, now);
        let mut targets = [None; MOST_ASKED];
        // Those that come behind the last one that was asked for, then those before it.
        let last = self.followed.remove(&(id, lladdr));
        let behind = self.bindings.range(last.map_or(Bound::Unbounded, Bound::Excluded));
        let before = self.bindings.iter().take_while(|(target, _)| Some(*target) <= last);
        let elsewhere = behind.chain(before).filter(|(_, binding)| {
            binding.lladdr == Some(lladdr) && binding.link != id && binding.claim.is_none()
        });
        for (place, (target, _)) in targets.iter_mut().zip(elsewhere) {
            *place = Some(target);
        }
        if let Some(Some(last)) = targets.last() {
            if self.followed.len() >= MOST_REMEMBERED {
                self.followed.clear();
            }
            self.followed.insert((id, lladdr), *last);
        }
        for target in targets.iter().flatten() {
            self.follow(*target, id, lladdr, now);
        }
    }

    fn follow(&mut self, target: Ipv6Addr, id: LinkId, lladdr: LinkAddr, now: Instant) {
        if self.is_sought_at(target, id) && !self.is_own_address(target, id) {
            self.begin_claim(target, id, lladdr, Evidence::ListenerReport, now);
        }
    }
}
