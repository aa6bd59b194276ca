//! The solicitations, right and wrong ones, that originals and Magpie are asked with.

use std::net::Ipv6Addr;

use magpie_testnet::icmpv6_frame;
use magpie_wire::{
    ALL_NODES, ETHERNET_LEN, IPV6_LEN, LinkAddr, checksum, multicast_lladdr, solicited_node,
};

use crate::common::PREFIX;
use crate::place::{neighbor_address, own_address};

/// One solicitation, or what looks like one to somebody who looks too briefly.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stimulus {
    /// What the test and its table call it.
    pub(crate) name: &'static str,
    /// Tells its addresses from those of all others.
    pub(crate) number: u16,
    pub(crate) source: Source,
    pub(crate) target: Target,
    pub(crate) shape: Shape,
    /// It is sent when the answers to the first ones have come.
    pub(crate) late: bool,
}

/// Who asks.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Source {
    /// A link-local address.
    LinkLocal,
    /// An address of the prefix, to which the gateway has a route on the asking link.
    Global,
    /// An address elsewhere, to which the gateway has its default route alone.
    Remote,
    /// Nobody yet: Duplicate Address Detection.
    Unspecified,
}

/// What is asked for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Target {
    /// An address of the host behind the gateway.
    Live,
    /// An address of the host behind the gateway that another one asks for too.
    LiveOf(u16),
    /// An address in the prefix that nobody has.
    Dead,
    /// An address out of the prefix.
    Foreign,
    /// The gateway's own address on the asking link.
    Own,
    /// An address of a neighbor on the asking link.
    Neighbor,
    /// The address from which another one asks.
    SourceOf(u16),
    /// A particular address in the prefix that nobody has.
    Number(u16),
}

/// What is special about the frame.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Shape {
    /// Nothing: as kernels ask for a neighbor that they do not know.
    Multicast,
    /// Without a source link-layer address.
    NoOption,
    /// To the group of all nodes.
    AllNodes,
    /// To the target's address and the gateway's link-layer address, as kernels ask whether a
    /// neighbor is still there.
    Unicast,
    /// To the gateway's own address.
    ToGateway,
    /// To the gateway's own address, as if it came from elsewhere.
    ToGatewayFromAfar,
    /// With the hop limit of something that was forwarded.
    HopLimit,
    /// With a checksum that is wrong.
    BadChecksum,
    /// With a code other than zero.
    Code,
    /// Without a target.
    Truncated,
    /// With an option without a length.
    EmptyOption,
    /// A UDP datagram from a port whose first octet is the type of a solicitation, and with a
    /// target where a solicitation has it.
    UdpLookAlike,
}

impl Stimulus {
    /// All of them, for any peer.
    pub(crate) fn common() -> Vec<Self> {
        use Shape as S;
        use Source::{Global, LinkLocal, Remote, Unspecified};
        use Target::{Dead, Foreign, Live, LiveOf, Neighbor, Own, SourceOf};
        let rows = [
            ("live", LinkLocal, Live, S::Multicast),
            ("live, asked from a global address", Global, Live, S::Multicast),
            ("live, asked from an address of another subnet", Remote, Live, S::Multicast),
            ("live, without link-layer address", LinkLocal, Live, S::NoOption),
            ("live, asked at all nodes", LinkLocal, Live, S::AllNodes),
            ("dead", LinkLocal, Dead, S::Multicast),
            ("out of the prefix", LinkLocal, Foreign, S::Multicast),
            ("the gateway's own address", LinkLocal, Own, S::Multicast),
            ("a neighbor on the asking link", LinkLocal, Neighbor, S::Multicast),
            ("duplicate address detection, live", Unspecified, Live, S::NoOption),
            ("duplicate address detection, dead", Unspecified, Dead, S::NoOption),
            ("unicast, live", LinkLocal, Live, S::Unicast),
            ("unicast, live, asked from a global address", Global, Live, S::Unicast),
            ("to the gateway's address", Global, Live, S::ToGateway),
            ("to the gateway's address, hop limit 64", Global, Live, S::ToGatewayFromAfar),
            ("hop limit 64", LinkLocal, Live, S::HopLimit),
            ("bad checksum", LinkLocal, Live, S::BadChecksum),
            ("code 1", LinkLocal, Live, S::Code),
            ("truncated", LinkLocal, Live, S::Truncated),
            ("option without length", LinkLocal, Live, S::EmptyOption),
            ("UDP that looks alike", Global, Live, S::UdpLookAlike),
        ];
        let mut stimuli: Vec<_> = (1..)
            .zip(rows)
            .map(|(number, (name, source, target, shape))| Self {
                name,
                number,
                source,
                target,
                shape,
                late: false,
            })
            .collect();
        let second = Self {
            name: "second asker",
            number: 0x40,
            source: LinkLocal,
            target: LiveOf(1),
            shape: S::Multicast,
            late: true,
        };
        let global = Self { name: "second asker, global", number: 0x41, source: Global, ..second };
        // The second of the rows.
        let asker =
            Self { name: "who has asked before", number: 0x42, target: SourceOf(2), ..second };
        stimuli.extend([second, global, asker]);
        stimuli
    }

