//! Puts frames into one line each, for those who debug.

use std::fmt;

use magpie_engine::{Datagram, KernelOp, LinkId, Transmit};
use magpie_sys::framing::Framing;
use magpie_wire::datagram::Received;
use magpie_wire::{Message, Packet};

/// Logs a frame that came in, or that this host's kernel sent.
pub(crate) fn received(link: LinkId, framing: Framing, bytes: &[u8], outgoing: bool) {
    if !tracing::enabled!(tracing::Level::TRACE) {
        return;
    }
    let text = if outgoing { "sent by the kernel" } else { "received" };
    let packet = match framing {
        Framing::Ethernet => Packet::parse(bytes),
        Framing::Bare => Packet::parse_bare(bytes),
    };
    match packet {
        Ok(packet) => tracing::trace!(ifindex = link.0, "{text} {}", Line(&packet)),
        Err(reason) => {
            tracing::trace!(ifindex = link.0, length = bytes.len(), "{text} {}", reason.label());
        }
    }
}

/// Logs a frame that goes out.
pub(crate) fn sent(transmit: &Transmit) {
    tracing::trace!(ifindex = transmit.link.0, "sent {}", Line(&transmit.packet));
}

/// Logs a datagram that came in.
pub(crate) fn datagram_received(link: LinkId, framing: Framing, bytes: &[u8]) {
    tell_datagram("received", link, framing, bytes);
}

/// Logs a datagram that goes out.
pub(crate) fn datagram_sent(datagram: &Datagram, framing: Framing) {
    tell_datagram("sent", datagram.link, framing, &datagram.frame);
}

/// Datagrams are rarer than Neighbor Discovery, so that they are told one level above.
fn tell_datagram(text: &str, link: LinkId, framing: Framing, bytes: &[u8]) {
    if !tracing::enabled!(tracing::Level::DEBUG) {
        return;
    }
    let received = match framing {
        Framing::Ethernet => Received::parse(bytes),
        Framing::Bare => Received::parse_bare(bytes),
    };
    let ifindex = link.0;
    match received {
        Ok(Received::Whole(datagram)) => {
            let (source, destination) = (datagram.source, datagram.destination);
            let octets = datagram.payload.len();
            tracing::debug!(ifindex, octets, "{text} a datagram from {source} to {destination}");
        }
        Ok(Received::Fragment(fragment)) => {
            let (source, destination) = (fragment.source, fragment.destination);
            let octets = fragment.payload.len();
            tracing::debug!(ifindex, octets, "{text} a fragment from {source} to {destination}");
        }
        Err(reason) => {
            let octets = bytes.len();
            tracing::debug!(ifindex, octets, "{text} what is no datagram: {}", reason.label());
        }
    }
}

/// Logs what became of a request to the kernel.
pub(crate) fn carried_out(op: KernelOp, result: Result<(), i32>) {
    let error = result.err().map(std::io::Error::from_raw_os_error);
    let error = error.as_ref().map(tracing::field::display);
    match op {
        KernelOp::SetRoute { target, link } => {
            tracing::debug!(%target, ifindex = link.0, error, "route set");
        }
        KernelOp::DelRoute { target, link } => {
            tracing::debug!(%target, ifindex = link.0, error, "route deleted");
        }
        KernelOp::JoinGroup { link, group } => {
            tracing::debug!(%group, ifindex = link.0, error, "group joined");
        }
        KernelOp::LeaveGroup { link, group } => {
            tracing::debug!(%group, ifindex = link.0, error, "group left");
        }
    }
}

/// A packet on one line.
struct Line<'a>(&'a Packet<'a>);

impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let packet = self.0;
        match packet.message {
            Message::Solicit(solicit) => write!(f, "NS {}", solicit.target)?,
            Message::Advert(advert) => {
                write!(f, "NA {} ", advert.target)?;
                let flags =
                    [(advert.router, 'R'), (advert.solicited, 'S'), (advert.overrides, 'O')];
                for (is_set, flag) in flags {
                    write!(f, "{}", if is_set { flag } else { '-' })?;
                }
            }
            Message::RouterSolicit(_) => f.write_str("RS")?,
            Message::RouterAdvert(_) => f.write_str("RA")?,
            Message::ListenerQuery => f.write_str("MLD query")?,
            Message::ListenerReport => f.write_str("MLD report")?,
            Message::MulticastRouterAdvert(_) => f.write_str("MRD advertisement")?,
            Message::MulticastRouterSolicit => f.write_str("MRD solicitation")?,
            Message::MulticastRouterTermination => f.write_str("MRD termination")?,
        }
        write!(
            f,
            " from {} ({}) to {} ({})",
            packet.source, packet.ethernet_source, packet.destination, packet.ethernet_destination
        )
    }
}
