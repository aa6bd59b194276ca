//! The neighbor cache of a Linux node: RFC 4861 section 7.3, with the transitions that were
//! measured on a Linux kernel.

use std::collections::{BTreeMap, VecDeque};
use std::net::Ipv6Addr;
use std::time::Duration;

use magpie_engine::Instant;
use magpie_wire::{Advert, LinkAddr, Packet};

use crate::frame::Datagram;

/// RFC 4861 section 10.
pub(crate) const RETRANS_TIMER: Duration = Duration::from_secs(1);
const REACHABLE_TIME: Duration = Duration::from_secs(30);
const DELAY_FIRST_PROBE_TIME: Duration = Duration::from_secs(5);
const MAX_MULTICAST_SOLICIT: u8 = 3;
const MAX_UNICAST_SOLICIT: u8 = 3;
/// RFC 4861 section 7.2.2 demands a small queue; Linux counts octets, enough for dozens of packets.
const QUEUE_LEN: usize = 32;
/// `gc_thresh1` and `gc_stale_time` of Linux.
const GC_THRESHOLD: usize = 128;
const GC_STALE_TIME: Duration = Duration::from_secs(60);

/// What waits for, or goes to, a link-layer address.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Payload {
    Datagram(Datagram),
    Nd(Packet<'static>),
}

/// What the cache wants done.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Deed {
    /// Send a payload to a neighbor.
    Transmit { to: LinkAddr, payload: Payload },
    /// Ask for a target, everybody or only the node that had it.
    Solicit { target: Ipv6Addr, source: Ipv6Addr, to: Option<LinkAddr> },
    /// Call `alarm` for a target.
    Alarm { target: Ipv6Addr, at: Instant },
    /// Nobody answered.
    Failed { target: Ipv6Addr },
    /// A neighbor that was a router says, through `by`, that it is none: Linux takes its default
    /// route through `by` away.
    NoRouter { by: Ipv6Addr },
}

#[derive(Debug, Default)]
pub(crate) struct NeighborCache {
    table: BTreeMap<Ipv6Addr, Neighbor>,
}

#[derive(Debug)]
struct Neighbor {
    state: State,
    router: bool,
    used: Instant,
    deadline: Option<Instant>,
    /// Source of solicitations.
    source: Ipv6Addr,
}

#[derive(Debug)]
enum State {
    Incomplete { sent: u8, queue: VecDeque<Payload> },
    Reachable { lladdr: LinkAddr, until: Instant },
    Stale { lladdr: LinkAddr },
    Delay { lladdr: LinkAddr },
    Probe { lladdr: LinkAddr, sent: u8 },
    Failed,
}

impl State {
    fn lladdr(&self) -> Option<LinkAddr> {
        match self {
            Self::Reachable { lladdr, .. }
            | Self::Stale { lladdr }
            | Self::Delay { lladdr }
            | Self::Probe { lladdr, .. } => Some(*lladdr),
            Self::Incomplete { .. } | Self::Failed => None,
        }
    }
}

impl NeighborCache {
    /// Sends to a neighbor, asking for it first if need be.
    pub(crate) fn send(
        &mut self,
        to: Ipv6Addr,
        source: Ipv6Addr,
        payload: Payload,
        now: Instant,
        deeds: &mut Vec<Deed>,
    ) {
        self.collect_garbage(now);
        let neighbor = self.table.entry(to).or_insert_with(|| Neighbor::new(source, now));
        neighbor.used = now;
        if let State::Reachable { lladdr, until } = neighbor.state
            && until < now
        {
            neighbor.state = State::Stale { lladdr };
        }
        match &mut neighbor.state {
            State::Failed => {
                neighbor.source = source;
                neighbor.state = State::Incomplete { sent: 1, queue: VecDeque::from([payload]) };
                deeds.push(Deed::Solicit { target: to, source, to: None });
                neighbor.wait(to, now + RETRANS_TIMER, deeds);
            }
            State::Incomplete { queue, .. } => {
                if queue.len() == QUEUE_LEN {
                    queue.pop_front();
                }
                queue.push_back(payload);
            }
            State::Stale { lladdr } => {
                let lladdr = *lladdr;
                neighbor.state = State::Delay { lladdr };
                deeds.push(Deed::Transmit { to: lladdr, payload });
                neighbor.wait(to, now + DELAY_FIRST_PROBE_TIME, deeds);
            }
            State::Reachable { lladdr, .. }
            | State::Delay { lladdr }
            | State::Probe { lladdr, .. } => {
                deeds.push(Deed::Transmit { to: *lladdr, payload });
            }
        }
    }

