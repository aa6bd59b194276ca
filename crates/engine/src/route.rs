//! Wanted against installed host routes.

use std::collections::BTreeMap;
use std::net::Ipv6Addr;
use std::time::Duration;

use crate::{Instant, KernelOp, LinkId, RequestId, RouteStatus, RouteView};

/// How long to wait before a route that the kernel refused is tried again.
pub(crate) const ROUTE_RETRY: Duration = Duration::from_secs(5);

/// All host routes that are wanted or known.
#[derive(Debug, Default)]
pub(crate) struct Routes {
    table: BTreeMap<Ipv6Addr, HostRoute>,
    requests: BTreeMap<RequestId, Ipv6Addr>,
    /// Host routes of others, and the relay link they lead to, if any.
    foreign: BTreeMap<Ipv6Addr, Option<LinkId>>,
}

#[derive(Debug, Default)]
pub(crate) struct HostRoute {
    wanted: Option<LinkId>,
    installed: Option<LinkId>,
    pending: Option<Pending>,
    /// Confirmed by the dump that is under way.
    current: bool,
    /// Why the kernel refused it last, until it does not any more.
    refused: Option<i32>,
    /// Gone from the kernel without our doing, and to be put back.
    lost: bool,
    /// When a refused route is tried again.
    pub(crate) due: Option<Instant>,
}

/// A host route, as those see it who only look.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Sight {
    pub(crate) target: Ipv6Addr,
    pub(crate) link: LinkId,
    pub(crate) leads_to: Option<LinkId>,
    pub(crate) status: RouteStatus,
}

#[derive(Clone, Copy, Debug)]
enum Pending {
    Set(LinkId),
    Del,
}

/// What an acknowledgement meant.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Acked {
    /// The route is as wanted.
    Settled(Ipv6Addr),
    /// More is to be done for this target.
    Unsettled(Ipv6Addr),
    /// The kernel refused.
    Refused(Ipv6Addr, LinkId),
}

impl Acked {
    /// The host that the route leads to.
    pub(crate) fn target(self) -> Ipv6Addr {
        match self {
            Self::Settled(target) | Self::Unsettled(target) | Self::Refused(target, _) => target,
        }
    }
}

impl Routes {
    /// Returns how many host routes are wanted or known, requests apart.
    pub(crate) fn len(&self) -> usize {
        self.table.len() + self.foreign.len()
    }

    /// States where the route to `target` should lead; `reconcile` makes it so.
    pub(crate) fn want(&mut self, target: Ipv6Addr, link: Option<LinkId>) {
        if link.is_some() || self.table.contains_key(&target) {
            let route = self.table.entry(target).or_default();
            if route.wanted != link {
                (route.refused, route.lost) = (None, false);
            }
            route.wanted = link;
        }
    }

    /// Returns the next request that brings the kernel nearer to what is wanted, if it can be
    /// made now. A move is one replacement, never a deletion and an addition.
    pub(crate) fn reconcile(
        &mut self,
        target: Ipv6Addr,
        next_request: impl FnOnce() -> RequestId,
    ) -> Option<(RequestId, KernelOp)> {
        let route = self.table.get_mut(&target)?;
        if route.pending.is_some() {
            return None;
        }
        let (pending, op) = match (route.wanted, route.installed) {
            (Some(link), installed) if installed != Some(link) => {
                if self.foreign.contains_key(&target) {
                    return None;
                }
                (Pending::Set(link), KernelOp::SetRoute { target, link })
            }
            (None, Some(link)) => (Pending::Del, KernelOp::DelRoute { target, link }),
            (None, None) => {
                if route.due.is_none() {
                    self.table.remove(&target);
                }
                return None;
            }
            (Some(_), _) => return None,
        };
        let request = next_request();
        route.pending = Some(pending);
        self.requests.insert(request, target);
        Some((request, op))
    }

    /// Takes an acknowledgement; none if it is not of a route.
    pub(crate) fn ack(&mut self, request: RequestId, result: Result<(), i32>) -> Option<Acked> {
        let target = self.requests.remove(&request)?;
        let route = self.table.get_mut(&target)?;
        match route.pending.take()? {
            Pending::Set(link) => {
                route.refused = result.err();
                if result.is_err() {
                    return Some(Acked::Refused(target, link));
                }
                route.installed = Some(link);
                route.current = true;
            }
            // A route that cannot be deleted is not there any more.
            Pending::Del => route.installed = None,
        }
        if route.installed == route.wanted && route.wanted.is_some() {
            Some(Acked::Settled(target))
        } else {
            Some(Acked::Unsettled(target))
        }
    }

    /// Notes a host route of ours that the kernel reports. Acknowledgements say it earlier, and
    /// notifications that they have overtaken say nothing new.
    pub(crate) fn adopt(&mut self, target: Ipv6Addr, link: LinkId) -> bool {
        let route = self.table.entry(target).or_default();
        let known = route.installed.is_some() || route.pending.is_some();
        if !known {
            route.installed = Some(link);
        }
        route.current = true;
        !known
    }

    /// Notes that a host route of ours is gone from the kernel. On a link that `is_up` it was
    /// somebody's doing, while the kernel itself removes those of a link that is taken down.
    pub(crate) fn vanished(&mut self, target: Ipv6Addr, link: LinkId, is_up: bool) {
        if let Some(route) = self.table.get_mut(&target)
            && route.installed == Some(link)
        {
            route.installed = None;
            route.lost = is_up && route.wanted == Some(link);
        }
    }

    /// Whether a route that is in place again was lost before; tells so once.
    pub(crate) fn take_repair(&mut self, target: Ipv6Addr) -> Option<LinkId> {
        let route = self.table.get_mut(&target)?;
        std::mem::take(&mut route.lost).then_some(route.installed)?
    }

