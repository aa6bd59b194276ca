//! Behind switches that deliver multicast only to those who asked for it, hosts are found all the
//! same (RFC 4541, RFC 4286).
#![forbid(unsafe_code)]

mod common;

use std::error::Error;
use std::net::Ipv6Addr;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use common::{
    LIMIT, Magpie, Outcome, PREFIX, Site, Station, host_address, is_search_for, solicited,
};
use magpie_testnet::{Bridge, Frame, Node, Ping, Tester, connect, icmpv6_frame, ping_once};
use magpie_wire::{
    ALL_NODES, ALL_ROUTERS, ALL_SNOOPERS, Advert, LinkAddr, Message, Packet, multicast_lladdr,
    solicited_node,
};

fn main() -> ExitCode {
    common::run(&[
        ("mcl_06_hosts_never_seen_are_found", hosts_never_seen_are_found),
        ("mcl_01_learned_groups_are_joined", learned_groups_are_joined),
        ("mcl_03_the_report_precedes_the_probe", the_report_precedes_the_probe),
        ("mcl_04_memberships_outlive_queries_and_outages", memberships_outlive_queries_and_outages),
        ("mcl_06_advertisements_are_correct", advertisements_are_correct),
        ("mcl_07_nobody_becomes_the_querier", nobody_becomes_the_querier),
        (
            "mcl_08_reports_before_and_after_the_link_local_address",
            reports_before_and_after_the_link_local_address,
        ),
        ("mcl_11_news_for_routers_alone_are_heard", news_for_routers_alone_are_heard),
        ("mcl_12_the_link_may_be_the_bridge_itself", the_link_may_be_the_bridge_itself),
    ])
}

fn hosts_never_seen_are_found() -> Outcome {
    let site = snooping_site()?;
    // They have their addresses before there is a daemon that could hear of them.
    let (lower, lower_address) = site.host("lower", "down", 0x21)?;
    let (upper, upper_address) = site.host("upper", "up", 0x11)?;
    let magpie = Magpie::start(&site.gateway)?;
    let mut stations = [
        (Station::new("asker-up", &site.switch, "up")?, lower_address),
        (Station::new("asker-down", &site.switch, "down")?, upper_address),
    ];
    await_pruning(&site.switch, "up")?;
    await_pruning(&site.switch, "down")?;
    assert_eq!(magpie.hosts()?, [], "the hosts are known already");

    let mut bystanders = [
        Station::new("dull-up", &site.switch, "up")?,
        Station::new("dull-down", &site.switch, "down")?,
    ];
    for ((asker, target), bystander) in stations.iter_mut().zip(&mut bystanders) {
        let start = Instant::now();
        asker.resolve(*target)?;
        assert!(start.elapsed() <= Duration::from_secs(2), "{target}: {:?}", start.elapsed());
        let overheard = bystander.collect(Duration::ZERO)?;
        let overheard = overheard.iter().filter(|frame| is_search_for(frame, *target)).count();
        assert_eq!(overheard, 0, "the switch does not prune");
    }
    ping_once(&upper, &Ping::new(lower_address), LIMIT)?;
    ping_once(&lower, &Ping::new(upper_address), LIMIT)?;
    ping_once(&site.router, &Ping::new(lower_address), LIMIT)?;
    magpie.stop()?;
    Ok(())
}

fn learned_groups_are_joined() -> Outcome {
    let site = snooping_site()?;
    let magpie = Magpie::start(&site.gateway)?;
    // The switch knows of no router behind the gateway's port: what the gateway asked for itself
    // is all that it gets.
    let [port, _] = Site::gateway_ports(&site.gateway);
    site.switch.set_multicast_router(&port, 0)?;
    let mut observer = router_port(&site.switch, "observer", "up")?;
    let mut asker = Station::new("asker", &site.switch, "up")?;
    await_pruning(&site.switch, "up")?;
    observer.clear()?;
    let (_lower, address) = site.host("lower", "down", 0xab_21)?;
    let group = solicited_node(address);
    let own = site.gateway.lladdr("wan")?;
    observer.expect(LIMIT, &format!("a report for {group}"), |frame| {
        joins(frame, own).contains(&group).then_some(())
    })?;
    magpie.await_host(address, "lan")?;
    let start = Instant::now();
    asker.resolve(address)?;
    assert!(start.elapsed() <= Duration::from_secs(2), "{:?}", start.elapsed());

    // MCL-02: nobody needs the group any longer.
    magpie.stop()?;
    observer.expect(LIMIT, &format!("a report that leaves {group}"), |frame| {
        leaves(frame, own).contains(&group).then_some(())
    })?;
    Ok(())
}

