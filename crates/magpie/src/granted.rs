//! Keeps the rules that were added while the daemon runs: whose they are, and how long they last.

mod file;
mod request;

use std::collections::BTreeMap;
use std::time::Duration;

use magpie_config::model::{Link, Method, Relay, Rule, RulePrefix};
use magpie_engine::Instant;

pub(crate) use file::Content;
pub(crate) use request::Grounds;

/// Most rules that are kept.
pub(crate) const MOST_GRANTS: usize = 10_000;

/// A rule that somebody added.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Grant {
    /// The name of the relay or responder that follows it.
    pub(crate) relay: String,
    /// Whose rule it is.
    pub(crate) owner: String,
    pub(crate) rule: Rule,
    /// How long it is in force; none without end.
    pub(crate) term: Option<Term>,
    /// It is to survive a restart.
    pub(crate) persist: bool,
}

/// How long a rule is in force.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Term {
    /// How long that was when it began.
    pub(crate) lifetime: Duration,
    /// When it ends.
    pub(crate) until: Instant,
}

/// Which rules are meant: those that match all that is given.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Selection {
    pub(crate) prefix: Option<RulePrefix>,
    pub(crate) owner: Option<String>,
    pub(crate) relay: Option<String>,
}

/// What became of rules that were added.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Addition {
    /// Those that are new.
    pub(crate) added: usize,
    /// Those that replace one.
    pub(crate) renewed: usize,
}

/// There are as many rules as can be.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("there is room for {MOST_GRANTS} rules, and these would be too many: remove some first")]
pub(crate) struct Full;

/// All rules that were added, in the order in which they first were.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Granted {
    grants: Vec<Grant>,
    /// The links that relays have, or last had, by the relays' names: relays are known by them
    /// when they go by other names.
    homes: BTreeMap<String, Vec<String>>,
}

impl Term {
    /// Begins now.
    pub(crate) fn of(lifetime: Duration, now: Instant) -> Self {
        Self { lifetime, until: now + lifetime }
    }
}

impl Grant {
    /// Whether it is the same rule, of the same owner, for the same questions.
    fn is_successor_of(&self, other: &Self) -> bool {
        self.rule.prefix == other.rule.prefix
            && self.owner == other.owner
            && self.relay == other.relay
            && are_same(&self.rule.on, &other.rule.on)
    }
}

impl Grant {
    /// Whether a relay that it is for is among these, with links that it is for.
    pub(crate) fn applies_to<'a>(&self, relays: impl IntoIterator<Item = &'a Relay>) -> bool {
        let mut relays = relays.into_iter();
        relays.any(|relay| relay.name == self.relay && fit(&self.rule, relay).is_some())
    }
}

impl Selection {
    fn matches(&self, grant: &Grant) -> bool {
        self.prefix.is_none_or(|prefix| prefix == grant.rule.prefix)
            && self.owner.as_ref().is_none_or(|owner| *owner == grant.owner)
            && self.relay.as_ref().is_none_or(|relay| *relay == grant.relay)
    }
}

impl Granted {
    /// Adds rules, or replaces those that are there already: all, or none.
    pub(crate) fn add(&mut self, grants: Vec<Grant>) -> Result<Addition, Full> {
        let mut addition = Addition::default();
        let former = self.grants.len();
        let mut renewals = Vec::new();
        for grant in grants {
            match self.grants.iter().position(|known| grant.is_successor_of(known)) {
                Some(place) => renewals.push((place, grant)),
                None if self.grants.len() == MOST_GRANTS => {
                    self.grants.truncate(former);
                    return Err(Full);
                }
                None => {
                    self.grants.push(grant);
                    addition.added += 1;
                }
            }
        }
        for (place, grant) in renewals {
            if let Some(known) = self.grants.get_mut(place) {
                *known = grant;
                addition.renewed += 1;
            }
        }
        Ok(addition)
    }

    /// Removes rules; returns how many.
    pub(crate) fn remove(&mut self, selection: &Selection) -> usize {
        let before = self.grants.len();
        self.grants.retain(|grant| !selection.matches(grant));
        before - self.grants.len()
    }

