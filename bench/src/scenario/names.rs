//! Names: how long questions and answers of multicast DNS take through the router, and in how many
//! packets.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
use std::time::{Duration, Instant};

use magpie_sys::link_socket::LinkSocket;
use magpie_wire::LinkAddr;
use magpie_wire::datagram::{
    Datagram, MDNS_GROUP_V6, MDNS_PORT, Received, complete_checksum, group_lladdr,
};
use magpie_wire::dns::{Composer, Header, Message, Name, Question, Record, Section, kind};

use super::{Bound, Column, Criterion, Figures, STEERED, STRANGERS, Scenario, Trial};
use crate::account::Strangers;
use crate::error::BenchError;
use crate::interrupt;
use crate::lab::{ASKER_ADDRESS, ASKER_LLADDR, LAN_LLADDR, Lab, WAN_LLADDR};
use crate::stats::{percent, percentile};
use crate::system::{Job, System};
use crate::targets::host_address;

pub(super) const SCENARIO: Scenario = Scenario {
    name: "names",
    title: "Names through the router, 40 new ones a second: a question, and its answer at once",
    fits: System::reflects,
    many_targets: false,
    baseline: System::Avahi,
    columns: &[
        Column { key: "question_p50", title: "question p50 µs", decimals: 0, compared: true },
        Column { key: "question_p99", title: "question p99 µs", decimals: 0, compared: true },
        Column { key: "answer_p50", title: "answer p50 µs", decimals: 0, compared: true },
        Column { key: "answer_p99", title: "answer p99 µs", decimals: 0, compared: true },
        Column { key: "crossed", title: "resolved %", decimals: 1, compared: false },
        Column { key: "packets", title: "packets sent per name", decimals: 2, compared: true },
        Column { key: "cpu", title: "processor µs/name", decimals: 0, compared: true },
        Column { key: "memory", title: "memory KiB", decimals: 0, compared: true },
    ],
    criteria: &[
        Criterion { key: "question_p50", bound: Bound::MostTimes(1.0, AVAHI) },
        Criterion { key: "question_p99", bound: Bound::MostTimes(1.0, AVAHI) },
        Criterion { key: "answer_p50", bound: Bound::MostTimes(1.0, AVAHI) },
        Criterion { key: "answer_p99", bound: Bound::MostTimes(1.0, AVAHI) },
        Criterion { key: "packets", bound: Bound::MostTimes(1.0, AVAHI) },
        Criterion { key: "cpu", bound: Bound::MostTimes(1.0, AVAHI) },
        Criterion { key: "crossed", bound: Bound::Least(100.0) },
    ],
    rounds: u32::MAX,
    measure,
};

