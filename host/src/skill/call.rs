//! One call into one guest: the allowance before it, the bounds around it, the reason after it.
//!
//! Three bounds hold at once. The engine's clock counts the ticks in which the guest was seen running and yields to the
//! runtime at each; a timer bounds the wall clock, whatever the guest waits for; the host counts what the guest asks of
//! it. An instance that failed in any way is never called again: its store goes when the [`Instance`] is dropped, as it
//! does when the caller drops the call's future.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::error::Elapsed;
use tokio::time::timeout;
use wasmtime::component::ResourceTableError;
use wasmtime::{Store, Trap};

use super::engine::{Engine, Slot};
use super::text::{SHOWN_BYTES_MAX, shown};
use super::ticker::Running;
use crate::capability::bindings::{
    command_hook, event_hook, guard_hook, lifecycle, request_hook, tool_hook, types,
};
use crate::capability::{Allowance, LastWords, Limits, Overstep, Phase, Sandbox, Subject};

/// A guest in its store, with the hooks it has.
pub(super) struct Instance {
    pub(super) store: Store<Sandbox>,
    pub(super) hooks: Hooks,
    pub(super) engine: Arc<Engine>,
    pub(super) limits: Arc<Limits>,
    /// Hook calls it has served.
    pub(super) calls: u32,
    /// Bytes of memory it held when it had been configured.
    pub(super) configured_bytes: usize,
    pub(super) _slot: Slot,
}

/// The functions of one instance.
pub(super) struct Hooks {
    pub(super) lifecycle: lifecycle::Guest,
    pub(super) request: Option<request_hook::Guest>,
    pub(super) tool: Option<tool_hook::Guest>,
    pub(super) guard: Option<guard_hook::Guest>,
    pub(super) command: Option<command_hook::Guest>,
    pub(super) event: Option<event_hook::Guest>,
}

/// What holds for one call.
struct Bounds {
    cpu: Duration,
    wall_clock: Duration,
    _running: Running,
}

/// Why a call into a guest came to nothing; a fragment that follows the skill's name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// It computed for longer than it may.
    #[error("used more than {limit:?} of computing time{words}")]
    Cpu {
        /// The limit.
        limit: Duration,
        /// What it printed, to be put behind the message.
        words: String,
    },
    /// It did not come back in time, whatever it waited for.
    #[error("did not answer within {limit:?}{words}")]
    WallClock {
        /// The limit.
        limit: Duration,
        /// What it printed, to be put behind the message.
        words: String,
    },
    /// It crashed, or did what ends a call.
    #[error("{reason}{words}")]
    Trap {
        /// What ended it.
        reason: String,
        /// What it printed, to be put behind the message.
        words: String,
    },
    /// It answered with an error.
    #[error("answered with an error: {code}: {message}")]
    Answer {
        /// The contract's word for it, as the guest gave it.
        code: String,
        /// What the guest says about it.
        message: String,
    },
    /// All places for instances are taken. No fault of the skill.
    #[error("has no free instance; waited {0:?}")]
    Busy(Duration),
    /// The instance lacks a hook that its component was said to have.
    #[error("does not export `{0}`")]
    Missing(&'static str),
}

// === impl Instance ===

impl Instance {
    pub(super) async fn describe(&mut self) -> Result<lifecycle::Manifest, CallError> {
        let bounds = self.begin_setup();
        let done = timeout(bounds.wall_clock, self.hooks.lifecycle.call_describe(&mut self.store)).await;
        self.finish(done, &bounds)
    }

    pub(super) async fn configure(&mut self, settings: &str) -> Result<(), CallError> {
        let bounds = self.begin_setup();
        let done =
            timeout(bounds.wall_clock, self.hooks.lifecycle.call_configure(&mut self.store, settings)).await;
        self.finish(done, &bounds)?.map_err(CallError::answer)?;
        self.configured_bytes = self.store.data().memory_bytes();
        Ok(())
    }

