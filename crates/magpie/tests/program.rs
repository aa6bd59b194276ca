//! The program as people and service managers meet it: its command line, exit codes, state file,
//! control socket, and what it does to the kernel's settings.
#![forbid(unsafe_code)]

mod common;

use std::error::Error;
use std::fs;
use std::io::Read as _;
use std::net::Ipv6Addr;
use std::process::{ExitCode, Output, Stdio};

use common::{Folder, LIMIT, Magpie, Options, Outcome, Site};
use magpie_control::{EventKind, LinkState};
use magpie_sys::netlink::{HostRoute, LinkChange, Route, RouteEvent};
use magpie_testnet::{Bridge, Host, Node, Ping, connect, ping_once};
use rustix::event::{PollFd, PollFlags};
use rustix::process::Signal;
use serde_json::Value;

fn main() -> ExitCode {
    common::run(&[
        ("mistakes_on_the_command_line_end_with_status_2", mistakes_end_with_status_2),
        ("a_bridge_port_is_refused_with_its_bridge", a_bridge_port_is_refused_with_its_bridge),
        ("a_link_that_is_missing_is_waited_for", a_link_that_is_missing_is_waited_for),
        ("what_was_learned_survives_a_restart", what_was_learned_survives_a_restart),
        ("a_hangup_saves_and_does_not_end", a_hangup_saves_and_does_not_end),
        ("a_broken_state_file_is_no_obstacle", a_broken_state_file_is_no_obstacle),
        ("a_state_file_without_a_folder_is", a_state_file_without_a_folder_is_an_error),
        ("the_last_folder_is_made_for_the_state_file", the_last_folder_is_made),
        ("what_was_saved_waits_for_its_prefix", what_was_saved_waits_for_its_prefix),
        ("routes_left_behind_elsewhere_are_reported", routes_left_behind_are_reported),
        ("a_host_is_lost_on_a_link_with_a_name", a_host_is_lost_on_a_link_with_a_name),
        ("settings_are_put_back_where_the_link_is_now", settings_follow_their_link),
        ("settings_are_fixed_on_demand_and_put_back", settings_are_fixed_and_put_back),
        ("settings_in_the_way_are_reported", settings_in_the_way_are_reported),
        ("settings_that_are_changed_later_are_reported", settings_changed_later_are_reported),
        ("settings_that_are_changed_later_are_fixed", settings_changed_later_are_fixed),
        ("ras_21_the_own_default_route_stays_with_fix", own_default_route_stays),
        ("ras_21_without_fix_what_endangers_it_is_told", danger_to_default_route_is_told),
        ("one_control_socket_serves_one_daemon", one_control_socket_serves_one_daemon),
        ("the_views_show_what_the_daemon_knows", the_views_show_what_the_daemon_knows),
    ])
}

fn mistakes_end_with_status_2() -> Outcome {
    let node = Node::new("gateway")?;
    for (arguments, expected) in [
        (&["-i", "lo,wan"][..], "loopback"),
        (&["-i", "wan"], "two or more"),
        (&["-i", "wan,wan"], "twice"),
        (&["-i", "wan,lan", "-p", "0"], "--probe-interval"),
        (&["frobnicate"], "frobnicate"),
        (&[], "--interfaces"),
    ] {
        let output = run(&node, arguments)?;
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {complaint}");
        assert!(complaint.contains(expected), "{arguments:?}: {complaint}");
    }
    Ok(())
}

fn a_bridge_port_is_refused_with_its_bridge() -> Outcome {
    let site = Site::new()?;
    let output = run(&site.switch, &["-i", "up,gw-lan"])?;
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{complaint}");
    assert!(complaint.contains("cannot use the interface gw-lan"), "{complaint}");
    assert!(complaint.contains("give down instead"), "{complaint}");
    Ok(())
}

