//! Checks packet sockets and the guard on links without link-layer addresses, against the real
//! kernel.
#![forbid(unsafe_code)]
#![expect(clippy::unwrap_used, reason = "a success where a failure is due ends the test")]

mod common;

use std::error::Error;
use std::net::{Ipv6Addr, SocketAddrV6, UdpSocket};
use std::os::fd::AsFd;
use std::process::ExitCode;
use std::time::Duration;

use libtest_mimic::Arguments;
use magpie_sys::batch::{RecvBatch, SendBatch, Sent};
use magpie_sys::clock::boottime_ns;
use magpie_sys::framing::Framing;
use magpie_sys::guard::{Guard, GuardedLink};
use magpie_sys::netlink::{RouteEvent, RouteKind};
use magpie_sys::packet::{
    LinkFault, MOST_EXCEPTED, MOST_WATCHED, PacketError, PacketSocket, SocketOptions, Statistics,
};
use magpie_sys::poller::{Interest, Poller};
use magpie_sys::tun::Tun;
use magpie_testnet::{Node, connect};
use magpie_wire::{LinkAddr, Message, OwnMessage, Packet, Solicit};

use crate::common::{Outcome, chain, trial};

fn main() -> ExitCode {
    if let Err(error) = magpie_testnet::enter() {
        eprintln!("cannot run these tests: {}", chain(&error));
        return ExitCode::FAILURE;
    }
    let tests = vec![
        trial("lnk_08_packets_begin_with_the_ipv6_header", packets_begin_with_the_ipv6_header),
        trial("received_data_never_wakes_the_socket", received_data_never_wakes_the_socket),
        trial("lnk_09_the_kernel_sends_data_unasked", the_kernel_sends_data_unasked),
        trial("what_is_watched_may_change_at_any_time", what_is_watched_may_change),
        trial("the_longest_filter_is_taken", the_longest_filter_is_taken),
        trial("links_are_told_apart", links_are_told_apart),
        trial("the_socket_works_again_after_the_link_was_down", works_again_after_down),
        trial("the_guard_drops_probes_for_other_hosts", the_guard_drops_probes),
    ];
    libtest_mimic::run(&Arguments::from_args(), tests).exit_code()
}

fn packets_begin_with_the_ipv6_header() -> Outcome {
    let scene = Scene::new()?;
    let received = solicitation(HOST, GATEWAY)?;
    scene.tun.send(&received)?;
    assert_eq!(scene.next()?, Seen { bytes: received.clone(), outgoing: false });

    let sent = solicitation(GATEWAY, HOST)?;
    let mut batch = SendBatch::new();
    for _ in 0..2 {
        batch.slot().ok_or("no room")?.get_mut(..sent.len()).unwrap().copy_from_slice(&sent);
        batch.commit(sent.len());
    }
    assert_eq!(batch.flush(&scene.socket), Sent { sent: 2, ..Sent::default() });
    for _ in 0..2 {
        scene.await_sent(&sent)?;
    }
    // Nothing comes back from there.
    scene.tun.send(&received)?;
    assert_eq!(scene.next()?, Seen { bytes: received, outgoing: false });
    Ok(())
}

fn received_data_never_wakes_the_socket() -> Outcome {
    let mut scene = Scene::new()?;
    scene.socket.watch(["::/0".parse()?], [])?;
    for upper_layer in [6, 17, 44, 59] {
        for _ in 0..100 {
            scene.tun.send(&datagram(HOST, GATEWAY, upper_layer, &[135; 64]))?;
        }
    }
    let marker = solicitation(HOST, GATEWAY)?;
    scene.tun.send(&marker)?;
    assert_eq!(scene.next()?, Seen { bytes: marker, outgoing: false });
    assert_eq!(scene.socket.statistics()?, Statistics { queued: 1, dropped: 0 });
    Ok(())
}

fn the_kernel_sends_data_unasked() -> Outcome {
    let mut scene = Scene::with(Node::new("dut")?)?;
    let probe = scene.sender()?;
    scene.socket.watch([SUBNET.parse()?], [])?;
    probe.send_to(&[7; 100], SocketAddrV6::new(HOST, 9, 0, 0))?;
    let seen = scene.next()?;
    assert!(seen.outgoing);
    // No solicitation came before it, and what follows the header is nobody's business.
    assert_eq!(OwnMessage::parse_bare(&seen.bytes), Some(OwnMessage::Data { target: HOST }));
    assert_eq!(seen.bytes.len(), 40);
    Ok(())
}

