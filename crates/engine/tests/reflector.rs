//! Whatever is said to the reflector, what it says is well-formed, harmless and bounded: two other
//! readers understand it too.
#![expect(clippy::unwrap_used, reason = "the helpers of a test state their assumptions, too")]

#[path = "../../wire/tests/corpus/mod.rs"]
mod corpus;
#[path = "../../wire/tests/corpus/fuzz.rs"]
mod fuzz;

use std::collections::BTreeMap;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use fastrand::Rng;
use magpie_engine::{
    Addresses, Config, Conflicts, Engine, Input, Instant, KernelEvent, LinkId, LinkInfo, Mdns,
    MdnsLimits, Member, Members, NameRule, OtherService, Output, Subject,
};
use magpie_wire::LinkAddr;
use magpie_wire::datagram::{
    Datagram, Fragment, MDNS_GROUP_V4, MDNS_GROUP_V6, MDNS_PORT, Received, group_lladdr,
};
use magpie_wire::dns::{Data, MAX_LEN, Message, Question, Record, kind};

/// Where answers to queries of simple resolvers come to.
const LEGACY_PORT: u16 = 40_000;
/// The last one has no link-layer addresses.
const LINKS: [LinkId; 3] = [LinkId(2), LinkId(3), LinkId(4)];
const BARE: LinkId = LinkId(4);
const SSDP: (Ipv4Addr, u16) = (Ipv4Addr::new(239, 255, 255, 250), 1900);
/// Octets of an Ethernet header.
const ETHERNET_LEN: usize = 14;
/// What was said lately, and who said it: more than the tables for that hold together.
const MOST_SAID: usize = 12_000;
/// What waits: likewise.
const MOST_WAITING: usize = 500;
/// Processor time that a packet may take, in a build without optimization. What takes so long is out
/// of all proportion.
const LONGEST: Duration = Duration::from_millis(200);

/// A relay, and those who talk to it.
struct Rig {
    engine: Engine,
    now: Instant,
    config: Config,
    mtus: BTreeMap<LinkId, u32>,
    /// What was sent, to be said again by somebody else.
    sent: Vec<(LinkId, Vec<u8>)>,
    /// Datagrams sent on each link, and pieces of one that is not complete.
    datagrams: BTreeMap<LinkId, u64>,
    pieces: BTreeMap<LinkId, Vec<u8>>,
    began: Instant,
    messages: u64,
    longest: Duration,
}

#[test]
fn what_is_reflected_is_understood_by_all() {
    let messages = corpus::messages();
    let mut reflected = 0;
    let mut runs = 0;
    let mut longest = Duration::ZERO;
    fuzz::fuzz(1_500, |rng| {
        let mut rig = Rig::new(settings(rng), rng);
        for _ in 0..rng.usize(1..40) {
            rig.turn(&messages, rng);
        }
        rig.wait(Duration::from_secs(15));
        rig.check_memory();
        reflected += rig.messages;
        longest = longest.max(rig.longest);
        runs += 1;
    });
    println!("{reflected} messages sent in {runs} runs; {longest:?} at most for one packet");
    assert!(reflected > runs, "{reflected} messages in {runs} runs: hardly anything crosses");
}

impl Rig {
    fn new(mdns: Mdns, rng: &mut Rng) -> Self {
        let config =
            Config { mdns: Some(mdns), neighbor_discovery: rng.bool(), ..Config::default() };
        let now = Instant::ZERO + Duration::from_secs(1_000);
        let mut rig = Self {
            engine: Engine::new(config.clone(), rng.u64(..), now),
            now,
            config,
            mtus: LINKS.map(|link| (link, *rng.choice(&[1_280, 1_500, 9_000]).unwrap())).into(),
            sent: Vec::new(),
            datagrams: BTreeMap::new(),
            pieces: BTreeMap::new(),
            began: now,
            messages: 0,
            longest: Duration::ZERO,
        };
        rig.handle(Input::Kernel(KernelEvent::Overrun));
        for (link, member) in LINKS.into_iter().zip(0..) {
            let lladdr = (link != BARE).then_some(ours(link));
            let mtu = rig.mtus[&link];
            let info = LinkInfo { member: Member(member), lladdr, running: true, mtu };
            rig.handle(Input::Kernel(KernelEvent::Link { link, info }));
            for address in [format!("fe80::1{member}/64"), format!("2001:db8:1::1{member}/64")] {
                let address = address.parse().unwrap();
                rig.handle(Input::Kernel(KernelEvent::Address { link, address, tentative: false }));
            }
        }
        if rng.u8(..4) > 0 {
            let address = "192.0.2.16/24".parse().unwrap();
            rig.handle(Input::Kernel(KernelEvent::Address4 { link: LINKS[0], address }));
        }
        rig.handle(Input::Kernel(KernelEvent::Synced));
        rig.wait(Duration::from_secs(10));
        rig
    }

