//! Multicast DNS: what crosses between links, and in what form.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use magpie_engine::{
    Addresses, Config, Discard, Event, Input, KernelEvent, LinkId, Mdns, MdnsLimits, Member,
    NameDiscard, NameRule, OtherService, Output, Subject, Verdict,
};
use magpie_wire::LinkAddr;
use magpie_wire::datagram::{
    Datagram, Fragment, MDNS_GROUP_V4, MDNS_GROUP_V6, MDNS_PORT, Received, group_lladdr,
};

use crate::bench::{Bench, Station};
use crate::frame::ns;
use crate::names::{DN, MA, MB, THIRD, UP, X, Y, mac};
use crate::spoken;

/// The port that answers to simple resolvers' queries come to.
const LEGACY_PORT: u16 = 40_000;

/// Somebody who speaks multicast DNS.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Host {
    pub(crate) link: LinkId,
    pub(crate) lladdr: LinkAddr,
    /// The last part of its addresses.
    pub(crate) number: u8,
}

/// On up.
pub(crate) const UPPER: Host = Host { link: UP, lladdr: mac(0x61), number: 0x61 };
/// On dn.
pub(crate) const LOWER: Host = Host { link: DN, lladdr: mac(0x71), number: 0x71 };

impl Host {
    fn v6(self) -> SocketAddr {
        format!("[fe80::{:x}]:{MDNS_PORT}", self.number).parse().expect("an address")
    }

    fn v4(self) -> SocketAddr {
        format!("192.0.2.{}:{MDNS_PORT}", self.number).parse().expect("an address")
    }
}

/// A tester whose relay passes names on.
pub(crate) struct Names {
    pub(crate) bench: Bench,
}

impl Names {
    pub(crate) fn new() -> Self {
        Self::with(Mdns { legacy_port: Some(LEGACY_PORT), ..Mdns::default() })
    }

    pub(crate) fn with(mdns: Mdns) -> Self {
        Self::configured(Config { mdns: Some(mdns), ..Config::default() })
    }

    pub(crate) fn configured(config: Config) -> Self {
        let mut bench = Bench::with(config);
        for (link, address) in [(UP, "192.0.2.16/24"), (DN, "192.0.2.17/24")] {
            let address = address.parse().expect("an address");
            bench.kernel(KernelEvent::Address4 { link, address });
        }
        bench.forget_log();
        Self { bench }
    }

    /// All addresses cross.
    pub(crate) fn open() -> Self {
        Self::with(Mdns {
            addresses: Addresses::All,
            legacy_port: Some(LEGACY_PORT),
            ..Mdns::default()
        })
    }

    fn hear(&mut self, link: LinkId, datagram: &Datagram<'_>) {
        let mut frame = Vec::new();
        datagram.emit(&mut frame);
        self.bench.handle(Input::Datagram { link, bytes: &frame });
    }

    /// Somebody says something to the group, over IPv6.
    pub(crate) fn says(&mut self, host: Host, text: &str) {
        self.says_from(host, host.v6(), text);
    }

    pub(crate) fn says4(&mut self, host: Host, text: &str) {
        self.says_from(host, host.v4(), text);
    }

    fn says_from(&mut self, host: Host, source: SocketAddr, text: &str) {
        self.hear(host.link, &said(host.lladdr, source, &spoken::octets(text)));
    }

    /// What was sent since it was last asked: where, over what, and what.
    pub(crate) fn sent(&mut self) -> Vec<String> {
        let frames = self.bench.take_datagrams();
        let texts = frames.iter().map(|sent| {
            let datagram = whole(&sent.frame);
            let link = if sent.link == UP { "up" } else { "dn" };
            let version = if datagram.source.is_ipv6() { 6 } else { 4 };
            assert_eq!(datagram.hop_limit, 255);
            format!("{link}{version} {}", spoken::text(datagram.payload))
        });
        texts.collect()
    }

    /// Somebody says something, and this is what comes of it.
    fn hears(&mut self, host: Host, text: &str) -> Vec<String> {
        self.says(host, text);
        self.sent()
    }

    fn discarded(&self, reason: NameDiscard) -> u64 {
        self.bench.engine.counters().names.discarded(reason)
    }

    fn records(&self, verdict: Verdict) -> u64 {
        self.bench.engine.counters().names.records(verdict)
    }
}

/// What somebody says to the group.
fn said(lladdr: LinkAddr, source: SocketAddr, payload: &[u8]) -> Datagram<'_> {
    let group = if source.is_ipv6() { MDNS_GROUP_V6.into() } else { MDNS_GROUP_V4.into() };
    Datagram {
        ethernet_source: lladdr,
        ethernet_destination: group_lladdr(group),
        source,
        destination: (group, MDNS_PORT).into(),
        hop_limit: 255,
        payload,
    }
}

fn whole(frame: &[u8]) -> Datagram<'_> {
    match Received::parse(frame) {
        Ok(Received::Whole(datagram)) => datagram,
        other => panic!("not a whole datagram: {other:?}"),
    }
}

/// The rules' links: from dn to up only.
fn upwards(subject: Subject) -> NameRule {
    let from = std::iter::once(Member(1)).collect();
    let to = std::iter::once(Member(0)).collect();
    NameRule { from, to, subject }
}

const NOTHING: Vec<String> = Vec::new();

#[test]
fn mdn_01_what_crosses_is_ours() {
    let mut names = Names::new();
    names.says(UPPER, "query; q pi.local AAAA");
    let sent = names.bench.take_datagrams();
    let [sent] = sent.as_slice() else { panic!("one packet: {sent:?}") };
    assert_eq!(sent.link, DN);
    let expected = Datagram {
        ethernet_source: MB,
        ethernet_destination: LinkAddr([0x33, 0x33, 0, 0, 0, 0xfb]),
        source: "[fe80::11]:5353".parse().expect("an address"),
        destination: "[ff02::fb]:5353".parse().expect("an address"),
        hop_limit: 255,
        payload: &spoken::octets("query; q pi.local AAAA"),
    };
    assert_eq!(whole(&sent.frame), expected);

    names.says4(LOWER, "response; an a._ipp._tcp.local SRV 120! 631 pi.local");
    let sent = names.bench.take_datagrams();
    let [sent] = sent.as_slice() else { panic!("one packet: {sent:?}") };
    assert_eq!(sent.link, UP);
    let datagram = whole(&sent.frame);
    assert_eq!(datagram.ethernet_source, MA);
    assert_eq!(datagram.ethernet_destination, LinkAddr([1, 0, 0x5e, 0, 0, 0xfb]));
    assert_eq!(datagram.source, "192.0.2.16:5353".parse().expect("an address"));
    assert_eq!(datagram.destination, "224.0.0.251:5353".parse().expect("an address"));
}

