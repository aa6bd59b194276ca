//! Frames put together octet by octet, so that each part of them can be wrong.

use std::fmt;
use std::net::Ipv6Addr;

use magpie_wire::{ALL_NODES, LinkAddr, checksum, multicast_lladdr, solicited_node};

use crate::names::{MB, MU, U, link_local};

const SOURCE_LLADDR: u8 = 1;
const TARGET_LLADDR: u8 = 2;
const NONCE: u8 = 14;
/// The hop-by-hop header of listener messages.
const ROUTER_ALERT: [u8; 8] = [58, 0, 5, 2, 0, 0, 1, 0];

/// A frame in parts. What is not set is right.
#[derive(Clone)]
pub(crate) struct Frame {
    ethernet_source: LinkAddr,
    ethernet_destination: LinkAddr,
    tags: Vec<u8>,
    source: Ipv6Addr,
    destination: Ipv6Addr,
    payload_length: Option<u16>,
    hop_limit: u8,
    /// The first header's number, and the octets of all headers before the message.
    extensions: (u8, Vec<u8>),
    kind: u8,
    code: u8,
    checksum_error: u16,
    no_checksum: bool,
    /// The second word of the message: reserved, or flags.
    word: u32,
    target: Ipv6Addr,
    options: Vec<u8>,
    /// Octets of the message that are kept.
    message_length: Option<usize>,
    /// Octets that are not cut off at the end.
    kept: Option<usize>,
    padding: usize,
}

/// U asks everybody for `target`.
pub(crate) fn ns(target: Ipv6Addr) -> Frame {
    let group = solicited_node(target);
    Frame {
        ethernet_source: MU,
        ethernet_destination: multicast_lladdr(group),
        tags: Vec::new(),
        source: U,
        destination: group,
        payload_length: None,
        hop_limit: 255,
        extensions: (58, Vec::new()),
        kind: 135,
        code: 0,
        checksum_error: 0,
        no_checksum: false,
        word: 0,
        target,
        options: lladdr_option(SOURCE_LLADDR, MU),
        message_length: None,
        kept: None,
        padding: 0,
    }
}

/// The station `lladdr` detects duplicates of `target`.
pub(crate) fn dad(target: Ipv6Addr, lladdr: LinkAddr) -> Frame {
    Frame {
        ethernet_source: lladdr,
        source: Ipv6Addr::UNSPECIFIED,
        options: Vec::new(),
        ..ns(target)
    }
}

/// The station `lladdr` answers to the engine on dn that it has `target`; flags S and O.
pub(crate) fn na(target: Ipv6Addr, lladdr: LinkAddr) -> Frame {
    Frame {
        ethernet_source: lladdr,
        ethernet_destination: MB,
        source: target,
        destination: link_local(0x11),
        kind: 136,
        options: lladdr_option(TARGET_LLADDR, lladdr),
        ..ns(target)
    }
    .flags("SO")
}

/// A packet for `target` that is no Neighbor Discovery.
pub(crate) fn data(target: Ipv6Addr) -> Frame {
    let frame = Frame { kind: 128, hop_limit: 63, ..ns(target) };
    frame.source(Ipv6Addr::new(0x2001, 0xdb8, 0xffff, 0, 0, 0, 0, 1)).unicast(MU).bare()
}

/// A host looks for routers.
pub(crate) fn rs(source: Ipv6Addr, lladdr: LinkAddr) -> Frame {
    Frame {
        ethernet_source: lladdr,
        source,
        kind: 133,
        options: lladdr_option(SOURCE_LLADDR, lladdr),
        ..ns(source)
    }
    .to(LinkAddr([0x33, 0x33, 0, 0, 0, 2]), Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 2))
}

/// A router announces `prefix`/64 for `valid` seconds, and that solicitations are to be `retrans`
/// milliseconds apart.
pub(crate) fn ra(prefix: Ipv6Addr, valid: u32, retrans: u32) -> Frame {
    let mut information = vec![64, 0xc0];
    information.extend(valid.to_be_bytes());
    information.extend(valid.to_be_bytes());
    information.extend([0; 4]);
    information.extend(prefix.octets());
    Frame { kind: 134, word: 0x4000_0708, ..ns(prefix) }
        .for_all()
        .bare()
        .octets(&[0; 4])
        .octets(&retrans.to_be_bytes())
        .option(3, &information)
}

