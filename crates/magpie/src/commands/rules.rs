//! Shows and changes the rules of a running daemon.

use std::process::ExitCode;

use magpie_control::{AddRules, Client, NewRule, RemoveRules, Rule, RuleMethod, RuleSource};

use super::conclude;
use crate::cli::{AddArgs, Method, RemoveArgs, RulesArgs, RulesCommand, ViewArgs};
use crate::table::{Column, absent, span, table};
use crate::views::{ViewError, json_text, print};

/// Does with rules what the command line asks for.
pub(crate) fn run(args: &RulesArgs) -> ExitCode {
    match &args.command {
        None => conclude(show(&args.view)),
        Some(RulesCommand::List(view)) => conclude(show(view)),
        Some(RulesCommand::Add(args)) => conclude(add(args)),
        Some(RulesCommand::Remove(args)) => remove(args),
    }
}

fn show(args: &ViewArgs) -> Result<(), ViewError> {
    let rules = Client::connect(&args.control.control)?.rules()?;
    print(&if args.json { json_text(&rules)? } else { text(&rules) }).map(drop)
}

fn add(args: &AddArgs) -> Result<(), ViewError> {
    let request = AddRules {
        owner: args.owner.clone(),
        lifetime_seconds: args.lifetime.map(|lifetime| lifetime.as_secs()),
        persist: args.persist,
        rules: vec![NewRule {
            relay: args.relay.clone(),
            prefix: args.prefix.clone(),
            method: match args.method {
                Method::Static => RuleMethod::Static,
                Method::Route => RuleMethod::Route,
                Method::Probe => RuleMethod::Probe,
                Method::Deny => RuleMethod::Deny,
            },
            on: args.on.clone(),
            to: args.to.clone(),
            i_own_this_prefix: args.i_own_this_prefix,
        }],
    };
    let mut client = Client::connect(&args.control.control)?;
    let before = client.rules()?;
    if client.add_rules(&request)?.renewed == 0 {
        return Ok(());
    }
    let after = client.rules()?;
    print(&replaced(&before, &after, &args.owner)).map(drop)
}

/// What rules of an owner said that say something else now.
fn replaced(before: &[Rule], after: &[Rule], owner: &str) -> String {
    let is_own =
        |rule: &&Rule| rule.source == RuleSource::Added && rule.owner.as_deref() == Some(owner);
    let is_same = |one: &[String], other: &[String]| {
        one.iter().all(|name| other.contains(name)) && other.iter().all(|name| one.contains(name))
    };
    let is_replaced = |old: &&Rule| {
        after.iter().filter(is_own).any(|new| {
            new.relay == old.relay
                && new.prefix == old.prefix
                && is_same(&new.on, &old.on)
                && !(new.method == old.method && is_same(&new.to, &old.to))
        })
    };
    let line = |rule: &Rule| {
        let links = |flag: &str, names: &[String]| {
            if names.is_empty() { String::new() } else { format!(" {flag} {}", names.join(",")) }
        };
        format!(
            "replaces: {} {}{}{} (relay {}, owner {owner})\n",
            rule.prefix,
            rule.method.label(),
            links("--on", &rule.on),
            links("--to", &rule.to),
            rule.relay
        )
    };
    before.iter().filter(is_own).filter(is_replaced).map(line).collect()
}

/// Removes rules; that there was none to remove is told by the status, too.
fn remove(args: &RemoveArgs) -> ExitCode {
    let request = RemoveRules {
        prefix: args.prefix.clone(),
        owner: args.owner.clone(),
        relay: args.relay.clone(),
    };
    let removed =
        Client::connect(&args.control.control).and_then(|mut client| client.remove_rules(&request));
    match removed {
        Ok(0) => {
            eprintln!(
                "magpie: no rule that was added matches; `magpie rules` shows all, and those \
                 of the configuration file can be removed in the file only"
            );
            ExitCode::FAILURE
        }
        other => conclude(other.map(drop)),
    }
}

