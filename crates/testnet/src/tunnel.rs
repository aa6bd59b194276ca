//! Joins two nodes by a tunnel: what is sent on one end arrives at the other, without any link
//! layer.

use std::os::fd::AsFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use magpie_sys::tun::Tun;

use crate::background::{Background, Stop, Woken};
use crate::{Error, Node};

/// A tunnel between two nodes, each with a device of its own; it goes when dropped.
#[derive(Debug)]
pub struct Tunnel {
    packets: Arc<Mutex<Vec<Vec<u8>>>>,
    _thread: Background,
}

impl Tunnel {
    /// Makes a device in each of the nodes, brings both up, and passes on what is sent on either.
    ///
    /// # Errors
    ///
    /// [`Error`] if there is a link of one of the names, or this system has no tunnel devices for
    /// the caller.
    pub fn new(near: (&Node, &str), far: (&Node, &str)) -> Result<Self, Error> {
        let ends = [near.0.add_tun(near.1)?, far.0.add_tun(far.1)?];
        let packets = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&packets);
        let thread = Background::start("tunnel", move |stop| run(&ends, stop, &kept))
            .map_err(|source| Error::system("start a thread for a tunnel", source))?;
        Ok(Self { packets, _thread: thread })
    }

    /// Returns what has passed so far, oldest first; each begins with its IP header.
    pub fn packets(&self) -> Vec<Vec<u8>> {
        lock(&self.packets).clone()
    }
}

fn run([near, far]: &[Tun; 2], stop: &Stop, packets: &Mutex<Vec<Vec<u8>>>) {
    let mut buffer = vec![0; PACKET_LEN];
    loop {
        match stop.wait(&[near.as_fd(), far.as_fd()], None) {
            Ok(Woken::Readable) => {}
            Ok(Woken::Stop | Woken::Deadline) | Err(_) => return,
        }
        for (from, to) in [(near, far), (far, near)] {
            while let Ok(Some(length)) = from.receive(&mut buffer) {
                let Some(packet) = buffer.get(..length) else { break };
                lock(packets).push(packet.to_vec());
                // The other end may be down, and then nothing arrives there.
                let _ = to.send(packet);
            }
        }
    }
}

fn lock(packets: &Mutex<Vec<Vec<u8>>>) -> MutexGuard<'_, Vec<Vec<u8>>> {
    packets.lock().unwrap_or_else(PoisonError::into_inner)
}

/// More than any of these devices lets through.
const PACKET_LEN: usize = 65_536;
