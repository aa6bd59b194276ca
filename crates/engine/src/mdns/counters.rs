//! What the reflector has done and dropped, and why.

use magpie_wire::dns::MalformedMessage;

use crate::Verdict;

/// Why a packet, or a question in it, led to nothing.
///
/// The labels are stable: they name counters.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
#[repr(u8)]
pub enum NameDiscard {
    /// The link is unknown or down.
    LinkDown,
    /// It was sent by this host.
    Own,
    /// It came to this host alone: only what everybody on a link hears is passed on.
    Unicast,
    /// It came from a port, or with a code, that no message of multicast DNS has (RFC 6762 sections
    /// 6, 18.3 and 18.11).
    Unusual,
    /// Its sender is not on the link, but wants an answer of its own.
    OffLink,
    /// It came from another reflector.
    Reflector,
    /// The same was asked on the other link a moment ago.
    Repeated,
    /// Its sender says the same again and again, and others say it too.
    Excessive,
    /// Its sender sends too many packets.
    SenderRate,
    /// Too many packets come in on the link.
    ArrivalRate,
    /// Too many packets go out on the link.
    LinkRate,
    /// This host has no address to send from.
    NoSource,
    /// It fits no packet.
    TooLarge,
    /// Known answers that would be mistaken for those of somebody else, who is sending more than one
    /// packet holds.
    KnownAnswers,
    /// Fragments that contradict each other, or are too many.
    Fragments,
    /// Queries of simple resolvers are not passed on.
    LegacyOff,
    /// Too many queries of simple resolvers wait for answers.
    LegacyFull,
    /// An answer to none of the queries that wait.
    NotAsked,
    /// A rule denies the question, or none allows it.
    Denied,
    /// The same name is alive on both links with other data.
    Conflict,
    /// Not a message of the protocol that its port belongs to.
    Foreign,
}

impl NameDiscard {
    /// Every reason, in the order of their discriminants.
    pub const ALL: [Self; 21] = [
        Self::LinkDown,
        Self::Own,
        Self::Unicast,
        Self::Unusual,
        Self::OffLink,
        Self::Reflector,
        Self::Repeated,
        Self::Excessive,
        Self::SenderRate,
        Self::ArrivalRate,
        Self::LinkRate,
        Self::NoSource,
        Self::TooLarge,
        Self::KnownAnswers,
        Self::Fragments,
        Self::LegacyOff,
        Self::LegacyFull,
        Self::NotAsked,
        Self::Denied,
        Self::Conflict,
        Self::Foreign,
    ];

    /// Returns the name of the counter, which never changes once released.
    pub const fn label(self) -> &'static str {
        match self {
            Self::LinkDown => "link-down",
            Self::Own => "own",
            Self::Unicast => "unicast",
            Self::Unusual => "unusual",
            Self::OffLink => "off-link",
            Self::Reflector => "reflector",
            Self::Repeated => "repeated",
            Self::Excessive => "excessive",
            Self::SenderRate => "sender-rate",
            Self::ArrivalRate => "arrival-rate",
            Self::LinkRate => "link-rate",
            Self::NoSource => "no-source",
            Self::TooLarge => "too-large",
            Self::KnownAnswers => "known-answers",
            Self::Fragments => "fragments",
            Self::LegacyOff => "legacy-off",
            Self::LegacyFull => "legacy-full",
            Self::NotAsked => "not-asked",
            Self::Denied => "denied",
            Self::Conflict => "conflict",
            Self::Foreign => "foreign",
        }
    }
}

/// What the reflector has done since it started.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct NameCounters {
    /// Datagrams handed to the reflector, fragments counted one by one.
    pub packets_received: u64,
    /// Packets sent.
    pub packets_sent: u64,
    /// Questions that crossed, counted for each link that they went to.
    pub questions_passed: u64,
    /// Queries of simple resolvers that were passed on.
    pub legacy_queries: u64,
    /// Answers to them that were passed back.
    pub legacy_answers: u64,
    /// Messages of other discovery protocols that were passed on, either way.
    pub other_passed: u64,
    malformed: [u64; MalformedMessage::ALL.len()],
    discarded: [u64; NameDiscard::ALL.len()],
    records: [u64; Verdict::ALL.len()],
}

impl NameCounters {
    /// Returns how many packets or questions led to nothing for a reason.
    pub fn discarded(&self, reason: NameDiscard) -> u64 {
        self.discarded.get(reason as usize).copied().unwrap_or_default()
    }

    /// Returns how many messages could not be read for a reason.
    pub fn malformed(&self, reason: MalformedMessage) -> u64 {
        self.malformed.get(reason as usize).copied().unwrap_or_default()
    }

    /// Returns what became of records, counted for each link that they might have gone to.
    pub fn records(&self, verdict: Verdict) -> u64 {
        self.records.get(verdict as usize).copied().unwrap_or_default()
    }

    /// Returns every counter with its stable name.
    pub fn iter(&self) -> impl Iterator<Item = (String, u64)> + '_ {
        let plain = [
            ("packets_received", self.packets_received),
            ("packets_sent", self.packets_sent),
            ("questions_passed", self.questions_passed),
            ("legacy_queries", self.legacy_queries),
            ("legacy_answers", self.legacy_answers),
            ("other_passed", self.other_passed),
        ];
        let malformed = MalformedMessage::ALL
            .iter()
            .map(|reason| (format!("malformed_{}", reason.label()), self.malformed(*reason)));
        let discarded = NameDiscard::ALL
            .iter()
            .map(|reason| (format!("discarded_{}", reason.label()), self.discarded(*reason)));
        let records = Verdict::ALL
            .iter()
            .map(|verdict| (format!("records_{}", verdict.label()), self.records(*verdict)));
        plain
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .chain(malformed)
            .chain(discarded)
            .chain(records)
    }

    pub(crate) fn count(&mut self, reason: NameDiscard) {
        if let Some(counter) = self.discarded.get_mut(reason as usize) {
            *counter += 1;
        }
    }

    pub(crate) fn count_malformed(&mut self, reason: MalformedMessage) {
        if let Some(counter) = self.malformed.get_mut(reason as usize) {
            *counter += 1;
        }
    }

    pub(crate) fn count_record(&mut self, verdict: Verdict) {
        if let Some(counter) = self.records.get_mut(verdict as usize) {
            *counter += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_a_counter_of_its_own() {
        let mut counters = NameCounters::default();
        for reason in NameDiscard::ALL {
            counters.count(reason);
        }
        for reason in MalformedMessage::ALL {
            counters.count_malformed(reason);
        }
        for verdict in Verdict::ALL {
            counters.count_record(verdict);
        }
        for (index, reason) in NameDiscard::ALL.into_iter().enumerate() {
            assert_eq!((reason as usize, counters.discarded(reason)), (index, 1), "{reason:?}");
        }
        for (index, reason) in MalformedMessage::ALL.into_iter().enumerate() {
            assert_eq!((reason as usize, counters.malformed(reason)), (index, 1), "{reason:?}");
        }
        for (index, verdict) in Verdict::ALL.into_iter().enumerate() {
            assert_eq!((verdict as usize, counters.records(verdict)), (index, 1), "{verdict:?}");
        }
        let names: std::collections::BTreeSet<_> = counters.iter().map(|(name, _)| name).collect();
        assert_eq!(names.len(), counters.iter().count(), "two counters have one name");
    }
}
