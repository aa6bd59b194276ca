//! What observers may see of the engine's state.

use std::net::Ipv6Addr;
use std::time::Duration;

use magpie_wire::LinkAddr;

use crate::{Evidence, LinkId};

/// One binding, as it stands at a given instant.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct BindingView {
    /// The address.
    pub target: Ipv6Addr,
    /// Where it is.
    pub link: LinkId,
    /// Its link-layer address; none until a restored binding has answered.
    pub lladdr: Option<LinkAddr>,
    /// How sure that is.
    pub state: BindingState,
    /// Time since it last answered a probe; none if it never did.
    pub confirmed: Option<Duration>,
    /// Time since it last gave a sign of life.
    pub seen: Duration,
    /// What brought it to notice.
    pub evidence: Evidence,
    /// Whether it says that it is a router.
    pub router: bool,
    /// What became of its host route.
    pub route: RouteView,
}

/// One host route that is kept or wanted, as it stands at a given instant.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct HostRouteView {
    /// The address.
    pub target: Ipv6Addr,
    /// Where it leads, or should lead.
    pub link: LinkId,
    /// Where packets for the address go out at present, if that is another link of the relay.
    pub leads_to: Option<LinkId>,
    /// What became of it.
    pub status: RouteStatus,
    /// Why there is one; none if no host is known for it.
    pub binding: Option<BindingView>,
}

/// How a host route is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum RouteStatus {
    /// The kernel has it, and its host was verified.
    Installed,
    /// The kernel has it from an earlier run, and its host has not been verified yet.
    Adopted,
    /// The kernel is asked for it, or will be when the link is up.
    Wanted,
    /// The kernel refused it, and will be asked again.
    Refused {
        /// The `errno` value.
        errno: i32,
    },
    /// Somebody else's route to the host is there.
    Foreign,
    /// It is being removed.
    Obsolete,
}

/// How sure a binding is.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum BindingState {
    /// Its owner is still detecting duplicates (RFC 4862 section 5.4): nothing is promised.
    Tentative,
    /// Heard of, not verified yet: nothing is promised.
    Candidate,
    /// Confirmed a moment ago: advertised at once.
    Reachable,
    /// Confirmed earlier: verified before it is advertised.
    Stale,
    /// Being verified.
    Probing,
}

impl BindingState {
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

/// What became of a host route.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum RouteView {
    /// None is wanted.
    None,
    /// The kernel was asked and has not answered, or refused and is asked again.
    Pending,
    /// The kernel has it.
    Installed,
    /// Somebody else's route to the host is there; ours is not installed.
    Foreign,
}

impl RouteView {
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
