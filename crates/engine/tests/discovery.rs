//! A relay that does not work on Neighbor Discovery leaves it alone, and begins and ends to work on
//! it while it runs.

use std::collections::BTreeSet;
use std::net::Ipv6Addr;
use std::time::Duration;

use magpie_engine::{
    Config, Engine, Input, Instant, KernelEvent, KernelOp, LinkId, LinkInfo, Member, Output,
};
use magpie_wire::{Advert, LinkAddr, Message, Packet, Solicit, multicast_lladdr, solicited_node};

const UP: LinkId = LinkId(2);
const DN: LinkId = LinkId(3);
const OWN_UP: LinkAddr = LinkAddr([2, 0, 0, 0, 0, 0x10]);
const OWN_DN: LinkAddr = LinkAddr([2, 0, 0, 0, 0, 0x11]);
const ROUTER: LinkAddr = LinkAddr([2, 0, 0, 0, 0, 0x01]);
const HOST: LinkAddr = LinkAddr([2, 0, 0, 0, 0, 0x21]);
const X: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, 0x21);

/// An engine and the kernel that it works on.
struct Rig {
    engine: Engine,
    now: Instant,
    sent: Vec<&'static str>,
    requests: usize,
    routes: BTreeSet<(Ipv6Addr, LinkId)>,
    groups: BTreeSet<(LinkId, Ipv6Addr)>,
}

impl Rig {
    fn new(neighbor_discovery: bool) -> Self {
        let now = Instant::ZERO + Duration::from_secs(1_000);
        let config = Config { neighbor_discovery, ..Config::default() };
        let mut rig = Self {
            engine: Engine::new(config, 1, now),
            now,
            sent: Vec::new(),
            requests: 0,
            routes: BTreeSet::new(),
            groups: BTreeSet::new(),
        };
        rig.dump();
        rig
    }

    fn dump(&mut self) {
        self.kernel(KernelEvent::Overrun);
        for (link, member, lladdr) in [(UP, 0, OWN_UP), (DN, 1, OWN_DN)] {
            let (member, lladdr) = (Member(member), Some(lladdr));
            let info = LinkInfo { member, lladdr, running: true, mtu: 1500 };
            self.kernel(KernelEvent::Link { link, info });
        }
        for (link, address) in [(UP, "fe80::10/64"), (UP, "2001:db8:1::10/64"), (DN, "fe80::11/64")]
        {
            let address = address.parse().expect("a literal prefix");
            self.kernel(KernelEvent::Address { link, address, tentative: false });
        }
        for (target, link) in self.routes.clone() {
            self.kernel(KernelEvent::Route { target, link: Some(link), own: true });
        }
        self.kernel(KernelEvent::Synced);
    }

    /// Takes over a configuration as the program does.
    fn configure(&mut self, neighbor_discovery: bool) {
        self.handle(Input::Kernel(KernelEvent::Overrun));
        let config = Config { neighbor_discovery, ..Config::default() };
        self.engine.reconfigure(config, &[(UP, Member(0)), (DN, Member(1))], self.now);
        self.drain();
        self.dump();
    }

    fn wait(&mut self, time: Duration) {
        let until = self.now + time;
        while let Some(wakeup) = self.engine.poll_timeout().filter(|wakeup| wakeup.at <= until) {
            self.now = wakeup.at;
            self.handle(Input::Timeout);
        }
        self.now = until;
    }

