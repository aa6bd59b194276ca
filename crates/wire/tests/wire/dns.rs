//! DNS messages: what is refused and why, what is made of the rest, and that nothing is composed
//! that is longer than it may be.

use std::collections::BTreeSet;

use magpie_wire::dns::{
    Composer, Data, Full, Header, MAX_LEN, MalformedMessage, Message, Name, Question, Record,
    Section, kind, kind_name,
};

use crate::corpus::{IN, IN_TOP, Octets, QUERY, RESPONSE, messages, question, service};

fn name(text: &str) -> Name<'static> {
    text.parse().unwrap()
}

/// The message with everything in it, composed again.
pub(crate) fn compose(message: &Message<'_>, limit: usize) -> Result<Vec<u8>, Full> {
    let header = Header {
        id: message.id,
        is_response: message.is_response,
        is_truncated: message.is_truncated,
        is_authoritative: message.is_authoritative,
    };
    let mut composer = Composer::new(header, limit);
    for question in &message.questions {
        composer.push_question(question)?;
    }
    for (section, records) in [
        (Section::Answer, &message.answers),
        (Section::Authority, &message.authorities),
        (Section::Additional, &message.additionals),
    ] {
        for record in records {
            composer.push(section, record)?;
        }
    }
    Ok(composer.finish())
}

/// All parts of a message that are passed on.
pub(crate) fn parts<'m, 'a>(
    message: &'m Message<'a>,
) -> (&'m [Question<'a>], [&'m [Record<'a>]; 3]) {
    (&message.questions, [&message.answers, &message.authorities, &message.additionals])
}

fn refusal(octets: &[u8]) -> Option<MalformedMessage> {
    Message::parse(octets).err()
}

/// A response with one record, of which the name and what follows it are given.
fn one_record(rest: impl FnOnce(&mut Octets) -> &mut Octets) -> Vec<u8> {
    let mut m = Octets::new(0, RESPONSE, [0, 1, 0, 0]);
    rest(&mut m);
    m.0
}

#[test]
fn every_message_of_the_corpus_is_read_and_written_again() {
    for (what, octets) in messages() {
        let message = Message::parse(&octets).unwrap_or_else(|error| panic!("{what}: {error}"));
        let again = compose(&message, MAX_LEN).unwrap();
        let reread = Message::parse(&again).unwrap_or_else(|error| panic!("{what}: {error}"));
        assert_eq!(parts(&message), parts(&reread), "{what}");
        assert_eq!(message.id, reread.id, "{what}");
        assert_eq!(message.is_response, reread.is_response, "{what}");
        assert_eq!(message.is_truncated, reread.is_truncated, "{what}");
        assert_eq!(message.is_authoritative, reread.is_authoritative, "{what}");
    }
}

#[test]
fn service_is_taken_apart() {
    let octets = service();
    let message = Message::parse(&octets).unwrap();
    assert!(message.is_response && message.is_authoritative && !message.is_truncated);
    assert_eq!((message.opcode, message.rcode), (0, 0));
    let instance = name("Kitchen Printer._ipp._tcp.local");
    let host = name("printer.local");
    let [ptr] = &message.answers[..] else { panic!("{message:?}") };
    assert_eq!((&ptr.name, ptr.kind(), ptr.class), (&name("_ipp._tcp.local"), kind::PTR, 1));
    assert!(!ptr.cache_flush);
    assert_eq!(ptr.ttl, 4_500);
    assert_eq!(ptr.data(), Data::Ptr(&instance));
    let [srv, txt, a, aaaa, instance_types, host_types] = &message.additionals[..] else {
        panic!("{message:?}")
    };
    assert!(srv.cache_flush);
    assert_eq!(srv.data(), Data::Srv { target: &host, port: 631, priority: 0, weight: 0 });
    assert_eq!((&txt.name, txt.data()), (&instance, Data::Other));
    assert_eq!(a.data(), Data::A("192.0.2.9".parse().unwrap()));
    assert_eq!(aaaa.data(), Data::Aaaa("2001:db8:1::9".parse().unwrap()));
    for (record, owner, kinds) in [
        (instance_types, &instance, [kind::TXT, kind::SRV]),
        (host_types, &host, [kind::A, kind::AAAA]),
    ] {
        let Data::Nsec { next, types } = record.data() else { panic!("{record:?}") };
        assert_eq!((&record.name, next), (owner, owner));
        assert_eq!(types.iter().collect::<Vec<_>>(), kinds);
        assert!(types.contains(kinds[0]) && !types.contains(kind::HTTPS));
    }
}

