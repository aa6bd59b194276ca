//! Passes questions on, with the answers that the asker knows already, and probes (RFC 6762
//! sections 5, 7 and 8).

use std::borrow::Cow;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use magpie_wire::datagram::MDNS_PORT;
use magpie_wire::dns::{Header, Message, Name, Question, Record, Section, kind};

use crate::mdns::counters::NameDiscard;
use crate::mdns::egress::{Draft, Outlet, Route};
use crate::mdns::filter::Place;
use crate::mdns::memory::{Asked, Content, Heard, Sort, Speaker};
use crate::mdns::reflector::{Origin, Reflector, Scene};
use crate::{Instant, LinkId, Verdict};

/// How long responders wait for the rest of the known answers (RFC 6762 section 7.2).
const SERIES_TIME: Duration = Duration::from_millis(500);
/// How long who probes, or asks for an answer to himself alone, is answered faster than others.
const URGENT_TIME: Duration = Duration::from_secs(1);
/// Names that are waited for in that way.
const MAX_URGENT: usize = 1_024;
/// Records proposed for one name that are told apart from each other: addresses, mostly.
const MOST_PROPOSED: usize = 16;

/// Somebody sends more known answers than one packet holds. Responders tell such packets by their
/// source, which is ours for all that we pass on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Series {
    pub(crate) asker: Speaker,
    until: Instant,
}

/// Returns what a name is remembered by.
pub(super) fn name_hash(name: &Name<'_>) -> u64 {
    let mut hasher = DefaultHasher::new();
    name.hash(&mut hasher);
    hasher.finish()
}

/// Returns what a set of records is remembered by; zero is none.
fn set_hash<'r, 'a: 'r>(records: impl Iterator<Item = &'r Record<'a>>) -> u64 {
    records.fold(0, |sum: u64, record| sum.wrapping_add(record.content()))
}

/// Addresses among known answers do not count, since whether they cross is another question.
fn is_name(record: &Record<'_>) -> bool {
    !matches!(record.kind(), kind::A | kind::AAAA)
}

/// What somebody knows replaces nothing that others know (RFC 6762 section 10.2).
fn without_cache_flush<'r, 'a>(record: Cow<'r, Record<'a>>) -> Cow<'r, Record<'a>> {
    if !record.cache_flush {
        return record;
    }
    let mut record = record.into_owned();
    record.cache_flush = false;
    Cow::Owned(record)
}

/// Why a question stays behind.
pub(super) fn not_asked(why: Verdict) -> NameDiscard {
    match why {
        Verdict::Conflict | Verdict::DualHomed => NameDiscard::Conflict,
        _ => NameDiscard::Denied,
    }
}

/// Returns what a question is remembered by that is no probe.
fn plain(question: &Question<'_>, is_v6: bool) -> Content {
    Content { is_v6, sort: Sort::Question, hash: question.content() }
}

/// What the memory says of a question, or of one of the records that a probe proposes for its name.
struct Considered<'m, 'a> {
    question: &'m Question<'a>,
    content: Content,
    heard: Heard,
}

impl Considered<'_, '_> {
    fn belongs_with(&self, other: &Self) -> bool {
        std::ptr::eq(self.question, other.question)
    }
}

