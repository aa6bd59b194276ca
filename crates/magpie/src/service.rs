//! Holds what the daemon serves, and applies to it what comes in: frames, news of the kernel's,
//! deadlines.

use std::time::{Duration, SystemTime};

use ipnet::Ipv6Net;
use magpie_config::model::{self, Kind};
use magpie_control::{Event, EventKind};
use magpie_engine::{Input, Instant, KernelEvent, LinkId, NameEvent};
use magpie_sys::clock;
use magpie_sys::netlink::{self, NetlinkError, RouteEvent};
use magpie_sys::packet::LinkFault;
use magpie_sys::poller::{Interest, PollError, Poller};

use crate::check::{self, Finding, Fixes};
use crate::cli::Launch;
use crate::devices::Difference;
use crate::journal::{Journal, describe, link_name};
use crate::kernel::{JoinedGroups, Kernel, Snapshot};
use crate::links::Member;
use crate::log::time_of_day;
use crate::mark::Mark;
use crate::memory::{Memory, Saving};
use crate::port::{Batches, Channel, PortId};
use crate::relay::Relay;
use crate::rulebook::Rulebook;
use crate::shield::Shield;
use crate::state::{Saved, StateFile};
use crate::tally::Tally;
use crate::{Chain, trace};

/// What a descriptor in the poller is, as its token tells.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Source {
    Signals,
    Kernel,
    Control,
    Port(PortId),
}

impl Source {
    /// The token to watch it under.
    pub(crate) const fn token(self) -> u64 {
        match self {
            Self::Signals => SIGNALS,
            Self::Kernel => KERNEL,
            Self::Control => CONTROL,
            Self::Port(PortId { link: LinkId(ifindex), channel }) => {
                let first = match channel {
                    Channel::Neighbors => NEIGHBORS,
                    Channel::Services => SERVICES,
                };
                first + ifindex as u64
            }
        }
    }

