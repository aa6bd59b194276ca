//! Nodes: network namespaces with links, addresses and settings.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::process::Command;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use magpie_sys::netlink::{
    AddressEvent, AddressFlags, Batch, BridgePortChange, Connection, Group, LinkChange, LinkEvent,
    LinkPlace, NeighborEvent, NeighborState, NetlinkError, NewAddress, NewBridge, NewNeighbor,
    Route, RouteEvent,
};
use magpie_sys::netns::{Entered, Namespace};
use magpie_sys::sysctl::{Sysctl, SysctlError};
use magpie_sys::tun::Tun;
use magpie_wire::LinkAddr;

use crate::wait::wait_state;
use crate::{Error, Plug};

/// A machine in the network: a namespace of its own. Dropping it removes its links and all their
/// peers' ends.
pub struct Node {
    name: String,
    namespace: Namespace,
    connection: Mutex<Connection>,
}

impl Node {
    /// Makes a machine with a loopback link and the kernel's default settings.
    ///
    /// # Errors
    ///
    /// [`Error`] if the caller may not make namespaces; see [`crate::enter`].
    pub fn new(name: impl Into<String>) -> Result<Self, Error> {
        let name = name.into();
        let fail = |source| Error::Namespace { node: name.clone(), source };
        let namespace = Namespace::new().map_err(fail)?;
        let connection = {
            let _inside = namespace.enter().map_err(fail)?;
            Connection::open().map_err(|source| Error::Netlink { node: name.clone(), source })?
        };
        let node = Self { name, namespace, connection: Mutex::new(connection) };
        node.set_up("lo")?;
        Ok(node)
    }

    /// Makes a machine for bridges, whose kernel does not speak IPv6 itself on any link.
    ///
    /// # Errors
    ///
    /// As [`Self::new`].
    pub fn switch(name: impl Into<String>) -> Result<Self, Error> {
        let node = Self::new(name)?;
        node.set_conf("default", "disable_ipv6", 1)?;
        Ok(node)
    }

    /// Adds a bridge and brings it up; returns its number.
    ///
    /// # Errors
    ///
    /// [`Error`] if there is a link of that name.
    pub fn add_bridge(&self, bridge: &Bridge<'_>) -> Result<u32, Error> {
        self.execute(format!("add the bridge {}", bridge.name), |batch| {
            batch.add_bridge(&NewBridge {
                name: bridge.name,
                place: LinkPlace { lladdr: bridge.lladdr, ..LinkPlace::default() },
                mcast_snooping: bridge.snooping,
                mcast_querier: bridge.querier,
                mcast_startup_query_interval: bridge.startup_query_interval,
            });
        })?;
        if bridge.querier {
            // A querier needs a link-local address (RFC 3810 section 5.1.14), but no more than that.
            self.set_conf(bridge.name, "accept_dad", 0)?;
            self.set_conf(bridge.name, "accept_ra", 0)?;
            self.set_conf(bridge.name, "disable_ipv6", 0)?;
        }
        self.set_up(bridge.name)?;
        self.ifindex(bridge.name)
    }

    /// Adds a tunnel device and brings it up, as VPN software does; packets that are routed into it
    /// wait at the returned end, with which it also goes.
    ///
    /// # Errors
    ///
    /// [`Error`] if there is a link of that name, or this system has no tunnel devices for the
    /// caller.
    pub fn add_tun(&self, name: &str) -> Result<Tun, Error> {
        let tun = {
            let _inside = self.enter()?;
            Tun::create(name).map_err(|source| Error::Tun { node: self.name.clone(), source })?
        };
        self.set_up(name)?;
        Ok(tun)
    }

    /// One end of a cable to lay with [`crate::connect`].
    pub fn plug<'a>(&'a self, name: &'a str) -> Plug<'a> {
        Plug::new(self, name)
    }

    /// Brings a link up.
    ///
    /// # Errors
    ///
    /// [`Error`] if there is no such link.
    pub fn set_up(&self, link: &str) -> Result<(), Error> {
        self.change(link, "bring up", &LinkChange { up: Some(true), ..LinkChange::default() })
    }

