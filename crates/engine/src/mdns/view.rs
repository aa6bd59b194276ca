//! What observers are shown of names.

use std::net::IpAddr;
use std::time::Duration;

use crate::LinkId;

/// A record that was seen, and what became of it. Nothing is answered from it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct NameView {
    /// The name, as DNS writes it (RFC 1035 section 5.1), without the final dot.
    pub name: String,
    /// The record type: `AAAA`, `SRV`, or `TYPE65` and the like.
    pub kind: String,
    /// What it says, shortened if it is long.
    pub data: String,
    /// The address that it names, if it is an address record.
    pub address: Option<IpAddr>,
    /// Where it was seen.
    pub link: LinkId,
    /// Who said it.
    pub source: IpAddr,
    /// How long ago it was last said.
    pub seen: Duration,
    /// What is left of its lifetime.
    pub remaining: Duration,
    /// What was last done with it, for each link that it might have gone to.
    pub verdicts: Vec<(LinkId, Verdict)>,
}

/// What was done with a record, or why it did not cross.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Verdict {
    /// It crossed.
    Passed,
    /// It names an address that means nothing on another link.
    LinkScoped,
    /// It names an address that hosts on the other link cannot reach through the relay.
    Unreachable,
    /// A rule denies it, or none allows it.
    Denied,
    /// It belongs to a host that no service which crosses is on.
    NotWanted,
    /// The same name is alive on the other link with other data.
    Conflict,
    /// Its host is on the other link as well, and says there what is true there.
    DualHomed,
    /// It crossed a moment ago.
    Recent,
    /// A rate limit was reached.
    RateLimited,
    /// It does not fit into a packet of the other link.
    TooLarge,
}

impl Verdict {
    /// Every verdict, in the order of their discriminants.
    pub const ALL: [Self; 10] = [
        Self::Passed,
        Self::LinkScoped,
        Self::Unreachable,
        Self::Denied,
        Self::NotWanted,
        Self::Conflict,
        Self::DualHomed,
        Self::Recent,
        Self::RateLimited,
        Self::TooLarge,
    ];

    /// Returns the stable name.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::LinkScoped => "link-scoped",
            Self::Unreachable => "unreachable",
            Self::Denied => "denied",
            Self::NotWanted => "not-wanted",
            Self::Conflict => "conflict",
            Self::DualHomed => "dual-homed",
            Self::Recent => "recent",
            Self::RateLimited => "rate-limited",
            Self::TooLarge => "too-large",
        }
    }
}

/// Something about names that an observer may want to know.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum NameEvent {
    /// A record was seen for the first time, or something else than before became of it.
    Seen(NameView),
    /// A record was withdrawn by its owner (RFC 6762 section 10.1).
    Withdrawn(NameView),
    /// A name is alive on two links with different data.
    Conflict {
        /// The name.
        name: String,
        /// One link.
        link: LinkId,
        /// The other.
        other: LinkId,
    },
    /// Another reflector serves the same links: what it repeats is not reflected from now on.
    Reflector {
        /// Where it sends.
        link: LinkId,
        /// Its address there.
        source: IpAddr,
    },
}
