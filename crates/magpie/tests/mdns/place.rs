//! The place: two links of one subnet, over both versions of IP, and a gateway between them.

use std::error::Error;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use magpie_testnet::peers::{Avahi, AvahiOptions, Peer, PeerFiles};
use magpie_testnet::{Bridge, Gateway, Host, HostOptions, Node};

use crate::common::{ConfigFile, LIMIT, Magpie};
use crate::speaker::Speaker;

/// Two links, "up" and "down", which are bridges of the switch, and the gateway's ends of them.
pub(crate) struct Place {
    pub(crate) switch: Arc<Node>,
    pub(crate) gateway: Node,
}

/// Which IPv4 addresses the gateway has on its links, with the lengths of their prefixes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Inner {
    pub(crate) wan: Option<(u8, u8)>,
    pub(crate) lan: Option<(u8, u8)>,
    /// `rp_filter` of both links.
    pub(crate) rp_filter: u8,
}

impl Default for Inner {
    fn default() -> Self {
        Self { wan: Some((2, 24)), lan: Some((3, 24)), rp_filter: 0 }
    }
}

impl Place {
    /// Builds it with a gateway that has an address of each version on each link.
    pub(crate) fn new() -> Result<Self, Box<dyn Error>> {
        Self::with(Inner::default())
    }

    /// Builds it with these IPv4 addresses.
    pub(crate) fn with(inner: Inner) -> Result<Self, Box<dyn Error>> {
        let switch = Arc::new(Node::switch("switch")?);
        for bridge in ["up", "down"] {
            switch.add_bridge(&Bridge::new(bridge))?;
        }
        let gateway = Self::gateway_between(&switch, "gw", ["up", "down"], inner, 2)?;
        Ok(Self { switch, gateway })
    }

    /// Makes a gateway between two bridges.
    pub(crate) fn gateway_between(
        switch: &Node,
        name: &str,
        bridges: [&str; 2],
        inner: Inner,
        number: u16,
    ) -> Result<Node, Box<dyn Error>> {
        let ipv4 = |(number, prefix_len)| (address4(number), prefix_len);
        let gateway = Gateway {
            wan: inner.wan.map(ipv4),
            lan: inner.lan.map(ipv4),
            address: address6(number),
            rp_filter: inner.rp_filter,
        };
        Ok(gateway.build(name, switch, bridges)?)
    }

    /// Adds a host to a bridge with an address of each version.
    pub(crate) fn host(
        &self,
        name: &str,
        bridge: &str,
        number: u8,
    ) -> Result<Host, Box<dyn Error>> {
        let options = HostOptions { accept_ra: false, ..HostOptions::default() };
        let host = Host::new(name, &self.switch, bridge, &options)?;
        host.set_conf(Host::LINK, "accept_dad", 0)?;
        host.wait_link_local(Host::LINK, LIMIT)?;
        host.add_address4(Host::LINK, address4(number), 24)?;
        host.add_address_nodad(Host::LINK, address6(number.into()), 64)?;
        Ok(host)
    }

    /// Adds a speaker to a bridge.
    pub(crate) fn speaker(
        &self,
        name: &str,
        bridge: &str,
        number: u8,
    ) -> Result<Speaker, Box<dyn Error>> {
        Speaker::new(name, &self.switch, bridge, address4(number))
    }
}

/// Magpie between "wan" and "lan", with settings that pass every address.
pub(crate) fn magpie(node: &Node) -> Result<Magpie, Box<dyn Error>> {
    magpie_with(node, "addresses = \"all\"\n")
}

/// Magpie between "wan" and "lan" with these settings of the reflector.
pub(crate) fn magpie_with(node: &Node, settings: &str) -> Result<Magpie, Box<dyn Error>> {
    let text = format!("[[relay]]\nlinks = [\"wan\", \"lan\"]\n\n[relay.mdns]\n{settings}");
    Magpie::run(node, ConfigFile::new(&text)?.arguments())
}

/// avahi-daemon as reflector between "wan" and "lan".
pub(crate) fn avahi_reflector(node: &Node) -> Result<Avahi, Box<dyn Error>> {
    Ok(Avahi::start(node, &files(Peer::Avahi)?, &AvahiOptions::reflector("gw"))?)
}

/// The files of a peer.
pub(crate) fn files(peer: Peer) -> Result<PeerFiles, Box<dyn Error>> {
    let folder: PathBuf = Path::new(env!("CARGO_TARGET_TMPDIR")).join("peers");
    Ok(peer.find(&folder)?)
}

/// An IPv4 address of the subnet.
pub(crate) const fn address4(number: u8) -> Ipv4Addr {
    Ipv4Addr::new(192, 0, 2, number)
}

/// An IPv6 address of the subnet.
pub(crate) const fn address6(number: u16) -> Ipv6Addr {
    Ipv6Addr::new(0x2001, 0xdb8, 7, 0, 0, 0, 0, number)
}

/// Longer than a reflector needs.
pub(crate) const SOON: Duration = Duration::from_secs(2);
/// Longer than a reflector needs for what it should not do.
pub(crate) const SILENCE: Duration = Duration::from_millis(1200);
