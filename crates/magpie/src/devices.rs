//! Knows the devices that there are, and how they belong together.

use std::collections::BTreeMap;

use magpie_sys::netlink::{Change, LinkEvent};

/// All devices of the network namespace.
#[derive(Clone, Debug, Default)]
pub(crate) struct Devices {
    devices: BTreeMap<u32, LinkEvent>,
}

/// What gives its members a routing table of their own.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Vrf {
    pub(crate) ifindex: u32,
    /// The number of the table.
    pub(crate) table: u32,
}

/// What news of a device tell.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Difference {
    /// Nothing that was not known.
    None,
    /// Something about it.
    Properties,
    /// It came, went, or is up or connected where it was not before: routes may lead elsewhere now.
    State,
}

impl Devices {
    /// Takes note of news of a device.
    pub(crate) fn observe(&mut self, change: &Change<LinkEvent>) -> Difference {
        match change {
            Change::Present(event) => match self.devices.insert(event.ifindex, event.clone()) {
                Some(before) if before == *event => Difference::None,
                Some(before) if (before.up, before.carrier) == (event.up, event.carrier) => {
                    Difference::Properties
                }
                _ => Difference::State,
            },
            Change::Absent(event) => match self.devices.remove(&event.ifindex) {
                Some(_) => Difference::State,
                None => Difference::None,
            },
        }
    }

    /// The device with this index.
    pub(crate) fn get(&self, ifindex: u32) -> Option<&LinkEvent> {
        self.devices.get(&ifindex)
    }

    /// The device with this name.
    pub(crate) fn by_name(&self, name: &str) -> Option<&LinkEvent> {
        self.devices.values().find(|device| device.name == name)
    }

    /// All of them, oldest first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &LinkEvent> {
        self.devices.values()
    }

    /// Whether a device is a port of something that gets its frames in its stead.
    pub(crate) fn is_port(device: &LinkEvent) -> bool {
        device.slave_kind.as_deref().is_some_and(|kind| {
            device.master.is_some() && [BRIDGE, "bond", "team", "openvswitch"].contains(&kind)
        })
    }

    /// What gets the frames of a port, if it has links of its own.
    pub(crate) fn bridge(&self, port: &LinkEvent) -> Option<&LinkEvent> {
        let master = self.get(port.master?)?;
        // What the ports of Open vSwitch belong to only stands for all of its bridges.
        (port.slave_kind.as_deref() != Some("openvswitch")).then_some(master)
    }

    /// The VRF that a device belongs to.
    pub(crate) fn vrf(&self, device: &LinkEvent) -> Option<Vrf> {
        let master = self.get(device.master?)?;
        Some(Vrf { ifindex: master.ifindex, table: master.vrf_table? })
    }
}

impl FromIterator<LinkEvent> for Devices {
    fn from_iter<I: IntoIterator<Item = LinkEvent>>(events: I) -> Self {
        Self { devices: events.into_iter().map(|event| (event.ifindex, event)).collect() }
    }
}

const BRIDGE: &str = "bridge";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::links::samples::device;

    #[test]
    fn what_matters_to_routes_is_told_apart_from_the_rest() {
        let mut devices = Devices::default();
        let present = |event: LinkEvent| Change::Present(event);
        assert_eq!(devices.observe(&present(device(8, "wan"))), Difference::State);
        assert_eq!(devices.observe(&present(device(8, "wan"))), Difference::None);
        assert_eq!(devices.observe(&present(device(8, "old"))), Difference::Properties);
        let down = LinkEvent { carrier: false, ..device(8, "old") };
        assert_eq!(devices.observe(&present(down.clone())), Difference::State);
        assert_eq!(devices.observe(&Change::Absent(down.clone())), Difference::State);
        assert_eq!(devices.observe(&Change::Absent(down)), Difference::None);
    }
}
