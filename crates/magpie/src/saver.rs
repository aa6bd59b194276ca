//! Writes the state file without keeping anybody waiting for the disk.

use std::thread::{self, JoinHandle};

use crate::Chain;
use crate::state::{Saved, StateFile};

/// The state file, or the thread that writes it at present.
#[derive(Debug)]
pub(crate) struct Saver {
    /// None while it is written, or when its thread was lost.
    file: Option<StateFile>,
    writer: Option<JoinHandle<StateFile>>,
}

impl Saver {
    /// Takes charge of the file.
    pub(crate) fn new(file: StateFile) -> Self {
        Self { file: Some(file), writer: None }
    }

    /// Whether writing is under way.
    pub(crate) fn is_busy(&self) -> bool {
        self.writer.as_ref().is_some_and(|writer| !writer.is_finished())
    }

    /// Writes in the background, after what is being written.
    pub(crate) fn start(&mut self, hosts: Vec<Saved>) {
        self.finish();
        let Some(mut file) = self.file.take() else { return };
        let spare = file.clone();
        let writing = move || {
            write(&mut file, &hosts);
            file
        };
        match thread::Builder::new().name("save".to_owned()).spawn(writing) {
            Ok(writer) => self.writer = Some(writer),
            Err(error) => {
                tracing::warn!(error = %Chain(&error), "the state is not saved");
                self.file = Some(spare);
            }
        }
    }

    /// Writes, and returns when that is done.
    pub(crate) fn save(&mut self, hosts: &[Saved]) {
        self.finish();
        if let Some(file) = &mut self.file {
            write(file, hosts);
        }
    }

    /// Waits for what is being written.
    fn finish(&mut self) {
        if let Some(writer) = self.writer.take() {
            self.file = writer.join().ok();
        }
    }
}

fn write(file: &mut StateFile, hosts: &[Saved]) {
    match file.save(hosts) {
        Ok(()) => {
            let path = file.path().display();
            tracing::debug!(%path, hosts = hosts.len(), "state saved");
        }
        Err(error) => tracing::warn!(error = %Chain(&error), "the state is not saved"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::samples::{Scratch, saved};

    #[test]
    fn the_last_to_be_saved_is_what_stays() {
        let folder = Scratch::new("saver");
        let path = folder.path().join("routes.json");
        let mut saver = Saver::new(StateFile::new(&path).unwrap());
        saver.start(vec![saved(1, "lan", None)]);
        saver.start(vec![saved(2, "lan", None)]);
        saver.save(&[saved(3, "lan", None)]);
        assert!(!saver.is_busy());
        let content = StateFile::new(&path).unwrap().load().unwrap();
        assert_eq!(content.hosts, [saved(3, "lan", None)]);
    }
}
