//! Turns what somebody asks for into rules, or says what is wrong with it.

use std::collections::BTreeSet;
use std::time::Duration;

use magpie_config::model::{Config, Kind, Link, Method, Relay, Rule, RulePrefix, Selector};
use magpie_config::suggest::closest;
use magpie_control::{AddRules, NewRule, RemoveRules, RuleMethod, RuleRefusal};
use magpie_engine::Instant;

use super::{Grant, Granted, Selection, Term, has_where_to_look};
use crate::cli;

/// What a request is judged by.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Grounds<'a> {
    /// What is configured.
    pub(crate) config: &'a Config,
    /// There is a file that rules can be kept in from one run to the next.
    pub(crate) can_persist: bool,
    pub(crate) now: Instant,
}

/// Why a request is refused.
pub(crate) type Refusal = RuleRefusal;

impl Grounds<'_> {
    /// The rules that are asked for.
    pub(crate) fn grants(&self, request: AddRules) -> Result<Vec<Grant>, Refusal> {
        check_owner(&request.owner).map_err(refusal)?;
        let lifetime = request.lifetime_seconds.map(parse_lifetime).transpose();
        let term = lifetime.map_err(refusal)?.map(|lifetime| Term::of(lifetime, self.now));
        if request.persist && !self.can_persist {
            return Err(refusal(
                "rules are kept beside the state file, and there is none: set `state-file` in the \
                 configuration, or start magpie with -f, and restart it"
                    .to_owned(),
            ));
        }
        if request.rules.is_empty() {
            return Err(refusal("there is no rule in the request".to_owned()));
        }
        let AddRules { owner, persist, rules, .. } = request;
        let alone = rules.len() == 1;
        let grant = |(index, rule): (usize, NewRule)| {
            let about = |reason: String| Refusal {
                reason: if alone { reason } else { format!("rule {}: {reason}", index + 1) },
                index: Some(index as u64),
            };
            let relay = self.relay_for(&rule).map_err(about)?;
            let rule = rule_for(relay, rule).map_err(about)?;
            Ok(Grant { relay: relay.name.clone(), owner: owner.clone(), rule, term, persist })
        };
        rules.into_iter().enumerate().map(grant).collect()
    }

    /// The rules that are to be removed.
    pub(crate) fn selection(
        &self,
        request: RemoveRules,
        granted: &Granted,
    ) -> Result<Selection, Refusal> {
        if request.prefix.is_none() && request.owner.is_none() {
            let reason = "say which rules to remove: by prefix, by owner, or by both";
            return Err(refusal(reason.to_owned()));
        }
        if let Some(name) = &request.relay
            && !granted.iter().any(|grant| grant.relay == *name)
        {
            self.relay_named(name).map_err(refusal)?;
        }
        // What was once added can be named, whatever has become of the rules for names since.
        let prefix = request.prefix.as_deref().map(parse_prefix).transpose().map_err(refusal)?;
        Ok(Selection { prefix, owner: request.owner, relay: request.relay })
    }

    /// The relay that a rule names, or that its links belong to, or that is the only one.
    fn relay_for(&self, rule: &NewRule) -> Result<&Relay, String> {
        if let Some(name) = &rule.relay {
            return self.relay_named(name);
        }
        if let Some(name) = rule.on.iter().chain(&rule.to).next() {
            return self.relay_with(name);
        }
        match self.config.relays.as_slice() {
            [only] => Ok(only),
            [] => Err("there is no relay or responder that could follow it".to_owned()),
            relays => Err(format!(
                "say which of the relays and responders is to follow it, by name ({}) or by a link",
                list(relays.iter().map(|relay| relay.name.as_str()))
            )),
        }
    }

    fn relay_named(&self, name: &str) -> Result<&Relay, String> {
        let relays = &self.config.relays;
        relays.iter().find(|relay| relay.name == name).ok_or_else(|| {
            let names = relays.iter().map(|relay| relay.name.as_str());
            format!("there is no relay or responder '{name}'{}", hint(name, names))
        })
    }

    fn relay_with(&self, link: &str) -> Result<&Relay, String> {
        let relays = &self.config.relays;
        relays.iter().find(|relay| relay.links.iter().any(|known| known.name == link)).ok_or_else(
            || {
                let links = relays.iter().flat_map(|relay| &relay.links);
                let names = links.map(|link| link.name.as_str());
                format!("no relay or responder has a link '{link}'{}", hint(link, names))
            },
        )
    }
}