    /// Takes an advertisement: conformance table 3.2.
    pub(crate) fn advertised(
        &mut self,
        by: Ipv6Addr,
        advert: &Advert,
        now: Instant,
        rng: &mut fastrand::Rng,
        deeds: &mut Vec<Deed>,
    ) {
        let target = advert.target;
        let Some(neighbor) = self.table.get_mut(&target) else { return };
        let cached = match neighbor.state {
            State::Failed => return,
            State::Incomplete { .. } => None,
            _ => neighbor.state.lladdr(),
        };
        let Some(lladdr) = advert.target_lladdr.or(cached) else { return };
        let differs = cached.is_some_and(|cached| cached != lladdr);
        if differs && !advert.overrides {
            if let (State::Reachable { .. }, Some(lladdr)) = (&neighbor.state, cached) {
                neighbor.state = State::Stale { lladdr };
            }
            return;
        }
        if neighbor.router && !advert.router {
            deeds.push(Deed::NoRouter { by });
        }
        neighbor.router = advert.router;
        if advert.solicited {
            let until = now + REACHABLE_TIME.mul_f64(0.5 + rng.f64());
            neighbor.resolve(target, State::Reachable { lladdr, until }, now, deeds);
        } else if differs || cached.is_none() {
            neighbor.resolve(target, State::Stale { lladdr }, now, deeds);
        }
    }

    /// Takes the link-layer address of somebody who asked us (RFC 4861 section 7.2.3).
    pub(crate) fn heard(
        &mut self,
        from: Ipv6Addr,
        lladdr: LinkAddr,
        source: Ipv6Addr,
        now: Instant,
        deeds: &mut Vec<Deed>,
    ) {
        self.collect_garbage(now);
        let neighbor = self.table.entry(from).or_insert_with(|| Neighbor::new(source, now));
        if neighbor.state.lladdr() != Some(lladdr) {
            neighbor.resolve(from, State::Stale { lladdr }, now, deeds);
        }
    }

    /// Does what is due for a target, if anything still is.
    pub(crate) fn alarm(&mut self, target: Ipv6Addr, now: Instant, deeds: &mut Vec<Deed>) {
        let Some(neighbor) = self.table.get_mut(&target) else { return };
        if neighbor.deadline != Some(now) {
            return;
        }
        neighbor.deadline = None;
        let source = neighbor.source;
        match &mut neighbor.state {
            State::Incomplete { sent, .. } if *sent < MAX_MULTICAST_SOLICIT => {
                *sent += 1;
                deeds.push(Deed::Solicit { target, source, to: None });
                neighbor.wait(target, now + RETRANS_TIMER, deeds);
            }
            State::Delay { lladdr } => {
                let lladdr = *lladdr;
                neighbor.state = State::Probe { lladdr, sent: 1 };
                deeds.push(Deed::Solicit { target, source, to: Some(lladdr) });
                neighbor.wait(target, now + RETRANS_TIMER, deeds);
            }
            State::Probe { lladdr, sent } if *sent < MAX_UNICAST_SOLICIT => {
                *sent += 1;
                deeds.push(Deed::Solicit { target, source, to: Some(*lladdr) });
                neighbor.wait(target, now + RETRANS_TIMER, deeds);
            }
            State::Incomplete { .. } | State::Probe { .. } => {
                neighbor.state = State::Failed;
                deeds.push(Deed::Failed { target });
            }
            State::Reachable { .. } | State::Stale { .. } | State::Failed => {}
        }
    }

    /// Forgets everything, as Linux does when the carrier is lost.
    pub(crate) fn flush(&mut self) {
        self.table.clear();
    }

    /// Returns where a neighbor is believed to be.
    pub(crate) fn lladdr(&self, target: Ipv6Addr) -> Option<LinkAddr> {
        self.table.get(&target)?.state.lladdr()
    }

    fn collect_garbage(&mut self, now: Instant) {
        if self.table.len() > GC_THRESHOLD {
            self.table.retain(|_, neighbor| {
                neighbor.deadline.is_some() || now.since(neighbor.used) < GC_STALE_TIME
            });
        }
    }
}

impl Neighbor {
    fn new(source: Ipv6Addr, now: Instant) -> Self {
        Self { state: State::Failed, router: false, used: now, deadline: None, source }
    }

