//! Decides in the kernel which frames are worth waking up for: a classic BPF program for packet
//! sockets.
//!
//! The programs are assembled, and their jumps are checked, when this crate is compiled; only what
//! is watched on a link without link-layer addresses, and the ports of datagrams, are put in later.
//! Frames are read at offsets from their first octet: offsets from the network header would serve all links alike,
//! but older kernels resolve them in the linear part of a buffer only
//! (`bpf_internal_load_pointer_neg_helper`), which a driver may end before the ICMPv6 header.

use std::net::Ipv6Addr;

use ipnet::Ipv6Net;
use libc::sock_filter;

use crate::framing::Framing;

/// The program for Ethernet links.
///
/// It accepts IPv6 frames that are untagged, or only priority-tagged (VLAN 0), and
///
/// * were received for this host, a group or everybody, and carry Neighbor Discovery (types 133
///   to 136), an MLD query (130) or report (131, 143), or a Multicast Router Solicitation (152),
///   directly or behind one extension header;
/// * or were sent by this host itself, and carry a Neighbor Solicitation (135) or a Destination
///   Unreachable that says no route or no neighbor (type 1, code 0 or 3).
///
/// Frames for other stations reach the socket where the link is promiscuous, and some of them
/// otherwise; they are never accepted.
pub(crate) const ETHERNET: [sock_filter; instructions(&ON_ETHERNET)] = assemble(&ON_ETHERNET);

/// The beginning of the program for links whose frames begin with the IPv6 header: what the other
/// one accepts is accepted, and for anything else that this host sends, [`watched`] goes on.
pub(crate) const BARE: [sock_filter; instructions(&ON_BARE)] = assemble(&ON_BARE);

/// Which datagrams are wanted.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Ports {
    /// Datagrams to the groups of SSDP and WS-Discovery.
    pub(crate) others: [Option<u16>; 2],
    /// Datagrams to this host itself.
    pub(crate) own: Option<u16>,
    /// The port that such datagrams have to come from.
    pub(crate) own_from: Option<u16>,
}

/// The program for datagrams by which services are found.
///
/// It accepts IPv4 and IPv6 packets that were received for this host, a group or everybody, are
/// untagged or only priority-tagged, and carry
///
/// * UDP to port 5353 of the groups of multicast DNS (RFC 6762 section 3);
/// * UDP to one of the other ports of the groups of SSDP and WS-Discovery;
/// * a fragment of UDP other than the first to any of these groups;
/// * UDP to this host's own port.
pub(crate) fn datagrams(framing: Framing, ports: &Ports) -> [sock_filter; DATAGRAM_INSTRUCTIONS] {
    let link_layer_len = match framing {
        Framing::Ethernet => ETHERNET_LEN,
        Framing::Bare => 0,
    };
    assemble(&datagram_source(link_layer_len, ports))
}

/// Assembled here as well, so that a mistake in its labels does not compile.
const _: [sock_filter; DATAGRAM_INSTRUCTIONS] = assemble(&datagram_source(ETHERNET_LEN, &NO_PORTS));
const DATAGRAM_INSTRUCTIONS: usize = instructions(&datagram_source(0, &NO_PORTS));
const NO_PORTS: Ports = Ports { others: [None; 2], own: None, own_from: None };

const ON_ETHERNET: [Step; STEPS] = source(ETHERNET_LEN, Label::Drop);
const ON_BARE: [Step; STEPS] = source(0, Label::End);

const STEPS: usize = 52;

/// Continues [`BARE`]: accepts what this host sends to a destination that is in one of `prefixes`
/// but not among `except`.
///
/// Of what is accepted here only the IPv6 header is passed on.
pub(crate) fn watched<'a>(
    prefixes: impl Iterator<Item = &'a Ipv6Net>,
    except: impl Iterator<Item = &'a Ipv6Addr>,
) -> Vec<sock_filter> {
    let mut program = Vec::new();
    for address in except {
        push_verdict(&mut program, Ipv6Net::from(*address), 0);
    }
    for prefix in prefixes {
        push_verdict(&mut program, *prefix, IPV6_LEN);
    }
    program.push(sock_filter { code: half(libc::BPF_RET | libc::BPF_K), jt: 0, jf: 0, k: 0 });
    program
}

/// Ends the program with a verdict if the destination is in a prefix.
fn push_verdict(program: &mut Vec<sock_filter>, prefix: Ipv6Net, octets: u32) {
    let [network, mask] = [prefix.network(), prefix.netmask()].map(Ipv6Addr::to_bits);
    let mut block = Vec::new();
    // From the end, where addresses of one subnet differ.
    for (offset, shift) in [(12, 0), (8, 32), (4, 64), (0, 96)] {
        let word = |bits: u128| u32::try_from(bits >> shift & 0xffff_ffff).unwrap_or_default();
        let (network, mask) = (word(network), word(mask));
        if mask != 0 {
            block.push((libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, DESTINATION + offset));
            if mask != u32::MAX {
                block.push((libc::BPF_ALU | libc::BPF_AND | libc::BPF_K, mask));
            }
            block.push((UNLESS_EQUAL, network));
        }
    }
    block.push((libc::BPF_RET | libc::BPF_K, octets));
    // At most ten instructions: what does not match goes on behind them.
    let mut behind = u8::try_from(block.len()).unwrap_or_default();
    for (code, k) in block {
        behind = behind.saturating_sub(1);
        let jf = if code == UNLESS_EQUAL { behind } else { 0 };
        program.push(sock_filter { code: half(code), jt: 0, jf, k });
    }
}

