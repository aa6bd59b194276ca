//! Reaches the Linux kernel: system calls, netlink and namespaces behind safe functions.
//!
//! The one crate of the workspace that contains unsafe code; each block says why it is sound.
#![deny(unsafe_op_in_unsafe_fn)]
#![allow(unsafe_code, reason = "system calls that no safe library offers are made here alone")]

pub mod batch;
pub mod child;
pub mod clock;
mod filter;
pub mod framing;
pub mod group;
pub mod guard;
pub mod link_socket;
pub mod netlink;
pub mod netns;
pub mod packet;
pub mod poller;
mod raw_option;
pub mod reserved_port;
pub mod sandbox;
pub mod signal;
pub mod sysctl;
pub mod tun;
