//! Checks against the real kernel what packet sockets for datagrams of services receive and send,
//! and what else they take: memberships, and a port.
#![forbid(unsafe_code)]
#![expect(clippy::unwrap_used, reason = "a success where a failure is due ends the test")]

mod common;

use std::error::Error;
use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6, UdpSocket};
use std::os::fd::AsFd;
use std::process::ExitCode;
use std::time::Duration;

use libtest_mimic::Arguments;
use magpie_sys::batch::{DATAGRAM_CAPACITY, RecvBatch, Sent, send};
use magpie_sys::clock::boottime_ns;
use magpie_sys::framing::Framing;
use magpie_sys::group::{GroupError, LinkGroups};
use magpie_sys::link_socket::LinkSocket;
use magpie_sys::netlink::{
    Change, Connection, Event, Group, Ipv4AddressEvent, LinkChange, Membership, Monitor,
};
use magpie_sys::packet::{PacketSocket, Purpose, Services, SocketOptions};
use magpie_sys::poller::{Interest, Poller};
use magpie_sys::reserved_port::ReservedPort;
use magpie_testnet::{Node, connect};
use magpie_wire::LinkAddr;
use magpie_wire::datagram::{Datagram, MDNS_GROUP_V4, MDNS_GROUP_V6, Received, group_lladdr};

use crate::common::{Outcome, chain, trial};

fn main() -> ExitCode {
    if let Err(error) = magpie_testnet::enter() {
        eprintln!("cannot run these tests: {}", chain(&error));
        return ExitCode::FAILURE;
    }
    let tests = vec![
        trial("what_a_program_sends_comes_with_its_checksum", checksums_are_completed),
        trial("what_this_host_sends_is_not_received", own_datagrams_are_not_received),
        trial("a_long_message_comes_in_fragments", a_long_message_comes_in_fragments),
        trial("nine_thousand_octets_come_whole_and_go", nine_thousand_octets),
        trial("a_datagram_of_a_vlan_is_not_received", a_vlan_is_another_link),
        trial("the_socket_hears_groups_also_after_the_link_was_down", groups_after_down),
        trial("a_link_without_addresses_joins_groups", a_link_without_addresses_joins),
        trial("groups_are_left_with_the_last_that_holds_them", groups_end_with_their_holder),
        trial("groups_that_the_kernel_forgot_are_joined_again", groups_are_joined_again),
        trial("a_link_that_has_gone_joins_nothing", a_link_that_has_gone),
        trial("a_reserved_port_is_silent_and_taken", a_reserved_port_is_silent),
        trial("a_tunnel_carries_datagrams_of_both_families", a_tunnel),
        trial("ipv4_addresses_are_announced_and_listed", ipv4_addresses),
    ];
    libtest_mimic::run(&Arguments::from_args(), tests).exit_code()
}

fn checksums_are_completed() -> Outcome {
    let scene = Scene::new()?;
    for (family, group) in groups() {
        let program = scene.program(family)?;
        program.send_to(b"who is there?", group)?;
        let frames = scene.receive(1)?;
        let datagram = whole(&frames[0])?;
        assert_eq!((datagram.payload, datagram.destination.ip()), (&b"who is there?"[..], family));
        assert_eq!(datagram.ethernet_source, PEER);
        assert_eq!(datagram.source.port(), program.local_addr()?.port());
    }
    Ok(())
}

fn own_datagrams_are_not_received() -> Outcome {
    let scene = Scene::new()?;
    for (family, group) in groups() {
        let own = program(&scene.dut, family)?;
        own.send_to(b"mine", group)?;
        let frame = compose(family, b"through the socket");
        assert_eq!(send(&scene.socket, &frame), Sent { sent: 1, ..Sent::default() });
        scene.program(family)?.send_to(b"theirs", group)?;
        let frames = scene.receive(1)?;
        assert_eq!(frames.len(), 1);
        assert_eq!(whole(&frames[0])?.payload, b"theirs");
    }
    Ok(())
}

fn a_long_message_comes_in_fragments() -> Outcome {
    let scene = Scene::new()?;
    let message = [7; 3000];
    for (family, group) in groups() {
        scene.program(family)?.send_to(&message, group)?;
        let frames = scene.receive(3)?;
        let mut length = 0;
        for frame in &frames {
            let Received::Fragment(fragment) = Received::parse(frame)? else {
                panic!("{family}: not a fragment")
            };
            assert_eq!(fragment.offset, length);
            length += fragment.payload.len();
        }
        assert_eq!(length, message.len() + 8);
    }
    Ok(())
}

