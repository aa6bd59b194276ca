//! Answers those who ask how the daemon is doing.

use std::collections::BTreeMap;
use std::net::IpAddr;

use magpie_control::{Guard, Handler, Host, HostState, LinkState, LinkStatus, RouteState, Status};
use magpie_engine::{BindingState, BindingView, RouteView};
use magpie_sys::netlink::{AddressEvent, Connection};

use crate::Chain;
use crate::journal::link_name;
use crate::links::{Member, Obstacle, Presence};
use crate::memory::Saving;
use crate::service::{Service, now};

impl Handler for Service {
    fn status(&mut self) -> Status {
        let now = now();
        let mut bindings = BTreeMap::new();
        let mut routes_installed = 0;
        for binding in self.relay.engine.bindings(now) {
            *bindings.entry(host_state(binding.state)).or_default() += 1;
            routes_installed += u64::from(binding.route == RouteView::Installed);
        }
        let mut prefixes: Vec<String> =
            self.relay.engine.prefixes(now).map(|scope| scope.prefix.to_string()).collect();
        prefixes.sort();
        prefixes.dedup();
        let mut counters: BTreeMap<String, u64> = self.relay.engine.counters().iter().collect();
        counters.insert("held_down".to_owned(), self.relay.engine.held_down() as u64);
        counters.insert("frames_without_link".to_owned(), self.relay.ports.astray());
        Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            uptime_seconds: now.since(self.started).as_secs(),
            links: self.link_statuses(),
            prefixes,
            bindings,
            routes_installed,
            resolutions: self.relay.engine.resolutions() as u64,
            guard: Guard {
                active: self.shield.is_up(),
                reason: self.shield.gap().map(ToOwned::to_owned),
            },
            warnings: self.warnings(),
            counters,
        }
    }

    fn hosts(&mut self) -> Vec<Host> {
        let mut hosts: Vec<Host> =
            self.relay.engine.bindings(now()).map(|binding| self.host(&binding)).collect();
        hosts.sort_by_key(|host| host.address);
        hosts
    }

    fn reload(&mut self) -> Result<(), String> {
        let now = now();
        self.save(Saving::AtOnce, now);
        self.resync(now).map_err(|error| Chain(&error).to_string())
    }
}

impl Service {
    /// What an operator should look at, in whole sentences.
    pub(crate) fn warnings(&self) -> Vec<String> {
        let waiting = self.links.iter().filter_map(|member| {
            member.obstacle().map(|obstacle| format!("{}: {obstacle}", member.name))
        });
        let settings = self
            .findings
            .iter()
            .filter(|finding| finding.persists())
            .map(super::check::Finding::advice);
        waiting.chain(settings).chain(self.notes.iter().cloned()).collect()
    }

    fn link_statuses(&mut self) -> Vec<LinkStatus> {
        // Asked for anew: nobody else needs them here, and this is rare.
        let addresses =
            Connection::open().and_then(|mut kernel| kernel.addresses()).unwrap_or_default();
        let now = now();
        let mut statuses = Vec::new();
        for member in self.links.iter() {
            let mut status = link_status(member, &addresses);
            if let Some(device) = member.device() {
                let link = device.id();
                let scopes = self.relay.engine.prefixes(now);
                let own = scopes.filter(|scope| scope.link == Some(link));
                status.prefixes = own.map(|scope| scope.prefix.to_string()).collect();
                status.groups = self.relay.executor.groups(link) as u64;
                if let Some(port) = self.relay.ports.get_mut(link) {
                    let traffic = port.traffic();
                    status.received = traffic.received;
                    status.sent = traffic.sent;
                    status.dropped = traffic.dropped;
                }
            }
            statuses.push(status);
        }
        statuses
    }

    fn host(&self, binding: &BindingView) -> Host {
        Host {
            address: IpAddr::V6(binding.target),
            link: link_name(&self.links, binding.link),
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
        }
    }
}

fn link_status(member: &Member, addresses: &[AddressEvent]) -> LinkStatus {
    let state = match &member.presence {
        Presence::Waiting(Obstacle::Missing) => LinkState::Missing,
        Presence::Waiting(_) => LinkState::Waiting,
        Presence::Present(device) => match (device.up, device.carrier) {
            (false, _) => LinkState::Down,
            (true, false) => LinkState::NoCarrier,
            (true, true) => LinkState::Up,
        },
    };
    let device = member.device();
    let own = addresses
        .iter()
        .filter(|address| device.is_some_and(|device| device.ifindex == address.ifindex))
        .map(|address| format!("{}/{}", address.address, address.prefix_len))
        .collect();
    LinkStatus {
        name: member.name.clone(),
        ifindex: device.map(|device| device.ifindex),
        lladdr: device.map(|device| device.lladdr.to_string()),
        state,
        addresses: own,
        prefixes: Vec::new(),
        received: 0,
        sent: 0,
        dropped: 0,
        groups: 0,
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
