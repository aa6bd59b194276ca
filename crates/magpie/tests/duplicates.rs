//! An address that two hosts want belongs to one of them, wherever they are, and a host that moves
//! keeps its own.
#![forbid(unsafe_code)]

mod common;

use std::error::Error;
use std::net::Ipv6Addr;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use common::{
    LIMIT, Magpie, Options, Outcome, PREFIX, Site, Station, answer_for, host_address,
    is_search_for, ping_until, solicited,
};
use magpie_control::EventKind;
use magpie_testnet::{
    AddressState, Frame, Host, HostOptions, Node, Ping, RouterAdvertiser, RouterAdvertiserOptions,
    connect, ping_once,
};
use magpie_wire::{LinkAddr, Message};

fn main() -> ExitCode {
    common::run(&[
        ("dad_01_an_owner_that_is_gone_is_not_defended", an_owner_that_is_gone_is_not_defended),
        ("dad_02_the_second_host_learns_of_the_first", the_second_host_learns_of_the_first),
        ("dad_03_a_probe_is_passed_on_as_it_is", a_probe_is_passed_on_as_it_is),
        ("dad_05_a_host_that_moves_keeps_its_address", a_host_that_moves_keeps_its_address),
        ("dad_06_of_two_hosts_at_once_at_most_one_wins", of_two_hosts_at_once_at_most_one_wins),
        ("dad_06_probes_at_once_reach_the_other_side", probes_at_once_reach_the_other_side),
        ("dad_07_hosts_succeed_though_links_are_bridged", hosts_succeed_though_links_are_bridged),
        (
            "dad_13_hosts_on_both_sides_configure_themselves",
            hosts_on_both_sides_configure_themselves,
        ),
        (
            "dad_14_the_gateways_own_address_is_not_defeated",
            the_gateways_own_address_is_not_defeated,
        ),
        ("dad_19_a_host_found_by_dad_is_answered_for_at_once", a_host_found_by_dad_is_answered_for),
    ])
}

fn an_owner_that_is_gone_is_not_defended() -> Outcome {
    let site = Site::new()?;
    let magpie = Magpie::start(&site.gateway)?;
    let (owner, address) = site.host("owner", "down", 0x21)?;
    ping_once(&site.router, &Ping::new(address), LIMIT)?;
    magpie.await_host(address, "lan")?;

    owner.unplug()?;
    let (heir, inherited) = site.host("heir", "up", 0x21)?;
    assert_eq!(inherited, address);
    let (_peer, peer_address) = site.host("peer", "down", 0x22)?;
    ping_once(&heir, &Ping::new(peer_address), LIMIT)?;
    magpie.await_host(address, "wan")?;
    magpie.stop()?;
    Ok(())
}

fn the_second_host_learns_of_the_first() -> Outcome {
    let site = Site::new()?;
    // Known to nobody when the daemon starts.
    let (silent, silent_address) = site.host("silent", "down", 0x20)?;
    let magpie = Magpie::start(&site.gateway)?;
    let mut watch = magpie.watch()?;
    let (lower, lower_address) = site.host("lower", "down", 0x21)?;
    let (upper, upper_address) = site.host("upper", "up", 0x11)?;
    magpie.await_host(lower_address, "lan")?;
    magpie.await_host(upper_address, "wan")?;

    for address in [lower_address, silent_address] {
        upper.add_address(Host::LINK, address, 64)?;
    }
    lower.add_address(Host::LINK, upper_address, 64)?;
    for address in [lower_address, silent_address] {
        upper.wait_address(Host::LINK, address, AddressState::Duplicate, LIMIT)?;
    }
    lower.wait_address(Host::LINK, upper_address, AddressState::Duplicate, LIMIT)?;

    for (owner, address) in
        [(&lower, lower_address), (&upper, upper_address), (&silent, silent_address)]
    {
        owner.wait_address(Host::LINK, address, AddressState::Valid, LIMIT)?;
    }
    for address in [lower_address, silent_address] {
        ping_once(&site.router, &Ping::new(address), LIMIT)?;
    }
    Magpie::await_event(&mut watch, "the duplicate to be told", |event| {
        (event.kind == EventKind::Duplicate && event.address == Some(lower_address.into()))
            .then_some(())
    })?;
    magpie.stop()?;
    Ok(())
}

