//! Two gateways between the same links serve them together: no storm, no false duplicates, and one
//! takes over when the other one dies.
#![forbid(unsafe_code)]

mod common;

use std::error::Error;
use std::net::Ipv6Addr;
use std::process::ExitCode;
use std::time::Duration;

use common::{
    LIMIT, Magpie, Outcome, PREFIX, Site, Station, host_address, is_search_for, ping_until,
    solicited,
};
use magpie_testnet::{
    AddressState, Host, HostOptions, Node, Ping, Pinger, RouterAdvertiser, RouterAdvertiserOptions,
    ping_once,
};
use magpie_wire::LinkAddr;

fn main() -> ExitCode {
    common::run(&[
        ("t_05_a_dead_target_causes_no_storm", a_dead_target_causes_no_storm),
        ("dad_18_hosts_keep_their_addresses", hosts_keep_their_addresses),
        ("dad_02_duplicates_are_still_found", duplicates_are_still_found),
        ("one_takes_over_when_the_other_dies", one_takes_over_when_the_other_dies),
        ("a_host_that_moves_is_found_by_both", a_host_that_moves_is_found_by_both),
    ])
}

/// A site with two gateways that run the daemon.
struct Pair {
    site: Site,
    second: Node,
    daemons: [Magpie; 2],
}

impl Pair {
    fn new() -> Result<Self, Box<dyn Error>> {
        let site = Site::new()?;
        let second = site.add_gateway("gw2")?;
        let daemons = [Magpie::start(&site.gateway)?, Magpie::start(&second)?];
        Ok(Self { site, second, daemons })
    }

    fn stop(self) -> Outcome {
        for daemon in self.daemons {
            daemon.stop()?;
        }
        Ok(())
    }
}

fn a_dead_target_causes_no_storm() -> Outcome {
    let pair = Pair::new()?;
    let mut upper = Station::new("upper", &pair.site.switch, "up")?;
    let mut lower = Station::new("lower", &pair.site.switch, "down")?;
    let (asker, _) = pair.site.host("asker", "up", 0x11)?;
    let dead = host_address(0x99);
    upper.clear()?;
    lower.clear()?;
    // The asker's kernel sends three solicitations and gives up.
    let ping = ping_once(&asker, &Ping::new(dead), Duration::from_secs(8));
    assert!(ping.is_err(), "{dead} answers");
    for (name, station) in [("up", &mut upper), ("down", &mut lower)] {
        let frames = station.collect(Duration::ZERO)?;
        let searches = frames.iter().filter(|frame| is_search_for(frame, dead)).count();
        assert!((1..=12).contains(&searches), "{searches} solicitations for {dead} on {name}");
        let all = frames.iter().filter_map(|frame| solicited(&frame.packet()?)).count();
        assert!(all <= 60, "{all} solicitations on {name}");
    }
    pair.stop()
}

fn hosts_keep_their_addresses() -> Outcome {
    let pair = Pair::new()?;
    let options = RouterAdvertiserOptions::new(PREFIX);
    let _lower_router = RouterAdvertiser::start(&pair.site.gateway, "lan", &options)?;
    let site = &pair.site;
    let (upper, upper_address) = site.host("upper", "up", 0x11)?;
    let (lower, lower_address) = site.host("lower", "down", 0x21)?;
    for (name, bridge) in [("upper-auto", "up"), ("lower-auto", "down")] {
        let host = Host::new(name, &site.switch, bridge, &HostOptions::default())?;
        let address = host.wait_address_in(Host::LINK, PREFIX, 64, LIMIT)?;
        for peer in [&upper, &lower] {
            ping_until(peer, address)?;
        }
    }
    ping_until(&upper, lower_address)?;
    ping_until(&lower, upper_address)?;
    pair.stop()
}

