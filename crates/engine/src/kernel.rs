//! This host's own links, addresses, routes and neighbors, as its kernel reports them.

use std::net::Ipv6Addr;

use ipnet::Ipv6Net;
use magpie_wire::{LinkAddr, is_proxiable};

use crate::engine::Engine;
use crate::link::{Link, OwnAddress};
use crate::resolution::Phase;
use crate::route::{Acked, ROUTE_RETRY};
use crate::{
    Event, Evidence, Instant, KernelEvent, LinkId, LinkInfo, Lost, RequestId, RoutePolicy, Timer,
};

impl Engine {
    pub(crate) fn on_kernel_event(&mut self, event: KernelEvent, now: Instant) {
        match event {
            KernelEvent::Link { link, info } => self.on_link(link, info, now),
            KernelEvent::LinkGone { link } => self.on_link_gone(link, now),
            KernelEvent::Address { link, address, tentative } => {
                self.on_address(link, address, tentative, now);
            }
            KernelEvent::AddressGone { link, address } => {
                self.on_address_gone(link, address);
                self.on_addresses_changed(now);
            }
            KernelEvent::Address4 { link, address } => {
                if let Some(link) = self.links.get_mut(&link) {
                    link.add_address4(address);
                }
            }
            KernelEvent::Address4Gone { link, address } => {
                if let Some(link) = self.links.get_mut(&link) {
                    link.remove_address4(address);
                }
            }
            KernelEvent::Route { target, link: Some(link), own: true } => {
                self.on_own_route(target, link, now);
            }
            // A route of our protocol out of another link is another relay's.
            KernelEvent::Route { link: None, own: true, .. }
            | KernelEvent::RouteGone { link: None, own: true, .. } => {}
            KernelEvent::Route { target, link, own: false } => {
                self.fib.forget(target);
                if is_proxiable(target) {
                    self.routes.foreign(target, link);
                    self.watch_again(target);
                    self.update_standing_of(target);
                }
            }
            KernelEvent::RouteGone { target, link: Some(link), own: true } => {
                let is_up = self.links.get(&link).is_some_and(Link::usable);
                self.routes.vanished(target, link, is_up);
                self.watch_again(target);
                self.fib.forget(target);
                if self.bindings.get(target).is_some_and(|binding| binding.confirmed.is_none()) {
                    // It was a predecessor's, and nobody has answered there yet.
                    self.routes.want(target, None);
                }
                self.reconcile_route(target);
            }
            KernelEvent::RouteGone { target, own: false, .. } => {
                self.fib.forget(target);
                self.routes.foreign_vanished(target);
                self.watch_again(target);
                self.update_standing_of(target);
                self.reconcile_route(target);
            }
            KernelEvent::RoutesChanged => {
                self.fib.clear();
                self.watch_all_again();
            }
            KernelEvent::Miss { link, target } => self.on_miss(link, target, now),
            KernelEvent::ProxyNeighbor { link, target } => {
                if let Some(link) = self.links.get_mut(&link) {
                    link.kernel_proxied.insert(target);
                }
            }
            KernelEvent::GroupGone { link, group } => self.on_group_gone(link, group),
            KernelEvent::Overrun => self.begin_sync(),
            KernelEvent::Synced => self.end_sync(now),
        }
    }

    /// Takes an acknowledgement.
    pub(crate) fn on_ack(&mut self, request: RequestId, result: Result<(), i32>, now: Instant) {
        if self.on_group_ack(request, result.is_ok()) {
            return;
        }
        let acked = self.routes.ack(request, result);
        if let Some(acked) = acked {
            self.fib.forget(acked.target());
        }
        match acked {
            None => {}
            Some(Acked::Settled(target)) => {
                if let Some(link) = self.routes.take_repair(target) {
                    self.counters.routes_repaired += 1;
                    self.report(Event::RouteRepaired { target, link });
                }
                self.on_routed(target, now);
            }
            Some(Acked::Unsettled(target)) => self.reconcile_route(target),
            Some(Acked::Refused(target, link)) => {
                let errno = result.err().unwrap_or_default();
                self.report(Event::RouteFailed { target, link, errno });
                self.end_resolution(target);
                if let Some(route) = self.routes.get_mut(target) {
                    let at = Some(now + ROUTE_RETRY);
                    self.timers.set(&mut route.due, Timer::Route(target), at);
                }
            }
        }
    }

