//! What the rules mean for a target: where it is asked for, and where it is looked for.
//!
//! All of it holds for links that are not there at the moment as well: what is known of a host
//! outlives the link that asked for it.

use std::net::Ipv6Addr;

use magpie_wire::is_proxiable;

use crate::engine::Engine;
use crate::{Decision, LinkId, Member, Method, RulePrefix};

impl Engine {
    /// Decides about `target`, asked for on `on`.
    pub(crate) fn decide(&self, target: Ipv6Addr, on: LinkId) -> Decision {
        let member = self.member(on);
        member.map_or(Decision::Uncovered, |member| self.decide_for(target, member))
    }

    /// Addresses that no host has (RFC 4291 sections 2.5 to 2.7, RFC 2526) are beyond all rules, and so
    /// is everything where Neighbor Discovery is not worked on.
    fn decide_for(&self, target: Ipv6Addr, on: Member) -> Decision {
        if self.config.neighbor_discovery && is_proxiable(target) {
            self.config.rules.decide(target, on, self.scope.longest(target))
        } else {
            Decision::Uncovered
        }
    }

    /// Whether who asks for `target` on `on` may be told that it is on `at`.
    pub(crate) fn may_tell(&self, target: Ipv6Addr, on: LinkId, at: LinkId) -> bool {
        let (Some(asking), Some(place)) = (self.member(on), self.member(at)) else { return false };
        on != at && self.may_tell_member(target, asking, place)
    }

    /// Whether who asks on some device of `on` may be told of one of `at`. Of a plural member
    /// there may always be another device.
    fn may_tell_member(&self, target: Ipv6Addr, on: Member, at: Member) -> bool {
        let may_differ = on != at || self.config.link(at).plural;
        may_differ
            && match self.decide_for(target, on) {
                Decision::Probe(to) => to.contains(at),
                _ => false,
            }
    }

    /// Whether anybody may be told that `target` is on `at`.
    pub(crate) fn is_sought_at(&self, target: Ipv6Addr, at: LinkId) -> bool {
        let Some(at) = self.member(at) else { return false };
        self.members().any(|on| self.may_tell_member(target, on, at))
    }

    /// Whether anybody who asks for `target` makes it be looked for.
    pub(crate) fn is_sought(&self, target: Ipv6Addr) -> bool {
        self.members().any(|on| matches!(self.decide_for(target, on), Decision::Probe(_)))
    }

    /// Whether the whole subnet is relayed to those who ask on `on`.
    pub(crate) fn relays_subnet_to(&self, on: LinkId) -> bool {
        self.member(on).is_some_and(|member| {
            self.config.rules.iter().any(|rule| {
                rule.prefix == RulePrefix::Subnet
                    && rule.on.contains(member)
                    && matches!(rule.method, Method::Probe { .. })
            })
        })
    }

    pub(crate) fn member(&self, link: LinkId) -> Option<Member> {
        self.links.get(&link).map(|link| link.info.member)
    }

    fn members(&self) -> impl Iterator<Item = Member> + use<> {
        (0..self.member_count).map(Member)
    }
}
