//! What the gateway's kernel must not do to the relay's traffic, and what it must.

use std::error::Error;
use std::net::Ipv6Addr;
use std::time::{Duration, Instant};

use magpie_testnet::{
    Ping, PingError, RouterAdvertiser, RouterAdvertiserOptions, Tester, ping_once,
};
use magpie_wire::{ALL_NODES, IPV6_LEN, LinkAddr, Packet, checksum, multicast_lladdr};

use crate::common::{Answer, LIMIT, Outcome, PREFIX, answer_for, host_address};
use crate::place::{
    Place, SILENCE, echo_request, echo_to, error_of, is_forwarded_discovery, is_redirect,
};

pub(crate) fn no_probe_is_forwarded() -> Outcome {
    let place = Place::new()?;
    let magpie = place.magpie()?;
    let wan = place.gateway.lladdr("wan")?;
    let (_lower, address) = place.host("lower", "down", 0x21)?;
    // The gateway's kernel knows the host already, so that nothing keeps it from forwarding.
    ping_once(&place.router, &Ping::new(address), LIMIT)?;
    let mut prober = place.station("prober", "up")?;
    let mut lan = Tester::attach(&place.gateway, "lan")?;
    lan.set_outgoing(true);
    // From an address of the subnet: from others it would not forward.
    let source = host_address(0x51);
    let question = prober.question(address);
    prober.send_packet(&Packet {
        ethernet_destination: wan,
        source,
        destination: address,
        ..question
    })?;
    check(&prober.await_answer(address, LIMIT)?, wan, source);
    lan.expect_none(SILENCE, "a forwarded probe", is_forwarded_discovery)?;
    magpie.stop()?;
    Ok(())
}

pub(crate) fn link_local_probe_meets_no_error() -> Outcome {
    let place = Place::new()?;
    let magpie = place.magpie()?;
    let wan = place.gateway.lladdr("wan")?;
    let (_lower, address) = place.host("lower", "down", 0x21)?;
    ping_once(&place.router, &Ping::new(address), LIMIT)?;
    let mut prober = place.station("prober", "up")?;
    // The gateway's kernel could tell the prober at once what it dislikes.
    place.gateway.add_permanent_neighbor("wan", prober.link_local, prober.lladdr())?;
    prober.ask_at(address, wan)?;
    check(&prober.await_answer(address, LIMIT)?, wan, prober.link_local);
    prober.expect_none(SILENCE, "an error or a second answer", |frame| {
        error_of(frame).is_some() || answer_for(frame, address).is_some()
    })?;
    // An error that came before the answer was passed over.
    prober.ask_at(address, wan)?;
    prober.expect(LIMIT, "an answer, and nothing else before it", |frame| {
        assert_eq!(error_of(frame), None);
        answer_for(frame, address)
    })?;
    magpie.stop()?;
    Ok(())
}

pub(crate) fn first_data_meets_no_redirect() -> Outcome {
    let place = Place::new()?;
    let magpie = place.magpie()?;
    let mut capture = place.capture("first-data")?;
    let (_lower, address) = place.host("lower", "down", 0x21)?;
    ping_once(&place.router, &Ping::new(address), LIMIT)?;
    ping_once(&place.client, &Ping::new(address), LIMIT)?;
    let frames = capture.finish();
    assert!(!frames.iter().any(|(_, frame)| is_redirect(frame)));
    // The gateway's kernel knew where to look for it.
    let wan = place.gateway.lladdr("wan")?;
    let astray = frames.iter().filter_map(|(_, frame)| {
        let packet = frame.packet()?;
        let asks = crate::common::solicited(&packet)? == address;
        (asks && packet.ethernet_source == wan).then_some(packet.destination)
    });
    assert_eq!(astray.collect::<Vec<_>>(), [Ipv6Addr::UNSPECIFIED; 0]);
    magpie.stop()?;
    Ok(())
}

pub(crate) fn gone_host_is_unreachable() -> Outcome {
    let place = Place::new()?;
    place.gateway.set_neigh("lan", "base_reachable_time_ms", 4000)?;
    place.gateway.set_neigh("lan", "delay_first_probe_time", 1)?;
    let magpie = place.magpie()?;
    let (lower, address) = place.host("lower", "down", 0x21)?;
    ping_once(&place.client, &Ping::new(address), LIMIT)?;
    lower.unplug()?;
    await_unreachable(&place, address)?;
    let mut asker = place.station("asker", "up")?;
    asker.ask(address)?;
    asker.expect_none(SILENCE, "an answer", |frame| answer_for(frame, address).is_some())?;
    magpie.stop()?;
    Ok(())
}

pub(crate) fn hop_limit_is_decremented() -> Outcome {
    let place = Place::new()?;
    let magpie = place.magpie()?;
    let (_lower, address) = place.host("lower", "down", 0x21)?;
    ping_once(&place.router, &Ping::new(address), LIMIT)?;
    let result = ping_once(&place.router, &Ping::new(address).hop_limit(1), LIMIT);
    let Err(PingError::Reported { from, kind, code, .. }) = result else {
        return Err(format!("{result:?}").into());
    };
    assert_eq!((from, kind, code), (Place::gateway_address(), 3, 0));
    ping_once(&place.router, &Ping::new(address).hop_limit(2), LIMIT)?;
    magpie.stop()?;
    Ok(())
}

