//! Turns a relay as it is configured into what the engine works with: names become positions.

use magpie_engine::{
    AddressSet, Config, Expressions, LinkConfig, List, ListKind, Member, Members, Prefixes, Rules,
};

use crate::model::{Kind, Link, Mdns, Method, NameRule, Pattern, Relay, Role, Rule, RulePrefix};

impl Relay {
    /// Returns the engine's configuration. The position of a link in `links` is its
    /// [`Member`]; a relay gets its implicit last rule.
    ///
    /// A name in a rule that is none of the links is as if it were not there: a rule whose `on`
    /// has only such names decides nothing, and one whose `to` has only such names finds nothing.
    pub fn engine_config(&self) -> Config {
        Config {
            prefixes: Prefixes {
                learned: self.prefixes.auto,
                listed: self.prefixes.listed.clone(),
            },
            rules: Rules::new(self.engine_rules(), self.engine_lists()),
            links: self.links.iter().map(|link| self.engine_link(link)).collect(),
            neighbor_discovery: self.neighbor_discovery,
            mdns: self.mdns.as_ref().map(|mdns| self.engine_mdns(mdns)),
            routes: self.routes.policy,
            timing: self.timing,
            limits: self.limits,
        }
    }

    /// The port for answers to legacy queries is reserved when the daemon runs.
    fn engine_mdns(&self, mdns: &Mdns) -> magpie_engine::Mdns {
        let rule = |rule: &NameRule| magpie_engine::NameRule {
            from: self.members_named(&rule.from),
            to: self.members_named(&rule.to),
            subject: rule.subject.clone(),
        };
        magpie_engine::Mdns {
            cross_families: mdns.cross_families,
            addresses: mdns.addresses,
            allow: mdns.allow.iter().map(rule).collect(),
            deny: mdns.deny.iter().map(rule).collect(),
            conflicts: mdns.conflicts,
            legacy: mdns.legacy,
            legacy_port: None,
            other_services: mdns.other_services.clone(),
            limits: mdns.limits,
        }
    }

    fn members_named(&self, names: &[String]) -> Members {
        match names {
            [] => Members::ALL,
            names => self.members(|link| names.contains(&link.name)),
        }
    }

    fn engine_rules(&self) -> Vec<magpie_engine::Rule> {
        let mut rules: Vec<_> = self.rules.iter().map(|rule| self.engine_rule(rule)).collect();
        if self.kind == Kind::Relay {
            rules.push(magpie_engine::Rule {
                prefix: magpie_engine::RulePrefix::Subnet,
                on: self.asked(),
                method: magpie_engine::Method::Probe { to: Members::ALL },
            });
        }
        rules
    }

    fn engine_rule(&self, rule: &Rule) -> magpie_engine::Rule {
        let asked = self.asked();
        let on = match rule.on.as_slice() {
            [] => asked,
            names => self.members(|link| !link.only_probed && names.contains(&link.name)),
        };
        let method = match rule.method {
            Method::Static => magpie_engine::Method::Static,
            Method::Route => magpie_engine::Method::Route,
            Method::Deny => magpie_engine::Method::Deny,
            Method::Probe => magpie_engine::Method::Probe { to: self.members_named(&rule.to) },
        };
        let prefix = match rule.prefix {
            RulePrefix::Auto => magpie_engine::RulePrefix::Subnet,
            RulePrefix::Net(net) => magpie_engine::RulePrefix::Net(net),
        };
        magpie_engine::Rule { prefix, on, method }
    }

    fn engine_lists(&self) -> Vec<List> {
        let of_relay = [(Members::ALL, &self.allow, &self.deny)];
        let of_links = self
            .links
            .iter()
            .enumerate()
            .map(|(index, link)| (Members::from_iter(member(index)), &link.allow, &link.deny));
        of_relay
            .into_iter()
            .chain(of_links)
            .flat_map(|(on, allow, deny)| {
                [(on, ListKind::Allow, allow), (on, ListKind::Deny, deny)]
            })
            .filter(|(_, _, patterns)| !patterns.is_empty())
            .map(|(on, kind, patterns)| List { on, kind, addresses: addresses(kind, patterns) })
            .collect()
    }

    fn engine_link(&self, link: &Link) -> LinkConfig {
        let roles = self.links.iter().any(|link| link.role == Some(Role::Upstream));
        LinkConfig {
            shows_subnet: !link.only_probed && (!roles || link.role == Some(Role::Upstream)),
            plural: link.is_plural(),
            announce: link.options.announce,
            na_source: link.answers.na_source,
            router_flag: link.answers.router_flag,
            answer_delay: link.answers.answer_delay,
        }
    }

    /// The links that are asked on.
    fn asked(&self) -> Members {
        if self.links.iter().any(|link| link.only_probed) {
            self.members(|link| !link.only_probed)
        } else {
            Members::ALL
        }
    }

    fn members(&self, wanted: impl Fn(&Link) -> bool) -> Members {
        let links = self.links.iter().enumerate().filter(|(_, link)| wanted(link));
        links.filter_map(|(index, _)| member(index)).collect()
    }
}

fn member(index: usize) -> Option<Member> {
    u8::try_from(index).ok().map(Member)
}

fn addresses(kind: ListKind, patterns: &[Pattern]) -> AddressSet {
    let mut set = AddressSet::default();
    let mut expressions = Vec::new();
    for pattern in patterns {
        match pattern {
            Pattern::Prefix(net) => set.insert_prefix(*net),
            Pattern::Range(first, last) => set.insert_range(*first, *last),
            Pattern::InterfaceIdentifier { mask, value } => {
                set.insert_interface_identifier(*mask, *value);
            }
            Pattern::Oui(oui) => set.insert_oui(*oui),
            Pattern::Expression(text) => expressions.push(text),
        }
    }
    match Expressions::parse(expressions) {
        Ok(expressions) => set.set_expressions(expressions),
        // Files with such a thing are refused. What cannot be told is not answered for.
        Err(_) if kind == ListKind::Deny => set.insert_prefix(ipnet::Ipv6Net::default()),
        Err(_) => {}
    }
    set
}
