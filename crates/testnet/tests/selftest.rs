//! Checks the test kit itself, and the kernel's side of `magpie-sys`, against the real kernel.
#![forbid(unsafe_code)]

use std::error::Error;
use std::net::Ipv6Addr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};
use std::{env, fs, io, process};

use libtest_mimic::{Arguments, Failed, Trial};
use magpie_sys::guard::{Guard, GuardedLink};
use magpie_sys::netlink::{
    AddressFlags, Batch, Change, Connection, Errno, Event, Family, Group, HostRoute, LinkChange,
    LinkPlace, MacvlanMode, Monitor, NeighborState, NetlinkSocket, NewAddress, NewMacvlan, Route,
    RouteKind,
};
use magpie_testnet::{
    AddressState, Bridge, Capture, Frame, Host, HostOptions, Node, Ping, PingError, Pinger,
    RouterAdvertiser, RouterAdvertiserOptions, Tester, connect, icmpv6_frame, ping_once,
};
use magpie_wire::{Advert, LinkAddr, Message, Packet, Solicit, multicast_lladdr, solicited_node};

type Outcome = Result<(), Box<dyn Error>>;

fn main() -> ExitCode {
    if env::var_os(CHILD).is_some() {
        return list_links();
    }
    if let Err(error) = magpie_testnet::enter() {
        eprintln!("cannot run these tests: {}", chain(&error));
        return ExitCode::FAILURE;
    }
    let tests = vec![
        trial("hosts_make_addresses_from_advertisements", hosts_make_addresses_from_advertisements),
        trial("duplicate_addresses_are_found", duplicate_addresses_are_found),
        trial("a_moved_host_keeps_its_address", a_moved_host_keeps_its_address),
        trial("an_unplugged_host_has_no_carrier", an_unplugged_host_has_no_carrier),
        trial("a_tester_alone_decides_what_is_sent", a_tester_alone_decides_what_is_sent),
        trial("a_snooping_bridge_asks_for_groups", a_snooping_bridge_asks_for_groups),
        trial("reported_errors_end_a_ping", reported_errors_end_a_ping),
        trial("a_pinger_sees_an_outage", a_pinger_sees_an_outage),
        trial("a_capture_is_written_on_request", a_capture_is_written_on_request),
        trial("a_command_runs_inside_its_node", a_command_runs_inside_its_node),
        trial("settings_are_those_of_the_node", settings_are_those_of_the_node),
        trial("icm_01_guard_stops_forwarded_solicitations", guard_stops_forwarded_solicitations),
        trial("icm_02_guard_stops_errors_about_scope", guard_stops_errors_about_scope),
        trial("icm_07_guard_leaves_own_addresses_alone", guard_leaves_own_addresses_alone),
        trial("guard_follows_its_links_and_goes_with_its_socket", guard_follows_its_links),
        trial("icm_07_guard_leaves_the_ports_of_a_bridge_alone", guard_leaves_ports_alone),
        trial("guard_works_on_macvlans", guard_works_on_macvlans),
        trial("a_monitor_tells_what_changes", a_monitor_tells_what_changes),
        trial("a_monitor_tells_misses", a_monitor_tells_misses),
        trial("leaving_a_bridge_is_no_deletion", leaving_a_bridge_is_no_deletion),
        trial("rte_09_an_overrun_is_told", an_overrun_is_told),
        trial("routes_are_added_in_batches_and_acknowledged", routes_are_added_in_batches),
        trial("rte_12_twenty_thousand_routes_come_and_go", twenty_thousand_routes_come_and_go),
        trial("rte_08_a_route_is_replaced_in_one_step", a_route_is_replaced_in_one_step),
        trial("rte_03_only_the_exact_route_is_deleted", only_the_exact_route_is_deleted),
        trial("links_are_made_changed_and_moved", links_are_made_changed_and_moved),
        trial("addresses_carry_flags_and_lifetimes", addresses_carry_flags_and_lifetimes),
        trial("neighbors_and_proxy_entries_are_apart", neighbors_and_proxy_entries_are_apart),
    ];
    let mut arguments = Arguments::from_args();
    // The tests wait for kernels' timers most of the time.
    arguments.test_threads.get_or_insert(8);
    libtest_mimic::run(&arguments, tests).exit_code()
}

fn hosts_make_addresses_from_advertisements() -> Outcome {
    let switch = lan()?;
    let router = Node::new("router")?;
    router.set_forwarding()?;
    connect(&router.plug("lan"), &switch.plug("router").bridge("lan"))?;
    let options = RouterAdvertiserOptions {
        mtu: Some(1400),
        ..RouterAdvertiserOptions::new(address("2001:db8:5::"))
    };
    let _advertiser = RouterAdvertiser::start(&router, "lan", &options)?;

    let first = Host::new("first", &switch, "lan", &HostOptions::default())?;
    let second = Host::new("second", &switch, "lan", &HostOptions::default())?;
    first.wait_address_in(Host::LINK, address("2001:db8:5::"), 64, LIMIT)?;
    let second_address = second.wait_address_in(Host::LINK, address("2001:db8:5::"), 64, LIMIT)?;
    ping_once(&first, &Ping::new(second_address), LIMIT)?;
    first.wait_routes(LIMIT, "a default route", |routes| {
        routes.iter().find(|route| route.prefix_len == 0 && route.gateway.is_some()).map(drop)
    })?;
    assert_eq!(first.conf(Host::LINK, "mtu")?, "1400");
    first.flush_neighbors(Host::LINK)?;
    assert_eq!(
        first.neighbors()?.iter().filter(|found| found.address == second_address).count(),
        0
    );
    Ok(())
}

