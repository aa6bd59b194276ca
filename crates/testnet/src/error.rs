//! What can go wrong while a network is built or watched.

use std::io;
use std::time::Duration;

use magpie_sys::netlink::NetlinkError;
use magpie_sys::netns::NamespaceError;
use magpie_sys::sysctl::SysctlError;
use magpie_sys::tun::TunError;

/// A network could not be built, or did not do what was awaited.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A namespace could not be made or entered.
    #[error("cannot use the namespace of {node}")]
    Namespace {
        /// The node.
        node: String,
        /// Why.
        source: NamespaceError,
    },
    /// The kernel refused a change or did not answer.
    #[error("on {node}")]
    Netlink {
        /// The node.
        node: String,
        /// What failed.
        source: NetlinkError,
    },
    /// A setting could not be read or written.
    #[error("on {node}")]
    Sysctl {
        /// The node.
        node: String,
        /// What failed.
        source: SysctlError,
    },
    /// A tunnel device could not be made.
    #[error("on {node}")]
    Tun {
        /// The node.
        node: String,
        /// Why.
        source: TunError,
    },
    /// A node has no such link.
    #[error("{node} has no link {link}")]
    NoLink {
        /// The node.
        node: String,
        /// The link.
        link: String,
    },
    /// A link has no link-layer address.
    #[error("{link} of {node} has no link-layer address")]
    NoLinkAddr {
        /// The node.
        node: String,
        /// The link.
        link: String,
    },
    /// Something did not happen in time.
    #[error("waited {limit:?} for {what}; {seen}")]
    Awaited {
        /// What should have happened.
        what: String,
        /// What was there instead.
        seen: String,
        /// How long was waited.
        limit: Duration,
    },
    /// A frame arrived that should not have.
    #[error("{what} arrived at {place}: {seen}")]
    Unwanted {
        /// What should not have arrived.
        what: String,
        /// Where it was looked for.
        place: String,
        /// What arrived.
        seen: String,
    },
    /// A system call failed.
    #[error("cannot {action}")]
    System {
        /// What was attempted.
        action: String,
        /// Why.
        source: io::Error,
    },
}

impl Error {
    /// Wraps the failure of a system call; `action` completes the sentence "cannot ...".
    pub(crate) fn system(action: impl Into<String>, source: impl Into<io::Error>) -> Self {
        Self::System { action: action.into(), source: source.into() }
    }
}
