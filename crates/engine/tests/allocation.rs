//! The packet path does not allocate: what a flood or a busy router sends costs no memory and no
//! time in the allocator.
#![expect(unsafe_code, reason = "an allocator that counts can only be written with unsafe code")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::net::Ipv6Addr;
use std::time::Duration;

use ipnet::Ipv6Net;
use magpie_engine::{
    AddressSet, BindingState, Config, Decision, Discard, Egress, Engine, Expressions, FoundRoute,
    Input, Instant, KernelEvent, LinkId, LinkInfo, List, ListKind, Mdns, Member, Members, Method,
    Output, Rule, RulePrefix, Rules,
};
use magpie_wire::datagram::{Datagram, MDNS_GROUP_V6, MDNS_PORT, group_lladdr};
use magpie_wire::dns::{Composer, Header, Name, Question, Record, Section, kind};
use magpie_wire::{
    Advert, LinkAddr, Malformed, Message, Packet, Solicit, multicast_lladdr, solicited_node,
};

const UP: LinkId = LinkId(2);
const DN: LinkId = LinkId(3);
const OWN_UP: LinkAddr = LinkAddr([2, 0, 0, 0, 0, 0x10]);
const OWN_DN: LinkAddr = LinkAddr([2, 0, 0, 0, 0, 0x11]);
const ROUTER: LinkAddr = LinkAddr([2, 0, 0, 0, 0, 0x01]);
const HOST: LinkAddr = LinkAddr([2, 0, 0, 0, 0, 0x21]);
const X: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, 0x21);
/// How often each kind of frame is heard.
const TIMES: u32 = 300;

struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

// SAFETY: every call goes to the system's allocator unchanged; counting touches nothing but a
// thread-local number, which needs neither allocation nor a destructor.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller keeps the rules of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the pointer came from `System` by way of this allocator, with this layout.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: as for `dealloc`, and the caller keeps the rules of `realloc`.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// An engine that knows X on dn.
struct Rig {
    engine: Engine,
    now: Instant,
    /// What the kernel says when it is asked for a route.
    found: Option<FoundRoute>,
}

impl Rig {
    fn new() -> Self {
        Self::with(Config::default())
    }

    fn with(config: Config) -> Self {
        let now = Instant::ZERO + Duration::from_secs(1_000);
        let egress = Egress::Device(LinkId(9));
        let found = Some(FoundRoute { egress, prefix_len: 128 });
        let mut rig = Self { engine: Engine::new(config, 1, now), now, found };
        rig.handle(Input::Kernel(KernelEvent::Overrun));
        for (link, member, lladdr) in [(UP, 0, OWN_UP), (DN, 1, OWN_DN)] {
            let info =
                LinkInfo { member: Member(member), lladdr: Some(lladdr), running: true, mtu: 1500 };
            rig.handle(Input::Kernel(KernelEvent::Link { link, info }));
        }
        for (link, address) in [(UP, "fe80::10/64"), (UP, "2001:db8:1::10/64"), (DN, "fe80::11/64")]
        {
            let address = address.parse().expect("a literal prefix");
            rig.handle(Input::Kernel(KernelEvent::Address { link, address, tentative: false }));
        }
        rig.handle(Input::Kernel(KernelEvent::Synced));
        rig.wait(Duration::from_secs(10));
        rig.hear(UP, &question(X, true));
        rig.hear(DN, &answer());
        let known = rig.engine.bindings(rig.now).next().expect("a binding");
        assert_eq!((known.target, known.state), (X, BindingState::Reachable));
        rig.wait(Duration::from_secs(1));
        rig
    }

    fn wait(&mut self, time: Duration) {
        let until = self.now + time;
        while let Some(wakeup) = self.engine.poll_timeout().filter(|wakeup| wakeup.at <= until) {
            self.now = wakeup.at;
            self.handle(Input::Timeout);
        }
        self.now = until;
    }

    fn hear(&mut self, link: LinkId, bytes: &[u8]) -> usize {
        self.handle(Input::Frame { link, bytes })
    }

