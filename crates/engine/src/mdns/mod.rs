//! Reflects multicast DNS (RFC 6762) between the links of a relay: records, not packets.

#[allow(dead_code, reason = "the reflector calls it")]
mod address;
#[allow(dead_code, reason = "the reflector calls it")]
mod conflict;
#[allow(dead_code, reason = "the reflector calls it")]
mod fair;
#[allow(dead_code, reason = "the reflector calls it")]
mod filter;
#[allow(dead_code, reason = "the reflector calls it")]
mod judge;
#[allow(dead_code, reason = "the reflector calls it")]
mod names;
#[allow(dead_code, reason = "the reflector calls it")]
mod nsec;
#[allow(dead_code, reason = "the reflector calls it")]
mod packed;
#[allow(dead_code, reason = "the reflector calls it")]
mod pattern;
#[allow(dead_code, reason = "the reflector calls it")]
mod reach;
#[cfg(test)]
mod sample;
mod settings;
#[allow(dead_code, reason = "the reflector calls it")]
mod shape;
mod view;

pub use settings::{Addresses, Conflicts, Mdns, MdnsLimits, NameRule, OtherService, Subject};
pub use view::{NameEvent, NameView, Verdict};
