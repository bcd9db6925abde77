//! A seeded simulation of one device in virtual time, with two providers and one that looks after its memory itself:
//! sessions with turns and tool loops, side calls, wishes, slow, failing and lost loads, people who load and unload by
//! hand, crashes, outages of one provider, another server in its place, lists that lag, clients that vanish; models are
//! counted, or weighed, and the user changes how many may be there, what servers are called, and whether they are configured
//! at all; the gateway itself crashes at any moment and begins anew.
//! The planner under test is the real one, with the real gates; everything around it is made up here.
//!
//! After every step the invariants of the room are checked from the outside, by what was granted, sent and resident,
//! and not by what the planner believes. A violation names its seed, and the same seed always plays the same.

mod checks;
mod crash;
mod people;
mod reconfigure;
mod tests;
mod world;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::num::NonZeroU64;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::claim::{Claim, Notice, Purpose, Wish};
use super::config::Config;
use super::gate::Gate;
use super::lease::{End, Ended, TurnAfter};
use super::plan::{
    Asked, Durability, Effect, Event, InstanceKey, Inventory, Mark, Mutant, Operation, Planner,
    ProviderIndex, Ticket,
};
use crate::id::{InstanceId, ModelId, SessionKey};
use crate::provider::{Error, LoadRequest, Loaded};
use crash::Shelf;
use people::Session;
use reconfigure::places;
use world::World;

/// One run.
pub(super) struct Sim {
    seed: u64,
    rng: StdRng,
    config: Config,
    profile: Profile,
    start: Instant,
    now: Instant,
    planner: Planner,
    world: World,
    agenda: BinaryHeap<Reverse<(Instant, u64)>>,
    /// What will happen, and in which life of the gateway it was set going.
    happenings: BTreeMap<u64, (u32, Happening)>,
    next: u64,
    sessions: Vec<Session>,
    leases: BTreeMap<u64, LiveLease>,
    waiting: BTreeMap<Ticket, Waiting>,
    wishes: BTreeMap<Ticket, Wish>,
    /// Routed turns that hold a model, with the end of the hold; kept apart from the planner's.
    holds: BTreeMap<SessionKey, (ModelId, Instant)>,
    pinned: BTreeSet<ModelId>,
    loads: BTreeMap<u64, (ProviderIndex, Operation, ModelId)>,
    /// Loads that were sent in a life before.
    going_on: BTreeMap<u64, ModelId>,
    shelf: Shelf,
    life: u32,
    fault: Option<Mutant>,
    /// The gateway crashes in this run.
    crashes: bool,
    unloading: BTreeSet<InstanceKey>,
    /// Something happened that may change the baseline.
    baseline_moved: bool,
    /// The device was configured anew.
    reconfigured: bool,
    /// In this run names lead to other servers than before.
    names_wander: bool,
    /// No new work from then on.
    ends: Instant,
    steps: u32,
    stopped: bool,
    /// Where what goes in and what comes out is written down.
    trace: Option<Lines>,
}

/// A story, shared with whoever tells it: a run that fails unwinds.
pub(super) type Lines = Arc<Mutex<Vec<String>>>;

/// What a seed is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Profile {
    /// Routes that restore, and requests for the baseline's model.
    Routes,
    /// Plain requests for anything, keeps, wishes and pins.
    Mixed,
    /// All of that, with failing loads, crashes, outages and people.
    Faults,
    /// One model is never idle.
    Hog,
    /// Long generations and short drains.
    Drains,
    /// Routes that restore, while one provider or the other is away.
    Outages,
    /// Routes that restore, while the user gives the servers other names and takes them away.
    Moves,
}

struct LiveLease {
    session: usize,
    gate: Arc<Gate>,
    key: InstanceKey,
    model: ModelId,
    /// The same as its server has it.
    home: ModelId,
    /// What it is on, where that is in memory.
    on: Option<u64>,
    purpose: Purpose,
}

struct Waiting {
    session: usize,
    since: Instant,
    claim: Claim,
}

/// What will happen.
enum Happening {
    Arrive(usize),
    LeaseEnds(u64, End),
    Vanish(Ticket),
    ListAnswer(usize, (ProviderIndex, Asked), Result<Inventory, Error>, Instant),
    LoadAnswer(u64, Result<LoadRequest, Error>),
    LateLoad(ModelId),
    UnloadAnswer(usize, InstanceKey, Result<(), Error>),
    Written(u64),
    GatewayCrash,
    SomeoneLoads,
    SomeoneUnloads,
    Crash,
    OutageBegins,
    OutageEnds(usize),
    ServerReplaced(usize),
    Reconfigured,
    Moved,
    Wish,
}

