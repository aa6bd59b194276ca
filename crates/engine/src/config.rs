//! What a relay may do, how fast and how much.

use std::time::Duration;

use ipnet::Ipv6Net;

use crate::{Mdns, Member, Members, Rules};

/// Settings of one relay. [`Config::default`] needs no reading.
#[derive(Clone, Debug)]
pub struct Config {
    /// The prefixes of the subnet.
    pub prefixes: Prefixes,
    /// Which targets are answered for, and how.
    pub rules: Rules,
    /// How each link is treated, in the order of [`Member`]; a link beyond the last has the
    /// defaults.
    pub links: Vec<LinkConfig>,
    /// Whether Neighbor Discovery is worked on at all. Without, nothing is asked or answered, and no
    /// route or membership made.
    pub neighbor_discovery: bool,
    /// How names cross between the links; none if they do not.
    pub mdns: Option<Mdns>,
    /// Which hosts get a host route.
    pub routes: RoutePolicy,
    /// Timing.
    pub timing: Timing,
    /// Caps.
    pub limits: Limits,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            prefixes: Prefixes::default(),
            rules: Rules::default(),
            links: Vec::new(),
            neighbor_discovery: true,
            mdns: None,
            routes: RoutePolicy::All,
            timing: Timing::default(),
            limits: Limits::default(),
        }
    }
}

impl Config {
    /// Treats all links alike.
    pub fn alike(link: LinkConfig) -> Self {
        Self { links: vec![link; Members::MAX], ..Self::default() }
    }

    /// Returns how many links are configured.
    pub(crate) fn member_count(&self) -> u8 {
        u8::try_from(self.links.len()).unwrap_or(u8::MAX)
    }

    /// Returns how a link is treated.
    pub fn link(&self, member: Member) -> LinkConfig {
        self.links.get(usize::from(member.0)).copied().unwrap_or_default()
    }
}

/// The prefixes of a relay's subnet.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Prefixes {
    /// Those of the addresses on the links and of the Router Advertisements heard on them, as
    /// they come and go.
    pub learned: bool,
    /// Those that were written down.
    pub listed: Vec<Ipv6Net>,
}

impl Prefixes {
    /// These and no others.
    pub fn only(listed: Vec<Ipv6Net>) -> Self {
        Self { learned: false, listed }
    }
}

impl Default for Prefixes {
    fn default() -> Self {
        Self { learned: true, listed: Vec::new() }
    }
}

/// How one link of a relay is treated.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct LinkConfig {
    /// Its addresses and the Router Advertisements heard on it show what the subnet is.
    pub shows_subnet: bool,
    /// It stands for any number of devices, each a link of its own; hosts on one of them are told
    /// of to those on another.
    pub plural: bool,
    /// What the neighbors on it are told without having asked.
    pub announce: Announce,
    /// Which address advertisements come from.
    pub na_source: NaSource,
    /// The R flag of advertisements.
    pub router_flag: RouterFlag,
    /// Longest random delay before a multicast solicitation is answered. With several proxies in
    /// parallel up to one second keeps them from answering at once (RFC 4861 section 7.2.7);
    /// zero with one. Probes to one node and duplicate address detection are never delayed.
    pub answer_delay: Duration,
}

impl Default for LinkConfig {
    fn default() -> Self {
        Self {
            shows_subnet: true,
            plural: false,
            announce: Announce::Moves,
            na_source: NaSource::LinkLocal,
            router_flag: RouterFlag::Auto,
            answer_delay: Duration::ZERO,
        }
    }
}

/// What the neighbors on a link are told without having asked (RFC 4861 section 7.2.6).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Announce {
    /// What would mislead them otherwise: a host has left the link, or our link-layer address on it
    /// has changed.
    Moves,
    /// That, and to its routers each host that was found elsewhere (RFC 9131 section 6.1.2).
    Hosts,
}

/// The R flag of advertisements (RFC 4861 section 4.4).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum RouterFlag {
    /// As the target itself has it; not set where that is not known.
    Auto,
    /// Always set.
    On,
    /// Never set. A router that is advertised so loses its hosts (RFC 4861 section 7.2.5).
    Off,
}

impl RouterFlag {
    /// Returns the flag for a target that has it itself, or not.
    pub(crate) fn of(self, target: bool) -> bool {
        match self {
            Self::Auto => target,
            Self::On => true,
            Self::Off => false,
        }
    }
}

/// Which hosts get a host route.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum RoutePolicy {
    /// Those that the kernel would not find without.
    Needed,
    /// All.
    All,
    /// None: others see to the routes. Hosts are answered for whether the kernel would find them
    /// or not.
    Never,
}

/// Which address of the sending link advertisements come from. Some networks drop all but one.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum NaSource {
    /// The link-local address of the link.
    LinkLocal,
    /// A global address of the link; its link-local address if there is none.
    Global,
    /// The target itself, although it is not ours.
    Target,
}

/// Timing that users may set. What the RFCs fix stands as constants where it is used.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Timing {
    /// Longest time that maintenance which is due may wait for company.
    pub alarm_interval: Duration,
    /// Silence after which a binding is probed, and time between its probes.
    pub probe_interval: Duration,
    /// Unanswered probes after which a binding is forgotten.
    pub probe_retries: u8,
    /// How long a target that did not answer is not asked for again.
    pub hold_down: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            alarm_interval: Duration::from_secs(10),
            probe_interval: Duration::from_secs(60),
            probe_retries: 5,
            hold_down: Duration::from_secs(20),
        }
    }
}

/// Caps. What is established stays; what is new is refused and counted.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Limits {
    /// Bindings in all.
    pub bindings: usize,
    /// Bindings on one link.
    pub bindings_per_link: usize,
    /// Bindings of one link-layer address on one link. Hosts have dozens of addresses (RFC 7934
    /// section 8), and a proxy or router behind which others live has hundreds.
    pub bindings_per_lladdr: usize,
    /// Bindings heard of on one link that never answered a probe. They come and go within seconds.
    pub unverified_per_link: usize,
    /// Resolutions of unknown targets under way for askers on one link (RFC 9099 section 2.3.1).
    pub resolutions_per_link: usize,
    /// Resolutions of unknown targets under way because our own kernel looks for them on one link:
    /// whoever scans the subnet through us makes it do so.
    pub kernel_resolutions_per_link: usize,
    /// Multicast groups joined on one link. The kernel walks all of them for each multicast frame.
    pub groups_per_link: usize,
    /// Targets remembered for not answering.
    pub held_down: usize,
    /// Targets remembered for having been asked for, 256 at least; see [`Engine::seen`](crate::Engine::seen).
    pub seen: usize,
    /// Multicast solicitations for new targets on one link, per second, and at once.
    pub solicits_per_second: u32,
    /// Solicitations that verify known bindings on one link, per second, and at once.
    pub probes_per_second: u32,
    /// Groups joined or left on one link, per second, and at once: each makes listener reports, and
    /// the kernel walks all groups of the link, so that neighbors wait where many are joined.
    pub joins_per_second: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            bindings: 32_768,
            bindings_per_link: 16_384,
            bindings_per_lladdr: 1_024,
            unverified_per_link: 1_024,
            resolutions_per_link: 256,
            kernel_resolutions_per_link: 64,
            groups_per_link: 16_384,
            held_down: 4_096,
            seen: 1_024,
            solicits_per_second: 256,
            probes_per_second: 1_024,
            joins_per_second: 256,
        }
    }
}
