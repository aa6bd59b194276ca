//! What becomes of each record and question, by all that is known: rules, addresses, and who else
//! has the name.

use std::borrow::Cow;
use std::net::IpAddr;
use std::time::Duration;

use magpie_wire::LinkAddr;
use magpie_wire::dns::{Data, Question, Record, kind};

use super::address::Reach;
use super::conflict::{Assertion, Claims, Other};
use super::fair::Sender;
use super::filter::{Filter, Place};
use super::names::{Names, Observed};
use super::nsec::{self, Fate};
use super::settings::{Addresses, Conflicts, Mdns};
use super::view::{NameEvent, NameView, Verdict};
use crate::{Instant, LinkId};

/// Names whose hosts are known, for each record that is remembered of a link: most of what is said
/// is about services.
const CLAIMS_PER_CAP: usize = 2;

/// Decides about records and questions, and remembers what it needs for that.
///
/// For each response: [`observe`](Self::observe) all records, at the end if
/// [that will do](Self::can_decide_first); for each link that they might cross to,
/// [`pass_targets`](Self::pass_targets), then [`record`](Self::record) for each, and
/// [`decide`](Self::decide) with what became of it.
#[derive(Debug)]
pub(crate) struct Judge {
    filter: Filter,
    addresses: Addresses,
    conflicts: Conflicts,
    names: Names,
    claims: Claims,
}

/// Who said something, and where.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Origin {
    pub(crate) place: Place,
    pub(crate) source: IpAddr,
    pub(crate) lladdr: LinkAddr,
}

impl Origin {
    fn sender(self) -> Sender {
        Sender::new(self.lladdr, self.source)
    }
}

impl Judge {
    pub(crate) fn new(settings: &Mdns) -> Self {
        let cap = settings.limits.names_per_link;
        Self {
            filter: Filter::new(settings),
            addresses: settings.addresses,
            conflicts: settings.conflicts,
            names: Names::new(cap),
            claims: Claims::new(cap / CLAIMS_PER_CAP),
        }
    }

    /// Takes over other settings. What was seen stays.
    pub(crate) fn reconfigure(&mut self, settings: &Mdns) {
        let cap = settings.limits.names_per_link;
        self.filter = Filter::new(settings);
        self.addresses = settings.addresses;
        self.conflicts = settings.conflicts;
        self.names.limit(cap);
        self.claims.limit(cap / CLAIMS_PER_CAP);
    }

