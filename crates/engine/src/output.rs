//! What the engine wants done.

use std::net::Ipv6Addr;

use magpie_wire::{BufferTooSmall, LinkAddr, Packet};

use crate::{Discard, LinkId, NameEvent};

/// What the caller must do next, in the order given.
#[derive(Clone, Debug)]
pub enum Output {
    /// Send a frame.
    Transmit(Transmit),
    /// Send a frame of another protocol than Neighbor Discovery.
    Datagram(Datagram),
    /// Ask the kernel for something. Exactly one [`Input::Ack`](crate::Input::Ack) answers it,
    /// also on failure.
    Kernel {
        /// Pairs the request with its answer.
        request: RequestId,
        /// What is wanted.
        op: KernelOp,
    },
    /// Find the route that the kernel would take now. Exactly one
    /// [`Input::Route`](crate::Input::Route) answers it, or
    /// [`Input::RouteUnknown`](crate::Input::RouteUnknown).
    FindRoute {
        /// Pairs the question with its answer.
        request: RequestId,
        /// Where the packet goes.
        target: Ipv6Addr,
        /// Where the packet comes in; none if this host itself sends it.
        from: Option<LinkId>,
    },
    /// Something that an observer may want to know; the engine itself never logs.
    Event(Event),
}

/// One message and where it goes out.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Transmit {
    /// Where to send it.
    pub link: LinkId,
    /// The frame. On a link without link-layer addresses (see
    /// [`LinkInfo::lladdr`](crate::LinkInfo::lladdr)) it has none: those of its header are
    /// [`LinkAddr::ZERO`], and it carries no option that names one.
    pub packet: Packet<'static>,
}

impl Transmit {
    /// Writes the frame as its link wants it, with an Ethernet header or without; returns its
    /// length.
    ///
    /// # Errors
    ///
    /// If `buffer` is shorter than the frame; [`Packet::MAX_LEN`] octets always suffice.
    pub fn emit(&self, buffer: &mut [u8]) -> Result<usize, BufferTooSmall> {
        if self.is_bare() { self.packet.emit_bare(buffer) } else { self.packet.emit(buffer) }
    }

    /// Whether the frame goes out on a link without link-layer addresses, so that it begins with
    /// the IPv6 header.
    pub fn is_bare(&self) -> bool {
        self.packet.ethernet_source == LinkAddr::ZERO
    }
}

/// A whole frame and where it goes out: as its link wants it, with an Ethernet header or without.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Datagram {
    /// Where to send it.
    pub link: LinkId,
    /// The frame: one IP packet, or a fragment of one.
    pub frame: Vec<u8>,
}

/// Pairs a kernel request with its answer.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct RequestId(pub u64);

/// A request to the kernel.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum KernelOp {
    /// Make the host route to `target` lead to `link`, replacing our own route to it if there is
    /// one, in one step.
    SetRoute {
        /// The host.
        target: Ipv6Addr,
        /// Where it is.
        link: LinkId,
    },
    /// Remove our own host route to `target` through `link`; that there is none is no error.
    DelRoute {
        /// The host.
        target: Ipv6Addr,
        /// Where it was.
        link: LinkId,
    },
    /// Become a member of a multicast group on a link, with the listener report that tells
    /// snooping switches (RFC 3810).
    JoinGroup {
        /// The link.
        link: LinkId,
        /// The group.
        group: Ipv6Addr,
    },
    /// End a membership; that there is none is no error.
    LeaveGroup {
        /// The link.
        link: LinkId,
        /// The group.
        group: Ipv6Addr,
    },
}

/// What made the engine know of a binding.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Evidence {
    /// Its duplicate address detection was seen.
    Dad,
    /// It asked for somebody.
    Solicitation,
    /// It advertised itself, asked or unasked.
    Advertisement,
    /// It stood in the state file.
    Saved,
    /// Its listener report came from another link than it was known on.
    ListenerReport,
    /// A host route of a predecessor was found.
    Route,
    /// A name with its address was said, and crossed to another link or would have, if it were not
    /// known there.
    Name,
}

