//! Which targets are answered for, on which asking link, and by what method.

mod address_set;

use std::net::Ipv6Addr;

use ipnet::Ipv6Net;

pub use address_set::AddressSet;

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
#[derive(Clone, Debug)]
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
#[derive(Clone, Debug)]
pub struct Rules {
    rules: Vec<Rule>,
    lists: Vec<List>,
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
        Self { rules, lists }
    }

    /// Decides about `target`, asked for on `on`. `subnet` is the length of the longest prefix of
    /// the relay's subnet that contains it.
    ///
    /// A list or rule that denies it beats all others; among these the longest prefix wins, and
    /// among equally long ones the first.
    pub fn decide(&self, target: Ipv6Addr, on: Member, subnet: Option<u8>) -> Decision {
        for list in self.lists.iter().filter(|list| list.on.contains(on)) {
            let denied = match list.kind {
                ListKind::Allow => !list.addresses.allows(target),
                ListKind::Deny => list.addresses.denies(target),
            };
            if denied {
                return Decision::Deny;
            }
        }
        let mut best: Option<(u8, Method)> = None;
        for rule in self.rules.iter().filter(|rule| rule.on.contains(on)) {
            let length = match rule.prefix {
                RulePrefix::Subnet => subnet,
                RulePrefix::Net(net) => net.contains(&target).then(|| net.prefix_len()),
            };
            let Some(length) = length else { continue };
            if rule.method == Method::Deny {
                return Decision::Deny;
            }
            if best.is_none_or(|(longest, _)| length > longest) {
                best = Some((length, rule.method));
            }
        }
        match best {
            Some((prefix_len, Method::Static)) => Decision::Static { prefix_len },
            Some((_, Method::Route)) => Decision::Route,
            Some((_, Method::Probe { to })) => Decision::Probe(to),
            Some((_, Method::Deny)) => Decision::Deny,
            None => Decision::Uncovered,
        }
    }

    /// Returns the rules, in their order.
    pub fn iter(&self) -> impl Iterator<Item = &Rule> {
        self.rules.iter()
    }
}
