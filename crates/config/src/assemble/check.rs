//! Remarks on links, rules and lists that do not fit together, or do nothing.

use std::collections::BTreeMap;
use std::ops::Range;

use ipnet::Ipv6Net;
use magpie_engine::{Expressions, Members};

use super::{Assembly, covering};
use crate::draft::{self, Entry, word};
use crate::model::{Kind, Method, Pattern, RulePrefix, Selector};
use crate::read::{Place, Placed, listed};
use crate::suggest::closest;
use crate::value::SHORTEST_PREFIX;

impl Assembly<'_> {
    pub(super) fn check_links(
        &mut self,
        draft: &draft::Relay,
        asked: &[Placed<String>],
        links: &[Placed<String>],
    ) {
        let kind = draft.model.kind;
        match (kind, asked) {
            _ if !self.linked => {}
            (Kind::Relay, []) => self.remarks.push(
                draft
                    .place
                    .error("this relay has no links")
                    .label("expected a key `links` below, with two or more")
                    .help("for example `links = [\"wan\", \"br-lan\"]`"),
            ),
            (Kind::Relay, [only]) if !is_plural(only) => self.remarks.push(
                only.place
                    .error(format!("`{}` alone is no relay", only.value))
                    .label("a relay has two links or more")
                    .help(
                        "to answer on one link by rules, make it a `[[responder]]`; several that \
                         come and go can be one link, as in `veth*`",
                    ),
            ),
            (Kind::Responder, []) => self.remarks.push(
                draft
                    .place
                    .error("this responder has no links")
                    .label("expected a key `links` below: where it shall answer")
                    .help("for example `links = [\"wan\"]`"),
            ),
            _ => {}
        }
        if let Some(first) = links.get(Members::MAX) {
            self.remarks.push(
                first
                    .place
                    .error(format!("a {} has at most {} links", word(kind), Members::MAX))
                    .label(format!("one too many, of {}", links.len())),
            );
        }
        if kind == Kind::Responder && !draft.ruled && draft.model.neighbor_discovery {
            self.remarks.push(
                draft
                    .place
                    .warning("this responder has no rules")
                    .label("it answers nothing")
                    .help("add `[[responder.rule]]` with `prefix` and `method`"),
            );
        }
    }

    pub(super) fn check_rule(
        &mut self,
        draft: &draft::Relay,
        rule: &draft::Rule,
        asked: &[Placed<String>],
        links: &[Placed<String>],
    ) {
        let kind = word(draft.model.kind);
        let before = self.remarks.len();
        self.check_are_links(draft.model.kind, &rule.on, asked);
        self.check_are_links(draft.model.kind, &rule.to, links);
        if self.remarks.len() == before {
            self.check_probe(rule, asked, links);
        }
        let prefixes = &draft.model.prefixes;
        if rule.prefix.value == RulePrefix::Auto && !prefixes.auto && prefixes.listed.is_empty() {
            let error = rule
                .prefix
                .place
                .error(format!("`auto` means the prefixes of the {kind}, which has none"))
                .label("matches nothing");
            self.remarks.push(match &draft.prefixes {
                Some(place) => error.also_in(place.source, place.span.clone(), "none here"),
                None => error,
            });
        }
        if rule.method.value == Method::Static {
            if draft.model.kind == Kind::Relay {
                self.check_static_in_relay(rule);
            }
            if !rule.i_own_this_prefix {
                self.check_static(rule);
            }
        }
    }

    /// Rules can name only links that there are.
    pub(super) fn check_are_links(
        &mut self,
        kind: Kind,
        names: &[Placed<String>],
        known: &[Placed<String>],
    ) {
        for link in names {
            if known.iter().any(|known| known.value == link.value) {
                continue;
            }
            let all = known.iter().map(|known| known.value.as_str());
            let error = link
                .place
                .error(format!("this {} has no link `{}`", word(kind), link.value))
                .help(format!("its links are: {}", listed(all.clone())));
            let label = match (covering(&link.value, all.clone()), closest(&link.value, all)) {
                (Some(wide), _) => format!("it has `{wide}`, which rules name in whole"),
                (None, Some(meant)) => format!("did you mean `{meant}`?"),
                (None, None) => "not among its links".to_owned(),
            };
            self.remarks.push(error.label(label));
        }
    }

    /// A rule that looks on no other link than the asking one finds nothing.
    fn check_probe(
        &mut self,
        rule: &draft::Rule,
        asked: &[Placed<String>],
        links: &[Placed<String>],
    ) {
        if rule.method.value != Method::Probe {
            return;
        }
        let on = if rule.on.is_empty() { asked } else { &rule.on };
        let to = if rule.to.is_empty() { links } else { &rule.to };
        // One of several interfaces looks on the others.
        let apart =
            |on: &Placed<String>, to: &Placed<String>| to.value != on.value || is_plural(on);
        let somewhere = on.iter().any(|on| to.iter().any(|to| apart(on, to)));
        if somewhere || on.is_empty() {
            return;
        }
        self.remarks.push(match rule.to.first() {
            Some(to) => to
                .place
                .error("this rule has nowhere to look")
                .label("the asking link itself is never asked")
                .help("name another link in `to`, or leave it out to mean all others"),
            None => rule
                .method
                .place
                .error("this rule has nowhere to look")
                .label("there is no link but the asking one")
                .help("name the link where the targets are: `to = [\"br-lan\"]`"),
        });
    }

    fn check_static(&mut self, rule: &draft::Rule) {
        let message = match rule.prefix.value {
            RulePrefix::Net(net) if net.prefix_len() >= LONG_PREFIX => return,
            RulePrefix::Net(net) => format!("this answers for every address of {net}"),
            RulePrefix::Auto => "this answers for every address of the prefixes".to_owned(),
        };
        self.remarks.push(
            rule.prefix
                .place
                .warning(message)
                .label("also for hosts that do not exist: senders never learn that they do not")
                .help(
                    "`method = \"probe\"` or `\"route\"` answers for those that do; if the whole \
                     prefix is yours, say so: `i-own-this-prefix = true`",
                ),
        );
    }

    /// A relay looks for no target that is answered for without looking, so it makes no route.
    fn check_static_in_relay(&mut self, rule: &draft::Rule) {
        let targets = match rule.prefix.value {
            RulePrefix::Net(net) if net.prefix_len() == 128 => return,
            RulePrefix::Net(net) => format!("in {net}"),
            RulePrefix::Auto => "in its prefixes".to_owned(),
        };
        self.remarks.push(
            rule.prefix
                .place
                .warning(format!("this keeps the relay from finding hosts {targets}"))
                .label("`static` answers without looking, and makes no routes")
                .help(
                    "`method = \"probe\"` finds the hosts and keeps a route to each; with `static` \
                     the kernel has to know already where they are",
                ),
        );
    }

    /// Remarks on rules that never decide anything: an earlier one has the same prefix, or one
    /// that denies covers them, on the same links.
    pub(super) fn check_shadows(&mut self, rules: &[draft::Rule], asked: &[Placed<String>]) {
        let on = |rule: &draft::Rule| -> Vec<String> {
            let links = if rule.on.is_empty() { asked } else { &rule.on };
            links.iter().map(|link| link.value.clone()).collect()
        };
        let mut denying: BTreeMap<Option<Ipv6Net>, Vec<&draft::Rule>> = BTreeMap::new();
        for rule in rules.iter().filter(|rule| rule.method.value == Method::Deny) {
            denying.entry(net(rule)).or_default().push(rule);
        }
        let mut earlier: BTreeMap<Option<Ipv6Net>, Vec<&draft::Rule>> = BTreeMap::new();
        for rule in rules {
            let mine = on(rule);
            let covers = |other: &&&draft::Rule| {
                let theirs = on(other);
                mine.iter().all(|link| theirs.contains(link))
            };
            let same = earlier.entry(net(rule)).or_default();
            let first = if rule.method.value == Method::Deny {
                let deny = |other: &&&draft::Rule| other.method.value == Method::Deny;
                same.iter().filter(deny).find(covers).copied()
            } else {
                let deny = prefixes_over(net(rule))
                    .filter_map(|net| denying.get(&net))
                    .flatten()
                    .find(covers)
                    .copied();
                deny.or_else(|| same.iter().find(covers).copied())
            };
            same.push(rule);
            let Some(first) = first else { continue };
            let why = match first.method.value {
                Method::Deny => "this denies them already, and that beats all",
                _ => "this decides already",
            };
            let place = &first.prefix.place;
            self.remarks.push(
                rule.prefix
                    .place
                    .warning("this rule never decides anything")
                    .label("no target is left for it")
                    .also_in(place.source, place.span.clone(), why),
            );
        }
    }

    /// Compiles the expressions of one list, which share their variables.
    pub(super) fn check_expressions(&mut self, list: &[Entry]) {
        let mut lines: Vec<(&Entry, &str)> = list
            .iter()
            .filter_map(|entry| match &entry.pattern {
                Pattern::Expression(text) => Some((entry, text.as_str())),
                _ => None,
            })
            .collect();
        let place = |entry: &Entry, part: &Range<usize>| match entry.expression {
            Some(start) => {
                let span = start + part.start..start + part.end;
                Place { source: entry.place.source, span }
            }
            None => entry.place.clone(),
        };
        loop {
            match Expressions::parse(lines.iter().map(|(_, text)| *text)) {
                Ok(expressions) => {
                    for doubt in expressions.warnings() {
                        let Some((entry, _)) = lines.get(doubt.line) else { continue };
                        self.remarks.push(
                            place(entry, &doubt.span)
                                .warning("this expression is probably not what is meant")
                                .help(doubt.kind.to_string()),
                        );
                    }
                    return;
                }
                Err(error) => {
                    if error.line >= lines.len() {
                        return;
                    }
                    let (entry, _) = lines.remove(error.line);
                    self.remarks.push(
                        place(entry, &error.span)
                            .error("this is not an expression")
                            .label(error.kind.to_string()),
                    );
                }
            }
        }
    }
}

/// Whether a link can be several interfaces.
pub(super) fn is_plural(link: &Placed<String>) -> bool {
    Selector::of(&link.value).is_plural()
}

/// The prefix of a rule, if it does not change.
fn net(rule: &draft::Rule) -> Option<Ipv6Net> {
    match rule.prefix.value {
        RulePrefix::Auto => None,
        RulePrefix::Net(net) => Some(net),
    }
}

/// All prefixes that contain one, itself included.
fn prefixes_over(net: Option<Ipv6Net>) -> impl Iterator<Item = Option<Ipv6Net>> {
    let longest = net.map_or(SHORTEST_PREFIX, |net| net.prefix_len());
    (SHORTEST_PREFIX..=longest).rev().map(move |length| {
        net.and_then(|net| Ipv6Net::new(net.addr(), length).ok()).map(|net| net.trunc())
    })
}

/// From this length on, answering for all addresses is what an operator oversees.
const LONG_PREFIX: u8 = 120;
