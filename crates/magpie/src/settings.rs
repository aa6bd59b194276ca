//! Works out the configuration that is in force: what the file says, what the command line says,
//! and what rules were added at run time.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use magpie_config::model::{self, Kind, Link, Prefixes, Relay, Rule};
use magpie_config::{Diagnostic, Diagnostics, LoadError, Loaded, Source, import};

use crate::cli::{ConfigFile, Flags, Foreign, Launch, Level};
use crate::commands::missing_file;

/// The configuration to run with.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) config: model::Config,
    /// What an operator should know about it.
    pub(crate) warnings: Vec<String>,
}

/// There is no configuration to run with.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SettingsError {
    /// The file that is read unless another is named is not there.
    #[error("{}", missing_file(.0))]
    Missing(PathBuf),
    /// The file cannot be used.
    #[error(transparent)]
    File(#[from] LoadError),
    /// What the file of another program says makes no configuration.
    #[error("{0}")]
    Foreign(Diagnostics),
    /// The flags do not fit to the file.
    #[error("{0}")]
    Flags(String),
    /// The file and the flags together make no configuration.
    #[error("{0}")]
    Together(Diagnostics),
}

/// Reads the configuration file, if one is to be read, and lays the command line over it.
pub(crate) fn read(launch: &Launch) -> Result<Settings, SettingsError> {
    let flags = &launch.flags;
    let loaded = launch.file.as_ref().map(|file| read_file(file, flags)).transpose()?;
    let (config, said) = match loaded {
        Some(Loaded { config, warnings }) => (config, warnings),
        None => (model::Config::default(), Diagnostics::new(Vec::new())),
    };
    let mut warnings = separately(&said, |_| true);
    if *flags == Flags::default() {
        return Ok(Settings { config, warnings });
    }
    let config = layer(config, flags).map_err(SettingsError::Flags)?;
    let checked = config.check().map_err(SettingsError::Together)?;
    // The warnings of the file say where in the file.
    let mut known: Vec<&str> = said.iter().map(|remark| remark.message.as_str()).collect();
    warnings.extend(separately(&checked, |remark| {
        let place = known.iter().position(|message| *message == remark.message);
        place.map(|place| known.swap_remove(place)).is_none()
    }));
    Ok(Settings { config, warnings })
}

fn read_file(file: &ConfigFile, flags: &Flags) -> Result<Loaded, SettingsError> {
    let ConfigFile { path, compat, is_default } = file;
    if *is_default && !path.exists() {
        return Err(SettingsError::Missing(path.clone()));
    }
    let Some(program) = compat else {
        // Links that the command line gives may make the only relay.
        let loaded = if flags.names_links() {
            magpie_config::load_base(path)
        } else {
            magpie_config::load(path)
        };
        return Ok(loaded?);
    };
    let unreadable = |source: io::Error| LoadError::Unreadable { path: path.clone(), source };
    let octets = std::fs::read(path).map_err(unreadable)?;
    let text = String::from_utf8_lossy(&octets);
    let source = Source::new(path.display().to_string(), text);
    let imported = match program {
        Foreign::Npd6 => import::npd6(source),
        Foreign::Ndppd => import::ndppd(source),
    };
    let imported = imported.map_err(SettingsError::Foreign)?;
    Ok(Loaded { config: imported.config, warnings: imported.warnings })
}

/// Each remark that `is_told` selects as a text of its own, which does not say again that it is a
/// warning.
fn separately(remarks: &Diagnostics, mut is_told: impl FnMut(&Diagnostic) -> bool) -> Vec<String> {
    let alone = remarks.iter().filter(|remark| is_told(remark)).map(|remark| {
        let mut alone = Diagnostics::new(remarks.sources().to_vec());
        alone.push(remark.clone());
        let text = alone.to_string();
        text.strip_prefix("warning: ").unwrap_or(&text).trim_end().to_owned()
    });
    alone.collect()
}

