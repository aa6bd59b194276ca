//! Plays all hosts of the network on one busy thread: those upstream that ask, those inside that
//! answer, and a flood of questions about hosts that do not exist.
//!
//! Latency is from the clock read before a solicitation is handed to the kernel to the clock read
//! after its answer was taken from there; the thread never sleeps in between.

mod asks;
mod inside;
mod load;
mod window;

use std::time::{Duration, Instant};

use magpie_sys::batch::{BATCH, RecvBatch, SendBatch, Sent};
use magpie_sys::link_socket::LinkSocket;
use magpie_sys::packet::PacketSocket;
use magpie_wire::{Advert, LinkAddr, Message, Packet, Solicit, multicast_lladdr, solicited_node};

pub(crate) use asks::Tally;
pub(crate) use inside::InsideReport;
pub(crate) use load::{Load, Report, Stream};
pub(crate) use window::{Window, WindowReport};

use crate::error::BenchError;
use crate::interrupt;
use crate::lab::{ASKER_ADDRESS, ASKER_LLADDR, Ends, WAN_LLADDR};
use crate::targets::{Target, host_address, nobody_address};
use asks::Asks;
use inside::Inside;
use load::Pace;
use window::Places;

/// The load generator.
#[derive(Debug)]
pub(crate) struct Generator {
    upstream: Upstream,
    inside: LinkSocket,
    received: RecvBatch,
    hosts: u32,
    /// Answers of hosts inside that could not be sent.
    unsent: u64,
}

/// The end of the network that asks, with what waits to be sent there.
#[derive(Debug)]
struct Upstream {
    socket: PacketSocket,
    waiting: SendBatch,
    sent: Sent,
}

impl Generator {
    /// Takes the ends of a network over; the first `hosts` hosts exist inside.
    pub(crate) fn new(ends: Ends, hosts: u32) -> Self {
        Self {
            upstream: Upstream::new(ends.upstream),
            inside: ends.inside,
            received: RecvBatch::new(),
            hosts,
            unsent: 0,
        }
    }

    /// Lays the load on the network until it has been laid and every solicitation is answered or
    /// given up.
    pub(crate) fn run(&mut self, load: &Load) -> Result<Report, BenchError> {
        let start = Instant::now();
        let mut streams: Vec<Asks> =
            load.streams.iter().map(|stream| Asks::new(stream, start)).collect();
        let mut flood = Flood { pace: Pace::new(load.flood, start), sent: 0 };
        let mut inside = Inside::new(self.hosts, load.known.clone(), start);
        let mut verdict = Verdict::default();
        let mut finished = None;
        loop {
            interrupt::check()?;
            let now = Instant::now();
            let asked_enough = load.streams.iter().any(|stream| stream.count.is_some())
                && streams.iter().all(Asks::is_exhausted);
            let first_answered = streams.iter().any(|asks| asks.tally().answered > 0);
            if finished.is_none()
                && (now >= start + load.limit
                    || (asked_enough && load.flood == 0)
                    || (load.until_answered && first_answered))
            {
                finished = Some(now);
            }
            let settled =
                streams.iter().all(Asks::is_settled) || (load.until_answered && first_answered);
            if finished.is_some() && settled {
                break;
            }
            for asks in &mut streams {
                while let Some(number) = asks.next(now, finished.is_none()) {
                    self.upstream.put(&question(host_address(number)));
                }
            }
            if finished.is_none() {
                flood.send(now, &mut self.upstream);
            }
            self.upstream.flush();
            self.listen(&mut verdict, |number, now| {
                streams.iter_mut().any(|asks| asks.answered(number, now))
            })?;
            self.answer(&mut inside)?;
        }
        let finished = finished.unwrap_or(start);
        Ok(Report {
            span: finished - start,
            streams: streams.into_iter().map(Asks::into_tally).collect(),
            flood_sent: flood.sent,
            flood_answered: verdict.flood_answered,
            faulty: verdict.faulty,
            unasked: verdict.unasked,
            lost_by_generator: self.losses()?,
            inside: inside.into_report(),
        })
    }

    /// Keeps the window full until each of its targets is answered or given up.
    pub(crate) fn run_window(&mut self, window: &Window) -> Result<WindowReport, BenchError> {
        let start = Instant::now();
        let mut places = Places::new(window);
        let mut verdict = Verdict::default();
        let (mut idle, mut now) = (Duration::ZERO, start);
        while !places.is_settled() {
            interrupt::check()?;
            if now >= start + window.limit {
                places.stop();
            }
            while let Some(number) = places.next(now) {
                self.upstream.put(&question(host_address(number)));
            }
            self.upstream.flush();
            let heard = self.listen(&mut verdict, |number, now| places.answered(number, now))?;
            let before = std::mem::replace(&mut now, Instant::now());
            if heard == 0 {
                idle += now - before;
                places.give_up(now);
            }
        }
        Ok(WindowReport {
            span: places.last_answer.unwrap_or(now) - start,
            asked: places.asked,
            answered: places.answered,
            lost: places.lost,
            faulty: verdict.faulty,
            unasked: verdict.unasked,
            lost_by_generator: self.losses()?,
            idle,
        })
    }

