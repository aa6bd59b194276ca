//! What the codec owes the standards: golden frames, one test for each rule that needs no
//! knowledge of the network, and properties that hold for any octets at all.

mod advert;
mod golden;
mod link;
mod properties;
mod raw;
mod solicit;
