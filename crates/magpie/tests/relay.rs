//! Two links become one subnet: hosts on both sides reach each other through the real daemon.
#![forbid(unsafe_code)]

mod common;

use std::error::Error;
use std::process::ExitCode;

use common::{LIMIT, Magpie, Outcome, Site};
use magpie_sys::netlink::RouteEvent;
use magpie_testnet::{Ping, ping_once};

fn main() -> ExitCode {
    common::run(&[
        ("hosts_on_two_links_reach_each_other", hosts_on_two_links_reach_each_other),
        ("an_end_leaves_nothing_behind", an_end_leaves_nothing_behind),
    ])
}

fn hosts_on_two_links_reach_each_other() -> Outcome {
    let site = Site::new()?;
    let magpie = Magpie::start(&site.gateway)?;
    let (upper, upper_address) = site.host("upper", "up", 0x11)?;
    let (lower, lower_address) = site.host("lower", "down", 0x21)?;

    ping_once(&lower, &Ping::new(upper_address), LIMIT)?;
    ping_once(&upper, &Ping::new(lower_address), LIMIT)?;
    ping_once(&lower, &Ping::new(Site::router_address()), LIMIT)?;
    ping_once(&site.router, &Ping::new(lower_address), LIMIT)?;

    let host = magpie.await_host(lower_address, "lan")?;
    assert_eq!(host.route.label(), "installed", "{host:?}");
    magpie.stop()?;
    Ok(())
}

fn an_end_leaves_nothing_behind() -> Outcome {
    let site = Site::new()?;
    let before = routes(&site)?;
    let magpie = Magpie::start(&site.gateway)?;
    let (upper, _) = site.host("upper", "up", 0x11)?;
    let (_lower, lower_address) = site.host("lower", "down", 0x21)?;
    ping_once(&upper, &Ping::new(lower_address), LIMIT)?;
    magpie.stop()?;
    assert_eq!(routes(&site)?, before);
    Ok(())
}

/// The gateway's routes, but for those that its kernel makes as links and addresses become usable.
fn routes(site: &Site) -> Result<Vec<RouteEvent>, Box<dyn Error>> {
    let mut routes = site.gateway.routes()?;
    routes.retain(|route| route.protocol != KERNEL);
    Ok(routes)
}

/// `RTPROT_KERNEL`.
const KERNEL: u8 = 2;
