//! What is written down is read as the same again, and nothing that is read makes it panic.

use std::net::Ipv6Addr;
use std::time::Duration;

use ipnet::Ipv6Net;
use magpie_config::model::{
    Answers, BridgePort, Config, Daemon, Kind, Link, LinkOptions, LogLevel, Mdns, Method, NameRule,
    Pattern, Prefixes, Relay, Role, Routes, Rule, RulePrefix,
};
use magpie_config::{Source, parse, render, render_complete};
use magpie_engine::{
    Addresses, Announce, Conflicts, Limits, MdnsLimits, NaSource, OtherService, RoutePolicy,
    RouterFlag, Subject, Timing,
};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};

proptest! {
    #[test]
    fn what_is_rendered_is_read_as_the_same(config in configs()) {
        let expected = without_comments(config.clone());
        for text in [render(&config), render_complete(&config)] {
            let read = parse(&[Source::new("rendered", text.clone())]);
            match read {
                Ok(read) => {
                    prop_assert_eq!(&read.config, &expected, "{}", text);
                    prop_assert_eq!(render(&read.config), render(&expected));
                }
                Err(mistakes) => prop_assert!(false, "{}\n{}", mistakes, text),
            }
        }
        prop_assert!(config.check().is_ok());
    }

    #[test]
    fn no_text_makes_it_panic(text in ".{0,200}") {
        let _ = parse(&[Source::new("any", text)]).map_err(|mistakes| mistakes.render(true));
    }

    #[test]
    fn no_mistake_makes_it_panic(
        start in 0..EXAMPLE.len(),
        length in 0..40usize,
        instead in option::of("[\\[\\]\"'=.,:/*a\u{e9}0\n\t-]{1,4}"),
    ) {
        let mut text = EXAMPLE.to_owned();
        let mut start = start;
        while !text.is_char_boundary(start) { start -= 1; }
        let mut end = (start + length).min(text.len());
        while !text.is_char_boundary(end) { end -= 1; }
        text.replace_range(start..end.max(start), &instead.unwrap_or_default());
        match parse(&[Source::new("mistaken", text)]) {
            Ok(read) => drop(read.warnings.render(false)),
            Err(mistakes) => drop(mistakes.render(false)),
        }
    }
}

const EXAMPLE: &str = include_str!("../../../dist/magpie.toml");

fn configs() -> impl Strategy<Value = Config> {
    (daemons(), vec(relays(), 1..4), comments()).prop_map(|(daemon, mut relays, comments)| {
        for (index, relay) in relays.iter_mut().enumerate() {
            own_names(relay, index);
        }
        Config { daemon, relays, comments }
    })
}

/// Gives a relay links and a name that no other has.
fn own_names(relay: &mut Relay, index: usize) {
    let rename = |name: &mut String| *name = format!("{name}.{index}");
    relay.links.iter_mut().for_each(|link| rename(&mut link.name));
    relay.rules.iter_mut().for_each(|rule| {
        rule.on.iter_mut().for_each(rename);
        rule.to.iter_mut().for_each(rename);
    });
    for rule in relay.mdns.iter_mut().flat_map(|mdns| mdns.allow.iter_mut().chain(&mut mdns.deny)) {
        rule.from.iter_mut().chain(&mut rule.to).for_each(rename);
    }
    if relay.name.is_empty() {
        let asked = relay.links.iter().filter(|link| !link.only_probed);
        relay.name = Relay::default_name(asked.map(|link| link.name.as_str()));
    } else {
        rename(&mut relay.name);
    }
}

fn daemons() -> impl Strategy<Value = Daemon> {
    let path = || option::of("/[a-z\"\\\\# \u{e9}]{1,12}".prop_map(Into::into));
    let levels =
        [LogLevel::Error, LogLevel::Warning, LogLevel::Info, LogLevel::Verbose, LogLevel::Debug];
    (path(), path(), select(levels.to_vec()), any::<bool>()).prop_map(
        |(control, state_file, log_level, fix_sysctls)| Daemon {
            control,
            state_file,
            log_level,
            fix_sysctls,
        },
    )
}

fn relays() -> impl Strategy<Value = Relay> {
    let kinds = prop_oneof![Just(Kind::Relay), Just(Kind::Responder)];
    let name = prop_oneof![Just(String::new()), "[a-z\"\\\\#'+\u{e9}]{1,8}"];
    let parts = (
        (kinds, name, prefixes(), options(), answers(), routes()),
        (patterns(), patterns(), timing(), limits(), comments()),
        (vec(links(), 2..5), vec(rules(), 0..6)),
        (any::<bool>(), option::of(mdns())),
    );
    parts.prop_map(|(first, second, (links, rules), (neighbor_discovery, mdns))| {
        let (kind, name, prefixes, options, answers, routes) = first;
        let (allow, deny, timing, limits, comments) = second;
        let mut relay = Relay {
            name,
            prefixes,
            rules,
            allow,
            deny,
            options,
            answers,
            timing,
            limits,
            routes,
            neighbor_discovery: neighbor_discovery || mdns.is_none(),
            mdns,
            comments,
            ..Relay::new(kind, [""; 0])
        };
        relay.links = links;
        for (link, name) in relay.links.iter_mut().zip(ASKED) {
            name.clone_into(&mut link.name);
        }
        make_sense(&mut relay);
        relay
    })
}

