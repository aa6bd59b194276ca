//! Opens packet sockets that see the Neighbor Discovery of one link, or the datagrams by which
//! services are found there, and little else.

use std::cell::Cell;
use std::io;
use std::mem::{self, MaybeUninit};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::ptr;

use ipnet::Ipv6Net;
use magpie_wire::LinkAddr;
use magpie_wire::datagram::{MDNS_GROUP_V4, MDNS_GROUP_V6, MDNS_PORT, group_lladdr};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with, sockopt};

use crate::filter;
use crate::framing::Framing;
use crate::raw_option::{attach_filter, set_option};

/// A packet socket on one link, non-blocking.
///
/// It receives what the module's filter accepts for its [`Purpose`]. It never receives what was
/// sent through itself, nor what was sent to another station. Frames are received with
/// [`crate::batch::RecvBatch`] and sent with [`crate::batch::SendBatch`] or [`crate::batch::send`].
///
/// While it is open, an Ethernet link receives what it is for, also after the link went down and up:
/// all multicast, or the groups of the services.
#[derive(Debug)]
pub struct PacketSocket {
    fd: OwnedFd,
    /// The kernel takes interface indices as signed numbers, and gives out positive ones.
    ifindex: i32,
    framing: Framing,
    purpose: Purpose,
    promiscuous: bool,
    watched: Watched,
    /// The kernel forgets its counts when it is asked for them.
    counted: Cell<Statistics>,
    /// Lost frames that no batch has told of yet.
    untold: Cell<u32>,
    /// Full batches since the kernel was last asked what it lost.
    full_batches: Cell<u32>,
}

/// How a socket shall be opened.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct SocketOptions {
    /// What frames on the link begin with; [`Framing::of`] tells.
    pub framing: Framing,
    /// Makes the link receive frames for all stations: some drivers and their firmware lose
    /// multicast otherwise. What the socket receives is the same.
    pub promiscuous: bool,
    /// What it is to receive.
    pub purpose: Purpose,
}

/// What a socket receives.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Purpose {
    /// Neighbor Discovery, MLD queries and reports, and Multicast Router Solicitations from the
    /// link; of what this host itself sends, Neighbor Solicitations and Destination Unreachable (no
    /// route, no neighbor), and on links without link-layer addresses what
    /// [`PacketSocket::watch`] names.
    #[default]
    NeighborDiscovery,
    /// Datagrams by which services are found, from the link only.
    Services(Services),
}

/// Which datagrams are received: those to the groups of multicast DNS (RFC 6762 section 3) in any
/// case, over IPv4 and IPv6.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Services {
    /// The port of this host that answers come to, which one socket asked for on behalf of others.
    /// They come from port 5353, unless other services are wanted.
    pub replies: Option<u16>,
    /// Datagrams to the groups of SSDP (`UPnP` Device Architecture section 1).
    pub ssdp: bool,
    /// Datagrams to the groups of WS-Discovery.
    pub ws_discovery: bool,
}

/// What is watched on a link without link-layer addresses.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
struct Watched {
    prefixes: Vec<Ipv6Net>,
    except: Vec<Ipv6Addr>,
}

/// What the kernel counted since it was last asked.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Statistics {
    /// Frames that passed the filter and were queued.
    pub queued: u32,
    /// Frames that passed the filter and were lost for want of room in the receive buffer.
    pub dropped: u32,
}

/// Why a socket cannot be opened or set up.
#[derive(Debug, thiserror::Error)]
pub enum PacketError {
    /// The process may not open packet sockets.
    #[error("cannot open a packet socket: this takes the capability CAP_NET_RAW")]
    Permission(#[source] io::Error),
    /// No link has this index.
    #[error("link {ifindex} does not exist")]
    NoLink {
        /// Interface index of the link.
        ifindex: u32,
        /// The kernel's word.
        source: io::Error,
    },
    /// Frames on this link have no Ethernet header.
    #[error("link {ifindex} is not an Ethernet link (hardware type {hardware_type})")]
    NotEthernet {
        /// Interface index of the link.
        ifindex: u32,
        /// What it is instead, as an `ARPHRD_` number.
        hardware_type: u16,
    },
    /// Frames on this link do not begin with the IPv6 header.
    #[error(
        "link {ifindex} is not one without link-layer addresses (hardware type {hardware_type})"
    )]
    NotBare {
        /// Interface index of the link.
        ifindex: u32,
        /// What it is instead, as an `ARPHRD_` number.
        hardware_type: u16,
    },
    /// Another step failed.
    #[error("cannot {attempt} the packet socket of link {ifindex}")]
    System {
        /// What was tried.
        attempt: &'static str,
        /// Interface index of the link.
        ifindex: u32,
        /// Why it failed.
        source: io::Error,
    },
}

