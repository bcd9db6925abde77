//! Claims: the queue, its bounds, who is served next, and who is refused before any swap begins (rules 1, 4, 7).
//!
//! Waiters stand in one line by age; each is served by the first instance of its model that admits it. Nobody is
//! served past an older waiter for the same instance.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::baseline::{Due, Entry, Place, surplus};
use super::choose::Choice;
use super::room::Lane;
use super::server::{InstanceKey, LinkState};
use super::{AGES, Claim, Effect, Grant, Mutant, Phase, Planner, Ticket, Timings, Waiter, Want};
use crate::id::{ModelId, RequestId, SessionKey};
use crate::residency::claim::{Reason, Refused, Standing};
use crate::residency::lease::{End, Ended};
use crate::turn::verdict::Swap as MaySwap;

/// When to ask a provider again that did not answer.
pub(super) const RETRY_DOWN: Duration = Duration::from_secs(5);

impl Planner {
    /// A claim arrives: admission now, everything else while settling.
    pub(super) fn on_claimed(&mut self, ticket: Ticket, claim: Claim) {
        if let Some(refused) = self.inadmissible(&claim.model, Some(&claim.session)) {
            self.effects.push(Effect::Refuse(ticket, refused));
            return;
        }
        let since = self.age_of(&claim.request);
        self.enqueue(ticket, since, Want::Lease(claim));
    }

    /// Why a newcomer is not even let into the queue.
    pub(super) fn inadmissible(&self, model: &ModelId, session: Option<&SessionKey>) -> Option<Refused> {
        if self.shutdown.is_some() {
            return Some(Refused::new(Reason::ShuttingDown));
        }
        if self.is_leaving(model) {
            return Some(Refused::new(Reason::UnknownModel));
        }
        match self.link_of(model) {
            Some(LinkState::Down(message)) => {
                return Some(Refused::retry(Reason::ProviderDown { message: message.clone() }, RETRY_DOWN));
            }
            None => return Some(Refused::new(Reason::UnknownModel)),
            Some(LinkState::Up) if !self.models.contains_key(model) => {
                return Some(Refused::new(Reason::UnknownModel));
            }
            Some(LinkState::Up | LinkState::Unknown) => {}
        }
        let of_session = |waiter: &&Waiter| {
            waiter.claim().is_some_and(|claim| session.is_some_and(|session| claim.session == *session))
        };
        let is_full = self.queue.len() >= self.config.max_queue
            || self.queue.iter().filter(of_session).count() >= self.config.max_queue_per_session;
        is_full.then(|| Refused::retry(Reason::QueueFull, self.swap_cost(model)))
    }

    /// Takes a place in the line, by age.
    pub(super) fn enqueue(&mut self, ticket: Ticket, since: Instant, want: Want) {
        let waiter = Waiter {
            ticket,
            since,
            arrived: self.now,
            want,
            blocked: None,
            told: None,
            timings: Timings::default(),
        };
        let place = self.queue.partition_point(|it| (it.since, it.ticket) <= (since, ticket));
        self.queue.insert(place, waiter);
        self.published_is_stale = true;
    }

    /// A request keeps the age of its first claim.
    fn age_of(&self, request: &RequestId) -> Instant {
        let remembered = self.ages.iter().find(|(it, _)| it == request);
        remembered.map_or(self.now, |(_, since)| *since)
    }

    fn remember_age(&mut self, request: RequestId, since: Instant) {
        self.ages.retain(|(it, _)| *it != request);
        if self.ages.len() >= AGES {
            self.ages.pop_front();
        }
        self.ages.push_back((request, since));
    }

    /// A client left the queue, or was refused or served.
    pub(super) fn forget_waiter(&mut self, ticket: Ticket) {
        let _ = self.take_waiter(ticket);
    }

    pub(super) fn take_waiter(&mut self, ticket: Ticket) -> Option<Waiter> {
        let place = self.queue.iter().position(|waiter| waiter.ticket == ticket)?;
        for held in self.instances.values_mut() {
            held.batch.remove(&ticket);
        }
        self.changed = true;
        self.published_is_stale = true;
        Some(self.queue.remove(place))
    }

    /// Sends a waiter away.
    pub(super) fn refuse(&mut self, ticket: Ticket, refused: Refused) {
        let Some(waiter) = self.take_waiter(ticket) else { return };
        match waiter.want {
            Want::Lease(claim) => {
                self.remember_age(claim.request, waiter.since);
                self.effects.push(Effect::Refuse(ticket, refused));
            }
            Want::Wish(wish) => self.wish_failed(ticket, wish, waiter.told.is_some(), refused),
        }
    }

