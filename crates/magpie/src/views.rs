//! Shows people and programs what a running daemon tells.

use std::io::{self, Write as _};
use std::ops::ControlFlow;

use magpie_control::{
    Client, ClientError, Event, EventKind, Host, LinkStatus, NamesStatus, RelayLink, RelayStatus,
    Status,
};
use serde::Serialize;

use crate::cli::{ControlArgs, ViewArgs};
use crate::commands;
use crate::journal::crossings_text;
use crate::log::time_of_day;
use crate::report::NAMES_COUNTERS;
use crate::table::{Column, absent, plain, span, table};

/// A view could not be shown.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ViewError {
    /// The daemon does not tell.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// There is nothing more to see.
    #[error("the daemon stopped")]
    Stopped,
    /// The output takes nothing more.
    #[error("cannot write the output")]
    Output(#[source] io::Error),
}

/// Prints how the daemon is doing.
pub(crate) fn status(args: &ViewArgs) -> Result<(), ViewError> {
    let status = Client::connect(&args.control.control)?.status()?;
    print(&if args.json { json_text(&status)? } else { status_text(&status) }).map(drop)
}

/// Prints the hosts that are known.
pub(crate) fn hosts(args: &ViewArgs) -> Result<(), ViewError> {
    let hosts = Client::connect(&args.control.control)?.hosts()?;
    print(&if args.json { json_text(&hosts)? } else { hosts_text(&hosts) }).map(drop)
}

/// Prints what happens until the daemon ends or nobody reads any more.
pub(crate) fn watch(args: &ViewArgs) -> Result<(), ViewError> {
    let watch = Client::connect(&args.control.control)?.watch()?;
    // Tells programs that from now on nothing is missed.
    let first = Event { time: Some(time_of_day()), ..Event::new(EventKind::Subscribed) };
    let subscribed = args.json.then_some(Ok(first));
    for event in subscribed.into_iter().chain(watch) {
        let event = match event {
            Err(ClientError::Lost { source, .. }) if has_stopped(&source) => {
                return Err(ViewError::Stopped);
            }
            event => event?,
        };
        let line = if args.json { json_line(&event)? } else { event_text(&event) };
        if print(&format!("{line}\n"))?.is_break() {
            break;
        }
    }
    Ok(())
}

/// Whether a connection was lost because nobody is at the other end any longer.
fn has_stopped(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset)
}

/// Makes the daemon save its state and read the kernel's anew.
pub(crate) fn reload(args: &ControlArgs) -> Result<(), ViewError> {
    match Client::connect(&args.control)?.reload() {
        Ok(warnings) => {
            for warning in &warnings {
                commands::warn(warning);
            }
            Ok(())
        }
        // What is wrong with a file takes several lines, which must not be moved.
        Err(ClientError::ReloadFailed { reason }) => {
            let break_before = if reason.contains('\n') { "\n" } else { "" };
            let reason = format!("{break_before}{}", reason.trim_end());
            Err(ClientError::ReloadFailed { reason }.into())
        }
        Err(error) => Err(error.into()),
    }
}

/// Writes a value for programs.
pub(crate) fn json_text(value: &impl Serialize) -> Result<String, ViewError> {
    let text = serde_json::to_string_pretty(value).map_err(io::Error::from);
    Ok(format!("{}\n", text.map_err(ViewError::Output)?))
}

fn json_line(value: &impl Serialize) -> Result<String, ViewError> {
    serde_json::to_string(value).map_err(io::Error::from).map_err(ViewError::Output)
}

/// Prints, and says to stop when nobody reads any more.
pub(crate) fn print(text: &str) -> Result<ControlFlow<()>, ViewError> {
    let mut output = io::stdout().lock();
    match output.write_all(text.as_bytes()).and_then(|()| output.flush()) {
        Ok(()) => Ok(ControlFlow::Continue(())),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(ControlFlow::Break(())),
        Err(error) => Err(ViewError::Output(error)),
    }
}

fn status_text(status: &Status) -> String {
    let head = format!(
        "magpie {}, pid {}, up {}\n",
        status.version,
        status.pid,
        span(status.uptime_seconds)
    );
    let mut parts = vec![head + &summary_text(status)];
    if !status.relays.is_empty() {
        parts.push(relays_text(&status.relays));
    }
    parts.extend(names_text(&status.relays));
    parts.push(links_text(&status.links));
    let counters: Vec<Vec<String>> = status
        .counters
        .iter()
        // Those about names stand with their relays.
        .filter(|(name, count)| **count > 0 && !name.starts_with(NAMES_COUNTERS))
        .map(|(name, count)| vec![name.clone(), count.to_string()])
        .collect();
    if !counters.is_empty() {
        parts.push(table(&[Column::text("COUNTER"), Column::number("VALUE")], &counters));
    }
    if !status.warnings.is_empty() {
        parts.push(format!("warning: {}\n", status.warnings.join("\nwarning: ")));
    }
    parts.join("\n")
}

