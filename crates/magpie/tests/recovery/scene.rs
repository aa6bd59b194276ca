//! A network under continuous ping, and how long it takes to recover.

use std::error::Error;
use std::fs;
use std::net::Ipv6Addr;
use std::ops::Range;
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use magpie_control::{EventKind, Watch};
use magpie_sys::netlink::RouteEvent;
use magpie_testnet::{Host, Node, Ping, PingReport, Pinger, Probe, connect};
use magpie_wire::LinkAddr;

use crate::common::{LIMIT, Magpie, Outcome, PREFIX};
use crate::disturbance::{Disturbance, Pace};
use crate::place::{PROTOCOL, Place, quick_node};

/// A place with a host on each inner link, all of which ping one another.
pub(crate) struct Scene {
    pub(crate) place: Place,
    /// The daemon; none while it is dead.
    magpie: Option<Magpie>,
    /// The host on the link "lan".
    pub(crate) lower: Host,
    /// The host on the link "lab", at first.
    pub(crate) roamer: Host,
    /// The bridge that the roamer is on.
    pub(crate) roamer_is_on: &'static str,
    /// What the addresses of the hosts, the router and the gateway begin with.
    prefix: Ipv6Addr,
    /// Time between two pings.
    interval: Duration,
    pings: Vec<(&'static str, Pinger)>,
    lladdrs: u8,
    /// What happened to it, in the form of the daemon's log.
    diary: Vec<String>,
    /// The logs of daemons that are dead.
    old_logs: String,
}

/// How a network came back.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Recovery {
    /// Time from the end of the disturbance until traffic flowed again in all directions.
    pub(crate) took: Duration,
    /// Pings that were not answered since the beginning of the disturbance.
    pub(crate) lost: usize,
}

/// Shows that a network recovers from a disturbance, and states how fast.
pub(crate) fn recovers_from(disturbance: &Disturbance) -> Outcome {
    let mut scene = Scene::new(Duration::from_millis(40))?;
    let process = scene.magpie()?.pid();
    let recovery = match scene.undergo(disturbance, Pace::Thorough, SUSTAINED) {
        Ok(recovery) => recovery,
        Err(error) => {
            let diary = scene.keep_diary(disturbance.name)?;
            return Err(format!("{error}; {} tells more", diary.display()).into());
        }
    };
    println!(
        "recovery: {}: {} ms, {} pings lost",
        disturbance.name.replace('_', " "),
        recovery.took.as_millis(),
        recovery.lost
    );
    assert!(recovery.took < ALLOWED, "{}: {:?}", disturbance.name, recovery.took);
    scene.stays_well(disturbance.name)?;
    if !disturbance.kills {
        assert_eq!(scene.magpie()?.pid(), process);
    }
    scene.finish()
}

impl Scene {
    /// Builds it and waits until all pings are answered.
    pub(crate) fn new(interval: Duration) -> Result<Self, Box<dyn Error>> {
        let place = Place::new()?;
        let magpie = Some(place.magpie()?);
        let (lower, _) = place.host("lower", "down", LOWER)?;
        let (roamer, _) = place.host("roamer", "side", ROAMER)?;
        let mut scene = Self {
            place,
            magpie,
            lower,
            roamer,
            roamer_is_on: "side",
            prefix: PREFIX,
            interval,
            pings: Vec::new(),
            lladdrs: 0,
            diary: Vec::new(),
            old_logs: String::new(),
        };
        scene.start_pings()?;
        // Nobody is asked for again within a second (RFC 4861 section 7.2.2), so that what happens
        // in the first second takes longer to recover from than what happens to networks at rest.
        let enough = usize::try_from(AT_REST.as_millis() / interval.as_millis())?;
        scene.await_recovery(Instant::now(), Instant::now(), enough)?;
        Ok(scene)
    }

    /// Undergoes a disturbance, and waits until so many pings in a row have been answered promptly
    /// in each direction.
    pub(crate) fn undergo(
        &mut self,
        disturbance: &Disturbance,
        pace: Pace,
        sustained: usize,
    ) -> Result<Recovery, Box<dyn Error>> {
        let begin = Instant::now();
        self.disturb(disturbance, pace)?;
        self.note("over");
        self.await_recovery(begin, Instant::now(), sustained)
    }

