//! What was seen where: for filters, conflicts and observers. Nothing is ever answered from it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use magpie_wire::dns::{Data, Name, Record, kind, kind_name};

use super::fair::{Fair, Sender};
use super::packed::Packed;
use super::shape::Shape;
use super::view::{NameView, Verdict};
use crate::{Instant, LinkId};

/// How long what was withdrawn is still there (RFC 6762 section 10.1), and what the cache-flush
/// bit outdated (section 10.2): so that others who have it too can say so.
const GRACE: Duration = Duration::from_secs(1);
/// Lifetimes beyond this are not believed: what is there is said again before.
const LONGEST_LIFE: Duration = Duration::from_secs(86_400);
/// How long the host of a service that crossed may be asked for at least: hosts live shorter than
/// services (RFC 6762 section 10), and are asked for as long as the service is used.
const SHORTEST_TARGET: Duration = Duration::from_secs(75);
/// Octets of what a record says that are kept for observers.
const DATA_SHOWN: usize = 96;
/// Records of one name and type that the cache-flush bit is applied to.
const MOST_FLUSHED: usize = 64;
/// How many addresses of one name, names of one address, or subtypes of one instance are looked at
/// for a decision: nobody has more, and a packet may hold many that ask for it.
const MOST_WEIGHED: usize = 32;
/// The same of the instances of a type, of which there are many in a large network.
const MOST_INSTANCES: usize = 256;
/// How often what has ended is looked for.
const SWEEP_INTERVAL: Duration = Duration::from_secs(60);

/// One of the records that are remembered.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct RecordId {
    link: LinkId,
    number: u64,
}

/// What a record meant to those who knew what was said before.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Observed {
    /// Nobody has said so before, or not for its lifetime.
    First(RecordId),
    /// It was known.
    Again(RecordId),
    /// Its owner takes it back (RFC 6762 section 10.1).
    Withdrawn(RecordId),
    /// There was nothing to take back, or there is no room at all.
    Nothing,
}

impl Observed {
    /// Which record it is, if it is remembered.
    pub(crate) fn id(self) -> Option<RecordId> {
        match self {
            Self::First(id) | Self::Again(id) | Self::Withdrawn(id) => Some(id),
            Self::Nothing => None,
        }
    }
}

/// Records seen on all links, so many on each.
///
/// One takes about half a KiB, and 1.5 KiB if its names are as long as names can be.
#[derive(Debug)]
pub(crate) struct Names {
    cap: usize,
    tables: BTreeMap<LinkId, Table>,
    by_address: BTreeSet<(IpAddr, RecordId)>,
    targets: Fair<(Packed, LinkId, LinkId), ()>,
    last: u64,
}

/// The records seen on one link.
#[derive(Debug)]
struct Table {
    entries: Fair<u64, Entry>,
    by_name: BTreeMap<Packed, BTreeMap<(u16, u64), u64>>,
    /// Pointers from subtypes to instances.
    subtypes: BTreeMap<Packed, BTreeSet<u64>>,
    swept: Instant,
    /// The sets that the cache-flush bit was last applied to, and when: all that a packet holds of a
    /// set replaces what was said before in one go.
    flushed: (Instant, BTreeSet<(u16, Packed)>),
}

#[derive(Debug)]
struct Entry {
    name: Packed,
    kind: u16,
    content: u64,
    says: Says,
    data: Box<str>,
    source: IpAddr,
    seen: Instant,
    is_withdrawn: bool,
    /// What was done with it last, for each link that it might have gone to.
    verdicts: Vec<(LinkId, Verdict)>,
}

/// What of the data of a record matters.
#[derive(Debug)]
enum Says {
    Address(IpAddr),
    /// It points to another name.
    Pointer(Packed),
    Other,
}

impl Names {
    /// Makes a table for `cap` records of each link.
    pub(crate) fn new(cap: usize) -> Self {
        Self {
            cap,
            tables: BTreeMap::new(),
            by_address: BTreeSet::new(),
            targets: Fair::new(cap),
            last: 0,
        }
    }

