//! Ends of the daemon, orderly and not, and what the next one makes of them.

use std::collections::BTreeSet;
use std::error::Error;
use std::time::Duration;

use magpie_control::EventKind;
use magpie_sys::netlink::{Event, Route, RouteEvent};
use magpie_testnet::{Ping, Pinger, RouterAdvertiser, RouterAdvertiserOptions, ping_once};
use magpie_wire::Message;
use rustix::process::Signal;

use crate::common::{
    Folder, LIMIT, Magpie, Options, Outcome, PREFIX, answer_for, host_address, solicited,
};
use crate::place::{Place, SILENCE, options};

pub(crate) fn kill_nine_under_traffic() -> Outcome {
    let place = Place::new()?;
    let (_lower, address) = place.host("lower", "down", 0x21)?;
    place.router.add_permanent_neighbor("lan", address, place.gateway.lladdr("wan")?)?;
    let lan = place.gateway.ifindex("lan")?;
    let foreign = Route::on_link(host_address(0x77), 128, lan);
    place.gateway.add_route(&foreign)?;
    let magpie = place.magpie()?;
    let pinger = Pinger::start(&place.router, &Ping::new(address), PING_INTERVAL)?;
    pinger.wait_reply(LIMIT)?;
    magpie.await_host(address, "lan")?;

    let before = place.host_routes()?;
    assert!(before.iter().any(|route| route.destination == address), "{before:?}");
    let mut monitor = place.route_monitor()?;
    magpie.kill()?;
    pinger.wait_reply(LIMIT)?;
    let magpie = place.magpie()?;
    await_confirmed(&magpie, address)?;
    pinger.wait_reply(LIMIT)?;
    let report = pinger.stop();
    let outage = report.longest_outage();
    assert!(outage <= RESUMED_WITHIN, "{outage:?} without replies");

    let mut changes = Vec::new();
    while monitor.read(|event| changes.push(event))? > 0 {}
    let concerns = |event: &Event| match event {
        Event::Route(change) => {
            let route = change.value();
            route.destination == foreign.destination
                || before.iter().any(|known| known.destination == route.destination)
        }
        _ => true,
    };
    changes.retain(concerns);
    assert_eq!(changes, [], "routes of live hosts and of others stay as they are");
    assert!(before.iter().all(|route| place.host_routes().is_ok_and(|now| now.contains(route))));
    magpie.stop()?;
    assert!(place.gateway.routes()?.iter().any(|route| route.destination == foreign.destination));
    Ok(())
}

pub(crate) fn warm_upstream_without_state() -> Outcome {
    warm_upstream(&options())
}

pub(crate) fn warm_upstream_with_state() -> Outcome {
    let folder = Folder::new()?;
    warm_upstream(&options().with(["-f", &folder.path("routes.json").to_string_lossy()]))
}

/// The upstream router never asks for the host again, since it knows the answer for good: the data
/// itself has to lead to the host.
fn warm_upstream(options: &Options) -> Outcome {
    let place = Place::new()?;
    let (_lower, address) = place.host("lower", "down", 0x21)?;
    place.router.add_permanent_neighbor("lan", address, place.gateway.lladdr("wan")?)?;
    let magpie = Magpie::start_with(&place.gateway, options)?;
    let pinger = Pinger::start(&place.client, &Ping::new(address), PING_INTERVAL)?;
    pinger.wait_reply(LIMIT)?;
    magpie.await_host(address, "lan")?;
    magpie.stop()?;
    assert_eq!(place.host_routes()?, []);

    let magpie = Magpie::start_with(&place.gateway, options)?;
    let resumed = pinger.wait_reply(LIMIT)?;
    assert!(resumed <= RESUMED_WITHIN, "resumed after {resumed:?}");
    magpie.await_host(address, "lan")?;
    magpie.stop()?;
    Ok(())
}

/// Nobody has ever heard of the host, which says nothing unless it is asked; and the upstream router
/// does not ask. Once with a daemon that knows nothing yet, and once after a crash that left nothing
/// to begin with.
pub(crate) fn host_that_only_waited() -> Outcome {
    let place = Place::new()?;
    let (_lower, address) = place.host("lower", "down", 0x21)?;
    place.router.add_permanent_neighbor("lan", address, place.gateway.lladdr("wan")?)?;
    for round in ["first", "after a crash"] {
        let magpie = place.magpie()?;
        assert_eq!(magpie.hosts()?, [], "{round}");
        let pinger = Pinger::start(&place.client, &Ping::new(address), PING_INTERVAL)?;
        let found = pinger.wait_reply(LIMIT)?;
        assert!(found <= RESUMED_WITHIN, "{round}: found after {found:?}");
        println!("{round}: found {found:?} after the first packet for it");
        magpie.await_host(address, "lan")?;
        drop(pinger);
        magpie.kill()?;
        for route in place.host_routes()? {
            let wanted = Route {
                metric: route.metric,
                protocol: route.protocol,
                ..Route::on_link(route.destination, 128, route.oif.unwrap_or_default())
            };
            place.gateway.delete_route(&wanted)?;
        }
        // What the gateway's own kernel knew of it would be as good as a route.
        for link in ["wan", "lan", "lab"] {
            place.gateway.flush_neighbors(link)?;
        }
        assert_eq!(place.host_routes()?, []);
    }
    Ok(())
}