fn rule_for(relay: &Relay, rule: NewRule) -> Result<Rule, String> {
    let prefix = parse_prefix(&rule.prefix)?;
    for name in &rule.on {
        let link = link_named(relay, name)?;
        if link.only_probed {
            return Err(format!(
                "nobody is answered on '{name}': '{}' has it only as a place to look for targets",
                relay.name
            ));
        }
    }
    for name in &rule.to {
        link_named(relay, name)?;
    }
    let rule = Rule {
        prefix,
        method: match rule.method {
            RuleMethod::Static => Method::Static,
            RuleMethod::Route => Method::Route,
            RuleMethod::Probe => Method::Probe,
            RuleMethod::Deny => Method::Deny,
        },
        on: rule.on,
        to: rule.to,
        i_own_this_prefix: rule.i_own_this_prefix,
        comments: Vec::new(),
    };
    check_rule(&rule)?;
    if has_where_to_look(&rule, relay) {
        return Ok(rule);
    }
    Err(match relay.links.as_slice() {
        [only] => format!(
            "'{}' of '{}' is the only link: there is no other to look for targets on",
            only.name, relay.name
        ),
        _ => nowhere_else(&rule.to),
    })
}

/// Checks what makes sense or not whatever relay follows the rule.
pub(super) fn check_rule(rule: &Rule) -> Result<(), String> {
    for names in [&rule.on, &rule.to] {
        let mut seen = BTreeSet::new();
        if let Some(twice) = names.iter().find(|name| !seen.insert(name.as_str())) {
            return Err(format!("the link '{twice}' is named twice"));
        }
    }
    if rule.method != Method::Probe && !rule.to.is_empty() {
        return Err(format!(
            "'to' says where to look for targets, and {} does not look: only probe does",
            rule.method.label()
        ));
    }
    // One of several interfaces looks on the others.
    if let [only] = rule.on.as_slice()
        && rule.on == rule.to
        && !Selector::of(only).is_plural()
    {
        return Err(nowhere_else(&rule.to));
    }
    if rule.method == Method::Static && !rule.i_own_this_prefix && !is_narrow(rule.prefix) {
        return Err(format!(
            "static would answer for every address of {}, also for those that do not exist: \
             use probe or route, or confirm it with i_own_this_prefix (--i-own-this-prefix)",
            rule.prefix
        ));
    }
    Ok(())
}

fn nowhere_else(to: &[String]) -> String {
    let names = list(to.iter().map(String::as_str));
    format!("targets are never looked for on the link that asks: '{names}'")
}

/// Whether it has so few addresses that answering for all of them needs no confirmation.
fn is_narrow(prefix: RulePrefix) -> bool {
    match prefix {
        RulePrefix::Auto => false,
        RulePrefix::Net(net) => net.prefix_len() >= LONG_PREFIX,
    }
}

/// Reads the targets of a rule.
pub(super) fn parse_prefix(text: &str) -> Result<RulePrefix, String> {
    text.parse().map_err(|error| cli::in_a_line(&error))
}

fn link_named<'a>(relay: &'a Relay, name: &str) -> Result<&'a Link, String> {
    relay.links.iter().find(|link| link.name == name).ok_or_else(|| {
        let kind = match relay.kind {
            Kind::Relay => "relay",
            Kind::Responder => "responder",
        };
        let names = relay.links.iter().map(|link| link.name.as_str());
        format!("the {kind} '{}' has no link '{name}'{}", relay.name, hint(name, names))
    })
}

