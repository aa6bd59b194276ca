//! What was said where, so that what another reflector repeats is not taken for news.
//!
//! Two reflectors between the same links hear each other's words: what one of them sent out on a
//! link comes in there at the other. Nothing in a message tells, and how long it took may be
//! anything. So each question and record is remembered with who said it where, for longer than a
//! packet sleeps in an access point; what was said on a link by itself does not go there again on
//! somebody else's account (RFC 6762 sections 7.3 and 7.4 let hosts on one link do the same).

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::time::Duration;

use crate::{Instant, LinkId};

/// How long what was said is taken for the reason of its being said again elsewhere, where another
/// reflector may be, or where only one host can say it,
const WINDOW: Duration = Duration::from_secs(5);
/// and otherwise: what everybody may say is then held back no longer than hosts on one link would
/// leave it to each other (RFC 6762 sections 7.3 and 7.4).
const SHORT_WINDOW: Duration = Duration::from_secs(1);
/// Echoes that come after this time may soon come after the short window. Hosts on both links say
/// the same on both sooner.
const LATE: Duration = Duration::from_millis(500);
/// How long it is remembered at all.
const KEPT: Duration = Duration::from_secs(10);
/// Questions and records remembered; the oldest leave first.
const MAX_CONTENTS: usize = 8_192;
/// Who said the same thing; more are not told apart from each other.
const MAX_SPEAKERS: usize = 8;
/// Within this time a question need not be asked again by somebody else (RFC 6762 section 7.3).
const DUPLICATE_QUESTION: Duration = Duration::from_secs(1);
/// A record is sent to a link at most this often (RFC 6762 section 6),
const RECORD_INTERVAL: Duration = Duration::from_secs(1);
/// or this often where somebody probes for its name, or wants it without delay.
const URGENT_INTERVAL: Duration = Duration::from_millis(250);
/// Continuous queries come after 1, 2, 4 s and so on (RFC 6762 section 5.2), and a host may have
/// several stacks. Simple resolvers and searchers ask as often as they like. Only what is faster
/// than this for long can be nothing but going round,
const PACE: Duration = Duration::from_secs(1);
/// after so many at the beginning.
const HEAD_START: u32 = 16;
/// The same where a reflector may be,
const WARY_PACE: Duration = Duration::from_secs(2);
const WARY_HEAD_START: u32 = 8;
/// and for probes, which come three times (RFC 6762 section 8.1), and again after a conflict or a
/// restart.
const PROBE_PACE: Duration = Duration::from_secs(10);
const PROBE_HEAD_START: u32 = 8;
/// The same for records, which are answers mostly, and come as often as somebody asks: it is of
/// interest only if the speaker is known to repeat what others say, and may be repeating himself.
const RECORD_PACE: Duration = Duration::from_secs(10);
const RECORD_HEAD_START: u32 = 3;

/// One question or record in one of the two networks (RFC 6762 section 20).
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct Content {
    /// Said over IPv6.
    pub(crate) is_v6: bool,
    /// A question, a record, or the withdrawal of a record.
    pub(crate) sort: Sort,
    /// What it says.
    pub(crate) hash: u64,
}

/// What a content is.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Sort {
    Question,
    Probe,
    Record,
    Goodbye,
    /// A question of a simple resolver.
    Legacy,
    /// What another protocol says.
    Other,
}

impl Sort {
    /// Whether each who says it wants an answer of his own, so that nobody can say it for him.
    fn is_private(self) -> bool {
        matches!(self, Self::Legacy | Self::Other)
    }

    /// How often nobody exceeds saying it, and how many times he may say it at once: beyond that it
    /// may be going round.
    fn pace(self, is_wary: bool) -> (Duration, u32) {
        match self {
            Self::Probe => (PROBE_PACE, PROBE_HEAD_START),
            Self::Record | Self::Goodbye => (RECORD_PACE, RECORD_HEAD_START),
            _ if is_wary && !self.is_private() => (WARY_PACE, WARY_HEAD_START),
            _ => (PACE, HEAD_START),
        }
    }
}

/// Who said something, and where.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Speaker {
    pub(crate) link: LinkId,
    pub(crate) source: IpAddr,
}

/// What there is to a question besides its content.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked {
    /// The set of known answers that came with it; zero is none.
    pub(crate) known: u64,
    /// The asker is suspected of repeating what others ask.
    pub(crate) is_suspect: bool,
    /// It is for records of any type, as hardly anybody asks but who probes (RFC 6762 section 8.1).
    pub(crate) is_for_any: bool,
}

