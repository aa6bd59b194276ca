//! Keeps this host in multicast groups on given links, however many there are.
//!
//! One socket holds only some two thousand memberships (`net.core.optmem_max`), so they are spread
//! over as many sockets as it takes. What is received on those sockets is nothing: they are never
//! bound.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::OwnedFd;

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with, sockopt};

/// The groups joined, and the sockets that hold them.
///
/// A device that is re-created gets a new interface index: it is another link, whose groups have
/// to be joined anew. Memberships end with the value.
#[derive(Debug, Default)]
pub struct Memberships {
    joined: BTreeMap<(u32, Ipv6Addr), u64>,
    shards: BTreeMap<u64, Shard>,
    next_shard: u64,
}

/// What could not be done about a membership.
#[derive(Debug, thiserror::Error)]
pub enum GroupError {
    /// No further socket could be opened to hold memberships.
    #[error("cannot open a socket to hold multicast memberships")]
    Open(#[source] io::Error),
    /// The link has gone, or does not have that version of IP.
    #[error("cannot join {group}: link {ifindex} has gone or has {} disabled", version(*group))]
    NoLink {
        /// Interface index of the link.
        ifindex: u32,
        /// The group.
        group: IpAddr,
        /// The kernel's word.
        source: io::Error,
    },
    /// The kernel refused for another reason.
    #[error("cannot join {group} on link {ifindex}")]
    Join {
        /// Interface index of the link.
        ifindex: u32,
        /// The group.
        group: IpAddr,
        /// Why.
        source: io::Error,
    },
}

impl Memberships {
    /// Starts with no memberships and no sockets.
    pub fn new() -> Self {
        Self::default()
    }

    /// Joins `group` on the link `ifindex`; returns `false` when it was joined already.
    ///
    /// # Errors
    ///
    /// [`GroupError`], after which the group is not joined.
    pub fn join(&mut self, ifindex: u32, group: Ipv6Addr) -> Result<bool, GroupError> {
        if self.joined.contains_key(&(ifindex, group)) {
            return Ok(false);
        }
        for (id, shard) in self.shards.iter_mut().filter(|(_, shard)| !shard.full) {
            match shard.join(ifindex, group) {
                Ok(()) => {
                    self.joined.insert((ifindex, group), *id);
                    return Ok(true);
                }
                Err(Errno::NOMEM | Errno::NOBUFS) => shard.full = true,
                Err(errno) => return Err(refusal(ifindex, group, errno)),
            }
        }
        // The socket is kept only when it has got its first member.
        let mut shard = Shard::open().map_err(|errno| GroupError::Open(errno.into()))?;
        shard.join(ifindex, group).map_err(|errno| refusal(ifindex, group, errno))?;
        self.shards.insert(self.next_shard, shard);
        self.joined.insert((ifindex, group), self.next_shard);
        self.next_shard += 1;
        Ok(true)
    }

    /// Leaves `group` on the link `ifindex`; returns `false` when it was not joined. It makes no
    /// difference whether the link still exists.
    pub fn leave(&mut self, ifindex: u32, group: Ipv6Addr) -> bool {
        let Some(id) = self.joined.remove(&(ifindex, group)) else {
            return false;
        };
        if let Some(shard) = self.shards.get_mut(&id) {
            shard.leave(ifindex, group);
            if shard.members == 0 {
                self.shards.remove(&id);
            }
        }
        true
    }

    /// Leaves all groups on the link `ifindex`, as when it has vanished.
    pub fn leave_link(&mut self, ifindex: u32) {
        let groups: Vec<Ipv6Addr> = self.groups(ifindex).collect();
        for group in groups {
            self.leave(ifindex, group);
        }
    }

    /// Leaves all groups on all links, the last joined first. The kernel looks for them in that
    /// order, so that thousands are left in no time; one by one from the other end it takes seconds.
    pub fn leave_all(&mut self) {
        self.joined.clear();
        while self.shards.pop_last().is_some() {}
    }

    /// Lists the groups joined on the link `ifindex`, in ascending order.
    pub fn groups(&self, ifindex: u32) -> impl Iterator<Item = Ipv6Addr> {
        let first = (ifindex, Ipv6Addr::UNSPECIFIED);
        let last = (ifindex, Ipv6Addr::from_bits(u128::MAX));
        self.joined.range(first..=last).map(|((_, group), _)| *group)
    }

    /// Lists the memberships that the kernel has ended without being asked to: those that `is_there`
    /// says are not there. It does so when it takes IPv6 away from a device, and tells nobody.
    pub fn lost(
        &self,
        is_there: impl Fn(u32, Ipv6Addr) -> bool,
    ) -> impl Iterator<Item = (u32, Ipv6Addr)> {
        let joined = self.joined.keys().copied();
        joined.filter(move |&(ifindex, group)| !is_there(ifindex, group))
    }

