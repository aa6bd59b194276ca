//! Datagrams: golden frames, what is refused, and that fragments put together are the whole.

use std::net::{IpAddr, SocketAddr};

use magpie_wire::datagram::{
    Datagram, Fragment, MDNS_GROUP_V4, MDNS_GROUP_V6, MDNS_PORT, Received, complete_checksum,
    group_lladdr,
};
use magpie_wire::{LinkAddr, Malformed};
use proptest::prelude::*;

const US: LinkAddr = LinkAddr([2, 0, 0, 0, 0, 0x10]);

fn datagram(source: &str, payload: &'static [u8]) -> Datagram<'static> {
    let source: SocketAddr = source.parse().unwrap();
    let group = match source {
        SocketAddr::V4(_) => IpAddr::V4(MDNS_GROUP_V4),
        SocketAddr::V6(_) => IpAddr::V6(MDNS_GROUP_V6),
    };
    Datagram {
        ethernet_source: US,
        ethernet_destination: group_lladdr(group),
        source,
        destination: (group, MDNS_PORT).into(),
        hop_limit: 255,
        payload,
    }
}

fn frame(datagram: &Datagram<'_>) -> Vec<u8> {
    let mut frame = vec![0xee; 3];
    datagram.emit(&mut frame);
    frame
}

fn ipv4() -> Vec<u8> {
    frame(&datagram("192.0.2.1:5353", b"pi"))
}

fn ipv6() -> Vec<u8> {
    frame(&datagram("[fe80::1]:5353", b"pi"))
}

/// A changed octet, and the header checksum of IPv4 made right again.
fn changed(mut frame: Vec<u8>, at: usize, octet: u8) -> Vec<u8> {
    frame[at] = octet;
    if frame[12..14] == [8, 0] {
        let length = usize::from(frame[14] & 0xf) * 4;
        frame[24..26].fill(0);
        let sum: u32 = frame[14..14 + length]
            .chunks(2)
            .map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]])))
            .sum();
        let sum = !u16::try_from((sum & 0xffff) + (sum >> 16)).unwrap();
        frame[24..26].copy_from_slice(&sum.to_be_bytes());
    }
    frame
}

fn refusal(frame: &[u8]) -> Option<Malformed> {
    Received::parse(frame).err()
}

#[test]
fn mdn_01_golden_frames_to_the_groups() {
    let expected = [
        b"\x01\x00\x5e\x00\x00\xfb\x02\x00\x00\x00\x00\x10\x08\x00".as_slice(),
        b"\x45\x00\x00\x1e\x00\x00\x40\x00\xff\x11\xd8\xd1\xc0\x00\x02\x01\xe0\x00\x00\xfb",
        b"\x14\xe9\x14\xe9\x00\x0a\xc2\xa1pi",
    ]
    .concat();
    assert_eq!(ipv4(), expected);
    let expected = [
        b"\x33\x33\x00\x00\x00\xfb\x02\x00\x00\x00\x00\x10\x86\xdd".as_slice(),
        b"\x60\x00\x00\x00\x00\x0a\x11\xff",
        b"\xfe\x80\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01",
        b"\xff\x02\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\xfb",
        b"\x14\xe9\x14\xe9\x00\x0a\x67\x1fpi",
    ]
    .concat();
    assert_eq!(ipv6(), expected);
    let mut bare = Vec::new();
    datagram("[fe80::1]:5353", b"pi").emit_bare(&mut bare);
    assert_eq!(bare, expected[14..]);
}

#[test]
fn groups_map_to_ethernet() {
    for (group, lladdr) in [
        ("224.0.0.251", "01:00:5e:00:00:fb"),
        ("239.255.255.250", "01:00:5e:7f:ff:fa"),
        ("ff02::fb", "33:33:00:00:00:fb"),
        ("ff02::c", "33:33:00:00:00:0c"),
    ] {
        assert_eq!(group_lladdr(group.parse().unwrap()).to_string(), lladdr);
    }
}

#[test]
fn mdn_11_checksums_are_checked_and_written() {
    for (frame, checksum) in [(ipv4(), 40), (ipv6(), 60)] {
        assert_eq!(refusal(&frame), None);
        for at in 0..frame.len() {
            // Not covered: the Ethernet header, traffic class, flow label and hop limit.
            if at < 14 || frame[12] == 0x86 && (14..18).contains(&at) || at == 21 && checksum == 60
            {
                continue;
            }
            let mut wrong = frame.clone();
            wrong[at] ^= 0x04;
            assert!(refusal(&wrong).is_some(), "octet {at} of {frame:02x?}");
        }
        // None at all: allowed over IPv4 only.
        let mut without = frame.clone();
        without[checksum..checksum + 2].fill(0);
        let expected = (checksum == 60).then_some(Malformed::Checksum);
        assert_eq!(refusal(&without), expected);
        // A device was left to finish it.
        let mut partial = frame.clone();
        partial[checksum..checksum + 2].copy_from_slice(&[0x12, 0x34]);
        assert_eq!(refusal(&partial), Some(Malformed::Checksum));
        complete_checksum(&mut partial, false);
        assert_eq!(partial, frame);
        let mut bare = frame[14..].to_vec();
        bare[checksum - 14] ^= 1;
        complete_checksum(&mut bare, true);
        assert_eq!(bare, frame[14..]);
    }
}