    /// Brings a link down; its peer loses its carrier.
    ///
    /// # Errors
    ///
    /// [`Error`] if there is no such link.
    pub fn set_down(&self, link: &str) -> Result<(), Error> {
        self.change(link, "bring down", &LinkChange { up: Some(false), ..LinkChange::default() })
    }

    /// Makes a link a port of a bridge of this node, or of none.
    ///
    /// # Errors
    ///
    /// [`Error`] if either is not there.
    pub fn set_bridge(&self, link: &str, bridge: Option<&str>) -> Result<(), Error> {
        let master = bridge.map(|bridge| self.ifindex(bridge)).transpose()?;
        let change = LinkChange { master: Some(master), ..LinkChange::default() };
        self.change(link, "change the bridge of", &change)
    }

    /// Tells a bridge whether a multicast router is behind a port of it: 0 never, 1 if one is
    /// heard, 2 always.
    ///
    /// # Errors
    ///
    /// [`Error`] if the link is no port.
    pub fn set_multicast_router(&self, port: &str, mode: u8) -> Result<(), Error> {
        let ifindex = self.ifindex(port)?;
        self.execute(format!("change the bridge port {port}"), |batch| {
            batch.set_bridge_port(ifindex, &BridgePortChange { mcast_router: Some(mode) });
        })
    }

    /// Changes several properties of a link at once.
    ///
    /// # Errors
    ///
    /// [`Error`] if there is no such link or the kernel refuses.
    pub fn set_link(&self, link: &str, change: &LinkChange<'_>) -> Result<(), Error> {
        self.change(link, "change", change)
    }

    /// Deletes a link, and its peer.
    ///
    /// # Errors
    ///
    /// [`Error`] if there is no such link.
    pub fn delete_link(&self, link: &str) -> Result<(), Error> {
        let ifindex = self.ifindex(link)?;
        self.execute(format!("delete {link}"), |batch| {
            batch.delete_link(ifindex);
        })
    }

    /// Writes the setting `net.ipv6.conf.LINK.KEY`; `link` may be `all` or `default`.
    ///
    /// # Errors
    ///
    /// [`Error::Sysctl`].
    pub fn set_conf(&self, link: &str, key: &str, value: impl fmt::Display) -> Result<(), Error> {
        self.set(Sysctl::conf(link, key), value)
    }

    /// Writes the setting `net.ipv4.conf.LINK.KEY`; `link` may be `all` or `default`.
    ///
    /// # Errors
    ///
    /// [`Error::Sysctl`].
    pub fn set_conf4(&self, link: &str, key: &str, value: impl fmt::Display) -> Result<(), Error> {
        self.set(Sysctl::conf4(link, key), value)
    }

    /// Writes the setting `net.ipv6.neigh.LINK.KEY`; `link` may be `default`.
    ///
    /// # Errors
    ///
    /// [`Error::Sysctl`].
    pub fn set_neigh(&self, link: &str, key: &str, value: impl fmt::Display) -> Result<(), Error> {
        self.set(Sysctl::neigh(link, key), value)
    }

    /// Reads the setting `net.ipv6.conf.LINK.KEY`.
    ///
    /// # Errors
    ///
    /// [`Error::Sysctl`].
    pub fn conf(&self, link: &str, key: &str) -> Result<String, Error> {
        let _inside = self.enter()?;
        Sysctl::conf(link, key)
            .and_then(|sysctl| sysctl.read())
            .map_err(|source| self.sysctl(source))
    }

    /// Makes the node a router that still listens to Router Advertisements.
    ///
    /// # Errors
    ///
    /// [`Error::Sysctl`].
    pub fn set_forwarding(&self) -> Result<(), Error> {
        self.set_conf("all", "forwarding", 1)?;
        self.set_conf("all", "accept_ra", 2)?;
        self.set_conf("default", "accept_ra", 2)
    }

