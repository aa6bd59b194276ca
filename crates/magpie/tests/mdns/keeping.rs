//! What the daemon keeps for the reflector, and when: sockets, groups, a port, and its peace.

use std::error::Error;
use std::fs;
use std::time::Duration;

use magpie_control::Client;
use magpie_testnet::Tester;
use magpie_wire::dns::kind;
use rustix::process::Signal;

use crate::common::{ConfigFile, LIMIT, Magpie, Outcome};
use crate::message::{Draft, Rec};
use crate::place::{Place, SILENCE, SOON, address6, magpie};
use crate::speaker::{FAMILIES, Speaker, V4, V6};
use crate::{Scenario, scenario};

pub(crate) fn scenarios() -> Vec<Scenario> {
    vec![
        scenario("a_reload_begins_and_ends_to_reflect", reload),
        scenario("without_neighbor_discovery_nothing_but_names_crosses", names_alone),
        scenario("a_link_without_ipv6_is_heard_and_joined_when_it_has_it", ipv6_comes_later),
        scenario("nothing_to_reflect_costs_nothing", silence_costs_nothing),
        scenario("thousands_of_names_take_little_memory", names_take_little_memory),
    ]
}

fn reload() -> Outcome {
    let place = Place::new()?;
    let (mut above, mut below) =
        (place.speaker("above", "up", 11)?, place.speaker("below", "down", 41)?);
    let file = ConfigFile::new(PLAIN)?;
    let magpie = Magpie::run(&place.gateway, file.arguments())?;
    let groups = groups(&magpie)?;
    assert_eq!(sockets(&magpie)?, (2, 0));
    let mut held = Vec::new();
    for round in 0..3 {
        let name = format!("before-{round}.local");
        above.say(V6, &Draft::query().question(&name, kind::AAAA))?;
        below.expect_none(SILENCE, "a question", |heard| heard.asks(&name, kind::AAAA))?;

        exchange(&magpie, &file, REFLECTING)?;
        crosses(&mut above, &mut below, &format!("after-{round}.local"))?;
        assert_eq!(self::groups(&magpie)?, groups.map(|count| count + 2));
        // One more on each link, and the port for answers.
        assert_eq!(sockets(&magpie)?, (4, 1));

        // The port stays the same, and so do the sockets.
        exchange(&magpie, &file, &format!("{REFLECTING}conflicts = \"isolate\"\n"))?;
        crosses(&mut above, &mut below, &format!("again-{round}.local"))?;
        assert!(!magpie.log().contains("opening it anew"), "{}", magpie.log());

        exchange(&magpie, &file, PLAIN)?;
        assert_eq!(self::groups(&magpie)?, groups);
        assert_eq!(sockets(&magpie)?, (2, 0));
        held.push(magpie.holdings()?.0);
    }
    // Whoever asks it something is a descriptor more, as long as it has not noticed that he has gone.
    let is_like_before = || (magpie.holdings().ok()?.0 <= held[0]).then_some(());
    magpie_testnet::wait_for(LIMIT, "no more descriptors than after one reload", is_like_before)?;
    magpie.stop()?;
    Ok(())
}

