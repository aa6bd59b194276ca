//! What rules change: who is answered for, how, and where is looked.

use std::time::Duration;

use magpie_engine::{
    AddressSet, BindingState, Config, Discard, Egress, KernelEvent, Limits, LinkConfig, LinkId,
    List, ListKind, Member, Members, Method, Prefixes, RoutePolicy, RouterFlag, Rule, RulePrefix,
    Rules, Timing,
};
use magpie_wire::solicited_node;

use crate::bench::{Bench, ok_na, probe, search};
use crate::frame::{dad, na, ns, ra};
use crate::names::{DN, EVIL, MC, MH, MU, THIRD, U, UP, X, Y, ip, member, p};

/// A device that is no link of the relay.
const DOCKER: Egress = Egress::Device(LinkId(17));

fn members(links: &[LinkId]) -> Members {
    links.iter().map(|link| member(*link)).collect()
}

fn rule(prefix: &str, on: &[LinkId], method: Method) -> Rule {
    let prefix = RulePrefix::Net(prefix.parse().expect("a literal prefix"));
    Rule { prefix, on: members(on), method }
}

fn responder(rules: Vec<Rule>) -> Config {
    Config { rules: Rules::new(rules, Vec::new()), ..Config::default() }
}

/// Answers on up for the prefix P.
fn answering(method: Method) -> Bench {
    Bench::with(responder(vec![rule("2001:db8:1::/64", &[UP], method)]))
}

/// Relays from `up` to `dn`, and not back.
fn one_way() -> Config {
    let to_dn = Method::Probe { to: members(&[DN]) };
    responder(vec![rule("2001:db8:1::/64", &[UP], to_dn)])
}

#[test]
fn static_targets_are_answered_at_once_and_leave_no_trace() {
    let mut bench = answering(Method::Static);
    bench.hear(UP, &ns(X));
    assert_eq!(bench.transcript(), [ok_na(X)]);
    bench.advance_ms(100);
    bench.hear(UP, &ns(X).unicast(magpie_wire::LinkAddr([2, 0, 0, 0, 0, 0x10])));
    assert_eq!(bench.heard(), [ok_na(X)]);
    bench.ignores(UP, &ns(ip("2001:db8:2::21")), Discard::OutOfScope);
    bench.ignores(DN, &ns(X), Discard::OutOfScope);
    bench.ignores(UP, &ns(p(0)), Discard::OutOfScope);
    assert_eq!(bench.engine.bindings(bench.now).count(), 0);
}

#[test]
fn nsi_35_a_static_question_repeated_fast_gets_two_answers_at_most() {
    let mut bench = answering(Method::Static);
    for _ in 0..20 {
        bench.hear(UP, &ns(X));
    }
    assert_eq!(bench.heard(), [ok_na(X), ok_na(X)]);
    assert_eq!(bench.counter(Discard::Repeated), 18);
}

#[test]
fn nao_10_static_answers_can_be_delayed() {
    let answer_delay = Duration::from_secs(1);
    let config = Config::alike(LinkConfig { answer_delay, ..LinkConfig::default() });
    let rules = responder(vec![rule("2001:db8:1::/64", &[UP], Method::Static)]).rules;
    let mut bench = Bench::with(Config { rules, ..config });
    bench.hear(UP, &ns(X));
    assert_eq!(bench.heard().len(), 0);
    bench.advance(answer_delay);
    assert_eq!(bench.heard(), [ok_na(X)]);
}

#[test]
fn nsi_30_a_static_rule_is_silent_about_who_speaks_on_the_link_itself() {
    for spoken in [
        ns(Y).by(EVIL, X).slla(EVIL),
        na(X, EVIL).flags("O").for_all(),
        na(X, EVIL).to(MU, U),
        dad(X, EVIL),
    ] {
        let mut bench = answering(Method::Static);
        bench.hear(UP, &spoken);
        bench.advance_ms(100);
        bench.forget_log();
        bench.ignores(UP, &ns(X), Discard::SameLink);
        bench.advance(Duration::from_secs(300));
        bench.hear(UP, &ns(X));
        assert_eq!(bench.heard(), [ok_na(X)], "not for ever");
    }
}

