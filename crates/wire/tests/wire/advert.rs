//! Neighbor Advertisements on the way in: the rows NAI of the conformance plan that concern the
//! frame alone, and what never leaves.

use magpie_wire::{ALL_NODES, ALL_ROUTERS, Advert, LinkAddr, Malformed, Message, Packet};
use magpie_wire::{multicast_lladdr, solicited_node};

use crate::raw::{OWNER, Raw, TARGET_LLADDR, ip, lladdr_option};

#[test]
fn nai_01_every_rule_of_validation_holds() {
    let valid = accepted(&Raw::advert());
    assert!(valid.solicited && valid.overrides && !valid.router);
    assert_eq!(valid.target_lladdr, Some(OWNER));

    let group = multicast_lladdr(ALL_NODES);
    let no_options = Raw { options: Vec::new(), ..Raw::advert() };
    let cases = [
        (Raw { hop_limit: 254, ..Raw::advert() }, Malformed::HopLimit),
        (Raw { checksum_error: 1, ..Raw::advert() }, Malformed::Checksum),
        (Raw { code: 1, ..Raw::advert() }, Malformed::Code),
        (Raw { payload_length: Some(33), ..Raw::advert() }, Malformed::Truncated),
        (Raw { target: ip("ff02::1"), ..Raw::advert() }, Malformed::Target),
        (Raw { options: vec![2, 0, 0, 0, 0, 0, 0, 0], ..Raw::advert() }, Malformed::Option),
        (Raw { options: vec![2, 2, 0, 0, 0, 0, 0, 0], ..Raw::advert() }, Malformed::Option),
        (Raw { source: ip("::"), ..Raw::advert() }, Malformed::Source),
        (Raw { source: ip("ff02::1"), ..Raw::advert() }, Malformed::Source),
        (Raw { ethernet_destination: group, ..Raw::advert() }, Malformed::EthernetDestination),
    ];
    for (raw, reason) in cases {
        refused(&raw, reason);
    }
    assert_eq!(accepted(&no_options).target_lladdr, None);
}

#[test]
fn nai_02_fragments_are_refused_even_atomic_ones() {
    let header = vec![58, 0, 0, 0, 0xde, 0xad, 0xbe, 0xef];
    refused(&Raw { extensions: Some((44, header)), ..Raw::advert() }, Malformed::Fragment);
}

#[test]
fn nai_03_link_layer_address_names_a_station_and_has_the_size_of_the_link() {
    let mut long = vec![TARGET_LLADDR, 2];
    long.extend([2; 14]);
    refused(&Raw { options: long, ..Raw::advert() }, Malformed::LinkAddrOption);
    for lladdr in [LinkAddr([0x33, 0x33, 0, 0, 0, 1]), LinkAddr::BROADCAST, LinkAddr::ZERO] {
        let options = lladdr_option(TARGET_LLADDR, lladdr);
        refused(&Raw { options, ..Raw::advert() }, Malformed::LinkAddrOption);
    }
}

#[test]
fn nao_19_multicast_advertisement_never_claims_to_be_solicited() {
    let groups = [ALL_NODES, ALL_ROUTERS, solicited_node(ip("2001:db8:1::21"))];
    for destination in groups {
        for solicited in [false, true] {
            let raw = Raw {
                destination,
                ethernet_destination: multicast_lladdr(destination),
                reserved: if solicited { 0x4000_0000 } else { 0x2000_0000 },
                ..Raw::advert()
            };
            if solicited {
                refused(&raw, Malformed::SolicitedMulticast);
            } else {
                assert!(accepted(&raw).overrides);
            }
        }
    }
}

#[test]
fn flags_are_read_one_by_one_and_the_reserved_bits_ignored() {
    for bits in 0..8u32 {
        let raw = Raw { reserved: bits << 29 | 0x1fff_ffff, ..Raw::advert() };
        let advert = accepted(&raw);
        let read = u32::from(advert.router) << 2
            | u32::from(advert.solicited) << 1
            | u32::from(advert.overrides);
        assert_eq!(read, bits);
    }
}

fn accepted(raw: &Raw) -> Advert {
    let frame = raw.frame();
    match Packet::parse(&frame).map(|packet| packet.message) {
        Ok(Message::Advert(advert)) => advert,
        other => panic!("not accepted: {other:?}"),
    }
}

fn refused(raw: &Raw, reason: Malformed) {
    assert_eq!(Packet::parse(&raw.frame()), Err(reason));
}
