//! Messages as responders send them, put together octet by octet.

use std::net::{Ipv4Addr, Ipv6Addr};

pub(crate) const QUERY: u16 = 0;
pub(crate) const TRUNCATED_QUERY: u16 = 0x0200;
pub(crate) const RESPONSE: u16 = 0x8400;
/// The class, and with the bit that asks for unicast or flushes caches.
pub(crate) const IN: u16 = 1;
pub(crate) const IN_TOP: u16 = 0x8001;

/// Octets of a message in the making.
#[derive(Clone)]
pub(crate) struct Octets(pub(crate) Vec<u8>);

impl Octets {
    /// Begins with a header; the counts are those of the four sections.
    pub(crate) fn new(id: u16, flags: u16, counts: [u16; 4]) -> Self {
        let mut octets = Self(Vec::new());
        octets.numbers(&[id, flags]);
        octets.numbers(&counts);
        octets
    }

    pub(crate) fn numbers(&mut self, numbers: &[u16]) -> &mut Self {
        self.0.extend(numbers.iter().flat_map(|number| number.to_be_bytes()));
        self
    }

    pub(crate) fn octets(&mut self, octets: &[u8]) -> &mut Self {
        self.0.extend(octets);
        self
    }

    /// Labels, and then a pointer or, for 0, the end.
    pub(crate) fn name(&mut self, labels: &[&str], then: u16) -> &mut Self {
        for label in labels {
            self.0.push(u8::try_from(label.len()).unwrap());
            self.0.extend(label.as_bytes());
        }
        if then == 0 { self.octets(&[0]) } else { self.numbers(&[0xc000 | then]) }
    }

    /// Where the next octet will stand.
    pub(crate) fn here(&self) -> u16 {
        u16::try_from(self.0.len()).unwrap()
    }

    /// Type and class behind the name of a question.
    pub(crate) fn question(&mut self, kind: u16, class: u16) -> &mut Self {
        self.numbers(&[kind, class])
    }

    /// What stands behind the name of a record.
    pub(crate) fn record(
        &mut self,
        kind: u16,
        class: u16,
        ttl: u32,
        rdata: impl FnOnce(&mut Self) -> &mut Self,
    ) -> &mut Self {
        self.numbers(&[kind, class]).octets(&ttl.to_be_bytes()).numbers(&[0]);
        let start = self.0.len();
        rdata(self);
        let length = u16::try_from(self.0.len() - start).unwrap();
        self.0[start - 2..start].copy_from_slice(&length.to_be_bytes());
        self
    }

    pub(crate) fn a(&mut self, ttl: u32, address: &str) -> &mut Self {
        let address: Ipv4Addr = address.parse().unwrap();
        self.record(1, IN_TOP, ttl, |rdata| rdata.octets(&address.octets()))
    }

    pub(crate) fn aaaa(&mut self, ttl: u32, address: &str) -> &mut Self {
        let address: Ipv6Addr = address.parse().unwrap();
        self.record(28, IN_TOP, ttl, |rdata| rdata.octets(&address.octets()))
    }
}

/// Every message, by what it is.
pub(crate) fn messages() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("a question", question()),
        ("a browser's questions with known answers", browse()),
        ("questions for unicast answers, with an OPT record", unicast_questions()),
        ("a probe", probe()),
        ("known answers that go on", truncated()),
        ("a simple resolver's question", legacy()),
        ("a service with all that belongs to it", service()),
        ("the host of a service", host()),
        ("a goodbye", goodbye()),
        ("an enumeration of types", enumeration()),
        ("reverse names", reverse()),
        ("types that nobody knows", unknown()),
        ("types with compressed names", compressed()),
        ("a long answer", long()),
    ]
}

pub(crate) fn question() -> Vec<u8> {
    let mut m = Octets::new(0, QUERY, [1, 0, 0, 0]);
    m.name(&["pi-41", "local"], 0).question(28, IN);
    m.0
}

fn browse() -> Vec<u8> {
    let mut m = Octets::new(0, QUERY, [2, 2, 0, 0]);
    m.name(&["_ipp", "_tcp", "local"], 0).question(12, IN);
    m.name(&["_universal", "_sub"], 12).question(12, IN);
    for instance in ["Kitchen Printer", "B\u{fc}ro. 2. Stock"] {
        m.numbers(&[0xc00c]);
        m.record(12, IN, 3_000, |rdata| rdata.name(&[instance], 12));
    }
    m.0
}

