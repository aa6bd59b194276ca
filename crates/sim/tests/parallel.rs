//! Two Magpies between the same links.

use std::time::Duration;

use magpie_engine::{Config, LinkConfig, LinkId};
use magpie_sim::{Habits, HostId, Medium, NodeId, Roam, Stack, Validity, World, pairs, seeds};

const SECOND: Duration = Duration::from_secs(1);

/// A router, two links, and two Magpies between them.
fn network(seed: u64) -> (World, [LinkId; 2], HostId, [NodeId; 2]) {
    let mut world = World::new(seed);
    let links = [(); 2].map(|()| world.add_link(Medium::default()));
    let router = world.add_router(links[0]);
    let nodes = [(); 2].map(|()| {
        let answer_delay = Duration::from_millis(200);
        let config = Config::alike(LinkConfig { answer_delay, ..LinkConfig::default() });
        world.add_node(&links, config)
    });
    (world, links, router, nodes)
}

#[test]
fn t_05_dead_target_makes_no_storm() {
    for seed in seeds(0..20) {
        let (mut world, _, router, nodes) = network(seed);
        world.run_for(SECOND * 10);
        let count = |world: &World| -> u64 {
            nodes
                .iter()
                .filter_map(|node| world.counters(*node))
                .map(|counters| counters.solicits_sent_multicast)
                .sum()
        };
        let before = count(&world);
        world.ping(router, "2001:db8:1::dead:beef".parse().unwrap());
        world.run_for(SECOND * 120);
        let solicits = count(&world) - before;
        assert!(solicits <= 24, "seed {seed}: {solicits} solicitations on two links");
    }
}

#[test]
fn dad_18_new_hosts_keep_their_addresses() {
    for seed in seeds(0..20) {
        let (mut world, links, _, _) = network(seed);
        let mut hosts = Vec::new();
        for number in 0..10 {
            hosts.push(world.add_host_with(links[number % 2], Stack::Linux));
            hosts.push(world.add_host_with(links[number % 2], Stack::Plain));
            world.run_for(Duration::from_millis(500));
        }
        world.run_for(SECOND * 4);
        for host in hosts {
            assert_eq!(world.validity(host, world.address(host)), Some(Validity::Valid));
        }
    }
}

#[test]
fn hosts_reach_each_other_through_either() {
    for seed in seeds(0..10) {
        let (mut world, links, router, _) = network(seed);
        let mut hosts = vec![router];
        for number in 0..6 {
            hosts.push(world.add_host(links[number % 2]));
        }
        world.run_for(SECOND * 5);
        world.converge(&pairs(&hosts), SECOND * 10);
        assert_eq!(world.hop_limits_exceeded(), 0, "seed {seed}");
    }
}

#[test]
fn duplicates_are_told_and_owners_spared() {
    for seed in seeds(0..20) {
        let (mut world, links, _, _) = network(seed);
        let owner = world.add_host(links[1]);
        world.run_for(SECOND * 5);
        let address = world.address(owner);
        world.allow_duplicates();
        let claimant = world.add_host(links[0]);
        world.add_address(claimant, address);
        world.run_for(SECOND * 4);
        assert_eq!(world.validity(claimant, address), Some(Validity::Duplicate), "seed {seed}");
        assert_eq!(world.validity(owner, address), Some(Validity::Valid), "seed {seed}");
    }
}

#[test]
fn host_that_moves_is_found_again() {
    for seed in seeds(0..20) {
        let (mut world, links, router, _) = network(seed);
        let host = world.add_host(links[1]);
        world.run_for(SECOND * 5);
        let address = world.address(host);
        world.reach(router, address, SECOND * 2);
        for link in [links[0], links[1]] {
            world.run_for(Duration::from_secs(seed * 5));
            world.roam(host, link, Roam::Dad);
            world.run_for(SECOND * 3);
            assert_eq!(world.validity(host, address), Some(Validity::Valid), "seed {seed}");
            let took = world.reach(router, address, SECOND * 10);
            assert!(took < SECOND * 3, "seed {seed}: {took:?}\n{}", world.explain(address));
        }
        assert_eq!(world.hop_limits_exceeded(), 0, "seed {seed}");
    }
}

#[test]
fn one_takes_over_within_ten_seconds_when_the_other_dies() {
    for seed in seeds(0..20) {
        for dead in 0..2 {
            let (mut world, links, router, nodes) = network(seed);
            let hosts: Vec<_> = (0..5).map(|_| world.add_host(links[1])).collect();
            world.run_for(SECOND * 5);
            for host in &hosts {
                world.reach(router, world.address(*host), SECOND * 3);
            }
            world.run_for(SECOND * 10);
            world.power_off(nodes[dead]);
            // Neighbor caches that hold the dead one are reachable for up to 45 s; from then on
            // they need 5 s of delay and 3 s of probes (RFC 4861 section 10).
            world.run_for(SECOND * 46);
            for host in &hosts {
                world.converge(&[(router, *host)], SECOND * 10);
            }
        }
    }
}

#[test]
fn sixty_hosts_live_through_an_afternoon_with_two_magpies() {
    for seed in seeds(0..4) {
        let mut world = World::new(seed);
        let medium = Medium { loss: 0.1, jitter: Duration::from_millis(5), ..Medium::default() };
        let links = [
            world.add_link(medium),
            world.add_link(medium),
            world.add_link(Medium { echo: true, duplication: 0.02, ..medium }),
        ];
        let router = world.add_router(links[0]);
        let nodes = [(); 2].map(|()| {
            let answer_delay = Duration::from_millis(200);
            let config = Config::alike(LinkConfig { answer_delay, ..LinkConfig::default() });
            world.add_node(&links, config)
        });
        let mut hosts: Vec<_> = (0..60).map(|number| world.add_host(links[number % 3])).collect();
        world.run_for(SECOND * 60);
        world.live(Habits {
            talk: SECOND * 300,
            roam: Some(SECOND * 3_600),
            doze: Some(SECOND * 7_200),
            nap: SECOND * 600,
            leave: Some(SECOND * 7_200),
            links: links.to_vec(),
        });
        world.run_for(SECOND * 4 * 3_600);
        let talks = world.talks();
        assert!(talks.answered > 1_000, "seed {seed}: {talks:?}");
        assert!(talks.failed * 50 <= talks.answered, "seed {seed}: {talks:?}");
        let solicits: u64 = nodes
            .iter()
            .filter_map(|node| world.counters(*node))
            .map(|counters| counters.solicits_sent_multicast + counters.solicits_sent_unicast)
            .sum();
        // A probe a minute and host from each, and a few for each conversation and move.
        assert!(solicits < 100_000, "seed {seed}: {solicits} solicitations");
        world.calm();
        for link in links {
            world.set_medium(link, Medium::default());
        }
        world.run_for(SECOND * 60);
        hosts.push(router);
        let some: Vec<_> = pairs(&hosts).into_iter().step_by(7).collect();
        world.converge(&some, SECOND * 60);
    }
}