/// What may have been meant, and what there is.
fn hint<'a>(name: &str, candidates: impl Iterator<Item = &'a str> + Clone) -> String {
    if let Some(wide) = candidates.clone().find(|it| Selector::of(it).matches(name, None, None)) {
        return format!(": rules name '{wide}' in whole");
    }
    if let Some(meant) = closest(name, candidates.clone()) {
        return format!(": did you mean '{meant}'?");
    }
    match list(candidates) {
        names if names.is_empty() => String::new(),
        names => format!("; there are {names}"),
    }
}

fn list<'a>(names: impl Iterator<Item = &'a str>) -> String {
    names.collect::<Vec<_>>().join(", ")
}

/// An owner must be something to print, and to type.
pub(super) fn check_owner(owner: &str) -> Result<(), String> {
    let valid = !owner.is_empty()
        && owner.chars().count() <= LONGEST_OWNER
        && !owner.chars().any(|c| c.is_whitespace() || c.is_control());
    if valid {
        return Ok(());
    }
    Err(format!(
        "the owner {owner:?} cannot be: a tag has 1 to {LONGEST_OWNER} characters and no blanks"
    ))
}

/// Reads how many seconds a rule lasts.
pub(super) fn parse_lifetime(seconds: u64) -> Result<Duration, String> {
    let lifetime = Duration::from_secs(seconds);
    if lifetime.is_zero() || lifetime > cli::LONGEST_LIFETIME {
        return Err(format!(
            "a lifetime of {seconds} seconds is not possible: give 1 to {}, or none for no end",
            cli::LONGEST_LIFETIME.as_secs()
        ));
    }
    Ok(lifetime)
}

fn refusal(reason: String) -> Refusal {
    Refusal { reason, index: None }
}

/// From this length on, a prefix has so few addresses that each is meant.
const LONG_PREFIX: u8 = 120;

/// Characters of an owner's tag.
const LONGEST_OWNER: usize = 64;

#[cfg(test)]
mod tests {
    use super::super::samples;
    use super::*;

    #[test]
    fn what_is_asked_for_becomes_rules() {
        let config = config();
        let request = AddRules {
            owner: "docker".into(),
            lifetime_seconds: Some(60),
            persist: true,
            rules: vec![
                NewRule {
                    on: names(&["wan"]),
                    to: names(&["lan"]),
                    ..rule("auto", RuleMethod::Probe)
                },
                rule("2001:db8::1", RuleMethod::Static),
            ]
            .into_iter()
            .map(|rule| NewRule { relay: Some("home".into()), ..rule })
            .collect(),
        };
        let grants = grounds(&config).grants(request).unwrap();
        let [probe, single] = grants.as_slice() else { panic!("{grants:?}") };
        assert_eq!(probe.relay, "home");
        assert_eq!(probe.owner, "docker");
        assert_eq!(probe.rule.prefix, RulePrefix::Auto);
        assert_eq!(probe.rule.method, Method::Probe);
        assert_eq!((&probe.rule.on, &probe.rule.to), (&names(&["wan"]), &names(&["lan"])));
        assert_eq!(probe.term, Some(Term::of(Duration::from_secs(60), Instant::ZERO)));
        assert!(probe.persist);
        assert_eq!(single.rule.prefix, RulePrefix::Net("2001:db8::1/128".parse().unwrap()));
    }

    #[test]
    fn the_relay_is_the_one_with_the_link_or_the_only_one() {
        let config = config();
        let on = NewRule { on: names(&["vpn"]), ..rule("auto", RuleMethod::Route) };
        let to = NewRule { to: names(&["pool"]), ..rule("auto", RuleMethod::Probe) };
        for rule in [on, to] {
            assert_eq!(grant(&config, rule).unwrap().relay, "cloud");
        }
        let reason = grant(&config, rule("auto", RuleMethod::Route)).unwrap_err();
        assert!(reason.contains("by name (home, cloud)"), "{reason}");
        let alone =
            Config { relays: config.relays.into_iter().take(1).collect(), ..Config::default() };
        assert_eq!(grant(&alone, rule("auto", RuleMethod::Route)).unwrap().relay, "home");
        let reason = grant(&Config::default(), rule("auto", RuleMethod::Route)).unwrap_err();
        assert!(reason.contains("no relay or responder"), "{reason}");
    }

