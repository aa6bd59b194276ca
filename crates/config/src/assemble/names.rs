//! Remarks on what is said about names that does not fit together, or does nothing.

use magpie_engine::Addresses;

use super::Assembly;
use super::check::is_plural;
use crate::draft::{self, NameRule, word};
use crate::read::{Place, Placed};

impl Assembly<'_> {
    pub(super) fn check_names(&mut self, draft: &draft::Relay, links: &[Placed<String>]) {
        let model = &draft.model;
        if !model.neighbor_discovery {
            self.check_without_neighbor_discovery(draft);
        }
        let Some(mdns) = &model.mdns else { return };
        if self.linked
            && let [only] = links
            && !is_plural(only)
        {
            self.remarks.push(
                draft
                    .mdns
                    .place
                    .error(format!(
                        "`{}` is the only link: names have nowhere to cross to",
                        only.value
                    ))
                    .label(format!("this {} needs another link for it", word(model.kind))),
            );
            return;
        }
        if mdns.addresses == Addresses::Reachable
            && !model.neighbor_discovery
            && let Some(place) = &draft.mdns.addresses
        {
            self.remarks.push(
                place
                    .warning("without Neighbor Discovery nothing is known of what is reachable")
                    .label("the same as \"all\" then"),
            );
        }
        let rules = || draft.mdns.allow.iter().chain(&draft.mdns.deny);
        let before = self.remarks.len();
        for rule in rules() {
            self.check_are_links(model.kind, &rule.from, links);
            self.check_are_links(model.kind, &rule.to, links);
        }
        if self.remarks.len() > before {
            return;
        }
        for rule in rules() {
            self.check_way(rule, links);
        }
        self.check_name_shadows(&draft.mdns, links);
    }

    /// What does neither Neighbor Discovery nor names does nothing; and what is said about Neighbor
    /// Discovery then has no effect.
    fn check_without_neighbor_discovery(&mut self, draft: &draft::Relay) {
        let place = draft.neighbor_discovery.as_ref().unwrap_or(&draft.place);
        if draft.model.mdns.is_none() {
            self.remarks.push(
                place
                    .error(format!("this {} does nothing", word(draft.model.kind)))
                    .label("neither Neighbor Discovery nor names are relayed")
                    .help("add `mdns = true`"),
            );
            return;
        }
        let rule = draft.rules.first().map(|rule| &rule.prefix.place);
        let entry = draft.allow.iter().chain(&draft.deny).next().map(|entry| &entry.place);
        if let Some(other) = rule.or(draft.prefixes.as_ref()).or(entry) {
            self.remarks.push(without_effect(other, "it is about Neighbor Discovery").also_in(
                place.source,
                place.span.clone(),
                "which is not worked on",
            ));
        }
    }

    /// An entry that goes from one link to the same covers nothing.
    fn check_way(&mut self, rule: &NameRule, links: &[Placed<String>]) {
        let from = if rule.from.is_empty() { links } else { &rule.from };
        let to = if rule.to.is_empty() { links } else { &rule.to };
        let apart =
            |from: &Placed<String>, to: &Placed<String>| from.value != to.value || is_plural(from);
        if from.is_empty() || from.iter().any(|from| to.iter().any(|to| apart(from, to))) {
            return;
        }
        let place = rule.to.first().or(rule.from.first()).map(|link| &link.place);
        self.remarks.push(
            place
                .unwrap_or(&rule.subject.place)
                .error("this entry covers nothing")
                .label("names do not cross from a link to itself")
                .help("`from` is where a service or host is, `to` where it is seen"),
        );
    }

    /// Remarks on entries that an earlier one, or one that denies, leaves without effect.
    fn check_name_shadows(&mut self, mdns: &draft::Mdns, links: &[Placed<String>]) {
        let covers = |wide: &NameRule, narrow: &NameRule| {
            same(wide, narrow)
                && all_in(&narrow.from, &wide.from, links)
                && all_in(&narrow.to, &wide.to, links)
        };
        for (list, why) in
            [(&mdns.allow, "this allows them already"), (&mdns.deny, "this denies them already")]
        {
            for (index, rule) in list.iter().enumerate() {
                let Some(first) = list.iter().take(index).find(|first| covers(first, rule)) else {
                    continue;
                };
                let place = &first.subject.place;
                self.remarks.push(
                    without_effect(&rule.subject.place, "no name is left for it").also_in(
                        place.source,
                        place.span.clone(),
                        why,
                    ),
                );
            }
        }
        for rule in &mdns.allow {
            let Some(deny) = mdns.deny.iter().find(|deny| covers(deny, rule)) else { continue };
            let place = &deny.subject.place;
            self.remarks.push(
                without_effect(&rule.subject.place, "what denies beats what allows").also_in(
                    place.source,
                    place.span.clone(),
                    "this denies them all",
                ),
            );
        }
    }
}

fn without_effect(place: &Place, label: &str) -> crate::Diagnostic {
    place.warning("this has no effect").label(label)
}

/// Whether two entries are about the same names.
fn same(one: &NameRule, other: &NameRule) -> bool {
    use magpie_engine::Subject::{Host, Instance, Service, Subtype};
    match (&one.subject.value, &other.subject.value) {
        (Service(one), Service(other))
        | (Subtype(one), Subtype(other))
        | (Instance(one), Instance(other))
        | (Host(one), Host(other)) => one.eq_ignore_ascii_case(other),
        _ => false,
    }
}

/// Whether all links of a narrow list are in a wide one; an empty list is all of them.
fn all_in(narrow: &[Placed<String>], wide: &[Placed<String>], links: &[Placed<String>]) -> bool {
    let narrow = if narrow.is_empty() { links } else { narrow };
    wide.is_empty() || narrow.iter().all(|link| wide.iter().any(|other| other.value == link.value))
}