    /// Something happens.
    fn turn(&mut self, messages: &[(&'static str, Vec<u8>)], rng: &mut Rng) {
        let link = *rng.choice(&LINKS).unwrap();
        match rng.u8(..24) {
            0 => self.wait(Duration::from_millis(rng.u64(..3_000))),
            1 => self.handle(Input::Resumed),
            2 => {
                let config =
                    Config { mdns: rng.bool().then(|| settings(rng)), ..self.config.clone() };
                let members: Vec<_> = LINKS.into_iter().zip((0..).map(Member)).collect();
                self.engine.reconfigure(config.clone(), &members, self.now);
                self.config = config;
                // Budgets begin anew.
                self.datagrams.clear();
                self.drain();
            }
            // Somebody else says what we have said.
            3..6 if !self.sent.is_empty() => {
                let (_, mut frame) = rng.choice(&self.sent).unwrap().clone();
                let from = rng.u8(..4);
                if let Some(source) = frame.get_mut(6..12) {
                    source.copy_from_slice(&[2, 0, 0, 0, 9, from]);
                }
                self.say(link, &frame, from, rng);
            }
            6 => {
                let frame: Vec<u8> = (0..rng.usize(..120)).map(|_| rng.u8(..)).collect();
                self.handle(Input::Datagram { link, bytes: &frame });
            }
            _ => {
                let payload = match rng.u8(..16) {
                    0 | 1 => service_discovery(rng),
                    2 => crowd(rng),
                    _ => fuzz::message(messages, rng),
                };
                self.say_anew(link, &payload, rng);
            }
        }
        self.wait(Duration::from_millis(rng.u64(..400)));
    }

    /// Somebody with another address sends what was sent before.
    fn say(&mut self, link: LinkId, frame: &[u8], from: u8, rng: &mut Rng) {
        let received = Received::parse(frame).or_else(|_| Received::parse_bare(frame));
        let Ok(Received::Whole(datagram)) = received else { return };
        let source = match datagram.source.ip() {
            IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::new(192, 0, 2, from)),
            IpAddr::V6(_) => station(from),
        };
        let payload = datagram.payload.to_vec();
        let datagram = Datagram {
            source: (source, datagram.source.port()).into(),
            payload: &payload,
            ..datagram
        };
        self.deliver(link, &datagram, rng);
    }

    /// Somebody sends a message.
    fn say_anew(&mut self, link: LinkId, payload: &[u8], rng: &mut Rng) {
        let from = rng.u8(1..5);
        let is_v6 = rng.bool();
        let source = if is_v6 { station(from) } else { Ipv4Addr::new(192, 0, 2, from).into() };
        let port = *rng.choice(&[MDNS_PORT, MDNS_PORT, MDNS_PORT, 50_000, 1_900]).unwrap();
        let group: SocketAddr = match (is_v6, rng.u8(..12)) {
            (false, 0 | 1) => SSDP.into(),
            (true, 0) => ("ff02::c".parse::<Ipv6Addr>().unwrap(), 1_900).into(),
            (true, 1) => ("fe80::10".parse::<Ipv6Addr>().unwrap(), LEGACY_PORT).into(),
            (true, 2) => ("fe80::10".parse::<Ipv6Addr>().unwrap(), MDNS_PORT).into(),
            (true, _) => (MDNS_GROUP_V6, MDNS_PORT).into(),
            (false, 2) => (Ipv4Addr::new(192, 0, 2, 16), LEGACY_PORT).into(),
            (false, _) => (MDNS_GROUP_V4, MDNS_PORT).into(),
        };
        let ethernet_destination =
            if group.ip().is_multicast() { group_lladdr(group.ip()) } else { ours(link) };
        let datagram = Datagram {
            ethernet_source: LinkAddr([2, 0, 0, 0, 8, from]),
            ethernet_destination,
            source: (source, port).into(),
            destination: group,
            hop_limit: 255,
            payload,
        };
        self.deliver(link, &datagram, rng);
    }

    /// A datagram arrives, perhaps in pieces, and perhaps damaged.
    fn deliver(&mut self, link: LinkId, datagram: &Datagram<'_>, rng: &mut Rng) {
        let mtu = *rng.choice(&[100, 1_280, 65_535, 65_535]).unwrap();
        let mut frames = Vec::new();
        datagram
            .emit_fragments(mtu, link == BARE, rng.u32(..), |frame| frames.push(frame.to_vec()));
        if rng.u8(..8) == 0 {
            rng.shuffle(&mut frames);
        }
        for mut frame in frames {
            if rng.u8(..16) == 0 {
                let other = frame.clone();
                fuzz::tamper(&mut frame, &other, rng);
            }
            self.handle(Input::Datagram { link, bytes: &frame });
        }
    }

    fn handle(&mut self, input: Input<'_>) {
        let start = busy();
        self.engine.handle(input, self.now);
        self.longest = self.longest.max(busy().saturating_sub(start));
        assert!(self.longest < LONGEST, "{:?} for one packet", self.longest);
        self.drain();
    }

    fn wait(&mut self, time: Duration) {
        let until = self.now + time;
        while let Some(wakeup) = self.engine.poll_timeout().filter(|wakeup| wakeup.at <= until) {
            self.now = self.now.max(wakeup.at);
            self.handle(Input::Timeout);
        }
        self.now = until;
    }

    fn drain(&mut self) {
        while let Some(output) = self.engine.poll_output() {
            match output {
                Output::Datagram(datagram) => self.check_frame(datagram.link, datagram.frame),
                Output::Kernel { request, .. } => {
                    self.engine.handle(Input::Ack { request, result: Ok(()) }, self.now);
                }
                Output::FindRoute { request, .. } => {
                    self.engine.handle(Input::RouteUnknown { request }, self.now);
                }
                Output::Transmit(_) | Output::Event(_) => {}
            }
        }
    }

    fn check_frame(&mut self, link: LinkId, frame: Vec<u8>) {
        let header = if link == BARE { 0 } else { ETHERNET_LEN };
        assert!(
            frame.len() <= self.mtus[&link] as usize + header,
            "{link:?}: {} octets",
            frame.len()
        );
        let received =
            if link == BARE { Received::parse_bare(&frame) } else { Received::parse(&frame) };
        match received.unwrap() {
            Received::Whole(datagram) => self.check_datagram(link, &datagram),
            Received::Fragment(fragment) => self.check_fragment(link, &fragment),
        }
        self.sent.push((link, frame));
        if self.sent.len() > 50 {
            self.sent.remove(0);
        }
    }

    /// Pieces come one after the other.
    fn check_fragment(&mut self, link: LinkId, fragment: &Fragment<'_>) {
        let mut octets = self.pieces.remove(&link).unwrap_or_default();
        assert_eq!(octets.len(), fragment.offset);
        octets.extend(fragment.payload);
        if fragment.more {
            self.pieces.insert(link, octets);
        } else {
            self.check_datagram(link, &Datagram::of_payload(fragment, &octets).unwrap());
        }
    }

    fn check_datagram(&mut self, link: LinkId, datagram: &Datagram<'_>) {
        self.messages += 1;
        let count = self.datagrams.entry(link).or_default();
        *count += 1;
        let mdns = self.config.mdns.as_ref().unwrap();
        let rate = u64::from(mdns.limits.packets_per_second);
        let seconds = self.now.since(self.began).as_secs() + 1;
        assert!(*count <= rate * (2 + seconds), "{count} packets in {seconds} s on {link:?}");

        let destination = datagram.destination.ip();
        // What other services send to their groups must not be routed anywhere.
        let is_other = destination.is_multicast() && datagram.destination.port() != MDNS_PORT;
        assert_eq!(datagram.hop_limit, if is_other { 1 } else { 255 });
        if link == BARE {
            assert_eq!(datagram.ethernet_source, LinkAddr::ZERO);
        } else {
            assert_eq!(datagram.ethernet_source, ours(link));
            if destination.is_multicast() {
                assert_eq!(datagram.ethernet_destination, group_lladdr(destination));
            } else {
                assert!(datagram.ethernet_destination.is_station());
            }
        }
        let (from, to) = (datagram.source.port(), datagram.destination.port());
        if to == MDNS_PORT || from == MDNS_PORT {
            check_message(datagram);
        } else {
            assert!(!mdns.other_services.is_empty(), "port {from} to port {to}");
        }
    }

    /// What is remembered does not grow.
    fn check_memory(&self) {
        let Some(mdns) = &self.config.mdns else { return };
        let names = self.engine.names(self.now).count();
        assert!(names <= mdns.limits.names_per_link * LINKS.len(), "{names} records");
        let sizes = self.engine.sizes();
        assert!(sizes.names <= mdns.limits.names_per_link * LINKS.len(), "{sizes:?}");
        assert!(sizes.said <= MOST_SAID && sizes.waiting <= MOST_WAITING, "{sizes:?}");
        assert!(self.engine.bindings(self.now).count() <= self.config.limits.bindings);
    }
}

fn check_message(datagram: &Datagram<'_>) {
    let octets = datagram.payload;
    let message = Message::parse(octets).unwrap();
    understood_by_others(octets, &message);
    assert!(octets.len() <= MAX_LEN);
    assert_eq!((message.opcode, message.rcode), (0, 0));
    assert!(message.questions.iter().all(|question| !question.unicast), "{message:?}");
    assert_eq!(message.is_authoritative, message.is_response);
    let is_group = datagram.destination.ip().is_multicast();
    if is_group && datagram.source.port() == MDNS_PORT {
        assert_eq!(message.id, 0);
    }
    let records = || message.answers.iter().chain(&message.authorities).chain(&message.additionals);
    for record in records() {
        assert!(is_harmless(record), "{record:?}");
        if !is_group {
            // RFC 6762 section 6.7.
            assert!(record.ttl <= 10 && !record.cache_flush, "{record:?}");
        }
    }
    assert!(records().count() + message.questions.len() > 0, "a packet that says nothing");
}

/// Other readers understand a message, and see as much in it.
fn understood_by_others(octets: &[u8], message: &Message<'_>) {
    let other = domain::base::Message::from_octets(octets).unwrap();
    let questions = other.question().collect::<Result<Vec<_>, _>>().unwrap().len();
    assert_eq!(questions, message.questions.len());
    let mut records = 0;
    let mut sections = Some(other.answer().unwrap());
    while let Some(mut section) = sections {
        records += section.by_ref().collect::<Result<Vec<_>, _>>().unwrap().len();
        sections = section.next_section().unwrap();
    }
    let ours = message.answers.len() + message.authorities.len() + message.additionals.len();
    assert_eq!(records, ours);

    // This one refuses questions of which it has never heard, and looks into records that are
    // passed on as they are.
    let is_known = |question: &Question<'_>| simple_dns::QTYPE::try_from(question.kind).is_ok();
    let is_plain = |record: &Record<'_>| {
        record.data() != Data::Other || matches!(record.kind(), kind::TXT | kind::HINFO)
    };
    let mut all = message.answers.iter().chain(&message.authorities).chain(&message.additionals);
    if message.questions.iter().all(is_known) && all.all(is_plain) {
        simple_dns::Packet::parse(octets).unwrap();
    }
}

