//! Neighbor Solicitations on the way in: the rows NSI of the conformance plan that concern the
//! frame alone.

use std::net::Ipv6Addr;

use magpie_wire::{
    ALL_NODES, LinkAddr, Malformed, Message, Nonce, Packet, Solicit, multicast_lladdr,
};

use crate::raw::{ASKER, OWNER, Raw, SOURCE_LLADDR, TARGET_LLADDR, US, ip, lladdr_option};

#[test]
fn nsi_01_hop_limit_has_to_be_255() {
    for hop_limit in [254, 64, 1, 0] {
        refused(&Raw { hop_limit, ..Raw::solicit() }, Malformed::HopLimit);
    }
    accepted(&Raw::solicit());
}

#[test]
fn nsi_02_checksum_has_to_be_right() {
    for checksum_error in [1, 0x8000, 0x1234] {
        refused(&Raw { checksum_error, ..Raw::solicit() }, Malformed::Checksum);
    }
    let mut frame = Raw::solicit().frame();
    frame[56..58].fill(0);
    assert_eq!(Packet::parse(&frame), Err(Malformed::Checksum), "no checksum at all");
}

#[test]
fn nsi_03_code_has_to_be_0() {
    for code in [1, 255] {
        refused(&Raw { code, ..Raw::solicit() }, Malformed::Code);
    }
}

#[test]
fn nsi_04_length_comes_from_the_ipv6_header_and_lies_within_the_frame() {
    let bare = Raw { options: Vec::new(), ..Raw::solicit() };
    accepted(&bare);
    refused(&Raw { payload_length: Some(200), ..Raw::solicit() }, Malformed::Truncated);

    // The checksum covers what the header claims, so that only the length can be at fault.
    let mut short = bare.clone();
    short.target = Ipv6Addr::UNSPECIFIED;
    let mut frame = short.frame();
    frame.truncate(frame.len() - 1);
    frame[18..20].copy_from_slice(&23u16.to_be_bytes());
    let sum = magpie_wire::checksum(short.source, short.destination, 58, &zero_sum(&frame[54..]));
    frame[56..58].copy_from_slice(&sum.to_be_bytes());
    assert_eq!(Packet::parse(&frame), Err(Malformed::Length));

    let whole = Raw::solicit().frame();
    for length in 0..whole.len() {
        assert_eq!(Packet::parse(&whole[..length]), Err(Malformed::Truncated), "length {length}");
    }
}

#[test]
fn nsi_04_padding_of_the_frame_is_not_options() {
    let bare = Raw { options: Vec::new(), padding: 7, ..Raw::solicit() };
    assert_eq!(accepted(&bare).source_lladdr, None);
    let mut frame = Raw { padding: 40, ..Raw::solicit() }.frame();
    let length = frame.len();
    frame[length - 40..].fill(0xff);
    assert!(Packet::parse(&frame).is_ok());
}

#[test]
fn nsi_05_target_is_never_a_group() {
    for target in ["ff02::1", "ff02::1:ff00:21"] {
        refused(&Raw { target: ip(target), ..Raw::solicit() }, Malformed::Target);
    }
}

#[test]
fn nsi_06_option_of_length_zero_spoils_the_message() {
    let options = [lladdr_option(SOURCE_LLADDR, ASKER), vec![200, 0, 0, 0, 0, 0, 0, 0]].concat();
    refused(&Raw { options, ..Raw::solicit() }, Malformed::Option);
}

#[test]
fn nsi_07_options_have_to_fit() {
    let overrun = vec![SOURCE_LLADDR, 2, 2, 0, 0, 0, 0, 1];
    let stray = [lladdr_option(SOURCE_LLADDR, ASKER), vec![0]].concat();
    let half = [lladdr_option(SOURCE_LLADDR, ASKER), vec![200, 1, 0, 0]].concat();
    for options in [overrun, stray, half] {
        refused(&Raw { options, ..Raw::solicit() }, Malformed::Option);
    }
}

