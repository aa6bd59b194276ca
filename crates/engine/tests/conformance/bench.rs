//! The tester: an engine between its links, a virtual clock, a kernel that obeys, and stations
//! that answer. After every output it checks what has to hold always.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::Ipv6Addr;
use std::time::Duration;

use ipnet::Ipv6Net;
use magpie_engine::{
    Announce, BindingState, BindingView, Config, Datagram, Decision, Discard, Egress, Engine,
    Event, FoundRoute, Input, Instant, KernelEvent, KernelOp, LinkId, LinkInfo, Member, NaSource,
    NameView, Output, RequestId, RoutePolicy, Transmit,
};
use magpie_wire::{
    ALL_NODES, ALL_ROUTERS, LinkAddr, Malformed, Message, Packet, multicast_lladdr, solicited_node,
};

use crate::frame::{Frame, dad, data, na};
use crate::names::{DN, MA, MB, MC, THIRD, TUN, UP, mac, member};
use crate::text;

/// How long a silence is listened to.
const SILENCE: Duration = Duration::from_secs(3);
/// Length of what frames on a bare link do not have.
const ETHERNET_LEN: usize = 14;
/// More inputs than this at one instant are a conversation without end.
const MOST_AT_ONCE: usize = 50_000;

/// The counter that has to rise.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Reason {
    Malformed(Malformed),
    Discard(Discard),
}

impl From<Malformed> for Reason {
    fn from(reason: Malformed) -> Self {
        Self::Malformed(reason)
    }
}

impl From<Discard> for Reason {
    fn from(reason: Discard) -> Self {
        Self::Discard(reason)
    }
}

/// A host that answers solicitations, and defends its address.
#[derive(Clone, Debug)]
pub(crate) struct Station {
    pub(crate) link: LinkId,
    pub(crate) address: Ipv6Addr,
    pub(crate) lladdr: LinkAddr,
    /// The flags of its answers.
    pub(crate) flags: &'static str,
    /// It lives, but hears nothing for now.
    pub(crate) deaf: bool,
}

/// What the fake kernel does with requests for routes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Routing {
    AtOnce,
    Held,
    Refused(i32),
}

#[derive(Debug)]
pub(crate) struct Bench {
    pub(crate) engine: Engine,
    pub(crate) now: Instant,
    pub(crate) stations: Vec<Station>,
    /// The kernel's host routes that are the engine's.
    pub(crate) routes: BTreeMap<Ipv6Addr, LinkId>,
    pub(crate) foreign: BTreeMap<Ipv6Addr, LinkId>,
    /// The kernel's other routes; none is a blackhole.
    pub(crate) found: BTreeMap<Ipv6Net, Option<Egress>>,
    pub(crate) groups: BTreeSet<(LinkId, Ipv6Addr)>,
    links: BTreeMap<LinkId, LinkInfo>,
    addresses: BTreeMap<(LinkId, Ipv6Addr), Address>,
    /// When everybody on a link was last asked for a target.
    searched: BTreeMap<(LinkId, Ipv6Addr), Instant>,
    config: Config,
    loses_route_answers: bool,
    /// The `errno` value that answers joins.
    refuses_joins: Option<i32>,
    routing: Routing,
    held: VecDeque<(RequestId, KernelOp)>,
    log: Vec<(Instant, Output)>,
    frames: Vec<(LinkId, Vec<u8>)>,
    datagrams: Vec<Datagram>,
    began: Instant,
}

#[derive(Clone, Copy, Debug)]
struct Address {
    prefix_len: u8,
    tentative: bool,
}

impl Bench {
    pub(crate) fn new() -> Self {
        Self::with(Config::default())
    }

    pub(crate) fn with(config: Config) -> Self {
        let mut bench = Self::empty(config, 7);
        bench.start();
        bench
    }

    /// With a third link, and nothing else new.
    pub(crate) fn with_third() -> Self {
        let mut bench = Self::new();
        bench.add_third();
        bench
    }

    /// With a link whose nodes have no link-layer addresses, and nothing else new.
    pub(crate) fn with_tun() -> Self {
        Self::with_tun_and(Config::default(), &["fe80::13/64"])
    }

    pub(crate) fn with_tun_and(config: Config, addresses: &[&str]) -> Self {
        let mut bench = Self::with(config);
        bench.bare_link(TUN, true);
        for address in addresses {
            bench.address(TUN, address);
        }
        bench.advance(Duration::from_secs(10));
        assert_eq!(bench.heard(), Vec::<String>::new(), "there are no switches on such a link");
        bench
    }

