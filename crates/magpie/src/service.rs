//! Holds what the daemon serves, and applies to it what comes in: frames, news of the kernel's,
//! deadlines.

use std::time::Duration;

use magpie_control::{Event, EventKind};
use magpie_engine::{Config, Input, Instant, KernelEvent, LinkId};
use magpie_sys::batch::RecvBatch;
use magpie_sys::clock;
use magpie_sys::guard::GuardedLink;
use magpie_sys::netlink::{self, Change, LinkEvent, NetlinkError};
use magpie_sys::packet::{LinkFault, PacketError};
use magpie_sys::poller::{Interest, PollError, Poller};

use crate::check::{self, Finding, Fixes};
use crate::journal::{Journal, describe, link_name};
use crate::kernel::{Kernel, Snapshot};
use crate::links::{Links, Member, Obstacle, Verdict};
use crate::memory::{Memory, Saving};
use crate::port::Port;
use crate::relay::Relay;
use crate::shield::Shield;
use crate::state::{Saved, StateFile};
use crate::{Chain, trace};

/// What a descriptor in the poller is, as its token tells.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Source {
    Signals,
    Kernel,
    Control,
    Link(LinkId),
}

impl Source {
    /// The token to watch it under.
    pub(crate) const fn token(self) -> u64 {
        match self {
            Self::Signals => SIGNALS,
            Self::Kernel => KERNEL,
            Self::Control => CONTROL,
            Self::Link(LinkId(ifindex)) => LINKS + ifindex as u64,
        }
    }

    /// What is watched under a token.
    pub(crate) fn of(token: u64) -> Option<Self> {
        match token {
            SIGNALS => Some(Self::Signals),
            KERNEL => Some(Self::Kernel),
            CONTROL => Some(Self::Control),
            _ => {
                let ifindex = u32::try_from(token.checked_sub(LINKS)?).ok()?;
                Some(Self::Link(LinkId(ifindex)))
            }
        }
    }
}

/// The present reading of the engine's clock.
pub(crate) fn now() -> Instant {
    Instant::from_nanos(clock::boottime_ns())
}

/// What the daemon serves.
#[derive(Debug)]
pub(crate) struct Service {
    pub(crate) poller: Poller,
    pub(crate) links: Links,
    pub(crate) relay: Relay,
    pub(crate) started: Instant,
    /// What operators should know and nothing else remembers.
    pub(crate) notes: Vec<String>,
    /// Settings that are in the way, as of the last look.
    pub(crate) findings: Vec<Finding>,
    kernel: Kernel,
    pub(crate) shield: Shield,
    journal: Journal,
    /// News for those who watch.
    told: Vec<Event>,
    /// Whether anybody watches.
    pub(crate) is_watched: bool,
    fixes: Option<Fixes>,
    memory: Memory,
    /// When what the kernel knows is to be read anew; none while notifications suffice.
    resync_at: Option<Instant>,
    resynced_at: Instant,
    /// What the kernel knows has been read at least once.
    is_synced: bool,
    /// Attempts in succession to hear from the kernel again that failed.
    refusals: u32,
    /// Notifications being worked on; empty between calls, kept for its memory.
    inbox: Vec<netlink::Event>,
}

/// What the daemon shall serve, and how.
#[derive(Debug)]
pub(crate) struct Plan<'a> {
    /// The names of the links.
    pub(crate) names: &'a [String],
    pub(crate) config: Config,
    pub(crate) state: Option<StateFile>,
    /// Hosts that the state file names.
    pub(crate) saved: Vec<Saved>,
    /// Settings that are in the way are to be changed.
    pub(crate) fix: bool,
}