    /// Somebody asks for X, and X answers if it is asked.
    fn ask(&mut self) {
        let group = solicited_node(X);
        self.hear(
            UP,
            &Packet {
                ethernet_source: ROUTER,
                ethernet_destination: multicast_lladdr(group),
                source: Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1),
                destination: group,
                message: Message::Solicit(Solicit {
                    target: X,
                    source_lladdr: Some(ROUTER),
                    nonce: None,
                }),
            },
        );
        self.hear(
            DN,
            &Packet {
                ethernet_source: HOST,
                ethernet_destination: OWN_DN,
                source: X,
                destination: Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0x11),
                message: Message::Advert(Advert {
                    target: X,
                    router: false,
                    solicited: true,
                    overrides: true,
                    target_lladdr: Some(HOST),
                }),
            },
        );
    }

    fn hear(&mut self, link: LinkId, packet: &Packet<'_>) {
        let mut frame = vec![0; Packet::MAX_LEN];
        let length = packet.emit(&mut frame).expect("every frame fits");
        frame.truncate(length);
        self.handle(Input::Frame { link, bytes: &frame });
    }

    fn kernel(&mut self, event: KernelEvent) {
        self.handle(Input::Kernel(event));
    }

    fn handle(&mut self, input: Input<'_>) {
        self.engine.handle(input, self.now);
        self.drain();
    }

    fn drain(&mut self) {
        while let Some(output) = self.engine.poll_output() {
            match output {
                Output::Transmit(transmit) => self.sent.push(kind(transmit.packet.message)),
                Output::Kernel { request, op } => {
                    self.requests += 1;
                    self.carry_out(op);
                    self.engine.handle(Input::Ack { request, result: Ok(()) }, self.now);
                }
                Output::FindRoute { request, .. } => {
                    self.requests += 1;
                    self.engine.handle(Input::Route { request, route: None }, self.now);
                }
                Output::Datagram(_) | Output::Event(_) => {}
            }
        }
    }

    fn carry_out(&mut self, op: KernelOp) {
        match op {
            KernelOp::SetRoute { target, link } => {
                self.routes.insert((target, link));
            }
            KernelOp::DelRoute { target, link } => {
                self.routes.remove(&(target, link));
            }
            KernelOp::JoinGroup { link, group } => {
                self.groups.insert((link, group));
            }
            KernelOp::LeaveGroup { link, group } => {
                self.groups.remove(&(link, group));
            }
        }
    }

    /// Whether the engine works on Neighbor Discovery: X is found, told of and routed to.
    fn works(&mut self) -> bool {
        self.sent.clear();
        self.ask();
        self.wait(Duration::from_secs(3));
        let told = self.sent.contains(&"advertisement");
        let routed = self.routes.contains(&(X, DN));
        assert_eq!(told, routed, "{:?}", self.sent);
        routed
    }
}

fn kind(message: Message<'_>) -> &'static str {
    match message {
        Message::Solicit(_) => "solicitation",
        Message::Advert(_) => "advertisement",
        Message::MulticastRouterAdvert(_) => "router advertisement to switches",
        Message::MulticastRouterTermination => "farewell to switches",
        _ => "something else",
    }
}

#[test]
fn a_relay_for_names_alone_asks_answers_joins_and_routes_nothing() {
    let mut rig = Rig::new(false);
    rig.wait(Duration::from_secs(60));
    assert!(!rig.works());
    rig.kernel(KernelEvent::Miss { link: UP, target: X });
    let saved = Input::Restore { target: X, link: DN, lladdr: Some(HOST) };
    rig.handle(saved);
    rig.handle(Input::Resumed);
    assert_eq!(rig.engine.announce(None, rig.now), 0);
    rig.wait(Duration::from_secs(600));
    assert_eq!((rig.sent.as_slice(), rig.requests), (&[][..], 0));
    assert_eq!(rig.engine.bindings(rig.now).count(), 0);
    assert_eq!(rig.engine.poll_timeout(), None, "nothing to wake up for");
    rig.engine.release(DN, rig.now);
    rig.engine.shut_down();
    rig.drain();
    assert_eq!((rig.sent.as_slice(), rig.requests), (&[][..], 0));
}

#[test]
fn host_routes_of_another_process_are_left_alone() {
    let mut rig = Rig::new(false);
    rig.routes.insert((X, DN));
    rig.kernel(KernelEvent::Route { target: X, link: Some(DN), own: true });
    rig.dump();
    rig.wait(Duration::from_secs(600));
    rig.engine.shut_down();
    rig.drain();
    assert_eq!((rig.requests, rig.routes.len()), (0, 1));
}

#[test]
fn what_was_done_is_undone_when_the_configuration_ends_it() {
    let mut rig = Rig::new(true);
    rig.wait(Duration::from_secs(10));
    assert!(rig.works());
    assert!(!rig.groups.is_empty());
    rig.sent.clear();
    rig.configure(false);
    assert_eq!((rig.routes.len(), rig.groups.len()), (0, 0));
    assert_eq!(rig.sent, ["farewell to switches", "farewell to switches"]);
    rig.sent.clear();
    assert!(!rig.works());
    rig.wait(Duration::from_secs(600));
    assert_eq!(rig.sent, [""; 0]);
    assert_eq!(rig.engine.bindings(rig.now).count(), 0);
    assert_eq!(rig.engine.poll_timeout(), None, "nothing to wake up for");
}

#[test]
fn the_configuration_can_begin_it() {
    let mut rig = Rig::new(false);
    rig.wait(Duration::from_secs(10));
    rig.configure(true);
    rig.wait(Duration::from_secs(10));
    let own = solicited_node("2001:db8:1::10".parse().expect("a literal address"));
    assert!(rig.groups.contains(&(DN, own)), "{:?}", rig.groups);
    assert!(rig.sent.contains(&"router advertisement to switches"), "{:?}", rig.sent);
    assert!(rig.works());
}