fn duplicate_addresses_are_found() -> Outcome {
    let switch = lan()?;
    let first = Host::new("first", &switch, "lan", &HostOptions::default())?;
    let second = Host::new("second", &switch, "lan", &HostOptions::default())?;
    first.add_address(Host::LINK, address("2001:db8::1"), 64)?;
    first.wait_address(Host::LINK, address("2001:db8::1"), AddressState::Valid, LIMIT)?;
    second.add_address(Host::LINK, address("2001:db8::1"), 64)?;
    second.wait_address(Host::LINK, address("2001:db8::1"), AddressState::Duplicate, LIMIT)?;
    let outcome =
        second.wait_address(Host::LINK, address("2001:db8::1"), AddressState::Valid, TICK);
    let explained = chain(&outcome.err().ok_or("a duplicate became valid")?);
    assert!(explained.contains("dadfailed"), "{explained}");
    Ok(())
}

fn a_moved_host_keeps_its_address() -> Outcome {
    let (switch, far) = (lan()?, lan()?);
    let (first, mut second) = pair(&switch)?;
    let ping = Ping::new(address("2001:db8::2"));
    ping_once(&first, &ping, LIMIT)?;
    for (switch, bridge) in [(&switch, "other"), (&far, "lan")] {
        second.move_to(switch, bridge)?;
        let outcome = ping_once(&first, &ping, Duration::from_millis(200));
        assert!(matches!(outcome, Err(PingError::Timeout { .. })), "{outcome:?}");
    }
    second.move_to(&switch, "lan")?;
    second.wait_address(Host::LINK, address("2001:db8::2"), AddressState::Valid, LIMIT)?;
    // The kernel of the first host may be busy giving up.
    first.flush_neighbors(Host::LINK)?;
    Pinger::start(&first, &ping, TICK)?.wait_reply(LIMIT)?;
    Ok(())
}

fn an_unplugged_host_has_no_carrier() -> Outcome {
    let switch = lan()?;
    let (first, second) = pair(&switch)?;
    second.unplug()?;
    let link = second.link(Host::LINK)?;
    assert!(link.up && !link.carrier, "{link:?}");
    second.replug()?;
    assert!(second.link(Host::LINK)?.carrier);
    ping_once(&first, &Ping::new(address("2001:db8::2")), LIMIT)?;
    Ok(())
}

fn a_tester_alone_decides_what_is_sent() -> Outcome {
    let switch = lan()?;
    let lladdr = LinkAddr([2, 0, 0, 0, 0, 0x77]);
    let mut tester = Tester::new("tester", &switch, "lan", Some(lladdr))?;
    let host = Host::new("host", &switch, "lan", &HostOptions::default())?;
    host.add_address(Host::LINK, address("2001:db8::1"), 64)?;
    // The host checks its address for duplicates, and the tester sees it with its nonce.
    tester.expect(LIMIT, "Duplicate Address Detection", |frame| {
        let packet = frame.packet()?;
        let Message::Solicit(solicit) = packet.message else { return None };
        (packet.is_dad() && solicit.target == address("2001:db8::1")).then_some(())
    })?;
    host.wait_address(Host::LINK, address("2001:db8::1"), AddressState::Valid, LIMIT)?;
    tester.send_packet(&solicit(&tester, address("2001:db8::1"), None))?;
    let advert =
        tester.expect(LIMIT, "an advertisement", |frame| match frame.packet()?.message {
            Message::Advert(advert) => Some(advert),
            _ => None,
        })?;
    assert_eq!(
        advert,
        Advert {
            target: address("2001:db8::1"),
            router: false,
            solicited: true,
            overrides: true,
            target_lladdr: Some(host.lladdr(Host::LINK)?),
        }
    );
    // Nobody answers for an address that nobody has, not even the tester's own kernel.
    tester.send_packet(&solicit(&tester, address("2001:db8::99"), None))?;
    tester.expect_none(Duration::from_millis(100), "an advertisement", |frame| {
        matches!(frame.packet().map(|packet| packet.message), Some(Message::Advert(_)))
    })?;
    Ok(())
}

fn a_snooping_bridge_asks_for_groups() -> Outcome {
    let switch = Node::switch("switch")?;
    switch.add_bridge(&Bridge::new("flooding"))?;
    switch.add_bridge(&Bridge::new("snooping").snooping(Duration::from_secs(1)))?;
    let mut flooded = Tester::new("flooded", &switch, "flooding", None)?;
    let mut snooped = Tester::new("snooped", &switch, "snooping", None)?;
    switch.set_multicast_router("snooped", 2)?;
    let is_query = |frame: &Frame| {
        frame.packet().is_some_and(|packet| packet.message == Message::ListenerQuery)
    };
    snooped.expect(LIMIT, "a listener query", |frame| is_query(frame).then_some(()))?;
    flooded.expect_none(Duration::ZERO, "anything", |_| true)?;
    Ok(())
}

fn reported_errors_end_a_ping() -> Outcome {
    let switch = lan()?;
    let (first, router) = pair(&switch)?;
    router.set_forwarding()?;
    router.add_route(&Route {
        kind: RouteKind::UNREACHABLE,
        oif: None,
        ..Route::on_link(address("2001:db8:dead::"), 48, 0)
    })?;
    first.add_default_route(Host::LINK, address("2001:db8::2"))?;
    let outcome = ping_once(&first, &Ping::new(address("2001:db8:dead::1")), LIMIT);
    assert!(
        matches!(outcome, Err(PingError::Reported { from, kind: 1, code: 0, .. })
            if from == address("2001:db8::2")),
        "{outcome:?}"
    );
    Ok(())
}