/// Lays what the command line says over a configuration.
pub(crate) fn layer(mut config: model::Config, flags: &Flags) -> Result<model::Config, String> {
    if flags.names_links() {
        let names = flags.links();
        match config.relays.as_mut_slice() {
            [] => {
                let mut relay = Relay::new(Kind::Relay, names);
                place(&mut relay, flags);
                config.relays.push(relay);
            }
            [only] => {
                relink(only, &names)?;
                place(only, flags);
            }
            several => {
                let names: Vec<&str> = several.iter().map(|relay| relay.name.as_str()).collect();
                return Err(format!(
                    "-i, -u and -d replace the links of the only relay or responder in the file, but there \
                     are {} of them: {}. Leave them out, or change the file",
                    names.len(),
                    names.join(", ")
                ));
            }
        }
    }
    for relay in &mut config.relays {
        refine(relay, flags);
    }
    carry_names(&mut config, flags)?;
    let daemon = &mut config.daemon;
    daemon.fix_sysctls |= flags.fix;
    if let Some(path) = &flags.control {
        daemon.control = Some(path.clone());
    }
    if let Some(path) = &flags.routes_save_file {
        daemon.state_file = Some(path.clone());
    }
    if let Some(level) = flags.log_level {
        daemon.log_level = level.into();
    }
    Ok(config)
}

/// What a relay comes to with rules that were added at run time. These come first, so that they
/// win over those of the file for the same prefix.
pub(crate) fn engine_config(relay: &Relay, added: Vec<Rule>) -> magpie_engine::Config {
    if added.is_empty() {
        return relay.engine_config();
    }
    let mut relay = relay.clone();
    relay.rules.splice(..0, added);
    relay.engine_config()
}

/// Lays over a relay what the flags say of each.
fn refine(relay: &mut Relay, flags: &Flags) {
    let seconds = |seconds: u32| Duration::from_secs(seconds.into());
    let timing = &mut relay.timing;
    timing.alarm_interval = flags.alarm_interval.map_or(timing.alarm_interval, seconds);
    timing.probe_interval = flags.probe_interval.map_or(timing.probe_interval, seconds);
    timing.probe_retries = flags.probe_retries.unwrap_or(timing.probe_retries);
    if !flags.prefixes.is_empty() {
        relay.prefixes = Prefixes { auto: false, listed: flags.prefixes.clone() };
    }
    let answers = relay.links.iter_mut().map(|link| &mut link.answers);
    for answers in answers.chain([&mut relay.answers]) {
        if let Some(source) = flags.na_source {
            answers.na_source = source.into();
        }
        if let Some(delay) = flags.answer_delay {
            answers.answer_delay = Duration::from_millis(delay.into());
        }
    }
}

/// Gives a relay other links. What is said of links that it had before still counts, and links
/// that only its rules name stay.
fn relink(relay: &mut Relay, names: &[&str]) -> Result<(), String> {
    let before = std::mem::take(&mut relay.links);
    for name in names {
        let known = before.iter().find(|link| link.name == *name).cloned();
        let link = known.unwrap_or_else(|| relay.link(*name));
        relay.links.push(Link { only_probed: false, ..link });
    }
    let only_probed = before.into_iter().filter(|link| link.only_probed);
    relay.links.extend(only_probed.filter(|link| !names.contains(&link.name.as_str())));
    let is_there = |name: &&String| relay.links.iter().any(|link| link.name == **name);
    for rule in &relay.rules {
        if let Some(missing) = rule.on.iter().chain(&rule.to).find(|name| !is_there(name)) {
            return Err(format!(
                "a rule of {} is about the link {missing}, which the command line leaves out: \
                 name it there, too, or change the rule",
                relay.name
            ));
        }
    }
    Ok(())
}

/// Says of links where they lie, as far as the command line does.
fn place(relay: &mut Relay, flags: &Flags) {
    for link in &mut relay.links {
        link.role = flags.role(&link.name).or(link.role);
    }
}

