//! Addresses that nobody has heard of, one after the other: each gets its data, on its link.

use std::error::Error;
use std::net::Ipv6Addr;
use std::time::Duration;

use magpie_testnet::Frame;
use magpie_wire::LinkAddr;

use crate::common::{LIMIT, Outcome, Station, host_address, solicited};
use crate::place::{Place, echo_request, echo_to, is_redirect};

pub(crate) fn five_hundred_get_their_data() -> Outcome {
    let place = Place::new()?;
    let magpie = place.magpie()?;
    let wan = place.gateway.lladdr("wan")?;
    let mut asker = place.station("asker", "up")?;
    let mut owners = [place.station("lower", "down")?, place.station("aside", "side")?];
    let mut capture = place.capture("fresh")?;

    let mut targets = Vec::new();
    for number in 0..COUNT {
        let inner = usize::from(number) % owners.len();
        let Some(owner) = owners.get_mut(inner) else { continue };
        let target = fresh_address(number);
        targets.push((target, inner));
        let question = search(&asker, owner, target)?;
        owner.answer(target, question)?;
        let answer = asker.await_answer(target, LIMIT)?;
        assert_eq!(answer.advert.target_lladdr, Some(wan));
        let data =
            echo_request((asker.lladdr(), wan), (host_address(0x51), target), HOP_LIMIT, number);
        asker.send(&data)?;
        capture.save_if_failed(await_data(owner, target))?;
    }
    let known = place.gateway.neighbors()?.len();
    assert!(known < MOST_NEIGHBORS, "{known} neighbors");

    let frames = capture.finish();
    assert!(!frames.iter().any(|(_, frame)| is_redirect(frame)), "a Redirect was sent");
    for (target, inner) in targets {
        let copies = |link: usize| {
            let sent = |frame: &Frame| frame.outgoing && echo_to(frame, target).is_some();
            frames.iter().filter(|(at, frame)| *at == link && sent(frame)).count()
        };
        let mut expected = [0, 0, 0];
        expected[inner + 1] = 1;
        assert_eq!([copies(0), copies(1), copies(2)], expected, "{target}");
    }
    magpie.stop()?;
    Ok(())
}

/// Asks as kernels do, up to three times, until the owner is asked in turn; returns by whom. More
/// new targets than a link may be asked for in a second have to wait for the second question.
fn search(
    asker: &Station,
    owner: &mut Station,
    target: Ipv6Addr,
) -> Result<(Ipv6Addr, LinkAddr), Box<dyn Error>> {
    for _ in 0..MAX_MULTICAST_SOLICIT {
        asker.ask(target)?;
        let question = owner.expect(RETRANS_TIMER, "a solicitation", |frame| {
            let packet = frame.packet().filter(|packet| solicited(packet) == Some(target))?;
            Some((packet.source, packet.ethernet_source))
        });
        if let Ok(question) = question {
            return Ok(question);
        }
    }
    Err(format!("nobody asks for {target}").into())
}

/// Lets the owner answer the gateway's kernel, which asks for itself, until the data is there.
fn await_data(owner: &mut Station, target: Ipv6Addr) -> Outcome {
    loop {
        let what = format!("data for {target}");
        let question = owner.expect(LIMIT, &what, |frame| {
            if let Some(hop_limit) = echo_to(frame, target) {
                assert_eq!(hop_limit, HOP_LIMIT - 1);
                return Some(None);
            }
            let packet = frame.packet().filter(|packet| solicited(packet) == Some(target))?;
            Some(Some((packet.source, packet.ethernet_source)))
        })?;
        match question {
            Some(asker) => owner.answer(target, asker)?,
            None => return Ok(()),
        }
    }
}

/// Few solicited-node groups (RFC 4291 section 2.7.1), since a kernel keeps a neighbor for each group
/// too.
fn fresh_address(number: u16) -> Ipv6Addr {
    let [a, b, c, d, ..] = host_address(0).segments();
    Ipv6Addr::new(a, b, c, d, number.wrapping_mul(40_503), number, 0x5e00, number % GROUPS)
}

const COUNT: u16 = 500;
/// RFC 4861 section 10.
const MAX_MULTICAST_SOLICIT: usize = 3;
/// RFC 4861 section 10.
const RETRANS_TIMER: Duration = Duration::from_secs(1);
const GROUPS: u16 = 16;
const HOP_LIMIT: u8 = 64;
/// All namespaces of a machine share one table of 1,024.
const MOST_NEIGHBORS: usize = 600;