#[test]
fn records_are_described() {
    let octets = service();
    let message = Message::parse(&octets).unwrap();
    let described: Vec<_> = message
        .answers
        .iter()
        .chain(&message.additionals)
        .map(|record| format!("{} {}", kind_name(record.kind()), record.describe(40)))
        .collect();
    assert_eq!(
        described,
        [
            "PTR Kitchen Printer._ipp._tcp.local",
            "SRV printer.local:631",
            r#"TXT "txtvers=1" "rp=ipp/print" "note=Kitche…"#,
            "A 192.0.2.9",
            "AAAA 2001:db8:1::9",
            "NSEC TXT SRV",
            "NSEC A AAAA",
        ]
    );
    let other = one_record(|m| {
        m.name(&["x", "local"], 0).record(61_000, IN, 1, |rdata| rdata.octets(&[0, 0xab]))
    });
    let record = &Message::parse(&other).unwrap().answers[0];
    assert_eq!(
        format!("{} {}", kind_name(record.kind()), record.describe(40)),
        r"TYPE61000 \# 2 00ab"
    );
    assert_eq!((record.describe(0), record.describe(1)), (String::new(), "…".to_owned()));
    let hostile = one_record(|m| {
        m.name(&["x"], 0).record(16, IN, 1, |rdata| rdata.octets(b"\x06\x1b[2J\"\xff"))
    });
    let record = &Message::parse(&hostile).unwrap().answers[0];
    assert_eq!(record.describe(99), r#""\027[2J\"\255""#);
}

#[test]
fn content_is_what_is_said_and_not_how() {
    let record = |labels: &[&str], class, ttl, target: &str| {
        let octets = one_record(|m| {
            m.name(labels, 0).record(33, class, ttl, |rdata| {
                rdata.numbers(&[0, 0, 80]).name(&[target, "local"], 0)
            })
        });
        Message::parse(&octets).unwrap().answers[0].content()
    };
    let original = record(&["web", "local"], IN, 120, "pi");
    assert_eq!(original, record(&["WEB", "Local"], IN_TOP, 0, "PI"));
    assert_ne!(original, record(&["web", "local"], IN, 120, "pj"));
    assert_ne!(original, record(&["wec", "local"], IN, 120, "pi"));
    // Compression is not content.
    let compressed = one_record(|m| {
        m.name(&["web", "local"], 0)
            .record(33, IN, 120, |rdata| rdata.numbers(&[0, 0, 80]).name(&["pi"], 16))
    });
    assert_eq!(original, Message::parse(&compressed).unwrap().answers[0].content());

    let asked = |class| {
        let mut m = Octets::new(0, QUERY, [1, 0, 0, 0]);
        m.name(&["web", "local"], 0).question(kind::ANY, class);
        Message::parse(&m.0).unwrap().questions[0].content()
    };
    assert_eq!(asked(IN), asked(IN_TOP));
    assert_ne!(asked(IN), asked(kind::CLASS_ANY));
}

#[test]
fn types_are_taken_out_of_nsec_records() {
    let octets = one_record(|m| {
        m.name(&["pi", "local"], 0).record(47, IN_TOP, 120, |rdata| {
            // A, AAAA, and CAA in the second window.
            rdata.name(&[], 12).octets(&[0, 4, 0x40, 0, 0, 8, 1, 1, 0x40])
        })
    });
    let message = Message::parse(&octets).unwrap();
    let record = &message.answers[0];
    let left = |withheld: &[u16]| {
        let record = record.without_types(|kind| withheld.contains(&kind))?;
        let Data::Nsec { types, .. } = record.data() else { panic!("{record:?}") };
        Some(types.iter().collect::<Vec<_>>())
    };
    assert_eq!(left(&[]), Some(vec![kind::A, kind::AAAA, 257]));
    assert_eq!(left(&[kind::AAAA]), Some(vec![kind::A, 257]));
    assert_eq!(left(&[kind::A, kind::AAAA]), Some(vec![257]));
    assert_eq!(left(&[kind::A, kind::AAAA, 257]), None);
    // What has no bits left is not written (RFC 4034 section 4.1.2).
    let shorter = record.without_types(|kind| kind != kind::A).unwrap();
    let mut composer = Composer::new(Header::default(), 100);
    composer.push(Section::Answer, &shorter).unwrap();
    let written = composer.finish();
    assert!(written.ends_with(b"\x02pi\x05local\x00\x00\x01\x40"), "{written:02x?}");
}

#[test]
fn composed_octets_are_these() {
    let octets = service();
    let message = Message::parse(&octets).unwrap();
    let header = Header { id: 0, is_response: true, is_authoritative: true, ..Header::default() };
    let mut composer = Composer::new(header, 200);
    assert!(composer.is_empty());
    composer.push(Section::Answer, &message.answers[0]).unwrap();
    composer.push(Section::Additional, &message.additionals[0]).unwrap();
    composer.push(Section::Additional, &message.additionals[3]).unwrap();
    assert!(!composer.is_empty());
    let expected = [
        b"\x00\x00\x84\x00\x00\x00\x00\x01\x00\x00\x00\x02".as_slice(),
        b"\x04_ipp\x04_tcp\x05local\x00\x00\x0c\x00\x01\x00\x00\x11\x94\x00\x12",
        b"\x0fKitchen Printer\xc0\x0c",
        // The target of a service is not compressed, for the sake of simple resolvers.
        b"\xc0\x27\x00\x21\x80\x01\x00\x00\x00\x78\x00\x15\x00\x00\x00\x00\x02\x77",
        b"\x07printer\x05local\x00",
        b"\x07printer\xc0\x16\x00\x1c\x80\x01\x00\x00\x00\x78\x00\x10",
        b"\x20\x01\x0d\xb8\x00\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x09",
    ]
    .concat();
    assert_eq!(composer.finish(), expected);
}

#[test]
fn nothing_is_composed_beyond_the_limit() {
    for (what, octets) in messages() {
        let message = Message::parse(&octets).unwrap();
        let whole = compose(&message, MAX_LEN).unwrap().len();
        for limit in (0..=whole + 1).step_by(7).chain([whole - 1, whole, whole + 1]) {
            match compose(&message, limit) {
                Ok(composed) => {
                    assert!(composed.len() <= limit && limit >= whole, "{what} {limit}");
                }
                Err(Full) => assert!(limit < whole, "{what}: {limit} of {whole}"),
            }
        }
    }
    // What did not fit left no trace, and what fits afterwards is taken.
    let octets = service();
    let message = Message::parse(&octets).unwrap();
    let txt = &message.additionals[1];
    let mut composer = Composer::new(Header::default(), 100);
    composer.push(Section::Answer, &message.answers[0]).unwrap();
    assert_eq!(composer.push(Section::Additional, txt), Err(Full));
    composer.push(Section::Answer, &message.additionals[3]).unwrap();
    let written = composer.finish();
    assert!(written.len() <= 100);
    let reread = Message::parse(&written).unwrap();
    assert_eq!(reread.answers, [message.answers[0].clone(), message.additionals[3].clone()]);
    assert!(reread.additionals.is_empty());
}

#[test]
fn sections_are_composed_in_their_order() {
    let octets = service();
    let message = Message::parse(&octets).unwrap();
    let record = &message.answers[0];
    let mut composer = Composer::new(Header::default(), 200);
    composer.push_question(&message.questions[0]).unwrap();
    composer.push(Section::Authority, record).unwrap();
    assert_eq!(composer.push(Section::Answer, record), Err(Full));
    assert_eq!(composer.push_question(&message.questions[0]), Err(Full));
    composer.push(Section::Authority, record).unwrap();
    composer.set_truncated();
    let written = composer.finish();
    let reread = Message::parse(&written).unwrap();
    let lengths = [reread.questions.len(), reread.answers.len(), reread.authorities.len()];
    assert_eq!(lengths, [1, 0, 2]);
    assert!(reread.is_truncated && !reread.is_response);
}

#[test]
fn case_of_names_survives() {
    let mut m = Octets::new(0, QUERY, [2, 0, 0, 0]);
    m.name(&["Pi-41", "Local"], 0).question(kind::A, IN);
    m.name(&["pi-41", "local"], 0).question(kind::A, IN);
    let message = Message::parse(&m.0).unwrap();
    let again = compose(&message, MAX_LEN).unwrap();
    assert_eq!(again, m.0);
}

#[test]
fn types_that_nobody_looks_at_are_taken_out_of_their_message() {
    let (_, octets) =
        messages().into_iter().find(|(what, _)| *what == "types with compressed names").unwrap();
    let message = Message::parse(&octets).unwrap();
    let composed = compose(&message, MAX_LEN).unwrap();
    let contains = |part: &[u8]| composed.windows(part.len()).any(|window| window == part);
    assert!(contains(b"\x00\x0d\x05other\x05local\x00"), "DNAME: {composed:02x?}");
    assert!(contains(b"\x00\x05\x04mail\x04zone\x05local\x00\x04x400\x05local\x00"), "PX");
    assert!(contains(b"\x00\x13\x00\x05\x04mail\x04zone\x05local\x00"), "MX");
}

#[test]
fn mdn_05_unicast_bit_is_told_from_the_class() {
    let mut m = Octets::new(0, QUERY, [2, 0, 0, 0]);
    m.name(&["pi", "local"], 0).question(kind::A, IN_TOP);
    m.name(&["pi", "local"], 0).question(kind::A, 0x80ff);
    let message = Message::parse(&m.0).unwrap();
    let asked: Vec<_> =
        message.questions.iter().map(|asked| (asked.class, asked.unicast)).collect();
    assert_eq!(asked, [(kind::CLASS_IN, true), (kind::CLASS_ANY, true)]);
}

#[test]
fn mdn_08_message_ends_before_its_counts_do() {
    for (what, octets) in messages() {
        let complete = octets.len() - if what.contains("nobody") { 14 } else { 0 };
        for end in 0..complete {
            assert!(refusal(&octets[..end]).is_some(), "{what}: {end} of {}", octets.len());
        }
        assert_eq!(refusal(&octets[..complete]), None, "{what}");
    }
    // No memory is set aside for what is only promised.
    for counts in [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1], [140; 4]] {
        let m = Octets::new(0, RESPONSE, counts);
        assert_eq!(refusal(&m.0), Some(MalformedMessage::Truncated), "{counts:?}");
    }
    assert_eq!(refusal(&Octets::new(0, QUERY, [0; 4]).0), None);
}

