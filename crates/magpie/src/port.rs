//! Holds the packet sockets of the links, and the frames that are about to leave by them; opens
//! those again that fail, but not over and over.

use std::collections::BTreeMap;
use std::net::Ipv6Addr;
use std::time::Duration;

use magpie_engine::{Datagram, Instant, LinkId, Transmit, WatchedData};
use magpie_sys::batch::{self, Frames, RecvBatch, SendBatch, Sent};
use magpie_sys::framing::Framing;
use magpie_sys::packet::{LinkFault, PacketError, PacketSocket, Purpose, SocketOptions};

use crate::audience::Audience;
use crate::trace;

/// What a socket of a link is there for. Each link has one of each at most.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Channel {
    /// Neighbor Discovery.
    Neighbors,
    /// Datagrams by which services are found.
    Services,
}

/// Which socket: of what link, and what for.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct PortId {
    pub(crate) link: LinkId,
    pub(crate) channel: Channel,
}

/// Buffers to receive in, which all links share.
#[derive(Debug, Default)]
pub(crate) struct Batches {
    neighbors: RecvBatch,
    /// They are large, and few need them.
    services: Option<RecvBatch>,
}

/// One socket of a link, with what went through it.
#[derive(Debug)]
pub(crate) struct Port {
    socket: PacketSocket,
    options: SocketOptions,
    /// The groups of services, where they are received.
    audience: Option<Audience>,
    outbox: SendBatch,
    sent: Sent,
    received: u64,
    lost: u64,
    watch: Watch,
}

/// Which of the engine's wishes outgoing packets are watched by.
#[derive(Clone, Copy, Debug, Default)]
struct Watch {
    /// None while they are not watched at all.
    revision: Option<u64>,
    /// The revision of which it was told that it could not be followed.
    told: Option<u64>,
}

/// What overflowing did, whichever socket was there.
#[derive(Clone, Copy, Debug, Default)]
struct Overflow {
    count: u64,
    told: Option<Instant>,
}

/// The sockets of all links that are there.
#[derive(Debug, Default)]
pub(crate) struct Ports {
    open: BTreeMap<PortId, Port>,
    /// Of sockets that failed.
    faults: BTreeMap<PortId, Fault>,
    /// Of sockets that had no room for all frames.
    overflows: BTreeMap<PortId, Overflow>,
    /// Frames for links that have gone.
    astray: u64,
}

/// What is wrong with a socket, or was a while ago.
#[derive(Debug, Default)]
struct Fault {
    /// Why there is no socket.
    reason: Option<String>,
    /// When to try again; none while there is nothing to try.
    retry_at: Option<Instant>,
    /// Failures without a minute of peace in between.
    count: u32,
    last: Instant,
    /// How often there was a new socket for one that had failed.
    reopened: u64,
    /// What went through the sockets before.
    past: Traffic,
}

/// What went through a link's socket since the link is there.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Traffic {
    /// Frames received.
    pub(crate) received: u64,
    /// Frames sent.
    pub(crate) sent: u64,
    /// Frames lost on their way in or out.
    pub(crate) dropped: u64,
}

impl Channel {
    /// All of them.
    pub(crate) const ALL: [Self; 2] = [Self::Neighbors, Self::Services];

    /// The socket of this kind of a link.
    pub(crate) fn of(self, link: LinkId) -> PortId {
        PortId { link, channel: self }
    }
}

impl Batches {
    /// Receives what waits at a socket.
    pub(crate) fn receive(&mut self, id: PortId, port: &Port) -> Result<Frames<'_>, LinkFault> {
        let batch = match id.channel {
            Channel::Neighbors => &mut self.neighbors,
            Channel::Services => self.services.get_or_insert_with(RecvBatch::for_datagrams),
        };
        batch.receive(&port.socket)
    }
}

impl Port {
    /// Opens the socket of a link that these options call for.
    pub(crate) fn open(link: LinkId, options: SocketOptions) -> Result<Self, PacketError> {
        let audience = match options.purpose {
            Purpose::NeighborDiscovery => None,
            Purpose::Services(services) => Some(Audience::new(link, services)),
        };
        Ok(Self {
            socket: PacketSocket::open(link.0, &options)?,
            options,
            audience,
            outbox: SendBatch::new(),
            sent: Sent::default(),
            received: 0,
            lost: 0,
            watch: Watch::default(),
        })
    }