    #[test]
    fn what_cannot_be_is_refused_with_what_could() {
        use RuleMethod::{Deny, Probe, Route, Static};
        let config = config();
        let home = |prefix, method| NewRule { relay: Some("home".into()), ..rule(prefix, method) };
        let cloud = |on: &[&str], to: &[&str], method| NewRule {
            on: names(on),
            to: names(to),
            relay: Some("cloud".into()),
            ..rule("2001:db8::1", method)
        };
        let cases = [
            (NewRule { relay: Some("hone".into()), ..rule("auto", Route) }, "did you mean 'home'?"),
            (NewRule { relay: Some("x".into()), ..rule("auto", Route) }, "there are home, cloud"),
            (NewRule { on: names(&["wann"]), ..rule("auto", Route) }, "did you mean 'wan'?"),
            (cloud(&["wan"], &[], Route), "the responder 'cloud' has no link 'wan'"),
            (cloud(&["pool"], &[], Route), "only as a place to look"),
            (cloud(&["vpn"], &["vpn"], Probe), "never looked for on the link that asks"),
            (cloud(&["vpn"], &["poool"], Probe), "did you mean 'pool'?"),
            (cloud(&[], &["vpn"], Probe), "never looked for on the link that asks: 'vpn'"),
            (cloud(&["vpn", "vpn"], &["vpn"], Probe), "'vpn' is named twice"),
            (cloud(&["vpn"], &["pool", "pool"], Probe), "'pool' is named twice"),
            (cloud(&["vpn"], &["pool"], Deny), "deny does not look"),
            (home("2001:db8::1/64", Route), "did you mean `2001:db8::/64`?"),
            (home("fe80::1", Static), "link-local"),
            (home("ff02::1", Static), "multicast"),
            (home("2000::/8", Route), "16 or more"),
            (home("10.0.0.0/8", Route), "IPv4"),
            (home("home", Route), "not an IPv6 address"),
            (home("auti", Route), "did you mean `auto`?"),
            (home("2001:db8::/64", Static), "--i-own-this-prefix"),
            (home("auto", Static), "every address of auto"),
        ];
        for (rule, expected) in cases {
            let reason = grant(&config, rule.clone()).unwrap_err();
            assert!(reason.contains(expected), "{rule:?}: {reason}");
        }
        for rule in [
            home("2001:db8::/120", Static),
            home("2001:db8::/64", Deny),
            NewRule { i_own_this_prefix: true, ..home("auto", Static) },
        ] {
            grant(&config, rule).unwrap();
        }
        let alone = Config { relays: vec![samples::relay("one", &["wan"])], ..Config::default() };
        let reason = grant(&alone, rule("auto", Probe)).unwrap_err();
        assert!(reason.contains("'wan' of 'one' is the only link"), "{reason}");
    }

    #[test]
    fn interfaces_that_are_one_link_are_named_together() {
        let many = samples::relay("many", &["veth*"]);
        let config = Config { relays: vec![many], ..Config::default() };
        let rule = |on: &[&str], to: &[&str]| NewRule {
            on: names(on),
            to: names(to),
            ..rule("auto", RuleMethod::Probe)
        };
        for good in [rule(&[], &[]), rule(&["veth*"], &["veth*"]), rule(&["veth*"], &[])] {
            grant(&config, good.clone()).unwrap_or_else(|reason| panic!("{good:?}: {reason}"));
        }
        let reason = grant(&config, rule(&["veth0"], &[])).unwrap_err();
        assert!(reason.contains("rules name 'veth*' in whole"), "{reason}");
    }

