//! Reads the keys of ndppd's file, level by level.

use std::ops::Range;
use std::time::Duration;

use super::super::remarks::{Remarks, comment, error, warning};
use super::keys::{self, Dialect, Level, Since};
use super::tree::{Statement, Word};
use super::value::{self, Oddity, bare};
use super::{Proxy, Rule, Settings};
use crate::Diagnostic;
use crate::model::{Method, RulePrefix};
use crate::value::{SHORTEST_PREFIX, check_interface_name, check_prefix};

/// Reads a file.
pub(super) fn file(
    file: &[Statement],
    dialect: Dialect,
    remarks: &mut Remarks,
    comments: &mut Vec<String>,
) -> Vec<Proxy> {
    let mut reader = Reader { dialect, remarks, comments: Vec::new() };
    let mut everywhere = Settings::default();
    let mut sections = Vec::new();
    for (key, statement) in reader.known(Level::Top, file) {
        match key {
            "proxy" => sections.push(statement),
            _ => reader.top(key, statement, &mut everywhere),
        }
    }
    comments.append(&mut reader.comments);
    sections.into_iter().filter_map(|section| reader.proxy(section, &everywhere)).collect()
}

struct Reader<'r> {
    dialect: Dialect,
    remarks: &'r mut Remarks,
    /// What goes above what is being read.
    comments: Vec<String>,
}