fn summary_text(status: &Status) -> String {
    let total: u64 = status.bindings.values().sum();
    let by_state: Vec<String> =
        status.bindings.iter().map(|(state, count)| format!("{count} {}", state.label())).collect();
    let hosts = if by_state.is_empty() {
        "0".to_owned()
    } else {
        format!("{total} ({})", by_state.join(", "))
    };
    let prefixes =
        if status.prefixes.is_empty() { "none yet".to_owned() } else { status.prefixes.join(", ") };
    let guard = match (&status.guard.reason, status.guard.active) {
        (_, true) => "active".to_owned(),
        (Some(reason), false) => format!("off: {reason}"),
        (None, false) => "off".to_owned(),
    };
    format!(
        "hosts     {hosts}\nroutes    {}\nlookups   {}\nprefixes  {prefixes}\nguard     {guard}\n",
        status.routes_installed, status.resolutions
    )
}

fn relays_text(relays: &[RelayStatus]) -> String {
    let columns = [
        Column::text("NAME"),
        Column::text("KIND"),
        Column::number("RULES"),
        Column::text("LINKS"),
        Column::text("PREFIXES"),
    ];
    let link = |link: &RelayLink| match (&link.role, link.only_probed) {
        (Some(role), false) => format!("{} ({role})", link.name),
        (Some(role), true) => format!("{} ({role}, only probed)", link.name),
        (None, true) => format!("{} (only probed)", link.name),
        (None, false) => link.name.clone(),
    };
    let rows: Vec<Vec<String>> = relays
        .iter()
        .map(|relay| {
            let links: Vec<String> = relay.links.iter().map(link).collect();
            vec![
                relay.name.clone(),
                relay.kind.label().to_owned(),
                relay.rules.to_string(),
                links.join(", "),
                if relay.prefixes.is_empty() { absent() } else { relay.prefixes.join(", ") },
            ]
        })
        .collect();
    table(&columns, &rows)
}

/// What crosses of names, for each relay where any do.
fn names_text(relays: &[RelayStatus]) -> Option<String> {
    let reflected: Vec<(&RelayStatus, &NamesStatus)> = relays
        .iter()
        .filter_map(|relay| relay.names.as_ref().map(|names| (relay, names)))
        .collect();
    if reflected.is_empty() {
        return None;
    }
    let columns =
        [Column::text("NAMES OF"), Column::number("RECORDS"), Column::text("OTHER REFLECTORS")];
    let rows: Vec<Vec<String>> = reflected
        .iter()
        .map(|(relay, names)| {
            let others = names.reflectors.iter();
            let others: Vec<String> =
                others.map(|other| format!("{} on {}", other.address, other.link)).collect();
            let others = if others.is_empty() { absent() } else { others.join(", ") };
            vec![relay.name.clone(), names.records.to_string(), others]
        })
        .collect();
    let mut text = table(&columns, &rows);
    let counters: Vec<Vec<String>> = reflected
        .iter()
        .flat_map(|(relay, names)| {
            let counted = names.counters.iter().filter(|(_, count)| **count > 0);
            counted.map(|(name, count)| vec![relay.name.clone(), name.clone(), count.to_string()])
        })
        .collect();
    if !counters.is_empty() {
        let columns = [Column::text("NAMES OF"), Column::text("COUNTER"), Column::number("VALUE")];
        text.push('\n');
        text.push_str(&table(&columns, &counters));
    }
    Some(text)
}

/// A column of the table of links.
type LinkColumn = (Column, fn(&LinkStatus) -> String);

