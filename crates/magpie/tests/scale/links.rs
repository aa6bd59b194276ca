//! Many links that come and go under one name.

use std::error::Error;
use std::time::Duration;

use magpie_control::{EventKind, LinkState, Status};
use magpie_testnet::{Node, Tester, connect};

use crate::common::{ConfigFile, LIMIT, Magpie, Outcome, Site, Station, host_address};

pub(crate) fn fifty_links_come_and_go() -> Outcome {
    let site = Site::new()?;
    let far = Node::switch("far")?;
    let file = ConfigFile::new("[[relay]]\nlinks = [\"wan\", \"port*\"]\n")?;
    let magpie = Magpie::run(&site.gateway, file.arguments())?;
    let mut asker = Station::new("asker", &site.switch, "up")?;
    let mut before = None;
    for round in 0..ROUNDS {
        for number in 0..LINKS {
            let name = format!("port{number}");
            connect(&site.gateway.plug(&name), &far.plug(&name))?;
        }
        await_links(&magpie, usize::from(LINKS))?;
        // Everywhere at first, then here and there.
        let step = if round == 0 { 1 } else { 24 };
        for number in (0..LINKS).step_by(step) {
            let mut station = Station::of(Tester::attach(&far, &format!("port{number}"))?);
            let target = host_address(0x100 * (round + 1) + number);
            asker.ask(target)?;
            let who = station.await_question(target)?;
            station.answer(target, who)?;
            asker.await_answer(target, LIMIT)?;
            magpie.await_host(target, &format!("port{number}"))?;
        }
        // What is kept from then on is kept for good.
        if round == SETTLED || round + 1 == ROUNDS {
            // Our own connections that have just ended are closed there when their turn comes.
            asker.collect(BREATH)?;
        }
        if round == SETTLED {
            before = Some(magpie.holdings()?);
        }
        if round + 1 == ROUNDS {
            let (descriptors, resident) = magpie.holdings()?;
            let (descriptors_before, resident_before) = before.ok_or("too few rounds")?;
            println!(
                "scale: {LINKS} links, {ROUNDS} rounds: {descriptors_before} then {descriptors} \
                 descriptors, {resident_before} then {resident} KiB"
            );
            assert_eq!(descriptors, descriptors_before);
            assert!(resident <= resident_before + 512, "{resident_before} then {resident} KiB");
        }
        for number in 0..LINKS {
            far.delete_link(&format!("port{number}"))?;
        }
        await_links(&magpie, 0)?;
    }
    magpie.stop()?;
    Ok(())
}

/// Waits until so many of the links are there, and in use.
fn await_links(magpie: &Magpie, count: usize) -> Result<(), Box<dyn Error>> {
    let mut watch = magpie.watch()?;
    let is_it = |status: &Status| {
        let ports = status.links.iter().filter(|link| link.name.starts_with("port"));
        let there = ports.clone().filter(|link| link.ifindex.is_some()).count();
        let up = ports.filter(|link| link.state == LinkState::Up).count();
        (there, up) == (count, count)
    };
    while !is_it(&magpie.status()?) {
        Magpie::await_event(&mut watch, &format!("{count} links"), |event| {
            (event.kind == EventKind::LinkChanged).then_some(())
        })?;
    }
    Ok(())
}

const BREATH: Duration = Duration::from_millis(500);
const LINKS: u16 = 50;
const ROUNDS: u16 = 12;
/// The round after which nothing more is to be kept.
const SETTLED: u16 = 4;