/// Whether a record names no address that means nothing on another link.
fn is_harmless(record: &Record<'_>) -> bool {
    match record.data() {
        Data::A(address) => {
            !address.is_link_local()
                && !address.is_loopback()
                && !address.is_unspecified()
                && !address.is_multicast()
        }
        Data::Aaaa(address) => {
            !address.is_unicast_link_local()
                && !address.is_loopback()
                && !address.is_unspecified()
                && !address.is_multicast()
        }
        _ => true,
    }
}

/// Any settings.
fn settings(rng: &mut Rng) -> Mdns {
    let rules = |rng: &mut Rng| {
        let count = if rng.bool() { 0 } else { rng.usize(..3) };
        (0..count).map(|_| rule(rng)).collect::<Vec<_>>()
    };
    let addresses = [Addresses::All, Addresses::All, Addresses::WithIpv4, Addresses::Reachable];
    Mdns {
        cross_families: rng.bool(),
        addresses: *rng.choice(&addresses).unwrap(),
        allow: rules(rng),
        deny: rules(rng),
        conflicts: *rng.choice(&[Conflicts::Propagate, Conflicts::Isolate]).unwrap(),
        legacy: rng.u8(..4) > 0,
        legacy_port: (rng.u8(..8) > 0).then_some(LEGACY_PORT),
        other_services: [OtherService::Ssdp, OtherService::WsDiscovery]
            .into_iter()
            .filter(|_| rng.bool())
            .collect(),
        limits: MdnsLimits {
            names_per_link: if rng.u8(..4) == 0 { 4_096 } else { rng.usize(1..200) },
            packets_per_second: rng.u32(1..300),
            packets_per_source: rng.u32(1..300),
            legacy_per_source: rng.usize(1..16),
        },
    }
}