    pub(crate) fn known_x() -> Self {
        let mut bench = Self::new();
        bench.known(crate::names::X, DN);
        bench
    }

    /// An engine that has been told nothing.
    pub(crate) fn empty(config: Config, seed: u64) -> Self {
        let now = Instant::ZERO + Duration::from_secs(1_000);
        Self {
            engine: Engine::new(config.clone(), seed, now),
            now,
            stations: Vec::new(),
            routes: BTreeMap::new(),
            foreign: BTreeMap::new(),
            found: BTreeMap::new(),
            groups: BTreeSet::new(),
            links: BTreeMap::new(),
            addresses: BTreeMap::new(),
            searched: BTreeMap::new(),
            config,
            loses_route_answers: false,
            refuses_joins: None,
            routing: Routing::AtOnce,
            held: VecDeque::new(),
            log: Vec::new(),
            frames: Vec::new(),
            datagrams: Vec::new(),
            began: now,
        }
    }

    /// Tells the engine of the topology and waits until its first words are over.
    pub(crate) fn start(&mut self) {
        self.boot();
        self.advance(Duration::from_secs(10));
        self.forget_log();
    }

    /// Tells the engine of the topology, and of the routes that are there already.
    pub(crate) fn boot(&mut self) {
        self.kernel(KernelEvent::Overrun);
        self.link(UP, MA, true);
        self.link(DN, MB, true);
        self.address(UP, "fe80::10/64");
        self.address(UP, "2001:db8:1::10/64");
        self.address(DN, "fe80::11/64");
        self.dump_routes();
        self.kernel(KernelEvent::Synced);
    }

    pub(crate) fn add_third(&mut self) {
        self.link(THIRD, MC, true);
        self.address(THIRD, "fe80::12/64");
        self.advance(Duration::from_secs(10));
        self.forget_log();
    }

    // What happens.

    pub(crate) fn hear(&mut self, link: LinkId, frame: &Frame) {
        let bytes = self.framed(link, frame);
        self.hear_bytes(link, &bytes);
    }

    pub(crate) fn hear_bytes(&mut self, link: LinkId, bytes: &[u8]) {
        self.handle(Input::Frame { link, bytes });
    }

    /// This host's own kernel sends a frame.
    pub(crate) fn kernel_sends(&mut self, link: LinkId, frame: &Frame) {
        let bytes = self.framed(link, frame);
        self.handle(Input::Outgoing { link, bytes: &bytes });
    }

    pub(crate) fn kernel_sends_bytes(&mut self, link: LinkId, bytes: &[u8]) {
        self.handle(Input::Outgoing { link, bytes });
    }

    /// This host's kernel sends a packet that is no Neighbor Discovery.
    pub(crate) fn kernel_sends_data(&mut self, link: LinkId, target: Ipv6Addr) {
        self.kernel_sends(link, &data(target));
    }

    pub(crate) fn kernel(&mut self, event: KernelEvent) {
        self.handle(Input::Kernel(event));
    }

    pub(crate) fn link(&mut self, link: LinkId, lladdr: LinkAddr, running: bool) {
        self.link_of_member(link, member(link), Some(lladdr), running);
    }

    pub(crate) fn bare_link(&mut self, link: LinkId, running: bool) {
        self.link_of_member(link, member(link), None, running);
    }

    pub(crate) fn link_of_member(
        &mut self,
        link: LinkId,
        member: Member,
        lladdr: Option<LinkAddr>,
        running: bool,
    ) {
        let info = LinkInfo { member, lladdr, running, mtu: 1500 };
        self.links.insert(link, info);
        self.kernel(KernelEvent::Link { link, info });
    }

    /// A device in the place of `like` in the configuration.
    pub(crate) fn link_as(&mut self, link: LinkId, like: LinkId, lladdr: LinkAddr, running: bool) {
        let info = LinkInfo { member: member(like), lladdr: Some(lladdr), running, mtu: 1500 };
        self.links.insert(link, info);
        self.kernel(KernelEvent::Link { link, info });
    }

    pub(crate) fn link_gone(&mut self, link: LinkId) {
        self.links.remove(&link);
        self.addresses.retain(|(on, _), _| *on != link);
        self.routes.retain(|_, to| *to != link);
        self.groups.retain(|(on, _)| *on != link);
        self.searched.retain(|(on, _), _| *on != link);
        self.kernel(KernelEvent::LinkGone { link });
    }

