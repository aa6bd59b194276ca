//! What every kind of message that Magpie sends looks like.

use std::net::Ipv6Addr;
use std::time::Duration;

use magpie_wire::{
    ALL_NODES, ALL_ROUTERS, ALL_SNOOPERS, Advert, LinkAddr, Message, MulticastRouterAdvert, Nonce,
    Packet, Solicit, multicast_lladdr, solicited_node,
};

use crate::engine::Engine;
use crate::mrd::ADVERTISEMENT_INTERVAL;
use crate::resolution::Asker;
use crate::search::RETRANS_TIMER;
use crate::{Discard, Instant, LinkId, Output, Transmit};

/// Multicast solicitations of one link that are remembered: more than its budgets allow in the
/// time.
const MOST_ASKED: usize = 2048;

/// Which budget a solicitation is taken from.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Budget {
    /// Targets of which nothing is known.
    Unknown,
    /// Known targets.
    Known,
}

impl Engine {
    /// Asks everybody on `link` who has `target` (RFC 4861 section 7.2.2), or on a bare link the
    /// target itself; tells whether the question went out, or has gone out within the last
    /// `RetransTimer` for another reason.
    pub(crate) fn solicit_multicast(
        &mut self,
        link: LinkId,
        target: Ipv6Addr,
        budget: Budget,
        now: Instant,
    ) -> bool {
        let Some(known) = self.links.get(&link) else { return false };
        if known.asked.contains(target, now) {
            return true;
        }
        if known.is_bare() {
            if !self.solicit(link, target, target, LinkAddr::ZERO, budget, now) {
                return false;
            }
            self.counters.solicits_sent_unicast += 1;
        } else {
            let group = solicited_node(target);
            if !self.solicit(link, target, group, multicast_lladdr(group), budget, now) {
                return false;
            }
            self.counters.solicits_sent_multicast += 1;
        }
        if let Some(link) = self.links.get_mut(&link) {
            link.asked.insert(target, now + RETRANS_TIMER, MOST_ASKED, now);
        }
        true
    }

    /// Asks one node whether it still has `target` (RFC 4861 section 7.3.3); tells whether the
    /// question went out. The source link-layer address is included, so that the node need not
    /// ask back (section 7.2.2 allows it).
    pub(crate) fn solicit_unicast(
        &mut self,
        link: LinkId,
        target: Ipv6Addr,
        lladdr: LinkAddr,
        now: Instant,
    ) -> bool {
        let sent = self.solicit(link, target, target, lladdr, Budget::Known, now);
        self.counters.solicits_sent_unicast += u64::from(sent);
        sent
    }

    fn solicit(
        &mut self,
        id: LinkId,
        target: Ipv6Addr,
        destination: Ipv6Addr,
        ethernet_destination: LinkAddr,
        budget: Budget,
        now: Instant,
    ) -> bool {
        let Some(link) = self.links.get_mut(&id).filter(|link| link.usable()) else {
            return false;
        };
        // Never from an address that is still tentative (RFC 4862 section 5.4).
        let Some(source) = link.solicit_source(target) else {
            self.counters.count(Discard::NoSource);
            return false;
        };
        let bucket = match budget {
            Budget::Unknown => &mut link.solicits,
            Budget::Known => &mut link.probes,
        };
        if !bucket.take(now) {
            if budget == Budget::Unknown {
                self.counters.count(Discard::SolicitRate);
            }
            return false;
        }
        let (lladdr, source_lladdr) = (link.lladdr(), link.info.lladdr);
        let nonce = self.nonces.issue(&mut self.rng);
        let solicit = Solicit { target, source_lladdr, nonce: Some(nonce) };
        self.transmit(
            id,
            Packet {
                ethernet_source: lladdr,
                ethernet_destination,
                source,
                destination,
                message: Message::Solicit(solicit),
            },
        );
        true
    }

    /// Passes duplicate address detection on to another link: from the unspecified address,
    /// without a link-layer address, the nonce unchanged (RFC 4389 section 4.1.3.1, RFC 7527
    /// section 4.2).
    ///
    /// Kernels on bare links have no duplicate address detection and do not hear this; but a proxy
    /// may be there that passes it on to hosts that do. The target itself is asked besides, and
    /// its answer is taken for a defense.
    pub(crate) fn relay_dad(
        &mut self,
        id: LinkId,
        target: Ipv6Addr,
        nonce: Option<Nonce>,
        now: Instant,
    ) {
        let Some(link) = self.links.get(&id).filter(|link| link.usable()) else { return };
        let is_bare = link.is_bare();
        let group = solicited_node(target);
        self.counters.dad_relayed += 1;
        let packet = Packet {
            ethernet_source: link.lladdr(),
            ethernet_destination: multicast_lladdr(group),
            source: Ipv6Addr::UNSPECIFIED,
            destination: group,
            message: Message::Solicit(Solicit { target, source_lladdr: None, nonce }),
        };
        self.transmit(id, packet);
        if is_bare {
            self.solicit_multicast(id, target, Budget::Known, now);
        }
    }

