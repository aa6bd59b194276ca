//! Decides which devices are the links that the daemon was told to serve.
//!
//! The configuration names links, or says what many of them have in common. From the moment a
//! device is taken it is known by its index: a rename changes nothing, and another device that takes
//! its name over meanwhile is not taken. Only when the device has gone is the next one taken that
//! fits what was asked for.

use std::collections::{BTreeMap, BTreeSet};

use magpie_config::model::{self, BridgePort, Kind, Method, Selector};
use magpie_engine::{LinkId, LinkInfo, RoutePolicy};
use magpie_sys::netlink::LinkEvent;
use magpie_wire::LinkAddr;

use crate::devices::{Devices, Vrf};
use crate::obstacle::{Obstacle, summary};

/// The links of one relay that were asked for, and the devices that they are at present.
#[derive(Clone, Debug)]
pub(crate) struct Links {
    members: Vec<Member>,
    /// Its host routes go into the table of the VRF that its links belong to, so that these have to
    /// belong to the same.
    follows_vrf: bool,
}

/// One link that was asked for, or what many have in common.
#[derive(Clone, Debug)]
pub(crate) struct Member {
    /// What was asked for, as it was written.
    pub(crate) name: String,
    bridge_port: BridgePort,
    /// The devices that it is, oldest first; one at most unless it stands for many.
    devices: Vec<Device>,
    /// Why it is none. Of what stands for many, none is nothing special.
    obstacle: Option<Obstacle>,
    /// Devices that it would be if nothing were in the way.
    passed: BTreeMap<u32, Obstacle>,
}

/// A device that is served, as far as it matters here.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Device {
    pub(crate) ifindex: u32,
    /// Its present name.
    pub(crate) name: String,
    /// None where nobody has one, so that frames begin with the IPv6 header.
    pub(crate) lladdr: Option<LinkAddr>,
    pub(crate) up: bool,
    pub(crate) carrier: bool,
    mtu: u32,
    vrf: Option<Vrf>,
    /// The device that was asked for, which is either this one or a port of it.
    origin: u32,
    /// What that belonged to when it was taken.
    master: Option<u32>,
}

/// What the present devices mean to the links of a relay.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum News {
    /// The device with this index is a link now.
    Arrived(u32),
    /// What is known of a link changed.
    Changed {
        ifindex: u32,
        /// It was not up before, and is now.
        went_up: bool,
        /// What the link was called, if it is called otherwise now.
        former: Option<String>,
    },
    /// A device is not a link any longer.
    Left {
        ifindex: u32,
        /// What the link was called.
        label: String,
        why: Obstacle,
    },
    /// The link that was asked for by this name is not there, for a reason that is new.
    Unfit(String),
}

impl Links {
    /// Starts with all links waited for.
    pub(crate) fn new(relay: &model::Relay) -> Self {
        let probes = |rule: &model::Rule| rule.method == Method::Probe;
        let makes_routes = relay.kind == Kind::Relay || relay.rules.iter().any(probes);
        Self {
            members: relay.links.iter().map(Member::waiting).collect(),
            follows_vrf: makes_routes
                && relay.routes.table.is_none()
                && relay.routes.policy != RoutePolicy::Never,
        }
    }

    /// These links instead: those that were asked for before are what they were, unless a device
    /// that was among many has one of the `names` that are asked for anywhere.
    pub(crate) fn configured(&self, relay: &model::Relay, names: &BTreeSet<String>) -> Self {
        let mut links = Self::new(relay);
        for member in &mut links.members {
            let Some(before) = self.members.iter().find(|before| before.name == member.name) else {
                continue;
            };
            member.devices.clone_from(&before.devices);
            member.obstacle.clone_from(&before.obstacle);
            if member.is_plural() {
                member.devices.retain(|device| !names.contains(&device.name));
            }
        }
        links
    }