fn what_is_watched_may_change() -> Outcome {
    let mut scene = Scene::with(Node::new("dut")?)?;
    let probe = scene.sender()?;
    let other: Ipv6Addr = "2001:db8::23".parse()?;
    let say = |to| probe.send_to(b"x", SocketAddrV6::new(to, 9, 0, 0));
    let target = |seen: &Seen| OwnMessage::parse_bare(&seen.bytes);
    let (told, told_of_other) =
        (OwnMessage::Data { target: HOST }, OwnMessage::Data { target: other });

    // Not watched, watched, and excepted: of what is sent each time, only this is seen.
    say(HOST)?;
    scene.socket.watch([SUBNET.parse()?], [])?;
    say(HOST)?;
    assert_eq!(target(&scene.next()?), Some(told));
    scene.socket.watch([SUBNET.parse()?], [HOST])?;
    say(HOST)?;
    say(other)?;
    assert_eq!(target(&scene.next()?), Some(told_of_other));
    scene.socket.watch(["2001:db8::22/128".parse()?], [])?;
    say(other)?;
    say(HOST)?;
    assert_eq!(target(&scene.next()?), Some(told));
    scene.socket.watch([], [])?;
    say(HOST)?;
    let marker = solicitation(HOST, GATEWAY)?;
    scene.tun.send(&marker)?;
    assert_eq!(scene.next()?, Seen { bytes: marker, outgoing: false });
    Ok(())
}

fn the_longest_filter_is_taken() -> Outcome {
    let mut scene = Scene::new()?;
    let prefixes = (0..2 * MOST_WATCHED).map(|number| {
        let network = Ipv6Addr::from_bits(0x2001_0db8 << 96 | (number as u128) << 64);
        ipnet::Ipv6Net::new(network, 113).map(|prefix| prefix.trunc())
    });
    let prefixes: Vec<_> = prefixes.collect::<Result<_, _>>()?;
    // One filter takes the place of another: for a moment there are two.
    for shift in 0..3 {
        let except = (0..2 * MOST_EXCEPTED)
            .map(|number| Ipv6Addr::from_bits(0x2001_0db8 << 96 | (number + shift) as u128));
        scene.socket.watch(prefixes.iter().copied(), except)?;
    }
    Ok(())
}

fn links_are_told_apart() -> Outcome {
    let scene = Scene::new()?;
    let peer = Node::switch("peer")?;
    connect(&scene.dut.plug("eth0"), &peer.plug("eth0"))?;
    for (name, framing, is_no_arp) in [
        (LINK, Some(Framing::Bare), true),
        ("eth0", Some(Framing::Ethernet), false),
        ("lo", None, false),
    ] {
        let link = scene.dut.link(name)?;
        assert_eq!(link.framing(), framing, "{link:?}");
        assert_eq!(link.is_bare(), framing == Some(Framing::Bare));
        assert_eq!(link.is_no_arp(), is_no_arp, "{link:?}");
        assert_eq!((link.vrf_table, link.lladdr.is_some()), (None, name != LINK));
    }

    let _inside = scene.dut.enter()?;
    let bare = SocketOptions { framing: Framing::Bare, ..SocketOptions::default() };
    let error = PacketSocket::open(scene.dut.ifindex("eth0")?, &bare).unwrap_err();
    assert!(matches!(error, PacketError::NotBare { hardware_type: 1, .. }), "{error:?}");
    let error = PacketSocket::open(1, &bare).unwrap_err();
    assert!(matches!(error, PacketError::NotBare { hardware_type: 772, .. }), "{error:?}");
    let ethernet = SocketOptions::default();
    let error = PacketSocket::open(scene.dut.ifindex(LINK)?, &ethernet).unwrap_err();
    assert!(matches!(error, PacketError::NotEthernet { hardware_type: 65534, .. }), "{error:?}");
    Ok(())
}

