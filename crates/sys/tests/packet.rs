//! Checks packet sockets, batches and group memberships against the real kernel.
#![forbid(unsafe_code)]
#![expect(clippy::unwrap_used, reason = "a success where a failure is due ends the test")]

mod common;

use std::collections::BTreeSet;
use std::error::Error;
use std::fs;
use std::net::{Ipv6Addr, SocketAddrV6, UdpSocket};
use std::os::fd::AsFd;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use libtest_mimic::Arguments;
use magpie_sys::batch::{BATCH, RECEIVE_CAPACITY, RecvBatch, SEND_CAPACITY, SendBatch, Sent};
use magpie_sys::clock::boottime_ns;
use magpie_sys::group::{GroupError, Memberships};
use magpie_sys::link_socket::LinkSocket;
use magpie_sys::netlink::{LinkChange, LinkPlace, MacvlanMode, NewMacvlan};
use magpie_sys::packet::{LinkFault, PacketError, PacketSocket, SocketOptions, Statistics};
use magpie_sys::poller::{Interest, Poller};
use magpie_testnet::{Bridge, Node, connect, wait_for};
use magpie_wire::{
    LinkAddr, Message, OwnMessage, Packet, Solicit, multicast_lladdr, solicited_node,
};

use crate::common::{Outcome, chain, trial};

fn main() -> ExitCode {
    if let Err(error) = magpie_testnet::enter() {
        eprintln!("cannot run these tests: {}", chain(&error));
        return ExitCode::FAILURE;
    }
    let tests = vec![
        trial("a_solicitation_is_received_whole", a_solicitation_is_received_whole),
        trial("traffic_of_others_never_wakes_the_socket", traffic_of_others_never_wakes_the_socket),
        trial("lnk_02_a_frame_of_a_vlan_is_not_received", lnk_02_a_frame_of_a_vlan_is_not_received),
        trial("lnk_03_a_priority_tag_is_no_vlan", lnk_03_a_priority_tag_is_no_vlan),
        trial("own_frames_are_not_received_back", own_frames_are_not_received_back),
        trial("the_kernels_own_solicitation_is_seen", the_kernels_own_solicitation_is_seen),
        trial("the_kernels_own_unreachable_is_seen", the_kernels_own_unreachable_is_seen),
        trial("a_full_batch_leaves_in_order", a_full_batch_leaves_in_order),
        trial(
            "a_refused_frame_does_not_hold_up_the_rest",
            a_refused_frame_does_not_hold_up_the_rest,
        ),
        trial("lnk_04_a_long_frame_is_cut_and_its_length_known", lnk_04_a_long_frame_is_cut),
        trial("overflow_is_counted", overflow_is_counted),
        trial("overflow_is_told_once", overflow_is_told_once),
        trial("the_socket_works_again_after_the_link_was_down", works_again_after_down),
        trial("a_link_that_has_gone_is_told_from_one_that_is_down", a_link_that_has_gone),
        trial("mcl_10_all_multicast_is_received_also_after_down", mcl_10_all_multicast),
        trial("lnk_02_frames_for_other_stations_never_count", frames_for_other_stations),
        trial("a_socket_for_what_is_no_ethernet_link_is_refused", no_ethernet_link_is_refused),
        trial("mcl_05_thousands_of_groups_are_joined_and_left", mcl_05_thousands_of_groups),
        trial("groups_of_links_that_have_gone_are_forgotten", groups_of_links_that_have_gone),
    ];
    libtest_mimic::run(&Arguments::from_args(), tests).exit_code()
}

fn a_solicitation_is_received_whole() -> Outcome {
    let scene = Scene::new()?;
    let sent = solicitation(0x21)?;
    scene.peer.send(&sent)?;
    let received = scene.receive()?;
    assert_eq!(received, [Frame { length: sent.len(), outgoing: false, bytes: sent }]);
    Ok(())
}