fn nine_thousand_octets() -> Outcome {
    let scene = Scene::new()?;
    for node in [&scene.dut, &scene.peer_node] {
        node.set_link(LINK, &LinkChange { mtu: Some(9000), ..LinkChange::default() })?;
    }
    for (family, group) in groups() {
        let headers = if family.is_ipv4() { 28 } else { 48 };
        let message = vec![9; 9000 - headers];
        scene.program(family)?.send_to(&message, group)?;
        let frames = scene.receive(1)?;
        assert_eq!(frames[0].len(), 9014);
        assert!(frames[0].len() <= DATAGRAM_CAPACITY);
        assert_eq!(whole(&frames[0])?.payload, message);

        let frame = compose(family, &message);
        assert_eq!(send(&scene.socket, &frame), Sent { sent: 1, ..Sent::default() });
        assert_eq!(scene.receive_at_peer()?, frame);
        let too_long = compose(family, &[&message[..], b"!"].concat());
        assert_eq!(send(&scene.socket, &too_long), Sent { refused: 1, ..Sent::default() });
    }
    Ok(())
}

fn a_vlan_is_another_link() -> Outcome {
    let scene = Scene::new()?;
    for (family, _) in groups() {
        let frame = compose(family, b"x");
        for tag in [0x8100_000a, 0x8100_e000] {
            let mut tagged = frame.clone();
            tagged.splice(12..12, u32::to_be_bytes(tag));
            scene.peer.send(&tagged)?;
        }
        let marker = compose(family, b"the end");
        scene.peer.send(&marker)?;
        // The priority tag is none.
        assert_eq!(scene.receive(2)?, [frame, marker]);
    }
    Ok(())
}

fn groups_after_down() -> Outcome {
    let scene = Scene::new()?;
    let heard = |node: &Node| -> Result<bool, Box<dyn Error>> {
        let _inside = node.enter()?;
        let groups = fs::read_to_string("/proc/thread-self/net/dev_mcast")?;
        let on_link =
            |lladdr: &str| groups.lines().any(|line| line.contains(LINK) && line.contains(lladdr));
        Ok(on_link("01005e0000fb") && on_link("3333000000fb"))
    };
    assert!(heard(&scene.dut)?);
    scene.dut.set_down(LINK)?;
    scene.dut.set_up(LINK)?;
    scene.wait_carrier()?;
    // It is told once that it was down.
    let _ = RecvBatch::for_datagrams().receive(&scene.socket);
    assert!(heard(&scene.dut)?);
    let frame = compose(IpAddr::V6(MDNS_GROUP_V6), b"again");
    scene.peer.send(&frame)?;
    assert_eq!(scene.receive(1)?, [frame]);
    drop(scene.socket);
    assert!(!heard(&scene.dut)?);
    Ok(())
}

fn a_link_without_addresses_joins() -> Outcome {
    let node = lonely()?;
    let _inside = node.enter()?;
    let mut groups = LinkGroups::new(node.ifindex(LINK)?)?;
    let others = Services { ssdp: true, ..Services::default() };
    for group in others.groups() {
        groups.join(group)?;
        groups.join(group)?;
    }
    assert_eq!(groups.len(), 4);
    assert_eq!(joined(LINK)?, ["ff02::c", "ff02::fb", "224.0.0.251", "239.255.255.250"]);
    Ok(())
}

fn groups_end_with_their_holder() -> Outcome {
    let node = lonely()?;
    let _inside = node.enter()?;
    let hold = || -> Result<LinkGroups, Box<dyn Error>> {
        let mut groups = LinkGroups::new(node.ifindex(LINK)?)?;
        for group in Services::default().groups() {
            groups.join(group)?;
        }
        Ok(groups)
    };
    let (first, second) = (hold()?, hold()?);
    drop(first);
    assert_eq!(joined(LINK)?, ["ff02::fb", "224.0.0.251"]);
    drop(second);
    assert_eq!(joined(LINK)?, [""; 0]);
    Ok(())
}

