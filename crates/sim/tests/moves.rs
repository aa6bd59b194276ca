//! Hosts that move between links keep their address and are found again quickly.

use std::time::Duration;

use magpie_engine::{Config, Event, LinkId};
use magpie_sim::{HostId, Medium, NodeId, Roam, Validity, World, seeds};

const SECOND: Duration = Duration::from_secs(1);

/// A router, a Magpie between three links, and a host on the second that the router talks to.
fn network(seed: u64) -> (World, [LinkId; 3], HostId, NodeId, HostId) {
    let mut world = World::new(seed);
    let links = [(); 3].map(|()| world.add_link(Medium::default()));
    let router = world.add_router(links[0]);
    let node = world.add_node(&links, Config::default());
    let host = world.add_host(links[1]);
    world.run_for(SECOND * 4);
    world.reach(router, world.address(host), SECOND);
    (world, links, router, node, host)
}

#[test]
fn dad_05_host_that_probes_on_its_new_link_keeps_its_address() {
    for seed in seeds(0..40) {
        let (mut world, links, router, node, host) = network(seed);
        let address = world.address(host);
        for link in [links[2], links[1], links[0], links[2]] {
            world.run_for(Duration::from_secs(seed * 3));
            world.roam(host, link, Roam::Dad);
            world.run_for(SECOND * 3);
            assert_eq!(world.validity(host, address), Some(Validity::Valid), "seed {seed}");
            let took = world.reach(router, address, SECOND * 5);
            assert!(took < SECOND, "seed {seed}: {took:?}\n{}", world.explain(address));
            assert!(world.routes(node).contains(&(address, link)), "seed {seed}");
        }
        let moves = world.events(node).iter();
        let moves = moves.filter(|(_, event)| matches!(event, Event::Moved { .. })).count();
        assert_eq!(moves, 4, "seed {seed}");
    }
}

#[test]
fn host_that_only_asks_for_its_router_is_found_within_two_seconds() {
    for seed in seeds(0..40) {
        let (mut world, links, router, _, host) = network(seed);
        let address = world.address(host);
        for link in [links[2], links[1], links[2]] {
            world.run_for(Duration::from_secs(seed * 3));
            world.roam(host, link, Roam::Quiet);
            let took = world.reach(router, address, SECOND * 10);
            assert!(took < SECOND * 2, "seed {seed}: {took:?}\n{}", world.explain(address));
        }
    }
}

#[test]
fn nao_13_neighbor_that_still_looks_at_the_old_link_is_told() {
    for seed in seeds(0..40) {
        let (mut world, links, router, _, host) = network(seed);
        let neighbor = world.add_host(links[1]);
        world.run_for(SECOND * 3);
        let address = world.address(host);
        world.reach(neighbor, address, SECOND);
        world.reach(router, address, SECOND);
        // To the router the Magpie stands for the host before and after; to its old neighbor on
        // the link the host itself did.
        world.roam(host, links[2], Roam::Dad);
        world.run_for(SECOND * 4);
        let took = world.reach(neighbor, address, SECOND * 60);
        assert!(took < SECOND, "seed {seed}: {took:?}\n{}", world.explain(address));
    }
}

#[test]
fn silent_host_is_found_when_neighbors_give_its_old_place_up() {
    for seed in seeds(0..40) {
        let (mut world, links, router, _, host) = network(seed);
        let address = world.address(host);
        world.roam(host, links[2], Roam::Silent);
        let took = world.reach(router, address, SECOND * 90);
        assert!(took < SECOND * 60, "seed {seed}: {took:?}\n{}", world.explain(address));
    }
}

#[test]
fn nai_09_claim_on_another_link_fails_while_the_owner_answers() {
    for seed in seeds(0..20) {
        let (mut world, links, router, node, host) = network(seed);
        let address = world.address(host);
        world.allow_duplicates();
        for age in [0, 20, 70, 400] {
            world.run_for(Duration::from_secs(age));
            let thief = world.add_host(links[2]);
            world.add_address(thief, address);
            world.run_for(SECOND * 4);
            assert_eq!(world.validity(thief, address), Some(Validity::Duplicate), "seed {seed}");
            assert!(world.routes(node).contains(&(address, links[1])), "seed {seed}");
            world.reach(router, address, SECOND);
        }
    }
}

#[test]
fn lnk_14_addresses_of_one_station_move_together_or_apart() {
    for seed in seeds(0..20) {
        let (mut world, links, router, node, host) = network(seed);
        let second = "2001:db8:1::5ec0".parse().unwrap();
        world.add_address(host, second);
        world.run_for(SECOND * 3);
        world.reach(router, second, SECOND);
        world.roam(host, links[2], Roam::Dad);
        world.run_for(SECOND * 4);
        for address in [world.address(host), second] {
            let took = world.reach(router, address, SECOND * 5);
            assert!(took < SECOND, "seed {seed}: {took:?}\n{}", world.explain(address));
            assert!(world.routes(node).contains(&(address, links[2])), "seed {seed}");
        }
    }
}

#[test]
fn host_that_comes_straight_back_keeps_its_address() {
    for seed in seeds(0..40) {
        let (mut world, links, router, _, host) = network(seed);
        let address = world.address(host);
        for step in 0..6 {
            let link = if step % 2 == 0 { links[2] } else { links[1] };
            world.roam(host, link, Roam::Dad);
            world.run_for(Duration::from_millis(1_200 + 130 * seed));
        }
        world.run_for(SECOND * 3);
        assert_eq!(world.validity(host, address), Some(Validity::Valid), "seed {seed}");
        let took = world.reach(router, address, SECOND * 10);
        assert!(took < SECOND, "seed {seed}: {took:?}\n{}", world.explain(address));
    }
}
