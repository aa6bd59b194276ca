//! What the neighbors on a link are told one by one without having asked: all that they may hold
//! an outdated link-layer address of ours for (RFC 4861 section 7.2.6), and to routers each host
//! that is new (RFC 9131 section 6.1.2).
//!
//! A link that only lost its carrier for a while is told nothing: what its neighbors know is as
//! true as before.

use std::collections::VecDeque;
use std::net::Ipv6Addr;
use std::ops::Bound;
use std::time::Duration;

use crate::binding::{Binding, Untold};
use crate::direct::away;
use crate::engine::Engine;
use crate::fib::Answer;
use crate::link::Link;
use crate::{Announce, Decision, Discard, Evidence, Instant, LinkId, Timer};

/// Announcements that [`Engine::announce`] and changes of addresses cause on each link in a second
/// at most (RFC 9099 section 2.3.1 warns of bursts).
pub const ANNOUNCEMENTS_PER_SECOND: u64 = 100;
/// Time between two on one link.
const INTERVAL: Duration = Duration::from_nanos(1_000_000_000 / ANNOUNCEMENTS_PER_SECOND);
/// Any of them may be lost (RFC 4861 section 7.2.6): a short round is repeated once ...
const REPEAT_AFTER: Duration = Duration::from_secs(3);
/// ... and this is short, so that a long one does not occupy the link for longer than it takes
/// neighbors to find out by themselves.
const MOST_REPEATED: usize = 100;
/// Targets asked for most lately, of which neighbors most likely need to know.
const MOST_URGENT: usize = 256;
/// Targets that wait for their turn outside of a round.
const MOST_QUEUED: usize = 1024;
/// Targets of which there turns out to be nothing to tell that one turn passes over at most.
const MOST_PASSED: usize = 128;
/// Targets that are asked in one turn whether they are still there, so that there is always
/// somebody to tell of.
const MOST_ASKED: usize = 8;
/// How long after a round neighbors are told of what could not be told in it: hosts that had been
/// silent, and those that were forgotten together with the link.
const LATE: Duration = Duration::from_secs(30);

/// What is still to be told on one link.
#[derive(Debug, Default)]
pub(crate) struct Notices {
    round: Option<Round>,
    queue: VecDeque<(Ipv6Addr, Audience)>,
    /// Until when what the round found unverified, or not at all, is told of when it answers.
    late_until: Instant,
    /// When the next may be sent.
    free: Instant,
    /// When the next is due.
    pub(crate) due: Option<Instant>,
}

/// Who is told.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Audience {
    All,
    Routers,
}

/// A walk through everything that neighbors may know of a link.
#[derive(Debug)]
struct Round {
    place: Place,
    /// What was asked for on the link most lately, the latest first.
    urgent: Vec<Ipv6Addr>,
    /// Targets that were told of, or asked.
    handled: usize,
    repeats: bool,
    /// It does not go on before.
    rests_until: Instant,
}

/// What of a round comes next. Bindings that come or go meanwhile do no harm.
#[derive(Clone, Copy, Debug)]
enum Place {
    Own(usize),
    Urgent(usize),
    After(Option<Ipv6Addr>),
}

/// What became of a turn.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Turn {
    Told,
    /// It is asked whether it is still there before it is told of.
    Asked,
    Nothing,
}

impl Notices {
    fn has_work(&self) -> bool {
        self.round.is_some() || !self.queue.is_empty()
    }

    /// When the round goes on, if not now; none either if there is none.
    fn rests_until(&self, now: Instant) -> Option<Instant> {
        self.round.as_ref().map(|round| round.rests_until).filter(|until| *until > now)
    }
}

