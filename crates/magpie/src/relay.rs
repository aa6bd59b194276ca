//! Runs one relay or responder: feeds its engine what happens, and carries out what it wants.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv6Addr;

use magpie_config::model::{self, Method, RulePrefix};
use magpie_engine::{
    Config, Engine, Event, Input, Instant, KernelEvent, KernelOp, LinkId, Member, Output,
};
use magpie_sys::netlink::{self, NetlinkError, RouteEvent};
use magpie_sys::reserved_port::ReservedPort;

use crate::executor::{Executor, NOBODY, Outcome, Unanswered};
use crate::granted::Granted;
use crate::kernel::Snapshot;
use crate::links::{Device, Links};
use crate::mark::Mark;
use crate::outlook::Outlook;
use crate::port::Ports;
use crate::trace;

/// A relay or responder: an engine and its hands.
#[derive(Debug)]
pub(crate) struct Relay {
    /// How it is configured, rules that were added at run time apart.
    pub(crate) model: model::Relay,
    pub(crate) links: Links,
    pub(crate) engine: Engine,
    pub(crate) executor: Executor,
    pub(crate) ports: Ports,
    /// Where answers come to what is asked on behalf of others.
    reserved: Option<ReservedPort>,
    /// What observers are still to be told.
    pub(crate) events: Vec<Event>,
    outlook: Outlook,
    /// Host routes with a mark of before, to be removed.
    outdated: BTreeMap<(Ipv6Addr, LinkId), Vec<Mark>>,
    /// Routes of others changed, and the engine has not been told yet.
    has_new_routes: bool,
    /// Empty between calls; kept for its memory.
    outcomes: Vec<Outcome>,
}

impl Relay {
    /// Starts with all links waited for. `config` is what `model` and rules that were added at run
    /// time come to.
    pub(crate) fn open(
        model: model::Relay,
        mut config: Config,
        now: Instant,
    ) -> Result<Self, NetlinkError> {
        let mark = Mark::new(model.routes, None);
        let reserved = reserve(&model, None);
        name_port(&mut config, reserved.as_ref());
        Ok(Self {
            links: Links::new(&model),
            engine: Engine::new(config, fastrand::u64(..), now),
            executor: Executor::open(mark)?,
            ports: Ports::default(),
            reserved,
            events: Vec::new(),
            outlook: Outlook::new(mark),
            outdated: BTreeMap::new(),
            has_new_routes: false,
            outcomes: Vec::new(),
            model,
        })
    }

    /// What its host routes have in common.
    pub(crate) fn mark(&self) -> Mark {
        Mark::new(self.model.routes, self.links.vrf())
    }

    /// Whether a route is one of its host routes.
    pub(crate) fn owns(&self, event: &RouteEvent) -> bool {
        self.mark().is_on(event) && event.oif.is_some_and(|oif| self.links.id(oif).is_some())
    }

    /// Whether it would look for `target` on its links. Of the rules that were added at run time,
    /// `granted` are all.
    pub(crate) fn looks_for(&self, target: Ipv6Addr, granted: &Granted, now: Instant) -> bool {
        let by_rule = |rule: &model::Rule| match rule.prefix {
            RulePrefix::Net(net) => rule.method == Method::Probe && net.contains(&target),
            RulePrefix::Auto => false,
        };
        if !self.model.neighbor_discovery {
            return false;
        }
        self.engine.prefixes(now).any(|scope| scope.prefix.contains(&target))
            || self.model.rules.iter().any(by_rule)
            || granted.iter().any(|grant| by_rule(&grant.rule) && grant.applies_to([&self.model]))
    }

    /// Takes over another configuration. A dump has to follow, since links may have come and the
    /// engine removes nothing before. `names` are those of all
    /// links that are asked for by name. `own` are the relay's host routes that the kernel holds;
    /// those that it keeps are returned.
    pub(crate) fn convert(
        &mut self,
        model: model::Relay,
        config: Config,
        names: &BTreeSet<String>,
        own: Vec<RouteEvent>,
        now: Instant,
    ) -> Vec<RouteEvent> {
        self.feed_kernel(KernelEvent::Overrun, now);
        let links = self.links.configured(&model, names);
        let is_left = |link: &LinkId| links.id(link.0).is_none();
        let left: Vec<LinkId> = self.links.devices().map(Device::id).filter(is_left).collect();
        let mark = self.executor.mark();
        let mut kept = Vec::new();
        for route in own {
            let Some(link) = route.oif.map(LinkId) else { continue };
            if left.contains(&link) {
                self.executor.withdraw(mark, route.destination, link);
            } else {
                kept.push(route);
            }
        }
        for link in left {
            self.release_link(link, now);
        }
        self.settle(now);
        self.links = links;
        self.model = model;
        self.readjust(config, now);
        kept
    }

