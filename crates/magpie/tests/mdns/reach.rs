//! What is found can be reached: only such addresses cross, and the way is there before the first
//! packet. And names cross again as soon as a link is back.

use std::net::{IpAddr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use magpie_testnet::peers::{Avahi, AvahiOptions, Family, Peer};
use magpie_testnet::{Frame, Node, Tester, connect};
use magpie_wire::dns::kind;

use crate::common::{LIMIT, Outcome, answer_for, is_search_for};
use crate::message::{Draft, Rec};
use crate::place::{Place, SILENCE, SOON, address4, address6, files, magpie, magpie_with};
use crate::speaker::{FAMILIES, V6};
use crate::{Scenario, scenario};

pub(crate) fn scenarios() -> Vec<Scenario> {
    vec![
        scenario("only_addresses_that_can_be_reached_cross", only_what_can_be_reached),
        scenario("the_first_packet_after_a_name_is_not_lost", the_first_packet),
        scenario("names_cross_as_soon_as_a_link_is_back", hot_plug),
    ]
}

fn only_what_can_be_reached() -> Outcome {
    let place = Place::new()?;
    let magpie = magpie_with(&place.gateway, "")?;
    let (mut above, below) =
        (place.speaker("above", "up", 11)?, place.speaker("below", "down", 41)?);
    let foreign: Ipv6Addr = "2001:db8:ffff::41".parse()?;
    let name = "pi-41.local";
    for family in FAMILIES {
        let answer = Draft::response()
            .answer(&Rec::aaaa(name, address6(41)))
            .answer(&Rec::aaaa(name, foreign))
            .answer(&Rec::a(name, address4(41)))
            .additional(&Rec::nsec(name, &[kind::A, kind::AAAA]));
        below.say(family, &answer)?;
        let heard = above.expect(SOON, "the answer", |heard| {
            (heard.family() == family && heard.answers(name, kind::AAAA)).then(|| heard.clone())
        })?;
        assert_eq!(heard.addresses(), [IpAddr::from(address6(41))], "{heard}");
    }
    below.say(V6, &Draft::response().answer(&Rec::aaaa("far.local", foreign)))?;
    above.expect_none(SILENCE, "an address that cannot be reached", |heard| {
        heard.names().iter().any(|named| named == "far.local")
    })?;
    magpie.stop()?;

    // With the filter off, both cross.
    let magpie = magpie_with(&place.gateway, "addresses = \"all\"\n")?;
    below.say(V6, &Draft::response().answer(&Rec::aaaa("far.local", foreign)))?;
    above
        .expect(SOON, "the answer", |heard| heard.answers("far.local", kind::AAAA).then_some(()))?;
    magpie.stop()?;
    Ok(())
}

fn the_first_packet() -> Outcome {
    let place = Place::new()?;
    let (inner, outer) = (place.host("inner", "down", 41)?, place.host("outer", "up", 11)?);
    let unnamed = place.host("unnamed", "down", 42)?;
    let files = files(Peer::Avahi)?;
    let _inner = Avahi::start(&inner, &files, &AvahiOptions::new("pi-41"))?;
    let outer_avahi = Avahi::start(&outer, &files, &AvahiOptions::new("laptop"))?;
    let magpie = magpie_with(&place.gateway, "")?;

    let found = outer_avahi.resolve("pi-41.local", Family::V6)?.ok_or("nobody answers")?;
    assert_eq!(found, address6(41));
    // Nobody has talked to it yet.
    magpie.await_route(address6(41), "lan")?;
    let named = Connection::make(&place.gateway, &outer, &inner, address6(41))?;
    // Who was not asked for by name has to be looked for first.
    let other = Connection::make(&place.gateway, &outer, &unnamed, address6(42))?;
    eprintln!("after the name was found: {named:?}; an address without a name: {other:?}");
    assert_eq!(named.requests, 1, "the first one was lost");
    assert!(named.took < Duration::from_millis(900), "{named:?}");
    assert_eq!(named.searches, 0, "the host was not known");
    assert!(other.searches > 0, "this test would not notice");
    magpie.stop()?;
    Ok(())
}

/// What it took to connect.
#[derive(Debug)]
struct Connection {
    took: Duration,
    /// Packets that asked for the connection.
    requests: usize,
    /// Times that the gateway looked for the host on its link before it answered for it.
    searches: usize,
}

impl Connection {
    /// Connects to a host behind the gateway.
    fn make(gateway: &Node, from: &Node, to: &Node, address: Ipv6Addr) -> Result<Self, Failure> {
        let listener = {
            let _inside = to.enter()?;
            TcpListener::bind((Ipv6Addr::UNSPECIFIED, PORT))?
        };
        let (mut wan, mut lan) = (Tester::attach(gateway, "wan")?, Tester::attach(gateway, "lan")?);
        wan.set_outgoing(true);
        lan.set_outgoing(true);
        let start = Instant::now();
        let stream = {
            let _inside = from.enter()?;
            TcpStream::connect_timeout(&SocketAddr::new(address.into(), PORT), LIMIT)?
        };
        let took = start.elapsed();
        listener.accept()?;
        drop(stream);
        let frames = wan.collect(Duration::from_millis(100))?;
        let requests = frames.iter().filter(|frame| !frame.outgoing && is_syn(frame)).count();
        let is_answer = |frame: &&Frame| frame.outgoing && answer_for(frame, address).is_some();
        let answered = frames.iter().find(is_answer).ok_or("nobody answered for the host")?;
        let searches = lan.collect(Duration::ZERO)?;
        let searches = searches.iter().filter(|frame| {
            frame.outgoing && frame.time_ns < answered.time_ns && is_search_for(frame, address)
        });
        Ok(Self { took, requests, searches: searches.count() })
    }
}

type Failure = Box<dyn std::error::Error>;

/// Whether a frame asks for a TCP connection over IPv6.
fn is_syn(frame: &Frame) -> bool {
    let bytes = &frame.bytes;
    // EtherType, the next header, the destination port, and the flags SYN and ACK.
    bytes.get(12..14) == Some(&[0x86, 0xdd])
        && bytes.get(20) == Some(&6)
        && bytes.get(56..58) == Some(&PORT.to_be_bytes())
        && bytes.get(67).is_some_and(|flags| flags & 0x12 == 0x02)
}

fn hot_plug() -> Outcome {
    let place = Place::new()?;
    let magpie = magpie(&place.gateway)?;
    let (mut above, mut below) =
        (place.speaker("above", "up", 11)?, place.speaker("below", "down", 41)?);
    for _ in 0..2 {
        place.gateway.delete_link("lan")?;
        let lan = place.gateway.plug("lan");
        connect(&lan, &place.switch.plug("gw-lan").bridge("down"))?;
        let back = Instant::now();
        place.gateway.wait_link_local("lan", LIMIT)?;
        // As soon as a question gets through the answer does.
        let mut tries = 0;
        let took = loop {
            let name = format!("try-{tries}.local");
            above.say(V6, &Draft::query().question(&name, kind::AAAA))?;
            let arrived = below.expect(Duration::from_millis(20), "the question", |heard| {
                heard.asks(&name, kind::AAAA).then_some(())
            });
            if arrived.is_ok() {
                break back.elapsed();
            }
            tries += 1;
            assert!(back.elapsed() < LIMIT, "nothing crosses any more");
        };
        eprintln!("names cross again {took:?} after the link is back");
        assert!(took < Duration::from_secs(1), "{took:?}");
        let record = Rec::aaaa("pi-41.local", address6(41));
        below.say(V6, &Draft::response().answer(&record))?;
        above.expect(SOON, "the answer", |heard| {
            heard.answers("pi-41.local", kind::AAAA).then_some(())
        })?;
        above.collect(Duration::from_millis(1100))?;
    }
    magpie.stop()?;
    Ok(())
}

const PORT: u16 = 22;
