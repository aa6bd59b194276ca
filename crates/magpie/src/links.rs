//! Decides which devices are the links that the daemon was told to serve.
//!
//! A link is configured by name, but from the moment a device of that name is taken it is known by
//! its index: a rename changes nothing, and another device that takes the name over meanwhile is
//! not taken. Only when the device has gone is the next one of that name taken.

use std::fmt;

use magpie_engine::{LinkId, LinkInfo};
use magpie_sys::netlink::LinkEvent;
use magpie_wire::LinkAddr;

/// The links that were asked for, and the devices that they are at present.
#[derive(Clone, Debug)]
pub(crate) struct Links {
    members: Vec<Member>,
}

/// One link that was asked for.
#[derive(Clone, Debug)]
pub(crate) struct Member {
    /// The name that was asked for.
    pub(crate) name: String,
    /// What became of it.
    pub(crate) presence: Presence,
}

/// Whether a link that was asked for is there.
#[derive(Clone, Debug)]
pub(crate) enum Presence {
    /// It is not, and why.
    Waiting(Obstacle),
    /// It is this device.
    Present(Device),
}

/// Why a link that was asked for is not served.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Obstacle {
    /// There is no device of that name.
    Missing,
    /// It is a port of a bridge, which gets all frames instead.
    BridgePort {
        /// Index of the bridge.
        bridge: Option<u32>,
    },
    /// Frames on it have no Ethernet header.
    NotEthernet,
    /// It is the loopback device under another name.
    Loopback,
    /// The kernel refused a socket on it, for this reason.
    Refused(String),
}

/// A device, as far as it matters here.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Device {
    pub(crate) ifindex: u32,
    /// Its present name.
    pub(crate) name: String,
    pub(crate) lladdr: LinkAddr,
    pub(crate) up: bool,
    pub(crate) carrier: bool,
}

/// What the news of a device means.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Verdict {
    /// Nothing to us.
    Unrelated,
    /// Nothing, although it has the name of a link whose device is still there under another.
    Impostor,
    /// A link that was waited for is there now.
    Arrived,
    /// What is known of a link changed.
    Changed,
    /// The link that was asked for under this name was there and cannot be served any longer.
    Left(String),
    /// The link that was asked for under this name is there, but cannot be served, for a reason
    /// that is new.
    Unfit(String),
}

impl Links {
    /// Starts with all links waited for.
    pub(crate) fn new<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        Self { members: names.into_iter().map(Member::waiting).collect() }
    }

    /// These links instead: those that were asked for before are what they were.
    pub(crate) fn configured<'a>(&self, names: impl IntoIterator<Item = &'a str>) -> Self {
        let member = |name| self.by_name(name).cloned().unwrap_or_else(|| Member::waiting(name));
        Self { members: names.into_iter().map(member).collect() }
    }

    /// Takes note of how a device is now.
    pub(crate) fn observe(&mut self, event: &LinkEvent) -> Verdict {
        if let Some(member) = self.members.iter_mut().find(|member| member.is(event.ifindex)) {
            return member.update(event);
        }
        let Some(member) = self.members.iter_mut().find(|member| member.name == event.name) else {
            return Verdict::Unrelated;
        };
        match &member.presence {
            Presence::Present(_) => Verdict::Impostor,
            Presence::Waiting(before) => match obstacle(event) {
                None => {
                    member.presence = Presence::Present(Device::new(event));
                    Verdict::Arrived
                }
                Some(now) if now == *before => Verdict::Unrelated,
                Some(now) => {
                    member.presence = Presence::Waiting(now);
                    Verdict::Unfit(member.name.clone())
                }
            },
        }
    }

    /// Takes note that the device with this index, named `name` at last, has gone; returns the
    /// name that was asked for of the link that has gone with it.
    pub(crate) fn vanish(&mut self, ifindex: u32, name: &str) -> Option<String> {
        if let Some(member) = self.members.iter_mut().find(|member| member.is(ifindex)) {
            member.presence = Presence::Waiting(Obstacle::Missing);
            return Some(member.name.clone());
        }
        let waiting = |member: &&mut Member| member.name == name && member.device().is_none();
        if let Some(member) = self.members.iter_mut().find(waiting) {
            member.presence = Presence::Waiting(Obstacle::Missing);
        }
        None
    }

    /// Takes note that the device with this index cannot be served after all.
    pub(crate) fn refuse(&mut self, ifindex: u32, obstacle: Obstacle) {
        if let Some(member) = self.members.iter_mut().find(|member| member.is(ifindex)) {
            member.presence = Presence::Waiting(obstacle);
        }
    }

    /// All links that were asked for, in that order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Member> {
        self.members.iter()
    }

    /// The devices of those that are there.
    pub(crate) fn devices(&self) -> impl Iterator<Item = &Device> {
        self.members.iter().filter_map(Member::device)
    }

    /// The link whose device has this index.
    pub(crate) fn by_index(&self, ifindex: u32) -> Option<&Member> {
        self.members.iter().find(|member| member.is(ifindex))
    }

    /// The link that was asked for under this name.
    pub(crate) fn by_name(&self, name: &str) -> Option<&Member> {
        self.members.iter().find(|member| member.name == name)
    }

    /// What the engine wants to know of the link whose device has this index.
    pub(crate) fn info(&self, ifindex: u32) -> Option<LinkInfo> {
        let position = self.members.iter().position(|member| member.is(ifindex))?;
        let device = self.members.get(position)?.device()?;
        Some(LinkInfo {
            member: magpie_engine::Member(u8::try_from(position).ok()?),
            lladdr: Some(device.lladdr),
            running: device.up && device.carrier,
        })
    }

    /// The identity of the link whose device has this index.
    pub(crate) fn id(&self, ifindex: u32) -> Option<LinkId> {
        self.by_index(ifindex).map(|_| LinkId(ifindex))
    }
}

