//! A station that speaks multicast DNS by hand: it says what a test needs, and hears every message
//! that reaches it.

use std::error::Error;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::{Duration, Instant};

use magpie_testnet::{Frame, Node, Tester};
use magpie_wire::LinkAddr;
use magpie_wire::datagram::{
    Datagram, MDNS_GROUP_V4, MDNS_GROUP_V6, MDNS_PORT, Received, complete_checksum, group_lladdr,
};
use magpie_wire::dns::{Data, Message, Record};

use crate::common::Outcome;
use crate::message::Draft;

/// A tester with addresses.
#[derive(Debug)]
pub(crate) struct Speaker {
    tester: Tester,
    /// Its addresses of both families; a link-local one of IPv6.
    pub(crate) addresses: [IpAddr; 2],
}

/// A version of IP, as the place of an address in `addresses`.
pub(crate) const V4: usize = 0;
pub(crate) const V6: usize = 1;
/// Both.
pub(crate) const FAMILIES: [usize; 2] = [V4, V6];

/// A message that was heard.
#[derive(Clone, Debug)]
pub(crate) struct Heard {
    pub(crate) lladdr: LinkAddr,
    /// Who the frame was for.
    pub(crate) to: LinkAddr,
    pub(crate) source: SocketAddr,
    pub(crate) destination: SocketAddr,
    pub(crate) hop_limit: u8,
    pub(crate) message: Message<'static>,
    /// Octets of its payload.
    pub(crate) len: usize,
    /// When, in nanoseconds since 1970.
    pub(crate) time_ns: u64,
}

impl Speaker {
    /// Plugs it into a bridge of `switch`; its name is also the port's.
    pub(crate) fn new(
        name: &str,
        switch: &Node,
        bridge: &str,
        address: Ipv4Addr,
    ) -> Result<Self, Box<dyn Error>> {
        Ok(Self::of(Tester::new(name, switch, bridge, None)?, address))
    }

    /// Takes a tester for a speaker.
    pub(crate) fn of(tester: Tester, address: Ipv4Addr) -> Self {
        let mut link_local = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0).octets();
        link_local[10..].copy_from_slice(&tester.lladdr().0);
        Self { addresses: [address.into(), Ipv6Addr::from(link_local).into()], tester }
    }

    /// Its link-layer address.
    pub(crate) fn lladdr(&self) -> LinkAddr {
        self.tester.lladdr()
    }

    /// Says something to everybody.
    pub(crate) fn say(&self, family: usize, message: &Draft) -> Outcome {
        self.say_from(family, MDNS_PORT, message)
    }

    /// Says something to everybody from another port.
    pub(crate) fn say_from(&self, family: usize, port: u16, message: &Draft) -> Outcome {
        let group: IpAddr = [MDNS_GROUP_V4.into(), MDNS_GROUP_V6.into()][family];
        let source = SocketAddr::new(self.addresses[family], port);
        self.send(source, SocketAddr::new(group, MDNS_PORT), group_lladdr(group), message)
    }

    /// Says something to one node, with any source.
    pub(crate) fn send(
        &self,
        source: SocketAddr,
        destination: SocketAddr,
        to: LinkAddr,
        message: &Draft,
    ) -> Outcome {
        let payload = message.octets();
        let mut frame = Vec::new();
        let datagram = Datagram {
            ethernet_source: self.lladdr(),
            ethernet_destination: to,
            source,
            destination,
            hop_limit: 255,
            payload: &payload,
        };
        datagram.emit(&mut frame);
        Ok(self.tester.send(&frame)?)
    }

    /// Waits for a message in which `find` finds something.
    pub(crate) fn expect<T>(
        &mut self,
        limit: Duration,
        what: &str,
        mut find: impl FnMut(&Heard) -> Option<T>,
    ) -> Result<T, Box<dyn Error>> {
        let mut seen = Vec::new();
        let found = self.tester.expect(limit, what, |frame| {
            let heard = heard(frame)?;
            find(&heard).or_else(|| {
                seen.push(heard.to_string());
                None
            })
        });
        found.map_err(|error| match seen.as_slice() {
            [] => error.into(),
            seen => format!("{error}; heard:\n{}", seen.join("\n")).into(),
        })
    }

    /// Waits until the whole `window` is over and fails if a message of the kind was heard.
    pub(crate) fn expect_none(
        &mut self,
        window: Duration,
        what: &str,
        mut unwanted: impl FnMut(&Heard) -> bool,
    ) -> Outcome {
        match self.collect(window)?.into_iter().find(|heard| unwanted(heard)) {
            Some(heard) => Err(format!("{what}: {heard}").into()),
            None => Ok(()),
        }
    }

    /// All messages that are heard until `window` is over, and those that wait already.
    pub(crate) fn collect(&mut self, window: Duration) -> Result<Vec<Heard>, Box<dyn Error>> {
        Ok(self.tester.collect(window)?.iter().filter_map(heard).collect())
    }

    /// Forgets what was heard so far.
    pub(crate) fn clear(&mut self) -> Outcome {
        Ok(self.tester.clear()?)
    }

    /// Waits until nothing more is heard for `quiet`.
    pub(crate) fn settle(&mut self, quiet: Duration, limit: Duration) -> Outcome {
        let deadline = Instant::now() + limit;
        loop {
            let heard = self.collect(quiet)?;
            if heard.is_empty() {
                return Ok(());
            }
            if Instant::now() > deadline {
                let heard: Vec<_> = heard.iter().map(ToString::to_string).collect();
                return Err(format!("no rest; the last was:\n{}", heard.join("\n")).into());
            }
        }
    }
}

