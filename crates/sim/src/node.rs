//! A Magpie node: an engine and its kernel, and the loop between them that the daemon is in
//! reality.

use std::collections::BTreeMap;
use std::net::Ipv6Addr;
use std::time::Duration;

use magpie_engine::{
    BindingView, Config, Counters, Egress, Engine, Event, FoundRoute, Input, Instant, KernelEvent,
    KernelOp, LinkId, Output, RequestId, Sizes,
};

use magpie_wire::LinkAddr;

use crate::NodeId;
use crate::frame::Frame;
use crate::interface::{Alarm, Effect};
use crate::invariants::{Breach, Watch};
use crate::kernel::{Forwarded, Kernel, Port};
use crate::trace::Entry;
use crate::world::{Happening, World};

/// How long the kernel takes for a request, at most, and a notification for its way.
const KERNEL_DELAY: Duration = Duration::from_micros(60);
const NOTIFICATION_DELAY: Duration = Duration::from_micros(300);
/// How late a timer of the operating system may fire.
const TIMER_SLACK: Duration = Duration::from_micros(200);
/// Steps between two looks at the sizes of the tables.
const SIZE_CHECKS: u64 = 4_096;
/// The number of the first interface that comes later; until then they are called as the segments
/// are that they are connected to.
const FIRST_NEW_LINK: u32 = 1_000;
/// Timeouts in one second that make a loop.
const TIMEOUT_LOOP: u32 = 10_000;

#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) kernel: Kernel,
    pub(crate) config: Config,
    pub(crate) engine: Option<Engine>,
    pub(crate) watch: Watch,
    pub(crate) powered: bool,
    /// Counts the lives of the engine: answers to an earlier one are lost.
    pub(crate) life: u64,
    /// Notifications are lost until the next dump.
    pub(crate) deaf: bool,
    /// Its address in the subnet, on the first link.
    pub(crate) address: Ipv6Addr,
    /// What waits for the process to go on; none while it runs.
    pub(crate) waiting: Option<Waiting>,
    /// How often the link-layer address on a segment has become another.
    pub(crate) generations: BTreeMap<LinkId, u8>,
    /// Hosts that the program remembers: they went with their link or prefix.
    pub(crate) memory: BTreeMap<Ipv6Addr, (LinkId, Option<LinkAddr>)>,
    /// Which segment each interface is, or was, connected to.
    pub(crate) segments: BTreeMap<LinkId, LinkId>,
    /// The number that the next interface gets.
    pub(crate) next_link: u32,
    pub(crate) events: Vec<(Instant, Event)>,
    pub(crate) wake: Option<Instant>,
    pub(crate) wakeups: u64,
    /// Timeouts in the present second.
    timeouts: (Instant, u32),
    steps: u64,
    /// When the kernel has done what it was asked for so far.
    busy_until: Instant,
    /// When the latest notification arrives.
    notified_until: Instant,
}

/// What the kernel has for a process that is stopped.
#[derive(Debug, Default)]
pub(crate) struct Waiting {
    pub(crate) acks: Vec<Ack>,
    /// Frames, received or sent by the kernel.
    pub(crate) frames: Vec<(LinkId, Frame, bool)>,
    pub(crate) news: Vec<KernelEvent>,
    /// Notifications were lost meanwhile.
    pub(crate) overrun: bool,
}

/// What the kernel says to a request or question.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Ack {
    Done { request: RequestId, result: Result<(), i32> },
    Found { request: RequestId, route: Option<FoundRoute> },
}

impl Node {
    pub(crate) fn new(kernel: Kernel, address: Ipv6Addr, config: Config) -> Self {
        let segments = kernel.ports.iter().map(|(link, port)| (*link, port.segment)).collect();
        Self {
            kernel,
            config,
            engine: None,
            watch: Watch::default(),
            powered: true,
            life: 0,
            deaf: false,
            address,
            waiting: None,
            generations: BTreeMap::new(),
            memory: BTreeMap::new(),
            segments,
            next_link: FIRST_NEW_LINK,
            events: Vec::new(),
            wake: None,
            wakeups: 0,
            timeouts: (Instant::ZERO, 0),
            steps: 0,
            busy_until: Instant::ZERO,
            notified_until: Instant::ZERO,
        }
    }
}

impl World {
    /// Starts a Magpie on a node, or starts it again after [`World::kill`].
    pub fn start(&mut self, node: NodeId) {
        let now = self.now();
        let seed = self.rng.u64(..);
        let state = self.node_mut(node);
        state.engine = Some(Engine::new(state.config.clone(), seed, now));
        state.watch = Watch::default();
        state.life += 1;
        state.deaf = false;
        state.waiting = None;
        state.wake = None;
        self.synchronize(node);
    }

