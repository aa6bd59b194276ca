//! What configurations mean: what is read, how files are layered, and what the engine gets.

use std::net::Ipv6Addr;
use std::time::Duration;

use magpie_config::model::{
    BridgePort, Config, Kind, Link, LinkOptions, LogLevel, Mdns, NameRule, Relay, Role, Selector,
};
use magpie_config::{Diagnostics, Loaded, Source, load, load_base, parse, render};
use magpie_engine::{
    Addresses, Announce, Conflicts, Decision, LinkConfig, MdnsLimits, Member, Members, Method,
    NaSource, OtherService, RoutePolicy, RouterFlag, RulePrefix, Subject,
};

#[test]
fn the_example_that_is_shipped_is_good() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../../dist/magpie.toml");
    let loaded = load(std::path::Path::new(file)).unwrap_or_else(|error| panic!("{error}"));
    assert!(loaded.warnings.is_empty(), "{}", loaded.warnings);
    assert_eq!(loaded.config.relays.len(), 1);
}

#[test]
fn what_is_commented_out_in_the_example_is_good_too() {
    let text = include_str!("../../../dist/magpie.toml");
    let uncommented: String = text
        .lines()
        .map(|line| line.strip_prefix('#').filter(|rest| !rest.starts_with(' ')).unwrap_or(line))
        .flat_map(|line| [line, "\n"])
        .collect();
    let loaded = read(&uncommented);
    assert!(loaded.warnings.is_empty(), "{}", loaded.warnings);
    assert!(loaded.config.relays.len() >= 2);
}

#[test]
fn the_examples_in_the_documents_are_good() {
    for (text, least) in [
        (include_str!("../../../docs/configuration.md"), 5),
        (include_str!("../../../docs/links.md"), 5),
        (include_str!("../../../docs/mdns.md"), 2),
    ] {
        let mut examples = 0;
        for block in text.split("```toml\n").skip(1) {
            let example = block.split("```").next().unwrap_or_default();
            let loaded = read(example);
            assert!(loaded.warnings.is_empty(), "{}", loaded.warnings);
            examples += 1;
        }
        assert!(examples >= least, "{examples}");
    }
}

#[test]
fn everything_that_can_be_said_is_read() {
    let loaded = read(EVERYTHING);
    // Both may be meant so.
    let messages: Vec<&str> =
        loaded.warnings.iter().map(|remark| remark.message.as_str()).collect();
    let expected = [
        "the kernel looks into table 100 only if a rule says so",
        "this keeps the relay from finding hosts in 2001:db8:1:1::/64",
    ];
    assert_eq!(messages, expected);
    let daemon = &loaded.config.daemon;
    assert_eq!(daemon.log_level, LogLevel::Verbose);
    assert!(daemon.fix_sysctls);
    let [home, office] = loaded.config.relays.as_slice() else { panic!("two are configured") };
    assert_eq!((home.name.as_str(), home.kind), ("home", Kind::Relay));
    assert_eq!(names(home), ["wan", "br-lan", "wg0"]);
    assert_eq!(home.links.first().and_then(|link| link.role), Some(Role::Upstream));
    let said = LinkOptions {
        promiscuous: true,
        bridge_port: BridgePort::UseBridge,
        announce: Announce::Hosts,
    };
    let options: Vec<LinkOptions> = home.links.iter().map(|link| link.options).collect();
    assert_eq!(options, [LinkOptions::default(), said, said]);
    assert_eq!(home.limits.joins_per_second, 18);
    assert_eq!(home.timing.hold_down, Duration::from_millis(500));
    assert_eq!(home.limits.seen, 0);
    assert_eq!(home.rules.len(), 3);
    assert_eq!(home.rules.last().map(|rule| rule.on.clone()), Some(vec!["wan".to_owned()]));
    assert_eq!((office.name.as_str(), office.kind), ("eth1", Kind::Responder));
    assert_eq!(names(office), ["eth1", "tap0"]);
    assert_eq!(office.links.last().map(|link| link.only_probed), Some(true));

    let mdns = home.mdns.as_ref().expect("it is configured");
    let rule = |subject, from: &[&str], to: &[&str]| NameRule {
        subject,
        from: from.iter().map(|name| (*name).to_owned()).collect(),
        to: to.iter().map(|name| (*name).to_owned()).collect(),
    };
    let expected = Mdns {
        cross_families: true,
        addresses: Addresses::WithIpv4,
        allow: vec![
            rule(Subject::Service("_ipp._tcp".into()), &["br-lan"], &["wan", "wg0"]),
            rule(Subject::Subtype("_printer._sub._http._tcp".into()), &[], &[]),
        ],
        deny: vec![
            rule(Subject::Instance("Kitchen \"Printer\"".into()), &[], &[]),
            rule(Subject::Host("pi-*".into()), &["wg0"], &[]),
        ],
        conflicts: Conflicts::Isolate,
        legacy: false,
        other_services: vec![OtherService::Ssdp, OtherService::WsDiscovery],
        limits: MdnsLimits {
            names_per_link: 19,
            packets_per_second: 20,
            packets_per_source: 21,
            legacy_per_source: 22,
        },
    };
    assert_eq!(*mdns, expected);
    assert!(home.neighbor_discovery);
    assert_eq!(office.mdns, Some(Mdns::default()));

    let written = render(&loaded.config);
    assert_eq!(read(&written).config, loaded.config, "{written}");
}

