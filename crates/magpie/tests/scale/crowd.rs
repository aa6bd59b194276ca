//! A crowd of hosts that no kernel knows: so many addresses, all of them of a few stations.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::net::Ipv6Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use magpie_sys::netlink::{Change, Event, Group, Monitor, RouteEvent};
use magpie_testnet::{Frame, Node, Tester};
use magpie_wire::{Advert, LinkAddr, Message, Packet, Solicit};

use crate::common::{LIMIT, Outcome, PREFIX, Site};

/// Hosts on the gateway's link "lan" that answer solicitations.
pub(crate) struct Crowd {
    size: u32,
    /// The gateway's link-layer address there.
    gateway: LinkAddr,
    /// Where they speak, behind the gateway's cable: a bridge would only flood others with it.
    mouth: Tester,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<Result<(), String>>>,
}

impl Crowd {
    /// Starts to answer for so many.
    pub(crate) fn start(place: &Site, size: u32) -> Result<Self, Box<dyn Error>> {
        let [_, port] = Site::gateway_ports(&place.gateway);
        let mut ear = Tester::attach(&place.switch, &port)?;
        let mouth = Tester::attach(&place.switch, &port)?;
        let stop = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            while !flag.load(Ordering::Relaxed) {
                let heard = ear.expect(PATIENCE, "anything", |frame| Some(answer_to(frame, size)));
                match heard {
                    Ok(Some(answer)) => send(&ear, &answer).map_err(|error| error.to_string())?,
                    Ok(None) | Err(magpie_testnet::Error::Awaited { .. }) => {}
                    Err(error) => return Err(error.to_string()),
                }
            }
            Ok(())
        });
        let gateway = place.gateway.lladdr("lan")?;
        Ok(Self { size, gateway, mouth, stop, thread: Some(thread) })
    }

    /// The addresses of all.
    pub(crate) fn addresses(&self) -> impl Iterator<Item = Ipv6Addr> + use<> {
        (0..self.size).map(address)
    }

    /// Each asks whether the upstream router is still there, so many a second, and again until all
    /// have a host route. (The kernel walks all groups of a link for each frame to a group, which
    /// would be the only thing to be measured.)
    pub(crate) fn speak(&mut self, per_second: u32, routes: &mut Routes<'_>) -> Outcome {
        let mut silent: Vec<u32> = (0..self.size).collect();
        while !silent.is_empty() {
            self.speak_once(&silent, per_second)?;
            // Who was heard, but has no route yet, is one of those that are verified at present.
            routes.settle()?;
            silent.retain(|number| !routes.present.contains(&address(*number)));
        }
        Ok(())
    }

    fn speak_once(&mut self, numbers: &[u32], per_second: u32) -> Outcome {
        let pause = Duration::from_secs(1) / (per_second / BURST);
        for burst in numbers.chunks(usize::try_from(BURST)?) {
            for number in burst.iter().copied() {
                let lladdr = station(number);
                send(
                    &self.mouth,
                    &Packet {
                        ethernet_source: lladdr,
                        ethernet_destination: self.gateway,
                        source: address(number),
                        destination: Site::router_address(),
                        message: Message::Solicit(Solicit {
                            target: Site::router_address(),
                            source_lladdr: Some(lladdr),
                            nonce: None,
                        }),
                    },
                )?;
            }
            // Their pace, not a wait for anything. What arrives meanwhile is nothing to it.
            self.mouth.collect(pause)?;
        }
        Ok(())
    }

    /// Falls silent.
    pub(crate) fn stop(mut self) -> Outcome {
        self.stop.store(true, Ordering::Relaxed);
        let Some(thread) = self.thread.take() else { return Ok(()) };
        Ok(thread.join().map_err(|_| "the crowd panicked")??)
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// One of the addresses of a crowd. Each has a solicited-node group of its own.
pub(crate) fn address(number: u32) -> Ipv6Addr {
    Ipv6Addr::from_bits(PREFIX.to_bits() | 0xc0_0000_0000 | u128::from(number))
}

/// Whose it is.
pub(crate) fn station(number: u32) -> LinkAddr {
    let [.., last] = (number % STATIONS).to_be_bytes();
    LinkAddr([2, 0x4d, 0x67, 0xc, 0, last])
}

/// What the owner of a target says to who asks for it.
fn answer_to(frame: &Frame, size: u32) -> Option<Packet<'static>> {
    let packet = frame.packet()?;
    let Message::Solicit(Solicit { target, .. }) = packet.message else { return None };
    let number = u32::try_from(target.to_bits().checked_sub(address(0).to_bits())?).ok()?;
    if number >= size || packet.is_dad() {
        return None;
    }
    let lladdr = station(number);
    let is_for_it = packet.ethernet_destination.is_group() || packet.ethernet_destination == lladdr;
    is_for_it.then_some(Packet {
        ethernet_source: lladdr,
        ethernet_destination: packet.ethernet_source,
        source: target,
        destination: packet.source,
        message: Message::Advert(Advert {
            target,
            router: false,
            solicited: true,
            overrides: true,
            target_lladdr: Some(lladdr),
        }),
    })
}