    /// Undergoes a disturbance.
    pub(crate) fn disturb(&mut self, disturbance: &Disturbance, pace: Pace) -> Outcome {
        self.note(disturbance.name);
        (disturbance.act)(self, pace)
            .map_err(|error| format!("{}: {error}", disturbance.name).into())
    }

    /// Waits until so many pings in a row, sent after the disturbance was `over`, have been answered
    /// promptly in each direction.
    pub(crate) fn await_recovery(
        &mut self,
        begin: Instant,
        over: Instant,
        sustained: usize,
    ) -> Result<Recovery, Box<dyn Error>> {
        let mut recovery = Recovery { took: Duration::ZERO, lost: 0 };
        for (way, ping) in &self.pings {
            let (at, lost) = loop {
                if let Some(found) = recovered(&ping.report(), begin, over, sustained) {
                    break found;
                }
                let left = LIMIT.saturating_sub(over.elapsed());
                if let Err(error) = ping.wait_reply(left) {
                    return Err(format!("no recovery of {way}: {error}").into());
                }
            };
            recovery.took = recovery.took.max(at.saturating_duration_since(over));
            recovery.lost += lost;
        }
        self.note(&format!("recovered after {} ms", recovery.took.as_millis()));
        Ok(recovery)
    }

    /// Watches until all kernels have checked whom they talk to, and finds traffic flowing in all
    /// directions meanwhile.
    fn stays_well(&mut self, after: &str) -> Outcome {
        let since = Instant::now();
        for (way, ping) in &self.pings {
            loop {
                let mut report = ping.report();
                report.probes.retain(|probe| probe.sent >= since);
                let outage = report.longest_outage();
                assert!(outage < ALLOWED, "{after}: {way}: silence for {outage:?} afterwards");
                let is_over = |probe: &Probe| probe.sent.duration_since(since) > AFTERMATH;
                if report.probes.iter().any(|probe| is_over(probe) && probe.round_trip.is_some()) {
                    break;
                }
                let left = (AFTERMATH + LIMIT).saturating_sub(since.elapsed());
                if let Err(error) = ping.wait_reply(left) {
                    let diary = self.keep_diary(after)?;
                    let diary = diary.display();
                    return Err(
                        format!("{after}: {way} afterwards: {error}; {diary} tells more").into()
                    );
                }
            }
        }
        Ok(())
    }

    /// Checks that nothing went wrong in the daemon, and stops it.
    pub(crate) fn finish(mut self) -> Outcome {
        let magpie = self.magpie.take().ok_or("the daemon is dead")?;
        let log = magpie.log();
        let is_complaint =
            |line: &&str| line.split_whitespace().nth(1) == Some("error") || line.contains("panic");
        let complaints: Vec<&str> = log.lines().filter(is_complaint).collect();
        assert!(complaints.is_empty(), "{complaints:?}");
        magpie.stop()?;
        let routes = self.place.host_routes()?;
        assert!(routes.is_empty(), "{routes:?}");
        Ok(())
    }

    /// Keeps a file with everything that happened and that the daemon wrote, in order.
    pub(crate) fn keep_diary(&self, name: &str) -> Result<PathBuf, Box<dyn Error>> {
        let folder = std::env::temp_dir().join("magpie-recovery");
        fs::create_dir_all(&folder)?;
        let path = folder.join(format!("{name}.log"));
        let log = self.magpie.as_ref().map(Magpie::log).unwrap_or_default();
        let mut lines: Vec<&str> = self.old_logs.lines().chain(log.lines()).collect();
        lines.extend(self.diary.iter().map(String::as_str));
        lines.sort_by_key(|line| line.get(TIME_OF_DAY));
        fs::write(&path, lines.join("\n"))?;
        Ok(path)
    }

    /// Writes into the diary.
    pub(crate) fn note(&mut self, what: &str) {
        let time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let (seconds, micros) = (time.as_secs() % 86_400, time.subsec_micros());
        let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
        // A place for the date, which does not matter.
        self.diary
            .push(format!("---------- {hours:02}:{minutes:02}:{seconds:02}.{micros:06}Z {what}"));
    }

    /// The daemon.
    pub(crate) fn magpie(&self) -> Result<&Magpie, Box<dyn Error>> {
        Ok(self.magpie.as_ref().ok_or("the daemon is dead")?)
    }

