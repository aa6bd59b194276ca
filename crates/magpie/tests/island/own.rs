//! The gateway's own addresses, links and solicitations.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv6Addr;
use std::time::{Duration, Instant};

use magpie_control::EventKind;
use magpie_sys::netlink::{LinkChange, Route};
use magpie_testnet::{Frame, Ping, PingError, Tester, ping_once, wait_for};
use magpie_wire::{ALL_NODES, ALL_ROUTERS, LinkAddr, Message, Packet};

use crate::common::{ConfigFile, LIMIT, Magpie, Outcome, answer_for, host_address};
use crate::place::{Place, SILENCE};

pub(crate) fn kernel_answers_on_its_link() -> Outcome {
    let place = Place::new()?;
    let magpie = place.magpie()?;
    let target = Place::gateway_address();
    let mut asker = place.station("asker", "up")?;
    asker.ask(target)?;
    let answer = asker.await_answer(target, LIMIT)?;
    assert!(answer.advert.overrides && answer.advert.router, "{answer:?}");
    asker.expect_none(SILENCE, "a second answer", |frame| answer_for(frame, target).is_some())?;
    magpie.stop()?;
    Ok(())
}

pub(crate) fn address_on_another_link() -> Outcome {
    let place = Place::new()?;
    let magpie = place.magpie()?;
    let target = host_address(0x11);
    place.gateway.add_address_nodad("lan", target, 64)?;
    let mut asker = place.station("asker", "up")?;
    let answer = asker.resolve(target)?;
    assert_eq!(answer.advert.target_lladdr, Some(place.gateway.lladdr("wan")?));
    assert!(answer.advert.router && answer.advert.solicited && !answer.advert.overrides);
    asker.expect_none(SILENCE, "a second answer", |frame| answer_for(frame, target).is_some())?;
    ping_once(&place.router, &Ping::new(target), LIMIT)?;
    magpie.stop()?;
    Ok(())
}

pub(crate) fn own_kernel_gets_no_answer() -> Outcome {
    let place = Place::new()?;
    let magpie = place.magpie()?;
    let nobody = host_address(0x99);
    let mut wan = Tester::attach(&place.gateway, "wan")?;
    wan.set_outgoing(true);
    let result = ping_once(&place.gateway, &Ping::new(nobody), LIMIT);
    assert!(
        matches!(result, Err(PingError::Reported { .. } | PingError::Timeout { .. })),
        "{result:?}"
    );
    wan.expect(LIMIT, "the kernel's question", |frame| {
        let packet = frame.packet()?;
        (crate::common::solicited(&packet)? == nobody && frame.outgoing).then_some(())
    })?;
    wan.expect_none(SILENCE, "an answer", |frame| answer_for(frame, nobody).is_some())?;
    assert!(magpie.hosts()?.iter().all(|host| host.address != nobody));
    magpie.stop()?;
    Ok(())
}

pub(crate) fn new_lladdr_is_in_all_answers() -> Outcome {
    let place = Place::new()?;
    let magpie = place.magpie()?;
    let (_lower, address) = place.host("lower", "down", 0x21)?;
    let mut asker = place.station("asker", "up")?;
    let old = asker.resolve(address)?.advert.target_lladdr;
    let new = LinkAddr([2, 0, 0, 0, 0x13, 0x37]);
    assert_ne!(old, Some(new));

    let mut watch = magpie.watch()?;
    place.gateway.set_link("wan", &LinkChange { lladdr: Some(new), ..LinkChange::default() })?;
    Magpie::await_event(&mut watch, "the link to change", |event| {
        let is_it = event.kind == EventKind::LinkChanged
            && event.lladdr.as_deref() == Some(&new.to_string());
        is_it.then_some(())
    })?;
    asker.clear()?;
    let answer = asker.resolve(address)?;
    assert_eq!((answer.ethernet_source, answer.advert.target_lladdr), (new, Some(new)));
    let mut prober = place.station("prober", "up")?;
    let mut below = Tester::attach(&place.gateway, "lan")?;
    below.set_outgoing(true);
    // From an address of wider scope, the kernel would forward it.
    let source: Ipv6Addr = "2001:db8:99::1".parse()?;
    let question = prober.question(address);
    prober.send_packet(&Packet {
        source,
        destination: address,
        ethernet_destination: new,
        ..question
    })?;
    let answer = prober.await_answer(address, LIMIT)?;
    assert_eq!((answer.ethernet_source, answer.advert.target_lladdr), (new, Some(new)));
    // The guard goes by the new one too.
    below.expect_none(SILENCE, "a forwarded probe", |frame| {
        frame.icmpv6().is_some_and(|found| found.kind == 135 && found.hop_limit == 254)
    })?;
    magpie.stop()?;
    Ok(())
}