fn the_report_precedes_the_probe() -> Outcome {
    let site = snooping_site()?;
    let magpie = Magpie::start(&site.gateway)?;
    let mut observer = router_port(&site.switch, "observer", "up")?;
    let lower = Station::new("lower", &site.switch, "down")?;
    await_pruning(&site.switch, "up")?;
    observer.clear()?;
    let own = site.gateway.lladdr("wan")?;
    for number in 1..=3_u8 {
        // MCL-09: the group's link-layer address is made of the low 32 bits of the group.
        let [a, b, c, d, ..] = PREFIX.segments();
        let target = Ipv6Addr::new(a, b, c, d, 0, 0, 0x12ab, 0xcd00 | u16::from(number));
        lower.probe(target, Some([9, 9, 9, 9, 9, number]))?;
        let mut has_joined = false;
        let destination = observer.expect(LIMIT, "the probe, passed on", |frame| {
            has_joined |= joins(frame, own).contains(&solicited_node(target));
            let packet = frame.packet()?;
            let is_it = packet.is_dad() && solicited(&packet) == Some(target);
            is_it.then_some(packet.ethernet_destination)
        })?;
        assert!(has_joined, "the probe for {target} came before the report");
        assert_eq!(destination, LinkAddr([0x33, 0x33, 0xff, 0xab, 0xcd, number]));
    }
    magpie.stop()?;
    Ok(())
}

fn memberships_outlive_queries_and_outages() -> Outcome {
    let site = snooping_site()?;
    let magpie = Magpie::start(&site.gateway)?;
    let [port, _] = Site::gateway_ports(&site.gateway);
    site.switch.set_multicast_router(&port, 0)?;
    let (_lower, address) = site.host("lower", "down", 0xab_21)?;
    magpie.await_host(address, "lan")?;
    let group = solicited_node(address);
    let own = site.gateway.lladdr("wan")?;
    let mut observer = router_port(&site.switch, "observer", "up")?;
    let mut asker = Station::new("asker", &site.switch, "up")?;
    await_pruning(&site.switch, "up")?;

    observer.clear()?;
    observer.send(&general_query(&observer))?;
    observer.expect(LIMIT, &format!("a report for {group}"), |frame| {
        joins(frame, own).contains(&group).then_some(())
    })?;
    asker.resolve(address)?;

    site.switch.set_down(&port)?;
    site.gateway.wait_carrier("wan", false)?;
    site.switch.set_up(&port)?;
    site.gateway.wait_carrier("wan", true)?;
    site.gateway.wait_link_local("wan", LIMIT)?;
    let start = Instant::now();
    asker.resolve(address)?;
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    magpie.stop()?;
    Ok(())
}

fn advertisements_are_correct() -> Outcome {
    let site = snooping_site()?;
    // At the other end of the gateway's cable: a Linux bridge that snoops drops solicitations and
    // terminations as too short, although they are as long as RFC 4286 wants them.
    let [port, _] = Site::gateway_ports(&site.gateway);
    let mut observer = Station::of(Tester::attach(&site.switch, &port)?);
    let magpie = Magpie::start(&site.gateway)?;
    let own = site.gateway.lladdr("wan")?;
    let advertisement = observer.expect(LIMIT, "a Multicast Router Advertisement", |frame| {
        let (header, message) = listener_message(frame, own)?;
        (message.first() == Some(&151)).then(|| (header.to_vec(), message.to_vec(), frame.clone()))
    })?;
    let (header, message, frame) = advertisement;
    assert_eq!(header.get(7), Some(&1), "hop limit");
    assert_eq!(header.get(40..48), Some(&[58, 0, 5, 2, 0, 0, 1, 0][..]), "Router Alert for MLD");
    assert_eq!(message.get(1), Some(&20), "seconds between advertisements");
    let packet = frame.packet().ok_or("not a correct message")?;
    assert!(packet.source.is_unicast_link_local(), "{packet:?}");
    assert_eq!(packet.destination, ALL_SNOOPERS);
    assert_eq!(packet.ethernet_destination, multicast_lladdr(ALL_SNOOPERS));

    // The initial ones over, a solicitation is answered.
    for _ in 0..2 {
        observer.expect(LIMIT, "the next initial one", |frame| is_listener(frame, own, 151))?;
    }
    observer.send_packet(&Packet {
        ethernet_source: observer.lladdr(),
        ethernet_destination: multicast_lladdr(ALL_ROUTERS),
        source: observer.link_local,
        destination: ALL_ROUTERS,
        message: Message::MulticastRouterSolicit,
    })?;
    observer.expect(LIMIT, "an advertisement in answer", |frame| is_listener(frame, own, 151))?;

    magpie.stop()?;
    // MCL-07: it never becomes the querier.
    observer.expect(LIMIT, "a Multicast Router Termination", |frame| {
        assert_eq!(is_listener(frame, own, 130), None, "a query");
        is_listener(frame, own, 153)
    })?;
    Ok(())
}

