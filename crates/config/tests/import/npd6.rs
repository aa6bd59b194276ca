//! The traps of npd6's file: what it says, what npd6 does about it, what is imported.

use magpie_config::import::npd6;

use crate::summary::compare;

const P: &str = "prefix=2001:db8:1:0:\ninterface=eth0\n";

/// What a pair comes to.
const RULE: &str = "eth0 R: static 2001:db8:1::/64";

fn after_pair(line: &str) -> String {
    format!("{P}{line}\n")
}

/// Lines after a pair of prefix and interface.
fn compare_lines(cases: &[(&str, &str, &str)]) {
    for (line, said, expected) in cases {
        compare(npd6, &[(&after_pair(line), said, expected)]);
    }
}

#[test]
fn lines_are_read_as_npd6_reads_them() {
    let long_comment = format!("//{}prefix=2001:db8:9:0:", " ".repeat(125));
    let long_expression =
        format!("listtype=white\nexprlist=(HOST==0x77){}", "||(HOST==0x78)".repeat(9));
    let long_value = format!(
        "eth0 R: static 2001:db8:1::/64; allow expr:(HOST==0x77){}",
        "||(HOST==0x78)".repeat(9)
    );
    compare_lines(&[
        ("# no comment, but no key either", "", RULE),
        ("// prefix=2001:db8:9:0:", "", RULE),
        ("; = ", "", RULE),
        ("  list type =\tnone  ", "", RULE),
        ("\r", "", RULE),
        ("Prefix=2001:db8:9:0:", "npd6 knows no key 'Prefix'", RULE),
        ("listype=white", "npd6 knows no key 'listype'", RULE),
        ("garbage", "'garbage' has no value", RULE),
        ("listtype=", "'listtype' has no value", RULE),
        ("= =", "it has no key", RULE),
        ("listtype=none=white", "", RULE),
        ("listtype=none\0white", "", RULE),
        (&long_comment, "obeys it", RULE),
        (&long_expression, "npd6 reads 127 characters of a line", &long_value),
    ]);
    compare(
        npd6,
        &[
            ("prefix=2001:db8:1:0:\r\ninterface=eth0\r\n", "", RULE),
            ("interface=eth0\nprefix=2001:db8:1:0:", "", RULE),
            ("\u{feff}prefix=2001:db8:1:0:\ninterface=eth0", "0 prefixes and 1 interfaces", ""),
        ],
    );
}

#[test]
fn prefixes_are_read_as_npd6_reads_them() {
    for (prefix, said, expected) in [
        ("2001:db8:1:0:", "", "2001:db8:1::/64"),
        ("2001:db8:1:0::/64", "", "2001:db8:1::/64"),
        ("2001:db8:1::/64", "", "2001:db8:1::/64"),
        ("2001:db8:1::", "npd6 takes this for 2001:db8:1::/48", "2001:db8:1::/48"),
        ("2001:db8:1:0:0:0:0:0077", "", "2001:db8:1::77/128"),
        ("2001:db8:1:0", "is invalid, and does not start", ""),
        ("2001:db8:1::1", "is invalid, and does not start", ""),
        ("::/0", "is invalid, and does not start", ""),
        ("2001:db8:1:0: # lan", "is invalid, and does not start", ""),
        ("2001:db8:1:0: // lan", "answers for every address", ""),
        ("2001:db8:1:0:/64 // lan", "this is part of the mask", "2001:db8:1::/64"),
        ("0::/0", "answers for every address", ""),
        ("2001:db8:1:0:/-1", "answers for every address", ""),
        ("2001:db8:1:0:/abc", "answers for every address", ""),
        ("2001:db8:1:0:/9999", "takes the mask 9999 for none", "2001:db8:1::/64"),
        ("2001:db8:1:0:7000:/66", "never matches anything", "2001:db8:1:0:4000::/66"),
        ("2000::/8", "no user owns a prefix that short", ""),
        ("zzzz:", "whatever its memory happens to hold", ""),
    ] {
        let said = said.replace("whatever its memory", "what its memory");
        let text = format!("prefix = {prefix}\ninterface = eth0\n");
        let expected = match expected {
            "" => String::new(),
            expected => format!("eth0 R: static {expected}"),
        };
        compare(npd6, &[(&text, &said, &expected)]);
    }
    compare(
        npd6,
        &[
            (
                "prefix=2001:db8:1:0:/200\ninterface=eth0",
                "matches nothing with a length over 128",
                "eth0 R:",
            ),
            ("prefix=fe80:0:0:0:\ninterface=eth0", "nobody is answered for fe80::/64", "eth0 R:"),
            ("prefix=ff02:0:0:0:\ninterface=eth0", "nobody is answered for ff02::/64", "eth0 R:"),
        ],
    );
}

