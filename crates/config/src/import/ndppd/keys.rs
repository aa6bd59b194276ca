//! Knows the keys of all ndppd versions, and tells the versions apart by them.

use super::tree::Statement;
use crate::suggest::closest;

/// Where a key stands.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Level {
    /// Outside of all blocks.
    Top,
    /// In a `proxy` block.
    Proxy,
    /// In a `rule` block.
    Rule,
}

impl Level {
    /// How to call it.
    pub(super) fn place(self) -> &'static str {
        match self {
            Self::Top => "outside of all blocks",
            Self::Proxy => "in a 'proxy' block",
            Self::Rule => "in a 'rule' block",
        }
    }
}

/// A grammar of ndppd's.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Dialect {
    /// 0.2.5, which distributions have, 0.2.6, and patches to them.
    V02,
    /// 1.0-devel.
    V10,
}

/// Who knows a key.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Since {
    /// All.
    Always,
    /// All but 1.0-devel.
    V025,
    /// 0.2.6.
    V026,
    /// A patch to 0.2.
    Patch,
    /// 1.0-devel.
    V10,
}

impl Since {
    /// Whether a dialect knows it.
    pub(super) fn in_dialect(self, dialect: Dialect) -> bool {
        match self {
            Self::Always => true,
            Self::V025 | Self::V026 | Self::Patch => dialect == Dialect::V02,
            Self::V10 => dialect == Dialect::V10,
        }
    }
}

/// Who knows a key in a place.
pub(super) fn since(level: Level, key: &str) -> impl Iterator<Item = Since> {
    KEYS.iter()
        .filter(move |(at, name, _)| *at == level && *name == key)
        .map(|(_, _, since)| *since)
}

/// Another place where a dialect knows a key.
pub(super) fn elsewhere(key: &str, dialect: Dialect) -> Option<Level> {
    KEYS.iter()
        .find(|(_, name, since)| *name == key && since.in_dialect(dialect))
        .map(|(level, ..)| *level)
}

/// The key of a dialect that is most like one that it does not know.
pub(super) fn suggestion(level: Level, key: &str, dialect: Dialect) -> Option<&'static str> {
    closest(
        key,
        KEYS.iter()
            .filter(|(at, _, since)| *at == level && since.in_dialect(dialect))
            .map(|(_, name, _)| *name),
    )
}

/// Which dialect a file is in: 1.0 only if something in it is of 1.0 and nothing of 0.2, since
/// 1.0 refuses keys that it does not know, and 0.2 ignores them.
pub(super) fn dialect(file: &[Statement]) -> Dialect {
    let mut tally = Tally::default();
    for statement in file {
        tally.count(Level::Top, statement);
        if statement.key.text != "proxy" {
            continue;
        }
        for statement in statement.block.iter().flatten() {
            tally.count(Level::Proxy, statement);
            if statement.key.text != "rule" {
                continue;
            }
            for statement in statement.block.iter().flatten() {
                tally.count(Level::Rule, statement);
            }
        }
    }
    if tally.new && !tally.old { Dialect::V10 } else { Dialect::V02 }
}

#[derive(Default)]
struct Tally {
    old: bool,
    new: bool,
}

impl Tally {
    fn count(&mut self, level: Level, statement: &Statement) {
        for since in since(level, &statement.key.text) {
            self.old |= !since.in_dialect(Dialect::V10);
            self.new |= !since.in_dialect(Dialect::V02);
        }
    }
}

/// All keys.
const KEYS: [(Level, &str, Since); 31] = [
    (Level::Top, "proxy", Since::Always),
    (Level::Top, "route-ttl", Since::V025),
    (Level::Top, "address-ttl", Since::V026),
    (Level::Top, "valid-ttl", Since::V10),
    (Level::Top, "invalid-ttl", Since::V10),
    (Level::Top, "retrans-time", Since::V10),
    (Level::Top, "retrans-limit", Since::V10),
    (Level::Top, "renew", Since::V10),
    (Level::Top, "keepalive", Since::V10),
    (Level::Top, "use-kernel", Since::V10),
    (Level::Proxy, "rule", Since::Always),
    (Level::Proxy, "router", Since::Always),
    (Level::Proxy, "ttl", Since::V025),
    (Level::Proxy, "timeout", Since::V025),
    (Level::Proxy, "deadtime", Since::V026),
    (Level::Proxy, "retries", Since::V026),
    (Level::Proxy, "keepalive", Since::V026),
    (Level::Proxy, "autowire", Since::V026),
    (Level::Proxy, "promiscuous", Since::V026),
    (Level::Proxy, "target_hwaddr", Since::Patch),
    (Level::Proxy, "outgoing", Since::Patch),
    (Level::Proxy, "target", Since::V10),
    (Level::Proxy, "promisc", Since::V10),
    (Level::Rule, "static", Since::Always),
    (Level::Rule, "auto", Since::Always),
    (Level::Rule, "iface", Since::Always),
    (Level::Rule, "autovia", Since::V026),
    (Level::Rule, "autowire", Since::V10),
    (Level::Rule, "table", Since::V10),
    (Level::Rule, "rewrite", Since::V10),
    (Level::Rule, "target", Since::V10),
];
