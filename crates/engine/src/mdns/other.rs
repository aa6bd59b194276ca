//! Passes on what other discovery protocols say: SSDP and WS-Discovery.
//!
//! Both are alike: who searches asks a group from a port of his own, and is answered there; who
//! comes or goes tells the group. So searches are asked again from a port of ours and their answers
//! passed back, and announcements go on as they are. Texts are read as far as it takes to know what
//! they are; what is something else is dropped.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use crate::mdns::counters::NameDiscard;
use crate::mdns::egress::{Outlet, Route};
use crate::mdns::memory::{Asked, Content, Sort};
use crate::mdns::reflector::{Origin, Reflector, Scene};
use crate::{Instant, LinkId, OtherService};

/// Searches that wait for answers, of all senders.
const MAX_SEARCHES: usize = 64;
/// How long answers to WS-Discovery are waited for: it sends them within half a second, and again
/// after another (WS-Discovery 1.1 section 3.1.3).
const PATIENCE: Duration = Duration::from_secs(2);
/// Searchers name the delay that they accept, up to this many seconds (`UPnP` Device Architecture
/// 2.0 section 1.3.2).
const LONGEST_MX: u64 = 5;
/// Where the actions of both versions of WS-Discovery begin.
const ACTIONS: [&str; 2] = [
    "http://schemas.xmlsoap.org/ws/2005/04/discovery/",
    "http://docs.oasis-open.org/ws-dd/ns/discovery/2009/01/",
];

impl OtherService {
    /// Returns the port.
    pub const fn port(self) -> u16 {
        match self {
            Self::Ssdp => 1900,
            Self::WsDiscovery => 3702,
        }
    }

    /// Returns the IPv4 group, which both share.
    pub const fn group_v4(self) -> Ipv4Addr {
        Ipv4Addr::new(239, 255, 255, 250)
    }

    /// Returns the IPv6 group of the link, which both share.
    pub const fn group_v6(self) -> Ipv6Addr {
        Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0xc)
    }
}