    /// The socket, to receive from and to wait for.
    pub(crate) fn socket(&self) -> &PacketSocket {
        &self.socket
    }

    /// How it was opened.
    pub(crate) fn options(&self) -> SocketOptions {
        self.options
    }

    /// Counts frames that were received.
    pub(crate) fn count_received(&mut self, frames: usize) {
        self.received += frames as u64;
    }

    fn traffic(&mut self) -> Traffic {
        // The kernel's count starts anew with each reading.
        if let Ok(statistics) = self.socket.statistics() {
            self.lost += u64::from(statistics.dropped);
        }
        Traffic {
            received: self.received,
            sent: self.sent.sent,
            dropped: self.lost + self.sent.dropped(),
        }
    }

    /// Joins the groups that it is there for and that are not joined yet; what went wrong is told
    /// when it is another thing than before.
    fn join(&mut self, now: Instant) -> Option<String> {
        self.audience.as_mut()?.join(now)
    }

    fn send(&mut self, datagram: &Datagram) {
        trace::datagram_sent(datagram, self.options.framing);
        self.sent += batch::send(&self.socket, &datagram.frame);
    }

    fn put(&mut self, transmit: &Transmit) {
        trace::sent(transmit);
        if self.outbox.slot().is_none() {
            self.flush();
        }
        let packet = &transmit.packet;
        let written = self.outbox.slot().map(|slot| match self.options.framing {
            Framing::Ethernet => packet.emit(slot),
            Framing::Bare => packet.emit_bare(slot),
        });
        match written {
            Some(Ok(length)) => self.outbox.commit(length),
            Some(Err(_)) | None => self.sent.refused += 1,
        }
    }

    fn flush(&mut self) {
        if !self.outbox.is_empty() {
            self.sent += self.outbox.flush(&self.socket);
        }
    }
}

impl Ports {
    /// Adds a socket.
    pub(crate) fn insert(&mut self, id: PortId, port: Port) {
        self.open.insert(id, port);
        if let Some(fault) = self.faults.get_mut(&id) {
            fault.mend();
        }
    }

    /// Closes the sockets of a link that is none any longer.
    pub(crate) fn remove_link(&mut self, link: LinkId) {
        for channel in Channel::ALL {
            self.remove(channel.of(link));
        }
    }

    /// Closes a socket that is not wanted any longer.
    pub(crate) fn remove(&mut self, id: PortId) {
        // Its last words.
        self.open.remove(&id).iter_mut().for_each(Port::flush);
        self.faults.remove(&id);
        self.overflows.remove(&id);
    }

    /// Closes a socket, to open another one.
    pub(crate) fn close(&mut self, id: PortId) {
        if let Some(mut port) = self.open.remove(&id) {
            let fault = self.faults.entry(id).or_default();
            fault.past = fault.past + port.traffic();
        }
    }

    /// Closes a socket, if there is one, since it failed or could not be opened; says when to open
    /// it again. The first time that is at once if `may_be_well` says that it may help; then it
    /// takes longer each time.
    pub(crate) fn fail(
        &mut self,
        id: PortId,
        reason: String,
        may_be_well: bool,
        now: Instant,
    ) -> Instant {
        self.close(id);
        let fault = self.faults.entry(id).or_default();
        if now.since(fault.last) > PEACE {
            fault.count = 0;
        }
        let pause = match fault.count {
            0 if may_be_well => Duration::ZERO,
            count => SHORTEST_PAUSE.saturating_mul(1 << count.min(6)).min(LONGEST_PAUSE),
        };
        fault.count = fault.count.saturating_add(1);
        fault.last = now;
        fault.reason = Some(reason);
        let at = now + pause;
        fault.retry_at = Some(at);
        at
    }

    /// Why there is no such socket, if there is none.
    pub(crate) fn fault(&self, id: PortId) -> Option<&str> {
        self.faults.get(&id)?.reason.as_deref()
    }

    /// Why a link lacks a socket, or memberships that it is there for, if it does.
    pub(crate) fn link_fault(&self, link: LinkId) -> Option<&str> {
        Channel::ALL.iter().find_map(|channel| self.fault(channel.of(link)))
    }

