//! One interface of a Linux node: its addresses, duplicate address detection (RFC 4862 with RFC
//! 7527), the answers it gives, and its neighbor cache.

use std::net::Ipv6Addr;
use std::time::Duration;

use magpie_engine::Instant;
use magpie_wire::{
    ALL_NODES, ALL_ROUTERS, Advert, LinkAddr, Message, Nonce, Packet, Solicit, multicast_lladdr,
    solicited_node,
};

use crate::frame::Frame;
use crate::neighbor::{Deed, NeighborCache, Payload, RETRANS_TIMER};

/// RFC 4861 section 10: longest delay before the first message on a link.
const MAX_RTR_SOLICITATION_DELAY: Duration = Duration::from_secs(1);
/// Timers of Linux fire late, by up to an eighth of the time where the clock ticks slowly.
const TIMER_LATENESS: Duration = Duration::from_millis(100);

/// How the stack of a node behaves where nodes differ.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Stack {
    /// Linux: probes carry a nonce; answers to solicitations for one node alone are terse, with
    /// neither override flag nor link-layer address.
    Linux,
    /// Probes without a nonce; every answer with override flag and link-layer address.
    Plain,
}

/// What an interface wants done.
#[derive(Debug)]
pub(crate) enum Effect {
    /// Send a frame on the link.
    Send(Frame),
    /// Call `alarm`.
    Alarm(Alarm, Instant),
    /// A neighbor could not be found.
    Failed(Ipv6Addr),
    /// A router said that it is none.
    NoRouter(Ipv6Addr),
    /// Duplicate address detection ended.
    Settled(Ipv6Addr, Validity),
}

/// What an alarm is for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Alarm {
    Neighbor(Ipv6Addr),
    Dad(Ipv6Addr),
}

/// What duplicate address detection has found of an address.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Validity {
    /// Nothing yet.
    Tentative,
    /// It is unique.
    Valid,
    /// Somebody else has it.
    Duplicate,
}

#[derive(Debug)]
pub(crate) struct Interface {
    pub(crate) lladdr: LinkAddr,
    pub(crate) router: bool,
    stack: Stack,
    addresses: Vec<OwnAddress>,
    cache: NeighborCache,
    deeds: Vec<Deed>,
}

#[derive(Debug)]
struct OwnAddress {
    address: Ipv6Addr,
    /// The Ethernet address of its solicited-node group.
    group: LinkAddr,
    validity: Validity,
    /// The nonce of the probe that was sent last.
    nonce: Option<Nonce>,
    probed: bool,
    deadline: Option<Instant>,
}

impl Interface {
    pub(crate) fn new(lladdr: LinkAddr, stack: Stack, router: bool) -> Self {
        Self {
            lladdr,
            router,
            stack,
            addresses: Vec::new(),
            cache: NeighborCache::default(),
            deeds: Vec::new(),
        }
    }

    /// Adds an address that needs no duplicate address detection.
    pub(crate) fn assign(&mut self, address: Ipv6Addr) {
        self.addresses.push(OwnAddress {
            address,
            group: multicast_lladdr(solicited_node(address)),
            validity: Validity::Valid,
            nonce: None,
            probed: false,
            deadline: None,
        });
    }

    /// Adds an address, or starts over with one, and detects duplicates of it.
    pub(crate) fn configure(
        &mut self,
        address: Ipv6Addr,
        now: Instant,
        rng: &mut fastrand::Rng,
        effects: &mut Vec<Effect>,
    ) {
        if !self.addresses.iter().any(|own| own.address == address) {
            self.assign(address);
        }
        let Some(own) = self.find(address) else { return };
        own.validity = Validity::Tentative;
        own.probed = false;
        own.nonce = None;
        let at = now + MAX_RTR_SOLICITATION_DELAY.mul_f64(rng.f64());
        own.deadline = Some(at);
        effects.push(Effect::Alarm(Alarm::Dad(address), at));
    }

    pub(crate) fn remove(&mut self, address: Ipv6Addr) {
        self.addresses.retain(|own| own.address != address);
    }

    /// Takes all addresses away, as Linux does when an interface is switched off; returns them.
    pub(crate) fn clear(&mut self) -> Vec<Ipv6Addr> {
        self.cache.flush();
        self.addresses.drain(..).map(|own| own.address).collect()
    }

    /// Takes a router's link-layer address from its advertisement (RFC 4861 section 6.3.4).
    pub(crate) fn discover(
        &mut self,
        router: Ipv6Addr,
        lladdr: LinkAddr,
        now: Instant,
        effects: &mut Vec<Effect>,
    ) {
        let source = self.link_local().unwrap_or(Ipv6Addr::UNSPECIFIED);
        self.cache.heard(router, lladdr, source, now, &mut self.deeds);
        self.carry_out(effects);
    }

