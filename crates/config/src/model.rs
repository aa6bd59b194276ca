//! What a configuration says, checked and complete: defaults are filled in, names are not looked up
//! in the system yet.

use std::net::Ipv6Addr;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::Ipv6Net;
use magpie_engine::{
    Addresses, Announce, Conflicts, Limits, MdnsLimits, NaSource, OtherService, RoutePolicy,
    RouterFlag, Subject, Timing,
};

pub use crate::selector::Selector;

/// Everything that is configured.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Config {
    /// What concerns the daemon as a whole.
    pub daemon: Daemon,
    /// Relays and responders, in their order.
    pub relays: Vec<Relay>,
    /// What is to be said about it where it is written down: lines of comment above it.
    pub comments: Vec<String>,
}

/// What concerns the daemon as a whole: table `[daemon]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Daemon {
    /// `control`: the socket for views.
    pub control: Option<PathBuf>,
    /// `state-file`: keeps what was learned from one run to the next.
    pub state_file: Option<PathBuf>,
    /// `log-level`.
    pub log_level: LogLevel,
    /// `fix-sysctls`: correct kernel settings that are in the way, and put them back at exit.
    pub fix_sysctls: bool,
}

/// How much to tell.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum LogLevel {
    /// `error`: what keeps the daemon from working.
    Error,
    /// `warning`: and what an operator should look at.
    Warning,
    /// `info`: and what a user would notice.
    Info,
    /// `verbose`: and why things were decided.
    Verbose,
    /// `debug`: and everything else.
    Debug,
}

/// A relay or a responder: table `[[relay]]` or `[[responder]]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Relay {
    /// `name`: unique among all; by default its links' names, joined by `+`.
    pub name: String,
    /// Which of the two it is.
    pub kind: Kind,
    /// `links`: all links that it works on, each in one relay or responder only. Those of a
    /// responder that only its rules name come last.
    pub links: Vec<Link>,
    /// `prefixes`: what the subnet is, and what `auto` means in rules.
    pub prefixes: Prefixes,
    /// `[[relay.rule]]`, then those of `[[relay.link.rule]]`, in their order.
    pub rules: Vec<Rule>,
    /// `allow`: if there are any, targets on none of them are denied.
    pub allow: Vec<Pattern>,
    /// `deny`: targets on any of them are denied.
    pub deny: Vec<Pattern>,
    /// `promiscuous`, `bridge-port` and `announce` of links that do not say otherwise.
    pub options: LinkOptions,
    /// `na-source`, `router-flag` and `answer-delay` of links that do not say otherwise.
    pub answers: Answers,
    /// `[relay.timing]`.
    pub timing: Timing,
    /// `[relay.limits]`.
    pub limits: Limits,
    /// `routes`, `route-table`, `route-metric` and `route-protocol`.
    pub routes: Routes,
    /// `neighbor-discovery`: whether it is worked on at all; a relay without is there for names
    /// alone.
    pub neighbor_discovery: bool,
    /// `[relay.mdns]`: how names cross between the links; none if they do not.
    pub mdns: Option<Mdns>,
    /// What is to be said about it where it is written down: lines of comment above it.
    pub comments: Vec<String>,
}

/// What is answered for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// Everything in its prefixes, and what rules say.
    Relay,
    /// What rules say.
    Responder,
}

/// What the subnet of a relay is: `prefixes = ["auto", "2001:db8::/64"]`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Prefixes {
    /// `auto`: what the addresses on the links and Router Advertisements show.
    pub auto: bool,
    /// Prefixes that were written down.
    pub listed: Vec<Ipv6Net>,
}

/// One link: a name in `links`, or a table `[[relay.link]]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Link {
    /// `name`: of the interface, or which ones; see [`Link::selector`].
    pub name: String,
    /// `role`. Where any link of a relay is upstream, only upstream links show what `auto` is.
    pub role: Option<Role>,
    /// Only rules name it as a place to look: nobody is answered on it.
    pub only_probed: bool,
    /// How it is worked on.
    pub options: LinkOptions,
    /// How answers on it look like.
    pub answers: Answers,
    /// `allow`, for targets that are asked for on it.
    pub allow: Vec<Pattern>,
    /// `deny`, for targets that are asked for on it.
    pub deny: Vec<Pattern>,
    /// What is to be said about it where it is written down: lines of comment above it.
    pub comments: Vec<String>,
}

