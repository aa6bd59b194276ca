//! What holds for any inputs at all. The tester checks it after each output; here it is fed with
//! everything that can happen, in random order.

use std::collections::BTreeSet;
use std::net::Ipv6Addr;
use std::time::Duration;

use magpie_engine::{
    Announce, BindingState, BindingView, Config, Discard, Evidence, Input, KernelEvent, Limits,
    LinkConfig, LinkId, Prefixes, RouteView,
};
use magpie_wire::{LinkAddr, solicited_node};
use proptest::prelude::*;

use crate::bench::Bench;
use crate::frame::{Frame, dad, data, na, ns, query, ra, report, router_search, rs, unreachable};
use crate::names::{DN, MA, MB, MC, THIRD, TUN, UP, link_local, mac, p};
use crate::text;

/// Few enough that the caps are met, many enough that they are not all that is met.
const LIMITS: Limits = Limits {
    bindings: 12,
    bindings_per_link: 8,
    bindings_per_lladdr: 5,
    unverified_per_link: 8,
    kernel_resolutions_per_link: 3,
    groups_per_link: 1_000,
    resolutions_per_link: 4,
    held_down: 6,
    seen: 6,
    solicits_per_second: 20,
    probes_per_second: 30,
    joins_per_second: 6,
};

#[derive(Clone, Debug)]
enum Step {
    Frame {
        link: LinkId,
        frame: Frame,
    },
    /// A frame with octets changed.
    Mutated {
        link: LinkId,
        frame: Frame,
        changes: Vec<(usize, u8)>,
    },
    /// A frame that the engine sent itself comes back.
    Echo {
        link: LinkId,
        which: usize,
    },
    Outgoing {
        link: LinkId,
        frame: Frame,
    },
    Host {
        target: u16,
        link: LinkId,
        lladdr: u8,
    },
    PowerOff {
        target: u16,
    },
    Link {
        link: LinkId,
        running: bool,
    },
    LinkGone {
        link: LinkId,
    },
    Address {
        link: LinkId,
        suffix: u16,
        tentative: bool,
    },
    AddressGone {
        link: LinkId,
        suffix: u16,
    },
    Foreign {
        target: u16,
        link: LinkId,
    },
    ForeignGone {
        target: u16,
    },
    RouteGone {
        target: u16,
    },
    Miss {
        link: LinkId,
        target: u16,
    },
    ProxyNeighbor {
        link: LinkId,
        target: u16,
    },
    Restore {
        link: LinkId,
        target: u16,
        lladdr: Option<u8>,
    },
    /// A link gets another link-layer address.
    Relink {
        link: LinkId,
        lladdr: u8,
    },
    Release {
        link: LinkId,
    },
    Report {
        link: LinkId,
        lladdr: u8,
    },
    Announce,
    Resume(u64),
    RefuseJoins,
    Resync,
    HoldAcks,
    Ack,
    Refuse,
    Reconfigure {
        narrow: bool,
    },
    Wait(u64),
}

fn link() -> impl Strategy<Value = LinkId> {
    prop_oneof![4 => Just(UP), 4 => Just(DN), 1 => Just(THIRD), 3 => Just(TUN)]
}

/// Addresses of hosts, and now and then one of ours.
fn target() -> impl Strategy<Value = u16> {
    prop_oneof![8 => 0x20..0x30_u16, 1 => 0x10..0x13_u16]
}