    /// Sends everyone away whom `which` names.
    pub(super) fn refuse_all(&mut self, refused: &Refused, which: impl Fn(&Self, &Waiter) -> bool) {
        let tickets: Vec<Ticket> =
            self.queue.iter().filter(|waiter| which(self, waiter)).map(|waiter| waiter.ticket).collect();
        for ticket in tickets {
            self.refuse(ticket, refused.clone());
        }
    }

    /// Serves whoever can be served now.
    pub(super) fn serve(&mut self) {
        self.fulfil_unloads();
        if self.shutdown.is_some() {
            return;
        }
        let is_served = |waiter: &&Waiter| self.is_served(waiter.model());
        let tickets: Vec<Ticket> = self.queue.iter().filter(is_served).map(|waiter| waiter.ticket).collect();
        for ticket in tickets {
            let Some(waiter) = self.queue.iter().find(|waiter| waiter.ticket == ticket) else { continue };
            if !waiter.wants_it_loaded() {
                continue;
            }
            let needs_room = waiter.claim().is_some();
            let instance = self
                .of_model(waiter.model())
                .find(|(_, held)| self.serves(waiter, held) && (!needs_room || held.gate.has_room()))
                .map(|(id, _)| id.clone());
            if let Some(instance) = instance {
                self.serve_with(ticket, &instance);
            }
        }
    }

    fn serve_with(&mut self, ticket: Ticket, instance: &InstanceKey) {
        let Some(waiter) = self.take_waiter(ticket) else { return };
        match waiter.want {
            Want::Lease(claim) => self.grant(ticket, waiter.arrived, waiter.timings, &claim, instance),
            Want::Wish(wish) => {
                if wish.is_a_persons() {
                    self.choose(&wish.model, instance, Place::Last);
                }
                self.pin_as_wished(&wish);
                if wish.expects_answer(waiter.told.is_some()) {
                    self.effects.push(Effect::Answer(ticket, Ok(Standing::Done)));
                }
            }
        }
    }

    fn grant(
        &mut self,
        ticket: Ticket,
        arrived: Instant,
        timings: Timings,
        claim: &Claim,
        instance: &InstanceKey,
    ) {
        let Some(held) = self.instances.get(instance) else { return };
        held.gate.admit();
        let waited = self.now.saturating_duration_since(arrived);
        let grant = Grant {
            gate: Arc::clone(&held.gate),
            instance: instance.id.clone(),
            timings: Timings { queued: (!waited.is_zero()).then_some(waited), ..timings },
        };
        self.turns.granted(self.now, &claim.session, &claim.model, claim.purpose, &self.config);
        if claim.purpose.joins_baseline()
            || (claim.purpose.is_routed() && self.has(Mutant::RouteChangesBaseline))
        {
            let place = if timings.loaded.is_some() { Place::Last } else { Place::Kept };
            self.choose(&claim.model, instance, place);
        }
        self.ages.retain(|(request, _)| *request != claim.request);
        self.effects.push(Effect::Grant(ticket, grant));
    }

    /// The model joins the baseline with this instance's settings, and what it displaced leaves it.
    pub(super) fn choose(&mut self, model: &ModelId, instance: &InstanceKey, place: Place) {
        let Some(held) = self.instances.get(instance) else { return };
        // What is chosen on a provider that leaves is chosen for whoever has its address next, or for nobody.
        let is_nobodys = self.leaves(instance.provider) && self.heir_of(instance.provider).is_none();
        if self.looks_after_itself(instance.provider) || is_nobodys {
            return;
        }
        let (kind, mut settings) = (held.kind, held.settings);
        if place == Place::Last {
            // It is due for good now.
            self.instances
                .values_mut()
                .filter(|held| held.model == *model)
                .for_each(|held| held.lapse = None);
        }
        if self.of_model(model).count() > 1 {
            let contexts = self.of_model(model).filter_map(|(_, held)| held.settings.context_length);
            settings.context_length = contexts.max().or(settings.context_length);
        }
        if self.baseline.choose(Due { model: model.clone(), kind, settings, ttl: None }, place) {
            self.trim_baseline(self.lane_of(kind));
        }
    }

