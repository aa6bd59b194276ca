//! Answers: what of them crosses, and in which form.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use magpie_testnet::Tester;
use magpie_testnet::peers::{Avahi, AvahiOptions, Family, Peer, Service};
use magpie_wire::datagram::{MDNS_GROUP_V4, MDNS_GROUP_V6, MDNS_PORT, Received, group_lladdr};
use magpie_wire::dns::{Data, Message, kind};

use crate::common::{LIMIT, Outcome};
use crate::message::{Draft, Rec, encode};
use crate::place::{Place, SILENCE, SOON, address4, address6, files, magpie, magpie_with};
use crate::speaker::{FAMILIES, Heard, Speaker, V6};
use crate::{Scenario, scenario};

pub(crate) fn scenarios() -> Vec<Scenario> {
    vec![
        scenario("mdn_07_addresses_of_one_link_stay_there", link_local_addresses),
        scenario("mdn_01_mdn_11_what_goes_out_is_well_formed", well_formed),
        scenario("mdn_03_nothing_goes_back_or_changes_its_family", not_back),
        scenario("mdn_08_nonsense_goes_nowhere", nonsense),
        scenario("mdn_09_long_answers_are_split", long_answers),
        scenario("mdn_10_goodbyes_cross_at_once", goodbyes),
        scenario("nobody_answers_for_who_is_gone", no_ghosts),
        scenario("only_what_is_allowed_crosses", filters),
    ]
}

const NAME: &str = "pi-41.local";

fn link_local_addresses() -> Outcome {
    let place = Place::new()?;
    let magpie = magpie(&place.gateway)?;
    let (mut above, below) =
        (place.speaker("above", "up", 11)?, place.speaker("below", "down", 41)?);
    let fe80: Ipv6Addr = "fe80::41".parse()?;
    let local4 = Ipv4Addr::new(169, 254, 1, 1);
    for family in FAMILIES {
        let answer = Draft::response()
            .answer(&Rec::aaaa(NAME, fe80))
            .answer(&Rec::aaaa(NAME, address6(41)))
            .answer(&Rec::aaaa(NAME, Ipv6Addr::LOCALHOST))
            .answer(&Rec::aaaa(NAME, Ipv6Addr::UNSPECIFIED))
            .answer(&Rec::a(NAME, local4))
            .answer(&Rec::a(NAME, address4(41)))
            .answer(&Rec::a(NAME, Ipv4Addr::LOCALHOST))
            .additional(&Rec::nsec(NAME, &[kind::A, kind::AAAA]));
        below.say(family, &answer)?;
        let heard = await_answer(&mut above, family, NAME)?;
        let addresses: BTreeSet<_> = heard.addresses().into_iter().collect();
        assert_eq!(addresses, BTreeSet::from([address4(41).into(), address6(41).into()]));
        assert_eq!(types(&heard), [kind::A, kind::AAAA]);

        // It no longer says that there is what did not cross.
        let name = ["other-4.local", "other-6.local"][family];
        let answer = Draft::response()
            .answer(&Rec::aaaa(name, fe80))
            .answer(&Rec::a(name, address4(42)))
            .additional(&Rec::nsec(name, &[kind::A, kind::AAAA]));
        below.say(family, &answer)?;
        let heard = await_answer(&mut above, family, name)?;
        assert_eq!(heard.addresses(), [IpAddr::from(address4(42))], "{heard}");
        assert_eq!(types(&heard), [kind::A], "{heard}");
    }
    // Where nothing is left, nothing goes out.
    above.clear()?;
    below.say(V6, &Draft::response().answer(&Rec::aaaa("none.local", fe80)))?;
    above.expect_none(SILENCE, "an empty answer", |heard| heard.message.is_response)?;
    magpie.stop()?;
    Ok(())
}

/// The types that the NSEC record of a message names.
fn types(heard: &Heard) -> Vec<u16> {
    let types = heard.all().find_map(|record| match record.data() {
        Data::Nsec { types, .. } => Some(types.iter().collect()),
        _ => None,
    });
    types.unwrap_or_default()
}