    /// Kills the daemon, and starts another.
    pub(crate) fn replace_magpie(&mut self) -> Outcome {
        let magpie = self.magpie.take().ok_or("the daemon is dead")?;
        self.old_logs += &magpie.log();
        magpie.kill()?;
        self.magpie = Some(self.place.magpie()?);
        Ok(())
    }

    /// Does something to the network, and waits until the daemon says that a link is in `state`.
    pub(crate) fn until_link(
        &mut self,
        link: &str,
        state: &str,
        act: impl FnOnce(&mut Self) -> Outcome,
    ) -> Outcome {
        let mut watch: Watch = self.magpie()?.watch()?;
        act(self)?;
        Magpie::await_event(&mut watch, &format!("{link} to be {state}"), |event| {
            let is_it = event.kind == EventKind::LinkChanged
                && event.link.as_deref() == Some(link)
                && event.detail.as_deref().is_some_and(|detail| detail.contains(state));
            is_it.then_some(())
        })
    }

    /// An address of the subnet, as it is numbered at present.
    pub(crate) fn at(&self, number: u16) -> Ipv6Addr {
        address_in(self.prefix, number)
    }

    /// A link-layer address that nobody has had.
    pub(crate) fn fresh_lladdr(&mut self) -> LinkAddr {
        self.lladdrs = self.lladdrs.wrapping_add(1);
        LinkAddr([2, 0x4d, 0x67, 0, 0, self.lladdrs])
    }

    /// Gives the gateway's uplink the address that it is to have, as whoever manages it does after
    /// the kernel has taken it.
    pub(crate) fn restore_uplink(&self) -> Outcome {
        let address = self.at(GATEWAY);
        let found = self.place.gateway.addresses("wan")?;
        if !found.iter().any(|found| found.address == address) {
            self.place.gateway.add_address_nodad("wan", address, 64)?;
        }
        Ok(())
    }

    /// Lays the gateway's cable for a link anew, whose name it has as on the first day.
    pub(crate) fn plug_in(&mut self, link: &str, tentative: bool) -> Outcome {
        let (port, bridge) = port_of(link);
        let lladdr = self.fresh_lladdr();
        let gateway = &self.place.gateway;
        gateway.set_conf("default", "accept_dad", u8::from(tentative))?;
        let near = gateway.plug(link).lladdr(lladdr);
        connect(&near, &self.place.switch.plug(port).bridge(bridge))?;
        gateway.set_conf("default", "accept_dad", 0)?;
        if link == "wan" {
            self.restore_uplink()?;
        }
        Ok(())
    }

    /// Puts another router in the place of the upstream one.
    pub(crate) fn replace_router(&mut self) -> Outcome {
        self.pings.clear();
        let router = quick_node("router")?;
        router.set_forwarding()?;
        self.place.router.delete_link("lan")?;
        connect(&router.plug("lan"), &self.place.switch.plug("router").bridge("up"))?;
        router.add_address_nodad("lan", self.at(ROUTER), 64)?;
        self.place.router = router;
        self.start_pings()
    }

    /// Renumbers the whole subnet, to what it has never been.
    pub(crate) fn renumber(&mut self) -> Outcome {
        let old = self.prefix;
        let [a, b, c, ..] = old.segments();
        self.prefix = Ipv6Addr::new(a, b, c.wrapping_add(1), 0, 0, 0, 0, 0);
        let nodes: [(&Node, &str, u16); 4] = [
            (&self.place.router, "lan", ROUTER),
            (&self.place.gateway, "wan", GATEWAY),
            (&self.lower, Host::LINK, LOWER),
            (&self.roamer, Host::LINK, ROAMER),
        ];
        for (node, link, number) in nodes {
            node.add_address_nodad(link, address_in(self.prefix, number), 64)?;
        }
        for (node, link, number) in nodes {
            node.delete_address(link, address_in(old, number), 64)?;
        }
        self.start_pings()
    }

    /// The host routes of Magpie's to the two hosts, and others of its.
    pub(crate) fn host_routes(&self) -> Result<Vec<RouteEvent>, Box<dyn Error>> {
        self.place.host_routes()
    }

