//! Passes records on: which of them cross to which link, and in what company.

use std::borrow::Cow;
use std::collections::BTreeSet;

use magpie_wire::datagram::MDNS_PORT;
use magpie_wire::dns::{Data, Header, Message, Record, Section};

use crate::mdns::counters::NameDiscard;
use crate::mdns::egress::{Draft, Outlet, Route};
use crate::mdns::filter::Place;
use crate::mdns::memory::{Content, Heard, Sort};
use crate::mdns::names::Observed;
use crate::mdns::question::name_hash;
use crate::mdns::reflector::{Origin, Reflector, Scene};
use crate::{Instant, LinkId, Verdict};

/// A record of a response, and what becomes of it.
struct Said<'m, 'a> {
    section: Section,
    record: &'m Record<'a>,
    content: Content,
    heard: Heard,
    /// None if that can wait.
    observed: Option<Observed>,
    decisions: Vec<(LinkId, Verdict)>,
}

/// What is still to be noted of a record that was decided about.
#[derive(Debug)]
pub(super) struct Note {
    origin: Origin,
    subject: Subject,
    decisions: Vec<(LinkId, Verdict)>,
}

#[derive(Debug)]
enum Subject {
    /// What it meant to those who knew what was said before.
    Observed(Observed),
    /// It has not been looked at for that.
    Said(Record<'static>),
}

/// A record as it crosses to a link, or why it does not.
type Crossing<'m, 'a> = Result<Cow<'m, Record<'a>>, Verdict>;

impl Said<'_, '_> {
    /// What the set of records that it belongs to is recognized by, if its owner sends that as a
    /// whole.
    fn set(&self) -> Option<(u16, u64)> {
        let is_set = self.record.cache_flush && self.content.sort == Sort::Record;
        is_set.then(|| (self.record.kind(), name_hash(&self.record.name)))
    }
}

impl Reflector {
    /// Records count wherever they stand, but in the authority section, which has nothing to say in
    /// a response (RFC 6762 section 6).
    pub(super) fn on_response(&mut self, scene: Scene<'_>, origin: &Origin, message: &Message<'_>) {
        let answers = message.answers.iter().map(|record| (Section::Answer, record));
        let additionals = message.additionals.iter().map(|record| (Section::Additional, record));
        let records: Vec<_> = answers.chain(additionals).collect();
        let mut heard = Vec::with_capacity(records.len());
        for (section, record) in records {
            let (content, in_memory, is_own) = self.hear_record(scene, origin, record);
            heard.push((section, record, content, in_memory, is_own));
        }
        if self.peers.is_accused(origin.speaker(), scene.now) {
            let before = heard.len();
            heard.retain(|(_, _, _, heard, _)| !heard.is_excessive);
            if heard.len() < before {
                self.counters.count(NameDiscard::Excessive);
            }
        }
        // A gateway that repeats what others say may have names of its own.
        if self.peers.is_reflector(origin.speaker(), scene.now) {
            heard.retain(|(.., is_own)| *is_own);
            if heard.is_empty() {
                return self.counters.count(NameDiscard::Reflector);
            }
        }
        let others = scene.others(origin.link).map(|to| to.link);
        let all = heard.iter().map(|(_, record, ..)| *record);
        let can_wait = self.judge.can_decide_first(all, &others);
        let mut said = Vec::with_capacity(heard.len());
        for (section, record, content, heard, _) in heard {
            // What somebody repeats is no sign of where its owner is.
            let observed = if heard.is_echo {
                Some(Observed::Nothing)
            } else if can_wait {
                None
            } else {
                Some(self.observe(origin, record, scene.now))
            };
            said.push(Said { section, record, content, heard, observed, decisions: Vec::new() });
        }
        for to in scene.others(origin.link) {
            let all = said.iter().map(|said| said.record);
            self.judge.pass_targets(all, origin.known(), to, scene.now);
            let mut crossings = Vec::with_capacity(said.len());
            for record in said.iter().map(|said| said.record) {
                let (from, now) = (origin.place(), scene.now);
                crossings.push(self.judge.record(record, from, to, scene.engine, now));
            }
            for is_v6 in scene.versions(origin.is_v6()) {
                self.pass_records(scene, origin, &mut said, &crossings, (to, is_v6));
            }
        }
        for Said { record, observed, decisions, .. } in said {
            let owned = || Subject::Said(record.clone().into_owned());
            let subject = observed.map_or_else(owned, Subject::Observed);
            self.notes.push(Note { origin: *origin, subject, decisions });
        }
    }

    /// Notes what was said and decided, once what crosses is on its way: that takes longer than to
    /// pass it on.
    pub(super) fn conclude(&mut self, now: Instant) {
        let mut notes = std::mem::take(&mut self.notes);
        for Note { origin, subject, decisions } in notes.drain(..) {
            let observed = match subject {
                Subject::Observed(observed) => observed,
                Subject::Said(record) => self.observe(&origin, &record, now),
            };
            let event = self.judge.decide(observed, &decisions, now);
            self.report(event);
        }
        self.notes = notes;
    }

