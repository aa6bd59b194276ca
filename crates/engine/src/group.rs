//! Which multicast groups are joined where, how many addresses need each, and how fast that
//! changes: each join and each leave makes listener reports, for everybody on the link to read.

use std::collections::BTreeMap;
use std::net::Ipv6Addr;
use std::time::Duration;

use magpie_wire::solicited_node;

use crate::engine::Engine;
use crate::limit::TokenBucket;
use crate::link::Link;
use crate::{Evidence, Instant, KernelOp, Limits, LinkId, RequestId, Timer};

/// Wait after the kernel refused a join: no memory, or IPv6 is off there. It doubles each time, up
/// to 64 times.
const REFUSAL_WAIT: Duration = Duration::from_secs(1);
const MOST_DOUBLINGS: u8 = 6;
/// Changes that have to wait are made in portions of what may be done in this part of a second,
/// not one by one.
const PORTIONS: u32 = 20;

/// Memberships, counted.
///
/// Several addresses share a solicited-node group: all with the same low 24 bits (RFC 4291
/// section 2.7.1). The group is left only when the last of them goes (RFC 4861 section 7.2.1).
#[derive(Debug, Default)]
pub(crate) struct Groups {
    links: BTreeMap<LinkId, LinkGroups>,
    /// Joins that the kernel has not answered yet.
    requests: BTreeMap<RequestId, (LinkId, Ipv6Addr)>,
}

/// The memberships on one link.
#[derive(Debug)]
struct LinkGroups {
    members: BTreeMap<Ipv6Addr, Member>,
    /// Groups that are joined, or asked for.
    joined: usize,
    /// Groups to be joined, oldest first.
    queue: BTreeMap<Ticket, Ipv6Addr>,
    /// Groups to be left. They need not wait until the kernel takes joins again.
    leaving: BTreeMap<Ticket, Ipv6Addr>,
    /// Groups for which there is no room.
    crowded_out: BTreeMap<Ticket, Ipv6Addr>,
    last_ticket: Ticket,
    bucket: TokenBucket,
    hold: Hold,
    refusals: u8,
    /// When the next change is due.
    due: Option<Instant>,
}

/// The place of a change in the order of all.
type Ticket = u64;

#[derive(Debug, Default)]
struct Member {
    addresses: u32,
    joined: bool,
    /// It waits to be joined or left.
    ticket: Option<Ticket>,
}

/// Whether the kernel takes joins.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Hold {
    Open,
    /// It refused one; another is tried then.
    Until(Instant),
    /// One is being tried.
    Trial,
}

/// What to ask of the kernel.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Change {
    Join(Ipv6Addr),
    Leave(Ipv6Addr),
}

impl Groups {
    /// Counts `target` in on `link`.
    fn join(&mut self, link: LinkId, target: Ipv6Addr, limits: &Limits, now: Instant) {
        let new = || LinkGroups::new(limits, now);
        let groups = self.links.entry(link).or_insert_with(new);
        let group = solicited_node(target);
        groups.members.entry(group).or_default().addresses += 1;
        groups.review(group);
    }

    /// Counts `target` out on `link`.
    fn leave(&mut self, link: LinkId, target: Ipv6Addr) {
        let Some(groups) = self.links.get_mut(&link) else { return };
        let group = solicited_node(target);
        if let Some(member) = groups.members.get_mut(&group) {
            member.addresses = member.addresses.saturating_sub(1);
            groups.review(group);
        }
    }

    /// Returns how many memberships are needed, or were and are still to be ended.
    pub(crate) fn len(&self) -> usize {
        self.links.values().map(|groups| groups.members.len()).sum()
    }

    /// Takes all memberships on a link, to end them.
    fn take(&mut self, link: LinkId) -> Option<LinkGroups> {
        self.requests.retain(|_, (on, _)| *on != link);
        self.links.remove(&link)
    }
}

impl LinkGroups {
    fn new(limits: &Limits, now: Instant) -> Self {
        Self {
            members: BTreeMap::new(),
            joined: 0,
            queue: BTreeMap::new(),
            leaving: BTreeMap::new(),
            crowded_out: BTreeMap::new(),
            last_ticket: 0,
            bucket: TokenBucket::new(limits.joins_per_second.max(1), now),
            hold: Hold::Open,
            refusals: 0,
            due: None,
        }
    }