    /// Removes the rules whose time is over, and returns them.
    pub(crate) fn expire(&mut self, now: Instant) -> Vec<Grant> {
        let is_over = |grant: &mut Grant| grant.term.is_some_and(|term| term.until <= now);
        self.grants.extract_if(.., is_over).collect()
    }

    /// Takes note of other names of relays: pairs of the former and the present one.
    pub(crate) fn rename(&mut self, names: &[(String, String)]) {
        for grant in &mut self.grants {
            if let Some((_, present)) = names.iter().find(|(former, _)| *former == grant.relay) {
                grant.relay.clone_from(present);
            }
        }
    }

    /// Takes note of the links that relays have now.
    pub(crate) fn note_homes(&mut self, relays: &[Relay]) {
        let Self { grants, homes } = self;
        homes.retain(|name, _| grants.iter().any(|grant| grant.relay == *name));
        homes.extend(relays.iter().map(|relay| {
            (relay.name.clone(), relay.links.iter().map(|link| link.name.clone()).collect())
        }));
    }

    /// The relays that were there when this was last said, each with its links.
    pub(crate) fn homes(&self) -> impl Iterator<Item = (&str, &[String])> {
        self.homes.iter().map(|(name, links)| (name.as_str(), links.as_slice()))
    }

    /// Whether the same is to survive a restart.
    pub(crate) fn lasts_like(&self, other: &Self) -> bool {
        self.lasting().eq(other.lasting()) && self.lasting_homes().eq(other.lasting_homes())
    }

    fn lasting(&self) -> impl Iterator<Item = &Grant> {
        self.grants.iter().filter(|grant| grant.persist)
    }

    /// The relays of rules that are to survive a restart.
    fn lasting_homes(&self) -> impl Iterator<Item = (&String, &Vec<String>)> {
        let has_rules = |name: &String| self.lasting().any(|grant| grant.relay == *name);
        self.homes.iter().filter(move |(name, _)| has_rules(name))
    }

    /// When the next rule ends.
    pub(crate) fn next_expiry(&self) -> Option<Instant> {
        self.grants.iter().filter_map(|grant| grant.term).map(|term| term.until).min()
    }

    /// All rules, in the order in which they were first added.
    pub(crate) fn iter(&self) -> impl ExactSizeIterator<Item = &Grant> {
        self.grants.iter()
    }

    /// The rules for a relay, as they apply to the links that it has now: one whose links are all
    /// gone rests until they are back.
    pub(crate) fn for_relay(&self, relay: &Relay) -> Vec<Rule> {
        let own = self.grants.iter().filter(|grant| grant.relay == relay.name);
        own.filter_map(|grant| fit(&grant.rule, relay)).collect()
    }
}

/// Leaves out links that the relay does not have, or does not answer on; none if nothing is left.
fn fit(rule: &Rule, relay: &Relay) -> Option<Rule> {
    let left = |names: &[String], is_fit: fn(&Link) -> bool| -> Option<Vec<String>> {
        let is_there =
            |name: &&String| relay.links.iter().any(|link| link.name == **name && is_fit(link));
        let left: Vec<String> = names.iter().filter(is_there).cloned().collect();
        (names.is_empty() || !left.is_empty()).then_some(left)
    };
    let on = left(&rule.on, |link| !link.only_probed)?;
    let to = left(&rule.to, |_| true)?;
    let fitting = Rule { on, to, ..rule.clone() };
    has_where_to_look(&fitting, relay).then_some(fitting)
}

/// Whether a rule that looks for targets has, for any asking link, another one to look on.
fn has_where_to_look(rule: &Rule, relay: &Relay) -> bool {
    let named = |link: &&Link, names: &[String]| names.is_empty() || names.contains(&link.name);
    let mut asking = relay.links.iter().filter(|link| !link.only_probed && named(link, &rule.on));
    let is_elsewhere = |on: &Link| {
        let mut places = relay.links.iter().filter(|link| named(link, &rule.to));
        places.any(|to| to.name != on.name || on.is_plural())
    };
    rule.method != Method::Probe || asking.any(is_elsewhere)
}