fn a_link_that_is_missing_is_waited_for() -> Outcome {
    let site = Site::new()?;
    site.gateway.delete_link("lan")?;
    let magpie = Magpie::start(&site.gateway)?;
    assert!(magpie.log().contains("there is no interface lan yet"), "{}", magpie.log());
    let states = |magpie: &Magpie| -> Result<Vec<LinkState>, Box<dyn Error>> {
        Ok(magpie.status()?.links.iter().map(|link| link.state).collect())
    };
    assert_eq!(states(&magpie)?, [LinkState::Up, LinkState::Missing]);

    let mut watch = magpie.watch()?;
    connect(&site.gateway.plug("lan"), &site.switch.plug("gw-lan").bridge("down"))?;
    Magpie::await_event(&mut watch, "lan to come up", |event| {
        let is_it = event.kind == EventKind::LinkChanged
            && event.link.as_deref() == Some("lan")
            && event.detail.as_deref() == Some("up");
        is_it.then_some(())
    })?;
    assert_eq!(states(&magpie)?, [LinkState::Up, LinkState::Up]);
    let (lower, lower_address) = site.host("lower", "down", 0x21)?;
    ping_once(&lower, &Ping::new(Site::router_address()), LIMIT)?;
    ping_once(&site.router, &Ping::new(lower_address), LIMIT)?;
    magpie.stop()?;
    Ok(())
}

fn what_was_learned_survives_a_restart() -> Outcome {
    let site = Site::new()?;
    let folder = Folder::new()?;
    let path = folder.path("routes.json");
    let options = Options::default().with(["-f", &path.to_string_lossy()]);
    let (lower, lower_address) = site.host("lower", "down", 0x21)?;

    let magpie = Magpie::start_with(&site.gateway, &options)?;
    ping_once(&lower, &Ping::new(Site::router_address()), LIMIT)?;
    let host = magpie.await_host(lower_address, "lan")?;
    magpie.stop()?;

    let saved: Value = serde_json::from_str(&fs::read_to_string(&path)?)?;
    let entries = saved["savedRoutes"].as_array().ok_or("no list of routes")?;
    let entry = entries
        .iter()
        .find(|entry| entry["value0"] == lower_address.to_string())
        .ok_or("the host was not saved")?;
    assert_eq!(entry["value1"], "lan");
    assert_eq!(entry["lladdr"].as_str(), host.lladdr.as_deref());

    // The format of the original, which knows no link-layer addresses, and an unknown link.
    let original = format!(
        "{{\"savedRoutes\": [{{\"value0\": \"{lower_address}\", \"value1\": \"lan\"}}, \
         {{\"value0\": \"2001:db8:7::99\", \"value1\": \"gone\"}}]}}"
    );
    fs::write(&path, original)?;
    let magpie = Magpie::start_with(&site.gateway, &options)?;
    let host = magpie.await_host(lower_address, "lan")?;
    assert_eq!(host.evidence, "saved");
    magpie.stop()?;
    Ok(())
}

fn a_hangup_saves_and_does_not_end() -> Outcome {
    let site = Site::new()?;
    let folder = Folder::new()?;
    let path = folder.path("routes.json");
    let options = Options::default().with(["-f", &path.to_string_lossy()]);
    let (lower, lower_address) = site.host("lower", "down", 0x21)?;
    let magpie = Magpie::start_with(&site.gateway, &options)?;
    ping_once(&lower, &Ping::new(Site::router_address()), LIMIT)?;
    magpie.await_host(lower_address, "lan")?;
    assert!(!path.exists());

    magpie.signal(Signal::HUP)?;
    // Answered only after the signal, which was there first.
    magpie.status()?;
    assert!(fs::read_to_string(&path)?.contains(&lower_address.to_string()));
    assert!(magpie.hosts()?.iter().any(|host| host.address == lower_address));

    fs::remove_file(&path)?;
    let output = view(&site.gateway, &magpie, &["reload"])?;
    assert!(output.status.success());
    assert!(path.exists());
    magpie.stop()?;
    Ok(())
}

fn a_broken_state_file_is_no_obstacle() -> Outcome {
    let site = Site::new()?;
    let folder = Folder::new()?;
    let path = folder.path("routes.json");
    fs::write(&path, "{\n  \"savedRoutes\": [nonsense]\n}\n")?;
    let options = Options::default().with(["-f", &path.to_string_lossy()]);
    let magpie = Magpie::start_with(&site.gateway, &options)?;
    assert!(magpie.log().contains("routes.json:2:"), "{}", magpie.log());
    assert!(magpie.status()?.warnings.iter().any(|warning| warning.contains("routes.json:2:")));
    magpie.stop()?;
    assert!(fs::read_to_string(&path)?.contains("savedRoutes"));
    assert!(fs::read_to_string(folder.path("routes.json.bad"))?.contains("nonsense"));
    Ok(())
}