#[test]
fn names_go_where_links_are_in_the_configuration() {
    let loaded = read(EVERYTHING);
    let configs: Vec<_> = loaded.config.relays.iter().map(Relay::engine_config).collect();
    let [home, office] = configs.as_slice() else { panic!("two are configured") };
    let mdns = home.mdns.as_ref().expect("it is configured");
    let [printers, ..] = mdns.allow.as_slice() else { panic!("{:?}", mdns.allow) };
    assert!(printers.from.contains(Member(1)) && !printers.from.contains(Member(0)));
    assert!(printers.to.contains(Member(0)) && !printers.to.contains(Member(1)));
    let [_, hosts] = mdns.deny.as_slice() else { panic!("{:?}", mdns.deny) };
    assert_eq!((hosts.from.contains(Member(2)), hosts.to), (true, Members::ALL));
    assert_eq!(mdns.legacy_port, None);
    assert_eq!(office.mdns, Some(magpie_engine::Mdns::default()));
}

#[test]
fn later_files_add_to_what_is_said_of_names_or_turn_it_off() {
    let layer = |text: &str| Source::new("layer", format!("[[relay]]\nname = \"x\"\n{text}"));
    let base = || layer("links = [\"a\", \"b\"]\nmdns.allow = [{ host = \"pi-1\" }]\n");
    let names = |sources: &[Source]| {
        let config = parse(sources).unwrap_or_else(|mistakes| panic!("{mistakes}")).config;
        let mdns = config.relays.first().and_then(|relay| relay.mdns.clone())?;
        Some((mdns.addresses, mdns.allow.len()))
    };
    assert_eq!(names(&[base()]), Some((Addresses::Reachable, 1)));
    let more = layer("mdns.addresses = \"all\"\nmdns.allow = [{ host = \"pi-2\" }]");
    assert_eq!(names(&[base(), more]), Some((Addresses::All, 2)));
    assert_eq!(names(&[base(), layer("mdns = true")]), Some((Addresses::Reachable, 1)));
    assert_eq!(names(&[base(), layer("mdns = false")]), None);
    let (off, on) = (layer("mdns = false"), layer("mdns = true"));
    assert_eq!(names(&[base(), off, on]), Some((Addresses::Reachable, 0)));
    let alone = layer("links = [\"a\", \"b\"]\nmdns = true\nneighbor-discovery = false");
    let config = parse(&[alone]).unwrap_or_else(|mistakes| panic!("{mistakes}")).config;
    assert!(!config.relays[0].neighbor_discovery);
}

