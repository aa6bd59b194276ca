//! The daemon's side and the views' side of the control socket, against each other and against
//! clients that misbehave.

#![expect(clippy::unwrap_used, reason = "the helpers of a test state their assumptions, too")]

use std::fs;
use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv6Addr, Shutdown};
use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use magpie_control::server::{MAX_BACKLOG, MAX_CLIENTS, MAX_REQUEST};
use magpie_control::{
    AddRules, AddedRules, Announce, Announced, BindError, Client, ClientError, Crossing, Event,
    EventKind, Guard, Handler, Host, HostRoute, HostRouteState, HostState, INTERFACE_DESCRIPTION,
    LinkState, LinkStatus, Name, NamesStatus, NewRule, Reflector, RelayKind, RelayLink,
    RelayStatus, RemoveRules, RouteReason, RouteState, Rule, RuleMethod, RuleRefusal, RuleSource,
    Server, Status, Target,
};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde_json::{Value, json};

#[test]
fn status_and_hosts_arrive_as_they_were_sent() {
    let scene = Scene::new();
    let mut server = scene.serve();
    let mut daemon = Daemon { hosts: hosts(3), ..Daemon::default() };
    let (status, hosts) = with_client(&mut server, &mut daemon, |mut client| {
        (client.status().unwrap(), client.hosts().unwrap())
    });
    assert_eq!(status, daemon.status());
    assert_eq!(hosts, daemon.hosts);
}

#[test]
fn a_list_longer_than_any_buffer_arrives_whole() {
    let scene = Scene::new();
    let mut server = scene.serve();
    let mut daemon = Daemon { hosts: hosts(20_000), ..Daemon::default() };
    let received =
        with_client(&mut server, &mut daemon, |mut client| client.hosts().unwrap().len());
    assert_eq!(received, 20_000);
}

#[test]
fn targets_arrive_as_they_were_sent() {
    let scene = Scene::new();
    let mut server = scene.serve();
    let mut daemon = Daemon::default();
    let targets = with_client(&mut server, &mut daemon, |mut client| client.targets().unwrap());
    assert_eq!(targets, daemon.targets());
}

#[test]
fn names_arrive_as_they_were_sent() {
    let scene = Scene::new();
    let mut server = scene.serve();
    let mut daemon = Daemon::default();
    let names = with_client(&mut server, &mut daemon, |mut client| client.names().unwrap());
    assert_eq!(names, daemon.names());
}

#[test]
fn routes_arrive_as_they_were_sent() {
    let scene = Scene::new();
    let mut server = scene.serve();
    let mut daemon = Daemon::default();
    let routes = with_client(&mut server, &mut daemon, |mut client| client.routes().unwrap());
    assert_eq!(routes, daemon.routes());
}

#[test]
fn announcements_go_out_on_the_link_that_is_named() {
    let scene = Scene::new();
    let mut server = scene.serve();
    let mut daemon = Daemon::default();
    let (all, one, none) = with_client(&mut server, &mut daemon, |mut client| {
        let mut on = |link: Option<&str>| client.announce(&Announce { link: link.map(Into::into) });
        (on(None), on(Some("wan")), on(Some("lan")))
    });
    assert_eq!(all.unwrap(), Announced { announcements: 250, links: 2, seconds: 2 });
    assert_eq!(one.unwrap(), Announced { announcements: 125, links: 1, seconds: 2 });
    let error = none.unwrap_err();
    assert!(matches!(&error, ClientError::NoSuchLink { .. }), "{error:?}");
    assert_eq!(error.to_string(), "there is no link lan");
}

#[test]
fn rules_are_added_listed_and_removed() {
    let scene = Scene::new();
    let mut server = scene.serve();
    let mut daemon = Daemon::default();
    let request = AddRules {
        owner: "docker".into(),
        lifetime_seconds: Some(60),
        persist: true,
        rules: vec![new_rule("2001:db8::21"), new_rule("2001:db8::22")],
    };
    let (added, rules) = with_client(&mut server, &mut daemon, |mut client| {
        (client.add_rules(&request).unwrap(), client.rules().unwrap())
    });
    assert_eq!(added, AddedRules { added: 2, renewed: 0 });
    assert_eq!(daemon.requests, [request]);
    assert_eq!(rules, daemon.rules);
    assert_eq!(rules.len(), 2);

    let request = RemoveRules { owner: Some("docker".into()), ..RemoveRules::default() };
    let removed = with_client(&mut server, &mut daemon, |mut client| {
        (client.remove_rules(&request).unwrap(), client.remove_rules(&request).unwrap())
    });
    assert_eq!(removed, (2, 0));
    assert_eq!(daemon.rules, []);
}

