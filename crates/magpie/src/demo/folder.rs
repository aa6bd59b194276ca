//! A folder for the daemon's sockets that goes when the demonstration ends.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::panic;
use std::path::PathBuf;

/// A folder that only this user can use. It is removed with everything in it when this is dropped.
#[derive(Debug)]
pub(super) struct Folder(PathBuf);

impl Folder {
    /// Makes an empty folder among the system's temporary files.
    pub(super) fn new() -> io::Result<Self> {
        let path = std::env::temp_dir().join(format!("magpie-demo-{}", std::process::id()));
        DirBuilder::new().mode(0o700).create(&path)?;
        Ok(Self(path))
    }

    /// Has the folder removed also when a thread panics: the process may abort then.
    pub(super) fn remove_on_panic(&self) {
        let (path, usual) = (self.0.clone(), panic::take_hook());
        panic::set_hook(Box::new(move |panic| {
            usual(panic);
            // Nothing better can be done about it now.
            let _ = fs::remove_dir_all(&path);
        }));
    }

    /// The path of a file in it.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What is left behind in the folder for temporary files does no harm.
        let _ = fs::remove_dir_all(&self.0);
    }
}
