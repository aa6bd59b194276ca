//! Takes links into service as their devices come, and lets go of them as these go.

use magpie_config::model;
use magpie_control::{Event, EventKind};
use magpie_engine::{Instant, KernelEvent, LinkId};
use magpie_sys::framing::Framing;
use magpie_sys::guard::GuardedLink;
use magpie_sys::packet::{PacketError, SocketOptions};
use magpie_sys::poller::Interest;

use crate::Chain;
use crate::journal::link_name;
use crate::links::{self, Device, News};
use crate::obstacle::Obstacle;
use crate::port::Port;
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

    /// Opens the sockets of a relay's links that have none yet, and tells the engine of all of them.
    pub(crate) fn serve_links(&mut self, relay: usize, now: Instant) {
        let Some(serving) = self.relays.get(relay) else { return };
        let present: Vec<u32> = serving.links.devices().map(|device| device.ifindex).collect();
        for ifindex in present {
            if self.attach(relay, LinkId(ifindex), now) {
                self.tell_link(relay, ifindex, None, now);
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
            for link in links {
                if self.attach(relay, link, now) {
                    self.feed_link(relay, link.0, now);
                    self.tell_reopened(relay, link, now);
                    // News may have been lost with it.
                    self.resync_soon(now);
                }
            }
        }
    }

    /// Opens a link's socket anew, which failed for this reason. If that `may_be_well` it is done at
    /// once for the first time; frames that are lost meanwhile are asked for again by who sent them.
    pub(crate) fn reopen(
        &mut self,
        relay: usize,
        link: LinkId,
        reason: &str,
        may_be_well: bool,
        now: Instant,
    ) {
        let Some(serving) = self.relays.get_mut(relay) else { return };
        let at = serving.ports.fail(link, reason.to_owned(), may_be_well, now);
        tracing::warn!(
            link = link_name(&serving.links, link),
            reason,
            "a packet socket failed; opening it anew"
        );
        if at <= now && self.attach(relay, link, now) {
            return self.tell_reopened(relay, link, now);
        }
        self.feed_link(relay, link.0, now);
        self.tell_link(relay, link.0, None, now);
    }

    /// Opens the socket of a link if it is not open as it should be; tells whether that was done.
    fn attach(&mut self, index: usize, link: LinkId, now: Instant) -> bool {
        let Some(relay) = self.relays.get(index) else { return false };
        let Some(options) = relay.socket_options(link) else { return false };
        let is_open = relay.ports.get(link).is_some_and(|port| port.options() == options);
        if is_open || !(relay.ports.get(link).is_some() || relay.ports.is_wanted(link, now)) {
            return false;
        }
        if let Some(relay) = self.relays.get_mut(index) {
            // Two sockets cannot be waited for under one token.
            relay.ports.close(link);
        }
        let opened = self.open(link, options);
        let Some(relay) = self.relays.get_mut(index) else { return false };
        match opened {
            Ok(port) => {
                relay.ports.insert(link, port);
                true
            }
            Err(error) => {
                let is_news = relay.ports.fault(link).is_none();
                let reason = Chain(&error).to_string();
                relay.ports.fail(link, reason.clone(), false, now);
                // A device that has just gone is no matter of concern.
                if is_news && !matches!(error, PacketError::NoLink { .. }) {
                    let name = link_name(&relay.links, link);
                    self.warn_of(name, reason, now);
                }
                false
            }
        }
    }

    /// Opens the socket of a link and has it waited for.
    pub(crate) fn open(&self, link: LinkId, options: SocketOptions) -> Result<Port, PacketError> {
        let port = Port::open(link, options)?;
        let token = Source::Link(link).token();
        let watched = self.poller.add(port.socket(), token, Interest::Read);
        watched.map_err(|error| PacketError::System {
            attempt: "watch",
            ifindex: link.0,
            source: std::io::Error::other(error),
        })?;
        Ok(port)
    }

    /// Tells the engine how a link is now. Without a socket it is as good as down.
    fn feed_link(&mut self, relay: usize, ifindex: u32, now: Instant) {
        let Some(relay) = self.relays.get_mut(relay) else { return };
        let link = LinkId(ifindex);
        if let Some(mut info) = relay.links.info(ifindex) {
            info.running &= relay.ports.get(link).is_some();
            relay.feed_kernel(KernelEvent::Link { link, info }, now);
        }
    }

    /// Tells who is interested how a link is now.
    fn tell_link(&mut self, relay: usize, ifindex: u32, former: Option<&str>, now: Instant) {
        let Some(relay) = self.relays.get(relay) else { return };
        let Some((member, device)) = relay.links.by_index(ifindex) else { return };
        let label = member.label(device);
        let mut detail = match relay.ports.fault(device.id()) {
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
            relay.links.devices().filter(|device| relay.ports.get(device.id()).is_some())
        });
        let guarded = served.map(|device| GuardedLink {
            ifindex: device.ifindex,
            name: device.name.clone(),
            lladdr: device.lladdr,
        });
        self.shield.cover(guarded.collect());
    }
}

impl Relay {
    /// How the socket of a link of this relay has to be opened.
    fn socket_options(&self, link: LinkId) -> Option<SocketOptions> {
        let (member, device) = self.links.by_index(link.0)?;
        let configured = self.model.links.iter().find(|link| link.name == member.name);
        Some(socket_options(device, configured))
    }
}

/// How the socket of a device has to be opened that is configured so.
pub(crate) fn socket_options(device: &Device, configured: Option<&model::Link>) -> SocketOptions {
    SocketOptions {
        framing: if device.lladdr.is_some() { Framing::Ethernet } else { Framing::Bare },
        promiscuous: configured.is_some_and(|link| link.options.promiscuous),
    }
}