    /// Returns how many records are remembered.
    pub(crate) fn len(&self) -> usize {
        self.tables.values().map(|table| table.entries.len()).sum()
    }

    /// Takes note of a record that `sender` said on `link`.
    pub(crate) fn observe(
        &mut self,
        link: LinkId,
        source: IpAddr,
        sender: Sender,
        record: &Record<'_>,
        now: Instant,
    ) -> Observed {
        self.sweep(link, now);
        let number = self.last + 1;
        let table = self.tables.entry(link).or_insert_with(|| Table::new(self.cap, now));
        let name = Packed::key(&record.name);
        let what = (record.kind(), record.content());
        let known = table.by_name.get(&name).and_then(|records| records.get(&what)).copied();
        if record.ttl == 0 {
            return known.map_or(Observed::Nothing, |number| table.withdraw(link, number, now));
        }
        if record.cache_flush {
            table.flush(&name, what, now);
        }
        let life = Duration::from_secs(record.ttl.into()).min(LONGEST_LIFE);
        if let Some(number) = known {
            return table.hear_again(RecordId { link, number }, source, sender, now + life, now);
        }
        let id = RecordId { link, number };
        let entry = Entry::new(record, what, source, now);
        self.last = number;
        if let Some(address) = entry.says.address() {
            self.by_address.insert((address, id));
        }
        let out = table.insert(number, name, sender, now + life, entry);
        let is_in = table.entries.get(&number).is_some();
        if let Some((number, entry)) = out {
            self.forget_address(RecordId { link, number }, &entry);
        }
        if is_in { Observed::First(id) } else { Observed::Nothing }
    }

    /// Remembers what was done with a record; tells whether that is worth telling: it is the first
    /// time, or something else than before.
    pub(crate) fn decide(&mut self, id: RecordId, to: LinkId, verdict: Verdict) -> bool {
        let table = self.tables.get_mut(&id.link);
        let Some(entry) = table.and_then(|table| table.entries.get_mut(&id.number)) else {
            return false;
        };
        // That something is said too often is no other decision than the one before.
        let is_passing = matches!(verdict, Verdict::Recent | Verdict::RateLimited);
        match entry.verdicts.iter_mut().find(|(link, _)| *link == to) {
            Some((_, last)) if *last == verdict || is_passing => false,
            Some((_, last)) => {
                *last = verdict;
                true
            }
            None => {
                entry.verdicts.push((to, verdict));
                !is_passing
            }
        }
    }

    /// Whether a record that was said on `from` crossed to `to`, when it was last said.
    pub(super) fn has_crossed(&self, record: &Record<'_>, from: LinkId, to: LinkId) -> bool {
        let entry = self.tables.get(&from).and_then(|table| {
            let number = table.number_of(record)?;
            table.entries.get(&number)
        });
        entry.is_some_and(|entry| entry.verdicts.contains(&(to, Verdict::Passed)))
    }

    /// Whether a record is known of another link than `link`.
    pub(super) fn is_known_beyond(&self, record: &Record<'_>, link: LinkId, now: Instant) -> bool {
        let mut others = self.tables.iter().filter(|(other, _)| **other != link);
        others.any(|(_, table)| {
            table.number_of(record).is_some_and(|number| table.alive(number, now).is_some())
        })
    }

    /// Remembers that a service whose host is `target` crossed, for so long at least.
    pub(crate) fn pass_target(
        &mut self,
        target: &Name<'_>,
        from: LinkId,
        to: LinkId,
        sender: Sender,
        ttl: u32,
        now: Instant,
    ) {
        let life = Duration::from_secs(ttl.into()).clamp(SHORTEST_TARGET, LONGEST_LIFE);
        let (key, until) = ((Packed::key(target), from, to), now + life);
        match self.targets.until(&key) {
            Some(known) if known > until => {}
            Some(_) => self.targets.renew(&key, sender, until),
            None => drop(self.targets.insert(key, sender, until, ())),
        }
    }