    /// All links that were asked for, in that order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Member> {
        self.members.iter()
    }

    /// The devices that are served.
    pub(crate) fn devices(&self) -> impl Iterator<Item = &Device> {
        self.members.iter().flat_map(|member| &member.devices)
    }

    /// The device with this index, and what was asked for that it is.
    pub(crate) fn by_index(&self, ifindex: u32) -> Option<(&Member, &Device)> {
        self.members.iter().find_map(|member| Some((member, member.device(ifindex)?)))
    }

    /// The link that was asked for by this name.
    pub(crate) fn by_name(&self, name: &str) -> Option<&Member> {
        self.members.iter().find(|member| member.name == name)
    }

    /// What the link whose device has this index is called: as it was asked for, or as its device is
    /// where many were asked for.
    pub(crate) fn label(&self, ifindex: u32) -> Option<&str> {
        self.by_index(ifindex).map(|(member, device)| member.label(device))
    }

    /// The device of the link that is called so.
    pub(crate) fn by_label(&self, label: &str) -> Option<&Device> {
        let mut all = self
            .members
            .iter()
            .flat_map(|member| member.devices.iter().map(move |device| (member, device)));
        all.find(|(member, device)| member.label(device) == label).map(|(_, device)| device)
    }

    /// What the engine wants to know of the link whose device has this index.
    pub(crate) fn info(&self, ifindex: u32) -> Option<LinkInfo> {
        let mut places = self.members.iter().enumerate();
        let (position, device) =
            places.find_map(|(position, member)| Some((position, member.device(ifindex)?)))?;
        Some(LinkInfo {
            member: magpie_engine::Member(u8::try_from(position).ok()?),
            lladdr: device.lladdr,
            running: device.up && device.carrier,
            mtu: device.mtu,
        })
    }

    /// The identity of the link whose device has this index.
    pub(crate) fn id(&self, ifindex: u32) -> Option<LinkId> {
        self.by_index(ifindex).map(|(_, device)| device.id())
    }

    /// The VRF that the links belong to, if they do and no table was asked for.
    pub(crate) fn vrf(&self) -> Option<Vrf> {
        self.devices().next().filter(|_| self.follows_vrf)?.vrf
    }

    /// Names that were asked for, each of which is one device's.
    fn exact_names(&self) -> impl Iterator<Item = &str> {
        self.members.iter().filter(|member| !member.is_plural()).map(|member| member.name.as_str())
    }

    /// Takes note of how the devices are that are served, and lets go of those that cannot be any
    /// longer.
    fn review(&mut self, devices: &Devices, news: &mut Vec<News>) {
        for member in &mut self.members {
            let before = std::mem::take(&mut member.devices);
            for known in before {
                match member.review(&known, devices) {
                    Ok(device) => {
                        if !device.is_like(&known) {
                            let former = member.label(&known);
                            let is_renamed = former != member.label(&device);
                            news.push(News::Changed {
                                ifindex: device.ifindex,
                                went_up: device.up && !known.up,
                                former: is_renamed.then(|| former.to_owned()),
                            });
                        }
                        member.devices.push(device);
                    }
                    Err(why) => {
                        let label = member.label(&known).to_owned();
                        if !member.is_plural() {
                            member.obstacle = Some(why.clone());
                        }
                        news.push(News::Left { ifindex: known.ifindex, label, why });
                    }
                }
            }
        }
        if !self.follows_vrf {
            return;
        }
        let Some(vrf) = self.devices().next().map(|device| device.vrf) else { return };
        for member in &mut self.members {
            let (kept, strangers) = std::mem::take(&mut member.devices)
                .into_iter()
                .partition(|device: &Device| device.vrf == vrf);
            member.devices = kept;
            for stranger in strangers {
                let label = member.label(&stranger).to_owned();
                if !member.is_plural() {
                    member.obstacle = Some(Obstacle::OtherVrf);
                }
                let why = Obstacle::OtherVrf;
                news.push(News::Left { ifindex: stranger.ifindex, label, why });
            }
        }
    }

    /// Whether a device can be a link beside those that are served.
    fn admit(&self, event: &LinkEvent, devices: &Devices) -> Result<(), Obstacle> {
        let mut present = self.devices();
        if let Some(kin) = present.find(|device| {
            devices.get(device.ifindex).is_some_and(|served| are_deaf_to_each_other(served, event))
        }) {
            return Err(Obstacle::Deaf { other: kin.name.clone() });
        }
        let first = self.devices().next();
        let is_stranger = |first: &Device| first.vrf != devices.vrf(event);
        if self.follows_vrf && first.is_some_and(is_stranger) {
            return Err(Obstacle::OtherVrf);
        }
        Ok(())
    }
}

impl Member {
    /// Whether it stands for many.
    pub(crate) fn is_plural(&self) -> bool {
        self.selector().is_plural()
    }

    /// The devices that it is, oldest first.
    pub(crate) fn devices(&self) -> &[Device] {
        &self.devices
    }

    /// What the link that is this device is called.
    pub(crate) fn label<'m>(&'m self, device: &'m Device) -> &'m str {
        if self.is_plural() { &device.name } else { &self.name }
    }

    /// Why a link that was asked for by name is not there.
    pub(crate) fn obstacle(&self) -> Option<&Obstacle> {
        self.obstacle.as_ref().filter(|_| self.devices.is_empty())
    }

