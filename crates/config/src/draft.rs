//! Reads the tables of a file into drafts: what each says, and where. A later file adds to the
//! drafts of an earlier one. What only several of them together show is left to others.

mod mdns;
mod rule;
mod settings;

use std::time::Duration;

use magpie_engine::{Announce, NaSource, RouterFlag, Subject};
use toml::de::{DeTable, DeValue};

use mdns::read_mdns;
use rule::{Home, read_link, read_links, read_rule};
use settings::{
    read_answers, read_daemon, read_limits, read_link_options, read_lists, read_prefixes,
    read_routes, read_timing,
};

use crate::Diagnostic;
use crate::model::{self, BridgePort, Kind, Pattern, Role, RulePrefix};
use crate::read::{Fields, Place, Placed, Reader, Value};
use crate::suggest::closest;

/// A relay or responder as far as it was read.
#[derive(Debug)]
pub(crate) struct Relay {
    /// Everything that is complete as it is read; links and rules are not.
    pub(crate) model: model::Relay,
    /// Where its last table stands.
    pub(crate) place: Place,
    /// Where it got its name.
    name_place: Place,
    /// `links`, and in which source they were given last, if they were.
    pub(crate) links: Vec<Placed<String>>,
    pub(crate) links_source: Option<usize>,
    pub(crate) prefixes: Option<Place>,
    pub(crate) link_tables: Vec<Link>,
    pub(crate) rules: Vec<Rule>,
    pub(crate) allow: Vec<Entry>,
    pub(crate) deny: Vec<Entry>,
    /// `[relay.mdns]`.
    pub(crate) mdns: Mdns,
    /// Where `neighbor-discovery` stands.
    pub(crate) neighbor_discovery: Option<Place>,
    /// Something about its links could not be read: they are not all here.
    pub(crate) incomplete: bool,
    /// There are rules, be it that they could not be read.
    pub(crate) ruled: bool,
}

/// `[[relay.link]]`.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) name: Placed<String>,
    pub(crate) role: Option<Role>,
    pub(crate) options: LinkOptions,
    pub(crate) answers: Answers,
    pub(crate) allow: Vec<Entry>,
    pub(crate) deny: Vec<Entry>,
}

/// What is said about how links are worked on.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct LinkOptions {
    pub(crate) promiscuous: Option<bool>,
    pub(crate) bridge_port: Option<BridgePort>,
    pub(crate) announce: Option<Announce>,
}

impl LinkOptions {
    /// Puts what is said in place of what was.
    pub(crate) fn apply(self, options: &mut model::LinkOptions) {
        options.promiscuous = self.promiscuous.unwrap_or(options.promiscuous);
        options.bridge_port = self.bridge_port.unwrap_or(options.bridge_port);
        options.announce = self.announce.unwrap_or(options.announce);
    }
}

/// What is said about answers.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Answers {
    pub(crate) na_source: Option<NaSource>,
    pub(crate) router_flag: Option<RouterFlag>,
    pub(crate) answer_delay: Option<Duration>,
}

impl Answers {
    /// Puts what is said in place of what was.
    pub(crate) fn apply(self, answers: &mut model::Answers) {
        answers.na_source = self.na_source.unwrap_or(answers.na_source);
        answers.router_flag = self.router_flag.unwrap_or(answers.router_flag);
        answers.answer_delay = self.answer_delay.unwrap_or(answers.answer_delay);
    }
}

/// `[[relay.rule]]` or `[[relay.link.rule]]`.
#[derive(Debug)]
pub(crate) struct Rule {
    pub(crate) prefix: Placed<RulePrefix>,
    pub(crate) method: Placed<model::Method>,
    pub(crate) on: Vec<Placed<String>>,
    pub(crate) to: Vec<Placed<String>>,
    pub(crate) i_own_this_prefix: bool,
    /// The link whose table it stands in.
    pub(crate) of_link: Option<String>,
}

/// An entry of `allow` or `deny`.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) pattern: Pattern,
    pub(crate) place: Place,
    /// Where the text of an expression begins, if the file writes it as it is.
    pub(crate) expression: Option<usize>,
}

/// What is said about names, besides what is complete as it is read.
#[derive(Debug, Default)]
pub(crate) struct Mdns {
    /// Where it stands.
    pub(crate) place: Place,
    pub(crate) allow: Vec<NameRule>,
    pub(crate) deny: Vec<NameRule>,
    /// Where `addresses` stands.
    pub(crate) addresses: Option<Place>,
}

