//! Tunnels, where nobody has a link-layer address: as the uplink of a subnet, as the way to hosts
//! of a subnet, and as both.
#![forbid(unsafe_code)]

mod common;

use std::error::Error;
use std::net::Ipv6Addr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use common::{LIMIT, Magpie, Options, Outcome, Station, answer_for, host_address, ping_until};
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

/// A gateway, a bridge for Ethernet hosts, and perhaps a provider at the other end of a tunnel.
struct Place {
    switch: Arc<Node>,
    bridge: &'static str,
    gateway: Node,
    uplink: Option<(Node, Tunnel)>,
}

impl Place {
    fn new(bridge: &'static str) -> Result<Self, Box<dyn Error>> {
        let switch = Arc::new(Node::switch("switch")?);
        switch.add_bridge(&Bridge::new(bridge))?;
        let gateway = Node::new("gateway")?;
        gateway.set_conf("default", "accept_dad", 0)?;
        gateway.set_forwarding()?;
        Ok(Self { switch, bridge, gateway, uplink: None })
    }

    /// A mobile network: the provider sends the whole prefix into the tunnel, and asks nobody.
    fn with_uplink() -> Result<Self, Box<dyn Error>> {
        let mut place = Self::new("down")?;
        let gateway = &place.gateway;
        connect(&gateway.plug("lan"), &place.switch.plug("gw-lan").bridge("down"))?;
        gateway.wait_link_local("lan", LIMIT)?;
        let provider = Node::new("provider")?;
        provider.set_forwarding()?;
        let tunnel = Tunnel::new((gateway, "wwan0"), (&provider, "tun0"))?;
        gateway.add_address_nodad("wwan0", uplink_address(), 64)?;
        let uplink = gateway.ifindex("wwan0")?;
        gateway.add_route(&Route::on_link(Ipv6Addr::UNSPECIFIED, 0, uplink))?;
        provider.add_address_nodad("tun0", provider_address(), 128)?;
        let far = provider.ifindex("tun0")?;
        provider.add_route(&Route::on_link(common::PREFIX, 64, far))?;
        place.uplink = Some((provider, tunnel));
        Ok(place)
    }

    /// Adds a host with an address that it has had for long, and the gateway as its router.
    fn host(&self, name: &str, number: u16) -> Result<Host, Box<dyn Error>> {
        let options = HostOptions { accept_ra: false, ..HostOptions::default() };
        let host = Host::new(name, &self.switch, self.bridge, &options)?;
        host.add_address_nodad(Host::LINK, host_address(number), 64)?;
        if self.uplink.is_some() {
            let router = self.gateway.wait_link_local("lan", LIMIT)?;
            host.add_default_route(Host::LINK, router)?;
        }
        Ok(host)
    }

    fn provider(&self) -> Result<&Node, Box<dyn Error>> {
        Ok(&self.uplink.as_ref().ok_or("there is no uplink here")?.0)
    }

    fn tunnel(&self) -> Result<&Tunnel, Box<dyn Error>> {
        Ok(&self.uplink.as_ref().ok_or("there is no uplink here")?.1)
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