fn rule(rng: &mut Rng) -> NameRule {
    let members =
        |rng: &mut Rng| (0..3).map(Member).filter(|_| rng.u8(..3) > 0).collect::<Members>();
    let subjects = [
        Subject::Service("_ipp._tcp".into()),
        Subject::Service("_*._tcp".into()),
        Subject::Subtype("_universal._sub._ipp._tcp".into()),
        Subject::Instance("Kitchen*".into()),
        Subject::Instance("web on pi-41._http._tcp".into()),
        Subject::Host("pi-41".into()),
        Subject::Host("*".into()),
    ];
    NameRule { from: members(rng), to: members(rng), subject: rng.choice(subjects).unwrap() }
}

/// What SSDP and its like say.
fn service_discovery(rng: &mut Rng) -> Vec<u8> {
    let texts = [
        "M-SEARCH * HTTP/1.1\r\nHOST: 239.255.255.250:1900\r\nMAN: \"ssdp:discover\"\r\nMX: 1\r\nST: ssdp:all\r\n\r\n",
        "NOTIFY * HTTP/1.1\r\nHOST: 239.255.255.250:1900\r\nNTS: ssdp:alive\r\nNT: upnp:rootdevice\r\n\r\n",
        "HTTP/1.1 200 OK\r\nST: upnp:rootdevice\r\nUSN: uuid:1\r\n\r\n",
        "<?xml version=\"1.0\"?><s:Envelope><s:Body><d:Probe/></s:Body></s:Envelope>",
    ];
    let mut octets = rng.choice(texts).unwrap().as_bytes().to_vec();
    let other = octets.clone();
    fuzz::tamper(&mut octets, &other, rng);
    octets
}

