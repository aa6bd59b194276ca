//! Which names cross between links: by rules, by what can be reached, and by who else has them.

use magpie_engine::{
    Addresses, Config, Conflicts, Event, Mdns, NameEvent, NameRule, Subject, Verdict,
};

use crate::mdn::{Host, LOWER, Names, UPPER};
use crate::names::{DN, UP, X, mac, member};

/// What the hosts on dn may show to those on up, and nothing else.
fn upward(subjects: &[Subject]) -> Mdns {
    let only = |link| [member(link)].into_iter().collect();
    let rule =
        |subject: &Subject| NameRule { from: only(DN), to: only(UP), subject: subject.clone() };
    let allow = subjects.iter().map(rule).collect();
    Mdns { allow, addresses: Addresses::All, ..Mdns::default() }
}

fn other(host: Host, number: u8) -> Host {
    Host { lladdr: mac(number), number, ..host }
}

impl Names {
    /// What each of these becomes, one after another, a few seconds apart.
    fn each(&mut self, host: Host, texts: &[&str]) -> Vec<String> {
        texts.iter().flat_map(|text| self.becomes(host, text)).collect()
    }

    fn becomes(&mut self, host: Host, text: &str) -> Vec<String> {
        self.bench.advance_ms(7_000);
        self.says(host, text);
        self.sent()
    }

    fn name_events(&mut self) -> Vec<NameEvent> {
        let told = self.bench.take_events();
        let events = told.into_iter().filter_map(|event| match event {
            Event::Name(event) => Some(*event),
            _ => None,
        });
        events.collect()
    }
}

#[test]
fn mdn_07_addresses_of_one_link_stay_there_and_nobody_denies_what_crosses() {
    let mut names = Names::open();
    names.says(
        LOWER,
        "response; an pi.local AAAA 120! fe80::71; an pi.local AAAA 120! 2001:db8:1::71; \
         an pi.local A 120! 169.254.7.1; an pi.local NSEC 120! A AAAA TXT",
    );
    assert_eq!(
        names.sent(),
        ["up6 response; an pi.local AAAA 120! 2001:db8:1::71; an pi.local NSEC 120! TXT AAAA"]
    );
    let nothing_left = "response; an pj.local AAAA 120! fe80::72; ar pj.local NSEC 120! AAAA";
    assert_eq!(names.becomes(LOWER, nothing_left), [""; 0]);
    for address in ["0.0.0.0", "127.0.0.1", "224.0.0.251"] {
        assert_eq!(
            names.becomes(LOWER, &format!("response; an pk.local A 120! {address}")),
            [""; 0]
        );
    }
    for address in ["::", "::1", "ff02::fb"] {
        let text = format!("response; an pk.local AAAA 120! {address}");
        assert_eq!(names.becomes(LOWER, &text), [""; 0]);
    }
}

#[test]
fn mdn_07_only_addresses_that_can_be_reached_cross() {
    let mut names = Names::new();
    let said = "response; an pi.local AAAA 120! 2001:db8:1::71; an pi.local AAAA 120! fd00::71; \
                an pi.local A 120! 192.0.2.71; ar pi.local NSEC 120! A AAAA";
    assert_eq!(
        names.becomes(LOWER, said),
        ["up6 response; an pi.local AAAA 120! 2001:db8:1::71; ar pi.local NSEC 120! AAAA"]
    );
    // Its host is known to be on the very link that the record would cross to.
    names.bench.known(X, UP);
    let stale = "response; an px.local AAAA 120! 2001:db8:1::21";
    assert_eq!(names.becomes(LOWER, stale), [""; 0]);
    // This host's own are reached from everywhere.
    let own = "response; an gw.local AAAA 120! 2001:db8:1::10";
    assert_eq!(names.becomes(LOWER, own).len(), 1);
}