#[test]
fn more_than_a_request_can_hold_is_not_even_sent() {
    let scene = Scene::new();
    let mut server = scene.serve();
    let rules = vec![new_rule("2001:db8::21"); 2_000];
    let request = AddRules { owner: "docker".into(), rules, ..AddRules::default() };
    let (error, rules) = with_client(&mut server, &mut Daemon::default(), |mut client| {
        (client.add_rules(&request).unwrap_err(), client.rules().unwrap())
    });
    assert!(matches!(error, ClientError::TooLong), "{error:?}");
    assert_eq!(rules, []);
}

#[test]
fn a_rule_is_refused_with_its_place_and_the_reason() {
    let scene = Scene::new();
    let mut server = scene.serve();
    let mut daemon = Daemon { mistake: Some("no such link".into()), ..Daemon::default() };
    let request = AddRules { rules: vec![new_rule("auto")], ..AddRules::default() };
    let (add, remove) = with_client(&mut server, &mut daemon, |mut client| {
        let add = client.add_rules(&request).unwrap_err();
        (add, client.remove_rules(&RemoveRules::default()).unwrap_err())
    });
    for (error, expected) in [(add, Some(1)), (remove, None)] {
        let ClientError::RuleRefused { reason, index } = &error else { panic!("{error:?}") };
        assert_eq!((reason.as_str(), *index), ("no such link", expected));
    }
}

#[test]
fn a_request_about_rules_that_cannot_be_understood_is_answered_with_what_is_wrong() {
    let scene = Scene::new();
    let mut server = scene.serve();
    let mut client = scene.raw(&mut server);
    let rule = json!({ "prefix": "auto", "method": "static" });
    let cases = [
        ("AddRules", json!({}), "owner", "missing"),
        ("AddRules", json!({ "owner": "me" }), "rules", "missing"),
        ("AddRules", json!({ "owner": 3, "rules": [rule] }), "owner", "expected a string"),
        ("AddRules", json!({ "owner": "me", "rules": {} }), "rules", "expected a sequence"),
        ("AddRules", json!({ "owner": "me", "rules": [{}] }), "rules", "`prefix`"),
        (
            "AddRules",
            json!({ "owner": "me", "rules": [{ "prefix": "auto", "method": "guess" }] }),
            "rules",
            "`guess`",
        ),
        (
            "AddRules",
            json!({ "owner": "me", "rules": [rule], "lifetime_seconds": -1 }),
            "lifetime_seconds",
            "-1",
        ),
        ("AddRules", json!({ "owner": "me", "rules": [rule], "lifetime": 1 }), "lifetime", "only"),
        ("RemoveRules", json!({ "owner": [] }), "owner", "expected a string"),
        ("RemoveRules", json!({ "tag": "me" }), "tag", "only prefix, owner, relay"),
    ];
    for (method, parameters, parameter, reason) in cases {
        client
            .request(&json!({ "method": format!("io.magpie.{method}"), "parameters": parameters }));
        let mut daemon = Daemon::default();
        server.serve(&mut daemon);
        let reply = client.reply();
        assert_eq!(reply["error"], "org.varlink.service.InvalidParameter", "{parameters}");
        assert_eq!(reply["parameters"]["parameter"], parameter, "{parameters}");
        let text = reply["parameters"]["reason"].as_str().unwrap();
        assert!(text.contains(reason), "{parameters}: {text}");
        assert!(daemon.requests.is_empty(), "{parameters}");
    }
}

