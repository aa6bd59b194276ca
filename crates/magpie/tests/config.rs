//! The daemon runs from a configuration file: several relays, reloads, and what the command line
//! says on top.
#![forbid(unsafe_code)]

mod common;

use std::error::Error;
use std::fs;
use std::net::Ipv6Addr;
use std::path::Path;
use std::process::{ExitCode, Output};
use std::time::Duration;

use common::{ConfigFile, Folder, LIMIT, Magpie, Outcome, Site, Station};
use magpie_control::{Client, EventKind, Status};
use magpie_sys::netlink::RouteEvent;
use magpie_testnet::{
    AddressState, Bridge, Host, HostOptions, Node, Ping, Pinger, connect, ping_once,
};
use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, prlimit};

fn main() -> ExitCode {
    common::run(&[
        ("two_relays_live_in_one_daemon", two_relays_live_in_one_daemon),
        ("a_reload_adds_and_removes_without_a_gap", a_reload_adds_and_removes_without_a_gap),
        ("host_routes_get_another_mark_without_a_gap", host_routes_get_another_mark),
        ("host_routes_go_to_the_table_of_their_relay", host_routes_go_to_their_table),
        ("a_link_changes_its_relay", a_link_changes_its_relay),
        ("an_invalid_file_changes_nothing", an_invalid_file_changes_nothing),
        ("no_invalid_file_is_run_or_reloaded", no_invalid_file_is_run_or_reloaded),
        ("a_reload_without_descriptors_loses_no_news", a_reload_without_descriptors),
        ("an_unusable_link_changes_nothing", an_unusable_link_changes_nothing),
        ("flags_win_over_the_file", flags_win_over_the_file),
        ("what_cannot_be_run_ends_with_two", what_cannot_be_run_ends_with_two),
        ("the_service_manager_is_told_of_a_reload", the_service_manager_is_told),
        ("seen_targets_are_logged_on_request", seen_targets_are_logged),
        ("added_rules_survive_a_reload_and_a_restart", added_rules_survive),
        ("added_rules_find_their_relay_after_a_restart", added_rules_find_their_relay),
        ("hosts_of_added_rules_survive_a_restart", hosts_of_added_rules_survive),
        ("added_rules_last_only_with_a_state_file", added_rules_last_only_with_a_state_file),
    ])
}

/// The file of the usual relay.
const HOME: &str = "[[relay]]\nlinks = [\"wan\", \"lan\"]\n";

fn two_relays_live_in_one_daemon() -> Outcome {
    let site = Site::new()?;
    let other = Other::new(&site)?;
    let file = ConfigFile::new(&format!(
        "{HOME}\n[[relay]]\nname = \"other\"\nlinks = [\"left\", \"right\"]\n\
         prefixes = [\"2001:db8:8::/64\"]\nroute-protocol = 110\nroute-metric = 1091\n"
    ))?;
    let magpie = Magpie::run(&site.gateway, file.arguments())?;
    let (lower, lower_address) = site.host("lower", "down", 0x21)?;
    ping_once(&lower, &Ping::new(Site::router_address()), LIMIT)?;
    ping_once(&site.router, &Ping::new(lower_address), LIMIT)?;
    ping_once(&other.left, &Ping::new(other.right_address), LIMIT)?;
    ping_once(&other.right, &Ping::new(other.left_address), LIMIT)?;

    for (address, link, mark) in [
        (lower_address, "lan", (109, 1090)),
        (other.left_address, "left", (110, 1091)),
        (other.right_address, "right", (110, 1091)),
    ] {
        let host = magpie.await_host(address, link)?;
        assert_eq!(host.route.label(), "installed", "{host:?}");
        let route = await_route(&site.gateway, address)?;
        assert_eq!((route.protocol, route.metric), mark);
        assert_eq!(route.oif, Some(site.gateway.ifindex(link)?));
    }
    let status = magpie.status()?;
    let links: Vec<&str> = status.links.iter().map(|link| link.name.as_str()).collect();
    assert_eq!(links, ["wan", "lan", "left", "right"]);
    assert_eq!(status.prefixes, ["2001:db8:7::/64", "2001:db8:8::/64"]);
    assert_eq!(status.warnings, [""; 0]);

    // Neither looks at the other's links.
    let mut asker = Station::new("asker", &site.switch, "down")?;
    asker.expect_answers(&[Site::router_address()], &[other.left_address])?;

    // Everything is dumped and counts as before.
    reload(&site.gateway, &magpie)?;
    assert_eq!(await_route(&site.gateway, other.left_address)?.protocol, 110);
    assert!(!magpie.log().contains("ip -6 route flush"), "{}", magpie.log());
    magpie.stop()?;
    let left = site.gateway.routes()?;
    assert!(!left.iter().any(|route| matches!(route.protocol, 109 | 110)), "{left:?}");
    Ok(())
}