fn a_pinger_sees_an_outage() -> Outcome {
    let switch = lan()?;
    let (first, second) = pair(&switch)?;
    let pinger = Pinger::start(&first, &Ping::new(address("2001:db8::2")), TICK)?;
    pinger.wait_reply(LIMIT)?;
    switch.set_bridge("second", Some("other"))?;
    let outage = Instant::now();
    let silence = pinger.wait_reply(Duration::from_millis(300));
    assert!(silence.is_err(), "a reply came through a cut");
    switch.set_bridge("second", Some("lan"))?;
    pinger.wait_reply(LIMIT)?;
    let outage = outage.elapsed();
    drop(second);
    let report = pinger.stop();
    let seen = report.longest_outage();
    assert!(seen >= Duration::from_millis(250) && seen <= outage + TICK * 4, "{seen:?} {outage:?}");
    assert!(report.lost() >= 10, "{report:?}");
    assert!(report.round_trips().all(|time| time < Duration::from_secs(1)));
    Ok(())
}

fn a_capture_is_written_on_request() -> Outcome {
    let switch = lan()?;
    let directory = env::temp_dir().join(format!("magpie-selftest-{}", process::id()));
    let (first, _second) = pair(&switch)?;
    let links = [(first.node(), Host::LINK), (&switch, "second")];
    let capture = Capture::start(&directory, "capture", &links)?;
    ping_once(&first, &Ping::new(address("2001:db8::2")).payload_len(97), LIMIT)?;
    // The reply is captured on two links, on another thread.
    let echo_reply = [129, 0];
    magpie_testnet::wait_for(LIMIT, "the capture of a reply", || {
        let file = fs::read(capture.save().ok()?).ok()?;
        let replies = file.windows(2).filter(|window| *window == echo_reply).count();
        (replies >= 2).then_some(())
    })?;
    fs::remove_dir_all(directory)?;
    Ok(())
}

fn a_command_runs_inside_its_node() -> Outcome {
    let node = Node::new("node")?;
    node.add_bridge(&Bridge::new("only-here"))?;
    let output = node.command(env::current_exe()?)?.env(CHILD, "1").output()?;
    let links = String::from_utf8(output.stdout)?;
    assert_eq!(links.split_whitespace().collect::<Vec<_>>(), ["lo", "only-here"]);
    Ok(())
}

fn settings_are_those_of_the_node() -> Outcome {
    let (first, second) = (Node::new("first")?, Node::new("second")?);
    for node in [&first, &second] {
        node.add_bridge(&Bridge::new("eth0.5"))?;
    }
    first.set_conf("eth0.5", "hop_limit", 17)?;
    first.set_neigh("eth0.5", "app_solicit", 3)?;
    assert_eq!(first.conf("eth0.5", "hop_limit")?, "17");
    assert_eq!(second.conf("eth0.5", "hop_limit")?, "64");
    let error = first.set_conf("eth1", "hop_limit", 17).err().ok_or("there is no such link")?;
    assert!(chain(&error).contains("/proc/sys/net/ipv6/conf/eth1/hop_limit"), "{error}");
    Ok(())
}

fn guard_stops_forwarded_solicitations() -> Outcome {
    let mut stage = Stage::new()?;
    let question = stage.unicast_solicit(address("2001:db8::77"), STAGE_TARGET);
    // Without the guard the kernel forwards it: this test would see it.
    stage.up.send_packet(&question)?;
    let hop_limit = stage.down.expect(LIMIT, "the forwarded solicitation", |frame| {
        frame.icmpv6().filter(|found| found.kind == 135).map(|found| found.hop_limit)
    })?;
    assert_eq!(hop_limit, 254);

    let _guard = stage.guard()?;
    stage.watch.clear()?;
    stage.up.send_packet(&question)?;
    stage.watch.expect(LIMIT, "the solicitation at the router", |frame| {
        (frame.packet()? == question).then_some(())
    })?;
    stage.down.expect_none(SILENCE, "a forwarded solicitation", |frame| {
        frame.icmpv6().is_some_and(|found| found.kind == 135 && found.hop_limit != 255)
    })?;
    stage.up.expect_none(Duration::ZERO, "an error or a redirect", |frame| {
        frame.icmpv6().is_some_and(|found| matches!(found.kind, 1..=127 | 137))
    })?;
    Ok(())
}

fn guard_stops_errors_about_scope() -> Outcome {
    let mut stage = Stage::new()?;
    let question = stage.unicast_solicit(address("fe80::77"), STAGE_TARGET);
    stage.up.send_packet(&question)?;
    let code = stage.up.expect(LIMIT, "an error", |frame| {
        frame.icmpv6().filter(|found| found.kind == 1).map(|found| found.code)
    })?;
    assert_eq!(code, 2, "beyond the scope of the source address");

    let _guard = stage.guard()?;
    stage.up.send_packet(&question)?;
    stage.up.expect_none(SILENCE, "an error", |frame| {
        frame.icmpv6().is_some_and(|found| found.kind == 1)
    })?;
    Ok(())
}

fn guard_leaves_own_addresses_alone() -> Outcome {
    let mut stage = Stage::new()?;
    let _guard = stage.guard()?;
    let own = [stage.router_link_local, STAGE_ROUTER];
    for target in own {
        for question in [
            stage.unicast_solicit(address("fe80::77"), target),
            solicit(&stage.up, target, Some(address("fe80::77"))),
        ] {
            stage.up.send_packet(&question)?;
            stage.up.expect(LIMIT, "an advertisement", |frame| match frame.packet()?.message {
                Message::Advert(advert) if advert.target == target => Some(()),
                _ => None,
            })?;
        }
    }
    // An ordinary host, with a kernel that sends and receives all kinds of ND, does not notice.
    let host = Host::new("host", &stage.switch, "up", &HostOptions::default())?;
    host.add_address(Host::LINK, address("2001:db8::5"), 64)?;
    host.wait_address(Host::LINK, address("2001:db8::5"), AddressState::Valid, LIMIT)?;
    ping_once(&host, &Ping::new(STAGE_ROUTER), LIMIT)?;
    // Traffic that is not Neighbor Discovery is forwarded.
    let echo = icmpv6_frame(
        (stage.up.lladdr(), stage.router_lladdr),
        (address("2001:db8::77"), STAGE_TARGET),
        64,
        (128, 0),
        &[0, 1, 0, 1],
    );
    stage.up.send(&echo)?;
    stage.down.expect(LIMIT, "the echo request", |frame| {
        frame.icmpv6().filter(|found| found.kind == 128 && found.hop_limit == 63).map(drop)
    })?;
    Ok(())
}

