//! Takes links into service as their devices come, and lets go of them as these go.

use magpie_config::model;
use magpie_control::{Event, EventKind};
use magpie_engine::{Instant, KernelEvent, LinkId, OtherService};
use magpie_sys::framing::Framing;
use magpie_sys::guard::GuardedLink;
use magpie_sys::packet::{PacketError, Purpose, Services, SocketOptions};
use magpie_sys::poller::Interest;

use crate::Chain;
use crate::journal::link_name;
use crate::links::{self, Device, News};
use crate::obstacle::Obstacle;
use crate::port::{Channel, Port, PortId};
use crate::relay::Relay;
use crate::service::{Service, Source};

impl Service {
    /// Brings the links into line with the devices that there are; returns whether what is known has
    /// to be read anew.
    pub(crate) fn follow_links(&mut self, now: Instant) -> bool {
        let places = self.relays.iter_mut().map(|relay| &mut relay.links);
        let mut is_incomplete = false;
        for (relay, news) in links::settle(places, self.kernel.devices()) {
            match news {
                // Its addresses may have been told before it was known to be a link.
                News::Arrived(_) => is_incomplete = true,
                News::Changed { ifindex, went_up, former } => {
                    self.feed_link(relay, ifindex, now);
                    self.update_guard();
                    self.tell_link(relay, ifindex, former.as_deref(), now);
                    // When it went down the kernel removed its routes, and may not have said so
                    // (`net.ipv6.route.skip_notify_on_dev_down`).
                    is_incomplete |= went_up;
                }
                News::Left { ifindex, label, why } => {
                    self.lose(relay, LinkId(ifindex), label, &why, now);
                }
                News::Unfit(name) => self.warn_unfit(relay, &name, now),
            }
        }
        is_incomplete
    }

    /// Opens the sockets of a relay's links that have none yet, closes those that are for nothing any
    /// longer, and tells the engine of all links.
    pub(crate) fn serve_links(&mut self, relay: usize, now: Instant) {
        let Some(serving) = self.relays.get(relay) else { return };
        let present: Vec<u32> = serving.links.devices().map(|device| device.ifindex).collect();
        for ifindex in present {
            let mut is_news = false;
            for channel in Channel::ALL {
                is_news |= self.attach(relay, channel.of(LinkId(ifindex)), now);
            }
            if is_news {
                self.tell_link(relay, ifindex, None, now);
            }
            if let Some(serving) = self.relays.get_mut(relay) {
                serving.join_services(LinkId(ifindex), now);
            }
            self.feed_link(relay, ifindex, now);
        }
    }

    /// Opens the sockets again that failed a while ago.
    pub(crate) fn reopen_due(&mut self, now: Instant) {
        for relay in 0..self.relays.len() {
            let Some(Relay { ports, links, .. }) = self.relays.get_mut(relay) else { return };
            if !ports.is_due(|link| links.by_index(link.0).is_some(), now) {
                continue;
            }
            let links: Vec<LinkId> = links.devices().map(Device::id).collect();
            for id in links.iter().flat_map(|link| Channel::ALL.map(|channel| channel.of(*link))) {
                if self.attach(relay, id, now) {
                    self.feed_link(relay, id.link.0, now);
                    self.tell_reopened(relay, id.link, now);
                    // News may have been lost with it.
                    self.resync_soon(now);
                }
            }
            if let Some(serving) = self.relays.get_mut(relay) {
                for link in links {
                    serving.join_services(link, now);
                }
            }
        }
    }

    /// Opens a socket anew, which failed for this reason. If that `may_be_well` it is done at
    /// once for the first time; frames that are lost meanwhile are asked for again by who sent them.
    pub(crate) fn reopen(
        &mut self,
        relay: usize,
        id: PortId,
        reason: &str,
        may_be_well: bool,
        now: Instant,
    ) {
        let Some(serving) = self.relays.get_mut(relay) else { return };
        let link = id.link;
        let at = serving.ports.fail(id, reason.to_owned(), may_be_well, now);
        tracing::warn!(
            link = link_name(&serving.links, link),
            reason,
            "a packet socket failed; opening it anew"
        );
        if at <= now && self.attach(relay, id, now) {
            if let Some(serving) = self.relays.get_mut(relay) {
                serving.join_services(link, now);
            }
            return self.tell_reopened(relay, link, now);
        }
        self.feed_link(relay, link.0, now);
        self.tell_link(relay, link.0, None, now);
    }

