//! Puts rules that are added at run time into force, and takes them out again.

use std::time::Duration;

use magpie_config::model;
use magpie_engine::{Config, Instant, SeenTarget};

use crate::Chain;
use crate::granted::{Addition, Full, Grant, Granted, Selection};
use crate::journal::link_name;
use crate::ledger::Ledger;
use crate::relay::Relay;
use crate::reload::{Identity, identity, match_up};
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
    /// Why what is written down is not what is to survive a restart, if it is not.
    unsaved: Option<String>,
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
        Self { granted, ledger, due, unsaved: None }
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

    /// What operators should know of the rules, of which these relays follow some.
    pub(crate) fn warnings(&self, relays: &[&model::Relay]) -> Vec<String> {
        let rests = |grant: &&Grant| !grant.applies_to(relays.iter().copied());
        let mut resting = self.granted.iter().filter(rests);
        let mut warnings: Vec<String> = self.unsaved.clone().into_iter().collect();
        for grant in resting.by_ref().take(MOST_WARNINGS) {
            let is_there = relays.iter().any(|relay| relay.name == grant.relay);
            let why = if is_there { "has no links for it" } else { "is not configured" };
            warnings.push(format!(
                "the rule {} {} of {} rests: '{}' {why}",
                shown(grant.rule.prefix),
                grant.rule.method.label(),
                grant.owner,
                grant.relay
            ));
        }
        let rest = resting.count();
        if rest > 0 {
            warnings.push(format!("{rest} further rules rest: `magpie rules` shows them"));
        }
        warnings
    }

    /// These rules, for relays that go by other names from now on: pairs of the former and the
    /// present one. `relays` are those that are configured from now on.
    pub(crate) fn renamed(&self, names: &[(String, String)], relays: &[model::Relay]) -> Granted {
        let mut granted = self.granted.clone();
        granted.rename(names);
        granted.note_homes(relays);
        granted
    }

    /// Finds the relays again that rules of an earlier run are for, as a reload does.
    pub(crate) fn find_relays(&mut self, relays: &[model::Relay], now: Instant) {
        let before: Vec<Identity<'_>> = self
            .granted
            .homes()
            .map(|(name, links)| (name, links.iter().map(String::as_str).collect()))
            .collect();
        let present: Vec<Identity<'_>> = relays.iter().map(identity).collect();
        let names: Vec<(String, String)> = match_up(&before, &present)
            .into_iter()
            .zip(relays)
            .filter_map(|(former, relay)| {
                Some((before.get(former?)?.0.to_owned(), relay.name.clone()))
            })
            .collect();
        let granted = self.renamed(&names, relays);
        self.replace(granted, now);
    }

    /// Takes over rules, and writes down those that are to survive a restart, if any of them
    /// changed. They are in force even if that fails; then it is tried again with the next change.
    pub(crate) fn replace(&mut self, granted: Granted, now: Instant) {
        let is_due = self.unsaved.is_some() || !granted.lasts_like(&self.granted);
        if let Some(ledger) = self.ledger.as_mut().filter(|_| is_due) {
            self.unsaved = ledger.save(&granted, now).err().map(|error| {
                format!("rules that are to survive a restart are not saved: {}", Chain(&error))
            });
            if let Some(warning) = &self.unsaved {
                tracing::warn!("{warning}");
            }
        }
        self.due = granted.next_expiry();
        self.granted = granted;
    }

    /// Takes over rules as [`Rulebook::replace`] does, but not if other ones are to survive a
    /// restart and they cannot be written down.
    fn replace_if_saved(&mut self, granted: Granted, now: Instant) -> Result<(), StateError> {
        if let Some(ledger) = &mut self.ledger
            && !granted.lasts_like(&self.granted)
        {
            ledger.save(&granted, now)?;
            self.unsaved = None;
            self.due = granted.next_expiry();
            self.granted = granted;
            return Ok(());
        }
        self.replace(granted, now);
        Ok(())
    }
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
        self.rulebook.replace_if_saved(granted, now)?;
        self.readjust(&concerned, now);
        // Hosts that were saved may be among the targets now.
        self.recall(now);
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
            self.rulebook.replace_if_saved(granted, now)?;
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
        self.rulebook.replace(granted, now);
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
/// Rules that rest and are shown one by one.
const MOST_WARNINGS: usize = 10;

#[cfg(test)]
mod tests {
    use std::fs;

    use magpie_config::model::{Kind, Method, Rule, RulePrefix};

    use super::*;
    use crate::state::samples::Scratch;