    /// Gives an address to a link; Duplicate Address Detection starts at once and is not awaited.
    ///
    /// # Errors
    ///
    /// [`Error`] if the link has the address already.
    pub fn add_address(&self, link: &str, address: Ipv6Addr, prefix_len: u8) -> Result<(), Error> {
        self.add_address_with(link, address, prefix_len, AddressFlags::default())
    }

    /// Gives an address to a link that is usable at once, without Duplicate Address Detection.
    ///
    /// # Errors
    ///
    /// [`Error`] if the link has the address already.
    pub fn add_address_nodad(
        &self,
        link: &str,
        address: Ipv6Addr,
        prefix_len: u8,
    ) -> Result<(), Error> {
        self.add_address_with(link, address, prefix_len, AddressFlags::NODAD)
    }

    /// Gives an IPv4 address to a link.
    ///
    /// # Errors
    ///
    /// [`Error`] if the link has the address already.
    pub fn add_address4(&self, link: &str, address: Ipv4Addr, prefix_len: u8) -> Result<(), Error> {
        let ifindex = self.ifindex(link)?;
        self.execute(format!("add {address}/{prefix_len} to {link}"), |batch| {
            batch.add_address4(ifindex, address, prefix_len);
        })
    }

    /// Takes an address from a link.
    ///
    /// # Errors
    ///
    /// [`Error`] if the link does not have it.
    pub fn delete_address(
        &self,
        link: &str,
        address: Ipv6Addr,
        prefix_len: u8,
    ) -> Result<(), Error> {
        let ifindex = self.ifindex(link)?;
        self.execute(format!("take {address}/{prefix_len} from {link}"), |batch| {
            batch.delete_address(ifindex, address, prefix_len);
        })
    }

    /// Waits until an address of a link is usable, or until it turned out to be a duplicate.
    ///
    /// # Errors
    ///
    /// [`Error::Awaited`] after `limit`.
    pub fn wait_address(
        &self,
        link: &str,
        address: Ipv6Addr,
        state: AddressState,
        limit: Duration,
    ) -> Result<(), Error> {
        let what = format!("{address} on {link} of {} to be {state}", self.name);
        let matches = |found: &AddressEvent| found.address == address && state.is(found);
        self.wait_addresses(link, limit, &what, |found| found.iter().find(|f| matches(f)).map(drop))
    }

    /// Waits until a link has a usable address within a prefix, and returns it: one that the host
    /// made itself from a Router Advertisement, say.
    ///
    /// # Errors
    ///
    /// [`Error::Awaited`] after `limit`.
    pub fn wait_address_in(
        &self,
        link: &str,
        prefix: Ipv6Addr,
        prefix_len: u8,
        limit: Duration,
    ) -> Result<Ipv6Addr, Error> {
        let what = format!("a valid address in {prefix}/{prefix_len} on {link} of {}", self.name);
        let mask = u128::MAX.checked_shl(128 - u32::from(prefix_len)).unwrap_or(0);
        self.wait_addresses(link, limit, &what, |found| {
            found
                .iter()
                .find(|found| {
                    (found.address.to_bits() ^ prefix.to_bits()) & mask == 0
                        && AddressState::Valid.is(found)
                })
                .map(|found| found.address)
        })
    }