fn measure(trial: &Trial<'_>) -> Result<Figures, BenchError> {
    let count = trial.scale(80, 600);
    let lab = Lab::new(trial.system.layout(Job::Reflect))?;
    let [upstream, inside] = lab.link_sockets()?;
    let mut hosts = Hosts { upstream, inside, exchanges: BTreeMap::new(), packets: 0 };
    let mut daemon = trial.system.start(Job::Reflect, trial.programs, &lab)?;
    if !hosts.await_first()? {
        return Err(BenchError::Silent {
            system: trial.system.name(),
            limit: START,
            said: daemon.said(),
        });
    }
    // What follows the start is over.
    hosts.listen_until(Instant::now() + SETTLE)?;
    hosts.exchanges.clear();
    hosts.packets = 0;
    daemon.check()?;
    let strangers = Strangers::watch(Some(daemon.process())).ok();
    let before = daemon.process().cpu_time()?;
    let start = Instant::now();
    for number in 0..count {
        hosts.listen_until(start + INTERVAL * number)?;
        hosts.ask(number)?;
    }
    hosts.listen_until(Instant::now() + PATIENCE)?;
    daemon.check()?;
    let cpu_time = daemon.process().cpu_time()?.saturating_sub(before);

    let exchanges = hosts.exchanges.values();
    let (mut questions, mut answers): (Vec<_>, Vec<_>) = (
        exchanges.clone().filter_map(|exchange| exchange.question).collect(),
        exchanges.filter_map(|exchange| exchange.answer).collect(),
    );
    let mut figures = Figures::from([
        ("packets", f64::from(hosts.packets) / f64::from(count)),
        ("cpu", cpu_time.as_secs_f64() * 1e6 / f64::from(count)),
        ("memory", f64::from(daemon.process().resident_kib()?)),
        ("crossed", percent(u32::try_from(answers.len()).unwrap_or(count), count)),
        (STEERED, if lab.is_steered() { 1.0 } else { 0.0 }),
    ]);
    for ([median, highest], latencies) in [
        (["question_p50", "question_p99"], &mut questions),
        (["answer_p50", "answer_p99"], &mut answers),
    ] {
        for (key, permille) in [(median, 500), (highest, 990)] {
            figures.extend(percentile(latencies, permille).map(|value| (key, value)));
        }
    }
    if let Some(share) = strangers.and_then(|strangers| strangers.share().ok()) {
        figures.insert(STRANGERS, share * 100.0);
    }
    Ok(figures)
}

/// One name: when it was asked for, and how long the question and the answer took.
#[derive(Debug)]
struct Exchange {
    asked: Instant,
    question: Option<Duration>,
    answered: Option<Instant>,
    answer: Option<Duration>,
}

/// The hosts at both ends: one upstream asks, one inside has all the names.
struct Hosts {
    upstream: LinkSocket,
    inside: LinkSocket,
    exchanges: BTreeMap<u32, Exchange>,
    /// What the router sent to both ends.
    packets: u32,
}

