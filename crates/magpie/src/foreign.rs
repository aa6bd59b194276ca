//! Keeps apart the host routes of others, of which the kernel may hold several to one target.

use std::collections::BTreeSet;
use std::net::Ipv6Addr;

use magpie_sys::netlink::RouteEvent;

use crate::mark::Mark;

/// The host routes of others.
#[derive(Debug)]
pub(crate) struct ForeignRoutes {
    /// That of our own.
    mark: Mark,
    /// In the order of the kernel's preference, target by target.
    routes: BTreeSet<ForeignRoute>,
    is_doubtful: bool,
}

/// A host route of somebody else's.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct ForeignRoute {
    target: Ipv6Addr,
    metric: u32,
    table: u32,
    /// The device that it leads to, if it leads to one.
    pub(crate) oif: Option<u32>,
}

impl ForeignRoutes {
    /// Starts without any; `mark` is that of our own.
    pub(crate) fn new(mark: Mark) -> Self {
        Self { mark, routes: BTreeSet::new(), is_doubtful: false }
    }

    /// Takes note of a route that the kernel announces; returns the one that counts for its target
    /// now.
    pub(crate) fn announced(&mut self, event: &RouteEvent) -> ForeignRoute {
        let route = ForeignRoute::of(event);
        // The kernel does not announce the end of a route that another one replaces.
        let place = |route: ForeignRoute| (route.metric, route.table);
        let may_replace =
            |other: ForeignRoute| place(other) == place(route) && other.oif != route.oif;
        self.is_doubtful |= place(route) == (self.mark.metric, self.mark.table)
            || self.to(route.target).any(may_replace);
        let preferred = self.dumped(event);
        if place(preferred) == place(route) { route } else { preferred }
    }

    /// Takes note of a route that a dump contains; returns the one that counts for its target.
    pub(crate) fn dumped(&mut self, event: &RouteEvent) -> ForeignRoute {
        let route = ForeignRoute::of(event);
        if self.routes.len() < MOST {
            self.routes.insert(route);
        }
        self.to(route.target).next().unwrap_or(route)
    }

    /// Takes note of a route that has gone; returns the one that counts for its target now.
    pub(crate) fn gone(&mut self, event: &RouteEvent) -> Option<ForeignRoute> {
        let route = ForeignRoute::of(event);
        self.routes.remove(&route);
        self.to(route.target).next()
    }

    /// Forgets all of them: a dump follows.
    pub(crate) fn clear(&mut self) {
        self.routes.clear();
        self.is_doubtful = false;
    }

    /// Whether only a dump can tell which of them are still there.
    pub(crate) fn is_doubtful(&self) -> bool {
        self.is_doubtful
    }

    fn to(&self, target: Ipv6Addr) -> impl Iterator<Item = ForeignRoute> {
        let first = ForeignRoute { target, metric: 0, table: 0, oif: None };
        let last = ForeignRoute { target, metric: u32::MAX, table: u32::MAX, oif: Some(u32::MAX) };
        self.routes.range(first..=last).copied()
    }
}

impl ForeignRoute {
    fn of(event: &RouteEvent) -> Self {
        let RouteEvent { destination: target, metric, table, oif, .. } = *event;
        Self { target, metric, table, oif }
    }
}

/// More than these are not told apart: the first to go then stands for all to its target.
const MOST: usize = 16_384;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mark::samples::{route_by, usual};

    #[test]
    fn a_target_is_free_when_the_last_route_to_it_has_gone() {
        let mut routes = ForeignRoutes::new(usual());
        assert_eq!(routes.announced(&route(1, 1024, 8)).oif, Some(8));
        assert_eq!(routes.announced(&route(1, 512, 9)).oif, Some(9));
        assert_eq!(routes.announced(&route(1, 2000, 7)).oif, Some(9));
        assert_eq!(routes.announced(&route(2, 1024, 8)).oif, Some(8));
        assert_eq!(routes.gone(&route(1, 512, 9)).map(|left| left.oif), Some(Some(8)));
        assert_eq!(routes.gone(&route(1, 2000, 7)).map(|left| left.oif), Some(Some(8)));
        assert_eq!(routes.gone(&route(1, 1024, 8)), None);
        assert_eq!(routes.gone(&route(2, 1024, 8)), None);
        assert!(!routes.is_doubtful());
    }

    #[test]
    fn a_route_that_may_have_replaced_another_counts_and_causes_doubt() {
        let mut routes = ForeignRoutes::new(usual());
        routes.announced(&route(1, 1024, 8));
        routes.announced(&route(1, 1024, 8));
        assert!(!routes.is_doubtful());
        for oif in [9, 8, 7] {
            assert_eq!(routes.announced(&route(1, 1024, oif)).oif, Some(oif));
            assert!(routes.is_doubtful());
        }
        routes.clear();
        assert!(!routes.is_doubtful());
        assert_eq!(routes.gone(&route(1, 1024, 7)), None);
    }

    #[test]
    fn a_dump_leaves_no_doubt() {
        let mut routes = ForeignRoutes::new(usual());
        assert_eq!(routes.dumped(&route(1, 512, 9)).oif, Some(9));
        assert_eq!(routes.dumped(&route(1, 1024, 8)).oif, Some(9));
        assert_eq!(routes.dumped(&route(1, 1024, 7)).oif, Some(9));
        assert!(!routes.is_doubtful());
    }

    #[test]
    fn a_route_in_the_place_of_ours_causes_doubt() {
        let mut routes = ForeignRoutes::new(usual());
        routes.announced(&route(1, usual().metric, 8));
        assert!(routes.is_doubtful());
    }

    fn route(number: u16, metric: u32, oif: u32) -> RouteEvent {
        RouteEvent { metric, protocol: 4, ..route_by(number, Some(oif)) }
    }
}