#[test]
fn what_an_earlier_daemon_does_not_know_is_told_as_such() {
    let scene = Scene::new();
    let listener = UnixListener::bind(&scene.path).unwrap();
    let mut client = Client::connect(&scene.path).unwrap();
    let (mut stream, _) = listener.accept().unwrap();
    let reply = json!({
        "error": "org.varlink.service.MethodNotFound",
        "parameters": { "method": "io.magpie.Targets" },
    });
    stream.write_all(reply.to_string().as_bytes()).unwrap();
    stream.write_all(b"\0").unwrap();
    let error = client.targets().unwrap_err();
    assert!(matches!(error, ClientError::Unsupported { .. }), "{error:?}");
    assert!(error.to_string().contains("does not know io.magpie.Targets"), "{error}");
}

#[test]
fn a_reload_succeeds_or_says_why_not() {
    let scene = Scene::new();
    let mut server = scene.serve();
    let mut daemon = Daemon::default();
    let warnings = with_client(&mut server, &mut daemon, |mut client| client.reload().unwrap());
    assert_eq!(warnings, ["the path of the socket changes with the next start"]);
    assert_eq!(daemon.reloads, 1);

    daemon.mistake = Some("line 3: no such link".into());
    let error = with_client(&mut server, &mut daemon, |mut client| client.reload().unwrap_err());
    assert_eq!(error.to_string(), "the daemon keeps its configuration: line 3: no such link");
}

#[test]
fn a_watch_tells_all_that_happens_after_it_began() {
    let scene = Scene::new();
    let mut server = scene.serve();
    server.broadcast(&found(0));
    let mut watch = scene.raw(&mut server);
    watch.request(&json!({ "method": "io.magpie.Watch", "more": true }));
    assert!(!server.is_watched());
    server.serve(&mut Daemon::default());
    assert!(server.is_watched());
    for number in 1..4 {
        server.broadcast(&found(number));
    }
    let expected = [
        json!({ "parameters": { "event": "subscribed" }, "continues": true }),
        json!({ "parameters": found(1), "continues": true }),
        json!({ "parameters": found(2), "continues": true }),
        json!({ "parameters": found(3), "continues": true }),
    ];
    for expected in expected {
        assert_eq!(watch.reply(), expected);
    }
    drop(watch);
    server.serve(&mut Daemon::default());
    assert!(!server.is_watched());
    assert_eq!(server.clients(), 0);
}

#[test]
fn the_client_reads_a_watch_until_the_daemon_ends() {
    let scene = Scene::new();
    let mut server = scene.serve();
    let path = scene.path.clone();
    let client = thread::spawn(move || {
        let watch = Client::connect(&path).unwrap().watch().unwrap();
        watch.collect::<Vec<_>>()
    });
    while !server.is_watched() {
        wait_readable(&[&server]);
        server.serve(&mut Daemon::default());
    }
    server.broadcast(&found(1));
    server.broadcast(&found(2));
    drop(server);
    let events = client.join().unwrap();
    let [Ok(first), Ok(second), Err(ClientError::Lost { .. })] = events.as_slice() else {
        panic!("{events:?}");
    };
    assert_eq!((first, second), (&found(1), &found(2)));
}

#[test]
fn a_watcher_that_does_not_read_is_disconnected_and_others_are_not() {
    let scene = Scene::new();
    let mut server = scene.serve();
    let mut slow = scene.raw(&mut server);
    let mut quick = scene.raw(&mut server);
    for client in [&mut slow, &mut quick] {
        client.request(&json!({ "method": "io.magpie.Watch", "more": true }));
    }
    server.serve(&mut Daemon::default());
    assert_eq!(quick.reply()["parameters"], json!({ "event": "subscribed" }));
    let event = Event { detail: Some("x".repeat(1000)), ..found(1) };
    let mut sent = 0;
    while server.clients() == 2 {
        server.broadcast(&event);
        server.serve(&mut Daemon::default());
        assert_eq!(quick.reply()["parameters"], serde_json::to_value(&event).unwrap());
        sent += 1;
        assert!(sent < 4 * MAX_BACKLOG / 1000, "nobody was disconnected");
    }
    assert!(sent > MAX_BACKLOG / 2000, "disconnected after {sent} events already");
    server.broadcast(&found(2));
    assert_eq!(quick.reply()["parameters"], serde_json::to_value(found(2)).unwrap());
}

