//! Other reflectors between the same links, known by what they do.
//!
//! Only a reflector says on a link what somebody else there said, after we had passed it on. Hosts
//! do so too now and then: one with two interfaces on a link says the same on both, and everybody
//! asks for the same services. But hosts say things of their own as well, which speaks for them.
//! Where a reflector is known on one link, who says on another what hosts on the first have just
//! said is its other side.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use crate::mdns::memory::Speaker;
use crate::{Instant, LinkId};

/// Different contents that have to come back,
const ENOUGH: usize = 4;
/// within this time.
const WITHIN: Duration = Duration::from_secs(10);
/// How long a reflector is remembered that shows no sign of being one.
const REMEMBERED: Duration = Duration::from_secs(600);
/// Senders that are suspected at a time.
const MAX_SUSPECTS: usize = 128;

#[derive(Debug, Default)]
struct Suspect {
    /// What came back lately, and when.
    evidence: Vec<(u64, Instant)>,
    /// One of these was a record that only one host has.
    was_unique: bool,
    is_reflector: bool,
    last: Instant,
}

/// Senders that repeat what others say.
#[derive(Debug, Default)]
pub(crate) struct Peers {
    suspects: BTreeMap<(LinkId, IpAddr), Suspect>,
    /// When what only one host says was last said on another link as well, long after.
    delayed: Option<Instant>,
}

impl Peers {
    /// Notes that what others said came back from `speaker`; tells whether that is the last proof of
    /// its being a reflector.
    pub(crate) fn accuse(
        &mut self,
        speaker: Speaker,
        content: u64,
        is_unique: bool,
        now: Instant,
    ) -> bool {
        let key = (speaker.link, speaker.source);
        if self.suspects.len() >= MAX_SUSPECTS && !self.suspects.contains_key(&key) {
            let harmless = self.suspects.iter().filter(|(_, suspect)| !suspect.is_reflector);
            let oldest = harmless.min_by_key(|(_, suspect)| suspect.last).map(|(key, _)| *key);
            let Some(oldest) = oldest else { return false };
            self.suspects.remove(&oldest);
        }
        let suspect = self.suspects.entry(key).or_default();
        suspect.evidence.retain(|(_, at)| now.since(*at) < WITHIN);
        if suspect.evidence.is_empty() {
            suspect.was_unique = false;
        }
        suspect.last = now;
        suspect.was_unique |= is_unique;
        if suspect.evidence.len() < ENOUGH
            && suspect.evidence.iter().all(|(known, _)| *known != content)
        {
            suspect.evidence.push((content, now));
        }
        let is_proven = suspect.was_unique && suspect.evidence.len() >= ENOUGH;
        let is_news = is_proven && !suspect.is_reflector;
        suspect.is_reflector |= is_proven;
        is_news
    }

    /// Notes that `speaker` said something that only a host says of itself, which speaks for one who
    /// is merely suspected. A gateway may be both, though.
    pub(crate) fn acquit(&mut self, speaker: Speaker) {
        let key = (speaker.link, speaker.source);
        let suspect = self.suspects.get_mut(&key).filter(|suspect| !suspect.is_reflector);
        let Some(suspect) = suspect else { return };
        suspect.evidence.pop();
        if suspect.evidence.is_empty() {
            self.suspects.remove(&key);
        }
    }

    /// Whether anything came back from `speaker`.
    pub(crate) fn is_accused(&self, speaker: Speaker, now: Instant) -> bool {
        self.get(speaker, now).is_some()
    }

    /// Whether `speaker` is a reflector.
    pub(crate) fn is_reflector(&self, speaker: Speaker, now: Instant) -> bool {
        self.get(speaker, now).is_some_and(|suspect| suspect.is_reflector)
    }

    /// Whether anything came back from `speaker` that only its owner says.
    pub(crate) fn is_suspect(&self, speaker: Speaker, now: Instant) -> bool {
        self.get(speaker, now).is_some_and(|suspect| suspect.was_unique)
    }

    /// Notes that what only one host says was said on another link as well, long after: there is
    /// something in between.
    pub(crate) fn expect(&mut self, now: Instant) {
        self.delayed = Some(now);
    }

    /// Whether anybody is suspected, or known, to be a reflector.
    pub(crate) fn is_any(&self, now: Instant) -> bool {
        if self.delayed.is_some_and(|at| now.since(at) < REMEMBERED) {
            return true;
        }
        let mut suspects = self.suspects.values();
        suspects.any(|suspect| {
            (suspect.was_unique || suspect.is_reflector) && now.since(suspect.last) < REMEMBERED
        })
    }

    /// Whether a reflector is known on another link than this: it has another side.
    pub(crate) fn is_any_beyond(&self, link: LinkId, now: Instant) -> bool {
        self.reflectors(now).any(|(on, _)| on != link)
    }

    /// Returns the reflectors that are known, by link.
    pub(crate) fn reflectors(&self, now: Instant) -> impl Iterator<Item = (LinkId, IpAddr)> + '_ {
        let known = self.suspects.iter().filter(move |(_, suspect)| {
            suspect.is_reflector && now.since(suspect.last) < REMEMBERED
        });
        known.map(|(key, _)| *key)
    }

    pub(crate) fn forget_link(&mut self, link: LinkId) {
        self.suspects.retain(|(on, _), _| *on != link);
    }

    fn get(&self, speaker: Speaker, now: Instant) -> Option<&Suspect> {
        let suspect = self.suspects.get(&(speaker.link, speaker.source))?;
        (now.since(suspect.last) < REMEMBERED).then_some(suspect)
    }
}
