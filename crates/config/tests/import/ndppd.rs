//! The traps of ndppd's file: what it says, what ndppd does about it, what is imported.

use std::time::Duration;

use magpie_config::Source;
use magpie_config::import::ndppd;
use magpie_config::model::Config;
use magpie_engine::RoutePolicy;

use crate::summary::compare;

/// What most of the texts here come to.
const PROBE: &str = "eth0 R [eth1]: probe 2001:db8:1::/64 to eth1";

fn proxy(lines: &str) -> String {
    format!("proxy eth0 {{\n{lines}\n rule 2001:db8:1::/64 {{\n  iface eth1\n }}\n}}\n")
}

fn rule(lines: &str) -> String {
    format!("proxy eth0 {{\n rule 2001:db8:1::/64 {{\n{lines}\n }}\n}}\n")
}

fn config(text: &str) -> Config {
    ndppd(Source::new("ndppd.conf", text)).unwrap_or_else(|errors| panic!("{errors}")).config
}

#[test]
fn texts_are_taken_apart_as_ndppd_does_or_should() {
    let inner = "rule 2001:db8:1::/64 {\n iface eth1\n}\n";
    compare(
        ndppd,
        &[
            ("proxy eth0 { rule 2001:db8:1::/64 { iface eth1 } }", "", PROBE),
            ("proxy=eth0 {\nrule = 2001:db8:1::/64 { iface = eth1 }\n};\n", "", PROBE),
            (
                "# a\n// b\n/* c {\n */ proxy eth0 { rule 2001:db8:1::/64 /*\n*/ { iface eth1 } }",
                "",
                PROBE,
            ),
            (&format!("\u{feff}proxy eth0 {{\n{inner}}}"), "byte order mark", PROBE),
            (&format!("proxy eth0 {{\n{inner}}}\nfoo \u{e9}\n"), "loops at this", ""),
            (&format!("# \u{e9}\nproxy eth0 {{\n{inner}}}\n"), "", PROBE),
            (&format!("proxy \"eth0\" {{\n{inner}}}"), "takes the rest of this line", PROBE),
            ("proxy eth0 {\nrule \"2001:db8:1::/64\" {\niface eth1\n}\n}", "takes the rest", PROBE),
            ("proxy eth0 {\nrule 2001:db8:1::/64 {\niface 'eth1'\n}\n}", "", PROBE),
            (&format!("proxy eth0\n{{\n{inner}}}"), "on the line of what it belongs to", PROBE),
            (
                "proxy eth0 {\nrule 2001:db8:1::/64 # x\n{\niface eth1\n}\n}",
                "on the line of",
                PROBE,
            ),
            (&format!("}}\nproxy eth0 {{\n{inner}}}"), "no block to close", PROBE),
            (&format!("proxy eth0 {{\n{inner}"), "does not end: ndppd does not start", ""),
            (&format!("proxy eth0 {{\n{inner}}} /* x"), "this comment does not end", PROBE),
            ("", "there is nothing to import", ""),
            ("route-ttl 30000\n", "there is nothing to import", ""),
            ("proxy eth0 {\n}\n", "there is nothing to import", ""),
            ("proxy {\n}\n", "this 'proxy' has no interface", ""),
            ("proxy eth0 {\nrule {\nauto\n}\n}\n", "this rule has no address", ""),
        ],
    );
}

#[test]
fn keys_count_in_their_place_only() {
    for (text, said) in [
        (proxy("routre yes"), "silently ignores 'routre' in a 'proxy' block"),
        (proxy("route-ttl 1000"), "silently ignores 'route-ttl' in a 'proxy' block"),
        (rule("iface eth1\nrouter no"), "silently ignores 'router' in a 'rule' block"),
        (format!("router no\n{}", proxy("")), "silently ignores 'router' outside of all blocks"),
        (rule("iface eth1\niface eth2"), "'iface' is given twice, and the first"),
        (proxy("router yes\nrouter no"), "'router' is given twice, and the first"),
        (proxy("@router no"), "a key is expected here"),
        (proxy("{ router no }"), "belongs to nothing"),
    ] {
        compare(ndppd, &[(&text, said, PROBE)]);
    }
}

