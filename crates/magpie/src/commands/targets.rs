//! Shows which addresses were asked for.

use std::process::ExitCode;

use magpie_control::{Client, Target};

use super::conclude;
use crate::cli::ViewArgs;
use crate::table::{Column, span, table};
use crate::views::{ViewError, json_text, print};

/// Prints the addresses that were asked for, and which of them were answered for.
pub(crate) fn run(args: &ViewArgs) -> ExitCode {
    conclude(show(args))
}

fn show(args: &ViewArgs) -> Result<(), ViewError> {
    let targets = Client::connect(&args.control.control)?.targets()?;
    print(&if args.json { json_text(&targets)? } else { text(&targets) }).map(drop)
}

fn text(targets: &[Target]) -> String {
    let columns = [
        Column::text("ADDRESS"),
        Column::text("RELAY"),
        Column::text("LINK"),
        Column::number("ASKED"),
        Column::number("ANSWERED"),
        Column::number("FIRST"),
        Column::number("LAST"),
    ];
    let rows: Vec<Vec<String>> = targets
        .iter()
        .map(|target| {
            vec![
                target.address.to_string(),
                target.relay.clone(),
                target.link.clone(),
                target.asked.to_string(),
                target.answered.to_string(),
                span(target.first_seconds),
                span(target.last_seconds),
            ]
        })
        .collect();
    table(&columns, &rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_stand_in_aligned_columns() {
        let target = |address: &str, asked| Target {
            address: address.parse().unwrap(),
            relay: "home".into(),
            link: "wan".into(),
            asked,
            answered: 0,
            first_seconds: 3_700,
            last_seconds: 5,
        };
        let expected = "\
ADDRESS            RELAY  LINK  ASKED  ANSWERED  FIRST  LAST
2001:db8::1        home   wan       1         0  1h01m    5s
2001:db8::abcd:21  home   wan    1200         0  1h01m    5s
";
        let targets = [target("2001:db8::1", 1), target("2001:db8::abcd:21", 1200)];
        assert_eq!(text(&targets), expected);
    }
}