fn a_reload_adds_and_removes_without_a_gap() -> Outcome {
    let site = Site::new()?;
    add_link(&site, "guest")?;
    // Without a name the relay has that of its links, which change.
    let file = ConfigFile::new(HOME)?;
    let magpie = Magpie::run(&site.gateway, file.arguments())?;
    let (_lower, lower_address) = site.host("lower", "down", 0x21)?;
    let (denied, denied_address) = site.host("denied", "down", 0x22)?;
    ping_once(&site.router, &Ping::new(lower_address), LIMIT)?;
    ping_once(&site.router, &Ping::new(denied_address), LIMIT)?;
    let (visitor, visitor_address) = site.host("visitor", "guest", 0x31)?;
    let pinger = Pinger::start(&site.router, &Ping::new(lower_address), Duration::from_millis(5))?;
    pinger.wait_reply(LIMIT)?;

    file.write(&format!(
        "[[relay]]\nlinks = [\"guest\", \"lan\", \"wan\"]\n\
         [[relay.rule]]\nprefix = \"{denied_address}\"\nmethod = \"deny\"\n"
    ))?;
    reload(&site.gateway, &magpie)?;
    ping_once(&visitor, &Ping::new(lower_address), LIMIT)?;
    ping_once(&site.router, &Ping::new(visitor_address), LIMIT)?;
    await_no_route(&site.gateway, denied_address)?;
    let mut asker = Station::new("asker", &site.switch, "up")?;
    asker.expect_answers(&[lower_address, visitor_address], &[denied_address])?;

    file.write(HOME)?;
    let mut watch = magpie.watch()?;
    reload(&site.gateway, &magpie)?;
    Magpie::await_event(&mut watch, "the link to be dropped", |event| {
        let is_it = event.link.as_deref() == Some("guest") && event.kind == EventKind::LinkChanged;
        is_it.then_some(())
    })?;
    await_no_route(&site.gateway, visitor_address)?;
    asker.expect_answers(&[lower_address, denied_address], &[visitor_address])?;
    ping_once(&denied, &Ping::new(Site::router_address()), LIMIT)?;
    assert_eq!(
        magpie.status()?.links.iter().map(|link| link.name.as_str()).collect::<Vec<_>>(),
        ["wan", "lan"]
    );

    pinger.wait_reply(LIMIT)?;
    let report = pinger.stop();
    assert_eq!(report.longest_outage(), Duration::ZERO, "{} lost", report.lost());
    magpie.stop()?;
    Ok(())
}

fn host_routes_get_another_mark() -> Outcome {
    let site = Site::new()?;
    let file = ConfigFile::new(HOME)?;
    let magpie = Magpie::run(&site.gateway, file.arguments())?;
    let (_lower, lower_address) = site.host("lower", "down", 0x21)?;
    ping_once(&site.router, &Ping::new(lower_address), LIMIT)?;
    let pinger = Pinger::start(&site.router, &Ping::new(lower_address), Duration::from_millis(5))?;
    pinger.wait_reply(LIMIT)?;
    for (protocol, metric) in [(111, 1090), (111, 900), (109, 1090)] {
        file.write(&format!("{HOME}route-protocol = {protocol}\nroute-metric = {metric}\n"))?;
        reload(&site.gateway, &magpie)?;
        let routes = routes_to(&site.gateway, lower_address)?;
        let marks: Vec<_> = routes.iter().map(|route| (route.protocol, route.metric)).collect();
        assert_eq!(marks, [(protocol, metric)]);
        assert_eq!(magpie.await_host(lower_address, "lan")?.route.label(), "installed");
    }
    pinger.wait_reply(LIMIT)?;
    assert_eq!(pinger.stop().longest_outage(), Duration::ZERO);
    magpie.stop()?;
    Ok(())
}

