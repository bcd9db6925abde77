//! Wishes: loads and unloads asked for by people and skills without a request to serve (rule 3).
//!
//! A wish waits in the same line as claims and may do no more than they: it drains, it is refused, it gets overdue. A
//! person's changes the baseline; a skill's is remembered for a while as a want or a veto, and never does.

use std::time::Instant;

use super::choose::Choice;
use super::memory::{Held, Owner};
use super::turns::Turns;
use super::{Effect, Notice, Planner, SkillName, Ticket, Waiter, Want, Wish};
use crate::id::{ModelId, SessionKey};
use crate::residency::claim::{Action, Pin, Reason, Refused, Standing, WhenAnswered, Whose, Wisher};

/// What is left of a skill's wish when it has been fulfilled: it counts for a while.
#[derive(Debug)]
pub(super) struct Hope {
    model: ModelId,
    skill: SkillName,
    sense: Sense,
    /// The turn it was made for; it lasts as long as that.
    session: Option<SessionKey>,
    /// It lasts until then at least.
    pub(super) until: Instant,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sense {
    Want,
    Veto,
}

// === impl Planner ===

impl Planner {
    /// Somebody wishes.
    pub(super) fn on_wished(&mut self, ticket: Ticket, wish: Wish) {
        if let Some(refused) = self.inadmissible(&wish.model, None) {
            self.effects.push(Effect::Answer(ticket, Err(refused)));
            return;
        }
        let model = &wish.model;
        if self.is_looked_after(model) && wish.is_unload() {
            self.effects.push(Effect::Answer(ticket, Err(Refused::new(Reason::NotOurs))));
            return;
        }
        match (&wish.by, wish.action) {
            (Wisher::Person, Action::Load { .. }) => self.hopes.retain(|hope| !hope.vetoes(model)),
            (Wisher::Person, Action::Unload { .. }) => {
                self.hopes.retain(|hope| !hope.wants(model));
                self.pins.retain(|(pinned, _)| pinned != model);
                self.baseline.remove(model);
            }
            (Wisher::Skill { skill, session }, action) => {
                self.remember(model, skill, session.as_ref(), action)
            }
        }
        self.enqueue(ticket, self.now, Want::Wish(wish));
    }

    fn remember(&mut self, model: &ModelId, skill: &SkillName, session: Option<&SessionKey>, action: Action) {
        self.hopes.retain(|hope| hope.model != *model || hope.skill != *skill);
        self.pins.retain(|(pinned, by)| pinned != model || by.as_ref() != Some(skill));
        let sense = match action {
            Action::Load { .. } => Sense::Want,
            Action::Unload { .. } => Sense::Veto,
        };
        self.hopes.push(Hope {
            model: model.clone(),
            skill: skill.clone(),
            sense,
            session: session.cloned(),
            until: self.now + self.config.wish_lasts,
        });
    }

    /// A wish to load is fulfilled: from now on its pin holds.
    pub(super) fn pin_as_wished(&mut self, wish: &Wish) {
        let by = match &wish.by {
            Wisher::Person => None,
            Wisher::Skill { skill, .. } => Some(skill.clone()),
        };
        let pin = (wish.model.clone(), by);
        if matches!(wish.action, Action::Load { pin: Pin::Pinned, .. }) && !self.pins.contains(&pin) {
            self.pins.push(pin);
        }
    }

    /// A skill is gone: its wishes and pins end.
    pub(super) fn on_skill_gone(&mut self, skill: &SkillName) {
        self.hopes.retain(|hope| hope.skill != *skill);
        self.pins.retain(|(_, by)| by.as_ref() != Some(skill));
    }