fn a_state_file_without_a_folder_is_an_error() -> Outcome {
    let site = Site::new()?;
    let folder = Folder::new()?;
    let path = folder.path("none/deeper/routes.json").to_string_lossy().into_owned();
    let control = folder.path("control").to_string_lossy().into_owned();
    let output = run(&site.gateway, &["-i", "wan,lan", "--control", &control, "-f", &path])?;
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{complaint}");
    assert!(complaint.contains("mkdir -p"), "{complaint}");
    Ok(())
}

fn the_last_folder_is_made() -> Outcome {
    let site = Site::new()?;
    let folder = Folder::new()?;
    let path = folder.path("magpie/routes.json");
    let options = Options::default().with(["-f", &path.to_string_lossy()]);
    let magpie = Magpie::start_with(&site.gateway, &options)?;
    assert!(magpie.log().contains("made to keep the state in"), "{}", magpie.log());
    magpie.stop()?;
    assert!(fs::read_to_string(&path)?.contains("savedRoutes"));
    Ok(())
}

fn what_was_saved_waits_for_its_prefix() -> Outcome {
    let site = Site::new()?;
    let folder = Folder::new()?;
    let path = folder.path("routes.json");
    let options = Options::default().with(["-f", &path.to_string_lossy()]);
    // Of a prefix that the gateway learns of only later, and that nobody mentions yet.
    let prefix = Ipv6Addr::new(0x2001, 0xdb8, 8, 0, 0, 0, 0, 0);
    let [silent, lower_address, own] =
        [0x99, 0x21, 2].map(|number| Ipv6Addr::from_bits(prefix.to_bits() | number));
    let elsewhere = Ipv6Addr::new(0x2001, 0xdb8, 9, 0, 0, 0, 0, 0x21);
    let entry = |address| format!("{{\"value0\": \"{address}\", \"value1\": \"lan\"}}");
    let entries = [silent, lower_address, elsewhere].map(entry).join(", ");
    fs::write(&path, format!("{{\"savedRoutes\": [{entries}]}}"))?;

    let magpie = Magpie::start_with(&site.gateway, &options)?;
    assert!(magpie.hosts()?.iter().all(|host| host.evidence != "saved"));
    magpie.stop()?;
    let text = fs::read_to_string(&path)?;
    assert!(text.contains(&silent.to_string()) && text.contains(&elsewhere.to_string()), "{text}");

    let magpie = Magpie::start_with(&site.gateway, &options)?;
    let (lower, _) = site.host("lower", "down", 0x21)?;
    lower.add_address_nodad(Host::LINK, lower_address, 64)?;
    site.gateway.add_address_nodad("wan", own, 64)?;
    let host = magpie.await_host(lower_address, "lan")?;
    assert_eq!(host.evidence, "saved");
    magpie.stop()?;
    let text = fs::read_to_string(&path)?;
    assert!(text.contains(&elsewhere.to_string()), "{text}");
    Ok(())
}

fn routes_left_behind_are_reported() -> Outcome {
    let site = Site::new()?;
    site.gateway.add_bridge(&Bridge::new("former"))?;
    let stray = HostRoute {
        destination: common::host_address(0x66),
        oif: site.gateway.ifindex("former")?,
        metric: 1090,
        table: Route::MAIN_TABLE,
        protocol: 109,
    };
    site.gateway.add_route(&stray.into())?;
    let magpie = Magpie::start(&site.gateway)?;
    let log = magpie.log();
    assert!(log.contains("`ip -6 route flush proto 109 dev former`"), "{log}");
    magpie.stop()?;
    assert!(site.gateway.routes()?.iter().any(|route| route.oif == Some(stray.oif)));
    Ok(())
}

