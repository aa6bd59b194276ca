//! The demonstration keeps its promises, and leaves nothing behind however it ends.
//!
//! Nothing enters namespaces here: that is what the demonstration has to do by itself, for whoever
//! runs it. Its namespaces have no names, so that they go with the last process in them.
#![forbid(unsafe_code)]

mod common;

use std::fs::{self, File};
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, ExitStatus, Stdio};
use std::time::{Duration, Instant};
use std::{io, thread};

use common::{Folder, Outcome, chain};
use libtest_mimic::{Arguments, Failed, Trial};
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::process::{Pid, PidfdFlags, Signal};
use serde_json::Value;

fn main() -> ExitCode {
    let tests: [common::Test; 4] = [
        ("its_figures_are_good", its_figures_are_good),
        ("an_interruption_leaves_nothing_behind", an_interruption_leaves_nothing_behind),
        ("a_violent_end_leaves_no_process_behind", a_violent_end_leaves_no_process_behind),
        ("what_is_kept_goes_when_it_is_told_to", what_is_kept_goes_when_it_is_told_to),
    ];
    let trials = tests.into_iter().map(|(name, test)| {
        Trial::test(name, move || test().map_err(|error| Failed::from(chain(&*error))))
    });
    let mut arguments = Arguments::from_args();
    // Two at once would only spoil each other's figures.
    arguments.test_threads = Some(1);
    libtest_mimic::run(&arguments, trials.collect()).exit_code()
}

fn its_figures_are_good() -> Outcome {
    let mut demo = Demo::start(&["--json"])?;
    let status = demo.wait()?;
    let report: Value = serde_json::from_str(&demo.output()?)
        .map_err(|error| format!("no report ({error}), {status}; it told:\n{}", demo.story()))?;
    // Far from the goals, for busy machines.
    for (figure, limit) in [
        ("first_upstream_to_host_ms", 500.0),
        ("first_host_to_upstream_ms", 500.0),
        ("first_between_links_ms", 500.0),
        ("recovery_ms", 3000.0),
    ] {
        let value = report[figure].as_f64();
        assert!(value.is_some_and(|value| value <= limit), "{figure}: {report:#}");
    }
    assert_eq!(report["icmpv6_errors"], 0, "{report:#}");
    assert_eq!(report["redirects"], 0, "{report:#}");
    assert!(report["daemon_resident_kib"].is_u64(), "{report:#}");
    assert_eq!(report["passed"], report["missed"].as_array().is_some_and(Vec::is_empty));
    assert_eq!(Some(status.success()), report["passed"].as_bool(), "{status}: {report:#}");
    let story = demo.story();
    for part in ["magpie -i wan,lan1,lan2", "host found", "host moved", "it left 0 routes behind"] {
        assert!(story.contains(part), "{part:?} is missing in:\n{story}");
    }
    demo.assert_gone()
}

fn an_interruption_leaves_nothing_behind() -> Outcome {
    for signal in [Signal::INT, Signal::TERM] {
        let mut demo = Demo::start(&["--json"])?;
        demo.await_text("it serves after")?;
        assert!(!demo.processes()?.is_empty(), "the daemon should be running");
        demo.signal(signal)?;
        let status = demo.wait()?;
        assert_eq!(status.code(), Some(1), "{status}");
        assert_eq!(demo.output()?, "");
        assert!(demo.story().ends_with("interrupted; nothing is left behind\n"));
        demo.assert_gone()?;
    }
    Ok(())
}

fn a_violent_end_leaves_no_process_behind() -> Outcome {
    let mut demo = Demo::start(&[])?;
    demo.await_text("it serves after")?;
    let [daemon] = demo.processes()?[..] else { return Err("there is not one daemon".into()) };
    let daemon = rustix::process::pidfd_open(daemon, PidfdFlags::empty())?;
    demo.signal(Signal::KILL)?;
    assert_eq!(demo.wait()?.signal(), Some(Signal::KILL.as_raw()));
    if !ends(&daemon, Duration::from_secs(5))? {
        return Err("the daemon survives the demonstration".into());
    }
    Ok(())
}

fn what_is_kept_goes_when_it_is_told_to() -> Outcome {
    let mut demo = Demo::start(&["--keep"])?;
    demo.await_text("Ask the daemon")?;
    let story = demo.story();
    for machine in ["upstream", "gateway", "laptop", "phone", "printer"] {
        let way_in = story.lines().any(|line| {
            line.trim().starts_with(machine) && line.contains("nsenter") && line.contains("--net=")
        });
        assert!(way_in, "no way into {machine} in:\n{story}");
    }
    assert!(!demo.processes()?.is_empty(), "the daemon should be running");
    demo.signal(Signal::INT)?;
    let status = demo.wait()?;
    assert_eq!(status.success(), !story.contains(" NO\n"), "{status}:\n{story}");
    demo.assert_gone()
}

