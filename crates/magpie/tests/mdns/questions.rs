//! Questions: how they cross, whose do not, and that answers find back.

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use magpie_testnet::peers::{Avahi, AvahiOptions, Peer, Service};
use magpie_wire::datagram::{MDNS_GROUP_V4, MDNS_GROUP_V6, MDNS_PORT, group_lladdr};
use magpie_wire::dns::kind;

use crate::common::{LIMIT, Outcome};
use crate::message::{Draft, Rec};
use crate::place::{Place, SILENCE, SOON, address4, address6, files, magpie};
use crate::speaker::{FAMILIES, V4, V6};
use crate::{Scenario, scenario};

pub(crate) fn scenarios() -> Vec<Scenario> {
    vec![
        scenario("mdn_05_who_asks_for_a_unicast_answer_gets_one", unicast_questions),
        scenario("mdn_06_simple_resolvers_are_answered", legacy_queries),
        scenario("mdn_06_avahi_answers_simple_resolvers", legacy_queries_to_avahi),
        scenario("mdn_10_known_answers_keep_hosts_silent", known_answers),
        scenario("mdn_10_a_series_of_known_answers_stays_in_order", a_series),
        scenario("mdn_02_strangers_are_not_answered", strangers),
        scenario("mdn_10_a_flood_is_bounded", a_flood),
    ]
}

fn unicast_questions() -> Outcome {
    let place = Place::new()?;
    let magpie = magpie(&place.gateway)?;
    let (mut above, mut below) =
        (place.speaker("above", "up", 11)?, place.speaker("below", "down", 41)?);
    for family in FAMILIES {
        let name = ["four.local", "six.local"][family];
        let kind = [kind::A, kind::AAAA][family];
        above.say(family, &Draft::query().unicast_question(name, kind))?;
        let question = below.expect(SOON, "the question", |heard| {
            (heard.family() == family && heard.asks(name, kind)).then(|| heard.clone())
        })?;
        assert!(question.message.questions.iter().all(|question| !question.unicast), "{question}");
        assert!(question.to.is_group() && question.source.port() == MDNS_PORT, "{question}");
        let record = [Rec::a(name, address4(41)), Rec::aaaa(name, address6(41))];
        below.say(family, &Draft::response().answer(&record[family]))?;
        above.expect(SOON, "the answer", |heard| {
            (heard.family() == family && heard.answers(name, kind)).then_some(())
        })?;
    }
    magpie.stop()?;
    Ok(())
}

fn legacy_queries() -> Outcome {
    let place = Place::new()?;
    let magpie = magpie(&place.gateway)?;
    let mut clients = [place.speaker("client-1", "up", 11)?, place.speaker("client-2", "up", 12)?];
    let mut below = place.speaker("below", "down", 41)?;
    let uplink = place.gateway.lladdr("wan")?;
    for family in FAMILIES {
        let kind = [kind::A, kind::AAAA][family];
        let names = [["a4.local", "b4.local"], ["a6.local", "b6.local"]][family];
        // Both have the same ID and the same port.
        for (client, name) in clients.iter().zip(names) {
            client.say_from(family, 40_001, &Draft::query().id(0x1234).question(name, kind))?;
        }
        let mut questions = Vec::new();
        for name in names {
            questions.push(below.expect(SOON, "a simple query", |heard| {
                let is_it = heard.family() == family && heard.asks(name, kind);
                (is_it && heard.source.port() != MDNS_PORT).then(|| heard.clone())
            })?);
        }
        let key = |index: usize| (questions[index].source.port(), questions[index].message.id);
        assert_ne!(key(0), key(1), "no reply could find back");
        assert!(questions.iter().all(|question| question.hop_limit == 255), "{questions:?}");

        for ((name, question), number) in names.into_iter().zip(&questions).zip(101..) {
            let record = [Rec::a(name, address4(number)), Rec::aaaa(name, address6(number.into()))];
            let reply = Draft::response().id(question.message.id).question(name, kind);
            let reply = reply.answer(&record[family]);
            let source = SocketAddr::new(below.addresses[family], MDNS_PORT);
            below.send(source, question.source, question.lladdr, &reply)?;
        }
        for ((client, name), number) in clients.iter_mut().zip(names).zip(101..) {
            let us = client.lladdr();
            let reply = client.expect(SOON, "the reply", |heard| {
                let is_it = heard.family() == family && heard.message.is_response;
                is_it.then(|| heard.clone())
            })?;
            assert_eq!((reply.to, reply.lladdr), (us, uplink), "{reply}");
            assert_eq!(reply.destination, SocketAddr::new(client.addresses[family], 40_001));
            assert_eq!((reply.source.port(), reply.hop_limit), (MDNS_PORT, 255), "{reply}");
            assert_eq!(reply.message.id, 0x1234, "{reply}");
            assert_eq!(reply.message.questions.len(), 1, "{reply}");
            assert!(reply.asks_or_echoes(name, kind), "{reply}");
            assert!(reply.all().all(|record| record.ttl <= 10 && !record.cache_flush), "{reply}");
            let address =
                [IpAddr::from(address4(number)), IpAddr::from(address6(number.into()))][family];
            assert_eq!(reply.addresses(), [address], "{reply}");
            client.expect_none(Duration::from_millis(200), "another reply", |heard| {
                heard.message.is_response && heard.family() == family
            })?;
        }
    }
    magpie.stop()?;
    Ok(())
}

