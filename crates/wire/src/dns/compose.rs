//! Composes messages of questions and records, within a length.

use simple_dns::{Packet, PacketFlag};

use super::layout::HEADER_LEN;
use super::{MAX_LEN, Question, Record};

/// The least that a question takes: a pointer, type and class.
const MIN_QUESTION: usize = 6;
/// The least that a record takes: a pointer, the fixed part and no data.
const MIN_RECORD: usize = 12;

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
pub struct Composer<'a> {
    packet: Packet<'a>,
    limit: usize,
    /// No more octets than these are taken.
    taken: usize,
    /// Whether it is just as many.
    is_exact: bool,
}

impl<'a> Composer<'a> {
    /// Begins a message of at most `limit` octets; of more than 9000 never.
    pub fn new(header: Header, limit: usize) -> Self {
        let mut packet = if header.is_response {
            Packet::new_reply(header.id)
        } else {
            Packet::new_query(header.id)
        };
        if header.is_truncated {
            packet.set_flags(PacketFlag::TRUNCATION);
        }
        if header.is_authoritative {
            packet.set_flags(PacketFlag::AUTHORITATIVE_ANSWER);
        }
        Self { packet, limit: limit.min(MAX_LEN), taken: HEADER_LEN, is_exact: true }
    }

    /// Adds a question.
    ///
    /// # Errors
    ///
    /// If it does not fit, or is of a class that does not exist; nothing is added then.
    pub fn push_question(&mut self, question: &Question<'a>) -> Result<(), Full> {
        self.make_room(MIN_QUESTION, question.wire_len())?;
        self.packet.questions.push(question.to_wire().ok_or(Full)?);
        self.settle(question.wire_len()).inspect_err(|_| {
            self.packet.questions.pop();
        })
    }

    /// Adds a record to a section.
    ///
    /// # Errors
    ///
    /// If it does not fit, or is of a class that does not exist; nothing is added then.
    pub fn push(&mut self, section: Section, record: &Record<'a>) -> Result<(), Full> {
        self.make_room(MIN_RECORD, record.wire_len())?;
        self.records(section).push(record.to_wire().ok_or(Full)?);
        self.settle(record.wire_len()).inspect_err(|_| {
            self.records(section).pop();
        })
    }

    /// Whether nothing has been added.
    pub fn is_empty(&self) -> bool {
        let Packet { questions, answers, name_servers, additional_records, .. } = &self.packet;
        questions.is_empty()
            && answers.is_empty()
            && name_servers.is_empty()
            && additional_records.is_empty()
    }

    /// Returns the octets of the message.
    pub fn finish(self) -> Vec<u8> {
        self.octets()
    }

    fn records(&mut self, section: Section) -> &mut Vec<simple_dns::ResourceRecord<'a>> {
        match section {
            Section::Answer => &mut self.packet.answers,
            Section::Authority => &mut self.packet.name_servers,
            Section::Additional => &mut self.packet.additional_records,
        }
    }

    /// Finds out how much is really taken when it is no longer certain that there is room, and says
    /// whether there may be any.
    fn make_room(&mut self, least: usize, most: usize) -> Result<(), Full> {
        if self.taken + most > self.limit && !self.is_exact {
            self.taken = self.octets().len();
            self.is_exact = true;
        }
        if self.taken + least > self.limit { Err(Full) } else { Ok(()) }
    }

    /// Accounts for what has just been added, which takes `most` octets without compression.
    fn settle(&mut self, most: usize) -> Result<(), Full> {
        if self.taken + most <= self.limit {
            self.taken += most;
            self.is_exact = false;
            return Ok(());
        }
        let taken = self.octets().len();
        if taken > self.limit {
            return Err(Full);
        }
        self.taken = taken;
        self.is_exact = true;
        Ok(())
    }

    fn octets(&self) -> Vec<u8> {
        // Writing to memory does not fail.
        self.packet.build_bytes_vec_compressed().unwrap_or_default()
    }
}