    /// Queues what has to be done about a group, or takes it back.
    fn review(&mut self, group: Ipv6Addr) {
        let Some(member) = self.members.get_mut(&group) else { return };
        let wanted = member.addresses > 0;
        if wanted == member.joined {
            if let Some(ticket) = member.ticket.take() {
                self.queue.remove(&ticket);
                self.leaving.remove(&ticket);
                self.crowded_out.remove(&ticket);
            }
            if !wanted {
                self.members.remove(&group);
            }
        } else if member.ticket.is_none() {
            self.last_ticket += 1;
            member.ticket = Some(self.last_ticket);
            let queue = if wanted { &mut self.queue } else { &mut self.leaving };
            queue.insert(self.last_ticket, group);
        }
    }

    /// Returns the next change, if one may be made now.
    ///
    /// The kernel walks all groups of a link for each multicast frame, so there are no more than
    /// `room`: beyond, all-multicast and router discovery have to do.
    fn next(&mut self, room: usize, now: Instant) -> Option<Change> {
        if self.joined >= room {
            self.crowded_out.append(&mut self.queue);
        }
        let may_join = match self.hold {
            Hold::Open => true,
            Hold::Until(until) => until <= now,
            Hold::Trial => false,
        };
        let first = |queue: &BTreeMap<Ticket, Ipv6Addr>| {
            queue.first_key_value().map(|(ticket, group)| (*ticket, *group))
        };
        let join = first(&self.queue).filter(|_| may_join);
        let leave = first(&self.leaving);
        let (_, group) = [join, leave].into_iter().flatten().min()?;
        if !self.bucket.take(now) {
            return None;
        }
        let is_joined = self.members.get(&group)?.joined;
        Some(if is_joined { self.part(group) } else { self.enter(group) })
    }

    /// Joins a group ahead of all others, if it is to be joined at all and the kernel takes joins.
    fn first(&mut self, group: Ipv6Addr, room: usize, now: Instant) -> Option<Change> {
        let member = self.members.get(&group)?;
        let is_queued = !member.joined && member.ticket.is_some();
        if !is_queued || self.joined >= room || self.hold != Hold::Open {
            return None;
        }
        // It takes the turn of another.
        self.bucket.take(now);
        Some(self.enter(group))
    }

    fn enter(&mut self, group: Ipv6Addr) -> Change {
        if let Some(member) = self.members.get_mut(&group) {
            member.joined = true;
            if let Some(ticket) = member.ticket.take() {
                self.queue.remove(&ticket);
                self.crowded_out.remove(&ticket);
            }
            self.joined += 1;
        }
        if self.hold != Hold::Open {
            self.hold = Hold::Trial;
        }
        Change::Join(group)
    }

    fn part(&mut self, group: Ipv6Addr) -> Change {
        if let Some(ticket) = self.members.remove(&group).and_then(|member| member.ticket) {
            self.leaving.remove(&ticket);
        }
        self.joined = self.joined.saturating_sub(1);
        self.make_room(1);
        Change::Leave(group)
    }

    /// Queues those for which there is room now, ahead of what came after them.
    fn make_room(&mut self, places: usize) {
        for _ in 0..places {
            let Some((ticket, group)) = self.crowded_out.pop_first() else { return };
            self.queue.insert(ticket, group);
        }
    }

    /// The kernel joined a group.
    fn accepted(&mut self) {
        if self.hold == Hold::Trial {
            self.hold = Hold::Open;
        }
        self.refusals = 0;
    }

    /// The kernel did not join a group.
    fn refused(&mut self, group: Ipv6Addr, now: Instant) {
        let wait = REFUSAL_WAIT * (1 << self.refusals);
        self.refusals = (self.refusals + 1).min(MOST_DOUBLINGS);
        self.hold = Hold::Until(now + wait);
        self.parted(group);
    }

    /// A group is not joined, other than was thought.
    fn parted(&mut self, group: Ipv6Addr) {
        let member = self.members.get_mut(&group);
        let Some(member) = member.filter(|member| member.joined) else { return };
        member.joined = false;
        self.joined = self.joined.saturating_sub(1);
        if let Some(ticket) = member.ticket.take() {
            self.leaving.remove(&ticket);
        }
        self.review(group);
    }

    /// Returns when there may be something to do.
    fn next_due(&self, limits: &Limits, now: Instant) -> Option<Instant> {
        let portion = (limits.joins_per_second / PORTIONS).max(1);
        let ready = self.bucket.ready(portion, now);
        match self.hold {
            _ if !self.leaving.is_empty() => Some(ready),
            _ if self.queue.is_empty() => None,
            // The kernel's answer comes first.
            Hold::Trial => None,
            Hold::Until(until) if until > now => Some(until),
            Hold::Open | Hold::Until(_) => Some(ready),
        }
    }
}

