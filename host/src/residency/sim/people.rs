//! Who asks: sessions with turns and tool loops, people with their hands on the provider, and mishaps.

use super::*;
use crate::id::{RequestId, SkillName};
use crate::provider::Settings;
use crate::residency::ProviderState;
use crate::residency::claim::{
    Action, Pin, Progress, Reason, Refused, Standing, WhenAnswered, Whose, Wisher,
};
use crate::turn::verdict::{Afterwards, Swap};

/// One conversation.
pub(super) struct Session {
    pub(super) key: SessionKey,
    /// Its requests all go to one model, overlapping.
    is_hog: bool,
    turn: Option<TurnPlan>,
    /// Claims and leases it has.
    busy: u32,
}

/// A turn in the making.
#[derive(Clone)]
struct TurnPlan {
    model: ModelId,
    purpose: Purpose,
    /// Requests still to come in its tool loop.
    left: u32,
    request: u64,
    prompt_tokens: u32,
}

impl Session {
    /// Its requests are gone with the gateway. Says whether it comes again by itself.
    pub(super) fn begin_anew(&mut self) -> bool {
        (self.busy, self.turn) = (0, None);
        self.is_hog
    }

    pub(super) fn gave_up(&mut self) {
        self.busy = self.busy.saturating_sub(1);
        self.turn = None;
    }
}

impl Sim {
    pub(super) fn populate(&mut self) {
        let count = self.rng.random_range(3..8);
        for index in 0..count {
            let is_hog = self.profile == Profile::Hog && index < 2;
            let key = SessionKey::new(format!("s{index}"));
            self.sessions.push(Session { key, is_hog, turn: None, busy: 0 });
            let delay = self.millis(0..4000);
            self.schedule(delay, Happening::Arrive(index));
        }
        let (wishes, mishaps) = match self.profile {
            Profile::Routes | Profile::Hog => (0, 0),
            Profile::Mixed | Profile::Drains => (8, 0),
            Profile::Faults => (5, 12),
            Profile::Outages => (0, 8),
            Profile::Moves => (0, 0),
        };
        self.names_wander = self.rng.random_bool(0.5);
        let moves = if self.profile == Profile::Moves { 40 } else { 0 };
        for _ in 0..moves {
            let delay = self.millis(1000..400_000);
            self.schedule(delay, Happening::Moved);
        }
        // What is on its way from one name to another when the gateway ends is found by its next life in memory, or not.
        self.crashes = self.rng.random_bool(0.4) && self.profile != Profile::Moves;
        let crashes = if self.crashes { self.rng.random_range(0..4) } else { 0 };
        for _ in 0..crashes {
            let delay = self.millis(1..350_000);
            self.schedule(delay, Happening::GatewayCrash);
        }
        for _ in 0..self.rng.random_range(0..4) {
            let delay = self.millis(1..400_000);
            self.schedule(delay, Happening::Reconfigured);
        }
        for _ in 0..wishes {
            let delay = self.millis(1000..400_000);
            self.schedule(delay, Happening::Wish);
        }
        for _ in 0..mishaps {
            let delay = self.millis(1000..400_000);
            let happening = match self.rng.random_range(0..8) {
                _ if self.profile == Profile::Outages => Happening::OutageBegins,
                0..3 => Happening::SomeoneLoads,
                3 => Happening::SomeoneUnloads,
                4 => Happening::ServerReplaced(1),
                5..7 => Happening::Crash,
                _ => Happening::OutageBegins,
            };
            self.schedule(delay, happening);
        }
    }

    fn some_model(&mut self) -> ModelId {
        let model = self.world.some_language(&mut self.rng);
        self.called(&model)
    }

    fn some_embedding(&mut self) -> ModelId {
        let model = self.world.some_embedding(&mut self.rng);
        self.called(&model)
    }

    /// What people call it; of a server that is not configured they know nothing.
    fn called(&self, model: &ModelId) -> ModelId {
        self.world.called(model).unwrap_or_else(|| self.world.called(&world::first()).unwrap())
    }

