//! Names that only one may have, seen on two links (RFC 6762 sections 9 and 10.2).
//!
//! Three cases look alike, and call for different things:
//! - *One host, repeated*: another reflector says on one link what a host says on the other. Some of
//!   the addresses are the same.
//! - *One host on both links*: it has other addresses on each. It must not hear of itself what is
//!   true elsewhere, or it takes that for another host's claim and renames itself. Either its
//!   link-layer address is the same, or it began to speak on both at once: hosts begin on all their
//!   links at the same time, with probes. Answers at the same time say nothing: who asks is answered
//!   at once by everybody. Only some hosts answer on one link the probe that they have just sent on
//!   the other, before their probe there: so who answers a probe is given time for one.
//! - *Two hosts*: one of them has to take another name, or both are kept apart.

use std::collections::BTreeMap;
use std::time::Duration;

use magpie_wire::LinkAddr;
use magpie_wire::dns::Name;

use super::fair::{Fair, Sender};
use super::packed::Packed;
use crate::{Instant, LinkId};

/// Hosts begin on all their links within this time: each after a random delay of 250 ms at most (RFC
/// 6762 section 8.1). Who waits for another host to be done with its probes begins later.
const AT_ONCE: Duration = Duration::from_millis(500);
/// How long who answers a probe has to probe as well, if it is the host that sent it. Less than the
/// 500 ms after which the last probe comes (RFC 6762 section 8.1): another host that has the name
/// must be heard then.
const FOLLOWS_WITHIN: Duration = Duration::from_millis(400);
/// How long a probe for a name that nobody is known to have is kept behind: until the host has begun
/// on its other links, if it has any, and less than the 500 ms after which the last of its three
/// probes comes.
const BEGINNING: Duration = Duration::from_millis(350);
/// How long two hosts with one name have to settle that between them, before observers are told.
/// Probing and announcing again takes less.
const SETTLING_TIME: Duration = Duration::from_secs(3);
/// How long it is remembered who had a name: longer than it lives, so that a host that nobody asks
/// for is known again. That it is one host on both links shows only when it begins.
const MEMORY: Duration = Duration::from_secs(24 * 3600);
/// How long somebody has a name at most without saying so again.
const LONGEST_LIFE: Duration = Duration::from_secs(3600);
/// How long a host that is on both links may take to say on one what it has just said on the other:
/// questions cross, so that it is asked on both.
const CATCHING_UP: Duration = Duration::from_secs(5);
/// Contents remembered of one name on one link.
const MOST_CONTENTS: usize = 16;
/// Conflicts that are followed.
const MOST_DISPUTES: usize = 256;
/// How long a probe says that its sender wants the name.
const PROBE_LIFE: Duration = Duration::from_secs(3);

/// Who has a name on the link that something would cross to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Other {
    /// Nobody, or who merely repeats what is said on the first.
    Nobody,
    /// The same host.
    SameHost,
    /// Another host.
    Stranger,
}

/// Who has which name on which link, as far as only one may have it.
#[derive(Debug)]
pub(super) struct Claims {
    claims: Fair<(Packed, LinkId), Claim>,
    /// Names that two hosts have, and since when.
    disputes: BTreeMap<(Packed, LinkId, LinkId), Dispute>,
}

/// What one station says of a name on one link.
#[derive(Debug)]
struct Claim {
    station: Sender,
    /// When it began to.
    since: Instant,
    /// Whether it began with a probe, as hosts do: otherwise it has had the name for longer.
    is_probed: bool,
    /// When it last did so, probes apart.
    asserted: Option<Instant>,
    /// What it says, and until when that holds.
    contents: Vec<(u64, Instant)>,
    /// When the name was first said on another link since that has ended here.
    missed: Option<Instant>,
}

#[derive(Clone, Copy, Debug)]
struct Dispute {
    since: Instant,
    is_reported: bool,
}

/// What somebody says of a name.
#[derive(Clone, Copy, Debug)]
pub(super) struct Assertion {
    pub(super) link: LinkId,
    pub(super) station: Sender,
    /// See [`Record::content`](magpie_wire::dns::Record::content).
    pub(super) content: u64,
    /// How long that holds; none if it is a probe, which only asks for the name.
    pub(super) life: Option<Duration>,
}

impl Claims {
    /// Makes a table for `cap` names and links.
    pub(super) fn new(cap: usize) -> Self {
        Self { claims: Fair::new(cap), disputes: BTreeMap::new() }
    }

    pub(super) fn limit(&mut self, cap: usize) {
        self.claims.limit(cap);
    }

