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
    /// What stands there now is not all in force: it is not to be lost when rules are saved.
    is_damaged: bool,
}

impl Ledger {
    /// Names the file that belongs to a state file.
    pub(crate) fn beside(state_file: &Path) -> Self {
        Self { path: state_file.with_extension("rules.json"), is_damaged: false }
    }

    /// Reads the rules, and what is wrong with the file. What is not understood is kept beside its
    /// place, at the latest when the file is written again.
    pub(crate) fn load(&mut self, now: Instant) -> Content {
        let path = self.path.display();
        let text = match fs::read(&self.path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Content::default(),
            Err(error) => {
                self.is_damaged = true;
                return complain(format!(
                    "starting without the rules in {path}: cannot read it: {error}; it is kept as \
                     {path}.bad when rules are saved"
                ));
            }
        };
        match Granted::from_json(&text, now, SystemTime::now()) {
            Ok(mut content) => {
                self.is_damaged = !content.complaints.is_empty();
                for complaint in &mut content.complaints {
                    *complaint = format!(
                        "{path}: {complaint}; it is left out, and the file is kept as {path}.bad \
                         when rules are saved"
                    );
                }
                content
            }
            Err(error) => {
                let kept = match state::set_aside(&self.path) {
                    Ok(()) => String::new(),
                    Err(error) => {
                        self.is_damaged = true;
                        format!("; {}", Chain(&error))
                    }
                };
                complain(format!("starting without the rules in {path}: {}{kept}", Chain(&error)))
            }
        }
    }

    /// Writes the rules that are to survive a restart. A file that was not understood is kept
    /// beside it.
    pub(crate) fn save(&mut self, granted: &Granted, now: Instant) -> Result<(), StateError> {
        if self.is_damaged {
            state::set_aside(&self.path)?;
            self.is_damaged = false;
        }
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
        let mut ledger = Ledger::beside(&folder.path().join("hosts.json"));
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

    #[test]
    fn what_is_left_out_is_not_lost_at_the_next_save() {
        let folder = Scratch::new("ledger-left-out");
        let mut ledger = Ledger::beside(&folder.path().join("hosts.json"));
        let aside = folder.path().join("hosts.rules.json.bad");
        let now = Instant::ZERO;
        let text = r#"{ "rules": [{
            "relay": "r", "owner": "o", "prefix": "::/0", "method": "static"
        }] }"#;
        fs::write(&ledger.path, text).unwrap();
        let content = ledger.load(now);
        assert_eq!(content.granted.iter().len(), 0);
        assert!(content.complaints[0].contains("hosts.rules.json.bad"), "{content:?}");
        ledger.save(&Granted::default(), now).unwrap();
        assert_eq!(fs::read_to_string(&aside).unwrap(), text);
        assert_eq!(ledger.load(now), Content::default());
        ledger.save(&Granted::default(), now).unwrap();
        assert_eq!(fs::read_to_string(&aside).unwrap(), text);
    }

    #[test]
    fn what_cannot_be_read_is_not_lost_at_the_next_save() {
        let folder = Scratch::new("ledger-unreadable");
        let mut ledger = Ledger::beside(&folder.path().join("hosts.json"));
        // A folder cannot be read as a file, not even by root.
        fs::create_dir(&ledger.path).unwrap();
        let content = ledger.load(Instant::ZERO);
        assert!(content.complaints[0].contains("cannot read"), "{content:?}");
        ledger.save(&Granted::default(), Instant::ZERO).unwrap();
        assert!(folder.path().join("hosts.rules.json.bad").is_dir());
        assert_eq!(ledger.load(Instant::ZERO), Content::default());
    }
}