    fn plan_turn(&mut self, session: usize) -> TurnPlan {
        let first = self.called(&world::first());
        let is_routes =
            matches!(self.profile, Profile::Routes | Profile::Hog | Profile::Outages | Profile::Moves);
        let swap = match self.rng.random_range(0..10) {
            0 => Swap::Never,
            1 => Swap::IfIdle,
            _ => Swap::Wait,
        };
        let (model, purpose) = match self.rng.random_range(0..10) {
            _ if self.sessions[session].is_hog => (first, Purpose::Plain),
            2 if self.rng.random_bool(0.5) => (World::some_cloud(&mut self.rng), Purpose::Plain),
            0..3 if is_routes => (first, Purpose::Plain),
            0..3 => (self.some_model(), Purpose::Plain),
            3 => (self.some_model(), Purpose::SideCall { swap }),
            4 if !is_routes => (self.some_model(), Purpose::Routed { swap, afterwards: Afterwards::Keep }),
            5 if !is_routes => (self.some_embedding(), Purpose::Plain),
            6 => (self.some_embedding(), Purpose::SideCall { swap }),
            7 if self.rng.random_bool(0.3) => {
                (World::some_cloud(&mut self.rng), Purpose::Routed { swap, afterwards: Afterwards::Restore })
            }
            _ => (self.some_model(), Purpose::Routed { swap, afterwards: Afterwards::Restore }),
        };
        let left = if purpose.is_turn() { self.rng.random_range(0..4) } else { 0 };
        let is_long = !is_routes && self.rng.random_bool(0.1);
        let prompt_tokens = if is_long { 12_000 } else { 500 };
        self.next += 1;
        TurnPlan { model, purpose, left, request: self.next, prompt_tokens }
    }

    /// Begins a turn or goes on with one.
    pub(super) fn session_acts(&mut self, session: usize) {
        if self.now >= self.ends {
            return;
        }
        let plan = match self.sessions[session].turn.clone() {
            Some(plan) => plan,
            None => {
                let plan = self.plan_turn(session);
                let key = self.sessions[session].key.clone();
                if plan.purpose.is_turn() {
                    self.holds.remove(&key);
                    self.feed(Event::TurnOver(key));
                }
                self.sessions[session].turn = Some(plan.clone());
                plan
            }
        };
        if self.sessions[session].is_hog {
            let delay = self.millis(200..1500);
            self.schedule(delay, Happening::Arrive(session));
            if self.sessions[session].busy > 4 {
                return;
            }
        }
        self.claim(session, &plan, None);
    }

    /// A side call is followed by another of the same work, often on the same model.
    pub(super) fn session_follows(&mut self, session: usize, ended: Ended) {
        let again = self.rng.random_bool(0.5);
        let model = if again { ended.model.clone() } else { self.some_model() };
        self.next += 1;
        let (request, purpose) = (self.next, ended.purpose);
        let plan = TurnPlan { model, purpose, left: 0, request, prompt_tokens: 500 };
        let it = &mut self.sessions[session];
        it.busy = it.busy.saturating_sub(1);
        it.turn = Some(plan.clone());
        self.claim(session, &plan, Some(ended));
    }

    fn claim(&mut self, session: usize, plan: &TurnPlan, before: Option<Ended>) {
        self.sessions[session].busy += 1;
        let claim = Claim {
            model: plan.model.clone(),
            purpose: plan.purpose,
            session: self.sessions[session].key.clone(),
            request: RequestId::new(format!("r{}", plan.request)),
            prompt_tokens: plan.prompt_tokens,
            output_tokens: 500,
            context_length: None,
            progress: Arc::new(Progress::default()),
        };
        if let Some(door) = self
            .planner
            .doors()
            .remove(&claim.model)
            .unwrap_or_default()
            .into_iter()
            .find(|door| claim.prompt_tokens <= door.serves_up_to && door.gate.try_enter())
        {
            self.begin_lease(session, door.gate, door.instance, claim);
            if let Some(before) = before {
                self.feed(Event::Ended(before));
            }
            return;
        }
        self.next += 1;
        let ticket = Ticket(self.next);
        self.waiting.insert(ticket, Waiting { session, since: self.now, claim: claim.clone() });
        if self.rng.random_bool(0.08) {
            let delay = self.millis(1..20_000);
            self.schedule(delay, Happening::Vanish(ticket));
        }
        self.feed(match before {
            Some(ended) => Event::ClaimedAfter(ended, ticket, claim),
            None => Event::Claimed(ticket, claim),
        });
    }

    pub(super) fn granted(&mut self, ticket: Ticket, gate: Arc<Gate>, instance: InstanceId) {
        let waiting = self.waiting.remove(&ticket);
        self.require(waiting.is_some(), "only those who wait are granted");
        let Some(waiting) = waiting else { return };
        self.check_wait(waiting.since);
        let is_clouds = waiting.claim.model.provider() == world::PROVIDERS[world::CLOUD];
        if waiting.claim.purpose.joins_baseline() && !self.is_first(&waiting.claim.model) && !is_clouds {
            self.baseline_moved = true;
        }
        self.begin_lease(waiting.session, gate, instance, waiting.claim);
    }

