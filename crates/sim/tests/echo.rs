//! Wi-Fi: an access point repeats what a station says to everybody, and the station hears it.

use std::time::Duration;

use magpie_engine::{Config, Discard, Event};
use magpie_sim::{Medium, Roam, Stack, Validity, World, pairs, seeds};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn nsi_19_own_frames_that_come_back_are_dropped() {
    for seed in seeds(0..20) {
        let mut world = World::new(seed);
        let wifi = world.add_link(Medium { echo: true, ..Medium::default() });
        let lan = world.add_link(Medium::default());
        let router = world.add_router(wifi);
        let node = world.add_node(&[wifi, lan], Config::default());
        let hosts = [
            router,
            world.add_host(wifi),
            world.add_host(wifi),
            world.add_host(lan),
            world.add_host_with(lan, Stack::Plain),
        ];
        world.run_for(SECOND * 4);
        for host in hosts {
            assert_eq!(world.validity(host, world.address(host)), Some(Validity::Valid));
        }
        world.converge(&pairs(&hosts), SECOND * 5);
        world.roam(hosts[3], wifi, Roam::Dad);
        world.run_for(SECOND * 4);
        world.converge(&pairs(&hosts), SECOND * 60);
        world.ping(hosts[4], "2001:db8:1::dead:beef".parse().unwrap());
        world.run_for(SECOND * 20);
        let counters = world.counters(node).unwrap();
        assert!(counters.discarded(Discard::OwnFrame) > 0, "seed {seed}");
        let looped = world.events(node).iter().filter(|(_, event)| {
            matches!(event, Event::OwnAddressClaimed { .. } | Event::Duplicate { .. })
        });
        assert_eq!(looped.count(), 0, "seed {seed}");
    }
}

#[test]
fn nso_11_bridged_links_make_no_storm() {
    for seed in seeds(0..20) {
        let mut world = World::new(seed);
        let up = world.add_link(Medium::default());
        let down = world.add_link(Medium::default());
        let router = world.add_router(up);
        let node = world.add_node(&[up, down], Config::default());
        let hosts: Vec<_> = (0..4).map(|_| world.add_host(down)).collect();
        world.run_for(SECOND * 10);
        for host in &hosts {
            world.reach(router, world.address(*host), SECOND);
        }
        world.bridge(up, down);
        let before = world.frames_sent();
        world.ping(router, "2001:db8:1::dead:beef".parse().unwrap());
        for host in &hosts {
            world.ping(router, world.address(*host));
        }
        world.run_for(SECOND * 60);
        let frames = world.frames_sent() - before;
        assert!(frames < 600, "seed {seed}: {frames} frames in a minute");
        let noticed = world.events(node).iter().any(|(_, event)| {
            matches!(event, Event::Loop { .. } | Event::OwnAddressClaimed { .. })
        });
        assert!(noticed, "seed {seed}: nothing was reported");
    }
}