/// The service cannot go on, or cannot even begin.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ServiceError {
    /// The kernel cannot be asked.
    #[error("cannot learn from the kernel what the network is like")]
    Kernel(#[from] NetlinkError),
    /// Descriptors cannot be waited for.
    #[error("cannot wait for what happens")]
    Poll(#[from] PollError),
}

impl Service {
    /// Assembles it in the calling thread's network namespace; [`Service::resync`] breathes life
    /// into it.
    pub(crate) fn new(plan: Plan<'_>) -> Result<Self, ServiceError> {
        let now = now();
        let kernel = Kernel::open()?;
        let poller = Poller::new()?;
        poller.add(&kernel, Source::Kernel.token(), Interest::Read)?;
        Ok(Self {
            poller,
            links: Links::new(plan.names),
            relay: Relay::new(plan.config, fastrand::u64(..), now)?,
            started: now,
            notes: Vec::new(),
            findings: Vec::new(),
            kernel,
            shield: Shield::default(),
            journal: Journal::default(),
            told: Vec::new(),
            is_watched: false,
            fixes: plan.fix.then(Fixes::default),
            memory: Memory::new(plan.state, plan.saved, now),
            resync_at: None,
            resynced_at: now,
            is_synced: false,
            refusals: 0,
            inbox: Vec::new(),
        })
    }

    /// Reads links, addresses and routes anew and takes them as they are. If they cannot be read,
    /// nothing is changed, and it will be tried again.
    pub(crate) fn resync(&mut self, now: Instant) -> Result<(), ServiceError> {
        let snapshot = match self.look() {
            Ok(snapshot) => snapshot,
            Err(error) => {
                self.resync_at = Some(now + RESYNC_INTERVAL);
                return Err(error);
            }
        };
        self.resync_at = None;
        self.resynced_at = now;
        self.take_links(&snapshot, now);
        // Where IPv6 is switched off, nothing can be joined.
        self.check(&snapshot);
        self.relay.feed_kernel(KernelEvent::Overrun, now);
        self.serve_links(now);
        for event in self.kernel.digest(&snapshot, &self.links) {
            self.relay.feed_kernel(event, now);
        }
        self.relay.feed_kernel(KernelEvent::Synced, now);
        self.recall(now);
        self.update_guard();
        if !std::mem::replace(&mut self.is_synced, true)
            && let Some(complaint) = snapshot.complain_of_strays(&self.links)
        {
            tracing::warn!("{complaint}");
        }
        Ok(())
    }

    /// Reads one batch of frames from a link and acts on them; if there are more, its socket
    /// stays ready.
    pub(crate) fn receive(&mut self, link: LinkId, batch: &mut RecvBatch, now: Instant) {
        let Some(port) = self.relay.ports.get_mut(link) else { return };
        match batch.receive(port.socket()) {
            Ok(frames) => {
                port.count_received(frames.len());
                for frame in frames {
                    let bytes = frame.bytes;
                    trace::received(link, bytes, frame.outgoing);
                    let input = if frame.outgoing {
                        Input::Outgoing { link, bytes }
                    } else {
                        Input::Frame { link, bytes }
                    };
                    self.relay.feed(input, now);
                }
            }
            // The news of the link tells the rest.
            Err(LinkFault::Down { .. }) => {}
            Err(LinkFault::Gone { .. }) => {
                // It would report this for ever. The news that the link has gone is on its way.
                let _ = self.poller.remove(port.socket(), Source::Link(link).token());
            }
            Err(fault @ LinkFault::Other { .. }) => {
                tracing::warn!(error = %Chain(&fault), "a packet socket reports an error");
            }
        }
        self.relay.settle(&mut self.kernel, now);
    }

    /// Reads the kernel's news and acts on them.
    pub(crate) fn read_kernel(&mut self, now: Instant) {
        let mut inbox = std::mem::take(&mut self.inbox);
        let read = self.kernel.read(|event| inbox.push(event));
        for event in inbox.drain(..) {
            match event {
                netlink::Event::Overrun => self.resync_later(now),
                netlink::Event::Link(change) => {
                    if self.observe_link(&change, now) {
                        self.resync_at = Some(now);
                    }
                }
                event => {
                    if let Some(news) = self.kernel.news(&event, &self.links) {
                        self.relay.feed_kernel(news, now);
                    }
                }
            }
        }
        self.inbox = inbox;
        if let Err(error) = read {
            tracing::warn!(error = %Chain(&error), "the kernel's news are lost; asking it anew");
            // It would report this for ever.
            let _ = self.poller.remove(&self.kernel, Source::Kernel.token());
        }
        if self.kernel.is_deaf() || self.kernel.is_in_doubt() {
            self.resync_later(now);
        }
        self.relay.settle(&mut self.kernel, now);
    }

    /// Does what is due. Fails when the kernel cannot be heard any longer.
    pub(crate) fn tick(&mut self, now: Instant) -> Result<(), ServiceError> {
        if self.relay.engine.poll_timeout().is_some_and(|wakeup| wakeup.at <= now) {
            self.relay.feed(Input::Timeout, now);
            self.relay.settle(&mut self.kernel, now);
        }
        if self.resync_at.is_some_and(|at| at <= now)
            && let Err(error) = self.resync(now)
        {
            if self.refusals >= MOST_REFUSALS {
                return Err(error);
            }
            tracing::warn!(error = %Chain(&error), "trying again");
        }
        if self.memory.due().is_some_and(|at| at <= now) {
            self.save(Saving::InBackground, now);
        }
        Ok(())
    }

    /// Looks whether hosts that were saved can be placed by what came.
    pub(crate) fn place_saved(&mut self, now: Instant) {
        let prefixes = self.relay.engine.prefixes(now).map(|scope| scope.prefix);
        if self.memory.awaits(prefixes) {
            self.recall(now);
        }
    }

    /// How long to wait for news; none for as long as it takes.
    pub(crate) fn patience(&self) -> Option<Duration> {
        let wakeup = self.relay.engine.poll_timeout().map(|wakeup| wakeup.at);
        let at = wakeup.into_iter().chain(self.memory.due()).chain(self.resync_at).min()?;
        Some(at.since(now()))
    }

    /// Tells the log what happened; returns what those who watch are to be told.
    pub(crate) fn report(&mut self, now: Instant) -> std::vec::Drain<'_, Event> {
        self.tell_events(None, now);
        self.told.drain(..)
    }

    /// Saves what is known of hosts, if there is a file for it.
    pub(crate) fn save(&mut self, saving: Saving, now: Instant) {
        self.memory.save(self.relay.engine.bindings(now), &self.links, saving, now);
    }

    /// Reads links, addresses and routes anew at the next opportunity.
    pub(crate) fn resync_soon(&mut self, now: Instant) {
        self.resync_at = Some(now);
    }

    /// Withdraws everything that was put into the kernel.
    pub(crate) fn shut_down(&mut self, now: Instant) {
        self.relay.shut_down(&mut self.kernel, now);
        self.shield.lower();
        if let Some(fixes) = &mut self.fixes {
            fixes.restore();
        }
    }

    /// Asks the kernel for everything.
    fn look(&mut self) -> Result<Snapshot, ServiceError> {
        if self.kernel.is_deaf() {
            let poller = &self.poller;
            let reopened = self.kernel.reopen(|kernel| {
                Ok::<_, ServiceError>(poller.add(kernel, Source::Kernel.token(), Interest::Read)?)
            });
            match reopened {
                Ok(()) => self.refusals = 0,
                Err(error) => {
                    self.refusals += 1;
                    return Err(error);
                }
            }
        }
        self.kernel.skip()?;
        Ok(Snapshot::take()?)
    }

    /// Reads everything anew before long: whoever floods the kernel's tables shall not keep this
    /// busy with reading them.
    fn resync_later(&mut self, now: Instant) {
        self.resync_at.get_or_insert((self.resynced_at + RESYNC_INTERVAL).max(now));
    }

    /// Tells the engine of the saved hosts that can be placed now.
    fn recall(&mut self, now: Instant) {
        let prefixes = self.relay.engine.prefixes(now).map(|scope| scope.prefix);
        for input in self.memory.recall(&self.links, prefixes) {
            self.relay.feed(input, now);
        }
        self.relay.settle(&mut self.kernel, now);
    }

    /// Takes note of news of a link; returns whether what is known has to be read anew.
    fn observe_link(&mut self, change: &Change<LinkEvent>, now: Instant) -> bool {
        let event = match change {
            Change::Present(event) => event,
            Change::Absent(event) => {
                if let Some(name) = self.links.vanish(event.ifindex, &event.name) {
                    self.lose(LinkId(event.ifindex), name, now);
                    // Another one may have taken the name already.
                    return true;
                }
                return false;
            }
        };
        let was_down = self
            .links
            .by_index(event.ifindex)
            .and_then(Member::device)
            .is_some_and(|device| !device.up);
        match self.links.observe(event) {
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
                self.feed_link(event.ifindex, now);
                self.update_guard();
                self.tell_link(event.ifindex, now);
                // When it went down the kernel removed its routes, and may not have said so
                // (`net.ipv6.route.skip_notify_on_dev_down`).
                was_down && event.up
            }
            Verdict::Left(name) => {
                self.lose(LinkId(event.ifindex), name, now);
                false
            }
            Verdict::Unfit(name) => {
                self.warn_unfit(&name, now);
                false
            }
        }
    }

    /// Brings what is known of links into line with a dump.
    fn take_links(&mut self, snapshot: &Snapshot, now: Instant) {
        let known: Vec<(u32, String)> =
            self.links.devices().map(|device| (device.ifindex, device.name.clone())).collect();
        for (ifindex, name) in known {
            if snapshot.links.iter().any(|event| event.ifindex == ifindex) {
                continue;
            }
            if let Some(name) = self.links.vanish(ifindex, &name) {
                self.lose(LinkId(ifindex), name, now);
            }
        }
        for event in &snapshot.links {
            match self.links.observe(event) {
                Verdict::Left(name) => self.lose(LinkId(event.ifindex), name, now),
                Verdict::Unfit(name) => self.warn_unfit(&name, now),
                Verdict::Changed => self.tell_link(event.ifindex, now),
                Verdict::Unrelated | Verdict::Impostor | Verdict::Arrived => {}
            }
        }
    }

    /// Opens the sockets of links that have none yet, and tells the engine of all links.
    fn serve_links(&mut self, now: Instant) {
        let present: Vec<u32> = self.links.devices().map(|device| device.ifindex).collect();
        for ifindex in present {
            if self.relay.ports.get(LinkId(ifindex)).is_none() && self.attach(ifindex, now) {
                self.tell_link(ifindex, now);
            }
            self.feed_link(ifindex, now);
        }
    }

    /// Opens the socket of a link; tells whether that worked.
    fn attach(&mut self, ifindex: u32, now: Instant) -> bool {
        let link = LinkId(ifindex);
        let opened = Port::open(link).and_then(|port| {
            let token = Source::Link(link).token();
            let watched = self.poller.add(port.socket(), token, Interest::Read);
            watched.map(|()| port).map_err(|error| PacketError::System {
                attempt: "watch",
                ifindex,
                source: std::io::Error::other(error),
            })
        });
        match opened {
            Ok(port) => {
                self.relay.ports.insert(link, port);
                true
            }
            Err(error) => {
                let name = link_name(&self.links, link);
                self.links.refuse(ifindex, Obstacle::Refused(Chain(&error).to_string()));
                self.warn_unfit(&name, now);
                false
            }
        }
    }

    /// Tells the engine how a link is now.
    fn feed_link(&mut self, ifindex: u32, now: Instant) {
        let link = LinkId(ifindex);
        if let Some(info) = self.links.info(ifindex)
            && self.relay.ports.get(link).is_some()
        {
            self.relay.feed_kernel(KernelEvent::Link { link, info }, now);
        }
    }

    /// Tells who is interested how a link is now.
    fn tell_link(&mut self, ifindex: u32, now: Instant) {
        let Some(member) = self.links.by_index(ifindex) else { return };
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
    fn lose(&mut self, link: LinkId, name: String, now: Instant) {
        self.relay.drop_link(link, now);
        self.relay.settle(&mut self.kernel, now);
        self.tell_events(Some((link, &name)), now);
        self.update_guard();
        let why = self.links.by_name(&name).and_then(Member::obstacle);
        let event = Event {
            detail: why.map(ToString::to_string),
            link: Some(name),
            ..Event::new(EventKind::LinkChanged)
        };
        self.tell(event, now);
    }

    fn warn_unfit(&mut self, name: &str, now: Instant) {
        let Some(obstacle) = self.links.by_name(name).and_then(Member::obstacle) else {
            return;
        };
        let event = Event {
            link: Some(name.to_owned()),
            detail: Some(obstacle.to_string()),
            ..Event::new(EventKind::Warning)
        };
        self.tell(event, now);
    }

    /// Makes the guard cover the links that are there.
    fn update_guard(&mut self) {
        let served =
            self.links.devices().filter(|device| self.relay.ports.get(device.id()).is_some());
        let guarded = served.map(|device| GuardedLink {
            ifindex: device.ifindex,
            name: device.name.clone(),
            lladdr: device.lladdr,
        });
        self.shield.cover(guarded.collect());
    }

    /// Looks for settings that are in the way; changes them if asked to, reports them otherwise.
    fn check(&mut self, snapshot: &Snapshot) {
        let mut findings = check::inspect(&self.links, snapshot);
        if let Some(fixes) = &mut self.fixes {
            findings.retain(|finding| match fixes.apply(finding, snapshot) {
                Ok(()) => {
                    tracing::info!(setting = %finding, "setting changed until exit");
                    false
                }
                Err(error) => {
                    tracing::warn!(error = %Chain(&error), "cannot change a setting");
                    true
                }
            });
        }
        for finding in &findings {
            if !self.findings.contains(finding) {
                tracing::warn!("{}", finding.advice());
            }
        }
        self.findings = findings;
    }

    /// Puts into words what the engine reported, while the names of the links are known; that of
    /// the link `gone` is not among `links` any longer.
    fn tell_events(&mut self, gone: Option<(LinkId, &str)>, now: Instant) {
        let mut events = std::mem::take(&mut self.relay.events);
        for event in events.drain(..) {
            let event = describe(&event, |link| match gone {
                Some((id, name)) if id == link => name.to_owned(),
                _ => link_name(&self.links, link),
            });
            if is_about_hosts(event.kind) {
                self.memory.touch(now);
            }
            self.tell(event, now);
        }
        self.relay.events = events;
    }

    fn tell(&mut self, event: Event, now: Instant) {
        self.journal.write(&event, now);
        if self.is_watched {
            self.told.push(event);
        }
    }
}

fn is_about_hosts(kind: EventKind) -> bool {
    matches!(kind, EventKind::HostFound | EventKind::HostMoved | EventKind::HostLost)
}

/// After lost notifications everything is read anew, but not more often than this.
const RESYNC_INTERVAL: Duration = Duration::from_secs(1);
/// Attempts to hear from the kernel again, one for each interval, after which there is no hope.
const MOST_REFUSALS: u32 = 30;

const SIGNALS: u64 = 0;
const KERNEL: u64 = 1;
const CONTROL: u64 = 2;
/// Tokens of links start here.
const LINKS: u64 = 1 << 32;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_tell_their_source() {
        for source in [
            Source::Signals,
            Source::Kernel,
            Source::Control,
            Source::Link(LinkId(0)),
            Source::Link(LinkId(u32::MAX)),
        ] {
            assert_eq!(Source::of(source.token()), Some(source));
        }
        assert_eq!(Source::of(77), None);
        assert_eq!(Source::of(u64::MAX), None);
    }
}