/// Processor time that this thread has used (the first number in its schedstat, in nanoseconds).
fn busy() -> Duration {
    let text = fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    Duration::from_nanos(text.split_whitespace().next().unwrap().parse().unwrap())
}

/// A message with as many questions or records as fit, all of one name.
fn crowd(rng: &mut Rng) -> Vec<u8> {
    const NAME: [u8; 2] = [0xc0, 12];
    let mut octets = vec![0; 12];
    octets.extend(b"\x05pi-41\x05local\0");
    let is_response = rng.bool();
    let kinds = [kind::A, kind::AAAA, kind::NSEC, kind::PTR, kind::TXT, kind::SRV, 65];
    let only = rng.bool().then(|| *rng.choice(&kinds).unwrap());
    let most = rng.usize(1..1_500);
    let mut count = 0_u16;
    // The first of them has the name that the others point to.
    while usize::from(count) < most && octets.len() < MAX_LEN - 50 {
        if count > 0 {
            octets.extend(NAME);
        }
        let kind = only.unwrap_or_else(|| *rng.choice(&kinds).unwrap());
        octets.extend(kind.to_be_bytes());
        octets.extend(if is_response && rng.bool() { [0x80, 1] } else { [0, 1] });
        count += 1;
        if !is_response {
            continue;
        }
        octets.extend(rng.u32(..200).to_be_bytes());
        let data = match kind {
            kind::A => [192, 0, 2, rng.u8(..)].to_vec(),
            kind::AAAA => {
                Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, rng.u16(..)).octets().to_vec()
            }
            kind::NSEC => [NAME.as_slice(), &[0, 4, 0x40, 0, 0, 8]].concat(),
            kind::PTR => [&[1, rng.u8(b'a'..=b'z')], NAME.as_slice()].concat(),
            kind::SRV => [&[0, 0, 0, 0, 0, rng.u8(..)], NAME.as_slice()].concat(),
            _ => vec![1, rng.u8(..)],
        };
        octets.extend(u16::try_from(data.len()).unwrap().to_be_bytes());
        octets.extend(data);
    }
    if is_response {
        octets[2] = 0x84;
    }
    let at = if is_response { 6 } else { 4 };
    octets[at..at + 2].copy_from_slice(&count.to_be_bytes());
    octets
}

/// A station's address.
fn station(number: u8) -> IpAddr {
    Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 9, number.into()).into()
}

fn ours(link: LinkId) -> LinkAddr {
    LinkAddr([2, 0, 0, 0, 0, 0x10 + u8::try_from(link.0).unwrap()])
}
