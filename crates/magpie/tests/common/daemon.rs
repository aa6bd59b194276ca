//! Runs the real daemon in a node, and asks it things.

use std::error::Error;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixDatagram;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use magpie_control::{Client, Event, EventKind, Host, HostState, Name, RouteState, Status, Watch};
use magpie_testnet::{Node, wait_for};
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::process::{Pid, PidfdFlags, Signal};

use super::LIMIT;

/// How to start the daemon.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    /// The links to relay between.
    pub(crate) interfaces: String,
    /// Further arguments.
    pub(crate) arguments: Vec<String>,
}

/// A running daemon. When it is dropped it is killed; what it wrote is shown if a test failed.
pub(crate) struct Magpie {
    child: Child,
    pidfd: OwnedFd,
    /// What it tells the service manager.
    news: UnixDatagram,
    folder: Folder,
}

impl Default for Options {
    fn default() -> Self {
        Self { interfaces: "wan,lan".to_owned(), arguments: Vec::new() }
    }
}

impl Options {
    /// Adds arguments.
    #[must_use]
    pub(crate) fn with<'a>(mut self, arguments: impl IntoIterator<Item = &'a str>) -> Self {
        self.arguments.extend(arguments.into_iter().map(str::to_owned));
        self
    }
}

impl Magpie {
    /// Starts the daemon in `node` between its links "wan" and "lan", and waits until it serves.
    pub(crate) fn start(node: &Node) -> Result<Self, Box<dyn Error>> {
        Self::start_with(node, &Options::default())
    }

    /// Starts the daemon in `node` and waits until it serves.
    pub(crate) fn start_with(node: &Node, options: &Options) -> Result<Self, Box<dyn Error>> {
        Self::launch(node, |command| {
            command.arg("-i").arg(&options.interfaces).args(&options.arguments);
        })
    }

    /// Starts `magpie run` with these arguments in `node` and waits until it serves.
    pub(crate) fn run<A: AsRef<OsStr>>(
        node: &Node,
        arguments: impl IntoIterator<Item = A>,
    ) -> Result<Self, Box<dyn Error>> {
        Self::launch(node, |command| {
            command.arg("run").args(arguments);
        })
    }

