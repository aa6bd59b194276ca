//! Compares the reader of DNS messages with another one, `domain`, about messages that somebody has
//! tampered with; and what is written with what was read, in the eyes of both.
#![expect(clippy::unwrap_used, reason = "the helpers of a test state their assumptions, too")]

#[path = "corpus/mod.rs"]
mod corpus;
#[path = "corpus/fuzz.rs"]
mod fuzz;

use domain::base::iana::Rtype;
use domain::base::message::RecordSection;
use domain::base::name::ParsedName;
use domain::base::rdata::{ComposeRecordData, UnknownRecordData};
use domain::base::wire::ParseError;
use domain::base::{Message as Other, ToName};
use domain::rdata::{AllRecordData, Nsec};
use magpie_wire::dns::{
    Composer, Data, Header, MAX_LEN, MalformedMessage, Message, Name, Question, Record, Section,
    kind,
};

/// A question as the other reader sees it.
#[derive(Debug, Eq, PartialEq)]
struct OtherQuestion {
    name: Vec<Vec<u8>>,
    kind: u16,
    class: u16,
}

/// A record as the other reader sees it.
#[derive(Debug, Eq, PartialEq)]
struct OtherRecord {
    section: usize,
    name: Vec<Vec<u8>>,
    kind: u16,
    class: u16,
    ttl: u32,
    rdata: OtherData,
}

#[derive(Debug, Eq, PartialEq)]
enum OtherData {
    /// Without compression.
    Octets(Vec<u8>),
    Types {
        next: Vec<Vec<u8>>,
        types: Vec<u16>,
    },
    /// Of a type with names that the other reader does not know to be compressed.
    Unknown,
}

#[test]
fn both_readers_see_the_same() {
    let messages = corpus::messages();
    let mut understood = 0;
    let mut tried = 0;
    fuzz::fuzz(20_000, |rng| {
        let octets = fuzz::message(&messages, rng);
        tried += 1;
        understood += u64::from(compare(&octets));
    });
    // One that is tried alone may be refused by both.
    assert!(
        tried == 1 || understood > tried / 4,
        "{understood} of {tried}: nearly all are refused"
    );
}

#[test]
fn both_readers_understand_the_corpus() {
    for (what, octets) in corpus::messages() {
        assert!(compare(&octets), "{what}");
    }
}

#[test]
fn noise_is_no_message_that_only_we_understand() {
    fuzz::fuzz(5_000, |rng| {
        let mut octets: Vec<u8> = (0..rng.usize(..200)).map(|_| rng.u8(..)).collect();
        // Counts of nearly nothing, or nothing behind them is looked at.
        for (place, count) in octets.iter_mut().skip(4).take(8).zip([0, 3].into_iter().cycle()) {
            *place &= count;
        }
        compare(&octets);
    });
}

/// Compares what is read of a message; returns whether we understand it.
fn compare(octets: &[u8]) -> bool {
    let theirs = read(octets);
    let message = match Message::parse(octets) {
        Ok(message) => message,
        Err(refusal) => {
            // What we are stricter about than DNS is, and what is not looked at without need.
            let stricter = matches!(
                refusal,
                MalformedMessage::TooLong
                    | MalformedMessage::Entries
                    | MalformedMessage::Labels
                    | MalformedMessage::Class
                    | MalformedMessage::Pointer
                    | MalformedMessage::Data
            );
            let looked_at_less = theirs.as_ref().is_ok_and(|(_, records)| {
                records.iter().any(|record| record.rdata == OtherData::Unknown)
            });
            assert!(
                stricter || looked_at_less || theirs.is_err(),
                "{refusal}: {theirs:?}\n{octets:02x?}"
            );
            return false;
        }
    };
    let (questions, records) = theirs.unwrap_or_else(|error| {
        panic!("refused by the other reader only: {error}\n{octets:02x?}\n{message:?}")
    });
    assert_eq!(message.questions.len(), questions.len());
    for (question, theirs) in message.questions.iter().zip(&questions) {
        check_question(question, theirs);
    }
    let ours: Vec<_> = [&message.answers, &message.authorities, &message.additionals]
        .into_iter()
        .enumerate()
        .flat_map(|(section, records)| records.iter().map(move |record| (section, record)))
        .collect();
    assert_eq!(ours.len(), records.len(), "{octets:02x?}");
    for ((section, record), theirs) in ours.into_iter().zip(&records) {
        assert_eq!(section, theirs.section);
        check_record(record, theirs);
    }
    check_written(&message, &questions, &records);
    true
}

fn check_question(ours: &Question<'_>, theirs: &OtherQuestion) {
    assert_eq!(labels(&ours.name), theirs.name);
    assert_eq!(ours.kind, theirs.kind);
    assert_eq!(ours.class, theirs.class & 0x7fff);
    assert_eq!(ours.unicast, theirs.class & 0x8000 != 0);
}

fn check_record(ours: &Record<'_>, theirs: &OtherRecord) {
    assert_eq!(labels(&ours.name), theirs.name);
    assert_eq!(ours.kind(), theirs.kind);
    assert_eq!(ours.class, theirs.class & 0x7fff);
    assert_eq!(ours.cache_flush, theirs.class & 0x8000 != 0);
    assert_eq!(ours.ttl, theirs.ttl);
    let rdata = match ours.data() {
        Data::A(address) => OtherData::Octets(address.octets().to_vec()),
        Data::Aaaa(address) => OtherData::Octets(address.octets().to_vec()),
        Data::Ptr(name) => OtherData::Octets(wire(name)),
        Data::Srv { target, port, priority, weight } => {
            let numbers = [priority, weight, port].map(u16::to_be_bytes);
            OtherData::Octets([numbers.concat(), wire(target)].concat())
        }
        Data::Nsec { next, types } => {
            OtherData::Types { next: labels(next), types: types.iter().collect() }
        }
        // Compared in what is written.
        Data::Other => return,
    };
    assert_eq!(rdata, theirs.rdata, "{ours:?}");
}