#[test]
fn sum_of_zero_is_written_as_all_ones() {
    let mut frame = Vec::new();
    let mut ones = 0;
    for payload in 0..=u16::MAX {
        let payload = payload.to_be_bytes();
        let datagram = Datagram { payload: &payload, ..datagram("192.0.2.1:5353", b"") };
        datagram.emit(&mut frame);
        // As 0 it would mean that there is none (RFC 768).
        assert_ne!(frame[40..42], [0, 0]);
        if frame[40..42] == [0xff, 0xff] {
            ones += 1;
            assert_eq!(Received::parse(&frame), Ok(Received::Whole(datagram)));
        }
    }
    assert!(ones > 0);
}

#[test]
fn what_is_no_datagram_of_this_link_is_refused() {
    for (what, frame, reason) in [
        ("another protocol", changed(ipv4(), 23, 6), Malformed::NotDatagram),
        ("another protocol", changed(ipv6(), 20, 58), Malformed::NotDatagram),
        ("another EtherType", changed(ipv6(), 13, 0xdc), Malformed::NotDatagram),
        ("another version", changed(ipv6(), 14, 0x40), Malformed::NotDatagram),
        ("VLAN", changed(changed(ipv6(), 12, 0x81), 13, 0), Malformed::Vlan),
        ("from a group", changed(ipv6(), 6, 3), Malformed::EthernetSource),
        ("from a group", changed(ipv4(), 26, 224), Malformed::Source),
        ("from this host", changed(ipv4(), 26, 127), Malformed::Source),
        ("to one node", changed(ipv4(), 30, 10), Malformed::EthernetDestination),
        ("short header", changed(ipv4(), 14, 0x44), Malformed::Length),
        ("hop-by-hop options", changed(ipv6(), 20, 0), Malformed::ExtensionHeader),
        ("destination options", changed(ipv6(), 20, 60), Malformed::ExtensionHeader),
        ("UDP shorter than its header", changed(ipv6(), 59, 7), Malformed::Length),
        ("UDP longer than its packet", changed(ipv6(), 59, 11), Malformed::Truncated),
        ("packet longer than the frame", changed(ipv4(), 17, 31), Malformed::Truncated),
        ("packet longer than the frame", changed(ipv6(), 19, 11), Malformed::Truncated),
    ] {
        assert_eq!(refusal(&frame), Some(reason), "{what}: {frame:02x?}");
    }
    for frame in [ipv4(), ipv6()] {
        for end in 0..frame.len() {
            assert!(refusal(&frame[..end]).is_some(), "{end}");
        }
    }
}

#[test]
fn options_and_padding_are_skipped() {
    // Router Alert (RFC 2113), and what Ethernet fills frames up with.
    let mut frame = ipv4();
    frame.splice(34..34, [0x94, 4, 0, 0]);
    frame[14] = 0x46;
    let frame = changed(frame, 17, 34);
    let padded = [&frame[..], &[0; 12]].concat();
    assert_eq!(Received::parse(&padded), Ok(Received::Whole(datagram("192.0.2.1:5353", b"pi"))));
}

#[test]
fn bare_links_have_no_ethernet_header() {
    let sent = Datagram {
        ethernet_source: LinkAddr::ZERO,
        ethernet_destination: LinkAddr::ZERO,
        ..datagram("[fe80::1]:5353", b"pi")
    };
    let mut bare = Vec::new();
    sent.emit_bare(&mut bare);
    assert_eq!(Received::parse_bare(&bare), Ok(Received::Whole(sent)));
    assert_eq!(Received::parse_bare(&[]), Err(Malformed::Truncated));
    assert_eq!(Received::parse_bare(&[0x50; 60]), Err(Malformed::NotDatagram));
}

#[test]
fn impossible_datagrams_are_not_written() {
    let mixed =
        Datagram { source: "[fe80::1]:5353".parse().unwrap(), ..datagram("192.0.2.1:1", b"") };
    let long = vec![0; Datagram::MAX_PAYLOAD + 1];
    let long = Datagram { payload: &long, ..datagram("192.0.2.1:5353", b"") };
    for impossible in [mixed, long] {
        assert!(frame(&impossible).is_empty());
        impossible.emit_fragments(1_500, false, 1, |_| panic!("a frame of {impossible:?}"));
    }
    // No room for a single unit of eight octets behind the headers.
    for (mtu, source) in [(27, "192.0.2.1:5353"), (55, "[fe80::1]:5353"), (0, "[fe80::1]:5353")] {
        datagram(source, b"question").emit_fragments(mtu, false, 1, |_| panic!("{mtu}"));
    }
}

#[test]
fn atomic_fragment_is_the_whole() {
    let mut frame = ipv6();
    frame.splice(54..54, [17, 0, 0, 0, 0, 0, 0, 9]);
    frame[19] += 8;
    frame[20] = 44;
    assert_eq!(Received::parse(&frame), Ok(Received::Whole(datagram("[fe80::1]:5353", b"pi"))));
}

