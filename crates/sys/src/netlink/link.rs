//! Links: what they are, making them, changing them.

use std::ffi::CStr;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::time::Duration;

use magpie_wire::LinkAddr;
use netlink_bindings::rt_link::{
    Ifinfomsg, LinkAttrs, LinkinfoAttrs, LinkinfoDataMsg, OpDellinkDo, OpGetlinkDo, OpGetlinkDump,
    OpNewlinkDo, OpSetlinkDo, PushLinkAttrs,
};
use netlink_bindings::traits::Pusher;

use super::Batch;
use super::attribute::{push_nested, push_text, push_word};
use super::batch::{ACK, CREATE, DUMP, EXCLUSIVE};
use crate::framing::Framing;

/// A link.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct LinkEvent {
    /// Its number, unique in its namespace.
    pub ifindex: u32,
    /// Its name.
    pub name: String,
    /// What it is ("veth", "bridge"); `None` for hardware and the loopback link.
    pub kind: Option<String>,
    /// The link that it belongs to, such as a bridge.
    pub master: Option<u32>,
    /// What its master is; "bridge" for a port of a bridge.
    pub slave_kind: Option<String>,
    /// Its link-layer address, if it has one of six octets.
    pub lladdr: Option<LinkAddr>,
    /// The administrator has it up.
    pub up: bool,
    /// It is up, and a peer is there.
    pub carrier: bool,
    /// The largest packet in octets.
    pub mtu: u32,
    /// All flags (`IFF_*`).
    pub flags: u32,
    /// The kind of link layer (`ARPHRD_*`); 1 is Ethernet.
    pub link_type: u16,
    /// The link that it stands on or is paired with, if any.
    pub link: Option<u32>,
    /// The namespace that `link` is in, if another one, as this namespace numbers them.
    pub link_namespace: Option<i32>,
    /// The routing table of its members, if it is a VRF device.
    pub vrf_table: Option<u32>,
}

impl LinkEvent {
    /// `link_type` of Ethernet (`ARPHRD_ETHER`).
    pub const ETHERNET: u16 = 1;
    /// `link_type` of the loopback link (`ARPHRD_LOOPBACK`).
    pub const LOOPBACK: u16 = 772;

    /// What frames on it begin with; none if its neighbors have addresses of another kind than
    /// Ethernet's, or if it is the loopback link.
    pub fn framing(&self) -> Option<Framing> {
        Framing::of(self.link_type)
    }

    /// Whether it has no link-layer addresses that Neighbor Discovery could tell.
    pub fn is_bare(&self) -> bool {
        self.framing() == Some(Framing::Bare)
    }

    /// Whether the kernel resolves no link-layer addresses on it, though it may have them.
    pub fn is_no_arp(&self) -> bool {
        self.flags & IFF_NOARP != 0
    }

    /// Whether it is a port of a bridge: frames that arrive there belong to the bridge.
    pub fn is_bridge_port(&self) -> bool {
        self.slave_kind.as_deref() == Some("bridge")
    }
}

/// Where a link shall be, and under what name and link-layer address.
#[derive(Clone, Copy, Debug, Default)]
pub struct LinkPlace<'a> {
    /// The namespace; the socket's if `None`.
    pub namespace: Option<BorrowedFd<'a>>,
    /// The bridge that it shall be a port of; only in the socket's own namespace.
    pub master: Option<u32>,
    /// The link-layer address; a random one if `None`.
    pub lladdr: Option<LinkAddr>,
}

/// One end of a pair of links that are connected to each other.
#[derive(Clone, Copy, Debug)]
pub struct VethEnd<'a> {
    /// Its name.
    pub name: &'a str,
    /// Where it shall be.
    pub place: LinkPlace<'a>,
}

/// A bridge to make; without the spanning tree protocol and without a forwarding delay.
#[derive(Clone, Copy, Debug)]
pub struct NewBridge<'a> {
    /// Its name.
    pub name: &'a str,
    /// Where it shall be.
    pub place: LinkPlace<'a>,
    /// It forwards multicast only to ports that asked for the group (RFC 4541).
    pub mcast_snooping: bool,
    /// It asks for the groups itself.
    pub mcast_querier: bool,
    /// The time between its first queries; the kernel's choice if `None`.
    pub mcast_startup_query_interval: Option<Duration>,
}

