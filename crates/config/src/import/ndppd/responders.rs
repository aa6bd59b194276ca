//! Makes responders of ndppd's proxies: one of all that have interfaces in common, since a link
//! belongs to one responder only.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use ipnet::Ipv6Net;
use magpie_engine::{Members, RoutePolicy, RouterFlag};

use super::super::remarks::{Remarks, comment, error, warning};
use super::keys::Dialect;
use super::{Proxy, Rule};
use crate::model::{self, Kind, Link, Method, Relay, RulePrefix};
use crate::value::SHORTEST_PREFIX;

/// Makes responders. Comments that belong to none are added to `comments`.
pub(super) fn make(
    proxies: Vec<Proxy>,
    dialect: Dialect,
    remarks: &mut Remarks,
    comments: &mut Vec<String>,
) -> Vec<Relay> {
    let mut proxies = proxies;
    let mut maker = Maker { dialect, remarks };
    maker.repeated(&mut proxies);
    let (useful, useless): (Vec<Proxy>, Vec<Proxy>) =
        proxies.into_iter().partition(|proxy| !proxy.rules.is_empty());
    for mut proxy in useless {
        comments.append(&mut proxy.comments);
    }
    connected(useful).into_iter().map(|proxies| maker.responder(proxies)).collect()
}

/// Sorts proxies into groups that have interfaces in common.
fn connected(proxies: Vec<Proxy>) -> Vec<Vec<Proxy>> {
    // Each group: its interfaces and its proxies.
    let mut groups: Vec<(BTreeSet<String>, Vec<Proxy>)> = Vec::new();
    for proxy in proxies {
        let mut names: BTreeSet<String> =
            proxy.rules.iter().filter_map(|rule| rule.to.clone()).collect();
        names.insert(proxy.interface.clone());
        let touches = |(others, _): &(BTreeSet<String>, Vec<Proxy>)| !others.is_disjoint(&names);
        let Some(first) = groups.iter().position(touches) else {
            groups.push((names, vec![proxy]));
            continue;
        };
        let mut members = Vec::new();
        let mut all = names.clone();
        groups.retain_mut(|(others, proxies)| {
            let apart = others.is_disjoint(&names);
            if !apart {
                all.append(others);
                members.append(proxies);
            }
            apart
        });
        members.push(proxy);
        groups.insert(first, (all, members));
    }
    groups.into_iter().map(|(_, proxies)| proxies).collect()
}

struct Maker<'r> {
    dialect: Dialect,
    remarks: &'r mut Remarks,
}

/// A rule of a proxy, with its asking link.
struct Asked {
    on: String,
    rule: model::Rule,
    span: Range<usize>,
}

