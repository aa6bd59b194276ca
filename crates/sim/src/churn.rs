//! What happens to the interfaces and to the process of a Magpie node: devices that come, go and
//! change, and a process that is stopped for a while.

use std::net::Ipv6Addr;
use std::time::Duration;

use ipnet::Ipv6Net;
use magpie_engine::{Engine, Event, Input, KernelEvent, LinkId, Member};

use crate::frame::Frame;
use crate::interface::{Interface, Stack, Validity};
use crate::invariants::Breach;
use crate::kernel::{PREFIX_LEN, Port};
use crate::medium::Station;
use crate::node::{Ack, Node, Waiting};
use crate::trace::{Change, Entry};
use crate::world::{Happening, World, node_link_local, node_lladdr};
use crate::{HostId, NodeId};

/// How soon a new interface gets its addresses, at most, if nobody delays it.
const CONFIGURATION_DELAY: Duration = Duration::from_millis(100);
/// How soon a router advertises itself on a link that has become usable.
const BEACON_DELAY: Duration = Duration::from_millis(500);
/// Notifications, and frames, that the sockets of a stopped process hold.
const SOCKET_ROOM: usize = 256;
/// How late a deadline is noticed by a process that was stopped, and not merely busy.
const OVERSLEPT: Duration = Duration::from_secs(2);

impl World {
    /// Plugs an interface of a node in to a segment, as one of the configured links; returns its
    /// number, which no interface had before. `late` is added to the time until it has addresses,
    /// which are tentative at first.
    ///
    /// # Panics
    ///
    /// If the node is on the segment already.
    pub fn plug_in(
        &mut self,
        node: NodeId,
        segment: LinkId,
        member: Member,
        late: Duration,
    ) -> LinkId {
        let generation = self.node(node).generations.get(&segment).copied().unwrap_or_default();
        let state = self.node_mut(node);
        assert_eq!(state.kernel.port_on(segment), None, "{node:?} is on {segment:?}");
        let link = LinkId(state.next_link);
        state.next_link += 1;
        let lladdr = node_lladdr(node, segment, generation);
        let interface = Interface::new(lladdr, Stack::Linux, true);
        state.segments.insert(link, segment);
        state.kernel.ports.insert(link, Port::new(interface, segment, member));
        if member == Member::default() {
            state.kernel.on_link = link;
        }
        self.segment_mut(segment).attach(Station::Node(node), lladdr);
        self.trace(Entry::Port { node, link, segment, change: Change::PluggedIn });
        self.announce_port(node, link);
        self.configure_later(node, link, late);
        link
    }

    /// Removes the interface of a node that is connected to a segment: its routes, addresses and
    /// memberships go with it.
    pub fn unplug(&mut self, node: NodeId, segment: LinkId) {
        let Some(link) = self.node(node).kernel.port_on(segment) else { return };
        self.strip(node, link);
        let state = self.node_mut(node);
        state.kernel.groups.retain(|(on, _)| *on != link);
        if let Some(port) = state.kernel.ports.remove(&link) {
            self.segment_mut(segment).detach(port.interface.lladdr);
        }
        self.trace(Entry::Port { node, link, segment, change: Change::Unplugged });
        self.notify(node, KernelEvent::LinkGone { link });
    }

    /// Makes the device anew that connects a node to a segment: with another number, and on
    /// demand with another link-layer address.
    pub fn replace(&mut self, node: NodeId, segment: LinkId, readdress: bool, late: Duration) {
        let kernel = &self.node(node).kernel;
        let Some(port) = kernel.port_on(segment).and_then(|link| kernel.ports.get(&link)) else {
            return;
        };
        let member = port.member;
        self.unplug(node, segment);
        if readdress {
            *self.node_mut(node).generations.entry(segment).or_default() += 1;
        }
        self.plug_in(node, segment, member, late);
    }

