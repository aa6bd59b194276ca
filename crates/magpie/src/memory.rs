//! Remembers hosts that are not there: from one run to the next, and while their link or their prefix
//! is away. When to save them, and where to put them.

use std::collections::BTreeSet;
use std::net::Ipv6Addr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ipnet::Ipv6Net;
use magpie_engine::{BindingState, BindingView, Evidence, Instant};

use crate::displaced::{Displaced, LIFETIME};
use crate::saver::Saver;
use crate::sought::Sought;
use crate::state::{Saved, StateFile};

/// What is remembered.
#[derive(Debug)]
pub(crate) struct Memory {
    /// None if there is no file for it.
    saver: Option<Saver>,
    /// Hosts that were saved on links that have not come yet, or in prefixes that are not known to
    /// be of the subnet yet.
    unplaced: Vec<Saved>,
    /// Hosts that went with their link or their prefix in this run.
    displaced: Displaced,
    /// Hosts that were asked where they had been, and did not answer yet.
    sought: Sought,
    /// The prefixes for which hosts were looked for among them.
    prefixes: Vec<Ipv6Net>,
    /// Some of the hosts were not looked for there yet.
    has_new: bool,
    /// When to save; none while there is nothing new.
    due: Option<Instant>,
    saved: Instant,
    started: Instant,
}

/// Whether to wait until something is saved.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Saving {
    InBackground,
    AtOnce,
}

impl Memory {
    /// Starts with what was saved last time.
    pub(crate) fn new(
        file: Option<StateFile>,
        saved: Vec<Saved>,
        now: Instant,
        wall: SystemTime,
    ) -> Self {
        // Those that were away when they were saved are remembered no longer than others that went;
        // or the file would grow with each link that never comes back.
        let (away, saved): (Vec<Saved>, _) = saved.into_iter().partition(|host| host.is_away);
        let mut displaced = Displaced::default();
        for host in away {
            // A clock that was set meanwhile makes it no longer than for one that went just now.
            let left = host.until.map(|until| {
                Duration::from_secs(until).saturating_sub(since_epoch(wall)).min(LIFETIME)
            });
            displaced.insert(host, now + left.unwrap_or(LIFETIME));
        }
        displaced.expire(now + Duration::from_nanos(1));
        Self {
            saver: file.map(Saver::new),
            unplaced: saved,
            displaced,
            sought: Sought::default(),
            prefixes: Vec::new(),
            has_new: true,
            due: None,
            saved: now,
            started: now,
        }
    }

    /// Takes note that there is something new.
    pub(crate) fn touch(&mut self, now: Instant) {
        if self.saver.is_some() {
            self.due.get_or_insert((self.saved + SAVE_INTERVAL).max(now));
        }
    }

    /// Remembers where a host was that has just gone with its link or its prefix.
    pub(crate) fn displace(&mut self, host: Saved, now: Instant) {
        self.sought.remove(host.target);
        self.displaced.insert(host, now + LIFETIME);
        self.has_new = true;
    }

    /// Takes note that a link went: who is looked for there is looked for as soon as it is back.
    pub(crate) fn lose(&mut self, link: &str) {
        let lost = self.sought.take_on(link);
        self.put_back(lost);
    }

    /// Takes note that a host was found.
    pub(crate) fn find(&mut self, target: Ipv6Addr) {
        self.displaced.remove(target);
        self.sought.remove(target);
    }

    /// When to look again for hosts that did not answer; none while there are none.
    pub(crate) fn seek_due(&self) -> Option<Instant> {
        self.sought.due()
    }

    /// Looks again for hosts that did not answer, where `place` takes them.
    pub(crate) fn seek(&mut self, place: impl FnMut(&Saved) -> bool, now: Instant) {
        let lost = self.sought.look(place, now);
        self.put_back(lost);
    }

    fn put_back(&mut self, hosts: Vec<(Saved, Instant)>) {
        self.has_new |= !hosts.is_empty();
        for (host, until) in hosts {
            self.displaced.insert(host, until);
        }
    }

