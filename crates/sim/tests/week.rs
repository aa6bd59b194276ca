//! A simulated week on an island, with ten seeds: hosts that talk, walk about, sleep, leave and
//! take new addresses; links that flap, vanish and come back as other devices; a Magpie that is
//! killed, restarted and stopped. After each disturbance everybody is reached within three
//! seconds; at night nothing grows from day to day, and little is said.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv6Addr;
use std::time::Duration;

use magpie_engine::{Config, Instant, LinkConfig, LinkId, Member, Prefixes, Sizes};
use magpie_sim::{HostId, Medium, NodeId, Roam, SUBNET, World, seeds, spread};

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3_600);
const DAYS: u32 = 7;
/// Something happens this often by day, on average.
const PAUSE: Duration = Duration::from_secs(360);
/// How long anybody may stay unreachable after a disturbance is over.
const RECOVERY: Duration = Duration::from_secs(3);
/// The time that a neighbor cache takes to notice that somebody is gone who said nothing: up to
/// 45 s reachable, 5 s of delay, 3 s of probes, and the new question (RFC 4861 section 10).
const UNNOTICED: Duration = Duration::from_secs(60);
/// RFC 8981 section 3.8: a temporary address is preferred for a day and valid for two.
const TEMPORARY: usize = 2;
const HOSTS: usize = 30;
const CONTAINERS: usize = 6;
/// The member that stands for the links of containers.
const VETH: Member = Member(3);

/// What happens to the island.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Disturbance {
    /// A host moves and detects duplicates of its addresses, or asks for its router.
    Roam,
    /// A host moves and says nothing.
    RoamSilently,
    /// A host falls asleep or wakes up.
    Nap,
    /// A host leaves, or one that had left comes back.
    Absence,
    /// A host leaves for good and another comes.
    Newcomer,
    /// A container and its link come or go.
    Container,
    /// A device is deleted and made anew, with its link-layer address or with another.
    Replaced,
    Readdressed,
    SwitchedOff,
    Carrier,
    Overrun,
    Paused,
    Killed,
    Restarted,
    Rebooted,
}

impl Disturbance {
    /// Each as often as its weight says.
    const WEIGHTS: [(Self, u32); 15] = [
        (Self::Roam, 20),
        (Self::RoamSilently, 3),
        (Self::Nap, 12),
        (Self::Absence, 10),
        (Self::Newcomer, 3),
        (Self::Container, 12),
        (Self::Replaced, 6),
        (Self::Readdressed, 2),
        (Self::SwitchedOff, 4),
        (Self::Carrier, 6),
        (Self::Overrun, 3),
        (Self::Paused, 4),
        (Self::Killed, 2),
        (Self::Restarted, 2),
        (Self::Rebooted, 1),
    ];

    fn any(rng: &mut fastrand::Rng) -> Self {
        let all: u32 = Self::WEIGHTS.iter().map(|(_, weight)| weight).sum();
        let mut left = rng.u32(..all);
        for (kind, weight) in Self::WEIGHTS {
            match left.checked_sub(weight) {
                Some(rest) => left = rest,
                None => return kind,
            }
        }
        unreachable!("the weights add up")
    }
}

/// Why a host may have to find out by itself that another, or the way to it, is elsewhere.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Excuse {
    /// The other moved and said nothing.
    MovedInSilence,
    /// Magpie did not know the other when it moved: it had been away for long, or talked to nobody
    /// but its neighbors since Magpie was started.
    MovedUnknown,
    /// It was away itself when the other moved.
    MissedMove,
    /// One of them was away when Magpie's link-layer address changed, or not known to Magpie yet,
    /// which had just been started: hosts that do not answer are not spoken for, and hosts that
    /// sleep do not hear.
    MissedNewAddress,
    /// Magpie does not know a host, since it was started without a state or the host was asleep
    /// for long, and its kernel still knows the host as a neighbor on a link that it has left:
    /// what comes for the host goes there for five seconds, until the kernel asks for it (RFC 4861
    /// section 10, `DELAY_FIRST_PROBE_TIME`).
    KernelRemembers,
}

/// How often something happened, and the longest time until everybody was reached again.
type Tally = BTreeMap<Disturbance, (u32, Duration)>;

