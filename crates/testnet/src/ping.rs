//! Measures reachability with ICMPv6 echoes (RFC 4443 section 4).

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv6Addr, SocketAddrV6};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketAddrAny, SocketFlags, SocketType};

use crate::background::{Background, Stop, Woken, wait_readable};
use crate::{Error, Node};

/// What to ping, and how.
#[derive(Clone, Copy, Debug)]
pub struct Ping {
    destination: SocketAddrV6,
    source: Option<Ipv6Addr>,
    hop_limit: Option<u8>,
    payload_len: usize,
}

impl Ping {
    /// Echoes to an address, from whatever address the kernel chooses.
    pub fn new(destination: Ipv6Addr) -> Self {
        Self {
            destination: SocketAddrV6::new(destination, 0, 0, 0),
            source: None,
            hop_limit: None,
            payload_len: 0,
        }
    }

    /// Over this link; needed for link-local destinations.
    #[must_use]
    pub fn ifindex(mut self, ifindex: u32) -> Self {
        self.destination.set_scope_id(ifindex);
        self
    }

    /// From this address of the node's.
    #[must_use]
    pub fn source(self, source: Ipv6Addr) -> Self {
        Self { source: Some(source), ..self }
    }

    /// With this hop limit.
    #[must_use]
    pub fn hop_limit(self, hop_limit: u8) -> Self {
        Self { hop_limit: Some(hop_limit), ..self }
    }

    /// With this many octets after the header of the echo.
    #[must_use]
    pub fn payload_len(self, payload_len: usize) -> Self {
        Self { payload_len, ..self }
    }
}

/// No echo came back.
#[derive(Debug, thiserror::Error)]
pub enum PingError {
    /// Nothing came back in time.
    #[error("no reply from {destination} within {limit:?}")]
    Timeout {
        /// What was pinged.
        destination: Ipv6Addr,
        /// How long was waited.
        limit: Duration,
    },
    /// Somebody reported an error.
    #[error("{from} reports ICMPv6 type {kind} code {code} about {destination}")]
    Reported {
        /// What was pinged.
        destination: Ipv6Addr,
        /// Who reports.
        from: Ipv6Addr,
        /// The type of the error message, below 128.
        kind: u8,
        /// The code of the error message.
        code: u8,
    },
    /// The echo could not be sent.
    #[error("cannot send an echo request to {destination}")]
    Send {
        /// What was pinged.
        destination: Ipv6Addr,
        /// Why.
        source: io::Error,
    },
    /// The socket did not work.
    #[error(transparent)]
    Socket(#[from] Error),
}

/// Sends one echo request from `node` and waits for the reply; returns the round-trip time.
///
/// # Errors
///
/// [`PingError`].
pub fn ping_once(node: &Node, ping: &Ping, limit: Duration) -> Result<Duration, PingError> {
    let mut echo = Echo::open(node, ping)?;
    let destination = *ping.destination.ip();
    let start = Instant::now();
    let deadline = start + limit;
    echo.send(0).map_err(|source| PingError::Send { destination, source: source.into() })?;
    loop {
        match echo.receive() {
            Ok(Some(Answer::Reply { .. })) => return Ok(start.elapsed()),
            Ok(Some(Answer::Error { from, kind, code, .. })) => {
                return Err(PingError::Reported { destination, from, kind, code });
            }
            Ok(Some(Answer::Redirect)) => {}
            Ok(None) => {
                if !wait_readable(&echo.socket, deadline).map_err(socket_failed)? {
                    return Err(PingError::Timeout { destination, limit });
                }
            }
            Err(source) => return Err(socket_failed(source).into()),
        }
    }
}

/// Pings all the time, on a thread of its own, until it is dropped.
#[derive(Debug)]
pub struct Pinger {
    shared: Arc<Shared>,
    /// Dropped first, so that the report is final when `stop` takes it.
    thread: Option<Background>,
}

impl Pinger {
    /// Starts to send an echo request every `interval`.
    ///
    /// # Errors
    ///
    /// [`Error`] if no socket or no thread could be had.
    pub fn start(node: &Node, ping: &Ping, interval: Duration) -> Result<Self, Error> {
        let echo = Echo::open(node, ping)?;
        let shared = Arc::new(Shared::default());
        let seen = Arc::clone(&shared);
        let thread = Background::start("pinger", move |stop| run(echo, interval, stop, &seen))
            .map_err(|source| Error::system("start a thread to ping", source))?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// Waits for the reply to an echo request that is sent from now on; returns how long it took
    /// from now.
    ///
    /// # Errors
    ///
    /// [`Error::Awaited`] after `limit`.
    pub fn wait_reply(&self, limit: Duration) -> Result<Duration, Error> {
        let start = Instant::now();
        let is_answered = |report: &PingReport| {
            report
                .probes
                .iter()
                .rev()
                .take_while(|probe| probe.sent >= start)
                .any(Probe::is_answered)
        };
        let (report, result) = self
            .shared
            .changed
            .wait_timeout_while(self.shared.lock(), limit, |report| !is_answered(report))
            .unwrap_or_else(PoisonError::into_inner);
        if result.timed_out() {
            let errors = report.errors.len();
            return Err(Error::Awaited {
                what: "a reply to a ping".to_owned(),
                seen: format!("there were {errors} errors, {} redirects", report.redirects),
                limit,
            });
        }
        Ok(start.elapsed())
    }

    /// What happened so far.
    pub fn report(&self) -> PingReport {
        self.shared.lock().clone()
    }

    /// Stops and tells what happened. Requests of the last moment may still lack their replies.
    pub fn stop(mut self) -> PingReport {
        self.thread = None;
        self.report()
    }
}

/// What became of the echo requests of a [`Pinger`].
#[derive(Clone, Debug, Default)]
pub struct PingReport {
    /// All requests in the order in which they were sent.
    pub probes: Vec<Probe>,
    /// The errors that were reported: who, type, code.
    pub errors: Vec<(Ipv6Addr, u8, u8)>,
    /// How many Redirects came.
    pub redirects: usize,
}

/// One echo request.
#[derive(Clone, Copy, Debug)]
pub struct Probe {
    /// When it was sent.
    pub sent: Instant,
    /// How long the reply took, if one came.
    pub round_trip: Option<Duration>,
}

impl Probe {
    fn is_answered(&self) -> bool {
        self.round_trip.is_some()
    }
}

impl PingReport {
    /// How many requests got a reply.
    pub fn answered(&self) -> usize {
        self.probes.iter().filter(|probe| probe.is_answered()).count()
    }