    /// When to save; none while there is nothing new.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.due
    }

    /// Saves what is known: bindings with the links that they are on. `is_there` tells whether
    /// there is a link of a name.
    pub(crate) fn save<'a>(
        &mut self,
        bindings: impl Iterator<Item = (&'a str, BindingView)>,
        is_there: impl Fn(&str) -> bool,
        saving: Saving,
        now: Instant,
        wall: SystemTime,
    ) {
        let Some(saver) = &mut self.saver else { return };
        if saving == Saving::InBackground && saver.is_busy() {
            self.due = Some(now + BUSY_INTERVAL);
            return;
        }
        let mut bound = BTreeSet::new();
        let sought = &mut self.sought;
        let known = bindings.filter_map(|(link, binding)| {
            let BindingView { target, lladdr, state, .. } = binding;
            if !matches!(state, BindingState::Tentative | BindingState::Candidate) {
                sought.remove(target);
            } else if sought.contains(target) {
                // Being asked it is no less away than before.
                return None;
            }
            bound.insert(target);
            let link = link.to_owned();
            let host = Saved { target, link, lladdr, is_away: false, until: None };
            is_worth_keeping(&binding).then_some(host)
        });
        let mut hosts: Vec<Saved> = known.collect();
        // The prefix of those that wait for long after their link has come was another network's.
        let is_late = now.since(self.started) > PATIENCE;
        self.unplaced
            .retain(|host| !(bound.contains(&host.target) || is_late && is_there(&host.link)));
        self.displaced.retain(|host, _| !bound.contains(&host.target));
        self.displaced.expire(now);
        self.sought.expire(now);
        let unplaced = self.unplaced.iter().map(|host| (host, self.started + LIFETIME));
        let away = unplaced.chain(self.displaced.iter()).chain(self.sought.iter());
        hosts.extend(away.map(|(host, until)| {
            let until = since_epoch(wall) + until.since(now);
            Saved { is_away: true, until: Some(until.as_secs()), ..host.clone() }
        }));
        match saving {
            Saving::InBackground => saver.start(hosts),
            Saving::AtOnce => saver.save(&hosts),
        }
        self.due = None;
        self.saved = now;
    }

    /// Whether hosts wait that could be in one of these prefixes.
    pub(crate) fn awaits(&self, prefixes: impl Iterator<Item = Ipv6Net>) -> bool {
        let has_any = !self.unplaced.is_empty() || !self.displaced.is_empty();
        (has_any || !self.sought.is_empty())
            && (self.has_new || !prefixes.eq(self.prefixes.iter().copied()))
            && (has_any || self.sought.has_resting())
    }

    /// Looks for the hosts that `place` takes, in view of these prefixes; returns how many. They are
    /// looked for again until they are found, but not for ever.
    pub(crate) fn recall(
        &mut self,
        prefixes: impl Iterator<Item = Ipv6Net>,
        mut place: impl FnMut(&Saved) -> bool,
        now: Instant,
    ) -> u64 {
        let prefixes: Vec<Ipv6Net> = prefixes.collect();
        if prefixes != self.prefixes {
            let resting = self.sought.take_resting();
            self.put_back(resting);
        }
        self.prefixes = prefixes;
        self.has_new = false;
        self.displaced.expire(now);
        let mut placed = 0;
        let sought = &mut self.sought;
        let mut stays = |host: &Saved, until: Instant| {
            let is_placed = place(host);
            if is_placed {
                sought.insert(host.clone(), until, now);
                placed += 1;
            }
            !is_placed
        };
        self.unplaced.retain(|host| stays(host, now + LIFETIME));
        self.displaced.retain(stays);
        placed
    }
}

fn is_worth_keeping(binding: &BindingView) -> bool {
    match binding.state {
        BindingState::Tentative => false,
        // Recalled, and not found yet; one that stays silent is forgotten soon enough.
        BindingState::Candidate => binding.evidence == Evidence::Saved,
        BindingState::Reachable | BindingState::Stale | BindingState::Probing => true,
    }
}

