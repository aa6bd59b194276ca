//! Tells people what happened: one line of log each, and one event for those who watch.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use magpie_control::{Crossing, Event, EventKind};
use magpie_engine::{Instant, LinkId, NameEvent, NameView};
use magpie_wire::LinkAddr;
use tracing::field::display;

use crate::links::Links;
use crate::table::plain;

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
        E::Displaced { .. } => return None,
        E::Name(ref event) => name_event(event, name),
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

/// Puts into words what happened to a name.
fn name_event(event: &NameEvent, name: impl Fn(LinkId) -> String) -> Event {
    let record = |kind, view: &NameView| Event {
        address: view.address,
        link: Some(name(view.link)),
        name: Some(view.name.clone()),
        record_type: Some(view.kind.clone()),
        data: Some(view.data.clone()),
        to: crossings(view, &name),
        detail: Some(format!("said by {}", view.source)),
        ..Event::new(kind)
    };
    match event {
        NameEvent::Seen(view) => record(EventKind::NameSeen, view),
        NameEvent::Withdrawn(view) => record(EventKind::NameWithdrawn, view),
        NameEvent::Conflict { name: contested, link, other } => Event {
            link: Some(name(*link)),
            name: Some(contested.clone()),
            detail: Some(format!("it is something else on {}", name(*other))),
            ..Event::new(EventKind::NameConflict)
        },
        NameEvent::Reflector { link, source } => Event {
            address: Some(*source),
            link: Some(name(*link)),
            detail: Some("nothing that it sends is reflected".to_owned()),
            ..Event::new(EventKind::ReflectorFound)
        },
    }
}

/// What was done with a record, with the names that `name` gives to links.
pub(crate) fn crossings(view: &NameView, name: impl Fn(LinkId) -> String) -> Vec<Crossing> {
    let crossing = |(link, verdict): &(LinkId, magpie_engine::Verdict)| Crossing {
        link: name(*link),
        verdict: verdict.label().to_owned(),
    };
    view.verdicts.iter().map(crossing).collect()
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
    let name = event.name.as_deref().map(|name| display(plain(name, LONGEST)));
    let r#type = event.record_type.as_deref().map(|kind| display(plain(kind, LONGEST)));
    let data = event.data.as_deref().map(|data| display(plain(data, LONGEST)));
    let to = (!event.to.is_empty()).then(|| display(crossings_text(&event.to)));
    let detail = event.detail.as_deref().map(display);
    let omitted = (omitted > 0).then_some(omitted);
    macro_rules! line {
        ($level:ident, $text:literal) => {
            tracing::$level!(address, link, lladdr, name, r#type, data, to, detail, omitted, $text)
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
        EventKind::NameSeen => line!(debug, "name seen"),
        EventKind::NameWithdrawn => line!(debug, "name withdrawn"),
        EventKind::NameConflict => line!(warn, "name in use on two links"),
        EventKind::ReflectorFound => line!(warn, "another reflector of names is on the link"),
        EventKind::Warning => line!(warn, "attention"),
        EventKind::Subscribed | EventKind::Unknown => line!(debug, "event"),
    }
}

/// What was done with a record, in one line.
pub(crate) fn crossings_text(to: &[Crossing]) -> String {
    let each = to.iter().map(|Crossing { link, verdict }| format!("{link} ({verdict})"));
    each.collect::<Vec<_>>().join(", ")
}

/// Characters of what others sent.
const LONGEST: usize = 256;
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
    fn what_happens_to_names_is_told_with_links_and_verdicts() {
        use magpie_engine::Verdict;
        let view = NameView {
            name: "pi-41.local".to_owned(),
            kind: "AAAA".to_owned(),
            data: "2001:db8::41".to_owned(),
            address: Some("2001:db8::41".parse().unwrap()),
            link: LinkId(2),
            source: "fe80::41".parse().unwrap(),
            seen: Duration::ZERO,
            remaining: Duration::from_secs(120),
            verdicts: vec![(LinkId(3), Verdict::Passed), (LinkId(4), Verdict::Unreachable)],
        };
        let told = |event| {
            let event = magpie_engine::Event::Name(Box::new(event));
            describe(&event, |link| format!("eth{}", link.0)).expect("it is of interest")
        };
        let seen = told(NameEvent::Seen(view.clone()));
        assert_eq!((seen.kind, seen.name.as_deref()), (EventKind::NameSeen, Some("pi-41.local")));
        assert_eq!((seen.link.as_deref(), seen.address), (Some("eth2"), view.address));
        assert_eq!(crossings_text(&seen.to), "eth3 (passed), eth4 (unreachable)");
        assert_eq!(told(NameEvent::Withdrawn(view)).kind, EventKind::NameWithdrawn);
        let name = "x.local".to_owned();
        let (link, other) = (LinkId(2), LinkId(3));
        let conflict = told(NameEvent::Conflict { name, link, other });
        assert_eq!(conflict.kind, EventKind::NameConflict);
        assert!(conflict.detail.is_some_and(|detail| detail.contains("eth3")));
        let source = "fe80::7".parse().unwrap();
        let reflector = told(NameEvent::Reflector { link, source });
        assert_eq!(reflector.kind, EventKind::ReflectorFound);
        assert_eq!((reflector.address, reflector.link.as_deref()), (Some(source), Some("eth2")));
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
