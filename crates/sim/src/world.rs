//! The whole network: links, hosts and Magpie nodes, and the clock that moves them.

use std::net::Ipv6Addr;
use std::rc::Rc;
use std::time::Duration;

use ipnet::Ipv6Net;
use magpie_engine::{Config, Instant, KernelEvent, KernelOp, LinkId, Member, RequestId};
use magpie_wire::{LinkAddr, Packet};

use crate::frame::{Datagram, Frame, PingId};
use crate::habits::{Conversation, Habit, Habits, Talks};
use crate::host::{Arrival, Host, Roam};
use crate::interface::{Alarm, Effect, Interface, Stack, Validity};
use crate::invariants::Breach;
use crate::kernel::{Kernel, Port};
use crate::medium::{Medium, Segment, Station};
use crate::node::Node;
use crate::queue::Queue;
use crate::trace::{Entry, Seconds, Trace};
use crate::{HostId, NodeId};

/// The subnet that all links share.
pub const SUBNET: Ipv6Net = Ipv6Net::new_assert(Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, 0), 64);
/// A server in the Internet, behind the router.
pub const OUTSIDE: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0xffff, 0, 0, 0, 0, 1);

/// A network and everything in it.
///
/// Whatever lets time pass panics when a Magpie breaks a rule, with the seed and what led to it.
pub struct World {
    seed: u64,
    now: Instant,
    queue: Queue<Happening>,
    pub(crate) rng: fastrand::Rng,
    segments: Vec<Segment>,
    pub(crate) hosts: Vec<Host>,
    pub(crate) nodes: Vec<Node>,
    pub(crate) router: Option<HostId>,
    trace: Trace,
    /// When each request was sent and answered.
    pings: Vec<(Instant, Option<Instant>)>,
    effects: Vec<Effect>,
    pub(crate) habits: Option<Habits>,
    pub(crate) talks: Talks,
    pub(crate) hop_limits_exceeded: u64,
    pub(crate) unroutable: u64,
    /// Frames sent by everybody, and solicitations for everybody by Magpies.
    sent: u64,
    pub(crate) duplicates_allowed: bool,
}

/// What came of an attempt of hosts to reach each other.
#[derive(Clone, Debug)]
pub struct Attempt {
    /// When the last of them did that succeeded.
    pub latest: Instant,
    /// Who did not reach whom.
    pub open: Vec<(HostId, HostId)>,
}

/// Something that is going to happen.
pub(crate) enum Happening {
    Deliver {
        link: LinkId,
        station: Station,
        frame: Rc<Frame>,
    },
    HostAlarm {
        host: HostId,
        alarm: Alarm,
    },
    KernelAlarm {
        node: NodeId,
        link: LinkId,
        alarm: Alarm,
    },
    Wake {
        node: NodeId,
        at: Instant,
    },
    Execute {
        node: NodeId,
        life: u64,
        request: RequestId,
        op: KernelOp,
    },
    Find {
        node: NodeId,
        life: u64,
        request: RequestId,
        target: Ipv6Addr,
    },
    Notify {
        node: NodeId,
        life: u64,
        event: KernelEvent,
    },
    Overrun {
        node: NodeId,
        life: u64,
    },
    /// A node gives an interface its addresses.
    Configure {
        node: NodeId,
        link: LinkId,
    },
    /// A node advertises itself as a router.
    Beacon {
        node: NodeId,
        link: LinkId,
    },
    Continue {
        node: NodeId,
        life: u64,
    },
    Habit {
        host: HostId,
        habit: Habit,
    },
    Talk {
        conversation: Conversation,
    },
}

impl World {
    /// Creates an empty network. Two runs with the same seed are the same.
    pub fn new(seed: u64) -> Self {
        Self {
            seed,
            // A clock that has been running for a while, as on a real machine.
            now: Instant::ZERO + Duration::from_secs(1_000),
            queue: Queue::new(),
            rng: fastrand::Rng::with_seed(seed),
            segments: Vec::new(),
            hosts: Vec::new(),
            nodes: Vec::new(),
            router: None,
            trace: Trace::default(),
            pings: Vec::new(),
            effects: Vec::new(),
            habits: None,
            talks: Talks::default(),
            hop_limits_exceeded: 0,
            unroutable: 0,
            sent: 0,
            duplicates_allowed: false,
        }
    }