fn host_routes_go_to_their_table() -> Outcome {
    let site = Site::new()?;
    let file = ConfigFile::new(&format!("{HOME}route-table = 100\n"))?;
    let magpie = Magpie::run(&site.gateway, file.arguments())?;
    let (lower, lower_address) = site.host("lower", "down", 0x21)?;
    let mut asker = Station::new("asker", &site.switch, "up")?;
    asker.resolve(lower_address)?;
    let tables = || -> Result<Vec<u32>, Box<dyn Error>> {
        Ok(routes_to(&site.gateway, lower_address)?.iter().map(|route| route.table).collect())
    };
    assert_eq!(tables()?, [100]);
    reload(&site.gateway, &magpie)?;
    assert_eq!(tables()?, [100]);
    file.write(HOME)?;
    reload(&site.gateway, &magpie)?;
    assert_eq!(tables()?, [254]);
    ping_once(&lower, &Ping::new(Site::router_address()), LIMIT)?;
    magpie.stop()?;
    Ok(())
}

fn a_link_changes_its_relay() -> Outcome {
    let site = Site::new()?;
    add_link(&site, "guest")?;
    let (visitor, visitor_address) = site.host("visitor", "guest", 0x31)?;
    let (_lower, lower_address) = site.host("lower", "down", 0x21)?;
    let responder = |link: &str| {
        format!(
            "[[responder]]\nname = \"there\"\nlinks = [\"{link}\"]\n[[responder.rule]]\n\
             prefix = \"2001:db8:9::9\"\nmethod = \"static\"\n"
        )
    };
    let there: Ipv6Addr = "2001:db8:9::9".parse()?;
    let file = ConfigFile::new(&format!(
        "[[relay]]\nname = \"home\"\nlinks = [\"wan\", \"lan\"]\n{}",
        responder("guest")
    ))?;
    let magpie = Magpie::run(&site.gateway, file.arguments())?;
    let mut below = Station::new("below", &site.switch, "down")?;
    let mut beside = Station::new("beside", &site.switch, "guest")?;
    beside.expect_answers(&[there], &[lower_address])?;
    below.expect_answers(&[Site::router_address()], &[there, visitor_address])?;

    file.write(&format!(
        "[[relay]]\nname = \"home\"\nlinks = [\"wan\", \"guest\"]\n{}",
        responder("lan")
    ))?;
    reload(&site.gateway, &magpie)?;
    beside.expect_answers(&[Site::router_address()], &[there, lower_address])?;
    below.expect_answers(&[there], &[Site::router_address()])?;
    ping_once(&visitor, &Ping::new(Site::router_address()), LIMIT)?;
    await_no_route(&site.gateway, lower_address)?;
    magpie.stop()?;
    Ok(())
}

fn an_invalid_file_changes_nothing() -> Outcome {
    let site = Site::new()?;
    let file = ConfigFile::new(HOME)?;
    let magpie = Magpie::run(&site.gateway, file.arguments())?;
    let (_lower, lower_address) = site.host("lower", "down", 0x21)?;
    ping_once(&site.router, &Ping::new(lower_address), LIMIT)?;
    let before = magpie.hosts()?;
    let pinger = Pinger::start(&site.router, &Ping::new(lower_address), Duration::from_millis(5))?;
    pinger.wait_reply(LIMIT)?;

    file.write(
        "[[relay]]\nlinks = [\"wan\", \"lan\"]\nrouts = \"none\"\nprefixes = [\"fe80::/64\"]\n",
    )?;
    magpie.signal(Signal::HUP)?;
    // Answered only after the signal, which was there first.
    let status = magpie.status()?;
    for text in ["routs", "routes", "fe80::/64", "magpie.toml"] {
        assert!(magpie.log().contains(text), "{text}: {}", magpie.log());
        assert!(status.warnings.iter().any(|warning| warning.contains(text)), "{status:?}");
    }
    let output = command(&site.gateway, &magpie, &["reload"])?;
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{complaint}");
    for text in ["routs", "fe80::/64"] {
        assert!(complaint.contains(text), "{complaint}");
    }
    let known = |hosts: &[magpie_control::Host]| -> Vec<_> {
        hosts.iter().map(|host| (host.address, host.link.clone(), host.route)).collect()
    };
    assert_eq!(known(&magpie.hosts()?), known(&before));

    file.write(HOME)?;
    reload(&site.gateway, &magpie)?;
    assert_eq!(magpie.status()?.warnings, [""; 0]);
    pinger.wait_reply(LIMIT)?;
    assert_eq!(pinger.stop().longest_outage(), Duration::ZERO);
    magpie.stop()?;
    Ok(())
}

