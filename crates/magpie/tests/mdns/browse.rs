//! Hosts and services are found from the other link, by the resolvers that people use.

use std::net::IpAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use magpie_testnet::peers::{
    Avahi, AvahiOptions, Family, Peer, Resolved, ResolvedOptions, Service,
};
use magpie_wire::dns::kind;

use crate::common::{LIMIT, Outcome};
use crate::message::{Draft, Rec};
use crate::place::{Place, SOON, address4, address6, avahi_reflector, files, magpie};
use crate::speaker::{FAMILIES, Speaker};
use crate::{Scenario, scenario};

pub(crate) fn scenarios() -> Vec<Scenario> {
    vec![
        scenario("avahi_is_found_from_the_other_link", avahi_is_found),
        scenario("resolved_is_found_from_the_other_link", resolved_is_found),
        scenario("mdn_01_browsing_takes_no_longer_than_without_a_gateway", browsing_is_quick),
    ]
}

fn avahi_is_found() -> Outcome {
    let place = Place::new()?;
    let (inner, outer) = (place.host("inner", "down", 41)?, place.host("outer", "up", 11)?);
    let files = files(Peer::Avahi)?;
    let options = AvahiOptions::new("pi-41").service(Service::new("Kitchen", "_ipp._tcp", 631));
    let magpie = magpie(&place.gateway)?;
    let inner = Avahi::start(&inner, &files, &options)?;
    let outer = Avahi::start(&outer, &files, &AvahiOptions::new("laptop"))?;
    for (family, address) in
        [(Family::V4, IpAddr::from(address4(41))), (Family::V6, address6(41).into())]
    {
        assert_eq!(outer.resolve("pi-41.local", family)?, Some(address));
    }
    assert_eq!(inner.resolve("laptop.local", Family::V6)?, Some(address6(11).into()));
    assert_eq!(inner.resolve("laptop.local", Family::V4)?, Some(address4(11).into()));
    assert_eq!((inner.renames(), outer.renames()), (0, 0));

    // Browsing shows the service with all that it takes to use it.
    let mut browser = place.speaker("browser", "up", 12)?;
    for family in FAMILIES {
        browse(&mut browser, family, "_ipp._tcp.local", kind::PTR)?;
        browse(&mut browser, family, "Kitchen._ipp._tcp.local", kind::SRV)?;
    }
    magpie.stop()?;
    Ok(())
}

fn resolved_is_found() -> Outcome {
    let place = Place::new()?;
    let (inner, outer) = (place.host("inner", "down", 41)?, place.host("outer", "up", 11)?);
    let magpie = magpie(&place.gateway)?;
    let files = files(Peer::Resolved)?;
    let options = ResolvedOptions::new("pi-41", &["eth0"]);
    let options = options.service(Service::new("Kitchen", "_ipp._tcp", 631));
    let inner = Resolved::start(&inner, &files, &options)?;
    let outer = Resolved::start(&outer, &files, &ResolvedOptions::new("laptop", &["eth0"]))?;
    for (resolved, name) in [(&inner, "pi-41"), (&outer, "laptop")] {
        resolved.await_line(&format!("Record {name}.local IN AAAA 2001:db8"), LIMIT)?;
    }
    let found = outer.resolve("pi-41.local")?;
    assert!(
        found.contains(&address4(41).into()) || found.contains(&address6(41).into()),
        "{found:?}"
    );
    let found = inner.resolve("laptop.local")?;
    assert!(
        found.contains(&address4(11).into()) || found.contains(&address6(11).into()),
        "{found:?}"
    );

    let mut browser = place.speaker("browser", "up", 12)?;
    for family in FAMILIES {
        browse(&mut browser, family, "_ipp._tcp.local", kind::PTR)?;
    }
    assert_eq!((inner.renames(), outer.renames()), (0, 0));
    magpie.stop()?;
    Ok(())
}

/// Asks until somebody answers, as browsers do: who has just spoken does not say it again at once.
fn browse(browser: &mut Speaker, family: usize, name: &str, kind: u16) -> Outcome {
    let mut result = Err("nothing was asked".into());
    for pause in [1, 2, 4] {
        browser.say(family, &Draft::query().question(name, kind))?;
        result = browser.expect(Duration::from_secs(pause), name, |heard| {
            (heard.family() == family && heard.answers(name, kind)).then_some(())
        });
        if result.is_ok() {
            break;
        }
    }
    result
}

/// Sends queries and answers across, and measures how long they take.
fn browsing_is_quick() -> Outcome {
    let mut reports = Vec::new();
    for original in [false, true] {
        let place = Place::new()?;
        let _avahi = if original { Some(avahi_reflector(&place.gateway)?) } else { None };
        let _magpie = if original { None } else { Some(magpie(&place.gateway)?) };
        let (mut above, mut below) =
            (place.speaker("above", "up", 11)?, place.speaker("below", "down", 41)?);
        let mut took = Vec::new();
        for round in 0..25_u8 {
            let name = format!("pi-{round}.local");
            for family in FAMILIES {
                let kind = [kind::A, kind::AAAA][family];
                let start = SystemTime::now();
                above.say(family, &Draft::query().question(&name, kind))?;
                let arrived = below.expect(SOON, &name, |heard| {
                    (heard.family() == family && heard.asks(&name, kind)).then_some(heard.time_ns)
                })?;
                took.push(since(start, arrived)?);

                let record = [Rec::a(&name, address4(41)), Rec::aaaa(&name, address6(41))];
                let start = SystemTime::now();
                below.say(family, &Draft::response().answer(&record[family]))?;
                let arrived = above.expect(SOON, &name, |heard| {
                    (heard.family() == family && heard.answers(&name, kind))
                        .then_some(heard.time_ns)
                })?;
                took.push(since(start, arrived)?);
            }
        }
        took.sort();
        let (median, high) = (took[took.len() / 2], took[took.len() * 99 / 100 - 1]);
        let who = if original { "avahi-daemon" } else { "Magpie" };
        let count = took.len();
        reports.push(format!("{who}: median {median:?}, 99th percentile {high:?} of {count}"));
        if !original {
            // Other tests compete for the processor: what that does to the slowest says nothing.
            assert!(median < Duration::from_millis(5), "{reports:?}");
        }
    }
    eprintln!("added latency of {}", reports.join("; "));
    Ok(())
}

fn since(start: SystemTime, time_ns: u64) -> Result<Duration, Box<dyn std::error::Error>> {
    let start = start.duration_since(UNIX_EPOCH)?;
    Ok(Duration::from_nanos(time_ns).saturating_sub(start))
}
