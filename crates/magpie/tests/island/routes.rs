//! Host routes in a real kernel: when they come, when they go, and what is left alone.

use std::error::Error;
use std::fs;
use std::net::Ipv6Addr;
use std::time::Duration;

use magpie_control::EventKind;
use magpie_sys::netlink::{Change, Event, HostRoute, LinkChange, Monitor, Route, RouteEvent};
use magpie_testnet::{Frame, Host, Node, Ping, Pinger, ping_once};
use magpie_wire::solicited_node;
use rustix::process::Signal;

use crate::common::{LIMIT, Magpie, Outcome, Station, answer_for, host_address, is_in_group};
use crate::place::{PROTOCOL, Place, SILENCE, await_overrun, burst, echo_to, options};

pub(crate) fn a_host_has_a_route() -> Outcome {
    let place = Place::new()?;
    let impatient = options().with(["-a", "1", "-p", "1", "-r", "1"]);
    let magpie = Magpie::start_with(&place.gateway, &impatient)?;
    let (lower, address) = place.host("lower", "down", 0x21)?;
    ping_once(&place.router, &Ping::new(address), LIMIT)?;
    let lan = place.gateway.ifindex("lan")?;
    let routes = routes_to(&place.gateway, address)?;
    let [route] = routes.as_slice() else { return Err(format!("{routes:?}").into()) };
    assert_eq!((route.protocol, route.prefix_len, route.oif), (PROTOCOL, 128, Some(lan)));
    assert_eq!((route.gateway, route.table), (None, Route::MAIN_TABLE));

    lower.unplug()?;
    place.gateway.wait_routes(LIMIT, "the route to go", |routes| {
        routes.iter().all(|route| route.destination != address).then_some(())
    })?;
    magpie.stop()?;
    Ok(())
}

pub(crate) fn route_before_answer() -> Outcome {
    let place = Place::new()?;
    let magpie = place.magpie()?;
    let (_lower, address) = place.host("lower", "down", 0x21)?;
    let mut asker = place.station("asker", "up")?;
    let mut monitor = place.route_monitor()?;
    asker.ask(address)?;
    asker.await_answer(address, LIMIT)?;
    // What the kernel has announced before the answer left can be read now, without waiting.
    let changes = changes_of(&mut monitor, address)?;
    let [Change::Present(route)] = changes.as_slice() else {
        return Err(format!("at the time of the answer: {changes:?}").into());
    };
    assert_eq!((route.protocol, route.oif), (PROTOCOL, Some(place.gateway.ifindex("lan")?)));
    magpie.stop()?;
    Ok(())
}

pub(crate) fn foreign_route_is_left_alone() -> Outcome {
    let place = Place::new()?;
    let gateway = &place.gateway;
    let address = host_address(0x21);
    let foreign = Route::on_link(address, 128, gateway.ifindex("lab")?);
    gateway.add_route(&foreign)?;
    let before = routes_to(gateway, address)?;
    let magpie = place.magpie()?;
    let mut watch = magpie.watch()?;
    let (_lower, _) = place.host("lower", "down", 0x21)?;
    let mut asker = place.station("asker", "up")?;
    asker.ask(address)?;
    Magpie::await_event(&mut watch, "word of the foreign route", |event| {
        let is_it = event.kind == EventKind::ForeignRoute && event.address == Some(address.into());
        is_it.then_some(())
    })?;
    expect_no_answer(&mut asker, address)?;
    assert_eq!(routes_to(gateway, address)?, before);

    // Its end is the beginning of ours.
    gateway.delete_route(&foreign)?;
    asker.resolve(address)?;
    let routes = routes_to(gateway, address)?;
    assert!(routes.iter().all(|route| route.protocol == PROTOCOL), "{routes:?}");
    magpie.stop()?;
    Ok(())
}