    /// Takes note of what is said of a name; returns the other link if that makes it certain that
    /// two hosts have it, for the first time.
    pub(super) fn note(
        &mut self,
        name: &Name<'_>,
        assertion: Assertion,
        now: Instant,
    ) -> Option<LinkId> {
        let Assertion { link, station, content, life } = assertion;
        let until = now + life.unwrap_or(PROBE_LIFE).min(LONGEST_LIFE);
        let key = (Packed::key(name), link);
        let was_answer = life.is_none() && self.was_answer(&key, now);
        let was_alive = match self.claims.get_mut(&key) {
            Some(claim) => {
                let was_alive = claim.is_alive(now);
                let is_repeated = claim.says(content, now);
                if claim.station != station && was_alive && !is_repeated && life.is_none() {
                    // Who has the name will say so.
                    return None;
                }
                if claim.station != station && !is_repeated {
                    *claim = Claim::new(station, life.is_none(), now);
                } else if claim.station == station && !claim.is_probed && life.is_none() {
                    if !was_alive {
                        (claim.is_probed, claim.since) = (true, now);
                    } else if was_answer && now.since(claim.since) < FOLLOWS_WITHIN {
                        claim.is_probed = true;
                    }
                }
                claim.hold(content, until, now);
                if life.is_some_and(|life| !life.is_zero()) {
                    claim.asserted = Some(now);
                }
                was_alive
            }
            None if life.is_some_and(|life| life.is_zero()) => return None,
            None => {
                let mut claim = Claim::new(station, life.is_none(), now);
                claim.hold(content, until, now);
                claim.asserted = life.map(|_| now);
                self.claims.insert(key.clone(), station, now + MEMORY, claim);
                false
            }
        };
        self.claims.renew(&key, station, now + MEMORY);
        let elsewhere = self.elsewhere(&key, now);
        for other in &elsewhere {
            if let Some(there) = self.claims.get_mut(&(key.0.clone(), *other))
                && !there.is_alive(now)
            {
                there.missed.get_or_insert(now);
            }
        }
        self.follow(&key, elsewhere, was_alive, now)
    }

    /// Whether it is remembered that anybody had `name` on one of these links.
    pub(super) fn is_known(
        &self,
        name: &Name<'_>,
        mut links: impl Iterator<Item = LinkId>,
    ) -> bool {
        let name = Packed::key(name);
        links.any(|link| self.claims.get(&(name.clone(), link)).is_some())
    }

    /// Tells who has `name` on `to`, as somebody on `from` sees it.
    pub(super) fn other(&self, name: &Name<'_>, from: LinkId, to: LinkId, now: Instant) -> Other {
        let there = (Packed::key(name), to);
        if self.claims.get(&there).is_none() {
            return Other::Nobody;
        }
        self.compare(&(there.0.clone(), from), &there, now)
    }

    /// Whether the same station has the name on `to`.
    pub(super) fn is_present(
        &self,
        name: &Name<'_>,
        lladdr: LinkAddr,
        to: LinkId,
        now: Instant,
    ) -> bool {
        let claim = self.claims.get(&(Packed::key(name), to)).filter(|claim| claim.is_alive(now));
        claim.is_some_and(|claim| is_station(claim.station.lladdr, lladdr))
    }

    /// Whether somebody on `link` has just begun to probe for a name that nobody is known to have: it
    /// may be a host that begins on another link in a moment, and would take its own probe for
    /// another host's.
    pub(super) fn is_beginning(&self, name: &Name<'_>, link: LinkId, now: Instant) -> bool {
        let claim = self.claims.get(&(Packed::key(name), link));
        claim.is_some_and(|claim| claim.is_probed && now.since(claim.since) < BEGINNING)
    }

    pub(super) fn forget_link(&mut self, link: LinkId) {
        self.claims.take_all(|(_, on), _, _| *on == link);
        self.disputes.retain(|(_, one, other), _| *one != link && *other != link);
    }

    pub(super) fn forget_sender(&mut self, link: LinkId, sender: Sender) {
        self.claims.take_all(|(_, on), by, _| *on == link && by == sender);
    }

    fn compare(&self, from: &(Packed, LinkId), to: &(Packed, LinkId), now: Instant) -> Other {
        let (Some(here), Some(there)) = (self.claims.get(from), self.claims.get(to)) else {
            return Other::Nobody;
        };
        let is_there = there.is_alive(now);
        let is_late = there.missed.is_none_or(|missed| now.since(missed) < CATCHING_UP);
        if !here.is_alive(now) || here.shares_with(there, now) {
            Other::Nobody
        } else if is_station(here.station.lladdr, there.station.lladdr)
            || here.began_with(there, now)
        {
            if is_there || is_late { Other::SameHost } else { Other::Nobody }
        } else if is_there {
            Other::Stranger
        } else {
            Other::Nobody
        }
    }

