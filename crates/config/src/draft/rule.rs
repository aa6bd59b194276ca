//! Reads tables about links, and rules.

use super::settings::{read_answers, read_link_options, read_lists};
use super::{Link, Rule};
use crate::model::{Kind, Method};
use crate::read::{Fields, Placed, Reader, Value, several};
use crate::value::{self, ValueError};
use crate::words;

/// Where a rule stands.
#[derive(Clone, Copy)]
pub(super) enum Home<'a> {
    /// In the table of a relay or responder.
    Relay,
    /// In the table of a link, whose name it is unless that could not be read.
    Link(Option<&'a Placed<String>>),
}

/// Reads what is said about a link; its rules are added to `rules`.
pub(super) fn read_link(
    reader: &mut Reader<'_>,
    mut fields: Fields<'_, '_>,
    kind: Kind,
    rules: &mut Vec<Rule>,
) -> Option<Link> {
    let place = fields.place().clone();
    let named = fields.take("name");
    let name = named.and_then(|value| {
        let name = read_link_name(reader, value)?;
        Some(Placed { value: name, place: reader.place(value.span()) })
    });
    if named.is_none() {
        reader.remark(place.error("this link has no name").label("expected a key `name` below"));
    }
    let role = fields.take("role").and_then(|value| reader.choice(value, &words::ROLES));
    let options = read_link_options(reader, &mut fields);
    let answers = read_answers(reader, &mut fields);
    let (allow, deny) = read_lists(reader, &mut fields);
    if let Some(value) = fields.take("rule") {
        let header = match kind {
            Kind::Relay => "relay.link.rule",
            Kind::Responder => "responder.link.rule",
        };
        for (table, span) in reader.tables(value, header) {
            let fields = reader.fields(table, span, "a rule of a link");
            rules.extend(read_rule(reader, fields, Home::Link(name.as_ref())));
        }
    }
    fields.finish(reader, &[("links", "`links` stands before the tables about single links")]);
    Some(Link { name: name?, role, options, answers, allow, deny })
}

/// Reads a rule.
pub(super) fn read_rule(
    reader: &mut Reader<'_>,
    mut fields: Fields<'_, '_>,
    home: Home<'_>,
) -> Option<Rule> {
    let place = fields.place().clone();
    let prefix = fields.take("prefix");
    let method = fields.take("method");
    if prefix.is_none() {
        reader.remark(
            place.error("this rule has no prefix").label("expected a key `prefix` below").help(
                "`prefix = \"2001:db8:7::/64\"`, or \"auto\" for the prefixes of the relay itself",
            ),
        );
    }
    if method.is_none() {
        reader.remark(
            place
                .error("this rule has no method")
                .label("expected a key `method` below")
                .help("the methods are static, route, probe and deny"),
        );
    }
    let prefix = prefix.and_then(|value| {
        let prefix = reader.text(value, "\"2001:db8:7::/64\" or \"auto\"")?;
        Some(Placed { value: prefix, place: reader.place(value.span()) })
    });
    let method = method.and_then(|value| {
        let method = reader.text(value, "\"probe\"")?;
        Some(Placed { value: method, place: reader.place(value.span()) })
    });
    let mut elsewhere: &[(&str, &str)] = MISPLACED_IN_RULE;
    let mut of_link = None;
    let on = match home {
        Home::Relay => match fields.take("on") {
            Some(value) => read_some_links(reader, value, "all links"),
            None => Vec::new(),
        },
        Home::Link(link) => {
            of_link = link.map(|link| link.value.clone());
            elsewhere = &[("on", "this rule is about the link whose table it stands in")];
            link.cloned().into_iter().collect()
        }
    };
    let to = match fields.take("to") {
        Some(value) => read_some_links(reader, value, "all links but the asking one"),
        None => Vec::new(),
    };
    if let Some(method) = &method
        && method.value != Method::Probe
        && fields.has("to")
    {
        let hint = match method.value {
            Method::Route => "the kernel's routes decide where the target is",
            _ => "nobody is asked",
        };
        reader.remark(
            fields
                .key_place("to")
                .error(format!("`to` has no meaning for the method `{}`", method.value))
                .label("only `probe` has links to look on")
                .also(method.place.span.clone(), hint),
        );
    }
    let owned = fields.take("i-own-this-prefix");
    let i_own_this_prefix = owned.and_then(|value| reader.boolean(value)).unwrap_or(false);
    if let Some(method) = &method
        && method.value != Method::Static
        && i_own_this_prefix
    {
        reader.remark(
            fields
                .key_place("i-own-this-prefix")
                .warning(format!("this has no effect on the method `{}`", method.value))
                .label("only `static` answers for addresses that do not exist"),
        );
    }
    fields.finish(reader, elsewhere);
    Some(Rule { prefix: prefix?, method: method?, on, to, i_own_this_prefix, of_link })
}

/// Reads names of links; each may be there once.
pub(super) fn read_links(reader: &mut Reader<'_>, value: &Value<'_>) -> Vec<Placed<String>> {
    let all = reader.array(value, read_link_name).unwrap_or_default();
    let mut links: Vec<Placed<String>> = Vec::new();
    for link in all {
        match links.iter().find(|earlier| earlier.value == link.value) {
            Some(earlier) => reader.remark(
                link.place
                    .error(format!("the link `{}` is given twice", link.value))
                    .label("the second")
                    .also(earlier.place.span.clone(), "the first"),
            ),
            None => links.push(link),
        }
    }
    links
}

/// Reads `on` or `to`.
fn read_some_links(reader: &mut Reader<'_>, value: &Value<'_>, all: &str) -> Vec<Placed<String>> {
    if value.get_ref().as_array().is_some_and(|array| array.is_empty()) {
        let remark = reader.place(value.span()).error("this rule is about no link");
        reader.remark(remark.label(format!("leave it out to mean {all}")));
    }
    read_links(reader, value)
}

/// Reads what names a link.
pub(super) fn read_link_name(reader: &mut Reader<'_>, value: &Value<'_>) -> Option<String> {
    let text = reader.string(value, "\"eth0\"")?;
    let checked = value::check_selector(text).map_err(|error| match several(text) {
        Some(names) => {
            let label = format!("several names? quote each: {names}");
            ValueError { label, help: None, span: 0..text.len(), ..error }
        }
        None => error,
    });
    reader.understood(value, text, checked)?;
    if let Some(doubt) = value::doubtful_selector(text) {
        reader.doubt(value, text, doubt);
    }
    Some(text.to_owned())
}

const MISPLACED_IN_RULE: &[(&str, &str)] = &[
    ("link", "did you mean `on`?"),
    ("links", "did you mean `on`?"),
    ("iface", "did you mean `to`?"),
    ("interface", "did you mean `to`, or `on`?"),
];
