//! Opens packet sockets that see the Neighbor Discovery of one link and nothing else.

use std::io;
use std::mem::{self, MaybeUninit};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::ptr;

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with, sockopt};

use crate::filter;

/// A packet socket on one Ethernet link, non-blocking.
///
/// It receives what the module's filter accepts: Neighbor Discovery, MLD queries and Multicast
/// Router Solicitations from the link, and of what this host itself sends, Neighbor Solicitations
/// and Destination Unreachable (no route, no neighbor). It never receives what was sent through
/// itself. Frames are received with [`crate::batch::RecvBatch`] and sent with
/// [`crate::batch::SendBatch`].
///
/// While it is open, the link receives all multicast, also after the link went down and up.
#[derive(Debug)]
pub struct PacketSocket {
    fd: OwnedFd,
    /// The kernel takes interface indices as signed numbers, and gives out positive ones.
    ifindex: i32,
    promiscuous: bool,
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
    /// The kernel reports something else.
    #[error("link {ifindex} reports an error")]
    Other {
        /// Interface index of the link.
        ifindex: u32,
        /// What it is.
        source: io::Error,
    },
}

impl PacketSocket {
    /// Opens a socket on the Ethernet link `ifindex`.
    ///
    /// The filter is in place, and locked, before the first frame can be queued. On a link that
    /// is down this succeeds; the socket reports [`LinkFault::Down`] once.
    ///
    /// # Errors
    ///
    /// [`PacketError`]: no privilege, no such link, or not an Ethernet link.
    pub fn open(ifindex: u32) -> Result<Self, PacketError> {
        let Some(index) = i32::try_from(ifindex).ok().filter(|index| *index > 0) else {
            return Err(PacketError::NoLink { ifindex, source: Errno::NODEV.into() });
        };
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        // Without a protocol it receives nothing yet.
        let fd =
            socket_with(AddressFamily::PACKET, SocketType::RAW, flags, None).map_err(|errno| {
                match errno {
                    Errno::PERM | Errno::ACCESS => PacketError::Permission(errno.into()),
                    _ => PacketError::System { attempt: "open", ifindex, source: errno.into() },
                }
            })?;
        let socket = Self { fd, ifindex: index, promiscuous: false };
        socket.bind(0)?;
        let hardware_type = socket.address()?.sll_hatype;
        if hardware_type != libc::ARPHRD_ETHER {
            return Err(PacketError::NotEthernet { ifindex, hardware_type });
        }
        socket.attach_filter()?;
        socket.enlarge_buffer()?;
        socket.change_membership(libc::PACKET_ADD_MEMBERSHIP, libc::PACKET_MR_ALLMULTI)?;
        socket.bind(ETH_P_ALL)?;
        Ok(socket)
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
        self.change_membership(change, libc::PACKET_MR_PROMISC)?;
        self.promiscuous = promiscuous;
        Ok(())
    }

    /// Returns the interface index of the link.
    pub fn ifindex(&self) -> u32 {
        self.ifindex.cast_unsigned()
    }

    /// Takes what the kernel has counted since the last call; this resets its counters.
    ///
    /// # Errors
    ///
    /// [`PacketError::System`], which no valid use brings about.
    pub fn statistics(&self) -> Result<Statistics, PacketError> {
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
        // The kernel counts what it dropped among the packets.
        Ok(Statistics {
            queued: raw.tp_packets.saturating_sub(raw.tp_drops),
            dropped: raw.tp_drops,
        })
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

    /// Binds to the link; with protocol 0 the socket knows its link, but receives nothing.
    fn bind(&self, protocol: u16) -> Result<(), PacketError> {
        let mut address = empty_address();
        address.sll_family = AF_PACKET;
        address.sll_protocol = protocol.to_be();
        address.sll_ifindex = self.ifindex;
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

    /// Attaches the filter for good.
    fn attach_filter(&self) -> Result<(), PacketError> {
        let mut program = filter::PROGRAM;
        let length = u16::try_from(program.len()).unwrap_or(u16::MAX);
        let raw = libc::sock_fprog { len: length, filter: program.as_mut_ptr() };
        // The kernel copies the program during the call, and `program` lives beyond it.
        self.set_option("filter", libc::SOL_SOCKET, libc::SO_ATTACH_FILTER, &raw)?;
        let locked: libc::c_int = 1;
        self.set_option("lock the filter of", libc::SOL_SOCKET, libc::SO_LOCK_FILTER, &locked)
    }

    /// Makes room for a burst: beyond the system's limit where the process may.
    fn enlarge_buffer(&self) -> Result<(), PacketError> {
        sockopt::set_socket_recv_buffer_size_force(&self.fd, RECEIVE_BUFFER)
            .or_else(|_| sockopt::set_socket_recv_buffer_size(&self.fd, RECEIVE_BUFFER))
            .map_err(|errno| self.failure("enlarge the receive buffer of", errno))
    }

    /// Makes the link receive more than what is for this host, or no longer so.
    fn change_membership(&self, change: libc::c_int, kind: libc::c_int) -> Result<(), PacketError> {
        let request = libc::packet_mreq {
            mr_ifindex: self.ifindex,
            mr_type: u16::try_from(kind).unwrap_or(u16::MAX),
            mr_alen: 0,
            mr_address: [0; 8],
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
        // SAFETY: `value` is a valid value of the given size that is read during the call only.
        let result = unsafe {
            libc::setsockopt(
                self.fd.as_raw_fd(),
                level,
                option,
                ptr::from_ref(value).cast(),
                socket_length::<T>(),
            )
        };
        self.check(attempt, result)
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
fn socket_length<T>() -> libc::socklen_t {
    libc::socklen_t::try_from(size_of::<T>()).unwrap_or(0)
}

/// Room for some 5000 frames, as the kernel counts them.
const RECEIVE_BUFFER: usize = 4 << 20;

/// Every protocol, and what this host itself sends, which no narrower choice includes.
const ETH_P_ALL: u16 = 0x0003;

const AF_PACKET: libc::sa_family_t = 17;