    /// Whether what began a claim may have been the answer to a probe on another link.
    fn was_answer(&self, key: &(Packed, LinkId), now: Instant) -> bool {
        let Some(claim) = self.claims.get(key) else { return false };
        let others = self.elsewhere(key, now);
        let mut others = others.iter().filter_map(|link| self.claims.get(&(key.0.clone(), *link)));
        others.any(|other| other.is_probed && claim.since.since(other.since) <= AT_ONCE)
    }

    /// Returns the other links where the name is remembered.
    fn elsewhere(&self, (name, link): &(Packed, LinkId), now: Instant) -> Vec<LinkId> {
        let first = (name.clone(), LinkId(0));
        let last = (name.clone(), LinkId(u32::MAX));
        let known = self.claims.range(first..=last, now).map(|((_, other), _)| *other);
        known.filter(|other| other != link).collect()
    }

    /// Follows who disputes the name that was just claimed.
    fn follow(
        &mut self,
        key: &(Packed, LinkId),
        elsewhere: Vec<LinkId>,
        was_alive: bool,
        now: Instant,
    ) -> Option<LinkId> {
        let (name, link) = key;
        let mut found = None;
        for other in elsewhere {
            let there = (name.clone(), other);
            let dispute = (name.clone(), *link.min(&other), *link.max(&other));
            if !was_alive || self.compare(key, &there, now) != Other::Stranger {
                self.disputes.remove(&dispute);
            }
            if self.compare(key, &there, now) != Other::Stranger {
                continue;
            }
            let asserted = [key, &there].map(|key| self.claims.get(key)?.asserted);
            if self.disputes.len() >= MOST_DISPUTES && !self.disputes.contains_key(&dispute) {
                self.disputes.retain(|_, dispute| now.since(dispute.since) < MEMORY);
                if self.disputes.len() >= MOST_DISPUTES {
                    continue;
                }
            }
            let new = Dispute { since: now, is_reported: false };
            let dispute = self.disputes.entry(dispute).or_insert(new);
            let settled = dispute.since + SETTLING_TIME;
            let is_certain = asserted.iter().all(|at| at.is_some_and(|at| at >= settled));
            if is_certain && !dispute.is_reported {
                dispute.is_reported = true;
                found = Some(other);
            }
        }
        found
    }
}

impl Claim {
    fn new(station: Sender, is_probed: bool, now: Instant) -> Self {
        let contents = Vec::new();
        Self { station, since: now, is_probed, asserted: None, contents, missed: None }
    }

    /// Whether both began as one host does on two links.
    fn began_with(&self, other: &Self, now: Instant) -> bool {
        let is_in_time = |claim: &Self| claim.is_probed || now.since(claim.since) < FOLLOWS_WITHIN;
        let apart = self.since.since(other.since).max(other.since.since(self.since));
        (self.is_probed || other.is_probed)
            && is_in_time(self)
            && is_in_time(other)
            && apart <= AT_ONCE
    }

    fn is_alive(&self, now: Instant) -> bool {
        self.contents.iter().any(|(_, until)| *until > now)
    }

    fn says(&self, content: u64, now: Instant) -> bool {
        self.contents.iter().any(|(known, until)| *known == content && *until > now)
    }

    /// Whether what it says now is, or was last, said by the other.
    fn shares_with(&self, other: &Self, now: Instant) -> bool {
        let mut alive = self.contents.iter().filter(|(_, until)| *until > now);
        alive.any(|(content, _)| other.contents.iter().any(|(said, _)| said == content))
    }

    fn hold(&mut self, content: u64, until: Instant, now: Instant) {
        self.contents.retain(|(known, until)| *until > now && *known != content);
        if until > now {
            self.missed = None;
        }
        if self.contents.len() < MOST_CONTENTS {
            self.contents.push((content, until));
        }
    }
}

/// Whether two link-layer addresses are those of one station. Where there are none, nobody can be
/// told from anybody.
fn is_station(one: LinkAddr, other: LinkAddr) -> bool {
    one == other && one != LinkAddr::ZERO
}

#[cfg(test)]
mod tests {
    use super::super::sample::{NOW, name, sender, station};
    use super::*;

