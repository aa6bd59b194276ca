//! The values that travel: what the daemon tells about itself, its links, its hosts and its rules,
//! and what it is told about rules.
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
    /// Relays and responders, in the order of the configuration.
    #[serde(default)]
    pub relays: Vec<RelayStatus>,
    /// The links of all of them, in the order of the configuration.
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

/// A relay or a responder.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct RelayStatus {
    /// Its name.
    pub name: String,
    /// Which of the two it is.
    pub kind: RelayKind,
    /// Its links, in the order of the configuration.
    pub links: Vec<RelayLink>,
    /// What its subnet is: the prefixes that `auto` stands for in rules.
    pub prefixes: Vec<String>,
    /// Rules that are in force, of the configuration and others.
    pub rules: u64,
    /// What crosses of names; none if they do not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub names: Option<NamesStatus>,
}

/// How the reflection of names of a relay or responder is doing.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct NamesStatus {
    /// Records that are remembered.
    pub records: u64,
    /// Other reflectors between the same links, from which nothing is taken but what is their own.
    #[serde(default)]
    pub reflectors: Vec<Reflector>,
    /// Everything that is counted about it, by name.
    #[serde(default)]
    pub counters: BTreeMap<String, u64>,
}

/// Another reflector between the same links.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Reflector {
    /// Name of the link where it was heard.
    pub link: String,
    /// Its address there.
    pub address: IpAddr,
}

/// What a relay or a responder answers for.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum RelayKind {
    /// Everything in its prefixes, and what rules say.
    Relay,
    /// What rules say.
    Responder,
    /// A kind that this version does not know.
    #[serde(other)]
    Unknown,
}

/// A link, as its relay sees it.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct RelayLink {
    /// Its name.
    pub name: String,
    /// Where it lies: `upstream` or `downstream`, if the configuration says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// Nobody is answered on it: it is only a place to look for targets.
    #[serde(default)]
    pub only_probed: bool,
}

/// What became of one configured link: of each device that it stands for, or of the wish for one
/// as long as there is none.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct LinkStatus {
    /// Its name: as it is configured, or that of the device where the configuration names many.
    pub name: String,
    /// What the configuration says: a name, or what many names have in common.
    #[serde(default)]
    pub selector: String,
    /// Name of the relay or responder that it belongs to.
    #[serde(default)]
    pub relay: String,
    /// Present name of the device, where that is another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
    /// Its interface index; none while no such link exists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ifindex: Option<u32>,
    /// Its link-layer address, as six octets in hexadecimal with colons.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lladdr: Option<String>,
    /// Nobody has a link-layer address on it: a tunnel, or PPP.
    #[serde(default)]
    pub bare: bool,
    /// Whether it can be used.
    pub state: LinkState,
    /// What it waits for, or what else there is to say about it, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiting: Option<String>,
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
    /// How often the receive buffer was found to have overflowed.
    #[serde(default)]
    pub overflows: u64,
    /// How often the socket had to be opened anew.
    #[serde(default)]
    pub reopened: u64,
    /// Multicast groups joined on it.
    pub groups: u64,
}

/// Whether a link can be used.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum LinkState {
    /// It is in use.
    Up,
    /// It is set up, but its medium is not connected.
    NoCarrier,
    /// It is switched off.
    Down,
    /// No such link exists.
    #[default]
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
    /// How it came to notice: `dad`, `solicitation`, `advertisement`, `saved`, `route`, `miss`
    /// or `name`.
    pub evidence: String,
    /// It says that it is a router.
    pub router: bool,
    /// What became of its host route.
    pub route: RouteState,
    /// Names that were seen to have this address, on the link that it is on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub names: Vec<String>,
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

/// A host route that the daemon keeps or wants, and why.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct HostRoute {
    /// The address that it is for.
    pub address: IpAddr,
    /// Name of the link that it leads to, or should lead to.
    pub link: String,
    /// Interface index of that link.
    pub ifindex: u32,
    /// Routing table.
    pub table: u32,
    /// Metric.
    pub metric: u32,
    /// Protocol number.
    pub protocol: u8,
    /// What became of it.
    pub state: HostRouteState,
    /// Why the kernel refused it, if it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Name of the link that packets to the address go out on at present, if that is another:
    /// where the daemon's own route still leads, or somebody else's route.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leads_to: Option<String>,
    /// Name of the relay or responder that keeps it.
    pub relay: String,
    /// The host that it is for, if one is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<RouteReason>,
}