/// What the memory has to say to something that was just said.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[expect(clippy::struct_excessive_bools, reason = "each is an answer to a question of its own")]
pub(crate) struct Heard {
    /// It was said on another link just before, by somebody else.
    pub(crate) is_echo: bool,
    /// And that was a while ago.
    pub(crate) is_late: bool,
    /// It was said on this link by somebody else, and passed on by us at least as often as this
    /// speaker has said it: as it would be if our words came back.
    pub(crate) came_back: bool,
    /// Nobody else is known to have said it.
    pub(crate) is_original: bool,
    /// The same speaker says it more often than anybody should: it may be going round.
    pub(crate) is_excessive: bool,
    /// How often the speaker has said it of his own accord since he last paused.
    pub(crate) own: u32,
    /// For how long it is taken for an echo of what others say.
    window: Duration,
}

impl Heard {
    /// Whether another reflector may have said it, with any delay.
    fn is_watched(self) -> bool {
        self.window == WINDOW
    }
}

#[derive(Debug)]
struct Utterance {
    speaker: Speaker,
    last: Instant,
    /// The last time was after others.
    was_echo: bool,
    /// How often of the speaker's own accord since it last paused,
    own: u32,
    /// and how often after others.
    echoes: u32,
    known: u64,
    /// When it would have come last if all of it had come at an even pace.
    paced: Instant,
}

#[derive(Clone, Copy, Debug)]
struct Sending {
    link: LinkId,
    at: Instant,
    /// On whose account.
    source: IpAddr,
    known: u64,
    /// How often since the last pause.
    count: u32,
}

#[derive(Debug, Default)]
struct Entry {
    utterances: Vec<Utterance>,
    sendings: Vec<Sending>,
    touched: Instant,
}

/// All that was said lately.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    entries: BTreeMap<Content, Entry>,
    /// When each entry was last looked at for its age.
    order: VecDeque<(Instant, Content)>,
    /// Another reflector is known, or suspected.
    is_wary: bool,
}

impl Memory {
    /// Notes whether there may be another reflector.
    pub(crate) fn beware(&mut self, is_wary: bool) {
        self.is_wary = is_wary;
    }

    /// Notes that `speaker` said a record, or withdrew one; `is_unique` if only its owner can.
    pub(crate) fn hear_record(
        &mut self,
        content: Content,
        is_unique: bool,
        speaker: Speaker,
        now: Instant,
    ) -> Heard {
        if content.sort == Sort::Goodbye {
            let record = self.entries.get_mut(&Content { sort: Sort::Record, ..content });
            if let Some(record) = record {
                record.withdraw();
            }
        }
        let window = self.window(is_unique);
        self.hear(content, speaker, 0, window, now, |before, elsewhere, count| {
            elsewhere.is_some() && before.map_or(0, |said| said.recent_echoes(now)) < count
        })
    }

    /// Notes that `speaker` asked a question.
    ///
    /// Each time that it is asked on one link, a reflector repeats it once on the other; more than
    /// that somebody there asks himself. So does who names other known answers, since he would not
    /// learn what he lacks from the answers to the others; but once that is let pass, within the
    /// time in which a host would not ask again either.
    ///
    /// Of simple resolvers each wants an answer of his own: what one of them asks right after
    /// another is taken for its echo, but never twice in a row.
    pub(crate) fn hear_question(
        &mut self,
        content: Content,
        speaker: Speaker,
        asked: Asked,
        now: Instant,
    ) -> Heard {
        let is_private = content.sort.is_private();
        let window = if is_private { SHORT_WINDOW } else { self.window(asked.is_for_any) };
        self.hear(content, speaker, asked.known, window, now, |before, elsewhere, count| {
            let Some(original) = elsewhere else { return false };
            if is_private {
                return !before.is_some_and(|said| said.was_echo);
            }
            let echoes = before.map_or(0, |said| said.recent_echoes(now));
            let is_covered = original.known == 0 || original.known == asked.known;
            let is_soon = echoes == 0 && now.since(original.last) < DUPLICATE_QUESTION;
            echoes < count && (is_covered || is_soon || asked.is_suspect)
        })
    }

