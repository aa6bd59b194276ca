//! Whoever floods a link with questions or claims hurts neither the other links nor the hosts that
//! are known.

use std::net::Ipv6Addr;
use std::time::Duration;

use magpie_engine::{Config, Discard, Limits, LinkId};
use magpie_sim::{HostId, Medium, NodeId, World, seeds};
use magpie_wire::{LinkAddr, Message, Nonce, Packet, Solicit, multicast_lladdr, solicited_node};

const SECOND: Duration = Duration::from_secs(1);

fn limits() -> Limits {
    Limits {
        bindings: 300,
        bindings_per_link: 200,
        bindings_per_lladdr: 50,
        resolutions_per_link: 32,
        held_down: 100,
        solicits_per_second: 20,
        probes_per_second: 200,
        ..Limits::default()
    }
}

fn network(seed: u64) -> (World, LinkId, LinkId, HostId, NodeId, Vec<HostId>) {
    let mut world = World::new(seed);
    let up = world.add_link(Medium::default());
    let down = world.add_link(Medium::default());
    let router = world.add_router(up);
    let node = world.add_node(&[up, down], Config { limits: limits(), ..Config::default() });
    let hosts: Vec<_> = (0..10).map(|_| world.add_host(down)).collect();
    world.run_for(SECOND * 4);
    for host in &hosts {
        world.reach(router, world.address(*host), SECOND);
    }
    (world, up, down, router, node, hosts)
}

/// An address that nobody has.
fn nobody(number: u32) -> Ipv6Addr {
    let [a, b] = [number >> 16, number & 0xffff].map(|part| u16::try_from(part).unwrap_or(0));
    Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0xdead, 1, a, b)
}

fn question(target: Ipv6Addr, source: Ipv6Addr, lladdr: LinkAddr) -> Packet<'static> {
    let group = solicited_node(target);
    let probe = source.is_unspecified();
    let source_lladdr = (!probe).then_some(lladdr);
    Packet {
        ethernet_source: lladdr,
        ethernet_destination: multicast_lladdr(group),
        source,
        destination: group,
        message: Message::Solicit(Solicit {
            target,
            source_lladdr,
            nonce: probe.then(|| Nonce::new([7, 7, 7, 7, 7, 7])),
        }),
    }
}

#[test]
fn t_03_nso_10_known_hosts_are_answered_for_while_unknown_ones_are_scanned() {
    for seed in seeds(0..5) {
        let (mut world, up, _, router, node, hosts) = network(seed);
        let before = world.counters(node).unwrap().solicits_sent_multicast;
        let attacker = LinkAddr([2, 9, 0, 0, 0, 1]);
        for number in 0..20_000 {
            let packet = question(nobody(number), "fe80::bad".parse().unwrap(), attacker);
            world.inject(up, packet);
            world.run_for(Duration::from_micros(500));
            if number % 2_000 == 0 {
                let address = world.address(hosts[usize::try_from(number / 2_000).unwrap()]);
                let ping = world.ping(router, address);
                world.run_for(Duration::from_millis(10));
                let took = world.answered(ping);
                assert!(took.is_some(), "seed {seed}, {number}\n{}", world.explain(address));
            }
        }
        let counters = world.counters(node).unwrap();
        let solicits = counters.solicits_sent_multicast - before;
        assert!(solicits <= 20 * 12, "seed {seed}: {solicits} solicitations in ten seconds");
        assert!(counters.discarded(Discard::SolicitRate) > 0, "seed {seed}");
        world.run_for(SECOND * 30);
        for host in &hosts {
            world.reach(router, world.address(*host), SECOND);
        }
    }
}

#[test]
fn t_04_rte_07_one_station_that_claims_everything_stops_at_its_cap() {
    for seed in seeds(0..5) {
        let (mut world, _, down, router, node, hosts) = network(seed);
        let before = world.routes(node);
        let greedy = LinkAddr([2, 9, 0, 0, 0, 2]);
        for number in 0..5_000 {
            world.inject(down, question(nobody(number), Ipv6Addr::UNSPECIFIED, greedy));
            world.run_for(SECOND / 500);
        }
        let claimed = world.bindings(node);
        let claimed = claimed.iter().filter(|binding| binding.lladdr == Some(greedy)).count();
        assert!(claimed <= limits().bindings_per_lladdr, "seed {seed}: {claimed} bindings");
        // None of them ever answered.
        assert_eq!(world.routes(node), before, "seed {seed}");
        for host in &hosts {
            world.reach(router, world.address(*host), SECOND);
        }
        let late = world.add_host(down);
        world.run_for(SECOND * 4);
        world.reach(router, world.address(late), SECOND);
    }
}

#[test]
fn t_04_many_stations_stop_at_the_cap_of_their_link() {
    for seed in seeds(0..5) {
        let (mut world, up, down, router, node, hosts) = network(seed);
        for number in 0..5_000u32 {
            let [a, b, c, d] = number.to_be_bytes();
            let station = LinkAddr([2, 9, a, b, c, d]);
            world.inject(down, question(nobody(number), Ipv6Addr::UNSPECIFIED, station));
            world.run_for(SECOND / 500);
        }
        let bindings = world.bindings(node).len();
        assert!(bindings <= limits().bindings, "seed {seed}: {bindings} bindings");
        for host in &hosts {
            world.reach(router, world.address(*host), SECOND);
        }
        let elsewhere = world.add_host(up);
        world.run_for(SECOND * 60);
        world.reach(elsewhere, world.address(hosts[0]), SECOND * 2);
        let late = world.add_host(down);
        world.run_for(SECOND * 4);
        world.reach(router, world.address(late), SECOND);
    }
}