impl Heard {
    /// Whether it came over IPv6.
    pub(crate) fn family(&self) -> usize {
        usize::from(self.source.is_ipv6())
    }

    /// Whether it asks for this.
    pub(crate) fn asks(&self, name: &str, kind: u16) -> bool {
        !self.message.is_response && self.asks_or_echoes(name, kind)
    }

    /// Whether it asks for this, or answers to who has asked for it.
    pub(crate) fn asks_or_echoes(&self, name: &str, kind: u16) -> bool {
        let mut questions = self.message.questions.iter();
        questions.any(|question| question.name.to_string() == name && question.kind == kind)
    }

    /// The records of this name and kind, wherever they are.
    pub(crate) fn records(&self, name: &str, kind: u16) -> Vec<&Record<'static>> {
        self.all()
            .filter(|record| record.name.to_string() == name && record.kind() == kind)
            .collect()
    }

    /// Whether it answers with a record of this name and kind.
    pub(crate) fn answers(&self, name: &str, kind: u16) -> bool {
        self.message.is_response && !self.records(name, kind).is_empty()
    }

    /// All of its records.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Record<'static>> {
        let Message { answers, authorities, additionals, .. } = &self.message;
        answers.iter().chain(authorities).chain(additionals)
    }

    /// The addresses in it.
    pub(crate) fn addresses(&self) -> Vec<IpAddr> {
        let address = |record: &Record<'_>| match record.data() {
            Data::A(address) => Some(address.into()),
            Data::Aaaa(address) => Some(address.into()),
            _ => None,
        };
        self.all().filter_map(address).collect()
    }

    /// All names that it is about.
    pub(crate) fn names(&self) -> Vec<String> {
        let questions = self.message.questions.iter().map(|question| question.name.to_string());
        questions.chain(self.all().map(|record| record.name.to_string())).collect()
    }
}

impl std::fmt::Display for Heard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { lladdr, source, destination, hop_limit, message, len, .. } = self;
        write!(f, "{lladdr} {source} > {destination} hop limit {hop_limit}, {len} octets:")?;
        write!(f, " id {} response {}", message.id, message.is_response)?;
        for question in &message.questions {
            write!(f, " {}? {} unicast {}", question.name, question.kind, question.unicast)?;
        }
        for record in self.all() {
            write!(
                f,
                "; {} {} ttl {} {}",
                record.name,
                record.kind(),
                record.ttl,
                record.describe(40)
            )?;
        }
        Ok(())
    }
}

/// Reads a frame as a message to or from the port of multicast DNS, or to a simple resolver.
pub(crate) fn heard(frame: &Frame) -> Option<Heard> {
    let mut bytes = frame.bytes.clone();
    // Programs leave checksums to the device.
    complete_checksum(&mut bytes, false);
    let Ok(Received::Whole(datagram)) = Received::parse(&bytes) else { return None };
    if ![datagram.source.port(), datagram.destination.port()].contains(&MDNS_PORT) {
        return None;
    }
    Some(Heard {
        lladdr: datagram.ethernet_source,
        to: datagram.ethernet_destination,
        source: datagram.source,
        destination: datagram.destination,
        hop_limit: datagram.hop_limit,
        message: Message::parse(datagram.payload).ok()?.into_owned(),
        len: datagram.payload.len(),
        time_ns: frame.time_ns,
    })
}