/// Sends a packet; one that the queue has no room for is lost, as on any busy link.
fn send(tester: &Tester, packet: &Packet<'_>) -> Outcome {
    let mut buffer = [0; Packet::MAX_LEN];
    let length = packet.emit(&mut buffer)?;
    let _ = tester.send(buffer.get(..length).unwrap_or_default());
    Ok(())
}

/// Follows a node's host routes to a crowd, with one metric.
pub(crate) struct Routes<'a> {
    node: &'a Node,
    monitor: Monitor,
    metric: u32,
    present: BTreeSet<Ipv6Addr>,
    /// How many were removed.
    pub(crate) removed: usize,
}

impl<'a> Routes<'a> {
    /// Begins with those that are there.
    pub(crate) fn follow(node: &'a Node, metric: u32) -> Result<Self, Box<dyn Error>> {
        let monitor = {
            let _inside = node.enter()?;
            Monitor::open(&[Group::Route])?
        };
        monitor.set_receive_buffer(NEWS)?;
        let mut routes = Self { node, monitor, metric, present: BTreeSet::new(), removed: 0 };
        routes.look()?;
        Ok(routes)
    }

    /// How many there are, as far as was read.
    pub(crate) fn count(&self) -> usize {
        self.present.len()
    }

    /// Waits until there are so many, or so few; each wait for a change takes no longer than a
    /// while.
    pub(crate) fn await_count(&mut self, count: usize) -> Outcome {
        while self.present.len() != count {
            if !self.monitor.wait_readable(Instant::now() + LIMIT)? {
                self.look()?;
                if self.present.len() == count {
                    break;
                }
                let found = self.present.len();
                return Err(format!("there are {found} host routes instead of {count}").into());
            }
            self.catch_up()?;
        }
        Ok(())
    }

    /// Waits until nothing happens any longer.
    fn settle(&mut self) -> Outcome {
        while self.monitor.wait_readable(Instant::now() + QUIET)? {
            self.catch_up()?;
        }
        Ok(())
    }

    /// Reads what happened.
    pub(crate) fn catch_up(&mut self) -> Outcome {
        let (metric, mut is_in_doubt) = (self.metric, false);
        let Self { monitor, present, removed, .. } = self;
        while monitor.read(|event| match event {
            Event::Route(Change::Present(route)) if is_one(&route, metric) => {
                present.insert(route.destination);
            }
            Event::Route(Change::Absent(route)) if is_one(&route, metric) => {
                *removed += usize::from(present.remove(&route.destination));
            }
            Event::Overrun => is_in_doubt = true,
            _ => {}
        })? > 0
        {}
        if is_in_doubt { self.look() } else { Ok(()) }
    }

    fn look(&mut self) -> Outcome {
        let routes = self.node.routes()?;
        let ours = routes.iter().filter(|route| is_one(route, self.metric));
        self.present = ours.map(|route| route.destination).collect();
        Ok(())
    }
}

fn is_one(route: &RouteEvent, metric: u32) -> bool {
    (route.protocol, route.metric) == (PROTOCOL, metric) && route.destination >= address(0)
}

/// Asks for many targets from the gateway's link "wan", again and again, until all are answered for;
/// returns when each was.
pub(crate) fn ask_for_all(
    site: &Site,
    targets: impl Iterator<Item = Ipv6Addr>,
    limit: Duration,
) -> Result<Vec<Instant>, Box<dyn Error>> {
    let [port, _] = Site::gateway_ports(&site.gateway);
    let mut asker = crate::common::Station::of(Tester::attach(&site.switch, &port)?);
    let mut open: BTreeMap<Ipv6Addr, Option<Instant>> =
        targets.map(|target| (target, None)).collect();
    let mut answered = Vec::new();
    let deadline = Instant::now() + limit;
    while !open.is_empty() {
        let now = Instant::now();
        if now > deadline {
            let some: Vec<_> = open.keys().take(5).collect();
            return Err(format!("{} are not answered for, such as {some:?}", open.len()).into());
        }
        let is_due = |asked: &Option<Instant>| asked.is_none_or(|at| now - at > AGAIN);
        let due: Vec<Ipv6Addr> = open
            .iter()
            .filter(|(_, asked)| is_due(asked))
            .map(|(target, _)| *target)
            .take(usize::try_from(BURST)?)
            .collect();
        for target in due {
            send(&asker, &asker.question(target))?;
            open.insert(target, Some(now));
        }
        for frame in asker.collect(Duration::from_millis(5))? {
            let Some(packet) = frame.packet() else { continue };
            if let Message::Advert(advert) = packet.message
                && open.remove(&advert.target).is_some()
            {
                answered.push(Instant::now());
            }
        }
    }
    Ok(answered)
}

/// So few, because no link-layer address may have more than a thousand addresses.
const STATIONS: u32 = 16;
/// So many frames at once.
const BURST: u32 = 16;
/// How long a silent crowd takes to notice that it is to be silent.
const PATIENCE: Duration = Duration::from_millis(100);
/// Who gets no answer asks again after this.
const AGAIN: Duration = Duration::from_millis(500);
/// Longer than a verification that has to wait for its turn.
const QUIET: Duration = Duration::from_millis(1500);
/// Room for news of tens of thousands of routes.
const NEWS: usize = 32 << 20;
/// The protocol number of Magpie's routes.
const PROTOCOL: u8 = 109;
/// Their metric.
pub(crate) const METRIC: u32 = 1090;