struct Island {
    seed: u64,
    world: World,
    rng: fastrand::Rng,
    router: HostId,
    node: NodeId,
    /// The links of the router, of the house, and of its Wi-Fi.
    links: [LinkId; 3],
    hosts: Vec<HostId>,
    /// The links of containers, and who is there.
    veths: Vec<(LinkId, Option<HostId>)>,
    temporary: BTreeMap<HostId, Vec<Ipv6Addr>>,
    tally: Tally,
    /// What the first host could not be told of the second since it reached it last.
    untold: BTreeMap<(HostId, HostId), Excuse>,
    excused: BTreeMap<Excuse, u32>,
    /// How often somebody was to be reached.
    tried: u32,
}

impl Island {
    fn new(seed: u64) -> Self {
        let mut world = World::new(seed);
        let wifi = Medium {
            echo: true,
            duplication: 0.02,
            jitter: Duration::from_millis(5),
            ..Medium::default()
        };
        let links = [
            world.add_link(Medium::default()),
            world.add_link(Medium::default()),
            world.add_link(wifi),
        ];
        let veths = (0..CONTAINERS).map(|_| (world.add_link(Medium::default()), None)).collect();
        let router = world.add_router(links[0]);
        let mut config = Config { links: vec![LinkConfig::default(); 4], ..Config::default() };
        config.links[usize::from(VETH.0)].plural = true;
        // Half of them know their prefix from the configuration, half from their addresses.
        if seed.is_multiple_of(2) {
            config.prefixes = Prefixes::only(vec![SUBNET]);
        }
        let node = world.add_node(&links, config);
        let hosts = (0..HOSTS).map(|number| world.add_host(links[1 + number % 2])).collect();
        world.run_for(SECOND * 5);
        Self {
            seed,
            world,
            rng: fastrand::Rng::with_seed(!seed),
            router,
            node,
            links,
            hosts,
            veths,
            temporary: BTreeMap::new(),
            tally: Tally::new(),
            untold: BTreeMap::new(),
            excused: BTreeMap::new(),
            tried: 0,
        }
    }

    fn some_link(&mut self) -> LinkId {
        self.links[self.rng.usize(..self.links.len())]
    }

    /// Returns some host that is there.
    fn some_host(&mut self) -> Option<HostId> {
        let present: Vec<_> =
            self.hosts.iter().copied().filter(|host| self.world.present(*host)).collect();
        self.rng.choice(present)
    }

    fn span(&mut self, from: u64, to: u64) -> Duration {
        Duration::from_millis(self.rng.u64(from * 1_000..to * 1_000))
    }

    /// Lets the island live for a while.
    fn live_until(&mut self, until: Instant) {
        loop {
            let pause = PAUSE.mul_f64(-(1.0 - self.rng.f64()).ln());
            let next = self.world.now() + pause;
            if next >= until {
                return self.world.run_until(until);
            }
            self.world.run_until(next);
            self.talk();
            let kind = Disturbance::any(&mut self.rng);
            self.disturb(kind);
            self.settle(kind);
        }
    }

    /// Some hosts talk to each other and to the Internet.
    fn talk(&mut self) {
        for _ in 0..4 {
            let (Some(one), Some(other)) = (self.some_host(), self.some_host()) else { return };
            let to = self.world.address(other);
            self.world.ping(one, to);
            self.world.ping(one, magpie_sim::OUTSIDE);
            if let Some(source) = self.temporary.get(&one).and_then(|list| list.last()) {
                self.world.ping_as(one, *source, to);
            }
        }
    }