/// The source of a program for frames that begin with a link-layer header of some length.
///
/// What this host sends, and is not Neighbor Discovery, leads to `other`.
const fn source(link_layer_len: u32, other: Label) -> [Step; STEPS] {
    let next_header = link_layer_len + 6;
    let upper_layer = link_layer_len + IPV6_LEN;
    // An extension header, if there is one, stands where the upper layer would: its first octet
    // is the next header, the second its length.
    let extension = upper_layer;
    [
        ancillary(libc::SKF_AD_PROTOCOL),
        unless_equal(libc::ETH_P_IPV6.cast_unsigned(), Label::Drop),
        // The kernel has taken a tag off the frame before it shows it.
        ancillary(libc::SKF_AD_VLAN_TAG_PRESENT),
        if_equal(0, Label::Untagged),
        ancillary(libc::SKF_AD_VLAN_TAG),
        if_any_bit(VLAN_ID, Label::Drop),
        at(Label::Untagged),
        ancillary(libc::SKF_AD_PKTTYPE),
        if_equal(libc::PACKET_OUTGOING as u32, Label::Outgoing),
        if_above(libc::PACKET_MULTICAST as u32, Label::Drop),
        //
        // Received: find the ICMPv6 header, as an offset in X from where it usually is.
        load_index(0),
        octet(next_header),
        if_equal(ICMPV6, Label::Received),
        if_equal(HOP_BY_HOP, Label::Options),
        if_equal(DESTINATION_OPTIONS, Label::Options),
        if_equal(ROUTING, Label::Options),
        unless_equal(FRAGMENT, Label::Drop),
        // Only a first fragment has the ICMPv6 header.
        half_word(extension + 2),
        if_any_bit(FRAGMENT_OFFSET, Label::Drop),
        load_index(FRAGMENT_LEN),
        jump(Label::Extension),
        at(Label::Options),
        // RFC 8200 section 4: a length in units of 8 octets, without the first 8.
        octet(extension + 1),
        add(1),
        shift_left(3),
        copy_to_index(),
        at(Label::Extension),
        octet(extension),
        unless_equal(ICMPV6, Label::Drop),
        at(Label::Received),
        octet_from_index(upper_layer),
        if_equal(LISTENER_QUERY, Label::Accept),
        if_equal(LISTENER_REPORT, Label::Accept),
        if_equal(LISTENER_REPORT_V2, Label::Accept),
        if_equal(MULTICAST_ROUTER_SOLICIT, Label::Accept),
        if_above(NEIGHBOR_ADVERT, Label::Drop),
        if_above(ROUTER_SOLICIT - 1, Label::Accept),
        jump(Label::Drop),
        //
        // Sent by this host's own kernel.
        at(Label::Outgoing),
        octet(next_header),
        unless_equal(ICMPV6, other),
        octet(upper_layer),
        if_equal(NEIGHBOR_SOLICIT, Label::Accept),
        unless_equal(DESTINATION_UNREACHABLE, other),
        octet(upper_layer + 1),
        if_equal(NO_ROUTE, Label::Accept),
        unless_equal(ADDRESS_UNREACHABLE, other),
        //
        at(Label::Accept),
        pass(WHOLE_FRAME),
        at(Label::Drop),
        pass(0),
        at(Label::End),
    ]
}

/// The source of the program for datagrams in frames that begin with a link-layer header of some
/// length.
const fn datagram_source(link_layer_len: u32, ports: &Ports) -> [Step; DATAGRAM_STEPS] {
    let ip = link_layer_len;
    let destination4 = ip + 16;
    let destination6 = ip + DESTINATION;
    let fragment = ip + IPV6_LEN;
    let [ssdp, ws_discovery] = ports.others;
    let (ssdp, ws_discovery) = (port(ssdp), port(ws_discovery));
    // A group of which nothing is wanted is not looked for.
    let others = ssdp != NO_PORT || ws_discovery != NO_PORT;
    let (others4, others6) =
        if others { (SSDP_GROUP, SSDP_GROUP6_END) } else { (MDNS_GROUP, MDNS_GROUP6_END) };
    let from_elsewhere = match ports.own_from {
        Some(_) => Label::Drop,
        None => Label::ThisHost,
    };
    [
        ancillary(libc::SKF_AD_VLAN_TAG_PRESENT),
        if_equal(0, Label::Untagged),
        ancillary(libc::SKF_AD_VLAN_TAG),
        if_any_bit(VLAN_ID, Label::Drop),
        at(Label::Untagged),
        ancillary(libc::SKF_AD_PKTTYPE),
        if_above(libc::PACKET_MULTICAST as u32, Label::Drop),
        ancillary(libc::SKF_AD_PROTOCOL),
        if_equal(libc::ETH_P_IPV6.cast_unsigned(), Label::Version6),
        unless_equal(libc::ETH_P_IP.cast_unsigned(), Label::Drop),
        //
        octet(ip + 9),
        unless_equal(UDP, Label::Drop),
        half_word(ip + 6),
        if_any_bit(FRAGMENT_OFFSET4, Label::Fragment4),
        load_header_len(ip),
        half_word_from_index(ip + 2),
        if_equal(MDNS_PORT, Label::Mdns4),
        if_equal(ssdp, Label::Others4),
        if_equal(ws_discovery, Label::Others4),
        if_equal(port(ports.own), Label::Own),
        jump(Label::Drop),
        at(Label::Fragment4),
        word(destination4),
        if_equal(MDNS_GROUP, Label::Accept),
        if_equal(others4, Label::Accept),
        jump(Label::Drop),
        at(Label::Mdns4),
        word(destination4),
        if_equal(MDNS_GROUP, Label::Accept),
        jump(Label::Drop),
        at(Label::Others4),
        word(destination4),
        if_equal(SSDP_GROUP, Label::Accept),
        jump(Label::Drop),
        //
        at(Label::Version6),
        load_index(IPV6_LEN),
        octet(ip + 6),
        if_equal(UDP, Label::Ports6),
        unless_equal(FRAGMENT, Label::Drop),
        octet(fragment),
        unless_equal(UDP, Label::Drop),
        half_word(fragment + 2),
        if_any_bit(FRAGMENT_OFFSET, Label::Fragment6),
        load_index(IPV6_LEN + FRAGMENT_LEN),
        at(Label::Ports6),
        half_word_from_index(ip + 2),
        if_equal(MDNS_PORT, Label::Mdns6),
        if_equal(ssdp, Label::Others6),
        if_equal(ws_discovery, Label::Others6),
        if_equal(port(ports.own), Label::Own),
        jump(Label::Drop),
        at(Label::Fragment6),
        word(destination6 + 12),
        if_equal(MDNS_GROUP6_END, Label::Group6),
        if_equal(others6, Label::Group6),
        jump(Label::Drop),
        at(Label::Mdns6),
        word(destination6 + 12),
        if_equal(MDNS_GROUP6_END, Label::Group6),
        jump(Label::Drop),
        at(Label::Others6),
        word(destination6 + 12),
        unless_equal(SSDP_GROUP6_END, Label::Drop),
        at(Label::Group6),
        word(destination6),
        unless_equal(LINK_LOCAL_GROUP6, Label::Drop),
        word(destination6 + 4),
        unless_equal(0, Label::Drop),
        word(destination6 + 8),
        if_equal(0, Label::Accept),
        jump(Label::Drop),
        //
        // What is routed to somebody else has its own ports.
        at(Label::Own),
        half_word_from_index(ip),
        unless_equal(port(ports.own_from), from_elsewhere),
        at(Label::ThisHost),
        ancillary(libc::SKF_AD_PKTTYPE),
        if_equal(libc::PACKET_HOST as u32, Label::Accept),
        //
        at(Label::Drop),
        pass(0),
        at(Label::Accept),
        pass(WHOLE_FRAME),
    ]
}

