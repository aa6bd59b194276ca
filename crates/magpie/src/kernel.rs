//! Tells the engine what the kernel knows: by dumps at first and after losses, by notifications
//! otherwise, and only what concerns the relay.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv6Addr;
use std::os::fd::{AsFd, BorrowedFd};

use ipnet::Ipv6Net;
use magpie_engine::{KernelEvent, LinkId};
use magpie_sys::netlink::{
    AddressEvent, Change, Connection, Event, Group, HostRoute, LinkEvent, Monitor, NeighborEvent,
    NeighborState, NetlinkError, Route, RouteEvent, RouteKind,
};
use magpie_sys::sysctl::Sysctl;

use crate::foreign::{ForeignRoute, ForeignRoutes};
use crate::links::Links;

/// The protocol number that marks host routes as ours.
pub(crate) const PROTOCOL: u8 = 109;
/// The metric of our host routes: behind what administrators and daemons usually choose, so that
/// their routes win and ours replace none of theirs.
pub(crate) const METRIC: u32 = 1090;

/// Our host route to `target` through `link`.
pub(crate) fn host_route(target: Ipv6Addr, link: LinkId) -> HostRoute {
    HostRoute {
        destination: target,
        oif: link.0,
        metric: METRIC,
        table: Route::MAIN_TABLE,
        protocol: PROTOCOL,
    }
}

/// The subscription to the kernel's notifications.
#[derive(Debug)]
pub(crate) struct Kernel {
    monitor: Monitor,
    /// The monitor has failed and tells nothing any longer.
    is_deaf: bool,
    echoes: Echoes,
    foreign: ForeignRoutes,
}

/// Everything that the kernel holds, at one time.
#[derive(Debug)]
pub(crate) struct Snapshot {
    pub(crate) links: Vec<LinkEvent>,
    pub(crate) addresses: Vec<AddressEvent>,
    pub(crate) routes: Vec<RouteEvent>,
    pub(crate) proxies: Vec<NeighborEvent>,
}

impl Kernel {
    /// Subscribes in the calling thread's network namespace.
    pub(crate) fn open() -> Result<Self, NetlinkError> {
        Ok(Self {
            monitor: Monitor::open(&Group::ALL)?,
            is_deaf: false,
            echoes: Echoes::default(),
            foreign: ForeignRoutes::default(),
        })
    }

    /// Subscribes anew and has the new descriptor waited for by `watch`; everything has to be read
    /// anew thereafter.
    pub(crate) fn reopen<E: From<NetlinkError>>(
        &mut self,
        watch: impl FnOnce(&Self) -> Result<(), E>,
    ) -> Result<(), E> {
        self.monitor = Monitor::open(&Group::ALL)?;
        watch(self)?;
        self.is_deaf = false;
        Ok(())
    }

    /// Whether reading has failed, so that only [`Kernel::reopen`] helps.
    pub(crate) fn is_deaf(&self) -> bool {
        self.is_deaf
    }

    /// Whether notifications leave open what the kernel holds, so that only a dump can tell.
    pub(crate) fn is_in_doubt(&self) -> bool {
        self.foreign.is_doubtful()
    }

    /// Reads the notifications that are there, up to a bound.
    pub(crate) fn read(&mut self, each: impl FnMut(Event)) -> Result<usize, NetlinkError> {
        let read = self.monitor.read(each);
        self.is_deaf |= read.is_err();
        read
    }

    /// Drops the notifications that are there: a dump that follows contains what they tell.
    pub(crate) fn skip(&mut self) -> Result<(), NetlinkError> {
        self.echoes.clear();
        while self.read(drop)? > 0 {}
        Ok(())
    }

    /// Expects the kernel to announce that it has deleted a route of ours at our own request.
    pub(crate) fn expect_deletion(&mut self, target: Ipv6Addr, link: LinkId) {
        self.echoes.expect(target, link);
    }

