//! Hosts that nobody has heard of are found when somebody asks for them, and only then.

use std::time::Duration;

use magpie_engine::{BindingState, Config, Discard, LinkId, RouteView};
use magpie_sim::{HostId, Medium, NodeId, OUTSIDE, Stack, World, pairs, seeds};

const MINUTE: Duration = Duration::from_secs(60);

/// A router and a Magpie between two links.
fn network(seed: u64) -> (World, LinkId, LinkId, HostId, NodeId) {
    let mut world = World::new(seed);
    let up = world.add_link(Medium::default());
    let down = world.add_link(Medium::default());
    let router = world.add_router(up);
    let node = world.add_node(&[up, down], Config::default());
    (world, up, down, router, node)
}

#[test]
fn router_reaches_a_host_that_was_there_before() {
    for seed in seeds(0..20) {
        let mut world = World::new(seed);
        let up = world.add_link(Medium::default());
        let down = world.add_link(Medium::default());
        let router = world.add_router(up);
        let host = world.add_host(down);
        world.run_for(MINUTE);
        world.add_node(&[up, down], Config::default());
        world.run_for(Duration::from_secs(5));
        let took = world.reach(router, world.address(host), Duration::from_secs(1));
        assert!(took < Duration::from_millis(50), "seed {seed}: {took:?}");
        world.reach(host, world.address(router), Duration::from_secs(1));
    }
}

#[test]
fn dad_19_probe_of_a_new_host_is_enough_to_know_it() {
    for seed in seeds(0..20) {
        let (mut world, _, down, router, node) = network(seed);
        let host = world.add_host(down);
        world.run_for(Duration::from_secs(4));
        let multicast = world.counters(node).unwrap().solicits_sent_multicast;
        let ping = world.ping(router, world.address(host));
        world.run_for(Duration::from_millis(100));
        assert!(world.answered(ping).is_some(), "seed {seed}");
        assert_eq!(world.counters(node).unwrap().solicits_sent_multicast, multicast, "seed {seed}");
    }
}

#[test]
fn hosts_reach_each_other_and_the_internet_whatever_their_stack() {
    for seed in seeds(0..10) {
        let (mut world, up, down, router, _) = network(seed);
        let hosts = [
            router,
            world.add_host_with(up, Stack::Linux),
            world.add_host_with(down, Stack::Linux),
            world.add_host_with(down, Stack::Plain),
        ];
        world.run_for(Duration::from_secs(5));
        let took = world.converge(&pairs(&hosts), Duration::from_secs(5));
        assert!(took < Duration::from_millis(50), "seed {seed}: {took:?}");
        world.reach(hosts[2], OUTSIDE, Duration::from_secs(1));
    }
}

#[test]
fn nsi_31_nobody_is_made_up() {
    for seed in seeds(0..20) {
        let (mut world, _, _, router, node) = network(seed);
        let nobody = "2001:db8:1::dead:beef".parse().unwrap();
        let ping = world.ping(router, nobody);
        world.run_for(MINUTE);
        assert_eq!(world.answered(ping), None);
        let counters = world.counters(node).unwrap();
        assert_eq!(counters.adverts_sent, 0);
        assert_eq!(counters.solicits_sent_multicast, 3, "seed {seed}");
        assert!(world.routes(node).iter().all(|(target, _)| *target != nobody));
        assert!(world.bindings(node).iter().all(|binding| binding.target != nobody));
    }
}

#[test]
fn nso_09_negative_answer_is_held_down_and_forgotten_when_the_host_appears() {
    for seed in seeds(0..20) {
        let (mut world, _, down, router, node) = network(seed);
        let host = world.add_host(down);
        world.leave(host);
        let address = world.address(host);
        for _ in 0..10 {
            world.ping(router, address);
            world.run_for(Duration::from_secs(1));
        }
        let counters = world.counters(node).unwrap();
        assert!(counters.solicits_sent_multicast <= 3, "seed {seed}: {counters:?}");
        assert!(counters.discarded(Discard::HeldDown) > 0, "seed {seed}");
        world.roam(host, down, magpie_sim::Roam::Dad);
        world.run_for(Duration::from_secs(3));
        world.reach(router, address, Duration::from_secs(2));
    }
}

#[test]
fn rte_13_warm_cache_of_the_router_does_not_hide_a_host_from_a_new_magpie() {
    for seed in seeds(0..20) {
        let (mut world, _, down, router, node) = network(seed);
        let host = world.add_host(down);
        world.run_for(Duration::from_secs(4));
        let address = world.address(host);
        world.reach(router, address, Duration::from_secs(1));
        world.shut_down(node);
        assert_eq!(world.routes(node), []);
        world.start(node);
        // The router sends without asking; the kernel looks on the wrong link.
        let took = world.reach(router, address, Duration::from_secs(8));
        assert!(took < Duration::from_secs(5), "seed {seed}: {took:?}");
    }
}

#[test]
fn known_hosts_are_confirmed_and_have_routes() {
    let (mut world, _, down, router, node) = network(1);
    let host = world.add_host(down);
    world.run_for(Duration::from_secs(4));
    world.reach(router, world.address(host), Duration::from_secs(1));
    let bindings = world.bindings(node);
    let binding = bindings.iter().find(|binding| binding.target == world.address(host)).unwrap();
    assert_eq!(binding.link, down);
    assert_eq!(binding.route, RouteView::Installed);
    assert_eq!(binding.state, BindingState::Reachable);
    assert!(world.routes(node).contains(&(world.address(host), down)));
}

#[test]
fn target_that_its_own_neighbor_asked_for_is_found_from_elsewhere() {
    for seed in seeds(0..20) {
        let mut world = World::new(seed);
        let up = world.add_link(Medium::default());
        let down = world.add_link(Medium::default());
        let router = world.add_router(up);
        let hosts = [world.add_host(down), world.add_host(down)];
        world.run_for(MINUTE);
        world.add_node(&[up, down], Config::default());
        world.run_for(Duration::from_secs(5));
        let address = world.address(hosts[1]);
        world.reach(hosts[0], address, Duration::from_secs(1));
        // The neighbor had its answer from the host itself, and the Magpie none from elsewhere.
        world.run_for(Duration::from_secs(5));
        let took = world.reach(router, address, Duration::from_secs(30));
        assert!(took < Duration::from_secs(1), "seed {seed}: {took:?}\n{}", world.explain(address));
    }
}
