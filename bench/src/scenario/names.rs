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

use super::{Bound, Column, Criterion, Figures, Measure, STEERED, STRANGERS, Scenario, Trial};
use crate::account::Strangers;
use crate::daemon::Daemon;
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
        Column { key: "aside", title: "set aside %", decimals: 1, compared: false },
        Column { key: "packets", title: "packets sent per name", decimals: 2, compared: true },
        Column { key: "host", title: "packets for a host that comes", decimals: 1, compared: true },
        Column { key: "browse", title: "packets for a browser", decimals: 1, compared: true },
        Column { key: "cpu", title: "processor µs/name", decimals: 0, compared: true },
        Column { key: "memory", title: "memory KiB", decimals: 0, compared: true },
    ],
    criteria: &[
        Criterion { key: "question_p50", bound: Bound::MostTimes(1.0, AVAHI) },
        Criterion { key: "question_p99", bound: Bound::MostTimes(1.0, AVAHI) },
        Criterion { key: "answer_p50", bound: Bound::MostTimes(1.0, AVAHI) },
        Criterion { key: "answer_p99", bound: Bound::MostTimes(1.0, AVAHI) },
        Criterion { key: "packets", bound: Bound::MostTimes(1.0, AVAHI) },
        Criterion { key: "host", bound: Bound::MostTimes(1.0, AVAHI) },
        Criterion { key: "browse", bound: Bound::MostTimes(1.0, AVAHI) },
        Criterion { key: "cpu", bound: Bound::MostTimes(1.0, AVAHI) },
        Criterion { key: "crossed", bound: Bound::Least(100.0) },
    ],
    rounds: u32::MAX,
    measure: Measure::Together(measure),
};