pub(crate) fn last_of_two_foreign_routes_counts() -> Outcome {
    let place = Place::new()?;
    let gateway = &place.gateway;
    let address = host_address(0x21);
    let lab = gateway.ifindex("lab")?;
    let near = Route::on_link(address, 128, lab);
    let far = Route { metric: 2048, ..near };
    for foreign in [&near, &far] {
        gateway.add_route(foreign)?;
    }
    let magpie = place.magpie()?;
    let (_lower, _) = place.host("lower", "down", 0x21)?;
    let mut asker = place.station("asker", "up")?;
    gateway.delete_route(&near)?;
    asker.ask(address)?;
    expect_no_answer(&mut asker, address)?;
    assert!(routes_to(gateway, address)?.iter().all(|route| route.protocol != PROTOCOL));

    // One that replaces another is the last one, without the other's end having been announced.
    let wan = Route { oif: Some(gateway.ifindex("wan")?), ..far };
    gateway.execute("replace a route", |batch| {
        batch.replace_route(&wan);
    })?;
    gateway.delete_route(&wan)?;
    asker.resolve(address)?;
    magpie.stop()?;
    Ok(())
}

pub(crate) fn link_that_was_down_serves_again() -> Outcome {
    let place = Place::new()?;
    let magpie = place.magpie()?;
    let (_lower, address) = place.host("lower", "down", 0x21)?;
    let pinger = Pinger::start(&place.router, &Ping::new(address), Duration::from_millis(100))?;
    pinger.wait_reply(LIMIT)?;
    place.gateway.set_down("lan")?;
    place.gateway.wait_routes(LIMIT, "the kernel to remove the route", |routes| {
        let is_ours =
            |route: &RouteEvent| route.destination == address && route.protocol == PROTOCOL;
        (!routes.iter().any(is_ours)).then_some(())
    })?;
    place.gateway.set_up("lan")?;
    pinger.wait_reply(LIMIT)?;
    let routes = routes_to(&place.gateway, address)?;
    assert!(routes.iter().any(|route| route.protocol == PROTOCOL), "{routes:?}");
    magpie.stop()?;
    Ok(())
}

pub(crate) fn routes_that_went_in_silence_are_made_again() -> Outcome {
    let place = Place::new()?;
    {
        let _entered = place.gateway.enter()?;
        fs::write("/proc/sys/net/ipv6/route/skip_notify_on_dev_down", "1")?;
    }
    let magpie = place.magpie()?;
    let (_lower, address) = place.host("lower", "down", 0x21)?;
    let pinger = Pinger::start(&place.router, &Ping::new(address), Duration::from_millis(100))?;
    pinger.wait_reply(LIMIT)?;
    magpie.await_host(address, "lan")?;
    let mut watch = magpie.watch()?;
    place.gateway.set_down("lan")?;
    await_link(&mut watch, "lan", "down")?;
    assert_eq!(routes_to(&place.gateway, address)?, []);
    place.gateway.set_up("lan")?;
    pinger.wait_reply(LIMIT)?;
    magpie.stop()?;
    Ok(())
}

pub(crate) fn no_promise_without_carrier() -> Outcome {
    let place = Place::new()?;
    let magpie = place.magpie()?;
    let (_lower, address) = place.host("lower", "down", 0x21)?;
    let mut asker = place.station("asker", "up")?;
    asker.resolve(address)?;

    let mut watch = magpie.watch()?;
    place.switch.set_down("gw-lan")?;
    await_link(&mut watch, "lan", "no-carrier")?;
    asker.clear()?;
    asker.ask(address)?;
    expect_no_answer(&mut asker, address)?;

    place.switch.set_up("gw-lan")?;
    await_link(&mut watch, "lan", "up")?;
    asker.resolve(address)?;
    ping_once(&place.router, &Ping::new(address), LIMIT)?;
    magpie.stop()?;
    Ok(())
}