pub(crate) fn new_lladdr_is_announced() -> Outcome {
    let place = Place::new()?;
    let magpie = place.magpie()?;
    let mut asker = place.station("asker", "up")?;
    let mut expected = BTreeMap::new();
    let mut hosts = Vec::new();
    for (name, last) in [("first", 0x21), ("second", 0x22), ("third", 0x23)] {
        let (host, address) = place.host(name, "down", last)?;
        asker.resolve(address)?;
        hosts.push(host);
        expected.insert(address, 2);
    }
    asker.clear()?;
    let new = LinkAddr([2, 0, 0, 0, 0x13, 0x38]);
    place.gateway.set_link("wan", &LinkChange { lladdr: Some(new), ..LinkChange::default() })?;

    let announced = |frame: &Frame| {
        let packet = frame.packet()?;
        let Message::Advert(advert) = packet.message else { return None };
        let is_round = packet.destination == ALL_NODES && expected.contains_key(&advert.target);
        is_round.then_some((packet.ethernet_source, advert))
    };
    let mut told = BTreeMap::new();
    // A round, and another one three seconds later.
    while told.values().sum::<usize>() < expected.values().sum() {
        let (source, advert) = asker.expect(LIMIT, "an announcement", announced)?;
        assert_eq!((source, advert.target_lladdr), (new, Some(new)));
        assert!(advert.overrides && !advert.solicited, "{advert:?}");
        *told.entry(advert.target).or_default() += 1;
    }
    assert_eq!(told, expected);
    asker.expect_none(2 * SILENCE, "a third round", |frame| announced(frame).is_some())?;
    magpie.stop()?;
    Ok(())
}

/// RFC 9131 section 6.1.2.
pub(crate) fn routers_are_told_of_a_new_host() -> Outcome {
    let place = Place::new()?;
    let config =
        ConfigFile::new("[[relay]]\nlinks = [\"wan\", \"lan\", \"lab\"]\nannounce = \"hosts\"\n")?;
    let magpie = Magpie::run(&place.gateway, config.arguments())?;
    let mut above = place.station("above", "up")?;
    let mut beside = place.station("beside", "down")?;
    let (lower, address) = place.host("lower", "down", 0x21)?;
    ping_once(&lower, &Ping::new(Place::router_address()), LIMIT)?;
    magpie.await_host(address, "lan")?;
    let own = place.gateway.lladdr("wan")?;
    let unasked = |frame: &Frame| {
        let packet = frame.packet()?;
        let Message::Advert(advert) = packet.message else { return None };
        let is_it = advert.target == address && !advert.solicited;
        is_it.then_some((packet.destination, advert))
    };
    let (destination, advert) = above.expect(LIMIT, "word of the host", unasked)?;
    assert_eq!((destination, advert.target_lladdr), (ALL_ROUTERS, Some(own)));
    assert!(!advert.overrides, "{advert:?}");
    // Once, and not on its own link.
    above.expect_none(SILENCE, "more of it", |frame| unasked(frame).is_some())?;
    let is_ours = |frame: &Frame| {
        frame.packet().is_some_and(|packet| {
            unasked(frame).is_some()
                && place.gateway.lladdr("lan").ok() == Some(packet.ethernet_source)
        })
    };
    beside.expect_none(Duration::ZERO, "word of a host on its own link", is_ours)?;
    magpie.stop()?;
    Ok(())
}

