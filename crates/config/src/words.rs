//! The words that settings choose from, in both directions.

use magpie_engine::{
    Addresses, Announce, Conflicts, NaSource, OtherService, RoutePolicy, RouterFlag,
};

use crate::model::{BridgePort, LogLevel, Role};

pub(crate) const LOG_LEVELS: [(&str, LogLevel); 5] = [
    ("error", LogLevel::Error),
    ("warning", LogLevel::Warning),
    ("info", LogLevel::Info),
    ("verbose", LogLevel::Verbose),
    ("debug", LogLevel::Debug),
];

pub(crate) const NA_SOURCES: [(&str, NaSource); 3] = [
    ("link-local", NaSource::LinkLocal),
    ("global", NaSource::Global),
    ("target", NaSource::Target),
];

pub(crate) const ROUTER_FLAGS: [(&str, RouterFlag); 3] =
    [("auto", RouterFlag::Auto), ("on", RouterFlag::On), ("off", RouterFlag::Off)];

pub(crate) const ROUTE_POLICIES: [(&str, RoutePolicy); 3] =
    [("needed", RoutePolicy::Needed), ("all", RoutePolicy::All), ("none", RoutePolicy::Never)];

pub(crate) const ROLES: [(&str, Role); 2] =
    [("upstream", Role::Upstream), ("downstream", Role::Downstream)];

pub(crate) const BRIDGE_PORTS: [(&str, BridgePort); 2] =
    [("refuse", BridgePort::Refuse), ("bridge", BridgePort::UseBridge)];

pub(crate) const ANNOUNCEMENTS: [(&str, Announce); 2] =
    [("moves", Announce::Moves), ("hosts", Announce::Hosts)];

pub(crate) const ADDRESSES: [(&str, Addresses); 3] = [
    ("reachable", Addresses::Reachable),
    ("with-ipv4", Addresses::WithIpv4),
    ("all", Addresses::All),
];

pub(crate) const CONFLICTS: [(&str, Conflicts); 2] =
    [("propagate", Conflicts::Propagate), ("isolate", Conflicts::Isolate)];

pub(crate) const OTHER_SERVICES: [(&str, OtherService); 2] =
    [("ssdp", OtherService::Ssdp), ("ws-discovery", OtherService::WsDiscovery)];

/// What stands for that which is found out.
pub(crate) const AUTO: &str = "auto";

/// Returns the word for a setting.
pub(crate) fn word<T: PartialEq>(words: &[(&'static str, T)], setting: &T) -> &'static str {
    words.iter().find(|(_, meaning)| meaning == setting).map_or("", |(word, _)| word)
}
