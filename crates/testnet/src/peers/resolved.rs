//! Runs systemd-resolved as a host's responder and resolver of multicast DNS.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use super::PeerFiles;
use super::daemon::{Daemon, DaemonError, Folder, Service};
use crate::{Node, wait_for};

/// A running systemd-resolved, without systemd and D-Bus; killed on the spot when it is dropped.
#[derive(Debug)]
pub struct Resolved {
    daemon: Daemon,
}

/// How a systemd-resolved behaves.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ResolvedOptions {
    /// The name of the host, without the domain.
    pub hostname: String,
    /// The links that it uses.
    pub links: Vec<String>,
    /// The services of the host.
    pub services: Vec<Service>,
}

impl ResolvedOptions {
    /// A host of this name with these links and without services.
    pub fn new(hostname: &str, links: &[&str]) -> Self {
        let links = links.iter().map(|&link| link.to_owned()).collect();
        Self { hostname: hostname.to_owned(), links, services: Vec::new() }
    }

    /// With one more service.
    #[must_use]
    pub fn service(mut self, service: Service) -> Self {
        self.services.push(service);
        self
    }
}

impl Resolved {
    /// Starts it in `node` and returns as soon as it can be asked: its probes may still go out.
    ///
    /// # Errors
    ///
    /// [`DaemonError`].
    pub fn start(
        node: &Node,
        files: &PeerFiles,
        options: &ResolvedOptions,
    ) -> Result<Self, DaemonError> {
        let folder = Folder::new(PEER)?;
        let config = "[Resolve]\nMulticastDNS=yes\nLLMNR=no\nDNSStubListener=no\nDNS=\n\
                      FallbackDNS=\n";
        folder.write(PEER, "etc/systemd/resolved.conf", config)?;
        folder.write(PEER, "run/systemd/.here", "")?;
        for link in &options.links {
            let ifindex = node.ifindex(link);
            let ifindex = ifindex.map_err(|source| DaemonError::Node { peer: PEER, source })?;
            // What systemd-networkd tells it about a link.
            let state = "ADMIN_STATE=configured\nOPER_STATE=routable\nMDNS=yes\nLLMNR=no\n";
            folder.write(PEER, format!("run/systemd/netif/links/{ifindex}"), state)?;
        }
        for (number, Service { name, kind, port }) in options.services.iter().enumerate() {
            let text = format!("[Service]\nName={name}\nType={kind}\nPort={port}\n");
            folder.write(PEER, format!("etc/systemd/dnssd/{number}.dnssd"), &text)?;
        }
        let daemon = Daemon::start(PEER, node, files, folder, &options.hostname, &[])?;
        let socket = daemon.path(SOCKET);
        let listens = || UnixStream::connect(&socket).ok();
        let ready = wait_for(START, "systemd-resolved to listen", listens);
        ready.map_err(|source| DaemonError::Node { peer: PEER, source })?;
        Ok(Self { daemon })
    }

    /// Looks a host up over multicast DNS; nothing if nobody answers.
    ///
    /// # Errors
    ///
    /// [`DaemonError`] if it cannot be asked.
    pub fn resolve(&self, name: &str) -> Result<Vec<IpAddr>, DaemonError> {
        let ask = || {
            let mut stream = UnixStream::connect(self.daemon.path(SOCKET))?;
            stream.set_read_timeout(Some(ANSWER))?;
            let method = "io.systemd.Resolve.ResolveHostname";
            let mut call = String::new();
            let _ = write!(
                call,
                "{{\"method\":\"{method}\",\"parameters\":{{\"name\":\"{name}\"}}}}\0"
            );
            stream.write_all(call.as_bytes())?;
            let mut answer = Vec::new();
            BufReader::new(stream).read_until(0, &mut answer)?;
            Ok(String::from_utf8_lossy(&answer).into_owned())
        };
        let fail = |source| DaemonError::System { action: "ask", peer: PEER, source };
        let answer: String = ask().map_err(fail)?;
        Ok(answer.split("\"address\":[").skip(1).filter_map(address).collect())
    }

    /// Waits until it has written a line with this text.
    ///
    /// # Errors
    ///
    /// [`DaemonError::Awaited`] after `limit`.
    pub fn await_line(&self, text: &str, limit: Duration) -> Result<(), DaemonError> {
        self.daemon.await_lines(text, 1, limit)
    }

    /// What it has written so far.
    pub fn log(&self) -> String {
        self.daemon.log()
    }

    /// How often it has found its name taken and chosen another one.
    pub fn renames(&self) -> usize {
        self.log().matches("Hostname conflict, changing published hostname").count()
    }

    /// Ends it as the system does: it says goodbye first.
    ///
    /// # Errors
    ///
    /// [`DaemonError::System`].
    pub fn stop(self) -> Result<(), DaemonError> {
        self.daemon.stop().map(drop)
    }
}

/// Reads the octets of an address up to the bracket behind them.
fn address(text: &str) -> Option<IpAddr> {
    let (octets, _) = text.split_once(']')?;
    let octets: Vec<u8> = octets.split(',').map(str::parse).collect::<Result<_, _>>().ok()?;
    match octets.len() {
        4 => Some(IpAddr::V4(Ipv4Addr::from(<[u8; 4]>::try_from(octets).ok()?))),
        _ => Some(IpAddr::V6(Ipv6Addr::from(<[u8; 16]>::try_from(octets).ok()?))),
    }
}

const PEER: &str = "systemd-resolved";
const SOCKET: &str = "run/systemd/resolve/io.systemd.Resolve";
const START: Duration = Duration::from_secs(10);
/// More than it takes to give up.
const ANSWER: Duration = Duration::from_secs(20);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_octets() {
        assert_eq!(address("10,0,0,1],..."), Some(Ipv4Addr::new(10, 0, 0, 1).into()));
        let octets = "254,128,0,0,0,0,0,0,0,0,0,0,0,0,0,1]";
        assert_eq!(address(octets), Some("fe80::1".parse().expect("an address")));
        assert_eq!(address("1,2,3]"), None);
    }
}