fn legacy_queries_to_avahi() -> Outcome {
    let place = Place::new()?;
    let inner = place.host("inner", "down", 41)?;
    let magpie = magpie(&place.gateway)?;
    let _avahi = Avahi::start(&inner, &files(Peer::Avahi)?, &AvahiOptions::new("pi-41"))?;
    let mut client = place.speaker("client", "up", 11)?;
    for (family, address) in [(V4, IpAddr::from(address4(41))), (V6, IpAddr::from(address6(41)))] {
        let kind = [kind::A, kind::AAAA][family];
        client.say_from(family, 40_001, &Draft::query().id(7).question("pi-41.local", kind))?;
        let reply = client.expect(LIMIT, "the reply", |heard| {
            let is_it = heard.destination.port() == 40_001 && heard.answers("pi-41.local", kind);
            is_it.then(|| heard.clone())
        })?;
        assert_eq!((reply.message.id, reply.family()), (7, family), "{reply}");
        assert!(reply.addresses().contains(&address), "{reply}");
    }
    magpie.stop()?;
    Ok(())
}

fn known_answers() -> Outcome {
    let place = Place::new()?;
    let inner = place.host("inner", "down", 41)?;
    let options = AvahiOptions::new("pi-41").service(Service::new("Kitchen", "_ipp._tcp", 631));
    let _avahi = Avahi::start(&inner, &files(Peer::Avahi)?, &options)?;
    let magpie = magpie(&place.gateway)?;
    let (mut above, mut below) =
        (place.speaker("above", "up", 11)?, place.speaker("below", "down", 42)?);
    let (kind_name, instance) = ("_ipp._tcp.local", "Kitchen._ipp._tcp.local");
    let known = Rec::ptr(kind_name, instance).ttl(4_000);
    for family in FAMILIES {
        // Announcements come at intervals of up to four seconds.
        above.settle(Duration::from_millis(4500), Duration::from_secs(30))?;
        above.say(family, &Draft::query().question(kind_name, kind::PTR).answer(&known))?;
        below.expect(SOON, "the known answer", |heard| {
            (heard.asks(kind_name, kind::PTR) && heard.message.answers.len() == 1).then_some(())
        })?;
        above.expect_none(SILENCE, "an answer that was known", |heard| {
            heard.answers(kind_name, kind::PTR)
        })?;
        above.say(family, &Draft::query().question(kind_name, kind::PTR))?;
        above.expect(SOON, "the answer", |heard| {
            heard.answers(kind_name, kind::PTR).then_some(())
        })?;
    }
    magpie.stop()?;
    Ok(())
}

fn a_series() -> Outcome {
    let place = Place::new()?;
    let magpie = magpie(&place.gateway)?;
    let (above, mut below) =
        (place.speaker("above", "up", 11)?, place.speaker("below", "down", 41)?);
    let kind_name = "_ipp._tcp.local";
    let known = |name| Rec::ptr(kind_name, &format!("{name}.{kind_name}")).ttl(4_000);
    let first = Draft::query().flags(0x0200).question(kind_name, kind::PTR).answer(&known("one"));
    let second = Draft::query().answer(&known("two")).answer(&known("three"));
    for family in FAMILIES {
        above.say(family, &first)?;
        above.say(family, &second)?;
        let mut seen = Vec::new();
        while seen.len() < 3 {
            let more = below.expect(SOON, "known answers", |heard| {
                let is_it = heard.family() == family && !heard.message.answers.is_empty();
                is_it.then(|| heard.clone())
            })?;
            assert_eq!(more.message.is_truncated, seen.is_empty(), "{more}");
            assert_eq!(more.asks(kind_name, kind::PTR), seen.is_empty(), "{more}");
            seen.extend(more.message.answers.iter().map(|record| record.describe(60)));
        }
        let expected = ["one", "two", "three"].map(|name| format!("{name}.{kind_name}"));
        assert_eq!(seen, expected);
    }
    magpie.stop()?;
    Ok(())
}