/// Makes rules fit the links, and the links the rules.
fn make_sense(relay: &mut Relay) {
    let names: Vec<String> = relay.links.iter().map(|link| link.name.clone()).collect();
    for rule in &mut relay.rules {
        rule.on.retain(|name| names.contains(name));
        if relay.kind == Kind::Relay {
            rule.to.retain(|name| names.contains(name));
        }
        let on = if rule.on.is_empty() { &names } else { &rule.on };
        let somewhere = |on: &String| rule.to.iter().any(|to| to != on);
        if !rule.to.is_empty() && !on.iter().any(somewhere) {
            rule.to.clear();
        }
        if rule.method != Method::Probe {
            rule.to.clear();
        }
        if relay.prefixes == (Prefixes { auto: false, listed: Vec::new() }) {
            relay.prefixes.auto = true;
        }
    }
    if relay.kind == Kind::Relay && relay.prefixes.listed.is_empty() {
        relay.prefixes.auto = true;
    }
    // The first two links are always there.
    for rule in relay.mdns.iter_mut().flat_map(|mdns| mdns.allow.iter_mut().chain(&mut mdns.deny)) {
        if !rule.from.is_empty() && rule.from == rule.to {
            rule.to.clear();
        }
    }
    for rule in &relay.rules {
        for to in &rule.to {
            if !relay.links.iter().any(|link| link.name == *to) {
                let link = Link { only_probed: true, ..relay.link(to) };
                relay.links.push(link);
            }
        }
    }
}

fn links() -> impl Strategy<Value = Link> {
    let role = option::of(select(vec![Role::Upstream, Role::Downstream]));
    (role, options(), answers(), patterns(), patterns(), comments()).prop_map(
        |(role, options, answers, allow, deny, comments)| Link {
            role,
            options,
            answers,
            allow,
            deny,
            comments,
            ..Link::new("")
        },
    )
}

fn rules() -> impl Strategy<Value = Rule> {
    let prefix = prop_oneof![Just(RulePrefix::Auto), nets(16..=128).prop_map(RulePrefix::Net)];
    let names: Vec<&str> = ASKED.into_iter().chain(PROBED).collect();
    let some = || subsequence(names.clone(), 0..4);
    let texts = |names: Vec<&str>| names.into_iter().map(str::to_owned).collect();
    (prefix, select(Method::ALL.to_vec()), some(), some(), any::<bool>(), comments()).prop_map(
        move |(prefix, method, on, to, i_own_this_prefix, comments)| Rule {
            on: texts(on),
            to: texts(to),
            i_own_this_prefix,
            comments,
            ..Rule::new(prefix, method)
        },
    )
}

fn mdns() -> impl Strategy<Value = Mdns> {
    let words = (
        select(vec![Addresses::Reachable, Addresses::WithIpv4, Addresses::All]),
        select(vec![Conflicts::Propagate, Conflicts::Isolate]),
        subsequence(vec![OtherService::Ssdp, OtherService::WsDiscovery], 0..=2),
    );
    let limits = (1..=1_048_576usize, 1..=1_000_000u32, any::<bool>());
    let parts = (words, any::<[bool; 2]>(), vec(name_rules(), 0..4), vec(name_rules(), 0..4));
    (parts, limits).prop_map(|((words, switches, allow, deny), (names, packets, changed))| {
        let (addresses, conflicts, other_services) = words;
        let [cross_families, legacy] = switches;
        let limits = MdnsLimits {
            names_per_link: names,
            packets_per_source: packets,
            ..MdnsLimits::default()
        };
        Mdns {
            cross_families,
            addresses,
            allow,
            deny,
            conflicts,
            legacy,
            other_services,
            limits: if changed { limits } else { MdnsLimits::default() },
        }
    })
}

fn name_rules() -> impl Strategy<Value = NameRule> {
    let service = "_[a-z*]{1,15}\\._(tcp|udp)";
    let subtype = "[a-zA-Z_*]{1,20}\\._sub\\._[a-z]{1,15}\\._tcp";
    let instance = "[a-zA-Z*' \"#\u{e9}-]{1,20}(\\._[a-z]{1,15}\\._udp)?";
    let host = "[a-zA-Z*' \"#\u{e9}-]{1,20}(\\.[a-z]{1,5})?";
    let subject = prop_oneof![
        service.prop_map(|text| Subject::Service(text.into())),
        subtype.prop_map(|text| Subject::Subtype(text.into())),
        instance.prop_map(|text| Subject::Instance(text.into())),
        host.prop_map(|text| Subject::Host(text.into())),
    ];
    let some = || subsequence(ASKED[..2].to_vec(), 0..=1);
    let texts = |names: Vec<&str>| names.into_iter().map(str::to_owned).collect();
    (subject, some(), some()).prop_map(move |(subject, from, to)| NameRule {
        subject,
        from: texts(from),
        to: texts(to),
    })
}

