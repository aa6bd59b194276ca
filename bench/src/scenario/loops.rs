//! Two reflectors side by side between the same two links: what they send because of each other.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use magpie_testnet::peers::{Avahi, AvahiOptions, PeerFiles, Service};
use magpie_testnet::{Bridge, DelayLine, Frame, Gateway, Host, Node, Tester, connect};
use magpie_wire::LinkAddr;
use magpie_wire::datagram::{MDNS_PORT, Received, complete_checksum};

use super::{Bound, Column, Criterion, Figures, Measure, STRANGERS, Scenario, Trial};
use crate::account::Strangers;
use crate::daemon::Folder;
use crate::error::BenchError;
use crate::interrupt;
use crate::system::System;

pub(super) const SCENARIO: Scenario = Scenario {
    name: "loops",
    title: "Two reflectors side by side, one of them behind a delay: packets a second of both, in \
            the 10 seconds after a host has come, and in the 10 seconds after these (at rest)",
    fits: |system| system.pair().is_some(),
    many_targets: false,
    baseline: System::Avahi,
    columns: &[
        column("come_0", "0 ms"),
        column("rest_0", "0 ms, at rest"),
        column("come_20", "20 ms"),
        column("rest_20", "20 ms, at rest"),
        column("come_150", "150 ms"),
        column("rest_150", "150 ms, at rest"),
        column("come_600", "600 ms"),
        column("rest_600", "600 ms, at rest"),
    ],
    criteria: &[
        not_more("come_0"),
        not_more("come_20"),
        not_more("come_150"),
        not_more("come_600"),
        silent("rest_0"),
        silent("rest_20"),
        silent("rest_150"),
        silent("rest_600"),
    ],
    rounds: u32::MAX,
    measure: Measure::Alone(measure),
};

const fn column(key: &'static str, title: &'static str) -> Column {
    Column { key, title, decimals: 1, compared: false }
}

const fn not_more(key: &'static str) -> Criterion {
    Criterion { key, bound: Bound::MostTimes(1.0, &[System::Avahi]) }
}

const fn silent(key: &'static str) -> Criterion {
    Criterion { key, bound: Bound::Most(0.0) }
}

fn measure(trial: &Trial<'_>) -> Result<Figures, BenchError> {
    let (Some(pair), Some(files)) = (trial.system.pair(), &trial.programs.avahi) else {
        return Ok(Figures::new());
    };
    let mut figures = Figures::new();
    let strangers = Strangers::watch(None).ok();
    for (delay, [come, rest]) in DELAYS {
        let counts = circulate(trial, pair, files, Duration::from_millis(delay))?;
        for (key, count) in [come, rest].into_iter().zip(counts) {
            figures.insert(key, f64::from(count) / WINDOW.as_secs_f64());
        }
    }
    if let Some(share) = strangers.and_then(|strangers| strangers.share().ok()) {
        figures.insert(STRANGERS, share * 100.0);
    }
    Ok(figures)
}

/// Lets a host come where two reflectors are, and counts what they send on both links thereafter,
/// and when that should be over.
///
/// ```text
///  newcomer --+-- first gateway ------------+-- host with a service
///             +-- delay -- second gateway --+
///            up                            down
/// ```
fn circulate(
    trial: &Trial<'_>,
    pair: [System; 2],
    files: &PeerFiles,
    delay: Duration,
) -> Result<[u32; 2], BenchError> {
    let switch = Node::switch("switch")?;
    for bridge in ["up", "down", "far"] {
        switch.add_bridge(&Bridge::new(bridge))?;
    }
    let is_far = !delay.is_zero();
    let _line =
        is_far.then(|| DelayLine::start("air", &switch, ["up", "far"], delay)).transpose()?;
    let uplink = if is_far { "far" } else { "up" };
    let gateways = [
        gateway(2).build("gw", &switch, ["up", "down"])?,
        gateway(4).build("gw2", &switch, [uplink, "down"])?,
    ];
    let mut reflectors = Vec::new();
    for gateway in &gateways {
        reflectors.extend([gateway.lladdr(Gateway::WAN)?, gateway.lladdr(Gateway::LAN)?]);
    }
    let inside = host("inside", &switch, "down", 41)?;
    let service = Service::new("Kitchen", "_ipp._tcp", 631);
    let _responder = Avahi::start(&inside, files, &AvahiOptions::new("pi-41").service(service))?;
    let mut links = Links {
        ears: [
            Tester::new("above", &switch, "up", None)?,
            Tester::new("below", &switch, "down", None)?,
        ],
        reflectors,
    };
    let _running = [
        Reflector::start(pair[0], &gateways[0], trial, files)?,
        Reflector::start(pair[1], &gateways[1], trial, files)?,
    ];
    links.count(SETTLE)?;
    let newcomer = host("newcomer", &switch, "up", 13)?;
    let _newcomer = Avahi::launch(&newcomer, files, &AvahiOptions::new("laptop"))?;
    let come = links.count(WINDOW)?;
    if come == 0 {
        let said = format!("nothing of a host that has come, {delay:?} apart");
        return Err(BenchError::Silent { system: trial.system.name(), limit: WINDOW, said });
    }
    Ok([come, links.count(WINDOW)?])
}

