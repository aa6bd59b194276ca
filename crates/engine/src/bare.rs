//! Links on which nobody has a link-layer address: tunnels and point-to-point lines.
//!
//! Everybody there has the one address [`LinkAddr::ZERO`], so that all else works as on other
//! links; what is sent names it nowhere. It tells nobody from anybody: two places with it are the
//! same station only if they are on the same link.
//!
//! Kernels detect no duplicates there, join no groups and ignore what is sent to groups, even to
//! those of their own addresses; but they answer a solicitation that is sent to the target itself.
//! So that is how everything is asked there.

use std::net::Ipv6Addr;

use magpie_wire::{LinkAddr, Message, Packet};

use crate::engine::Engine;
use crate::link::Link;
use crate::resolution::Asker;
use crate::{Decision, Egress, FoundRoute, Instant, LinkId, Members};

/// Where the subnet has no prefix around a target, a route for less than a network's worth of
/// interface identifiers (RFC 4291 section 2.5.1) is taken to be for certain hosts.
const WHOLE_NETWORK: u8 = 64;

/// A station: where it is, and its link-layer address there.
pub(crate) type Station = (LinkId, LinkAddr);

/// Whether both are the same station, as far as their addresses can tell.
pub(crate) fn is_same(one: Station, other: Station) -> bool {
    one.1 == other.1 && (one.0 == other.0 || one.1 != LinkAddr::ZERO)
}

/// Returns the address as others are told of it: none where nobody has one.
pub(crate) fn named(lladdr: LinkAddr) -> Option<LinkAddr> {
    (lladdr != LinkAddr::ZERO).then_some(lladdr)
}

/// Reads a message from a bare link as if its sender had said its link-layer address. RFC 4861
/// (sections 7.2.2 and 7.2.4) wants that said only where there are such addresses; what is said
/// all the same means nothing.
///
/// Nor does the O flag mean anything, for there is nothing to override; kernels leave it out in
/// answers to unicast solicitations. So nobody can tell the owner's answers from a proxy's.
pub(crate) fn fill_in(packet: &mut Packet<'_>) {
    let sender = (!packet.source.is_unspecified()).then_some(LinkAddr::ZERO);
    match &mut packet.message {
        Message::Solicit(solicit) => solicit.source_lladdr = sender,
        Message::RouterSolicit(solicit) => solicit.source_lladdr = sender,
        Message::Advert(advert) => {
            advert.target_lladdr = sender;
            advert.overrides = true;
        }
        _ => {}
    }
}

impl Engine {
    /// Whether nobody on a link has a link-layer address.
    pub(crate) fn is_bare(&self, link: LinkId) -> bool {
        self.links.get(&link).is_some_and(Link::is_bare)
    }

    /// Whether the kernel may know better than we where a target is, that is asked for on `on` and
    /// looked for on `to`.
    pub(crate) fn may_be_routed(&self, on: LinkId, to: Members) -> bool {
        self.own
            .bare()
            .any(|link| link != on && self.links.get(&link).is_some_and(|link| link.is_bare_in(to)))
    }

    /// Whether a route that the kernel would take shows that `target` is on a bare link of `to`
    /// other than `on`: it was made for fewer hosts than the subnet has. On a point-to-point
    /// line that is how hosts are known, and they need not be asked. Our own host routes prove
    /// nothing.
    pub(crate) fn is_routed_away(
        &self,
        target: Ipv6Addr,
        route: Option<FoundRoute>,
        on: LinkId,
        to: Members,
    ) -> bool {
        self.routed_to(target, route).is_some_and(|link| {
            link != on && self.links.get(&link).is_some_and(|link| link.is_bare_in(to))
        })
    }

    /// Whether somebody has made a route to just `target`, out of a bare link of `to` other than
    /// `on`.
    pub(crate) fn has_route_away(&self, target: Ipv6Addr, on: LinkId, to: Members) -> bool {
        self.routes.foreign_link(target).is_some_and(|link| {
            let is_meant = |link: &Link| link.is_bare() && to.contains(link.info.member);
            link != on && self.links.get(&link).is_some_and(is_meant)
        })
    }

    /// Returns the link of a route for certain hosts that we did not make.
    pub(crate) fn routed_to(&self, target: Ipv6Addr, route: Option<FoundRoute>) -> Option<LinkId> {
        let FoundRoute { egress: Egress::Device(link), prefix_len } = route? else { return None };
        let is_ours = self.routes.installed(target) == Some(link)
            && self.routes.foreign_link(target) != Some(link);
        let is_for_few = prefix_len > self.scope.longest(target).unwrap_or(WHOLE_NETWORK);
        (is_for_few && !is_ours).then_some(link)
    }

    /// Answers if the kernel's routes show where the target is; if they do not, it is looked for.
    pub(crate) fn resolve_by_route(
        &mut self,
        asker: Asker,
        target: Ipv6Addr,
        route: Option<FoundRoute>,
        now: Instant,
    ) {
        let Decision::Probe(to) = self.decide(target, asker.link) else { return };
        if self.is_routed_away(target, route, asker.link, to) {
            // Whether it is a router is not known.
            self.reply(asker, target, false, now);
        } else {
            self.resolve_by_probe(asker, target, to, now);
        }
    }
}
