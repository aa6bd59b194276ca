//! Writes down the rules that are to survive a restart, and reads them again.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use magpie_config::model::{Method, Rule, RulePrefix};
use magpie_engine::Instant;
use serde::{Deserialize, Serialize};

use super::request::{check_owner, check_rule, parse_lifetime, parse_prefix};
use super::{Grant, Granted, MOST_GRANTS, Term};

/// What a file of rules contains.
#[derive(Debug, Default, Eq, PartialEq)]
pub(crate) struct Content {
    pub(crate) granted: Granted,
    /// What is wrong with rules that were left out.
    pub(crate) complaints: Vec<String>,
}

/// The content of a file is not understood.
#[derive(Debug, thiserror::Error)]
#[error("line {}, column {}: these are no saved rules", source.line(), source.column())]
pub(crate) struct FileError {
    source: serde_json::Error,
}

impl Granted {
    /// The rules that are to survive a restart. `wall` is what the wall clock shows now: ends are
    /// written as it will show them.
    pub(crate) fn to_json(&self, now: Instant, wall: SystemTime) -> String {
        let rules = self.lasting().map(|grant| Entry::new(grant, now, wall)).collect();
        let homes = self.lasting_homes().map(|(name, links)| (name.clone(), links.clone()));
        let document = Document { relays: homes.collect(), rules };
        // Names and numbers always have a form in JSON.
        let mut text = serde_json::to_string_pretty(&document).unwrap_or_default();
        text.push('\n');
        text
    }

    /// Reads rules that were written down. Those whose time was over meanwhile are left out, and
    /// so are those that make no sense.
    pub(crate) fn from_json(
        text: &[u8],
        now: Instant,
        wall: SystemTime,
    ) -> Result<Content, FileError> {
        let mut content = Content::default();
        if text.trim_ascii().is_empty() {
            return Ok(content);
        }
        let document: Document<serde_json::Value> =
            serde_json::from_slice(text).map_err(|source| FileError { source })?;
        content.granted.homes = document.relays;
        for (index, value) in document.rules.into_iter().enumerate() {
            let mut text = format!("rule {}", index + 1);
            let entry = Entry::deserialize(value).map_err(|error| error.to_string());
            let grant = entry.and_then(|entry| {
                text = format!("{text}, for {:?} of {:?}", entry.prefix, entry.owner);
                entry.grant(now, wall)
            });
            match grant {
                Ok(None) => {}
                Ok(Some(grant)) => {
                    if content.granted.add(vec![grant]).is_err() {
                        content.complaints.push(format!("there are more than {MOST_GRANTS} rules"));
                        break;
                    }
                }
                Err(reason) => content.complaints.push(format!("{text}: {reason}")),
            }
        }
        if content.complaints.len() > MOST_COMPLAINTS {
            let rest = content.complaints.split_off(MOST_COMPLAINTS);
            content.complaints.push(format!("{} further rules", rest.len()));
        }
        Ok(content)
    }
}

#[derive(Deserialize, Serialize)]
struct Document<E> {
    /// The links of the relays that the rules are for, by name.
    #[serde(default = "BTreeMap::new", skip_serializing_if = "BTreeMap::is_empty")]
    relays: BTreeMap<String, Vec<String>>,
    rules: Vec<E>,
}

/// A rule as it is written down. What is not known here might limit it.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    relay: String,
    owner: String,
    prefix: String,
    method: MethodName,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    on: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    to: Vec<String>,
    #[serde(default)]
    i_own_this_prefix: bool,
    /// When it ends, in seconds since 1970-01-01 00:00 UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expires: Option<u64>,
    /// No clock that was set back makes a rule last longer than it was meant to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    lifetime_seconds: Option<u64>,
}

#[derive(Clone, Copy, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
enum MethodName {
    Static,
    Route,
    Probe,
    Deny,
}

impl Entry {
    fn new(grant: &Grant, now: Instant, wall: SystemTime) -> Self {
        let Rule { prefix, method, on, to, i_own_this_prefix, .. } = grant.rule.clone();
        let expires = grant.term.map(|term| {
            let expires = since_epoch(wall).saturating_add(term.until.since(now));
            // Rather a second late than early.
            expires.as_secs() + u64::from(expires.subsec_nanos() > 0)
        });
        Self {
            relay: grant.relay.clone(),
            owner: grant.owner.clone(),
            prefix: match prefix {
                RulePrefix::Auto => prefix.to_string(),
                RulePrefix::Net(net) => net.to_string(),
            },
            method: method.into(),
            on,
            to,
            i_own_this_prefix,
            expires,
            lifetime_seconds: grant.term.map(|term| term.lifetime.as_secs()),
        }
    }