#[test]
fn prefixes_and_interfaces_are_paired_in_their_order() {
    compare(
        npd6,
        &[
            (
                "prefix=2001:db8:1:0:\nprefix=2001:db8:2:0:\ninterface=eth0\ninterface=eth1",
                "",
                "eth0 R eth1 R: static 2001:db8:1::/64 on eth0; static 2001:db8:2::/64 on eth1",
            ),
            (
                "interface=eth0\nprefix=2001:db8:1:0:\ninterface=eth0\nprefix=2001:db8:2:0:",
                "",
                "eth0 R: static 2001:db8:1::/64; static 2001:db8:2::/64",
            ),
            (
                "interface=eth0\nprefix=2001:db8:1:0:\ninterface=eth0\nprefix=2001:db8:1:0:",
                "is given twice",
                RULE,
            ),
            ("", "neither a prefix nor an interface", ""),
            ("// nothing", "neither a prefix nor an interface", ""),
            ("prefix=2001:db8:1:0:", "1 prefixes and 0 interfaces", ""),
            ("interface=eth0", "0 prefixes and 1 interfaces", ""),
        ],
    );
}

#[test]
fn interfaces_are_those_that_npd6_can_open_or_should() {
    for (name, said, expected) in [
        ("elevenchars", "", "elevenchars"),
        ("twelve-chars", "npd6 does not start with 'twelve-chars'", "twelve-chars"),
        ("fifteen-letters", "npd6 does not start with 'fifteen-letters'", "fifteen-letters"),
        ("sixteen--letters", "at most 15 characters", ""),
        ("eth0 # wan", "no comments at the end of a line", ""),
        ("eth0 // wan", "no comments at the end of a line", ""),
        ("lo", "loopback", ""),
        ("eth0:1", "neither blanks nor", ""),
    ] {
        let text = format!("prefix=2001:db8:1:0:\ninterface = {name}\n");
        let expected = match expected {
            "" => String::new(),
            name => format!("{name} R: static 2001:db8:1::/64"),
        };
        compare(npd6, &[(&text, said, &expected)]);
    }
}

#[test]
fn settings_are_checked_as_npd6_checks_them() {
    compare_lines(&[
        ("linkOption=true", "", RULE),
        ("linkOption=yes", "npd6 does not start with 'yes'", ""),
        ("ignoreLocal=false", "", RULE),
        ("ignoreLocal=True", "npd6 does not start with 'True'", ""),
        ("routerNA=false", "", "eth0: static 2001:db8:1::/64"),
        ("routerNA=0", "npd6 does not start with '0'", ""),
        ("routerNA=true // yes", "npd6 does not start with 'true//yes'", ""),
        ("routerNA=true\nrouterNA=false", "the last one counts", "eth0: static 2001:db8:1::/64"),
        ("maxHops=255", "", RULE),
        ("maxHops=64", "every receiver drops npd6's answers", RULE),
        ("maxHops=abc", "every receiver drops npd6's answers", RULE),
        ("maxHops=256", "npd6 does not start with '256'", ""),
        ("maxHops=-1", "npd6 does not start with '-1'", ""),
        ("collectTargets=1000000", "", RULE),
        ("collectTargets=9x", "is no number", RULE),
        ("collectTargets=1000001", "npd6 does not start", ""),
        ("pollErrorLimit=300", "", RULE),
        ("pollErrorLimit=-1", "npd6 does not start with '-1'", ""),
        ("listlogging=on", "", RULE),
        ("listlogging=true", "npd6 does not start with 'true'", ""),
        ("ralogging=off", "", RULE),
        ("ralogging=yes", "npd6 does not start with 'yes'", ""),
    ]);
}

#[test]
fn the_number_of_targets_is_a_limit() {
    for (line, seen) in
        [("collectTargets=0", 0), ("collectTargets=9x", 9), ("collectTargets=77", 77)]
    {
        let imported = npd6(magpie_config::Source::new("x", after_pair(line))).expect(line);
        assert_eq!(imported.config.relays[0].limits.seen, seen, "{line}");
    }
}