/// How a link is worked on.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct LinkOptions {
    /// `promiscuous`: receive what the device would drop; some firmware drops too much.
    pub promiscuous: bool,
    /// `bridge-port`: what to do if it is a port of a bridge.
    pub bridge_port: BridgePort,
    /// `announce`: what the neighbors on it are told without having asked.
    pub announce: Announce,
}

/// What to do about a link that is a port of a bridge, which gets all its frames.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum BridgePort {
    /// `refuse`: say so, and wait until it is none.
    Refuse,
    /// `bridge`: use the bridge in its stead.
    UseBridge,
}

/// Where a link lies.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Role {
    /// Where the real router is.
    Upstream,
    /// Where the added hosts are.
    Downstream,
}

/// How answers look like.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Answers {
    /// `na-source`: `link-local`, `global` or `target`.
    pub na_source: NaSource,
    /// `router-flag`: `auto`, `on` or `off`.
    pub router_flag: RouterFlag,
    /// `answer-delay`: longest random delay, at most one second.
    pub answer_delay: Duration,
}

/// A rule: table `[[relay.rule]]`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Rule {
    /// `prefix`: a prefix, an address, or `auto`.
    pub prefix: RulePrefix,
    /// `method`.
    pub method: Method,
    /// `on`: the asking links; all that are asked on if there are none.
    pub on: Vec<String>,
    /// `to`: where to look, for `probe`; all links but the asking one if there are none.
    pub to: Vec<String>,
    /// `i-own-this-prefix`: answering for every address of a prefix shorter than /120 is meant.
    pub i_own_this_prefix: bool,
    /// What is to be said about it where it is written down: lines of comment above it.
    pub comments: Vec<String>,
}

/// The targets of a rule.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum RulePrefix {
    /// `auto`: the prefixes of the relay.
    Auto,
    /// This prefix.
    Net(Ipv6Net),
}

/// What a rule does.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Method {
    /// `static`: answer at once.
    Static,
    /// `route`: answer if the kernel routes the target out of another link.
    Route,
    /// `probe`: ask the other links first.
    Probe,
    /// `deny`: stay silent.
    Deny,
}

/// An entry of `allow` or `deny`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Pattern {
    /// `2001:db8::1`, or `2001:db8::/96`.
    Prefix(Ipv6Net),
    /// `2001:db8::10-2001:db8::1f`, both included.
    Range(Ipv6Addr, Ipv6Addr),
    /// `iid:021d:55**:*:*`: an interface identifier in four groups, `*` for any digit, and alone for
    /// any group.
    InterfaceIdentifier {
        /// The bits that count.
        mask: u64,
        /// What they are.
        value: u64,
    },
    /// `oui:00:1d:55`: interface identifiers made of link-layer addresses of one maker (RFC 4291
    /// appendix A).
    Oui([u8; 3]),
    /// `expr:(HOST & 0xffff) > 0x99`: an expression of npd6's. Those of one list share their
    /// variables, in their order.
    Expression(String),
}

/// Host routes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Routes {
    /// `routes`: `needed`, `all` or `none`.
    pub policy: RoutePolicy,
    /// `route-table`. Without one, that of the VRF which the link belongs to, or the main table.
    pub table: Option<u32>,
    /// `route-metric`.
    pub metric: u32,
    /// `route-protocol`.
    pub protocol: u8,
}

/// How names cross between the links of a relay: table `[relay.mdns]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Mdns {
    /// `cross-families`: what came over IPv4 goes out over IPv6 as well, and the other way round.
    pub cross_families: bool,
    /// `addresses`: `reachable`, `with-ipv4` or `all`.
    pub addresses: Addresses,
    /// `allow`: if there are any, names that none of them covers do not cross.
    pub allow: Vec<NameRule>,
    /// `deny`: names that any of them covers do not cross.
    pub deny: Vec<NameRule>,
    /// `conflicts`: `propagate` or `isolate`.
    pub conflicts: Conflicts,
    /// `legacy-queries`: pass on what simple resolvers ask.
    pub legacy: bool,
    /// `other-services`: `ssdp`, `ws-discovery`.
    pub other_services: Vec<OtherService>,
    /// `[relay.mdns.limits]`.
    pub limits: MdnsLimits,
}

