//! Says what kept a measurement from being made.

use std::io;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::Duration;

use magpie_sys::netlink::NetlinkError;
use magpie_sys::netns::{NamespaceError, UserNamespaceError};
use magpie_sys::packet::{LinkFault, PacketError};
use magpie_sys::sandbox::SandboxError;
use magpie_sys::signal::SignalError;
use magpie_sys::sysctl::SysctlError;
use magpie_testnet::peers::DaemonError;

/// Why a measurement could not be made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BenchError {
    /// No namespaces for this process.
    #[error(transparent)]
    UserNamespace(#[from] UserNamespaceError),
    /// A network namespace.
    #[error(transparent)]
    Namespace(#[from] NamespaceError),
    /// Links, addresses or routes.
    #[error(transparent)]
    Netlink(#[from] NetlinkError),
    /// A packet socket.
    #[error(transparent)]
    Packet(#[from] PacketError),
    /// A link under a packet socket.
    #[error(transparent)]
    Link(#[from] LinkFault),
    /// The hosts and gateways of a network that their kernels take part in.
    #[error(transparent)]
    Network(#[from] magpie_testnet::Error),
    /// avahi-daemon as a host, or beside another reflector.
    #[error(transparent)]
    Peer(#[from] DaemonError),
    /// Signals.
    #[error(transparent)]
    Signal(#[from] SignalError),
    /// Somebody wants the measurements to end.
    #[error("interrupted")]
    Interrupted,
    /// The frames of a link.
    #[error("cannot receive or send the frames of the hosts inside")]
    Frames(#[from] io::Error),
    /// A setting of the kernel's.
    #[error(transparent)]
    Sysctl(#[from] SysctlError),
    /// What a system under test is shown in place of what is there.
    #[error(transparent)]
    Sandbox(#[from] SandboxError),
    /// A link that was just made is not there.
    #[error("the link {name} is not there")]
    NoLink {
        /// Its name.
        name: &'static str,
    },
    /// A link stays without carrier.
    #[error("the links of the router did not come up within {limit:?}")]
    NoCarrier {
        /// How long it had.
        limit: Duration,
    },
    /// A thread could not be kept on its processor.
    #[error("cannot stay on processor {cpu}; the measurements take two processors")]
    Pin {
        /// The processor.
        cpu: usize,
        /// Why.
        source: io::Error,
    },
    /// A file could not be written or read.
    #[error("cannot {attempt} {}", path.display())]
    File {
        /// What was tried.
        attempt: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A program could not be started.
    #[error("cannot start {program}")]
    Start {
        /// The program.
        program: String,
        /// Why.
        source: io::Error,
    },
    /// A program that prepares the measurements failed.
    #[error("{program} failed ({status})")]
    Failed {
        /// The program with its arguments.
        program: String,
        /// How it ended.
        status: ExitStatus,
    },
    /// A system under test answered nothing.
    #[error("{system} answered nothing within {limit:?}; it said: {said}")]
    Silent {
        /// The system.
        system: &'static str,
        /// How long it had.
        limit: Duration,
        /// What it wrote to its standard output and error.
        said: String,
    },
    /// A system under test ended on its own.
    #[error("{system} ended while it was measured; it said: {said}")]
    Ended {
        /// The system.
        system: &'static str,
        /// What it wrote to its standard output and error.
        said: String,
    },
    /// The kernel's account of a process lacks something.
    #[error("no {field} in {}", path.display())]
    Account {
        /// What was looked for.
        field: &'static str,
        /// Where.
        path: PathBuf,
    },
    /// A name on the command line means nothing.
    #[error("there is no {kind} called {name:?}; there are: {known}")]
    Unknown {
        /// What was named.
        kind: &'static str,
        /// The name.
        name: String,
        /// What could have been named.
        known: String,
    },
}
