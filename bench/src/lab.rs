//! Builds the network of a measurement: hosts upstream, a router, hosts inside.
//!
//! ```text
//! upstream  up0 <--veth--> wan  router under test  lan <--veth--> in0  inside
//! ```
//!
//! The load generator plays all hosts on packet sockets; the kernels of both ends stay out of it.
//! Every measurement gets a network of its own, so that it starts from empty tables.

use std::io;
use std::net::Ipv6Addr;
use std::os::fd::AsFd;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use magpie_sys::link_socket::LinkSocket;
use magpie_sys::netlink::{
    AddressFlags, Change, Connection, Event, Group, LinkChange, LinkEvent, LinkPlace, Monitor,
    NewAddress, Route, VethEnd,
};
use magpie_sys::netns::Namespace;
use magpie_sys::packet::{PacketSocket, SocketOptions};
use magpie_sys::sysctl::Sysctl;
use magpie_wire::LinkAddr;

use crate::cpu;
use crate::error::BenchError;
use crate::targets::{PREFIX, PREFIX_LEN};

/// The router's link to the hosts upstream.
pub(crate) const WAN: &str = "wan";
/// The router's link to the hosts inside.
pub(crate) const LAN: &str = "lan";
/// The router's address on [`WAN`].
pub(crate) const WAN_ADDRESS: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);
/// The router's address on [`LAN`].
pub(crate) const LAN_ADDRESS: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 1, 1);
/// The address of the host upstream that asks.
pub(crate) const ASKER_ADDRESS: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 2);
/// The router's link-layer address on [`WAN`].
pub(crate) const WAN_LLADDR: LinkAddr = LinkAddr([0x02, 0x07, 0, 0, 0, 1]);
/// The router's link-layer address on [`LAN`].
pub(crate) const LAN_LLADDR: LinkAddr = LinkAddr([0x02, 0x07, 0, 0, 1, 1]);
/// The link-layer address of the host upstream that asks.
pub(crate) const ASKER_LLADDR: LinkAddr = LinkAddr([0x02, 0x07, 0, 0, 0, 2]);

/// Where the router's kernel believes the hosts of the prefix to be.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Layout {
    /// Upstream: the prefix is on-link on [`WAN`], as a router has it that got its own address
    /// from there.
    Upstream,
    /// Inside: the prefix is routed to [`LAN`], and the router has a single address on [`WAN`].
    Inside,
}

/// A network with a router under test.
#[derive(Debug)]
pub(crate) struct Lab {
    router: Namespace,
    upstream: Namespace,
    inside: Namespace,
    steered: bool,
}

/// The ends of the network that the load generator plays.
#[derive(Debug)]
pub(crate) struct Ends {
    /// Upstream.
    pub(crate) upstream: PacketSocket,
    /// Inside; it sees the frames for all stations, since the hosts there have an address each.
    pub(crate) inside: LinkSocket,
}

impl Lab {
    /// Builds the network and waits until its links are up.
    pub(crate) fn new(layout: Layout) -> Result<Self, BenchError> {
        let [router, upstream, inside] = [Namespace::new()?, Namespace::new()?, Namespace::new()?];
        for namespace in [&router, &upstream, &inside] {
            namespace.run(|| {
                // Addresses are given by hand: no duplicate address detection, no advertisements.
                for key in ["accept_ra", "accept_dad"] {
                    Sysctl::conf("all", key)?.write(0)?;
                    Sysctl::conf("default", key)?.write(0)?;
                }
                Sysctl::conf("default", "addr_gen_mode")?.write(NO_ADDRESS_GENERATION)
            })??;
        }
        router.run(|| connect(&upstream, &inside))??;
        let ends = [(&upstream, UPSTREAM), (&inside, INSIDE)];
        for (namespace, name) in ends {
            namespace.run(|| open_end(name))??;
        }
        router.run(|| configure(layout))??;
        let mut steered = true;
        for (namespace, name) in ends {
            steered &= namespace.run(|| cpu::steer(name, cpu::NETWORK))?.is_ok();
        }
        for name in [WAN, LAN] {
            steered &= router.run(|| cpu::steer(name, cpu::ROUTER))?.is_ok();
        }
        Ok(Self { router, upstream, inside, steered })
    }

    /// Whether the kernel's own work for the router's links stays on the router's processor.
    pub(crate) fn is_steered(&self) -> bool {
        self.steered
    }

    /// Opens the ends of the network.
    pub(crate) fn ends(&self) -> Result<Ends, BenchError> {
        let upstream = self.upstream.run(|| {
            let ifindex = index(&mut Connection::open()?, UPSTREAM)?;
            Ok::<_, BenchError>(PacketSocket::open(ifindex, &SocketOptions::default())?)
        })??;
        let inside = self.inside.run(|| {
            let ifindex = index(&mut Connection::open()?, INSIDE)?;
            let socket = LinkSocket::open(ifindex)?;
            socket.set_promiscuous(ifindex, true)?;
            Ok::<_, BenchError>(socket)
        })??;
        Ok(Ends { upstream, inside })
    }

    /// Opens sockets for all frames at the ends of the network, upstream first.
    pub(crate) fn link_sockets(&self) -> Result<[LinkSocket; 2], BenchError> {
        let open = |namespace: &Namespace, name| {
            namespace.run(|| {
                let ifindex = index(&mut Connection::open()?, name)?;
                let socket = LinkSocket::open(ifindex)?;
                socket.set_promiscuous(ifindex, true)?;
                Ok::<_, BenchError>(socket)
            })?
        };
        Ok([open(&self.upstream, UPSTREAM)?, open(&self.inside, INSIDE)?])
    }