#[test]
fn nsi_08_probe_goes_to_the_solicited_node_group_only() {
    accepted(&Raw::dad());
    for destination in [ALL_NODES, ip("ff02::1:ff00:22")] {
        let ethernet_destination = multicast_lladdr(destination);
        let raw = Raw { ethernet_destination, destination, ..Raw::dad() };
        refused(&raw, Malformed::Unspecified);
    }
    let destination = ip("2001:db8:1::21");
    let raw = Raw { destination, ethernet_destination: OWNER, ..Raw::dad() };
    refused(&raw, Malformed::Unspecified);
}

#[test]
fn nsi_09_probe_has_no_source_link_layer_address() {
    let options = lladdr_option(SOURCE_LLADDR, OWNER);
    refused(&Raw { options, ..Raw::dad() }, Malformed::Unspecified);
}

#[test]
fn nsi_10_reserved_field_is_ignored() {
    accepted(&Raw { reserved: u32::MAX, ..Raw::solicit() });
}

#[test]
fn nsi_11_unknown_options_are_ignored() {
    let mut options = lladdr_option(SOURCE_LLADDR, ASKER);
    for kind in [200, 33, 11, 12, 13, 253] {
        options.extend([kind, 2]);
        options.extend([0xee; 14]);
    }
    options.extend([14, 1, 1, 2, 3, 4, 5, 6]);
    let solicit = accepted(&Raw { options, ..Raw::solicit() });
    assert_eq!(solicit.source_lladdr, Some(ASKER));
    assert_eq!(solicit.nonce, Some(Nonce::new([1, 2, 3, 4, 5, 6])));
}

#[test]
fn nsi_12_options_that_belong_elsewhere_are_ignored() {
    let mut options = lladdr_option(TARGET_LLADDR, LinkAddr([2, 0xee, 0, 0, 0, 0]));
    options.extend([3, 4, 64, 0xc0]);
    options.extend([0; 28]);
    options.extend([5, 1, 0, 0, 0, 0, 5, 0xdc]);
    assert_eq!(accepted(&Raw { options, ..Raw::solicit() }).source_lladdr, None);
}

#[test]
fn nsi_13_first_of_two_link_layer_addresses_counts() {
    let options = [lladdr_option(SOURCE_LLADDR, ASKER), lladdr_option(SOURCE_LLADDR, OWNER)];
    let raw = Raw { options: options.concat(), ..Raw::solicit() };
    assert_eq!(accepted(&raw).source_lladdr, Some(ASKER));
}

#[test]
fn nsi_14_link_layer_address_has_the_size_of_the_link() {
    let mut options = vec![SOURCE_LLADDR, 2];
    options.extend(ASKER.0);
    options.extend([0; 8]);
    refused(&Raw { options, ..Raw::solicit() }, Malformed::LinkAddrOption);
}

#[test]
fn nsi_15_link_layer_address_names_a_station() {
    for lladdr in [LinkAddr([0x33, 0x33, 0, 0, 0, 1]), LinkAddr::BROADCAST, LinkAddr::ZERO] {
        let options = lladdr_option(SOURCE_LLADDR, lladdr);
        refused(&Raw { options, ..Raw::solicit() }, Malformed::LinkAddrOption);
    }
}

#[test]
fn nsi_16_ethernet_source_is_a_station() {
    for ethernet_source in [LinkAddr([0x33, 0x33, 0, 0, 0, 1]), LinkAddr::BROADCAST, LinkAddr::ZERO]
    {
        refused(&Raw { ethernet_source, ..Raw::solicit() }, Malformed::EthernetSource);
    }
}

#[test]
fn nsi_17_source_is_an_address_that_a_node_can_have() {
    for source in ["ff02::9", "::1", "::ffff:1.2.3.4"] {
        refused(&Raw { source: ip(source), ..Raw::solicit() }, Malformed::Source);
    }
}

#[test]
fn nsi_20_fragments_are_refused_even_atomic_ones() {
    for offset_and_more in [[0, 0], [0, 1], [0, 0x19]] {
        let [high, low] = offset_and_more;
        let header = vec![58, 0, high, low, 0xde, 0xad, 0xbe, 0xef];
        let raw = Raw { extensions: Some((44, header)), ..Raw::solicit() };
        refused(&raw, Malformed::Fragment);
    }
}