    /// Gives the interface of a node on a segment another link-layer address while it is up.
    /// Linux forgets its neighbors; the IPv6 addresses stay.
    pub fn readdress(&mut self, node: NodeId, segment: LinkId) {
        let state = self.node_mut(node);
        let Some(link) = state.kernel.port_on(segment) else { return };
        let generation = state.generations.entry(segment).or_default();
        *generation += 1;
        let lladdr = node_lladdr(node, segment, *generation);
        let Some(port) = state.kernel.ports.get_mut(&link) else { return };
        let before = std::mem::replace(&mut port.interface.lladdr, lladdr);
        port.interface.flush_neighbors();
        let medium = self.segment_mut(segment);
        medium.detach(before);
        medium.attach(Station::Node(node), lladdr);
        self.trace(Entry::Port { node, link, segment, change: Change::Readdressed });
        self.announce_port(node, link);
        self.schedule_beacon(node, link);
    }

    /// Switches the interface of a node on a segment on or off. Off, it loses its addresses and
    /// routes; on again, it gets addresses as a new one does.
    pub fn switch(&mut self, node: NodeId, segment: LinkId, up: bool, late: Duration) {
        let Some(link) = self.node(node).kernel.port_on(segment) else { return };
        let Some(port) = self.node_mut(node).kernel.ports.get_mut(&link) else { return };
        if port.up == up {
            return;
        }
        port.up = up;
        let change = if up { Change::SwitchedOn } else { Change::SwitchedOff };
        self.trace(Entry::Port { node, link, segment, change });
        if up {
            self.announce_port(node, link);
            self.configure_later(node, link, late);
        } else {
            self.strip(node, link);
            self.announce_port(node, link);
        }
    }

    /// Gives the interface of a node on a segment its carrier, or takes it.
    pub fn carrier(&mut self, node: NodeId, segment: LinkId, running: bool) {
        let kernel = &mut self.node_mut(node).kernel;
        let Some(link) = kernel.port_on(segment) else { return };
        let Some(port) = kernel.ports.get_mut(&link) else { return };
        port.carrier = running;
        port.interface.flush_neighbors();
        let change = if running { Change::CarrierFound } else { Change::CarrierLost };
        self.trace(Entry::Port { node, link, segment, change });
        self.announce_port(node, link);
    }

    /// Stops the process of a Magpie, as a debugger or a suspended machine does. Its kernel goes
    /// on.
    pub fn pause(&mut self, node: NodeId, span: Duration) {
        let state = self.node_mut(node);
        if state.engine.is_none() || state.waiting.is_some() {
            return;
        }
        state.waiting = Some(Waiting::default());
        let life = state.life;
        self.trace(Entry::Paused { node, paused: true });
        self.schedule(self.now() + span, Happening::Continue { node, life });
    }

    /// Returns the number of the interface that connects a node to a segment.
    pub fn port(&self, node: NodeId, segment: LinkId) -> Option<LinkId> {
        self.node(node).kernel.port_on(segment)
    }

    /// Whether the interface of a node on a segment is there, and can be used and spoken from.
    pub fn ready(&self, node: NodeId, segment: LinkId) -> bool {
        let kernel = &self.node(node).kernel;
        let port = kernel.port_on(segment).and_then(|link| kernel.ports.get(&link));
        port.is_some_and(|port| port.running() && port.interface.link_local().is_some())
    }

    /// Whether the kernel of a node knows a host as a neighbor on a link where it is not.
    pub fn misleads(&self, node: NodeId, host: HostId) -> bool {
        let Some(address) = self.hosts[host.0].address() else { return false };
        let mut ports = self.node(node).kernel.ports.values();
        ports.any(|port| {
            Some(port.segment) != self.link_of(host) && port.interface.neighbor(address).is_some()
        })
    }

