//! Imports what the configuration file of avahi-daemon says about its reflector.

use std::ops::Range;

use magpie_engine::Subject;

use super::Imported;
use super::remarks::{Remarks, comment, error, warning};
use crate::model::{Config, Kind, Mdns, NameRule, Relay};
use crate::value::{SubjectKind, check_interface_name};
use crate::{Diagnostics, Source};

/// Imports a file.
pub(super) fn import(source: Source) -> Result<Imported, Diagnostics> {
    let text = source.text.clone();
    let mut importer = Importer { remarks: Remarks::new(source), file: File::default() };
    let mut group = String::new();
    for (line, at) in lines(&text) {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            name.clone_into(&mut group);
        } else if let Some((key, value)) = line.split_once('=') {
            let value = value.trim();
            // What is left after the key and its sign is the value, at the end of the line.
            let start = at + line.len() - value.len();
            let written = Written { value: value.to_owned(), span: start..start + value.len() };
            importer.file.set(&group, key.trim(), written);
        } else {
            let remark = error(&(at..at + line.len()), "this is neither a group nor a setting");
            importer.remarks.error(remark.label("expected `[group]` or `key=value`"));
        }
    }
    importer.finish()
}

/// Settings that concern the reflector; of several, the last counts.
#[derive(Debug, Default)]
struct File {
    enable_reflector: Option<Written>,
    reflect_ipv: Option<Written>,
    reflect_filters: Option<Written>,
    allow_interfaces: Option<Written>,
    deny_interfaces: Option<Written>,
    use_ipv4: Option<Written>,
    use_ipv6: Option<Written>,
}

/// A value, and where it is written.
#[derive(Debug)]
struct Written {
    value: String,
    span: Range<usize>,
}

struct Importer {
    remarks: Remarks,
    file: File,
}

impl File {
    fn set(&mut self, group: &str, key: &str, written: Written) {
        let place = match (group, key) {
            ("reflector", "enable-reflector") => &mut self.enable_reflector,
            ("reflector", "reflect-ipv") => &mut self.reflect_ipv,
            ("reflector", "reflect-filters") => &mut self.reflect_filters,
            ("server", "allow-interfaces") => &mut self.allow_interfaces,
            ("server", "deny-interfaces") => &mut self.deny_interfaces,
            ("server", "use-ipv4") => &mut self.use_ipv4,
            ("server", "use-ipv6") => &mut self.use_ipv6,
            _ => return,
        };
        *place = Some(written);
    }
}

impl Written {
    /// Understands it as avahi does, by its first letter.
    fn is_yes(&self) -> bool {
        self.value.starts_with(['y', 'Y'])
    }

    /// The words of a list, and where they stand.
    fn words(&self) -> Vec<Self> {
        let between = |c: char| c == ',' || c == ';' || c.is_whitespace();
        let mut words = Vec::new();
        let mut start = 0;
        for part in self.value.split(between) {
            let at = self.span.start + start;
            if !part.is_empty() {
                words.push(Self { value: part.to_owned(), span: at..at + part.len() });
            }
            // What is between parts has one octet, or it is a blank of several.
            let rest = self.value.get(start + part.len()..).unwrap_or_default();
            start += part.len() + rest.chars().next().map_or(0, char::len_utf8);
        }
        words
    }
}

impl Importer {
    fn finish(mut self) -> Result<Imported, Diagnostics> {
        let file = std::mem::take(&mut self.file);
        let mut comments = Vec::new();
        let imported =
            format!("Imported from {} (avahi-daemon): its reflector.", self.remarks.name());
        comment(&mut comments, &imported);
        let is_on = file.enable_reflector.as_ref().is_some_and(Written::is_yes);
        if !is_on {
            let span = file.enable_reflector.as_ref().map_or(0..0, |written| written.span.clone());
            let remark = error(&span, "the reflector is not turned on in this file");
            self.remarks.error(remark.label("`enable-reflector=yes` below `[reflector]` does"));
        }
        let links = self.links(&file);
        let mut relay = Relay::new(Kind::Relay, &links);
        comment(
            &mut relay.comments,
            "avahi reflects names and nothing else. Without the line `neighbor-discovery`, hosts \
             of these links become neighbors over IPv6 as well, and only addresses cross that can \
             be reached.",
        );
        relay.neighbor_discovery = false;
        let mut mdns = Mdns {
            cross_families: file.reflect_ipv.as_ref().is_some_and(Written::is_yes),
            ..Mdns::default()
        };
        if let Some(filters) = &file.reflect_filters {
            mdns.allow = self.filters(filters, &mut relay.comments);
        }
        for (setting, family) in [(&file.use_ipv4, "IPv4"), (&file.use_ipv6, "IPv6")] {
            if let Some(written) = setting.as_ref().filter(|written| !written.is_yes()) {
                let remark = warning(&written.span, format!("names cross over {family} as well"))
                    .label("there is no setting for it");
                let told = self.remarks.warn(remark);
                comment(&mut relay.comments, &told);
            }
        }
        relay.mdns = Some(mdns);
        let config = Config { relays: vec![relay], comments, ..Config::default() };
        self.remarks.finish(config)
    }

