//! The host table: what is known of each target.

use std::collections::BTreeMap;
use std::net::Ipv6Addr;
use std::ops::Bound;
use std::time::Duration;

use magpie_wire::{Advert, LinkAddr};

use crate::bare::named;
use crate::search::RETRANS_TIMER;
use crate::{BindingState, Discard, Evidence, Instant, Limits, LinkId};

/// How long after a solicitation its answer is still taken for one: RFC 4861 section 10,
/// `MAX_MULTICAST_SOLICIT` times `RETRANS_TIMER`.
const ANSWER_TIME: Duration = Duration::from_secs(3);

/// What is known of one target.
#[derive(Debug)]
pub(crate) struct Binding {
    pub(crate) link: LinkId,
    pub(crate) lladdr: Option<LinkAddr>,
    /// The R flag of its own latest solicited advertisement (RFC 4861 appendix D).
    pub(crate) router: bool,
    /// Its latest answer was the owner's, not a proxy's.
    pub(crate) by_owner: bool,
    pub(crate) evidence: Evidence,
    /// The link it was heard of on, until it has answered a probe.
    pub(crate) hearsay: Option<LinkId>,
    /// Its group is joined wherever it may be asked for.
    pub(crate) joined: bool,
    /// When it last answered a probe.
    pub(crate) confirmed: Option<Instant>,
    /// Until when that answer suffices (RFC 4861 section 7.3.3).
    pub(crate) reachable_until: Option<Instant>,
    /// When it last gave a sign of life.
    pub(crate) seen: Instant,
    /// When it was last solicited, by us or by our kernel, without an answer yet.
    pub(crate) solicited: Option<Instant>,
    /// Until when duplicate address detection of the owner is under way (RFC 4862 section 5.4).
    pub(crate) tentative: Option<Instant>,
    pub(crate) verification: Option<Verification>,
    pub(crate) claim: Option<Box<Claim>>,
    /// When the latest claim was decided.
    pub(crate) claim_decided: Option<Instant>,
    pub(crate) upkeep: Upkeep,
    pub(crate) announcement: Option<Announcement>,
    pub(crate) kernel_view: KernelView,
    /// Who is still to be told of it when it is verified and routed.
    pub(crate) untold: Untold,
    /// When a neighbor on its own link first asked for it without it being verified since.
    pub(crate) doubted: Option<Instant>,
    /// The link of the latest confirmation, if the target is now said to be elsewhere.
    pub(crate) moved_from: Option<LinkId>,
    /// When something of the above is due.
    pub(crate) due: Option<Instant>,
}

/// Whether our kernel knows a target by the right link-layer address, if it knows it.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) enum KernelView {
    #[default]
    Current,
    /// It has another one now, with which it has yet to answer.
    Outdated,
    /// Its answer did not tell our kernel: everybody is asked for it then.
    AskAt(Instant),
}

impl KernelView {
    pub(crate) fn ask_at(self) -> Option<Instant> {
        match self {
            Self::AskAt(at) => Some(at),
            Self::Current | Self::Outdated => None,
        }
    }
}

/// Who does not know yet that a target is there. Everybody else knows, or finds out by asking.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Untold {
    /// Routers, wherever they are told: it was confirmed for the first time.
    pub(crate) routers: bool,
    /// All on links with a round: they may know it by an outdated link-layer address of ours.
    pub(crate) all: bool,
}

/// Quick probing of a known place.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Verification {
    pub(crate) sent: u8,
    pub(crate) next: Instant,
    /// The owner has only just finished duplicate address detection.
    pub(crate) fresh: bool,
}

/// Slow probing of what has been silent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Upkeep {
    pub(crate) sent: u8,
    pub(crate) next: Instant,
}

/// Somebody says that the target is elsewhere (RFC 6620 section 3.2.3, RFC 6957 section 4.2.2).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Claim {
    pub(crate) link: LinkId,
    pub(crate) lladdr: LinkAddr,
    pub(crate) evidence: Evidence,
    /// Made by duplicate address detection, which lasts until then: the claimant cannot answer
    /// probes yet.
    pub(crate) tentative: Option<Instant>,
    pub(crate) stage: Stage,
    /// A proxy has answered for the old place.
    pub(crate) answered_by_proxy: bool,
    /// Probes sent at this stage, and when the next is due.
    pub(crate) sent: u8,
    /// Probes that could not be sent.
    pub(crate) unasked: u8,
    pub(crate) interval: Duration,
    pub(crate) next: Instant,
}

