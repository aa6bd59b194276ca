//! The rules that a Magpie never breaks, checked at each of its steps.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv6Addr;
use std::time::Duration;

use magpie_engine::{
    Config, Engine, Event, Instant, KernelEvent, KernelOp, LinkId, LinkInfo, Member,
};
use magpie_wire::{
    ALL_NODES, ALL_ROUTERS, Advert, LinkAddr, Message, Packet, Solicit, is_proxiable,
    multicast_lladdr, solicited_node,
};

use crate::interface::Validity;
use crate::kernel::Kernel;

/// RFC 4861 section 10, less what timers and clocks may differ by.
const RETRANS_TIMER: Duration = Duration::from_millis(999);
/// Solicitations further apart than this belong to different resolutions, or to upkeep.
const RESOLUTION_GAP: Duration = Duration::from_millis(1_500);
/// RFC 4861 section 10.
const MAX_MULTICAST_SOLICIT: usize = 3;
/// Solicitations for one node in a second: a few more than RFC 4861 section 7.3.3 says where a
/// claim has to be decided in time (RFC 6620 section 3.3), and somebody asks all the while.
const UNICAST_SOLICITS_PER_SECOND: usize = 10;
/// How long duplicate address detection of a target, with the same nonce or with none, is taken
/// for the same probe.
const PROBE_MEMORY: Duration = Duration::from_secs(5);
const PROBE_MEMORY_WITHOUT_NONCE: Duration = Duration::from_millis(500);
/// How long a move may be announced: three times, a second apart, with some delay.
const ANNOUNCEMENT: Duration = Duration::from_secs(10);
/// At most, and as many as at one turn of the second.
const ANNOUNCEMENTS_PER_SECOND: usize = 101;
/// When old observations are dropped.
const MEMORY: Duration = Duration::from_secs(60);
/// How many observations are made between two clearings.
const CLEARING: usize = 20_000;

/// A broken rule.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Breach {
    pub(crate) target: Ipv6Addr,
    pub(crate) rule: &'static str,
}

/// What was seen of one Magpie.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    /// Duplicate address detection by target and nonce.
    probes: BTreeMap<(Ipv6Addr, Vec<u8>), Probe>,
    multicast: BTreeMap<(LinkId, Ipv6Addr), Asked>,
    /// Solicitations for one node since the start of the present second.
    unicast: BTreeMap<(LinkId, Ipv6Addr, LinkAddr), Asked>,
    /// The latest sign of life of an address, on any link.
    heard: BTreeMap<Ipv6Addr, Instant>,
    /// Addresses that were advertised, and where.
    advertised: BTreeSet<(Ipv6Addr, LinkId)>,
    moved: BTreeMap<Ipv6Addr, Instant>,
    joined: BTreeSet<(LinkId, Ipv6Addr)>,
    /// What the engine was told of the links and of this node's addresses.
    links: BTreeMap<LinkId, LinkInfo>,
    addresses: BTreeMap<(LinkId, Ipv6Addr), Validity>,
    /// Those that a dump has not confirmed yet.
    unconfirmed: BTreeSet<(LinkId, Ipv6Addr)>,
    /// Links on which the neighbors may have come to hold a wrong link-layer address of ours, as
    /// that of a configured link changed, with its device or without.
    readdressed: BTreeSet<LinkId>,
    lladdrs: BTreeMap<Member, LinkAddr>,
    /// Announcements since the start of the present second.
    announced: BTreeMap<LinkId, Asked>,
    down: BTreeSet<LinkId>,
    observations: usize,
}

#[derive(Debug)]
struct Probe {
    first: Instant,
    came_in: Vec<LinkId>,
    relayed: Vec<LinkId>,
    /// It may have been out of scope when it came in first.
    forgiven: bool,
}

#[derive(Debug)]
struct Asked {
    last: Instant,
    streak: usize,
    /// The link has been down since, or one is gone.
    interrupted: bool,
}

