//! Links whose medium is no plain cable: Wi-Fi, bridges that pass on what is for others, macvlans.
#![forbid(unsafe_code)]

mod common;

use std::error::Error;
use std::process::ExitCode;
use std::time::Duration;

use common::{
    AccessPoint, ConfigFile, LIMIT, Magpie, Options, Outcome, Site, Station, answer_for,
    host_address, is_search_for, ping_until,
};
use magpie_control::{Client, EventKind, LinkState, LinkStatus};
use magpie_sys::netlink::{LinkPlace, MacvlanMode, NewMacvlan};
use magpie_testnet::{
    AddressState, Bridge, Frame, Host, Node, Ping, Pinger, Tester, connect, ping_once,
};
use magpie_wire::{LinkAddr, Message, Packet, Solicit};

fn main() -> ExitCode {
    common::run(&[
        ("lnk_07_nsi_24_a_wifi_station_may_be_the_uplink", a_wifi_station_may_be_the_uplink),
        ("lnk_02_frames_for_others_never_count", frames_for_others_never_count),
        ("lnk_06_a_macvlan_waits_beside_its_device", a_macvlan_waits_beside_its_device),
    ])
}

fn a_wifi_station_may_be_the_uplink() -> Outcome {
    let mut point = None;
    let site = Site::with([Bridge::new("up"), Bridge::new("down")], |gateway, switch| {
        let node = Node::switch("point")?;
        connect(&gateway.plug("wan"), &node.plug("radio"))?;
        connect(&node.plug("wire"), &switch.plug("point").bridge("up"))?;
        connect(&gateway.plug("lan"), &switch.plug("gw-lan").bridge("down"))?;
        point = Some(AccessPoint::start(node, gateway.lladdr("wan")?)?);
        Ok(())
    })?;
    let point = point.ok_or("the gateway was not connected")?;
    let own = site.gateway.lladdr("wan")?;
    let magpie = Magpie::start(&site.gateway)?;

    // Duplicate address detection hears its own echo on the way, and finds no duplicate.
    let (lower, lower_address) = site.host("lower", "down", 0x21)?;
    let (upper, upper_address) = site.host("upper", "up", 0x11)?;
    ping_once(&upper, &Ping::new(lower_address), LIMIT)?;
    ping_once(&lower, &Ping::new(upper_address), LIMIT)?;
    ping_once(&lower, &Ping::new(Site::router_address()), LIMIT)?;
    // But it finds those that there are.
    lower.add_address(Host::LINK, upper_address, 64)?;
    lower.wait_address(Host::LINK, upper_address, AddressState::Duplicate, LIMIT)?;
    upper.add_address(Host::LINK, lower_address, 64)?;
    upper.wait_address(Host::LINK, lower_address, AddressState::Duplicate, LIMIT)?;
    upper.delete_address(Host::LINK, lower_address, 64)?;

    let mut asker = Station::new("asker", &site.switch, "up")?;
    let answer = asker.resolve(lower_address)?;
    assert_eq!((answer.ethernet_source, answer.advert.target_lladdr), (own, Some(own)));
    // A host that nobody knows is found by a question that came in a frame for the gateway alone.
    let mut quiet = Station::new("quiet", &site.switch, "down")?;
    let target = host_address(0x33);
    asker.ask(target)?;
    let who = quiet.await_question(target)?;
    quiet.answer(target, who)?;
    asker.await_answer(target, LIMIT)?;

    // What nobody answers does not circle between the echo and the other links.
    let (mut above, mut below) =
        (Station::new("above", &site.switch, "up")?, Station::new("below", &site.switch, "down")?);
    let dead = host_address(0x99);
    assert!(ping_once(&upper, &Ping::new(dead), Duration::from_secs(4)).is_err());
    for (name, station) in [("above", &mut above), ("below", &mut below)] {
        let frames = station.collect(Duration::ZERO)?;
        let searches = frames.iter().filter(|frame| is_search_for(frame, dead)).count();
        assert!((1..=12).contains(&searches), "{searches} searches {name}");
    }

    // Hosts that move past the access point.
    let (mut mover, address) = site.host("mover", "down", 0x41)?;
    mover.set_conf(Host::LINK, "keep_addr_on_down", 1)?;
    let pinger = Pinger::start(&site.router, &Ping::new(address), Duration::from_millis(50))?;
    pinger.wait_reply(LIMIT)?;
    for bridge in ["up", "down"] {
        mover.move_to(&site.switch, bridge)?;
        mover.set_down(Host::LINK)?;
        mover.set_up(Host::LINK)?;
        pinger.wait_reply(LIMIT)?;
    }
    drop(pinger);
    ping_until(&site.router, lower_address)?;

    let counters = magpie.status()?.counters;
    assert!(counters.get("discarded_own-frame").is_some_and(|count| *count > 0), "{counters:?}");
    magpie.stop()?;
    let traffic = point.stop()?;
    assert!(traffic.foreign.is_empty(), "not sent by {own}: {:?}", traffic.foreign);
    assert!(traffic.echoed > 10 && traffic.converted > 10, "{traffic:?}");
    Ok(())
}