impl Reflector {
    pub(super) fn on_query(&mut self, scene: Scene<'_>, origin: &Origin, message: &Message<'_>) {
        let is_probe = !message.authorities.is_empty();
        let known = set_hash(message.answers.iter().filter(|record| is_name(record)));
        let mut considered = Vec::with_capacity(message.questions.len());
        for question in &message.questions {
            let begin = considered.len();
            if is_probe {
                self.hear_probe(scene, origin, question, &message.authorities, &mut considered);
            } else {
                considered.push(self.hear_question(scene, origin, question, known));
            }
            if question.unicast || is_probe {
                let key = (origin.link, name_hash(&question.name));
                self.urgent.insert(key, scene.now + URGENT_TIME, MAX_URGENT, scene.now);
            }
            let mut parts = considered.iter().skip(begin).peekable();
            if parts.peek().is_some() && parts.all(|part| part.heard.is_excessive) {
                self.counters.count(NameDiscard::Excessive);
                considered.truncate(begin);
            }
        }
        // A gateway that repeats what others ask may want to know something itself.
        if self.peers.is_reflector(origin.speaker(), scene.now) {
            considered.retain(|part| part.heard.is_original);
            if considered.is_empty() {
                return self.counters.count(NameDiscard::Reflector);
            }
        }
        for proposed in &message.authorities {
            let event = self.judge.observe_probe(origin.known(), proposed, scene.now);
            self.report(event);
        }
        for to in scene.others(origin.link) {
            for is_v6 in scene.versions(origin.is_v6()) {
                self.pass_query(scene, origin, message, (to, is_v6), &considered, known);
            }
        }
    }

    fn hear_question<'m, 'a>(
        &mut self,
        scene: Scene<'_>,
        origin: &Origin,
        question: &'m Question<'a>,
        known: u64,
    ) -> Considered<'m, 'a> {
        let content = plain(question, origin.is_v6());
        let is_suspect = self.peers.is_suspect(origin.speaker(), scene.now);
        let asked = Asked { known, is_suspect, is_for_any: question.kind == kind::ANY };
        let heard = self.memory.hear_question(content, origin.speaker(), asked, scene.now);
        if heard.came_back {
            self.accuse(scene, origin, content.hash, false);
        }
        Considered { question, content, heard }
    }

    /// Of a probe what is asked counts together with what is intended, since two hosts that want the
    /// same name both have to be heard; and each record by itself, since reflectors send them on in
    /// other company than they came in. Some reflectors ask the question besides, as if somebody
    /// wanted to know: so it counts as asked too.
    fn hear_probe<'m, 'a>(
        &mut self,
        scene: Scene<'_>,
        origin: &Origin,
        question: &'m Question<'a>,
        proposed: &[Record<'_>],
        considered: &mut Vec<Considered<'m, 'a>>,
    ) {
        let begin = considered.len();
        let asked = question.content();
        let intended = proposed.iter().filter(|record| record.name == question.name);
        let contents = intended.map(|record| asked.wrapping_add(record.content()));
        let mut contents = contents.take(MOST_PROPOSED).peekable();
        let nothing = contents.peek().is_none().then_some(asked);
        let is_suspect = self.peers.is_suspect(origin.speaker(), scene.now);
        let known = Asked { known: 0, is_suspect, is_for_any: true };
        for hash in contents.chain(nothing) {
            let content = Content { is_v6: origin.is_v6(), sort: Sort::Probe, hash };
            let heard = self.memory.hear_question(content, origin.speaker(), known, scene.now);
            considered.push(Considered { question, content, heard });
        }
        let parts = considered.get(begin..).unwrap_or_default();
        if parts.iter().any(|part| !part.heard.is_echo) {
            let plain = plain(question, origin.is_v6());
            self.memory.hear_question(plain, origin.speaker(), known, scene.now);
        }
        if parts.iter().any(|part| part.heard.is_late) {
            self.peers.expect(scene.now);
        }
        if parts.iter().all(|part| part.heard.came_back) {
            self.accuse(scene, origin, asked, true);
        }
    }

    fn pass_query(
        &mut self,
        scene: Scene<'_>,
        origin: &Origin,
        message: &Message<'_>,
        (to, is_v6): (Place, bool),
        considered: &[Considered<'_, '_>],
        known: u64,
    ) {
        let is_probe = !message.authorities.is_empty();
        let mut questions = Vec::new();
        for parts in considered.chunk_by(Considered::belongs_with) {
            let Some(Considered { question, .. }) = parts.first() else { continue };
            let allowed = if is_probe {
                self.judge.probe(question, origin.known(), to, scene.now)
            } else {
                self.judge.question(question, origin.place(), to, scene.now)
            };
            let is_recent = |Considered { content, heard, .. }: &Considered<'_, '_>| {
                let content = Content { is_v6, ..*content };
                let (source, now) = (origin.source, scene.now);
                self.memory.is_recent_question(content, source, to.link, known, *heard, now)
            };
            if let Err(why) = allowed {
                self.counters.count(not_asked(why));
            } else if parts.iter().all(is_recent) {
                self.counters.count(NameDiscard::Repeated);
            } else {
                questions.push((parts, Question { unicast: false, ..(*question).clone() }));
            }
        }
        let goes_on = self.goes_on(scene, origin, message, (to.link, is_v6), !questions.is_empty());
        if questions.is_empty() && !goes_on {
            return;
        }
        let Some(outlet) = Outlet::of(&scene, to.link, is_v6) else {
            return self.counters.count(NameDiscard::NoSource);
        };
        let mut records = Vec::new();
        if goes_on {
            records.extend(self.known_answers(scene, origin, message, to));
        }
        let probed = |record: &&Record<'_>| {
            questions.iter().any(|(_, question)| question.name == record.name)
        };
        let intended = message.authorities.iter().filter(probed);
        records.extend(intended.map(|record| (Section::Authority, Cow::Borrowed(record))));
        let is_truncated = goes_on && message.is_truncated;
        let header = Header { is_truncated, ..Header::default() };
        let (asked, questions): (Vec<_>, _) = questions.into_iter().unzip();
        let draft = Draft { header, questions, records };
        let route = Route::to_group(&outlet, MDNS_PORT);
        let sent = self.send(&scene, &outlet, route, &draft);
        for parts in asked.into_iter().take(sent.questions) {
            self.counters.questions_passed += 1;
            let contents = parts.iter().map(|part| Content { is_v6, ..part.content });
            let asked = parts.first().filter(|_| is_probe).map(|part| plain(part.question, is_v6));
            for content in contents.chain(asked) {
                self.memory.sent(content, origin.source, to.link, known, scene.now);
            }
        }
    }