    fn hear(
        &mut self,
        content: Content,
        speaker: Speaker,
        known: u64,
        window: Duration,
        now: Instant,
        is_echo: impl FnOnce(Option<&Utterance>, Option<&Utterance>, u32) -> bool,
    ) -> Heard {
        let (interval, head_start) = content.sort.pace(self.is_wary);
        let entry = self.entry(content, now);
        let is_recent = |said: &&Utterance| now.since(said.last) < WINDOW;
        let others = || {
            let others = entry.utterances.iter();
            others.filter(|said| said.speaker.source != speaker.source && said.own > 0)
        };
        let elsewhere = others()
            .filter(|said| now.since(said.last) < window && said.speaker.link != speaker.link);
        let count = elsewhere.clone().map(|said| said.own).sum();
        let latest = elsewhere.max_by_key(|said| said.last);
        let place = entry.utterances.iter().position(|said| said.speaker == speaker);
        let before = place.and_then(|place| entry.utterances.get(place));
        let went_on = before.filter(is_recent);
        let is_echo = is_echo(before, latest, count);
        let is_late = is_echo && latest.is_some_and(|said| now.since(said.last) >= LATE);
        let (own, echoes) = went_on.map_or((0, 0), |said| (said.own, said.echoes));
        let (own, echoes) = if is_echo { (own, echoes + 1) } else { (own + 1, echoes) };
        let was_here = others().any(|said| said.speaker.link == speaker.link);
        let mut passed_on = entry.sendings.iter().filter(|sent| sent.link != speaker.link);
        let came_back = was_here && passed_on.any(|sent| sent.may_return(own, now));
        let paced = before.map_or(now, |said| said.paced.max(now)) + interval;
        let is_alone = entry.utterances.iter().all(|said| said.speaker.source == speaker.source);
        // Simple resolvers may ask as often as they like, while nobody else does.
        let may_go_round = !is_alone || !content.sort.is_private();
        let is_excessive = may_go_round && !is_echo && paced.since(now) > interval * head_start;
        let paced = if is_echo || is_excessive { paced - interval } else { paced };
        let said = Utterance { speaker, last: now, was_echo: is_echo, own, echoes, known, paced };
        if let Some(before) = place.and_then(|place| entry.utterances.get_mut(place)) {
            *before = said;
        } else {
            entry.add(said);
        }
        Heard { is_echo, is_late, came_back, is_original: is_alone, is_excessive, own, window }
    }

    /// Whether a record need not go to `link` on account of `source`: it was said there by itself,
    /// or went there just before.
    pub(crate) fn is_recent_record(
        &self,
        content: Content,
        source: IpAddr,
        link: LinkId,
        heard: Heard,
        is_urgent: bool,
        now: Instant,
    ) -> bool {
        let Some(entry) = self.entries.get(&content) else { return false };
        let was_sent = entry.sendings.iter().filter(|sent| sent.link == link).any(|sent| {
            let interval = match content.sort {
                // A withdrawal is never held back.
                Sort::Goodbye => Duration::ZERO,
                _ if is_urgent => URGENT_INTERVAL,
                _ => RECORD_INTERVAL,
            };
            now.since(sent.at) < interval || heard.is_watched() && sent.may_return(heard.own, now)
        });
        // Who has said it more often than they on the other link is no echo of theirs: what they have
        // said counts as if it had gone there.
        let window = if heard.is_echo { heard.window } else { RECORD_INTERVAL };
        was_sent || entry.is_said_on(link, source, window, now)
    }

    /// Whether a question need not go to `link` on account of `source`: it is asked there by itself,
    /// or went there just before. Later it is still taken for our own words if they have gone out
    /// as often as it has come.
    pub(crate) fn is_recent_question(
        &self,
        content: Content,
        source: IpAddr,
        link: LinkId,
        known: u64,
        heard: Heard,
        now: Instant,
    ) -> bool {
        let Some(entry) = self.entries.get(&content) else { return false };
        let mut sendings = entry.sendings.iter().filter(|sent| sent.link == link);
        if heard.is_echo {
            return entry.is_said_on(link, source, heard.window, now)
                || sendings.any(|sent| now.since(sent.at) < heard.window);
        }
        sendings.any(|sent| {
            let is_covered = sent.known == 0 || sent.known == known;
            let is_duplicate = sent.source != source && now.since(sent.at) < DUPLICATE_QUESTION;
            let may_return = heard.is_watched() && sent.may_return(heard.own, now);
            is_covered && (is_duplicate || may_return)
        })
    }

