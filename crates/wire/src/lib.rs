//! Frames to values and back: Neighbor Discovery, and the datagrams and messages of multicast DNS.
//!
//! [`Packet::parse`] takes a received frame apart and applies every check that needs no knowledge
//! of the network; what it refuses, it names as [`Malformed`]. [`Packet::emit`] writes a frame
//! into a buffer of the caller. Neither allocates, and neither panics on any input.
//!
//! ```
//! use magpie_wire::{LinkAddr, Message, Packet, Solicit, multicast_lladdr, solicited_node};
//!
//! let target = "2001:db8:1::21".parse()?;
//! let us = LinkAddr([2, 0, 0, 0, 0, 0x11]);
//! let group = solicited_node(target);
//! let question = Packet {
//!     ethernet_source: us,
//!     ethernet_destination: multicast_lladdr(group),
//!     source: "fe80::11".parse()?,
//!     destination: group,
//!     message: Message::Solicit(Solicit { target, source_lladdr: Some(us), nonce: None }),
//! };
//! let mut buffer = [0; Packet::MAX_LEN];
//! let length = question.emit(&mut buffer)?;
//! assert_eq!(Packet::parse(&buffer[..length])?, question);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! [`datagram`] does the same for UDP over IPv4 and IPv6, and [`dns`] for DNS messages. These two
//! allocate, and panic no more than the rest.
#![forbid(unsafe_code)]

mod checksum;
pub mod datagram;
pub mod dns;
mod error;
mod ethernet;
mod icmpv6;
mod ipv6;
mod mld;
mod ndisc;
mod ndisc_option;
mod packet;
mod writer;

pub use checksum::checksum;
pub use error::Malformed;
pub use ethernet::{
    ETHERNET_LEN, ETHERTYPE_IPV4, ETHERTYPE_IPV6, ETHERTYPE_QINQ, ETHERTYPE_VLAN, EthernetHeader,
    LinkAddr, ParseLinkAddrError,
};
pub use ipv6::{
    ALL_NODES, ALL_ROUTERS, ALL_SNOOPERS, IPV6_LEN, is_node_address, is_proxiable,
    multicast_lladdr, solicited_node,
};
pub use mld::MulticastRouterAdvert;
pub use ndisc::{Advert, RouterAdvert, RouterSolicit, Solicit};
pub use ndisc_option::{Nonce, PrefixInformation};
pub use packet::{Message, OwnMessage, Packet};
pub use writer::BufferTooSmall;
