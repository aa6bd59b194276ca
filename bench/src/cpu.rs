//! Keeps the network on one processor and the system under test on another.

use std::io::{self, Write as _};

use rustix::fs::{Mode, OFlags};
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags};
use rustix::thread::CpuSet;

use crate::error::BenchError;

/// The processor of the load generator, and of what the kernel does for its links.
pub(crate) const NETWORK: usize = 0;
/// The processor of the system under test: that of a router with one core.
pub(crate) const ROUTER: usize = 1;

/// Keeps the calling thread, and what it starts, on one processor.
pub(crate) fn pin(cpu: usize) -> Result<(), BenchError> {
    let mut set = CpuSet::new();
    set.set(cpu);
    rustix::thread::sched_setaffinity(None, &set)
        .map_err(|source| BenchError::Pin { cpu, source: source.into() })
}

/// Lets the calling thread run before others if it may ask for that.
pub(crate) fn hurry() {
    // Without the privilege the figures are only a little more noisy.
    let _ = rustix::process::setpriority_process(None, -10);
}

/// Takes [`hurry`] back, for what the calling thread starts.
pub(crate) fn take_time() {
    let _ = rustix::process::setpriority_process(None, 0);
}

/// Makes the kernel work on the frames that `link` of the calling thread's namespace receives on
/// one processor (receive packet steering).
///
/// sysfs shows the links of the namespace that it was mounted in, so it is mounted anew, but
/// attached nowhere. That takes more than root of a user namespace has.
pub(crate) fn steer(link: &str, cpu: usize) -> io::Result<()> {
    let context = rustix::mount::fsopen("sysfs", FsOpenFlags::FSOPEN_CLOEXEC)?;
    rustix::mount::fsconfig_create(&context)?;
    let sysfs =
        rustix::mount::fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty())?;
    let path = format!("class/net/{link}/queues/rx-0/rps_cpus");
    let file = rustix::fs::openat(&sysfs, path, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())?;
    std::fs::File::from(file).write_all(format!("{:x}", 1 << cpu).as_bytes())
}
