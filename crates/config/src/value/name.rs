//! Names of services and hosts, as rules about names write them.

use std::net::IpAddr;

use magpie_engine::Subject;

use super::ValueError;

/// What a rule about names is about.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum SubjectKind {
    /// A service type.
    Service,
    /// A subtype of one.
    Subtype,
    /// A service instance.
    Instance,
    /// A host.
    Host,
}

impl SubjectKind {
    /// All there are, in the order in which people are told of them.
    pub(crate) const ALL: [Self; 4] = [Self::Service, Self::Subtype, Self::Instance, Self::Host];

    /// How it is written down.
    pub(crate) const fn key(self) -> &'static str {
        match self {
            Self::Service => "service",
            Self::Subtype => "subtype",
            Self::Instance => "instance",
            Self::Host => "host",
        }
    }

    /// What a text looks like, quotes and all.
    pub(crate) const fn example(self) -> &'static str {
        match self {
            Self::Service => "\"_ipp._tcp\"",
            Self::Subtype => "\"_printer._sub._ipp._tcp\"",
            Self::Instance => "\"Kitchen Printer\"",
            Self::Host => "\"pi-41\"",
        }
    }

    /// Which one a subject is, and its text.
    pub(crate) fn of(subject: &Subject) -> (Self, &str) {
        match subject {
            Subject::Service(text) => (Self::Service, text),
            Subject::Subtype(text) => (Self::Subtype, text),
            Subject::Instance(text) => (Self::Instance, text),
            Subject::Host(text) => (Self::Host, text),
        }
    }

    /// Reads what a rule is about: `.local` at its end may be left out, and is.
    ///
    /// # Errors
    ///
    /// What is wrong, and where.
    pub(crate) fn read(self, text: &str) -> Result<Subject, ValueError> {
        let name = without_domain(text);
        if name.is_empty() {
            let message = format!("the name of the {} is missing", self.noun());
            return Err(ValueError::new(0..text.len(), message)
                .label(format!("expected something like {}", self.example())));
        }
        check_text(name)?;
        match self {
            Self::Service => check_service(name).map(|()| Subject::Service(name.into())),
            Self::Subtype => check_subtype(name).map(|()| Subject::Subtype(name.into())),
            Self::Instance => check_instance(name).map(|()| Subject::Instance(name.into())),
            Self::Host => check_host(name).map(|()| Subject::Host(name.into())),
        }
    }

    const fn noun(self) -> &'static str {
        match self {
            Self::Service => "service type",
            Self::Subtype => "subtype",
            Self::Instance => "instance",
            Self::Host => "host",
        }
    }
}

/// What makes one doubt that a service of this type is ever seen: names that break RFC 6335 section
/// 5.1 are out there nevertheless.
pub(crate) fn doubtful_service(subject: &Subject) -> Option<ValueError> {
    let (kind, text) = SubjectKind::of(subject);
    let at = match kind {
        SubjectKind::Service => 0,
        SubjectKind::Subtype => text.find(SUBTYPE).map(|at| at + SUBTYPE.len())?,
        SubjectKind::Instance | SubjectKind::Host => return None,
    };
    let name = text.get(at..)?.split('.').next()?.strip_prefix('_')?;
    let label = if name.len() > LONGEST_SERVICE_NAME {
        format!("such names have at most {LONGEST_SERVICE_NAME} characters")
    } else if let Some(odd) =
        name.chars().find(|c| !c.is_ascii_alphanumeric() && !matches!(c, '-' | '*'))
    {
        format!("such names are made of letters, digits and hyphens: `{odd}` is neither")
    } else if name.starts_with('-') || name.ends_with('-') || name.contains("--") {
        "hyphens stand alone, between others".to_owned()
    } else if !name.contains(|c: char| c.is_ascii_alphabetic() || c == '*') {
        "such names have a letter at least".to_owned()
    } else {
        return None;
    };
    let span = at + 1..at + 1 + name.len();
    let message = format!("`{name}` is no name of a service (RFC 6335 section 5.1)");
    Some(ValueError::new(span, message).label(label))
}

/// The name without the domain that all names here are in, and without the final dot.
fn without_domain(text: &str) -> &str {
    let name = text.strip_suffix('.').unwrap_or(text);
    if name.eq_ignore_ascii_case("local") {
        return "";
    }
    let cut = name.len().checked_sub(DOMAIN.len());
    match cut.and_then(|at| name.split_at_checked(at)) {
        Some((rest, end)) if end.eq_ignore_ascii_case(DOMAIN) => rest,
        _ => name,
    }
}