    /// What `magpie import` makes of a file of another program's.
    pub(crate) fn import(program: &str, file: &Path) -> Result<String, Box<dyn Error>> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_magpie"));
        let output = command.arg("import").arg(program).arg(file).stdin(Stdio::null()).output()?;
        let said = String::from_utf8_lossy(&output.stderr);
        if !output.status.success() {
            return Err(format!("{command:?} ended with {}:\n{said}", output.status).into());
        }
        Ok(String::from_utf8(output.stdout)?)
    }

    fn launch(node: &Node, arguments: impl FnOnce(&mut Command)) -> Result<Self, Box<dyn Error>> {
        let folder = Folder::new()?;
        let news = UnixDatagram::bind(folder.path("notify"))?;
        let mut command = Self::command(node)?;
        arguments(&mut command);
        command
            .arg("--control")
            .arg(folder.path("control"))
            .args(["-l", "debug"])
            .env("NOTIFY_SOCKET", folder.path("notify"))
            .stderr(File::create(folder.path("log"))?);
        let child = command.spawn()?;
        let pid = Pid::from_child(&child);
        let pidfd = rustix::process::pidfd_open(pid, PidfdFlags::empty())?;
        let magpie = Self { child, pidfd, news, folder };
        magpie.await_news("READY=1")?;
        Ok(magpie)
    }

    /// The daemon's program as a command in `node`, without arguments.
    pub(crate) fn command(node: &Node) -> Result<Command, Box<dyn Error>> {
        let mut command = node.command(env!("CARGO_BIN_EXE_magpie"))?;
        command.stdin(Stdio::null()).env_remove("JOURNAL_STREAM").env_remove("NOTIFY_SOCKET");
        Ok(command)
    }

    /// Where its control socket is.
    pub(crate) fn control(&self) -> PathBuf {
        self.folder.path("control")
    }

    /// Its process identifier.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it holds: open descriptors, and resident memory in KiB.
    pub(crate) fn holdings(&self) -> Result<(usize, u64), Box<dyn Error>> {
        let descriptors = fs::read_dir(format!("/proc/{}/fd", self.pid()))?.count();
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS")?;
        let resident = line.split_whitespace().next().ok_or("an empty VmRSS")?.parse()?;
        Ok((descriptors, resident))
    }

    /// What it has logged so far.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.folder.path("log")).unwrap_or_default()
    }

    /// How it is doing.
    pub(crate) fn status(&self) -> Result<Status, Box<dyn Error>> {
        Ok(Client::connect(&self.control())?.status()?)
    }

    /// The hosts it knows.
    pub(crate) fn hosts(&self) -> Result<Vec<Host>, Box<dyn Error>> {
        Ok(Client::connect(&self.control())?.hosts()?)
    }

    /// The names that it has seen.
    pub(crate) fn names(&self) -> Result<Vec<Name>, Box<dyn Error>> {
        Ok(Client::connect(&self.control())?.names()?)
    }

    /// What happens from now on. Take it before bringing about what is to be awaited.
    pub(crate) fn watch(&self) -> Result<Watch, Box<dyn Error>> {
        Ok(Client::connect(&self.control())?.watch()?)
    }

    /// Waits for an event on a watch that `select` takes.
    pub(crate) fn await_event<T>(
        watch: &mut Watch,
        what: &str,
        mut select: impl FnMut(&Event) -> Option<T>,
    ) -> Result<T, Box<dyn Error>> {
        let deadline = Instant::now() + LIMIT;
        let mut seen = Vec::new();
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            watch.set_timeout(Some(left.max(Duration::from_millis(1))))?;
            match watch.next() {
                Some(Ok(event)) => {
                    if let Some(found) = select(&event) {
                        return Ok(found);
                    }
                    seen.push(event);
                }
                Some(Err(error)) => {
                    return Err(format!("awaited {what}, got {error}; saw {seen:?}").into());
                }
                None => return Err(format!("awaited {what}, the watch ended; saw {seen:?}").into()),
            }
        }
    }

    /// Waits for the host with this address to be confirmed on `link` after it was elsewhere.
    pub(crate) fn await_move(
        watch: &mut Watch,
        address: std::net::Ipv6Addr,
        link: &str,
    ) -> Result<(), Box<dyn Error>> {
        Self::await_event(watch, &format!("{address} to move to {link}"), |event| {
            let is_it = event.kind == EventKind::HostMoved
                && event.address == Some(address.into())
                && event.link.as_deref() == Some(link);
            is_it.then_some(())
        })
    }

    /// Waits until the host with this address is confirmed on `link`: now or after the next events.
    pub(crate) fn await_host(
        &self,
        address: std::net::Ipv6Addr,
        link: &str,
    ) -> Result<Host, Box<dyn Error>> {
        let mut watch = self.watch()?;
        let address = std::net::IpAddr::V6(address);
        let look = || -> Result<Option<Host>, Box<dyn Error>> {
            Ok(self.hosts()?.into_iter().find(|host| {
                let is_confirmed =
                    !matches!(host.state, HostState::Tentative | HostState::Candidate);
                host.address == address && host.link == link && is_confirmed
            }))
        };
        loop {
            if let Some(host) = look()? {
                return Ok(host);
            }
            Self::await_event(&mut watch, &format!("{address} on {link}"), |event| {
                let is_it = event.address == Some(address)
                    && matches!(event.kind, EventKind::HostFound | EventKind::HostMoved);
                is_it.then_some(())
            })?;
        }
    }

    /// Waits until the kernel has a route to the host with this address on `link`.
    pub(crate) fn await_route(
        &self,
        address: std::net::Ipv6Addr,
        link: &str,
    ) -> Result<(), Box<dyn Error>> {
        wait_for(LIMIT, &format!("a route to {address} on {link}"), || {
            let hosts = self.hosts().ok()?;
            let host = hosts.iter().find(|host| host.address == address && host.link == link)?;
            (host.route == RouteState::Installed).then_some(())
        })?;
        Ok(())
    }

    /// Asks it to stop, and waits until it has.
    pub(crate) fn stop(mut self) -> Result<ExitStatus, Box<dyn Error>> {
        self.signal(Signal::TERM)?;
        let status = self.wait()?;
        if !status.success() {
            return Err(format!("the daemon ended with {status}; it wrote:\n{}", self.log()).into());
        }
        Ok(status)
    }

    /// Kills it on the spot, as a crash would.
    pub(crate) fn kill(mut self) -> Result<(), Box<dyn Error>> {
        self.signal(Signal::KILL)?;
        let status = self.wait()?;
        if status.signal() == Some(Signal::KILL.as_raw()) {
            return Ok(());
        }
        Err(format!("the daemon was gone already with {status}; it wrote:\n{}", self.log()).into())
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: Signal) -> io::Result<()> {
        Ok(rustix::process::pidfd_send_signal(&self.pidfd, signal)?)
    }

    /// Waits until it has ended.
    pub(crate) fn wait(&mut self) -> Result<ExitStatus, Box<dyn Error>> {
        let mut fds = [PollFd::new(&self.pidfd, PollFlags::IN)];
        if rustix::event::poll(&mut fds, Some(&limit()))? == 0 {
            return Err(format!("the daemon does not end; it wrote:\n{}", self.log()).into());
        }
        Ok(self.child.wait()?)
    }

    /// Waits until it tells the service manager `line`; returns all that it tells with it.
    pub(crate) fn await_news(&self, line: &str) -> Result<String, Box<dyn Error>> {
        let deadline = Instant::now() + LIMIT;
        let mut buffer = [0; 4096];
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let mut fds = [
                PollFd::from_borrowed_fd(self.news.as_fd(), PollFlags::IN),
                PollFd::from_borrowed_fd(self.pidfd.as_fd(), PollFlags::IN),
            ];
            rustix::event::poll(&mut fds, Some(&Timespec::try_from(left)?))?;
            let [is_told, has_ended] = fds.map(|fd| fd.revents().contains(PollFlags::IN));
            if is_told {
                let length = self.news.recv(&mut buffer)?;
                let text = String::from_utf8_lossy(buffer.get(..length).unwrap_or_default());
                if text.lines().any(|told| told == line) {
                    return Ok(text.into_owned());
                }
            } else if has_ended {
                return Err(format!("the daemon ended:\n{}", self.log()).into());
            } else {
                return Err(format!("the daemon does not say {line}:\n{}", self.log()).into());
            }
        }
    }
}