    /// The process goes on. It takes the answers that it waited for; if a deadline has passed
    /// meanwhile, it does not know how old the frames are that wait, and throws them away.
    pub(crate) fn go_on(&mut self, node: NodeId, life: u64) {
        let now = self.now();
        let state = self.node_mut(node);
        if state.life != life {
            return;
        }
        let Some(waiting) = state.waiting.take() else { return };
        self.trace(Entry::Paused { node, paused: false });
        let state = self.node_mut(node);
        let Waiting { acks, frames, news, overrun } = waiting;
        let deadline = state.engine.as_ref().and_then(Engine::poll_timeout);
        let overslept = deadline.is_some_and(|deadline| deadline.at + OVERSLEPT < now);
        state.wake = None;
        for ack in acks {
            self.acknowledge(node, ack);
        }
        if overslept {
            self.handle(node, Input::Resumed);
        } else {
            for (link, frame, outgoing) in &frames {
                self.show(node, *link, frame, *outgoing);
            }
        }
        if overrun || news.len() > SOCKET_ROOM {
            self.synchronize(node);
        } else {
            for event in news {
                self.notified(node, life, event);
            }
        }
    }

    /// Shows a frame to the engine, or keeps it for a process that is stopped.
    pub(crate) fn show(&mut self, node: NodeId, link: LinkId, frame: &Frame, outgoing: bool) {
        let now = self.now();
        let Frame::Nd { packet, octets } = frame else { return };
        let state = &mut self.nodes[node.0];
        if let Some(waiting) = &mut state.waiting {
            if waiting.frames.len() < SOCKET_ROOM {
                waiting.frames.push((link, frame.clone(), outgoing));
            }
        } else if outgoing {
            self.handle(node, Input::Outgoing { link, bytes: octets });
        } else {
            state.watch.received(link, packet, &state.kernel, now);
            self.handle(node, Input::Frame { link, bytes: octets });
        }
    }

    /// Hands the engine an answer of the kernel, or keeps it for a process that is stopped.
    pub(crate) fn acknowledge(&mut self, node: NodeId, ack: Ack) {
        if let Some(waiting) = &mut self.node_mut(node).waiting {
            return waiting.acks.push(ack);
        }
        match ack {
            Ack::Done { request, result } => self.handle(node, Input::Ack { request, result }),
            Ack::Found { request, route } => self.handle(node, Input::Route { request, route }),
        }
    }

    /// An interface of a node gets its addresses, and detects duplicates of them.
    pub(crate) fn configure_port(&mut self, node: NodeId, link: LinkId) {
        let now = self.now();
        let mut effects = self.take_effects();
        let state = &mut self.nodes[node.0];
        let (on_link, address) = (state.kernel.on_link, state.address);
        let mut given = Vec::new();
        if let Some(port) = state.kernel.ports.get_mut(&link).filter(|port| port.up) {
            let generation = state.generations.get(&port.segment).copied().unwrap_or_default();
            given.push(node_link_local(node, port.segment, generation));
            if link == on_link {
                given.push(address);
            }
            for address in &given {
                port.interface.configure(*address, now, &mut self.rng, &mut effects);
            }
        }
        self.kernel_effects(node, link, effects);
        for address in given {
            // Linux does not always tell of addresses that are tentative.
            if self.rng.bool() {
                let address = Ipv6Net::new_assert(address, PREFIX_LEN);
                self.notify(node, KernelEvent::Address { link, address, tentative: true });
            }
        }
    }

    /// An interface of a node has finished duplicate address detection.
    pub(crate) fn node_settled(
        &mut self,
        node: NodeId,
        link: LinkId,
        address: Ipv6Addr,
        validity: Validity,
    ) {
        self.trace(Entry::Settled { address, validity });
        if validity == Validity::Valid {
            let net = Ipv6Net::new_assert(address, PREFIX_LEN);
            self.notify(node, KernelEvent::Address { link, address: net, tentative: false });
            if address.is_unicast_link_local() {
                self.schedule_beacon(node, link);
            }
        } else if !self.duplicates_allowed {
            self.fail(Breach { target: address, rule: "a node's own address is no duplicate" });
        }
    }

