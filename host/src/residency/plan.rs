//! The planner of one device's memory, which several providers may share: which models are in it, who uses them, who
//! waits, what goes and what comes back. Pure: `handle` takes the time and an event and returns effects; there is no I/O,
//! no clock and no lock in here. The one thing shared with the outside are the gates' atomics, read at definite points.
//!
//! `handle` first takes the event into the state (who came, who left, what a provider answered) and then settles: it
//! repeats serve → refuse → advance → begin until nothing changes. All decisions are made while settling, from the
//! whole state, so no event has to know what another would have done.
//!
//! The rules, to which the comments in this room refer by number. Where two collide the order is 1, 7, 8, 6, 5, 10.
//!
//! 1. A lease is one exchange, and an instance with a lease or a pin is not unloaded. Nobody waits while holding a
//!    lease. A provider that is down gets no effect, nor does a lane in which someone else's model is still loading, nor
//!    any lane before every provider of the device was heard of.
//! 2. A hold is a promise of routing and keeps nothing in memory but the way back: a turn's ends with its last answer,
//!    with the session's next turn, `error_grace` after a failure, or after `turn_timeout`. A model is *wanted* for
//!    `turn_grace` after an answer that called tools.
//! 3. The baseline is what is due at rest. Choices change it: plain requests, routes that keep, people's wishes, loads
//!    and unloads by others. Routes that restore, side calls, skills' wishes and outages do not, and an embedding model
//!    pushes no language model out of it.
//! 4. What is resident with enough context and an open gate is granted at once, by the gate alone; the rest stand in
//!    one line. Loads are single-flight: look, reuse, then load. Too small a context is reloaded once, and what comes
//!    back then counts.
//! 5. A swap begins for the oldest waiter that needs one, when victims are neither leased nor wanted: first what is
//!    outside the baseline, then what loads fastest, then what is smallest, and no more than makes room. Models of the
//!    other kind are the last resort, and an embedding model that is due never goes for a language model.
//! 6. A waiter older than `max_wait` overrides wants and closes its victims' gates; by default that is three times the
//!    measured cost of the swap, within 5 to 60 s.
//! 7. Those who wait when a load completes are served before its gate may close again.
//! 8. A drain that takes longer than `drain_timeout` is given up: the gates open, the waiter is refused, and the victims
//!    are left alone for as long.
//! 9. Behind a closed gate a client that reads nothing for `slow_client` is broken off.
//! 10. When nobody leases, waits, wants or holds anything else and `linger` is over, the lane goes back to the baseline.
//!     That can be dropped until an unload is sent; a load once sent is awaited.
//! 11. A failed load refuses those it was for, who have other candidates, and then rule 10 applies. A model that did
//!     not fit into memory pauses, 5 s doubling to 300 s, and no other does.
//! 12. A swap is close, drain, write down, unload, confirm by a list of every provider that had a victim, load, grant.
//!     What only loads is written down, too, before its load is sent. An unload that finds nothing has succeeded.
//!
//! Room is a number of models of each kind, or bytes (`room`). What shares room is a lane: by number each kind is one, by
//! bytes the whole device is. It never asks for two swaps at once in one lane, and one swap never needs what another
//! lane holds.
//!
//! Providers are independent but for the room they share: a list concerns its own provider's models and instances only,
//! and an outage takes along its own waiters, searches and confirmations. What a provider held that is down is neither a
//! victim nor in the way: its process is presumably gone; where it is not, the load fails (rule 11). What is due there
//! stays due. A provider that looks after its memory itself shares nothing: what it lists is taken as resident, without
//! room, and is never due, loaded or unloaded.
//!
//! The configuration may change at any moment (`configured`): other bounds, other providers; nothing is unloaded for it. A
//! server whose name or place changes while it is in use is asked under one of them at a time (`address`).
//!
//! It owns no connection and no disk. What must outlive it is handed out as records (`durable`), and a swap waits until
//! its own is safe; whoever starts it hands in what was kept.

mod address;
mod baseline;
mod choose;
mod claims;
mod configured;
mod durable;
mod elsewhere;
mod list;
mod load;
mod memory;
mod mutant;
mod pace;
mod report;
mod rest;
mod room;
mod server;
mod swap;
#[cfg(test)]
mod tests;
mod turns;
mod waiter;
mod wishes;

