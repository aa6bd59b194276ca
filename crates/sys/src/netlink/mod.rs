//! Talks to the kernel over netlink: requests with acknowledgements, dumps and notifications.
//!
//! * [`NetlinkSocket`] with a [`Batch`] sends many requests at once and reads their
//!   acknowledgements whenever they come, without allocating: the daemon's way.
//! * [`Connection`] sends and waits: dumps, and one-off requests of tests and tools.
//! * [`Monitor`] reads what the kernel announces.
//!
//! Messages are decoded attribute by attribute, and what is not used here is skipped: no message is
//! lost because a kernel changed an attribute that nobody asked for.

mod address;
pub(crate) mod attribute;
pub(crate) mod batch;
mod connection;
mod error;
mod event;
mod link;
mod lookup;
mod membership;
mod message;
mod monitor;
mod neighbor;
mod netconf;
mod route;
mod socket;

pub use rustix::io::Errno;

pub use address::{AddressEvent, AddressFlags, Ipv4AddressEvent, NewAddress};
pub use batch::Batch;
pub use connection::Connection;
pub use error::{KernelError, NetlinkError};
pub use event::{Change, Event};
pub use link::{
    BridgePortChange, LinkChange, LinkEvent, LinkPlace, MacvlanMode, NewBridge, NewMacvlan, VethEnd,
};
pub use lookup::{Egress, FoundRoute};
pub use membership::Membership;
pub use monitor::{Group, Monitor};
pub use neighbor::{NeighborEvent, NeighborState, NewNeighbor};
pub use netconf::ForwardingEvent;
pub use route::{HostRoute, Route, RouteEvent, RouteKind};
pub use socket::{Answer, Family, NetlinkSocket};
