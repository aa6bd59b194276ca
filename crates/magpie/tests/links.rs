//! Links of all kinds work, and whatever happens to them while the daemon runs.
#![forbid(unsafe_code)]

mod common;

use std::collections::BTreeSet;
use std::error::Error;
use std::ffi::OsStr;
use std::fs;
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use common::{
    ConfigFile, Folder, LIMIT, Magpie, Options, Outcome, Site, Station, answer_for, host_address,
    is_in_group, is_search_for, ping_until, solicited,
};
use magpie_control::{Client, EventKind, Watch};
use magpie_sys::netlink::{LinkChange, LinkPlace, MacvlanMode, NewMacvlan};
use magpie_testnet::{Bridge, Frame, Ping, Pinger, Tester, connect, icmpv6_frame, ping_once};
use magpie_wire::{LinkAddr, Message, solicited_node};
use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, prlimit};

fn main() -> ExitCode {
    common::run(&[
        ("lnk_01_a_bridge_and_a_macvlan_are_links", a_bridge_and_a_macvlan_are_links),
        ("lnk_02_lnk_03_tagged_frames_are_of_other_networks", tagged_frames_are_of_other_networks),
        ("lnk_04_odd_frames_do_no_harm", odd_frames_do_no_harm),
        ("lnk_05_a_bridge_port_is_refused_with_advice", a_bridge_port_is_refused_with_advice),
        ("lnk_05_a_bridge_is_used_in_the_stead_of_its_port", a_bridge_is_used_for_its_port),
        ("lnk_05_a_link_that_becomes_a_port_is_left", a_link_that_becomes_a_port_is_left),
        ("lnk_05_a_bridge_takes_the_place_of_its_port", a_bridge_takes_the_place_of_its_port),
        ("lnk_05_the_ports_of_a_bridge_are_the_bridge", the_ports_of_a_bridge_are_the_bridge),
        ("lnk_06_a_macvlan_waits_for_the_device_below", a_macvlan_waits_for_the_device_below),
        ("lnk_11_a_link_is_followed_when_renamed", a_link_is_followed_when_renamed),
        ("lnk_12_a_link_may_go_down_and_up", a_link_may_go_down_and_up),
        ("lnk_12_a_link_may_be_made_anew", a_link_may_be_made_anew),
        ("lnk_12_a_socket_that_cannot_be_opened_is_tried_again", a_socket_is_tried_again),
        ("lnk_16_many_links_are_taken_as_they_come", many_links_are_taken_as_they_come),
        ("lnk_16_links_are_taken_by_kind", links_are_taken_by_kind),
        ("lnk_17_link_local_addresses_stay_on_their_link", link_local_addresses_stay_on_their_link),
        ("nao_11_beside_the_kernels_proxy_one_answers", beside_the_kernels_proxy_one_answers),
        ("nsi_19_lnk_07_echoes_do_not_circle", echoes_do_not_circle),
    ])
}

fn a_bridge_and_a_macvlan_are_links() -> Outcome {
    let site = Site::with([Bridge::new("up"), Bridge::new("down")], |gateway, switch| {
        connect(&gateway.plug("below"), &switch.plug("gw-wan").bridge("up"))?;
        let link = gateway.ifindex("below")?;
        gateway.set_conf("below", "disable_ipv6", 1)?;
        gateway.execute("add the macvlan wan", |batch| {
            batch.add_macvlan(&NewMacvlan {
                name: "wan",
                place: LinkPlace::default(),
                link,
                mode: MacvlanMode::Private,
            });
        })?;
        gateway.set_up("wan")?;
        gateway.wait_carrier("wan", true)?;
        gateway.add_bridge(&Bridge::new("lan").lladdr(BRIDGE))?;
        for name in ["lan-1", "lan-2"] {
            let far = format!("gw-{name}");
            let mut plug = switch.plug(&far);
            if name == "lan-1" {
                plug = plug.bridge("down");
            }
            connect(&gateway.plug(name).bridge("lan"), &plug)?;
        }
        Ok(())
    })?;
    let magpie = Magpie::start(&site.gateway)?;
    let (upper, upper_address) = site.host("upper", "up", 0x11)?;
    let (lower, lower_address) = site.host("lower", "down", 0x21)?;
    ping_once(&upper, &Ping::new(lower_address), LIMIT)?;
    ping_once(&lower, &Ping::new(upper_address), LIMIT)?;
    let mut asker = Station::new("asker", &site.switch, "up")?;
    let answer = asker.resolve(lower_address)?;
    let own = site.gateway.lladdr("wan")?;
    assert_ne!(own, site.gateway.lladdr("below")?);
    assert_eq!((answer.ethernet_source, answer.advert.target_lladdr), (own, Some(own)));
    // NAO-09: the bridge speaks for its ports.
    let mut asker = Station::new("asker-down", &site.switch, "down")?;
    let answer = asker.resolve(upper_address)?;
    assert_eq!((answer.ethernet_source, answer.advert.target_lladdr), (BRIDGE, Some(BRIDGE)));
    magpie.stop()?;
    Ok(())
}

