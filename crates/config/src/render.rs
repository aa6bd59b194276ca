//! Writes a configuration down as a file that says the same.

use std::fmt::Write as _;
use std::time::Duration;

use magpie_engine::{Limits, MdnsLimits, Timing};

use crate::limits::{Cap, each_cap, each_mdns_cap};
use crate::model::{
    Answers, Config, Daemon, Kind, Link, LinkOptions, Mdns, NameRule, Pattern, Prefixes, Relay,
    Routes, Rule,
};
use crate::value::{SubjectKind, duration_text};
use crate::words::{self, AUTO};

/// Writes a configuration down, with its comments; what has its default value is left out.
///
/// Reading it gives the same configuration, without the comments.
pub fn render(config: &Config) -> String {
    Writer { text: String::new(), complete: false }.config(config)
}

/// Writes a configuration down, with its comments and all values, also those that are defaults.
///
/// Reading it gives the same configuration, without the comments.
pub fn render_complete(config: &Config) -> String {
    Writer { text: String::new(), complete: true }.config(config)
}

struct Writer {
    text: String,
    /// Also write what has its default value.
    complete: bool,
}

impl Writer {
    fn config(mut self, config: &Config) -> String {
        self.comments(&config.comments);
        self.daemon(&config.daemon);
        for relay in &config.relays {
            self.relay(relay);
        }
        self.text
    }

    fn daemon(&mut self, daemon: &Daemon) {
        let default = Daemon::default();
        if !self.complete && *daemon == default {
            return;
        }
        self.header("[daemon]", &[]);
        if let Some(path) = &daemon.control {
            self.set("control", &quoted(&path.to_string_lossy()));
        }
        if let Some(path) = &daemon.state_file {
            self.set("state-file", &quoted(&path.to_string_lossy()));
        }
        let level = (!self.complete).then_some(&default.log_level);
        self.word("log-level", &words::LOG_LEVELS, &daemon.log_level, level);
        self.value("fix-sysctls", &daemon.fix_sysctls, &default.fix_sysctls);
    }

    fn relay(&mut self, relay: &Relay) {
        let kind = match relay.kind {
            Kind::Relay => "relay",
            Kind::Responder => "responder",
        };
        let mut comments = relay.comments.clone();
        // Links that only rules name have no table that their comments could stand above.
        let unnamed = relay.links.iter().filter(|link| link.only_probed);
        comments.extend(unnamed.flat_map(|link| link.comments.iter().cloned()));
        self.header(&format!("[[{kind}]]"), &comments);
        let asked: Vec<&Link> = relay.links.iter().filter(|link| !link.only_probed).collect();
        let names: Vec<String> = asked.iter().map(|link| link.name.clone()).collect();
        if self.complete || relay.name != Relay::default_name(names.iter().map(String::as_str)) {
            self.set("name", &quoted(&relay.name));
        }
        if !names.is_empty() {
            self.list("links", &names);
        }
        if self.complete || relay.prefixes != Prefixes::default() {
            let auto = relay.prefixes.auto.then(|| "auto".to_owned());
            let listed = relay.prefixes.listed.iter().map(ToString::to_string);
            self.list("prefixes", &auto.into_iter().chain(listed).collect::<Vec<_>>());
        }
        let default = (!self.complete).then(Answers::default);
        self.answers(&relay.answers, default.as_ref());
        let default = (!self.complete).then(LinkOptions::default);
        self.options(relay.options, default);
        self.routes(&relay.routes);
        self.patterns("allow", &relay.allow);
        self.patterns("deny", &relay.deny);
        self.value("neighbor-discovery", &relay.neighbor_discovery, &true);
        if self.complete && relay.mdns.is_none() {
            self.set("mdns", "false");
        }
        self.timing(kind, &relay.timing);
        self.limits(kind, &relay.limits);
        if let Some(mdns) = &relay.mdns {
            self.mdns(kind, mdns);
        }
        for link in asked {
            self.link(kind, link, relay);
        }
        for rule in &relay.rules {
            self.rule(kind, rule);
        }
    }

    fn link(&mut self, kind: &str, link: &Link, relay: &Relay) {
        let bare = link.role.is_none()
            && link.options == relay.options
            && link.answers == relay.answers
            && link.allow.is_empty()
            && link.deny.is_empty()
            && link.comments.is_empty();
        if bare {
            return;
        }
        self.header(&format!("[[{kind}.link]]"), &link.comments);
        self.set("name", &quoted(&link.name));
        if let Some(role) = link.role {
            self.word("role", &words::ROLES, &role, None);
        }
        self.options(link.options, Some(relay.options));
        self.answers(&link.answers, Some(&relay.answers));
        self.patterns("allow", &link.allow);
        self.patterns("deny", &link.deny);
    }