#[test]
fn nao_14_a_static_target_on_the_link_itself_is_not_announced_there() {
    let mut bench = Bench::with(responder(vec![
        rule("2001:db8:1::21/128", &[UP], Method::Static),
        rule("2001:db8:1::/64", &[DN], Method::Probe { to: members(&[UP]) }),
    ]));
    bench.hear(UP, &ns(X));
    assert_eq!(bench.heard(), [ok_na(X)]);
    bench.host(X, UP, MH);
    bench.hear(UP, &ns(Y).by(MH, X));
    assert_eq!(bench.place(X), "up mH reachable");
    bench.forget_log();
    bench.announce(None);
    bench.advance(Duration::from_secs(10));
    let said = bench.heard();
    assert!(said.iter().any(|said| said.contains(" NA P::10 ")), "{said:?}");
    assert!(
        said.iter()
            .all(|said| !said.contains("up mA>33:33:00:00:00:01 fe80::10>ff02::1 NA P::21 ")),
        "{said:?}"
    );
}

#[test]
fn dad_13_a_static_prefix_defends_nothing_and_a_static_address_itself() {
    let mut bench = answering(Method::Static);
    bench.ignores(UP, &dad(X, EVIL), Discard::Unverified);

    let mut bench = Bench::with(responder(vec![rule("2001:db8:1::21/128", &[UP], Method::Static)]));
    bench.hear(UP, &dad(X, EVIL));
    assert_eq!(bench.heard(), ["up mA>33:33:00:00:00:01 fe80::10>ff02::1 NA P::21 - +TLLA mA"]);
}

#[test]
fn dad_14_our_own_detection_is_not_defeated_by_our_own_rule() {
    let mut bench = answering(Method::Static);
    bench.address_in_state(UP, "2001:db8:1::50/64", true);
    bench.forget_log();
    bench.kernel_sends(UP, &dad(p(0x50), crate::names::MA));
    // Some links return what was sent.
    bench.hear(UP, &dad(p(0x50), crate::names::MA));
    bench.hear(UP, &ns(p(0x50)));
    bench.silence();
}

#[test]
fn deny_beats_every_other_rule_whatever_its_length_and_place() {
    let mut bench = Bench::with(responder(vec![
        rule("2001:db8:1::21/128", &[UP], Method::Static),
        rule("2001:db8:1::/64", &[UP], Method::Static),
        rule("2001:db8:1::20/124", &[UP], Method::Deny),
    ]));
    bench.ignores(UP, &ns(X), Discard::Denied);
    bench.ignores(UP, &dad(X, EVIL), Discard::Denied);
    bench.hear(UP, &ns(Y));
    assert_eq!(bench.heard(), [ok_na(Y)]);
}

#[test]
fn the_longest_prefix_wins_among_the_others() {
    let mut bench = Bench::with(responder(vec![
        rule("2001:db8:1::/64", &[UP], Method::Static),
        rule("2001:db8:1::20/124", &[UP], Method::Probe { to: Members::ALL }),
    ]));
    bench.hear(UP, &ns(Y));
    assert_eq!(bench.heard(), [ok_na(Y)]);
    bench.hear(UP, &ns(X));
    assert_eq!(bench.heard(), [search(X)]);
}

#[test]
fn nsi_26_a_list_takes_targets_out_of_the_subnet() {
    let mut denied = AddressSet::default();
    denied.insert_prefix("2001:db8:1::20/124".parse().unwrap());
    let list = |kind, addresses| List { on: Members::ALL, kind, addresses };
    let rules = |lists| Rules::new(Rules::default().iter().copied().collect(), lists);
    let config = Config { rules: rules(vec![list(ListKind::Deny, denied)]), ..Config::default() };
    let mut bench = Bench::with(config);
    bench.ignores(UP, &ns(X), Discard::Denied);
    bench.hear(UP, &ns(Y));
    assert_eq!(bench.heard(), [search(Y)]);
    bench.hear(DN, &na(X, MH).flags("O").for_all());
    assert_eq!(bench.state(X), None, "it is not learned either");

    let mut allowed = AddressSet::default();
    allowed.insert_interface_identifier(!0, 0x21);
    let config = Config { rules: rules(vec![list(ListKind::Allow, allowed)]), ..Config::default() };
    let mut bench = Bench::with(config);
    bench.ignores(UP, &ns(Y), Discard::Denied);
    bench.hear(UP, &ns(X));
    assert_eq!(bench.heard(), [search(X)]);
}