/// What befell the link under an open socket.
#[derive(Debug, thiserror::Error)]
pub enum LinkFault {
    /// The link went down. The socket works again when the link comes up.
    #[error("link {ifindex} went down")]
    Down {
        /// Interface index of the link.
        ifindex: u32,
    },
    /// The link no longer exists, and the socket is of no further use.
    #[error("link {ifindex} has gone")]
    Gone {
        /// Interface index of the link.
        ifindex: u32,
    },
    /// The kernel reports something else. Whether the socket is still of use nobody can tell: a
    /// new one should take its place.
    #[error("link {ifindex} reports an error")]
    Other {
        /// Interface index of the link.
        ifindex: u32,
        /// What it is.
        source: io::Error,
    },
}

impl PacketSocket {
    /// Opens a socket on the link `ifindex`.
    ///
    /// The filter is in place before the first frame can be queued, and where it will not change
    /// any more, locked. On a link that is down this succeeds; the socket reports
    /// [`LinkFault::Down`] once.
    ///
    /// # Errors
    ///
    /// [`PacketError`]: no privilege, no such link, or a link of another kind.
    pub fn open(ifindex: u32, options: &SocketOptions) -> Result<Self, PacketError> {
        let Some(index) = i32::try_from(ifindex).ok().filter(|index| *index > 0) else {
            return Err(PacketError::NoLink { ifindex, source: Errno::NODEV.into() });
        };
        let framing = options.framing;
        let kind = match framing {
            Framing::Ethernet => SocketType::RAW,
            // Whatever the driver keeps before the IPv6 header, it is not shown, nor asked for.
            Framing::Bare => SocketType::DGRAM,
        };
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        // Without a protocol it receives nothing yet.
        let fd =
            socket_with(AddressFamily::PACKET, kind, flags, None).map_err(|errno| match errno {
                Errno::PERM | Errno::ACCESS => PacketError::Permission(errno.into()),
                _ => PacketError::System { attempt: "open", ifindex, source: errno.into() },
            })?;
        let mut socket = Self {
            fd,
            ifindex: index,
            framing,
            purpose: options.purpose,
            promiscuous: false,
            watched: Watched::default(),
            counted: Cell::default(),
            untold: Cell::default(),
            full_batches: Cell::default(),
        };
        socket.bind(0)?;
        socket.check_framing()?;
        match options.purpose {
            Purpose::NeighborDiscovery => socket.prepare_for_neighbors()?,
            Purpose::Services(services) => socket.prepare_for_services(services)?,
        }
        socket.set_promiscuous(options.promiscuous)?;
        socket.bind(ETH_P_ALL)?;
        Ok(socket)
    }

    /// Makes the socket of a link without link-layer addresses also receive what this host sends,
    /// or forwards, to any address in `prefixes` but not among `except`; of these packets only the
    /// IPv6 header is received.
    ///
    /// On such links the kernel asks nobody before it sends, so that packets are all that shows
    /// where it believes a node to be. Each wakes the process: nodes that are known to be there
    /// belong among the exceptions. At most [`MOST_WATCHED`] prefixes and [`MOST_EXCEPTED`]
    /// addresses count, the first ones. On Ethernet links, where the kernel asks, nothing happens.
    ///
    /// # Errors
    ///
    /// [`PacketError::System`]; what was watched before still is.
    pub fn watch(
        &mut self,
        prefixes: impl IntoIterator<Item = Ipv6Net>,
        except: impl IntoIterator<Item = Ipv6Addr>,
    ) -> Result<(), PacketError> {
        let watched = Watched {
            prefixes: prefixes.into_iter().take(MOST_WATCHED).collect(),
            except: except.into_iter().take(MOST_EXCEPTED).collect(),
        };
        if self.framing == Framing::Bare && watched != self.watched {
            self.attach_watching_filter(&watched)?;
            self.watched = watched;
        }
        Ok(())
    }

    /// Makes the link receive frames for all stations, or no longer so.
    ///
    /// # Errors
    ///
    /// [`PacketError::NoLink`] when the link has gone.
    pub fn set_promiscuous(&mut self, promiscuous: bool) -> Result<(), PacketError> {
        if promiscuous == self.promiscuous {
            return Ok(());
        }
        let change =
            if promiscuous { libc::PACKET_ADD_MEMBERSHIP } else { libc::PACKET_DROP_MEMBERSHIP };
        self.change_membership(change, libc::PACKET_MR_PROMISC, None)?;
        self.promiscuous = promiscuous;
        Ok(())
    }

