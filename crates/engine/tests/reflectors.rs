//! Reflectors in parallel between the same two links: two of ours, or one of ours and one that has
//! only its short memory against going round in circles. Whatever time packets take between them,
//! they fall silent when the hosts do, and send little more than twice what one would.
//!
//! ```text
//!  asker A --+-- first  --+-- asker B
//!            +-- second --+-- printer
//!          link A       link B
//! ```

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use magpie_engine::{
    Addresses, Config, Engine, Input, Instant, KernelEvent, LinkId, LinkInfo, Mdns, Member, Output,
};
use magpie_wire::LinkAddr;
use magpie_wire::datagram::{Datagram, MDNS_GROUP_V6, MDNS_PORT, Received, group_lladdr};
use magpie_wire::dns::{Composer, Header, Message, Name, Question, Record, Section, kind};

const A: LinkId = LinkId(2);
const B: LinkId = LinkId(3);
const LINKS: [LinkId; 2] = [A, B];
/// What a packet from or to a host takes.
const NEAR: Duration = Duration::from_millis(1);
/// How long responders take (RFC 6762 section 6: 20 to 120 ms).
const THINKING: Duration = Duration::from_millis(60);
const SILENCE_AFTER: Duration = Duration::from_secs(5);

/// What stands between the links, or on one of them.
enum Node {
    Magpie(Box<Engine>),
    /// Remembers what it saw or sent on a link for a moment, and nothing else. It sends what hosts
    /// intend to use in other company than it came in, after a while.
    Forgetful {
        number: u8,
        seen: BTreeMap<(LinkId, u64), Instant>,
        rng: fastrand::Rng,
    },
    Host {
        link: LinkId,
        number: u8,
        printer: bool,
        heard: Vec<(Instant, String)>,
        said: Option<Instant>,
    },
    Dead,
}

enum Happening {
    Frame { link: LinkId, bytes: Vec<u8> },
    Say(Vec<u8>),
    Reflect { link: LinkId, bytes: Vec<u8> },
}

struct World {
    now: Instant,
    nodes: Vec<Node>,
    /// By time, then in the order of their making.
    agenda: BTreeMap<(Instant, u64), (usize, Happening)>,
    count: u64,
    /// What packets take between reflectors.
    delay: Duration,
    /// When reflectors and when hosts sent packets.
    reflected: Vec<Instant>,
    spoken: Vec<Instant>,
}

fn address(number: u8, link: LinkId) -> Ipv6Addr {
    Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, number.into(), u16::try_from(link.0).expect("small"))
}

fn lladdr(number: u8, link: LinkId) -> LinkAddr {
    LinkAddr([2, 0, 0, 0, number, u8::try_from(link.0).expect("small")])
}

fn magpie(number: u8, now: Instant) -> Node {
    let mdns = Mdns { addresses: Addresses::All, legacy_port: Some(40_000), ..Mdns::default() };
    let config = Config { neighbor_discovery: false, mdns: Some(mdns), ..Config::default() };
    let mut engine = Engine::new(config, number.into(), now);
    engine.handle(Input::Kernel(KernelEvent::Overrun), now);
    for (link, member) in LINKS.into_iter().zip(0..) {
        let lladdr = Some(lladdr(number, link));
        let info = LinkInfo { member: Member(member), lladdr, running: true, mtu: 1500 };
        engine.handle(Input::Kernel(KernelEvent::Link { link, info }), now);
        let address = ipnet::Ipv6Net::new(address(number, link), 64).expect("a prefix");
        let event = KernelEvent::Address { link, address, tentative: false };
        engine.handle(Input::Kernel(event), now);
    }
    engine.handle(Input::Kernel(KernelEvent::Synced), now);
    while engine.poll_output().is_some() {}
    Node::Magpie(Box::new(engine))
}

fn forgetful(number: u8, seed: u64) -> Node {
    Node::Forgetful { number, seen: BTreeMap::new(), rng: fastrand::Rng::with_seed(seed) }
}

fn frame(number: u8, link: LinkId, payload: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    let datagram = Datagram {
        ethernet_source: lladdr(number, link),
        ethernet_destination: group_lladdr(MDNS_GROUP_V6.into()),
        source: SocketAddr::new(address(number, link).into(), MDNS_PORT),
        destination: SocketAddr::new(MDNS_GROUP_V6.into(), MDNS_PORT),
        hop_limit: 255,
        payload,
    };
    datagram.emit(&mut frame);
    frame
}

fn name(text: &str) -> Name<'static> {
    text.parse().expect("a name")
}