/// A listener query: there is a querier, and switches prune.
pub(crate) fn query() -> Frame {
    Frame { kind: 130, hop_limit: 1, ..ns(U) }
        .for_all()
        .bare()
        .octets(&[0; 20])
        .behind(0, &ROUTER_ALERT)
}

/// A station reports its groups, as after it got its carrier back.
pub(crate) fn report(lladdr: LinkAddr) -> Frame {
    let all_routers = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0x16);
    let record = [[4, 0, 0, 0].as_slice(), &solicited_node(U).octets()].concat();
    Frame { kind: 143, hop_limit: 1, word: 1, ..ns(U) }
        .by(lladdr, Ipv6Addr::UNSPECIFIED)
        .to(multicast_lladdr(all_routers), all_routers)
        .bare()
        .octets(&record)
        .behind(0, &ROUTER_ALERT)
}

/// A snooping switch looks for multicast routers.
pub(crate) fn router_search() -> Frame {
    let all_snoopers = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0x6a);
    Frame { kind: 152, hop_limit: 1, message_length: Some(4), ..ns(U) }
        .to(multicast_lladdr(all_snoopers), all_snoopers)
        .behind(0, &ROUTER_ALERT)
}

/// This host's kernel reports that `target` could not be reached.
pub(crate) fn unreachable(target: Ipv6Addr, code: u8) -> Frame {
    let mut original = [0; 40];
    original[0] = 0x60;
    original[24..].copy_from_slice(&target.octets());
    Frame { kind: 1, code, ..ns(target) }.unicast(MU).bare().octets(&original)
}

impl Frame {
    /// Another asker, with a link-layer address of its own.
    pub(crate) fn by(mut self, lladdr: LinkAddr, source: Ipv6Addr) -> Self {
        self.options = lladdr_option(SOURCE_LLADDR, lladdr);
        Self { ethernet_source: lladdr, source, ..self }
    }

    pub(crate) fn sent_by(self, ethernet_source: LinkAddr) -> Self {
        Self { ethernet_source, ..self }
    }

    pub(crate) fn source(self, source: Ipv6Addr) -> Self {
        Self { source, ..self }
    }

    pub(crate) fn to(self, ethernet_destination: LinkAddr, destination: Ipv6Addr) -> Self {
        Self { ethernet_destination, destination, ..self }
    }

    pub(crate) fn framed_for(self, ethernet_destination: LinkAddr) -> Self {
        Self { ethernet_destination, ..self }
    }

    /// To the target itself, in a frame for `lladdr`.
    pub(crate) fn unicast(self, lladdr: LinkAddr) -> Self {
        let target = self.target;
        self.to(lladdr, target)
    }

    pub(crate) fn for_all(self) -> Self {
        self.to(multicast_lladdr(ALL_NODES), ALL_NODES)
    }

    pub(crate) fn target(self, target: Ipv6Addr) -> Self {
        Self { target, ..self }
    }

    /// Without any option.
    pub(crate) fn bare(self) -> Self {
        Self { options: Vec::new(), ..self }
    }

    pub(crate) fn slla(self, lladdr: LinkAddr) -> Self {
        self.octets(&lladdr_option(SOURCE_LLADDR, lladdr))
    }

    pub(crate) fn tlla(self, lladdr: LinkAddr) -> Self {
        self.octets(&lladdr_option(TARGET_LLADDR, lladdr))
    }

    /// A nonce of six times `octet`.
    pub(crate) fn nonce(self, octet: u8) -> Self {
        self.option(NONCE, &[octet; 6])
    }

    pub(crate) fn option(mut self, kind: u8, body: &[u8]) -> Self {
        let units = (body.len() + 2).div_ceil(8);
        let end = self.options.len() + units * 8;
        self.options.extend([kind, u8::try_from(units).expect("an option is short")]);
        self.options.extend(body);
        self.options.resize(end, 0);
        self
    }

