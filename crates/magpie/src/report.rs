//! Answers those who ask how the daemon is doing.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::IpAddr;

use magpie_config::model::{self, Kind, Method, Role, RulePrefix};
use magpie_control::{
    AddRules, AddedRules, Announce, Announced, Guard, Handler, Host, HostRoute, HostRouteState,
    HostState, LinkState, LinkStatus, Name, NamesStatus, Reflector, RelayKind, RelayLink,
    RelayStatus, RemoveRules, RouteReason, RouteState, Rule, RuleMethod, RuleRefusal, RuleSource,
    Status, Target,
};
use magpie_engine::{
    ANNOUNCEMENTS_PER_SECOND, BindingState, BindingView, HostRouteView, Instant, LinkId, NameView,
    RouteStatus, RouteView,
};
use magpie_sys::netlink::{AddressEvent, Connection};

use crate::Chain;
use crate::granted::{Addition, Grant, Grounds};
use crate::journal::{crossings, link_name};
use crate::links::{Device, Links, Member};
use crate::mark::Mark;
use crate::obstacle::Obstacle;
use crate::relay::Relay;
use crate::rulebook::GrantError;
use crate::service::{Service, now};

impl Handler for Service {
    fn status(&mut self) -> Status {
        let now = now();
        let mut bindings = BTreeMap::new();
        let mut routes_installed = 0;
        let mut counters: BTreeMap<String, u64> = BTreeMap::new();
        let mut prefixes: Vec<String> = Vec::new();
        let mut resolutions = 0;
        for relay in &self.relays {
            for binding in relay.engine.bindings(now) {
                *bindings.entry(host_state(binding.state)).or_default() += 1;
                routes_installed += u64::from(binding.route == RouteView::Installed);
            }
            prefixes.extend(relay.engine.prefixes(now).map(|scope| scope.prefix.to_string()));
            resolutions += relay.engine.resolutions() as u64;
            for (name, count) in relay.engine.counters().iter() {
                *counters.entry(name).or_default() += count;
            }
            *counters.entry("held_down".to_owned()).or_default() += relay.engine.held_down() as u64;
            *counters.entry("frames_without_link".to_owned()).or_default() += relay.ports.astray();
        }
        counters.insert("notifications_lost".to_owned(), self.kernel.overruns());
        counters.extend(self.tally.iter().map(|(name, count)| (name.to_owned(), count)));
        prefixes.sort();
        prefixes.dedup();
        Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            uptime_seconds: now.since(self.started).as_secs(),
            relays: self.relays.iter().map(|relay| self.relay_status(relay, now)).collect(),
            links: self.link_statuses(),
            prefixes,
            bindings,
            routes_installed,
            resolutions,
            guard: Guard {
                active: self.shield.is_up(),
                reason: self.shield.gap().map(ToOwned::to_owned),
            },
            warnings: self.warnings(),
            counters,
        }
    }

    fn hosts(&mut self) -> Vec<Host> {
        let now = now();
        let mut hosts = Vec::new();
        for relay in &self.relays {
            let mut names = names_of_addresses(relay, now);
            hosts.extend(relay.engine.bindings(now).map(|binding| {
                let host = host(&binding, &relay.links);
                let names = names.remove(&(binding.link, host.address)).unwrap_or_default();
                Host { names: names.into_iter().collect(), ..host }
            }));
        }
        hosts.sort_by_key(|host| host.address);
        hosts
    }

    fn names(&mut self) -> Vec<Name> {
        let now = now();
        let all = self
            .relays
            .iter()
            .flat_map(|relay| relay.engine.names(now).map(|view| name_record(view, relay)));
        let mut names: Vec<Name> = all.collect();
        names.sort_by(|one, other| {
            let order = one.name.to_lowercase().cmp(&other.name.to_lowercase());
            order
                .then_with(|| one.record_type.cmp(&other.record_type))
                .then_with(|| one.data.cmp(&other.data))
                .then_with(|| one.link.cmp(&other.link))
        });
        names
    }

    fn routes(&mut self) -> Vec<HostRoute> {
        let now = now();
        let all = self
            .relays
            .iter()
            .flat_map(|relay| relay.engine.host_routes(now).map(|route| host_route(&route, relay)));
        let mut routes: Vec<HostRoute> = all.collect();
        routes.sort_by_key(|route| route.address);
        routes
    }

    fn targets(&mut self) -> Vec<Target> {
        let seen = self.seen(now());
        let mut targets: Vec<Target> = seen
            .iter()
            .map(|(relay, seen)| Target {
                address: IpAddr::V6(seen.target),
                relay: relay.model.name.clone(),
                link: link_name(&relay.links, seen.link),
                asked: seen.asked,
                answered: seen.answered,
                first_seconds: seen.first.as_secs(),
                last_seconds: seen.last.as_secs(),
            })
            .collect();
        targets.sort_by(|one, other| {
            let order = one.address.cmp(&other.address);
            order.then_with(|| one.link.cmp(&other.link))
        });
        targets
    }

    fn rules(&mut self) -> Vec<Rule> {
        let now = now();
        let granted = self.rulebook.granted();
        let models = || self.relays.iter().map(|relay| &relay.model);
        let added =
            |grant: &Grant| Rule { active: grant.applies_to(models()), ..added_rule(grant, now) };
        let mut rules = Vec::new();
        for model in models() {
            rules.extend(granted.iter().filter(|grant| grant.relay == model.name).map(added));
            rules.extend(model.rules.iter().map(|rule| shown(rule, &model.name, RuleSource::File)));
            rules.extend(built_in(model));
        }
        // Those of relays that are not configured at present come last.
        let is_lost = |grant: &&Grant| models().all(|model| model.name != grant.relay);
        rules.extend(granted.iter().filter(is_lost).map(added));
        rules
    }

    fn add_rules(&mut self, request: AddRules) -> Result<AddedRules, RuleRefusal> {
        let now = now();
        let grants = self.grounds(now).grants(request)?;
        let Addition { added, renewed } =
            self.grant(grants, now).map_err(|error| refusal(&error))?;
        Ok(AddedRules { added: added as u64, renewed: renewed as u64 })
    }

    fn remove_rules(&mut self, request: RemoveRules) -> Result<u64, RuleRefusal> {
        let now = now();
        let selection = self.grounds(now).selection(request, self.rulebook.granted())?;
        let removed = self.revoke(&selection, now).map_err(|error| refusal(&error))?;
        Ok(removed as u64)
    }

    fn announce(&mut self, request: Announce) -> Result<Announced, String> {
        let wanted = request.link.as_deref();
        if let Some(name) = wanted {
            self.check_link(name)?;
        }
        let now = now();
        let mut announced = Announced::default();
        for relay in &mut self.relays {
            for link in devices_called(relay, wanted) {
                let count = relay.announce(link, now) as u64;
                announced.announcements += count;
                announced.links += u64::from(count > 0);
                let seconds = count.saturating_sub(1) / ANNOUNCEMENTS_PER_SECOND;
                announced.seconds = announced.seconds.max(seconds);
            }
        }
        Ok(announced)
    }

    fn reload(&mut self) -> Result<Vec<String>, String> {
        match self.renew(now()) {
            Ok(()) => Ok(self.remarks.clone()),
            Err(error) => Err(Chain(&error).to_string()),
        }
    }
}