/// Both links, and who is counted there.
struct Links {
    ears: [Tester; 2],
    reflectors: Vec<LinkAddr>,
}

impl Links {
    /// Counts what the reflectors send in this time.
    fn count(&mut self, time: Duration) -> Result<u32, BenchError> {
        let end = Instant::now() + time;
        let mut count = 0;
        while Instant::now() < end {
            interrupt::check()?;
            // Short turns, so that what comes meanwhile finds room at the other ear.
            for ear in &mut self.ears {
                for frame in &mut ear.collect(TURN)? {
                    // The kernel leaves the checksum to the device, and here is none.
                    complete_checksum(&mut frame.bytes, false);
                    count += u32::from(is_sent_by(&self.reflectors, frame));
                }
            }
        }
        Ok(count)
    }
}

fn is_sent_by(reflectors: &[LinkAddr], frame: &Frame) -> bool {
    match Received::parse(&frame.bytes) {
        Ok(Received::Whole(datagram)) => {
            datagram.destination.port() == MDNS_PORT
                && reflectors.contains(&datagram.ethernet_source)
        }
        _ => false,
    }
}

/// A reflector at work.
enum Reflector {
    Magpie { child: Child, _folder: Folder },
    Avahi { _daemon: Avahi },
}

impl Reflector {
    fn start(
        system: System,
        gateway: &Node,
        trial: &Trial<'_>,
        files: &PeerFiles,
    ) -> Result<Self, BenchError> {
        if system == System::Avahi {
            let options = AvahiOptions::reflector("gateway");
            return Ok(Self::Avahi { _daemon: Avahi::start(gateway, files, &options)? });
        }
        let folder = Folder::new()?;
        let configuration = format!(
            "[[relay]]\nlinks = [\"{}\", \"{}\"]\nmdns = {{ addresses = \"all\" }}\n",
            Gateway::WAN,
            Gateway::LAN
        );
        let configuration = folder.write("magpie.toml", &configuration)?;
        let mut command: Command = gateway.command(&trial.programs.magpie)?;
        interrupt::spare(&mut command);
        command.args(["run", "-c"]).arg(configuration);
        command.arg("--control").arg(folder.path().join("control"));
        command.args(["--log-level", "error"]);
        let child = command.spawn().map_err(|source| BenchError::Start {
            program: trial.programs.magpie.display().to_string(),
            source,
        })?;
        Ok(Self::Magpie { child, _folder: folder })
    }
}

impl Drop for Reflector {
    fn drop(&mut self) {
        if let Self::Magpie { child, .. } = self {
            // It may have ended, which is as good.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn gateway(number: u8) -> Gateway {
    Gateway {
        wan: Some((address4(number), 24)),
        lan: Some((address4(number + 1), 24)),
        address: address6(number),
        rp_filter: 0,
    }
}

/// A host with an address of each version.
fn host(name: &str, switch: &Node, bridge: &str, number: u8) -> Result<Node, BenchError> {
    let node = Node::new(name)?;
    node.set_conf("default", "accept_dad", 0)?;
    connect(&node.plug(Host::LINK), &switch.plug(name).bridge(bridge))?;
    node.wait_link_local(Host::LINK, LIMIT)?;
    node.add_address4(Host::LINK, address4(number), 24)?;
    node.add_address_nodad(Host::LINK, address6(number), 64)?;
    Ok(node)
}

const fn address4(number: u8) -> Ipv4Addr {
    Ipv4Addr::new(192, 0, 2, number)
}

const fn address6(number: u8) -> Ipv6Addr {
    Ipv6Addr::new(0x2001, 0xdb8, 7, 0, 0, 0, 0, number as u16)
}

/// In milliseconds, with the figures that are measured there.
const DELAYS: [(u64, [&str; 2]); 4] = [
    (0, ["come_0", "rest_0"]),
    (20, ["come_20", "rest_20"]),
    (150, ["come_150", "rest_150"]),
    (600, ["come_600", "rest_600"]),
];
const WINDOW: Duration = Duration::from_secs(10);
/// What follows the start of the reflectors is over then, if it is ever.
const SETTLE: Duration = Duration::from_secs(5);
const TURN: Duration = Duration::from_millis(10);
const LIMIT: Duration = Duration::from_secs(10);
