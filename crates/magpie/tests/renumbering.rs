//! The provider changes the prefix: what is automatic follows at once, and what belonged to the old
//! prefix goes with it.
#![forbid(unsafe_code)]

mod common;

use std::error::Error;
use std::fs;
use std::net::Ipv6Addr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use common::{Folder, LIMIT, Magpie, Outcome, Station, address, answer_for};
use magpie_testnet::{
    AdvertisedPrefix, Bridge, Host, HostOptions, Node, RouterAdvertiser, RouterAdvertiserOptions,
    connect,
};

fn main() -> ExitCode {
    common::run(&[
        ("a_relay_follows_its_uplink", relay_follows),
        ("a_responder_s_rules_follow_its_uplink", responder_follows),
    ])
}

fn relay_follows() -> Outcome {
    follows(
        r#"
[[relay]]
links = ["wan", "lan"]
[[relay.link]]
name = "wan"
role = "upstream"
"#,
    )
}

fn responder_follows() -> Outcome {
    follows(
        r#"
[[responder]]
links = ["wan"]
[[responder.link]]
name = "wan"
role = "upstream"
[[responder.rule]]
prefix = "auto"
method = "probe"
to = ["lan"]
"#,
    )
}

/// Two prefixes, and one that never was one.
const OLD: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0xaa, 0, 0, 0, 0, 0);
const NEW: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0xbb, 0, 0, 0, 0, 0);
const NEVER: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0xcc, 0, 0, 0, 0, 0);

/// How long the old prefix is valid after it was last announced. It has never been longer: hosts
/// do not believe anybody who makes a lifetime shorter (RFC 4862 section 5.5.3 e).
const LIFETIME: Duration = Duration::from_secs(6);

fn follows(config: &str) -> Outcome {
    let place = Place::new()?;
    let advertiser = place.advertise(OLD)?;
    place.gateway.wait_address_in("wan", OLD, 64, LIMIT)?;
    let folder = Folder::new()?;
    let file = folder.path("magpie.toml");
    fs::write(&file, config)?;
    let magpie = Magpie::run(&place.gateway, ["-c".as_ref(), file.as_os_str()])?;
    let mut asker = Station::new("asker", &place.switch, "up")?;
    asker.expect_answers(&[host(OLD)], &[host(NEW), host(NEVER)])?;
    magpie.await_host(host(OLD), "lan")?;

    // From now on nobody announces the old one.
    drop(advertiser);
    let _advertiser = place.advertise(NEW)?;
    let changed = Instant::now();
    let waited = await_answer(&mut asker, host(NEW), changed)?;
    assert!(waited < FOLLOW_LIMIT, "it took {waited:?} to follow");
    println!("followed after {waited:?}");
    // The old one holds for its lifetime.
    asker.resolve(host(OLD))?;
    assert!(changed.elapsed() < LIFETIME);

    // Then its bindings and routes go.
    let left = LIFETIME.saturating_sub(changed.elapsed());
    place.gateway.wait_routes(left + LIMIT, "the old prefix's routes to go", |routes| {
        let is_old =
            routes.iter().any(|route| route.protocol == PROTOCOL && route.destination == host(OLD));
        (!is_old).then_some(())
    })?;
    let gone = changed.elapsed();
    println!("the route went after {gone:?}");
    // The last announcement was up to a second before the change.
    let soonest = LIFETIME.saturating_sub(FOLLOW_LIMIT);
    assert!(gone > soonest, "it took only {gone:?}");
    assert!(gone < LIFETIME + FOLLOW_LIMIT + Duration::from_secs(1), "it took {gone:?}");
    let hosts = magpie.hosts()?;
    assert!(hosts.iter().all(|known| known.address != host(OLD)), "{hosts:?}");
    asker.expect_answers(&[host(NEW)], &[host(OLD), host(NEVER)])?;
    let routes = place.gateway.routes()?;
    let ours = routes.iter().filter(|route| route.protocol == PROTOCOL);
    assert_eq!(ours.map(|route| route.destination).collect::<Vec<_>>(), [host(NEW)]);
    magpie.stop()?;
    Ok(())
}

/// The link "up" with its router, the gateway, and a host on the link "down" that has addresses of
/// all prefixes.
struct Place {
    switch: Arc<Node>,
    router: Node,
    gateway: Node,
    _lower: Host,
}

impl Place {
    fn new() -> Result<Self, Box<dyn Error>> {
        let switch = Arc::new(Node::switch("switch")?);
        for bridge in ["up", "down"] {
            switch.add_bridge(&Bridge::new(bridge))?;
        }
        let router = Node::new("router")?;
        router.set_forwarding()?;
        connect(&router.plug("lan"), &switch.plug("router").bridge("up"))?;

        let gateway = Node::new("gateway")?;
        gateway.set_forwarding()?;
        for (link, port, bridge) in [("wan", "gw-wan", "up"), ("lan", "gw-lan", "down")] {
            connect(&gateway.plug(link), &switch.plug(port).bridge(bridge))?;
            gateway.wait_link_local(link, LIMIT)?;
        }
        let options = HostOptions { accept_ra: false, ..HostOptions::default() };
        let lower = Host::new("lower", &switch, "down", &options)?;
        for prefix in [OLD, NEW, NEVER] {
            lower.add_address_nodad(Host::LINK, host(prefix), 64)?;
        }
        Ok(Self { switch, router, gateway, _lower: lower })
    }

    /// Announces a prefix every second.
    fn advertise(&self, prefix: Ipv6Addr) -> Result<RouterAdvertiser, Box<dyn Error>> {
        let seconds = u32::try_from(LIFETIME.as_secs())?;
        let prefix = AdvertisedPrefix {
            valid_lifetime: seconds,
            preferred_lifetime: seconds,
            ..AdvertisedPrefix::new(prefix)
        };
        let options = RouterAdvertiserOptions::new(prefix.prefix);
        let options = RouterAdvertiserOptions { prefixes: vec![prefix], ..options };
        Ok(RouterAdvertiser::start(&self.router, "lan", &options)?)
    }
}

/// Asks until there is an answer; how long after `since` it came.
fn await_answer(
    asker: &mut Station,
    target: Ipv6Addr,
    since: Instant,
) -> Result<Duration, Box<dyn Error>> {
    let mut result = Err("nothing was asked".into());
    while result.is_err() && since.elapsed() < LIMIT {
        asker.ask(target)?;
        result = asker
            .expect(Duration::from_millis(50), "an answer", |frame| answer_for(frame, target))
            .map(|_| since.elapsed())
            .map_err(Into::into);
    }
    result
}

/// The host's address of a prefix.
fn host(prefix: Ipv6Addr) -> Ipv6Addr {
    let [a, b, c, ..] = prefix.segments();
    address(&format!("{a:x}:{b:x}:{c:x}::21"))
}

/// What is automatic follows within this time.
const FOLLOW_LIMIT: Duration = Duration::from_secs(2);
/// The protocol number of Magpie's routes.
const PROTOCOL: u8 = 109;
