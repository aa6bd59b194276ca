//! The engine as a whole: its state, its contract with the caller, and who handles what.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{Ipv4Addr, Ipv6Addr};
use std::ops::Bound;
use std::time::Duration;

use magpie_wire::{LinkAddr, Message, OwnMessage, Packet};

use crate::bare;
use crate::binding::{Binding, Bindings};
use crate::dad::ProbeMemory;
use crate::delayed::{Delayed, DelayedQueue};
use crate::fib::Fib;
use crate::group::Groups;
use crate::limit::{OwnNonces, Quota, Rarely, Recent};
use crate::link::Link;
use crate::mdns::Reflector;
use crate::own::Own;
use crate::resolution::{Charged, Phase, Resolution, Search};
use crate::route::{Routes, Sight};
use crate::scope::Scope;
use crate::seen::SeenTargets;
use crate::timer::Timers;
use crate::{
    BindingView, Config, Counters, Decision, Discard, Event, HostRouteView, Input, Instant,
    KernelOp, LinkConfig, LinkId, Lost, Member, Output, RequestId, RouteStatus, ScopePrefix,
    SeenTarget, Timer, Wakeup,
};

/// How long askers wait, whatever happens: a little longer than they ask (RFC 4861 section 10,
/// `MAX_MULTICAST_SOLICIT` times `RETRANS_TIMER`).
const RESOLUTION_TIME: Duration = Duration::from_secs(5);

/// Time after the start in which addresses and Router Advertisements arrive.
const LEFTOVERS_TIME: Duration = Duration::from_secs(30);

/// One relay or responder: a set of links, equal but for what its rules say of them.
///
/// A plain value without sockets, clock or log. The caller follows six rules:
///
/// 1. One [`handle`](Self::handle), then [`poll_output`](Self::poll_output) until it returns
///    nothing, then the next `handle`.
/// 2. `now` never goes back. Several inputs may share one `now`.
/// 3. [`poll_timeout`](Self::poll_timeout) changes only through `handle`,
///    [`reconfigure`](Self::reconfigure), [`announce`](Self::announce),
///    [`release`](Self::release) and [`shut_down`](Self::shut_down), and is known when the outputs
///    of the last of them are polled. When its instant has come, [`Input::Timeout`] is due, before
///    any frame that came later.
/// 4. Outputs are carried out in their order. Every [`Output::Kernel`] gets exactly one
///    [`Input::Ack`], also on failure.
/// 5. At the start, and whenever notifications were lost: an `Overrun` event, then a dump of all
///    links, addresses and host routes, then a `Synced` event. In between nothing is removed.
/// 6. Same configuration, seed and inputs give the same outputs.
#[derive(Debug)]
pub struct Engine {
    pub(crate) config: Config,
    pub(crate) links: BTreeMap<LinkId, Link>,
    /// What of them every message is compared with.
    pub(crate) own: Own,
    pub(crate) scope: Scope,
    pub(crate) bindings: Bindings,
    pub(crate) resolutions: BTreeMap<Ipv6Addr, Resolution>,
    /// Targets that did not answer, for askers on a link (RFC 6583 section 7.1).
    pub(crate) held_down: Recent<(Ipv6Addr, LinkId)>,
    pub(crate) probes_seen: ProbeMemory,
    /// Stations that object to duplicate address detection on other links.
    pub(crate) defenses: Quota<(LinkId, LinkAddr)>,
    /// Stations whose listener reports were looked into, and where.
    pub(crate) reported: Recent<(LinkId, LinkAddr)>,
    /// The last address that such a report made us ask for, if there may be more.
    pub(crate) followed: BTreeMap<(LinkId, LinkAddr), Ipv6Addr>,
    pub(crate) routes: Routes,
    pub(crate) groups: Groups,
    pub(crate) delayed: DelayedQueue,
    pub(crate) fib: Fib,
    /// Addresses that spoke where a `static` rule would answer for them.
    pub(crate) sighted: Recent<(LinkId, Ipv6Addr)>,
    /// Addresses defended by rules or routes a moment ago.
    pub(crate) defended: Recent<(LinkId, Ipv6Addr)>,
    pub(crate) seen: SeenTargets,
    /// Memberships that rules call for.
    pub(crate) standing: BTreeSet<(LinkId, Ipv6Addr)>,
    /// Links that the relay has, present or not.
    pub(crate) member_count: u8,
    pub(crate) timers: Timers,
    pub(crate) outputs: VecDeque<Output>,
    pub(crate) counters: Counters,
    pub(crate) nonces: OwnNonces,
    pub(crate) rng: fastrand::Rng,
    /// Between `Overrun` and `Synced`.
    pub(crate) syncing: bool,
    pub(crate) rarely: Rarely<(LinkId, Rare)>,
    /// Until when host routes of a predecessor may wait for the subnet to become known.
    pub(crate) leftovers_until: Instant,
    pub(crate) leftovers_due: Option<Instant>,
    /// Links that are gone, and what neighbors there hold for our link-layer address, by the
    /// places whose next device they may be.
    pub(crate) former: BTreeMap<Member, (LinkId, LinkAddr)>,
    /// The time of the call under way.
    pub(crate) clock: Instant,
    pub(crate) data_revision: u64,
    /// What passes names on, if anything does.
    pub(crate) reflector: Option<Box<Reflector>>,
    last_request: u64,
    prefix_due: Option<Instant>,
    delayed_due: Option<Instant>,
}