    fn rule(&mut self, kind: &str, rule: &Rule) {
        self.header(&format!("[[{kind}.rule]]"), &rule.comments);
        self.set("prefix", &quoted(&rule.prefix.to_string()));
        self.set("method", &quoted(rule.method.label()));
        if !rule.on.is_empty() {
            self.list("on", &rule.on);
        }
        if !rule.to.is_empty() {
            self.list("to", &rule.to);
        }
        if rule.i_own_this_prefix {
            self.set("i-own-this-prefix", "true");
        }
    }

    /// Writes what differs from `inherited`; everything if there is nothing to inherit from.
    fn answers(&mut self, answers: &Answers, inherited: Option<&Answers>) {
        self.word(
            "na-source",
            &words::NA_SOURCES,
            &answers.na_source,
            inherited.map(|inherited| &inherited.na_source),
        );
        self.word(
            "router-flag",
            &words::ROUTER_FLAGS,
            &answers.router_flag,
            inherited.map(|inherited| &inherited.router_flag),
        );
        if inherited.is_none_or(|inherited| inherited.answer_delay != answers.answer_delay) {
            self.set("answer-delay", &quoted(&duration_text(answers.answer_delay)));
        }
    }

    /// Writes what differs from `inherited`; everything if there is nothing to inherit from.
    fn options(&mut self, options: LinkOptions, inherited: Option<LinkOptions>) {
        if inherited.is_none_or(|inherited| inherited.promiscuous != options.promiscuous) {
            self.set("promiscuous", &options.promiscuous.to_string());
        }
        self.word(
            "bridge-port",
            &words::BRIDGE_PORTS,
            &options.bridge_port,
            inherited.as_ref().map(|inherited| &inherited.bridge_port),
        );
        self.word(
            "announce",
            &words::ANNOUNCEMENTS,
            &options.announce,
            inherited.as_ref().map(|inherited| &inherited.announce),
        );
    }

    fn routes(&mut self, routes: &Routes) {
        let default = Routes::default();
        let policy = (!self.complete).then_some(&default.policy);
        self.word("routes", &words::ROUTE_POLICIES, &routes.policy, policy);
        match routes.table {
            Some(table) => self.set("route-table", &table.to_string()),
            None if self.complete => self.set("route-table", &quoted(AUTO)),
            None => {}
        }
        self.value("route-metric", &routes.metric, &default.metric);
        self.value("route-protocol", &routes.protocol, &default.protocol);
    }

    fn timing(&mut self, kind: &str, timing: &Timing) {
        let default = Timing::default();
        if !self.complete && *timing == default {
            return;
        }
        self.header(&format!("[{kind}.timing]"), &[]);
        self.duration("alarm-interval", timing.alarm_interval, default.alarm_interval);
        self.duration("probe-interval", timing.probe_interval, default.probe_interval);
        self.value("probe-retries", &timing.probe_retries, &default.probe_retries);
        self.duration("hold-down", timing.hold_down, default.hold_down);
    }

    fn limits(&mut self, kind: &str, limits: &Limits) {
        let mut defaults = Vec::new();
        each_cap(&mut Limits::default(), |_, _, cap| defaults.push(number(&cap)));
        let mut defaults = defaults.into_iter();
        let mut changed = Vec::new();
        each_cap(&mut limits.clone(), |key, _, cap| {
            let (cap, default) = (number(&cap), defaults.next());
            if self.complete || Some(cap) != default {
                changed.push((key, cap));
            }
        });
        if changed.is_empty() {
            return;
        }
        self.header(&format!("[{kind}.limits]"), &[]);
        for (key, cap) in changed {
            self.set(key, &cap.to_string());
        }
    }