    /// Ends a Magpie at once: its routes and memberships stay, what was under way is lost.
    pub fn kill(&mut self, node: NodeId) {
        let state = self.node_mut(node);
        state.engine = None;
        state.waiting = None;
        state.memory.clear();
        state.life += 1;
        // Memberships end with their socket.
        state.kernel.groups.clear();
    }

    /// Ends a Magpie in good order.
    pub fn shut_down(&mut self, node: NodeId) {
        self.drive(node, |engine, _| engine.shut_down());
        let settle = self.now() + KERNEL_DELAY * 100;
        self.run_until(settle);
        self.kill(node);
    }

    /// Cuts the power of a whole node.
    pub fn power_off(&mut self, node: NodeId) {
        self.kill(node);
        self.node_mut(node).powered = false;
    }

    /// Turns a node off and on again: its kernel has forgotten everything.
    pub fn reboot(&mut self, node: NodeId) {
        self.kill(node);
        let kernel = &mut self.node_mut(node).kernel;
        kernel.routes.clear();
        for port in kernel.ports.values_mut() {
            port.interface.flush_neighbors();
        }
        self.node_mut(node).powered = true;
        self.start(node);
    }

    /// Tells a Magpie what its state file holds.
    pub fn restore(&mut self, node: NodeId, state: &[BindingView]) {
        for binding in state {
            let &BindingView { target, link, lladdr, .. } = binding;
            self.handle(node, Input::Restore { target, link, lladdr });
        }
    }

    /// Loses the notifications that are on their way; the engine learns of it a moment later, and
    /// gets a dump.
    pub fn overrun(&mut self, node: NodeId, lost_for: Duration) {
        self.node_mut(node).deaf = true;
        let life = self.node(node).life;
        self.schedule(self.now() + lost_for, Happening::Overrun { node, life });
    }

    /// Adds a host route of somebody else; none leads away from the relay.
    pub fn add_foreign_route(&mut self, node: NodeId, target: Ipv6Addr, link: Option<LinkId>) {
        self.node_mut(node).kernel.foreign.insert(target, link);
        self.notify(node, KernelEvent::Route { target, link, own: false });
    }

    /// Returns what the engine of a node believes.
    pub fn bindings(&self, node: NodeId) -> Vec<BindingView> {
        let now = self.now();
        self.node(node).engine.iter().flat_map(|engine| engine.bindings(now)).collect()
    }

    /// Returns the counters of a node whose engine runs.
    pub fn counters(&self, node: NodeId) -> Option<&Counters> {
        self.node(node).engine.as_ref().map(Engine::counters)
    }

    /// Returns how much the engine of a node remembers, if it runs.
    pub fn sizes(&self, node: NodeId) -> Option<Sizes> {
        self.node(node).engine.as_ref().map(Engine::sizes)
    }

    /// Returns what the engine of a node has reported, with its time.
    pub fn events(&self, node: NodeId) -> &[(Instant, Event)] {
        &self.node(node).events
    }

    /// Returns how often the engine of a node was woken by its own timers.
    pub fn wakeups(&self, node: NodeId) -> u64 {
        self.node(node).wakeups
    }

    /// Returns the host routes of a Magpie, as its kernel has them.
    pub fn routes(&self, node: NodeId) -> Vec<(Ipv6Addr, LinkId)> {
        self.node(node).kernel.routes.iter().map(|(target, link)| (*target, *link)).collect()
    }

    /// Returns the groups that a node is a member of.
    pub fn groups(&self, node: NodeId) -> Vec<(LinkId, Ipv6Addr)> {
        self.node(node).kernel.groups.iter().copied().collect()
    }

    pub(crate) fn overrun_noticed(&mut self, node: NodeId, life: u64) {
        let state = self.node_mut(node);
        if state.life == life && state.deaf {
            state.deaf = false;
            if let Some(waiting) = &mut state.waiting {
                waiting.overrun = true;
                return;
            }
            self.synchronize(node);
        }
    }