    /// Opens a socket if it is not open as it should be; tells whether that was done.
    fn attach(&mut self, index: usize, id: PortId, now: Instant) -> bool {
        let link = id.link;
        let Some(relay) = self.relays.get_mut(index) else { return false };
        let Some(options) = relay.socket_options(id) else {
            relay.ports.remove(id);
            return false;
        };
        let is_open = relay.ports.get(id).is_some_and(|port| port.options() == options);
        if is_open || !(relay.ports.get(id).is_some() || relay.ports.is_wanted(id, now)) {
            return false;
        }
        // Two sockets cannot be waited for under one token.
        relay.ports.close(id);
        let opened = self.open(id, options);
        let Some(relay) = self.relays.get_mut(index) else { return false };
        match opened {
            Ok(port) => {
                relay.ports.insert(id, port);
                true
            }
            Err(error) => {
                let is_news = relay.ports.fault(id).is_none();
                let reason = Chain(&error).to_string();
                relay.ports.fail(id, reason.clone(), false, now);
                // A device that has just gone is no matter of concern.
                if is_news && !matches!(error, PacketError::NoLink { .. }) {
                    let name = link_name(&relay.links, link);
                    self.warn_of(name, reason, now);
                }
                false
            }
        }
    }

    /// Opens a socket and has it waited for.
    pub(crate) fn open(&self, id: PortId, options: SocketOptions) -> Result<Port, PacketError> {
        let port = Port::open(id.link, options)?;
        let token = Source::Port(id).token();
        let watched = self.poller.add(port.socket(), token, Interest::Read);
        watched.map_err(|error| PacketError::System {
            attempt: "watch",
            ifindex: id.link.0,
            source: std::io::Error::other(error),
        })?;
        Ok(port)
    }

    /// Tells the engine how a link is now. Without its most important socket it is as good as down.
    fn feed_link(&mut self, relay: usize, ifindex: u32, now: Instant) {
        let Some(relay) = self.relays.get_mut(relay) else { return };
        let link = LinkId(ifindex);
        if let Some(mut info) = relay.links.info(ifindex) {
            info.running &= relay.serves(link);
            relay.feed_kernel(KernelEvent::Link { link, info }, now);
        }
    }

    /// Tells who is interested how a link is now.
    fn tell_link(&mut self, relay: usize, ifindex: u32, former: Option<&str>, now: Instant) {
        let Some(relay) = self.relays.get(relay) else { return };
        let Some((member, device)) = relay.links.by_index(ifindex) else { return };
        let label = member.label(device);
        let mut detail = match relay.ports.link_fault(device.id()) {
            Some(reason) => reason.to_owned(),
            None => device.state().to_owned(),
        };
        if device.name != label {
            let how = if device.is_substitute() { "by its bridge" } else { "now called" };
            detail = format!("{detail}, {how} {}", device.name);
        }
        if let Some(former) = former {
            detail = format!("{detail}, formerly {former}");
        }
        let event = Event {
            link: Some(label.to_owned()),
            lladdr: device.lladdr.map(|lladdr| lladdr.to_string()),
            detail: Some(detail),
            ..Event::new(EventKind::LinkChanged)
        };
        self.tell(event, now);
    }

    fn tell_reopened(&mut self, relay: usize, link: LinkId, now: Instant) {
        let Some(relay) = self.relays.get(relay) else { return };
        let name = link_name(&relay.links, link);
        self.tally.sockets_reopened += 1;
        self.tell_repair(Some(name), "its packet socket was opened anew".to_owned(), now);
    }

    /// Forgets the link called `label` whose device has gone or cannot be used any longer.
    fn lose(&mut self, index: usize, link: LinkId, label: String, why: &Obstacle, now: Instant) {
        let Some(relay) = self.relays.get_mut(index) else { return };
        if self.kernel.devices().get(link.0).is_some() {
            relay.release_link(link, now);
        } else {
            relay.drop_link(link, now);
        }
        relay.settle(now);
        self.tell_events(index, &[(link, label.clone())], now);
        self.memory.lose(&label);
        self.update_guard();
        let detail = match why {
            // What is said of a link that never was there would be odd about one that was.
            Obstacle::Missing => "it has gone".to_owned(),
            other => other.to_string(),
        };
        let event =
            Event { detail: Some(detail), link: Some(label), ..Event::new(EventKind::LinkChanged) };
        self.tell(event, now);
    }

    fn warn_unfit(&mut self, relay: usize, name: &str, now: Instant) {
        let links = self.relays.get(relay).map(|relay| &relay.links);
        let member = links.and_then(|links| links.by_name(name));
        let Some(obstacle) = member.and_then(|member| member.obstacle()) else { return };
        self.warn_of(name.to_owned(), obstacle.to_string(), now);
    }

