//! Hosts that say nothing are found again when their link or their prefix comes back, and what is in
//! the kernel on their behalf can be accounted for.
#![forbid(unsafe_code)]

mod common;

use std::error::Error;
use std::net::Ipv6Addr;
use std::process::{ExitCode, Output};
use std::sync::Arc;
use std::time::{Duration, Instant};

use common::{LIMIT, Magpie, Options, Outcome, Station, ping_until};
use magpie_control::{Client, EventKind, HostRouteState, Watch};
use magpie_sys::netlink::{HostRoute, Route};
use magpie_testnet::{Bridge, Frame, Host, HostOptions, Node, connect};
use magpie_wire::Message;

fn main() -> ExitCode {
    common::run(&[
        ("a_quiet_host_is_found_when_its_prefix_is_back", found_with_its_prefix),
        ("a_quiet_host_is_found_when_its_link_is_made_anew", found_with_its_link),
        ("a_quiet_host_is_found_when_one_of_many_links_is_made_anew", found_with_one_of_many),
        ("every_route_is_accounted_for", every_route_is_accounted_for),
        ("what_somebody_deletes_is_put_back_and_told", what_is_deleted_is_put_back),
        ("a_takeover_is_announced_on_demand", a_takeover_is_announced),
    ])
}

fn found_with_its_prefix() -> Outcome {
    let place = Place::new()?;
    let gateway = &place.gateway;
    gateway.add_address_nodad("wan", own(HOME), 64)?;
    let magpie = Magpie::start(gateway)?;
    place.introduce(&magpie)?;

    // The uplink roams to another network, and back.
    let mut watch = magpie.watch()?;
    gateway.delete_address("wan", own(HOME), 64)?;
    gateway.add_address_nodad("wan", own(ABROAD), 64)?;
    await_quiet(&mut watch, EventKind::HostLost)?;
    assert_eq!(magpie.hosts()?, []);
    gateway.delete_address("wan", own(ABROAD), 64)?;
    gateway.add_address_nodad("wan", own(HOME), 64)?;
    let back = Instant::now();
    await_quiet(&mut watch, EventKind::HostFound)?;
    let found = back.elapsed();
    println!("found {found:?} after the prefix was back");
    assert!(found < FOUND_WITHIN, "found only after {found:?}");
    assert!(place.asker("late")?.resolve(quiet())?.waited < FOUND_WITHIN);
    assert_eq!(magpie.status()?.counters.get("hosts_recalled"), Some(&1));
    magpie.stop()?;
    Ok(())
}

fn found_with_its_link() -> Outcome {
    found_on("wan,lan")
}

fn found_with_one_of_many() -> Outcome {
    found_on("wan,la*")
}

fn found_on(interfaces: &str) -> Outcome {
    let place = Place::new()?;
    let gateway = &place.gateway;
    gateway.add_address_nodad("wan", own(HOME), 64)?;
    let options = Options { interfaces: interfaces.to_owned(), ..Options::default() };
    let magpie = Magpie::start_with(gateway, &options)?;
    place.introduce(&magpie)?;

    let mut watch = magpie.watch()?;
    // Twice in a row, so that it goes again before the host had time to answer.
    for round in ["first", "second"] {
        gateway.delete_link("lan")?;
        connect(&gateway.plug("lan"), &place.switch.plug("gw-lan").bridge("down"))?;
        if round == "first" {
            let ifindex = gateway.ifindex("lan")?;
            await_served(&magpie, &mut watch, ifindex)?;
        }
    }
    gateway.wait_link_local("lan", LIMIT)?;
    let back = Instant::now();
    await_quiet(&mut watch, EventKind::HostFound)?;
    let found = back.elapsed();
    println!("found {found:?} after the link could be used");
    assert!(found < FOUND_WITHIN, "found only after {found:?}");
    ping_until(&place.router, quiet())?;
    magpie.stop()?;
    Ok(())
}