    /// Tells as well, of somebody who was seen to repeat what others say, whether this is surely his
    /// own.
    fn hear_record(
        &mut self,
        scene: Scene<'_>,
        origin: &Origin,
        record: &Record<'_>,
    ) -> (Content, Heard, bool) {
        let sort = if record.ttl == 0 { Sort::Goodbye } else { Sort::Record };
        let content = Content { is_v6: origin.is_v6(), sort, hash: record.content() };
        let is_unique = record.cache_flush;
        let heard = self.memory.hear_record(content, is_unique, origin.speaker(), scene.now);
        let repeats =
            heard.is_echo && record.cache_flush && self.peers.is_any_beyond(origin.link, scene.now);
        if heard.is_late && is_unique {
            self.peers.expect(scene.now);
        }
        let is_own = heard.is_original
            && record.cache_flush
            && self.peers.is_accused(origin.speaker(), scene.now)
            // Reflectors may answer from memory as well.
            && !self.judge.is_known_beyond(record, origin.link, scene.now);
        if heard.came_back || repeats {
            self.accuse(scene, origin, content.hash, record.cache_flush);
        } else if is_own && heard.own == 1 {
            self.peers.acquit(origin.speaker());
        }
        (content, heard, is_own)
    }

    fn observe(&mut self, origin: &Origin, record: &Record<'_>, now: Instant) -> Observed {
        let (observed, event) = self.judge.observe(origin.known(), record, now);
        self.report(event);
        observed
    }

    fn pass_records<'m, 'a>(
        &mut self,
        scene: Scene<'_>,
        origin: &Origin,
        said: &mut [Said<'m, 'a>],
        crossings: &[Crossing<'m, 'a>],
        (to, is_v6): (Place, bool),
    ) {
        let consider = |(said, crossing): (&Said<'_, '_>, &Crossing<'_, '_>)| match crossing {
            Ok(_) => self.consider(scene, origin, said, (to, is_v6)),
            Err(why) => *why,
        };
        let mut verdicts: Vec<_> = said.iter().zip(crossings).map(consider).collect();
        keep_sets_together(said, &mut verdicts);
        let outlet = Outlet::of(&scene, to.link, is_v6);
        if outlet.is_none() && verdicts.contains(&Verdict::Passed) {
            self.counters.count(NameDiscard::NoSource);
        }
        let mut records = Vec::new();
        for ((said, verdict), crossing) in said.iter().zip(&verdicts).zip(crossings) {
            if let (Verdict::Passed, Ok(record)) = (verdict, crossing) {
                records.push((said.section, record.clone()));
            }
        }
        // What only accompanied others stands for itself where they stay behind.
        if records.iter().all(|(section, _)| *section == Section::Additional) {
            for (section, _) in &mut records {
                *section = Section::Answer;
            }
        }
        let header = Header { is_response: true, is_authoritative: true, ..Header::default() };
        let draft = Draft { header, questions: Vec::new(), records };
        let sent = outlet.map(|outlet| {
            let route = Route::to_group(&outlet, MDNS_PORT);
            self.send(&scene, &outlet, route, &draft)
        });
        let sent = sent.unwrap_or_default();
        let mut places = 0..;
        for (said, verdict) in said.iter_mut().zip(verdicts) {
            let place = if verdict == Verdict::Passed { places.next() } else { None };
            let verdict = match place {
                Some(place) if sent.is_too_large(place) => Verdict::TooLarge,
                Some(place) if !sent.has_record(place) => Verdict::RateLimited,
                _ => verdict,
            };
            if verdict == Verdict::Passed {
                let content = Content { is_v6, ..said.content };
                self.memory.sent(content, origin.source, to.link, 0, scene.now);
            }
            // What is taken to be elsewhere may have moved.
            let is_elsewhere = verdict == Verdict::Unreachable && !said.heard.is_echo;
            if verdict == Verdict::Passed || is_elsewhere && said.record.cache_flush {
                self.look_for(origin, said.record);
            }
            self.counters.count_record(verdict);
            said.decisions.push((to.link, verdict));
        }
    }

    /// Decides whether a record that may cross has to, as far as that depends on it alone.
    fn consider(
        &self,
        scene: Scene<'_>,
        origin: &Origin,
        said: &Said<'_, '_>,
        (to, is_v6): (Place, bool),
    ) -> Verdict {
        let now = scene.now;
        let is_urgent = self.urgent.contains((to.link, name_hash(&said.record.name)), now);
        let content = Content { is_v6, ..said.content };
        let (source, heard) = (origin.source, said.heard);
        if self.memory.is_recent_record(content, source, to.link, heard, is_urgent, now) {
            return Verdict::Recent;
        }
        Verdict::Passed
    }

    /// Whoever learns the address of a host is about to talk to it.
    pub(super) fn look_for(&mut self, origin: &Origin, record: &Record<'_>) {
        if let Data::Aaaa(address) = record.data()
            && record.ttl > 0
        {
            self.wanted.push((address, origin.link, origin.lladdr));
        }
    }
}

/// Of a set that its owner sends as a whole, all go that may, if any does: those that were sent a
/// moment ago would be taken for outdated if they were missing now (RFC 6762 section 10.2).
fn keep_sets_together(said: &[Said<'_, '_>], verdicts: &mut [Verdict]) {
    if !verdicts.contains(&Verdict::Recent) || !verdicts.contains(&Verdict::Passed) {
        return;
    }
    let all = said.iter().zip(verdicts.iter());
    let passed = all.filter(|(_, verdict)| **verdict == Verdict::Passed);
    let sets: BTreeSet<_> = passed.filter_map(|(said, _)| said.set()).collect();
    for (said, verdict) in said.iter().zip(verdicts) {
        if *verdict == Verdict::Recent && said.set().is_some_and(|set| sets.contains(&set)) {
            *verdict = Verdict::Passed;
        }
    }
}