    /// Returns how many frames came of it; the kernel does what it is asked to.
    fn handle(&mut self, input: Input<'_>) -> usize {
        let mut sent = 0;
        self.engine.handle(input, self.now);
        let mut buffer = [0; Packet::MAX_LEN];
        while let Some(output) = self.engine.poll_output() {
            match output {
                Output::Transmit(transmit) => {
                    transmit.packet.emit(&mut buffer).expect("every frame fits");
                    sent += 1;
                }
                Output::Kernel { request, .. } => {
                    self.engine.handle(Input::Ack { request, result: Ok(()) }, self.now);
                }
                Output::FindRoute { request, .. } => {
                    let route = self.found;
                    self.engine.handle(Input::Route { request, route }, self.now);
                }
                Output::Datagram(_) | Output::Event(_) => {}
            }
        }
        sent
    }

    /// Hears a message of multicast DNS; returns how many allocations it took until what crosses of
    /// it left.
    fn passes_on(&mut self, link: LinkId, source: LinkAddr, message: &[u8]) -> u64 {
        let datagram = Datagram {
            ethernet_source: source,
            ethernet_destination: group_lladdr(MDNS_GROUP_V6.into()),
            source: (Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0x21), MDNS_PORT).into(),
            destination: (MDNS_GROUP_V6, MDNS_PORT).into(),
            hop_limit: 255,
            payload: message,
        };
        let mut frame = Vec::new();
        datagram.emit(&mut frame);
        let before = ALLOCATIONS.get();
        self.engine.handle(Input::Datagram { link, bytes: &frame }, self.now);
        let output = self.engine.poll_output();
        let count = ALLOCATIONS.get() - before;
        assert!(matches!(output, Some(Output::Datagram(_))), "{output:?}");
        while self.engine.poll_output().is_some() {}
        count
    }

    /// Hears `frame` again and again, `apart` from each other; returns how many frames came of
    /// it. The first time does not count: it may leave something behind.
    fn hears_without_allocating(&mut self, link: LinkId, frame: &[u8], apart: Duration) -> usize {
        self.hear(link, frame);
        self.now = self.now + apart;
        let before = ALLOCATIONS.get();
        let mut sent = 0;
        for _ in 0..TIMES {
            sent += self.hear(link, frame);
            self.now = self.now + apart;
        }
        assert_eq!(ALLOCATIONS.get() - before, 0, "allocations for {TIMES} frames");
        sent
    }
}

fn frame(packet: &Packet<'_>) -> Vec<u8> {
    let mut buffer = [0; Packet::MAX_LEN];
    let length = packet.emit(&mut buffer).expect("every frame fits");
    buffer[..length].to_vec()
}

/// The router asks for `target`, everybody or us.
fn question(target: Ipv6Addr, multicast: bool) -> Vec<u8> {
    let group = solicited_node(target);
    let (destination, ethernet_destination) =
        if multicast { (group, multicast_lladdr(group)) } else { (target, OWN_UP) };
    frame(&Packet {
        ethernet_source: ROUTER,
        ethernet_destination,
        source: Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1),
        destination,
        message: Message::Solicit(Solicit { target, source_lladdr: Some(ROUTER), nonce: None }),
    })
}

/// X tells that it is there.
fn answer() -> Vec<u8> {
    frame(&Packet {
        ethernet_source: HOST,
        ethernet_destination: OWN_DN,
        source: X,
        destination: Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0x11),
        message: Message::Advert(Advert {
            target: X,
            router: false,
            solicited: true,
            overrides: true,
            target_lladdr: Some(HOST),
        }),
    })
}

fn unknown(number: u16) -> Ipv6Addr {
    Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 7, number)
}

#[test]
fn the_counter_counts() {
    let before = ALLOCATIONS.get();
    let kept = std::hint::black_box(vec![1_u8]);
    assert_eq!(ALLOCATIONS.get() - before, 1);
    drop(kept);
}

#[test]
fn answer_for_a_known_target() {
    let apart = Duration::from_millis(25);
    let sent = Rig::new().hears_without_allocating(UP, &question(X, true), apart);
    assert_eq!(sent, 300);
}

#[test]
fn answer_to_a_probe_of_a_router() {
    let apart = Duration::from_millis(25);
    let sent = Rig::new().hears_without_allocating(UP, &question(X, false), apart);
    assert_eq!(sent, 300);
}