    /// Returns the interface index of the link.
    pub fn ifindex(&self) -> u32 {
        self.ifindex.cast_unsigned()
    }

    /// Returns what frames on the link begin with.
    pub fn framing(&self) -> Framing {
        self.framing
    }

    /// Whether frames may come whose UDP checksum a device has been left to fill in.
    pub(crate) fn completes_checksums(&self) -> bool {
        matches!(self.purpose, Purpose::Services(_))
    }

    /// Takes what the kernel has counted since the last call.
    ///
    /// What [`crate::batch::Frames::lost`] told of is counted here, too.
    ///
    /// # Errors
    ///
    /// [`PacketError::System`], which no valid use brings about.
    pub fn statistics(&self) -> Result<Statistics, PacketError> {
        self.count()?;
        Ok(self.counted.take())
    }

    /// Takes note of a batch that was received, and returns how many frames were lost that nobody
    /// was told of.
    ///
    /// The kernel is asked only at the end of a burst, and from time to time within a long one:
    /// a queue that does not even fill a batch has not overflowed.
    pub(crate) fn take_lost(&self, batch_is_full: bool) -> u32 {
        let full_batches = self.full_batches.get() + u32::from(batch_is_full);
        let ask = if batch_is_full { full_batches == FULL_BATCHES } else { full_batches > 0 };
        self.full_batches.set(if ask { 0 } else { full_batches });
        if ask {
            // No valid use makes it fail, and then the next one may succeed.
            let _ = self.count();
        }
        self.untold.take()
    }

    /// Adds what the kernel has counted; this resets its counters.
    fn count(&self) -> Result<(), PacketError> {
        let mut raw = MaybeUninit::<libc::tpacket_stats>::zeroed();
        let mut length = socket_length::<libc::tpacket_stats>();
        // SAFETY: `raw` is valid for writing `length` octets, and `length` is a valid pointer.
        let result = unsafe {
            libc::getsockopt(
                self.fd.as_raw_fd(),
                libc::SOL_PACKET,
                libc::PACKET_STATISTICS,
                raw.as_mut_ptr().cast(),
                &raw mut length,
            )
        };
        self.check("read the statistics of", result)?;
        // SAFETY: it was initialized with zeros, and any octets are valid numbers.
        let raw = unsafe { raw.assume_init() };
        let counted = self.counted.get();
        self.counted.set(Statistics {
            // The kernel counts what it dropped among the packets.
            queued: counted.queued.saturating_add(raw.tp_packets.saturating_sub(raw.tp_drops)),
            dropped: counted.dropped.saturating_add(raw.tp_drops),
        });
        self.untold.set(self.untold.get().saturating_add(raw.tp_drops));
        Ok(())
    }

    /// Takes the pending error off the socket, if there is one.
    pub fn take_error(&self) -> Option<LinkFault> {
        match sockopt::socket_error(&self.fd) {
            Ok(Ok(())) => None,
            Ok(Err(errno)) | Err(errno) => Some(self.fault(errno)),
        }
    }

    /// Tells what an error from receiving or sending means for the link.
    ///
    /// That a link has gone is told apart from that it went down as well as can be from here; the
    /// kernel's link notifications have the final word.
    pub(crate) fn fault(&self, errno: Errno) -> LinkFault {
        let ifindex = self.ifindex();
        match errno {
            Errno::NODEV | Errno::NXIO => LinkFault::Gone { ifindex },
            Errno::NETDOWN if self.address().is_ok_and(|address| address.sll_ifindex <= 0) => {
                LinkFault::Gone { ifindex }
            }
            Errno::NETDOWN => LinkFault::Down { ifindex },
            _ => LinkFault::Other { ifindex, source: errno.into() },
        }
    }

    /// Returns where to send frames like `frame`, if they do not tell it themselves.
    ///
    /// Devices without a link-layer header look at the protocol that goes with a packet: some of
    /// them drop what is not said to be IPv6.
    pub(crate) fn destination(&self, frame: &[u8]) -> Option<libc::sockaddr_ll> {
        let is_ipv4 = frame.first().is_some_and(|octet| octet >> 4 == 4);
        let protocol = if is_ipv4 { ETH_P_IP } else { ETH_P_IPV6 };
        (self.framing == Framing::Bare).then(|| self.address_for(protocol))
    }