/// Every file that there is a message for: the daemon is asked to run with it, and says why not.
fn no_invalid_file_is_run_or_reloaded() -> Outcome {
    let site = Site::new()?;
    let file = ConfigFile::new(HOME)?;
    let magpie = Magpie::run(&site.gateway, file.arguments())?;
    let serves = |status: &Status| -> (String, Vec<String>) {
        (format!("{:?}", status.relays), status.prefixes.clone())
    };
    let before = serves(&magpie.status()?);
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../config/tests/malformed");
    let mut count = 0;
    for entry in fs::read_dir(&folder)? {
        let path = entry?.path();
        let is_layered = path.is_dir();
        let main = if is_layered { path.join("magpie.toml") } else { path.clone() };
        let name = main.display();
        let output = Magpie::command(&site.gateway)?.arg("check").arg("-c").arg(&main).output()?;
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{name}: {complaint}");
        let parent = path.parent().unwrap_or(&folder).display().to_string();
        assert!(complaint.contains(&parent) && names_a_line(&complaint), "{name}: {complaint}");

        fs::copy(&main, &file.path)?;
        if is_layered {
            copy_folder(&path.join("conf.d"), &file.path.with_file_name("conf.d"))?;
        }
        let output = command(&site.gateway, &magpie, &["reload"])?;
        // Without a reader of its news it could not go on telling them.
        magpie.await_news("READY=1")?;
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{name}: {complaint}");
        assert!(names_a_line(&complaint), "{name}: {complaint}");
        let status = magpie.status()?;
        assert_eq!(serves(&status), before, "{name}");
        let [why] = status.warnings.as_slice() else { panic!("{name}: {:?}", status.warnings) };
        assert!(why.contains("stays as it is") && names_a_line(why), "{name}: {why}");
        if is_layered {
            fs::remove_dir_all(file.path.with_file_name("conf.d"))?;
        }
        count += 1;
    }
    assert!(count >= 30, "{count} files");
    file.write(HOME)?;
    reload(&site.gateway, &magpie)?;
    assert_eq!(magpie.status()?.warnings, [""; 0]);
    magpie.stop()?;
    Ok(())
}

/// Whether a complaint points to a line of a file.
fn names_a_line(complaint: &str) -> bool {
    let mut places = complaint.split(".toml:").skip(1);
    places.any(|place| place.starts_with(|c: char| c.is_ascii_digit()))
}

fn copy_folder(from: &Path, to: &Path) -> Outcome {
    fs::create_dir(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        fs::copy(entry.path(), to.join(entry.file_name()))?;
    }
    Ok(())
}

/// What the kernel told before a reload that could not ask it is not lost.
fn a_reload_without_descriptors() -> Outcome {
    let site = Site::new()?;
    // Without a file there is nothing else that takes a descriptor.
    let magpie = Magpie::start(&site.gateway)?;
    let target = Ipv6Addr::new(0x2001, 0xdb8, 5, 0, 0, 0, 0, 0x21);
    let mut asker = Station::new("asker", &site.switch, "up")?;
    let (lower, _) = site.host("lower", "down", 0x21)?;
    lower.add_address(Host::LINK, target, 64)?;
    lower.wait_address(Host::LINK, target, AddressState::Valid, LIMIT)?;
    asker.expect_answers(&[], &[target])?;

    // While it stands still the signal comes first, then the news, and then the question.
    let mut client = Client::connect(&magpie.control())?;
    client.status()?;
    let pid = Pid::from_raw(magpie.pid().try_into()?);
    let limit = getrlimit(Resource::Nofile);
    magpie.signal(Signal::STOP)?;
    magpie.signal(Signal::HUP)?;
    let own = Ipv6Addr::new(0x2001, 0xdb8, 5, 0, 0, 0, 0, 1);
    site.gateway.add_address_nodad("wan", own, 64)?;
    prlimit(pid, Resource::Nofile, Rlimit { current: Some(3), ..limit })?;
    magpie.signal(Signal::CONT)?;
    let status = client.status()?;
    prlimit(pid, Resource::Nofile, limit)?;
    assert!(status.warnings.iter().any(|told| told.contains("reload it once more")), "{status:?}");
    asker.resolve(target)?;
    assert!(magpie.status()?.prefixes.contains(&"2001:db8:5::/64".to_owned()));
    magpie.stop()?;
    Ok(())
}