    /// Takes an address from the state file: a candidate that is probed at once.
    pub(crate) fn on_restore(
        &mut self,
        target: Ipv6Addr,
        link: LinkId,
        lladdr: Option<LinkAddr>,
        now: Instant,
    ) {
        let lladdr = lladdr.filter(|_| !self.is_bare(link));
        let usable = lladdr
            .is_none_or(|lladdr| lladdr.is_station() && self.link_of_lladdr(lladdr).is_none());
        if !usable || !self.is_sought_at(target, link) {
            return;
        }
        if self.is_own_address(target, link) {
            return;
        }
        match (self.bindings.get(target), lladdr) {
            (Some(known), Some(lladdr)) if known.lladdr.is_none() && known.link == link => {
                self.bindings.relocate(target, link, lladdr);
                if let Some(binding) = self.bindings.get_mut(target) {
                    binding.verification = None;
                }
            }
            (Some(_), _) => return,
            (None, _) => {
                if !self.learn(target, link, lladdr, Evidence::Saved, now) {
                    return;
                }
            }
        }
        self.verify_at(target, link, now);
    }

    /// The kernel asks for `target` on `link`. On the right link its question is as good as ours;
    /// on the wrong one it shows that a host route is missing.
    pub(crate) fn on_kernel_solicit(&mut self, link: LinkId, target: Ipv6Addr, now: Instant) {
        if let Some(binding) = self.bindings.get_mut(target)
            && binding.link == link
        {
            binding.solicited = Some(now);
            return;
        }
        self.on_miss(link, target, now);
    }

    /// The kernel looked for `target` on `link` and did not find it, or will not.
    pub(crate) fn on_miss(&mut self, link: LinkId, target: Ipv6Addr, now: Instant) {
        if !self.is_sought(target)
            || self.is_own_address(target, link)
            || !self.links.contains_key(&link)
        {
            return;
        }
        let Some(binding) = self.bindings.get_mut(target) else {
            return self.look_up_for_kernel(target, link, now);
        };
        if binding.tentative.is_some() {
            return;
        }
        if binding.link == link {
            binding.reachable_until = None;
            // It may have left in silence: if it does not answer us either, the other links are
            // asked, as if somebody waited.
            if !self.resolutions.contains_key(&target) {
                self.begin_resolution(target, link, Phase::Verify, now);
            }
            return self.verify(target, now);
        }
        if binding.is_reachable(now) {
            self.settle(target, now);
        } else {
            self.verify(target, now);
        }
    }

    fn on_link(&mut self, id: LinkId, info: LinkInfo, now: Instant) {
        if let Some(known) = self.links.get(&id) {
            self.own.unset_lladdr(id, known.info.lladdr);
        }
        self.own.set_lladdr(id, info.lladdr);
        let was_usable = self.links.get(&id).map(Link::usable);
        let known_by = self.known_by(id, info);
        let link =
            self.links.entry(id).or_insert_with(|| Link::new(info, &self.config.limits, now));
        link.info = info;
        self.data_revision += 1;
        let usable = link.usable();
        self.member_count = self.member_count.max(info.member.0.saturating_add(1));
        if was_usable.is_none() && !self.syncing {
            self.update_standing();
        }
        if was_usable.is_none() {
            let joined = self.bindings.iter().filter(|(_, binding)| binding.joined);
            let mut wanted: Vec<_> = joined.map(|(target, _)| target).collect();
            for (other, link) in &self.links {
                if *other != id {
                    wanted.extend(link.addresses.iter().map(|own| own.net.addr()));
                }
            }
            for target in wanted.into_iter().filter(|target| !target.is_unicast_link_local()) {
                self.join(id, target);
            }
        }
        match (was_usable.unwrap_or(false), usable) {
            (false, true) => self.on_link_up(id, now),
            (true, false) => self.on_link_down(id),
            _ => {}
        }
        if let Some((known_as, lladdr)) = known_by
            && info.lladdr.is_some_and(|new| new != lladdr)
        {
            self.begin_round(id, known_as, now);
        }
    }

    /// Returns which link neighbors of `id` know, and by which link-layer address: the device of
    /// before in the same place, if this is a new one. What stands for any number of devices has
    /// no such place.
    fn known_by(&mut self, id: LinkId, info: LinkInfo) -> Option<(LinkId, LinkAddr)> {
        match self.links.get(&id) {
            Some(link) => link.info.lladdr.map(|lladdr| (id, lladdr)),
            None => self.former.remove(&info.member),
        }
        .filter(|(_, lladdr)| lladdr.is_station())
    }