/// Who the links above the same link reach.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum MacvlanMode {
    /// Only the outside.
    Private,
    /// Each other and the outside.
    Bridge,
}

/// A link with a link-layer address of its own above another link.
#[derive(Clone, Copy, Debug)]
pub struct NewMacvlan<'a> {
    /// Its name.
    pub name: &'a str,
    /// Where it shall be.
    pub place: LinkPlace<'a>,
    /// The link below, in the socket's namespace.
    pub link: u32,
    /// Who it reaches.
    pub mode: MacvlanMode,
}

/// What to change about a link; `None` leaves it as it is.
#[derive(Clone, Copy, Debug, Default)]
pub struct LinkChange<'a> {
    /// Up or down.
    pub up: Option<bool>,
    /// The bridge to be a port of, or `Some(None)` to leave it.
    pub master: Option<Option<u32>>,
    /// The link-layer address.
    pub lladdr: Option<LinkAddr>,
    /// The name; the link must be down on older kernels.
    pub name: Option<&'a str>,
    /// The largest packet in octets.
    pub mtu: Option<u32>,
    /// The namespace to move to.
    pub namespace: Option<BorrowedFd<'a>>,
    /// Whether a peer counts as there; only few drivers without hardware let one say so.
    pub carrier: Option<bool>,
}

/// What to change about a port of a bridge; `None` leaves it as it is.
#[derive(Clone, Copy, Debug, Default)]
pub struct BridgePortChange {
    /// Whether a multicast router is behind the port: 0 never, 1 if one is heard, 2 always.
    pub mcast_router: Option<u8>,
}

impl Batch {
    /// Makes a pair of links that are connected to each other, both down; returns the sequence
    /// number.
    pub fn add_veth(&mut self, near: &VethEnd<'_>, far: &VethEnd<'_>) -> u32 {
        self.push(NEW, ACK | CREATE | EXCLUSIVE, |buffer| {
            push_place(
                OpNewlinkDo::encode_request(buffer, &Ifinfomsg::new()),
                near.name,
                &near.place,
            );
            push_nested(buffer, IFLA_LINKINFO, |buffer| {
                push_text(buffer, IFLA_INFO_KIND, "veth");
                push_nested(buffer, IFLA_INFO_DATA, |buffer| {
                    push_nested(buffer, VETH_INFO_PEER, |buffer| {
                        buffer.extend_from_slice(Ifinfomsg::new().as_slice());
                        push_place(PushLinkAttrs::new(buffer), far.name, &far.place);
                    });
                });
            });
        })
    }

    /// Makes a bridge, down; returns the sequence number.
    pub fn add_bridge(&mut self, new: &NewBridge<'_>) -> u32 {
        self.push(NEW, ACK | CREATE | EXCLUSIVE, |buffer| {
            let attributes = OpNewlinkDo::encode_request(buffer, &Ifinfomsg::new());
            let mut data = push_place(attributes, new.name, &new.place)
                .nested_linkinfo()
                .nested_data_bridge()
                .push_stp_state(0)
                .push_forward_delay(0)
                .push_mcast_snooping(new.mcast_snooping.into())
                .push_mcast_querier(new.mcast_querier.into());
            if let Some(interval) = new.mcast_startup_query_interval {
                data = data.push_mcast_startup_query_intvl(clock_ticks(interval));
            }
            drop(data);
        })
    }

    /// Makes a link with a link-layer address of its own above another, down; returns the sequence
    /// number.
    pub fn add_macvlan(&mut self, new: &NewMacvlan<'_>) -> u32 {
        self.push(NEW, ACK | CREATE | EXCLUSIVE, |buffer| {
            let attributes = OpNewlinkDo::encode_request(buffer, &Ifinfomsg::new());
            push_place(attributes, new.name, &new.place).push_link(new.link);
            push_nested(buffer, IFLA_LINKINFO, |buffer| {
                push_text(buffer, IFLA_INFO_KIND, "macvlan");
                push_nested(buffer, IFLA_INFO_DATA, |buffer| {
                    let mode: u32 = match new.mode {
                        MacvlanMode::Private => 1,
                        MacvlanMode::Bridge => 4,
                    };
                    push_word(buffer, IFLA_MACVLAN_MODE, mode.to_ne_bytes());
                });
            });
        })
    }