impl Drop for Magpie {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            eprintln!("the daemon wrote:\n{}", self.log());
        }
    }
}

/// A configuration file in a folder of its own.
pub(crate) struct ConfigFile {
    _folder: Folder,
    pub(crate) path: PathBuf,
}

impl ConfigFile {
    /// Writes a new file.
    pub(crate) fn new(text: &str) -> Result<Self, Box<dyn Error>> {
        let folder = Folder::new()?;
        let file = Self { path: folder.path("magpie.toml"), _folder: folder };
        file.write(text)?;
        Ok(file)
    }

    /// Writes something else into it.
    pub(crate) fn write(&self, text: &str) -> io::Result<()> {
        fs::write(&self.path, text)
    }

    /// How the daemon is told to run from it.
    pub(crate) fn arguments(&self) -> Vec<String> {
        vec!["-c".to_owned(), self.path.display().to_string()]
    }
}

/// A folder that is removed with everything in it.
pub(crate) struct Folder(PathBuf);

impl Folder {
    /// Makes an empty folder.
    pub(crate) fn new() -> io::Result<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("magpie-test-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path)?;
        Ok(Self(path))
    }

    /// A file in it.
    pub(crate) fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What is left behind in the folder for temporary files does no harm.
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn limit() -> Timespec {
    Timespec::try_from(LIMIT).expect("the limit is a few seconds")
}
