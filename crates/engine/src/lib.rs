//! The decisions of Magpie: an IPv6 Neighbor Discovery proxy as a pure state machine.
//!
//! Nothing here performs I/O, reads a clock, logs, or depends on the order of a hash. [`Engine`]
//! takes one [`Input`] at a time and says with [`Output`]s what is to be done; its documentation
//! states the rules. The model is the routing proxy of RFC 8929 sections 7 and 9: learn where a
//! host is, install its host route, answer for it with the proxy's own link-layer address, and
//! let the kernel forward.
//!
//! The modules follow the messages: `solicit` and `advert` react to what comes in, `dad` to
//! duplicate address detection; `search` looks for the unknown, `nud` keeps the known, `claim`
//! decides who is right when two places claim the same address, `announce` tells of moves, and
//! `notice` tells a link what it would know wrong otherwise; `direct` answers by rules and routes
//! alone; `bare` knows links without link-layer addresses, and `data` what the kernel sends there; `kernel` follows this host's own links,
//! addresses and routes. What is answered for at all is decided by `rules`; `policy` applies
//! them. `send` alone builds messages.
#![forbid(unsafe_code)]

mod advert;
mod announce;
mod bare;
mod binding;
mod claim;
mod config;
mod counters;
mod dad;
mod data;
mod delayed;
mod direct;
mod discovery;
mod engine;
mod fib;
mod group;
mod input;
mod kernel;
mod limit;
mod link;
mod listener;
mod mdns;
mod member;
mod mrd;
mod notice;
mod nud;
mod output;
mod own;
mod policy;
mod recheck;
mod resolution;
mod route;
mod rules;
mod scope;
mod search;
mod seen;
mod send;
mod sizes;
mod solicit;
mod standing;
mod time;
mod timer;
mod view;

pub use config::{
    Announce, Config, Limits, LinkConfig, NaSource, Prefixes, RoutePolicy, RouterFlag, Timing,
};
pub use counters::{Counters, Discard};
pub use data::WatchedData;
pub use engine::Engine;
pub use input::{Egress, FoundRoute, Input, KernelEvent, LinkId, LinkInfo, ScopePrefix};
pub use mdns::{
    Addresses, Conflicts, Mdns, MdnsLimits, NameCounters, NameDiscard, NameEvent, NameRule,
    NameView, OtherService, Subject, Verdict,
};
pub use member::{Member, Members};
pub use notice::ANNOUNCEMENTS_PER_SECOND;
pub use output::{Datagram, Event, Evidence, KernelOp, Lost, Output, RequestId, Transmit};
pub use rules::{
    AddressSet, Decision, ExpressionError, ExpressionErrorKind, ExpressionWarning,
    ExpressionWarningKind, Expressions, List, ListKind, Method, Rule, RulePrefix, Rules,
};
pub use seen::SeenTarget;
pub use sizes::Sizes;
pub use time::Instant;
pub use timer::{Timer, Wakeup};
pub use view::{BindingState, BindingView, HostRouteView, RouteStatus, RouteView};