    /// Changes a link; returns the sequence number.
    pub fn set_link(&mut self, ifindex: u32, change: &LinkChange<'_>) -> u32 {
        self.push(SET, ACK, |buffer| {
            let mut header = header(ifindex);
            if let Some(up) = change.up {
                header.ifi_change = IFF_UP;
                header.ifi_flags = if up { IFF_UP } else { 0 };
            }
            let mut attributes = OpSetlinkDo::encode_request(buffer, &header);
            if let Some(master) = change.master {
                attributes = attributes.push_master(master.unwrap_or(0));
            }
            if let Some(lladdr) = change.lladdr {
                attributes = attributes.push_address(&lladdr.0);
            }
            if let Some(name) = change.name {
                attributes = attributes.push_ifname_bytes(name.as_bytes());
            }
            if let Some(mtu) = change.mtu {
                attributes = attributes.push_mtu(mtu);
            }
            if let Some(namespace) = change.namespace {
                attributes = attributes.push_net_ns_fd(namespace.as_raw_fd().cast_unsigned());
            }
            if let Some(carrier) = change.carrier {
                attributes.push_carrier(carrier.into());
            }
        })
    }

    /// Changes a port of a bridge; returns the sequence number.
    pub fn set_bridge_port(&mut self, ifindex: u32, change: &BridgePortChange) -> u32 {
        self.push(NEW, ACK, |buffer| {
            let mut data = OpNewlinkDo::encode_request(buffer, &header(ifindex))
                .nested_linkinfo()
                .nested_slave_data_bridge();
            if let Some(mcast_router) = change.mcast_router {
                data = data.push_multicast_router(mcast_router);
            }
            drop(data);
        })
    }

    /// Deletes a link, and its peer if it is one of a pair; returns the sequence number.
    pub fn delete_link(&mut self, ifindex: u32) -> u32 {
        self.push(DELETE, ACK, |buffer| {
            OpDellinkDo::encode_request(buffer, &header(ifindex));
        })
    }

    pub(crate) fn find_link(&mut self, name: &str) -> u32 {
        self.push(GET, ACK, |buffer| {
            OpGetlinkDo::encode_request(buffer, &Ifinfomsg::new())
                .push_ifname_bytes(name.as_bytes())
                .push_ext_mask(SKIP_STATISTICS);
        })
    }

    pub(crate) fn dump_links(&mut self) -> u32 {
        self.push(GET, DUMP, |buffer| {
            OpGetlinkDump::encode_request(buffer, &Ifinfomsg::new()).push_ext_mask(SKIP_STATISTICS);
        })
    }
}

pub(crate) fn decode(payload: &[u8]) -> Option<LinkEvent> {
    if payload.len() < Ifinfomsg::len() {
        return None;
    }
    let (header, attributes) = OpGetlinkDo::decode_request(payload);
    // Bridges announce their ports under their own family, and "deleted" means "no longer a port".
    if header.ifi_family != AF_UNSPEC {
        return None;
    }
    let mut link = LinkEvent {
        ifindex: u32::try_from(header.ifi_index).ok()?,
        name: String::new(),
        kind: None,
        master: None,
        slave_kind: None,
        lladdr: None,
        up: header.ifi_flags & IFF_UP != 0,
        carrier: header.ifi_flags & IFF_CARRIER == IFF_CARRIER,
        mtu: 0,
        flags: header.ifi_flags,
        link_type: header.ifi_type,
        link: None,
        link_namespace: None,
        vrf_table: None,
    };
    for attribute in attributes.flatten() {
        match attribute {
            LinkAttrs::Ifname(value) => link.name = text(value),
            LinkAttrs::Address(value) => link.lladdr = value.try_into().ok().map(LinkAddr),
            LinkAttrs::Mtu(value) => link.mtu = value,
            LinkAttrs::Link(value) => link.link = Some(value).filter(|&value| value != 0),
            LinkAttrs::LinkNetnsid(value) => link.link_namespace = Some(value),
            LinkAttrs::Master(value) => link.master = Some(value),
            LinkAttrs::Linkinfo(info) => {
                for attribute in info.flatten() {
                    match attribute {
                        LinkinfoAttrs::Kind(value) => link.kind = Some(text(value)),
                        LinkinfoAttrs::Data(LinkinfoDataMsg::Vrf(data)) => {
                            link.vrf_table = data.get_table().ok();
                        }
                        LinkinfoAttrs::SlaveKind(value) => link.slave_kind = Some(text(value)),
                        _ => {}
                    }
                }
            }
            // An event of a wireless driver, without the link's properties.
            LinkAttrs::Wireless(_) => return None,
            _ => {}
        }
    }
    Some(link)
}