#[test]
fn a_watcher_that_catches_up_misses_nothing() {
    let scene = Scene::new();
    let mut server = scene.serve();
    let mut watch = scene.raw(&mut server);
    watch.request(&json!({ "method": "io.magpie.Watch", "more": true }));
    server.serve(&mut Daemon::default());
    assert_eq!(watch.reply()["parameters"], json!({ "event": "subscribed" }));
    let padding = Some("x".repeat(1000));
    for number in 0..800 {
        server.broadcast(&Event { detail: padding.clone(), ..found(number) });
    }
    for number in 0..800 {
        let expected = Event { detail: padding.clone(), ..found(number) };
        let reply = watch.reply_while(|| server.serve(&mut Daemon::default()));
        assert_eq!(reply["parameters"], serde_json::to_value(expected).unwrap());
    }
}

#[test]
fn requests_sent_at_once_are_answered_in_order() {
    let scene = Scene::new();
    let mut server = scene.serve();
    let mut client = scene.raw(&mut server);
    client.stream.write_all(b"{\"method\":\"io.magpie.Hosts\"}\0{\"method\":\"io.mag").unwrap();
    server.serve(&mut Daemon::default());
    assert_eq!(client.reply(), json!({ "parameters": { "hosts": [] } }));
    let rest = b"pie.Reload\",\"parameters\":null}\0{\"method\":\"io.magpie.Hosts\"}\0";
    client.stream.write_all(rest).unwrap();
    server.serve(&mut Daemon::default());
    assert!(client.reply()["parameters"]["warnings"].is_array());
    assert_eq!(client.reply(), json!({ "parameters": { "hosts": [] } }));
}

#[test]
fn a_client_that_will_say_no_more_still_gets_its_answer() {
    let scene = Scene::new();
    let mut server = scene.serve();
    let mut client = scene.raw(&mut server);
    client.request(&json!({ "method": "io.magpie.Hosts" }));
    client.stream.shutdown(Shutdown::Write).unwrap();
    server.serve(&mut Daemon::default());
    server.serve(&mut Daemon::default());
    assert_eq!(client.reply(), json!({ "parameters": { "hosts": [] } }));
    assert_eq!(server.clients(), 0);
}

#[test]
fn what_a_client_asked_before_it_left_is_done() {
    let scene = Scene::new();
    let mut server = scene.serve();
    let mut client = scene.raw(&mut server);
    client.request(&json!({ "method": "io.magpie.Reload", "oneway": true }));
    drop(client);
    let mut daemon = Daemon::default();
    server.serve(&mut daemon);
    server.serve(&mut daemon);
    assert_eq!(daemon.reloads, 1);
    assert_eq!(server.clients(), 0);
}

#[test]
fn a_oneway_request_gets_no_reply() {
    let scene = Scene::new();
    let mut server = scene.serve();
    let mut client = scene.raw(&mut server);
    client.request(&json!({ "method": "io.magpie.Status", "oneway": true }));
    client.request(&json!({ "method": "io.magpie.Hosts" }));
    server.serve(&mut Daemon::default());
    assert_eq!(client.reply(), json!({ "parameters": { "hosts": [] } }));
}