#[test]
fn mdn_08_messages_have_no_more_entries_than_say_something() {
    // As many addresses of one host as the longest packet has room for.
    let mut m = Octets::new(0, RESPONSE, [0, 0, 0, 0]);
    m.name(&["x"], 0).a(120, "192.0.2.1");
    let mut count = 1;
    while m.0.len() + 16 <= MAX_LEN {
        m.name(&[], 12).a(120, "192.0.2.2");
        count += 1;
    }
    let with = |counts: [u16; 4]| {
        let mut octets = Octets::new(0, RESPONSE, counts).0;
        octets.extend(&m.0[12..]);
        refusal(&octets)
    };
    assert_eq!(count, 561);
    assert_eq!(with([0, count, 0, 0]), None);
    assert_eq!(with([0, 200, 200, count - 400]), None);
    assert_eq!(with([0, count + 1, 0, 0]), Some(MalformedMessage::Truncated));
    for counts in [[0, count + 2, 0, 0], [1, count, 0, 1], [200; 4], [0xffff; 4]] {
        assert_eq!(with(counts), Some(MalformedMessage::Entries), "{counts:?}");
    }
    // Questions that say nothing new.
    let questions = |count: u16| {
        let mut m = Octets::new(0, QUERY, [count, 0, 0, 0]);
        m.name(&["x"], 0).question(kind::A, IN);
        for _ in 1..count {
            m.name(&[], 12).question(kind::A, IN);
        }
        refusal(&m.0)
    };
    assert_eq!(questions(562), None);
    assert_eq!(questions(563), Some(MalformedMessage::Entries));
}