/// The host that a route is for: why there is one.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct RouteReason {
    /// How it came to notice: `dad`, `solicitation`, `advertisement`, `saved`, `route` or
    /// `name`.
    pub evidence: String,
    /// How sure that is.
    pub state: HostState,
    /// Its link-layer address; none until it has been heard, and where nobody has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lladdr: Option<String>,
    /// Seconds since it last answered a probe; none if it never did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confirmed_seconds: Option<u64>,
}

/// What became of a host route that the daemon keeps or wants.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum HostRouteState {
    /// The kernel has it, and its host was verified.
    Installed,
    /// The kernel has it from an earlier run; its host has not been verified yet.
    Adopted,
    /// The kernel is asked for it, or will be as soon as the link is up.
    Wanted,
    /// The kernel refused it, and will be asked again.
    Refused,
    /// Somebody else's route to the host is in its place, and is left alone.
    Foreign,
    /// It is being removed.
    Obsolete,
    /// A state that this version does not know.
    #[serde(other)]
    Unknown,
}

/// A record of a name that was seen on a link, and what became of it.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Name {
    /// The name, as DNS writes it (RFC 1035 section 5.1), without the final dot.
    pub name: String,
    /// The type of the record: `AAAA`, `SRV`, or `TYPE65` and the like.
    #[serde(rename = "type")]
    pub record_type: String,
    /// What it says, shortened if it is long.
    pub data: String,
    /// The address that it names, if it is an address record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<IpAddr>,
    /// Name of the relay or responder that saw it.
    pub relay: String,
    /// Name of the link where it was seen.
    pub link: String,
    /// Who said it.
    pub source: IpAddr,
    /// Seconds since it was last said.
    pub seen_seconds: u64,
    /// Seconds that are left of its lifetime.
    pub remaining_seconds: u64,
    /// What was last done with it, for each link that it might have gone to.
    #[serde(default)]
    pub to: Vec<Crossing>,
}

/// What was done with a record for one link.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Crossing {
    /// Name of the link.
    pub link: String,
    /// `passed`, or why it did not cross.
    pub verdict: String,
}

/// A request to tell neighbors anew which addresses are answered for here: this host took over
/// from another.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Announce {
    /// Those on this link, or on the links that the configuration means by this; all if there is
    /// none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link: Option<String>,
}

/// What is announced thereupon.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Announced {
    /// Announcements that are going out, on all links together.
    pub announcements: u64,
    /// Links that they go out on.
    pub links: u64,
    /// Seconds until the last of them is out: they are paced.
    pub seconds: u64,
}

/// An address that was asked for.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Target {
    /// The address.
    pub address: IpAddr,
    /// Name of the relay or responder that was asked.
    pub relay: String,
    /// Name of the link where it was asked for.
    pub link: String,
    /// How often it was asked for.
    pub asked: u64,
    /// How often it was answered for.
    pub answered: u64,
    /// Seconds since it was first asked for.
    pub first_seconds: u64,
    /// Seconds since it was last asked for.
    pub last_seconds: u64,
}

/// A rule of a relay or a responder.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Rule {
    /// Name of the relay or responder that follows it.
    pub relay: String,
    /// Its targets: a prefix or `auto`.
    pub prefix: String,
    /// What to do about them.
    pub method: RuleMethod,
    /// Names of the links whose questions it is for; all if there are none.
    #[serde(default)]
    pub on: Vec<String>,
    /// For `probe`, names of the links to look on; all but the asking one if there are none.
    #[serde(default)]
    pub to: Vec<String>,
    /// Where it comes from.
    pub source: RuleSource,
    /// Whose rule it is, if it was added while the daemon ran.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// Seconds that it stays in force; none if it has no end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remaining_seconds: Option<u64>,
    /// It survives a restart of the daemon.
    pub persist: bool,
    /// It is in force. One that was added rests while its relay or its links are not configured.
    pub active: bool,
}

/// What a rule does.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum RuleMethod {
    /// Answer at once.
    Static,
    /// Answer if the kernel routes the target out of another link.
    Route,
    /// Look for the target on other links first.
    Probe,
    /// Stay silent.
    Deny,
}

/// Where a rule comes from.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum RuleSource {
    /// The configuration.
    File,
    /// It was added while the daemon ran.
    Added,
    /// Every relay has it: what is in its prefixes is looked for.
    BuiltIn,
    /// A source that this version does not know.
    #[serde(other)]
    Unknown,
}

/// A request to add rules: all of them, or none if one cannot be.
///
/// The same rule of the same owner, that is, for the same relay, prefix and asking links, is
/// replaced and its lifetime starts anew.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct AddRules {
    /// Whose rules they are.
    pub owner: String,
    /// Seconds that they stay in force; none for as long as the daemon runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lifetime_seconds: Option<u64>,
    /// They are to survive a restart of the daemon.
    #[serde(default)]
    pub persist: bool,
    /// The rules. Each goes before those of the configuration.
    pub rules: Vec<NewRule>,
}

