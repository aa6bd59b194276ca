//! A simulated day of a large network: five hundred hosts on three lossy links, one of them
//! Wi-Fi, that talk, walk about, sleep, leave and come back; with ten seeds.

use std::time::Duration;

use magpie_engine::Config;
use magpie_sim::{Habits, HostId, Medium, World, seeds, spread};

const HOSTS: usize = 500;
const DAY: Duration = Duration::from_secs(86_400);
/// Conversations in a thousand that may fail although both hosts have been where they are for two
/// minutes: with every fifth frame lost, so are most of the signs of life that a host gives.
const FAILURES: u64 = 20;

#[test]
fn five_hundred_hosts_live_through_a_day() {
    spread(seeds(1..11), live);
}

fn live(seed: u64) {
    let mut world = World::new(seed);
    let medium = Medium { loss: 0.2, jitter: Duration::from_millis(5), ..Medium::default() };
    let links = [
        world.add_link(medium),
        world.add_link(medium),
        world.add_link(Medium { echo: true, duplication: 0.02, ..medium }),
    ];
    let router = world.add_router(links[0]);
    let node = world.add_node(&links, Config::default());
    let hosts: Vec<HostId> = (0..HOSTS).map(|number| world.add_host(links[number % 3])).collect();
    world.run_for(Duration::from_secs(60));
    world.live(Habits {
        talk: Duration::from_secs(20 * 60),
        roam: Some(Duration::from_secs(4 * 3_600)),
        doze: Some(Duration::from_secs(6 * 3_600)),
        nap: Duration::from_secs(20 * 60),
        leave: Some(Duration::from_secs(12 * 3_600)),
        links: links.to_vec(),
    });
    world.run_for(DAY);
    let talks = world.talks();
    println!(
        "seed {seed}: {talks:?}, {} frames, {} wake-ups",
        world.frames_sent(),
        world.wakeups(node)
    );
    assert!(talks.answered > 10_000, "seed {seed}: {talks:?}");
    assert!(talks.failed * 1_000 <= talks.answered * FAILURES, "seed {seed}: {talks:?}");

    world.calm();
    for link in links {
        world.set_medium(link, Medium::default());
    }
    world.run_for(Duration::from_secs(60));
    let mut pairs = Vec::new();
    for (at, host) in hosts.iter().enumerate() {
        for other in [router, hosts[(at * 7 + 1) % HOSTS], hosts[(at * 11 + 5) % HOSTS]] {
            if other != *host {
                pairs.push((*host, other));
            }
        }
    }
    let took = world.converge(&pairs, Duration::from_secs(60));
    println!("seed {seed}: everybody reaches everybody after {took:?}");
    assert_eq!(world.hop_limits_exceeded(), 0, "seed {seed}");
}
