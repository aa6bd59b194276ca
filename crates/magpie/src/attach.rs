//! Takes links into service as their devices come, and lets go of them as these go.

use magpie_control::{Event, EventKind};
use magpie_engine::{Instant, KernelEvent, LinkId};
use magpie_sys::guard::GuardedLink;
use magpie_sys::netlink::{Change, LinkEvent};
use magpie_sys::packet::PacketError;
use magpie_sys::poller::Interest;

use crate::Chain;
use crate::journal::link_name;
use crate::kernel::Snapshot;
use crate::links::{self, Member, Obstacle, Verdict};
use crate::port::Port;
use crate::relay::Relay;
use crate::service::{Service, Source};

impl Service {
    /// Takes note of news of a link; returns whether what is known has to be read anew.
    pub(crate) fn observe_link(&mut self, change: &Change<LinkEvent>, now: Instant) -> bool {
        let event = match change {
            Change::Present(event) => event,
            // Another one may have taken the name already.
            Change::Absent(event) => return self.vanish(event.ifindex, &event.name, now),
        };
        let device =
            |relay: &Relay| relay.links.by_index(event.ifindex).and_then(Member::device).cloned();
        let was_down = self.relays.iter().find_map(device).is_some_and(|device| !device.up);
        let places = self.relays.iter_mut().map(|relay| &mut relay.links);
        let Some((relay, verdict)) = links::observe(places, event) else { return false };
        match verdict {
            Verdict::Unrelated => false,
            Verdict::Impostor => {
                tracing::debug!(
                    link = event.name,
                    "another interface has the name of a link that is there under another name"
                );
                false
            }
            // Its addresses may have been told before it had this name.
            Verdict::Arrived => true,
            Verdict::Changed => {
                self.feed_link(relay, event.ifindex, now);
                self.update_guard();
                self.tell_link(relay, event.ifindex, now);
                // When it went down the kernel removed its routes, and may not have said so
                // (`net.ipv6.route.skip_notify_on_dev_down`).
                was_down && event.up
            }
            Verdict::Left(name) => {
                self.lose(relay, LinkId(event.ifindex), name, now);
                false
            }
            Verdict::Unfit(name) => {
                self.warn_unfit(relay, &name, now);
                false
            }
        }
    }

    /// Takes note that a device has gone; returns whether it was a link.
    fn vanish(&mut self, ifindex: u32, name: &str, now: Instant) -> bool {
        let mut lost = None;
        for (index, relay) in self.relays.iter_mut().enumerate() {
            if let Some(name) = relay.links.vanish(ifindex, name) {
                lost = Some((index, name));
            }
        }
        let Some((relay, name)) = lost else { return false };
        self.lose(relay, LinkId(ifindex), name, now);
        true
    }

    /// Brings what is known of links into line with a dump.
    pub(crate) fn take_links(&mut self, snapshot: &Snapshot, now: Instant) {
        let devices = self.relays.iter().flat_map(|relay| relay.links.devices());
        let known: Vec<(u32, String)> =
            devices.map(|device| (device.ifindex, device.name.clone())).collect();
        for (ifindex, name) in known {
            if !snapshot.links.iter().any(|event| event.ifindex == ifindex) {
                self.vanish(ifindex, &name, now);
            }
        }
        for event in &snapshot.links {
            let places = self.relays.iter_mut().map(|relay| &mut relay.links);
            let Some((relay, verdict)) = links::observe(places, event) else { continue };
            match verdict {
                Verdict::Left(name) => self.lose(relay, LinkId(event.ifindex), name, now),
                Verdict::Unfit(name) => self.warn_unfit(relay, &name, now),
                Verdict::Changed => self.tell_link(relay, event.ifindex, now),
                Verdict::Unrelated | Verdict::Impostor | Verdict::Arrived => {}
            }
        }
    }