fn await_answer(
    ear: &mut Speaker,
    family: usize,
    name: &str,
) -> Result<Heard, Box<dyn std::error::Error>> {
    ear.expect(SOON, &format!("an answer about {name}"), |heard| {
        let is_it = heard.family() == family && heard.message.is_response;
        (is_it && heard.names().iter().any(|named| named == name)).then(|| heard.clone())
    })
}

/// Looks at the octets of frames from where none of the speaker's code mends anything.
fn well_formed() -> Outcome {
    let place = Place::new()?;
    let magpie = magpie(&place.gateway)?;
    let mut above = Tester::new("above", &place.switch, "up", None)?;
    let below = place.speaker("below", "down", 41)?;
    let uplink = place.gateway.lladdr("wan")?;
    let link_local = place.gateway.wait_link_local("wan", LIMIT)?;

    // Names within data point to others, as every responder writes them.
    let instance = "Kitchen._ipp._tcp.local";
    let mut octets = Draft::response().octets();
    octets[7] = 4;
    octets.extend(encode(instance));
    let at_type = 12 + 8;
    let at_local = 12 + encode("Kitchen._ipp._tcp").len() - 1;
    // SRV whose target ends in a pointer to "local".
    octets.extend([0, 33, 0x80, 1, 0, 0, 0, 120, 0, 14, 0, 0, 0, 0, 2, 119]);
    octets.extend([5, b'p', b'i', b'-', b'4', b'1', 0xc0, u8::try_from(at_local)?]);
    let at_target = octets.len() - 8;
    // NSEC of the target whose next name is a pointer, with AAAA alone.
    octets.extend([0xc0, u8::try_from(at_target)?, 0, 47, 0x80, 1, 0, 0, 0, 120, 0, 8]);
    octets.extend([0xc0, u8::try_from(at_target)?, 0, 4, 0, 0, 0, 8]);
    // PTR with a pointer alone as data.
    octets.extend([0xc0, at_type, 0, 12, 0, 1, 0, 0, 0, 120, 0, 2, 0xc0, 12]);
    // A type that nobody has defined, whose data look like a pointer.
    octets.extend([0xc0, 12, 0xff, 0x10, 0x80, 1, 0, 0, 0, 120, 0, 3, 0xc0, 0xff, 7]);

    for family in FAMILIES {
        below.say(family, &Draft::raw(octets.clone()))?;
        let (group, source): (IpAddr, IpAddr) =
            [(MDNS_GROUP_V4.into(), address4(2).into()), (MDNS_GROUP_V6.into(), link_local.into())]
                [family];
        let payload = above.expect(SOON, "the answer", |frame| {
            // This checks the lengths and the checksums.
            let Ok(Received::Whole(datagram)) = Received::parse(&frame.bytes) else { return None };
            let is_it = datagram.source == (source, MDNS_PORT).into()
                && datagram.destination == (group, MDNS_PORT).into()
                && datagram.ethernet_source == uplink
                && datagram.ethernet_destination == group_lladdr(group)
                && datagram.hop_limit == 255;
            is_it.then(|| datagram.payload.to_vec())
        })?;
        let message = Message::parse(&payload)?;
        let said: Vec<_> = message
            .answers
            .iter()
            .map(|record| (record.name.to_string(), record.kind(), record.cache_flush))
            .collect();
        let expected = [
            (instance, 33, true),
            (NAME, 47, true),
            ("_ipp._tcp.local", 12, false),
            (instance, 0xff10, true),
        ];
        let expected = expected.map(|(name, kind, flush)| (name.to_owned(), kind, flush));
        assert_eq!(said, expected);
        for record in &message.answers {
            match record.data() {
                Data::Srv { target, port, .. } => {
                    assert_eq!((target.to_string().as_str(), port), (NAME, 631));
                }
                Data::Nsec { next, types } => {
                    assert_eq!(next.to_string(), NAME);
                    assert_eq!(types.iter().collect::<Vec<_>>(), [kind::AAAA]);
                }
                Data::Ptr(target) => assert_eq!(target.to_string(), instance),
                _ => {}
            }
        }
        // What is not understood is left as it is.
        assert!(payload.ends_with(&[0, 3, 0xc0, 0xff, 7]), "{payload:x?}");
        assert_eq!(payload.get(..4), Some(&[0, 0, 0x84, 0][..]));
    }
    magpie.stop()?;
    Ok(())
}

