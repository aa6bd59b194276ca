//! Sees the kernel's news as they concern one relay.

use std::collections::BTreeMap;
use std::net::Ipv6Addr;

use ipnet::{Ipv4Net, Ipv6Net};
use magpie_engine::{KernelEvent, LinkId};
use magpie_sys::netlink::{
    AddressEvent, Change, Event, Ipv4AddressEvent, NeighborEvent, NeighborState, RouteEvent,
};

use crate::foreign::{ForeignRoute, ForeignRoutes};
use crate::kernel::Snapshot;
use crate::links::Links;
use crate::mark::Mark;

/// What a relay has to know to make sense of the kernel's news.
#[derive(Debug)]
pub(crate) struct Outlook {
    mark: Mark,
    echoes: Echoes,
    foreign: ForeignRoutes,
}

impl Outlook {
    /// Starts with the mark of the relay's host routes.
    pub(crate) fn new(mark: Mark) -> Self {
        Self { mark, echoes: Echoes::default(), foreign: ForeignRoutes::new(mark) }
    }

    /// Whether notifications leave open what the kernel holds, so that only a dump can tell.
    pub(crate) fn is_in_doubt(&self) -> bool {
        self.foreign.is_doubtful()
    }

    /// Takes note that a dump follows, which contains what notifications told or would have told.
    pub(crate) fn begin_dump(&mut self) {
        self.echoes.clear();
    }

    /// Expects the kernel to announce that it has deleted a route of ours at our own request.
    pub(crate) fn expect_deletion(&mut self, target: Ipv6Addr, link: LinkId) {
        self.echoes.expect(target, link);
    }

    /// What a notification about anything but links means to the engine, if anything.
    pub(crate) fn news(&mut self, event: &Event, links: &Links) -> Option<KernelEvent> {
        match event {
            Event::Address(change) => address(change, links),
            Event::Ipv4Address(change) => ipv4_address(change, links),
            Event::Route(change) => match route(change, links, self.mark)? {
                // The acknowledgement has told so already, and it may be out of date by now.
                KernelEvent::Route { own: true, .. } => None,
                KernelEvent::RouteGone { target, link: Some(link), own: true }
                    if self.echoes.take(target, link) =>
                {
                    None
                }
                KernelEvent::Route { own: false, .. } => {
                    let route = self.foreign.announced(change.value());
                    Some(foreign(change.value(), route, links))
                }
                KernelEvent::RouteGone { own: false, .. }
                    if let Some(route) = self.foreign.gone(change.value()) =>
                {
                    Some(foreign(change.value(), route, links))
                }
                news => Some(news),
            },
            Event::Neighbor(change) => neighbor(change, links),
            _ => None,
        }
    }

    /// What of a dump, links apart, means something to the engine. Routes that `is_elsewhere` says
    /// are of another relay are nobody else's business.
    pub(crate) fn digest(
        &mut self,
        snapshot: &Snapshot,
        links: &Links,
        is_elsewhere: impl Fn(&RouteEvent) -> bool,
    ) -> Vec<KernelEvent> {
        self.foreign.clear();
        let mut news = Vec::new();
        for item in &snapshot.addresses {
            news.extend(address(&Change::Present(item.clone()), links));
        }
        for item in &snapshot.ipv4_addresses {
            news.extend(ipv4_address(&Change::Present(*item), links));
        }
        for item in snapshot.routes.iter().filter(|item| !is_elsewhere(item)) {
            news.extend(match route(&Change::Present(item.clone()), links, self.mark) {
                Some(KernelEvent::Route { own: false, .. }) => {
                    Some(foreign(item, self.foreign.dumped(item), links))
                }
                other => other,
            });
        }
        for item in &snapshot.proxies {
            news.extend(neighbor(&Change::Present(item.clone()), links));
        }
        news
    }
}

fn address(change: &Change<AddressEvent>, links: &Links) -> Option<KernelEvent> {
    let event = change.value();
    let link = links.id(event.ifindex)?;
    match change {
        Change::Present(_) => Some(KernelEvent::Address {
            link,
            address: Ipv6Net::new(event.address, event.prefix_len).ok()?,
            // A duplicate must not be used either.
            tentative: event.is_tentative() || event.is_duplicate(),
        }),
        Change::Absent(_) => Some(KernelEvent::AddressGone { link, address: event.address }),
    }
}