#[test]
fn general_tools_can_look_around() {
    let scene = Scene::new();
    let mut server = scene.serve();
    let mut client = scene.raw(&mut server);
    let mut ask = |request: Value| {
        client.request(&request);
        server.serve(&mut Daemon::default());
        client.reply()
    };
    let info = ask(json!({ "method": "org.varlink.service.GetInfo" }));
    assert_eq!(info["parameters"]["interfaces"], json!(["org.varlink.service", "io.magpie"]));
    let describe = |interface: &str| {
        let method = "org.varlink.service.GetInterfaceDescription";
        json!({ "method": method, "parameters": { "interface": interface } })
    };
    let description = ask(describe("io.magpie"));
    assert_eq!(description["parameters"]["description"], INTERFACE_DESCRIPTION);
    let description = ask(describe("org.varlink.service"));
    let text = description["parameters"]["description"].as_str().unwrap();
    assert!(text.starts_with("interface org.varlink.service\n"));

    let cases = [
        (describe("io.crow"), "InterfaceNotFound", json!({ "interface": "io.crow" })),
        (
            json!({ "method": "io.crow.Steal" }),
            "InterfaceNotFound",
            json!({ "interface": "io.crow" }),
        ),
        (
            json!({ "method": "io.magpie.Steal" }),
            "MethodNotFound",
            json!({ "method": "io.magpie.Steal" }),
        ),
        (
            json!({ "method": "org.varlink.service.GetInterfaceDescription" }),
            "InvalidParameter",
            json!({ "parameter": "interface", "reason": "it is missing" }),
        ),
        (json!({ "method": "io.magpie.Watch" }), "ExpectedMore", json!({})),
    ];
    for (request, error, parameters) in cases {
        let error = format!("org.varlink.service.{error}");
        let expected = json!({ "error": error, "parameters": parameters });
        assert_eq!(ask(request.clone()), expected, "{request}");
    }
}

#[test]
fn every_method_and_event_that_is_served_is_described() {
    for name in [
        "Status",
        "Hosts",
        "Routes",
        "Targets",
        "Rules",
        "AddRules",
        "RemoveRules",
        "Announce",
        "Reload",
        "Watch",
    ] {
        assert!(INTERFACE_DESCRIPTION.contains(&format!("method {name}(")), "{name}");
    }
    for kind in [EventKind::HostFound, EventKind::OwnAddressClaimed, EventKind::LinkChanged] {
        assert!(INTERFACE_DESCRIPTION.contains(kind.label()), "{kind:?}");
    }
}

#[test]
fn a_client_that_breaks_the_rules_is_disconnected() {
    let endless = vec![b'x'; MAX_REQUEST + 1];
    let deep = [vec![b'['; 10_000], vec![0]].concat();
    let watching =
        b"{\"method\":\"io.magpie.Watch\",\"more\":true}\0{\"method\":\"io.magpie.Hosts\"}\0";
    let cases: [(&str, &[u8]); 6] = [
        ("not json", b"hello\0"),
        ("not an object", b"[]\0"),
        ("no method", b"{}\0"),
        ("an endless request", &endless),
        ("a deep request", &deep),
        ("a request amid a watch", watching),
    ];
    for (name, octets) in cases {
        let scene = Scene::new();
        let mut server = scene.serve();
        let mut client = scene.raw(&mut server);
        client.stream.write_all(octets).unwrap();
        for _ in 0..=octets.len() / 4096 {
            server.serve(&mut Daemon::default());
        }
        assert_eq!(server.clients(), 0, "{name}");
        let mut other = scene.raw(&mut server);
        other.request(&json!({ "method": "io.magpie.Hosts" }));
        server.serve(&mut Daemon::default());
        assert_eq!(other.reply(), json!({ "parameters": { "hosts": [] } }), "{name}");
    }
}

#[test]
fn too_many_clients_are_told_so_until_one_leaves() {
    let scene = Scene::new();
    let mut server = scene.serve();
    let mut clients: Vec<Raw> = (0..MAX_CLIENTS).map(|_| scene.raw(&mut server)).collect();
    let error =
        with_client(&mut server, &mut Daemon::default(), |mut client| client.hosts().unwrap_err());
    assert!(matches!(error, ClientError::Busy { .. }), "{error:?}");
    clients.pop();
    with_client(&mut server, &mut Daemon::default(), |mut client| client.hosts().unwrap());
}

