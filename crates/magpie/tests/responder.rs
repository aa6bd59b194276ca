//! Magpie in the place of npd6 and ndppd, with their users' own configurations: real kernels reach
//! the hosts behind the gateway.
#![forbid(unsafe_code)]

mod common;

use std::error::Error;
use std::fs;
use std::net::Ipv6Addr;
use std::process::ExitCode;
use std::sync::Arc;

use common::{ConfigFile, Folder, LIMIT, Magpie, Outcome, Site, Station, address, ping_until};
use magpie_sys::netlink::Route;
use magpie_testnet::{
    Bridge, Host, HostOptions, Node, Ping, RouterAdvertiser, RouterAdvertiserOptions, connect,
    ping_once,
};

fn main() -> ExitCode {
    common::run(&[
        ("homelab_with_imported_ndppd_conf", homelab_imported),
        ("homelab_with_imported_ndppd_conf_and_no_route", homelab_imported_without_route),
        ("homelab_with_compat_ndppd", homelab_compatible),
        ("homelab_with_compat_ndppd_and_no_route", homelab_compatible_without_route),
        ("white_lists_with_imported_npd6_conf", white_lists_imported),
        ("white_lists_with_compat_npd6", white_lists_compatible),
        ("black_lists_with_imported_npd6_conf", black_lists_imported),
        ("black_lists_with_compat_npd6", black_lists_compatible),
        ("links_of_a_responder_come_and_go", links_come_and_go),
    ])
}

/// How Magpie takes another program's configuration.
#[derive(Clone, Copy)]
enum Way {
    /// `magpie import`, then `magpie run`.
    Import,
    /// `magpie run --compat`.
    Compat,
}

impl Way {
    fn start(self, node: &Node, program: &str, config: &str) -> Result<Magpie, Box<dyn Error>> {
        let folder = Folder::new()?;
        let (foreign, own) = (folder.path("foreign.conf"), folder.path("magpie.toml"));
        fs::write(&foreign, config)?;
        match self {
            Self::Import => {
                fs::write(&own, Magpie::import(program, &foreign)?)?;
                Magpie::run(node, ["-c".as_ref(), own.as_os_str()])
            }
            Self::Compat => {
                let options = ["--compat", program, "-c"].map(AsRef::as_ref);
                Magpie::run(node, options.into_iter().chain([foreign.as_os_str()]))
            }
        }
    }
}

fn homelab_imported() -> Outcome {
    homelab(Way::Import, true)
}

fn homelab_imported_without_route() -> Outcome {
    homelab(Way::Import, false)
}

fn homelab_compatible() -> Outcome {
    homelab(Way::Compat, true)
}

fn homelab_compatible_without_route() -> Outcome {
    homelab(Way::Compat, false)
}

/// A cluster behind a wireless gateway, with a part of the home's own /64 for its nodes.
const NDPPD_CONF: &str = "\
proxy wlan0 {
	autowire yes
	rule 2001:db8:abc:123:40::/76 {
		iface eth0
	}
}
";

/// The wireless link "wifi" with the home's router and a laptop, the gateway "pi-31", and the wired
/// link "cluster" with its nodes.
struct Homelab {
    switch: Arc<Node>,
    router: Node,
    internet: Node,
    gateway: Node,
    laptop: Host,
    nodes: Vec<Host>,
    _advertisers: [RouterAdvertiser; 2],
}