fn tagged_frames_are_of_other_networks() -> Outcome {
    let site = Site::new()?;
    let magpie = Magpie::start(&site.gateway)?;
    let (_lower, known) = site.host("lower", "down", 0x21)?;
    magpie.await_host(known, "lan")?;
    let mut asker = Station::new("asker", &site.switch, "up")?;
    let mut observer = Station::new("observer", &site.switch, "down")?;
    asker.resolve(known)?;
    let unknown = host_address(0x99);
    asker.clear()?;
    observer.clear()?;
    for target in [known, unknown] {
        for tags in [&[TAG_10][..], &[SERVICE_TAG, TAG_10], &[PRIORITY_TAG, TAG_10]] {
            asker.send(&tagged(&asker.question_frame(target)?, tags))?;
        }
    }
    asker.expect_none(Duration::from_secs(2), "an answer to a tagged frame", |frame| {
        answer_for(frame, known).is_some() || answer_for(frame, unknown).is_some()
    })?;
    observer.expect_none(Duration::ZERO, "a search for a tagged frame", |frame| {
        is_search_for(frame, unknown)
    })?;

    // LNK-03: a tag that only has a priority makes no other network.
    asker.send(&tagged(&asker.question_frame(known)?, &[PRIORITY_TAG]))?;
    asker.await_answer(known, LIMIT)?;
    magpie.stop()?;
    Ok(())
}

fn odd_frames_do_no_harm() -> Outcome {
    let site = Site::new()?;
    let [port, _] = Site::gateway_ports(&site.gateway);
    let magpie = Magpie::start(&site.gateway)?;
    let (_lower, known) = site.host("lower", "down", 0x21)?;
    magpie.await_host(known, "lan")?;
    let mut asker = Station::new("asker", &site.switch, "up")?;
    let jumbo = LinkChange { mtu: Some(9000), ..LinkChange::default() };
    let node = asker.node().ok_or("a station of its own")?;
    node.set_link("eth0", &jumbo)?;
    site.gateway.set_link("wan", &jumbo)?;
    for link in ["asker", &port, "up"] {
        site.switch.set_link(link, &jumbo)?;
    }
    asker.resolve(known)?;

    let plain = asker.question_frame(known)?;
    let (headers, message) = plain.split_at(54);
    let question = asker.question(known);
    let large = |options: usize| {
        // Unknown options of eight octets (RFC 4861 section 4.6).
        let mut body = message.get(4..).unwrap_or_default().to_vec();
        for _ in 0..options {
            body.extend_from_slice(&[200, 1, 0, 0, 0, 0, 0, 0]);
        }
        icmpv6_frame(
            (question.ethernet_source, question.ethernet_destination),
            (question.source, question.destination),
            255,
            (135, 0),
            &body,
        )
    };
    let mut frames = vec![large(177), large(1100)];
    for length in [14, 15, 20, 53, 54, 60, 77, 85] {
        frames.push(plain.get(..length).unwrap_or_default().to_vec());
    }
    let mut claims_more = headers.to_vec();
    claims_more.extend_from_slice(message);
    claims_more.splice(18..20, 9000_u16.to_be_bytes());
    frames.push(claims_more);
    frames.push(tagged(&plain, &[SERVICE_TAG; 8]));
    for frame in frames {
        asker.send(&frame)?;
    }
    // 20 ms are one answer's time.
    asker.collect(Duration::from_millis(50))?;
    asker.resolve(known)?;
    // NSI-37: large is legal.
    asker.collect(Duration::from_millis(50))?;
    asker.send(&large(177))?;
    asker.await_answer(known, LIMIT)?;
    magpie.stop()?;
    Ok(())
}