// === impl Sim ===

impl Sim {
    /// A run of this seed with a fault in the planner, or none.
    pub(super) fn new(seed: u64, fault: Option<Mutant>) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let profiles = [
            Profile::Routes,
            Profile::Mixed,
            Profile::Faults,
            Profile::Hog,
            Profile::Drains,
            Profile::Outages,
            Profile::Moves,
        ];
        let profile = profiles[usize::try_from(seed % 7).unwrap()];
        let start = tokio::time::Instant::now().into_std();
        let mut config = Config::default();
        if rng.random_bool(0.5) {
            config.memory = NonZeroU64::new(World::some_memory(&mut rng));
        }
        if profile != Profile::Routes && rng.random_bool(0.4) {
            config.max_loaded = config.max_loaded.saturating_add(1);
        }
        if rng.random_bool(0.3) {
            config.max_wait = Some(Duration::from_secs(rng.random_range(1..20)));
        }
        if profile == Profile::Drains {
            config.drain_timeout = Duration::from_secs(8);
        }
        if rng.random_bool(0.3) {
            config.linger = Duration::from_secs(rng.random_range(1..10));
        }
        let world = World::new(&mut rng, &config);
        let planner = Planner::new("device", config.clone(), &places(&world), start).with_mutant(fault);
        let mut sim = Self {
            seed,
            rng,
            config,
            profile,
            start,
            now: start,
            planner,
            world,
            agenda: BinaryHeap::new(),
            happenings: BTreeMap::new(),
            next: 0,
            sessions: Vec::new(),
            leases: BTreeMap::new(),
            waiting: BTreeMap::new(),
            wishes: BTreeMap::new(),
            holds: BTreeMap::new(),
            pinned: BTreeSet::new(),
            loads: BTreeMap::new(),
            going_on: BTreeMap::new(),
            shelf: Shelf::default(),
            life: 0,
            fault,
            crashes: false,
            unloading: BTreeSet::new(),
            baseline_moved: false,
            reconfigured: false,
            names_wander: false,
            ends: start + Duration::from_secs(400),
            steps: 0,
            stopped: false,
            trace: None,
        };
        sim.populate();
        sim
    }

    /// The same run, with everything that happens written down.
    pub(super) fn traced(mut self, lines: Lines) -> Self {
        self.trace = Some(lines);
        self
    }

    /// Plays to the end: work for a while, then until nothing is left to happen but routine lists, then a shutdown.
    pub(super) fn run(mut self) -> u32 {
        self.feed(Event::Tick);
        let quiet_at = self.ends + Duration::from_secs(1200);
        while self.step(quiet_at) {}
        self.check_rest();
        self.feed(Event::Shutdown);
        let end = self.now + self.config.shutdown_timeout + Duration::from_secs(1);
        while !self.stopped && self.step(end) {}
        self.require(self.stopped, "the shutdown completes");
        self.steps
    }

    /// The next thing that happens before `until`.
    fn step(&mut self, until: Instant) -> bool {
        let agenda = self.agenda.peek().map(|Reverse((at, _))| *at);
        let timer = self.planner.wake_at();
        let Some(at) = agenda.into_iter().chain(timer).min().filter(|at| *at < until) else { return false };
        self.now = at.max(self.now);
        self.steps += 1;
        self.require(self.steps < 60_000, "time goes on");
        if agenda.is_some_and(|agenda| agenda <= at) {
            let Some(Reverse((_, key))) = self.agenda.pop() else { return false };
            let (life, happening) = self.happenings.remove(&key).unwrap();
            if life == self.life || !happening.is_an_answer() {
                self.happen(happening);
            } else {
                self.happen_unheard(happening);
            }
        } else {
            self.feed(Event::Tick);
        }
        self.check();
        true
    }

    fn schedule(&mut self, after: Duration, happening: Happening) {
        let key = self.next;
        self.next += 1;
        self.agenda.push(Reverse((self.now + after, key)));
        self.happenings.insert(key, (self.life, happening));
    }

    fn millis(&mut self, range: std::ops::Range<u64>) -> Duration {
        Duration::from_millis(self.rng.random_range(range))
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Arrive(session) => self.session_acts(session),
            Happening::LeaseEnds(lease, end) => self.lease_ends(lease, end),
            Happening::Vanish(ticket) => {
                if let Some(waiting) = self.waiting.remove(&ticket) {
                    self.sessions[waiting.session].gave_up();
                    self.feed(Event::Left(ticket));
                    self.session_rests(waiting.session);
                }
            }
            Happening::ListAnswer(server, (provider, asked), result, taken) => {
                let server = &mut self.world.servers[server];
                let result = if server.is_down { Err(world::unreachable()) } else { result };
                if result.is_ok() {
                    server.seen = server.seen.max(Some(taken));
                }
                self.feed(Event::Listed(provider, asked, result));
            }
            Happening::LoadAnswer(key, result) => self.load_answered(key, result),
            Happening::LateLoad(model) => {
                self.world.finish_late(&model);
            }
            Happening::UnloadAnswer(place, key, result) => {
                let server = &self.world.servers[place];
                let result = match result {
                    _ if server.is_down => Err(world::unreachable()),
                    _ if server.is_list_only => Err(Error::Unsupported("list only".to_owned())),
                    result => result,
                };
                self.unloading.remove(&key);
                if result.is_ok() {
                    self.world.remove(place, &key.id, self.now);
                }
                self.feed(Event::Unloaded(key, result));
            }
            Happening::Written(number) => self.written(number),
            Happening::GatewayCrash => self.crash_gateway(),
            Happening::SomeoneLoads => self.someone_loads(),
            Happening::SomeoneUnloads => self.someone_unloads(),
            Happening::Crash => self.crash(),
            Happening::OutageBegins => self.outage_begins(),
            Happening::OutageEnds(provider) => self.outage_ends(provider),
            Happening::ServerReplaced(provider) => self.server_replaced(provider),
            Happening::Reconfigured => self.reconfigure(),
            Happening::Moved => self.move_about(),
            Happening::Wish => self.wish(),
        }
    }

    /// Hands an event in and plays what comes out.
    fn feed(&mut self, event: Event) {
        self.trace_event(&event);
        for effect in self.planner.handle(self.now, event) {
            self.trace("    ", &effect);
            self.play(effect);
        }
    }

    fn play(&mut self, effect: Effect) {
        match effect {
            Effect::Grant(ticket, grant) => self.granted(ticket, grant.gate, grant.instance),
            Effect::Refuse(ticket, refused) => self.refused(ticket, &refused),
            Effect::Answer(ticket, answer) => self.wish_answered(ticket, &answer),
            Effect::Notice(Notice::WishFailed(wish, _)) => self.wish_over(&wish),
            Effect::List(provider, asked) => {
                let server = self.server_at(provider);
                let (delay, lists) = (self.millis(1..600), self.world.list(server, self.now));
                let is_down = self.world.servers[server].is_down;
                let result = if is_down { Err(world::unreachable()) } else { Ok(lists) };
                self.schedule(delay, Happening::ListAnswer(server, (provider, asked), result, self.now));
            }
            Effect::Load(provider, operation, request) => {
                let is_its = self.planner.name_of(provider) == Some(request.model.provider());
                self.require(is_its, "loads go to the model's provider");
                self.load_sent(provider, operation, request);
            }
            Effect::Unload(key) => {
                let server = self.server_at(key.provider);
                self.check_unload(server, &key);
                self.unloading.insert(key.clone());
                let delay = self.millis(1..800);
                let lost = self.profile == Profile::Faults && self.rng.random_bool(0.03);
                let result = if lost { Err(Error::Malformed("lost".to_owned())) } else { Ok(()) };
                self.schedule(delay, Happening::UnloadAnswer(server, key, result));
                if self.crashes && self.rng.random_bool(0.1) {
                    let delay = self.millis(0..2500);
                    self.schedule(delay, Happening::GatewayCrash);
                }
            }
            Effect::Remember(mark, record) => self.write(Some(mark), record),
            Effect::Write(record) => self.write(None, record),
            Effect::WriteModels(provider, models) => self.write_models(provider, models),
            Effect::Lost(..)
            | Effect::Freed(..)
            | Effect::AbortStalled(_)
            | Effect::Tell(..)
            | Effect::Notice(_)
            | Effect::Publish => {}
            Effect::AbortAll => {
                let all: Vec<u64> = self.leases.keys().copied().collect();
                for lease in all {
                    self.schedule(Duration::ZERO, Happening::LeaseEnds(lease, End::Cancelled));
                }
            }
            Effect::Stopped => self.stopped = true,
        }
    }

    /// The server that the planner's provider is at.
    fn server_at(&self, provider: ProviderIndex) -> usize {
        self.world.server_called(self.planner.name_of(provider).unwrap())
    }

    fn load_sent(&mut self, provider: ProviderIndex, operation: Operation, request: LoadRequest) {
        let model = self.world.home(&request.model);
        self.check_load(provider, &model);
        let key = self.next;
        self.loads.insert(key, (provider, operation, model.clone()));
        let takes = self.world.load_time(&model);
        let faults = matches!(self.profile, Profile::Faults | Profile::Drains);
        let fate = self.rng.random_range(0..100);
        let refusals = [
            Error::OutOfMemory("little".to_owned()),
            Error::Crashed("engine".to_owned()),
            Error::Aborted("by hand".to_owned()),
        ];
        let result = match fate {
            0..12 if faults => Err(refusals[self.rng.random_range(0..refusals.len())].clone()),
            12..16 if faults => Err(Error::TimedOut(takes)),
            _ => Ok(request),
        };
        self.schedule(takes, Happening::LoadAnswer(key, result));
    }

    fn load_answered(&mut self, key: u64, result: Result<LoadRequest, Error>) {
        let (provider, operation, model) = self.loads.remove(&key).unwrap();
        // Nobody knows any more of what was sent to a server before its provider moved.
        let is_known = self.planner.name_of(provider).is_some();
        let by = if is_known { world::By::Gateway } else { world::By::Someone };
        let result = match result {
            _ if !self.world.is_up(&model) => Err(world::unreachable()),
            _ if !self.world.takes_loads(&model) => Err(Error::Unsupported("list only".to_owned())),
            Ok(_) if !self.has_room(&model) => Err(Error::OutOfMemory("full".to_owned())),
            Ok(request) => Ok(Loaded {
                instance: self.world.insert(&model, self.now, by, request.settings),
                settings: request.settings,
                parallel: Some(world::PARALLEL),
                took: None,
            }),
            Err(Error::TimedOut(limit)) => {
                // It is still loading, shows as such, and comes up later after all; or it came to nothing.
                if self.rng.random_bool(0.7) {
                    self.world.begin_late(&model, self.now);
                    self.schedule(Duration::from_secs(4), Happening::LateLoad(model));
                }
                Err(Error::TimedOut(limit))
            }
            Err(error) => Err(error),
        };
        self.feed(Event::Loaded(operation, result));
    }

    /// The device itself is full only where people filled it, or where a provider that is away took its models along
    /// without letting go of them.
    fn has_room(&self, model: &ModelId) -> bool {
        let there = self.world.memory.iter().map(|it| &it.model);
        let fits = self.world.fit_in_bytes(there.chain([model]));
        let may_be_full =
            self.reconfigured || matches!(self.profile, Profile::Faults | Profile::Outages | Profile::Moves);
        self.require(fits || may_be_full, "a load is sent only when it fits");
        fits
    }

    fn lease_ends(&mut self, key: u64, end: End) {
        let Some(lease) = self.leases.remove(&key) else { return };
        // What loads for each request by itself may fail to, for once.
        let is_flaky = self.world.is_list_only(&lease.home) && self.rng.random_bool(0.05);
        let answers = !is_flaky && self.world.answers(&lease.home, &lease.key.id);
        let end = if answers || end == End::Cancelled { end } else { End::Gone };
        self.note_hold(&lease, end);
        let is_ordinary = end == (End::Answered { turn: TurnAfter::Finished });
        let ended = Ended {
            gate: lease.gate.clone(),
            model: lease.model.clone(),
            instance: lease.key.id.clone(),
            session: self.sessions[lease.session].key.clone(),
            purpose: lease.purpose,
            end,
        };
        if is_ordinary && !lease.purpose.is_turn() && self.now < self.ends && self.rng.random_bool(0.4) {
            return self.session_follows(lease.session, ended);
        }
        if !(is_ordinary && lease.gate.leave_quietly()) {
            self.feed(Event::Ended(ended));
        }
        self.session_goes_on(lease.session, end);
    }

    fn trace(&self, indent: &str, what: &dyn std::fmt::Debug) {
        if let Some(lines) = &self.trace {
            let line: String = format!("{what:?}").chars().take(900).collect();
            lines.lock().unwrap().push(format!("{:?} {indent}{line}", self.now - self.start));
        }
    }

    /// Of a list, what matters is in memory.
    fn trace_event(&self, event: &Event) {
        let Event::Listed(provider, asked, Ok((control, listed))) = event else {
            self.trace("", event);
            return;
        };
        let shown: Vec<_> =
            listed.iter().flat_map(|it| &it.instances).map(|it| (&it.id, it.readiness)).collect();
        self.trace("", &format_args!("Listed({provider:?}, {asked:?}) shows {control:?} {shown:?}"));
    }

    fn require(&self, holds: bool, what: &str) {
        let (seed, profile, steps, at) = (self.seed, self.profile, self.steps, self.now - self.start);
        assert!(holds, "seed {seed} ({profile:?}) at {at:?}, step {steps}: violated: {what}");
    }
}
