//! Keeps the rules that were added at run time in a file beside the state file.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use magpie_engine::Instant;

use crate::Chain;
use crate::granted::{Content, Granted};
use crate::state::{self, StateError};

/// The file of rules that are to survive a restart.
#[derive(Clone, Debug)]
pub(crate) struct Ledger {
    path: PathBuf,
}

impl Ledger {
    /// Names the file that belongs to a state file.
    pub(crate) fn beside(state_file: &Path) -> Self {
        Self { path: state_file.with_extension("rules.json") }
    }

    /// Reads the rules, and what is wrong with the file. What is not understood is kept beside its
    /// place.
    pub(crate) fn load(&self, now: Instant) -> Content {
        let path = self.path.display();
        let text = match fs::read(&self.path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Content::default(),
            Err(error) => return complain(format!("cannot read {path}: {error}")),
        };
        match Granted::from_json(&text, now, SystemTime::now()) {
            Ok(mut content) => {
                for complaint in &mut content.complaints {
                    *complaint = format!("{path}: {complaint}; it is left out");
                }
                content
            }
            Err(error) => {
                let kept = match state::set_aside(&self.path) {
                    Ok(()) => String::new(),
                    Err(error) => format!("; {}", Chain(&error)),
                };
                complain(format!("starting without the rules in {path}: {}{kept}", Chain(&error)))
            }
        }
    }

    /// Writes the rules that are to survive a restart.
    pub(crate) fn save(&self, granted: &Granted, now: Instant) -> Result<(), StateError> {
        state::replace(&self.path, &granted.to_json(now, SystemTime::now()))
    }
}

fn complain(complaint: String) -> Content {
    Content { complaints: vec![complaint], ..Content::default() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::samples::Scratch;

    #[test]
    fn the_file_stands_beside_the_state_file() {
        let ledger = Ledger::beside(Path::new("/var/lib/magpie/hosts.json"));
        assert_eq!(ledger.path, Path::new("/var/lib/magpie/hosts.rules.json"));
    }

    #[test]
    fn what_is_not_understood_is_kept_and_reported() {
        let folder = Scratch::new("ledger");
        let ledger = Ledger::beside(&folder.path().join("hosts.json"));
        let now = Instant::ZERO;
        assert_eq!(ledger.load(now), Content::default());
        ledger.save(&Granted::default(), now).unwrap();
        assert_eq!(ledger.load(now), Content::default());
        fs::write(&ledger.path, "precious").unwrap();
        let content = ledger.load(now);
        assert!(content.complaints[0].contains("hosts.rules.json"), "{content:?}");
        let aside = folder.path().join("hosts.rules.json.bad");
        assert_eq!(fs::read_to_string(aside).unwrap(), "precious");
        assert_eq!(ledger.load(now), Content::default());
    }
}
