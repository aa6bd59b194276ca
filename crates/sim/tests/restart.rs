//! What is there when a Magpie comes back, and what it makes of it.

use std::time::Duration;

use magpie_engine::{Config, Event, LinkId, RouteView};
use magpie_sim::{HostId, Medium, NodeId, World, seeds};

const SECOND: Duration = Duration::from_secs(1);

/// A router, a Magpie between two links, and ten hosts on the second that the router talks to.
fn network(seed: u64) -> (World, LinkId, HostId, NodeId, Vec<HostId>) {
    let mut world = World::new(seed);
    let up = world.add_link(Medium::default());
    let down = world.add_link(Medium::default());
    let router = world.add_router(up);
    let node = world.add_node(&[up, down], Config::default());
    let hosts: Vec<_> = (0..10).map(|_| world.add_host(down)).collect();
    world.run_for(SECOND * 4);
    for host in &hosts {
        world.reach(router, world.address(*host), SECOND);
    }
    (world, down, router, node, hosts)
}

#[test]
fn rte_04_routes_of_a_killed_predecessor_are_adopted_without_a_gap() {
    for seed in seeds(0..10) {
        let (mut world, _, router, node, hosts) = network(seed);
        let before = world.routes(node);
        world.kill(node);
        world.run_for(SECOND * 5);
        assert_eq!(world.routes(node), before);
        world.start(node);
        for _ in 0..20 {
            for host in &hosts {
                let ping = world.ping(router, world.address(*host));
                world.run_for(Duration::from_millis(100));
                assert!(world.answered(ping).is_some(), "seed {seed}");
            }
        }
        assert_eq!(world.routes(node), before, "seed {seed}");
    }
}

#[test]
fn rte_04_routes_of_hosts_that_left_meanwhile_go() {
    for seed in seeds(0..10) {
        let (mut world, _, router, node, hosts) = network(seed);
        world.kill(node);
        world.leave(hosts[0]);
        world.run_for(SECOND * 5);
        world.start(node);
        world.run_for(SECOND * 900);
        let gone = world.address(hosts[0]);
        assert!(world.routes(node).iter().all(|(target, _)| *target != gone), "seed {seed}");
        for host in &hosts[1..] {
            world.reach(router, world.address(*host), SECOND * 2);
        }
    }
}

#[test]
fn rte_13_state_file_brings_every_host_back_after_a_reboot() {
    for seed in seeds(0..10) {
        let (mut world, _, router, node, hosts) = network(seed);
        let state = world.bindings(node);
        let before = world.routes(node);
        world.reboot(node);
        assert_eq!(world.routes(node), []);
        world.restore(node, &state);
        world.run_for(SECOND);
        assert_eq!(world.routes(node), before, "seed {seed}");
        assert_eq!(world.counters(node).unwrap().solicits_sent_multicast, 0, "seed {seed}");
        for host in &hosts {
            let ping = world.ping(router, world.address(*host));
            world.run_for(Duration::from_millis(100));
            assert!(world.answered(ping).is_some(), "seed {seed}");
        }
    }
}

#[test]
fn rte_13_state_file_is_no_promise_for_hosts_that_left() {
    for seed in seeds(0..10) {
        let (mut world, down, _, node, hosts) = network(seed);
        let state = world.bindings(node);
        world.kill(node);
        world.leave(hosts[0]);
        world.reboot(node);
        world.restore(node, &state);
        world.run_for(SECOND * 5);
        let gone = world.address(hosts[0]);
        assert!(!world.routes(node).contains(&(gone, down)), "seed {seed}");
    }
}

#[test]
fn rte_11_good_end_leaves_nothing() {
    for seed in seeds(0..10) {
        let (mut world, _, _, node, _) = network(seed);
        world.shut_down(node);
        assert_eq!(world.routes(node), [], "seed {seed}");
        assert_eq!(world.groups(node), [], "seed {seed}");
    }
}

#[test]
fn rte_09_lost_notifications_cost_nothing() {
    for seed in seeds(0..10) {
        let (mut world, down, router, node, hosts) = network(seed);
        let before = world.routes(node);
        for _ in 0..5 {
            world.overrun(node, SECOND);
            let joining = world.add_host(down);
            world.run_for(SECOND * 4);
            for host in hosts.iter().chain([&joining]) {
                let address = world.address(*host);
                let took = world.reach(router, address, SECOND);
                assert!(took < SECOND, "seed {seed}: {took:?}\n{}", world.explain(address));
            }
            assert!(before.iter().all(|route| world.routes(node).contains(route)));
        }
    }
}

#[test]
fn rte_06_lost_carrier_is_no_promise() {
    for seed in seeds(0..10) {
        let (mut world, down, router, node, hosts) = network(seed);
        world.carrier(node, down, false);
        world.run_for(SECOND * 60);
        let before = world.counters(node).unwrap().adverts_sent;
        for host in &hosts {
            let ping = world.ping(router, world.address(*host));
            world.run_for(SECOND * 4);
            assert_eq!(world.answered(ping), None, "seed {seed}");
        }
        world.run_for(SECOND * 60);
        assert_eq!(world.counters(node).unwrap().adverts_sent, before, "seed {seed}");
        world.carrier(node, down, true);
        for host in &hosts {
            world.reach(router, world.address(*host), SECOND * 30);
        }
    }
}

#[test]
fn rte_03_route_of_somebody_else_is_left_alone() {
    for seed in seeds(0..10) {
        let mut world = World::new(seed);
        let up = world.add_link(Medium::default());
        let down = world.add_link(Medium::default());
        let router = world.add_router(up);
        let node = world.add_node(&[up, down], Config::default());
        let host = world.add_host(down);
        world.run_for(Duration::from_millis(1));
        let address = world.address(host);
        world.add_foreign_route(node, address, None);
        world.run_for(SECOND * 4);
        let ping = world.ping(router, address);
        world.run_for(SECOND * 30);
        assert_eq!(world.answered(ping), None);
        assert!(world.routes(node).iter().all(|(target, _)| *target != address), "seed {seed}");
        assert!(
            world
                .bindings(node)
                .iter()
                .all(|binding| binding.target != address || binding.route == RouteView::Foreign),
            "seed {seed}"
        );
        let told = world.events(node).iter().any(
            |(_, event)| matches!(event, Event::ForeignRoute { target, .. } if *target == address),
        );
        assert!(told, "seed {seed}");
    }
}

#[test]
fn same_seed_makes_the_same_run() {
    for seed in seeds(0..3) {
        let run = || {
            let (mut world, _, _, node, _) = network(seed);
            world.run_for(SECOND * 600);
            (world.digest(), world.frames_sent(), world.counters(node).cloned())
        };
        assert_eq!(run(), run());
    }
}
