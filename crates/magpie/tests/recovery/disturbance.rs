//! What can happen to a network and to a daemon, one function for each.

use std::net::Ipv6Addr;
use std::thread;
use std::time::{Duration, Instant};

use magpie_sys::netlink::{HostRoute, LinkChange, Route};
use magpie_testnet::{Host, Node, connect};
use rustix::process::Signal;

use crate::common::{LIMIT, Outcome};
use crate::place::{await_overrun, burst, overruns};
use crate::ruleset;
use crate::scene::{GATEWAY, SUSTAINED, Scene, port_of};

/// Something that happens, and ends with everything where it should be again.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Disturbance {
    pub(crate) name: &'static str,
    /// How often it happens among random ones, in relation to others.
    pub(crate) weight: u32,
    /// The daemon does not survive it.
    pub(crate) kills: bool,
    /// The network has to have recovered before it, and to recover from it alone: neighbors are
    /// told of it, one after the other, which takes to know what it is about and what was before.
    pub(crate) alone: bool,
    pub(crate) act: fn(&mut Scene, Pace) -> Outcome,
}

/// How a disturbance goes about.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Pace {
    /// It lasts until everybody has noticed.
    Thorough,
    /// It is over as soon as it can be.
    Quick,
}

const fn row(name: &'static str, weight: u32, act: fn(&mut Scene, Pace) -> Outcome) -> Disturbance {
    Disturbance { name, weight, kills: false, alone: false, act }
}

const fn alone(disturbance: Disturbance) -> Disturbance {
    Disturbance { alone: true, ..disturbance }
}

/// All of them.
pub(crate) const DISTURBANCES: &[Disturbance] = &[
    row("wan_is_switched_off_and_on", 10, |scene, pace| switch_off(scene, "wan", pace)),
    row("lan_is_switched_off_and_on", 10, |scene, pace| switch_off(scene, "lan", pace)),
    row("lab_is_switched_off_and_on", 10, |scene, pace| switch_off(scene, "lab", pace)),
    row("wan_loses_its_carrier_and_gets_it_back", 20, |scene, pace| pull(scene, "wan", pace)),
    row("lan_loses_its_carrier_and_gets_it_back", 20, |scene, pace| pull(scene, "lan", pace)),
    row("lab_loses_its_carrier_and_gets_it_back", 20, |scene, pace| pull(scene, "lab", pace)),
    alone(row("wan_changes_its_link_layer_address", 10, |scene, _| change_lladdr(scene, "wan"))),
    alone(row("lan_changes_its_link_layer_address", 10, |scene, _| change_lladdr(scene, "lan"))),
    alone(row("a_host_changes_its_link_layer_address", 10, |scene, _| change_host_lladdr(scene))),
    row("a_link_local_address_goes_and_comes", 20, link_local_goes),
    row("an_uplink_s_link_local_address_goes_and_comes", 10, uplink_s_link_local_goes),
    alone(row("a_link_comes_with_a_tentative_link_local_address", 2, link_comes_tentative)),
    row("ipv6_is_switched_off_and_on_on_wan", 10, |scene, pace| disable(scene, "wan", pace)),
    row("ipv6_is_switched_off_and_on_on_lan", 10, |scene, pace| disable(scene, "lan", pace)),
    row("the_gateway_changes_its_addresses", 10, |scene, _| change_addresses(scene)),
    row("the_gateway_is_without_addresses_for_a_while", 10, lose_addresses),
    alone(row("wan_is_made_anew", 5, |scene, pace| remake(scene, "wan", pace))),
    alone(row("lan_is_made_anew", 5, |scene, pace| remake(scene, "lan", pace))),
    row("a_link_is_renamed_and_an_impostor_comes", 5, rename),
    row("a_host_route_is_deleted_by_somebody", 30, |scene, pace| delete_routes(scene, 1, pace)),
    row("all_host_routes_are_flushed_by_somebody", 20, |scene, pace| {
        delete_routes(scene, usize::MAX, pace)
    }),
    row("the_packet_filter_s_rules_are_flushed", 10, |scene, _| flush_ruleset(scene)),
    row("the_neighbors_are_flushed_everywhere", 30, |scene, _| flush_neighbors(scene)),
    alone(row("a_host_moves_to_another_link", 20, |scene, _| move_host(scene))),
    row("the_gateway_s_port_leaves_its_bridge_and_comes_back", 20, replug_bridge),
    alone(row("the_upstream_router_is_replaced", 3, |scene, _| scene.replace_router())),
    row("the_subnet_is_renumbered", 3, |scene, _| scene.renumber()),
    row("a_link_changes_its_mtu", 20, |scene, _| change_mtu(scene, 1400)),
    row("a_link_s_mtu_is_too_small_for_ipv6_for_a_while", 5, |scene, _| change_mtu(scene, 1200)),
    row("more_routes_change_than_can_be_told", 2, overrun_netlink),
    row("more_frames_come_than_can_be_kept", 2, overrun_packets),
    row("the_daemon_is_stopped_and_continued", 10, stop_and_continue),
    Disturbance {
        name: "the_daemon_is_killed_and_started",
        weight: 2,
        kills: true,
        // What it leaves behind is what it has done, not what it would have done next.
        alone: true,
        act: |scene, _| scene.replace_magpie(),
    },
    row("the_daemon_reloads_its_configuration", 10, |scene, _| reload(scene)),
    row("forwarding_is_switched_off_and_on", 5, forwarding_off),
];