#[test]
fn without_neighbor_discovery_all_addresses_cross() {
    let mdns = Some(Mdns::default());
    let config = Config { mdns, neighbor_discovery: false, ..Config::default() };
    let mut names = Names::configured(config);
    let said = "response; an pi.local AAAA 120! fd00::71; an pi.local A 120! 192.0.2.71";
    assert_eq!(names.becomes(LOWER, said), [format!("up6 {said}")]);
}

#[test]
fn only_the_type_that_is_allowed_is_on_the_wire() {
    let mut names = Names::with(upward(&[Subject::Service("_ipp._tcp".into())]));
    let printer = [
        "response; an _ipp._tcp.local PTR 4500 a._ipp._tcp.local",
        "response; an a._ipp._tcp.local SRV 120! 631 pi.local",
        "response; an a._ipp._tcp.local TXT 4500! x",
        "response; an _x._sub._ipp._tcp.local PTR 4500 a._ipp._tcp.local",
        "response; an _services._dns-sd._udp.local PTR 4500 _ipp._tcp.local",
        "response; an pi.local AAAA 120! 2001:db8:1::71",
        "response; an pi.local NSEC 120! AAAA",
    ];
    let others = [
        "response; an _myipp._tcp.local PTR 4500 a._myipp._tcp.local",
        "response; an _ipp._udp.local PTR 4500 a._ipp._udp.local",
        "response; an _ipp._tcp._x._tcp.local TXT 4500! x",
        "response; an _http._tcp.local PTR 4500 a._ipp._tcp.local",
        "response; an b._ssh._tcp.local SRV 120! 22 pj.local",
        "response; an _services._dns-sd._udp.local PTR 4500 _ssh._tcp.local",
        "response; an pj.local AAAA 120! 2001:db8:1::72",
        "response; an pj.local NSEC 120! AAAA",
    ];
    let crosses = printer.map(|text| format!("up6 {}", text.replace("! x", "! \"x\"")));
    assert_eq!(names.each(LOWER, &printer), crosses);
    assert_eq!(names.each(LOWER, &others), [""; 0]);
    let upper = other(UPPER, 0x62);
    assert_eq!(names.each(upper, &printer), [""; 0], "the other way nothing crosses");
}

#[test]
fn only_questions_for_what_is_allowed_are_on_the_wire() {
    let mut names = Names::with(upward(&[Subject::Service("_ipp._tcp".into())]));
    let wanted = [
        "query; q _ipp._tcp.local PTR",
        "query; q _x._sub._ipp._tcp.local PTR",
        "query; q a._ipp._tcp.local SRV; q a._ipp._tcp.local TXT",
        "query; q _services._dns-sd._udp.local PTR",
    ];
    let others = [
        "query; q _ssh._tcp.local PTR",
        "query; q _myipp._tcp.local PTR",
        "query; q b._ssh._tcp.local SRV",
        "query; q pi.local AAAA",
        "query; q lb._dns-sd._udp.local PTR",
        "query; q 71.2.0.192.in-addr.arpa PTR",
    ];
    assert_eq!(names.each(UPPER, &wanted), wanted.map(|text| format!("dn6 {text}")));
    assert_eq!(names.each(UPPER, &others), [""; 0]);
    assert_eq!(names.each(LOWER, &[&wanted[..], &others[..]].concat()), [""; 0]);
    // Of several questions those go that may.
    let mixed = "query; q _ssh._tcp.local PTR; q _ipp._tcp.local PTR";
    assert_eq!(names.becomes(UPPER, mixed), ["dn6 query; q _ipp._tcp.local PTR"]);
    // The host of a service that was seen may be asked for, from where it was seen.
    names.becomes(LOWER, "response; an a._ipp._tcp.local SRV 120! 631 pi.local");
    let host = "query; q pi.local AAAA";
    assert_eq!(names.becomes(UPPER, host), [format!("dn6 {host}")]);
    assert_eq!(names.becomes(LOWER, host), [""; 0]);
}