    /// Whether devices that it means are there and are passed over.
    pub(crate) fn passes_over(&self) -> bool {
        !summary(self.passed.values()).is_empty()
    }

    /// What it waits for, or why it is not more than it is.
    pub(crate) fn note(&self) -> Option<String> {
        if !self.is_plural() {
            return self.obstacle().map(ToString::to_string);
        }
        let passed = summary(self.passed.values());
        match (passed.is_empty(), self.devices.is_empty()) {
            (false, _) => Some(passed),
            (true, true) => {
                Some("there are no such interfaces yet; they are waited for".to_owned())
            }
            (true, false) => None,
        }
    }

    fn waiting(link: &model::Link) -> Self {
        Self {
            name: link.name.clone(),
            bridge_port: link.options.bridge_port,
            devices: Vec::new(),
            obstacle: None,
            passed: BTreeMap::new(),
        }
    }

    fn selector(&self) -> Selector<'_> {
        Selector::of(&self.name)
    }

    fn device(&self, ifindex: u32) -> Option<&Device> {
        self.devices.iter().find(|device| device.ifindex == ifindex)
    }

    /// How a device that is served is now.
    fn review(&self, known: &Device, devices: &Devices) -> Result<Device, Obstacle> {
        self.reach(known, devices).or_else(|why| {
            // A bridge that lost the port for which it was taken may have others.
            let mut others = devices.iter().filter(|event| {
                self.is_plural() && Devices::is_port(event) && self.selects(event, devices)
            });
            others
                .find_map(|origin| {
                    let event = self.resolve(origin, devices).ok()?;
                    let is_it = event.ifindex == known.ifindex;
                    is_it.then(|| Device::new(event, origin, devices))
                })
                .ok_or(why)
        })
    }

    /// How a device that is served is now, if it is so for the reason for which it was taken.
    fn reach(&self, known: &Device, devices: &Devices) -> Result<Device, Obstacle> {
        let origin = devices.get(known.origin).ok_or(Obstacle::Missing)?;
        let is_by_master = matches!(self.selector(), Selector::Master(_));
        if is_by_master && origin.master != known.master {
            return Err(Obstacle::Released);
        }
        let event = self.resolve(origin, devices)?;
        if event.ifindex != known.ifindex {
            return Err(Obstacle::Released);
        }
        Ok(Device::new(event, origin, devices))
    }

    /// The device that has to be served for this one to be: itself, or its bridge.
    fn resolve<'d>(
        &self,
        event: &'d LinkEvent,
        devices: &'d Devices,
    ) -> Result<&'d LinkEvent, Obstacle> {
        if !Devices::is_port(event) {
            return unfitness(event).map_or(Ok(event), Err);
        }
        let bridge = devices.bridge(event);
        let may_use = self.bridge_port == BridgePort::UseBridge
            || matches!(self.selector(), Selector::Master(_));
        match bridge.filter(|_| may_use) {
            // It may be a port itself.
            Some(bridge) if !Devices::is_port(bridge) => unfitness(bridge).map_or(Ok(bridge), Err),
            _ => Err(Obstacle::BridgePort { bridge: bridge.map(|bridge| bridge.name.clone()) }),
        }
    }

    /// Whether a device is one of those that were asked for.
    fn selects(&self, event: &LinkEvent, devices: &Devices) -> bool {
        let master = event.master.and_then(|master| devices.get(master));
        let master = master.map(|master| master.name.as_str());
        let kind = event.kind.as_deref();
        let selector = self.selector();
        // A bridge is there for its ports, also for those that it has not got yet.
        let is_bridge = || selector == Selector::Master(&event.name) && kind == Some("bridge");
        selector.matches(&event.name, kind, master) || is_bridge()
    }
}

impl Device {
    fn new(event: &LinkEvent, origin: &LinkEvent, devices: &Devices) -> Self {
        Self {
            ifindex: event.ifindex,
            name: event.name.clone(),
            lladdr: event.lladdr.filter(|_| event.link_type == LinkEvent::ETHERNET),
            mtu: event.mtu,
            up: event.up,
            carrier: event.carrier,
            vrf: devices.vrf(event),
            origin: origin.ifindex,
            master: origin.master,
        }
    }

    /// The identity of the link.
    pub(crate) fn id(&self) -> LinkId {
        LinkId(self.ifindex)
    }

    /// Whether it is the bridge of the device that was asked for.
    pub(crate) fn is_substitute(&self) -> bool {
        self.origin != self.ifindex
    }

