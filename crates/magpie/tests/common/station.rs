//! A station that speaks Neighbor Discovery by hand: it says what a test needs, when a test needs
//! it, and sees every frame that reaches it.

use std::error::Error;
use std::net::Ipv6Addr;
use std::ops::{Deref, DerefMut};
use std::time::{Duration, Instant};

use magpie_testnet::{Frame, Node, Tester};
use magpie_wire::{
    Advert, LinkAddr, Message, Nonce, Packet, Solicit, multicast_lladdr, solicited_node,
};

use super::LIMIT;

/// A tester on a bridge, with a link-local address to speak from. All that a [`Tester`] can do it
/// can do too.
#[derive(Debug)]
pub(crate) struct Station {
    tester: Tester,
    /// Where its solicitations come from.
    pub(crate) link_local: Ipv6Addr,
}

impl Station {
    /// Plugs it into a bridge of `switch`; its name is also the port's.
    pub(crate) fn new(name: &str, switch: &Node, bridge: &str) -> Result<Self, Box<dyn Error>> {
        let tester = Tester::new(name, switch, bridge, None)?;
        Ok(Self { link_local: link_local(tester.lladdr()), tester })
    }

    /// Takes another tester for a station.
    pub(crate) fn of(tester: Tester) -> Self {
        Self { link_local: link_local(tester.lladdr()), tester }
    }

    /// Asks everybody for `target`.
    pub(crate) fn ask(&self, target: Ipv6Addr) -> Result<(), Box<dyn Error>> {
        Ok(self.send_packet(&self.question(target))?)
    }

    /// Asks one station whether `target` is still there.
    pub(crate) fn ask_at(&self, target: Ipv6Addr, lladdr: LinkAddr) -> Result<(), Box<dyn Error>> {
        let question = self.question(target);
        let packet = Packet { ethernet_destination: lladdr, destination: target, ..question };
        Ok(self.send_packet(&packet)?)
    }

    /// The solicitation of [`Self::ask`].
    pub(crate) fn question(&self, target: Ipv6Addr) -> Packet<'static> {
        let group = solicited_node(target);
        let source_lladdr = Some(self.lladdr());
        Packet {
            ethernet_source: self.lladdr(),
            ethernet_destination: multicast_lladdr(group),
            source: self.link_local,
            destination: group,
            message: Message::Solicit(Solicit { target, source_lladdr, nonce: None }),
        }
    }

    /// The solicitation of [`Self::ask`] as a frame.
    pub(crate) fn question_frame(&self, target: Ipv6Addr) -> Result<Vec<u8>, Box<dyn Error>> {
        let mut buffer = [0; Packet::MAX_LEN];
        let len = self.question(target).emit(&mut buffer)?;
        Ok(buffer.get(..len).unwrap_or_default().to_vec())
    }

    /// Checks for duplicates of `target`, as a host does before it uses an address.
    pub(crate) fn probe(
        &self,
        target: Ipv6Addr,
        nonce: Option<[u8; 6]>,
    ) -> Result<(), Box<dyn Error>> {
        let nonce = nonce.map(Nonce::new);
        let packet = Packet {
            source: Ipv6Addr::UNSPECIFIED,
            message: Message::Solicit(Solicit { target, source_lladdr: None, nonce }),
            ..self.question(target)
        };
        Ok(self.send_packet(&packet)?)
    }

    /// Says to all nodes that `target` is here.
    pub(crate) fn announcement(&self, target: Ipv6Addr) -> Packet<'static> {
        Packet {
            ethernet_source: self.lladdr(),
            ethernet_destination: multicast_lladdr(magpie_wire::ALL_NODES),
            source: target,
            destination: magpie_wire::ALL_NODES,
            message: Message::Advert(Advert {
                target,
                router: false,
                solicited: false,
                overrides: true,
                target_lladdr: Some(self.lladdr()),
            }),
        }
    }

    /// Answers a solicitation for `target` as its owner.
    pub(crate) fn answer(
        &self,
        target: Ipv6Addr,
        asker: (Ipv6Addr, LinkAddr),
    ) -> Result<(), Box<dyn Error>> {
        let message = Message::Advert(Advert {
            target,
            router: false,
            solicited: true,
            overrides: true,
            target_lladdr: Some(self.lladdr()),
        });
        Ok(self.send_packet(&Packet {
            ethernet_source: self.lladdr(),
            ethernet_destination: asker.1,
            source: target,
            destination: asker.0,
            message,
        })?)
    }

    /// Waits to be asked for `target`, by anybody but for duplicates; returns who asks.
    pub(crate) fn await_question(
        &mut self,
        target: Ipv6Addr,
    ) -> Result<(Ipv6Addr, LinkAddr), Box<dyn Error>> {
        Ok(self.tester.expect(LIMIT, &format!("a solicitation for {target}"), |frame| {
            let packet = frame.packet()?;
            let asked = solicited(&packet)? == target && !packet.is_dad();
            asked.then_some((packet.source, packet.ethernet_source))
        })?)
    }

    /// Waits for an answer to its own question for `target`; returns who gave it.
    pub(crate) fn await_answer(
        &mut self,
        target: Ipv6Addr,
        limit: Duration,
    ) -> Result<Answer, Box<dyn Error>> {
        let start = Instant::now();
        let us = self.lladdr();
        let mut answer =
            self.tester.expect(limit, &format!("an advertisement for {target}"), |frame| {
                answer_for(frame, target).filter(|answer| answer.ethernet_destination == us)
            })?;
        answer.waited = start.elapsed();
        Ok(answer)
    }

    /// Fails unless all of `answered` and none of `silent` are answered for.
    pub(crate) fn expect_answers(
        &mut self,
        answered: &[Ipv6Addr],
        silent: &[Ipv6Addr],
    ) -> Result<(), Box<dyn Error>> {
        for &target in silent {
            self.ask(target)?;
        }
        for &target in answered {
            self.resolve(target)?;
        }
        // Answers to the first ones may have been passed over.
        for &target in silent {
            self.ask(target)?;
        }
        Ok(self.tester.expect_none(SILENCE, "an answer that should not be given", |frame| {
            silent.iter().any(|&target| answer_for(frame, target).is_some())
        })?)
    }

    /// Asks for `target` and waits for the answer, asking again as kernels do.
    pub(crate) fn resolve(&mut self, target: Ipv6Addr) -> Result<Answer, Box<dyn Error>> {
        let mut result = Err("nothing was asked".into());
        for _ in 0..5 {
            self.ask(target)?;
            result = self.await_answer(target, Duration::from_secs(1));
            if result.is_ok() {
                break;
            }
        }
        result
    }
}