    const HERE: LinkId = LinkId(2);
    const THERE: LinkId = LinkId(3);
    const LIFE: Option<Duration> = Some(Duration::from_secs(120));
    const PROBE: Option<Duration> = None;
    const GOODBYE: Option<Duration> = Some(Duration::ZERO);

    fn at(millis: u64) -> Instant {
        NOW + Duration::from_millis(millis)
    }

    struct Table(Claims);

    impl Table {
        fn new() -> Self {
            Self(Claims::new(64))
        }

        fn note(
            &mut self,
            link: LinkId,
            by: u8,
            content: u64,
            life: Option<Duration>,
            millis: u64,
        ) -> Option<LinkId> {
            let assertion = Assertion { link, station: sender(by), content, life };
            self.0.note(&name("pi.local"), assertion, at(millis))
        }

        fn other(&self, millis: u64) -> Other {
            let there = self.0.other(&name("PI.local"), HERE, THERE, at(millis));
            assert_eq!(there, self.0.other(&name("pi.local"), THERE, HERE, at(millis)));
            there
        }
    }

    #[test]
    fn who_repeats_what_is_said_elsewhere_is_nobody() {
        let mut table = Table::new();
        table.note(HERE, 1, 10, LIFE, 0);
        table.note(HERE, 1, 11, LIFE, 0);
        table.note(THERE, 2, 11, LIFE, 50);
        assert_eq!(table.other(60), Other::Nobody);
        assert!(!table.0.is_present(&name("pi.local"), station(1), THERE, at(60)));
    }

    #[test]
    fn a_station_is_the_same_host_wherever_it_is() {
        let mut table = Table::new();
        table.note(HERE, 1, 10, LIFE, 0);
        table.note(THERE, 1, 20, LIFE, 60_000);
        assert_eq!(table.other(60_000), Other::SameHost);
        assert!(table.0.is_present(&name("pi.local"), station(1), THERE, at(60_000)));
        assert_eq!(table.other(240_000), Other::Nobody, "both have ended");
    }

    #[test]
    fn who_begins_on_both_links_at_once_is_one_host() {
        let mut table = Table::new();
        table.note(HERE, 1, 10, PROBE, 0);
        table.note(THERE, 2, 20, PROBE, 240);
        assert_eq!(table.other(300), Other::SameHost);
        table.note(HERE, 1, 10, LIFE, 800);
        table.note(THERE, 2, 20, LIFE, 1_100);
        assert_eq!(table.other(1_200), Other::SameHost);
        // Nobody asked for it for a while: it is still the same host.
        table.note(THERE, 2, 20, LIFE, 300_000);
        assert_eq!(table.0.other(&name("pi.local"), THERE, HERE, at(300_000)), Other::SameHost);
        table.note(HERE, 1, 10, LIFE, 300_100);
        assert_eq!(table.other(320_000), Other::SameHost);
        // It has left one of them: that shows when it is asked for.
        table.note(HERE, 1, 10, LIFE, 600_000);
        assert_eq!(table.0.other(&name("pi.local"), HERE, THERE, at(604_999)), Other::SameHost);
        assert_eq!(table.0.other(&name("pi.local"), HERE, THERE, at(605_000)), Other::Nobody);
    }

    #[test]
    fn who_answers_on_both_links_at_once_is_two_hosts() {
        let mut table = Table::new();
        table.note(HERE, 1, 10, LIFE, 0);
        table.note(THERE, 2, 20, LIFE, 5);
        assert_eq!(table.other(10), Other::Stranger);
        // They hear of each other, and make sure of their names.
        table.note(HERE, 1, 10, PROBE, 100);
        table.note(THERE, 2, 20, PROBE, 150);
        assert_eq!(table.other(200), Other::Stranger);
        table.note(HERE, 1, 10, LIFE, 1_000);
        table.note(THERE, 2, 20, LIFE, 1_005);
        assert_eq!(table.other(1_010), Other::Stranger);
        table.note(HERE, 1, 10, LIFE, 4_000);
        assert_eq!(table.note(THERE, 2, 20, LIFE, 4_005), Some(HERE));
    }

    #[test]
    fn who_answers_a_probe_and_probes_itself_is_one_host() {
        let mut table = Table::new();
        table.note(HERE, 1, 10, PROBE, 0);
        table.note(THERE, 2, 20, LIFE, 2);
        assert_eq!(table.other(2), Other::SameHost);
        table.note(THERE, 2, 20, PROBE, 200);
        table.note(HERE, 1, 10, LIFE, 1_000);
        table.note(THERE, 2, 20, LIFE, 1_200);
        assert_eq!(table.other(1_200), Other::SameHost);

        // Who has the name just answers, and is heard before the last probe is over.
        let mut table = Table::new();
        table.note(HERE, 1, 10, PROBE, 0);
        table.note(THERE, 2, 20, LIFE, 2);
        table.note(HERE, 1, 10, PROBE, 250);
        table.note(HERE, 1, 10, PROBE, 500);
        assert_eq!(table.other(500), Other::Stranger);
        table.note(THERE, 2, 20, PROBE, 510);
        assert_eq!(table.other(510), Other::Stranger);
    }