#[test]
fn mdn_01_over_ipv4_any_address_of_this_host_will_do() {
    let mut names = Names::new();
    let address = "192.0.2.17/24".parse().expect("an address");
    names.bench.kernel(KernelEvent::Address4Gone { link: DN, address });
    names.says4(UPPER, "query; q pi.local A");
    let sent = names.bench.take_datagrams();
    assert_eq!(whole(&sent[0].frame).source, "192.0.2.16:5353".parse().expect("an address"));
    let address = "192.0.2.16/24".parse().expect("an address");
    names.bench.kernel(KernelEvent::Address4Gone { link: UP, address });
    names.says4(UPPER, "query; q pi.local A");
    assert_eq!(names.sent(), NOTHING, "without any, there is nothing to send from");
    assert_eq!(names.discarded(NameDiscard::NoSource), 1);
    assert_eq!(names.hears(UPPER, "query; q pi.local A"), ["dn6 query; q pi.local A"]);
}

#[test]
fn mdn_02_what_came_to_us_alone_is_not_passed_on() {
    let mut names = Names::new();
    for destination in ["[fe80::10]:5353", "[2001:db8:1::10]:5353", "192.0.2.16:5353"] {
        let destination: SocketAddr = destination.parse().expect("an address");
        let source = if destination.is_ipv6() { UPPER.v6() } else { UPPER.v4() };
        let datagram = Datagram {
            ethernet_source: UPPER.lladdr,
            ethernet_destination: MA,
            source,
            destination,
            hop_limit: 255,
            payload: &spoken::octets("query; q pi.local AAAA"),
        };
        names.hear(UP, &datagram);
    }
    assert_eq!(names.sent(), NOTHING);
    assert_eq!(names.discarded(NameDiscard::Unicast), 3);
}

#[test]
fn mdn_02_nobody_off_the_link_gets_an_answer_of_his_own() {
    let mut names = Names::new();
    for source in ["1.1.1.1:4000", "[2001:db8:99::1]:4000"] {
        let source = source.parse().expect("an address");
        names.says_from(UPPER, source, "query id=7; q pi.local AAAA");
    }
    assert_eq!(names.sent(), NOTHING);
    assert_eq!(names.discarded(NameDiscard::OffLink), 2);
    // What goes to everybody is for everybody (RFC 6762 section 11).
    let source = "1.1.1.1:5353".parse().expect("an address");
    names.says_from(UPPER, source, "query; q pi.local AAAA");
    assert_eq!(names.sent(), ["dn4 query; q pi.local AAAA"]);
}

#[test]
fn mdn_03_each_version_of_ip_for_itself_and_never_back() {
    let mut names = Names::new();
    assert_eq!(names.hears(LOWER, "query; q pi.local AAAA"), ["up6 query; q pi.local AAAA"]);
    names.says4(UPPER, "query; q px.local AAAA");
    assert_eq!(names.sent(), ["dn4 query; q px.local AAAA"]);

    let mut names = Names::with(Mdns { cross_families: true, ..Mdns::default() });
    let text = "query; q pi.local AAAA";
    assert_eq!(names.hears(LOWER, text), [format!("up6 {text}"), format!("up4 {text}")]);
}

#[test]
fn mdn_04_what_this_host_says_is_not_passed_on() {
    let mut names = Names::new();
    let ours = [
        (UPPER.lladdr, "[fe80::10]:5353"),
        (MB, "[fe80::61]:5353"),
        (mac(0x55), "192.0.2.17:5353"),
    ];
    for (lladdr, source) in ours {
        let host = Host { lladdr, ..UPPER };
        names.says_from(host, source.parse().expect("an address"), "query; q pi.local AAAA");
    }
    assert_eq!(names.sent(), NOTHING);
    assert_eq!(names.discarded(NameDiscard::Own), 3);
    // The same link-local address on another link is somebody else's.
    let source = "[fe80::11]:5353".parse().expect("an address");
    names.says_from(UPPER, source, "query; q pi.local AAAA");
    assert_eq!(names.sent(), ["dn6 query; q pi.local AAAA"]);
}

#[test]
fn mdn_04_what_another_reflector_repeats_does_not_go_back() {
    // It has an address on either link.
    let peers = [
        Host { link: UP, lladdr: mac(0x81), number: 0x81 },
        Host { link: DN, lladdr: mac(0x82), number: 0x82 },
    ];
    for delay in [0, 20, 150, 600, 1_000, 2_000] {
        let mut names = Names::open();
        // By what only its owner says, a reflector is suspected; then questions are watched as well.
        let said = [
            "response; an pi.local AAAA 120! 2001:db8:1::21",
            "query; q pi.local AAAA",
            "response; an pi.local AAAA 0! 2001:db8:1::21",
            "query; q px.local ANY; ns px.local AAAA 120 2001:db8:1::22",
        ];
        // It has probed before, so that its probes need not wait.
        names.says(UPPER, said[3]);
        names.bench.advance_ms(20_000);
        assert_eq!(names.sent(), NOTHING);
        for text in said {
            assert_eq!(names.hears(UPPER, text), [format!("dn6 {text}")], "{text}");
            names.bench.advance_ms(delay);
            assert_eq!(names.hears(peers[1], text), NOTHING, "{text} after {delay} ms");
            assert_eq!(names.hears(peers[0], text), NOTHING, "our own words back: {text}");
            names.bench.advance_ms(1_000);
            assert_eq!(names.hears(UPPER, text), [format!("dn6 {text}")], "said again: {text}");
            names.bench.advance_ms(10_000);
        }
    }
}

#[test]
fn mdn_04_hosts_on_both_links_may_ask_the_same() {
    let mut names = Names::new();
    let text = "query; q _ipp._tcp.local PTR";
    assert_eq!(names.hears(UPPER, text), [format!("dn6 {text}")]);
    names.bench.advance_ms(300);
    // It may be an echo, once.
    assert_eq!(names.hears(LOWER, text), NOTHING);
    names.bench.advance_ms(1_000);
    assert_eq!(names.hears(LOWER, text), [format!("up6 {text}")]);
    // Who knows less than the other does not learn it from the answers to him.
    let mut names = Names::new();
    let knowing = format!("{text}; an _ipp._tcp.local PTR 4500 a._ipp._tcp.local");
    assert_eq!(names.hears(UPPER, &knowing), [format!("dn6 {knowing}")]);
    names.bench.advance_ms(1_500);
    assert_eq!(names.hears(LOWER, text), [format!("up6 {text}")]);
}