#[test]
fn nsi_21_extension_headers_are_refused_and_never_misread() {
    let pad = |next: u8| vec![next, 0, 1, 4, 0, 0, 0, 0];
    let routing = |next: u8| vec![next, 0, 4, 0, 0, 0, 0, 0];
    let chains = [
        (0, pad(58)),
        (60, pad(58)),
        (43, routing(58)),
        (0, [pad(60), pad(43), routing(58)].concat()),
        (0, [pad(44), vec![58, 0, 0, 0, 0, 0, 0, 1]].concat()),
    ];
    for (first, headers) in chains {
        let raw = Raw { extensions: Some((first, headers)), ..Raw::solicit() };
        refused(&raw, Malformed::ExtensionHeader);
    }
    // A header that claims to reach past the frame.
    let raw = Raw { extensions: Some((0, vec![58, 200, 1, 4, 0, 0, 0, 0])), ..Raw::solicit() };
    refused(&raw, Malformed::Truncated);
}

#[test]
fn nsi_22_every_legal_destination_is_accepted() {
    accepted(&Raw::solicit());
    let unicast = ip("2001:db8:1::21");
    accepted(&Raw { destination: unicast, ethernet_destination: US, ..Raw::solicit() });
    let ethernet_destination = multicast_lladdr(ALL_NODES);
    accepted(&Raw { destination: ALL_NODES, ethernet_destination, ..Raw::solicit() });
}

#[test]
fn nsi_23_group_has_to_match_the_target() {
    let destination = ip("ff02::1:ff12:3456");
    let ethernet_destination = multicast_lladdr(destination);
    refused(&Raw { ethernet_destination, destination, ..Raw::solicit() }, Malformed::Group);
}

#[test]
fn nsi_24_multicast_packet_in_a_unicast_frame_is_accepted() {
    accepted(&Raw { ethernet_destination: US, ..Raw::solicit() });
}

#[test]
fn nsi_25_unicast_packet_in_a_group_addressed_frame_is_refused() {
    let destination = ip("2001:db8:1::21");
    for ethernet_destination in [Raw::solicit().ethernet_destination, LinkAddr::BROADCAST] {
        let raw = Raw { ethernet_destination, destination, ..Raw::solicit() };
        refused(&raw, Malformed::EthernetDestination);
    }
}

#[test]
fn nsi_37_large_message_in_one_piece_is_accepted() {
    let mut options = lladdr_option(SOURCE_LLADDR, ASKER);
    for _ in 0..177 {
        options.extend([200, 1, 0, 0, 0, 0, 0, 0]);
    }
    let raw = Raw { options, ..Raw::solicit() };
    assert!(raw.frame().len() > 1490);
    assert_eq!(accepted(&raw).source_lladdr, Some(ASKER));
}

#[test]
fn nonce_that_cannot_be_relayed_unchanged_spoils_the_message() {
    for (units, fits) in [(1, true), (4, true), (5, false), (255, false)] {
        let mut options = vec![14, units];
        options.resize(usize::from(units) * 8, 0x5a);
        let raw = Raw { options, ..Raw::dad() };
        if fits {
            let nonce = accepted(&raw).nonce.expect("a nonce");
            assert_eq!(nonce.as_bytes().len(), usize::from(units) * 8 - 2);
        } else {
            refused(&raw, Malformed::Nonce);
        }
    }
}

fn accepted(raw: &Raw) -> Solicit {
    let frame = raw.frame();
    match Packet::parse(&frame).map(|packet| packet.message) {
        Ok(Message::Solicit(solicit)) => solicit,
        other => panic!("not accepted: {other:?}"),
    }
}

fn refused(raw: &Raw, reason: Malformed) {
    assert_eq!(Packet::parse(&raw.frame()), Err(reason));
}

/// The message as its checksum is computed over it.
fn zero_sum(message: &[u8]) -> Vec<u8> {
    let mut message = message.to_vec();
    message[2..4].fill(0);
    message
}
