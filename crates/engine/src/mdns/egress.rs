//! Sends messages out on a link: from which address, in how many packets, in what frames.

use std::borrow::Cow;
use std::mem;
use std::net::{IpAddr, SocketAddr};

use magpie_wire::IPV6_LEN;
use magpie_wire::LinkAddr;
use magpie_wire::datagram::{
    Datagram, IPV4_LEN, MDNS_GROUP_V4, MDNS_GROUP_V6, MDNS_PORT, UDP_LEN, group_lladdr,
};
use magpie_wire::dns::{Composer, Header, Question, Record, Section};

use crate::link::Link;
use crate::mdns::NameDiscard;
use crate::mdns::reflector::{Reflector, Scene};
use crate::{LinkId, Output};

/// Octets of the largest packet, headers included (RFC 6762 section 17).
const LARGEST_PACKET: usize = 9_000;
/// RFC 6762 section 11.
const HOP_LIMIT: u8 = 255;
/// The IPv4 group of other protocols is one that routers may pass on.
const OTHER_HOP_LIMIT: u8 = 1;

/// A message that is about to be sent.
#[derive(Debug)]
pub(crate) struct Draft<'m, 'a> {
    pub(crate) header: Header,
    pub(crate) questions: Vec<Question<'a>>,
    pub(crate) records: Vec<(Section, Cow<'m, Record<'a>>)>,
}

/// One of the messages that a draft takes, and what it and those before hold together.
#[derive(Debug)]
struct Part {
    message: Composer,
    questions: usize,
    records: usize,
}

/// How much of a draft went out: what stands first in it.
#[derive(Debug, Default)]
pub(crate) struct Sent {
    /// So many of its questions.
    pub(crate) questions: usize,
    records: usize,
    too_large: Vec<usize>,
}

impl Sent {
    /// Whether any of it went out.
    pub(crate) fn is_any(&self) -> bool {
        self.questions + self.records > 0
    }

    /// Whether one of its records went out.
    pub(crate) fn has_record(&self, place: usize) -> bool {
        place < self.records && !self.is_too_large(place)
    }

    /// Whether one of its records fits no packet.
    pub(crate) fn is_too_large(&self, place: usize) -> bool {
        self.too_large.contains(&place)
    }
}

impl Draft<'_, '_> {
    pub(crate) fn is_empty(&self) -> bool {
        self.questions.is_empty() && self.records.is_empty()
    }

    /// Writes it into as few messages as hold it, none longer than `limit` but those of a single
    /// record that fits no other; returns them with the places of the records that fit nowhere.
    ///
    /// Of a query that takes several, all but the last say that more known answers follow (RFC 6762
    /// section 7.2). What hosts intend to use belongs to their questions, so that a probe is never
    /// divided. What accompanies answers in a response stands for itself where it is divided from
    /// them.
    fn compose(&self, limit: usize, largest: usize) -> (Vec<Part>, Vec<usize>) {
        let is_probe = self.records.iter().any(|(section, _)| *section == Section::Authority);
        let limit = if is_probe { largest } else { limit };
        let (mut parts, too_large) = self.pack(limit, largest);
        if !self.header.is_response {
            let before_last = parts.len().saturating_sub(1);
            parts.iter_mut().take(before_last).for_each(|part| part.message.set_truncated());
        }
        (parts, too_large)
    }

    fn pack(&self, limit: usize, largest: usize) -> (Vec<Part>, Vec<usize>) {
        let mut parts: Vec<Part> = Vec::new();
        let mut too_large = Vec::new();
        let begin = |limit| Composer::new(self.header, limit);
        let section_in = |number: usize, section: Section| {
            if self.header.is_response && number > 0 { Section::Answer } else { section }
        };
        let mut message = begin(limit);
        for (questions, question) in self.questions.iter().enumerate() {
            if message.push_question(question).is_err() && !message.is_empty() {
                let full = mem::replace(&mut message, begin(limit));
                parts.push(Part { message: full, questions, records: 0 });
                // A question that does not fit alone does not exist.
                let _ = message.push_question(question);
            }
        }
        let questions = self.questions.len();
        for (records, (section, record)) in self.records.iter().enumerate() {
            if message.push(section_in(parts.len(), *section), record).is_ok() {
                continue;
            }
            if !message.is_empty() {
                let full = mem::replace(&mut message, begin(limit));
                parts.push(Part { message: full, questions, records });
                if message.push(section_in(parts.len(), *section), record).is_ok() {
                    continue;
                }
            }
            let mut alone = begin(largest);
            if alone.push(section_in(parts.len(), *section), record).is_ok() {
                parts.push(Part { message: alone, questions, records: records + 1 });
            } else {
                too_large.push(records);
            }
        }
        if !message.is_empty() {
            let records = self.records.len();
            parts.push(Part { message, questions, records });
        }
        (parts, too_large)
    }
}

/// What frames on a link, over one version of IP, look like.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Outlet {
    pub(crate) link: LinkId,
    is_bare: bool,
    lladdr: LinkAddr,
    source: IpAddr,
    mtu: usize,
}

