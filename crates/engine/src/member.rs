//! The links of a relay as the configuration counts them.

/// One of the links that are configured for a relay: its position there, whatever device it is at
/// present and whether there is one.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Member(pub u8);

/// Some of the links that are configured for a relay.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Members(u128);

impl Members {
    /// No link.
    pub const NONE: Self = Self(0);
    /// Every link.
    pub const ALL: Self = Self(u128::MAX);
    /// More links than this a relay cannot have.
    pub const MAX: usize = 128;

    /// Whether `member` is among them.
    pub fn contains(self, member: Member) -> bool {
        self.0.checked_shr(member.0.into()).is_some_and(|rest| rest & 1 == 1)
    }

    /// Adds `member`; one beyond [`Members::MAX`] is left out.
    pub fn insert(&mut self, member: Member) {
        self.0 |= 1u128.checked_shl(member.0.into()).unwrap_or_default();
    }

    /// Returns the links that are in either.
    #[must_use]
    pub fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether there are none.
    pub fn is_empty(self) -> bool {
        self == Self::NONE
    }
}

impl FromIterator<Member> for Members {
    fn from_iter<I: IntoIterator<Item = Member>>(members: I) -> Self {
        let mut set = Self::NONE;
        members.into_iter().for_each(|member| set.insert(member));
        set
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_holds_what_was_put_in() {
        let set: Members = [Member(0), Member(127), Member(200)].into_iter().collect();
        for member in 0..=u8::MAX {
            assert_eq!(set.contains(Member(member)), matches!(member, 0 | 127), "{member}");
        }
        assert!(Members::ALL.contains(Member(127)));
        assert!(!Members::ALL.contains(Member(128)));
        assert!(Members::NONE.is_empty() && !set.is_empty());
    }
}