    fn disturb(&mut self, kind: Disturbance) {
        match kind {
            Disturbance::Roam | Disturbance::RoamSilently => {
                let (Some(host), link) = (self.some_host(), self.some_link()) else { return };
                let roam = match kind {
                    Disturbance::RoamSilently => Roam::Silent,
                    _ if self.rng.bool() => Roam::Dad,
                    _ => Roam::Quiet,
                };
                if self.world.link_of(host) != Some(link) {
                    self.roam(host, link, roam);
                }
            }
            Disturbance::Nap => {
                let host = self.hosts[self.rng.usize(..self.hosts.len())];
                let awake = self.world.present(host);
                self.world.set_awake(host, !awake);
            }
            Disturbance::Absence => {
                let host = self.hosts[self.rng.usize(..self.hosts.len())];
                let link = self.some_link();
                match self.world.link_of(host) {
                    Some(_) => self.world.leave(host),
                    None => self.roam(host, link, Roam::Dad),
                }
            }
            Disturbance::Newcomer => {
                let place = self.rng.usize(..self.hosts.len());
                let link = self.some_link();
                self.world.leave(self.hosts[place]);
                self.temporary.remove(&self.hosts[place]);
                self.hosts[place] = self.world.add_host(link);
            }
            Disturbance::Container => self.container(),
            Disturbance::Replaced | Disturbance::SwitchedOff => {
                let link = self.some_link();
                let (away, late) = (self.span(0, 10), self.late());
                if kind == Disturbance::SwitchedOff {
                    self.world.switch(self.node, link, false, Duration::ZERO);
                    self.world.run_for(away);
                    self.world.switch(self.node, link, true, late);
                } else if self.rng.bool() {
                    self.world.replace(self.node, link, self.rng.bool(), late);
                    self.note_new_address();
                } else {
                    let member = self.links.iter().position(|known| *known == link);
                    let member = Member(u8::try_from(member.unwrap_or_default()).unwrap_or(0));
                    self.world.unplug(self.node, link);
                    self.world.run_for(away);
                    self.world.plug_in(self.node, link, member, late);
                }
            }
            Disturbance::Readdressed => {
                let link = self.some_link();
                self.world.readdress(self.node, link);
                self.note_new_address();
            }
            Disturbance::Carrier => {
                let link = self.some_link();
                for _ in 0..self.rng.u32(1..5) {
                    let pause = self.span(0, 4);
                    self.world.carrier(self.node, link, false);
                    self.world.run_for(pause);
                    self.world.carrier(self.node, link, true);
                    self.world.run_for(pause / 4);
                }
            }
            Disturbance::Overrun => {
                let (link, readdress) = (self.some_link(), self.rng.bool());
                self.world.overrun(self.node, SECOND);
                if self.rng.bool() {
                    self.world.replace(self.node, link, readdress, Duration::ZERO);
                    self.note_new_address();
                }
                self.world.run_for(SECOND * 2);
            }
            Disturbance::Paused => {
                let span = self.span(5, 600);
                self.world.pause(self.node, span);
                self.world.run_for(span);
            }
            Disturbance::Killed | Disturbance::Restarted | Disturbance::Rebooted => {
                let state = self.world.bindings(self.node);
                let away = self.span(0, 30);
                if kind == Disturbance::Restarted {
                    self.world.shut_down(self.node);
                } else {
                    self.world.kill(self.node);
                }
                self.world.run_for(away);
                if kind == Disturbance::Rebooted {
                    self.world.reboot(self.node);
                } else {
                    self.world.start(self.node);
                }
                if self.rng.bool() {
                    self.world.restore(self.node, &state);
                }
            }
        }
    }

    fn roam(&mut self, host: HostId, link: LinkId, roam: Roam) {
        let address = self.world.address(host);
        let is_known = self
            .world
            .bindings(self.node)
            .iter()
            .any(|binding| binding.target == address && binding.confirmed.is_some());
        self.world.roam(host, link, roam);
        let excuse = match roam {
            Roam::Silent => Some(Excuse::MovedInSilence),
            Roam::Dad | Roam::Quiet if !is_known => Some(Excuse::MovedUnknown),
            Roam::Dad | Roam::Quiet => None,
        };
        for other in self.everybody() {
            let is_asleep = !self.world.present(other);
            let excuse = excuse.or(is_asleep.then_some(Excuse::MissedMove));
            self.untold.extend(excuse.map(|excuse| ((other, host), excuse)));
        }
    }

    /// Magpie has another link-layer address on a link.
    fn note_new_address(&mut self) {
        let known: BTreeSet<_> =
            self.world.bindings(self.node).iter().map(|binding| binding.target).collect();
        let world = &self.world;
        let missed =
            |host: &HostId| !world.present(*host) || !known.contains(&world.address(*host));
        let missed: Vec<_> = self.everybody().into_iter().filter(missed).collect();
        self.excuse(&missed, Excuse::MissedNewAddress);
    }

