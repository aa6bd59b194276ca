//! Begins and ends the work on Neighbor Discovery as a whole: a relay may be there for names alone.

use std::net::Ipv6Addr;

use crate::engine::Engine;
use crate::link::Link;
use crate::mrd::RouterDiscovery;
use crate::notice::Notices;
use crate::{Instant, LinkId, Lost, Timer};

impl Engine {
    /// Begins to work on all links, as if they had come just now.
    pub(crate) fn begin_discovery(&mut self, now: Instant) {
        let mut last = None;
        while let Some(id) = self.link_after(last) {
            last = Some(id);
            let elsewhere: Vec<Ipv6Addr> = self
                .links
                .iter()
                .filter(|(other, _)| **other != id)
                .flat_map(|(_, link)| link.addresses.iter().map(|own| own.net.addr()))
                .filter(|address| !address.is_unicast_link_local())
                .collect();
            for address in elsewhere {
                self.join(id, address);
            }
            if self.links.get(&id).is_some_and(Link::usable) {
                self.on_link_up(id, now);
            }
        }
    }

    /// Ends it in good order, whether a dump is under way or not: groups are left, host routes
    /// removed, switches told, and nothing is known any longer.
    pub(crate) fn end_discovery(&mut self) {
        let links: Vec<LinkId> = self.links.keys().copied().collect();
        for id in links {
            self.leave_all(id);
            if self.links.get(&id).is_some_and(|link| link.router_discovery.advertised()) {
                self.advertise_multicast_router(id, false);
            }
            if let Some(link) = self.links.get_mut(&id) {
                link.router_discovery = RouterDiscovery::default();
                self.timers.set(&mut link.due, Timer::Link(id), None);
                self.timers.set(&mut link.notices.due, Timer::Notice(id), None);
                link.notices = Notices::default();
            }
        }
        self.standing.clear();
        self.delayed.clear();
        while let Some(target) = self.resolutions.keys().next().copied() {
            self.end_resolution(target);
        }
        let known: Vec<Ipv6Addr> = self.bindings.iter().map(|(target, _)| target).collect();
        for target in known {
            self.forget(target, Lost::OutOfScope);
        }
        let routed: Vec<Ipv6Addr> = self.routes.targets().collect();
        for target in routed {
            self.routes.want(target, None);
            self.reconcile_route(target);
        }
    }
}
