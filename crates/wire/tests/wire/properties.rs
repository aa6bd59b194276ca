//! What holds for any octets, and for any message.

use std::net::Ipv6Addr;
use std::time::Duration;

use magpie_wire::{
    ALL_SNOOPERS, Advert, LinkAddr, Malformed, Message, MulticastRouterAdvert, Nonce, OwnMessage,
    Packet, RouterSolicit, Solicit, multicast_lladdr, solicited_node,
};
use proptest::prelude::*;

use crate::raw::Raw;

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn parse_is_total(frame in proptest::collection::vec(any::<u8>(), 0..2_000)) {
        let _ = Packet::parse(&frame);
        let _ = OwnMessage::parse(&frame);
    }

    #[test]
    fn parse_is_total_for_frames_that_were_valid(
        mut frame in valid_frame(),
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..8),
        length in any::<prop::sample::Index>(),
        cut in any::<bool>(),
    ) {
        for (at, octet) in changes {
            let at = at.index(frame.len());
            frame[at] = octet;
        }
        if cut {
            frame.truncate(length.index(frame.len()));
        }
        if let Ok(packet) = Packet::parse(&frame) {
            prop_assert!(packet.ethernet_source.is_station());
            if let Message::RouterAdvert(advert) = packet.message {
                prop_assert!(advert.prefixes().all(|prefix| prefix.prefix_len <= 128));
            }
        }
        let _ = OwnMessage::parse(&frame);
    }

    #[test]
    fn one_changed_bit_never_passes_as_another_message(
        frame in valid_frame(), at in any::<prop::sample::Index>(), bit in 0..8u8,
    ) {
        let original = frame.clone();
        let mut frame = frame;
        let at = at.index(frame.len());
        frame[at] ^= 1 << bit;
        // Beyond the Ethernet header the checksum, the hop limit or a length gives it away, but
        // for traffic class and flow label, which mean nothing here, and for the headers that
        // say where the checksum is.
        if at >= 22
            && let Ok(packet) = Packet::parse(&frame)
        {
            prop_assert_eq!(Ok(packet), Packet::parse(&original));
        }
    }

    #[test]
    fn what_is_emitted_is_read_back(packet in packet()) {
        let mut buffer = [0; Packet::MAX_LEN];
        let length = packet.emit(&mut buffer);
        prop_assert!(length.is_ok());
        let frame = &buffer[..length.unwrap_or_default()];
        prop_assert_eq!(Packet::parse(frame), Ok(packet));
        if let Message::Solicit(solicit) = packet.message {
            let own = OwnMessage::Solicit { target: solicit.target, probe: packet.is_dad() };
            prop_assert_eq!(OwnMessage::parse(frame), Some(own));
        }
    }

    #[test]
    fn options_in_any_order_are_walked_to_the_end(
        kinds in proptest::collection::vec((any::<u8>(), 0..4u8), 0..40),
    ) {
        let mut options = Vec::new();
        for (kind, units) in &kinds {
            options.extend([*kind, *units]);
            options.resize(options.len() + (usize::from(*units) * 8).saturating_sub(2), 2);
        }
        let frame = Raw { options, ..Raw::solicit() }.frame();
        let spoiled = kinds.iter().any(|(_, units)| *units == 0);
        if spoiled {
            prop_assert!(Packet::parse(&frame).is_err());
        } else if let Err(reason) = Packet::parse(&frame) {
            prop_assert!(matches!(reason, Malformed::LinkAddrOption | Malformed::Nonce));
        }
    }
}

#[test]
fn router_advertisement_of_the_properties_is_valid() {
    let frame = router_advert();
    let packet = Packet::parse(&frame).unwrap();
    let Message::RouterAdvert(advert) = packet.message else { panic!("{packet:?}") };
    assert_eq!(advert.router_lifetime, Duration::from_secs(1_800));
    let prefix = advert.prefixes().next().unwrap();
    assert_eq!(prefix.prefix_len, 64);
    assert!(prefix.on_link && prefix.autonomous);
    assert_eq!(prefix.valid_lifetime, Duration::from_secs(3_600));
}

fn valid_frame() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        packet().prop_map(|packet| {
            let mut buffer = [0; Packet::MAX_LEN];
            let length = packet.emit(&mut buffer).unwrap_or_default();
            buffer[..length].to_vec()
        }),
        Just(router_advert()),
    ]
}