/// RFC 3810 section 7.6.2: the querier is elected, and who joins in that changes who it is.
fn nobody_becomes_the_querier() -> Outcome {
    let site = Site::new()?;
    let mut ends = Vec::new();
    for port in Site::gateway_ports(&site.gateway) {
        ends.push(Station::of(Tester::attach(&site.switch, &port)?));
    }
    let own = [site.gateway.lladdr("wan")?, site.gateway.lladdr("lan")?];
    let magpie = Magpie::start(&site.gateway)?;
    let (_lower, address) = site.host("lower", "down", 0x21)?;
    magpie.await_host(address, "lan")?;
    // Neither where there is none, nor beside another.
    let querier = Station::new("querier", &site.switch, "up")?;
    for _ in 0..2 {
        for (end, own) in ends.iter_mut().zip(own) {
            let window = Duration::from_secs(2);
            end.expect_none(window, "a query", |frame| is_listener(frame, own, 130).is_some())?;
        }
        querier.send(&general_query(&querier))?;
    }
    let [upper, _] = ends.as_mut_slice() else { unreachable!("there are two") };
    // They would be seen: the gateway's reports are.
    let group = solicited_node(address);
    upper.clear()?;
    querier.send(&general_query(&querier))?;
    upper.expect(LIMIT, "a report", |frame| joins(frame, own[0]).contains(&group).then_some(()))?;
    magpie.stop()?;
    Ok(())
}

/// RFC 3590: what is reported from the unspecified address, since there is no other yet, switches
/// may ignore. The kernel reports it again from the link-local address. A querier would have
/// everything reported when it asks.
fn reports_before_and_after_the_link_local_address() -> Outcome {
    let site = Site::new()?;
    let [port, _] = Site::gateway_ports(&site.gateway);
    let mut observer = Station::of(Tester::attach(&site.switch, &port)?);
    let magpie = Magpie::start(&site.gateway)?;
    let (_lower, address) = site.host("lower", "down", 0xab_21)?;
    magpie.await_host(address, "lan")?;
    let group = solicited_node(address);
    let own = site.gateway.lladdr("wan")?;

    // Its link-local address goes with the link, and is tentative when it comes back.
    site.gateway.set_down("wan")?;
    site.gateway.wait_carrier("wan", false)?;
    observer.clear()?;
    site.gateway.set_up("wan")?;
    let mut from = |what: &str, is_it: fn(&Ipv6Addr) -> bool| {
        observer.expect(LIMIT, &format!("a report for {group} from {what} address"), |frame| {
            let is_from = reporter(frame).is_some_and(|source| is_it(&source));
            (is_from && joins(frame, own).contains(&group)).then_some(())
        })
    };
    from("the unspecified", Ipv6Addr::is_unspecified)?;
    from("a link-local", Ipv6Addr::is_unicast_link_local)?;
    magpie.stop()?;
    Ok(())
}

fn news_for_routers_alone_are_heard() -> Outcome {
    let site = snooping_site()?;
    let magpie = Magpie::start(&site.gateway)?;
    let [_, port] = Site::gateway_ports(&site.gateway);
    site.switch.set_multicast_router(&port, 0)?;
    let mut lower = Station::new("lower", &site.switch, "down")?;
    await_pruning(&site.switch, "down")?;
    let target = host_address(0x31);
    let mut watch = magpie.watch()?;
    // RFC 9131 section 6.1.2: a host tells the routers that it has a new address.
    let news = Packet {
        ethernet_source: lower.lladdr(),
        ethernet_destination: multicast_lladdr(ALL_ROUTERS),
        source: target,
        destination: ALL_ROUTERS,
        message: Message::Advert(Advert {
            target,
            router: false,
            solicited: false,
            overrides: false,
            target_lladdr: Some(lower.lladdr()),
        }),
    };
    // Hosts say it up to three times (RFC 4861 section 7.2.6): the switch may not have heard of the
    // gateway's membership at first.
    let asker = repeat_until_asked(&mut lower, &news, target)?;
    lower.answer(target, asker)?;
    Magpie::await_event(&mut watch, "the host to be found", |event| {
        (event.address == Some(target.into())).then_some(())
    })?;
    magpie.await_host(target, "lan")?;
    magpie.stop()?;
    Ok(())
}