#[test]
fn booleans_are_imported_as_they_are_written() {
    let off = "eth0 [eth1]: probe 2001:db8:1::/64 to eth1";
    for (value, said, expected) in [
        ("yes", "", PROBE),
        ("TRUE", "", PROBE),
        ("no", "", off),
        ("false", "", off),
        ("0", "", off),
        ("yes;", "ndppd 0.2 takes yes; for no", PROBE),
        ("on", "ndppd 0.2 takes on for no", PROBE),
        ("1", "ndppd 0.2 takes 1 for no", PROBE),
        ("", "ndppd 0.2 takes nothing for no", PROBE),
        ("perhaps", "'perhaps' is neither yes nor no", off),
    ] {
        compare(ndppd, &[(&proxy(&format!("router {value}")), said, expected)]);
    }
}

#[test]
fn addresses_are_read_as_ndppd_reads_them() {
    for (address, said, expected) in [
        ("2001:db8:1::/64", "", "2001:db8:1::/64"),
        ("2001:db8:1::5/64", "", "2001:db8:1::/64"),
        ("2001:db8:1::5", "", "2001:db8:1::5/128"),
        ("2001:db8:1::", "there is no length", "2001:db8:1::/128"),
        ("2001:db8:1::/64x", "takes it for 128", "2001:db8:1::/128"),
        ("2001:db8:1::/abc", "takes it for 128", "2001:db8:1::/128"),
        ("2001:db8:1::/130", "takes it for 128", "2001:db8:1::/128"),
        ("2001:db8:1::5/-1", "takes it for 128", "2001:db8:1::5/128"),
        ("2001:db8:1::/64;", "does not understand this with a ';'", "2001:db8:1::/64"),
        ("::/0", "looks for every address", "auto"),
        ("2001:db8:1::/", "looks for every address", "auto"),
        ("2001:db8::zz/64", "is no IPv6 address: ndppd 0.2 reads '::/128'", ""),
        ("2001:db8::1%eth0", "is no IPv6 address", ""),
        ("::ffff:192.0.2.1", "is no IPv6 address", ""),
    ] {
        let text = format!("proxy eth0 {{ rule {address} {{ auto }} }}\n");
        let expected = match expected {
            "" => String::new(),
            expected => format!("eth0 R: route {expected}"),
        };
        compare(ndppd, &[(&text, said, &expected)]);
    }
    compare(
        ndppd,
        &[
            ("proxy eth0 { rule ::/0 { static } }", "answers for every address", ""),
            (
                "proxy eth0 { rule ::/0 { iface eth1 } }",
                "looks for every",
                "eth0 R [eth1]: probe auto to eth1",
            ),
            ("proxy eth0 { rule fe80::/64 { auto } }", "there is nothing to import", ""),
        ],
    );
}

#[test]
fn each_rule_has_one_method() {
    let is_static = "eth0 R: static 2001:db8:1::/64";
    compare(
        ndppd,
        &[
            (&rule("iface eth1"), "", PROBE),
            (&rule("auto"), "", "eth0 R: route 2001:db8:1::/64"),
            (&rule("static"), "", is_static),
            (&rule("static;"), "", is_static),
            (&rule("static no"), "takes this for the value of 'static'", is_static),
            (&rule("static router yes"), "takes this for the value of 'static'", is_static),
            (&rule(""), "this rule has no method", ""),
            (&rule("iface eth1\nauto"), "a rule has one of", ""),
            (&rule("static\nauto"), "a rule has one of", ""),
            (&rule("iface"), "this 'iface' has no interface", ""),
            (&rule("iface eth1;"), "answers for everything in the rule", PROBE),
            (&rule("iface eth1, eth2"), "answers for everything in the rule", PROBE),
            (&rule("iface a-name-of-sixteen"), "at most 15 characters", ""),
            (&rule("iface eth0"), "there is nothing to import", ""),
        ],
    );
}