/// Lets names cross where they can, and nothing else if that is asked for.
fn carry_names(config: &mut model::Config, flags: &Flags) -> Result<(), String> {
    if flags.mdns {
        let can =
            |relay: &&mut Relay| relay.links.len() > 1 || relay.links.iter().any(Link::is_plural);
        let mut any = false;
        for relay in config.relays.iter_mut().filter(can) {
            relay.mdns.get_or_insert_default();
            any = true;
        }
        if !any {
            return Err("--mdns: nothing here has two links that names could cross between. Name \
                        them with -u and -d"
                .to_owned());
        }
    }
    if flags.no_ndp {
        for relay in &mut config.relays {
            if relay.mdns.is_none() {
                return Err(format!(
                    "--no-ndp leaves nothing to do for {}: it is for --mdns, or for what has \
                     `mdns` in the file",
                    relay.name
                ));
            }
            relay.neighbor_discovery = false;
        }
    }
    Ok(())
}

impl From<Level> for model::LogLevel {
    fn from(level: Level) -> Self {
        match level {
            Level::Error => Self::Error,
            Level::Warning => Self::Warning,
            Level::Info => Self::Info,
            Level::Verbose => Self::Verbose,
            Level::Debug => Self::Debug,
        }
    }
}

#[cfg(test)]
mod tests {
    use magpie_config::model::{Config, Method, RulePrefix};
    use magpie_engine::NaSource;

    use super::*;
    use crate::cli::NaSourceArg;
    use crate::state::samples::Scratch;

    #[test]
    fn flags_alone_make_one_relay() {
        let config = layer(Config::default(), &flags(&["wan", "lan"])).unwrap();
        let [relay] = config.relays.as_slice() else { panic!("{config:?}") };
        assert_eq!(*relay, Relay::new(Kind::Relay, ["wan", "lan"]));
        assert_eq!(relay.name, "wan+lan");
        assert!(config.check().is_ok_and(|warnings| warnings.is_empty()));
    }

    #[test]
    fn flags_win_over_the_file_for_every_relay() {
        let flags = Flags {
            alarm_interval: Some(1),
            probe_interval: Some(2),
            probe_retries: Some(3),
            answer_delay: Some(4),
            na_source: Some(NaSourceArg::Target),
            prefixes: vec!["2001:db8::/64".parse().unwrap()],
            ..Flags::default()
        };
        let mut file = Config { relays: vec![home(), cloud()], ..Config::default() };
        for relay in &mut file.relays {
            relay.links[0].answers.na_source = NaSource::Global;
            relay.timing.hold_down = Duration::from_secs(7);
        }
        let config = layer(file, &flags).unwrap();
        for relay in &config.relays {
            assert_eq!(relay.timing.alarm_interval, Duration::from_secs(1));
            assert_eq!(relay.timing.probe_interval, Duration::from_secs(2));
            assert_eq!(relay.timing.probe_retries, 3);
            assert_eq!(relay.timing.hold_down, Duration::from_secs(7));
            assert_eq!(relay.prefixes, Prefixes { auto: false, listed: flags.prefixes.clone() });
            for answers in relay.links.iter().map(|link| link.answers).chain([relay.answers]) {
                assert_eq!(answers.answer_delay, Duration::from_millis(4));
                assert_eq!(answers.na_source, NaSource::Target);
            }
        }
    }

    #[test]
    fn flags_win_over_the_file_for_the_daemon() {
        let daemon = model::Daemon {
            control: Some("/a".into()),
            state_file: Some("/b".into()),
            fix_sysctls: true,
            log_level: model::LogLevel::Debug,
        };
        let file = Config { daemon: daemon.clone(), relays: vec![home()], ..Config::default() };
        assert_eq!(layer(file.clone(), &Flags::default()).unwrap(), file);
        let flags = Flags {
            control: Some("/c".into()),
            routes_save_file: Some("/d".into()),
            log_level: Some(Level::Error),
            ..Flags::default()
        };
        let expected = model::Daemon {
            control: Some("/c".into()),
            state_file: Some("/d".into()),
            log_level: model::LogLevel::Error,
            ..daemon
        };
        assert_eq!(layer(file, &flags).unwrap().daemon, expected);
        let fix = Flags { fix: true, ..Flags::default() };
        assert!(layer(Config::default(), &fix).unwrap().daemon.fix_sysctls);
    }