fn every_route_is_accounted_for() -> Outcome {
    let place = Place::new()?;
    let gateway = &place.gateway;
    gateway.add_address_nodad("wan", own(HOME), 64)?;
    // Of an earlier run, for an address in no prefix of the relay; and somebody else's.
    let lan = gateway.ifindex("lan")?;
    let stray = host(ABROAD, 0x66);
    let wan = gateway.ifindex("wan")?;
    gateway.execute("add a route of an earlier run", |batch| {
        batch.replace_host_route(&magpie_route(stray, lan));
    })?;
    gateway.add_route(&Route::on_link(quiet(), 128, wan))?;

    let magpie = Magpie::start(gateway)?;
    let mut watch = magpie.watch()?;
    place.asker("asker")?.ask(quiet())?;
    await_quiet(&mut watch, EventKind::ForeignRoute)?;
    let routes =
        || -> Result<_, Box<dyn Error>> { Ok(Client::connect(&magpie.control())?.routes()?) };
    let found = routes()?;
    let [known, leftover] = found.as_slice() else { panic!("{found:?}") };
    assert_eq!((known.address, known.state), (quiet().into(), HostRouteState::Foreign));
    assert_eq!((known.link.as_str(), known.leads_to.as_deref()), ("lan", Some("wan")));
    let reason = known.host.as_ref().ok_or("a host")?;
    let lladdr = place.lower.lladdr(Host::LINK)?.to_string();
    assert_eq!(
        (reason.evidence.as_str(), reason.lladdr.as_deref()),
        ("advertisement", Some(lladdr.as_str()))
    );
    assert!(reason.confirmed_seconds.is_some_and(|ago| ago <= LIMIT.as_secs()), "{reason:?}");
    assert_eq!((leftover.address, leftover.state), (stray.into(), HostRouteState::Adopted));
    assert_eq!((leftover.table, leftover.metric, leftover.protocol), (254, 1090, 109));
    assert_eq!(leftover.host, None);

    // The other's route goes; ours takes its place.
    gateway.delete_route(&Route::on_link(quiet(), 128, wan))?;
    gateway.wait_routes(LIMIT, "the route of the daemon's", |routes| {
        let ours = |route: &&_| is_ours(route, quiet());
        routes.iter().find(ours).map(drop)
    })?;
    let found = routes()?;
    assert_eq!(
        found.first().map(|route| route.state),
        Some(HostRouteState::Installed),
        "{found:?}"
    );
    magpie.stop()?;
    Ok(())
}

fn what_is_deleted_is_put_back() -> Outcome {
    let place = Place::new()?;
    let gateway = &place.gateway;
    gateway.add_address_nodad("wan", own(HOME), 64)?;
    let magpie = Magpie::start(gateway)?;
    place.introduce(&magpie)?;
    let lan = gateway.ifindex("lan")?;
    let mut watch = magpie.watch()?;
    gateway.execute("delete a route of the daemon's", |batch| {
        batch.delete_host_route(&magpie_route(quiet(), lan));
    })?;
    await_quiet(&mut watch, EventKind::Repaired)?;
    assert!(gateway.routes()?.iter().any(|route| is_ours(route, quiet())));
    assert_eq!(magpie.status()?.counters.get("routes_repaired"), Some(&1));
    magpie.stop()?;
    Ok(())
}

fn a_takeover_is_announced() -> Outcome {
    let place = Place::new()?;
    let gateway = &place.gateway;
    gateway.add_address_nodad("wan", own(HOME), 64)?;
    let magpie = Magpie::start(gateway)?;
    place.introduce(&magpie)?;
    let announce = |arguments: &[&str]| -> Result<Output, Box<dyn Error>> {
        let mut command = Magpie::command(gateway)?;
        command.arg("announce").args(arguments).arg("--control").arg(magpie.control());
        Ok(command.output()?)
    };
    let [mut above, mut below] =
        [place.asker("above")?, Station::new("below", &place.switch, "down")?];
    let output = announce(&["wan"])?;
    let said = String::from_utf8(output.stdout)?;
    assert!(output.status.success(), "{said}");
    // The host, and the gateway's own two addresses there.
    assert_eq!(said, "3 announcements on 1 link, at once\n");
    let lladdr = gateway.lladdr("wan")?;
    let announced = |frame: &Frame, target: Ipv6Addr| {
        let Message::Advert(advert) = frame.packet()?.message else { return None };
        (advert.target == target && !advert.solicited).then_some(advert)
    };
    let advert = above.expect(LIMIT, "the announcement", |frame| announced(frame, quiet()))?;
    assert_eq!((advert.overrides, advert.target_lladdr), (true, Some(lladdr)));
    below.expect_none(Duration::from_millis(200), "an announcement elsewhere", |frame| {
        announced(frame, quiet()).or_else(|| announced(frame, own(HOME))).is_some()
    })?;

    // On the other link, its own address there, and that on the first, which is answered for.
    let said = String::from_utf8(announce(&[])?.stdout)?;
    assert_eq!(said, "5 announcements on 2 links, at once\n");
    below.expect(LIMIT, "the announcement below", |frame| announced(frame, own(HOME)))?;

    for (name, expected) in [("dmz", "there is no link dmz"), ("lan", "lan is not there")] {
        if name == "lan" {
            let mut watch = magpie.watch()?;
            gateway.delete_link("lan")?;
            await_quiet(&mut watch, EventKind::HostLost)?;
        }
        let output = announce(&[name])?;
        let said = String::from_utf8(output.stderr)?;
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains(expected), "{said}");
    }
    magpie.stop()?;
    Ok(())
}