    pub(super) fn is_first(&self, model: &ModelId) -> bool {
        self.world.home(model) == world::first()
    }

    fn begin_lease(&mut self, session: usize, gate: Arc<Gate>, instance: InstanceId, claim: Claim) {
        let key = self.next;
        self.next += 1;
        let left = self.sessions[session].turn.as_ref().map_or(0, |plan| plan.left);
        let end = match self.rng.random_range(0..20) {
            0 => End::Cancelled,
            1 => End::Failed,
            _ if left > 0 => End::Answered { turn: TurnAfter::Unfinished },
            _ => End::Answered { turn: TurnAfter::Finished },
        };
        if claim.purpose.is_routed() {
            self.holds
                .insert(claim.session.clone(), (claim.model.clone(), self.now + self.config.turn_timeout));
        } else if claim.purpose.is_turn() {
            self.holds.remove(&claim.session);
        }
        let provider = self.planner.index_of(claim.model.provider()).unwrap();
        let home = self.world.home(&claim.model);
        let on = self.world.life_of(&home, &instance);
        let key_of = InstanceKey { provider, id: instance };
        let lease =
            LiveLease { session, gate, key: key_of, model: claim.model, home, on, purpose: claim.purpose };
        self.leases.insert(key, lease);
        let longest =
            if self.profile == Profile::Drains && self.rng.random_bool(0.2) { 40_000 } else { 5000 };
        let takes = self.millis(100..longest);
        self.schedule(takes, Happening::LeaseEnds(key, end));
    }

    /// The simulation's own account of which turns hold which model.
    pub(super) fn note_hold(&mut self, lease: &LiveLease, end: End) {
        let key = self.sessions[lease.session].key.clone();
        if !lease.purpose.is_routed() {
            return;
        }
        let until = match end {
            End::Answered { turn: TurnAfter::Finished } => None,
            End::Answered { turn: TurnAfter::Unfinished } => Some(self.now + self.config.turn_timeout),
            End::Failed | End::Cancelled | End::Gone => Some(self.now + self.config.error_grace),
        };
        match until {
            Some(until) => self.holds.insert(key, (lease.model.clone(), until)),
            None => self.holds.remove(&key),
        };
    }

    pub(super) fn session_goes_on(&mut self, session: usize, end: End) {
        let it = &mut self.sessions[session];
        it.busy = it.busy.saturating_sub(1);
        if it.is_hog {
            return;
        }
        let abandons = self.rng.random_bool(0.1);
        let it = &mut self.sessions[session];
        match &mut it.turn {
            Some(plan) if end == (End::Answered { turn: TurnAfter::Unfinished }) && !abandons => {
                plan.left = plan.left.saturating_sub(1);
                let delay = self.millis(50..7000);
                self.schedule(delay, Happening::Arrive(session));
            }
            _ => {
                it.turn = None;
                self.session_rests(session);
            }
        }
    }

    pub(super) fn session_rests(&mut self, session: usize) {
        let longest = if self.rng.random_bool(0.15) { 60_000 } else { 6000 };
        let delay = self.millis(100..longest);
        self.schedule(delay, Happening::Arrive(session));
    }

    pub(super) fn refused(&mut self, ticket: Ticket, refused: &Refused) {
        let waiting = self.waiting.remove(&ticket);
        self.require(waiting.is_some(), "only those who wait are refused");
        let Some(waiting) = waiting else { return };
        self.check_wait(waiting.since);
        let may_be_refused = match refused.reason {
            Reason::WouldSwap => waiting.claim.purpose.swap() != Swap::Wait,
            // Its server has another name by now, or is not configured.
            Reason::UnknownModel => self.profile == Profile::Moves,
            Reason::DrainTimeout => self.profile == Profile::Drains,
            // An outage is felt by those who want that provider's models, and by nobody else.
            Reason::ProviderDown { .. } => self.is_troubled(&self.world.home(&waiting.claim.model)),
            _ => true,
        };
        self.require(may_be_refused, "refusals have their reasons");
        self.sessions[waiting.session].gave_up();
        self.session_rests(waiting.session);
    }
}