fn traffic_of_others_never_wakes_the_socket() -> Outcome {
    let mut scene = Scene::new()?;
    // Handlers of a link run in the opposite order of their opening: what this one has received,
    // the socket under test has decided on.
    let witness = {
        let _inside = scene.dut.enter()?;
        LinkSocket::open(scene.ifindex)?
    };
    scene.socket = open_in(&scene.dut, scene.ifindex)?;

    let to_dut = scene.dut.lladdr(LINK)?;
    let elsewhere = LinkAddr([2, 0, 0, 0, 0, 0x99]);
    let mut not_for_us = solicitation(0x21)?;
    not_for_us.splice(..6, elsewhere.0);
    let mut ipv4 = ipv6(to_dut, 17, &[0; 20]);
    ipv4.splice(12..14, [0x08, 0x00]);
    let others = [
        ipv6(to_dut, 17, &[135; 100]),
        ipv6(to_dut, 6, &[135; 100]),
        ipv6(to_dut, 58, &[128, 0, 0, 0]),
        ipv6(to_dut, 58, &[137, 0, 0, 0]),
        not_for_us,
        ipv4,
    ];
    let marker = ipv6(to_dut, 17, b"the end");
    let mut buffer = [0; 2048];
    for _ in 0..FLOOD / others.len() {
        for frame in &others {
            scene.peer.send(frame)?;
        }
        // The witness must keep room for the marker.
        while witness.receive(&mut buffer)?.is_some() {}
    }
    scene.peer.send(&marker)?;
    wait_for(LIMIT, "the last frame at the witness", || {
        let info = witness.receive(&mut buffer).ok()??;
        (buffer.get(..info.len) == Some(marker.as_slice())).then_some(())
    })?;
    let mut poller = Poller::new()?;
    poller.add(&scene.socket, 0, Interest::Read)?;
    let mut ready = Vec::new();
    poller.wait(&mut ready, Some(0))?;
    assert_eq!(ready, []);
    assert_eq!(scene.socket.statistics()?, Statistics { queued: 0, dropped: 0 });
    Ok(())
}

fn lnk_02_a_frame_of_a_vlan_is_not_received() -> Outcome {
    let scene = Scene::new()?;
    let untagged = solicitation(0x21)?;
    for tags in [vec![0x8100_000a], vec![0x8100_e00a], vec![0x88a8_0000, 0x8100_0000]] {
        scene.peer.send(&tagged(&untagged, &tags))?;
    }
    let marker = solicitation(0x22)?;
    scene.peer.send(&marker)?;
    let received = scene.receive()?;
    assert_eq!(received, [Frame { length: marker.len(), outgoing: false, bytes: marker }]);
    Ok(())
}

fn lnk_03_a_priority_tag_is_no_vlan() -> Outcome {
    let scene = Scene::new()?;
    let untagged = solicitation(0x21)?;
    scene.peer.send(&tagged(&untagged, &[0x8100_e000]))?;
    let received = scene.receive()?;
    assert_eq!(received, [Frame { length: untagged.len(), outgoing: false, bytes: untagged }]);
    Ok(())
}

fn own_frames_are_not_received_back() -> Outcome {
    let scene = Scene::new()?;
    let sent = scene.send(&[solicitation(1)?, solicitation(2)?])?;
    assert_eq!(sent, Sent { sent: 2, ..Sent::default() });
    let marker = solicitation(3)?;
    scene.peer.send(&marker)?;
    let received = scene.receive()?;
    assert_eq!(received, [Frame { length: marker.len(), outgoing: false, bytes: marker }]);
    Ok(())
}

fn the_kernels_own_solicitation_is_seen() -> Outcome {
    let scene = Scene::with(Node::new("dut")?)?;
    let target = "2001:db8:1::22".parse()?;
    scene.dut.add_address_nodad(LINK, "2001:db8:1::1".parse()?, 64)?;
    let _inside = scene.dut.enter()?;
    let socket = UdpSocket::bind("[::]:0")?;
    socket.send_to(b"x", SocketAddrV6::new(target, 9, 0, 0))?;
    let expected = OwnMessage::Solicit { target, probe: false };
    scene.receive_own(expected)
}

