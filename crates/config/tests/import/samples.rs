//! The sample files of Debian's packages: no key of theirs is lost.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use magpie_config::import::{Imported, ndppd, npd6};
use magpie_config::{Source, render};
use magpie_testnet::peers::Peer;

use crate::summary::assert_loads_again;

/// Keys that npd6's manual names.
const NPD6_KEYS: [&str; 13] = [
    "prefix",
    "interface",
    "listtype",
    "addrlist",
    "exprlist",
    "listlogging",
    "collectTargets",
    "linkOption",
    "ignoreLocal",
    "routerNA",
    "maxHops",
    "pollErrorLimit",
    "ralogging",
];

fn sample(peer: Peer) -> String {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("peers");
    let files = peer.find(&folder).unwrap_or_else(|error| panic!("{error}"));
    fs::read_to_string(&files.sample)
        .unwrap_or_else(|error| panic!("cannot read {}: {error}", files.sample.display()))
}

/// The numbers that the comments of a configuration name after `line` or `lines`.
fn lines_named(text: &str) -> BTreeSet<usize> {
    let comments: Vec<&str> =
        text.lines().filter_map(|line| line.strip_prefix('#')).map(str::trim).collect();
    let text = comments.join(" ").to_lowercase().replace("lines ", "line ");
    let mut named = BTreeSet::new();
    for part in text.split("line ").skip(1) {
        let mut last = None;
        let mut run = false;
        for word in part.split(' ') {
            let digits = word.trim_end_matches([',', '.', ':', ')', ';']);
            match (digits.parse::<usize>(), word) {
                (Ok(number), _) => {
                    let first = last.filter(|_| run).unwrap_or(number);
                    named.extend(first..=number);
                    last = Some(number);
                    run = false;
                }
                (Err(_), "to") => run = true,
                (Err(_), "and") => {}
                (Err(_), _) => break,
            }
        }
    }
    named
}

/// Each line that holds a key has to be named in a comment of what is imported.
fn assert_nothing_is_lost(imported: &Imported, keys: &[(usize, String)]) {
    assert_loads_again(&imported.config);
    let text = render(&imported.config);
    let named = lines_named(&text);
    for (line, key) in keys {
        assert!(named.contains(line), "line {line}, '{key}':\n{text}");
    }
}

/// The lines of a file of npd6's that hold a key.
fn npd6_keys(text: &str) -> Vec<(usize, String)> {
    let mut keys = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let Some((key, _)) = line.split_once('=') else { continue };
        let key = key.trim();
        if !key.starts_with("//") {
            keys.push((index + 1, key.to_owned()));
        }
    }
    keys
}

#[test]
fn npd6_sample_is_imported_without_a_lost_key() {
    let text = sample(Peer::Npd6);
    let keys = npd6_keys(&text);
    assert!(keys.len() >= 10, "{keys:?}");
    let imported = npd6(Source::new("npd6.conf.sample", text)).unwrap_or_else(|e| panic!("{e}"));
    assert_nothing_is_lost(&imported, &keys);
    let relay = &imported.config.relays[0];
    assert_eq!(relay.links[0].name, "eth0");
    assert_eq!(relay.rules[0].prefix.to_string(), "2222:1111:2222:3333::/64");
    assert_eq!(relay.limits.seen, 100);
}

#[test]
fn npd6_sample_is_imported_with_each_key_that_is_commented_out() {
    let text = sample(Peer::Npd6);
    let lines: Vec<&str> = text.lines().collect();
    let mut variants = 0;
    for (index, line) in lines.iter().enumerate() {
        let Some(setting) = line.trim().strip_prefix("//") else { continue };
        let Some((key, _)) = setting.split_once('=') else { continue };
        if !NPD6_KEYS.contains(&key.trim()) {
            continue;
        }
        variants += 1;
        let mut variant: Vec<String> = lines.iter().map(|&line| line.to_owned()).collect();
        variant[index] = match key.trim() {
            // Prefixes come with interfaces.
            "prefix" => {
                variant.push("interface = eth1".to_owned());
                setting.to_owned()
            }
            // There, it is only told what it looks like.
            "exprlist" => "exprlist = HOST == 0x77".to_owned(),
            _ => setting.to_owned(),
        };
        let text = variant.join("\n");
        let keys = npd6_keys(&text);
        let imported = npd6(Source::new("variant", text)).unwrap_or_else(|e| panic!("{e}"));
        assert_nothing_is_lost(&imported, &keys);
    }
    assert!(variants >= 5, "{variants}");
}