fn switch_off(scene: &mut Scene, link: &str, pace: Pace) -> Outcome {
    until_noticed(scene, link, "down", pace, |scene| Ok(scene.place.gateway.set_down(link)?))?;
    scene.place.gateway.set_up(link)?;
    if link == "wan" {
        scene.restore_uplink()?;
    }
    Ok(scene.place.gateway.wait_carrier(link, true)?)
}

fn pull(scene: &mut Scene, link: &str, pace: Pace) -> Outcome {
    let (port, _) = port_of(link);
    until_noticed(scene, link, "no-carrier", pace, |scene| {
        Ok(scene.place.switch.set_down(port)?)
    })?;
    scene.place.switch.set_up(port)?;
    scene.place.switch.wait_carrier(port, true)?;
    Ok(scene.place.gateway.wait_carrier(link, true)?)
}

fn change_lladdr(scene: &mut Scene, link: &str) -> Outcome {
    forget_detours(scene, link)?;
    let lladdr = Some(scene.fresh_lladdr());
    let change = LinkChange { lladdr, ..LinkChange::default() };
    Ok(scene.place.gateway.set_link(link, &change)?)
}

fn change_host_lladdr(scene: &mut Scene) -> Outcome {
    let lladdr = Some(scene.fresh_lladdr());
    let change = LinkChange { lladdr, ..LinkChange::default() };
    scene.lower.set_link(Host::LINK, &change)?;
    if scene.roamer_is_on == "down" {
        // What neighbors on one link think of each other is no business of the daemon's.
        scene.roamer.flush_neighbors(Host::LINK)?;
    }
    Ok(())
}

fn link_local_goes(scene: &mut Scene, pace: Pace) -> Outcome {
    without_link_local(&scene.place.gateway, "lan", pace)
}

fn uplink_s_link_local_goes(scene: &mut Scene, pace: Pace) -> Outcome {
    without_link_local(&scene.place.gateway, "wan", pace)
}

fn without_link_local(gateway: &Node, link: &str, pace: Pace) -> Outcome {
    let address = gateway.wait_link_local(link, LIMIT)?;
    gateway.delete_address(link, address, 64)?;
    last(pace, LASTING);
    Ok(gateway.add_address_nodad(link, address, 64)?)
}

fn link_comes_tentative(scene: &mut Scene, pace: Pace) -> Outcome {
    forget_detours(scene, "lan")?;
    until_noticed(scene, "lan", "it has gone", pace, |scene| {
        Ok(scene.place.gateway.delete_link("lan")?)
    })?;
    scene.plug_in("lan", true)
}