#[test]
fn nso_06_only_the_links_that_a_rule_names_are_asked() {
    let mut bench = Bench::with(one_way());
    bench.add_third();
    bench.host(X, DN, MH);
    bench.hear(UP, &ns(X));
    let heard = bench.heard();
    assert_eq!(heard.first(), Some(&search(X)));
    assert_eq!(heard.last(), Some(&ok_na(X)));
    assert!(heard.iter().all(|said| !said.starts_with("third")), "{heard:?}");
    // A target elsewhere is not found, and what speaks there is not learned.
    bench.hear(THIRD, &na(Y, MC).flags("O").for_all());
    bench.hear(THIRD, &dad(p(0x78), EVIL));
    bench.hear(UP, &dad(p(0x79), EVIL));
    bench.advance(Duration::from_secs(3));
    assert_eq!((bench.state(Y), bench.state(p(0x78))), (None, None));
    let heard = bench.heard();
    assert!(heard.iter().all(|said| !said.starts_with("third")), "{heard:?}");
    assert_eq!(bench.state(p(0x79)), None, "nobody asks for what is on up");
}

#[test]
fn a_responder_answers_in_one_direction() {
    let mut bench = Bench::with(one_way());
    bench.host(p(0x31), UP, crate::names::MZ);
    bench.ignores(DN, &ns(p(0x31)), Discard::OutOfScope);
    // The hosts that it answers for are learned by what they say.
    bench.host(X, DN, MH);
    bench.hear(DN, &dad(X, MH));
    bench.advance(Duration::from_secs(2));
    assert_eq!(bench.state(X), Some(BindingState::Reachable));
    bench.forget_log();
    bench.hear(UP, &ns(X));
    assert_eq!(bench.heard(), [ok_na(X)]);
    // A duplicate on the other side is reported there.
    bench.hear(UP, &dad(X, EVIL));
    bench.advance(Duration::from_secs(1));
    let heard = bench.heard();
    let defense = "up mA>33:33:00:00:00:01 fe80::10>ff02::1 NA P::21 - +TLLA mA";
    assert_eq!(heard.last().map(String::as_str), Some(defense));
}

#[test]
fn a_host_that_moves_to_where_nobody_looks_for_it_is_forgotten() {
    let mut bench = Bench::with(one_way());
    bench.known(X, DN);
    bench.power_off(X);
    bench.host(X, UP, MH);
    bench.hear(UP, &na(X, MH).flags("O").for_all());
    bench.advance(Duration::from_secs(3));
    assert_eq!(bench.state(X), None);
    assert!(bench.routes.is_empty());
    assert!(bench.groups.iter().all(|(_, group)| *group != solicited_node(X)));
}

#[test]
fn routed_targets_are_answered_for_while_the_kernel_routes_them_elsewhere() {
    let mut bench = answering(Method::Route);
    bench.ignores(UP, &ns(X), Discard::NotRouted);
    let net = "2001:db8:1::20/124".parse().unwrap();
    bench.found.insert(net, Some(DOCKER));
    bench.kernel(KernelEvent::RoutesChanged);
    bench.forget_log();
    bench.hear(UP, &ns(X));
    assert_eq!(bench.transcript(), ["find P::21 from up".to_owned(), ok_na(X)]);
    // As long as nothing changes the kernel is not asked again.
    bench.advance_ms(100);
    bench.forget_log();
    bench.hear(UP, &ns(X));
    assert_eq!(bench.transcript(), [ok_na(X)]);
    bench.found.clear();
    bench.kernel(KernelEvent::RoutesChanged);
    bench.advance_ms(100);
    bench.ignores(UP, &ns(X), Discard::NotRouted);
}

#[test]
fn routes_that_lead_nowhere_else_are_not_answered_for() {
    for (net, egress) in [
        ("2001:db8:1::/64", Some(Egress::Device(UP))),
        ("2001:db8:1::/64", None),
        ("::/0", Some(DOCKER)),
    ] {
        let mut bench = answering(Method::Route);
        bench.found.insert(net.parse().unwrap(), egress);
        bench.ignores(UP, &ns(X), Discard::NotRouted);
    }
    let mut bench = answering(Method::Route);
    bench.found.insert("2001:db8:1::/64".parse().unwrap(), Some(Egress::Device(DN)));
    bench.hear(UP, &ns(X));
    assert_eq!(bench.heard(), [ok_na(X)]);
}