fn unicast_questions() -> Vec<u8> {
    let mut m = Octets::new(0, QUERY, [4, 0, 0, 1]);
    m.name(&["PI-41", "Local"], 0).question(1, IN_TOP);
    m.numbers(&[0xc00c]).question(28, IN_TOP);
    m.numbers(&[0xc00c]).question(65, IN_TOP);
    m.numbers(&[0xc00c]).question(99, IN);
    // The owner option of a sleeping host, as Apple's responders send it.
    m.name(&[], 0).record(41, 1_440, 0x1194, |rdata| {
        rdata.numbers(&[4, 14, 0x0000]).octets(&[2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2])
    });
    m.0
}

fn probe() -> Vec<u8> {
    let mut m = Octets::new(0, QUERY, [2, 0, 4, 0]);
    m.name(&["pi-41", "local"], 0).question(255, IN_TOP);
    let instance = m.here();
    m.name(&["web on pi-41", "_http", "_tcp"], 18).question(255, IN_TOP);
    m.numbers(&[0xc000 | instance])
        .record(33, IN, 120, |rdata| rdata.numbers(&[0, 0, 8_080]).name(&[], 12));
    m.numbers(&[0xc000 | instance]).record(16, IN, 4_500, |rdata| rdata.octets(&[0]));
    m.name(&[], 12).a(120, "192.0.2.41");
    m.name(&[], 12).aaaa(120, "2001:db8:1::41");
    m.0
}

fn truncated() -> Vec<u8> {
    let mut m = Octets::new(0, TRUNCATED_QUERY, [1, 60, 0, 0]);
    m.name(&["_airplay", "_tcp", "local"], 0).question(12, IN);
    for index in 0..60 {
        let instance = format!("Living Room {index}");
        m.numbers(&[0xc00c]).record(12, IN, 2_250 + index, |rdata| rdata.name(&[&instance], 12));
    }
    m.0
}

fn legacy() -> Vec<u8> {
    // Recursion desired, and checking disabled: from a resolver that knows nothing of multicast.
    let mut m = Octets::new(0x4d2, 0x0110, [1, 0, 0, 0]);
    m.name(&["pi-41", "local"], 0).question(28, IN);
    m.0
}

pub(crate) fn service() -> Vec<u8> {
    let mut m = Octets::new(0, RESPONSE, [1, 1, 0, 6]);
    m.name(&["_ipp", "_tcp", "local"], 0).question(12, IN);
    let mut instance = 0;
    m.numbers(&[0xc00c]).record(12, IN, 4_500, |rdata| {
        instance = rdata.here();
        rdata.name(&["Kitchen Printer"], 12)
    });
    let at_instance = 0xc000 | instance;
    let mut target = 0;
    m.numbers(&[at_instance]).record(33, IN_TOP, 120, |rdata| {
        rdata.numbers(&[0, 0, 631]);
        target = rdata.here();
        rdata.name(&["printer"], 22)
    });
    m.numbers(&[at_instance]).record(16, IN_TOP, 4_500, |rdata| {
        for text in ["txtvers=1", "rp=ipp/print", "note=Kitchen; ground floor", "Color=T"] {
            rdata.octets(&[u8::try_from(text.len()).unwrap()]).octets(text.as_bytes());
        }
        rdata
    });
    m.name(&[], target).a(120, "192.0.2.9");
    m.name(&[], target).aaaa(120, "2001:db8:1::9");
    m.numbers(&[at_instance]).record(47, IN_TOP, 4_500, |rdata| {
        rdata.name(&[], instance).octets(&[0, 5, 0, 0, 0x80, 0, 0x40])
    });
    m.name(&[], target)
        .record(47, IN_TOP, 120, |rdata| rdata.name(&[], target).octets(&[0, 4, 0x40, 0, 0, 0x08]));
    m.0
}

fn host() -> Vec<u8> {
    let mut m = Octets::new(0, RESPONSE, [0, 5, 0, 1]);
    m.name(&["pi-41", "local"], 0).a(120, "169.254.7.7");
    m.name(&[], 12).a(120, "192.0.2.41");
    m.name(&[], 12).aaaa(120, "fe80::41");
    m.name(&[], 12).aaaa(120, "2001:db8:1::41");
    m.name(&[], 12).record(13, IN, 4_500, |rdata| {
        rdata.octets(&[7]).octets(b"AARCH64").octets(&[5]).octets(b"LINUX")
    });
    m.name(&[], 12)
        .record(47, IN_TOP, 120, |rdata| rdata.name(&[], 12).octets(&[0, 4, 0x40, 0x04, 0, 0x08]));
    m.0
}

