//! What is in the device's memory and what is known of the models that could be: facts, gates, measured costs, and the
//! questions every decision asks of them.
//!
//! Nothing in this file decides or sends anything.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::pace::Pace;
use super::server::InstanceKey;
use super::{Asked, Mutant, Planner, Ticket, Waiter};
use crate::id::{ModelId, SessionKey};
use crate::model::Kind;
use crate::provider::{Listed, Settings};
use crate::residency::config::{MAX_WAIT_LEAST, MAX_WAIT_MOST, SWAP_UNMEASURED};
use crate::residency::gate::{Ends, Gate, Newcomers};
pub(super) use crate::residency::record::{Owner, Seen};

/// A model that the provider lists.
#[derive(Debug)]
pub(super) struct Known {
    /// As listed, without instances; what it weighs as last said.
    pub(super) facts: Listed,
    /// How long its last load took here.
    pub(super) load_time: Option<Duration>,
    /// After refusals for memory.
    pub(super) pace: Pace,
}

/// An instance in memory.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) model: ModelId,
    pub(super) kind: Kind,
    pub(super) gate: Arc<Gate>,
    /// Gates of leases that were granted when its provider was elsewhere, or on another instance of that name.
    pub(super) gates_before: Vec<Arc<Gate>>,
    pub(super) state: State,
    pub(super) settings: Settings,
    pub(super) owner: Owner,
    /// A reload would not bring more context.
    pub(super) context_is_final: bool,
    /// A swap waits for its leases to end.
    pub(super) closing: bool,
    /// Those who waited when its load completed and have not been served.
    pub(super) batch: BTreeSet<Ticket>,
    /// After a drain that took too long: not closed again before.
    pub(super) spared_until: Option<Instant>,
    /// A list asked for before this knows nothing of it.
    pub(super) known_since: Asked,
    /// A provider's list may lag behind its own answers until then.
    pub(super) lag_until: Instant,
    /// An exchange was told that it is not there; the list asked for then decides.
    pub(super) doubted: Option<Asked>,
    pub(super) seen: Seen,
    /// What its provider says is left of its time to live, and since when: it said so, or it was used.
    pub(super) ttl: Option<(Duration, Instant)>,
    pub(super) lapse: Option<Lapse>,
}

/// Where an instance is in its life, as far as we know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Ready,
    /// By someone else's doing.
    Loading,
    Unloading,
}

/// The rest of a time to live that somebody gave an instance which the gateway had to displace and brought back: a load
/// cannot name one, so the gateway keeps it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Lapse {
    /// It goes when it has been idle for so long.
    pub(super) rest: Duration,
    /// When it was brought back, or its last exchange ended.
    pub(super) idle_since: Instant,
}

// === impl Held ===

impl Held {
    /// An instance that answers, of which nothing is known but what it is; lists asked for before `known_since` do not
    /// show it.
    pub(super) fn new(model: ModelId, kind: Kind, owner: Owner, known_since: Asked, now: Instant) -> Self {
        Self {
            model,
            kind,
            gate: Arc::new(Gate::new(u32::MAX)),
            gates_before: Vec::new(),
            state: State::Ready,
            settings: Settings::default(),
            owner,
            context_is_final: false,
            closing: false,
            batch: BTreeSet::new(),
            spared_until: None,
            known_since,
            lag_until: now,
            doubted: None,
            seen: Seen::Listed,
            ttl: None,
            lapse: None,
        }
    }

    /// It answers, and nothing speaks against new leases.
    pub(super) fn admits(&self) -> bool {
        self.state == State::Ready && !self.closing && self.doubted.is_none()
    }

    /// What becomes of it is not in our hands at the moment.
    pub(super) fn is_undecided(&self) -> bool {
        self.state == State::Loading || self.doubted.is_some()
    }

    /// What is left of its time to live.
    pub(super) fn rest(&self, now: Instant) -> Option<Duration> {
        let kept = self.lapse.map(|lapse| (lapse.rest, lapse.idle_since));
        let (rest, since) = kept.or(self.ttl)?;
        Some(rest.saturating_sub(now.saturating_duration_since(since)))
    }

    /// When it goes, if it stays idle, for want of more time to live; none where its provider keeps that time.
    pub(super) fn lapses(&self) -> Option<Instant> {
        self.lapse.map(|lapse| lapse.idle_since + lapse.rest)
    }

    /// An exchange with it ended: what it may still be idle for begins anew.
    pub(super) fn was_used(&mut self, now: Instant) {
        self.ttl.iter_mut().for_each(|(_, since)| *since = now);
        self.lapse.iter_mut().for_each(|lapse| lapse.idle_since = now);
    }

    /// It is alone with nobody inside.
    pub(super) fn is_idle(&self) -> bool {
        self.gate.count() == 0 && self.gates_before.iter().all(|gate| gate.count() == 0)
    }

    /// It is another server's from now on, with a gate of its own. Gives the one before where somebody is inside, who is
    /// still counted on: two addresses may be one server's.
    pub(super) fn shut_out(&mut self) -> Option<Arc<Gate>> {
        let gate = std::mem::replace(&mut self.gate, Arc::new(Gate::new(u32::MAX)));
        gate.set(Newcomers::Ask, Ends::Told);
        if gate.count() == 0 {
            return None;
        }
        self.gates_before.push(Arc::clone(&gate));
        Some(gate)
    }
}

// === impl Planner: questions ===