fn a_probe_is_passed_on_as_it_is() -> Outcome {
    let site = Site::new()?;
    let magpie = Magpie::start(&site.gateway)?;
    let mut upper = Station::new("upper", &site.switch, "up")?;
    let mut bystander = Station::new("bystander", &site.switch, "up")?;
    let mut lower = Station::new("lower", &site.switch, "down")?;
    let target = host_address(0x77);
    let nonce = [1, 2, 3, 4, 5, 6];
    upper.probe(target, Some(nonce))?;
    let own = site.gateway.lladdr("lan")?;
    lower.expect(LIMIT, "the probe, passed on", |frame| {
        let packet = frame.packet()?;
        let Message::Solicit(solicit) = packet.message else { return None };
        if solicit.target != target {
            return None;
        }
        assert!(packet.is_dad(), "{packet:?}");
        assert_eq!(packet.ethernet_source, own);
        assert_eq!(solicit.source_lladdr, None);
        assert_eq!(solicit.nonce.map(|nonce| nonce.as_bytes().to_vec()), Some(nonce.to_vec()));
        assert_eq!(frame.icmpv6().map(|message| message.hop_limit), Some(255));
        Some(())
    })?;
    // Neither does it come back, nor is there an answer for an address that is free.
    let window = Duration::from_secs(2);
    upper.expect_none(window, "the probe or an answer to it", |frame| {
        is_probe_for(frame, target) || answer_for(frame, target).is_some()
    })?;
    let count = |station: &mut Station| -> Result<usize, Box<dyn Error>> {
        let frames = station.collect(Duration::ZERO)?;
        Ok(frames.iter().filter(|frame| is_probe_for(frame, target)).count())
    };
    assert_eq!(count(&mut bystander)?, 1, "the probe itself, and no other");
    assert_eq!(count(&mut lower)?, 0, "it was passed on once already");
    magpie.stop()?;
    Ok(())
}

fn a_host_that_moves_keeps_its_address() -> Outcome {
    let site = Site::new()?;
    let magpie = Magpie::start(&site.gateway)?;
    let (upper, upper_address) = site.host("upper", "up", 0x11)?;
    let (lower, lower_address) = site.host("lower", "down", 0x21)?;
    let (mut mover, address) = site.host("mover", "down", 0x30)?;
    mover.set_conf(Host::LINK, "keep_addr_on_down", 1)?;
    ping_once(&upper, &Ping::new(address), LIMIT)?;
    magpie.await_host(address, "lan")?;

    for (bridge, link) in [("up", "wan"), ("down", "lan")] {
        let mut watch = magpie.watch()?;
        mover.move_to(&site.switch, bridge)?;
        // Its address is checked for duplicates once more, while it is known at the old place.
        mover.set_down(Host::LINK)?;
        mover.set_up(Host::LINK)?;
        mover.wait_addresses(Host::LINK, LIMIT, "the address to be in use again", |found| {
            let found = found.iter().find(|found| found.address == address)?;
            assert!(!found.is_duplicate(), "moved {bridge}: {found:?}");
            (!found.is_tentative()).then_some(())
        })?;
        Magpie::await_move(&mut watch, address, link)?;
        for peer in [upper_address, lower_address] {
            ping_once(&mover, &Ping::new(peer), LIMIT)?;
        }
        for peer in [&upper, &lower] {
            ping_until(peer, address)?;
        }
    }
    magpie.stop()?;
    Ok(())
}

