//! Hosts: nodes with one link, plugged into a bridge, that can be moved and unplugged.

use std::ops::Deref;
use std::os::fd::AsFd;
use std::sync::Arc;

use magpie_sys::netlink::LinkChange;
use magpie_wire::LinkAddr;

use crate::{Error, Node, connect};

/// A host on a link. All that a [`Node`] can do it can do too; its link is [`Host::LINK`].
#[derive(Debug)]
pub struct Host {
    node: Node,
    switch: Arc<Node>,
    port: String,
}

/// How a host behaves.
#[derive(Clone, Copy, Debug)]
pub struct HostOptions {
    /// Its link-layer address; a random one if `None`.
    pub lladdr: Option<LinkAddr>,
    /// It makes addresses from Router Advertisements (RFC 4862).
    pub accept_ra: bool,
    /// It makes a link-local address of its link-layer address instead of a random one.
    pub eui64: bool,
}

impl Default for HostOptions {
    /// With a random link-layer address, making addresses of it from Router Advertisements.
    fn default() -> Self {
        Self { lladdr: None, accept_ra: true, eui64: true }
    }
}

impl Host {
    /// The name of a host's link.
    pub const LINK: &'static str = "eth0";

    /// Makes a host and plugs it into a bridge of `switch`. Its name, of at most 15 octets, is also
    /// the port's.
    ///
    /// # Errors
    ///
    /// [`Error`] if the bridge is not there or has a port of that name.
    pub fn new(
        name: &str,
        switch: &Arc<Node>,
        bridge: &str,
        options: &HostOptions,
    ) -> Result<Self, Error> {
        let node = Node::new(name)?;
        let mut plug = node.plug(Self::LINK).down();
        if let Some(lladdr) = options.lladdr {
            plug = plug.lladdr(lladdr);
        }
        connect(&plug, &switch.plug(name).bridge(bridge))?;
        node.set_conf(Self::LINK, "accept_ra", u8::from(options.accept_ra))?;
        node.set_conf(Self::LINK, "addr_gen_mode", if options.eui64 { 0 } else { 3 })?;
        node.set_up(Self::LINK)?;
        switch.wait_carrier(name, true)?;
        node.wait_carrier(Self::LINK, true)?;
        Ok(Self { node, switch: Arc::clone(switch), port: name.to_owned() })
    }

    /// Pulls the cable out of its bridge and puts it into another one, of the same switch or of
    /// another. The host keeps its carrier on the same switch, as behind a wireless controller, and
    /// its addresses in any case.
    ///
    /// # Errors
    ///
    /// [`Error`] if the bridge is not there.
    pub fn move_to(&mut self, switch: &Arc<Node>, bridge: &str) -> Result<(), Error> {
        if !Arc::ptr_eq(&self.switch, switch) {
            let namespace = Some(switch.namespace().as_fd());
            let change = LinkChange { namespace, ..LinkChange::default() };
            self.switch.set_link(&self.port, &change)?;
            self.switch = Arc::clone(switch);
        }
        self.switch.set_bridge(&self.port, Some(bridge))?;
        self.replug()
    }

    /// Pulls the cable and waits until the host's link has lost its carrier.
    ///
    /// # Errors
    ///
    /// [`Error`].
    pub fn unplug(&self) -> Result<(), Error> {
        self.switch.set_down(&self.port)?;
        self.node.wait_carrier(Self::LINK, false)
    }

    /// Puts the cable back in and waits until it carries frames.
    ///
    /// # Errors
    ///
    /// [`Error`].
    pub fn replug(&self) -> Result<(), Error> {
        self.switch.set_up(&self.port)?;
        self.switch.wait_carrier(&self.port, true)?;
        self.node.wait_carrier(Self::LINK, true)
    }

    /// The host as a node.
    pub fn node(&self) -> &Node {
        &self.node
    }
}

impl Deref for Host {
    type Target = Node;

    fn deref(&self) -> &Node {
        &self.node
    }
}