    #[test]
    fn other_links_replace_those_of_the_only_relay() {
        let mut relay = cloud();
        relay.links[0].answers.na_source = NaSource::Global;
        let file = Config { relays: vec![relay], ..Config::default() };
        let config = layer(file, &flags(&["guest", "eth0"])).unwrap();
        let relay = &config.relays[0];
        let names: Vec<&str> = relay.links.iter().map(|link| link.name.as_str()).collect();
        assert_eq!(names, ["guest", "eth0", "docker0"]);
        assert_eq!(relay.links[0].answers.na_source, NaSource::LinkLocal);
        assert_eq!(relay.links[1].answers.na_source, NaSource::Global);
        assert!(relay.links[2].only_probed);
        assert_eq!(relay.name, "cloud");
    }

    #[test]
    fn links_have_the_roles_that_flags_give_them() {
        let flags = Flags {
            upstream: vec!["wlan0".to_owned()],
            downstream: vec!["eth0".to_owned()],
            mdns: true,
            ..Flags::default()
        };
        let config = layer(Config::default(), &flags).unwrap();
        let [relay] = config.relays.as_slice() else { panic!("{config:?}") };
        assert_eq!((relay.name.as_str(), relay.kind), ("wlan0+eth0", Kind::Relay));
        let roles: Vec<_> = relay.links.iter().map(|link| link.role).collect();
        assert_eq!(roles, [Some(model::Role::Upstream), Some(model::Role::Downstream)]);
        assert_eq!(relay.mdns, Some(model::Mdns::default()));
        assert!(config.check().is_ok_and(|warnings| warnings.is_empty()));

        let mut file = cloud();
        file.links[0].role = Some(model::Role::Downstream);
        let file = Config { relays: vec![file], ..Config::default() };
        let flags = Flags { upstream: vec!["eth0".to_owned()], ..self::flags(&["guest", "eth0"]) };
        let config = layer(file, &flags).unwrap();
        let links = config.relays[0].links.iter();
        let links: Vec<_> = links.map(|link| (link.name.as_str(), link.role)).collect();
        let upstream = Some(model::Role::Upstream);
        assert_eq!(links, [("eth0", upstream), ("guest", None), ("docker0", None)]);
    }

    #[test]
    fn names_cross_wherever_there_are_two_links() {
        let mut alone = Relay::new(Kind::Responder, ["dsl"]);
        alone.rules = vec![Rule::new(RulePrefix::Auto, Method::Route)];
        let mdns = Flags { mdns: true, ..Flags::default() };
        let file = Config { relays: vec![home(), cloud(), alone.clone()], ..Config::default() };
        let config = layer(file, &mdns).unwrap();
        let has: Vec<bool> = config.relays.iter().map(|relay| relay.mdns.is_some()).collect();
        assert_eq!(has, [true, true, false]);
        let file = Config { relays: vec![alone.clone()], ..Config::default() };
        assert!(layer(file, &mdns).unwrap_err().contains("two links"));

        let flags = Flags { no_ndp: true, ..mdns };
        let config = layer(Config { relays: vec![home()], ..Config::default() }, &flags).unwrap();
        assert!(!config.relays[0].neighbor_discovery);
        assert!(config.check().is_ok_and(|warnings| warnings.is_empty()));
        let file = Config { relays: vec![home(), alone], ..Config::default() };
        assert!(layer(file, &flags).unwrap_err().contains("nothing to do for dsl"));
    }