impl Service {
    /// What an operator should look at, in whole sentences.
    pub(crate) fn warnings(&self) -> Vec<String> {
        // A link that has yet to come is a state like others.
        let waiting = self.links().filter_map(|member| {
            let obstacle = member.obstacle().filter(|obstacle| **obstacle != Obstacle::Missing)?;
            Some(format!("{}: {obstacle}", member.name))
        });
        let faults = self.relays.iter().flat_map(|relay| {
            relay.links.devices().filter_map(|device| {
                let link = device.id();
                let fault = relay.ports.link_fault(link);
                let reason = fault.or_else(|| relay.ports.shortcoming(link))?;
                Some(format!("{}: {reason}", link_name(&relay.links, link)))
            })
        });
        let refusal = self
            .refusal
            .iter()
            .map(|why| format!("the network cannot be read, and is read again before long: {why}"));
        let settings = self
            .findings
            .iter()
            .filter(|finding| finding.persists())
            .map(super::check::Finding::advice);
        let now = now();
        let reflectors = self.relays.iter().flat_map(|relay| {
            relay.engine.other_reflectors(now).map(|(link, address)| {
                let link = link_name(&relay.links, link);
                format!(
                    "{link}: {address} reflects names as well; nothing that it sends is reflected. \
                     One of the two is enough"
                )
            })
        });
        let notes = self.rejection.iter().chain(&self.remarks).chain(&self.notes).cloned();
        let rules = self.rulebook.warnings(&self.models());
        waiting
            .chain(faults)
            .chain(refusal)
            .chain(settings)
            .chain(reflectors)
            .chain(notes)
            .chain(rules)
            .collect()
    }

