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
        Self { allow: prepare(&settings.allow), deny: prepare(&settings.deny) }
    }

    /// Whether some names are let through by being named.
    pub(crate) fn is_selective(&self) -> bool {
        !self.allow.is_empty()
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
        if self.allow.is_empty() {
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