/// Records that only the printer has.
fn own_records(ttl: u32) -> Vec<Record<'static>> {
    (1..=5)
        .map(|number| {
            let address = IpAddr::from([0x2001, 0xdb8, 1, 0, 0, 0, 0, number]);
            Record::of_address(name(&format!("printer-{number}.local")), ttl, address)
        })
        .collect()
}

fn question(kind: u16) -> Question<'static> {
    let name = name("printer-1.local");
    Question { name, kind, class: kind::CLASS_IN, unicast: false }
}

fn query(kind: u16, known: bool) -> Vec<u8> {
    let mut composer = Composer::new(Header::default(), 1_400);
    composer.push_question(&question(kind)).expect("room");
    for record in own_records(60).iter().filter(|_| known) {
        composer.push(Section::Answer, record).expect("room");
    }
    composer.finish()
}

fn probe_for(records: &[&Record<'_>]) -> Vec<u8> {
    let mut composer = Composer::new(Header::default(), 1_400);
    for record in records {
        let (name, kind) = (record.name.clone(), kind::ANY);
        let question = Question { name, kind, class: kind::CLASS_IN, unicast: false };
        composer.push_question(&question).expect("room");
    }
    for record in records {
        composer.push(Section::Authority, record).expect("room");
    }
    composer.finish()
}

fn probe() -> Vec<u8> {
    let records = own_records(120);
    probe_for(&records.iter().collect::<Vec<_>>())
}

fn announcement(records: &[Record<'_>]) -> Vec<u8> {
    let header = Header { is_response: true, is_authoritative: true, ..Header::default() };
    let mut composer = Composer::new(header, 1_400);
    for record in records {
        composer.push(Section::Answer, record).expect("room");
    }
    composer.finish()
}

fn response(ttl: u32) -> Vec<u8> {
    announcement(&own_records(ttl))
}

impl World {
    fn new(delay: u64, reflectors: Vec<Node>) -> Self {
        let host = |number, link, printer| Node::Host {
            link,
            number,
            printer,
            heard: Vec::new(),
            said: None,
        };
        let mut nodes = vec![host(10, A, false), host(20, B, false), host(21, B, true)];
        nodes.extend(reflectors);
        Self {
            now: start(),
            nodes,
            agenda: BTreeMap::new(),
            count: 0,
            delay: Duration::from_millis(delay),
            reflected: Vec::new(),
            spoken: Vec::new(),
        }
    }

    fn at(&mut self, at: Instant, node: usize, what: Happening) {
        self.count += 1;
        self.agenda.insert((at, self.count), (node, what));
    }

    fn says(&mut self, at_ms: u64, node: usize, payload: Vec<u8>) {
        self.at(start() + Duration::from_millis(at_ms), node, Happening::Say(payload));
    }

    /// A reflector says its own name, with another address on each link.
    fn introduce(&mut self, node: usize, number: u8) {
        for (at, link) in [0, 0, 1_000, 1_000, 4_000].into_iter().zip(LINKS.into_iter().cycle()) {
            let address = [0x2001, 0xdb8, 2, 0, 0, 0, 0, u16::try_from(link.0).expect("small")];
            let record = Record::of_address(name("gateway.local"), 120, IpAddr::from(address));
            let bytes = frame(number, link, &announcement(&[record]));
            let at = start() + Duration::from_millis(at);
            self.at(at, node, Happening::Reflect { link, bytes });
        }
    }

    /// A printer comes, is browsed for from both sides, and goes.
    fn browse(&mut self) {
        for at in [0, 250, 500] {
            self.says(at, 2, probe());
        }
        for at in [750, 1_750] {
            self.says(at, 2, response(120));
        }
        for at in [800, 1_800, 3_800, 7_800, 15_800] {
            self.says(at, 0, query(kind::AAAA, at > 2_000));
            self.says(at + 300, 1, query(kind::AAAA, at > 4_000));
        }
        self.says(20_000, 2, response(0));
        // Five minutes of quiet, if there is any.
        self.run(300_000);
    }

    fn run(&mut self, until_ms: u64) {
        let until = start() + Duration::from_millis(until_ms);
        while let Some(entry) = self.agenda.first_entry().filter(|entry| entry.key().0 <= until) {
            let ((at, _), (node, what)) = entry.remove_entry();
            self.now = at;
            assert!(self.reflected.len() < 20_000, "a storm: {:?} packets", self.reflected.len());
            match what {
                Happening::Frame { link, bytes } => self.deliver(node, link, &bytes),
                Happening::Say(payload) => self.say(node, &payload),
                Happening::Reflect { link, bytes } => self.reflect(node, link, &bytes),
            }
        }
        self.now = until;
    }

    fn say(&mut self, node: usize, payload: &[u8]) {
        if let Some(Node::Host { link, number, said, .. }) = self.nodes.get_mut(node) {
            *said = Some(self.now);
            let (link, bytes) = (*link, frame(*number, *link, payload));
            self.spoken.push(self.now);
            self.send(node, link, &bytes);
        }
    }

    fn send(&mut self, from: usize, link: LinkId, bytes: &[u8]) {
        let is_host = |node: &Node| matches!(node, Node::Host { .. });
        let far = !is_host(&self.nodes[from]);
        for to in (0..self.nodes.len()).filter(|to| *to != from) {
            let takes = if far && !is_host(&self.nodes[to]) { self.delay } else { NEAR };
            let at = self.now + takes;
            self.at(at, to, Happening::Frame { link, bytes: bytes.to_vec() });
        }
    }

    fn deliver(&mut self, node: usize, on: LinkId, bytes: &[u8]) {
        let now = self.now;
        let Ok(Received::Whole(datagram)) = Received::parse(bytes) else { panic!("a whole one") };
        let message = Message::parse(datagram.payload).expect("a message");
        let mut sent = Vec::new();
        match &mut self.nodes[node] {
            Node::Magpie(engine) => {
                engine.handle(Input::Datagram { link: on, bytes }, now);
                while let Some(output) = engine.poll_output() {
                    if let Output::Datagram(output) = output {
                        sent.push((output.link, output.frame));
                    }
                }
            }
            Node::Forgetful { number, seen, rng } => {
                for (wait, bytes) in reflect_and_forget(*number, seen, rng, on, &message, now) {
                    self.at(now + wait, node, Happening::Reflect { link: other(on), bytes });
                }
            }
            Node::Host { link, printer, heard, said, .. } if *link == on => {
                let answers = message.answers.iter().filter(|_| message.is_response);
                heard.extend(answers.map(|record| (now, record.describe(64))));
                let has_answer = message.questions.iter().any(|asked| asked.kind == kind::AAAA)
                    && message.answers.is_empty();
                // RFC 6762 section 6: once a second at most.
                let may = said.is_none_or(|said| now.since(said) >= Duration::from_secs(1));
                if *printer && has_answer && may {
                    *said = Some(now + THINKING);
                    self.at(now + THINKING, node, Happening::Say(response(120)));
                }
            }
            Node::Host { .. } | Node::Dead => {}
        }
        for (link, bytes) in sent {
            self.reflect(node, link, &bytes);
        }
    }

    fn reflect(&mut self, node: usize, link: LinkId, bytes: &[u8]) {
        self.reflected.push(self.now);
        self.send(node, link, bytes);
    }

    /// Answers that a host has heard since some time.
    fn heard(&self, node: usize, since_ms: u64) -> usize {
        let since = start() + Duration::from_millis(since_ms);
        match &self.nodes[node] {
            Node::Host { heard, .. } => heard.iter().filter(|(at, _)| *at >= since).count(),
            _ => 0,
        }
    }

    fn is_silent_after_hosts(&self) -> bool {
        let last = *self.spoken.last().expect("hosts have spoken");
        self.reflected.iter().all(|at| *at <= last + SILENCE_AFTER)
    }
}

fn start() -> Instant {
    Instant::ZERO + Duration::from_secs(1_000)
}

fn other(link: LinkId) -> LinkId {
    if link == A { B } else { A }
}

/// As a reflector does that passes on each question, proposed record and record unless it saw it on
/// the other link within 100, 150 or 500 ms, and asks what was probed for as well. Returns what it sends there, and when.
fn reflect_and_forget(
    number: u8,
    seen: &mut BTreeMap<(LinkId, u64), Instant>,
    rng: &mut fastrand::Rng,
    on: LinkId,
    message: &Message<'_>,
    now: Instant,
) -> Vec<(Duration, Vec<u8>)> {
    let other = other(on);
    let is_probe = !message.authorities.is_empty();
    let mut is_new = |content: u64, window: u64| {
        seen.insert((on, content), now);
        let before = seen.get(&(other, content));
        let is_new = before.is_none_or(|at| now.since(*at) >= Duration::from_millis(window));
        if is_new {
            seen.insert((other, content), now);
        }
        is_new
    };
    let header = Header {
        is_response: message.is_response,
        is_authoritative: message.is_response,
        ..Header::default()
    };
    let mut composer = Composer::new(header, 1_400);
    for question in &message.questions {
        if is_new(question.content(), 100) {
            composer.push_question(question).expect("room");
        }
    }
    // The known answers of askers stay behind.
    for record in message.answers.iter().filter(|_| message.is_response) {
        if is_new(record.content().wrapping_add(u64::from(record.ttl == 0)), 500) {
            composer.push(Section::Answer, record).expect("room");
        }
    }
    let mut groups: Vec<Vec<&Record<'_>>> = Vec::new();
    for record in &message.authorities {
        if is_new(record.content().wrapping_add(2), 150) {
            match groups.last_mut().filter(|_| rng.bool()) {
                Some(group) => group.push(record),
                None => groups.push(vec![record]),
            }
        }
    }
    let mut messages: Vec<_> = groups.iter().map(|group| probe_for(group)).collect();
    if !composer.is_empty() {
        messages.push(composer.finish());
    }
    let mut later = || Duration::from_millis(if is_probe { rng.u64(0..50) } else { 0 });
    let frames = messages.iter().map(|message| (later(), frame(number, other, message)));
    frames.collect()
}

const DELAYS: [u64; 7] = [0, 20, 100, 150, 600, 1_000, 2_000];

#[test]
fn two_of_ours_send_twice_what_one_does_and_fall_silent() {
    for delay in DELAYS {
        let mut alone = World::new(delay, vec![magpie(1, start())]);
        alone.browse();
        let mut both = World::new(delay, vec![magpie(1, start()), magpie(2, start())]);
        both.browse();
        let (one, two) = (alone.reflected.len(), both.reflected.len());
        println!("{delay} ms: {one} packets of one, {two} of two");
        assert!(alone.heard(0, 0) > 0 && alone.is_silent_after_hosts(), "{delay} ms");
        assert!(both.heard(0, 0) > 0, "{delay} ms: names cross");
        assert!(both.is_silent_after_hosts(), "{delay} ms: silence");
        assert!(two <= 2 * one, "{delay} ms: {two} packets instead of {one}");
    }
}

#[test]
fn with_one_that_forgets_it_ends_as_well() {
    for (delay, seed) in DELAYS.into_iter().flat_map(|delay| (0..25).map(move |seed| (delay, seed)))
    {
        let mut alone = World::new(delay, vec![magpie(1, start())]);
        alone.browse();
        let mut theirs = World::new(delay, vec![forgetful(1, seed)]);
        if seed % 2 == 1 {
            theirs.introduce(3, 1);
        }
        theirs.browse();
        let mut both = World::new(delay, vec![magpie(1, start()), forgetful(2, seed)]);
        if seed % 2 == 1 {
            both.introduce(4, 2);
        }
        both.browse();
        let (ours, theirs, both_count) =
            (alone.reflected.len(), theirs.reflected.len(), both.reflected.len());
        println!("{delay} ms: {ours} packets of ours, {theirs} of theirs, {both_count} of both");
        assert!(both.heard(0, 0) > 0, "{delay} ms: names cross");
        assert!(both.is_silent_after_hosts(), "{delay} ms: silence");
        assert!(both_count <= 2 * (ours + theirs), "{delay} ms: {both_count} packets");
    }
}

#[test]
fn one_that_dies_leaves_no_gap_and_may_come_back() {
    for delay in DELAYS {
        let mut world = World::new(delay, vec![magpie(1, start()), magpie(2, start())]);
        world.browse();
        for (turn, dying) in [(0_u64, 3_usize), (1, 4)] {
            let begin = 310_000 + turn * 60_000;
            world.says(begin, 0, query(kind::AAAA, false));
            world.run(begin + 500);
            let survivor = std::mem::replace(&mut world.nodes[dying], Node::Dead);
            for at in [2_000, 3_000, 5_000] {
                world.says(begin + at, 0, query(kind::AAAA, false));
            }
            world.run(begin + 10_000);
            assert!(world.heard(0, begin + 1_900) > 0, "{delay} ms: without {dying}");
            // What is started anew knows nothing.
            drop(survivor);
            let number = u8::try_from(dying - 2).expect("small");
            world.nodes[dying] = magpie(number, world.now);
            world.says(begin + 12_000, 0, query(kind::AAAA, false));
            world.run(begin + 40_000);
            assert!(world.heard(0, begin + 11_900) > 0, "{delay} ms: with {dying} again");
            assert!(world.is_silent_after_hosts(), "{delay} ms");
        }
    }
}
