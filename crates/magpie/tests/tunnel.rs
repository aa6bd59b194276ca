//! Tunnels, where nobody has a link-layer address: as the uplink of a subnet, as the way to hosts
//! of a subnet, and as both.
#![forbid(unsafe_code)]

mod common;

use std::error::Error;
use std::net::Ipv6Addr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use common::{
    LIMIT, Magpie, Options, Outcome, PREFIX, Station, answer_for, host_address, ping_until,
};
use magpie_sys::netlink::Route;
use magpie_testnet::{Bridge, Host, HostOptions, Node, Ping, Pinger, Tunnel, connect, wait_for};
use magpie_wire::{ALL_NODES, Message, Packet};

fn main() -> ExitCode {
    common::run(&[
        ("lnk_08_lnk_09_hosts_behind_a_tunnel_are_found", hosts_behind_a_tunnel_are_found),
        ("lnk_10_an_uplink_that_never_asks_finds_hosts", an_uplink_that_never_asks_finds_hosts),
        ("lnk_10_the_uplinks_address_is_defended", the_uplinks_address_is_defended),
        ("lnk_08_from_one_tunnel_to_another", from_one_tunnel_to_another),
        ("hosts_that_routes_show_are_answered_for", hosts_that_routes_show_are_answered_for),
        ("lnk_08_an_uplink_tunnel_comes_and_goes", an_uplink_comes_and_goes),
        ("lnk_08_a_tunnel_to_hosts_comes_and_goes", a_tunnel_to_hosts_comes_and_goes),
    ])
}

fn hosts_behind_a_tunnel_are_found() -> Outcome {
    let place = Place::new("up")?;
    let gateway = &place.gateway;
    connect(&gateway.plug("wan"), &place.switch.plug("gw-wan").bridge("up"))?;
    gateway.add_address_nodad("wan", host_address(0x10), 64)?;
    gateway.wait_link_local("wan", LIMIT)?;
    let upper = place.host("upper", 1)?;
    let island = Node::new("island")?;
    let tunnel = Tunnel::new((gateway, "tun0"), (&island, "tun0"))?;
    gateway.wait_link_local("tun0", LIMIT)?;
    island.add_address_nodad("tun0", host_address(0x21), 64)?;

    let magpie = serve(gateway, "wan,tun0")?;
    let first = first_reply(&upper, host_address(0x21))?;
    println!("a host behind a tunnel replied to its first request after {first:?}");
    ping_until(&island, host_address(1))?;
    let told = discovery(&tunnel);
    assert!(told.solicits > 0 && told.adverts > 0, "{told:?}");

    // Nobody is there: silence, and nobody is told otherwise.
    let mut asker = Station::new("asker", &place.switch, "up")?;
    asker.expect_answers(&[host_address(0x21)], &[host_address(0x22)])?;
    discovery(&tunnel);
    magpie.stop()?;
    Ok(())
}

fn an_uplink_that_never_asks_finds_hosts() -> Outcome {
    let place = Place::with_uplink()?;
    // It was there before, and never says a word of its own.
    let quiet = place.host("quiet", 0x21)?;
    let magpie = serve(&place.gateway, "wwan0,lan")?;
    let first = first_reply(place.provider()?, host_address(0x21))?;
    println!("a host never seen before replied to the provider after {first:?}");
    assert!(first < LIMIT);
    // From then on nothing is lost.
    let pinger = Pinger::start(place.provider()?, &Ping::new(host_address(0x21)), EVERY)?;
    wait_for(LIMIT, "twenty replies", || (pinger.report().answered() >= 20).then_some(()))?;
    // The last request may still be under way.
    assert!(pinger.stop().lost() <= 1);
    ping_until(&quiet, provider_address())?;

    // One that comes now is known before anybody wants it: it detects duplicates.
    let options = HostOptions { accept_ra: false, ..HostOptions::default() };
    let late = Host::new("late", &place.switch, "down", &options)?;
    late.add_address(Host::LINK, host_address(0x22), 64)?;
    magpie.await_host(host_address(0x22), "lan")?;
    place.gateway.wait_routes(LIMIT, "a route to it", |routes| {
        routes.iter().any(|route| route.destination == host_address(0x22)).then_some(())
    })?;
    // The uplink was told nothing, since nobody there asks.
    let told = discovery(place.tunnel()?);
    assert_eq!(told.adverts, 0, "{told:?}");
    magpie.stop()?;
    Ok(())
}