fn an_unusable_link_changes_nothing() -> Outcome {
    let site = Site::new()?;
    site.gateway.add_bridge(&Bridge::new("br0"))?;
    add_link(&site, "port")?;
    site.gateway.set_bridge("port", Some("br0"))?;
    let file = ConfigFile::new(HOME)?;
    let magpie = Magpie::run(&site.gateway, file.arguments())?;
    file.write(
        "[[relay]]\nlinks = [\"wan\", \"lan\", \"port\"]\nrouter-flag = \"off\"\n\
         [[responder]]\nlinks = [\"br0\"]\n[[responder.rule]]\nprefix = \"2001:db8:9::9\"\n\
         method = \"static\"\n",
    )?;
    let output = command(&site.gateway, &magpie, &["reload"])?;
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{complaint}");
    assert!(complaint.contains("port of the bridge br0"), "{complaint}");
    assert_eq!(magpie.status()?.links.len(), 2);

    // One that is not there is waited for.
    site.gateway.delete_link("port")?;
    reload(&site.gateway, &magpie)?;
    let links = magpie.status()?.links;
    let states: Vec<_> =
        links.iter().map(|link| (link.name.as_str(), link.state.label())).collect();
    assert_eq!(states, [("wan", "up"), ("lan", "up"), ("port", "missing"), ("br0", "no-carrier")]);
    magpie.stop()?;
    Ok(())
}

fn flags_win_over_the_file() -> Outcome {
    let site = Site::new()?;
    add_link(&site, "guest")?;
    let file = ConfigFile::new(
        "[daemon]\ncontrol = \"/nonexistent/control\"\nlog-level = \"error\"\n\
         [[relay]]\nlinks = [\"wan\", \"lan\"]\nprefixes = [\"2001:db8:8::/64\"]\n",
    )?;
    let mut arguments = file.arguments();
    arguments.extend(["-i", "wan,guest", "--prefix", "2001:db8:7::/64"].map(str::to_owned));
    let magpie = Magpie::run(&site.gateway, arguments)?;
    let status = magpie.status()?;
    assert_eq!(status.prefixes, ["2001:db8:7::/64"]);
    let links: Vec<&str> = status.links.iter().map(|link| link.name.as_str()).collect();
    assert_eq!(links, ["wan", "guest"]);
    // They also win when the file is read again.
    file.write("[[relay]]\nlinks = [\"wan\", \"lan\"]\nprefixes = [\"2001:db8:9::/64\"]\n")?;
    reload(&site.gateway, &magpie)?;
    assert_eq!(magpie.status()?.prefixes, ["2001:db8:7::/64"]);
    magpie.stop()?;
    Ok(())
}

fn what_cannot_be_run_ends_with_two() -> Outcome {
    let node = Node::new("alone")?;
    let folder = Folder::new()?;
    let control = folder.path("control").display().to_string();
    let run = |file: &Path, more: &[&str]| -> Result<Output, Box<dyn Error>> {
        let mut command = Magpie::command(&node)?;
        command.arg("run").arg("-c").arg(file).args(["--control", &control]).args(more);
        Ok(command.output()?)
    };
    let path = folder.path("magpie.toml");
    let two = "[[relay]]\nlinks = [\"a\", \"b\"]\n[[relay]]\nlinks = [\"c\", \"d\"]\n";
    let cases: [(&str, &[&str], &[&str]); 5] = [
        ("[[relay]]\nlinks = [\"wan\"]\nmetrics = 4\n", &[], &["magpie.toml:", "metrics", "two"]),
        ("[[relay\n", &[], &["magpie.toml:1:"]),
        ("", &[], &["[[relay]]"]),
        (two, &["-i", "e,f"], &["-i", "a+b, c+d"]),
        (HOME, &["--compat", "ndppd"], &["magpie.toml"]),
    ];
    for (text, more, expected) in cases {
        fs::write(&path, text)?;
        let output = run(&path, more)?;
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{text}: {complaint}");
        for expected in expected {
            assert!(complaint.contains(expected), "{expected}: {complaint}");
        }
    }
    let output = run(&folder.path("missing.toml"), &[])?;
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{complaint}");
    assert!(complaint.contains("missing.toml"), "{complaint}");
    Ok(())
}