fn a_bridge_port_is_refused_with_advice() -> Outcome {
    let site = Site::new()?;
    site.gateway.add_bridge(&Bridge::new("br-home"))?;
    site.gateway.set_bridge("lan", Some("br-home"))?;
    let output = Magpie::command(&site.gateway)?.args(["-i", "wan,lan"]).output()?;
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{complaint}");
    assert!(complaint.contains("lan") && complaint.contains("br-home"), "{complaint}");

    let options = Options { interfaces: "wan,br-home".to_owned(), ..Options::default() };
    site.gateway.wait_link_local("br-home", LIMIT)?;
    let magpie = Magpie::start_with(&site.gateway, &options)?;
    let (_lower, address) = site.host("lower", "down", 0x21)?;
    ping_once(&site.router, &Ping::new(address), LIMIT)?;
    magpie.stop()?;
    Ok(())
}

fn a_bridge_is_used_for_its_port() -> Outcome {
    let site = Site::new()?;
    site.gateway.add_bridge(&Bridge::new("br-home"))?;
    site.gateway.set_bridge("lan", Some("br-home"))?;
    site.gateway.wait_link_local("br-home", LIMIT)?;
    let folder = Folder::new()?;
    let file = folder.path("magpie.toml");
    fs::write(
        &file,
        "[[relay]]\nlinks = [\"wan\", \"lan\"]\n[[relay.link]]\nname = \"lan\"\nbridge-port = \"bridge\"\n",
    )?;
    let magpie = Magpie::run(&site.gateway, [OsStr::new("-c"), file.as_os_str()])?;
    let (_lower, address) = site.host("lower", "down", 0x21)?;
    ping_once(&site.router, &Ping::new(address), LIMIT)?;
    let status = magpie.status()?;
    let lan = status.links.iter().find(|link| link.name == "lan").ok_or("a link lan")?;
    assert_eq!(lan.device.as_deref(), Some("br-home"), "{lan:?}");
    assert_eq!(lan.ifindex, Some(site.gateway.ifindex("br-home")?));

    // When it is none any longer, it is the link itself.
    let mut watch = magpie.watch()?;
    site.gateway.set_bridge("lan", None)?;
    await_link(&mut watch, "lan", "up")?;
    let lan = site.gateway.ifindex("lan")?;
    assert!(magpie.status()?.links.iter().any(|link| link.ifindex == Some(lan)));
    ping_until(&site.router, address)?;
    let routes = site.gateway.routes()?;
    let led: Vec<_> = routes.iter().filter(|route| route.destination == address).collect();
    assert!(matches!(led[..], [route] if route.oif == Some(lan)), "{led:?}");
    magpie.stop()?;
    Ok(())
}

fn a_link_that_becomes_a_port_is_left() -> Outcome {
    let site = Site::new()?;
    let gateway = &site.gateway;
    let magpie = Magpie::start(gateway)?;
    let (lower, address) = site.host("lower", "down", 0xab_21)?;
    let (upper, other) = site.host("upper", "up", 0xcd_11)?;
    ping_until(&upper, address)?;
    ping_until(&lower, other)?;
    magpie.await_host(address, "lan")?;
    magpie.await_host(other, "wan")?;
    let (lan, group) = (gateway.ifindex("lan")?, solicited_node(other));
    assert!(is_in_group(gateway, "lan", group)?);

    gateway.add_bridge(&Bridge::new("br-home"))?;
    let mut watch = magpie.watch()?;
    gateway.set_bridge("lan", Some("br-home"))?;
    await_link(&mut watch, "lan", "it is a port of the bridge br-home")?;
    let status = magpie.status()?;
    let link = status.links.iter().find(|link| link.name == "lan").ok_or("a link lan")?;
    assert_eq!((link.state.label(), link.groups), ("waiting", 0), "{link:?}");
    assert!(link.waiting.as_deref().is_some_and(|why| why.contains("br-home")), "{link:?}");
    assert!(!is_in_group(gateway, "lan", group)?);
    let routes = gateway.routes()?;
    let left: Vec<_> = routes
        .iter()
        .filter(|route| route.destination == address && route.oif == Some(lan))
        .collect();
    assert!(left.is_empty(), "{left:?}");
    let mut asker = Station::new("asker", &site.switch, "up")?;
    asker.expect_answers(&[], &[address])?;

    gateway.set_bridge("lan", None)?;
    await_link(&mut watch, "lan", "up")?;
    let start = Instant::now();
    ping_until(&upper, address)?;
    ping_until(&lower, other)?;
    println!("a link that was a port for a while served after {:?}", start.elapsed());
    assert!(start.elapsed() < Duration::from_secs(6), "{:?}", start.elapsed());
    assert!(is_in_group(gateway, "lan", group)?);
    magpie.stop()?;
    Ok(())
}

