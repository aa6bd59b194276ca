//! A host: one interface, and the places it is in over time. A router is a host with the router
//! flag that also is the rest of the Internet.

use std::net::Ipv6Addr;

use ipnet::Ipv6Net;
use magpie_engine::{Instant, LinkId};

use crate::frame::{Datagram, Echo, PingId};
use crate::interface::{Effect, Interface};
use crate::neighbor::Payload;

/// How a host arrives on another link. It keeps its addresses either way, and forgets its
/// neighbors.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Roam {
    /// It noticed that it lost its link: it detects duplicates of its addresses again.
    Dad,
    /// It only looks for its router, as after a hand-over between access points.
    Quiet,
    /// It says nothing until it has something to send.
    Silent,
}

#[derive(Debug)]
pub(crate) struct Host {
    pub(crate) interface: Interface,
    pub(crate) link: Option<LinkId>,
    pub(crate) awake: bool,
    pub(crate) gateway: Option<Ipv6Addr>,
    pub(crate) subnet: Ipv6Net,
    /// When it last moved, fell asleep, woke or joined.
    pub(crate) changed: Instant,
}

/// What became of data that came in.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Arrival {
    /// A request of this host was answered.
    Answered(PingId),
    /// A request was answered, or nothing was to be done.
    Taken,
    /// It was not for this host.
    Stray,
}

impl Host {
    /// Returns the address that others know it by.
    pub(crate) fn address(&self) -> Option<Ipv6Addr> {
        self.interface.addresses().find(|address| !address.is_unicast_link_local())
    }

    /// Whether it can be expected to answer.
    pub(crate) fn present(&self) -> bool {
        self.awake
            && self.link.is_some()
            && self.address().is_some_and(|address| self.interface.holds(address))
    }

    /// Sends data; tells whether there was a way to send them.
    pub(crate) fn send(
        &mut self,
        datagram: Datagram,
        now: Instant,
        effects: &mut Vec<Effect>,
    ) -> bool {
        let next_hop = if self.subnet.contains(&datagram.destination) {
            Some(datagram.destination)
        } else {
            self.gateway
        };
        let Some(next_hop) = next_hop else { return false };
        self.interface.send(next_hop, Payload::Datagram(datagram), now, effects);
        true
    }

    pub(crate) fn receive_data(
        &mut self,
        datagram: &Datagram,
        now: Instant,
        effects: &mut Vec<Effect>,
    ) -> Arrival {
        let outside = self.interface.router && !self.subnet.contains(&datagram.destination);
        if !outside && !self.interface.holds(datagram.destination) {
            return Arrival::Stray;
        }
        if let Echo::Reply(ping) = datagram.echo {
            return Arrival::Answered(ping);
        }
        if let Some(reply) = datagram.reply() {
            self.send(reply, now, effects);
        }
        Arrival::Taken
    }
}