fn links_text(links: &[LinkStatus]) -> String {
    let is_one_of_many =
        |link: &LinkStatus| !link.selector.is_empty() && link.selector != link.name;
    // Columns about what is out of the ordinary are there if something is.
    let optional: [(bool, LinkColumn); 5] = [
        (
            links.iter().any(is_one_of_many),
            (Column::text("CONFIGURED"), |link| link.selector.clone()),
        ),
        (
            links.iter().any(|link| link.device.is_some()),
            (Column::text("DEVICE"), |link| link.device.clone().unwrap_or_else(absent)),
        ),
        (
            links.iter().any(|link| link.overflows > 0),
            (Column::number("OVERFLOWS"), |link| link.overflows.to_string()),
        ),
        (
            links.iter().any(|link| link.reopened > 0),
            (Column::number("REOPENED"), |link| link.reopened.to_string()),
        ),
        (
            links.iter().any(|link| link.waiting.is_some()),
            (Column::text("NOTE"), |link| link.waiting.clone().unwrap_or_else(absent)),
        ),
    ];
    let [selector, device, overflows, reopened, note] =
        optional.map(|(is_shown, column)| is_shown.then_some(column));
    let name: LinkColumn = (Column::text("LINK"), |link| link.name.clone());
    let usual: [LinkColumn; 5] = [
        (Column::text("STATE"), |link| link.state.label().to_owned()),
        (Column::text("LLADDR"), lladdr_text),
        (Column::number("RECEIVED"), |link| link.received.to_string()),
        (Column::number("SENT"), |link| link.sent.to_string()),
        (Column::number("DROPPED"), |link| link.dropped.to_string()),
    ];
    let others: [LinkColumn; 2] = [
        (Column::number("GROUPS"), |link| link.groups.to_string()),
        (Column::text("ADDRESSES"), |link| {
            if link.addresses.is_empty() { absent() } else { link.addresses.join(" ") }
        }),
    ];
    let shown: Vec<LinkColumn> = std::iter::once(name)
        .chain(selector)
        .chain(device)
        .chain(usual)
        .chain(overflows)
        .chain(reopened)
        .chain(others)
        .chain(note)
        .collect();
    let columns: Vec<Column> = shown.iter().map(|(column, _)| *column).collect();
    let rows: Vec<Vec<String>> =
        links.iter().map(|link| shown.iter().map(|(_, cell)| cell(link)).collect()).collect();
    table(&columns, &rows)
}

fn lladdr_text(link: &LinkStatus) -> String {
    match &link.lladdr {
        Some(lladdr) => lladdr.clone(),
        None if link.bare => "none".to_owned(),
        None => absent(),
    }
}

fn hosts_text(hosts: &[Host]) -> String {
    let mut columns = vec![
        Column::text("ADDRESS"),
        Column::text("LINK"),
        Column::text("LLADDR"),
        Column::text("STATE"),
        Column::number("AGE"),
        Column::text("ROUTE"),
        Column::text("ROUTER"),
        Column::text("EVIDENCE"),
    ];
    let have_names = hosts.iter().any(|host| !host.names.is_empty());
    if have_names {
        columns.push(Column::text("NAMES"));
    }
    let names = |host: &Host| match host.names.as_slice() {
        [] => absent(),
        names => plain(&names.join(" "), LONGEST),
    };
    let rows: Vec<Vec<String>> = hosts
        .iter()
        .map(|host| {
            let mut row = vec![
                host.address.to_string(),
                host.link.clone(),
                host.lladdr.clone().unwrap_or_else(absent),
                host.state.label().to_owned(),
                span(host.age_seconds),
                host.route.label().to_owned(),
                if host.router { "yes" } else { "no" }.to_owned(),
                host.evidence.clone(),
            ];
            row.extend(have_names.then(|| names(host)));
            row
        })
        .collect();
    table(&columns, &rows)
}

