//! Names as they are kept: in one piece of memory.

use magpie_wire::dns::Name;

use super::shape::Shape;

/// A name: its labels, each after its length.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct Packed(Box<[u8]>);

impl Packed {
    pub(super) fn new(name: &Name<'_>) -> Self {
        let mut octets = Vec::with_capacity(name.wire_len() - 1);
        for label in name.labels() {
            octets.push(u8::try_from(label.len()).unwrap_or(u8::MAX));
            octets.extend_from_slice(label);
        }
        Self(octets.into())
    }

    /// Returns the form in which names are compared: in lower case (RFC 1035 section 2.3.3).
    pub(super) fn key(name: &Name<'_>) -> Self {
        let mut key = Self::new(name);
        key.0.make_ascii_lowercase();
        key
    }

    pub(super) fn to_key(&self) -> Self {
        // Lengths are below 64, and are no letters therefore.
        Self(self.0.to_ascii_lowercase().into())
    }

    pub(super) fn labels(&self) -> impl Iterator<Item = &[u8]> {
        let mut rest = &*self.0;
        std::iter::from_fn(move || {
            let (length, after) = rest.split_first()?;
            let (label, after) = after.split_at_checked(usize::from(*length))?;
            rest = after;
            Some(label)
        })
    }

    pub(super) fn shape(&self) -> Shape<'_> {
        Shape::of_labels(self.labels().collect())
    }

    /// Returns the name, which it was once.
    pub(super) fn to_name(&self) -> Option<Name<'static>> {
        Name::from_labels(self.labels()).ok()
    }

    /// Writes it as DNS does (RFC 1035 section 5.1).
    pub(super) fn text(&self) -> String {
        self.to_name().map(|name| name.to_string()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_survive_and_are_compared_without_case() {
        let name: Name<'static> = r"Dr\. No\'s Bür\000._IPP._tcp.local".parse().unwrap();
        let packed = Packed::new(&name);
        assert_eq!(packed.text(), name.to_string());
        assert!(matches!(packed.shape(), Shape::Instance { .. }));
        let other: Name<'static> = r"dr\. no\'s bür\000._ipp._TCP.local".parse().unwrap();
        assert_eq!(Packed::key(&name), Packed::key(&other));
        assert_ne!(packed, Packed::new(&other));
    }
}