use std::collections::{BTreeMap, VecDeque};
use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::claim::{Claim, Notice, Phase, Refused, Standing, Timings, Wish};
use super::config::Config;
use super::gate::Gate;
use super::lease::Ended;
use super::record::{InstanceRecord, KnownModel, Record};
use crate::id::{InstanceId, ModelId, RequestId, SessionKey, SkillName};
use crate::provider::{Control, Error, Listed, LoadRequest, Loaded};
use address::Addresses;
pub(super) use address::Legacy;
use baseline::Baseline;
pub(super) use configured::{Client, Place};
use durable::Durable;
use memory::{Held, Known};
pub(super) use mutant::Mutant;
use room::LaneState;
use server::Server;
pub(super) use server::{InstanceKey, ProviderIndex};
use turns::Turns;
use waiter::{Waiter, Want};
use wishes::Hope;

/// One waiting claim or wish.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Ticket(pub(super) u64);

/// One load that was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Operation(u64);

/// One record that was to be made durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mark(u64);

/// What became of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Durability {
    /// It outlives the process.
    Durable,
    /// It may not.
    Unknown,
}

/// What a load over HTTP cannot bring back of an instance that somebody else loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Loss {
    /// How many requests it works on at once, and how it uses the GPU.
    Settings,
    /// That, and the name it was given.
    NameAndSettings,
}

/// When a list was asked for, counted in effects that came before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Asked(u64);

/// What can be asked of a provider, and what it lists.
pub(super) type Inventory = (Control, Vec<Listed>);

/// What happened.
#[derive(Debug)]
pub(super) enum Event {
    /// A claim that found no open gate.
    Claimed(Ticket, Claim),
    /// An exchange ended, and the same work claims what it needs next.
    ClaimedAfter(Ended, Ticket, Claim),
    /// A waiting claim was dropped.
    Left(Ticket),
    /// An exchange ended.
    Ended(Ended),
    /// The session's next turn began, or was answered without a model.
    TurnOver(SessionKey),
    /// Somebody wishes.
    Wished(Ticket, Wish),
    /// A skill is gone: its wishes and pins end.
    SkillGone(SkillName),
    /// A provider's list arrived or failed.
    Listed(ProviderIndex, Asked, Result<Inventory, Error>),
    /// A load ended.
    Loaded(Operation, Result<Loaded, Error>),
    /// An unload ended.
    Unloaded(InstanceKey, Result<(), Error>),
    /// What became of a record that was to be made durable.
    Remembered(Mark, Durability),
    /// From now on this configuration holds, and these are the device's providers, in this order.
    Configured(Box<Config>, Vec<Place>),
    /// Another device's owner has let go of this address; what was due there comes with it.
    Freed(String, Option<Legacy>),
    /// Time passed.
    Tick,
    /// No more claims: drain and go back to the baseline.
    Shutdown,
}

/// What to do.
#[derive(Debug)]
pub(super) enum Effect {
    /// Hand the lease over; the gate has counted it in.
    Grant(Ticket, Grant),
    /// Say no.
    Refuse(Ticket, Refused),
    /// Answer a wish.
    Answer(Ticket, Result<Standing, Refused>),
    /// Tell a waiting client how far its claim is.
    Tell(Ticket, Phase, Instant),
    /// Tell whoever listens.
    Notice(Notice),
    /// Ask a provider for a list.
    List(ProviderIndex, Asked),
    /// Have a provider load.
    Load(ProviderIndex, Operation, LoadRequest),
    /// Have a provider unload.
    Unload(InstanceKey),
    /// Make the record durable, and say when it is.
    Remember(Mark, Record),
    /// Keep the record some time soon.
    Write(Record),
    /// Keep what is known of a provider's models some time soon.
    WriteModels(ProviderIndex, Vec<KnownModel>),
    /// Say that an instance goes with something that a load cannot bring back.
    Lost(ModelId, InstanceId, Loss),
    /// Break off the exchanges on this instance whose clients read nothing for as long as the configuration says.
    AbortStalled(InstanceKey),
    /// Break off every exchange.
    AbortAll,
    /// No provider of the device has this address any more, and nothing goes on there; what was due on it is whoever's who
    /// has it next.
    Freed(String, Option<Legacy>),
    /// The directory changed.
    Publish,
    /// The shutdown is complete.
    Stopped,
}