/// Measures all systems at the same time, each in a network of its own, and in turn: some names in one,
/// then as many in the other. While one of them is asked, the others have nothing to do.
fn measure(trials: &[Trial<'_>]) -> Result<Vec<Figures>, BenchError> {
    let count = trials.first().map_or(0, |trial| trial.scale(3 * BLOCK, 25 * BLOCK));
    let newcomers = trials.first().map_or(0, |trial| trial.scale(3, 10));
    let mut runs = trials.iter().map(Run::begin).collect::<Result<Vec<_>, _>>()?;
    let mut seen = Instant::now();
    // What follows the start is over.
    listen_until(&mut runs, &mut seen, Instant::now() + SETTLE)?;
    let strangers = Strangers::watch(runs.iter().map(|run| run.daemon.process())).ok();
    for run in &mut runs {
        run.start_over()?;
    }
    for block in 0..count / BLOCK {
        for place in 0..runs.len() {
            let start = Instant::now() + PAUSE;
            for name in 0..BLOCK {
                listen_until(&mut runs, &mut seen, start + INTERVAL * name)?;
                if let Some(run) = runs.get_mut(place) {
                    run.hosts.ask(block * BLOCK + name)?;
                }
            }
        }
    }
    listen_until(&mut runs, &mut seen, Instant::now() + PATIENCE)?;
    let mut all = runs.iter_mut().map(|run| run.figures(count)).collect::<Result<Vec<_>, _>>()?;
    let shares = strangers.and_then(|strangers| strangers.share().ok());

    for (key, scene) in [("host", HOST_COMES), ("browse", SOMEBODY_BROWSES)] {
        for run in &mut runs {
            run.hosts.packets = 0;
        }
        play(&mut runs, &mut seen, newcomers, scene)?;
        for (run, figures) in runs.iter_mut().zip(&mut all) {
            run.daemon.check()?;
            figures.insert(key, f64::from(run.hosts.packets) / f64::from(newcomers));
        }
    }
    for figures in &mut all {
        figures.extend(shares.map(|share| (STRANGERS, share * 100.0)));
    }
    Ok(all)
}

/// Has the same said for each of `newcomers` hosts, which follow each other, in all networks.
fn play(
    runs: &mut [Run],
    seen: &mut Instant,
    newcomers: u32,
    scene: &[(Duration, Line)],
) -> Result<(), BenchError> {
    let lines = |newcomer: u32| {
        scene.iter().map(move |(at, line)| (FOLLOWING * newcomer + *at, newcomer, *line))
    };
    let mut lines: Vec<_> = (0..newcomers).flat_map(lines).collect();
    lines.sort_unstable_by_key(|(at, ..)| *at);
    let start = Instant::now();
    for (at, newcomer, line) in lines {
        listen_until(runs, seen, start + at)?;
        for run in runs.iter_mut() {
            run.hosts.say(newcomer, line)?;
        }
    }
    listen_until(runs, seen, Instant::now() + AFTERWARDS)
}

/// Plays all ends, without a pause, until then. `seen` is when they were last looked at: what was under
/// way while this process had to wait for a processor says nothing about the systems.
fn listen_until(runs: &mut [Run], seen: &mut Instant, end: Instant) -> Result<(), BenchError> {
    loop {
        interrupt::check()?;
        if seen.elapsed() > AWAY {
            for run in runs.iter_mut() {
                run.hosts.set_aside();
            }
        }
        *seen = Instant::now();
        for run in runs.iter_mut() {
            run.hosts.listen()?;
        }
        if *seen >= end {
            return Ok(());
        }
    }
}

/// A system at work in a network of its own.
struct Run {
    hosts: Hosts,
    daemon: Daemon,
    lab: Lab,
    /// What processor time it had taken before.
    before: Duration,
}

impl Run {
    fn begin(trial: &Trial<'_>) -> Result<Self, BenchError> {
        let lab = Lab::new(trial.system.layout(Job::Reflect))?;
        let [upstream, inside] = lab.link_sockets()?;
        let buffer = vec![0; 2048];
        let mut hosts = Hosts { upstream, inside, exchanges: BTreeMap::new(), packets: 0, buffer };
        let daemon = trial.system.start(Job::Reflect, trial.programs, &lab)?;
        if !hosts.await_first()? {
            return Err(BenchError::Silent {
                system: trial.system.name(),
                limit: START,
                said: daemon.said(),
            });
        }
        Ok(Self { hosts, daemon, lab, before: Duration::ZERO })
    }

    fn start_over(&mut self) -> Result<(), BenchError> {
        self.daemon.check()?;
        self.hosts.exchanges.clear();
        self.hosts.packets = 0;
        self.before = self.daemon.process().cpu_time()?;
        Ok(())
    }

    fn figures(&mut self, count: u32) -> Result<Figures, BenchError> {
        self.daemon.check()?;
        let cpu_time = self.daemon.process().cpu_time()?.saturating_sub(self.before);
        let exchanges = self.hosts.exchanges.values();
        let crossed = exchanges.clone().filter(|exchange| exchange.answer.is_some()).count();
        let valid = exchanges.clone().filter(|exchange| !exchange.is_set_aside);
        let aside = count.saturating_sub(u32::try_from(valid.clone().count()).unwrap_or(count));
        let (mut questions, mut answers): (Vec<_>, Vec<_>) = (
            valid.clone().filter_map(|exchange| exchange.question).collect(),
            valid.filter_map(|exchange| exchange.answer).collect(),
        );
        let mut figures = Figures::from([
            ("packets", f64::from(self.hosts.packets) / f64::from(count)),
            ("cpu", cpu_time.as_secs_f64() * 1e6 / f64::from(count)),
            ("memory", f64::from(self.daemon.process().resident_kib()?)),
            ("crossed", percent(u32::try_from(crossed).unwrap_or(count), count)),
            ("aside", percent(aside, count)),
            (STEERED, if self.lab.is_steered() { 1.0 } else { 0.0 }),
        ]);
        for ([median, highest], latencies) in [
            (["question_p50", "question_p99"], &mut questions),
            (["answer_p50", "answer_p99"], &mut answers),
        ] {
            for (key, permille) in [(median, 500), (highest, 990)] {
                figures.extend(percentile(latencies, permille).map(|value| (key, value)));
            }
        }
        Ok(figures)
    }
}

/// What is said of a host inside, which offers a service.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Line {
    /// It asks whether anybody has its names (RFC 6762 section 8.1).
    Probe,
    /// It says that they are its own (RFC 6762 section 8.3).
    Announcement,
    /// Somebody upstream asks for its service, as one does who has just opened a list
    Question,
    /// and keeps it open (RFC 6762 section 5.2).
    QuestionWithAnswer,
}