#[test]
fn mdn_04_where_no_reflector_is_nobody_waits() {
    let host = |link, number| Host { link, lladdr: mac(number), number };
    let neighbor = host(UP, 0x62);
    let text = "query; q _ipp._tcp.local PTR";
    let passed = [format!("dn6 {text}")];
    // The first question of a second host, on whichever link, is asked.
    let mut names = Names::new();
    assert_eq!(names.hears(UPPER, text), passed);
    names.bench.advance_ms(1_000);
    assert_eq!(names.hears(neighbor, text), passed);
    names.bench.advance_ms(1_000);
    assert_eq!(names.hears(LOWER, text), [format!("up6 {text}")]);
    // So is an answer that several have.
    let shared = "response; an _services._dns-sd._udp.local PTR 4500 _ipp._tcp.local";
    assert_eq!(names.hears(UPPER, shared), [format!("dn6 {shared}")]);
    names.bench.advance_ms(1_000);
    assert_eq!(names.hears(neighbor, shared), [format!("dn6 {shared}")]);
    // A host with several stacks asks as often as all of them do, while others ask as well.
    let mut names = Names::new();
    names.says(neighbor, text);
    names.sent();
    names.bench.advance_ms(1_000);
    for _ in 0..12 {
        assert_eq!(names.hears(UPPER, text), passed);
        names.bench.advance_ms(300);
    }
    assert_eq!(names.discarded(NameDiscard::Excessive), 0);
}

#[test]
fn mdn_04_a_question_that_goes_round_ends_where_a_reflector_is() {
    let mut names = Names::open();
    let peer = Host { link: UP, lladdr: mac(0x81), number: 0x81 };
    let unique = "response; an pi.local AAAA 120! 2001:db8:1::21";
    names.says(UPPER, unique);
    names.says(peer, unique);
    names.sent();
    // It repeats what somebody on the link asked, with a long delay.
    let text = "query; q _ipp._tcp.local PTR";
    for _ in 0..3 {
        assert_eq!(names.hears(UPPER, text), [format!("dn6 {text}")]);
        names.bench.advance_ms(1_200);
        assert_eq!(names.hears(peer, text), NOTHING);
    }
}

#[test]
fn mdn_04_a_question_that_comes_of_a_probe_is_an_echo() {
    let mut names = Names::open();
    let peer = Host { link: DN, lladdr: mac(0x82), number: 0x82 };
    let records =
        ["2001:db8:1::21", "2001:db8:1::22"].map(|it| format!("ns pi.local AAAA 120 {it}"));
    let question = "query; q pi.local ANY";
    let probe = format!("{question}; {}", records.join("; "));
    for wait in [250, 250, 150] {
        names.says(UPPER, &probe);
        names.bench.advance_ms(wait);
    }
    names.sent();
    for record in &records {
        // Each of what was intended by itself, and what is asked as if somebody wanted to know.
        assert_eq!(names.hears(peer, &format!("{question}; {record}")), NOTHING);
        names.bench.advance_ms(150);
        assert_eq!(names.hears(peer, question), NOTHING);
        names.bench.advance_ms(150);
    }
}

#[test]
fn mdn_04_what_goes_round_all_the_same_ends() {
    for text in
        ["query; q pi.local AAAA", "query; q pi.local ANY; ns pi.local AAAA 120 2001:db8:1::21"]
    {
        let mut names = Names::open();
        let mut passed = 0;
        for _ in 0..100 {
            passed += names.hears(LOWER, text).len();
            names.bench.advance_ms(150);
        }
        // In truth the first that stays behind is the last: it does not come back.
        assert!((2..35).contains(&passed), "{passed} of 100");
    }
}

#[test]
fn mdn_04_who_was_overtaken_is_heard_when_the_other_is_gone() {
    let mut names = Names::open();
    let peer = Host { link: UP, lladdr: mac(0x81), number: 0x81 };
    let said = "response; an pi.local AAAA 120! 2001:db8:1::21";
    // What another reflector repeats is here before the original.
    assert_eq!(names.hears(peer, said), [format!("dn6 {said}")]);
    assert_eq!(names.hears(LOWER, said), NOTHING);
    names.bench.advance_ms(1_000);
    assert_eq!(
        names.hears(LOWER, said),
        [format!("up6 {said}")],
        "it is no echo: it is said again"
    );
}

#[test]
fn mdn_04_a_reflector_is_recognized_by_what_it_does() {
    let mut names = Names::open();
    let peer = Host { link: UP, lladdr: mac(0x81), number: 0x81 };
    for number in 1..=4 {
        let text = format!("response; an p{number}.local AAAA 120! 2001:db8:1::{number}");
        assert_eq!(names.hears(UPPER, &text), [format!("dn6 {text}")]);
        names.bench.advance_ms(700);
        assert_eq!(names.hears(peer, &text), NOTHING);
    }
    let told = names.bench.told();
    assert!(told.iter().any(|text| text.contains("Reflector")), "{told:?}");
    let now = names.bench.now;
    let known: Vec<_> = names.bench.engine.other_reflectors(now).collect();
    assert_eq!(known, [(UP, peer.v6().ip())]);
    let before = names.discarded(NameDiscard::Reflector);
    let asked = "query; q px.local AAAA";
    assert_eq!(names.hears(UPPER, asked), [format!("dn6 {asked}")]);
    names.bench.advance_ms(6_000);
    assert_eq!(names.hears(peer, asked), NOTHING);
    assert_eq!(names.discarded(NameDiscard::Reflector), before + 1);
    // Nor is it taken for a host on account of what it remembers of another link.
    let other = "response; an pi.local AAAA 120! 2001:db8:1::77";
    names.says(LOWER, other);
    names.sent();
    names.bench.advance_ms(20_000);
    assert_eq!(names.hears(peer, other), NOTHING);
    assert_eq!(names.discarded(NameDiscard::Reflector), before + 2);
    // What nobody else has said it says for itself, which makes no mere host of it.
    let own = "response; an own.local AAAA 120! 2001:db8:1::99";
    assert_eq!(names.hears(peer, own), [format!("dn6 {own}")]);
    assert_eq!(names.hears(peer, "query; q py.local AAAA"), ["dn6 query; q py.local AAAA"]);
    let now = names.bench.now;
    assert_eq!(names.bench.engine.other_reflectors(now).count(), 1);
}

#[test]
fn mdn_04_probes_that_grow_by_addresses_are_all_heard() {
    let mut names = Names::open();
    let mut parts = vec!["query; q pi.local ANY".to_owned()];
    for number in 1..=4 {
        parts.push(format!("ns pi.local AAAA 120 2001:db8:1::{number}"));
        let probe = parts.join("; ");
        for _ in 0..3 {
            names.says(LOWER, &probe);
            names.bench.advance_ms(250);
        }
        names.says(LOWER, &format!("response; an pi.local AAAA 120! 2001:db8:1::{number}"));
        names.bench.advance_ms(750);
    }
    assert_eq!(names.discarded(NameDiscard::Excessive), 0);
}

#[test]
fn mdn_05_answers_to_the_asker_alone_are_not_asked_for() {
    let mut names = Names::new();
    assert_eq!(names.hears(UPPER, "query; q pi.local AAAA qu"), ["dn6 query; q pi.local AAAA"]);
    let answer = "response; an pi.local AAAA 120! 2001:db8:1::21";
    assert_eq!(names.hears(LOWER, answer), [format!("up6 {answer}")]);
    // Who asks in that way has just come, and is answered although others were a moment ago.
    names.bench.advance_ms(500);
    names.says(Host { number: 0x62, ..UPPER }, "query; q pi.local AAAA qu");
    names.sent();
    assert_eq!(names.hears(LOWER, answer), [format!("up6 {answer}")]);
}