    /// What no longer fits beside what was chosen after it leaves the baseline. A provider that does not answer keeps
    /// what is due on it, whatever is chosen meanwhile: nobody has displaced that.
    pub(super) fn trim_baseline(&mut self, lane: Lane) {
        let counts = |model: &ModelId| self.is_served(model) && !self.is_leaving(model);
        let shares = |due: &&Due| self.lane_of(due.kind) == lane && counts(&due.model);
        let entry = |due| Entry { due, is_resident: self.is_resident(&due.model) };
        let entries: Vec<Entry<'_>> = self.baseline.iter().filter(shares).map(entry).collect();
        let weight = |entry: &Entry<'_>| self.weight(&entry.due.model, entry.due.kind);
        let fits = |entries: &[Entry<'_>]| self.fit(&entries.iter().map(weight).collect::<Vec<_>>());
        for gone in surplus(&entries, fits) {
            self.baseline.remove(&gone);
        }
    }

    /// An exchange ended: it is counted out, and its turn goes on or is over.
    pub(super) fn on_ended(&mut self, ended: &Ended) {
        if self.has(Mutant::LostLease) && ended.end == End::Cancelled {
            return;
        }
        ended.gate.leave();
        let now = self.now;
        let of_it = self.instances.values_mut().filter(|held| Arc::ptr_eq(&held.gate, &ended.gate));
        of_it.for_each(|held| held.was_used(now));
        if self.shutdown.is_none() {
            self.turns.ended(self.now, ended, &self.config);
        }
        if ended.end == End::Gone {
            self.doubt(&ended.model, &ended.instance, &ended.gate);
        }
    }

    /// Sends away, before any swap, those whom no swap may or can help.
    pub(super) fn refuse_hopeless(&mut self) {
        let mut refusals = Vec::new();
        for waiter in &self.queue {
            let is_served = self.is_served(waiter.model());
            let refused = if is_served { self.hopeless(waiter) } else { self.waits_in_vain(waiter) };
            if let Some(refused) = refused {
                refusals.push((waiter.ticket, refused));
            }
        }
        for (ticket, refused) in refusals {
            self.refuse(ticket, refused);
        }
    }

    fn hopeless(&self, waiter: &Waiter) -> Option<Refused> {
        let Some(known) = self.models.get(waiter.model()) else {
            return Some(Refused::new(Reason::UnknownModel));
        };
        if !waiter.wants_it_loaded() {
            return self.hopeless_unload(waiter);
        }
        if !self.needs_load(waiter) || self.is_under_way(waiter) {
            return None;
        }
        if let Some(refused) = known.pace.refusal(self.now) {
            return Some(refused);
        }
        let may = waiter.claim().map_or(MaySwap::Wait, |claim| claim.purpose.swap());
        let choice = self.choose_victims(waiter);
        let is_next = || self.is_next(waiter);
        match (may, choice) {
            (_, Choice::Pinned) => Some(Refused::new(Reason::WantsPinned)),
            (MaySwap::Wait, Choice::Spared(until)) if self.is_overdue(waiter) => {
                Some(Refused::retry(Reason::DrainTimeout, until.saturating_duration_since(self.now)))
            }
            (MaySwap::Wait, _) => None,
            (MaySwap::Never, Choice::Free(victims)) if victims.is_empty() && is_next() => None,
            (MaySwap::IfIdle, Choice::Free(victims))
                if is_next() && !self.others_wait_for(&victims, waiter) =>
            {
                None
            }
            (MaySwap::Never | MaySwap::IfIdle, _) => Some(Refused::new(Reason::WouldSwap)),
        }
    }

    /// No swap is under way in its lane and nobody older needs one: a swap for it can begin at once.
    fn is_next(&self, waiter: &Waiter) -> bool {
        let lane = self.lane_for(waiter.model());
        let older = self.queue.iter().take_while(|it| it.ticket != waiter.ticket);
        let mut in_lane = older.filter(|it| self.lane_for(it.model()) == lane && self.can_be_loaded_for(it));
        self.lane(lane).swap.is_none() && in_lane.next().is_none()
    }

    fn others_wait_for(&self, victims: &[InstanceKey], waiter: &Waiter) -> bool {
        let mut others = self.queue.iter().filter(|it| it.ticket != waiter.ticket);
        let models: Vec<&ModelId> =
            victims.iter().filter_map(|key| self.instances.get(key)).map(|held| &held.model).collect();
        others.any(|it| models.contains(&it.model()))
    }

    /// Tells those who wait what has changed for them.
    pub(super) fn tell_waiters(&mut self) {
        let phases: Vec<(Phase, Instant)> = self.queue.iter().map(|waiter| self.phase_of(waiter)).collect();
        for (waiter, (phase, since)) in self.queue.iter_mut().zip(phases) {
            if waiter.told != Some(phase) {
                waiter.told = Some(phase);
                if matches!(waiter.want, Want::Lease(_)) {
                    self.effects.push(Effect::Tell(waiter.ticket, phase, since));
                }
            }
        }
    }
}