/// A granted claim.
#[derive(Debug)]
pub(super) struct Grant {
    pub(super) gate: Arc<Gate>,
    pub(super) instance: InstanceId,
    pub(super) timings: Timings,
}

/// One device's state.
#[derive(Debug)]
pub(super) struct Planner {
    /// The device's name.
    name: String,
    config: Config,
    /// The device's providers, in the configured order.
    servers: Vec<Server>,
    /// How many there have been.
    servers_ever: usize,
    addresses: Addresses,
    /// What memory is to be, once no swap relies on what it was.
    recount: Option<Option<NonZeroU64>>,
    /// The time of the event that is being handled.
    now: Instant,
    effects: Vec<Effect>,
    /// Something changed while settling: go round once more.
    changed: bool,
    /// The directory must be published.
    published_is_stale: bool,
    /// Effects and their ends, counted: what orders lists against them.
    clock: u64,
    models: BTreeMap<ModelId, Known>,
    instances: BTreeMap<InstanceKey, Held>,
    /// Instances we unloaded: lists that may be older than that do not bring them back.
    tombs: BTreeMap<InstanceKey, Tomb>,
    /// Models whose load was given up without knowing what became of it, and until when it may still turn up.
    orphans: BTreeMap<ModelId, Instant>,
    /// Oldest first.
    queue: Vec<Waiter>,
    /// Age of requests whose claim was refused, for their next candidate.
    ages: VecDeque<(RequestId, Instant)>,
    turns: Turns,
    hopes: Vec<Hope>,
    pins: Vec<(ModelId, Option<SkillName>)>,
    baseline: Baseline,
    /// By size, the whole device's.
    language: LaneState,
    embedding: LaneState,
    /// How long an unload took last.
    unload_time: Option<Duration>,
    shutdown: Option<Shutdown>,
    durable: Durable,
    #[cfg(test)]
    mutant: Option<Mutant>,
}

#[derive(Debug)]
struct Tomb {
    asked_after: Asked,
    until: Instant,
    /// What it was: a list may show it to the next life, too.
    was: InstanceRecord,
}

#[derive(Debug)]
struct Shutdown {
    /// When leases that still run are broken off.
    abort_at: Instant,
    /// When to stop whatever the state.
    stop_at: Instant,
    progress: ShutdownProgress,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ShutdownProgress {
    Draining,
    Aborted,
    Stopped,
}

/// Times the settling loop goes round at most: every round grants, refuses or begins something, and each waiter and
/// lane can do so a few times only.
const ROUNDS: usize = 4096;

/// Refused requests whose age is remembered.
const AGES: usize = 512;

// === impl Planner ===

impl Planner {
    /// A planner of these providers that knows nothing yet; its first effects are lists.
    pub(super) fn new(name: &str, config: Config, providers: &[Place], now: Instant) -> Self {
        let numbered = providers.iter().enumerate();
        Self {
            name: name.to_owned(),
            config,
            servers: numbered.map(|(index, place)| place.server(ProviderIndex(index), now)).collect(),
            servers_ever: providers.len(),
            addresses: Addresses::default(),
            recount: None,
            now,
            effects: Vec::new(),
            changed: false,
            published_is_stale: false,
            clock: 0,
            models: BTreeMap::new(),
            instances: BTreeMap::new(),
            tombs: BTreeMap::new(),
            orphans: BTreeMap::new(),
            queue: Vec::new(),
            ages: VecDeque::new(),
            turns: Turns::default(),
            hopes: Vec::new(),
            pins: Vec::new(),
            baseline: Baseline::default(),
            language: LaneState::default(),
            embedding: LaneState::default(),
            unload_time: None,
            shutdown: None,
            durable: Durable::default(),
            #[cfg(test)]
            mutant: None,
        }
    }