fn event_text(event: &Event) -> String {
    // That of a record stands in its data.
    let address = event.address.filter(|_| event.name.is_none());
    let parts = [
        event.time.clone(),
        Some(event.kind.label().to_owned()),
        address.map(|address| address.to_string()),
        event.name.as_ref().map(|name| plain(name, LONGEST)),
        event.record_type.as_ref().map(|kind| plain(kind, LONGEST)),
        event.data.as_ref().map(|data| plain(data, LONGEST)),
        event.link.as_ref().map(|link| format!("on {link}")),
        event.lladdr.as_ref().map(|lladdr| format!("lladdr {lladdr}")),
        (!event.to.is_empty()).then(|| format!("to {}", crossings_text(&event.to))),
        event.detail.as_ref().map(|detail| format!("({detail})")),
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join(" ")
}

/// Characters of what others sent, in a line about it.
const LONGEST: usize = 256;

#[cfg(test)]
mod tests {
    use magpie_control::{Crossing, HostState, LinkState, Reflector, RouteState};

    use super::*;

    #[test]
    fn hosts_stand_in_aligned_columns() {
        let host = |address: &str, lladdr: Option<&str>, age_seconds| Host {
            address: address.parse().unwrap(),
            link: "br-lan".into(),
            lladdr: lladdr.map(Into::into),
            state: HostState::Reachable,
            age_seconds,
            evidence: "dad".into(),
            router: false,
            route: RouteState::Installed,
            names: Vec::new(),
        };
        let mut hosts = [
            host("2001:db8::1", None, 5),
            host("2001:db8::abcd:21", Some("02:00:00:00:00:21"), 3700),
        ];
        let expected = "\
ADDRESS            LINK    LLADDR             STATE        AGE  ROUTE      ROUTER  EVIDENCE
2001:db8::1        br-lan  -                  reachable     5s  installed  no      dad
2001:db8::abcd:21  br-lan  02:00:00:00:00:21  reachable  1h01m  installed  no      dad
";
        assert_eq!(hosts_text(&hosts), expected);
        hosts[0].names = vec!["pi-41.local".into(), "\u{1b}c.local".into()];
        let named = hosts_text(&hosts);
        let ends: Vec<&str> =
            named.lines().filter_map(|line| line.rsplit("  ").next()).map(str::trim).collect();
        assert_eq!(ends, ["NAMES", "pi-41.local \u{fffd}c.local", "-"]);
    }

    #[test]
    fn links_show_what_is_out_of_the_ordinary_only_where_something_is() {
        let wan = LinkStatus {
            name: "wan".into(),
            selector: "wan".into(),
            lladdr: Some("02:00:00:00:00:01".into()),
            state: LinkState::Up,
            received: 12,
            ..LinkStatus::default()
        };
        let expected = "\
LINK  STATE  LLADDR             RECEIVED  SENT  DROPPED  GROUPS  ADDRESSES
wan   up     02:00:00:00:00:01        12     0        0       0  -
";
        assert_eq!(links_text(std::slice::from_ref(&wan)), expected);
        let wg = LinkStatus {
            name: "wg0".into(),
            selector: "kind:wireguard".into(),
            lladdr: None,
            bare: true,
            overflows: 2,
            reopened: 1,
            ..wan.clone()
        };
        let veth = LinkStatus {
            name: "veth*".into(),
            selector: "veth*".into(),
            waiting: Some("no such interface yet".into()),
            ..LinkStatus::default()
        };
        let moved = LinkStatus { device: Some("old".into()), ..wan };
        let expected = "\
LINK   CONFIGURED      DEVICE  STATE    LLADDR             RECEIVED  SENT  DROPPED  OVERFLOWS  REOPENED  GROUPS  ADDRESSES  NOTE
wan    wan             old     up       02:00:00:00:00:01        12     0        0          0         0       0  -          -
wg0    kind:wireguard  -       up       none                     12     0        0          2         1       0  -          -
veth*  veth*           -       missing  -                         0     0        0          0         0       0  -          no such interface yet
";
        assert_eq!(links_text(&[moved, wg, veth]), expected);
    }

    #[test]
    fn an_event_is_one_line() {
        let event = Event {
            address: Some("2001:db8::1".parse().unwrap()),
            link: Some("lan".into()),
            detail: Some("from wan".into()),
            ..Event::new(EventKind::HostMoved)
        };
        assert_eq!(event_text(&event), "host-moved 2001:db8::1 on lan (from wan)");
        let event = Event {
            time: Some("2026-11-22T11:22:33Z".into()),
            address: Some("2001:db8::41".parse().unwrap()),
            link: Some("eth0".into()),
            name: Some("pi-41.local".into()),
            record_type: Some("AAAA".into()),
            data: Some("2001:db8::41".into()),
            to: vec![Crossing { link: "wlan0".into(), verdict: "passed".into() }],
            ..Event::new(EventKind::NameSeen)
        };
        let expected = "2026-11-22T11:22:33Z name-seen pi-41.local AAAA 2001:db8::41 on eth0 \
                        to wlan0 (passed)";
        assert_eq!(event_text(&event), expected);
    }

    #[test]
    fn a_status_shows_what_crosses_of_names() {
        let mut relay = RelayStatus {
            name: "island".into(),
            kind: magpie_control::RelayKind::Relay,
            links: Vec::new(),
            prefixes: Vec::new(),
            rules: 1,
            names: None,
        };
        assert_eq!(names_text(std::slice::from_ref(&relay)), None);
        let address = "fe80::7".parse().unwrap();
        relay.names = Some(NamesStatus {
            records: 12,
            reflectors: vec![Reflector { link: "eth0".into(), address }],
            counters: [("packets_received".into(), 5), ("packets_sent".into(), 0)].into(),
        });
        let expected = "\
NAMES OF  RECORDS  OTHER REFLECTORS
island         12  fe80::7 on eth0

NAMES OF  COUNTER           VALUE
island    packets_received      5
";
        assert_eq!(names_text(&[relay]).as_deref(), Some(expected));
    }

    #[test]
    fn a_status_shows_what_is_wrong() {
        let status = Status {
            version: "1.2.3".into(),
            warnings: vec!["IPv6 forwarding is off".into()],
            ..Status::default()
        };
        let text = status_text(&status);
        assert!(text.starts_with("magpie 1.2.3, pid 0, up 0s\n"), "{text}");
        assert!(text.ends_with("\nwarning: IPv6 forwarding is off\n"), "{text}");
        assert!(!text.contains("COUNTER"), "{text}");
    }
}
