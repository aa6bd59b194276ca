//! Reads settings that stand by themselves, as soon as they are read.

use std::path::PathBuf;
use std::time::Duration;

use magpie_engine::RoutePolicy;

use super::{Answers, Entry, LinkOptions};
use crate::limits::{Cap, each_cap};
use crate::model::{self, Kind, Pattern, RulePrefix};
use crate::read::{Fields, Placed, Reader, Value};
use crate::value::ValueError;
use crate::words;

pub(super) fn read_daemon(
    reader: &mut Reader<'_>,
    mut fields: Fields<'_, '_>,
    daemon: &mut model::Daemon,
) {
    if let Some(path) = fields.take("control").and_then(|value| read_path(reader, value)) {
        daemon.control = Some(path);
    }
    if let Some(path) = fields.take("state-file").and_then(|value| read_path(reader, value)) {
        daemon.state_file = Some(path);
    }
    if let Some(value) = fields.take("log-level")
        && let Some(level) = reader.choice(value, &words::LOG_LEVELS)
    {
        daemon.log_level = level;
    }
    if let Some(fix) = fields.take("fix-sysctls").and_then(|value| reader.boolean(value)) {
        daemon.fix_sysctls = fix;
    }
    fields.finish(reader, &[]);
}

fn read_path(reader: &mut Reader<'_>, value: &Value<'_>) -> Option<PathBuf> {
    let text = reader.string(value, "\"/run/magpie/magpie.sock\"")?;
    if text.is_empty() || text.contains('\0') {
        let remark = reader.place(value.span()).error("this cannot be a path");
        reader.remark(remark.label("expected something like \"/run/magpie/magpie.sock\""));
        return None;
    }
    Some(PathBuf::from(text))
}

pub(super) fn read_prefixes(
    reader: &mut Reader<'_>,
    value: &Value<'_>,
    kind: Kind,
) -> Option<model::Prefixes> {
    let before = reader.errors();
    let entries = reader.array(value, |reader, value| {
        let text = reader.string(value, "\"auto\" or \"2001:db8:7::/64\"")?;
        // What single addresses look like is no help here.
        let prefix = text.parse().map_err(|error| ValueError { help: None, ..error });
        let prefix = reader.understood(value, text, prefix)?;
        if let RulePrefix::Net(net) = prefix
            && net.prefix_len() == 128
        {
            let remark = reader.place(value.span()).error("one address is no subnet");
            reader.remark(remark.label("expected a prefix of 16 to 127 bits, as in x/64"));
            return None;
        }
        Some(prefix)
    })?;
    if entries.is_empty() && kind == Kind::Relay && reader.errors() == before {
        let remark = reader.place(value.span()).error("a relay without a prefix does nothing");
        reader.remark(remark.label("expected \"auto\", or prefixes, or both"));
    }
    let mut prefixes = model::Prefixes { auto: false, listed: Vec::new() };
    for entry in entries {
        match entry.value {
            RulePrefix::Auto => prefixes.auto = true,
            RulePrefix::Net(net) if prefixes.listed.contains(&net) => reader.remark(
                entry.place.warning(format!("`{net}` is listed twice")).label("the second"),
            ),
            RulePrefix::Net(net) => prefixes.listed.push(net),
        }
    }
    Some(prefixes)
}

pub(super) fn read_link_options(
    reader: &mut Reader<'_>,
    fields: &mut Fields<'_, '_>,
) -> LinkOptions {
    LinkOptions {
        promiscuous: fields.take("promiscuous").and_then(|value| reader.boolean(value)),
        bridge_port: fields
            .take("bridge-port")
            .and_then(|value| reader.choice(value, &words::BRIDGE_PORTS)),
        announce: fields
            .take("announce")
            .and_then(|value| reader.choice(value, &words::ANNOUNCEMENTS)),
    }
}

pub(super) fn read_answers(reader: &mut Reader<'_>, fields: &mut Fields<'_, '_>) -> Answers {
    Answers {
        na_source: fields
            .take("na-source")
            .and_then(|value| reader.choice(value, &words::NA_SOURCES)),
        router_flag: fields
            .take("router-flag")
            .and_then(|value| reader.choice(value, &words::ROUTER_FLAGS)),
        answer_delay: fields
            .take("answer-delay")
            .and_then(|value| reader.duration(value, Duration::ZERO..=Duration::from_secs(1))),
    }
}

pub(super) fn read_routes(
    reader: &mut Reader<'_>,
    fields: &mut Fields<'_, '_>,
    routes: &mut model::Routes,
) {
    if let Some(value) = fields.take("routes")
        && let Some(policy) = reader.choice(value, &words::ROUTE_POLICIES)
    {
        routes.policy = policy;
    }
    if let Some(value) = fields.take("route-table") {
        read_table(reader, value, routes);
    }
    if let Some(value) = fields.take("route-metric")
        && let Some(metric) = reader.integer(value, 1..=u32::MAX)
    {
        routes.metric = metric;
    }
    if let Some(value) = fields.take("route-protocol")
        && let Some(protocol) = reader.integer(value, 0..=u8::MAX)
    {
        routes.protocol = protocol;
        let owner = PROTOCOLS.iter().find(|(number, _)| *number == protocol);
        if let Some((_, owner)) = owner {
            let remark = reader
                .place(value.span())
                .error(format!("route protocol {protocol} belongs to {owner}"))
                .label("its routes would be taken for ours, and removed")
                .help("any number that nobody else here uses will do; 109 is the default");
            reader.remark(remark);
        }
    }
}