fn a_host_is_lost_on_a_link_with_a_name() -> Outcome {
    let site = Site::new()?;
    let magpie = Magpie::start(&site.gateway)?;
    let (_lower, address) = site.host("lower", "down", 0x21)?;
    ping_once(&site.router, &Ping::new(address), LIMIT)?;
    magpie.await_host(address, "lan")?;
    let mut watch = magpie.watch()?;
    site.gateway.delete_link("lan")?;
    let link = Magpie::await_event(&mut watch, "the host to be lost", |event| {
        let is_it = event.kind == EventKind::HostLost && event.address == Some(address.into());
        is_it.then(|| event.link.clone())
    })?;
    assert_eq!(link.as_deref(), Some("lan"));
    magpie.stop()?;
    Ok(())
}

fn settings_follow_their_link() -> Outcome {
    let site = Site::new()?;
    site.gateway.set_conf("lan", "disable_ipv6", 1)?;
    let magpie = Magpie::start_with(&site.gateway, &Options::default().with(["--fix"]))?;
    assert_eq!(site.gateway.conf("lan", "disable_ipv6")?, "0");
    let mut watch = magpie.watch()?;
    site.gateway.set_link("lan", &LinkChange { name: Some("renamed"), ..LinkChange::default() })?;
    Magpie::await_event(&mut watch, "the new name", |event| {
        event.detail.as_deref().is_some_and(|detail| detail.contains("renamed")).then_some(())
    })?;
    magpie.stop()?;
    assert_eq!(site.gateway.conf("renamed", "disable_ipv6")?, "1");
    Ok(())
}

fn settings_are_fixed_and_put_back() -> Outcome {
    let site = Site::new()?;
    site.gateway.set_conf("all", "forwarding", 0)?;
    site.gateway.set_conf("lan", "disable_ipv6", 1)?;
    let magpie = Magpie::start_with(&site.gateway, &Options::default().with(["--fix"]))?;
    assert_eq!(site.gateway.conf("all", "forwarding")?, "1");
    assert_eq!(site.gateway.conf("lan", "disable_ipv6")?, "0");
    assert_eq!(magpie.status()?.warnings, [""; 0]);
    let (_lower, lower_address) = site.host("lower", "down", 0x21)?;
    ping_once(&site.router, &Ping::new(lower_address), LIMIT)?;
    magpie.stop()?;
    assert_eq!(site.gateway.conf("all", "forwarding")?, "0");
    assert_eq!(site.gateway.conf("wan", "forwarding")?, "0");
    assert_eq!(site.gateway.conf("lan", "disable_ipv6")?, "1");
    Ok(())
}

fn settings_in_the_way_are_reported() -> Outcome {
    let site = Site::new()?;
    site.gateway.set_conf("all", "forwarding", 0)?;
    site.gateway.set_conf("wan", "accept_ra", 1)?;
    let magpie = Magpie::start(&site.gateway)?;
    for advice in
        ["sysctl -w net.ipv6.conf.all.forwarding=1", "sysctl -w net.ipv6.conf.wan.accept_ra=2"]
    {
        assert!(magpie.log().contains(advice), "{advice}: {}", magpie.log());
    }
    assert_eq!(magpie.status()?.warnings.len(), 2);
    site.gateway.set_conf("wan", "accept_ra", 2)?;
    site.gateway.set_conf("all", "forwarding", 1)?;
    assert_eq!(magpie.status()?.warnings, [""; 0]);
    magpie.stop()?;
    Ok(())
}

fn settings_changed_later_are_reported() -> Outcome {
    let site = Site::new()?;
    let magpie = Magpie::start(&site.gateway)?;
    let mut watch = magpie.watch()?;
    site.gateway.set_conf("all", "forwarding", 0)?;
    let advice = "sysctl -w net.ipv6.conf.all.forwarding=1";
    Magpie::await_event(&mut watch, "the advice", |event| {
        let is_it = event.kind == EventKind::Warning
            && event.detail.as_deref().is_some_and(|detail| detail.contains(advice));
        is_it.then_some(())
    })?;
    assert!(magpie.status()?.warnings.iter().any(|warning| warning.contains(advice)));
    site.gateway.set_conf("all", "forwarding", 1)?;
    assert_eq!(magpie.status()?.warnings, [""; 0]);
    magpie.stop()?;
    Ok(())
}