impl Watch {
    /// Notes a frame that the engine received.
    pub(crate) fn received(
        &mut self,
        link: LinkId,
        packet: &Packet<'static>,
        kernel: &Kernel,
        now: Instant,
    ) {
        if kernel.ports.values().any(|port| port.interface.lladdr == packet.ethernet_source) {
            return;
        }
        match &packet.message {
            Message::Solicit(solicit) if packet.is_dad() => {
                self.heard.insert(solicit.target, now);
                let probe = self.probe(solicit, now);
                if !probe.came_in.contains(&link) {
                    probe.came_in.push(link);
                }
            }
            Message::Solicit(_) => {
                self.heard.insert(packet.source, now);
            }
            Message::Advert(advert) => {
                self.heard.insert(advert.target, now);
                self.advertised.insert((advert.target, link));
            }
            _ => {}
        }
        self.clear(now);
    }

    /// Notes what the engine is told: it cannot know more.
    pub(crate) fn told(&mut self, event: &KernelEvent) {
        match *event {
            KernelEvent::Link { link, info } => {
                self.runs(link, info.running);
                let before = self.links.insert(link, info);
                if let Some(lladdr) = info.lladdr {
                    let known = self.lladdrs.insert(info.member, lladdr);
                    let changed = match before {
                        Some(before) => before.lladdr != Some(lladdr),
                        None => known.is_some_and(|known| known != lladdr),
                    };
                    if changed {
                        self.readdressed.insert(link);
                    }
                }
            }
            KernelEvent::LinkGone { link } => {
                self.links.remove(&link);
                self.readdressed.remove(&link);
                // What was looked up for those who asked there has ended; they may ask again.
                self.multicast.values_mut().for_each(|asked| asked.interrupted = true);
                self.addresses.retain(|(on, _), _| *on != link);
                self.joined.retain(|(on, _)| *on != link);
            }
            KernelEvent::Address { link, address, tentative } => {
                let validity = if tentative { Validity::Tentative } else { Validity::Valid };
                let before = self.addresses.insert((link, address.addr()), validity);
                if before != Some(validity) {
                    self.forgive_probes();
                }
                self.unconfirmed.remove(&(link, address.addr()));
            }
            KernelEvent::AddressGone { link, address } => {
                self.forgive_probes();
                self.addresses.remove(&(link, address));
            }
            KernelEvent::Overrun => self.unconfirmed = self.addresses.keys().copied().collect(),
            KernelEvent::Synced => {
                let gone = std::mem::take(&mut self.unconfirmed);
                self.addresses.retain(|address, _| !gone.contains(address));
            }
            _ => {}
        }
    }

    /// The subnet follows the addresses: what came in before may not have been taken for a probe.
    fn forgive_probes(&mut self) {
        self.probes.values_mut().for_each(|probe| probe.forgiven = true);
    }

    /// Whether the engine knows of a link.
    pub(crate) fn knows(&self, link: LinkId) -> bool {
        self.links.contains_key(&link)
    }

    /// Returns the links that the engine knows and the kernel does not have any longer.
    pub(crate) fn links_gone(&self, kernel: &Kernel) -> impl Iterator<Item = LinkId> {
        let gone = self.links.keys().filter(|link| !kernel.ports.contains_key(link));
        gone.copied().collect::<Vec<_>>().into_iter()
    }

    /// When a link comes up again, everybody on it may be asked anew.
    fn runs(&mut self, link: LinkId, running: bool) {
        if !running {
            self.down.insert(link);
        } else if self.down.remove(&link) {
            let here = self.multicast.iter_mut().filter(|((on, _), _)| *on == link);
            here.for_each(|(_, asked)| asked.interrupted = true);
        }
    }

    /// Notes what the engine reports.
    pub(crate) fn reported(&mut self, event: &Event, now: Instant) {
        if let Event::Moved { target, .. } = event {
            self.moved.insert(*target, now);
        }
    }

    /// Checks a request to the kernel.
    pub(crate) fn wanted(&mut self, op: KernelOp, kernel: &Kernel) -> Result<(), Breach> {
        match op {
            KernelOp::SetRoute { target, link } => {
                let check = |holds, rule| if holds { Ok(()) } else { Err(Breach { target, rule }) };
                check(is_proxiable(target), "a host route leads to an address that hosts have")?;
                check(!kernel.owns(target), "no host route leads to an own address")?;
                check(
                    !kernel.foreign.contains_key(&target),
                    "no host route is added to somebody else's",
                )?;
                // What a predecessor left or a state file said is no proof either.
                check(
                    self.advertised.contains(&(target, link)),
                    "a host route leads where the host has advertised itself",
                )
            }
            KernelOp::JoinGroup { link, group } => {
                self.joined.insert((link, group));
                Ok(())
            }
            KernelOp::LeaveGroup { link, group } => {
                self.joined.remove(&(link, group));
                Ok(())
            }
            KernelOp::DelRoute { .. } => Ok(()),
        }
    }

