//! IPv6 and IPv4 addresses of links.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::BitOr;
use std::time::Duration;

use netlink_bindings::rt_addr::{
    AddrAttrs, IfaCacheinfo, Ifaddrmsg, OpDeladdrDo, OpGetaddrDump, OpNewaddrDo,
};

use super::Batch;
use super::batch::{ACK, CREATE, DUMP, EXCLUSIVE, REPLACE};

/// An IPv6 address of a link.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct AddressEvent {
    /// The link.
    pub ifindex: u32,
    /// The address.
    pub address: Ipv6Addr,
    /// Bits of the prefix that is on-link.
    pub prefix_len: u8,
    /// Its flags.
    pub flags: AddressFlags,
    /// Where the address is valid: 0 everywhere, 253 on the link, 254 on this host.
    pub scope: u8,
    /// What is left of the preferred lifetime; `None` for ever.
    pub preferred_lifetime: Option<Duration>,
    /// What is left of the valid lifetime; `None` for ever.
    pub valid_lifetime: Option<Duration>,
}

/// An IPv4 address of a link.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Ipv4AddressEvent {
    /// The link.
    pub ifindex: u32,
    /// The address.
    pub address: Ipv4Addr,
    /// Bits of the prefix that is on-link.
    pub prefix_len: u8,
}

impl AddressEvent {
    /// Whether Duplicate Address Detection is not over yet (RFC 4862 section 5.4).
    pub const fn is_tentative(&self) -> bool {
        self.flags.contains(AddressFlags::TENTATIVE)
    }

    /// Whether Duplicate Address Detection found the address in use.
    pub const fn is_duplicate(&self) -> bool {
        self.flags.contains(AddressFlags::DAD_FAILED)
    }

    /// Whether the preferred lifetime is over.
    pub const fn is_deprecated(&self) -> bool {
        self.flags.contains(AddressFlags::DEPRECATED)
    }

    /// Whether packets may be sent from the address: checked, or optimistic (RFC 4429).
    pub const fn is_usable(&self) -> bool {
        !self.is_duplicate()
            && (!self.is_tentative() || self.flags.contains(AddressFlags::OPTIMISTIC))
    }
}

/// Flags of an address (`IFA_F_*`).
#[derive(Clone, Copy, Default, Eq, PartialEq)]
pub struct AddressFlags(pub u32);

impl AddressFlags {
    /// Derived as a temporary address (RFC 8981).
    pub const TEMPORARY: Self = Self(0x01);
    /// Used without Duplicate Address Detection.
    pub const NODAD: Self = Self(0x02);
    /// Usable while tentative (RFC 4429).
    pub const OPTIMISTIC: Self = Self(0x04);
    /// Found to be a duplicate.
    pub const DAD_FAILED: Self = Self(0x08);
    /// No longer preferred.
    pub const DEPRECATED: Self = Self(0x20);
    /// Still being checked.
    pub const TENTATIVE: Self = Self(0x40);
    /// Without a limit to its lifetime.
    pub const PERMANENT: Self = Self(0x80);
    /// The kernel adds no route to the prefix.
    pub const NO_PREFIX_ROUTE: Self = Self(0x200);
    /// The kernel joins the group that the address is.
    pub const MULTICAST_AUTOJOIN: Self = Self(0x400);

    /// Whether all flags of `other` are set.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

impl BitOr for AddressFlags {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl fmt::Debug for AddressFlags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = [
            (Self::TEMPORARY, "temporary"),
            (Self::NODAD, "nodad"),
            (Self::OPTIMISTIC, "optimistic"),
            (Self::DAD_FAILED, "dadfailed"),
            (Self::DEPRECATED, "deprecated"),
            (Self::TENTATIVE, "tentative"),
            (Self::PERMANENT, "permanent"),
            (Self::NO_PREFIX_ROUTE, "noprefixroute"),
            (Self::MULTICAST_AUTOJOIN, "autojoin"),
        ];
        write!(f, "{:#x}", self.0)?;
        let mut set = names.iter().filter(|(flag, _)| self.contains(*flag));
        set.try_for_each(|(_, name)| write!(f, "|{name}"))
    }
}

/// An address to give to a link.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct NewAddress {
    /// The link.
    pub ifindex: u32,
    /// The address.
    pub address: Ipv6Addr,
    /// Bits of the prefix that is on-link.
    pub prefix_len: u8,
    /// How to treat it, such as [`AddressFlags::NODAD`].
    pub flags: AddressFlags,
    /// The preferred and the valid lifetime in seconds; `None` for ever.
    pub lifetimes: Option<(u32, u32)>,
}

impl NewAddress {
    /// An address that goes through Duplicate Address Detection and stays for ever.
    pub const fn new(ifindex: u32, address: Ipv6Addr, prefix_len: u8) -> Self {
        Self { ifindex, address, prefix_len, flags: AddressFlags(0), lifetimes: None }
    }
}

impl Batch {
    /// Gives a new address to a link; returns the sequence number. The kernel refuses it with
    /// `EEXIST` if the link has it already.
    pub fn add_address(&mut self, new: &NewAddress) -> u32 {
        self.push_new_address(new, ACK | CREATE | EXCLUSIVE)
    }

    /// Gives an address to a link, or changes flags and lifetimes of one that it has; returns the
    /// sequence number.
    pub fn replace_address(&mut self, new: &NewAddress) -> u32 {
        self.push_new_address(new, ACK | CREATE | REPLACE)
    }

