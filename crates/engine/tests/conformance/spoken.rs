//! Messages of multicast DNS as text, to be said and compared:
//!
//! ```text
//! query tc; q pi.local AAAA qu; an _ipp._tcp.local PTR 4500 a._ipp._tcp.local
//! response; an pi.local AAAA 120! 2001:db8:1::21; ar pi.local NSEC 120! AAAA
//! ```
//!
//! An exclamation mark is the cache-flush bit. Written here without the help of what is tested, and
//! without compression.

use std::net::{Ipv4Addr, Ipv6Addr};

use magpie_wire::dns::{Data, Message, Record, kind, kind_name};

/// Writes a message as octets.
pub(crate) fn octets(text: &str) -> Vec<u8> {
    let mut parts = text.split(';').map(str::trim);
    let head: Vec<_> = parts.next().expect("a head").split_whitespace().collect();
    let (mut flags, mut id) = (0_u16, 0_u16);
    for word in head {
        match word {
            "query" => {}
            "response" => flags |= 0x8400,
            "tc" => flags |= 0x0200,
            other if other.starts_with("id=") => id = other[3..].parse().expect("a number"),
            other => flags |= other.parse::<u16>().expect("flags as a number"),
        }
    }
    let mut sections = [(0_u16, Vec::new()), (0, Vec::new()), (0, Vec::new()), (0, Vec::new())];
    for part in parts.filter(|part| !part.is_empty()) {
        let words: Vec<_> = part.split_whitespace().collect();
        let section = ["q", "an", "ns", "ar"].iter().position(|name| *name == words[0]);
        let (count, octets) = &mut sections[section.expect("a section")];
        *count += 1;
        if words[0] == "q" {
            let class = if words.get(3) == Some(&"qu") { 0x8001_u16 } else { 1 };
            put_name(octets, words[1]);
            octets.extend(number_of(words[2]).to_be_bytes());
            octets.extend(class.to_be_bytes());
        } else {
            put_record(octets, &words[1..]);
        }
    }
    let mut message = Vec::new();
    message.extend(id.to_be_bytes());
    message.extend(flags.to_be_bytes());
    for (count, _) in &sections {
        message.extend(count.to_be_bytes());
    }
    for (_, octets) in &sections {
        message.extend(octets);
    }
    message
}

/// Reads a message that was sent.
pub(crate) fn text(octets: &[u8]) -> String {
    let message = Message::parse(octets).expect("what is sent can be read");
    let mut text = if message.is_response { "response" } else { "query" }.to_owned();
    assert_eq!((message.opcode, message.rcode), (0, 0), "RFC 6762 sections 18.3 and 18.11");
    assert_eq!(message.is_authoritative, message.is_response, "RFC 6762 section 18.4");
    if message.id != 0 {
        text += " id";
    }
    if message.is_truncated {
        text += " tc";
    }
    let questions = message.questions.iter().map(|question| {
        let unicast = if question.unicast { " qu" } else { "" };
        format!("q {} {}{unicast}", question.name, kind_name(question.kind))
    });
    let sections =
        [("an", &message.answers), ("ns", &message.authorities), ("ar", &message.additionals)];
    let records = sections.into_iter().flat_map(|(name, records)| {
        records.iter().map(move |record| format!("{name} {}", record_text(record)))
    });
    let parts: Vec<_> = std::iter::once(text).chain(questions).chain(records).collect();
    parts.join("; ")
}

fn record_text(record: &Record<'_>) -> String {
    let flush = if record.cache_flush { "!" } else { "" };
    let data = match record.data() {
        Data::A(address) => address.to_string(),
        Data::Aaaa(address) => address.to_string(),
        Data::Ptr(name) => name.to_string(),
        Data::Srv { target, port, .. } => format!("{port} {target}"),
        Data::Nsec { types, .. } => types.iter().map(kind_name).collect::<Vec<_>>().join(" "),
        Data::Other => record.describe(64),
    };
    format!("{} {} {}{flush} {data}", record.name, kind_name(record.kind()), record.ttl)
}

fn put_record(octets: &mut Vec<u8>, words: &[&str]) {
    let (name, sort, ttl, data) = (words[0], words[1], words[2], &words[3..]);
    put_name(octets, name);
    octets.extend(number_of(sort).to_be_bytes());
    let class = if ttl.ends_with('!') { 0x8001_u16 } else { 1 };
    octets.extend(class.to_be_bytes());
    octets.extend(ttl.trim_end_matches('!').parse::<u32>().expect("a lifetime").to_be_bytes());
    let mut rdata = Vec::new();
    match sort {
        "A" => rdata.extend(data[0].parse::<Ipv4Addr>().expect("an address").octets()),
        "AAAA" => rdata.extend(data[0].parse::<Ipv6Addr>().expect("an address").octets()),
        "PTR" => put_name(&mut rdata, data[0]),
        "SRV" => {
            rdata.extend([0; 4]);
            rdata.extend(data[0].parse::<u16>().expect("a port").to_be_bytes());
            put_name(&mut rdata, data[1]);
        }
        "NSEC" => {
            let mut bits = [0_u8; 32];
            for kind in data.iter().map(|kind| usize::from(number_of(kind))) {
                bits[kind / 8] |= 0x80 >> (kind % 8);
            }
            let length = bits.iter().rposition(|octet| *octet != 0).map_or(0, |last| last + 1);
            put_name(&mut rdata, name);
            rdata.extend([0, u8::try_from(length).expect("32 at most")]);
            rdata.extend(&bits[..length]);
        }
        // As many octets as the number says.
        "TXT" if data.first().is_some_and(|size| size.starts_with('#')) => {
            let size: usize = data[0][1..].parse().expect("a size");
            for start in (0..size).step_by(256) {
                let length = (size - start).min(256) - 1;
                rdata.push(u8::try_from(length).expect("255 at most"));
                rdata.extend(vec![b'x'; length]);
            }
        }
        _ => {
            let text = data.join(" ");
            rdata.push(u8::try_from(text.len()).expect("a short text"));
            rdata.extend(text.bytes());
        }
    }
    octets.extend(u16::try_from(rdata.len()).expect("a short record").to_be_bytes());
    octets.extend(rdata);
}

fn put_name(octets: &mut Vec<u8>, name: &str) {
    for label in name.split('.') {
        octets.push(u8::try_from(label.len()).expect("a short label"));
        octets.extend(label.bytes());
    }
    octets.push(0);
}

fn number_of(name: &str) -> u16 {
    match name {
        "A" => kind::A,
        "AAAA" => kind::AAAA,
        "PTR" => kind::PTR,
        "SRV" => kind::SRV,
        "TXT" => kind::TXT,
        "NSEC" => kind::NSEC,
        "ANY" => kind::ANY,
        other => other.strip_prefix("TYPE").and_then(|number| number.parse().ok()).expect("a type"),
    }
}