    /// Whether it makes no difference to what crosses to the `others` whether these records are taken
    /// note of before that is decided or after: no rule looks at what else was said, nobody there
    /// has their names, and none of them denies what another says.
    pub(crate) fn can_decide_first<'r, 'p: 'r>(
        &self,
        mut records: impl Iterator<Item = &'r Record<'p>>,
        others: &(impl Iterator<Item = LinkId> + Clone),
    ) -> bool {
        self.filter.is_empty()
            && records.all(|record| {
                record.kind() != kind::NSEC
                    && (!record.cache_flush || !self.claims.is_known(&record.name, others.clone()))
            })
    }

    /// Takes note of a record of a response; returns what observers should know, of a conflict at
    /// most.
    pub(crate) fn observe(
        &mut self,
        origin: Origin,
        record: &Record<'_>,
        now: Instant,
    ) -> (Observed, Option<NameEvent>) {
        let Origin { place, source, .. } = origin;
        let observed = self.names.observe(place.link, source, origin.sender(), record, now);
        let life = Duration::from_secs(record.ttl.into());
        (observed, self.claim(origin, record, Some(life), now))
    }

    /// Takes note of what a probe wants to say (RFC 6762 section 8.2): a record of its authority
    /// section.
    pub(crate) fn observe_probe(
        &mut self,
        origin: Origin,
        proposed: &Record<'_>,
        now: Instant,
    ) -> Option<NameEvent> {
        self.claim(origin, proposed, None, now)
    }

    /// Remembers the hosts of the services in a packet that cross to `to`: their addresses may
    /// cross as well, those in the same packet first of all.
    pub(crate) fn pass_targets<'r>(
        &mut self,
        records: impl IntoIterator<Item = &'r Record<'r>>,
        origin: Origin,
        to: Place,
        now: Instant,
    ) {
        if !self.filter.is_selective() {
            return;
        }
        let from = origin.place;
        for record in records {
            if let Data::Srv { target, .. } = record.data()
                && record.ttl > 0
                && self.filter.record(record, from, to, &self.names, now).is_ok()
            {
                let (from, to) = (from.link, to.link);
                self.names.pass_target(target, from, to, origin.sender(), record.ttl, now);
            }
        }
    }

    /// Decides whether a record that was said on `from` crosses to `to`; returns it as it does.
    ///
    /// # Errors
    ///
    /// Why it does not.
    pub(crate) fn record<'r, 'p>(
        &self,
        record: &'r Record<'p>,
        from: Place,
        to: Place,
        reach: &impl Reach,
        now: Instant,
    ) -> Result<Cow<'r, Record<'p>>, Verdict> {
        // What crossed is taken back (RFC 6762 section 10.1), whatever may cross by now.
        if record.ttl == 0 && self.names.has_crossed(record, from.link, to.link) {
            return Ok(Cow::Borrowed(record));
        }
        self.filter.record(record, from, to, &self.names, now)?;
        self.check_owner(record, from, to, now)?;
        self.check_data(record, from, to, reach, now)
    }

    /// Decides whether what an asker on `asker` says it knows already (RFC 6762 section 7.1) crosses
    /// with its question: if it might have come from `other`.
    ///
    /// # Errors
    ///
    /// Why it does not.
    pub(crate) fn known_answer<'r, 'p>(
        &self,
        record: &'r Record<'p>,
        asker: Place,
        other: Place,
        reach: &impl Reach,
        now: Instant,
    ) -> Result<Cow<'r, Record<'p>>, Verdict> {
        self.filter.record(record, other, asker, &self.names, now)?;
        self.check_data(record, other, asker, reach, now)
    }

    /// Decides whether a question crosses.
    ///
    /// # Errors
    ///
    /// Why it does not.
    pub(crate) fn question(
        &self,
        question: &Question<'_>,
        asker: Place,
        other: Place,
        now: Instant,
    ) -> Result<(), Verdict> {
        self.filter.question(question, asker, other, &self.names, now)
    }

    /// Decides whether a probe crosses, with all that it wants to say, so that both sides compare
    /// the same (RFC 6762 section 8.2).
    ///
    /// # Errors
    ///
    /// Why it does not.
    pub(crate) fn probe(
        &self,
        question: &Question<'_>,
        asker: Origin,
        other: Place,
        now: Instant,
    ) -> Result<(), Verdict> {
        self.filter.probe(question, asker.place, other, &self.names, now)?;
        if self.claims.is_present(&question.name, asker.lladdr, other.link, now) {
            return Err(Verdict::DualHomed);
        }
        match self.claims.other(&question.name, asker.place.link, other.link, now) {
            Other::SameHost => Err(Verdict::DualHomed),
            Other::Stranger if self.conflicts == Conflicts::Isolate => Err(Verdict::Conflict),
            Other::Nobody if self.claims.is_beginning(&question.name, asker.place.link, now) => {
                Err(Verdict::DualHomed)
            }
            Other::Stranger | Other::Nobody => Ok(()),
        }
    }

    /// Remembers what was done with a record; returns what observers should know of it.
    pub(crate) fn decide(
        &mut self,
        observed: Observed,
        decisions: &[(LinkId, Verdict)],
        now: Instant,
    ) -> Option<NameEvent> {
        let id = observed.id()?;
        let mut is_news = false;
        for (to, verdict) in decisions {
            is_news |= self.names.decide(id, *to, *verdict);
        }
        let view = || self.names.view(id, now);
        match observed {
            Observed::Withdrawn(_) => view().map(NameEvent::Withdrawn),
            Observed::First(_) => view().map(NameEvent::Seen),
            Observed::Again(_) if is_news => view().map(NameEvent::Seen),
            Observed::Again(_) | Observed::Nothing => None,
        }
    }

    /// Whether somebody has said the same on another link than `link`, and it holds still.
    pub(crate) fn is_known_beyond(&self, record: &Record<'_>, link: LinkId, now: Instant) -> bool {
        self.names.is_known_beyond(record, link, now)
    }

    /// Forgets a link.
    pub(crate) fn forget_link(&mut self, link: LinkId) {
        self.names.forget_link(link);
        self.claims.forget_link(link);
    }

    /// Forgets what a sender said, who has turned out to repeat what others say.
    pub(crate) fn forget_sender(&mut self, origin: Origin) {
        self.names.forget_sender(origin.place.link, origin.sender());
        self.claims.forget_sender(origin.place.link, origin.sender());
    }

    /// Returns all records that were seen.
    pub(crate) fn views(&self, now: Instant) -> impl Iterator<Item = NameView> {
        self.names.views(now)
    }

    /// Returns the names of an address, and where they are its names.
    pub(crate) fn names_of(
        &self,
        address: IpAddr,
        now: Instant,
    ) -> impl Iterator<Item = (LinkId, String)> {
        self.names.names_of(address, now).map(|(link, name)| (link, name.text()))
    }

    /// Returns how many records are remembered.
    pub(crate) fn len(&self) -> usize {
        self.names.len()
    }

    fn claim(
        &mut self,
        origin: Origin,
        record: &Record<'_>,
        life: Option<Duration>,
        now: Instant,
    ) -> Option<NameEvent> {
        // Probes do not set the bit (RFC 6762 section 10.2); what they propose is unique.
        let is_unique = record.cache_flush || life.is_none();
        if !is_unique || !matches!(record.kind(), kind::A | kind::AAAA | kind::SRV) {
            return None;
        }
        let link = origin.place.link;
        let (station, content) = (origin.sender(), record.content());
        let assertion = Assertion { link, station, content, life };
        let other = self.claims.note(&record.name, assertion, now)?;
        Some(NameEvent::Conflict { name: record.name.to_string(), link, other })
    }

    /// Checks who else has the name. Only names of hosts and services can be disputed, and goodbyes
    /// (RFC 6762 section 10.1) end what was heard before.
    fn check_owner(
        &self,
        record: &Record<'_>,
        from: Place,
        to: Place,
        now: Instant,
    ) -> Result<(), Verdict> {
        if !record.cache_flush || record.ttl == 0 {
            return Ok(());
        }
        let is_of_host = matches!(record.kind(), kind::A | kind::AAAA | kind::NSEC);
        match self.claims.other(&record.name, from.link, to.link, now) {
            Other::SameHost if is_of_host => Err(Verdict::DualHomed),
            Other::Stranger if self.conflicts == Conflicts::Isolate => Err(Verdict::Conflict),
            Other::SameHost | Other::Stranger | Other::Nobody => Ok(()),
        }
    }

    fn check_data<'r, 'p>(
        &self,
        record: &'r Record<'p>,
        from: Place,
        to: Place,
        reach: &impl Reach,
        now: Instant,
    ) -> Result<Cow<'r, Record<'p>>, Verdict> {
        let check = |address| self.addresses.check(address, from, to, reach);
        match record.data() {
            Data::A(address) => check(address.into()).map(|()| Cow::Borrowed(record)),
            Data::Aaaa(address) => check(address.into()).map(|()| Cow::Borrowed(record)),
            Data::Nsec { .. } => nsec::adjust(record, |kind| {
                let known = self.names.addresses_of(&record.name, kind, from.link, now);
                match Fate::of(known.map(check)) {
                    Fate::Unknown if kind == kind::A && self.withholds_ipv4(reach) => {
                        Fate::Withheld(Verdict::Unreachable)
                    }
                    fate => fate,
                }
            }),
            _ => Ok(Cow::Borrowed(record)),
        }
    }

    /// Whether no IPv4 address of another host crosses.
    fn withholds_ipv4(&self, reach: &impl Reach) -> bool {
        self.addresses == Addresses::Reachable && reach.is_informed()
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv6Addr;

    use super::super::sample::{
        INSIDE, NOW, OUTSIDE, SOURCE, address, nsec, ptr, question, srv, station, txt,
    };
    use super::super::settings::{NameRule, Subject};
    use super::*;
    use crate::Members;

    /// Everything in one prefix is reachable from everywhere.
    struct Prefix;

    impl Reach for Prefix {
        fn is_informed(&self) -> bool {
            true
        }

        fn is_own(&self, _: IpAddr) -> bool {
            false
        }

        fn is_reachable(&self, address: Ipv6Addr, _: Place, _: Place) -> bool {
            address.segments()[..2] == [0x2001, 0xdb8]
        }
    }

    fn origin(place: Place, by: u8) -> Origin {
        Origin { place, source: SOURCE, lladdr: station(by) }
    }

    fn at(millis: u64) -> Instant {
        NOW + Duration::from_millis(millis)
    }

    fn crosses(judge: &Judge, record: &Record<'_>, millis: u64) -> Result<(), Verdict> {
        judge.record(record, INSIDE, OUTSIDE, &Prefix, at(millis)).map(|_| ())
    }

    fn hear(judge: &mut Judge, place: Place, by: u8, record: &Record<'_>, millis: u64) {
        judge.observe(origin(place, by), record, at(millis));
    }

    #[test]
    fn what_is_said_of_missing_types_agrees_with_what_crosses() {
        let mut judge = Judge::new(&Mdns::default());
        for text in ["fe80::41", "2001:db8::41", "192.0.2.41", "169.254.1.41"] {
            hear(&mut judge, INSIDE, 1, &address("pi-41.local", text), 0);
        }
        hear(&mut judge, INSIDE, 2, &address("pi-42.local", "fe80::42"), 0);
        for (owner, said, expected) in [
            ("pi-41.local", &[kind::A, kind::AAAA][..], Ok(vec![kind::AAAA])),
            ("pi-42.local", &[kind::AAAA], Err(Verdict::LinkScoped)),
            ("pi-43.local", &[kind::AAAA], Ok(vec![kind::AAAA])),
            ("pi-43.local", &[kind::A], Err(Verdict::Unreachable)),
            ("a._ipp._tcp.local", &[kind::TXT, kind::SRV], Ok(vec![kind::TXT, kind::SRV])),
        ] {
            let record = nsec(owner, said);
            let left = judge.record(&record, INSIDE, OUTSIDE, &Prefix, NOW);
            let left = left.map(|record| match record.data() {
                Data::Nsec { types, .. } => types.iter().collect::<Vec<_>>(),
                other => panic!("{other:?}"),
            });
            assert_eq!(left, expected, "{owner} {said:?}");
        }
    }

    #[test]
    fn the_addresses_of_a_service_follow_it() {
        let subject = Subject::Service("_ipp._tcp".into());
        let allow = vec![NameRule { from: Members::ALL, to: Members::ALL, subject }];
        let mut judge = Judge::new(&Mdns { allow, ..Mdns::default() });
        let records = [
            address("pi-41.local", "2001:db8::41"),
            address("pi-42.local", "2001:db8::42"),
            srv("a._ipp._tcp.local", "pi-41.local"),
            srv("a._ssh._tcp.local", "pi-42.local"),
        ];
        let verdicts = |judge: &Judge| records.each_ref().map(|record| crosses(judge, record, 0));
        let (wanted, denied) = (Err(Verdict::NotWanted), Err(Verdict::Denied));
        assert_eq!(verdicts(&judge), [wanted, wanted, Ok(()), denied]);
        judge.pass_targets(&records, origin(INSIDE, 1), OUTSIDE, NOW);
        assert_eq!(verdicts(&judge), [Ok(()), wanted, Ok(()), denied]);
    }

    #[test]
    fn what_has_crossed_is_taken_back_although_it_would_not_cross_any_longer() {
        let mut judge = Judge::new(&Mdns::default());
        let record = address("pi-41.local", "2001:db8::41");
        let (observed, _) = judge.observe(origin(INSIDE, 1), &record, NOW);
        judge.decide(observed, &[(OUTSIDE.link, Verdict::Passed)], NOW);
        let subject = Subject::Host("pi-41".into());
        let deny = vec![NameRule { from: Members::ALL, to: Members::ALL, subject }];
        judge.reconfigure(&Mdns { deny, ..Mdns::default() });
        let goodbye = super::super::sample::goodbye(&record);
        assert_eq!(crosses(&judge, &record, 10), Err(Verdict::Denied));
        assert_eq!(crosses(&judge, &goodbye, 10), Ok(()));
        let other = super::super::sample::goodbye(&address("pi-41.local", "2001:db8::42"));
        assert_eq!(crosses(&judge, &other, 10), Err(Verdict::Denied), "that never crossed");
    }

    #[test]
    fn a_host_on_both_links_hears_nothing_of_itself() {
        let mut judge = Judge::new(&Mdns::default());
        let (here, there) =
            (address("pi.local", "2001:db8::1"), address("pi.local", "2001:db8::2"));
        let service = srv("a._ipp._tcp.local", "pi.local");
        judge.observe_probe(origin(INSIDE, 1), &here, at(0));
        let probe = |at| judge.probe(&question("pi.local"), origin(INSIDE, 1), OUTSIDE, at);
        assert_eq!(probe(at(0)), Err(Verdict::DualHomed), "it may be there in a moment");
        assert_eq!(probe(at(500)), Ok(()), "it is not there");
        judge.observe_probe(origin(OUTSIDE, 2), &there, at(30));
        for (asker, other) in [(origin(INSIDE, 1), OUTSIDE), (origin(OUTSIDE, 2), INSIDE)] {
            let verdict = judge.probe(&question("PI.local"), asker, other, at(250));
            assert_eq!(verdict, Err(Verdict::DualHomed));
        }
        for (place, by, record) in [(INSIDE, 1, &here), (OUTSIDE, 2, &there)] {
            hear(&mut judge, place, by, record, 800);
            hear(&mut judge, place, by, &service, 800);
        }
        assert_eq!(crosses(&judge, &here, 900), Err(Verdict::DualHomed));
        let none = nsec("pi.local", &[kind::AAAA]);
        assert_eq!(crosses(&judge, &none, 900), Err(Verdict::DualHomed));
        assert_eq!(crosses(&judge, &service, 900), Ok(()), "it is the same on both");
        assert_eq!(crosses(&judge, &ptr("_ipp._tcp.local", "a._ipp._tcp.local"), 900), Ok(()));
    }

    #[test]
    fn two_hosts_with_one_name_are_told_of_each_other_or_kept_apart() {
        for (conflicts, expected) in
            [(Conflicts::Propagate, Ok(())), (Conflicts::Isolate, Err(Verdict::Conflict))]
        {
            let mut judge = Judge::new(&Mdns { conflicts, ..Mdns::default() });
            let (here, there) =
                (address("pi.local", "2001:db8::1"), address("pi.local", "2001:db8::2"));
            hear(&mut judge, INSIDE, 1, &here, 0);
            judge.observe_probe(origin(OUTSIDE, 2), &there, at(5_000));
            let probe = question("pi.local");
            let verdict = judge.probe(&probe, origin(OUTSIDE, 2), INSIDE, at(5_000));
            assert_eq!(verdict, expected);
            hear(&mut judge, OUTSIDE, 2, &there, 6_000);
            assert_eq!(crosses(&judge, &here, 6_000), expected);
            assert_eq!(crosses(&judge, &txt("a._ipp._tcp.local"), 6_000), Ok(()));
            hear(&mut judge, INSIDE, 1, &here, 9_500);
            let (_, event) = judge.observe(origin(OUTSIDE, 2), &there, at(9_500));
            let (name, link, other) = ("pi.local".to_owned(), OUTSIDE.link, INSIDE.link);
            assert_eq!(event, Some(NameEvent::Conflict { name, link, other }));
            // The goodbye of one is always heard.
            let goodbye = super::super::sample::goodbye(&here);
            assert_eq!(crosses(&judge, &goodbye, 10_000), Ok(()));
            hear(&mut judge, INSIDE, 1, &goodbye, 10_000);
            assert_eq!(crosses(&judge, &here, 12_000), Ok(()), "there is no conflict any longer");
        }
    }

    #[test]
    fn what_becomes_of_a_record_is_told_when_it_is_news() {
        let mut judge = Judge::new(&Mdns::default());
        let record = txt("a._ipp._tcp.local");
        let (observed, _) = judge.observe(origin(INSIDE, 1), &record, NOW);
        let passed = [(OUTSIDE.link, Verdict::Passed)];
        let Some(NameEvent::Seen(view)) = judge.decide(observed, &passed, NOW) else {
            panic!("it is the first time")
        };
        assert_eq!((view.name.as_str(), view.verdicts), ("a._ipp._tcp.local", passed.to_vec()));
        let (observed, _) = judge.observe(origin(INSIDE, 1), &record, NOW);
        assert_eq!(judge.decide(observed, &passed, NOW), None);
        let (observed, _) = judge.observe(origin(INSIDE, 1), &record, NOW);
        let denied = [(OUTSIDE.link, Verdict::Denied)];
        assert!(matches!(judge.decide(observed, &denied, NOW), Some(NameEvent::Seen(_))));
        let goodbye = super::super::sample::goodbye(&record);
        let (observed, _) = judge.observe(origin(INSIDE, 1), &goodbye, NOW);
        assert!(matches!(judge.decide(observed, &passed, NOW), Some(NameEvent::Withdrawn(_))));
    }

    #[test]
    fn known_answers_cross_with_the_question_if_they_might_have_come_from_there() {
        let judge = Judge::new(&Mdns::default());
        for (record, expected) in [
            (address("pi.local", "2001:db8::1"), Ok(())),
            (address("pi.local", "fe80::1"), Err(Verdict::LinkScoped)),
            (ptr("_ipp._tcp.local", "a._ipp._tcp.local"), Ok(())),
        ] {
            let known = judge.known_answer(&record, OUTSIDE, INSIDE, &Prefix, NOW);
            assert_eq!(known.map(|_| ()), expected);
        }
    }
}