    /// Takes an address from a link; returns the sequence number.
    pub fn delete_address(&mut self, ifindex: u32, address: Ipv6Addr, prefix_len: u8) -> u32 {
        self.push(DELETE, ACK, |buffer| {
            OpDeladdrDo::encode_request(buffer, &header(AF_INET6, ifindex, prefix_len))
                .push_local(IpAddr::V6(address));
        })
    }

    /// Gives an IPv4 address to a link; returns the sequence number. The kernel refuses it with
    /// `EEXIST` if the link has it already with that prefix.
    pub fn add_address4(&mut self, ifindex: u32, address: Ipv4Addr, prefix_len: u8) -> u32 {
        self.push(NEW, ACK | CREATE | EXCLUSIVE, |buffer| {
            OpNewaddrDo::encode_request(buffer, &header(AF_INET, ifindex, prefix_len))
                .push_local(IpAddr::V4(address))
                .push_address(IpAddr::V4(address));
        })
    }

    /// Takes an IPv4 address from a link; returns the sequence number.
    pub fn delete_address4(&mut self, ifindex: u32, address: Ipv4Addr, prefix_len: u8) -> u32 {
        self.push(DELETE, ACK, |buffer| {
            OpDeladdrDo::encode_request(buffer, &header(AF_INET, ifindex, prefix_len))
                .push_local(IpAddr::V4(address))
                // Or the kernel does not look at the prefix.
                .push_address(IpAddr::V4(address));
        })
    }

    pub(crate) fn dump_addresses(&mut self) -> u32 {
        self.dump_addresses_of(AF_INET6)
    }

    pub(crate) fn dump_ipv4_addresses(&mut self) -> u32 {
        self.dump_addresses_of(AF_INET)
    }

    fn dump_addresses_of(&mut self, family: u8) -> u32 {
        self.push(GET, DUMP, |buffer| {
            OpGetaddrDump::encode_request(buffer, &header(family, 0, 0));
        })
    }

    fn push_new_address(&mut self, new: &NewAddress, flags: u16) -> u32 {
        self.push(NEW, flags, |buffer| {
            let attributes =
                OpNewaddrDo::encode_request(buffer, &header(AF_INET6, new.ifindex, new.prefix_len))
                    .push_local(IpAddr::V6(new.address))
                    .push_address(IpAddr::V6(new.address))
                    .push_flags(new.flags.0);
            if let Some((preferred, valid)) = new.lifetimes {
                let mut lifetimes = IfaCacheinfo::new();
                lifetimes.ifa_prefered = preferred;
                lifetimes.ifa_valid = valid;
                attributes.push_cacheinfo(lifetimes);
            }
        })
    }
}

pub(crate) fn decode(payload: &[u8]) -> Option<AddressEvent> {
    if payload.len() < Ifaddrmsg::len() {
        return None;
    }
    let (header, attributes) = OpNewaddrDo::decode_request(payload);
    if header.ifa_family != AF_INET6 {
        return None;
    }
    let (mut local, mut address) = (None, None);
    let mut flags = AddressFlags(u32::from(header.ifa_flags));
    let (mut preferred_lifetime, mut valid_lifetime) = (None, None);
    for attribute in attributes.flatten() {
        match attribute {
            AddrAttrs::Local(IpAddr::V6(value)) => local = Some(value),
            AddrAttrs::Address(IpAddr::V6(value)) => address = Some(value),
            AddrAttrs::Flags(value) => flags = AddressFlags(value),
            AddrAttrs::Cacheinfo(value) => {
                preferred_lifetime = lifetime(value.ifa_prefered);
                valid_lifetime = lifetime(value.ifa_valid);
            }
            _ => {}
        }
    }
    Some(AddressEvent {
        ifindex: header.ifa_index,
        // On a point-to-point link the other attribute is the peer's address.
        address: local.or(address)?,
        prefix_len: header.ifa_prefixlen,
        flags,
        scope: header.ifa_scope,
        preferred_lifetime,
        valid_lifetime,
    })
}

pub(crate) fn decode_ipv4(payload: &[u8]) -> Option<Ipv4AddressEvent> {
    if payload.len() < Ifaddrmsg::len() {
        return None;
    }
    let (header, attributes) = OpNewaddrDo::decode_request(payload);
    if header.ifa_family != AF_INET {
        return None;
    }
    // The other attribute is the peer's address, or the prefix.
    let address = attributes.flatten().find_map(|attribute| match attribute {
        AddrAttrs::Local(IpAddr::V4(value)) => Some(value),
        _ => None,
    })?;
    Some(Ipv4AddressEvent { ifindex: header.ifa_index, address, prefix_len: header.ifa_prefixlen })
}

fn lifetime(seconds: u32) -> Option<Duration> {
    (seconds != u32::MAX).then(|| Duration::from_secs(u64::from(seconds)))
}

fn header(family: u8, ifindex: u32, prefix_len: u8) -> Ifaddrmsg {
    let mut header = Ifaddrmsg::new();
    header.ifa_family = family;
    header.ifa_prefixlen = prefix_len;
    header.ifa_index = ifindex;
    header
}

/// `RTM_NEWADDR`.
pub(crate) const NEW: u16 = 20;
/// `RTM_DELADDR`.
pub(crate) const DELETE: u16 = 21;
/// `RTM_GETADDR`.
const GET: u16 = 22;
pub(crate) const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;