/// RFC 4861 section 7.2.7: where several proxies might answer.
pub(crate) fn answers_are_delayed() -> Outcome {
    let place = Place::new()?;
    let config = ConfigFile::new(
        "\
[[responder]]
links = [\"wan\"]
answer-delay = \"1s\"

[[responder.rule]]
prefix = \"2001:db8:7:0:1::/120\"
method = \"static\"
",
    )?;
    let magpie = Magpie::run(&place.gateway, config.arguments())?;
    let target = |number: u16| Ipv6Addr::new(0x2001, 0xdb8, 7, 0, 1, 0, 0, number);
    let mut asker = place.station("asker", "up")?;
    let own = place.gateway.lladdr("wan")?;
    // At random, the first that comes would take half a second on an average.
    let mut in_all = Duration::ZERO;
    for number in 0x21..0x29 {
        asker.ask_at(target(number), own)?;
        in_all += asker.await_answer(target(number), LIMIT)?.waited;
    }
    assert!(in_all < Duration::from_secs(2), "unicast questions waited for {in_all:?}");

    let mut open: BTreeSet<Ipv6Addr> = (0x31..0x41).map(target).collect();
    let start = Instant::now();
    for target in &open {
        asker.ask(*target)?;
    }
    let mut times = Vec::new();
    while !open.is_empty() {
        let found = asker.expect(LIMIT, "an answer", |frame| {
            open.iter().find(|target| answer_for(frame, **target).is_some()).copied()
        })?;
        open.remove(&found);
        times.push(start.elapsed());
    }
    let (Some(first), Some(last)) = (times.first(), times.last()) else { unreachable!() };
    // Sixteen at random are hardly ever closer together.
    assert!(last.saturating_sub(*first) > Duration::from_millis(300), "{times:?}");
    assert!(*last < Duration::from_secs(2), "{times:?}");
    magpie.stop()?;
    Ok(())
}

/// What is sent from anything but a link-local address neighbors ignore, or take for something
/// else; and who was asked for in vain meanwhile is not held down.
pub(crate) fn nobody_is_asked_without_source() -> Outcome {
    let place = Place::new()?;
    let gateway = &place.gateway;
    let (_lower, address) = place.host("lower", "down", 0x21)?;
    let magpie = place.magpie()?;
    let link_local = gateway.wait_link_local("lan", LIMIT)?;
    let mut lan = Tester::attach(gateway, "lan")?;
    lan.set_outgoing(true);
    let mut asker = place.station("asker", "up")?;
    gateway.delete_address("lan", link_local, 64)?;
    wait_for(LIMIT, "the daemon to notice", || {
        let links = magpie.status().ok()?.links;
        let lan = links.into_iter().find(|link| link.name == "lan")?;
        lan.addresses.is_empty().then_some(())
    })?;
    lan.clear()?;
    // As long as anybody asks, and longer than a search takes.
    for _ in 0..4 {
        asker.ask(address)?;
        lan.expect_none(Duration::from_secs(1), "a question from nobody", |frame| {
            let packet = frame.packet();
            packet.is_some_and(|packet| {
                let is_search = crate::common::solicited(&packet) == Some(address);
                frame.outgoing && is_search && !packet.source.is_unicast_link_local()
            })
        })?;
    }
    asker.expect_none(Duration::ZERO, "an answer", |frame| answer_for(frame, address).is_some())?;
    gateway.add_address_nodad("lan", link_local, 64)?;
    let start = Instant::now();
    asker.resolve(address)?;
    let took = start.elapsed();
    println!("a host was found {took:?} after the link-local address was back");
    // A kernel asks again after a second: nobody had to.
    assert!(took < Duration::from_millis(950), "{took:?}");
    magpie.stop()?;
    Ok(())
}

pub(crate) fn answers_leave_where_asked() -> Outcome {
    let place = Place::new()?;
    let gateway = &place.gateway;
    let lab = gateway.ifindex("lab")?;
    let away: Ipv6Addr = "fe80::d".parse()?;
    // Better than the default route upstream.
    let route = Route::on_link(Ipv6Addr::UNSPECIFIED, 0, lab);
    gateway.add_route(&Route { gateway: Some(away), metric: 1, ..route })?;
    let magpie = place.magpie()?;
    let (_lower, address) = place.host("lower", "down", 0x21)?;
    let mut asker = place.station("asker", "up")?;
    let mut aside = place.station("aside", "side")?;
    asker.resolve(address)?;
    let source: Ipv6Addr = "2001:db8:99::1".parse()?;
    let question = asker.question(address);
    asker.send_packet(&Packet { source, ..question })?;
    let answer = asker.await_answer(address, LIMIT)?;
    assert_eq!(answer.destination, source);
    aside.expect_none(SILENCE, "an answer", |frame| answer_for(frame, address).is_some())?;
    magpie.stop()?;
    Ok(())
}