    /// Looks for hosts of which Magpie knows nothing, and its kernel something that is wrong.
    fn note_oblivion(&mut self) {
        let routed: BTreeSet<_> =
            self.world.routes(self.node).iter().map(|(target, _)| *target).collect();
        let world = &self.world;
        let misled = |host: &HostId| {
            !routed.contains(&world.address(*host)) && world.misleads(self.node, *host)
        };
        let misled: Vec<_> = self.everybody().into_iter().filter(misled).collect();
        self.excuse(&misled, Excuse::KernelRemembers);
    }

    /// Excuses that others do not reach some hosts.
    fn excuse(&mut self, hosts: &[HostId], excuse: Excuse) {
        for other in self.everybody() {
            for host in hosts {
                self.untold.insert((*host, other), excuse);
                self.untold.insert((other, *host), excuse);
            }
        }
    }

    /// How late addresses come.
    fn late(&mut self) -> Duration {
        if self.rng.u32(..4) == 0 { self.span(0, 5) } else { Duration::ZERO }
    }

    /// A container starts or ends, and its link with it.
    fn container(&mut self) {
        let place = self.rng.usize(..self.veths.len());
        let (link, inside) = self.veths[place];
        if let Some(host) = inside {
            self.world.leave(host);
            self.world.unplug(self.node, link);
            self.veths[place].1 = None;
        } else {
            self.world.plug_in(self.node, link, VETH, Duration::ZERO);
            self.veths[place].1 = Some(self.world.add_host(link));
        }
    }

    /// Waits until a disturbance is over, and then until everybody is reached again who is there.
    fn settle(&mut self, kind: Disturbance) {
        // Links are usable when they have an address that is no longer tentative, and hosts when
        // theirs is not: both take two seconds, and as long as addresses come late.
        for _ in 0..1_000 {
            let links = self.links.iter().chain(
                self.veths.iter().filter(|(_, inside)| inside.is_some()).map(|(link, _)| link),
            );
            let ready = links.into_iter().all(|link| self.world.ready(self.node, *link));
            let settled = self
                .everybody()
                .into_iter()
                .all(|host| self.world.present(host) || !self.world.is_joining(host));
            if ready && settled {
                break;
            }
            self.world.run_for(Duration::from_millis(10));
        }
        self.note_oblivion();
        let start = self.world.now();
        let ways = self.ways();
        let attempt = self.world.attempt(&ways, RECOVERY);
        for (from, to) in &attempt.open {
            let excuse = self.untold.get(&(*from, *to)).or(self.untold.get(&(*to, *from)));
            let Some(excuse) = excuse else {
                let (from, to) = (self.world.address(*from), self.world.address(*to));
                panic!(
                    "seed {}: after {kind:?} the way is closed from {from} to {to}\n{}\n{}",
                    self.seed,
                    self.world.explain(from),
                    self.world.explain(to)
                );
            };
            *self.excused.entry(*excuse).or_default() += 1;
        }
        self.tried += u32::try_from(ways.len() * 2).unwrap_or(u32::MAX);
        if !attempt.open.is_empty() {
            self.world.converge(&attempt.open, UNNOTICED);
        }
        for (from, to) in ways {
            self.untold.remove(&(from, to));
            self.untold.remove(&(to, from));
        }
        let (count, longest) = self.tally.entry(kind).or_default();
        *count += 1;
        *longest = (*longest).max(attempt.latest.since(start));
    }

    /// All hosts, the router among them.
    fn everybody(&self) -> Vec<HostId> {
        let inside = self.veths.iter().filter_map(|(_, inside)| *inside);
        self.hosts.iter().copied().chain(inside).chain([self.router]).collect()
    }