#[test]
fn the_addresses_in_one_packet_with_a_service_follow_it() {
    let mut names = Names::with(upward(&[Subject::Service("_ipp._tcp".into())]));
    let said = "response; an pi.local AAAA 120! 2001:db8:1::71; \
                an a._ipp._tcp.local SRV 120! 631 pi.local; ar pj.local AAAA 120! 2001:db8:1::72";
    let crosses = "up6 response; an pi.local AAAA 120! 2001:db8:1::71; \
                   an a._ipp._tcp.local SRV 120! 631 pi.local";
    assert_eq!(names.becomes(LOWER, said), [crosses]);
}

#[test]
fn instances_subtypes_and_hosts_are_rules_of_their_own() {
    for (subject, said, crosses) in [
        (
            Subject::Instance("kitchen".into()),
            "response; an _ipp._tcp.local PTR 4500 Kitchen._ipp._tcp.local; \
             an _ipp._tcp.local PTR 4500 Kitchen2._ipp._tcp.local; \
             ar Kitchen._ipp._tcp.local SRV 120! 631 pi.local; ar pi.local A 120! 192.0.2.71",
            "up6 response; an _ipp._tcp.local PTR 4500 Kitchen._ipp._tcp.local; \
             ar Kitchen._ipp._tcp.local SRV 120! 631 pi.local; ar pi.local A 120! 192.0.2.71",
        ),
        (
            Subject::Subtype("_c._sub._ipp._tcp".into()),
            "response; an _c._sub._ipp._tcp.local PTR 4500 a._ipp._tcp.local; \
             an _d._sub._ipp._tcp.local PTR 4500 b._ipp._tcp.local; \
             ar a._ipp._tcp.local SRV 120! 631 pi.local; ar b._ipp._tcp.local SRV 120! 631 pj.local",
            "up6 response; an _c._sub._ipp._tcp.local PTR 4500 a._ipp._tcp.local; \
             ar a._ipp._tcp.local SRV 120! 631 pi.local",
        ),
        (
            Subject::Host("pi-*".into()),
            "response; an pi-41.local A 120! 192.0.2.71; an pj-41.local A 120! 192.0.2.72; \
             an 71.2.0.192.in-addr.arpa PTR 120! pi-41.local; \
             an 72.2.0.192.in-addr.arpa PTR 120! pj-41.local",
            "up6 response; an pi-41.local A 120! 192.0.2.71; \
             an 71.2.0.192.in-addr.arpa PTR 120! pi-41.local",
        ),
    ] {
        let mut names = Names::with(upward(&[subject]));
        assert_eq!(names.becomes(LOWER, said), [crosses]);
    }
}

#[test]
fn what_is_denied_stays_although_it_is_allowed() {
    let all = Subject::Service("_*._tcp".into());
    let mut mdns = upward(std::slice::from_ref(&all));
    mdns.deny = upward(&[Subject::Service("_ssh._tcp".into())]).allow;
    let mut names = Names::with(mdns);
    let http = "response; an _http._tcp.local PTR 4500 a._http._tcp.local";
    let ssh = "response; an _ssh._tcp.local PTR 4500 a._ssh._tcp.local";
    assert_eq!(names.each(LOWER, &[http, ssh]), [format!("up6 {http}")]);
    let asked = "query; q _ssh._tcp.local PTR; q _http._tcp.local PTR";
    assert_eq!(names.becomes(UPPER, asked), ["dn6 query; q _http._tcp.local PTR"]);
}

const PROBE: &str = "query; q pi.local ANY qu; ns pi.local AAAA 120 2001:db8:1::7";

