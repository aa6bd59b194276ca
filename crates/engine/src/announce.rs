//! Unsolicited advertisements after a move (RFC 4861 sections 7.2.6 and 7.2.8).
//!
//! The link that a target has left learns at once that it is reached through us now. The
//! advertisements override, since the old place is proven empty (RFC 8929 section 6). For a
//! target that comes straight back and detects duplicates, one too many would be a defense of its
//! address against itself, so each is sent only right after the target itself, not a proxy, has
//! answered at the new place.

use std::net::Ipv6Addr;

use crate::Instant;
use crate::engine::Engine;
use crate::search::RETRANS_TIMER;

impl Engine {
    /// Sends the announcement that waits for the confirmation that has just come, if any.
    pub(crate) fn announce_move(&mut self, target: Ipv6Addr, now: Instant) {
        let Some(binding) = self.bindings.get_mut(target) else { return };
        let Some(announcement) = &mut binding.announcement else { return };
        if announcement.until < now {
            binding.announcement = None;
            return;
        }
        if announcement.next.is_some() || binding.verification.is_some() || !binding.by_owner {
            return;
        }
        let (link, router) = (announcement.link, binding.router);
        announcement.left = announcement.left.saturating_sub(1);
        announcement.next = Some(now + RETRANS_TIMER);
        if announcement.left == 0 || link == binding.link {
            binding.announcement = None;
        }
        let place = binding.link;
        if self.may_tell(target, link, place) {
            self.advertise_to_all(link, target, router, true);
        }
        self.update_binding_timer(target);
    }

    /// Asks the new place whether the next announcement is still true.
    pub(crate) fn continue_announcement(&mut self, target: Ipv6Addr, now: Instant) {
        let Some(binding) = self.bindings.get_mut(target) else { return };
        let Some(announcement) = &mut binding.announcement else { return };
        if announcement.next.is_some_and(|next| next <= now) {
            announcement.next = None;
            self.verify(target, now);
        }
    }
}