fn works_again_after_down() -> Outcome {
    let scene = Scene::new()?;
    let packet = solicitation(HOST, GATEWAY)?;
    scene.dut.set_down(LINK)?;
    let mut batch = RecvBatch::new();
    let fault = batch.receive(&scene.socket).map(|frames| frames.len()).unwrap_err();
    assert!(matches!(fault, LinkFault::Down { .. }), "{fault:?}");
    scene.dut.set_up(LINK)?;
    scene.tun.send(&packet)?;
    assert_eq!(scene.next()?, Seen { bytes: packet, outgoing: false });

    let Scene { dut, tun, socket } = scene;
    drop(tun);
    assert!(dut.ifindex(LINK).is_err());
    let fault = batch.receive(&socket).map(|frames| frames.len()).unwrap_err();
    assert!(matches!(fault, LinkFault::Gone { .. }), "{fault:?}");
    Ok(())
}

fn the_guard_drops_probes() -> Outcome {
    let scene = Scene::with(Node::new("dut")?)?;
    scene.dut.set_forwarding()?;
    scene.add_address()?;
    let inner = scene.dut.add_tun("tun1")?;
    let far: Ipv6Addr = "2001:db8:0:1::22".parse()?;
    scene.dut.add_address_nodad("tun1", "2001:db8:0:1::1".parse()?, 64)?;
    scene.await_local("2001:db8:0:1::1".parse()?)?;

    let question = solicitation(HOST, far)?;
    let mut forwarded = question.clone();
    *forwarded.get_mut(7).unwrap() = 254;
    // Behind the marker nothing can come that was sent before it.
    let marker = datagram(HOST, far, 17, &[0, 9, 0, 9, 0, 8, 0, 0]);
    let is_marker = |packet: &[u8]| packet.get(6) == Some(&17);
    let passes = || -> Result<bool, Box<dyn Error>> {
        scene.tun.send(&question)?;
        scene.tun.send(&marker)?;
        assert_eq!(scene.next()?, Seen { bytes: question.clone(), outgoing: false });
        let first = receive(&inner, |packet| is_marker(packet) || packet == forwarded)?;
        if first == forwarded {
            receive(&inner, is_marker)?;
        }
        Ok(first == forwarded)
    };
    assert!(passes()?, "the kernel does not forward: the test proves too little");
    let link = |name: &str| -> Result<GuardedLink, Box<dyn Error>> {
        Ok(GuardedLink { ifindex: scene.dut.ifindex(name)?, name: name.to_owned(), lladdr: None })
    };
    let mut guard = {
        let _inside = scene.dut.enter()?;
        Guard::install(&[link(LINK)?])?
    };
    assert!(!passes()?);
    guard.update(&[link("tun1")?])?;
    assert!(passes()?);

    // Together with a link that has link-layer addresses.
    let peer = Node::switch("peer")?;
    connect(&scene.dut.plug("eth0"), &peer.plug("eth0"))?;
    let lladdr = Some(scene.dut.lladdr("eth0")?);
    guard.update(&[GuardedLink { lladdr, ..link("eth0")? }, link(LINK)?, link("tun1")?])?;
    assert!(!passes()?);

    // What is for this host itself it answers.
    let own = solicitation(HOST, GATEWAY)?;
    scene.tun.send(&own)?;
    receive(&scene.tun, |packet| {
        packet.get(40) == Some(&136) && packet.get(48..64) == Some(&GATEWAY.octets()[..])
    })?;
    Ok(())
}

/// A node with a tunnel whose far end is the test, and the socket under test on it.
struct Scene {
    dut: Node,
    tun: Tun,
    socket: PacketSocket,
}

/// A received packet, kept.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Seen {
    bytes: Vec<u8>,
    outgoing: bool,
}

impl Scene {
    /// Makes a scene in which the kernel sends nothing.
    fn new() -> Result<Self, Box<dyn Error>> {
        Self::with(Node::switch("dut")?)
    }

    fn with(dut: Node) -> Result<Self, Box<dyn Error>> {
        let tun = dut.add_tun(LINK)?;
        let ifindex = dut.ifindex(LINK)?;
        let socket = {
            let _inside = dut.enter()?;
            let options = SocketOptions { framing: Framing::Bare, ..SocketOptions::default() };
            PacketSocket::open(ifindex, &options)?
        };
        Ok(Self { dut, tun, socket })
    }