    /// Checks a frame that the engine sends.
    pub(crate) fn sent(
        &mut self,
        link: LinkId,
        packet: &Packet<'static>,
        kernel: &Kernel,
        now: Instant,
    ) -> Result<(), Breach> {
        self.clear(now);
        let target = match &packet.message {
            Message::Solicit(solicit) => solicit.target,
            Message::Advert(advert) => advert.target,
            _ => packet.source,
        };
        let check = |holds, rule| if holds { Ok(()) } else { Err(Breach { target, rule }) };
        let Some(own) = self.links.get(&link).and_then(|info| info.lladdr) else {
            return check(false, "a frame is sent on a link of the relay");
        };
        check(packet.ethernet_source == own, "a frame comes from the link's own address")?;
        if packet.destination.is_multicast() {
            check(
                packet.ethernet_destination == multicast_lladdr(packet.destination)
                    || packet.ethernet_destination.is_station(),
                "a multicast packet goes to its own group",
            )?;
        } else {
            check(packet.ethernet_destination.is_station(), "a unicast packet goes to a station")?;
        }
        match &packet.message {
            Message::Solicit(solicit) if packet.is_dad() => self.relayed(link, solicit, now),
            Message::Solicit(solicit) => {
                check(self.holds(link, packet.source), "a solicitation has an own source")?;
                check(
                    solicit.source_lladdr == Some(own),
                    "a solicitation names the link's own address",
                )?;
                self.solicited(link, packet, target, now)
            }
            Message::Advert(advert) => {
                check(self.holds(link, packet.source), "an advertisement has an own source")?;
                check(
                    advert.target_lladdr == Some(own),
                    "an advertisement names the link's own address",
                )?;
                self.advertises(link, packet, advert, kernel, now)
            }
            _ => check(self.holds(link, packet.source), "a message has an own source"),
        }
    }

    /// Checks that tables stay within their caps.
    pub(crate) fn sizes(engine: &Engine, config: &Config, now: Instant) -> Result<(), Breach> {
        let target = Ipv6Addr::UNSPECIFIED;
        let check = |holds, rule| if holds { Ok(()) } else { Err(Breach { target, rule }) };
        let limits = &config.limits;
        let mut links = BTreeMap::<LinkId, usize>::new();
        let mut lladdrs = BTreeMap::<(LinkId, Option<LinkAddr>), usize>::new();
        for binding in engine.bindings(now) {
            *links.entry(binding.link).or_default() += 1;
            *lladdrs.entry((binding.link, binding.lladdr)).or_default() += 1;
        }
        let all: usize = links.values().sum();
        check(all <= limits.bindings, "bindings stay within their cap")?;
        check(
            links.values().all(|count| *count <= limits.bindings_per_link),
            "bindings of a link stay within their cap",
        )?;
        check(
            lladdrs
                .iter()
                .all(|((_, lladdr), n)| lladdr.is_none() || *n <= limits.bindings_per_lladdr),
            "bindings of a station stay within their cap",
        )?;
        let resolutions = limits.resolutions_per_link * links.len().max(8);
        check(engine.resolutions() <= resolutions, "resolutions stay within their cap")?;
        check(engine.held_down() <= limits.held_down, "held-down targets stay within their cap")
    }

    fn relayed(&mut self, link: LinkId, solicit: &Solicit, now: Instant) -> Result<(), Breach> {
        let target = solicit.target;
        let check = |holds, rule| if holds { Ok(()) } else { Err(Breach { target, rule }) };
        check(solicit.source_lladdr.is_none(), "a probe has no source link-layer address")?;
        check(is_proxiable(target), "only probes for addresses that hosts have are relayed")?;
        let probe = self.probe(solicit, now);
        check(!probe.came_in.is_empty(), "a relayed probe came in with the same nonce")?;
        check(
            probe.forgiven || !probe.came_in.contains(&link),
            "a probe never returns to where it came from",
        )?;
        check(!probe.relayed.contains(&link), "a probe is relayed once")?;
        probe.relayed.push(link);
        Ok(())
    }

