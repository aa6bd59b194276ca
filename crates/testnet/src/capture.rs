//! Keeps the frames of some links, to be looked at when something went wrong.

use std::collections::VecDeque;
use std::fs;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use magpie_sys::link_socket::LinkSocket;

use crate::background::{Background, Stop, Woken};
use crate::{Error, Frame, Node, pcapng};

/// Records all frames of some links in memory, the newest if there are too many, and writes them
/// to a file when the thread panics that drops it, or on request.
#[derive(Debug)]
pub struct Capture {
    path: PathBuf,
    links: Vec<String>,
    frames: Arc<Mutex<Frames>>,
    /// Ends when dropped, and leaves no frame unread that was there before.
    thread: Option<Background>,
}

impl Capture {
    /// Starts to record on links of nodes; the file would be `NAME.pcapng` in `directory`.
    ///
    /// # Errors
    ///
    /// [`Error`] if there is no such link.
    pub fn start(directory: &Path, name: &str, links: &[(&Node, &str)]) -> Result<Self, Error> {
        let mut sockets = Vec::new();
        for (node, link) in links {
            let ifindex = node.ifindex(link)?;
            let _inside = node.enter()?;
            sockets.push(LinkSocket::open(ifindex).map_err(|source| {
                Error::system(format!("open a packet socket on {link} of {}", node.name()), source)
            })?);
        }
        let frames = Arc::new(Mutex::new(Frames::default()));
        let kept = Arc::clone(&frames);
        let thread = Background::start("capture", move |stop| run(&sockets, stop, &kept))
            .map_err(|source| Error::system("start a thread to capture", source))?;
        Ok(Self {
            path: directory.join(name).with_extension("pcapng"),
            links: links.iter().map(|(node, link)| format!("{link} of {}", node.name())).collect(),
            frames,
            thread: Some(thread),
        })
    }

    /// Writes what was recorded so far, replacing an older file of the name; returns its path.
    ///
    /// # Errors
    ///
    /// [`Error::System`] if the file cannot be written.
    pub fn save(&self) -> Result<&Path, Error> {
        let file = {
            let frames = lock(&self.frames);
            pcapng::encode(&self.links, frames.kept.iter().map(|(link, frame)| (*link, frame)))
        };
        let directory = self.path.parent().unwrap_or(Path::new("."));
        fs::create_dir_all(directory)
            .and_then(|()| fs::write(&self.path, file))
            .map_err(|source| Error::system(format!("write {}", self.path.display()), source))?;
        Ok(&self.path)
    }

    /// Passes `outcome` on; writes the file if it is an error, and says so on standard error.
    ///
    /// # Errors
    ///
    /// The error in `outcome`.
    pub fn save_if_failed<T, E>(&self, outcome: Result<T, E>) -> Result<T, E> {
        if outcome.is_err() {
            self.save_and_tell();
        }
        outcome
    }

    /// Ends the recording and returns all of it, oldest first: the link's position in the list that
    /// the capture was started with, and the frame. What arrived before the call is in it.
    pub fn finish(&mut self) -> Vec<(usize, Frame)> {
        self.thread = None;
        let frames = lock(&self.frames);
        let position = |link: u32| usize::try_from(link).unwrap_or(usize::MAX);
        frames.kept.iter().map(|(link, frame)| (position(*link), frame.clone())).collect()
    }

    fn save_and_tell(&self) {
        match self.save() {
            Ok(path) => eprintln!("the frames of this test are in {}", path.display()),
            Err(error) => eprintln!("the frames of this test are lost: {error}"),
        }
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        if thread::panicking() {
            self.save_and_tell();
        }
    }
}

#[derive(Debug, Default)]
struct Frames {
    /// The index of the link, and the frame.
    kept: VecDeque<(u32, Frame)>,
    octets: usize,
}

fn run(sockets: &[LinkSocket], stop: &Stop, frames: &Mutex<Frames>) {
    let fds: Vec<_> = sockets.iter().map(AsFd::as_fd).collect();
    let mut buffer = vec![0; FRAME_LEN];
    loop {
        let woken = stop.wait(&fds, None);
        for (index, socket) in (0..).zip(sockets) {
            // A link that is down reports it once, and may come up again.
            while let Ok(Some(frame)) = Frame::receive(socket, &mut buffer) {
                let mut frames = lock(frames);
                frames.octets += frame.bytes.len();
                frames.kept.push_back((index, frame));
                while frames.octets > MAX_OCTETS
                    && let Some((_, oldest)) = frames.kept.pop_front()
                {
                    frames.octets -= oldest.bytes.len();
                }
            }
        }
        if woken != Ok(Woken::Readable) {
            return;
        }
    }
}

fn lock(frames: &Mutex<Frames>) -> MutexGuard<'_, Frames> {
    frames.lock().unwrap_or_else(PoisonError::into_inner)
}

const FRAME_LEN: usize = 65_536;
/// More than any test needs, less than any machine has.
const MAX_OCTETS: usize = 64 << 20;