#[test]
fn mdn_08_octets_beyond_the_counts_are_not_looked_at() {
    let mut octets = question();
    octets.extend([0xff; 40]);
    let message = Message::parse(&octets).unwrap();
    assert_eq!(compose(&message, MAX_LEN).unwrap(), question());
}

#[test]
fn mdn_08_compression_points_to_an_earlier_name() {
    let at = |pointer: u16| {
        let mut m = Octets::new(0, QUERY, [1, 0, 0, 0]);
        m.name(&["pi"], pointer).question(kind::A, IN);
        m.0
    };
    // In the header, at its own name, at itself, at what follows, beyond the end.
    for pointer in [1, 11, 12, 15, 17, 0x3fff] {
        assert_eq!(refusal(&at(pointer)), Some(MalformedMessage::Pointer), "{pointer}");
    }
    // Two names that point to each other.
    let mut m = Octets::new(0, QUERY, [2, 0, 0, 0]);
    m.name(&["a"], 20).question(kind::A, IN);
    m.name(&["b"], 12).question(kind::A, IN);
    assert_eq!(refusal(&m.0), Some(MalformedMessage::Pointer));
    // A name whose every label points to an earlier one is a name.
    let mut m = Octets::new(0, QUERY, [3, 0, 0, 0]);
    m.name(&["local"], 0).question(kind::A, IN);
    let second = m.here();
    m.name(&["pi"], 12).question(kind::A, IN);
    m.name(&[], second).question(kind::A, IN);
    assert_eq!(Message::parse(&m.0).unwrap().questions[2].name, name("pi.local"));
    // Pointers to pointers end somewhere, but not after any number of them.
    let chain = |links: u16| {
        let mut m = Octets::new(0, RESPONSE, [0, 2, 0, 0]);
        m.name(&["x"], 0).record(61_000, IN, 1, |rdata| {
            for link in 0..links {
                rdata.numbers(&[0xc000 | if link == 0 { 12 } else { rdata_at(link - 1) }]);
            }
            rdata
        });
        m.name(&[], rdata_at(links - 1)).record(61_000, IN, 1, |rdata| rdata);
        m.0
    };
    assert_eq!(refusal(&chain(100)), None);
    assert_eq!(refusal(&chain(200)), Some(MalformedMessage::Pointer));
}

