//! The reflector of one relay: what it knows, and which part of it a datagram goes to.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};

use magpie_wire::datagram::{Datagram, MDNS_GROUP_V4, MDNS_GROUP_V6, MDNS_PORT, Received};
use magpie_wire::dns::Message;
use magpie_wire::{LinkAddr, Malformed};

use crate::engine::Engine;
use crate::limit::Recent;
use crate::link::Link;
use crate::mdns::budget::Budgets;
use crate::mdns::counters::{NameCounters, NameDiscard};
use crate::mdns::filter::Place;
use crate::mdns::judge::{self, Judge};
use crate::mdns::legacy::Slots;
use crate::mdns::memory::{Memory, Speaker};
use crate::mdns::other::Searches;
use crate::mdns::peer::Peers;
use crate::mdns::question::Series;
use crate::mdns::reassembly::Reassembly;
use crate::mdns::response::Note;
use crate::{Event, Instant, LinkId, Mdns, Member, NameEvent, OtherService, Output};

/// Everything that the reflector remembers.
#[derive(Debug)]
pub(crate) struct Reflector {
    pub(super) judge: Judge,
    pub(super) memory: Memory,
    pub(super) peers: Peers,
    pub(super) budgets: Budgets,
    pub(super) slots: Slots,
    pub(super) searches: Searches,
    reassembly: Reassembly,
    /// Who is sending more known answers than one packet holds, by the link that they go to.
    pub(super) series: BTreeMap<(LinkId, bool), Series>,
    /// Names that somebody on a link wants to hear of without delay.
    pub(super) urgent: Recent<(LinkId, u64)>,
    pub(super) rng: fastrand::Rng,
    pub(super) counters: NameCounters,
    /// What is to be done, in order.
    pub(super) outbox: Vec<Output>,
    /// What is to be done thereafter: records to take note of,
    pub(super) notes: Vec<Note>,
    /// and hosts that somebody has just learned the address of, where they are, and who said so.
    pub(super) wanted: Vec<(Ipv6Addr, LinkId, LinkAddr)>,
}

/// What the reflector works with, but does not change.
#[derive(Clone, Copy)]
pub(crate) struct Scene<'a> {
    pub(crate) engine: &'a Engine,
    pub(crate) mdns: &'a Mdns,
    pub(crate) now: Instant,
}

/// Who sent a datagram, and where it came in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Origin {
    pub(crate) link: LinkId,
    pub(crate) member: Member,
    pub(crate) source: IpAddr,
    pub(crate) port: u16,
    pub(crate) lladdr: LinkAddr,
}

impl Origin {
    pub(crate) fn is_v6(&self) -> bool {
        self.source.is_ipv6()
    }

    pub(crate) fn speaker(&self) -> Speaker {
        Speaker { link: self.link, source: self.source }
    }

    pub(crate) fn place(&self) -> Place {
        Place { link: self.link, member: self.member }
    }

    /// What of it matters to decisions.
    pub(crate) fn known(&self) -> judge::Origin {
        judge::Origin { place: self.place(), source: self.source, lladdr: self.lladdr }
    }
}