#[test]
fn nsi_29_a_route_to_this_host_itself_is_a_router_s() {
    let mut bench = answering(Method::Route);
    bench.found.insert("2001:db8:1::21/128".parse().unwrap(), Some(Egress::Local));
    bench.hear(UP, &ns(X));
    assert_eq!(bench.heard(), ["up mA>mU fe80::10>fe80::1 NA P::21 RS +TLLA mA"]);
}

#[test]
fn dad_13_a_route_defends_only_the_single_address_that_it_leads_to() {
    let mut bench = answering(Method::Route);
    bench.found.insert("2001:db8:1::20/124".parse().unwrap(), Some(DOCKER));
    bench.found.insert("2001:db8:1::77/128".parse().unwrap(), Some(DOCKER));
    bench.ignores(UP, &dad(X, EVIL), Discard::NotRouted);
    bench.hear(UP, &dad(Y, EVIL));
    assert_eq!(bench.heard(), ["up mA>33:33:00:00:00:01 fe80::10>ff02::1 NA P::77 - +TLLA mA"]);
}

#[test]
fn routes_for_very_short_prefixes_say_of_no_target_that_it_exists() {
    for (net, egress) in [("2000::/3", DOCKER), ("::/1", DOCKER), ("::/0", Egress::Local)] {
        let mut bench = answering(Method::Route);
        bench.found.insert(net.parse().unwrap(), Some(egress));
        bench.ignores(UP, &ns(X), Discard::NotRouted);
    }
}

#[test]
fn dad_05_our_own_route_to_a_host_that_moves_is_no_reason_to_defend_its_address() {
    let to_dn = Method::Probe { to: members(&[DN]) };
    let mut bench = Bench::with(responder(vec![
        rule("2001:db8:1::/64", &[UP], Method::Route),
        rule("2001:db8:1::/64", &[THIRD], to_dn),
    ]));
    bench.add_third();
    bench.host(X, DN, MH);
    bench.hear(THIRD, &ns(X));
    assert_eq!(bench.routes.get(&X), Some(&DN));
    bench.power_off(X);
    bench.forget_log();
    bench.hear(UP, &dad(X, MH));
    bench.advance(Duration::from_secs(2));
    let heard = bench.heard();
    assert!(heard.iter().all(|said| !said.contains("NA P::21")), "{heard:?}");
}

#[test]
fn dad_17_a_defense_by_rule_or_route_is_not_repeated_for_every_probe() {
    let mut routed = answering(Method::Route);
    routed.found.insert("2001:db8:1::21/128".parse().unwrap(), Some(DOCKER));
    let named = Bench::with(responder(vec![rule("2001:db8:1::21/128", &[UP], Method::Static)]));
    for mut bench in [routed, named] {
        for number in 0..20 {
            bench.hear(UP, &dad(X, crate::names::station(number)));
            bench.advance_ms(10);
        }
        assert_eq!(bench.heard().len(), 1);
        bench.advance_ms(500);
        bench.hear(UP, &dad(X, EVIL));
        assert_eq!(bench.heard().len(), 1);
    }
}

#[test]
fn an_address_that_was_written_down_is_not_given_up_for_one_frame() {
    let mut bench = Bench::with(responder(vec![rule("2001:db8:1::21/128", &[UP], Method::Static)]));
    bench.hear(UP, &ns(Y).by(EVIL, X).slla(EVIL));
    bench.hear(UP, &na(X, EVIL).flags("O").for_all());
    bench.forget_log();
    bench.hear(UP, &ns(X));
    assert_eq!(bench.heard(), [ok_na(X)]);
}