fn settings_changed_later_are_fixed() -> Outcome {
    let site = Site::new()?;
    let magpie = Magpie::start_with(&site.gateway, &Options::default().with(["--fix"]))?;
    let mut watch = magpie.watch()?;
    site.gateway.set_conf("all", "forwarding", 0)?;
    Magpie::await_event(&mut watch, "the repair", |event| {
        let is_it = event.kind == EventKind::Repaired
            && event.detail.as_deref() == Some("net.ipv6.conf.all.forwarding=1 is set again");
        is_it.then_some(())
    })?;
    assert_eq!(site.gateway.conf("all", "forwarding")?, "1");
    assert_eq!(magpie.status()?.counters.get("settings_restored"), Some(&1));
    magpie.stop()?;
    Ok(())
}

/// A gateway that is a host still: it has its address and its default route by Router
/// Advertisements, which it would not listen to if it forwarded.
fn endangered_site() -> Result<Site, Box<dyn Error>> {
    let site = Site::new()?;
    let gateway = &site.gateway;
    gateway.set_conf("all", "forwarding", 0)?;
    gateway.set_conf("wan", "accept_ra", 1)?;
    await_default_route(gateway)?;
    Ok(site)
}

/// Waits for the default route by a Router Advertisement on "wan".
fn await_default_route(node: &Node) -> Outcome {
    let wan = node.ifindex("wan")?;
    let is_it = |route: &&RouteEvent| route.prefix_len == 0 && route.oif == Some(wan);
    node.wait_routes(LIMIT, "the default route", |routes| routes.iter().find(is_it).map(drop))?;
    Ok(())
}

fn own_default_route_stays() -> Outcome {
    let site = endangered_site()?;
    let gateway = &site.gateway;
    let magpie = Magpie::start_with(gateway, &Options::default().with(["--fix"]))?;
    assert_eq!(gateway.conf("wan", "accept_ra")?, "2");
    assert_eq!(gateway.conf("all", "forwarding")?, "1");
    let default = |route: &RouteEvent| route.prefix_len == 0;
    let routes = gateway.routes()?;
    let route = routes.into_iter().find(default).ok_or("the default route is gone")?;
    assert_eq!(magpie.status()?.warnings, [""; 0]);
    // Not only that which was there: the next advertisements are heard.
    gateway.execute("delete the default route", |batch| {
        batch.delete_route(&Route {
            gateway: route.gateway,
            metric: route.metric,
            protocol: route.protocol,
            ..Route::on_link(route.destination, 0, route.oif.unwrap_or_default())
        });
    })?;
    await_default_route(gateway)?;
    magpie.stop()?;
    Ok(())
}

fn danger_to_default_route_is_told() -> Outcome {
    let site = endangered_site()?;
    let gateway = &site.gateway;
    let magpie = Magpie::start(gateway)?;
    let advice = "sysctl -w net.ipv6.conf.wan.accept_ra=2";
    assert!(magpie.log().contains(advice), "{}", magpie.log());
    assert!(magpie.status()?.warnings.iter().any(|warning| warning.contains(advice)));
    assert_eq!(gateway.conf("wan", "accept_ra")?, "1");
    await_default_route(gateway)?;

    // Who follows the rest of the advice alone loses the route, and is told so still.
    gateway.set_conf("all", "forwarding", 1)?;
    gateway.wait_routes(LIMIT, "the default route to go", |routes| {
        routes.iter().all(|route| route.prefix_len != 0).then_some(())
    })?;
    assert!(magpie.status()?.warnings.iter().any(|warning| warning.contains(advice)));
    gateway.set_conf("wan", "accept_ra", 2)?;
    await_default_route(gateway)?;
    assert_eq!(magpie.status()?.warnings, [""; 0]);
    magpie.stop()?;
    Ok(())
}