    /// Whether nothing is different but for what it is served.
    fn is_like(&self, other: &Self) -> bool {
        let &Self { origin, master, .. } = self;
        *self == Self { origin, master, ..other.clone() }
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

/// Brings the links that were asked for in several places into line with the devices that there
/// are; returns what that means, with the place that it means something to.
///
/// A device is in one place only, whatever its name becomes. Who asks for one by name comes first,
/// then the others, in the order in which they asked.
pub(crate) fn settle<'a>(
    places: impl Iterator<Item = &'a mut Links>,
    devices: &Devices,
) -> Vec<(usize, News)> {
    let mut places: Vec<(&mut Links, Vec<News>)> =
        places.map(|links| (links, Vec::new())).collect();
    for (links, news) in &mut places {
        links.review(devices, news);
    }
    let mut taken = BTreeSet::new();
    let mut names = BTreeSet::new();
    for (links, _) in &places {
        for device in links.devices() {
            taken.extend([device.ifindex, device.origin]);
        }
        names.extend(links.exact_names().map(ToOwned::to_owned));
    }
    for (links, news) in &mut places {
        links.take_named(devices, &mut taken, news);
    }
    for (links, news) in &mut places {
        links.take_many(devices, &names, &mut taken, news);
    }
    let tagged = |(place, (_, news)): (usize, (_, Vec<News>))| {
        news.into_iter().map(move |news| (place, news))
    };
    places.into_iter().enumerate().flat_map(tagged).collect()
}

impl Links {
    /// Takes devices that were asked for by name.
    fn take_named(&mut self, devices: &Devices, taken: &mut BTreeSet<u32>, news: &mut Vec<News>) {
        for position in 0..self.members.len() {
            let Some(member) = self.members.get(position) else { return };
            if member.is_plural() || !member.devices.is_empty() {
                continue;
            }
            let found = match devices.by_name(&member.name) {
                None => Err(Obstacle::Missing),
                Some(event) if taken.contains(&event.ifindex) => Err(Obstacle::Taken),
                Some(event) => self.candidate(position, event, devices, taken),
            };
            let Some(member) = self.members.get_mut(position) else { return };
            match found {
                Ok(device) => {
                    taken.extend([device.ifindex, device.origin]);
                    news.push(News::Arrived(device.ifindex));
                    member.obstacle = None;
                    member.devices.push(device);
                }
                Err(why) => {
                    // That a link is not there is told when it goes, and need not be at the start.
                    if member.obstacle.as_ref() != Some(&why) && why != Obstacle::Missing {
                        news.push(News::Unfit(member.name.clone()));
                    }
                    member.obstacle = Some(why);
                }
            }
        }
    }

    /// Takes devices that were asked for without their names.
    fn take_many(
        &mut self,
        devices: &Devices,
        names: &BTreeSet<String>,
        taken: &mut BTreeSet<u32>,
        news: &mut Vec<News>,
    ) {
        for position in 0..self.members.len() {
            let Some(member) = self.members.get(position) else { return };
            if !member.is_plural() {
                continue;
            }
            let mut passed = BTreeMap::new();
            let mut arrived = Vec::new();
            for event in devices.iter() {
                let Some(member) = self.members.get(position) else { return };
                // One that has the name of a link that is there under another is an impostor.
                if taken.contains(&event.ifindex)
                    || names.contains(&event.name)
                    || !member.selects(event, devices)
                {
                    continue;
                }
                match self.candidate(position, event, devices, taken) {
                    Ok(device) => {
                        taken.extend([device.ifindex, device.origin]);
                        arrived.push(device.ifindex);
                        if let Some(member) = self.members.get_mut(position) {
                            member.devices.push(device);
                        }
                    }
                    // Another port of a bridge that is used is in use by that.
                    Err(Obstacle::Taken | Obstacle::Loopback) => {}
                    Err(why) => drop(passed.insert(event.ifindex, why)),
                }
            }
            news.extend(arrived.into_iter().map(News::Arrived));
            if let Some(member) = self.members.get_mut(position) {
                member.passed = passed;
            }
        }
    }