    /// Starts duplicate address detection of every address over.
    pub(crate) fn reconfigure(
        &mut self,
        now: Instant,
        rng: &mut fastrand::Rng,
        effects: &mut Vec<Effect>,
    ) {
        let addresses: Vec<_> = self.addresses.iter().map(|own| own.address).collect();
        for address in addresses {
            self.configure(address, now, rng, effects);
        }
    }

    pub(crate) fn flush_neighbors(&mut self) {
        self.cache.flush();
    }

    /// Sends a payload to a neighbor.
    pub(crate) fn send(
        &mut self,
        next_hop: Ipv6Addr,
        payload: Payload,
        now: Instant,
        effects: &mut Vec<Effect>,
    ) {
        let hint = match payload {
            Payload::Datagram(datagram) => Some(datagram.source),
            Payload::Nd(_) => None,
        };
        // Linux asks from the source of the packet that waits, if that is its own.
        let source = hint.filter(|source| self.holds(*source)).or_else(|| self.link_local());
        let Some(source) = source else { return };
        self.cache.send(next_hop, source, payload, now, &mut self.deeds);
        self.carry_out(effects);
    }

    /// Takes Neighbor Discovery that came in.
    pub(crate) fn receive(
        &mut self,
        packet: &Packet<'static>,
        now: Instant,
        rng: &mut fastrand::Rng,
        effects: &mut Vec<Effect>,
    ) {
        if !packet.destination.is_multicast() && !self.holds(packet.destination) {
            return;
        }
        match &packet.message {
            Message::Solicit(solicit) => self.solicited(packet, solicit, now, effects),
            Message::Advert(advert) => {
                if let Some(own) = self.find(advert.target) {
                    if own.validity == Validity::Tentative && !advert.solicited {
                        own.fail(effects);
                    }
                } else {
                    self.cache.advertised(packet.source, advert, now, rng, &mut self.deeds);
                    self.carry_out(effects);
                }
            }
            _ => {}
        }
    }

    pub(crate) fn alarm(
        &mut self,
        alarm: Alarm,
        now: Instant,
        rng: &mut fastrand::Rng,
        effects: &mut Vec<Effect>,
    ) {
        match alarm {
            Alarm::Neighbor(target) => {
                self.cache.alarm(target, now, &mut self.deeds);
                self.carry_out(effects);
            }
            Alarm::Dad(address) => self.detect(address, now, rng, effects),
        }
    }

    pub(crate) fn validity(&self, address: Ipv6Addr) -> Option<Validity> {
        self.addresses.iter().find(|own| own.address == address).map(|own| own.validity)
    }

    /// Whether the address is assigned for good.
    pub(crate) fn holds(&self, address: Ipv6Addr) -> bool {
        self.validity(address) == Some(Validity::Valid)
    }

    pub(crate) fn link_local(&self) -> Option<Ipv6Addr> {
        self.addresses
            .iter()
            .filter(|own| own.validity == Validity::Valid)
            .map(|own| own.address)
            .find(Ipv6Addr::is_unicast_link_local)
    }