    /// How many requests got none.
    pub fn lost(&self) -> usize {
        self.probes.len() - self.answered()
    }

    /// The longest time without reachability: between the sending of two requests that were
    /// answered, one after the other, with at least one lost between them; zero if none was lost
    /// in between. Requests lost at the very start or end do not count.
    pub fn longest_outage(&self) -> Duration {
        let answered: Vec<_> =
            self.probes.iter().enumerate().filter(|(_, probe)| probe.is_answered()).collect();
        answered
            .windows(2)
            .filter_map(|pair| match pair {
                [(before, first), (after, second)] if after - before > 1 => {
                    Some(second.sent.duration_since(first.sent))
                }
                _ => None,
            })
            .max()
            .unwrap_or_default()
    }

    /// The round-trip times of the answered requests, in the order in which they were sent.
    pub fn round_trips(&self) -> impl Iterator<Item = Duration> {
        self.probes.iter().filter_map(|probe| probe.round_trip)
    }
}

#[derive(Debug, Default)]
struct Shared {
    report: Mutex<PingReport>,
    changed: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, PingReport> {
        self.report.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn run(mut echo: Echo, interval: Duration, stop: &Stop, shared: &Shared) {
    let mut next = Instant::now();
    // Sequence numbers repeat; the newest request with the number counts.
    let mut in_flight = BTreeMap::new();
    loop {
        let now = Instant::now();
        if now >= next {
            next = (next + interval).max(now);
            let mut report = shared.lock();
            let index = report.probes.len();
            let sequence = u16::try_from(index % (1 << 16)).unwrap_or_default();
            in_flight.insert(sequence, index);
            report.probes.push(Probe { sent: now, round_trip: None });
            drop(report);
            // A request that cannot be sent counts as lost: the node has no route, for example.
            let _ = echo.send(sequence);
        }
        match stop.wait(&[echo.socket.as_fd()], Some(next)) {
            Ok(Woken::Stop) | Err(_) => return,
            Ok(Woken::Readable | Woken::Deadline) => {}
        }
        while let Ok(Some(answer)) = echo.receive() {
            let mut report = shared.lock();
            match answer {
                Answer::Redirect => report.redirects += 1,
                Answer::Error { from, kind, code } => report.errors.push((from, kind, code)),
                Answer::Reply { sequence } => {
                    let index = in_flight.remove(&sequence);
                    if let Some(probe) = index.and_then(|index| report.probes.get_mut(index)) {
                        probe.round_trip = Some(probe.sent.elapsed());
                    }
                }
            }
            drop(report);
            shared.changed.notify_all();
        }
    }
}

/// A raw socket that sends echo requests under an identifier of its own.
struct Echo {
    socket: OwnedFd,
    destination: SocketAddrV6,
    identifier: u16,
    request: Vec<u8>,
    buffer: Vec<u8>,
}

enum Answer {
    Reply { sequence: u16 },
    Error { from: Ipv6Addr, kind: u8, code: u8 },
    Redirect,
}

impl Echo {
    fn open(node: &Node, ping: &Ping) -> Result<Self, Error> {
        let fail = |source: Errno| {
            Error::system(format!("open a socket to ping from {}", node.name()), source)
        };
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = {
            let _inside = node.enter()?;
            let protocol = Some(rustix::net::ipproto::ICMPV6);
            rustix::net::socket_with(AddressFamily::INET6, SocketType::RAW, flags, protocol)
                .map_err(fail)?
        };
        if let Some(source) = ping.source {
            let scope = ping.destination.scope_id();
            rustix::net::bind(&socket, &SocketAddrV6::new(source, 0, 0, scope)).map_err(fail)?;
        }
        if let Some(hop_limit) = ping.hop_limit {
            rustix::net::sockopt::set_ipv6_unicast_hops(&socket, Some(hop_limit)).map_err(fail)?;
        }
        let identifier = NEXT_IDENTIFIER.fetch_add(1, Ordering::Relaxed);
        let mut request = vec![ECHO_REQUEST, 0, 0, 0];
        request.extend_from_slice(&identifier.to_be_bytes());
        request.extend_from_slice(&[0, 0]);
        request.resize(request.len() + ping.payload_len, 0);
        let buffer = vec![0; MESSAGE_LEN];
        Ok(Self { socket, destination: ping.destination, identifier, request, buffer })
    }

    /// The kernel fills in the checksum (RFC 3542 section 3.1).
    fn send(&mut self, sequence: u16) -> Result<(), Errno> {
        if let Some(field) = self.request.get_mut(6..8) {
            field.copy_from_slice(&sequence.to_be_bytes());
        }
        rustix::net::sendto(&self.socket, &self.request, SendFlags::empty(), &self.destination)
            .map(drop)
    }

    /// Receives something that concerns these echoes; `None` if there is nothing.
    fn receive(&mut self) -> Result<Option<Answer>, Errno> {
        loop {
            let received =
                rustix::net::recvfrom(&self.socket, &mut self.buffer[..], RecvFlags::empty());
            let (len, from) = match received {
                Ok((len, _, from)) => (len, from),
                Err(Errno::AGAIN) => return Ok(None),
                // The kernel passes on what it was told about earlier requests.
                Err(Errno::HOSTUNREACH | Errno::NETUNREACH | Errno::ACCESS | Errno::INTR) => {
                    continue;
                }
                Err(source) => return Err(source),
            };
            let from = from.and_then(address).unwrap_or(Ipv6Addr::UNSPECIFIED);
            if let Some(answer) = self.read(self.buffer.get(..len).unwrap_or_default(), from) {
                return Ok(Some(answer));
            }
        }
    }

    fn read(&self, message: &[u8], from: Ipv6Addr) -> Option<Answer> {
        let [kind, code, _, _, body @ ..] = message else { return None };
        match *kind {
            ECHO_REPLY => {
                let (identifier, sequence) = identifier_and_sequence(body)?;
                (identifier == self.identifier).then_some(Answer::Reply { sequence })
            }
            REDIRECT => Some(Answer::Redirect),
            ..=FIRST_INFORMATIONAL => {
                // Four octets of the error's own, the IPv6 header, the echo request.
                let (_, request) = body.split_at_checked(4 + 40)?;
                let [ECHO_REQUEST, _, _, _, echo @ ..] = request else { return None };
                let (identifier, _) = identifier_and_sequence(echo)?;
                (identifier == self.identifier).then_some(Answer::Error {
                    from,
                    kind: *kind,
                    code: *code,
                })
            }
            _ => None,
        }
    }
}

fn identifier_and_sequence(body: &[u8]) -> Option<(u16, u16)> {
    let [a, b, c, d, ..] = *body else { return None };
    Some((u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d])))
}

fn address(address: SocketAddrAny) -> Option<Ipv6Addr> {
    SocketAddrV6::try_from(address).ok().map(|address| *address.ip())
}

fn socket_failed(source: Errno) -> Error {
    Error::system("receive the answer to a ping", source)
}

/// Tells the echoes of one socket from those of another in the same node.
static NEXT_IDENTIFIER: AtomicU16 = AtomicU16::new(1);
const ECHO_REQUEST: u8 = 128;
const ECHO_REPLY: u8 = 129;
const REDIRECT: u8 = 137;
/// Types below are errors (RFC 4443 section 2.1).
const FIRST_INFORMATIONAL: u8 = 127;
const MESSAGE_LEN: usize = 65_536;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outage_lies_between_two_answered_requests() {
        let start = Instant::now();
        let probe = |millis: u64, answered: bool| Probe {
            sent: start + Duration::from_millis(millis),
            round_trip: answered.then_some(Duration::from_millis(1)),
        };
        let report = PingReport {
            probes: vec![
                probe(0, false),
                probe(10, true),
                probe(20, true),
                probe(30, false),
                probe(40, false),
                probe(50, true),
                probe(60, false),
            ],
            ..PingReport::default()
        };
        assert_eq!(report.longest_outage(), Duration::from_millis(30));
        assert_eq!((report.answered(), report.lost()), (3, 4));
        assert_eq!(PingReport::default().longest_outage(), Duration::ZERO);
    }
}
