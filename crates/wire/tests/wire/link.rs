//! What surrounds the packet on the link: tags, sizes, and other protocols.

use magpie_wire::{Malformed, Message, OwnMessage, Packet, Solicit, checksum};

use crate::raw::{Raw, US, ip};

#[test]
fn lnk_02_tagged_frame_belongs_to_another_link() {
    let tags = vec![0x81, 0x00, 0x00, 0x0a];
    refused(&Raw { tags, ..Raw::solicit() }, Malformed::Vlan);
}

#[test]
fn lnk_03_priority_tag_that_the_kernel_left_in_place_is_a_tag() {
    // The kernel takes a priority tag off before a packet socket sees the frame; one that is
    // still there stands under another tag that was taken off, so the frame is not this link's.
    let tags = vec![0x81, 0x00, 0xe0, 0x00];
    refused(&Raw { tags, ..Raw::solicit() }, Malformed::Vlan);
}

#[test]
fn lnk_04_stacked_tags_are_refused() {
    let tags = vec![0x88, 0xa8, 0x00, 0x64, 0x81, 0x00, 0x00, 0x0a];
    refused(&Raw { tags, ..Raw::solicit() }, Malformed::Vlan);
}

#[test]
fn lnk_04_jumbo_frames_are_read_like_others() {
    let mut options = Vec::new();
    for _ in 0..1_100 {
        options.extend([200, 1, 0, 0, 0, 0, 0, 0]);
    }
    for raw in [
        Raw { options, ..Raw::solicit() },
        Raw { padding: 8_914, ..Raw::solicit() },
        Raw { padding: 1_428, ..Raw::solicit() },
    ] {
        assert!(Packet::parse(&raw.frame()).is_ok(), "{} octets", raw.frame().len());
    }
}

#[test]
fn lnk_15_checksums_are_computed_anew_for_what_is_sent() {
    let frame = Raw::solicit().frame();
    let heard = Packet::parse(&frame).unwrap();
    for source in ["fe80::10", "2001:db8::10", "::"] {
        let told = Packet { ethernet_source: US, source: ip(source), ..heard };
        let told = match told.message {
            Message::Solicit(solicit) if told.source.is_unspecified() => Packet {
                message: Message::Solicit(Solicit { source_lladdr: None, ..solicit }),
                ..told
            },
            _ => told,
        };
        let mut buffer = [0xff; Packet::MAX_LEN];
        let length = told.emit(&mut buffer).unwrap();
        let message = &buffer[54..length];
        assert_eq!(checksum(told.source, told.destination, 58, message), 0, "{source}");
        assert_eq!(Packet::parse(&buffer[..length]), Ok(told));
    }
}

#[test]
fn lnk_15_an_unfinished_checksum_is_no_checksum() {
    let intact = Raw::solicit().frame();
    let heard = Packet::parse(&intact).unwrap();
    let mut frame = intact.clone();
    // What a kernel leaves there when the device is to do the rest: the sum of the addresses, the
    // length and the protocol.
    let mut message = frame[54..].to_vec();
    message.fill(0);
    let unfinished = !checksum(heard.source, heard.destination, 58, &message);
    frame[56..58].copy_from_slice(&unfinished.to_be_bytes());
    assert_eq!(Packet::parse(&frame), Err(Malformed::Checksum));
    // Of what this host itself sends, nothing is taken that a checksum would have to vouch for.
    let Message::Solicit(Solicit { target, .. }) = heard.message else { panic!("{heard:?}") };
    let expected = OwnMessage::Solicit { target, probe: false };
    assert_eq!(OwnMessage::parse(&frame), Some(expected));
}

#[test]
fn other_protocols_and_other_messages_are_not_neighbor_discovery() {
    refused(&Raw { version: 4, ..Raw::solicit() }, Malformed::NotNeighborDiscovery);
    for next_header in [6, 17, 50, 59, 132, 255] {
        let raw = Raw { extensions: Some((next_header, Vec::new())), ..Raw::solicit() };
        refused(&raw, Malformed::NotNeighborDiscovery);
    }
    // Echo requests and redirects, well-formed.
    for kind in [128, 137] {
        let raw = Raw { kind, destination: ip("ff02::1"), ..Raw::solicit() };
        refused(&raw, Malformed::NotNeighborDiscovery);
    }
    let mut frame = Raw::solicit().frame();
    frame[12..14].copy_from_slice(&[0x08, 0x06]);
    assert_eq!(Packet::parse(&frame), Err(Malformed::NotNeighborDiscovery));
}

fn refused(raw: &Raw, reason: Malformed) {
    assert_eq!(Packet::parse(&raw.frame()), Err(reason));
}