fn a_bridge_takes_the_place_of_its_port() -> Outcome {
    let site = Site::new()?;
    let gateway = &site.gateway;
    let config =
        ConfigFile::new("[[relay]]\nlinks = [\"wan\", \"lan\"]\nbridge-port = \"bridge\"\n")?;
    let magpie = Magpie::run(gateway, config.arguments())?;
    let (lower, address) = site.host("lower", "down", 0x21)?;
    let (upper, other) = site.host("upper", "up", 0x11)?;
    ping_until(&upper, address)?;
    ping_until(&lower, other)?;
    gateway.add_bridge(&Bridge::new("br-home"))?;
    for (bridge, device, state) in
        [(Some("br-home"), "br-home", "up, by its bridge br-home"), (None, "lan", "up")]
    {
        let mut watch = magpie.watch()?;
        gateway.set_bridge("lan", bridge)?;
        Magpie::await_event(&mut watch, &format!("{device} to be served"), |event| {
            let is_it = event.link.as_deref() == Some("lan")
                && event.kind == EventKind::LinkChanged
                && event.detail.as_deref() == Some(state);
            is_it.then_some(())
        })?;
        gateway.wait_link_local(device, LIMIT)?;
        let start = Instant::now();
        ping_until(&upper, address)?;
        ping_until(&lower, other)?;
        println!("{device} served in the place of the other after {:?}", start.elapsed());
        assert!(start.elapsed() < Duration::from_secs(6), "{:?}", start.elapsed());
        let oif = Some(gateway.ifindex(device)?);
        let routes = gateway.routes()?;
        let led: Vec<_> = routes.iter().filter(|route| route.destination == address).collect();
        assert!(matches!(led[..], [route] if route.oif == oif), "{led:?}");
    }
    magpie.stop()?;
    Ok(())
}

fn the_ports_of_a_bridge_are_the_bridge() -> Outcome {
    let site = Site::new()?;
    let options = Options { interfaces: "wan,master:br-home".to_owned(), ..Options::default() };
    let magpie = Magpie::start_with(&site.gateway, &options)?;
    let waiting = |magpie: &Magpie| -> Result<bool, Box<dyn Error>> {
        let links = magpie.status()?.links;
        Ok(links.iter().any(|link| link.name == "master:br-home" && link.waiting.is_some()))
    };
    assert!(waiting(&magpie)?);
    let mut watch = magpie.watch()?;
    site.gateway.add_bridge(&Bridge::new("br-home"))?;
    site.gateway.set_bridge("lan", Some("br-home"))?;
    await_link(&mut watch, "br-home", "up")?;
    site.gateway.wait_link_local("br-home", LIMIT)?;
    let (_lower, address) = site.host("lower", "down", 0x21)?;
    ping_until(&site.router, address)?;
    assert!(!waiting(&magpie)?);
    site.gateway.delete_link("br-home")?;
    await_link(&mut watch, "br-home", "it has gone")?;
    assert!(waiting(&magpie)?);
    magpie.stop()?;
    Ok(())
}

fn a_macvlan_waits_for_the_device_below() -> Outcome {
    let site = Site::new()?;
    let link = site.gateway.ifindex("lan")?;
    site.gateway.execute("add the macvlan child", |batch| {
        batch.add_macvlan(&NewMacvlan {
            name: "child",
            place: LinkPlace::default(),
            link,
            mode: MacvlanMode::Bridge,
        });
    })?;
    site.gateway.set_up("child")?;
    let options = Options { interfaces: "wan,lan,child".to_owned(), ..Options::default() };
    let magpie = Magpie::start_with(&site.gateway, &options)?;
    let status = magpie.status()?;
    let child = status.links.iter().find(|link| link.name == "child").ok_or("a link child")?;
    assert_eq!(child.state.label(), "waiting", "{child:?}");
    let told = child.waiting.as_deref().unwrap_or_default();
    assert!(told.contains("lan share a device"), "{told}");
    let (_lower, address) = site.host("lower", "down", 0x21)?;
    ping_once(&site.router, &Ping::new(address), LIMIT)?;
    magpie.stop()?;
    Ok(())
}