/// What stands in a message, with a name that points to something.
type Put = dyn Fn(&mut Octets);

#[test]
fn mdn_08_compression_points_to_what_ends_before() {
    // Where the octets stand that names point to: in the data of a record before.
    let at = rdata_at(0);
    let with = |length: usize, then: &[u8], put: &Put| {
        let mut m = Octets::new(0, RESPONSE, [0, 3, 0, 0]);
        m.name(&["x"], 0).record(61_000, IN, 1, |rdata| {
            rdata.octets(&[u8::try_from(length).unwrap()]).octets(then)
        });
        put(&mut m);
        // Behind all else, the empty label that completes a name which goes on so far.
        let end = m.0.len();
        m.name(&[], 0).record(61_000, IN, 1, |rdata| rdata);
        let pointer = (0xc000 | at).to_be_bytes();
        let start = m.0.windows(2).position(|octets| octets == pointer).unwrap();
        (refusal(&m.0), [start, end].map(|place| place - usize::from(at) - 1))
    };
    let owner = move |m: &mut Octets| {
        m.name(&[], at).record(61_000, IN, 1, |rdata| rdata);
    };
    let data = move |kind, before: usize, names: usize, after: usize| {
        move |m: &mut Octets| {
            m.name(&[], 12).record(kind, IN, 1, |rdata| {
                rdata.octets(&vec![0; before]);
                for _ in 0..names {
                    rdata.name(&[], at);
                }
                rdata.octets(&vec![0; after])
            });
        }
    };
    let places: [(&str, &Put); 13] = [
        ("owner", &owner),
        ("NS", &data(kind::NS, 0, 1, 0)),
        ("CNAME", &data(kind::CNAME, 0, 1, 0)),
        ("PTR", &data(kind::PTR, 0, 1, 0)),
        ("DNAME", &data(kind::DNAME, 0, 1, 0)),
        ("MX", &data(kind::MX, 2, 1, 0)),
        ("AFSDB", &data(kind::AFSDB, 2, 1, 0)),
        ("KX", &data(kind::KX, 2, 1, 0)),
        ("PX", &data(kind::PX, 2, 2, 0)),
        ("RP", &data(kind::RP, 0, 2, 0)),
        ("SRV", &data(kind::SRV, 6, 1, 0)),
        ("SOA", &data(kind::SOA, 0, 2, 20)),
        ("NSEC", &data(kind::NSEC, 0, 1, 0)),
    ];
    for (place, put) in places {
        // A label that ends with the octets that are meant to, and a name with it.
        assert_eq!(with(2, b"pi\0", put).0, None, "{place}");
        // One that goes on to where the name begins that points to it, or further.
        let (_, [to_start, to_end]) = with(0, b"pi", put);
        for length in to_start..=to_end {
            let refused = with(length, b"pi", put).0;
            assert_eq!(refused, Some(MalformedMessage::Pointer), "{place}: {length}");
        }
    }
    // So with names that others point to on the way.
    let with = |length: u8| {
        let mut m = Octets::new(0, RESPONSE, [0, 3, 0, 0]);
        m.name(&["x"], 0).record(61_000, IN, 1, |rdata| rdata.octets(&[length]).octets(b"pi\0"));
        let mut second = 0;
        m.name(&[], 12).record(61_000, IN, 1, |rdata| {
            second = rdata.here();
            rdata.name(&["a"], at)
        });
        let third = m.here();
        m.name(&[], second).record(61_000, IN, 1, |rdata| rdata);
        let octets = m.name(&[], 0).0.clone();
        (refusal(&octets), [second, third].map(|place| u8::try_from(place - at).unwrap() - 1))
    };
    let (refused, [second, third]) = with(2);
    assert_eq!(refused, None);
    for length in second..=third + 12 {
        assert_eq!(with(length).0, Some(MalformedMessage::Pointer), "{length}");
    }
    // A name of which the second half is a label that begins in the lifetime of its own record.
    let octets = one_record(|m| {
        m.name(&["zone", "local"], 0)
            .record(kind::DNAME, IN, 10, |rdata| rdata.name(&["other"], 31));
        m.name(&[], 12)
    });
    assert_eq!(octets[31], 10);
    assert_eq!(refusal(&octets), Some(MalformedMessage::Pointer));
}

