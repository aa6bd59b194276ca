//! Shows the names that were seen.

use std::process::ExitCode;

use magpie_control::{Client, Name};

use super::{conclude, warn};
use crate::cli::NamesArgs;
use crate::journal::crossings_text;
use crate::table::{Column, absent, plain, span, table};
use crate::views::{ViewError, json_text, print};

/// Prints the records of names that were seen, and what became of each.
pub(crate) fn run(args: &NamesArgs) -> ExitCode {
    conclude(show(args))
}

fn show(args: &NamesArgs) -> Result<(), ViewError> {
    let view = &args.view;
    let mut client = Client::connect(&view.control.control)?;
    let mut names = client.names()?;
    if names.is_empty() && client.status()?.relays.iter().all(|relay| relay.names.is_none()) {
        warn("no names are looked at: start it with --mdns, or put `mdns = true` into the file");
    }
    if let Some(text) = &args.text {
        let were_any = !names.is_empty();
        names.retain(|name| has(name, text));
        if were_any && names.is_empty() {
            warn(&format!("nothing with '{text}' in it was heard"));
        }
    }
    print(&if view.json { json_text(&names)? } else { text(&names) }).map(drop)
}

/// Whether a record has a text in it.
fn has(name: &Name, text: &str) -> bool {
    let text = text.to_lowercase();
    [&name.name, &name.data].into_iter().any(|part| part.to_lowercase().contains(&text))
}

fn text(names: &[Name]) -> String {
    let columns = [
        Column::text("NAME"),
        Column::text("TYPE"),
        Column::text("DATA"),
        Column::text("LINK"),
        Column::number("SEEN"),
        Column::number("LEFT"),
        Column::text("TO"),
    ];
    let rows: Vec<Vec<String>> = names
        .iter()
        .map(|name| {
            vec![
                plain(&name.name, LONGEST),
                plain(&name.record_type, LONGEST),
                plain(&name.data, LONGEST),
                name.link.clone(),
                span(name.seen_seconds),
                span(name.remaining_seconds),
                if name.to.is_empty() { absent() } else { crossings_text(&name.to) },
            ]
        })
        .collect();
    table(&columns, &rows)
}

/// Characters in a cell.
const LONGEST: usize = 64;

#[cfg(test)]
mod tests {
    use magpie_control::Crossing;

    use super::*;

    #[test]
    fn names_stand_in_aligned_columns() {
        let name = |name: &str, kind: &str, data: &str, to: &[(&str, &str)]| Name {
            name: name.into(),
            record_type: kind.into(),
            data: data.into(),
            address: data.parse().ok(),
            relay: "island".into(),
            link: "eth0".into(),
            source: "fe80::41".parse().unwrap(),
            seen_seconds: 4,
            remaining_seconds: 116,
            to: to
                .iter()
                .map(|(link, verdict)| Crossing {
                    link: (*link).into(),
                    verdict: (*verdict).into(),
                })
                .collect(),
        };
        let names = [
            name("pi-41.local", "AAAA", "2001:db8::41", &[("wlan0", "passed")]),
            name("pi-41.local", "AAAA", "fe80::41", &[("wlan0", "link-scoped"), ("wg0", "denied")]),
            name("\u{1b}[2J.local", "TXT", "Caf\u{e9}", &[]),
        ];
        let expected = "\
NAME         TYPE  DATA          LINK  SEEN   LEFT  TO
pi-41.local  AAAA  2001:db8::41  eth0    4s  1m56s  wlan0 (passed)
pi-41.local  AAAA  fe80::41      eth0    4s  1m56s  wlan0 (link-scoped), wg0 (denied)
\u{fffd}[2J.local   TXT   Caf\u{e9}          eth0    4s  1m56s  -
";
        assert_eq!(text(&names), expected);
        let found = |text: &str| names.iter().filter(|name| has(name, text)).count();
        assert_eq!((found("PI-41"), found("caf\u{c9}"), found("::41"), found("x")), (2, 1, 2, 0));
    }
}
