//! Runs the engine: feeds it what happens, and carries out what it wants.

use magpie_engine::{Config, Engine, Event, Input, Instant, KernelEvent, KernelOp, LinkId, Output};
use magpie_sys::netlink::NetlinkError;

use crate::executor::{Executor, Outcome};
use crate::kernel::Kernel;
use crate::port::Ports;
use crate::trace;

/// The engine and its hands.
#[derive(Debug)]
pub(crate) struct Relay {
    pub(crate) engine: Engine,
    pub(crate) executor: Executor,
    pub(crate) ports: Ports,
    /// What observers are still to be told.
    pub(crate) events: Vec<Event>,
    /// Empty between calls; kept for its memory.
    outcomes: Vec<Outcome>,
}

impl Relay {
    /// Starts without links.
    pub(crate) fn new(config: Config, seed: u64, now: Instant) -> Result<Self, NetlinkError> {
        Ok(Self {
            engine: Engine::new(config, seed, now),
            executor: Executor::open()?,
            ports: Ports::default(),
            events: Vec::new(),
            outcomes: Vec::new(),
        })
    }

    /// Tells the engine what happened. What it wants thereupon is done by [`Relay::settle`].
    pub(crate) fn feed(&mut self, input: Input<'_>, now: Instant) {
        self.engine.handle(input, now);
        self.drain();
    }

    /// Tells the engine what the kernel reported.
    pub(crate) fn feed_kernel(&mut self, event: KernelEvent, now: Instant) {
        self.feed(Input::Kernel(event), now);
    }

    /// Does what the engine wants, until it wants nothing more: sends frames, changes routes, and
    /// sends the frames that waited for the routes.
    pub(crate) fn settle(&mut self, kernel: &mut Kernel, now: Instant) {
        loop {
            self.ports.flush();
            if self.executor.has_requests() {
                self.executor.commit();
            } else if !self.executor.has_outcomes() && !self.executor.catch_up() {
                return;
            }
            self.acknowledge(kernel, now);
        }
    }

    /// Ends the engine's work: withdraws what it has made of routes, memberships and promises.
    pub(crate) fn shut_down(&mut self, kernel: &mut Kernel, now: Instant) {
        self.engine.shut_down(now);
        self.drain();
        self.settle(kernel, now);
    }

    /// Forgets a link that is gone for good.
    pub(crate) fn drop_link(&mut self, link: LinkId, now: Instant) {
        self.ports.remove(link);
        self.executor.forget_link(link);
        self.feed_kernel(KernelEvent::LinkGone { link }, now);
    }

    fn drain(&mut self) {
        while let Some(output) = self.engine.poll_output() {
            match output {
                Output::Transmit(transmit) => self.ports.put(&transmit),
                Output::Kernel { request, op } => self.executor.accept(request, op),
                Output::Event(event) => self.events.push(event),
            }
        }
    }

    /// Feeds the outcomes that are known; the engine may want more thereupon.
    fn acknowledge(&mut self, kernel: &mut Kernel, now: Instant) {
        let mut outcomes = std::mem::take(&mut self.outcomes);
        self.executor.swap_outcomes(&mut outcomes);
        for Outcome { request, op, result, had_effect } in outcomes.drain(..) {
            trace::carried_out(op, result);
            if let KernelOp::DelRoute { target, link } = op
                && had_effect
            {
                kernel.expect_deletion(target, link);
            }
            self.feed(Input::Ack { request, result }, now);
        }
        self.outcomes = outcomes;
    }
}