fn strangers() -> Outcome {
    let place = Place::new()?;
    let magpie = magpie(&place.gateway)?;
    let (mut above, mut below) =
        (place.speaker("above", "up", 11)?, place.speaker("below", "down", 41)?);
    let uplink = place.gateway.lladdr("wan")?;
    let far = [IpAddr::from([203, 0, 113, 9]), "2001:db8:ffff::9".parse()?];
    let own = [IpAddr::from(address4(2)), IpAddr::from(address6(2))];
    let groups = [IpAddr::from(MDNS_GROUP_V4), IpAddr::from(MDNS_GROUP_V6)];
    let name = "pi-41.local";
    for family in FAMILIES {
        let kind = [kind::A, kind::AAAA][family];
        let question = Draft::query().id(9).question(name, kind);
        let near = above.addresses[family];
        // To the gateway alone: from afar, from a neighbor, and to a simple resolver's port.
        for (source, port) in
            [(far[family], MDNS_PORT), (far[family], 40_001), (near, MDNS_PORT), (near, 40_001)]
        {
            let source = SocketAddr::new(source, port);
            above.send(source, SocketAddr::new(own[family], MDNS_PORT), uplink, &question)?;
        }
        // To everybody from afar: the reply would go to somebody who did not ask.
        let group = SocketAddr::new(groups[family], MDNS_PORT);
        let source = SocketAddr::new(far[family], 40_001);
        above.send(source, group, group_lladdr(groups[family]), &question)?;
    }
    below.expect_none(SILENCE, "a question of a stranger", |heard| {
        heard.names().iter().any(|asked| asked == name)
    })?;
    above.expect_none(Duration::ZERO, "an answer to a stranger", |heard| heard.lladdr == uplink)?;

    // An answer that comes to the gateway alone is not passed on either.
    for family in FAMILIES {
        let record = [Rec::a(name, address4(66)), Rec::aaaa(name, address6(66))];
        let source = SocketAddr::new(above.addresses[family], MDNS_PORT);
        let answer = Draft::response().answer(&record[family]);
        above.send(source, SocketAddr::new(own[family], MDNS_PORT), uplink, &answer)?;
    }
    below.expect_none(SILENCE, "an answer for the gateway alone", |heard| {
        heard.names().iter().any(|named| named == name)
    })?;
    magpie.stop()?;
    Ok(())
}

fn a_flood() -> Outcome {
    let place = Place::new()?;
    let magpie = magpie(&place.gateway)?;
    let (above, mut below) =
        (place.speaker("above", "up", 11)?, place.speaker("below", "down", 41)?);
    let busy = processor_time(magpie.pid())?;
    let start = Instant::now();
    let mut sent = 0_u32;
    while start.elapsed() < Duration::from_secs(2) {
        for _ in 0..100 {
            let name = format!("flood-{sent}.local");
            above.say(V6, &Draft::query().question(&name, kind::AAAA))?;
            sent += 1;
        }
        // Some ten thousand a second.
        std::thread::sleep(Duration::from_millis(8));
    }
    let took = start.elapsed();
    let busy = processor_time(magpie.pid())?.saturating_sub(busy);
    let passed = below.collect(Duration::from_millis(300))?;
    let passed = passed.iter().filter(|heard| heard.names().iter().any(|n| n.contains("flood")));
    let passed = passed.count();
    eprintln!(
        "of {sent} queries in {took:?}, {passed} were passed on, with {busy:?} of processor time"
    );
    // 64 a second and twice as many at once.
    let most = 128.0 + 64.0 * (took.as_secs_f64() + 1.0);
    assert!(passed > 0 && f64::from(u32::try_from(passed)?) <= most, "{passed} of {sent}");
    assert!(busy * 2 < took, "{busy:?} of processor time in {took:?}");

    // Somebody else is served all the same.
    let other = place.speaker("other", "up", 12)?;
    other.say(V6, &Draft::query().question("calm.local", kind::AAAA))?;
    below.expect(SOON, "the question of another", |heard| {
        heard.asks("calm.local", kind::AAAA).then_some(())
    })?;

    // A record goes out once a second, however often it is said.
    let chatter = place.speaker("chatter", "down", 43)?;
    let mut ear = place.speaker("ear", "up", 13)?;
    let start = Instant::now();
    while start.elapsed() < Duration::from_millis(2500) {
        chatter.say(V6, &Draft::response().answer(&Rec::aaaa("chatter.local", address6(43))))?;
        std::thread::sleep(Duration::from_millis(50));
    }
    let heard = ear.collect(Duration::from_millis(300))?;
    let times = heard.iter().filter(|heard| heard.answers("chatter.local", kind::AAAA)).count();
    assert!((2..=4).contains(&times), "{times} times in 2.5 seconds");
    magpie.stop()?;
    Ok(())
}

/// The processor time that a process has had.
fn processor_time(pid: u32) -> Result<Duration, Box<dyn std::error::Error>> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // Behind the name in parentheses; the 14th and 15th fields of all, in hundredths of a second.
    let (_, rest) = text.rsplit_once(')').ok_or("no name in stat")?;
    let fields = rest.split_whitespace().skip(11).take(2);
    let ticks: u64 = fields.map(str::parse::<u64>).sum::<Result<_, _>>()?;
    Ok(Duration::from_millis(ticks * 10))
}