    /// Sees to it that host routes carry the mark that the configuration and the links call for. The
    /// dump that says what they carried is taken thereafter; then [`Relay::finish_marking`].
    pub(crate) fn adjust_mark(&mut self, snapshot: &Snapshot) {
        let (before, mark) = (self.executor.mark(), self.mark());
        if before == mark {
            return;
        }
        let is_served = |oif: &u32| self.links.id(*oif).is_some();
        // They serve until those in their places are there.
        let former =
            snapshot.routes.iter().filter(|route| before.is_on(route) && !mark.is_on(route));
        for route in former {
            if let Some(oif) = route.oif.filter(is_served) {
                let place = (route.destination, LinkId(oif));
                self.outdated.entry(place).or_default().push(before);
            }
        }
        self.executor.set_mark(mark, self.links.vrf().map(|vrf| LinkId(vrf.ifindex)));
        self.outlook = Outlook::new(mark);
    }

    /// Removes host routes with a mark of before.
    pub(crate) fn finish_marking(&mut self, now: Instant) {
        if self.outdated.is_empty() {
            return;
        }
        self.settle(now);
        for ((target, link), marks) in std::mem::take(&mut self.outdated) {
            for mark in marks {
                self.executor.withdraw(mark, target, link);
            }
        }
        self.settle(now);
    }

    /// Takes over other rules for the same links.
    pub(crate) fn readjust(&mut self, mut config: Config, now: Instant) {
        self.reserved = reserve(&self.model, self.reserved.take());
        name_port(&mut config, self.reserved.as_ref());
        let places: Vec<(LinkId, Member)> = self
            .links
            .devices()
            .filter_map(|device| Some((device.id(), self.links.info(device.ifindex)?.member)))
            .collect();
        self.engine.reconfigure(config, &places, now);
        self.drain();
    }

    /// The port that answers come to.
    pub(crate) fn replies(&self) -> Option<u16> {
        self.reserved.as_ref().map(ReservedPort::number)
    }

    /// Tells the engine what happened. What it wants thereupon is done by [`Relay::settle`].
    pub(crate) fn feed(&mut self, input: Input<'_>, now: Instant) {
        self.engine.handle(input, now);
        self.drain();
    }

    /// Tells the engine what the kernel reported.
    pub(crate) fn feed_kernel(&mut self, event: KernelEvent, now: Instant) {
        self.feed(Input::Kernel(event), now);
    }

    /// Tells the engine what a notification about anything but links means to it.
    pub(crate) fn hear(&mut self, event: &netlink::Event, now: Instant) {
        if let Some(news) = self.outlook.news(event, &self.links) {
            self.feed_kernel(news, now);
        }
        if let netlink::Event::Address(change) = event
            && let Some(link) = self.links.id(change.value().ifindex)
            && self.ports.shortcoming(link).is_some()
        {
            // IPv6 may have been switched on there.
            self.join_services(link, now);
        }
    }

    /// Takes note that routes which are not its own changed.
    pub(crate) fn note_routes(&mut self) {
        self.has_new_routes = true;
    }

    /// Tells the engine of changed routes, if any were noted.
    pub(crate) fn tell_routes(&mut self, now: Instant) {
        if std::mem::take(&mut self.has_new_routes) {
            self.feed_kernel(KernelEvent::RoutesChanged, now);
        }
    }

    /// Takes note that a dump follows, which contains what notifications told or would have told.
    pub(crate) fn begin_dump(&mut self) {
        self.outlook.begin_dump();
    }

    /// Tells the engine what of a dump concerns it, links apart. Routes that `is_elsewhere` says
    /// are of another relay do not.
    pub(crate) fn take_dump(
        &mut self,
        snapshot: &Snapshot,
        is_elsewhere: impl Fn(&RouteEvent) -> bool,
        now: Instant,
    ) {
        let outdated = &self.outdated;
        let is_outdated = |route: &RouteEvent| {
            let place = route.oif.map(|oif| (route.destination, LinkId(oif)));
            let marks = place.and_then(|place| outdated.get(&place));
            marks.is_some_and(|marks| marks.iter().any(|mark| mark.is_on(route)))
        };
        let is_nothing = |route: &RouteEvent| is_elsewhere(route) || is_outdated(route);
        for event in self.outlook.digest(snapshot, &self.links, is_nothing) {
            self.feed_kernel(event, now);
        }
        self.has_new_routes = true;
        self.feed_kernel(KernelEvent::Synced, now);
        self.tell_routes(now);
    }

    /// Takes note of the groups that the kernel has left by itself: of those that were joined, the
    /// ones that `is_there` says are not there. Returns how many there are.
    pub(crate) fn note_lost_groups(&mut self, is_there: impl Fn(u32, Ipv6Addr) -> bool) -> usize {
        self.executor.note_lost_groups(&is_there) + self.ports.note_lost_groups(&is_there)
    }

