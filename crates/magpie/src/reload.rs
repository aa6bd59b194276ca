//! Exchanges the configuration of a running service, completely or not at all.

use std::collections::{BTreeMap, BTreeSet};

use magpie_config::model;
use magpie_control::{Event, EventKind};
use magpie_engine::{Config, Instant, LinkId};
use magpie_sys::netlink::NetlinkError;
use magpie_sys::packet::PacketError;

use crate::attach::{purpose, socket_options};
use crate::devices::Devices;
use crate::granted::Granted;
use crate::journal::link_name;
use crate::kernel::Snapshot;
use crate::links::{self, Device, Links};
use crate::memory::Saving;
use crate::obstacle::Obstacle;
use crate::port::{Channel, Port, PortId};
use crate::relay::Relay;
use crate::service::{Service, ServiceError};
use crate::settings::{self, Settings, SettingsError};
use crate::{Chain, log, systemd};

/// The configuration stays as it is.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReloadError {
    /// There is no other configuration to run with.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// The network cannot be read.
    #[error(transparent)]
    Service(#[from] ServiceError),
    /// An interface can never be a link.
    #[error("cannot use the interface {name}: {obstacle}")]
    Unusable {
        /// Its name.
        name: String,
        /// Why.
        obstacle: Obstacle,
    },
    /// A link that is there cannot be used.
    #[error("cannot use the interface {name}")]
    Refused {
        /// Its name.
        name: String,
        /// Why.
        source: PacketError,
    },
    /// A relay cannot be added.
    #[error("cannot start {name}")]
    Start {
        /// Its name.
        name: String,
        /// Why.
        source: NetlinkError,
    },
}

/// Everything that another configuration takes and that might have failed.
#[derive(Debug)]
struct Draft {
    /// In the order of the configuration.
    relays: Vec<Drafted>,
    /// What becomes of those that are there, by position.
    changes: BTreeMap<usize, (model::Relay, Config)>,
    /// Sockets of links that are there and were not served so far, each with the position of its
    /// relay in the configuration.
    ports: Vec<(usize, PortId, Port)>,
    /// Rules that were added at run time, for the names that the relays have now.
    granted: Granted,
}

/// A relay or responder of another configuration.
#[derive(Debug)]
enum Drafted {
    /// One that is there, by position.
    Kept(usize),
    New(Box<Relay>),
}

impl Service {
    /// Saves what is known, and reads the configuration and the network anew. If anything is wrong
    /// with the configuration, nothing changes, and operators are told why.
    pub(crate) fn renew(&mut self, now: Instant) -> Result<(), ReloadError> {
        systemd::reloading();
        self.save(Saving::AtOnce, now);
        let renewed = settings::read(&self.launch)
            .map_err(ReloadError::from)
            .and_then(|settings| self.exchange(settings, now));
        let summary = self.summary();
        match &renewed {
            Ok(()) => {
                self.rejection = None;
                tracing::info!("reloaded: {summary}");
            }
            Err(error) => {
                let reason = match error {
                    ReloadError::Service(_) => "reload it once more",
                    _ => "the new one cannot be used",
                };
                let why = format!("the configuration stays as it is; {reason}: {}", Chain(error));
                tracing::error!("{why}");
                self.rejection = Some(why);
            }
        }
        systemd::ready(&summary);
        renewed
    }

    /// Puts another configuration into force, or fails and leaves everything as it is.
    fn exchange(&mut self, settings: Settings, now: Instant) -> Result<(), ReloadError> {
        let Settings { config, mut warnings } = settings;
        let model::Config { daemon, relays, .. } = config;
        // Before the network is read, so that nothing is missed in between.
        self.follow_ipv4(&relays);
        let snapshot = self.look(now)?;
        let draft = match self.draft(relays.clone(), &snapshot, now) {
            Ok(draft) => draft,
            Err(error) => {
                // What was announced before the network was read is in there alone.
                self.take(&snapshot, now);
                return Err(error);
            }
        };
        warnings.extend(pending(&self.config.daemon, &daemon));
        for warning in &warnings {
            tracing::warn!("{warning}");
        }
        self.remarks = warnings;
        log::set_level(daemon.log_level);
        self.set_fixing(daemon.fix_sysctls);
        self.config.daemon.log_level = daemon.log_level;
        self.config.daemon.fix_sysctls = daemon.fix_sysctls;
        self.config.relays = relays;
        self.apply(draft, snapshot, now);
        Ok(())
    }

