//! Takes the figures: of pings, of what the kernels counted, of the daemon's memory.

use std::fs;
use std::io;
use std::net::Ipv6Addr;
use std::time::{Duration, Instant};

use magpie_testnet::{Error, Node, Ping, PingError, PingReport, Pinger, Probe, ping_once};

/// Pings between machines that have never spoken to each other.
#[derive(Debug, Default)]
pub(super) struct FirstPings {
    times: Vec<Option<Duration>>,
}

impl FirstPings {
    /// Sends the first echo request from `node` to an address; the reply's time counts from when it
    /// was sent, with everything that had to be found out for it.
    pub(super) fn ping(
        &mut self,
        node: &Node,
        destination: Ipv6Addr,
    ) -> Result<Duration, PingError> {
        let result = ping_once(node, &Ping::new(destination), PATIENCE);
        self.times.push(result.as_ref().ok().copied());
        result
    }

    /// The longest time; none if one got no answer.
    pub(super) fn worst(&self) -> Option<Duration> {
        let times: Option<Vec<Duration>> = self.times.iter().copied().collect();
        times?.into_iter().max()
    }

    /// How many were sent.
    pub(super) fn sent(&self) -> usize {
        self.times.len()
    }

    /// How many got no answer.
    pub(super) fn lost(&self) -> usize {
        self.times.iter().filter(|time| time.is_none()).count()
    }
}

/// What a host's move from link to link meant to those who were talking.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Disruption {
    /// From when the cable was plugged in to the first answer to a later request; none if none came.
    pub(super) recovery: Option<Duration>,
    /// Requests between unplugging and that answer that got none.
    pub(super) lost_within: usize,
    /// Other requests that got none.
    pub(super) lost_outside: usize,
}

impl Disruption {
    /// Looks at a stream of pings during which a host was unplugged and plugged in again.
    pub(super) fn of(pings: &PingReport, unplugged: Instant, plugged: Instant) -> Self {
        // An earlier request may get its answer late, by way of the old link.
        let late = pings.probes.iter().filter(|probe| probe.sent >= plugged);
        let recovered = late.filter_map(|probe| Some(probe.sent + probe.round_trip?)).min();
        // Requests that were just on their way when the cable was pulled.
        let begin = unplugged.checked_sub(ON_THE_WAY).unwrap_or(unplugged);
        let is_within = |sent: Instant| sent >= begin && recovered.is_none_or(|end| sent <= end);
        let lost = pings.probes.iter().filter(|probe| probe.round_trip.is_none());
        let (within, outside): (Vec<&Probe>, Vec<&Probe>) =
            lost.partition(|probe| is_within(probe.sent));
        Self {
            recovery: recovered.map(|recovered| recovered - plugged),
            lost_within: within.len(),
            lost_outside: outside.len(),
        }
    }
}

/// Waits until a stream of pings has sent `count` more requests and the next is answered.
pub(super) fn wait_replies(pinger: &Pinger, count: usize) -> Result<(), Error> {
    let goal = pinger.report().probes.len() + count;
    while pinger.report().probes.len() < goal {
        pinger.wait_reply(PATIENCE)?;
    }
    Ok(())
}

/// Ends a stream of pings. A request of the last moment has no fair chance and does not count.
pub(super) fn end(pinger: Pinger) -> PingReport {
    let end = Instant::now();
    // Without this answer those before are not going to come either.
    let _ = pinger.wait_reply(PATIENCE);
    let mut report = pinger.stop();
    report.probes.retain(|probe| probe.sent < end);
    report
}

/// What a kernel was told over ICMPv6 that should not be necessary.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Complaints {
    /// Errors: unreachable destinations and the like (RFC 4443 section 3).
    pub(super) errors: u64,
    /// Redirects (RFC 4861 section 4.5).
    pub(super) redirects: u64,
}