fn the_service_manager_is_told() -> Outcome {
    let site = Site::new()?;
    let file = ConfigFile::new(HOME)?;
    let magpie = Magpie::run(&site.gateway, file.arguments())?;
    for text in [HOME, "nonsense"] {
        file.write(text)?;
        magpie.signal(Signal::HUP)?;
        let news = magpie.await_news("RELOADING=1")?;
        assert!(news.contains("MONOTONIC_USEC="), "{news}");
        magpie.await_news("READY=1")?;
    }
    magpie.stop()?;
    Ok(())
}

fn seen_targets_are_logged() -> Outcome {
    let site = Site::new()?;
    let file = ConfigFile::new(
        "[[responder]]\nlinks = [\"wan\"]\n[[responder.rule]]\nprefix = \"2001:db8:9::/120\"\n\
         method = \"static\"\n",
    )?;
    let magpie = Magpie::run(&site.gateway, file.arguments())?;
    let mut asker = Station::new("asker", &site.switch, "up")?;
    let targets = (1..=150_u16).map(|number| Ipv6Addr::new(0x2001, 0xdb8, 9, 0, 0, 0, 0, number));
    for target in targets {
        asker.resolve(target)?;
    }
    magpie.signal(Signal::USR1)?;
    magpie.status()?;
    let log = magpie.log();
    assert!(log.contains("150 targets were asked for"), "{log}");
    assert!(log.contains("50 further targets"), "{log}");
    let lines = log.lines().filter(|line| line.contains(" target target=")).count();
    assert_eq!(lines, 100, "{log}");
    magpie.stop()?;
    Ok(())
}

fn added_rules_survive() -> Outcome {
    let site = Site::new()?;
    add_link(&site, "guest")?;
    let [kept, lost, other]: [Ipv6Addr; 3] =
        [9, 10, 11].map(|number| Ipv6Addr::new(0x2001, 0xdb8, 9, 0, 0, 0, 0, number));
    let file = ConfigFile::new(HOME)?;
    let folder = Folder::new()?;
    let mut arguments = file.arguments();
    arguments.extend(["-f".to_owned(), folder.path("hosts.json").display().to_string()]);
    let magpie = Magpie::run(&site.gateway, &arguments)?;
    let mut asker = Station::new("asker", &site.switch, "down")?;
    asker.expect_answers(&[], &[kept, lost])?;
    let add = |magpie: &Magpie, target: Ipv6Addr, more: &[&str]| -> Outcome {
        let target = target.to_string();
        let mut arguments = vec!["rules", "add", &target, "static", "--owner", "hook"];
        arguments.extend(more);
        succeed(&command(&site.gateway, magpie, &arguments)?)
    };
    add(&magpie, kept, &["--on", "lan", "--persist", "--lifetime", "1h"])?;
    add(&magpie, lost, &[])?;
    asker.expect_answers(&[kept, lost], &[other])?;

    // The relay has another name now.
    file.write("[[relay]]\nlinks = [\"guest\", \"wan\", \"lan\"]\n")?;
    reload(&site.gateway, &magpie)?;
    asker.expect_answers(&[kept, lost], &[other])?;
    let mut elsewhere = Station::new("elsewhere", &site.switch, "guest")?;
    elsewhere.expect_answers(&[lost], &[kept])?;
    magpie.stop()?;

    let magpie = Magpie::run(&site.gateway, &arguments)?;
    asker.expect_answers(&[kept], &[lost, other])?;
    succeed(&command(&site.gateway, &magpie, &["rules", "remove", "--owner", "hook"])?)?;
    asker.expect_answers(&[], &[kept])?;
    magpie.stop()?;
    let magpie = Magpie::run(&site.gateway, &arguments)?;
    asker.expect_answers(&[], &[kept])?;
    magpie.stop()?;
    Ok(())
}

