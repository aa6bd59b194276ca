//! The wireless-to-Ethernet island: a gateway with Wi-Fi as its uplink, four workers behind it with
//! addresses out of a /76 of the home network, the configuration that ndppd had, and names.

use std::error::Error;
use std::fs::{self, File};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command};
use std::sync::Arc;
use std::time::{Duration, Instant};

use magpie_control::Name;
use magpie_sys::netlink::{AddressFlags, NewAddress, Route};
use magpie_testnet::peers::{
    Avahi, AvahiOptions, Family, Peer, Resolved, ResolvedOptions, Service,
};
use magpie_testnet::{
    Bridge, Host, HostOptions, Node, RouterAdvertiser, RouterAdvertiserOptions, connect, wait_for,
};

use crate::common::{AccessPoint, Folder, LIMIT, Magpie, Outcome};
use crate::place::files;
use crate::{Scenario, scenario};

pub(crate) fn scenarios() -> Vec<Scenario> {
    vec![scenario("the_island_is_reached_by_name", the_island)]
}

/// `/etc/ndppd.conf` of the gateway.
const NDPPD: &str = "proxy wlan0 {\n\tautowire yes\n\trule 2001:db8:abc:123:40::/76 {\n\
                     \t\tiface eth0\n\t}\n}\n";

fn the_island() -> Outcome {
    let island = Island::new()?;
    let avahi = files(Peer::Avahi)?;
    let laptop = Avahi::start(&island.laptop, &avahi, &AvahiOptions::new("laptop"))?;
    let mut workers = Vec::new();
    for (number, node) in (1..).zip(&island.workers) {
        let options = AvahiOptions::new(&format!("pi-4{number}"));
        let options = options.service(Service::new(&format!("pi-4{number}"), "_ssh._tcp", PORT));
        workers.push(Avahi::launch(node, &avahi, &options)?);
    }
    for worker in &workers {
        worker.await_line("Server startup complete", Duration::from_secs(15))?;
    }
    // Without Magpie the names end at the gateway.
    assert_eq!(laptop.resolve("pi-41.local", Family::V6)?, None);

    let folder = Folder::new()?;
    let config = folder.path("ndppd.conf");
    fs::write(&config, NDPPD)?;
    let arguments = ["--compat", "ndppd", "--mdns", "-c"].map(Into::into);
    let arguments = arguments.into_iter().chain([config.into_os_string()]);
    let magpie = Magpie::run(&island.gateway, arguments)?;
    let events = folder.path("events");
    let mut watching = watch(&island.gateway, &magpie, &events)?;

    let listeners: Vec<_> = island.workers.iter().map(listen).collect::<Result<_, _>>()?;
    for (number, listener) in (1..).zip(&listeners) {
        let name = format!("pi-4{number}.local");
        let found = laptop.resolve(&name, Family::V6)?.ok_or_else(|| missing(&name, &magpie))?;
        assert_eq!(found, worker_address(number), "{name}");
        let took = reach(&island.laptop, found, listener)?;
        eprintln!("{name} was reached in {took:?} after it was found at {found}");
        assert!(took < Duration::from_millis(900), "the first packet was lost: {took:?}");
    }
    // And the other way round, and among each other without any help.
    let listener = listen(&island.laptop)?;
    for (worker, node) in workers.iter().zip(&island.workers) {
        let found = worker.resolve("laptop.local", Family::V6)?;
        let found = found.ok_or_else(|| missing("laptop.local", &magpie))?;
        assert!(in_home(found), "{found}");
        reach(node, found, &listener)?;
        assert!(worker.resolve("pi-42.local", Family::V6)?.is_some());
        assert_eq!(worker.renames(), 0, "{}", worker.log());
    }
    assert_eq!(laptop.renames(), 0, "{}", laptop.log());

    // Another resolver that people have.
    drop(laptop);
    let options = ResolvedOptions::new("laptop", &[Host::LINK]);
    let resolved = Resolved::start(&island.laptop, &files(Peer::Resolved)?, &options)?;
    resolved.await_line("mdns, family AF_INET6", LIMIT)?;
    let found = resolved.resolve("pi-43.local")?;
    assert_eq!(found, [IpAddr::from(worker_address(3))], "{found:?}");
    reach(&island.laptop, found[0], &listeners[2])?;

    let hosts = magpie.hosts()?;
    let host = hosts.iter().find(|host| host.address == IpAddr::from(worker_address(1)));
    let host = host.ok_or_else(|| format!("{hosts:?}"))?;
    assert_eq!((host.link.as_str(), host.names.as_slice()), ("eth0", &["pi-41.local".into()][..]));
    let names = magpie.names()?;
    let is_record =
        |name: &&Name| name.name == "pi-41.local" && name.address == Some(worker_address(1).into());
    let name = names.iter().find(is_record).ok_or_else(|| format!("{names:?}"))?;
    assert_eq!((name.record_type.as_str(), name.link.as_str()), ("AAAA", "eth0"));
    let to: Vec<_> = name.to.iter().map(|to| (to.link.as_str(), to.verdict.as_str())).collect();
    assert_eq!(to, [("wlan0", "passed")]);
    // And as people ask for it.
    for (command, expected) in [
        (&["hosts"][..], &["2001:db8:abc:123:41::1", "pi-41.local"][..]),
        (&["names", "pi-41"], &["pi-41.local", "2001:db8:abc:123:41::1", "passed"]),
    ] {
        let output = ask(&island.gateway, &magpie, command)?.output()?;
        let shown = String::from_utf8(output.stdout)?;
        let is_shown = |line: &str| expected.iter().all(|word| line.contains(word));
        assert!(
            shown.lines().any(is_shown),
            "{command:?} shows no line with {expected:?}: {shown}"
        );
    }
    let seen = wait_for(LIMIT, "the name among the events", || {
        let text = fs::read_to_string(&events).ok()?;
        let is_it =
            |line: &&str| line.contains("\"name-seen\"") && line.contains("\"pi-41.local\"");
        text.lines().find(is_it).map(str::to_owned)
    })?;
    assert!(seen.contains("\"eth0\""), "{seen}");
    magpie.stop()?;
    watching.wait()?;
    let traffic = island.point.stop()?;
    assert!(traffic.foreign.is_empty(), "Wi-Fi would have dropped {:?}", traffic.foreign);
    assert!(traffic.echoed > 0 && traffic.converted > 0, "{traffic:?}");
    Ok(())
}