fn the_kernels_own_unreachable_is_seen() -> Outcome {
    let scene = Scene::with(Node::new("dut")?)?;
    let asker = "2001:db8:1::2".parse()?;
    scene.dut.set_forwarding()?;
    scene.dut.add_address_nodad(LINK, "2001:db8:1::1".parse()?, 64)?;
    scene.dut.add_permanent_neighbor(LINK, asker, PEER)?;
    let target: Ipv6Addr = "2001:db8:9::22".parse()?;
    let mut packet = ipv6(scene.dut.lladdr(LINK)?, 17, &[0, 9, 0, 9, 0, 8, 0, 0]);
    packet.splice(22..54, [asker.octets(), target.octets()].concat());
    scene.peer.send(&packet)?;
    scene.receive_own(OwnMessage::Unreachable { target })
}

fn a_full_batch_leaves_in_order() -> Outcome {
    let scene = Scene::new()?;
    let frames: Vec<Vec<u8>> =
        (1..=BATCH as u128).map(solicitation).collect::<Result<_, Box<dyn Error>>>()?;
    let sent = scene.send(&frames)?;
    assert_eq!(sent, Sent { sent: BATCH as u64, ..Sent::default() });
    for expected in &frames {
        assert_eq!(&scene.receive_at_peer()?, expected);
    }
    Ok(())
}

fn a_refused_frame_does_not_hold_up_the_rest() -> Outcome {
    let scene = Scene::new()?;
    let too_long = ipv6(PEER, 17, &[0; SEND_CAPACITY - 54]);
    let largest = ipv6(PEER, 17, &[1; 1500 - 40]);
    let (first, last) = (solicitation(1)?, solicitation(2)?);
    let sent = scene.send(&[first.clone(), too_long, Vec::new(), largest.clone(), last.clone()])?;
    assert_eq!(sent, Sent { sent: 3, refused: 2, ..Sent::default() });
    assert_eq!(sent.dropped(), 2);
    for expected in [first, largest, last] {
        assert_eq!(scene.receive_at_peer()?, expected);
    }
    Ok(())
}

fn lnk_04_a_long_frame_is_cut() -> Outcome {
    let scene = Scene::new()?;
    let jumbo = LinkChange { mtu: Some(9000), ..LinkChange::default() };
    for node in [&scene.dut, &scene.peer_node] {
        node.set_link(LINK, &jumbo)?;
    }
    let mut payload = vec![7; 4000];
    payload.splice(..4, [134, 0, 0, 0]);
    let frame = ipv6(scene.dut.lladdr(LINK)?, 58, &payload);
    scene.peer.send(&frame)?;
    let received = scene.receive()?;
    let bytes = frame.iter().copied().take(RECEIVE_CAPACITY).collect();
    assert_eq!(received, [Frame { length: frame.len(), outgoing: false, bytes }]);
    Ok(())
}

fn overflow_is_counted() -> Outcome {
    let scene = Scene::new()?;
    let frame = solicitation(0x21)?;
    let mut sent = 0;
    for _ in 0..2 * FLOOD {
        sent += u32::from(scene.peer.send(&frame).is_ok());
    }
    let (mut queued, mut dropped) = (0, 0);
    wait_for(LIMIT, "all frames to be counted", || {
        let counted = scene.socket.statistics().ok()?;
        queued += counted.queued;
        dropped += counted.dropped;
        (queued + dropped >= sent).then_some(())
    })?;
    assert_eq!(queued + dropped, sent);
    assert!(dropped > 0, "all of {sent} frames found room");
    assert!(queued > 100, "only {queued} frames found room");
    assert_eq!(scene.socket.statistics()?, Statistics::default());

    assert_eq!(scene.receive_all()?, (queued, dropped));
    Ok(())
}

fn overflow_is_told_once() -> Outcome {
    let scene = Scene::new()?;
    let frame = solicitation(0x21)?;
    // A burst that finds room, one that does not, and again one that does.
    for (burst, overflows) in [(2 * BATCH, false), (2 * FLOOD, true), (2 * BATCH, false)] {
        let mut sent = 0;
        for _ in 0..burst {
            sent += u32::from(scene.peer.send(&frame).is_ok());
        }
        let (mut received, mut lost) = (0, 0);
        wait_for(LIMIT, "all frames to be received or told of", || {
            let more = scene.receive_all().ok()?;
            received += more.0;
            lost += more.1;
            (received + lost >= sent).then_some(())
        })?;
        assert_eq!(received + lost, sent);
        assert_eq!(lost > 0, overflows, "{lost} of {sent} frames were lost");
        assert_eq!(scene.socket.statistics()?, Statistics { queued: received, dropped: lost });
    }
    // A frame that comes alone tells nothing of the past.
    scene.peer.send(&frame)?;
    wait_readable(&scene.socket)?;
    assert_eq!(scene.receive_all()?, (1, 0));
    Ok(())
}

