//! Puts drafts together to a configuration, and remarks on what only several tables together show
//! to be wrong.

mod check;

use std::collections::BTreeMap;

use crate::Diagnostic;
use crate::draft::{self, Drafts, Entry};
use crate::model::{self, Kind};
use crate::read::{Place, Placed, listed};
use crate::suggest::closest;

/// Puts everything together; `linked` says that each relay must have enough links.
pub(crate) fn assemble(
    drafts: Drafts,
    linked: bool,
    remarks: &mut Vec<Diagnostic>,
) -> model::Config {
    let mut owners = BTreeMap::new();
    let relays = drafts
        .relays
        .into_iter()
        .map(|draft| {
            let relay = Assembly { linked, remarks: &mut *remarks, owners: &mut owners };
            relay.assemble(draft)
        })
        .collect();
    model::Config { daemon: drafts.daemon, relays, comments: Vec::new() }
}

/// Which relay has a link, and where that is said.
type Owners = BTreeMap<String, (String, Place)>;

struct Assembly<'a> {
    linked: bool,
    remarks: &'a mut Vec<Diagnostic>,
    owners: &'a mut Owners,
}

impl Assembly<'_> {
    fn assemble(mut self, mut draft: draft::Relay) -> model::Relay {
        let asked = self.asked_links(&mut draft);
        let mut links = asked.clone();
        if draft.model.kind == Kind::Responder {
            for to in draft.rules.iter().flat_map(|rule| &rule.to) {
                if !links.iter().any(|link| link.value == to.value) {
                    links.push(to.clone());
                }
            }
        }
        self.claim(&draft.model.name, &links);
        if !draft.incomplete {
            self.check_links(&draft, &asked, &links);
            for rule in &draft.rules {
                self.check_rule(&draft, rule, &asked, &links);
            }
        }
        self.check_shadows(&draft.rules, &asked);

        let mut relay = draft.model;
        relay.links = links
            .iter()
            .map(|link| {
                let only_probed = !asked.iter().any(|asked| asked.value == link.value);
                model::Link { only_probed, ..relay.link(&link.value) }
            })
            .collect();
        for table in draft.link_tables {
            let Some(link) = relay.links.iter_mut().find(|link| link.name == table.name.value)
            else {
                continue;
            };
            link.role = table.role.or(link.role);
            table.options.apply(&mut link.options);
            table.answers.apply(&mut link.answers);
            link.allow.extend(table.allow.iter().map(|entry| entry.pattern.clone()));
            link.deny.extend(table.deny.iter().map(|entry| entry.pattern.clone()));
            self.check_expressions(&table.allow);
            self.check_expressions(&table.deny);
        }
        self.check_expressions(&draft.allow);
        self.check_expressions(&draft.deny);
        let patterns = |list: Vec<Entry>| list.into_iter().map(|entry| entry.pattern).collect();
        relay.allow = patterns(draft.allow);
        relay.deny = patterns(draft.deny);
        relay.rules = draft.rules.into_iter().map(rule).collect();
        relay
    }

    /// The links that are asked on. Tables and rules about links that a later file took out of
    /// `links` are dropped.
    fn asked_links(&mut self, draft: &mut draft::Relay) -> Vec<Placed<String>> {
        let mut links = draft.links.clone();
        let mut seen: Vec<Placed<String>> = Vec::new();
        for table in &draft.link_tables {
            let place = &table.name.place;
            let twice = seen.iter().find(|earlier| {
                earlier.value == table.name.value && earlier.place.source == place.source
            });
            if let Some(earlier) = twice {
                self.remarks.push(
                    place
                        .error(format!("two tables about the link `{}`", table.name.value))
                        .label("the second")
                        .also(earlier.place.span.clone(), "the first"),
                );
            }
            seen.push(table.name.clone());
            if links.iter().any(|link| link.value == table.name.value) {
                continue;
            }
            let name = &table.name.value;
            match draft.links_source {
                Some(given) if place.source == given => {
                    let all = draft.links.iter().map(|link| link.value.as_str());
                    let error = place
                        .error(format!("the link `{name}` is not among `links`"))
                        .help(format!("`links` has: {}", listed(all.clone())));
                    self.remarks.push(match closest(name, all) {
                        Some(meant) => error.label(format!("did you mean `{meant}`?")),
                        None => error.label("add it to `links`"),
                    });
                    // Rules about it are not wrong once more.
                    links.push(table.name.clone());
                }
                Some(given) if place.source < given => self.remarks.push(
                    place
                        .warning(format!("the link `{name}` is not among the links"))
                        .label("a later file replaced `links`: this table has no effect"),
                ),
                _ => links.push(table.name.clone()),
            }
        }
        let has = |name: &String| links.iter().any(|link| link.value == *name);
        draft.link_tables.retain(|table| has(&table.name.value));
        draft.rules.retain(|rule| rule.of_link.as_ref().is_none_or(has));
        links
    }

    /// Notes whose the links are; each can be in one relay or responder only.
    fn claim(&mut self, relay: &str, links: &[Placed<String>]) {
        for link in links {
            match self.owners.get(&link.value) {
                Some((owner, place)) if owner != relay => self.remarks.push(
                    link.place
                        .error(format!("the link `{}` is in `{owner}` and `{relay}`", link.value))
                        .label(format!("in `{relay}` here"))
                        .also_in(place.source, place.span.clone(), format!("in `{owner}` here"))
                        .help("a link can be in one relay or responder only"),
                ),
                _ => {
                    let owner = (relay.to_owned(), link.place.clone());
                    self.owners.insert(link.value.clone(), owner);
                }
            }
        }
    }
}

fn rule(draft: draft::Rule) -> model::Rule {
    let names = |links: Vec<Placed<String>>| links.into_iter().map(|link| link.value).collect();
    model::Rule {
        prefix: draft.prefix.value,
        method: draft.method.value,
        on: names(draft.on),
        to: names(draft.to),
        i_own_this_prefix: draft.i_own_this_prefix,
        comments: Vec::new(),
    }
}
