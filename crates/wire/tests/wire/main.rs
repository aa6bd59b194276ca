//! What the codec owes the standards: golden frames, one test for each rule that needs no
//! knowledge of the network, and properties that hold for any octets at all.
#![expect(clippy::unwrap_used, reason = "the helpers of a test state their assumptions, too")]

#[path = "../corpus/mod.rs"]
mod corpus;

mod advert;
mod datagram;
mod dns;
mod golden;
mod link;
mod properties;
mod raw;
mod solicit;