pub(crate) fn move_is_one_replacement() -> Outcome {
    let place = Place::new()?;
    let magpie = place.magpie()?;
    let (mut roamer, address) = place.host("roamer", "down", 0x21)?;
    ping_once(&roamer, &Ping::new(Place::router_address()), LIMIT)?;
    ping_once(&place.router, &Ping::new(address), LIMIT)?;
    magpie.await_host(address, "lan")?;
    let mut left_behind = place.station("left-behind", "down")?;
    let mut monitor = place.route_monitor()?;
    let mut watch = magpie.watch()?;

    roamer.move_to(&place.switch, "side")?;
    // It asks for its router anew, as hosts do that have noticed a new link.
    roamer.flush_neighbors(Host::LINK)?;
    let pinger = Pinger::start(&roamer, &Ping::new(Place::router_address()), QUICK)?;
    let word_of_it = |frame: &Frame| {
        let answer = answer_for(frame, address)?;
        (answer.advert.overrides && !answer.advert.solicited).then_some(())
    };
    Magpie::await_move(&mut watch, address, "lab")?;
    // NAO-13: within a second of the move's being verified.
    left_behind.expect(Duration::from_secs(1), "word of the move", word_of_it)?;
    let changes = changes_of(&mut monitor, address)?;
    let [Change::Present(route)] = changes.as_slice() else {
        return Err(format!("the move was {changes:?}").into());
    };
    assert_eq!((route.protocol, route.oif), (PROTOCOL, Some(place.gateway.ifindex("lab")?)));
    pinger.wait_reply(LIMIT)?;
    let routes = routes_to(&place.gateway, address)?;
    assert_eq!(routes.len(), 1, "{routes:?}");
    // And not more than three times, a second apart.
    let others = left_behind.collect(SILENCE)?;
    let again = others.iter().filter(|frame| word_of_it(frame).is_some()).count();
    assert!(again < 3, "it was told {} times", again + 1);
    magpie.stop()?;
    Ok(())
}

pub(crate) fn lost_notifications() -> Outcome {
    let place = Place::new()?;
    let gateway = &place.gateway;
    let magpie = place.magpie()?;
    let (_lower, address) = place.host("lower", "down", 0x21)?;
    ping_once(&place.router, &Ping::new(address), LIMIT)?;
    let host = magpie.await_host(address, "lan")?;
    assert_eq!(host.route.label(), "installed");
    let lan = gateway.ifindex("lan")?;

    // While it cannot listen, more happens than any buffer holds: first what is of no concern,
    // then what is.
    magpie.signal(Signal::STOP)?;
    burst(gateway)?;
    let own = HostRoute {
        destination: address,
        oif: lan,
        metric: OUR_METRIC,
        table: Route::MAIN_TABLE,
        protocol: PROTOCOL,
    };
    gateway.delete_route(&own.into())?;
    let late = host_address(0x12);
    gateway.add_address_nodad("lan", late, 64)?;
    magpie.signal(Signal::CONT)?;

    await_overrun(&magpie, 0)?;
    gateway.wait_routes(LIMIT, "the lost route to come back", |routes| {
        let is_it = |route: &RouteEvent| route.destination == address && route.protocol == PROTOCOL;
        routes.iter().any(is_it).then_some(())
    })?;
    let mut asker = place.station("asker", "up")?;
    // An address of the gateway's own, of which only the dump has told.
    let answer = asker.resolve(late)?;
    assert!(answer.advert.router, "{answer:?}");
    assert!(
        magpie.hosts()?.iter().all(|host| host.address != late),
        "the gateway's own address is no host"
    );
    magpie.stop()?;
    Ok(())
}