fn guard_follows_its_links() -> Outcome {
    let mut stage = Stage::new()?;
    let question = stage.unicast_solicit(address("2001:db8::77"), STAGE_TARGET);
    let mut guard = stage.guard()?;
    stage.expect_forwarded(&question, false)?;
    guard.update(&[])?;
    stage.expect_forwarded(&question, true)?;
    let up = guarded(&stage.router, "up")?;
    guard.update(&[up.clone(), guarded(&stage.router, "down")?])?;
    stage.expect_forwarded(&question, false)?;
    // What is not addressed to the link is not for the guard.
    guard.update(&[GuardedLink { lladdr: Some(LinkAddr([2, 0, 0, 0, 0, 9])), ..up }])?;
    stage.expect_forwarded(&question, true)?;
    drop(guard);
    stage.expect_forwarded(&question, true)?;
    // Nothing is left of the old one that a new one could run into.
    let _guard = stage.guard()?;
    stage.expect_forwarded(&question, false)
}

fn guard_leaves_ports_alone() -> Outcome {
    let mut gateway = Gateway::new()?;
    show_bridged_packets_to_filters(&gateway.node)?;
    let mut tester = Tester::new("tester", &gateway.node, "lan", Some(TESTER))?;
    gateway.node.wait_link_local("lan", LIMIT)?;
    gateway.expect_forwarded(&tester, "lan", true)?;
    let _guard = gateway.guard("lan")?;

    let (first, second) = pair(&gateway.node)?;
    let (first_address, second_address) = (address("2001:db8::1"), address("2001:db8::2"));
    for _ in 0..2 {
        ping_once(&first, &Ping::new(second_address), LIMIT)?;
        for host in [&first, &second] {
            host.flush_neighbors(Host::LINK)?;
        }
        ping_once(&second, &Ping::new(first_address), LIMIT)?;
    }
    let probe = Packet {
        ethernet_destination: first.lladdr(Host::LINK)?,
        destination: first_address,
        ..solicit(&tester, first_address, Some(address("fe80::77")))
    };
    tester.send_packet(&probe)?;
    tester.expect(LIMIT, "the host's answer", |frame| match frame.packet()?.message {
        Message::Advert(advert) if advert.target == first_address => Some(()),
        _ => None,
    })?;

    tester.clear()?;
    gateway.expect_forwarded(&tester, "lan", false)?;
    tester.expect_none(Duration::ZERO, "an error or a redirect", |frame| {
        frame.icmpv6().is_some_and(|found| matches!(found.kind, 1..=127 | 137))
    })?;
    Ok(())
}

fn guard_works_on_macvlans() -> Outcome {
    let mut gateway = Gateway::new()?;
    let tester = Tester::new("tester", &gateway.node, "lan", Some(TESTER))?;
    let link = gateway.node.ifindex("lan")?;
    gateway.node.execute("add a macvlan", |batch| {
        batch.add_macvlan(&NewMacvlan {
            name: "upper",
            place: LinkPlace::default(),
            link,
            mode: MacvlanMode::Bridge,
        });
    })?;
    gateway.node.set_up("upper")?;
    gateway.node.wait_link_local("upper", LIMIT)?;
    gateway.expect_forwarded(&tester, "upper", true)?;
    let guard = gateway.guard("upper")?;
    gateway.expect_forwarded(&tester, "upper", false)?;
    // The lower link's own address is not the macvlan's.
    gateway.expect_forwarded(&tester, "lan", true)?;
    drop(guard);
    gateway.expect_forwarded(&tester, "upper", true)
}

fn a_monitor_tells_what_changes() -> Outcome {
    let node = Node::new("node")?;
    let mut monitor = monitor(&node, &Group::ALL)?;
    let ifindex = node.add_bridge(&Bridge::new("br0"))?;
    let link = await_event(&mut monitor, "the bridge", |event| match event {
        Event::Link(Change::Present(link)) if link.name == "br0" => Some(link),
        _ => None,
    })?;
    assert_eq!((link.ifindex, link.kind.as_deref()), (ifindex, Some("bridge")));

    node.add_address_nodad("br0", address("2001:db8::1"), 64)?;
    await_event(&mut monitor, "the address", |event| match event {
        Event::Address(Change::Present(found)) if found.address == address("2001:db8::1") => {
            (found.ifindex == ifindex && found.prefix_len == 64).then_some(())
        }
        _ => None,
    })?;
    let route = host_route(1, ifindex);
    node.add_route(&route.into())?;
    await_event(&mut monitor, "the route", |event| match event {
        Event::Route(Change::Present(found)) if found.protocol == PROTOCOL => {
            (found.destination == route.destination && found.oif == Some(ifindex)).then_some(())
        }
        _ => None,
    })?;
    let lladdr = LinkAddr([2, 0, 0, 0, 0, 9]);
    node.add_permanent_neighbor("br0", address("2001:db8::9"), lladdr)?;
    await_event(&mut monitor, "the neighbor", |event| match event {
        Event::Neighbor(Change::Present(found)) => {
            (found.lladdr == Some(lladdr) && found.state == NeighborState::PERMANENT).then_some(())
        }
        _ => None,
    })?;
    node.delete_link("br0")?;
    let mut gone = Vec::new();
    await_event(&mut monitor, "the end of it all", |event| {
        match event {
            Event::Link(Change::Absent(link)) if link.ifindex == ifindex => return Some(()),
            Event::Address(Change::Absent(_)) => gone.push("address"),
            Event::Route(Change::Absent(found)) if found.protocol == PROTOCOL => gone.push("route"),
            Event::Neighbor(Change::Absent(_)) => gone.push("neighbor"),
            _ => {}
        }
        None
    })?;
    gone.sort_unstable();
    gone.dedup();
    assert_eq!(gone, ["address", "neighbor", "route"]);
    Ok(())
}

