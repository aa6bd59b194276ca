//! Which IPv6 multicast groups this host is in, whoever wanted that.

use std::net::Ipv6Addr;

use netlink_bindings::rt_addr::{Ifaddrmsg, OpGetaddrDump};
use netlink_bindings::utils;

use super::Batch;
use super::batch::DUMP;

/// A multicast group that this host is in.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Membership {
    /// The link.
    pub ifindex: u32,
    /// The group.
    pub group: Ipv6Addr,
}

impl Batch {
    pub(crate) fn dump_memberships(&mut self) -> u32 {
        self.push(GET, DUMP, |buffer| {
            let mut header = Ifaddrmsg::new();
            header.ifa_family = AF_INET6;
            OpGetaddrDump::encode_request(buffer, &header);
        })
    }
}

pub(crate) fn decode(payload: &[u8]) -> Option<Membership> {
    let (header, attributes) = payload.split_at_checked(Ifaddrmsg::len())?;
    let header = Ifaddrmsg::new_from_slice(header)?;
    if header.ifa_family != AF_INET6 {
        return None;
    }
    let group = utils::find_attr(attributes, ATTRIBUTE_GROUP)?.first_chunk::<16>()?;
    Some(Membership { ifindex: header.ifa_index, group: Ipv6Addr::from(*group) })
}

/// `RTM_NEWMULTICAST`.
pub(crate) const NEW: u16 = 56;
/// `RTM_GETMULTICAST`, which older kernels answer with as well.
pub(crate) const GET: u16 = 58;
/// `IFA_MULTICAST`.
const ATTRIBUTE_GROUP: u16 = 7;
const AF_INET6: u8 = 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_is_read_and_nothing_is_too_short_or_too_odd() {
        let mut header = Ifaddrmsg::new();
        header.ifa_family = AF_INET6;
        header.ifa_index = 7;
        let mut payload = header.as_slice().to_vec();
        utils::push_header(&mut payload, 6, 4);
        payload.extend([0; 4]);
        utils::push_header(&mut payload, ATTRIBUTE_GROUP, 16);
        payload.extend(GROUP.octets());
        assert_eq!(decode(&payload), Some(Membership { ifindex: 7, group: GROUP }));
        for len in 0..payload.len() {
            assert_eq!(decode(&payload[..len]), None, "{len}");
        }
        payload[0] = 2;
        assert_eq!(decode(&payload), None);
    }

    const GROUP: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, 0xff00, 0x21);
}