pub(crate) fn forgotten_groups() -> Outcome {
    let place = Place::new()?;
    let gateway = &place.gateway;
    let magpie = place.magpie()?;
    let (_lower, address) = place.host("lower", "down", 0xab_21)?;
    let (_upper, other) = place.host("upper", "up", 0xcd_11)?;
    let mut asker = place.station("asker", "up")?;
    asker.resolve(address)?;
    magpie.await_host(address, "lan")?;
    ping_once(&place.router, &Ping::new(address), LIMIT)?;
    let mut below = place.station("below", "down")?;
    below.resolve(other)?;
    magpie.await_host(other, "wan")?;
    let group = solicited_node(other);
    assert!(is_in_group(gateway, "lan", group)?, "it was never joined");

    // Without IPv6 a device is in no groups, and nothing tells that it ever was without.
    let mut watch = magpie.watch()?;
    magpie.signal(Signal::STOP)?;
    burst(gateway)?;
    for mtu in [1200, 1500] {
        gateway.set_link("lan", &LinkChange { mtu: Some(mtu), ..LinkChange::default() })?;
    }
    assert!(!is_in_group(gateway, "lan", group)?, "the kernel has kept it");
    magpie.signal(Signal::CONT)?;
    let told = Magpie::await_event(&mut watch, "the groups to be joined again", |event| {
        let is_it = event.kind == EventKind::Repaired && event.link.as_deref() == Some("lan");
        let told = event.detail.clone().filter(|_| is_it)?;
        told.contains("multicast groups").then_some(told)
    })?;
    await_overrun(&magpie, 0)?;
    assert!(is_in_group(gateway, "lan", group)?, "{told}");
    let restored = magpie.status()?.counters.get("groups_restored").copied();
    assert!(restored.is_some_and(|count| told.starts_with(&count.to_string())), "{told}");
    below.resolve(other)?;

    // What was joined again is left like anything else.
    magpie.stop()?;
    assert!(!is_in_group(gateway, "lan", group)?);
    Ok(())
}

pub(crate) fn no_loop() -> Outcome {
    let place = Place::new()?;
    let impatient = options().with(["-a", "1", "-p", "1", "-r", "1"]);
    let magpie = Magpie::start_with(&place.gateway, &impatient)?;
    let (lower, address) = place.host("lower", "down", 0x21)?;
    ping_once(&place.client, &Ping::new(address), LIMIT)?;
    magpie.await_host(address, "lan")?;
    place.router.add_permanent_neighbor("lan", address, place.gateway.lladdr("wan")?)?;
    lower.unplug()?;
    place.gateway.wait_routes(LIMIT, "the route to go", |routes| {
        routes.iter().all(|route| route.destination != address).then_some(())
    })?;

    let mut capture = place.capture("loop")?;
    let pinger = Pinger::start(&place.client, &Ping::new(address), QUICK)?;
    let mut observer = place.station("observer", "up")?;
    expect_no_answer(&mut observer, address)?;
    let sent = pinger.stop().probes.len();
    let frames = capture.finish();
    let copies = |link: usize| {
        frames.iter().filter(|(at, frame)| *at == link && echo_to(frame, address).is_some()).count()
    };
    assert!(copies(0) <= sent, "{} copies of {sent} upstream", copies(0));
    assert_eq!((copies(1), copies(2)), (0, 0));
    assert!(copies(0) > 0, "nothing was sent");
    magpie.stop()?;
    Ok(())
}

fn expect_no_answer(asker: &mut Station, target: Ipv6Addr) -> Outcome {
    Ok(asker.expect_none(SILENCE, "an answer", |frame| answer_for(frame, target).is_some())?)
}

fn routes_to(node: &Node, address: Ipv6Addr) -> Result<Vec<RouteEvent>, Box<dyn Error>> {
    let mut routes = node.routes()?;
    routes.retain(|route| route.destination == address && route.prefix_len == 128);
    Ok(routes)
}

/// What the kernel has announced about routes to an address.
fn changes_of(
    monitor: &mut Monitor,
    address: Ipv6Addr,
) -> Result<Vec<Change<RouteEvent>>, Box<dyn Error>> {
    let mut changes = Vec::new();
    let mut note = |event| {
        if let Event::Route(change) = event
            && change.value().destination == address
        {
            changes.push(change);
        }
    };
    while monitor.read(&mut note)? > 0 {}
    Ok(changes)
}

fn await_link(watch: &mut magpie_control::Watch, link: &str, state: &str) -> Outcome {
    Magpie::await_event(watch, &format!("{link} to be {state}"), |event| {
        let is_it = event.kind == EventKind::LinkChanged
            && event.link.as_deref() == Some(link)
            && event.detail.as_deref() == Some(state);
        is_it.then_some(())
    })
}

const QUICK: Duration = Duration::from_millis(100);
const OUR_METRIC: u32 = 1090;