    /// Waits for the link-local address of a link and returns it.
    ///
    /// # Errors
    ///
    /// [`Error::Awaited`] after `limit`.
    pub fn wait_link_local(&self, link: &str, limit: Duration) -> Result<Ipv6Addr, Error> {
        self.wait_address_in(link, Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0), 10, limit)
    }

    /// Waits until `look` finds something in the addresses of a link, now or after a change.
    ///
    /// # Errors
    ///
    /// [`Error::Awaited`] after `limit`, naming the addresses that were there.
    pub fn wait_addresses<T>(
        &self,
        link: &str,
        limit: Duration,
        what: &str,
        mut look: impl FnMut(&[AddressEvent]) -> Option<T>,
    ) -> Result<T, Error> {
        wait_state(self, &[Group::Address], limit, what, || {
            let addresses = self.addresses(link)?;
            Ok(look(&addresses).ok_or(addresses))
        })
    }

    /// Waits until `look` finds something in a link's state, now or after a change.
    ///
    /// # Errors
    ///
    /// [`Error::Awaited`] after `limit`, with the state that the link was in.
    pub fn wait_link<T>(
        &self,
        link: &str,
        limit: Duration,
        what: &str,
        mut look: impl FnMut(&LinkEvent) -> Option<T>,
    ) -> Result<T, Error> {
        wait_state(self, &[Group::Link], limit, what, || {
            let state = self.link(link)?;
            Ok(look(&state).ok_or(state))
        })
    }

    /// Waits until a link has a carrier, or has none.
    ///
    /// # Errors
    ///
    /// [`Error::Awaited`] after five seconds: the kernel takes a few milliseconds, seldom a second.
    pub fn wait_carrier(&self, link: &str, carrier: bool) -> Result<(), Error> {
        let what = format!(
            "{} on {link} of {}",
            if carrier { "a carrier" } else { "no carrier" },
            self.name
        );
        self.wait_link(link, CARRIER_LIMIT, &what, |state| (state.carrier == carrier).then_some(()))
    }

    /// Waits until `look` finds something in the routes, now or after a change.
    ///
    /// # Errors
    ///
    /// [`Error::Awaited`] after `limit`, with the routes that were there.
    pub fn wait_routes<T>(
        &self,
        limit: Duration,
        what: &str,
        mut look: impl FnMut(&[RouteEvent]) -> Option<T>,
    ) -> Result<T, Error> {
        wait_state(self, &[Group::Route], limit, what, || {
            let routes = self.routes()?;
            Ok(look(&routes).ok_or(routes))
        })
    }

    /// Waits until `look` finds something in the neighbors, now or after a change.
    ///
    /// # Errors
    ///
    /// [`Error::Awaited`] after `limit`, with the neighbors that were there.
    pub fn wait_neighbors<T>(
        &self,
        limit: Duration,
        what: &str,
        mut look: impl FnMut(&[NeighborEvent]) -> Option<T>,
    ) -> Result<T, Error> {
        wait_state(self, &[Group::Neighbor], limit, what, || {
            let neighbors = self.neighbors()?;
            Ok(look(&neighbors).ok_or(neighbors))
        })
    }

    /// Adds a route.
    ///
    /// # Errors
    ///
    /// [`Error`] if the kernel refuses.
    pub fn add_route(&self, route: &Route) -> Result<(), Error> {
        self.execute(format!("add the route {route:?}"), |batch| {
            batch.add_route(route);
        })
    }

    /// Adds a default route by way of a router on a link.
    ///
    /// # Errors
    ///
    /// [`Error`] if the kernel refuses.
    pub fn add_default_route(&self, link: &str, gateway: Ipv6Addr) -> Result<(), Error> {
        let oif = self.ifindex(link)?;
        let route = Route::on_link(Ipv6Addr::UNSPECIFIED, 0, oif);
        self.add_route(&Route { gateway: Some(gateway), ..route })
    }

    /// Deletes a route.
    ///
    /// # Errors
    ///
    /// [`Error`] if there is no such route.
    pub fn delete_route(&self, route: &Route) -> Result<(), Error> {
        self.execute(format!("delete the route {route:?}"), |batch| {
            batch.delete_route(route);
        })
    }

    /// Puts a neighbor into the cache for good.
    ///
    /// # Errors
    ///
    /// [`Error`] if there is no such link.
    pub fn add_permanent_neighbor(
        &self,
        link: &str,
        address: Ipv6Addr,
        lladdr: LinkAddr,
    ) -> Result<(), Error> {
        let ifindex = self.ifindex(link)?;
        self.execute(format!("add the neighbor {address} on {link}"), |batch| {
            batch.replace_neighbor(&NewNeighbor {
                ifindex,
                address,
                lladdr,
                state: NeighborState::PERMANENT,
            });
        })
    }

    /// Makes the kernel itself answer for an address on a link, given the setting `proxy_ndp`.
    ///
    /// # Errors
    ///
    /// [`Error`] if there is no such link.
    pub fn add_proxy_neighbor(&self, link: &str, address: Ipv6Addr) -> Result<(), Error> {
        let ifindex = self.ifindex(link)?;
        self.execute(format!("answer for {address} on {link}"), |batch| {
            batch.add_proxy_neighbor(ifindex, address);
        })
    }

    /// Forgets all neighbors on a link but those set by an administrator.
    ///
    /// # Errors
    ///
    /// [`Error`] if there is no such link.
    pub fn flush_neighbors(&self, link: &str) -> Result<(), Error> {
        let ifindex = self.ifindex(link)?;
        let keep = NeighborState::PERMANENT | NeighborState::NOARP;
        let neighbors = self.neighbors()?;
        let flushed = neighbors
            .iter()
            .filter(|found| found.ifindex == ifindex && !found.state.intersects(keep));
        for neighbor in flushed {
            let result = self.connection().execute("flush a neighbor", |batch| {
                batch.delete_neighbor(ifindex, neighbor.address);
            });
            match result {
                // The kernel's own garbage collection was faster.
                Err(error) if error.errno() == Some(magpie_sys::netlink::Errno::NOENT) => {}
                result => result.map_err(|source| self.netlink(source))?,
            }
        }
        Ok(())
    }

    /// The state of a link.
    ///
    /// # Errors
    ///
    /// [`Error::NoLink`] if there is no such link.
    pub fn link(&self, link: &str) -> Result<LinkEvent, Error> {
        let found = self.connection().link(link).map_err(|source| self.netlink(source))?;
        found.ok_or_else(|| Error::NoLink { node: self.name.clone(), link: link.to_owned() })
    }

    /// The number of a link.
    ///
    /// # Errors
    ///
    /// [`Error::NoLink`] if there is no such link.
    pub fn ifindex(&self, link: &str) -> Result<u32, Error> {
        self.link(link).map(|link| link.ifindex)
    }

    /// The link-layer address of a link.
    ///
    /// # Errors
    ///
    /// [`Error::NoLink`] or [`Error::NoLinkAddr`].
    pub fn lladdr(&self, link: &str) -> Result<LinkAddr, Error> {
        self.link(link)?
            .lladdr
            .ok_or_else(|| Error::NoLinkAddr { node: self.name.clone(), link: link.to_owned() })
    }

    /// The IPv6 addresses of a link.
    ///
    /// # Errors
    ///
    /// [`Error::NoLink`] if there is no such link.
    pub fn addresses(&self, link: &str) -> Result<Vec<AddressEvent>, Error> {
        let ifindex = self.ifindex(link)?;
        let mut addresses = self.connection().addresses().map_err(|source| self.netlink(source))?;
        addresses.retain(|address| address.ifindex == ifindex);
        Ok(addresses)
    }

    /// The IPv6 routes of all tables.
    ///
    /// # Errors
    ///
    /// [`Error::Netlink`].
    pub fn routes(&self) -> Result<Vec<RouteEvent>, Error> {
        self.connection().routes(None).map_err(|source| self.netlink(source))
    }

    /// The IPv6 neighbors in the cache.
    ///
    /// # Errors
    ///
    /// [`Error::Netlink`].
    pub fn neighbors(&self) -> Result<Vec<NeighborEvent>, Error> {
        self.connection().neighbors().map_err(|source| self.netlink(source))
    }

    /// Carries out requests for which there is no method here; `action` completes "cannot ...".
    ///
    /// # Errors
    ///
    /// [`Error::Netlink`] with the first refusal.
    pub fn execute(
        &self,
        action: impl fmt::Display,
        fill: impl FnOnce(&mut Batch),
    ) -> Result<(), Error> {
        self.connection().execute(action, fill).map_err(|source| self.netlink(source))
    }

    /// Moves the calling thread into the node until the guard is dropped. Sockets opened meanwhile
    /// stay in the node.
    ///
    /// # Errors
    ///
    /// [`Error::Namespace`].
    pub fn enter(&self) -> Result<Entered, Error> {
        self.namespace
            .enter()
            .map_err(|source| Error::Namespace { node: self.name.clone(), source })
    }

    /// A command that will run inside the node.
    ///
    /// # Errors
    ///
    /// [`Error::Namespace`].
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Result<Command, Error> {
        let mut command = Command::new(program);
        self.namespace
            .attach(&mut command)
            .map_err(|source| Error::Namespace { node: self.name.clone(), source })?;
        Ok(command)
    }

    /// What it was called when it was made.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its namespace.
    pub fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    fn add_address_with(
        &self,
        link: &str,
        address: Ipv6Addr,
        prefix_len: u8,
        flags: AddressFlags,
    ) -> Result<(), Error> {
        let ifindex = self.ifindex(link)?;
        self.execute(format!("add {address}/{prefix_len} to {link}"), |batch| {
            batch.add_address(&NewAddress {
                flags,
                ..NewAddress::new(ifindex, address, prefix_len)
            });
        })
    }

    fn change(&self, link: &str, verb: &str, change: &LinkChange<'_>) -> Result<(), Error> {
        let ifindex = self.ifindex(link)?;
        self.execute(format!("{verb} {link}"), |batch| {
            batch.set_link(ifindex, change);
        })
    }

    fn set(
        &self,
        sysctl: Result<Sysctl, SysctlError>,
        value: impl fmt::Display,
    ) -> Result<(), Error> {
        let _inside = self.enter()?;
        sysctl.and_then(|sysctl| sysctl.write(value)).map_err(|source| self.sysctl(source))
    }

    fn connection(&self) -> std::sync::MutexGuard<'_, Connection> {
        // A connection is usable after any panic: it skips answers that are not its own.
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn netlink(&self, source: NetlinkError) -> Error {
        Error::Netlink { node: self.name.clone(), source }
    }

    fn sysctl(&self, source: SysctlError) -> Error {
        Error::Sysctl { node: self.name.clone(), source }
    }
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Node").field("name", &self.name).finish_non_exhaustive()
    }
}

