//! Reflects multicast DNS (RFC 6762) between the links of a relay: records, not packets.
//!
//! A datagram comes in at `turn`, which lends the engine to the `reflector`; this drops what this host
//! itself sent, what came to it alone and what is too much (`budget`), puts fragments together
//! (`reassembly`), and hands each message on by its kind:
//! - `question`: queries with their known answers, and probes;
//! - `response`: records, announced or asked for, and withdrawn;
//! - `legacy`: queries of simple resolvers, and the answers to them;
//! - `other`: what other discovery protocols say.
//!
//! Each question and record is decided on its own, for each link that it might go to. `judge` says
//! what may cross, from `filter` (rules), `address` and `reach` (who can be reached), `nsec` (what is
//! left of a denial), `conflict` (who else has the name) and `names` (what was seen where). `memory`
//! says what has been there already, and `peer` who merely repeats it: other reflectors. What is left
//! is composed anew and goes out by `egress`. Nothing is ever answered from memory.

mod address;
mod budget;
mod conflict;
mod counters;
mod egress;
mod fair;
mod filter;
mod judge;
mod legacy;
mod memory;
mod names;
mod nsec;
mod other;
mod packed;
mod pattern;
mod peer;
mod question;
mod reach;
mod reassembly;
mod reflector;
mod response;
#[cfg(test)]
mod sample;
mod settings;
mod shape;
mod turn;
mod view;

pub use counters::{NameCounters, NameDiscard};
pub(crate) use reflector::{Reflector, Scene};
pub use settings::{Addresses, Conflicts, Mdns, MdnsLimits, NameRule, OtherService, Subject};
pub use view::{NameEvent, NameView, Verdict};