impl Evidence {
    /// Returns the stable name.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Dad => "dad",
            Self::Solicitation => "solicitation",
            Self::Advertisement => "advertisement",
            Self::Saved => "saved",
            Self::ListenerReport => "listener-report",
            Self::Route => "route",
            Self::Name => "name",
        }
    }
}

/// Why a binding ended.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Lost {
    /// It no longer answers probes.
    Silent,
    /// Its link is gone.
    LinkGone,
    /// It is no longer in scope.
    OutOfScope,
    /// It lost its duplicate address detection.
    Duplicate,
    /// The address turned out to be this host's own.
    OwnAddress,
}

impl Lost {
    /// Returns the stable name.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Silent => "silent",
            Self::LinkGone => "link-gone",
            Self::OutOfScope => "out-of-scope",
            Self::Duplicate => "duplicate",
            Self::OwnAddress => "own-address",
        }
    }
}

/// Something that an observer may want to know. Where there are no link-layer addresses, none is
/// named.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Event {
    /// A host was confirmed for the first time.
    Found {
        /// Its address.
        target: Ipv6Addr,
        /// Where it is.
        link: LinkId,
        /// Its link-layer address.
        lladdr: Option<LinkAddr>,
        /// What brought it to notice.
        evidence: Evidence,
    },
    /// A host was confirmed on another link.
    Moved {
        /// Its address.
        target: Ipv6Addr,
        /// Where it was.
        from: LinkId,
        /// Where it is.
        to: LinkId,
        /// Its link-layer address now.
        lladdr: Option<LinkAddr>,
    },
    /// A host was forgotten.
    Forgotten {
        /// Its address.
        target: Ipv6Addr,
        /// Where it was.
        link: LinkId,
        /// Why.
        why: Lost,
    },
    /// A host lost its place because the link or the prefix went, not because it fell silent: it
    /// may be there again when they come back. Told of hosts that were confirmed, and of those that
    /// were restored and had no time to answer.
    Displaced {
        /// Its address.
        target: Ipv6Addr,
        /// Where it was.
        link: LinkId,
        /// Its link-layer address, if it is known and the link has such.
        lladdr: Option<LinkAddr>,
    },
    /// Somebody tried to take an address whose owner answers on another link.
    Duplicate {
        /// The address.
        target: Ipv6Addr,
        /// Where the owner is.
        owner: LinkId,
        /// Where the claimant is.
        claimant: LinkId,
        /// The claimant's link-layer address.
        lladdr: Option<LinkAddr>,
    },
    /// A claim was refused because the old location still answers.
    ClaimRejected {
        /// The address.
        target: Ipv6Addr,
        /// Where the claim came from.
        link: LinkId,
        /// The claimant's link-layer address.
        lladdr: Option<LinkAddr>,
    },
    /// Our own message came back: two links are bridged together, or another proxy repeats it.
    Loop {
        /// Where it came back.
        link: LinkId,
        /// Whose address it was about.
        target: Ipv6Addr,
    },
    /// Somebody uses one of this host's own addresses.
    OwnAddressClaimed {
        /// The address.
        target: Ipv6Addr,
        /// Where the claim came from.
        link: LinkId,
        /// The claimant's link-layer address.
        lladdr: Option<LinkAddr>,
    },
    /// The kernel refused a host route; it is tried again later.
    RouteFailed {
        /// The host.
        target: Ipv6Addr,
        /// Where it is.
        link: LinkId,
        /// The `errno` value.
        errno: i32,
    },
    /// A host route was gone from the kernel without our doing, and is in place again.
    RouteRepaired {
        /// The host.
        target: Ipv6Addr,
        /// Where it is.
        link: LinkId,
    },
    /// A route that is not ours already leads to the host, elsewhere than where it answers. It is
    /// left alone, and the host is not advertised.
    ForeignRoute {
        /// The host.
        target: Ipv6Addr,
        /// Where the host answers.
        link: LinkId,
    },
    /// Something about names; see [`NameEvent`].
    Name(Box<NameEvent>),
    /// A cap was reached and something new was refused. Reported once a minute at most.
    Refused {
        /// Where it came from.
        link: LinkId,
        /// Which cap.
        reason: Discard,
    },
}
