//! Small networks in which anything may happen at any time, and which recover from it: no rule is
//! broken meanwhile, and everybody reaches everybody afterwards.

use std::collections::BTreeMap;
use std::time::Duration;

use magpie_engine::{Config, Instant, LinkConfig, LinkId, Member};
use magpie_sim::{HostId, Medium, NodeId, Roam, Stack, World, pairs, seeds};

const SECOND: Duration = Duration::from_secs(1);

/// What the chance of one run has made.
struct Network {
    world: World,
    rng: fastrand::Rng,
    links: Vec<LinkId>,
    nodes: Vec<Running>,
    hosts: Vec<HostId>,
    router: HostId,
    /// When each host moved last.
    moved: BTreeMap<HostId, Instant>,
}

struct Running {
    node: NodeId,
    links: Vec<LinkId>,
    alive: bool,
    down: Option<LinkId>,
    off: Option<LinkId>,
    unplugged: Option<LinkId>,
}

impl Network {
    fn new(seed: u64) -> Self {
        let mut world = World::new(seed);
        let mut rng = fastrand::Rng::with_seed(!seed);
        let mut links = Vec::new();
        for _ in 0..rng.usize(2..5) {
            let medium = Medium {
                jitter: Duration::from_micros(rng.u64(10..5_000)),
                loss: *rng.choice(&[0.0, 0.0, 0.05, 0.2]).unwrap_or(&0.0),
                duplication: *rng.choice(&[0.0, 0.1]).unwrap_or(&0.0),
                echo: rng.bool(),
                ..Medium::default()
            };
            links.push(world.add_link(medium));
        }
        let router = world.add_router(links[0]);
        let mut network = Self {
            world,
            rng,
            links,
            nodes: Vec::new(),
            hosts: Vec::new(),
            router,
            moved: BTreeMap::new(),
        };
        if network.links.len() > 2 && network.rng.u32(..3) == 0 {
            // In a row.
            for pair in network.links.clone().windows(2) {
                network.add_node(pair);
            }
        } else {
            for _ in 0..network.rng.usize(1..3) {
                network.add_node(&network.links.clone());
            }
        }
        for _ in 0..network.rng.usize(2..8) {
            let link = network.some_link();
            network.hosts.push(network.world.add_host_with(link, Stack::Linux));
        }
        network
    }

    fn add_node(&mut self, links: &[LinkId]) {
        let answer_delay = Duration::from_millis(200);
        let config = Config::alike(LinkConfig { answer_delay, ..LinkConfig::default() });
        let node = self.world.add_node(links, config);
        let links = links.to_vec();
        let running = Running { node, links, alive: true, down: None, off: None, unplugged: None };
        self.nodes.push(running);
    }

    fn some_link(&mut self) -> LinkId {
        self.links[self.rng.usize(..self.links.len())]
    }