/// An entry of `allow` or `deny` of `[relay.mdns]`.
#[derive(Clone, Debug)]
pub(crate) struct NameRule {
    pub(crate) subject: Placed<Subject>,
    pub(crate) from: Vec<Placed<String>>,
    pub(crate) to: Vec<Placed<String>>,
}

/// Everything that the files say.
#[derive(Debug, Default)]
pub(crate) struct Drafts {
    pub(crate) daemon: model::Daemon,
    pub(crate) relays: Vec<Relay>,
    /// There are tables of relays that are not in `relays`, since they could not be read.
    pub(crate) incomplete: bool,
}

impl Drafts {
    /// Reads one file.
    pub(crate) fn read(&mut self, reader: &mut Reader<'_>, table: &DeTable<'_>) {
        let mut fields = reader.fields(table, 0..0, "this file");
        if let Some(value) = fields.take("daemon")
            && let Some(table) = reader.table(value, "daemon")
        {
            let fields = reader.fields(table, value.span(), "[daemon]");
            read_daemon(reader, fields, &mut self.daemon);
        }
        let mut tables = Vec::new();
        for (key, kind) in [("relay", Kind::Relay), ("responder", Kind::Responder)] {
            if let Some(value) = fields.take(key) {
                let before = reader.errors();
                let found = reader.tables(value, key);
                tables.extend(found.into_iter().map(|(table, span)| (table, span, kind)));
                self.incomplete |= reader.errors() > before;
            }
        }
        tables.sort_by_key(|(_, span, _)| span.start);
        for (table, span, kind) in tables {
            self.read_relay(reader, reader.fields(table, span, header(kind)), kind);
        }
        // Whoever mistyped the header of one has configured something.
        let mistyped =
            |key: &str| !HEADERS.contains(&key) && closest(&key.to_lowercase(), HEADERS).is_some();
        self.incomplete |= table.keys().any(|key| mistyped(key.get_ref()));
        fields.finish(reader, MISPLACED_AT_TOP);
    }

    /// Reads a relay or responder, anew or to refine an earlier one.
    fn read_relay(&mut self, reader: &mut Reader<'_>, mut fields: Fields<'_, '_>, kind: Kind) {
        let place = fields.place().clone();
        let before = reader.errors();
        let name = fields.take("name").and_then(|value| read_name(reader, value));
        let unnamed = reader.errors() > before;
        let before = reader.errors();
        let links = fields.take("links").map(|value| read_links(reader, value));
        let tables = fields.take("link").map(|value| {
            if is_text(value) {
                let remark = fields.key_place("link").error("`link` is a table about one link");
                reader.remark(remark.label("did you mean `links`?"));
                return Vec::new();
            }
            reader.tables(value, nested(kind, "link"))
        });
        let mut incomplete = reader.errors() > before;
        let mut link_tables = Vec::new();
        let mut link_rules = Vec::new();
        for (table, span) in tables.into_iter().flatten() {
            let fields = reader.fields(table, span, "a table about a link");
            let link = read_link(reader, fields, kind, &mut link_rules);
            incomplete |= link.is_none();
            link_tables.extend(link);
        }

        let default_name = {
            let tables = link_tables.iter().map(|link| &link.name.value);
            let mut all: Vec<&String> = Vec::new();
            for link in links.iter().flatten().map(|link| &link.value).chain(tables) {
                if !all.contains(&link) {
                    all.push(link);
                }
            }
            model::Relay::default_name(all.into_iter().map(String::as_str))
        };
        let named = name.is_some();
        let name = name.unwrap_or(Placed { value: default_name, place: place.clone() });
        if name.value.is_empty() && !incomplete {
            reader.remark(
                place
                    .error(format!("this {} has neither links nor a name", word(kind)))
                    .label("which links is it about?")
                    .help(EXAMPLE_LINKS),
            );
            incomplete = true;
        }

        let earlier = self
            .relays
            .iter()
            .position(|relay| relay.model.name == name.value)
            .filter(|_| !unnamed && !name.value.is_empty());
        let index = if let Some(index) = earlier {
            let before = self.relays.get(index);
            let conflict =
                before.and_then(|before| conflict(before, &name, named, kind, reader.source()));
            if let Some(error) = conflict {
                reader.remark(error);
                self.incomplete = true;
                // What else is wrong with this one is told; it counts for nothing.
                Relay::new(String::new(), kind, place).read(reader, fields, link_rules);
                return;
            }
            index
        } else {
            let name_place = name.place;
            self.relays.push(Relay { name_place, ..Relay::new(name.value, kind, place.clone()) });
            self.relays.len() - 1
        };
        let Some(draft) = self.relays.get_mut(index) else { return };
        draft.place = place;
        draft.incomplete |= incomplete;
        if let Some(links) = links {
            draft.links = links;
            draft.links_source = Some(reader.source());
        }
        draft.link_tables.extend(link_tables);
        draft.read(reader, fields, link_rules);
    }
}

