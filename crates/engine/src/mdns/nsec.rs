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
    /// Sums up what becomes of each, as far as it takes to know.
    pub(super) fn of(verdicts: impl Iterator<Item = Result<(), Verdict>>) -> Self {
        let mut fate = Self::Unknown;
        for verdict in verdicts {
            match (fate, verdict) {
                (_, Ok(())) => return Self::Crosses,
                (Self::Unknown, Err(why)) => fate = Self::Withheld(why),
                (_, Err(_)) => {}
            }
        }
        fate
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

#[cfg(test)]
mod tests {
    use super::super::sample::{nsec, txt};
    use super::*;

    const UNREACHABLE: Fate = Fate::Withheld(Verdict::Unreachable);
    const SCOPED: Fate = Fate::Withheld(Verdict::LinkScoped);

    #[test]
    fn types_of_which_nothing_crosses_are_taken_out() {
        use Fate::{Crosses, Unknown};
        use kind::{A, AAAA, TXT};
        for (types, a, aaaa, expected) in [
            (&[A, AAAA][..], Crosses, Crosses, Ok(&[A, AAAA][..])),
            (&[A, AAAA], UNREACHABLE, Crosses, Ok(&[AAAA])),
            (&[A, AAAA], Unknown, SCOPED, Ok(&[A])),
            (&[A, TXT, AAAA], UNREACHABLE, SCOPED, Ok(&[TXT])),
            (&[A, AAAA], UNREACHABLE, SCOPED, Err(Verdict::Unreachable)),
            (&[AAAA], Crosses, SCOPED, Err(Verdict::LinkScoped)),
            (&[AAAA], SCOPED, Crosses, Ok(&[AAAA])),
            (&[TXT], SCOPED, SCOPED, Ok(&[TXT])),
        ] {
            let record = nsec("pi.local", types);
            let fate = |kind| if kind == A { a } else { aaaa };
            let left = adjust(&record, fate).map(|record| match record.data() {
                Data::Nsec { types, .. } => types.iter().collect::<Vec<_>>(),
                other => panic!("{other:?}"),
            });
            assert_eq!(left, expected.map(<[u16]>::to_vec), "{types:?} {a:?} {aaaa:?}");
        }
    }

    #[test]
    fn other_records_stay_as_they_are() {
        let record = txt("a._ipp._tcp.local");
        assert!(matches!(adjust(&record, |_| SCOPED), Ok(Cow::Borrowed(_))));
    }

    #[test]
    fn one_that_crosses_is_enough() {
        let withheld = || Err(Verdict::LinkScoped);
        assert_eq!(Fate::of([].into_iter()), Fate::Unknown);
        assert_eq!(Fate::of([withheld(), withheld()].into_iter()), SCOPED);
        let beyond = std::iter::from_fn(|| panic!("that is enough"));
        assert_eq!(Fate::of([withheld(), Ok(())].into_iter().chain(beyond)), Fate::Crosses);
    }
}