fn are_same(one: &[String], other: &[String]) -> bool {
    one.iter().all(|name| other.contains(name)) && other.iter().all(|name| one.contains(name))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use magpie_config::model::Method;
    use proptest::prelude::*;
    use samples::grant;

    use super::*;

    #[test]
    fn the_same_rule_of_the_same_owner_is_replaced_in_its_place() {
        let mut granted = Granted::default();
        let [first, second] = ["2001:db8::/64", "2001:db8:1::/64"].map(|net| grant(net, "a"));
        let added = granted.add(vec![first.clone(), second.clone()]);
        assert_eq!(added, Ok(Addition { added: 2, renewed: 0 }));

        let mut renewed = Grant { term: Some(term(60, 5)), ..first.clone() };
        renewed.rule.method = Method::Deny;
        renewed.rule.on.reverse();
        let other = Grant { owner: "b".into(), ..first.clone() };
        let added = granted.add(vec![renewed.clone(), other.clone()]);
        assert_eq!(added, Ok(Addition { added: 1, renewed: 1 }));
        assert_eq!(granted.grants, [renewed, second, other]);

        let mut elsewhere = first.clone();
        elsewhere.rule.on.pop();
        let added = granted.add(vec![elsewhere, Grant { relay: "other".into(), ..first }]);
        assert_eq!(added, Ok(Addition { added: 2, renewed: 0 }));
    }

    #[test]
    fn a_rule_given_twice_counts_once() {
        let mut granted = Granted::default();
        let rule = grant("2001:db8::/64", "a");
        let added = granted.add(vec![rule.clone(), rule]);
        assert_eq!(added, Ok(Addition { added: 1, renewed: 1 }));
        assert_eq!(granted.iter().len(), 1);
    }

    #[test]
    fn what_does_not_fit_changes_nothing() {
        let mut granted = Granted::default();
        let full = (0..MOST_GRANTS - 1).map(|number| numbered(number, "a")).collect();
        granted.add(full).unwrap();
        let before = granted.clone();
        let renewal = Grant { persist: true, ..numbered(3, "a") };
        let request = vec![renewal.clone(), numbered(MOST_GRANTS, "a"), numbered(0, "b")];
        assert_eq!(granted.add(request), Err(Full));
        assert!(granted == before);
        assert_eq!(granted.add(vec![numbered(0, "b")]).unwrap().added, 1);
        assert_eq!(granted.add(vec![numbered(1, "b")]), Err(Full));
        assert_eq!(granted.add(vec![renewal]).unwrap().renewed, 1);
    }

    #[test]
    fn rules_are_removed_by_all_that_is_given() {
        let mut granted = Granted::default();
        let nets = ["2001:db8::/64", "2001:db8:1::/64"];
        let all = nets.iter().flat_map(|net| [grant(net, "a"), grant(net, "b")]).collect();
        granted.add(all).unwrap();
        let owner = Some("a".to_owned());
        let prefix = Some(grant("2001:db8::/64", "a").rule.prefix);
        let elsewhere = Selection { relay: Some("other".into()), owner: owner.clone(), prefix };
        assert_eq!(granted.remove(&elsewhere), 0);
        let one = Selection { relay: Some("home".into()), owner: owner.clone(), prefix };
        assert_eq!(granted.remove(&one), 1);
        assert_eq!(granted.remove(&Selection { prefix, ..Selection::default() }), 1);
        assert_eq!(granted.remove(&Selection { owner, ..Selection::default() }), 1);
        assert_eq!(granted.grants, [grant("2001:db8:1::/64", "b")]);
    }

    #[test]
    fn rules_end_when_their_time_is_over() {
        let mut granted = Granted::default();
        let lasting = grant("2001:db8:9::/64", "a");
        let [soon, later] = [("2001:db8::/64", 10), ("2001:db8:1::/64", 20)]
            .map(|(net, seconds)| Grant { term: Some(term(seconds, 0)), ..grant(net, "a") });
        granted.add(vec![lasting.clone(), later.clone(), soon.clone()]).unwrap();
        assert_eq!(granted.next_expiry(), Some(at(10)));
        assert_eq!(granted.expire(at(9)), []);
        assert_eq!(granted.expire(at(10)), [soon]);
        assert_eq!(granted.next_expiry(), Some(at(20)));
        let renewed = Grant { term: Some(term(20, 19)), ..later };
        granted.add(vec![renewed.clone()]).unwrap();
        assert_eq!(granted.expire(at(20)), []);
        assert_eq!(granted.expire(at(100)), [renewed]);
        assert_eq!(granted.next_expiry(), None);
        assert_eq!(granted.grants, [lasting]);
    }

    #[test]
    fn rules_apply_to_the_links_that_are_there() {
        let mut granted = Granted::default();
        let on = |names: &[&str], to: &[&str]| {
            let mut grant = grant("2001:db8::/64", "a");
            grant.rule.on = names.iter().map(|name| (*name).to_owned()).collect();
            grant.rule.to = to.iter().map(|name| (*name).to_owned()).collect();
            grant
        };
        let other = Grant { relay: "other".into(), ..on(&[], &[]) };
        granted
            .add(vec![
                on(&[], &[]),
                on(&["wan", "gone"], &["lan"]),
                on(&["gone"], &[]),
                on(&["wan"], &["gone"]),
                other,
            ])
            .unwrap();
        let expected = [on(&[], &[]).rule, on(&["wan"], &["lan"]).rule];
        let home = samples::relay("home", &["wan", "lan"]);
        assert_eq!(granted.for_relay(&home), expected);
        let applying: Vec<bool> = granted.iter().map(|grant| grant.applies_to([&home])).collect();
        assert_eq!(applying, [true, true, false, false, false]);
    }

    #[test]
    fn rules_that_can_decide_nothing_rest() {
        let mut home = samples::relay("home", &["wan", "lan", "pool"]);
        home.links[2].only_probed = true;
        let rests = |on: &[&str], to: &[&str], method| {
            let mut grant = grant("2001:db8::/64", "a");
            grant.rule.on = on.iter().map(|name| (*name).to_owned()).collect();
            grant.rule.to = to.iter().map(|name| (*name).to_owned()).collect();
            grant.rule.method = method;
            !grant.applies_to([&home])
        };
        assert!(rests(&["pool"], &[], Method::Static), "nobody is answered there");
        assert!(rests(&["wan"], &["wan", "gone"], Method::Probe), "nowhere to look");
        assert!(!rests(&["wan", "pool"], &["pool"], Method::Probe));
        assert!(!rests(&[], &["wan"], Method::Probe), "it is for lan");
        home.links.truncate(1);
        let rule = Rule { method: Method::Probe, ..grant("2001:db8::/64", "a").rule };
        assert_eq!(fit(&rule, &home), None);
    }

    #[test]
    fn what_lasts_is_told_apart() {
        let mut granted = Granted::default();
        let lasting = Grant { persist: true, ..grant("2001:db8::/64", "a") };
        granted.add(vec![lasting, grant("2001:db8:1::/64", "b")]).unwrap();
        granted.note_homes(&[samples::relay("home", &["wan", "lan"])]);
        let mut other = granted.clone();
        other.remove(&Selection { owner: Some("b".into()), ..Selection::default() });
        other.note_homes(&[
            samples::relay("home", &["wan", "lan"]),
            samples::relay("new", &["x", "y"]),
        ]);
        assert!(granted.lasts_like(&other));
        other.note_homes(&[samples::relay("home", &["wan", "lan", "guest"])]);
        assert!(!granted.lasts_like(&other));
        assert_eq!(other.homes().count(), 1, "nothing is known of `new` any longer");
        other = Granted::default();
        assert!(!granted.lasts_like(&other));
    }

    /// What somebody may do with rules.
    #[derive(Clone, Debug)]
    enum Step {
        Add(Vec<(u8, u8, u8, Option<u64>)>),
        Remove(Option<u8>, Option<u8>),
        Wait(u64),
    }

    fn step() -> impl Strategy<Value = Step> {
        let rule = (0..4u8, 0..3u8, 0..2u8, proptest::option::of(1..20u64));
        prop_oneof![
            4 => proptest::collection::vec(rule, 1..4).prop_map(Step::Add),
            1 => (proptest::option::of(0..4u8), proptest::option::of(0..3u8))
                .prop_map(|(prefix, owner)| Step::Remove(prefix, owner)),
            3 => (0..15u64).prop_map(Step::Wait),
        ]
    }

    proptest! {
        /// The store agrees with a list of everything that was ever said about each rule.
        #[test]
        fn rules_are_in_force_exactly_from_their_beginning_to_their_end(
            steps in proptest::collection::vec(step(), 1..40),
        ) {
            let made = |(prefix, owner, links, lifetime): (u8, u8, u8, Option<u64>), now| {
                let net = format!("2001:db8:{prefix:x}::/48");
                let mut grant = grant(&net, &owner.to_string());
                grant.rule.on.truncate(links.into());
                grant.term = lifetime.map(|seconds| term(seconds, now));
                grant
            };
            let mut granted = Granted::default();
            let mut expected: BTreeMap<(u8, u8, u8), Option<u64>> = BTreeMap::new();
            let mut now = 0;
            for step in steps {
                match step {
                    Step::Add(rules) => {
                        let added = rules.iter().map(|rule| made(*rule, now)).collect();
                        let addition = granted.add(added).unwrap();
                        let before = expected.len();
                        for (prefix, owner, links, lifetime) in &rules {
                            let end = lifetime.map(|seconds| now + seconds);
                            expected.insert((*prefix, *owner, *links), end);
                        }
                        prop_assert_eq!(addition.added, expected.len() - before);
                        prop_assert_eq!(addition.added + addition.renewed, rules.len());
                    }
                    Step::Remove(prefix, owner) => {
                        let net = prefix.map(|prefix| made((prefix, 0, 0, None), now).rule.prefix);
                        let selection = Selection {
                            prefix: net,
                            owner: owner.map(|owner| owner.to_string()),
                            relay: None,
                        };
                        let before = expected.len();
                        expected.retain(|(known, whose, _), _| {
                            prefix.is_some_and(|prefix| prefix != *known)
                                || owner.is_some_and(|owner| owner != *whose)
                        });
                        prop_assert_eq!(granted.remove(&selection), before - expected.len());
                    }
                    Step::Wait(seconds) => {
                        now += seconds;
                        let before = expected.len();
                        expected.retain(|_, end| end.is_none_or(|end| end > now));
                        prop_assert_eq!(granted.expire(at(now)).len(), before - expected.len());
                    }
                }
                let next = expected.values().copied().flatten().min().map(at);
                prop_assert_eq!(granted.next_expiry(), next);
                let mut ends: Vec<_> =
                    granted.iter().map(|grant| grant.term.map(|term| term.until)).collect();
                let mut wanted: Vec<_> = expected.values().map(|end| end.map(at)).collect();
                ends.sort();
                wanted.sort();
                prop_assert_eq!(ends, wanted);
            }
        }
    }

    fn numbered(number: usize, owner: &str) -> Grant {
        grant(&format!("2001:db8::{number:x}/128"), owner)
    }

    fn at(seconds: u64) -> Instant {
        Instant::ZERO + Duration::from_secs(seconds)
    }

    fn term(seconds: u64, from: u64) -> Term {
        Term::of(Duration::from_secs(seconds), at(from))
    }
}

/// Things to test with.
#[cfg(test)]
mod samples {
    use magpie_config::model::{Kind, Link, Method, Relay, Role, Rule, RulePrefix};

    use super::Grant;

    pub(super) fn grant(net: &str, owner: &str) -> Grant {
        Grant {
            relay: "home".into(),
            owner: owner.into(),
            rule: Rule {
                prefix: RulePrefix::Net(net.parse().unwrap()),
                method: Method::Static,
                on: vec!["wan".into(), "lan".into()],
                to: Vec::new(),
                i_own_this_prefix: true,
                comments: Vec::new(),
            },
            term: None,
            persist: false,
        }
    }

    pub(super) fn relay(name: &str, links: &[&str]) -> Relay {
        let link = |name: &&str| Link {
            role: (*name == "wan").then_some(Role::Upstream),
            ..Link::new(*name)
        };
        Relay {
            name: name.to_owned(),
            links: links.iter().map(link).collect(),
            ..Relay::new(Kind::Relay, [""; 0])
        }
    }
}