fn text(rules: &[Rule]) -> String {
    let columns = [
        Column::text("RELAY"),
        Column::text("PREFIX"),
        Column::text("METHOD"),
        Column::text("ON"),
        Column::text("TO"),
        Column::text("SOURCE"),
        Column::text("OWNER"),
        Column::number("LEFT"),
        Column::text("KEPT"),
    ];
    let names = |names: &[String], all: &str| {
        if names.is_empty() { all.to_owned() } else { names.join(",") }
    };
    let rows: Vec<Vec<String>> = rules
        .iter()
        .map(|rule| {
            let looks = rule.method == RuleMethod::Probe;
            let is_added = rule.source == RuleSource::Added;
            vec![
                rule.relay.clone(),
                rule.prefix.clone(),
                rule.method.label().to_owned(),
                names(&rule.on, "all"),
                if looks { names(&rule.to, "others") } else { absent() },
                if rule.active {
                    rule.source.label().to_owned()
                } else {
                    format!("{} (rests)", rule.source.label())
                },
                rule.owner.clone().unwrap_or_else(absent),
                rule.remaining_seconds.map_or_else(absent, span),
                match (is_added, rule.persist) {
                    (false, _) => absent(),
                    (true, true) => "yes".to_owned(),
                    (true, false) => "no".to_owned(),
                },
            ]
        })
        .collect();
    table(&columns, &rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_replaced_is_told() {
        let own = |prefix: &str, method| Rule {
            owner: Some("manual".into()),
            ..rule(prefix, method, RuleSource::Added)
        };
        let other = Rule { owner: Some("hook".into()), ..own("auto", RuleMethod::Deny) };
        let file = rule("auto", RuleMethod::Deny, RuleSource::File);
        let deny = own("auto", RuleMethod::Deny);
        let on = Rule { on: vec!["wan".into(), "lan".into()], ..deny.clone() };
        let before = [deny, own("2001:db8::/64", RuleMethod::Route), other, file, on];
        assert_eq!(replaced(&before, &before, "manual"), "");
        let mut after = before.to_vec();
        after[0].method = RuleMethod::Static;
        assert_eq!(
            replaced(&before, &after, "manual"),
            "replaces: auto deny (relay home, owner manual)\n"
        );
        assert_eq!(replaced(&before, &after, "hook"), "");
        after[0].method = RuleMethod::Deny;
        after[4].on.reverse();
        after[4].method = RuleMethod::Route;
        assert_eq!(
            replaced(&before, &after, "manual"),
            "replaces: auto deny --on wan,lan (relay home, owner manual)\n"
        );
    }

    fn rule(prefix: &str, method: RuleMethod, source: RuleSource) -> Rule {
        Rule {
            relay: "home".into(),
            prefix: prefix.into(),
            method,
            on: Vec::new(),
            to: Vec::new(),
            source,
            owner: None,
            remaining_seconds: None,
            persist: false,
            active: true,
        }
    }

    #[test]
    fn rules_stand_in_aligned_columns() {
        let added = Rule {
            on: vec!["wan".into(), "dsl".into()],
            owner: Some("docker".into()),
            remaining_seconds: Some(90),
            persist: true,
            ..rule("2001:db8::/64", RuleMethod::Static, RuleSource::Added)
        };
        let to = Rule {
            to: vec!["br-lan".into()],
            ..rule("2001:db8::/76", RuleMethod::Probe, RuleSource::File)
        };
        let rules = [added, to, rule("auto", RuleMethod::Probe, RuleSource::BuiltIn)];
        let expected = "\
RELAY  PREFIX         METHOD  ON       TO      SOURCE    OWNER    LEFT  KEPT
home   2001:db8::/64  static  wan,dsl  -       added     docker  1m30s  yes
home   2001:db8::/76  probe   all      br-lan  file      -           -  -
home   auto           probe   all      others  built-in  -           -  -
";
        assert_eq!(text(&rules), expected);
    }
}
