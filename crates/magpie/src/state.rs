//! Keeps what was learned from one run to the next, in a file.
//!
//! The format is that of the original Magpie, so that either reads the other's file: an object
//! whose `savedRoutes` lists an address as `value0` and a link's name as `value1`. What the
//! original does not know, it skips.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::net::Ipv6Addr;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use magpie_wire::LinkAddr;
use rustix::fs::Access;
use serde::{Deserialize, Serialize};

/// One host that was known.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Saved {
    pub(crate) target: Ipv6Addr,
    /// What the link that it was on was called.
    pub(crate) link: String,
    pub(crate) lladdr: Option<LinkAddr>,
    /// It was away already when it was saved, with its link or its prefix.
    pub(crate) is_away: bool,
    /// Until when such a host is looked for where it was, in seconds since 1970. Not known while the
    /// daemon runs, which has clocks that nobody sets, and not told by older files.
    pub(crate) until: Option<u64>,
}

/// What a state file contains.
#[derive(Debug, Default, Eq, PartialEq)]
pub(crate) struct Content {
    pub(crate) hosts: Vec<Saved>,
    /// What is wrong with entries that were left out.
    pub(crate) complaints: Vec<String>,
}

/// The state file.
#[derive(Clone, Debug)]
pub(crate) struct StateFile {
    path: PathBuf,
    /// What stands there now could not be read or understood: it is not to be lost when state is
    /// saved.
    is_damaged: bool,
}

/// The state file could not be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StateError {
    /// There is no folder that could hold it.
    #[error(
        "cannot keep the state in {}: there is no folder {}; make it with `mkdir -p {}`",
        path.display(), folder.display(), folder.display()
    )]
    Folder {
        /// The file.
        path: PathBuf,
        /// The folder.
        folder: PathBuf,
    },
    /// There is a folder of that name, or the folder that should hold it may not be written.
    #[error("cannot keep the state in {}", path.display())]
    Place {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Reading failed.
    #[error("cannot read the state file {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is something else.
    #[error("{} is no saved state: it is left alone, and no state will be saved", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: serde_json::Error,
    },
    /// The content is damaged.
    #[error("{}:{line}:{column}: the saved state is damaged", path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// The line of what is wrong, from 1.
        line: usize,
        /// The column of what is wrong, from 1.
        column: usize,
        /// What is wrong.
        source: serde_json::Error,
    },
    /// Writing failed.
    #[error("cannot {attempt} {}", path.display())]
    Write {
        /// What was tried.
        attempt: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl StateFile {
    /// Names the file. It need not exist, and neither need the folder that is to hold it, which is
    /// made then; but there must be a place for that.
    pub(crate) fn new(path: &Path) -> Result<Self, StateError> {
        let file = Self { path: path.to_owned(), is_damaged: false };
        let folder = folder_of(path);
        if !folder.is_dir() {
            match DirBuilder::new().mode(0o755).create(folder) {
                Ok(()) => tracing::info!(folder = %folder.display(), "made to keep the state in"),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    let (path, folder) = (path.to_owned(), folder.to_owned());
                    return Err(StateError::Folder { path, folder });
                }
                Err(error) => return Err(failed("make the folder", folder)(error)),
            }
        }
        let fail = |source| StateError::Place { path: path.to_owned(), source };
        if path.is_dir() {
            return Err(fail(io::ErrorKind::IsADirectory.into()));
        }
        rustix::fs::access(folder, Access::WRITE_OK).map_err(|errno| fail(errno.into()))?;
        Ok(file)
    }

    /// Reads the file; one that does not exist or is empty contains nothing.
    pub(crate) fn load(&mut self) -> Result<Content, StateError> {
        let path = self.path.clone();
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Content::default()),
            Err(source) => {
                self.is_damaged = true;
                return Err(StateError::Read { path, source });
            }
        };
        parse(&text).map_err(|source| {
            let (line, column) = (source.line(), source.column());
            if !text.windows(MARK.len()).any(|window| window == MARK) {
                return StateError::Foreign { path, source };
            }
            self.is_damaged = true;
            StateError::Parse { path, line, column, source }
        })
    }

    /// Writes the file: whatever happens, afterwards there is either the old one or the new one,
    /// complete. One that could not be read is kept beside it.
    pub(crate) fn save(&mut self, hosts: &[Saved]) -> Result<(), StateError> {
        let text = emit(hosts);
        if self.is_damaged {
            set_aside(&self.path)?;
            self.is_damaged = false;
        }
        replace(&self.path, &text)
    }

    /// Where the file is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