#[test]
fn question_that_a_rule_or_a_route_answers() {
    for method in [Method::Static, Method::Route] {
        let mut rig = Rig::new();
        let prefix = RulePrefix::Net("2001:db8:2::/64".parse().expect("a literal prefix"));
        let rules = Rules::new(vec![Rule { prefix, on: Members::ALL, method }], Vec::new());
        let members = [(UP, Member(0)), (DN, Member(1))];
        let config = Config { rules, ..Config::default() };
        rig.engine.reconfigure(config, &members, rig.now);
        rig.wait(Duration::from_secs(1));
        let target = Ipv6Addr::new(0x2001, 0xdb8, 2, 0, 0, 0, 0, 1);
        let apart = Duration::from_millis(25);
        let sent = rig.hears_without_allocating(UP, &question(target, true), apart);
        assert_eq!(sent, 300, "{method:?}");
    }
}

#[test]
fn what_comes_and_goes_on_a_link_without_link_layer_addresses() {
    let tun = LinkId(4);
    let mut rig = Rig::new();
    let info = LinkInfo { member: Member(2), lladdr: None, running: true, mtu: 1500 };
    rig.handle(Input::Kernel(KernelEvent::Link { link: tun, info }));
    let address = "fe80::13/64".parse().expect("a literal prefix");
    let tentative = false;
    rig.handle(Input::Kernel(KernelEvent::Address { link: tun, address, tentative }));
    rig.wait(Duration::from_secs(1));
    let apart = Duration::from_millis(25);
    let ethernet = question(X, false);
    let sent = rig.hears_without_allocating(tun, &ethernet[14..], apart);
    assert_eq!(sent, 300);
    // A host that is routed there is asked for, and is sent to.
    let target = unknown(1);
    let route = FoundRoute { egress: Egress::Device(tun), prefix_len: 128 };
    rig.found = Some(route);
    let sent = rig.hears_without_allocating(UP, &question(target, true), apart);
    assert_eq!(sent, 300);
    let mut data = ethernet[14..54].to_vec();
    data[6] = 17;
    data[24..].copy_from_slice(&target.octets());
    let leaves = |rig: &mut Rig| rig.handle(Input::Outgoing { link: tun, bytes: &data });
    leaves(&mut rig);
    let before = ALLOCATIONS.get();
    assert_eq!((0..TIMES).map(|_| leaves(&mut rig)).sum::<usize>(), 0);
    assert_eq!(ALLOCATIONS.get() - before, 0);
}

#[test]
fn question_that_was_answered_a_moment_ago() {
    let mut rig = Rig::new();
    let sent = rig.hears_without_allocating(UP, &question(X, true), Duration::ZERO);
    assert_eq!(sent, 1, "the second answer of two");
    assert_eq!(rig.engine.counters().discarded(Discard::Repeated), 299);
}

#[test]
fn target_that_did_not_answer_a_moment_ago() {
    let mut rig = Rig::new();
    rig.hear(UP, &question(unknown(1), true));
    rig.wait(Duration::from_secs(5));
    let sent = rig.hears_without_allocating(UP, &question(unknown(1), true), Duration::ZERO);
    assert_eq!(sent, 0);
    assert_eq!(rig.engine.counters().discarded(Discard::HeldDown), 301);
}

#[test]
fn target_on_the_asking_link() {
    let mut rig = Rig::new();
    let sent = rig.hears_without_allocating(DN, &question(X, true), Duration::from_millis(1));
    assert_eq!(sent, 0);
    assert_eq!(rig.engine.counters().discarded(Discard::SameLink), 301);
}

#[test]
fn target_that_is_our_own_or_out_of_scope() {
    let mut rig = Rig::new();
    for (target, reason) in [
        ("2001:db8:1::10", Discard::OwnTarget),
        ("2001:db8:2::10", Discard::OutOfScope),
        ("fe80::99", Discard::OutOfScope),
    ] {
        let before = rig.engine.counters().discarded(reason);
        let target = target.parse().expect("a literal address");
        let sent = rig.hears_without_allocating(UP, &question(target, true), Duration::ZERO);
        assert_eq!(sent, 0);
        assert_eq!(rig.engine.counters().discarded(reason) - before, 301);
    }
}

#[test]
fn advertisement_that_says_nothing_new() {
    let sent = Rig::new().hears_without_allocating(DN, &answer(), Duration::ZERO);
    assert_eq!(sent, 0);
}

