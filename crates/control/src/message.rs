//! The values that travel: what the daemon tells about itself, its links and its hosts.
//!
//! Names of fields and values are stable. Readers accept objects with fields that they do not
//! know.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

/// How the daemon is doing.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Status {
    /// Version of the daemon.
    pub version: String,
    /// Its process identifier.
    pub pid: u32,
    /// Seconds since it started.
    pub uptime_seconds: u64,
    /// The configured links, in the order of the configuration.
    pub links: Vec<LinkStatus>,
    /// What it answers for.
    pub prefixes: Vec<String>,
    /// Hosts by state.
    pub bindings: BTreeMap<HostState, u64>,
    /// Host routes in the kernel that are its own.
    pub routes_installed: u64,
    /// Lookups under way.
    pub resolutions: u64,
    /// Whether the kernel is kept from handling what Magpie answers.
    pub guard: Guard,
    /// What an operator should look at, in whole sentences.
    pub warnings: Vec<String>,
    /// Everything that is counted, by name.
    pub counters: BTreeMap<String, u64>,
}

/// What became of one configured link.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct LinkStatus {
    /// Its name.
    pub name: String,
    /// Its interface index; none while no such link exists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ifindex: Option<u32>,
    /// Its link-layer address, as six octets in hexadecimal with colons.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lladdr: Option<String>,
    /// Whether it can be used.
    pub state: LinkState,
    /// IPv6 addresses that this host has on it.
    pub addresses: Vec<String>,
    /// On-link prefixes learned on it.
    pub prefixes: Vec<String>,
    /// Frames read from it.
    pub received: u64,
    /// Frames written to it.
    pub sent: u64,
    /// Frames that the kernel dropped for want of room in the receive buffer.
    pub dropped: u64,
    /// Multicast groups joined on it.
    pub groups: u64,
}

/// Whether a link can be used.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum LinkState {
    /// It is in use.
    Up,
    /// It is set up, but its medium is not connected.
    NoCarrier,
    /// It is switched off.
    Down,
    /// No such link exists.
    Missing,
    /// It exists and lacks something that the daemon waits for, such as an address.
    Waiting,
}

/// Whether the kernel is kept from handling what Magpie answers.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Guard {
    /// It is.
    pub active: bool,
    /// Why not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// A host that is, or may be, behind one of the links.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Host {
    /// Its address.
    pub address: IpAddr,
    /// Name of the link it is on.
    pub link: String,
    /// Its link-layer address; none until it has been heard.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lladdr: Option<String>,
    /// How sure that is.
    pub state: HostState,
    /// Seconds since it last gave a sign of life.
    pub age_seconds: u64,
    /// How it came to notice: `dad`, `solicitation`, `advertisement`, `saved`, `route` or `miss`.
    pub evidence: String,
    /// It says that it is a router.
    pub router: bool,
    /// What became of its host route.
    pub route: RouteState,
}

/// How sure the daemon is of a host.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum HostState {
    /// It is still detecting duplicates of its address (RFC 4862 section 5.4).
    Tentative,
    /// It was heard of and has not been verified.
    Candidate,
    /// It was confirmed a moment ago.
    Reachable,
    /// It was confirmed earlier.
    Stale,
    /// It is being verified.
    Probing,
}

/// What became of a host route.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum RouteState {
    /// None is wanted.
    None,
    /// The kernel has been asked for it.
    Pending,
    /// The kernel has it.
    Installed,
    /// Somebody else's route to the host is there, and is left alone.
    Foreign,
}

/// Something that happened.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Event {
    /// What it was.
    #[serde(rename = "event")]
    pub kind: EventKind,
    /// The address it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<IpAddr>,
    /// Name of the link where it happened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link: Option<String>,
    /// Link-layer address of who caused it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lladdr: Option<String>,
    /// More for a human reader.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// What kind of thing happened.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum EventKind {
    /// The watch began; whatever happens after it is reported.
    Subscribed,
    /// A host was confirmed for the first time.
    HostFound,
    /// A host was confirmed on another link.
    HostMoved,
    /// A host was forgotten.
    HostLost,
    /// Two hosts on different links want one address.
    Duplicate,
    /// A claim to an address was refused, since its owner still answers.
    ClaimRejected,
    /// Somebody uses one of this host's own addresses.
    OwnAddressClaimed,
    /// Magpie's own message came back to it.
    Loop,
    /// The kernel refused a host route.
    RouteFailed,
    /// A route that is not Magpie's leads to a host elsewhere than where it answers.
    ForeignRoute,
    /// A cap was reached and something new was refused.
    Refused,
    /// A link changed its state.
    LinkChanged,
    /// Something that an operator should look at.
    Warning,
    /// A kind that this version does not know.
    #[serde(other)]
    Unknown,
}

