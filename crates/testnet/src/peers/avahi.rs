//! Runs avahi-daemon as a host's responder and resolver, or as a reflector.

use std::fmt::Write as _;
use std::io::{Read, Write as _};
use std::net::IpAddr;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use super::PeerFiles;
use super::daemon::{Daemon, DaemonError, Folder, Service};
use crate::Node;

/// A running avahi-daemon, without D-Bus; killed on the spot when it is dropped.
#[derive(Debug)]
pub struct Avahi {
    daemon: Daemon,
}

/// How an avahi-daemon behaves.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct AvahiOptions {
    /// The name of the host, without the domain.
    pub hostname: String,
    /// Whether it reflects between its links.
    pub reflector: bool,
    /// Whether it publishes anything of its host.
    pub publish: bool,
    /// The links that it uses; all of them if there are none here.
    pub links: Vec<String>,
    /// The services of the host.
    pub services: Vec<Service>,
}

impl AvahiOptions {
    /// A host of this name without services.
    pub fn new(hostname: &str) -> Self {
        Self {
            hostname: hostname.to_owned(),
            reflector: false,
            publish: true,
            links: Vec::new(),
            services: Vec::new(),
        }
    }

    /// A gateway that reflects.
    pub fn reflector(hostname: &str) -> Self {
        Self { reflector: true, publish: false, ..Self::new(hostname) }
    }

    /// With one more service.
    #[must_use]
    pub fn service(mut self, service: Service) -> Self {
        self.services.push(service);
        self
    }

    fn text(&self) -> String {
        let yes = |is_it: bool| if is_it { "yes" } else { "no" };
        let mut text =
            format!("[server]\nhost-name={}\nuse-ipv4=yes\nuse-ipv6=yes\n", self.hostname);
        text.push_str("enable-dbus=no\nratelimit-interval-usec=1000000\nratelimit-burst=1000\n");
        if !self.links.is_empty() {
            let _ = writeln!(text, "allow-interfaces={}", self.links.join(","));
        }
        let _ = writeln!(text, "[publish]\ndisable-publishing={}", yes(!self.publish));
        let _ = writeln!(text, "publish-hinfo=no\npublish-workstation=no");
        let _ = writeln!(text, "[reflector]\nenable-reflector={}", yes(self.reflector));
        text
    }
}

impl Avahi {
    /// Starts it in `node` and returns at once: its probes have still to go out.
    ///
    /// # Errors
    ///
    /// [`DaemonError`].
    pub fn launch(
        node: &Node,
        files: &PeerFiles,
        options: &AvahiOptions,
    ) -> Result<Self, DaemonError> {
        let folder = Folder::new(PEER)?;
        folder.write(PEER, "etc/avahi/avahi-daemon.conf", &options.text())?;
        folder.write(PEER, "etc/avahi/hosts", "")?;
        folder.write(PEER, "run/avahi-daemon/.here", "")?;
        for (number, Service { name, kind, port }) in options.services.iter().enumerate() {
            let text = format!(
                "<?xml version=\"1.0\" standalone='no'?>\n\
                 <!DOCTYPE service-group SYSTEM \"avahi-service.dtd\">\n\
                 <service-group><name>{name}</name>\n\
                 <service><type>{kind}</type><port>{port}</port></service></service-group>\n"
            );
            folder.write(PEER, format!("etc/avahi/services/{number}.service"), &text)?;
        }
        // There is but one user in a user namespace, whose limits are not its to change.
        let arguments = ["--no-drop-root", "--no-chroot", "--no-rlimits"];
        let daemon = Daemon::start(PEER, node, files, folder, &options.hostname, &arguments)?;
        Ok(Self { daemon })
    }

    /// Starts it in `node` and waits until its name is its own.
    ///
    /// # Errors
    ///
    /// [`DaemonError`].
    pub fn start(
        node: &Node,
        files: &PeerFiles,
        options: &AvahiOptions,
    ) -> Result<Self, DaemonError> {
        let avahi = Self::launch(node, files, options)?;
        // A reflector that publishes nothing has nothing to probe for.
        let ready = if options.publish { "Server startup complete" } else { "New relevant" };
        avahi.await_line(ready, START)?;
        Ok(avahi)
    }

    /// Looks a host up as its resolver does; none if nobody answers within its five seconds.
    ///
    /// # Errors
    ///
    /// [`DaemonError`] if it cannot be asked, or does not say what it should.
    pub fn resolve(&self, name: &str, family: Family) -> Result<Option<IpAddr>, DaemonError> {
        let command = match family {
            Family::V4 => "RESOLVE-HOSTNAME-IPV4",
            Family::V6 => "RESOLVE-HOSTNAME-IPV6",
        };
        let ask = || {
            let mut stream = UnixStream::connect(self.daemon.path("run/avahi-daemon/socket"))?;
            stream.set_read_timeout(Some(ANSWER))?;
            stream.write_all(format!("{command} {name}\n").as_bytes())?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer)?;
            Ok(answer)
        };
        let fail = |source| DaemonError::System { action: "ask", peer: PEER, source };
        let answer: String = ask().map_err(fail)?;
        let unclear = || DaemonError::Answer { peer: PEER, answer: answer.clone() };
        match answer.split_whitespace().collect::<Vec<_>>().as_slice() {
            ["+", _, _, _, address] => address.parse().map(Some).map_err(|_| unclear()),
            [error, ..] if error.starts_with('-') => Ok(None),
            _ => Err(unclear()),
        }
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
        self.log().matches("Host name conflict").count()
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

/// A version of IP.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

const PEER: &str = "avahi-daemon";
/// Probing takes a second, and starts anew with each address.
const START: Duration = Duration::from_secs(15);
/// More than it takes to give up.
const ANSWER: Duration = Duration::from_secs(10);