#[test]
fn fragments_that_fit_nowhere_are_refused() {
    let fragment = |offset: u16, length: u8| {
        let mut frame = ipv6();
        frame.truncate(54);
        frame.extend([17, 0]);
        frame.extend(offset.to_be_bytes());
        frame.extend([0, 0, 0, 9]);
        frame.resize(frame.len() + usize::from(length), 7);
        frame[19] = 8 + length;
        frame[20] = 44;
        frame
    };
    for (offset, length, reason) in [
        (1, 12, Some(Malformed::FragmentLength)),
        (1, 0, Some(Malformed::FragmentLength)),
        (8, 0, Some(Malformed::FragmentLength)),
        (0xfff8, 8, Some(Malformed::FragmentLength)),
        (0xfff8, 7, None),
        (1, 16, None),
        (8, 12, None),
    ] {
        assert_eq!(refusal(&fragment(offset, length)), reason, "{offset} {length}");
    }
    let mut other = fragment(1, 16);
    other[54] = 58;
    assert_eq!(refusal(&other), Some(Malformed::NotDatagram));
}

/// Puts fragments together that arrive in order.
fn assemble(frames: &[Vec<u8>]) -> (Fragment<'_>, Vec<u8>) {
    let mut first = None;
    let mut octets = Vec::new();
    for (index, frame) in frames.iter().enumerate() {
        let Ok(Received::Fragment(piece)) = Received::parse(frame) else { panic!("{frame:02x?}") };
        assert_eq!(piece.offset, octets.len());
        assert_eq!(piece.more, index + 1 < frames.len());
        octets.extend(piece.payload);
        let first = first.get_or_insert(piece);
        assert_eq!(first.identification, piece.identification);
    }
    (first.unwrap(), octets)
}

#[test]
fn mdn_09_long_datagrams_are_sent_in_pieces_that_fit() {
    let payload: Vec<u8> = (0..8_900_u32).map(|at| (at * 7 % 251) as u8).collect();
    for source in ["192.0.2.1:5353", "[fe80::1]:5353"] {
        let sent = Datagram { payload: &payload, ..datagram(source, b"") };
        for mtu in [1_280, 1_500, 4_352] {
            let mut frames = Vec::new();
            sent.emit_fragments(mtu, false, 0x1_0203, |frame| frames.push(frame.to_vec()));
            assert!(frames.len() > 2 && frames.iter().all(|frame| frame.len() <= mtu + 14));
            let (first, octets) = assemble(&frames);
            let mask = if sent.source.is_ipv4() { 0xffff } else { u32::MAX };
            assert_eq!(first.identification, 0x1_0203 & mask);
            assert_eq!(Datagram::of_payload(&first, &octets), Ok(sent));
            let mut wrong = octets.clone();
            wrong[4_000] ^= 1;
            assert_eq!(Datagram::of_payload(&first, &wrong), Err(Malformed::Checksum));
        }
        let mut frames = Vec::new();
        sent.emit_fragments(9_000, false, 1, |frame| frames.push(frame.to_vec()));
        assert_eq!(frames, [frame(&sent)], "it fits");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn parse_of_datagrams_is_total(
        kind in 0..4_usize,
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        length in proptest::option::of(any::<prop::sample::Index>()),
        noise in proptest::collection::vec(any::<u8>(), 0..200),
    ) {
        let mut frame = [ipv4(), ipv6(), noise, vec![0x60; 80]][kind].clone();
        for (at, octet) in changes {
            if !frame.is_empty() {
                let at = at.index(frame.len());
                frame[at] = octet;
            }
        }
        if let Some(length) = length {
            frame.truncate(length.index(frame.len() + 1));
        }
        let _ = Received::parse_bare(&frame);
        if let Ok(Received::Whole(datagram)) = Received::parse(&frame) {
            let mut again = Vec::new();
            datagram.emit(&mut again);
            prop_assert_eq!(Received::parse(&again), Ok(Received::Whole(datagram)));
        }
        complete_checksum(&mut frame, false);
        complete_checksum(&mut frame, true);
    }

    #[test]
    fn fragments_of_any_length_are_the_whole(
        payload in proptest::collection::vec(any::<u8>(), 0..3_000),
        mtu in 68..2_000_usize,
        ipv4 in any::<bool>(),
    ) {
        let source = if ipv4 { "192.0.2.1:5353" } else { "[fe80::1]:5353" };
        let sent = Datagram { payload: &payload, ..datagram(source, b"") };
        let mut frames = Vec::new();
        sent.emit_fragments(mtu, false, 7, |frame| frames.push(frame.to_vec()));
        prop_assert!(frames.iter().all(|frame| frame.len() <= mtu + 14));
        if let [frame] = &frames[..] {
            prop_assert_eq!(Received::parse(frame), Ok(Received::Whole(sent)));
        } else {
            let (first, octets) = assemble(&frames);
            prop_assert_eq!(Datagram::of_payload(&first, &octets), Ok(sent));
        }
    }
}
