//! Passes records on: which of them cross to which link, and in what company.

use magpie_wire::datagram::MDNS_PORT;
use magpie_wire::dns::{Data, Header, Message, Record, Section};

use crate::mdns::counters::NameDiscard;
use crate::mdns::egress::{Draft, Outlet, Route};
use crate::mdns::filter::Place;
use crate::mdns::memory::{Content, Heard, Sort};
use crate::mdns::names::Observed;
use crate::mdns::question::name_hash;
use crate::mdns::reflector::{Origin, Reflector, Scene};
use crate::{LinkId, Verdict};

/// A record of a response, and what becomes of it.
struct Said<'m, 'a> {
    section: Section,
    record: &'m Record<'a>,
    content: Content,
    heard: Heard,
    observed: Observed,
    decisions: Vec<(LinkId, Verdict)>,
}

impl Said<'_, '_> {
    fn is_same_set(&self, other: &Record<'_>) -> bool {
        self.record.kind() == other.kind() && self.record.name == other.name
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
        for (_, record) in &records {
            heard.push(self.hear_record(scene, origin, record));
        }
        if self.peers.is_reflector(origin.speaker(), scene.now) {
            return self.counters.count(NameDiscard::Reflector);
        }
        let mut said = Vec::with_capacity(records.len());
        for ((section, record), (content, heard)) in records.into_iter().zip(heard) {
            // What somebody repeats is no sign of where its owner is.
            let observed =
                if heard.is_echo { Observed::Nothing } else { self.observe(scene, origin, record) };
            said.push(Said { section, record, content, heard, observed, decisions: Vec::new() });
        }
        for to in scene.others(origin.link) {
            for is_v6 in scene.versions(origin.is_v6()) {
                self.pass_records(scene, origin, &mut said, (to, is_v6));
            }
        }
        for said in said {
            let event = self.judge.decide(said.observed, &said.decisions, scene.now);
            self.report(event);
        }
    }

    fn hear_record(
        &mut self,
        scene: Scene<'_>,
        origin: &Origin,
        record: &Record<'_>,
    ) -> (Content, Heard) {
        let sort = if record.ttl == 0 { Sort::Goodbye } else { Sort::Record };
        let content = Content { is_v6: origin.is_v6(), sort, hash: record.content() };
        let heard = self.memory.hear_record(content, origin.speaker(), scene.now);
        let repeats =
            heard.is_echo && record.cache_flush && self.peers.is_any_beyond(origin.link, scene.now);
        if heard.came_back || repeats {
            self.accuse(scene, origin, content.hash, record.cache_flush);
        } else if heard.is_original && record.cache_flush && sort == Sort::Record {
            self.peers.acquit(origin.speaker());
        }
        (content, heard)
    }

    fn observe(&mut self, scene: Scene<'_>, origin: &Origin, record: &Record<'_>) -> Observed {
        let (observed, event) = self.judge.observe(origin.known(), record, scene.now);
        self.report(event);
        observed
    }

    fn pass_records(
        &mut self,
        scene: Scene<'_>,
        origin: &Origin,
        said: &mut [Said<'_, '_>],
        (to, is_v6): (Place, bool),
    ) {
        let all = said.iter().map(|said| said.record);
        self.judge.pass_targets(all, origin.known(), to, scene.now);
        let mut verdicts: Vec<_> =
            said.iter().map(|said| self.consider(scene, origin, said, (to, is_v6))).collect();
        keep_sets_together(said, &mut verdicts);
        let outlet = Outlet::of(&scene, to.link, is_v6);
        if outlet.is_none() && verdicts.contains(&Verdict::Passed) {
            self.counters.count(NameDiscard::NoSource);
        }
        let mut records = Vec::new();
        for (said, verdict) in said.iter().zip(&verdicts) {
            let crossing =
                self.judge.record(said.record, origin.place(), to, scene.engine, scene.now);
            if let (Verdict::Passed, Ok(record)) = (verdict, crossing) {
                records.push((said.section, record));
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
        let went_out = outlet.is_some_and(|outlet| {
            let route = Route::to_group(&outlet, MDNS_PORT);
            self.send(&scene, &outlet, route, &draft)
        });
        for (said, verdict) in said.iter_mut().zip(verdicts) {
            let verdict = match verdict {
                Verdict::Passed if !went_out => Verdict::RateLimited,
                other => other,
            };
            if verdict == Verdict::Passed {
                let content = Content { is_v6, ..said.content };
                self.memory.sent(content, origin.source, to.link, 0, scene.now);
                self.on_passed(origin, said.record);
            }
            self.counters.count_record(verdict);
            said.decisions.push((to.link, verdict));
        }
    }

    /// Decides whether a record crosses, as far as that depends on it alone.
    fn consider(
        &self,
        scene: Scene<'_>,
        origin: &Origin,
        said: &Said<'_, '_>,
        (to, is_v6): (Place, bool),
    ) -> Verdict {
        let now = scene.now;
        let crossing = self.judge.record(said.record, origin.place(), to, scene.engine, now);
        if let Err(why) = crossing {
            return why;
        }
        let is_urgent = self.urgent.contains((to.link, name_hash(&said.record.name)), now);
        let content = Content { is_v6, ..said.content };
        let (source, heard) = (origin.source, said.heard);
        if self.memory.is_recent_record(content, source, to.link, heard, is_urgent, now) {
            return Verdict::Recent;
        }
        Verdict::Passed
    }

    /// Whoever learns the address of a host is about to talk to it.
    pub(super) fn on_passed(&mut self, origin: &Origin, record: &Record<'_>) {
        if let Data::Aaaa(address) = record.data()
            && record.ttl > 0
        {
            self.wanted.push((address, origin.link));
        }
    }
}

/// Of a set that its owner sends as a whole, all go that may, if any does: those that were sent a
/// moment ago would be taken for outdated if they were missing now (RFC 6762 section 10.2).
fn keep_sets_together(said: &[Said<'_, '_>], verdicts: &mut [Verdict]) {
    let is_set = |said: &Said<'_, '_>| said.record.cache_flush && said.content.sort == Sort::Record;
    for (place, one) in said.iter().enumerate().filter(|(_, one)| is_set(one)) {
        let mut others = said.iter().zip(verdicts.iter());
        let is_needed = others.any(|(other, verdict)| {
            *verdict == Verdict::Passed && is_set(other) && one.is_same_set(other.record)
        });
        if let Some(verdict @ Verdict::Recent) = verdicts.get_mut(place)
            && is_needed
        {
            *verdict = Verdict::Passed;
        }
    }
}