/// Whom a claim waits for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Stage {
    /// The old place: does anybody still answer there?
    AskOld,
    /// The old place is silent: does the claimant answer?
    AskNew,
}

/// Whether an answer to a probe is the owner's own, not a proxy's: proxies leave out the O flag
/// (RFC 4861 section 7.2.8), owners do so only where they leave out the link-layer address too.
pub(crate) fn is_by_owner(answer: &Advert) -> bool {
    answer.overrides || answer.target_lladdr.is_none()
}

/// Unsolicited advertisements on the link that a target has left (RFC 4861 section 7.2.6).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Announcement {
    pub(crate) link: LinkId,
    pub(crate) left: u8,
    /// When it is no longer worth telling.
    pub(crate) until: Instant,
    /// When the next is due; none while it waits for the new place to answer, or for its route.
    pub(crate) next: Option<Instant>,
}

impl Announcement {
    /// RFC 4861 section 10: `MAX_NEIGHBOR_ADVERTISEMENT`.
    const MOST: u8 = 3;

    /// All of them fit into this time.
    const LIFETIME: Duration = Duration::from_secs(5);

    pub(crate) fn new(link: LinkId, now: Instant) -> Self {
        Self { link, left: Self::MOST, until: now + Self::LIFETIME, next: None }
    }
}

impl Binding {
    pub(crate) fn new(
        link: LinkId,
        lladdr: Option<LinkAddr>,
        evidence: Evidence,
        now: Instant,
    ) -> Self {
        Self {
            link,
            lladdr,
            router: false,
            by_owner: false,
            evidence,
            hearsay: (!matches!(evidence, Evidence::Saved | Evidence::Route)).then_some(link),
            joined: false,
            confirmed: None,
            reachable_until: None,
            seen: now,
            solicited: None,
            tentative: None,
            verification: None,
            claim: None,
            claim_decided: None,
            upkeep: Upkeep { sent: 0, next: now },
            announcement: None,
            kernel_view: KernelView::Current,
            untold: Untold::default(),
            doubted: None,
            moved_from: None,
            due: None,
        }
    }

    pub(crate) fn is_reachable(&self, now: Instant) -> bool {
        self.tentative.is_none() && self.reachable_until.is_some_and(|until| until > now)
    }

    /// Whether nobody claims it elsewhere, nor did just now.
    pub(crate) fn is_unclaimed(&self, now: Instant) -> bool {
        self.claim.is_none() && self.claim_decided.is_none_or(|at| now.since(at) >= RETRANS_TIMER)
    }

    /// Whether an answer from its place would be one to a solicitation of ours.
    pub(crate) fn expects_answer(&self, now: Instant) -> bool {
        self.solicited.is_some_and(|at| now.since(at) <= ANSWER_TIME)
    }

    pub(crate) fn state(&self, now: Instant) -> BindingState {
        if self.tentative.is_some() {
            BindingState::Tentative
        } else if self.is_reachable(now) {
            BindingState::Reachable
        } else if self.verification.is_some() {
            BindingState::Probing
        } else if self.confirmed.is_some() {
            BindingState::Stale
        } else {
            BindingState::Candidate
        }
    }

    /// Returns when something is due next.
    pub(crate) fn next_due(&self) -> Instant {
        [
            self.tentative,
            self.verification.map(|verification| verification.next),
            self.claim.as_ref().map(|claim| claim.next),
            self.announcement.and_then(|announcement| announcement.next),
            self.kernel_view.ask_at(),
        ]
        .into_iter()
        .flatten()
        .fold(self.upkeep.next, Instant::min)
    }
}

/// All bindings, and how many there are of each kind that has a cap.
#[derive(Debug, Default)]
pub(crate) struct Bindings {
    table: BTreeMap<Ipv6Addr, Binding>,
    per_link: BTreeMap<LinkId, usize>,
    /// Not of bare links, where nobody can be told from anybody.
    per_lladdr: BTreeMap<(LinkId, LinkAddr), usize>,
    /// Bindings that never answered a probe, by the link that they were heard of on.
    hearsay: BTreeMap<LinkId, usize>,
}

impl Bindings {
    pub(crate) fn get(&self, target: Ipv6Addr) -> Option<&Binding> {
        self.table.get(&target)
    }