#[test]
fn lists_allow_or_deny() {
    let deny = "eth0 R: deny 2001:db8:1::/64";
    compare_lines(&[
        ("listtype=black", "", RULE),
        ("listtype=white", "the white list is empty", deny),
        (
            "listtype=black\naddrlist=2001:db8:1::7",
            "",
            "eth0 R: static 2001:db8:1::/64; deny 2001:db8:1::7",
        ),
        (
            "addrlist=2001:db8:1::7\naddrlist=2001:0DB8:1:0::0007\nlisttype=white",
            "",
            "eth0 R: static 2001:db8:1::/64; allow 2001:db8:1::7",
        ),
        ("addrlist=2001:db8:1::7", "looks at no list", RULE),
        ("listtype=none\naddrlist=2001:db8:1::7", "looks at no list", RULE),
        (
            "listtype=Black\naddrlist=2001:db8:1::7",
            "npd6 takes 'Black' for 'none'",
            "eth0 R: static 2001:db8:1::/64; deny 2001:db8:1::7",
        ),
        (
            "listtype=white # mine\naddrlist=2001:db8:1::7",
            "npd6 takes 'white#mine' for 'none'",
            "eth0 R: static 2001:db8:1::/64; allow 2001:db8:1::7",
        ),
        ("listtype=grey\naddrlist=2001:db8:1::7", "not known what the lists are for", ""),
        ("listtype=grey", "npd6 takes 'grey' for 'none'", RULE),
        ("listtype=black\naddrlist=2001:db8:1::7::", "is no address", ""),
        (
            "listtype=black\naddrlist=2001:db8:1::7/112",
            "npd6 lists addresses only",
            "eth0 R: static 2001:db8:1::/64; deny 2001:db8:1::/112",
        ),
        (
            "whiteList = 2001:0123:4567:89aa:021d:5500::/88",
            "npd6 knows no key 'whiteList'",
            "eth0 R: static 2001:db8:1::/64; allow 2001:123:4567:89aa:21d:5500::/88",
        ),
        (
            "blackList = fe80::/16",
            "npd6 knows no key 'blackList'",
            "eth0 R: static 2001:db8:1::/64; deny fe80::/16",
        ),
        (
            "listtype=white\naddrlist = ::021d:5500:0:0/24",
            "npd6 lists addresses only",
            "eth0 R: static 2001:db8:1::/64; allow iid:021d:55**:*:*",
        ),
        ("listtype=white\naddrlist = ::/0", "'::/0' is every address there is", ""),
        ("listtype=white\naddrlist = ::5/0", "'::5/0' is every address there is", ""),
        ("whiteList = ::/0", "'::/0' is every address there is", ""),
        ("listtype=black\naddrlist = 2001:db8::/0", "is every address there is", ""),
    ]);
}

#[test]
fn expressions_are_those_of_npd6() {
    let white = |rest: &str| format!("{RULE}; allow expr:{rest}");
    let man = "(HOST);SEAN=(HOST&0xffff);((SEAN>0x99)&&(SEAN<0x124))";
    compare_lines(&[
        (&format!("listtype=white\nexprlist = {man}"), "", &white(man)),
        ("listtype=white\nexprlist = (HOST & 0xffff) > 0x 99", "", &white("(HOST&0xffff)>0x99")),
        (
            "listtype=white\nexprlist=HOST==0x77||HOST==0x78",
            "operators bind equally strongly",
            &white("HOST==0x77||HOST==0x78"),
        ),
        (
            "listtype=white\nexprlist=HOST==\nexprlist=HOST==1",
            "npd6 never matches anything with this line",
            &white("HOST==1"),
        ),
        (
            "listtype=white\nexprlist=HOST==",
            "the white list is empty",
            "eth0 R: deny 2001:db8:1::/64",
        ),
        ("listtype=black\nexprlist=HOST==", "npd6 denies nobody for this line", ""),
        (
            "listtype=black\nexprlist=100/HOST",
            "npd6 answers, or crashes, where this divides by zero",
            &format!("{RULE}; deny expr:100/HOST"),
        ),
        ("listtype=black\nexprlist=HOST%0x10==7", "", &format!("{RULE}; deny expr:HOST%0x10==7")),
        ("listtype=white\nexprlist=A=5;A==HOST", "", &white("A=5;A==HOST")),
        ("listtype=white\nexprlist=HOST", "", &white("HOST")),
    ]);
    let many: Vec<String> = (0..66).map(|number| format!("exprlist=HOST=={number}\n")).collect();
    let many = after_pair(&format!("listtype=white\n{}", many.concat()));
    let all: Vec<String> = (0..66).map(|number| format!("expr:HOST=={number}")).collect();
    let all = format!("{RULE}; allow {}", all.join(" "));
    compare(npd6, &[(&many, "npd6 keeps 64 expressions", &all)]);
}

#[test]
fn places_in_expressions_are_those_of_the_file() {
    let text = after_pair("listtype=black\nexprlist = HOST  ==  ) 5");
    let Err(errors) = npd6(magpie_config::Source::new("x", text.as_str())) else {
        panic!("an expression is taken for good");
    };
    let error = errors.iter().next().expect("an error");
    assert_eq!(text.get(error.span.clone()), Some(")"));
}

#[test]
fn more_interfaces_than_a_responder_can_have_are_refused() {
    let lines: Vec<String> =
        (0..129).map(|n| format!("prefix=2001:db8:{n}:0:\ninterface=eth{n}\n")).collect();
    compare(npd6, &[(&lines.concat(), "129 interfaces are too many", "")]);
}