#[test]
fn mdn_06_simple_resolvers_get_their_answers() {
    let mut names = Names::open();
    let askers = [("[fe80::61]:4001", UPPER.lladdr), ("[fe80::62]:4001", mac(0x62))];
    let mut numbers = Vec::new();
    for (source, lladdr) in askers {
        let text = if lladdr == UPPER.lladdr {
            "query id=7; q pi.local AAAA"
        } else {
            "query id=7; q pi.local ANY"
        };
        let host = Host { lladdr, ..UPPER };
        names.says_from(host, source.parse().expect("an address"), text);
        let sent = names.bench.take_datagrams();
        let [sent] = sent.as_slice() else { panic!("one packet: {sent:?}") };
        let datagram = whole(&sent.frame);
        assert_eq!((sent.link, datagram.hop_limit), (DN, 255));
        assert_eq!(
            datagram.source,
            format!("[fe80::11]:{LEGACY_PORT}").parse().expect("an address")
        );
        assert_eq!(datagram.destination, (IpAddr::from(MDNS_GROUP_V6), MDNS_PORT).into());
        numbers.push(u16::from_be_bytes([datagram.payload[0], datagram.payload[1]]));
    }
    assert_ne!(numbers[0], numbers[1]);
    for ((source, lladdr), number) in askers.iter().zip(&numbers) {
        let answer = format!(
            "response id={number}; an pi.local AAAA 120! 2001:db8:1::21; ar pi.local AAAA 120! fe80::21"
        );
        let datagram = Datagram {
            ethernet_source: LOWER.lladdr,
            ethernet_destination: MB,
            source: LOWER.v6(),
            destination: format!("[fe80::11]:{LEGACY_PORT}").parse().expect("an address"),
            hop_limit: 255,
            payload: &spoken::octets(&answer),
        };
        names.hear(DN, &datagram);
        let sent = names.bench.take_datagrams();
        let [sent] = sent.as_slice() else { panic!("one packet: {sent:?}") };
        let datagram = whole(&sent.frame);
        assert_eq!((sent.link, datagram.ethernet_destination), (UP, *lladdr));
        assert_eq!(datagram.source, "[fe80::10]:5353".parse().expect("an address"));
        assert_eq!(datagram.destination, source.parse().expect("an address"));
        assert_eq!(&datagram.payload[..2], [0, 7]);
        let kind = if *lladdr == UPPER.lladdr { "AAAA" } else { "ANY" };
        let expected =
            format!("response id; q pi.local {kind}; an pi.local AAAA 10 2001:db8:1::21");
        assert_eq!(spoken::text(datagram.payload), expected);
    }
    // Nobody is waited for any longer, or answers unasked.
    names.bench.advance_ms(2_000);
    let datagram = Datagram {
        ethernet_source: LOWER.lladdr,
        ethernet_destination: MB,
        source: LOWER.v6(),
        destination: format!("[fe80::11]:{LEGACY_PORT}").parse().expect("an address"),
        hop_limit: 255,
        payload: &spoken::octets(&format!(
            "response id={}; an pi.local AAAA 120! 2001:db8:1::21",
            numbers[0]
        )),
    };
    names.hear(DN, &datagram);
    assert_eq!(names.sent(), NOTHING);
    assert_eq!(names.discarded(NameDiscard::NotAsked), 1);
}

#[test]
fn mdn_06_simple_resolvers_on_both_links_may_ask_the_same() {
    let mut names = Names::open();
    let text = "query id=7; q pi.local AAAA";
    let upper: SocketAddr = "[fe80::61]:4001".parse().expect("an address");
    let lower: SocketAddr = "[fe80::71]:4001".parse().expect("an address");
    let mut served = 0;
    for round in 0..20 {
        names.says_from(UPPER, upper, text);
        assert_eq!(names.bench.take_datagrams().len(), 1, "round {round}");
        // Right after another's it may be an echo, but not each time.
        names.bench.advance_ms(500);
        names.says_from(LOWER, lower, text);
        served += names.bench.take_datagrams().len();
        names.bench.advance_ms(2_500);
    }
    assert!(served >= 10, "{served} of 20");
    // A while after another's it is none.
    for round in 0..20 {
        names.says_from(UPPER, upper, text);
        names.bench.advance_ms(1_500);
        names.says_from(LOWER, lower, text);
        assert_eq!(names.bench.take_datagrams().len(), 2, "round {round}");
        names.bench.advance_ms(1_500);
    }
}

#[test]
fn mdn_06_a_simple_query_that_goes_round_ends() {
    // As another reflector asks anew what it heard us ask.
    let mut names = Names::open();
    let peer: SocketAddr = "[fe80::81]:4001".parse().expect("an address");
    let host = Host { lladdr: mac(0x81), ..UPPER };
    let text = "query id=7; q pi.local AAAA";
    names.says_from(UPPER, "[fe80::61]:4001".parse().expect("an address"), text);
    let mut rounds = 0;
    while !names.bench.take_datagrams().is_empty() {
        rounds += 1;
        assert!(rounds < 50, "it goes on for ever");
        names.bench.advance_ms(300);
        names.says_from(host, peer, text);
    }
}

#[test]
fn mdn_06_simple_resolvers_are_bounded_and_need_a_port() {
    let limits = MdnsLimits { legacy_per_source: 2, ..MdnsLimits::default() };
    let mut names = Names::with(Mdns { limits, legacy_port: Some(LEGACY_PORT), ..Mdns::default() });
    let source = "[fe80::61]:4001".parse().expect("an address");
    for number in 1..=3 {
        names.says_from(UPPER, source, &format!("query id=7; q p{number}.local AAAA"));
    }
    assert_eq!(names.sent().len(), 2);
    assert_eq!(names.discarded(NameDiscard::LegacyFull), 1);
    let mut names = Names::with(Mdns::default());
    names.says_from(UPPER, source, "query id=7; q pi.local AAAA");
    assert_eq!(names.sent(), NOTHING);
    assert_eq!(names.discarded(NameDiscard::LegacyOff), 1);
}

#[test]
fn mdn_07_addresses_that_mean_nothing_elsewhere_stay_behind() {
    let mut names = Names::open();
    let said = "response; an pi.local AAAA 120! fe80::21; an pi.local AAAA 120! 2001:db8:1::21; \
                an pi.local A 120! 169.254.1.2; ar pi.local NSEC 120! A AAAA";
    assert_eq!(
        names.hears(LOWER, said),
        ["up6 response; an pi.local AAAA 120! 2001:db8:1::21; ar pi.local NSEC 120! AAAA"]
    );
    assert_eq!(names.records(Verdict::LinkScoped), 2);
    let only = "response; an px.local AAAA 120! fe80::22; ar px.local NSEC 120! AAAA";
    assert_eq!(names.hears(LOWER, only), NOTHING, "nothing is left to say");
}

