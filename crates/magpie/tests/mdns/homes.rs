//! Who has a name: hosts on both links keep theirs, of two hosts with one name one gives way, and
//! what runs on the gateway is left alone.

use std::time::{Duration, Instant};

use magpie_testnet::peers::{Avahi, AvahiOptions, Family, Peer, Resolved, ResolvedOptions};
use magpie_testnet::{Node, connect, wait_for};
use magpie_wire::LinkAddr;
use magpie_wire::dns::kind;

use crate::common::{LIMIT, Magpie, Outcome};
use crate::message::Draft;
use crate::place::{Place, SILENCE, address4, address6, files, magpie};
use crate::speaker::{FAMILIES, Speaker, V6};
use crate::{Scenario, scenario};

pub(crate) fn scenarios() -> Vec<Scenario> {
    vec![
        scenario("hosts_on_both_links_keep_their_names", hosts_on_both_links),
        scenario("of_two_hosts_with_one_name_one_gives_way", two_hosts_one_name),
        scenario("avahi_on_the_gateway_is_left_alone", avahi_on_the_gateway),
        scenario("resolved_on_the_gateway_is_left_alone", resolved_on_the_gateway),
    ]
}

fn hosts_on_both_links() -> Outcome {
    let place = Place::new()?;
    let magpie = magpie(&place.gateway)?;
    let (first, second) = (both_links(&place, "both-1", 51)?, both_links(&place, "both-2", 61)?);
    let avahi = Avahi::start(&first, &files(Peer::Avahi)?, &AvahiOptions::new("both-1"))?;
    let options = ResolvedOptions::new("both-2", &["eth0", "eth1"]);
    let resolved = Resolved::start(&second, &files(Peer::Resolved)?, &options)?;
    let is_named = resolved.await_line("Record both-2.local IN AAAA 2001:db8", LIMIT);
    is_named.map_err(|error| format!("{error}\n{}", names_in(&magpie)))?;

    // Others ask for them all the time, on both links, and their own questions cross too.
    let (mut above, mut below) =
        (place.speaker("above", "up", 11)?, place.speaker("below", "down", 41)?);
    let (start, watched) = (Instant::now(), watched()?);
    while start.elapsed() < watched {
        for name in ["both-1.local", "both-2.local"] {
            for family in FAMILIES {
                above.say(family, &Draft::query().question(name, kind::ANY))?;
                below.say(family, &Draft::query().question(name, kind::AAAA))?;
            }
        }
        above.collect(Duration::from_secs(2))?;
        below.clear()?;
    }
    assert_eq!(avahi.renames(), 0, "{}\n{}", avahi.log(), names_in(&magpie));
    assert_eq!(resolved.renames(), 0, "{}\n{}", resolved.log(), names_in(&magpie));
    magpie.stop()?;
    Ok(())
}

/// What Magpie says of datagrams and names.
fn names_in(magpie: &Magpie) -> String {
    let log = magpie.log();
    let lines = log.lines().filter(|line| line.contains("datagram") || line.contains("name"));
    lines.collect::<Vec<_>>().join("\n")
}

/// A host with a cable into each bridge.
fn both_links(place: &Place, name: &str, number: u8) -> Result<Node, Box<dyn std::error::Error>> {
    let node = Node::new(name)?;
    node.set_conf("default", "accept_dad", 0)?;
    for (link, bridge, number) in [("eth0", "up", number), ("eth1", "down", number + 1)] {
        connect(&node.plug(link), &place.switch.plug(&format!("{name}-{link}")).bridge(bridge))?;
        node.wait_link_local(link, LIMIT)?;
        node.add_address4(link, address4(number), 24)?;
        node.add_address_nodad(link, address6(number.into()), 64)?;
    }
    Ok(node)
}

fn two_hosts_one_name() -> Outcome {
    let place = Place::new()?;
    let (inner, outer) = (place.host("inner", "down", 41)?, place.host("outer", "up", 11)?);
    let magpie = magpie(&place.gateway)?;
    let files = files(Peer::Avahi)?;
    let options = AvahiOptions::new("twin");
    let inner = Avahi::start(&inner, &files, &options)?;
    let outer = Avahi::launch(&outer, &files, &options)?;
    wait_for(LIMIT, "one of them to give way", || {
        (inner.renames() + outer.renames() > 0).then_some(())
    })?;
    // Both come to rest with a name each.
    let mut ear = place.speaker("ear", "up", 12)?;
    ear.settle(Duration::from_secs(3), Duration::from_secs(20))?;
    let renames = [inner.renames(), outer.renames()];
    assert!(
        renames == [0, 1] || renames == [1, 0],
        "{renames:?}\n{}\n{}",
        inner.log(),
        outer.log()
    );
    let [loser, winner] = if renames[0] > 0 { [41, 11] } else { [11, 41] }.map(address6);
    for (avahi, place) in [(&inner, "inner"), (&outer, "outer")] {
        for (name, address) in [("twin.local", winner), ("twin-2.local", loser)] {
            let found = avahi.resolve(name, Family::V6)?;
            assert_eq!(
                found,
                Some(address.into()),
                "{name} from {place}: {renames:?}\n{}",
                magpie.log()
            );
        }
    }
    magpie.stop()?;
    Ok(())
}