/// Checks what no name has.
fn check_text(name: &str) -> Result<(), ValueError> {
    if let Some(at) = name.find('\\') {
        return Err(ValueError::new(at..at + 1, "there are no escapes in names here")
            .label("write the character itself")
            .help("for example `Kitchen Printer`, not `Kitchen\\032Printer`"));
    }
    if let Some((at, c)) = name.char_indices().find(|(_, c)| c.is_control()) {
        return Err(ValueError::new(at..at + c.len_utf8(), "names have no control characters"));
    }
    if name.len() > LONGEST_NAME {
        return Err(ValueError::new(0..name.len(), "the name is too long")
            .label(format!("names have at most {LONGEST_NAME} octets (RFC 1035 section 2.3.4)")));
    }
    Ok(())
}

/// Checks one label that stands at `at`.
fn check_label(label: &str, at: usize) -> Result<(), ValueError> {
    let span = at..at + label.len();
    if label.is_empty() {
        return Err(ValueError::new(span, "a part of the name is missing")
            .label("there is nothing between these dots"));
    }
    if label.len() > LONGEST_LABEL {
        return Err(ValueError::new(span, "a part of the name is too long")
            .label(format!("parts have at most {LONGEST_LABEL} octets (RFC 1035 section 2.3.4)")));
    }
    Ok(())
}

/// Checks a service type: `_ipp._tcp` (RFC 6763 section 7).
fn check_service(name: &str) -> Result<(), ValueError> {
    let labels: Vec<&str> = name.split('.').collect();
    let whole = || 0..name.len();
    if name.eq_ignore_ascii_case(ENUMERATION) {
        return Err(ValueError::new(whole(), "this is no service type, but the list of them")
            .label("it crosses by itself, with the types that cross (RFC 6763 section 9)"));
    }
    if let [before @ .., service, transport] = labels.as_slice()
        && !before.is_empty()
        && is_type(service, transport)
    {
        return Err(if before.last().is_some_and(|label| label.eq_ignore_ascii_case("_sub")) {
            ValueError::new(whole(), "this is a subtype")
                .label(format!("write `subtype = \"{name}\"`"))
        } else {
            ValueError::new(whole(), "this is an instance of a service")
                .label(format!("write `instance = \"{name}\"`"))
        });
    }
    check_type(name, 0)
}

/// Checks what shall be a service type, within a text where it stands at `at`.
fn check_type(name: &str, at: usize) -> Result<(), ValueError> {
    let labels: Vec<&str> = name.split('.').collect();
    if let [service, transport] = labels.as_slice()
        && is_type(service, transport)
    {
        check_label(service, at)?;
        if service.len() > 1 {
            return Ok(());
        }
    }
    let error = ValueError::new(at..at + name.len(), format!("`{name}` is no service type"));
    let bare = |label: &str| label.trim_start_matches('_').to_ascii_lowercase();
    let meant = match labels.as_slice() {
        [service] => Some((bare(service), "tcp".to_owned())),
        [service, transport] if matches!(bare(transport).as_str(), "tcp" | "udp") => {
            Some((bare(service), bare(transport)))
        }
        _ => None,
    };
    let error = match meant.filter(|(service, _)| !service.is_empty()) {
        Some((service, transport)) => {
            error.label(format!("did you mean `_{service}._{transport}`?"))
        }
        None => error.label("expected something like `_ipp._tcp`"),
    };
    Err(error.help("a service type is `_`, its name, and `._tcp` or `._udp` (RFC 6763 section 7)"))
}

/// Whether two labels are those of a service type.
fn is_type(service: &str, transport: &str) -> bool {
    service.starts_with('_') && TRANSPORTS.iter().any(|known| transport.eq_ignore_ascii_case(known))
}

/// Checks a subtype: `_printer._sub._ipp._tcp` (RFC 6763 section 7.1).
fn check_subtype(name: &str) -> Result<(), ValueError> {
    let Some((subtype, service)) = split_at_ignoring_case(name, SUBTYPE) else {
        return Err(ValueError::new(0..name.len(), "this is no subtype")
            .label("expected something like `_printer._sub._ipp._tcp`"));
    };
    if subtype.contains('.') {
        return Err(ValueError::new(0..subtype.len(), "a subtype has one part before `._sub`"));
    }
    check_label(subtype, 0)?;
    check_type(service, subtype.len() + SUBTYPE.len())
}