impl Engine {
    /// Tells the neighbors on a link, or on all, that what we answer for is to be sent to our
    /// link-layer address from now on: this host has taken over from another. Returns how many
    /// announcements that will be; they go out at [`ANNOUNCEMENTS_PER_SECOND`] on each link at most, those
    /// of hosts that have been silent for some time only when they have answered a probe.
    pub fn announce(&mut self, link: Option<LinkId>, now: Instant) -> usize {
        self.clock = now;
        let mut count = 0;
        let mut last = None;
        while let Some(id) = self.link_after(last) {
            last = Some(id);
            if link.is_none_or(|link| link == id) && self.has_neighbors_with_lladdr(id) {
                self.begin_round(id, id, now);
                count += self.count_round(id);
            }
        }
        count
    }

    /// Begins to tell the neighbors on `id` everything anew. They asked while the link was
    /// `known_as`.
    pub(crate) fn begin_round(&mut self, id: LinkId, known_as: LinkId, now: Instant) {
        if !self.has_neighbors_with_lladdr(id) {
            return;
        }
        let urgent = self.seen.latest(known_as, MOST_URGENT);
        if let Some(link) = self.links.get_mut(&id) {
            link.notices.round = Some(Round {
                place: Place::Own(0),
                urgent,
                handled: 0,
                repeats: false,
                rests_until: now,
            });
            // What an earlier round rests for is no reason to wait.
            self.timers.set(&mut link.notices.due, Timer::Notice(id), None);
        }
        self.resume_notices(id, now);
    }

    /// Goes on with what is to be told on a link, if that is possible now.
    pub(crate) fn resume_notices(&mut self, id: LinkId, now: Instant) {
        let is_ready = self.can_tell(id);
        let Some(link) = self.links.get_mut(&id) else { return };
        if is_ready && link.notices.has_work() && link.notices.due.is_none() {
            let at = link.notices.free.max(now);
            self.timers.set(&mut link.notices.due, Timer::Notice(id), Some(at));
        }
    }

    /// Tells of one target, or asks one whether it is still there.
    pub(crate) fn on_notice_due(&mut self, id: LinkId, now: Instant) {
        if let Some(link) = self.links.get_mut(&id) {
            link.notices.due = None;
        }
        if !self.can_tell(id) {
            return;
        }
        let mut next = now + INTERVAL;
        let mut asked = 0;
        for _ in 0..MOST_PASSED {
            let Some(link) = self.links.get_mut(&id) else { return };
            if !link.notices.has_work() {
                break;
            }
            let turn = if let Some((target, audience)) = link.notices.queue.pop_front() {
                match audience {
                    // It has answered since it was put there.
                    Audience::All => self.tell_all(id, target, true, now),
                    Audience::Routers => self.tell_routers(id, target, now),
                }
            } else if let Some(until) = link.notices.rests_until(now) {
                next = until;
                break;
            } else if let Some(target) = self.next_of_round(id) {
                let turn = self.tell_all(id, target, false, now);
                if let Some(link) = self.links.get_mut(&id) {
                    link.notices.late_until = now + LATE;
                    if let Some(round) = &mut link.notices.round {
                        round.handled += usize::from(turn != Turn::Nothing);
                    }
                }
                turn
            } else {
                self.finish_round(id, now);
                Turn::Nothing
            };
            asked += usize::from(turn == Turn::Asked);
            if turn == Turn::Told || asked == MOST_ASKED {
                break;
            }
        }
        if let Some(link) = self.links.get_mut(&id) {
            link.notices.free = now + INTERVAL;
            let next = link.notices.has_work().then_some(next);
            self.timers.set(&mut link.notices.due, Timer::Notice(id), next);
        }
    }