impl<'a> Scene<'a> {
    /// Returns the other links in use.
    pub(crate) fn others(self, link: LinkId) -> impl Iterator<Item = Place> + Clone + 'a {
        let links = self.engine.links.iter();
        let usable = links.filter(move |(id, state)| **id != link && state.usable());
        usable.map(|(id, state)| Place { link: *id, member: state.info.member })
    }

    /// Returns over which versions of IP something goes on that came over one of them.
    pub(crate) fn versions(self, is_v6: bool) -> impl Iterator<Item = bool> {
        let crosses = self.mdns.cross_families;
        [is_v6, !is_v6].into_iter().take(if crosses { 2 } else { 1 })
    }

    /// Whether somebody on `link` could have sent something from `source` by himself: nobody may
    /// make this host answer to another network.
    ///
    /// Over IPv4 the links of a relay are one subnet, whichever of them this host has its address
    /// on. If it has none at all, private addresses are taken for those of neighbors.
    pub(crate) fn is_on_link(self, link: LinkId, source: IpAddr) -> bool {
        match source {
            IpAddr::V6(source) if source.is_unicast_link_local() => true,
            IpAddr::V6(source) => {
                let Some(link) = self.engine.links.get(&link) else { return false };
                let mut own = link.addresses.iter();
                own.any(|own| own.net.prefix_len() < 128 && own.net.contains(&source))
                    || self.engine.scope.longest(source).is_some()
            }
            IpAddr::V4(source) => {
                let mut nets = self.engine.links.values().flat_map(Link::subnets4).peekable();
                let is_unknown = nets.peek().is_none();
                source.is_link_local()
                    || nets.any(|net| net.contains(&source))
                    || is_unknown && source.is_private()
            }
        }
    }

    /// Whether it was this host that sent something.
    fn is_own(self, link: LinkId, lladdr: LinkAddr, source: IpAddr) -> bool {
        if self.engine.link_of_lladdr(lladdr).is_some() {
            return true;
        }
        match source {
            IpAddr::V6(source) => self.engine.is_own_address(source, link),
            IpAddr::V4(source) => self.engine.owns_ipv4(source),
        }
    }
}

impl Reflector {
    pub(crate) fn new(mdns: &Mdns, seed: u64) -> Self {
        Self {
            judge: Judge::new(mdns),
            memory: Memory::default(),
            peers: Peers::default(),
            budgets: Budgets::default(),
            slots: Slots::default(),
            searches: Searches::default(),
            reassembly: Reassembly::default(),
            series: BTreeMap::new(),
            urgent: Recent::new(),
            rng: fastrand::Rng::with_seed(seed),
            counters: NameCounters::default(),
            outbox: Vec::new(),
            notes: Vec::new(),
            wanted: Vec::new(),
        }
    }

    /// Takes over other settings; what was seen stays.
    pub(crate) fn configure(&mut self, mdns: &Mdns) {
        self.judge.reconfigure(mdns);
        self.budgets.clear();
        self.slots.clear();
        self.searches.clear();
    }

    /// Time has passed in which nothing was heard: nothing that was under way is any longer.
    pub(crate) fn resume(&mut self) {
        self.memory.clear();
        self.slots.clear();
        self.searches.clear();
        self.reassembly.clear();
        self.series.clear();
    }

    /// Returns how much is remembered: records that were seen, what was said lately, and queries and
    /// packets that wait.
    pub(crate) fn sizes(&self) -> (usize, usize, usize) {
        let said = self.memory.len() + self.urgent.len() + self.budgets.senders();
        let waiting =
            self.slots.len() + self.searches.len() + self.series.len() + self.reassembly.len();
        (self.judge.len(), said, waiting)
    }

    /// Forgets what was seen and said on a link, and who waits there.
    pub(crate) fn forget_link(&mut self, link: LinkId) {
        self.judge.forget_link(link);
        self.memory.forget_link(link);
        self.peers.forget_link(link);
        self.budgets.forget_link(link);
        self.slots.forget_link(link);
        self.searches.forget_link(link);
        self.reassembly.forget_link(link);
        self.series.retain(|(to, _), series| *to != link && series.asker.link != link);
        self.urgent.retain(|(on, _)| *on != link);
    }

    /// Takes a frame. What is wrong with it below the message that it carries is returned.
    pub(crate) fn receive(
        &mut self,
        scene: Scene<'_>,
        link: LinkId,
        bytes: &[u8],
    ) -> Result<(), Malformed> {
        self.counters.packets_received += 1;
        let Some(state) = scene.engine.links.get(&link).filter(|link| link.usable()) else {
            self.counters.count(NameDiscard::LinkDown);
            return Ok(());
        };
        let received =
            if state.is_bare() { Received::parse_bare(bytes) } else { Received::parse(bytes) };
        match received? {
            Received::Whole(datagram) => self.on_datagram(scene, link, &datagram),
            Received::Fragment(fragment) => {
                match self.reassembly.take(link, &fragment, scene.now) {
                    Ok(None) => {}
                    Ok(Some(whole)) => self.on_datagram(scene, link, &whole.datagram()?),
                    Err(_) => self.counters.count(NameDiscard::Fragments),
                }
            }
        }
        Ok(())
    }