fn the_uplinks_address_is_defended() -> Outcome {
    let place = Place::with_uplink()?;
    let magpie = serve(&place.gateway, "wwan0,lan")?;
    let mut newcomer = Station::new("newcomer", &place.switch, "down")?;
    newcomer.probe(uplink_address(), None)?;
    let defense = newcomer.expect(LIMIT, "a defense of the uplink's address", |frame| {
        answer_for(frame, uplink_address()).filter(|told| told.destination == ALL_NODES)
    })?;
    assert_eq!(defense.advert.target_lladdr, Some(place.gateway.lladdr("lan")?));
    magpie.stop()?;
    Ok(())
}

fn from_one_tunnel_to_another() -> Outcome {
    let place = Place::with_uplink()?;
    let island = Node::new("island")?;
    let inner = Tunnel::new((&place.gateway, "tun1"), (&island, "tun0"))?;
    place.gateway.wait_link_local("tun1", LIMIT)?;
    island.add_address_nodad("tun0", host_address(0x31), 64)?;
    island.add_route(&Route::on_link(Ipv6Addr::UNSPECIFIED, 0, island.ifindex("tun0")?))?;

    let magpie = serve(&place.gateway, "wwan0,tun1")?;
    let first = first_reply(place.provider()?, host_address(0x31))?;
    println!("from tunnel to tunnel the first reply came after {first:?}");
    ping_until(&island, provider_address())?;
    assert!(discovery(&inner).solicits > 0);
    discovery(place.tunnel()?);
    magpie.stop()?;
    Ok(())
}

/// Whoever ends a VPN does not always answer questions, but there are routes to its clients.
fn hosts_that_routes_show_are_answered_for() -> Outcome {
    let place = Place::new("up")?;
    let gateway = &place.gateway;
    connect(&gateway.plug("wan"), &place.switch.plug("gw-wan").bridge("up"))?;
    gateway.add_address_nodad("wan", host_address(0x10), 64)?;
    gateway.wait_link_local("wan", LIMIT)?;
    let tunnel = gateway.add_tun("wg0")?;
    let mut asker = Station::new("asker", &place.switch, "up")?;
    let magpie = serve(gateway, "wan,wg0")?;

    let (client, network, member) = (host_address(0x21), host_address(0x100), host_address(0x101));
    asker.expect_answers(&[], &[client, member])?;
    let oif = gateway.ifindex("wg0")?;
    for (route, target) in
        [(Route::on_link(client, 128, oif), client), (Route::on_link(network, 120, oif), member)]
    {
        gateway.add_route(&route)?;
        let answer = asker.resolve(target)?;
        println!("{target} was answered for {:?} after it was asked for", answer.waited);
        gateway.delete_route(&route)?;
        asker.expect_answers(&[], &[target])?;
    }
    drop(tunnel);
    magpie.stop()?;
    Ok(())
}