impl Relay {
    fn new(name: String, kind: Kind, place: Place) -> Self {
        let model = model::Relay { name, ..model::Relay::new(kind, [""; 0]) };
        Self {
            model,
            name_place: place.clone(),
            place,
            links: Vec::new(),
            links_source: None,
            prefixes: None,
            link_tables: Vec::new(),
            rules: Vec::new(),
            allow: Vec::new(),
            deny: Vec::new(),
            mdns: Mdns::default(),
            neighbor_discovery: None,
            incomplete: false,
            ruled: false,
        }
    }

    /// Reads everything but its name and links.
    fn read(&mut self, reader: &mut Reader<'_>, mut fields: Fields<'_, '_>, link_rules: Vec<Rule>) {
        let kind = self.model.kind;
        if let Some(value) = fields.take("prefixes")
            && let Some(prefixes) = read_prefixes(reader, value, kind)
        {
            self.model.prefixes = prefixes;
            self.prefixes = Some(reader.place(value.span()));
        }
        read_link_options(reader, &mut fields).apply(&mut self.model.options);
        read_answers(reader, &mut fields).apply(&mut self.model.answers);
        read_routes(reader, &mut fields, &mut self.model.routes);
        let (allow, deny) = read_lists(reader, &mut fields);
        self.allow.extend(allow);
        self.deny.extend(deny);
        if let Some(value) = fields.take("timing")
            && let Some(table) = reader.table(value, nested(kind, "timing"))
        {
            let fields = reader.fields(table, value.span(), "a table `timing`");
            read_timing(reader, fields, &mut self.model.timing);
        }
        if let Some(value) = fields.take("limits")
            && let Some(table) = reader.table(value, nested(kind, "limits"))
        {
            let fields = reader.fields(table, value.span(), "a table `limits`");
            read_limits(reader, fields, &mut self.model.limits);
        }
        if let Some(value) = fields.take("neighbor-discovery")
            && let Some(wanted) = reader.boolean(value)
        {
            self.model.neighbor_discovery = wanted;
            self.neighbor_discovery = Some(fields.key_place("neighbor-discovery"));
        }
        if let Some(value) = fields.take("mdns") {
            let place = fields.key_place("mdns");
            read_mdns(reader, value, place, kind, &mut self.model.mdns, &mut self.mdns);
        }
        self.ruled |= fields.has("rule") || !link_rules.is_empty();
        if let Some(value) = fields.take("rule") {
            for (table, span) in reader.tables(value, nested(kind, "rule")) {
                let fields = reader.fields(table, span, "a rule");
                self.rules.extend(read_rule(reader, fields, Home::Relay));
            }
        }
        self.rules.extend(link_rules);
        fields.finish(reader, MISPLACED_IN_RELAY);
    }
}

/// Why an earlier relay of this name cannot be refined by this table.
fn conflict(
    earlier: &Relay,
    name: &Placed<String>,
    named: bool,
    kind: Kind,
    source: usize,
) -> Option<Diagnostic> {
    let text = &name.value;
    let before = earlier.name_place.clone();
    if before.source == source {
        let error = name
            .place
            .error(format!("the name `{text}` is given twice"))
            .label(if named { "the second" } else { "called so after its links" })
            .also_in(before.source, before.span, "the first");
        return Some(if named {
            error
        } else {
            error.help("a relay or responder without `name` is called after its links")
        });
    }
    let before = earlier.place.clone();
    (earlier.model.kind != kind).then(|| {
        name.place
            .error(format!("`{text}` is a {} in an earlier file", word(earlier.model.kind)))
            .label(format!("a {} here", word(kind)))
            .also_in(before.source, before.span, format!("a {} here", word(earlier.model.kind)))
    })
}