fn since_epoch(wall: SystemTime) -> Duration {
    wall.duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// What is new is saved after this at the latest; nothing is written while nothing is new.
const SAVE_INTERVAL: Duration = Duration::from_secs(300);
/// If saving is due while the last time is still not over, it is put off by this.
const BUSY_INTERVAL: Duration = Duration::from_secs(10);
/// Time within which the prefix of a saved host shows, if it is still one of the subnet.
const PATIENCE: Duration = Duration::from_secs(24 * 3600);

#[cfg(test)]
mod tests {
    use std::iter;

    use magpie_engine::{LinkId, RouteView};

    use super::*;
    use crate::state::samples::{Scratch, away, saved};

    #[test]
    fn hosts_wait_until_somebody_takes_them() {
        let saved = vec![saved(1, "wan", None), saved(2, "lan", None)];
        let mut memory = Memory::new(None, saved, Instant::ZERO, wall());
        let recall = |memory: &mut Memory, on: &str| {
            let mut placed = Vec::new();
            let take = |host: &Saved| {
                let is_taken = host.link == on;
                placed.extend(is_taken.then_some(host.target));
                is_taken
            };
            let count = memory.recall(subnet(), take, Instant::ZERO);
            assert_eq!(count, placed.len() as u64);
            placed
        };
        assert!(memory.awaits(subnet()));
        assert_eq!(recall(&mut memory, "lan"), [host(2)]);
        assert!(!memory.awaits(subnet()), "nothing is new");
        assert_eq!(recall(&mut memory, "lan"), [] as [Ipv6Addr; 0]);
        assert_eq!(recall(&mut memory, "wan"), [host(1)]);
        assert!(!memory.awaits(iter::empty()), "nobody is left");
    }

    #[test]
    fn who_went_with_the_prefix_is_recalled_with_it() {
        let mut memory = Memory::new(None, Vec::new(), Instant::ZERO, wall());
        let none = |memory: &mut Memory, prefixes: Vec<Ipv6Net>| {
            memory.recall(prefixes.into_iter(), |_| false, Instant::ZERO)
        };
        let all = |memory: &mut Memory| memory.recall(subnet(), |_| true, Instant::ZERO);
        none(&mut memory, subnet().collect());
        assert!(!memory.awaits(iter::empty()), "there is nobody");
        memory.displace(saved(1, "lan", None), Instant::ZERO);
        // The prefix may be back before anybody looked.
        assert!(memory.awaits(subnet()));
        none(&mut memory, Vec::new());
        assert!(!memory.awaits(iter::empty()));
        assert!(memory.awaits(subnet()));
        assert_eq!(all(&mut memory), 1);
        assert_eq!(all(&mut memory), 0);

        memory.displace(saved(1, "lan", None), Instant::ZERO);
        memory.find(host(1));
        assert_eq!(all(&mut memory), 0, "it has been found without");
    }

    #[test]
    fn who_went_is_saved_with_the_rest_until_it_is_found() {
        let folder = Scratch::new("memory-displaced");
        let path = folder.path().join("routes.json");
        let file = StateFile::new(&path).unwrap();
        let mut memory = Memory::new(Some(file.clone()), Vec::new(), Instant::ZERO, wall());
        for host in [saved(1, "wan", None), saved(2, "wan", None)] {
            memory.displace(host, Instant::ZERO);
        }
        let found = binding(BindingState::Reachable, Evidence::Solicitation);
        let bindings = iter::once(("lan", found));
        memory.save(bindings, |_| true, Saving::AtOnce, Instant::ZERO, wall());
        let hosts = load(&file);
        assert_eq!(hosts, [saved(1, "lan", None), away(2, "wan", None)]);

        // The next run remembers it for as long.
        let mut memory = Memory::new(Some(file.clone()), hosts, Instant::ZERO, wall());
        memory.save(iter::empty(), |_| false, Saving::AtOnce, Instant::ZERO + PATIENCE, wall());
        let hosts = load(&file);
        assert_eq!(hosts, [away(1, "lan", None), away(2, "wan", None)]);
        memory.save(iter::empty(), |_| false, Saving::AtOnce, Instant::ZERO + 2 * PATIENCE, wall());
        assert_eq!(load(&file), [away(1, "lan", None)]);
    }

    #[test]
    fn a_new_start_does_not_lengthen_the_time_for_which_a_host_is_remembered() {
        let folder = Scratch::new("memory-times");
        let file = StateFile::new(&folder.path().join("routes.json")).unwrap();
        let start = |hosts, wall| Memory::new(Some(file.clone()), hosts, Instant::ZERO, wall);
        let save = |memory: &mut Memory, now: Instant, wall| {
            memory.save(iter::empty(), |_| false, Saving::AtOnce, now, wall);
            file.clone().load().unwrap().hosts
        };
        let hour = Duration::from_secs(3600);
        let mut memory = start(Vec::new(), wall());
        memory.displace(saved(1, "wan", None), Instant::ZERO);
        let hosts = save(&mut memory, Instant::ZERO + hour, wall() + hour);
        assert_eq!(hosts.len(), 1);

        // The machine was off meanwhile, and its clock begins anew with that.
        let hosts = save(&mut start(hosts, wall() + 23 * hour), Instant::ZERO, wall() + 23 * hour);
        assert_eq!(hosts.len(), 1);
        let mut memory = start(hosts.clone(), wall() + 23 * hour);
        assert_eq!(save(&mut memory, Instant::ZERO + 2 * hour, wall() + 25 * hour), []);
        assert_eq!(save(&mut start(hosts.clone(), wall() + 25 * hour), Instant::ZERO, wall()), []);

        // A clock that is not set yet does not make it longer than a day, ...
        let mut memory = start(hosts, UNIX_EPOCH);
        assert_eq!(save(&mut memory, Instant::ZERO + 25 * hour, UNIX_EPOCH + 25 * hour), []);
        // ... nor does a file without times.
        let mut memory = start(vec![away(1, "wan", None)], wall());
        assert_eq!(save(&mut memory, Instant::ZERO + 23 * hour, wall()).len(), 1);
        assert_eq!(save(&mut memory, Instant::ZERO + 25 * hour, wall()), []);
    }

    #[test]
    fn who_does_not_answer_is_looked_for_again_and_stays_remembered() {
        let folder = Scratch::new("memory-sought");
        let file = StateFile::new(&folder.path().join("routes.json")).unwrap();
        let mut memory = Memory::new(Some(file.clone()), Vec::new(), Instant::ZERO, wall());
        memory.displace(saved(1, "lan", None), Instant::ZERO);
        assert_eq!(memory.seek_due(), None);
        assert_eq!(memory.recall(subnet(), |_| true, Instant::ZERO), 1);
        assert_eq!(memory.recall(subnet(), |_| true, Instant::ZERO), 0, "it is asked already");

        // While it is asked it is none that was found.
        let asked = binding(BindingState::Candidate, Evidence::Saved);
        let asked = iter::once(("lan", asked));
        memory.save(asked, |_| true, Saving::AtOnce, Instant::ZERO, wall());
        assert_eq!(load(&file), [away(1, "lan", None)]);

        let mut asked = 0;
        while let Some(at) = memory.seek_due() {
            memory.seek(
                |_| {
                    asked += 1;
                    true
                },
                at,
            );
        }
        assert_eq!(asked, 3);
        assert_eq!(memory.recall(subnet(), |_| true, Instant::ZERO), 0, "nothing is new");
        assert!(!memory.awaits(subnet()) && memory.awaits(iter::empty()));
        memory.recall(iter::empty(), |_| false, Instant::ZERO);
        assert_eq!(memory.recall(subnet(), |_| true, Instant::ZERO), 1, "the prefix is back");

        memory.lose("lan");
        assert!(memory.awaits(subnet()), "the link may be back already");
        assert_eq!(memory.recall(subnet(), |_| true, Instant::ZERO), 1);
        memory.find(host(1));
        assert_eq!(memory.seek_due(), None);
        memory.save(iter::empty(), |_| true, Saving::AtOnce, Instant::ZERO, wall());
        assert_eq!(load(&file), []);
    }

    #[test]
    fn who_was_not_placed_is_saved_again() {
        let folder = Scratch::new("memory");
        let path = folder.path().join("routes.json");
        let waiting = vec![saved(1, "lan", None), saved(2, "lan", None), saved(3, "wan", None)];
        let file = StateFile::new(&path).unwrap();
        let mut memory = Memory::new(Some(file.clone()), waiting, Instant::ZERO, wall());
        memory.recall(iter::empty(), |_| false, Instant::ZERO);

        // Found without having been recalled, it is saved once.
        let mut save = |saving, now| {
            let found = binding(BindingState::Reachable, Evidence::Solicitation);
            memory.save(iter::once(("lan", found)), |link| link == "lan", saving, now, wall());
            load(&file)
        };
        let all = [saved(1, "lan", None), away(2, "lan", None), away(3, "wan", None)];
        assert_eq!(save(Saving::AtOnce, Instant::ZERO), all);
        save(Saving::InBackground, Instant::ZERO);
        assert_eq!(save(Saving::AtOnce, Instant::ZERO), all);
        let rest = [saved(1, "lan", None), away(3, "wan", None)];
        assert_eq!(save(Saving::AtOnce, Instant::ZERO + 2 * PATIENCE), rest);
    }

    #[test]
    fn only_what_was_confirmed_is_kept_or_what_was_kept_before() {
        for (state, evidence, expected) in [
            (BindingState::Tentative, Evidence::Dad, false),
            (BindingState::Candidate, Evidence::Solicitation, false),
            (BindingState::Candidate, Evidence::Saved, true),
            (BindingState::Reachable, Evidence::Dad, true),
            (BindingState::Stale, Evidence::Dad, true),
            (BindingState::Probing, Evidence::Dad, true),
        ] {
            let binding = binding(state, evidence);
            assert_eq!(is_worth_keeping(&binding), expected, "{binding:?}");
        }
    }

    #[test]
    fn nothing_is_due_without_a_file_or_without_news() {
        let mut memory = Memory::new(None, Vec::new(), Instant::ZERO, wall());
        memory.touch(Instant::ZERO);
        assert_eq!(memory.due(), None);
    }

    /// What is saved, but for the times.
    fn load(file: &StateFile) -> Vec<Saved> {
        let hosts = file.clone().load().unwrap().hosts;
        hosts.into_iter().map(|host| Saved { until: None, ..host }).collect()
    }

    fn wall() -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(1_700_000_000)
    }

    fn host(number: u16) -> Ipv6Addr {
        Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, number)
    }

    fn subnet() -> impl Iterator<Item = Ipv6Net> {
        iter::once("2001:db8::/64".parse().unwrap())
    }

    fn binding(state: BindingState, evidence: Evidence) -> BindingView {
        BindingView {
            target: host(1),
            link: LinkId(8),
            lladdr: None,
            state,
            confirmed: None,
            seen: Duration::ZERO,
            evidence,
            router: false,
            route: RouteView::None,
        }
    }
}
