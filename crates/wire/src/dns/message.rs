//! A message as a value.

use simple_dns::Packet;

use super::layout::{Layout, RecordAt};
use super::name::Name;
use super::{MalformedMessage, Question, Record, kind};

/// A message: its header and its four sections (RFC 1035 section 4.1).
#[derive(Clone, Debug)]
pub struct Message<'a> {
    /// What ties an answer to a query; 0 in multicast (RFC 6762 section 18.1).
    pub id: u16,
    /// Whether it answers, or asks.
    pub is_response: bool,
    /// What kind of query it is: 0 is all that there is (RFC 6762 section 18.3).
    pub opcode: u8,
    /// How it went: 0 is all that there is (RFC 6762 section 18.11).
    pub rcode: u8,
    /// In a query: more known answers follow (RFC 6762 section 7.2).
    pub is_truncated: bool,
    /// Whether the answers come from who is responsible (RFC 6762 section 18.4).
    pub is_authoritative: bool,
    /// What is asked.
    pub questions: Vec<Question<'a>>,
    /// Answers; in a query, those that its sender knows already (RFC 6762 section 7.1).
    pub answers: Vec<Record<'a>>,
    /// In a query: what its sender intends to use, which makes it a probe (RFC 6762 section 8.2).
    pub authorities: Vec<Record<'a>>,
    /// What else may be useful. What a sender says of itself in an OPT record (RFC 6891) is for its
    /// link alone, and is not among it.
    pub additionals: Vec<Record<'a>>,
}

impl<'a> Message<'a> {
    /// Reads a message.
    ///
    /// Octets beyond what the header counts are not looked at: some responders send them, and as
    /// only what was read is ever written again, they get no further.
    ///
    /// # Errors
    ///
    /// What makes all of it unusable: there is no knowing where the rest begins when a part cannot
    /// be understood.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, MalformedMessage> {
        let layout = Layout::read(bytes)?;
        match layout.readable(bytes) {
            None => Self::read(&layout, bytes),
            Some(copy) => Message::read(&layout, &copy).map(Message::into_owned),
        }
    }

    /// Copies what it borrows.
    pub fn into_owned(self) -> Message<'static> {
        let owned =
            |records: Vec<Record<'_>>| records.into_iter().map(Record::into_owned).collect();
        Message {
            id: self.id,
            is_response: self.is_response,
            opcode: self.opcode,
            rcode: self.rcode,
            is_truncated: self.is_truncated,
            is_authoritative: self.is_authoritative,
            questions: self.questions.into_iter().map(Question::into_owned).collect(),
            answers: owned(self.answers),
            authorities: owned(self.authorities),
            additionals: owned(self.additionals),
        }
    }

    fn read(layout: &Layout, bytes: &'a [u8]) -> Result<Self, MalformedMessage> {
        let packet = Packet::parse(bytes).map_err(|_| MalformedMessage::Data)?;
        let header = layout.header;
        let questions = packet.questions.into_iter().zip(&layout.questions);
        let [answers, authorities, additionals] = &layout.sections;
        Ok(Self {
            id: header.id.get(),
            is_response: header.is_response(),
            opcode: header.opcode(),
            rcode: header.rcode(),
            is_truncated: header.is_truncated(),
            is_authoritative: header.is_authoritative(),
            questions: questions
                .map(|(question, kind)| Question {
                    name: Name(question.qname),
                    kind: *kind,
                    class: question.qclass.into(),
                    unicast: question.unicast_response,
                })
                .collect(),
            answers: section(bytes, packet.answers, answers)?,
            authorities: section(bytes, packet.name_servers, authorities)?,
            additionals: section(bytes, packet.additional_records, additionals)?,
        })
    }
}

/// Matches the records of a section with where they were found.
fn section<'a>(
    bytes: &'a [u8],
    records: Vec<simple_dns::ResourceRecord<'a>>,
    places: &[RecordAt],
) -> Result<Vec<Record<'a>>, MalformedMessage> {
    // One of these is taken out of its section, the others are left.
    let records =
        records.into_iter().filter(|record| u16::from(record.rdata.type_code()) != kind::OPT);
    let places = places.iter().filter(|place| place.kind != kind::OPT);
    records.zip(places).map(|(record, place)| Record::read(bytes, record, place)).collect()
}