#[test]
fn later_files_refine_earlier_ones() {
    let base = r#"
        [daemon]
        log-level = "debug"
        control = "/run/x.sock"
        [[relay]]
        name = "home"
        links = ["wan", "br-lan"]
        prefixes = ["2001:db8:1::/64"]
        router-flag = "on"
        bridge-port = "bridge"
        deny = ["2001:db8:1::1"]
        [[relay.link]]
        name = "wan"
        role = "upstream"
        na-source = "global"
        [[relay.rule]]
        prefix = "2001:db8:1:1::/64"
        method = "route"
    "#;
    let second = r#"
        [daemon]
        log-level = "error"
        [[relay]]
        name = "home"
        prefixes = ["auto"]
        answer-delay = "5ms"
        announce = "hosts"
        deny = ["2001:db8:1::2"]
        [relay.timing]
        probe-retries = 9
        [[relay.link]]
        name = "wan"
        na-source = "target"
        promiscuous = true
        announce = "moves"
        [[relay.link]]
        name = "wg0"
        [[relay.rule]]
        prefix = "2001:db8:1:2::/64"
        method = "deny"
        [[responder]]
        links = ["eth1"]
        [[responder.rule]]
        prefix = "2001:db8:2::1"
        method = "static"
    "#;
    let third = r#"
        [[responder]]
        links = ["eth1"]
        router-flag = "off"
    "#;
    let sources = [base, second, third].map(|text| Source::new("layer", text));
    let loaded = parse(&sources).unwrap_or_else(|mistakes| panic!("{mistakes}"));
    assert_eq!(loaded.config.daemon.log_level, LogLevel::Error);
    assert!(loaded.config.daemon.control.is_some());
    let [home, eth1] = loaded.config.relays.as_slice() else { panic!("two are configured") };
    assert_eq!(names(home), ["wan", "br-lan", "wg0"]);
    assert!(home.prefixes.auto && home.prefixes.listed.is_empty());
    assert_eq!(home.deny.len(), 2);
    assert_eq!(home.rules.len(), 2);
    assert_eq!(home.timing.probe_retries, 9);
    let [wan, lan, _] = home.links.as_slice() else { panic!("three links") };
    assert_eq!((wan.role, wan.answers.na_source), (Some(Role::Upstream), NaSource::Target));
    // What is said of the relay later holds for links that say nothing of their own.
    for link in [wan, lan] {
        assert_eq!(link.answers.router_flag, RouterFlag::On);
        assert_eq!(link.answers.answer_delay, Duration::from_millis(5));
    }
    assert!(wan.options.promiscuous && !lan.options.promiscuous);
    assert_eq!(wan.options.announce, Announce::Moves);
    assert_eq!(lan.options.announce, Announce::Hosts);
    assert_eq!(lan.options.bridge_port, BridgePort::UseBridge);
    assert_eq!(eth1.answers.router_flag, RouterFlag::Off);
    assert_eq!(eth1.rules.len(), 1);
}

#[test]
fn links_need_not_be_listed_where_there_are_tables_about_them() {
    let loaded = read(
        "[[relay]]\n[[relay.link]]\nname = \"wan\"\nrole = \"upstream\"\n\
         [[relay.link]]\nname = \"br-lan\"\n",
    );
    assert!(loaded.warnings.is_empty(), "{}", loaded.warnings);
    assert_eq!(names(only(&loaded.config)), ["wan", "br-lan"]);
}

#[test]
fn links_that_are_replaced_take_their_tables_with_them() {
    let base = r#"
        [[relay]]
        name = "home"
        links = ["wan", "br-lan"]
        [[relay.link]]
        name = "br-lan"
        role = "downstream"
        [[relay.link.rule]]
        prefix = "2001:db8:1::/64"
        method = "route"
    "#;
    let later = "[[relay]]\nname = \"home\"\nlinks = [\"wan\", \"br-guest\"]\n";
    let sources = [base, later].map(|text| Source::new("layer", text));
    let loaded = parse(&sources).unwrap_or_else(|mistakes| panic!("{mistakes}"));
    assert_eq!(loaded.warnings.len(), 1, "{}", loaded.warnings);
    let home = only(&loaded.config);
    assert_eq!(names(home), ["wan", "br-guest"]);
    assert!(home.rules.is_empty());
}

