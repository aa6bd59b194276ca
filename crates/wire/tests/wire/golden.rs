//! Frames that Magpie sends, octet by octet, and that it reads back as what was meant.

use std::time::Duration;

use magpie_wire::{
    ALL_NODES, ALL_ROUTERS, ALL_SNOOPERS, Advert, BufferTooSmall, Malformed, Message,
    MulticastRouterAdvert, Nonce, Packet, RouterSolicit, Solicit, multicast_lladdr, solicited_node,
};

use crate::raw::{ASKER, US, ip};

#[test]
fn nso_01_multicast_solicitation() {
    let target = ip("2001:db8:1::21");
    let message = Message::Solicit(Solicit { target, source_lladdr: Some(US), nonce: None });
    check(
        &to_group(solicited_node(target), message),
        "3333ff000021 020000000010 86dd
         60000000 0020 3a ff
         fe80 0000 0000 0000 0000 0000 0000 0010
         ff02 0000 0000 0000 0000 0001 ff00 0021
         87 00 4b02 00000000
         2001 0db8 0001 0000 0000 0000 0000 0021
         01 01 020000000010",
    );
}

#[test]
fn nso_11_multicast_solicitation_with_a_nonce() {
    let target = ip("2001:db8:1::21");
    let nonce = Some(Nonce::new([0xa1, 0xb2, 0xc3, 0xd4, 0xe5, 0xf6]));
    let message = Message::Solicit(Solicit { target, source_lladdr: Some(US), nonce });
    check(
        &to_group(solicited_node(target), message),
        "3333ff000021 020000000010 86dd
         60000000 0028 3a ff
         fe80 0000 0000 0000 0000 0000 0000 0010
         ff02 0000 0000 0000 0000 0001 ff00 0021
         87 00 f17a 00000000
         2001 0db8 0001 0000 0000 0000 0000 0021
         01 01 020000000010
         0e 01 a1b2c3d4e5f6",
    );
}

#[test]
fn dad_03_relayed_probe_keeps_its_nonce_and_has_no_link_layer_address() {
    let target = ip("2001:db8:1::21");
    let nonce = Some(Nonce::new([0xa1, 0xb2, 0xc3, 0xd4, 0xe5, 0xf6]));
    let message = Message::Solicit(Solicit { target, source_lladdr: None, nonce });
    let probe = Packet { source: ip("::"), ..to_group(solicited_node(target), message) };
    assert!(probe.is_dad());
    check(
        &probe,
        "3333ff000021 020000000010 86dd
         60000000 0020 3a ff
         0000 0000 0000 0000 0000 0000 0000 0000
         ff02 0000 0000 0000 0000 0001 ff00 0021
         87 00 f324 00000000
         2001 0db8 0001 0000 0000 0000 0000 0021
         0e 01 a1b2c3d4e5f6",
    );
}

#[test]
fn nao_06_solicited_advertisement() {
    let advert = Advert {
        target: ip("2001:db8:1::21"),
        router: false,
        solicited: true,
        overrides: false,
        target_lladdr: Some(US),
    };
    let answer = Packet {
        ethernet_source: US,
        ethernet_destination: ASKER,
        source: ip("fe80::10"),
        destination: ip("fe80::1"),
        message: Message::Advert(advert),
    };
    check(
        &answer,
        "020000000001 020000000010 86dd
         60000000 0020 3a ff
         fe80 0000 0000 0000 0000 0000 0000 0010
         fe80 0000 0000 0000 0000 0000 0000 0001
         88 00 08a6 40000000
         2001 0db8 0001 0000 0000 0000 0000 0021
         02 01 020000000010",
    );
}

#[test]
fn nao_13_unsolicited_advertisement_of_a_router_that_moved() {
    let advert = Advert {
        target: ip("2001:db8:1::21"),
        router: true,
        solicited: false,
        overrides: true,
        target_lladdr: Some(US),
    };
    check(
        &to_group(ALL_NODES, Message::Advert(advert)),
        "333300000001 020000000010 86dd
         60000000 0020 3a ff
         fe80 0000 0000 0000 0000 0000 0000 0010
         ff02 0000 0000 0000 0000 0000 0000 0001
         88 00 a823 a0000000
         2001 0db8 0001 0000 0000 0000 0000 0021
         02 01 020000000010",
    );
}