fn one_control_socket_serves_one_daemon() -> Outcome {
    let site = Site::new()?;
    let mut magpie = Magpie::start(&site.gateway)?;
    let control = magpie.control().to_string_lossy().into_owned();
    let output = run(&site.gateway, &["-i", "wan,lan", "--control", &control])?;
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{complaint}");
    assert!(complaint.contains("another magpie"), "{complaint}");
    magpie.status()?;

    // A crash leaves the socket behind; the next daemon takes its place.
    magpie.signal(Signal::KILL)?;
    magpie.wait()?;
    let output = run(&site.gateway, &["status", "--control", &control])?;
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{complaint}");
    assert!(complaint.contains("is magpie running"), "{complaint}");
    Ok(())
}

fn the_views_show_what_the_daemon_knows() -> Outcome {
    let site = Site::new()?;
    let magpie = Magpie::start(&site.gateway)?;
    let mut watching = Magpie::command(&site.gateway)?
        .args(["watch", "--json", "--control"])
        .arg(magpie.control())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut output = watching.stdout.take().ok_or("no output")?;
    let mut fds = [PollFd::new(&output, PollFlags::IN)];
    assert_eq!(rustix::event::poll(&mut fds, Some(&LIMIT.try_into()?))?, 1, "nothing to watch");

    let (lower, lower_address) = site.host("lower", "down", 0x21)?;
    ping_once(&lower, &Ping::new(Site::router_address()), LIMIT)?;
    magpie.await_host(lower_address, "lan")?;
    let text = view(&site.gateway, &magpie, &["hosts"])?;
    let text = String::from_utf8(text.stdout)?;
    let line = text.lines().find(|line| line.starts_with(&format!("{lower_address} ")));
    assert!(
        line.is_some_and(|line| line.contains(" lan ") && line.contains("installed")),
        "{text}"
    );
    let hosts: Value =
        serde_json::from_slice(&view(&site.gateway, &magpie, &["hosts", "--json"])?.stdout)?;
    let found = hosts.as_array().ok_or("no list")?.iter();
    assert!(found.clone().any(|host| host["address"] == lower_address.to_string()), "{hosts}");
    let text = String::from_utf8(view(&site.gateway, &magpie, &["routes"])?.stdout)?;
    let line = text.lines().find(|line| line.starts_with(&format!("{lower_address} ")));
    assert!(line.is_some_and(|line| line.contains(" lan ") && line.contains(" 1090 ")), "{text}");
    let routes: Value =
        serde_json::from_slice(&view(&site.gateway, &magpie, &["routes", "--json"])?.stdout)?;
    let mut found = routes.as_array().ok_or("no list")?.iter();
    let route = found.find(|route| route["address"] == lower_address.to_string());
    assert_eq!(route.ok_or("no route")?["state"], "installed", "{routes}");
    let status: Value =
        serde_json::from_slice(&view(&site.gateway, &magpie, &["status", "--json"])?.stdout)?;
    assert_eq!(status["pid"], magpie.pid());
    assert_eq!(status["guard"]["active"], true, "{status}");
    let text = String::from_utf8(view(&site.gateway, &magpie, &["status"])?.stdout)?;
    assert!(text.contains("guard     active"), "{text}");

    magpie.stop()?;
    // It ends with the daemon, and says that this was not its own wish.
    let mut text = String::new();
    output.read_to_string(&mut text)?;
    assert_eq!(watching.wait()?.code(), Some(1));
    let events = text.lines().map(serde_json::from_str).collect::<Result<Vec<Value>, _>>()?;
    assert_eq!(events.first().ok_or("no events")?["event"], "subscribed");
    let found = events
        .iter()
        .find(|event| {
            event["event"] == "host-found" && event["address"] == lower_address.to_string()
        })
        .ok_or("the host was not reported")?;
    assert_eq!(found["link"], "lan");
    Ok(())
}

fn run(node: &Node, arguments: &[&str]) -> Result<Output, Box<dyn Error>> {
    Ok(Magpie::command(node)?.args(arguments).output()?)
}

fn view(node: &Node, magpie: &Magpie, arguments: &[&str]) -> Result<Output, Box<dyn Error>> {
    Ok(Magpie::command(node)?.args(arguments).arg("--control").arg(magpie.control()).output()?)
}
