//! What hosts do on an ordinary day: they talk to each other, walk about, sleep, leave and come
//! back.

use std::time::Duration;

use magpie_engine::{Instant, LinkId};

use crate::HostId;
use crate::frame::PingId;
use crate::host::Roam;
use crate::world::{Happening, World};

/// How often a host does something, on average; the times between are exponential.
#[derive(Clone, Debug)]
pub struct Habits {
    /// Between two conversations of a host with another.
    pub talk: Duration,
    /// Between two moves of a host, if it moves.
    pub roam: Option<Duration>,
    /// Between two naps of a host, if it sleeps.
    pub doze: Option<Duration>,
    /// Length of a nap.
    pub nap: Duration,
    /// Between two absences of a host, if it leaves; an absence is as long as a nap.
    pub leave: Option<Duration>,
    /// The links that hosts move between.
    pub links: Vec<LinkId>,
}

/// How conversations between hosts that were both there went.
#[derive(Clone, Copy, Debug, Default)]
pub struct Talks {
    /// Some request was answered.
    pub answered: u64,
    /// No request was.
    pub failed: u64,
}

/// Something that a host does now and then.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Habit {
    Talk,
    Roam,
    Doze,
    Wake,
    Leave,
    Return,
}

/// An attempt of one host to reach another: some requests, a second apart.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Conversation {
    from: HostId,
    to: HostId,
    start: Instant,
    tries: usize,
    pings: [Option<PingId>; TRIES],
}

/// How many requests are sent before a conversation has failed.
const TRIES: usize = 12;
/// How long after a disturbance conversations may fail: the time that an unattended neighbor cache
/// takes to notice that somebody is gone (RFC 4861 section 10), and some more for lost frames.
const SETTLED: Duration = Duration::from_secs(120);

impl World {
    /// Gives all hosts habits, until [`World::calm`].
    pub fn live(&mut self, habits: Habits) {
        let usual = [
            (Habit::Talk, Some(habits.talk)),
            (Habit::Roam, habits.roam),
            (Habit::Doze, habits.doze),
            (Habit::Leave, habits.leave),
        ];
        self.habits = Some(habits);
        for host in 0..self.hosts.len() {
            for (habit, mean) in usual {
                self.plan(HostId(host), habit, mean);
            }
        }
    }

    /// Ends all habits: everybody wakes up, comes back and stays where it is.
    pub fn calm(&mut self) {
        let Some(habits) = self.habits.take() else { return };
        for host in (0..self.hosts.len()).map(HostId) {
            if !self.hosts[host.0].awake {
                self.set_awake(host, true);
            }
            if self.hosts[host.0].link.is_none()
                && let Some(link) = self.rng.choice(&habits.links)
            {
                self.roam(host, *link, Roam::Dad);
            }
        }
    }

    /// Returns how conversations went so far.
    pub fn talks(&self) -> Talks {
        self.talks
    }

    pub(crate) fn follow(&mut self, host: HostId, habit: Habit) {
        let Some(habits) = self.habits.clone() else { return };
        let state = &self.hosts[host.0];
        let free = state.present() && !state.interface.router;
        match habit {
            Habit::Talk => {
                if state.present() {
                    self.start_talking(host);
                }
                self.plan(host, habit, Some(habits.talk));
            }
            Habit::Roam => {
                let elsewhere: Vec<_> =
                    habits.links.iter().filter(|link| Some(**link) != state.link).collect();
                if let Some(link) = self.rng.choice(elsewhere)
                    && free
                {
                    let roam = if self.rng.bool() { Roam::Dad } else { Roam::Quiet };
                    self.roam(host, *link, roam);
                }
                self.plan(host, habit, habits.roam);
            }
            Habit::Doze if free => {
                self.set_awake(host, false);
                self.plan(host, Habit::Wake, Some(habits.nap));
            }
            Habit::Leave if free => {
                self.leave(host);
                self.plan(host, Habit::Return, Some(habits.nap));
            }
            Habit::Wake => {
                self.set_awake(host, true);
                self.plan(host, Habit::Doze, habits.doze);
            }
            Habit::Return => {
                if let Some(link) = self.rng.choice(&habits.links) {
                    self.roam(host, *link, Roam::Dad);
                }
                self.plan(host, Habit::Leave, habits.leave);
            }
            Habit::Doze => self.plan(host, habit, habits.doze),
            Habit::Leave => self.plan(host, habit, habits.leave),
        }
    }

    /// Sends the next request of a conversation, or counts what became of it.
    pub(crate) fn talk(&mut self, mut conversation: Conversation) {
        let Conversation { from, to, start, tries, .. } = conversation;
        let settled = |host: HostId| {
            let state = &self.hosts[host.0];
            state.present() && state.changed + SETTLED <= start
        };
        if !settled(from) || !settled(to) {
            return;
        }
        if conversation.pings.iter().flatten().any(|ping| self.answered(*ping).is_some()) {
            self.talks.answered += 1;
            return;
        }
        if tries == TRIES {
            self.talks.failed += 1;
            return;
        }
        let address = self.address(to);
        conversation.pings[tries] = Some(self.ping(from, address));
        conversation.tries += 1;
        self.schedule(self.now() + Duration::from_secs(1), Happening::Talk { conversation });
    }

    fn start_talking(&mut self, from: HostId) {
        let to = HostId(self.rng.usize(..self.hosts.len()));
        if to != from {
            let pings = [None; TRIES];
            self.talk(Conversation { from, to, start: self.now(), tries: 0, pings });
        }
    }

    fn plan(&mut self, host: HostId, habit: Habit, mean: Option<Duration>) {
        let Some(mean) = mean else { return };
        let span = mean.mul_f64(-(1.0 - self.rng.f64()).ln());
        self.schedule(self.now() + span, Happening::Habit { host, habit });
    }
}