    /// Everything on the link is verified before it is promised again, and whoever was not found
    /// elsewhere may be there.
    pub(crate) fn on_link_up(&mut self, id: LinkId, now: Instant) {
        self.held_down.retain(|(_, link)| *link != id);
        self.watch_misses_again();
        self.recheck(id, now);
        self.retry_groups(id);
        if let Some(link) = self.links.get_mut(&id) {
            link.up_since = now;
            link.router_discovery.restart();
        }
        self.search_on(id, now);
        self.hurry_router_discovery(id, now);
        self.resume_notices(id, now);
    }

    /// Nothing on the link is sure any longer. Host routes stay as they are: without carrier the
    /// kernel keeps them, and when the link is taken down it removes them and says so.
    fn on_link_down(&mut self, id: LinkId) {
        let here: Vec<_> = self.bindings_on(id).collect();
        for target in here {
            if let Some(binding) = self.bindings.get_mut(target) {
                binding.reachable_until = None;
                binding.verification = None;
            }
            self.update_binding_timer(target);
        }
        if let Some(link) = self.links.get_mut(&id) {
            self.timers.set(&mut link.due, Timer::Link(id), None);
        }
    }

    pub(crate) fn on_link_gone(&mut self, id: LinkId, now: Instant) {
        self.forget_names_on(id);
        let here: Vec<_> = self.bindings_on(id).collect();
        self.routes.forget_link(id);
        self.forget_groups(id);
        self.forget_standing(id);
        self.sighted.retain(|(link, _)| *link != id);
        self.scope.forget_link(id);
        self.rarely.retain(|(link, _)| *link != id);
        for target in here {
            self.forget(target, Lost::LinkGone);
        }
        let asking: Vec<_> = self
            .resolutions
            .iter()
            .filter(|(_, resolution)| resolution.origin == id)
            .map(|(target, _)| *target)
            .collect();
        for target in asking {
            self.end_resolution(target);
        }
        let own: Vec<_> = self
            .links
            .get(&id)
            .into_iter()
            .flat_map(|link| link.addresses.iter().map(|own| own.net.addr()))
            .collect();
        for address in own {
            self.on_address_gone(id, address);
        }
        if let Some(mut link) = self.links.remove(&id) {
            self.timers.set(&mut link.due, Timer::Link(id), None);
            self.timers.set(&mut link.recheck.due, Timer::Recheck(id), None);
            self.timers.set(&mut link.notices.due, Timer::Notice(id), None);
            self.timers.set(&mut link.data.due, Timer::Data(id), None);
            let LinkInfo { member, lladdr, .. } = link.info;
            self.own.unset_lladdr(id, lladdr);
            if let Some(lladdr) = lladdr.filter(|_| !self.config.link(member).plural) {
                self.former.insert(member, (id, lladdr));
            }
        }
        self.on_addresses_changed(now);
    }

    fn on_address(&mut self, id: LinkId, address: Ipv6Net, tentative: bool, now: Instant) {
        let Some(link) = self.links.get_mut(&id) else { return };
        let was_mute = !link.can_speak();
        let own = OwnAddress { net: address, tentative, current: true };
        self.own.set(id, address.addr(), !tentative);
        let known = link.addresses.iter_mut().find(|known| known.net.addr() == address.addr());
        if let Some(known) = known {
            let is_news = (known.net, known.tentative) != (own.net, own.tentative);
            *known = own;
            if !is_news {
                return;
            }
        } else {
            link.addresses.push(own);
            if !address.addr().is_unicast_link_local() {
                self.for_other_links(id, |engine, other| engine.join(other, address.addr()));
            }
        }
        self.forget(address.addr(), Lost::OwnAddress);
        self.on_addresses_changed(now);
        let speaks = self.links.get(&id).is_some_and(Link::can_speak);
        if speaks && was_mute {
            self.on_link_up(id, now);
        }
        self.retry_groups(id);
        self.resume_notices(id, now);
    }

