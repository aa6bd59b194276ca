//! Finds the Debian packages of programs to compare with, fetches those that are not installed, and
//! runs those that speak multicast DNS.
//!
//! They are unpacked into a folder of the caller's: nothing is installed, no service is started, and
//! no privilege is needed unless the system has no package lists yet.

mod avahi;
mod daemon;
mod resolved;

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::fs::FlockOperation;

pub use avahi::{Avahi, AvahiOptions, Family};
pub use daemon::{DaemonError, Service};
pub use resolved::{Resolved, ResolvedOptions};

/// A program of the same purpose as Magpie that Debian has.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Peer {
    /// npd6 1.1.0.
    Npd6,
    /// ndppd 0.2.5.
    Ndppd,
    /// avahi-daemon 0.8; [`Avahi`] runs it.
    Avahi,
    /// systemd-resolved 252 or later; [`Resolved`] runs it.
    Resolved,
}

/// What tests need of a peer's package.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PeerFiles {
    /// The daemon.
    pub program: PathBuf,
    /// The configuration file that the package shows.
    pub sample: PathBuf,
    /// Folders with libraries that are not installed; empty if all of them are.
    pub libraries: Vec<PathBuf>,
}

/// A peer is not installed and could not be fetched.
#[derive(Debug, thiserror::Error)]
pub enum PeerError {
    /// A folder or file could not be used.
    #[error("cannot {action} {path}", path = path.display())]
    File {
        /// What was attempted.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The package could not be had.
    #[error(
        "{package} is neither installed nor could it be fetched ({reason}); as root on Debian run \
         `apt-get update`, or install it"
    )]
    Missing {
        /// The Debian package.
        package: &'static str,
        /// Why it could not be fetched.
        reason: String,
    },
}

impl Peer {
    /// Finds the files of the package: those that are installed, else what was fetched into
    /// `folder` before, else what is fetched now. Call it before [`crate::enter`], from where no
    /// other host can be reached; several processes may call it at once.
    ///
    /// # Errors
    ///
    /// [`PeerError`]; [`PeerError::Missing`] says how to install it.
    pub fn find(self, folder: &Path) -> Result<PeerFiles, PeerError> {
        if let Some(files) = self.files(Path::new("/")) {
            return Ok(files);
        }
        let root = folder.join(self.package());
        fs::create_dir_all(folder).map_err(file_error("make", folder))?;
        let lock = folder.join("lock");
        let lock_file = File::create(&lock).map_err(file_error("make", &lock))?;
        rustix::fs::flock(&lock_file, FlockOperation::LockExclusive)
            .map_err(|source| file_error("lock", &lock)(source.into()))?;
        if let Some(files) = self.files(&root) {
            return Ok(files);
        }
        self.fetch(folder, &root)?;
        self.files(&root).ok_or_else(|| self.missing("it does not hold what was expected"))
    }

    /// The Debian packages: its own, and those of libraries that not every system has.
    fn packages(self) -> &'static [&'static str] {
        match self {
            Self::Npd6 => &["npd6"],
            Self::Ndppd => &["ndppd"],
            Self::Avahi => &[
                "avahi-daemon",
                "libavahi-core7",
                "libavahi-common3",
                "libdaemon0",
                "libdbus-1-3",
                "libexpat1",
                "libcap2",
            ],
            Self::Resolved => &["systemd-resolved", "libsystemd-shared", "libcap2"],
        }
    }

    fn package(self) -> &'static str {
        self.packages().first().copied().unwrap_or_default()
    }

    /// The files below `root`, if they are there.
    fn files(self, root: &Path) -> Option<PeerFiles> {
        let (program, sample) = match self {
            Self::Npd6 => ("usr/bin/npd6", "etc/npd6.conf.sample"),
            Self::Ndppd => ("usr/sbin/ndppd", "usr/share/doc/ndppd/ndppd.conf-dist"),
            Self::Avahi => ("usr/sbin/avahi-daemon", "etc/avahi/avahi-daemon.conf"),
            Self::Resolved => ("lib/systemd/systemd-resolved", "etc/systemd/resolved.conf"),
        };
        let (program, sample) = (root.join(program), root.join(sample));
        if !program.is_file() || !sample.is_file() {
            return None;
        }
        let libraries = if root == Path::new("/") { Vec::new() } else { libraries(root) };
        Some(PeerFiles { program, sample, libraries })
    }

    /// Downloads the packages into `folder` and unpacks them to `root`, all or nothing.
    fn fetch(self, folder: &Path, root: &Path) -> Result<(), PeerError> {
        let staging = folder.join(format!("{}.new", self.package()));
        if staging.exists() {
            fs::remove_dir_all(&staging).map_err(file_error("remove", &staging))?;
        }
        fs::create_dir(&staging).map_err(file_error("make", &staging))?;
        self.download(&staging)?;

        let unpacked = staging.join("root");
        let entries = fs::read_dir(&staging).map_err(file_error("read", &staging))?;
        let archives = entries
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(|path| path.extension().is_some_and(|extension| extension == "deb"));
        for archive in archives {
            self.run(Command::new("dpkg-deb").arg("-x").arg(&archive).arg(&unpacked))?;
        }
        if !unpacked.exists() {
            return Err(self.missing("apt-get downloaded nothing"));
        }
        fs::rename(&unpacked, root).map_err(file_error("make", root))?;
        fs::remove_dir_all(&staging).map_err(file_error("remove", &staging))
    }

    fn download(self, folder: &Path) -> Result<(), PeerError> {
        let mut download = Command::new("apt-get");
        download.args(["-q", "download"]).args(self.packages()).current_dir(folder);
        let result = self.run(&mut download);
        if result.is_ok() || !rustix::process::geteuid().is_root() {
            return result;
        }
        // A new system has no package lists.
        self.run(Command::new("apt-get").args(["-q", "update"]))?;
        self.run(&mut download)
    }

    fn run(self, command: &mut Command) -> Result<(), PeerError> {
        let output = command.env("DEBIAN_FRONTEND", "noninteractive").output();
        let output = output.map_err(|error| self.missing(format!("{command:?}: {error}")))?;
        if output.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&output.stderr);
        Err(self.missing(format!("{command:?} ended with {}: {}", output.status, said.trim())))
    }

    fn missing(self, reason: impl Into<String>) -> PeerError {
        PeerError::Missing { package: self.package(), reason: reason.into() }
    }
}

/// The folders below `root` where libraries are: those of this machine's architecture, and
/// systemd's own in them.
fn libraries(root: &Path) -> Vec<PathBuf> {
    let folders =
        ["usr/lib", "lib"].into_iter().filter_map(|name| fs::read_dir(root.join(name)).ok());
    let folders = folders.flatten().filter_map(|entry| Some(entry.ok()?.path()));
    let folders = folders.filter(|path| path.to_string_lossy().contains("-linux-gnu"));
    folders
        .flat_map(|folder| [folder.join("systemd"), folder])
        .filter(|path| path.is_dir())
        .collect()
}

fn file_error(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> PeerError {
    let path = path.to_owned();
    move |source| PeerError::File { action, path, source }
}