#[test]
fn mdn_07_addresses_that_cannot_be_reached_stay_behind() {
    let mut names = Names::new();
    let said = "response; an pi.local AAAA 120! 2001:db8:1::21; an pi.local AAAA 120! 2001:db8:7::21; \
                an pi.local A 120! 192.0.2.21";
    assert_eq!(names.hears(LOWER, said), ["up6 response; an pi.local AAAA 120! 2001:db8:1::21"]);
    assert_eq!(names.records(Verdict::Unreachable), 2);
    // A host that is here is not there.
    names.bench.known(X, UP);
    names.bench.advance_ms(2_000);
    assert_eq!(names.hears(LOWER, "response; an pi.local AAAA 120! 2001:db8:1::21"), NOTHING);
}

#[test]
fn mdn_07_a_host_whose_address_crosses_is_reached_at_once() {
    let mut names = Names::new();
    names.bench.host(X, DN, mac(0x21));
    names.says(LOWER, "response; an pi.local AAAA 120! 2001:db8:1::21");
    names.bench.advance_ms(100);
    assert_eq!(names.bench.routes.get(&X), Some(&DN), "its route is there before it is needed");
}

#[test]
fn what_crosses_leaves_before_it_is_noted_and_its_host_looked_for() {
    let mut names = Names::new();
    let now = names.bench.now;
    let mut frame = Vec::new();
    said(
        LOWER.lladdr,
        LOWER.v6(),
        &spoken::octets("response; an pi.local AAAA 120! 2001:db8:1::21"),
    )
    .emit(&mut frame);
    let engine = &mut names.bench.engine;
    engine.handle(Input::Datagram { link: DN, bytes: &frame }, now);
    assert!(matches!(engine.poll_output(), Some(Output::Datagram(_))));
    assert_eq!((engine.names(now).count(), engine.bindings(now).count()), (0, 0));
    let rest: Vec<_> = std::iter::from_fn(|| engine.poll_output()).collect();
    assert!(rest.iter().any(|output| matches!(output, Output::Event(Event::Name(_)))), "{rest:?}");
    assert!(rest.iter().any(|output| matches!(output, Output::Transmit(_))), "{rest:?}");
    assert_eq!((engine.names(now).count(), engine.bindings(now).count()), (1, 1));
    assert!(engine.poll_timeout().is_some(), "the host may not answer at once");
}

#[test]
fn mdn_07_a_host_that_says_its_address_elsewhere_is_looked_for() {
    let mut names = Names::new();
    names.bench.known(X, UP);
    names.bench.advance_ms(1_000);
    // It has moved, and nobody has noticed.
    let station = names.bench.station(X);
    (station.link, station.lladdr) = (DN, LOWER.lladdr);
    let said = "response; an pi.local AAAA 120! 2001:db8:1::21";
    assert_eq!(names.hears(LOWER, said), NOTHING);
    names.bench.advance_ms(2_000);
    assert_eq!(names.bench.routes.get(&X), Some(&DN));
    assert_eq!(names.hears(LOWER, said), [format!("up6 {said}")]);
}

#[test]
fn mdn_07_a_name_moves_nobody_to_a_proxy() {
    let mut names = Names::new();
    names.bench.known(X, UP);
    names.bench.advance_ms(1_000);
    // It sleeps, and another gateway would answer for it.
    let station = names.bench.station(X);
    station.deaf = true;
    names.bench.stations.push(Station {
        link: DN,
        address: X,
        lladdr: LOWER.lladdr,
        flags: "S",
        deaf: false,
    });
    names.says(LOWER, "response; an pi.local AAAA 120! 2001:db8:1::21");
    names.bench.advance_ms(10_000);
    assert_eq!(names.bench.routes.get(&X), Some(&UP));
}

#[test]
fn mdn_07_a_name_keeps_out_nobody_who_speaks_for_the_address() {
    let mut names = Names::new();
    names.bench.add_third();
    names.bench.known(X, UP);
    names.bench.advance_ms(1_000);
    let station = names.bench.station(X);
    (station.link, station.lladdr) = (THIRD, mac(0x99));
    names.says(LOWER, "response; an pi.local AAAA 120! 2001:db8:1::21");
    names.bench.advance_ms(50);
    names.bench.hear(THIRD, &ns(Y).by(mac(0x99), X).slla(mac(0x99)));
    names.bench.advance_ms(2_000);
    assert_eq!(names.bench.routes.get(&X), Some(&THIRD));
}

#[test]
fn mdn_07_invented_addresses_do_not_take_the_place_of_hosts() {
    let mut names = Names::new();
    for packet in 0..64 {
        let one = |n| format!("an p.local AAAA 120 2001:db8:1::{packet:x}:{n:x}");
        let records: Vec<_> = (1..50).map(one).collect();
        names.says(LOWER, &format!("response; {}", records.join("; ")));
        names.bench.advance_ms(20);
    }
    assert!(names.records(Verdict::Passed) > 3_000);
    let looked_for = names.bench.engine.bindings(names.bench.now).count();
    assert!((64..=128).contains(&looked_for), "{looked_for} hosts are looked for");
    // Of what a packet holds, not all.
    assert!(names.bench.counter(Discard::SolicitRate) == 0, "others are asked for as well");
    // They are not there.
    names.bench.advance_ms(5_000);
    assert_eq!(names.bench.engine.bindings(names.bench.now).count(), 0);
    names.bench.host(X, DN, mac(0x21));
    names.says(LOWER, "response; an pi.local AAAA 120! 2001:db8:1::21");
    names.bench.advance_ms(100);
    assert_eq!(names.bench.routes.get(&X), Some(&DN));
}

#[test]
fn mdn_08_what_is_malformed_is_dropped_and_counted() {
    let mut names = Names::new();
    let whole = spoken::octets("response; an a._ipp._tcp.local SRV 120! 631 pi.local");
    for length in 0..whole.len() {
        let datagram = Datagram {
            ethernet_source: UPPER.lladdr,
            ethernet_destination: group_lladdr(MDNS_GROUP_V6.into()),
            source: UPPER.v6(),
            destination: (IpAddr::from(MDNS_GROUP_V6), MDNS_PORT).into(),
            hop_limit: 255,
            payload: &whole[..length],
        };
        names.bench.advance_ms(100);
        names.hear(UP, &datagram);
    }
    assert_eq!(names.sent(), NOTHING);
    let counters = &names.bench.engine.counters().names;
    let malformed = counters.iter().filter(|(name, _)| name.starts_with("malformed"));
    assert_eq!(malformed.map(|(_, count)| count).sum::<u64>(), whole.len() as u64);
    // Opcode and rcode (RFC 6762 sections 18.3 and 18.11), and answers from other ports.
    for flags in [0x0800, 0x8403] {
        names.says(UPPER, &format!("query {flags}; q pi.local AAAA"));
    }
    let source = "[fe80::61]:4001".parse().expect("an address");
    names.says_from(UPPER, source, "response; an pi.local AAAA 120! 2001:db8:1::21");
    assert_eq!(names.sent(), NOTHING);
    assert_eq!(names.discarded(NameDiscard::Unusual), 3);
}

