//! A minimal sender of Router Advertisements (RFC 4861 section 6.2).

use std::net::{Ipv6Addr, SocketAddrV6};
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use magpie_wire::{ALL_NODES, ALL_ROUTERS, LinkAddr};
use rustix::io::Errno;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, sockopt};

use crate::background::{Background, Stop, Woken};
use crate::{Error, Node};

/// What a router announces.
#[derive(Clone, Debug)]
pub struct RouterAdvertiserOptions {
    /// The prefixes.
    pub prefixes: Vec<AdvertisedPrefix>,
    /// How long it is a default router, at most 65,535 seconds; zero if it is none.
    pub router_lifetime: Duration,
    /// The largest packet that the hosts shall send.
    pub mtu: Option<u32>,
    /// The time between two advertisements that nobody asked for.
    pub interval: Duration,
}

impl RouterAdvertiserOptions {
    /// A default router for half an hour with one prefix of 64 bits, which speaks every second.
    pub fn new(prefix: Ipv6Addr) -> Self {
        Self {
            prefixes: vec![AdvertisedPrefix::new(prefix)],
            router_lifetime: Duration::from_secs(1800),
            mtu: None,
            interval: Duration::from_secs(1),
        }
    }
}

/// A prefix to announce (RFC 4861 section 4.6.2).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct AdvertisedPrefix {
    /// The prefix.
    pub prefix: Ipv6Addr,
    /// How many of its bits count.
    pub prefix_len: u8,
    /// L: its addresses are on the link.
    pub on_link: bool,
    /// A: hosts make addresses of it.
    pub autonomous: bool,
    /// The valid lifetime in seconds; all ones for ever.
    pub valid_lifetime: u32,
    /// The preferred lifetime in seconds; all ones for ever.
    pub preferred_lifetime: u32,
}

impl AdvertisedPrefix {
    /// A prefix of 64 bits with both flags and the standard's lifetimes.
    pub const fn new(prefix: Ipv6Addr) -> Self {
        Self {
            prefix,
            prefix_len: 64,
            on_link: true,
            autonomous: true,
            valid_lifetime: 2_592_000,
            preferred_lifetime: 604_800,
        }
    }
}

/// Sends Router Advertisements from a link of a node until it is dropped, at once and in answer to
/// Router Solicitations too.
#[derive(Debug)]
pub struct RouterAdvertiser {
    /// Ends the thread when dropped.
    _thread: Background,
}

impl RouterAdvertiser {
    /// Waits for the link to have a valid link-local address, and starts.
    ///
    /// # Errors
    ///
    /// [`Error`] if there is no such link or it gets no link-local address within five seconds.
    pub fn start(
        node: &Node,
        link: &str,
        options: &RouterAdvertiserOptions,
    ) -> Result<Self, Error> {
        let source = node.wait_link_local(link, ADDRESS_LIMIT)?;
        let ifindex = node.ifindex(link)?;
        let fail = |source: Errno| {
            let place = format!("{link} of {}", node.name());
            Error::system(format!("open a socket for Router Advertisements on {place}"), source)
        };
        let socket = {
            let _inside = node.enter()?;
            open(source, ifindex).map_err(fail)?
        };
        let message = message(options, node.lladdr(link)?);
        let destination = SocketAddrV6::new(ALL_NODES, 0, 0, ifindex);
        let interval = options.interval;
        let thread = Background::start("advertiser", move |stop| {
            run(&socket, &message, &destination, interval, stop);
        })
        .map_err(|source| Error::system("start a thread for Router Advertisements", source))?;
        Ok(Self { _thread: thread })
    }
}

fn run(
    socket: &OwnedFd,
    message: &[u8],
    destination: &SocketAddrV6,
    interval: Duration,
    stop: &Stop,
) {
    let mut next = Instant::now();
    loop {
        if Instant::now() >= next {
            // While the link is down nothing can be sent; the next one will be.
            let _ = rustix::net::sendto(socket, message, SendFlags::empty(), destination);
            next = Instant::now() + interval;
        }
        match stop.wait(&[socket.as_fd()], Some(next)) {
            Ok(Woken::Stop) | Err(_) => return,
            Ok(Woken::Readable | Woken::Deadline) => {}
        }
        let mut first = [0; 1];
        while let Ok((_, len)) = rustix::net::recv(socket, &mut first, RecvFlags::empty()) {
            if len > 0 && first == [ROUTER_SOLICITATION] {
                next = Instant::now();
            }
        }
    }
}

/// A socket that sends from `source` and hears what arrives on the same link.
fn open(source: Ipv6Addr, ifindex: u32) -> Result<OwnedFd, Errno> {
    let socket = rustix::net::socket_with(
        AddressFamily::INET6,
        SocketType::RAW,
        SocketFlags::CLOEXEC | SocketFlags::NONBLOCK,
        Some(rustix::net::ipproto::ICMPV6),
    )?;
    // Being bound to a link-local address ties it to the link.
    rustix::net::bind(&socket, &SocketAddrV6::new(source, 0, 0, ifindex))?;
    sockopt::set_ipv6_multicast_hops(&socket, 255)?;
    sockopt::set_ipv6_multicast_loop(&socket, false)?;
    sockopt::set_ipv6_add_membership(&socket, &ALL_ROUTERS, ifindex)?;
    Ok(socket)
}

/// The ICMPv6 message; the kernel fills in the checksum.
fn message(options: &RouterAdvertiserOptions, lladdr: LinkAddr) -> Vec<u8> {
    let mut message = vec![ROUTER_ADVERTISEMENT, 0, 0, 0, CUR_HOP_LIMIT, 0];
    let lifetime = u16::try_from(options.router_lifetime.as_secs()).unwrap_or(u16::MAX);
    message.extend_from_slice(&lifetime.to_be_bytes());
    // Neither a reachable time nor a retransmission timer is prescribed.
    message.extend_from_slice(&[0; 8]);
    message.extend_from_slice(&[SOURCE_LLADDR, 1]);
    message.extend_from_slice(&lladdr.0);
    if let Some(mtu) = options.mtu {
        message.extend_from_slice(&[MTU, 1, 0, 0]);
        message.extend_from_slice(&mtu.to_be_bytes());
    }
    for prefix in &options.prefixes {
        let flags = u8::from(prefix.on_link) << 7 | u8::from(prefix.autonomous) << 6;
        message.extend_from_slice(&[PREFIX_INFORMATION, 4, prefix.prefix_len, flags]);
        message.extend_from_slice(&prefix.valid_lifetime.to_be_bytes());
        message.extend_from_slice(&prefix.preferred_lifetime.to_be_bytes());
        message.extend_from_slice(&[0; 4]);
        message.extend_from_slice(&prefix.prefix.octets());
    }
    message
}

const ADDRESS_LIMIT: Duration = Duration::from_secs(5);
const CUR_HOP_LIMIT: u8 = 64;
const ROUTER_SOLICITATION: u8 = 133;
const ROUTER_ADVERTISEMENT: u8 = 134;
const SOURCE_LLADDR: u8 = 1;
const PREFIX_INFORMATION: u8 = 3;
const MTU: u8 = 5;