    pub(crate) fn address(&mut self, link: LinkId, net: &str) {
        self.address_in_state(link, net, false);
    }

    pub(crate) fn address_in_state(&mut self, link: LinkId, net: &str, tentative: bool) {
        let net: Ipv6Net = net.parse().expect("a literal prefix");
        let address = Address { prefix_len: net.prefix_len(), tentative };
        self.addresses.insert((link, net.addr()), address);
        self.kernel(KernelEvent::Address { link, address: net, tentative });
    }

    pub(crate) fn address_gone(&mut self, link: LinkId, address: Ipv6Addr) {
        self.addresses.remove(&(link, address));
        self.kernel(KernelEvent::AddressGone { link, address });
    }

    /// Says that notifications were lost, and dumps the fake kernel.
    pub(crate) fn resync(&mut self) {
        self.kernel(KernelEvent::Overrun);
        for (link, info) in self.links.clone() {
            self.kernel(KernelEvent::Link { link, info });
        }
        for ((link, address), state) in self.addresses.clone() {
            let address = Ipv6Net::new(address, state.prefix_len).expect("it was one before");
            let tentative = state.tentative;
            self.kernel(KernelEvent::Address { link, address, tentative });
        }
        self.dump_routes();
        self.kernel(KernelEvent::Synced);
    }

    /// Somebody else's host route appears.
    pub(crate) fn foreign_route(&mut self, target: Ipv6Addr, link: LinkId) {
        self.foreign.insert(target, link);
        let link = self.links.contains_key(&link).then_some(link);
        self.kernel(KernelEvent::Route { target, link, own: false });
    }

    pub(crate) fn foreign_route_gone(&mut self, target: Ipv6Addr) {
        let link = self.foreign.remove(&target);
        self.kernel(KernelEvent::RouteGone { target, link, own: false });
    }

    /// Somebody removes one of the engine's routes.
    pub(crate) fn route_gone(&mut self, target: Ipv6Addr) {
        let link = self.routes.remove(&target);
        self.kernel(KernelEvent::RouteGone { target, link, own: true });
    }

    /// Puts a station on a link that answers from now on.
    pub(crate) fn host(&mut self, address: Ipv6Addr, link: LinkId, lladdr: LinkAddr) {
        self.stations.push(Station { link, address, lladdr, flags: "SO", deaf: false });
    }

    pub(crate) fn station(&mut self, address: Ipv6Addr) -> &mut Station {
        self.stations
            .iter_mut()
            .find(|station| station.address == address)
            .expect("a station with this address")
    }

    pub(crate) fn power_off(&mut self, address: Ipv6Addr) {
        self.stations.retain(|station| station.address != address);
    }

    /// Lets the station of the topology that has `target` appear on a link: it detects
    /// duplicates, then answers the engine's question.
    pub(crate) fn known(&mut self, target: Ipv6Addr, link: LinkId) {
        let [.., last] = target.octets();
        self.known_at(target, link, mac(last));
    }

    pub(crate) fn known_at(&mut self, target: Ipv6Addr, link: LinkId, lladdr: LinkAddr) {
        self.host(target, link, lladdr);
        self.hear(link, &dad(target, lladdr).nonce(lladdr.0[5]));
        self.advance(Duration::from_secs(1));
        assert_eq!(self.state(target), Some(BindingState::Reachable), "{target} is not known");
        assert_eq!(self.routes.get(&target), Some(&link), "{target} has no route");
        self.forget_log();
    }

    /// Lets time pass; what becomes due happens at its time.
    pub(crate) fn advance(&mut self, time: Duration) {
        let until = self.now + time;
        while let Some(wakeup) = self.engine.poll_timeout().filter(|wakeup| wakeup.at <= until) {
            self.now = self.now.max(wakeup.at);
            self.handle(Input::Timeout);
        }
        self.now = until;
    }

    pub(crate) fn advance_ms(&mut self, milliseconds: u64) {
        self.advance(Duration::from_millis(milliseconds));
    }

    pub(crate) fn handle(&mut self, input: Input<'_>) {
        let is_timeout = matches!(input, Input::Timeout);
        self.engine.handle(input, self.now);
        if is_timeout {
            let next = self.engine.poll_timeout();
            assert!(
                next.is_none_or(|wakeup| wakeup.at > self.now),
                "a busy loop: {next:?} at {:?}",
                self.now
            );
        }
        self.settle();
    }

