//! Magpies in a row: what one finds, the next one passes on.

use std::time::Duration;

use magpie_engine::{Config, LinkId, Member};
use magpie_sim::{HostId, Medium, NodeId, Roam, Validity, World, pairs, seeds};

const SECOND: Duration = Duration::from_secs(1);
/// A neighbor that nobody tells finds out by itself that a host has moved, in the time of RFC 4861
/// section 10: up to 45 s reachable, 5 s of delay, 3 s of probes.
const UNNOTICED: Duration = Duration::from_secs(60);

/// Links in a row with a Magpie between each two, a router at one end, and a host on each link.
struct Chain {
    world: World,
    links: Vec<LinkId>,
    nodes: Vec<NodeId>,
    router: HostId,
    hosts: Vec<HostId>,
}

impl Chain {
    fn new(seed: u64, magpies: usize) -> Self {
        let mut world = World::new(seed);
        let links: Vec<_> = (0..=magpies).map(|_| world.add_link(Medium::default())).collect();
        let router = world.add_router(links[0]);
        let nodes = links.windows(2).map(|pair| world.add_node(pair, Config::default())).collect();
        let hosts = links.iter().map(|link| world.add_host(*link)).collect();
        world.run_for(SECOND * 5);
        Self { world, links, nodes, router, hosts }
    }

    fn last(&self) -> HostId {
        self.hosts[self.hosts.len() - 1]
    }

    /// The router and all hosts, each with each other.
    fn ways(&self) -> Vec<(HostId, HostId)> {
        let mut all = self.hosts.clone();
        all.push(self.router);
        pairs(&all)
    }
}

/// All chains of two and three, with some seeds each.
fn chains(usual: std::ops::Range<u64>) -> impl Iterator<Item = (String, Chain)> {
    seeds(usual).flat_map(|seed| {
        [2, 3].map(|magpies| {
            let name = format!("seed {seed}, {magpies} in a row");
            println!("{name}");
            (name, Chain::new(seed, magpies))
        })
    })
}

#[test]
fn ends_of_the_chain_reach_each_other() {
    for (name, mut chain) in chains(0..20) {
        let ways = chain.ways();
        let took = chain.world.converge(&ways, SECOND * 20);
        assert!(took < SECOND * 3, "{name}: {took:?}");
        assert_eq!(chain.world.hop_limits_exceeded(), 0, "{name}");
    }
}

#[test]
fn first_contact_through_the_chain_takes_no_second_question() {
    for (name, mut chain) in chains(0..20) {
        let (router, host) = (chain.router, chain.last());
        let address = chain.world.address(host);
        let inwards = chain.world.reach(router, address, SECOND * 5);
        let neighbor = chain.hosts[0];
        let to = chain.world.address(neighbor);
        let outwards = chain.world.reach(host, to, SECOND * 5);
        for took in [inwards, outwards] {
            assert!(
                took < Duration::from_millis(50),
                "{name}: {took:?}\n{}",
                chain.world.explain(to)
            );
        }
    }
}

#[test]
fn duplicate_at_the_other_end_is_told() {
    for (name, mut chain) in chains(0..20) {
        chain.world.allow_duplicates();
        let ends = [(chain.last(), chain.links[0]), (chain.hosts[0], chain.links[2])];
        for (owner, link) in ends {
            let address = chain.world.address(owner);
            let claimant = chain.world.add_host(link);
            chain.world.add_address(claimant, address);
            chain.world.run_for(SECOND * 4);
            let explain = || chain.world.explain(address);
            let verdict = chain.world.validity(claimant, address);
            assert_eq!(verdict, Some(Validity::Duplicate), "{name}\n{}", explain());
            let verdict = chain.world.validity(owner, address);
            assert_eq!(verdict, Some(Validity::Valid), "{name}\n{}", explain());
        }
    }
}

#[test]
fn hosts_that_join_anywhere_keep_their_addresses() {
    for (name, mut chain) in chains(0..20) {
        for number in 0..20 {
            let link = chain.links[number % chain.links.len()];
            chain.hosts.push(chain.world.add_host(link));
            chain.world.run_for(Duration::from_millis(150));
        }
        chain.world.run_for(SECOND * 4);
        for host in &chain.hosts {
            let address = chain.world.address(*host);
            let verdict = chain.world.validity(*host, address);
            assert_eq!(verdict, Some(Validity::Valid), "{name}\n{}", chain.world.explain(address));
        }
    }
}