    /// The rule, if it is one that could be asked for, unless its time is over.
    fn grant(self, now: Instant, wall: SystemTime) -> Result<Option<Grant>, String> {
        check_owner(&self.owner)?;
        let rule = Rule {
            prefix: parse_prefix(&self.prefix)?,
            method: self.method.into(),
            on: self.on,
            to: self.to,
            i_own_this_prefix: self.i_own_this_prefix,
            comments: Vec::new(),
        };
        check_rule(&rule)?;
        let term = match (self.expires, self.lifetime_seconds) {
            (None, None) => None,
            (Some(expires), Some(lifetime)) => {
                let lifetime = parse_lifetime(lifetime)?;
                let left = Duration::from_secs(expires).saturating_sub(since_epoch(wall));
                let left = left.min(lifetime);
                if left.is_zero() {
                    return Ok(None);
                }
                Some(Term { lifetime, until: now + left })
            }
            _ => return Err("expires and lifetime_seconds come together".to_owned()),
        };
        Ok(Some(Grant { relay: self.relay, owner: self.owner, rule, term, persist: true }))
    }
}

impl From<Method> for MethodName {
    fn from(method: Method) -> Self {
        match method {
            Method::Static => Self::Static,
            Method::Route => Self::Route,
            Method::Probe => Self::Probe,
            Method::Deny => Self::Deny,
        }
    }
}

impl From<MethodName> for Method {
    fn from(method: MethodName) -> Self {
        match method {
            MethodName::Static => Self::Static,
            MethodName::Route => Self::Route,
            MethodName::Probe => Self::Probe,
            MethodName::Deny => Self::Deny,
        }
    }
}

/// Complaints about rules of a file that are told one by one.
const MOST_COMPLAINTS: usize = 20;