impl Planner {
    /// Instances of a model.
    pub(super) fn of_model(&self, model: &ModelId) -> impl Iterator<Item = (&InstanceKey, &Held)> {
        self.instances.iter().filter(move |(_, held)| held.model == *model)
    }

    /// Some instance of the model is in memory and stays there for now.
    pub(super) fn is_resident(&self, model: &ModelId) -> bool {
        self.of_model(model).any(|(_, held)| held.state != State::Unloading)
    }

    /// The model's kind; language where it is not known.
    pub(super) fn kind_of(&self, model: &ModelId) -> Kind {
        self.models.get(model).map_or(Kind::Language, |known| known.facts.kind)
    }

    /// The instance has context for so many tokens, or no reload would give it more.
    pub(super) fn has_context(&self, held: &Held, tokens: u32) -> bool {
        let Some(context) = held.settings.context_length else { return true };
        let most = self.models.get(&held.model).and_then(|known| known.facts.max_context);
        held.context_is_final || context >= tokens || most.is_some_and(|most| context >= most)
    }

    /// An instance that could serve the waiter now or when one of its leases ends.
    pub(super) fn serves(&self, waiter: &Waiter, held: &Held) -> bool {
        held.admits() && self.would_serve(waiter, held)
    }

    /// An instance that could serve the waiter if its gate were open.
    pub(super) fn would_serve(&self, waiter: &Waiter, held: &Held) -> bool {
        held.model == *waiter.model() && self.has_context(held, waiter.prompt_tokens())
    }

    /// Its server answers, and it can only be served after a load.
    pub(super) fn can_be_loaded_for(&self, waiter: &Waiter) -> bool {
        self.is_served(waiter.model()) && self.needs_load(waiter)
    }

    /// The waiter can only be served after a load.
    pub(super) fn needs_load(&self, waiter: &Waiter) -> bool {
        waiter.wants_it_loaded() && !self.of_model(waiter.model()).any(|(_, held)| self.serves(waiter, held))
    }

    /// The next request of an unfinished turn of another session, or a skill's wish, needs it. Of a provider that leaves no
    /// request can have it any more.
    pub(super) fn is_wanted(&self, model: &ModelId, own: Option<&SessionKey>) -> bool {
        let is_asked_for =
            || self.turns.want(model, self.now, own) || self.hopes.iter().any(|hope| hope.wants(model));
        !self.is_leaving(model) && is_asked_for()
    }

    /// It is in the baseline.
    pub(super) fn is_due(&self, model: &ModelId) -> bool {
        self.baseline.get(model).is_some() && !self.is_leaving(model)
    }

    /// It is kept by a pin.
    pub(super) fn is_pinned(&self, model: &ModelId) -> bool {
        !self.has(Mutant::EvictsPinned) && self.pins.iter().any(|(pinned, _)| pinned == model)
    }

    /// Rule 8: it is left alone after a drain that took too long.
    pub(super) fn is_spared(&self, held: &Held) -> bool {
        held.spared_until.is_some_and(|until| until > self.now)
    }

    /// Rule 5: it may go, for a request of this session, without anyone noticing.
    pub(super) fn is_free(&self, held: &Held, own: Option<&SessionKey>) -> bool {
        let ready = held.state == State::Ready && held.doubted.is_none();
        ready
            && (held.is_idle() || self.has(Mutant::NoDrain))
            && held.batch.is_empty()
            && !self.is_wanted(&held.model, own)
    }

    /// How long a swap to the model is thought to take.
    pub(super) fn swap_cost(&self, model: &ModelId) -> Duration {
        let load = self.models.get(model).and_then(|known| known.load_time);
        load.map_or(SWAP_UNMEASURED, |load| load + self.unload_time.unwrap_or_default())
    }

    /// Rule 6: how long a waiter for the model respects the wants of others.
    pub(super) fn max_wait(&self, model: &ModelId) -> Duration {
        self.config
            .max_wait
            .unwrap_or_else(|| (self.swap_cost(model) * 3).clamp(MAX_WAIT_LEAST, MAX_WAIT_MOST))
    }

    /// Rule 6: the waiter has waited long enough.
    pub(super) fn is_overdue(&self, waiter: &Waiter) -> bool {
        !self.has(Mutant::UnboundedQueueJumping) && self.now >= waiter.since + self.max_wait(waiter.model())
    }

    /// Something waits, runs out, is on its way or must be put back: every end matters.
    fn must_be_told(&self) -> bool {
        !self.queue.is_empty()
            || self.turns.len() > 0
            || !self.hopes.is_empty()
            || self.shutdown.is_some()
            || self.lanes().iter().any(|lane| self.lane(*lane).swap.is_some() || !self.is_at_rest(*lane))
    }

    /// Opens and closes the hot path: a model of the baseline whose gate is open is granted by the gate alone, and its
    /// ends are told only while someone cares.
    pub(super) fn set_gates(&mut self) {
        let ends = if self.must_be_told() { Ends::Told } else { Ends::Quiet };
        for (key, held) in &self.instances {
            let waited_for = || self.queue.iter().any(|waiter| *waiter.model() == held.model);
            let open = held.admits()
                && self.is_up(key.provider)
                && self.shutdown.is_none()
                && (self.is_due(&held.model) || self.looks_after_itself(key.provider))
                && !waited_for();
            let leaves = self.leaves(key.provider);
            let open = open && !leaves;
            let ends = if held.lapse.is_some() || leaves { Ends::Told } else { ends };
            held.gate.set(if open { Newcomers::Enter } else { Newcomers::Ask }, ends);
        }
    }
}
