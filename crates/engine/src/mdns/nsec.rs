//! What is left of the statement that a name has no other records (RFC 6762 section 6.1), when some
//! of those that it has do not cross.

use std::borrow::Cow;

use magpie_wire::dns::{Data, Record, kind};

use super::view::Verdict;

/// Whether the addresses of a name cross.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Fate {
    /// None is known.
    Unknown,
    /// One at least crosses.
    Crosses,
    /// None crosses: this is why.
    Withheld(Verdict),
}

impl Fate {
    /// Sums up what becomes of each.
    pub(super) fn of(verdicts: impl Iterator<Item = Result<(), Verdict>>) -> Self {
        verdicts.fold(Self::Unknown, |fate, verdict| match (fate, verdict) {
            (Self::Crosses, _) | (_, Ok(())) => Self::Crosses,
            (Self::Unknown, Err(why)) => Self::Withheld(why),
            (withheld @ Self::Withheld(_), Err(_)) => withheld,
        })
    }
}

/// Takes out of an NSEC record the address types of which nothing crosses, so that who asks for
/// them is told at once that there are none.
///
/// # Errors
///
/// If nothing is left that it could say: why the first type that it names does not cross.
pub(super) fn adjust<'r, 'p>(
    record: &'r Record<'p>,
    fate: impl Fn(u16) -> Fate,
) -> Result<Cow<'r, Record<'p>>, Verdict>
where
    'p: 'r,
{
    let Data::Nsec { types, .. } = record.data() else { return Ok(Cow::Borrowed(record)) };
    let named = [kind::A, kind::AAAA].into_iter().filter(|kind| types.contains(*kind));
    let withheld: Vec<_> = named
        .filter_map(|kind| match fate(kind) {
            Fate::Withheld(why) => Some((kind, why)),
            Fate::Unknown | Fate::Crosses => None,
        })
        .collect();
    let Some((_, why)) = withheld.first().copied() else { return Ok(Cow::Borrowed(record)) };
    let is_withheld = |kind| withheld.iter().any(|(other, _)| *other == kind);
    record.without_types(is_withheld).map(Cow::Owned).ok_or(why)
}
