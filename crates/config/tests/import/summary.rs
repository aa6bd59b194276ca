//! Says in one line what an import came to.

use magpie_config::import::Imported;
use magpie_config::model::{Config, Pattern, Relay, Rule, RulePrefix};
use magpie_config::{Diagnostics, Severity, Source};
use magpie_engine::RouterFlag;

/// Compares what texts come to, and what is said about them, with a table: each text, a part of
/// what has to be said about the original (nothing, if nothing may be said), and what it comes to
/// here (nothing, if it has to be refused).
pub(crate) fn compare(
    import: fn(Source) -> Result<Imported, Diagnostics>,
    cases: &[(&str, &str, &str)],
) {
    for (text, said, expected) in cases {
        let (summary, remarks) = match import(Source::new("file.conf", *text)) {
            Ok(imported) => {
                assert_loads_again(&imported.config);
                (config(&imported.config), imported.warnings)
            }
            Err(errors) => {
                assert!(errors.has_errors(), "{text:?}");
                (String::new(), errors)
            }
        };
        assert_eq!(summary, *expected, "{text:?}\n{remarks}");
        if said.is_empty() {
            assert!(remarks.is_empty(), "{text:?}\n{remarks}");
            continue;
        }
        let found = remarks.iter().any(|remark| {
            let refused = remark.severity == Severity::Error;
            remark.message.contains(said) && refused == expected.is_empty()
        });
        assert!(found, "{text:?}: {said}\n{remarks}");
    }
}

/// What was imported has to be a configuration without mistakes, and to stay the same.
pub(crate) fn assert_loads_again(imported: &Config) {
    let text = magpie_config::render(imported);
    let loaded = match magpie_config::parse(&[Source::new("imported.toml", text.as_str())]) {
        Ok(loaded) => loaded,
        Err(errors) => panic!("{text}\n{errors}"),
    };
    assert_eq!(loaded.config, without_comments(imported.clone()), "{text}");
}

/// A configuration as it is when it is read: comments are not.
fn without_comments(mut config: Config) -> Config {
    config.comments.clear();
    for relay in &mut config.relays {
        relay.comments.clear();
        for link in &mut relay.links {
            link.comments.clear();
        }
        for rule in &mut relay.rules {
            rule.comments.clear();
        }
    }
    config
}

/// All relays: `eth0 R [eth1]: static 2001:db8::/64; probe ... `, with the links that are only
/// looked on in brackets.
pub(crate) fn config(config: &Config) -> String {
    let relays: Vec<String> = config.relays.iter().map(relay).collect();
    relays.join(" | ")
}

fn relay(relay: &Relay) -> String {
    let links: Vec<String> = relay
        .links
        .iter()
        .map(|link| match (link.only_probed, link.answers.router_flag) {
            (true, _) => format!("[{}]", link.name),
            (false, RouterFlag::On) => format!("{} R", link.name),
            (false, RouterFlag::Off) => link.name.clone(),
            (false, RouterFlag::Auto) => format!("{} R?", link.name),
        })
        .collect();
    let mut parts: Vec<String> = relay.rules.iter().map(rule).collect();
    for (name, list) in [("allow", &relay.allow), ("deny", &relay.deny)] {
        if !list.is_empty() {
            let list: Vec<String> = list.iter().map(Pattern::to_string).collect();
            parts.push(format!("{name} {}", list.join(" ")));
        }
    }
    format!("{}: {}", links.join(" "), parts.join("; ")).trim_end().to_owned()
}

fn rule(rule: &Rule) -> String {
    let prefix = match rule.prefix {
        RulePrefix::Auto => "auto".to_owned(),
        RulePrefix::Net(net) => net.to_string(),
    };
    let mut text = format!("{} {prefix}", rule.method.label());
    for (word, names) in [("on", &rule.on), ("to", &rule.to)] {
        if !names.is_empty() {
            text = format!("{text} {word} {}", names.join(","));
        }
    }
    text
}