    /// What a link lacks that can be done without.
    pub(crate) fn shortcoming(&self, link: LinkId) -> Option<&str> {
        self.get(Channel::Services.of(link))?.audience.as_ref()?.shortcoming()
    }

    /// Whether a socket is to be opened again by now. What was wrong with links that are not
    /// `served` any longer is forgotten, since nothing would ever come of it.
    pub(crate) fn is_due(&mut self, served: impl Fn(LinkId) -> bool, now: Instant) -> bool {
        if self.due().is_none_or(|at| at > now) {
            return false;
        }
        self.faults.retain(|id, _| served(id.link));
        self.due().is_some_and(|at| at <= now)
    }

    /// When a socket is to be opened again, or a group to be joined; none while all work.
    pub(crate) fn due(&self) -> Option<Instant> {
        let sockets = self.faults.values().filter_map(|fault| fault.retry_at);
        let audiences = self.open.values().filter_map(|port| port.audience.as_ref());
        sockets.chain(audiences.filter_map(Audience::due)).min()
    }

    /// Joins the groups on a link that are not joined yet; returns what is wrong if that is news.
    pub(crate) fn join(&mut self, link: LinkId, now: Instant) -> Option<String> {
        self.open.get_mut(&Channel::Services.of(link))?.join(now)
    }

    /// Takes note of the groups for datagrams that the kernel has left by itself: of those that were
    /// joined, the ones that `is_there` says are not there. Returns how many there are.
    pub(crate) fn note_lost_groups(&mut self, is_there: impl Fn(u32, Ipv6Addr) -> bool) -> usize {
        let audiences = self.open.values_mut().filter_map(|port| port.audience.as_mut());
        audiences.map(|audience| audience.note_lost(&is_there)).sum()
    }

    /// Joins the groups again that were noted; returns how many on which link.
    pub(crate) fn restore_groups(&mut self, now: Instant) -> Vec<(LinkId, usize)> {
        let audiences = self.open.iter_mut();
        let restored = audiences.filter_map(|(id, port)| {
            let count = port.audience.as_mut()?.restore(now);
            (count > 0).then_some((id.link, count))
        });
        restored.collect()
    }

    /// Counts the groups joined on a link for datagrams.
    pub(crate) fn groups(&self, link: LinkId) -> usize {
        let audience = |port: &Port| port.audience.as_ref().map_or(0, Audience::count);
        self.get(Channel::Services.of(link)).map_or(0, audience)
    }

    /// Takes note that a socket had no room for some frames; tells whether that is to be told, which
    /// it is once a minute at most.
    pub(crate) fn overflow(&mut self, id: PortId, now: Instant) -> bool {
        let overflow = self.overflows.entry(id).or_default();
        overflow.count += 1;
        let is_due = overflow.told.is_none_or(|told| now.since(told) >= TELL_INTERVAL);
        if is_due {
            overflow.told = Some(now);
        }
        is_due
    }

    /// How often a link's sockets had no room for all frames.
    pub(crate) fn overflows(&self, link: LinkId) -> u64 {
        let count = |channel: &Channel| self.overflows.get(&channel.of(link));
        Channel::ALL.iter().filter_map(count).map(|overflow| overflow.count).sum()
    }

    /// Drops the frames that wait to be read, as nobody knows for how long; returns how many there
    /// were, and what was wrong with sockets.
    pub(crate) fn drain(&mut self, batches: &mut Batches) -> (usize, Vec<(PortId, LinkFault)>) {
        let (mut count, mut faults) = (0, Vec::new());
        for (id, port) in &mut self.open {
            // What arrives faster than it can be dropped is new.
            for _ in 0..MOST_STALE_BATCHES {
                match batches.receive(*id, port) {
                    Ok(frames) => {
                        count += frames.len();
                        port.received += frames.len() as u64;
                        if !frames.is_full() {
                            break;
                        }
                    }
                    Err(fault) => {
                        faults.push((*id, fault));
                        break;
                    }
                }
            }
        }
        (count, faults)
    }

