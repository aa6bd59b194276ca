//! Tells which interfaces are meant by what a configuration names.

/// Which interfaces a link is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Selector<'l> {
    /// `wan`: the one with this name.
    Name(&'l str),
    /// `veth*`: those whose names match; `*` stands for any characters, `?` for one.
    Pattern(&'l str),
    /// `kind:wireguard`: those of this kind, as `ip -details link` names it; `kind:hardware`: those
    /// that it names no kind of.
    Kind(&'l str),
    /// `master:vrf-blue`: those that belong to this one. The ports of a bridge are reached through
    /// the bridge itself, which is used in their stead.
    Master(&'l str),
}

impl<'l> Selector<'l> {
    /// Understands what a configuration names.
    pub fn of(text: &'l str) -> Self {
        if let Some(kind) = text.strip_prefix(KIND) {
            Self::Kind(kind)
        } else if let Some(master) = text.strip_prefix(MASTER) {
            Self::Master(master)
        } else if text.contains(WILDCARDS) {
            Self::Pattern(text)
        } else {
            Self::Name(text)
        }
    }

    /// Whether an interface is meant: one with this `name`, of this `kind`, if it has one, that
    /// belongs to this `master`. The loopback interface never is.
    pub fn matches(&self, name: &str, kind: Option<&str>, master: Option<&str>) -> bool {
        name != LOOPBACK
            && match self {
                Self::Name(wanted) => *wanted == name,
                Self::Pattern(pattern) => is_like(name, pattern, |_| true),
                Self::Kind(wanted) => kind.unwrap_or(HARDWARE) == *wanted,
                Self::Master(wanted) => master == Some(*wanted),
            }
    }

    /// Whether it is more than one interface, or can be.
    pub fn is_plural(&self) -> bool {
        !matches!(self, Self::Name(_))
    }

    /// Whether each interface that `other` means is meant as well, as far as the texts show.
    pub(crate) fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Pattern(pattern), Self::Name(name)) => is_like(name, pattern, |_| true),
            // A star can be more than the one character that `?` stands for, and none.
            (Self::Pattern(wide), Self::Pattern(narrow)) => is_like(narrow, wide, |c| c != '*'),
            _ => self == other,
        }
    }
}

/// Whether a name is what a pattern describes, where `?` may stand for some characters only.
fn is_like(name: &str, pattern: &str, is_one: impl Fn(char) -> bool) -> bool {
    let (mut name, mut pattern) = (name.chars(), pattern.chars());
    // What follows the last star, and what of the name the star does not stand for yet.
    let mut star = None;
    loop {
        let (before, wanted) = (name.clone(), pattern.next());
        if wanted == Some('*') {
            star = Some((pattern.clone(), before));
            continue;
        }
        match (name.next(), wanted) {
            (None, None) => return true,
            (Some(found), Some('?')) if is_one(found) => continue,
            (Some(found), Some(wanted)) if found == wanted => continue,
            _ => {}
        }
        // The star stands for one character more.
        let Some((after, rest)) = &mut star else { return false };
        if rest.next().is_none() {
            return false;
        }
        (name, pattern) = (rest.clone(), after.clone());
    }
}

/// How a kind begins.
pub(crate) const KIND: &str = "kind:";
/// How a master begins.
pub(crate) const MASTER: &str = "master:";
/// The kind of what is no invention of the kernel's.
pub(crate) const HARDWARE: &str = "hardware";
/// What stands for other characters.
pub(crate) const WILDCARDS: [char; 2] = ['*', '?'];
/// It has no neighbors.
pub(crate) const LOOPBACK: &str = "lo";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_is_a_whole_name() {
        for (pattern, like, unlike) in [
            ("veth*", &["veth", "veth0", "veth1a2b3c"][..], &["vet", "eth0", "xveth0"][..]),
            ("*-lan", &["br-lan", "-lan", "a-lan-lan"], &["br-lan0", "lan"]),
            ("wl?n*", &["wlan0", "wlxn", "wlan"], &["wln", "wan0"]),
            ("eth0.?", &["eth0.7"], &["eth0.", "eth0.77"]),
            ("v*a*b", &["vab", "vaabb", "v-a-b", "vbab"], &["vba", "va", "v"]),
            ("a**b", &["ab", "aab"], &["a", "b"]),
            ("\u{fc}?", &["\u{fc}\u{e4}"], &["\u{fc}", "u0"]),
        ] {
            assert_eq!(Selector::of(pattern), Selector::Pattern(pattern));
            for name in like {
                assert!(Selector::of(pattern).matches(name, None, None), "{pattern} {name}");
            }
            for name in unlike {
                assert!(!Selector::of(pattern).matches(name, None, None), "{pattern} {name}");
            }
        }
    }

    #[test]
    fn what_a_pattern_covers_is_shown_by_the_texts() {
        for (wide, narrow, expected) in [
            ("veth*", "veth1*", true),
            ("veth*", "veth?", true),
            ("veth*", "veth*", true),
            ("veth*", "veth7", true),
            ("*", "veth*", true),
            ("v?th*", "veth*", true),
            ("v??h", "v?th", true),
            ("veth?", "veth*", false),
            ("veth?*", "veth*", false),
            ("veth1*", "veth*", false),
            ("veth*", "v*th0", false),
            ("veth*", "kind:veth", false),
            ("kind:veth", "kind:veth", true),
            ("kind:veth", "kind:vlan", false),
            ("veth7", "veth*", false),
        ] {
            let covers = Selector::of(wide).covers(&Selector::of(narrow));
            assert_eq!(covers, expected, "{wide} {narrow}");
        }
    }

    #[test]
    fn texts_are_understood_by_how_they_begin() {
        for (text, selector) in [
            ("wan", Selector::Name("wan")),
            ("kind:wireguard", Selector::Kind("wireguard")),
            ("master:vrf-blue", Selector::Master("vrf-blue")),
            ("kind", Selector::Name("kind")),
            ("?", Selector::Pattern("?")),
        ] {
            assert_eq!(Selector::of(text), selector, "{text}");
        }
    }

    #[test]
    fn kinds_and_masters_are_compared_as_they_are() {
        let (kind, master) = (Selector::of("kind:veth"), Selector::of("master:br0"));
        assert!(kind.matches("a", Some("veth"), None) && master.matches("a", None, Some("br0")));
        assert!(!kind.matches("veth0", None, Some("veth")));
        let hardware = Selector::of("kind:hardware");
        assert!(hardware.matches("eth0", None, None));
        assert!(!hardware.matches("veth0", Some("veth"), None));
        assert!(!master.matches("br0", Some("br0"), None));
    }

    #[test]
    fn the_loopback_interface_is_never_meant() {
        for text in ["lo", "l*", "kind:x", "master:y"] {
            assert!(!Selector::of(text).matches("lo", Some("x"), Some("y")), "{text}");
        }
    }
}
