//! Assembles the daemon from the command line and runs it.

use std::path::Path;
use std::process::ExitCode;

use magpie_config::model::{self, Selector};
use magpie_config::suggest::closest;
use magpie_control::{BindError, Server};
use magpie_sys::netlink::{Connection, LinkEvent};
use magpie_sys::signal::{SignalError, Signals};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::thread::CapabilitySet;

use crate::Chain;
use crate::cli::{DEFAULT_CONTROL, Launch};
use crate::commands::{UNUSABLE, mistakes};
use crate::driver::{Driver, DriverError};
use crate::granted::Content;
use crate::ledger::Ledger;
use crate::obstacle::Obstacle;
use crate::rulebook::Rulebook;
use crate::service::{Plan, Service, ServiceError, now};
use crate::settings::Settings;
use crate::state::{Saved, StateError, StateFile};
use crate::{log, settings, systemd};

/// The daemon could not be started, or could not go on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RunError {
    /// Privileges are missing.
    #[error(
        "this takes the capabilities CAP_NET_ADMIN and CAP_NET_RAW, of which {missing} is missing: \
         run it with sudo, or once `setcap cap_net_raw,cap_net_admin+ep {program}`"
    )]
    Capability {
        /// Which.
        missing: &'static str,
        /// Where this program is.
        program: String,
    },
    /// An interface can never be a link of a relay.
    #[error("cannot use the interface {name}: {why}")]
    Unusable {
        /// Its name.
        name: String,
        /// Why.
        why: String,
    },
    /// Signals cannot be received.
    #[error(transparent)]
    Signal(#[from] SignalError),
    /// The state file cannot be used.
    #[error(transparent)]
    State(#[from] StateError),
    /// The control socket that was asked for cannot be had.
    #[error("cannot offer control")]
    Control(#[from] BindError),
    /// The network cannot be read.
    #[error(transparent)]
    Service(#[from] ServiceError),
    /// The work had to end.
    #[error(transparent)]
    Driver(#[from] DriverError),
}

/// Runs the daemon until it is told to stop; says what is wrong if it cannot.
pub(crate) fn run(launch: &Launch) -> ExitCode {
    let settings = match settings::read(launch) {
        Ok(settings) => settings,
        Err(error) => {
            eprintln!("{}", mistakes(&error).trim_end());
            return ExitCode::from(UNUSABLE);
        }
    };
    match serve(launch, settings) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("magpie: {}", Chain(&error));
            ExitCode::FAILURE
        }
    }
}

fn serve(launch: &Launch, settings: Settings) -> Result<(), RunError> {
    let Settings { config, warnings } = settings;
    log::start(config.daemon.log_level);
    check_capabilities()?;
    raise_descriptor_limit();
    // Before anything is changed, so that a signal finds a way to undo it.
    let signals = Signals::block()?;
    for warning in &warnings {
        tracing::warn!("{warning}");
    }
    let mut notes = Vec::new();
    let server = listen(config.daemon.control.as_deref(), &mut notes)?;
    let state = config.daemon.state_file.as_deref().map(StateFile::new).transpose()?;
    let (state, saved) = load(state, &config, &mut notes);
    let rulebook = load_rules(&config, &mut notes);
    let launch = launch.clone();
    let mut service = Service::new(Plan { launch, config, rulebook, state, saved })?;
    service.notes = notes;
    service.remarks = warnings;
    if let Err(error) = start(&mut service) {
        service.shut_down(now());
        return Err(error);
    }
    let status = service.summary();
    tracing::info!(version = env!("CARGO_PKG_VERSION"), "{status}");
    let driver = Driver::new(service, signals, server)?;
    systemd::ready(&status);
    Ok(driver.run()?)
}

/// Reads the network for the first time, and speaks up about links that are not there.
fn start(service: &mut Service) -> Result<(), RunError> {
    service.resync(now())?;
    let absent: Vec<(&str, &Obstacle)> = service
        .links()
        .filter_map(|member| Some((member.name.as_str(), member.obstacle()?)))
        .collect();
    if absent.is_empty() {
        return Ok(());
    }
    let others = Connection::open()
        .and_then(|mut kernel| kernel.links())
        .map_err(|error| RunError::Service(error.into()))?;
    for (name, obstacle) in absent {
        if obstacle.is_mistake() {
            let why = obstacle.to_string();
            return Err(RunError::Unusable { name: name.to_owned(), why });
        }
        if *obstacle == Obstacle::Missing {
            tracing::warn!("{}", explain_missing(name, &others));
        }
    }
    Ok(())
}

fn explain_missing(name: &str, links: &[LinkEvent]) -> String {
    let candidates: Vec<&str> = links
        .iter()
        .filter(|link| link.link_type == LinkEvent::ETHERNET || link.is_bare())
        .filter(|link| !link.is_bridge_port())
        .map(|link| link.name.as_str())
        .collect();
    let hint = closest(name, candidates.iter().copied())
        .map(|meant| format!(" (did you mean {meant}?)"))
        .unwrap_or_default();
    let there = if candidates.is_empty() { "none".to_owned() } else { candidates.join(", ") };
    format!(
        "there is no interface {name} yet{hint}; it will be used when it comes. \
         Interfaces that could be used: {there}"
    )
}

fn check_capabilities() -> Result<(), RunError> {
    // Where they cannot be asked for, the first attempt to use them will tell.
    let Ok(sets) = rustix::thread::capabilities(None) else { return Ok(()) };
    for (capability, missing) in
        [(CapabilitySet::NET_ADMIN, "CAP_NET_ADMIN"), (CapabilitySet::NET_RAW, "CAP_NET_RAW")]
    {
        if !sets.effective.contains(capability) {
            let program = std::env::current_exe()
                .map_or_else(|_| "magpie".to_owned(), |path| path.display().to_string());
            return Err(RunError::Capability { missing, program });
        }
    }
    Ok(())
}

/// Makes room for as many links as there may be: each takes a descriptor, and what a process gets
/// unasked is a thousand of them.
fn raise_descriptor_limit() {
    let limit = getrlimit(Resource::Nofile);
    // Without it there is room for fewer, and what there is no room for waits.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
}

/// Opens the control socket. The usual one is a convenience; one that was asked for is needed.
fn listen(path: Option<&Path>, notes: &mut Vec<String>) -> Result<Option<Server>, RunError> {
    let wanted = path.unwrap_or(Path::new(DEFAULT_CONTROL));
    match Server::bind(wanted) {
        Ok(server) => Ok(Some(server)),
        Err(error) if path.is_some() => Err(error.into()),
        Err(error @ BindError::InUse { .. }) => {
            note(notes, format!("{}: give this one another --control", Chain(&error)));
            Ok(None)
        }
        Err(error) => {
            note(notes, format!("`magpie status` will not work: {}", Chain(&error)));
            Ok(None)
        }
    }
}

/// Reads what was saved on links that are served now; a file that is none of ours is let go of.
fn load(
    file: Option<StateFile>,
    config: &model::Config,
    notes: &mut Vec<String>,
) -> (Option<StateFile>, Vec<Saved>) {
    let Some(mut file) = file else { return (None, Vec::new()) };
    let mut content = match file.load() {
        Ok(content) => content,
        Err(error) => {
            note(notes, format!("starting without the saved state: {}", Chain(&error)));
            let kept = !matches!(error, StateError::Foreign { .. });
            return (kept.then_some(file), Vec::new());
        }
    };
    for complaint in &content.complaints {
        note(notes, format!("{}: {complaint}; it is left out", file.path().display()));
    }
    // What it is that they belong to, or of what kind, is not known of interfaces that are away.
    let may_be = |link: &model::Link, name: &str| match link.selector() {
        Selector::Kind(_) | Selector::Master(_) => true,
        selector => selector.matches(name, None, None),
    };
    content.hosts.retain(|host| {
        let mut links = config.relays.iter().flat_map(|relay| &relay.links);
        let is_served = links.any(|link| may_be(link, &host.link));
        if !is_served {
            let link = host.link.as_str();
            tracing::info!(address = %host.target, link, "was saved on a link of no concern now");
        }
        is_served
    });
    (Some(file), content.hosts)
}

/// Reads the rules that were added in earlier runs and are to last.
fn load_rules(config: &model::Config, notes: &mut Vec<String>) -> Rulebook {
    let Some(mut ledger) = config.daemon.state_file.as_deref().map(Ledger::beside) else {
        return Rulebook::default();
    };
    let now = now();
    let Content { granted, complaints } = ledger.load(now);
    for complaint in complaints {
        note(notes, complaint);
    }
    let mut rulebook = Rulebook::new(granted, Some(ledger));
    rulebook.find_relays(&config.relays, now);
    for warning in rulebook.warnings(&config.relays.iter().collect::<Vec<_>>()) {
        tracing::warn!("{warning}");
    }
    rulebook
}

fn note(notes: &mut Vec<String>, text: String) {
    tracing::warn!("{text}");
    notes.push(text);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::links::samples::{bridge_port, device};

    #[test]
    fn a_missing_interface_is_answered_with_those_there_are() {
        let links = [device(3, "br-lan"), bridge_port(4, "eth1", 3), device(5, "wan")];
        let text = explain_missing("brlan", &links);
        assert!(text.contains("did you mean br-lan?"), "{text}");
        assert!(text.ends_with("used: br-lan, wan"), "{text}");
        assert!(!explain_missing("wlp3s0", &links).contains("did you mean"));
        assert!(explain_missing("wan", &[]).ends_with("none"));
    }
}
