//! Links that come, go and change under a running Magpie, and processes that are stopped for a
//! while: whoever is there is found again within three seconds of the link being usable.

use std::time::Duration;

use magpie_engine::{Config, LinkId, Member, Prefixes};
use magpie_sim::{HostId, Medium, NodeId, Roam, SUBNET, World, seeds};

const SECOND: Duration = Duration::from_secs(1);
/// How long anybody may stay unreachable after a disturbance is over.
const RECOVERY: Duration = Duration::from_secs(3);

struct Network {
    world: World,
    up: LinkId,
    down: LinkId,
    router: HostId,
    node: NodeId,
    hosts: Vec<HostId>,
}

impl Network {
    /// A router, a Magpie between two links, and ten hosts on the second that the router and a
    /// host beside it talk to.
    fn new(seed: u64, config: Config) -> Self {
        let mut world = World::new(seed);
        let up = world.add_link(Medium::default());
        let down = world.add_link(Medium::default());
        let router = world.add_router(up);
        let node = world.add_node(&[up, down], config);
        let mut hosts: Vec<_> = (0..10).map(|_| world.add_host(down)).collect();
        hosts.push(world.add_host(up));
        world.run_for(SECOND * 4);
        let mut network = Self { world, up, down, router, node, hosts };
        network.converge("at first");
        network
    }

    /// Waits until Magpie's interfaces can be spoken from.
    fn await_links(&mut self) {
        let Self { world, node, up, down, .. } = self;
        for _ in 0..10_000 {
            if world.ready(*node, *up) && world.ready(*node, *down) {
                return;
            }
            world.run_for(Duration::from_millis(1));
        }
        panic!("the links are never ready");
    }

    /// Has the router, and the host beside it, reach everybody, both ways.
    fn converge(&mut self, when: &str) {
        println!("{when}");
        let mut ways: Vec<_> = self.hosts.iter().map(|host| (self.router, *host)).collect();
        if let Some((neighbor, others)) = self.hosts.split_last() {
            ways.extend(others.iter().map(|host| (*neighbor, *host)));
        }
        self.world.converge(&ways, RECOVERY);
    }

    /// Checks that host routes lead to those on the second link, where the kernel does not look
    /// of itself, and that nothing is left of interfaces that are gone.
    fn agrees(&self) {
        let down = self.world.port(self.node, self.down).expect("the link is there");
        let up = self.world.port(self.node, self.up).expect("the link is there");
        let routes = self.world.routes(self.node);
        for host in &self.hosts {
            let address = self.world.address(*host);
            if self.world.link_of(*host) == Some(self.down) {
                assert!(routes.contains(&(address, down)), "{}", self.world.explain(address));
            }
        }
        assert!(routes.iter().all(|(_, link)| [up, down].contains(link)));
        assert!(self.world.groups(self.node).iter().all(|(link, _)| [up, down].contains(link)));
    }
}

/// The subnet as it is learned from addresses, and as it is written down.
fn configs() -> [Config; 2] {
    let listed = Config { prefixes: Prefixes::only(vec![SUBNET]), ..Config::default() };
    [Config::default(), listed]
}

#[test]
fn lnk_12_device_that_is_made_anew_is_taken_up_again() {
    for seed in seeds(0..10) {
        for config in configs() {
            let mut network = Network::new(seed, config);
            for round in 0..6 {
                let Network { world, node, up, down, .. } = &mut network;
                let link = if round % 2 == 0 { *down } else { *up };
                let before = world.port(*node, link);
                let gone = Duration::from_millis([10, 500, 5_000][round % 3] + seed * 100);
                world.unplug(*node, link);
                world.run_for(gone);
                let member = Member(u8::from(link == *down));
                world.plug_in(*node, link, member, Duration::ZERO);
                assert_ne!(world.port(*node, link), before);
                network.await_links();
                network.converge(&format!("seed {seed}, round {round}"));
                network.agrees();
            }
        }
    }
}

#[test]
fn lnk_12_link_that_is_switched_off_and_on_is_taken_up_again() {
    for seed in seeds(0..10) {
        for config in configs() {
            let mut network = Network::new(seed, config);
            for round in 0..6 {
                let Network { world, node, up, down, .. } = &mut network;
                let link = if round % 2 == 0 { *down } else { *up };
                world.switch(*node, link, false, Duration::ZERO);
                world.run_for(Duration::from_millis([10, 500, 5_000][round % 3] + seed * 100));
                // The link-local address may come late.
                world.switch(*node, link, true, SECOND * u32::try_from(round).unwrap());
                network.await_links();
                network.converge(&format!("seed {seed}, round {round}"));
                network.agrees();
            }
        }
    }
}

