//! Which multicast groups are joined where, and how many addresses need each.

use std::collections::BTreeMap;
use std::net::Ipv6Addr;

use magpie_wire::solicited_node;

use crate::LinkId;

/// Memberships, counted.
///
/// Several addresses share a solicited-node group: all with the same low 24 bits (RFC 4291
/// section 2.7.1). The group is left only when the last of them goes (RFC 4861 section 7.2.1).
#[derive(Debug, Default)]
pub(crate) struct Groups {
    members: BTreeMap<(LinkId, Ipv6Addr), u32>,
}

impl Groups {
    /// Counts `target` in on `link`; returns the group if it has to be joined.
    pub(crate) fn join(&mut self, link: LinkId, target: Ipv6Addr) -> Option<Ipv6Addr> {
        let group = solicited_node(target);
        let count = self.members.entry((link, group)).or_default();
        *count += 1;
        (*count == 1).then_some(group)
    }

    /// Counts `target` out on `link`; returns the group if it has to be left.
    pub(crate) fn leave(&mut self, link: LinkId, target: Ipv6Addr) -> Option<Ipv6Addr> {
        let group = solicited_node(target);
        let count = self.members.get_mut(&(link, group))?;
        *count -= 1;
        if *count > 0 {
            return None;
        }
        self.members.remove(&(link, group));
        Some(group)
    }

    /// Forgets a link that is gone, and its memberships with it.
    pub(crate) fn forget_link(&mut self, link: LinkId) {
        self.members.retain(|(on, _), _| *on != link);
    }

    /// Takes any membership, to end it.
    pub(crate) fn pop(&mut self) -> Option<(LinkId, Ipv6Addr)> {
        self.members.pop_first().map(|(key, _)| key)
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
        assert_eq!(groups.join(link, first), Some(group));
        assert_eq!(groups.join(link, second), None);
        assert_eq!(groups.join(LinkId(3), second), Some(group));
        assert_eq!(groups.leave(link, first), None);
        assert_eq!(groups.leave(link, second), Some(group));
        assert_eq!(groups.leave(link, second), None);
    }
}
