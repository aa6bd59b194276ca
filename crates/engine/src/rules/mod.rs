//! Which targets are answered for, on which asking link, and by what method.

mod address_set;
mod expression;
mod index;

use std::net::Ipv6Addr;

use ipnet::Ipv6Net;

pub use address_set::AddressSet;
pub use expression::{
    ExpressionError, ExpressionErrorKind, ExpressionWarning, ExpressionWarningKind, Expressions,
};
use index::Index;

use crate::{Member, Members};

/// One rule: for targets in a prefix, asked for on some links, a method.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Rule {
    /// Which targets.
    pub prefix: RulePrefix,
    /// Asked for on which links.
    pub on: Members,
    /// What to do.
    pub method: Method,
}

/// The targets of a rule.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum RulePrefix {
    /// The prefixes of the relay's subnet as they are in force, those that addresses and Router
    /// Advertisements show included.
    Subnet,
    /// This prefix.
    Net(Ipv6Net),
}

/// What to do about a solicitation.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Method {
    /// Answer at once.
    Static,
    /// Answer if this host's kernel routes the target out of another link.
    Route,
    /// Ask some links first, and answer if the target is there.
    Probe {
        /// Which links; the asking one is never asked.
        to: Members,
    },
    /// Stay silent, whatever other rules say.
    Deny,
}

/// A list of addresses that narrows down what the rules allow.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct List {
    /// Asked for on which links.
    pub on: Members,
    /// What the list does.
    pub kind: ListKind,
    /// What is on it.
    pub addresses: AddressSet,
}

/// What a list does.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ListKind {
    /// Targets that are not on it are denied.
    Allow,
    /// Targets that are on it are denied.
    Deny,
}

/// What the rules say of a target that is asked for on a link.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Decision {
    /// Answer at once.
    Static {
        /// Length of the rule's prefix: 128 is an address that somebody wrote down.
        prefix_len: u8,
    },
    /// Ask this host's kernel.
    Route,
    /// Ask these links.
    Probe(Members),
    /// A rule or a list denies it.
    Deny,
    /// No rule covers it.
    Uncovered,
}

/// All rules and lists of a relay.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Rules {
    ordered: Vec<Rule>,
    lists: Vec<List>,
    index: Index,
}

impl Default for Rules {
    /// Everything in the subnet is looked for on all other links.
    fn default() -> Self {
        let probe = Method::Probe { to: Members::ALL };
        let rule = Rule { prefix: RulePrefix::Subnet, on: Members::ALL, method: probe };
        Self::new(vec![rule], Vec::new())
    }
}

impl Rules {
    /// Prepares rules, in their order, and lists.
    pub fn new(rules: Vec<Rule>, lists: Vec<List>) -> Self {
        let index = Index::new(&rules);
        Self { ordered: rules, lists, index }
    }

    /// Decides about `target`, asked for on `on`. `subnet` is the length of the longest prefix of
    /// the relay's subnet that contains it.
    ///
    /// A list or rule that denies it beats all others; among these the longest prefix wins, and
    /// among equally long ones the first. The time it takes grows with the length of prefixes and
    /// the number of lists, not with the number of rules; nothing is allocated.
    pub fn decide(&self, target: Ipv6Addr, on: Member, subnet: Option<u8>) -> Decision {
        let mut lists = self.lists.iter().filter(|list| list.on.contains(on));
        if lists.any(|list| list.denies(target)) {
            return Decision::Deny;
        }
        self.index.decide(target, on, subnet)
    }

    /// Returns the rules, in their order.
    pub fn iter(&self) -> impl Iterator<Item = &Rule> {
        self.ordered.iter()
    }
}

impl List {
    /// Whether it denies `target`. What cannot be told is denied.
    fn denies(&self, target: Ipv6Addr) -> bool {
        match self.kind {
            ListKind::Allow => !self.addresses.allows(target),
            ListKind::Deny => self.addresses.denies(target),
        }
    }
}

/// Returns the interface identifier of an address: its lower half (RFC 4291 section 2.5.1).
fn identifier(address: Ipv6Addr) -> u64 {
    let [_, _, _, _, _, _, _, _, identifier @ ..] = address.octets();
    u64::from_be_bytes(identifier)
}