fn many_links_are_taken_as_they_come() -> Outcome {
    let site = Site::new()?;
    let options = Options { interfaces: "wan,port*".to_owned(), ..Options::default() };
    let magpie = Magpie::start_with(&site.gateway, &options)?;
    let status = magpie.status()?;
    assert!(status.warnings.is_empty(), "{:?}", status.warnings);
    assert_eq!(names(&magpie)?, ["wan", "port*"]);
    let mut watch = magpie.watch()?;
    for number in 0..10 {
        let (port, bridge) = (format!("port{number}"), format!("net{number}"));
        site.switch.add_bridge(&Bridge::new(&bridge))?;
        connect(
            &site.gateway.plug(&port),
            &site.switch.plug(&format!("gw{number}")).bridge(&bridge),
        )?;
        await_link(&mut watch, &port, "up")?;
        site.gateway.wait_link_local(&port, LIMIT)?;
    }
    assert_eq!(names(&magpie)?.len(), 11);
    // Those that many names stand for reach each other, and the others.
    let (first, one) = site.host("first", "net0", 0x31)?;
    let (last, other) = site.host("last", "net9", 0x32)?;
    ping_until(&first, other)?;
    ping_until(&last, one)?;
    ping_until(&site.router, one)?;
    let host = magpie.await_host(other, "port9")?;
    assert_eq!(host.route.label(), "installed", "{host:?}");

    // A device that gets a name that fits is taken, and stays when it gets another.
    let lan = LinkChange { name: Some("port-lan"), ..LinkChange::default() };
    site.gateway.set_link("lan", &lan)?;
    await_link(&mut watch, "port-lan", "up")?;
    site.gateway.set_link("port-lan", &LinkChange { name: Some("other"), ..lan })?;
    await_link(&mut watch, "other", "up, formerly port-lan")?;
    let (_lower, address) = site.host("lower", "down", 0x21)?;
    ping_until(&first, address)?;

    for number in 0..10 {
        let port = format!("port{number}");
        site.gateway.delete_link(&port)?;
        await_link(&mut watch, &port, "it has gone")?;
    }
    assert_eq!(names(&magpie)?, ["wan", "other"]);
    magpie.stop()?;
    Ok(())
}

fn links_are_taken_by_kind() -> Outcome {
    let site = Site::new()?;
    let options = Options { interfaces: "wan,kind:bridge".to_owned(), ..Options::default() };
    let magpie = Magpie::start_with(&site.gateway, &options)?;
    let mut watch = magpie.watch()?;
    site.gateway.add_bridge(&Bridge::new("home"))?;
    site.gateway.set_bridge("lan", Some("home"))?;
    await_link(&mut watch, "home", "up")?;
    site.gateway.wait_link_local("home", LIMIT)?;
    let (_lower, address) = site.host("lower", "down", 0x21)?;
    ping_until(&site.router, address)?;
    assert_eq!(names(&magpie)?, ["wan", "home"]);
    magpie.stop()?;
    Ok(())
}