/// A relay without a name is called after its links, which change while the daemon does not run.
fn added_rules_find_their_relay() -> Outcome {
    let site = Site::new()?;
    add_link(&site, "guest")?;
    let [denied, lost]: [Ipv6Addr; 2] =
        [9, 10].map(|number| Ipv6Addr::new(0x2001, 0xdb8, 9, 0, 0, 0, 0, number));
    let rule = "[[relay.rule]]\nprefix = \"2001:db8:9::/120\"\nmethod = \"static\"\n";
    let file = ConfigFile::new(&format!("{HOME}{rule}"))?;
    let folder = Folder::new()?;
    let mut arguments = file.arguments();
    arguments.extend(["-f".to_owned(), folder.path("hosts.json").display().to_string()]);
    let magpie = Magpie::run(&site.gateway, &arguments)?;
    let mut asker = Station::new("asker", &site.switch, "down")?;
    let add = |magpie: &Magpie, target: Ipv6Addr, more: &[&str]| -> Outcome {
        let target = target.to_string();
        let mut arguments = vec!["rules", "add", &target, "deny", "--persist"];
        arguments.extend(more);
        succeed(&command(&site.gateway, magpie, &arguments)?)
    };
    add(&magpie, denied, &[])?;
    asker.expect_answers(&[lost], &[denied])?;
    magpie.stop()?;

    file.write(&format!("[[relay]]\nlinks = [\"guest\", \"lan\", \"wan\"]\n{rule}"))?;
    let magpie = Magpie::run(&site.gateway, &arguments)?;
    asker.expect_answers(&[lost], &[denied])?;
    assert!(!magpie.log().contains(" rests: "), "{}", magpie.log());
    add(&magpie, lost, &["--on", "guest"])?;
    magpie.stop()?;

    // What applies nowhere is told, also where nothing is called otherwise.
    file.write(&format!("{HOME}{rule}"))?;
    let magpie = Magpie::run(&site.gateway, &arguments)?;
    asker.expect_answers(&[lost], &[denied])?;
    let resting = format!("the rule {lost}/128 deny of");
    let is_told = |magpie: &Magpie| -> Result<bool, Box<dyn Error>> {
        Ok(magpie.status()?.warnings.iter().any(|told| told.contains(&resting)))
    };
    assert!(is_told(&magpie)? && magpie.log().contains(&resting), "{}", magpie.log());
    file.write(&format!("[[relay]]\nlinks = [\"guest\", \"lan\", \"wan\"]\n{rule}"))?;
    reload(&site.gateway, &magpie)?;
    assert!(!is_told(&magpie)?);
    magpie.stop()?;
    Ok(())
}

/// They are there again without anybody asking for them.
fn hosts_of_added_rules_survive() -> Outcome {
    let site = Site::new()?;
    let file = ConfigFile::new(
        "[[responder]]\nname = \"home\"\nlinks = [\"wan\", \"lan\"]\nprefixes = []\n\
         [[responder.rule]]\nprefix = \"2001:db8:99::1\"\nmethod = \"deny\"\n",
    )?;
    let folder = Folder::new()?;
    let mut arguments = file.arguments();
    arguments.extend(["-f".to_owned(), folder.path("hosts.json").display().to_string()]);
    let magpie = Magpie::run(&site.gateway, &arguments)?;
    let (_lower, lower_address) = site.host("lower", "down", 0x21)?;
    let add = ["rules", "add", "2001:db8:7::/64", "probe"];
    let persist = ["rules", "add", "2001:db8:7::/64", "probe", "--persist"];
    succeed(&command(&site.gateway, &magpie, &persist)?)?;
    let mut asker = Station::new("asker", &site.switch, "up")?;
    asker.resolve(lower_address)?;
    magpie.await_host(lower_address, "lan")?;
    magpie.stop()?;

    let magpie = Magpie::run(&site.gateway, &arguments)?;
    magpie.await_host(lower_address, "lan")?;
    // Not only those that are there from the beginning count.
    succeed(&command(&site.gateway, &magpie, &["rules", "remove", "2001:db8:7::/64"])?)?;
    succeed(&command(&site.gateway, &magpie, &persist)?)?;
    asker.resolve(lower_address)?;
    magpie.stop()?;
    fs::remove_file(folder.path("hosts.rules.json"))?;
    let magpie = Magpie::run(&site.gateway, &arguments)?;
    assert_eq!(magpie.hosts()?, []);
    succeed(&command(&site.gateway, &magpie, &add)?)?;
    magpie.await_host(lower_address, "lan")?;
    magpie.stop()?;
    Ok(())
}

