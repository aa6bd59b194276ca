//! Requests that wait for their answer: dumps, and changes one after the other.

use std::fmt;
use std::time::{Duration, Instant};

use super::message::DONE;
use super::{
    AddressEvent, Batch, Change, Errno, Event, Family, Ipv4AddressEvent, KernelError, LinkEvent,
    Membership, NeighborEvent, NetlinkError, NetlinkSocket, RouteEvent,
};

/// A netlink socket for links and routes, used by one caller who waits for each answer.
#[derive(Debug)]
pub struct Connection {
    socket: NetlinkSocket,
    batch: Batch,
}

impl Connection {
    /// Opens a connection to the kernel in the calling thread's network namespace; it stays there
    /// whatever thread uses it.
    ///
    /// # Errors
    ///
    /// [`NetlinkError`].
    pub fn open() -> Result<Self, NetlinkError> {
        Ok(Self { socket: NetlinkSocket::open(Family::Route)?, batch: Batch::new() })
    }

    /// Sends the requests that `fill` adds and waits until the kernel has answered all.
    ///
    /// `action` completes the sentence "cannot ...".
    ///
    /// # Errors
    ///
    /// [`NetlinkError::Refused`] with the first refusal; the other requests were carried out.
    pub fn execute(
        &mut self,
        action: impl fmt::Display,
        fill: impl FnOnce(&mut Batch),
    ) -> Result<(), NetlinkError> {
        self.batch.clear();
        fill(&mut self.batch);
        self.socket.send(&self.batch)?;
        let (mut left, mut refusal) = (self.batch.len(), None);
        let last = self.batch.last_seq();
        let first = last.wrapping_sub(u32::try_from(left).unwrap_or(u32::MAX)).wrapping_add(1);
        let deadline = Instant::now() + LIMIT;
        while left > 0 {
            self.wait(deadline, &action)?;
            self.socket.read_acks(|seq, verdict| {
                // An earlier call that gave up may have left answers behind.
                if (first..=last).contains(&seq) {
                    left = left.saturating_sub(1);
                    refusal = refusal.take().or(verdict.err());
                }
            })?;
        }
        refusal.map_or(Ok(()), |source| Err(refused(&action, source)))
    }

    /// All links of the namespace.
    ///
    /// # Errors
    ///
    /// [`NetlinkError`].
    pub fn links(&mut self) -> Result<Vec<LinkEvent>, NetlinkError> {
        self.dump("list the links", Batch::dump_links, |event| match event {
            Event::Link(Change::Present(link)) => Some(link),
            _ => None,
        })
    }

    /// The link called `name`, if there is one.
    ///
    /// # Errors
    ///
    /// [`NetlinkError`].
    pub fn link(&mut self, name: &str) -> Result<Option<LinkEvent>, NetlinkError> {
        self.batch.clear();
        let seq = self.batch.find_link(name);
        let mut found = None;
        let verdict = self.answer(&format_args!("look for the link {name}"), seq, |event| {
            if let Event::Link(Change::Present(link)) = event {
                found = Some(link);
            }
        })?;
        match verdict {
            Ok(_) => Ok(found),
            Err(error) if error.errno == Errno::NODEV => Ok(None),
            Err(error) => Err(refused(&format_args!("look for the link {name}"), error)),
        }
    }

    /// All IPv6 addresses of the namespace.
    ///
    /// # Errors
    ///
    /// [`NetlinkError`].
    pub fn addresses(&mut self) -> Result<Vec<AddressEvent>, NetlinkError> {
        self.dump("list the addresses", Batch::dump_addresses, |event| match event {
            Event::Address(Change::Present(address)) => Some(address),
            _ => None,
        })
    }

    /// All IPv4 addresses of the namespace.
    ///
    /// # Errors
    ///
    /// [`NetlinkError`].
    pub fn ipv4_addresses(&mut self) -> Result<Vec<Ipv4AddressEvent>, NetlinkError> {
        self.dump("list the IPv4 addresses", Batch::dump_ipv4_addresses, |event| match event {
            Event::Ipv4Address(Change::Present(address)) => Some(address),
            _ => None,
        })
    }

    /// All IPv6 routes of the namespace in all tables, or those of one `protocol`.
    ///
    /// # Errors
    ///
    /// [`NetlinkError`].
    pub fn routes(&mut self, protocol: Option<u8>) -> Result<Vec<RouteEvent>, NetlinkError> {
        let request = |batch: &mut Batch| batch.dump_routes(protocol);
        self.dump("list the routes", request, |event| match event {
            Event::Route(Change::Present(route))
                if protocol.is_none_or(|protocol| protocol == route.protocol) =>
            {
                Some(route)
            }
            _ => None,
        })
    }

