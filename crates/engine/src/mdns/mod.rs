//! Reflects multicast DNS (RFC 6762) between the links of a relay: records, not packets.

mod settings;
mod view;

pub use settings::{Addresses, Conflicts, Mdns, MdnsLimits, NameRule, OtherService, Subject};
pub use view::{NameEvent, NameView, Verdict};
