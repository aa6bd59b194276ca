//! Lookups under way, and who waits for them.

use std::net::Ipv6Addr;

use magpie_wire::LinkAddr;

use crate::{Instant, LinkId, Member, Members};

/// Who asked for a target.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Asker {
    pub(crate) link: LinkId,
    /// The IPv6 source of the solicitation.
    pub(crate) source: Ipv6Addr,
    /// The Ethernet source of the solicitation. It is the place that surely exists: a link-layer
    /// address option may name somebody else, who would then be flooded with answers.
    pub(crate) lladdr: LinkAddr,
    /// Asked everybody, not just us.
    pub(crate) multicast: bool,
    /// The beginning of the nonce of its solicitation: it wants to be told what is true now (RFC
    /// 3971 section 5.3.2). Hosts send none outside of duplicate address detection, other Magpies
    /// always do.
    pub(crate) nonce: Option<u64>,
}

/// A lookup under way for a target.
#[derive(Debug)]
pub(crate) struct Resolution {
    /// Where the first asker is.
    pub(crate) origin: LinkId,
    pub(crate) phase: Phase,
    /// Which cap of its origin it counts towards; none if the target was known when it began.
    pub(crate) charged: Option<Charged>,
    askers: [Option<Asker>; Self::MAX_ASKERS],
    /// When the next round of solicitations, or giving up, is due.
    pub(crate) due: Option<Instant>,
}

/// On whose behalf an unknown target is looked for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Charged {
    /// Neighbors that ask.
    Askers,
    /// This host's own kernel.
    Kernel,
}

/// What a resolution waits for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Phase {
    /// The known place of the target is being verified, or its owner is still detecting
    /// duplicates; the binding keeps the time.
    Verify,
    /// The other links are asked.
    Search(Search),
    /// The target has answered; the kernel has yet to confirm its host route.
    Route,
}

/// A search on the other links.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Search {
    pub(crate) began: Instant,
    /// Rounds of solicitations sent.
    pub(crate) sent: u8,
    /// The links that the rules say to ask.
    pub(crate) to: Members,
    /// Askers on several links wait: every link is asked, the first asker's too.
    pub(crate) widened: bool,
    /// This host's kernel asks on the link of origin itself, so an answer from there counts.
    pub(crate) kernel: bool,
}

impl Resolution {
    /// RFC 4861 section 7.2.2 leaves the number of waiting packets to us; so RFC 6583 section
    /// 7.1 for askers.
    const MAX_ASKERS: usize = 8;

    pub(crate) fn new(origin: LinkId, phase: Phase, charged: Option<Charged>) -> Self {
        Self { origin, phase, charged, askers: [None; Self::MAX_ASKERS], due: None }
    }

    /// Remembers an asker once; tells whether there was room.
    pub(crate) fn add(&mut self, asker: Asker) -> bool {
        let same = |known: &Asker| known.link == asker.link && known.source == asker.source;
        if let Some(known) = self.askers.iter_mut().flatten().find(|known| same(known)) {
            *known = asker;
            return true;
        }
        match self.askers.iter_mut().find(|place| place.is_none()) {
            Some(place) => {
                *place = Some(asker);
                true
            }
            None => false,
        }
    }

    pub(crate) fn askers(&self) -> impl Iterator<Item = Asker> + '_ {
        self.askers.iter().flatten().copied()
    }

    /// Whether the search asks on `link`, which is `member`.
    pub(crate) fn asks(&self, link: LinkId, member: Member) -> bool {
        match self.phase {
            Phase::Search(search) => {
                (search.widened || link != self.origin) && search.to.contains(member)
            }
            Phase::Verify | Phase::Route => false,
        }
    }

    /// Whether the search asks, or hears the kernel ask, on `link`, which is `member`.
    pub(crate) fn searches(&self, link: LinkId, member: Member) -> bool {
        match self.phase {
            Phase::Search(search) if link == self.origin => search.widened || search.kernel,
            Phase::Search(search) => search.to.contains(member),
            Phase::Verify | Phase::Route => false,
        }
    }
}