    /// The IPv6 neighbors in the kernel's cache.
    ///
    /// # Errors
    ///
    /// [`NetlinkError`].
    pub fn neighbors(&mut self) -> Result<Vec<NeighborEvent>, NetlinkError> {
        let request = |batch: &mut Batch| batch.dump_neighbors(false);
        self.dump("list the neighbors", request, present_neighbor)
    }

    /// The IPv6 addresses that the kernel answers for itself.
    ///
    /// # Errors
    ///
    /// [`NetlinkError`].
    pub fn proxy_neighbors(&mut self) -> Result<Vec<NeighborEvent>, NetlinkError> {
        let request = |batch: &mut Batch| batch.dump_neighbors(true);
        self.dump("list the proxy entries", request, present_neighbor)
    }

    /// The IPv6 multicast groups that this host is in, on whoever's behalf. While others join and
    /// leave, one may be left out.
    ///
    /// # Errors
    ///
    /// [`NetlinkError`].
    pub fn memberships(&mut self) -> Result<Vec<Membership>, NetlinkError> {
        self.dump("list the multicast groups", Batch::dump_memberships, |event| match event {
            Event::Membership(membership) => Some(membership),
            _ => None,
        })
    }

    fn dump<T>(
        &mut self,
        action: &str,
        request: impl Fn(&mut Batch) -> u32,
        select: impl Fn(Event) -> Option<T>,
    ) -> Result<Vec<T>, NetlinkError> {
        for _ in 0..ATTEMPTS {
            self.batch.clear();
            let seq = request(&mut self.batch);
            let mut items = Vec::new();
            match self.answer(&action, seq, |event| items.extend(select(event)))? {
                Ok(Steadiness::Steady) => return Ok(items),
                Ok(Steadiness::Interrupted) => {}
                Err(error) => return Err(refused(&action, error)),
            }
        }
        Err(NetlinkError::Unsteady { action: action.to_owned(), attempts: ATTEMPTS })
    }

    /// Sends the batch's single request and passes the parts of its answer to `each` until the
    /// kernel's verdict.
    fn answer(
        &mut self,
        action: &dyn fmt::Display,
        seq: u32,
        mut each: impl FnMut(Event),
    ) -> Result<Result<Steadiness, KernelError>, NetlinkError> {
        self.socket.send(&self.batch)?;
        let deadline = Instant::now() + LIMIT;
        let mut steadiness = Steadiness::Steady;
        loop {
            self.wait(deadline, action)?;
            while let Some(messages) = self.socket.receive()? {
                for message in messages.filter(|message| message.seq == seq) {
                    if message.flags & FLAG_DUMP_INTERRUPTED != 0 {
                        steadiness = Steadiness::Interrupted;
                    }
                    if let Some(verdict) = message.verdict() {
                        return Ok(verdict.map(|()| steadiness));
                    }
                    debug_assert_ne!(message.kind, DONE, "the end of a dump is a verdict");
                    if let Some(event) = Event::decode(&message) {
                        each(event);
                    }
                }
            }
        }
    }

    fn wait(&self, deadline: Instant, action: &dyn fmt::Display) -> Result<(), NetlinkError> {
        if self.socket.wait_readable(deadline)? {
            return Ok(());
        }
        Err(NetlinkError::Timeout { action: action.to_string(), limit: LIMIT })
    }
}

/// Whether a table stayed the same while it was dumped.
#[derive(Clone, Copy)]
enum Steadiness {
    Steady,
    Interrupted,
}

fn present_neighbor(event: Event) -> Option<NeighborEvent> {
    match event {
        Event::Neighbor(Change::Present(neighbor)) => Some(neighbor),
        _ => None,
    }
}

fn refused(action: &dyn fmt::Display, source: KernelError) -> NetlinkError {
    NetlinkError::Refused { action: action.to_string(), source }
}

/// The kernel answers requests at once; more than this means that something is badly wrong.
const LIMIT: Duration = Duration::from_secs(5);
/// How often a dump is repeated because the table changed meanwhile.
const ATTEMPTS: u32 = 16;
/// `NLM_F_DUMP_INTR`.
const FLAG_DUMP_INTERRUPTED: u16 = 0x10;
