//! Questions and records for tests.

use std::net::{IpAddr, Ipv4Addr};

use magpie_wire::LinkAddr;
use magpie_wire::dns::{Message, Name, Question, Record, kind};

use super::fair::Sender;
use super::filter::Place;
use crate::{Instant, LinkId, Member};

pub(super) const NOW: Instant = Instant::ZERO;
pub(super) const INSIDE: Place = Place { link: LinkId(2), member: Member(0) };
pub(super) const OUTSIDE: Place = Place { link: LinkId(3), member: Member(1) };
pub(super) const SOURCE: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 41));

pub(super) fn station(number: u8) -> LinkAddr {
    LinkAddr([2, 0, 0, 0, 0, number])
}

pub(super) fn sender(number: u8) -> Sender {
    Sender::new(station(number), SOURCE)
}

pub(super) fn name(text: &str) -> Name<'static> {
    text.parse().unwrap()
}

pub(super) fn question(text: &str) -> Question<'static> {
    Question { name: name(text), kind: kind::ANY, class: kind::CLASS_IN, unicast: false }
}

/// A record as its owner says it, with the cache-flush bit if only one may.
pub(super) fn record(owner: &str, of: u16, data: &[u8]) -> Record<'static> {
    let mut octets = vec![0, 0, 0x84, 0, 0, 0, 0, 1, 0, 0, 0, 0];
    octets.extend(wire(owner));
    octets.extend(of.to_be_bytes());
    octets.extend(if of == kind::PTR { [0, 1] } else { [0x80, 1] });
    octets.extend(120u32.to_be_bytes());
    octets.extend(u16::try_from(data.len()).unwrap().to_be_bytes());
    octets.extend(data);
    let mut answers = Message::parse(&octets).unwrap().answers;
    answers.pop().unwrap().into_owned()
}

pub(super) fn ptr(owner: &str, target: &str) -> Record<'static> {
    record(owner, kind::PTR, &wire(target))
}

pub(super) fn srv(owner: &str, target: &str) -> Record<'static> {
    let mut data = vec![0, 0, 0, 0, 2, 0x77];
    data.extend(wire(target));
    record(owner, kind::SRV, &data)
}

pub(super) fn txt(owner: &str) -> Record<'static> {
    record(owner, kind::TXT, &[0])
}

pub(super) fn address(owner: &str, address: &str) -> Record<'static> {
    Record::of_address(name(owner), 120, address.parse().unwrap())
}

/// Says that a name has these types, below 64, and no others.
pub(super) fn nsec(owner: &str, kinds: &[u16]) -> Record<'static> {
    let mut data = wire(owner);
    let mut bits = [0; 8];
    for kind in kinds {
        bits[usize::from(kind / 8)] |= 0x80 >> (kind % 8);
    }
    data.extend([0, 8]);
    data.extend(bits);
    record(owner, kind::NSEC, &data)
}

pub(super) fn goodbye(record: &Record<'static>) -> Record<'static> {
    let mut goodbye = record.clone();
    goodbye.ttl = 0;
    goodbye
}

fn wire(text: &str) -> Vec<u8> {
    let name = name(text);
    let mut octets = Vec::new();
    for label in name.labels() {
        octets.push(u8::try_from(label.len()).unwrap());
        octets.extend(label);
    }
    octets.push(0);
    octets
}
