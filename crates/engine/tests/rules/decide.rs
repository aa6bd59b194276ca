//! Random rules and lists decide as a reader of them would who goes through all of them.

use std::net::Ipv6Addr;

use ipnet::Ipv6Net;
use magpie_engine::{
    AddressSet, Decision, Expressions, List, ListKind, Member, Members, Method, Rule, RulePrefix,
    Rules,
};
use proptest::collection::vec;
use proptest::prelude::*;

/// What stands on a list, as a user writes it down.
#[derive(Clone, Copy, Debug)]
enum Entry {
    Prefix(Ipv6Net),
    Range(u128, u128),
    Identifier { mask: u64, value: u64 },
    Oui([u8; 3]),
    Expression(usize),
}

/// A list, as a user writes it down.
#[derive(Clone, Debug)]
struct Listed {
    on: Members,
    kind: ListKind,
    entries: Vec<Entry>,
}

/// An expression, and what it has to come to for an address.
type Expression = (&'static str, fn(u64) -> Option<bool>);

const EXPRESSIONS: [Expression; 4] = [
    ("(HOST & 0xff) == 0x77", |host| Some(host % 256 == 0x77)),
    ("(1 / (HOST & 3)) == 1", |host| match host % 4 {
        0 => None,
        rest => Some(rest == 1),
    }),
    ("HOST % (HOST >> 60)", |host| match host >> 60 {
        0 => None,
        divisor => Some(host % divisor != 0),
    }),
    ("(HOST >> 40) == 0x21d55", |host| Some(host / (1 << 40) == 0x2_1d55)),
];

/// Prefixes and addresses are around these, so that they meet.
const BASES: [u128; 3] = [
    0x2001_0db8_0001_0002_0000_0000_0000_0077,
    0x2001_0db8_0001_0002_021d_55ff_fe00_0001,
    0xfd00_0000_0000_0000_0000_0000_0000_0000,
];
/// Links that rules tell apart, and two beyond what a set can hold or mention.
const MEMBERS: [Member; 6] =
    [Member(0), Member(1), Member(2), Member(127), Member(128), Member(255)];

impl Entry {
    fn insert(self, set: &mut AddressSet) {
        match self {
            Self::Prefix(prefix) => set.insert_prefix(prefix),
            Self::Range(first, last) => {
                set.insert_range(Ipv6Addr::from_bits(first), Ipv6Addr::from_bits(last));
            }
            Self::Identifier { mask, value } => set.insert_interface_identifier(mask, value),
            Self::Oui(oui) => set.insert_oui(oui),
            Self::Expression(_) => {}
        }
    }

    /// Whether `target` is meant; nothing if that cannot be told.
    fn holds(self, target: u128) -> Option<bool> {
        let [host, _] = halves(target);
        match self {
            Self::Prefix(prefix) => Some(is_in(target, prefix)),
            Self::Range(first, last) => Some(first <= target && target <= last),
            Self::Identifier { mask, value } => Some((host ^ value) & mask == 0),
            Self::Oui([first, second, third]) => {
                let octets = host.to_be_bytes();
                Some(octets[0] == first ^ 2 && octets[1] == second && octets[2] == third)
            }
            Self::Expression(which) => EXPRESSIONS[which].1(host),
        }
    }
}

impl Listed {
    fn build(&self) -> List {
        let mut addresses = AddressSet::default();
        self.entries.iter().for_each(|entry| entry.insert(&mut addresses));
        let lines = self.entries.iter().filter_map(|entry| match entry {
            Entry::Expression(which) => Some(EXPRESSIONS[*which].0),
            _ => None,
        });
        addresses.set_expressions(Expressions::parse(lines).expect("literal expressions"));
        List { on: self.on, kind: self.kind, addresses }
    }

    fn denies(&self, target: u128) -> bool {
        let mut surely = false;
        let mut perhaps = false;
        for entry in &self.entries {
            surely |= entry.holds(target) == Some(true);
            perhaps |= entry.holds(target) != Some(false);
        }
        match self.kind {
            ListKind::Allow => !surely,
            ListKind::Deny => perhaps,
        }
    }
}

/// Goes through all lists, then all rules.
fn oracle(
    rules: &[Rule],
    lists: &[Listed],
    target: u128,
    on: Member,
    subnet: Option<u8>,
) -> Decision {
    if lists.iter().any(|list| list.on.contains(on) && list.denies(target)) {
        return Decision::Deny;
    }
    let mut covering = Vec::new();
    for rule in rules.iter().filter(|rule| rule.on.contains(on)) {
        match rule.prefix {
            RulePrefix::Subnet => covering.extend(subnet.map(|length| (length, rule.method))),
            RulePrefix::Net(prefix) if is_in(target, prefix) => {
                covering.push((prefix.prefix_len(), rule.method));
            }
            RulePrefix::Net(_) => {}
        }
    }
    if covering.iter().any(|(_, method)| *method == Method::Deny) {
        return Decision::Deny;
    }
    let Some(longest) = covering.iter().map(|(length, _)| *length).max() else {
        return Decision::Uncovered;
    };
    match covering.into_iter().find(|(length, _)| *length == longest) {
        Some((prefix_len, Method::Static)) => Decision::Static { prefix_len },
        Some((_, Method::Route)) => Decision::Route,
        Some((_, Method::Probe { to })) => Decision::Probe(to),
        Some((_, Method::Deny)) | None => unreachable!("seen to above"),
    }
}

/// Returns the lower and the upper 64 bits.
fn halves(address: u128) -> [u64; 2] {
    [address % (1 << 64), address >> 64].map(|half| u64::try_from(half).expect("64 bits"))
}

fn is_in(target: u128, prefix: Ipv6Net) -> bool {
    let differing = target ^ prefix.addr().to_bits();
    differing.leading_zeros() >= prefix.prefix_len().into()
}

fn address() -> impl Strategy<Value = u128> {
    let bits = || (0..16_u128, 0..125_u32).prop_map(|(bits, by)| bits << by);
    let near = (prop::sample::select(&BASES), bits(), bits());
    near.prop_map(|(base, some, others)| base ^ some ^ others)
}

fn prefix() -> impl Strategy<Value = Ipv6Net> {
    let usual = prop::sample::select(&[0, 48, 63, 64, 65, 76, 112, 120, 127, 128]);
    let length = prop_oneof![3 => usual, 1 => 0..=128_u8];
    // Not truncated: bits beyond the length mean nothing.
    (address(), length).prop_map(|(address, length)| {
        Ipv6Net::new(Ipv6Addr::from_bits(address), length).expect("at most 128 bits")
    })
}

fn members() -> impl Strategy<Value = Members> {
    let some = prop::sample::subsequence(&MEMBERS, 0..=MEMBERS.len());
    prop_oneof![Just(Members::ALL), some.prop_map(Members::from_iter)]
}

fn rule() -> impl Strategy<Value = Rule> {
    let prefix =
        prop_oneof![1 => Just(RulePrefix::Subnet), 5 => prefix().prop_map(RulePrefix::Net)];
    let method = prop_oneof![
        4 => Just(Method::Static),
        4 => Just(Method::Route),
        4 => members().prop_map(|to| Method::Probe { to }),
        1 => Just(Method::Deny),
    ];
    (prefix, members(), method).prop_map(|(prefix, on, method)| Rule { prefix, on, method })
}

fn entry() -> impl Strategy<Value = Entry> {
    let digits = prop::sample::select(&[0, u64::MAX, 0xff, 0xffff_ff00_0000_0000]);
    let mask = prop_oneof![digits, any::<u64>()];
    prop_oneof![
        prefix().prop_map(Entry::Prefix),
        (address(), address()).prop_map(|(first, last)| Entry::Range(first, last)),
        (address(), 0..1_000_u128).prop_map(|(at, more)| Entry::Range(at, at.saturating_add(more))),
        (mask, address())
            .prop_map(|(mask, near)| Entry::Identifier { mask, value: halves(near)[0] }),
        prop::sample::select(&[[0x00, 0x1d, 0x55], [0x02, 0x1d, 0x55], [0x02, 0, 0]])
            .prop_map(Entry::Oui),
        (0..EXPRESSIONS.len()).prop_map(Entry::Expression),
    ]
}

fn listed() -> impl Strategy<Value = Listed> {
    let kind = prop_oneof![Just(ListKind::Allow), Just(ListKind::Deny)];
    (members(), kind, vec(entry(), 0..5)).prop_map(|(on, kind, entries)| Listed {
        on,
        kind,
        entries,
    })
}

/// Addresses where something may change: the ends of all that is written down, and what is next
/// to them.
fn edges(rules: &[Rule], lists: &[Listed]) -> Vec<u128> {
    let ends = |prefix: Ipv6Net| [prefix.network(), prefix.broadcast()].map(Ipv6Addr::to_bits);
    let mut edges = BASES.to_vec();
    for rule in rules {
        match rule.prefix {
            RulePrefix::Net(prefix) => edges.extend(ends(prefix)),
            RulePrefix::Subnet => {}
        }
    }
    for entry in lists.iter().flat_map(|list| &list.entries) {
        match *entry {
            Entry::Prefix(prefix) => edges.extend(ends(prefix)),
            Entry::Range(first, last) => edges.extend([first, last]),
            Entry::Identifier { value, .. } => edges.push(BASES[0] >> 64 << 64 | u128::from(value)),
            Entry::Oui(_) | Entry::Expression(_) => {}
        }
    }
    edges.iter().flat_map(|edge| [edge.wrapping_sub(1), *edge, edge.wrapping_add(1)]).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn decisions_are_those_of_a_reader(
        rules in vec(rule(), 0..12),
        lists in vec(listed(), 0..3),
        targets in vec(address(), 1..8),
        subnet in prop_oneof![Just(None), (0..=128_u8).prop_map(Some), Just(Some(64))],
    ) {
        let built = Rules::new(rules.clone(), lists.iter().map(Listed::build).collect());
        prop_assert_eq!(built.iter().copied().collect::<Vec<_>>(), rules.clone());
        for target in targets.into_iter().chain(edges(&rules, &lists)) {
            for on in MEMBERS {
                let decision = built.decide(Ipv6Addr::from_bits(target), on, subnet);
                let expected = oracle(&rules, &lists, target, on, subnet);
                let address = Ipv6Addr::from_bits(target);
                prop_assert_eq!(decision, expected, "{} on {:?}, {:?}", address, on, subnet);
            }
        }
    }

    #[test]
    fn equally_long_prefixes_decide_in_their_order(
        rules in vec(rule(), 1..12),
        base in prefix(),
    ) {
        // All for the same prefix, which is the subnet's, too.
        let same = |rule: Rule| match rule.prefix {
            RulePrefix::Subnet => rule,
            RulePrefix::Net(_) => Rule { prefix: RulePrefix::Net(base), ..rule },
        };
        let rules: Vec<_> = rules.into_iter().map(same).collect();
        let built = Rules::new(rules.clone(), Vec::new());
        let target = base.addr();
        for on in MEMBERS {
            for subnet in [None, Some(base.prefix_len()), base.prefix_len().checked_sub(1)] {
                let expected = oracle(&rules, &[], target.to_bits(), on, subnet);
                prop_assert_eq!(built.decide(target, on, subnet), expected);
            }
        }
    }
}