#[test]
fn files_beside_are_read_in_lexical_order() {
    let loaded = load(std::path::Path::new("tests/layered/magpie.toml"))
        .unwrap_or_else(|error| panic!("{error}"));
    let home = only(&loaded.config);
    assert_eq!(home.routes.metric, 20, "the last file decides");
    assert_eq!(home.routes.table, Some(100), "what it does not say stays");
}

#[test]
fn the_routing_table_is_that_of_the_links_unless_one_is_given() {
    let table = |keys: &str| {
        let text = format!("[[relay]]\nlinks = [\"wan\", \"br-lan\"]\n{keys}");
        only(&read(&text).config).routes.table
    };
    assert_eq!(table(""), None);
    assert_eq!(table("route-table = \"auto\"\n"), None);
    assert_eq!(table("route-table = 254\n"), Some(254), "also for links in a VRF");
    let base = "[[relay]]\nname = \"home\"\nlinks = [\"wan\", \"br-lan\"]\nroute-table = 254\n";
    let later = "[[relay]]\nname = \"home\"\nroute-table = \"auto\"\n";
    let sources = [base, later].map(|text| Source::new("layer", text));
    let loaded = parse(&sources).unwrap_or_else(|mistakes| panic!("{mistakes}"));
    assert_eq!(only(&loaded.config).routes.table, None);
}

#[test]
fn links_that_are_several_interfaces_are_named_as_others_are() {
    let base = r#"
        [[relay]]
        name = "home"
        links = ["wan", "veth*", "master:vrf-blue"]
        [[relay.rule]]
        prefix = "2001:db8:1::/64"
        method = "probe"
        on = ["veth*"]
        to = ["veth*"]
    "#;
    let later = r#"
        [[relay]]
        name = "home"
        [[relay.link]]
        name = "veth*"
        promiscuous = true
        [[relay.link]]
        name = "kind:wireguard"
        role = "downstream"
        [[relay.link.rule]]
        prefix = "2001:db8:2::/64"
        method = "deny"
    "#;
    let sources = [base, later].map(|text| Source::new("layer", text));
    let loaded = parse(&sources).unwrap_or_else(|mistakes| panic!("{mistakes}"));
    assert!(loaded.warnings.is_empty(), "{}", loaded.warnings);
    let home = only(&loaded.config);
    assert_eq!(names(home), ["wan", "veth*", "master:vrf-blue", "kind:wireguard"]);
    let selectors: Vec<Selector<'_>> = home.links.iter().map(Link::selector).collect();
    let expected = [
        Selector::Name("wan"),
        Selector::Pattern("veth*"),
        Selector::Master("vrf-blue"),
        Selector::Kind("wireguard"),
    ];
    assert_eq!(selectors, expected);
    let promiscuous: Vec<bool> = home.links.iter().map(|link| link.options.promiscuous).collect();
    assert_eq!(promiscuous, [false, true, false, false]);
    let engine = home.engine_config();
    let plural: Vec<bool> = engine.links.iter().map(|link| link.plural).collect();
    assert_eq!(plural, [false, true, true, true]);
    let rules: Vec<_> = engine.rules.iter().copied().collect();
    let [among, denied, _] = rules.as_slice() else { panic!("{rules:?}") };
    let veths = Members::from_iter([Member(1)]);
    assert_eq!((among.on, among.method), (veths, Method::Probe { to: veths }));
    assert_eq!(denied.on, Members::from_iter([Member(3)]));
}

#[test]
fn one_link_is_enough_for_a_relay_if_it_is_several_interfaces() {
    for name in ["veth*", "kind:veth", "master:br0"] {
        let text = format!(
            "[[relay]]\nlinks = [\"{name}\"]\n\
             [[relay.rule]]\nprefix = \"2001:db8:1::/64\"\nmethod = \"probe\"\n"
        );
        let loaded = read(&text);
        assert!(loaded.warnings.is_empty(), "{}", loaded.warnings);
        assert_eq!(only(&loaded.config).name, name);
    }
}