fn repeat_until_asked(
    station: &mut Station,
    news: &Packet<'_>,
    target: Ipv6Addr,
) -> Result<(Ipv6Addr, LinkAddr), Box<dyn Error>> {
    let mut asked: Result<_, Box<dyn Error>> = Err("nothing was said".into());
    for _ in 0..3 {
        station.send_packet(news)?;
        let heard = station.expect(LIMIT / 3, "a solicitation", |frame| {
            let packet = frame.packet()?;
            (solicited(&packet)? == target).then_some((packet.source, packet.ethernet_source))
        });
        asked = heard.map_err(Into::into);
        if asked.is_ok() {
            break;
        }
    }
    asked
}

fn the_link_may_be_the_bridge_itself() -> Outcome {
    let bridges = [Bridge::new("up"), Bridge::new("down")];
    let site = Site::with(bridges, |gateway, switch| {
        connect(&gateway.plug("wan"), &switch.plug("gw-wan").bridge("up"))?;
        add_own_bridge(gateway, switch)
    })?;
    let (_upper, first) = site.host("upper", "up", 0x11)?;
    let (_other, second) = site.host("other", "up", 0x12)?;
    let magpie = Magpie::start(&site.gateway)?;
    let asker = Station::new("asker", &site.switch, "down")?;
    ask_over_own_bridge(&site, asker, first)?;

    // MCL-10: the same with a device that took the name of the first.
    let mut watch = magpie.watch()?;
    site.gateway.delete_link("lan")?;
    site.gateway.delete_link("lan-port")?;
    add_own_bridge(&site.gateway, &site.switch)?;
    site.gateway.wait_link_local("lan", LIMIT)?;
    Magpie::await_event(&mut watch, "the new link to be served", |event| {
        (event.link.as_deref() == Some("lan") && event.detail.as_deref() == Some("up"))
            .then_some(())
    })?;
    let asker = Station::new("asker2", &site.switch, "down")?;
    ask_over_own_bridge(&site, asker, second)?;
    magpie.stop()?;
    Ok(())
}

fn ask_over_own_bridge(site: &Site, mut asker: Station, target: Ipv6Addr) -> Outcome {
    await_pruning(&site.gateway, "lan")?;
    let start = Instant::now();
    let answer = asker.resolve(target)?;
    assert!(start.elapsed() <= Duration::from_secs(2), "{:?}", start.elapsed());
    // NAO-09.
    assert_eq!(answer.ethernet_source, site.gateway.lladdr("lan")?);
    Ok(())
}

/// A site whose links are switches that snoop.
fn snooping_site() -> Result<Site, Box<dyn Error>> {
    let bridges = ["up", "down"].map(|name| Bridge::new(name).snooping(QUERY_INTERVAL));
    Site::with(bridges, |gateway, switch| {
        connect(&gateway.plug("wan"), &switch.plug("gw-wan").bridge("up"))?;
        Ok(connect(&gateway.plug("lan"), &switch.plug("gw-lan").bridge("down"))?)
    })
}

/// Makes the gateway's link "lan" a bridge that snoops.
fn add_own_bridge(gateway: &Node, switch: &Node) -> Outcome {
    gateway.add_bridge(&Bridge::new("lan").lladdr(BRIDGE).snooping(QUERY_INTERVAL))?;
    Ok(connect(&gateway.plug("lan-port").bridge("lan"), &switch.plug("gw-lan").bridge("down"))?)
}

/// Waits until a bridge no longer floods: until a question for a group that nobody asked for does
/// not reach the other port.
fn await_pruning(switch: &Node, bridge: &str) -> Outcome {
    let names = ["prune-1", "prune-2"].map(|name| format!("{name}-{bridge}"));
    let sender = Tester::new(&names[0], switch, bridge, None)?;
    let mut receiver = Tester::new(&names[1], switch, bridge, None)?;
    let sender = Station::of(sender);
    let deadline = Instant::now() + Duration::from_secs(45);
    // In no prefix of the site, so that the daemon leaves it alone.
    let target = Ipv6Addr::new(0x2001, 0xdb8, 0xffff, 0, 0, 0, 0x77, 0x7777);
    while Instant::now() < deadline {
        sender.ask(target)?;
        let arrived = receiver.expect(Duration::from_millis(300), "the question", |frame| {
            is_search_for(frame, target).then_some(())
        });
        if arrived.is_err() {
            // The ports go, and leave nothing behind.
            return Ok(());
        }
    }
    Err(format!("{bridge} does not prune").into())
}

/// A station on a port to which the bridge sends all multicast.
fn router_port(switch: &Node, name: &str, bridge: &str) -> Result<Station, Box<dyn Error>> {
    let station = Station::new(name, switch, bridge)?;
    switch.set_multicast_router(name, 2)?;
    Ok(station)
}