    /// What is watched under a token.
    pub(crate) fn of(token: u64) -> Option<Self> {
        match token {
            SIGNALS => Some(Self::Signals),
            KERNEL => Some(Self::Kernel),
            CONTROL => Some(Self::Control),
            _ => {
                let of = |channel: Channel, first: u64| {
                    let ifindex = u32::try_from(token.checked_sub(first)?).ok()?;
                    Some(Self::Port(channel.of(LinkId(ifindex))))
                };
                of(Channel::Neighbors, NEIGHBORS).or_else(|| of(Channel::Services, SERVICES))
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
    pub(crate) relays: Vec<Relay>,
    /// Where the configuration comes from.
    pub(crate) launch: Launch,
    /// What is in force, rules that were added at run time apart.
    pub(crate) config: model::Config,
    pub(crate) rulebook: Rulebook,
    /// Why the configuration could not be exchanged when that was asked for last.
    pub(crate) rejection: Option<String>,
    pub(crate) started: Instant,
    /// What operators should know and nothing else remembers.
    pub(crate) notes: Vec<String>,
    /// What they should know of the configuration.
    pub(crate) remarks: Vec<String>,
    /// Settings that are in the way, as of the last look.
    pub(crate) findings: Vec<Finding>,
    pub(crate) kernel: Kernel,
    pub(crate) shield: Shield,
    journal: Journal,
    /// News for those who watch.
    told: Vec<Event>,
    /// Whether anybody watches.
    pub(crate) is_watched: bool,
    fixes: Option<Fixes>,
    /// What had to be repaired.
    pub(crate) tally: Tally,
    pub(crate) memory: Memory,
    /// When what the kernel knows is to be read anew; none while notifications suffice.
    resync_at: Option<Instant>,
    resynced_at: Instant,
    /// What the kernel knows has been read at least once.
    is_synced: bool,
    /// Attempts in succession to learn from the kernel that failed.
    refusals: u32,
    /// Why the last of them failed.
    pub(crate) refusal: Option<String>,
    /// How long it took to read everything anew when that was done last.
    resync_cost: Duration,
    /// Notifications being worked on; empty between calls, kept for its memory.
    inbox: Vec<netlink::Event>,
}

/// What the daemon shall serve, and how.
#[derive(Debug)]
pub(crate) struct Plan {
    /// Where the configuration comes from.
    pub(crate) launch: Launch,
    pub(crate) config: model::Config,
    /// Rules that were added in earlier runs.
    pub(crate) rulebook: Rulebook,
    pub(crate) state: Option<StateFile>,
    /// Hosts that the state file names.
    pub(crate) saved: Vec<Saved>,
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
    pub(crate) fn new(plan: Plan) -> Result<Self, ServiceError> {
        let now = now();
        let reflects = plan.config.relays.iter().any(|relay| relay.mdns.is_some());
        let kernel = Kernel::open(reflects)?;
        let poller = Poller::new()?;
        poller.add(&kernel, Source::Kernel.token(), Interest::Read)?;
        let fixes = plan.config.daemon.fix_sysctls.then(Fixes::default);
        let mut relays = Vec::new();
        for model in &plan.config.relays {
            let config = plan.rulebook.effective(model);
            relays.push(Relay::open(model.clone(), config, now)?);
        }
        Ok(Self {
            poller,
            relays,
            launch: plan.launch,
            config: plan.config,
            rulebook: plan.rulebook,
            rejection: None,
            started: now,
            notes: Vec::new(),
            remarks: Vec::new(),
            findings: Vec::new(),
            kernel,
            shield: Shield::default(),
            journal: Journal::default(),
            told: Vec::new(),
            is_watched: false,
            fixes,
            tally: Tally::default(),
            memory: Memory::new(plan.state, plan.saved, now, SystemTime::now()),
            resync_at: None,
            resynced_at: now,
            is_synced: false,
            refusals: 0,
            refusal: None,
            resync_cost: Duration::ZERO,
            inbox: Vec::new(),
        })
    }

    /// All links that are configured, in that order.
    pub(crate) fn links(&self) -> impl Iterator<Item = &Member> {
        self.relays.iter().flat_map(|relay| relay.links.iter())
    }

    /// The relays and responders as they are configured, rules that were added at run time apart.
    pub(crate) fn models(&self) -> Vec<&model::Relay> {
        self.relays.iter().map(|relay| &relay.model).collect()
    }

    /// What is served, in a few words.
    pub(crate) fn summary(&self) -> String {
        let parts = self.relays.iter().map(|relay| {
            let all: Vec<&str> = relay.model.links.iter().map(|link| link.name.as_str()).collect();
            let links = relay.model.links.iter().filter(|link| !link.only_probed);
            let links: Vec<&str> = links.map(|link| link.name.as_str()).collect();
            let names = format!("reflecting names between {}", all.join(", "));
            let hosts = match relay.model.kind {
                _ if !relay.model.neighbor_discovery => return names,
                Kind::Relay => format!("relaying between {}", links.join(", ")),
                Kind::Responder => format!("answering on {}", links.join(", ")),
            };
            if relay.model.mdns.is_some() { format!("{hosts}, {names}") } else { hosts }
        });
        parts.collect::<Vec<_>>().join("; ")
    }

    /// Reads links, addresses and routes anew and takes them as they are. If they cannot be read,
    /// nothing is changed, and it will be tried again.
    pub(crate) fn resync(&mut self, now: Instant) -> Result<(), ServiceError> {
        let start = std::time::Instant::now();
        let snapshot = self.look(now)?;
        self.take(&snapshot, now);
        self.resync_cost = start.elapsed();
        Ok(())
    }

    /// How long it took to read everything anew when that was done last.
    pub(crate) fn resync_cost(&self) -> Duration {
        self.resync_cost
    }

    /// Takes what the kernel knows as it is.
    pub(crate) fn take(&mut self, snapshot: &Snapshot, now: Instant) {
        self.resynced_at = now;
        self.tally.resyncs += 1;
        self.kernel.observe_all(&snapshot.links);
        // Whatever it says is in the dump.
        self.follow_links(now);
        self.resync_at = None;
        self.relays.iter_mut().for_each(|relay| relay.adjust_mark(snapshot));
        // Where IPv6 is switched off, nothing can be joined.
        self.check(snapshot, now);
        for index in 0..self.relays.len() {
            self.feed_kernel(index, KernelEvent::Overrun, now);
            self.serve_links(index, now);
        }
        let owners: Vec<(Mark, Vec<u32>)> = self
            .relays
            .iter()
            .map(|relay| {
                let links = relay.links.devices().map(|device| device.ifindex);
                (relay.mark(), links.collect())
            })
            .collect();
        for (index, relay) in self.relays.iter_mut().enumerate() {
            let is_elsewhere = |route: &RouteEvent| {
                let mut others = owners.iter().enumerate().filter(|(other, _)| *other != index);
                others.any(|(_, (mark, links))| {
                    mark.is_on(route) && route.oif.is_some_and(|oif| links.contains(&oif))
                })
            };
            relay.take_dump(snapshot, is_elsewhere, now);
        }
        self.relays.iter_mut().for_each(|relay| relay.finish_marking(now));
        self.restore_groups(now);
        self.recall(now);
        self.update_guard();
        if self.shield.restore() {
            self.tally.guards_restored += 1;
            self.tell_repair(None, "the guard was gone and is back".to_owned(), now);
        }
        if !std::mem::replace(&mut self.is_synced, true) {
            let marks: Vec<Mark> = self.relays.iter().map(Relay::mark).collect();
            let is_served = |route: &RouteEvent| self.owner(route).is_some();
            if let Some(complaint) = snapshot.complain_of_strays(&marks, is_served) {
                tracing::warn!("{complaint}");
            }
        }
    }

    /// Hears of IPv4 addresses from now on if they matter to any of these relays. What there is has
    /// to be read thereafter.
    pub(crate) fn follow_ipv4(&mut self, relays: &[model::Relay]) {
        let reflects = relays.iter().any(|relay| relay.mdns.is_some());
        if reflects
            && !self.kernel.hears_ipv4()
            && let Err(error) = self.kernel.hear_ipv4()
        {
            tracing::warn!(error = %Chain(&error), "IPv4 addresses are not known");
        }
    }

    /// Reads one batch of frames from a socket and acts on them; if there are more, it stays ready.
    pub(crate) fn receive(&mut self, id: PortId, batches: &mut Batches, now: Instant) {
        let link = id.link;
        let serves = |relay: &Relay| relay.ports.get(id).is_some();
        let Some(index) = self.relays.iter().position(serves) else { return };
        let Some(relay) = self.relays.get_mut(index) else { return };
        let Some(port) = relay.ports.get_mut(id) else { return };
        let mut lost = 0;
        match batches.receive(id, port) {
            Ok(frames) => {
                port.count_received(frames.len());
                lost = frames.lost();
                let framing = port.options().framing;
                for frame in frames {
                    let bytes = frame.bytes;
                    let input = if id.channel == Channel::Services {
                        trace::datagram_received(link, framing, bytes);
                        Input::Datagram { link, bytes }
                    } else {
                        trace::received(link, framing, bytes, frame.outgoing);
                        if frame.outgoing {
                            Input::Outgoing { link, bytes }
                        } else {
                            Input::Frame { link, bytes }
                        }
                    };
                    relay.feed(input, now);
                }
            }
            Err(fault) => self.on_fault(index, id, &fault, now),
        }
        if lost > 0 {
            self.note_overflow(index, id, lost, now);
        }
        if let Some(relay) = self.relays.get_mut(index) {
            relay.settle(now);
        }
    }

    /// Acts on the process having been stopped, or the machine suspended: whatever waits to be read
    /// may be long out of date, and everything that is known may be.
    pub(crate) fn resume(&mut self, batches: &mut Batches, now: Instant) {
        let mut dropped = 0;
        for index in 0..self.relays.len() {
            let Some(relay) = self.relays.get_mut(index) else { return };
            let (count, faults) = relay.ports.drain(batches);
            dropped += count;
            for (id, fault) in faults {
                self.on_fault(index, id, &fault, now);
            }
            if let Some(relay) = self.relays.get_mut(index) {
                relay.feed(Input::Resumed, now);
                relay.settle(now);
            }
        }
        self.resync_at = Some(now);
        let detail = format!(
            "time was lost, as when the machine was suspended; everything is verified again, and \
             {dropped} frames are dropped"
        );
        self.tell(Event { detail: Some(detail), ..Event::new(EventKind::Warning) }, now);
    }

    /// Acts on an error of a socket.
    fn on_fault(&mut self, relay: usize, id: PortId, fault: &LinkFault, now: Instant) {
        match fault {
            // The news of the link tells the rest, and then it works again.
            LinkFault::Down { .. } => {}
            // If it has gone its news are on their way; if it has only been elsewhere for a while,
            // nothing but a new socket helps.
            LinkFault::Gone { .. } => {
                self.reopen(relay, id, &Chain(fault).to_string(), false, now);
            }
            LinkFault::Other { .. } => {
                self.reopen(relay, id, &Chain(fault).to_string(), true, now);
            }
        }
    }

    /// Takes note that frames were lost since they came faster than they were read.
    ///
    /// They are as good as lost on the link, which these protocols put up with: who asks asks
    /// again, what we asked is asked again, and a claim that was missed is made up for when the
    /// target is asked for. What the kernel lost of its news is read anew elsewhere. So nothing has
    /// to be done but to say so.
    fn note_overflow(&mut self, relay: usize, id: PortId, lost: u32, now: Instant) {
        let Some(relay) = self.relays.get_mut(relay) else { return };
        if !relay.ports.overflow(id, now) {
            return;
        }
        let name = link_name(&relay.links, id.link);
        let detail = format!("{lost} frames were lost, which came faster than they were read");
        let (link, detail) = (Some(name), Some(detail));
        self.tell(Event { link, detail, ..Event::new(EventKind::Warning) }, now);
    }

    /// Reads the kernel's news and acts on them.
    pub(crate) fn read_kernel(&mut self, now: Instant) {
        let mut inbox = std::mem::take(&mut self.inbox);
        let read = self.kernel.read(|event| inbox.push(event));
        for event in inbox.drain(..) {
            match event {
                netlink::Event::Overrun => self.resync_later(now),
                netlink::Event::Link(change) => {
                    let difference = self.kernel.observe(&change);
                    if difference == Difference::State {
                        self.relays.iter_mut().for_each(Relay::note_routes);
                    }
                    if difference != Difference::None && self.follow_links(now) {
                        self.resync_soon(now);
                    }
                }
                netlink::Event::Route(ref change) => {
                    let owner = self.owner(change.value());
                    for (index, relay) in self.relays.iter_mut().enumerate() {
                        if owner != Some(index) {
                            relay.note_routes();
                        }
                        if owner.is_none_or(|owner| owner == index) {
                            relay.hear(&event, now);
                        }
                    }
                }
                netlink::Event::PolicyRule | netlink::Event::Nexthop => {
                    self.relays.iter_mut().for_each(Relay::note_routes);
                }
                netlink::Event::Forwarding(change) => {
                    let is_of_links = change.ifindex.is_none_or(|ifindex| {
                        self.relays.iter().any(|relay| relay.links.id(ifindex).is_some())
                    });
                    // What that means depends on routes and addresses, too.
                    if is_of_links {
                        self.resync_later(now);
                    }
                }
                event => self.relays.iter_mut().for_each(|relay| relay.hear(&event, now)),
            }
        }
        self.inbox = inbox;
        if let Err(error) = read {
            tracing::warn!(error = %Chain(&error), "the kernel's news are lost; asking it anew");
            // It would report this for ever.
            let _ = self.poller.remove(&self.kernel, Source::Kernel.token());
        }
        let in_doubt = self.relays.iter().any(Relay::is_in_doubt);
        if self.kernel.is_deaf() || in_doubt {
            self.resync_later(now);
        }
        for relay in &mut self.relays {
            relay.tell_routes(now);
            relay.settle(now);
        }
    }

    /// Does what is due.
    pub(crate) fn tick(&mut self, now: Instant) {
        for relay in &mut self.relays {
            if relay.engine.poll_timeout().is_some_and(|wakeup| wakeup.at <= now) {
                relay.feed(Input::Timeout, now);
                relay.settle(now);
            }
        }
        self.reopen_due(now);
        if self.is_synced && now.since(self.resynced_at) >= RECONCILE_INTERVAL {
            // Something else has woken us, so that comparing what there is with what there should
            // be costs no wake-up of its own.
            self.resync_at.get_or_insert(now);
        }
        if self.resync_at.is_some_and(|at| at <= now)
            && let Err(error) = self.resync(now)
        {
            tracing::warn!(error = %Chain(&error), "trying again");
        }
        self.expire(now);
        if self.memory.seek_due().is_some_and(|at| at <= now) {
            self.seek(now);
        }
        if self.memory.due().is_some_and(|at| at <= now) {
            self.save(Saving::InBackground, now);
        }
    }

    /// Until when to wait for news; none for as long as it takes.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let wakeups = self.relays.iter().filter_map(|relay| relay.engine.poll_timeout());
        let ports = self.relays.iter().filter_map(|relay| relay.ports.due());
        let others = self.memory.due().into_iter().chain(self.resync_at).chain(self.rulebook.due());
        let others = others.chain(ports).chain(self.memory.seek_due());
        wakeups.map(|wakeup| wakeup.at).chain(others).min()
    }

    /// Tells the log what happened, and looks whether hosts that are remembered can be placed
    /// thereupon; returns what those who watch are to be told.
    pub(crate) fn report(&mut self, now: Instant) -> std::vec::Drain<'_, Event> {
        self.tell_all_events(now);
        if self.memory.awaits(prefixes(&self.relays, now)) {
            self.recall(now);
            self.tell_all_events(now);
        }
        self.told.drain(..)
    }

    fn tell_all_events(&mut self, now: Instant) {
        for index in 0..self.relays.len() {
            self.tell_events(index, &[], now);
        }
    }

    /// Saves what is known of hosts, if there is a file for it.
    pub(crate) fn save(&mut self, saving: Saving, now: Instant) {
        let bindings = self.relays.iter().flat_map(|relay| {
            relay
                .engine
                .bindings(now)
                .filter_map(|binding| Some((relay.links.label(binding.link.0)?, binding)))
        });
        let relays = &self.relays;
        let is_there = |link: &str| relays.iter().any(|relay| relay.links.by_label(link).is_some());
        self.memory.save(bindings, is_there, saving, now, SystemTime::now());
    }

    /// Begins or ends to change settings that are in the way.
    pub(crate) fn set_fixing(&mut self, on: bool) {
        match &mut self.fixes {
            Some(fixes) if !on => {
                fixes.restore();
                self.fixes = None;
            }
            None if on => self.fixes = Some(Fixes::default()),
            _ => {}
        }
    }

    /// Withdraws everything that was put into the kernel.
    pub(crate) fn shut_down(&mut self, now: Instant) {
        for relay in &mut self.relays {
            relay.shut_down(now);
        }
        self.shield.lower();
        if let Some(fixes) = &mut self.fixes {
            fixes.restore();
        }
    }

    /// Asks the kernel for everything. If it does not tell, it will be asked again, for the news
    /// that came before are lost.
    pub(crate) fn look(&mut self, now: Instant) -> Result<Snapshot, ServiceError> {
        let snapshot = self.dump();
        match &snapshot {
            Ok(_) => (self.refusals, self.refusal) = (0, None),
            Err(error) => {
                let pause = RESYNC_INTERVAL.saturating_mul(1 << self.refusals.min(6));
                self.resync_at = Some(now + pause.min(LONGEST_PAUSE));
                self.refusals = self.refusals.saturating_add(1);
                self.refusal = Some(Chain(error).to_string());
            }
        }
        snapshot
    }

    fn dump(&mut self) -> Result<Snapshot, ServiceError> {
        if self.kernel.is_deaf() {
            let poller = &self.poller;
            self.kernel.reopen(|kernel| {
                Ok::<_, ServiceError>(poller.add(kernel, Source::Kernel.token(), Interest::Read)?)
            })?;
            self.tell_repair(None, "the kernel's news are heard again".to_owned(), now());
        }
        self.relays.iter_mut().for_each(Relay::begin_dump);
        self.kernel.skip()?;
        let snapshot = Snapshot::take(self.kernel.hears_ipv4())?;
        if let Err(error) = self.look_for_groups() {
            tracing::warn!(error = %Chain(&error), "multicast groups are not compared");
        }
        Ok(snapshot)
    }

    /// Takes note of multicast groups that the kernel has left by itself, which it announces no more
    /// than by the news of a link, and these may be lost.
    fn look_for_groups(&mut self) -> Result<(), NetlinkError> {
        let has_groups = |relay: &Relay| relay.executor.has_groups() || relay.model.mdns.is_some();
        if !self.relays.iter().any(has_groups) {
            return Ok(());
        }
        let mut joined = JoinedGroups::read()?;
        if self.note_lost_groups(&joined) > 0 {
            // Where groups are left meanwhile, others may be missing in what was read.
            joined.complete()?;
            self.note_lost_groups(&joined);
        }
        Ok(())
    }

    fn note_lost_groups(&mut self, joined: &JoinedGroups) -> usize {
        let is_there = |ifindex, group| joined.contains(ifindex, group);
        self.relays.iter_mut().map(|relay| relay.note_lost_groups(is_there)).sum()
    }

    /// Has the multicast groups joined again that are noted.
    fn restore_groups(&mut self, now: Instant) {
        for index in 0..self.relays.len() {
            let Some(relay) = self.relays.get_mut(index) else { return };
            for (link, count) in relay.restore_groups(now) {
                let Some(relay) = self.relays.get(index) else { return };
                let name = link_name(&relay.links, link);
                self.tally.groups_restored += count as u64;
                let detail = format!("{count} multicast groups were gone and are joined again");
                self.tell_repair(Some(name), detail, now);
            }
        }
    }

    /// Reads everything anew before long: whoever floods the kernel's tables shall not keep this
    /// busy with reading them.
    fn resync_later(&mut self, now: Instant) {
        self.resync_at.get_or_insert((self.resynced_at + RESYNC_INTERVAL).max(now));
    }

    /// Reads everything anew as soon as that takes no more than a part of all time: links may come
    /// and go faster than they can be looked at.
    pub(crate) fn resync_soon(&mut self, now: Instant) {
        let pause = (self.resync_cost * REST).min(RESYNC_INTERVAL);
        let at = (self.resynced_at + pause).max(now);
        self.resync_at = Some(self.resync_at.map_or(at, |before| before.min(at)));
    }

    /// The relay whose host route a route is.
    fn owner(&self, route: &RouteEvent) -> Option<usize> {
        self.relays.iter().position(|relay| relay.owns(route))
    }

    /// Tells one engine what the kernel reported.
    fn feed_kernel(&mut self, relay: usize, event: KernelEvent, now: Instant) {
        if let Some(relay) = self.relays.get_mut(relay) {
            relay.feed_kernel(event, now);
        }
    }

    /// Tells the engines of the hosts that are remembered and can be placed now.
    pub(crate) fn recall(&mut self, now: Instant) {
        let known: Vec<Ipv6Net> = prefixes(&self.relays, now).collect();
        let (relays, rulebook) = (&mut self.relays, &self.rulebook);
        let place = |host: &Saved| restore(relays, rulebook, host, now);
        self.tally.hosts_recalled += self.memory.recall(known.into_iter(), place, now);
        for relay in &mut self.relays {
            relay.settle(now);
        }
    }

    /// Looks again for hosts that were remembered and did not answer.
    fn seek(&mut self, now: Instant) {
        let (relays, rulebook) = (&mut self.relays, &self.rulebook);
        self.memory.seek(|host| restore(relays, rulebook, host, now), now);
        for relay in &mut self.relays {
            relay.settle(now);
        }
    }

    /// Looks for settings that are in the way; changes them if asked to, reports them otherwise.
    fn check(&mut self, snapshot: &Snapshot, now: Instant) {
        let relays = self.relays.iter().filter(|relay| relay.model.neighbor_discovery);
        let served = relays.flat_map(|relay| check::served(&relay.model, &relay.links));
        let mut findings = check::inspect(&served.collect::<Vec<_>>(), snapshot);
        let mut fixed = Vec::new();
        if let Some(fixes) = &mut self.fixes {
            findings.retain(|finding| match fixes.apply(finding, snapshot) {
                Ok(()) => {
                    tracing::info!(setting = %finding, "setting changed until exit");
                    fixed.push(finding.to_string());
                    false
                }
                Err(error) => {
                    tracing::warn!(error = %Chain(&error), "cannot change a setting");
                    true
                }
            });
        }
        // Those of the start are not repairs.
        let repaired = if self.is_synced { fixed } else { Vec::new() };
        for setting in repaired {
            self.tally.settings_restored += 1;
            self.tell_repair(None, format!("{setting} is set again"), now);
        }
        for finding in findings.iter().filter(|finding| !self.findings.contains(finding)) {
            let advice = finding.advice();
            tracing::warn!("{advice}");
            if self.is_watched {
                let warning = Event { detail: Some(advice), ..Event::new(EventKind::Warning) };
                self.told.push(warning);
            }
        }
        self.findings = findings;
    }

    /// Puts into words what an engine reported, while the names of the links are known; those of
    /// `gone` may not be among them any longer.
    pub(crate) fn tell_events(&mut self, relay: usize, gone: &[(LinkId, String)], now: Instant) {
        let Some(relay) = self.relays.get_mut(relay) else { return };
        if relay.events.is_empty() {
            return;
        }
        let Relay { links, events, .. } = relay;
        let name = |link: LinkId| {
            let gone = gone.iter().find(|(id, _)| *id == link);
            gone.map_or_else(|| link_name(links, link), |(_, name)| name.clone())
        };
        let mut told = Vec::new();
        // Each record that is new is told of. Where nobody listens that need not be put into words.
        let is_heard = self.is_watched || tracing::enabled!(tracing::Level::DEBUG);
        for event in events.drain(..).filter(|event| is_heard || !is_detail(event)) {
            match event {
                magpie_engine::Event::Displaced { target, link, lladdr } => {
                    let host =
                        Saved { target, link: name(link), lladdr, is_away: true, until: None };
                    self.memory.displace(host, now);
                }
                magpie_engine::Event::Found { target, .. }
                | magpie_engine::Event::Moved { target, .. } => self.memory.find(target),
                _ => {}
            }
            told.extend(describe(&event, name));
        }
        for event in told {
            if is_about_hosts(event.kind) {
                self.memory.touch(now);
            }
            self.tell(event, now);
        }
    }

    /// Tells that something of this daemon's was gone or broken, on a link or as a whole, and is in
    /// place again; `detail` says what.
    pub(crate) fn tell_repair(&mut self, link: Option<String>, detail: String, now: Instant) {
        let event = Event { link, detail: Some(detail), ..Event::new(EventKind::Repaired) };
        self.tell(event, now);
    }

    pub(crate) fn tell(&mut self, event: Event, now: Instant) {
        self.journal.write(&event, now);
        if self.is_watched {
            self.told.push(Event { time: Some(time_of_day()), ..event });
        }
    }
}

/// Has a host that is remembered asked where it was; tells whether there is such a place.
fn restore(relays: &mut [Relay], rulebook: &Rulebook, host: &Saved, now: Instant) -> bool {
    let Saved { target, ref link, lladdr, .. } = *host;
    let place = relays.iter_mut().find_map(|relay| {
        let link = relay.links.by_label(link)?.id();
        Some((relay, link))
    });
    let Some((relay, link)) = place else { return false };
    let is_wanted = relay.looks_for(target, rulebook.granted(), now);
    if is_wanted {
        relay.feed(Input::Restore { target, link, lladdr }, now);
    }
    is_wanted
}

/// The prefixes of all relays.
fn prefixes(relays: &[Relay], now: Instant) -> impl Iterator<Item = Ipv6Net> {
    relays.iter().flat_map(move |relay| relay.engine.prefixes(now).map(|scope| scope.prefix))
}

/// Whether the log mentions it only for those who debug.
fn is_detail(event: &magpie_engine::Event) -> bool {
    let magpie_engine::Event::Name(event) = event else { return false };
    matches!(**event, NameEvent::Seen(_) | NameEvent::Withdrawn(_))
}

fn is_about_hosts(kind: EventKind) -> bool {
    matches!(kind, EventKind::HostFound | EventKind::HostMoved | EventKind::HostLost)
}

/// After lost notifications everything is read anew, but not more often than this.
const RESYNC_INTERVAL: Duration = Duration::from_secs(1);
/// What there is is compared with what there should be after this time, when something else is to be
/// done anyway.
const RECONCILE_INTERVAL: Duration = Duration::from_secs(300);
/// When the kernel cannot be asked, the next attempt comes ever later, but not later than this.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// After links have come, what is known is read anew after this many times what it took last.
const REST: u32 = 9;

const SIGNALS: u64 = 0;
const KERNEL: u64 = 1;
const CONTROL: u64 = 2;
/// Tokens of sockets of links start here. Those of Neighbor Discovery come first: what it tells may
/// decide what of a name is passed on.
const NEIGHBORS: u64 = 1 << 32;
const SERVICES: u64 = 2 << 32;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_tell_their_source() {
        for source in [
            Source::Signals,
            Source::Kernel,
            Source::Control,
            Source::Port(Channel::Neighbors.of(LinkId(0))),
            Source::Port(Channel::Neighbors.of(LinkId(u32::MAX))),
            Source::Port(Channel::Services.of(LinkId(0))),
            Source::Port(Channel::Services.of(LinkId(u32::MAX))),
        ] {
            assert_eq!(Source::of(source.token()), Some(source));
        }
        assert_eq!(Source::of(77), None);
        assert_eq!(Source::of(u64::MAX), None);
    }
}