    fn warn_of(&mut self, link: String, detail: String, now: Instant) {
        let (link, detail) = (Some(link), Some(detail));
        self.tell(Event { link, detail, ..Event::new(EventKind::Warning) }, now);
    }

    /// Makes the guard cover the links that are there.
    pub(crate) fn update_guard(&mut self) {
        let served = self.relays.iter().flat_map(|relay| {
            let has_port =
                |device: &&Device| relay.ports.get(Channel::Neighbors.of(device.id())).is_some();
            relay.links.devices().filter(has_port)
        });
        let guarded = served.map(|device| GuardedLink {
            ifindex: device.ifindex,
            name: device.name.clone(),
            lladdr: device.lladdr,
        });
        let guarded = guarded.collect();
        if self.relays.iter().any(|relay| relay.model.neighbor_discovery) {
            self.shield.cover(guarded);
        } else {
            self.shield.lower();
        }
    }
}

impl Relay {
    /// Whether the link's socket is there without which nothing is done on it.
    pub(crate) fn serves(&self, link: LinkId) -> bool {
        let channel =
            if self.model.neighbor_discovery { Channel::Neighbors } else { Channel::Services };
        self.ports.get(channel.of(link)).is_some()
    }

    /// Joins the groups of services on a link that are not joined yet.
    pub(crate) fn join_services(&mut self, link: LinkId, now: Instant) {
        if let Some(reason) = self.ports.join(link, now) {
            let link = link_name(&self.links, link);
            tracing::warn!(link, reason, "a switch may keep datagrams of services from a link");
        }
    }

    /// How a socket of this relay has to be opened; none if it is for nothing.
    fn socket_options(&self, id: PortId) -> Option<SocketOptions> {
        let (member, device) = self.links.by_index(id.link.0)?;
        let configured = self.model.links.iter().find(|link| link.name == member.name);
        let purpose = purpose(&self.model, id.channel, self.replies())?;
        Some(socket_options(device, configured, purpose))
    }
}

/// What the sockets of a relay receive that is configured so; none if there are to be no such
/// sockets. Answers to what is asked on behalf of others come to the port `replies`.
pub(crate) fn purpose(
    relay: &model::Relay,
    channel: Channel,
    replies: Option<u16>,
) -> Option<Purpose> {
    match channel {
        Channel::Neighbors => relay.neighbor_discovery.then_some(Purpose::NeighborDiscovery),
        Channel::Services => {
            let others = &relay.mdns.as_ref()?.other_services;
            Some(Purpose::Services(Services {
                replies,
                ssdp: others.contains(&OtherService::Ssdp),
                ws_discovery: others.contains(&OtherService::WsDiscovery),
            }))
        }
    }
}

/// How a socket has to be opened for a device that is configured so.
pub(crate) fn socket_options(
    device: &Device,
    configured: Option<&model::Link>,
    purpose: Purpose,
) -> SocketOptions {
    SocketOptions {
        framing: if device.lladdr.is_some() { Framing::Ethernet } else { Framing::Bare },
        promiscuous: configured.is_some_and(|link| link.options.promiscuous),
        purpose,
    }
}

#[cfg(test)]
mod tests {
    use magpie_config::model::{Kind, Mdns, Relay};

    use super::*;

    #[test]
    fn a_link_has_the_sockets_that_its_relay_is_there_for() {
        let plain = Relay::new(Kind::Relay, ["wan", "lan"]);
        let both = Relay { mdns: Some(Mdns::default()), ..plain.clone() };
        let names = Relay { neighbor_discovery: false, ..both.clone() };
        let others = Mdns { other_services: vec![OtherService::Ssdp], ..Mdns::default() };
        let ssdp = Relay { mdns: Some(others), ..names.clone() };
        let neighbors = Some(Purpose::NeighborDiscovery);
        let services = Services { replies: Some(40_000), ..Services::default() };
        let hearing = |ssdp| Some(Purpose::Services(Services { ssdp, ..services }));
        for (relay, expected) in [
            (plain, [neighbors, None]),
            (both, [neighbors, hearing(false)]),
            (names, [None, hearing(false)]),
            (ssdp, [None, hearing(true)]),
        ] {
            let purposes = Channel::ALL.map(|channel| purpose(&relay, channel, services.replies));
            assert_eq!(purposes, expected, "{relay:?}");
        }
    }
}