    /// Whether `host` is the host of a service that crossed from `from` to `to`.
    pub(super) fn is_target(
        &self,
        host: &Name<'_>,
        from: LinkId,
        to: LinkId,
        now: Instant,
    ) -> bool {
        self.targets.until(&(Packed::key(host), from, to)).is_some_and(|until| until > now)
    }

    /// Returns the subtypes that list an instance on a link (RFC 6763 section 7.1); of too many, some.
    pub(super) fn subtypes_of(
        &self,
        instance: &Name<'_>,
        link: LinkId,
        now: Instant,
    ) -> impl Iterator<Item = &Packed> {
        let table = self.tables.get(&link);
        let numbers = table.and_then(|table| table.subtypes.get(&Packed::key(instance)));
        numbers
            .into_iter()
            .flatten()
            .take(MOST_WEIGHED)
            .filter_map(move |number| table?.alive(*number, now).map(|entry| &entry.name))
    }

    /// Returns the instances of a service type on a link; of too many, some.
    pub(super) fn instances_of(
        &self,
        service: &Name<'_>,
        link: LinkId,
        now: Instant,
    ) -> impl Iterator<Item = &Packed> {
        let entries = self.entries_of(service, kind::PTR, link, now, MOST_INSTANCES);
        entries.filter_map(|entry| match &entry.says {
            Says::Pointer(instance) => Some(instance),
            Says::Address(_) | Says::Other => None,
        })
    }

    /// Returns the addresses of a host on a link, as far as they are of one kind; of too many, some.
    pub(super) fn addresses_of(
        &self,
        host: &Name<'_>,
        kind: u16,
        link: LinkId,
        now: Instant,
    ) -> impl Iterator<Item = IpAddr> {
        let entries = self.entries_of(host, kind, link, now, MOST_WEIGHED);
        entries.filter_map(|entry| entry.says.address())
    }

    /// Returns the names of an address and the links on which they are its names; of too many, some.
    pub(crate) fn names_of(
        &self,
        address: IpAddr,
        now: Instant,
    ) -> impl Iterator<Item = (LinkId, &Packed)> {
        let first = RecordId { link: LinkId(0), number: 0 };
        let last = RecordId { link: LinkId(u32::MAX), number: u64::MAX };
        let ids = self.by_address.range((address, first)..=(address, last));
        ids.take(MOST_WEIGHED).filter_map(move |(_, id)| {
            let entry = self.tables.get(&id.link)?.alive(id.number, now)?;
            Some((id.link, &entry.name))
        })
    }

    /// Returns all records, by link and name.
    pub(crate) fn views(&self, now: Instant) -> impl Iterator<Item = NameView> {
        self.tables.iter().flat_map(move |(link, table)| {
            let numbers = table.by_name.values().flat_map(BTreeMap::values);
            numbers.filter_map(move |number| table.view(*link, *number, now))
        })
    }

    /// Returns one record, as observers are told of it.
    pub(crate) fn view(&self, id: RecordId, now: Instant) -> Option<NameView> {
        self.tables.get(&id.link)?.view(id.link, id.number, now)
    }

    /// Forgets a link.
    pub(crate) fn forget_link(&mut self, link: LinkId) {
        self.tables.remove(&link);
        self.by_address.retain(|(_, id)| id.link != link);
        self.targets.take_all(|(_, from, to), _, _| *from == link || *to == link);
    }

    /// Forgets what somebody said, who has turned out to repeat what others say.
    pub(crate) fn forget_sender(&mut self, link: LinkId, sender: Sender) {
        let Some(table) = self.tables.get_mut(&link) else { return };
        let out = table.take_all(|by, _| by == sender);
        for (number, entry) in out {
            self.forget_address(RecordId { link, number }, &entry);
        }
    }

