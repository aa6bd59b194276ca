//! Hears what the kernel announces, and asks it for everything when that does not suffice.

use std::collections::BTreeSet;
use std::net::Ipv6Addr;
use std::os::fd::{AsFd, BorrowedFd};

use magpie_sys::netlink::{
    AddressEvent, Change, Connection, Event, Group, Ipv4AddressEvent, LinkEvent, Membership,
    Monitor, NeighborEvent, NetlinkError, Route, RouteEvent,
};
use magpie_sys::sysctl::Sysctl;

use crate::devices::{Devices, Difference};
use crate::mark::Mark;

/// The subscription to the kernel's notifications.
#[derive(Debug)]
pub(crate) struct Kernel {
    monitor: Monitor,
    /// The monitor has failed and tells nothing any longer.
    is_deaf: bool,
    /// IPv4 addresses are told of, too.
    hears_ipv4: bool,
    overruns: u64,
    devices: Devices,
}

/// Everything that the kernel holds, at one time.
#[derive(Debug, Default)]
pub(crate) struct Snapshot {
    pub(crate) links: Vec<LinkEvent>,
    pub(crate) addresses: Vec<AddressEvent>,
    /// If they matter.
    pub(crate) ipv4_addresses: Vec<Ipv4AddressEvent>,
    pub(crate) routes: Vec<RouteEvent>,
    pub(crate) proxies: Vec<NeighborEvent>,
}

impl Kernel {
    /// Subscribes in the calling thread's network namespace; to news of IPv4 addresses only if
    /// `hears_ipv4`.
    pub(crate) fn open(hears_ipv4: bool) -> Result<Self, NetlinkError> {
        let monitor = Monitor::open(&groups(hears_ipv4))?;
        Ok(Self { monitor, is_deaf: false, hears_ipv4, overruns: 0, devices: Devices::default() })
    }

    /// Whether news of IPv4 addresses are heard.
    pub(crate) fn hears_ipv4(&self) -> bool {
        self.hears_ipv4
    }

    /// Subscribes to news of IPv4 addresses as well. What there is has to be read thereafter.
    pub(crate) fn hear_ipv4(&mut self) -> Result<(), NetlinkError> {
        self.monitor.join(Group::Ipv4Address)?;
        self.hears_ipv4 = true;
        Ok(())
    }

    /// Subscribes anew and has the new descriptor waited for by `watch`; everything has to be read
    /// anew thereafter.
    pub(crate) fn reopen<E: From<NetlinkError>>(
        &mut self,
        watch: impl FnOnce(&Self) -> Result<(), E>,
    ) -> Result<(), E> {
        self.monitor = Monitor::open(&groups(self.hears_ipv4))?;
        watch(self)?;
        self.is_deaf = false;
        Ok(())
    }

    /// Whether reading has failed, so that only [`Kernel::reopen`] helps.
    pub(crate) fn is_deaf(&self) -> bool {
        self.is_deaf
    }

    /// Reads the notifications that are there, up to a bound.
    pub(crate) fn read(&mut self, mut each: impl FnMut(Event)) -> Result<usize, NetlinkError> {
        let Self { monitor, overruns, .. } = self;
        let read = monitor.read(|event| {
            *overruns += u64::from(event == Event::Overrun);
            each(event);
        });
        self.is_deaf |= read.is_err();
        read
    }

    /// Returns how often notifications were lost.
    pub(crate) fn overruns(&self) -> u64 {
        self.overruns
    }

    /// Drops the notifications that are there: a dump that follows contains what they tell.
    pub(crate) fn skip(&mut self) -> Result<(), NetlinkError> {
        while self.read(drop)? > 0 {}
        Ok(())
    }

    /// Takes note of news of a device; tells what is new about it.
    pub(crate) fn observe(&mut self, change: &Change<LinkEvent>) -> Difference {
        self.devices.observe(change)
    }

    /// Takes note of all devices.
    pub(crate) fn observe_all(&mut self, links: &[LinkEvent]) {
        self.devices = links.iter().cloned().collect();
    }

    /// The devices that there are.
    pub(crate) fn devices(&self) -> &Devices {
        &self.devices
    }
}

impl AsFd for Kernel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.monitor.as_fd()
    }
}

impl Snapshot {
    /// Reads everything, IPv4 addresses only if they matter.
    pub(crate) fn take(with_ipv4: bool) -> Result<Self, NetlinkError> {
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
        let ipv4_addresses = if with_ipv4 { connection.ipv4_addresses()? } else { Vec::new() };
        let routes = connection.routes(None)?;
        Ok(Self { links, addresses, ipv4_addresses, routes, proxies })
    }