    /// Does all that might fail.
    fn draft(
        &self,
        models: Vec<model::Relay>,
        snapshot: &Snapshot,
        now: Instant,
    ) -> Result<Draft, ReloadError> {
        let before: Vec<Identity<'_>> =
            self.relays.iter().map(|relay| identity(&relay.model)).collect();
        let present: Vec<Identity<'_>> = models.iter().map(identity).collect();
        let kept = match_up(&before, &present);
        let names: Vec<(String, String)> = models
            .iter()
            .zip(&kept)
            .filter_map(|(model, kept)| {
                Some((before.get((*kept)?)?.0.to_owned(), model.name.clone()))
            })
            .collect();
        let granted = self.rulebook.renamed(&names, &models);
        let ports = self.open_new(&models, &kept, snapshot)?;
        let (relays, changes) = (Vec::new(), BTreeMap::new());
        let mut draft = Draft { relays, changes, ports, granted };
        for (model, kept) in models.into_iter().zip(kept) {
            let config = settings::engine_config(&model, draft.granted.for_relay(&model));
            if let Some(index) = kept {
                draft.changes.insert(index, (model, config));
                draft.relays.push(Drafted::Kept(index));
            } else {
                let name = model.name.clone();
                let relay = Relay::open(model, config, now)
                    .map_err(|source| ReloadError::Start { name, source })?;
                draft.relays.push(Drafted::New(Box::new(relay)));
            }
        }
        Ok(draft)
    }

    /// Opens the sockets of links that are there and were not served so far by the relay that is
    /// to serve them.
    fn open_new(
        &self,
        models: &[model::Relay],
        kept: &[Option<usize>],
        snapshot: &Snapshot,
    ) -> Result<Vec<(usize, PortId, Port)>, ReloadError> {
        let before = |place: usize| self.relays.get(kept.get(place).copied().flatten()?);
        let names = names(models);
        let links_of = |(place, model): (usize, &model::Relay)| match before(place) {
            Some(relay) => relay.links.configured(model, &names),
            None => Links::new(model),
        };
        let mut places: Vec<Links> = models.iter().enumerate().map(links_of).collect();
        let devices: Devices = snapshot.links.iter().cloned().collect();
        links::settle(places.iter_mut(), &devices);
        let mut ports = Vec::new();
        for ((place, links), model) in places.iter().enumerate().zip(models) {
            let was_asked_for =
                |name| before(place).is_some_and(|relay| relay.links.by_name(name).is_some());
            for member in links.iter().filter(|member| !was_asked_for(&member.name)) {
                let name = || member.name.clone();
                if let Some(obstacle) = member.obstacle().filter(|obstacle| obstacle.is_mistake()) {
                    return Err(ReloadError::Unusable { name: name(), obstacle: obstacle.clone() });
                }
                // One of many that fails is tried again later.
                let devices = member.devices().iter().filter(|_| !member.is_plural());
                for device in devices {
                    let configured = model.links.iter().find(|link| link.name == member.name);
                    let ids = Channel::ALL.map(|channel| channel.of(device.id()));
                    for id in ids.into_iter().filter(|id| !self.has_port(*id)) {
                        let replies = before(place).and_then(Relay::replies);
                        let Some(purpose) = purpose(model, id.channel, replies) else { continue };
                        let options = socket_options(device, configured, purpose);
                        let port = self
                            .open(id, options)
                            .map_err(|source| ReloadError::Refused { name: name(), source })?;
                        ports.push((place, id, port));
                    }
                }
            }
        }
        Ok(ports)
    }

    /// Whether there is this socket already.
    fn has_port(&self, id: PortId) -> bool {
        self.relays.iter().any(|relay| relay.ports.get(id).is_some())
    }

    /// Puts a draft into force.
    fn apply(&mut self, draft: Draft, mut snapshot: Snapshot, now: Instant) {
        let Draft { relays, mut changes, ports, granted } = draft;
        self.rulebook.replace(granted, now);
        let names = names(&self.config.relays);
        for index in 0..self.relays.len() {
            let Some(relay) = self.relays.get_mut(index) else { continue };
            let devices = relay.links.devices().map(Device::id);
            let labels: Vec<(LinkId, String)> =
                devices.map(|link| (link, link_name(&relay.links, link))).collect();
            let (own, rest) = std::mem::take(&mut snapshot.routes)
                .into_iter()
                .partition(|route| relay.owns(route));
            snapshot.routes = rest;
            if let Some((model, config)) = changes.remove(&index) {
                snapshot.routes.extend(relay.convert(model, config, &names, own, now));
            } else {
                tracing::info!("{} is not configured any longer", relay.model.name);
                relay.shut_down(now);
            }
            self.tell_events(index, &labels, now);
            self.tell_left(index, labels, now);
        }
        let mut before: Vec<Option<Relay>> = self.relays.drain(..).map(Some).collect();
        self.relays.extend(relays.into_iter().filter_map(|drafted| match drafted {
            Drafted::Kept(index) => before.get_mut(index).and_then(Option::take),
            Drafted::New(relay) => Some(*relay),
        }));
        drop(before);
        for (place, id, port) in ports {
            if let Some(relay) = self.relays.get_mut(place) {
                relay.ports.insert(id, port);
            }
        }
        for warning in self.rulebook.warnings(&self.models()) {
            tracing::warn!("{warning}");
        }
        self.take(&snapshot, now);
    }

