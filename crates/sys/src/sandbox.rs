//! Makes a process see folders and a host name of its own, so that several instances of a daemon
//! with fixed paths can run side by side.

use std::ffi::{CString, NulError};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::mount::MountPropagationFlags;
use rustix::thread::UnshareFlags;

/// What is different for a process.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Sandbox {
    folders: Vec<(CString, CString)>,
    hostname: Option<Vec<u8>>,
}

impl Sandbox {
    /// Nothing is different yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// The process finds `folder` where `place` is for others; `place` must exist.
    ///
    /// # Errors
    ///
    /// [`SandboxError`] if a path contains a zero octet.
    pub fn folder(mut self, folder: &Path, place: &Path) -> Result<Self, SandboxError> {
        self.folders.push((text(folder)?, text(place)?));
        Ok(self)
    }

    /// The process finds itself on a host of this name.
    #[must_use]
    pub fn hostname(mut self, name: &str) -> Self {
        self.hostname = Some(name.as_bytes().to_vec());
        self
    }

    /// Makes the process that `command` will start live in the sandbox. Starting it fails without
    /// the capability `CAP_SYS_ADMIN`, which whoever called
    /// [`enter_user_namespace`](crate::netns::enter_user_namespace) has.
    pub fn attach(self, command: &mut Command) -> &mut Command {
        // SAFETY: Between fork and exec the closure only makes system calls on memory that it owns;
        // it takes no lock and allocates nothing.
        unsafe { command.pre_exec(move || self.enter()) }
    }

    fn enter(&self) -> io::Result<()> {
        // SAFETY: Only sharing the descriptor table is dangerous to stop, and that stays shared.
        unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNS | UnshareFlags::NEWUTS)? };
        let private = MountPropagationFlags::REC | MountPropagationFlags::PRIVATE;
        rustix::mount::mount_change(c"/", private)?;
        for (folder, place) in &self.folders {
            rustix::mount::mount_bind(folder.as_c_str(), place.as_c_str())?;
        }
        if let Some(name) = &self.hostname {
            rustix::system::sethostname(name)?;
        }
        Ok(())
    }
}

/// A path cannot be given to the kernel.
#[derive(Debug, thiserror::Error)]
#[error("{} cannot be put into a sandbox", path.display())]
pub struct SandboxError {
    path: PathBuf,
    source: NulError,
}

fn text(path: &Path) -> Result<CString, SandboxError> {
    CString::new(path.as_os_str().as_bytes())
        .map_err(|source| SandboxError { path: path.to_owned(), source })
}