    pub(crate) fn node_receives(&mut self, node: NodeId, segment: LinkId, frame: &Frame) {
        let now = self.now();
        let mut effects = self.take_effects();
        let state = &mut self.nodes[node.0];
        let link = state.kernel.port_on(segment);
        let link = link.filter(|link| state.kernel.ports.get(link).is_some_and(Port::running));
        let Some(link) = link.filter(|_| state.powered) else { return self.give_effects(effects) };
        match frame {
            Frame::Nd { packet, .. } => {
                let own = state.kernel.ports.get(&link).map(|port| port.interface.lladdr);
                // What an access point echoes does not get as far as the kernel's protocols: Linux
                // drops it where frames of Wi-Fi become those of Ethernet. The engine sees it, as
                // other drivers would show it.
                if own != Some(packet.ethernet_source) {
                    state.kernel.receive(link, packet, now, &mut self.rng, &mut effects);
                }
                self.kernel_effects(node, link, effects);
                self.show(node, link, frame, false);
            }
            Frame::Data { datagram, .. } => {
                let (out, forwarded) = state.kernel.receive_data(datagram, now, &mut effects);
                match forwarded {
                    Forwarded::Done => {}
                    Forwarded::NoRoute => self.unroutable += 1,
                    Forwarded::HopLimit => self.hop_limits_exceeded += 1,
                }
                if let Some(out) = out {
                    self.kernel_effects(node, out, effects);
                } else {
                    self.give_effects(effects);
                }
            }
        }
    }

    pub(crate) fn kernel_alarm(&mut self, node: NodeId, link: LinkId, alarm: Alarm) {
        let now = self.now();
        let mut effects = self.take_effects();
        let state = &mut self.nodes[node.0];
        if state.powered {
            state.kernel.alarm(link, alarm, now, &mut self.rng, &mut effects);
        }
        self.kernel_effects(node, link, effects);
    }

    /// The kernel does what the engine asked for, and says so.
    pub(crate) fn execute(&mut self, node: NodeId, life: u64, request: RequestId, op: KernelOp) {
        let state = self.node_mut(node);
        if !state.powered {
            return;
        }
        let result = state.kernel.execute(op);
        self.trace(Entry::Done { node, op, result });
        if self.node(node).life != life {
            return;
        }
        if result.is_ok() {
            match op {
                KernelOp::SetRoute { target, link } => {
                    self.notify(node, KernelEvent::Route { target, link: Some(link), own: true });
                }
                KernelOp::DelRoute { target, link } => {
                    let link = Some(link);
                    self.notify(node, KernelEvent::RouteGone { target, link, own: true });
                }
                KernelOp::JoinGroup { .. } | KernelOp::LeaveGroup { .. } => {}
            }
        }
        self.acknowledge(node, Ack::Done { request, result });
    }

    /// The kernel tells the engine which route leads to a host.
    pub(crate) fn find(&mut self, node: NodeId, life: u64, request: RequestId, target: Ipv6Addr) {
        if self.node(node).life != life {
            return;
        }
        let link = self.node(node).kernel.leads_to(target);
        let found = |link| FoundRoute { egress: Egress::Device(link), prefix_len: 128 };
        self.acknowledge(node, Ack::Found { request, route: link.map(found) });
    }

    pub(crate) fn notified(&mut self, node: NodeId, life: u64, event: KernelEvent) {
        let state = self.node_mut(node);
        if state.life != life || state.deaf {
            return;
        }
        if let Some(waiting) = &mut state.waiting {
            return waiting.news.push(event);
        }
        if let KernelEvent::RouteGone { target, .. } = event {
            state.kernel.untold.remove(&target);
        }
        self.handle(node, Input::Kernel(event));
    }

    pub(crate) fn wake(&mut self, node: NodeId, at: Instant) {
        let now = self.now();
        let state = self.node_mut(node);
        if state.wake != Some(at) || state.waiting.is_some() {
            return;
        }
        state.wake = None;
        state.wakeups += 1;
        let (since, count) = &mut state.timeouts;
        if now.since(*since) < Duration::from_secs(1) {
            *count += 1;
        } else {
            state.timeouts = (now, 1);
        }
        if state.timeouts.1 > TIMEOUT_LOOP {
            let rule = "a timeout is not set to the past again and again";
            self.fail(Breach { target: Ipv6Addr::UNSPECIFIED, rule });
        }
        self.handle(node, Input::Timeout);
    }

    /// Hands one input to the engine and does what it wants.
    pub(crate) fn handle(&mut self, node: NodeId, input: Input<'_>) {
        if let Input::Kernel(event) = input {
            self.node_mut(node).watch.told(&event);
        }
        self.drive(node, |engine, now| engine.handle(input, now));
        if matches!(input, Input::Kernel(_)) && !self.node(node).memory.is_empty() {
            self.recall(node);
        }
    }

