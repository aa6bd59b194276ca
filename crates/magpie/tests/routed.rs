//! The gateway's own routes decide who is answered for: containers, tunnels and virtual machines
//! are there for neighbors as soon as they are there for the kernel, and gone as soon.
#![forbid(unsafe_code)]

mod common;

use std::error::Error;
use std::fs;
use std::net::Ipv6Addr;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use common::{Folder, LIMIT, Magpie, Outcome, Station, address, answer_for, ping_until};
use magpie_sys::netlink::{Route, RouteKind};
use magpie_testnet::{Bridge, Host, HostOptions, Node, connect};
use magpie_wire::ALL_NODES;

fn main() -> ExitCode {
    common::run(&[
        ("containers_follow_their_bridge_s_route", containers),
        ("tunnel_clients_follow_their_routes", tunnel_clients),
        ("virtual_machines_follow_their_routes", virtual_machines),
        ("routes_of_others_do_not_slow_it_down", among_other_routes),
        ("a_tunnel_that_ends_takes_its_clients_along", tunnel_that_ends),
        ("routes_that_lead_nowhere_else_are_not_answered_for", nowhere_else),
    ])
}

/// Docker: a bridge in the gateway, with containers on it that have a /112.
fn containers() -> Outcome {
    let mut place = Place::new()?;
    place.gateway.add_bridge(&Bridge::new("docker0"))?;
    let inside = place.gateway.wait_link_local("docker0", LIMIT)?;
    let container = Node::new("container")?;
    container.set_conf("default", "accept_dad", 0)?;
    let plug = place.gateway.plug("veth0").bridge("docker0");
    connect(&container.plug("eth0"), &plug)?;
    let target = address("2001:db8:7::d:2");
    container.add_address_nodad("eth0", target, 112)?;
    container.wait_link_local("eth0", LIMIT)?;
    container.add_default_route("eth0", inside)?;

    let oif = place.gateway.ifindex("docker0")?;
    let route = Route::on_link(address("2001:db8:7::d:0"), 112, oif);
    let magpie = place.magpie()?;
    place.measure("a container's /112", &route, target)?;
    place.gateway.add_route(&route)?;
    ping_until(&place.upper, target)?;
    magpie.stop()?;
    Ok(())
}

/// A VPN: a device without link-layer addresses, and a /128 for each client.
fn tunnel_clients() -> Outcome {
    let mut place = Place::new()?;
    let _tunnel = place.gateway.add_tun("wg0")?;
    let target = address("2001:db8:7::e:5");
    let route = Route::on_link(target, 128, place.gateway.ifindex("wg0")?);
    let magpie = place.magpie()?;
    place.measure("a tunnel client's /128", &route, target)?;

    // Nobody on the link may take the client's address, and only the client's.
    place.gateway.add_route(&route)?;
    let wider = Route::on_link(address("2001:db8:7::ee:0"), 112, place.gateway.ifindex("wg0")?);
    place.gateway.add_route(&wider)?;
    let other = address("2001:db8:7::ee:1");
    place.asker.resolve(other)?;
    place.asker.probe(other, None)?;
    place.asker.probe(target, None)?;
    let defense = place.asker.expect(LIMIT, "a defense of the client's address", |frame| {
        let told = answer_for(frame, target).or_else(|| answer_for(frame, other))?;
        (told.destination == ALL_NODES).then_some(told)
    })?;
    assert_eq!(defense.advert.target, target);
    magpie.stop()?;
    Ok(())
}

/// A hypervisor: a link for each virtual machine, which is the router to its own /128.
fn virtual_machines() -> Outcome {
    let mut place = Place::new()?;
    let machine = Node::new("machine")?;
    machine.set_conf("default", "accept_dad", 0)?;
    connect(&machine.plug("eth0"), &place.gateway.plug("tap0"))?;
    let inner = machine.wait_link_local("eth0", LIMIT)?;
    let outer = place.gateway.wait_link_local("tap0", LIMIT)?;
    let target = address("2001:db8:7::f:5");
    machine.add_address_nodad("lo", target, 128)?;
    machine.add_default_route("eth0", outer)?;

    let route = Route::on_link(target, 128, place.gateway.ifindex("tap0")?);
    let route = Route { gateway: Some(inner), ..route };
    let magpie = place.magpie()?;
    place.measure("a virtual machine's /128", &route, target)?;
    place.gateway.add_route(&route)?;
    ping_until(&place.upper, target)?;
    magpie.stop()?;
    Ok(())
}

