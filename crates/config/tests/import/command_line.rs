//! The command line of the magpie that is written in C++.

use std::path::Path;
use std::time::Duration;

use magpie_config::import::magpie;
use magpie_config::model::{Kind, LogLevel};

use crate::summary::assert_loads_again;

#[test]
fn all_options_are_imported_in_all_their_forms() {
    for line in [
        "-i wan,br-lan -a 5 -p 70 -r 6 -f /var/lib/x.json -l verbose",
        "--interfaces wan,br-lan --alarm-interval 5 --probe-interval 70 --probe-retries 6 \
         --routes-save-file /var/lib/x.json --log-level verbose",
        "--interfaces=wan,br-lan --alarm-interval=5 --probe-interval=70 --probe-retries=6 \
         --routes-save-file=/var/lib/x.json --log-level=verbose",
        "magpie -iwan,br-lan -a5 -p70 -r6 -f/var/lib/x.json -lverbose",
        "/usr/bin/magpie -i 'wan,br-lan' -a \"5\" -p 7\\0 -r 6\n-f /var/lib/x.json -l verbose\n",
        "-i wan -i br-lan -a 5 -p 70 -r 6 -f /var/lib/x.json -l verbose",
    ] {
        let imported = magpie(line).unwrap_or_else(|errors| panic!("{line}\n{errors}"));
        let config = imported.config;
        assert_loads_again(&config);
        let [relay] = config.relays.as_slice() else { panic!("{line}") };
        assert_eq!(relay.kind, Kind::Relay, "{line}");
        let names: Vec<&str> = relay.links.iter().map(|link| link.name.as_str()).collect();
        assert_eq!(names, ["wan", "br-lan"], "{line}");
        assert_eq!(relay.timing.alarm_interval, Duration::from_secs(5), "{line}");
        assert_eq!(relay.timing.probe_interval, Duration::from_secs(70), "{line}");
        assert_eq!(relay.timing.probe_retries, 6, "{line}");
        assert_eq!(
            config.daemon.state_file.as_deref(),
            Some(Path::new("/var/lib/x.json")),
            "{line}"
        );
        assert_eq!(config.daemon.log_level, LogLevel::Verbose, "{line}");
    }
}

#[test]
fn what_the_other_magpie_refuses_is_refused_with_a_suggestion() {
    for (line, expected) in [
        ("", "there are no interfaces"),
        ("-a 5", "there are no interfaces"),
        ("-i wan", "'wan' alone is no relay"),
        ("-i wan,lo", "loopback"),
        ("-i wan,wan", "with 'wan' twice"),
        ("-i wan,,lan", "is missing"),
        ("-i wan,lan -a", "--alarm-interval lacks its value"),
        ("-i -a 5", "--interfaces lacks its value"),
        ("-i wan,lan -a 0", "expected a number from 1 to 3600"),
        ("-i wan,lan -p 5s", "expected a number from 1 to 86400"),
        ("-i wan,lan -r 1000", "expected a number from 1 to 100"),
        ("-i wan,lan -l verbos", "did you mean 'verbose'?"),
        ("-i wan,lan -l 5", "expected error, warning, info, verbose and debug"),
        ("-i wan,lan -a 5 -a 6", "--alarm-interval is given twice"),
        ("--interface wan,lan", "did you mean '--interfaces'?"),
        ("-I wan,lan", "did you mean '-i'?"),
        ("-i wan,lan --probe 5", "did you mean '--probe-interval'?"),
        ("wan,lan", "did you mean '-i wan,lan'?"),
        ("-i wan,lan --daemon", "there are -i (--interfaces)"),
        ("-i wan,lan 'x", "this quotation does not end"),
        ("-i wan,lan -", "magpie has no option '-'"),
        ("-i wan,lan --", "magpie has no option '--'"),
    ] {
        let Err(errors) = magpie(line) else { panic!("'{line}' is taken for good") };
        let shown = errors.render(false);
        assert!(shown.contains(expected), "{line}: {expected}\n{shown}");
    }
}

#[test]
fn places_are_those_of_the_line() {
    let line = "-i wan,br/lan";
    let Err(errors) = magpie(line) else { panic!("taken for good") };
    let error = errors.iter().next().expect("an error");
    assert_eq!(line.get(error.span.clone()), Some("br/lan"));
}
