//! Puts drafts together to a configuration, and remarks on what only several tables together show
//! to be wrong.

mod check;
mod names;

use std::collections::BTreeMap;

use crate::Diagnostic;
use crate::draft::{self, Drafts, Entry};
use crate::model::{self, Kind, Selector};
use crate::read::{Place, Placed, listed};
use crate::suggest::closest;

/// Puts everything together; `linked` says that each relay must have enough links.
pub(crate) fn assemble(
    drafts: Drafts,
    linked: bool,
    remarks: &mut Vec<Diagnostic>,
) -> model::Config {
    let mut owners = BTreeMap::new();
    let mut patterns = Vec::new();
    let relays = drafts
        .relays
        .into_iter()
        .map(|draft| {
            let (owners, patterns) = (&mut owners, &mut patterns);
            Assembly { linked, remarks: &mut *remarks, owners, patterns }.assemble(draft)
        })
        .collect();
    model::Config { daemon: drafts.daemon, relays, comments: Vec::new() }
}

/// Which relay has a link, and where that is said.
type Owners = BTreeMap<String, (String, Place)>;

/// Links that can be several interfaces, and which relay has them.
type Patterns = Vec<(String, Placed<String>)>;

struct Assembly<'a> {
    linked: bool,
    remarks: &'a mut Vec<Diagnostic>,
    owners: &'a mut Owners,
    patterns: &'a mut Patterns,
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
            self.check_names(&draft, &links);
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
        if let Some(mdns) = &mut relay.mdns {
            mdns.allow = draft.mdns.allow.into_iter().map(name_rule).collect();
            mdns.deny = draft.mdns.deny.into_iter().map(name_rule).collect();
        }
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
                    let label = match (covering(name, all.clone()), closest(name, all)) {
                        (Some(wide), _) => format!("`{wide}` is not about it alone: add it"),
                        (None, Some(meant)) => format!("did you mean `{meant}`?"),
                        (None, None) => "add it to `links`".to_owned(),
                    };
                    self.remarks.push(error.label(label));
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
            let selector = Selector::of(&link.value);
            if selector.is_plural() {
                self.claim_several(relay, link, &selector);
                continue;
            }
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

    /// Notes whose interfaces are that are named together: of two links that mean the same ones,
    /// the first has them.
    fn claim_several(&mut self, relay: &str, link: &Placed<String>, selector: &Selector<'_>) {
        let covering =
            self.patterns.iter().find(|(_, text)| Selector::of(&text.value).covers(selector));
        match covering {
            Some((owner, earlier)) => self.remarks.push(
                link.place
                    .warning(format!("`{}` is left with no interface", link.value))
                    .label("the first that means an interface has it")
                    .also_in(
                        earlier.place.source,
                        earlier.place.span.clone(),
                        if owner == relay {
                            format!("`{}` means all of them", earlier.value)
                        } else {
                            format!("`{}` of `{owner}` means all of them", earlier.value)
                        },
                    ),
            ),
            None => self.patterns.push((relay.to_owned(), link.clone())),
        }
    }
}

/// The link among `all` that means what another one means, and more.
fn covering<'l>(name: &str, mut all: impl Iterator<Item = &'l str>) -> Option<&'l str> {
    let narrow = Selector::of(name);
    all.find(|wide| Selector::of(wide).covers(&narrow))
}

fn names(links: Vec<Placed<String>>) -> Vec<String> {
    links.into_iter().map(|link| link.value).collect()
}

fn name_rule(draft: draft::NameRule) -> model::NameRule {
    model::NameRule { subject: draft.subject.value, from: names(draft.from), to: names(draft.to) }
}

fn rule(draft: draft::Rule) -> model::Rule {
    model::Rule {
        prefix: draft.prefix.value,
        method: draft.method.value,
        on: names(draft.on),
        to: names(draft.to),
        i_own_this_prefix: draft.i_own_this_prefix,
        comments: Vec::new(),
    }
}