impl Engine {
    /// Joins the group of a target wherever it may be asked for (RFC 4861 section 7.2.8, RFC 8929
    /// section 6): when it is verified, or its duplicate address detection is to be passed on.
    /// Mere hearsay does not cause listener reports.
    ///
    /// On many links that is much: each host costs some 80 octets here and one membership of the
    /// kernel's on every link, and as many listener reports, which are paced on each link. Fifty
    /// links with a thousand hosts in all are 4 MiB.
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

    /// Detection of duplicates that is over needs no membership for what is known by hearsay.
    pub(crate) fn end_hearsay_membership(&mut self, target: Ipv6Addr) {
        let Some(binding) = self.bindings.get_mut(target) else { return };
        let is_hearsay = binding.confirmed.is_none() && binding.evidence != Evidence::Dad;
        if is_hearsay && std::mem::take(&mut binding.joined) {
            self.leave_everywhere(target);
        }
    }

    pub(crate) fn join(&mut self, link: LinkId, target: Ipv6Addr) {
        // On bare links there are neither switches nor groups that anybody would send to.
        let is_bare = self.links.get(&link).is_none_or(Link::is_bare);
        if self.config.neighbor_discovery && !is_bare {
            self.groups.join(link, target, &self.config.limits, self.clock);
            self.change_groups(link);
        }
    }

    pub(crate) fn leave(&mut self, link: LinkId, target: Ipv6Addr) {
        self.groups.leave(link, target);
        self.change_groups(link);
    }

    /// Joins the group of a target now, if it waits for its turn.
    pub(crate) fn join_first(&mut self, link: LinkId, target: Ipv6Addr) {
        let room = self.config.limits.groups_per_link;
        let now = self.clock;
        let groups = self.groups.links.get_mut(&link);
        let change = groups.and_then(|groups| groups.first(solicited_node(target), room, now));
        if let Some(change) = change {
            self.request_change(link, change);
            self.change_groups(link);
        }
    }

    /// Makes the changes that may be made now, and waits for the next.
    pub(crate) fn change_groups(&mut self, link: LinkId) {
        let limits = self.config.limits;
        let now = self.clock;
        while let Some(groups) = self.groups.links.get_mut(&link) {
            let Some(change) = groups.next(limits.groups_per_link, now) else {
                let next = groups.next_due(&limits, now);
                self.timers.set(&mut groups.due, Timer::Groups(link), next);
                return;
            };
            self.request_change(link, change);
        }
    }

    pub(crate) fn on_groups_due(&mut self, link: LinkId) {
        if let Some(groups) = self.groups.links.get_mut(&link) {
            groups.due = None;
        }
        self.change_groups(link);
    }

    /// The kernel takes joins on a link that it may have refused before.
    pub(crate) fn retry_groups(&mut self, link: LinkId) {
        let now = self.clock;
        if let Some(groups) = self.groups.links.get_mut(&link)
            && let Hold::Until(until) = &mut groups.hold
        {
            *until = now.min(*until);
            self.change_groups(link);
        }
    }

    /// Takes over other limits.
    pub(crate) fn limit_groups(&mut self) {
        let limits = self.config.limits;
        let mut last = None;
        while let Some(link) = self.link_after(last) {
            last = Some(link);
            if let Some(groups) = self.groups.links.get_mut(&link) {
                groups.bucket.set_rate(limits.joins_per_second.max(1));
                groups.make_room(limits.groups_per_link.saturating_sub(groups.joined));
                self.change_groups(link);
            }
        }
    }

    /// Takes the acknowledgement of a join; tells whether it was one. A refused one is tried again
    /// later: meanwhile all-multicast and router discovery have to do.
    pub(crate) fn on_group_ack(&mut self, request: RequestId, is_joined: bool) -> bool {
        let Some((link, group)) = self.groups.requests.remove(&request) else { return false };
        let now = self.clock;
        if let Some(groups) = self.groups.links.get_mut(&link) {
            if is_joined {
                groups.accepted();
            } else {
                groups.refused(group, now);
            }
            self.change_groups(link);
        }
        true
    }

    /// The kernel has left a group by itself: it is joined again, when it is its turn.
    pub(crate) fn on_group_gone(&mut self, link: LinkId, group: Ipv6Addr) {
        if let Some(groups) = self.groups.links.get_mut(&link) {
            groups.parted(group);
            self.change_groups(link);
        }
    }