fn a_monitor_tells_misses() -> Outcome {
    let switch = lan()?;
    let host = Host::new("host", &switch, "lan", &HostOptions::default())?;
    host.add_address_nodad(Host::LINK, address("2001:db8::1"), 64)?;
    host.set_neigh(Host::LINK, "app_solicit", 1)?;
    let mut monitor = monitor(&host, &[Group::Neighbor])?;
    let outcome = ping_once(&host, &Ping::new(address("2001:db8::404")), Duration::ZERO);
    assert!(outcome.is_err());
    let miss = await_event(&mut monitor, "a miss", |event| match event {
        Event::Neighbor(Change::Present(neighbor)) if neighbor.is_miss => Some(neighbor),
        _ => None,
    })?;
    assert_eq!(
        (miss.address, miss.state, miss.lladdr),
        (address("2001:db8::404"), NeighborState::INCOMPLETE, None)
    );
    Ok(())
}

fn leaving_a_bridge_is_no_deletion() -> Outcome {
    let switch = lan()?;
    let tester = Tester::new("tester", &switch, "lan", None)?;
    let port = switch.link("tester")?;
    assert!(port.is_bridge_port());
    assert_eq!(port.master, Some(switch.ifindex("lan")?));
    let mut monitor = monitor(&switch, &[Group::Link])?;
    switch.set_bridge("tester", None)?;
    await_event(&mut monitor, "a port without a bridge", |event| match event {
        Event::Link(Change::Absent(link)) => panic!("{link:?}"),
        Event::Link(Change::Present(link)) if link.ifindex == port.ifindex => {
            (link.master.is_none() && !link.is_bridge_port()).then_some(())
        }
        _ => None,
    })?;
    drop(tester);
    Ok(())
}

fn an_overrun_is_told() -> Outcome {
    let node = Node::new("node")?;
    let ifindex = node.add_bridge(&Bridge::new("br0"))?;
    let mut monitor = monitor(&node, &[Group::Route])?;
    monitor.set_receive_buffer(4096)?;
    node.execute("add routes", |batch| {
        for number in 0..256 {
            batch.add_host_route(&host_route(number, ifindex));
        }
    })?;
    await_event(&mut monitor, "an overrun", |event| matches!(event, Event::Overrun).then_some(()))?;
    // What is read after it is new, and a dump tells the rest.
    while monitor.read(drop)? > 0 {}
    node.delete_route(&host_route(0, ifindex).into())?;
    await_event(&mut monitor, "a change after the overrun", |event| match event {
        Event::Route(Change::Absent(route)) => (route.protocol == PROTOCOL).then_some(()),
        _ => None,
    })?;
    Ok(())
}

fn routes_are_added_in_batches() -> Outcome {
    let node = Node::new("node")?;
    let ifindex = node.add_bridge(&Bridge::new("br0"))?;
    let (mut socket, mut connection) = {
        let _inside = node.enter()?;
        (NetlinkSocket::open(Family::Route)?, Connection::open()?)
    };
    let mut batch = Batch::new();
    let wanted: Vec<_> =
        (0..256).map(|number| batch.add_host_route(&host_route(number, ifindex))).collect();
    socket.send(&batch)?;
    let mut answers = Vec::new();
    socket.read_acks(|seq, verdict| {
        answers.push(seq);
        assert_eq!(verdict, Ok(()), "{seq}");
    })?;
    assert_eq!(answers, wanted, "the kernel answers before the sending returns");
    assert_eq!(connection.routes(Some(PROTOCOL))?.len(), 256);
    assert!(connection.routes(None)?.len() > 256);

    // Numbers go on, and a refusal is told apart from its neighbors.
    batch.clear();
    let exists = batch.add_host_route(&host_route(7, ifindex));
    let fresh = batch.add_host_route(&host_route(256, ifindex));
    let nowhere = batch.add_host_route(&host_route(257, 9999));
    socket.send(&batch)?;
    let mut answers = Vec::new();
    socket.read_acks(|seq, verdict| answers.push((seq, verdict.map_err(|error| error.errno))))?;
    assert_eq!(
        answers,
        [(exists, Err(Errno::EXIST)), (fresh, Ok(())), (nowhere, Err(Errno::NODEV))]
    );
    assert!(!wanted.contains(&fresh));
    let gateway = Some(address("ff02::1"));
    let error = node.add_route(&Route { gateway, ..host_route(1, ifindex).into() });
    let explained = chain(&error.err().ok_or("a group became a gateway")?);
    assert!(explained.contains("(Invalid gateway address)"), "{explained}");
    Ok(())
}