fn names_alone() -> Outcome {
    let place = Place::new()?;
    place.gateway.set_conf("all", "forwarding", 0)?;
    let (mut above, mut below) =
        (place.speaker("above", "up", 11)?, place.speaker("below", "down", 41)?);
    let mut witness = Tester::new("witness", &place.switch, "up", None)?;
    let alone = REFLECTING.replacen('\n', "\nneighbor-discovery = false\n", 1);
    let file = ConfigFile::new(&alone)?;
    let magpie = Magpie::run(&place.gateway, file.arguments())?;
    crosses(&mut above, &mut below, "alone.local")?;
    let status = Client::connect(&magpie.control())?.status()?;
    assert!(!status.guard.active, "{:?}", status.guard);
    assert_eq!(status.warnings, [""; 0], "nothing is wrong about a host that does not forward");
    assert_eq!(groups(&magpie)?, [2, 2]);
    // Of Neighbor Discovery and what belongs to it, the daemon sends nothing: no advertisement to
    // switches either, which would come within seconds.
    let own = place.gateway.lladdr("wan")?;
    for frame in witness.collect(Duration::from_secs(3))? {
        let is_icmpv6 = frame.bytes.get(12..14) == Some(&[0x86, 0xdd])
            && frame.bytes.get(20) == Some(&58)
            && frame.bytes.get(6..12) == Some(&own.0);
        assert!(!is_icmpv6, "{frame:?}");
    }

    // And it can begin with it.
    exchange(&magpie, &file, REFLECTING)?;
    let status = Client::connect(&magpie.control())?.status()?;
    assert!(status.guard.active);
    assert!(status.warnings.iter().any(|text| text.contains("forwarding")), "{status:?}");
    crosses(&mut above, &mut below, "both.local")?;
    exchange(&magpie, &file, &alone)?;
    crosses(&mut above, &mut below, "again.local")?;
    assert_eq!(groups(&magpie)?, [2, 2]);
    assert!(!Client::connect(&magpie.control())?.status()?.guard.active);
    magpie.stop()?;
    Ok(())
}

fn ipv6_comes_later() -> Outcome {
    let place = Place::new()?;
    place.gateway.set_conf("lan", "disable_ipv6", 1)?;
    let (mut above, mut below) =
        (place.speaker("above", "up", 11)?, place.speaker("below", "down", 41)?);
    let magpie = magpie(&place.gateway)?;
    above.say(V4, &Draft::query().question("four.local", kind::A))?;
    below.expect(SOON, "the question", |heard| heard.asks("four.local", kind::A).then_some(()))?;
    place.gateway.set_conf("lan", "disable_ipv6", 0)?;
    place.gateway.wait_link_local("lan", LIMIT)?;
    let joined = || -> Result<bool, Box<dyn Error>> {
        let _inside = place.gateway.enter()?;
        let groups = fs::read_to_string("/proc/thread-self/net/igmp6")?;
        let is_it = |line: &str| {
            let words: Vec<&str> = line.split_whitespace().collect();
            words.get(1) == Some(&"lan")
                && words.get(2) == Some(&"ff0200000000000000000000000000fb")
        };
        Ok(groups.lines().any(is_it))
    };
    magpie_testnet::wait_for(LIMIT, "the membership", || joined().ok()?.then_some(()))?;
    crosses(&mut above, &mut below, "six.local")?;
    magpie.stop()?;
    Ok(())
}

fn silence_costs_nothing() -> Outcome {
    let place = Place::new()?;
    let (mut above, mut below) =
        (place.speaker("above", "up", 11)?, place.speaker("below", "down", 41)?);
    let magpie = magpie(&place.gateway)?;
    crosses(&mut above, &mut below, "busy.local")?;
    let record = Rec::aaaa("busy.local", address6(41)).ttl(5);
    below.say(V6, &Draft::response().answer(&record))?;
    above.expect(SOON, "the answer", |heard| {
        heard.answers("busy.local", kind::AAAA).then_some(())
    })?;
    let mut counts = Vec::new();
    loop {
        let before = context_switches(&magpie)?;
        above.collect(WINDOW)?;
        let count = context_switches(&magpie)? - before;
        counts.push(count);
        if count == 0 {
            break;
        }
        assert!(counts.len() < MOST_WINDOWS, "context switches every {WINDOW:?}: {counts:?}");
    }
    eprintln!("context switches every {WINDOW:?}: {counts:?}");
    magpie.stop()?;
    Ok(())
}

