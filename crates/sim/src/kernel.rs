//! The kernel of a Magpie node: interfaces, host routes, forwarding, and what it reports.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv6Addr;

use ipnet::Ipv6Net;
use magpie_engine::{Instant, KernelEvent, KernelOp, LinkId, LinkInfo, Member};
use magpie_wire::Packet;

use crate::frame::Datagram;
use crate::interface::{Alarm, Effect, Interface};
use crate::neighbor::Payload;

/// `ENODEV`, as Linux says of an interface that does not exist.
const ENODEV: i32 = 19;
/// `ENETDOWN`, as Linux says when a route leads to an interface that is down.
const ENETDOWN: i32 = 100;

/// Length of the prefix of each address.
pub(crate) const PREFIX_LEN: u8 = 64;

#[derive(Debug)]
pub(crate) struct Kernel {
    pub(crate) ports: BTreeMap<LinkId, Port>,
    /// Host routes with Magpie's protocol number.
    pub(crate) routes: BTreeMap<Ipv6Addr, LinkId>,
    /// Host routes of others; none leads away from the relay.
    pub(crate) foreign: BTreeMap<Ipv6Addr, Option<LinkId>>,
    pub(crate) groups: BTreeSet<(LinkId, Ipv6Addr)>,
    /// Host routes that went with their interface, of which the engine has not been told yet.
    pub(crate) untold: BTreeSet<Ipv6Addr>,
    /// The interface that the subnet is on as far as the routing table knows, while it has an
    /// address there.
    pub(crate) on_link: LinkId,
    pub(crate) subnet: Ipv6Net,
    pub(crate) gateway: Option<Ipv6Addr>,
}

#[derive(Debug)]
pub(crate) struct Port {
    pub(crate) interface: Interface,
    /// What it is connected to.
    pub(crate) segment: LinkId,
    pub(crate) member: Member,
    /// Switched on.
    pub(crate) up: bool,
    pub(crate) carrier: bool,
}

impl Port {
    /// One that is switched on and connected.
    pub(crate) fn new(interface: Interface, segment: LinkId, member: Member) -> Self {
        Self { interface, segment, member, up: true, carrier: true }
    }

    pub(crate) fn running(&self) -> bool {
        self.up && self.carrier
    }
}

/// What became of data that came in.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Forwarded {
    /// It was for this node, or went on.
    Done,
    /// There is no way to go.
    NoRoute,
    /// It has been on its way for too long.
    HopLimit,
}

impl Kernel {
    pub(crate) fn receive(
        &mut self,
        link: LinkId,
        packet: &Packet<'static>,
        now: Instant,
        rng: &mut fastrand::Rng,
        effects: &mut Vec<Effect>,
    ) {
        if let Some(port) = self.ports.get_mut(&link) {
            port.interface.receive(packet, now, rng, effects);
        }
    }

    /// Takes data that came in, for itself or to forward it; returns the link that the effects
    /// concern.
    pub(crate) fn receive_data(
        &mut self,
        datagram: &Datagram,
        now: Instant,
        effects: &mut Vec<Effect>,
    ) -> (Option<LinkId>, Forwarded) {
        // Linux takes packets for any of its addresses on any interface.
        let own = self.ports.values().any(|port| port.interface.holds(datagram.destination));
        if own {
            let Some(reply) = datagram.reply() else { return (None, Forwarded::Done) };
            return self.route(reply, now, effects);
        }
        if datagram.hop_limit <= 1 {
            return (None, Forwarded::HopLimit);
        }
        let datagram = Datagram { hop_limit: datagram.hop_limit - 1, ..*datagram };
        self.route(datagram, now, effects)
    }

    pub(crate) fn alarm(
        &mut self,
        link: LinkId,
        alarm: Alarm,
        now: Instant,
        rng: &mut fastrand::Rng,
        effects: &mut Vec<Effect>,
    ) {
        if let Some(port) = self.ports.get_mut(&link) {
            port.interface.alarm(alarm, now, rng, effects);
        }
    }