    /// The links: those that are allowed and not denied.
    fn links(&mut self, file: &File) -> Vec<String> {
        let Some(allowed) = &file.allow_interfaces else {
            let remark = error(&(0..0), "avahi reflects between all interfaces that there are")
                .label("which ones shall it be?")
                .help("name them below `[server]`, as in `allow-interfaces=wlan0,eth0`");
            self.remarks.error(remark);
            return Vec::new();
        };
        let denied = file.deny_interfaces.iter().flat_map(Written::words);
        let denied: Vec<String> = denied.map(|written| written.value).collect();
        let mut links = Vec::new();
        for Written { value, span } in allowed.words() {
            if denied.contains(&value) || links.contains(&value) {
                continue;
            }
            match check_interface_name(&value) {
                Ok(()) => links.push(value),
                Err(why) => self.remarks.error(error(&span, why.to_string())),
            }
        }
        if links.len() < 2 && !self.remarks.has_errors() {
            let remark = error(&allowed.span, "names have nowhere to cross to");
            self.remarks.error(remark.label("expected two interfaces or more"));
        }
        links
    }

    /// What passes avahi's filters: texts that are looked for in the names of services. Hosts pass
    /// them all.
    fn filters(&mut self, filters: &Written, comments: &mut Vec<String>) -> Vec<NameRule> {
        let rule = |subject| NameRule { subject, from: Vec::new(), to: Vec::new() };
        let mut rules = Vec::new();
        for Written { value, span } in filters.words() {
            let kind =
                if value.contains("._sub.") { SubjectKind::Subtype } else { SubjectKind::Service };
            if let Ok(subject) = kind.read(value.trim_start_matches('.')) {
                rules.push(rule(subject));
                continue;
            }
            let remark = error(&span, format!("`{value}` is no service type"))
                .label("avahi looks for this text anywhere in names of services")
                .help("write the types that are meant, as in `_ipp._tcp.local`");
            self.remarks.error(remark);
        }
        if rules.is_empty() {
            return rules;
        }
        let remark = warning(&filters.span, "avahi holds these texts against answers only")
            .label("here they count for questions, too, and as whole types")
            .help("`host = \"*\"` lets all hosts cross, as avahi does");
        let told = self.remarks.warn(remark);
        comment(comments, &told);
        rules.push(rule(Subject::Host("*".into())));
        rules
    }
}

/// The lines of a text without the blanks around them, and where they begin.
fn lines(text: &str) -> impl Iterator<Item = (&str, usize)> {
    let mut start = 0;
    text.split_inclusive('\n').map(move |line| {
        let at = start + line.len() - line.trim_start().len();
        start += line.len();
        // A blank line has nothing but what is before its text.
        (line.trim(), at)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn imported(text: &str) -> Result<Imported, Diagnostics> {
        import(Source::new("avahi-daemon.conf", text))
    }

    #[test]
    fn a_reflector_becomes_a_relay_of_names() {
        let text = "# as shipped\n[server]\nuse-ipv4=yes\nuse-ipv6=no\n\
                    allow-interfaces = wlan0, eth0,docker0\ndeny-interfaces=docker0\n\
                    ratelimit-burst=1000\n[wide-area]\nenable-wide-area=yes\n\
                    [reflector]\nenable-reflector=no\nenable-reflector=yes\nreflect-ipv=yes\n\
                    reflect-filters=_ipp._tcp.local, _ssh._tcp\n";
        let Imported { config, warnings } =
            imported(text).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(warnings.iter().count(), 2, "{warnings}");
        let [relay] = config.relays.as_slice() else { panic!("{config:?}") };
        let names: Vec<&str> = relay.links.iter().map(|link| link.name.as_str()).collect();
        assert_eq!(names, ["wlan0", "eth0"]);
        assert!(!relay.neighbor_discovery);
        let mdns = relay.mdns.as_ref().expect("names cross");
        assert!(mdns.cross_families);
        let subjects: Vec<_> = mdns.allow.iter().map(|rule| rule.subject.clone()).collect();
        let expected = [
            Subject::Service("_ipp._tcp".into()),
            Subject::Service("_ssh._tcp".into()),
            Subject::Host("*".into()),
        ];
        assert_eq!(subjects, expected);
        assert!(config.check().is_ok_and(|warnings| warnings.is_empty()));
        let written = crate::render(&config);
        assert!(written.contains("neighbor-discovery = false\n"), "{written}");
    }

    #[test]
    fn what_nothing_safe_can_be_made_of_is_refused_where_it_stands() {
        let on = "[reflector]\nenable-reflector=yes\n";
        let links = "[server]\nallow-interfaces=a,b\n";
        for (text, expected, place) in [
            (String::new(), "not turned on", ""),
            (format!("{links}[reflector]\nenable-reflector=no"), "not turned on", "no"),
            (on.to_owned(), "all interfaces", ""),
            (format!("{on}[server]\nallow-interfaces=a"), "nowhere to cross", "a"),
            (format!("{on}[server]\nallow-interfaces=a, b/c"), "neither blanks", "b/c"),
            (format!("{links}{on}reflect-filters=_ipp._tcp;airplay"), "no service type", "airplay"),
            (format!("{links}{on} what is this \n"), "neither a group", "what is this"),
        ] {
            let Err(mistakes) = imported(&text) else { panic!("{text} is taken for good") };
            let mistake = mistakes.iter().find(|remark| remark.message.contains(expected));
            let mistake = mistake.unwrap_or_else(|| panic!("{expected}: {mistakes}"));
            assert_eq!(text.get(mistake.span.clone()), Some(place), "{mistakes}");
        }
    }
}