fn twenty_thousand_routes_come_and_go() -> Outcome {
    // A second each is expected; ten is what a busy machine may take.
    let limit = Duration::from_secs(10);
    let node = Node::new("node")?;
    let ifindex = node.add_bridge(&Bridge::new("br0"))?;
    let (mut socket, mut connection) = {
        let _inside = node.enter()?;
        (NetlinkSocket::open(Family::Route)?, Connection::open()?)
    };
    let mut batch = Batch::new();
    let changes: [fn(&mut Batch, &HostRoute) -> u32; 2] =
        [Batch::replace_host_route, Batch::delete_host_route];
    for (change, left) in changes.into_iter().zip([20_480, 0]) {
        let start = Instant::now();
        let mut answers = 0;
        for chunk in 0..80 {
            batch.clear();
            for number in 0..256 {
                change(&mut batch, &host_route(chunk * 256 + number, ifindex));
            }
            socket.send(&batch)?;
            socket.read_acks(|seq, verdict| {
                assert_eq!(verdict, Ok(()), "{seq}");
                answers += 1;
            })?;
        }
        assert_eq!(answers, 20_480);
        assert!(start.elapsed() < limit, "{:?}", start.elapsed());
        assert_eq!(connection.routes(Some(PROTOCOL))?.len(), left);
    }
    Ok(())
}

fn a_route_is_replaced_in_one_step() -> Outcome {
    let node = Node::new("node")?;
    let first = node.add_bridge(&Bridge::new("br0"))?;
    let second = node.add_bridge(&Bridge::new("br1"))?;
    let (before, after) = (host_route(1, first), host_route(1, second));
    node.execute("add a route", |batch| {
        batch.replace_host_route(&before);
    })?;
    let mut monitor = monitor(&node, &[Group::Route])?;
    node.execute("replace a route", |batch| {
        batch.replace_host_route(&after);
    })?;
    await_event(&mut monitor, "the new route", |event| match event {
        Event::Route(Change::Present(route)) if route.oif == Some(second) => Some(()),
        event => panic!("{event:?}"),
    })?;
    let routes: Vec<_> =
        node.routes()?.into_iter().filter(|route| route.protocol == PROTOCOL).collect();
    assert_eq!(routes.iter().map(|route| route.oif).collect::<Vec<_>>(), [Some(second)]);
    Ok(())
}

fn only_the_exact_route_is_deleted() -> Outcome {
    let node = Node::new("node")?;
    let first = node.add_bridge(&Bridge::new("br0"))?;
    let second = node.add_bridge(&Bridge::new("br1"))?;
    let route = host_route(1, first);
    node.add_route(&route.into())?;
    for wrong in [
        HostRoute { oif: second, ..route },
        HostRoute { metric: route.metric + 1, ..route },
        HostRoute { protocol: 4, ..route },
        HostRoute { table: 255, ..route },
        host_route(2, first),
    ] {
        let error = node.delete_route(&wrong.into()).err().ok_or("another route was deleted")?;
        assert!(chain(&error).contains("No such process"), "{wrong:?}: {}", chain(&error));
    }
    node.delete_route(&route.into())?;
    Ok(())
}

fn links_are_made_changed_and_moved() -> Outcome {
    let (first, second) = (Node::new("first")?, Node::new("second")?);
    connect(&first.plug("eth0"), &second.plug("eth0"))?;
    let lladdr = LinkAddr([2, 0, 0, 0, 0, 0x42]);
    let ifindex = first.ifindex("eth0")?;
    first.execute("add a macvlan", |batch| {
        batch.add_macvlan(&NewMacvlan {
            name: "mac0",
            place: LinkPlace { lladdr: Some(lladdr), ..LinkPlace::default() },
            link: ifindex,
            mode: MacvlanMode::Bridge,
        });
    })?;
    let link = first.link("mac0")?;
    assert_eq!(
        (link.kind.as_deref(), link.lladdr, link.link, link.up),
        (Some("macvlan"), Some(lladdr), Some(ifindex), false)
    );
    let change = LinkChange {
        name: Some("renamed"),
        mtu: Some(1300),
        lladdr: Some(LinkAddr([2, 0, 0, 0, 0, 0x43])),
        up: Some(true),
        ..LinkChange::default()
    };
    first.set_link("mac0", &change)?;
    let link = first.link("renamed")?;
    assert_eq!((link.mtu, link.lladdr, link.up), (1300, change.lladdr, true));
    assert_eq!((link.link_type, link.ifindex), (1, first.ifindex("renamed")?));
    let namespace = std::os::fd::AsFd::as_fd(second.namespace());
    let change = LinkChange { namespace: Some(namespace), ..LinkChange::default() };
    first.set_link("renamed", &change)?;
    assert_eq!(second.link("renamed")?.mtu, 1300);
    assert!(matches!(first.link("renamed"), Err(magpie_testnet::Error::NoLink { .. })));
    Ok(())
}

fn addresses_carry_flags_and_lifetimes() -> Outcome {
    let node = Node::new("node")?;
    let ifindex = node.add_bridge(&Bridge::new("br0"))?;
    node.execute("add an address", |batch| {
        batch.add_address(&NewAddress {
            flags: AddressFlags::NODAD | AddressFlags::NO_PREFIX_ROUTE,
            lifetimes: Some((0, 600)),
            ..NewAddress::new(ifindex, address("2001:db8::1"), 64)
        });
    })?;
    let found = node.addresses("br0")?;
    let found = found
        .iter()
        .find(|found| found.address == address("2001:db8::1"))
        .ok_or("the address is not there")?;
    assert!(found.is_deprecated() && !found.is_tentative() && !found.is_duplicate());
    assert!(found.flags.contains(AddressFlags::NODAD | AddressFlags::NO_PREFIX_ROUTE));
    assert_eq!((found.prefix_len, found.scope), (64, 0));
    assert_eq!(found.preferred_lifetime, Some(Duration::ZERO));
    assert!(found.valid_lifetime > Some(Duration::from_secs(590)));
    node.delete_address("br0", address("2001:db8::1"), 64)?;
    assert!(!node.addresses("br0")?.iter().any(|found| found.address == address("2001:db8::1")));
    Ok(())
}