/// Checks that the other reader finds in what we write what it found in what we read.
fn check_written(message: &Message<'_>, questions: &[OtherQuestion], records: &[OtherRecord]) {
    let header = Header {
        id: message.id,
        is_response: message.is_response,
        is_truncated: message.is_truncated,
        is_authoritative: message.is_authoritative,
    };
    let mut composer = Composer::new(header, MAX_LEN);
    let mut room = true;
    for question in &message.questions {
        room &= composer.push_question(question).is_ok();
    }
    for (section, records) in [
        (Section::Answer, &message.answers),
        (Section::Authority, &message.authorities),
        (Section::Additional, &message.additionals),
    ] {
        for record in records {
            room &= composer.push(section, record).is_ok();
        }
    }
    let written = composer.finish();
    assert!(written.len() <= MAX_LEN);
    let again = Message::parse(&written).unwrap();
    if is_plain(&again) {
        simple_dns::Packet::parse(&written).unwrap();
    }
    let (questions_again, records_again) = read(&written).unwrap();
    // Names that came compressed where they are not compressed again may be too much.
    if room {
        assert_eq!(again.questions, message.questions);
        assert_eq!(again.answers, message.answers);
        assert_eq!(again.authorities, message.authorities);
        assert_eq!(again.additionals, message.additionals);
        assert_eq!(questions_again, questions);
        assert_eq!(records_again, records);
    }
}

/// Whether the library underneath can read the message by itself: it refuses questions for types of
/// which it has never heard, and data of some types that are passed on as they are.
fn is_plain(message: &Message<'_>) -> bool {
    let is_known = |question: &Question<'_>| simple_dns::QTYPE::try_from(question.kind).is_ok();
    let is_plain = |record: &Record<'_>| match record.data() {
        Data::Other => matches!(record.kind(), kind::TXT | kind::HINFO | 0xff00..),
        _ => true,
    };
    message.questions.iter().all(is_known)
        && message.answers.iter().all(is_plain)
        && message.authorities.iter().all(is_plain)
        && message.additionals.iter().all(is_plain)
}

fn labels(name: &Name<'_>) -> Vec<Vec<u8>> {
    name.labels().map(<[u8]>::to_vec).collect()
}

/// The octets of a name without compression.
fn wire(name: &Name<'_>) -> Vec<u8> {
    let mut octets = Vec::new();
    for label in name.labels() {
        octets.push(u8::try_from(label.len()).unwrap());
        octets.extend(label);
    }
    octets.push(0);
    octets
}

/// Reads a message with the other reader: the questions, and the records without OPT.
fn read(octets: &[u8]) -> Result<(Vec<OtherQuestion>, Vec<OtherRecord>), ParseError> {
    let message = Other::from_octets(octets).map_err(|_| ParseError::ShortInput)?;
    let mut questions = Vec::new();
    for question in message.question() {
        let question = question?;
        questions.push(OtherQuestion {
            name: their_labels(question.qname()),
            kind: question.qtype().to_int(),
            class: question.qclass().to_int(),
        });
    }
    let mut records = Vec::new();
    let mut sections = Some(message.answer()?);
    let mut index = 0;
    while let Some(mut section) = sections {
        read_section(&mut section, index, &mut records)?;
        sections = section.next_section()?;
        index += 1;
    }
    Ok((questions, records))
}

fn read_section(
    section: &mut RecordSection<'_, &[u8]>,
    index: usize,
    records: &mut Vec<OtherRecord>,
) -> Result<(), ParseError> {
    for record in section {
        let record = record?;
        if record.rtype() == Rtype::OPT {
            continue;
        }
        let mut octets = Vec::new();
        let rdata = match record.rtype().to_int() {
            kind::NSEC => {
                let nsec = record.to_record::<Nsec<&[u8], ParsedName<&[u8]>>>()?;
                let nsec = nsec.ok_or(ParseError::ShortInput)?;
                OtherData::Types {
                    next: their_labels(nsec.data().next_name()),
                    types: nsec.data().types().iter().map(Rtype::to_int).collect(),
                }
            }
            kind::AFSDB | kind::RT | kind::PX | kind::KX => OtherData::Unknown,
            kind::A
            | kind::AAAA
            | kind::NS
            | kind::CNAME
            | kind::SOA
            | kind::PTR
            | kind::MX
            | kind::RP
            | kind::SRV
            | kind::DNAME => {
                let known = record.to_any_record::<AllRecordData<&[u8], ParsedName<&[u8]>>>()?;
                known.data().compose_rdata(&mut octets).unwrap();
                OtherData::Octets(octets)
            }
            _ => {
                let opaque = record.to_record::<UnknownRecordData<&[u8]>>()?;
                let opaque = opaque.ok_or(ParseError::ShortInput)?;
                octets.extend_from_slice(opaque.data().data());
                OtherData::Octets(octets)
            }
        };
        records.push(OtherRecord {
            section: index,
            name: their_labels(&record.owner()),
            kind: record.rtype().to_int(),
            class: record.class().to_int(),
            ttl: record.ttl().as_secs(),
            rdata,
        });
    }
    Ok(())
}

fn their_labels(name: &impl ToName) -> Vec<Vec<u8>> {
    name.iter_labels()
        .filter(|label| !label.is_root())
        .map(|label| label.as_slice().to_vec())
        .collect()
}
