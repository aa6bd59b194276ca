//! Passes queries of simple resolvers on, and the answers back to them alone (RFC 6762 section 6.7).
//!
//! Such a query comes from a port of its own, and its answer goes there. So it is asked again from
//! a port of ours under a number of ours, which finds its slot when an answer comes.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::Duration;

use magpie_wire::datagram::MDNS_PORT;
use magpie_wire::dns::{Header, Message, Question, Record, Section};

use crate::mdns::counters::NameDiscard;
use crate::mdns::egress::{Draft, Outlet, Route};
use crate::mdns::memory::{Asked, Content, Sort};
use crate::mdns::question::not_asked;
use crate::mdns::reflector::{Origin, Reflector, Scene};
use crate::{Instant, LinkId, Verdict};

/// How long answers are waited for. Responders take 500 ms at most (RFC 6762 section 6).
const PATIENCE: Duration = Duration::from_secs(2);
/// Queries that wait, of all senders.
const MAX_SLOTS: usize = 256;
/// What simple resolvers may keep an answer for (RFC 6762 section 6.7).
const LONGEST_TTL: u32 = 10;

/// A query that waits for answers.
#[derive(Debug)]
struct Slot {
    asker: Origin,
    id: u16,
    /// As they were asked: answers repeat them.
    questions: Vec<Question<'static>>,
    until: Instant,
}

/// All that wait, by our number.
#[derive(Debug, Default)]
pub(crate) struct Slots {
    slots: BTreeMap<u16, Slot>,
}

impl Slots {
    pub(crate) fn forget_link(&mut self, link: LinkId) {
        self.slots.retain(|_, slot| slot.asker.link != link);
    }

    pub(crate) fn clear(&mut self) {
        self.slots.clear();
    }

    pub(crate) fn len(&self) -> usize {
        self.slots.len()
    }

    /// Whether there is room for one more of this asker's.
    fn has_room(&mut self, asker: &Origin, per_source: usize, now: Instant) -> bool {
        self.slots.retain(|_, slot| slot.until > now);
        let its = self.slots.values().filter(|slot| slot.asker.speaker() == asker.speaker());
        self.slots.len() < MAX_SLOTS && its.count() < per_source
    }

    /// Takes a number that nobody can guess, so that nobody else can answer.
    fn number(&self, rng: &mut fastrand::Rng) -> u16 {
        let first = rng.u16(..);
        let mut candidates = (0..=u16::MAX).map(|step| first.wrapping_add(step));
        candidates.find(|number| !self.slots.contains_key(number)).unwrap_or(first)
    }
}

impl Reflector {
    pub(super) fn on_legacy_query(
        &mut self,
        scene: Scene<'_>,
        origin: &Origin,
        message: &Message<'_>,
    ) {
        let Some(port) = scene.mdns.legacy_port.filter(|_| scene.mdns.legacy) else {
            return self.counters.count(NameDiscard::LegacyOff);
        };
        if !scene.is_on_link(origin.link, origin.source) {
            return self.counters.count(NameDiscard::OffLink);
        }
        if !self.slots.has_room(origin, scene.mdns.limits.legacy_per_source, scene.now) {
            return self.counters.count(NameDiscard::LegacyFull);
        }
        // Another reflector may pass the same query on, which would go back and forth for ever.
        let asked = Asked { known: 0, is_suspect: false, is_for_any: false };
        let mut heard = Vec::with_capacity(message.questions.len());
        for question in &message.questions {
            let hash = question.content();
            let content = Content { is_v6: origin.is_v6(), sort: Sort::Legacy, hash };
            let said = self.memory.hear_question(content, origin.speaker(), asked, scene.now);
            heard.push((question, content, said));
        }
        if self.peers.is_reflector(origin.speaker(), scene.now) {
            return self.counters.count(NameDiscard::Reflector);
        }
        let id = self.slots.number(&mut self.rng);
        let mut passed = Vec::new();
        for to in scene.others(origin.link) {
            let Some(outlet) = Outlet::of(&scene, to.link, origin.is_v6()) else {
                self.counters.count(NameDiscard::NoSource);
                continue;
            };
            let mut questions = Vec::new();
            let mut contents = Vec::new();
            for (question, content, said) in &heard {
                let (source, link) = (origin.source, to.link);
                let is_recent = said.is_excessive
                    || self.memory.is_from(*content, source, link, *said, scene.now);
                let allowed = self.judge.question(question, origin.place(), to, scene.now);
                if is_recent {
                    self.counters.count(NameDiscard::Repeated);
                } else if let Err(why) = allowed {
                    self.counters.count(not_asked(why));
                } else {
                    questions.push(Question { unicast: false, ..(*question).clone() });
                    contents.push(*content);
                }
            }
            let header = Header { id, ..Header::default() };
            let draft = Draft { header, questions, records: Vec::new() };
            let route = Route::to_group(&outlet, port);
            let sent = self.send(&scene, &outlet, route, &draft);
            for content in contents.into_iter().take(sent.questions) {
                self.memory.sent(content, origin.source, to.link, 0, scene.now);
                passed.push(content);
            }
        }
        if passed.is_empty() {
            return;
        }
        self.counters.legacy_queries += 1;
        let questions = message.questions.iter();
        let slot = Slot {
            asker: *origin,
            id: message.id,
            questions: questions.map(|question| question.clone().into_owned()).collect(),
            until: scene.now + PATIENCE,
        };
        self.slots.slots.insert(id, slot);
    }