impl Outlet {
    /// None if there is no address to send from. Over IPv6 that is the link-local one, which every
    /// host there takes for on-link. Over IPv4 it is one of the link or, on a link that has none,
    /// of another: to a group they are all the same (RFC 6762 section 11).
    pub(crate) fn of(scene: &Scene<'_>, id: LinkId, is_v6: bool) -> Option<Self> {
        let link = scene.engine.links.get(&id).filter(|link| link.usable())?;
        let source = if is_v6 {
            let source = link.link_local();
            let any = || link.is_bare().then(|| link.assigned().next()).flatten();
            IpAddr::V6(source.or_else(any)?)
        } else {
            let others = scene.engine.links.values();
            let mut any = link.addresses4().chain(others.flat_map(Link::addresses4));
            IpAddr::V4(any.next()?)
        };
        let mtu = usize::try_from(link.info.mtu).unwrap_or(usize::MAX);
        Some(Self { link: id, is_bare: link.is_bare(), lladdr: link.lladdr(), source, mtu })
    }

    /// Octets of the longest message that fits a packet of the link.
    fn limit(&self) -> usize {
        self.mtu.min(LARGEST_PACKET).saturating_sub(self.header_len())
    }

    /// Octets of the longest message that there is.
    fn largest(&self) -> usize {
        LARGEST_PACKET - self.header_len()
    }

    fn header_len(&self) -> usize {
        UDP_LEN + if self.source.is_ipv6() { IPV6_LEN } else { IPV4_LEN }
    }

    fn group(&self, group_v4: IpAddr, group_v6: IpAddr) -> IpAddr {
        if self.source.is_ipv6() { group_v6 } else { group_v4 }
    }
}

/// Where a message goes, and from which port.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Route {
    port: u16,
    destination: SocketAddr,
    lladdr: LinkAddr,
    hop_limit: u8,
}

impl Route {
    /// To everybody on a link who speaks multicast DNS, from `port`.
    pub(crate) fn to_group(outlet: &Outlet, port: u16) -> Self {
        let group = outlet.group(MDNS_GROUP_V4.into(), MDNS_GROUP_V6.into());
        Self::to_other_group(group, MDNS_PORT, port)
    }

    /// To a group of another protocol, from `port`.
    pub(crate) fn to_other_group(group: IpAddr, to: u16, port: u16) -> Self {
        let hop_limit = if to == MDNS_PORT { HOP_LIMIT } else { OTHER_HOP_LIMIT };
        Self { port, destination: (group, to).into(), lladdr: group_lladdr(group), hop_limit }
    }

    /// To somebody on a link, from `port`.
    pub(crate) fn to_one(port: u16, destination: SocketAddr, lladdr: LinkAddr) -> Self {
        Self { port, destination, lladdr, hop_limit: HOP_LIMIT }
    }
}

impl Reflector {
    /// Sends a message; tells how much of it went out before the budget of the link was used up.
    pub(super) fn send(
        &mut self,
        scene: &Scene<'_>,
        outlet: &Outlet,
        route: Route,
        draft: &Draft<'_, '_>,
    ) -> Sent {
        let mut sent = Sent::default();
        if draft.is_empty() {
            return sent;
        }
        if !self.budgets.has_left(outlet.link, scene.now) {
            self.counters.count(NameDiscard::LinkRate);
            return sent;
        }
        let (parts, too_large) = draft.compose(outlet.limit(), outlet.largest());
        for _ in &too_large {
            self.counters.count(NameDiscard::TooLarge);
        }
        sent.too_large = too_large;
        for part in parts {
            if !self.send_octets(scene, outlet, route, &part.message.finish()) {
                break;
            }
            (sent.questions, sent.records) = (part.questions, part.records);
        }
        sent
    }

    /// Sends one datagram, in fragments if it is longer than a packet of the link.
    pub(super) fn send_octets(
        &mut self,
        scene: &Scene<'_>,
        outlet: &Outlet,
        route: Route,
        payload: &[u8],
    ) -> bool {
        if !self.budgets.spend(outlet.link, &scene.mdns.limits, scene.now) {
            self.counters.count(NameDiscard::LinkRate);
            return false;
        }
        let (source, destination) = if outlet.is_bare {
            (LinkAddr::ZERO, LinkAddr::ZERO)
        } else {
            (outlet.lladdr, route.lladdr)
        };
        let datagram = Datagram {
            ethernet_source: source,
            ethernet_destination: destination,
            source: (outlet.source, route.port).into(),
            destination: route.destination,
            hop_limit: route.hop_limit,
            payload,
        };
        let (link, outbox) = (outlet.link, &mut self.outbox);
        datagram.emit_fragments(outlet.mtu, outlet.is_bare, self.rng.u32(..), |frame| {
            outbox.push(Output::Datagram(crate::Datagram { link, frame: frame.to_vec() }));
        });
        self.counters.packets_sent += 1;
        true
    }
}
