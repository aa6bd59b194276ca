//! Sends and receives whole frames on one link, all of them: for tests and captures.
//!
//! The daemon has a socket of its own with a filter; see [`crate::packet`].

use std::io;
use std::mem;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use rustix::net::{RecvFlags, SendFlags};

/// A socket that sees every frame of one link, in both directions. It never blocks.
#[derive(Debug)]
pub struct LinkSocket {
    fd: OwnedFd,
}

/// How a frame was received.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct FrameInfo {
    /// Octets of the frame; more than the buffer's if it did not fit.
    pub len: usize,
    /// This host sent the frame, by another socket than this one.
    pub outgoing: bool,
    /// The VLAN tag that the kernel took out of the frame: TPID and TCI.
    pub vlan: Option<(u16, u16)>,
    /// When the kernel saw the frame, in nanoseconds since 1970.
    pub time_ns: u64,
}

impl LinkSocket {
    /// Opens a socket for the link number `ifindex` of the calling thread's namespace.
    ///
    /// # Errors
    ///
    /// The system's error if the caller may not, or there is no such link.
    pub fn open(ifindex: u32) -> io::Result<Self> {
        let kind = libc::SOCK_RAW | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
        // SAFETY: The call takes no pointers.
        let fd = unsafe { libc::socket(libc::AF_PACKET, kind, 0) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: The call above made this descriptor, and nobody else has it.
        let socket = Self { fd: unsafe { OwnedFd::from_raw_fd(fd) } };
        socket.set_flag(libc::SOL_SOCKET, libc::SO_TIMESTAMPNS)?;
        socket.set_flag(libc::SOL_PACKET, libc::PACKET_AUXDATA)?;
        let _ = rustix::net::sockopt::set_socket_recv_buffer_size_force(&socket.fd, RECEIVE_BUFFER);
        // SAFETY: A link-layer address consists of integers, for which zero is a value.
        let mut address: libc::sockaddr_ll = unsafe { mem::zeroed() };
        address.sll_family = AF_PACKET;
        address.sll_protocol = ETH_P_ALL.to_be();
        address.sll_ifindex = ifindex.cast_signed();
        // SAFETY: The address is live, and its size is the one that is passed.
        let status = unsafe {
            libc::bind(socket.fd.as_raw_fd(), (&raw const address).cast(), size_u32(&address))
        };
        if status < 0 { Err(io::Error::last_os_error()) } else { Ok(socket) }
    }

    /// Receives all multicast frames, or all frames if `everything`, for as long as it is open.
    ///
    /// # Errors
    ///
    /// The system's error if the link is gone.
    pub fn set_promiscuous(&self, ifindex: u32, everything: bool) -> io::Result<()> {
        let kind = if everything { libc::PACKET_MR_PROMISC } else { libc::PACKET_MR_ALLMULTI };
        let request = libc::packet_mreq {
            mr_ifindex: ifindex.cast_signed(),
            mr_type: u16::try_from(kind).unwrap_or_default(),
            mr_alen: 0,
            mr_address: [0; 8],
        };
        // SAFETY: The request is live, and its size is the one that is passed.
        let status = unsafe {
            libc::setsockopt(
                self.fd.as_raw_fd(),
                libc::SOL_PACKET,
                libc::PACKET_ADD_MEMBERSHIP,
                (&raw const request).cast(),
                size_u32(&request),
            )
        };
        if status < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }

    /// Sends a whole frame with its Ethernet header.
    ///
    /// # Errors
    ///
    /// The system's error, such as `ENETDOWN`.
    pub fn send(&self, frame: &[u8]) -> io::Result<()> {
        rustix::net::send(&self.fd, frame, SendFlags::empty())?;
        Ok(())
    }

    /// Receives a frame into `buffer`; `None` if there is none.
    ///
    /// # Errors
    ///
    /// The system's error, such as `ENETDOWN` once after the link went down.
    pub fn receive(&self, buffer: &mut [u8]) -> io::Result<Option<FrameInfo>> {
        // SAFETY: The address and the header consist of integers and pointers, for which zero is a
        // value.
        let (mut address, mut header) =
            unsafe { (mem::zeroed::<libc::sockaddr_ll>(), mem::zeroed::<libc::msghdr>()) };
        let mut vector =
            libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
        let mut control = Control([0; 128]);
        header.msg_name = (&raw mut address).cast();
        header.msg_namelen = size_u32(&address);
        header.msg_iov = &raw mut vector;
        header.msg_iovlen = 1;
        header.msg_control = control.0.as_mut_ptr().cast();
        header.msg_controllen = control.0.len();
        let flags = RecvFlags::TRUNC.bits().cast_signed();
        // SAFETY: All pointers in the header lead to live values that are not used meanwhile, with
        // their sizes.
        let received = unsafe { libc::recvmsg(self.fd.as_raw_fd(), &raw mut header, flags) };
        let Ok(len) = usize::try_from(received) else {
            let error = io::Error::last_os_error();
            return match error.kind() {
                io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted => Ok(None),
                _ => Err(error),
            };
        };
        let mut info = FrameInfo {
            len,
            outgoing: address.sll_pkttype == PACKET_OUTGOING,
            vlan: None,
            time_ns: 0,
        };
        // SAFETY: The kernel filled the header; the buffer that it points to is live.
        let mut message = unsafe { libc::CMSG_FIRSTHDR(&raw const header) };
        while !message.is_null() {
            // SAFETY: The pointer is not null and leads to a message within the buffer. The
            // kernel's messages of these kinds hold values of these types, aligned or not.
            unsafe {
                match ((*message).cmsg_level, (*message).cmsg_type) {
                    (libc::SOL_SOCKET, libc::SCM_TIMESTAMPNS) => {
                        let time: libc::timespec =
                            libc::CMSG_DATA(message).cast::<libc::timespec>().read_unaligned();
                        info.time_ns = nanoseconds(time);
                    }
                    (libc::SOL_PACKET, libc::PACKET_AUXDATA) => {
                        let data: libc::tpacket_auxdata = libc::CMSG_DATA(message)
                            .cast::<libc::tpacket_auxdata>()
                            .read_unaligned();
                        if data.tp_status & libc::TP_STATUS_VLAN_VALID != 0 {
                            let named = data.tp_status & libc::TP_STATUS_VLAN_TPID_VALID != 0;
                            let tpid = if named { data.tp_vlan_tpid } else { ETH_P_8021Q };
                            info.vlan = Some((tpid, data.tp_vlan_tci));
                        }
                    }
                    _ => {}
                }
                message = libc::CMSG_NXTHDR(&raw const header, message);
            }
        }
        Ok(Some(info))
    }

    fn set_flag(&self, level: libc::c_int, name: libc::c_int) -> io::Result<()> {
        let value: libc::c_int = 1;
        // SAFETY: The value is a live integer, and its size is the one that is passed.
        let status = unsafe {
            libc::setsockopt(
                self.fd.as_raw_fd(),
                level,
                name,
                (&raw const value).cast(),
                size_u32(&value),
            )
        };
        if status < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }
}

impl AsFd for LinkSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Room for control messages, aligned as they must be.
#[repr(align(8))]
struct Control([u8; 128]);

fn nanoseconds(time: libc::timespec) -> u64 {
    let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
    seconds * 1_000_000_000 + u64::try_from(time.tv_nsec).unwrap_or_default()
}

#[expect(clippy::cast_possible_truncation, reason = "these structures have some ten octets")]
const fn size_u32<T>(_: &T) -> libc::socklen_t {
    size_of::<T>() as libc::socklen_t
}

/// `AF_PACKET` as it stands in an address.
const AF_PACKET: u16 = 17;
/// All protocols.
const ETH_P_ALL: u16 = 3;
const ETH_P_8021Q: u16 = 0x8100;
const PACKET_OUTGOING: u8 = 4;
/// A burst of some thousand frames.
const RECEIVE_BUFFER: usize = 4 << 20;