fn added_rules_last_only_with_a_state_file() -> Outcome {
    let site = Site::new()?;
    let file = ConfigFile::new(HOME)?;
    let magpie = Magpie::run(&site.gateway, file.arguments())?;
    let output =
        command(&site.gateway, &magpie, &["rules", "add", "2001:db8:9::9", "static", "--persist"])?;
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "{complaint}");
    assert!(complaint.contains("state-file"), "{complaint}");
    magpie.stop()?;
    Ok(())
}

/// Two more links of the gateway, "left" and "right", with a host on each, in another subnet.
struct Other {
    left: Host,
    left_address: Ipv6Addr,
    right: Host,
    right_address: Ipv6Addr,
}

impl Other {
    fn new(site: &Site) -> Result<Self, Box<dyn Error>> {
        add_link(site, "left")?;
        add_link(site, "right")?;
        let host = |name: &str, number: u16| -> Result<(Host, Ipv6Addr), Box<dyn Error>> {
            let options = HostOptions { accept_ra: false, ..HostOptions::default() };
            let host = Host::new(&format!("host-{name}"), &site.switch, name, &options)?;
            host.wait_link_local(Host::LINK, LIMIT)?;
            let address = Ipv6Addr::new(0x2001, 0xdb8, 8, 0, 0, 0, 0, number);
            host.add_address(Host::LINK, address, 64)?;
            host.wait_address(Host::LINK, address, AddressState::Valid, LIMIT)?;
            Ok((host, address))
        };
        let (left, left_address) = host("left", 0x11)?;
        let (right, right_address) = host("right", 0x21)?;
        Ok(Self { left, left_address, right, right_address })
    }
}

/// Gives the gateway one more link to a bridge of its own, both of this name.
fn add_link(site: &Site, name: &str) -> Outcome {
    site.switch.add_bridge(&Bridge::new(name))?;
    connect(&site.gateway.plug(name), &site.switch.plug(&format!("gw-{name}")).bridge(name))?;
    site.gateway.wait_link_local(name, LIMIT)?;
    Ok(())
}

fn reload(node: &Node, magpie: &Magpie) -> Outcome {
    succeed(&command(node, magpie, &["reload"])?)
}

fn succeed(output: &Output) -> Outcome {
    if output.status.success() {
        return Ok(());
    }
    Err(String::from_utf8_lossy(&output.stderr).into_owned().into())
}

fn command(node: &Node, magpie: &Magpie, arguments: &[&str]) -> Result<Output, Box<dyn Error>> {
    Ok(Magpie::command(node)?.args(arguments).arg("--control").arg(magpie.control()).output()?)
}

/// The routes to a single address that lead there.
fn routes_to(node: &Node, address: Ipv6Addr) -> Result<Vec<RouteEvent>, Box<dyn Error>> {
    let mut routes = node.routes()?;
    routes.retain(|route| route.prefix_len == 128 && route.destination == address);
    Ok(routes)
}

fn await_route(node: &Node, address: Ipv6Addr) -> Result<RouteEvent, Box<dyn Error>> {
    let look = |routes: &[RouteEvent]| {
        let mut to_hosts = routes.iter().filter(|route| route.prefix_len == 128);
        to_hosts.find(|route| route.destination == address).cloned()
    };
    Ok(node.wait_routes(LIMIT, "a host route", look)?)
}

fn await_no_route(node: &Node, address: Ipv6Addr) -> Outcome {
    let look = |routes: &[RouteEvent]| {
        let mut to_hosts = routes.iter().filter(|route| route.prefix_len == 128);
        to_hosts.all(|route| route.destination != address).then_some(())
    };
    Ok(node.wait_routes(LIMIT, "no host route", look)?)
}