fn of_two_hosts_at_once_at_most_one_wins() -> Outcome {
    const ROUNDS: u16 = 20;
    let site = Site::new()?;
    let magpie = Magpie::start(&site.gateway)?;
    let (upper, _) = site.host("upper", "up", 0x11)?;
    let (lower, _) = site.host("lower", "down", 0x21)?;
    let addresses: Vec<_> = (0..ROUNDS).map(|round| host_address(0x1000 + round)).collect();
    let hosts = [&upper, &lower];
    for address in &addresses {
        for host in hosts {
            host.add_address(Host::LINK, *address, 64)?;
        }
    }
    let mut winners = Vec::new();
    for host in hosts {
        winners.push(host.wait_addresses(Host::LINK, LIMIT, "all verdicts", |found| {
            let found = found.iter().filter(|found| addresses.contains(&found.address));
            if found.clone().any(|found| found.is_tentative() && !found.is_duplicate()) {
                return None;
            }
            let won = found.filter(|found| !found.is_duplicate()).map(|found| found.address);
            Some(won.collect::<Vec<_>>())
        })?);
    }
    let [upper_won, lower_won] = winners.as_slice() else { return Err("two hosts".into()) };
    let both: Vec<_> = upper_won.iter().filter(|address| lower_won.contains(address)).collect();
    assert!(both.is_empty(), "{both:?} are in use on both links:\n{}", magpie.log());
    assert!(!upper_won.is_empty() || !lower_won.is_empty(), "nobody ever won");
    magpie.stop()?;
    Ok(())
}

fn probes_at_once_reach_the_other_side() -> Outcome {
    let site = Site::new()?;
    let magpie = Magpie::start(&site.gateway)?;
    let mut upper = Station::new("upper", &site.switch, "up")?;
    let mut lower = Station::new("lower", &site.switch, "down")?;
    for round in 0..10_u8 {
        let target = host_address(0x2000 + u16::from(round));
        let nonces = [[1, 1, 1, 1, 1, round], [2, 2, 2, 2, 2, round]];
        upper.probe(target, Some(nonces[0]))?;
        lower.probe(target, Some(nonces[1]))?;
        let start = Instant::now();
        for (station, nonce) in [(&mut upper, nonces[1]), (&mut lower, nonces[0])] {
            station.expect(LIMIT, "the probe of the other side", |frame| {
                let packet = frame.packet()?;
                let Message::Solicit(solicit) = packet.message else { return None };
                let theirs = solicit.nonce.is_some_and(|theirs| theirs.as_bytes() == nonce);
                (solicit.target == target && packet.is_dad() && theirs).then_some(())
            })?;
        }
        assert!(start.elapsed() < Duration::from_secs(1), "a host waits for one second");
    }
    magpie.stop()?;
    Ok(())
}

fn hosts_succeed_though_links_are_bridged() -> Outcome {
    let site = Site::new()?;
    let magpie = Magpie::start(&site.gateway)?;
    let mut watch = magpie.watch()?;
    connect(
        &site.switch.plug("cross-up").bridge("up"),
        &site.switch.plug("cross-down").bridge("down"),
    )?;
    let mut observer = Station::new("observer", &site.switch, "up")?;
    let (lower, lower_address) = site.host("lower", "down", 0x21)?;
    let (upper, upper_address) = site.host("upper", "up", 0x11)?;
    // A question that nobody answers is the one that circles.
    observer.clear()?;
    let dead = host_address(0x99);
    observer.ask(dead)?;
    let start = Instant::now();
    let window = Duration::from_secs(4);
    let own = [site.gateway.lladdr("wan")?, site.gateway.lladdr("lan")?];
    let solicitations = observer
        .collect(window)?
        .iter()
        .filter_map(|frame| {
            let packet = frame.packet()?;
            solicited(&packet)?;
            own.contains(&packet.ethernet_source).then_some(())
        })
        .count();
    let seconds = start.elapsed().as_secs_f64();
    assert!(solicitations < 40, "{solicitations} solicitations in {seconds} s");
    ping_once(&upper, &Ping::new(lower_address), LIMIT)?;
    ping_once(&lower, &Ping::new(upper_address), LIMIT)?;
    Magpie::await_event(&mut watch, "the loop to be told", |event| {
        (event.kind == EventKind::Loop).then_some(())
    })?;
    let counters = magpie.status()?.counters;
    let seen: u64 = ["discarded_own-frame", "discarded_own-nonce"]
        .iter()
        .filter_map(|name| counters.get(*name))
        .sum();
    assert!(seen > 0, "{counters:?}");
    magpie.stop()?;
    Ok(())
}