/// A command to the daemon.
fn ask(node: &Node, magpie: &Magpie, arguments: &[&str]) -> Result<Command, Box<dyn Error>> {
    let mut command = Magpie::command(node)?;
    command.args(arguments).arg("--control").arg(magpie.control());
    Ok(command)
}

/// `magpie events`, which ends with the daemon, into a file.
fn watch(node: &Node, magpie: &Magpie, file: &Path) -> Result<Child, Box<dyn Error>> {
    let mut command = ask(node, magpie, &["events", "--json"])?;
    let child = command.stdout(File::create(file)?).spawn()?;
    wait_for(LIMIT, "the watch to begin", || {
        fs::read_to_string(file).ok()?.contains("subscribed").then_some(())
    })?;
    Ok(child)
}

fn missing(name: &str, magpie: &Magpie) -> Box<dyn Error> {
    let counters = magpie.status().map(|status| status.counters);
    format!("{name} is not found; counters: {counters:?}\n{}", magpie.log()).into()
}

/// Everything but what runs on it.
struct Island {
    gateway: Node,
    point: AccessPoint,
    laptop: Host,
    workers: Vec<Host>,
    _advertisers: [RouterAdvertiser; 2],
    _router: Node,
    _switch: Arc<Node>,
}

impl Island {
    fn new() -> Result<Self, Box<dyn Error>> {
        let switch = Arc::new(Node::switch("switch")?);
        for bridge in ["home", "cluster"] {
            switch.add_bridge(&Bridge::new(bridge))?;
        }
        let router = Node::new("router")?;
        router.set_forwarding()?;
        connect(&router.plug("lan"), &switch.plug("router").bridge("home"))?;
        router.add_address_nodad("lan", at(&HOME, 1), 64)?;
        let advertiser =
            RouterAdvertiser::start(&router, "lan", &RouterAdvertiserOptions::new(HOME))?;

        let gateway = Node::new("pi-31")?;
        gateway.set_conf("default", "accept_dad", 0)?;
        gateway.set_forwarding()?;
        let air = Node::switch("point")?;
        connect(&gateway.plug("wlan0"), &air.plug("radio"))?;
        connect(&air.plug("wire"), &switch.plug("point").bridge("home"))?;
        connect(&gateway.plug("eth0"), &switch.plug("gw-eth0").bridge("cluster"))?;
        let point = AccessPoint::start(air, gateway.lladdr("wlan0")?)?;
        gateway.add_address4("wlan0", Ipv4Addr::new(192, 168, 0, 31), 24)?;
        gateway.add_address4("eth0", Ipv4Addr::new(192, 168, 40, 1), 24)?;
        gateway.add_address_nodad("eth0", at(&ULA, 1), 64)?;
        gateway.wait_address_in("wlan0", HOME, 64, LIMIT)?;
        let eth0 = gateway.ifindex("eth0")?;
        gateway.add_route(&Route::on_link(CLUSTER, 76, eth0))?;
        // What dnsmasq does there.
        gateway.wait_link_local("eth0", LIMIT)?;
        let inner = RouterAdvertiser::start(&gateway, "eth0", &RouterAdvertiserOptions::new(ULA))?;

        let options = HostOptions::default();
        let laptop = Host::new("laptop", &switch, "home", &options)?;
        laptop.add_address4(Host::LINK, Ipv4Addr::new(192, 168, 0, 50), 24)?;
        let mut workers = Vec::new();
        for number in 1..=4_u8 {
            let worker = Host::new(&format!("pi-4{number}"), &switch, "cluster", &options)?;
            worker.add_address4(Host::LINK, Ipv4Addr::new(192, 168, 40, 40 + number), 24)?;
            let ifindex = worker.ifindex(Host::LINK)?;
            worker.execute("add the address of the home network", |batch| {
                batch.add_address(&NewAddress {
                    flags: AddressFlags::NO_PREFIX_ROUTE | AddressFlags::NODAD,
                    ..NewAddress::new(ifindex, worker_address(number), 80)
                });
            })?;
            workers.push(worker);
        }
        laptop.wait_address_in(Host::LINK, HOME, 64, LIMIT)?;
        for worker in &workers {
            worker.wait_address_in(Host::LINK, ULA, 64, LIMIT)?;
        }
        Ok(Self {
            gateway,
            point,
            laptop,
            workers,
            _advertisers: [advertiser, inner],
            _router: router,
            _switch: switch,
        })
    }
}

