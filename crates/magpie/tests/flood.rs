//! Under a flood of questions for hosts that do not exist, those that do are found as fast as ever.
#![forbid(unsafe_code)]

mod common;

use std::error::Error;
use std::net::Ipv6Addr;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use common::{LIMIT, Magpie, Outcome, PREFIX, Site, Station, solicited};
use magpie_testnet::{Ping, Tester, ping_once};
use magpie_wire::{Message, Packet, multicast_lladdr, solicited_node};

fn main() -> ExitCode {
    common::run(&[
        ("tim_07_t_03_known_hosts_are_answered_for_in_time", known_hosts_are_answered_for_in_time),
        ("tim_06_duplicates_are_told_in_time", duplicates_are_told_in_time),
    ])
}

fn known_hosts_are_answered_for_in_time() -> Outcome {
    let site = Site::new()?;
    let magpie = Magpie::start(&site.gateway)?;
    let (lower, target) = site.host("lower", "down", 0x21)?;
    magpie.await_host(target, "lan")?;
    ping_once(&site.router, &Ping::new(target), LIMIT)?;
    let mut asker = Station::new("asker", &site.switch, "up")?;
    let mut observer = Station::new("observer", &site.switch, "down")?;
    asker.resolve(target)?;
    let before = magpie.holdings()?.1;
    let neighbors_before = site.gateway.neighbors()?.len();

    observer.clear()?;
    let flood = Flood::start(&site, 10_000)?;
    let start = Instant::now();
    let mut waited = Vec::new();
    let mut lost = 0;
    while flood.is_running() {
        // Asked again within 20 ms, the same asker gets no second answer.
        asker.collect(Duration::from_millis(25))?;
        asker.ask(target)?;
        match asker.await_answer(target, Duration::from_secs(1)) {
            Ok(answer) => waited.push(answer.waited),
            Err(_) => lost += 1,
        }
    }
    let sent = flood.join()?;
    let seconds = start.elapsed().as_secs_f64();
    assert!(sent >= 10_000, "this machine is too slow for a flood: {sent} frames");
    assert!(waited.len() >= 20 && lost * 20 <= waited.len(), "{lost} lost of {waited:?}");
    waited.sort_unstable();
    let median = waited[waited.len() / 2];
    assert!(median < Duration::from_millis(50), "{median:?} of {waited:?}");
    let worst = waited.last().copied().unwrap_or_default();
    assert!(worst < Duration::from_secs(1), "{worst:?}");

    let own = site.gateway.lladdr("lan")?;
    let searches = observer
        .collect(Duration::ZERO)?
        .iter()
        .filter(|frame| {
            frame.packet().is_some_and(|packet| {
                packet.ethernet_source == own
                    && packet.ethernet_destination.is_group()
                    && solicited(&packet).is_some()
            })
        })
        .count();
    // As many at once as in a second.
    let allowed = 256.0 * (seconds + 2.0);
    #[expect(clippy::cast_precision_loss, reason = "a few thousand frames")]
    let found = searches as f64;
    assert!(found <= allowed, "{searches} searches in {seconds} s");
    assert!(searches >= 100, "nobody is looked for any longer: {searches}");

    let after = magpie.holdings()?.1;
    assert!(after <= before + 8 * 1024, "grew from {before} to {after} KiB");
    let neighbors = site.gateway.neighbors()?.len();
    assert!(neighbors <= neighbors_before + 20, "{neighbors} neighbors in the kernel");
    ping_once(&lower, &Ping::new(Site::router_address()), LIMIT)?;
    // And newcomers are found again as soon as it is over.
    let (_other, other_address) = site.host("other", "down", 0x22)?;
    asker.resolve(other_address)?;
    magpie.stop()?;
    Ok(())
}

fn duplicates_are_told_in_time() -> Outcome {
    let site = Site::new()?;
    let magpie = Magpie::start(&site.gateway)?;
    let (_lower, target) = site.host("lower", "down", 0x21)?;
    magpie.await_host(target, "lan")?;
    let mut claimant = Station::new("claimant", &site.switch, "up")?;
    let own = site.gateway.lladdr("wan")?;
    let flood = Flood::start(&site, 5_000)?;
    let mut waited = Vec::new();
    for round in 0..u8::MAX {
        if !flood.is_running() {
            break;
        }
        claimant.clear()?;
        let start = Instant::now();
        claimant.probe(target, Some([7, 7, 7, 7, 7, round]))?;
        claimant.expect(LIMIT, "the owner's defense", |frame| {
            let packet = frame.packet()?;
            let Message::Advert(advert) = packet.message else { return None };
            if advert.target != target || packet.ethernet_source != own {
                return None;
            }
            assert!(!advert.solicited && !advert.overrides, "{advert:?}");
            assert_eq!(packet.destination, magpie_wire::ALL_NODES);
            Some(())
        })?;
        waited.push(start.elapsed());
        // The next claim is another one.
        claimant.collect(Duration::from_millis(100))?;
    }
    flood.join()?;
    assert!(waited.len() >= 10, "{waited:?}");
    assert!(
        waited.iter().all(|waited| *waited < Duration::from_secs(1)),
        "a host waits for one second: {waited:?}"
    );
    magpie.stop()?;
    Ok(())
}

/// A flood of solicitations, each for another target.
struct Flood {
    running: Arc<AtomicBool>,
    thread: JoinHandle<Result<u32, String>>,
}

impl Flood {
    /// Starts to send so many frames a second to the gateway, by its cable alone: a bridge would
    /// flood those who are to answer in time, too.
    fn start(site: &Site, per_second: u32) -> Result<Self, Box<dyn Error>> {
        let [port, _] = Site::gateway_ports(&site.gateway);
        let station = Station::of(Tester::attach(&site.switch, &port)?);
        let running = Arc::new(AtomicBool::new(true));
        let flag = Arc::clone(&running);
        let thread = thread::spawn(move || {
            let result = flood(&station, per_second).map_err(|error| common::chain(&*error));
            flag.store(false, Ordering::Relaxed);
            result
        });
        Ok(Self { running, thread })
    }

    fn is_running(&self) -> bool {
        self.running.load(Ordering::Relaxed)
    }

    /// Waits for the end and returns how many frames it were.
    fn join(self) -> Result<u32, Box<dyn Error>> {
        Ok(self.thread.join().map_err(|_| "the flood panicked")??)
    }
}

fn flood(station: &Station, per_second: u32) -> Result<u32, Box<dyn Error>> {
    let start = Instant::now();
    let mut sent = 0;
    let mut buffer = [0; Packet::MAX_LEN];
    while start.elapsed() < FLOOD_TIME {
        let due = (start.elapsed().as_secs_f64() * f64::from(per_second)).floor();
        while f64::from(sent) < due {
            let target = unlikely(sent);
            let group = solicited_node(target);
            let packet = Packet {
                ethernet_destination: multicast_lladdr(group),
                destination: group,
                ..station.question(target)
            };
            let len = packet.emit(&mut buffer)?;
            // A frame that the queue has no room for is not sent, as on any busy link.
            if station.send(buffer.get(..len).unwrap_or_default()).is_ok() {
                sent += 1;
            }
        }
        // The pace of the flood, not a wait for anything.
        thread::sleep(Duration::from_millis(1));
    }
    Ok(sent)
}

/// An address of the subnet that nobody has, another one each time.
fn unlikely(number: u32) -> Ipv6Addr {
    let mixed = u64::from(number).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1 << 63;
    Ipv6Addr::from_bits(PREFIX.to_bits() | u128::from(mixed))
}

const FLOOD_TIME: Duration = Duration::from_secs(5);
