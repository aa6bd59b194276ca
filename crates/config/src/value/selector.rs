//! Tells which texts can name a link: one interface, or those of a pattern, a kind or a master.

use super::{InterfaceNameError, ValueError, check_interface_name};
use crate::selector::{HARDWARE, KIND, MASTER, Selector, WILDCARDS};
use crate::suggest::closest;

/// Checks what names a link.
///
/// # Errors
///
/// What keeps `text` from being understood, or from being meant.
pub fn check_selector(text: &str) -> Result<(), ValueError> {
    match Selector::of(text) {
        Selector::Name(name) => {
            check_interface_name(name).map_err(|error| no_name(name, error, false))
        }
        Selector::Pattern(pattern) => check_pattern(pattern),
        Selector::Kind(kind) => check_kind(kind).map_err(|error| error.within(KIND.len())),
        Selector::Master(master) => {
            check_master(master).map_err(|error| error.within(MASTER.len()))
        }
    }
}

/// What is perhaps not meant about what names a link.
pub fn doubtful_selector(text: &str) -> Option<ValueError> {
    match Selector::of(text) {
        Selector::Kind(kind) if !KINDS.contains(&kind) => {
            Some(unknown_kind(kind).within(KIND.len()))
        }
        Selector::Name(name) | Selector::Pattern(name) => {
            let at = name.find(BRACKETS)?;
            let error = ValueError::new(at..at + 1, "brackets stand for themselves");
            Some(error.label("only `*` and `?` stand for other characters"))
        }
        Selector::Kind(_) | Selector::Master(_) => None,
    }
}

fn no_name(name: &str, error: InterfaceNameError, is_part: bool) -> ValueError {
    let error = ValueError::new(0..name.len(), error.to_string());
    let meant = name.split_once(':').filter(|_| !is_part).and_then(|(word, rest)| {
        let prefix = match word.to_lowercase().as_str() {
            _ if rest.is_empty() => return None,
            "type" => KIND,
            "bridge" | "vrf" | "bond" | "team" => MASTER,
            "name" | "dev" | "interface" => "",
            // An alias of old was no interface either.
            _ if rest.bytes().all(|byte| byte.is_ascii_digit()) => return Some(word.to_owned()),
            word => match closest(word, ["kind", "master"])? {
                "kind" => KIND,
                _ => MASTER,
            },
        };
        Some(format!("{prefix}{rest}"))
    });
    match meant.filter(|meant| check_selector(meant).is_ok()) {
        Some(meant) => error.label(format!("did you mean `{meant}`?")),
        None => error.label("not the name of a link"),
    }
}

fn check_pattern(pattern: &str) -> Result<(), ValueError> {
    let refused =
        |(_, c): &(usize, char)| *c == '/' || *c == ':' || c.is_whitespace() || c.is_control();
    if let Some((at, c)) = pattern.char_indices().find(refused) {
        let message = InterfaceNameError::Character.to_string();
        return Err(ValueError::new(at..at + c.len_utf8(), message).label("matches no name"));
    }
    if pattern.chars().all(|c| WILDCARDS.contains(&c)) {
        return Err(ValueError::new(0..pattern.len(), format!("`{pattern}` can be any interface"))
            .label("name those that are meant")
            .help(
                "all links of a relay share a subnet; write `veth*`, `kind:wireguard` or \
                 `master:vrf-blue`, or give each name",
            ));
    }
    // Each `?` is one octet at least.
    let least: String = pattern.chars().filter(|c| *c != '*').collect();
    match check_interface_name(&least.replace('?', "x")) {
        Err(error @ InterfaceNameError::TooLong) => {
            let error = ValueError::new(0..pattern.len(), error.to_string());
            Err(error.label("matches no name"))
        }
        _ => Ok(()),
    }
}

fn check_kind(kind: &str) -> Result<(), ValueError> {
    if kind.is_empty() {
        let error = ValueError::new(0..0, "the kind of interface is missing");
        return Err(error.label("expected something like `kind:wireguard`"));
    }
    let part_of_word = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    match kind.char_indices().find(|(_, c)| !part_of_word(*c)) {
        Some((at, c)) => {
            let error = ValueError::new(at..at + c.len_utf8(), "a kind of interface is one word");
            Err(match c {
                '*' | '?' => error.label("there are no wildcards in it"),
                _ => error.label("expected something like `kind:wireguard`"),
            })
        }
        None => Ok(()),
    }
}

fn check_master(master: &str) -> Result<(), ValueError> {
    if master.is_empty() {
        let error = ValueError::new(0..0, "the name of the master is missing");
        return Err(error.label("expected something like `master:vrf-blue`"));
    }
    if let Some(at) = master.find(WILDCARDS) {
        let error = ValueError::new(at..at + 1, "a master is given by its whole name");
        return Err(error.label("there are no wildcards in it"));
    }
    check_interface_name(master).map_err(|error| no_name(master, error, true))
}

