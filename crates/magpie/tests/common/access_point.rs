//! An access point with a single station, whose frames it treats as Wi-Fi does.

use std::error::Error;
use std::net::Ipv6Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use magpie_testnet::{Frame, Node, Tester};
use magpie_wire::datagram::complete_checksum;
use magpie_wire::{LinkAddr, checksum};

/// What an access point does to the frames of its only station: the station hears its own multicast
/// again, and gets that of others in frames that are for it alone. Frames that it sends in anybody
/// else's name are not accepted.
pub(crate) struct AccessPoint {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Result<Traffic, magpie_testnet::Error>>,
}

/// What went through an access point.
#[derive(Debug, Default)]
pub(crate) struct Traffic {
    pub(crate) echoed: usize,
    pub(crate) converted: usize,
    /// Who else the station pretended to be.
    pub(crate) foreign: Vec<LinkAddr>,
}

impl AccessPoint {
    /// Starts it between the links "radio" and "wire" of its node.
    pub(crate) fn start(node: Node, station: LinkAddr) -> Result<Self, Box<dyn Error>> {
        let mut radio = Tester::attach(&node, "radio")?;
        let mut wire = Tester::attach(&node, "wire")?;
        let stop = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            // Its links live as long as it does.
            let _node = node;
            let mut traffic = Traffic::default();
            while !flag.load(Ordering::Relaxed) {
                for mut frame in radio.collect(TURN)? {
                    complete(&mut frame);
                    let Some((destination, source)) = addresses(&frame) else { continue };
                    if source != station {
                        traffic.foreign.push(source);
                        continue;
                    }
                    wire.send(&frame.bytes)?;
                    if destination.is_group() {
                        traffic.echoed += 1;
                        radio.send(&frame.bytes)?;
                    }
                }
                for mut frame in wire.collect(TURN)? {
                    complete(&mut frame);
                    let Some((destination, _)) = addresses(&frame) else { continue };
                    if destination.is_group() {
                        traffic.converted += 1;
                        frame.bytes.splice(..6, station.0);
                    } else if destination != station {
                        continue;
                    }
                    radio.send(&frame.bytes)?;
                }
            }
            Ok(traffic)
        });
        Ok(Self { stop, thread })
    }

    pub(crate) fn stop(self) -> Result<Traffic, Box<dyn Error>> {
        self.stop.store(true, Ordering::Relaxed);
        Ok(self.thread.join().map_err(|_| "the access point panicked")??)
    }
}

/// Does for UDP, and for TCP over IPv6, what programs leave to the device: fills the checksum in.
fn complete(frame: &mut Frame) {
    complete_checksum(&mut frame.bytes, false);
    let (Some(&[0x86, 0xdd]), Some(&TCP)) = (frame.bytes.get(12..14), frame.bytes.get(20)) else {
        return;
    };
    let Some((header, segment)) = frame.bytes.split_at_mut_checked(54) else { return };
    let [source, destination] = [22, 38].map(|at| {
        let octets = header.get(at..at + 16).and_then(|octets| <[u8; 16]>::try_from(octets).ok());
        Ipv6Addr::from(octets.unwrap_or_default())
    });
    if let Some(field) = segment.get_mut(16..18) {
        field.fill(0);
    }
    let sum = checksum(source, destination, TCP, segment).to_be_bytes();
    if let Some(field) = segment.get_mut(16..18) {
        field.copy_from_slice(&sum);
    }
}

/// Destination and source of a frame.
fn addresses(frame: &Frame) -> Option<(LinkAddr, LinkAddr)> {
    let (destination, rest) = frame.bytes.split_first_chunk::<6>()?;
    Some((LinkAddr(*destination), LinkAddr(*rest.first_chunk::<6>()?)))
}

const TCP: u8 = 6;
/// How long an access point looks in one direction.
const TURN: Duration = Duration::from_millis(2);