#[test]
fn mdn_03_a_host_on_both_links_hears_nothing_of_itself() {
    // It has one link-layer address.
    let here = Host { lladdr: mac(0x71), number: 0x61, ..UPPER };
    let mut names = Names::open();
    names.becomes(LOWER, "response; an pi.local AAAA 120! 2001:db8:1::71");
    assert_eq!(names.becomes(here, &format!("{PROBE}1")), [""; 0]);
    names.becomes(here, "response; an pi.local AAAA 120! 2001:db8:1::61");
    let again = "response; an pi.local AAAA 120! 2001:db8:1::71; an pi.local NSEC 120! AAAA";
    assert_eq!(names.becomes(LOWER, again), [""; 0]);
    // What else it says crosses.
    assert_eq!(names.becomes(LOWER, "response; an a._ssh._tcp.local TXT 4500! x").len(), 1);

    // It has two, and begins on both links at once.
    let mut names = Names::open();
    names.says(LOWER, &format!("{PROBE}1"));
    assert_eq!(names.sent(), [""; 0], "it may be there in a moment");
    names.bench.advance_ms(120);
    names.says(UPPER, &format!("{PROBE}2"));
    assert_eq!(names.sent(), [""; 0]);
    for _ in 0..2 {
        names.bench.advance_ms(250);
        names.says(LOWER, &format!("{PROBE}1"));
        names.says(UPPER, &format!("{PROBE}2"));
        assert_eq!(names.sent(), [""; 0]);
    }
    for _ in 0..30 {
        let announced = names.becomes(LOWER, "response; an pi.local AAAA 120! 2001:db8:1::71");
        assert_eq!(announced, [""; 0]);
        let announced = names.becomes(UPPER, "response; an pi.local AAAA 120! 2001:db8:1::72");
        assert_eq!(announced, [""; 0]);
    }
    let events = names.name_events();
    let conflicts = events.iter().filter(|event| matches!(event, NameEvent::Conflict { .. }));
    assert_eq!(conflicts.count(), 0);
    // It answers its own probe before it probes on the other link.
    let mut answering = Names::open();
    answering.says(UPPER, &format!("{PROBE}2"));
    assert_eq!(answering.sent(), [""; 0]);
    answering.bench.advance_ms(1);
    answering.says(LOWER, "response; an pi.local AAAA 120! 2001:db8:1::71");
    answering.bench.advance_ms(190);
    answering.says(LOWER, &format!("{PROBE}1"));
    assert_eq!(answering.sent(), [""; 0]);
    let announced = answering.becomes(UPPER, "response; an pi.local AAAA 120! 2001:db8:1::72");
    assert_eq!(announced, [""; 0]);

    let verdicts: Vec<_> = names.bench.names().into_iter().flat_map(|view| view.verdicts).collect();
    assert_eq!(verdicts, [(DN, Verdict::DualHomed), (UP, Verdict::DualHomed)]);
}

#[test]
fn of_two_hosts_with_one_name_each_hears_the_other() {
    let mut names = Names::open();
    let owned = "response; an pi.local AAAA 120! 2001:db8:1::71";
    names.becomes(LOWER, owned);
    // The second asks for the name, and the first defends it at once.
    let probe = names.becomes(UPPER, &format!("{PROBE}2"));
    assert_eq!(
        probe,
        ["dn6 query; q pi.local ANY; ns pi.local AAAA 120 2001:db8:1::72"],
        "with what it wants to say, so that both compare the same"
    );
    names.says(LOWER, owned);
    assert_eq!(names.sent(), [format!("up6 {owned}")]);
}

#[test]
fn two_hosts_with_one_name_are_reported_if_neither_gives_way() {
    for (conflicts, crosses) in [(Conflicts::Propagate, true), (Conflicts::Isolate, false)] {
        let mut names =
            Names::with(Mdns { conflicts, addresses: Addresses::All, ..Mdns::default() });
        let (first, second) = (
            "response; an pi.local AAAA 120! 2001:db8:1::71",
            "response; an pi.local AAAA 120! 2001:db8:1::72",
        );
        let probe = format!("{PROBE}2");
        names.becomes(LOWER, first);
        assert_eq!(names.becomes(UPPER, &probe).is_empty(), !crosses);
        for _ in 0..3 {
            assert_eq!(names.becomes(UPPER, second).is_empty(), !crosses);
            assert_eq!(names.becomes(LOWER, first).is_empty(), !crosses);
        }
        let events = names.name_events();
        let conflicts: Vec<_> = events
            .iter()
            .filter_map(|event| match event {
                NameEvent::Conflict { name, link, other } => Some((name.as_str(), *link, *other)),
                _ => None,
            })
            .collect();
        assert_eq!(conflicts, [("pi.local", UP, DN)], "once");
        // The second gives way; what it says as it leaves is heard.
        let goodbye = "response; an pi.local AAAA 0! 2001:db8:1::72";
        assert_eq!(names.becomes(UPPER, goodbye), [format!("dn6 {goodbye}")]);
        assert_eq!(names.becomes(LOWER, first), [format!("up6 {first}")]);
    }
}