    /// Forgets a link that is gone, and its memberships with it.
    pub(crate) fn forget_groups(&mut self, link: LinkId) {
        if let Some(mut groups) = self.groups.take(link) {
            self.timers.set(&mut groups.due, Timer::Groups(link), None);
        }
    }

    /// Leaves all groups on a link at once: it is served no longer.
    pub(crate) fn leave_all(&mut self, link: LinkId) {
        let Some(mut groups) = self.groups.take(link) else { return };
        self.timers.set(&mut groups.due, Timer::Groups(link), None);
        for (group, _) in groups.members.into_iter().filter(|(_, member)| member.joined) {
            self.request(KernelOp::LeaveGroup { link, group });
        }
    }

    fn request_change(&mut self, link: LinkId, change: Change) {
        match change {
            Change::Leave(group) => {
                self.request(KernelOp::LeaveGroup { link, group });
            }
            Change::Join(group) => {
                let request = self.request(KernelOp::JoinGroup { link, group });
                self.groups.requests.insert(request, (link, group));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINK: LinkId = LinkId(2);
    const NOW: Instant = Instant::from_nanos(5_000_000_000);

    fn target(last: u16) -> Ipv6Addr {
        Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, last)
    }

    /// What changes on `LINK` at `now`.
    fn changes(groups: &mut Groups, limits: &Limits, now: Instant) -> Vec<Change> {
        let Some(groups) = groups.links.get_mut(&LINK) else { return Vec::new() };
        std::iter::from_fn(|| groups.next(limits.groups_per_link, now)).collect()
    }

    #[test]
    fn mcl_02_a_group_is_left_with_the_last_address_that_needs_it() {
        let limits = Limits::default();
        let first = "2001:db8:1:0:1::21".parse().unwrap();
        let second = "2001:db8:1:0:2::21".parse().unwrap();
        let group = solicited_node(first);
        let mut groups = Groups::default();
        groups.join(LINK, first, &limits, NOW);
        assert_eq!(changes(&mut groups, &limits, NOW), [Change::Join(group)]);
        groups.join(LINK, second, &limits, NOW);
        groups.leave(LINK, first);
        assert_eq!(changes(&mut groups, &limits, NOW), []);
        groups.leave(LINK, second);
        assert_eq!(changes(&mut groups, &limits, NOW), [Change::Leave(group)]);
        groups.leave(LINK, second);
        assert_eq!(changes(&mut groups, &limits, NOW), []);
        assert!(groups.links.values().all(|groups| groups.members.is_empty()));
    }

    #[test]
    fn mcl_05_no_more_groups_are_joined_than_the_kernel_can_walk() {
        let limits = Limits { groups_per_link: 4, ..Limits::default() };
        let mut groups = Groups::default();
        (0..10).for_each(|last| groups.join(LINK, target(last), &limits, NOW));
        assert_eq!(changes(&mut groups, &limits, NOW).len(), 4);
        groups.leave(LINK, target(9));
        assert_eq!(changes(&mut groups, &limits, NOW), [], "it was never joined");
        groups.leave(LINK, target(0));
        let left = Change::Leave(solicited_node(target(0)));
        let joined = Change::Join(solicited_node(target(4)));
        assert_eq!(changes(&mut groups, &limits, NOW), [left, joined], "the first that waits");
    }

    #[test]
    fn mcl_05_what_is_taken_back_in_time_is_not_done() {
        let limits = Limits { joins_per_second: 2, ..Limits::default() };
        let mut groups = Groups::default();
        (0..4).for_each(|last| groups.join(LINK, target(last), &limits, NOW));
        assert_eq!(changes(&mut groups, &limits, NOW).len(), 2);
        groups.leave(LINK, target(2));
        groups.leave(LINK, target(0));
        groups.join(LINK, target(0), &limits, NOW);
        let later = NOW + Duration::from_secs(9);
        let joined = Change::Join(solicited_node(target(3)));
        assert_eq!(changes(&mut groups, &limits, later), [joined]);
        assert_eq!(groups.links[&LINK].next_due(&limits, later), None);
    }

    #[test]
    fn mcl_05_after_a_refusal_one_is_tried_first() {
        let limits = Limits::default();
        let mut groups = Groups::default();
        (0..4).for_each(|last| groups.join(LINK, target(last), &limits, NOW));
        let group = |last| solicited_node(target(last));
        assert_eq!(changes(&mut groups, &limits, NOW).len(), 4);
        let on_link = groups.links.get_mut(&LINK).unwrap();
        (0..4).for_each(|last| on_link.refused(group(last), NOW));
        assert_eq!(on_link.joined, 0);
        let due = on_link.next_due(&limits, NOW).unwrap();
        assert!(due > NOW);
        assert_eq!(changes(&mut groups, &limits, due), [Change::Join(group(0))]);
        let on_link = groups.links.get_mut(&LINK).unwrap();
        assert_eq!(on_link.next_due(&limits, due), None, "until the kernel has answered");
        on_link.accepted();
        assert_eq!(changes(&mut groups, &limits, due).len(), 3);
    }

    #[test]
    fn mcl_05_what_the_kernel_forgot_is_joined_again_in_its_turn() {
        let limits = Limits { joins_per_second: 2, ..Limits::default() };
        let mut groups = Groups::default();
        (0..3).for_each(|last| groups.join(LINK, target(last), &limits, NOW));
        let group = |last| solicited_node(target(last));
        assert_eq!(changes(&mut groups, &limits, NOW).len(), 2);
        let later = NOW + Duration::from_secs(1);
        assert_eq!(changes(&mut groups, &limits, later), [Change::Join(group(2))]);
        // One that is to be left is left already.
        groups.leave(LINK, target(1));
        let on_link = groups.links.get_mut(&LINK).unwrap();
        (0..4).for_each(|last| on_link.parted(group(last)));
        assert_eq!((on_link.joined, on_link.members.len()), (0, 2));
        let joined = [Change::Join(group(0))];
        assert_eq!(changes(&mut groups, &limits, later), joined, "as fast as ever");
        let later = later + Duration::from_secs(1);
        assert_eq!(changes(&mut groups, &limits, later), [Change::Join(group(2))]);
        assert_eq!(groups.links[&LINK].joined, 2);
    }

    #[test]
    fn mcl_05_groups_are_left_while_the_kernel_takes_no_joins() {
        let limits = Limits { joins_per_second: 4, ..Limits::default() };
        let mut groups = Groups::default();
        (0..4).for_each(|last| groups.join(LINK, target(last), &limits, NOW));
        let group = |last| solicited_node(target(last));
        assert_eq!(changes(&mut groups, &limits, NOW).len(), 4);
        let on_link = groups.links.get_mut(&LINK).unwrap();
        on_link.refused(group(0), NOW);
        groups.leave(LINK, target(1));
        let on_link = groups.links.get_mut(&LINK).unwrap();
        let due = on_link.next_due(&limits, NOW).unwrap();
        assert!(due < NOW + REFUSAL_WAIT);
        assert_eq!(changes(&mut groups, &limits, due), [Change::Leave(group(1))]);
        let due = NOW + REFUSAL_WAIT;
        assert_eq!(groups.links[&LINK].next_due(&limits, NOW), Some(due));
        assert_eq!(changes(&mut groups, &limits, due), [Change::Join(group(0))]);
        // Nor while one is tried.
        groups.leave(LINK, target(2));
        assert!(groups.links[&LINK].next_due(&limits, due).is_some());
        assert_eq!(changes(&mut groups, &limits, due), [Change::Leave(group(2))]);
    }

    #[test]
    fn mcl_05_a_join_ahead_of_others_is_not_taken_back_when_there_is_room() {
        let limits = Limits { groups_per_link: 2, joins_per_second: 3, ..Limits::default() };
        let mut groups = Groups::default();
        (0..3).for_each(|last| groups.join(LINK, target(last), &limits, NOW));
        let group = |last| solicited_node(target(last));
        let first = [Change::Join(group(0)), Change::Join(group(1))];
        assert_eq!(changes(&mut groups, &limits, NOW), first);
        // Both are refused, and the rate of joins is used up when the first is taken after all.
        let later = NOW + REFUSAL_WAIT * 4;
        let on_link = groups.links.get_mut(&LINK).unwrap();
        (0..2).for_each(|last| on_link.refused(group(last), NOW));
        (0..2).for_each(|_| assert!(on_link.bucket.take(later)));
        assert_eq!(changes(&mut groups, &limits, later), [Change::Join(group(0))]);
        let on_link = groups.links.get_mut(&LINK).unwrap();
        on_link.accepted();
        assert_eq!(on_link.first(group(2), 2, later), Some(Change::Join(group(2))));
        let much_later = later + Duration::from_secs(9);
        assert_eq!(changes(&mut groups, &limits, much_later), [], "there is no room");
        groups.leave(LINK, target(0));
        let expected = [Change::Leave(group(0)), Change::Join(group(1))];
        assert_eq!(changes(&mut groups, &limits, much_later), expected);
    }
}
