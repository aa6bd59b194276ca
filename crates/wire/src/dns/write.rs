//! Writes octets and names, and takes them back where they turn out to be too many.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;

use super::name::Name;

/// What stands for the empty label at the end of all names: no name begins in the header.
const ROOT: u16 = 0;
/// The two bits that tell a pointer from a label (RFC 1035 section 4.1.4).
const POINTER: u16 = 0xc000;
/// Lists of suffixes, of which each holds those with like hashes.
const LISTS: usize = 256;

/// Octets in the making.
#[derive(Clone, Debug)]
pub(super) struct Writer {
    octets: Vec<u8>,
    suffixes: Suffixes,
}

/// A place to go back to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mark {
    octets: usize,
    suffixes: usize,
}

impl Writer {
    /// Begins with so many zeros, and with room for as many octets as are likely to come.
    pub(super) fn new(zeros: usize, capacity: usize) -> Self {
        let mut octets = Vec::with_capacity(capacity);
        octets.resize(zeros, 0);
        Self { octets, suffixes: Suffixes::default() }
    }

    pub(super) fn len(&self) -> usize {
        self.octets.len()
    }

    pub(super) fn mark(&self) -> Mark {
        Mark { octets: self.octets.len(), suffixes: self.suffixes.entries.len() }
    }

    /// Takes back what was written since then.
    pub(super) fn rewind(&mut self, mark: Mark) {
        self.octets.truncate(mark.octets);
        self.suffixes.truncate(mark.suffixes);
    }

    pub(super) fn into_octets(self) -> Vec<u8> {
        self.octets
    }

    pub(super) fn put(&mut self, octets: &[u8]) {
        self.octets.extend_from_slice(octets);
    }

    pub(super) fn put_number(&mut self, number: u16) {
        self.put(&number.to_be_bytes());
    }

    /// Writes over two octets that are there.
    pub(super) fn set_number(&mut self, at: usize, number: u16) {
        if let Some(place) = self.octets.get_mut(at..at + 2) {
            place.copy_from_slice(&number.to_be_bytes());
        }
    }

    /// Writes a name in full, which is not pointed to either.
    pub(super) fn put_plain_name(&mut self, name: &Name<'_>) {
        for label in name.labels() {
            self.put_label(label);
        }
        self.put(&[0]);
    }

    /// Writes as much of a name as does not stand anywhere yet, in the same case, and a pointer to the
    /// rest.
    pub(super) fn put_name(&mut self, name: &Name<'_>) {
        let mut rest = ROOT;
        let mut new = name.labels().len();
        for label in name.labels().rev() {
            let Some(at) = self.suffixes.find(&self.octets, label, rest) else { break };
            rest = at;
            new -= 1;
        }
        for (label, left) in name.labels().zip((0..new).rev()) {
            let at = self.octets.len();
            self.put_label(label);
            let next = if left == 0 { Some(rest) } else { u16::try_from(self.octets.len()).ok() };
            if let (Ok(at), Some(next)) = (u16::try_from(at), next)
                && at < POINTER
            {
                self.suffixes.push(label, next, at);
            }
        }
        if rest == ROOT { self.put(&[0]) } else { self.put_number(POINTER | rest) }
    }

    fn put_label(&mut self, label: &[u8]) {
        // No label is longer than 63 octets.
        self.octets.extend(u8::try_from(label.len()));
        self.put(label);
    }
}

/// Which names there are to point to. Each stands for a label and the place of the rest of its name,
/// so that a name is found label by label from the last one on.
#[derive(Clone, Debug)]
struct Suffixes {
    entries: Vec<Suffix>,
    /// Of each list, how many entries there were when the last one was added to it.
    lists: [u16; LISTS],
    /// With keys of its own, so that nobody can choose names with like hashes.
    hasher: RandomState,
}

#[derive(Clone, Copy, Debug)]
struct Suffix {
    hash: u64,
    at: u16,
    rest: u16,
    /// What stood in `lists` before.
    earlier: u16,
}

impl Default for Suffixes {
    fn default() -> Self {
        Self { entries: Vec::new(), lists: [0; LISTS], hasher: RandomState::new() }
    }
}

impl Suffixes {
    fn find(&self, octets: &[u8], label: &[u8], rest: u16) -> Option<u16> {
        let hash = self.hasher.hash_one((label, rest));
        let mut number = *self.lists.get(list(hash))?;
        loop {
            let suffix = self.entries.get(usize::from(number).checked_sub(1)?)?;
            let found = suffix.hash == hash && suffix.rest == rest;
            if found && is_label_at(octets, suffix.at.into(), label) {
                return Some(suffix.at);
            }
            number = suffix.earlier;
        }
    }

    fn push(&mut self, label: &[u8], rest: u16, at: u16) {
        let hash = self.hasher.hash_one((label, rest));
        let Ok(number) = u16::try_from(self.entries.len() + 1) else { return };
        if let Some(last) = self.lists.get_mut(list(hash)) {
            self.entries.push(Suffix { hash, at, rest, earlier: *last });
            *last = number;
        }
    }

    fn truncate(&mut self, length: usize) {
        while self.entries.len() > length
            && let Some(suffix) = self.entries.pop()
        {
            if let Some(last) = self.lists.get_mut(list(suffix.hash)) {
                *last = suffix.earlier;
            }
        }
    }
}

fn list(hash: u64) -> usize {
    usize::from(hash.to_be_bytes()[0])
}

fn is_label_at(octets: &[u8], at: usize, label: &[u8]) -> bool {
    let length = octets.get(at).copied().map(usize::from);
    length == Some(label.len()) && octets.get(at + 1..at + 1 + label.len()) == Some(label)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(names: &[&str]) -> Writer {
        let mut writer = Writer::new(12, 0);
        for name in names {
            writer.put_name(&name.parse().unwrap());
        }
        writer
    }

    #[test]
    fn names_point_to_the_longest_name_before_them() {
        let writer = written(&["b.local", "a.b.local", "b.local", "c.a.b.local", "a.local", "."]);
        let expected = [
            b"\x01b\x05local\0".as_slice(),
            b"\x01a\xc0\x0c",
            b"\xc0\x0c",
            b"\x01c\xc0\x15",
            b"\x01a\xc0\x0e",
            b"\0",
        ];
        assert_eq!(writer.into_octets()[12..], expected.concat());
    }

    #[test]
    fn names_of_another_case_are_not_pointed_to() {
        let writer = written(&["Pi.local", "pi.local", "Pi.local"]);
        let expected = b"\x02Pi\x05local\0\x02pi\xc0\x0f\xc0\x0c";
        assert_eq!(writer.into_octets()[12..], *expected);
    }

    #[test]
    fn what_is_taken_back_is_not_pointed_to() {
        let mut writer = written(&["a.local"]);
        let mark = writer.mark();
        for name in ["b.a.local", "c.b.a.local", "d.local", "a.local"] {
            writer.put_name(&name.parse().unwrap());
        }
        writer.rewind(mark);
        assert_eq!(writer.len(), 12 + 9);
        let again = ["d.local", "b.a.local"];
        for name in again {
            writer.put_name(&name.parse().unwrap());
        }
        assert_eq!(writer.into_octets(), written(&["a.local", again[0], again[1]]).into_octets());
    }

    #[test]
    fn plain_names_are_written_in_full() {
        let mut writer = written(&["a.local"]);
        writer.put_plain_name(&"b.local".parse().unwrap());
        writer.put_name(&"b.local".parse().unwrap());
        assert_eq!(writer.into_octets()[21..], *b"\x01b\x05local\0\x01b\xc0\x0e");
    }
}