/// Connects to what listens at an address; how long it took.
fn reach(from: &Node, to: IpAddr, listener: &TcpListener) -> Result<Duration, Box<dyn Error>> {
    let start = Instant::now();
    let stream = {
        let _inside = from.enter()?;
        TcpStream::connect_timeout(&SocketAddr::new(to, PORT), LIMIT)?
    };
    let took = start.elapsed();
    let (accepted, _) = listener.accept()?;
    assert_eq!(accepted.peer_addr()?, stream.local_addr()?);
    Ok(took)
}

fn listen(host: &Host) -> Result<TcpListener, Box<dyn Error>> {
    let _inside = host.enter()?;
    Ok(TcpListener::bind((Ipv6Addr::UNSPECIFIED, PORT))?)
}

/// `2001:db8:abc:123:4X::1`.
fn worker_address(number: u8) -> Ipv6Addr {
    let [a, b, c, d, ..] = HOME.segments();
    Ipv6Addr::new(a, b, c, d, 0x40 + u16::from(number), 0, 0, 1)
}

fn in_home(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(address) if address.segments()[..4] == HOME.segments()[..4])
}

/// An address of a prefix of 64 bits.
const fn at(prefix: &Ipv6Addr, number: u16) -> Ipv6Addr {
    let [a, b, c, d, ..] = prefix.segments();
    Ipv6Addr::new(a, b, c, d, 0, 0, 0, number)
}

const HOME: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0xabc, 0x123, 0, 0, 0, 0);
const CLUSTER: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0xabc, 0x123, 0x40, 0, 0, 0);
const ULA: Ipv6Addr = Ipv6Addr::new(0xfd2f, 0, 0, 0, 0, 0, 0, 0);
const PORT: u16 = 22;
