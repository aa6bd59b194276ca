//! Reads how names cross between links.

use magpie_engine::{MdnsLimits, Subject};
use toml::de::DeValue;

use super::rule::{read_link_name, read_links};
use super::{Mdns, NameRule, nested};
use crate::limits::{Cap, each_mdns_cap};
use crate::model::{self, Kind};
use crate::read::{Fields, Place, Placed, Reader, Value};
use crate::value::{SubjectKind, doubtful_service};
use crate::words;

/// Reads `mdns`: a table, or `true` for an empty one. What an earlier file says is added to, or
/// dropped by `false`.
pub(super) fn read_mdns(
    reader: &mut Reader<'_>,
    value: &Value<'_>,
    place: Place,
    kind: Kind,
    model: &mut Option<model::Mdns>,
    draft: &mut Mdns,
) {
    if let DeValue::Boolean(wanted) = value.get_ref() {
        draft.place = place;
        if *wanted {
            model.get_or_insert_default();
        } else {
            *model = None;
            *draft = Mdns::default();
        }
        return;
    }
    if value.get_ref().is_str() {
        let remark = reader
            .place(value.span())
            .error("expected `true`, `false` or a table, found text")
            .label("did you mean `true`, without quotes?");
        reader.remark(remark);
        return;
    }
    let Some(table) = reader.table(value, nested(kind, "mdns")) else { return };
    let fields = reader.fields(table, value.span(), "a table `mdns`");
    draft.place = place;
    read_table(reader, fields, kind, model.get_or_insert_default(), draft);
}

fn read_table(
    reader: &mut Reader<'_>,
    mut fields: Fields<'_, '_>,
    kind: Kind,
    model: &mut model::Mdns,
    draft: &mut Mdns,
) {
    if let Some(value) = fields.take("addresses")
        && let Some(addresses) = reader.choice(value, &words::ADDRESSES)
    {
        model.addresses = addresses;
        draft.addresses = Some(reader.place(value.span()));
    }
    if let Some(value) = fields.take("allow") {
        if value.get_ref().as_array().is_some_and(|array| array.is_empty()) {
            let remark = reader.place(value.span()).error("this list allows nothing");
            reader.remark(remark.label("leave it out to allow all names"));
        }
        draft.allow.extend(read_rules(reader, value));
    }
    if let Some(value) = fields.take("deny") {
        draft.deny.extend(read_rules(reader, value));
    }
    if let Some(value) = fields.take("conflicts")
        && let Some(conflicts) = reader.choice(value, &words::CONFLICTS)
    {
        model.conflicts = conflicts;
    }
    if let Some(cross) = fields.take("cross-families").and_then(|value| reader.boolean(value)) {
        model.cross_families = cross;
    }
    if let Some(legacy) = fields.take("legacy-queries").and_then(|value| reader.boolean(value)) {
        model.legacy = legacy;
    }
    if let Some(value) = fields.take("other-services")
        && let Some(services) =
            reader.array(value, |reader, value| reader.choice(value, &words::OTHER_SERVICES))
    {
        model.other_services = services.into_iter().map(|service| service.value).collect();
        model.other_services.sort_unstable();
        model.other_services.dedup();
    }
    if let Some(value) = fields.take("limits")
        && let Some(table) = reader.table(value, nested(kind, "mdns.limits"))
    {
        let fields = reader.fields(table, value.span(), "a table `mdns.limits`");
        read_limits(reader, fields, &mut model.limits);
    }
    fields.finish(reader, MISPLACED);
}

fn read_limits(reader: &mut Reader<'_>, mut fields: Fields<'_, '_>, limits: &mut MdnsLimits) {
    each_mdns_cap(limits, |key, cap| {
        let Some(value) = fields.take(key) else { return };
        match cap {
            Cap::Count(slot) => *slot = reader.integer(value, 1..=MOST_NAMES).unwrap_or(*slot),
            Cap::Rate(slot) => *slot = reader.integer(value, 1..=MOST_PACKETS).unwrap_or(*slot),
        }
    });
    fields.finish(reader, &[]);
}