#[test]
fn malformed_frames() {
    let mut rig = Rig::new();
    let good = question(X, true);
    let changed = |at: usize, octet: u8| {
        let mut bytes = good.clone();
        bytes[at] = octet;
        bytes
    };
    let frames = [
        (good[..50].to_vec(), Malformed::Truncated),
        (changed(12, 0x08), Malformed::NotNeighborDiscovery),
        (changed(6, 0x33), Malformed::EthernetSource),
        (changed(20, 44), Malformed::Fragment),
        (changed(21, 64), Malformed::HopLimit),
        (changed(80, 0xff), Malformed::Checksum),
    ];
    for (bytes, reason) in frames {
        let sent = rig.hears_without_allocating(UP, &bytes, Duration::ZERO);
        assert_eq!(sent, 0);
        assert_eq!(rig.engine.counters().malformed(reason), 301, "{reason:?}");
    }
}

#[test]
fn flood_of_unknown_targets_once_the_table_is_full() {
    let mut rig = Rig::new();
    let frames: Vec<_> = (0..2_000).map(|number| question(unknown(number), true)).collect();
    let (first, flood) = frames.split_at(400);
    for bytes in first {
        rig.hear(UP, bytes);
    }
    assert_eq!(rig.engine.resolutions(), 256);
    let before = ALLOCATIONS.get();
    for bytes in flood {
        rig.hear(UP, bytes);
    }
    assert_eq!(ALLOCATIONS.get() - before, 0, "allocations during the flood");
    assert_eq!(rig.engine.counters().discarded(Discard::ResolutionsFull), 2_000 - 256);
    let known = question(X, true);
    let before = ALLOCATIONS.get();
    assert_eq!(rig.hear(UP, &known), 1, "the known target is answered for all the same");
    assert_eq!(ALLOCATIONS.get() - before, 0, "allocations for the known target");
}

#[test]
fn names_that_nobody_has_asked_for_before() {
    let mut rig = Rig::with(Config { mdns: Some(Mdns::default()), ..Config::default() });
    for number in 0..200 {
        let name: Name<'static> = format!("host-{number}.local").parse().expect("a name");
        let mut query = Composer::new(Header::default(), 1_400);
        let (kind, class) = (kind::AAAA, kind::CLASS_IN);
        let question = Question { name: name.clone(), kind, class, unicast: false };
        query.push_question(&question).expect("there is room");
        let asked = rig.passes_on(UP, ROUTER, &query.finish());
        let header = Header { is_response: true, is_authoritative: true, ..Header::default() };
        let mut response = Composer::new(header, 1_400);
        let record = Record::of_address(name, 120, unknown(number).into());
        response.push(Section::Answer, &record).expect("there is room");
        let answered = rig.passes_on(DN, HOST, &response.finish());
        // Tables grow now and then.
        assert!(asked <= 28 && answered <= 36, "{number}: {asked} and {answered} allocations");
        rig.wait(Duration::from_millis(25));
    }
    assert_eq!(rig.engine.names(rig.now).count(), 200);
}

#[test]
fn decision_among_thousands_of_rules_and_a_list() {
    let rule = |(number, length)| {
        let prefix = Ipv6Net::new(unknown(number), length).expect("at most 128 bits");
        Rule { prefix: RulePrefix::Net(prefix), on: Members::ALL, method: Method::Static }
    };
    let rules = (0..5_000).zip((112..=128).cycle()).map(rule).collect();
    let mut addresses = AddressSet::default();
    addresses.insert_prefix(X.into());
    addresses.insert_range(unknown(5), unknown(7));
    addresses.insert_oui([0, 0x1d, 0x55]);
    let lines = ["LOW = HOST & 0xff; 0", "(100 / (LOW - 9)) == mask(3, 2)"];
    addresses.set_expressions(Expressions::parse(lines).expect("literal expressions"));
    let list = List { on: Members::ALL, kind: ListKind::Deny, addresses };
    let rules = Rules::new(rules, vec![list]);
    let before = ALLOCATIONS.get();
    let decisions = (0..5_000).map(|number| rules.decide(unknown(number), Member(0), Some(64)));
    let denied = decisions.filter(|decision| *decision == Decision::Deny).count();
    assert_eq!(ALLOCATIONS.get() - before, 0, "allocations for 5000 decisions");
    // The range; and for LOW in each 256 numbers: 9, whose quotient cannot be told, and 17.
    assert_eq!(denied, 3 + 2 * 20);
}