    /// Has neighbors told of a target that has just been verified and routed, if it is new, or if
    /// a round waits for it.
    pub(crate) fn note_routed(&mut self, target: Ipv6Addr, now: Instant) {
        let Some(binding) = self.bindings.get_mut(target) else { return };
        let untold = std::mem::take(&mut binding.untold);
        if untold == Untold::default() {
            return;
        }
        let place = binding.link;
        // A predecessor's hosts are no news to routers.
        let is_unknown = !matches!(binding.evidence, Evidence::Saved | Evidence::Route);
        let mut last = None;
        while let Some(id) = self.link_after(last) {
            last = Some(id);
            let announces_hosts = self.link_config(id).announce == Announce::Hosts;
            let Some(link) = self.links.get(&id).filter(|_| id != place) else { continue };
            if link.notices.late_until > now {
                self.queue_notice(id, target, Audience::All, now);
            } else if untold.routers && is_unknown && announces_hosts {
                self.queue_notice(id, target, Audience::Routers, now);
            }
        }
    }

    fn queue_notice(&mut self, id: LinkId, target: Ipv6Addr, audience: Audience, now: Instant) {
        let Some(link) = self.links.get_mut(&id) else { return };
        if link.info.lladdr.is_none() {
            return;
        }
        let queue = &mut link.notices.queue;
        if queue.len() >= MOST_QUEUED {
            return self.counters.count(Discard::NoticesFull);
        }
        queue.push_back((target, audience));
        let at = link.notices.free.max(now);
        if link.notices.due.is_none_or(|due| due > at) {
            self.timers.set(&mut link.notices.due, Timer::Notice(id), Some(at));
        }
    }

    /// Returns the next target of the round on a link, and goes on behind it.
    fn next_of_round(&mut self, id: LinkId) -> Option<Ipv6Addr> {
        loop {
            let round = self.links.get(&id)?.notices.round.as_ref()?;
            let (found, place) = match round.place {
                Place::Own(index) => match self.own_addresses_known_on(id).nth(index) {
                    Some(own) => (Some(own), Place::Own(index + 1)),
                    None => (None, Place::Urgent(0)),
                },
                Place::Urgent(index) => match round.urgent.get(index) {
                    Some(target) => (Some(*target), Place::Urgent(index + 1)),
                    None => (None, Place::After(None)),
                },
                Place::After(last) => {
                    let from = last.map_or(Bound::Unbounded, Bound::Excluded);
                    let elsewhere = |(_, binding): &(Ipv6Addr, &Binding)| binding.link != id;
                    let mut others = self.bindings.range(from).filter(elsewhere);
                    let next = others.find(|(target, _)| !round.urgent.contains(target))?.0;
                    (Some(next), Place::After(Some(next)))
                }
            };
            self.links.get_mut(&id)?.notices.round.as_mut()?.place = place;
            if found.is_some() {
                return found;
            }
        }
    }

    /// Has a round that is over begin once more after a while if it was short, or ends it.
    fn finish_round(&mut self, id: LinkId, now: Instant) {
        let Some(notices) = self.links.get_mut(&id).map(|link| &mut link.notices) else { return };
        let is_short = |round: &Round| (1..=MOST_REPEATED).contains(&round.handled);
        match &mut notices.round {
            Some(round) if !round.repeats && is_short(round) => {
                (round.place, round.repeats) = (Place::Own(0), true);
                round.rests_until = now + REPEAT_AFTER;
            }
            round => *round = None,
        }
    }