    /// What a notification about anything but links means to the engine, if anything.
    pub(crate) fn news(&mut self, event: &Event, links: &Links) -> Option<KernelEvent> {
        match event {
            Event::Address(change) => address(change, links),
            Event::Route(change) => match route(change, links)? {
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
            Event::Link(_) | Event::Overrun => None,
        }
    }

    /// What of a dump, links apart, means something to the engine.
    pub(crate) fn digest(&mut self, snapshot: &Snapshot, links: &Links) -> Vec<KernelEvent> {
        self.foreign.clear();
        let mut news = Vec::new();
        for item in &snapshot.addresses {
            news.extend(address(&Change::Present(item.clone()), links));
        }
        for item in &snapshot.routes {
            news.extend(match route(&Change::Present(item.clone()), links) {
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

impl AsFd for Kernel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.monitor.as_fd()
    }
}

impl Snapshot {
    /// Reads everything.
    pub(crate) fn take() -> Result<Self, NetlinkError> {
        let mut connection = Connection::open()?;
        let links = connection.links()?;
        let mut proxies = connection.proxy_neighbors()?;
        // The kernel keeps its proxy entries even where it is not told to answer for them.
        let everywhere = proxies.is_empty() || answers_by_proxy("all");
        proxies.retain(|entry| {
            let mut places = links.iter().filter(|link| link.ifindex == entry.ifindex);
            everywhere || places.any(|link| answers_by_proxy(&link.name))
        });
        let addresses = connection.addresses()?;
        let routes = connection.routes(None)?;
        Ok(Self { links, addresses, routes, proxies })
    }

    /// Complains of host routes that an earlier run with other links may have left behind.
    pub(crate) fn complain_of_strays(&self, links: &Links) -> Option<String> {
        let mut strays = self.routes.iter().filter_map(|event| {
            let oif = event.oif.filter(|oif| is_host_route(event) && links.id(*oif).is_none())?;
            is_ours(event).then_some((event.destination, oif))
        });
        let (example, first) = strays.next()?;
        let mut count = 1;
        let mut devices = BTreeSet::from([first]);
        for (_, oif) in strays {
            count += 1;
            devices.insert(oif);
        }
        let name = |oif: u32| {
            let link = self.links.iter().find(|link| link.ifindex == oif);
            link.map_or_else(|| format!("if{oif}"), |link| link.name.clone())
        };
        let commands: Vec<String> = devices
            .iter()
            .map(|oif| format!("`ip -6 route flush proto {PROTOCOL} dev {}`", name(*oif)))
            .collect();
        Some(format!(
            "host routes of a magpie lead over links that are not of this relay ({count}, such as \
             {example} dev {}); unless another magpie serves them, remove them with {}",
            name(first),
            commands.join(" and ")
        ))
    }
}

fn answers_by_proxy(link: &str) -> bool {
    Sysctl::conf(link, "proxy_ndp")
        .and_then(|setting| setting.read_number())
        .is_ok_and(|on| on != 0)
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

fn route(change: &Change<RouteEvent>, links: &Links) -> Option<KernelEvent> {
    let event = change.value();
    if !is_host_route(event) {
        return None;
    }
    let target = event.destination;
    let link = event.oif.and_then(|oif| links.id(oif));
    let own = is_ours(event);
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

fn is_host_route(event: &RouteEvent) -> bool {
    event.prefix_len == 128
        && event.table == Route::MAIN_TABLE
        && !matches!(event.kind, RouteKind::LOCAL | RouteKind::ANYCAST | RouteKind::MULTICAST)
}

fn is_ours(event: &RouteEvent) -> bool {
    event.protocol == PROTOCOL && event.metric == METRIC
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
    use magpie_sys::netlink::AddressFlags;

    use super::*;
    use crate::links::samples::device;

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
    fn an_address_that_failed_duplicate_detection_is_not_usable() {
        let event = AddressEvent { flags: AddressFlags::DAD_FAILED, ..address_on(8) };
        let news = address(&Change::Present(event), &links());
        assert!(matches!(news, Some(KernelEvent::Address { tentative: true, .. })), "{news:?}");
    }

    #[test]
    fn a_host_route_is_ours_by_protocol_and_metric() {
        let links = links();
        for (protocol, metric, own) in
            [(PROTOCOL, METRIC, true), (4, METRIC, false), (PROTOCOL, 1024, false)]
        {
            let event = RouteEvent { protocol, metric, ..route_by(Some(8)) };
            assert_eq!(
                route(&Change::Present(event), &links),
                Some(KernelEvent::Route { target: host(1), link: Some(LinkId(8)), own })
            );
        }
    }

    #[test]
    fn a_foreign_route_out_of_the_relay_is_told_without_a_link() {
        for oif in [None, Some(77)] {
            let event = RouteEvent { protocol: 4, ..route_by(oif) };
            assert_eq!(
                route(&Change::Absent(event), &links()),
                Some(KernelEvent::RouteGone { target: host(1), link: None, own: false })
            );
        }
    }

    #[test]
    fn routes_to_prefixes_and_to_this_host_are_not_told() {
        let cases = [
            RouteEvent { prefix_len: 64, ..route_by(Some(8)) },
            RouteEvent { table: 255, kind: RouteKind::LOCAL, ..route_by(Some(8)) },
            RouteEvent { table: 100, ..route_by(Some(8)) },
        ];
        for event in cases {
            assert_eq!(route(&Change::Present(event.clone()), &links()), None, "{event:?}");
        }
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
    fn routes_of_ours_elsewhere_are_complained_of_with_the_remedy() {
        let elsewhere =
            |number, oif| RouteEvent { destination: host(number), ..route_by(Some(oif)) };
        let foreign = RouteEvent { protocol: 4, ..elsewhere(4, 70) };
        let mut snapshot = Snapshot {
            links: vec![device(8, "wan"), device(70, "old"), device(71, "older")],
            addresses: Vec::new(),
            routes: vec![foreign, route_by(Some(8))],
            proxies: Vec::new(),
        };
        assert_eq!(snapshot.complain_of_strays(&links()), None);
        snapshot.routes.extend([elsewhere(1, 70), elsewhere(2, 70)]);
        let complaint = snapshot.complain_of_strays(&links()).unwrap();
        assert!(complaint.contains("(2, such as 2001:db8::1 dev old)"), "{complaint}");
        assert!(complaint.ends_with("`ip -6 route flush proto 109 dev old`"), "{complaint}");
        snapshot.routes.push(elsewhere(3, 71));
        let complaint = snapshot.complain_of_strays(&links()).unwrap();
        assert!(complaint.ends_with("`ip -6 route flush proto 109 dev older`"), "{complaint}");
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
        let mut links = Links::new(&["wan".to_owned()]);
        links.observe(&device(8, "wan"));
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

    fn route_by(oif: Option<u32>) -> RouteEvent {
        RouteEvent {
            destination: host(1),
            prefix_len: 128,
            oif,
            gateway: None,
            metric: METRIC,
            table: Route::MAIN_TABLE,
            protocol: PROTOCOL,
            kind: RouteKind::UNICAST,
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