    /// Takes over another cap; what no longer fits goes.
    pub(crate) fn limit(&mut self, cap: usize) {
        self.cap = cap;
        self.targets.limit(cap);
        let mut out = Vec::new();
        for (link, table) in &mut self.tables {
            let gone = table.entries.limit(cap);
            for (number, entry) in &gone {
                table.unlist(*number, entry);
            }
            out.extend(
                gone.into_iter().map(|(number, entry)| (RecordId { link: *link, number }, entry)),
            );
        }
        for (id, entry) in &out {
            self.forget_address(*id, entry);
        }
    }

    fn entries_of(
        &self,
        name: &Name<'_>,
        kind: u16,
        link: LinkId,
        now: Instant,
        most: usize,
    ) -> impl Iterator<Item = &Entry> {
        let table = self.tables.get(&link);
        let records = table.and_then(|table| table.by_name.get(&Packed::key(name)));
        let records =
            records.into_iter().flat_map(move |all| all.range((kind, 0)..=(kind, u64::MAX)));
        records.take(most).filter_map(move |(_, number)| table?.alive(*number, now))
    }

    fn sweep(&mut self, link: LinkId, now: Instant) {
        let Some(table) = self.tables.get_mut(&link) else { return };
        if now.since(table.swept) < SWEEP_INTERVAL {
            return;
        }
        table.swept = now;
        let out = table.take_all(|_, until| until <= now);
        for (number, entry) in out {
            self.forget_address(RecordId { link, number }, &entry);
        }
    }

    fn forget_address(&mut self, id: RecordId, entry: &Entry) {
        if let Some(address) = entry.says.address() {
            self.by_address.remove(&(address, id));
        }
    }
}

impl Table {
    fn new(cap: usize, now: Instant) -> Self {
        Self {
            entries: Fair::new(cap),
            by_name: BTreeMap::new(),
            subtypes: BTreeMap::new(),
            swept: now,
            flushed: (now, BTreeSet::new()),
        }
    }

    fn number_of(&self, record: &Record<'_>) -> Option<u64> {
        let records = self.by_name.get(&Packed::key(&record.name))?;
        records.get(&(record.kind(), record.content())).copied()
    }

    fn alive(&self, number: u64, now: Instant) -> Option<&Entry> {
        let is_alive = self.entries.until(&number).is_some_and(|until| until > now);
        self.entries.get(&number).filter(|_| is_alive)
    }

    fn insert(
        &mut self,
        number: u64,
        name: Packed,
        sender: Sender,
        until: Instant,
        entry: Entry,
    ) -> Option<(u64, Entry)> {
        let what = (entry.kind, entry.content);
        let instance = entry.listed_by_subtype().map(Packed::to_key);
        let out = self.entries.insert(number, sender, until, entry);
        if let Some((number, entry)) = &out {
            self.unlist(*number, entry);
        }
        if self.entries.get(&number).is_some() {
            self.by_name.entry(name).or_default().insert(what, number);
            if let Some(instance) = instance {
                self.subtypes.entry(instance).or_default().insert(number);
            }
        }
        out
    }

    fn hear_again(
        &mut self,
        id: RecordId,
        source: IpAddr,
        sender: Sender,
        until: Instant,
        now: Instant,
    ) -> Observed {
        let was_alive = self.alive(id.number, now).is_some();
        self.entries.renew(&id.number, sender, until);
        let Some(entry) = self.entries.get_mut(&id.number) else { return Observed::Nothing };
        let is_news = !was_alive || entry.is_withdrawn;
        entry.source = source;
        entry.seen = now;
        entry.is_withdrawn = false;
        if is_news {
            entry.verdicts.clear();
            return Observed::First(id);
        }
        Observed::Again(id)
    }

    fn withdraw(&mut self, link: LinkId, number: u64, now: Instant) -> Observed {
        let was_alive = self.alive(number, now).is_some();
        self.entries.shorten(&number, now + GRACE);
        match self.entries.get_mut(&number) {
            Some(entry) if was_alive && !entry.is_withdrawn => {
                entry.is_withdrawn = true;
                Observed::Withdrawn(RecordId { link, number })
            }
            _ => Observed::Nothing,
        }
    }