impl Homelab {
    fn new() -> Result<Self, Box<dyn Error>> {
        let switch = Arc::new(Node::switch("switch")?);
        for bridge in ["wifi", "cluster"] {
            switch.add_bridge(&Bridge::new(bridge))?;
        }
        let router = Node::new("router")?;
        router.set_forwarding()?;
        connect(&router.plug("lan"), &switch.plug("router").bridge("wifi"))?;
        router.add_address_nodad("lan", address("2001:db8:abc:123::1"), 64)?;
        let internet = Node::new("internet")?;
        connect(&internet.plug("eth0"), &router.plug("isp"))?;
        router.add_address_nodad("isp", address("2001:db8:f::1"), 64)?;
        internet.add_address_nodad("eth0", internet_address(), 64)?;
        internet.add_default_route("eth0", address("2001:db8:f::1"))?;
        let home = RouterAdvertiserOptions::new(address("2001:db8:abc:123::"));
        let home = RouterAdvertiser::start(&router, "lan", &home)?;

        let gateway = Node::new("pi-31")?;
        gateway.set_forwarding()?;
        for (link, bridge) in [("wlan0", "wifi"), ("eth0", "cluster")] {
            connect(&gateway.plug(link), &switch.plug(&format!("gw-{link}")).bridge(bridge))?;
        }
        gateway.add_address_nodad("eth0", address("fd2f:4a6d:83e5:1::1"), 64)?;
        gateway.wait_address_in("wlan0", address("2001:db8:abc:123::"), 64, LIMIT)?;
        let cluster = RouterAdvertiserOptions::new(address("fd2f:4a6d:83e5:1::"));
        let cluster = RouterAdvertiser::start(&gateway, "eth0", &cluster)?;

        // All of them at once, since each takes its time to make addresses.
        let laptop = Host::new("laptop", &switch, "wifi", &HostOptions::default())?;
        // pi-51 has an address out of the gateway's part.
        let nodes = [41, 42, 51].map(|number| Self::node(&switch, number));
        let nodes = nodes.into_iter().collect::<Result<Vec<_>, _>>()?;
        laptop.wait_address_in(Host::LINK, address("2001:db8:abc:123::"), 64, LIMIT)?;
        for node in &nodes {
            node.wait_address_in(Host::LINK, address("fd2f:4a6d:83e5:1::"), 64, LIMIT)?;
        }
        let advertisers = [home, cluster];
        Ok(Self { switch, router, internet, gateway, laptop, nodes, _advertisers: advertisers })
    }

    fn node(switch: &Arc<Node>, number: u16) -> Result<Host, Box<dyn Error>> {
        let host = Host::new(&format!("pi-{number}"), switch, "cluster", &HostOptions::default())?;
        host.add_address_nodad(Host::LINK, node_address(number), 80)?;
        Ok(host)
    }
}

fn homelab(way: Way, has_route: bool) -> Outcome {
    let home = Homelab::new()?;
    if has_route {
        let link = home.gateway.ifindex("eth0")?;
        let cluster = Route::on_link(address("2001:db8:abc:123:40::"), 76, link);
        home.gateway.add_route(&Route { metric: 100, ..cluster })?;
    }
    let magpie = way.start(&home.gateway, "ndppd", NDPPD_CONF)?;

    let (first, second) = (node_address(41), node_address(42));
    for node in [first, second] {
        ping_until(&home.router, node)?;
    }
    ping_once(&home.laptop, &Ping::new(second), LIMIT)?;
    ping_once(&home.internet, &Ping::new(first), LIMIT)?;
    for node in home.nodes.iter().take(2) {
        ping_once(node, &Ping::new(internet_address()), LIMIT)?;
    }

    let mut asker = Station::new("asker", &home.switch, "wifi")?;
    let silent = [
        node_address(51),
        node_address(52),
        address("2001:db8:abc:123::77"),
        address("2001:db8:abc:123:3f:ffff:ffff:ffff"),
        // In the gateway's part, but nobody's.
        address("2001:db8:abc:123:41::2"),
        address("2001:db8:abc:123:4f:ffff:ffff:ffff"),
    ];
    asker.expect_answers(&[first, second], &silent)?;
    magpie.stop()?;
    Ok(())
}

/// What the notation of the home's author comes to: node 41 has `...:41::1`.
fn node_address(number: u16) -> Ipv6Addr {
    address(&format!("2001:db8:abc:123:{number}::1"))
}

fn internet_address() -> Ipv6Addr {
    address("2001:db8:f::2")
}

fn white_lists_imported() -> Outcome {
    white_lists(Way::Import)
}

fn white_lists_compatible() -> Outcome {
    white_lists(Way::Compat)
}

fn black_lists_imported() -> Outcome {
    black_lists(Way::Import)
}

fn black_lists_compatible() -> Outcome {
    black_lists(Way::Compat)
}