    /// The device that one which was asked for comes to, if it can be served.
    fn candidate(
        &self,
        position: usize,
        origin: &LinkEvent,
        devices: &Devices,
        taken: &BTreeSet<u32>,
    ) -> Result<Device, Obstacle> {
        let member = self.members.get(position).ok_or(Obstacle::Missing)?;
        let event = member.resolve(origin, devices)?;
        if event.ifindex != origin.ifindex && taken.contains(&event.ifindex) {
            return Err(Obstacle::Taken);
        }
        self.admit(event, devices)?;
        Ok(Device::new(event, origin, devices))
    }
}

/// Why a device can never be a link as it is.
fn unfitness(event: &LinkEvent) -> Option<Obstacle> {
    if event.mtu < SMALLEST_MTU {
        return Some(Obstacle::SmallMtu);
    }
    match event.link_type {
        LinkEvent::LOOPBACK => Some(Obstacle::Loopback),
        LinkEvent::ETHERNET if event.lladdr.is_some() => None,
        _ if event.is_bare() => None,
        _ => Some(Obstacle::OtherLinkLayer),
    }
}

/// Whether the kernel keeps two devices from hearing each other although they are on one network:
/// a device and one that stands on it with a link-layer address of its own, or with the same.
fn are_deaf_to_each_other(one: &LinkEvent, other: &LinkEvent) -> bool {
    let stands_on = |upper: &LinkEvent, lower: &LinkEvent| {
        upper.kind.as_deref().is_some_and(|kind| DEAF_KINDS.contains(&kind))
            && upper.link == Some(lower.ifindex)
            && upper.link_namespace.is_none()
    };
    stands_on(one, other) || stands_on(other, one)
}

/// Kinds of devices that neither hear the one below nor are heard there.
const DEAF_KINDS: [&str; 4] = ["macvlan", "macvtap", "ipvlan", "ipvtap"];
/// Below, the kernel has no IPv6 on a device (RFC 8200 section 5).
const SMALLEST_MTU: u32 = 1280;

#[cfg(test)]
pub(crate) mod samples {
    use super::*;

    /// Links with these names, or those that these stand for, all waited for.
    pub(crate) fn links<'a>(names: impl IntoIterator<Item = &'a str>) -> Links {
        Links::new(&model::Relay::new(Kind::Relay, names))
    }

    /// Brings links into line with these devices.
    pub(crate) fn follow(
        links: &mut Links,
        devices: impl IntoIterator<Item = LinkEvent>,
    ) -> Vec<News> {
        let news = settle([links].into_iter(), &devices.into_iter().collect());
        news.into_iter().map(|(_, news)| news).collect()
    }

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

    /// A device of this kind that is up.
    pub(crate) fn device_of(kind: &str, ifindex: u32, name: &str) -> LinkEvent {
        LinkEvent { kind: Some(kind.to_owned()), ..device(ifindex, name) }
    }

    /// A device that is a port of a bridge.
    pub(crate) fn bridge_port(ifindex: u32, name: &str, bridge: u32) -> LinkEvent {
        LinkEvent {
            master: Some(bridge),
            slave_kind: Some("bridge".to_owned()),
            ..device(ifindex, name)
        }
    }

    /// A device that belongs to a VRF.
    pub(crate) fn vrf_member(ifindex: u32, name: &str, vrf: u32) -> LinkEvent {
        LinkEvent { slave_kind: Some("vrf".to_owned()), ..bridge_port(ifindex, name, vrf) }
    }

    /// A VRF.
    pub(crate) fn vrf(ifindex: u32, name: &str, table: u32) -> LinkEvent {
        LinkEvent { vrf_table: Some(table), ..device_of("vrf", ifindex, name) }
    }
}

#[cfg(test)]
mod tests {
    use super::samples::{bridge_port, device, device_of, follow, links, vrf, vrf_member};
    use super::*;

    #[test]
    fn a_link_is_waited_for_and_taken_when_it_comes() {
        let mut links = links(["wan", "lan"]);
        assert_eq!(follow(&mut links, [device(7, "eth0")]), []);
        assert_eq!(links.by_name("wan").unwrap().obstacle(), Some(&Obstacle::Missing));
        let there = [device(7, "eth0"), device(8, "wan")];
        assert_eq!(follow(&mut links, there.clone()), [News::Arrived(8)]);
        assert_eq!(follow(&mut links, there), []);
        assert_eq!(links.id(8), Some(LinkId(8)));
        assert_eq!(links.id(7), None);
    }

    #[test]
    fn a_rename_changes_nothing_and_an_impostor_is_not_taken() {
        // The pattern would fit the impostor.
        let mut links = links(["wan", "w*"]);
        follow(&mut links, [device(8, "wan")]);
        assert_eq!(follow(&mut links, [device(8, "old")]), [changed(8)]);
        assert_eq!(links.label(8), Some("wan"));
        assert_eq!(links.by_label("wan").unwrap().name, "old");
        assert_eq!(follow(&mut links, [device(8, "old"), device(9, "wan")]), []);
        assert_eq!(links.id(9), None);
        let news = follow(&mut links, [device(9, "wan")]);
        assert_eq!(news, [left(8, "wan", Obstacle::Missing), News::Arrived(9)]);
    }