/// A demonstration under way. What it writes goes to files; its temporary files have a folder of
/// their own, by which its processes are found, too.
struct Demo {
    child: Child,
    pidfd: OwnedFd,
    folder: Folder,
}

impl Demo {
    fn start(arguments: &[&str]) -> io::Result<Self> {
        let folder = Folder::new()?;
        fs::create_dir(folder.path(TEMPORARY))?;
        let child = Command::new(env!("CARGO_BIN_EXE_magpie"))
            .arg("demo")
            .args(arguments)
            .env("TMPDIR", folder.path(TEMPORARY))
            .stdin(Stdio::null())
            .stdout(File::create(folder.path(OUTPUT))?)
            .stderr(File::create(folder.path(ERRORS))?)
            .spawn()?;
        let pidfd = rustix::process::pidfd_open(Pid::from_child(&child), PidfdFlags::empty())?;
        Ok(Self { child, pidfd, folder })
    }

    fn signal(&self, signal: Signal) -> io::Result<()> {
        Ok(rustix::process::pidfd_send_signal(&self.pidfd, signal)?)
    }

    /// Waits until it has ended.
    fn wait(&mut self) -> Result<ExitStatus, Box<dyn std::error::Error>> {
        if !ends(&self.pidfd, PATIENCE)? {
            return Err(
                format!("the demonstration does not end; it told:\n{}", self.story()).into()
            );
        }
        Ok(self.child.wait()?)
    }

    /// Waits until it has told something.
    fn await_text(&self, text: &str) -> Outcome {
        let deadline = Instant::now() + PATIENCE;
        while !self.story().contains(text) {
            if Instant::now() > deadline || ends(&self.pidfd, Duration::ZERO)? {
                return Err(format!("it does not tell {text:?}; it told:\n{}", self.story()).into());
            }
            // A file says nothing of its own accord when it grows.
            thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }

    /// What it wrote to standard output.
    fn output(&self) -> io::Result<String> {
        fs::read_to_string(self.folder.path(OUTPUT))
    }

    /// What it wrote to standard output and to standard error.
    fn story(&self) -> String {
        [OUTPUT, ERRORS].map(|name| read(&self.folder.path(name))).concat()
    }

    /// The processes that it started and that are still there: their arguments name a file of it.
    fn processes(&self) -> io::Result<Vec<Pid>> {
        let trace = self.folder.path(TEMPORARY).display().to_string();
        let mut found = Vec::new();
        for entry in fs::read_dir("/proc")? {
            let entry = entry?;
            let pid = entry.file_name().to_str().and_then(|name| name.parse().ok());
            let Some(pid) = pid.and_then(Pid::from_raw) else { continue };
            // One that is gone by now has no arguments.
            if read(&entry.path().join("cmdline")).contains(&trace) {
                found.push(pid);
            }
        }
        Ok(found)
    }

    /// Makes sure that neither processes nor files are left.
    fn assert_gone(&self) -> Outcome {
        assert_eq!(self.processes()?, []);
        let left = fs::read_dir(self.folder.path(TEMPORARY))?
            .map(|entry| entry.map(|entry| entry.path()))
            .collect::<io::Result<Vec<PathBuf>>>()?;
        assert!(left.is_empty(), "{left:?}");
        Ok(())
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        // It has ended already unless a test failed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits for a process to end; false if it is still there after `limit`.
fn ends(pidfd: &OwnedFd, limit: Duration) -> io::Result<bool> {
    let limit = Timespec::try_from(limit).map_err(io::Error::other)?;
    Ok(rustix::event::poll(&mut [PollFd::new(pidfd, PollFlags::IN)], Some(&limit))? > 0)
}

/// A file's content as text, whatever it is; nothing if it is not there.
fn read(path: &Path) -> String {
    fs::read(path).map(|content| String::from_utf8_lossy(&content).into_owned()).unwrap_or_default()
}

const TEMPORARY: &str = "tmp";
const OUTPUT: &str = "stdout";
const ERRORS: &str = "stderr";
/// The demonstration takes some ten seconds.
const PATIENCE: Duration = Duration::from_secs(60);
