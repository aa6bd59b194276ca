//! Finds out which interfaces the links of a configuration are at present, without serving any.

use magpie_config::model::Config;
use magpie_config::suggest::closest;

use crate::devices::Devices;
use crate::links::{Links, Member, settle};
use crate::obstacle::Obstacle;

/// What a configured link is at present.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Finding {
    /// The relay or responder.
    pub(crate) relay: String,
    /// What it calls the link.
    pub(crate) link: String,
    /// The interfaces that would be used.
    pub(crate) interfaces: Vec<String>,
    /// What it waits for, or why it is not more than it is.
    pub(crate) remark: Option<String>,
    /// The interface is there, and waiting does not make it fit.
    pub(crate) is_wrong: bool,
}

/// Looks at each configured link as the daemon would if it started now.
pub(crate) fn survey(config: &Config, devices: &Devices) -> Vec<Finding> {
    let mut places: Vec<Links> = config.relays.iter().map(Links::new).collect();
    settle(places.iter_mut(), devices);
    let places = config.relays.iter().zip(&places);
    let findings = places.flat_map(|(relay, links)| {
        links.iter().map(|member| Finding {
            relay: relay.name.clone(),
            link: member.name.clone(),
            interfaces: member.devices().iter().map(|device| device.name.clone()).collect(),
            remark: remark(member, devices),
            is_wrong: member.obstacle().is_some_and(Obstacle::takes_a_hand),
        })
    });
    findings.collect()
}

fn remark(member: &Member, devices: &Devices) -> Option<String> {
    let note = member.note()?;
    let is_missing = member.obstacle() == Some(&Obstacle::Missing);
    let names = devices.iter().map(|device| device.name.as_str());
    match closest(&member.name, names).filter(|_| is_missing) {
        Some(meant) => Some(format!("{note}, if {meant} is not meant")),
        None => Some(note),
    }
}

#[cfg(test)]
mod tests {
    use magpie_config::model::{BridgePort, Kind, Relay};
    use magpie_sys::netlink::LinkEvent;

    use super::*;
    use crate::links::samples::{bridge_port, device, device_of, vrf, vrf_member};

    #[test]
    fn each_link_is_shown_with_what_it_is_now() {
        let home = Relay::new(Kind::Relay, ["wan", "veth*", "kind:wireguard", "br-lna"]);
        let found = look(
            [home],
            [
                device(2, "wan"),
                device_of("bridge", 3, "br-lan"),
                bridge_port(4, "veth0", 3),
                bridge_port(5, "veth1", 3),
                device(6, "veth2"),
                device(7, "veth3"),
            ],
        );
        let [wan, veths, tunnels, mistyped] = found.as_slice() else { panic!("{found:?}") };
        assert_eq!((wan.interfaces.join(" "), &wan.remark), ("wan".to_owned(), &None));
        assert_eq!(veths.interfaces, ["veth2", "veth3"]);
        let remark = veths.remark.as_deref().unwrap();
        assert!(remark.contains("2 are ports of br-lan"), "{remark}");
        assert!(tunnels.interfaces.is_empty() && tunnels.remark.is_some());
        assert!(mistyped.remark.as_deref().unwrap().ends_with("if br-lan is not meant"));
        assert!(found.iter().all(|finding| !finding.is_wrong), "{found:?}");
    }

    #[test]
    fn a_bridge_is_used_for_its_port_where_that_is_wanted() {
        let mut home = Relay::new(Kind::Relay, ["wan", "eth1"]);
        let there =
            || [device(2, "wan"), device_of("bridge", 3, "br-lan"), bridge_port(4, "eth1", 3)];
        let found = look([home.clone()], there());
        let [_, port] = found.as_slice() else { panic!("{found:?}") };
        assert!(port.is_wrong && port.interfaces.is_empty());
        assert!(port.remark.as_deref().unwrap().contains("bridge br-lan"), "{port:?}");
        home.links[1].options.bridge_port = BridgePort::UseBridge;
        let found = look([home], there());
        assert_eq!(found[1].interfaces, ["br-lan"]);
        assert!(!found[1].is_wrong);
    }

    #[test]
    fn a_device_and_its_macvlan_are_no_relay_but_one_and_its_vlan_are() {
        for (kind, expected) in [("macvlan", true), ("macvtap", true), ("vlan", false)] {
            let child = LinkEvent { link: Some(2), ..device_of(kind, 3, "child") };
            let found =
                look([Relay::new(Kind::Relay, ["eth0", "child"])], [device(2, "eth0"), child]);
            assert_eq!(found[1].is_wrong, expected, "{kind}: {found:?}");
            let remark = found[1].remark.clone().unwrap_or_default();
            assert_eq!(remark.contains("eth0"), expected, "{kind}: {remark}");
        }
    }

    #[test]
    fn an_interface_is_in_one_relay_only_by_its_name_first() {
        let many = Relay::new(Kind::Relay, ["wan", "veth*"]);
        let one = Relay::new(Kind::Responder, ["veth7"]);
        let there = [device(2, "wan"), device(3, "veth7"), device(4, "veth8")];
        let found = look([many, one], there);
        let interfaces: Vec<String> =
            found.iter().map(|finding| finding.interfaces.join(" ")).collect();
        assert_eq!(interfaces, ["wan", "veth8", "veth7"]);
    }

    #[test]
    fn links_in_different_vrfs_are_no_relay_unless_a_table_is_given() {
        let mut home = Relay::new(Kind::Relay, ["eth0", "eth1"]);
        let there = || [vrf(9, "blue", 100), vrf_member(2, "eth0", 9), device(3, "eth1")];
        assert!(look([home.clone()], there())[1].is_wrong);
        home.routes.table = Some(100);
        assert!(!look([home], there())[1].is_wrong);
    }

    fn look(
        relays: impl IntoIterator<Item = Relay>,
        devices: impl IntoIterator<Item = LinkEvent>,
    ) -> Vec<Finding> {
        let relays = relays.into_iter().collect();
        let config = Config { relays, ..Config::default() };
        survey(&config, &devices.into_iter().collect())
    }
}