fn neighbors_and_proxy_entries_are_apart() -> Outcome {
    let node = Node::new("node")?;
    let ifindex = node.add_bridge(&Bridge::new("br0"))?;
    let lladdr = LinkAddr([2, 0, 0, 0, 0, 9]);
    node.add_permanent_neighbor("br0", address("2001:db8::1"), lladdr)?;
    node.add_proxy_neighbor("br0", address("2001:db8::2"))?;
    let mut connection = {
        let _inside = node.enter()?;
        Connection::open()?
    };
    let neighbors = connection.neighbors()?;
    let neighbors: Vec<_> = neighbors
        .iter()
        .filter(|found| found.ifindex == ifindex && !found.address.is_multicast())
        .collect();
    let [neighbor] = neighbors[..] else { panic!("{neighbors:?}") };
    assert_eq!((neighbor.address, neighbor.lladdr), (address("2001:db8::1"), Some(lladdr)));
    let proxies = connection.proxy_neighbors()?;
    let [proxy] = &proxies[..] else { panic!("{proxies:?}") };
    assert_eq!((proxy.address, proxy.is_proxy), (address("2001:db8::2"), true));
    connection.execute("clean up", |batch| {
        batch.delete_neighbor(ifindex, address("2001:db8::1"));
        batch.delete_proxy_neighbor(ifindex, address("2001:db8::2"));
    })?;
    assert!(connection.proxy_neighbors()?.is_empty());
    Ok(())
}

/// A router between two bridges with a tester on each, and a host route to a target behind `down`.
struct Stage {
    switch: Arc<Node>,
    router: Node,
    router_lladdr: LinkAddr,
    router_link_local: Ipv6Addr,
    up: Tester,
    down: Tester,
    /// Sees what arrives at the router from `up`.
    watch: Tester,
}

impl Stage {
    fn new() -> Result<Self, Box<dyn Error>> {
        let switch = Node::switch("switch")?;
        let router = Node::new("router")?;
        router.set_forwarding()?;
        for bridge in ["up", "down"] {
            switch.add_bridge(&Bridge::new(bridge))?;
            let port = format!("router-{bridge}");
            connect(&router.plug(bridge), &switch.plug(&port).bridge(bridge))?;
        }
        router.add_address_nodad("up", STAGE_ROUTER, 64)?;
        let route =
            HostRoute { destination: STAGE_TARGET, ..host_route(0, router.ifindex("down")?) };
        router.add_route(&route.into())?;
        // The target's link-layer address is known, so that packets to it leave at once.
        router.add_permanent_neighbor("down", STAGE_TARGET, LinkAddr([2, 0, 0, 0, 0, 0x21]))?;
        for source in ["fe80::77", "2001:db8::77"] {
            router.add_permanent_neighbor("up", address(source), TESTER)?;
        }
        let router_link_local = router.wait_link_local("up", LIMIT)?;
        router.wait_link_local("down", LIMIT)?;
        let switch = Arc::new(switch);
        Ok(Self {
            router_lladdr: router.lladdr("up")?,
            router_link_local,
            up: Tester::new("up-tester", &switch, "up", Some(TESTER))?,
            down: Tester::new("down-tester", &switch, "down", None)?,
            watch: Tester::attach(&router, "up")?,
            router,
            switch,
        })
    }

    fn guard(&self) -> Result<Guard, Box<dyn Error>> {
        let _inside = self.router.enter()?;
        Ok(Guard::install(&[guarded(&self.router, "up")?])?)
    }

    /// A probe of the target's reachability, sent to the router alone.
    fn unicast_solicit(&self, source: Ipv6Addr, target: Ipv6Addr) -> Packet<'static> {
        Packet {
            ethernet_destination: self.router_lladdr,
            destination: target,
            ..solicit(&self.up, target, Some(source))
        }
    }

    fn expect_forwarded(&mut self, question: &Packet<'_>, forwarded: bool) -> Outcome {
        let is_question = |frame: &Frame| {
            frame.icmpv6().is_some_and(|found| found.kind == 135 && found.hop_limit == 254)
        };
        self.down.clear()?;
        self.up.send_packet(question)?;
        if forwarded {
            self.down.expect(LIMIT, "a forwarded solicitation", |frame| {
                is_question(frame).then_some(())
            })?;
        } else {
            self.down.expect_none(SILENCE, "a forwarded solicitation", is_question)?;
        }
        Ok(())
    }
}

/// A router with hosts on its bridge "lan" and a target behind its bridge "wan".
struct Gateway {
    node: Arc<Node>,
    /// On "wan".
    far: Tester,
}

impl Gateway {
    fn new() -> Result<Self, Box<dyn Error>> {
        let node = Node::new("gateway")?;
        node.set_forwarding()?;
        for (bridge, number) in [("lan", 1), ("wan", 2)] {
            // Otherwise it would change with the ports.
            let lladdr = LinkAddr([2, 0, 0, 0, 1, number]);
            node.add_bridge(&Bridge::new(bridge).lladdr(lladdr))?;
        }
        let route = HostRoute { destination: STAGE_TARGET, ..host_route(0, node.ifindex("wan")?) };
        node.add_route(&route.into())?;
        node.add_permanent_neighbor("wan", STAGE_TARGET, LinkAddr([2, 0, 0, 0, 0, 0x21]))?;
        let node = Arc::new(node);
        let far = Tester::new("far", &node, "wan", None)?;
        node.wait_link_local("wan", LIMIT)?;
        Ok(Self { node, far })
    }