#[test]
fn mdn_09_packets_fit_the_link_they_go_to() {
    let mut names = Names::new();
    let many: Vec<_> = (0..40).map(|n| format!("an s{n}._ipp._tcp.local TXT 4500! #100")).collect();
    let said = format!("response; {}", many.join("; "));
    names.says(UPPER, &said);
    let frames = names.bench.take_datagrams();
    assert!(frames.len() >= 3, "{} packets", frames.len());
    assert!(frames.iter().all(|sent| sent.frame.len() <= 1_514));
    let texts: Vec<_> =
        frames.iter().map(|sent| spoken::text(whole(&sent.frame).payload)).collect();
    let joined = texts.join("").replace("response", "");
    for number in 0..40 {
        assert_eq!(joined.matches(&format!(" s{number}._ipp")).count(), 1, "each once");
    }
}

#[test]
fn mdn_09_no_packet_holds_but_what_accompanies_others() {
    let mut names = Names::new();
    let many = |section| {
        let one = move |n| format!("{section} {section}{n}._ipp._tcp.local TXT 4500! #100");
        (0..8).map(one).collect::<Vec<_>>().join("; ")
    };
    let sent = names.hears(UPPER, &format!("response; {}; {}", many("an"), many("ar")));
    assert!(sent.len() > 1, "{sent:?}");
    assert!(sent[0].contains("; an an0") && sent[0].contains("; ar ar0"), "{}", sent[0]);
    for packet in &sent[1..] {
        assert!(packet.contains("; an ar") && !packet.contains("; ar "), "{packet}");
    }
}

#[test]
fn mdn_09_a_record_that_fits_the_other_version_of_ip_only_is_told_of() {
    let mut names = Names::with(Mdns { cross_families: true, ..Mdns::default() });
    // The header of IPv4 is shorter by 20 octets.
    names.says4(UPPER, "response; an a._ipp._tcp.local TXT 4500! #8924");
    assert_eq!(names.records(Verdict::TooLarge), 1);
    assert_eq!(names.records(Verdict::Passed), 1);
}

#[test]
fn mdn_09_a_record_that_fits_no_packet_comes_and_goes_in_fragments() {
    let mut names = Names::new();
    let text = "response; an a._ipp._tcp.local TXT 4500! #4000";
    let payload = spoken::octets(text);
    let datagram = Datagram {
        ethernet_source: UPPER.lladdr,
        ethernet_destination: group_lladdr(MDNS_GROUP_V6.into()),
        source: UPPER.v6(),
        destination: (IpAddr::from(MDNS_GROUP_V6), MDNS_PORT).into(),
        hop_limit: 255,
        payload: &payload,
    };
    let mut pieces = Vec::new();
    datagram.emit_fragments(1_280, false, 77, |frame| pieces.push(frame.to_vec()));
    assert!(pieces.len() > 3);
    // In any order.
    pieces.reverse();
    for piece in &pieces {
        assert!(names.bench.take_datagrams().is_empty());
        names.bench.handle(Input::Datagram { link: UP, bytes: piece });
    }
    let frames = names.bench.take_datagrams();
    assert_eq!(frames.len(), 3, "fragments of 1500 octets");
    let mut octets = Vec::new();
    let mut first: Option<Fragment<'_>> = None;
    for sent in &frames {
        assert!(sent.frame.len() <= 1_514);
        let Ok(Received::Fragment(piece)) = Received::parse(&sent.frame) else {
            panic!("not a fragment: {sent:?}")
        };
        assert_eq!(piece.offset, octets.len());
        octets.extend(piece.payload);
        first.get_or_insert(piece);
    }
    let sent = Datagram::of_payload(&first.expect("a first one"), &octets).expect("a datagram");
    assert_eq!(sent.payload, payload);
    // Half a packet is not waited for.
    names.bench.handle(Input::Datagram { link: UP, bytes: &pieces[0] });
    names.bench.advance_ms(2_000);
    for piece in &pieces[1..] {
        names.bench.handle(Input::Datagram { link: UP, bytes: piece });
    }
    assert_eq!(names.sent(), NOTHING);
}

#[test]
fn mdn_10_known_answers_go_with_the_question() {
    let mut names = Names::new();
    let first = "query tc; q _ipp._tcp.local PTR; an _ipp._tcp.local PTR 4500 a._ipp._tcp.local";
    let second = "query; an _ipp._tcp.local PTR 4500 b._ipp._tcp.local";
    let other = "query; q _ssh._tcp.local PTR; an _ssh._tcp.local PTR 4500 c._ssh._tcp.local";
    assert_eq!(names.hears(UPPER, first), [format!("dn6 {first}")]);
    // Another asker's would be taken for the same one's.
    let neighbor = Host { number: 0x62, lladdr: mac(0x62), ..UPPER };
    assert_eq!(names.hears(neighbor, other), ["dn6 query; q _ssh._tcp.local PTR"]);
    assert_eq!(names.hears(neighbor, second), NOTHING);
    assert_eq!(names.discarded(NameDiscard::KnownAnswers), 2);
    assert_eq!(names.hears(UPPER, second), [format!("dn6 {second}")]);
    assert_eq!(names.hears(UPPER, second), NOTHING, "the series is over");
    names.bench.advance_ms(1_000);
    assert_eq!(names.hears(neighbor, other), [format!("dn6 {other}")]);
}

#[test]
fn mdn_10_goodbyes_are_never_held_back() {
    let mut names = Names::open();
    let said = "response; an pi.local AAAA 120! 2001:db8:1::21";
    let goodbye = "response; an pi.local AAAA 0! 2001:db8:1::21";
    for _ in 0..2 {
        assert_eq!(names.hears(LOWER, said), [format!("up6 {said}")]);
        assert_eq!(names.hears(LOWER, goodbye), [format!("up6 {goodbye}")]);
    }
    let told = names.bench.told();
    assert!(told.iter().any(|text| text.contains("Withdrawn")), "{told:?}");
}

#[test]
fn mdn_10_a_record_goes_out_once_a_second() {
    let mut names = Names::open();
    let said = "response; an pi.local AAAA 120! 2001:db8:1::21";
    let mut sent = 0;
    for _ in 0..100 {
        sent += names.hears(LOWER, said).len();
        names.bench.advance_ms(50);
    }
    assert_eq!(sent, 5);
    assert_eq!(names.records(Verdict::Recent), 95);
    // Sets stay together: who hears half of one forgets the other half.
    names.bench.advance_ms(800);
    let both = format!("{said}; an pi.local AAAA 120! 2001:db8:1::22");
    assert_eq!(names.hears(LOWER, &both), [format!("up6 {both}")]);
    // Who probes is answered sooner (RFC 6762 section 6).
    names.bench.advance_ms(300);
    names.says(UPPER, "query; q pi.local ANY; ns pi.local AAAA 120 2001:db8:1::31");
    names.sent();
    assert_eq!(names.hears(LOWER, said), [format!("up6 {said}")]);
}