/// Checks an instance, of one type or any: `Kitchen Printer`, `Kitchen Printer._ipp._tcp`. Its own
/// name may have dots in it (RFC 6763 section 4.1.1).
fn check_instance(name: &str) -> Result<(), ValueError> {
    let mut ends = name.rmatch_indices('.').map(|(at, _)| at);
    let transport = ends.next();
    let service = ends.next();
    let instance = match (service, transport) {
        (Some(at), Some(last)) => {
            let labels = (name.get(at + 1..last), name.get(last + 1..));
            if let (Some(service), Some(transport)) = labels
                && is_type(service, transport)
            {
                check_type(name.get(at + 1..).unwrap_or_default(), at + 1)?;
                name.get(..at).unwrap_or_default()
            } else {
                name
            }
        }
        _ => name,
    };
    let is_bare_type = |(service, transport)| is_type(service, transport);
    if instance.split_once('.').is_some_and(is_bare_type) {
        return Err(ValueError::new(0..name.len(), "this is a service type")
            .label(format!("write `service = \"{name}\"`")));
    }
    check_label(instance, 0)
}

/// Checks a host: `pi-41`.
fn check_host(name: &str) -> Result<(), ValueError> {
    if name.parse::<IpAddr>().is_ok() {
        return Err(ValueError::new(0..name.len(), "this is an address, not the name of a host")
            .label("which addresses cross is for `addresses` to say"));
    }
    let mut at = 0;
    for label in name.split('.') {
        check_label(label, at)?;
        if label.starts_with('_') {
            return Err(ValueError::new(
                0..name.len(),
                "names of hosts have no underscores before them",
            )
            .label(format!("did you mean `service = \"{name}\"`?")));
        }
        at += label.len() + 1;
    }
    Ok(())
}

fn split_at_ignoring_case<'t>(text: &'t str, between: &str) -> Option<(&'t str, &'t str)> {
    let at = text.to_ascii_lowercase().find(between)?;
    Some((text.get(..at)?, text.get(at + between.len()..)?))
}

/// The domain of all names that multicast DNS is about (RFC 6762 section 3).
const DOMAIN: &str = ".local";
/// What subtypes have in their middle.
const SUBTYPE: &str = "._sub.";
/// The name that all service types are listed under (RFC 6763 section 9).
const ENUMERATION: &str = "_services._dns-sd._udp";
/// The second label of service types; `_udp` is for everything but TCP.
const TRANSPORTS: [&str; 3] = ["_tcp", "_udp", "_*"];
/// Octets of a name, and of one of its labels.
const LONGEST_NAME: usize = 253;
const LONGEST_LABEL: usize = 63;
/// Characters of a service name without its underscore.
const LONGEST_SERVICE_NAME: usize = 15;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_with_and_without_their_domain() {
        use SubjectKind::{Host, Instance, Service, Subtype};
        for (kind, text, expected) in [
            (Service, "_ipp._tcp", "_ipp._tcp"),
            (Service, "_ipp._TCP.Local.", "_ipp._TCP"),
            (Service, "_*._udp", "_*._udp"),
            (Subtype, "_printer._sub._http._tcp.local", "_printer._sub._http._tcp"),
            (Subtype, "1d2c._sub._matterc._udp", "1d2c._sub._matterc._udp"),
            (Instance, "Kitchen", "Kitchen"),
            (Instance, "Dr. No's Printer", "Dr. No's Printer"),
            (Instance, "Dr. No's Printer._ipp._tcp.local", "Dr. No's Printer._ipp._tcp"),
            (Host, "pi-41.local", "pi-41"),
            (Host, "pi-*", "pi-*"),
            (Host, "Büro.local.", "Büro"),
        ] {
            let subject = kind.read(text).unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!(SubjectKind::of(&subject), (kind, expected), "{text}");
            assert_eq!(doubtful_service(&subject), None, "{text}");
        }
    }

    #[test]
    fn service_names_against_the_rules_are_doubted_only() {
        for (text, span, expected) in [
            ("_nvstream_dbd._tcp", 1..13, "`_` is neither"),
            ("_sixteen-letters-._tcp", 1..17, "at most 15"),
            ("_a--b._tcp", 1..5, "hyphens"),
            ("_123._udp", 1..4, "a letter"),
        ] {
            let subject = SubjectKind::Service.read(text).expect(text);
            let doubt = doubtful_service(&subject).expect(text);
            assert_eq!(doubt.span, span, "{text}");
            assert!(doubt.label.contains(expected), "{doubt:?}");
        }
    }
}