    fn guard(&self, link: &str) -> Result<Guard, Box<dyn Error>> {
        let _inside = self.node.enter()?;
        Ok(Guard::install(&[guarded(&self.node, link)?])?)
    }

    /// Probes the target at the link-layer address of `link`, whose packet sockets see that in any
    /// case.
    fn expect_forwarded(&mut self, tester: &Tester, link: &str, forwarded: bool) -> Outcome {
        let mut watch = Tester::attach(&self.node, link)?;
        let question = Packet {
            ethernet_destination: watch.lladdr(),
            destination: STAGE_TARGET,
            ..solicit(tester, STAGE_TARGET, Some(address("2001:db8:7::77")))
        };
        let is_question = |frame: &Frame| {
            frame.icmpv6().is_some_and(|found| found.kind == 135 && found.hop_limit == 254)
        };
        self.far.clear()?;
        tester.send_packet(&question)?;
        watch.expect(LIMIT, "the probe at the link", |frame| {
            (frame.packet()? == question).then_some(())
        })?;
        if forwarded {
            self.far
                .expect(LIMIT, "the forwarded probe", |frame| is_question(frame).then_some(()))?;
        } else {
            self.far.expect_none(SILENCE, "the forwarded probe", is_question)?;
        }
        Ok(())
    }
}

/// Makes the node show what its bridges pass on to its filters of IPv6, as `br_netfilter` does by
/// default; says so on kernels that cannot.
fn show_bridged_packets_to_filters(node: &Node) -> Outcome {
    let _inside = node.enter()?;
    match fs::write(BRIDGE_FILTERS, "1") {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            eprintln!("{BRIDGE_FILTERS} is not there: no filter sees what bridges pass on");
            Ok(())
        }
        outcome => Ok(outcome?),
    }
}

fn guarded(node: &Node, link: &str) -> Result<GuardedLink, Box<dyn Error>> {
    let (ifindex, lladdr) = (node.ifindex(link)?, node.lladdr(link)?);
    Ok(GuardedLink { ifindex, name: link.to_owned(), lladdr: Some(lladdr) })
}

/// Two hosts with checked addresses, `2001:db8::1` and `2001:db8::2`, on the bridge "lan".
fn pair(switch: &Arc<Node>) -> Result<(Host, Host), Box<dyn Error>> {
    let first = Host::new("first", switch, "lan", &HostOptions::default())?;
    let second = Host::new("second", switch, "lan", &HostOptions::default())?;
    for (host, text) in [(&first, "2001:db8::1"), (&second, "2001:db8::2")] {
        host.add_address(Host::LINK, address(text), 64)?;
    }
    for (host, text) in [(&first, "2001:db8::1"), (&second, "2001:db8::2")] {
        host.wait_address(Host::LINK, address(text), AddressState::Valid, LIMIT)?;
    }
    Ok((first, second))
}

fn lan() -> Result<Arc<Node>, Box<dyn Error>> {
    let switch = Node::switch("switch")?;
    switch.add_bridge(&Bridge::new("lan"))?;
    switch.add_bridge(&Bridge::new("other"))?;
    Ok(Arc::new(switch))
}

fn solicit(tester: &Tester, target: Ipv6Addr, source: Option<Ipv6Addr>) -> Packet<'static> {
    let group = solicited_node(target);
    let source_lladdr = Some(tester.lladdr());
    Packet {
        ethernet_source: tester.lladdr(),
        ethernet_destination: multicast_lladdr(group),
        source: source.unwrap_or(address("2001:db8::7")),
        destination: group,
        message: Message::Solicit(Solicit { target, source_lladdr, nonce: None }),
    }
}

fn host_route(number: u16, oif: u32) -> HostRoute {
    let destination = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 1, number);
    HostRoute { destination, oif, metric: 512, table: Route::MAIN_TABLE, protocol: PROTOCOL }
}

fn monitor(node: &Node, groups: &[Group]) -> Result<Monitor, Box<dyn Error>> {
    let _inside = node.enter()?;
    Ok(Monitor::open(groups)?)
}

fn await_event<T>(
    monitor: &mut Monitor,
    what: &str,
    mut find: impl FnMut(Event) -> Option<T>,
) -> Result<T, Box<dyn Error>> {
    let deadline = Instant::now() + LIMIT;
    while monitor.wait_readable(deadline)? {
        let mut found = None;
        monitor.read(|event| {
            if found.is_none() {
                found = find(event);
            }
        })?;
        if let Some(found) = found {
            return Ok(found);
        }
    }
    Err(format!("waited {LIMIT:?} for {what}").into())
}

fn address(text: &str) -> Ipv6Addr {
    text.parse().expect("tests know how to write addresses")
}

fn trial(name: &str, run: fn() -> Outcome) -> Trial {
    Trial::test(name, move || run().map_err(|error| Failed::from(chain(&*error))))
}

/// An error and its causes in one line.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}

/// What the process does that a test starts inside a node.
fn list_links() -> ExitCode {
    let Ok(mut connection) = Connection::open() else { return ExitCode::FAILURE };
    let Ok(links) = connection.links() else { return ExitCode::FAILURE };
    for link in links {
        println!("{}", link.name);
    }
    ExitCode::SUCCESS
}

const CHILD: &str = "MAGPIE_TESTNET_SELFTEST_CHILD";
const LIMIT: Duration = Duration::from_secs(10);
const SILENCE: Duration = Duration::from_millis(150);
const TICK: Duration = Duration::from_millis(20);
const PROTOCOL: u8 = 109;
const BRIDGE_FILTERS: &str = "/proc/sys/net/bridge/bridge-nf-call-ip6tables";
const TESTER: LinkAddr = LinkAddr([2, 0, 0, 0, 0, 0x77]);
const STAGE_ROUTER: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);
const STAGE_TARGET: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x21);
