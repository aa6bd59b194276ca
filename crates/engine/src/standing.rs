//! Memberships that rules call for, whether anybody has asked yet or not.
//!
//! A snooping switch delivers a question only to who has joined its group (RFC 4861 section
//! 7.2.8). What a rule answers for without a binding is known beforehand if it is a few
//! addresses, or a host that the kernel has a route to.

use std::collections::BTreeSet;
use std::net::Ipv6Addr;

use crate::engine::Engine;
use crate::{Decision, LinkId, Method, RulePrefix};

/// Rules for longer prefixes than this name addresses rather than networks.
const SHORTEST: u8 = 120;
/// Host routes of others that are looked at. There may be a full routing table of them.
const MOST_ROUTED: usize = 16_384;

impl Engine {
    /// Joins and leaves until the memberships are those that the rules call for.
    pub(crate) fn update_standing(&mut self) {
        let mut wanted = BTreeSet::new();
        let room = self.config.limits.groups_per_link;
        for (id, link) in &self.links {
            let named = self.config.rules.iter().filter_map(|rule| match rule.prefix {
                RulePrefix::Net(net)
                    if rule.method == Method::Static
                        && rule.on.contains(link.info.member)
                        && net.prefix_len() >= SHORTEST =>
                {
                    Some(net.network().to_bits()..=net.broadcast().to_bits())
                }
                _ => None,
            });
            let named = named.flatten().map(Ipv6Addr::from_bits).take(room);
            let is_static =
                |target: &Ipv6Addr| matches!(self.decide(*target, *id), Decision::Static { .. });
            let routed = self.routes.foreign_targets().take(MOST_ROUTED);
            let is_routed = |target: &Ipv6Addr| self.is_told_by_route(*target, *id);
            let targets = named.filter(is_static).chain(routed.filter(is_routed)).take(room);
            wanted.extend(targets.map(|target| (*id, target)));
        }
        let before = std::mem::take(&mut self.standing);
        for (link, target) in before.difference(&wanted) {
            self.leave(*link, *target);
        }
        for (link, target) in wanted.difference(&before) {
            self.join(*link, *target);
        }
        self.standing = wanted;
    }

    /// Does the same for one target whose host route came or went.
    pub(crate) fn update_standing_of(&mut self, target: Ipv6Addr) {
        let mut last = None;
        while let Some(link) = self.link_after(last) {
            last = Some(link);
            let is_static = matches!(self.decide(target, link), Decision::Static { .. });
            let is_routed = self.routes.is_foreign(target) && self.is_told_by_route(target, link);
            let key = (link, target);
            if is_routed && self.standing.len() < MOST_ROUTED && self.standing.insert(key) {
                self.join(link, target);
            } else if !is_routed && !is_static && self.standing.remove(&key) {
                self.leave(link, target);
            }
        }
    }

    /// Whether a host route of somebody else's is enough to answer for `target` on `link`.
    fn is_told_by_route(&self, target: Ipv6Addr, link: LinkId) -> bool {
        match self.decide(target, link) {
            Decision::Route => true,
            Decision::Probe(to) => self.has_route_away(target, link, to),
            _ => false,
        }
    }

    /// A link is gone, and its memberships with it.
    pub(crate) fn forget_standing(&mut self, link: LinkId) {
        self.standing.retain(|(on, _)| *on != link);
    }
}