    #[test]
    fn other_links_must_fit() {
        let file = Config { relays: vec![home(), cloud()], ..Config::default() };
        let complaint = layer(file, &flags(&["a", "b"])).unwrap_err();
        assert!(complaint.contains("2 of them: home, cloud"), "{complaint}");
        let file = Config { relays: vec![cloud()], ..Config::default() };
        let complaint = layer(file, &flags(&["guest"])).unwrap_err();
        assert!(complaint.contains("the link eth0"), "{complaint}");
    }

    #[test]
    fn flags_alone_are_checked_as_a_file_is() {
        let many: Vec<String> = (0..130).map(|number| format!("eth{number}")).collect();
        let prefixes = vec!["2001:db8::1/128".parse().unwrap()];
        for (flags, expected) in [
            (Flags { interfaces: many, ..Flags::default() }, "at most 128 links"),
            (Flags { prefixes, ..flags(&["wan", "lan"]) }, "2001:db8::1"),
            (flags(&["wan"]), "is no relay"),
        ] {
            let error = read(&Launch { file: None, flags }).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
        let settings = read(&Launch { file: None, flags: flags(&["wan", "lan"]) }).unwrap();
        assert_eq!(settings.config.relays, [Relay::new(Kind::Relay, ["wan", "lan"])]);
        assert_eq!(settings.warnings, [""; 0]);
    }

    #[test]
    fn warnings_of_the_file_and_of_flags_are_told_once_each() {
        let folder = Scratch::new("settings-warnings");
        let path = folder.path().join("magpie.toml");
        std::fs::write(
            &path,
            "[[responder]]\nlinks = [\"a\", \"b\"]\n\
             [[responder.rule]]\nprefix = \"2001:db8:1::/64\"\nmethod = \"static\"\n\
             [[responder.rule]]\nprefix = \"2001:db8:2::/64\"\nmethod = \"route\"\non = [\"a\"]\n\
             [[responder.rule]]\nprefix = \"2001:db8:2::/64\"\nmethod = \"probe\"\nto = [\"c\"]\n",
        )
        .unwrap();
        let file = || Some(ConfigFile { path: path.clone(), compat: None, is_default: false });
        let of_file = read(&Launch { file: file(), flags: Flags::default() }).unwrap().warnings;
        assert_eq!(of_file.len(), 1, "{of_file:?}");
        assert!(of_file[0].starts_with("this answers for every"), "{of_file:?}");
        let warnings = read(&Launch { file: file(), flags: flags(&["a"]) }).unwrap().warnings;
        assert_eq!(warnings.len(), 2, "{warnings:?}");
        assert_eq!(warnings[0], of_file[0]);
        assert!(warnings[1].starts_with("this rule never decides anything"), "{warnings:?}");
    }

    #[test]
    fn added_rules_come_first() {
        let relay = cloud();
        let added = Rule::new(RulePrefix::Auto, Method::Deny);
        let config = engine_config(&relay, vec![added]);
        let methods: Vec<_> = config.rules.iter().map(|rule| rule.method).collect();
        assert!(
            matches!(
                methods[..],
                [magpie_engine::Method::Deny, magpie_engine::Method::Probe { .. }]
            ),
            "{methods:?}"
        );
    }

    fn home() -> Relay {
        Relay { name: "home".to_owned(), ..Relay::new(Kind::Relay, ["wan", "lan"]) }
    }

    fn cloud() -> Relay {
        let mut rule = Rule::new(RulePrefix::Net("2001:db8::/64".parse().unwrap()), Method::Probe);
        rule.on = vec!["eth0".to_owned()];
        rule.to = vec!["docker0".to_owned()];
        let mut relay = Relay::new(Kind::Responder, ["eth0", "docker0"]);
        relay.name = "cloud".to_owned();
        relay.rules = vec![rule];
        relay.links[1].only_probed = true;
        relay
    }

    fn flags(names: &[&str]) -> Flags {
        let interfaces = names.iter().map(|name| (*name).to_owned()).collect();
        Flags { interfaces, ..Flags::default() }
    }
}
