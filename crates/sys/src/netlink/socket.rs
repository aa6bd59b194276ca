//! A non-blocking netlink socket that can join an epoll set.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::time::Instant;

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::sockopt;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};

use super::message::Messages;
use super::{Batch, FoundRoute, KernelError, NetlinkError, lookup, route};

/// The part of the kernel at the other end of a netlink socket.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Family {
    /// Links, addresses, routes and neighbors (rtnetlink).
    Route,
    /// Packet filters (nfnetlink).
    Netfilter,
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Route => "links and routes",
            Self::Netfilter => "packet filters",
        })
    }
}

/// What the kernel answered to a request.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Answer {
    /// It was carried out, or refused.
    Verdict(Result<(), KernelError>),
    /// What [`Batch::find_route`] asked for; `None` if packets end there.
    Route(Option<FoundRoute>),
}

/// A netlink socket that never blocks unless told to wait.
#[derive(Debug)]
pub struct NetlinkSocket {
    fd: OwnedFd,
    buffer: Box<[u8]>,
}

impl NetlinkSocket {
    /// Opens a socket in the calling thread's network namespace, with explanations for refused
    /// requests, strict checks of requests, and a receive buffer of 8 MiB or as near to that as
    /// the caller may have.
    ///
    /// # Errors
    ///
    /// [`NetlinkError`] if the kernel lacks the family or resources.
    pub fn open(family: Family) -> Result<Self, NetlinkError> {
        let protocol = match family {
            Family::Route => None,
            Family::Netfilter => Some(rustix::net::netlink::NETFILTER),
        };
        let fd = rustix::net::socket_with(
            AddressFamily::NETLINK,
            SocketType::RAW,
            SocketFlags::CLOEXEC | SocketFlags::NONBLOCK,
            protocol,
        )
        .map_err(|source| NetlinkError::Open { family, source: source.into() })?;
        let socket = Self { fd, buffer: vec![0; BUFFER_LEN].into_boxed_slice() };
        rustix::net::bind(&socket.fd, &SocketAddrNetlink::new(0, 0))
            .map_err(|source| NetlinkError::Open { family, source: source.into() })?;
        socket.set_option(libc::NETLINK_EXT_ACK, "extended acknowledgements")?;
        socket.set_option(libc::NETLINK_CAP_ACK, "short acknowledgements")?;
        if family == Family::Route {
            socket.set_option(libc::NETLINK_GET_STRICT_CHK, "strict checking")?;
        }
        socket.set_receive_buffer(RECEIVE_BUFFER)?;
        Ok(socket)
    }

    /// Asks for a receive buffer of `bytes` octets; without `CAP_NET_ADMIN` the kernel caps it at
    /// `net.core.rmem_max`.
    ///
    /// # Errors
    ///
    /// [`NetlinkError::Option`].
    pub fn set_receive_buffer(&self, bytes: usize) -> Result<(), NetlinkError> {
        sockopt::set_socket_recv_buffer_size_force(&self.fd, bytes)
            .or_else(|_| sockopt::set_socket_recv_buffer_size(&self.fd, bytes))
            .map_err(|source| NetlinkError::Option {
                option: "the size of the receive buffer",
                source: source.into(),
            })
    }

    /// Hands the requests of `batch` to the kernel in one system call. The kernel carries them
    /// out before this returns; what became of each is told by its answer.
    ///
    /// # Errors
    ///
    /// [`NetlinkError::Send`]; then none of the requests was carried out.
    pub fn send(&self, batch: &Batch) -> Result<(), NetlinkError> {
        if batch.is_empty() {
            return Ok(());
        }
        let fail = |source: Errno| NetlinkError::Send { count: batch.len(), source: source.into() };
        rustix::io::retry_on_intr(|| {
            rustix::net::send(&self.fd, batch.as_bytes(), SendFlags::empty())
        })
        .map(drop)
        .map_err(fail)
    }

    /// Reads the acknowledgements that are there and tells `each` the sequence number and the
    /// fate of each request; returns how many there were. Allocates only to keep the explanation
    /// of a refused request.
    ///
    /// # Errors
    ///
    /// [`NetlinkError::Overrun`] if acknowledgements were lost, [`NetlinkError::Receive`] otherwise.
    pub fn read_acks(
        &mut self,
        mut each: impl FnMut(u32, Result<(), KernelError>),
    ) -> Result<usize, NetlinkError> {
        let mut count = 0;
        let mut verdicts = |seq, answer| {
            if let Answer::Verdict(verdict) = answer {
                count += 1;
                each(seq, verdict);
            }
        };
        while self.read_some_answers(&mut verdicts)?.is_some() {}
        Ok(count)
    }