    /// Has the socket receive Neighbor Discovery.
    fn prepare_for_neighbors(&self) -> Result<(), PacketError> {
        self.enlarge_buffer(RECEIVE_BUFFER)?;
        match self.framing {
            Framing::Ethernet => {
                self.attach_filter(&mut filter::ETHERNET.to_vec())?;
                self.lock_filter()?;
                self.change_membership(libc::PACKET_ADD_MEMBERSHIP, libc::PACKET_MR_ALLMULTI, None)
            }
            Framing::Bare => self.attach_watching_filter(&Watched::default()),
        }
    }

    /// Has the socket receive datagrams of services.
    fn prepare_for_services(&self, services: Services) -> Result<(), PacketError> {
        self.enlarge_buffer(SERVICES_RECEIVE_BUFFER)?;
        self.attach_filter(&mut filter::datagrams(self.framing, &services.ports()))?;
        self.lock_filter()?;
        let on: libc::c_int = 1;
        // The filter does the same, at the price of a copy; kernels before 4.20 know no better.
        let _ = set_option(&self.fd, libc::SOL_PACKET, libc::PACKET_IGNORE_OUTGOING, &on);
        self.set_option("ask for notes by", libc::SOL_PACKET, libc::PACKET_AUXDATA, &on)?;
        if self.framing == Framing::Ethernet {
            for group in services.groups() {
                let lladdr = Some(group_lladdr(group));
                let change = libc::PACKET_ADD_MEMBERSHIP;
                self.change_membership(change, libc::PACKET_MR_MULTICAST, lladdr)?;
            }
        }
        Ok(())
    }

    /// Binds to the link; with protocol 0 the socket knows its link, but receives nothing.
    fn bind(&self, protocol: u16) -> Result<(), PacketError> {
        let address = self.address_for(protocol);
        // SAFETY: `address` is a valid packet address that is read during the call only.
        let result = unsafe {
            libc::bind(
                self.fd.as_raw_fd(),
                ptr::from_ref(&address).cast(),
                socket_length::<libc::sockaddr_ll>(),
            )
        };
        self.check("bind", result)
    }

    /// An address on the link that has a protocol and no station.
    fn address_for(&self, protocol: u16) -> libc::sockaddr_ll {
        let mut address = empty_address();
        address.sll_family = AF_PACKET;
        address.sll_protocol = protocol.to_be();
        address.sll_ifindex = self.ifindex;
        address
    }

    /// Asks the kernel where the socket is bound.
    fn address(&self) -> Result<libc::sockaddr_ll, PacketError> {
        let mut address = empty_address();
        let mut length = socket_length::<libc::sockaddr_ll>();
        // SAFETY: `address` is valid for writing `length` octets, and `length` is a valid pointer.
        let result = unsafe {
            libc::getsockname(
                self.fd.as_raw_fd(),
                ptr::from_mut(&mut address).cast(),
                &raw mut length,
            )
        };
        self.check("look up the address of", result)?;
        Ok(address)
    }

    /// Makes sure that frames on the link look as the socket takes them to.
    fn check_framing(&self) -> Result<(), PacketError> {
        let hardware_type = self.address()?.sll_hatype;
        if Framing::of(hardware_type) == Some(self.framing) {
            return Ok(());
        }
        let ifindex = self.ifindex();
        Err(match self.framing {
            Framing::Ethernet => PacketError::NotEthernet { ifindex, hardware_type },
            Framing::Bare => PacketError::NotBare { ifindex, hardware_type },
        })
    }

    /// Attaches the filter for links without link-layer addresses.
    fn attach_watching_filter(&self, watched: &Watched) -> Result<(), PacketError> {
        let mut program = filter::BARE.to_vec();
        program.extend(filter::watched(watched.prefixes.iter(), watched.except.iter()));
        self.attach_filter(&mut program)
    }

    /// Attaches a filter in the place of the one that is there, in one step.
    fn attach_filter(&self, program: &mut [libc::sock_filter]) -> Result<(), PacketError> {
        attach_filter(&self.fd, program).map_err(|errno| self.failure("filter", errno))
    }

    fn lock_filter(&self) -> Result<(), PacketError> {
        let locked: libc::c_int = 1;
        self.set_option("lock the filter of", libc::SOL_SOCKET, libc::SO_LOCK_FILTER, &locked)
    }

    /// Makes room for a burst: beyond the system's limit where the process may.
    fn enlarge_buffer(&self, octets: usize) -> Result<(), PacketError> {
        sockopt::set_socket_recv_buffer_size_force(&self.fd, octets)
            .or_else(|_| sockopt::set_socket_recv_buffer_size(&self.fd, octets))
            .map_err(|errno| self.failure("enlarge the receive buffer of", errno))
    }