#[test]
fn mdn_08_names_are_not_made_of_what_stands_for_something_else() {
    // A name that begins in the type of a question of which the reader has never heard.
    let with = |pointer: u16| {
        let mut m = Octets::new(0, QUERY, [2, 0, 0, 0]);
        m.name(&["pi"], 0).question(0x0161, 0x0001);
        m.name(&[], pointer).question(kind::A, IN);
        m.0
    };
    assert_eq!(Message::parse(&with(12)).unwrap().questions[1].name, name("pi"));
    assert_eq!(refusal(&with(16)), Some(MalformedMessage::Pointer));
}

/// Where the pointers of a chain stand: behind the header, a name of three octets and the fixed part
/// of a record.
fn rdata_at(index: u16) -> u16 {
    12 + 3 + 10 + 2 * index
}

#[test]
fn mdn_08_labels_and_names_have_a_longest_length() {
    let with = |octets: &[u8]| {
        let mut m = Octets::new(0, QUERY, [1, 0, 0, 0]);
        m.octets(octets).question(kind::A, IN);
        m.0
    };
    let longest = [&[63][..], &[b'a'; 63], &[0]].concat();
    assert_eq!(refusal(&with(&longest)), None);
    // The other two kinds of labels do not exist (RFC 1035 section 4.1.4, RFC 6891 section 5).
    for first in [64, 0x41, 0x80, 0xbf] {
        let label = [&[first][..], &[b'a'; 0xbf], &[0]].concat();
        assert_eq!(refusal(&with(&label)), Some(MalformedMessage::Label), "{first}");
    }
    let label = [&[63][..], &[b'a'; 63]].concat();
    let with_rest = |rest: u8| {
        let rest = [&[rest][..], &vec![b'b'; rest.into()], &[0]].concat();
        with(&[label.repeat(3), rest].concat())
    };
    assert_eq!(refusal(&with_rest(61)), None);
    assert_eq!(refusal(&with_rest(62)), Some(MalformedMessage::Name));
}

#[test]
fn mdn_08_messages_have_no_more_labels_than_can_be_compressed_in_no_time() {
    let with = |names: u16, labels: usize| {
        let mut m = Octets::new(0, QUERY, [names, 0, 0, 0]);
        for number in 0..names {
            let number = number.to_string();
            m.name(&["1"].repeat(labels - 1), 0);
            // The last label is another one each time, so that no two end alike.
            m.0.pop();
            m.name(&[&number], 0).question(kind::PTR, IN);
        }
        refusal(&m.0)
    };
    assert_eq!(with(50, 34), None, "reverse names");
    assert_eq!(with(4, 120), None);
    assert_eq!(with(33, 120), Some(MalformedMessage::Labels));
}