fn unknown_kind(kind: &str) -> ValueError {
    let error =
        ValueError::new(0..kind.len(), format!("no kind of interface `{kind}` is known here"))
            .help("what is meant is the kind that `ip -details link` shows");
    let lower = kind.to_lowercase();
    let meant = match lower.as_str() {
        "wg" => Some("wireguard"),
        "tap" => Some("tun"),
        "eth" | "ether" | "ethernet" | "wifi" | "wlan" | "physical" => {
            return error.label("expected `kind:hardware`, or a pattern such as `eth*`");
        }
        lower => closest(lower, KINDS),
    };
    match meant {
        Some(meant) => error.label(format!("did you mean `{KIND}{meant}`?")),
        None => error.label("perhaps no interface is ever of this kind"),
    }
}

/// What other programs take for more than themselves.
const BRACKETS: [char; 4] = ['[', ']', '{', '}'];

/// What kernels call their kinds of interfaces that may have neighbors (`IFLA_INFO_KIND`).
const KINDS: [&str; 47] = [
    "amt",
    "bareudp",
    "batadv",
    "bond",
    "bridge",
    "dsa",
    "dummy",
    "erspan",
    "geneve",
    "gre",
    "gretap",
    "gtp",
    HARDWARE,
    "hsr",
    "ifb",
    "ip6erspan",
    "ip6gre",
    "ip6gretap",
    "ip6tnl",
    "ipip",
    "ipoib",
    "ipvlan",
    "ipvtap",
    "lowpan",
    "macsec",
    "macvlan",
    "macvtap",
    "netdevsim",
    "netkit",
    "openvswitch",
    "ovpn",
    "pfcp",
    "ppp",
    "rmnet",
    "sit",
    "team",
    "tun",
    "veth",
    "virt_wifi",
    "vlan",
    "vrf",
    "vti",
    "vti6",
    "vxlan",
    "wireguard",
    "wwan",
    "xfrm",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selectors_of_all_forms_are_good() {
        for text in [
            "wan",
            "veth*",
            "*-lan",
            "wlan?",
            "eth0.*",
            "*a*",
            "kind:wireguard",
            "kind:virt_wifi",
            "kind:hardware",
            "master:vrf-blue",
            "master:br0",
            "*fifteen-letters",
            "kind",
            "master",
        ] {
            assert_eq!(check_selector(text), Ok(()), "{text}");
            assert_eq!(doubtful_selector(text), None, "{text}");
        }
    }

    #[test]
    fn what_selects_nothing_is_refused_at_its_place() {
        for (text, span, label) in [
            ("", 0..0, "not the name of a link"),
            ("lo", 0..2, "not the name of a link"),
            ("*", 0..1, "name those that are meant"),
            ("??*", 0..3, "name those that are meant"),
            ("veth *", 4..5, "matches no name"),
            ("*/0", 1..2, "matches no name"),
            ("*sixteen-letters-", 0..17, "matches no name"),
            ("kind:", 5..5, "expected something like `kind:wireguard`"),
            ("kind:v*", 6..7, "there are no wildcards in it"),
            ("kind:a b", 6..7, "expected something like `kind:wireguard`"),
            ("master:", 7..7, "expected something like `master:vrf-blue`"),
            ("master:br?", 9..10, "there are no wildcards in it"),
            ("master:a/b", 7..10, "not the name of a link"),
            ("master:kind:x", 7..13, "not the name of a link"),
            ("eth0:1", 0..6, "did you mean `eth0`?"),
            ("eth0:a", 0..6, "not the name of a link"),
            ("knd:veth", 0..8, "did you mean `kind:veth`?"),
            ("Master:br0", 0..10, "did you mean `master:br0`?"),
            ("type:veth", 0..9, "did you mean `kind:veth`?"),
            ("vrf:blue", 0..8, "did you mean `master:blue`?"),
            ("name:wan", 0..8, "did you mean `wan`?"),
            ("name:a/b", 0..8, "not the name of a link"),
        ] {
            let error = check_selector(text).expect_err(text);
            assert_eq!((error.span, error.label.as_str()), (span, label), "{text}");
        }
    }

    #[test]
    fn doubts_are_told() {
        for (text, label) in [
            ("kind:wiregard", "did you mean `kind:wireguard`?"),
            ("kind:WireGuard", "did you mean `kind:wireguard`?"),
            ("kind:wg", "did you mean `kind:wireguard`?"),
            ("kind:ethernet", "expected `kind:hardware`, or a pattern such as `eth*`"),
            ("kind:quux", "perhaps no interface is ever of this kind"),
            ("eth[01]", "only `*` and `?` stand for other characters"),
            ("{a,b}*", "only `*` and `?` stand for other characters"),
        ] {
            assert_eq!(check_selector(text), Ok(()), "{text}");
            let doubt = doubtful_selector(text).map(|doubt| doubt.label);
            assert_eq!(doubt.as_deref(), Some(label), "{text}");
        }
    }
}
