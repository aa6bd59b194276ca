//! Checks the kernel settings that a relay depends on, says what to do about them, and on demand
//! does it until exit.

use std::fmt;

use magpie_config::model::{self, Kind, Role};
use magpie_sys::netlink::{AddressFlags, Connection, LinkEvent, RouteKind};
use magpie_sys::sysctl::{Sysctl, SysctlError};

use crate::kernel::Snapshot;
use crate::links::{Device, Links};

/// Something that is in the way, and the setting that would clear it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Finding {
    setting: Setting,
    wanted: i64,
    /// What is wrong and what follows from it, as a sentence without its end.
    complaint: String,
}

/// Settings that were changed, to be put back.
#[derive(Debug, Default)]
pub(crate) struct Fixes {
    /// Oldest first.
    changed: Vec<Changed>,
}

/// How a setting was before.
#[derive(Debug)]
struct Changed {
    setting: Setting,
    /// The device that it is about, whatever its name; none if it is about all of them.
    ifindex: Option<u32>,
    before: i64,
}

/// A setting of the kernel's: `net.ipv6.conf.LINK.KEY`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Setting {
    link: String,
    key: &'static str,
}

/// A link that is there.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Served<'a> {
    device: &'a Device,
    routers: Routers,
}

/// Whether routers are listened to on a link: who is believed to be one gets this host's packets.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Routers {
    /// Where there is no default route, one is looked for here.
    Sought,
    /// If there is one already.
    Kept,
    /// There are hosts only.
    Ignored,
}

/// The links of a relay or responder that are there.
pub(crate) fn served<'a>(
    relay: &'a model::Relay,
    links: &'a Links,
) -> impl Iterator<Item = Served<'a>> {
    links.iter().flat_map(move |member| {
        let link = relay.links.iter().find(|link| link.name == member.name);
        member
            .devices()
            .iter()
            .filter_map(move |device| Some(Served { device, routers: Routers::on(link?, relay) }))
    })
}

/// Looks for settings that are in the way on the links that are there.
pub(crate) fn inspect(links: &[Served<'_>], snapshot: &Snapshot) -> Vec<Finding> {
    inspect_with(links, snapshot, &|setting| setting.read().ok())
}

impl Routers {
    fn on(link: &model::Link, relay: &model::Relay) -> Self {
        let is_upstream = |link: &model::Link| link.role == Some(Role::Upstream);
        match link.role {
            Some(Role::Upstream) => Self::Sought,
            Some(Role::Downstream) => Self::Ignored,
            None if relay.kind == Kind::Relay && !relay.links.iter().any(is_upstream) => {
                Self::Sought
            }
            None => Self::Kept,
        }
    }
}

impl Finding {
    /// What is wrong and what to do about it.
    pub(crate) fn advice(&self) -> String {
        format!("{}: run `sysctl -w {self}` or start with --fix", self.complaint)
    }

    /// Whether it is still so.
    pub(crate) fn persists(&self) -> bool {
        self.setting.read().is_ok_and(|value| value != self.wanted)
    }

    /// The setting as sysctl(8) takes it, which reads slashes literally when it sees them first.
    fn name(&self) -> String {
        let Setting { link, key } = &self.setting;
        if link.contains('.') {
            format!("net/ipv6/conf/{link}/{key}")
        } else {
            format!("net.ipv6.conf.{link}.{key}")
        }
    }
}

impl fmt::Display for Finding {
    /// The setting, as it should be.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.name(), self.wanted)
    }
}

impl Fixes {
    /// Changes the setting, and remembers how it was.
    pub(crate) fn apply(
        &mut self,
        finding: &Finding,
        snapshot: &Snapshot,
    ) -> Result<(), SysctlError> {
        let setting = &finding.setting;
        let before = setting.read()?;
        if before == finding.wanted {
            return Ok(());
        }
        if setting.link == ALL {
            // Changing it for all changes it for each, and putting it back does, too.
            for link in &snapshot.links {
                self.remember(Setting::new(&link.name, setting.key), Some(link.ifindex));
            }
            self.remember(Setting::new(DEFAULT, setting.key), None);
        }
        setting.write(finding.wanted)?;
        let link = snapshot.links.iter().find(|link| link.name == setting.link);
        let ifindex = link.map(|link| link.ifindex);
        self.changed.push(Changed { setting: setting.clone(), ifindex, before });
        Ok(())
    }