    /// Opens the sockets of a relay's links that have none yet, and tells the engine of all of them.
    pub(crate) fn serve_links(&mut self, relay: usize, now: Instant) {
        let Some(serving) = self.relays.get(relay) else { return };
        let present: Vec<(u32, bool)> = serving
            .links
            .devices()
            .map(|device| (device.ifindex, serving.ports.get(device.id()).is_some()))
            .collect();
        for (ifindex, is_open) in present {
            if !is_open && self.attach(relay, ifindex, now) {
                self.tell_link(relay, ifindex, now);
            }
            self.feed_link(relay, ifindex, now);
        }
    }

    /// Opens the socket of a link; tells whether that worked.
    fn attach(&mut self, index: usize, ifindex: u32, now: Instant) -> bool {
        let link = LinkId(ifindex);
        let opened = self.open(link);
        let Some(relay) = self.relays.get_mut(index) else { return false };
        match opened {
            Ok(port) => {
                relay.ports.insert(link, port);
                true
            }
            Err(error) => {
                let name = link_name(&relay.links, link);
                relay.links.refuse(ifindex, Obstacle::Refused(Chain(&error).to_string()));
                self.warn_unfit(index, &name, now);
                false
            }
        }
    }

    /// Opens the socket of a link and has it waited for.
    pub(crate) fn open(&self, link: LinkId) -> Result<Port, PacketError> {
        let port = Port::open(link)?;
        let token = Source::Link(link).token();
        let watched = self.poller.add(port.socket(), token, Interest::Read);
        watched.map_err(|error| PacketError::System {
            attempt: "watch",
            ifindex: link.0,
            source: std::io::Error::other(error),
        })?;
        Ok(port)
    }

    /// Tells the engine how a link is now.
    fn feed_link(&mut self, relay: usize, ifindex: u32, now: Instant) {
        let Some(relay) = self.relays.get_mut(relay) else { return };
        let link = LinkId(ifindex);
        if let Some(info) = relay.links.info(ifindex)
            && relay.ports.get(link).is_some()
        {
            relay.feed_kernel(KernelEvent::Link { link, info }, now);
        }
    }

    /// Tells who is interested how a link is now.
    fn tell_link(&mut self, relay: usize, ifindex: u32, now: Instant) {
        let links = self.relays.get(relay).map(|relay| &relay.links);
        let Some(member) = links.and_then(|links| links.by_index(ifindex)) else { return };
        let Some(device) = member.device() else { return };
        let detail = if device.name == member.name {
            device.state().to_owned()
        } else {
            format!("{}, now called {}", device.state(), device.name)
        };
        let event = Event {
            link: Some(member.name.clone()),
            lladdr: Some(device.lladdr.to_string()),
            detail: Some(detail),
            ..Event::new(EventKind::LinkChanged)
        };
        self.tell(event, now);
    }

    /// Forgets the link called `name` whose device has gone or cannot be used any longer.
    fn lose(&mut self, index: usize, link: LinkId, name: String, now: Instant) {
        let Some(relay) = self.relays.get_mut(index) else { return };
        relay.drop_link(link, now);
        relay.settle(now);
        let why = relay.links.by_name(&name).and_then(Member::obstacle);
        let detail = why.map(ToString::to_string);
        self.tell_events(index, &[(link, name.clone())], now);
        self.update_guard();
        let event = Event { detail, link: Some(name), ..Event::new(EventKind::LinkChanged) };
        self.tell(event, now);
    }

    fn warn_unfit(&mut self, relay: usize, name: &str, now: Instant) {
        let links = self.relays.get(relay).map(|relay| &relay.links);
        let member = links.and_then(|links| links.by_name(name));
        let Some(obstacle) = member.and_then(Member::obstacle) else { return };
        let event = Event {
            link: Some(name.to_owned()),
            detail: Some(obstacle.to_string()),
            ..Event::new(EventKind::Warning)
        };
        self.tell(event, now);
    }

    /// Makes the guard cover the links that are there.
    pub(crate) fn update_guard(&mut self) {
        let served = self.relays.iter().flat_map(|relay| {
            relay.links.devices().filter(|device| relay.ports.get(device.id()).is_some())
        });
        let guarded = served.map(|device| GuardedLink {
            ifindex: device.ifindex,
            name: device.name.clone(),
            lladdr: Some(device.lladdr),
        });
        self.shield.cover(guarded.collect());
    }
}