#[test]
fn rules_for_the_same_targets_become_one() {
    let two = |first: &str, second: &str| {
        format!(
            "proxy eth0 {{\nrule 2001:db8:1::/64 {{\n{first}\n}}\nrule 2001:db8:1::1/64 {{\n{second}\n}}\n}}\n"
        )
    };
    compare(
        ndppd,
        &[
            (
                &two("iface eth1", "iface eth2"),
                "",
                "eth0 R [eth1] [eth2]: probe 2001:db8:1::/64 to eth1,eth2",
            ),
            (&two("iface eth1", "iface eth1"), "", PROBE),
            (
                &two("iface eth1", "static"),
                "answers before this one",
                "eth0 R: static 2001:db8:1::/64",
            ),
            (
                &two("static", "iface eth1"),
                "answers before this one",
                "eth0 R: static 2001:db8:1::/64",
            ),
            (&two("auto", "iface eth1"), "one method for a prefix", PROBE),
            (&two("iface eth1", "auto"), "one method for a prefix", PROBE),
            (
                "proxy eth0 {\nrule 2001:db8:1::/64 { iface eth1 }\nrule 2001:db8:1::/80 { iface eth2 }\n}",
                "only the longer one counts",
                "eth0 R [eth1] [eth2]: probe 2001:db8:1::/64 to eth1; probe 2001:db8:1::/80 to eth2",
            ),
            (
                "proxy eth0 {\nrule 2001:db8:1::/64 { iface eth1 }\nrule 2001:db8:1::/80 { iface eth1 }\n}",
                "",
                "eth0 R [eth1]: probe 2001:db8:1::/64 to eth1; probe 2001:db8:1::/80 to eth1",
            ),
        ],
    );
}

#[test]
fn proxies_with_interfaces_in_common_become_one_responder() {
    let both = "proxy wan {\nrouter no\nrule 2001:db8:1::/64 { iface lan }\n}\n\
                proxy lan {\nrule 2001:db8:2::/64 { iface wan }\n}\n";
    let apart = "proxy a {\nrule 2001:db8:1::/64 { iface b }\n}\n\
                 proxy c {\nrule 2001:db8:1::/64 { iface d }\n}\n";
    let joined = format!("{apart}proxy b {{\nrule 2001:db8:1::/64 {{ iface d }}\n}}\n");
    compare(
        ndppd,
        &[
            (
                both,
                "",
                "wan lan R: probe 2001:db8:1::/64 on wan to lan; probe 2001:db8:2::/64 on lan to wan",
            ),
            (
                apart,
                "",
                "a R [b]: probe 2001:db8:1::/64 to b | c R [d]: probe 2001:db8:1::/64 to d",
            ),
            (
                &joined,
                "",
                "a R c R b R [d]: probe 2001:db8:1::/64 on a to b; probe 2001:db8:1::/64 on c to \
                 d; probe 2001:db8:1::/64 on b to d",
            ),
            (
                "proxy a {\nrule 2001:db8:1::/64 { iface b }\n}\nproxy a {\nrule 2001:db8:2::/64 { iface b }\n}\n",
                "ndppd 0.2.5 uses the last only",
                "a R [b]: probe 2001:db8:1::/64 to b; probe 2001:db8:2::/64 to b",
            ),
            (
                "proxy a {\nrule 2001:db8:1::/64 { iface b }\n}\nproxy c {\n}\n",
                "this proxy has no rules",
                "a R [b]: probe 2001:db8:1::/64 to b",
            ),
        ],
    );
}

#[test]
fn times_and_routes_are_imported() {
    let relay =
        config(&proxy("ttl 45000\ndeadtime 5000\nretries 4\nautowire yes")).relays.remove(0);
    assert_eq!(relay.timing.probe_interval, Duration::from_secs(45));
    assert_eq!(relay.timing.hold_down, Duration::from_secs(5));
    assert_eq!(relay.timing.probe_retries, 4);
    assert_eq!(relay.routes.policy, RoutePolicy::All);

    let relay = config(&proxy("ttl -1\nretries 0")).relays.remove(0);
    assert_eq!(relay.timing.probe_interval, Duration::from_secs(60));
    assert_eq!(relay.timing.probe_retries, 1);
    assert_eq!(relay.routes.policy, RoutePolicy::Needed);
    assert!(relay.comments.iter().any(|line| line.contains("ndppd makes no routes")));

    for (lines, said) in [
        ("ttl abc", "'abc' is no number: ndppd 0.2 reads 0"),
        ("ttl 30000ms", "ndppd 0.2 reads 30000"),
        ("ttl -5", "a negative time"),
        ("ttl 1", "beyond what Magpie can do"),
        ("autowire yes", "ndppd 0.2.5, the one in Debian and Ubuntu, ignores 'autowire'"),
        ("keepalive no", "ignores 'keepalive'"),
        ("promiscuous yes", "ignores 'promiscuous'"),
    ] {
        compare(ndppd, &[(&proxy(lines), said, PROBE)]);
    }
    compare(ndppd, &[(&proxy("target_hwaddr 02:00:00:00:00:01\noutgoing yes"), "", PROBE)]);
}