    /// A solicitation for a particular address.
    pub(crate) fn for_number(name: &'static str, number: u16, host: u16) -> Self {
        let (source, target) = (Source::LinkLocal, Target::Number(host));
        Self { name, number, source, target, shape: Shape::Multicast, late: false }
    }

    /// Where it comes from.
    pub(crate) fn source_address(&self) -> Ipv6Addr {
        let number = self.number;
        match self.source {
            Source::LinkLocal => Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0xa, number),
            Source::Global => in_prefix(ASKERS, number),
            Source::Remote => Ipv6Addr::new(0x2001, 0xdb8, 0xf, 0, 0, 0, 0xa, number),
            Source::Unspecified => Ipv6Addr::UNSPECIFIED,
        }
    }

    /// Where it comes from, if the gateway knows that it is on the asking link.
    pub(crate) fn known_source(&self) -> Option<Ipv6Addr> {
        matches!(self.source, Source::LinkLocal | Source::Global).then(|| self.source_address())
    }

    /// What it asks for.
    pub(crate) fn target_address(&self) -> Ipv6Addr {
        match self.target {
            Target::Live => in_prefix(0xb, self.number),
            Target::LiveOf(number) => in_prefix(0xb, number),
            Target::Dead => in_prefix(0xd, self.number),
            Target::Foreign => Ipv6Addr::new(0x2001, 0xdb8, 0xe, 0, 0, 0, 0, self.number),
            Target::Own => own_address(),
            Target::Neighbor => neighbor_address(),
            Target::SourceOf(number) => in_prefix(ASKERS, number),
            Target::Number(host) => in_prefix(0, host),
        }
    }

    /// The frame.
    pub(crate) fn frame(&self, asker: LinkAddr, gateway: LinkAddr) -> Vec<u8> {
        let target = self.target_address();
        let source = self.source_address();
        let group = solicited_node(target);
        let (lladdr, destination) = match self.shape {
            Shape::AllNodes => (multicast_lladdr(ALL_NODES), ALL_NODES),
            Shape::Unicast => (gateway, target),
            Shape::ToGateway | Shape::ToGatewayFromAfar | Shape::UdpLookAlike => {
                (gateway, own_address())
            }
            _ => (multicast_lladdr(group), group),
        };
        let ethernet = (asker, lladdr);
        let addresses = (source, destination);
        if self.shape == Shape::UdpLookAlike {
            return udp_look_alike(ethernet, addresses, target);
        }

        let mut body = vec![0; 4];
        if self.shape != Shape::Truncated {
            body.extend_from_slice(&target.octets());
            if self.shape != Shape::NoOption {
                body.extend_from_slice(&[SOURCE_LLADDR, 1]);
                body.extend_from_slice(&asker.0);
            }
        }
        if self.shape == Shape::EmptyOption {
            body.extend_from_slice(&[UNKNOWN_OPTION, 0, 0, 0, 0, 0, 0, 0]);
        }
        let hop_limit = match self.shape {
            Shape::HopLimit | Shape::ToGatewayFromAfar => 64,
            _ => 255,
        };
        let code = u8::from(self.shape == Shape::Code);
        let mut frame = icmpv6_frame(ethernet, addresses, hop_limit, (SOLICITATION, code), &body);
        if self.shape == Shape::BadChecksum
            && let Some(octet) = frame.get_mut(ETHERNET_LEN + IPV6_LEN + 2)
        {
            *octet ^= 0xff;
        }
        frame
    }
}

fn in_prefix(group: u16, number: u16) -> Ipv6Addr {
    let [a, b, c, d, ..] = PREFIX.segments();
    Ipv6Addr::new(a, b, c, d, 0, 0, group, number)
}

fn udp_look_alike(
    ethernet: (LinkAddr, LinkAddr),
    addresses: (Ipv6Addr, Ipv6Addr),
    target: Ipv6Addr,
) -> Vec<u8> {
    let mut datagram = vec![SOLICITATION, 0, 0, 9, 0, 24, 0, 0];
    datagram.extend_from_slice(&target.octets());
    let sum = checksum(addresses.0, addresses.1, UDP, &datagram).to_be_bytes();
    datagram[6..8].copy_from_slice(&sum);
    let mut frame = [ethernet.1.0, ethernet.0.0].concat();
    frame.extend_from_slice(&[0x86, 0xdd, 0x60, 0, 0, 0, 0, 24, UDP, 57]);
    frame.extend_from_slice(&addresses.0.octets());
    frame.extend_from_slice(&addresses.1.octets());
    frame.extend_from_slice(&datagram);
    frame
}

/// Where in the prefix the askers are.
const ASKERS: u16 = 0xa;
const SOLICITATION: u8 = 135;
const SOURCE_LLADDR: u8 = 1;
/// One that no standard has given a meaning to.
const UNKNOWN_OPTION: u8 = 250;
const UDP: u8 = 17;
