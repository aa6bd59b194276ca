//! Puts rules that are added at run time into force, and takes them out again.

use std::time::Duration;

use magpie_config::model;
use magpie_engine::{Config, Instant, SeenTarget};

use crate::Chain;
use crate::granted::{Addition, Full, Grant, Granted, Selection};
use crate::journal::link_name;
use crate::ledger::Ledger;
use crate::relay::Relay;
use crate::service::Service;
use crate::settings;
use crate::state::StateError;

/// Rules that were added at run time, and where they are kept.
#[derive(Debug, Default)]
pub(crate) struct Rulebook {
    granted: Granted,
    ledger: Option<Ledger>,
    /// When the next rule ends.
    due: Option<Instant>,
}

/// A rule is neither added nor removed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum GrantError {
    /// There are too many.
    #[error(transparent)]
    Full(#[from] Full),
    /// It could not be written down.
    #[error("the rules stay as they are")]
    Save(#[from] StateError),
}

impl Rulebook {
    /// Starts with rules of an earlier run.
    pub(crate) fn new(granted: Granted, ledger: Option<Ledger>) -> Self {
        let due = granted.next_expiry();
        Self { granted, ledger, due }
    }

    /// All rules that were added.
    pub(crate) fn granted(&self) -> &Granted {
        &self.granted
    }

    /// Whether rules can be kept from one run to the next.
    pub(crate) fn can_persist(&self) -> bool {
        self.ledger.is_some()
    }

    /// When the next rule ends.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.due
    }

    /// What a relay's configuration and the rules that were added come to.
    pub(crate) fn effective(&self, relay: &model::Relay) -> Config {
        settings::engine_config(relay, self.granted.for_relay(relay))
    }

    /// These rules, for relays that go by other names from now on.
    pub(crate) fn renamed(&self, names: &[(String, String)]) -> Granted {
        let mut granted = self.granted.clone();
        granted.rename(names);
        granted
    }

    /// Takes over rules, and writes down those that are to survive a restart, if any of them
    /// changed.
    pub(crate) fn replace(&mut self, granted: Granted, now: Instant) -> Result<(), StateError> {
        if let Some(ledger) = &self.ledger
            && !lasting(&granted).eq(lasting(&self.granted))
        {
            ledger.save(&granted, now)?;
        }
        self.due = granted.next_expiry();
        self.granted = granted;
        Ok(())
    }
}

fn lasting(granted: &Granted) -> impl Iterator<Item = &Grant> {
    granted.iter().filter(|grant| grant.persist)
}

impl Service {
    /// Puts rules into force: all, or none.
    pub(crate) fn grant(
        &mut self,
        grants: Vec<Grant>,
        now: Instant,
    ) -> Result<Addition, GrantError> {
        let concerned: Vec<String> = grants.iter().map(|grant| grant.relay.clone()).collect();
        let mut granted = self.rulebook.granted().clone();
        let addition = granted.add(grants)?;
        self.rulebook.replace(granted, now)?;
        self.readjust(&concerned, now);
        Ok(addition)
    }

    /// Takes rules out of force; tells how many.
    pub(crate) fn revoke(
        &mut self,
        selection: &Selection,
        now: Instant,
    ) -> Result<usize, GrantError> {
        let mut granted = self.rulebook.granted().clone();
        let removed = granted.remove(selection);
        if removed > 0 {
            self.rulebook.replace(granted, now)?;
            self.readjust_all(now);
        }
        Ok(removed)
    }

    /// Takes rules out of force whose time is over.
    pub(crate) fn expire(&mut self, now: Instant) {
        if self.rulebook.due().is_none_or(|due| due > now) {
            return;
        }
        let mut granted = self.rulebook.granted().clone();
        let over = granted.expire(now);
        for grant in &over {
            tracing::info!(
                prefix = %shown(grant.rule.prefix), owner = grant.owner, relay = grant.relay,
                "the time of a rule is over"
            );
        }
        let concerned: Vec<String> = over.into_iter().map(|grant| grant.relay).collect();
        if let Err(error) = self.rulebook.replace(granted.clone(), now) {
            // They are over all the same: what is written down has their end in it.
            tracing::warn!(error = %Chain(&error), "the rules are not saved");
            self.rulebook.granted = granted;
            self.rulebook.due = self.rulebook.granted.next_expiry();
        }
        self.readjust(&concerned, now);
    }

    /// Targets that were asked for, with the relay and the link.
    pub(crate) fn seen(&self, now: Instant) -> Vec<(&Relay, SeenTarget)> {
        let relays = self.relays.iter();
        relays
            .flat_map(|relay| relay.engine.seen(now).into_iter().map(move |seen| (relay, seen)))
            .collect()
    }

    /// Writes the targets that were asked for into the log, the latest first.
    pub(crate) fn log_seen(&self, now: Instant) {
        let mut seen = self.seen(now);
        seen.sort_by_key(|(_, seen)| (seen.last, seen.target));
        tracing::info!("{} targets were asked for lately", seen.len());
        for (relay, seen) in seen.iter().take(MOST_LINES) {
            tracing::info!(
                target = %seen.target, link = link_name(&relay.links, seen.link),
                asked = seen.asked, answered = seen.answered,
                first = ago(seen.first), last = ago(seen.last), "target"
            );
        }
        if let Some(rest) = seen.get(MOST_LINES..).filter(|rest| !rest.is_empty()) {
            let asked: u64 = rest.iter().map(|(_, seen)| seen.asked).sum();
            let answered: u64 = rest.iter().map(|(_, seen)| seen.answered).sum();
            tracing::info!(asked, answered, "{} further targets", rest.len());
        }
    }

    fn readjust_all(&mut self, now: Instant) {
        let all: Vec<String> = self.relays.iter().map(|relay| relay.model.name.clone()).collect();
        self.readjust(&all, now);
    }

    /// Puts the rules of these relays into force as they are now.
    fn readjust(&mut self, names: &[String], now: Instant) {
        for relay in &mut self.relays {
            if names.contains(&relay.model.name) {
                let config = self.rulebook.effective(&relay.model);
                relay.readjust(config, now);
                relay.settle(now);
            }
        }
    }
}

fn ago(time: Duration) -> String {
    format!("{}s ago", time.as_secs())
}

fn shown(prefix: model::RulePrefix) -> String {
    match prefix {
        model::RulePrefix::Auto => "auto".to_owned(),
        model::RulePrefix::Net(net) => net.to_string(),
    }
}

/// Targets that are written into the log one by one.
const MOST_LINES: usize = 100;