fn groups_are_joined_again() -> Outcome {
    let node = lonely()?;
    let _inside = node.enter()?;
    let mut groups = LinkGroups::new(node.ifindex(LINK)?)?;
    for group in Services::default().groups() {
        groups.join(group)?;
    }
    let lost = |groups: &LinkGroups| -> Result<Vec<Ipv6Addr>, Box<dyn Error>> {
        let there = Connection::open()?.memberships()?;
        let is_there = |ifindex, group| there.contains(&Membership { ifindex, group });
        Ok(groups.lost(is_there).collect())
    };
    assert_eq!(lost(&groups)?, [Ipv6Addr::UNSPECIFIED; 0]);
    // The kernel takes IPv6 from a device that is too narrow for it, and gives a new one later.
    for mtu in [1200, 1500] {
        node.set_link(LINK, &LinkChange { mtu: Some(mtu), ..LinkChange::default() })?;
    }
    node.set_conf(LINK, "disable_ipv6", 0)?;
    assert_eq!(lost(&groups)?, [MDNS_GROUP_V6]);
    assert!(groups.leave(MDNS_GROUP_V6));
    assert!(!groups.leave(MDNS_GROUP_V6));
    groups.join(MDNS_GROUP_V6.into())?;
    assert_eq!(lost(&groups)?, [Ipv6Addr::UNSPECIFIED; 0]);
    assert_eq!(joined(LINK)?, ["ff02::fb", "224.0.0.251"]);
    Ok(())
}

fn a_link_that_has_gone() -> Outcome {
    let node = lonely()?;
    let _inside = node.enter()?;
    let mut groups = LinkGroups::new(node.ifindex(LINK)?)?;
    node.delete_link(LINK)?;
    for group in Services::default().groups() {
        let error = groups.join(group).unwrap_err();
        assert!(matches!(error, GroupError::NoLink { .. }), "{error:?}");
        let version = if group.is_ipv4() { "IPv4" } else { "IPv6" };
        assert!(error.to_string().contains(version), "{error}");
    }
    assert!(groups.is_empty());
    Ok(())
}

fn a_reserved_port_is_silent() -> Outcome {
    let mut scene = Scene::new()?;
    let port = {
        let _inside = scene.dut.enter()?;
        let port = ReservedPort::take()?;
        for any in ["0.0.0.0", "::"] {
            let taken = UdpSocket::bind((any, port.number())).unwrap_err();
            assert_eq!(taken.kind(), io::ErrorKind::AddrInUse);
        }
        port
    };
    scene.socket =
        open(&scene.dut, Services { replies: Some(port.number()), ..Services::default() })?;
    let _inside = scene.peer_node.enter()?;
    for (dut, any) in [("192.0.2.1", "0.0.0.0"), ("2001:db8::1", "::")] {
        let answers = UdpSocket::bind((any, 5353))?;
        answers.connect((dut, port.number()))?;
        answers.send(b"an answer")?;
        let frames = scene.receive(1)?;
        assert_eq!(whole(&frames[0])?.payload, b"an answer");
        // That a port is closed is told by then, if it is.
        let stranger = UdpSocket::bind((any, 0))?;
        stranger.set_read_timeout(Some(LIMIT))?;
        stranger.connect((dut, port.number() ^ 1))?;
        stranger.send(b"to nobody")?;
        let refused = stranger.recv(&mut [0; 1]).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
        assert!(answers.take_error()?.is_none());
    }
    Ok(())
}

fn a_tunnel() -> Outcome {
    let node = Node::switch("dut")?;
    let tun = node.add_tun(LINK)?;
    node.set_up(LINK)?;
    let ifindex = node.ifindex(LINK)?;
    let _inside = node.enter()?;
    let purpose = Purpose::Services(Services::default());
    let options = SocketOptions { framing: Framing::Bare, purpose, ..SocketOptions::default() };
    let socket = PacketSocket::open(ifindex, &options)?;
    for (family, _) in groups() {
        let mut packet = Vec::new();
        datagram(family, b"through the tunnel").emit_bare(&mut packet);
        tun.send(&packet)?;
        let frames = receive(&socket, 1)?;
        assert_eq!(frames, [packet.clone()]);
        let Received::Whole(read) = Received::parse_bare(&frames[0])? else { panic!("a fragment") };
        assert_eq!(read.payload, b"through the tunnel");

        assert_eq!(send(&socket, &packet), Sent { sent: 1, ..Sent::default() });
        wait_readable(&tun)?;
        let mut buffer = vec![0; 2048];
        let length = tun.receive(&mut buffer)?.ok_or("no packet")?;
        assert_eq!(&buffer[..length], packet);
    }
    Ok(())
}