fn frame() -> impl Strategy<Value = Frame> {
    let lladdr = || prop_oneof![9 => 0x20..0x28_u8, 1 => 0x10..0x13_u8].prop_map(mac);
    let flags = prop::sample::select(vec!["", "S", "O", "SO", "RSO"]);
    prop_oneof![
        4 => (target(), lladdr(), any::<bool>(), target()).prop_map(
            |(target, lladdr, unicast, source)| {
                let source = if source & 1 == 0 { p(source) } else { link_local(source) };
                let frame = ns(p(target)).by(lladdr, source);
                if unicast { frame.unicast(MA) } else { frame }
            }
        ),
        4 => (target(), lladdr(), 0..4_u8).prop_map(|(target, lladdr, nonce)| {
            let frame = dad(p(target), lladdr);
            if nonce == 0 { frame } else { frame.nonce(nonce) }
        }),
        6 => (target(), lladdr(), flags, any::<bool>()).prop_map(
            |(target, lladdr, flags, with_lladdr)| {
                let frame = na(p(target), lladdr).flags(flags);
                let frame = if with_lladdr { frame } else { frame.bare() };
                if flags.contains('S') { frame } else { frame.for_all() }
            }
        ),
        1 => (target(), lladdr()).prop_map(|(source, lladdr)| rs(p(source), lladdr)),
        1 => (0..3_u32).prop_map(|valid| ra(p(0), valid * 20, 0)),
        1 => Just(query()),
        1 => Just(router_search()),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let change = prop::collection::vec((0..100_usize, any::<u8>()), 1..4);
    prop_oneof![
        40 => (link(), frame()).prop_map(|(link, frame)| Step::Frame { link, frame }),
        3 => (link(), frame(), change)
            .prop_map(|(link, frame, changes)| Step::Mutated { link, frame, changes }),
        4 => (link(), any::<usize>()).prop_map(|(link, which)| Step::Echo { link, which }),
        2 => (link(), target())
            .prop_map(|(link, target)| Step::Outgoing { link, frame: ns(p(target)) }),
        1 => (link(), target())
            .prop_map(|(link, target)| Step::Outgoing { link, frame: unreachable(p(target), 3) }),
        2 => target()
            .prop_map(|target| Step::Outgoing { link: TUN, frame: data(p(target)) }),
        8 => (target(), link(), 0x20..0x28_u8)
            .prop_map(|(target, link, lladdr)| Step::Host { target, link, lladdr }),
        4 => target().prop_map(|target| Step::PowerOff { target }),
        2 => (link(), any::<bool>()).prop_map(|(link, running)| Step::Link { link, running }),
        1 => link().prop_map(|link| Step::LinkGone { link }),
        2 => (link(), 0x10..0x13_u16, any::<bool>())
            .prop_map(|(link, suffix, tentative)| Step::Address { link, suffix, tentative }),
        1 => (link(), 0x10..0x13_u16)
            .prop_map(|(link, suffix)| Step::AddressGone { link, suffix }),
        1 => (target(), link()).prop_map(|(target, link)| Step::Foreign { target, link }),
        1 => target().prop_map(|target| Step::ForeignGone { target }),
        1 => target().prop_map(|target| Step::RouteGone { target }),
        3 => (link(), target()).prop_map(|(link, target)| Step::Miss { link, target }),
        1 => (link(), target())
            .prop_map(|(link, target)| Step::ProxyNeighbor { link, target }),
        1 => (link(), target(), prop::option::of(0x10..0x28_u8))
            .prop_map(|(link, target, lladdr)| Step::Restore { link, target, lladdr }),
        1 => (link(), 0x40..0x43_u8).prop_map(|(link, lladdr)| Step::Relink { link, lladdr }),
        1 => link().prop_map(|link| Step::Release { link }),
        2 => (link(), 0x20..0x28_u8).prop_map(|(link, lladdr)| Step::Report { link, lladdr }),
        1 => Just(Step::Announce),
        1 => prop_oneof![2_000..9_000_u64, 100_000..900_000_u64].prop_map(Step::Resume),
        1 => Just(Step::RefuseJoins),
        1 => Just(Step::Resync),
        2 => Just(Step::HoldAcks),
        3 => Just(Step::Ack),
        1 => Just(Step::Refuse),
        1 => any::<bool>().prop_map(|narrow| Step::Reconfigure { narrow }),
        30 => prop_oneof![0..50_u64, 200..1_100_u64, 10_000..90_000_u64].prop_map(Step::Wait),
    ]
}

fn config() -> Config {
    let told = LinkConfig { announce: Announce::Hosts, ..LinkConfig::default() };
    Config { limits: LIMITS, links: vec![told], ..Config::default() }
}

fn carry_out(bench: &mut Bench, step: &Step) {
    match step {
        Step::Frame { link, frame } => bench.hear(*link, frame),
        Step::Mutated { link, frame, changes } => {
            let mut bytes = frame.bytes();
            for (at, octet) in changes {
                let at = at % bytes.len();
                bytes[at] ^= octet;
            }
            bench.hear_bytes(*link, &bytes);
        }
        Step::Echo { link, which } => {
            let sent = bench.frames();
            if !sent.is_empty() {
                let (_, bytes) = sent[which % sent.len()].clone();
                bench.hear_bytes(*link, &bytes);
            }
        }
        Step::Outgoing { link, frame } => bench.kernel_sends(*link, frame),
        Step::Host { target, link, lladdr } => {
            bench.power_off(p(*target));
            bench.host(p(*target), *link, mac(*lladdr));
        }
        Step::PowerOff { target } => bench.power_off(p(*target)),
        Step::Link { link, running } => {
            let lladdr = match *link {
                UP => MA,
                DN => MB,
                _ => MC,
            };
            set_link(bench, *link, lladdr, *running);
        }
        Step::LinkGone { link } => bench.link_gone(*link),
        Step::Relink { link, lladdr } => set_link(bench, *link, mac(*lladdr), true),
        Step::Release { link } => bench.release(*link),
        Step::Report { link, lladdr } => bench.hear(*link, &report(mac(*lladdr))),
        Step::Announce => {
            bench.announce(None);
        }
        Step::Resume(pause) => bench.resume_after(Duration::from_millis(*pause)),
        Step::RefuseJoins => bench.refuse_joins(Some(105)),
        Step::Address { link, suffix, tentative } if bench.has_link(*link) => {
            let address =
                format!("{}/64", if link.0 % 2 == 0 { p(*suffix) } else { link_local(*suffix) });
            bench.address_in_state(*link, &address, *tentative);
        }
        Step::AddressGone { link, suffix } => {
            bench.address_gone(*link, p(*suffix));
            bench.address_gone(*link, link_local(*suffix));
        }
        Step::Foreign { target, link } => bench.foreign_route(p(*target), *link),
        Step::ForeignGone { target } => bench.foreign_route_gone(p(*target)),
        Step::RouteGone { target } => bench.route_gone(p(*target)),
        Step::Miss { link, target } => {
            bench.kernel(KernelEvent::Miss { link: *link, target: p(*target) });
        }
        Step::ProxyNeighbor { link, target } => {
            bench.kernel(KernelEvent::ProxyNeighbor { link: *link, target: p(*target) });
        }
        Step::Restore { link, target, lladdr } => bench.handle(Input::Restore {
            target: p(*target),
            link: *link,
            lladdr: lladdr.map(mac),
        }),
        Step::Resync => bench.resync(),
        Step::HoldAcks => bench.hold_acks(),
        Step::Ack => {
            bench.refuse_joins(None);
            bench.ack();
        }
        Step::Refuse => bench.refuse_routes(28),
        Step::Reconfigure { narrow } => {
            let prefixes = if *narrow {
                Prefixes::only(vec!["2001:db8:1::20/125".parse().expect("a literal prefix")])
            } else {
                Prefixes::default()
            };
            bench.reconfigure(Config { prefixes, ..config() });
        }
        Step::Wait(milliseconds) => bench.advance(Duration::from_millis(*milliseconds)),
        Step::Address { .. } => {}
    }
}

/// What kind of link it is never changes.
fn set_link(bench: &mut Bench, link: LinkId, lladdr: LinkAddr, running: bool) {
    if link == TUN {
        bench.bare_link(TUN, running);
    } else {
        bench.link(link, lladdr, running);
    }
}

fn check_caps(bench: &Bench) {
    let bindings: Vec<_> = bench.engine.bindings(bench.now).collect();
    assert!(bindings.len() <= LIMITS.bindings, "{} bindings", bindings.len());
    let unknown = 4 * (LIMITS.resolutions_per_link + LIMITS.kernel_resolutions_per_link);
    assert!(bench.engine.resolutions() <= unknown + LIMITS.bindings);
    assert!(bench.engine.held_down() <= LIMITS.held_down);
}

/// Once all is quiet, what the engine believes and what the kernel has are the same.
fn check_end(bench: &mut Bench) {
    bench.refuse_joins(None);
    bench.ack();
    // Joins that were refused again and again are tried after a minute.
    bench.advance(Duration::from_secs(90));
    let bindings: Vec<_> = bench.engine.bindings(bench.now).collect();
    for binding in &bindings {
        let has = bench.routes.get(&binding.target);
        match binding.route {
            RouteView::Installed => assert!(has.is_some(), "{} has no route", binding.target),
            RouteView::None => assert_eq!(has, None, "{} has a route", binding.target),
            RouteView::Pending | RouteView::Foreign => {}
        }
        if binding.state == BindingState::Reachable && binding.route == RouteView::Installed {
            assert_eq!(has, Some(&binding.link), "the route to {} leads astray", binding.target);
        }
    }
    let is_known = |target: &Ipv6Addr| bindings.iter().any(|binding| binding.target == *target);
    assert!(bench.routes.keys().all(is_known), "routes without bindings: {:?}", bench.routes);
    let mut groups = BTreeSet::new();
    // Hearsay joins nothing, but for duplicate address detection, which is passed on.
    let joined = |view: &&BindingView| view.confirmed.is_some() || view.evidence == Evidence::Dad;
    let with_groups: Vec<_> = bench.links().filter(|link| !bench.is_bare(*link)).collect();
    for link in with_groups {
        let targets = bindings.iter().filter(joined).map(|view| view.target);
        groups.extend(targets.map(|target| (link, solicited_node(target))));
        let own =
            bench.own_addresses().filter(|(on, own)| *on != link && !own.is_unicast_link_local());
        groups.extend(own.map(|(_, own)| (link, solicited_node(own))));
    }
    // Of hosts that somebody's route says to be in the tunnel, those within the subnet.
    let is_routed = |(link, group): &&(LinkId, Ipv6Addr)| {
        *link != TUN
            && bench.foreign.iter().any(|(at, to)| *to == TUN && solicited_node(*at) == *group)
    };
    groups.extend(bench.groups.iter().filter(is_routed));
    assert_eq!(bench.groups, groups, "memberships");
    bench.shut_down();
    assert!(bench.routes.is_empty(), "{:?}", bench.routes);
    assert!(bench.groups.is_empty(), "{:?}", bench.groups);
}

/// Whatever has happened: once the network is whole again, every host that lives is found.
fn check_recovery(bench: &mut Bench) {
    for (link, lladdr, address) in
        [(UP, MA, "fe80::10/64"), (DN, MB, "fe80::11/64"), (THIRD, MC, "fe80::12/64")]
    {
        bench.link(link, lladdr, true);
        bench.address(link, address);
    }
    bench.bare_link(TUN, true);
    bench.address(TUN, "fe80::13/64");
    bench.address(UP, "2001:db8:1::10/64");
    for target in bench.foreign.clone().into_keys() {
        bench.foreign_route_gone(target);
    }
    bench.reconfigure(config());
    bench.ack();
    bench.resync();
    bench.advance(Duration::from_secs(400));
    let own: Vec<_> = bench.own_addresses().map(|(_, own)| own).collect();
    for station in bench.stations.clone() {
        let target = station.address;
        let asking = if station.link == UP { DN } else { UP };
        let refused = bench.counter(Discard::BindingsFull);
        let mut answered = own.contains(&target);
        for _ in 0..8 {
            bench.hear(asking, &ns(target).by(mac(0x99), link_local(0x99)));
            bench.advance(Duration::from_secs(1));
            let answer = format!("NA {} S", text::address(target));
            answered |= bench
                .heard()
                .iter()
                .any(|said| said.starts_with(&text::link(asking)) && said.contains(&answer));
        }
        let is_full = bench.counter(Discard::BindingsFull) > refused;
        assert!(answered || is_full, "{target} on {:?} is not found", station.link);
    }
}

fn run(seed: u64, steps: &[Step]) -> Bench {
    let mut bench = Bench::empty(config(), seed);
    bench.start();
    bench.bare_link(TUN, true);
    bench.address(TUN, "fe80::13/64");
    for step in steps {
        carry_out(&mut bench, step);
        check_caps(&bench);
    }
    bench
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nothing_that_happens_breaks_a_promise(
        seed in any::<u64>(),
        steps in prop::collection::vec(step(), 1..120),
    ) {
        let mut bench = run(seed, &steps);
        check_end(&mut bench);
    }

    #[test]
    fn whatever_happens_hosts_are_found_again(
        seed in any::<u64>(),
        steps in prop::collection::vec(step(), 1..120),
    ) {
        let mut bench = run(seed, &steps);
        check_recovery(&mut bench);
        check_end(&mut bench);
    }

    #[test]
    fn the_same_inputs_give_the_same_outputs(
        seed in any::<u64>(),
        steps in prop::collection::vec(step(), 1..60),
    ) {
        let mut first = run(seed, &steps);
        let mut second = run(seed, &steps);
        prop_assert_eq!(first.frames(), second.frames());
        prop_assert_eq!(first.transcript(), second.transcript());
        prop_assert_eq!(first.engine.counters(), second.engine.counters());
    }

    #[test]
    fn any_octets_at_all_are_survived(
        frames in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 1..20),
    ) {
        let mut bench = Bench::known_x();
        for bytes in &frames {
            bench.hear_bytes(UP, bytes);
            bench.kernel_sends_bytes(DN, bytes);
        }
        bench.advance(Duration::from_secs(5));
        prop_assert_eq!(bench.heard(), Vec::<String>::new());
    }

    #[test]
    fn octets_behind_a_plausible_beginning_are_survived(
        keep in 0..90_usize,
        tail in prop::collection::vec(any::<u8>(), 0..120),
        frame in frame(),
    ) {
        let mut bytes = frame.bytes();
        bytes.truncate(keep);
        bytes.extend(&tail);
        let mut bench = Bench::known_x();
        bench.hear_bytes(UP, &bytes);
        bench.hear_bytes(DN, &bytes);
        bench.advance(Duration::from_secs(5));
    }
}
