//! The place of the comparison: the asking link with its router and a neighbor, the gateway, and
//! behind it a host with many addresses. The gateway's kernel knows all of them, so that nobody
//! has to look for an asker before it is answered.

use std::error::Error;
use std::net::Ipv6Addr;
use std::sync::Arc;

use magpie_sys::netlink::Route;
use magpie_testnet::{Bridge, Host, HostOptions, Node, Tester, connect};
use magpie_wire::LinkAddr;

use crate::common::{LIMIT, PREFIX};
use crate::stimulus::{Stimulus, Target};

/// Links "wan" and "lan" of the gateway, and who is on them.
pub(crate) struct Place {
    pub(crate) gateway: Node,
    /// Sends the solicitations, from many addresses.
    pub(crate) asker: Tester,
    /// The gateway's default router: nothing else answers to its link-layer address.
    pub(crate) isp: Tester,
    pub(crate) wan: LinkAddr,
    _lower: Host,
    _neighbor: Host,
    _switch: Arc<Node>,
}

impl Place {
    /// Builds it for these solicitations.
    pub(crate) fn new(stimuli: &[Stimulus]) -> Result<Self, Box<dyn Error>> {
        let switch = Arc::new(Node::switch("switch")?);
        for bridge in ["up", "down"] {
            switch.add_bridge(&Bridge::new(bridge))?;
        }
        let asker = Tester::new("asker", &switch, "up", None)?;
        let isp = Tester::new("isp", &switch, "up", None)?;

        let gateway = Node::new("gateway")?;
        gateway.set_conf("default", "accept_dad", 0)?;
        gateway.set_conf("default", "router_solicitations", 0)?;
        gateway.set_forwarding()?;
        for (link, port, bridge) in [("wan", "gw-wan", "up"), ("lan", "gw-lan", "down")] {
            connect(&gateway.plug(link), &switch.plug(port).bridge(bridge))?;
            gateway.wait_link_local(link, LIMIT)?;
        }
        gateway.add_address_nodad("wan", own_address(), 128)?;
        let lan = gateway.ifindex("lan")?;
        gateway.add_route(&Route::on_link(PREFIX, 64, lan))?;
        gateway.add_permanent_neighbor("wan", ISP, isp.lladdr())?;
        gateway.add_default_route("wan", ISP)?;

        let options = HostOptions { accept_ra: false, ..HostOptions::default() };
        let lower = Host::new("lower", &switch, "down", &options)?;
        let neighbor = Host::new("neighbor", &switch, "up", &options)?;
        neighbor.add_address_nodad(Host::LINK, neighbor_address(), 64)?;
        let wan_index = gateway.ifindex("wan")?;
        for stimulus in stimuli {
            if stimulus.target == Target::Live {
                lower.add_address_nodad(Host::LINK, stimulus.target_address(), 64)?;
            }
            if let Some(source) = stimulus.known_source() {
                gateway.add_permanent_neighbor("wan", source, asker.lladdr())?;
                if !source.is_unicast_link_local() {
                    gateway.add_route(&Route::on_link(source, 128, wan_index))?;
                }
            }
        }
        let wan = gateway.lladdr("wan")?;
        Ok(Self { gateway, asker, isp, wan, _lower: lower, _neighbor: neighbor, _switch: switch })
    }
}

/// The gateway's own address on the asking link.
pub(crate) fn own_address() -> Ipv6Addr {
    crate::common::host_address(2)
}

/// The address of a neighbor on the asking link.
pub(crate) fn neighbor_address() -> Ipv6Addr {
    crate::common::host_address(0x31)
}

const ISP: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);
