//! Finds the rule that counts for a target among thousands.
//!
//! Each prefix that rules are for is a node that knows the next shorter one around it. Prefixes lie
//! beside or inside each other, never across. So in their order, the last one that begins at or
//! before a target either contains it or is inside of all that do; from there the way leads
//! outwards, over no more nodes than a prefix has bits.

use std::collections::BTreeMap;
use std::net::Ipv6Addr;

use ipnet::Ipv6Net;

use super::{Decision, Method, Rule, RulePrefix};
use crate::{Member, Members};

/// Rules by their prefixes.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Index {
    /// In the order of their networks; of equal ones, the shorter prefix comes first.
    nodes: Vec<Node>,
    subnet: Choices,
}

/// A prefix that rules are for.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Node {
    network: u128,
    length: u8,
    /// Position of the longest shorter prefix that contains it.
    around: Option<usize>,
    choices: Choices,
}

/// What the rules for one prefix say.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
struct Choices {
    /// Where some rule denies.
    denied: Members,
    /// Rules that do not deny, in their order, without those that never get a turn; so there are
    /// no more of them than links.
    choices: Vec<Choice>,
}

/// A rule that does not deny.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Choice {
    /// Position among all rules.
    order: usize,
    on: Members,
    method: Method,
}

impl Index {
    pub(super) fn new(rules: &[Rule]) -> Self {
        let mut subnet = Choices::default();
        let mut nets: BTreeMap<Ipv6Net, Choices> = BTreeMap::new();
        for (order, rule) in rules.iter().enumerate() {
            let choices = match rule.prefix {
                RulePrefix::Subnet => &mut subnet,
                RulePrefix::Net(prefix) => nets.entry(prefix.trunc()).or_default(),
            };
            choices.push(order, rule);
        }
        let mut index = Self { nodes: Vec::with_capacity(nets.len()), subnet };
        for (prefix, choices) in nets {
            let (network, length) = (prefix.network().to_bits(), prefix.prefix_len());
            let around = index.innermost(network);
            index.nodes.push(Node { network, length, around, choices });
        }
        index
    }

    pub(super) fn decide(&self, target: Ipv6Addr, on: Member, subnet: Option<u8>) -> Decision {
        let mut best: Option<(u8, &Choice)> = None;
        for node in self.around(target.to_bits()) {
            if node.choices.denied.contains(on) {
                return Decision::Deny;
            }
            if best.is_none() {
                let choice = node.choices.first(on);
                best = choice.map(|choice| (node.length, choice));
            }
        }
        if let Some(length) = subnet {
            if self.subnet.denied.contains(on) {
                return Decision::Deny;
            }
            if let Some(choice) = self.subnet.first(on)
                && best.is_none_or(|(longest, first)| {
                    length > longest || (length == longest && choice.order < first.order)
                })
            {
                best = Some((length, choice));
            }
        }
        match best.map(|(prefix_len, choice)| (prefix_len, choice.method)) {
            Some((prefix_len, Method::Static)) => Decision::Static { prefix_len },
            Some((_, Method::Route)) => Decision::Route,
            Some((_, Method::Probe { to })) => Decision::Probe(to),
            Some((_, Method::Deny)) => Decision::Deny,
            None => Decision::Uncovered,
        }
    }

    /// Returns the prefixes that contain `target`, the longest first.
    fn around(&self, target: u128) -> impl Iterator<Item = &Node> {
        let longest = self.innermost(target).and_then(|at| self.nodes.get(at));
        std::iter::successors(longest, |node| node.around.and_then(|at| self.nodes.get(at)))
    }

    /// Returns the position of the longest prefix that contains `target`.
    fn innermost(&self, target: u128) -> Option<usize> {
        let mut at = self.nodes.partition_point(|node| node.network <= target).checked_sub(1)?;
        loop {
            let node = self.nodes.get(at)?;
            if node.contains(target) {
                return Some(at);
            }
            at = node.around?;
        }
    }
}

impl Node {
    fn contains(&self, target: u128) -> bool {
        (target ^ self.network).leading_zeros() >= self.length.into()
    }
}

impl Choices {
    fn push(&mut self, order: usize, rule: &Rule) {
        let Rule { on, method, .. } = *rule;
        if method == Method::Deny {
            self.denied = members()
                .filter(|member| on.contains(*member) || self.denied.contains(*member))
                .collect();
        } else if members().any(|member| on.contains(member) && self.first(member).is_none()) {
            self.choices.push(Choice { order, on, method });
        }
    }

    fn first(&self, on: Member) -> Option<&Choice> {
        self.choices.iter().find(|choice| choice.on.contains(on))
    }
}

/// All links that a relay can have.
fn members() -> impl Iterator<Item = Member> {
    (0..=u8::MAX).map(Member).take(Members::MAX)
}