/// What people call it.
pub(crate) fn word(kind: Kind) -> &'static str {
    match kind {
        Kind::Relay => "relay",
        Kind::Responder => "responder",
    }
}

fn header(kind: Kind) -> &'static str {
    match kind {
        Kind::Relay => "[[relay]]",
        Kind::Responder => "[[responder]]",
    }
}

fn nested(kind: Kind, table: &'static str) -> &'static str {
    match (kind, table) {
        (Kind::Relay, "link") => "relay.link",
        (Kind::Relay, "rule") => "relay.rule",
        (Kind::Relay, "timing") => "relay.timing",
        (Kind::Relay, "limits") => "relay.limits",
        (Kind::Relay, "mdns") => "relay.mdns",
        (Kind::Relay, "mdns.limits") => "relay.mdns.limits",
        (Kind::Responder, "link") => "responder.link",
        (Kind::Responder, "rule") => "responder.rule",
        (Kind::Responder, "timing") => "responder.timing",
        (Kind::Responder, "limits") => "responder.limits",
        (Kind::Responder, "mdns") => "responder.mdns",
        (Kind::Responder, "mdns.limits") => "responder.mdns.limits",
        _ => table,
    }
}

/// Whether it is text, or a list of texts.
fn is_text(value: &Value<'_>) -> bool {
    match value.get_ref() {
        DeValue::Array(all) => all.iter().all(|value| value.get_ref().is_str()),
        value => value.is_str(),
    }
}

fn read_name(reader: &mut Reader<'_>, value: &Value<'_>) -> Option<Placed<String>> {
    let text = reader.string(value, "\"home\"")?;
    let place = reader.place(value.span());
    let unfit = |c: char| c.is_whitespace() || c.is_control();
    if text.is_empty() || text.contains(unfit) {
        let remark = place.error("a name has at least one character, and no blanks");
        reader.remark(remark.label("expected something like \"home\""));
        return None;
    }
    Some(Placed { value: text.to_owned(), place })
}

/// Keys of the tables that configure something.
const HEADERS: [&str; 2] = ["relay", "responder"];

const EXAMPLE_LINKS: &str = "for example `links = [\"wan\", \"br-lan\"]`";

const MISPLACED_AT_TOP: &[(&str, &str)] = &[
    ("name", "this belongs below `[[relay]]` or `[[responder]]`"),
    ("links", "this belongs below `[[relay]]` or `[[responder]]`"),
    ("prefixes", "this belongs below `[[relay]]` or `[[responder]]`"),
    ("link", "write `[[relay.link]]` or `[[responder.link]]`"),
    ("rule", "write `[[relay.rule]]` or `[[responder.rule]]`"),
    ("timing", "write `[relay.timing]` or `[responder.timing]`"),
    ("limits", "write `[relay.limits]` or `[responder.limits]`"),
    ("mdns", "write `[relay.mdns]` or `[responder.mdns]`"),
    ("control", "this belongs below `[daemon]`"),
    ("state-file", "this belongs below `[daemon]`"),
    ("log-level", "this belongs below `[daemon]`"),
    ("fix-sysctls", "this belongs below `[daemon]`"),
    ("proxy", "this looks like a file of ndppd: see `magpie import ndppd`"),
];

const MISPLACED_IN_RELAY: &[(&str, &str)] = &[
    ("interfaces", "did you mean `links`?"),
    ("prefix", "did you mean `prefixes`?"),
    ("role", "this belongs below `[[relay.link]]`"),
    ("on", "this belongs to a rule"),
    ("to", "this belongs to a rule"),
    ("method", "this belongs to a rule"),
    ("probe-interval", "this belongs below `[relay.timing]`"),
    ("probe-retries", "this belongs below `[relay.timing]`"),
    ("alarm-interval", "this belongs below `[relay.timing]`"),
    ("hold-down", "this belongs below `[relay.timing]`"),
    ("log-level", "this belongs below `[daemon]`"),
    ("rules", "write `[[relay.rule]]`, one table for each rule"),
    ("ndp", "did you mean `neighbor-discovery`?"),
    ("reflector", "did you mean `mdns`?"),
    ("addresses", "this belongs below `[relay.mdns]`"),
    ("cross-families", "this belongs below `[relay.mdns]`"),
    ("conflicts", "this belongs below `[relay.mdns]`"),
    ("legacy-queries", "this belongs below `[relay.mdns]`"),
    ("other-services", "this belongs below `[relay.mdns]`"),
];
