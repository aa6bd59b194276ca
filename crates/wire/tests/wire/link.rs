//! What surrounds the packet on the link: tags, sizes, and other protocols.

use magpie_wire::{Malformed, Packet};

use crate::raw::{Raw, ip};

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
