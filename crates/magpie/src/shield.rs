//! Keeps the kernel from handling messages that are answered here, as far as it lets itself be
//! kept.

use magpie_sys::guard::{Guard, GuardedLink};

use crate::Chain;

/// The guard, or the reason why there is none.
#[derive(Debug, Default)]
pub(crate) struct Shield {
    guard: Option<Guard>,
    /// The links that it covers.
    links: Vec<GuardedLink>,
    gap: Option<String>,
}

impl Shield {
    /// Covers exactly these links.
    pub(crate) fn cover(&mut self, links: Vec<GuardedLink>) {
        let result = match &mut self.guard {
            Some(_) if links == self.links && self.gap.is_none() => return,
            // It may have gone with its last link.
            Some(guard) => guard.update(&links).or_else(|_| {
                self.guard = None;
                Guard::install(&links).map(|guard| self.guard = Some(guard))
            }),
            None => Guard::install(&links).map(|guard| self.guard = Some(guard)),
        };
        match result {
            Ok(()) => {
                self.links = links;
                self.gap = None;
            }
            Err(error) => {
                let reason = Chain(&error).to_string();
                if self.gap.is_none() {
                    tracing::warn!(
                        reason,
                        "the kernel may forward or refuse probes that neighbors send to one address"
                    );
                }
                self.gap = Some(reason);
            }
        }
    }

    /// Puts the guard back if it has gone; tells whether that was so. Nobody else can remove it, but
    /// some kernels do.
    pub(crate) fn restore(&mut self) -> bool {
        let is_gone = |guard: &mut Guard| matches!(guard.is_in_place(), Ok(false));
        if self.gap.is_some() || !self.guard.as_mut().is_some_and(is_gone) {
            return false;
        }
        self.guard = None;
        let links = std::mem::take(&mut self.links);
        self.cover(links);
        self.is_up()
    }

    /// Whether the links are covered.
    pub(crate) fn is_up(&self) -> bool {
        self.guard.is_some() && self.gap.is_none()
    }

    /// Why the links are not covered; none if they are, or if nothing was to be covered yet.
    pub(crate) fn gap(&self) -> Option<&str> {
        self.gap.as_deref()
    }

    /// Covers nothing any more.
    pub(crate) fn lower(&mut self) {
        *self = Self::default();
    }
}