    /// Whether a simple resolver's question must not go to `link` on account of `source`, because it
    /// comes from there. Everybody else who asks wants an answer of his own.
    pub(crate) fn is_from(
        &self,
        content: Content,
        source: IpAddr,
        link: LinkId,
        heard: Heard,
        now: Instant,
    ) -> bool {
        let entry = self.entries.get(&content);
        let is_said = |entry: &Entry| entry.is_said_on(link, source, heard.window, now);
        heard.is_echo && entry.is_some_and(is_said)
    }

    /// Notes that something goes out on `link` on account of `source`.
    pub(crate) fn sent(
        &mut self,
        content: Content,
        source: IpAddr,
        link: LinkId,
        known: u64,
        now: Instant,
    ) {
        let mut sending = Sending { link, at: now, source, known, count: 1 };
        let entry = self.entry(content, now);
        match entry.sendings.iter_mut().find(|sent| sent.link == link) {
            Some(before) => {
                if now.since(before.at) < WINDOW {
                    sending.count = before.count.saturating_add(1);
                }
                *before = sending;
            }
            None => entry.sendings.push(sending),
        }
    }

    /// Forgets what was said and sent on a link, and what was sent elsewhere on that account: who
    /// says it again when the link is back has to be heard.
    pub(crate) fn forget_link(&mut self, link: LinkId) {
        self.entries
            .retain(|_, entry| entry.utterances.iter().all(|said| said.speaker.link != link));
        for entry in self.entries.values_mut() {
            entry.sendings.retain(|sent| sent.link != link);
        }
        self.order.retain(|(_, content)| self.entries.contains_key(content));
    }

    pub(crate) fn clear(&mut self) {
        self.entries.clear();
        self.order.clear();
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Returns for how long something is taken for an echo; `is_unique` if only its owner says it.
    fn window(&self, is_unique: bool) -> Duration {
        if self.is_wary || is_unique { WINDOW } else { SHORT_WINDOW }
    }

    fn entry(&mut self, content: Content, now: Instant) -> &mut Entry {
        self.make_room(now);
        let order = &mut self.order;
        let entry = self.entries.entry(content).or_insert_with(|| {
            order.push_back((now, content));
            Entry::default()
        });
        entry.touched = now;
        entry
    }

    /// Drops what is too old, and what there is no room for. Each place in `order` is one entry's,
    /// or that of one which has been withdrawn.
    fn make_room(&mut self, now: Instant) {
        while let Some(&(since, content)) = self.order.front() {
            let is_full = self.order.len() >= MAX_CONTENTS;
            if now.since(since) < KEPT && !is_full {
                return;
            }
            self.order.pop_front();
            let touched = self.entries.get(&content).map(|entry| entry.touched);
            match touched {
                Some(touched) if now.since(touched) < KEPT && !is_full => {
                    self.order.push_back((touched, content));
                }
                _ => {
                    self.entries.remove(&content);
                }
            }
        }
    }
}

impl Utterance {
    /// How often it was said after others since the speaker last paused.
    fn recent_echoes(&self, now: Instant) -> u32 {
        if now.since(self.last) < WINDOW { self.echoes } else { 0 }
    }
}

impl Sending {
    /// Whether what somebody has said so often may be our own words, each time.
    fn may_return(&self, said: u32, now: Instant) -> bool {
        said <= self.count && now.since(self.at) < WINDOW
    }
}

impl Entry {
    /// Adds what a new speaker says, in the place of who has been silent longest if need be.
    fn add(&mut self, said: Utterance) {
        if self.utterances.len() >= MAX_SPEAKERS {
            let all = self.utterances.iter().enumerate();
            if let Some((oldest, _)) = all.min_by_key(|(_, said)| said.last) {
                self.utterances.swap_remove(oldest);
            }
        }
        self.utterances.push(said);
    }

    /// Whoever else has it may say so at once.
    fn withdraw(&mut self) {
        for said in &mut self.utterances {
            said.own = 0;
        }
        self.sendings.clear();
    }

    /// Whether somebody else than `source` said it on `link` of his own accord.
    fn is_said_on(&self, link: LinkId, source: IpAddr, window: Duration, now: Instant) -> bool {
        self.utterances.iter().any(|said| {
            said.speaker.link == link
                && said.speaker.source != source
                && said.own > 0
                && now.since(said.last) < window
        })
    }
}