/// Two providers, and hosts that are told by the maker of their interface: the lists name two OUIs,
/// with the first provider's prefix, and one host of the second's.
fn npd6_conf(kind: &str) -> String {
    format!(
        "\
prefix = 2001:0123:4567:89aa:
interface = wan0
prefix = 2001:0123:4567:89ab:
interface = wan1
listtype = {kind}
exprlist = (PREFIX == 0x20010123456789aa) && ((HOST >> 40) == 0x021d55)
exprlist = (PREFIX == 0x20010123456789aa) && ((HOST >> 40) == 0x024466)
addrlist = 2001:0123:4567:89ab:0000:0000:0000:0077
"
    )
}

fn white_lists(way: Way) -> Outcome {
    let office = Office::new()?;
    let magpie = way.start(&office.gateway, "npd6", &npd6_conf("white"))?;
    for host in [MAKER, OTHER_MAKER] {
        ping_until(&office.routers[0], office_address(0, host))?;
    }
    ping_until(&office.routers[1], office_address(1, SEVENTY_SEVEN))?;

    office.expect_answers(0, &[MAKER, OTHER_MAKER], &[STRANGER, SEVENTY_SEVEN])?;
    office.expect_answers(1, &[SEVENTY_SEVEN], &[MAKER, OTHER_MAKER, STRANGER])?;
    magpie.stop()?;
    Ok(())
}

fn black_lists(way: Way) -> Outcome {
    let office = Office::new()?;
    let magpie = way.start(&office.gateway, "npd6", &npd6_conf("black"))?;
    ping_until(&office.routers[0], office_address(0, STRANGER))?;
    ping_until(&office.routers[1], office_address(1, MAKER))?;

    office.expect_answers(0, &[STRANGER, SEVENTY_SEVEN], &[MAKER, OTHER_MAKER])?;
    office.expect_answers(1, &[MAKER, OTHER_MAKER, STRANGER], &[SEVENTY_SEVEN])?;
    magpie.stop()?;
    Ok(())
}

