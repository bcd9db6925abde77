//! The host's side of one guest instance: who it is, what it may do, what it has left of its allowance, where its output
//! goes. Nothing outlives the instance; a call begins with a full allowance and an empty output.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;
use sha2::{Digest, Sha256};

use super::activity::Activity;
use super::allowance::{Allowance, Leave, Limits};
use super::http::Http;
use super::inference::Inference;
use super::kv::Kv;
use super::memory::Memory;
use super::models::Models;
use super::residency::Residency;
use super::sessions::Sessions;
use super::subject::{Moment, Seed, Subject};
use super::wasi::Wasi;
use super::{Error, bindings};
use crate::grant::{Capability, Rights};
use crate::id::SkillName;
use crate::model::Directory;

/// Who a guest is; shared by all instances of one version of a skill.
#[derive(Debug)]
pub struct Identity {
    /// The name it is installed under.
    pub name: SkillName,
    /// The version it says it is; empty until it has said so.
    pub version: String,
    /// What it may do.
    pub rights: Rights,
}

/// The rooms behind the capabilities.
#[derive(Clone)]
pub struct Delegates {
    /// Knows the models.
    pub models: Arc<dyn Models>,
    /// Takes wishes.
    pub residency: Arc<dyn Residency>,
    /// Knows which model a conversation uses.
    pub sessions: Arc<dyn Sessions>,
    /// Asks models.
    pub inference: Arc<dyn Inference>,
    /// Keeps what skills want kept.
    pub kv: Arc<dyn Kv>,
    /// Sends requests.
    pub http: Arc<dyn Http>,
    /// Knows what happened.
    pub activity: Arc<dyn Activity>,
}

/// What a guest is being called for.
#[derive(Debug, Clone)]
pub enum Phase {
    /// `describe` or `configure`: nothing it asks for may have an effect.
    Setup,
    /// A hook, with the turn that it is about; an event is about none.
    Hook(Option<Subject>),
}

/// The store's data of one instance.
pub struct Sandbox {
    pub(super) identity: Arc<Identity>,
    pub(super) delegates: Delegates,
    pub(super) phase: Phase,
    pub(super) allowance: Allowance,
    /// Where the random bytes come from of a call that may be made once more, as soon as it has asked for some.
    chance: Option<ChaCha20Rng>,
    pub(super) wasi: Wasi,
    memory: Memory,
    ticks: Arc<AtomicU64>,
    host_calls_max: u32,
    log_bytes_max: usize,
}

/// A guest did what ends its call; the message is a fragment that follows "the skill".
#[derive(Debug, thiserror::Error)]
pub enum Overstep {
    /// More host calls than one call may make.
    #[error("called the host more than {0} times")]
    HostCalls(u32),
}

// === impl Sandbox ===

impl Sandbox {
    /// The host's side of a new instance. `ticks` counts the engine's clock.
    pub fn new(
        identity: Arc<Identity>,
        delegates: Delegates,
        limits: &Limits,
        ticks: Arc<AtomicU64>,
    ) -> Self {
        Self {
            identity,
            delegates,
            phase: Phase::Setup,
            allowance: Allowance::default(),
            chance: None,
            wasi: Wasi::inert(),
            memory: Memory::new(limits),
            ticks,
            host_calls_max: limits.host_calls_max,
            log_bytes_max: limits.log_bytes_max,
        }
    }

    /// A call begins.
    pub fn begin(&mut self, phase: Phase, allowance: Allowance) {
        self.phase = phase;
        self.allowance = allowance;
        self.chance = None;
        self.wasi.at(self.moment().cloned());
        self.wasi.output.open(self.log_bytes_max);
    }

    /// The call is over: what the guest printed goes to the log.
    pub fn end(&mut self) {
        for line in self.wasi.output.take().lines().filter(|line| !line.trim().is_empty()) {
            self.log_line(bindings::log::Level::Info, line);
        }
        self.phase = Phase::Setup;
    }

    /// The call has failed: what the guest printed goes to the log, and is returned, for it tells why.
    pub fn fail(&mut self) -> LastWords {
        let printed = self.wasi.output.take();
        for line in printed.lines().filter(|line| !line.trim().is_empty()) {
            self.log_line(bindings::log::Level::Warn, line);
        }
        LastWords { printed, refused: self.memory.take_refusal() }
    }

    /// The engine's clock ticked while the guest ran.
    pub fn tick(&mut self) -> Leave {
        self.allowance.tick()
    }

    /// Bytes of linear memory held now.
    pub fn memory_bytes(&self) -> usize {
        self.memory.bytes()
    }

    /// What bounds its memory.
    pub fn limiter(&mut self) -> &mut dyn wasmtime::ResourceLimiter {
        &mut self.memory
    }

    /// Every imported function begins with this, so that a call cannot make a million of them.
    pub(super) fn enter(&mut self) -> wasmtime::Result<()> {
        match self.allowance.host_call() {
            Leave::Granted => Ok(()),
            Leave::Spent => Err(Overstep::HostCalls(self.host_calls_max).into()),
        }
    }

    /// The user granted this.
    pub(super) fn check(&self, capability: Capability) -> Result<(), Error> {
        if self.identity.rights.allow(capability) {
            Ok(())
        } else {
            Err(Error::denied(&self.identity, capability))
        }
    }

    /// Waits for the host on the guest's behalf, and sees to it that the guest is not charged for that.
    pub(super) async fn wait<T>(&mut self, work: impl Future<Output = T>) -> T {
        let before = self.ticks.load(Ordering::Relaxed);
        let done = work.await;
        if self.ticks.load(Ordering::Relaxed) != before {
            self.allowance.excuse_tick();
        }
        done
    }

    /// The guest may use what takes its time: other servers, or models.
    pub fn may_ask_others(&self) -> bool {
        let rights = &self.identity.rights;
        rights.allow(Capability::Inference) || rights.allow(Capability::Http)
    }

    /// Nobody has decided yet to use the skill: nothing it asks for may have an effect.
    pub(super) fn is_setup(&self) -> bool {
        matches!(self.phase, Phase::Setup)
    }

    /// The same bytes each time that the call is made; none where it is made but once.
    pub(super) fn chance(&mut self) -> Option<&mut ChaCha20Rng> {
        let seed = self.moment()?.seed;
        let own = || chance(&seed, self.identity.name.as_str());
        Some(self.chance.get_or_insert_with(own))
    }

    /// The moment that the call is about, where it is about one.
    pub(super) fn moment(&self) -> Option<&Moment> {
        self.subject()?.moment.as_ref()
    }

    /// The models, at the moment that the call is about.
    pub(super) fn directory(&self) -> Arc<Directory> {
        let now = || self.delegates.models.directory();
        self.moment().map_or_else(now, |moment| moment.directory.clone())
    }

    /// The turn that the call is about.
    pub(super) fn subject(&self) -> Option<&Subject> {
        match &self.phase {
            Phase::Hook(subject) => subject.as_ref(),
            Phase::Setup => None,
        }
    }
}

/// One share of a turn's chance: nobody can tell another's from their own.
pub(super) fn chance(seed: &Seed, whose: &str) -> ChaCha20Rng {
    let own = Sha256::new().chain_update(seed).chain_update(whose).finalize();
    ChaCha20Rng::from_seed(own.into())
}

/// What a failed guest left behind.
#[derive(Debug)]
pub struct LastWords {
    /// Its output, such as a panic message.
    pub printed: String,
    /// What it asked for and was not given.
    pub refused: Option<String>,
}