    fn on_datagram(&mut self, scene: Scene<'_>, link: LinkId, datagram: &Datagram<'_>) {
        let Some(member) = scene.engine.member(link) else { return };
        let lladdr = datagram.ethernet_source;
        let (source, port) = (datagram.source.ip(), datagram.source.port());
        if scene.is_own(link, lladdr, source) {
            return self.counters.count(NameDiscard::Own);
        }
        let origin = Origin { link, member, source, port, lladdr };
        if let Err(why) = self.budgets.admit(origin.speaker(), &scene.mdns.limits, scene.now) {
            return self.counters.count(why);
        }
        self.memory.beware(self.peers.is_any(scene.now));
        let (to, to_port) = (datagram.destination.ip(), datagram.destination.port());
        if scene.mdns.legacy_port == Some(to_port) && !to.is_multicast() {
            return self.on_answer_to_us(scene, &origin, datagram.payload);
        }
        let mut services = scene.mdns.other_services.iter().copied();
        let is_of = |service: &OtherService| {
            let groups = [IpAddr::from(service.group_v4()), IpAddr::from(service.group_v6())];
            service.port() == to_port && groups.contains(&to)
        };
        if let Some(service) = services.find(is_of) {
            return self.on_other(scene, &origin, service, datagram.payload);
        }
        let is_group = [IpAddr::from(MDNS_GROUP_V4), IpAddr::from(MDNS_GROUP_V6)].contains(&to);
        if !is_group || to_port != MDNS_PORT {
            return self.counters.count(NameDiscard::Unicast);
        }
        match Message::parse(datagram.payload) {
            Ok(message) => self.on_message(scene, &origin, &message),
            Err(reason) => self.counters.count_malformed(reason),
        }
    }

    fn on_answer_to_us(&mut self, scene: Scene<'_>, origin: &Origin, payload: &[u8]) {
        if self.on_other_answer(scene, origin, payload) {
            return;
        }
        match Message::parse(payload) {
            Ok(message) => self.on_legacy_answer(scene, origin, &message),
            Err(reason) => self.counters.count_malformed(reason),
        }
    }

    /// RFC 6762 sections 6, 18.3 and 18.11: other codes, and answers from other ports, are not for
    /// anybody.
    fn on_message(&mut self, scene: Scene<'_>, origin: &Origin, message: &Message<'_>) {
        let is_usual = message.opcode == 0 && message.rcode == 0;
        match (message.is_response, origin.port == MDNS_PORT) {
            _ if !is_usual => self.counters.count(NameDiscard::Unusual),
            (true, true) => self.on_response(scene, origin, message),
            (true, false) => self.counters.count(NameDiscard::Unusual),
            (false, true) => self.on_query(scene, origin, message),
            (false, false) => self.on_legacy_query(scene, origin, message),
        }
    }

    /// Notes that what others said came back from a speaker, who must be a reflector if that goes
    /// on.
    pub(super) fn accuse(&mut self, scene: Scene<'_>, origin: &Origin, content: u64, unique: bool) {
        if self.peers.accuse(origin.speaker(), content, unique, scene.now) {
            self.judge.forget_sender(origin.known());
            self.report(NameEvent::Reflector { link: origin.link, source: origin.source });
        }
    }

    pub(super) fn report(&mut self, event: impl Into<Option<NameEvent>>) {
        let event = event.into().map(Box::new);
        self.outbox.extend(event.map(|event| Output::Event(Event::Name(event))));
    }
}