fn an_uplink_comes_and_goes() -> Outcome {
    let mut place = Place::with_uplink()?;
    let host = place.host("host", 0x21)?;
    let magpie = serve(&place.gateway, "wwan0,lan")?;
    let ways = |place: &Place, host: &Host, address| -> Result<Traffic, Box<dyn Error>> {
        Traffic::start([(place.provider()?, address), (host.node(), provider_address())])
    };
    let traffic = ways(&place, &host, host_address(0x21))?;
    traffic.recovers("an uplink tunnel at first", Instant::now())?;

    let before = place.gateway.ifindex("wwan0")?;
    let mut watch = magpie.watch()?;
    place.cut_uplink()?;
    Magpie::await_event(&mut watch, "the uplink to be gone", |event| {
        let detail = event.detail.as_deref()?;
        (event.link.as_deref() == Some("wwan0") && detail == "it has gone").then_some(())
    })?;
    place.lay_uplink(PREFIX)?;
    assert_ne!(place.gateway.ifindex("wwan0")?, before);
    traffic.recovers("an uplink tunnel made anew", Instant::now())?;

    place.gateway.set_down("wwan0")?;
    place.gateway.set_up("wwan0")?;
    place.number_uplink(PREFIX)?;
    traffic.recovers("an uplink tunnel down and up", Instant::now())?;

    // Another prefix, on a device that comes before it is noticed that the first has gone.
    place.cut_uplink()?;
    place.lay_uplink(OTHER_PREFIX)?;
    host.delete_address(Host::LINK, host_address(0x21), 64)?;
    let address = address_in(OTHER_PREFIX, 0x21);
    host.add_address_nodad(Host::LINK, address, 64)?;
    let over = Instant::now();
    let traffic = ways(&place, &host, address)?;
    traffic.recovers("an uplink tunnel made anew with another prefix", over)?;

    magpie.kill()?;
    let over = Instant::now();
    let magpie = serve(&place.gateway, "wwan0,lan")?;
    traffic.recovers("an uplink tunnel and a daemon that was killed", over)?;
    magpie.await_host(address, "lan")?;
    discovery(place.tunnel()?);
    magpie.stop()?;
    Ok(())
}

fn a_tunnel_to_hosts_comes_and_goes() -> Outcome {
    let place = Place::new("up")?;
    let gateway = &place.gateway;
    connect(&gateway.plug("wan"), &place.switch.plug("gw-wan").bridge("up"))?;
    gateway.add_address_nodad("wan", host_address(0x10), 64)?;
    gateway.wait_link_local("wan", LIMIT)?;
    let upper = place.host("upper", 1)?;
    let island = Node::new("island")?;
    let lay = |prefix| -> Result<Tunnel, Box<dyn Error>> {
        let tunnel = Tunnel::new((gateway, "tun0"), (&island, "tun0"))?;
        gateway.wait_link_local("tun0", LIMIT)?;
        island.add_address_nodad("tun0", address_in(prefix, 0x21), 64)?;
        Ok(tunnel)
    };
    let ways = |prefix| {
        Traffic::start([(upper.node(), address_in(prefix, 0x21)), (&island, address_in(prefix, 1))])
    };
    let mut tunnel = lay(PREFIX)?;
    let magpie = serve(gateway, "wan,tun0")?;
    let traffic = ways(PREFIX)?;
    traffic.recovers("a tunnel to hosts at first", Instant::now())?;

    let before = gateway.ifindex("tun0")?;
    let mut watch = magpie.watch()?;
    discovery(&tunnel);
    drop(tunnel);
    Magpie::await_event(&mut watch, "the tunnel to be gone", |event| {
        let detail = event.detail.as_deref()?;
        (event.link.as_deref() == Some("tun0") && detail == "it has gone").then_some(())
    })?;
    tunnel = lay(PREFIX)?;
    assert_ne!(gateway.ifindex("tun0")?, before);
    traffic.recovers("a tunnel to hosts made anew", Instant::now())?;

    gateway.set_down("tun0")?;
    gateway.set_up("tun0")?;
    traffic.recovers("a tunnel to hosts down and up", Instant::now())?;

    discovery(&tunnel);
    drop(tunnel);
    tunnel = lay(OTHER_PREFIX)?;
    gateway.delete_address("wan", host_address(0x10), 64)?;
    gateway.add_address_nodad("wan", address_in(OTHER_PREFIX, 0x10), 64)?;
    upper.add_address_nodad(Host::LINK, address_in(OTHER_PREFIX, 1), 64)?;
    let over = Instant::now();
    let traffic = ways(OTHER_PREFIX)?;
    traffic.recovers("a tunnel to hosts made anew with another prefix", over)?;

    magpie.kill()?;
    let over = Instant::now();
    let magpie = serve(gateway, "wan,tun0")?;
    traffic.recovers("a tunnel to hosts and a daemon that was killed", over)?;
    magpie.await_host(address_in(OTHER_PREFIX, 0x21), "tun0")?;
    discovery(&tunnel);
    magpie.stop()?;
    Ok(())
}