fn disable(scene: &mut Scene, link: &str, pace: Pace) -> Outcome {
    scene.place.gateway.set_conf(link, "disable_ipv6", 1)?;
    last(pace, LASTING);
    scene.place.gateway.set_conf(link, "disable_ipv6", 0)?;
    if link == "wan" {
        scene.restore_uplink()?;
    }
    Ok(())
}

fn change_addresses(scene: &mut Scene) -> Outcome {
    let (address, other) = (scene.at(GATEWAY), scene.at(GATEWAY + 1));
    let gateway = &scene.place.gateway;
    gateway.add_address_nodad("wan", other, 64)?;
    gateway.delete_address("wan", address, 64)?;
    gateway.add_address_nodad("wan", address, 64)?;
    Ok(gateway.delete_address("wan", other, 64)?)
}

fn lose_addresses(scene: &mut Scene, pace: Pace) -> Outcome {
    scene.place.gateway.delete_address("wan", scene.at(GATEWAY), 64)?;
    last(pace, LASTING);
    scene.restore_uplink()
}

fn remake(scene: &mut Scene, link: &str, pace: Pace) -> Outcome {
    forget_detours(scene, link)?;
    let before = scene.place.gateway.ifindex(link)?;
    until_noticed(scene, link, "it has gone", pace, |scene| {
        Ok(scene.place.gateway.delete_link(link)?)
    })?;
    scene.plug_in(link, false)?;
    assert_ne!(scene.place.gateway.ifindex(link)?, before);
    Ok(())
}

fn rename(scene: &mut Scene, pace: Pace) -> Outcome {
    let name = |name| LinkChange { name: Some(name), ..LinkChange::default() };
    scene.place.gateway.set_link("lan", &name("lan-old"))?;
    connect(&scene.place.gateway.plug("lan"), &scene.place.switch.plug("trap"))?;
    if pace == Pace::Thorough {
        scene.await_recovery(Instant::now(), Instant::now(), SUSTAINED)?;
    }
    let gateway = &scene.place.gateway;
    gateway.delete_link("lan")?;
    Ok(gateway.set_link("lan-old", &name("lan"))?)
}

fn delete_routes(scene: &mut Scene, most: usize, pace: Pace) -> Outcome {
    if pace == Pace::Thorough {
        scene.await_host_routes()?;
    }
    for route in scene.host_routes()?.into_iter().take(most) {
        let Some(oif) = route.oif else { continue };
        let host_route = HostRoute {
            destination: route.destination,
            oif,
            metric: route.metric,
            table: route.table,
            protocol: route.protocol,
        };
        let deleted = scene.place.gateway.delete_route(&Route::from(host_route));
        // The daemon may have moved it meanwhile.
        if pace == Pace::Thorough {
            deleted?;
        }
    }
    Ok(())
}

fn flush_ruleset(scene: &mut Scene) -> Outcome {
    let before = ruleset::tables(&scene.place.gateway)?;
    assert!(!before.is_empty(), "there is no guard to be flushed");
    ruleset::flush(&scene.place.gateway)?;
    assert_eq!(ruleset::tables(&scene.place.gateway)?, before);
    for table in &before {
        assert!(!ruleset::delete(&scene.place.gateway, table)?, "{table} has no owner");
    }
    assert!(scene.magpie()?.status()?.guard.active);
    Ok(())
}

fn flush_neighbors(scene: &mut Scene) -> Outcome {
    for link in ["wan", "lan", "lab"] {
        scene.place.gateway.flush_neighbors(link)?;
    }
    scene.place.router.flush_neighbors("lan")?;
    scene.lower.flush_neighbors(Host::LINK)?;
    Ok(scene.roamer.flush_neighbors(Host::LINK)?)
}

fn move_host(scene: &mut Scene) -> Outcome {
    let bridge = match scene.roamer_is_on {
        "side" => "down",
        "down" => "up",
        _ => "side",
    };
    scene.roamer_is_on = bridge;
    // A host that does not notice goes on talking to whom it talked to.
    scene.roamer.unplug()?;
    let switch = scene.place.switch.clone();
    Ok(scene.roamer.move_to(&switch, bridge)?)
}