impl Hosts {
    /// Asks for other names until an answer has come through; tells whether one did.
    fn await_first(&mut self) -> Result<bool, BenchError> {
        let deadline = Instant::now() + START;
        for number in FIRST.. {
            if Instant::now() >= deadline {
                break;
            }
            self.ask(number)?;
            self.listen_until(Instant::now() + INTERVAL)?;
            if self.exchanges.values().any(|exchange| exchange.answer.is_some()) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn ask(&mut self, number: u32) -> Result<(), BenchError> {
        let question = Question {
            name: name(number),
            kind: kind::AAAA,
            class: kind::CLASS_IN,
            unicast: false,
        };
        let mut composer = Composer::new(Header::default(), LIMIT);
        // Nothing is as short as this.
        let _ = composer.push_question(&question);
        let frame = frame(ASKER_LLADDR, ASKER_ADDRESS, &composer.finish());
        let exchange =
            Exchange { asked: Instant::now(), question: None, answered: None, answer: None };
        self.exchanges.insert(number, exchange);
        Ok(self.upstream.send(&frame)?)
    }

    /// Plays both ends, without a pause, until then.
    fn listen_until(&mut self, end: Instant) -> Result<(), BenchError> {
        let mut buffer = vec![0; 2048];
        loop {
            interrupt::check()?;
            if let Some(frame) = self.inside.receive(&mut buffer)?
                && !frame.outgoing
            {
                self.on_inside(complete(&mut buffer, frame.len))?;
            }
            if let Some(frame) = self.upstream.receive(&mut buffer)?
                && !frame.outgoing
            {
                self.on_upstream(complete(&mut buffer, frame.len));
            }
            if Instant::now() >= end {
                return Ok(());
            }
        }
    }

    /// Answers each question, as a host does that has the name.
    fn on_inside(&mut self, octets: &[u8]) -> Result<(), BenchError> {
        let now = Instant::now();
        let Some(payload) = of_router(octets, LAN_LLADDR) else { return Ok(()) };
        self.packets += 1;
        let Ok(message) = Message::parse(payload) else { return Ok(()) };
        if message.is_response {
            return Ok(());
        }
        for question in &message.questions {
            let Some(number) = number(&question.name) else { continue };
            let Some(exchange) = self.exchanges.get_mut(&number) else { continue };
            if exchange.question.is_some() {
                continue;
            }
            exchange.question = Some(now - exchange.asked);
            let header = Header { is_response: true, is_authoritative: true, ..Header::default() };
            let mut composer = Composer::new(header, LIMIT);
            let address = IpAddr::V6(host_address(number));
            // Nothing is as short as this.
            let _ = composer.push(Section::Answer, &Record::of_address(name(number), TTL, address));
            let frame = frame(INSIDE_HOST_LLADDR, INSIDE_HOST, &composer.finish());
            exchange.answered = Some(Instant::now());
            self.inside.send(&frame)?;
        }
        Ok(())
    }

    fn on_upstream(&mut self, octets: &[u8]) {
        let now = Instant::now();
        let Some(payload) = of_router(octets, WAN_LLADDR) else { return };
        self.packets += 1;
        let Ok(message) = Message::parse(payload) else { return };
        if !message.is_response {
            return;
        }
        for record in &message.answers {
            let exchange = number(&record.name).and_then(|number| self.exchanges.get_mut(&number));
            if let Some(exchange) = exchange
                && let Some(answered) = exchange.answered
            {
                exchange.answer.get_or_insert(now - answered);
            }
        }
    }
}

/// A frame as it would be on a wire: what the router's kernel sends has no checksum yet.
fn complete(buffer: &mut [u8], length: usize) -> &[u8] {
    let frame = buffer.get_mut(..length).unwrap_or_default();
    complete_checksum(frame, false);
    frame
}

/// What the router says to the group.
fn of_router(octets: &[u8], router: LinkAddr) -> Option<&[u8]> {
    match Received::parse(octets) {
        Ok(Received::Whole(datagram))
            if datagram.ethernet_source == router && datagram.destination.port() == MDNS_PORT =>
        {
            Some(datagram.payload)
        }
        _ => None,
    }
}

fn frame(lladdr: LinkAddr, source: Ipv6Addr, payload: &[u8]) -> Vec<u8> {
    let group = IpAddr::V6(MDNS_GROUP_V6);
    let datagram = Datagram {
        ethernet_source: lladdr,
        ethernet_destination: group_lladdr(group),
        source: (source, MDNS_PORT).into(),
        destination: (group, MDNS_PORT).into(),
        hop_limit: 255,
        payload,
    };
    let mut frame = Vec::new();
    datagram.emit(&mut frame);
    frame
}

/// The name of the host of this number.
fn name(number: u32) -> Name<'static> {
    let labels = [format!("host-{number}"), "local".to_owned()];
    // Labels as short as these make a name.
    Name::from_labels(labels).unwrap_or_else(|error| unreachable!("{error}"))
}

fn number(name: &Name<'_>) -> Option<u32> {
    let first = std::str::from_utf8(name.labels().next()?).ok()?;
    first.strip_prefix("host-")?.parse().ok()
}

const AVAHI: &[System] = &[System::Avahi];
/// Fewer than Magpie takes from one sender.
const INTERVAL: Duration = Duration::from_millis(25);
/// The names before the measurement.
const FIRST: u32 = 1_000_000;
/// avahi-daemon takes some seconds until it is sure of its own name.
const START: Duration = Duration::from_secs(30);
const SETTLE: Duration = Duration::from_secs(3);
const PATIENCE: Duration = Duration::from_secs(2);
/// Octets of the longest message.
const LIMIT: usize = 1_400;
/// What hosts give their addresses (RFC 6762 section 10).
const TTL: u32 = 120;
const INSIDE_HOST: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 1, 2);
const INSIDE_HOST_LLADDR: LinkAddr = LinkAddr([0x02, 0x07, 0, 0, 1, 3]);