    fn mdns(&mut self, kind: &str, mdns: &Mdns) {
        let default = Mdns::default();
        self.header(&format!("[{kind}.mdns]"), &[]);
        let addresses = (!self.complete).then_some(&default.addresses);
        self.word("addresses", &words::ADDRESSES, &mdns.addresses, addresses);
        let conflicts = (!self.complete).then_some(&default.conflicts);
        self.word("conflicts", &words::CONFLICTS, &mdns.conflicts, conflicts);
        self.value("cross-families", &mdns.cross_families, &default.cross_families);
        self.value("legacy-queries", &mdns.legacy, &default.legacy);
        if self.complete || mdns.other_services != default.other_services {
            let word = |service| words::word(&words::OTHER_SERVICES, service).to_owned();
            self.list("other-services", &mdns.other_services.iter().map(word).collect::<Vec<_>>());
        }
        self.name_rules("allow", &mdns.allow);
        self.name_rules("deny", &mdns.deny);
        let mut changed = Vec::new();
        each_mdns_cap(&mut mdns.limits.clone(), |key, cap| changed.push((key, number(&cap))));
        if !self.complete {
            let mut defaults = Vec::new();
            each_mdns_cap(&mut MdnsLimits::default(), |_, cap| defaults.push(number(&cap)));
            let mut defaults = defaults.into_iter();
            changed.retain(|(_, cap)| defaults.next() != Some(*cap));
        }
        if changed.is_empty() {
            return;
        }
        self.header(&format!("[{kind}.mdns.limits]"), &[]);
        for (key, cap) in changed {
            self.set(key, &cap.to_string());
        }
    }

    fn name_rules(&mut self, key: &str, rules: &[NameRule]) {
        if rules.is_empty() {
            return;
        }
        let mut entries = String::new();
        for rule in rules {
            let (kind, text) = SubjectKind::of(&rule.subject);
            let _ = write!(entries, "\n    {{ {} = {}", kind.key(), quoted(text));
            for (key, links) in [("from", &rule.from), ("to", &rule.to)] {
                if !links.is_empty() {
                    let links: Vec<String> = links.iter().map(|link| quoted(link)).collect();
                    let _ = write!(entries, ", {key} = [{}]", links.join(", "));
                }
            }
            entries.push_str(" },");
        }
        self.set(key, &format!("[{entries}\n]"));
    }

    /// Begins a table, with comments above it.
    fn header(&mut self, header: &str, comments: &[String]) {
        if !self.text.is_empty() {
            self.text.push('\n');
        }
        self.comments(comments);
        self.text.push_str(header);
        self.text.push('\n');
    }

    fn comments(&mut self, comments: &[String]) {
        for line in comments.iter().flat_map(|comment| comment.lines()) {
            // Control characters cannot stand in a comment.
            let line: String = line.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
            self.text.push_str(format!("# {line}").trim_end());
            self.text.push('\n');
        }
    }

    fn patterns(&mut self, key: &str, patterns: &[Pattern]) {
        if !patterns.is_empty() {
            self.list(key, &patterns.iter().map(ToString::to_string).collect::<Vec<_>>());
        }
    }

    /// Writes a list in one line, or one line for each entry if that is too long.
    fn list(&mut self, key: &str, entries: &[String]) {
        let entries: Vec<String> = entries.iter().map(|entry| quoted(entry)).collect();
        let line = format!("[{}]", entries.join(", "));
        if key.len() + line.len() <= WIDTH {
            return self.set(key, &line);
        }
        self.set(key, &format!("[\n    {},\n]", entries.join(",\n    ")));
    }

    fn duration(&mut self, key: &str, duration: Duration, default: Duration) {
        if self.complete || duration != default {
            self.set(key, &quoted(&duration_text(duration)));
        }
    }

    fn value<T: PartialEq + ToString>(&mut self, key: &str, value: &T, default: &T) {
        if self.complete || value != default {
            self.set(key, &value.to_string());
        }
    }

    fn word<T: PartialEq>(
        &mut self,
        key: &str,
        words: &[(&'static str, T)],
        setting: &T,
        default: Option<&T>,
    ) {
        if default != Some(setting) {
            self.set(key, &quoted(words::word(words, setting)));
        }
    }

    fn set(&mut self, key: &str, value: &str) {
        // Writing to a string cannot fail.
        let _ = writeln!(self.text, "{key} = {value}");
    }
}

fn number(cap: &Cap<'_>) -> u64 {
    match cap {
        Cap::Count(count) => **count as u64,
        Cap::Rate(rate) => u64::from(**rate),
    }
}

/// A text in quotes, with what cannot stand there escaped.
fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => {
                quoted.push('\\');
                quoted.push(c);
            }
            '\n' => quoted.push_str("\\n"),
            '\t' => quoted.push_str("\\t"),
            '\r' => quoted.push_str("\\r"),
            c if c.is_control() => {
                // Writing to a string cannot fail.
                let _ = write!(quoted, "\\u{:04x}", u32::from(c));
            }
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

/// Longest line of a list.
const WIDTH: usize = 96;