    /// Takes an answer to a query of ours that was a simple resolver's.
    pub(super) fn on_legacy_answer(
        &mut self,
        scene: Scene<'_>,
        origin: &Origin,
        message: &Message<'_>,
    ) {
        let is_usual = message.is_response && message.opcode == 0 && message.rcode == 0;
        if !is_usual || origin.port != MDNS_PORT {
            return self.counters.count(NameDiscard::Unusual);
        }
        if !scene.is_on_link(origin.link, origin.source) {
            return self.counters.count(NameDiscard::OffLink);
        }
        let slot = self.slots.slots.get(&message.id).filter(|slot| {
            slot.until > scene.now
                && slot.asker.link != origin.link
                && slot.asker.is_v6() == origin.is_v6()
        });
        let Some(slot) = slot else { return self.counters.count(NameDiscard::NotAsked) };
        let (asker, id, questions) = (slot.asker, slot.id, slot.questions.clone());
        let Some(outlet) = Outlet::of(&scene, asker.link, asker.is_v6()) else {
            return self.counters.count(NameDiscard::NoSource);
        };
        let answers = message.answers.iter().map(|record| (Section::Answer, record));
        let additionals = message.additionals.iter().map(|record| (Section::Additional, record));
        let all = message.answers.iter().chain(&message.additionals);
        self.judge.pass_targets(all, origin.known(), asker.place(), scene.now);
        let mut records = Vec::new();
        for (section, record) in answers.chain(additionals) {
            let (from, to) = (origin.place(), asker.place());
            match self.judge.record(record, from, to, scene.engine, scene.now) {
                Ok(crossing) => {
                    self.counters.count_record(Verdict::Passed);
                    records.push((section, Cow::Owned(for_simple_resolver(crossing.into_owned()))));
                    self.look_for(origin, record);
                }
                Err(why) => self.counters.count_record(why),
            }
        }
        if records.is_empty() {
            return;
        }
        let header = Header { id, is_response: true, is_authoritative: true, ..Header::default() };
        let draft = Draft { header, questions, records };
        let destination = (asker.source, asker.port).into();
        let route = Route::to_one(MDNS_PORT, destination, asker.lladdr);
        if self.send(&scene, &outlet, route, &draft).is_any() {
            self.counters.legacy_answers += 1;
        }
    }
}

/// Simple resolvers do not know what the top bit of the class means, and nobody tells them when a
/// record ends.
fn for_simple_resolver(record: Record<'_>) -> Record<'_> {
    let mut record = record;
    record.cache_flush = false;
    record.ttl = record.ttl.min(LONGEST_TTL);
    record
}