fn names_take_little_memory() -> Outcome {
    let place = Place::new()?;
    let (mut above, mut below) =
        (place.speaker("above", "up", 11)?, place.speaker("below", "down", 41)?);
    let magpie = magpie(&place.gateway)?;
    crosses(&mut above, &mut below, "first.local")?;
    let before = allocated(&magpie)?;
    // What one sender may say at once, and a second more.
    for packet in 0..PACKETS {
        let name = |number| format!("host-{packet}-{number}.local");
        let record = |number| Rec::aaaa(&name(number), address6(100 * packet + number));
        let message =
            (0..RECORDS).fold(Draft::response(), |message, number| message.answer(&record(number)));
        below.say(V6, &message)?;
        let last = name(RECORDS - 1);
        above.expect(LIMIT, "the names", |heard| heard.answers(&last, kind::AAAA).then_some(()))?;
    }
    let after = allocated(&magpie)?;
    let count = u64::from(PACKETS * RECORDS);
    let octets = after.saturating_sub(before) * 1024 / count;
    eprintln!("{before} KiB; with {count} names {after} KiB, {octets} octets each");
    assert!(octets < 4096, "{octets} octets for each name");
    magpie.stop()?;
    Ok(())
}

/// Counts the packet sockets where the daemon runs, and the ports that are taken there.
fn sockets(magpie: &Magpie) -> Result<(usize, usize), Box<dyn Error>> {
    let count = |table: &str| -> Result<usize, Box<dyn Error>> {
        let table = fs::read_to_string(format!("/proc/{}/net/{table}", magpie.pid()))?;
        Ok(table.lines().skip(1).count())
    };
    Ok((count("packet")?, count("udp6")?))
}

/// What the daemon has allocated, in KiB. Pages of an unoptimized program are no measure.
fn allocated(magpie: &Magpie) -> Result<u64, Box<dyn Error>> {
    let status = fs::read_to_string(format!("/proc/{}/status", magpie.pid()))?;
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
    let number = line.and_then(|line| line.split_whitespace().next());
    Ok(number.ok_or("no RssAnon")?.parse()?)
}

/// Fails unless questions over both versions of IP cross both ways.
fn crosses(above: &mut Speaker, below: &mut Speaker, name: &str) -> Outcome {
    for family in FAMILIES {
        // The same question from the other side would be one that has been asked already.
        passes(above, below, family, &format!("down-{family}-{name}"))?;
        passes(below, above, family, &format!("up-{family}-{name}"))?;
    }
    Ok(())
}

fn passes(from: &Speaker, to: &mut Speaker, family: usize, name: &str) -> Outcome {
    from.say(family, &Draft::query().question(name, kind::AAAA))?;
    to.expect(SOON, "the question", |heard| {
        (heard.family() == family && heard.asks(name, kind::AAAA)).then_some(())
    })
}

/// Has the daemon take over another configuration.
fn exchange(magpie: &Magpie, file: &ConfigFile, text: &str) -> Outcome {
    file.write(text)?;
    magpie.signal(Signal::HUP)?;
    magpie.await_news("READY=1")?;
    let status = Client::connect(&magpie.control())?.status()?;
    let refused = status.warnings.iter().find(|text| text.contains("stays as it is"));
    assert_eq!(refused, None);
    Ok(())
}

/// Counts the groups joined on both links.
fn groups(magpie: &Magpie) -> Result<[u64; 2], Box<dyn Error>> {
    let status = Client::connect(&magpie.control())?.status()?;
    let count = |name: &str| {
        let link = status.links.iter().find(|link| link.name == name);
        link.map(|link| link.groups).ok_or_else(|| format!("no link {name}: {status:?}"))
    };
    Ok([count("wan")?, count("lan")?])
}

fn context_switches(magpie: &Magpie) -> Result<u64, Box<dyn Error>> {
    let status = fs::read_to_string(format!("/proc/{}/status", magpie.pid()))?;
    let lines = status.lines().filter_map(|line| line.split_once("voluntary_ctxt_switches:"));
    let counts: Vec<u64> =
        lines.map(|(_, count)| count.trim().parse()).collect::<Result<_, _>>()?;
    Ok(counts.iter().sum())
}

const PLAIN: &str = "[[relay]]\nlinks = [\"wan\", \"lan\"]\n";
const REFLECTING: &str =
    "[[relay]]\nlinks = [\"wan\", \"lan\"]\n\n[relay.mdns]\naddresses = \"all\"\n";
/// Packets of names, no more than one sender may say at once, and records in each.
const PACKETS: u16 = 100;
const RECORDS: u16 = 30;
const WINDOW: Duration = Duration::from_secs(10);
const MOST_WINDOWS: usize = 8;