#[test]
fn each_key_of_npd6_manual_is_imported() {
    let text = "prefix = 2001:db8:1:0:\ninterface = eth0\nlinkOption = true\nignoreLocal = false\n\
                routerNA = true\nmaxHops = 64\ncollectTargets = 7\nlisttype = black\n\
                addrlist = 2001:db8:1::7\nexprlist = HOST == 5\nlistlogging = on\n\
                pollErrorLimit = 0\nralogging = on\n";
    let keys = npd6_keys(text);
    let names: BTreeSet<&str> = keys.iter().map(|(_, key)| key.as_str()).collect();
    assert_eq!(names, NPD6_KEYS.into_iter().collect());
    let imported = npd6(Source::new("all", text)).unwrap_or_else(|e| panic!("{e}"));
    assert_nothing_is_lost(&imported, &keys);
}

/// The lines of a file of ndppd's that hold a key; one on each line.
fn ndppd_keys(text: &str) -> Vec<(usize, String)> {
    let mut keys = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let word = line.trim().split(' ').next().unwrap_or_default();
        if word.starts_with(|c: char| c.is_ascii_lowercase()) {
            keys.push((index + 1, word.to_owned()));
        }
    }
    keys
}

#[test]
fn ndppd_sample_is_imported_without_a_lost_key() {
    let text = sample(Peer::Ndppd);
    let keys = ndppd_keys(&text);
    assert!(keys.len() >= 6, "{keys:?}");
    let imported = ndppd(Source::new("ndppd.conf-dist", text)).unwrap_or_else(|e| panic!("{e}"));
    assert_nothing_is_lost(&imported, &keys);
    assert_eq!(imported.config.relays[0].rules[0].prefix.to_string(), "1111::");
}

#[test]
fn ndppd_sample_is_imported_with_each_method_that_it_explains() {
    let text = sample(Peer::Ndppd);
    for method in ["static", "iface eth1", "auto"] {
        let text = text.replace("\n      auto\n", &format!("\n      {method}\n"));
        assert!(text.contains(&format!("\n      {method}\n")), "the sample has changed");
        let keys = ndppd_keys(&text);
        let imported = ndppd(Source::new("variant", text)).unwrap_or_else(|e| panic!("{e}"));
        assert_nothing_is_lost(&imported, &keys);
    }
}

#[test]
fn each_key_of_ndppd_manuals_is_imported() {
    for text in [
        // 0.2.5 and 0.2.6, with the patches.
        "route-ttl 30000\naddress-ttl 30000\nproxy eth0 {\nrouter yes\ntimeout 500\nautowire yes\n\
         keepalive yes\nretries 3\npromiscuous no\nttl 30000\ndeadtime 3000\n\
         target_hwaddr 02:00:00:00:00:01\noutgoing no\nrule 2001:db8:1::/64 {\niface eth1\n\
         autovia yes\n}\nrule 2001:db8:2::/64 {\nauto\n}\nrule 2001:db8:3::1 {\nstatic\n}\n}\n",
        // 1.0-devel.
        "valid-ttl 30000\ninvalid-ttl 10000\nretrans-time 1000\nretrans-limit 3\nrenew 0\n\
         keepalive no\nuse-kernel no\nproxy eth0 {\nrouter yes\nrule 2001:db8:1::/64 {\n\
         iface eth1\nautowire yes\ntable 254\n}\nrule 2001:db8:2::/64 {\nauto\n}\n\
         rule 2001:db8:3::1 {\nstatic\nrewrite fd00::/64\n}\nrule 2001:db8:4::/64 {\niface eth1\n\
         rewrite fd00::/64\n}\nrule 2001:db8:5::/64 {\niface eth1\ntarget 02:00:00:00:00:01\n}\n}\n\
         proxy eth2 {\ntarget 02:00:00:00:00:01\nrule 2001:db8:1::/64 {\nstatic\n}\n}\n",
    ] {
        let imported = ndppd(Source::new("all", text)).unwrap_or_else(|e| panic!("{e}"));
        assert_nothing_is_lost(&imported, &ndppd_keys(text));
    }
}
