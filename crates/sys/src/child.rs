//! Ties the life of child processes to that of whoever starts them.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;

use rustix::io::Errno;
use rustix::process::{Signal, getpid, getppid, set_parent_process_death_signal};

/// Makes the kernel kill the process that `command` will start as soon as the thread that starts
/// it ends, in whatever way: at the latest with its whole process, even by `SIGKILL`.
///
/// A program with capabilities of its own in its file frees itself of this when it starts.
pub fn end_with_parent(command: &mut Command) -> &mut Command {
    let parent = getpid();
    let tie = move || {
        set_parent_process_death_signal(Some(Signal::KILL))?;
        // The parent may have ended before it was tied to.
        if getppid() == Some(parent) { Ok(()) } else { Err(io::Error::from(Errno::SRCH)) }
    };
    // SAFETY: between fork and exec, `tie` makes two async-signal-safe system calls; it neither
    // allocates nor takes locks.
    unsafe { command.pre_exec(tie) }
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt as _;
    use std::process::{Command, Stdio};
    use std::thread;

    use super::end_with_parent;

    #[test]
    fn a_child_is_killed_when_the_thread_that_started_it_ends() {
        let mut child = thread::spawn(|| {
            let mut command = Command::new("/bin/cat");
            // With its input open it would never end by itself.
            command.stdin(Stdio::piped()).stdout(Stdio::null());
            end_with_parent(&mut command).spawn().unwrap()
        })
        .join()
        .unwrap();
        let input = child.stdin.take();
        let status = child.wait().unwrap();
        assert_eq!(status.signal(), Some(9), "{status}");
        drop(input);
    }
}
