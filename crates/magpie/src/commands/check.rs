//! Shows what is wrong with a configuration, or what it comes to.

mod names;

use std::process::ExitCode;

use magpie_config::model::{Config, Kind, Link, Relay};
use magpie_sys::netlink::Connection;

use names::names;

use super::{UNUSABLE, conclude, mistakes, warn};
use crate::Chain;
use crate::cli::{CheckArgs, DEFAULT_CONTROL};
use crate::settings;
use crate::survey::{Finding, survey};
use crate::table::{Column, absent, table};
use crate::views::print;

/// Prints everything that is wrong with the configuration that the daemon would run with; if
/// nothing is, what it comes to.
pub(crate) fn run(args: &CheckArgs) -> ExitCode {
    let mut launch = args.launch();
    // Links that the command line gives need no file, as without a command.
    launch.file = launch.file.filter(|file| {
        let is_optional = file.is_default && file.compat.is_none();
        !is_optional || !launch.flags.names_links() || file.path.exists()
    });
    let settings = match settings::read(&launch) {
        Ok(settings) => settings,
        Err(error) => {
            eprintln!("{}", mistakes(&error).trim_end());
            return ExitCode::from(UNUSABLE);
        }
    };
    for warning in &settings.warnings {
        warn(warning);
    }
    if args.print {
        return conclude(print(&complete(settings.config)).map(drop));
    }
    let found = look_around(&settings.config);
    let mut is_fit = true;
    for Finding { relay, link, remark, .. } in found.iter().filter(|finding| finding.is_wrong) {
        is_fit = false;
        let why = remark.as_deref().unwrap_or_default();
        eprintln!("error: cannot use the link {link} of {relay} on this machine: {why}");
    }
    let file = launch.file.as_ref().map(|file| format!(": {}", file.path.display()));
    let verdict = if is_fit { "OK" } else { "NOT USABLE HERE" };
    let text = format!(
        "{verdict}{}\n\n{}\n{}{}",
        file.unwrap_or_default(),
        summary(&settings.config),
        names(&settings.config),
        interfaces(&found)
    );
    match print(&text) {
        Ok(_) if !is_fit => ExitCode::from(UNUSABLE),
        result => conclude(result.map(drop)),
    }
}

/// What the links are on this machine; nothing if that cannot be told.
fn look_around(config: &Config) -> Vec<Finding> {
    match Connection::open().and_then(|mut kernel| kernel.links()) {
        Ok(links) => survey(config, &links.into_iter().collect()),
        Err(error) => {
            warn(&format!("cannot tell which interfaces there are: {}", Chain(&error)));
            Vec::new()
        }
    }
}

/// Everything that is in force, also what is there without being configured.
fn complete(mut config: Config) -> String {
    config.daemon.control.get_or_insert_with(|| DEFAULT_CONTROL.into());
    magpie_config::render_complete(&config)
}

/// What is configured, in a few lines.
fn summary(config: &Config) -> String {
    let columns = [
        Column::text("NAME"),
        Column::text("KIND"),
        Column::text("LINKS"),
        Column::text("PREFIXES"),
        Column::number("RULES"),
        Column::number("ALLOW"),
        Column::number("DENY"),
    ];
    let rows: Vec<Vec<String>> = config.relays.iter().map(row).collect();
    table(&columns, &rows)
}

/// Which interfaces the links are.
fn interfaces(found: &[Finding]) -> String {
    if found.is_empty() {
        return String::new();
    }
    let columns = [
        Column::text("LINK"),
        Column::text("OF"),
        Column::text("INTERFACES NOW"),
        Column::text("REMARK"),
    ];
    let row = |finding: &Finding| {
        let shown: Vec<&str> = finding.interfaces.iter().take(MOST).map(String::as_str).collect();
        let interfaces = match finding.interfaces.len() {
            0 => absent(),
            all if all > MOST => format!("{} and {} more", shown.join(","), all - MOST),
            _ => shown.join(","),
        };
        let remark = finding.remark.clone().unwrap_or_default();
        vec![finding.link.clone(), finding.relay.clone(), interfaces, remark]
    };
    table(&columns, &found.iter().map(row).collect::<Vec<_>>())
}