fn replug_bridge(scene: &mut Scene, pace: Pace) -> Outcome {
    scene.place.switch.set_bridge("gw-lan", None)?;
    last(pace, Duration::from_secs(1));
    Ok(scene.place.switch.set_bridge("gw-lan", Some("down"))?)
}

fn change_mtu(scene: &mut Scene, mtu: u32) -> Outcome {
    for mtu in [mtu, 1500] {
        let change = LinkChange { mtu: Some(mtu), ..LinkChange::default() };
        scene.place.gateway.set_link("lan", &change)?;
    }
    Ok(())
}

fn overrun_netlink(scene: &mut Scene, _pace: Pace) -> Outcome {
    let before = overruns(scene.magpie()?)?;
    scene.magpie()?.signal(Signal::STOP)?;
    burst(&scene.place.gateway)?;
    // What nobody tells it.
    delete_routes(scene, usize::MAX, Pace::Quick)?;
    scene.magpie()?.signal(Signal::CONT)?;
    await_overrun(scene.magpie()?, before).map(drop)
}

fn overrun_packets(scene: &mut Scene, pace: Pace) -> Outcome {
    // The kernel takes its time to remove the last one.
    let [.., number] = scene.fresh_lladdr().0;
    let station = scene.place.station(&format!("flooder-{number}"), "down")?;
    let frame = station.question_frame(Ipv6Addr::new(0x2001, 0xdb8, 0xffff, 0, 0, 0, 0, 1))?;
    scene.magpie()?.signal(Signal::STOP)?;
    for _ in 0..FLOOD {
        station.send(&frame)?;
    }
    scene.magpie()?.signal(Signal::CONT)?;
    let status = scene.magpie()?.status()?;
    let lan = status.links.iter().find(|link| link.name == "lan").ok_or("no link lan")?;
    // Among other disturbances the link may have had no socket yet.
    assert!(pace == Pace::Quick || lan.dropped > 0, "nothing was lost: {lan:?}");
    Ok(())
}

fn stop_and_continue(scene: &mut Scene, pace: Pace) -> Outcome {
    scene.magpie()?.signal(Signal::STOP)?;
    let time = if pace == Pace::Thorough { 5000 } else { 100 };
    thread::sleep(Duration::from_millis(time));
    Ok(scene.magpie()?.signal(Signal::CONT)?)
}

fn reload(scene: &mut Scene) -> Outcome {
    let magpie = scene.magpie()?;
    magpie.signal(Signal::HUP)?;
    magpie.await_news("READY=1")?;
    assert!(magpie.log().contains("reloaded: "), "{}", magpie.log());
    Ok(())
}

fn forwarding_off(scene: &mut Scene, pace: Pace) -> Outcome {
    scene.place.gateway.set_conf("all", "forwarding", 0)?;
    last(pace, LASTING);
    scene.place.gateway.set_conf("all", "forwarding", 1)?;
    scene.restore_uplink()
}

/// Has the neighbors on a link find the roamer there, if it has come there: they would send to it
/// by way of the gateway until their kernels check who they talk to, half a minute later. That is
/// in order for as long as the gateway keeps its link-layer address.
fn forget_detours(scene: &Scene, link: &str) -> Outcome {
    match (link, scene.roamer_is_on) {
        ("wan", "up") => scene.place.router.flush_neighbors("lan")?,
        ("lan", "down") => scene.lower.flush_neighbors(Host::LINK)?,
        _ => {}
    }
    Ok(())
}

/// Does something to a link; where there is time, until the daemon has noticed.
fn until_noticed(
    scene: &mut Scene,
    link: &str,
    state: &str,
    pace: Pace,
    act: impl FnOnce(&mut Scene) -> Outcome,
) -> Outcome {
    if pace == Pace::Quick {
        return act(scene);
    }
    scene.until_link(link, state, act)?;
    last(pace, LASTING);
    Ok(())
}

/// Lets a disturbance last for so long, where there is time.
fn last(pace: Pace, time: Duration) {
    if pace == Pace::Thorough {
        thread::sleep(time);
    }
}

/// How long something is away, where there is time.
const LASTING: Duration = Duration::from_millis(500);
/// Twice as many frames as a packet socket keeps.
const FLOOD: usize = 20_000;