    /// Says why nothing can be announced on the links of this name, if that is so.
    fn check_link(&self, name: &str) -> Result<(), String> {
        if self.relays.iter().any(|relay| !devices_called(relay, Some(name)).is_empty()) {
            return Ok(());
        }
        let mut configured = self.links().filter(|member| member.name == name);
        if let Some(note) = configured.find_map(Member::note) {
            return Err(format!("{name} is not there: {note}"));
        }
        let links: Vec<&str> = self.links().map(|member| member.name.as_str()).collect();
        Err(format!("there is no link {name}; the links are {}", links.join(", ")))
    }

    /// What requests about rules are judged by.
    fn grounds(&self, now: Instant) -> Grounds<'_> {
        Grounds { config: &self.config, can_persist: self.rulebook.can_persist(), now }
    }

    fn relay_status(&self, relay: &Relay, now: Instant) -> RelayStatus {
        let model = &relay.model;
        let scopes = relay.engine.prefixes(now);
        let mut prefixes: Vec<String> = scopes.map(|scope| scope.prefix.to_string()).collect();
        prefixes.sort();
        prefixes.dedup();
        let added = self.rulebook.granted().for_relay(model);
        let rules = added.len() + model.rules.len() + usize::from(built_in(model).is_some());
        RelayStatus {
            name: model.name.clone(),
            kind: match model.kind {
                Kind::Relay => RelayKind::Relay,
                Kind::Responder => RelayKind::Responder,
            },
            links: model.links.iter().map(relay_link).collect(),
            prefixes,
            rules: rules as u64,
            names: names_status(relay, now),
        }
    }

    fn link_statuses(&mut self) -> Vec<LinkStatus> {
        // Asked for anew: nobody else needs them here, and this is rare.
        let addresses =
            Connection::open().and_then(|mut kernel| kernel.addresses()).unwrap_or_default();
        let now = now();
        let mut statuses = Vec::new();
        for relay in &mut self.relays {
            for member in relay.links.iter() {
                for device in member.devices() {
                    let link = device.id();
                    let mut status = device_status(member, device, &addresses);
                    status.relay.clone_from(&relay.model.name);
                    let scopes = relay.engine.prefixes(now);
                    let own = scopes.filter(|scope| scope.link == Some(link));
                    status.prefixes = own.map(|scope| scope.prefix.to_string()).collect();
                    let groups = relay.executor.groups(link) + relay.ports.groups(link);
                    status.groups = groups as u64;
                    let traffic = relay.ports.traffic(link);
                    status.received = traffic.received;
                    status.sent = traffic.sent;
                    status.dropped = traffic.dropped;
                    status.overflows = relay.ports.overflows(link);
                    status.reopened = relay.ports.reopened(link);
                    if let Some(reason) = relay.ports.link_fault(link) {
                        status.state = LinkState::Waiting;
                        status.waiting = Some(reason.to_owned());
                    }
                    statuses.push(status);
                }
                if let Some(note) = member.note() {
                    let relay = relay.model.name.clone();
                    statuses.push(LinkStatus { relay, ..waiting_status(member, note) });
                }
            }
        }
        statuses
    }
}