    /// Whether a socket is to be opened: it is not open, and did not fail a moment ago.
    pub(crate) fn is_wanted(&self, id: PortId, now: Instant) -> bool {
        let is_due = |fault: &Fault| fault.retry_at.is_none_or(|at| at <= now);
        !self.open.contains_key(&id) && self.faults.get(&id).is_none_or(is_due)
    }

    /// The socket.
    pub(crate) fn get(&self, id: PortId) -> Option<&Port> {
        self.open.get(&id)
    }

    /// The socket.
    pub(crate) fn get_mut(&mut self, id: PortId) -> Option<&mut Port> {
        self.open.get_mut(&id)
    }

    /// What went through a link's sockets so far.
    pub(crate) fn traffic(&mut self, link: LinkId) -> Traffic {
        let mut traffic = Traffic::default();
        for id in Channel::ALL.map(|channel| channel.of(link)) {
            let present = self.open.get_mut(&id).map(Port::traffic).unwrap_or_default();
            let past = self.faults.get(&id).map(|fault| fault.past).unwrap_or_default();
            traffic = traffic + present + past;
        }
        traffic
    }

    /// How often a link's sockets were opened again.
    pub(crate) fn reopened(&self, link: LinkId) -> u64 {
        let fault = |channel: &Channel| self.faults.get(&channel.of(link));
        Channel::ALL.iter().filter_map(fault).map(|fault| fault.reopened).sum()
    }

    /// Puts a frame into its link's outbox.
    pub(crate) fn put(&mut self, transmit: &Transmit) {
        match self.open.get_mut(&Channel::Neighbors.of(transmit.link)) {
            Some(port) => port.put(transmit),
            None => self.astray += 1,
        }
    }

    /// Sends a datagram now.
    pub(crate) fn send(&mut self, datagram: &Datagram) {
        match self.open.get_mut(&Channel::Services.of(datagram.link)) {
            Some(port) => port.send(datagram),
            None => self.astray += 1,
        }
    }

    /// Sends what is in the outboxes.
    pub(crate) fn flush(&mut self) {
        self.open.values_mut().for_each(Port::flush);
    }

    /// Watches what leaves by links without link-layer addresses as `wanted` says, whose answers
    /// are new with each `revision`. Where that fails, what was watched before still is, and it is
    /// tried again the next time.
    pub(crate) fn watch(&mut self, revision: u64, wanted: impl Fn(LinkId) -> WatchedData) {
        let is_meant = |id: &PortId, port: &Port| {
            id.channel == Channel::Neighbors && port.options.framing == Framing::Bare
        };
        for (id, port) in self.open.iter_mut().filter(|(id, port)| is_meant(id, port)) {
            let socket = &mut port.socket;
            let failed = port.watch.follow(revision, || {
                let WatchedData { prefixes, except } = wanted(id.link);
                socket.watch(prefixes, except)
            });
            if let Some(error) = failed {
                tracing::warn!(link = id.link.0, %error, "packets on a link are not watched");
            }
        }
    }

    /// Frames that had no link left to leave by.
    pub(crate) fn astray(&self) -> u64 {
        self.astray
    }
}

impl Watch {
    /// Makes the `attempt` to watch by a revision that is not followed yet; returns why that failed
    /// unless it was told of this revision before.
    fn follow<E>(&mut self, revision: u64, attempt: impl FnOnce() -> Result<(), E>) -> Option<E> {
        if self.revision == Some(revision) {
            return None;
        }
        match attempt() {
            Ok(()) => {
                self.revision = Some(revision);
                None
            }
            Err(error) => (self.told.replace(revision) != Some(revision)).then_some(error),
        }
    }
}

impl Fault {
    /// Takes note that there is a socket. The one before may only have been opened otherwise.
    fn mend(&mut self) {
        self.reopened += u64::from(self.reason.take().is_some());
        self.retry_at = None;
    }
}

impl std::ops::Add for Traffic {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            received: self.received + other.received,
            sent: self.sent + other.sent,
            dropped: self.dropped + other.dropped,
        }
    }
}