fn works_again_after_down() -> Outcome {
    let scene = Scene::new()?;
    let frame = solicitation(0x21)?;
    scene.dut.set_down(LINK)?;
    let mut batch = RecvBatch::new();
    let fault = batch.receive(&scene.socket).map(|frames| frames.len()).unwrap_err();
    assert!(matches!(fault, LinkFault::Down { .. }), "{fault:?}");
    assert_eq!(batch.receive(&scene.socket)?.len(), 0);
    let sent = scene.send(&[frame.clone(), frame.clone()])?;
    assert_eq!(sent, Sent { link_down: 2, ..Sent::default() });

    scene.dut.set_up(LINK)?;
    scene.wait_carrier()?;
    scene.peer.send(&frame)?;
    let expected = Frame { length: frame.len(), outgoing: false, bytes: frame.clone() };
    assert_eq!(scene.receive()?, [expected]);

    // A fault that nobody has read yet does not stop frames after the link came back.
    scene.dut.set_down(LINK)?;
    scene.dut.set_up(LINK)?;
    scene.wait_carrier()?;
    let sent = scene.send(std::slice::from_ref(&frame))?;
    assert_eq!(sent, Sent { sent: 1, ..Sent::default() });
    assert_eq!(scene.receive_at_peer()?, frame);
    assert!(scene.socket.take_error().is_none());
    Ok(())
}

fn a_link_that_has_gone() -> Outcome {
    let scene = Scene::new()?;
    scene.dut.set_down(LINK)?;
    let fault = scene.socket.take_error();
    assert!(matches!(fault, Some(LinkFault::Down { .. })), "{fault:?}");
    scene.dut.set_up(LINK)?;

    scene.dut.delete_link(LINK)?;
    let fault = scene.socket.take_error();
    assert!(matches!(fault, Some(LinkFault::Gone { .. })), "{fault:?}");
    assert!(scene.socket.take_error().is_none());
    let sent = scene.send(&[solicitation(1)?])?;
    assert_eq!(sent, Sent { link_down: 1, ..Sent::default() });
    let error = open_in(&scene.dut, scene.ifindex).unwrap_err();
    let error = error.downcast::<PacketError>()?;
    assert!(matches!(*error, PacketError::NoLink { .. }), "{error:?}");
    Ok(())
}

fn mcl_10_all_multicast() -> Outcome {
    // Unlike a veth, a macvlan passes on only the groups that it was asked for.
    let scene = Scene::new()?;
    scene.dut.execute("add a macvlan", |batch| {
        batch.add_macvlan(&NewMacvlan {
            name: "mac",
            place: LinkPlace::default(),
            link: scene.ifindex,
            mode: MacvlanMode::Bridge,
        });
    })?;
    scene.dut.set_up("mac")?;
    let scene = scene.on("mac")?;
    for number in [0x0012_3456, 0x0065_4321] {
        let frame = solicitation(number)?;
        scene.peer.send(&frame)?;
        let received = scene.receive()?;
        assert_eq!(received, [Frame { length: frame.len(), outgoing: false, bytes: frame }]);
        scene.dut.set_down("mac")?;
        assert!(matches!(scene.socket.take_error(), Some(LinkFault::Down { .. })));
        scene.dut.set_up("mac")?;
    }
    Ok(())
}