    /// Counts the memberships on all links.
    pub fn len(&self) -> usize {
        self.joined.len()
    }

    /// Tells whether no group is joined.
    pub fn is_empty(&self) -> bool {
        self.joined.is_empty()
    }

    /// Counts the sockets in use.
    pub fn sockets(&self) -> usize {
        self.shards.len()
    }
}

impl Drop for Memberships {
    fn drop(&mut self) {
        self.leave_all();
    }
}

/// Memberships in a few groups of IPv4 and IPv6 on one link, which needs no address for that.
///
/// They end with the value, or with the link.
#[derive(Debug)]
pub struct LinkGroups {
    socket: OwnedFd,
    ifindex: u32,
    joined: Vec<IpAddr>,
}

impl LinkGroups {
    /// Starts with no memberships on the link `ifindex`.
    ///
    /// # Errors
    ///
    /// [`GroupError::Open`].
    pub fn new(ifindex: u32) -> Result<Self, GroupError> {
        let socket = open().map_err(|errno| GroupError::Open(errno.into()))?;
        Ok(Self { socket, ifindex, joined: Vec::new() })
    }

    /// Joins `group` if it is not joined.
    ///
    /// # Errors
    ///
    /// [`GroupError`], after which the group is not joined.
    pub fn join(&mut self, group: IpAddr) -> Result<(), GroupError> {
        if self.joined.contains(&group) {
            return Ok(());
        }
        let (socket, ifindex) = (&self.socket, self.ifindex);
        match group {
            IpAddr::V4(group) => {
                let any = Ipv4Addr::UNSPECIFIED;
                sockopt::set_ip_add_membership_with_ifindex(socket, &group, &any, ifindex)
            }
            IpAddr::V6(group) => sockopt::set_ipv6_add_membership(socket, &group, ifindex),
        }
        .map_err(|errno| refusal(ifindex, group, errno))?;
        self.joined.push(group);
        Ok(())
    }

    /// Lists the memberships that the kernel has ended without being asked to, as
    /// [`Memberships::lost`] does. It keeps those of IPv4.
    pub fn lost(&self, is_there: impl Fn(u32, Ipv6Addr) -> bool) -> impl Iterator<Item = Ipv6Addr> {
        self.joined.iter().filter_map(move |group| match group {
            IpAddr::V6(group) if !is_there(self.ifindex, *group) => Some(*group),
            IpAddr::V6(_) | IpAddr::V4(_) => None,
        })
    }

    /// Leaves an IPv6 group; returns `false` when it was not joined.
    pub fn leave(&mut self, group: Ipv6Addr) -> bool {
        let Some(place) = self.joined.iter().position(|joined| *joined == IpAddr::V6(group)) else {
            return false;
        };
        self.joined.remove(place);
        // The only refusal is that the socket has no such membership, which is what is wanted.
        let _ = sockopt::set_ipv6_drop_membership(&self.socket, &group, self.ifindex);
        true
    }

    /// Counts the groups joined.
    pub fn len(&self) -> usize {
        self.joined.len()
    }

    /// Tells whether no group is joined.
    pub fn is_empty(&self) -> bool {
        self.joined.is_empty()
    }
}

/// One socket with its share of the memberships.
#[derive(Debug)]
struct Shard {
    socket: OwnedFd,
    members: usize,
    /// The kernel refused one more; cleared when a member leaves.
    full: bool,
}

impl Shard {
    fn open() -> Result<Self, Errno> {
        Ok(Self { socket: open()?, members: 0, full: false })
    }

    fn join(&mut self, ifindex: u32, group: Ipv6Addr) -> Result<(), Errno> {
        sockopt::set_ipv6_add_membership(&self.socket, &group, ifindex)?;
        self.members += 1;
        Ok(())
    }

    fn leave(&mut self, ifindex: u32, group: Ipv6Addr) {
        // The only refusal is that the socket has no such membership, which is what is wanted.
        let _ = sockopt::set_ipv6_drop_membership(&self.socket, &group, ifindex);
        self.members -= 1;
        self.full = false;
    }
}

/// Opens a socket that is never bound, so that it receives nothing.
fn open() -> Result<OwnedFd, Errno> {
    socket_with(AddressFamily::INET6, SocketType::DGRAM, SocketFlags::CLOEXEC, None)
}

fn version(group: IpAddr) -> &'static str {
    if group.is_ipv4() { "IPv4" } else { "IPv6" }
}

fn refusal(ifindex: u32, group: impl Into<IpAddr>, errno: Errno) -> GroupError {
    let (group, source) = (group.into(), errno.into());
    match errno {
        Errno::NODEV | Errno::ADDRNOTAVAIL => GroupError::NoLink { ifindex, group, source },
        _ => GroupError::Join { ifindex, group, source },
    }
}