    pub(super) async fn on_request(
        &mut self,
        turn: &types::Turn,
        subject: Subject,
    ) -> Result<request_hook::Verdict, CallError> {
        let bounds = self.begin_hook(Some(subject));
        let Some(hook) = &self.hooks.request else { return Err(CallError::Missing("request-hook")) };
        let done = timeout(bounds.wall_clock, hook.call_on_request(&mut self.store, turn)).await;
        self.finish_hook(done, &bounds)
    }

    pub(super) async fn on_tool_call(
        &mut self,
        turn: &types::Turn,
        call: &tool_hook::ToolCall,
        subject: Subject,
    ) -> Result<tool_hook::ToolVerdict, CallError> {
        let bounds = self.begin_hook(Some(subject));
        let Some(hook) = &self.hooks.tool else { return Err(CallError::Missing("tool-hook")) };
        let done = timeout(bounds.wall_clock, hook.call_on_tool_call(&mut self.store, turn, call)).await;
        self.finish_hook(done, &bounds)
    }

    pub(super) async fn narrow(
        &mut self,
        turn: &types::Turn,
        candidates: &[types::Model],
        subject: Subject,
    ) -> Result<Vec<String>, CallError> {
        let bounds = self.begin_hook(Some(subject));
        let Some(hook) = &self.hooks.guard else { return Err(CallError::Missing("guard-hook")) };
        let done = timeout(bounds.wall_clock, hook.call_narrow(&mut self.store, turn, candidates)).await;
        self.finish_hook(done, &bounds)
    }

    /// Asked once, of an instance that was just configured.
    pub(super) async fn commands(&mut self) -> Result<Vec<command_hook::Command>, CallError> {
        let bounds = self.begin_setup();
        let Some(hook) = &self.hooks.command else { return Err(CallError::Missing("command-hook")) };
        let done = timeout(bounds.wall_clock, hook.call_commands(&mut self.store)).await;
        self.finish(done, &bounds)
    }

    pub(super) async fn on_command(
        &mut self,
        turn: &types::Turn,
        (name, arguments): (&str, &str),
        subject: Subject,
    ) -> Result<String, CallError> {
        let bounds = self.begin_hook(Some(subject));
        let Some(hook) = &self.hooks.command else { return Err(CallError::Missing("command-hook")) };
        let done =
            timeout(bounds.wall_clock, hook.call_on_command(&mut self.store, turn, name, arguments)).await;
        self.finish_hook(done, &bounds)
    }

    pub(super) async fn on_event(&mut self, event: &event_hook::Event) -> Result<(), CallError> {
        let bounds = self.begin_hook(None);
        let Some(hook) = &self.hooks.event else { return Err(CallError::Missing("event-hook")) };
        let done = timeout(bounds.wall_clock, hook.call_on_event(&mut self.store, event)).await;
        self.finish_hook(done, &bounds)
    }

    /// It may serve another call.
    pub(super) fn is_fit(&self) -> bool {
        let grown = self.store.data().memory_bytes().saturating_sub(self.configured_bytes);
        self.calls < self.limits.reuse_max && grown <= self.limits.reuse_growth_bytes_max
    }

    /// How long a hook may take: longer where it may wait for others.
    fn wall_clock(&self) -> Duration {
        if self.store.data().may_ask_others() {
            self.limits.wall_clock_asking
        } else {
            self.limits.wall_clock
        }
    }

    /// Describing itself, taking its settings: the guest's own computing, nobody else's.
    fn begin_setup(&mut self) -> Bounds {
        self.begin(Phase::Setup, self.limits.configure_cpu, self.limits.wall_clock)
    }

    fn begin_hook(&mut self, subject: Option<Subject>) -> Bounds {
        self.begin(Phase::Hook(subject), self.limits.hook_cpu, self.wall_clock())
    }

    fn begin(&mut self, phase: Phase, cpu: Duration, wall_clock: Duration) -> Bounds {
        self.store.data_mut().begin(phase, Allowance::full(&self.limits, cpu));
        self.store.set_epoch_deadline(1);
        Bounds { cpu, wall_clock, _running: self.engine.running() }
    }

