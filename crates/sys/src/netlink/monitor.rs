//! Reads the kernel's notifications about links, addresses, neighbors and routing.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Instant;

use super::{Errno, Event, Family, NetlinkError, NetlinkSocket};

/// A kind of notification to subscribe to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Group {
    /// Links: made, changed, deleted.
    Link,
    /// IPv6 addresses of links.
    Address,
    /// IPv4 addresses of links.
    Ipv4Address,
    /// IPv6 routes.
    Route,
    /// Neighbors of all families; only IPv6 ones are passed on.
    Neighbor,
    /// Rules of policy routing for IPv6.
    PolicyRule,
    /// Next hops that routes of any family share.
    Nexthop,
    /// Settings of links; only forwarding is passed on.
    Setting,
}

impl Group {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Link,
        Self::Address,
        Self::Ipv4Address,
        Self::Route,
        Self::Neighbor,
        Self::PolicyRule,
        Self::Nexthop,
        Self::Setting,
    ];

    /// The number of the multicast group (`RTNLGRP_*`).
    const fn number(self) -> libc::c_int {
        match self {
            Self::Link => 1,
            Self::Neighbor => 3,
            Self::Ipv4Address => 5,
            Self::Address => 9,
            Self::Route => 11,
            Self::PolicyRule => 19,
            Self::Nexthop => 32,
            Self::Setting => 25,
        }
    }
}

impl fmt::Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Link => "links",
            Self::Address => "addresses",
            Self::Ipv4Address => "IPv4 addresses",
            Self::Route => "routes",
            Self::Neighbor => "neighbors",
            Self::PolicyRule => "rules of policy routing",
            Self::Nexthop => "shared next hops",
            Self::Setting => "settings of links",
        })
    }
}

/// A subscription to notifications.
#[derive(Debug)]
pub struct Monitor {
    socket: NetlinkSocket,
}

impl Monitor {
    /// Subscribes to `groups` in the calling thread's network namespace. What happened before is
    /// not told: dump the tables after this, so that nothing is missed in between.
    ///
    /// # Errors
    ///
    /// [`NetlinkError`].
    pub fn open(groups: &[Group]) -> Result<Self, NetlinkError> {
        let monitor = Self { socket: NetlinkSocket::open(Family::Route)? };
        groups.iter().try_for_each(|group| monitor.join(*group))?;
        Ok(monitor)
    }

    /// Subscribes to another group.
    ///
    /// # Errors
    ///
    /// [`NetlinkError::Join`].
    pub fn join(&self, group: Group) -> Result<(), NetlinkError> {
        match self.socket.join(group.number()) {
            // Before Linux 5.3 there is neither the group nor anything to tell of.
            Err(error) if group == Group::Nexthop && is_unknown(&error) => Ok(()),
            joined => joined.map_err(|source| NetlinkError::Join { group, source }),
        }
    }

    /// Asks for a receive buffer of `bytes` octets instead of the usual 8 MiB.
    ///
    /// # Errors
    ///
    /// [`NetlinkError::Option`].
    pub fn set_receive_buffer(&self, bytes: usize) -> Result<(), NetlinkError> {
        self.socket.set_receive_buffer(bytes)
    }

    /// Passes the notifications that are there to `each`, oldest first, and returns how many there
    /// were. Reads a bounded number, so that a storm of them starves nobody: what is left keeps
    /// the descriptor readable.
    ///
    /// # Errors
    ///
    /// [`NetlinkError::Receive`]. Lost notifications are no error but [`Event::Overrun`].
    pub fn read(&mut self, mut each: impl FnMut(Event)) -> Result<usize, NetlinkError> {
        let mut count = 0;
        for _ in 0..DATAGRAMS_PER_READ {
            match self.socket.receive() {
                Ok(None) => break,
                Ok(Some(messages)) => {
                    for event in messages.filter_map(|message| Event::decode(&message)) {
                        each(event);
                        count += 1;
                    }
                }
                Err(NetlinkError::Overrun) => {
                    each(Event::Overrun);
                    count += 1;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(count)
    }

    /// Waits until something can be read; false if `deadline` passed first.
    ///
    /// # Errors
    ///
    /// [`NetlinkError::Receive`].
    pub fn wait_readable(&self, deadline: Instant) -> Result<bool, NetlinkError> {
        self.socket.wait_readable(deadline)
    }
}

impl AsFd for Monitor {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

fn is_unknown(error: &io::Error) -> bool {
    Errno::from_io_error(error) == Some(Errno::INVAL)
}

/// The kernel sends most notifications one to a datagram.
const DATAGRAMS_PER_READ: usize = 256;