impl Deref for Station {
    type Target = Tester;

    fn deref(&self) -> &Tester {
        &self.tester
    }
}

impl DerefMut for Station {
    fn deref_mut(&mut self) -> &mut Tester {
        &mut self.tester
    }
}

/// An advertisement that a station received.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Answer {
    /// Who sent the frame.
    pub(crate) ethernet_source: LinkAddr,
    /// Who it was sent to.
    pub(crate) ethernet_destination: LinkAddr,
    /// The IPv6 source.
    pub(crate) source: Ipv6Addr,
    /// The IPv6 destination.
    pub(crate) destination: Ipv6Addr,
    /// What it says.
    pub(crate) advert: Advert,
    /// How long it was waited for.
    pub(crate) waited: Duration,
}

/// The frame as an advertisement for `target`.
pub(crate) fn answer_for(frame: &Frame, target: Ipv6Addr) -> Option<Answer> {
    let packet = frame.packet()?;
    let Message::Advert(advert) = packet.message else { return None };
    (advert.target == target).then_some(Answer {
        ethernet_source: packet.ethernet_source,
        ethernet_destination: packet.ethernet_destination,
        source: packet.source,
        destination: packet.destination,
        advert,
        waited: Duration::ZERO,
    })
}

/// What a packet asks for, if it is a solicitation.
pub(crate) fn solicited(packet: &Packet<'_>) -> Option<Ipv6Addr> {
    match &packet.message {
        Message::Solicit(solicit) => Some(solicit.target),
        _ => None,
    }
}

/// The frame as a solicitation for `target` that was sent to everybody.
pub(crate) fn is_search_for(frame: &Frame, target: Ipv6Addr) -> bool {
    frame.packet().is_some_and(|packet| {
        solicited(&packet) == Some(target) && packet.ethernet_destination.is_group()
    })
}

/// A link-local address that no other station has.
fn link_local(lladdr: LinkAddr) -> Ipv6Addr {
    let mut octets = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0).octets();
    octets[10..].copy_from_slice(&lladdr.0);
    Ipv6Addr::from(octets)
}

/// Longer than an answer takes, probing included.
const SILENCE: Duration = Duration::from_millis(1500);