fn frames_for_other_stations() -> Outcome {
    // A bridge passes what it knows no station for to all ports, and to itself only if it is to
    // receive everything.
    let scene = Scene::new()?;
    scene.dut.add_bridge(&Bridge::new("br"))?;
    scene.dut.set_bridge(LINK, Some("br"))?;
    let witness = {
        let _inside = scene.dut.enter()?;
        LinkSocket::open(scene.dut.ifindex("br")?)?
    };
    let mut scene = scene.on("br")?;
    let mut for_another = solicitation(0x21)?;
    for_another.splice(..6, [2, 0, 0, 0, 0, 0x99]);
    let marker = solicitation(0x22)?;
    let expected = Frame { length: marker.len(), outgoing: false, bytes: marker.clone() };
    let is_heard = |scene: &Scene| -> Result<bool, Box<dyn Error>> {
        scene.peer.send(&for_another)?;
        scene.peer.send(&marker)?;
        assert_eq!(scene.receive()?, std::slice::from_ref(&expected));
        let mut buffer = [0; 2048];
        let mut is_heard = false;
        wait_for(LIMIT, "the marker at the witness", || {
            let len = witness.receive(&mut buffer).ok()??.len;
            is_heard |= buffer.get(..len) == Some(for_another.as_slice());
            (buffer.get(..len) == Some(marker.as_slice())).then_some(())
        })?;
        Ok(is_heard)
    };
    assert!(!is_heard(&scene)?);
    scene.socket.set_promiscuous(true)?;
    scene.socket.set_promiscuous(true)?;
    assert!(is_heard(&scene)?);
    scene.socket.set_promiscuous(false)?;
    assert!(!is_heard(&scene)?);
    scene.socket = {
        let _inside = scene.dut.enter()?;
        let options = SocketOptions { promiscuous: true, ..SocketOptions::default() };
        PacketSocket::open(scene.ifindex, &options)?
    };
    assert!(is_heard(&scene)?);
    Ok(())
}

fn no_ethernet_link_is_refused() -> Outcome {
    let scene = Scene::new()?;
    let _inside = scene.dut.enter()?;
    let error = PacketSocket::open(1, &SocketOptions::default()).unwrap_err();
    assert!(matches!(error, PacketError::NotEthernet { hardware_type: 772, .. }), "{error:?}");
    for ifindex in [0, 12_345, u32::MAX] {
        let error = PacketSocket::open(ifindex, &SocketOptions::default()).unwrap_err();
        assert!(matches!(error, PacketError::NoLink { .. }), "{ifindex}: {error:?}");
    }
    Ok(())
}

fn mcl_05_thousands_of_groups() -> Outcome {
    let scene = Scene::with(Node::new("dut")?)?;
    let _inside = scene.dut.enter()?;
    let groups: Vec<Ipv6Addr> =
        (0..5000).map(|number| solicited_node(Ipv6Addr::from_bits(number))).collect();
    let mut memberships = Memberships::new();
    for group in &groups {
        assert!(memberships.join(scene.ifindex, *group)?);
        assert!(!memberships.join(scene.ifindex, *group)?);
    }
    assert_eq!(memberships.len(), groups.len());
    assert!(memberships.sockets() > 1, "one socket holds them all: the test proves too little");
    let wanted: BTreeSet<Ipv6Addr> = groups.iter().copied().collect();
    let missing = || Ok::<_, Box<dyn Error>>(wanted.difference(&kernel_groups(LINK)?).count());
    assert_eq!(missing()?, 0);

    // Leaving makes room in sockets that were full.
    let sockets = memberships.sockets();
    let (leaving, staying) = groups.split_at(2500);
    for group in leaving {
        assert!(memberships.leave(scene.ifindex, *group));
        assert!(!memberships.leave(scene.ifindex, *group));
    }
    assert_eq!(missing()?, leaving.len());
    assert!(memberships.groups(scene.ifindex).eq(staying.iter().copied()));
    for group in leaving {
        memberships.join(scene.ifindex, *group)?;
    }
    assert!(memberships.sockets() <= sockets);
    assert_eq!(missing()?, 0);

    memberships.leave_link(scene.ifindex);
    assert!(memberships.is_empty());
    assert_eq!(memberships.sockets(), 0);
    assert_eq!(missing()?, wanted.len());

    for group in leaving {
        memberships.join(scene.ifindex, *group)?;
    }
    assert_eq!(missing()?, staying.len());
    memberships.leave_all();
    assert_eq!((memberships.len(), memberships.sockets()), (0, 0));
    assert_eq!(missing()?, wanted.len());
    Ok(())
}