fn a_socket_is_tried_again() -> Outcome {
    let site = Site::new()?;
    let options = Options { interfaces: "wan,lan,guest*".to_owned(), ..Options::default() };
    let magpie = Magpie::start_with(&site.gateway, &options)?;
    let mut client = Client::connect(&magpie.control())?;
    client.status()?;
    let mut watch = magpie.watch()?;
    let pid = Pid::from_raw(magpie.pid().try_into()?);
    let limit = getrlimit(Resource::Nofile);
    // There is room for one descriptor: the kernel can be asked, and then one link be served.
    magpie.signal(Signal::STOP)?;
    let taken = fs::read_dir(format!("/proc/{}/fd", magpie.pid()))?
        .map(|entry| Ok(entry?.file_name().to_string_lossy().parse()?))
        .collect::<Result<BTreeSet<u64>, Box<dyn Error>>>()?;
    let mut free = (0..).filter(|fd| !taken.contains(fd));
    let current = free.nth(1);
    prlimit(pid, Resource::Nofile, Rlimit { current, ..limit })?;
    for number in [1, 2] {
        let (near, far) = (format!("guest{number}"), format!("gw-guest{number}"));
        let bridge = format!("net{number}");
        site.switch.add_bridge(&Bridge::new(&bridge))?;
        connect(&site.gateway.plug(&near), &site.switch.plug(&far).bridge(&bridge))?;
        site.gateway.wait_carrier(&near, true)?;
    }
    magpie.signal(Signal::CONT)?;
    let refused = Magpie::await_event(&mut watch, "a socket to be refused", |event| {
        let detail = event.detail.as_deref()?;
        event.link.clone().filter(|_| detail.contains("Too many open files"))
    })?;
    let told = client.status()?.links;
    let guest = told.iter().find(|link| link.name == refused).ok_or("the link")?;
    assert_eq!(guest.state.label(), "waiting", "{guest:?}");
    assert!(guest.waiting.as_deref().is_some_and(|why| why.contains("Too many")), "{guest:?}");

    prlimit(pid, Resource::Nofile, limit)?;
    Magpie::await_event(&mut watch, "the socket to be opened", |event| {
        let is_it = event.kind == EventKind::Repaired && event.link.as_deref() == Some(&*refused);
        is_it.then_some(())
    })?;
    for number in [1, 2] {
        site.gateway.wait_link_local(&format!("guest{number}"), LIMIT)?;
        let (_guest, address) =
            site.host(&format!("host{number}"), &format!("net{number}"), 0x40 + number)?;
        ping_until(&site.router, address)?;
    }
    magpie.stop()?;
    Ok(())
}

/// What the links are called in the status.
fn names(magpie: &Magpie) -> Result<Vec<String>, Box<dyn Error>> {
    Ok(magpie.status()?.links.into_iter().map(|link| link.name).collect())
}

fn a_link_is_followed_when_renamed() -> Outcome {
    let site = Site::new()?;
    site.switch.add_bridge(&Bridge::new("elsewhere"))?;
    let magpie = Magpie::start(&site.gateway)?;
    let (upper, _) = site.host("upper", "up", 0x11)?;
    let (_lower, address) = site.host("lower", "down", 0x21)?;
    let pinger = Pinger::start(&upper, &Ping::new(address), Duration::from_millis(50))?;
    pinger.wait_reply(LIMIT)?;

    let mut watch = magpie.watch()?;
    let name = LinkChange { name: Some("lan-old"), ..LinkChange::default() };
    site.gateway.set_link("lan", &name)?;
    connect(&site.gateway.plug("lan"), &site.switch.plug("trap").bridge("elsewhere"))?;
    site.gateway.wait_link_local("lan", LIMIT)?;
    let mut asker = Station::new("asker", &site.switch, "elsewhere")?;
    asker.ask(address)?;
    asker.expect_none(Duration::from_secs(2), "a word of the daemon's", |frame| {
        answer_for(frame, address).is_some()
            || frame
                .packet()
                .is_some_and(|packet| matches!(packet.message, Message::MulticastRouterAdvert(_)))
    })?;
    pinger.wait_reply(LIMIT)?;

    // A host that nobody knew is found on the renamed link.
    let (_other, other_address) = site.host("other", "down", 0x22)?;
    ping_once(&upper, &Ping::new(other_address), LIMIT)?;
    let report = pinger.stop();
    assert!(report.longest_outage() < Duration::from_secs(1), "{:?}", report.longest_outage());
    let status = magpie.status()?;
    assert!(status.links.iter().any(|link| link.ifindex == site.gateway.ifindex("lan-old").ok()));
    assert!(!status.links.iter().any(|link| link.ifindex == site.gateway.ifindex("lan").ok()));

    // When the first is gone, the one with its name takes its place.
    site.gateway.delete_link("lan-old")?;
    await_link(&mut watch, "lan", "up")?;
    let ours = site.gateway.ifindex("lan")?;
    assert!(magpie.status()?.links.iter().any(|link| link.ifindex == Some(ours)));
    magpie.stop()?;
    Ok(())
}

