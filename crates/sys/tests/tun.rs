//! Checks tunnel devices against the real kernel.
#![forbid(unsafe_code)]
#![expect(clippy::unwrap_used, reason = "a success where a failure is due ends the test")]

mod common;

use std::error::Error;
use std::net::{Ipv6Addr, SocketAddrV6, UdpSocket};
use std::process::ExitCode;
use std::time::Duration;

use libtest_mimic::Arguments;
use magpie_sys::clock::boottime_ns;
use magpie_sys::netlink::{RouteEvent, RouteKind};
use magpie_sys::poller::{Interest, Poller};
use magpie_sys::tun::{Tun, TunError};
use magpie_testnet::Node;

use crate::common::{Outcome, chain, trial};

fn main() -> ExitCode {
    if let Err(error) = magpie_testnet::enter() {
        eprintln!("cannot run these tests: {}", chain(&error));
        return ExitCode::FAILURE;
    }
    let tests = vec![
        trial("packets_pass_both_ways_through_a_tun", packets_pass_both_ways_through_a_tun),
        trial("a_tap_is_an_ethernet_link", a_tap_is_an_ethernet_link),
        trial("a_device_goes_with_its_descriptor", a_device_goes_with_its_descriptor),
        trial("names_that_cannot_be_are_refused", names_that_cannot_be_are_refused),
    ];
    libtest_mimic::run(&Arguments::from_args(), tests).exit_code()
}

fn packets_pass_both_ways_through_a_tun() -> Outcome {
    let node = Node::new("node")?;
    let tun = create(&node, Tun::create)?;
    node.set_up(LINK)?;
    node.add_address_nodad(LINK, LOCAL, 64)?;
    // The kernel takes up an address a little later than it takes it.
    node.wait_routes(LIMIT, "the route to an address", |routes| {
        let is_it =
            |route: &RouteEvent| route.kind == RouteKind::LOCAL && route.destination == LOCAL;
        routes.iter().any(is_it).then_some(())
    })?;
    let socket = {
        let _inside = node.enter()?;
        UdpSocket::bind(SocketAddrV6::new(LOCAL, 0, 0, 0))?
    };
    socket.set_read_timeout(Some(LIMIT))?;
    socket.send_to(b"there", SocketAddrV6::new(REMOTE, 7, 0, 0))?;
    let mut packet = receive(&tun, |packet| packet.ends_with(b"there"))?;

    // Back to the sender, with addresses and ports exchanged: the checksum stays right.
    let (source, destination) = (packet[8..24].to_vec(), packet[24..40].to_vec());
    packet.splice(8..40, [destination, source].concat());
    let (from, to) = (packet[40..42].to_vec(), packet[42..44].to_vec());
    packet.splice(40..44, [to, from].concat());
    tun.send(&packet)?;
    let mut text = [0; 16];
    let (length, sender) = socket.recv_from(&mut text)?;
    assert_eq!((&text[..length], sender.ip()), (&b"there"[..], REMOTE.into()));

    node.set_down(LINK)?;
    let error = tun.send(&packet).unwrap_err();
    assert!(matches!(error, TunError::Send { .. }), "{error:?}");
    Ok(())
}

fn a_tap_is_an_ethernet_link() -> Outcome {
    let node = Node::new("node")?;
    let tap = create(&node, Tun::create_tap)?;
    node.set_up(LINK)?;
    assert!(node.link(LINK)?.lladdr.is_some());
    node.add_address_nodad(LINK, LOCAL, 64)?;
    let _inside = node.enter()?;
    let socket = UdpSocket::bind("[::]:0")?;
    socket.send_to(b"x", SocketAddrV6::new(REMOTE, 7, 0, 0))?;
    // A solicitation for the address.
    receive(&tap, |frame| {
        frame.get(54) == Some(&135) && frame.get(62..78) == Some(&REMOTE.octets()[..])
    })?;
    Ok(())
}

fn a_device_goes_with_its_descriptor() -> Outcome {
    let node = Node::new("node")?;
    let tun = create(&node, Tun::create)?;
    assert_ne!(node.ifindex(LINK)?, 0);
    let error = create(&node, Tun::create_tap).unwrap_err();
    assert!(error.to_string().contains("cannot make the tunnel device"), "{error}");
    drop(tun);
    assert!(node.ifindex(LINK).is_err());
    Ok(())
}

fn names_that_cannot_be_are_refused() -> Outcome {
    let node = Node::new("node")?;
    let _inside = node.enter()?;
    for name in ["", "sixteen-octets-x", "a/b"] {
        let error = Tun::create(name).unwrap_err();
        assert!(matches!(error, TunError::Create { .. }), "{name}: {error:?}");
    }
    Ok(())
}

fn create(
    node: &Node,
    make: impl FnOnce(&str) -> Result<Tun, TunError>,
) -> Result<Tun, Box<dyn Error>> {
    let _inside = node.enter()?;
    Ok(make(LINK)?)
}

/// Waits for a packet that `is_it` recognizes; the kernel sends others by itself.
fn receive(tun: &Tun, is_it: impl Fn(&[u8]) -> bool) -> Result<Vec<u8>, Box<dyn Error>> {
    let mut poller = Poller::new()?;
    poller.add(tun, 0, Interest::Read)?;
    let mut buffer = [0; 2048];
    loop {
        while let Some(length) = tun.receive(&mut buffer)? {
            if is_it(&buffer[..length]) {
                return Ok(buffer[..length].to_vec());
            }
        }
        let mut ready = Vec::new();
        poller.wait(&mut ready, Some(boottime_ns() + PATIENCE))?;
        if ready.is_empty() {
            return Err("nothing was received".into());
        }
    }
}

const LINK: &str = "tun0";
const LOCAL: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);
const REMOTE: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 2);
const LIMIT: Duration = Duration::from_secs(10);

/// The same in nanoseconds.
const PATIENCE: u64 = 10_000_000_000;