fn since_epoch(wall: SystemTime) -> Duration {
    wall.duration_since(UNIX_EPOCH).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::super::samples::{grant, relay};
    use super::*;

    #[test]
    fn what_is_to_last_survives_with_the_time_that_is_left() {
        let term = Term::of(Duration::from_secs(100), at(1_000));
        let ending = Grant { term: Some(term), persist: true, ..grant("2001:db8::/64", "a") };
        let mut lasting = Grant { persist: true, ..grant("2001:db8:1::/64", "b") };
        lasting.rule.prefix = RulePrefix::Auto;
        lasting.rule.method = Method::Probe;
        lasting.rule.to = vec!["lan".into()];
        lasting.rule.on.clear();
        let passing = grant("2001:db8:2::/64", "a");
        let mut granted = Granted::default();
        granted.add(vec![ending.clone(), passing, lasting.clone()]).unwrap();
        let text = granted.to_json(at(1_030), wall(5_000));

        // The clock of the engine starts anew, that of the wall goes on.
        let content = Granted::from_json(text.as_bytes(), at(7), wall(5_020)).unwrap();
        let rest = Term { until: at(7 + 50), ..term };
        let expected = [Grant { term: Some(rest), ..ending.clone() }, lasting.clone()];
        assert_eq!(content.granted.grants, expected);
        assert_eq!(content.complaints, [""; 0]);

        let content = Granted::from_json(text.as_bytes(), at(7), wall(5_070)).unwrap();
        assert_eq!(content.granted.grants, [lasting]);

        // A clock that is not set yet does not prolong it.
        let content = Granted::from_json(text.as_bytes(), at(7), wall(0)).unwrap();
        let rest = Term { until: at(7 + 100), ..term };
        assert_eq!(content.granted.grants.first(), Some(&Grant { term: Some(rest), ..ending }));
    }

    #[test]
    fn the_form_is_stable() {
        let mut granted = Granted::default();
        let term = Term::of(Duration::from_secs(60), at(0));
        granted
            .add(vec![Grant { term: Some(term), persist: true, ..grant("2001:db8::/64", "a") }])
            .unwrap();
        let text = granted.to_json(at(0), wall(1_000));
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        let expected = json!({ "rules": [{
            "relay": "home",
            "owner": "a",
            "prefix": "2001:db8::/64",
            "method": "static",
            "on": ["wan", "lan"],
            "i_own_this_prefix": true,
            "expires": 1060,
            "lifetime_seconds": 60,
        }] });
        assert_eq!(value, expected);
    }

    #[test]
    fn damage_is_told() {
        for text in ["", " \n"] {
            assert_eq!(
                Granted::from_json(text.as_bytes(), at(0), wall(0)).unwrap(),
                Content::default()
            );
        }
        let error = Granted::from_json(b"{\n \"rules\": 3}", at(0), wall(0)).unwrap_err();
        assert_eq!(error.to_string(), "line 2, column 11: these are no saved rules");
        let text = r#"{ "rules": [
            { "relay": "home", "owner": "a", "prefix": "nonsense", "method": "deny" },
            { "relay": "home", "owner": "a", "prefix": "2001:db8::/64", "method": "deny" }
        ] }"#;
        let content = Granted::from_json(text.as_bytes(), at(0), wall(0)).unwrap();
        assert_eq!(content.granted.iter().len(), 1);
        let [complaint] = content.complaints.as_slice() else { panic!("{content:?}") };
        assert!(complaint.starts_with(r#"rule 1, for "nonsense" of "a": "#), "{complaint}");
    }

    #[test]
    fn what_could_not_be_asked_for_is_left_out() {
        let fine = json!({
            "relay": "home", "owner": "a", "prefix": "2001:db8::/64", "method": "route",
            "expires": 1060, "lifetime_seconds": 60,
        });
        let with = |changes: serde_json::Value| {
            let mut entry = fine.clone();
            for (key, value) in changes.as_object().unwrap() {
                entry[key] = value.clone();
            }
            entry
        };
        let wrong = [
            (with(json!({ "lifetime_seconds": null })), "come together"),
            (with(json!({ "expires": null })), "come together"),
            (with(json!({ "expires": "1060" })), "invalid type"),
            (with(json!({ "expires": -1 })), "invalid value"),
            (with(json!({ "lifetime_seconds": 0 })), "0 seconds"),
            (with(json!({ "expire": 1060 })), "unknown field"),
            (with(json!({ "prefix": "::/0", "method": "static" })), "too large"),
            (with(json!({ "method": "static" })), "every address"),
            (with(json!({ "prefix": "2001:db8::1/64" })), "beyond the length"),
            (with(json!({ "prefix": "fe80::1" })), "link-local"),
            (with(json!({ "owner": "a b" })), "no blanks"),
            (with(json!({ "owner": "" })), "1 to 64"),
            (with(json!({ "to": ["lan"] })), "route does not look"),
            (with(json!({ "on": ["lan", "lan"] })), "named twice"),
            (with(json!({ "method": "probe", "on": ["lan"], "to": ["lan"] })), "never looked for"),
            (with(json!({ "method": "proxy" })), "unknown variant"),
            (json!(3), "invalid type"),
        ];
        let mut rules: Vec<_> = wrong.iter().map(|(entry, _)| entry.clone()).collect();
        rules.push(fine);
        let text = json!({ "rules": rules }).to_string();
        let content = Granted::from_json(text.as_bytes(), at(0), wall(1_000)).unwrap();
        assert_eq!(content.granted.iter().len(), 1);
        assert_eq!(content.granted.grants[0].term, Some(Term::of(Duration::from_secs(60), at(0))));
        assert_eq!(content.complaints.len(), wrong.len(), "{content:?}");
        for (index, (complaint, (_, reason))) in content.complaints.iter().zip(wrong).enumerate() {
            assert!(complaint.starts_with(&format!("rule {}", index + 1)), "{complaint}");
            assert!(complaint.contains(reason), "{reason}: {complaint}");
        }
    }

    #[test]
    fn nobody_has_to_read_thousands_of_complaints() {
        let text = json!({ "rules": vec![3; 5_000] }).to_string();
        let content = Granted::from_json(text.as_bytes(), at(0), wall(0)).unwrap();
        assert_eq!(content.complaints.len(), MOST_COMPLAINTS + 1);
        assert_eq!(content.complaints.last().unwrap(), "4980 further rules");
    }

    #[test]
    fn relays_are_written_down_with_their_links() {
        let mut granted = Granted::default();
        granted.add(vec![Grant { persist: true, ..grant("2001:db8::/64", "a") }]).unwrap();
        granted.note_homes(&[relay("home", &["wan", "lan"]), relay("other", &["x", "y"])]);
        let text = granted.to_json(at(0), wall(0));
        let content = Granted::from_json(text.as_bytes(), at(0), wall(0)).unwrap();
        let homes: Vec<_> = content.granted.homes().collect();
        assert_eq!(homes, [("home", ["wan".to_owned(), "lan".to_owned()].as_slice())]);
        assert!(content.granted.lasts_like(&granted));
    }

    /// A value of an entry that is sometimes as it should be.
    fn value(good: &'static [&'static str]) -> impl Strategy<Value = serde_json::Value> {
        prop_oneof![
            4 => prop::sample::select(good).prop_map(|text| serde_json::from_str(text).unwrap()),
            1 => "[a-z0-9:/ ]{0,12}".prop_map(Into::into),
            1 => any::<u64>().prop_map(Into::into),
            1 => Just(serde_json::Value::Null),
        ]
    }

    proptest! {
        /// Whatever a file says, only what could be asked for comes into force, and the rest is
        /// complained of.
        #[test]
        fn what_is_read_could_be_asked_for(
            entries in proptest::collection::vec(
                (
                    value(&["\"a\"", "\"docker\"", "\"a b\""]),
                    value(&["\"2001:db8::/64\"", "\"2001:db8::1\"", "\"::/0\"", "\"auto\""]),
                    value(&["\"static\"", "\"route\"", "\"probe\"", "\"deny\""]),
                    value(&["[]", "[\"lan\"]", "[\"lan\", \"lan\"]"]),
                    value(&["true", "false"]),
                    proptest::option::of(value(&["0", "1060", "99999999"])),
                    proptest::option::of(value(&["0", "60", "3600"])),
                ),
                0..6,
            ),
        ) {
            let mut over = 0;
            let mut rules = Vec::new();
            for (number, (owner, prefix, method, on, owned, expires, lifetime)) in
                entries.into_iter().enumerate()
            {
                // One relay for each, so that none replaces another.
                let mut entry = json!({
                    "relay": number.to_string(), "owner": owner, "prefix": prefix,
                    "method": method, "on": on, "i_own_this_prefix": owned,
                });
                for (key, value) in [("expires", expires), ("lifetime_seconds", lifetime)] {
                    if let Some(value) = value {
                        entry[key] = value;
                    }
                }
                rules.push(entry);
            }
            let text = json!({ "rules": &rules }).to_string();
            let content = Granted::from_json(text.as_bytes(), at(0), wall(1_000)).unwrap();
            for grant in content.granted.iter() {
                let entry = &rules[grant.relay.parse::<usize>().unwrap()];
                prop_assert_eq!(check_owner(&grant.owner), Ok(()));
                prop_assert_eq!(check_rule(&grant.rule), Ok(()));
                prop_assert_eq!(parse_prefix(entry["prefix"].as_str().unwrap()), Ok(grant.rule.prefix));
                let ends = |key: &str| entry.get(key).is_some_and(|value| !value.is_null());
                prop_assert_eq!(grant.term.is_some(), ends("expires"));
                prop_assert_eq!(grant.term.is_some(), ends("lifetime_seconds"));
            }
            for entry in &rules {
                over += usize::from(entry["expires"].as_u64().is_some_and(|end| end <= 1_000));
            }
            let told = content.granted.iter().len() + content.complaints.len();
            prop_assert!(told <= rules.len() && told + over >= rules.len(), "{:?}", content);
        }
    }

    #[test]
    fn no_more_is_read_than_can_be_kept() {
        let entry = |number| {
            format!(
                r#"{{ "relay": "r", "owner": "o", "prefix": "2001:db8::{number:x}/128", "method": "deny" }}"#
            )
        };
        let entries: Vec<String> = (0..=MOST_GRANTS + 3).map(entry).collect();
        let text = format!(r#"{{ "rules": [{}] }}"#, entries.join(","));
        let content = Granted::from_json(text.as_bytes(), at(0), wall(0)).unwrap();
        assert_eq!(content.granted.iter().len(), MOST_GRANTS);
        assert_eq!(content.complaints, ["there are more than 10000 rules"]);
    }

    fn at(seconds: u64) -> Instant {
        Instant::ZERO + Duration::from_secs(seconds)
    }

    fn wall(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(seconds)
    }
}
