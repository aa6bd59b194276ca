//! Writes down the rules that are to survive a restart, and reads them again.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use magpie_config::model::{Method, Rule, RulePrefix};
use magpie_engine::Instant;
use serde::{Deserialize, Serialize};

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
        let lasting = self.grants.iter().filter(|grant| grant.persist);
        let rules = lasting.map(|grant| Entry::new(grant, now, wall)).collect();
        let document = Document { rules };
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
        let document: Document =
            serde_json::from_slice(text).map_err(|source| FileError { source })?;
        for entry in document.rules {
            let text = format!("the rule for {} of {}", entry.prefix, entry.owner);
            match entry.grant(now, wall) {
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
        Ok(content)
    }
}

#[derive(Deserialize, Serialize)]
struct Document {
    rules: Vec<Entry>,
}

/// A rule as it is written down.
#[derive(Deserialize, Serialize)]
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
    #[serde(default, flatten, skip_serializing_if = "Option::is_none")]
    end: Option<End>,
}

/// When a rule ends.
#[derive(Clone, Copy, Deserialize, Serialize)]
struct End {
    /// In seconds since 1970-01-01 00:00 UTC.
    expires: u64,
    /// No clock that was set back makes a rule last longer than it was meant to.
    lifetime_seconds: u64,
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
        let end = grant.term.map(|term| {
            let expires = since_epoch(wall).saturating_add(term.until.since(now));
            // Rather a second late than early.
            let expires = expires.as_secs() + u64::from(expires.subsec_nanos() > 0);
            End { expires, lifetime_seconds: term.lifetime.as_secs() }
        });
        Self {
            relay: grant.relay.clone(),
            owner: grant.owner.clone(),
            prefix: match prefix {
                RulePrefix::Auto => AUTO.to_owned(),
                RulePrefix::Net(net) => net.to_string(),
            },
            method: method.into(),
            on,
            to,
            i_own_this_prefix,
            end,
        }
    }

    /// The rule, unless its time is over.
    fn grant(self, now: Instant, wall: SystemTime) -> Result<Option<Grant>, String> {
        let prefix = match self.prefix.as_str() {
            AUTO => RulePrefix::Auto,
            text => match text.parse::<ipnet::Ipv6Net>() {
                Ok(net) => RulePrefix::Net(net.trunc()),
                Err(_) => return Err("that is no prefix".to_owned()),
            },
        };
        let term = match self.end {
            None => None,
            Some(End { expires, lifetime_seconds }) => {
                let lifetime = Duration::from_secs(lifetime_seconds);
                let left = Duration::from_secs(expires).saturating_sub(since_epoch(wall));
                let left = left.min(lifetime);
                if left.is_zero() {
                    return Ok(None);
                }
                Some(Term { lifetime, until: now + left })
            }
        };
        Ok(Some(Grant {
            relay: self.relay,
            owner: self.owner,
            rule: Rule {
                prefix,
                method: self.method.into(),
                on: self.on,
                to: self.to,
                i_own_this_prefix: self.i_own_this_prefix,
                comments: Vec::new(),
            },
            term,
            persist: true,
        }))
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

fn since_epoch(wall: SystemTime) -> Duration {
    wall.duration_since(UNIX_EPOCH).unwrap_or_default()
}

const AUTO: &str = "auto";

#[cfg(test)]
mod tests {
    use super::super::samples::grant;
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
        let expected = serde_json::json!({ "rules": [{
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
        assert_eq!(content.complaints, ["the rule for nonsense of a: that is no prefix"]);
    }

    #[test]
    fn no_more_is_read_than_can_be_kept() {
        let entry = |number| {
            format!(
                r#"{{ "relay": "r", "owner": "o", "prefix": "::{number:x}/128", "method": "deny" }}"#
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
