//! Links that come and go, many one after the other and many at once, all of them named by one
//! pattern.

use std::error::Error;
use std::time::Instant;

use magpie_control::{EventKind, LinkState, Watch};
use magpie_testnet::{Node, Ping, connect, ping_once};

use crate::common::{LIMIT, Magpie, Options, Outcome, host_address, ping_until};
use crate::place::{Place, quick_node};
use crate::scene::{SPARE_DESCRIPTORS, SPARE_MEMORY_KIB, holdings};

pub(crate) fn a_thousand_links() -> Outcome {
    let place = Place::new()?;
    let guest = quick_node("guest")?;
    let magpie = Magpie::start_with(&place.gateway, &options())?;
    let process = magpie.pid();
    let mut watch = magpie.watch()?;
    let start = Instant::now();
    let mut warm = None;
    for round in 1..=ROUNDS {
        let name = format!("veth{}", round % 7);
        connect(&place.gateway.plug(&name), &guest.plug("eth0"))?;
        await_link(&mut watch, &name, "up")?;
        if round % VISIT_EVERY == 0 {
            guest.add_address_nodad("eth0", host_address(GUEST), 64)?;
            let reached = ping_until(&place.router, host_address(GUEST))
                .and_then(|()| ping_until(&guest, Place::router_address()));
            reached.map_err(|error| {
                format!("round {round}: {error}\n{:?}\n{}", magpie.hosts(), magpie.log())
            })?;
        }
        place.gateway.delete_link(&name)?;
        await_link(&mut watch, &name, "it has gone")?;
        if round == WARM_AFTER {
            warm = Some(holdings(process)?);
        }
    }
    let before = warm.ok_or("it never got warm")?;
    let after = holdings(process)?;
    println!(
        "churn: {ROUNDS} links came and went in {:?}; descriptors and KiB: {before:?}, then {after:?}",
        start.elapsed()
    );
    assert!(after.0 <= before.0 + SPARE_DESCRIPTORS, "{before:?} became {after:?}");
    assert!(after.1 <= before.1 + SPARE_MEMORY_KIB, "{before:?} became {after:?}");
    let status = magpie.status()?;
    assert_eq!(status.pid, process);
    assert!(
        status.links.iter().all(|link| !link.name.starts_with("veth") || link.ifindex.is_none())
    );
    magpie.stop()?;
    assert!(place.host_routes()?.is_empty());
    Ok(())
}

pub(crate) fn fifty_links() -> Outcome {
    let place = Place::new()?;
    // At most of the other ends nobody speaks: neighbor tables of all namespaces are one.
    let silent = Node::switch("silent")?;
    let mut guests = Vec::new();
    let mut attach = |numbers: std::ops::Range<u16>| -> Outcome {
        for number in numbers {
            let link = format!("veth{number}");
            if number % 8 == 0 {
                let guest = quick_node(&format!("guest{number}"))?;
                connect(&place.gateway.plug(&link), &guest.plug("eth0"))?;
                let address = host_address(GUEST + number);
                guest.add_address_nodad("eth0", address, 64)?;
                guests.push((guest, address));
            } else {
                connect(&place.gateway.plug(&link), &silent.plug(&format!("far{number}")))?;
            }
        }
        Ok(())
    };
    // Half of them are there before the daemon, half come later.
    attach(0..LINKS / 2)?;
    let magpie = Magpie::start_with(&place.gateway, &options())?;
    let mut watch = magpie.watch()?;
    attach(LINKS / 2..LINKS)?;
    for number in LINKS / 2..LINKS {
        await_link_of(&magpie, &mut watch, &format!("veth{number}"))?;
    }
    let status = magpie.status()?;
    let up = status.links.iter().filter(|link| link.state == LinkState::Up);
    assert_eq!(up.count(), usize::from(LINKS) + 1, "{:?}", status.links);

    for (index, (guest, address)) in guests.iter().enumerate() {
        ping_once(&place.router, &Ping::new(*address), LIMIT)?;
        for (_, other) in guests.iter().skip(index + 1) {
            ping_once(guest, &Ping::new(*other), LIMIT)?;
        }
    }
    let (descriptors, resident) = holdings(magpie.pid())?;
    println!("churn: {LINKS} links at once: {descriptors} descriptors, {resident} KiB");
    magpie.stop()?;
    Ok(())
}

fn options() -> Options {
    Options { interfaces: "wan,veth*".to_owned(), ..Options::default() }
}

/// Waits until the daemon serves a link, now or after the next events.
fn await_link_of(magpie: &Magpie, watch: &mut Watch, name: &str) -> Result<(), Box<dyn Error>> {
    let status = magpie.status()?;
    if status.links.iter().any(|link| link.name == name && link.state == LinkState::Up) {
        return Ok(());
    }
    await_link(watch, name, "up")
}

fn await_link(watch: &mut Watch, name: &str, state: &str) -> Outcome {
    Magpie::await_event(watch, &format!("{name} to be {state}"), |event| {
        let is_it = event.kind == EventKind::LinkChanged
            && event.link.as_deref() == Some(name)
            && event.detail.as_deref().is_some_and(|detail| detail.contains(state));
        is_it.then_some(())
    })
}

const ROUNDS: u16 = 1000;
const WARM_AFTER: u16 = 100;
/// How often a host behind the link is talked to.
const VISIT_EVERY: u16 = 50;
const LINKS: u16 = 50;
/// The interface identifier of the first guest.
const GUEST: u16 = 0x80;
