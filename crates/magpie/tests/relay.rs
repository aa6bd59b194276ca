//! Two links become one subnet: hosts on both sides reach each other through the real daemon.
#![forbid(unsafe_code)]

mod common;

use std::process::ExitCode;

use common::{LIMIT, Magpie, Outcome, Site};
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
    let before = site.gateway.routes()?;
    let magpie = Magpie::start(&site.gateway)?;
    let (upper, _) = site.host("upper", "up", 0x11)?;
    let (_lower, lower_address) = site.host("lower", "down", 0x21)?;
    ping_once(&upper, &Ping::new(lower_address), LIMIT)?;
    magpie.stop()?;
    let ours = site.gateway.routes()?.into_iter().filter(|route| route.protocol == 109).count();
    assert_eq!(ours, 0);
    assert_eq!(site.gateway.routes()?.len(), before.len());
    Ok(())
}