#[test]
fn one_interface_may_be_taken_out_of_many() {
    let loaded = read(
        "[[relay]]\nname = \"home\"\nlinks = [\"wan\", \"veth*\", \"veth7\"]\n\
         [[responder]]\nlinks = [\"veth8\", \"veth9?\"]\n\
         [[responder.rule]]\nprefix = \"auto\"\nmethod = \"route\"\n",
    );
    // The last of them is left with none.
    let messages: Vec<&str> =
        loaded.warnings.iter().map(|remark| remark.message.as_str()).collect();
    assert_eq!(messages, ["`veth9?` is left with no interface"]);
    let [home, _] = loaded.config.relays.as_slice() else { panic!("two are configured") };
    assert_eq!(names(home), ["wan", "veth*", "veth7"]);
}

#[test]
fn a_relay_without_rules_looks_for_everything_in_the_subnet() {
    let config = engine("[[relay]]\nlinks = [\"wan\", \"br-lan\"]\n");
    assert!(config.prefixes.learned && config.prefixes.listed.is_empty());
    assert_eq!(config.links, [LinkConfig::default(); 2]);
    assert_eq!(config.routes, RoutePolicy::All);
    let rules: Vec<_> = config.rules.iter().copied().collect();
    let probe = Method::Probe { to: Members::ALL };
    let last = magpie_engine::Rule { prefix: RulePrefix::Subnet, on: Members::ALL, method: probe };
    assert_eq!(rules, [last]);
}

#[test]
fn a_responder_answers_nothing_else() {
    let config = engine(
        "[[responder]]\nlinks = [\"wan\"]\n[[responder.rule]]\nprefix = \"2001:db8::1\"\n\
         method = \"static\"\n",
    );
    let decide = |target| config.rules.decide(address(target), Member(0), Some(64));
    assert_eq!(decide("2001:db8::1"), Decision::Static { prefix_len: 128 });
    assert_eq!(decide("2001:db8::2"), Decision::Uncovered);
}

#[test]
fn names_become_positions() {
    let config = engine(
        r#"
        [[responder]]
        links = ["wan", "eth0"]
        [[responder.link]]
        name = "eth0"
        role = "upstream"
        router-flag = "on"
        [[responder.rule]]
        prefix = "2001:db8:1::/64"
        method = "probe"
        on = ["eth0"]
        to = ["tap0", "wan"]
        [[responder.rule]]
        prefix = "2001:db8:2::/64"
        method = "probe"
        [[responder.link.rule]]
        prefix = "auto"
        method = "deny"
        "#,
    );
    let members = |list: &[u8]| list.iter().copied().map(Member).collect::<Members>();
    let rules: Vec<_> = config.rules.iter().map(|rule| (rule.on, rule.method)).collect();
    assert_eq!(
        rules,
        [
            (members(&[1]), Method::Probe { to: members(&[0, 2]) }),
            (members(&[0, 1]), Method::Probe { to: Members::ALL }),
            (members(&[1]), Method::Deny),
        ]
    );
    // Only the upstream link shows the subnet.
    let shows: Vec<_> = config.links.iter().map(|link| link.shows_subnet).collect();
    assert_eq!(shows, [false, true, false]);
    let flags: Vec<_> = config.links.iter().map(|link| link.router_flag).collect();
    assert_eq!(flags, [RouterFlag::Auto, RouterFlag::On, RouterFlag::Auto]);
}

#[test]
fn a_link_that_is_only_looked_on_shows_no_subnet() {
    let config = engine(
        "[[responder]]\nlinks = [\"wan\"]\n[[responder.rule]]\nprefix = \"auto\"\n\
         method = \"probe\"\nto = [\"tap0\"]\n",
    );
    let shows: Vec<_> = config.links.iter().map(|link| link.shows_subnet).collect();
    assert_eq!(shows, [true, false]);
    let decide = |link| config.rules.decide(address("2001:db8::1"), Member(link), Some(64));
    assert_eq!(decide(0), Decision::Probe([Member(1)].into_iter().collect()));
    assert_eq!(decide(1), Decision::Uncovered);
}