/// What a text is.
#[derive(Debug, Eq, PartialEq)]
enum Saying<'t> {
    /// Somebody looks for something: by this his answers are known, for so long.
    Search(&'t str, Duration),
    /// Somebody comes, goes, or is still there.
    Announcement,
    /// An answer to such a search.
    Answer(&'t str),
}

/// A search that waits for answers.
#[derive(Debug)]
struct Search {
    service: OtherService,
    asker: Origin,
    topic: Box<str>,
    until: Instant,
}

/// All that wait.
#[derive(Debug, Default)]
pub(crate) struct Searches {
    searches: Vec<Search>,
}

impl Searches {
    pub(crate) fn forget_link(&mut self, link: LinkId) {
        self.searches.retain(|search| search.asker.link != link);
    }

    pub(crate) fn clear(&mut self) {
        self.searches.clear();
    }

    pub(crate) fn len(&self) -> usize {
        self.searches.len()
    }

    fn has_room(&mut self, asker: &Origin, per_source: usize, now: Instant) -> bool {
        self.searches.retain(|search| search.until > now);
        let its = self.searches.iter().filter(|search| search.asker.speaker() == asker.speaker());
        self.searches.len() < MAX_SEARCHES && its.count() < per_source
    }
}

impl Reflector {
    /// Takes what somebody said to the group of another protocol.
    pub(super) fn on_other(
        &mut self,
        scene: Scene<'_>,
        origin: &Origin,
        service: OtherService,
        payload: &[u8],
    ) {
        let (port, search) = match read(service, payload) {
            Some(Saying::Announcement) => (service.port(), None),
            Some(Saying::Search(topic, patience)) => {
                let Some(port) = scene.mdns.legacy_port else {
                    return self.counters.count(NameDiscard::LegacyOff);
                };
                if !scene.is_on_link(origin.link, origin.source) {
                    return self.counters.count(NameDiscard::OffLink);
                }
                let per_source = scene.mdns.limits.legacy_per_source;
                if !self.searches.has_room(origin, per_source, scene.now) {
                    return self.counters.count(NameDiscard::LegacyFull);
                }
                (port, Some((topic, patience)))
            }
            Some(Saying::Answer(_)) | None => return self.counters.count(NameDiscard::Foreign),
        };
        let mut hasher = DefaultHasher::new();
        payload.hash(&mut hasher);
        let (is_v6, hash) = (origin.is_v6(), hasher.finish());
        let content = Content { is_v6, sort: Sort::Other, hash };
        let asked = Asked { known: 0, is_suspect: false, is_for_any: false };
        let heard = self.memory.hear_question(content, origin.speaker(), asked, scene.now);
        if self.peers.is_reflector(origin.speaker(), scene.now) {
            return self.counters.count(NameDiscard::Reflector);
        }
        let mut went_out = false;
        for to in scene.others(origin.link) {
            let is_from = self.memory.is_from(content, origin.source, to.link, heard, scene.now);
            if heard.is_excessive || is_from {
                self.counters.count(NameDiscard::Repeated);
                continue;
            }
            let Some(outlet) = Outlet::of(&scene, to.link, is_v6) else {
                self.counters.count(NameDiscard::NoSource);
                continue;
            };
            let group: IpAddr =
                if is_v6 { service.group_v6().into() } else { service.group_v4().into() };
            let route = Route::to_other_group(group, service.port(), port);
            if self.send_octets(&scene, &outlet, route, payload) {
                self.counters.other_passed += 1;
                self.memory.sent(content, origin.source, to.link, 0, scene.now);
                went_out = true;
            }
        }
        if let Some((topic, patience)) = search.filter(|_| went_out) {
            let until = scene.now + patience;
            let topic = topic.into();
            self.searches.searches.push(Search { service, asker: *origin, topic, until });
        }
    }

    /// Takes what came to our port; tells whether it was of another protocol.
    pub(super) fn on_other_answer(
        &mut self,
        scene: Scene<'_>,
        origin: &Origin,
        payload: &[u8],
    ) -> bool {
        let mut services = scene.mdns.other_services.iter().copied();
        let answer = services.find_map(|service| match read(service, payload) {
            Some(Saying::Answer(topic)) => Some((service, topic)),
            _ => None,
        });
        let Some((service, topic)) = answer else { return false };
        if !scene.is_on_link(origin.link, origin.source) {
            self.counters.count(NameDiscard::OffLink);
            return true;
        }
        let waiting = self.searches.searches.iter().filter(|search| {
            let is_wanted = search.topic.as_ref() == topic || search.topic.as_ref() == "ssdp:all";
            search.service == service
                && is_wanted
                && search.until > scene.now
                && search.asker.link != origin.link
                && search.asker.is_v6() == origin.is_v6()
        });
        let askers: Vec<_> = waiting.map(|search| search.asker).collect();
        if askers.is_empty() {
            self.counters.count(NameDiscard::NotAsked);
        }
        for asker in askers {
            let Some(outlet) = Outlet::of(&scene, asker.link, asker.is_v6()) else {
                self.counters.count(NameDiscard::NoSource);
                continue;
            };
            let destination = (asker.source, asker.port).into();
            let route = Route::to_one(service.port(), destination, asker.lladdr);
            if self.send_octets(&scene, &outlet, route, payload) {
                self.counters.other_passed += 1;
            }
        }
        true
    }
}

fn read(service: OtherService, payload: &[u8]) -> Option<Saying<'_>> {
    let text = std::str::from_utf8(payload).ok()?;
    match service {
        OtherService::Ssdp => read_ssdp(text),
        OtherService::WsDiscovery => read_ws_discovery(text),
    }
}