/// Events that hostile input could repeat without end.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Rare {
    Loop,
    OwnAddress,
    Claim,
    ForeignRoute,
    Refused(Discard),
}

impl Engine {
    /// Makes an engine that knows nothing yet. `seed` decides all its random choices.
    pub fn new(config: Config, seed: u64, now: Instant) -> Self {
        let scope = Scope::new(config.prefixes.clone());
        let seen_targets = SeenTargets::new(config.limits.seen, seed);
        let member_count = config.member_count();
        let mut rng = fastrand::Rng::with_seed(seed);
        let new_reflector = |mdns| Box::new(Reflector::new(mdns, rng.u64(..)));
        let reflector = config.mdns.as_ref().map(new_reflector);
        Self {
            config,
            links: BTreeMap::new(),
            own: Own::default(),
            scope,
            bindings: Bindings::default(),
            resolutions: BTreeMap::new(),
            held_down: Recent::new(),
            probes_seen: ProbeMemory::default(),
            defenses: Quota::new(),
            reported: Recent::new(),
            followed: BTreeMap::new(),
            routes: Routes::default(),
            groups: Groups::default(),
            delayed: DelayedQueue::default(),
            fib: Fib::default(),
            sighted: Recent::new(),
            defended: Recent::new(),
            seen: seen_targets,
            standing: BTreeSet::new(),
            member_count,
            timers: Timers::default(),
            outputs: VecDeque::new(),
            counters: Counters::default(),
            nonces: OwnNonces::new(),
            rng,
            syncing: true,
            rarely: Rarely::new(),
            former: BTreeMap::new(),
            clock: now,
            data_revision: 0,
            reflector,
            last_request: 0,
            leftovers_until: now + LEFTOVERS_TIME,
            leftovers_due: None,
            prefix_due: None,
            delayed_due: None,
        }
    }

    /// Applies one input. Drain [`poll_output`](Self::poll_output) before the next.
    pub fn handle(&mut self, input: Input<'_>, now: Instant) {
        self.conclude_datagram();
        self.clock = now;
        match input {
            Input::Frame { .. } | Input::Outgoing { .. } if !self.config.neighbor_discovery => {}
            Input::Frame { link, bytes } => self.on_frame(link, bytes, now),
            Input::Datagram { link, bytes } => self.on_datagram(link, bytes, now),
            Input::Outgoing { link, bytes } => self.on_outgoing(link, bytes, now),
            Input::Kernel(event) => self.on_kernel_event(event, now),
            Input::Ack { request, result } => self.on_ack(request, result, now),
            Input::Route { request, route } => self.on_route_found(request, route, now),
            Input::RouteUnknown { request } => self.on_route_unknown(request),
            Input::Restore { target, link, lladdr } => self.on_restore(target, link, lladdr, now),
            Input::Resumed => self.on_resumed(now),
            Input::Timeout => self.on_timeout(now),
        }
        self.update_shared_timers();
    }