#[test]
fn router_solicitation() {
    check(
        &to_group(ALL_ROUTERS, Message::RouterSolicit(RouterSolicit { source_lladdr: Some(US) })),
        "333300000002 020000000010 86dd
         60000000 0010 3a ff
         fe80 0000 0000 0000 0000 0000 0000 0010
         ff02 0000 0000 0000 0000 0000 0000 0002
         85 00 7a0e 00000000
         01 01 020000000010",
    );
}

#[test]
fn mcl_06_multicast_router_advertisement_and_termination() {
    let advert = MulticastRouterAdvert {
        interval: Duration::from_secs(20),
        query_interval: Duration::from_secs(125),
        robustness: 2,
    };
    check(
        &to_group(ALL_SNOOPERS, Message::MulticastRouterAdvert(advert)),
        "33330000006a 020000000010 86dd
         60000000 0010 00 01
         fe80 0000 0000 0000 0000 0000 0000 0010
         ff02 0000 0000 0000 0000 0000 0000 006a
         3a 00 05020000 0100
         97 14 6a2c 007d 0002",
    );
    check(
        &to_group(ALL_SNOOPERS, Message::MulticastRouterTermination),
        "33330000006a 020000000010 86dd
         60000000 000c 00 01
         fe80 0000 0000 0000 0000 0000 0000 0010
         ff02 0000 0000 0000 0000 0000 0000 006a
         3a 00 05020000 0100
         99 00 68c3",
    );
}

#[test]
fn mcl_06_multicast_router_discovery_stays_on_its_link() {
    let solicit = to_group(ALL_SNOOPERS, Message::MulticastRouterSolicit);
    let mut buffer = [0; Packet::MAX_LEN];
    let length = solicit.emit(&mut buffer).unwrap();
    assert_eq!(Packet::parse(&buffer[..length]), Ok(solicit));
    buffer[21] = 64;
    assert_eq!(Packet::parse(&buffer[..length]), Err(Malformed::HopLimit));
    let distant = Packet { source: ip("2001:db8:2::1"), ..solicit };
    let length = distant.emit(&mut buffer).unwrap();
    assert_eq!(Packet::parse(&buffer[..length]), Err(Malformed::Source));
}

#[test]
fn emit_refuses_a_buffer_that_is_one_octet_short() {
    let target = ip("2001:db8:1::21");
    let message = Message::Solicit(Solicit { target, source_lladdr: Some(US), nonce: None });
    let packet = to_group(solicited_node(target), message);
    assert_eq!(packet.emit(&mut [0; 86]), Ok(86));
    for length in 0..86 {
        assert_eq!(packet.emit(&mut vec![0; length]), Err(BufferTooSmall), "length {length}");
    }
}

/// A message of ours to a group.
fn to_group(group: std::net::Ipv6Addr, message: Message<'static>) -> Packet<'static> {
    Packet {
        ethernet_source: US,
        ethernet_destination: multicast_lladdr(group),
        source: ip("fe80::10"),
        destination: group,
        message,
    }
}

fn check(packet: &Packet<'static>, octets: &str) {
    let digits: String = octets.split_whitespace().collect();
    let golden: Vec<u8> = (0..digits.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&digits[at..at + 2], 16).expect("hexadecimal digits"))
        .collect();
    let mut buffer = [0xaa; Packet::MAX_LEN];
    let length = packet.emit(&mut buffer).expect("the buffer suffices");
    assert_eq!(buffer[..length], golden, "{packet:?}");
    assert!(buffer[length..].iter().all(|octet| *octet == 0xaa), "octets beyond the frame");
    assert_eq!(Packet::parse(&golden), Ok(*packet));
}