/// A rule holds on links that were not there when it was made.
fn links_come_and_go() -> Outcome {
    let site = Site::new()?;
    let gateway = &site.gateway;
    let config = ConfigFile::new(
        "\
[[responder]]
links = [\"wan\", \"veth*\"]

[[responder.rule]]
prefix = \"2001:db8:7:0:1::/120\"
method = \"static\"
",
    )?;
    let magpie = Magpie::run(gateway, config.arguments())?;
    let (ours, next) = (address("2001:db8:7:0:1::21"), address("2001:db8:7:0:1::121"));
    let mut asker = Station::new("asker", &site.switch, "up")?;
    asker.expect_answers(&[ours], &[next])?;
    let waits = magpie
        .status()?
        .links
        .iter()
        .any(|link| link.name == "veth*" && link.state.label() == "missing");
    assert!(waits, "{:?}", magpie.status()?.links);

    site.switch.add_bridge(&Bridge::new("net"))?;
    site.switch.add_bridge(&Bridge::new("other-net"))?;
    connect(&gateway.plug("eth9"), &site.switch.plug("gw-eth9").bridge("other-net"))?;
    let mut guest = Station::new("guest", &site.switch, "net")?;
    let mut stranger = Station::new("stranger", &site.switch, "other-net")?;
    let mut watch = magpie.watch()?;
    let mut await_state = |state: &str| {
        Magpie::await_event(&mut watch, &format!("veth0 to be {state}"), |event| {
            let is_it =
                event.link.as_deref() == Some("veth0") && event.detail.as_deref() == Some(state);
            is_it.then_some(())
        })
    };
    let mut before = None;
    for _ in 0..2 {
        connect(&gateway.plug("veth0"), &site.switch.plug("gw-veth0").bridge("net"))?;
        await_state("up")?;
        gateway.wait_link_local("veth0", LIMIT)?;
        let ifindex = gateway.ifindex("veth0")?;
        assert_ne!(before.replace(ifindex), Some(ifindex));
        let answer = guest.resolve(ours)?;
        assert_eq!(answer.ethernet_source, gateway.lladdr("veth0")?);
        guest.expect_answers(&[ours], &[next])?;
        // A device that nobody asked for is none of its links.
        stranger.expect_answers(&[], &[ours])?;

        gateway.delete_link("veth0")?;
        await_state("it has gone")?;
        guest.clear()?;
        guest.expect_answers(&[], &[ours])?;
        // Nor does it matter to the others.
        asker.resolve(ours)?;
    }
    magpie.stop()?;
    Ok(())
}

/// Interface identifiers of the hosts.
const MAKER: [u16; 4] = [0x021d, 0x55ff, 0xfe00, 1];
const OTHER_MAKER: [u16; 4] = [0x0244, 0x66ff, 0xfe00, 1];
const STRANGER: [u16; 4] = [0x0277, 0x77ff, 0xfe00, 1];
const SEVENTY_SEVEN: [u16; 4] = [0, 0, 0, 0x77];

/// Two upstream routers on links "isp0" and "isp1", the gateway between them and its hosts.
struct Office {
    switch: Arc<Node>,
    routers: [Node; 2],
    gateway: Node,
    _hosts: Vec<Host>,
}

impl Office {
    fn new() -> Result<Self, Box<dyn Error>> {
        let switch = Arc::new(Node::switch("switch")?);
        for bridge in ["isp0", "isp1", "inside"] {
            switch.add_bridge(&Bridge::new(bridge))?;
        }
        let gateway = Node::new("gateway")?;
        gateway.set_conf("default", "accept_dad", 0)?;
        gateway.set_forwarding()?;
        connect(&gateway.plug("lan"), &switch.plug("gw-lan").bridge("inside"))?;
        let inner = gateway.wait_link_local("lan", LIMIT)?;

        let mut hosts = Vec::new();
        for (number, host) in [MAKER, OTHER_MAKER, STRANGER, SEVENTY_SEVEN].iter().enumerate() {
            let options = HostOptions { accept_ra: false, ..HostOptions::default() };
            let node = Host::new(&format!("host{number}"), &switch, "inside", &options)?;
            for provider in 0..2 {
                // Without the rest of the prefix on the link: the routers are elsewhere.
                node.add_address_nodad(Host::LINK, office_address(provider, *host), 128)?;
            }
            node.add_default_route(Host::LINK, inner)?;
            hosts.push(node);
        }
        let routers = [Self::router(&switch, &gateway, 0)?, Self::router(&switch, &gateway, 1)?];
        Ok(Self { switch, routers, gateway, _hosts: hosts })
    }

    /// Adds the upstream router of a prefix that the gateway routes to its hosts.
    fn router(switch: &Node, gateway: &Node, number: u16) -> Result<Node, Box<dyn Error>> {
        let (link, bridge) = (format!("wan{number}"), format!("isp{number}"));
        let router = Node::new(format!("router{number}"))?;
        connect(&router.plug("lan"), &switch.plug(router.name()).bridge(&bridge))?;
        let upstream = office_address(number, [0, 0, 0, 1]);
        router.add_address_nodad("lan", upstream, 64)?;

        connect(&gateway.plug(&link), &switch.plug(&format!("gw-{link}")).bridge(&bridge))?;
        gateway.add_address_nodad(&link, office_address(number, [0, 0, 0, 2]), 128)?;
        gateway.add_route(&Route::on_link(upstream, 128, gateway.ifindex(&link)?))?;
        let prefix = office_address(number, [0; 4]);
        gateway.add_route(&Route::on_link(prefix, 64, gateway.ifindex("lan")?))?;
        Ok(router)
    }

    /// Fails unless just these hosts are answered for on a provider's link, and nobody with the
    /// other one's prefix is.
    fn expect_answers(&self, on: u16, answered: &[[u16; 4]], silent: &[[u16; 4]]) -> Outcome {
        let mut asker = Station::new(&format!("asker{on}"), &self.switch, &format!("isp{on}"))?;
        let addresses = |provider, hosts: &[[u16; 4]]| {
            hosts.iter().map(|host| office_address(provider, *host)).collect::<Vec<_>>()
        };
        let other = 1 - on;
        let silent =
            [addresses(on, silent), addresses(other, answered), addresses(other, silent)].concat();
        asker.expect_answers(&addresses(on, answered), &silent)
    }
}

fn office_address(provider: u16, [a, b, c, d]: [u16; 4]) -> Ipv6Addr {
    Ipv6Addr::new(0x2001, 0x123, 0x4567, 0x89aa + provider, a, b, c, d)
}