impl Maker<'_> {
    /// Two sections for one interface.
    fn repeated(&mut self, proxies: &mut [Proxy]) {
        let mut last: BTreeMap<String, Range<usize>> = BTreeMap::new();
        for proxy in proxies.iter_mut().rev() {
            let Some(later) = last.get(&proxy.interface) else {
                last.insert(proxy.interface.clone(), proxy.span.clone());
                continue;
            };
            let message = match self.dialect {
                Dialect::V02 => "of two proxies for one interface, ndppd 0.2.5 uses the last only",
                Dialect::V10 => "ndppd 1.0 has one proxy for an interface, and does not start",
            };
            let said = self.remarks.warn(
                warning(&proxy.span, message)
                    .label("imported, as ndppd 0.2.6 does")
                    .also(later.clone(), "the last"),
            );
            comment(&mut proxy.comments, &said);
        }
    }

    fn responder(&mut self, proxies: Vec<Proxy>) -> Relay {
        let mut asking: Vec<String> = Vec::new();
        for proxy in &proxies {
            if !asking.contains(&proxy.interface) {
                asking.push(proxy.interface.clone());
            }
        }
        let mut relay = Relay::new(Kind::Responder, asking.clone());
        for proxy in &proxies {
            relay.comments.extend(proxy.comments.iter().cloned());
        }
        self.router_flags(&proxies, &mut relay);
        self.timing(&proxies, &mut relay);
        self.routes(&proxies, &mut relay);
        let mut rules = Vec::new();
        for proxy in proxies {
            let on = proxy.interface;
            rules.extend(proxy.rules.into_iter().map(|rule| asked(&on, rule)));
        }
        let mut rules = self.combined(rules);
        self.check_count(&rules);
        self.nested(&mut rules);
        for Asked { on, mut rule, .. } in rules {
            if asking.len() > 1 {
                rule.on = vec![on];
            }
            for name in &rule.to {
                if !relay.links.iter().any(|link| link.name == *name) {
                    let mut link = Link::new(name.clone());
                    link.only_probed = true;
                    link.answers = relay.answers;
                    relay.links.push(link);
                }
            }
            relay.rules.push(rule);
        }
        relay
    }

    fn check_count(&mut self, rules: &[Asked]) {
        let mut names = BTreeSet::new();
        for asked in rules {
            names.insert(asked.on.as_str());
            names.extend(asked.rule.to.iter().map(String::as_str));
            if names.len() > Members::MAX {
                self.remarks.error(
                    error(&asked.span, "these are too many interfaces for one responder")
                        .label(format!("there can be {}", Members::MAX)),
                );
                return;
            }
        }
    }

    /// The flag of most is the responder's, and the others have their own.
    fn router_flags(&mut self, proxies: &[Proxy], relay: &mut Relay) {
        let default = self.dialect == Dialect::V02;
        let mut flags: BTreeMap<&str, bool> = BTreeMap::new();
        for proxy in proxies {
            // The last one counts, as in 0.2.5.
            flags.insert(&proxy.interface, proxy.settings.router.unwrap_or(default));
        }
        let on = flags.values().filter(|on| **on).count();
        let flag = |on: bool| if on { RouterFlag::On } else { RouterFlag::Off };
        let common = on * 2 >= flags.len();
        relay.answers.router_flag = flag(common);
        for link in &mut relay.links {
            link.answers = relay.answers;
            if let Some(on) = flags.get(link.name.as_str()) {
                link.answers.router_flag = flag(*on);
            }
        }
        if proxies.iter().any(|proxy| proxy.settings.router.is_none()) {
            let said = match self.dialect {
                Dialect::V02 => {
                    "ndppd 0.2 sets the router flag unless it is told otherwise; router-flag = \
                     \"auto\" tells what each host says of itself."
                }
                Dialect::V10 => {
                    "ndppd 1.0 leaves the router flag out unless it is told otherwise; \
                     router-flag = \"auto\" tells what each host says of itself."
                }
            };
            comment(&mut relay.comments, said);
        }
    }

    /// A responder has one timing: the first that is written.
    fn timing(&mut self, proxies: &[Proxy], relay: &mut Relay) {
        let settings = || proxies.iter().map(|proxy| &proxy.settings);
        let interval = self.first(settings().filter_map(|it| it.probe_interval.as_ref()), relay);
        let hold_down = self.first(settings().filter_map(|it| it.hold_down.as_ref()), relay);
        let retries = self.first(settings().filter_map(|it| it.probe_retries.as_ref()), relay);
        if let Some(interval) = interval {
            relay.timing.probe_interval = interval;
        }
        if let Some(hold_down) = hold_down {
            relay.timing.hold_down = hold_down;
        }
        if let Some(retries) = retries {
            relay.timing.probe_retries = retries;
        }
    }

    /// The first of some values; a warning for each that differs.
    fn first<'s, T: Copy + PartialEq + 's>(
        &mut self,
        mut values: impl Iterator<Item = &'s (T, Range<usize>)>,
        relay: &mut Relay,
    ) -> Option<T> {
        let (first, place) = values.next()?;
        for (value, other) in values {
            if value != first {
                let said = self.remarks.warn(
                    warning(other, "links of one responder have this in common in Magpie")
                        .label("not imported")
                        .also(place.clone(), "imported"),
                );
                comment(&mut relay.comments, &said);
            }
        }
        Some(*first)
    }

    fn routes(&mut self, proxies: &[Proxy], relay: &mut Relay) {
        let tables = proxies.iter().flat_map(|it| &it.rules).filter_map(|it| it.table.as_ref());
        let tables: Vec<_> = tables.collect();
        if let Some(table) = self.first(tables.into_iter(), relay) {
            relay.routes.table = Some(u32::from(table));
        }
        let wired: Vec<bool> = proxies
            .iter()
            .flat_map(|proxy| proxy.rules.iter().map(move |rule| (proxy, rule)))
            .filter(|(_, rule)| rule.method == Method::Probe)
            .map(|(proxy, rule)| {
                let autowire = match self.dialect {
                    Dialect::V02 => &proxy.settings.autowire,
                    Dialect::V10 => &rule.autowire,
                };
                autowire.as_ref().is_some_and(|(on, _)| *on)
            })
            .collect();
        if wired.is_empty() {
            return;
        }
        if wired.iter().any(|on| *on) {
            if wired.iter().any(|on| !*on) {
                comment(
                    &mut relay.comments,
                    "Some of the rules have no autowire: ndppd makes no routes to their hosts, \
                     and Magpie makes routes to all.",
                );
            }
            return;
        }
        relay.routes.policy = RoutePolicy::Needed;
        comment(
            &mut relay.comments,
            "There is no autowire: ndppd makes no routes. Magpie makes those without which the \
             kernel would not find a host that is answered for; routes = \"none\" is as ndppd.",
        );
    }

    /// Makes one rule of those for the same targets, asked for on the same link.
    fn combined(&mut self, rules: Vec<Asked>) -> Vec<Asked> {
        let mut places: BTreeMap<(String, Key), usize> = BTreeMap::new();
        let mut combined: Vec<Asked> = Vec::new();
        for next in rules {
            let place = (next.on.clone(), key(next.rule.prefix));
            match places.get(&place).and_then(|at| combined.get_mut(*at)) {
                None => {
                    places.insert(place, combined.len());
                    combined.push(next);
                }
                Some(earlier) => match self.dialect {
                    Dialect::V02 => self.union(earlier, next),
                    Dialect::V10 => self.replaced(earlier, next),
                },
            }
        }
        combined
    }

    /// ndppd 0.2 asks on the interfaces of all rules that match, and answers at once if one of
    /// them is static.
    fn union(&mut self, earlier: &mut Asked, mut next: Asked) {
        let (kept, dropped) = match (earlier.rule.method, next.rule.method) {
            (Method::Probe, Method::Probe) => {
                for name in next.rule.to {
                    if !earlier.rule.to.contains(&name) {
                        earlier.rule.to.push(name);
                    }
                }
                earlier.rule.comments.append(&mut next.rule.comments);
                return;
            }
            (Method::Route, Method::Probe) | (_, Method::Static) => {
                std::mem::swap(earlier, &mut next);
                (earlier, next)
            }
            _ => (earlier, next),
        };
        let mut comments = dropped.rule.comments;
        comments.append(&mut kept.rule.comments);
        kept.rule.comments = comments;
        if kept.rule.method == dropped.rule.method {
            return;
        }
        let message = match kept.rule.method {
            Method::Static => "a static rule for the same targets answers before this one can",
            _ => "ndppd asks on the interface of a route too: Magpie has one method for a prefix",
        };
        let said = self.remarks.warn(
            warning(&dropped.span, message)
                .label("left out")
                .also(kept.span.clone(), "the rule that is imported"),
        );
        comment(&mut kept.rule.comments, &said);
    }

    /// ndppd 1.0 uses the last rule that matches.
    fn replaced(&mut self, earlier: &mut Asked, mut next: Asked) {
        std::mem::swap(earlier, &mut next);
        let said = self.remarks.warn(
            warning(&next.span, "ndppd 1.0 uses the last rule of those that match")
                .label("left out")
                .also(earlier.span.clone(), "the last"),
        );
        comment(&mut earlier.rule.comments, &said);
    }

    /// Points out rules within others: the longest prefix wins here.
    fn nested(&mut self, rules: &mut [Asked]) {
        let mut known: BTreeMap<(String, Ipv6Net), usize> = BTreeMap::new();
        for (at, asked) in rules.iter().enumerate() {
            if let RulePrefix::Net(net) = asked.rule.prefix {
                known.insert((asked.on.clone(), net), at);
            }
        }
        let mut found = Vec::new();
        for (at, inner) in rules.iter().enumerate() {
            let RulePrefix::Net(net) = inner.rule.prefix else { continue };
            let outer = (SHORTEST_PREFIX..net.prefix_len()).rev().find_map(|length| {
                let outer = Ipv6Net::new(net.addr(), length).ok()?.trunc();
                known.get(&(inner.on.clone(), outer)).copied()
            });
            let Some((place, outer)) = outer.and_then(|at| Some((at, rules.get(at)?))) else {
                continue;
            };
            let alike = outer.rule.method == inner.rule.method && outer.rule.to == inner.rule.to;
            // The last rule is the one that ndppd 1.0 uses anyway.
            if alike || (self.dialect == Dialect::V10 && place < at) {
                continue;
            }
            found.push((at, inner.span.clone(), outer.span.clone()));
        }
        for (at, inner, outer) in found {
            let message = match self.dialect {
                Dialect::V02 => {
                    "ndppd 0.2 does what both rules say: here only the longer one counts"
                }
                Dialect::V10 => "ndppd 1.0 uses the last rule: here the longer one counts",
            };
            let said = self.remarks.warn(
                warning(&inner, message).label("counts in Magpie").also(outer, "contains it"),
            );
            if let Some(asked) = rules.get_mut(at) {
                comment(&mut asked.rule.comments, &said);
            }
        }
    }
}

/// Makes a rule of Magpie's.
fn asked(on: &str, rule: Rule) -> Asked {
    let mut made = model::Rule::new(rule.prefix, rule.method);
    made.to.extend(rule.to);
    made.comments = rule.comments;
    match rule.method {
        Method::Static => {
            made.i_own_this_prefix = true;
            if !matches!(rule.prefix, RulePrefix::Net(net) if net.prefix_len() == 128) {
                comment(
                    &mut made.comments,
                    "Like ndppd, this answers for addresses that no host has; method = \"probe\" \
                     or \"route\" does not.",
                );
            }
        }
        Method::Route => comment(
            &mut made.comments,
            "ndppd asks on the interface of the route; this answers if there is a route out of \
             another link. With method = \"probe\" the target itself is asked.",
        ),
        Method::Probe | Method::Deny => {}
    }
    Asked { on: on.to_owned(), rule: made, span: rule.span }
}

/// Prefixes in an order; `None` is `auto`.
type Key = Option<Ipv6Net>;

fn key(prefix: RulePrefix) -> Key {
    match prefix {
        RulePrefix::Auto => None,
        RulePrefix::Net(net) => Some(net),
    }
}
