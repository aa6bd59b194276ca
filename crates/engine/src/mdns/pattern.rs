//! Tells which names a rule is about.

use super::settings::Subject;
use super::shape::{ServiceType, Shape};

/// A label with `*` in it, compared without regard to case.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Glob(Box<[Option<u8>]>);

impl Glob {
    /// Reads a label as rules write it: nothing but `*` means anything else than itself.
    pub(super) fn new(label: &str) -> Self {
        let octet = |octet: u8| (octet != b'*').then_some(octet.to_ascii_lowercase());
        Self(label.bytes().map(octet).collect())
    }

    /// Whether a label looks like it.
    pub(super) fn matches(&self, label: &[u8]) -> bool {
        let (mut at, mut next) = (0, 0);
        // The last star, and how much of the label it stood for when it was tried last.
        let mut star: Option<(usize, usize)> = None;
        loop {
            match (self.0.get(at), label.get(next)) {
                (None, None) => return true,
                (Some(None), _) => {
                    star = Some((at, next));
                    at += 1;
                }
                (Some(Some(wanted)), Some(octet)) if *wanted == octet.to_ascii_lowercase() => {
                    at += 1;
                    next += 1;
                }
                (_, None) => return false,
                (_, Some(_)) => {
                    let Some((place, tried)) = star else { return false };
                    star = Some((place, tried + 1));
                    at = place + 1;
                    next = tried + 1;
                }
            }
        }
    }
}

/// Service types.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct TypePattern {
    name: Glob,
    transport: Glob,
}

impl TypePattern {
    fn new(name: &str, transport: &str) -> Self {
        Self { name: Glob::new(name), transport: Glob::new(transport) }
    }

    pub(super) fn matches(&self, service: ServiceType<'_>) -> bool {
        self.name.matches(service.name) && self.transport.matches(service.transport)
    }
}

/// A [`Subject`], ready to be compared.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Pattern {
    Service(TypePattern),
    Subtype { subtype: Glob, service: TypePattern },
    Instance { instance: Glob, service: Option<TypePattern> },
    Host(Box<[Glob]>),
}

impl Pattern {
    /// Prepares a subject. One that is no name of its kind matches nothing.
    pub(super) fn new(subject: &Subject) -> Option<Self> {
        match subject {
            Subject::Service(text) => {
                let (name, transport) = without_domain(text).split_once('.')?;
                Some(Self::Service(TypePattern::new(name, transport)))
            }
            Subject::Subtype(text) => {
                let labels: Vec<_> = without_domain(text).split('.').collect();
                let [subtype, _, name, transport] = labels[..] else { return None };
                let service = TypePattern::new(name, transport);
                Some(Self::Subtype { subtype: Glob::new(subtype), service })
            }
            Subject::Instance(text) => Some(Self::instance(without_domain(text))),
            Subject::Host(text) => {
                Some(Self::Host(without_domain(text).split('.').map(Glob::new).collect()))
            }
        }
    }

    /// Instances may have dots in their names (RFC 6763 section 4.1.1), so that the type is what
    /// looks like one at the end.
    fn instance(text: &str) -> Self {
        let typed = text.rsplit_once('.').and_then(|(rest, transport)| {
            let (instance, name) = rest.rsplit_once('.')?;
            let is_type = name.starts_with('_') && transport.starts_with('_');
            is_type.then(|| (instance, TypePattern::new(name, transport)))
        });
        let (instance, service) = match typed {
            Some((instance, service)) => (instance, Some(service)),
            None => (text, None),
        };
        Self::Instance { instance: Glob::new(instance), service }
    }

    /// Whether a host name is meant: what stands before `.local`, or all of a name elsewhere.
    pub(super) fn is_host(&self, labels: &[&[u8]]) -> bool {
        let Self::Host(globs) = self else { return false };
        globs.len() == labels.len()
            && globs.iter().zip(labels).all(|(glob, label)| glob.matches(label))
    }

    /// Whether an instance of `service` is meant by its own name.
    pub(super) fn is_instance(&self, label: &[u8], service: ServiceType<'_>) -> bool {
        let Self::Instance { instance, service: of } = self else { return false };
        instance.matches(label) && of.as_ref().is_none_or(|of| of.matches(service))
    }

    /// Whether a subtype is meant: the one that a name is of.
    pub(super) fn is_subtype(&self, shape: &Shape<'_>) -> bool {
        let Self::Subtype { subtype, service } = self else { return false };
        match shape {
            Shape::Subtype { subtype: label, service: of } => {
                subtype.matches(label) && service.matches(*of)
            }
            _ => false,
        }
    }
}

/// Takes off the domain that all these names are in.
fn without_domain(text: &str) -> &str {
    let name = text.strip_suffix('.').unwrap_or(text);
    let cut = name.len().checked_sub(".local".len()).and_then(|at| name.split_at_checked(at));
    match cut {
        Some((rest, domain)) if domain.eq_ignore_ascii_case(".local") => rest,
        _ => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_stand_for_any_octets_of_one_label() {
        for (pattern, label, expected) in [
            ("pi-41", "PI-41", true),
            ("pi-41", "pi-411", false),
            ("pi-41", "xpi-41", false),
            ("pi-*", "pi-", true),
            ("pi-*", "pi-41", true),
            ("*", "", true),
            ("*-41", "pi-4-41", true),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "a-c-b", false),
            ("*a*", "bbb", false),
            ("Büro", "büro", true),
            ("BÜRO", "büro", false),
            ("a.b", "a.b", true),
            ("", "", true),
            ("", "a", false),
        ] {
            assert_eq!(Glob::new(pattern).matches(label.as_bytes()), expected, "{pattern} {label}");
        }
    }

    #[test]
    fn an_instance_may_have_dots_and_a_type() {
        let service = ServiceType { name: b"_ipp", transport: b"_tcp" };
        let other = ServiceType { name: b"_http", transport: b"_tcp" };
        for (text, label, of_type, of_other) in [
            ("Dr. No", "Dr. No", true, true),
            ("Dr. No._ipp._tcp", "dr. no", true, false),
            ("Dr. No._ipp._tcp.local", "dr. no", true, false),
            ("*._ipp._tcp", "anything", true, false),
            ("Dr. No", "Dr", false, false),
        ] {
            let pattern = Pattern::new(&Subject::Instance(text.into())).unwrap();
            assert_eq!(pattern.is_instance(label.as_bytes(), service), of_type, "{text}");
            assert_eq!(pattern.is_instance(label.as_bytes(), other), of_other, "{text}");
        }
    }
}