    /// A router daemon beside Magpie advertises the node: hosts whose router is gone, or who know
    /// it by another link-layer address, learn of it.
    pub(crate) fn advertise_router(&mut self, node: NodeId, link: LinkId) {
        let now = self.now();
        let state = self.node(node);
        let port = state.kernel.ports.get(&link).filter(|port| state.powered && port.running());
        let Some((segment, lladdr, router)) = port.and_then(|port| {
            Some((port.segment, port.interface.lladdr, port.interface.link_local()?))
        }) else {
            return;
        };
        let gateway = self.gateway_on(segment);
        for host in 0..self.hosts.len() {
            let host = HostId(host);
            let state = &mut self.hosts[host.0];
            if state.link != Some(segment) || !state.awake || self.router == Some(host) {
                continue;
            }
            state.gateway = gateway;
            let mut effects = self.take_effects();
            self.hosts[host.0].interface.discover(router, lladdr, now, &mut effects);
            self.host_effects(host, effects);
        }
    }

    /// Sends a frame from an interface of a node, if it still is one.
    pub(crate) fn send_from(&mut self, node: NodeId, link: LinkId, frame: Frame) {
        let port = self.node(node).kernel.ports.get(&link).filter(|port| port.running());
        if let Some(segment) = port.map(|port| port.segment) {
            self.transmit(segment, Station::Node(node), frame);
        }
    }

    /// Gives back to the engine the hosts that went with their link or prefix, if that is back.
    pub(crate) fn recall(&mut self, node: NodeId) {
        let now = self.now();
        let state = self.node_mut(node);
        let Some(engine) = &state.engine else { return };
        let prefixes: Vec<_> = engine.prefixes(now).map(|scope| scope.prefix).collect();
        let mut back = Vec::new();
        let Node { memory, kernel, watch, .. } = state;
        memory.retain(|target, (segment, lladdr)| {
            let link = kernel.port_on(*segment).filter(|link| watch.knows(*link));
            let link = link.filter(|_| prefixes.iter().any(|prefix| prefix.contains(target)));
            back.extend(link.map(|link| (*target, link, *lladdr)));
            link.is_none()
        });
        for (target, link, lladdr) in back {
            self.handle(node, Input::Restore { target, link, lladdr });
        }
    }

    /// Takes an interface its routes and addresses.
    fn strip(&mut self, node: NodeId, link: LinkId) {
        let kernel = &mut self.node_mut(node).kernel;
        let routes = kernel.flush_routes(link);
        let addresses =
            kernel.ports.get_mut(&link).map(|port| port.interface.clear()).unwrap_or_default();
        for target in routes {
            self.notify(node, KernelEvent::RouteGone { target, link: Some(link), own: true });
        }
        for address in addresses {
            self.notify(node, KernelEvent::AddressGone { link, address });
        }
    }

    fn announce_port(&mut self, node: NodeId, link: LinkId) {
        if let Some(event) = self.node(node).kernel.describe(link) {
            self.notify(node, event);
        }
    }

    fn configure_later(&mut self, node: NodeId, link: LinkId, late: Duration) {
        let soon = CONFIGURATION_DELAY.mul_f64(self.rng.f64());
        self.schedule(self.now() + soon + late, Happening::Configure { node, link });
    }

    fn schedule_beacon(&mut self, node: NodeId, link: LinkId) {
        let soon = BEACON_DELAY.mul_f64(self.rng.f64());
        self.schedule(self.now() + soon, Happening::Beacon { node, link });
    }
}

impl Node {
    /// Keeps in mind hosts that went with their link or prefix, as the program does.
    pub(crate) fn remember(&mut self, event: &Event) {
        match *event {
            Event::Displaced { target, link, lladdr } => {
                let segment = self.segments.get(&link);
                self.memory.extend(segment.map(|segment| (target, (*segment, lladdr))));
            }
            Event::Found { target, .. } | Event::Moved { target, .. } => {
                self.memory.remove(&target);
            }
            _ => {}
        }
    }
}