    #[test]
    fn a_device_that_is_made_anew_is_another_device() {
        let mut links = links(["wan"]);
        follow(&mut links, [device(8, "wan")]);
        assert_eq!(follow(&mut links, []), [left(8, "wan", Obstacle::Missing)]);
        assert_eq!(follow(&mut links, []), []);
        assert_eq!(follow(&mut links, [device(12, "wan")]), [News::Arrived(12)]);
    }

    #[test]
    fn many_are_taken_by_pattern_kind_or_master() {
        let bridge = || device_of("bridge", 3, "br0");
        let all = [
            device(1, "eth0"),
            device_of("veth", 2, "veth1"),
            bridge(),
            bridge_port(4, "port1", 3),
            vrf(5, "blue", 100),
            vrf_member(6, "cust1", 5),
            bridge_port(7, "veth2", 3),
        ];
        for (text, expected) in [
            ("veth?", &[2][..]),
            ("*1", &[2, 6]),
            ("kind:veth", &[2]),
            ("kind:hardware", &[1, 6]),
            ("kind:bridge", &[3]),
            ("master:blue", &[6]),
            ("master:br0", &[3]),
            ("master:red", &[]),
        ] {
            // A VRF of its own is no matter where the table is given.
            let mut links = unruled([text]);
            follow(&mut links, all.clone());
            let taken: Vec<u32> = links.devices().map(|device| device.ifindex).collect();
            assert_eq!(taken, expected, "{text}");
        }
        let mut links = links(["*"]);
        follow(&mut links, [bridge(), bridge_port(4, "a", 3), bridge_port(7, "b", 3)]);
        assert!(links.by_name("*").unwrap().passes_over());
        let note = links.by_name("*").unwrap().note();
        assert_eq!(note.as_deref(), Some("2 are ports of br0, which could be given instead"));
    }

    #[test]
    fn who_is_asked_for_by_name_is_not_among_many() {
        let mut places = [unruled(["veth*", "veth9"]), unruled(["kind:veth", "veth1"])];
        let devices: Devices = [1, 2, 9]
            .map(|index| device_of("veth", index, &format!("veth{index}")))
            .into_iter()
            .collect();
        settle(places.iter_mut(), &devices);
        let [one, other] = &places;
        assert_eq!(one.info(2).map(|info| info.member.0), Some(0));
        assert_eq!(one.info(9).map(|info| info.member.0), Some(1));
        assert_eq!((one.info(1), other.info(1).map(|info| info.member.0)), (None, Some(1)));
        assert_eq!(other.devices().count(), 1);
    }

    #[test]
    fn one_of_many_stays_whatever_its_name_becomes() {
        let mut links = links(["veth*", "wan"]);
        follow(&mut links, [device(2, "veth1")]);
        assert_eq!(
            follow(&mut links, [device(2, "wan")]),
            [
                News::Changed { ifindex: 2, went_up: false, former: Some("veth1".to_owned()) },
                News::Unfit("wan".to_owned())
            ]
        );
        assert_eq!(links.label(2), Some("wan"));
        assert_eq!(links.by_name("wan").unwrap().obstacle(), Some(&Obstacle::Taken));
        assert_eq!(follow(&mut links, []), [left(2, "wan", Obstacle::Missing)]);
        // Served by nobody, a device may get a name that is waited for.
        follow(&mut links, [device(3, "eth0")]);
        assert_eq!(follow(&mut links, [device(3, "wan")]), [News::Arrived(3)]);
        assert_eq!(links.info(3).map(|info| info.member.0), Some(1));
    }

    #[test]
    fn who_leaves_the_master_is_released() {
        let mut links = links(["master:blue"]);
        let blue = || vrf(5, "blue", 100);
        follow(&mut links, [blue(), vrf_member(6, "a", 5)]);
        assert_eq!(links.vrf(), Some(Vrf { ifindex: 5, table: 100 }));
        let renamed = [vrf(5, "azure", 100), vrf_member(6, "a", 5)];
        assert_eq!(follow(&mut links, renamed), []);
        let news = follow(&mut links, [blue(), device(6, "a")]);
        assert_eq!(news, [left(6, "a", Obstacle::Released)]);
        assert_eq!(links.vrf(), None);
    }