fn a_link_may_go_down_and_up() -> Outcome {
    let site = Site::new()?;
    let magpie = Magpie::start(&site.gateway)?;
    let (upper, upper_address) = site.host("upper", "up", 0x11)?;
    let (lower, lower_address) = site.host("lower", "down", 0x21)?;
    let pinger = Pinger::start(&upper, &Ping::new(lower_address), Duration::from_millis(100))?;
    pinger.wait_reply(LIMIT)?;
    let mut watch = magpie.watch()?;
    for link in ["lan", "wan"] {
        site.gateway.set_down(link)?;
        await_link(&mut watch, link, "down")?;
        site.gateway.set_up(link)?;
        await_link(&mut watch, link, "up")?;
        let start = Instant::now();
        pinger.wait_reply(2 * LIMIT)?;
        assert!(start.elapsed() < LIMIT, "{link}: {:?}", start.elapsed());
        ping_until(&lower, upper_address)?;
    }
    magpie.stop()?;
    Ok(())
}

fn a_link_may_be_made_anew() -> Outcome {
    let site = Site::new()?;
    let magpie = Magpie::start(&site.gateway)?;
    let (upper, upper_address) = site.host("upper", "up", 0x11)?;
    let (lower, lower_address) = site.host("lower", "down", 0x21)?;
    let pinger = Pinger::start(&upper, &Ping::new(lower_address), Duration::from_millis(100))?;
    pinger.wait_reply(LIMIT)?;
    let [_, port] = Site::gateway_ports(&site.gateway);
    let before = site.gateway.ifindex("lan")?;
    // With another link-layer address it would be found when the hosts' caches tire of the old.
    let lladdr = site.gateway.lladdr("lan")?;
    let mut watch = magpie.watch()?;
    site.gateway.delete_link("lan")?;
    await_link(&mut watch, "lan", "it has gone")?;
    connect(&site.gateway.plug("lan").lladdr(lladdr), &site.switch.plug(&port).bridge("down"))?;
    await_link(&mut watch, "lan", "up")?;
    let after = site.gateway.ifindex("lan")?;
    assert_ne!(before, after);
    pinger.wait_reply(2 * LIMIT)?;
    ping_until(&lower, upper_address)?;
    let host = magpie.await_host(lower_address, "lan")?;
    assert_eq!(host.route.label(), "installed", "{host:?}");
    let routes = site.gateway.routes()?;
    assert!(
        routes.iter().any(|route| route.destination == lower_address && route.oif == Some(after))
    );
    magpie.stop()?;
    Ok(())
}

fn link_local_addresses_stay_on_their_link() -> Outcome {
    let site = Site::new()?;
    let magpie = Magpie::start(&site.gateway)?;
    let mut lower = Station::new("lower", &site.switch, "down")?;
    let own = site.gateway.lladdr("lan")?;
    let gateway = site.gateway.wait_link_local("lan", LIMIT)?;
    // What a host does that wakes up (RFC 6059 section 5.5).
    lower.ask_at(gateway, own)?;
    let answer = lower.await_answer(gateway, LIMIT)?;
    assert_eq!((answer.ethernet_source, answer.source), (own, gateway));
    assert!(answer.advert.router && answer.advert.solicited, "{answer:?}");

    let router = site.router.wait_link_local("lan", LIMIT)?;
    let other = site.gateway.wait_link_local("wan", LIMIT)?;
    let mut observer = Station::new("observer", &site.switch, "up")?;
    for target in [router, other] {
        lower.ask(target)?;
        lower.ask_at(target, own)?;
    }
    lower.expect_none(Duration::from_secs(2), "an answer for another link's address", |frame| {
        [router, other].iter().any(|target| answer_for(frame, *target).is_some())
    })?;
    observer.expect_none(Duration::ZERO, "a search for a link-local address", |frame| {
        is_search_for(frame, router)
    })?;
    magpie.stop()?;
    Ok(())
}

