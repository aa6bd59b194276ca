//! A site: two links with hosts, and a gateway between them that runs Magpie.

use std::error::Error;
use std::net::Ipv6Addr;
use std::sync::Arc;

use magpie_testnet::{
    AddressState, Bridge, Host, HostOptions, Node, RouterAdvertiser, RouterAdvertiserOptions,
    connect,
};

use super::LIMIT;

/// The subnet that the links share.
pub(crate) const PREFIX: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 7, 0, 0, 0, 0, 0);

/// Two links and a gateway. The link "wan" is a bridge "up" with an upstream router, the link "lan"
/// a bridge "down"; the gateway has addresses of its own by Router Advertisement on "wan" alone.
pub(crate) struct Site {
    /// Where the bridges are.
    pub(crate) switch: Arc<Node>,
    /// Where Magpie runs, between its links "wan" and "lan".
    pub(crate) gateway: Node,
    /// The upstream router, with its link "lan" on the bridge "up".
    pub(crate) router: Node,
    /// Its Router Advertisements.
    pub(crate) advertiser: RouterAdvertiser,
}

impl Site {
    /// Builds it and waits until the gateway has its address. The gateway forwards.
    pub(crate) fn new() -> Result<Self, Box<dyn Error>> {
        Self::with([Bridge::new("up"), Bridge::new("down")], |gateway, switch| {
            Self::connect_gateway(gateway, switch)
        })
    }

    /// Builds it with these bridges, which are to be called "up" and "down", and with the links
    /// "wan" and "lan" that `connect_gateway` gives to the gateway; waits as [`Self::new`] does.
    pub(crate) fn with(
        bridges: [Bridge<'_>; 2],
        connect_gateway: impl FnOnce(&Node, &Node) -> Result<(), Box<dyn Error>>,
    ) -> Result<Self, Box<dyn Error>> {
        let switch = Arc::new(Node::switch("switch")?);
        for bridge in &bridges {
            switch.add_bridge(bridge)?;
        }

        let router = Node::new("router")?;
        router.set_forwarding()?;
        connect(&router.plug("lan"), &switch.plug("router").bridge("up"))?;
        router.add_address_nodad("lan", Self::router_address(), 64)?;
        let options = RouterAdvertiserOptions::new(PREFIX);
        let advertiser = RouterAdvertiser::start(&router, "lan", &options)?;

        let gateway = Node::new("gateway")?;
        gateway.set_forwarding()?;
        connect_gateway(&gateway, &switch)?;
        Self::await_gateway(&gateway)?;
        Ok(Self { switch, gateway, router, advertiser })
    }

    /// Adds another gateway between the same links, and waits until it has its address.
    pub(crate) fn add_gateway(&self, name: &str) -> Result<Node, Box<dyn Error>> {
        let gateway = Node::new(name)?;
        gateway.set_forwarding()?;
        Self::connect_gateway(&gateway, &self.switch)?;
        Self::await_gateway(&gateway)?;
        Ok(gateway)
    }

    /// The names of the ports of the bridges "up" and "down" where a gateway is.
    pub(crate) fn gateway_ports(gateway: &Node) -> [String; 2] {
        let name = match gateway.name() {
            "gateway" => "gw",
            name => name,
        };
        ["wan", "lan"].map(|link| format!("{name}-{link}"))
    }

    fn connect_gateway(gateway: &Node, switch: &Node) -> Result<(), Box<dyn Error>> {
        let [upper, lower] = Self::gateway_ports(gateway);
        connect(&gateway.plug("wan"), &switch.plug(&upper).bridge("up"))?;
        Ok(connect(&gateway.plug("lan"), &switch.plug(&lower).bridge("down"))?)
    }

    fn await_gateway(gateway: &Node) -> Result<(), Box<dyn Error>> {
        gateway.wait_address_in("wan", PREFIX, 64, LIMIT)?;
        gateway.wait_link_local("lan", LIMIT)?;
        Ok(())
    }

    /// The address of the upstream router.
    pub(crate) fn router_address() -> Ipv6Addr {
        host_address(1)
    }

    /// Adds a host to the bridge "up" or "down" with a static address, and waits until duplicate
    /// address detection is over.
    pub(crate) fn host(
        &self,
        name: &str,
        bridge: &str,
        number: u16,
    ) -> Result<(Host, Ipv6Addr), Box<dyn Error>> {
        let options = HostOptions { accept_ra: false, ..HostOptions::default() };
        let host = Host::new(name, &self.switch, bridge, &options)?;
        host.wait_link_local(Host::LINK, LIMIT)?;
        let address = host_address(number);
        host.add_address(Host::LINK, address, 64)?;
        host.wait_address(Host::LINK, address, AddressState::Valid, LIMIT)?;
        Ok((host, address))
    }
}

/// An address of the subnet.
pub(crate) const fn host_address(number: u16) -> Ipv6Addr {
    let [a, b, c, d, ..] = PREFIX.segments();
    Ipv6Addr::new(a, b, c, d, 0, 0, 0, number)
}
