//! Lays cables between nodes: pairs of links, each end in its node's namespace.

use std::os::fd::AsFd;

use magpie_sys::netlink::{LinkPlace, VethEnd};
use magpie_wire::LinkAddr;

use crate::{Error, Node};

/// One end of a cable: a link of a node.
#[derive(Clone, Copy, Debug)]
pub struct Plug<'a> {
    pub(crate) node: &'a Node,
    pub(crate) name: &'a str,
    lladdr: Option<LinkAddr>,
    bridge: Option<&'a str>,
    down: bool,
}

impl<'a> Plug<'a> {
    pub(crate) fn new(node: &'a Node, name: &'a str) -> Self {
        Self { node, name, lladdr: None, bridge: None, down: false }
    }

    /// With this link-layer address instead of a random one.
    #[must_use]
    pub fn lladdr(self, lladdr: LinkAddr) -> Self {
        Self { lladdr: Some(lladdr), ..self }
    }

    /// As a port of this bridge of the node.
    #[must_use]
    pub fn bridge(self, bridge: &'a str) -> Self {
        Self { bridge: Some(bridge), ..self }
    }

    /// Left down, so that settings can be made before it first comes up.
    #[must_use]
    pub fn down(self) -> Self {
        Self { down: true, ..self }
    }

    fn end(&self) -> VethEnd<'a> {
        let place = LinkPlace { lladdr: self.lladdr, ..LinkPlace::default() };
        VethEnd { name: self.name, place }
    }
}

/// Connects two nodes with a cable, brings its ends up and waits until it carries frames.
///
/// # Errors
///
/// [`Error`] if a node has a link of that name already, or the bridge is not there.
pub fn connect(near: &Plug<'_>, far: &Plug<'_>) -> Result<(), Error> {
    let mut far_end = far.end();
    far_end.place.namespace = Some(far.node.namespace().as_fd());
    let action = format!(
        "connect {} of {} with {} of {}",
        near.name,
        near.node.name(),
        far.name,
        far.node.name()
    );
    near.node.execute(action, |batch| {
        batch.add_veth(&near.end(), &far_end);
    })?;
    for plug in [near, far] {
        if let Some(bridge) = plug.bridge {
            plug.node.set_bridge(plug.name, Some(bridge))?;
        }
        if !plug.down {
            plug.node.set_up(plug.name)?;
        }
    }
    if near.down || far.down {
        return Ok(());
    }
    // A bridge forwards nothing before it has noticed the carrier.
    near.node.wait_carrier(near.name, true)?;
    far.node.wait_carrier(far.name, true)
}