    #[test]
    fn requests_are_refused_as_a_whole() {
        let config = config();
        let home =
            NewRule { relay: Some("home".into()), ..rule("2001:db8::1", RuleMethod::Static) };
        let request = |owner: &str, rules: Vec<NewRule>| AddRules {
            owner: owner.into(),
            rules,
            ..AddRules::default()
        };
        let bad = NewRule { prefix: "x".into(), ..home.clone() };
        let several = request("me", vec![home.clone(), bad]);
        let refused = grounds(&config).grants(several).unwrap_err();
        assert_eq!(refused.index, Some(1));
        assert!(refused.reason.starts_with("rule 2: `x` is not an IPv6 address"), "{refused:?}");

        let fine = request("me", vec![home]);
        let cases = [
            (request("", fine.rules.clone()), "1 to 64 characters"),
            (request("a b", fine.rules.clone()), "no blanks"),
            (request("a\nb", fine.rules.clone()), "\"a\\nb\""),
            (request(&"x".repeat(65), fine.rules.clone()), "64"),
            (request("me", Vec::new()), "no rule"),
            (AddRules { lifetime_seconds: Some(0), ..fine.clone() }, "0 seconds"),
            (AddRules { lifetime_seconds: Some(u64::MAX), ..fine.clone() }, "not possible"),
            (AddRules { persist: true, ..fine.clone() }, "`state-file`"),
        ];
        let grounds = Grounds { can_persist: false, ..grounds(&config) };
        for (request, expected) in cases {
            let refused = grounds.grants(request).unwrap_err();
            assert!(refused.reason.contains(expected), "{refused:?}");
            assert_eq!(refused.index, None);
        }
        grounds.grants(fine).unwrap();
    }

    #[test]
    fn a_selection_names_what_is_known() {
        let config = config();
        let mut granted = Granted::default();
        granted
            .add(vec![Grant { relay: "former".into(), ..samples::grant("2001:db8::/64", "a") }])
            .unwrap();
        let select = |prefix: Option<&str>, owner: Option<&str>, relay: Option<&str>| {
            let [prefix, owner, relay] = [prefix, owner, relay].map(|text| text.map(str::to_owned));
            grounds(&config).selection(RemoveRules { prefix, owner, relay }, &granted)
        };
        let net = RulePrefix::Net("2001:db8::1/128".parse().unwrap());
        assert_eq!(select(Some("2001:db8::1"), None, None).unwrap().prefix, Some(net));
        assert_eq!(select(Some("auto"), None, None).unwrap().prefix, Some(RulePrefix::Auto));
        assert_eq!(select(None, Some("a"), Some("former")).unwrap().owner, Some("a".into()));
        for (selection, expected) in [
            (select(None, None, Some("home")), "say which"),
            (select(None, Some("a"), Some("hone")), "did you mean 'home'?"),
            (select(Some("2001:db8::1/64"), None, None), "did you mean `2001:db8::/64`?"),
        ] {
            let refused = selection.unwrap_err();
            assert!(refused.reason.contains(expected), "{refused:?}");
        }
    }

    fn grant(config: &Config, rule: NewRule) -> Result<Grant, String> {
        let request = AddRules { owner: "me".into(), rules: vec![rule], ..AddRules::default() };
        let grants = grounds(config).grants(request).map_err(|refusal| refusal.reason)?;
        Ok(grants.into_iter().next().unwrap())
    }

    fn grounds(config: &Config) -> Grounds<'_> {
        Grounds { config, can_persist: true, now: Instant::ZERO }
    }

    fn rule(prefix: &str, method: RuleMethod) -> NewRule {
        NewRule {
            relay: None,
            prefix: prefix.into(),
            method,
            on: Vec::new(),
            to: Vec::new(),
            i_own_this_prefix: false,
        }
    }

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    fn config() -> Config {
        let home = samples::relay("home", &["wan", "lan"]);
        let mut cloud = samples::relay("cloud", &["vpn", "pool"]);
        cloud.kind = Kind::Responder;
        if let Some(pool) = cloud.links.last_mut() {
            pool.only_probed = true;
        }
        Config { relays: vec![home, cloud], ..Config::default() }
    }
}
