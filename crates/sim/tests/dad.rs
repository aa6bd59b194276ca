//! Duplicate address detection across links (RFC 4862 section 5.4): true duplicates are told in
//! time, and nobody else is.

use std::time::Duration;

use magpie_engine::{Config, LinkId};
use magpie_sim::{Medium, NodeId, Roam, Stack, Validity, World, seeds};

const SECOND: Duration = Duration::from_secs(1);

fn network(seed: u64) -> (World, LinkId, LinkId, NodeId) {
    let mut world = World::new(seed);
    let up = world.add_link(Medium::default());
    let down = world.add_link(Medium::default());
    world.add_router(up);
    let node = world.add_node(&[up, down], Config::default());
    (world, up, down, node)
}

#[test]
fn dad_02_owner_on_another_link_keeps_its_address() {
    for seed in seeds(0..40) {
        for stack in [Stack::Linux, Stack::Plain] {
            let (mut world, up, down, node) = network(seed);
            let owner = world.add_host_with(down, stack);
            world.run_for(SECOND * 3);
            let address = world.address(owner);
            // The claim comes at any age of the binding.
            world.run_for(Duration::from_secs(seed * 11));
            world.allow_duplicates();
            let claimant = world.add_host_with(up, stack);
            world.add_address(claimant, address);
            world.run_for(SECOND * 3);
            let verdict = world.validity(claimant, address);
            assert_eq!(
                verdict,
                Some(Validity::Duplicate),
                "seed {seed}\n{}",
                world.explain(address)
            );
            assert_eq!(world.validity(owner, address), Some(Validity::Valid));
            assert!(world.routes(node).contains(&(address, down)), "seed {seed}");
        }
    }
}

#[test]
fn dad_01_dad_16_owner_that_left_loses_its_address() {
    for seed in seeds(0..40) {
        let (mut world, up, down, node) = network(seed);
        let owner = world.add_host(down);
        world.run_for(SECOND * 3);
        let address = world.address(owner);
        world.leave(owner);
        let heir = world.add_host(up);
        world.add_address(heir, address);
        world.run_for(SECOND * 5);
        assert_eq!(world.validity(heir, address), Some(Validity::Valid), "seed {seed}");
        assert!(!world.routes(node).contains(&(address, down)), "seed {seed}");
    }
}

#[test]
fn dad_04_owner_may_repeat_its_probe() {
    for seed in seeds(0..20) {
        let (mut world, _, down, node) = network(seed);
        let host = world.add_host(down);
        for _ in 0..5 {
            world.run_for(SECOND * 4);
            assert_eq!(world.validity(host, world.address(host)), Some(Validity::Valid));
            world.roam(host, down, Roam::Dad);
        }
        assert_eq!(world.counters(node).unwrap().adverts_sent_unsolicited, 0, "seed {seed}");
    }
}

#[test]
fn dad_06_two_that_probe_at_once_do_not_both_succeed() {
    for seed in seeds(0..40) {
        let (mut world, up, down, _) = network(seed);
        let hosts = [world.add_host(up), world.add_host(down)];
        world.run_for(SECOND * 4);
        world.allow_duplicates();
        let contested = "2001:db8:1::c0de".parse().unwrap();
        for host in hosts {
            world.add_address(host, contested);
        }
        world.run_for(SECOND * 5);
        let valid = hosts
            .iter()
            .filter(|host| world.validity(**host, contested) == Some(Validity::Valid))
            .count();
        assert!(valid <= 1, "seed {seed}\n{}", world.explain(contested));
    }
}

#[test]
fn dad_07_probe_does_not_come_back_although_the_links_are_bridged() {
    for seed in seeds(0..20) {
        let (mut world, up, down, _) = network(seed);
        world.bridge(up, down);
        let before = world.frames_sent();
        let hosts: Vec<_> = (0..5).map(|_| world.add_host(down)).collect();
        world.run_for(SECOND * 10);
        for host in hosts {
            let verdict = world.validity(host, world.address(host));
            assert_eq!(verdict, Some(Validity::Valid), "seed {seed}");
        }
        assert!(world.frames_sent() - before < 200, "seed {seed}: {}", world.frames_sent());
    }
}

#[test]
fn dad_14_own_addresses_are_not_given_away() {
    for seed in seeds(0..20) {
        let (mut world, up, down, node) = network(seed);
        world.allow_duplicates();
        let own = world.node_address(node).unwrap();
        for link in [up, down] {
            let thief = world.add_host(link);
            world.add_address(thief, own);
            world.run_for(SECOND * 4);
            assert_eq!(
                world.validity(thief, own),
                Some(Validity::Duplicate),
                "seed {seed}, link {}\n{}",
                link.0,
                world.explain(own)
            );
            world.leave(thief);
        }
    }
}

#[test]
fn new_addresses_are_valid_although_frames_come_twice_and_back() {
    for seed in seeds(0..20) {
        let mut world = World::new(seed);
        let medium = Medium { duplication: 0.3, echo: true, ..Medium::default() };
        let up = world.add_link(medium);
        let down = world.add_link(medium);
        world.add_node(&[up, down], Config::default());
        let hosts: Vec<_> = (0..20)
            .map(|number| {
                let link = if number % 2 == 0 { up } else { down };
                world.add_host(link)
            })
            .collect();
        world.run_for(SECOND * 10);
        for host in hosts {
            assert_eq!(world.validity(host, world.address(host)), Some(Validity::Valid));
        }
    }
}