/// Pings in both directions.
struct Traffic([Pinger; 2]);

impl Traffic {
    fn start(ways: [(&Node, Ipv6Addr); 2]) -> Result<Self, Box<dyn Error>> {
        let [there, back] = ways.map(|(from, to)| Pinger::start(from, &Ping::new(to), EVERY));
        Ok(Self([there?, back?]))
    }

    /// Fails unless it flows both ways, without a gap, soon after a disturbance was `over`.
    fn recovers(&self, what: &str, over: Instant) -> Outcome {
        let mut took = Duration::ZERO;
        for pinger in &self.0 {
            let flows_since = || {
                let report = pinger.report();
                let (mut first, mut in_a_row) = (None, 0);
                for probe in report.probes.iter().filter(|probe| probe.sent >= over) {
                    if let Some(round_trip) = probe.round_trip {
                        first.get_or_insert(probe.sent + round_trip);
                        in_a_row += 1;
                    } else {
                        (first, in_a_row) = (None, 0);
                    }
                    if in_a_row == SUSTAINED {
                        return first;
                    }
                }
                None
            };
            let since = wait_for(2 * LIMIT, &format!("recovery of {what}"), flows_since)?;
            took = took.max(since.saturating_duration_since(over));
        }
        println!("tunnel: {what}: {} ms", took.as_millis());
        // Machines that are busy with something else get twice the time.
        assert!(took < 2 * STATED, "{what}: {took:?}");
        Ok(())
    }
}

/// A gateway, a bridge for Ethernet hosts, and perhaps a provider at the other end of a tunnel.
struct Place {
    switch: Arc<Node>,
    bridge: &'static str,
    gateway: Node,
    provider: Option<Node>,
    tunnel: Option<Tunnel>,
}

impl Place {
    fn new(bridge: &'static str) -> Result<Self, Box<dyn Error>> {
        let switch = Arc::new(Node::switch("switch")?);
        switch.add_bridge(&Bridge::new(bridge))?;
        let gateway = Node::new("gateway")?;
        gateway.set_conf("default", "accept_dad", 0)?;
        gateway.set_forwarding()?;
        Ok(Self { switch, bridge, gateway, provider: None, tunnel: None })
    }

    /// A mobile network: the provider sends the whole prefix into the tunnel, and asks nobody.
    fn with_uplink() -> Result<Self, Box<dyn Error>> {
        let mut place = Self::new("down")?;
        let gateway = &place.gateway;
        connect(&gateway.plug("lan"), &place.switch.plug("gw-lan").bridge("down"))?;
        gateway.wait_link_local("lan", LIMIT)?;
        let provider = Node::new("provider")?;
        provider.set_forwarding()?;
        place.provider = Some(provider);
        place.lay_uplink(PREFIX)?;
        Ok(place)
    }

    /// Takes the tunnel to the provider away, with the devices at both its ends.
    fn cut_uplink(&mut self) -> Outcome {
        discovery(self.tunnel()?);
        self.tunnel = None;
        Ok(())
    }

    /// Makes a tunnel to the provider, which gives the gateway's side a prefix.
    fn lay_uplink(&mut self, prefix: Ipv6Addr) -> Outcome {
        let provider = self.provider()?;
        let tunnel = Tunnel::new((&self.gateway, "wwan0"), (provider, "tun0"))?;
        provider.add_address_nodad("tun0", provider_address(), 128)?;
        provider.add_route(&Route::on_link(prefix, 64, provider.ifindex("tun0")?))?;
        self.tunnel = Some(tunnel);
        self.number_uplink(prefix)
    }