    /// Answers an asker (RFC 4861 sections 7.2.4 and 7.2.8): solicited, not overriding, with the
    /// target's own R flag, and always with the link-layer address if there is one.
    pub(crate) fn advertise(&mut self, asker: Asker, target: Ipv6Addr, router: bool) {
        let flags = Flags { router, solicited: true, overrides: false };
        if self.advert(asker.link, target, asker.source, asker.lladdr, flags) {
            self.counters.adverts_sent += 1;
        }
    }

    /// Tells all nodes on `link` that `target` is here: in defense of a duplicate (RFC 4862
    /// section 5.4.4, RFC 4861 section 7.2.4), or after a move.
    pub(crate) fn advertise_to_all(
        &mut self,
        link: LinkId,
        target: Ipv6Addr,
        router: bool,
        overrides: bool,
    ) {
        let flags = Flags { router, solicited: false, overrides };
        if self.advert(link, target, ALL_NODES, multicast_lladdr(ALL_NODES), flags) {
            self.counters.adverts_sent_unsolicited += 1;
        }
    }

    /// Tells the routers on `link` that `target` is here, in case they want to send to it soon (RFC
    /// 9131 section 6.1.2): without the O flag, since whoever knows better is right.
    pub(crate) fn advertise_to_routers(&mut self, link: LinkId, target: Ipv6Addr, router: bool) {
        let flags = Flags { router, solicited: false, overrides: false };
        if self.advert(link, target, ALL_ROUTERS, multicast_lladdr(ALL_ROUTERS), flags) {
            self.counters.adverts_sent_unsolicited += 1;
        }
    }

    fn advert(
        &mut self,
        id: LinkId,
        target: Ipv6Addr,
        destination: Ipv6Addr,
        ethernet_destination: LinkAddr,
        flags: Flags,
    ) -> bool {
        let Some(link) = self.links.get(&id).filter(|link| link.usable()) else {
            return false;
        };
        let policy = self.config.link(link.info.member);
        let Some(source) = link.advert_source(policy.na_source, target) else {
            self.counters.count(Discard::NoSource);
            return false;
        };
        let (lladdr, target_lladdr) = (link.lladdr(), link.info.lladdr);
        let advert = Advert {
            target,
            // For an address of the link itself we say what the kernel says.
            router: if link.owns(target) {
                flags.router
            } else {
                policy.router_flag.of(flags.router)
            },
            solicited: flags.solicited,
            overrides: flags.overrides,
            target_lladdr,
        };
        self.transmit(
            id,
            Packet {
                ethernet_source: lladdr,
                ethernet_destination,
                source,
                destination,
                message: Message::Advert(advert),
            },
        );
        true
    }

    /// Asks snooping switches to deliver all groups to this port (RFC 4286 section 3.1), or takes
    /// that back (section 3.2).
    pub(crate) fn advertise_multicast_router(&mut self, id: LinkId, wanted: bool) -> bool {
        let Some(link) = self.links.get(&id).filter(|link| link.usable()) else { return false };
        let Some(source) = link.link_local() else { return false };
        let message = if wanted {
            Message::MulticastRouterAdvert(MulticastRouterAdvert {
                interval: ADVERTISEMENT_INTERVAL,
                query_interval: Duration::ZERO,
                robustness: 0,
            })
        } else {
            Message::MulticastRouterTermination
        };
        let packet = Packet {
            ethernet_source: link.lladdr(),
            ethernet_destination: multicast_lladdr(ALL_SNOOPERS),
            source,
            destination: ALL_SNOOPERS,
            message,
        };
        self.transmit(id, packet);
        true
    }

    fn transmit(&mut self, link: LinkId, packet: Packet<'static>) {
        let mut sent = Transmit { link, packet };
        if sent.is_bare() {
            sent.packet.ethernet_destination = LinkAddr::ZERO;
        }
        self.outputs.push_back(Output::Transmit(sent));
    }
}

#[derive(Clone, Copy)]
struct Flags {
    router: bool,
    solicited: bool,
    overrides: bool,
}
