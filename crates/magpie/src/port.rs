//! Holds the packet sockets of the links, and the frames that are about to leave by them.

use std::collections::BTreeMap;

use magpie_engine::{LinkId, Transmit};
use magpie_sys::batch::{SendBatch, Sent};
use magpie_sys::packet::{PacketError, PacketSocket, SocketOptions};

use crate::trace;

/// One link's socket, with what went through it.
#[derive(Debug)]
pub(crate) struct Port {
    socket: PacketSocket,
    outbox: SendBatch,
    sent: Sent,
    received: u64,
    lost: u64,
}

/// The sockets of all links that are there.
#[derive(Debug, Default)]
pub(crate) struct Ports {
    ports: BTreeMap<LinkId, Port>,
    /// Frames for links that have gone.
    astray: u64,
}

/// What went through a link's socket since it was opened.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Traffic {
    /// Frames received.
    pub(crate) received: u64,
    /// Frames sent.
    pub(crate) sent: u64,
    /// Frames lost on their way in or out.
    pub(crate) dropped: u64,
}

impl Port {
    /// Opens the link's socket.
    pub(crate) fn open(link: LinkId) -> Result<Self, PacketError> {
        Ok(Self {
            socket: PacketSocket::open(link.0, &SocketOptions::default())?,
            outbox: SendBatch::new(),
            sent: Sent::default(),
            received: 0,
            lost: 0,
        })
    }

    /// The socket, to receive from and to wait for.
    pub(crate) fn socket(&self) -> &PacketSocket {
        &self.socket
    }

    /// Counts frames that were received.
    pub(crate) fn count_received(&mut self, frames: usize) {
        self.received += frames as u64;
    }

    /// What went through so far.
    pub(crate) fn traffic(&mut self) -> Traffic {
        // The kernel's count starts anew with each reading.
        if let Ok(statistics) = self.socket.statistics() {
            self.lost += u64::from(statistics.dropped);
        }
        Traffic {
            received: self.received,
            sent: self.sent.sent,
            dropped: self.lost + self.sent.dropped(),
        }
    }

    fn put(&mut self, transmit: &Transmit) {
        trace::sent(transmit);
        if self.outbox.slot().is_none() {
            self.flush();
        }
        let written = self.outbox.slot().map(|slot| transmit.packet.emit(slot));
        match written {
            Some(Ok(length)) => self.outbox.commit(length),
            Some(Err(_)) | None => self.sent.refused += 1,
        }
    }

    fn flush(&mut self) {
        if !self.outbox.is_empty() {
            self.sent += self.outbox.flush(&self.socket);
        }
    }
}

impl Ports {
    /// Adds a link's socket.
    pub(crate) fn insert(&mut self, link: LinkId, port: Port) {
        self.ports.insert(link, port);
    }

    /// Closes a link's socket.
    pub(crate) fn remove(&mut self, link: LinkId) {
        self.ports.remove(&link);
    }

    /// The link's socket.
    pub(crate) fn get(&self, link: LinkId) -> Option<&Port> {
        self.ports.get(&link)
    }

    /// The link's socket.
    pub(crate) fn get_mut(&mut self, link: LinkId) -> Option<&mut Port> {
        self.ports.get_mut(&link)
    }

    /// Puts a frame into its link's outbox.
    pub(crate) fn put(&mut self, transmit: &Transmit) {
        match self.ports.get_mut(&transmit.link) {
            Some(port) => port.put(transmit),
            None => self.astray += 1,
        }
    }

    /// Sends what is in the outboxes.
    pub(crate) fn flush(&mut self) {
        self.ports.values_mut().for_each(Port::flush);
    }

    /// Frames that had no link left to leave by.
    pub(crate) fn astray(&self) -> u64 {
        self.astray
    }
}