    /// Returns the next thing to do, in order.
    ///
    /// What the last input calls for but nobody waits for is worked out when there is nothing else
    /// left to return.
    pub fn poll_output(&mut self) -> Option<Output> {
        if self.outputs.is_empty() {
            self.conclude_datagram();
        }
        self.outputs.pop_front()
    }

    /// Returns when [`Input::Timeout`] is due; none if nothing is pending.
    pub fn poll_timeout(&self) -> Option<Wakeup> {
        self.timers.first()
    }

    /// Takes over other settings; what they no longer allow ends, and nothing else.
    ///
    /// `members` tells the places of the present links in them; links that are not in them any
    /// longer are reported gone before.
    pub fn reconfigure(&mut self, config: Config, members: &[(LinkId, Member)], now: Instant) {
        self.clock = now;
        // The places are counted anew.
        self.former.clear();
        if config.limits.seen != self.config.limits.seen {
            self.seen = SeenTargets::new(config.limits.seen, self.rng.u64(..));
        }
        let (routes_before, timing_before) = (self.config.routes, self.config.timing);
        let was_discovering = self.config.neighbor_discovery;
        if was_discovering && !config.neighbor_discovery {
            self.end_discovery();
        }
        self.config = config;
        self.member_count = self.config.member_count();
        for (id, member) in members {
            if let Some(link) = self.links.get_mut(id) {
                link.info.member = *member;
                self.member_count = self.member_count.max(member.0.saturating_add(1));
            }
        }
        for (id, link) in &mut self.links {
            link.limit(&self.config.limits);
            if !self.config.link(link.info.member).shows_subnet {
                self.scope.forget_link(*id);
            }
        }
        self.limit_groups();
        self.watch_all_again();
        self.scope.configure(self.config.prefixes.clone());
        self.configure_names();
        if self.config.neighbor_discovery && !was_discovering {
            self.begin_discovery(now);
        }
        self.on_addresses_changed(now);
        if self.config.routes != routes_before {
            self.on_route_policy_changed(now);
        }
        if self.config.timing != timing_before {
            self.on_timing_changed(now);
        }
        self.update_shared_timers();
    }

    /// Emits what an orderly stop needs: host routes removed, groups left, switches told.
    /// Afterwards the engine knows nothing.
    pub fn shut_down(&mut self) {
        self.bindings.clear();
        self.resolutions.clear();
        self.delayed.clear();
        self.timers.clear();
        let targets: Vec<_> = self.routes.targets().collect();
        for target in targets {
            self.routes.want(target, None);
            self.reconcile_route(target);
        }
        let links: Vec<_> = self.links.keys().copied().collect();
        for link in links {
            self.leave_all(link);
        }
        let advertised: Vec<_> = self
            .links
            .iter()
            .filter(|(_, link)| link.router_discovery.advertised())
            .map(|(id, _)| *id)
            .collect();
        for link in advertised {
            self.advertise_multicast_router(link, false);
        }
        self.links.clear();
        self.own = Own::default();
        self.reflector = None;
    }

    /// Ends the work on one link in good order, as [`shut_down`](Self::shut_down) does on all:
    /// host routes removed, groups left, switches told. Afterwards the link is unknown, as after
    /// `LinkGone`, which may follow.
    pub fn release(&mut self, link: LinkId, now: Instant) {
        self.clock = now;
        let Some(state) = self.links.get(&link) else { return };
        if state.router_discovery.advertised() {
            self.advertise_multicast_router(link, false);
        }
        let routed: Vec<_> = self.routes.targets_on(link).collect();
        for target in routed {
            self.routes.want(target, None);
            self.reconcile_route(target);
        }
        self.leave_all(link);
        self.on_link_gone(link, now);
        self.update_shared_timers();
    }