/// A port, or what no port is equal to.
const fn port(port: Option<u16>) -> u32 {
    match port {
        Some(port) => port as u32,
        None => NO_PORT,
    }
}

const DATAGRAM_STEPS: usize = 81;

const ETHERNET_LEN: u32 = 14;
const IPV6_LEN: u32 = 40;
/// Offset of the destination in the IPv6 header.
const DESTINATION: u32 = 24;

/// Next header values.
const HOP_BY_HOP: u32 = 0;
const ROUTING: u32 = 43;
const UDP: u32 = 17;
const FRAGMENT: u32 = 44;
const ICMPV6: u32 = 58;
const DESTINATION_OPTIONS: u32 = 60;

/// RFC 8200 section 4.5.
const FRAGMENT_LEN: u32 = 8;
const FRAGMENT_OFFSET: u32 = 0xfff8;
/// RFC 791 section 3.1.
const FRAGMENT_OFFSET4: u32 = 0x1fff;

/// RFC 6762 section 3: 224.0.0.251, `ff02::fb`.
const MDNS_PORT: u32 = 5353;
const MDNS_GROUP: u32 = 0xe000_00fb;
const MDNS_GROUP6_END: u32 = 0xfb;
/// SSDP and WS-Discovery: 239.255.255.250, `ff02::c`.
const SSDP_GROUP: u32 = 0xefff_fffa;
const SSDP_GROUP6_END: u32 = 0x0c;
/// How these groups begin.
const LINK_LOCAL_GROUP6: u32 = 0xff02_0000;
/// Ports have 16 bits.
const NO_PORT: u32 = 0x0001_0000;

/// ICMPv6 types, and codes of Destination Unreachable.
const DESTINATION_UNREACHABLE: u32 = 1;
const NO_ROUTE: u32 = 0;
const ADDRESS_UNREACHABLE: u32 = 3;
const LISTENER_QUERY: u32 = 130;
const LISTENER_REPORT: u32 = 131;
const ROUTER_SOLICIT: u32 = 133;
const NEIGHBOR_SOLICIT: u32 = 135;
const NEIGHBOR_ADVERT: u32 = 136;
const LISTENER_REPORT_V2: u32 = 143;
const MULTICAST_ROUTER_SOLICIT: u32 = 152;

/// The VLAN identifier within the tag control information (IEEE 802.1Q).
const VLAN_ID: u32 = 0x0fff;

/// More than any frame has: nothing is cut off.
const WHOLE_FRAME: u32 = 0x0004_0000;

/// A line of the program's source.
#[derive(Clone, Copy)]
enum Step {
    /// Names the place of the next instruction.
    At(Label),
    /// An instruction that goes on with the next.
    Do { code: u32, k: u32 },
    /// An instruction that goes elsewhere, or on with the next.
    Branch { code: u32, k: u32, when_true: Label, when_false: Label },
    /// An instruction that always goes elsewhere.
    Jump(Label),
}

/// A place to jump to.
#[derive(Clone, Copy)]
enum Label {
    /// The instruction after the jump itself.
    Next,
    Untagged,
    Options,
    Extension,
    Received,
    Outgoing,
    Fragment4,
    Mdns4,
    Others4,
    Version6,
    Ports6,
    Fragment6,
    Mdns6,
    Others6,
    Group6,
    Own,
    ThisHost,
    Accept,
    Drop,
    /// Behind the last instruction.
    End,
}

const LABELS: usize = Label::End as usize + 1;

const fn at(label: Label) -> Step {
    Step::At(label)
}

/// Loads what the kernel knows about the frame beside its octets.
const fn ancillary(field: libc::c_int) -> Step {
    let k = (libc::SKF_AD_OFF + field).cast_unsigned();
    Step::Do { code: libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, k }
}

const fn octet(offset: u32) -> Step {
    Step::Do { code: libc::BPF_LD | libc::BPF_B | libc::BPF_ABS, k: offset }
}

const fn octet_from_index(offset: u32) -> Step {
    Step::Do { code: libc::BPF_LD | libc::BPF_B | libc::BPF_IND, k: offset }
}

const fn half_word(offset: u32) -> Step {
    Step::Do { code: libc::BPF_LD | libc::BPF_H | libc::BPF_ABS, k: offset }
}

const fn word(offset: u32) -> Step {
    Step::Do { code: libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, k: offset }
}

const fn half_word_from_index(offset: u32) -> Step {
    Step::Do { code: libc::BPF_LD | libc::BPF_H | libc::BPF_IND, k: offset }
}

/// Loads the length of the IPv4 header at `offset` into the index register.
const fn load_header_len(offset: u32) -> Step {
    Step::Do { code: libc::BPF_LDX | libc::BPF_B | libc::BPF_MSH, k: offset }
}

const fn load_index(value: u32) -> Step {
    Step::Do { code: libc::BPF_LDX | libc::BPF_W | libc::BPF_IMM, k: value }
}

const fn copy_to_index() -> Step {
    Step::Do { code: libc::BPF_MISC | BPF_TAX, k: 0 }
}

const fn add(value: u32) -> Step {
    Step::Do { code: libc::BPF_ALU | libc::BPF_ADD | libc::BPF_K, k: value }
}

const fn shift_left(bits: u32) -> Step {
    Step::Do { code: libc::BPF_ALU | libc::BPF_LSH | libc::BPF_K, k: bits }
}

const fn jump(to: Label) -> Step {
    Step::Jump(to)
}