/// Reads `route-table`.
fn read_table(reader: &mut Reader<'_>, value: &Value<'_>, routes: &mut model::Routes) {
    if let Some(text) = value.get_ref().as_str() {
        if text == words::AUTO {
            routes.table = None;
            return;
        }
        let remark =
            reader.place(value.span()).error(format!("`{text}` is no routing table")).help(
                "\"auto\" is the table of the VRF that a link belongs to, or else the main table",
            );
        let number = if text == "main" { Some(MAIN_TABLE) } else { text.parse().ok() };
        reader.remark(match number {
            Some(number) => remark.label(format!("did you mean `{number}`, without quotes?")),
            None => remark.label("expected the number of a table, or \"auto\""),
        });
        return;
    }
    let Some(table) = reader.integer(value, 1..=u32::MAX) else { return };
    routes.table = Some(table);
    if table == LOCAL_TABLE {
        let remark = reader.place(value.span()).error("table 255 is the kernel's own");
        reader.remark(remark.label("expected 254, the main table, or one of yours"));
    } else if table != MAIN_TABLE && routes.policy != RoutePolicy::Never {
        let remark = reader
            .place(value.span())
            .warning(format!("the kernel looks into table {table} only if a rule says so"))
            .label("without one the host routes have no effect")
            .help(format!(
                "make one at boot: `ip -6 rule add table {table}`; if it is the table of the VRF \
                 that the links belong to, leave `route-table` out"
            ));
        reader.remark(remark);
    }
}

pub(super) fn read_lists(
    reader: &mut Reader<'_>,
    fields: &mut Fields<'_, '_>,
) -> (Vec<Entry>, Vec<Entry>) {
    let allow = fields.take("allow").map(|value| {
        if value.get_ref().as_array().is_some_and(|array| array.is_empty()) {
            let remark = reader.place(value.span()).error("this list allows nothing");
            reader.remark(remark.label("leave it out to allow everything that rules cover"));
        }
        read_list(reader, value)
    });
    let deny = fields.take("deny").map(|value| read_list(reader, value));
    (allow.unwrap_or_default(), deny.unwrap_or_default())
}

fn read_list(reader: &mut Reader<'_>, value: &Value<'_>) -> Vec<Entry> {
    let entries = reader.array(value, |reader, value| {
        let pattern: Pattern =
            reader.text(value, "\"2001:db8:7::/64\" or \"iid:021d:55**:*:*\"")?;
        let expression = match (&pattern, value.get_ref().as_str()) {
            (Pattern::Expression(expression), Some(text)) => {
                let offset = text.len() - text.trim_end().len();
                let start = text.len() - offset - expression.len();
                let span = reader.inside(&value.span(), text, &(start..start));
                (span.start != value.span().start).then_some(span.start)
            }
            _ => None,
        };
        Some((pattern, expression))
    });
    let entries = entries.into_iter().flatten();
    entries
        .map(|Placed { value: (pattern, expression), place }| Entry { pattern, place, expression })
        .collect()
}

pub(super) fn read_timing(
    reader: &mut Reader<'_>,
    mut fields: Fields<'_, '_>,
    timing: &mut magpie_engine::Timing,
) {
    let day = Duration::from_secs(86_400);
    let mut duration = |key: &'static str, slot: &mut Duration, least: Duration, most: Duration| {
        if let Some(value) = fields.take(key)
            && let Some(duration) = reader.duration(value, least..=most)
        {
            *slot = duration;
        }
    };
    let least = Duration::from_millis(100);
    duration("alarm-interval", &mut timing.alarm_interval, least, Duration::from_secs(3600));
    duration("probe-interval", &mut timing.probe_interval, least, day);
    duration("hold-down", &mut timing.hold_down, Duration::ZERO, day);
    if let Some(value) = fields.take("probe-retries")
        && let Some(retries) = reader.integer(value, 1..=100)
    {
        timing.probe_retries = retries;
    }
    fields.finish(reader, &[]);
}

pub(super) fn read_limits(
    reader: &mut Reader<'_>,
    mut fields: Fields<'_, '_>,
    limits: &mut magpie_engine::Limits,
) {
    each_cap(limits, |key, least, cap| {
        let Some(value) = fields.take(key) else { return };
        match cap {
            Cap::Count(slot) => {
                *slot = reader.integer(value, least..=MOST).unwrap_or(*slot);
            }
            Cap::Rate(slot) => {
                let least = u32::try_from(least).unwrap_or(1);
                *slot = reader.integer(value, least..=u32::MAX).unwrap_or(*slot);
            }
        }
    });
    fields.finish(reader, &[]);
}

/// More than this fits into no memory.
const MOST: usize = 16_777_216;

/// `RT_TABLE_MAIN`.
const MAIN_TABLE: u32 = 254;

/// `RT_TABLE_LOCAL`.
const LOCAL_TABLE: u32 = 255;

/// Whose routes carry which protocol number (`linux/rtnetlink.h`), where taking them for ours
/// would do harm.
const PROTOCOLS: [(u8, &str); 18] = [
    (0, "routes of unknown origin"),
    (1, "ICMP redirects"),
    (2, "the kernel"),
    (3, "routes set up at boot"),
    (4, "the administrator's own routes"),
    (9, "Router Advertisements"),
    (11, "Zebra"),
    (12, "BIRD"),
    (16, "DHCP"),
    (18, "keepalived"),
    (42, "Babel"),
    (84, "OVN"),
    (99, "Open/R"),
    (186, "BGP"),
    (187, "IS-IS"),
    (188, "OSPF"),
    (189, "RIP"),
    (192, "EIGRP"),
];
