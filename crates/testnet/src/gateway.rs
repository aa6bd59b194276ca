//! Gateways: nodes that forward between two links of one subnet.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use crate::{Error, Node, connect};

/// A node that stands between two bridges, for what is to be run on it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Gateway {
    /// Its IPv4 address on [`Gateway::WAN`], with the length of the prefix.
    pub wan: Option<(Ipv4Addr, u8)>,
    /// Its IPv4 address on [`Gateway::LAN`], with the length of the prefix.
    pub lan: Option<(Ipv4Addr, u8)>,
    /// Its IPv6 address on [`Gateway::WAN`], in a prefix of 64 bits.
    pub address: Ipv6Addr,
    /// `rp_filter` of both links.
    pub rp_filter: u8,
}

impl Gateway {
    /// Its link to the first bridge.
    pub const WAN: &'static str = "wan";
    /// Its link to the second bridge.
    pub const LAN: &'static str = "lan";

    /// Makes it between two bridges of `switch`, and waits for its link-local addresses. The name, of
    /// at most 11 octets, is what the ports begin with.
    ///
    /// # Errors
    ///
    /// [`Error`] if a bridge is not there or has a port of that name.
    pub fn build(&self, name: &str, switch: &Node, bridges: [&str; 2]) -> Result<Node, Error> {
        let node = Node::new(name)?;
        node.set_conf("default", "accept_dad", 0)?;
        node.set_conf("default", "router_solicitations", 0)?;
        node.set_forwarding()?;
        node.set_conf4("all", "rp_filter", 0)?;
        node.set_conf4("default", "rp_filter", self.rp_filter)?;
        let [first, second] = bridges;
        for (link, bridge, address) in [(Self::WAN, first, self.wan), (Self::LAN, second, self.lan)]
        {
            let port = format!("{name}-{link}");
            connect(&node.plug(link), &switch.plug(&port).bridge(bridge))?;
            node.set_conf4(link, "rp_filter", self.rp_filter)?;
            if let Some((address, prefix_len)) = address {
                node.add_address4(link, address, prefix_len)?;
            }
            node.wait_link_local(link, LIMIT)?;
        }
        node.add_address_nodad(Self::WAN, self.address, 64)?;
        Ok(node)
    }
}

const LIMIT: Duration = Duration::from_secs(10);