fn ipv4_addresses() -> Outcome {
    let node = lonely()?;
    let _inside = node.enter()?;
    let ifindex = node.ifindex(LINK)?;
    let mut monitor = Monitor::open(&[])?;
    monitor.join(Group::Ipv4Address)?;
    let mut next = || -> Result<Event, Box<dyn Error>> {
        wait_readable(&monitor)?;
        let mut events = Vec::new();
        monitor.read(|event| events.push(event))?;
        match events.as_slice() {
            [event] => Ok(event.clone()),
            other => Err(format!("not one event: {other:?}").into()),
        }
    };
    let address = Ipv4Addr::new(192, 0, 2, 1);
    let mut kernel = Connection::open()?;
    for prefix_len in [24, 32] {
        let event = Ipv4AddressEvent { ifindex, address, prefix_len };
        node.add_address4(LINK, address, prefix_len)?;
        assert_eq!(next()?, Event::Ipv4Address(Change::Present(event)));
        assert!(kernel.ipv4_addresses()?.contains(&event));
    }
    for prefix_len in [32, 24] {
        let event = Ipv4AddressEvent { ifindex, address, prefix_len };
        node.execute("take an address away", |batch| {
            batch.delete_address4(ifindex, address, prefix_len);
        })?;
        assert_eq!(next()?, Event::Ipv4Address(Change::Absent(event)));
        assert!(!kernel.ipv4_addresses()?.contains(&event));
    }
    Ok(())
}

/// Two nodes on a cable, with addresses of both families: one has the socket under test, programs
/// on the other speak.
struct Scene {
    dut: Node,
    socket: PacketSocket,
    peer_node: Node,
    peer: LinkSocket,
}

impl Scene {
    fn new() -> Result<Self, Box<dyn Error>> {
        let (dut, peer_node) = (Node::new("dut")?, Node::new("peer")?);
        connect(&dut.plug(LINK), &peer_node.plug(LINK).lladdr(PEER))?;
        for (node, number) in [(&dut, 1), (&peer_node, 2)] {
            node.add_address4(LINK, Ipv4Addr::new(192, 0, 2, number), 24)?;
            let address = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, number.into());
            node.add_address_nodad(LINK, address, 64)?;
        }
        let socket = open(&dut, Services::default())?;
        let peer = {
            let _inside = peer_node.enter()?;
            LinkSocket::open(peer_node.ifindex(LINK)?)?
        };
        let scene = Self { dut, socket, peer_node, peer };
        scene.wait_carrier()?;
        scene.peer_node.wait_link_local(LINK, LIMIT)?;
        scene.dut.wait_link_local(LINK, LIMIT)?;
        Ok(scene)
    }

    fn wait_carrier(&self) -> Outcome {
        for node in [&self.dut, &self.peer_node] {
            node.wait_link(LINK, LIMIT, "carrier", |link| link.carrier.then_some(()))?;
        }
        Ok(())
    }

    /// A program on the other node.
    fn program(&self, family: IpAddr) -> Result<UdpSocket, Box<dyn Error>> {
        program(&self.peer_node, family)
    }

    fn receive(&self, count: usize) -> Result<Vec<Vec<u8>>, Box<dyn Error>> {
        receive(&self.socket, count)
    }

    /// Waits for a datagram to port 5353 at the other node that did not come from there.
    fn receive_at_peer(&self) -> Result<Vec<u8>, Box<dyn Error>> {
        loop {
            wait_readable(&self.peer)?;
            let mut buffer = vec![0; 16_384];
            let Some(info) = self.peer.receive(&mut buffer)? else { continue };
            buffer.truncate(info.len);
            if !info.outgoing && whole(&buffer).is_ok_and(|read| read.destination.port() == 5353) {
                return Ok(buffer);
            }
        }
    }
}

/// A node with a link that has no addresses, and no cable to anybody who speaks.
fn lonely() -> Result<Node, Box<dyn Error>> {
    let node = Node::switch("dut")?;
    node.add_bridge(&magpie_testnet::Bridge::new(LINK))?;
    node.set_conf(LINK, "disable_ipv6", 0)?;
    Ok(node)
}

fn groups() -> [(IpAddr, SocketAddr); 2] {
    [
        (IpAddr::V4(MDNS_GROUP_V4), SocketAddrV4::new(MDNS_GROUP_V4, 5353).into()),
        (IpAddr::V6(MDNS_GROUP_V6), SocketAddrV6::new(MDNS_GROUP_V6, 5353, 0, 0).into()),
    ]
}