const fn if_equal(k: u32, to: Label) -> Step {
    let code = libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K;
    Step::Branch { code, k, when_true: to, when_false: Label::Next }
}

const fn unless_equal(k: u32, to: Label) -> Step {
    let code = libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K;
    Step::Branch { code, k, when_true: Label::Next, when_false: to }
}

const fn if_above(k: u32, to: Label) -> Step {
    let code = libc::BPF_JMP | libc::BPF_JGT | libc::BPF_K;
    Step::Branch { code, k, when_true: to, when_false: Label::Next }
}

const fn if_any_bit(k: u32, to: Label) -> Step {
    let code = libc::BPF_JMP | libc::BPF_JSET | libc::BPF_K;
    Step::Branch { code, k, when_true: to, when_false: Label::Next }
}

/// Ends the program: that many octets of the frame are passed on.
const fn pass(octets: u32) -> Step {
    Step::Do { code: libc::BPF_RET | libc::BPF_K, k: octets }
}

/// Compares with the accumulator; both ways of going on are given.
const UNLESS_EQUAL: u32 = libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K;

/// Copies the accumulator to the index register.
const BPF_TAX: u32 = 0x00;

/// Counts the instructions: all steps but the labels.
const fn instructions(source: &[Step]) -> usize {
    let mut count = 0;
    let mut index = 0;
    while index < source.len() {
        if !matches!(source[index], Step::At(_)) {
            count += 1;
        }
        index += 1;
    }
    count
}

/// Turns labels into distances; a label that is missing, doubled, behind or too far away is a
/// compile error.
const fn assemble<const LEN: usize>(source: &[Step]) -> [sock_filter; LEN] {
    let places = places(source);
    let mut program = [sock_filter { code: 0, jt: 0, jf: 0, k: 0 }; LEN];
    let mut here = 0;
    let mut index = 0;
    while index < source.len() {
        let instruction = match source[index] {
            Step::At(_) => None,
            Step::Do { code, k } => Some(sock_filter { code: half(code), jt: 0, jf: 0, k }),
            Step::Branch { code, k, when_true, when_false } => {
                let jt = octet_distance(&places, here, when_true);
                let jf = octet_distance(&places, here, when_false);
                Some(sock_filter { code: half(code), jt, jf, k })
            }
            Step::Jump(to) => {
                let k = octet_distance(&places, here, to) as u32;
                Some(sock_filter { code: half(libc::BPF_JMP | libc::BPF_JA), jt: 0, jf: 0, k })
            }
        };
        if let Some(instruction) = instruction {
            program[here] = instruction;
            here += 1;
        }
        index += 1;
    }
    assert!(here == LEN, "the length counts all instructions");
    program
}

/// Finds the instruction that each label stands for.
const fn places(source: &[Step]) -> [Option<usize>; LABELS] {
    let mut places = [None; LABELS];
    let mut here = 0;
    let mut index = 0;
    while index < source.len() {
        if let Step::At(label) = source[index] {
            assert!(places[label as usize].is_none(), "a label stands in two places");
            places[label as usize] = Some(here);
        } else {
            here += 1;
        }
        index += 1;
    }
    places
}

/// Counts the instructions that a jump from `here` to `label` skips.
#[expect(clippy::cast_possible_truncation, reason = "checked in the line before")]
const fn octet_distance(places: &[Option<usize>; LABELS], here: usize, label: Label) -> u8 {
    if let Label::Next = label {
        return 0;
    }
    let place = places[label as usize].expect("every label that is used stands somewhere");
    let distance = place.checked_sub(here + 1).expect("jumps go forward only");
    assert!(distance <= u8::MAX as usize, "a jump is too long");
    distance as u8
}