/// Reads `allow` or `deny`.
fn read_rules(reader: &mut Reader<'_>, value: &Value<'_>) -> Vec<NameRule> {
    let rules = reader.array(value, |reader, value| match value.get_ref() {
        DeValue::Table(table) => {
            let fields = reader.fields(table, value.span(), "an entry about names");
            read_rule(reader, fields)
        }
        DeValue::String(text) => {
            let kind = if text.contains("._sub.") {
                SubjectKind::Subtype
            } else if text.starts_with('_') {
                SubjectKind::Service
            } else {
                SubjectKind::Host
            };
            let remark = reader
                .place(value.span())
                .error("an entry says what kind of name it is about")
                .label(format!("did you mean `{{ {} = \"{text}\" }}`?", kind.key()))
                .help(format!("the kinds are: {KINDS}"));
            reader.remark(remark);
            None
        }
        _ => {
            let remark = reader
                .place(value.span())
                .error("this is no entry about names")
                .label("expected something like `{ service = \"_ipp._tcp\" }`");
            reader.remark(remark);
            None
        }
    });
    rules.into_iter().flatten().map(|rule| rule.value).collect()
}

fn read_rule(reader: &mut Reader<'_>, mut fields: Fields<'_, '_>) -> Option<NameRule> {
    let place = fields.place().clone();
    let mut subject = None;
    let mut given: Option<Place> = None;
    for kind in SubjectKind::ALL {
        let Some(value) = fields.take(kind.key()) else { continue };
        let here = fields.key_place(kind.key());
        if let Some(earlier) = &given {
            let remark = here
                .error("an entry is about one kind of name")
                .label("the second")
                .also_in(earlier.source, earlier.span.clone(), "the first")
                .help("make it two entries");
            reader.remark(remark);
            continue;
        }
        given = Some(here);
        subject = read_subject(reader, value, kind);
    }
    if given.is_none() {
        let remark = place
            .error("this entry does not say which names it is about")
            .label("expected something like `service = \"_ipp._tcp\"`")
            .help(format!("the kinds are: {KINDS}"));
        reader.remark(remark);
    }
    let [from, to] = ["from", "to"].map(|key| {
        let value = fields.take(key)?;
        if value.get_ref().as_array().is_some_and(|array| array.is_empty()) {
            let remark = reader.place(value.span()).error("this entry is about no link");
            reader.remark(remark.label("leave it out to mean all links"));
        }
        Some(match value.get_ref() {
            DeValue::String(_) => {
                let place = reader.place(value.span());
                let name = read_link_name(reader, value);
                name.into_iter().map(|value| Placed { value, place: place.clone() }).collect()
            }
            _ => read_links(reader, value),
        })
    });
    fields.finish(reader, MISPLACED_IN_RULE);
    let (from, to) = (from.unwrap_or_default(), to.unwrap_or_default());
    Some(NameRule { subject: subject?, from, to })
}

fn read_subject(
    reader: &mut Reader<'_>,
    value: &Value<'_>,
    kind: SubjectKind,
) -> Option<Placed<Subject>> {
    let text = reader.string(value, kind.example())?;
    let subject = reader.understood(value, text, kind.read(text))?;
    if let Some(doubt) = doubtful_service(&subject) {
        reader.doubt(value, text, doubt);
    }
    Some(Placed { value: subject, place: reader.place(value.span()) })
}

/// What an entry can be about.
const KINDS: &str = "service, subtype, instance, host";

/// More than this fits into no memory.
const MOST_NAMES: usize = 1_048_576;

/// More than this no link takes.
const MOST_PACKETS: u32 = 1_000_000;

const MISPLACED: &[(&str, &str)] = &[
    ("enable-reflector", "the table itself is what turns it on"),
    ("enable", "the table itself is what turns it on; `mdns = false` in its stead turns it off"),
    ("enabled", "the table itself is what turns it on; `mdns = false` in its stead turns it off"),
    ("reflect-filters", "did you mean `allow`?"),
    ("reflect-ipv", "did you mean `cross-families`?"),
    ("filter", "did you mean `allow`, or `deny`?"),
    ("filters", "did you mean `allow`, or `deny`?"),
    ("ipv4", "did you mean `addresses = \"with-ipv4\"`?"),
    ("ssdp", "did you mean `other-services = [\"ssdp\"]`?"),
    ("links", "names cross between all links; say where to in `allow` and `deny`"),
    ("names-per-link", "this belongs below `[relay.mdns.limits]`"),
    ("packets-per-second", "this belongs below `[relay.mdns.limits]`"),
];

const MISPLACED_IN_RULE: &[(&str, &str)] = &[
    ("type", "did you mean `service`?"),
    ("name", "did you mean `host`, or `instance`?"),
    ("address", "addresses cross with the names of their hosts: see `addresses`"),
    ("on", "did you mean `from`, where it is, or `to`, where it is seen?"),
    ("link", "did you mean `from`, where it is, or `to`, where it is seen?"),
];