    /// Returns all bindings, by address.
    pub fn bindings(&self, now: Instant) -> impl Iterator<Item = BindingView> + '_ {
        self.bindings.iter().map(move |(target, binding)| self.binding_view(target, binding, now))
    }

    /// Returns all host routes that are kept or wanted, by address, with the bindings that are the
    /// reason for them.
    pub fn host_routes(&self, now: Instant) -> impl Iterator<Item = HostRouteView> + '_ {
        self.routes.sights().map(move |Sight { target, link, leads_to, status }| {
            let binding = self.bindings.get(target);
            let is_verified = binding.is_some_and(|binding| binding.confirmed.is_some());
            let status = match status {
                RouteStatus::Installed if !is_verified => RouteStatus::Adopted,
                other => other,
            };
            let binding = binding.map(|binding| self.binding_view(target, binding, now));
            HostRouteView { target, link, leads_to, status, binding }
        })
    }

    /// Returns the targets that were asked for lately, as many as
    /// [`Limits::seen`](crate::Limits::seen) allows.
    pub fn seen(&self, now: Instant) -> Vec<SeenTarget> {
        self.seen.list(now)
    }

    /// Returns how many resolutions are under way.
    pub fn resolutions(&self) -> usize {
        self.resolutions.len()
    }

    /// Returns how many targets are remembered for not answering.
    pub fn held_down(&self) -> usize {
        self.held_down.len()
    }

    /// Returns the prefixes of the subnet as they are in force.
    pub fn prefixes(&self, now: Instant) -> impl Iterator<Item = ScopePrefix> + '_ {
        self.scope.prefixes(now)
    }

    /// Returns what was done and dropped so far.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    fn binding_view(&self, target: Ipv6Addr, binding: &Binding, now: Instant) -> BindingView {
        BindingView {
            target,
            link: binding.link,
            lladdr: binding.lladdr.and_then(bare::named),
            state: binding.state(now),
            confirmed: binding.confirmed.map(|at| now.since(at)),
            seen: now.since(binding.seen),
            evidence: binding.evidence,
            router: binding.router,
            route: self.routes.view(target),
        }
    }

    fn on_outgoing(&mut self, id: LinkId, bytes: &[u8], now: Instant) {
        let message =
            if self.is_bare(id) { OwnMessage::parse_bare(bytes) } else { OwnMessage::parse(bytes) };
        match message {
            Some(OwnMessage::Solicit { target, probe: false }) => {
                self.on_kernel_solicit(id, target, now);
            }
            Some(OwnMessage::Unreachable { target }) => self.on_miss(id, target, now),
            Some(OwnMessage::Data { target }) => self.on_data(id, target, now),
            // The kernel's own duplicate address detection is the kernel's own business.
            Some(OwnMessage::Solicit { probe: true, .. }) | None => {}
        }
    }

    fn on_frame(&mut self, id: LinkId, bytes: &[u8], now: Instant) {
        self.counters.frames_received += 1;
        let is_bare = self.is_bare(id);
        let parsed = if is_bare { Packet::parse_bare(bytes) } else { Packet::parse(bytes) };
        let mut packet = match parsed {
            Ok(packet) => packet,
            Err(reason) => return self.counters.count_malformed(reason),
        };
        if is_bare {
            bare::fill_in(&mut packet);
        }
        if !self.links.get(&id).is_some_and(Link::usable) {
            return self.counters.count(Discard::LinkDown);
        }
        // An access point echoes our multicast frames; on another link they are a loop (RFC 4389
        // section 6 asks to detect it).
        if let Some(owner) = self.link_of_lladdr(packet.ethernet_source) {
            if owner != id
                && let Message::Solicit(solicit) = packet.message
            {
                self.report_loop(id, solicit.target, now);
            }
            return self.counters.count(Discard::OwnFrame);
        }
        // Where nobody has a link-layer address, what we sent is known by its nonce, if it has one.
        if is_bare
            && let Message::Solicit(solicit) = packet.message
            && solicit.nonce.is_some_and(|nonce| self.nonces.contains(&nonce))
        {
            self.report_loop(id, solicit.target, now);
            return self.counters.count(Discard::OwnNonce);
        }
        if self.is_own_address(packet.source, id) {
            self.report_own_address(id, packet.source, packet.ethernet_source, now);
            return self.counters.count(Discard::OwnSource);
        }
        match packet.message {
            Message::Solicit(solicit) if packet.is_dad() => {
                self.on_dad(id, packet.ethernet_source, solicit, now);
            }
            Message::Solicit(solicit) => self.on_solicit(id, &packet, solicit, now),
            Message::Advert(advert) => self.on_advert(id, &packet, advert, now),
            Message::RouterSolicit(solicit) => {
                if let Some(lladdr) = solicit.source_lladdr {
                    self.on_source(id, packet.source, lladdr, now);
                }
            }
            Message::RouterAdvert(advert) => {
                let mut changed = false;
                let shows_subnet = self.link_config(id).shows_subnet;
                for prefix in advert.prefixes().filter(|_| shows_subnet) {
                    changed |= self.scope.announce(id, prefix, now);
                }
                if changed {
                    self.on_scope_changed(now);
                }
            }
            Message::ListenerQuery => self.on_listener_query(id, now),
            Message::MulticastRouterSolicit => self.hurry_router_discovery(id, now),
            Message::ListenerReport => {
                self.on_listener_report(id, packet.ethernet_source, now);
            }
            Message::MulticastRouterAdvert(_) | Message::MulticastRouterTermination => {}
        }
    }

    fn on_timeout(&mut self, now: Instant) {
        while let Some(timer) = self.timers.pop(now) {
            match timer {
                Timer::Binding(target) => self.on_binding_due(target, now),
                Timer::Resolution(target) => self.on_resolution_due(target, now),
                Timer::Route(target) => {
                    if let Some(route) = self.routes.get_mut(target) {
                        route.due = None;
                    }
                    self.reconcile_route(target);
                }
                Timer::Link(link) => self.on_router_discovery_due(link, now),
                Timer::Notice(link) => self.on_notice_due(link, now),
                Timer::Data(link) => self.on_data_due(link, now),
                Timer::Recheck(link) => self.on_recheck_due(link, now),
                Timer::Groups(link) => self.on_groups_due(link),
                Timer::Delayed => {
                    self.delayed_due = None;
                    while let Some(delayed) = self.delayed.pop(now) {
                        self.on_delayed(delayed, now);
                    }
                }
                Timer::Leftovers => {
                    self.leftovers_due = None;
                    self.adopt_leftovers(now);
                }
                Timer::Prefix => {
                    self.prefix_due = None;
                    if self.scope.expire(now) {
                        self.on_scope_changed(now);
                    }
                }
            }
        }
    }

    fn on_delayed(&mut self, delayed: Delayed, now: Instant) {
        match delayed {
            Delayed::RelayDad { link, target, nonce } => {
                self.relay_dad(link, target, nonce, now);
            }
            Delayed::Answer { asker, target } => self.answer_if_sure(asker, target, now),
        }
    }

    /// Forgets what is no longer in scope, and takes over what has come into it.
    pub(crate) fn on_scope_changed(&mut self, now: Instant) {
        self.data_revision += 1;
        if self.syncing {
            return;
        }
        let outside: Vec<_> = self
            .bindings
            .iter()
            .filter(|(target, binding)| !self.is_sought_at(*target, binding.link))
            .map(|(target, _)| target)
            .collect();
        for target in outside {
            self.forget(target, Lost::OutOfScope);
        }
        let outside: Vec<_> = self
            .resolutions
            .iter()
            .filter(|(target, resolution)| {
                !matches!(self.decide(**target, resolution.origin), Decision::Probe(_))
            })
            .map(|(target, _)| *target)
            .collect();
        for target in outside {
            self.end_resolution(target);
        }
        self.adopt_leftovers(now);
        self.update_standing();
    }

    pub(crate) fn delay(&mut self, at: Instant, delayed: Delayed) {
        if !self.delayed.push(at, delayed) {
            self.counters.count(Discard::DelayedFull);
        }
    }

    /// Walks the links without borrowing them: the first, or the next after `last`.
    pub(crate) fn link_after(&self, last: Option<LinkId>) -> Option<LinkId> {
        let beyond = last.map_or(Bound::Unbounded, Bound::Excluded);
        self.links.range((beyond, Bound::Unbounded)).next().map(|(id, _)| *id)
    }

    /// Sets the deadline of a binding to what is due next.
    pub(crate) fn update_binding_timer(&mut self, target: Ipv6Addr) {
        if let Some(binding) = self.bindings.get_mut(target) {
            let next = Some(binding.next_due());
            self.timers.set(&mut binding.due, Timer::Binding(target), next);
        }
    }

    pub(crate) fn update_shared_timers(&mut self) {
        let delayed = self.delayed.first();
        self.timers.set(&mut self.delayed_due, Timer::Delayed, delayed);
        let prefix = self.scope.next_expiry();
        self.timers.set(&mut self.prefix_due, Timer::Prefix, prefix);
    }

    /// Makes a resolution, if the asking link may have one more. Those of known targets have no
    /// cap but that of bindings: a flood of unknown ones must not shut them out (RFC 6583 section
    /// 7.2).
    pub(crate) fn begin_resolution(
        &mut self,
        target: Ipv6Addr,
        origin: LinkId,
        phase: Phase,
        now: Instant,
    ) -> Option<&mut Resolution> {
        let charged = match phase {
            _ if self.bindings.get(target).is_some() => None,
            Phase::Search(Search { kernel: true, .. }) => Some(Charged::Kernel),
            _ => Some(Charged::Askers),
        };
        if let Some(charged) = charged
            && !self.may_resolve(origin, charged)
        {
            self.refuse(origin, Discard::ResolutionsFull, now);
            return None;
        }
        let link = self.links.get_mut(&origin)?;
        if let Some(charged) = charged {
            *link.resolutions_of(charged) += 1;
        }
        let new = Resolution::new(origin, phase, charged);
        let resolution = self.resolutions.entry(target).or_insert(new);
        let at = Some(now + RESOLUTION_TIME);
        self.timers.set(&mut resolution.due, Timer::Resolution(target), at);
        Some(resolution)
    }

    /// Whether `origin` may have one more resolution of that kind.
    pub(crate) fn may_resolve(&mut self, origin: LinkId, charged: Charged) -> bool {
        let cap = match charged {
            Charged::Askers => self.config.limits.resolutions_per_link,
            Charged::Kernel => self.config.limits.kernel_resolutions_per_link,
        };
        self.links.get_mut(&origin).is_some_and(|link| *link.resolutions_of(charged) < cap)
    }

    /// Lets a resolution wait for something else, for a bounded time.
    pub(crate) fn enter_phase(&mut self, target: Ipv6Addr, phase: Phase, now: Instant) {
        if let Some(resolution) = self.resolutions.get_mut(&target) {
            resolution.phase = phase;
            let at = Some(now + RESOLUTION_TIME);
            self.timers.set(&mut resolution.due, Timer::Resolution(target), at);
        }
    }

    /// Ends a resolution and returns it, with those who wait for it.
    pub(crate) fn end_resolution(&mut self, target: Ipv6Addr) -> Option<Resolution> {
        let mut resolution = self.resolutions.remove(&target)?;
        self.timers.set(&mut resolution.due, Timer::Resolution(target), None);
        if let Some(charged) = resolution.charged
            && let Some(link) = self.links.get_mut(&resolution.origin)
        {
            let count = link.resolutions_of(charged);
            *count = count.saturating_sub(1);
        }
        Some(resolution)
    }

    /// Asks the kernel for something.
    pub(crate) fn request(&mut self, op: KernelOp) -> RequestId {
        let request = self.next_request();
        self.outputs.push_back(Output::Kernel { request, op });
        request
    }

    pub(crate) fn next_request(&mut self) -> RequestId {
        self.last_request += 1;
        RequestId(self.last_request)
    }

    /// Brings the host route to a target nearer to what is wanted. Towards a link that is down
    /// nothing is tried: its hosts are verified when it is up, and their routes with them.
    pub(crate) fn reconcile_route(&mut self, target: Ipv6Addr) {
        let wanted = self.routes.wanted(target).and_then(|link| self.links.get(&link));
        if wanted.is_some_and(|link| !link.usable()) {
            return;
        }
        let last_request = &mut self.last_request;
        let next_request = || {
            *last_request += 1;
            RequestId(*last_request)
        };
        if let Some((request, op)) = self.routes.reconcile(target, next_request) {
            self.outputs.push_back(Output::Kernel { request, op });
        }
    }

    pub(crate) fn report(&mut self, event: Event) {
        self.outputs.push_back(Output::Event(event));
    }

    pub(crate) fn refuse(&mut self, link: LinkId, reason: Discard, now: Instant) {
        self.counters.count(reason);
        if self.rarely.due((link, Rare::Refused(reason)), now) {
            self.report(Event::Refused { link, reason });
        }
    }

    pub(crate) fn report_loop(&mut self, link: LinkId, target: Ipv6Addr, now: Instant) {
        if self.rarely.due((link, Rare::Loop), now) {
            self.report(Event::Loop { link, target });
        }
    }

    pub(crate) fn report_own_address(
        &mut self,
        link: LinkId,
        target: Ipv6Addr,
        lladdr: LinkAddr,
        now: Instant,
    ) {
        if self.rarely.due((link, Rare::OwnAddress), now) {
            let lladdr = bare::named(lladdr);
            self.report(Event::OwnAddressClaimed { target, link, lladdr });
        }
    }

    pub(crate) fn report_foreign_route(&mut self, target: Ipv6Addr, link: LinkId, now: Instant) {
        if self.rarely.due((link, Rare::ForeignRoute), now) {
            self.report(Event::ForeignRoute { target, link });
        }
    }

    pub(crate) fn report_claim(&mut self, event: Event, link: LinkId, now: Instant) {
        if self.rarely.due((link, Rare::Claim), now) {
            self.report(event);
        }
    }

    /// Whether an IPv4 address is this host's own.
    pub(crate) fn owns_ipv4(&self, address: Ipv4Addr) -> bool {
        self.links.values().flat_map(Link::addresses4).any(|own| own == address)
    }

    /// How a link is treated.
    pub(crate) fn link_config(&self, link: LinkId) -> LinkConfig {
        let member = self.links.get(&link).map(|link| link.info.member);
        member.map(|member| self.config.link(member)).unwrap_or_default()
    }

    pub(crate) fn link_of_lladdr(&self, lladdr: LinkAddr) -> Option<LinkId> {
        self.own.link_of(lladdr)
    }

    /// Whether `address`, met on `on`, is assigned to this host, tentatively or not. The same
    /// link-local address on another link is somebody else's (RFC 4007 section 6).
    pub(crate) fn is_own_address(&self, address: Ipv6Addr, on: LinkId) -> bool {
        if address.is_unicast_link_local() {
            return self.links.get(&on).is_some_and(|link| link.owns(address));
        }
        self.own.owns(address)
    }
}