fn row(relay: &Relay) -> Vec<String> {
    let link = |link: &Link| {
        let remark = if link.only_probed { " (only probed)" } else { "" };
        format!("{}{remark}", link.name)
    };
    let links: Vec<String> = relay.links.iter().map(link).collect();
    let auto = relay.prefixes.auto.then(|| "auto".to_owned());
    let listed = relay.prefixes.listed.iter().map(ToString::to_string);
    let prefixes: Vec<String> = auto.into_iter().chain(listed).collect();
    let links_allow: usize = relay.links.iter().map(|link| link.allow.len()).sum();
    let links_deny: usize = relay.links.iter().map(|link| link.deny.len()).sum();
    vec![
        relay.name.clone(),
        match relay.kind {
            Kind::Relay => "relay",
            Kind::Responder => "responder",
        }
        .to_owned(),
        links.join(","),
        if prefixes.is_empty() { absent() } else { prefixes.join(",") },
        relay.rules.len().to_string(),
        (relay.allow.len() + links_allow).to_string(),
        (relay.deny.len() + links_deny).to_string(),
    ]
}

/// Interfaces of one link that are shown.
const MOST: usize = 8;

#[cfg(test)]
mod tests {
    use magpie_config::model::{Method, Pattern, Rule, RulePrefix};

    use super::*;

    #[test]
    fn everything_in_force_is_printed() {
        let text = complete(Config::default());
        assert!(text.contains(&format!("control = \"{DEFAULT_CONTROL}\"\n")), "{text}");
        assert!(text.contains("log-level = \"info\"\n"), "{text}");
        let mut config = Config::default();
        config.daemon.control = Some("/mine".into());
        assert!(complete(config).contains("control = \"/mine\"\n"));
    }

    #[test]
    fn links_are_shown_with_their_interfaces() {
        let finding = |link: &str, interfaces: &[&str], remark: Option<&str>| Finding {
            relay: "home".to_owned(),
            link: link.to_owned(),
            interfaces: interfaces.iter().map(|name| (*name).to_owned()).collect(),
            remark: remark.map(str::to_owned),
            is_wrong: false,
        };
        let many = ["v1", "v2", "v3", "v4", "v5", "v6", "v7", "v8", "v9"];
        let found = [
            finding("wan", &["wan"], None),
            finding("v*", &many, Some("1 is a port of br0")),
            finding("w*", &many[..8], None),
            finding("tap0", &[], Some("it is waited for")),
        ];
        let expected = "\
LINK  OF    INTERFACES NOW                      REMARK
wan   home  wan
v*    home  v1,v2,v3,v4,v5,v6,v7,v8 and 1 more  1 is a port of br0
w*    home  v1,v2,v3,v4,v5,v6,v7,v8
tap0  home  -                                   it is waited for
";
        assert_eq!(interfaces(&found), expected);
        assert_eq!(interfaces(&[]), "");
    }

    #[test]
    fn a_summary_names_what_is_configured() {
        let home = Relay::new(Kind::Relay, ["wan", "br-lan"]);
        let mut cloud = Relay::new(Kind::Responder, ["eth0", "tap0"]);
        cloud.links[1].only_probed = true;
        cloud.name = "cloud".into();
        cloud.prefixes.auto = false;
        cloud.rules = vec![Rule::new(RulePrefix::Auto, Method::Route)];
        cloud.deny = vec![Pattern::Oui([0, 0x1d, 0x55])];
        let config = Config { relays: vec![home, cloud], ..Config::default() };
        let expected = "\
NAME        KIND       LINKS                    PREFIXES  RULES  ALLOW  DENY
wan+br-lan  relay      wan,br-lan               auto          0      0     0
cloud       responder  eth0,tap0 (only probed)  -             1      0     1
";
        assert_eq!(summary(&config), expected);
    }
}