impl Member {
    /// The device, if there is one.
    pub(crate) fn device(&self) -> Option<&Device> {
        match &self.presence {
            Presence::Present(device) => Some(device),
            Presence::Waiting(_) => None,
        }
    }

    /// Why it is not served, if it is not.
    pub(crate) fn obstacle(&self) -> Option<&Obstacle> {
        match &self.presence {
            Presence::Present(_) => None,
            Presence::Waiting(obstacle) => Some(obstacle),
        }
    }

    fn waiting(name: &str) -> Self {
        Self { name: name.to_owned(), presence: Presence::Waiting(Obstacle::Missing) }
    }

    fn is(&self, ifindex: u32) -> bool {
        self.device().is_some_and(|device| device.ifindex == ifindex)
    }

    fn update(&mut self, event: &LinkEvent) -> Verdict {
        if let Some(obstacle) = obstacle(event) {
            self.presence = Presence::Waiting(obstacle);
            return Verdict::Left(self.name.clone());
        }
        let device = Device::new(event);
        if self.device() == Some(&device) {
            return Verdict::Unrelated;
        }
        self.presence = Presence::Present(device);
        Verdict::Changed
    }
}

impl Device {
    fn new(event: &LinkEvent) -> Self {
        Self {
            ifindex: event.ifindex,
            name: event.name.clone(),
            lladdr: event.lladdr.unwrap_or(LinkAddr([0; 6])),
            up: event.up,
            carrier: event.carrier,
        }
    }

    /// The identity of the link.
    pub(crate) fn id(&self) -> LinkId {
        LinkId(self.ifindex)
    }

    /// How it is, in one stable word.
    pub(crate) fn state(&self) -> &'static str {
        match (self.up, self.carrier) {
            (false, _) => "down",
            (true, false) => "no-carrier",
            (true, true) => "up",
        }
    }
}

impl Obstacle {
    /// Whether it lies in what was configured, so that waiting cannot help.
    pub(crate) fn is_mistake(&self) -> bool {
        match self {
            Self::Missing | Self::Refused(_) => false,
            Self::BridgePort { .. } | Self::NotEthernet | Self::Loopback => true,
        }
    }
}

impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str("there is no such interface yet; it is waited for"),
            Self::BridgePort { .. } => f.write_str(
                "it is a port of a bridge, which gets all frames instead: give the bridge",
            ),
            Self::NotEthernet => f.write_str("it has no Ethernet frames, which are needed so far"),
            Self::Loopback => f.write_str("the loopback interface has no neighbors"),
            Self::Refused(why) => f.write_str(why),
        }
    }
}

/// Takes note of how a device is now, where links are asked for in several places; returns the
/// place to which it means something. A device is in one place only, whatever its name becomes.
pub(crate) fn observe<'a>(
    places: impl Iterator<Item = &'a mut Links>,
    event: &LinkEvent,
) -> Option<(usize, Verdict)> {
    let mut named = None;
    for (index, links) in places.enumerate() {
        if links.by_index(event.ifindex).is_some() {
            return Some((index, links.observe(event)));
        }
        if named.is_none() && links.by_name(&event.name).is_some() {
            named = Some((index, links));
        }
    }
    named.map(|(index, links)| (index, links.observe(event)))
}

fn obstacle(event: &LinkEvent) -> Option<Obstacle> {
    if event.is_bridge_port() {
        return Some(Obstacle::BridgePort { bridge: event.master });
    }
    match event.link_type {
        LinkEvent::ETHERNET => None,
        LinkEvent::LOOPBACK => Some(Obstacle::Loopback),
        _ => Some(Obstacle::NotEthernet),
    }
}

#[cfg(test)]
pub(crate) mod samples {
    use super::*;

    /// An Ethernet device that is up.
    pub(crate) fn device(ifindex: u32, name: &str) -> LinkEvent {
        LinkEvent {
            ifindex,
            name: name.to_owned(),
            kind: None,
            master: None,
            slave_kind: None,
            lladdr: Some(LinkAddr([2, 0, 0, 0, 0, 1])),
            up: true,
            carrier: true,
            mtu: 1500,
            flags: 0,
            link_type: LinkEvent::ETHERNET,
            link: None,
            link_namespace: None,
            vrf_table: None,
        }
    }

