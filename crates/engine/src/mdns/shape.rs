//! Tells what a name is the name of (RFC 6763 sections 4.1, 7.1, 9 and 11, RFC 6762 section 4).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use magpie_wire::dns::Name;

/// A service type: the last two labels before the domain.
#[derive(Clone, Copy, Debug)]
pub(super) struct ServiceType<'n> {
    pub(super) name: &'n [u8],
    pub(super) transport: &'n [u8],
}

/// What a name is the name of.
#[derive(Clone, Debug)]
pub(super) enum Shape<'n> {
    /// A service type, which instances are listed under: `_ipp._tcp.local`. The domains to look
    /// in are such as well: `b._dns-sd._udp.local`.
    Service(ServiceType<'n>),
    /// A subtype of it: `_printer._sub._ipp._tcp.local`.
    Subtype { subtype: &'n [u8], service: ServiceType<'n> },
    /// An instance: `Kitchen._ipp._tcp.local`.
    Instance { instance: &'n [u8], service: ServiceType<'n> },
    /// The list of types: `_services._dns-sd._udp.local`.
    Enumeration,
    /// The name of an address: `1.2.0.192.in-addr.arpa`.
    Reverse(IpAddr),
    /// Anything else: the labels before `local`, or all of a name elsewhere.
    Host(Vec<&'n [u8]>),
}

impl<'n> Shape<'n> {
    pub(super) fn of(name: &'n Name<'_>) -> Self {
        Self::of_labels(name.labels().collect())
    }

    pub(super) fn of_labels(mut labels: Vec<&'n [u8]>) -> Self {
        let is_local = labels.last().is_some_and(|label| is(label, "local"));
        if is_local {
            labels.pop();
        } else if let Some(address) = reverse(&labels) {
            return Self::Reverse(address);
        }
        match split_at_type(&labels, is_local) {
            Some((before, service)) => Self::of_service(before, service),
            None => Self::Host(labels),
        }
    }

    fn of_service(before: &[&'n [u8]], service: ServiceType<'n>) -> Self {
        let is_meta = is(service.name, "_dns-sd") && is(service.transport, "_udp");
        match before {
            [services] if is_meta && is(services, "_services") => Self::Enumeration,
            [] => Self::Service(service),
            [_] if is_meta => Self::Service(service),
            [subtype, sub] if is(sub, "_sub") => Self::Subtype { subtype, service },
            [instance] => Self::Instance { instance, service },
            // A dot that was not escaped made two labels of one, most likely: an instance, but
            // none that has a name.
            _ => Self::Instance { instance: b"", service },
        }
    }

    /// The service type that it belongs to.
    pub(super) fn service(&self) -> Option<ServiceType<'n>> {
        match self {
            Self::Service(service)
            | Self::Subtype { service, .. }
            | Self::Instance { service, .. } => Some(*service),
            Self::Enumeration | Self::Reverse(_) | Self::Host(_) => None,
        }
    }
}

impl ServiceType<'_> {
    /// Whether two are the same.
    pub(super) fn is(self, other: ServiceType<'_>) -> bool {
        self.name.eq_ignore_ascii_case(other.name)
            && self.transport.eq_ignore_ascii_case(other.transport)
    }
}

/// Splits what stands before a service type from it. Before `local` the type is the end; other
/// domains may have any number of labels.
fn split_at_type<'l, 'n>(
    labels: &'l [&'n [u8]],
    at_end: bool,
) -> Option<(&'l [&'n [u8]], ServiceType<'n>)> {
    let last = labels.len().checked_sub(2)?;
    let first = if at_end { last } else { 0 };
    (first..=last).rev().find_map(|at| {
        let (before, after) = labels.split_at_checked(at)?;
        let [name, transport, ..] = after else { return None };
        let is_type = name.starts_with(b"_") && (is(transport, "_tcp") || is(transport, "_udp"));
        is_type.then_some((before, ServiceType { name, transport }))
    })
}

/// Reads the name of an address (RFC 1035 section 3.5, RFC 3596 section 2.5).
fn reverse(labels: &[&[u8]]) -> Option<IpAddr> {
    let (digits, [zone, arpa]) = labels.split_last_chunk()?;
    if !is(arpa, "arpa") {
        return None;
    }
    if is(zone, "in-addr") {
        let octets: [&[u8]; 4] = digits.try_into().ok()?;
        let mut address = [0; 4];
        for (octet, label) in address.iter_mut().rev().zip(octets) {
            *octet = str::from_utf8(label).ok()?.parse().ok()?;
        }
        return Some(Ipv4Addr::from(address).into());
    }
    let nibbles: [&[u8]; 32] = digits.try_into().ok()?;
    if !is(zone, "ip6") {
        return None;
    }
    let mut address = 0;
    for (place, label) in nibbles.into_iter().enumerate() {
        let [digit] = label else { return None };
        let nibble = char::from(*digit).to_digit(16)?;
        address |= u128::from(nibble) << (4 * place);
    }
    Some(Ipv6Addr::from(address).into())
}

fn is(label: &[u8], text: &str) -> bool {
    label.eq_ignore_ascii_case(text.as_bytes())
}