    pub(crate) fn foreign(&mut self, target: Ipv6Addr, link: Option<LinkId>) {
        self.foreign.insert(target, link);
    }

    pub(crate) fn foreign_vanished(&mut self, target: Ipv6Addr) {
        self.foreign.remove(&target);
    }

    /// Returns the targets of host routes that are not ours.
    pub(crate) fn foreign_targets(&self) -> impl Iterator<Item = Ipv6Addr> + '_ {
        self.foreign.keys().copied()
    }

    /// Returns the link that somebody else's host route to `target` leads to.
    pub(crate) fn foreign_link(&self, target: Ipv6Addr) -> Option<LinkId> {
        self.foreign.get(&target).copied().flatten()
    }

    /// Whether somebody else has a host route to `target`.
    pub(crate) fn is_foreign(&self, target: Ipv6Addr) -> bool {
        self.foreign.contains_key(&target)
    }

    /// Expects a dump to confirm everything.
    pub(crate) fn begin_sync(&mut self) {
        self.foreign.clear();
        for route in self.table.values_mut() {
            route.current = false;
        }
    }

    /// What the dump did not confirm is not installed; returns all targets, to be reconciled.
    /// `is_up` tells of a link whether it can be used.
    pub(crate) fn end_sync(&mut self, is_up: impl Fn(LinkId) -> bool) -> Vec<Ipv6Addr> {
        for route in self.table.values_mut() {
            if !route.current && route.pending.is_none() {
                let before = route.installed.take();
                route.lost = before.is_some_and(&is_up) && route.wanted == before;
            }
        }
        self.table.keys().copied().collect()
    }

    /// Forgets a link that is gone: the kernel removed its routes.
    pub(crate) fn forget_link(&mut self, link: LinkId) {
        for route in self.table.values_mut() {
            if route.installed == Some(link) {
                route.installed = None;
            }
            if route.wanted == Some(link) {
                route.wanted = None;
            }
        }
        self.table.retain(|_, route| {
            route.wanted.is_some()
                || route.installed.is_some()
                || route.pending.is_some()
                || route.due.is_some()
        });
    }

    /// Returns the link that our own route leads to, if there is one.
    pub(crate) fn installed(&self, target: Ipv6Addr) -> Option<LinkId> {
        self.table.get(&target)?.installed
    }

    /// Returns the link that our own route should lead to, if there should be one.
    pub(crate) fn wanted(&self, target: Ipv6Addr) -> Option<LinkId> {
        self.table.get(&target)?.wanted
    }

    /// Returns the targets whose routes lead to a link, or should.
    pub(crate) fn targets_on(&self, link: LinkId) -> impl Iterator<Item = Ipv6Addr> + '_ {
        let leads = move |route: &HostRoute| [route.wanted, route.installed].contains(&Some(link));
        self.table.iter().filter(move |(_, route)| leads(route)).map(|(target, _)| *target)
    }

    pub(crate) fn get_mut(&mut self, target: Ipv6Addr) -> Option<&mut HostRoute> {
        self.table.get_mut(&target)
    }

    pub(crate) fn targets(&self) -> impl Iterator<Item = Ipv6Addr> + '_ {
        self.table.keys().copied()
    }

    /// Whether the kernel has been asked to remove the route to `target`.
    pub(crate) fn is_leaving(&self, target: Ipv6Addr) -> bool {
        let route = self.table.get(&target);
        route.is_some_and(|route| matches!(route.pending, Some(Pending::Del)))
    }

    /// Whether packets for `target` go out on `link` now.
    pub(crate) fn leads_to(&self, target: Ipv6Addr, link: LinkId) -> bool {
        match self.foreign.get(&target) {
            Some(foreign) => *foreign == Some(link),
            None => self.table.get(&target).is_some_and(|route| route.installed == Some(link)),
        }
    }

    /// Whether somebody else's route leads elsewhere than to `link`.
    pub(crate) fn conflicts(&self, target: Ipv6Addr, link: LinkId) -> bool {
        self.foreign.get(&target).is_some_and(|foreign| *foreign != Some(link))
    }

    /// Returns all host routes that are kept or wanted, by target.
    pub(crate) fn sights(&self) -> impl Iterator<Item = Sight> + '_ {
        self.table.iter().filter_map(|(target, route)| {
            let target = *target;
            let foreign = self.foreign.get(&target);
            let (link, status) = match (route.wanted, route.installed, route.pending) {
                (Some(wanted), _, _) if foreign.is_some() => (wanted, RouteStatus::Foreign),
                (Some(wanted), Some(installed), _) if wanted == installed => {
                    (wanted, RouteStatus::Installed)
                }
                (Some(wanted), _, _) => match route.refused {
                    Some(errno) => (wanted, RouteStatus::Refused { errno }),
                    None => (wanted, RouteStatus::Wanted),
                },
                (None, Some(installed), None) => (installed, RouteStatus::Adopted),
                (None, Some(link), Some(_)) | (None, None, Some(Pending::Set(link))) => {
                    (link, RouteStatus::Obsolete)
                }
                (None, None, Some(Pending::Del) | None) => return None,
            };
            let present = foreign.map_or(route.installed, |foreign| *foreign);
            let leads_to = present.filter(|present| *present != link);
            Some(Sight { target, link, leads_to, status })
        })
    }

    pub(crate) fn view(&self, target: Ipv6Addr) -> RouteView {
        if self.foreign.contains_key(&target) {
            return RouteView::Foreign;
        }
        let Some(route) = self.table.get(&target) else { return RouteView::None };
        match (route.wanted, route.installed) {
            (None, None) => RouteView::None,
            (wanted, installed) if wanted == installed => RouteView::Installed,
            _ => RouteView::Pending,
        }
    }
}
