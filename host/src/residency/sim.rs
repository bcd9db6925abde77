//! A seeded simulation of one device in virtual time: sessions with turns and tool loops, side calls, wishes, slow,
//! failing and lost loads, people who load and unload by hand, crashes, outages, lists that lag, clients that vanish.
//! The planner under test is the real one, with the real gates; everything around it is made up here.
//!
//! After every step the invariants of the room are checked from the outside, by what was granted, sent and resident,
//! and not by what the planner believes. A violation names its seed, and the same seed always plays the same.

mod checks;
mod people;
mod tests;
mod world;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::claim::{Claim, Notice, Purpose, Wish};
use super::config::Config;
use super::gate::Gate;
use super::lease::{End, Ended, TurnAfter};
use super::plan::{Asked, Effect, Event, Mutant, Operation, Planner, Ticket};
use crate::id::{InstanceId, ModelId, SessionKey};
use crate::provider::{Error, Listed, LoadRequest, Loaded};
use people::Session;
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
    happenings: BTreeMap<u64, Happening>,
    next: u64,
    sessions: Vec<Session>,
    leases: BTreeMap<u64, LiveLease>,
    waiting: BTreeMap<Ticket, Waiting>,
    wishes: BTreeMap<Ticket, Wish>,
    /// Routed turns that hold a model, with the end of the hold; kept apart from the planner's.
    holds: BTreeMap<SessionKey, (ModelId, Instant)>,
    pinned: BTreeSet<ModelId>,
    loads: BTreeMap<u64, (Operation, ModelId)>,
    unloading: BTreeSet<InstanceId>,
    /// Something happened that may change the baseline.
    baseline_moved: bool,
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
}

struct LiveLease {
    session: usize,
    gate: Arc<Gate>,
    instance: InstanceId,
    model: ModelId,
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
    ListAnswer(Asked, Result<Vec<Listed>, Error>, Instant),
    LoadAnswer(u64, Result<LoadRequest, Error>),
    LateLoad(ModelId),
    UnloadAnswer(InstanceId, Result<(), Error>),
    SomeoneLoads,
    SomeoneUnloads,
    Crash,
    OutageBegins,
    OutageEnds,
    Wish,
}

// === impl Sim ===

impl Sim {
    /// A run of this seed with a fault in the planner, or none.
    pub(super) fn new(seed: u64, fault: Option<Mutant>) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let profiles = [Profile::Routes, Profile::Mixed, Profile::Faults, Profile::Hog, Profile::Drains];
        let profile = profiles[usize::try_from(seed % 5).unwrap()];
        let start = tokio::time::Instant::now().into_std();
        let mut config = Config::default();
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
        let planner = Planner::new(config.clone(), world::PROVIDER, Vec::new(), start).with_mutant(fault);
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
            unloading: BTreeSet::new(),
            baseline_moved: false,
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
            let happening = self.happenings.remove(&key).unwrap();
            self.happen(happening);
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
        self.happenings.insert(key, happening);
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
            Happening::ListAnswer(asked, result, taken) => {
                let result = if self.world.is_up { result } else { Err(world::unreachable()) };
                if result.is_ok() {
                    self.world.seen = self.world.seen.max(Some(taken));
                }
                self.feed(Event::Listed(asked, result));
            }
            Happening::LoadAnswer(key, result) => self.load_answered(key, result),
            Happening::LateLoad(model) => {
                self.world.finish_late(&model);
            }
            Happening::UnloadAnswer(instance, result) => {
                let result = if self.world.is_up { result } else { Err(world::unreachable()) };
                self.unloading.remove(&instance);
                if result.is_ok() {
                    self.world.remove(&instance, self.now);
                }
                self.feed(Event::Unloaded(instance, result));
            }
            Happening::SomeoneLoads => self.someone_loads(),
            Happening::SomeoneUnloads => self.someone_unloads(),
            Happening::Crash => self.crash(),
            Happening::OutageBegins => self.outage_begins(),
            Happening::OutageEnds => self.world.is_up = true,
            Happening::Wish => self.wish(),
        }
    }

    /// Hands an event in and plays what comes out.
    fn feed(&mut self, event: Event) {
        self.trace("", &event);
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
            Effect::List(asked) => {
                let (delay, lists) = (self.millis(1..600), self.world.list(self.now));
                let result = if self.world.is_up { Ok(lists) } else { Err(world::unreachable()) };
                self.schedule(delay, Happening::ListAnswer(asked, result, self.now));
            }
            Effect::Load(operation, request) => self.load_sent(operation, request),
            Effect::Unload(instance) => {
                self.check_unload(&instance);
                self.unloading.insert(instance.clone());
                let delay = self.millis(1..800);
                let lost = self.profile == Profile::Faults && self.rng.random_bool(0.03);
                let result = if lost { Err(Error::Malformed("lost".to_owned())) } else { Ok(()) };
                self.schedule(delay, Happening::UnloadAnswer(instance, result));
            }
            Effect::AbortStalled(_) | Effect::Tell(..) | Effect::Notice(_) | Effect::Publish => {}
            Effect::AbortAll => {
                let all: Vec<u64> = self.leases.keys().copied().collect();
                for lease in all {
                    self.schedule(Duration::ZERO, Happening::LeaseEnds(lease, End::Cancelled));
                }
            }
            Effect::Stopped => self.stopped = true,
        }
    }

    fn load_sent(&mut self, operation: Operation, request: LoadRequest) {
        self.check_load(&request.model);
        let key = self.next;
        self.loads.insert(key, (operation, request.model.clone()));
        let takes = self.world.load_time(&request.model);
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
        let (operation, model) = self.loads.remove(&key).unwrap();
        let result = match result {
            _ if !self.world.is_up => Err(world::unreachable()),
            Ok(request) => Ok(Loaded {
                instance: self.world.insert(&model, self.now, world::By::Gateway, request.settings),
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

    fn lease_ends(&mut self, key: u64, end: End) {
        let Some(lease) = self.leases.remove(&key) else { return };
        let end = if self.world.has(&lease.instance) || end == End::Cancelled { end } else { End::Gone };
        self.note_hold(&lease, end);
        let is_ordinary = end == (End::Answered { turn: TurnAfter::Finished });
        if !(is_ordinary && lease.gate.leave_quietly()) {
            self.feed(Event::Ended(Ended {
                gate: lease.gate.clone(),
                model: lease.model.clone(),
                instance: lease.instance.clone(),
                session: self.sessions[lease.session].key.clone(),
                purpose: lease.purpose,
                end,
            }));
        }
        self.session_goes_on(lease.session, end);
    }

    fn trace(&self, indent: &str, what: &dyn std::fmt::Debug) {
        if let Some(lines) = &self.trace {
            let line: String = format!("{what:?}").chars().take(300).collect();
            lines.lock().unwrap().push(format!("{:?} {indent}{line}", self.now - self.start));
        }
    }

    fn require(&self, holds: bool, what: &str) {
        let (seed, profile, steps, at) = (self.seed, self.profile, self.steps, self.now - self.start);
        assert!(holds, "seed {seed} ({profile:?}) at {at:?}, step {steps}: violated: {what}");
    }
}
