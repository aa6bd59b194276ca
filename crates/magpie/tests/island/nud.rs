//! Neighbors that check on each other for minutes: nothing is lost, refused or redirected.

use std::net::Ipv6Addr;
use std::time::{Duration, Instant};

use magpie_testnet::{Frame, Host, Node, Ping, PingReport, Pinger, ping_once};
use magpie_wire::{LinkAddr, Packet};

use crate::common::{LIMIT, Outcome, Station, host_address, solicited};
use crate::place::{Place, error_of, is_forwarded_discovery, is_redirect};

pub(crate) fn three_minutes_lose_nothing() -> Outcome {
    let place = Place::new()?;
    let magpie = place.magpie()?;
    let (lower, lower_address) = place.host("lower", "down", 0x21)?;
    let (aside, aside_address) = place.host("aside", "side", 0x31)?;
    let (upper, upper_address) = place.host("upper", "up", 0x41)?;
    hurry(&place.router, "lan")?;
    for host in [&lower, &aside, &upper] {
        hurry(host, Host::LINK)?;
    }
    let appliance = place.station("appliance", "up")?;

    let router_address = Place::router_address();
    let client_address = Place::client_address();
    let pairs: [(&Node, Ipv6Addr); 10] = [
        // The router's kernel probes from its link-local address for what it forwards, and asks
        // from the address of its own packets at first.
        (&place.router, lower_address),
        (&place.router, aside_address),
        (&place.client, lower_address),
        (&place.client, aside_address),
        (&lower, aside_address),
        (&aside, lower_address),
        (&lower, router_address),
        (&lower, client_address),
        (&aside, upper_address),
        (&upper, lower_address),
    ];
    for (from, to) in pairs {
        ping_once(from, &Ping::new(to), LIMIT)?;
    }
    let mut capture = place.capture("nud")?;
    let pingers = pairs
        .iter()
        .map(|(from, to)| Pinger::start(from, &Ping::new(*to), PING_INTERVAL))
        .collect::<Result<Vec<_>, _>>()?;

    let answered = capture.save_if_failed(probe_for(
        MINUTES,
        appliance,
        place.gateway.lladdr("wan")?,
        lower_address,
    ))?;
    let mut reports = Vec::new();
    for pinger in pingers {
        pinger.wait_reply(LIMIT)?;
        reports.push(pinger.stop());
    }
    let frames = capture.finish();
    capture.save_if_failed(judge(&place, &frames, &pairs, &reports))?;
    assert!(answered >= MINUTES.as_secs() / 2, "{answered} probes of the appliance were answered");
    magpie.stop()?;
    Ok(())
}

/// Probes `target` each second by unicast, from a link-local and a global address in turn, until
/// `time` has passed; returns how many probes were answered, which are all.
fn probe_for(
    time: Duration,
    mut appliance: Station,
    gateway: LinkAddr,
    target: Ipv6Addr,
) -> Result<u64, Box<dyn std::error::Error>> {
    let own = host_address(0x51);
    let end = Instant::now() + time;
    let mut answered = 0;
    while Instant::now() < end {
        let source = if answered % 2 == 0 { appliance.link_local } else { own };
        let question = appliance.question(target);
        appliance.send_packet(&Packet {
            ethernet_destination: gateway,
            source,
            destination: target,
            ..question
        })?;
        let answer = appliance.await_answer(target, LIMIT)?;
        assert_eq!(answer.destination, source);
        assert!(answer.advert.solicited && !answer.advert.overrides, "{answer:?}");
        assert_eq!(answer.advert.target_lladdr, Some(gateway));
        answered += 1;
        // It is asked for in return, by whoever wants to send it something.
        for frame in appliance.collect(Duration::from_secs(1))? {
            let Some(packet) = frame.packet() else { continue };
            if let Some(asked) = solicited(&packet)
                && [own, appliance.link_local].contains(&asked)
            {
                appliance.answer(asked, (packet.source, packet.ethernet_source))?;
            }
        }
    }
    Ok(answered)
}

fn judge(
    place: &Place,
    frames: &[(usize, Frame)],
    pairs: &[(&Node, Ipv6Addr)],
    reports: &[PingReport],
) -> Outcome {
    for ((from, to), report) in pairs.iter().zip(reports) {
        // What was sent after the last reply is still on its way.
        let answered = report.probes.iter().rposition(|probe| probe.round_trip.is_some());
        let lost = answered.map_or(0, |last| (last + 1).saturating_sub(report.answered()));
        let what = format!("from {} to {to}", from.name());
        if lost > 0 || !report.errors.is_empty() || report.redirects > 0 {
            return Err(format!(
                "{what}: {lost} of {} lost, {} redirects, errors {:?}",
                report.probes.len(),
                report.redirects,
                report.errors
            )
            .into());
        }
        if report.answered() < FEWEST_REPLIES {
            return Err(format!("{what}: only {} replies", report.answered()).into());
        }
    }
    for (link, frame) in frames {
        let what = if is_forwarded_discovery(frame) {
            "forwarded Neighbor Discovery"
        } else if is_redirect(frame) {
            "a Redirect"
        } else if error_of(frame).is_some() {
            "an error"
        } else {
            continue;
        };
        return Err(format!("{what} on link {link}: {:?}", frame.icmpv6()).into());
    }
    // All of it is worth nothing unless the kernels did check on each other.
    let (router, gateway) = (place.router.lladdr("lan")?, place.gateway.lladdr("lan")?);
    for (link, asker, fewest) in [(WAN, router, FEWEST_HURRIED), (LAN, gateway, FEWEST_AT_EASE)] {
        let probes = frames.iter().filter(|(at, frame)| {
            *at == link
                && frame.packet().is_some_and(|packet| {
                    packet.ethernet_source == asker
                        && solicited(&packet) == Some(packet.destination)
                })
        });
        let probes = probes.count();
        if probes < fewest {
            return Err(format!("only {probes} probes on link {link}").into());
        }
    }
    Ok(())
}

/// Makes a kernel check on its neighbors every few seconds instead of every half a minute.
fn hurry(node: &Node, link: &str) -> Outcome {
    node.set_neigh(link, "base_reachable_time_ms", 3000)?;
    node.set_neigh(link, "delay_first_probe_time", 1)?;
    Ok(())
}

const MINUTES: Duration = Duration::from_secs(180);
const PING_INTERVAL: Duration = Duration::from_millis(200);
/// Nine tenths of what there should be: a busy machine is late now and then.
const FEWEST_REPLIES: usize = 810;
/// Each of two neighbors every five seconds would be 72.
const FEWEST_HURRIED: usize = 10;
/// The gateway checks after 15 to 45 seconds, as long as RFC 4861 section 6.3.2 lets it be sure:
/// at least four times in three minutes, less one for a busy machine.
const FEWEST_AT_EASE: usize = 3;
/// Positions of the gateway's links in the capture.
const WAN: usize = 0;
const LAN: usize = 1;