/// A hundred other clients come and go ten times a second.
fn among_other_routes() -> Outcome {
    let mut place = Place::new()?;
    let _inside = place.connect_inside()?;
    let oif = place.gateway.ifindex("inside")?;
    let target = address("2001:db8:7::e:5");
    let route = Route::on_link(target, 128, oif);
    let others = (0..100).map(|number| Ipv6Addr::new(0x2001, 0xdb8, 7, 0, 0, 0, 0xa, number));
    let others: Vec<_> = others.map(|address| Route::on_link(address, 128, oif)).collect();
    let magpie = place.magpie()?;

    let gateway = Arc::clone(&place.gateway);
    let (stop, stopped) = mpsc::channel::<()>();
    let flapping = thread::spawn(move || -> Result<u32, magpie_testnet::Error> {
        let mut times = 0;
        while stopped.recv_timeout(Duration::from_millis(50)) == Err(RecvTimeoutError::Timeout) {
            gateway.execute("flap routes", |batch| {
                for route in &others {
                    if times % 2 == 0 {
                        batch.add_route(route);
                    } else {
                        batch.delete_route(route);
                    }
                }
            })?;
            times += 1;
        }
        Ok(times)
    });
    let result = place.measure("a /128 among others that flap", &route, target);
    drop(stop);
    let times = flapping.join().map_err(|_| "the thread panicked")??;
    result?;
    assert!(times > 10, "the others flapped {times} times");
    magpie.stop()?;
    Ok(())
}

fn tunnel_that_ends() -> Outcome {
    let mut place = Place::new()?;
    let target = address("2001:db8:7::e:5");
    let magpie = place.magpie()?;
    for _ in 0..2 {
        let tunnel = place.gateway.add_tun("wg0")?;
        let route = Route::on_link(target, 128, place.gateway.ifindex("wg0")?);
        place.gateway.add_route(&route)?;
        place.asker.resolve(target)?;
        let ended = now();
        drop(tunnel);
        let silent = place.until_silent(target, ended)?;
        assert!(silent < GENEROUS, "still answered after {silent:?}");
    }
    magpie.stop()?;
    Ok(())
}

fn nowhere_else() -> Outcome {
    let mut place = Place::new()?;
    let _inside = place.connect_inside()?;
    let (wan, inside) = (place.gateway.ifindex("wan")?, place.gateway.ifindex("inside")?);
    let magpie = place.magpie()?;
    let back = address("2001:db8:7::b:1");
    let behind = Route::on_link(address("2001:db8:7::b:2"), 128, wan);
    let dead_end = |number, kind| {
        let address = Ipv6Addr::new(0x2001, 0xdb8, 7, 0, 0, 0, 0xb, number);
        Route { oif: None, kind, ..Route::on_link(address, 128, 0) }
    };
    let routes = [
        Route::on_link(back, 128, wan),
        Route { gateway: Some(Place::upper_address()), ..behind },
        dead_end(3, RouteKind::BLACKHOLE),
        dead_end(4, RouteKind::UNREACHABLE),
        dead_end(5, RouteKind::PROHIBIT),
        // The second rule's prefix: its own dead end, inside of what another device has.
        Route::on_link(address("2001:db8:8::"), 64, inside),
        Route { destination: address("2001:db8:8::6"), ..dead_end(6, RouteKind::BLACKHOLE) },
    ];
    for route in &routes {
        place.gateway.add_route(route)?;
    }
    let mut silent: Vec<_> = routes.iter().map(|route| route.destination).collect();
    silent.retain(|target| *target != address("2001:db8:8::"));
    // Only the asking link's own prefix, and only the default route.
    silent.extend([address("2001:db8:7::b:7"), address("2001:db8:9::7"), address("2001:db8:a::7")]);
    place.asker.expect_answers(&[address("2001:db8:8::7")], &silent)?;

    // Wherever the default route leads.
    let default = Route::on_link(Ipv6Addr::UNSPECIFIED, 0, inside);
    place.gateway.add_route(&Route { metric: 1, ..default })?;
    place.asker.expect_answers(&[address("2001:db8:8::8")], &[address("2001:db8:9::7")])?;
    magpie.stop()?;
    Ok(())
}

/// The link "wan" with a neighbor and somebody who asks by hand, and the gateway.
struct Place {
    gateway: Arc<Node>,
    asker: Station,
    upper: Host,
    _switch: Arc<Node>,
}

const CONFIG: &str = r#"
[[responder]]
links = ["wan"]
[[responder.rule]]
prefix = "2001:db8:7::/64"
method = "route"
[[responder.rule]]
prefix = "2001:db8:8::/64"
method = "route"
[[responder.rule]]
prefix = "2001:db8:9::/64"
method = "route"
"#;