    /// The process was stopped for some time, and has dropped what came meanwhile.
    pub(crate) fn resume_after(&mut self, pause: Duration) {
        self.now = self.now + pause;
        self.handle(Input::Resumed);
        if self.engine.poll_timeout().is_some_and(|wakeup| wakeup.at <= self.now) {
            self.handle(Input::Timeout);
        }
    }

    pub(crate) fn reconfigure(&mut self, config: Config) {
        self.config = config.clone();
        let members: Vec<_> = self.links.iter().map(|(id, info)| (*id, info.member)).collect();
        self.engine.reconfigure(config, &members, self.now);
        self.settle();
    }

    /// The operator says that this host has taken over; returns what the engine says to that.
    pub(crate) fn announce(&mut self, link: Option<LinkId>) -> usize {
        let count = self.engine.announce(link, self.now);
        self.settle();
        count
    }

    /// The link is to be served no longer. The kernel's answers are awaited before it is gone.
    pub(crate) fn release(&mut self, link: LinkId) {
        self.engine.release(link, self.now);
        self.settle();
        self.links.remove(&link);
        self.addresses.retain(|(on, _), _| *on != link);
        self.searched.retain(|(on, _), _| *on != link);
        self.kernel(KernelEvent::LinkGone { link });
    }

    pub(crate) fn shut_down(&mut self) {
        self.engine.shut_down();
        self.settle();
    }

    // The kernel's answers.

    pub(crate) fn hold_acks(&mut self) {
        self.routing = Routing::Held;
    }

    /// From now on the kernel answers no question about routes, or does.
    pub(crate) fn lose_route_answers(&mut self, lost: bool) {
        self.loses_route_answers = lost;
    }

    pub(crate) fn refuse_joins(&mut self, errno: Option<i32>) {
        self.refuses_joins = errno;
    }

    pub(crate) fn refuse_routes(&mut self, errno: i32) {
        self.routing = Routing::Refused(errno);
    }

    /// Carries out what was held, and everything from now on.
    pub(crate) fn ack(&mut self) {
        self.routing = Routing::AtOnce;
        while let Some((request, op)) = self.held.pop_front() {
            self.apply(op);
            self.engine.handle(Input::Ack { request, result: Ok(()) }, self.now);
            self.settle();
        }
    }

    // What was said.

    /// The frames since this was last asked; everything else said meanwhile is forgotten.
    pub(crate) fn heard(&mut self) -> Vec<String> {
        self.drain(|output| matches!(output, Output::Transmit(_)))
            .into_iter()
            .map(|(_, text)| text)
            .collect()
    }

    /// As `heard`, with milliseconds since the log was last emptied.
    pub(crate) fn heard_in_time(&mut self) -> Vec<(u128, String)> {
        let began = self.began;
        self.drain(|output| matches!(output, Output::Transmit(_)))
            .into_iter()
            .map(|(at, text)| (at.since(began).as_millis(), text))
            .collect()
    }

    /// Requests to the kernel since the log was last emptied.
    pub(crate) fn done(&mut self) -> Vec<String> {
        self.drain(|output| matches!(output, Output::Kernel { .. }))
            .into_iter()
            .map(|(_, text)| text)
            .collect()
    }

    /// As `done`, with milliseconds since the log was last emptied.
    pub(crate) fn done_in_time(&mut self) -> Vec<(u128, String)> {
        let began = self.began;
        self.drain(|output| matches!(output, Output::Kernel { .. }))
            .into_iter()
            .map(|(at, text)| (at.since(began).as_millis(), text))
            .collect()
    }

    /// Events since the log was last emptied.
    pub(crate) fn told(&mut self) -> Vec<String> {
        self.drain(|output| matches!(output, Output::Event(_)))
            .into_iter()
            .map(|(_, text)| text)
            .collect()
    }

    /// The events since the log was last emptied, as they are.
    pub(crate) fn take_events(&mut self) -> Vec<Event> {
        let log = std::mem::take(&mut self.log);
        let events = log.into_iter().filter_map(|(_, output)| match output {
            Output::Event(event) => Some(event),
            _ => None,
        });
        events.collect()
    }

    /// The records of multicast DNS that were seen.
    pub(crate) fn names(&self) -> Vec<NameView> {
        self.engine.names(self.now).collect()
    }