    /// Grants changes to all but link and link-layer address; see [`Bindings::relocate`].
    pub(crate) fn get_mut(&mut self, target: Ipv6Addr) -> Option<&mut Binding> {
        self.table.get_mut(&target)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (Ipv6Addr, &Binding)> {
        self.table.iter().map(|(target, binding)| (*target, binding))
    }

    /// Returns the bindings behind a bound, by address.
    pub(crate) fn range(
        &self,
        from: Bound<Ipv6Addr>,
    ) -> impl Iterator<Item = (Ipv6Addr, &Binding)> {
        self.table.range((from, Bound::Unbounded)).map(|(target, binding)| (*target, binding))
    }

    /// Whether one more binding may be made for a place.
    pub(crate) fn has_room(
        &self,
        link: LinkId,
        lladdr: Option<LinkAddr>,
        limits: &Limits,
    ) -> Result<(), Discard> {
        let on_link = self.per_link.get(&link).copied().unwrap_or_default();
        let of_lladdr = lladdr
            .and_then(|lladdr| self.per_lladdr.get(&(link, lladdr)).copied())
            .unwrap_or_default();
        if self.table.len() < limits.bindings
            && on_link < limits.bindings_per_link
            && of_lladdr < limits.bindings_per_lladdr
        {
            Ok(())
        } else {
            Err(Discard::BindingsFull)
        }
    }

    /// Whether one more host may be heard of on a link: anybody can speak for addresses without
    /// end (RFC 3756 section 4.3.2).
    pub(crate) fn has_room_for_hearsay(
        &self,
        link: LinkId,
        limits: &Limits,
    ) -> Result<(), Discard> {
        let heard_of = self.hearsay.get(&link).copied().unwrap_or_default();
        if heard_of < limits.unverified_per_link { Ok(()) } else { Err(Discard::BindingsFull) }
    }

    /// Whether a station has an address on any other link than `link`.
    pub(crate) fn is_elsewhere(&self, lladdr: LinkAddr, link: LinkId) -> bool {
        let mut elsewhere = self.per_link.keys().filter(|other| **other != link);
        elsewhere.any(|other| self.per_lladdr.contains_key(&(*other, lladdr)))
    }

    /// Adds a binding for a target that has none.
    pub(crate) fn insert(&mut self, target: Ipv6Addr, binding: Binding) {
        self.count_in(binding.link, binding.lladdr);
        if let Some(link) = binding.hearsay {
            *self.hearsay.entry(link).or_default() += 1;
        }
        self.table.insert(target, binding);
    }

    /// Notes that a binding has answered a probe.
    pub(crate) fn verified(&mut self, target: Ipv6Addr) {
        let heard_of = self.table.get_mut(&target).and_then(|binding| binding.hearsay.take());
        if let Some(link) = heard_of {
            count_down(&mut self.hearsay, &link);
        }
    }

    pub(crate) fn remove(&mut self, target: Ipv6Addr) -> Option<Binding> {
        self.verified(target);
        let binding = self.table.remove(&target)?;
        self.count_out(binding.link, binding.lladdr);
        Some(binding)
    }

    /// Gives a binding another place; returns the link where it was.
    pub(crate) fn relocate(
        &mut self,
        target: Ipv6Addr,
        link: LinkId,
        lladdr: LinkAddr,
    ) -> Option<LinkId> {
        let binding = self.table.get_mut(&target)?;
        let old = (binding.link, binding.lladdr);
        binding.link = link;
        binding.lladdr = Some(lladdr);
        let named = old.1.and_then(named).zip(named(lladdr));
        if named.is_some_and(|(old, new)| old != new) {
            binding.kernel_view = KernelView::Outdated;
        }
        self.count_out(old.0, old.1);
        self.count_in(link, Some(lladdr));
        Some(old.0)
    }

    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    fn count_in(&mut self, link: LinkId, lladdr: Option<LinkAddr>) {
        *self.per_link.entry(link).or_default() += 1;
        if let Some(lladdr) = lladdr.and_then(named) {
            *self.per_lladdr.entry((link, lladdr)).or_default() += 1;
        }
    }

    fn count_out(&mut self, link: LinkId, lladdr: Option<LinkAddr>) {
        count_down(&mut self.per_link, &link);
        if let Some(lladdr) = lladdr.and_then(named) {
            count_down(&mut self.per_lladdr, &(link, lladdr));
        }
    }
}

fn count_down<K: Ord>(counts: &mut BTreeMap<K, usize>, key: &K) {
    if let Some(count) = counts.get_mut(key) {
        *count -= 1;
        if *count == 0 {
            counts.remove(key);
        }
    }
}