    /// Gives the gateway's end of the tunnel its address and a default route, as whoever manages it
    /// does.
    fn number_uplink(&self, prefix: Ipv6Addr) -> Outcome {
        let gateway = &self.gateway;
        gateway.add_address_nodad("wwan0", address_in(prefix, 1), 64)?;
        let uplink = gateway.ifindex("wwan0")?;
        Ok(gateway.add_route(&Route::on_link(Ipv6Addr::UNSPECIFIED, 0, uplink))?)
    }

    /// Adds a host with an address that it has had for long, and the gateway as its router.
    fn host(&self, name: &str, number: u16) -> Result<Host, Box<dyn Error>> {
        let options = HostOptions { accept_ra: false, ..HostOptions::default() };
        let host = Host::new(name, &self.switch, self.bridge, &options)?;
        host.add_address_nodad(Host::LINK, host_address(number), 64)?;
        if self.provider.is_some() {
            let router = self.gateway.wait_link_local("lan", LIMIT)?;
            host.add_default_route(Host::LINK, router)?;
        }
        Ok(host)
    }

    fn provider(&self) -> Result<&Node, Box<dyn Error>> {
        Ok(self.provider.as_ref().ok_or("there is no provider here")?)
    }

    fn tunnel(&self) -> Result<&Tunnel, Box<dyn Error>> {
        Ok(self.tunnel.as_ref().ok_or("there is no uplink here")?)
    }
}

/// What was said of neighbors in a tunnel.
#[derive(Clone, Copy, Debug, Default)]
struct Discovery {
    solicits: usize,
    adverts: usize,
}

/// Counts what was said, and sees to it that nobody spoke of link-layer addresses (RFC 4861
/// sections 4.3 and 4.4: the options are for links that have them).
fn discovery(tunnel: &Tunnel) -> Discovery {
    let mut told = Discovery::default();
    for packet in tunnel.packets() {
        match Packet::parse_bare(&packet).map(|packet| packet.message) {
            Ok(Message::Solicit(solicit)) => {
                assert_eq!(solicit.source_lladdr, None, "{solicit:?}");
                told.solicits += 1;
            }
            Ok(Message::Advert(advert)) => {
                assert_eq!(advert.target_lladdr, None, "{advert:?}");
                told.adverts += 1;
            }
            _ => {}
        }
    }
    told
}

fn serve(gateway: &Node, links: &str) -> Result<Magpie, Box<dyn Error>> {
    Magpie::start_with(gateway, &Options { interfaces: links.to_owned(), ..Options::default() })
}

/// How long it takes until a request, of one after the other, is replied to.
fn first_reply(from: &Node, to: Ipv6Addr) -> Result<Duration, Box<dyn Error>> {
    let start = Instant::now();
    Pinger::start(from, &Ping::new(to), EVERY)?.wait_reply(LIMIT)?;
    Ok(start.elapsed())
}

/// An address of a /64.
fn address_in(prefix: Ipv6Addr, number: u16) -> Ipv6Addr {
    let [a, b, c, d, ..] = prefix.segments();
    Ipv6Addr::new(a, b, c, d, 0, 0, 0, number)
}

/// The gateway's address in the tunnel to the provider.
fn uplink_address() -> Ipv6Addr {
    host_address(1)
}

/// An address of the provider's, outside of the subnet.
fn provider_address() -> Ipv6Addr {
    Ipv6Addr::new(0x2001, 0xdb8, 0xffff, 0, 0, 0, 0, 1)
}

/// How often requests are sent.
const EVERY: Duration = Duration::from_millis(50);
/// What a provider gives its customer after a new start.
const OTHER_PREFIX: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 8, 0, 0, 0, 0, 0);
/// Pings in a row after which traffic counts as recovered.
const SUSTAINED: usize = 10;
/// Recovery takes no longer, unless the machine is busy with other things.
const STATED: Duration = Duration::from_secs(3);