    /// Tells everybody on a link that a target is reached through us, if it surely is. What another
    /// proxy vouches for is sure only if it `has_answered` for this purpose.
    fn tell_all(&mut self, id: LinkId, target: Ipv6Addr, has_answered: bool, now: Instant) -> Turn {
        let Some(link) = self.links.get(&id) else { return Turn::Nothing };
        if link.kernel_proxied.contains(&target) {
            return Turn::Nothing;
        }
        if self.is_own_known_on(id, target) {
            self.advertise_to_all(id, target, true, true);
            return Turn::Told;
        }
        let router = match self.decide(target, id) {
            Decision::Deny => None,
            Decision::Static { .. } => (!self.is_on_own_link(target, id, now)).then_some(false),
            Decision::Route => match self.fib.get(target, Some(id)) {
                Some(Answer(route)) => away(route, id).map(|away| away.is_own),
                None => None,
            },
            Decision::Probe(to) if self.bindings.get(target).is_none() => {
                let route = self.fib.get(target, Some(id)).and_then(|answer| answer.0);
                let is_routed = self.has_route_away(target, id, to)
                    || self.is_routed_away(target, route, id, to);
                is_routed.then_some(false)
            }
            Decision::Probe(_) | Decision::Uncovered => {
                let Some(binding) = self.bindings.get_mut(target) else { return Turn::Nothing };
                let (place, router) = (binding.link, binding.router);
                // One that has moved to this very link, and detects duplicates there, would take what
                // we tell for a defense of its address.
                let is_sure = binding.is_reachable(now) && has_answered;
                let is_contested = binding.tentative.is_some() || binding.claim.is_some();
                if is_contested
                    || !self.may_tell(target, id, place)
                    || self.routes.conflicts(target, place)
                {
                    return Turn::Nothing;
                }
                if !is_sure || !self.is_routed(target, place) {
                    // RFC 8929 section 9.3: verified before it is advertised.
                    if let Some(binding) = self.bindings.get_mut(target) {
                        binding.untold.all = true;
                    }
                    self.verify(target, now);
                    return Turn::Asked;
                }
                Some(router)
            }
        };
        let Some(router) = router else { return Turn::Nothing };
        self.advertise_to_all(id, target, router, true);
        Turn::Told
    }

    /// Tells the routers on a link of a host that was found elsewhere. Once, since a router that
    /// does not hear it asks, as it would have without.
    fn tell_routers(&mut self, id: LinkId, target: Ipv6Addr, now: Instant) -> Turn {
        let Some(binding) = self.bindings.get(target) else { return Turn::Nothing };
        let (place, router) = (binding.link, binding.router);
        if !binding.is_reachable(now)
            || !self.may_tell(target, id, place)
            || !self.is_routed(target, place)
        {
            return Turn::Nothing;
        }
        self.advertise_to_routers(id, target, router);
        Turn::Told
    }

    fn count_round(&self, id: LinkId) -> usize {
        let told = |(target, binding): &(Ipv6Addr, &Binding)| {
            binding.confirmed.is_some()
                && binding.tentative.is_none()
                && self.may_tell(*target, id, binding.link)
        };
        self.own_addresses_known_on(id).count() + self.bindings.iter().filter(told).count()
    }

    /// Whether there are neighbors that hold a link-layer address of ours.
    /// Whether there are neighbors to be told anything that have link-layer addresses.
    fn has_neighbors_with_lladdr(&self, id: LinkId) -> bool {
        let has_lladdr = |link: &Link| link.info.lladdr.is_some();
        self.config.neighbor_discovery && self.links.get(&id).is_some_and(has_lladdr)
    }

    fn can_tell(&self, id: LinkId) -> bool {
        let Some(link) = self.links.get(&id).filter(|link| link.usable()) else { return false };
        let policy = self.config.link(link.info.member).na_source;
        link.advert_source(policy, Ipv6Addr::UNSPECIFIED).is_some()
    }

    /// Returns this host's own addresses that neighbors on a link know: those of that link, for
    /// which the kernel answers, and global ones of others, for which we do.
    fn own_addresses_known_on(&self, id: LinkId) -> impl Iterator<Item = Ipv6Addr> + '_ {
        let assigned =
            self.links.iter().flat_map(|(on, link)| link.assigned().map(move |own| (*on, own)));
        assigned
            .filter(move |(on, own)| {
                *on == id
                    || !own.is_unicast_link_local()
                        && match self.decide(*own, id) {
                            Decision::Deny => false,
                            Decision::Uncovered => self.relays_subnet_to(id),
                            _ => true,
                        }
            })
            .map(|(_, own)| own)
    }

    fn is_own_known_on(&self, id: LinkId, target: Ipv6Addr) -> bool {
        self.own_addresses_known_on(id).any(|own| own == target)
    }
}