/// A rule to add.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct NewRule {
    /// Name of the relay or responder that is to follow it. Not needed where there is only one, or
    /// where `on` and `to` tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub relay: Option<String>,
    /// Its targets: a prefix, an address or `auto`.
    pub prefix: String,
    /// What to do about them.
    pub method: RuleMethod,
    /// Names of the links whose questions it is for; all if there are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub on: Vec<String>,
    /// For `probe`, names of the links to look on; all but the asking one if there are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub to: Vec<String>,
    /// Answering for every address of a prefix shorter than /120 is meant.
    #[serde(default)]
    pub i_own_this_prefix: bool,
}

/// What became of a request to add rules.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct AddedRules {
    /// Rules that are new.
    pub added: u64,
    /// Rules that replace one of the same owner.
    pub renewed: u64,
}

/// A request to remove rules that were added: those that match all that is given.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct RemoveRules {
    /// Those of this prefix: a prefix, an address or `auto`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefix: Option<String>,
    /// Those of this owner.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// Those of this relay or responder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub relay: Option<String>,
}

/// A request about rules is refused, and nothing was changed.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct RuleRefusal {
    /// Why, for a human reader.
    pub reason: String,
    /// Position of the rule in the request, counted from zero, if it is about one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub index: Option<u64>,
}

/// Something that happened.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Event {
    /// When it was, in the form of RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time: Option<String>,
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
    /// The name it is about; see [`Name`] for this field and the next three.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The type of the record that it is about.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub record_type: Option<String>,
    /// What the record says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<String>,
    /// What was done with the record.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub to: Vec<Crossing>,
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
    /// Something that the daemon keeps in the kernel was gone or broken, and is in place again.
    Repaired,
    /// A record of a name was seen for the first time, or something else than before became of it.
    NameSeen,
    /// A record of a name was withdrawn by its owner.
    NameWithdrawn,
    /// A name is alive on two links with different data.
    NameConflict,
    /// Another reflector of names serves the same links.
    ReflectorFound,
    /// Something that an operator should look at.
    Warning,
    /// A kind that this version does not know.
    #[serde(other)]
    Unknown,
}

impl Event {
    /// Starts an event without particulars.
    pub const fn new(kind: EventKind) -> Self {
        Self {
            time: None,
            kind,
            address: None,
            link: None,
            lladdr: None,
            name: None,
            record_type: None,
            data: None,
            to: Vec::new(),
            detail: None,
        }
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

impl HostRouteState {
    /// Returns the stable name.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Installed => "installed",
            Self::Adopted => "adopted",
            Self::Wanted => "wanted",
            Self::Refused => "refused",
            Self::Foreign => "foreign",
            Self::Obsolete => "obsolete",
            Self::Unknown => "unknown",
        }
    }
}

impl RelayKind {
    /// Returns the stable name.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Relay => "relay",
            Self::Responder => "responder",
            Self::Unknown => "unknown",
        }
    }
}

impl RuleMethod {
    /// Returns the stable name.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Static => "static",
            Self::Route => "route",
            Self::Probe => "probe",
            Self::Deny => "deny",
        }
    }
}

