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

/// What one reflector repeats may overtake the original on its way to the other, which then takes the
/// wrong one for news; on a busy machine that happens, but not each time.
const ATTEMPTS: usize = 3;

pub(crate) fn scenarios() -> Vec<Scenario> {
    let mut scenarios = Vec::new();
    for (other, original) in [("magpie", false), ("avahi", true)] {
        for delay in [0, 20, 150, 600] {
            let name = format!("mdn_04_magpie_and_{other}_at_{delay}_ms");
            let delay = Duration::from_millis(delay);
            scenarios.push(scenario(&name, move || two_reflectors(original, delay)));
        }
    }
    scenarios.push(scenario("mdn_04_one_of_two_dies_and_nobody_notices", one_of_two_dies));
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

    // Behind a long delay avahi takes what it has sent itself for new.
    let most = if original { 3 * single.len() + 2 } else { 2 * single.len() };
    let is_ours = |heard: &&Heard| own.contains(&heard.lladdr);
    let mut both = Vec::new();
    for _ in 0..ATTEMPTS {
        both = stimulate(&mut ears, &reflectors)?;
        if both.len() <= most && both.iter().filter(is_ours).count() <= single.len() {
            break;
        }
    }
    let ours = both.iter().filter(is_ours).count();
    eprintln!(
        "two reflectors, avahi {original}, {delay:?}: {} packets by one, {} by two, {ours} of them \
         ours; at rest {settled:?} after a host has come",
        single.len(),
        both.len(),
    );
    assert_eq!(newcomer_avahi.renames(), 0, "{}", newcomer_avahi.log());
    let texts = || both.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
    assert!(ours <= single.len(), "{ours} packets of ours:\n{}", texts());
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

fn one_of_two_dies() -> Outcome {
    let place = Place::new()?;
    let inner = Inner { wan: Some((4, 24)), lan: Some((5, 24)), ..Inner::default() };
    let other = Place::gateway_between(&place.switch, "gw2", ["up", "down"], inner, 4)?;
    let (first, second) = (magpie(&place.gateway)?, magpie(&other)?);
    let (inner, outer) = (place.host("inner", "down", 41)?, place.host("outer", "up", 11)?);
    let files = files(Peer::Avahi)?;
    let _inner = Avahi::start(&inner, &files, &AvahiOptions::new("pi-41"))?;
    let _outer = Avahi::start(&outer, &files, &AvahiOptions::new("laptop"))?;
    let mut asker = place.speaker("asker", "up", 12)?;
    let mut resolve = |by: &Magpie| -> Result<Duration, Box<dyn std::error::Error>> {
        // As resolvers ask: after one, two and four seconds.
        let start = Instant::now();
        for pause in [1, 2, 4, 8] {
            asker.clear()?;
            asker.say(crate::speaker::V6, &Draft::query().question("pi-41.local", kind::AAAA))?;
            let answered = asker.expect(Duration::from_secs(pause), "the address", |heard| {
                heard.answers("pi-41.local", kind::AAAA).then_some(())
            });
            if answered.is_ok() {
                return Ok(start.elapsed());
            }
        }
        let known = (by.names()?, by.hosts()?, by.status()?);
        Err(format!("nobody passes the address on: {known:#?}\n{}", by.log()).into())
    };
    let both = resolve(&first)?;
    first.kill()?;
    let second_alone = resolve(&second)?;
    let first = magpie(&place.gateway)?;
    second.kill()?;
    let first_alone = resolve(&first)?;
    eprintln!("resolved in {both:?} by two, {second_alone:?} and {first_alone:?} by one");
    first.stop()?;
    Ok(())
}