#[test]
fn a_responder_has_one_timing() {
    let text = "proxy a {\nttl 40000\nrule 2001:db8:1::/64 { iface c }\n}\n\
                proxy b {\nttl 50000\nrule 2001:db8:1::/64 { iface c }\n}\n";
    compare(
        ndppd,
        &[(
            text,
            "links of one responder have this in common",
            "a R b R [c]: probe 2001:db8:1::/64 on a to c; probe 2001:db8:1::/64 on b to c",
        )],
    );
    assert_eq!(config(text).relays[0].timing.probe_interval, Duration::from_secs(40));
}

#[test]
fn ndppd_1_0_is_recognized() {
    let new = "valid-ttl 40000\ninvalid-ttl 8000\nretrans-limit 2\nretrans-time 500\nkeepalive no\n\
               renew 0\nuse-kernel no\n\
               proxy eth0 {\n rule 2001:db8:1::/64 {\n iface eth1\n autowire yes\n table 100\n }\n}\n";
    let unflagged = "eth0 [eth1]: probe 2001:db8:1::/64 to eth1";
    compare(
        ndppd,
        &[
            (new, "", unflagged),
            // Something of 0.2 in it: 1.0 would not start, so that it is 0.2.
            (&format!("route-ttl 30000\n{new}"), "silently ignores 'valid-ttl'", PROBE),
            (&format!("{new}foo 1\n"), "ndppd 1.0 does not start with 'foo'", ""),
            (&new.replace("keepalive no", "keepalive perhaps"), "", unflagged),
            (
                "valid-ttl 10000\nproxy a {\nrule 2001:db8:1::/64 { iface b }\nrule 2001:db8:1::/64 { iface c }\n}",
                "uses the last rule",
                "a [c]: probe 2001:db8:1::/64 to c",
            ),
            (
                "valid-ttl 10000\nproxy a {\nrule 2001:db8:1::/80 { iface b }\nrule 2001:db8:1::/64 { iface c }\n}",
                "here the longer one counts",
                "a [b] [c]: probe 2001:db8:1::/80 to b; probe 2001:db8:1::/64 to c",
            ),
            (
                "valid-ttl 10000\nproxy a {\nrule 2001:db8:1::/64 { iface c }\nrule 2001:db8:1::/80 { iface b }\n}",
                "",
                "a [c] [b]: probe 2001:db8:1::/64 to c; probe 2001:db8:1::/80 to b",
            ),
            (
                "proxy a {\nrouter yes\ntarget 02:00:00:00:00:01\nrule 2001:db8:1::/64 { static }\n}",
                "there is nothing to import",
                "",
            ),
            (
                "proxy a {\nrule 2001:db8:1::/64 {\niface b\nrewrite fd00::/64\n}\nrule 2001:db8:2::/64 { auto yes }\n}",
                "Magpie translates no prefixes",
                "a: route 2001:db8:2::/64",
            ),
            (
                "valid-ttl 10000\nproxy a {\nrouter on\nrule 2001:db8:2::/64 { auto }\n}",
                "does not start with 'on'",
                "",
            ),
        ],
    );
    let relay = config(new).relays.remove(0);
    assert_eq!(relay.timing.probe_interval, Duration::from_secs(40));
    assert_eq!(relay.timing.hold_down, Duration::from_secs(8));
    assert_eq!(relay.timing.probe_retries, 2);
    assert_eq!(relay.routes.policy, RoutePolicy::All);
    assert_eq!(relay.routes.table, Some(100));
}