/// One name: when it was asked for, and how long the question and the answer took.
#[derive(Debug)]
struct Exchange {
    asked: Instant,
    question: Option<Duration>,
    answered: Option<Instant>,
    answer: Option<Duration>,
    /// The generator was away meanwhile.
    is_set_aside: bool,
}

/// The hosts at both ends: one upstream asks, one inside has all the names.
struct Hosts {
    upstream: LinkSocket,
    inside: LinkSocket,
    exchanges: BTreeMap<u32, Exchange>,
    /// What the router sent to both ends.
    packets: u32,
    /// Empty between calls, kept for its memory.
    buffer: Vec<u8>,
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
            let end = Instant::now() + INTERVAL;
            while Instant::now() < end {
                interrupt::check()?;
                self.listen()?;
            }
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
        let exchange = Exchange {
            asked: Instant::now(),
            question: None,
            answered: None,
            answer: None,
            is_set_aside: false,
        };
        self.exchanges.insert(number, exchange);
        Ok(self.upstream.send(&frame)?)
    }

    /// Leaves the times of what is under way out of account.
    fn set_aside(&mut self) {
        for exchange in self.exchanges.values_mut().filter(|exchange| exchange.answer.is_none()) {
            exchange.is_set_aside = true;
        }
    }

    /// Says what belongs to the host of this number.
    fn say(&mut self, newcomer: u32, line: Line) -> Result<(), BenchError> {
        let message = message(newcomer, line);
        match line {
            Line::Probe | Line::Announcement => {
                self.inside.send(&frame(INSIDE_HOST_LLADDR, INSIDE_HOST, &message))?;
            }
            Line::Question | Line::QuestionWithAnswer => {
                self.upstream.send(&frame(ASKER_LLADDR, ASKER_ADDRESS, &message))?;
            }
        }
        Ok(())
    }

    /// Plays both ends, as far as something has come.
    fn listen(&mut self) -> Result<(), BenchError> {
        let mut buffer = std::mem::take(&mut self.buffer);
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
        self.buffer = buffer;
        Ok(())
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
            if let Some(newcomer) =
                newcomer_of(&question.name).filter(|_| message.answers.is_empty())
                && message.authorities.is_empty()
            {
                // Who names the answer has it already (RFC 6762 section 7.1).
                self.inside.send(&frame(INSIDE_HOST_LLADDR, INSIDE_HOST, &listing(newcomer)))?;
                continue;
            }
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

/// The number of the host whose service type this is.
fn newcomer_of(name: &Name<'_>) -> Option<u32> {
    let first = std::str::from_utf8(name.labels().next()?).ok()?;
    first.strip_prefix("_kind-")?.parse().ok()
}

fn message(newcomer: u32, line: Line) -> Vec<u8> {
    let [pointer, service, text, address] = records(newcomer, FLUSHES);
    let ask = |kind: u16| {
        let mut question = wire_name(&kind_name(newcomer));
        question.extend([kind.to_be_bytes(), [0, 1]].concat());
        question
    };
    match line {
        Line::Probe => {
            let mut questions = Vec::new();
            for owner in [host_name(newcomer), instance_name(newcomer)] {
                questions.extend(wire_name(&owner));
                questions.extend([kind::ANY.to_be_bytes(), [0, 1]].concat());
            }
            // Nobody's cache is flushed by what is but intended (RFC 6762 section 10.2).
            let [_, service, _, address] = records(newcomer, kind::CLASS_IN);
            octets(0, [2, 0, 2, 0], &[questions, service, address])
        }
        Line::Announcement => octets(RESPONSE, [0, 4, 0, 0], &[pointer, service, text, address]),
        Line::Question => octets(0, [1, 0, 0, 0], &[ask(kind::PTR)]),
        Line::QuestionWithAnswer => octets(0, [1, 1, 0, 0], &[ask(kind::PTR), pointer]),
    }
}

/// The answer to who asks for the service: all that it takes to use it (RFC 6763 section 12).
fn listing(newcomer: u32) -> Vec<u8> {
    octets(RESPONSE, [0, 1, 0, 3], &records(newcomer, FLUSHES))
}

fn octets(flags: u16, counts: [u16; 4], parts: &[Vec<u8>]) -> Vec<u8> {
    let mut octets = vec![0, 0];
    octets.extend(flags.to_be_bytes());
    octets.extend(counts.iter().flat_map(|count| count.to_be_bytes()));
    octets.extend(parts.concat());
    octets
}

/// What there is to say of a host: PTR, SRV, TXT and AAAA; `unique` is the class of all but the first.
fn records(newcomer: u32, unique: u16) -> [Vec<u8>; 4] {
    let mut service = vec![0, 0, 0, 0, 2, 0x77];
    service.extend(wire_name(&host_name(newcomer)));
    let address = host_address(newcomer).octets().to_vec();
    [
        record(
            &kind_name(newcomer),
            kind::PTR,
            kind::CLASS_IN,
            &wire_name(&instance_name(newcomer)),
        ),
        record(&instance_name(newcomer), kind::SRV, unique, &service),
        record(&instance_name(newcomer), kind::TXT, unique, &[0]),
        record(&host_name(newcomer), kind::AAAA, unique, &address),
    ]
}

fn record(owner: &str, kind: u16, class: u16, data: &[u8]) -> Vec<u8> {
    let mut octets = wire_name(owner);
    octets.extend([kind.to_be_bytes(), class.to_be_bytes()].concat());
    octets.extend(TTL.to_be_bytes());
    octets.extend(u16::try_from(data.len()).unwrap_or(u16::MAX).to_be_bytes());
    octets.extend_from_slice(data);
    octets
}

fn host_name(newcomer: u32) -> String {
    format!("new-{newcomer}.local")
}

fn instance_name(newcomer: u32) -> String {
    format!("printer-{newcomer}._kind-{newcomer}._tcp.local")
}

fn kind_name(newcomer: u32) -> String {
    format!("_kind-{newcomer}._tcp.local")
}

fn wire_name(name: &str) -> Vec<u8> {
    let mut octets = Vec::new();
    for label in name.split('.') {
        octets.push(u8::try_from(label.len()).unwrap_or(u8::MAX));
        octets.extend_from_slice(label.as_bytes());
    }
    octets.push(0);
    octets
}

const AVAHI: &[System] = &[System::Avahi];
/// Fewer than Magpie takes from one sender.
const INTERVAL: Duration = Duration::from_millis(25);
/// The names before the measurement.
const FIRST: u32 = 1_000_000;
/// avahi-daemon takes some seconds until it is sure of its own name.
const START: Duration = Duration::from_secs(30);
/// A response from who is responsible (RFC 6762 section 18).
const RESPONSE: u16 = 0x8400;
/// The class of a record that only its owner can have (RFC 6762 section 10.2).
const FLUSHES: u16 = 0x8000 | kind::CLASS_IN;
/// Hosts follow each other after this time.
const FOLLOWING: Duration = Duration::from_millis(230);
const AFTERWARDS: Duration = Duration::from_secs(3);
const HOST_COMES: &[(Duration, Line)] = &[
    (Duration::ZERO, Line::Probe),
    (Duration::from_millis(250), Line::Probe),
    (Duration::from_millis(500), Line::Probe),
    (Duration::from_millis(750), Line::Announcement),
    (Duration::from_millis(1_750), Line::Announcement),
];
/// Questions are repeated with twice the pause each time, from one second on.
const SOMEBODY_BROWSES: &[(Duration, Line)] = &[
    (Duration::ZERO, Line::Question),
    (Duration::from_secs(1), Line::QuestionWithAnswer),
    (Duration::from_secs(3), Line::QuestionWithAnswer),
];
const SETTLE: Duration = Duration::from_secs(3);
/// Longer than the generator takes to look at all ends.
const AWAY: Duration = Duration::from_micros(150);
/// Names that one system is asked for in a row.
const BLOCK: u32 = 40;
/// What the other system still does about its own is over then.
const PAUSE: Duration = Duration::from_secs(1);
const PATIENCE: Duration = Duration::from_secs(2);
/// Octets of the longest message.
const LIMIT: usize = 1_400;
/// What hosts give their addresses (RFC 6762 section 10).
const TTL: u32 = 120;
const INSIDE_HOST: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 1, 2);
const INSIDE_HOST_LLADDR: LinkAddr = LinkAddr([0x02, 0x07, 0, 0, 1, 3]);
