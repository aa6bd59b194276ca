//! Shows the host routes, and why each exists.

use std::process::ExitCode;

use magpie_control::{Client, HostRoute, RouteReason};

use super::conclude;
use crate::cli::ViewArgs;
use crate::table::{Column, absent, span, table};
use crate::views::{ViewError, json_text, print};

/// Prints the host routes that are kept or wanted, with the hosts that they are for.
pub(crate) fn run(args: &ViewArgs) -> ExitCode {
    conclude(show(args))
}

fn show(args: &ViewArgs) -> Result<(), ViewError> {
    let routes = Client::connect(&args.control.control)?.routes()?;
    print(&if args.json { json_text(&routes)? } else { text(&routes) }).map(drop)
}

fn text(routes: &[HostRoute]) -> String {
    let columns = [
        Column::text("ADDRESS"),
        Column::text("LINK"),
        Column::text("STATE"),
        Column::number("TABLE"),
        Column::number("METRIC"),
        Column::number("PROTO"),
        Column::text("EVIDENCE"),
        Column::text("LLADDR"),
        Column::number("CONFIRMED"),
        Column::text("RELAY"),
        Column::text("NOTE"),
    ];
    let rows: Vec<Vec<String>> = routes
        .iter()
        .map(|route| {
            let host = route.host.as_ref();
            vec![
                route.address.to_string(),
                route.link.clone(),
                route.state.label().to_owned(),
                route.table.to_string(),
                route.metric.to_string(),
                route.protocol.to_string(),
                host.map_or_else(absent, |host| host.evidence.clone()),
                host.and_then(|host| host.lladdr.clone()).unwrap_or_else(absent),
                host.and_then(|host| host.confirmed_seconds).map_or_else(absent, span),
                route.relay.clone(),
                note(route),
            ]
        })
        .collect();
    table(&columns, &rows)
}

/// What is out of the ordinary about a route.
fn note(route: &HostRoute) -> String {
    let host = match &route.host {
        None => Some("no host is known for it".to_owned()),
        Some(RouteReason { confirmed_seconds: None, .. }) => {
            Some("its host has not answered yet".to_owned())
        }
        Some(_) => None,
    };
    let leads_to = route.leads_to.as_ref().map(|link| format!("leads to {link} so far"));
    let notes: Vec<String> = route.error.clone().into_iter().chain(leads_to).chain(host).collect();
    if notes.is_empty() { absent() } else { notes.join("; ") }
}

#[cfg(test)]
mod tests {
    use magpie_control::{HostRouteState, HostState};

    use super::*;

    #[test]
    fn routes_stand_in_aligned_columns_with_their_reasons() {
        let host = RouteReason {
            evidence: "dad".into(),
            state: HostState::Reachable,
            lladdr: Some("02:00:00:00:00:21".into()),
            confirmed_seconds: Some(12),
        };
        let route = HostRoute {
            address: "2001:db8::21".parse().unwrap(),
            link: "lan".into(),
            ifindex: 4,
            table: 254,
            metric: 1090,
            protocol: 109,
            state: HostRouteState::Installed,
            error: None,
            leads_to: None,
            relay: "home".into(),
            host: Some(host.clone()),
        };
        let unverified = RouteReason {
            lladdr: None,
            confirmed_seconds: None,
            state: HostState::Probing,
            ..host
        };
        let routes = [
            route.clone(),
            HostRoute {
                state: HostRouteState::Refused,
                error: Some("No such device".into()),
                leads_to: Some("wan".into()),
                ..route.clone()
            },
            HostRoute { state: HostRouteState::Wanted, host: Some(unverified), ..route.clone() },
            HostRoute { state: HostRouteState::Adopted, host: None, ..route },
        ];
        let expected = "\
ADDRESS       LINK  STATE      TABLE  METRIC  PROTO  EVIDENCE  LLADDR             CONFIRMED  RELAY  NOTE
2001:db8::21  lan   installed    254    1090    109  dad       02:00:00:00:00:21        12s  home   -
2001:db8::21  lan   refused      254    1090    109  dad       02:00:00:00:00:21        12s  home   No such device; leads to wan so far
2001:db8::21  lan   wanted       254    1090    109  dad       -                          -  home   its host has not answered yet
2001:db8::21  lan   adopted      254    1090    109  -         -                          -  home   no host is known for it
";
        assert_eq!(text(&routes), expected);
    }
}
