//! Testers: sockets on a link that send and await single frames.

use std::time::{Duration, Instant};

use magpie_sys::link_socket::LinkSocket;
use magpie_wire::{LinkAddr, Packet};

use crate::background::wait_readable;
use crate::wait::awaited;
use crate::{Error, Frame, Node, connect};

/// Sends frames on a link and sees all that arrive there.
#[derive(Debug)]
pub struct Tester {
    /// The node that was made for the tester; none if it looks at a link of another's.
    node: Option<Node>,
    name: String,
    lladdr: LinkAddr,
    socket: LinkSocket,
    outgoing: bool,
    buffer: Vec<u8>,
}

impl Tester {
    /// Plugs a tester into a bridge of `switch`, where it alone decides what is sent: its node's
    /// kernel does not speak IPv6. The name, of at most 15 octets, is also the port's.
    ///
    /// # Errors
    ///
    /// [`Error`] if the bridge is not there or has a port of that name.
    pub fn new(
        name: &str,
        switch: &Node,
        bridge: &str,
        lladdr: Option<LinkAddr>,
    ) -> Result<Self, Error> {
        let node = Node::switch(name)?;
        let mut plug = node.plug(LINK);
        if let Some(lladdr) = lladdr {
            plug = plug.lladdr(lladdr);
        }
        connect(&plug, &switch.plug(name).bridge(bridge))?;
        let tester = Self::attach(&node, LINK)?;
        Ok(Self { node: Some(node), name: name.to_owned(), ..tester })
    }

    /// Looks at, and sends from, a link of a node that does other things too.
    ///
    /// # Errors
    ///
    /// [`Error`] if there is no such link or it is no Ethernet.
    pub fn attach(node: &Node, link: &str) -> Result<Self, Error> {
        let lladdr = node.lladdr(link)?;
        let ifindex = node.ifindex(link)?;
        let name = format!("{link} of {}", node.name());
        let fail = |source| Error::system(format!("open a packet socket on {name}"), source);
        let socket = {
            let _inside = node.enter()?;
            LinkSocket::open(ifindex).map_err(fail)?
        };
        socket.set_promiscuous(ifindex, false).map_err(fail)?;
        Ok(Self { node: None, name, lladdr, socket, outgoing: false, buffer: vec![0; FRAME_LEN] })
    }

    /// Also looks at what the node of the link sends by itself, or no longer.
    pub fn set_outgoing(&mut self, outgoing: bool) {
        self.outgoing = outgoing;
    }

    /// Sends a whole frame.
    ///
    /// # Errors
    ///
    /// [`Error::System`].
    pub fn send(&self, frame: &[u8]) -> Result<(), Error> {
        self.socket
            .send(frame)
            .map_err(|source| Error::system(format!("send a frame from {}", self.name), source))
    }

    /// Sends a Neighbor Discovery message.
    ///
    /// # Errors
    ///
    /// [`Error::System`], also if it is one that `magpie-wire` only reads.
    pub fn send_packet(&self, packet: &Packet<'_>) -> Result<(), Error> {
        let mut buffer = [0; Packet::MAX_LEN];
        let len = packet.emit(&mut buffer).map_err(|error| {
            Error::system(format!("encode {packet:?}"), std::io::Error::other(error))
        })?;
        self.send(buffer.get(..len).unwrap_or_default())
    }

    /// Waits for a frame in which `find` finds something; frames before it are passed over.
    ///
    /// # Errors
    ///
    /// [`Error::Awaited`] after `limit`, with what arrived instead.
    pub fn expect<T>(
        &mut self,
        limit: Duration,
        what: &str,
        mut find: impl FnMut(&Frame) -> Option<T>,
    ) -> Result<T, Error> {
        let deadline = Instant::now() + limit;
        let mut seen = Vec::new();
        while let Some(frame) = self.next(deadline)? {
            if let Some(found) = find(&frame) {
                return Ok(found);
            }
            seen.push(frame.summary());
        }
        let seen = match seen.len() {
            0 => "nothing arrived".to_owned(),
            _ => format!("what arrived was: {}", seen.join("; ")),
        };
        Err(awaited(&format!("{what} at {}", self.name), &seen, limit))
    }

    /// Waits until the whole `window` is over and fails if a frame of the kind arrived.
    ///
    /// # Errors
    ///
    /// [`Error::Unwanted`] with the first such frame.
    pub fn expect_none(
        &mut self,
        window: Duration,
        what: &str,
        mut unwanted: impl FnMut(&Frame) -> bool,
    ) -> Result<(), Error> {
        let deadline = Instant::now() + window;
        while let Some(frame) = self.next(deadline)? {
            if unwanted(&frame) {
                return Err(Error::Unwanted {
                    what: what.to_owned(),
                    place: self.name.clone(),
                    seen: frame.summary(),
                });
            }
        }
        Ok(())
    }

    /// All frames that arrive until `window` is over, and those that are there already.
    ///
    /// # Errors
    ///
    /// [`Error::System`].
    pub fn collect(&mut self, window: Duration) -> Result<Vec<Frame>, Error> {
        let deadline = Instant::now() + window;
        let mut frames = Vec::new();
        while let Some(frame) = self.next(deadline)? {
            frames.push(frame);
        }
        Ok(frames)
    }

    /// Forgets what arrived so far.
    ///
    /// # Errors
    ///
    /// [`Error::System`].
    pub fn clear(&mut self) -> Result<(), Error> {
        self.collect(Duration::ZERO).map(drop)
    }

    /// The link-layer address that it sends from.
    pub fn lladdr(&self) -> LinkAddr {
        self.lladdr
    }

    /// The node that was made for it, if one was; its link is `eth0`.
    pub fn node(&self) -> Option<&Node> {
        self.node.as_ref()
    }

    fn next(&mut self, deadline: Instant) -> Result<Option<Frame>, Error> {
        let fail = |source| Error::system(format!("receive frames at {}", self.name), source);
        loop {
            match Frame::receive(&self.socket, &mut self.buffer).map_err(fail)? {
                Some(frame) if frame.outgoing && !self.outgoing => {}
                Some(frame) => return Ok(Some(frame)),
                None => {
                    let ready = wait_readable(&self.socket, deadline);
                    if !ready.map_err(|source| fail(source.into()))? {
                        return Ok(None);
                    }
                }
            }
        }
    }
}

const LINK: &str = "eth0";
const FRAME_LEN: usize = 65_536;