/// A rule about names: an entry of `allow` or `deny` of `[relay.mdns]`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct NameRule {
    /// `service`, `subtype`, `instance` or `host`.
    pub subject: Subject,
    /// `from`: the links that the host or service is on; all if there are none.
    pub from: Vec<String>,
    /// `to`: the links that it is seen from; all if there are none.
    pub to: Vec<String>,
}

impl Relay {
    /// Makes one of these links with nothing but defaults.
    pub fn new(kind: Kind, links: impl IntoIterator<Item = impl Into<String>>) -> Self {
        let links: Vec<Link> = links.into_iter().map(Link::new).collect();
        Self {
            name: Self::default_name(links.iter().map(|link| link.name.as_str())),
            kind,
            links,
            prefixes: Prefixes::default(),
            rules: Vec::new(),
            allow: Vec::new(),
            deny: Vec::new(),
            options: LinkOptions::default(),
            answers: Answers::default(),
            timing: Timing::default(),
            limits: Limits::default(),
            routes: Routes::default(),
            neighbor_discovery: true,
            mdns: None,
            comments: Vec::new(),
        }
    }

    /// Makes a link that does what is said of all links of this one.
    pub fn link(&self, name: impl Into<String>) -> Link {
        Link { options: self.options, answers: self.answers, ..Link::new(name) }
    }

    /// What one with these links is called unless it is given a name.
    pub fn default_name<'a>(links: impl IntoIterator<Item = &'a str>) -> String {
        links.into_iter().collect::<Vec<_>>().join("+")
    }
}

impl Link {
    /// Makes one with nothing but defaults.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            role: None,
            only_probed: false,
            options: LinkOptions::default(),
            answers: Answers::default(),
            allow: Vec::new(),
            deny: Vec::new(),
            comments: Vec::new(),
        }
    }

    /// Which interfaces it is, as its name says.
    pub fn selector(&self) -> Selector<'_> {
        Selector::of(&self.name)
    }

    /// Whether it can be more than one interface.
    pub fn is_plural(&self) -> bool {
        self.selector().is_plural()
    }
}

impl Rule {
    /// Makes one for all asking links, and all links to look on.
    pub fn new(prefix: RulePrefix, method: Method) -> Self {
        let (on, to, comments) = (Vec::new(), Vec::new(), Vec::new());
        Self { prefix, method, on, to, i_own_this_prefix: false, comments }
    }
}

impl Default for Prefixes {
    fn default() -> Self {
        Self { auto: true, listed: Vec::new() }
    }
}

impl Default for Daemon {
    fn default() -> Self {
        Self { control: None, state_file: None, log_level: LogLevel::Info, fix_sysctls: false }
    }
}

impl Default for LinkOptions {
    fn default() -> Self {
        Self { promiscuous: false, bridge_port: BridgePort::Refuse, announce: Announce::Moves }
    }
}

impl Default for Answers {
    fn default() -> Self {
        Self {
            na_source: NaSource::LinkLocal,
            router_flag: RouterFlag::Auto,
            answer_delay: Duration::ZERO,
        }
    }
}

impl Default for Mdns {
    fn default() -> Self {
        let magpie_engine::Mdns {
            cross_families,
            addresses,
            conflicts,
            legacy,
            other_services,
            limits,
            ..
        } = magpie_engine::Mdns::default();
        let (allow, deny) = (Vec::new(), Vec::new());
        Self { cross_families, addresses, allow, deny, conflicts, legacy, other_services, limits }
    }
}

impl Default for Routes {
    fn default() -> Self {
        Self { policy: RoutePolicy::All, table: None, metric: 1090, protocol: 109 }
    }
}