fn hosts_on_both_sides_configure_themselves() -> Outcome {
    let site = Site::new()?;
    let magpie = Magpie::start(&site.gateway)?;
    let options = RouterAdvertiserOptions::new(PREFIX);
    let _lower_router = RouterAdvertiser::start(&site.gateway, "lan", &options)?;
    let upper = Host::new("upper", &site.switch, "up", &HostOptions::default())?;
    let lower = Host::new("lower", &site.switch, "down", &HostOptions::default())?;
    let upper_address = upper.wait_address_in(Host::LINK, PREFIX, 64, LIMIT)?;
    let lower_address = lower.wait_address_in(Host::LINK, PREFIX, 64, LIMIT)?;
    ping_once(&upper, &Ping::new(lower_address), LIMIT)?;
    ping_once(&lower, &Ping::new(upper_address), LIMIT)?;
    ping_once(&lower, &Ping::new(Site::router_address()), LIMIT)?;
    magpie.stop()?;
    Ok(())
}

fn the_gateways_own_address_is_not_defeated() -> Outcome {
    let site = Site::new()?;
    let options = Options::default().with(["--prefix", &format!("{PREFIX}/64")]);
    let magpie = Magpie::start_with(&site.gateway, &options)?;
    let (lower, lower_address) = site.host("lower", "down", 0x21)?;
    ping_once(&site.router, &Ping::new(lower_address), LIMIT)?;
    for (link, number) in [("wan", 0x50), ("lan", 0x51)] {
        let address = host_address(number);
        // A /128, so that the subnet stays where it is.
        site.gateway.add_address(link, address, 128)?;
        site.gateway.wait_address(link, address, AddressState::Valid, LIMIT)?;
        for host in [&site.router, lower.node()] {
            ping_once(host, &Ping::new(address), LIMIT)?;
        }
    }
    magpie.stop()?;
    Ok(())
}

fn a_host_found_by_dad_is_answered_for() -> Outcome {
    const NUMBERS: [u16; 5] = [0x61, 0x62, 0x63, 0x64, 0x65];
    let site = Site::new()?;
    let magpie = Magpie::start(&site.gateway)?;
    let (lower, _) = site.host("lower", "down", 0x21)?;
    let mut asker = Station::new("asker", &site.switch, "up")?;
    let mut observer = Station::new("observer", &site.switch, "down")?;
    for number in NUMBERS {
        lower.add_address(Host::LINK, host_address(number), 64)?;
    }
    let mut waited = Vec::new();
    for number in NUMBERS {
        let address = host_address(number);
        lower.wait_address(Host::LINK, address, AddressState::Valid, LIMIT)?;
        magpie.await_host(address, "lan")?;
        observer.clear()?;
        asker.ask(address)?;
        let answer = asker.await_answer(address, LIMIT)?;
        waited.push(answer.waited);
        assert!(answer.advert.solicited && !answer.advert.overrides, "{answer:?}");
        assert_eq!(answer.ethernet_source, own(&site.gateway)?);
        assert_eq!(answer.advert.target_lladdr, Some(own(&site.gateway)?));
        let searches = observer
            .collect(Duration::ZERO)?
            .into_iter()
            .filter(|frame| is_search_for(frame, address))
            .count();
        assert_eq!(searches, 0, "{address}");
    }
    waited.sort_unstable();
    // One or the other may be late on a machine that is busy with other things.
    assert!(waited[NUMBERS.len() / 2] < Duration::from_millis(100), "{waited:?}");
    magpie.stop()?;
    Ok(())
}

fn is_probe_for(frame: &Frame, target: Ipv6Addr) -> bool {
    frame.packet().is_some_and(|packet| packet.is_dad() && solicited(&packet) == Some(target))
}

fn own(gateway: &Node) -> Result<LinkAddr, Box<dyn Error>> {
    Ok(gateway.lladdr("wan")?)
}
