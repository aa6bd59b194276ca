//! Messages of multicast DNS made by hand, octet by octet: also such as no correct program sends.

use std::net::{Ipv4Addr, Ipv6Addr};

/// A message in the making.
#[derive(Clone, Debug, Default)]
pub(crate) struct Draft {
    id: u16,
    flags: u16,
    counts: [u16; 4],
    body: Vec<u8>,
    /// Instead of all this.
    raw: Option<Vec<u8>>,
}

/// A record to put into a message.
#[derive(Clone, Debug)]
pub(crate) struct Rec {
    name: String,
    kind: u16,
    class: u16,
    ttl: u32,
    data: Vec<u8>,
}

impl Draft {
    /// A query.
    pub(crate) fn query() -> Self {
        Self::default()
    }

    /// An answer.
    pub(crate) fn response() -> Self {
        Self { flags: 0x8400, ..Self::default() }
    }

    /// These octets, whatever they say.
    pub(crate) fn raw(octets: Vec<u8>) -> Self {
        Self { raw: Some(octets), ..Self::default() }
    }

    /// With an ID, as in unicast DNS.
    pub(crate) fn id(self, id: u16) -> Self {
        Self { id, ..self }
    }

    /// With other flags.
    pub(crate) fn flags(self, flags: u16) -> Self {
        Self { flags, ..self }
    }

    /// Asks for a name; sections come in their order.
    pub(crate) fn question(self, name: &str, kind: u16) -> Self {
        self.ask(name, kind, 1)
    }

    /// Asks for a name, and for an answer to the asker alone.
    pub(crate) fn unicast_question(self, name: &str, kind: u16) -> Self {
        self.ask(name, kind, 0x8001)
    }

    /// Adds an answer; to a query, a known one.
    pub(crate) fn answer(self, record: &Rec) -> Self {
        self.put(1, record)
    }

    /// Adds what a probe is about.
    pub(crate) fn authority(self, record: &Rec) -> Self {
        self.put(2, record)
    }

    /// Adds what else may be useful.
    pub(crate) fn additional(self, record: &Rec) -> Self {
        self.put(3, record)
    }

    /// The octets.
    pub(crate) fn octets(&self) -> Vec<u8> {
        if let Some(octets) = &self.raw {
            return octets.clone();
        }
        let mut octets = Vec::new();
        for field in [self.id, self.flags].iter().chain(&self.counts) {
            octets.extend_from_slice(&field.to_be_bytes());
        }
        octets.extend_from_slice(&self.body);
        octets
    }

    fn ask(mut self, name: &str, kind: u16, class: u16) -> Self {
        self.body.extend(encode(name));
        self.body.extend_from_slice(&kind.to_be_bytes());
        self.body.extend_from_slice(&class.to_be_bytes());
        self.counts[0] += 1;
        self
    }

    fn put(mut self, section: usize, record: &Rec) -> Self {
        self.body.extend(encode(&record.name));
        self.body.extend_from_slice(&record.kind.to_be_bytes());
        self.body.extend_from_slice(&record.class.to_be_bytes());
        self.body.extend_from_slice(&record.ttl.to_be_bytes());
        let len = u16::try_from(record.data.len()).expect("tests write short records");
        self.body.extend_from_slice(&len.to_be_bytes());
        self.body.extend_from_slice(&record.data);
        self.counts[section] += 1;
        self
    }
}

impl Rec {
    /// A record of any kind, the only one of its name and kind.
    pub(crate) fn new(name: &str, kind: u16, data: Vec<u8>) -> Self {
        Self { name: name.to_owned(), kind, class: 0x8001, ttl: 120, data }
    }

    /// An IPv4 address.
    pub(crate) fn a(name: &str, address: Ipv4Addr) -> Self {
        Self::new(name, 1, address.octets().to_vec())
    }

    /// An IPv6 address.
    pub(crate) fn aaaa(name: &str, address: Ipv6Addr) -> Self {
        Self::new(name, 28, address.octets().to_vec())
    }

    /// One of many names.
    pub(crate) fn ptr(name: &str, target: &str) -> Self {
        Self { class: 1, ..Self::new(name, 12, encode(target)) }
    }

    /// A text.
    pub(crate) fn txt(name: &str, text: &str) -> Self {
        let len = u8::try_from(text.len()).expect("tests write short texts");
        Self::new(name, 16, [&[len], text.as_bytes()].concat())
    }

    /// Which kinds below 64 there are.
    pub(crate) fn nsec(name: &str, kinds: &[u16]) -> Self {
        let mut map = [0_u8; 8];
        for kind in kinds {
            map[usize::from(kind / 8)] |= 0x80 >> (kind % 8);
        }
        Self::new(name, 47, [encode(name), vec![0, 8], map.to_vec()].concat())
    }

    /// With another lifetime in seconds; 0 is a goodbye.
    pub(crate) fn ttl(self, ttl: u32) -> Self {
        Self { ttl, ..self }
    }
}

/// A name as labels behind their lengths.
pub(crate) fn encode(name: &str) -> Vec<u8> {
    let mut octets = Vec::new();
    for label in name.split('.') {
        octets.push(u8::try_from(label.len()).expect("tests write short labels"));
        octets.extend_from_slice(label.as_bytes());
    }
    octets.push(0);
    octets
}