/// What the names of counters begin with that are about names.
pub(crate) const NAMES_COUNTERS: &str = "names_";

/// The devices of the links that are configured by this name, or the device of this name; all if
/// none is given.
fn devices_called(relay: &Relay, name: Option<&str>) -> Vec<LinkId> {
    let mut found = Vec::new();
    for member in relay.links.iter() {
        let is_meant =
            |device: &&Device| name.is_none_or(|name| member.name == name || device.name == name);
        found.extend(member.devices().iter().filter(is_meant).map(Device::id));
    }
    found
}

/// How the reflection of names is doing, if any cross.
fn names_status(relay: &Relay, now: Instant) -> Option<NamesStatus> {
    relay.model.mdns.as_ref()?;
    Some(NamesStatus {
        records: relay.engine.names(now).count() as u64,
        reflectors: relay
            .engine
            .other_reflectors(now)
            .map(|(link, address)| Reflector { link: link_name(&relay.links, link), address })
            .collect(),
        counters: relay
            .engine
            .counters()
            .iter()
            .filter_map(|(name, count)| {
                Some((name.strip_prefix(NAMES_COUNTERS)?.to_owned(), count))
            })
            .collect(),
    })
}

/// Which names were seen to have which address, on which link.
fn names_of_addresses(relay: &Relay, now: Instant) -> BTreeMap<(LinkId, IpAddr), BTreeSet<String>> {
    let mut names: BTreeMap<_, BTreeSet<String>> = BTreeMap::new();
    for view in relay.engine.names(now) {
        if let Some(address) = view.address {
            names.entry((view.link, address)).or_default().insert(view.name);
        }
    }
    names
}

fn name_record(view: NameView, relay: &Relay) -> Name {
    let name = |link| link_name(&relay.links, link);
    Name {
        to: crossings(&view, name),
        name: view.name,
        record_type: view.kind,
        data: view.data,
        address: view.address,
        relay: relay.model.name.clone(),
        link: name(view.link),
        source: view.source,
        seen_seconds: view.seen.as_secs(),
        remaining_seconds: view.remaining.as_secs(),
    }
}

fn host(binding: &BindingView, links: &Links) -> Host {
    Host {
        address: IpAddr::V6(binding.target),
        link: link_name(links, binding.link),
        lladdr: binding.lladdr.map(|lladdr| lladdr.to_string()),
        state: host_state(binding.state),
        age_seconds: binding.seen.as_secs(),
        evidence: binding.evidence.label().to_owned(),
        router: binding.router,
        route: match binding.route {
            RouteView::None => RouteState::None,
            RouteView::Pending => RouteState::Pending,
            RouteView::Installed => RouteState::Installed,
            RouteView::Foreign => RouteState::Foreign,
        },
        names: Vec::new(),
    }
}

fn host_route(route: &HostRouteView, relay: &Relay) -> HostRoute {
    let Mark { table, metric, protocol, .. } = relay.mark();
    let (state, errno) = match route.status {
        RouteStatus::Installed => (HostRouteState::Installed, None),
        RouteStatus::Adopted => (HostRouteState::Adopted, None),
        RouteStatus::Wanted => (HostRouteState::Wanted, None),
        RouteStatus::Refused { errno } => (HostRouteState::Refused, Some(errno)),
        RouteStatus::Foreign => (HostRouteState::Foreign, None),
        RouteStatus::Obsolete => (HostRouteState::Obsolete, None),
    };
    HostRoute {
        address: IpAddr::V6(route.target),
        link: link_name(&relay.links, route.link),
        ifindex: route.link.0,
        table,
        metric,
        protocol,
        state,
        error: errno.map(|errno| io::Error::from_raw_os_error(errno).to_string()),
        leads_to: route.leads_to.map(|link| link_name(&relay.links, link)),
        relay: relay.model.name.clone(),
        host: route.binding.as_ref().map(|binding| RouteReason {
            evidence: binding.evidence.label().to_owned(),
            state: host_state(binding.state),
            lladdr: binding.lladdr.map(|lladdr| lladdr.to_string()),
            confirmed_seconds: binding.confirmed.map(|ago| ago.as_secs()),
        }),
    }
}

