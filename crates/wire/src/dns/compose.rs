//! Composes messages of questions and records, within a length.

use super::layout::HEADER_LEN;
use super::write::Writer;
use super::{MAX_LEN, Question, Record};

/// Octets that most messages have room in.
const LIKELY_LEN: usize = 512;
const RESPONSE: u16 = 0x8000;
const AUTHORITATIVE: u16 = 0x0400;
const TRUNCATED: u16 = 0x0200;
/// The section before those of [`Section`].
const QUESTIONS: usize = 0;

/// What the header says. Everything else in it is 0, as RFC 6762 section 18 wants it.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Header {
    /// What ties an answer to a query; 0 in multicast (RFC 6762 section 18.1).
    pub id: u16,
    /// Whether it answers, or asks.
    pub is_response: bool,
    /// In a query: more known answers follow (RFC 6762 section 7.2).
    pub is_truncated: bool,
    /// Has to be set in answers, and not in queries (RFC 6762 section 18.4).
    pub is_authoritative: bool,
}

impl Header {
    fn flags(self) -> u16 {
        let flags = [
            (self.is_response, RESPONSE),
            (self.is_authoritative, AUTHORITATIVE),
            (self.is_truncated, TRUNCATED),
        ];
        flags.into_iter().filter(|(is_set, _)| *is_set).map(|(_, flag)| flag).sum()
    }
}

/// A section that holds records.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Section {
    /// Answers; in a query, known ones.
    Answer,
    /// What a probe intends to use.
    Authority,
    /// What else may be useful.
    Additional,
}

/// It does not fit.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the message has no room for it")]
pub struct Full;

/// A message in the making. It never gets longer than it may.
///
/// Names are compressed where RFC 1035 allows it, so that simple resolvers can read it too (RFC 6762
/// section 18.14).
#[derive(Clone, Debug)]
pub struct Composer {
    header: Header,
    counts: [u16; 4],
    writer: Writer,
    limit: usize,
}

impl Composer {
    /// Begins a message of at most `limit` octets; of more than 9000 never.
    pub fn new(header: Header, limit: usize) -> Self {
        let writer = Writer::new(HEADER_LEN, LIKELY_LEN);
        Self { header, counts: [0; 4], writer, limit: limit.min(MAX_LEN) }
    }

    /// Adds a question.
    ///
    /// # Errors
    ///
    /// If it does not fit, or there are records already; nothing is added then.
    pub fn push_question(&mut self, question: &Question<'_>) -> Result<(), Full> {
        self.add(QUESTIONS, |writer| question.write(writer))
    }

    /// Adds a record to a section.
    ///
    /// # Errors
    ///
    /// If it does not fit, or there are records of a later section already; nothing is added then.
    pub fn push(&mut self, section: Section, record: &Record<'_>) -> Result<(), Full> {
        let section = match section {
            Section::Answer => QUESTIONS + 1,
            Section::Authority => QUESTIONS + 2,
            Section::Additional => QUESTIONS + 3,
        };
        self.add(section, |writer| record.write(writer))
    }

    /// Whether nothing has been added.
    pub fn is_empty(&self) -> bool {
        self.counts == [0; 4]
    }

    /// Says that more known answers follow (RFC 6762 section 7.2).
    pub fn set_truncated(&mut self) {
        self.header.is_truncated = true;
    }

    /// Returns the octets of the message.
    pub fn finish(mut self) -> Vec<u8> {
        let numbers = [self.header.id, self.header.flags()].into_iter().chain(self.counts);
        for (at, number) in (0..).step_by(2).zip(numbers) {
            self.writer.set_number(at, number);
        }
        self.writer.into_octets()
    }

    /// Writes to see how much it takes, and takes it back if that is too much.
    fn add(&mut self, section: usize, write: impl FnOnce(&mut Writer)) -> Result<(), Full> {
        let Some(([count], later)) =
            self.counts.get_mut(section..).and_then(<[u16]>::split_first_chunk_mut)
        else {
            return Err(Full);
        };
        if later.iter().any(|count| *count > 0) {
            return Err(Full);
        }
        let mark = self.writer.mark();
        write(&mut self.writer);
        if self.writer.len() > self.limit {
            self.writer.rewind(mark);
            return Err(Full);
        }
        *count += 1;
        Ok(())
    }
}