fn frames_for_others_never_count() -> Outcome {
    let site = Site::with([Bridge::new("up"), Bridge::new("down")], |gateway, switch| {
        connect(&gateway.plug("wan"), &switch.plug("gw-wan").bridge("up"))?;
        switch.add_bridge(&Bridge::new("side"))?;
        gateway.add_bridge(&Bridge::new("lan").lladdr(BRIDGE))?;
        for (name, bridge) in [("lan-1", "down"), ("lan-2", "side")] {
            let far = format!("gw-{name}");
            connect(&gateway.plug(name).bridge("lan"), &switch.plug(&far).bridge(bridge))?;
        }
        Ok(())
    })?;
    let (_lower, lower_address) = site.host("lower", "down", 0x21)?;
    let (_upper, upper_address) = site.host("upper", "up", 0x11)?;
    // What the kernel gives to whoever listens on the bridge.
    let mut ear = Tester::attach(&site.gateway, "lan")?;
    for promiscuous in [false, true] {
        let file = ConfigFile::new(&format!(
            "[[relay]]\nlinks = [\"wan\", \"lan\"]\npromiscuous = {promiscuous}\n"
        ))?;
        let magpie = Magpie::run(&site.gateway, file.arguments())?;
        // In the second round the router asks for nobody again; the first data are lost.
        ping_until(&site.router, lower_address)?;
        magpie.await_host(lower_address, "lan")?;

        let round = if promiscuous { 'b' } else { 'a' };
        let mut asker = Station::new(&format!("asker-{round}"), &site.switch, "down")?;
        let mut other = Station::new(&format!("other-{round}"), &site.switch, "side")?;
        let mut above = Station::new(&format!("above-{round}"), &site.switch, "up")?;
        // Now the bridge knows where both are.
        for station in [&mut asker, &mut other] {
            station.resolve(upper_address)?;
        }
        ear.clear()?;
        above.clear()?;

        let number = if promiscuous { 0x60 } else { 0x50 };
        let [claimed, speaker, unknown] = [number, number + 1, number + 2].map(host_address);
        let to_other =
            |packet: Packet<'static>| Packet { ethernet_destination: other.lladdr(), ..packet };
        let mut frames = vec![
            to_other(asker.question(upper_address)),
            to_other(asker.question(unknown)),
            Packet { destination: upper_address, ..to_other(asker.question(upper_address)) },
            Packet { source: speaker, ..to_other(asker.question(other.link_local)) },
            to_other(asker.announcement(claimed)),
            to_other(asker.announcement(upper_address)),
        ];
        // Duplicate address detection for an address that is in use elsewhere.
        let question = asker.question(upper_address);
        let message =
            Message::Solicit(Solicit { target: upper_address, source_lladdr: None, nonce: None });
        frames.push(to_other(Packet {
            source: std::net::Ipv6Addr::UNSPECIFIED,
            message,
            ..question
        }));
        let sent = frames.len();
        for packet in &frames {
            asker.send_packet(packet)?;
            // The same for this station itself in another network.
            let own = Packet { ethernet_destination: BRIDGE, ..*packet };
            asker.send(&tagged(&own)?)?;
        }
        let mut arrived = 0;
        for _ in 0..sent {
            let what = "a frame to the other station";
            let other_lladdr = other.lladdr();
            other.expect(LIMIT, what, |frame| {
                (frame.packet()?.ethernet_destination == other_lladdr).then_some(())
            })?;
            arrived += 1;
        }
        assert_eq!(arrived, sent);

        let others = [unknown, claimed, speaker];
        asker.expect_none(Duration::from_secs(2), "an answer", |frame| {
            answer_for(frame, upper_address).is_some()
                || others.iter().any(|target| answer_for(frame, *target).is_some())
        })?;
        above.expect_none(Duration::ZERO, "a search", |frame| {
            others.iter().any(|target| is_search_for(frame, *target))
        })?;
        let hosts = magpie.hosts()?;
        assert!(
            !hosts.iter().any(|host| others.iter().any(|other| host.address == *other)),
            "{hosts:?}"
        );
        let host = hosts.iter().find(|host| host.address == upper_address);
        assert!(host.is_some_and(|host| host.link == "wan"), "{host:?}");
        let overheard = ear.collect(Duration::ZERO)?;
        let is_overheard = |frame: &&Frame| {
            frame.packet().is_some_and(|packet| packet.ethernet_destination == other.lladdr())
        };
        let overheard = overheard.iter().filter(is_overheard).count();
        assert_eq!(overheard, if promiscuous { sent } else { 0 }, "promiscuous {promiscuous}");

        // The device of the other link keeps nothing from anybody.
        above.clear()?;
        let elsewhere = LinkAddr([2, 0x4d, 0x67, 9, 9, 9]);
        for target in [lower_address, unknown] {
            let question = above.question(target);
            above.send_packet(&Packet { ethernet_destination: elsewhere, ..question })?;
        }
        above.expect_none(Duration::from_secs(1), "an answer", |frame| {
            [lower_address, unknown].iter().any(|target| answer_for(frame, *target).is_some())
        })?;
        above.resolve(lower_address)?;
        asker.resolve(upper_address)?;
        magpie.stop()?;
    }
    Ok(())
}

