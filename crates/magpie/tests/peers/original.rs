//! Runs the daemons to compare with.

use std::error::Error;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

use magpie_testnet::peers::{Peer, PeerFiles};
use magpie_testnet::{Node, wait_for};

use crate::common::{Folder, LIMIT};

/// A running peer; killed when dropped.
pub(crate) struct Original {
    child: Child,
    folder: Folder,
}

impl Original {
    /// Starts it with a configuration and waits until it listens on a link.
    pub(crate) fn start(node: &Node, peer: Peer, config: &str) -> Result<Self, Box<dyn Error>> {
        let folder = Folder::new()?;
        let config_file = folder.path("config");
        fs::write(&config_file, config)?;
        let mut command = node.command(files(peer)?.program)?;
        match peer {
            // In the foreground; it writes its log into the file by itself.
            Peer::Npd6 => command.args(["-f", "-D", "-l"]).arg(folder.path("log")),
            Peer::Ndppd => command.args(["-v", "-v"]),
            Peer::Avahi | Peer::Resolved => return Err(format!("{peer:?} is no proxy").into()),
        };
        command.arg("-c").arg(config_file).stdin(Stdio::null());
        let output = File::create(folder.path("output"))?;
        command.stdout(output.try_clone()?).stderr(output);
        let mut original = Self { child: command.spawn()?, folder };

        // They tell nobody when they are ready. What comes after the sockets are there waits in them.
        wait_for(LIMIT, "the peer to listen", || {
            let ended = original.child.try_wait().ok().flatten();
            (ended.is_some() || listens(node)).then_some(())
        })?;
        if let Some(status) = original.child.try_wait()? {
            return Err(format!("{peer:?} ended with {status}:\n{}", original.log()).into());
        }
        Ok(original)
    }

    /// What it has written so far.
    pub(crate) fn log(&self) -> String {
        let read = |name| fs::read_to_string(self.folder.path(name)).unwrap_or_default();
        read("output") + &read("log")
    }

    /// Ends it; whether it was still there to be ended.
    pub(crate) fn stop(mut self) -> Result<(), Box<dyn Error>> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => Err(format!("it had ended with {status}:\n{}", self.log()).into()),
        }
    }
}

impl Drop for Original {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The files of a peer's package.
pub(crate) fn files(peer: Peer) -> Result<PeerFiles, Box<dyn Error>> {
    let folder: PathBuf = Path::new(env!("CARGO_TARGET_TMPDIR")).join("peers");
    Ok(peer.find(&folder)?)
}

/// Whether a packet socket in the node listens on a link.
fn listens(node: &Node) -> bool {
    let Ok(_inside) = node.enter() else { return false };
    let text = fs::read_to_string("/proc/thread-self/net/packet").unwrap_or_default();
    // Below a line of titles; the fifth is the number of the link, zero before it is bound.
    let mut links = text.lines().skip(1).filter_map(|line| line.split_whitespace().nth(4));
    links.any(|link| link != "0")
}