/// Writes a file: whatever happens, afterwards there is either the old one or the new one,
/// complete.
pub(crate) fn replace(path: &Path, text: &str) -> Result<(), StateError> {
    let new = with_suffix(path, ".new");
    // An earlier attempt may have left it behind; and wherever somebody may have made it lead to,
    // nothing is written there.
    unless_missing(fs::remove_file(&new)).map_err(failed("remove", &new))?;
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(&new)
        .map_err(failed("create", &new))?;
    file.write_all(text.as_bytes()).map_err(failed("write", &new))?;
    file.sync_all().map_err(failed("write", &new))?;
    fs::rename(&new, path).map_err(failed("replace", path))?;
    let folder = folder_of(path);
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed("write", folder))
}

/// Keeps a file that cannot be understood beside its place.
pub(crate) fn set_aside(path: &Path) -> Result<(), StateError> {
    unless_missing(fs::rename(path, with_suffix(path, ".bad"))).map_err(failed("set aside", path))
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// What every saved state contains, however damaged.
const MARK: &[u8] = b"savedRoutes";

/// The file as it is written.
#[derive(Deserialize, Serialize)]
struct Document {
    #[serde(rename = "savedRoutes")]
    saved_routes: Vec<Entry>,
}

#[derive(Deserialize, Serialize)]
struct Entry {
    /// The address.
    value0: String,
    /// The name of the link.
    value1: String,
    /// The link-layer address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    lladdr: Option<String>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    away: bool,
    /// Seconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    until: Option<u64>,
}

fn parse(text: &[u8]) -> Result<Content, serde_json::Error> {
    let mut content = Content::default();
    if text.trim_ascii().is_empty() {
        return Ok(content);
    }
    let document: Document = serde_json::from_slice(text)?;
    for (index, entry) in document.saved_routes.into_iter().enumerate() {
        let Ok(target) = entry.value0.parse() else {
            let complaint = format!("entry {}: {:?} is no IPv6 address", index + 1, entry.value0);
            content.complaints.push(complaint);
            continue;
        };
        // Without it the host is asked by multicast, which does as well.
        let lladdr = entry.lladdr.and_then(|text| text.parse().ok());
        let Entry { value1: link, away: is_away, until, .. } = entry;
        content.hosts.push(Saved { target, link, lladdr, is_away, until });
    }
    Ok(content)
}

fn emit(hosts: &[Saved]) -> String {
    let entry = |host: &Saved| Entry {
        value0: host.target.to_string(),
        value1: host.link.clone(),
        lladdr: host.lladdr.map(|lladdr| lladdr.to_string()),
        away: host.is_away,
        until: host.until,
    };
    let document = Document { saved_routes: hosts.iter().map(entry).collect() };
    let mut text =
        serde_json::to_string_pretty(&document).expect("strings in a list are always valid JSON");
    text.push('\n');
    text
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

fn unless_missing(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

fn failed(attempt: &'static str, path: &Path) -> impl FnOnce(io::Error) -> StateError {
    let path = path.to_owned();
    move |source| StateError::Write { attempt, path, source }
}

#[cfg(test)]
pub(crate) mod samples {
    use super::*;

    /// A host.
    pub(crate) fn saved(number: u16, link: &str, lladdr: Option<[u8; 6]>) -> Saved {
        Saved {
            target: Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, number),
            link: link.to_owned(),
            lladdr: lladdr.map(LinkAddr),
            is_away: false,
            until: None,
        }
    }

    /// The same, which was away when it was saved.
    pub(crate) fn away(number: u16, link: &str, lladdr: Option<[u8; 6]>) -> Saved {
        Saved { is_away: true, ..saved(number, link, lladdr) }
    }

    /// A folder that is removed with everything in it.
    pub(crate) struct Scratch(PathBuf);

    impl Scratch {
        pub(crate) fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("magpie-{name}-{}", std::process::id()));
            fs::create_dir_all(&path).unwrap();
            Self(path)
        }

        pub(crate) fn path(&self) -> &Path {
            &self.0
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::samples::{Scratch, away, saved};
    use super::*;

    const ORIGINAL: &str = r#"{
    "savedRoutes": [
        {
            "value0": "2001:db8::1",
            "value1": "br-lan"
        },
        {
            "value0": "2001:db8::2",
            "value1": "eth0"
        }
    ]
}"#;

    #[test]
    fn reads_what_the_original_wrote() {
        let content = parse(ORIGINAL.as_bytes()).unwrap();
        assert_eq!(content.hosts, [saved(1, "br-lan", None), saved(2, "eth0", None)]);
        assert!(content.complaints.is_empty());
    }

    #[test]
    fn reads_what_it_writes() {
        let lladdr = Some([2, 0, 0, 0, 0, 1]);
        let gone = Saved { until: Some(1_700_000_000), ..away(4, "wg0", lladdr) };
        let hosts =
            [saved(1, "br-lan", lladdr), saved(2, "eth0.5", None), away(3, "wg0", lladdr), gone];
        assert_eq!(parse(emit(&hosts).as_bytes()).unwrap().hosts, hosts);
        assert_eq!(parse(emit(&[]).as_bytes()).unwrap(), Content::default());
        assert!(emit(&hosts).contains("\"value0\": \"2001:db8::1\""));
    }

    #[test]
    fn an_empty_file_is_no_mistake() {
        assert_eq!(parse(b"").unwrap(), Content::default());
        assert_eq!(parse(b" \n").unwrap(), Content::default());
    }

    #[test]
    fn a_bad_address_costs_one_entry_only() {
        let text = ORIGINAL.replace("2001:db8::1", "10.0.0.1");
        let content = parse(text.as_bytes()).unwrap();
        assert_eq!(content.hosts, [saved(2, "eth0", None)]);
        assert_eq!(content.complaints, ["entry 1: \"10.0.0.1\" is no IPv6 address"]);
    }

    #[test]
    fn tells_where_a_file_is_broken() {
        for (text, line) in [("{", 1), ("{\n\"savedRoutes\": 7}", 2), ("[]", 1), ("nonsense", 1)] {
            assert_eq!(parse(text.as_bytes()).unwrap_err().line(), line, "{text}");
        }
    }

    #[test]
    fn saving_replaces_the_file_and_keeps_a_damaged_one() {
        let folder = Scratch::new("state-replace");
        let path = folder.path().join("routes.json");
        let mut file = StateFile::new(&path).unwrap();
        assert_eq!(file.load().unwrap(), Content::default());
        let hosts = [saved(1, "lan", None)];
        file.save(&hosts).unwrap();
        assert_eq!(file.load().unwrap().hosts, hosts);

        let damaged = "{\n  \"savedRoutes\": [";
        fs::write(&path, damaged).unwrap();
        let error = file.load().unwrap_err();
        assert!(error.to_string().contains("routes.json:2:18"), "{error}");
        file.save(&hosts).unwrap();
        assert_eq!(file.load().unwrap().hosts, hosts);
        assert_eq!(fs::read_to_string(folder.path().join("routes.json.bad")).unwrap(), damaged);
        assert!(!folder.path().join("routes.json.new").exists());
    }

    #[test]
    fn somebody_elses_file_is_recognized() {
        let folder = Scratch::new("state-foreign");
        let path = folder.path().join("diary");
        fs::write(&path, "Dear diary").unwrap();
        let error = StateFile::new(&path).unwrap().load().unwrap_err();
        assert!(matches!(error, StateError::Foreign { .. }), "{error:?}");
    }

    #[test]
    fn a_folder_is_no_file() {
        let folder = Scratch::new("state-folder");
        let error = StateFile::new(folder.path()).unwrap_err();
        assert!(matches!(error, StateError::Place { .. }), "{error:?}");
    }

    #[test]
    fn a_missing_folder_is_named_at_once() {
        let error = StateFile::new(Path::new("/nonexistent-folder/of/x.json")).unwrap_err();
        assert!(error.to_string().contains("mkdir -p /nonexistent-folder/of"), "{error}");
        StateFile::new(Path::new("x.json")).unwrap();
    }

    #[test]
    fn the_last_folder_is_made() {
        let folder = Scratch::new("state-make");
        let path = folder.path().join("new/routes.json");
        StateFile::new(&path).unwrap().save(&[]).unwrap();
        assert!(path.is_file());
    }

    #[test]
    fn what_cannot_be_read_is_kept() {
        let folder = Scratch::new("state-unreadable");
        let path = folder.path().join("routes.json");
        // Nobody can read this one, whatever the privileges.
        symlink(&path, &path).unwrap();
        let mut file = StateFile::new(&path).unwrap();
        let error = file.load().unwrap_err();
        assert!(matches!(error, StateError::Read { .. }), "{error:?}");
        file.save(&[]).unwrap();
        assert_eq!(file.load().unwrap(), Content::default());
        assert!(folder.path().join("routes.json.bad").is_symlink());
    }

    #[test]
    fn a_leftover_is_removed_and_not_followed() {
        let folder = Scratch::new("state-leftover");
        let path = folder.path().join("routes.json");
        let victim = folder.path().join("victim");
        fs::write(&victim, "precious").unwrap();
        symlink(&victim, folder.path().join("routes.json.new")).unwrap();
        let mut file = StateFile::new(&path).unwrap();
        file.save(&[saved(1, "lan", None)]).unwrap();
        assert_eq!(fs::read_to_string(&victim).unwrap(), "precious");
        assert!(path.is_file() && !path.is_symlink());
    }
}