/// A socket as programs have it.
fn program(node: &Node, family: IpAddr) -> Result<UdpSocket, Box<dyn Error>> {
    let _inside = node.enter()?;
    Ok(match family {
        IpAddr::V4(_) => {
            let own = node.name() == "dut";
            UdpSocket::bind((Ipv4Addr::new(192, 0, 2, if own { 1 } else { 2 }), 0))?
        }
        IpAddr::V6(_) => {
            let own = node.wait_link_local(LINK, LIMIT)?;
            UdpSocket::bind(SocketAddrV6::new(own, 0, 0, node.ifindex(LINK)?))?
        }
    })
}

fn datagram(group: IpAddr, payload: &[u8]) -> Datagram<'_> {
    let source = match group {
        IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::new(192, 0, 2, 2)),
        IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 2)),
    };
    Datagram {
        ethernet_source: PEER,
        ethernet_destination: group_lladdr(group),
        source: (source, 5353).into(),
        destination: (group, 5353).into(),
        hop_limit: 255,
        payload,
    }
}

/// The same as a frame.
fn compose(group: IpAddr, payload: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    datagram(group, payload).emit(&mut frame);
    frame
}

fn whole(frame: &[u8]) -> Result<Datagram<'_>, Box<dyn Error>> {
    match Received::parse(frame)? {
        Received::Whole(datagram) => Ok(datagram),
        Received::Fragment(_) => Err("a fragment".into()),
    }
}

fn open(node: &Node, services: Services) -> Result<PacketSocket, Box<dyn Error>> {
    let _inside = node.enter()?;
    let purpose = Purpose::Services(services);
    let options = SocketOptions { purpose, ..SocketOptions::default() };
    Ok(PacketSocket::open(node.ifindex(LINK)?, &options)?)
}

/// Waits for as many frames, and returns them with those that came with the last.
fn receive(socket: &PacketSocket, count: usize) -> Result<Vec<Vec<u8>>, Box<dyn Error>> {
    let mut batch = RecvBatch::for_datagrams();
    let mut frames = Vec::new();
    while frames.len() < count {
        wait_readable(socket)?;
        frames.extend(batch.receive(socket)?.map(|frame| frame.bytes.to_vec()));
    }
    Ok(frames)
}

fn wait_readable(fd: impl AsFd) -> Outcome {
    let mut poller = Poller::new()?;
    poller.add(fd, 0, Interest::Read)?;
    let mut ready = Vec::new();
    let patience = u64::try_from(LIMIT.as_nanos())?;
    poller.wait(&mut ready, Some(boottime_ns() + patience))?;
    if ready.is_empty() { Err("nothing was received".into()) } else { Ok(()) }
}

/// The groups of services that the kernel is in on a link, those of IPv6 first.
fn joined(link: &str) -> Result<Vec<&'static str>, Box<dyn Error>> {
    let ipv6 = fs::read_to_string("/proc/thread-self/net/igmp6")?;
    let has6 = |octets: &str| {
        ipv6.lines().any(|line| {
            let mut words = line.split_whitespace().skip(1);
            words.next() == Some(link) && words.next() == Some(octets)
        })
    };
    let ipv4 = fs::read_to_string("/proc/thread-self/net/igmp")?;
    // The link has a line of its own, and a line for each group follows it.
    let mut is_here = false;
    let mut here = Vec::new();
    for line in ipv4.lines().skip(1) {
        if line.starts_with(|first: char| first.is_ascii_digit()) {
            is_here = line.split_whitespace().nth(1) == Some(link);
        } else if is_here {
            here.extend(line.split_whitespace().next());
        }
    }
    let mut found = Vec::new();
    found.extend(has6("ff02000000000000000000000000000c").then_some("ff02::c"));
    found.extend(has6("ff0200000000000000000000000000fb").then_some("ff02::fb"));
    // As the machine, which is little-endian here or not, holds them.
    for (name, group) in [
        ("224.0.0.251", Ipv4Addr::new(224, 0, 0, 251)),
        ("239.255.255.250", Ipv4Addr::new(239, 255, 255, 250)),
    ] {
        let number = format!("{:08X}", u32::from_ne_bytes(group.octets()));
        found.extend(here.contains(&number.as_str()).then_some(name));
    }
    Ok(found)
}

const LINK: &str = "eth0";
const PEER: LinkAddr = LinkAddr([2, 0, 0, 0, 0, 2]);
const LIMIT: Duration = Duration::from_secs(5);