pub(crate) fn guard_lets_the_gateway_live() -> Outcome {
    let place = Place::new()?;
    let gateway = &place.gateway;
    let magpie = place.magpie()?;
    assert!(magpie.status()?.guard.active);
    ping_once(&place.router, &Ping::new(Place::gateway_address()), LIMIT)?;

    // Router Advertisements.
    let options = RouterAdvertiserOptions::new(PREFIX);
    let _advertiser = RouterAdvertiser::start(&place.router, "lan", &options)?;
    let address =
        gateway.wait_addresses("wan", LIMIT, "an address of its own making", |addresses| {
            let made = addresses.iter().find(|found| found.valid_lifetime.is_some())?;
            Some(made.address)
        })?;
    ping_once(&place.router, &Ping::new(address), LIMIT)?;

    // Unicast and multicast solicitations for its own address, and duplicate address detection.
    let mut asker = place.station("asker", "up")?;
    asker.ask(address)?;
    asker.await_answer(address, LIMIT)?;
    asker.ask_at(address, gateway.lladdr("wan")?)?;
    asker.await_answer(address, LIMIT)?;
    asker.probe(address, Some([1, 2, 3, 4, 5, 6]))?;
    let defense =
        asker.expect(LIMIT, "the kernel's defense", |frame| answer_for(frame, address))?;
    assert_eq!(defense.destination, ALL_NODES);

    // A listener query and its report.
    asker.send(&listener_query(asker.lladdr(), asker.link_local))?;
    let us = gateway.lladdr("wan")?;
    asker.expect(LIMIT, "a listener report", |frame| {
        let is_report = frame.bytes.get(6..12) == Some(&us.0[..])
            && frame.bytes.get(14 + 6) == Some(&0)
            && frame.bytes.get(14 + IPV6_LEN + 8) == Some(&LISTENER_REPORT);
        is_report.then_some(())
    })?;
    magpie.stop()?;
    Ok(())
}

pub(crate) fn link_local_data_stays() -> Outcome {
    let place = Place::new()?;
    let magpie = place.magpie()?;
    let wan = place.gateway.lladdr("wan")?;
    let (_lower, address) = place.host("lower", "down", 0x21)?;
    let sender = place.station("sender", "up")?;
    ping_once(&place.router, &Ping::new(address), LIMIT)?;
    let mut lan = Tester::attach(&place.gateway, "lan")?;
    lan.set_outgoing(true);
    sender.send(&echo_request((sender.lladdr(), wan), (sender.link_local, address), 64, 1))?;
    lan.expect_none(SILENCE, "link-local data", |frame| {
        frame.icmpv6().is_some_and(|message| message.source == sender.link_local)
    })?;
    // Data from an address of the subnet takes this way.
    sender.send(&echo_request((sender.lladdr(), wan), (host_address(0x51), address), 64, 2))?;
    lan.expect(LIMIT, "the data", |frame| echo_to(frame, address))?;
    magpie.stop()?;
    Ok(())
}

/// An answer as it has to be (RFC 4861 sections 7.2.4 and 7.2.8).
fn check(answer: &Answer, wan: LinkAddr, destination: Ipv6Addr) {
    assert_eq!((answer.ethernet_source, answer.destination), (wan, destination));
    assert!(answer.advert.solicited && !answer.advert.overrides && !answer.advert.router);
    assert_eq!(answer.advert.target_lladdr, Some(wan));
}

/// Pings until somebody reports that the address cannot be reached.
fn await_unreachable(place: &Place, address: Ipv6Addr) -> Result<(), Box<dyn Error>> {
    let deadline = Instant::now() + UNREACHABLE_LIMIT;
    loop {
        match ping_once(&place.client, &Ping::new(address), Duration::from_secs(1)) {
            Err(PingError::Reported { kind: 1, code: 3, .. }) => return Ok(()),
            Err(PingError::Timeout { .. }) if Instant::now() < deadline => {}
            other => return Err(format!("awaited an error, got {other:?}").into()),
        }
    }
}

/// A general query for listeners (RFC 3810 section 5.1).
fn listener_query(from: LinkAddr, source: Ipv6Addr) -> Vec<u8> {
    let mut message = vec![LISTENER_QUERY, 0, 0, 0];
    // The responses are due within a tenth of a second.
    message.extend_from_slice(&[0, 100, 0, 0]);
    message.extend_from_slice(&[0; 16]);
    message.extend_from_slice(&[2, 125, 0, 0]);
    let sum = checksum(source, ALL_NODES, ICMPV6, &message).to_be_bytes();
    message[2..4].copy_from_slice(&sum);

    let mut frame = multicast_lladdr(ALL_NODES).0.to_vec();
    frame.extend_from_slice(&from.0);
    frame.extend_from_slice(&[0x86, 0xdd, 0x60, 0, 0, 0, 0, 8 + 28, HOP_BY_HOP, 1]);
    frame.extend_from_slice(&source.octets());
    frame.extend_from_slice(&ALL_NODES.octets());
    // A Router Alert for MLD (RFC 2711 section 2.1) and padding.
    frame.extend_from_slice(&[ICMPV6, 0, 5, 2, 0, 0, 1, 0]);
    frame.extend_from_slice(&message);
    frame
}

/// The kernel's own three solicitations, a second apart, and time to lose interest before.
const UNREACHABLE_LIMIT: Duration = Duration::from_secs(60);
const HOP_BY_HOP: u8 = 0;
const ICMPV6: u8 = 58;
const LISTENER_QUERY: u8 = 130;
/// Version 2 (RFC 3810 section 5.2).
const LISTENER_REPORT: u8 = 143;