    /// Adds a link.
    ///
    /// # Panics
    ///
    /// Beyond four billion links.
    pub fn add_link(&mut self, medium: Medium) -> LinkId {
        self.segments.push(Segment::new(medium));
        LinkId(u32::try_from(self.segments.len()).expect("a handful of links"))
    }

    /// Changes how well a link carries frames.
    pub fn set_medium(&mut self, link: LinkId, medium: Medium) {
        self.segment_mut(link).medium = medium;
    }

    /// Connects two links by a cable, as somebody does by mistake.
    pub fn bridge(&mut self, one: LinkId, other: LinkId) {
        self.segment_mut(one).bridged.push(other);
        self.segment_mut(other).bridged.push(one);
    }

    /// Adds the router to the Internet.
    pub fn add_router(&mut self, link: LinkId) -> HostId {
        let router = HostId(self.hosts.len());
        let mut interface = Interface::new(station_address(0, 1), Stack::Linux, true);
        interface.assign(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1));
        interface.assign(in_subnet(1));
        self.hosts.push(Host {
            interface,
            link: Some(link),
            awake: true,
            gateway: None,
            subnet: SUBNET,
            changed: self.now,
        });
        self.attach(router, link);
        self.router = Some(router);
        for node in &mut self.nodes {
            if node.kernel.port_on(link) == Some(node.kernel.on_link) {
                node.kernel.gateway = Some(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1));
            }
        }
        router
    }

    /// Adds a host that joins a link now.
    pub fn add_host(&mut self, link: LinkId) -> HostId {
        self.add_host_with(link, Stack::Linux)
    }

    /// Adds a host with a stack of a given kind.
    pub fn add_host_with(&mut self, link: LinkId, stack: Stack) -> HostId {
        let host = HostId(self.hosts.len());
        let number = u64::try_from(host.0).unwrap_or(u64::MAX) + 0x100;
        let mut interface = Interface::new(station_address(1, number), stack, false);
        interface.assign(Ipv6Addr::from(0xfe80 << 112 | u128::from(number)));
        interface.assign(in_subnet(number));
        self.hosts.push(Host {
            interface,
            link: None,
            awake: true,
            gateway: None,
            subnet: SUBNET,
            changed: self.now,
        });
        self.roam(host, link, Roam::Dad);
        host
    }

    /// Gives a host one more address, with duplicate address detection.
    pub fn add_address(&mut self, host: HostId, address: Ipv6Addr) {
        let now = self.now;
        let mut effects = self.take_effects();
        let state = &mut self.hosts[host.0];
        state.interface.configure(address, now, &mut self.rng, &mut effects);
        self.host_effects(host, effects);
    }

    /// Takes an address from a host.
    pub fn remove_address(&mut self, host: HostId, address: Ipv6Addr) {
        self.hosts[host.0].interface.remove(address);
    }

    /// Adds a node that runs Magpie on some links. The routing table of its kernel knows the
    /// subnet on the first of them.
    ///
    /// # Panics
    ///
    /// If there are no links.
    pub fn add_node(&mut self, links: &[LinkId], config: Config) -> NodeId {
        let node = NodeId(self.nodes.len());
        let number = u64::try_from(node.0).unwrap_or(u64::MAX) + 1;
        let ports = links.iter().zip(0..).map(|(link, member)| {
            let mut interface = Interface::new(node_lladdr(node, *link, 0), Stack::Linux, true);
            interface.assign(node_link_local(node, *link, 0));
            if member == 0 {
                interface.assign(in_subnet(0xa0 + number));
            }
            (*link, Port::new(interface, *link, Member(member)))
        });
        let on_link = *links.first().expect("a node has links");
        let router_is_there =
            self.router.is_some_and(|router| self.hosts[router.0].link == Some(on_link));
        let kernel = Kernel {
            ports: ports.collect(),
            routes: std::collections::BTreeMap::new(),
            foreign: std::collections::BTreeMap::new(),
            groups: std::collections::BTreeSet::new(),
            untold: std::collections::BTreeSet::new(),
            on_link,
            subnet: SUBNET,
            gateway: router_is_there.then_some(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1)),
        };
        let address = in_subnet(0xa0 + number);
        self.nodes.push(Node::new(kernel, address, config));
        for link in links {
            if let Some(port) = self.nodes[node.0].kernel.ports.get(link) {
                let lladdr = port.interface.lladdr;
                self.segment_mut(*link).attach(Station::Node(node), lladdr);
            }
        }
        self.start(node);
        node
    }

    /// Moves a host to a link, or brings it back.
    pub fn roam(&mut self, host: HostId, link: LinkId, roam: Roam) {
        let now = self.now;
        self.detach(host);
        self.attach(host, link);
        let gateway = self.gateway_on(link);
        let state = &mut self.hosts[host.0];
        state.gateway = gateway;
        state.changed = now;
        state.interface.flush_neighbors();
        if let Some(address) = self.hosts[host.0].address() {
            self.trace(Entry::Moved { address, to: Some(link) });
        }
        let mut effects = self.take_effects();
        let state = &mut self.hosts[host.0];
        match (roam, gateway, state.address()) {
            (Roam::Dad, ..) => {
                state.interface.reconfigure(now, &mut self.rng, &mut effects);
            }
            (Roam::Quiet, Some(_), Some(address)) => {
                // What it has to send goes through its router, so that it asks for it.
                let datagram = Datagram::request(address, OUTSIDE, self.next_ping());
                self.hosts[host.0].send(datagram, now, &mut effects);
            }
            (Roam::Quiet | Roam::Silent, ..) => {}
        }
        self.host_effects(host, effects);
    }

    /// Takes a host away.
    pub fn leave(&mut self, host: HostId) {
        self.detach(host);
        self.hosts[host.0].changed = self.now;
        if let Some(address) = self.hosts[host.0].address() {
            self.trace(Entry::Moved { address, to: None });
        }
    }

    /// Puts a host to sleep, or wakes it: while it sleeps it hears and says nothing.
    pub fn set_awake(&mut self, host: HostId, awake: bool) {
        let now = self.now;
        let state = &mut self.hosts[host.0];
        state.awake = awake;
        state.changed = now;
        if let Some(address) = state.address() {
            self.trace(Entry::Doze { address, awake });
        }
    }

    /// Sends an echo request.
    pub fn ping(&mut self, from: HostId, to: Ipv6Addr) -> PingId {
        let ping = self.next_ping();
        let source = if self.router == Some(from) && !SUBNET.contains(&to) {
            Some(OUTSIDE)
        } else {
            self.hosts[from.0].address()
        };
        if let Some(source) = source {
            self.send(from, Datagram::request(source, to, ping));
        }
        ping
    }

    /// Sends an echo request from another address of a host than its first.
    pub fn ping_as(&mut self, from: HostId, source: Ipv6Addr, to: Ipv6Addr) -> PingId {
        let ping = self.next_ping();
        self.send(from, Datagram::request(source, to, ping));
        ping
    }

    /// Sends an echo request from the Internet through the router.
    pub fn ping_from_outside(&mut self, to: Ipv6Addr) -> PingId {
        let ping = self.next_ping();
        if let Some(router) = self.router {
            self.send(router, Datagram::request(OUTSIDE, to, ping));
        }
        ping
    }

    /// Sends a frame as somebody who plays by no rules, and hears no answer.
    pub fn inject(&mut self, link: LinkId, packet: Packet<'static>) {
        self.transmit(link, Station::Intruder, Frame::nd(packet));
    }

    /// Returns how long the answer to a request took, if it came.
    pub fn answered(&self, ping: PingId) -> Option<Duration> {
        let (sent, answered) = self.pings[ping.0];
        answered.map(|answered| answered.since(sent))
    }

    /// Sends a request a second until one is answered; returns how long it all took.
    ///
    /// # Panics
    ///
    /// If there is no answer within the time.
    pub fn reach(&mut self, from: HostId, to: Ipv6Addr, within: Duration) -> Duration {
        let start = self.now;
        let mut pings = Vec::new();
        loop {
            pings.push(self.ping(from, to));
            self.run_for(Duration::from_secs(1));
            let answer = pings.iter().filter_map(|ping| self.pings[ping.0].1).min();
            if let Some(answer) = answer {
                return answer.since(start);
            }
            if self.now.since(start) >= within {
                let rule = "a host that is there can be reached";
                self.fail(Breach { target: to, rule });
            }
        }
    }

    /// Has every pair exchange data both ways; returns how long it took for the last of them.
    ///
    /// # Panics
    ///
    /// If some pair does not within the time.
    pub fn converge(&mut self, pairs: &[(HostId, HostId)], within: Duration) -> Duration {
        let start = self.now;
        let closed = self.attempt(pairs, within);
        if let Some((from, to)) = closed.open.first() {
            let (open, all) = (closed.open.len(), pairs.len() * 2);
            eprintln!("{open} of {all} ways are closed; {from:?} to {to:?}");
            let target = self.hosts[to.0].address().unwrap_or(Ipv6Addr::UNSPECIFIED);
            self.fail(Breach { target, rule: "hosts that are there reach each other" });
        }
        closed.latest.since(start)
    }

    /// Has every pair exchange data both ways, as long as that takes and at most for some time.
    pub fn attempt(&mut self, pairs: &[(HostId, HostId)], within: Duration) -> Attempt {
        let start = self.now;
        let mut latest = start;
        let mut open: Vec<(HostId, HostId, Vec<PingId>)> = pairs
            .iter()
            .flat_map(|(one, other)| [(*one, *other, Vec::new()), (*other, *one, Vec::new())])
            .collect();
        loop {
            for (from, to, pings) in &mut open {
                if let Some(address) = self.hosts[to.0].address() {
                    pings.push(self.ping(*from, address));
                }
            }
            self.run_for(Duration::from_secs(1));
            open.retain(|(_, _, pings)| {
                let answer = pings.iter().filter_map(|ping| self.pings[ping.0].1).min();
                latest = answer.map_or(latest, |answer| latest.max(answer));
                answer.is_none()
            });
            if open.is_empty() || self.now.since(start) >= within {
                let open = open.into_iter().map(|(from, to, _)| (from, to)).collect();
                return Attempt { latest, open };
            }
        }
    }

    /// Lets time pass.
    pub fn run_for(&mut self, span: Duration) {
        self.run_until(self.now + span);
    }

    /// Lets time pass up to an instant.
    pub fn run_until(&mut self, until: Instant) {
        while let Some((at, what)) = self.queue.pop(until) {
            self.now = at;
            self.happen(what);
        }
        self.now = self.now.max(until);
    }

    /// Accepts from now on that hosts lose duplicate address detection.
    pub fn allow_duplicates(&mut self) {
        self.duplicates_allowed = true;
    }

    /// Returns the present.
    pub fn now(&self) -> Instant {
        self.now
    }

    /// Returns the address of a host.
    ///
    /// # Panics
    ///
    /// If the host has none left.
    pub fn address(&self, host: HostId) -> Ipv6Addr {
        self.hosts[host.0].address().expect("the host has an address")
    }

    /// Returns the address of a node in the subnet.
    pub fn node_address(&self, node: NodeId) -> Option<Ipv6Addr> {
        let kernel = &self.node(node).kernel;
        let port = kernel.ports.get(&kernel.on_link)?;
        port.interface.addresses().find(|address| !address.is_unicast_link_local())
    }

    /// Returns what a host has found out about one of its addresses.
    pub fn validity(&self, host: HostId, address: Ipv6Addr) -> Option<Validity> {
        self.hosts[host.0].interface.validity(address)
    }

    /// Returns the link that a host is on.
    pub fn link_of(&self, host: HostId) -> Option<LinkId> {
        self.hosts[host.0].link
    }

    /// Whether a host is awake, on a link, and has finished duplicate address detection.
    pub fn present(&self, host: HostId) -> bool {
        self.hosts[host.0].present()
    }

    /// Whether a host is awake and on a link, and detects duplicates of its address.
    pub fn is_joining(&self, host: HostId) -> bool {
        let state = &self.hosts[host.0];
        let tentative = state
            .address()
            .is_some_and(|address| state.interface.validity(address) == Some(Validity::Tentative));
        tentative && state.awake && state.link.is_some()
    }

    /// Returns when a host last moved, fell asleep, woke or joined.
    pub fn changed(&self, host: HostId) -> Instant {
        self.hosts[host.0].changed
    }

    /// Returns where a host believes a neighbor to be.
    pub fn neighbor(&self, host: HostId, target: Ipv6Addr) -> Option<LinkAddr> {
        self.hosts[host.0].interface.neighbor(target)
    }

    /// Returns how many packets went in circles until their hop limit was used up.
    pub fn hop_limits_exceeded(&self) -> u64 {
        self.hop_limits_exceeded
    }

    /// Returns how many frames were sent, by anybody.
    pub fn frames_sent(&self) -> u64 {
        self.sent
    }

    /// Returns the latest events that concern an address, one a line.
    pub fn explain(&self, address: Ipv6Addr) -> String {
        self.trace.about(address)
    }

    /// Returns a number that differs between runs that differ.
    pub fn digest(&self) -> u64 {
        self.trace.digest()
    }

    pub(crate) fn schedule(&mut self, at: Instant, what: Happening) {
        self.queue.schedule(at, what);
    }

    pub(crate) fn trace(&mut self, entry: Entry) {
        self.trace.push(self.now, entry);
    }

    pub(crate) fn node(&self, node: NodeId) -> &Node {
        &self.nodes[node.0]
    }

    pub(crate) fn node_mut(&mut self, node: NodeId) -> &mut Node {
        &mut self.nodes[node.0]
    }

    pub(crate) fn take_effects(&mut self) -> Vec<Effect> {
        std::mem::take(&mut self.effects)
    }

    pub(crate) fn give_effects(&mut self, effects: Vec<Effect>) {
        self.effects = effects;
    }

    /// Sends a frame from a station to all others on a link that listen to it.
    pub(crate) fn transmit(&mut self, link: LinkId, by: Station, frame: Frame) {
        self.sent += 1;
        let frame = Rc::new(frame);
        self.trace(Entry::Frame { by, link, frame: Rc::clone(&frame) });
        let destination = frame.destination();
        let bridged = self.segment(link).bridged.clone();
        let segments =
            std::iter::once((link, true)).chain(bridged.into_iter().map(|to| (to, false)));
        for (to, same) in segments {
            let segment = &self.segments[index(to)];
            let medium = segment.medium;
            for station in segment.receivers(destination) {
                let echo = medium.echo && destination.is_group();
                if same && station == by && !echo {
                    continue;
                }
                if !self.listens(station, destination) {
                    continue;
                }
                for span in medium.arrivals(&mut self.rng) {
                    let frame = Rc::clone(&frame);
                    let what = Happening::Deliver { link: to, station, frame };
                    self.queue.schedule(self.now + span, what);
                }
            }
        }
    }

    /// Reports a broken rule with what led to it.
    ///
    /// # Panics
    ///
    /// Always.
    pub(crate) fn fail(&self, breach: Breach) -> ! {
        panic!(
            "broken rule: {}\ntarget {}, seed {}, at {} s\n{}",
            breach.rule,
            breach.target,
            self.seed,
            Seconds(self.now),
            self.trace.about(breach.target)
        );
    }

    fn happen(&mut self, what: Happening) {
        match what {
            Happening::Deliver { link, station, frame } => match station {
                Station::Host(host) => self.host_receives(host, link, &frame),
                Station::Node(node) => self.node_receives(node, link, &frame),
                Station::Intruder => {}
            },
            Happening::HostAlarm { host, alarm } => {
                let mut effects = self.take_effects();
                let state = &mut self.hosts[host.0];
                state.interface.alarm(alarm, self.now, &mut self.rng, &mut effects);
                self.host_effects(host, effects);
            }
            Happening::KernelAlarm { node, link, alarm } => self.kernel_alarm(node, link, alarm),
            Happening::Wake { node, at } => self.wake(node, at),
            Happening::Execute { node, life, request, op } => {
                self.execute(node, life, request, op);
            }
            Happening::Find { node, life, request, target } => {
                self.find(node, life, request, target);
            }
            Happening::Notify { node, life, event } => self.notified(node, life, event),
            Happening::Overrun { node, life } => self.overrun_noticed(node, life),
            Happening::Configure { node, link } => self.configure_port(node, link),
            Happening::Beacon { node, link } => self.advertise_router(node, link),
            Happening::Continue { node, life } => self.go_on(node, life),
            Happening::Habit { host, habit } => self.follow(host, habit),
            Happening::Talk { conversation } => self.talk(conversation),
        }
    }

    fn host_receives(&mut self, host: HostId, link: LinkId, frame: &Frame) {
        let now = self.now;
        let state = &mut self.hosts[host.0];
        if !state.awake || state.link != Some(link) {
            return;
        }
        let mut effects = std::mem::take(&mut self.effects);
        match frame {
            Frame::Nd { packet, .. } => {
                state.interface.receive(packet, now, &mut self.rng, &mut effects);
            }
            Frame::Data { datagram, .. } => {
                if let Arrival::Answered(ping) = state.receive_data(datagram, now, &mut effects) {
                    self.pings[ping.0].1.get_or_insert(now);
                }
            }
        }
        self.host_effects(host, effects);
    }

    pub(crate) fn host_effects(&mut self, host: HostId, mut effects: Vec<Effect>) {
        for effect in effects.drain(..) {
            match effect {
                Effect::Send(frame) => {
                    let state = &self.hosts[host.0];
                    if let Some(link) = state.link.filter(|_| state.awake) {
                        self.transmit(link, Station::Host(host), frame);
                    }
                }
                Effect::Alarm(alarm, at) => {
                    self.schedule(at, Happening::HostAlarm { host, alarm });
                }
                Effect::Failed(_) => {}
                Effect::NoRouter(by) => {
                    if self.hosts[host.0].gateway == Some(by) {
                        let rule = "no advertisement takes a host its default route";
                        self.fail(Breach { target: by, rule });
                    }
                }
                Effect::Settled(address, validity) => {
                    self.trace(Entry::Settled { address, validity });
                    if validity == Validity::Duplicate && !self.duplicates_allowed {
                        let rule = "an address that nobody else has is no duplicate";
                        self.fail(Breach { target: address, rule });
                    }
                }
            }
        }
        self.give_effects(effects);
    }

    fn send(&mut self, from: HostId, datagram: Datagram) {
        let now = self.now;
        let mut effects = self.take_effects();
        let state = &mut self.hosts[from.0];
        if state.interface.holds(datagram.source) || datagram.source == OUTSIDE {
            state.send(datagram, now, &mut effects);
        }
        self.host_effects(from, effects);
    }

    fn next_ping(&mut self) -> PingId {
        self.pings.push((self.now, None));
        PingId(self.pings.len() - 1)
    }

    fn attach(&mut self, host: HostId, link: LinkId) {
        let state = &mut self.hosts[host.0];
        state.link = Some(link);
        let lladdr = state.interface.lladdr;
        self.segment_mut(link).attach(Station::Host(host), lladdr);
    }

    fn detach(&mut self, host: HostId) {
        let state = &mut self.hosts[host.0];
        let lladdr = state.interface.lladdr;
        if let Some(link) = state.link.take() {
            self.segment_mut(link).detach(lladdr);
        }
    }

    /// Returns the router that hosts on a link learn of: the real one, or a Magpie.
    pub(crate) fn gateway_on(&self, link: LinkId) -> Option<Ipv6Addr> {
        let router = self.router.map(|router| &self.hosts[router.0]);
        if let Some(router) = router.filter(|router| router.link == Some(link)) {
            return router.interface.link_local();
        }
        self.nodes
            .iter()
            .filter(|node| node.powered)
            .filter_map(|node| node.kernel.ports.get(&node.kernel.port_on(link)?))
            .filter(|port| port.running())
            .find_map(|port| port.interface.link_local())
    }

    /// Whether the hardware of a station lets a frame through that reaches it. Nodes hear all
    /// groups.
    fn listens(&self, station: Station, destination: LinkAddr) -> bool {
        match station {
            Station::Host(host) if destination.is_group() => {
                self.hosts[host.0].interface.listens_to(destination)
            }
            Station::Host(_) | Station::Node(_) => true,
            Station::Intruder => false,
        }
    }

    pub(crate) fn segment(&self, link: LinkId) -> &Segment {
        &self.segments[index(link)]
    }

    pub(crate) fn segment_mut(&mut self, link: LinkId) -> &mut Segment {
        &mut self.segments[index(link)]
    }
}