    #[test]
    fn a_bridge_port_is_refused_until_it_leaves_the_bridge() {
        let mut links = links(["wan", "lan"]);
        let bridge = || device_of("bridge", 3, "br0");
        let port = || [bridge(), bridge_port(8, "wan", 3)];
        assert_eq!(follow(&mut links, port()), [News::Unfit("wan".to_owned())]);
        assert_eq!(follow(&mut links, port()), []);
        let obstacle = links.by_name("wan").unwrap().obstacle().unwrap();
        assert!(obstacle.is_mistake() && obstacle.to_string().contains("give br0 instead"));
        assert_eq!(follow(&mut links, [bridge(), device(8, "wan")]), [News::Arrived(8)]);
        let why = Obstacle::BridgePort { bridge: Some("br0".to_owned()) };
        assert_eq!(follow(&mut links, port()), [left(8, "wan", why)]);
        assert_eq!(links.id(8), None);
    }

    #[test]
    fn the_bridge_of_a_port_is_used_once_if_that_is_wanted() {
        let mut relay = model::Relay::new(Kind::Relay, ["wan", "lan1", "lan2"]);
        for link in &mut relay.links {
            link.options.bridge_port = BridgePort::UseBridge;
        }
        let mut links = Links::new(&relay);
        let bridge = || device_of("bridge", 3, "br0");
        let (one, other) = (|| bridge_port(4, "lan1", 3), || bridge_port(5, "lan2", 3));
        let news = follow(&mut links, [bridge(), one(), other()]);
        assert_eq!(news, [News::Arrived(3), News::Unfit("lan2".to_owned())]);
        assert_eq!(links.label(3), Some("lan1"));
        assert_eq!(links.by_name("lan2").unwrap().obstacle(), Some(&Obstacle::Taken));
        // The first leaves the bridge and is itself now; so the bridge is the other's.
        let news = follow(&mut links, [bridge(), device(4, "lan1"), other()]);
        assert_eq!(news, [left(3, "lan1", Obstacle::Released), News::Arrived(4), News::Arrived(3)]);
        assert_eq!(links.label(3), Some("lan2"));
    }

    #[test]
    fn a_bridge_stays_a_link_while_it_has_ports_that_were_asked_for() {
        let mut links = links(["master:br0"]);
        let bridge = || device_of("bridge", 9, "br0");
        let port = |index: u32| bridge_port(index, &format!("p{index}"), 9);
        assert_eq!(follow(&mut links, [port(2), port(3), bridge()]), [News::Arrived(9)]);
        assert_eq!(follow(&mut links, [device(2, "p2"), port(3), bridge()]), []);
        assert_eq!(links.devices().count(), 1);
    }

    #[test]
    fn what_can_never_be_a_link_is_refused() {
        for (event, expected) in [
            (LinkEvent { link_type: LinkEvent::LOOPBACK, ..device(8, "wan") }, Obstacle::Loopback),
            (LinkEvent { link_type: 32, ..device(8, "wan") }, Obstacle::OtherLinkLayer),
            (LinkEvent { mtu: 1279, ..device(8, "wan") }, Obstacle::SmallMtu),
        ] {
            let mut links = links(["wan", "*"]);
            let news = follow(&mut links, [event.clone()]);
            assert_eq!(news, [News::Unfit("wan".to_owned())], "{event:?}");
            assert_eq!(links.by_name("wan").unwrap().obstacle(), Some(&expected));
            follow(&mut links, []);
            assert_eq!(links.by_name("wan").unwrap().obstacle(), Some(&Obstacle::Missing));
        }
    }

    #[test]
    fn a_tunnel_is_a_link_without_an_address() {
        let mut links = links(["tun*"]);
        let tunnel = LinkEvent { link_type: 65534, lladdr: None, ..device(8, "tun0") };
        assert_eq!(follow(&mut links, [tunnel]), [News::Arrived(8)]);
        assert_eq!(links.info(8).unwrap().lladdr, None);
    }

    #[test]
    fn of_two_that_cannot_hear_each_other_the_later_one_waits() {
        let child = || LinkEvent { link: Some(8), ..device_of("macvlan", 9, "child") };
        let mut links = links(["child", "parent"]);
        let news = follow(&mut links, [device(8, "parent"), child()]);
        assert_eq!(news, [News::Arrived(9), News::Unfit("parent".to_owned())]);
        let waiting = links.by_name("parent").unwrap().note().unwrap();
        assert!(waiting.contains("child share a device"), "{waiting}");
        let news = follow(&mut links, [device(8, "parent")]);
        assert_eq!(news, [left(9, "child", Obstacle::Missing), News::Arrived(8)]);

        // In relays of their own they do not need to.
        let mut places = [unruled(["child"]), unruled(["parent"])];
        let devices = [device(8, "parent"), child()].into_iter().collect();
        assert_eq!(settle(places.iter_mut(), &devices).len(), 2);
        let tagged = LinkEvent { link: Some(8), ..device_of("vlan", 9, "child") };
        let mut links = unruled(["child", "parent"]);
        follow(&mut links, [device(8, "parent"), tagged]);
        assert_eq!(links.devices().count(), 2);
    }