impl RuleSource {
    /// Returns the stable name.
    pub const fn label(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Added => "added",
            Self::BuiltIn => "built-in",
            Self::Unknown => "unknown",
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
            Self::Repaired => "repaired",
            Self::NameSeen => "name-seen",
            Self::NameWithdrawn => "name-withdrawn",
            Self::NameConflict => "name-conflict",
            Self::ReflectorFound => "reflector-found",
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
            names: vec!["pi-41.local".into()],
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
            "names": ["pi-41.local"],
        });
        assert_eq!(serde_json::to_value(&host).unwrap(), expected);
        assert_eq!(serde_json::from_value::<Host>(expected).unwrap(), host);
    }

    #[test]
    fn a_name_is_written_in_the_documented_form() {
        let name = Name {
            name: "pi-41.local".into(),
            record_type: "AAAA".into(),
            data: "2001:db8::41".into(),
            address: Some("2001:db8::41".parse().unwrap()),
            relay: "island".into(),
            link: "eth0".into(),
            source: "fe80::41".parse().unwrap(),
            seen_seconds: 3,
            remaining_seconds: 117,
            to: vec![Crossing { link: "wlan0".into(), verdict: "passed".into() }],
        };
        let expected = json!({
            "name": "pi-41.local",
            "type": "AAAA",
            "data": "2001:db8::41",
            "address": "2001:db8::41",
            "relay": "island",
            "link": "eth0",
            "source": "fe80::41",
            "seen_seconds": 3,
            "remaining_seconds": 117,
            "to": [{ "link": "wlan0", "verdict": "passed" }],
        });
        assert_eq!(serde_json::to_value(&name).unwrap(), expected);
        assert_eq!(serde_json::from_value::<Name>(expected).unwrap(), name);
    }

    #[test]
    fn a_host_route_is_written_in_the_documented_form() {
        let route = HostRoute {
            address: "2001:db8::21".parse().unwrap(),
            link: "br-lan".into(),
            ifindex: 4,
            table: 254,
            metric: 1090,
            protocol: 109,
            state: HostRouteState::Refused,
            error: Some("no space".into()),
            leads_to: None,
            relay: "home".into(),
            host: Some(RouteReason {
                evidence: "dad".into(),
                state: HostState::Reachable,
                lladdr: Some("02:00:00:00:00:21".into()),
                confirmed_seconds: Some(12),
            }),
        };
        let expected = json!({
            "address": "2001:db8::21",
            "link": "br-lan",
            "ifindex": 4,
            "table": 254,
            "metric": 1090,
            "protocol": 109,
            "state": "refused",
            "error": "no space",
            "relay": "home",
            "host": {
                "evidence": "dad",
                "state": "reachable",
                "lladdr": "02:00:00:00:00:21",
                "confirmed_seconds": 12,
            },
        });
        assert_eq!(serde_json::to_value(&route).unwrap(), expected);
        assert_eq!(serde_json::from_value::<HostRoute>(expected).unwrap(), route);
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
    fn a_target_is_written_in_the_documented_form() {
        let target = Target {
            address: "2001:db8::21".parse().unwrap(),
            relay: "home".into(),
            link: "wan".into(),
            asked: 3,
            answered: 2,
            first_seconds: 60,
            last_seconds: 1,
        };
        let expected = json!({
            "address": "2001:db8::21",
            "relay": "home",
            "link": "wan",
            "asked": 3,
            "answered": 2,
            "first_seconds": 60,
            "last_seconds": 1,
        });
        assert_eq!(serde_json::to_value(&target).unwrap(), expected);
        assert_eq!(serde_json::from_value::<Target>(expected).unwrap(), target);
    }

    #[test]
    fn a_rule_is_written_in_the_documented_form() {
        let rule = Rule {
            relay: "home".into(),
            prefix: "2001:db8::/64".into(),
            method: RuleMethod::Probe,
            on: vec!["wan".into()],
            to: vec!["br-lan".into()],
            source: RuleSource::Added,
            owner: Some("docker".into()),
            remaining_seconds: Some(3600),
            persist: true,
            active: true,
        };
        let expected = json!({
            "relay": "home",
            "prefix": "2001:db8::/64",
            "method": "probe",
            "on": ["wan"],
            "to": ["br-lan"],
            "source": "added",
            "owner": "docker",
            "remaining_seconds": 3600,
            "persist": true,
            "active": true,
        });
        assert_eq!(serde_json::to_value(&rule).unwrap(), expected);
        assert_eq!(serde_json::from_value::<Rule>(expected).unwrap(), rule);
    }

    #[test]
    fn a_request_for_rules_needs_only_what_matters() {
        let text = r#"{ "owner": "docker", "rules": [{ "prefix": "auto", "method": "route" }] }"#;
        let request: AddRules = serde_json::from_str(text).unwrap();
        let rule = NewRule {
            relay: None,
            prefix: "auto".into(),
            method: RuleMethod::Route,
            on: Vec::new(),
            to: Vec::new(),
            i_own_this_prefix: false,
        };
        let expected =
            AddRules { owner: "docker".into(), rules: vec![rule], ..AddRules::default() };
        assert_eq!(request, expected);
    }

    #[test]
    fn a_rule_with_a_slip_is_no_rule() {
        let text = r#"{ "prefix": "auto", "method": "route", "from": ["wan"] }"#;
        let error = serde_json::from_str::<NewRule>(text).unwrap_err().to_string();
        assert!(error.contains("`from`") && error.contains("`on`"), "{error}");
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
        use RelayKind as K;
        use RouteState as R;
        use RuleMethod as M;
        use RuleSource as S;
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
            E::Repaired,
            E::NameSeen,
            E::NameWithdrawn,
            E::NameConflict,
            E::ReflectorFound,
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
        for kind in [K::Relay, K::Responder, K::Unknown] {
            assert_eq!(kind.label(), written(kind));
        }
        for method in [M::Static, M::Route, M::Probe, M::Deny] {
            assert_eq!(method.label(), written(method));
        }
        for source in [S::File, S::Added, S::BuiltIn, S::Unknown] {
            assert_eq!(source.label(), written(source));
        }
    }
}
