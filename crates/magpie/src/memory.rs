//! Remembers hosts from one run to the next: when to save them, and where to put them.

use std::time::Duration;

use magpie_engine::{BindingState, BindingView, Evidence, Input, Instant};

use crate::Chain;
use crate::links::{Links, Member};
use crate::state::{Saved, StateFile};

/// What is remembered, if there is a file for it.
#[derive(Debug)]
pub(crate) struct Memory {
    file: Option<StateFile>,
    /// Hosts that were saved on links that have not come yet.
    unplaced: Vec<Saved>,
    /// When to save; none while there is nothing new.
    due: Option<Instant>,
    saved: Instant,
}

impl Memory {
    /// Starts with what was saved last time.
    pub(crate) fn new(file: Option<StateFile>, saved: Vec<Saved>, now: Instant) -> Self {
        Self { file, unplaced: saved, due: None, saved: now }
    }

    /// Takes note that there is something new.
    pub(crate) fn touch(&mut self, now: Instant) {
        if self.file.is_some() {
            self.due.get_or_insert((self.saved + SAVE_INTERVAL).max(now));
        }
    }

    /// When to save; none while there is nothing new.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.due
    }

    /// Saves what is known.
    pub(crate) fn save(
        &mut self,
        bindings: impl Iterator<Item = BindingView>,
        links: &Links,
        now: Instant,
    ) {
        let Some(file) = &mut self.file else { return };
        let known = bindings.filter(is_worth_keeping).filter_map(|binding| {
            let link = links.by_index(binding.link.0)?.name.clone();
            Some(Saved { target: binding.target, link, lladdr: binding.lladdr })
        });
        let hosts: Vec<Saved> = known.chain(self.unplaced.iter().cloned()).collect();
        match file.save(&hosts) {
            Ok(()) => {
                let path = file.path().display();
                tracing::debug!(%path, hosts = hosts.len(), "state saved");
            }
            Err(error) => tracing::warn!(error = %Chain(&error), "the state is not saved"),
        }
        self.due = None;
        self.saved = now;
    }

    /// Takes out the hosts that were saved on links which are there now.
    pub(crate) fn recall(&mut self, links: &Links) -> Vec<Input<'static>> {
        let mut recalled = Vec::new();
        self.unplaced.retain(|host| {
            let Some(device) = links.by_name(&host.link).and_then(Member::device) else {
                return true;
            };
            let Saved { target, lladdr, .. } = *host;
            recalled.push(Input::Restore { target, link: device.id(), lladdr });
            false
        });
        recalled
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

#[cfg(test)]
mod tests {
    use std::net::Ipv6Addr;

    use magpie_engine::{LinkId, RouteView};

    use super::*;
    use crate::links::samples::device;

    #[test]
    fn hosts_are_recalled_when_their_link_is_there() {
        let mut links = Links::new(&["wan".to_owned(), "lan".to_owned()]);
        let saved = vec![saved(1, "wan"), saved(2, "lan")];
        let mut memory = Memory::new(None, saved, Instant::ZERO);
        assert_eq!(memory.recall(&links).len(), 0);
        links.observe(&device(8, "lan"));
        let recalled = memory.recall(&links);
        assert!(
            matches!(recalled[..], [Input::Restore { target, link: LinkId(8), .. }] if target == host(2)),
            "{recalled:?}"
        );
        assert_eq!(memory.recall(&links).len(), 0);
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

    fn saved(number: u16, link: &str) -> Saved {
        Saved { target: host(number), link: link.to_owned(), lladdr: None }
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
