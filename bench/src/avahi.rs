//! Runs avahi-daemon as a reflector: it reads and writes at fixed places, so it is shown others.

use std::path::Path;
use std::process::Command;

use magpie_sys::sandbox::Sandbox;
use magpie_testnet::peers::PeerFiles;

use crate::daemon::Folder;
use crate::error::BenchError;

/// Prepares `command` to reflect between all links; `folder` holds what it reads and writes.
pub(crate) fn prepare(
    command: &mut Command,
    files: &PeerFiles,
    folder: &Folder,
) -> Result<(), BenchError> {
    for (name, content) in [
        ("etc/avahi/avahi-daemon.conf", CONFIGURATION),
        // In a user namespace there is but one user, who is root there.
        ("etc/passwd", "root:x:0:0::/:/bin/sh\navahi:x:0:0::/:/bin/sh\n"),
        ("etc/group", "root:x:0:\navahi:x:0:\n"),
        ("etc/nsswitch.conf", "passwd: files\ngroup: files\n"),
        ("run/avahi-daemon/.here", ""),
    ] {
        folder.write(name, content)?;
    }
    Sandbox::new()
        .hostname("router")
        .folder(&folder.path().join("etc"), Path::new("/etc"))?
        .folder(&folder.path().join("run"), Path::new("/run"))?
        .attach(command);
    if let Ok(libraries) = std::env::join_paths(&files.libraries)
        && !files.libraries.is_empty()
    {
        command.env("LD_LIBRARY_PATH", libraries);
    }
    command.args(["--no-drop-root", "--no-chroot", "--no-rlimits"]);
    Ok(())
}

/// As Debian ships it, but without D-Bus, without names of its own, and reflecting.
const CONFIGURATION: &str = "[server]\nuse-ipv4=yes\nuse-ipv6=yes\nenable-dbus=no\n\
    ratelimit-interval-usec=1000000\nratelimit-burst=1000\n[publish]\ndisable-publishing=yes\n\
    [reflector]\nenable-reflector=yes\n";