/// Where a link stands among the segments: they are numbered from one, as the kernel does.
fn index(link: LinkId) -> usize {
    usize::try_from(link.0).expect("32 bits fit") - 1
}

/// Returns the link-layer address of a node on a segment; each generation has another.
pub(crate) fn node_lladdr(node: NodeId, segment: LinkId, generation: u8) -> LinkAddr {
    let [.., number] = (node.0 + 1).to_be_bytes();
    let [.., high, low] = segment.0.to_be_bytes();
    LinkAddr([2, 2, generation, high, number, low])
}

/// Returns the link-local address that a node makes of its link-layer address.
pub(crate) fn node_link_local(node: NodeId, segment: LinkId, generation: u8) -> Ipv6Addr {
    let octets = node_lladdr(node, segment, generation).0;
    let id = octets.into_iter().fold(0xa, |id, octet| id << 8 | u128::from(octet));
    Ipv6Addr::from(0xfe80 << 112 | id)
}

fn station_address(kind: u8, number: u64) -> LinkAddr {
    let [.., a, b, c, d] = number.to_be_bytes();
    LinkAddr([2, kind, a, b, c, d])
}

fn in_subnet(interface_id: u64) -> Ipv6Addr {
    Ipv6Addr::from(u128::from(SUBNET.network()) | u128::from(interface_id))
}