    /// Tells which links of a relay are so no longer.
    fn tell_left(&mut self, relay: usize, links: Vec<(LinkId, String)>, now: Instant) {
        for (link, label) in links {
            let is_kept = |relay: &Relay| relay.links.id(link.0).is_some();
            if self.relays.get(relay).is_some_and(is_kept) {
                continue;
            }
            let detail = Some("not configured any longer".to_owned());
            let event = Event { link: Some(label), detail, ..Event::new(EventKind::LinkChanged) };
            self.tell(event, now);
        }
    }
}

/// The names of all links that are asked for by name.
fn names(models: &[model::Relay]) -> BTreeSet<String> {
    let links = models.iter().flat_map(|model| &model.links);
    links.filter(|link| !link.is_plural()).map(|link| link.name.clone()).collect()
}

/// What a relay is known by: its name and those of its links.
pub(crate) type Identity<'a> = (&'a str, Vec<&'a str>);

/// What this relay is known by.
pub(crate) fn identity(model: &model::Relay) -> Identity<'_> {
    (&model.name, model.links.iter().map(|link| link.name.as_str()).collect())
}

/// Which relay that was there each of the configuration is: the one of its name, or else the one
/// with which it has most links in common, since names that nobody gave are made of the links.
pub(crate) fn match_up(before: &[Identity<'_>], present: &[Identity<'_>]) -> Vec<Option<usize>> {
    let mut kept: Vec<Option<usize>> = present
        .iter()
        .map(|(name, _)| before.iter().position(|(former, _)| former == name))
        .collect();
    for (place, (_, links)) in present.iter().enumerate() {
        if kept.get(place) != Some(&None) {
            continue;
        }
        let best = before
            .iter()
            .enumerate()
            .filter(|(index, _)| !kept.contains(&Some(*index)))
            .map(|(index, (_, former))| {
                (links.iter().filter(|link| former.contains(link)).count(), index)
            })
            .filter(|(count, _)| *count > 0)
            .max_by_key(|(count, index)| (*count, std::cmp::Reverse(*index)));
        if let Some(slot) = kept.get_mut(place) {
            *slot = best.map(|(_, index)| index);
        }
    }
    kept
}

/// What of the configuration waits for the daemon to be started anew.
fn pending(present: &model::Daemon, wanted: &model::Daemon) -> Vec<String> {
    let name = |path: &Option<std::path::PathBuf>| {
        path.as_ref().map_or_else(|| "the default".to_owned(), |path| path.display().to_string())
    };
    let places = [
        ("control socket", &present.control, &wanted.control),
        ("state file", &present.state_file, &wanted.state_file),
    ];
    let changed = places.into_iter().filter(|(_, present, wanted)| present != wanted);
    changed
        .map(|(what, _, wanted)| {
            format!("the {what} becomes {} when magpie is started anew", name(wanted))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_relay_is_known_by_its_name_or_by_its_links() {
        let relay = |name: &str, links: &[&str]| {
            let links = links.iter().copied();
            model::Relay { name: name.to_owned(), ..model::Relay::new(model::Kind::Relay, links) }
        };
        let before = [relay("home", &["wan", "lan"]), relay("a+b", &["a", "b"])];
        let before: Vec<Identity<'_>> = before.iter().map(identity).collect();
        let cases = [
            (vec![relay("a+b", &["a", "b"]), relay("home", &["x", "y"])], vec![Some(1), Some(0)]),
            (vec![relay("a+b+c", &["a", "b", "c"])], vec![Some(1)]),
            (vec![relay("new", &["lan", "z"]), relay("home", &["wan", "w"])], vec![None, Some(0)]),
            (vec![relay("other", &["z"])], vec![None]),
        ];
        for (models, expected) in cases {
            let present: Vec<Identity<'_>> = models.iter().map(identity).collect();
            assert_eq!(match_up(&before, &present), expected, "{present:?}");
        }
    }

    #[test]
    fn what_waits_for_a_new_start_is_named() {
        let present = model::Daemon::default();
        assert_eq!(pending(&present, &present), [] as [String; 0]);
        let wanted = model::Daemon { control: Some("/run/x".into()), ..model::Daemon::default() };
        assert_eq!(
            pending(&present, &wanted),
            ["the control socket becomes /run/x when magpie is started anew"]
        );
        assert!(pending(&wanted, &present)[0].contains("the default"));
    }
}