    pub(crate) fn addresses(&self) -> impl Iterator<Item = Ipv6Addr> + '_ {
        self.addresses.iter().map(|own| own.address)
    }

    /// Whether the hardware lets a group-addressed frame through.
    pub(crate) fn listens_to(&self, group: LinkAddr) -> bool {
        group == multicast_lladdr(ALL_NODES)
            || (self.router && group == multicast_lladdr(ALL_ROUTERS))
            || self.addresses.iter().any(|own| own.group == group)
    }

    pub(crate) fn neighbor(&self, target: Ipv6Addr) -> Option<LinkAddr> {
        self.cache.lladdr(target)
    }

    fn solicited(
        &mut self,
        packet: &Packet<'static>,
        solicit: &Solicit,
        now: Instant,
        effects: &mut Vec<Effect>,
    ) {
        let Some(own) = self.find(solicit.target) else { return };
        match own.validity {
            Validity::Duplicate => {}
            Validity::Tentative => {
                // RFC 7527 section 4.2: one's own probe, come back, is no duplicate.
                let looped = solicit.nonce.is_some() && solicit.nonce == own.nonce;
                if packet.is_dad() && !looped {
                    own.fail(effects);
                }
            }
            Validity::Valid if packet.is_dad() => {
                let advert = self.advert(solicit.target, false, true, true);
                effects.push(Effect::Send(Frame::nd(Packet {
                    ethernet_source: self.lladdr,
                    ethernet_destination: multicast_lladdr(ALL_NODES),
                    source: solicit.target,
                    destination: ALL_NODES,
                    message: Message::Advert(advert),
                })));
            }
            Validity::Valid => {
                let source = solicit.target;
                if let Some(lladdr) = solicit.source_lladdr {
                    self.cache.heard(packet.source, lladdr, source, now, &mut self.deeds);
                } else if packet.destination.is_multicast()
                    && self.cache.lladdr(packet.source).is_none()
                {
                    // Linux stays silent.
                    return;
                }
                let full = packet.destination.is_multicast() || self.stack == Stack::Plain;
                let answer = Packet {
                    ethernet_source: self.lladdr,
                    ethernet_destination: LinkAddr::ZERO,
                    source,
                    destination: packet.source,
                    message: Message::Advert(self.advert(solicit.target, true, full, full)),
                };
                self.cache.send(packet.source, source, Payload::Nd(answer), now, &mut self.deeds);
                self.carry_out(effects);
            }
        }
    }

    /// The next step of duplicate address detection: the probe, and a second later the verdict.
    fn detect(
        &mut self,
        address: Ipv6Addr,
        now: Instant,
        rng: &mut fastrand::Rng,
        effects: &mut Vec<Effect>,
    ) {
        let (lladdr, stack) = (self.lladdr, self.stack);
        let Some(own) = self.find(address) else { return };
        if own.deadline != Some(now) || own.validity != Validity::Tentative {
            return;
        }
        if own.probed {
            own.deadline = None;
            own.validity = Validity::Valid;
            effects.push(Effect::Settled(address, Validity::Valid));
            return;
        }
        own.probed = true;
        own.nonce = (stack == Stack::Linux).then(|| {
            let mut octets = [0; 6];
            rng.fill(&mut octets);
            Nonce::new(octets)
        });
        let verdict = now + RETRANS_TIMER + TIMER_LATENESS.mul_f64(rng.f64());
        own.deadline = Some(verdict);
        effects.push(Effect::Alarm(Alarm::Dad(address), verdict));
        let group = solicited_node(address);
        let solicit = Solicit { target: address, source_lladdr: None, nonce: own.nonce };
        effects.push(Effect::Send(Frame::nd(Packet {
            ethernet_source: lladdr,
            ethernet_destination: multicast_lladdr(group),
            source: Ipv6Addr::UNSPECIFIED,
            destination: group,
            message: Message::Solicit(solicit),
        })));
    }

    fn advert(&self, target: Ipv6Addr, solicited: bool, overrides: bool, lladdr: bool) -> Advert {
        Advert {
            target,
            router: self.router,
            solicited,
            overrides,
            target_lladdr: lladdr.then_some(self.lladdr),
        }
    }

    /// Turns what the neighbor cache wants into frames and alarms.
    fn carry_out(&mut self, effects: &mut Vec<Effect>) {
        let (lladdr, link_local) = (self.lladdr, self.link_local());
        let holds = |address| {
            self.addresses
                .iter()
                .any(|own| own.address == address && own.validity == Validity::Valid)
        };
        effects.extend(self.deeds.drain(..).map(|deed| match deed {
            Deed::Transmit { to, payload: Payload::Datagram(datagram) } => {
                Effect::Send(Frame::Data { destination: to, datagram })
            }
            Deed::Transmit { to, payload: Payload::Nd(packet) } => {
                Effect::Send(Frame::nd(Packet { ethernet_destination: to, ..packet }))
            }
            Deed::Solicit { target, source, to } => {
                let group = solicited_node(target);
                // The address that it asked from at first may be gone.
                let source = if holds(source) { source } else { link_local.unwrap_or(source) };
                let solicit = Solicit { target, source_lladdr: Some(lladdr), nonce: None };
                Effect::Send(Frame::nd(Packet {
                    ethernet_source: lladdr,
                    ethernet_destination: to.unwrap_or(multicast_lladdr(group)),
                    source,
                    destination: to.map_or(group, |_| target),
                    message: Message::Solicit(solicit),
                }))
            }
            Deed::Alarm { target, at } => Effect::Alarm(Alarm::Neighbor(target), at),
            Deed::Failed { target } => Effect::Failed(target),
            Deed::NoRouter { by } => Effect::NoRouter(by),
        }));
    }

    fn find(&mut self, address: Ipv6Addr) -> Option<&mut OwnAddress> {
        self.addresses.iter_mut().find(|own| own.address == address)
    }
}

impl OwnAddress {
    fn fail(&mut self, effects: &mut Vec<Effect>) {
        self.validity = Validity::Duplicate;
        self.deadline = None;
        effects.push(Effect::Settled(self.address, Validity::Duplicate));
    }
}