/// A Router Advertisement with a prefix, which is never emitted by the codec itself.
fn router_advert() -> Vec<u8> {
    let mut options = vec![3, 4, 64, 0xc0];
    options.extend(3_600u32.to_be_bytes());
    options.extend([0; 8]);
    options.extend(Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, 0).octets());
    // Current hop limit, flags, router lifetime, timers: as long as reserved word and target.
    let raw = Raw { kind: 134, reserved: 0x4000_0708, options: Vec::new(), ..Raw::solicit() };
    let raw = Raw { target: Ipv6Addr::UNSPECIFIED, ..raw };
    // Twelve octets stand before the options, not twenty: the rest of the target is two options.
    let mut target = [0; 16];
    target[8..].copy_from_slice(&[200, 1, 0, 0, 0, 0, 0, 0]);
    Raw { target: Ipv6Addr::from(target), options, ..raw }.frame()
}

fn packet() -> impl Strategy<Value = Packet<'static>> {
    prop_oneof![solicit(), probe(), advert(), router_solicit(), multicast_router()]
}

fn solicit() -> impl Strategy<Value = Packet<'static>> {
    (station(), node(), node(), station(), proptest::option::of(nonce()), any::<bool>()).prop_map(
        |(ethernet_source, source, target, to, nonce, multicast)| {
            let source_lladdr = Some(ethernet_source);
            let message = Message::Solicit(Solicit { target, source_lladdr, nonce });
            let group = solicited_node(target);
            let (ethernet_destination, destination) =
                if multicast { (multicast_lladdr(group), group) } else { (to, target) };
            Packet { ethernet_source, ethernet_destination, source, destination, message }
        },
    )
}

fn probe() -> impl Strategy<Value = Packet<'static>> {
    (station(), node(), proptest::option::of(nonce())).prop_map(
        |(ethernet_source, target, nonce)| {
            let group = solicited_node(target);
            Packet {
                ethernet_source,
                ethernet_destination: multicast_lladdr(group),
                source: Ipv6Addr::UNSPECIFIED,
                destination: group,
                message: Message::Solicit(Solicit { target, source_lladdr: None, nonce }),
            }
        },
    )
}

fn advert() -> impl Strategy<Value = Packet<'static>> {
    (station(), station(), node(), node(), node(), any::<[bool; 3]>()).prop_map(
        |(ethernet_source, ethernet_destination, source, destination, target, flags)| {
            let [router, solicited, overrides] = flags;
            let target_lladdr = Some(ethernet_source);
            let advert = Advert { target, router, solicited, overrides, target_lladdr };
            let message = Message::Advert(advert);
            Packet { ethernet_source, ethernet_destination, source, destination, message }
        },
    )
}

fn router_solicit() -> impl Strategy<Value = Packet<'static>> {
    (station(), node(), any::<bool>()).prop_map(|(ethernet_source, source, named)| Packet {
        ethernet_source,
        ethernet_destination: multicast_lladdr(magpie_wire::ALL_ROUTERS),
        source: if named { source } else { Ipv6Addr::UNSPECIFIED },
        destination: magpie_wire::ALL_ROUTERS,
        message: Message::RouterSolicit(RouterSolicit {
            source_lladdr: named.then_some(ethernet_source),
        }),
    })
}

fn multicast_router() -> impl Strategy<Value = Packet<'static>> {
    let message = prop_oneof![
        (any::<u8>(), any::<u16>(), any::<u16>()).prop_map(|(interval, query, robustness)| {
            Message::MulticastRouterAdvert(MulticastRouterAdvert {
                interval: Duration::from_secs(interval.into()),
                query_interval: Duration::from_secs(query.into()),
                robustness,
            })
        }),
        Just(Message::MulticastRouterSolicit),
        Just(Message::MulticastRouterTermination),
    ];
    (station(), link_local(), message).prop_map(|(ethernet_source, source, message)| Packet {
        ethernet_source,
        ethernet_destination: multicast_lladdr(ALL_SNOOPERS),
        source,
        destination: ALL_SNOOPERS,
        message,
    })
}

fn station() -> impl Strategy<Value = LinkAddr> {
    any::<[u8; 6]>().prop_map(|mut octets| {
        octets[0] = octets[0] & 0xfc | 2;
        LinkAddr(octets)
    })
}

fn node() -> impl Strategy<Value = Ipv6Addr> {
    prop_oneof![
        link_local(),
        any::<u128>().prop_map(|bits| Ipv6Addr::from(bits >> 3 | 0x2000 << 112)),
    ]
}

fn link_local() -> impl Strategy<Value = Ipv6Addr> {
    any::<u64>().prop_map(|id| Ipv6Addr::from(0xfe80 << 112 | u128::from(id)))
}

fn nonce() -> impl Strategy<Value = Nonce> {
    any::<[u8; 6]>().prop_map(Nonce::new)
}