    /// Has the groups that the kernel was found to have left by itself joined again; returns how many
    /// on which link.
    pub(crate) fn restore_groups(&mut self, now: Instant) -> BTreeMap<LinkId, usize> {
        let mut counts = BTreeMap::new();
        for (link, group) in self.executor.forget_lost_groups() {
            *counts.entry(link).or_default() += 1;
            self.feed_kernel(KernelEvent::GroupGone { link, group }, now);
        }
        for (link, count) in self.ports.restore_groups(now) {
            *counts.entry(link).or_default() += count;
        }
        counts
    }

    /// Whether only a dump can tell what the kernel holds.
    pub(crate) fn is_in_doubt(&self) -> bool {
        self.outlook.is_in_doubt()
    }

    /// Does what the engine wants, until it wants nothing more: sends frames, changes routes, and
    /// sends the frames that waited for the routes.
    pub(crate) fn settle(&mut self, now: Instant) {
        loop {
            self.ports.flush();
            if self.executor.has_requests() {
                self.executor.commit();
            } else if !self.executor.has_outcomes() && !self.executor.catch_up() {
                break;
            }
            self.acknowledge(now);
        }
        let engine = &self.engine;
        self.ports.watch(engine.data_revision(), |link| engine.watched_data(link, now));
    }

    /// Has the neighbors on a link told what is answered for there; returns how many announcements
    /// that takes.
    pub(crate) fn announce(&mut self, link: LinkId, now: Instant) -> usize {
        let count = self.engine.announce(Some(link), now);
        self.drain();
        self.settle(now);
        count
    }

    /// Ends the engine's work: withdraws what it has made of routes, memberships and promises.
    pub(crate) fn shut_down(&mut self, now: Instant) {
        self.engine.shut_down();
        self.executor.leave_all();
        self.drain();
        self.settle(now);
    }

    /// Ends the work on a link that is there, but no longer served: withdraws what was made of
    /// routes and memberships there, and what snooping switches were told.
    pub(crate) fn release_link(&mut self, link: LinkId, now: Instant) {
        self.engine.release(link, now);
        self.drain();
        self.settle(now);
        self.drop_link(link, now);
    }

    /// Forgets a link that is gone for good.
    pub(crate) fn drop_link(&mut self, link: LinkId, now: Instant) {
        self.ports.remove_link(link);
        self.executor.forget_link(link);
        self.feed_kernel(KernelEvent::LinkGone { link }, now);
    }

    fn drain(&mut self) {
        while let Some(output) = self.engine.poll_output() {
            match output {
                Output::Transmit(transmit) => self.ports.put(&transmit),
                Output::Datagram(datagram) => self.ports.send(&datagram),
                Output::Kernel { request, op } => self.executor.accept(request, op),
                Output::FindRoute { request, target, from } => {
                    self.executor.find_route(request, target, from);
                }
                Output::Event(event) => self.events.push(event),
            }
        }
    }

    /// Feeds the outcomes that are known; the engine may want more thereupon.
    fn acknowledge(&mut self, now: Instant) {
        let mut outcomes = std::mem::take(&mut self.outcomes);
        self.executor.swap_outcomes(&mut outcomes);
        for outcome in outcomes.drain(..) {
            let (request, op, result, had_effect) = match outcome {
                Outcome::Change { request, op, result, had_effect } => {
                    (request, op, result, had_effect)
                }
                Outcome::Lookup { request, route } => {
                    let answer = match route {
                        Ok(route) => Input::Route { request, route },
                        Err(Unanswered) => Input::RouteUnknown { request },
                    };
                    self.feed(answer, now);
                    continue;
                }
            };
            trace::carried_out(op, result);
            if request == NOBODY {
                continue;
            }
            if let KernelOp::DelRoute { target, link } = op
                && had_effect
            {
                self.outlook.expect_deletion(target, link);
            }
            self.feed(Input::Ack { request, result }, now);
        }
        self.outcomes = outcomes;
    }
}

/// Reserves a port if one is needed for a relay that is configured so and none is held; lets go of
/// one that is not needed any longer.
fn reserve(model: &model::Relay, held: Option<ReservedPort>) -> Option<ReservedPort> {
    model.mdns.as_ref().filter(|mdns| mdns.legacy || !mdns.other_services.is_empty())?;
    held.or_else(|| {
        let taken = ReservedPort::take();
        taken
            .inspect_err(|error| tracing::warn!(%error, "no port for answers; none is asked for"))
            .ok()
    })
}

/// Puts the port that was reserved into the engine's settings.
fn name_port(config: &mut Config, reserved: Option<&ReservedPort>) {
    if let Some(mdns) = &mut config.mdns {
        mdns.legacy_port = reserved.map(ReservedPort::number);
    }
}