    /// Returns those known answers that would have crossed if they came from where the question
    /// goes: the asker does not know them otherwise.
    fn known_answers<'m, 'a>(
        &self,
        scene: Scene<'_>,
        origin: &Origin,
        message: &'m Message<'a>,
        to: Place,
    ) -> Vec<(Section, Cow<'m, Record<'a>>)> {
        let crossing = |record: &'m Record<'a>| {
            self.judge.known_answer(record, origin.place(), to, scene.engine, scene.now).ok()
        };
        let known = message.answers.iter().filter_map(crossing);
        known.map(|record| (Section::Answer, without_cache_flush(record))).collect()
    }

    /// Decides whether the known answers go with the questions, or alone if they continue those of
    /// before.
    ///
    /// While somebody's known answers are not complete, those of everybody else would be taken for
    /// his: they stay behind, and the question is answered once too often instead of never.
    fn goes_on(
        &mut self,
        scene: Scene<'_>,
        origin: &Origin,
        message: &Message<'_>,
        to: (LinkId, bool),
        has_questions: bool,
    ) -> bool {
        let running = self.series.get(&to).filter(|series| series.until > scene.now).copied();
        let is_asker = running.is_some_and(|series| series.asker == origin.speaker());
        let continues = message.questions.is_empty() && is_asker;
        let begins = has_questions && (running.is_none() || is_asker);
        if !continues && !begins {
            if !message.answers.is_empty() {
                self.counters.count(NameDiscard::KnownAnswers);
            }
            return false;
        }
        if message.is_truncated {
            let until = scene.now + SERIES_TIME;
            self.series.insert(to, Series { asker: origin.speaker(), until });
        } else if is_asker {
            self.series.remove(&to);
        }
        message.is_truncated || !message.answers.is_empty()
    }
}