fn prefixes() -> impl Strategy<Value = Prefixes> {
    (any::<bool>(), vec(nets(16..=127), 0..3)).prop_map(|(auto, mut listed)| {
        let mut seen = Vec::new();
        listed.retain(|net| {
            let first = !seen.contains(net);
            seen.push(*net);
            first
        });
        Prefixes { auto, listed }
    })
}

fn nets(lengths: std::ops::RangeInclusive<u8>) -> impl Strategy<Value = Ipv6Net> {
    (addresses(), lengths).prop_map(|(address, length)| {
        Ipv6Net::new(address, length).expect("lengths up to 128 are valid").trunc()
    })
}

/// Global unicast addresses.
fn addresses() -> impl Strategy<Value = Ipv6Addr> {
    any::<u128>().prop_map(|bits| Ipv6Addr::from(bits >> 3 | 1 << 125))
}

fn patterns() -> impl Strategy<Value = Vec<Pattern>> {
    let expressions = ["HOST == 0x77", "SEEN = HOST & 0xffff; SEEN > 0x99", "mask(3, 0) == \t 15"];
    let pattern = prop_oneof![
        nets(0..=128).prop_map(Pattern::Prefix),
        (addresses(), addresses())
            .prop_map(|(one, other)| Pattern::Range(one.min(other), one.max(other))),
        (any::<u64>(), any::<u64>())
            .prop_map(|(mask, value)| Pattern::InterfaceIdentifier { mask, value: value & mask }),
        (any::<u16>(), any::<u64>()).prop_map(|(digits, value)| {
            let mask = (0..16)
                .filter(|digit| digits >> digit & 1 == 1)
                .fold(0, |mask, digit| mask | 0xf << (4 * digit));
            Pattern::InterfaceIdentifier { mask, value: value & mask }
        }),
        any::<[u8; 3]>().prop_map(Pattern::Oui),
        select(expressions.to_vec()).prop_map(|text| Pattern::Expression(text.to_owned())),
    ];
    vec(pattern, 0..5)
}

fn options() -> impl Strategy<Value = LinkOptions> {
    (
        any::<bool>(),
        select(vec![BridgePort::Refuse, BridgePort::UseBridge]),
        select(vec![Announce::Moves, Announce::Hosts]),
    )
        .prop_map(|(promiscuous, bridge_port, announce)| LinkOptions {
            promiscuous,
            bridge_port,
            announce,
        })
}

fn answers() -> impl Strategy<Value = Answers> {
    (
        select(vec![NaSource::LinkLocal, NaSource::Global, NaSource::Target]),
        select(vec![RouterFlag::Auto, RouterFlag::On, RouterFlag::Off]),
        (0..=1000u64).prop_map(Duration::from_millis),
    )
        .prop_map(|(na_source, router_flag, answer_delay)| Answers {
            na_source,
            router_flag,
            answer_delay,
        })
}

fn routes() -> impl Strategy<Value = Routes> {
    (
        select(vec![RoutePolicy::Needed, RoutePolicy::All, RoutePolicy::Never]),
        option::of(select(vec![1u32, 100, 254, u32::MAX])),
        1..=u32::MAX,
        select(vec![5u8, 100, 109, 255]),
    )
        .prop_map(|(policy, table, metric, protocol)| Routes {
            policy,
            table,
            metric,
            protocol,
        })
}

fn timing() -> impl Strategy<Value = Timing> {
    let millis = |range: std::ops::RangeInclusive<u64>| range.prop_map(Duration::from_millis);
    let seconds = |range: std::ops::RangeInclusive<u64>| range.prop_map(Duration::from_secs);
    (millis(100..=3_600_000), seconds(1..=86_400), 1..=100u8, millis(0..=86_400_000)).prop_map(
        |(alarm_interval, probe_interval, probe_retries, hold_down)| Timing {
            alarm_interval,
            probe_interval,
            probe_retries,
            hold_down,
        },
    )
}

fn limits() -> impl Strategy<Value = Limits> {
    (1..=16_777_216usize, 0..=16_777_216usize, 1..=u32::MAX, any::<bool>()).prop_map(
        |(bindings, seen, solicits_per_second, changed)| {
            let limits = Limits { bindings, seen, solicits_per_second, ..Limits::default() };
            if changed { limits } else { Limits::default() }
        },
    )
}

fn comments() -> impl Strategy<Value = Vec<String>> {
    vec("[ -~\n\t\u{7}\u{e9}]{0,20}", 0..3)
}

fn without_comments(mut config: Config) -> Config {
    config.comments.clear();
    for relay in &mut config.relays {
        relay.comments.clear();
        relay.links.iter_mut().for_each(|link| link.comments.clear());
        relay.rules.iter_mut().for_each(|rule| rule.comments.clear());
    }
    config
}

const ASKED: [&str; 4] = ["wan", "veth*", "master:br0", "wg0"];
const PROBED: [&str; 2] = ["tap0", "vlan?"];