    /// Does what Magpie asks for.
    ///
    /// # Errors
    ///
    /// The `errno` value.
    pub(crate) fn execute(&mut self, op: KernelOp) -> Result<(), i32> {
        match op {
            KernelOp::SetRoute { target, link } => {
                let port = self.ports.get(&link).ok_or(ENODEV)?;
                if !port.up {
                    return Err(ENETDOWN);
                }
                self.routes.insert(target, link);
                self.untold.remove(&target);
            }
            KernelOp::DelRoute { target, link } => {
                if self.routes.get(&target) == Some(&link) {
                    self.routes.remove(&target);
                }
            }
            KernelOp::JoinGroup { link, group } => {
                if !self.ports.contains_key(&link) {
                    return Err(ENODEV);
                }
                self.groups.insert((link, group));
            }
            KernelOp::LeaveGroup { link, group } => {
                self.groups.remove(&(link, group));
            }
        }
        Ok(())
    }

    /// Returns where packets for a host leave.
    pub(crate) fn leads_to(&self, target: Ipv6Addr) -> Option<LinkId> {
        match self.foreign.get(&target) {
            Some(foreign) => *foreign,
            None => self.routes.get(&target).copied(),
        }
    }

    /// Returns the interface that is connected to a segment.
    pub(crate) fn port_on(&self, segment: LinkId) -> Option<LinkId> {
        self.ports.iter().find(|(_, port)| port.segment == segment).map(|(link, _)| *link)
    }

    /// Removes the host routes through an interface, and returns them.
    pub(crate) fn flush_routes(&mut self, link: LinkId) -> Vec<Ipv6Addr> {
        let leads_here = self.routes.iter().filter(|(_, to)| **to == link);
        let gone: Vec<_> = leads_here.map(|(target, _)| *target).collect();
        for target in &gone {
            self.routes.remove(target);
            self.untold.insert(*target);
        }
        gone
    }

    fn has_subnet(&self, link: LinkId) -> bool {
        self.ports.get(&link).is_some_and(|port| {
            port.interface.addresses().any(|address| self.subnet.contains(&address))
        })
    }

    /// Whether an address is this node's own, on any link.
    pub(crate) fn owns(&self, address: Ipv6Addr) -> bool {
        self.ports.values().any(|port| port.interface.validity(address).is_some())
    }

    /// Returns all that a dump of the kernel's tables shows.
    pub(crate) fn dump(&self) -> Vec<KernelEvent> {
        let mut events = Vec::new();
        for link in self.ports.keys() {
            events.extend(self.describe(*link));
        }
        for (link, port) in &self.ports {
            for address in port.interface.addresses() {
                let tentative = !port.interface.holds(address);
                let net = Ipv6Net::new_assert(address, PREFIX_LEN);
                events.push(KernelEvent::Address { link: *link, address: net, tentative });
            }
        }
        events.extend(self.routes.iter().map(|(target, link)| KernelEvent::Route {
            target: *target,
            link: Some(*link),
            own: true,
        }));
        events.extend(self.foreign.iter().map(|(target, link)| KernelEvent::Route {
            target: *target,
            link: *link,
            own: false,
        }));
        events
    }

    /// Returns what the kernel says of a link.
    pub(crate) fn describe(&self, link: LinkId) -> Option<KernelEvent> {
        let port = self.ports.get(&link)?;
        let lladdr = Some(port.interface.lladdr);
        let info = LinkInfo { member: port.member, lladdr, running: port.running(), mtu: 1500 };
        Some(KernelEvent::Link { link, info })
    }

    fn route(
        &mut self,
        datagram: Datagram,
        now: Instant,
        effects: &mut Vec<Effect>,
    ) -> (Option<LinkId>, Forwarded) {
        let destination = datagram.destination;
        let (link, next_hop) =
            if self.foreign.contains_key(&destination) || self.routes.contains_key(&destination) {
                (self.leads_to(destination), Some(destination))
            } else {
                // The route to the subnet comes and goes with the address.
                let on_link = Some(self.on_link).filter(|link| self.has_subnet(*link));
                let inside = self.subnet.contains(&destination);
                (on_link, if inside { Some(destination) } else { self.gateway })
            };
        let (Some(link), Some(next_hop)) = (link, next_hop) else {
            return (None, Forwarded::NoRoute);
        };
        let Some(port) = self.ports.get_mut(&link).filter(|port| port.running()) else {
            return (None, Forwarded::NoRoute);
        };
        port.interface.send(next_hop, Payload::Datagram(datagram), now, effects);
        (Some(link), Forwarded::Done)
    }
}