    /// The router and everybody, and some others.
    fn ways(&mut self) -> Vec<(HostId, HostId)> {
        let mut present = self.everybody();
        present.retain(|host| self.world.present(*host));
        let others = present.iter().filter(|host| **host != self.router);
        let mut ways: Vec<_> = others.map(|host| (self.router, *host)).collect();
        for _ in 0..10 {
            let two = (self.rng.choice(&present), self.rng.choice(&present));
            if let (Some(one), Some(other)) = two
                && one != other
            {
                ways.push((*one, *other));
            }
        }
        ways
    }

    /// Everybody comes home, wakes up, and takes a new temporary address.
    fn evening(&mut self, day: u32) {
        for host in self.hosts.clone() {
            self.world.set_awake(host, true);
            if self.world.link_of(host).is_none() {
                let link = self.some_link();
                self.roam(host, link, Roam::Dad);
            }
            let id = u16::try_from(self.rng.u32(..0x1_0000)).unwrap_or_default();
            let mut segments = SUBNET.network().segments();
            segments[4] = 0xa + u16::try_from(day).unwrap_or_default();
            segments[5] = id;
            segments[7] = self.world.address(host).segments()[7];
            let address = Ipv6Addr::from(segments);
            self.world.add_address(host, address);
            let list = self.temporary.entry(host).or_default();
            list.push(address);
            if list.len() > TEMPORARY {
                let old = list.remove(0);
                self.world.remove_address(host, old);
            }
        }
        for place in 0..self.veths.len() {
            if self.veths[place].1.is_none() {
                let link = self.veths[place].0;
                self.world.plug_in(self.node, link, VETH, Duration::ZERO);
                self.veths[place].1 = Some(self.world.add_host(link));
            }
        }
        self.world.run_for(SECOND * 5);
        let ways = self.ways();
        self.world.converge(&ways, UNNOTICED);
    }

    /// How much Magpie remembers, and how many frames are sent in an hour in which nobody talks.
    fn night(&mut self) -> (Sizes, u64) {
        self.world.run_for(HOUR);
        let before = self.world.frames_sent();
        self.world.run_for(HOUR);
        let frames = self.world.frames_sent() - before;
        (self.world.sizes(self.node).expect("it runs"), frames)
    }
}

#[test]
fn an_island_lives_through_a_week() {
    spread(seeds(1..11), |seed| {
        let mut island = Island::new(seed);
        let mut nights = Vec::new();
        for day in 0..DAYS {
            let midnight = island.world.now() + HOUR * 24;
            island.live_until(midnight - HOUR * 3);
            island.evening(day);
            nights.push(island.night());
            island.world.run_until(midnight);
        }
        println!("seed {seed}: {} frames", island.world.frames_sent());
        for (kind, (count, longest)) in &island.tally {
            println!("seed {seed}: {count:>4} {kind:?}, {longest:?}");
        }
        let excused: u32 = island.excused.values().sum();
        println!("seed {seed}: {excused} of {} excused, {:?}", island.tried, island.excused);
        assert!(excused * 100 <= island.tried, "seed {seed}: {excused} are too many");
        for (night, (sizes, frames)) in nights.iter().enumerate() {
            println!("seed {seed}: night {night}: {frames} frames, {sizes:?}");
        }
        assert_eq!(island.world.hop_limits_exceeded(), 0, "seed {seed}");
        check(&nights, seed);
    });
}

/// Nothing grows after the second night, in which everybody has all temporary addresses.
fn check(nights: &[(Sizes, u64)], seed: u64) {
    let addresses = HOSTS * (1 + TEMPORARY) + CONTAINERS + 1;
    let links = 3 + CONTAINERS;
    for (sizes, frames) in &nights[1..] {
        let fits = sizes.links == links
            && sizes.bindings <= addresses
            && sizes.routes <= addresses
            && sizes.groups <= (addresses + 1) * links
            && sizes.standing == 0
            && sizes.resolutions == 0
            && sizes.delayed == 0
            && sizes.lookups == 0
            && sizes.timers <= addresses + 2 * links + 3;
        assert!(fits, "seed {seed}: {sizes:?} for {addresses} addresses on {links} links");
        // A question and an answer a minute for each address, with some company.
        let most = u64::try_from(addresses).unwrap_or(u64::MAX) * 60 * 2 * 5 / 4;
        assert!(*frames <= most, "seed {seed}: {frames} frames in an hour");
    }
}