fn avahi_on_the_gateway() -> Outcome {
    let place = Place::new()?;
    let (inner, outer) = (place.host("inner", "down", 41)?, place.host("outer", "up", 11)?);
    let files = files(Peer::Avahi)?;
    let own = Avahi::start(&place.gateway, &files, &AvahiOptions::new("gw"))?;
    let inner = Avahi::start(&inner, &files, &AvahiOptions::new("pi-41"))?;
    let outer = Avahi::start(&outer, &files, &AvahiOptions::new("laptop"))?;
    let look = || -> Outcome {
        assert_eq!(own.resolve("pi-41.local", Family::V6)?, Some(address6(41).into()));
        assert_eq!(own.resolve("laptop.local", Family::V6)?, Some(address6(11).into()));
        assert!(outer.resolve("gw.local", Family::V6)?.is_some());
        assert!(inner.resolve("gw.local", Family::V4)?.is_some());
        Ok(())
    };
    look()?;
    let mut ear = place.speaker("ear", "up", 12)?;
    let own_lladdr = place.gateway.lladdr("wan")?;
    let alone = answers_of(&mut ear, own_lladdr)?;
    let magpie = magpie(&place.gateway)?;
    assert_eq!(outer.resolve("pi-41.local", Family::V6)?, Some(address6(41).into()));
    assert_eq!(inner.resolve("laptop.local", Family::V6)?, Some(address6(11).into()));
    look()?;

    // It answers no more often than it does alone: what Magpie says is not for it.
    let beside = answers_of(&mut ear, own_lladdr)?;
    assert_eq!((alone, beside), (1, 1), "answers to one question, without and with Magpie");
    look()?;
    for avahi in [&own, &inner, &outer] {
        assert_eq!(avahi.renames(), 0, "{}", avahi.log());
    }
    magpie.stop()?;
    look()
}

/// How often the gateway, which sends from this link-layer address, answers when it is asked for its
/// own name.
fn answers_of(ear: &mut Speaker, gateway: LinkAddr) -> Result<usize, Box<dyn std::error::Error>> {
    ear.settle(Duration::from_millis(1500), Duration::from_secs(20))?;
    ear.say(V6, &Draft::query().question("gw.local", kind::AAAA))?;
    let heard = ear.collect(SILENCE)?;
    let answers = heard.iter().filter(|heard| {
        heard.lladdr == gateway && heard.family() == V6 && heard.answers("gw.local", kind::AAAA)
    });
    Ok(answers.count())
}

fn resolved_on_the_gateway() -> Outcome {
    let place = Place::new()?;
    let (inner, outer) = (place.host("inner", "down", 41)?, place.host("outer", "up", 11)?);
    let avahi = files(Peer::Avahi)?;
    let inner = Avahi::start(&inner, &avahi, &AvahiOptions::new("pi-41"))?;
    let outer = Avahi::start(&outer, &avahi, &AvahiOptions::new("laptop"))?;
    let magpie = magpie(&place.gateway)?;
    let options = ResolvedOptions::new("gw", &["wan", "lan"]);
    let own = Resolved::start(&place.gateway, &files(Peer::Resolved)?, &options)?;
    own.await_line("Record gw.local IN AAAA 2001:db8", LIMIT)?;
    assert!(own.resolve("pi-41.local")?.contains(&address6(41).into()));
    assert!(own.resolve("laptop.local")?.contains(&address6(11).into()));
    assert!(outer.resolve("gw.local", Family::V6)?.is_some());
    assert_eq!(outer.resolve("pi-41.local", Family::V6)?, Some(address6(41).into()));
    assert_eq!(inner.resolve("laptop.local", Family::V6)?, Some(address6(11).into()));
    assert_eq!(own.renames(), 0, "{}", own.log());
    magpie.stop()?;
    Ok(())
}

/// Long enough for probes, announcements and several rounds of questions, unless
/// `MAGPIE_WATCH_SECONDS` says otherwise.
fn watched() -> Result<Duration, Box<dyn std::error::Error>> {
    let Some(seconds) = std::env::var_os("MAGPIE_WATCH_SECONDS") else {
        return Ok(Duration::from_secs(14));
    };
    let seconds = seconds.to_str().and_then(|seconds| seconds.parse().ok());
    Ok(Duration::from_secs(seconds.ok_or("MAGPIE_WATCH_SECONDS is no number of seconds")?))
}
