//! Answers that rest on no binding: by rules that say so, and by the kernel's own routes.

use std::net::Ipv6Addr;
use std::time::Duration;

use crate::engine::Engine;
use crate::fib::{Answer, Purpose};
use crate::resolution::Asker;
use crate::scope::SHORTEST_SUBNET;
use crate::{Decision, Discard, Egress, FoundRoute, Instant, LinkId, Output, RequestId};

/// How long an address that spoke on a link is taken to be there, where rules would answer for it.
const SIGHTING_TIME: Duration = Duration::from_secs(300);
/// Hosts that detect duplicates wait a second between two probes (RFC 4862 section 5.1).
const DEFENSE_INTERVAL: Duration = Duration::from_millis(500);
/// Defended addresses that are remembered for that time.
const MOST_DEFENDED: usize = 1024;
/// Addresses that spoke on links where rules would answer for them.
const MOST_SIGHTED: usize = 4096;

impl Engine {
    /// Answers by a `static` rule, unless the target has spoken on the asker's own link: it
    /// answers itself there (RFC 4389 section 4.1).
    pub(crate) fn answer_by_rule(&mut self, asker: Asker, target: Ipv6Addr, now: Instant) {
        if self.is_on_own_link(target, asker.link, now) {
            return self.counters.count(Discard::SameLink);
        }
        self.reply(asker, target, false, now);
    }

    /// Answers by a `route` rule: if the kernel forwards packets for the target that come in on
    /// the asker's link, and out of another one.
    pub(crate) fn answer_by_route(&mut self, asker: Asker, target: Ipv6Addr, now: Instant) {
        match self.fib.get(target, Some(asker.link)) {
            Some(Answer(route)) => self.on_route_known(asker, target, route, now),
            None => self.find_route(target, Some(asker.link), Purpose::Answer(asker), now),
        }
    }

    /// Asks the kernel for a route.
    pub(crate) fn find_route(
        &mut self,
        target: Ipv6Addr,
        from: Option<LinkId>,
        purpose: Purpose,
        now: Instant,
    ) {
        if !self.fib.has_room() {
            let link = from.or_else(|| self.links.keys().next().copied());
            return link.into_iter().for_each(|link| self.refuse(link, Discard::LookupsFull, now));
        }
        let request = self.next_request();
        self.fib.ask(request, target, from, purpose);
        self.outputs.push_back(Output::FindRoute { request, target, from });
    }

    /// The kernel has said which route it takes.
    pub(crate) fn on_route_found(
        &mut self,
        request: RequestId,
        route: Option<FoundRoute>,
        now: Instant,
    ) {
        let Some(question) = self.fib.answer(request, route) else { return };
        let target = question.target;
        match question.purpose {
            Purpose::Answer(asker) => self.on_route_known(asker, target, route, now),
            Purpose::Late(asker) => match self.decide(target, asker.link) {
                Decision::Probe(to) if self.is_routed_away(target, route, asker.link, to) => {
                    self.advertise(asker, target, false);
                }
                Decision::Route => match away(route, asker.link) {
                    Some(away) => self.advertise(asker, target, away.is_own),
                    None => self.counters.count(Discard::NotRouted),
                },
                _ => {}
            },
            Purpose::Resolve(asker) => self.resolve_by_route(asker, target, route, now),
            Purpose::Data(link) => self.on_data_routed(link, target, route, now),
            Purpose::Defend(link) => self.on_route_to_defend(target, link, route, now),
            Purpose::Settle => self.settle_by_route(target, route, question.outdated, now),
        }
    }

    /// The kernel has not said which route it takes. Who asked will ask again.
    pub(crate) fn on_route_unknown(&mut self, request: RequestId) {
        self.fib.withdraw(request);
    }

    fn on_route_known(
        &mut self,
        asker: Asker,
        target: Ipv6Addr,
        route: Option<FoundRoute>,
        now: Instant,
    ) {
        match away(route, asker.link) {
            Some(away) => self.reply(asker, target, away.is_own, now),
            None => self.counters.count(Discard::NotRouted),
        }
    }

    /// Somebody on `link` detects duplicates of an address that a `static` rule covers. Only an
    /// address that was written down as such is defended: to answer for a whole prefix would keep
    /// everybody on the link from configuring an address in it.
    pub(crate) fn defend_by_rule(&mut self, target: Ipv6Addr, link: LinkId, len: u8, now: Instant) {
        if len == 128 {
            self.defend(target, link, now);
        } else {
            self.sight(target, link, now);
            self.counters.count(Discard::Unverified);
        }
    }

    /// Somebody on `link` detects duplicates of an address that a `route` rule covers.
    pub(crate) fn defend_by_route(&mut self, target: Ipv6Addr, link: LinkId, now: Instant) {
        match self.fib.get(target, Some(link)) {
            Some(Answer(route)) => self.on_route_to_defend(target, link, route, now),
            None => self.find_route(target, Some(link), Purpose::Defend(link), now),
        }
    }

    /// A route to a single address was made for a host that has it; one to more says nothing of
    /// who is there.
    fn on_route_to_defend(
        &mut self,
        target: Ipv6Addr,
        link: LinkId,
        route: Option<FoundRoute>,
        now: Instant,
    ) {
        if away(route, link).is_some_and(|away| away.prefix_len == 128) {
            self.defend(target, link, now);
        } else {
            self.counters.count(Discard::NotRouted);
        }
    }

    /// Tells all nodes on `link` that `target` is taken (RFC 4862 section 5.4.4), unless they have
    /// just been told.
    pub(crate) fn defend(&mut self, target: Ipv6Addr, link: LinkId, now: Instant) {
        if self.defended.contains((link, target), now) {
            return self.counters.count(Discard::Repeated);
        }
        self.defended.insert((link, target), now + DEFENSE_INTERVAL, MOST_DEFENDED, now);
        self.advertise_to_all(link, target, false, false);
    }

    /// Whether a target that a `static` rule covers is itself on `link`, where the rule would answer.
    pub(crate) fn is_on_own_link(&self, target: Ipv6Addr, link: LinkId, now: Instant) -> bool {
        self.bindings.get(target).is_some_and(|known| known.link == link)
            || self.sighted.contains((link, target), now)
    }

    /// Notes that an address speaks on `link`, if a `static` rule would answer for it there
    /// because of its prefix. An address that was written down as such is not given up so easily.
    pub(crate) fn sight(&mut self, address: Ipv6Addr, link: LinkId, now: Instant) {
        let Decision::Static { prefix_len: 0..128 } = self.decide(address, link) else { return };
        if !self.sighted.contains((link, address), now) {
            self.sighted.insert((link, address), now + SIGHTING_TIME, MOST_SIGHTED, now);
        }
    }
}

/// A route that leads away from a link.
pub(crate) struct Away {
    pub(crate) prefix_len: u8,
    /// It leads to this host itself, which is a router.
    pub(crate) is_own: bool,
}

/// Returns what is to be known of a route, if it leads away from `link`. Routes for very short
/// prefixes, the default route first of all, lead anywhere and say of no target that it exists.
pub(crate) fn away(route: Option<FoundRoute>, link: LinkId) -> Option<Away> {
    let FoundRoute { egress, prefix_len } = route?;
    let is_away = egress != Egress::Device(link) && prefix_len >= SHORTEST_SUBNET;
    is_away.then_some(Away { prefix_len, is_own: egress == Egress::Local })
}