#[test]
fn mdn_10_floods_end_at_the_budgets() {
    let mut names = Names::new();
    for number in 0..10_000 {
        names.says(UPPER, &format!("query; q p{number}.local AAAA"));
        names.bench.advance(Duration::from_micros(100));
    }
    let sent = names.sent().len();
    assert!((128..=192).contains(&sent), "{sent} in a second of one sender");
    for number in 0..10_000 {
        let host = Host { number: u8::try_from(number % 200).expect("small"), ..UPPER };
        names.says(host, &format!("query; q r{number}.local AAAA"));
        names.bench.advance(Duration::from_micros(100));
    }
    let sent = names.sent().len();
    assert!((512..=768).contains(&sent), "{sent} in a second of many");
    assert!(names.discarded(NameDiscard::SenderRate) > 9_000);
    assert!(names.discarded(NameDiscard::LinkRate) > 500);
    assert!(names.discarded(NameDiscard::ArrivalRate) > 8_000);
}

#[test]
fn mdn_10_what_the_budget_leaves_behind_may_come_again() {
    let limits = MdnsLimits { packets_per_second: 4, ..MdnsLimits::default() };
    let mut names = Names::with(Mdns { limits, ..Mdns::default() });
    let one = |n| format!("an s{n}._ipp._tcp.local TXT 4500! #800");
    let said = format!("response; {}", (0..10).map(one).collect::<Vec<_>>().join("; "));
    let sent = names.hears(UPPER, &said);
    assert_eq!(sent.len(), 8, "twice what is allowed in a second");
    assert_eq!([Verdict::Passed, Verdict::RateLimited].map(|it| names.records(it)), [8, 2]);
    names.bench.advance_ms(500);
    let sent = names.hears(UPPER, &said);
    assert_eq!(sent.len(), 2, "the budget of half a second");
    assert!(sent[0].contains(" s8.") && sent[1].contains(" s9."), "{sent:?}");
}

#[test]
fn mdn_11_checksums_are_checked_and_made_anew() {
    let mut names = Names::new();
    let payload = spoken::octets("query; q pi.local AAAA");
    let datagram = Datagram {
        ethernet_source: UPPER.lladdr,
        ethernet_destination: group_lladdr(MDNS_GROUP_V4.into()),
        source: UPPER.v4(),
        destination: (IpAddr::from(MDNS_GROUP_V4), MDNS_PORT).into(),
        hop_limit: 255,
        payload: &payload,
    };
    let mut frame = Vec::new();
    datagram.emit(&mut frame);
    *frame.last_mut().expect("not empty") ^= 1;
    names.bench.handle(Input::Datagram { link: UP, bytes: &frame });
    assert_eq!(names.sent(), NOTHING);
    assert_eq!(names.bench.counter(magpie_wire::Malformed::Checksum), 1);
    // What is sent is read with its checksum.
    names.hear(UP, &datagram);
    assert_eq!(names.sent(), ["dn4 query; q pi.local AAAA"]);
}

#[test]
fn probes_cross_with_what_they_intend() {
    let mut names = Names::new();
    let probe =
        "query; q pi.local ANY; ns pi.local AAAA 120 2001:db8:1::21; ns pi.local A 120 192.0.2.21";
    // Whoever is on both links has begun on the other one before the third comes.
    let passed = [format!("dn6 {probe}")];
    for crossing in [&[], &[], &passed[..]] {
        let said = format!("{} qu{}", &probe[..21], &probe[21..]);
        assert_eq!(names.hears(UPPER, &said), crossing);
        names.bench.advance_ms(250);
    }
    // Two hosts that want one name at the same time have to hear each other.
    let rival = "query; q pi.local ANY; ns pi.local AAAA 120 2001:db8:1::31";
    assert_eq!(names.hears(LOWER, rival), [format!("up6 {rival}")]);
}

#[test]
fn filters_hold_for_questions_and_answers() {
    let allow = vec![upwards(Subject::Service("_ipp._tcp".into()))];
    let mut names = Names::with(Mdns { allow, addresses: Addresses::All, ..Mdns::default() });
    for (host, text, crosses) in [
        (UPPER, "query; q _ipp._tcp.local PTR", true),
        (UPPER, "query; q _ssh._tcp.local PTR", false),
        (UPPER, "query; q _xipp._tcp.local PTR", false),
        (LOWER, "query; q _ipp._tcp.local PTR", false),
        (LOWER, "response; an _ssh._tcp.local PTR 4500 a._ssh._tcp.local", false),
        (LOWER, "response; an pi.local AAAA 120! 2001:db8:1::21", false),
        (LOWER, "response; an _services._dns-sd._udp.local PTR 4500 _ssh._tcp.local", false),
        (LOWER, "response; an _services._dns-sd._udp.local PTR 4500 _ipp._tcp.local", true),
        (
            LOWER,
            "response; an _ipp._tcp.local PTR 4500 a._ipp._tcp.local; \
                 ar a._ipp._tcp.local SRV 120! 631 pi.local; ar pi.local AAAA 120! 2001:db8:1::21",
            true,
        ),
        (UPPER, "response; an _ipp._tcp.local PTR 4500 b._ipp._tcp.local", false),
    ] {
        names.bench.advance_ms(6_000);
        let link = if host.link == UP { "dn6" } else { "up6" };
        let expected = if crosses { vec![format!("{link} {text}")] } else { Vec::new() };
        assert_eq!(names.hears(host, text), expected, "{text}");
    }
    // The host of a service that crossed may be asked for.
    assert_eq!(names.hears(UPPER, "query; q pi.local AAAA"), ["dn6 query; q pi.local AAAA"]);
    assert_eq!(names.hears(UPPER, "query; q px.local AAAA"), NOTHING);
}

#[test]
fn what_is_known_of_a_link_goes_with_it() {
    let mut names = Names::open();
    let said = "response; an pi.local AAAA 120! 2001:db8:1::21";
    assert_eq!(names.hears(LOWER, said), [format!("up6 {said}")]);
    let now = names.bench.now;
    assert_eq!(names.bench.engine.names(now).count(), 1);
    let of: Vec<_> = names.bench.engine.names_of(X.into(), now).collect();
    assert_eq!(of, [(DN, "pi.local".to_owned())]);
    names.bench.reconfigure(Config { mdns: Some(Mdns::default()), ..Config::default() });
    assert_eq!(names.bench.engine.names(now).count(), 1, "other settings do not change what is");
    names.bench.link_gone(DN);
    assert_eq!(names.bench.engine.names(now).count(), 0);
    assert_eq!(names.hears(UPPER, "query; q pi.local AAAA"), NOTHING);
    names.bench.reconfigure(Config::default());
    assert_eq!(names.hears(UPPER, "query; q pi.local AAAA"), NOTHING);
}

