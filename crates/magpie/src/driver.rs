//! The loop: waits for what happens, and hands it to whom it concerns.

use std::ops::ControlFlow;
use std::time::Duration;

use magpie_control::Server;
use magpie_engine::Instant;
use magpie_sys::poller::{Interest, Ready};
use magpie_sys::signal::{Signal, SignalError, Signals};

use crate::memory::Saving;
use crate::port::Batches;
use crate::service::{Service, ServiceError, Source, now};

/// The daemon at work.
#[derive(Debug)]
pub(crate) struct Driver {
    service: Service,
    signals: Signals,
    server: Option<Server>,
    batches: Batches,
}

/// The loop cannot go on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DriverError {
    /// The service cannot go on.
    #[error(transparent)]
    Service(#[from] ServiceError),
    /// Signals cannot be read.
    #[error(transparent)]
    Signal(#[from] SignalError),
}

impl Driver {
    /// Puts the parts together.
    pub(crate) fn new(
        service: Service,
        signals: Signals,
        server: Option<Server>,
    ) -> Result<Self, ServiceError> {
        service.poller.add(&signals, Source::Signals.token(), Interest::Read)?;
        if let Some(server) = &server {
            service.poller.add(server, Source::Control.token(), Interest::Read)?;
        }
        Ok(Self { service, signals, server, batches: Batches::default() })
    }

    /// Runs until a signal ends it, and cleans up.
    pub(crate) fn run(mut self) -> Result<(), DriverError> {
        let mut ready = Vec::new();
        let result = loop {
            match self.turn(&mut ready) {
                Ok(ControlFlow::Continue(())) => {}
                Ok(ControlFlow::Break(())) => break Ok(()),
                Err(error) => break Err(error),
            }
        };
        crate::systemd::stopping();
        let now = now();
        self.service.save(Saving::AtOnce, now);
        self.service.shut_down(now);
        self.report(now);
        result
    }

    /// Waits once and deals with everything that came.
    fn turn(&mut self, ready: &mut Vec<Ready>) -> Result<ControlFlow<()>, DriverError> {
        let deadline = self.service.deadline();
        let until = deadline.map(Instant::as_nanos);
        self.service.poller.wait(ready, until).map_err(ServiceError::from)?;
        let now = now();
        // Signals come first, then what the kernel says: what came by links and from others may be
        // about that.
        ready.sort_unstable_by_key(|event| event.token);
        if is_long_overdue(deadline, self.service.resync_cost(), now) {
            self.service.resume(&mut self.batches, now);
        }
        let mut flow = ControlFlow::Continue(());
        // What was due before the frames came is done before they are looked at.
        self.service.tick(now);
        for event in ready.iter() {
            match Source::of(event.token) {
                Some(Source::Port(id)) => self.service.receive(id, &mut self.batches, now),
                Some(Source::Kernel) => self.service.read_kernel(now),
                Some(Source::Signals) => flow = self.read_signals(now)?,
                Some(Source::Control) => {
                    if let Some(server) = &mut self.server {
                        server.serve(&mut self.service);
                        self.service.is_watched = server.is_watched();
                    }
                }
                None => {}
            }
        }
        self.report(now);
        Ok(flow)
    }

    fn read_signals(&mut self, now: Instant) -> Result<ControlFlow<()>, DriverError> {
        while let Some(signal) = self.signals.next()? {
            match signal {
                Signal::Terminate | Signal::Interrupt => {
                    tracing::info!("asked to stop");
                    return Ok(ControlFlow::Break(()));
                }
                Signal::Hangup => {
                    tracing::info!("asked to reload");
                    // If it fails, everything is as it was, and the log says why.
                    let _ = self.service.renew(now);
                }
                Signal::User1 | Signal::User2 => self.service.log_seen(now),
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    /// Tells the log and those who watch what happened.
    fn report(&mut self, now: Instant) {
        for event in self.service.report(now) {
            if let Some(server) = &mut self.server {
                server.broadcast(&event);
            }
        }
    }
}

/// Whether a deadline was missed by so much that time was lost, by more than work takes of which the
/// longest takes as long as `work`.
fn is_long_overdue(deadline: Option<Instant>, work: Duration, now: Instant) -> bool {
    deadline.is_some_and(|deadline| now.since(deadline) > LONGEST_DELAY + work)
}

/// Who comes to a deadline later than this was not merely busy, unless with reading everything anew,
/// which takes that long where there are very many routes.
const LONGEST_DELAY: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reading_many_routes_is_not_taken_for_lost_time() {
        let second = Duration::from_secs(1);
        let deadline = Instant::ZERO + second;
        for (work, late, expected) in [
            (Duration::ZERO, 2 * second, false),
            (Duration::ZERO, 3 * second, true),
            // Otherwise everything would be read anew for that, and so on for ever.
            (3 * second, 4 * second, false),
            (3 * second, 6 * second, true),
        ] {
            assert_eq!(is_long_overdue(Some(deadline), work, deadline + late), expected);
        }
        assert!(!is_long_overdue(None, Duration::ZERO, deadline + 60 * second));
    }
}