    /// Octets where options belong.
    pub(crate) fn octets(mut self, octets: &[u8]) -> Self {
        self.options.extend(octets);
        self
    }

    /// Any of `R`, `S` and `O`.
    pub(crate) fn flags(self, flags: &str) -> Self {
        let word = flags.chars().fold(0, |word, flag| {
            word | match flag {
                'R' => 0x8000_0000,
                'S' => 0x4000_0000,
                'O' => 0x2000_0000,
                other => panic!("there is no flag {other}"),
            }
        });
        Self { word, ..self }
    }

    pub(crate) fn reserved(self, word: u32) -> Self {
        Self { word, ..self }
    }

    pub(crate) fn kind(self, kind: u8) -> Self {
        Self { kind, ..self }
    }

    pub(crate) fn code(self, code: u8) -> Self {
        Self { code, ..self }
    }

    pub(crate) fn hop_limit(self, hop_limit: u8) -> Self {
        Self { hop_limit, ..self }
    }

    pub(crate) fn checksum_error(self, checksum_error: u16) -> Self {
        Self { checksum_error, ..self }
    }

    pub(crate) fn no_checksum(self) -> Self {
        Self { no_checksum: true, ..self }
    }

    pub(crate) fn payload_length(self, length: u16) -> Self {
        Self { payload_length: Some(length), ..self }
    }

    /// Ends the message early; lengths and checksum agree with that.
    pub(crate) fn message_length(self, length: usize) -> Self {
        Self { message_length: Some(length), ..self }
    }

    /// Ends the frame early; nothing else knows.
    pub(crate) fn cut(self, length: usize) -> Self {
        Self { kept: Some(length), ..self }
    }

    pub(crate) fn padding(self, padding: usize) -> Self {
        Self { padding, ..self }
    }

    /// Headers between IPv6 and the message, the number of the first one before them.
    pub(crate) fn behind(self, first: u8, headers: &[u8]) -> Self {
        Self { extensions: (first, headers.to_vec()), ..self }
    }

    pub(crate) fn tagged(self, vlan: u8) -> Self {
        Self { tags: vec![0x81, 0, 0, vlan], ..self }
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut message = vec![self.kind, self.code, 0, 0];
        message.extend(self.word.to_be_bytes());
        if matches!(self.kind, 135 | 136) {
            message.extend(self.target.octets());
        }
        message.extend(&self.options);
        message.truncate(self.message_length.unwrap_or(usize::MAX));
        if !self.no_checksum {
            let sum = checksum(self.source, self.destination, 58, &message) ^ self.checksum_error;
            message[2..4].copy_from_slice(&sum.to_be_bytes());
        }
        let (first, headers) = &self.extensions;
        let length = u16::try_from(headers.len() + message.len()).expect("a frame is short");
        let mut frame = Vec::new();
        frame.extend(self.ethernet_destination.0);
        frame.extend(self.ethernet_source.0);
        frame.extend(&self.tags);
        frame.extend([0x86, 0xdd, 0x60, 0, 0, 0]);
        frame.extend(self.payload_length.unwrap_or(length).to_be_bytes());
        frame.extend([*first, self.hop_limit]);
        frame.extend(self.source.octets());
        frame.extend(self.destination.octets());
        frame.extend(headers);
        frame.extend(message);
        frame.truncate(self.kept.unwrap_or(usize::MAX));
        frame.resize(frame.len() + self.padding, 0xa5);
        frame
    }
}

impl fmt::Debug for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}>{} {}>{} type {} word {:08x} {} options {:02x?}",
            self.ethernet_source,
            self.ethernet_destination,
            self.source,
            self.destination,
            self.kind,
            self.word,
            self.target,
            self.options
        )
    }
}

fn lladdr_option(kind: u8, lladdr: LinkAddr) -> Vec<u8> {
    [&[kind, 1], &lladdr.0[..]].concat()
}