#[test]
fn mdn_08_rdata_has_the_shape_of_its_type() {
    let refused = |kind, rdata: &[u8]| {
        refusal(&one_record(|m| {
            m.name(&["pi", "local"], 0).record(kind, IN, 120, |m| m.octets(rdata))
        }))
    };
    let pointer = [0xc0, 12];
    for (kind, right) in [
        (kind::A, [1; 4].to_vec()),
        (kind::AAAA, [1; 16].to_vec()),
        (kind::PTR, pointer.to_vec()),
        (kind::SRV, [&[0; 6][..], &pointer].concat()),
        (kind::MX, [&[0; 2][..], &pointer].concat()),
        (kind::RP, [pointer, pointer].concat()),
        (kind::PX, [&[0; 2][..], &pointer, &pointer].concat()),
        (kind::SOA, [&pointer[..], &pointer, &[0; 20]].concat()),
    ] {
        assert_eq!(refused(kind, &right), None, "{}", kind_name(kind));
        for end in 0..right.len() {
            assert!(refused(kind, &right[..end]).is_some(), "{} {end}", kind_name(kind));
        }
        let longer = [&right[..], &[0]].concat();
        assert_eq!(refused(kind, &longer), Some(MalformedMessage::Data), "{}", kind_name(kind));
    }
    // Windows that are too long, end early, or come twice or in the wrong order (RFC 4034 section
    // 4.1.2).
    let too_long = [&[0, 33][..], &[1; 33]].concat();
    for windows in [&too_long[..], &[0, 2, 1], &[0], &[0, 1, 1, 0, 1, 1], &[1, 1, 1, 0, 1, 1]] {
        let rdata = [&pointer, windows].concat();
        assert_eq!(refused(kind::NSEC, &rdata), Some(MalformedMessage::Data), "{windows:?}");
    }
    // A string that is longer than its record.
    assert_eq!(refused(kind::TXT, b"\x05abc"), Some(MalformedMessage::Data));
    // A name that goes on beyond its record, into one that would complete it.
    let octets = {
        let mut m = Octets::new(0, RESPONSE, [0, 1, 0, 0]);
        m.name(&["pi"], 0).numbers(&[kind::PTR, IN, 0, 120, 3]).name(&["longer"], 0);
        m.0
    };
    assert_eq!(refusal(&octets), Some(MalformedMessage::Data));
}

#[test]
fn mdn_08_other_classes_and_longer_messages_are_refused() {
    for class in [0, 2, 254, 255, 0x7fff] {
        let octets = one_record(|m| m.name(&["x"], 0).record(16, class, 1, |rdata| rdata));
        assert_eq!(refusal(&octets), Some(MalformedMessage::Class), "{class}");
    }
    let mut m = Octets::new(0, QUERY, [1, 0, 0, 0]);
    m.name(&["x"], 0).question(kind::A, 0);
    assert_eq!(refusal(&m.0), Some(MalformedMessage::Class));

    let mut octets = question();
    octets.resize(MAX_LEN, 0);
    assert_eq!(refusal(&octets), None);
    octets.push(0);
    assert_eq!(refusal(&octets), Some(MalformedMessage::TooLong));
}

#[test]
fn what_senders_say_of_themselves_is_left_out_wherever_it_stands() {
    let mut m = Octets::new(0, RESPONSE, [0, 2, 1, 3]);
    let opt = |m: &mut Octets| {
        m.name(&[], 0).record(kind::OPT, 1_440, 0, |rdata| rdata);
    };
    let text = |m: &mut Octets, ttl| {
        m.name(&["x"], 0).record(kind::TXT, IN, ttl, |rdata| rdata);
    };
    opt(&mut m);
    text(&mut m, 1);
    opt(&mut m);
    opt(&mut m);
    text(&mut m, 2);
    opt(&mut m);
    let message = Message::parse(&m.0).unwrap();
    let lifetimes: Vec<_> =
        message.answers.iter().chain(&message.additionals).map(|record| record.ttl).collect();
    assert_eq!(lifetimes, [1, 2]);
    assert!(message.authorities.is_empty());
}

#[test]
fn labels_of_refusals_are_unique() {
    let labels: BTreeSet<_> = MalformedMessage::ALL.map(MalformedMessage::label).into();
    assert_eq!(labels.len(), MalformedMessage::ALL.len());
    for (index, reason) in MalformedMessage::ALL.into_iter().enumerate() {
        assert_eq!(reason as usize, index);
    }
}