impl Event {
    /// Starts an event without particulars.
    pub const fn new(kind: EventKind) -> Self {
        Self { kind, address: None, link: None, lladdr: None, detail: None }
    }
}

impl LinkState {
    /// Returns the stable name.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::NoCarrier => "no-carrier",
            Self::Down => "down",
            Self::Missing => "missing",
            Self::Waiting => "waiting",
        }
    }
}

impl HostState {
    /// Returns the stable name.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Tentative => "tentative",
            Self::Candidate => "candidate",
            Self::Reachable => "reachable",
            Self::Stale => "stale",
            Self::Probing => "probing",
        }
    }
}

impl RouteState {
    /// Returns the stable name.
    pub const fn label(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Pending => "pending",
            Self::Installed => "installed",
            Self::Foreign => "foreign",
        }
    }
}

impl EventKind {
    /// Returns the stable name.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Subscribed => "subscribed",
            Self::HostFound => "host-found",
            Self::HostMoved => "host-moved",
            Self::HostLost => "host-lost",
            Self::Duplicate => "duplicate",
            Self::ClaimRejected => "claim-rejected",
            Self::OwnAddressClaimed => "own-address-claimed",
            Self::Loop => "loop",
            Self::RouteFailed => "route-failed",
            Self::ForeignRoute => "foreign-route",
            Self::Refused => "refused",
            Self::LinkChanged => "link-changed",
            Self::Warning => "warning",
            Self::Unknown => "unknown",
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_event_is_written_in_the_documented_form() {
        let event = Event {
            address: Some("2001:db8::21".parse().unwrap()),
            link: Some("br-lan".into()),
            ..Event::new(EventKind::HostFound)
        };
        let expected =
            json!({ "event": "host-found", "address": "2001:db8::21", "link": "br-lan" });
        assert_eq!(serde_json::to_value(&event).unwrap(), expected);
        assert_eq!(serde_json::from_value::<Event>(expected).unwrap(), event);
    }

    #[test]
    fn a_host_is_written_in_the_documented_form() {
        let host = Host {
            address: "2001:db8::21".parse().unwrap(),
            link: "br-lan".into(),
            lladdr: Some("02:00:00:00:00:21".into()),
            state: HostState::Reachable,
            age_seconds: 12,
            evidence: "dad".into(),
            router: false,
            route: RouteState::Installed,
        };
        let expected = json!({
            "address": "2001:db8::21",
            "link": "br-lan",
            "lladdr": "02:00:00:00:00:21",
            "state": "reachable",
            "age_seconds": 12,
            "evidence": "dad",
            "router": false,
            "route": "installed",
        });
        assert_eq!(serde_json::to_value(&host).unwrap(), expected);
        assert_eq!(serde_json::from_value::<Host>(expected).unwrap(), host);
    }

    #[test]
    fn a_status_survives_the_journey_with_states_as_keys() {
        let status = Status {
            bindings: BTreeMap::from([(HostState::Stale, 3), (HostState::Reachable, 4)]),
            ..Status::default()
        };
        let value = serde_json::to_value(&status).unwrap();
        assert_eq!(value.get("bindings"), Some(&json!({ "reachable": 4, "stale": 3 })));
        assert_eq!(serde_json::from_value::<Status>(value).unwrap(), status);
    }

    #[test]
    fn an_event_of_a_later_version_is_still_an_event() {
        let event: Event =
            serde_json::from_value(json!({ "event": "eclipse", "phase": "total" })).unwrap();
        assert_eq!(event, Event::new(EventKind::Unknown));
    }

    #[test]
    fn labels_are_what_is_written() {
        use EventKind as E;
        use HostState as H;
        use LinkState as L;
        use RouteState as R;
        fn written(value: impl Serialize) -> String {
            serde_json::to_value(value).unwrap().as_str().unwrap().into()
        }
        for kind in [
            E::Subscribed,
            E::HostFound,
            E::HostMoved,
            E::HostLost,
            E::Duplicate,
            E::ClaimRejected,
            E::OwnAddressClaimed,
            E::Loop,
            E::RouteFailed,
            E::ForeignRoute,
            E::Refused,
            E::LinkChanged,
            E::Warning,
            E::Unknown,
        ] {
            assert_eq!(kind.label(), written(kind));
        }
        for state in [L::Up, L::NoCarrier, L::Down, L::Missing, L::Waiting] {
            assert_eq!(state.label(), written(state));
        }
        for state in [H::Tentative, H::Candidate, H::Reachable, H::Stale, H::Probing] {
            assert_eq!(state.label(), written(state));
        }
        for state in [R::None, R::Pending, R::Installed, R::Foreign] {
            assert_eq!(state.label(), written(state));
        }
    }
}