fn ipv4_address(change: &Change<Ipv4AddressEvent>, links: &Links) -> Option<KernelEvent> {
    let event = change.value();
    let link = links.id(event.ifindex)?;
    let address = Ipv4Net::new(event.address, event.prefix_len).ok()?;
    match change {
        Change::Present(_) => Some(KernelEvent::Address4 { link, address }),
        Change::Absent(_) => Some(KernelEvent::Address4Gone { link, address }),
    }
}

fn route(change: &Change<RouteEvent>, links: &Links, mark: Mark) -> Option<KernelEvent> {
    let event = change.value();
    if !mark.competes_with(event) {
        return None;
    }
    let target = event.destination;
    let link = event.oif.and_then(|oif| links.id(oif));
    let own = mark.is_on(event);
    match change {
        Change::Present(_) => Some(KernelEvent::Route { target, link, own }),
        Change::Absent(_) => Some(KernelEvent::RouteGone { target, link, own }),
    }
}

/// That `route` is the one of several to the target of `event` which counts.
fn foreign(event: &RouteEvent, route: ForeignRoute, links: &Links) -> KernelEvent {
    let link = route.oif.and_then(|oif| links.id(oif));
    KernelEvent::Route { target: event.destination, link, own: false }
}

fn neighbor(change: &Change<NeighborEvent>, links: &Links) -> Option<KernelEvent> {
    let Change::Present(event) = change else { return None };
    let link = links.id(event.ifindex)?;
    let target = event.address;
    if event.is_proxy {
        return Some(KernelEvent::ProxyNeighbor { link, target });
    }
    let missed = event.is_miss || event.state.contains(NeighborState::FAILED);
    missed.then_some(KernelEvent::Miss { link, target })
}

/// Announcements of our own deletions that are still to come.
///
/// The kernel announces to everybody, also to who asked. Such an announcement may be read after
/// the same route was made again, and must not be taken for its end.
#[derive(Debug, Default)]
struct Echoes {
    deletions: BTreeMap<(Ipv6Addr, LinkId), u32>,
}

impl Echoes {
    fn expect(&mut self, target: Ipv6Addr, link: LinkId) {
        *self.deletions.entry((target, link)).or_default() += 1;
    }

    fn take(&mut self, target: Ipv6Addr, link: LinkId) -> bool {
        let Some(count) = self.deletions.get_mut(&(target, link)) else { return false };
        *count -= 1;
        if *count == 0 {
            self.deletions.remove(&(target, link));
        }
        true
    }

    fn clear(&mut self) {
        self.deletions.clear();
    }
}

#[cfg(test)]
mod tests {
    use magpie_sys::netlink::{AddressFlags, RouteKind};

    use super::*;
    use crate::links::samples;
    use crate::mark::samples::{route_by, usual};

    #[test]
    fn only_addresses_of_the_relay_are_passed_on() {
        let links = links();
        assert_eq!(address(&Change::Present(address_on(9)), &links), None);
        assert_eq!(
            address(&Change::Present(address_on(8)), &links),
            Some(KernelEvent::Address {
                link: LinkId(8),
                address: "2001:db8::1/64".parse().unwrap(),
                tentative: false
            })
        );
        assert_eq!(
            address(&Change::Absent(address_on(8)), &links),
            Some(KernelEvent::AddressGone { link: LinkId(8), address: host(1) })
        );
    }

    #[test]
    fn ipv4_addresses_of_the_relay_are_passed_on_with_their_prefixes() {
        let address = "192.0.2.1".parse().unwrap();
        let event = |ifindex, prefix_len| Ipv4AddressEvent { ifindex, address, prefix_len };
        assert_eq!(ipv4_address(&Change::Present(event(9, 24)), &links()), None);
        let (link, address) = (LinkId(8), "192.0.2.1/32".parse().unwrap());
        assert_eq!(
            ipv4_address(&Change::Present(event(8, 32)), &links()),
            Some(KernelEvent::Address4 { link, address })
        );
        assert_eq!(
            ipv4_address(&Change::Absent(event(8, 32)), &links()),
            Some(KernelEvent::Address4Gone { link, address })
        );
        let ipv4_addresses = vec![event(8, 32), event(9, 32)];
        let snapshot = Snapshot { ipv4_addresses, ..Snapshot::default() };
        let news = Outlook::new(usual()).digest(&snapshot, &links(), |_| false);
        assert_eq!(news, [KernelEvent::Address4 { link, address }]);
    }