    fn solicited(
        &mut self,
        link: LinkId,
        packet: &Packet<'static>,
        target: Ipv6Addr,
        now: Instant,
    ) -> Result<(), Breach> {
        let check = |holds, rule| if holds { Ok(()) } else { Err(Breach { target, rule }) };
        if !packet.destination.is_multicast() {
            let entry = self.unicast.entry((link, target, packet.ethernet_destination));
            let asked = entry.or_insert(Asked { last: now, streak: 0, interrupted: false });
            if now.since(asked.last) >= RETRANS_TIMER {
                *asked = Asked { last: now, streak: 0, interrupted: false };
            }
            asked.streak += 1;
            return check(
                asked.streak <= UNICAST_SOLICITS_PER_SECOND,
                "solicitations for one node are few",
            );
        }
        check(packet.destination == solicited_node(target), "a solicitation goes to its group")?;
        let heard = self.heard.get(&target).copied();
        let entry = self.multicast.entry((link, target));
        let asked = entry.or_insert(Asked { last: Instant::ZERO, streak: 0, interrupted: false });
        let gap = now.since(asked.last);
        if asked.streak > 0 {
            check(gap >= RETRANS_TIMER, "multicast solicitations are a second apart")?;
        }
        let fresh = gap >= RESOLUTION_GAP
            || asked.interrupted
            || heard.is_some_and(|heard| heard >= asked.last);
        let streak = if fresh { 1 } else { asked.streak + 1 };
        *asked = Asked { last: now, streak, interrupted: false };
        // Upkeep may fall due meanwhile.
        check(asked.streak <= MAX_MULTICAST_SOLICIT + 1, "a resolution asks three times")
    }

    fn advertises(
        &mut self,
        link: LinkId,
        packet: &Packet<'static>,
        advert: &Advert,
        kernel: &Kernel,
        now: Instant,
    ) -> Result<(), Breach> {
        let target = advert.target;
        let check = |holds, rule| if holds { Ok(()) } else { Err(Breach { target, rule }) };
        check(
            !(advert.solicited && packet.destination.is_multicast()),
            "a solicited advertisement goes to the asker alone",
        )?;
        check(
            !(advert.solicited && advert.overrides),
            "a solicited advertisement does not override",
        )?;
        let since = |at: Option<&Instant>| at.map(|at| now.since(*at));
        let moved = since(self.moved.get(&target)).is_some_and(|age| age <= ANNOUNCEMENT);
        if advert.overrides && !moved {
            self.announces(link, target, now)?;
        }
        if self.holds(link, target) {
            // Linux does not tell by itself that its link-layer address has changed.
            return check(advert.overrides, "the kernel alone answers for its own address");
        }
        check(is_proxiable(target), "only addresses that hosts have are advertised")?;
        let told_own = self.addresses.keys().any(|(_, address)| *address == target);
        if told_own || kernel.owns(target) {
            return Ok(());
        }
        let leads_to = kernel.leads_to(target);
        let untold = leads_to.is_none() && kernel.untold.contains(&target);
        if advert.solicited {
            check(leads_to.is_some() || untold, "the host route stands before its advertisement")?;
            check(leads_to != Some(link), "nobody is advertised on the link where it is")?;
            return check(
                self.joined.contains(&(link, solicited_node(target))),
                "the group is joined before its first advertisement",
            );
        }
        let to_routers = packet.destination == ALL_ROUTERS;
        check(
            packet.destination == ALL_NODES || (to_routers && !advert.overrides),
            "an unsolicited advertisement goes to everybody, or to the routers",
        )?;
        if advert.overrides || to_routers {
            check(
                leads_to.is_some_and(|to| to != link) || untold,
                "what is announced has its host route, and is elsewhere",
            )?;
        }
        Ok(())
    }

    /// Counts an announcement that comes of no move.
    fn announces(&mut self, link: LinkId, target: Ipv6Addr, now: Instant) -> Result<(), Breach> {
        let check = |holds, rule| if holds { Ok(()) } else { Err(Breach { target, rule }) };
        let rule = "only a move overrides, or another link-layer address of ours";
        check(self.readdressed.contains(&link), rule)?;
        let fresh = Asked { last: now, streak: 0, interrupted: false };
        let announced = self.announced.entry(link).or_insert(fresh);
        if now.since(announced.last) >= Duration::from_secs(1) {
            *announced = Asked { last: now, streak: 0, interrupted: false };
        }
        announced.streak += 1;
        check(announced.streak <= ANNOUNCEMENTS_PER_SECOND, "announcements are paced")
    }

