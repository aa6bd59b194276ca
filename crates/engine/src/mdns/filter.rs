//! Which names may cross: `allow` and `deny`, and what follows from them.
//!
//! What stands outside `.local` crosses like what is in it: hosts on one link may ask each other
//! for any name (RFC 6762 section 3), and the relay makes one of several. Host rules are about
//! such names as a whole, service rules about services in any domain.

use std::net::IpAddr;

use magpie_wire::dns::{Data, Name, Question, Record};

use super::address::is_link_scoped;
use super::names::Names;
use super::pattern::Pattern;
use super::settings::{Mdns, NameRule};
use super::shape::{ServiceType, Shape};
use super::view::Verdict;
use crate::{Instant, LinkId, Member, Members};

/// A link, and which of the configured links it is.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct Place {
    pub(crate) link: LinkId,
    pub(crate) member: Member,
}

/// The rules about names, ready to be applied.
#[derive(Debug)]
pub(crate) struct Filter {
    /// Some names are let through by being named, and no others.
    is_selective: bool,
    allow: Vec<Rule>,
    deny: Vec<Rule>,
}

#[derive(Debug)]
struct Rule {
    from: Members,
    to: Members,
    pattern: Pattern,
}

/// What a rule is compared with.
#[derive(Debug)]
enum Topic<'n> {
    /// A service type as a whole.
    Service { service: ServiceType<'n>, name: &'n Name<'n> },
    /// A subtype, and the instance that it lists if one is known.
    Subtype { shape: Shape<'n>, service: ServiceType<'n>, instance: Option<&'n [u8]> },
    /// An instance.
    Instance { instance: &'n [u8], service: ServiceType<'n>, name: &'n Name<'n> },
    /// A host.
    Host { labels: Vec<&'n [u8]>, name: &'n Name<'n> },
    /// The host that has an address.
    HostAt(IpAddr),
    /// The list of service types.
    Enumeration,
}

/// What is known when a rule is applied.
#[derive(Clone, Copy, Debug)]
struct Case<'a> {
    /// Where the services and hosts are.
    from: Place,
    /// Where they are seen.
    to: Place,
    /// It is only asked whether there are any: what might be said of them is not known.
    is_asked: bool,
    names: &'a Names,
    now: Instant,
}

impl Filter {
    /// Prepares the rules.
    pub(crate) fn new(settings: &Mdns) -> Self {
        let is_selective = !settings.allow.is_empty();
        Self { is_selective, allow: prepare(&settings.allow), deny: prepare(&settings.deny) }
    }

    /// Whether some names are let through by being named.
    pub(crate) fn is_selective(&self) -> bool {
        self.is_selective
    }

    /// Whether there are no rules.
    pub(crate) fn is_empty(&self) -> bool {
        self.allow.is_empty() && self.deny.is_empty()
    }

    /// Whether a record may cross from where it was said to `to`.
    ///
    /// # Errors
    ///
    /// Why not.
    pub(crate) fn record(
        &self,
        record: &Record<'_>,
        from: Place,
        to: Place,
        names: &Names,
        now: Instant,
    ) -> Result<(), Verdict> {
        let case = Case { from, to, is_asked: false, names, now };
        let shape = Shape::of(&record.name);
        let Data::Ptr(target) = record.data() else {
            return self.check(&Topic::of(shape, &record.name), case);
        };
        match (shape, Shape::of(target)) {
            (Shape::Enumeration, listed) => match listed.service() {
                Some(service) => self.check(&Topic::Service { service, name: target }, case),
                None => self.check(&Topic::Enumeration, case),
            },
            (Shape::Service(owner), listed @ Shape::Instance { .. }) => {
                // Nobody lists an instance of another type, but for getting it past the rules.
                if !listed.service().is_some_and(|service| service.is(owner)) {
                    self.check(&Topic::Service { service: owner, name: &record.name }, case)?;
                }
                self.check(&Topic::of(listed, target), case)
            }
            (shape @ Shape::Subtype { service, .. }, Shape::Instance { instance, .. }) => {
                self.check(&Topic::Subtype { shape, service, instance: Some(instance) }, case)
            }
            (Shape::Reverse(address), host) => {
                if is_link_scoped(address) {
                    return Err(Verdict::LinkScoped);
                }
                self.check(&Topic::of(host, target), case)
            }
            (shape, _) => self.check(&Topic::of(shape, &record.name), case),
        }
    }

    /// Whether a question may cross from `asker` to `other`: if an answer might cross back.
    ///
    /// # Errors
    ///
    /// Why not.
    pub(crate) fn question(
        &self,
        question: &Question<'_>,
        asker: Place,
        other: Place,
        names: &Names,
        now: Instant,
    ) -> Result<(), Verdict> {
        let case = Case { from: other, to: asker, is_asked: true, names, now };
        self.check(&Topic::of(Shape::of(&question.name), &question.name), case)
    }

    /// Whether a probe (RFC 6762 section 8.1) may cross: if who has the name on one of the links
    /// would be seen on the other, so that two must not have it.
    ///
    /// # Errors
    ///
    /// Why not.
    pub(crate) fn probe(
        &self,
        question: &Question<'_>,
        asker: Place,
        other: Place,
        names: &Names,
        now: Instant,
    ) -> Result<(), Verdict> {
        self.question(question, asker, other, names, now)
            .or_else(|_| self.question(question, other, asker, names, now))
    }

    fn check(&self, topic: &Topic<'_>, case: Case<'_>) -> Result<(), Verdict> {
        if let Topic::HostAt(address) = topic
            && is_link_scoped(*address)
        {
            return Err(Verdict::LinkScoped);
        }
        if self.deny.iter().any(|rule| rule.covers_way(case) && rule.denies(topic, case)) {
            return Err(Verdict::Denied);
        }
        if !self.is_selective {
            return Ok(());
        }
        let mut ways = self.allow.iter().filter(|rule| rule.covers_way(case));
        if ways.any(|rule| rule.allows(topic, case)) {
            return Ok(());
        }
        match topic {
            Topic::Host { name, .. } => {
                let is_target = case.names.is_target(name, case.from.link, case.to.link, case.now);
                if is_target { Ok(()) } else { Err(Verdict::NotWanted) }
            }
            Topic::HostAt(address) => {
                let mut hosts = case.names.names_of(*address, case.now);
                let is_wanted = hosts.any(|(link, name)| {
                    link == case.from.link
                        && name.to_name().is_some_and(|name| {
                            self.check(&Topic::of(Shape::of(&name), &name), case).is_ok()
                        })
                });
                if is_wanted { Ok(()) } else { Err(Verdict::NotWanted) }
            }
            _ => Err(Verdict::Denied),
        }
    }
}

impl Rule {
    fn covers_way(&self, case: Case<'_>) -> bool {
        self.from.contains(case.from.member) && self.to.contains(case.to.member)
    }

    /// Whether all that a topic is about is denied.
    fn denies(&self, topic: &Topic<'_>, case: Case<'_>) -> bool {
        match (&self.pattern, topic) {
            (
                Pattern::Service(pattern),
                Topic::Service { service, .. }
                | Topic::Subtype { service, .. }
                | Topic::Instance { service, .. },
            ) => pattern.matches(*service),
            (pattern @ Pattern::Subtype { .. }, Topic::Subtype { shape, .. }) => {
                pattern.is_subtype(shape)
            }
            (pattern @ Pattern::Subtype { .. }, Topic::Instance { name, .. }) => {
                is_listed(pattern, name, case)
            }
            (pattern @ Pattern::Instance { .. }, Topic::Subtype { service, instance, .. }) => {
                instance.is_some_and(|instance| pattern.is_instance(instance, *service))
            }
            (pattern @ Pattern::Instance { .. }, Topic::Instance { instance, service, .. }) => {
                pattern.is_instance(instance, *service)
            }
            (pattern @ Pattern::Host(_), Topic::Host { labels, .. }) => pattern.is_host(labels),
            _ => false,
        }
    }

    /// Whether something that a topic is about is allowed, by this rule alone.
    fn allows(&self, topic: &Topic<'_>, case: Case<'_>) -> bool {
        match (&self.pattern, topic) {
            (
                Pattern::Subtype { service: pattern, .. }
                | Pattern::Instance { service: Some(pattern), .. },
                Topic::Service { service, .. },
            ) => pattern.matches(*service),
            (pattern @ Pattern::Instance { service: None, .. }, Topic::Service { name, .. }) => {
                let mut instances = case.names.instances_of(name, case.from.link, case.now);
                case.is_asked
                    || instances.any(|instance| match instance.shape() {
                        Shape::Instance { instance, service } => {
                            pattern.is_instance(instance, service)
                        }
                        _ => false,
                    })
            }
            (Pattern::Subtype { service: pattern, .. }, Topic::Instance { service, .. })
                if case.is_asked =>
            {
                pattern.matches(*service)
            }
            (
                Pattern::Instance { service: pattern, .. },
                Topic::Subtype { service, instance: None, .. },
            ) => case.is_asked && pattern.as_ref().is_none_or(|pattern| pattern.matches(*service)),
            (Pattern::Host(_), Topic::HostAt(_))
            | (
                Pattern::Service(_) | Pattern::Subtype { .. } | Pattern::Instance { .. },
                Topic::Enumeration,
            ) => case.is_asked,
            _ => self.denies(topic, case),
        }
    }
}

impl<'n> Topic<'n> {
    fn of(shape: Shape<'n>, name: &'n Name<'n>) -> Self {
        match shape {
            Shape::Service(service) => Self::Service { service, name },
            Shape::Subtype { service, .. } => Self::Subtype { shape, service, instance: None },
            Shape::Instance { instance, service } => Self::Instance { instance, service, name },
            Shape::Enumeration => Self::Enumeration,
            Shape::Reverse(address) => Self::HostAt(address),
            Shape::Host(labels) => Self::Host { labels, name },
        }
    }
}

fn prepare(rules: &[NameRule]) -> Vec<Rule> {
    let prepare = |rule: &NameRule| {
        let pattern = Pattern::new(&rule.subject)?;
        Some(Rule { from: rule.from, to: rule.to, pattern })
    };
    rules.iter().filter_map(prepare).collect()
}

/// Whether an instance is listed by a subtype that a rule is about.
fn is_listed(pattern: &Pattern, instance: &Name<'_>, case: Case<'_>) -> bool {
    let mut subtypes = case.names.subtypes_of(instance, case.from.link, case.now);
    subtypes.any(|subtype| pattern.is_subtype(&subtype.shape()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::sample::{
        INSIDE, NOW, OUTSIDE, SOURCE, address, name, nsec, ptr, question, record, sender, srv, txt,
    };
    use super::*;
    use crate::Subject;
    use magpie_wire::dns::kind;

    fn service(text: &str) -> Subject {
        Subject::Service(text.into())
    }

    fn subtype(text: &str) -> Subject {
        Subject::Subtype(text.into())
    }

    fn instance(text: &str) -> Subject {
        Subject::Instance(text.into())
    }

    fn host(text: &str) -> Subject {
        Subject::Host(text.into())
    }

    fn rule(subject: Subject, from: Place, to: Place) -> NameRule {
        let only = |place: Place| [place.member].into_iter().collect();
        NameRule { from: only(from), to: only(to), subject }
    }

    /// From the inside to the outside.
    fn outward(subjects: impl IntoIterator<Item = Subject>) -> Vec<NameRule> {
        subjects.into_iter().map(|subject| rule(subject, INSIDE, OUTSIDE)).collect()
    }

    fn filter(
        allow: impl IntoIterator<Item = Subject>,
        deny: impl IntoIterator<Item = Subject>,
    ) -> Filter {
        Filter::new(&Mdns { allow: outward(allow), deny: outward(deny), ..Mdns::default() })
    }

    /// What a printer with a dot in its name and the host that it is say on the inside.
    fn island() -> (Vec<Record<'static>>, Names) {
        let records = vec![
            ptr("_ipp._tcp.local", r"Dr\. No._ipp._tcp.local"),
            ptr("_printer._sub._ipp._tcp.local", r"Dr\. No._ipp._tcp.local"),
            ptr("_services._dns-sd._udp.local", "_ipp._tcp.local"),
            srv(r"Dr\. No._ipp._tcp.local", "pi-41.local"),
            txt(r"Dr\. No._ipp._tcp.local"),
            nsec(r"Dr\. No._ipp._tcp.local", &[kind::TXT, kind::SRV]),
            address("pi-41.local", "2001:db8::41"),
            nsec("pi-41.local", &[kind::AAAA]),
            ptr("1.2.0.192.in-addr.arpa", "pi-41.local"),
            ptr("_myipp._tcp.local", "Dr._myipp._tcp.local"),
            ptr("_ipp._udp.local", "Dr._ipp._udp.local"),
            ptr("_services._dns-sd._udp.local", "_myipp._tcp.local"),
            address("pi-42.local", "2001:db8::42"),
            address("pi-41.example.com", "2001:db8::43"),
            ptr("b._dns-sd._udp.local", "local"),
        ];
        let mut names = Names::new(64);
        for record in &records {
            names.observe(INSIDE.link, SOURCE, sender(1), record, NOW);
        }
        (records, names)
    }

    /// The places in the island of what crosses outward.
    fn crossing(filter: &Filter) -> Vec<usize> {
        let (records, names) = island();
        let crosses = |record| filter.record(record, INSIDE, OUTSIDE, &names, NOW).is_ok();
        (0..records.len()).filter(|index| crosses(&records[*index])).collect()
    }

    #[test]
    fn everything_crosses_without_rules() {
        assert_eq!(crossing(&filter([], [])), (0..15).collect::<Vec<_>>());
    }

    #[test]
    fn only_what_is_allowed_crosses_label_by_label() {
        for (subject, expected) in [
            (service("_ipp._tcp"), vec![0, 1, 2, 3, 4, 5]),
            (service("_IPP._TCP.local"), vec![0, 1, 2, 3, 4, 5]),
            (service("_ipp*._tcp"), vec![0, 1, 2, 3, 4, 5]),
            (service("_*ipp._tcp"), vec![0, 1, 2, 3, 4, 5, 9, 11]),
            (service("_ipp._*"), vec![0, 1, 2, 3, 4, 5, 10]),
            (service("_dns-sd._udp"), vec![14]),
            (service("_pp._tcp"), vec![]),
            (subtype("_printer._sub._ipp._tcp"), vec![0, 1, 2, 3, 4, 5]),
            (subtype("_scanner._sub._ipp._tcp"), vec![2]),
            (instance("Dr. No"), vec![0, 1, 2, 3, 4, 5]),
            (instance("dr. no._ipp._tcp"), vec![0, 1, 2, 3, 4, 5]),
            (instance("dr. no._http._tcp"), vec![]),
            (instance("Dr"), vec![9, 10, 11]),
            (host("pi-41"), vec![6, 7, 8]),
            (host("PI-4*"), vec![6, 7, 8, 12]),
            (host("pi-41.example.com"), vec![13]),
            (host("pi"), vec![]),
        ] {
            let text = format!("{subject:?}");
            assert_eq!(crossing(&filter([subject], [])), expected, "{text}");
        }
    }

    #[test]
    fn what_is_denied_does_not_cross_and_the_rest_does() {
        for (subject, expected) in [
            (service("_ipp._tcp"), vec![0, 1, 2, 3, 4, 5]),
            (subtype("_printer._sub._ipp._tcp"), vec![0, 1, 3, 4, 5]),
            (subtype("_scanner._sub._ipp._tcp"), vec![]),
            (instance("Dr. No"), vec![0, 1, 3, 4, 5]),
            (instance("Dr"), vec![9, 10]),
            (host("pi-41"), vec![6, 7, 8]),
            (host("*"), vec![6, 7, 8, 12]),
        ] {
            let text = format!("{subject:?}");
            let denied: Vec<_> = {
                let crossing = crossing(&filter([], [subject]));
                (0..15).filter(|index| !crossing.contains(index)).collect()
            };
            assert_eq!(denied, expected, "{text}");
        }
    }

    #[test]
    fn nothing_crosses_the_other_way() {
        let (records, names) = island();
        let allowed = filter([service("_ipp._tcp")], []);
        let denied = filter([], [service("_ipp._tcp")]);
        for record in &records {
            assert!(allowed.record(record, OUTSIDE, INSIDE, &names, NOW).is_err());
            assert_eq!(denied.record(record, OUTSIDE, INSIDE, &names, NOW), Ok(()));
        }
    }

    #[test]
    fn the_host_of_a_service_that_crossed_may_cross() {
        let (_, mut names) = island();
        let filter = filter([service("_ipp._tcp")], []);
        let record = address("pi-41.local", "2001:db8::41");
        let check = |names: &Names, now| filter.record(&record, INSIDE, OUTSIDE, names, now);
        assert_eq!(check(&names, NOW), Err(Verdict::NotWanted));
        let (from, to) = (INSIDE.link, OUTSIDE.link);
        names.pass_target(&name("PI-41.local"), from, to, sender(1), 10, NOW);
        assert_eq!(check(&names, NOW), Ok(()));
        let asked = question("pi-41.local");
        assert_eq!(filter.question(&asked, OUTSIDE, INSIDE, &names, NOW), Ok(()));
        assert!(filter.question(&asked, INSIDE, OUTSIDE, &names, NOW).is_err());
        let later = |seconds| NOW + std::time::Duration::from_secs(seconds);
        assert_eq!(check(&names, later(74)), Ok(()));
        assert_eq!(check(&names, later(75)), Err(Verdict::NotWanted));
    }

    #[test]
    fn questions_cross_if_an_answer_might_come_back() {
        let (_, names) = island();
        let every =
            ["_ipp._tcp.local", "_printer._sub._ipp._tcp.local", r"Dr\. No._ipp._tcp.local"];
        let questions = [every[0], every[1], every[2]].into_iter().chain([
            "_http._tcp.local",
            "_services._dns-sd._udp.local",
            "pi-41.local",
            "1.2.0.192.in-addr.arpa",
            "lb._dns-sd._udp.local",
        ]);
        let questions: Vec<_> = questions.map(question).collect();
        let crossing = |filter: &Filter| -> Vec<usize> {
            let crosses = |asked| filter.question(asked, OUTSIDE, INSIDE, &names, NOW).is_ok();
            (0..questions.len()).filter(|index| crosses(&questions[*index])).collect()
        };
        for (subject, expected) in [
            (service("_ipp._tcp"), vec![0, 1, 2, 4]),
            (subtype("_printer._sub._ipp._tcp"), vec![0, 1, 2, 4]),
            (subtype("_scanner._sub._ipp._tcp"), vec![0, 2, 4]),
            (instance("Dr. No"), vec![0, 1, 2, 3, 4, 7]),
            (instance("Dr. No._ipp._tcp"), vec![0, 1, 2, 4]),
            (instance("Kitchen._ipp._tcp"), vec![0, 1, 4]),
            (host("pi-*"), vec![5, 6]),
            (service("_http._tcp"), vec![3, 4]),
        ] {
            let text = format!("{subject:?}");
            assert_eq!(crossing(&filter([subject], [])), expected, "{text}");
        }
        for (subject, expected) in [
            (service("_ipp._tcp"), vec![3, 4, 5, 6, 7]),
            (subtype("_printer._sub._ipp._tcp"), vec![0, 3, 4, 5, 6, 7]),
            (instance("Dr. No"), vec![0, 1, 3, 4, 5, 6, 7]),
            (host("pi-*"), vec![0, 1, 2, 3, 4, 6, 7]),
        ] {
            let text = format!("{subject:?}");
            assert_eq!(crossing(&filter([], [subject])), expected, "{text}");
        }
    }

    #[test]
    fn names_of_addresses_of_one_link_never_cross() {
        let names = Names::new(8);
        let filter = filter([], []);
        let fe80 = format!("{}8.e.f.ip6.arpa", "0.".repeat(29));
        for reverse in ["2.1.254.169.in-addr.arpa", &fe80] {
            let asked = filter.question(&question(reverse), INSIDE, OUTSIDE, &names, NOW);
            assert_eq!(asked, Err(Verdict::LinkScoped));
            let said = filter.record(&ptr(reverse, "pi.local"), INSIDE, OUTSIDE, &names, NOW);
            assert_eq!(said, Err(Verdict::LinkScoped));
        }
    }

    #[test]
    fn a_probe_crosses_if_either_direction_is_allowed() {
        let names = Names::new(8);
        let filter = filter([host("pi-*")], []);
        for (asker, other) in [(INSIDE, OUTSIDE), (OUTSIDE, INSIDE)] {
            let check = |text| filter.probe(&question(text), asker, other, &names, NOW).is_ok();
            assert!(check("pi-41.local"));
            assert!(!check("printer.local"));
        }
    }

    #[test]
    fn an_instance_is_not_listed_under_another_type_to_get_across() {
        let names = Names::new(8);
        let filter = filter([service("_ipp._tcp")], []);
        for (owner, target) in
            [("_http._tcp.local", "Dr._ipp._tcp.local"), ("_ipp._tcp.local", "Dr._http._tcp.local")]
        {
            let record = ptr(owner, target);
            let verdict = filter.record(&record, INSIDE, OUTSIDE, &names, NOW);
            assert_eq!(verdict, Err(Verdict::Denied), "{owner}");
        }
    }

    fn subjects() -> impl Strategy<Value = Subject> {
        prop::sample::select(vec![
            service("_ipp._tcp"),
            service("_*._tcp"),
            subtype("_printer._sub._ipp._tcp"),
            instance("Dr. No"),
            instance("*._ipp._tcp"),
            host("pi-41"),
            host("*"),
        ])
    }

    fn rules() -> impl Strategy<Value = Vec<NameRule>> {
        let places = prop::sample::select(vec![(INSIDE, OUTSIDE), (OUTSIDE, INSIDE)]);
        let rule = (subjects(), places).prop_map(|(subject, (from, to))| rule(subject, from, to));
        prop::collection::vec(rule, 0..4)
    }

    proptest! {
        #[test]
        fn what_denies_beats_what_allows(allow in rules(), deny in rules()) {
            let (records, names) = island();
            let denying = Mdns { deny: deny.clone(), ..Mdns::default() };
            let both = Filter::new(&Mdns { allow: allow.clone(), ..denying.clone() });
            let (denying, allowing) =
                (Filter::new(&denying), Filter::new(&Mdns { allow, ..Mdns::default() }));
            for record in &records {
                let check = |filter: &Filter| {
                    filter.record(record, INSIDE, OUTSIDE, &names, NOW).is_ok()
                };
                prop_assert_eq!(check(&both), check(&denying) && check(&allowing));
            }
        }

        #[test]
        fn what_may_be_answered_may_be_asked(allow in rules(), deny in rules()) {
            let (records, names) = island();
            let filter = Filter::new(&Mdns { allow, deny, ..Mdns::default() });
            for record in &records {
                if filter.record(record, INSIDE, OUTSIDE, &names, NOW).is_ok() {
                    let asked = question(&record.name.to_string());
                    let verdict = filter.question(&asked, OUTSIDE, INSIDE, &names, NOW);
                    prop_assert_eq!(verdict, Ok(()), "{}", record.name);
                    let probe = filter.probe(&asked, INSIDE, OUTSIDE, &names, NOW);
                    prop_assert_eq!(probe, Ok(()));
                }
            }
        }

        #[test]
        fn rules_do_not_care_for_case(allow in rules(), upper in any::<bool>()) {
            let (records, names) = island();
            let filter = Filter::new(&Mdns { allow, ..Mdns::default() });
            for known in records.iter().filter(|record| record.kind() == kind::TXT) {
                let text = known.name.to_string();
                let text = if upper { text.to_uppercase() } else { text.to_lowercase() };
                let other = record(&text, kind::TXT, &[0]);
                prop_assert_eq!(
                    filter.record(known, INSIDE, OUTSIDE, &names, NOW),
                    filter.record(&other, INSIDE, OUTSIDE, &names, NOW)
                );
            }
        }
    }
}
