//! Thousands of rules decide as a few do.

use std::hint::black_box;
use std::net::Ipv6Addr;
use std::time::{Duration, Instant};

use ipnet::Ipv6Net;
use magpie_engine::{
    AddressSet, Decision, List, ListKind, Member, Members, Method, Rule, RulePrefix, Rules,
};

const COUNT: u16 = 10_000;

fn rule(address: Ipv6Addr, length: u8, method: Method) -> Rule {
    let prefix = Ipv6Net::new(address, length).expect("a literal length");
    Rule { prefix: RulePrefix::Net(prefix), on: Members::ALL, method }
}

fn site(number: u16, host: u16) -> Ipv6Addr {
    Ipv6Addr::new(0x2001, 0xdb8, 1, number, 0, 0, 0, host)
}

#[test]
fn ten_thousand_rules_beside_each_other() {
    let rules = (0..COUNT).map(|number| match number % 3 {
        0 => rule(site(number, 0), 64, Method::Static),
        1 => rule(site(number, 0), 65, Method::Route),
        _ => rule(site(number, 7), 128, Method::Deny),
    });
    let around = rule(site(0, 0), 48, Method::Probe { to: Members::ALL });
    let rules = Rules::new(rules.chain([around]).collect(), Vec::new());
    for number in 0..=COUNT {
        let inside = match number % 3 {
            _ if number == COUNT => Decision::Probe(Members::ALL),
            0 => Decision::Static { prefix_len: 64 },
            1 => Decision::Route,
            _ => Decision::Deny,
        };
        assert_eq!(rules.decide(site(number, 7), Member(3), None), inside, "{number}");
        let beside = match number % 3 {
            1 | 2 => Decision::Probe(Members::ALL),
            _ => inside,
        };
        let other_half = Ipv6Addr::new(0x2001, 0xdb8, 1, number, 0x8000, 0, 0, 7);
        assert_eq!(rules.decide(other_half, Member(3), None), beside, "{number}");
    }
    let outside = Ipv6Addr::new(0x2001, 0xdb8, 2, 0, 0, 0, 0, 7);
    assert_eq!(rules.decide(outside, Member(3), None), Decision::Uncovered);
}

/// The fastest of several times that many decisions take among `count` rules beside each other.
fn time_among(count: u16) -> Duration {
    let rules = (0..count).map(|number| rule(site(number, 0), 64, Method::Static));
    let rules = Rules::new(rules.collect(), Vec::new());
    let decide_often = || {
        let begun = Instant::now();
        for number in 0..COUNT {
            black_box(rules.decide(black_box(site(number % count, 7)), Member(0), None));
        }
        begun.elapsed()
    };
    (0..5).map(|_| decide_often()).min().unwrap_or_default()
}

#[test]
fn a_thousand_times_as_many_rules_do_not_take_a_hundred_times_as_long() {
    let (few, many) = (time_among(10), time_among(COUNT));
    assert!(many < few * 100, "{few:?} among 10 rules, {many:?} among {COUNT}");
}

#[test]
fn rules_for_every_length_around_one_address() {
    let target = site(1, 7);
    let all = (0..=128).map(|length| rule(target, length, Method::Static));
    let rules = Rules::new(all.clone().collect(), Vec::new());
    for length in 0..=128_u8 {
        // The first bit that differs ends the common prefix.
        let differing = (1_u128 << 127).checked_shr(length.into()).unwrap_or_default();
        let near = Ipv6Addr::from_bits(target.to_bits() ^ differing);
        let expected = Decision::Static { prefix_len: length };
        assert_eq!(rules.decide(near, Member(0), None), expected, "{near}");
    }
    let denied = Rules::new(all.chain([rule(target, 0, Method::Deny)]).collect(), Vec::new());
    assert_eq!(denied.decide(target, Member(0), None), Decision::Deny);
}

#[test]
fn ten_thousand_rules_for_one_prefix() {
    let to = |number: u8| Method::Probe { to: Members::from_iter([Member(number % 128)]) };
    let rules = (0..COUNT).map(|number| {
        let [_, link] = number.to_be_bytes();
        Rule { on: Members::from_iter([Member(link)]), ..rule(site(1, 0), 64, to(link)) }
    });
    let rules = Rules::new(rules.collect(), Vec::new());
    for link in 0..128 {
        let expected = Decision::Probe(Members::from_iter([Member(link)]));
        assert_eq!(rules.decide(site(1, 7), Member(link), None), expected);
    }
    assert_eq!(rules.decide(site(1, 7), Member(128), None), Decision::Uncovered);
}

#[test]
fn ten_thousand_addresses_and_ranges_on_a_list() {
    let mut addresses = AddressSet::default();
    for number in (0..COUNT).rev() {
        match number % 2 {
            0 => addresses.insert_prefix(site(number, 7).into()),
            _ => addresses.insert_range(site(number, 7), site(number, 8)),
        }
    }
    let list = List { on: Members::ALL, kind: ListKind::Allow, addresses };
    let all = rule(site(0, 0), 0, Method::Route);
    let rules = Rules::new(vec![all], vec![list]);
    for number in 0..=COUNT {
        for host in 6..10 {
            let allowed = number < COUNT && (host == 7 || (host == 8 && number % 2 == 1));
            let expected = if allowed { Decision::Route } else { Decision::Deny };
            assert_eq!(rules.decide(site(number, host), Member(0), None), expected);
        }
    }
}