    pub(crate) fn drive(&mut self, node: NodeId, step: impl FnOnce(&mut Engine, Instant)) {
        let now = self.now();
        let Some(engine) = self.nodes[node.0].engine.as_mut() else { return };
        step(engine, now);
        while let Some(output) = self.nodes[node.0].engine.as_mut().and_then(Engine::poll_output) {
            self.carry_out(node, output);
        }
        let state = &mut self.nodes[node.0];
        let Some(engine) = state.engine.as_ref() else { return };
        let wanted = engine.poll_timeout().map(|wakeup| wakeup.at);
        state.steps += 1;
        if state.steps.is_multiple_of(SIZE_CHECKS)
            && let Err(breach) = Watch::sizes(engine, &state.config, now)
        {
            self.fail(breach);
        }
        let state = &mut self.nodes[node.0];
        if wanted != state.wake {
            state.wake = wanted;
            if let Some(at) = wanted {
                let late = TIMER_SLACK.mul_f64(self.rng.f64());
                self.schedule(at.max(now) + late, Happening::Wake { node, at });
            }
        }
    }

    fn carry_out(&mut self, node: NodeId, output: Output) {
        let now = self.now();
        let state = &mut self.nodes[node.0];
        match output {
            Output::Transmit(transmit) => {
                let verdict = state.watch.sent(transmit.link, &transmit.packet, &state.kernel, now);
                let frame = Frame::nd(transmit.packet);
                self.send_from(node, transmit.link, frame);
                if let Err(breach) = verdict {
                    self.fail(breach);
                }
            }
            // Networks in memory carry Neighbor Discovery only.
            Output::Datagram(_) => {}
            Output::Kernel { request, op } => {
                let verdict = state.watch.wanted(op, &state.kernel);
                let life = state.life;
                self.trace(Entry::Wanted { node, op });
                if let Err(breach) = verdict {
                    self.fail(breach);
                }
                // Requests are carried out in the order in which they were made.
                let at = now + KERNEL_DELAY.mul_f64(0.3 + 0.7 * self.rng.f64());
                let at = at.max(self.node(node).busy_until);
                self.node_mut(node).busy_until = at;
                self.schedule(at, Happening::Execute { node, life, request, op });
            }
            Output::FindRoute { request, target, .. } => {
                let at = state.busy_until.max(now);
                let life = state.life;
                self.schedule(at, Happening::Find { node, life, request, target });
            }
            Output::Event(event) => {
                state.watch.reported(&event, now);
                state.remember(&event);
                state.events.push((now, event.clone()));
                self.trace(Entry::Event { node, event });
            }
        }
    }

    /// Passes on what the kernel of a node wants on a link; the engine sees what it sends.
    pub(crate) fn kernel_effects(&mut self, node: NodeId, link: LinkId, mut effects: Vec<Effect>) {
        for effect in effects.drain(..) {
            match effect {
                Effect::Send(frame) => {
                    self.show(node, link, &frame, true);
                    self.send_from(node, link, frame);
                }
                Effect::Alarm(alarm, at) => {
                    self.schedule(at, Happening::KernelAlarm { node, link, alarm });
                }
                Effect::Failed(target) => {
                    self.trace(Entry::Miss { node, link, target });
                    self.notify(node, KernelEvent::Miss { link, target });
                }
                Effect::Settled(address, validity) => {
                    self.node_settled(node, link, address, validity);
                }
                Effect::NoRouter(_) => {}
            }
        }
        self.give_effects(effects);
    }

    pub(crate) fn notify(&mut self, node: NodeId, event: KernelEvent) {
        let life = self.node(node).life;
        if self.node(node).deaf {
            return;
        }
        let late = NOTIFICATION_DELAY.mul_f64(self.rng.f64());
        // Notifications keep their order.
        let at = (self.now() + late).max(self.node(node).notified_until);
        self.node_mut(node).notified_until = at;
        self.schedule(at, Happening::Notify { node, life, event });
    }

    /// Says that notifications were lost, and dumps everything.
    pub(crate) fn synchronize(&mut self, node: NodeId) {
        let state = self.node_mut(node);
        let gone: Vec<_> = state.watch.links_gone(&state.kernel).collect();
        for link in gone {
            self.handle(node, Input::Kernel(KernelEvent::LinkGone { link }));
        }
        self.node_mut(node).kernel.untold.clear();
        self.handle(node, Input::Kernel(KernelEvent::Overrun));
        for event in self.node(node).kernel.dump() {
            self.handle(node, Input::Kernel(event));
        }
        self.handle(node, Input::Kernel(KernelEvent::Synced));
    }
}