    /// Gives the link an address and a subnet.
    fn add_address(&self) -> Outcome {
        self.dut.add_address_nodad(LINK, GATEWAY, 64)?;
        self.await_local(GATEWAY)
    }

    /// The kernel takes up an address a little later than it takes it.
    fn await_local(&self, address: Ipv6Addr) -> Outcome {
        self.dut.wait_routes(LIMIT, "the route to an address", |routes| {
            let is_it =
                |route: &RouteEvent| route.kind == RouteKind::LOCAL && route.destination == address;
            routes.iter().any(is_it).then_some(())
        })?;
        Ok(())
    }

    /// A socket of the node whose packets leave by the link.
    fn sender(&self) -> Result<UdpSocket, Box<dyn Error>> {
        self.add_address()?;
        let _inside = self.dut.enter()?;
        Ok(UdpSocket::bind(SocketAddrV6::new(GATEWAY, 0, 0, 0))?)
    }

    /// Waits for the next packet at the socket.
    fn next(&self) -> Result<Seen, Box<dyn Error>> {
        wait_readable(&self.socket)?;
        let mut batch = RecvBatch::new();
        let mut frames = batch.receive(&self.socket)?;
        let frame = frames.next().ok_or("nothing was received")?;
        assert_eq!(frame.length, frame.bytes.len());
        let seen = Seen { bytes: frame.bytes.to_vec(), outgoing: frame.outgoing };
        assert_eq!(frames.len(), 0, "more than {seen:?} was received");
        Ok(seen)
    }

    /// Waits until a packet leaves by the tunnel.
    fn await_sent(&self, packet: &[u8]) -> Outcome {
        receive(&self.tun, |sent| sent == packet).map(drop)
    }
}

/// Waits for a packet that `is_it` recognizes; the kernel sends others by itself.
fn receive(tun: &Tun, is_it: impl Fn(&[u8]) -> bool) -> Result<Vec<u8>, Box<dyn Error>> {
    let mut buffer = [0; 2048];
    loop {
        while let Some(length) = tun.receive(&mut buffer)? {
            let packet = buffer.get(..length).unwrap_or(&buffer);
            if is_it(packet) {
                return Ok(packet.to_vec());
            }
        }
        wait_readable(tun)?;
    }
}

fn wait_readable(fd: impl AsFd) -> Outcome {
    let mut poller = Poller::new()?;
    poller.add(fd, 0, Interest::Read)?;
    let mut ready = Vec::new();
    poller.wait(&mut ready, Some(boottime_ns() + PATIENCE))?;
    if ready.is_empty() { Err("nothing was received".into()) } else { Ok(()) }
}

/// A solicitation for an address, sent to it.
fn solicitation(source: Ipv6Addr, target: Ipv6Addr) -> Result<Vec<u8>, Box<dyn Error>> {
    let packet = Packet {
        ethernet_source: LinkAddr::ZERO,
        ethernet_destination: LinkAddr::ZERO,
        source,
        destination: target,
        message: Message::Solicit(Solicit { target, source_lladdr: None, nonce: None }),
    };
    let mut buffer = vec![0; Packet::MAX_LEN];
    let length = packet.emit_bare(&mut buffer)?;
    buffer.truncate(length);
    Ok(buffer)
}

/// A packet with any upper layer.
fn datagram(source: Ipv6Addr, destination: Ipv6Addr, next_header: u8, payload: &[u8]) -> Vec<u8> {
    let [high, low] = u16::try_from(payload.len()).unwrap_or(u16::MAX).to_be_bytes();
    let mut packet = vec![0x60, 0, 0, 0, high, low, next_header, 64];
    packet.extend(source.octets());
    packet.extend(destination.octets());
    packet.extend(payload);
    packet
}

const LINK: &str = "tun0";
const SUBNET: &str = "2001:db8::/64";
const GATEWAY: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);
const HOST: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x22);
const LIMIT: Duration = Duration::from_secs(10);
/// The same in nanoseconds.
const PATIENCE: u64 = 10_000_000_000;