pub(crate) fn waiting_frames_are_dropped() -> Outcome {
    let place = Place::new()?;
    let magpie = place.magpie()?;
    let (_lower, address) = place.host("lower", "down", 0x21)?;
    let mut asker = place.station("asker", "up")?;
    asker.resolve(address)?;
    // Whoever looks for somebody has deadlines, which are missed now.
    asker.ask(host_address(0x99))?;
    let mut below = place.station("below", "down")?;
    below.await_question(host_address(0x99))?;
    magpie.signal(Signal::STOP)?;
    asker.ask(address)?;
    asker.collect(PAUSE)?;
    magpie.signal(Signal::CONT)?;
    asker.expect_none(SILENCE, "an answer to an old question", |frame| {
        answer_for(frame, address).is_some()
    })?;
    asker.resolve(address)?;
    magpie.stop()?;
    Ok(())
}

pub(crate) fn sigterm_leaves_nothing_behind() -> Outcome {
    let place = Place::new()?;
    let gateway = &place.gateway;
    let advertiser_options = RouterAdvertiserOptions::new(PREFIX);
    let _advertiser = RouterAdvertiser::start(&place.router, "lan", &advertiser_options)?;
    gateway.wait_addresses("wan", LIMIT, "an address of its own making", |addresses| {
        addresses.iter().find(|found| found.valid_lifetime.is_some()).map(drop)
    })?;
    gateway.set_conf("wan", "accept_ra", 1)?;
    let wan = gateway.lladdr("wan")?;
    let foreign = Route::on_link(host_address(0x77), 128, gateway.ifindex("lan")?);
    gateway.add_route(&foreign)?;
    let groups = groups(&place)?;
    let routes = routes(&place)?;
    let mut observers = [place.station("above", "up")?, place.station("below", "down")?];

    let mut magpie = Magpie::start_with(gateway, &options().with(["--fix"]))?;
    let control = magpie.control();
    let (_lower, address) = place.host("lower", "down", 0x21)?;
    ping_once(&place.router, &Ping::new(address), LIMIT)?;
    magpie.await_host(address, "lan")?;
    assert_eq!(gateway.conf("wan", "accept_ra")?, "2");
    assert!(self::groups(&place)?.is_superset(&groups));
    assert_ne!(self::groups(&place)?, groups);
    for observer in &mut observers {
        observer.expect(LIMIT, "a Multicast Router Advertisement", |frame| {
            let message = frame.packet()?.message;
            matches!(message, Message::MulticastRouterAdvert(_)).then_some(())
        })?;
    }

    magpie.signal(Signal::TERM)?;
    assert_eq!(magpie.wait()?.code(), Some(0), "{}", magpie.log());
    for observer in &mut observers {
        observer.expect(LIMIT, "a Multicast Router Termination", |frame| {
            (frame.packet()?.message == Message::MulticastRouterTermination).then_some(())
        })?;
    }
    assert_eq!(self::routes(&place)?, routes);
    assert_eq!(self::groups(&place)?, groups);
    // With its packet sockets went all-multicast, which the kernel counts by socket.
    assert_eq!(place.proc_net("packet")?.lines().count(), 1);
    assert!(!control.exists());
    assert_eq!(gateway.conf("wan", "accept_ra")?, "1");

    // The guard is gone: the kernel takes a probe for another host for its own business, and looks
    // for that host in order to forward the probe.
    let [prober, _] = &mut observers;
    prober.clear()?;
    prober.ask_at(address, wan)?;
    prober.expect(LIMIT, "the kernel to act on the probe", |frame| {
        let packet = frame.packet()?;
        let asks = solicited(&packet)? == address && packet.ethernet_source == wan;
        asks.then_some(())
    })?;
    Ok(())
}

/// Waits until the daemon has heard from the host itself.
fn await_confirmed(magpie: &Magpie, address: std::net::Ipv6Addr) -> Outcome {
    let mut watch = magpie.watch()?;
    let is_confirmed = magpie
        .hosts()?
        .iter()
        .any(|host| host.address == address && host.state == magpie_control::HostState::Reachable);
    if is_confirmed {
        return Ok(());
    }
    Magpie::await_event(&mut watch, "the host to be found", |event| {
        let is_it = event.kind == EventKind::HostFound && event.address == Some(address.into());
        is_it.then_some(())
    })
}

/// Links and groups of the gateway's memberships.
fn groups(place: &Place) -> Result<BTreeSet<(String, String)>, Box<dyn Error>> {
    let memberships = place.proc_net("igmp6")?;
    let group = |line: &str| {
        let mut fields = line.split_whitespace().skip(1).map(str::to_owned);
        Some((fields.next()?, fields.next()?))
    };
    Ok(memberships.lines().filter_map(group).collect())
}

/// The gateway's routes that its kernel has not made by itself.
fn routes(place: &Place) -> Result<Vec<RouteEvent>, Box<dyn Error>> {
    let mut routes = place.gateway.routes()?;
    routes.retain(|route| route.protocol != KERNEL);
    routes.sort_by_key(|route| (route.destination, route.gateway));
    Ok(routes)
}

const PING_INTERVAL: Duration = Duration::from_millis(50);
/// `RTPROT_KERNEL`.
const KERNEL: u8 = 2;
const RESUMED_WITHIN: Duration = Duration::from_secs(3);
/// Longer than deadlines may be missed by while nothing has to be thought wrong.
const PAUSE: Duration = Duration::from_secs(5);