/// A message of SSDP to its group.
fn ssdp(host: Host, text: &str) -> Vec<u8> {
    let group = IpAddr::from(OtherService::Ssdp.group_v4());
    let mut frame = Vec::new();
    let datagram = Datagram {
        ethernet_source: host.lladdr,
        ethernet_destination: group_lladdr(group),
        source: (host.v4().ip(), 5_000).into(),
        destination: (group, 1_900).into(),
        hop_limit: 2,
        payload: text.as_bytes(),
    };
    datagram.emit(&mut frame);
    frame
}

fn with_ssdp() -> Names {
    Names::with(Mdns {
        other_services: vec![OtherService::Ssdp],
        legacy_port: Some(LEGACY_PORT),
        addresses: Addresses::All,
        ..Mdns::default()
    })
}

const SEARCH: &str =
    "M-SEARCH * HTTP/1.1\r\nMAN: \"ssdp:discover\"\r\nMX: 1\r\nST: ssdp:all\r\n\r\n";

#[test]
fn searches_of_other_protocols_on_both_links_are_heard() {
    let mut names = with_ssdp();
    let (upper, lower) = (ssdp(UPPER, SEARCH), ssdp(LOWER, SEARCH));
    let mut passed = 0;
    for round in 0..20 {
        names.bench.handle(Input::Datagram { link: UP, bytes: &upper });
        assert_eq!(names.bench.take_datagrams().len(), 1, "round {round}");
        names.bench.advance_ms(300);
        names.bench.handle(Input::Datagram { link: DN, bytes: &lower });
        passed += names.bench.take_datagrams().len();
        names.bench.advance_ms(2_700);
    }
    assert!(passed >= 10, "{passed} of 20");
}

#[test]
fn searches_and_simple_queries_of_another_reflector_stay_behind() {
    let mut names = with_ssdp();
    let peer = Host { link: UP, lladdr: mac(0x81), number: 0x81 };
    for number in 1..=4 {
        let text = format!("response; an p{number}.local AAAA 120! 2001:db8:1::{number}");
        names.says(UPPER, &text);
        names.says(peer, &text);
    }
    names.sent();
    let frame = ssdp(peer, SEARCH);
    // It is known by its address over either version of IP.
    for number in 1..=4 {
        let text = format!("response; an p{number}.local A 120! 192.0.2.{number}");
        names.says4(UPPER, &text);
        names.says4(peer, &text);
    }
    names.sent();
    let before = names.discarded(NameDiscard::Reflector);
    names.bench.handle(Input::Datagram { link: UP, bytes: &frame });
    assert_eq!(names.bench.take_datagrams(), []);
    let source = "[fe80::81]:4001".parse().expect("an address");
    names.says_from(peer, source, "query id=7; q pi.local AAAA");
    assert_eq!(names.bench.take_datagrams(), []);
    assert_eq!(names.discarded(NameDiscard::Reflector), before + 2);
}

#[test]
fn searches_of_other_protocols_are_answered_across_links() {
    let mut names = Names::with(Mdns {
        other_services: vec![OtherService::Ssdp],
        legacy_port: Some(LEGACY_PORT),
        ..Mdns::default()
    });
    let group = IpAddr::from(OtherService::Ssdp.group_v4());
    let said = |host: Host, port: u16, destination: SocketAddr, text: &str| {
        let lladdr = if destination.ip().is_multicast() { group_lladdr(group) } else { MB };
        let mut frame = Vec::new();
        let datagram = Datagram {
            ethernet_source: host.lladdr,
            ethernet_destination: lladdr,
            source: (host.v4().ip(), port).into(),
            destination,
            hop_limit: 2,
            payload: text.as_bytes(),
        };
        datagram.emit(&mut frame);
        frame
    };
    let search = "M-SEARCH * HTTP/1.1\r\nMAN: \"ssdp:discover\"\r\nMX: 1\r\nST: ssdp:all\r\n\r\n";
    let frame = said(UPPER, 5_000, (group, 1_900).into(), search);
    names.bench.handle(Input::Datagram { link: UP, bytes: &frame });
    let sent = names.bench.take_datagrams();
    let [sent] = sent.as_slice() else { panic!("one packet: {sent:?}") };
    let asked = whole(&sent.frame);
    assert_eq!((sent.link, asked.payload, asked.hop_limit), (DN, search.as_bytes(), 1));
    assert_eq!(asked.source, format!("192.0.2.17:{LEGACY_PORT}").parse().expect("an address"));
    assert_eq!(asked.destination, (group, 1_900).into());
    // Another reflector's copy of it does not come back.
    let copy = said(
        Host { number: 0x82, lladdr: mac(0x82), ..LOWER },
        5_001,
        (group, 1_900).into(),
        search,
    );
    names.bench.handle(Input::Datagram { link: DN, bytes: &copy });
    assert_eq!(names.bench.take_datagrams(), []);

    let answer = "HTTP/1.1 200 OK\r\nST: upnp:rootdevice\r\nUSN: uuid:1\r\n\r\n";
    let frame = said(LOWER, 1_900, asked.source, answer);
    names.bench.handle(Input::Datagram { link: DN, bytes: &frame });
    let sent = names.bench.take_datagrams();
    let [sent] = sent.as_slice() else { panic!("one packet: {sent:?}") };
    let answered = whole(&sent.frame);
    assert_eq!((sent.link, answered.payload), (UP, answer.as_bytes()));
    assert_eq!(answered.ethernet_destination, UPPER.lladdr);
    assert_eq!(answered.destination, "192.0.2.97:5000".parse().expect("an address"));

    let notice = "NOTIFY * HTTP/1.1\r\nNTS: ssdp:byebye\r\nUSN: uuid:1\r\n\r\n";
    let frame = said(LOWER, 1_900, (group, 1_900).into(), notice);
    names.bench.handle(Input::Datagram { link: DN, bytes: &frame });
    assert_eq!(names.bench.take_datagrams().len(), 1);
    // Texts of no known kind stay where they are, and so does all of it where it is not wanted.
    let frame = said(LOWER, 1_900, (group, 1_900).into(), "GET / HTTP/1.1\r\n\r\n");
    names.bench.handle(Input::Datagram { link: DN, bytes: &frame });
    assert_eq!(names.discarded(NameDiscard::Foreign), 1);
    names.bench.advance_ms(3_000);
    let frame = said(LOWER, 1_900, asked.source, answer);
    names.bench.handle(Input::Datagram { link: DN, bytes: &frame });
    assert_eq!(names.discarded(NameDiscard::NotAsked), 1);
    assert_eq!(names.bench.take_datagrams(), []);
}
