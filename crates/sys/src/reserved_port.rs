//! Keeps a UDP port of this host for what packet sockets do in its name.

use std::io;
use std::net::{Ipv6Addr, SocketAddrV6};
use std::os::fd::OwnedFd;

use libc::sock_filter;
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, SocketFlags, SocketType, bind, getsockname, socket_with, sockopt,
};

use crate::raw_option::attach_filter;

/// A UDP port of all addresses of this host, IPv4 and IPv6, that nobody else gets while the value
/// lives.
///
/// To what comes there the kernel has nothing to object, and nothing of it is kept: it is for
/// packet sockets to receive.
#[derive(Debug)]
pub struct ReservedPort {
    _socket: OwnedFd,
    number: u16,
}

impl ReservedPort {
    /// Reserves a port that is free, in the calling thread's network namespace.
    ///
    /// # Errors
    ///
    /// No descriptor or no port is left, or the kernel has no IPv6.
    pub fn take() -> io::Result<Self> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = socket_with(AddressFamily::INET6, SocketType::DGRAM, flags, None)?;
        sockopt::set_ipv6_v6only(&socket, false)?;
        // Before anything can come.
        attach_filter(&socket, &mut [NOTHING])?;
        bind(&socket, &SocketAddrV6::new(Ipv6Addr::UNSPECIFIED, 0, 0, 0))?;
        let address = SocketAddrV6::try_from(getsockname(&socket)?);
        let number = address.map_err(|_: Errno| Errno::AFNOSUPPORT)?.port();
        Ok(Self { _socket: socket, number })
    }

    /// The number of the port.
    pub fn number(&self) -> u16 {
        self.number
    }
}

/// The whole program of a filter that accepts nothing.
const NOTHING: sock_filter = sock_filter { code: RETURN_CONSTANT, jt: 0, jf: 0, k: 0 };
/// `BPF_RET | BPF_K`
const RETURN_CONSTANT: u16 = 0x06;