impl Place {
    fn new() -> Result<Self, Box<dyn Error>> {
        let switch = Arc::new(Node::switch("switch")?);
        switch.add_bridge(&Bridge::new("up"))?;
        let gateway = Node::new("gateway")?;
        gateway.set_conf("default", "accept_dad", 0)?;
        gateway.set_conf("default", "router_solicitations", 0)?;
        gateway.set_forwarding()?;
        connect(&gateway.plug("wan"), &switch.plug("gw-wan").bridge("up"))?;
        gateway.wait_link_local("wan", LIMIT)?;
        gateway.add_address_nodad("wan", address("2001:db8:7::10"), 64)?;
        gateway.add_default_route("wan", Self::upper_address())?;

        let options = HostOptions { accept_ra: false, ..HostOptions::default() };
        let upper = Host::new("upper", &switch, "up", &options)?;
        upper.add_address_nodad(Host::LINK, Self::upper_address(), 64)?;
        let asker = Station::new("asker", &switch, "up")?;
        Ok(Self { gateway: Arc::new(gateway), asker, upper, _switch: switch })
    }

    /// Adds a link "inside" to the gateway, to a node of which nothing more is needed.
    fn connect_inside(&self) -> Result<Node, Box<dyn Error>> {
        let inside = Node::switch("inside")?;
        connect(&inside.plug("eth0"), &self.gateway.plug("inside"))?;
        Ok(inside)
    }

    fn upper_address() -> Ipv6Addr {
        address("2001:db8:7::1")
    }

    fn magpie(&self) -> Result<Magpie, Box<dyn Error>> {
        let folder = Folder::new()?;
        let file = folder.path("magpie.toml");
        fs::write(&file, CONFIG)?;
        Magpie::run(&self.gateway, ["-c".as_ref(), file.as_os_str()])
    }

    /// Lets the route appear and disappear three times while the target is asked for all the time.
    /// The first answer and the last one have to follow soon, and very soon at best.
    fn measure(&mut self, what: &str, route: &Route, target: Ipv6Addr) -> Outcome {
        let mut best = [GENEROUS; 2];
        for round in 1..=ROUNDS {
            self.asker.clear()?;
            let start = now();
            let early = self.ask_until(target, BEFORE, |_| false)?;
            if !early.is_empty() {
                return Err(format!("answered for {target} without a route").into());
            }
            assert!(now().saturating_sub(start) >= BEFORE);

            self.gateway.add_route(route)?;
            let added = now();
            let answers = self.ask_until(target, GENEROUS, |_| true)?;
            let first = answers
                .first()
                .ok_or_else(|| format!("{what}: not answered for {target} within {GENEROUS:?}"))?;
            let answered = first.saturating_sub(added);
            let still = self.ask_until(target, GENEROUS, |_| true)?;
            assert!(!still.is_empty(), "answered for once, and no more");

            self.gateway.delete_route(route)?;
            let silent = self.until_silent(target, now())?;
            println!("{what}, round {round}: answered after {answered:?}, silent after {silent:?}");
            for (best, this) in best.iter_mut().zip([answered, silent]) {
                assert!(this < GENEROUS, "{what}: it took {this:?}");
                *best = this.min(*best);
            }
        }
        let [answered, silent] = best;
        assert!(answered < AT_ONCE, "{what}: at best it took {answered:?} to answer");
        assert!(silent < AT_ONCE, "{what}: at best it took {silent:?} to be silent");
        Ok(())
    }

    /// Asks all the time until nobody answers any more; how long after `since` the last answer came.
    fn until_silent(
        &mut self,
        target: Ipv6Addr,
        since: Duration,
    ) -> Result<Duration, Box<dyn Error>> {
        let mut last = Duration::ZERO;
        while let Some(&answer) = self.ask_until(target, BEFORE, |_| true)?.last() {
            last = answer.saturating_sub(since);
            if last > GENEROUS {
                return Err(format!("{target} is still answered for after {last:?}").into());
            }
        }
        Ok(last)
    }

    /// Asks every few milliseconds until `enough` says so of an answer or the time is over. Returns
    /// when answers came, since 1970.
    fn ask_until(
        &mut self,
        target: Ipv6Addr,
        time: Duration,
        enough: impl Fn(Duration) -> bool,
    ) -> Result<Vec<Duration>, Box<dyn Error>> {
        let deadline = Instant::now() + time;
        let mut answers = Vec::new();
        while Instant::now() < deadline {
            self.asker.ask(target)?;
            for frame in self.asker.collect(EVERY)? {
                if answer_for(&frame, target).is_some() {
                    answers.push(Duration::from_nanos(frame.time_ns));
                }
            }
            if answers.last().is_some_and(|last| enough(*last)) {
                break;
            }
        }
        Ok(answers)
    }
}

/// The time since 1970, as frames have it.
fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

const ROUNDS: u32 = 3;
/// How often it is asked.
const EVERY: Duration = Duration::from_millis(3);
/// Silence for so long is silence.
const BEFORE: Duration = Duration::from_millis(200);
/// What answers, and silence, may take on a busy machine.
const GENEROUS: Duration = Duration::from_secs(1);
/// What they may take at best.
const AT_ONCE: Duration = Duration::from_millis(50);