    /// Lets the rest of a set end that was replaced (RFC 6762 section 10.2), but for what has just
    /// been said.
    fn flush(&mut self, name: &Packed, (kind, content): (u16, u64), now: Instant) {
        let Some(records) = self.by_name.get(name) else { return };
        let set = records.range((kind, 0)..=(kind, u64::MAX));
        let mut others = set.filter(|((_, other), _)| *other != content).peekable();
        if others.peek().is_none() {
            return;
        }
        let (at, sets) = &mut self.flushed;
        if *at != now {
            *at = now;
            sets.clear();
        }
        if !sets.insert((kind, name.clone())) {
            return;
        }
        let others: Vec<u64> = others.map(|(_, number)| *number).take(MOST_FLUSHED).collect();
        for number in others {
            if self.entries.get(&number).is_some_and(|entry| now.since(entry.seen) > GRACE) {
                self.entries.shorten(&number, now + GRACE);
            }
        }
    }

    fn take_all(&mut self, is_out: impl Fn(Sender, Instant) -> bool) -> Vec<(u64, Entry)> {
        let out = self.entries.take_all(|_, sender, until| is_out(sender, until));
        for (number, entry) in &out {
            self.unlist(*number, entry);
        }
        out
    }

    fn unlist(&mut self, number: u64, entry: &Entry) {
        let name = entry.name.to_key();
        if let Some(records) = self.by_name.get_mut(&name) {
            records.remove(&(entry.kind, entry.content));
            if records.is_empty() {
                self.by_name.remove(&name);
            }
        }
        if let Some(instance) = entry.listed_by_subtype().map(Packed::to_key)
            && let Some(numbers) = self.subtypes.get_mut(&instance)
        {
            numbers.remove(&number);
            if numbers.is_empty() {
                self.subtypes.remove(&instance);
            }
        }
    }

    fn view(&self, link: LinkId, number: u64, now: Instant) -> Option<NameView> {
        let entry = self.alive(number, now)?;
        Some(NameView {
            name: entry.name.text(),
            kind: kind_name(entry.kind).into_owned(),
            data: entry.data.clone().into(),
            address: entry.says.address(),
            link,
            source: entry.source,
            seen: now.since(entry.seen),
            remaining: self.entries.until(&number).map(|at| at.since(now)).unwrap_or_default(),
            verdicts: entry.verdicts.clone(),
        })
    }
}

impl Entry {
    fn new(record: &Record<'_>, (kind, content): (u16, u64), source: IpAddr, now: Instant) -> Self {
        let says = match record.data() {
            Data::A(address) => Says::Address(address.into()),
            Data::Aaaa(address) => Says::Address(address.into()),
            Data::Ptr(name) | Data::Srv { target: name, .. } => Says::Pointer(Packed::new(name)),
            _ => Says::Other,
        };
        Self {
            name: Packed::new(&record.name),
            kind,
            content,
            says,
            data: record.describe(DATA_SHOWN).into(),
            source,
            seen: now,
            is_withdrawn: false,
            verdicts: Vec::new(),
        }
    }

    /// The instance that it says is of a subtype.
    fn listed_by_subtype(&self) -> Option<&Packed> {
        match &self.says {
            Says::Pointer(instance) if self.kind == kind::PTR => {
                matches!(self.name.shape(), Shape::Subtype { .. }).then_some(instance)
            }
            _ => None,
        }
    }
}