fn read_ssdp(text: &str) -> Option<Saying<'_>> {
    let (first, headers) = text.split_once("\r\n")?;
    let header = |name: &str| {
        let mut lines = headers.split("\r\n").filter_map(|line| line.split_once(':'));
        lines.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
    };
    match first {
        "M-SEARCH * HTTP/1.1" => {
            let seconds = header("MX").and_then(|value| value.parse::<u64>().ok()).unwrap_or(1);
            // Answers come at the end of that time as well.
            let patience = Duration::from_secs(seconds.min(LONGEST_MX) + 1);
            (header("MAN")? == "\"ssdp:discover\"").then_some(())?;
            Some(Saying::Search(header("ST")?, patience))
        }
        "NOTIFY * HTTP/1.1" => header("NTS").map(|_| Saying::Announcement),
        "HTTP/1.1 200 OK" => header("ST").map(Saying::Answer),
        _ => None,
    }
}

fn read_ws_discovery(text: &str) -> Option<Saying<'_>> {
    let action = element(text, "Action")?;
    let action = ACTIONS.iter().find_map(|begin| action.strip_prefix(begin))?;
    match action {
        "Hello" | "Bye" => Some(Saying::Announcement),
        "Probe" | "Resolve" => {
            element(text, "MessageID").map(|number| Saying::Search(number, PATIENCE))
        }
        "ProbeMatches" | "ResolveMatches" => element(text, "RelatesTo").map(Saying::Answer),
        _ => None,
    }
}

/// Returns the text of the first element of a name, whatever its namespace is called.
fn element<'t>(text: &'t str, name: &str) -> Option<&'t str> {
    text.split('<').skip(1).find_map(|tag| {
        let (tag, content) = tag.split_once('>')?;
        let qualified = tag.split_ascii_whitespace().next()?;
        let local = qualified.rsplit(':').next()?;
        (local == name).then(|| content.trim())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_is_known_by_its_kind() {
        let search = "M-SEARCH * HTTP/1.1\r\nHOST: 239.255.255.250:1900\r\n\
                      MAN: \"ssdp:discover\"\r\nMX: 3\r\nST: upnp:rootdevice\r\n\r\n";
        let three = Duration::from_secs(4);
        let probe = "<?xml version=\"1.0\"?><s:Envelope xmlns:a=\"x\"><s:Header>\
                     <a:Action s:mustUnderstand=\"1\">\
                     http://schemas.xmlsoap.org/ws/2005/04/discovery/Probe</a:Action>\
                     <a:MessageID>urn:uuid:7</a:MessageID></s:Header></s:Envelope>";
        let (ssdp, ws) = (OtherService::Ssdp, OtherService::WsDiscovery);
        for (service, text, expected) in [
            (ssdp, search.to_owned(), Some(Saying::Search("upnp:rootdevice", three))),
            (
                ssdp,
                search.replace("MX: 3", "mx:250"),
                Some(Saying::Search("upnp:rootdevice", Duration::from_secs(6))),
            ),
            (ssdp, search.replace("ST:", "XX:"), None),
            (ssdp, search.replace("ssdp:discover", "other"), None),
            (ssdp, search.replace("M-SEARCH", "GET"), None),
            (
                ssdp,
                "NOTIFY * HTTP/1.1\r\nNTS: ssdp:alive\r\n\r\n".to_owned(),
                Some(Saying::Announcement),
            ),
            (ssdp, "HTTP/1.1 200 OK\r\nST: a\r\n\r\n".to_owned(), Some(Saying::Answer("a"))),
            (ssdp, "HTTP/1.1 404 No\r\nST: a\r\n\r\n".to_owned(), None),
            (ws, probe.to_owned(), Some(Saying::Search("urn:uuid:7", PATIENCE))),
            (ws, probe.replace("/Probe<", "/Hello<"), Some(Saying::Announcement)),
            (
                ws,
                probe.replace("/Probe<", "/ProbeMatches<").replace("MessageID", "RelatesTo"),
                Some(Saying::Answer("urn:uuid:7")),
            ),
            (ws, probe.replace("schemas", "example"), None),
            (ws, probe.replace("/Probe<", "/Other<"), None),
            (ws, search.to_owned(), None),
            (ws, "<".repeat(9_000), None),
        ] {
            assert_eq!(read(service, text.as_bytes()), expected, "{text}");
        }
        assert_eq!(read(ssdp, &[0xff; 100]), None);
    }
}