#[test]
fn names_that_are_no_links_count_for_nothing() {
    let Loaded { mut config, .. } = read(
        "[[relay]]\nlinks = [\"wan\", \"br-lan\"]\n[[relay.rule]]\nprefix = \"2001:db8::/64\"\n\
         method = \"probe\"\non = [\"wan\"]\nto = [\"br-lan\"]\n",
    );
    let relay = config.relays.first_mut().unwrap();
    let rule = relay.rules.first_mut().unwrap();
    rule.on = vec!["gone".to_owned()];
    rule.to = vec!["gone".to_owned()];
    let engine = relay.engine_config();
    let rule = engine.rules.iter().next().unwrap();
    assert_eq!((rule.on, rule.method), (Members::NONE, Method::Probe { to: Members::NONE }));
}

#[test]
fn lists_hold_for_the_relay_or_one_link() {
    let config = engine(
        r#"
        [[relay]]
        links = ["wan", "br-lan"]
        deny = [
            "2001:db8::21",
            "2001:db8::10-2001:db8::1f",
            "iid:021d:55**:*:*",
            "oui:00:1d:56",
            "expr:SEEN = HOST & 0xffff; (SEEN > 0x99) && (SEEN < 0x124)",
        ]
        [[relay.link]]
        name = "wan"
        allow = ["2001:db8::/96", "2001:db8::21d:0:0:0/80"]
        "#,
    );
    let denied = |target: &str, link| {
        config.rules.decide(address(target), Member(link), Some(64)) == Decision::Deny
    };
    for target in ["2001:db8::21", "2001:db8::10", "2001:db8::1f", "2001:db8::9a"] {
        assert!(denied(target, 0) && denied(target, 1), "{target}");
    }
    for target in ["2001:db8::21d:5501:0:0", "2001:db8::21d:5600:0:0"] {
        assert!(denied(target, 0) && denied(target, 1), "{target}");
    }
    for target in ["2001:db8::1", "2001:db8::20", "2001:db8::124", "2001:db8::21d:5700:0:0"] {
        assert!(!denied(target, 0) && !denied(target, 1), "{target}");
    }
    // Not allowed on one link.
    assert!(denied("2001:db8::1:0:0:0", 0) && !denied("2001:db8::1:0:0:0", 1));
}

/// A list that cannot be told from nothing never opens anything.
#[test]
fn expressions_that_make_no_sense_fail_closed() {
    let mut relay = Relay::new(Kind::Relay, ["wan", "br-lan"]);
    let nonsense = magpie_config::model::Pattern::Expression("((".to_owned());
    let decide = |relay: &Relay| {
        relay.engine_config().rules.decide(address("2001:db8::1"), Member(0), Some(64))
    };
    assert_ne!(decide(&relay), Decision::Deny);
    relay.deny.push(nonsense.clone());
    assert_eq!(decide(&relay), Decision::Deny);
    relay.deny.clear();
    relay.allow.push(nonsense);
    assert_eq!(decide(&relay), Decision::Deny);
}

#[test]
fn ten_thousand_rules_are_read_at_once() {
    let mut text = "[[relay]]\nlinks = [\"wan\", \"br-lan\"]\n".to_owned();
    for index in 0..10_000 {
        let prefix = format!("2001:db8:0:{index:x}::/64");
        text.extend(["[[relay.rule]]\nprefix = \"", &prefix, "\"\nmethod = \"route\"\n"]);
    }
    let loaded = read(&text);
    assert!(loaded.warnings.is_empty());
    let config = only(&loaded.config).engine_config();
    let decision = config.rules.decide(address("2001:db8:0:270f::1"), Member(0), None);
    assert_eq!(decision, Decision::Route);
}

#[test]
fn what_is_put_together_otherwise_is_checked_alike() {
    let mut config = Config { relays: vec![Relay::new(Kind::Relay, ["wan"])], ..Config::default() };
    let mistakes = config.check().expect_err("one link is too few");
    assert!(mistakes.to_string().contains("`wan` alone is no relay"), "{mistakes}");
    config.relays = vec![Relay::new(Kind::Relay, ["wan", "br-lan"])];
    assert_eq!(config.check().map(|warnings| warnings.len()), Ok(0));
}

