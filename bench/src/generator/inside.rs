//! The hosts inside: which of them answer, and what they see.

use std::ops::Range;
use std::time::Instant;

use magpie_wire::{LinkAddr, Packet};

use crate::targets::{Target, host_lladdr};

/// What the hosts inside saw.
#[derive(Clone, Debug, Default)]
pub(crate) struct InsideReport {
    /// Solicitations, all of them.
    pub(crate) solicitations: u32,
    /// Of each second, the multicast solicitations for hosts that are not known to the system.
    pub(crate) new_per_second: Vec<u32>,
}

/// The hosts inside.
#[derive(Debug)]
pub(crate) struct Inside {
    hosts: u32,
    known: Range<u32>,
    start: Instant,
    report: InsideReport,
}

impl Inside {
    pub(crate) fn new(hosts: u32, known: Range<u32>, start: Instant) -> Self {
        Self { hosts, known, start, report: InsideReport::default() }
    }

    /// Takes note of a solicitation; returns the link-layer address of the host that answers it.
    pub(crate) fn note(
        &mut self,
        question: &Packet<'_>,
        target: std::net::Ipv6Addr,
        now: Instant,
    ) -> Option<LinkAddr> {
        self.report.solicitations += 1;
        let target = Target::of(target);
        let known = matches!(target, Target::Host(number) if self.known.contains(&number));
        if question.destination.is_multicast() && !known && target != Target::Other {
            self.count(now);
        }
        match target {
            // A host does not answer duplicate address detection in this network: nobody has two.
            Target::Host(number) if number < self.hosts && !question.source.is_unspecified() => {
                Some(host_lladdr(number))
            }
            _ => None,
        }
    }

    pub(crate) fn into_report(self) -> InsideReport {
        self.report
    }

    fn count(&mut self, now: Instant) {
        let second = now.saturating_duration_since(self.start).as_secs();
        let Ok(second) = usize::try_from(second) else { return };
        let seconds = &mut self.report.new_per_second;
        if seconds.len() <= second {
            seconds.resize(second + 1, 0);
        }
        if let Some(count) = seconds.get_mut(second) {
            *count += 1;
        }
    }
}