    /// Enters a state in which the link-layer address is known, and sends what waited for it.
    fn resolve(&mut self, target: Ipv6Addr, state: State, now: Instant, deeds: &mut Vec<Deed>) {
        let Some(lladdr) = state.lladdr() else { return };
        let before = std::mem::replace(&mut self.state, state);
        self.deadline = None;
        let State::Incomplete { queue, .. } = before else { return };
        if !queue.is_empty()
            && let State::Stale { lladdr } = self.state
        {
            self.state = State::Delay { lladdr };
            self.wait(target, now + DELAY_FIRST_PROBE_TIME, deeds);
        }
        deeds.extend(queue.into_iter().map(|payload| Deed::Transmit { to: lladdr, payload }));
    }

    fn wait(&mut self, target: Ipv6Addr, at: Instant, deeds: &mut Vec<Deed>) {
        self.deadline = Some(at);
        deeds.push(Deed::Alarm { target, at });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::PingId;

    const TARGET: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, 0x21);
    const SOURCE: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);
    const OLD: LinkAddr = LinkAddr([2, 0, 0, 0, 0, 1]);
    const NEW: LinkAddr = LinkAddr([2, 0, 0, 0, 0, 2]);

    type Before = fn(Instant) -> State;

    /// The states of the table, by their initial.
    fn initial(cache: &NeighborCache) -> char {
        match cache.table[&TARGET].state {
            State::Incomplete { .. } => 'I',
            State::Reachable { .. } => 'R',
            State::Stale { .. } => 'S',
            State::Delay { .. } => 'D',
            State::Probe { .. } => 'P',
            State::Failed => 'F',
        }
    }

    fn cache_in(state: State) -> NeighborCache {
        let mut cache = NeighborCache::default();
        let neighbor = Neighbor { state, ..Neighbor::new(SOURCE, Instant::ZERO) };
        cache.table.insert(TARGET, neighbor);
        cache
    }

    #[test]
    fn advertisements_change_the_cache_as_measured_on_linux() {
        let until = Instant::ZERO + REACHABLE_TIME;
        let incomplete: Before = |_| State::Incomplete { sent: 1, queue: VecDeque::new() };
        let failed: Before = |_| State::Failed;
        let reachable: Before = |until| State::Reachable { lladdr: OLD, until };
        let stale: Before = |_| State::Stale { lladdr: OLD };
        let probe: Before = |_| State::Probe { lladdr: OLD, sent: 1 };
        // Columns: S0 O0 same, S0 O0 other, S0 O1 same, S0 O1 other, then the same with S1.
        let rows = [
            (incomplete, "SSSSRRRR", "oooooooo"),
            (failed, "FFFFFFFF", "--------"),
            (reachable, "RSRSRSRR", "ooonooon"),
            (stale, "SSSSRSRR", "ooonooon"),
            (probe, "PPPSRPRR", "ooonooon"),
        ];
        for (row, (before, states, addresses)) in rows.into_iter().enumerate() {
            for column in 0..8usize {
                let (solicited, overrides, other) =
                    (column & 4 != 0, column & 2 != 0, column & 1 != 0);
                let mut cache = cache_in(before(until));
                let lladdr = if other && row > 1 { NEW } else { OLD };
                let advert = Advert {
                    target: TARGET,
                    router: false,
                    solicited,
                    overrides,
                    target_lladdr: Some(lladdr),
                };
                let mut rng = fastrand::Rng::with_seed(1);
                cache.advertised(TARGET, &advert, Instant::ZERO, &mut rng, &mut Vec::new());
                let address = match cache.lladdr(TARGET) {
                    None => '-',
                    Some(OLD) => 'o',
                    Some(_) => 'n',
                };
                assert_eq!(
                    (Some(initial(&cache)), Some(address)),
                    (states.chars().nth(column), addresses.chars().nth(column)),
                    "row {row}, column {column}"
                );
            }
        }
    }

    #[test]
    fn three_solicitations_a_second_apart_and_then_failure() {
        let mut cache = NeighborCache::default();
        let mut deeds = Vec::new();
        let datagram = Datagram::request(SOURCE, TARGET, PingId(1));
        cache.send(TARGET, SOURCE, Payload::Datagram(datagram), Instant::ZERO, &mut deeds);
        for second in 1..=3 {
            cache.alarm(TARGET, Instant::ZERO + Duration::from_secs(second), &mut deeds);
        }
        let solicits = deeds.iter().filter(|deed| matches!(deed, Deed::Solicit { .. })).count();
        assert_eq!(solicits, 3);
        assert!(matches!(deeds.last(), Some(Deed::Failed { target: TARGET })));
    }
}