    /// Puts everything back, the latest change first.
    pub(crate) fn restore(&mut self) {
        if self.changed.is_empty() {
            return;
        }
        let links = Connection::open().and_then(|mut kernel| kernel.links());
        let links = links.unwrap_or_else(|error| {
            tracing::warn!(error = %crate::Chain(&error), "cannot put the links' settings back");
            Vec::new()
        });
        while let Some(changed) = self.changed.pop() {
            // A link that has gone took its settings with it.
            let Some(setting) = changed.present(&links) else { continue };
            if setting.read().is_ok_and(|present| present != changed.before)
                && let Err(error) = setting.write(changed.before)
            {
                tracing::warn!(error = %crate::Chain(&error), "cannot put a setting back");
            }
        }
    }

    fn remember(&mut self, setting: Setting, ifindex: Option<u32>) {
        if let Ok(before) = setting.read() {
            self.changed.push(Changed { setting, ifindex, before });
        }
    }
}

impl Changed {
    /// The setting under the name that its device has now.
    fn present(&self, links: &[LinkEvent]) -> Option<Setting> {
        let Some(ifindex) = self.ifindex else { return Some(self.setting.clone()) };
        let link = links.iter().find(|link| link.ifindex == ifindex)?;
        Some(Setting::new(&link.name, self.setting.key))
    }
}

impl Setting {
    fn new(link: &str, key: &'static str) -> Self {
        Self { link: link.to_owned(), key }
    }

    fn read(&self) -> Result<i64, SysctlError> {
        Sysctl::conf(&self.link, self.key)?.read_number()
    }

    fn write(&self, value: i64) -> Result<(), SysctlError> {
        Sysctl::conf(&self.link, self.key)?.write(value)
    }
}