/// Narrows an operation code to the width it has in the kernel's format.
#[expect(clippy::cast_possible_truncation, reason = "checked in the line before")]
const fn half(code: u32) -> u16 {
    assert!(code <= u16::MAX as u32, "operation codes have 16 bits");
    code as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the kernel would hand to the program.
    #[derive(Clone, Debug)]
    struct Frame {
        protocol: u32,
        vlan_tag: Option<u32>,
        packet_type: u8,
        /// Without a link-layer header.
        octets: Vec<u8>,
    }

    /// A program, and the header that frames have before the IPv6 header.
    struct Layout {
        program: Vec<sock_filter>,
        link_layer: &'static [u8],
    }

    fn layouts() -> [Layout; 2] {
        [Layout { program: ETHERNET.to_vec(), link_layer: &ETHERNET_HEADER }, watching(&[], &[])]
    }

    fn watching(prefixes: &[&str], except: &[&str]) -> Layout {
        let prefixes: Vec<Ipv6Net> =
            prefixes.iter().map(|prefix| prefix.parse().unwrap()).collect();
        let except: Vec<Ipv6Addr> = except.iter().map(|address| address.parse().unwrap()).collect();
        let program = [&BARE[..], &watched(prefixes.iter(), except.iter())].concat();
        Layout { program, link_layer: &[] }
    }

    const ETHERNET_HEADER: [u8; 14] = [0x33, 0x33, 0xff, 0, 0, 0x21, 2, 0, 0, 0, 0, 1, 0x86, 0xdd];

    #[test]
    #[expect(clippy::too_many_lines, reason = "one line for each kind of frame")]
    fn accepts_what_the_engine_needs_and_nothing_else() {
        use libc::{PACKET_BROADCAST, PACKET_HOST, PACKET_LOOPBACK, PACKET_MULTICAST};
        use libc::{PACKET_OTHERHOST, PACKET_OUTGOING};
        let icmpv6 = |kind| ipv6(58, &[kind, 0, 0, 0]);
        let coded = |kind, code| ipv6(58, &[kind, code, 0, 0]);
        let behind =
            |header, extension: &[u8], kind| ipv6(header, &[extension, &[kind, 0, 0, 0]].concat());
        let short_options = [58, 0, 5, 2, 0, 0, 1, 0];
        let mut long_options = [0; 32];
        (long_options[0], long_options[1]) = (58, 3);
        let mut longest_options = [0; 2048];
        (longest_options[0], longest_options[1]) = (58, 255);
        let nested = [60, 0, 1, 4, 0, 0, 0, 0, 58, 0, 1, 4, 0, 0, 0, 0];

        let cases: &[(&str, bool, Frame)] = &[
            ("solicitation for a group", true, received(PACKET_MULTICAST, icmpv6(135))),
            ("solicitation for this host", true, received(PACKET_HOST, icmpv6(135))),
            ("solicitation for everybody", true, received(PACKET_BROADCAST, icmpv6(135))),
            ("solicitation for somebody else", false, received(PACKET_OTHERHOST, icmpv6(135))),
            ("looped back", false, received(PACKET_LOOPBACK, icmpv6(135))),
            ("listener query", true, received(PACKET_MULTICAST, icmpv6(130))),
            ("listener report", true, received(PACKET_MULTICAST, icmpv6(131))),
            ("listener done", false, received(PACKET_MULTICAST, icmpv6(132))),
            ("router solicitation", true, received(PACKET_MULTICAST, icmpv6(133))),
            ("router advertisement", true, received(PACKET_MULTICAST, icmpv6(134))),
            ("neighbor advertisement", true, received(PACKET_MULTICAST, icmpv6(136))),
            ("redirect", false, received(PACKET_HOST, icmpv6(137))),
            ("multicast router advertisement", false, received(PACKET_MULTICAST, icmpv6(151))),
            ("multicast router solicitation", true, received(PACKET_MULTICAST, icmpv6(152))),
            ("multicast router termination", false, received(PACKET_MULTICAST, icmpv6(153))),
            ("echo request", false, received(PACKET_HOST, icmpv6(128))),
            ("unreachable from elsewhere", false, received(PACKET_HOST, coded(1, 3))),
            ("udp", false, received(PACKET_HOST, ipv6(17, &[135, 135, 135, 135]))),
            ("tcp", false, received(PACKET_HOST, ipv6(6, &[135; 20]))),
            ("no next header", false, received(PACKET_HOST, ipv6(59, &[135; 8]))),
            ("behind hop-by-hop", true, received(PACKET_HOST, behind(0, &short_options, 130))),
            (
                "behind destination options",
                true,
                received(PACKET_HOST, behind(60, &long_options, 135)),
            ),
            (
                "behind a routing header",
                true,
                received(PACKET_HOST, behind(43, &longest_options, 136)),
            ),
            (
                "report behind hop-by-hop",
                true,
                received(PACKET_HOST, behind(0, &short_options, 143)),
            ),
            (
                "udp behind hop-by-hop",
                false,
                received(PACKET_HOST, ipv6(0, &[17, 0, 5, 2, 0, 0, 1, 0, 135, 0])),
            ),
            ("two extension headers", false, received(PACKET_HOST, behind(0, &nested, 135))),
            (
                "authentication header",
                false,
                received(PACKET_HOST, behind(51, &short_options, 135)),
            ),
            (
                "atomic fragment",
                true,
                received(PACKET_HOST, behind(44, &[58, 0, 0, 0, 0, 0, 0, 1], 135)),
            ),
            (
                "first fragment",
                true,
                received(PACKET_HOST, behind(44, &[58, 99, 0, 1, 0, 0, 0, 1], 135)),
            ),
            (
                "second fragment",
                false,
                received(PACKET_HOST, behind(44, &[58, 0, 0, 8, 0, 0, 0, 1], 135)),
            ),
            (
                "late fragment",
                false,
                received(PACKET_HOST, behind(44, &[58, 0, 0x80, 0, 0, 0, 0, 1], 135)),
            ),
            (
                "fragment of udp",
                false,
                received(PACKET_HOST, behind(44, &[17, 0, 0, 0, 0, 0, 0, 1], 135)),
            ),
            ("tag of vlan 10", false, tagged(10, icmpv6(135))),
            ("tag of vlan 10 with priority", false, tagged(0xe00a, icmpv6(135))),
            ("tag of vlan 4095", false, tagged(0x0fff, icmpv6(135))),
            ("priority tag", true, tagged(0xe000, icmpv6(135))),
            ("priority tag with priority 0", true, tagged(0, icmpv6(135))),
            ("two tags", false, Frame { protocol: 0x8100, ..tagged(0, icmpv6(135)) }),
            ("ipv4", false, Frame { protocol: 0x0800, ..received(PACKET_HOST, icmpv6(135)) }),
            ("own solicitation", true, received(PACKET_OUTGOING, icmpv6(135))),
            ("own advertisement", false, received(PACKET_OUTGOING, icmpv6(136))),
            ("own router solicitation", false, received(PACKET_OUTGOING, icmpv6(133))),
            ("own router advertisement", false, received(PACKET_OUTGOING, icmpv6(134))),
            ("own listener query", false, received(PACKET_OUTGOING, icmpv6(130))),
            ("own echo request", false, received(PACKET_OUTGOING, icmpv6(128))),
            ("own no route", true, received(PACKET_OUTGOING, coded(1, 0))),
            ("own prohibited", false, received(PACKET_OUTGOING, coded(1, 1))),
            ("own beyond scope", false, received(PACKET_OUTGOING, coded(1, 2))),
            ("own address unreachable", true, received(PACKET_OUTGOING, coded(1, 3))),
            ("own port unreachable", false, received(PACKET_OUTGOING, coded(1, 4))),
            (
                "own solicitation behind options",
                false,
                received(PACKET_OUTGOING, behind(0, &short_options, 135)),
            ),
            (
                "own solicitation on a vlan",
                false,
                Frame { packet_type: PACKET_OUTGOING, ..tagged(10, icmpv6(135)) },
            ),
            ("own udp", false, received(PACKET_OUTGOING, ipv6(17, &[135, 0]))),
        ];
        for layout in layouts() {
            for (name, expected, frame) in cases {
                let passed = run(&layout, frame);
                assert_eq!(passed > 0, *expected, "{name}: {frame:?}");
                assert!(passed == 0 || passed >= 65_536, "{name}: cut to {passed} octets");
            }
        }
    }

    #[test]
    fn drops_every_frame_that_is_cut_before_the_type() {
        let whole = ipv6(0, &[58, 0, 5, 2, 0, 0, 1, 0, 130]);
        for layout in layouts() {
            for length in 0..whole.len() {
                let cut = received(libc::PACKET_HOST, whole.get(..length).unwrap().to_vec());
                assert_eq!(run(&layout, &cut), 0, "{length} octets");
            }
            assert_ne!(run(&layout, &received(libc::PACKET_HOST, whole.clone())), 0);
        }
    }

    #[test]
    fn lnk_08_what_this_host_sends_to_watched_prefixes_is_accepted() {
        let subnet = &["2001:db8:1::/64"][..];
        // The prefixes, the exceptions, the destination, and whether it is accepted.
        let cases: &[(&[&str], &[&str], &str, bool)] = &[
            (&[], &[], "2001:db8:1::22", false),
            (&["::/0"], &[], "2001:db8:1::22", true),
            (subnet, &[], "2001:db8:1::22", true),
            (subnet, &[], "2001:db8:1:0:ffff:ffff:ffff:ffff", true),
            (subnet, &[], "2001:db8:1:1::22", false),
            (subnet, &[], "2001:db9:1::22", false),
            (subnet, &[], "ff02::1", false),
            (subnet, &["2001:db8:1::22"], "2001:db8:1::22", false),
            (subnet, &["2001:db8:1::22"], "2001:db8:1::23", true),
            (subnet, &["2001:db8:1::22"], "2001:db8:1:0:1::22", true),
            (subnet, &["2001:db8:1::22", "2001:db8:1::23"], "2001:db8:1::23", false),
            (&["2001:db8:1::22/128"], &[], "2001:db8:1::22", true),
            (&["2001:db8:1::22/128"], &[], "2001:db8:1::23", false),
            (&["2001:db8:1::/48", "2001:db8:8000::/33"], &[], "2001:db8:1:ffff::1", true),
            (&["2001:db8:1::/48", "2001:db8:8000::/33"], &[], "2001:db8:ffff::1", true),
            (&["2001:db8:1::/48", "2001:db8:8000::/33"], &[], "2001:db8:7fff::1", false),
            (&["2001:db8:1::f0/125"], &[], "2001:db8:1::f7", true),
            (&["2001:db8:1::f0/125"], &[], "2001:db8:1::f8", false),
        ];
        for (prefixes, except, destination, expected) in cases {
            let layout = watching(prefixes, except);
            let destination: Ipv6Addr = destination.parse().unwrap();
            for upper_layer in [6, 17, 44, 58, 59] {
                let mut octets = ipv6(upper_layer, &[128, 0, 0, 0]);
                octets.splice(24..40, destination.octets());
                let sent = received(libc::PACKET_OUTGOING, octets.clone());
                let passed = run(&layout, &sent);
                assert_eq!(passed > 0, *expected, "{destination} of {prefixes:?}");
                assert!(passed == 0 || passed == 40, "{passed} octets instead of a header");
                for packet_type in [libc::PACKET_HOST, libc::PACKET_OTHERHOST] {
                    assert_eq!(run(&layout, &received(packet_type, octets.clone())), 0);
                }
                let ipv4 = Frame { protocol: 0x0800, ..sent };
                assert_eq!(run(&layout, &ipv4), 0);
            }
        }
    }

    #[test]
    fn what_locates_a_target_is_accepted_whole_wherever_it_is_sent() {
        let layout = watching(&["::/0"], &["fefe:fefe:fefe:fefe:fefe:fefe:fefe:fefe"]);
        for (kind, code) in [(135, 0), (1, 0), (1, 3)] {
            let sent = received(libc::PACKET_OUTGOING, ipv6(58, &[kind, code, 0, 0]));
            assert_eq!(run(&layout, &sent), WHOLE_FRAME);
        }
        let sent = received(libc::PACKET_OUTGOING, ipv6(58, &[1, 4, 0, 0]));
        assert_eq!(run(&layout, &sent), 0);
    }

    #[test]
    #[expect(clippy::too_many_lines, reason = "one line for each kind of datagram")]
    fn accepts_datagrams_of_services_and_nothing_else() {
        use libc::{PACKET_BROADCAST, PACKET_HOST, PACKET_LOOPBACK, PACKET_MULTICAST};
        use libc::{PACKET_OTHERHOST, PACKET_OUTGOING};
        let mdns =
            |packet: fn([u8; 2], &[u8]) -> Vec<u8>, end: [u8; 2]| packet(end, &udp(5353, 5353));
        let none = NO_PORTS;
        let own = Ports { own: Some(40_000), own_from: Some(5353), ..NO_PORTS };
        let ssdp = Ports { others: [Some(1900), None], ..NO_PORTS };
        let ws_discovery = Ports { others: [None, Some(3702)], ..NO_PORTS };
        let all = Ports { others: [Some(1900), Some(3702)], own: Some(40_000), own_from: None };
        let group = |octets| received(PACKET_MULTICAST, octets);
        let group4 = |octets| Frame { protocol: 0x0800, ..group(octets) };
        let host = |octets| received(PACKET_HOST, octets);
        let host4 = |octets| Frame { protocol: 0x0800, ..host(octets) };
        let with = |packet_type, frame| Frame { packet_type, ..frame };
        let query4 = || group4(mdns(ipv4, MDNS4));
        let query6 = || group(mdns(ipv6_to, MDNS6));

        let cases: &[(&str, &Ports, bool, Frame)] = &[
            ("multicast DNS", &none, true, query6()),
            ("multicast DNS over IPv4", &none, true, query4()),
            ("made unicast by an access point", &none, true, with(PACKET_HOST, query6())),
            ("the same over IPv4", &none, true, with(PACKET_HOST, query4())),
            ("for everybody", &none, true, with(PACKET_BROADCAST, query4())),
            ("for somebody else", &none, false, with(PACKET_OTHERHOST, query6())),
            ("our own", &none, false, with(PACKET_OUTGOING, query6())),
            ("our own over IPv4", &none, false, with(PACKET_OUTGOING, query4())),
            ("looped back", &none, false, with(PACKET_LOOPBACK, query4())),
            ("from a simple resolver", &none, true, group(ipv6_to(MDNS6, &udp(40_001, 5353)))),
            ("the same over IPv4", &none, true, group4(ipv4(MDNS4, &udp(40_001, 5353)))),
            ("to another port", &none, false, group(ipv6_to(MDNS6, &udp(5353, 5354)))),
            ("to another port over IPv4", &none, false, group4(ipv4(MDNS4, &udp(5353, 5354)))),
            ("to another group", &none, false, group(mdns(ipv6_to, [0x02, 0xfc]))),
            ("to another group over IPv4", &none, false, group4(mdns(ipv4, [0, 0xfc]))),
            ("of another scope", &none, false, group(mdns(ipv6_to, [0x05, 0xfb]))),
            ("to this host", &all, false, host(mdns(ipv6_to, [0, 0xfb]))),
            ("to this host over IPv4", &all, false, host4(mdns(ipv4, [9, 9]))),
            ("tcp", &none, false, group(with_protocol(6, 6, mdns(ipv6_to, MDNS6)))),
            ("tcp over IPv4", &none, false, group4(with_protocol(9, 6, mdns(ipv4, MDNS4)))),
            ("on a vlan", &none, false, Frame { vlan_tag: Some(10), ..query6() }),
            ("on a vlan over IPv4", &none, false, Frame { vlan_tag: Some(10), ..query4() }),
            ("with a priority", &none, true, Frame { vlan_tag: Some(0xe000), ..query6() }),
            ("neither version", &none, false, Frame { protocol: 0x0806, ..query4() }),
            ("with options", &none, true, group4(options4(mdns(ipv4, MDNS4)))),
            ("first fragment", &none, true, group(fragment6(0, 17, mdns(ipv6_to, MDNS6)))),
            ("later fragment", &none, true, group(fragment6(8, 17, mdns(ipv6_to, MDNS6)))),
            ("late fragment", &none, true, group(fragment6(0x8000, 17, mdns(ipv6_to, MDNS6)))),
            ("fragment of tcp", &none, false, group(fragment6(8, 6, mdns(ipv6_to, MDNS6)))),
            (
                "first fragment to another port",
                &none,
                false,
                group(fragment6(0, 17, ipv6_to(MDNS6, &udp(5353, 53)))),
            ),
            (
                "later fragment to another group",
                &none,
                false,
                group(fragment6(8, 17, mdns(ipv6_to, OTHER6))),
            ),
            (
                "later fragment to this host",
                &all,
                false,
                host(fragment6(8, 17, mdns(ipv6_to, [0, 0xfb]))),
            ),
            ("first over IPv4", &none, true, group4(fragment4(0x2000, mdns(ipv4, MDNS4)))),
            ("later over IPv4", &none, true, group4(fragment4(0x2001, mdns(ipv4, MDNS4)))),
            ("last over IPv4", &none, true, group4(fragment4(0x00ff, mdns(ipv4, MDNS4)))),
            (
                "later over IPv4 to another group",
                &none,
                false,
                group4(fragment4(1, mdns(ipv4, OTHER4))),
            ),
            ("later over IPv4 to this host", &all, false, host4(fragment4(1, mdns(ipv4, [9, 9])))),
            ("answer to nobody", &none, false, host(ipv6_to([0, 9], &udp(5353, 40_000)))),
            ("answer", &own, true, host(ipv6_to([0, 9], &udp(5353, 40_000)))),
            ("answer over IPv4", &own, true, host4(ipv4([9, 9], &udp(5353, 40_000)))),
            ("answer to all", &own, false, group(ipv6_to(MDNS6, &udp(5353, 40_000)))),
            ("what is routed", &own, false, host(ipv6_to([0, 9], &udp(443, 40_000)))),
            ("what is routed over IPv4", &own, false, host4(ipv4([9, 9], &udp(443, 40_000)))),
            ("answer of SSDP", &all, true, host4(ipv4([9, 9], &udp(1900, 40_000)))),
            ("answer from any port", &all, true, host(ipv6_to([0, 9], &udp(50_000, 40_000)))),
            ("SSDP unasked for", &none, false, group4(ipv4(OTHER4, &udp(50_000, 1900)))),
            ("SSDP", &ssdp, true, group4(ipv4(OTHER4, &udp(50_000, 1900)))),
            ("SSDP over IPv6", &ssdp, true, group(ipv6_to(OTHER6, &udp(50_000, 1900)))),
            ("SSDP of a site", &ssdp, false, group(ipv6_to([0x05, 0x0c], &udp(50_000, 1900)))),
            ("SSDP to the other group", &ssdp, false, group4(ipv4(MDNS4, &udp(50_000, 1900)))),
            ("WS-Discovery unasked for", &ssdp, false, group4(ipv4(OTHER4, &udp(50_000, 3702)))),
            ("WS-Discovery", &ws_discovery, true, group4(ipv4(OTHER4, &udp(50_000, 3702)))),
            ("over IPv6", &ws_discovery, true, group(ipv6_to(OTHER6, &udp(50_000, 3702)))),
            (
                "later fragment of WS-Discovery",
                &ws_discovery,
                true,
                group(fragment6(8, 17, ipv6_to(OTHER6, &udp(1, 2)))),
            ),
            (
                "later fragment of WS-Discovery over IPv4",
                &ws_discovery,
                true,
                group4(fragment4(1, ipv4(OTHER4, &udp(1, 2)))),
            ),
            ("multicast DNS besides", &all, true, query6()),
            ("multicast DNS besides over IPv4", &all, true, query4()),
        ];
        for framing in [Framing::Ethernet, Framing::Bare] {
            for (name, ports, expected, frame) in cases {
                let layout = hearing(framing, ports);
                let passed = run(&layout, frame);
                assert_eq!(passed > 0, *expected, "{name}, {framing:?}: {frame:?}");
                assert!(passed == 0 || passed >= 65_536, "{name}: cut to {passed} octets");
            }
        }
    }

    #[test]
    fn drops_every_datagram_that_is_cut_before_its_ports() {
        for framing in [Framing::Ethernet, Framing::Bare] {
            let layout = hearing(framing, &NO_PORTS);
            for (protocol, whole) in [
                (0x0800, ipv4(MDNS4, &udp(5353, 5353))),
                (0x86dd, ipv6_to(MDNS6, &udp(5353, 5353))),
                (0x86dd, fragment6(0, 17, ipv6_to(MDNS6, &udp(5353, 5353)))),
            ] {
                let needed = whole.len() - 4;
                for length in 0..=whole.len() {
                    let octets = whole.get(..length).unwrap().to_vec();
                    let frame = Frame { protocol, ..received(libc::PACKET_MULTICAST, octets) };
                    assert_eq!(run(&layout, &frame) > 0, length >= needed, "{length} octets");
                }
            }
        }
    }

    const MDNS4: [u8; 2] = [0, 0xfb];
    const MDNS6: [u8; 2] = [0x02, 0xfb];
    const OTHER4: [u8; 2] = [0xff, 0xfa];
    const OTHER6: [u8; 2] = [0x02, 0x0c];

    fn hearing(framing: Framing, ports: &Ports) -> Layout {
        let link_layer: &[u8] = match framing {
            Framing::Ethernet => &ETHERNET_HEADER,
            Framing::Bare => &[],
        };
        Layout { program: datagrams(framing, ports).to_vec(), link_layer }
    }

    fn udp(from: u16, to: u16) -> Vec<u8> {
        [from.to_be_bytes(), to.to_be_bytes(), [0, 8], [0, 0]].concat()
    }

    /// To the group 224.0.0.251 or 239.255.255.250, or to some address, that ends so.
    fn ipv4(end: [u8; 2], payload: &[u8]) -> Vec<u8> {
        let begin = match end {
            OTHER4 => [239, 255],
            [0, _] => [224, 0],
            _ => [192, 0],
        };
        let length = u8::try_from(20 + payload.len()).unwrap();
        let mut packet = vec![0x45, 0, 0, length, 0, 0, 0, 0, 255, 17, 0, 0, 192, 0, 2, 1];
        packet.extend([begin, end].concat());
        packet.extend(payload);
        packet
    }

    /// To a group of a scope, or to some address, that ends so.
    fn ipv6_to(end: [u8; 2], payload: &[u8]) -> Vec<u8> {
        let mut packet = ipv6(17, payload);
        let [scope, last] = end;
        let begin = if scope == 0 { [0xfd, 0] } else { [0xff, scope] };
        packet.splice(24..40, [&begin[..], &[0; 13], &[last]].concat());
        packet
    }

    fn with_protocol(place: usize, protocol: u8, mut packet: Vec<u8>) -> Vec<u8> {
        packet[place] = protocol;
        packet
    }

    fn options4(mut packet: Vec<u8>) -> Vec<u8> {
        packet[0] = 0x46;
        packet.splice(20..20, [0x94, 4, 0, 0]);
        packet
    }

    fn fragment4(field: u16, mut packet: Vec<u8>) -> Vec<u8> {
        packet.splice(6..8, field.to_be_bytes());
        packet
    }

    fn fragment6(offset: u16, next_header: u8, mut packet: Vec<u8>) -> Vec<u8> {
        packet[6] = 44;
        let [high, low] = offset.to_be_bytes();
        packet.splice(40..40, [next_header, 0, high, low, 0, 0, 0, 1]);
        packet
    }

    fn received(packet_type: u8, octets: Vec<u8>) -> Frame {
        Frame { protocol: 0x86dd, vlan_tag: None, packet_type, octets }
    }

    fn tagged(tag: u32, octets: Vec<u8>) -> Frame {
        Frame { vlan_tag: Some(tag), ..received(libc::PACKET_MULTICAST, octets) }
    }

    fn ipv6(next_header: u8, payload: &[u8]) -> Vec<u8> {
        let length = u16::try_from(payload.len()).unwrap().to_be_bytes();
        let mut frame = Vec::from([0x60, 0, 0, 0, length[0], length[1], next_header, 255]);
        frame.extend([0xfe; 32]);
        frame.extend(payload);
        frame
    }

    /// Runs the program as the kernel would: a load beyond the frame ends it with 0.
    fn run(layout: &Layout, frame: &Frame) -> u32 {
        let octets = [layout.link_layer, &frame.octets].concat();
        let (mut a, mut x, mut counter) = (0_u32, 0_u32, 0);
        loop {
            let sock_filter { code, jt, jf, k } = layout.program[counter];
            counter += 1;
            let skip = |taken| usize::from(if taken { jt } else { jf });
            match u32::from(code) {
                // LD W ABS
                0x20 if k < 0x8000_0000 => match load(&octets, k, 4) {
                    Some(value) => a = value,
                    None => return 0,
                },
                0x20 => {
                    a = match k.cast_signed() - libc::SKF_AD_OFF {
                        libc::SKF_AD_PROTOCOL => frame.protocol,
                        libc::SKF_AD_PKTTYPE => frame.packet_type.into(),
                        libc::SKF_AD_VLAN_TAG_PRESENT => frame.vlan_tag.is_some().into(),
                        libc::SKF_AD_VLAN_TAG => frame.vlan_tag.unwrap_or(0),
                        other => panic!("no such ancillary field: {other}"),
                    }
                }
                // LD H ABS
                0x28 => match load(&octets, k, 2) {
                    Some(value) => a = value,
                    None => return 0,
                },
                // LD B ABS
                0x30 => match load(&octets, k, 1) {
                    Some(value) => a = value,
                    None => return 0,
                },
                // LD B IND
                0x50 => match load(&octets, x + k, 1) {
                    Some(value) => a = value,
                    None => return 0,
                },
                // LD H IND
                0x48 => match load(&octets, x + k, 2) {
                    Some(value) => a = value,
                    None => return 0,
                },
                // LDX W IMM
                0x01 => x = k,
                // LDX B MSH
                0xb1 => match load(&octets, k, 1) {
                    Some(value) => x = (value & 0xf) * 4,
                    None => return 0,
                },
                // MISC TAX
                0x07 => x = a,
                // ALU ADD K, ALU AND K, ALU LSH K
                0x04 => a += k,
                0x54 => a &= k,
                0x64 => a <<= k,
                // JMP JA, JEQ K, JGT K, JSET K
                0x05 => counter += usize::try_from(k).unwrap(),
                0x15 => counter += skip(a == k),
                0x25 => counter += skip(a > k),
                0x45 => counter += skip(a & k != 0),
                // RET K
                0x06 => return k,
                other => panic!("no such operation: {other:#x}"),
            }
        }
    }

    fn load(frame: &[u8], offset: u32, octets: usize) -> Option<u32> {
        let start = usize::try_from(offset).unwrap();
        let bytes = frame.get(start..start + octets)?;
        Some(bytes.iter().fold(0, |value, octet| value << 8 | u32::from(*octet)))
    }
}