    /// Whether the engine knows an address as assigned to a link for good.
    fn holds(&self, link: LinkId, address: Ipv6Addr) -> bool {
        self.addresses.get(&(link, address)) == Some(&Validity::Valid)
    }

    fn probe(&mut self, solicit: &Solicit, now: Instant) -> &mut Probe {
        let nonce = solicit.nonce.map(|nonce| nonce.as_bytes().to_vec()).unwrap_or_default();
        let fresh = Probe { first: now, came_in: Vec::new(), relayed: Vec::new(), forgiven: false };
        let probe = self.probes.entry((solicit.target, nonce)).or_insert(Probe {
            first: now,
            came_in: Vec::new(),
            relayed: Vec::new(),
            forgiven: false,
        });
        let memory =
            if solicit.nonce.is_some() { PROBE_MEMORY } else { PROBE_MEMORY_WITHOUT_NONCE };
        if now.since(probe.first) > memory {
            *probe = fresh;
        }
        probe
    }

    /// Drops what no rule looks at any more.
    fn clear(&mut self, now: Instant) {
        self.observations += 1;
        if self.observations < CLEARING {
            return;
        }
        self.observations = 0;
        self.probes.retain(|_, probe| now.since(probe.first) < MEMORY);
        self.multicast.retain(|_, asked| now.since(asked.last) < MEMORY);
        self.unicast.retain(|_, asked| now.since(asked.last) < MEMORY);
        self.heard.retain(|_, last| now.since(*last) < MEMORY);
        self.moved.retain(|_, last| now.since(*last) < MEMORY);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SUBNET;
    use crate::interface::{Interface, Stack};
    use crate::kernel::Port;

    const UP: LinkId = LinkId(1);
    const DOWN: LinkId = LinkId(2);
    const TARGET: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, 0x21);
    const ASKER: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);
    const OURS: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0x10);
    const STATION: LinkAddr = LinkAddr([2, 0, 0, 0, 0, 1]);

    fn lladdr(link: LinkId) -> LinkAddr {
        let [.., number] = link.0.to_be_bytes();
        LinkAddr([2, 0, 0, 0, 1, number])
    }

    /// A kernel with two links and a host route to the target on the second.
    fn kernel() -> Kernel {
        let ports = [UP, DOWN].map(|link| {
            let mut interface = Interface::new(lladdr(link), Stack::Linux, true);
            interface.assign(OURS);
            (link, Port::new(interface, link, Member::default()))
        });
        Kernel {
            ports: ports.into(),
            routes: BTreeMap::from([(TARGET, DOWN)]),
            foreign: BTreeMap::new(),
            groups: BTreeSet::new(),
            untold: BTreeSet::new(),
            on_link: UP,
            subnet: SUBNET,
            gateway: None,
        }
    }

    fn watch() -> Watch {
        let joined = [UP, DOWN].map(|link| (link, solicited_node(TARGET)));
        Watch { joined: joined.into(), ..newcomer() }
    }

    /// Knows the links, and nothing else.
    fn newcomer() -> Watch {
        let mut watch = Watch::default();
        kernel().dump().iter().for_each(|event| watch.told(event));
        watch
    }

    fn answer(link: LinkId) -> (Packet<'static>, Advert) {
        let advert = Advert {
            target: TARGET,
            router: false,
            solicited: true,
            overrides: false,
            target_lladdr: Some(lladdr(link)),
        };
        let packet = Packet {
            ethernet_source: lladdr(link),
            ethernet_destination: STATION,
            source: OURS,
            destination: ASKER,
            message: Message::Advert(advert),
        };
        (packet, advert)
    }

    fn question(link: LinkId) -> Packet<'static> {
        let group = solicited_node(TARGET);
        let source_lladdr = Some(lladdr(link));
        Packet {
            ethernet_source: lladdr(link),
            ethernet_destination: multicast_lladdr(group),
            source: OURS,
            destination: group,
            message: Message::Solicit(Solicit { target: TARGET, source_lladdr, nonce: None }),
        }
    }

    fn probe(link: LinkId) -> Packet<'static> {
        let solicit = Solicit { target: TARGET, source_lladdr: None, nonce: None };
        let message = Message::Solicit(solicit);
        Packet { source: Ipv6Addr::UNSPECIFIED, message, ..question(link) }
    }

    fn seconds(seconds: u64) -> Instant {
        Instant::ZERO + Duration::from_secs(seconds)
    }

    #[test]
    fn good_answer_breaks_no_rule() {
        assert_eq!(watch().sent(UP, &answer(UP).0, &kernel(), seconds(1)), Ok(()));
    }

    #[test]
    fn bad_answers_are_noticed() {
        let (packet, advert) = answer(UP);
        let with = |advert| Packet { message: Message::Advert(advert), ..packet };
        let no_route = Kernel { routes: BTreeMap::new(), ..kernel() };
        let route_back = Kernel { routes: BTreeMap::from([(TARGET, UP)]), ..kernel() };
        let cases = [
            (packet, no_route),
            (packet, route_back),
            (with(Advert { overrides: true, ..advert }), kernel()),
            (with(Advert { solicited: false, overrides: true, ..advert }), kernel()),
            (with(Advert { target_lladdr: None, ..advert }), kernel()),
            (with(Advert { target_lladdr: Some(STATION), ..advert }), kernel()),
            (with(Advert { target: ASKER, ..advert }), kernel()),
            (Packet { source: TARGET, ..packet }, kernel()),
            (Packet { ethernet_destination: LinkAddr::BROADCAST, ..packet }, kernel()),
            (Packet { ethernet_source: STATION, ..packet }, kernel()),
            (Packet { destination: ALL_NODES, ..packet }, kernel()),
        ];
        for (packet, kernel) in cases {
            let verdict = watch().sent(UP, &packet, &kernel, seconds(1));
            assert!(verdict.is_err(), "{packet:?}");
        }
        let mut not_joined = newcomer();
        assert!(not_joined.sent(UP, &packet, &kernel(), seconds(1)).is_err());
    }

    #[test]
    fn solicitations_that_come_too_fast_or_too_often_are_noticed() {
        let mut hasty = watch();
        assert_eq!(hasty.sent(DOWN, &question(DOWN), &kernel(), seconds(10)), Ok(()));
        let soon = seconds(10) + Duration::from_millis(900);
        assert!(hasty.sent(DOWN, &question(DOWN), &kernel(), soon).is_err());

        let mut stubborn = watch();
        let verdicts: Vec<_> = (10..15)
            .map(|second| stubborn.sent(DOWN, &question(DOWN), &kernel(), seconds(second)).is_ok())
            .collect();
        assert_eq!(verdicts, [true, true, true, true, false]);

        let mut interrupted = watch();
        for second in 10..16 {
            if second == 13 {
                interrupted.runs(DOWN, false);
                interrupted.runs(DOWN, true);
            }
            let verdict = interrupted.sent(DOWN, &question(DOWN), &kernel(), seconds(second));
            assert_eq!(verdict, Ok(()), "the link came up again meanwhile");
        }
    }

    #[test]
    fn probes_that_come_from_nowhere_or_go_back_or_twice_are_noticed() {
        let kernel = kernel();
        assert!(watch().sent(DOWN, &probe(DOWN), &kernel, seconds(1)).is_err());

        let mut watch = watch();
        let host = Packet { ethernet_source: STATION, ..probe(UP) };
        watch.received(UP, &host, &kernel, seconds(1));
        assert!(watch.sent(UP, &probe(UP), &kernel, seconds(1)).is_err());
        assert_eq!(watch.sent(DOWN, &probe(DOWN), &kernel, seconds(1)), Ok(()));
        assert!(watch.sent(DOWN, &probe(DOWN), &kernel, seconds(1)).is_err());
    }

    #[test]
    fn routes_without_evidence_or_against_others_are_noticed() {
        let op = KernelOp::SetRoute { target: TARGET, link: DOWN };
        assert!(watch().wanted(op, &kernel()).is_err());

        let mut watch = watch();
        let (packet, advert) = answer(DOWN);
        let message = Message::Advert(Advert { target_lladdr: None, ..advert });
        let host = Packet { ethernet_source: STATION, message, ..packet };
        watch.received(DOWN, &host, &kernel(), seconds(1));
        assert_eq!(watch.wanted(op, &kernel()), Ok(()));
        let foreign = Kernel { foreign: BTreeMap::from([(TARGET, None)]), ..kernel() };
        assert!(watch.wanted(op, &foreign).is_err());
    }
}