    /// Makes the link receive more than what is for this host, or no longer so.
    fn change_membership(
        &self,
        change: libc::c_int,
        kind: libc::c_int,
        group: Option<LinkAddr>,
    ) -> Result<(), PacketError> {
        let mut mr_address = [0; 8];
        for (octet, group) in mr_address.iter_mut().zip(group.map_or([0; 6], |group| group.0)) {
            *octet = group;
        }
        let request = libc::packet_mreq {
            mr_ifindex: self.ifindex,
            mr_type: u16::try_from(kind).unwrap_or(u16::MAX),
            mr_alen: if group.is_some() { LLADDR_LEN } else { 0 },
            mr_address,
        };
        self.set_option("change what is received by", libc::SOL_PACKET, change, &request)
    }

    fn set_option<T>(
        &self,
        attempt: &'static str,
        level: libc::c_int,
        option: libc::c_int,
        value: &T,
    ) -> Result<(), PacketError> {
        set_option(&self.fd, level, option, value).map_err(|errno| self.failure(attempt, errno))
    }

    /// Turns the result of a system call into an error that says what was tried.
    fn check(&self, attempt: &'static str, result: libc::c_int) -> Result<(), PacketError> {
        if result >= 0 {
            return Ok(());
        }
        Err(self.failure(attempt, last_errno()))
    }

    fn failure(&self, attempt: &'static str, errno: Errno) -> PacketError {
        let ifindex = self.ifindex();
        match errno {
            Errno::NODEV | Errno::NXIO => PacketError::NoLink { ifindex, source: errno.into() },
            _ => PacketError::System { attempt, ifindex, source: errno.into() },
        }
    }
}

impl Services {
    /// The groups of these services.
    pub fn groups(self) -> impl Iterator<Item = IpAddr> {
        let others = (self.ssdp || self.ws_discovery)
            .then_some([IpAddr::V4(SSDP_GROUP_V4), IpAddr::V6(SSDP_GROUP_V6)]);
        let mdns = [IpAddr::V4(MDNS_GROUP_V4), IpAddr::V6(MDNS_GROUP_V6)];
        mdns.into_iter().chain(others.into_iter().flatten())
    }

    fn ports(self) -> filter::Ports {
        let others =
            [self.ssdp.then_some(SSDP_PORT), self.ws_discovery.then_some(WS_DISCOVERY_PORT)];
        let has_others = others != [None; 2];
        filter::Ports { others, own: self.replies, own_from: (!has_others).then_some(MDNS_PORT) }
    }
}

impl AsFd for PacketSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Returns what the last failed system call of this thread left.
pub(crate) fn last_errno() -> Errno {
    Errno::from_io_error(&io::Error::last_os_error()).unwrap_or(Errno::IO)
}

/// Returns a packet address of all zeros.
pub(crate) fn empty_address() -> libc::sockaddr_ll {
    // SAFETY: a packet address is made of numbers and arrays of numbers; zero is valid for all.
    unsafe { mem::zeroed() }
}

/// Returns the size of a `T` as the socket calls take it.
pub(crate) fn socket_length<T>() -> libc::socklen_t {
    libc::socklen_t::try_from(size_of::<T>()).unwrap_or(0)
}

/// Prefixes that one socket watches at most.
pub const MOST_WATCHED: usize = 16;

/// Addresses that one socket excepts at most: the kernel compares each outgoing packet with all of
/// them.
pub const MOST_EXCEPTED: usize = 64;

/// Full batches in a row after which the kernel is asked what it lost.
const FULL_BATCHES: u32 = 64;

/// Room for some 5000 frames, as the kernel counts them.
const RECEIVE_BUFFER: usize = 4 << 20;

/// The same for datagrams of services, which are rare.
const SERVICES_RECEIVE_BUFFER: usize = 1 << 20;

/// `UPnP` Device Architecture section 1, WS-Discovery 1.1 section 2.4: the groups and ports of both.
const SSDP_GROUP_V4: Ipv4Addr = Ipv4Addr::new(239, 255, 255, 250);
const SSDP_GROUP_V6: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0x0c);
const SSDP_PORT: u16 = 1900;
const WS_DISCOVERY_PORT: u16 = 3702;

/// Octets of a link-layer address, as the kernel wants to be told.
const LLADDR_LEN: u16 = 6;

/// Every protocol, and what this host itself sends, which no narrower choice includes.
const ETH_P_ALL: u16 = 0x0003;

const ETH_P_IP: u16 = 0x0800;
const ETH_P_IPV6: u16 = 0x86dd;

const AF_PACKET: libc::sa_family_t = 17;