fn groups_of_links_that_have_gone() -> Outcome {
    let scene = Scene::with(Node::new("dut")?)?;
    let _inside = scene.dut.enter()?;
    let group = solicited_node("2001:db8::21".parse()?);
    let mut memberships = Memberships::new();
    memberships.join(scene.ifindex, group)?;
    scene.dut.delete_link(LINK)?;
    assert!(memberships.leave(scene.ifindex, group));
    assert_eq!(memberships.sockets(), 0);
    let error = memberships.join(scene.ifindex, group).unwrap_err();
    assert!(matches!(error, GroupError::NoLink { .. }), "{error:?}");
    assert!(memberships.is_empty());
    assert_eq!(memberships.sockets(), 0);
    Ok(())
}

/// Two nodes on a cable: the one with the socket under test, and a peer that sends anything.
struct Scene {
    dut: Node,
    ifindex: u32,
    socket: PacketSocket,
    peer_node: Node,
    peer: LinkSocket,
}

/// What [`magpie_sys::batch::Received`] says, kept.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Frame {
    bytes: Vec<u8>,
    length: usize,
    outgoing: bool,
}

impl Scene {
    /// Makes a scene in which no kernel sends anything.
    fn new() -> Result<Self, Box<dyn Error>> {
        Self::with(Node::switch("dut")?)
    }

    fn with(dut: Node) -> Result<Self, Box<dyn Error>> {
        let peer_node = Node::switch("peer")?;
        connect(&dut.plug(LINK), &peer_node.plug(LINK).lladdr(PEER))?;
        let ifindex = dut.ifindex(LINK)?;
        let socket = open_in(&dut, ifindex)?;
        let peer = {
            let _inside = peer_node.enter()?;
            LinkSocket::open(peer_node.ifindex(LINK)?)?
        };
        let scene = Self { dut, ifindex, socket, peer_node, peer };
        scene.wait_carrier()?;
        Ok(scene)
    }

    /// Goes on with a socket on another link of the same node.
    fn on(self, link: &str) -> Result<Self, Box<dyn Error>> {
        let ifindex = self.dut.ifindex(link)?;
        let socket = open_in(&self.dut, ifindex)?;
        Ok(Self { ifindex, socket, ..self })
    }

    fn wait_carrier(&self) -> Outcome {
        for node in [&self.dut, &self.peer_node] {
            node.wait_link(LINK, LIMIT, "carrier", |link| link.carrier.then_some(()))?;
        }
        Ok(())
    }

    /// Waits for frames, and receives one batch.
    fn receive(&self) -> Result<Vec<Frame>, Box<dyn Error>> {
        wait_readable(&self.socket)?;
        let mut batch = RecvBatch::new();
        let frames = batch.receive(&self.socket)?;
        Ok(frames
            .map(|frame| Frame {
                bytes: frame.bytes.to_vec(),
                length: frame.length,
                outgoing: frame.outgoing,
            })
            .collect())
    }

    /// Receives what is waiting; returns how many frames that were, and how many were lost.
    fn receive_all(&self) -> Result<(u32, u32), Box<dyn Error>> {
        let mut batch = RecvBatch::new();
        let (mut received, mut lost) = (0, 0);
        loop {
            let frames = batch.receive(&self.socket)?;
            received += u32::try_from(frames.len())?;
            lost += frames.lost();
            if !frames.is_full() {
                return Ok((received, lost));
            }
        }
    }

    /// Waits until the kernel of the socket's own node sends a given message.
    fn receive_own(&self, expected: OwnMessage) -> Outcome {
        let deadline = Instant::now() + LIMIT;
        let mut seen = Vec::new();
        while Instant::now() < deadline {
            for frame in self.receive()? {
                assert!(frame.outgoing, "{frame:?}");
                let message = OwnMessage::parse(&frame.bytes).ok_or("no such message")?;
                if message == expected {
                    return Ok(());
                }
                seen.push(message);
            }
        }
        Err(format!("awaited {expected:?}, saw {seen:?}").into())
    }