/// The link "wan" with a router, the link "lan" with a host that never says anything unless it is
/// asked, and the gateway between them, which has no address of its own yet but link-local ones.
struct Place {
    switch: Arc<Node>,
    gateway: Node,
    router: Node,
    lower: Host,
}

impl Place {
    fn new() -> Result<Self, Box<dyn Error>> {
        let switch = Arc::new(Node::switch("switch")?);
        for bridge in ["up", "down"] {
            switch.add_bridge(&Bridge::new(bridge))?;
        }
        let router = Node::new("router")?;
        connect(&router.plug("lan"), &switch.plug("router").bridge("up"))?;
        router.add_address_nodad("lan", host(HOME, 1), 64)?;
        let gateway = Node::new("gateway")?;
        gateway.set_forwarding()?;
        for (link, port, bridge) in [("wan", "gw-wan", "up"), ("lan", "gw-lan", "down")] {
            connect(&gateway.plug(link), &switch.plug(port).bridge(bridge))?;
            gateway.wait_link_local(link, LIMIT)?;
        }
        let options = HostOptions { accept_ra: false, ..HostOptions::default() };
        let lower = Host::new("lower", &switch, "down", &options)?;
        lower.add_address_nodad(Host::LINK, quiet(), 64)?;
        Ok(Self { switch, gateway, router, lower })
    }

    fn asker(&self, name: &str) -> Result<Station, Box<dyn Error>> {
        Station::new(name, &self.switch, "up")
    }

    /// Has the quiet host asked for once, so that it is known.
    fn introduce(&self, magpie: &Magpie) -> Outcome {
        self.asker("early")?.resolve(quiet())?;
        magpie.await_host(quiet(), "lan")?;
        Ok(())
    }
}

/// Waits for an event about the quiet host.
fn await_quiet(watch: &mut Watch, kind: EventKind) -> Outcome {
    Magpie::await_event(watch, kind.label(), |event| {
        (event.kind == kind && event.address == Some(quiet().into())).then_some(())
    })
}

/// Waits until a device is served.
fn await_served(magpie: &Magpie, watch: &mut Watch, ifindex: u32) -> Outcome {
    while !magpie.status()?.links.iter().any(|link| link.ifindex == Some(ifindex)) {
        Magpie::await_event(watch, "the link to be served", |event| {
            (event.kind == EventKind::LinkChanged).then_some(())
        })?;
    }
    Ok(())
}

/// A host route as the daemon makes them.
fn magpie_route(destination: Ipv6Addr, oif: u32) -> HostRoute {
    HostRoute { destination, oif, metric: 1090, table: Route::MAIN_TABLE, protocol: 109 }
}

fn is_ours(route: &magpie_sys::netlink::RouteEvent, target: Ipv6Addr) -> bool {
    route.protocol == 109 && route.destination == target
}

fn quiet() -> Ipv6Addr {
    host(HOME, 0x21)
}

fn own(prefix: Ipv6Addr) -> Ipv6Addr {
    host(prefix, 0x10)
}

fn host(prefix: Ipv6Addr, number: u16) -> Ipv6Addr {
    Ipv6Addr::from_bits(prefix.to_bits() | u128::from(number))
}

const HOME: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0xaa, 0, 0, 0, 0, 0);
const ABROAD: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0xbb, 0, 0, 0, 0, 0);
const FOUND_WITHIN: Duration = Duration::from_secs(1);
