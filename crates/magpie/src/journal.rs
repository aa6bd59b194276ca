//! Tells people what happened: one line of log each, and one event for those who watch.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use magpie_control::{Event, EventKind};
use magpie_engine::{Instant, LinkId};
use magpie_wire::LinkAddr;
use tracing::field::display;

use crate::links::Links;

/// Puts what the engine tells into words, with the names that `name` gives to links; none if it is of
/// no interest to observers.
pub(crate) fn describe(
    event: &magpie_engine::Event,
    name: impl Fn(LinkId) -> String,
) -> Option<Event> {
    use magpie_engine::Event as E;
    let told = |kind, target: Ipv6Addr, link, lladdr: Option<LinkAddr>, detail| Event {
        address: Some(IpAddr::V6(target)),
        link: Some(name(link)),
        lladdr: lladdr.map(|lladdr| lladdr.to_string()),
        detail,
        ..Event::new(kind)
    };
    let described = match *event {
        // That it was forgotten is told already.
        E::Displaced { .. } | E::Name(_) => return None,
        E::Found { target, link, lladdr, evidence } => {
            let detail = format!("noticed by {}", evidence.label());
            told(EventKind::HostFound, target, link, lladdr, Some(detail))
        }
        E::Moved { target, from, to, lladdr } => {
            let detail = format!("from {}", name(from));
            told(EventKind::HostMoved, target, to, lladdr, Some(detail))
        }
        E::Forgotten { target, link, why } => {
            told(EventKind::HostLost, target, link, None, Some(why.label().to_owned()))
        }
        E::Duplicate { target, owner, claimant, lladdr } => {
            let detail = format!("its owner on {} still answers", name(owner));
            told(EventKind::Duplicate, target, claimant, lladdr, Some(detail))
        }
        E::ClaimRejected { target, link, lladdr } => {
            let detail = "its owner on another link still answers".to_owned();
            told(EventKind::ClaimRejected, target, link, lladdr, Some(detail))
        }
        E::Loop { link, target } => {
            let detail = "are two links of the relay connected to each other?".to_owned();
            told(EventKind::Loop, target, link, None, Some(detail))
        }
        E::OwnAddressClaimed { target, link, lladdr } => {
            told(EventKind::OwnAddressClaimed, target, link, lladdr, None)
        }
        E::RouteFailed { target, link, errno } => {
            let detail = std::io::Error::from_raw_os_error(errno).to_string();
            told(EventKind::RouteFailed, target, link, None, Some(detail))
        }
        E::RouteRepaired { target, link } => {
            let detail = "its host route was gone, and is there again".to_owned();
            told(EventKind::Repaired, target, link, None, Some(detail))
        }
        E::ForeignRoute { target, link } => {
            let detail = "a route that is not ours leads elsewhere; it is left alone".to_owned();
            told(EventKind::ForeignRoute, target, link, None, Some(detail))
        }
        E::Refused { link, reason } => Event {
            link: Some(name(link)),
            detail: Some(reason.label().to_owned()),
            ..Event::new(EventKind::Refused)
        },
    };
    Some(described)
}

/// The name that a link goes by in what people read.
pub(crate) fn link_name(links: &Links, link: LinkId) -> String {
    links.label(link.0).map_or_else(|| format!("#{}", link.0), ToOwned::to_owned)
}

/// Writes events to the log, but no more of a kind than a reader can follow: who is on a link can
/// bring most of them about at will.
#[derive(Debug, Default)]
pub(crate) struct Journal {
    quotas: BTreeMap<EventKind, Quota>,
}

impl Journal {
    /// Writes one line about `event`, unless there were too many of its kind.
    pub(crate) fn write(&mut self, event: &Event, now: Instant) {
        let quota = self.quotas.entry(event.kind).or_insert_with(|| Quota::new(now));
        if let Some(omitted) = quota.take(now) {
            write(event, omitted);
        }
    }
}

/// How many lines of one kind may still be written.
#[derive(Debug)]
struct Quota {
    left: u32,
    refilled: Instant,
    omitted: u64,
}

impl Quota {
    fn new(now: Instant) -> Self {
        Self { left: BURST, refilled: now, omitted: 0 }
    }

    /// Takes leave to write a line; returns how many lines were left out before it.
    fn take(&mut self, now: Instant) -> Option<u64> {
        let due = now.since(self.refilled).as_nanos() / INTERVAL.as_nanos();
        if due > 0 {
            let due = u32::try_from(due).unwrap_or(u32::MAX);
            self.left = self.left.saturating_add(due).min(BURST);
            self.refilled = now;
        }
        if self.left == 0 {
            self.omitted += 1;
            return None;
        }
        self.left -= 1;
        Some(std::mem::take(&mut self.omitted))
    }
}

fn write(event: &Event, omitted: u64) {
    let address = event.address.map(display);
    let link = event.link.as_deref().map(display);
    let lladdr = event.lladdr.as_deref().map(display);
    let detail = event.detail.as_deref().map(display);
    let omitted = (omitted > 0).then_some(omitted);
    macro_rules! line {
        ($level:ident, $text:literal) => {
            tracing::$level!(address, link, lladdr, detail, omitted, $text)
        };
    }
    match event.kind {
        EventKind::HostFound => line!(info, "host found"),
        EventKind::HostMoved => line!(info, "host moved"),
        EventKind::HostLost => line!(info, "host lost"),
        EventKind::Duplicate => line!(warn, "address wanted twice: told the newcomer"),
        EventKind::ClaimRejected => line!(warn, "claim to an address rejected"),
        EventKind::OwnAddressClaimed => line!(warn, "an address of this host is claimed"),
        EventKind::Loop => line!(warn, "own message came back"),
        EventKind::RouteFailed => line!(warn, "the kernel refuses a host route; trying again"),
        EventKind::ForeignRoute => line!(warn, "host not advertised because of a foreign route"),
        EventKind::Refused => line!(warn, "a limit is reached; what is new is refused"),
        EventKind::LinkChanged => line!(info, "link changed"),
        EventKind::Repaired => line!(warn, "what was gone is in place again"),
        EventKind::Warning => line!(warn, "attention"),
        EventKind::Subscribed | EventKind::Unknown => line!(debug, "event"),
    }
}

/// Lines of one kind that are written at once.
const BURST: u32 = 20;
/// Time after which another line of the kind may be written.
const INTERVAL: Duration = Duration::from_secs(3);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_storm_leaves_a_burst_and_a_count() {
        let start = Instant::from_nanos(1_000_000_000);
        let mut quota = Quota::new(start);
        let written = (0..1000).filter(|_| quota.take(start).is_some()).count();
        assert_eq!(written, BURST as usize);
        let later = start + INTERVAL;
        assert_eq!(quota.take(later), Some(1000 - u64::from(BURST)));
        assert_eq!(quota.take(later), None);
        let much_later = later + INTERVAL * 1000;
        let written = (0..1000).filter(|_| quota.take(much_later).is_some()).count();
        assert_eq!(written, BURST as usize);
    }

    #[test]
    fn an_event_names_links_as_they_were_asked_for() {
        let links = crate::links::samples::links(["wan"]);
        let event = magpie_engine::Event::Forgotten {
            target: "2001:db8::1".parse().unwrap(),
            link: LinkId(7),
            why: magpie_engine::Lost::Silent,
        };
        let told = describe(&event, |link| link_name(&links, link)).unwrap();
        assert_eq!(told.kind, EventKind::HostLost);
        assert_eq!(told.link.as_deref(), Some("#7"));
        assert_eq!(told.detail.as_deref(), Some("silent"));
    }
}