    /// A device that is a port of a bridge.
    pub(crate) fn bridge_port(ifindex: u32, name: &str, bridge: u32) -> LinkEvent {
        LinkEvent {
            master: Some(bridge),
            slave_kind: Some("bridge".to_owned()),
            ..device(ifindex, name)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::samples::{bridge_port, device};
    use super::*;

    #[test]
    fn a_link_is_waited_for_and_taken_when_it_comes() {
        let mut links = links();
        assert_eq!(links.by_name("wan").unwrap().obstacle(), Some(&Obstacle::Missing));
        assert_eq!(links.observe(&device(7, "eth0")), Verdict::Unrelated);
        assert_eq!(links.observe(&device(8, "wan")), Verdict::Arrived);
        assert_eq!(links.observe(&device(8, "wan")), Verdict::Unrelated);
        assert_eq!(links.id(8), Some(LinkId(8)));
        assert_eq!(links.id(7), None);
    }

    #[test]
    fn a_rename_changes_nothing_and_an_impostor_is_not_taken() {
        let mut links = links();
        links.observe(&device(8, "wan"));
        assert_eq!(links.observe(&device(8, "old")), Verdict::Changed);
        assert_eq!(links.by_index(8).unwrap().name, "wan");
        assert_eq!(links.by_index(8).unwrap().device().unwrap().name, "old");
        assert_eq!(links.observe(&device(9, "wan")), Verdict::Impostor);
        assert_eq!(links.id(9), None);
        assert_eq!(links.vanish(8, "old").as_deref(), Some("wan"));
        assert_eq!(links.observe(&device(9, "wan")), Verdict::Arrived);
    }

    #[test]
    fn a_device_that_is_made_anew_is_another_device() {
        let mut links = links();
        links.observe(&device(8, "wan"));
        assert_eq!(links.vanish(8, "wan").as_deref(), Some("wan"));
        assert_eq!(links.vanish(8, "wan"), None);
        assert_eq!(links.observe(&device(12, "wan")), Verdict::Arrived);
        assert_eq!(links.id(8), None);
        assert_eq!(links.id(12), Some(LinkId(12)));
    }

    #[test]
    fn a_bridge_port_is_refused_until_it_leaves_the_bridge() {
        let mut links = links();
        let port = bridge_port(8, "wan", 3);
        assert_eq!(links.observe(&port), Verdict::Unfit("wan".to_owned()));
        assert_eq!(links.observe(&port), Verdict::Unrelated);
        assert!(links.by_name("wan").unwrap().obstacle().unwrap().is_mistake());
        assert_eq!(links.observe(&device(8, "wan")), Verdict::Arrived);
        assert_eq!(links.observe(&port), Verdict::Left("wan".to_owned()));
        assert_eq!(links.id(8), None);
    }

    #[test]
    fn links_without_ethernet_are_refused() {
        for (link_type, expected) in
            [(LinkEvent::LOOPBACK, Obstacle::Loopback), (65_534, Obstacle::NotEthernet)]
        {
            let mut links = links();
            let event = LinkEvent { link_type, ..device(8, "wan") };
            assert_eq!(links.observe(&event), Verdict::Unfit("wan".to_owned()), "{link_type}");
            assert_eq!(links.by_name("wan").unwrap().obstacle(), Some(&expected));
            assert_eq!(links.vanish(8, "wan"), None);
            assert_eq!(links.by_name("wan").unwrap().obstacle(), Some(&Obstacle::Missing));
        }
    }

    #[test]
    fn carrier_and_address_changes_are_told() {
        let mut links = links();
        links.observe(&device(8, "wan"));
        let down = LinkEvent { carrier: false, ..device(8, "wan") };
        assert_eq!(links.observe(&down), Verdict::Changed);
        assert!(!links.info(8).unwrap().running);
        assert_eq!(links.by_index(8).unwrap().device().unwrap().state(), "no-carrier");
        let other = LinkEvent { lladdr: Some(LinkAddr([2; 6])), ..device(8, "wan") };
        assert_eq!(links.observe(&other), Verdict::Changed);
    }

    #[test]
    fn a_device_stays_where_it_is_although_its_new_name_is_asked_for_elsewhere() {
        let mut places = [Links::new(["wan"]), Links::new(["lan"])];
        let mut look = |event: &LinkEvent| observe(places.iter_mut(), event);
        assert_eq!(look(&device(7, "eth0")), None);
        assert_eq!(look(&device(8, "wan")), Some((0, Verdict::Arrived)));
        assert_eq!(look(&device(8, "lan")), Some((0, Verdict::Changed)));
        assert_eq!(look(&device(9, "lan")), Some((1, Verdict::Arrived)));
    }

    #[test]
    fn other_links_can_be_asked_for_and_the_rest_stays_as_it_is() {
        let mut links = links();
        links.observe(&device(8, "wan"));
        links.observe(&device(9, "lan"));
        let links = links.configured(["guest", "wan"]);
        assert_eq!(links.id(9), None);
        assert_eq!(links.info(8).map(|info| info.member.0), Some(1));
        assert_eq!(links.by_name("guest").unwrap().obstacle(), Some(&Obstacle::Missing));
    }

    fn links() -> Links {
        Links::new(["wan", "lan"])
    }
}