    #[test]
    fn a_host_that_was_there_before_shows_itself_when_it_begins_anew() {
        let mut table = Table::new();
        for (station, link) in [(1, HERE), (2, THERE)] {
            table.note(link, station, u64::from(station), LIFE, 0);
            table.note(link, station, u64::from(station), GOODBYE, 5_000);
        }
        table.note(HERE, 1, 1, PROBE, 9_000);
        table.note(THERE, 2, 2, PROBE, 9_200);
        assert_eq!(table.other(9_300), Other::SameHost);
        // Overnight nobody asks for it.
        table.note(HERE, 1, 1, LIFE, 10_000);
        table.note(THERE, 2, 2, LIFE, 10_000);
        table.note(HERE, 1, 1, LIFE, 12 * 3_600_000);
        table.note(THERE, 2, 2, LIFE, 12 * 3_600_000 + 3_000);
        assert_eq!(table.other(12 * 3_600_000 + 3_000), Other::SameHost);
    }

    #[test]
    fn a_conflict_that_goes_on_is_reported_once() {
        let mut table = Table::new();
        table.note(HERE, 1, 10, LIFE, 0);
        assert_eq!(table.note(THERE, 2, 20, LIFE, 5_000), None);
        assert_eq!(table.other(5_000), Other::Stranger);
        assert_eq!(table.note(HERE, 1, 10, LIFE, 7_900), None, "there is time to settle it");
        assert_eq!(table.note(HERE, 1, 10, LIFE, 8_500), None, "the other may have given in");
        assert_eq!(table.note(THERE, 2, 20, LIFE, 9_000), Some(HERE));
        assert_eq!(table.note(HERE, 1, 10, LIFE, 9_100), None, "that has been told");
        // One of them is gone and comes back.
        table.note(HERE, 1, 10, LIFE, 120_000);
        assert_eq!(table.other(130_000), Other::Nobody);
        table.note(THERE, 2, 20, LIFE, 140_000);
        assert_eq!(table.note(HERE, 1, 10, LIFE, 144_000), None);
        assert_eq!(table.note(THERE, 2, 20, LIFE, 144_000), Some(HERE));
    }

    #[test]
    fn a_conflict_that_is_settled_is_not_reported() {
        let mut table = Table::new();
        table.note(HERE, 1, 10, LIFE, 0);
        table.note(THERE, 2, 20, PROBE, 5_000);
        assert_eq!(table.other(5_000), Other::Stranger);
        assert_eq!(table.other(8_000), Other::Nobody, "a probe claims nothing");
        table.note(THERE, 2, 20, LIFE, 10_000);
        table.note(THERE, 2, 20, GOODBYE, 11_000);
        assert_eq!(table.other(12_000), Other::Nobody);
        assert_eq!(table.note(HERE, 1, 10, LIFE, 20_000), None);
    }

    #[test]
    fn a_probe_does_not_take_a_name_from_its_owner() {
        let mut table = Table::new();
        table.note(HERE, 1, 10, LIFE, 0);
        table.note(THERE, 2, 20, LIFE, 60_000);
        table.note(THERE, 3, 30, PROBE, 60_100);
        assert!(table.0.is_present(&name("pi.local"), station(2), THERE, at(60_200)));
        assert!(!table.0.is_present(&name("pi.local"), station(3), THERE, at(60_200)));
    }

    #[test]
    fn a_link_or_a_sender_is_forgotten() {
        let mut table = Table::new();
        table.note(HERE, 1, 10, LIFE, 0);
        table.note(THERE, 2, 20, LIFE, 5_000);
        table.0.forget_sender(THERE, sender(1));
        assert_eq!(table.other(5_000), Other::Stranger);
        table.0.forget_sender(THERE, sender(2));
        assert_eq!(table.other(5_000), Other::Nobody);
        table.note(THERE, 2, 20, LIFE, 5_000);
        table.0.forget_link(HERE);
        assert_eq!(table.other(5_000), Other::Nobody);
        assert!(table.0.disputes.is_empty());
    }
}