fn not_back() -> Outcome {
    let place = Place::new()?;
    let magpie = magpie(&place.gateway)?;
    let gateway = [place.gateway.lladdr("wan")?, place.gateway.lladdr("lan")?];
    let (mut above, mut below) =
        (place.speaker("above", "up", 11)?, place.speaker("below", "down", 41)?);
    for family in FAMILIES {
        let name = ["four.local", "six.local"][family];
        above.say(family, &Draft::query().question(name, kind::ANY))?;
        let probe = Draft::query()
            .question(name, kind::ANY)
            .authority(&[Rec::a(name, address4(11)), Rec::aaaa(name, address6(11))][family]);
        // The first probes of a name stay behind, lest a host on both links hears itself.
        above.say(family, &probe)?;
        let mut heard = below.collect(Duration::from_millis(500))?;
        above.say(family, &probe)?;
        above.say(family, &Draft::response().answer(&Rec::aaaa(name, address6(11))))?;
        let mut kinds = BTreeSet::new();
        heard.extend(below.collect(SILENCE)?);
        for heard in heard.iter().filter(|heard| heard.lladdr == gateway[1]) {
            assert_eq!(heard.family(), family, "{heard}");
            assert_eq!(heard.message.authorities.len().min(1), usize::from(kinds.len() == 1));
            kinds.insert((heard.message.is_response, heard.message.authorities.len()));
        }
        let expected = BTreeSet::from([(false, 0), (false, 1), (true, 0)]);
        assert_eq!(kinds, expected, "{}", texts(&heard));
        above.expect_none(Duration::ZERO, "an echo", |heard| heard.lladdr == gateway[0])?;
    }
    magpie.stop()?;
    Ok(())
}

