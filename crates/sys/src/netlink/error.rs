//! What can go wrong on a netlink socket, and what the kernel says when it refuses a request.

use std::fmt;
use std::io;
use std::time::Duration;

use super::{Errno, Family, Group};

/// The kernel refused a request.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct KernelError {
    /// The error number.
    pub errno: Errno,
    /// The explanation that came with it, if any (extended acknowledgement).
    pub message: Option<Box<str>>,
}

impl fmt::Display for KernelError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.message {
            Some(message) => write!(f, "{} ({message})", self.errno),
            None => self.errno.fmt(f),
        }
    }
}

impl std::error::Error for KernelError {}

/// Talking over netlink failed.
#[derive(Debug, thiserror::Error)]
pub enum NetlinkError {
    /// No socket could be opened.
    #[error("cannot open a netlink socket for {family}")]
    Open {
        /// The part of the kernel that the socket should have talked to.
        family: Family,
        /// Why.
        source: io::Error,
    },
    /// A property of a socket could not be set.
    #[error("cannot set {option} on a netlink socket")]
    Option {
        /// The property.
        option: &'static str,
        /// Why.
        source: io::Error,
    },
    /// A group of notifications could not be joined.
    #[error("cannot subscribe to notifications about {group}")]
    Join {
        /// The group.
        group: Group,
        /// Why.
        source: io::Error,
    },
    /// Requests could not be handed to the kernel.
    #[error("cannot send {count} netlink requests")]
    Send {
        /// How many.
        count: usize,
        /// Why.
        source: io::Error,
    },
    /// Nothing could be received.
    #[error("cannot receive from a netlink socket")]
    Receive {
        /// Why.
        source: io::Error,
    },
    /// The socket's buffer was full, so that answers of the kernel are lost.
    #[error("answers of the kernel were lost because the socket's receive buffer was full")]
    Overrun,
    /// The kernel refused a request.
    #[error("cannot {action}")]
    Refused {
        /// What was asked for.
        action: String,
        /// What the kernel said.
        source: KernelError,
    },
    /// The kernel did not answer in time.
    #[error("cannot {action}: no answer from the kernel within {limit:?}")]
    Timeout {
        /// What was asked for.
        action: String,
        /// How long was waited.
        limit: Duration,
    },
    /// The kernel's tables changed during each of several dumps of them.
    #[error("cannot {action}: the table changed during each of {attempts} attempts")]
    Unsteady {
        /// What was asked for.
        action: String,
        /// How often it was tried.
        attempts: u32,
    },
}

impl NetlinkError {
    /// What the kernel said, if it refused a request.
    pub fn errno(&self) -> Option<Errno> {
        match self {
            Self::Refused { source, .. } => Some(source.errno),
            Self::Open { source, .. }
            | Self::Option { source, .. }
            | Self::Join { source, .. }
            | Self::Send { source, .. }
            | Self::Receive { source } => Errno::from_io_error(source),
            Self::Overrun | Self::Timeout { .. } | Self::Unsteady { .. } => None,
        }
    }
}
