//! Which multicast groups are joined where, and how many addresses need each.

use std::collections::BTreeMap;
use std::net::Ipv6Addr;

use magpie_wire::solicited_node;

use crate::engine::Engine;
use crate::{KernelOp, LinkId};

/// Memberships, counted.
///
/// Several addresses share a solicited-node group: all with the same low 24 bits (RFC 4291
/// section 2.7.1). The group is left only when the last of them goes (RFC 4861 section 7.2.1).
#[derive(Debug, Default)]
pub(crate) struct Groups {
    members: BTreeMap<(LinkId, Ipv6Addr), Member>,
    joined: BTreeMap<LinkId, usize>,
}

#[derive(Debug, Default)]
struct Member {
    addresses: u32,
    joined: bool,
}

impl Groups {
    /// Counts `target` in on `link`; returns the group if it has to be joined.
    ///
    /// The kernel walks all groups of a link for each multicast frame, so there are no more than
    /// `cap`: beyond, all-multicast and router discovery have to do.
    pub(crate) fn join(&mut self, link: LinkId, target: Ipv6Addr, cap: usize) -> Option<Ipv6Addr> {
        let group = solicited_node(target);
        let joined = self.joined.entry(link).or_default();
        let member = self.members.entry((link, group)).or_default();
        member.addresses += 1;
        if member.joined || *joined >= cap {
            return None;
        }
        member.joined = true;
        *joined += 1;
        Some(group)
    }

    /// Counts `target` out on `link`; returns the group if it has to be left.
    pub(crate) fn leave(&mut self, link: LinkId, target: Ipv6Addr) -> Option<Ipv6Addr> {
        let group = solicited_node(target);
        let member = self.members.get_mut(&(link, group))?;
        member.addresses -= 1;
        if member.addresses > 0 {
            return None;
        }
        let was_joined = member.joined;
        self.members.remove(&(link, group));
        if let Some(joined) = self.joined.get_mut(&link).filter(|_| was_joined) {
            *joined -= 1;
        }
        was_joined.then_some(group)
    }

    /// Forgets a link that is gone, and its memberships with it.
    pub(crate) fn forget_link(&mut self, link: LinkId) {
        self.members.retain(|(on, _), _| *on != link);
        self.joined.remove(&link);
    }

    /// Takes all memberships on a link, to end them.
    pub(crate) fn release(&mut self, link: LinkId) -> Vec<Ipv6Addr> {
        let here = self.members.iter().filter(|((on, _), member)| *on == link && member.joined);
        let groups = here.map(|((_, group), _)| *group).collect();
        self.forget_link(link);
        groups
    }

    /// Takes any membership, to end it.
    pub(crate) fn pop(&mut self) -> Option<(LinkId, Ipv6Addr)> {
        while let Some((key, member)) = self.members.pop_first() {
            if member.joined {
                return Some(key);
            }
        }
        self.joined.clear();
        None
    }
}

impl Engine {
    /// Joins the group of a target wherever it may be asked for (RFC 4861 section 7.2.8, RFC 8929
    /// section 6): when it is verified, or its duplicate address detection is to be passed on.
    /// Mere hearsay does not cause listener reports.
    pub(crate) fn join_everywhere(&mut self, target: Ipv6Addr) {
        let Some(binding) = self.bindings.get_mut(target) else { return };
        if std::mem::replace(&mut binding.joined, true) {
            return;
        }
        let mut last = None;
        while let Some(link) = self.link_after(last) {
            last = Some(link);
            self.join(link, target);
        }
    }

    /// Ends what `join_everywhere` began.
    pub(crate) fn leave_everywhere(&mut self, target: Ipv6Addr) {
        let mut last = None;
        while let Some(link) = self.link_after(last) {
            last = Some(link);
            self.leave(link, target);
        }
    }

    pub(crate) fn join(&mut self, link: LinkId, target: Ipv6Addr) {
        let cap = self.config.limits.groups_per_link;
        // On bare links there are neither switches nor groups that anybody would send to.
        if self.links.get(&link).is_some_and(|link| !link.is_bare())
            && let Some(group) = self.groups.join(link, target, cap)
        {
            self.request(KernelOp::JoinGroup { link, group });
        }
    }

    pub(crate) fn leave(&mut self, link: LinkId, target: Ipv6Addr) {
        if let Some(group) = self.groups.leave(link, target) {
            self.request(KernelOp::LeaveGroup { link, group });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mcl_02_a_group_is_left_with_the_last_address_that_needs_it() {
        let link = LinkId(2);
        let first = "2001:db8:1:0:1::21".parse().unwrap();
        let second = "2001:db8:1:0:2::21".parse().unwrap();
        let group = solicited_node(first);
        let mut groups = Groups::default();
        assert_eq!(groups.join(link, first, 10), Some(group));
        assert_eq!(groups.join(link, second, 10), None);
        assert_eq!(groups.join(LinkId(3), second, 10), Some(group));
        assert_eq!(groups.leave(link, first), None);
        assert_eq!(groups.leave(link, second), Some(group));
        assert_eq!(groups.leave(link, second), None);
    }

    #[test]
    fn no_more_groups_are_joined_than_the_kernel_can_walk() {
        let target = |last: u16| Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, last);
        let mut groups = Groups::default();
        let joined = (0..10).filter_map(|last| groups.join(LinkId(2), target(last), 4)).count();
        assert_eq!(joined, 4);
        assert_eq!(groups.leave(LinkId(2), target(9)), None, "it was never joined");
        assert!(groups.leave(LinkId(2), target(0)).is_some());
        assert!(groups.join(LinkId(2), target(11), 4).is_some());
        assert_eq!(std::iter::from_fn(|| groups.pop()).count(), 4);
    }
}