#[test]
fn the_socket_is_for_this_user_only_and_goes_with_the_server() {
    let scene = Scene::new();
    let server = scene.serve();
    assert_eq!(fs::metadata(&scene.path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(server.path(), scene.path);
    drop(server);
    assert!(!scene.path.exists());
}

#[test]
fn a_socket_that_a_predecessor_left_is_replaced() {
    let scene = Scene::new();
    drop(UnixListener::bind(&scene.path).unwrap());
    assert!(scene.path.exists());
    let mut server = scene.serve();
    with_client(&mut server, &mut Daemon::default(), |mut client| client.hosts().unwrap());
}

#[test]
fn a_socket_in_use_is_left_alone() {
    let scene = Scene::new();
    let mut first = scene.serve();
    let error = Server::bind(&scene.path).unwrap_err();
    assert!(matches!(error, BindError::InUse { .. }), "{error:?}");
    with_client(&mut first, &mut Daemon::default(), |mut client| client.hosts().unwrap());
}

#[test]
fn a_file_that_is_no_socket_is_left_alone() {
    let scene = Scene::new();
    fs::write(&scene.path, "precious").unwrap();
    let error = Server::bind(&scene.path).unwrap_err();
    assert!(matches!(error, BindError::NotASocket { .. }), "{error:?}");
    assert_eq!(fs::read_to_string(&scene.path).unwrap(), "precious");
}

#[test]
fn a_successors_socket_is_left_alone() {
    let scene = Scene::new();
    let server = scene.serve();
    fs::remove_file(&scene.path).unwrap();
    let successor = scene.serve();
    drop(server);
    assert!(scene.path.exists());
    drop(successor);
}

#[test]
fn directories_on_the_way_are_made() {
    let scene = Scene::new();
    let path = scene.directory.join("deeper/still/magpie.sock");
    let _server = Server::bind(&path).unwrap();
    assert!(path.exists());
}

#[test]
fn a_path_that_no_socket_can_have_is_an_error() {
    let scene = Scene::new();
    let error = Server::bind(&scene.directory.join("x".repeat(200))).unwrap_err();
    assert!(matches!(error, BindError::Listen { .. }), "{error:?}");
}

#[test]
fn without_a_daemon_the_client_says_what_to_look_at() {
    let scene = Scene::new();
    let missing = Client::connect(&scene.path).unwrap_err();
    drop(UnixListener::bind(&scene.path).unwrap());
    let dead = Client::connect(&scene.path).unwrap_err();
    let expected = format!(
        "no daemon listens on {}; is magpie running, and with this --control path?",
        scene.path.display()
    );
    for error in [missing, dead] {
        assert!(matches!(error, ClientError::NotRunning { .. }), "{error:?}");
        assert_eq!(error.to_string(), expected);
    }
}

#[test]
fn an_answer_that_makes_no_sense_is_an_error() {
    for answer in [b"hello\0".as_slice(), b"{\"parameters\":{\"hosts\":3}}\0", b"[]\0"] {
        let scene = Scene::new();
        let listener = UnixListener::bind(&scene.path).unwrap();
        let mut client = Client::connect(&scene.path).unwrap();
        let (mut stream, _) = listener.accept().unwrap();
        stream.write_all(answer).unwrap();
        let error = client.hosts().unwrap_err();
        assert!(matches!(error, ClientError::Malformed { .. }), "{error:?}");
    }
}

/// A daemon without a network.
#[derive(Default)]
struct Daemon {
    hosts: Vec<Host>,
    rules: Vec<Rule>,
    requests: Vec<AddRules>,
    mistake: Option<String>,
    reloads: u32,
}

impl Handler for Daemon {
    fn status(&mut self) -> Status {
        Status {
            version: "1.2.3".into(),
            pid: 42,
            uptime_seconds: 3600,
            relays: vec![RelayStatus {
                name: "home".into(),
                kind: RelayKind::Responder,
                links: vec![RelayLink {
                    name: "wan".into(),
                    role: Some("upstream".into()),
                    only_probed: false,
                }],
                prefixes: vec!["2001:db8:7::/64".into()],
                rules: 3,
                names: Some(NamesStatus {
                    records: 4,
                    reflectors: vec![Reflector { link: "eth1".into(), address: address(9) }],
                    counters: [("records_denied".into(), 2)].into(),
                }),
            }],
            links: vec![LinkStatus {
                name: "eth1".into(),
                selector: "eth*".into(),
                relay: "home".into(),
                device: Some("uplink".into()),
                ifindex: Some(2),
                lladdr: Some("02:00:00:00:00:01".into()),
                bare: false,
                state: LinkState::NoCarrier,
                waiting: Some("its socket is opened anew".into()),
                addresses: vec!["fe80::1".into()],
                prefixes: vec!["2001:db8:7::/64".into()],
                received: 1,
                sent: 2,
                dropped: 3,
                overflows: 1,
                reopened: 1,
                groups: 4,
            }],
            prefixes: vec!["2001:db8:7::/64".into()],
            bindings: [(HostState::Reachable, 5)].into(),
            routes_installed: 5,
            resolutions: 1,
            guard: Guard { active: false, reason: Some("nf_tables is missing".into()) },
            warnings: vec!["forwarding is off".into()],
            counters: [("discard-checksum".into(), 7)].into(),
        }
    }

    fn hosts(&mut self) -> Vec<Host> {
        self.hosts.clone()
    }

    fn names(&mut self) -> Vec<Name> {
        (0..3)
            .map(|number| Name {
                name: format!("pi-{number}.local"),
                record_type: "AAAA".into(),
                data: address(number).to_string(),
                address: Some(address(number)),
                relay: "home".into(),
                link: "lan".into(),
                source: address(number),
                seen_seconds: 1,
                remaining_seconds: 119,
                to: vec![Crossing { link: "wan".into(), verdict: "passed".into() }],
            })
            .collect()
    }

    fn routes(&mut self) -> Vec<HostRoute> {
        (0..3)
            .map(|number| HostRoute {
                address: address(number),
                link: "lan".into(),
                ifindex: 3,
                table: 254,
                metric: 1090,
                protocol: 109,
                state: HostRouteState::Wanted,
                error: None,
                leads_to: Some("wan".into()),
                relay: "home".into(),
                host: Some(RouteReason {
                    evidence: "saved".into(),
                    state: HostState::Candidate,
                    lladdr: None,
                    confirmed_seconds: None,
                }),
            })
            .collect()
    }

    fn targets(&mut self) -> Vec<Target> {
        (0..3)
            .map(|number| Target {
                address: address(number),
                relay: "home".into(),
                link: "wan".into(),
                asked: 2,
                answered: 1,
                first_seconds: 60,
                last_seconds: 1,
            })
            .collect()
    }

    fn rules(&mut self) -> Vec<Rule> {
        self.rules.clone()
    }

    fn add_rules(&mut self, request: AddRules) -> Result<AddedRules, RuleRefusal> {
        if let Some(reason) = self.mistake.clone() {
            return Err(RuleRefusal { reason, index: Some(1) });
        }
        self.rules.extend(request.rules.iter().map(|rule| Rule {
            relay: "home".into(),
            prefix: rule.prefix.clone(),
            method: rule.method,
            on: rule.on.clone(),
            to: rule.to.clone(),
            source: RuleSource::Added,
            owner: Some(request.owner.clone()),
            remaining_seconds: request.lifetime_seconds,
            persist: request.persist,
            active: true,
        }));
        let added = request.rules.len() as u64;
        self.requests.push(request);
        Ok(AddedRules { added, renewed: 0 })
    }

    fn remove_rules(&mut self, request: RemoveRules) -> Result<u64, RuleRefusal> {
        if let Some(reason) = self.mistake.clone() {
            return Err(RuleRefusal { reason, index: None });
        }
        let before = self.rules.len();
        self.rules.retain(|rule| rule.owner != request.owner);
        Ok((before - self.rules.len()) as u64)
    }

    fn announce(&mut self, request: Announce) -> Result<Announced, String> {
        match request.link.as_deref() {
            None => Ok(Announced { announcements: 250, links: 2, seconds: 2 }),
            Some("wan") => Ok(Announced { announcements: 125, links: 1, seconds: 2 }),
            Some(link) => Err(format!("there is no link {link}")),
        }
    }

    fn reload(&mut self) -> Result<Vec<String>, String> {
        self.reloads += 1;
        let warning = "the path of the socket changes with the next start".to_owned();
        self.mistake.clone().map_or(Ok(vec![warning]), Err)
    }
}

fn new_rule(prefix: &str) -> NewRule {
    NewRule {
        relay: None,
        prefix: prefix.into(),
        method: RuleMethod::Static,
        on: vec!["wan".into()],
        to: Vec::new(),
        i_own_this_prefix: true,
    }
}

fn hosts(count: u128) -> Vec<Host> {
    (0..count)
        .map(|number| Host {
            address: address(number),
            link: "lan".into(),
            lladdr: Some("02:00:00:00:00:21".into()),
            state: HostState::Reachable,
            age_seconds: 1,
            evidence: "dad".into(),
            router: false,
            route: RouteState::Installed,
            names: Vec::new(),
        })
        .collect()
}

fn found(number: u128) -> Event {
    Event { address: Some(address(number)), ..Event::new(EventKind::HostFound) }
}

fn address(number: u128) -> IpAddr {
    Ipv6Addr::from_bits(0x2001_0db8 << 96 | number).into()
}

/// A directory of its own for each test.
struct Scene {
    directory: PathBuf,
    path: PathBuf,
}

impl Scene {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("magpie-control-{}-{number}", std::process::id());
        let directory = std::env::temp_dir().join(name);
        fs::create_dir(&directory).unwrap();
        let path = directory.join("magpie.sock");
        Self { directory, path }
    }

    fn serve(&self) -> Server {
        Server::bind(&self.path).unwrap()
    }

    /// Connects a client that writes and reads by hand.
    fn raw(&self, server: &mut Server) -> Raw {
        let before = server.clients();
        let stream = UnixStream::connect(&self.path).unwrap();
        stream.set_nonblocking(true).unwrap();
        server.serve(&mut Daemon::default());
        assert_eq!(server.clients(), before + 1);
        Raw { stream, received: Vec::new() }
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.directory);
    }
}