    #[test]
    fn links_of_a_relay_belong_to_the_same_vrf() {
        let mut links = links(["wan", "lan"]);
        let blue = || vrf(5, "blue", 100);
        let news = follow(&mut links, [blue(), vrf_member(8, "wan", 5), device(9, "lan")]);
        assert_eq!(news, [News::Arrived(8), News::Unfit("lan".to_owned())]);
        assert_eq!(links.by_name("lan").unwrap().obstacle(), Some(&Obstacle::OtherVrf));
        let both = [blue(), vrf_member(8, "wan", 5), vrf_member(9, "lan", 5)];
        assert_eq!(follow(&mut links, both), [News::Arrived(9)]);
        assert_eq!(links.vrf(), Some(Vrf { ifindex: 5, table: 100 }));
        let news = follow(&mut links, [blue(), device(8, "wan"), vrf_member(9, "lan", 5)]);
        assert_eq!(news, [changed(8), left(9, "lan", Obstacle::OtherVrf)]);
        assert_eq!(links.vrf(), None);

        let mut links = unruled(["wan", "lan"]);
        follow(&mut links, [blue(), vrf_member(8, "wan", 5), device(9, "lan")]);
        assert_eq!((links.devices().count(), links.vrf()), (2, None));
    }

    #[test]
    fn carrier_and_address_changes_are_told() {
        let mut links = links(["wan"]);
        follow(&mut links, [device(8, "wan")]);
        let lost = LinkEvent { carrier: false, ..device(8, "wan") };
        assert_eq!(follow(&mut links, [lost]), [changed(8)]);
        assert!(!links.info(8).unwrap().running);
        assert_eq!(links.by_label("wan").unwrap().state(), "no-carrier");
        let down = LinkEvent { up: false, carrier: false, ..device(8, "wan") };
        assert_eq!(follow(&mut links, [down]), [changed(8)]);
        let other = LinkEvent { lladdr: Some(LinkAddr([2; 6])), ..device(8, "wan") };
        assert_eq!(
            follow(&mut links, [other]),
            [News::Changed { ifindex: 8, went_up: true, former: None }]
        );
    }

    #[test]
    fn a_device_stays_where_it_is_although_its_new_name_is_asked_for_elsewhere() {
        let mut places = [unruled(["wan"]), unruled(["lan"])];
        let mut look =
            |events: &[LinkEvent]| settle(places.iter_mut(), &events.iter().cloned().collect());
        assert_eq!(look(&[device(8, "wan")]), [(0, News::Arrived(8))]);
        let news = look(&[device(8, "lan")]);
        assert_eq!(news, [(0, changed(8)), (1, News::Unfit("lan".to_owned()))]);
        assert_eq!(
            look(&[device(8, "old"), device(9, "lan")]),
            [(0, changed(8)), (1, News::Arrived(9))]
        );
    }

    #[test]
    fn other_links_can_be_asked_for_and_the_rest_stays_as_it_is() {
        let mut links = links(["wan", "lan", "veth*"]);
        let all = || [device(8, "wan"), device(9, "lan"), device(3, "veth1"), device(4, "veth2")];
        follow(&mut links, all());
        let relay = model::Relay::new(Kind::Relay, ["guest", "wan", "veth*", "veth2"]);
        let names = ["guest", "wan", "veth2"].map(ToOwned::to_owned).into_iter().collect();
        let mut links = links.configured(&relay, &names);
        assert_eq!((links.id(9), links.id(4)), (None, None));
        assert_eq!(links.info(8).map(|info| info.member.0), Some(1));
        assert_eq!(links.info(3).map(|info| info.member.0), Some(2));
        assert_eq!(follow(&mut links, all()), [News::Arrived(4)]);
        assert_eq!(links.info(4).map(|info| info.member.0), Some(3));
    }

    /// Links whose routes go into a given table.
    fn unruled<'a>(names: impl IntoIterator<Item = &'a str>) -> Links {
        let mut relay = model::Relay::new(Kind::Relay, names);
        relay.routes.table = Some(254);
        Links::new(&relay)
    }

    fn changed(ifindex: u32) -> News {
        News::Changed { ifindex, went_up: false, former: None }
    }

    fn left(ifindex: u32, label: &str, why: Obstacle) -> News {
        News::Left { ifindex, label: label.to_owned(), why }
    }
}