/// The message of a frame with a hop-by-hop header from a station, and the headers before it from
/// the IPv6 header on.
fn listener_message(frame: &Frame, from: LinkAddr) -> Option<(&[u8], &[u8])> {
    let (ethernet, packet) = frame.bytes.split_at_checked(14)?;
    let is_it = ethernet.get(6..12) == Some(&from.0[..])
        && ethernet.get(12..14) == Some(&[0x86, 0xdd][..])
        && packet.get(6) == Some(&0)
        && packet.get(40) == Some(&58);
    is_it.then(|| packet.split_at_checked(48))?
}

fn is_listener(frame: &Frame, from: LinkAddr, kind: u8) -> Option<()> {
    let (_, message) = listener_message(frame, from)?;
    (message.first() == Some(&kind)).then_some(())
}

/// What a station reports of groups (RFC 3810 section 5.2, RFC 2710 section 3): kind and group. A
/// bridge that queries speaks the older version, and its hosts adapt to that.
fn reports(frame: &Frame, from: LinkAddr) -> Vec<(Report, Ipv6Addr)> {
    let Some((_, message)) = listener_message(frame, from) else { return Vec::new() };
    match message {
        [131, _, _, _, _, _, _, _, group @ ..] => older(Report::Joins, group),
        [132, _, _, _, _, _, _, _, group @ ..] => older(Report::Leaves, group),
        [143, _, _, _, _, _, _, count, records @ ..] => {
            // None of those here has sources.
            let (records, _) = records.as_chunks::<20>();
            let records = records.iter().take(usize::from(*count));
            records
                .map(|[kind, _, _, _, group @ ..]| {
                    // MODE_IS_EXCLUDE and CHANGE_TO_EXCLUDE_MODE.
                    let is_member = matches!(kind, 2 | 4);
                    let report = if is_member { Report::Joins } else { Report::Leaves };
                    (report, Ipv6Addr::from(*group))
                })
                .collect()
        }
        _ => Vec::new(),
    }
}

fn older(report: Report, group: &[u8]) -> Vec<(Report, Ipv6Addr)> {
    group.first_chunk::<16>().map(|group| (report, Ipv6Addr::from(*group))).into_iter().collect()
}

/// The IPv6 source of a frame.
fn reporter(frame: &Frame) -> Option<Ipv6Addr> {
    let source = frame.bytes.get(14 + 8..)?.first_chunk::<16>()?;
    Some(Ipv6Addr::from(*source))
}

/// The groups that a report is a sign of membership in.
fn joins(frame: &Frame, from: LinkAddr) -> Vec<Ipv6Addr> {
    of_kind(frame, from, Report::Joins)
}

/// The groups that a report leaves.
fn leaves(frame: &Frame, from: LinkAddr) -> Vec<Ipv6Addr> {
    of_kind(frame, from, Report::Leaves)
}

fn of_kind(frame: &Frame, from: LinkAddr, wanted: Report) -> Vec<Ipv6Addr> {
    let reports = reports(frame, from);
    reports.into_iter().filter(|(kind, _)| *kind == wanted).map(|(_, group)| group).collect()
}

/// What a listener says of a group.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Report {
    Joins,
    Leaves,
}

/// A general query of a querier that has just come (RFC 3810 section 5.1), to be answered within
/// a tenth of a second.
fn general_query(station: &Station) -> Vec<u8> {
    let mut body = vec![0, 100, 0, 0];
    body.extend_from_slice(&[0; 16]);
    body.extend_from_slice(&[2, 125, 0, 0]);
    let plain = icmpv6_frame(
        (station.lladdr(), multicast_lladdr(ALL_NODES)),
        (station.link_local, ALL_NODES),
        1,
        (130, 0),
        &body,
    );
    // The Router Alert goes between the headers; the checksum covers neither.
    let (headers, message) = plain.split_at(54);
    let mut frame = headers.to_vec();
    let len = u16::try_from(message.len() + 8).expect("a query is short");
    frame[18..20].copy_from_slice(&len.to_be_bytes());
    frame[20] = 0;
    frame.extend_from_slice(&[58, 0, 5, 2, 0, 0, 1, 0]);
    frame.extend_from_slice(message);
    frame
}

/// The shortest that the kernel takes; a bridge prunes when ten seconds more have passed.
const QUERY_INTERVAL: Duration = Duration::from_secs(1);
/// Without an address of its own a bridge changes it with its ports.
const BRIDGE: LinkAddr = LinkAddr([2, 0, 0, 0, 0, 0x11]);
