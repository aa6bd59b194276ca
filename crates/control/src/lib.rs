//! What Magpie's daemon and its views say to each other: requests, replies, events and how they
//! travel over a Unix stream socket.
//!
//! The format on the wire is that of [Varlink](https://varlink.org): a JSON object, then an octet
//! of value zero. The interface `io.magpie` is described in [`INTERFACE_DESCRIPTION`], which the
//! daemon also hands out, so that general tools can talk to it.
#![forbid(unsafe_code)]

mod call;
pub mod client;
pub mod frame;
pub mod message;
pub mod server;

pub use call::{INTERFACE, INTERFACE_DESCRIPTION};
pub use client::{Client, ClientError, Watch};
pub use message::{
    AddRules, AddedRules, Announce, Announced, Crossing, Event, EventKind, Guard, Host, HostRoute,
    HostRouteState, HostState, LinkState, LinkStatus, Name, NamesStatus, NewRule, Reflector,
    RelayKind, RelayLink, RelayStatus, RemoveRules, RouteReason, RouteState, Rule, RuleMethod,
    RuleRefusal, RuleSource, Status, Target,
};
pub use server::{BindError, Handler, Server};

/// Where the daemon listens unless it is told otherwise.
pub const DEFAULT_PATH: &str = "/run/magpie/magpie.sock";