fn duplicates_are_still_found() -> Outcome {
    let pair = Pair::new()?;
    let (lower, lower_address) = pair.site.host("lower", "down", 0x21)?;
    let (upper, upper_address) = pair.site.host("upper", "up", 0x11)?;
    for daemon in &pair.daemons {
        daemon.await_host(lower_address, "lan")?;
        daemon.await_host(upper_address, "wan")?;
    }
    upper.add_address(Host::LINK, lower_address, 64)?;
    lower.add_address(Host::LINK, upper_address, 64)?;
    upper.wait_address(Host::LINK, lower_address, AddressState::Duplicate, LIMIT)?;
    lower.wait_address(Host::LINK, upper_address, AddressState::Duplicate, LIMIT)?;
    lower.wait_address(Host::LINK, lower_address, AddressState::Valid, LIMIT)?;
    upper.wait_address(Host::LINK, upper_address, AddressState::Valid, LIMIT)?;
    ping_until(&pair.site.router, lower_address)?;
    pair.stop()
}

fn one_takes_over_when_the_other_dies() -> Outcome {
    let pair = Pair::new()?;
    let (upper, upper_address) = pair.site.host("upper", "up", 0x11)?;
    let (lower, lower_address) = pair.site.host("lower", "down", 0x21)?;
    for host in [&upper, &lower] {
        // A dead neighbor is noticed within 6 seconds.
        host.set_neigh(Host::LINK, "base_reachable_time_ms", 1000)?;
        host.set_neigh(Host::LINK, "delay_first_probe_time", 1)?;
    }
    let interval = Duration::from_millis(100);
    let downwards = Pinger::start(&upper, &Ping::new(lower_address), interval)?;
    let upwards = Pinger::start(&lower, &Ping::new(upper_address), interval)?;
    for pinger in [&downwards, &upwards] {
        pinger.wait_reply(LIMIT)?;
    }

    let Pair { site, second, daemons: [first, other] } = pair;
    let by = carrier(&upper, lower_address)?;
    let (dead, dead_daemon, alive) = if by == site.gateway.lladdr("wan")? {
        (&site.gateway, first, other)
    } else {
        assert_eq!(by, second.lladdr("wan")?, "somebody else carries the traffic");
        (&second, other, first)
    };
    dead_daemon.kill()?;
    for port in Site::gateway_ports(dead) {
        site.switch.set_down(&port)?;
    }
    for pinger in [&downwards, &upwards] {
        pinger.wait_reply(LIMIT)?;
    }
    let outages = [downwards, upwards].map(|pinger| pinger.stop().longest_outage());
    // The dead one did carry traffic.
    assert!(outages.iter().any(|outage| *outage > Duration::from_millis(500)), "{outages:?}");
    assert!(outages.iter().all(|outage| *outage <= Duration::from_secs(10)), "{outages:?}");
    alive.stop()?;
    Ok(())
}

fn a_host_that_moves_is_found_by_both() -> Outcome {
    let pair = Pair::new()?;
    let site = &pair.site;
    let (upper, upper_address) = site.host("upper", "up", 0x11)?;
    let (lower, _) = site.host("lower", "down", 0x21)?;
    let (mut mover, address) = site.host("mover", "down", 0x30)?;
    mover.set_conf(Host::LINK, "keep_addr_on_down", 1)?;
    ping_until(&upper, address)?;
    // One of them answered the ping; to see a move, both must know from where.
    for daemon in &pair.daemons {
        daemon.await_host(address, "lan")?;
    }
    for (bridge, link) in [("up", "wan"), ("down", "lan")] {
        let mut watches = [pair.daemons[0].watch()?, pair.daemons[1].watch()?];
        mover.move_to(&site.switch, bridge)?;
        mover.set_down(Host::LINK)?;
        mover.set_up(Host::LINK)?;
        mover.wait_addresses(Host::LINK, LIMIT, "the address to be in use again", |found| {
            let found = found.iter().find(|found| found.address == address)?;
            assert!(!found.is_duplicate(), "moved {bridge}: {found:?}");
            (!found.is_tentative()).then_some(())
        })?;
        for watch in &mut watches {
            Magpie::await_move(watch, address, link)?;
        }
        ping_until(&mover, upper_address)?;
        for peer in [&upper, &lower] {
            ping_until(peer, address)?;
        }
    }
    pair.stop()
}

/// Whom a host sends its packets for `address` to.
fn carrier(host: &Host, address: Ipv6Addr) -> Result<LinkAddr, Box<dyn Error>> {
    Ok(host.wait_neighbors(LIMIT, "the neighbor of the traffic", |found| {
        found.iter().find(|found| found.address == address)?.lladdr
    })?)
}