impl Says {
    fn address(&self) -> Option<IpAddr> {
        match self {
            Self::Address(address) => Some(*address),
            Self::Pointer(_) | Self::Other => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample::{
        INSIDE, NOW, OUTSIDE, SOURCE, address, goodbye, name, ptr, sender, srv, txt,
    };
    use super::*;

    const HERE: LinkId = INSIDE.link;
    const THERE: LinkId = OUTSIDE.link;

    fn at(millis: u64) -> Instant {
        NOW + Duration::from_millis(millis)
    }

    fn observe(names: &mut Names, record: &Record<'_>, now: Instant) -> Observed {
        names.observe(HERE, SOURCE, sender(1), record, now)
    }

    fn shown(names: &Names, now: Instant) -> Vec<(String, String, u64)> {
        let views = names.views(now);
        views.map(|view| (view.name, view.data, view.remaining.as_secs())).collect()
    }

    #[test]
    fn records_are_there_for_their_lifetime() {
        let mut names = Names::new(8);
        let record = address("Pi-41.local", "2001:db8::41");
        let observed = observe(&mut names, &record, at(0));
        assert!(matches!(observed, Observed::First(_)), "{observed:?}");
        let same = address("pi-41.LOCAL", "2001:db8::41");
        assert!(matches!(observe(&mut names, &same, at(60_000)), Observed::Again(_)));
        let expected = ("Pi-41.local".to_owned(), "2001:db8::41".to_owned(), 119);
        assert_eq!(shown(&names, at(61_000)), [expected]);
        let ip: IpAddr = "2001:db8::41".parse().unwrap();
        assert_eq!(names.names_of(ip, at(61_000)).count(), 1);
        assert_eq!(shown(&names, at(180_000)), []);
        assert_eq!(names.names_of(ip, at(180_000)).count(), 0);
        assert!(matches!(observe(&mut names, &same, at(180_000)), Observed::First(_)));
    }

    #[test]
    fn what_is_withdrawn_is_there_for_another_second() {
        let mut names = Names::new(8);
        let record = txt("Dr._ipp._tcp.local");
        assert_eq!(observe(&mut names, &goodbye(&record), at(0)), Observed::Nothing);
        let id = observe(&mut names, &record, at(0)).id().unwrap();
        let farewell = goodbye(&record);
        assert_eq!(observe(&mut names, &farewell, at(100)), Observed::Withdrawn(id));
        assert_eq!(observe(&mut names, &farewell, at(200)), Observed::Nothing);
        assert_eq!(names.views(at(1_099)).count(), 1);
        assert_eq!(names.views(at(1_100)).count(), 0);
        // Another host has it as well.
        assert_eq!(observe(&mut names, &record, at(1_000)), Observed::First(id));
        assert_eq!(names.views(at(9_000)).count(), 1);
    }

    #[test]
    fn a_set_is_replaced_by_another_one() {
        let mut names = Names::new(8);
        observe(&mut names, &address("pi.local", "2001:db8::1"), at(0));
        observe(&mut names, &address("pi.local", "192.0.2.1"), at(0));
        observe(&mut names, &address("pi.local", "2001:db8::2"), at(900));
        assert_eq!(names.views(at(3_000)).count(), 3, "they were said together");
        observe(&mut names, &address("pi.local", "2001:db8::3"), at(5_000));
        let left: Vec<_> = shown(&names, at(6_000)).into_iter().map(|(_, data, _)| data).collect();
        assert_eq!(left.len(), 2, "{left:?}");
        assert!(left.contains(&"192.0.2.1".to_owned()), "{left:?}");
        assert!(left.contains(&"2001:db8::3".to_owned()), "{left:?}");
    }

    #[test]
    fn what_was_done_is_news_when_it_is_something_else() {
        let mut names = Names::new(8);
        let id = observe(&mut names, &txt("a._ipp._tcp.local"), at(0)).id().unwrap();
        for (verdict, is_news) in [
            (Verdict::Recent, false),
            (Verdict::Passed, true),
            (Verdict::Recent, false),
            (Verdict::RateLimited, false),
            (Verdict::Passed, false),
            (Verdict::Denied, true),
        ] {
            assert_eq!(names.decide(id, THERE, verdict), is_news, "{verdict:?}");
        }
        assert_eq!(names.view(id, at(0)).unwrap().verdicts, [(THERE, Verdict::Denied)]);
        names.forget_link(HERE);
        assert_eq!(names.view(id, at(0)), None);
        assert!(!names.decide(id, THERE, Verdict::Passed));
    }

    #[test]
    fn the_table_is_bounded_and_nobody_pushes_out_others() {
        let mut names = Names::new(32);
        for host in 0..8 {
            let record = address(&format!("pi-{host}.local"), &format!("192.0.2.{host}"));
            names.observe(HERE, SOURCE, sender(1), &record, at(0));
        }
        for number in 0..1_000 {
            let record = ptr("_a._tcp.local", &format!("{number}._a._tcp.local"));
            names.observe(HERE, SOURCE, sender(2), &record, at(number));
        }
        assert_eq!(names.len(), 32);
        let hosts = names.views(at(1_000)).filter(|view| view.address.is_some());
        assert_eq!(hosts.count(), 8);
        assert_eq!(names.by_address.len(), 8);
        let table = &names.tables[&HERE];
        assert_eq!(table.by_name.values().map(BTreeMap::len).sum::<usize>(), 32);

        names.limit(4);
        assert_eq!(names.len(), 4);
        let table = &names.tables[&HERE];
        assert_eq!(table.by_name.values().map(BTreeMap::len).sum::<usize>(), 4);
        names.forget_sender(HERE, sender(2));
        assert!(names.views(at(1_000)).all(|view| view.address.is_some()));
        names.forget_sender(HERE, sender(1));
        assert_eq!((names.len(), names.by_address.len()), (0, 0));
        assert!(names.tables[&HERE].by_name.is_empty());
    }

    #[test]
    fn no_decision_takes_more_work_than_there_is_reason_for() {
        let mut names = Names::new(10_000);
        for number in 0..2_000 {
            let mut one = address("pi.local", &format!("2001:db8::{number:x}"));
            one.cache_flush = false;
            observe(&mut names, &one, at(0));
            observe(&mut names, &address(&format!("pi-{number}.local"), "192.0.2.1"), at(0));
        }
        for number in 0..2_000 {
            let instance = format!("{number}._ipp._tcp.local");
            observe(&mut names, &ptr("_ipp._tcp.local", &instance), at(0));
            let subtype = format!("_{number}._sub._ipp._tcp.local");
            observe(&mut names, &ptr(&subtype, "a._ipp._tcp.local"), at(0));
        }
        let ip: IpAddr = "192.0.2.1".parse().unwrap();
        let host = name("pi.local");
        assert_eq!(names.addresses_of(&host, kind::AAAA, HERE, at(0)).count(), MOST_WEIGHED);
        assert_eq!(names.names_of(ip, at(0)).count(), MOST_WEIGHED);
        let (service, instance) = (name("_ipp._tcp.local"), name("a._ipp._tcp.local"));
        assert_eq!(names.instances_of(&service, HERE, at(0)).count(), MOST_INSTANCES);
        assert_eq!(names.subtypes_of(&instance, HERE, at(0)).count(), MOST_WEIGHED);
    }

    #[test]
    fn what_has_ended_leaves() {
        let mut names = Names::new(1_000);
        let list = ptr("_printer._sub._ipp._tcp.local", "a._ipp._tcp.local");
        observe(&mut names, &list, at(0));
        observe(&mut names, &address("pi.local", "192.0.2.1"), at(0));
        assert_eq!(names.subtypes_of(&name("A._ipp._tcp.local"), HERE, at(0)).count(), 1);
        observe(&mut names, &srv("b._ipp._tcp.local", "pi.local"), at(200_000));
        assert_eq!(names.len(), 1);
        assert!(names.by_address.is_empty());
        assert!(names.tables[&HERE].subtypes.is_empty());
        assert_eq!(names.subtypes_of(&name("a._ipp._tcp.local"), HERE, at(0)).count(), 0);
    }
}