    #[test]
    fn an_address_that_failed_duplicate_detection_is_not_usable() {
        let event = AddressEvent { flags: AddressFlags::DAD_FAILED, ..address_on(8) };
        let news = address(&Change::Present(event), &links());
        assert!(matches!(news, Some(KernelEvent::Address { tentative: true, .. })), "{news:?}");
    }

    #[test]
    fn a_host_route_is_ours_or_foreign() {
        let links = links();
        for (protocol, own) in [(109, true), (4, false)] {
            let event = RouteEvent { protocol, ..route_by(1, Some(8)) };
            assert_eq!(
                route(&Change::Present(event), &links, usual()),
                Some(KernelEvent::Route { target: host(1), link: Some(LinkId(8)), own })
            );
        }
    }

    #[test]
    fn a_foreign_route_out_of_the_relay_is_told_without_a_link() {
        for oif in [None, Some(77)] {
            let event = RouteEvent { protocol: 4, ..route_by(1, oif) };
            assert_eq!(
                route(&Change::Absent(event), &links(), usual()),
                Some(KernelEvent::RouteGone { target: host(1), link: None, own: false })
            );
        }
    }

    #[test]
    fn routes_to_prefixes_and_to_this_host_are_not_told() {
        let cases = [
            RouteEvent { prefix_len: 64, ..route_by(1, Some(8)) },
            RouteEvent { table: 255, kind: RouteKind::LOCAL, ..route_by(1, Some(8)) },
            RouteEvent { table: 100, ..route_by(1, Some(8)) },
        ];
        for event in cases {
            assert_eq!(
                route(&Change::Present(event.clone()), &links(), usual()),
                None,
                "{event:?}"
            );
        }
    }

    #[test]
    fn host_routes_of_another_relay_are_left_out_of_a_dump() {
        let routes =
            vec![route_by(1, Some(8)), RouteEvent { protocol: 110, ..route_by(2, Some(9)) }];
        let snapshot = Snapshot { routes, ..Snapshot::default() };
        let mut outlook = Outlook::new(usual());
        let news = outlook.digest(&snapshot, &links(), |event| event.oif == Some(9));
        assert_eq!(
            news,
            [KernelEvent::Route { target: host(1), link: Some(LinkId(8)), own: true }]
        );
    }

    #[test]
    fn the_kernels_failures_are_misses() {
        let links = links();
        let cases = [
            (NeighborState::FAILED, false, true),
            (NeighborState::REACHABLE, false, false),
            (NeighborState::INCOMPLETE, true, true),
        ];
        for (state, is_miss, expected) in cases {
            let event = NeighborEvent { state, is_miss, ..neighbor_on(8) };
            let news = neighbor(&Change::Present(event.clone()), &links);
            let miss = KernelEvent::Miss { link: LinkId(8), target: host(1) };
            assert_eq!(news, expected.then_some(miss), "{event:?}");
        }
        let elsewhere = NeighborEvent { state: NeighborState::FAILED, ..neighbor_on(9) };
        assert_eq!(neighbor(&Change::Present(elsewhere), &links), None);
    }

    #[test]
    fn each_deletion_of_ours_is_announced_once() {
        let mut echoes = Echoes::default();
        echoes.expect(host(1), LinkId(8));
        echoes.expect(host(1), LinkId(8));
        assert!(echoes.take(host(1), LinkId(8)));
        assert!(!echoes.take(host(1), LinkId(9)));
        assert!(echoes.take(host(1), LinkId(8)));
        assert!(!echoes.take(host(1), LinkId(8)));
    }

    fn links() -> Links {
        let mut links = samples::links(["wan"]);
        samples::follow(&mut links, [samples::device(8, "wan")]);
        links
    }

    fn host(number: u16) -> Ipv6Addr {
        Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, number)
    }

    fn address_on(ifindex: u32) -> AddressEvent {
        AddressEvent {
            ifindex,
            address: host(1),
            prefix_len: 64,
            flags: AddressFlags(0),
            scope: 0,
            preferred_lifetime: None,
            valid_lifetime: None,
        }
    }

    fn neighbor_on(ifindex: u32) -> NeighborEvent {
        NeighborEvent {
            ifindex,
            address: host(1),
            lladdr: None,
            state: NeighborState::FAILED,
            router: false,
            is_proxy: false,
            is_miss: false,
        }
    }
}