fn beside_the_kernels_proxy_one_answers() -> Outcome {
    let site = Site::new()?;
    let (_lower, address) = site.host("lower", "down", 0x21)?;
    let mut asker = Station::new("asker", &site.switch, "up")?;
    site.gateway.add_proxy_neighbor("wan", address)?;
    // The kernel answers at once instead of within 800 ms.
    site.gateway.set_neigh("wan", "proxy_delay", 0)?;
    // The entry alone does not make it answer.
    for proxy_ndp in [0, 1] {
        site.gateway.set_conf("wan", "proxy_ndp", proxy_ndp)?;
        let magpie = Magpie::start(&site.gateway)?;
        for round in 0..3 {
            asker.clear()?;
            asker.ask(address)?;
            let frames = asker.collect(Duration::from_secs(1))?;
            let answers = frames.iter().filter_map(|frame| answer_for(frame, address)).count();
            assert_eq!(answers, 1, "proxy_ndp {proxy_ndp}, round {round}");
        }
        magpie.stop()?;
    }
    Ok(())
}

fn echoes_do_not_circle() -> Outcome {
    let site = Site::new()?;
    let magpie = Magpie::start(&site.gateway)?;
    let mut watch = magpie.watch()?;
    let own = [site.gateway.lladdr("wan")?, site.gateway.lladdr("lan")?];
    // At the other ends of the gateway's cables, where each frame that it sends is seen.
    let mut ends = Vec::new();
    for port in Site::gateway_ports(&site.gateway) {
        ends.push(Tester::attach(&site.switch, &port)?);
    }
    let echo = thread::spawn(move || -> Result<usize, magpie_testnet::Error> {
        let deadline = Instant::now() + Duration::from_secs(6);
        let mut echoed = 0;
        while Instant::now() < deadline {
            let mut frames = Vec::new();
            for end in &mut ends {
                frames.extend(end.collect(Duration::from_millis(5))?);
            }
            // What came out of one goes back into both.
            for frame in frames.iter().filter(|frame| is_discovery_by(frame, own)) {
                echoed += 1;
                for end in &ends {
                    end.send(&frame.bytes)?;
                }
            }
        }
        Ok(echoed)
    });
    let (lower, lower_address) = site.host("lower", "down", 0x21)?;
    ping_until(&site.router, lower_address)?;
    ping_until(&lower, Site::router_address())?;
    let dead = ping_once(&lower, &Ping::new(host_address(0x99)), Duration::from_secs(4));
    assert!(dead.is_err());
    let echoed = echo.join().map_err(|_| "the echo panicked")??;
    assert!((3..200).contains(&echoed), "{echoed} frames were echoed");
    Magpie::await_event(&mut watch, "the loop to be told", |event| {
        (event.kind == EventKind::Loop).then_some(())
    })?;
    let counters = magpie.status()?.counters;
    assert!(counters.get("discarded_own-frame").is_some_and(|count| *count > 0), "{counters:?}");
    ping_until(&site.router, lower_address)?;
    magpie.stop()?;
    Ok(())
}

fn is_discovery_by(frame: &Frame, own: [LinkAddr; 2]) -> bool {
    frame.packet().is_some_and(|packet| {
        own.contains(&packet.ethernet_source)
            && (solicited(&packet).is_some() || matches!(packet.message, Message::Advert(_)))
    })
}

/// Puts VLAN tags into a frame, the outermost first.
fn tagged(frame: &[u8], tags: &[[u8; 4]]) -> Vec<u8> {
    let (addresses, rest) = frame.split_at(12);
    [addresses, &tags.concat(), rest].concat()
}

/// Waits until a link that the daemon was told to serve is in a state.
fn await_link(watch: &mut Watch, name: &str, state: &str) -> Outcome {
    Magpie::await_event(watch, &format!("{name} to be {state}"), |event| {
        let is_it = event.kind == EventKind::LinkChanged
            && event.link.as_deref() == Some(name)
            && event.detail.as_deref().is_some_and(|detail| detail.starts_with(state));
        is_it.then_some(())
    })
}

/// Without an address of its own a bridge changes it with its ports.
const BRIDGE: LinkAddr = LinkAddr([2, 0, 0, 0, 0, 0x11]);
/// 802.1Q, network 10.
const TAG_10: [u8; 4] = [0x81, 0, 0, 10];
/// 802.1Q, no network, priority 5.
const PRIORITY_TAG: [u8; 4] = [0x81, 0, 0xa0, 0];
/// 802.1ad, service network 20.
const SERVICE_TAG: [u8; 4] = [0x88, 0xa8, 0, 20];