    /// Sends frames through the socket under test in one batch.
    fn send(&self, frames: &[Vec<u8>]) -> Result<Sent, Box<dyn Error>> {
        let mut batch = SendBatch::new();
        for frame in frames {
            let slot = batch.slot().ok_or("the batch has no room")?;
            slot.get_mut(..frame.len()).ok_or("the slot is too small")?.copy_from_slice(frame);
            batch.commit(frame.len());
        }
        let sent = batch.flush(&self.socket);
        assert!(batch.is_empty());
        Ok(sent)
    }

    /// Waits for the next frame at the peer.
    fn receive_at_peer(&self) -> Result<Vec<u8>, Box<dyn Error>> {
        wait_readable(&self.peer)?;
        let mut buffer = vec![0; 16_384];
        let info = self.peer.receive(&mut buffer)?.ok_or("no frame")?;
        buffer.truncate(info.len);
        Ok(buffer)
    }
}

fn open_in(node: &Node, ifindex: u32) -> Result<PacketSocket, Box<dyn Error>> {
    let _inside = node.enter()?;
    Ok(PacketSocket::open(ifindex, &SocketOptions::default())?)
}

fn wait_readable(fd: impl AsFd) -> Outcome {
    let mut poller = Poller::new()?;
    poller.add(fd, 0, Interest::Read)?;
    let mut ready = Vec::new();
    poller.wait(&mut ready, Some(boottime_ns() + PATIENCE))?;
    if ready.is_empty() { Err("nothing was received".into()) } else { Ok(()) }
}

/// A solicitation for the address with this number, sent to its group.
fn solicitation(number: u128) -> Result<Vec<u8>, Box<dyn Error>> {
    let target = Ipv6Addr::from_bits(0x2001_0db8 << 96 | number);
    let group = solicited_node(target);
    let packet = Packet {
        ethernet_source: PEER,
        ethernet_destination: multicast_lladdr(group),
        source: "fe80::2".parse()?,
        destination: group,
        message: Message::Solicit(Solicit { target, source_lladdr: Some(PEER), nonce: None }),
    };
    let mut buffer = vec![0; Packet::MAX_LEN];
    let length = packet.emit(&mut buffer)?;
    buffer.truncate(length);
    Ok(buffer)
}

/// A frame from the peer with any upper layer.
fn ipv6(destination: LinkAddr, next_header: u8, payload: &[u8]) -> Vec<u8> {
    let [high, low] = u16::try_from(payload.len()).unwrap_or(u16::MAX).to_be_bytes();
    let mut frame = [destination.0, PEER.0].concat();
    frame.extend([0x86, 0xdd, 0x60, 0, 0, 0, high, low, next_header, 64]);
    frame.extend([0xfe; 32]);
    frame.extend(payload);
    frame
}

/// The same frame with VLAN tags, given as type and control information.
fn tagged(frame: &[u8], tags: &[u32]) -> Vec<u8> {
    let mut tagged = frame.to_vec();
    let octets: Vec<u8> = tags.iter().flat_map(|tag| tag.to_be_bytes()).collect();
    tagged.splice(12..12, octets);
    tagged
}

/// The groups that the kernel of the calling thread's namespace has joined on a link.
fn kernel_groups(link: &str) -> Result<BTreeSet<Ipv6Addr>, Box<dyn Error>> {
    let mut groups = BTreeSet::new();
    for line in fs::read_to_string("/proc/thread-self/net/igmp6")?.lines() {
        let mut words = line.split_whitespace().skip(1);
        if words.next() == Some(link) {
            let group = words.next().ok_or("a line without a group")?;
            groups.insert(Ipv6Addr::from_bits(u128::from_str_radix(group, 16)?));
        }
    }
    Ok(groups)
}

const LINK: &str = "eth0";

const PEER: LinkAddr = LinkAddr([2, 0, 0, 0, 0, 2]);

const LIMIT: Duration = Duration::from_secs(10);

/// The same in nanoseconds.
const PATIENCE: u64 = 10_000_000_000;

/// Enough to overflow any buffer of a socket that lets them in.
const FLOOD: usize = 12_000;
