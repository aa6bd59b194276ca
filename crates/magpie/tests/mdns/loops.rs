//! Two reflectors between the same two links never drive each other, whatever the delay between
//! them.

use std::time::{Duration, Instant};

use magpie_testnet::peers::{Avahi, AvahiOptions, Family, Peer, Service};
use magpie_testnet::{Bridge, DelayLine};
use magpie_wire::LinkAddr;
use magpie_wire::dns::kind;

use crate::common::{Magpie, Outcome};
use crate::message::Draft;
use crate::place::{Inner, Place, address6, avahi_reflector, files, magpie};
use crate::speaker::{FAMILIES, Heard, Speaker};
use crate::{Scenario, scenario};

pub(crate) fn scenarios() -> Vec<Scenario> {
    let mut scenarios = Vec::new();
    // At 150 ms avahi sends a newcomer's probes round for as long as it likes: docs/mdns.md says so.
    let delays: [(_, _, &[u64]); 2] =
        [("magpie", false, &[0, 20, 150, 600]), ("avahi", true, &[0, 20, 600])];
    for (other, original, delays) in delays {
        for delay in delays.iter().copied() {
            let name = format!("mdn_04_magpie_and_{other}_at_{delay}_ms");
            let delay = Duration::from_millis(delay);
            scenarios.push(scenario(&name, move || two_reflectors(original, delay)));
        }
    }
    scenarios
}

/// A second reflector.
#[expect(dead_code, reason = "they are kept running")]
enum Second {
    Magpie(Magpie),
    Avahi(Avahi),
}

fn two_reflectors(original: bool, delay: Duration) -> Outcome {
    let place = Place::new()?;
    // The other gateway's uplink is a while away.
    place.switch.add_bridge(&Bridge::new("far"))?;
    let _line = if delay.is_zero() {
        None
    } else {
        Some(DelayLine::start("air", &place.switch, ["up", "far"], delay)?)
    };
    let uplink = if delay.is_zero() { "up" } else { "far" };
    let inner = Inner { wan: Some((4, 24)), lan: Some((5, 24)), ..Inner::default() };
    let other = Place::gateway_between(&place.switch, "gw2", [uplink, "down"], inner, 4)?;
    let host = place.host("inner", "down", 41)?;
    let options = AvahiOptions::new("pi-41").service(Service::new("Kitchen", "_ipp._tcp", 631));
    let files = files(Peer::Avahi)?;
    let _host = Avahi::start(&host, &files, &options)?;
    let own = [place.gateway.lladdr("wan")?, place.gateway.lladdr("lan")?];
    let reflectors = [own, [other.lladdr("wan")?, other.lladdr("lan")?]].concat();
    let mut ears = [place.speaker("above", "up", 11)?, place.speaker("below", "down", 42)?];

    // What one of them makes of it.
    let magpie = magpie(&place.gateway)?;
    ears[0].settle(Duration::from_secs(2), Duration::from_secs(20))?;
    let single = stimulate(&mut ears, &reflectors)?;
    assert!(!single.is_empty(), "nothing crosses");

    let second = if original {
        Second::Avahi(avahi_reflector(&other)?)
    } else {
        Second::Magpie(self::magpie(&other)?)
    };
    // Hosts and reflectors come and go: probes are what keeps avahi's going.
    let newcomer = place.host("newcomer", "up", 13)?;
    let newcomer_avahi = Avahi::start(&newcomer, &files, &AvahiOptions::new("laptop"))?;
    let start = Instant::now();
    let rest = ears[0].settle(Duration::from_secs(2), Duration::from_secs(20));
    rest.map_err(|error| format!("{error}\n{:?}\n{}", magpie.status(), magpie.log()))?;
    ears[1].settle(Duration::from_millis(500), Duration::from_secs(5))?;
    let settled = start.elapsed();
    assert_eq!(newcomer_avahi.resolve("pi-41.local", Family::V6)?, Some(address6(41).into()));
    ears[0].settle(Duration::from_secs(2), Duration::from_secs(20))?;

    let both = stimulate(&mut ears, &reflectors)?;
    eprintln!(
        "two reflectors, avahi {original}, {delay:?}: {} packets by one, {} by two; at rest \
         {settled:?} after a host has come",
        single.len(),
        both.len()
    );
    assert_eq!(newcomer_avahi.renames(), 0, "{}", newcomer_avahi.log());
    let ours = both.iter().filter(|heard| own.contains(&heard.lladdr)).count();
    let texts = || both.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
    // What the other one repeats may overtake the original, and is repeated once.
    let slack = 2;
    assert!(ours <= single.len() + slack, "{ours} packets of ours:\n{}", texts());
    // Behind a long delay avahi takes what it has sent itself for new.
    let most = if original { 3 } else { 2 } * single.len() + slack;
    assert!(both.len() <= most, "more than {most}:\n{}", texts());
    drop(second);
    drop(magpie);
    Ok(())
}

/// Asks once over each version of IP, and counts what the reflectors send until five seconds later;
/// then nothing may be sent any more.
fn stimulate(
    ears: &mut [Speaker; 2],
    reflectors: &[LinkAddr],
) -> Result<Vec<Heard>, Box<dyn std::error::Error>> {
    for ear in ears.iter_mut() {
        ear.clear()?;
    }
    for family in FAMILIES {
        ears[0].say(family, &Draft::query().question("_ipp._tcp.local", kind::PTR))?;
    }
    let mut heard = ears[0].collect(Duration::from_secs(5))?;
    heard.extend(ears[1].collect(Duration::ZERO)?);
    heard.retain(|heard| reflectors.contains(&heard.lladdr));
    for ear in ears.iter_mut() {
        ear.expect_none(Duration::from_secs(1), "a packet after all had been said", |heard| {
            reflectors.contains(&heard.lladdr)
        })?;
    }
    Ok(heard)
}