    /// Starts a program on the router and on its processor; returns it and the moment before.
    pub(crate) fn start(&self, command: &mut Command) -> Result<(Child, Instant), BenchError> {
        let program = command.get_program().to_string_lossy().into_owned();
        let started: Result<(io::Result<Child>, Instant), BenchError> = self.router.run(|| {
            // The child inherits both the namespace and the processor.
            cpu::pin(cpu::ROUTER)?;
            cpu::take_time();
            let before = Instant::now();
            Ok((command.spawn(), before))
        })?;
        let (child, before) = started?;
        Ok((child.map_err(|source| BenchError::Start { program, source })?, before))
    }
}

/// Makes the links, on the router.
fn connect(upstream: &Namespace, inside: &Namespace) -> Result<(), BenchError> {
    let mut connection = Connection::open()?;
    let pairs = [
        (WAN, WAN_LLADDR, UPSTREAM, ASKER_LLADDR, upstream),
        (LAN, LAN_LLADDR, INSIDE, INSIDE_LLADDR, inside),
    ];
    for (near, near_lladdr, far, far_lladdr, namespace) in pairs {
        let near = VethEnd {
            name: near,
            place: LinkPlace { lladdr: Some(near_lladdr), ..LinkPlace::default() },
        };
        let far = VethEnd {
            name: far,
            place: LinkPlace {
                lladdr: Some(far_lladdr),
                namespace: Some(namespace.as_fd()),
                ..LinkPlace::default()
            },
        };
        connection.execute(format_args!("make the link {}", near.name), |batch| {
            batch.add_veth(&near, &far);
        })?;
    }
    Ok(())
}

/// Takes the kernel out of an end, and brings that up.
fn open_end(name: &'static str) -> Result<(), BenchError> {
    Sysctl::conf(name, "disable_ipv6")?.write(1)?;
    let mut connection = Connection::open()?;
    let ifindex = index(&mut connection, name)?;
    bring_up(&mut connection, ifindex)
}

/// Gives the router its addresses and routes, and waits until its links are up.
fn configure(layout: Layout) -> Result<(), BenchError> {
    Sysctl::conf("all", "forwarding")?.write(1)?;
    let mut monitor = Monitor::open(&[Group::Link])?;
    let mut connection = Connection::open()?;
    let (wan, lan) = (index(&mut connection, WAN)?, index(&mut connection, LAN)?);
    for ifindex in [wan, lan] {
        bring_up(&mut connection, ifindex)?;
    }
    let own = |ifindex, address, prefix_len| NewAddress {
        flags: AddressFlags::NODAD,
        ..NewAddress::new(ifindex, address, prefix_len)
    };
    let global = Ipv6Addr::from_bits(PREFIX.to_bits() | 1);
    connection.execute("give addresses to the router", |batch| {
        batch.add_address(&own(wan, WAN_ADDRESS, 64));
        batch.add_address(&own(lan, LAN_ADDRESS, 64));
        match layout {
            Layout::Upstream => batch.add_address(&own(wan, global, PREFIX_LEN)),
            Layout::Inside => batch.add_address(&own(wan, global, 128)),
        };
    })?;
    if layout == Layout::Inside {
        let mut default = Route::on_link(Ipv6Addr::UNSPECIFIED, 0, wan);
        default.gateway = Some(ASKER_ADDRESS);
        connection.execute("give routes to the router", |batch| {
            batch.add_route(&Route::on_link(PREFIX, PREFIX_LEN, lan));
            batch.add_route(&default);
        })?;
    }
    await_carrier(&mut monitor, &mut connection, [wan, lan])
}

fn bring_up(connection: &mut Connection, ifindex: u32) -> Result<(), BenchError> {
    let up = LinkChange { up: Some(true), ..LinkChange::default() };
    connection.execute(format_args!("bring link {ifindex} up"), |batch| {
        batch.set_link(ifindex, &up);
    })?;
    Ok(())
}

fn index(connection: &mut Connection, name: &'static str) -> Result<u32, BenchError> {
    let link = connection.link(name)?;
    link.map(|link| link.ifindex).ok_or(BenchError::NoLink { name })
}

/// Waits until the kernel uses the links: it does so some time after their peers came up.
fn await_carrier(
    monitor: &mut Monitor,
    connection: &mut Connection,
    links: [u32; 2],
) -> Result<(), BenchError> {
    let mut waiting: Vec<u32> = links.to_vec();
    let mut note = |link: &LinkEvent| {
        waiting.retain(|&waiting| !(waiting == link.ifindex && link.carrier));
        waiting.is_empty()
    };
    let mut ready = false;
    for link in connection.links()? {
        ready = note(&link);
    }
    let deadline = Instant::now() + CARRIER_LIMIT;
    while !ready {
        if !monitor.wait_readable(deadline)? {
            return Err(BenchError::NoCarrier { limit: CARRIER_LIMIT });
        }
        monitor.read(|event| {
            if let Event::Link(Change::Present(link)) = event {
                ready = note(&link);
            }
        })?;
    }
    Ok(())
}

/// The links at the ends.
const UPSTREAM: &str = "up0";
const INSIDE: &str = "in0";
const INSIDE_LLADDR: LinkAddr = LinkAddr([0x02, 0x07, 0, 0, 1, 2]);
/// `IN6_ADDR_GEN_MODE_NONE`.
const NO_ADDRESS_GENERATION: u8 = 1;
const CARRIER_LIMIT: Duration = Duration::from_secs(5);
