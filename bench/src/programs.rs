//! Builds and finds the programs that are measured.

use std::env;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

use magpie_testnet::peers::{Peer, PeerFiles};

use crate::error::BenchError;

/// Where the programs are; those that are missing are left out.
#[derive(Clone, Debug)]
pub(crate) struct Programs {
    /// Magpie.
    pub(crate) magpie: PathBuf,
    /// The reference proxy.
    pub(crate) proxy: PathBuf,
    /// The reference responder.
    pub(crate) responder: PathBuf,
    /// ndppd.
    pub(crate) ndppd: Option<PathBuf>,
    /// npd6.
    pub(crate) npd6: Option<PathBuf>,
    /// avahi-daemon.
    pub(crate) avahi: Option<PeerFiles>,
}

impl Programs {
    /// Builds Magpie, unless `magpie` says where it is, and the references; looks for the others,
    /// and installs them first if `install` says so.
    pub(crate) fn prepare(magpie: Option<PathBuf>, install: bool) -> Result<Self, BenchError> {
        let this = env::current_exe()
            .map_err(|source| BenchError::Start { program: "this program".to_owned(), source })?;
        // cargo puts programs of one profile into one folder, and that into the target folder.
        let folder = this.parent().unwrap_or(Path::new("."));
        let target = folder.parent().unwrap_or(folder);
        let magpie = match magpie {
            Some(magpie) => magpie,
            None => build_magpie(target)?,
        };
        let [proxy, responder] =
            [build_reference(folder, "proxy")?, build_reference(folder, "responder")?];
        let mut peers = [find(NDPPD), find(NPD6)];
        if peers.iter().any(Option::is_none) {
            if install {
                run(Command::new("apt-get").args(["install", "-y", NDPPD, NPD6]))?;
                peers = [find(NDPPD), find(NPD6)];
            } else {
                eprintln!("Not all peers are here. To measure them too: {INSTALL} (or --install)");
            }
        }
        let [ndppd, npd6] = peers;
        let avahi = match Peer::Avahi.find(&target.join("tmp").join("peers")) {
            Ok(files) => Some(files),
            Err(error) => {
                eprintln!("Left out: {error}");
                None
            }
        };
        Ok(Self { magpie, proxy, responder, ndppd, npd6, avahi })
    }
}

fn build_magpie(target: &Path) -> Result<PathBuf, BenchError> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    run(Command::new(cargo)
        .args(["build", "--release", "--package", "magpie", "--target-dir"])
        .arg(target))?;
    Ok(target.join("release").join("magpie"))
}

fn build_reference(folder: &Path, name: &str) -> Result<PathBuf, BenchError> {
    let program = folder.join(format!("magpie-bench-{name}"));
    let source = crate::home().join("reference").join(name).with_extension("c");
    run(Command::new("cc").args(["-O2", "-o"]).arg(&program).arg(source))?;
    Ok(program)
}

fn run(command: &mut Command) -> Result<(), BenchError> {
    let program = || {
        let words = [command.get_program()].into_iter().chain(command.get_args());
        let words: Vec<_> = words.map(OsStr::to_string_lossy).collect();
        words.join(" ")
    };
    let program = program();
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(BenchError::Failed { program, status }),
        Err(source) => Err(BenchError::Start { program, source }),
    }
}

/// Looks for a program where programs are, and where those of the administrator are.
fn find(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let folders = env::split_paths(&path).chain([PathBuf::from("/usr/sbin")]);
    folders.map(|folder| folder.join(name)).find(|program| program.is_file())
}

const NDPPD: &str = "ndppd";
const NPD6: &str = "npd6";
const INSTALL: &str = "apt-get install ndppd npd6";
