//! Magpies in a row: what one finds, the next one passes on.

use std::time::Duration;

use magpie_engine::{Config, LinkId};
use magpie_sim::{HostId, Medium, Roam, Validity, World, pairs, seeds};

const SECOND: Duration = Duration::from_secs(1);

/// Three links in a row with a Magpie between each two, a router at one end, and a host on each.
fn network(seed: u64) -> (World, [LinkId; 3], HostId, [HostId; 3]) {
    let mut world = World::new(seed);
    let links = [(); 3].map(|()| world.add_link(Medium::default()));
    let router = world.add_router(links[0]);
    world.add_node(&[links[0], links[1]], Config::default());
    world.add_node(&[links[1], links[2]], Config::default());
    let hosts = links.map(|link| world.add_host(link));
    world.run_for(SECOND * 5);
    (world, links, router, hosts)
}

#[test]
fn ends_of_the_chain_reach_each_other() {
    for seed in seeds(0..20) {
        let (mut world, _, router, hosts) = network(seed);
        let all = [router, hosts[0], hosts[1], hosts[2]];
        let took = world.converge(&pairs(&all), SECOND * 20);
        assert!(took < SECOND * 3, "seed {seed}: {took:?}");
        assert_eq!(world.hop_limits_exceeded(), 0, "seed {seed}");
    }
}

#[test]
fn duplicate_at_the_other_end_is_told() {
    for seed in seeds(0..20) {
        let (mut world, links, _, hosts) = network(seed);
        world.allow_duplicates();
        let address = world.address(hosts[2]);
        let claimant = world.add_host(links[0]);
        world.add_address(claimant, address);
        world.run_for(SECOND * 4);
        assert_eq!(
            world.validity(claimant, address),
            Some(Validity::Duplicate),
            "seed {seed}\n{}",
            world.explain(address)
        );
        assert_eq!(world.validity(hosts[2], address), Some(Validity::Valid), "seed {seed}");
    }
}

#[test]
fn host_that_walks_along_the_chain_is_followed() {
    for seed in seeds(0..20) {
        let (mut world, links, router, hosts) = network(seed);
        let host = hosts[2];
        let address = world.address(host);
        world.reach(router, address, SECOND * 5);
        for link in [links[1], links[0], links[1], links[2], links[0], links[2]] {
            world.run_for(Duration::from_secs(5 + seed * 3));
            world.roam(host, link, Roam::Dad);
            world.run_for(SECOND * 4);
            assert_eq!(world.validity(host, address), Some(Validity::Valid), "seed {seed}");
            // Who moved behind another Magpie is not announced: what that one says is hearsay.
            // The router finds out by itself, in the time of RFC 4861 section 10: up to 45 s
            // reachable, 5 s of delay, 3 s of probes.
            world.reach(router, address, SECOND * 60);
        }
    }
}

#[test]
fn dead_target_is_asked_for_a_few_times_on_each_link() {
    for seed in seeds(0..20) {
        let (mut world, _, router, _) = network(seed);
        let before = world.frames_sent();
        world.ping(router, "2001:db8:1::dead:beef".parse().unwrap());
        world.run_for(SECOND * 60);
        let frames = world.frames_sent() - before;
        // Three by the router, three by each Magpie on either side of it, and some upkeep.
        assert!(frames < 60, "seed {seed}: {frames} frames");
    }
}