fn push_place<Buffer: Pusher>(
    attributes: PushLinkAttrs<Buffer>,
    name: &str,
    place: &LinkPlace<'_>,
) -> PushLinkAttrs<Buffer> {
    let mut attributes = attributes.push_ifname_bytes(name.as_bytes());
    if let Some(lladdr) = place.lladdr {
        attributes = attributes.push_address(&lladdr.0);
    }
    if let Some(master) = place.master {
        attributes = attributes.push_master(master);
    }
    if let Some(namespace) = place.namespace {
        attributes = attributes.push_net_ns_fd(namespace.as_raw_fd().cast_unsigned());
    }
    attributes
}

fn header(ifindex: u32) -> Ifinfomsg {
    let mut header = Ifinfomsg::new();
    header.ifi_index = ifindex.cast_signed();
    header
}

fn text(value: &CStr) -> String {
    value.to_string_lossy().into_owned()
}

/// The kernel counts bridge timers in hundredths of a second for user space (`USER_HZ`).
fn clock_ticks(time: Duration) -> u64 {
    u64::try_from(time.as_millis() / 10).unwrap_or(u64::MAX)
}

/// `RTM_NEWLINK`.
pub(crate) const NEW: u16 = 16;
/// `RTM_DELLINK`.
pub(crate) const DELETE: u16 = 17;
/// `RTM_GETLINK`.
const GET: u16 = 18;
/// `RTM_SETLINK`.
const SET: u16 = 19;
const AF_UNSPEC: u8 = 0;
const IFF_UP: u32 = 0x1;
const IFF_NOARP: u32 = 0x80;
/// `IFF_RUNNING` and `IFF_LOWER_UP`: ready to carry packets, and the layer below is too.
const IFF_CARRIER: u32 = 0x40 | 0x1_0000;
/// `RTEXT_FILTER_SKIP_STATS`.
const SKIP_STATISTICS: u32 = 8;
const IFLA_LINKINFO: u16 = 18;
const IFLA_INFO_KIND: u16 = 1;
const IFLA_INFO_DATA: u16 = 2;
const VETH_INFO_PEER: u16 = 1;
const IFLA_MACVLAN_MODE: u16 = 1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vrf_device_tells_the_table_of_its_members() {
        let mut message = header(7).as_slice().to_vec();
        push_text(&mut message, IFLA_IFNAME, "red");
        push_nested(&mut message, IFLA_LINKINFO, |info| {
            push_text(info, IFLA_INFO_KIND, "vrf");
            push_nested(info, IFLA_INFO_DATA, |data| {
                push_word(data, IFLA_VRF_TABLE, 1042_u32.to_ne_bytes());
            });
        });
        let vrf = decode(&message).unwrap();
        assert_eq!((vrf.kind.as_deref(), vrf.vrf_table), (Some("vrf"), Some(1042)));

        // A member has the table among what it is to its master.
        let mut message = header(8).as_slice().to_vec();
        push_text(&mut message, IFLA_IFNAME, "lan");
        push_word(&mut message, IFLA_MASTER, 7_u32.to_ne_bytes());
        push_nested(&mut message, IFLA_LINKINFO, |info| {
            push_text(info, IFLA_INFO_KIND, "tun");
            push_text(info, IFLA_INFO_SLAVE_KIND, "vrf");
            push_nested(info, IFLA_INFO_SLAVE_DATA, |data| {
                push_word(data, IFLA_VRF_TABLE, 1042_u32.to_ne_bytes());
            });
        });
        let member = decode(&message).unwrap();
        assert_eq!((member.kind.as_deref(), member.vrf_table), (Some("tun"), None));
        assert_eq!((member.master, member.slave_kind.as_deref()), (Some(7), Some("vrf")));
        assert!(!member.is_bridge_port());
    }

    const IFLA_IFNAME: u16 = 3;
    const IFLA_MASTER: u16 = 10;
    const IFLA_INFO_SLAVE_KIND: u16 = 4;
    const IFLA_INFO_SLAVE_DATA: u16 = 5;
    const IFLA_VRF_TABLE: u16 = 1;
}