// Wishes and mishaps.
impl Sim {
    pub(super) fn wish(&mut self) {
        let is_clouds = self.rng.random_bool(0.2);
        let model = if is_clouds { World::some_cloud(&mut self.rng) } else { self.some_model() };
        let by = if self.rng.random_bool(0.4) {
            Wisher::Person
        } else {
            Wisher::Skill { skill: SkillName::new("skill"), session: None }
        };
        let has_room = self.config.max_loaded.get() > 1 || self.config.memory.is_some();
        let can_pin = has_room && self.pinned.is_empty() && !is_clouds;
        let pin = if can_pin && self.rng.random_bool(0.6) { Pin::Pinned } else { Pin::Loose };
        let action = if self.rng.random_bool(0.7) {
            Action::Load { context_length: None, pin }
        } else {
            Action::Unload { whose: Whose::Everyones }
        };
        let wish = Wish { model: model.clone(), action, by, answer: WhenAnswered::WhenDone };
        self.baseline_moved |= wish.by == Wisher::Person && !is_clouds;
        match action {
            Action::Load { pin: Pin::Pinned, .. } => {}
            // A person's unload, and a new wish of the same skill, end the pin.
            Action::Load { .. } if wish.by == Wisher::Person => {}
            _ => {
                self.pinned.remove(&model);
                for waiting in self.wishes.values_mut().filter(|it| it.model == model && !it.is_unload()) {
                    waiting.action = Action::Load { context_length: None, pin: Pin::Loose };
                }
            }
        }
        self.next += 1;
        let ticket = Ticket(self.next);
        self.wishes.insert(ticket, wish.clone());
        self.feed(Event::Wished(ticket, wish));
    }

    pub(super) fn wish_answered(&mut self, ticket: Ticket, answer: &Result<Standing, Refused>) {
        let wish = self.wishes.remove(&ticket);
        self.require(wish.is_some(), "a wish is answered once");
        let Some(wish) = wish else { return };
        let is_clouds = wish.model.provider() == world::PROVIDERS[world::CLOUD];
        self.require(
            !(is_clouds && wish.is_unload() && answer.is_ok()),
            "what a provider looks after itself is not unloaded",
        );
        if answer.is_ok()
            && let Action::Load { pin: Pin::Pinned, .. } = wish.action
        {
            self.pinned.insert(wish.model);
        }
    }

    pub(super) fn wish_over(&mut self, _: &Wish) {}

    pub(super) fn someone_loads(&mut self) {
        let model = self.world.some_language(&mut self.rng);
        if self.world.takes_loads(&model) {
            let settings = Settings { context_length: Some(4096), ..Settings::default() };
            self.world.insert(&model, self.now, world::By::Someone, settings);
            self.baseline_moved = true;
        }
    }

    pub(super) fn someone_unloads(&mut self) {
        self.lose_one();
    }

    pub(super) fn crash(&mut self) {
        self.lose_one();
    }

    fn lose_one(&mut self) {
        if self.world.memory.is_empty() {
            return;
        }
        let place = self.rng.random_range(0..self.world.memory.len());
        let gone = self.world.memory.remove(place);
        self.pinned.remove(&gone.model);
        self.baseline_moved = true;
    }

    pub(super) fn outage_begins(&mut self) {
        let provider = self.rng.random_range(0..world::PROVIDERS.len());
        if self.world.servers[provider].is_down {
            return;
        }
        self.world.servers[provider].is_down = true;
        if self.profile == Profile::Faults && self.rng.random_bool(0.6) {
            self.baseline_moved = true;
            self.lose_all(provider);
        }
        let lasts = self.millis(500..60_000);
        self.schedule(lasts, Happening::OutageEnds(provider));
    }

    pub(super) fn outage_ends(&mut self, provider: usize) {
        let report = self.planner.report(self.now);
        let was_noticed = matches!(report.state_of(world::PROVIDERS[provider]), Some(ProviderState::Down(_)));
        // What is lost in an outage that nobody noticed, somebody may as well have unloaded.
        if was_noticed && self.rng.random_bool(0.6) {
            self.lose_all(provider);
        }
        let server = &mut self.world.servers[provider];
        (server.is_down, server.was_down) = (false, Some(self.now));
    }

    /// Another server answers at its address for a while, which can only be listed.
    pub(super) fn server_replaced(&mut self, provider: usize) {
        self.baseline_moved = true;
        self.lose_all(provider);
        self.world.replace(provider);
        if self.world.servers[provider].is_list_only {
            let lasts = self.millis(500..60_000);
            self.schedule(lasts, Happening::ServerReplaced(provider));
        }
    }

    fn lose_all(&mut self, provider: usize) {
        self.world.memory.retain(|it| world::provider_of(&it.model) != provider);
        self.pinned.retain(|model| world::provider_of(model) != provider);
    }
}