#[test]
fn who_had_a_name_before_defends_it_in_time() {
    let mut names = Names::open();
    let owned = "response; an pi.local AAAA 120! 2001:db8:1::71";
    // The first that is heard of its owner is the answer to another host's probe.
    names.says(UPPER, &format!("{PROBE}2"));
    assert_eq!(names.sent(), [""; 0]);
    for _ in 0..2 {
        names.says(LOWER, owned);
        names.bench.advance_ms(250);
        names.sent();
        names.says(UPPER, &format!("{PROBE}2"));
    }
    assert_eq!(names.sent().len(), 1, "the last probe");
    names.says(LOWER, owned);
    assert_eq!(names.sent(), [format!("up6 {owned}")]);
}

#[test]
fn two_hosts_that_had_one_name_before_hear_of_each_other() {
    let mut names = Names::open();
    let (first, second) = (
        "response; an pi.local AAAA 120! 2001:db8:1::71",
        "response; an pi.local AAAA 120! 2001:db8:1::72",
    );
    let asker = Host { lladdr: mac(0x62), number: 0x62, ..UPPER };
    assert_eq!(names.becomes(asker, "query; q pi.local AAAA").len(), 1);
    // Both answer as fast as they can.
    names.says(LOWER, first);
    assert_eq!(names.sent(), [format!("up6 {first}")]);
    names.bench.advance_ms(5);
    names.says(UPPER, second);
    assert_eq!(names.sent(), [format!("dn6 {second}")]);
    for _ in 0..5 {
        assert_eq!(names.becomes(LOWER, first), [format!("up6 {first}")]);
        names.bench.advance_ms(5);
        assert_eq!(names.becomes(UPPER, second), [format!("dn6 {second}")]);
    }
    let events = names.name_events();
    let conflicts = events.iter().filter(|event| matches!(event, NameEvent::Conflict { .. }));
    assert_eq!(conflicts.count(), 1);
}

#[test]
fn observers_see_what_becomes_of_each_record() {
    let mut names = Names::open();
    let text = "response; an pi.local AAAA 120! 2001:db8:1::71; an pi.local AAAA 120! fe80::71";
    names.says(LOWER, text);
    let seen: Vec<_> = names
        .name_events()
        .into_iter()
        .map(|event| match event {
            NameEvent::Seen(view) => (view.name, view.kind, view.data, view.link, view.verdicts),
            other => panic!("{other:?}"),
        })
        .collect();
    let entry = |data: &str, verdict| {
        let verdicts = vec![(UP, verdict)];
        ("pi.local".to_owned(), "AAAA".to_owned(), data.to_owned(), DN, verdicts)
    };
    assert_eq!(
        seen,
        [entry("2001:db8:1::71", Verdict::Passed), entry("fe80::71", Verdict::LinkScoped)]
    );
    names.says(LOWER, text);
    assert_eq!(names.name_events(), [], "nothing is new");
    assert_eq!(names.bench.names().len(), 2);
    names.says(LOWER, "response; an pi.local AAAA 0! 2001:db8:1::71");
    assert!(matches!(names.name_events()[..], [NameEvent::Withdrawn(_)]));
    names.bench.advance_ms(1_000);
    assert_eq!(names.bench.names().len(), 1);
    names.bench.advance_ms(120_000);
    assert_eq!(names.bench.names(), []);
}