    /// Everything since the log was last emptied, in order.
    pub(crate) fn transcript(&mut self) -> Vec<String> {
        self.drain(|_| true).into_iter().map(|(_, text)| text).collect()
    }

    pub(crate) fn forget_log(&mut self) {
        self.log.clear();
        self.frames.clear();
        self.began = self.now;
    }

    /// Frames of other protocols since they were last taken.
    pub(crate) fn take_datagrams(&mut self) -> Vec<Datagram> {
        std::mem::take(&mut self.datagrams)
    }

    /// The frames since the log was last emptied, as octets.
    pub(crate) fn frames(&self) -> &[(LinkId, Vec<u8>)] {
        &self.frames
    }

    pub(crate) fn sent(&self) -> impl Iterator<Item = Transmit> + '_ {
        self.log.iter().filter_map(|(_, output)| match output {
            Output::Transmit(sent) => Some(*sent),
            Output::Datagram(_)
            | Output::Kernel { .. }
            | Output::FindRoute { .. }
            | Output::Event(_) => None,
        })
    }

    /// Listens for as long as a silence lasts, and expects nothing to be sent.
    pub(crate) fn silence(&mut self) {
        self.advance(SILENCE);
        assert_eq!(self.heard(), Vec::<String>::new());
    }

    /// Listens for as long, and expects nothing but questions.
    pub(crate) fn silence_but_questions(&mut self) {
        self.advance(SILENCE);
        let said = self.heard();
        assert!(said.iter().all(|text| text.contains(" NS ")), "{said:?}");
    }

    /// Hears a frame and expects that nothing comes of it but a count.
    pub(crate) fn ignores(&mut self, link: LinkId, frame: &Frame, reason: impl Into<Reason>) {
        let bytes = self.framed(link, frame);
        self.ignores_bytes(link, &bytes, reason);
    }

    pub(crate) fn ignores_bytes(&mut self, link: LinkId, bytes: &[u8], reason: impl Into<Reason>) {
        let reason = reason.into();
        self.forget_log();
        let before = (self.counter(reason), self.places(), self.routes.clone());
        let groups = self.groups.clone();
        self.hear_bytes(link, bytes);
        self.advance(SILENCE);
        // Neither reports nor questions to the kernel are seen by anybody.
        let is_seen =
            |output: &Output| !matches!(output, Output::Event(_) | Output::FindRoute { .. });
        assert_eq!(self.drain(is_seen), [], "{reason:?}");
        let after = (self.counter(reason) - 1, self.places(), self.routes.clone());
        assert_eq!(after, before, "{reason:?}: counter, bindings or routes changed");
        assert_eq!(self.groups, groups, "{reason:?}: groups changed");
    }

    pub(crate) fn links(&self) -> impl Iterator<Item = LinkId> + '_ {
        self.links.keys().copied()
    }

    pub(crate) fn own_addresses(&self) -> impl Iterator<Item = (LinkId, Ipv6Addr)> + '_ {
        self.addresses.keys().copied()
    }

    pub(crate) fn has_link(&self, link: LinkId) -> bool {
        self.links.contains_key(&link)
    }

    pub(crate) fn counter(&self, reason: impl Into<Reason>) -> u64 {
        match reason.into() {
            Reason::Malformed(reason) => self.engine.counters().malformed(reason),
            Reason::Discard(reason) => self.engine.counters().discarded(reason),
        }
    }

    pub(crate) fn binding(&self, target: Ipv6Addr) -> Option<BindingView> {
        self.engine.bindings(self.now).find(|binding| binding.target == target)
    }

    pub(crate) fn state(&self, target: Ipv6Addr) -> Option<BindingState> {
        self.binding(target).map(|binding| binding.state)
    }

    /// Where a target is said to be, and how sure that is: `dn mH reachable`.
    pub(crate) fn place(&self, target: Ipv6Addr) -> String {
        self.binding(target).map_or("nowhere".to_owned(), |binding| {
            format!(
                "{} {} {}",
                text::link(binding.link),
                binding.lladdr.map_or("-".to_owned(), text::lladdr),
                binding.state.label()
            )
        })
    }

    pub(crate) fn is_bare(&self, link: LinkId) -> bool {
        self.links.get(&link).is_some_and(|info| info.lladdr.is_none())
    }

    /// A frame as the link has it.
    fn framed(&self, link: LinkId, frame: &Frame) -> Vec<u8> {
        let mut bytes = frame.bytes();
        if self.is_bare(link) {
            bytes.drain(..ETHERNET_LEN.min(bytes.len()));
        }
        bytes
    }

    fn dump_routes(&mut self) {
        for (target, link) in self.routes.clone() {
            self.kernel(KernelEvent::Route { target, link: Some(link), own: true });
        }
        for (target, link) in self.foreign.clone() {
            let link = self.links.contains_key(&link).then_some(link);
            self.kernel(KernelEvent::Route { target, link, own: false });
        }
    }

    fn places(&self) -> Vec<(Ipv6Addr, LinkId, Option<LinkAddr>)> {
        self.engine
            .bindings(self.now)
            .map(|binding| (binding.target, binding.link, binding.lladdr))
            .collect()
    }

    fn drain(&mut self, wanted: impl Fn(&Output) -> bool) -> Vec<(Instant, String)> {
        let log = self.log.clone();
        self.forget_log();
        log.into_iter()
            .filter(|(_, output)| wanted(output))
            .map(|(at, output)| (at, text::output(&output)))
            .collect()
    }

    /// Takes all outputs, and lets kernel and stations answer them until all is quiet.
    fn settle(&mut self) {
        let mut answers: VecDeque<Answer> = VecDeque::new();
        for _ in 0..MOST_AT_ONCE {
            while let Some(output) = self.engine.poll_output() {
                self.take(output, &mut answers);
            }
            match answers.pop_front() {
                Some(Answer::Ack(request, result)) => {
                    self.engine.handle(Input::Ack { request, result }, self.now);
                }
                Some(Answer::Route(request, route)) => {
                    self.engine.handle(Input::Route { request, route }, self.now);
                }
                Some(Answer::RouteUnknown(request)) => {
                    self.engine.handle(Input::RouteUnknown { request }, self.now);
                }
                Some(Answer::Frame(link, frame)) => {
                    let bytes = self.framed(link, &frame);
                    self.engine.handle(Input::Frame { link, bytes: &bytes }, self.now);
                }
                None => return,
            }
        }
        panic!("a conversation without end: {:?}", self.transcript().last());
    }

    fn take(&mut self, output: Output, answers: &mut VecDeque<Answer>) {
        self.log.push((self.now, output.clone()));
        match output {
            Output::Datagram(sent) => {
                assert!(self.config.mdns.is_some(), "a relay that does not reflect names");
                self.datagrams.push(sent);
            }
            Output::Transmit(sent) => {
                self.check(&sent);
                self.reply(&sent, answers);
            }
            Output::Kernel { request, op } => {
                self.check_op(op);
                match (self.routing, op) {
                    (Routing::Held, KernelOp::SetRoute { .. } | KernelOp::DelRoute { .. }) => {
                        self.held.push_back((request, op));
                    }
                    (Routing::Refused(errno), KernelOp::SetRoute { .. }) => {
                        answers.push_back(Answer::Ack(request, Err(errno)));
                    }
                    (_, KernelOp::JoinGroup { .. }) if self.refuses_joins.is_some() => {
                        let errno = self.refuses_joins.unwrap_or_default();
                        answers.push_back(Answer::Ack(request, Err(errno)));
                    }
                    _ => {
                        self.apply(op);
                        answers.push_back(Answer::Ack(request, Ok(())));
                    }
                }
            }
            Output::FindRoute { request, .. } if self.loses_route_answers => {
                answers.push_back(Answer::RouteUnknown(request));
            }
            Output::FindRoute { request, target, from } => {
                answers.push_back(Answer::Route(request, self.find_route(target, from)));
            }
            Output::Event(_) => {}
        }
    }

    /// The longest of the routes that were added, own host routes and on-link prefixes.
    fn find_route(&self, target: Ipv6Addr, _from: Option<LinkId>) -> Option<FoundRoute> {
        let device = |link| FoundRoute { egress: Egress::Device(link), prefix_len: 128 };
        let host = self.foreign.get(&target).or_else(|| self.routes.get(&target));
        if let Some(link) = host {
            return Some(device(*link));
        }
        if self.addresses.keys().any(|(_, own)| *own == target) {
            return Some(FoundRoute { egress: Egress::Local, prefix_len: 128 });
        }
        let routed = self.found.iter().filter(|(net, _)| net.contains(&target));
        let (net, egress) = routed.max_by_key(|(net, _)| net.prefix_len())?;
        Some(FoundRoute { egress: (*egress)?, prefix_len: net.prefix_len() })
    }

    fn apply(&mut self, op: KernelOp) {
        match op {
            KernelOp::SetRoute { target, link } => {
                self.routes.insert(target, link);
            }
            KernelOp::DelRoute { target, link } => {
                if self.routes.get(&target) == Some(&link) {
                    self.routes.remove(&target);
                }
            }
            KernelOp::JoinGroup { link, group } => {
                self.groups.insert((link, group));
            }
            KernelOp::LeaveGroup { link, group } => {
                self.groups.remove(&(link, group));
            }
        }
    }

    fn reply(&self, sent: &Transmit, answers: &mut VecDeque<Answer>) {
        let packet = &sent.packet;
        let Message::Solicit(solicit) = packet.message else { return };
        let to = packet.ethernet_destination;
        for station in &self.stations {
            let is_bare = self.is_bare(sent.link);
            // As kernels do: on a bare link they hear nothing that is sent to a group, and answer
            // without the O flag.
            let is_addressed = if is_bare {
                packet.destination == station.address
            } else {
                to.is_group() || to == station.lladdr
            };
            let asked = station.link == sent.link
                && station.address == solicit.target
                && !station.deaf
                && is_addressed;
            if asked && is_bare {
                let answer = na(station.address, LinkAddr::ZERO).bare().flags("S");
                let answer = answer.to(LinkAddr::ZERO, packet.source);
                answers.push_back(Answer::Frame(station.link, answer));
            } else if asked {
                let answer = na(station.address, station.lladdr).flags(station.flags);
                let answer = if packet.source.is_unspecified() {
                    answer.flags("O").for_all()
                } else {
                    answer.to(packet.ethernet_source, packet.source)
                };
                answers.push_back(Answer::Frame(station.link, answer));
            }
        }
    }

    /// What holds for every frame that is ever sent.
    fn check(&mut self, sent: &Transmit) {
        let Transmit { link, packet } = *sent;
        let said = text::transmit(sent);
        let mut buffer = [0; Packet::MAX_LEN];
        let length = sent.emit(&mut buffer).expect("every frame fits");
        let bytes = &buffer[..length];
        self.frames.push((link, bytes.to_vec()));
        let info = self.links.get(&link).expect("a link that was told of");
        assert!(info.running, "{said}: the link is down");
        assert_eq!(sent.is_bare(), info.lladdr.is_none(), "{said}");
        let parsed = if sent.is_bare() { Packet::parse_bare(bytes) } else { Packet::parse(bytes) };
        assert_eq!(parsed, Ok(packet), "{said} is malformed");
        assert_eq!(packet.ethernet_source, info.lladdr.unwrap_or_default(), "{said}: whose?");
        if sent.is_bare() {
            assert_eq!(packet.ethernet_destination, LinkAddr::ZERO, "{said}");
        } else if packet.destination.is_multicast() {
            let group = multicast_lladdr(packet.destination);
            assert_eq!(packet.ethernet_destination, group, "{said}: to another group");
        } else {
            assert!(packet.ethernet_destination.is_station(), "{said}: to no station");
        }
        let is_own_source =
            self.addresses.get(&(link, packet.source)).is_some_and(|address| !address.tentative);
        match packet.message {
            Message::Solicit(solicit) => {
                if packet.destination.is_multicast() {
                    assert_eq!(packet.destination, solicited_node(solicit.target), "{said}");
                    let is_probe = packet.source.is_unspecified();
                    assert!(is_probe || !sent.is_bare(), "{said}: nobody hears that");
                } else {
                    assert_eq!(packet.destination, solicit.target, "{said}");
                }
                if packet.source.is_unspecified() {
                    assert_eq!(solicit.source_lladdr, None, "{said}");
                } else {
                    assert!(is_own_source, "{said}: from no address of the link");
                    assert_eq!(solicit.source_lladdr, info.lladdr, "{said}");
                    assert!(solicit.nonce.is_some(), "{said}: without nonce");
                    self.check_rate(link, solicit.target, packet.destination, &said);
                }
            }
            Message::Advert(advert) => {
                let is_target = self.config.link(info.member).na_source == NaSource::Target;
                assert!(is_own_source || is_target, "{said}: from no address of the link");
                assert_eq!(advert.target_lladdr, info.lladdr, "{said}");
                assert!(!(advert.solicited && advert.overrides), "{said}");
                assert_ne!(advert.solicited, packet.destination.is_multicast(), "{said}");
                let to_routers = packet.destination == ALL_ROUTERS;
                let to_all = packet.destination == ALL_NODES || to_routers;
                assert_eq!(!advert.solicited, to_all, "{said}");
                let tells_hosts = self.config.link(info.member).announce == Announce::Hosts;
                assert!(!to_routers || tells_hosts && !advert.overrides, "{said}");
                if advert.solicited || advert.overrides || to_routers {
                    self.check_promise(link, advert.target, &said);
                }
            }
            Message::MulticastRouterAdvert(_) | Message::MulticastRouterTermination => {
                assert!(is_own_source, "{said}");
            }
            other => panic!("never sent: {other:?}"),
        }
    }

    /// Everybody on a link is asked for a target at most once in `RETRANS_TIMER`.
    fn check_rate(&mut self, link: LinkId, target: Ipv6Addr, to: Ipv6Addr, said: &str) {
        if to.is_multicast()
            && let Some(last) = self.searched.insert((link, target), self.now)
        {
            let gap = self.now.since(last);
            assert!(gap >= Duration::from_secs(1), "{said}: {gap:?} after the last one");
        }
    }

    /// State before promise: packets for the target would leave on another link.
    fn check_promise(&self, link: LinkId, target: Ipv6Addr, said: &str) {
        let decision = self.config.rules.decide(target, member(link), Some(64));
        let is_left_to_others = self.config.routes == RoutePolicy::Never;
        if matches!(decision, Decision::Static { .. } | Decision::Route) || is_left_to_others {
            return;
        }
        let is_own = self.addresses.iter().any(|((on, own), state)| {
            (*on == link || !own.is_unicast_link_local()) && *own == target && !state.tentative
        });
        let leads = self.foreign.get(&target).or_else(|| self.routes.get(&target));
        let is_found = self.config.routes == RoutePolicy::Needed
            && self
                .find_route(target, None)
                .is_some_and(|found| found.egress != Egress::Device(link));
        let is_for_certain_hosts = self.find_route(target, None).is_some_and(|found| {
            let Egress::Device(to) = found.egress else { return false };
            to != link && self.is_bare(to) && found.prefix_len > 64
        });
        let is_routed = leads.is_some_and(|to| *to != link) || is_found || is_for_certain_hosts;
        assert!(is_own || is_routed, "{said}: no route leads there");
    }

    fn check_op(&self, op: KernelOp) {
        let said = text::kernel_op(&op);
        if let KernelOp::SetRoute { target, link } | KernelOp::DelRoute { target, link } = op {
            let is_pending = self.held.iter().any(|(_, held)| match *held {
                KernelOp::SetRoute { target: other, .. }
                | KernelOp::DelRoute { target: other, .. } => other == target,
                KernelOp::JoinGroup { .. } | KernelOp::LeaveGroup { .. } => false,
            });
            assert!(!is_pending, "{said}: another request is under way");
            let is_set = matches!(op, KernelOp::SetRoute { .. });
            assert!(!is_set || self.links.contains_key(&link), "{said}: there is no such link");
            assert!(
                !is_set || !self.foreign.contains_key(&target),
                "{said}: it belongs to somebody else"
            );
        }
        if let KernelOp::JoinGroup { link, group } = op {
            assert!(!self.groups.contains(&(link, group)), "{said}: twice");
            assert!(!self.is_bare(link), "{said}: there are no groups");
        }
    }
}

enum Answer {
    Ack(RequestId, Result<(), i32>),
    Route(RequestId, Option<FoundRoute>),
    RouteUnknown(RequestId),
    Frame(LinkId, Frame),
}

/// What U expects when it asks everybody, or probes, for `target`.
pub(crate) fn ok_na(target: Ipv6Addr) -> String {
    format!("up mA>mU fe80::10>fe80::1 NA {} S +TLLA mA", text::address(target))
}

/// A solicitation to everybody on dn.
pub(crate) fn search(target: Ipv6Addr) -> String {
    let group = solicited_node(target);
    let (lladdr, target) = (multicast_lladdr(group), text::address(target));
    format!("dn mB>{lladdr} fe80::11>{group} NS {target} +SLLA mB +nonce")
}

/// A solicitation to one station on dn.
pub(crate) fn probe(target: Ipv6Addr, lladdr: LinkAddr) -> String {
    let (lladdr, target) = (text::lladdr(lladdr), text::address(target));
    format!("dn mB>{lladdr} fe80::11>{target} NS {target} +SLLA mB +nonce")
}
