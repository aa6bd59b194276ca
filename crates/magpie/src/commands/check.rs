//! Shows what is wrong with a configuration, or what it comes to.

use std::process::ExitCode;

use magpie_config::model::{Config, Kind, Link, Relay};

use super::{UNUSABLE, conclude, mistakes, warn};
use crate::cli::{CheckArgs, DEFAULT_CONTROL, Launch};
use crate::settings;
use crate::table::{Column, absent, table};
use crate::views::print;

/// Prints everything that is wrong with the configuration that the daemon would run with; if
/// nothing is, what it comes to.
pub(crate) fn run(args: &CheckArgs) -> ExitCode {
    let launch = args.launch();
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
    let text =
        if args.print { complete(settings.config) } else { summary(&launch, &settings.config) };
    conclude(print(&text).map(drop))
}

/// Everything that is in force, also what is there without being configured.
fn complete(mut config: Config) -> String {
    config.daemon.control.get_or_insert_with(|| DEFAULT_CONTROL.into());
    magpie_config::render_complete(&config)
}

/// What is configured, in a few lines.
fn summary(launch: &Launch, config: &Config) -> String {
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
    let file = launch.file.as_ref().map(|file| format!(": {}", file.path.display()));
    format!("OK{}\n\n{}", file.unwrap_or_default(), table(&columns, &rows))
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

#[cfg(test)]
mod tests {
    use magpie_config::model::{Method, Pattern, Rule, RulePrefix};

    use super::*;
    use crate::cli::{ConfigFile, Flags};

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
    fn a_summary_names_what_is_configured() {
        let home = Relay::new(Kind::Relay, ["wan", "br-lan"]);
        let mut cloud = Relay::new(Kind::Responder, ["eth0", "tap0"]);
        cloud.links[1].only_probed = true;
        cloud.name = "cloud".into();
        cloud.prefixes.auto = false;
        cloud.rules = vec![Rule::new(RulePrefix::Auto, Method::Route)];
        cloud.deny = vec![Pattern::Oui([0, 0x1d, 0x55])];
        let config = Config { relays: vec![home, cloud], ..Config::default() };
        let file = ConfigFile { path: "/x.toml".into(), compat: None, is_default: false };
        let launch = Launch { file: Some(file), flags: Flags::default() };
        let expected = "\
OK: /x.toml

NAME        KIND       LINKS                    PREFIXES  RULES  ALLOW  DENY
wan+br-lan  relay      wan,br-lan               auto          0      0     0
cloud       responder  eth0,tap0 (only probed)  -             1      0     1
";
        assert_eq!(summary(&launch, &config), expected);
    }
}