fn a_macvlan_waits_beside_its_device() -> Outcome {
    let site = Site::new()?;
    let add_child = || -> Outcome {
        let link = site.gateway.ifindex("lan")?;
        site.gateway.execute("add the macvlan child", |batch| {
            batch.add_macvlan(&NewMacvlan {
                name: "child",
                place: LinkPlace::default(),
                link,
                mode: MacvlanMode::Private,
            });
        })?;
        Ok(site.gateway.set_up("child")?)
    };
    let (_lower, address) = site.host("lower", "down", 0x21)?;
    let mut asker = Station::new("asker", &site.switch, "up")?;
    add_child()?;
    for (interfaces, waiting, other) in
        [("wan,lan,child", "child", "lan"), ("wan,child,lan", "lan", "child")]
    {
        let options = Options { interfaces: interfaces.to_owned(), ..Options::default() };
        let magpie = Magpie::start_with(&site.gateway, &options)?;
        await_status(&magpie, waiting, |link| {
            let remark = link.waiting.as_deref().unwrap_or_default();
            link.state == LinkState::Waiting && remark.contains(other)
        })?;
        await_status(&magpie, other, |link| link.state == LinkState::Up)?;
        // The one that is served sees the hosts; they are asked for once.
        let answer = asker.resolve(address)?;
        assert_eq!(answer.ethernet_source, site.gateway.lladdr("wan")?);
        magpie.await_host(address, other)?;
        ping_until(&site.router, address)?;
        magpie.stop()?;
    }

    // One that comes and goes while the daemon runs.
    site.gateway.delete_link("child")?;
    let options = Options { interfaces: "wan,lan,child".to_owned(), ..Options::default() };
    let magpie = Magpie::start_with(&site.gateway, &options)?;
    ping_until(&site.router, address)?;
    magpie.await_host(address, "lan")?;
    for _ in 0..2 {
        add_child()?;
        await_status(&magpie, "child", |link| {
            link.waiting.as_deref().is_some_and(|remark| remark.contains("lan"))
        })?;
        ping_until(&site.router, address)?;
        site.gateway.delete_link("child")?;
        await_status(&magpie, "child", |link| link.state == LinkState::Missing)?;
    }
    // Without its device beside it, it can be served.
    add_child()?;
    site.gateway.set_link(
        "lan",
        &magpie_sys::netlink::LinkChange {
            name: Some("trunk"),
            ..magpie_sys::netlink::LinkChange::default()
        },
    )?;
    magpie.stop()?;
    let magpie = Magpie::start_with(&site.gateway, &options)?;
    await_status(&magpie, "child", |link| link.state == LinkState::Up)?;
    ping_until(&site.router, address)?;
    magpie.await_host(address, "child")?;
    magpie.stop()?;
    Ok(())
}

/// Waits until a link is as `is_it` says: now or after the next events.
fn await_status(magpie: &Magpie, name: &str, is_it: impl Fn(&LinkStatus) -> bool) -> Outcome {
    let mut watch = Client::connect(&magpie.control())?.watch()?;
    loop {
        let status = magpie.status()?;
        let link = status.links.iter().find(|link| link.name == name);
        if link.is_some_and(&is_it) {
            return Ok(());
        }
        Magpie::await_event(&mut watch, &format!("{name}, which is {link:?}"), |event| {
            (event.kind == EventKind::LinkChanged).then_some(())
        })?;
    }
}

/// The packet as a frame of the 802.1Q network 10.
fn tagged(packet: &Packet<'_>) -> Result<Vec<u8>, Box<dyn Error>> {
    let mut buffer = [0; Packet::MAX_LEN];
    let length = packet.emit(&mut buffer)?;
    let (addresses, rest) = buffer.get(..length).unwrap_or_default().split_at(12);
    Ok([addresses, &[0x81, 0, 0, 10], rest].concat())
}

/// Without an address of its own a bridge changes it with its ports.
const BRIDGE: LinkAddr = LinkAddr([2, 0, 0, 0, 0, 0x12]);