#[test]
fn own_addresses_are_defended_only_where_the_rules_cover_them() {
    let own = ip("2001:db8:9::1");
    let mut bench = Bench::with(responder(vec![rule("2001:db8:1::/64", &[UP], Method::Static)]));
    bench.address(DN, "2001:db8:9::1/64");
    bench.ignores(UP, &dad(own, EVIL), Discard::OutOfScope);
    bench.reconfigure(responder(vec![rule("2001:db8:9::/64", &[UP], Method::Deny)]));
    bench.ignores(UP, &dad(own, EVIL), Discard::Denied);
    bench.reconfigure(Config::default());
    bench.forget_log();
    bench.hear(UP, &dad(own, EVIL));
    assert_eq!(bench.heard().len(), 1);
}

#[test]
fn a_delayed_answer_by_route_is_the_same_as_one_at_once() {
    let answer_delay = Duration::from_secs(1);
    let config = Config::alike(LinkConfig { answer_delay, ..LinkConfig::default() });
    let rules = responder(vec![rule("2001:db8:1::/64", &[UP], Method::Route)]).rules;
    let mut bench = Bench::with(Config { rules, ..config });
    bench.found.insert("2001:db8:1::21/128".parse().unwrap(), Some(Egress::Local));
    bench.hear(UP, &ns(X));
    // Some other route changes meanwhile.
    bench.kernel(KernelEvent::RoutesChanged);
    bench.advance(answer_delay);
    assert_eq!(bench.heard(), ["up mA>mU fe80::10>fe80::1 NA P::21 RS +TLLA mA"]);
}

#[test]
fn what_the_kernel_did_not_answer_is_asked_again() {
    let mut bench = answering(Method::Route);
    bench.lose_route_answers(true);
    bench.hear(UP, &ns(X));
    assert_eq!(bench.heard().len(), 0);
    bench.lose_route_answers(false);
    bench.found.insert("2001:db8:1::/64".parse().unwrap(), Some(DOCKER));
    bench.hear(UP, &ns(X));
    assert_eq!(bench.heard(), [ok_na(X)]);
}

#[test]
fn memberships_by_rules_survive_a_resync_and_are_bounded() {
    let mut bench = answering(Method::Route);
    bench.foreign_route(Y, THIRD);
    let group = (UP, solicited_node(Y));
    assert!(bench.groups.contains(&group));
    bench.forget_log();
    bench.resync();
    bench.add_third();
    assert!(bench.groups.contains(&group));
    assert!(bench.done().iter().all(|done| !done.starts_with("leave")), "{:?}", bench.done());

    let many =
        (0..100).map(|net| rule(&format!("2001:db8:1::{net:x}00/120"), &[UP], Method::Static));
    let limits = Limits { groups_per_link: 300, ..Limits::default() };
    let config = Config { limits, ..responder(many.collect()) };
    let bench = Bench::with(config);
    assert!(bench.groups.len() <= 300, "{}", bench.groups.len());
}

#[test]
fn routes_left_to_others_are_not_adopted_either() {
    let mut bench = Bench::empty(Config { routes: RoutePolicy::Never, ..Config::default() }, 1);
    bench.routes.insert(X, DN);
    bench.host(X, DN, MH);
    bench.start();
    bench.advance(Duration::from_secs(40));
    assert!(bench.routes.is_empty());
    assert!(bench.state(X).is_some());
}

#[test]
fn shorter_times_are_in_force_at_once() {
    let timing =
        |seconds| Timing { probe_interval: Duration::from_secs(seconds), ..Timing::default() };
    let mut bench = Bench::with(Config { timing: timing(86_400), ..Config::default() });
    bench.known(X, DN);
    bench.power_off(X);
    bench.reconfigure(Config { timing: timing(60), ..Config::default() });
    bench.advance(Duration::from_secs(900));
    assert_eq!(bench.state(X), None);
}

#[test]
fn mcl_01_groups_of_single_addresses_are_joined_before_anybody_asks() {
    let on_up = |target| (UP, solicited_node(target));
    let mut bench = Bench::with(responder(vec![
        rule("2001:db8:1::21/128", &[UP], Method::Static),
        rule("2001:db8:1::4:0/125", &[UP], Method::Static),
        rule("2001:db8:1::8:0/112", &[UP], Method::Static),
        rule("2001:db8:1::/64", &[UP], Method::Route),
    ]));
    assert!(bench.groups.contains(&on_up(X)));
    assert!(bench.groups.contains(&on_up(ip("2001:db8:1::4:7"))));
    assert!(!bench.groups.contains(&on_up(ip("2001:db8:1::8:1"))), "too many to join");
    assert!(!bench.groups.contains(&on_up(Y)));
    let docker = KernelEvent::Route { target: Y, link: None, own: false };
    bench.kernel(docker);
    assert!(bench.groups.contains(&on_up(Y)));
    bench.kernel(KernelEvent::RouteGone { target: Y, link: None, own: false });
    assert!(!bench.groups.contains(&on_up(Y)));
    bench.reconfigure(responder(Vec::new()));
    assert!(!bench.groups.contains(&on_up(X)));
}

