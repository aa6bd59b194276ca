//! Builds the island: an upstream router, a gateway, and hosts on two links behind it.

use std::net::Ipv6Addr;
use std::sync::Arc;
use std::time::Duration;

use magpie_testnet::{
    Bridge, Error, Host, HostOptions, Node, RouterAdvertiser, RouterAdvertiserOptions, connect,
};
use magpie_wire::LinkAddr;

/// The network, without its hosts. All of it is gone when this is dropped.
#[derive(Debug)]
pub(super) struct Island {
    /// The router that has the subnet from its provider, with the link [`MAIN_LAN`].
    pub(super) upstream: Node,
    /// The gateway, with the links [`LINKS`].
    pub(super) gateway: Node,
    /// The switches of the inner links, as bridges of the same names.
    switches: Arc<Node>,
    /// Router Advertisements, as long as the island is there.
    advertisers: Vec<RouterAdvertiser>,
}

impl Island {
    /// Lays the cables and makes the settings that a gateway needs.
    pub(super) fn build() -> Result<Self, Error> {
        let (upstream, gateway) = (Node::new("upstream")?, Node::new("gateway")?);
        let switches = Arc::new(Node::switch("switches")?);
        for node in [&upstream, &gateway] {
            node.set_conf("all", "forwarding", 1)?;
        }
        connect(&upstream.plug(MAIN_LAN), &gateway.plug(WAN).down())?;
        // A router ignores other routers otherwise, and the gateway needs its route upstream.
        gateway.set_conf(WAN, "accept_ra", 2)?;
        gateway.set_up(WAN)?;
        gateway.wait_carrier(WAN, true)?;
        for link in INNER {
            switches.add_bridge(&Bridge::new(link))?;
            connect(&gateway.plug(link), &switches.plug(&format!("gw-{link}")).bridge(link))?;
        }
        upstream.add_address(MAIN_LAN, UPSTREAM, 64)?;
        Ok(Self { upstream, gateway, switches, advertisers: Vec::new() })
    }

    /// Starts the Router Advertisements: of the upstream router on the main LAN, and of the gateway
    /// on its inner links, as radvd would send them.
    pub(super) fn advertise(&mut self) -> Result<(), Error> {
        let options = RouterAdvertiserOptions::new(PREFIX);
        self.advertisers.push(RouterAdvertiser::start(&self.upstream, MAIN_LAN, &options)?);
        for link in INNER {
            self.advertisers.push(RouterAdvertiser::start(&self.gateway, link, &options)?);
        }
        Ok(())
    }

    /// Plugs a new host into an inner link. It makes its addresses itself.
    pub(super) fn add_host(&self, name: &str, link: &str, lladdr: LinkAddr) -> Result<Host, Error> {
        let options = HostOptions { lladdr: Some(lladdr), ..HostOptions::default() };
        Host::new(name, &self.switches, link, &options)
    }

    /// Puts the cable of an unplugged host into an inner link, and waits until it has a carrier.
    pub(super) fn plug_into(&self, host: &mut Host, link: &str) -> Result<(), Error> {
        host.move_to(&self.switches, link)
    }

    /// Waits until a machine has made an address of the subnet for itself.
    pub(super) fn wait_address(node: &Node, link: &str) -> Result<Ipv6Addr, Error> {
        node.wait_address_in(link, PREFIX, 64, LIMIT)
    }
}

/// What all links share: a prefix of 64 bits.
pub(super) const PREFIX: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, 0);
/// The address of the upstream router.
pub(super) const UPSTREAM: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, 1);
/// The upstream router's link.
const MAIN_LAN: &str = "lan";
/// The gateway's link to the upstream router.
pub(super) const WAN: &str = "wan";
/// The gateway's links to the hosts.
const INNER: [&str; 2] = ["lan1", "lan2"];
/// All links of the gateway.
pub(super) const LINKS: [&str; 3] = ["wan", "lan1", "lan2"];

/// A picture of it.
pub(super) const PICTURE: &str = "\
 upstream router                   gateway                    hosts
 2001:db8:1::1                +---------------+
       |                      |          lan1 +----+------ laptop
       +------ main LAN ------+ wan           |    +------ phone
                              |  magpie       |              :  moves
                              |          lan2 +-----+        v  later
                              +---------------+     +----- printer

One subnet on all three links: 2001:db8:1::/64
";

/// Kernels take up to four seconds for it.
const LIMIT: Duration = Duration::from_secs(15);
