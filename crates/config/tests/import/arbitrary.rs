//! Whatever the bytes are, an importer comes to an end, and what it makes is a configuration.

use magpie_config::Source;
use magpie_config::import::{avahi, magpie, ndppd, npd6};
use proptest::prelude::*;

use crate::summary::assert_loads_again;

fn check_all(text: &str) {
    for import in [npd6, ndppd, avahi] {
        match import(Source::new("file.conf", text)) {
            Ok(imported) => {
                assert!(!imported.warnings.has_errors());
                let _shown = imported.warnings.render(false);
                assert_loads_again(&imported.config);
            }
            Err(errors) => assert!(errors.has_errors() && !errors.render(false).is_empty()),
        }
    }
    if let Ok(imported) = magpie(text) {
        assert_loads_again(&imported.config);
    }
}

/// Words that mean something to one of the importers, and what stands between them.
#[expect(clippy::too_many_lines, reason = "it is one list")]
fn fragment() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "[server]\nallow-interfaces=wan,lan\n[reflector]\nenable-reflector=yes\n",
        "prefix",
        "interface",
        "linkOption",
        "routerNA",
        "maxHops",
        "collectTargets",
        "listtype",
        "addrlist",
        "exprlist",
        "listlogging",
        "whiteList",
        "blackList",
        "black",
        "white",
        "none",
        "true",
        "false",
        "on",
        "off",
        "255",
        "-1",
        "2001:db8:1:0:",
        "2001:db8:1:0::/64",
        "0::/0",
        "2001:db8:1::7",
        "HOST==0x77",
        "(HOST&0xff)>1;",
        "A=HOST/0;A",
        "proxy",
        "rule",
        "iface",
        "static",
        "auto",
        "autowire",
        "autovia",
        "router",
        "ttl",
        "timeout",
        "deadtime",
        "retries",
        "keepalive",
        "route-ttl",
        "valid-ttl",
        "invalid-ttl",
        "retrans-limit",
        "table",
        "target",
        "rewrite",
        "yes",
        "no",
        "30000",
        "eth0",
        "eth1",
        "eth2",
        "lo",
        "fe80::/64",
        "::/0",
        "2001:db8:1::/64",
        "2001:db8:1::/80",
        "2001:db8:1::",
        "{",
        "}",
        "{\n",
        "}\n",
        "{",
        "}",
        "=",
        "=",
        "=",
        "\n",
        "\n",
        "\n",
        " ",
        " ",
        " ",
        " ",
        "\t",
        ";",
        ",",
        "\"",
        "'",
        "#",
        "//",
        "/*",
        "*/",
        "\u{feff}",
        "\0",
        "\u{e9}",
        "\r\n",
        "-i",
        "-a",
        "-p",
        "-r",
        "-f",
        "-l",
        "eth0,eth1",
        "\\",
        "5",
    ])
}

/// Files of ndppd that are in order but for their details.
fn proxies() -> impl Strategy<Value = String> {
    let name = prop::sample::select(vec!["eth0", "eth1", "eth2", "eth3", "eth4"]);
    let length = prop::sample::select(vec!["", "/0", "/48", "/64", "/80", "/128", "/200"]);
    let method =
        prop::sample::select(vec!["static", "auto", "iface eth1", "iface eth2", "iface eth3"]);
    let extra = prop::sample::select(vec!["", "autowire yes\n", "ttl 5000\n", "router no\n"]);
    let rule = (length, method, extra.clone()).prop_map(|(length, method, extra)| {
        format!("rule 2001:db8:1::{length} {{\n{extra}{method}\n}}\n")
    });
    let proxy = (name, extra, prop::collection::vec(rule, 0..4))
        .prop_map(|(name, extra, rules)| format!("proxy {name} {{\n{extra}{}}}\n", rules.concat()));
    (prop::sample::select(vec!["", "valid-ttl 20000\n"]), prop::collection::vec(proxy, 0..5))
        .prop_map(|(head, proxies)| format!("{head}{}", proxies.concat()))
}

/// Files of npd6 that are in order but for their details.
fn pairs() -> impl Strategy<Value = String> {
    let prefix = prop::sample::select(vec![
        "2001:db8:1:0:",
        "2001:db8:2::/64",
        "2001:db8:3::",
        "2001:db8:4:0:7000:/66",
        "2001:db8:1:0:/200",
        "fe80:0:0:0:",
    ]);
    let name = prop::sample::select(vec!["eth0", "eth1", "eth2"]);
    let pair =
        (prefix, name).prop_map(|(prefix, name)| format!("prefix={prefix}\ninterface={name}\n"));
    let line = prop::sample::select(vec![
        "listtype=black\n",
        "listtype=white\n",
        "listtype=none\n",
        "addrlist=2001:db8:1::7\n",
        "addrlist=2001:db8:1::/96\n",
        "exprlist=HOST==7\n",
        "exprlist=A=HOST;A/0\n",
        "exprlist=HOST==\n",
        "whiteList=::21d:5500:0:0/24\n",
        "blackList=fe80::/16\n",
        "routerNA=false\n",
        "collectTargets=5\n",
        "maxHops=7\n",
        "// no\n",
    ]);
    (prop::collection::vec(pair, 1..4), prop::collection::vec(line, 0..6))
        .prop_map(|(pairs, lines)| format!("{}{}", pairs.concat(), lines.concat()))
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(256) })]

    #[test]
    fn noise_is_read_to_its_end(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        check_all(&String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn fragments_are_read_to_their_end(words in prop::collection::vec(fragment(), 0..60)) {
        check_all(&words.concat());
        check_all(&words.join(" "));
    }

    #[test]
    fn files_of_ndppd_come_to_configurations(text in proxies()) {
        check_all(&text);
    }

    #[test]
    fn files_of_npd6_come_to_configurations(text in pairs()) {
        check_all(&text);
    }
}

/// Sizes at which anything that is not done once for each line would be noticed.
#[test]
fn large_files_are_read_in_time() {
    let addresses: Vec<String> =
        (0..20_000).map(|n: u32| format!("addrlist=2001:db8:1::{n:x}\n")).collect();
    let addresses = addresses.concat();
    let text = format!("prefix=2001:db8:1:0:\ninterface=eth0\nlisttype=black\n{addresses}");
    let imported = npd6(Source::new("npd6.conf", text)).expect("it is in order");
    assert_eq!(imported.config.relays[0].deny.len(), 20_000);

    let rules: Vec<String> =
        (0..20_000).map(|n: u32| format!("rule 2001:db8:{n:x}::/64 {{ iface eth1 }}\n")).collect();
    let rules = rules.concat();
    let text = format!("proxy eth0 {{\n{rules}}}\n");
    let imported = ndppd(Source::new("ndppd.conf", text)).expect("it is in order");
    assert_eq!(imported.config.relays[0].rules.len(), 20_000);
}