fn inspect_with(
    links: &[Served<'_>],
    snapshot: &Snapshot,
    read: &dyn Fn(&Setting) -> Option<i64>,
) -> Vec<Finding> {
    let value = |link: &str, key| read(&Setting::new(link, key));
    let mut findings = Vec::new();
    // Nothing shows who the router is, and nobody has decided where to listen for one.
    let is_lost = !snapshot.routes.iter().any(|route| route.prefix_len == 0)
        && links.iter().all(|link| value(&link.device.name, ACCEPT_RA) != Some(2));
    let forwards = |link: &Served<'_>| value(&link.device.name, FORCE_FORWARDING) == Some(1);
    let is_off = value(ALL, FORWARDING) == Some(0) && !links.iter().all(forwards);
    for Served { device, routers } in links.iter().copied() {
        let name = device.name.as_str();
        if value(name, DISABLE_IPV6) == Some(1) {
            findings.push(Finding {
                setting: Setting::new(name, DISABLE_IPV6),
                wanted: 0,
                complaint: format!("IPv6 is switched off on {name}"),
            });
        }
        // Before forwarding, which makes the kernel forget what it has learned otherwise.
        if value(name, ACCEPT_RA) == Some(1) && routers != Routers::Ignored {
            let complaint = if learns_from_routers(device, snapshot) {
                format!(
                    "a forwarding host ignores Router Advertisements, from which {name} has its \
                     address or default route"
                )
            } else if is_lost && routers == Routers::Sought && is_off {
                format!(
                    "there is no default route, and Router Advertisements on {name} will be \
                     ignored as soon as it forwards"
                )
            } else if is_lost && routers == Routers::Sought && value(name, FORWARDING) == Some(1) {
                format!(
                    "there is no default route, and Router Advertisements on {name} are ignored \
                     because it forwards"
                )
            } else {
                continue;
            };
            findings.push(Finding { setting: Setting::new(name, ACCEPT_RA), wanted: 2, complaint });
        }
    }
    if is_off {
        findings.push(Finding {
            setting: Setting::new(ALL, FORWARDING),
            wanted: 1,
            complaint: "IPv6 forwarding is off, so that no packet gets from link to link"
                .to_owned(),
        });
    }
    findings
}

/// Whether this host has an address or a route by Router Advertisements on the link.
fn learns_from_routers(device: &Device, snapshot: &Snapshot) -> bool {
    let by_route = snapshot.routes.iter().any(|route| {
        route.oif == Some(device.ifindex)
            && route.protocol == PROTOCOL_RA
            && route.kind == RouteKind::UNICAST
    });
    let by_address = snapshot.addresses.iter().any(|address| {
        address.ifindex == device.ifindex
            && address.scope == 0
            && !address.flags.contains(AddressFlags::PERMANENT)
    });
    by_route || by_address
}

const ALL: &str = "all";
const DEFAULT: &str = "default";
const FORWARDING: &str = "forwarding";
/// One link's own switch, which counts when that for all is off; Linux 6.17.
const FORCE_FORWARDING: &str = "force_forwarding";
const ACCEPT_RA: &str = "accept_ra";
const DISABLE_IPV6: &str = "disable_ipv6";
/// `RTPROT_RA`: the kernel learned the route from a Router Advertisement.
const PROTOCOL_RA: u8 = 9;

#[cfg(test)]
mod tests {
    use std::net::Ipv6Addr;

    use magpie_sys::netlink::RouteEvent;

    use super::*;
    use crate::links::samples::{device, follow};

    #[test]
    fn a_host_that_does_not_forward_is_told_so() {
        let findings = look(&empty(), &[("all", FORWARDING, 0)]);
        assert_eq!(findings.len(), 1);
        assert_eq!(
            findings[0].advice(),
            "IPv6 forwarding is off, so that no packet gets from link to link: run `sysctl -w \
             net.ipv6.conf.all.forwarding=1` or start with --fix"
        );
    }

    #[test]
    fn forwarding_may_be_on_for_all_or_forced_on_each() {
        assert!(look(&empty(), &[("all", FORWARDING, 1)]).is_empty());
        let forced = [("all", FORWARDING, 0), ("wan", FORCE_FORWARDING, 1)];
        assert_eq!(look(&empty(), &forced).len(), 1);
        let each =
            [("all", FORWARDING, 0), ("wan", FORCE_FORWARDING, 1), ("eth0.5", FORCE_FORWARDING, 1)];
        assert!(look(&empty(), &each).is_empty());
    }

    #[test]
    fn a_link_that_depends_on_a_router_must_go_on_listening_to_it() {
        let settings = [("all", FORWARDING, 1), ("wan", ACCEPT_RA, 1), ("eth0.5", ACCEPT_RA, 1)];
        assert!(look(&empty(), &settings).is_empty());
        let findings = look(&default_route(9), &settings);
        assert_eq!(findings.len(), 1);
        assert!(findings[0].advice().contains("`sysctl -w net/ipv6/conf/eth0.5/accept_ra=2`"));
        assert!(look(&default_route(8), &[("wan", ACCEPT_RA, 2)]).is_empty());
    }

    #[test]
    fn a_host_without_a_router_is_told_where_it_does_not_listen() {
        let deaf = [("all", FORWARDING, 1), ("wan", FORWARDING, 1), ("wan", ACCEPT_RA, 1)];
        let findings = look(&empty(), &deaf);
        assert_eq!(findings.len(), 1);
        assert!(findings[0].advice().contains("`sysctl -w net.ipv6.conf.wan.accept_ra=2`"));
        assert!(look(&default_route(7), &deaf).is_empty());
        let decided = [&deaf[..], &[("eth0.5", ACCEPT_RA, 2)]].concat();
        assert!(look(&empty(), &decided).is_empty());
    }

    #[test]
    fn a_host_that_is_told_to_forward_is_told_what_it_loses_by_that() {
        let settings = [("all", FORWARDING, 0), ("wan", FORWARDING, 0), ("wan", ACCEPT_RA, 1)];
        let told: Vec<String> = look(&empty(), &settings).iter().map(ToString::to_string).collect();
        assert_eq!(told, ["net.ipv6.conf.wan.accept_ra=2", "net.ipv6.conf.all.forwarding=1"]);
    }

    #[test]
    fn routers_are_not_believed_where_hosts_are() {
        let deaf: Vec<_> = ["wan", "eth0.5"]
            .into_iter()
            .flat_map(|link| [(link, FORWARDING, 1), (link, ACCEPT_RA, 1)])
            .chain([("all", FORWARDING, 1)])
            .collect();
        let told = |relay: &model::Relay, snapshot: &Snapshot| -> Vec<String> {
            let findings = look_at(relay, snapshot, &deaf);
            findings.iter().map(ToString::to_string).collect()
        };
        let wan = "net.ipv6.conf.wan.accept_ra=2";
        let lan = "net/ipv6/conf/eth0.5/accept_ra=2";

        let mut relay = relay();
        assert_eq!(told(&relay, &empty()), [wan, lan]);
        relay.links[0].role = Some(Role::Upstream);
        assert_eq!(told(&relay, &empty()), [wan]);
        // The link without a role has the router all the same.
        assert_eq!(told(&relay, &default_route(9)), [lan]);
        relay.links[1].role = Some(Role::Downstream);
        assert_eq!(told(&relay, &empty()), [wan]);
        assert!(told(&relay, &default_route(9)).is_empty());
        relay.links[0].role = None;
        assert_eq!(told(&relay, &empty()), [wan]);

        let mut responder = self::relay();
        responder.kind = Kind::Responder;
        assert!(told(&responder, &empty()).is_empty());
        assert_eq!(told(&responder, &default_route(9)), [lan]);
    }

    #[test]
    fn listening_to_routers_is_corrected_before_forwarding() {
        let settings = [("all", FORWARDING, 0), ("wan", ACCEPT_RA, 1), ("wan", DISABLE_IPV6, 1)];
        let keys: Vec<&str> =
            look(&default_route(8), &settings).iter().map(|finding| finding.setting.key).collect();
        assert_eq!(keys, [DISABLE_IPV6, ACCEPT_RA, FORWARDING]);
    }

    #[test]
    fn a_setting_is_put_back_where_its_device_is_now() {
        let changed =
            |ifindex| Changed { setting: Setting::new("wan", ACCEPT_RA), ifindex, before: 1 };
        let links = [device(8, "old"), device(9, "wan")];
        assert_eq!(changed(Some(8)).present(&links), Some(Setting::new("old", ACCEPT_RA)));
        assert_eq!(changed(Some(7)).present(&links), None);
        assert_eq!(changed(None).present(&links), Some(Setting::new("wan", ACCEPT_RA)));
    }

    fn relay() -> model::Relay {
        model::Relay::new(Kind::Relay, ["wan", "eth0.5"])
    }

    fn look(snapshot: &Snapshot, settings: &[(&str, &str, i64)]) -> Vec<Finding> {
        look_at(&relay(), snapshot, settings)
    }

    fn look_at(
        relay: &model::Relay,
        snapshot: &Snapshot,
        settings: &[(&str, &str, i64)],
    ) -> Vec<Finding> {
        let mut links = Links::new(relay);
        follow(&mut links, [device(8, "wan"), device(9, "eth0.5")]);
        let links: Vec<Served<'_>> = served(relay, &links).collect();
        inspect_with(&links, snapshot, &|setting| {
            let known =
                settings.iter().find(|(link, key, _)| *link == setting.link && *key == setting.key);
            known.map(|(_, _, value)| *value)
        })
    }

    fn empty() -> Snapshot {
        Snapshot::default()
    }

    fn default_route(ifindex: u32) -> Snapshot {
        let route = RouteEvent {
            destination: Ipv6Addr::UNSPECIFIED,
            prefix_len: 0,
            oif: Some(ifindex),
            gateway: Some("fe80::1".parse().unwrap()),
            metric: 1024,
            table: 254,
            protocol: PROTOCOL_RA,
            kind: RouteKind::UNICAST,
        };
        Snapshot { routes: vec![route], ..empty() }
    }
}