#[test]
fn a_rule_for_the_subnet_follows_what_routers_announce() {
    let rule = Rule { prefix: RulePrefix::Subnet, on: members(&[UP]), method: Method::Static };
    let mut bench = Bench::with(responder(vec![rule]));
    let renumbered = ip("2001:db8:2::21");
    bench.ignores(UP, &ns(renumbered), Discard::OutOfScope);
    bench.hear(UP, &ra(ip("2001:db8:2::"), 60, 0).source(U));
    bench.forget_log();
    bench.hear(UP, &ns(renumbered));
    assert_eq!(bench.heard().len(), 1);
    bench.advance(Duration::from_secs(60));
    bench.ignores(UP, &ns(renumbered), Discard::OutOfScope);
}

#[test]
fn only_links_that_show_the_subnet_are_believed() {
    let hidden = LinkConfig { shows_subnet: false, ..LinkConfig::default() };
    let config = Config { links: vec![LinkConfig::default(), hidden], ..Config::default() };
    let mut bench = Bench::with(config);
    bench.hear(DN, &ra(ip("2001:db8:2::"), 600, 0).source(ip("fe80::21")));
    bench.address(DN, "2001:db8:3::1/64");
    bench.ignores(UP, &ns(ip("2001:db8:2::21")), Discard::OutOfScope);
    bench.ignores(UP, &ns(ip("2001:db8:3::21")), Discard::OutOfScope);
    bench.hear(UP, &ra(ip("2001:db8:2::"), 600, 0).source(U));
    bench.hear(UP, &ns(ip("2001:db8:2::21")));
    assert_eq!(bench.heard().len(), 1);
}

#[test]
fn nao_05_the_router_flag_can_be_fixed() {
    for (router_flag, flags) in
        [(RouterFlag::Auto, "S"), (RouterFlag::On, "RS"), (RouterFlag::Off, "S")]
    {
        let config = Config::alike(LinkConfig { router_flag, ..LinkConfig::default() });
        let rules = responder(vec![rule("2001:db8:1::/64", &[UP], Method::Static)]).rules;
        let mut bench = Bench::with(Config { rules, ..config });
        bench.hear(UP, &ns(X));
        let expected = format!("up mA>mU fe80::10>fe80::1 NA P::21 {flags} +TLLA mA");
        assert_eq!(bench.heard(), [expected]);
    }
}

#[test]
fn routes_that_are_not_needed_are_not_made() {
    let config = Config { routes: RoutePolicy::Needed, ..Config::default() };
    let mut bench = Bench::with(config.clone());
    bench.found.insert("2001:db8:1::/64".parse().unwrap(), Some(Egress::Device(DN)));
    bench.host(X, DN, MH);
    bench.hear(UP, &ns(X));
    assert_eq!(bench.heard().last(), Some(&ok_na(X)));
    assert!(bench.routes.is_empty(), "the kernel finds it without");
    // The route goes away: before the next answer ours is there.
    bench.found.clear();
    bench.kernel(KernelEvent::RoutesChanged);
    bench.advance_ms(100);
    bench.hear(UP, &ns(X));
    assert_eq!(bench.heard().last(), Some(&ok_na(X)));
    assert_eq!(bench.routes.get(&X), Some(&DN));

    let mut bench = Bench::with(config);
    bench.found.insert("2001:db8:1::/64".parse().unwrap(), Some(Egress::Device(UP)));
    bench.host(X, DN, MH);
    bench.hear(UP, &ns(X));
    assert_eq!(bench.heard().last(), Some(&ok_na(X)));
    assert_eq!(bench.routes.get(&X), Some(&DN), "the kernel looks on the wrong link");
}

