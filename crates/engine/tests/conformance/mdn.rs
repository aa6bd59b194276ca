//! Multicast DNS: what crosses between links, and in what form.

use std::net::SocketAddr;

use magpie_engine::{Addresses, Config, Input, KernelEvent, LinkId, Mdns};
use magpie_wire::LinkAddr;
use magpie_wire::datagram::{
    Datagram, MDNS_GROUP_V4, MDNS_GROUP_V6, MDNS_PORT, Received, group_lladdr,
};

use crate::bench::Bench;
use crate::names::{DN, UP, mac};
use crate::spoken;

/// Somebody who speaks multicast DNS.
#[derive(Clone, Copy, Debug)]
struct Host {
    link: LinkId,
    lladdr: LinkAddr,
    /// The last part of its addresses.
    number: u8,
}

/// On up.
const UPPER: Host = Host { link: UP, lladdr: mac(0x61), number: 0x61 };
/// On dn.
const LOWER: Host = Host { link: DN, lladdr: mac(0x71), number: 0x71 };

impl Host {
    fn v6(self) -> SocketAddr {
        format!("[fe80::{:x}]:{MDNS_PORT}", self.number).parse().expect("an address")
    }

    fn v4(self) -> SocketAddr {
        format!("192.0.2.{}:{MDNS_PORT}", self.number).parse().expect("an address")
    }
}

/// A tester whose relay passes names on.
struct Names {
    bench: Bench,
}

impl Names {
    fn new() -> Self {
        Self::with(Mdns { legacy_port: Some(40_000), ..Mdns::default() })
    }

    fn with(mdns: Mdns) -> Self {
        let mut bench = Bench::with(Config { mdns: Some(mdns), ..Config::default() });
        for (link, address) in [(UP, "192.0.2.16/24"), (DN, "192.0.2.17/24")] {
            let address = address.parse().expect("an address");
            bench.kernel(KernelEvent::Address4 { link, address });
        }
        bench.forget_log();
        Self { bench }
    }

    /// All addresses cross.
    fn open() -> Self {
        Self::with(Mdns { addresses: Addresses::All, legacy_port: Some(40_000), ..Mdns::default() })
    }

    fn hear(&mut self, link: LinkId, datagram: &Datagram<'_>) {
        let mut frame = Vec::new();
        datagram.emit(&mut frame);
        self.bench.handle(Input::Datagram { link, bytes: &frame });
    }

    /// Somebody says something to the group, over IPv6.
    fn says(&mut self, host: Host, text: &str) {
        self.says_from(host, host.v6(), text);
    }

    fn says4(&mut self, host: Host, text: &str) {
        self.says_from(host, host.v4(), text);
    }

    fn says_from(&mut self, host: Host, source: SocketAddr, text: &str) {
        let group = if source.is_ipv6() { MDNS_GROUP_V6.into() } else { MDNS_GROUP_V4.into() };
        let datagram = Datagram {
            ethernet_source: host.lladdr,
            ethernet_destination: group_lladdr(group),
            source,
            destination: (group, MDNS_PORT).into(),
            hop_limit: 255,
            payload: &spoken::octets(text),
        };
        self.hear(host.link, &datagram);
    }

    /// What was sent since it was last asked: where, over what, and what.
    fn sent(&mut self) -> Vec<String> {
        self.bench
            .take_datagrams()
            .iter()
            .map(|sent| {
                let Ok(Received::Whole(datagram)) = Received::parse(&sent.frame) else {
                    panic!("not a whole datagram: {:?}", sent.frame);
                };
                let link = if sent.link == UP { "up" } else { "dn" };
                let version = if datagram.source.is_ipv6() { 6 } else { 4 };
                format!("{link}{version} {}", spoken::text(datagram.payload))
            })
            .collect()
    }
}

#[test]
fn mdn_01_what_crosses_is_ours() {
    let mut names = Names::new();
    names.says(UPPER, "query; q pi.local AAAA");
    assert_eq!(names.sent(), ["dn6 query; q pi.local AAAA"]);
    names.says4(LOWER, "response; an a._ipp._tcp.local SRV 120! 631 pi.local");
    assert_eq!(names.sent(), ["up4 response; an a._ipp._tcp.local SRV 120! 631 pi.local"]);
}