    /// Does one thing at random.
    fn disturb(&mut self) {
        let now = self.world.now();
        let host = self.hosts[self.rng.usize(..self.hosts.len())];
        let link = self.some_link();
        let node = self.rng.usize(..self.nodes.len());
        let some = self.rng.usize(..self.nodes[node].links.len());
        let port = self.nodes[node].links[some];
        match self.rng.u32(..22) {
            0..6 => {
                let other = self.hosts[self.rng.usize(..self.hosts.len())];
                let to = self.world.address(if self.rng.bool() { other } else { self.router });
                self.world.ping(host, to);
            }
            6 => {
                self.world.ping_from_outside(self.world.address(host));
            }
            7 => {
                let nobody = [0xdead, 0xbeef]
                    .map(|id| std::net::Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, id));
                self.world.ping(host, nobody[self.rng.usize(..2)]);
            }
            8..11 => {
                let roam = [Roam::Dad, Roam::Dad, Roam::Quiet, Roam::Silent];
                let roam = roam[self.rng.usize(..roam.len())];
                // Nobody is quicker than two seconds from one link to the next.
                let settled = self.moved.get(&host).is_none_or(|at| *at + SECOND * 2 < now);
                if settled && self.world.link_of(host) != Some(link) {
                    self.world.roam(host, link, roam);
                    self.moved.insert(host, now);
                }
            }
            11 => self.world.set_awake(host, false),
            12 => self.world.set_awake(host, true),
            13 => self.restart(node),
            14 => self.world.overrun(self.nodes[node].node, Duration::from_millis(500)),
            15 => self.flap(node, port),
            16 => self.switch(node, port),
            17 => self.unplug(node, port),
            18 => {
                let late = Duration::from_millis(self.rng.u64(..5_000));
                self.world.replace(self.nodes[node].node, port, self.rng.bool(), late);
            }
            19 => self.world.readdress(self.nodes[node].node, port),
            20 => {
                // In between are pauses in which nothing falls due: they go unnoticed, and frames
                // that waited are taken for new ones.
                let spans = [self.rng.u64(..1_000), self.rng.u64(75_000..120_000)];
                let span = Duration::from_millis(spans[self.rng.usize(..2)]);
                self.world.pause(self.nodes[node].node, span);
            }
            _ => {
                // Lost notifications are noticed when the next are read.
                self.world.overrun(self.nodes[node].node, Duration::from_millis(20));
                self.world.replace(self.nodes[node].node, port, false, Duration::ZERO);
            }
        }
    }

    fn restart(&mut self, index: usize) {
        let Running { node, alive, .. } = &mut self.nodes[index];
        if *alive {
            self.world.kill(*node);
        } else {
            self.world.start(*node);
        }
        *alive = !*alive;
    }

    fn flap(&mut self, index: usize, link: LinkId) {
        let Running { node, down, .. } = &mut self.nodes[index];
        if let Some(link) = down.take() {
            self.world.carrier(*node, link, true);
        } else {
            self.world.carrier(*node, link, false);
            *down = Some(link);
        }
    }

    fn switch(&mut self, index: usize, link: LinkId) {
        let Running { node, off, .. } = &mut self.nodes[index];
        if let Some(link) = off.take() {
            self.world.switch(*node, link, true, Duration::ZERO);
        } else {
            self.world.switch(*node, link, false, Duration::ZERO);
            *off = Some(link);
        }
    }

    fn unplug(&mut self, index: usize, link: LinkId) {
        let Running { node, links, unplugged, .. } = &mut self.nodes[index];
        if let Some(link) = unplugged.take() {
            let place = links.iter().position(|known| *known == link).unwrap_or_default();
            let member = Member(u8::try_from(place).unwrap_or_default());
            self.world.plug_in(*node, link, member, Duration::ZERO);
        } else {
            self.world.unplug(*node, link);
            *unplugged = Some(link);
        }
    }

    /// Ends all disturbances.
    fn repair(&mut self) {
        for index in 0..self.nodes.len() {
            if !self.nodes[index].alive {
                self.restart(index);
            }
            if let Some(link) = self.nodes[index].unplugged {
                self.unplug(index, link);
            }
            if let Some(link) = self.nodes[index].down {
                self.flap(index, link);
            }
            if let Some(link) = self.nodes[index].off {
                self.switch(index, link);
            }
        }
        for link in &self.links {
            self.world.set_medium(*link, Medium::default());
        }
        for host in &self.hosts {
            self.world.set_awake(*host, true);
        }
    }
}

#[test]
fn small_networks_recover_from_anything() {
    for seed in seeds(0..1_500) {
        println!("seed {seed}; replay with MAGPIE_SIM_SEED={seed}");
        let mut network = Network::new(seed);
        network.world.run_for(SECOND * 3);
        for _ in 0..200 {
            network.disturb();
            let pause = [10, 100, 1_000, 2_000, 5_000][network.rng.usize(..5)];
            network.world.run_for(Duration::from_millis(pause));
        }
        network.repair();
        network.world.run_for(SECOND * 60);
        let mut everybody = network.hosts.clone();
        everybody.push(network.router);
        network.world.converge(&pairs(&everybody), SECOND * 90);

        // Then there is peace: nothing circles, and each host is looked after once a minute.
        network.world.run_for(SECOND * 60);
        let circled = network.world.hop_limits_exceeded();
        assert!(circled == 0 || network.nodes.len() > 1, "seed {seed}: {circled} in circles");
        let frames = network.world.frames_sent();
        network.world.run_for(SECOND * 600);
        let frames = network.world.frames_sent() - frames;
        let watched = everybody.len() * network.nodes.len();
        assert!(
            frames <= 120 * u64::try_from(watched).unwrap(),
            "seed {seed}: {frames} frames in ten minutes"
        );
        assert_eq!(network.world.hop_limits_exceeded(), circled, "seed {seed}");
    }
}