fn goodbye() -> Vec<u8> {
    let mut m = Octets::new(0, RESPONSE, [0, 2, 0, 0]);
    m.name(&["_http", "_tcp", "local"], 0);
    m.record(12, IN, 0, |rdata| rdata.name(&["web on pi-41"], 12));
    m.name(&["pi-41"], 23).aaaa(0, "2001:db8:1::41");
    m.0
}

fn enumeration() -> Vec<u8> {
    let mut m = Octets::new(0, RESPONSE, [0, 3, 0, 0]);
    m.name(&["_services", "_dns-sd", "_udp", "local"], 0);
    for (index, kind) in ["_http", "_ipp", "_ssh"].into_iter().enumerate() {
        if index > 0 {
            m.numbers(&[0xc00c]);
        }
        m.record(12, IN, 4_500, |rdata| rdata.name(&[kind, "_tcp"], 35));
    }
    m.0
}

fn reverse() -> Vec<u8> {
    let mut m = Octets::new(0, RESPONSE, [0, 2, 0, 0]);
    let nibbles: Vec<_> = "1400000000000000000010008bd01002".chars().map(String::from).collect();
    let labels: Vec<_> = nibbles.iter().map(String::as_str).chain(["ip6", "arpa"]).collect();
    m.name(&labels, 0).record(12, IN_TOP, 120, |rdata| rdata.name(&["pi-41", "local"], 0));
    m.name(&["41", "2", "0", "192", "in-addr", "arpa"], 0);
    m.record(12, IN_TOP, 120, |rdata| rdata.name(&["pi-41", "local"], 0));
    m.0
}

fn unknown() -> Vec<u8> {
    // Bits that are to be ignored are set.
    let mut m = Octets::new(7, RESPONSE | 0x01f0, [1, 5, 0, 2]);
    m.name(&["thing", "local"], 0).question(61_000, IN);
    m.name(&[], 12).record(61_000, IN, 10, |rdata| rdata.octets(&[0xc0, 0x0c, 1, 2]));
    m.name(&[], 12).record(61_001, IN, 10, |rdata| rdata);
    // Service bindings: one that is right, one with a parameter that is not.
    m.name(&[], 12)
        .record(64, IN, 10, |rdata| rdata.numbers(&[1]).octets(&[0]).numbers(&[3, 2, 443]));
    m.name(&[], 12).record(65, IN, 10, |rdata| {
        rdata.numbers(&[1]).octets(&[0]).numbers(&[5, 3]).octets(&[1, 2, 3])
    });
    m.name(&[], 12).record(29, IN, 10, |rdata| rdata.octets(&[9, 9, 9]));
    m.name(&[], 0).record(41, 4_096, 0, |rdata| rdata);
    m.name(&[], 12).record(16, IN, 10, |rdata| rdata);
    m.octets(b"behind the end");
    m.0
}

fn compressed() -> Vec<u8> {
    let mut m = Octets::new(0, RESPONSE, [0, 9, 0, 0]);
    m.name(&["zone", "local"], 0);
    m.record(39, IN, 10, |rdata| rdata.name(&["other"], 17));
    m.name(&[], 12)
        .record(26, IN, 10, |rdata| rdata.numbers(&[5]).name(&["mail"], 12).name(&["x400"], 17));
    m.name(&[], 12).record(2, IN, 10, |rdata| rdata.name(&["ns"], 12));
    m.name(&["Alias"], 12).record(5, IN, 10, |rdata| rdata.name(&[], 12));
    m.name(&[], 12)
        .record(6, IN, 10, |rdata| rdata.name(&["ns"], 12).name(&["admin"], 12).octets(&[1; 20]));
    m.name(&[], 12).record(15, IN, 10, |rdata| rdata.numbers(&[5]).name(&["mail"], 12));
    m.name(&[], 12).record(17, IN, 10, |rdata| rdata.name(&["me"], 12).name(&[], 12));
    m.name(&[], 12).record(36, IN, 10, |rdata| rdata.numbers(&[5]).name(&["kx"], 12));
    m.name(&[], 12).record(18, IN, 10, |rdata| rdata.numbers(&[1]).name(&["afs"], 12));
    m.0
}

fn long() -> Vec<u8> {
    let mut m = Octets::new(0, RESPONSE, [0, 100, 0, 0]);
    m.name(&["_http", "_tcp", "local"], 0);
    for index in 0..100 {
        if index > 0 {
            m.numbers(&[0xc00c]);
        }
        let instance = format!("Page number {index} of the front door");
        m.record(12, IN, 4_500, |rdata| rdata.name(&[&instance], 12));
    }
    m.0
}
