//! What the relay knows of who can be reached from where, for the names that cross.

use std::net::{IpAddr, Ipv6Addr};

use super::address::Reach;
use super::filter::Place;
use crate::direct::away;
use crate::engine::Engine;
use crate::fib::Answer;
use crate::{Decision, Member, Method, Rule};

impl Reach for Engine {
    fn is_informed(&self) -> bool {
        self.config.neighbor_discovery
    }

    fn is_own(&self, address: IpAddr) -> bool {
        match address {
            IpAddr::V4(address) => self.owns_ipv4(address),
            IpAddr::V6(address) => self.own.owns(address),
        }
    }

    /// Whether the relay would answer for it on `to`, if it is where it is said to be. What the
    /// host table knows better counts: names outlive moves.
    fn is_reachable(&self, address: Ipv6Addr, from: Place, to: Place) -> bool {
        let at = self.bindings.get(address).map_or(from.link, |known| known.link);
        match self.decide(address, to.link) {
            Decision::Probe(_) => self.may_tell(address, to.link, at),
            Decision::Static { .. } => !self.is_on_own_link(address, to.link, self.clock),
            // A route that was not asked for yet leads, most likely, to who just spoke.
            Decision::Route => match self.fib.get(address, Some(to.link)) {
                Some(Answer(route)) => away(route, to.link).is_some(),
                None => at != to.link,
            },
            // Where nobody is ever answered, hosts have only this host as their router to all
            // others.
            Decision::Uncovered => at != to.link && !self.answers_on(to.member),
            Decision::Deny => false,
        }
    }
}

