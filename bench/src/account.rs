//! Reads what the kernel accounts to processes.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use crate::error::BenchError;

/// A process, by its number.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Process(pub(crate) u32);

impl Process {
    /// Its memory that is in use and in main memory, in KiB.
    pub(crate) fn resident_kib(self) -> Result<u32, BenchError> {
        let (path, status) = self.read("status")?;
        field(&status, "VmRSS:").ok_or(BenchError::Account { field: "VmRSS", path })
    }

    /// How often it was put on a processor.
    pub(crate) fn context_switches(self) -> Result<u32, BenchError> {
        let (path, status) = self.read("status")?;
        let voluntary = field(&status, "voluntary_ctxt_switches:");
        let forced = field(&status, "nonvoluntary_ctxt_switches:");
        let sum = voluntary.zip(forced).map(|(voluntary, forced)| voluntary + forced);
        sum.ok_or(BenchError::Account { field: "voluntary_ctxt_switches", path })
    }

    /// The time that its threads spent on processors, in nanoseconds where this kernel tells.
    pub(crate) fn cpu_time(self) -> Result<Duration, BenchError> {
        if let Some(cpu_time) = self.scheduled().ok().flatten() {
            return Ok(cpu_time);
        }
        let (path, stat) = self.read("stat")?;
        let stat = Stat::parse(&stat);
        stat.map(|stat| stat.cpu_time).ok_or(BenchError::Account { field: "utime", path })
    }

    /// The time that the scheduler gave its threads; `None` if this kernel does not tell.
    fn scheduled(self) -> io::Result<Option<Duration>> {
        let mut sum = 0;
        for thread in fs::read_dir(format!("/proc/{}/task", self.0))? {
            let schedstat = fs::read_to_string(thread?.path().join("schedstat"))?;
            let first = schedstat.split_ascii_whitespace().next();
            let Some(nanoseconds) = first.and_then(|field| field.parse::<u64>().ok()) else {
                return Ok(None);
            };
            sum += nanoseconds;
        }
        Ok((sum > 0).then(|| Duration::from_nanos(sum)))
    }

    fn read(self, file: &str) -> Result<(PathBuf, String), BenchError> {
        let path = PathBuf::from(format!("/proc/{}/{file}", self.0));
        match fs::read_to_string(&path) {
            Ok(text) => Ok((path, text)),
            Err(source) => Err(BenchError::File { attempt: "read", path, source }),
        }
    }
}

/// The processor time that processes took that have no part in a measurement.
#[derive(Debug)]
pub(crate) struct Strangers {
    since: Instant,
    before: Duration,
    own: Vec<u32>,
}

impl Strangers {
    /// Starts to watch all processes but this one and the `systems`.
    pub(crate) fn watch(systems: impl IntoIterator<Item = Process>) -> io::Result<Self> {
        let systems = systems.into_iter().map(|system| system.0);
        let own: Vec<u32> = systems.chain([std::process::id()]).collect();
        Ok(Self { since: Instant::now(), before: strangers_time(&own)?, own })
    }

    /// Their share of one processor since then; 0.5 is half a processor, 2 is both.
    pub(crate) fn share(&self) -> io::Result<f64> {
        let taken = strangers_time(&self.own)?.saturating_sub(self.before);
        Ok(taken.as_secs_f64() / self.since.elapsed().as_secs_f64())
    }
}

/// Waits until other processes take next to no processor time, but at most for `patience`.
pub(crate) fn await_quiet(patience: Duration) -> io::Result<()> {
    let deadline = Instant::now() + patience;
    while Instant::now() < deadline {
        let strangers = Strangers::watch(None)?;
        thread::sleep(QUIET_SPAN);
        if strangers.share()? <= QUIET_SHARE {
            break;
        }
    }
    Ok(())
}

fn strangers_time(own: &[u32]) -> io::Result<Duration> {
    let mut sum = Duration::ZERO;
    for entry in fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        // A process may end at any time.
        let stat = fs::read_to_string(format!("/proc/{pid}/stat"));
        let Some(stat) = stat.ok().and_then(|stat| Stat::parse(&stat)) else { continue };
        if !own.contains(&pid) && !stat.kernel_thread {
            sum += stat.cpu_time;
        }
    }
    Ok(sum)
}

/// What is read of `/proc/PID/stat`.
struct Stat {
    kernel_thread: bool,
    cpu_time: Duration,
}

impl Stat {
    fn parse(text: &str) -> Option<Self> {
        // The name, in parentheses, may contain anything, parentheses and spaces too.
        let (_, fields) = text.rsplit_once(')')?;
        let fields: Vec<&str> = fields.split_ascii_whitespace().collect();
        let number = |place: usize| fields.get(place)?.parse::<u64>().ok();
        // The state is field 3 of proc_pid_stat(5) and the first one here; children that ended
        // count with their parent, so that short-lived ones do not escape.
        let ticks = number(11)? + number(12)? + number(13)? + number(14)?;
        Some(Self {
            kernel_thread: number(6)? & KERNEL_THREAD != 0,
            cpu_time: Duration::from_millis(ticks * 1000 / rustix::param::clock_ticks_per_second()),
        })
    }
}

fn field(text: &str, name: &str) -> Option<u32> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}

/// Long enough for the kernel's count of processor time, which goes by hundredths of a second.
const QUIET_SPAN: Duration = Duration::from_millis(400);
/// One twentieth of a processor.
const QUIET_SHARE: f64 = 0.05;
/// `PF_KTHREAD`.
const KERNEL_THREAD: u64 = 0x0020_0000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_an_account() {
        let process = Process(std::process::id());
        assert!(process.resident_kib().unwrap() > 0);
        process.context_switches().unwrap();
        process.cpu_time().unwrap();
    }

    #[test]
    fn an_odd_name_does_not_confuse() {
        let text = "7 (a) b (c) S 1 2 3 4 5 0 6 7 8 9 100 50 25 25 20 0 1";
        let stat = Stat::parse(text).unwrap();
        assert!(!stat.kernel_thread);
        let expected = 200 * 1000 / rustix::param::clock_ticks_per_second();
        assert_eq!(stat.cpu_time, Duration::from_millis(expected));
    }
}