#[test]
fn a_file_that_others_complete_needs_no_links() {
    for file in ["empty", "only-daemon", "relay-of-one-link"] {
        let file = format!("tests/malformed/{file}.toml");
        let loaded = load_base(std::path::Path::new(&file));
        let loaded = loaded.unwrap_or_else(|error| panic!("{error}"));
        assert!(loaded.config.check().is_err(), "{file}");
    }
    assert!(load_base(std::path::Path::new("tests/malformed/syntax.toml")).is_err());
}

fn read(text: &str) -> Loaded {
    let read: Result<Loaded, Diagnostics> = parse(&[Source::new("test", text)]);
    read.unwrap_or_else(|mistakes| panic!("{mistakes}"))
}

fn engine(text: &str) -> magpie_engine::Config {
    only(&read(text).config).engine_config()
}

fn only(config: &Config) -> &Relay {
    let [relay] = config.relays.as_slice() else { panic!("one is configured") };
    relay
}

fn names(relay: &Relay) -> Vec<&str> {
    relay.links.iter().map(|link| link.name.as_str()).collect()
}

fn address(text: &str) -> Ipv6Addr {
    text.parse().expect(text)
}

const EVERYTHING: &str = r#"
[daemon]
control = "/run/magpie/magpie.sock"
state-file = "/var/lib/magpie/hosts.json"
log-level = "verbose"
fix-sysctls = true

[[relay]]
name = "home"
links = ["wan", "br-lan", "wg0"]
prefixes = ["auto", "2001:db8:1::/64"]
na-source = "global"
router-flag = "on"
answer-delay = "250ms"
promiscuous = true
bridge-port = "bridge"
announce = "hosts"
routes = "needed"
route-table = 100
route-metric = 7
route-protocol = 110
allow = ["2001:db8:1::/64"]
deny = [
    "2001:db8:1::21",
    "2001:db8:1::10-2001:db8:1::1f",
    "iid:021d:55**:*:*",
    "oui:00:1d:55",
    "expr:(HOST & 0xffff) == 0x77",
]

[relay.timing]
alarm-interval = "5s"
probe-interval = "90s"
probe-retries = 3
hold-down = "500ms"

[relay.limits]
bindings = 100
bindings-per-link = 50
bindings-per-lladdr = 10
unverified-per-link = 11
resolutions-per-link = 12
kernel-resolutions-per-link = 13
groups-per-link = 14
held-down = 15
seen = 0
solicits-per-second = 16
probes-per-second = 17
joins-per-second = 18

[relay.mdns]
addresses = "with-ipv4"
conflicts = "isolate"
cross-families = true
legacy-queries = false
other-services = ["ws-discovery", "ssdp"]
allow = [
    { service = "_ipp._tcp.local", from = "br-lan", to = ["wan", "wg0"] },
    { subtype = "_printer._sub._http._tcp" },
]
deny = [{ instance = "Kitchen \"Printer\"" }, { host = "pi-*.local", from = ["wg0"] }]

[relay.mdns.limits]
names-per-link = 19
packets-per-second = 20
packets-per-source = 21
legacy-per-source = 22

[[relay.link]]
name = "wan"
role = "upstream"
na-source = "target"
router-flag = "off"
answer-delay = "0s"
promiscuous = false
bridge-port = "refuse"
announce = "moves"
allow = ["2001:db8:1::/96"]
deny = ["2001:db8:1::7"]

[[relay.link.rule]]
prefix = "2001:db8:1:3::/64"
method = "probe"
to = ["br-lan"]

[[relay.link]]
name = "wg0"
role = "downstream"

[[relay.rule]]
prefix = "2001:db8:1:1::/64"
method = "static"
i-own-this-prefix = true

[[relay.rule]]
prefix = "2001:db8:1:2::1"
method = "deny"
on = ["wan", "wg0"]

[[responder]]
links = ["eth1"]
mdns = true

[[responder.rule]]
prefix = "auto"
method = "route"

[[responder.rule]]
prefix = "2001:db8:2::/76"
method = "probe"
on = ["eth1"]
to = ["tap0"]
"#;