    /// Says how wishes stand that have not been answered yet.
    pub(super) fn answer_wishes(&mut self) {
        let is_due = |waiter: &&Waiter| {
            let is_new = waiter.told.is_none();
            matches!(&waiter.want, Want::Wish(wish) if is_new && wish.answer == WhenAnswered::AtOnce)
        };
        let answers: Vec<Effect> = self
            .queue
            .iter()
            .filter(is_due)
            .map(|waiter| {
                let started = self.is_under_way(waiter);
                let standing = if started { Standing::Started } else { Standing::Queued };
                Effect::Answer(waiter.ticket, Ok(standing))
            })
            .collect();
        self.effects.extend(answers);
    }

    /// Wishes to unload what is not there are fulfilled.
    pub(super) fn fulfil_unloads(&mut self) {
        let is_fulfilled = |waiter: &&Waiter| match &waiter.want {
            Want::Wish(Wish { model, action: Action::Unload { whose }, .. }) => {
                // Of a provider that was not heard of yet it is not known what is there.
                let is_known = self.is_served(model) && !self.is_looked_after(model);
                is_known && !self.of_model(model).any(|(_, held)| whose.means(held))
            }
            Want::Wish(_) | Want::Lease(_) => false,
        };
        let fulfilled: Vec<Ticket> =
            self.queue.iter().filter(is_fulfilled).map(|waiter| waiter.ticket).collect();
        for ticket in fulfilled {
            self.unload_wish_done(ticket);
        }
    }

    /// The wish is fulfilled.
    pub(super) fn unload_wish_done(&mut self, ticket: Ticket) {
        let Some(waiter) = self.take_waiter(ticket) else { return };
        if let Want::Wish(wish) = waiter.want
            && wish.expects_answer(waiter.told.is_some())
        {
            self.effects.push(Effect::Answer(ticket, Ok(Standing::Done)));
        }
    }

    /// Why waiting will not unload it.
    pub(super) fn hopeless_unload(&self, waiter: &Waiter) -> Option<Refused> {
        if self.is_under_way(waiter) {
            return None;
        }
        if self.is_looked_after(waiter.model()) {
            return Some(Refused::new(Reason::NotOurs));
        }
        match self.choose_victims(waiter) {
            Choice::Pinned => Some(Refused::new(Reason::WantsPinned)),
            Choice::Spared(until) if self.is_overdue(waiter) => {
                Some(Refused::retry(Reason::DrainTimeout, until.saturating_duration_since(self.now)))
            }
            _ => None,
        }
    }

    /// Whoever wished hears that it failed.
    pub(super) fn wish_failed(&mut self, ticket: Ticket, wish: Wish, was_answered: bool, refused: Refused) {
        if wish.expects_answer(was_answered) {
            self.effects.push(Effect::Answer(ticket, Err(refused)));
        } else {
            self.effects.push(Effect::Notice(Notice::WishFailed(wish, refused.reason)));
        }
    }
}

// === impl Wish ===

impl Wish {
    pub(super) fn context_length(&self) -> Option<u32> {
        match self.action {
            Action::Load { context_length, .. } => context_length,
            Action::Unload { .. } => None,
        }
    }

    pub(in crate::residency) fn is_unload(&self) -> bool {
        matches!(self.action, Action::Unload { .. })
    }

    pub(super) fn is_a_persons(&self) -> bool {
        self.by == Wisher::Person
    }

    /// Somebody still listens for what becomes of it.
    pub(super) fn expects_answer(&self, was_answered: bool) -> bool {
        self.answer == WhenAnswered::WhenDone || !was_answered
    }
}

// === impl Whose ===

impl Whose {
    pub(super) fn means(self, held: &Held) -> bool {
        self == Self::Everyones || held.owner == Owner::Gateway
    }
}

// === impl Hope ===

impl Hope {
    pub(super) fn wants(&self, model: &ModelId) -> bool {
        self.sense == Sense::Want && self.model == *model
    }

    pub(super) fn vetoes(&self, model: &ModelId) -> bool {
        self.sense == Sense::Veto && self.model == *model
    }

    pub(super) fn lasts(&self, now: Instant, turns: &Turns) -> bool {
        now < self.until || self.session.as_ref().is_some_and(|session| turns.has(session))
    }
}