    fn on_address_gone(&mut self, id: LinkId, address: Ipv6Addr) {
        let Some(link) = self.links.get_mut(&id) else { return };
        self.own.unset(id, address);
        let before = link.addresses.len();
        link.addresses.retain(|own| own.net.addr() != address);
        if link.addresses.len() != before && !address.is_unicast_link_local() {
            self.for_other_links(id, |engine, other| engine.leave(other, address));
        }
    }

    pub(crate) fn on_addresses_changed(&mut self, now: Instant) {
        let config = &self.config;
        let shows_subnet = |info: &LinkInfo| config.link(info.member).shows_subnet;
        let assigned = self
            .links
            .iter()
            .filter(|(_, link)| shows_subnet(&link.info))
            .flat_map(|(id, link)| link.addresses.iter().map(|own| (own.net, *id)));
        self.scope.set_assigned(assigned);
        self.on_scope_changed(now);
    }

    /// A host route of ours that is not known: a predecessor's. It is adopted, and its host
    /// verified.
    fn on_own_route(&mut self, target: Ipv6Addr, link: LinkId, now: Instant) {
        // It may be that of another process, which works on Neighbor Discovery here.
        if !self.config.neighbor_discovery {
            return;
        }
        if self.routes.adopt(target, link) && !self.syncing {
            self.adopt(target, link, now);
        }
    }

    fn adopt(&mut self, target: Ipv6Addr, link: LinkId, now: Instant) {
        let is_sought = self.is_sought_at(target, link);
        if !is_sought && now < self.leftovers_until {
            // The subnet may not be known yet: addresses and advertisements come after a start.
            let at = Some(self.leftovers_until);
            return self.timers.set(&mut self.leftovers_due, Timer::Leftovers, at);
        }
        let wanted = is_sought
            && !self.is_own_address(target, link)
            && (self.bindings.get(target).is_some()
                || self.learn(target, link, None, Evidence::Route, now));
        if !wanted {
            self.routes.want(target, None);
            return self.reconcile_route(target);
        }
        if self.bindings.get(target).is_some_and(|binding| binding.confirmed.is_none()) {
            // One that is being removed is not put back before its host has answered.
            let is_wanted =
                self.config.routes != RoutePolicy::Never && !self.routes.is_leaving(target);
            self.routes.want(target, is_wanted.then_some(link));
            self.verify_at(target, link, now);
        }
        self.reconcile_route(target);
    }

    /// Adopts, or removes, host routes of ours that belong to no binding.
    pub(crate) fn adopt_leftovers(&mut self, now: Instant) {
        let leftovers: Vec<_> = self
            .routes
            .targets()
            .filter(|target| self.bindings.get(*target).is_none())
            .filter_map(|target| Some((target, self.routes.installed(target)?)))
            .collect();
        for (target, link) in leftovers {
            self.adopt(target, link, now);
        }
    }

    fn begin_sync(&mut self) {
        self.syncing = true;
        self.fib.clear();
        self.routes.begin_sync();
        for link in self.links.values_mut() {
            link.kernel_proxied.clear();
            link.doubt_addresses4();
            for own in &mut link.addresses {
                own.current = false;
            }
        }
    }

    fn end_sync(&mut self, now: Instant) {
        self.syncing = false;
        self.links.values_mut().for_each(Link::settle_addresses4);
        let gone: Vec<_> = self
            .links
            .iter()
            .flat_map(|(id, link)| {
                let gone = link.addresses.iter().filter(|own| !own.current);
                gone.map(|own| (*id, own.net.addr()))
            })
            .collect();
        for (link, address) in gone {
            self.on_address_gone(link, address);
        }
        self.on_addresses_changed(now);
        let links = &self.links;
        let is_up = |link: LinkId| links.get(&link).is_some_and(Link::usable);
        let targets = self.routes.end_sync(is_up);
        self.watch_all_again();
        for target in targets {
            match self.routes.installed(target) {
                Some(link) => self.adopt(target, link, now),
                None => self.reconcile_route(target),
            }
        }
    }

    fn for_other_links(&mut self, id: LinkId, mut act: impl FnMut(&mut Self, LinkId)) {
        let others: Vec<_> = self.links.keys().copied().filter(|other| *other != id).collect();
        for other in others {
            act(self, other);
        }
    }

    fn bindings_on(&self, id: LinkId) -> impl Iterator<Item = Ipv6Addr> + '_ {
        self.bindings
            .iter()
            .filter(move |(_, binding)| binding.link == id)
            .map(|(target, _)| target)
    }
}
