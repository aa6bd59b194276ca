//! Builds networks of real Linux kernels in network namespaces, to test and to demonstrate against.
//!
//! A [`Node`] is a namespace; [`connect`] lays a cable between two of them. Dropping a node removes
//! all of it: nothing is left behind, not even after a crash. Call [`enter`] first thing in `main`;
//! it makes all of this work for ordinary users too.
//!
//! * [`Host`] does what hosts do with real kernels: addresses from Router Advertisements,
//!   Duplicate Address Detection, neighbor caches; it can be moved and unplugged.
//! * [`Gateway`] stands between two links of one subnet, for what is to be run there.
//! * [`RouterAdvertiser`] sends the Router Advertisements.
//! * [`Tunnel`] joins two nodes as a VPN or a mobile network does, without link-layer addresses.
//! * [`DelayLine`] joins links by a cable on which frames take their time.
//! * [`Tester`] sends and awaits single frames where no kernel interferes.
//! * [`ping_once`] and [`Pinger`] measure reachability, loss and outages.
//! * The module `peers`, a feature, finds the programs that Magpie is compared with, and runs those
//!   that speak multicast DNS.
//! * [`Capture`] keeps what was on the links for when a test fails.
//!
//! ```no_run
//! use std::sync::Arc;
//! use std::time::Duration;
//! use magpie_testnet::{AddressState, Bridge, Host, HostOptions, Node, Ping, ping_once};
//!
//! fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     magpie_testnet::enter()?;
//!     let switch = Arc::new(Node::switch("switch")?);
//!     switch.add_bridge(&Bridge::new("lan"))?;
//!     let first = Host::new("first", &switch, "lan", &HostOptions::default())?;
//!     let second = Host::new("second", &switch, "lan", &HostOptions::default())?;
//!     for (host, address) in [(&first, "2001:db8::1"), (&second, "2001:db8::2")] {
//!         let (address, limit) = (address.parse()?, Duration::from_secs(5));
//!         host.add_address(Host::LINK, address, 64)?;
//!         host.wait_address(Host::LINK, address, AddressState::Valid, limit)?;
//!     }
//!     ping_once(&first, &Ping::new("2001:db8::2".parse()?), Duration::from_secs(1))?;
//!     Ok(())
//! }
//! ```
#![forbid(unsafe_code)]

mod advertiser;
mod background;
mod cable;
mod capture;
mod delay;
mod error;
mod frame;
mod gateway;
mod host;
mod node;
mod pcapng;
#[cfg(feature = "peers")]
pub mod peers;
mod ping;
mod tester;
mod tunnel;
mod wait;

pub use advertiser::{AdvertisedPrefix, RouterAdvertiser, RouterAdvertiserOptions};
pub use cable::{Plug, connect};
pub use capture::Capture;
pub use delay::DelayLine;
pub use error::Error;
pub use frame::{Frame, Icmpv6, icmpv6_frame};
pub use gateway::Gateway;
pub use host::{Host, HostOptions};
pub use magpie_sys::netns::{UserNamespaceError, enter_user_namespace as enter};
pub use node::{AddressState, Bridge, Node};
pub use ping::{Ping, PingError, PingReport, Pinger, Probe, ping_once};
pub use tester::Tester;
pub use tunnel::Tunnel;
pub use wait::wait_for;