    fn finish_hook<T>(
        &mut self,
        done: Result<wasmtime::Result<Result<T, types::Error>>, Elapsed>,
        bounds: &Bounds,
    ) -> Result<T, CallError> {
        self.calls += 1;
        self.finish(done, bounds)?.map_err(CallError::answer)
    }

    fn finish<T>(
        &mut self,
        done: Result<wasmtime::Result<T>, Elapsed>,
        bounds: &Bounds,
    ) -> Result<T, CallError> {
        let error = match done {
            Ok(Ok(answer)) => {
                self.store.data_mut().end();
                return Ok(answer);
            }
            Ok(Err(error)) => Some(error),
            Err(Elapsed { .. }) => None,
        };
        let words = words(&self.store.data_mut().fail());
        Err(match error {
            Some(error) => CallError::from_trap(&error, bounds.cpu, words),
            None => CallError::WallClock { limit: bounds.wall_clock, words },
        })
    }
}

// === impl CallError ===

impl CallError {
    /// What an error of the engine means; `words` is what the guest printed.
    pub(super) fn from_trap(error: &wasmtime::Error, cpu: Duration, words: String) -> Self {
        tracing::debug!("a guest was ended: {error:?}");
        if let Some(overstep) = error.downcast_ref::<Overstep>() {
            return Self::Trap { reason: overstep.to_string(), words };
        }
        if let Some(ResourceTableError::Full) = error.downcast_ref() {
            return Self::Trap { reason: "held more handles of WASI's than it may".to_owned(), words };
        }
        match error.downcast_ref::<Trap>() {
            Some(Trap::Interrupt) => Self::Cpu { limit: cpu, words },
            Some(trap) => Self::Trap { reason: format!("crashed: {trap}"), words },
            None => {
                Self::Trap { reason: format!("was ended: {}", shown(&error.root_cause().to_string())), words }
            }
        }
    }

    fn answer(error: types::Error) -> Self {
        Self::Answer { code: shown(&error.code), message: shown(&error.message) }
    }

    /// The skill is at fault, not the gateway's load.
    pub(super) fn is_fault(&self) -> bool {
        !matches!(self, Self::Busy(_))
    }
}

/// The last of what a guest printed and what it was refused, in one line that follows the reason.
pub(super) fn words(last: &LastWords) -> String {
    let start = last.printed.len().saturating_sub(SHOWN_BYTES_MAX);
    let tail = last.printed.get(last.printed.ceil_char_boundary(start)..).unwrap_or_default();
    let lines: Vec<&str> = tail
        .lines()
        .map(str::trim)
        // What Rust's runtime says after each panic, of no use to whom this is shown.
        .filter(|line| !line.is_empty() && !line.starts_with("note: run with `RUST_BACKTRACE"))
        .collect();
    let printed = shown(&lines.join(" "));
    match (&last.refused, printed.is_empty()) {
        (None, true) => String::new(),
        (None, false) => format!("; it printed: {printed}"),
        (Some(refused), true) => format!("; {refused}"),
        (Some(refused), false) => format!("; {refused}; it printed: {printed}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn last_words_are_one_short_line() {
        let check = |printed: &str, refused: Option<&str>, expected: &str| {
            let last = LastWords { printed: printed.to_owned(), refused: refused.map(str::to_owned) };
            assert_eq!(words(&last), expected);
        };
        check("", None, "");
        check("\n", Some("it wanted too much"), "; it wanted too much");
        check(
            "thread panicked at x.rs:1:\nwhy\u{7}\nnote: run with `RUST_BACKTRACE=1` environment variable\n",
            None,
            "; it printed: thread panicked at x.rs:1: why",
        );
        let long = words(&LastWords { printed: "ä".repeat(100_000), refused: None });
        assert!(long.len() < SHOWN_BYTES_MAX + 100, "{}", long.len());
    }
}