    /// Reads what the router says upstream, and tells `answered` for which host an answer came; it
    /// returns whether somebody waited for it. Returns how many frames there were.
    fn listen(
        &mut self,
        verdict: &mut Verdict,
        mut answered: impl FnMut(u32, Instant) -> bool,
    ) -> Result<usize, BenchError> {
        let frames = self.received.receive(&self.upstream.socket)?;
        let count = frames.len();
        let now = Instant::now();
        for frame in frames.filter(|frame| !frame.outgoing) {
            let Ok(packet) = Packet::parse(frame.bytes) else {
                verdict.faulty += 1;
                continue;
            };
            match packet.message {
                Message::Advert(advert) => {
                    verdict.note(&packet, &advert, |number| answered(number, now));
                }
                // The router's kernel looks for the asker.
                Message::Solicit(solicit) if solicit.target == ASKER_ADDRESS => {
                    self.upstream.put(&answer(&packet, solicit, ASKER_LLADDR, true));
                }
                _ => {}
            }
        }
        self.upstream.flush();
        Ok(count)
    }

    /// Lets the hosts inside answer.
    fn answer(&mut self, inside: &mut Inside) -> Result<(), BenchError> {
        let mut buffer = [0; 256];
        for _ in 0..BATCH {
            let Some(frame) = self.inside.receive(&mut buffer)? else { break };
            if frame.outgoing {
                continue;
            }
            let frame = buffer.get(..frame.len).unwrap_or_default();
            let Ok(packet) = Packet::parse(frame) else { continue };
            let Message::Solicit(solicit) = packet.message else { continue };
            if let Some(lladdr) = inside.note(&packet, solicit.target, Instant::now()) {
                let answer = answer(&packet, solicit, lladdr, false);
                let mut frame = [0; Packet::MAX_LEN];
                if let Ok(length) = answer.emit(&mut frame) {
                    // The router does not keep up, or the link is down: the asker will notice.
                    if self.inside.send(frame.get(..length).unwrap_or_default()).is_err() {
                        self.unsent += 1;
                    }
                }
            }
        }
        Ok(())
    }

    /// Counts the frames that were lost on this side: they say nothing about the system.
    fn losses(&mut self) -> Result<u32, BenchError> {
        let unheard = self.upstream.socket.statistics()?.dropped;
        let unsent =
            std::mem::take(&mut self.upstream.sent).dropped() + std::mem::take(&mut self.unsent);
        Ok(unheard.saturating_add(u32::try_from(unsent).unwrap_or(u32::MAX)))
    }
}

impl Upstream {
    fn new(socket: PacketSocket) -> Self {
        Self { socket, waiting: SendBatch::new(), sent: Sent::default() }
    }

    fn put(&mut self, packet: &Packet<'_>) {
        if self.waiting.len() == BATCH {
            self.flush();
        }
        if let Some(slot) = self.waiting.slot()
            && let Ok(length) = packet.emit(slot)
        {
            self.waiting.commit(length);
        }
    }

    fn flush(&mut self) {
        if !self.waiting.is_empty() {
            self.sent += self.waiting.flush(&self.socket);
        }
    }
}

/// The questions about hosts that do not exist.
struct Flood {
    pace: Pace,
    sent: u32,
}

impl Flood {
    fn send(&mut self, now: Instant, upstream: &mut Upstream) {
        for _ in 0..self.pace.due(now).min(BATCH) {
            upstream.put(&question(nobody_address(fastrand::u64(..1 << 48))));
            self.pace.advance();
            self.sent += 1;
        }
    }
}

/// What is thought of the advertisements that came.
#[derive(Default)]
struct Verdict {
    flood_answered: u32,
    faulty: u32,
    unasked: u32,
}

impl Verdict {
    fn note(&mut self, packet: &Packet<'_>, advert: &Advert, answered: impl FnOnce(u32) -> bool) {
        let number = match Target::of(advert.target) {
            Target::Host(number) => number,
            Target::Nobody => {
                self.flood_answered += 1;
                return;
            }
            Target::Other => return,
        };
        // What RFC 4861 section 7.2.4 demands of an answer, and that it leads to the router.
        let solicited_and_right = advert.solicited
            && packet.destination == ASKER_ADDRESS
            && packet.ethernet_destination == ASKER_LLADDR
            && advert.target_lladdr.unwrap_or(WAN_LLADDR) == WAN_LLADDR;
        if !solicited_and_right {
            self.faulty += 1;
        } else if !answered(number) {
            self.unasked += 1;
        }
    }
}

fn question(target: std::net::Ipv6Addr) -> Packet<'static> {
    let group = solicited_node(target);
    Packet {
        ethernet_source: ASKER_LLADDR,
        ethernet_destination: multicast_lladdr(group),
        source: ASKER_ADDRESS,
        destination: group,
        message: Message::Solicit(Solicit {
            target,
            source_lladdr: Some(ASKER_LLADDR),
            nonce: None,
        }),
    }
}

fn answer(
    question: &Packet<'_>,
    solicit: Solicit,
    lladdr: LinkAddr,
    router: bool,
) -> Packet<'static> {
    Packet {
        ethernet_source: lladdr,
        ethernet_destination: solicit.source_lladdr.unwrap_or(question.ethernet_source),
        source: solicit.target,
        destination: question.source,
        message: Message::Advert(Advert {
            target: solicit.target,
            router,
            solicited: true,
            overrides: true,
            target_lladdr: Some(lladdr),
        }),
    }
}

/// How long the asker waits before it asks again (RFC 4861 section 10, `RETRANS_TIMER`).
pub(crate) const RETRANS_TIMER: Duration = Duration::from_secs(1);
/// How often it asks (RFC 4861 section 10, `MAX_MULTICAST_SOLICIT`).
pub(crate) const MAX_MULTICAST_SOLICIT: u8 = 3;