#[test]
fn routes_can_be_left_to_others() {
    let mut bench = Bench::with(Config { routes: RoutePolicy::Never, ..Config::default() });
    bench.host(X, DN, MH);
    bench.hear(UP, &ns(X));
    assert_eq!(bench.heard().last(), Some(&ok_na(X)));
    assert!(bench.routes.is_empty());
    bench.reconfigure(Config::default());
    assert_eq!(bench.routes.get(&X), Some(&DN));
    bench.reconfigure(Config { routes: RoutePolicy::Never, ..Config::default() });
    assert!(bench.routes.is_empty());
}

#[test]
fn what_a_new_configuration_still_allows_survives_without_a_gap() {
    let mut bench = Bench::known_x();
    bench.known(Y, DN);
    bench.forget_log();
    let only_x = Prefixes::only(vec!["2001:db8:1::20/124".parse().unwrap()]);
    bench.reconfigure(Config { prefixes: only_x, ..Config::default() });
    assert_eq!(bench.state(X), Some(BindingState::Reachable));
    assert_eq!(bench.state(Y), None);
    assert!(bench.done().iter().all(|done| !done.contains("P::21")), "{:?}", bench.done());
    bench.forget_log();
    bench.hear(UP, &ns(X));
    assert_eq!(bench.transcript(), [ok_na(X)]);
    bench.reconfigure(one_way());
    bench.advance_ms(100);
    bench.hear(UP, &ns(X));
    assert_eq!(bench.heard(), [ok_na(X)]);
}

#[test]
fn links_may_change_their_places_in_the_configuration() {
    let mut bench = Bench::known_x();
    let now = bench.now;
    let to = |member| Method::Probe { to: [Member(member)].into_iter().collect() };
    let on: Members = [Member(5)].into_iter().collect();
    let rule = Rule { prefix: RulePrefix::Subnet, on, method: to(3) };
    let config = Config { rules: Rules::new(vec![rule], Vec::new()), ..Config::default() };
    bench.engine.reconfigure(config, &[(UP, Member(5)), (DN, Member(3))], now);
    assert_eq!(bench.state(X), Some(BindingState::Reachable));
}

#[test]
fn a_link_that_is_away_for_a_while_does_not_cost_the_hosts_of_others() {
    let mut bench = Bench::known_x();
    let config = Config { links: vec![LinkConfig::default(); 2], ..Config::default() };
    bench.reconfigure(Config {
        prefixes: Prefixes::only(vec!["2001:db8:1::/64".parse().unwrap()]),
        ..config
    });
    bench.link_gone(UP);
    assert_eq!(bench.state(X), Some(BindingState::Reachable));
    assert_eq!(bench.routes.get(&X), Some(&DN));
}

#[test]
fn new_budgets_are_in_force_at_once() {
    let mut bench = Bench::new();
    let limits = Limits { solicits_per_second: 1, ..Limits::default() };
    bench.reconfigure(Config { limits, ..Config::default() });
    bench.forget_log();
    for host in 0x100..0x110 {
        bench.hear(UP, &ns(p(host)));
    }
    assert_eq!(bench.heard().len(), 1);
}

#[test]
fn what_was_asked_for_is_remembered_with_what_was_answered() {
    let mut bench = Bench::known_x();
    bench.hear(UP, &ns(X));
    bench.advance_ms(500);
    bench.hear(UP, &ns(X));
    bench.hear(UP, &ns(Y));
    bench.advance_ms(500);
    let seen = bench.engine.seen(bench.now);
    let brief: Vec<_> =
        seen.iter().map(|seen| (seen.target, seen.link, seen.asked, seen.answered)).collect();
    assert_eq!(brief, [(X, UP, 2, 2), (Y, UP, 1, 0)]);
    assert_eq!((seen[0].first.as_millis(), seen[0].last.as_millis()), (1000, 500));
}

#[test]
fn stale_hosts_are_verified_where_they_are_by_the_same_rules() {
    let mut bench = Bench::with(one_way());
    bench.known(X, DN);
    bench.advance(Duration::from_secs(50));
    bench.forget_log();
    bench.hear(UP, &ns(X));
    assert_eq!(bench.heard(), [probe(X, MH), ok_na(X)]);
}
