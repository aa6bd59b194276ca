//! How names cross between links.

use crate::Members;

/// Settings of the reflector of one relay. [`Mdns::default`] needs no reading.
#[derive(Clone, Debug, PartialEq)]
pub struct Mdns {
    /// Send what came over IPv4 over IPv6 as well, and the other way round. They are separate
    /// networks by default (RFC 6762 section 20).
    pub cross_families: bool,
    /// Which addresses in answers cross.
    pub addresses: Addresses,
    /// If there are any, names that none of them covers do not cross.
    pub allow: Vec<NameRule>,
    /// What any of these covers does not cross, whatever `allow` says.
    pub deny: Vec<NameRule>,
    /// What happens about a unique name that is alive on two links with different data.
    pub conflicts: Conflicts,
    /// Pass queries of simple resolvers on, which do not come from port 5353, and the answers back
    /// to where they came from (RFC 6762 section 6.7).
    pub legacy: bool,
    /// The port that answers to passed legacy queries come to: reserved by the caller. None if there is none
    /// yet; such queries are dropped then.
    pub legacy_port: Option<u16>,
    /// Other discovery protocols to relay.
    pub other_services: Vec<OtherService>,
    /// Caps.
    pub limits: MdnsLimits,
}

/// Which addresses in answers cross to another link.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Addresses {
    /// Those that hosts there can reach through the relay: IPv6 addresses that it answers for there.
    /// IPv4 is not relayed, so that no IPv4 address crosses.
    Reachable,
    /// That, and IPv4 addresses: something else lets the hosts of these links reach each other over IPv4.
    WithIpv4,
    /// All but those that mean nothing on another link (link-local, loopback and the like).
    All,
}

/// What happens about a unique name that is alive on two links with different data.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Conflicts {
    /// As on one link: both see each other, and one of them takes another name (RFC 6762 section 9).
    Propagate,
    /// Its addresses and probes stop crossing between the two links, so that neither has to.
    Isolate,
}

/// A rule about names: which ones, from where to where.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct NameRule {
    /// Links that the host or service is on.
    pub from: Members,
    /// Links that it is seen from. Questions go the other way.
    pub to: Members,
    /// Which names.
    pub subject: Subject,
}

/// Which names a rule is about, compared label by label without regard to case (RFC 1035 section
/// 2.3.3). `*` in a label stands for any octets.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Subject {
    /// A service type with all its instances and subtypes: `_ipp._tcp`.
    Service(Box<str>),
    /// One subtype of it: `_printer._sub._ipp._tcp`.
    Subtype(Box<str>),
    /// A service instance, of whatever type: `Kitchen Printer`; or of one type:
    /// `Kitchen Printer._ipp._tcp`.
    Instance(Box<str>),
    /// A host and its addresses: `pi-41`.
    Host(Box<str>),
}

/// Another discovery protocol over multicast.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum OtherService {
    /// SSDP (`UPnP` Device Architecture section 1): port 1900.
    Ssdp,
    /// WS-Discovery: port 3702.
    WsDiscovery,
}

/// Caps of the reflector.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct MdnsLimits {
    /// Records remembered from one link, for filters, conflicts and views; nothing is answered from
    /// them.
    pub names_per_link: usize,
    /// Packets a second, and twice as many at once, out of one link.
    pub packets_per_second: u32,
    /// Packets a second, and twice as many at once, taken from one sender.
    pub packets_per_source: u32,
    /// Legacy queries of one sender that wait for answers.
    pub legacy_per_source: usize,
}

impl Default for Mdns {
    fn default() -> Self {
        Self {
            cross_families: false,
            addresses: Addresses::Reachable,
            allow: Vec::new(),
            deny: Vec::new(),
            conflicts: Conflicts::Propagate,
            legacy: true,
            legacy_port: None,
            other_services: Vec::new(),
            limits: MdnsLimits::default(),
        }
    }
}

impl Default for MdnsLimits {
    fn default() -> Self {
        Self {
            names_per_link: 4_096,
            packets_per_second: 256,
            packets_per_source: 64,
            legacy_per_source: 16,
        }
    }
}
