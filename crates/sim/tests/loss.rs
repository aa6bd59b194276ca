//! Links that lose, delay, reorder and repeat frames slow things down, and break nothing.

use std::time::Duration;

use magpie_engine::Config;
use magpie_sim::{Medium, Validity, World, pairs, seeds};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn hosts_reach_each_other_over_links_that_lose_every_fifth_frame() {
    for seed in seeds(0..10) {
        let mut world = World::new(seed);
        let medium = Medium {
            loss: 0.2,
            jitter: Duration::from_millis(20),
            duplication: 0.05,
            ..Medium::default()
        };
        let links = [(); 3].map(|()| world.add_link(medium));
        let router = world.add_router(links[0]);
        world.add_node(&links, Config::default());
        let mut hosts = vec![router];
        for number in 0..12 {
            hosts.push(world.add_host(links[number % 3]));
        }
        world.run_for(SECOND * 5);
        world.converge(&pairs(&hosts), SECOND * 60);
        assert_eq!(world.hop_limits_exceeded(), 0, "seed {seed}");
    }
}

#[test]
fn slow_links_delay_no_answer_beyond_what_hosts_wait_for() {
    for seed in seeds(0..10) {
        let mut world = World::new(seed);
        let medium = Medium {
            delay: Duration::from_millis(40),
            jitter: Duration::from_millis(60),
            ..Medium::default()
        };
        let up = world.add_link(medium);
        let down = world.add_link(medium);
        let router = world.add_router(up);
        world.add_node(&[up, down], Config::default());
        let host = world.add_host(down);
        world.run_for(SECOND * 4);
        let address = world.address(host);
        let took = world.reach(router, address, SECOND * 5);
        assert!(took < SECOND, "seed {seed}: {took:?}\n{}", world.explain(address));
        world.allow_duplicates();
        let claimant = world.add_host(up);
        world.add_address(claimant, address);
        world.run_for(SECOND * 4);
        assert_eq!(world.validity(claimant, address), Some(Validity::Duplicate), "seed {seed}");
    }
}

#[test]
fn tim_04_sleeper_that_misses_some_probes_is_not_forgotten() {
    for seed in seeds(0..10) {
        let mut world = World::new(seed);
        let up = world.add_link(Medium::default());
        let down = world.add_link(Medium::default());
        let router = world.add_router(up);
        let node = world.add_node(&[up, down], Config::default());
        let host = world.add_host(down);
        world.run_for(SECOND * 4);
        let address = world.address(host);
        world.reach(router, address, SECOND);
        for nap in [10, 60, 150] {
            world.set_awake(host, false);
            world.run_for(SECOND * nap);
            assert!(world.routes(node).contains(&(address, down)), "seed {seed}, nap {nap}");
            world.set_awake(host, true);
            let took = world.reach(router, address, SECOND * 5);
            assert!(took < SECOND, "seed {seed}, nap {nap}: {took:?}\n{}", world.explain(address));
        }
    }
}

#[test]
fn tim_03_host_that_is_gone_for_good_is_forgotten_with_its_route_and_its_groups() {
    for seed in seeds(0..10) {
        let mut world = World::new(seed);
        let up = world.add_link(Medium::default());
        let down = world.add_link(Medium::default());
        let router = world.add_router(up);
        let node = world.add_node(&[up, down], Config::default());
        let host = world.add_host(down);
        world.run_for(SECOND * 4);
        let address = world.address(host);
        world.reach(router, address, SECOND);
        world.leave(host);
        world.run_for(SECOND * 900);
        assert!(world.routes(node).iter().all(|(target, _)| *target != address), "seed {seed}");
        assert!(world.bindings(node).iter().all(|binding| binding.target != address));
        let group = magpie_wire::solicited_node(address);
        assert!(world.groups(node).iter().all(|(_, joined)| *joined != group), "seed {seed}");
    }
}

#[test]
fn mcl_14_idle_network_hears_no_multicast_from_the_magpie() {
    for seed in seeds(0..5) {
        let mut world = World::new(seed);
        let up = world.add_link(Medium::default());
        let down = world.add_link(Medium::default());
        world.add_router(up);
        let node = world.add_node(&[up, down], Config::default());
        for number in 0..50 {
            world.add_host(if number % 5 == 0 { up } else { down });
        }
        world.run_for(SECOND * 600);
        let before = world.counters(node).map(|counters| counters.solicits_sent_multicast);
        let woken = world.wakeups(node);
        world.run_for(SECOND * 3_600);
        let after = world.counters(node).map(|counters| counters.solicits_sent_multicast);
        assert_eq!(before, after, "seed {seed}");
        let per_minute = (world.wakeups(node) - woken) / 60;
        assert!(per_minute <= 12, "seed {seed}: {per_minute} wake-ups a minute");
    }
}
