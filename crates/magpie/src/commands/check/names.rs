//! Tells in words which names cross, and how.

use std::fmt::Write as _;

use magpie_config::model::{Config, Mdns, NameRule, Relay};
use magpie_engine::{Addresses, Conflicts, OtherService, Subject};

/// What crosses of names, in words; nothing where none do.
pub(super) fn names(config: &Config) -> String {
    let mut text = String::new();
    for relay in &config.relays {
        let Some(mdns) = &relay.mdns else { continue };
        // Writing to a string cannot fail.
        let _ = writeln!(text, "names of {}:", relay.name);
        for sentence in name_sentences(relay, mdns) {
            let _ = writeln!(text, "  {sentence}");
        }
        text.push('\n');
    }
    text
}

fn name_sentences(relay: &Relay, mdns: &Mdns) -> Vec<String> {
    let mut told = Vec::new();
    if !relay.neighbor_discovery {
        told.push("nothing but names crosses: Neighbor Discovery is left alone".to_owned());
    }
    if mdns.allow.is_empty() && mdns.deny.is_empty() {
        told.push("all names cross".to_owned());
    } else if mdns.allow.is_empty() {
        told.push("all names cross but those denied:".to_owned());
    } else {
        told.push("only what is allowed crosses:".to_owned());
        told.extend(mdns.allow.iter().map(|rule| format!("  allow {}", name_rule(rule))));
    }
    told.extend(mdns.deny.iter().map(|rule| format!("  deny  {}", name_rule(rule))));
    let reachable = match mdns.addresses {
        _ if !relay.neighbor_discovery => Addresses::All,
        addresses => addresses,
    };
    told.push(
        match reachable {
            Addresses::Reachable => {
                "addresses: IPv6 that can be reached through here; no IPv4, which is not relayed"
            }
            Addresses::WithIpv4 => {
                "addresses: IPv6 that can be reached through here, and IPv4 as it is"
            }
            Addresses::All => "addresses: all but those that mean nothing on another link",
        }
        .to_owned(),
    );
    if mdns.conflicts == Conflicts::Isolate {
        told.push(
            "hosts on different links that share a name keep it, each on its link".to_owned(),
        );
    }
    if mdns.cross_families {
        told.push(
            "what came over IPv4 goes out over IPv6 as well, and the other way round".to_owned(),
        );
    }
    if !mdns.legacy {
        told.push("questions of simple resolvers stay on their link".to_owned());
    }
    for service in &mdns.other_services {
        told.push(
            match service {
                OtherService::Ssdp => "SSDP is relayed, whatever is allowed or denied of names",
                OtherService::WsDiscovery => {
                    "WS-Discovery is relayed, whatever is allowed or denied of names"
                }
            }
            .to_owned(),
        );
    }
    told
}

fn name_rule(rule: &NameRule) -> String {
    let subject = match &rule.subject {
        Subject::Service(name) => format!("service {name}"),
        Subject::Subtype(name) => format!("subtype {name}"),
        Subject::Instance(name) => format!("instance {name}"),
        Subject::Host(name) => format!("host {name}"),
    };
    let way = |word: &str, links: &[String]| match links {
        [] => String::new(),
        links => format!(" {word} {}", links.join(",")),
    };
    format!("{subject}{}{}", way("from", &rule.from), way("to", &rule.to))
}

#[cfg(test)]
mod tests {
    use magpie_config::model::Kind;

    use super::*;

    #[test]
    fn what_crosses_of_names_is_told_in_words() {
        let mut relay = Relay::new(Kind::Relay, ["wlan0", "eth0"]);
        assert_eq!(names(&Config { relays: vec![relay.clone()], ..Config::default() }), "");
        relay.mdns = Some(Mdns::default());
        let told =
            |relay: &Relay| names(&Config { relays: vec![relay.clone()], ..Config::default() });
        let expected = "\
names of wlan0+eth0:
  all names cross
  addresses: IPv6 that can be reached through here; no IPv4, which is not relayed

";
        assert_eq!(told(&relay), expected);
        let rule = |subject, from: &[&str]| NameRule {
            subject,
            from: from.iter().map(|name| (*name).to_owned()).collect(),
            to: Vec::new(),
        };
        relay.neighbor_discovery = false;
        relay.mdns = Some(Mdns {
            allow: vec![rule(Subject::Service("_ipp._tcp".into()), &["eth0"])],
            deny: vec![rule(Subject::Host("nas".into()), &[])],
            conflicts: Conflicts::Isolate,
            cross_families: true,
            legacy: false,
            other_services: vec![OtherService::Ssdp, OtherService::WsDiscovery],
            ..Mdns::default()
        });
        let expected = "\
names of wlan0+eth0:
  nothing but names crosses: Neighbor Discovery is left alone
  only what is allowed crosses:
    allow service _ipp._tcp from eth0
    deny  host nas
  addresses: all but those that mean nothing on another link
  hosts on different links that share a name keep it, each on its link
  what came over IPv4 goes out over IPv6 as well, and the other way round
  questions of simple resolvers stay on their link
  SSDP is relayed, whatever is allowed or denied of names
  WS-Discovery is relayed, whatever is allowed or denied of names

";
        assert_eq!(told(&relay), expected);
    }
}