/// A socket that worked for so long has nothing to do with earlier failures.
const PEACE: Duration = Duration::from_secs(60);
/// Time before the second attempt; each further one waits twice as long.
const SHORTEST_PAUSE: Duration = Duration::from_millis(500);
/// Overflowing is told no more often.
const TELL_INTERVAL: Duration = Duration::from_secs(60);
/// More than the receive buffer of a socket holds.
const MOST_STALE_BATCHES: usize = 512;
/// Time between attempts in the long run.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_that_fails_over_and_over_is_opened_ever_less_often() {
        let mut ports = Ports::default();
        let link = Channel::Neighbors.of(LinkId(8));
        let start = Instant::ZERO + 2 * PEACE;
        assert!(ports.is_wanted(link, start));
        let mut now = start;
        let mut pauses = Vec::new();
        for _ in 0..9 {
            let at = ports.fail(link, "broken".to_owned(), true, now);
            assert_eq!(ports.due(), Some(at));
            assert!(at == now || !ports.is_wanted(link, now));
            assert!(ports.is_wanted(link, at));
            pauses.push(at.since(now).as_millis());
            now = at;
        }
        assert_eq!(pauses, [0, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000, 30_000]);
        assert_eq!(ports.fault(link), Some("broken"));
        let later = now + 2 * PEACE;
        assert_eq!(ports.fail(link, "again".to_owned(), true, later), later);
        assert_eq!(ports.fault(link), Some("again"));
        ports.remove(link);
        assert_eq!((ports.due(), ports.fault(link)), (None, None));
        assert!(ports.is_wanted(link, later));
    }

    #[test]
    fn a_link_that_is_not_served_any_longer_is_never_due() {
        let mut ports = Ports::default();
        let (gone, there) = (Channel::Neighbors.of(LinkId(8)), Channel::Services.of(LinkId(9)));
        let now = Instant::ZERO + 2 * PEACE;
        let is_there = |link: LinkId| link == there.link;
        ports.fail(gone, "broken".to_owned(), true, now);
        assert!(!ports.is_due(is_there, now));
        assert_eq!(ports.due(), None, "or it would be waited for a time in the past");
        ports.fail(there, "broken".to_owned(), true, now);
        assert!(ports.is_due(is_there, now));
    }

    #[test]
    fn watching_is_tried_until_it_works_and_complained_of_once() {
        let mut watch = Watch::default();
        assert_eq!(watch.follow(1, || Err("no memory")), Some("no memory"));
        assert_eq!(watch.follow(1, || Err("no memory")), None);
        assert_eq!(watch.revision, None);
        assert_eq!(watch.follow(1, || Ok::<_, &str>(())), None);
        assert_eq!(watch.revision, Some(1));
        assert_eq!(watch.follow(1, || Err("it is followed already")), None);
        assert_eq!(watch.follow(2, || Err("no memory")), Some("no memory"));
        assert_eq!(watch.revision, Some(1), "what was watched before still is");
    }

    #[test]
    fn overflowing_is_counted_and_told_once_a_minute() {
        let mut ports = Ports::default();
        let start = Instant::ZERO;
        let id = Channel::Neighbors.of(LinkId(8));
        let told = (0..1000)
            .filter(|second| ports.overflow(id, start + Duration::from_secs(*second) / 10));
        assert_eq!(told.count(), 2);
        assert_eq!((ports.overflows(LinkId(8)), ports.overflows(LinkId(9))), (1000, 0));
    }

    #[test]
    fn only_a_socket_that_failed_counts_as_opened_again() {
        let mut ports = Ports::default();
        let id = Channel::Services.of(LinkId(8));
        let mend = |ports: &mut Ports| ports.faults.entry(id).or_default().mend();
        // As when it is to be opened with other options.
        mend(&mut ports);
        assert_eq!(ports.reopened(id.link), 0);
        ports.fail(id, "broken".to_owned(), false, Instant::ZERO);
        mend(&mut ports);
        assert_eq!((ports.reopened(id.link), ports.fault(id), ports.due()), (1, None, None));
    }

    #[test]
    fn a_link_that_cannot_be_opened_is_not_tried_again_at_once() {
        let mut ports = Ports::default();
        let now = Instant::ZERO + 2 * PEACE;
        let at = ports.fail(Channel::Neighbors.of(LinkId(8)), "no room".to_owned(), false, now);
        assert_eq!(at.since(now), SHORTEST_PAUSE);
    }
}