fn relay_link(link: &model::Link) -> RelayLink {
    let role = link.role.map(|role| match role {
        Role::Upstream => "upstream",
        Role::Downstream => "downstream",
    });
    RelayLink {
        name: link.name.clone(),
        role: role.map(ToOwned::to_owned),
        only_probed: link.only_probed,
    }
}

/// What every relay does without a rule.
fn built_in(model: &model::Relay) -> Option<Rule> {
    let rule = model::Rule::new(RulePrefix::Auto, Method::Probe);
    (model.kind == Kind::Relay).then(|| shown(&rule, &model.name, RuleSource::BuiltIn))
}

fn added_rule(grant: &Grant, now: Instant) -> Rule {
    Rule {
        owner: Some(grant.owner.clone()),
        // Rather a second more than none at all.
        remaining_seconds: grant.term.map(|term| term.until.since(now).as_secs() + 1),
        persist: grant.persist,
        ..shown(&grant.rule, &grant.relay, RuleSource::Added)
    }
}

fn refusal(error: &GrantError) -> RuleRefusal {
    RuleRefusal { reason: Chain(error).to_string(), index: None }
}

fn shown(rule: &model::Rule, relay: &str, source: RuleSource) -> Rule {
    Rule {
        relay: relay.to_owned(),
        prefix: rule.prefix.to_string(),
        method: match rule.method {
            Method::Static => RuleMethod::Static,
            Method::Route => RuleMethod::Route,
            Method::Probe => RuleMethod::Probe,
            Method::Deny => RuleMethod::Deny,
        },
        on: rule.on.clone(),
        to: rule.to.clone(),
        source,
        owner: None,
        remaining_seconds: None,
        persist: source != RuleSource::Added,
        active: true,
    }
}

fn device_status(member: &Member, device: &Device, addresses: &[AddressEvent]) -> LinkStatus {
    let own = addresses
        .iter()
        .filter(|address| device.ifindex == address.ifindex)
        .map(|address| format!("{}/{}", address.address, address.prefix_len))
        .collect();
    let label = member.label(device);
    LinkStatus {
        name: label.to_owned(),
        selector: member.name.clone(),
        device: (device.name != label).then(|| device.name.clone()),
        bare: device.lladdr.is_none(),
        ifindex: Some(device.ifindex),
        lladdr: device.lladdr.map(|lladdr| lladdr.to_string()),
        state: match (device.up, device.carrier) {
            (false, _) => LinkState::Down,
            (true, false) => LinkState::NoCarrier,
            (true, true) => LinkState::Up,
        },
        addresses: own,
        ..LinkStatus::default()
    }
}

fn waiting_status(member: &Member, note: String) -> LinkStatus {
    LinkStatus {
        name: member.name.clone(),
        selector: member.name.clone(),
        state: match member.obstacle() {
            None if member.passes_over() => LinkState::Waiting,
            None | Some(Obstacle::Missing) => LinkState::Missing,
            Some(_) => LinkState::Waiting,
        },
        waiting: Some(note),
        ..LinkStatus::default()
    }
}

fn host_state(state: BindingState) -> HostState {
    match state {
        BindingState::Tentative => HostState::Tentative,
        BindingState::Candidate => HostState::Candidate,
        BindingState::Reachable => HostState::Reachable,
        BindingState::Stale => HostState::Stale,
        BindingState::Probing => HostState::Probing,
    }
}