#[test]
fn host_that_walks_along_the_chain_is_followed() {
    for (name, mut chain) in chains(0..20) {
        let host = chain.last();
        let address = chain.world.address(host);
        let (router, first, last) = (chain.router, chain.links[0], chain.links[2]);
        chain.world.reach(router, address, SECOND * 5);
        for (step, link) in [chain.links[1], first, chain.links[1], last, first, last]
            .into_iter()
            .chain(chain.links.iter().rev().copied())
            .enumerate()
        {
            chain
                .world
                .run_for(Duration::from_millis(5_000 + 1_700 * u64::try_from(step).unwrap()));
            if chain.world.link_of(host) == Some(link) {
                continue;
            }
            chain.world.roam(host, link, Roam::Dad);
            chain.world.run_for(SECOND * 4);
            let verdict = chain.world.validity(host, address);
            assert_eq!(verdict, Some(Validity::Valid), "{name}\n{}", chain.world.explain(address));
            // Who moved behind another Magpie is not announced: what that one says is hearsay.
            chain.world.reach(router, address, UNNOTICED);
        }
        assert_eq!(chain.world.hop_limits_exceeded(), 0, "{name}");
    }
}

#[test]
fn magpie_that_is_started_anew_anywhere_in_the_chain_costs_three_seconds_at_most() {
    for (name, mut chain) in chains(0..10) {
        let ways = chain.ways();
        chain.world.converge(&ways, SECOND * 5);
        for node in chain.nodes.clone() {
            for restart in [World::kill, World::shut_down] {
                restart(&mut chain.world, node);
                chain.world.run_for(Duration::from_millis(700));
                chain.world.start(node);
                chain.world.converge(&ways, SECOND * 3);
            }
        }
        assert_eq!(chain.world.hop_limits_exceeded(), 0, "{name}");
    }
}

#[test]
fn link_that_is_replaced_in_the_chain_costs_three_seconds_at_most() {
    for (name, mut chain) in chains(0..10) {
        let ways = chain.ways();
        chain.world.converge(&ways, SECOND * 5);
        for (at, node) in chain.nodes.clone().into_iter().enumerate() {
            for (member, readdress) in [(0, false), (1, false), (0, true), (1, true)] {
                let link = chain.links[at + usize::from(member)];
                chain.world.replace(node, link, readdress, Duration::ZERO);
                while !chain.world.ready(node, link) {
                    chain.world.run_for(Duration::from_millis(1));
                }
                println!("{name}: {node:?}, {:?}, {readdress}", Member(member));
                chain.world.converge(&ways, SECOND * 3);
            }
        }
    }
}

#[test]
fn dead_target_is_asked_for_a_few_times_on_each_link() {
    for (name, mut chain) in chains(0..20) {
        let before = chain.world.frames_sent();
        let router = chain.router;
        chain.world.ping(router, "2001:db8:1::dead:beef".parse().unwrap());
        chain.world.run_for(SECOND * 60);
        let frames = chain.world.frames_sent() - before;
        // Three by the router, three by each Magpie on either side of it, and some upkeep.
        let most = 30 * u64::try_from(chain.links.len() - 1).unwrap();
        assert!(frames < most, "{name}: {frames} frames");
    }
}

#[test]
fn idle_chain_is_quiet() {
    for (name, mut chain) in chains(0..5) {
        let ways = chain.ways();
        chain.world.converge(&ways, SECOND * 5);
        chain.world.run_for(SECOND * 300);
        let multicast = |chain: &Chain| -> u64 {
            let counters = chain.nodes.iter().filter_map(|node| chain.world.counters(*node));
            counters.map(|counters| counters.solicits_sent_multicast).sum()
        };
        let (frames, asked) = (chain.world.frames_sent(), multicast(&chain));
        chain.world.run_for(SECOND * 3_600);
        let frames = chain.world.frames_sent() - frames;
        // Each Magpie looks after each host once a minute: a question, an answer, and now and then
        // the host looks after Magpie in turn. Between Magpies it is asked at each of them.
        let watched = u64::try_from(chain.nodes.len() * (chain.hosts.len() + 1)).unwrap();
        assert!(frames < watched * 60 * 12, "{name}: {frames} frames in an hour");
        assert_eq!(multicast(&chain), asked, "{name}");
    }
}
