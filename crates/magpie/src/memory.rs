//! Remembers hosts that are not there: from one run to the next, and while their link or their prefix
//! is away. When to save them, and where to put them.

use std::collections::BTreeSet;
use std::net::Ipv6Addr;
use std::time::Duration;

use ipnet::Ipv6Net;
use magpie_engine::{BindingState, BindingView, Evidence, Instant};

use crate::displaced::Displaced;
use crate::saver::Saver;
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
    pub(crate) fn new(file: Option<StateFile>, saved: Vec<Saved>, now: Instant) -> Self {
        // Those that were away when they were saved are remembered no longer than others that went;
        // or the file would grow with each link that never comes back.
        let (away, saved): (Vec<Saved>, _) = saved.into_iter().partition(|host| host.is_away);
        let mut displaced = Displaced::default();
        for host in away {
            displaced.insert(host, now);
        }
        Self {
            saver: file.map(Saver::new),
            unplaced: saved,
            displaced,
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
        self.displaced.insert(host, now);
        self.has_new = true;
    }

    /// Takes note that a host was found.
    pub(crate) fn find(&mut self, target: Ipv6Addr) {
        self.displaced.remove(target);
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
    ) {
        let Some(saver) = &mut self.saver else { return };
        if saving == Saving::InBackground && saver.is_busy() {
            self.due = Some(now + BUSY_INTERVAL);
            return;
        }
        let mut bound = BTreeSet::new();
        let known = bindings.filter_map(|(link, binding)| {
            bound.insert(binding.target);
            let BindingView { target, lladdr, .. } = binding;
            let link = link.to_owned();
            is_worth_keeping(&binding).then_some(Saved { target, link, lladdr, is_away: false })
        });
        let mut hosts: Vec<Saved> = known.collect();
        // The prefix of those that wait for long after their link has come was another network's.
        let is_late = now.since(self.started) > PATIENCE;
        self.unplaced
            .retain(|host| !(bound.contains(&host.target) || is_late && is_there(&host.link)));
        self.displaced.retain(|host| !bound.contains(&host.target));
        self.displaced.expire(now);
        let away = self.unplaced.iter().chain(self.displaced.iter());
        hosts.extend(away.map(|host| Saved { is_away: true, ..host.clone() }));
        match saving {
            Saving::InBackground => saver.start(hosts),
            Saving::AtOnce => saver.save(&hosts),
        }
        self.due = None;
        self.saved = now;
    }

    /// Whether hosts wait that could be in one of these prefixes.
    pub(crate) fn awaits(&self, prefixes: impl Iterator<Item = Ipv6Net>) -> bool {
        let is_empty = self.unplaced.is_empty() && self.displaced.is_empty();
        !is_empty && (self.has_new || !prefixes.eq(self.prefixes.iter().copied()))
    }

    /// Takes out the hosts that `place` takes, in view of these prefixes; returns how many.
    pub(crate) fn recall(
        &mut self,
        prefixes: impl Iterator<Item = Ipv6Net>,
        mut place: impl FnMut(&Saved) -> bool,
        now: Instant,
    ) -> u64 {
        self.prefixes.clear();
        self.prefixes.extend(prefixes);
        self.has_new = false;
        self.displaced.expire(now);
        let mut placed = 0;
        let mut stays = |host: &Saved| {
            let is_placed = place(host);
            placed += u64::from(is_placed);
            !is_placed
        };
        self.unplaced.retain(&mut stays);
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
        let mut memory = Memory::new(None, saved, Instant::ZERO);
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
        let mut memory = Memory::new(None, Vec::new(), Instant::ZERO);
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
        let mut memory = Memory::new(Some(file.clone()), Vec::new(), Instant::ZERO);
        for host in [saved(1, "wan", None), saved(2, "wan", None)] {
            memory.displace(host, Instant::ZERO);
        }
        let found = binding(BindingState::Reachable, Evidence::Solicitation);
        let bindings = iter::once(("lan", found));
        memory.save(bindings, |_| true, Saving::AtOnce, Instant::ZERO);
        let hosts = file.clone().load().unwrap().hosts;
        assert_eq!(hosts, [saved(1, "lan", None), away(2, "wan", None)]);

        // The next run remembers it for as long.
        let mut memory = Memory::new(Some(file.clone()), hosts, Instant::ZERO);
        memory.save(iter::empty(), |_| false, Saving::AtOnce, Instant::ZERO + PATIENCE);
        let hosts = file.clone().load().unwrap().hosts;
        assert_eq!(hosts, [away(1, "lan", None), away(2, "wan", None)]);
        memory.save(iter::empty(), |_| false, Saving::AtOnce, Instant::ZERO + 2 * PATIENCE);
        assert_eq!(file.clone().load().unwrap().hosts, [away(1, "lan", None)]);
    }

    #[test]
    fn who_was_not_placed_is_saved_again() {
        let folder = Scratch::new("memory");
        let path = folder.path().join("routes.json");
        let waiting = vec![saved(1, "lan", None), saved(2, "lan", None), saved(3, "wan", None)];
        let file = StateFile::new(&path).unwrap();
        let mut memory = Memory::new(Some(file.clone()), waiting, Instant::ZERO);
        memory.recall(iter::empty(), |_| false, Instant::ZERO);

        // Found without having been recalled, it is saved once.
        let mut save = |saving, now| {
            let found = binding(BindingState::Reachable, Evidence::Solicitation);
            memory.save(iter::once(("lan", found)), |link| link == "lan", saving, now);
            file.clone().load().unwrap().hosts
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
        let mut memory = Memory::new(None, Vec::new(), Instant::ZERO);
        memory.touch(Instant::ZERO);
        assert_eq!(memory.due(), None);
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