impl Engine {
    /// Whether any rule answers for anything on the links of a member.
    fn answers_on(&self, member: Member) -> bool {
        let answers = |rule: &Rule| rule.method != Method::Deny && rule.on.contains(member);
        self.config.rules.iter().any(answers)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use magpie_wire::LinkAddr;

    use super::*;
    use crate::binding::Binding;
    use crate::{
        Config, Egress, Evidence, FoundRoute, Input, Instant, KernelEvent, LinkId, LinkInfo,
        Members, Output, Prefixes, RulePrefix, Rules,
    };

    const INSIDE: Place = Place { link: LinkId(2), member: Member(0) };
    const OUTSIDE: Place = Place { link: LinkId(3), member: Member(1) };
    const NOW: Instant = Instant::ZERO;

    fn rule(text: &str, on: Members, method: Method) -> Rule {
        Rule { prefix: RulePrefix::Net(text.parse().unwrap()), on, method }
    }

    /// Between two links, with an address of its own; prefixes by what is to be done.
    fn engine() -> Engine {
        let outside: Members = [OUTSIDE.member].into_iter().collect();
        let inside: Members = [INSIDE.member].into_iter().collect();
        let rules = vec![
            rule("2001:db8:1::/64", Members::ALL, Method::Probe { to: Members::ALL }),
            rule("2001:db8:1:0:dead::/80", Members::ALL, Method::Deny),
            rule("2001:db8:2::/64", outside, Method::Probe { to: inside }),
            rule("2001:db8:3::/64", outside, Method::Static),
            rule("2001:db8:4::/64", outside, Method::Route),
        ];
        engine_with(rules)
    }

    fn engine_with(rules: Vec<Rule>) -> Engine {
        let config = Config {
            prefixes: Prefixes::only(Vec::new()),
            rules: Rules::new(rules, Vec::new()),
            ..Config::default()
        };
        let mut engine = Engine::new(config, 7, NOW);
        for (number, place) in [(1, INSIDE), (2, OUTSIDE)] {
            let lladdr = Some(LinkAddr([2, 0, 0, 0, 1, number]));
            let info = LinkInfo { member: place.member, lladdr, running: true, mtu: 1500 };
            let event = KernelEvent::Link { link: place.link, info };
            engine.handle(Input::Kernel(event), NOW);
        }
        let address = "2001:db8:9::1/64".parse().unwrap();
        let event = KernelEvent::Address { link: INSIDE.link, address, tentative: false };
        engine.handle(Input::Kernel(event), NOW);
        while engine.poll_output().is_some() {}
        engine
    }

    fn reaches(engine: &Engine, address: &str, from: Place, to: Place) -> bool {
        engine.is_reachable(address.parse().unwrap(), from, to)
    }

    #[test]
    fn what_is_answered_for_can_be_reached() {
        let engine = engine();
        for (address, outward, inward) in [
            ("2001:db8:1::41", true, true),
            ("2001:db8:1:0:dead::41", false, false),
            ("2001:db8:2::41", true, false),
            ("2001:db8:3::41", true, false),
            ("2001:db8:4::41", true, false),
            ("2001:db8:5::41", false, false),
            ("fd00::41", false, false),
            ("::1", false, false),
        ] {
            assert_eq!(reaches(&engine, address, INSIDE, OUTSIDE), outward, "{address}");
            assert_eq!(reaches(&engine, address, OUTSIDE, INSIDE), inward, "{address}");
        }
        let own = ["2001:db8:9::1", "2001:db8:9::2"].map(|text| text.parse().unwrap());
        assert_eq!(own.map(|address| engine.is_own(address)), [true, false]);
    }

    #[test]
    fn hosts_on_a_link_where_nobody_is_answered_have_a_router() {
        let outside: Members = [OUTSIDE.member].into_iter().collect();
        let inside: Members = [INSIDE.member].into_iter().collect();
        let probe = Method::Probe { to: inside };
        let mut engine = engine_with(vec![
            rule("2001:db8:2::/64", outside, probe),
            rule("2001:db8:6::/64", Members::ALL, Method::Deny),
        ]);
        for (address, expected) in
            [("2001:db8:7::50", true), ("fd00::50", true), ("2001:db8:6::50", false)]
        {
            assert_eq!(reaches(&engine, address, OUTSIDE, INSIDE), expected, "{address}");
            assert!(!reaches(&engine, address, INSIDE, OUTSIDE), "{address}");
        }
        let target = "2001:db8:2::41".parse().unwrap();
        let binding = Binding::new(INSIDE.link, None, Evidence::Solicitation, NOW);
        engine.bindings.insert(target, binding);
        assert!(!reaches(&engine, "2001:db8:2::41", OUTSIDE, INSIDE));
    }

    #[test]
    fn the_host_table_knows_better_than_names_where_a_host_is() {
        let mut engine = engine();
        let target = "2001:db8:1::41".parse().unwrap();
        let binding = Binding::new(OUTSIDE.link, None, Evidence::Solicitation, NOW);
        engine.bindings.insert(target, binding);
        assert!(!reaches(&engine, "2001:db8:1::41", INSIDE, OUTSIDE));
        assert!(reaches(&engine, "2001:db8:1::41", OUTSIDE, INSIDE));
        engine.bindings.relocate(target, INSIDE.link, LinkAddr([2, 0, 0, 0, 0, 41]));
        assert!(reaches(&engine, "2001:db8:1::41", INSIDE, OUTSIDE));
        assert!(!reaches(&engine, "2001:db8:1::41", OUTSIDE, INSIDE));
    }

    #[test]
    fn what_a_static_rule_covers_is_not_reached_where_it_speaks_itself() {
        let mut engine = engine();
        let target = "2001:db8:3::41".parse().unwrap();
        engine.sight(target, OUTSIDE.link, NOW);
        assert!(!reaches(&engine, "2001:db8:3::41", INSIDE, OUTSIDE));
        assert!(reaches(&engine, "2001:db8:3::42", INSIDE, OUTSIDE));
    }

    #[test]
    fn the_kernel_knows_better_than_names_where_a_route_leads() {
        let target: Ipv6Addr = "2001:db8:4::41".parse().unwrap();
        for (egress, expected) in [
            (Egress::Device(INSIDE.link), true),
            (Egress::Device(LinkId(77)), true),
            (Egress::Device(OUTSIDE.link), false),
        ] {
            let mut engine = engine();
            engine.find_route(target, Some(OUTSIDE.link), crate::fib::Purpose::Settle, NOW);
            let asked =
                std::iter::from_fn(|| engine.poll_output()).find_map(|output| match output {
                    Output::FindRoute { request, .. } => Some(request),
                    _ => None,
                });
            let request = asked.unwrap();
            let route = Some(FoundRoute { egress, prefix_len: 64 });
            engine.handle(Input::Route { request, route }, NOW + Duration::from_millis(1));
            let reached = reaches(&engine, "2001:db8:4::41", INSIDE, OUTSIDE);
            assert_eq!(reached, expected, "{egress:?}");
        }
    }
}