    /// Waits until there is a host route of Magpie's to each of the two hosts.
    pub(crate) fn await_host_routes(&self) -> Outcome {
        let targets = [self.at(LOWER), self.at(ROAMER)];
        self.place.gateway.wait_routes(LIMIT, "routes to both hosts", |routes| {
            let has_route = |target: &Ipv6Addr| {
                routes
                    .iter()
                    .any(|route| route.protocol == PROTOCOL && route.destination == *target)
            };
            targets.iter().all(has_route).then_some(())
        })?;
        Ok(())
    }

    fn start_pings(&mut self) -> Outcome {
        let router = self.at(ROUTER);
        let (lower, roamer) = (self.at(LOWER), self.at(ROAMER));
        let ways: [(&str, &Node, Ipv6Addr); 4] = [
            ("router to lower", &self.place.router, lower),
            ("lower to router", &self.lower, router),
            ("router to roamer", &self.place.router, roamer),
            ("roamer to lower", &self.roamer, lower),
        ];
        let mut pings = Vec::new();
        for (way, node, target) in ways {
            pings.push((way, Pinger::start(node, &Ping::new(target), self.interval)?));
        }
        self.pings = pings;
        Ok(())
    }
}

/// The switch's port and bridge that a link of the gateway's is connected with.
pub(crate) fn port_of(link: &str) -> (&'static str, &'static str) {
    match link {
        "wan" => ("gw-wan", "up"),
        "lan" => ("gw-lan", "down"),
        _ => ("gw-lab", "side"),
    }
}

/// What a process holds: open descriptors and resident memory in KiB.
pub(crate) fn holdings(process: u32) -> Result<(usize, u64), Box<dyn Error>> {
    let descriptors = fs::read_dir(format!("/proc/{process}/fd"))?.count();
    let status = fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS")?;
    let resident = line.split_whitespace().next().ok_or("an empty VmRSS")?.parse()?;
    Ok((descriptors, resident))
}

/// When traffic was back, and how many pings were lost since `begin`, if so many that were sent
/// after `over` were answered promptly in a row.
fn recovered(
    report: &PingReport,
    begin: Instant,
    over: Instant,
    sustained: usize,
) -> Option<(Instant, usize)> {
    let since: Vec<_> = report.probes.iter().filter(|probe| probe.sent >= begin).collect();
    let mut in_a_row = 0;
    for (index, probe) in since.iter().enumerate() {
        let is_prompt = probe.round_trip.is_some_and(|time| time < PROMPT);
        in_a_row = if probe.sent >= over && is_prompt { in_a_row + 1 } else { 0 };
        if in_a_row == sustained {
            let first = since.get(index + 1 - sustained)?;
            let before = since.get(..index + 1 - sustained)?;
            let lost = before.iter().filter(|probe| probe.round_trip.is_none()).count();
            return Some((first.sent + first.round_trip?, lost));
        }
    }
    None
}

fn address_in(prefix: Ipv6Addr, number: u16) -> Ipv6Addr {
    let [a, b, c, d, ..] = prefix.segments();
    Ipv6Addr::new(a, b, c, d, 0, 0, 0, number)
}

/// The interface identifiers of all there are.
pub(crate) const ROUTER: u16 = 1;
pub(crate) const GATEWAY: u16 = 0x10;
pub(crate) const LOWER: u16 = 0x21;
pub(crate) const ROAMER: u16 = 0x31;

/// Pings in a row after which a network counts as recovered, where there is time to look closely.
pub(crate) const SUSTAINED: usize = 10;
/// Recovery takes three seconds, and twice that where the machine is busy with other things.
pub(crate) const ALLOWED: Duration = Duration::from_secs(6);
/// Kernels believe in a neighbor for five seconds, and ask it three times then (RFC 4861 section 10).
const AFTERMATH: Duration = Duration::from_secs(9);
/// Where the time of day is in a line of the log.
const TIME_OF_DAY: Range<usize> = 11..27;
/// How long there have been replies to everything before anything is disturbed.
const AT_REST: Duration = Duration::from_millis(1200);
/// Replies that come later have waited for something.
const PROMPT: Duration = Duration::from_millis(200);
/// A look at the daemon takes a descriptor.
pub(crate) const SPARE_DESCRIPTORS: usize = 2;
/// Pages that an allocator keeps for later.
pub(crate) const SPARE_MEMORY_KIB: u64 = 2048;