impl Reader<'_> {
    fn warn(&mut self, remark: Diagnostic) {
        let said = self.remarks.warn(remark);
        comment(&mut self.comments, &said);
    }

    fn note(&mut self, statement: &Statement, said: &str) {
        let said = self.remarks.note(&statement.span(), &format!("{}: {said}", words(statement)));
        comment(&mut self.comments, &said);
    }

    /// The statements of a block that have an effect, with their keys; remarks on the others.
    fn known<'s>(&mut self, level: Level, block: &'s [Statement]) -> Vec<(&'s str, &'s Statement)> {
        let mut known: Vec<(&str, &Statement)> = Vec::new();
        for statement in block {
            let key = statement.key.text.as_str();
            if key.is_empty() {
                continue;
            }
            let since = keys::since(level, key).find(|since| since.in_dialect(self.dialect));
            let Some(since) = since else {
                self.unknown(level, &statement.key);
                continue;
            };
            if since == Since::V026 {
                self.warn(
                    warning(
                        &statement.key.span,
                        format!("ndppd 0.2.5, the one in Debian and Ubuntu, ignores '{key}'"),
                    )
                    .label("imported as ndppd 0.2.6 understands it"),
                );
            }
            if !MANY.contains(&key)
                && let Some(place) = known.iter().position(|(earlier, _)| *earlier == key)
                && let Some((_, earlier)) = known.get(place).copied()
            {
                let (counts, other) = match self.dialect {
                    Dialect::V02 => (earlier, statement),
                    Dialect::V10 => (statement, earlier),
                };
                let which = if self.dialect == Dialect::V02 { "first" } else { "last" };
                self.warn(
                    warning(
                        &other.span(),
                        format!("'{key}' is given twice, and the {which} one counts"),
                    )
                    .label("without effect")
                    .also(counts.span(), "counts"),
                );
                if let Some(slot) = known.get_mut(place) {
                    *slot = (key, counts);
                }
                continue;
            }
            known.push((key, statement));
        }
        known
    }

    fn unknown(&mut self, level: Level, key: &Word) {
        let name = &key.text;
        let place = level.place();
        let elsewhere = keys::elsewhere(name, self.dialect);
        let help = match elsewhere {
            Some(level) => Some(format!("its place is {}", level.place())),
            None => keys::suggestion(level, name, self.dialect)
                .map(|meant| format!("did you mean '{meant}'?")),
        };
        let message = match self.dialect {
            Dialect::V02 => format!("ndppd 0.2 silently ignores '{name}' {place}"),
            Dialect::V10 => format!("ndppd 1.0 does not start with '{name}' {place}"),
        };
        let mut remark = match self.dialect {
            Dialect::V02 => warning(&key.span, message).label("not imported"),
            Dialect::V10 => error(&key.span, message).label("unknown here"),
        };
        if let Some(help) = help {
            remark = remark.help(help);
        }
        match self.dialect {
            Dialect::V02 => self.warn(remark),
            Dialect::V10 => self.remarks.error(remark),
        }
    }

    fn top(&mut self, key: &str, statement: &Statement, settings: &mut Settings) {
        match key {
            "route-ttl" => self
                .no_counterpart(statement, "the kernel tells of routes as they change (netlink)"),
            "address-ttl" => self.no_counterpart(
                statement,
                "the kernel tells of addresses as they change (netlink)",
            ),
            "valid-ttl" => self.probe_interval(statement, settings),
            "invalid-ttl" => self.hold_down(statement, settings),
            "retrans-limit" => self.probe_retries(statement, settings),
            "retrans-time" => self.no_counterpart(statement, WAITING),
            "renew" => self.no_counterpart(statement, "hosts are probed when they fall silent"),
            "keepalive" => self.no_counterpart(statement, PROBED),
            _ => self.no_counterpart(statement, "answers need no proxy entries of the kernel's"),
        }
    }

    fn proxy(&mut self, section: &Statement, everywhere: &Settings) -> Option<Proxy> {
        self.comments = Vec::new();
        let interface = self.interface(section, "proxy");
        let block = section.block.as_deref().unwrap_or_default();
        let mut settings = everywhere.clone();
        let mut comments = Vec::new();
        let mut rules = Vec::new();
        let mut sections = Vec::new();
        comment(&mut comments, &self.remarks.note(&section.span(), &words(section)));
        for (key, statement) in self.known(Level::Proxy, block) {
            match key {
                "rule" => sections.push(statement),
                _ => self.setting(key, statement, &mut settings),
            }
        }
        comments.append(&mut self.comments);
        // 0.2 does not know this key, and ignores it.
        let foreign =
            block.iter().find(|it| it.key.text == "target" && self.dialect == Dialect::V10);
        for section in sections {
            let rule = self.rule(section, interface.as_deref(), foreign);
            comments.append(&mut self.comments);
            rules.extend(rule);
        }
        let interface = interface?;
        if block.iter().all(|it| it.key.text != "rule") {
            let said = self.remarks.warn(
                warning(&section.span(), "this proxy has no rules: it answers nobody")
                    .label("not imported"),
            );
            comment(&mut comments, &said);
        }
        Some(Proxy { interface, span: section.span(), settings, rules, comments })
    }

    /// Reads the name that a statement has for its value.
    fn interface(&mut self, statement: &Statement, key: &str) -> Option<String> {
        let Some(word) = statement.value.as_ref().filter(|word| !word.text.is_empty()) else {
            self.remarks.error(
                error(
                    &statement.key.span,
                    format!("this '{key}' has no interface: ndppd does not start"),
                )
                .label(format!("expected '{key} eth0'")),
            );
            return None;
        };
        let name = bare(&word.text);
        if let Err(refused) = check_interface_name(name) {
            self.remarks.error(error(&word.span, refused.to_string()).label("not an interface"));
            return None;
        }
        if name != word.text {
            let consequence = match key {
                "iface" => ": 0.2.5 answers for everything in the rule, since there is none",
                _ => ": it does not start, since there is none",
            };
            self.warn(
                warning(
                    &word.span,
                    format!("ndppd 0.2 looks for an interface '{}'{consequence}", word.text),
                )
                .label(format!("imported as '{name}'")),
            );
        }
        Some(name.to_owned())
    }

    fn setting(&mut self, key: &str, statement: &Statement, settings: &mut Settings) {
        match key {
            "router" => {
                let Some(router) = self.flag(statement) else { return };
                settings.router = Some(router);
                self.note(
                    statement,
                    "'router-flag'; \"auto\" is better: it tells what the host says of itself",
                );
            }
            "ttl" => self.probe_interval(statement, settings),
            "deadtime" => self.hold_down(statement, settings),
            "retries" => self.probe_retries(statement, settings),
            "timeout" => self.no_counterpart(statement, WAITING),
            "keepalive" => self.no_counterpart(statement, PROBED),
            "autowire" => {
                settings.autowire = self.autowire(statement);
            }
            "promiscuous" | "promisc" => self.no_counterpart(
                statement,
                "a link is set to all-multicast, and the groups of known hosts are joined",
            ),
            "target" => self.no_counterpart(statement, foreign_reason(key)),
            "target_hwaddr" => self.no_counterpart(
                statement,
                "no released ndppd has it, so that it had no effect; answers tell the \
                 link-layer address of their link",
            ),
            _ => {
                self.no_counterpart(statement, "only a fork of ndppd has it; the others ignore it");
            }
        }
    }

    /// Reads a rule. What is said about it goes above it, or above the responder if it is left out.
    fn rule(
        &mut self,
        section: &Statement,
        asking: Option<&str>,
        foreign: Option<&Statement>,
    ) -> Option<Rule> {
        let mut outer = std::mem::take(&mut self.comments);
        let mut rule = self.rule_body(section, asking, foreign);
        match &mut rule {
            Some(rule) => rule.comments.append(&mut self.comments),
            None => outer.append(&mut self.comments),
        }
        self.comments = outer;
        rule
    }

    fn rule_body(
        &mut self,
        section: &Statement,
        asking: Option<&str>,
        foreign: Option<&Statement>,
    ) -> Option<Rule> {
        let span = section.span();
        let mut foreign = foreign.map(|statement| (statement.span(), "target"));
        let mut autowire = None;
        let mut table = None;
        let mut methods: Vec<(Method, &Statement)> = Vec::new();
        let block = section.block.as_deref().unwrap_or_default();
        for (key, statement) in self.known(Level::Rule, block) {
            match key {
                "static" if self.bare_key(statement) => methods.push((Method::Static, statement)),
                "auto" if self.bare_key(statement) => methods.push((Method::Route, statement)),
                "static" | "auto" => {}
                "iface" => methods.push((Method::Probe, statement)),
                "autovia" => self.no_counterpart(
                    statement,
                    "a host's route goes to the host, not via a router that answered for it",
                ),
                "autowire" => autowire = self.autowire(statement),
                "table" => table = self.table(statement),
                _ => {
                    self.no_counterpart(statement, foreign_reason(key));
                    foreign = Some((statement.span(), key));
                }
            }
        }
        let prefix = self.rule_prefix(section, &methods);
        let (method, statement) = self.one_method(&span, &methods)?;
        let to = match method {
            Method::Probe => Some(self.interface(statement, "iface")?),
            _ => None,
        };
        let prefix = prefix?;
        let line = self.remarks.line(statement.key.span.start);
        let said = format!("{}, with line {line}: {}", words(section), words(statement));
        let mut comments = Vec::new();
        comment(&mut comments, &self.remarks.note(&span, &said));
        if let Some((place, key)) = foreign
            && !(key == "rewrite" && method == Method::Static)
        {
            self.comments.splice(0..0, comments);
            self.warn(
                warning(&span, format!("{}: this rule is left out", foreign_reason(key)))
                    .label("not imported")
                    .also(place, "because of this"),
            );
            return None;
        }
        if to.is_some() && to.as_deref() == asking {
            self.comments.splice(0..0, comments);
            self.warn(
                warning(&statement.span(), "hosts on the asking link answer for themselves")
                    .label("this rule is left out"),
            );
            return None;
        }
        Some(Rule { prefix, method, to, autowire, table, span, comments })
    }

    fn one_method<'s>(
        &mut self,
        rule: &Range<usize>,
        methods: &[(Method, &'s Statement)],
    ) -> Option<(Method, &'s Statement)> {
        match methods {
            [one] => return Some(*one),
            [] => self.remarks.error(
                error(rule, "this rule has no method: ndppd does not start")
                    .label("expected 'iface eth1', 'auto' or 'static' in its block"),
            ),
            [first, second, ..] => self.remarks.error(
                error(
                    &second.1.span(),
                    "a rule has one of 'iface', 'auto' and 'static': ndppd does not start",
                )
                .label("second")
                .also(first.1.span(), "first"),
            ),
        }
        None
    }

    fn rule_prefix(
        &mut self,
        section: &Statement,
        methods: &[(Method, &Statement)],
    ) -> Option<RulePrefix> {
        let Some(word) = section.value.as_ref().filter(|word| !word.text.is_empty()) else {
            self.remarks.error(
                error(&section.key.span, "this rule has no address: ndppd does not start")
                    .label("expected 'rule 2001:db8:1::/64'"),
            );
            return None;
        };
        let text = bare(&word.text);
        let Ok(value::Address { net, oddity }) = value::address(text) else {
            let reads = match self.dialect {
                Dialect::V02 => "ndppd 0.2 reads '::/128', which nobody asks for",
                Dialect::V10 => "ndppd 1.0 does not start with it",
            };
            self.remarks.error(
                error(&word.span, format!("'{text}' is no IPv6 address: {reads}"))
                    .label("expected something like 2001:db8:1::/64"),
            );
            return None;
        };
        if text != word.text {
            let reads = if text.contains('/') { "for one address only" } else { "for '::/128'" };
            self.warn(
                warning(
                    &word.span,
                    format!(
                        "ndppd 0.2 does not understand this with a '{}', and takes it {reads}",
                        word.text.get(text.len()..).unwrap_or_default()
                    ),
                )
                .label(format!("imported as {net}")),
            );
        }
        match oddity {
            Some(Oddity::SingleAddress) => self.warn(
                warning(&word.span, "there is no length: this is one address only")
                    .label(format!("imported as {net}")),
            ),
            Some(Oddity::LengthTaken128) => self.warn(
                warning(
                    &word.span,
                    "ndppd 0.2 does not understand the length, and takes it for 128",
                )
                .label(format!("imported as {net}")),
            ),
            None => {}
        }
        if net.prefix_len() < SHORTEST_PREFIX {
            return self.everything(word, methods);
        }
        if let Err(refused) = check_prefix(net) {
            self.warn(
                warning(&word.span, format!("nobody is answered for {net}: {}", refused.label))
                    .label("this rule is left out"),
            );
            return None;
        }
        Some(RulePrefix::Net(net))
    }

    /// A rule for every address there is, or nearly so.
    fn everything(&mut self, word: &Word, methods: &[(Method, &Statement)]) -> Option<RulePrefix> {
        let is_static = methods.iter().any(|(method, _)| *method == Method::Static);
        if is_static {
            self.remarks.error(
                error(&word.span, "this answers for every address there is, other people's too")
                    .label("this cannot be meant")
                    .help("write the prefix that is yours, or use 'iface' or 'auto'"),
            );
            return None;
        }
        self.warn(
            warning(&word.span, "ndppd looks for every address that anybody asks for").label(
                "imported as \"auto\", the prefixes of the links and of Router Advertisements",
            ),
        );
        Some(RulePrefix::Auto)
    }

    /// `static` or `auto`, which have no value; returns whether it is set.
    fn bare_key(&mut self, statement: &Statement) -> bool {
        let Some(word) = statement.value.as_ref().filter(|word| !bare(&word.text).is_empty())
        else {
            return true;
        };
        let key = &statement.key.text;
        if self.dialect == Dialect::V10 {
            let set = self.flag(statement).unwrap_or(false);
            if !set {
                self.note(statement, "it is not set");
            }
            return set;
        }
        self.warn(
            warning(
                &word.span,
                format!("ndppd 0.2 takes this for the value of '{key}', and does not look at it"),
            )
            .label("ignored")
            .help("write one statement on a line"),
        );
        true
    }

    /// Reads a boolean.
    fn flag(&mut self, statement: &Statement) -> Option<bool> {
        let text = statement.value.as_ref().map_or("", |word| word.text.as_str());
        let span = statement.span();
        let flag = value::flag(text);
        if self.dialect == Dialect::V10 {
            let exact = matches!(text, "" | "yes" | "true" | "no" | "false");
            if !exact {
                self.remarks.error(
                    error(&span, format!("ndppd 1.0 does not start with '{text}' here"))
                        .label("expected yes or no"),
                );
                return None;
            }
            return Some(flag.meant);
        }
        if flag.meant != flag.read {
            let said = if text.is_empty() { "nothing" } else { text };
            self.warn(
                warning(
                    &span,
                    format!("ndppd 0.2 takes {said} for no: only yes and true are true"),
                )
                .label("imported as yes, as it is written"),
            );
        } else if !flag.clear {
            self.warn(
                warning(&span, format!("'{text}' is neither yes nor no"))
                    .label("ndppd 0.2 takes it for no, and so it is imported"),
            );
        }
        Some(flag.meant)
    }

    fn autowire(&mut self, statement: &Statement) -> Option<(bool, Range<usize>)> {
        let on = self.flag(statement)?;
        let said = if on {
            "routes = \"all\": Magpie makes a route to each host, and removes it again"
        } else {
            "see 'routes' below"
        };
        self.note(statement, said);
        Some((on, statement.span()))
    }

    /// Reads a number; `None`, with a remark, if it is none.
    fn number(&mut self, statement: &Statement) -> Option<i64> {
        let text = statement.value.as_ref().map_or("", |word| word.text.as_str());
        let (number, exact) = value::number(text);
        if exact {
            return Some(number);
        }
        let span = statement.span();
        if self.dialect == Dialect::V10 {
            self.remarks.error(
                error(&span, "ndppd 1.0 does not start without a number here")
                    .label("expected a number"),
            );
            return None;
        }
        let remark = warning(&span, format!("'{text}' is no number: ndppd 0.2 reads {number}"));
        if number == 0 {
            self.warn(remark.label("not imported"));
            return None;
        }
        self.warn(remark.label("imported as ndppd reads it"));
        Some(number)
    }

    /// Reads milliseconds, and keeps them within what Magpie can do.
    fn milliseconds(
        &mut self,
        statement: &Statement,
        least: Duration,
    ) -> Option<(Duration, Range<usize>)> {
        let number = self.number(statement)?;
        let span = statement.span();
        let Ok(milliseconds) = u64::try_from(number) else {
            self.warn(
                warning(&span, "ndppd 0.2 takes a negative time for its default")
                    .label("not imported"),
            );
            return None;
        };
        let wanted = Duration::from_millis(milliseconds);
        let kept = wanted.clamp(least, LONGEST);
        if kept != wanted {
            self.warn(
                warning(&span, "this time is beyond what Magpie can do")
                    .label(format!("imported as {} ms", kept.as_millis())),
            );
        }
        Some((kept, span))
    }

    fn probe_interval(&mut self, statement: &Statement, settings: &mut Settings) {
        let Some(interval) = self.milliseconds(statement, Duration::from_secs(1)) else { return };
        settings.probe_interval = Some(interval);
        self.note(
            statement,
            "'probe-interval': a host is asked again after this time, rather than forgotten",
        );
    }

    fn hold_down(&mut self, statement: &Statement, settings: &mut Settings) {
        let Some(time) = self.milliseconds(statement, Duration::ZERO) else { return };
        settings.hold_down = Some(time);
        self.note(statement, "'hold-down'; an answer that comes late ends it");
    }

    fn probe_retries(&mut self, statement: &Statement, settings: &mut Settings) {
        let Some(number) = self.number(statement) else { return };
        let kept = number.clamp(1, 100);
        if kept != number {
            self.warn(
                warning(&statement.span(), "this number is beyond what Magpie can do")
                    .label(format!("imported as {kept}")),
            );
        }
        settings.probe_retries = u8::try_from(kept).ok().map(|kept| (kept, statement.span()));
        self.note(
            statement,
            "'probe-retries', of hosts that were there; new targets are asked for three times",
        );
    }

    fn table(&mut self, statement: &Statement) -> Option<(u8, Range<usize>)> {
        let number = self.number(statement)?;
        match u8::try_from(number) {
            Ok(table @ 1..) => {
                self.note(statement, "'route-table'");
                Some((table, statement.span()))
            }
            Ok(0) => {
                self.note(statement, "the kernel takes 0 for the main table, 254");
                None
            }
            _ => {
                self.remarks.error(
                    error(&statement.span(), "ndppd 1.0 does not start with this table")
                        .label("expected a number from 0 to 255"),
                );
                None
            }
        }
    }

    fn no_counterpart(&mut self, statement: &Statement, reason: &str) {
        self.note(statement, &format!("no counterpart: {reason}"));
    }
}

/// Why a rule with a router elsewhere, or with translated addresses, makes no sense here.
fn foreign_reason(key: &str) -> &'static str {
    match key {
        "target" => "Magpie tells no link-layer addresses but its own",
        _ => "Magpie translates no prefixes",
    }
}

/// A key with its value.
fn words(statement: &Statement) -> String {
    let value = statement.value.as_ref().map_or("", |word| word.text.as_str());
    format!("{} {value}", statement.key.text).trim_end().to_owned()
}

/// Why there is no time to wait for an answer.
const WAITING: &str = "a target is asked for three times, a second apart (RFC 4861 section 10), \
                       and late answers count";

/// Why known hosts are always probed.
const PROBED: &str = "hosts that fall silent are always probed, so that their routes can go";

/// The longest time that Magpie's configuration can hold.
const LONGEST: Duration = Duration::from_secs(86_400);

/// Keys that may come more than once.
const MANY: [&str; 2] = ["proxy", "rule"];