fn texts(heard: &[Heard]) -> String {
    heard.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

fn nonsense() -> Outcome {
    let place = Place::new()?;
    let magpie = magpie(&place.gateway)?;
    let (above, mut below) =
        (place.speaker("above", "up", 11)?, place.speaker("below", "down", 41)?);
    let whole = Draft::query().question(NAME, kind::AAAA).octets();
    let mut bad = vec![
        // A name that points to itself, a label that is too long, and counts that lie.
        [&whole[..12], &[0xc0, 12, 0, 28, 0, 1]].concat(),
        [&whole[..12], &[0x40], &[b'a'; 64], &[0, 0, 28, 0, 1]].concat(),
        [&[0, 0, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0], &whole[12..]].concat(),
        [&[0, 0, 0, 0, 0, 1, 0, 1, 0, 0, 0, 0], &whole[12..]].concat(),
        whole[..whole.len() - 1].to_vec(),
        whole[..11].to_vec(),
        Vec::new(),
    ];
    // Other operations, and errors (RFC 6762 sections 18.3 and 18.11).
    bad.push(Draft::query().flags(0x2800).question(NAME, kind::AAAA).octets());
    let error = Draft::response().flags(0x8403).answer(&Rec::aaaa(NAME, address6(1)));
    bad.push(error.octets());
    for family in FAMILIES {
        for octets in &bad {
            above.say(family, &Draft::raw(octets.clone()))?;
        }
        let whole = Draft::query().question("good.local", kind::AAAA);
        above.say(family, &whole)?;
        let gateway = place.gateway.lladdr("lan")?;
        let first = below.expect(SOON, "what makes sense", |heard| {
            (heard.lladdr == gateway && heard.family() == family).then(|| heard.clone())
        })?;
        assert!(first.asks("good.local", kind::AAAA), "{first}");
    }
    magpie.stop()?;
    Ok(())
}

fn long_answers() -> Outcome {
    let place = Place::new()?;
    let magpie = magpie(&place.gateway)?;
    let (mut above, below) =
        (place.speaker("above", "up", 11)?, place.speaker("below", "down", 41)?);
    for link in ["wan", "lan"] {
        assert_eq!(place.gateway.link(link)?.mtu, 1500);
    }
    // As many as fit on this link fit into less on the other.
    place.gateway.set_link(
        "wan",
        &magpie_sys::netlink::LinkChange { mtu: Some(1280), ..Default::default() },
    )?;
    let text = "x".repeat(100);
    for family in FAMILIES {
        let mut answer = Draft::response();
        for number in 0..11 {
            answer = answer.answer(&Rec::txt(&format!("long-{family}-{number}.local"), &text));
        }
        assert!(answer.octets().len() > 1280);
        below.say(family, &answer)?;
        let mut seen = Vec::new();
        while seen.len() < 11 {
            let part = above.expect(SOON, "a part of the answer", |heard| {
                (heard.family() == family && heard.message.is_response).then(|| heard.clone())
            })?;
            assert!(part.len <= 1280 - [28, 48][family], "{part}");
            seen.extend(part.names());
        }
        let expected: Vec<_> =
            (0..11).map(|number| format!("long-{family}-{number}.local")).collect();
        assert_eq!(seen, expected);
    }
    magpie.stop()?;
    Ok(())
}

fn goodbyes() -> Outcome {
    let place = Place::new()?;
    let (inner, outer) = (place.host("inner", "down", 41)?, place.host("outer", "up", 11)?);
    let magpie = magpie(&place.gateway)?;
    let files = files(Peer::Avahi)?;
    let options = AvahiOptions::new("pi-41").service(Service::new("Kitchen", "_ipp._tcp", 631));
    let inner = Avahi::start(&inner, &files, &options)?;
    let outer = Avahi::start(&outer, &files, &AvahiOptions::new("laptop"))?;
    assert_eq!(outer.resolve(NAME, Family::V6)?, Some(address6(41).into()));
    let (mut above, mut below) =
        (place.speaker("above", "up", 12)?, place.speaker("below", "down", 42)?);
    inner.stop()?;
    let (crossed, said) = (above.collect(SILENCE)?, below.collect(Duration::ZERO)?);
    for family in FAMILIES {
        let goodbye = |heard: &[Heard]| {
            let is_it = |heard: &&Heard| {
                let gone = heard.records("_ipp._tcp.local", kind::PTR);
                heard.family() == family && gone.iter().any(|record| record.ttl == 0)
            };
            let first = heard.iter().find(is_it).map(|heard| heard.time_ns);
            first.ok_or_else(|| format!("no goodbye over {family}:\n{}", texts(heard)))
        };
        let took = Duration::from_nanos(goodbye(&crossed)?.saturating_sub(goodbye(&said)?));
        eprintln!("a goodbye took {took:?} to cross");
        assert!(took < Duration::from_millis(50), "{took:?}");
    }
    // The cache of the other link is empty, and nobody answers from another one.
    assert_eq!(outer.resolve(NAME, Family::V6)?, None);
    magpie.stop()?;
    Ok(())
}

/// A host that was cut off: when its records have run out, its name leads nowhere.
fn no_ghosts() -> Outcome {
    let place = Place::new()?;
    let magpie = magpie(&place.gateway)?;
    let (mut above, mut below) =
        (place.speaker("above", "up", 11)?, place.speaker("below", "down", 41)?);
    let gateway = [place.gateway.lladdr("wan")?, place.gateway.lladdr("lan")?];
    for family in FAMILIES {
        let record = [Rec::a(NAME, address4(41)), Rec::aaaa(NAME, address6(41))];
        let kind = [kind::A, kind::AAAA][family];
        below.say(family, &Draft::response().answer(&record[family]))?;
        await_answer(&mut above, family, NAME)?;
        above.say(family, &Draft::query().question(NAME, kind))?;
        // The question reaches where the host was; the gateway never answers it.
        below.expect(SOON, "the question", |heard| heard.asks(NAME, kind).then_some(()))?;
        above.expect_none(SILENCE, "an answer from memory", |heard| {
            gateway.contains(&heard.lladdr) && heard.message.is_response
        })?;
    }
    magpie.stop()?;
    Ok(())
}

fn filters() -> Outcome {
    let place = Place::new()?;
    let (inner, outer) = (place.host("inner", "down", 41)?, place.host("outer", "up", 11)?);
    let settings = "addresses = \"all\"\n\
                    allow = [{ service = \"_ipp._tcp\", from = [\"lan\"], to = [\"wan\"] }]\n";
    let magpie = magpie_with(&place.gateway, settings)?;
    let gateway = [place.gateway.lladdr("wan")?, place.gateway.lladdr("lan")?];
    let files = files(Peer::Avahi)?;
    let services = |name: &str, room: &str| {
        AvahiOptions::new(name)
            .service(Service::new(room, "_ipp._tcp", 631))
            .service(Service::new(room, "_http._tcp", 80))
            .service(Service::new(room, "_xipp._tcp", 632))
    };
    let (mut above, mut below) =
        (place.speaker("above", "up", 12)?, place.speaker("below", "down", 42)?);
    let _inner = Avahi::start(&inner, &files, &services("pi-41", "Kitchen"))?;
    let outer = Avahi::start(&outer, &files, &services("laptop", "Garden"))?;

    let types = ["_ipp._tcp", "_http._tcp", "_xipp._tcp", "_services._dns-sd._udp"];
    for family in FAMILIES {
        for kind_name in types {
            let question = Draft::query().question(&format!("{kind_name}.local"), kind::PTR);
            above.say(family, &question)?;
            below.say(family, &question)?;
        }
        let stranger = Draft::response()
            .answer(&Rec::ptr("_ipp._tcpx.local", "Kitchen._ipp._tcpx.local"))
            .answer(&Rec::ptr("a_ipp._tcp.local", "Kitchen.a_ipp._tcp.local"));
        below.say(family, &stranger)?;
    }
    assert_eq!(outer.resolve("pi-41.local", Family::V6)?, Some(address6(41).into()));

    let crossed = above.collect(SILENCE)?;
    let crossed: Vec<_> = crossed.iter().filter(|heard| heard.lladdr == gateway[0]).collect();
    let is_found = crossed.iter().any(|heard| heard.answers("_ipp._tcp.local", kind::PTR));
    assert!(is_found, "{}", crossed.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"));
    for heard in &crossed {
        for name in heard.names() {
            let is_meant = name == NAME
                || name == "_ipp._tcp.local"
                || name.ends_with("._ipp._tcp.local")
                || name == "_services._dns-sd._udp.local"
                || is_reverse(&name);
            assert!(is_meant, "{name} in {heard}");
        }
        for record in heard.records("_services._dns-sd._udp.local", kind::PTR) {
            assert_eq!(record.describe(80), "_ipp._tcp.local", "{heard}");
        }
    }
    // Nothing of the outside is seen inside, and what is asked is only what may be seen.
    let crossed = below.collect(Duration::ZERO)?;
    for heard in crossed.iter().filter(|heard| heard.lladdr == gateway[1]) {
        assert!(!heard.message.is_response, "{heard}");
        for question in &heard.message.questions {
            let name = question.name.to_string();
            assert!(!name.contains("_http") && !name.contains("_xipp"), "{heard}");
        }
    }
    magpie.stop()?;
    Ok(())
}

fn is_reverse(name: &str) -> bool {
    name.ends_with(".in-addr.arpa") || name.ends_with(".ip6.arpa")
}
