//! Unfinished turns, one per session at most: which model each is on, for how long its next request is expected, and
//! for how long its route holds.
//!
//! A want keeps a model from being displaced for a moment; a hold keeps the baseline from being put back. Neither
//! blocks a waiter that has waited long enough.

use std::collections::BTreeMap;
use std::time::Instant;

use super::Config;
use crate::id::{ModelId, SessionKey};
use crate::residency::claim::Purpose;
use crate::residency::lease::{End, Ended, TurnAfter};

/// The unfinished turns of all sessions.
#[derive(Debug, Default)]
pub(super) struct Turns(BTreeMap<SessionKey, Turn>);

#[derive(Debug)]
struct Turn {
    model: ModelId,
    /// A request of it runs; its times begin when that ends.
    leases: u32,
    /// Its last complete answer called tools.
    continues: bool,
    wanted_until: Option<Instant>,
    held_until: Option<Instant>,
}

// === impl Turns ===

impl Turns {
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// A claim that was not granted by the gate alone now holds a lease.
    pub(super) fn granted(
        &mut self,
        now: Instant,
        session: &SessionKey,
        model: &ModelId,
        purpose: Purpose,
        config: &Config,
    ) {
        if !purpose.is_turn() {
            return;
        }
        if !purpose.is_routed() {
            // A plain request ends a route's hold on another model, and goes on with a turn on its own.
            self.0.retain(|key, turn| key != session || turn.model == *model);
            if let Some(turn) = self.0.get_mut(session) {
                turn.leases += 1;
            }
            return;
        }
        let held_until = Some(now + config.turn_timeout);
        let turn = self.0.entry(session.clone()).or_insert_with(|| Turn::on(model));
        if turn.model != *model {
            *turn = Turn::on(model);
        }
        turn.leases += 1;
        turn.held_until = held_until;
    }

    /// An exchange ended.
    pub(super) fn ended(&mut self, now: Instant, ended: &Ended, config: &Config) {
        if !ended.purpose.is_turn() {
            return;
        }
        let of_this_model = |turn: &&mut Turn| turn.model == ended.model;
        if let Some(turn) = self.0.get_mut(&ended.session).filter(of_this_model) {
            turn.leases = turn.leases.saturating_sub(1);
        }
        match ended.end {
            End::Answered { turn: TurnAfter::Finished } => {
                self.0.retain(|session, turn| *session != ended.session || turn.model != ended.model);
            }
            End::Answered { turn: TurnAfter::Unfinished } => {
                let turn = self.0.entry(ended.session.clone()).or_insert_with(|| Turn::on(&ended.model));
                if turn.model != ended.model {
                    if turn.held_until.is_some() {
                        return;
                    }
                    *turn = Turn::on(&ended.model);
                }
                turn.continues = true;
                turn.wanted_until = Some(now + config.turn_grace);
                let is_held = turn.held_until.is_some() || ended.purpose.is_routed();
                turn.held_until = is_held.then_some(now + config.turn_timeout);
            }
            End::Failed | End::Cancelled | End::Gone => {
                if ended.purpose.is_routed() {
                    // A route that was granted by the gate alone holds from here on.
                    let turn = self.0.entry(ended.session.clone()).or_insert_with(|| Turn::on(&ended.model));
                    turn.held_until.get_or_insert(now);
                }
                let Some(turn) = self.0.get_mut(&ended.session).filter(of_this_model) else { return };
                turn.wanted_until = turn.continues.then_some(now + config.turn_grace);
                turn.held_until = turn.held_until.map(|_| now + config.error_grace);
            }
        }
    }

    /// The session's next turn began.
    pub(super) fn over(&mut self, session: &SessionKey) {
        self.0.remove(session);
    }

    /// Every turn is over.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// The session has an unfinished turn.
    pub(super) fn has(&self, session: &SessionKey) -> bool {
        self.0.contains_key(session)
    }

    /// Some turn's next request for the model is expected any moment; a session's own turn does not stand in its way.
    pub(super) fn want(&self, model: &ModelId, now: Instant, own: Option<&SessionKey>) -> bool {
        let lasts = |turn: &Turn| turn.wanted_until.is_some_and(|until| until > now);
        self.0.iter().any(|(session, turn)| turn.model == *model && lasts(turn) && Some(session) != own)
    }

    /// Some turn's route holds the model.
    pub(super) fn hold(&self, model: &ModelId, now: Instant) -> bool {
        self.0.values().any(|turn| turn.model == *model && turn.held_until.is_some_and(|until| until > now))
    }

    /// Forgets turns that neither want nor hold anything any more.
    pub(super) fn expire(&mut self, now: Instant) {
        let lasts = |until: Option<Instant>| until.is_some_and(|until| until > now);
        self.0.retain(|_, turn| turn.leases > 0 || lasts(turn.wanted_until) || lasts(turn.held_until));
    }

    /// When the next want or hold ends.
    pub(super) fn wakes(&self) -> impl Iterator<Item = Instant> {
        self.0.values().flat_map(|turn| [turn.wanted_until, turn.held_until]).flatten()
    }
}

// === impl Turn ===

impl Turn {
    fn on(model: &ModelId) -> Self {
        Self { model: model.clone(), leases: 0, continues: false, wanted_until: None, held_until: None }
    }
}