impl Complaints {
    /// What the kernel of a machine was told since the machine was made.
    pub(super) fn of(node: &Node) -> Result<Self, ComplaintsError> {
        let _inside = node.enter().map_err(ComplaintsError::Enter)?;
        let counters = fs::read_to_string(COUNTERS).map_err(ComplaintsError::Read)?;
        Ok(Self::parse(&counters))
    }

    fn parse(counters: &str) -> Self {
        let mut complaints = Self::default();
        for line in counters.lines() {
            let mut words = line.split_whitespace();
            let (Some(name), Some(count)) = (words.next(), words.next()) else { continue };
            let count: u64 = count.parse().unwrap_or_default();
            match name {
                "Icmp6InDestUnreachs"
                | "Icmp6InPktTooBigs"
                | "Icmp6InTimeExcds"
                | "Icmp6InParmProblems" => complaints.errors += count,
                "Icmp6InRedirects" => complaints.redirects += count,
                _ => {}
            }
        }
        complaints
    }
}

/// A kernel's counters could not be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ComplaintsError {
    /// The machine could not be entered.
    #[error(transparent)]
    Enter(Error),
    /// They are not there.
    #[error("cannot read {COUNTERS}")]
    Read(#[source] io::Error),
}

/// The memory that a process has in use, in KiB; none if the process is no more.
pub(super) fn resident_kib(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.split_whitespace().next()?.parse().ok()
}

/// Longer than anything that could still be called an answer.
const PATIENCE: Duration = Duration::from_secs(3);
const ON_THE_WAY: Duration = Duration::from_millis(20);
/// The IPv6 counters of the calling thread's namespace.
const COUNTERS: &str = "/proc/thread-self/net/snmp6";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_of_no_answer_is_none() {
        let millis = |millis| Some(Duration::from_millis(millis));
        let worst = |times: &[Option<Duration>]| FirstPings { times: times.to_vec() }.worst();
        assert_eq!(worst(&[millis(3), millis(7), millis(5)]), millis(7));
        assert_eq!(worst(&[millis(3), None, millis(5)]), None);
        assert_eq!(worst(&[]), None);
    }

    #[test]
    fn losses_are_told_apart_by_when_they_happen() {
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        let probe = |sent, round_trip: Option<u64>| Probe {
            sent: at(sent),
            round_trip: round_trip.map(Duration::from_millis),
        };
        let pings = PingReport {
            probes: vec![
                probe(0, Some(1)),
                probe(20, None),
                probe(40, Some(1)),
                probe(85, Some(60)),
                probe(95, None),
                probe(120, None),
                probe(140, Some(30)),
                probe(160, Some(5)),
                probe(180, None),
            ],
            ..PingReport::default()
        };
        let expected = Disruption {
            recovery: Some(Duration::from_millis(35)),
            lost_within: 2,
            lost_outside: 2,
        };
        assert_eq!(Disruption::of(&pings, at(100), at(130)), expected);
    }

    #[test]
    fn without_an_answer_there_is_no_recovery() {
        let start = Instant::now();
        let sent = start + Duration::from_millis(50);
        let pings =
            PingReport { probes: vec![Probe { sent, round_trip: None }], ..PingReport::default() };
        let expected = Disruption { recovery: None, lost_within: 1, lost_outside: 0 };
        assert_eq!(Disruption::of(&pings, start, start), expected);
    }

    #[test]
    fn complaints_are_found_among_the_counters() {
        let counters = "\
Ip6InReceives                   \t17
Icmp6InDestUnreachs             \t2
Icmp6InTimeExcds                \t1
Icmp6InEchos                    \t40
Icmp6InRedirects                \t3
Icmp6OutRedirects               \t9
";
        assert_eq!(Complaints::parse(counters), Complaints { errors: 3, redirects: 3 });
    }

    #[test]
    fn a_process_has_memory_while_it_is_there() {
        assert!(resident_kib(std::process::id()).is_some_and(|kib| kib > 0));
        assert_eq!(resident_kib(0), None);
    }
}
