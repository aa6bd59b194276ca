//! Tells the host routes of one relay from those of everybody else.

use std::net::Ipv6Addr;

use magpie_config::model::Routes;
use magpie_engine::LinkId;
use magpie_sys::netlink::{HostRoute, Route, RouteEvent, RouteKind};

use crate::devices::Vrf;

/// What the host routes of a relay have in common: where they stand and what they carry.
///
/// The metric is usually behind what administrators and daemons choose, so that their routes win
/// and ours replace none of theirs.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Mark {
    pub(crate) table: u32,
    pub(crate) metric: u32,
    pub(crate) protocol: u8,
    /// The table is that of a VRF, where no other table counts.
    pub(crate) is_vrf: bool,
}

impl Mark {
    /// The mark of a relay whose links belong to this VRF, if to any: it has the say where no table
    /// was asked for.
    pub(crate) fn new(routes: Routes, vrf: Option<Vrf>) -> Self {
        let Routes { table, metric, protocol, .. } = routes;
        let vrf = vrf.filter(|_| table.is_none());
        let usual = table.unwrap_or(Route::MAIN_TABLE);
        let table = vrf.map_or(usual, |vrf| vrf.table);
        Self { table, metric, protocol, is_vrf: vrf.is_some() }
    }

    /// Our host route to `target` through `link`.
    pub(crate) fn route(self, target: Ipv6Addr, link: LinkId) -> HostRoute {
        HostRoute {
            destination: target,
            oif: link.0,
            metric: self.metric,
            table: self.table,
            protocol: self.protocol,
        }
    }

    /// Whether a route is a host route that carries it.
    pub(crate) fn is_on(self, event: &RouteEvent) -> bool {
        is_host_route(event)
            && event.table == self.table
            && event.metric == self.metric
            && event.protocol == self.protocol
    }

    /// Whether a route leads to a single host, in a table that our routes compete with.
    pub(crate) fn competes_with(self, event: &RouteEvent) -> bool {
        let is_main = event.table == Route::MAIN_TABLE && !self.is_vrf;
        is_host_route(event) && (event.table == self.table || is_main)
    }
}

fn is_host_route(event: &RouteEvent) -> bool {
    event.prefix_len == 128
        && !matches!(event.kind, RouteKind::LOCAL | RouteKind::ANYCAST | RouteKind::MULTICAST)
}

#[cfg(test)]
pub(crate) mod samples {
    use super::*;

    /// The mark of a relay that was not told otherwise.
    pub(crate) fn usual() -> Mark {
        Mark::new(Routes::default(), None)
    }

    /// A host route of a relay that was not told otherwise.
    pub(crate) fn route_by(number: u16, oif: Option<u32>) -> RouteEvent {
        let Mark { table, metric, protocol, .. } = usual();
        RouteEvent {
            destination: Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, number),
            prefix_len: 128,
            oif,
            gateway: None,
            metric,
            table,
            protocol,
            kind: RouteKind::UNICAST,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::samples::{route_by, usual};
    use super::*;

    #[test]
    fn a_host_route_is_ours_by_table_metric_and_protocol() {
        let own = route_by(1, Some(8));
        assert!(usual().is_on(&own));
        for other in [
            RouteEvent { table: 100, ..own.clone() },
            RouteEvent { metric: 1024, ..own.clone() },
            RouteEvent { protocol: 4, ..own.clone() },
            RouteEvent { prefix_len: 64, ..own.clone() },
        ] {
            assert!(!usual().is_on(&other), "{other:?}");
        }
        let elsewhere = Mark { table: 100, ..usual() };
        assert!(!elsewhere.is_on(&own));
        assert!(elsewhere.is_on(&RouteEvent { table: 100, ..own }));
    }

    #[test]
    fn rte_10_the_table_is_that_of_the_vrf_unless_one_is_given() {
        let vrf = Some(Vrf { ifindex: 5, table: 100 });
        let given = Routes { table: Some(77), ..Routes::default() };
        for (routes, vrf, expected) in [
            (Routes::default(), None, 254),
            (Routes::default(), vrf, 100),
            (given, None, 77),
            (given, vrf, 77),
        ] {
            assert_eq!(Mark::new(routes, vrf).table, expected);
        }
    }

    #[test]
    fn routes_compete_in_the_main_table_and_in_that_of_the_relay() {
        let elsewhere = Mark { table: 100, ..usual() };
        for (table, expected) in [(254, true), (100, true), (200, false)] {
            let event = RouteEvent { table, ..route_by(1, None) };
            assert_eq!(elsewhere.competes_with(&event), expected, "{table}");
        }
        let blue = Mark::new(Routes::default(), Some(Vrf { ifindex: 5, table: 100 }));
        for (table, expected) in [(254, false), (100, true)] {
            let event = RouteEvent { table, ..route_by(1, None) };
            assert_eq!(blue.competes_with(&event), expected, "{table}");
        }
        let own = RouteEvent { table: 255, kind: RouteKind::LOCAL, ..route_by(1, Some(8)) };
        assert!(!Mark { table: 255, ..usual() }.competes_with(&own));
    }
}