struct Raw {
    stream: UnixStream,
    received: Vec<u8>,
}

impl Raw {
    fn request(&mut self, value: &Value) {
        let message = [value.to_string().as_bytes(), b"\0"].concat();
        self.stream.write_all(&message).unwrap();
    }

    /// Takes a reply that must be there already.
    fn reply(&mut self) -> Value {
        self.reply_while(|| panic!("no reply is there"))
    }

    /// Takes a reply, calling `go_on` as long as there is none.
    fn reply_while(&mut self, mut go_on: impl FnMut()) -> Value {
        loop {
            if let Some(end) = self.received.iter().position(|octet| *octet == 0) {
                let rest = self.received.split_off(end + 1);
                self.received.pop();
                let message = std::mem::replace(&mut self.received, rest);
                return serde_json::from_slice(&message).unwrap();
            }
            let mut chunk = [0; 8192];
            match self.stream.read(&mut chunk) {
                Ok(0) => panic!("disconnected"),
                Ok(count) => self.received.extend_from_slice(chunk.get(..count).unwrap()),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => go_on(),
                Err(error) => panic!("{error}"),
            }
        }
    }
}

/// Runs `work` with a client in a thread while `server` serves.
fn with_client<T: Send>(
    server: &mut Server,
    daemon: &mut Daemon,
    work: impl FnOnce(Client) -> T + Send,
) -> T {
    let path = PathBuf::from(server.path());
    let (ours, theirs) = UnixStream::pair().unwrap();
    thread::scope(|scope| {
        let client = scope.spawn(move || {
            // Closed when the client is done, or has panicked.
            let _done = theirs;
            work(Client::connect(&path).unwrap())
        });
        loop {
            let [server_ready, done] = wait_readable(&[&*server, &ours]);
            if server_ready {
                server.serve(daemon);
            }
            if done {
                return client.join().unwrap();
            }
        }
    })
}

/// Waits until one of the descriptors is readable, and tells which are.
fn wait_readable<const N: usize>(fds: &[&dyn AsFdDyn; N]) -> [bool; N] {
    let mut set = fds.map(|fd| PollFd::from_borrowed_fd(fd.fd(), PollFlags::IN));
    let limit = Timespec::try_from(Duration::from_secs(20)).unwrap();
    let ready = poll(&mut set, Some(&limit)).unwrap();
    assert!(ready > 0, "nothing happened for 20 seconds");
    set.map(|fd| !fd.revents().is_empty())
}

/// Anything with a descriptor.
trait AsFdDyn {
    fn fd(&self) -> std::os::fd::BorrowedFd<'_>;
}

impl<T: AsFd> AsFdDyn for T {
    fn fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.as_fd()
    }
}