    /// Complains of host routes that an earlier run with other links may have left behind: those
    /// that carry one of the marks, and are of none that `is_served` says are served.
    pub(crate) fn complain_of_strays(
        &self,
        marks: &[Mark],
        is_served: impl Fn(&RouteEvent) -> bool,
    ) -> Option<String> {
        let mut strays = self.routes.iter().filter_map(|event| {
            let mark = marks.iter().find(|mark| mark.is_on(event))?;
            let oif = event.oif.filter(|_| !is_served(event))?;
            Some((event.destination, oif, *mark))
        });
        let (example, first, mark) = strays.next()?;
        let mut count = 1;
        let mut places = BTreeSet::from([(mark.protocol, first, mark.table)]);
        for (_, oif, mark) in strays {
            count += 1;
            places.insert((mark.protocol, oif, mark.table));
        }
        let name = |oif: u32| {
            let link = self.links.iter().find(|link| link.ifindex == oif);
            link.map_or_else(|| format!("if{oif}"), |link| link.name.clone())
        };
        let commands: Vec<String> = places
            .iter()
            .map(|&(protocol, oif, table)| {
                let table = match table {
                    Route::MAIN_TABLE => String::new(),
                    other => format!(" table {other}"),
                };
                format!("`ip -6 route flush proto {protocol} dev {}{table}`", name(oif))
            })
            .collect();
        Some(format!(
            "host routes of a magpie lead over links that are not of this relay ({count}, such as \
             {example} dev {}); unless another magpie serves them, remove them with {}",
            name(first),
            commands.join(" and ")
        ))
    }
}

/// What there is to subscribe to.
fn groups(hears_ipv4: bool) -> Vec<Group> {
    let is_meant = |group: &Group| hears_ipv4 || *group != Group::Ipv4Address;
    Group::ALL.into_iter().filter(is_meant).collect()
}

/// The multicast groups that this host is in.
#[derive(Debug)]
pub(crate) struct JoinedGroups(BTreeSet<Membership>);

impl JoinedGroups {
    /// Reads them.
    pub(crate) fn read() -> Result<Self, NetlinkError> {
        Ok(Self(Connection::open()?.memberships()?.into_iter().collect()))
    }

    /// Reads them once more, for what was left out.
    pub(crate) fn complete(&mut self) -> Result<(), NetlinkError> {
        self.0.extend(Connection::open()?.memberships()?);
        Ok(())
    }

    /// Whether this host is in a group.
    pub(crate) fn contains(&self, ifindex: u32, group: Ipv6Addr) -> bool {
        self.0.contains(&Membership { ifindex, group })
    }
}

fn answers_by_proxy(link: &str) -> bool {
    Sysctl::conf(link, "proxy_ndp")
        .and_then(|setting| setting.read_number())
        .is_ok_and(|on| on != 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::links::samples::device;
    use crate::mark::samples::{route_by, usual};

    #[test]
    fn routes_of_ours_elsewhere_are_complained_of_with_the_remedy() {
        let foreign = RouteEvent { protocol: 4, ..route_by(4, Some(70)) };
        let mut snapshot = Snapshot {
            links: vec![device(8, "wan"), device(70, "old"), device(71, "older")],
            routes: vec![foreign, route_by(1, Some(8))],
            ..Snapshot::default()
        };
        let other = Mark { protocol: 110, table: 100, ..usual() };
        let complain = |snapshot: &Snapshot| {
            snapshot.complain_of_strays(&[usual(), other], |event| event.oif == Some(8))
        };
        assert_eq!(complain(&snapshot), None);
        snapshot.routes.extend([route_by(1, Some(70)), route_by(2, Some(70))]);
        let complaint = complain(&snapshot).unwrap();
        assert!(complaint.contains("(2, such as 2001:db8::1 dev old)"), "{complaint}");
        assert!(complaint.ends_with("`ip -6 route flush proto 109 dev old`"), "{complaint}");
        let elsewhere = RouteEvent { protocol: 110, table: 100, ..route_by(3, Some(71)) };
        snapshot.routes.push(elsewhere);
        let complaint = complain(&snapshot).unwrap();
        assert!(
            complaint.ends_with("`ip -6 route flush proto 110 dev older table 100`"),
            "{complaint}"
        );
    }
}