    #[test]
    fn rules_stay_in_force_when_they_cannot_be_saved() {
        let folder = Scratch::new("rulebook-unsaved");
        let place = folder.path().join("place");
        let mut book =
            Rulebook::new(granted("a+b", 1), Some(Ledger::beside(&place.join("x.json"))));
        let relays = [relay("a+b+c", &["a", "b", "c"])];
        let renamed = book.renamed(&[("a+b".to_owned(), "a+b+c".to_owned())], &relays);
        book.replace(renamed.clone(), Instant::ZERO);
        assert_eq!(book.granted(), &renamed);
        let warnings = book.warnings(&all(&relays));
        assert!(warnings.len() == 1 && warnings[0].contains("not saved"), "{warnings:?}");

        // What lasts no longer than the daemon needs no file.
        let mut more = renamed.clone();
        more.add(vec![grant("a+b+c", 2, false)]).unwrap();
        book.replace_if_saved(more.clone(), Instant::ZERO).unwrap();
        assert_eq!(book.granted(), &more);
        let mut lasting = more.clone();
        lasting.add(vec![grant("a+b+c", 3, true)]).unwrap();
        book.replace_if_saved(lasting, Instant::ZERO).unwrap_err();
        assert_eq!(book.granted(), &more);

        // The next change writes down what is behind, even if it is none of what lasts.
        fs::create_dir(&place).unwrap();
        book.replace_if_saved(renamed.clone(), Instant::ZERO).unwrap();
        assert_eq!(book.warnings(&all(&relays)), [""; 0]);
        let read = Ledger::beside(&place.join("x.json")).load(Instant::ZERO);
        assert!(read.granted.lasts_like(&renamed), "{read:?}");
    }

    #[test]
    fn relays_are_found_again_by_their_links() {
        let folder = Scratch::new("rulebook-found");
        let state = folder.path().join("x.json");
        let mut earlier = granted("a+b", 1);
        earlier.note_homes(&[relay("a+b", &["a", "b"])]);
        let mut ledger = Ledger::beside(&state);
        ledger.save(&earlier, Instant::ZERO).unwrap();

        let relays = [relay("x+y", &["x", "y"]), relay("c+b+a", &["c", "b", "a"])];
        let mut book = Rulebook::new(ledger.load(Instant::ZERO).granted, Some(ledger.clone()));
        book.find_relays(&relays, Instant::ZERO);
        assert_eq!(book.granted().for_relay(&relays[1]).len(), 1);
        assert_eq!(book.warnings(&all(&relays)), [""; 0]);
        assert!(ledger.load(Instant::ZERO).granted.lasts_like(book.granted()));
    }

    #[test]
    fn rules_that_apply_nowhere_are_told() {
        let mut lost = granted("gone", 1);
        let mut elsewhere = grant("home", 2, true);
        elsewhere.rule.on = vec!["gone".to_owned()];
        lost.add(vec![elsewhere]).unwrap();
        let relays = [relay("home", &["wan", "lan"])];
        let book = Rulebook::new(lost.clone(), None);
        assert_eq!(
            book.warnings(&all(&relays)),
            [
                "the rule 2001:db8::1/128 deny of keep rests: 'gone' is not configured",
                "the rule 2001:db8::2/128 deny of keep rests: 'home' has no links for it",
            ]
        );
        lost.add((3..40).map(|number| grant("gone", number, true)).collect()).unwrap();
        let warnings = Rulebook::new(lost, None).warnings(&all(&relays));
        assert_eq!(warnings.len(), MOST_WARNINGS + 1);
        assert!(warnings[MOST_WARNINGS].starts_with("29 further rules"), "{warnings:?}");
    }

    fn all(relays: &[model::Relay]) -> Vec<&model::Relay> {
        relays.iter().collect()
    }

    fn granted(relay: &str, number: u16) -> Granted {
        let mut granted = Granted::default();
        granted.add(vec![grant(relay, number, true)]).unwrap();
        granted
    }

    fn grant(relay: &str, number: u16, persist: bool) -> Grant {
        let net = format!("2001:db8::{number:x}/128").parse().unwrap();
        Grant {
            relay: relay.to_owned(),
            owner: "keep".to_owned(),
            rule: Rule::new(RulePrefix::Net(net), Method::Deny),
            term: None,
            persist,
        }
    }

    fn relay(name: &str, links: &[&str]) -> model::Relay {
        let links = links.iter().copied();
        model::Relay { name: name.to_owned(), ..model::Relay::new(Kind::Relay, links) }
    }
}