#[test]
fn lnk_13_nao_14_neighbors_are_told_of_another_link_layer_address() {
    for seed in seeds(0..10) {
        for config in configs() {
            let mut network = Network::new(seed, config);
            for round in 0..8 {
                let Network { world, node, up, down, .. } = &mut network;
                let link = if round % 2 == 0 { *down } else { *up };
                if round < 4 {
                    world.readdress(*node, link);
                } else {
                    world.replace(*node, link, true, Duration::ZERO);
                }
                network.await_links();
                network.converge(&format!("seed {seed}, round {round}"));
                network.agrees();
                network.world.run_for(Duration::from_secs(seed * 10));
            }
        }
    }
}

#[test]
fn carrier_that_flaps_is_no_promise_and_no_loss() {
    for seed in seeds(0..10) {
        for config in configs() {
            let mut network = Network::new(seed, config);
            for round in 0..6 {
                let Network { world, node, up, down, .. } = &mut network;
                let link = if round % 2 == 0 { *down } else { *up };
                for _ in 0..=round {
                    world.carrier(*node, link, false);
                    world.run_for(Duration::from_millis(50 + seed * 200));
                    world.carrier(*node, link, true);
                    world.run_for(Duration::from_millis(50));
                }
                network.converge(&format!("seed {seed}, round {round}"));
                network.agrees();
            }
        }
    }
}

#[test]
fn link_that_is_replaced_while_notifications_are_lost_is_noticed() {
    for seed in seeds(0..10) {
        for config in configs() {
            let mut network = Network::new(seed, config);
            for round in 0..4 {
                let Network { world, node, up, down, .. } = &mut network;
                let link = if round % 2 == 0 { *down } else { *up };
                world.overrun(*node, SECOND * 2);
                world.replace(*node, link, false, Duration::ZERO);
                world.run_for(SECOND * 3);
                network.await_links();
                network.converge(&format!("seed {seed}, round {round}"));
                network.agrees();
            }
        }
    }
}

#[test]
fn tim_05_process_that_was_stopped_promises_nothing_that_it_has_not_verified() {
    for seed in seeds(0..10) {
        for pause in [5, 40, 400, 600] {
            let mut network = Network::new(seed, Config::default());
            let Network { world, node, up, hosts, router, .. } = &mut network;
            world.pause(*node, SECOND * pause);
            world.run_for(SECOND);
            world.roam(hosts[0], *up, Roam::Dad);
            world.roam(hosts[1], *up, Roam::Silent);
            world.leave(hosts[2]);
            let gone = world.address(hosts[2]);
            world.run_for(SECOND * (pause - 1));
            let ping = world.ping(*router, gone);
            world.run_for(SECOND * 4);
            assert_eq!(world.answered(ping), None, "seed {seed}, {pause} s");
            network.hosts.remove(2);
            // Who moved in silence meanwhile is where the kernel's route does not lead.
            let silent = network.hosts.remove(1);
            network.converge(&format!("seed {seed}, {pause} s"));
            network.world.converge(&[(network.router, silent)], SECOND * 60);
        }
    }
}

#[test]
fn restart_while_links_change_loses_nobody() {
    for seed in seeds(0..10) {
        for config in configs() {
            let mut network = Network::new(seed, config);
            for round in 0..4 {
                let Network { world, node, up, down, .. } = &mut network;
                let link = if round % 2 == 0 { *down } else { *up };
                world.kill(*node);
                world.replace(*node, link, false, Duration::ZERO);
                world.run_for(Duration::from_millis(300 * seed));
                world.start(*node);
                network.await_links();
                network.converge(&format!("seed {seed}, round {round}"));
                network.agrees();
            }
        }
    }
}

#[test]
fn a_thousand_rounds_of_churn_leave_nothing_behind() {
    for seed in seeds(0..2) {
        let mut network = Network::new(seed, Config::default());
        for round in 0..1_000u32 {
            let Network { world, node, up, down, .. } = &mut network;
            let link = if round % 2 == 0 { *down } else { *up };
            world.replace(*node, link, false, Duration::ZERO);
            world.run_for(Duration::from_millis(500));
        }
        network.world.run_for(SECOND * 3);
        network.converge("after the churn");
        network.agrees();
    }
}