/// A bridge to add to a node.
#[derive(Clone, Copy, Debug)]
pub struct Bridge<'a> {
    name: &'a str,
    lladdr: Option<LinkAddr>,
    snooping: bool,
    querier: bool,
    startup_query_interval: Option<Duration>,
}

impl<'a> Bridge<'a> {
    /// A bridge that floods multicast.
    pub fn new(name: &'a str) -> Self {
        Self { name, lladdr: None, snooping: false, querier: false, startup_query_interval: None }
    }

    /// With this link-layer address instead of a random one.
    #[must_use]
    pub fn lladdr(self, lladdr: LinkAddr) -> Self {
        Self { lladdr: Some(lladdr), ..self }
    }

    /// Forwards multicast only to ports that asked for the group, as soon as it has been a querier
    /// for a while; asks for the groups itself, the first times at this interval of at least a
    /// second.
    #[must_use]
    pub fn snooping(self, startup_query_interval: Duration) -> Self {
        Self {
            snooping: true,
            querier: true,
            startup_query_interval: Some(startup_query_interval),
            ..self
        }
    }
}

/// How far Duplicate Address Detection is with an address.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum AddressState {
    /// It found no duplicate.
    Valid,
    /// It found a duplicate.
    Duplicate,
    /// It is still at it.
    Tentative,
}

impl AddressState {
    fn is(self, address: &AddressEvent) -> bool {
        self == if address.is_duplicate() {
            Self::Duplicate
        } else if address.is_tentative() {
            Self::Tentative
        } else {
            Self::Valid
        }
    }
}

impl fmt::Display for AddressState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Valid => "valid",
            Self::Duplicate => "a duplicate",
            Self::Tentative => "tentative",
        })
    }
}

const CARRIER_LIMIT: Duration = Duration::from_secs(5);
