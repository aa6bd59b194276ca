//! Answers that rest on no binding: by rules that say so, and by the kernel's own routes.

use std::net::Ipv6Addr;
use std::time::Duration;

use crate::engine::Engine;
use crate::fib::{Answer, Purpose};
use crate::resolution::Asker;
use crate::{Discard, Egress, FoundRoute, Instant, LinkId, Output, RequestId};

/// How long an address that spoke on a link is taken to be there, where rules would answer for it.
const SIGHTING_TIME: Duration = Duration::from_secs(300);
/// Addresses that spoke on links where rules would answer for them.
const MOST_SIGHTED: usize = 4096;

impl Engine {
    /// Answers by a `static` rule, unless the target has spoken on the asker's own link: it
    /// answers itself there (RFC 4389 section 4.1).
    pub(crate) fn answer_by_rule(&mut self, asker: Asker, target: Ipv6Addr, now: Instant) {
        if self.is_sighted(target, asker.link, now) {
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
            // A route to a single address was made for a host that has it; one to more says
            // nothing of who is there.
            Purpose::Defend(link) if leads_away(route, link).is_some_and(|len| len == 128) => {
                self.advertise_to_all(link, target, false, false);
            }
            Purpose::Defend(_) => self.counters.count(Discard::NotRouted),
            Purpose::Settle => self.settle_by_route(target, route, now),
        }
    }

    fn on_route_known(
        &mut self,
        asker: Asker,
        target: Ipv6Addr,
        route: Option<FoundRoute>,
        now: Instant,
    ) {
        match leads_away(route, asker.link) {
            Some(_) => {
                let is_own = route.is_some_and(|route| route.egress == Egress::Local);
                self.reply(asker, target, is_own, now);
            }
            None => self.counters.count(Discard::NotRouted),
        }
    }

    /// Somebody on `link` detects duplicates of an address that a `static` rule covers. Only an
    /// address that was written down as such is defended: to answer for a whole prefix would keep
    /// everybody on the link from configuring an address in it.
    pub(crate) fn defend_by_rule(&mut self, target: Ipv6Addr, link: LinkId, len: u8, now: Instant) {
        if len == 128 {
            self.advertise_to_all(link, target, false, false);
        } else {
            self.sight(target, link, now);
            self.counters.count(Discard::Unverified);
        }
    }

    /// Notes that an address speaks on a link where a `static` rule would answer for it.
    pub(crate) fn sight(&mut self, target: Ipv6Addr, link: LinkId, now: Instant) {
        if !self.is_sighted(target, link, now) {
            self.sighted.insert((link, target), now + SIGHTING_TIME, MOST_SIGHTED, now);
        }
    }

    /// Whether an address is surely on `link` itself.
    fn is_sighted(&self, target: Ipv6Addr, link: LinkId, now: Instant) -> bool {
        self.sighted.contains((link, target), now)
            || self.bindings.get(target).is_some_and(|binding| binding.link == link)
    }
}

/// Returns the length of the prefix of a route that leads away from `link`. The default route
/// leads anywhere, and says of no target that it exists.
pub(crate) fn leads_away(route: Option<FoundRoute>, link: LinkId) -> Option<u8> {
    let route = route?;
    match route.egress {
        Egress::Local => Some(route.prefix_len),
        Egress::Device(egress) => {
            (egress != link && route.prefix_len > 0).then_some(route.prefix_len)
        }
    }
}