    /// Reads one datagram of answers of any kind, as [`NetlinkSocket::read_acks`] reads all
    /// acknowledgements; `None` if there is none. Whoever knows how many to expect is spared asking
    /// in vain for one more.
    ///
    /// # Errors
    ///
    /// As [`NetlinkSocket::read_acks`].
    pub fn read_some_answers(
        &mut self,
        mut each: impl FnMut(u32, Answer),
    ) -> Result<Option<usize>, NetlinkError> {
        let Some(messages) = self.receive()? else { return Ok(None) };
        let mut count = 0;
        for message in messages {
            let answer = match message.verdict() {
                Some(verdict) => Answer::Verdict(verdict),
                None if message.kind == route::NEW => {
                    Answer::Route(lookup::decode(message.payload))
                }
                None => continue,
            };
            each(message.seq, answer);
            count += 1;
        }
        Ok(Some(count))
    }

    /// Waits until something can be read; false if `deadline` passed first.
    ///
    /// # Errors
    ///
    /// [`NetlinkError::Receive`] if the socket cannot be waited for.
    pub fn wait_readable(&self, deadline: Instant) -> Result<bool, NetlinkError> {
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let timeout = Timespec::try_from(left).ok();
            let mut fds = [PollFd::new(&self.fd, PollFlags::IN)];
            match rustix::event::poll(&mut fds, timeout.as_ref()) {
                Ok(ready) => return Ok(ready > 0),
                Err(Errno::INTR) => {}
                Err(source) => return Err(NetlinkError::Receive { source: source.into() }),
            }
        }
    }

    /// Receives one datagram of the kernel's; `None` if there is none.
    pub(crate) fn receive(&mut self) -> Result<Option<Messages<'_>>, NetlinkError> {
        loop {
            // With TRUNC the length is the datagram's own even if the buffer is shorter.
            let received = rustix::net::recvfrom(&self.fd, &mut self.buffer[..], RecvFlags::TRUNC);
            let (kept, len, sender) = match received {
                Ok(received) => received,
                Err(Errno::INTR) => continue,
                Err(Errno::AGAIN) => return Ok(None),
                Err(Errno::NOBUFS) => return Err(NetlinkError::Overrun),
                Err(source) => return Err(NetlinkError::Receive { source: source.into() }),
            };
            if len > kept {
                return Err(NetlinkError::Overrun);
            }
            // Other processes may send to this socket too; only port 0 is the kernel.
            let from_kernel = sender
                .and_then(|sender| SocketAddrNetlink::try_from(sender).ok())
                .is_some_and(|sender| sender.pid() == 0);
            if from_kernel {
                return Ok(Some(Messages::new(self.buffer.get(..kept).unwrap_or_default())));
            }
        }
    }

    pub(crate) fn join(&self, group: libc::c_int) -> Result<(), io::Error> {
        self.set_number(libc::NETLINK_ADD_MEMBERSHIP, group)
    }

    fn set_option(&self, number: libc::c_int, option: &'static str) -> Result<(), NetlinkError> {
        self.set_number(number, 1).map_err(|source| NetlinkError::Option { option, source })
    }

    fn set_number(&self, number: libc::c_int, value: libc::c_int) -> Result<(), io::Error> {
        // SAFETY: The value is a live integer, and its size is the one that is passed.
        let status = unsafe {
            libc::setsockopt(
                self.fd.as_raw_fd(),
                libc::SOL_NETLINK,
                number,
                (&raw const value).cast(),
                SIZE_OF_INT,
            )
        };
        if status == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }
}

impl AsFd for NetlinkSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Longer than any datagram that the kernel makes for a dump (32 KiB).
const BUFFER_LEN: usize = 65_536;
/// Room for the notifications of some ten thousand changes at once.
const RECEIVE_BUFFER: usize = 8 << 20;
#[expect(clippy::cast_possible_truncation, reason = "four")]
const SIZE_OF_INT: libc::socklen_t = size_of::<libc::c_int>() as libc::socklen_t;