    /// Takes the event in and says what to do about it.
    pub(super) fn handle(&mut self, now: Instant, event: Event) -> Vec<Effect> {
        debug_assert!(now >= self.now, "time runs backwards");
        self.now = now;
        match event {
            Event::Claimed(ticket, claim) => self.on_claimed(ticket, claim),
            Event::ClaimedAfter(ended, ticket, claim) => {
                self.on_ended(&ended);
                self.on_claimed(ticket, claim);
            }
            Event::Left(ticket) => self.forget_waiter(ticket),
            Event::Ended(ended) => self.on_ended(&ended),
            Event::TurnOver(session) => self.turns.over(&session),
            Event::Wished(ticket, wish) => self.on_wished(ticket, wish),
            Event::SkillGone(skill) => self.on_skill_gone(&skill),
            Event::Listed(provider, asked, result) => self.on_listed(provider, asked, result),
            Event::Loaded(operation, result) => self.on_loaded(operation, result),
            Event::Unloaded(instance, result) => self.on_unloaded(&instance, result),
            Event::Remembered(mark, durability) => self.on_remembered(mark, durability),
            Event::Configured(config, places) => self.on_configured(*config, places),
            Event::Freed(address, legacy) => self.on_freed(address, legacy),
            Event::Tick => {}
            Event::Shutdown => self.on_shutdown(),
        }
        self.settle();
        std::mem::take(&mut self.effects)
    }

    /// Decides until nothing is left to decide.
    fn settle(&mut self) {
        self.expire();
        self.set_gates();
        for round in 0..ROUNDS {
            debug_assert!(round < ROUNDS / 2, "settling comes to an end");
            self.changed = false;
            self.recount();
            self.serve();
            self.refuse_hopeless();
            for lane in self.lanes() {
                self.advance(*lane);
                self.begin(*lane);
            }
            if !self.changed {
                break;
            }
        }
        self.forget_those_who_left();
        self.look_at_addresses();
        self.ask_for_lists();
        self.set_gates();
        self.answer_wishes();
        self.tell_waiters();
        self.advance_shutdown();
        let is_due_anew = self.baseline.take_changed();
        if std::mem::take(&mut self.published_is_stale) || is_due_anew {
            self.effects.push(Effect::Publish);
            self.write_down();
        }
        // Whoever hears of something looks it up in the directory: the notice comes after it.
        self.effects.sort_by_key(|effect| matches!(effect, Effect::Notice(_)));
    }

    /// Lets go of what time has ended.
    fn expire(&mut self) {
        self.turns.expire(self.now);
        let (now, turns) = (self.now, &self.turns);
        self.hopes.retain(|hope| hope.lasts(now, turns));
        let tombs = self.tombs.len();
        self.tombs.retain(|_, tomb| tomb.until > now);
        self.published_is_stale |= self.tombs.len() != tombs;
        let orphans = self.orphans.len();
        self.orphans.retain(|_, until| *until > now);
        self.published_is_stale |= self.orphans.len() != orphans;
        self.end_ttls();
    }

    /// Unfinished turns that are known.
    pub(super) fn turn_count(&self) -> u32 {
        u32::try_from(self.turns.len()).unwrap_or(u32::MAX)
    }

    /// When to be called again though nothing happens; none while the next event is all that matters.
    pub(super) fn wake_at(&self) -> Option<Instant> {
        let waiting = self.queue.iter().filter_map(|waiter| self.waiter_wakes(waiter));
        let lanes = [&self.language, &self.embedding].into_iter().filter_map(|lane| self.lane_wakes(lane));
        let turns = self.turns.wakes();
        let hopes = self.hopes.iter().map(|hope| hope.until);
        let backoffs = self.models.values().filter_map(|known| known.pace.until);
        let lists = self.servers.iter().filter_map(|server| server.link.wakes());
        let shutdown = self.shutdown.as_ref().and_then(|shutdown| shutdown.wakes(self.now));
        let orphans = self.orphans.values().copied();
        let kept = self.recovery_wakes().into_iter().chain(self.ttls_wake()).chain(orphans);
        let kept = kept.chain(self.addresses_wake());
        let all = waiting.chain(lanes).chain(turns).chain(hopes).chain(backoffs).chain(lists).chain(shutdown);
        all.chain(kept).filter(|at| *at > self.now).min()
    }

    /// The next number of the effects' clock.
    fn tick_clock(&mut self) -> u64 {
        self.clock += 1;
        self.clock
    }
}
