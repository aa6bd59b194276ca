//! Delay lines: cables on which frames take their time, as on Wi-Fi whose stations sleep.

use std::collections::VecDeque;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use magpie_sys::link_socket::LinkSocket;
use magpie_wire::datagram::complete_checksum;

use crate::background::{Background, Stop, Woken};
use crate::{Error, Frame, Node, connect};

/// Two bridges joined by a cable on which every frame takes a while; it is cut when this is dropped.
#[derive(Debug)]
pub struct DelayLine {
    _thread: Background,
    _node: Node,
}

impl DelayLine {
    /// Joins two bridges of `switch`. The name, of at most 13 octets, is what the ports begin with.
    ///
    /// # Errors
    ///
    /// [`Error`] if a bridge is not there or has a port of that name.
    pub fn start(
        name: &str,
        switch: &Node,
        bridges: [&str; 2],
        delay: Duration,
    ) -> Result<Self, Error> {
        let node = Node::switch(name)?;
        let mut sockets = Vec::new();
        for (link, bridge) in ["a", "b"].into_iter().zip(bridges) {
            connect(&node.plug(link), &switch.plug(&format!("{name}-{link}")).bridge(bridge))?;
            let ifindex = node.ifindex(link)?;
            let _inside = node.enter()?;
            let open = || {
                let socket = LinkSocket::open(ifindex)?;
                socket.set_promiscuous(ifindex, true)?;
                Ok(socket)
            };
            let opened = open();
            sockets.push(opened.map_err(|source: std::io::Error| {
                Error::system(format!("open a packet socket on {link} of {name}"), source)
            })?);
        }
        let thread = Background::start("delay", move |stop| run(&sockets, delay, stop))
            .map_err(|source| Error::system("start a thread to delay frames", source))?;
        Ok(Self { _thread: thread, _node: node })
    }
}

/// A frame on its way.
struct Late {
    due: Instant,
    /// The socket that it leaves by.
    to: usize,
    bytes: Vec<u8>,
}

fn run(sockets: &[LinkSocket], delay: Duration, stop: &Stop) {
    let fds: Vec<_> = sockets.iter().map(AsFd::as_fd).collect();
    let mut buffer = vec![0; FRAME_LEN];
    let mut line: VecDeque<Late> = VecDeque::new();
    loop {
        let woken = stop.wait(&fds, line.front().map(|late| late.due));
        if woken.is_err() || woken == Ok(Woken::Stop) {
            return;
        }
        for (index, socket) in sockets.iter().enumerate() {
            while let Ok(Some(mut frame)) = Frame::receive(socket, &mut buffer) {
                if frame.outgoing {
                    continue;
                }
                // Programs leave checksums to the device, and this one does not make any.
                complete_checksum(&mut frame.bytes, false);
                let (due, to) = (Instant::now() + delay, 1 - index);
                line.push_back(Late { due, to, bytes: frame.bytes });
            }
        }
        while line.front().is_some_and(|late| late.due <= Instant::now()) {
            let Some(late) = line.pop_front() else { break };
            if let Some(socket) = sockets.get(late.to) {
                // What does not get onto a link is lost, as it is on any.
                let _ = socket.send(&late.bytes);
            }
        }
    }
}

const FRAME_LEN: usize = 65_536;
