//! How much the engine remembers.

use crate::engine::Engine;

/// The number of entries of each table that grows and shrinks.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Sizes {
    /// Links that are there.
    pub links: usize,
    /// Hosts that are known or heard of.
    pub bindings: usize,
    /// Host routes that are wanted or known, ours and those of others.
    pub routes: usize,
    /// Groups that are needed on a link.
    pub groups: usize,
    /// Memberships that rules call for.
    pub standing: usize,
    /// Lookups under way.
    pub resolutions: usize,
    /// Messages that wait.
    pub delayed: usize,
    /// What the kernel said of routes, and what it was asked.
    pub lookups: usize,
    /// Targets that did not answer, and addresses that spoke or were defended lately. These leave
    /// when others come, not by themselves.
    pub recent: usize,
    /// Records of names that were seen.
    pub names: usize,
    /// Questions and records that were said lately, and who sent packets lately. These leave when
    /// others come, not by themselves.
    pub said: usize,
    /// Queries for names that wait for answers, and packets of which parts are missing.
    pub waiting: usize,
    /// Deadlines.
    pub timers: usize,
}

impl Engine {
    /// Returns how much is remembered.
    pub fn sizes(&self) -> Sizes {
        let reflector = self.reflector.as_ref();
        let (names, said, waiting) = reflector.map(|all| all.sizes()).unwrap_or_default();
        Sizes {
            links: self.links.len(),
            bindings: self.bindings.iter().count(),
            routes: self.routes.len(),
            groups: self.groups.len(),
            standing: self.standing.len(),
            resolutions: self.resolutions.len(),
            delayed: self.delayed.len(),
            lookups: self.fib.len(),
            recent: self.held_down.len() + self.sighted.len() + self.defended.len(),
            names,
            said,
            waiting,
            timers: self.timers.len(),
        }
    }
}
