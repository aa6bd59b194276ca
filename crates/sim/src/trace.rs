//! The last things that happened, kept so that a broken rule can be explained.

use std::collections::VecDeque;
use std::fmt;
use std::net::Ipv6Addr;
use std::rc::Rc;

use magpie_engine::{Event, Instant, KernelOp, LinkId};
use magpie_wire::{Message, Packet};

use crate::NodeId;
use crate::frame::{Datagram, Frame};
use crate::interface::Validity;
use crate::medium::Station;

/// How much is kept in all, and how much of it is shown for one address.
const KEPT: usize = 40_000;
const SHOWN: usize = 50;

#[derive(Debug, Default)]
pub(crate) struct Trace {
    entries: VecDeque<(Instant, Entry)>,
    digest: u64,
}

#[derive(Debug)]
pub(crate) enum Entry {
    Frame {
        by: Station,
        link: LinkId,
        frame: Rc<Frame>,
    },
    Wanted {
        node: NodeId,
        op: KernelOp,
    },
    Done {
        node: NodeId,
        op: KernelOp,
        result: Result<(), i32>,
    },
    Event {
        node: NodeId,
        event: Event,
    },
    Miss {
        node: NodeId,
        link: LinkId,
        target: Ipv6Addr,
    },
    Settled {
        address: Ipv6Addr,
        validity: Validity,
    },
    Moved {
        address: Ipv6Addr,
        to: Option<LinkId>,
    },
    Doze {
        address: Ipv6Addr,
        awake: bool,
    },
    /// An interface of a node comes, goes or changes.
    Port {
        node: NodeId,
        link: LinkId,
        segment: LinkId,
        change: Change,
    },
    Paused {
        node: NodeId,
        paused: bool,
    },
}

/// What happens to an interface.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Change {
    PluggedIn,
    Unplugged,
    SwitchedOn,
    SwitchedOff,
    CarrierFound,
    CarrierLost,
    Readdressed,
}

impl Trace {
    pub(crate) fn push(&mut self, at: Instant, entry: Entry) {
        // FNV-1a over what identifies the step: enough to tell two runs apart.
        for part in [at.as_nanos(), u64::from(entry.kind())] {
            self.digest = (self.digest ^ part).wrapping_mul(0x0100_0000_01b3);
        }
        if self.entries.len() == KEPT {
            self.entries.pop_front();
        }
        self.entries.push_back((at, entry));
    }

    pub(crate) fn digest(&self) -> u64 {
        self.digest
    }

    /// Returns the latest entries that concern an address, oldest first.
    pub(crate) fn about(&self, target: Ipv6Addr) -> String {
        let matching: Vec<_> = self
            .entries
            .iter()
            .rev()
            .filter(|(_, entry)| entry.concerns(target))
            .take(SHOWN)
            .collect();
        let lines = matching.iter().rev().map(|(at, entry)| format!("{} {entry}\n", Seconds(*at)));
        lines.collect()
    }
}

/// Virtual time as seconds with microseconds.
pub(crate) struct Seconds(pub(crate) Instant);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let micros = self.0.as_nanos() / 1_000;
        write!(f, "{:>6}.{:06}", micros / 1_000_000, micros % 1_000_000)
    }
}

impl Entry {
    fn kind(&self) -> u8 {
        match self {
            Self::Frame { .. } => 0,
            Self::Wanted { .. } => 1,
            Self::Done { .. } => 2,
            Self::Event { .. } => 3,
            Self::Miss { .. } => 4,
            Self::Settled { .. } => 5,
            Self::Moved { .. } => 6,
            Self::Doze { .. } => 7,
            Self::Port { .. } => 8,
            Self::Paused { .. } => 9,
        }
    }

    fn concerns(&self, address: Ipv6Addr) -> bool {
        match self {
            Self::Frame { frame, .. } => match &**frame {
                Frame::Nd { packet, .. } => match packet.message {
                    Message::Solicit(solicit) => {
                        solicit.target == address || packet.source == address
                    }
                    Message::Advert(advert) => advert.target == address,
                    _ => false,
                },
                // One that goes in circles is shown for a few hops.
                Frame::Data { datagram, .. } => {
                    (datagram.source == address || datagram.destination == address)
                        && datagram.hop_limit > Datagram::HOP_LIMIT - 5
                }
            },
            Self::Wanted { op, .. } | Self::Done { op, .. } => match op {
                KernelOp::SetRoute { target, .. } | KernelOp::DelRoute { target, .. } => {
                    *target == address
                }
                KernelOp::JoinGroup { group, .. } | KernelOp::LeaveGroup { group, .. } => {
                    *group == magpie_wire::solicited_node(address)
                }
            },
            Self::Event { event, .. } => target_of(event) == Some(address),
            Self::Miss { target, .. } => *target == address,
            Self::Settled { address: own, .. }
            | Self::Moved { address: own, .. }
            | Self::Doze { address: own, .. } => *own == address,
            // These concern everybody.
            Self::Port { .. } | Self::Paused { .. } => true,
        }
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Frame { by, link, frame } => {
                write!(f, "{by:?} link {}: ", link.0)?;
                match &**frame {
                    Frame::Nd { packet, .. } => {
                        let Packet { ethernet_destination, source, destination, .. } = packet;
                        write!(f, "{source} > {destination} ({ethernet_destination}) ")?;
                        write!(f, "{:?}", packet.message)
                    }
                    Frame::Data { datagram, .. } => {
                        let Datagram { source, destination, hop_limit, echo } = datagram;
                        write!(f, "data {source} > {destination} hop limit {hop_limit} {echo:?}")
                    }
                }
            }
            Self::Wanted { node, op } => write!(f, "{node:?} wants {op:?}"),
            Self::Done { node, op, result } => write!(f, "{node:?} kernel: {op:?} {result:?}"),
            Self::Event { node, event } => write!(f, "{node:?} reports {event:?}"),
            Self::Miss { node, link, target } => {
                write!(f, "{node:?} kernel: nobody has {target} on link {}", link.0)
            }
            Self::Settled { address, validity } => write!(f, "{address} is {validity:?}"),
            Self::Moved { address, to: Some(link) } => write!(f, "{address} goes to {}", link.0),
            Self::Moved { address, to: None } => write!(f, "{address} leaves"),
            Self::Port { node, link, segment, change } => {
                write!(f, "{node:?} interface {} on link {}: {change:?}", link.0, segment.0)
            }
            Self::Paused { node, paused } => write!(f, "{node:?} paused: {paused}"),
            Self::Doze { address, awake } => write!(f, "{address} awake: {awake}"),
        }
    }
}

/// Returns the address that an event is about.
fn target_of(event: &Event) -> Option<Ipv6Addr> {
    match event {
        Event::Found { target, .. }
        | Event::Moved { target, .. }
        | Event::Forgotten { target, .. }
        | Event::Displaced { target, .. }
        | Event::Duplicate { target, .. }
        | Event::ClaimRejected { target, .. }
        | Event::Loop { target, .. }
        | Event::OwnAddressClaimed { target, .. }
        | Event::RouteFailed { target, .. }
        | Event::RouteRepaired { target, .. }
        | Event::ForeignRoute { target, .. } => Some(*target),
        Event::Refused { .. } | Event::Name(_) => None,
    }
}
