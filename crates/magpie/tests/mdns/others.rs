//! What other protocols discover crosses as well, if it is wanted.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use magpie_testnet::{Frame, Tester};
use magpie_wire::LinkAddr;
use magpie_wire::datagram::{Datagram, Received, group_lladdr};

use crate::common::Outcome;
use crate::place::{Place, SILENCE, SOON, address4, magpie, magpie_with};
use crate::speaker::{FAMILIES, V6};
use crate::{Scenario, scenario};

pub(crate) fn scenarios() -> Vec<Scenario> {
    vec![
        scenario("searches_of_ssdp_are_answered_across_links", || searches_cross(&SSDP)),
        scenario("searches_of_ws_discovery_are_answered_across_links", || {
            searches_cross(&WS_DISCOVERY)
        }),
        scenario("searches_of_others_stay_where_they_are_unless_wanted", searches_stay),
    ]
}

/// What a protocol says.
struct Protocol {
    setting: &'static str,
    port: u16,
    search: &'static str,
    answer: &'static str,
    announcement: &'static str,
}

const SSDP: Protocol = Protocol {
    setting: "ssdp",
    port: 1_900,
    search: "M-SEARCH * HTTP/1.1\r\nHOST: 239.255.255.250:1900\r\nMAN: \"ssdp:discover\"\r\n\
             MX: 1\r\nST: upnp:rootdevice\r\n\r\n",
    answer: "HTTP/1.1 200 OK\r\nST: upnp:rootdevice\r\nUSN: uuid:1::upnp:rootdevice\r\n\
             LOCATION: http://192.0.2.41/\r\n\r\n",
    announcement: "NOTIFY * HTTP/1.1\r\nHOST: 239.255.255.250:1900\r\nNTS: ssdp:alive\r\n\
                   NT: upnp:rootdevice\r\nUSN: uuid:1::upnp:rootdevice\r\n\r\n",
};

const WS_DISCOVERY: Protocol = Protocol {
    setting: "ws-discovery",
    port: 3_702,
    search: "<s:Envelope><s:Header>\
             <a:Action>http://schemas.xmlsoap.org/ws/2005/04/discovery/Probe</a:Action>\
             <a:MessageID>urn:uuid:7</a:MessageID></s:Header><s:Body><d:Probe/></s:Body></s:Envelope>",
    answer: "<s:Envelope><s:Header>\
             <a:Action>http://schemas.xmlsoap.org/ws/2005/04/discovery/ProbeMatches</a:Action>\
             <a:RelatesTo>urn:uuid:7</a:RelatesTo></s:Header><s:Body/></s:Envelope>",
    announcement: "<s:Envelope><s:Header>\
                   <a:Action>http://schemas.xmlsoap.org/ws/2005/04/discovery/Hello</a:Action>\
                   <a:MessageID>urn:uuid:8</a:MessageID></s:Header><s:Body/></s:Envelope>",
};

/// The port that who searches has.
const SEARCHER: u16 = 50_000;

fn searches_cross(protocol: &Protocol) -> Outcome {
    let place = Place::new()?;
    let settings = format!("other-services = [\"{}\"]\n", protocol.setting);
    let magpie = magpie_with(&place.gateway, &settings)?;
    let (mut above, mut below) = stations(&place)?;
    for family in FAMILIES {
        let group = SocketAddr::new(group(family), protocol.port);
        let searcher =
            above.say(family, SEARCHER, (group, group_lladdr(group.ip())), protocol.search)?;
        let (asker, lladdr) = below.expect("the search", protocol.search, group)?;
        assert_eq!(lladdr, place.gateway.lladdr("lan")?);
        // Who is found answers the one that it has heard.
        below.say(family, protocol.port, (asker, lladdr), protocol.answer)?;
        let (source, _) = above.expect("the answer", protocol.answer, searcher)?;
        assert_eq!(source.port(), protocol.port);

        let group = (group, group_lladdr(group.ip()));
        below.say(family, protocol.port, group, protocol.announcement)?;
        above.expect("the announcement", protocol.announcement, group.0)?;
    }
    magpie.stop()?;
    Ok(())
}

fn searches_stay() -> Outcome {
    let place = Place::new()?;
    let magpie = magpie(&place.gateway)?;
    let (above, mut below) = stations(&place)?;
    for protocol in [SSDP, WS_DISCOVERY] {
        let group = SocketAddr::new(group(V6), protocol.port);
        above.say(V6, SEARCHER, (group, group_lladdr(group.ip())), protocol.search)?;
    }
    let ports = [SSDP.port, WS_DISCOVERY.port];
    below.tester.expect_none(SILENCE, "a search", |frame| {
        whole(frame).is_some_and(|datagram| ports.contains(&datagram.destination.port()))
    })?;
    magpie.stop()?;
    Ok(())
}

/// Somebody who searches or is found.
struct Station {
    tester: Tester,
    addresses: [IpAddr; 2],
}

fn stations(place: &Place) -> Result<(Station, Station), Box<dyn std::error::Error>> {
    let station = |name, bridge, number: u8| -> Result<Station, Box<dyn std::error::Error>> {
        let tester = Tester::new(name, &place.switch, bridge, None)?;
        let link_local = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 9, number.into());
        Ok(Station { tester, addresses: [address4(number).into(), link_local.into()] })
    };
    Ok((station("above", "up", 11)?, station("below", "down", 41)?))
}

impl Station {
    /// Says something to an address and a link-layer address; returns where it said it from.
    fn say(
        &self,
        family: usize,
        port: u16,
        (destination, lladdr): (SocketAddr, LinkAddr),
        text: &str,
    ) -> Result<SocketAddr, Box<dyn std::error::Error>> {
        let source = SocketAddr::new(self.addresses[family], port);
        let datagram = Datagram {
            ethernet_source: self.tester.lladdr(),
            ethernet_destination: lladdr,
            source,
            destination,
            hop_limit: 2,
            payload: text.as_bytes(),
        };
        let mut frame = Vec::new();
        datagram.emit(&mut frame);
        self.tester.send(&frame)?;
        Ok(source)
    }

    /// Waits for a text to an address; returns who sent it.
    fn expect(
        &mut self,
        what: &str,
        text: &str,
        destination: SocketAddr,
    ) -> Result<(SocketAddr, LinkAddr), magpie_testnet::Error> {
        self.tester.expect(SOON, what, |frame| {
            let datagram = whole(frame)?;
            let is_it = datagram.payload == text.as_bytes() && datagram.destination == destination;
            is_it.then_some((datagram.source, datagram.ethernet_source))
        })
    }
}

fn whole(frame: &Frame) -> Option<Datagram<'_>> {
    match Received::parse(&frame.bytes) {
        Ok(Received::Whole(datagram)) => Some(datagram),
        _ => None,
    }
}

/// The group that both ask.
fn group(family: usize) -> IpAddr {
    if family == V6 {
        Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0xc).into()
    } else {
        Ipv4Addr::new(239, 255, 255, 250).into()
    }
}
