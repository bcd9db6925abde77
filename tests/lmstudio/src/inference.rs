//! From a model's name to an instance at work on a request: found or loaded, queued for, struck by faults.
//!
//! What every way of asking a model shares, whatever the shape of the question and of the answer. Refusals are values
//! here; the words and statuses they become are the families' own.

mod refusal;

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::config::{Kind, Model};
use crate::exchange::Exchange;
use crate::fault::{self, Ending as CutEnding, Met, Stage};
use crate::log::{Event, Origin};
use crate::memory::{Ending, Handle, Place, Wanted};
use crate::resolve::{ResolveError, Resolved};

pub(crate) use refusal::{broken, killed, unserved};

/// What a request asks for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ask<'a> {
    pub(crate) name: Option<&'a str>,
    pub(crate) kind: Kind,
    /// Idle time of the instance, where this request has it loaded.
    pub(crate) ttl: Option<Duration>,
    /// Its context, where this request has it loaded.
    pub(crate) context_length: Option<u32>,
}

/// An instance for a request.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) handle: Handle,
    pub(crate) load: Load,
}

/// Whether an instance was there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Load {
    /// It was, or was on its way already.
    Before,
    /// This request had it loaded.
    ByThisRequest,
}

/// Why a request is not served. The words are the program's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unserved {
    #[error(transparent)]
    Unresolved(#[from] ResolveError),
    #[error("Failed to load model \"{name}\". Error: {reason}")]
    LoadFailed { name: String, reason: String },
}

/// An instance at work on a request.
#[derive(Debug)]
pub(crate) struct Work {
    pub(crate) exchange: Exchange,
    pub(crate) handle: Handle,
    /// What it has met and what has not acted yet.
    pub(crate) fault: Option<Met>,
    pub(crate) started: Instant,
    /// Given back with this.
    _place: Place,
}

/// A request whose instance went before its first byte.
#[derive(Debug)]
pub(crate) struct Killed {
    pub(crate) exchange: Exchange,
    pub(crate) ending: Ending,
}

/// What a fault makes of an answer that is being sent.
#[derive(Debug)]
pub(crate) enum Struck {
    /// Nothing (any more).
    No,
    /// It stops there.
    Cut(CutEnding),
    /// It ends with this error.
    Error(String),
    /// Its instance is gone.
    Killed(Ending),
}

/// Finds the instance that serves a request, or begins to load it.
pub(crate) async fn find(exchange: &Exchange, ask: Ask<'_>) -> Result<Found, Unserved> {
    let found = match exchange.shared.resolve(ask.name, ask.kind)? {
        Resolved::Instance(handle) => Found { handle, load: Load::Before },
        Resolved::Load(model) => just_in_time(exchange, &model, ask).await?,
    };
    found.handle.touch();
    Ok(found)
}

/// Waits until the instance answers.
pub(crate) async fn settle(handle: &mut Handle, ask: Ask<'_>) -> Result<(), Unserved> {
    let settled = handle.settled().await;
    handle.touch();
    settled.map_err(|ending| {
        let name = ask.name.unwrap_or(&handle.model.key).to_owned();
        Unserved::LoadFailed { name, reason: ending.load_text().to_owned() }
    })
}

/// The instance that serves a request, ready to.
pub(crate) async fn instance_for(exchange: &Exchange, ask: Ask<'_>) -> Result<Handle, Unserved> {
    let mut found = find(exchange, ask).await?;
    settle(&mut found.handle, ask).await?;
    Ok(found.handle)
}

/// Loads a model because a request needs it; the one that was loaded so before goes first.
async fn just_in_time(exchange: &Exchange, model: &Arc<Model>, ask: Ask<'_>) -> Result<Found, Unserved> {
    let shared = &exchange.shared;
    shared.evict_jit(model).await;
    // While room was made another request may have begun the load that this one needs.
    if let Ok(Resolved::Instance(handle)) = shared.resolve(Some(&model.key), ask.kind) {
        return Ok(Found { handle, load: Load::Before });
    }
    let name = ask.name.unwrap_or_default();
    let fault = exchange.meet(Stage::Load, &[&model.key, name]);
    let wanted = Wanted { ttl: ask.ttl, context_length: ask.context_length, ..Wanted::default() };
    let begun = shared.begin_load(model, &wanted, Origin::Jit, exchange.number, fault);
    match begun {
        Ok(handle) => Ok(Found { handle, load: Load::ByThisRequest }),
        Err(error) => {
            let name = ask.name.unwrap_or(&model.key).to_owned();
            Err(Unserved::LoadFailed { name, reason: error.to_string() })
        }
    }
}

/// The future's result, unless the instance goes first.
pub(crate) async fn unless_gone<T>(
    handle: &mut Handle,
    future: impl Future<Output = T>,
) -> Result<T, Ending> {
    tokio::select! {
        biased;
        ending = handle.gone() => Err(ending),
        result = future => Ok(result),
    }
}

/// How long the token of that number takes to come, from the first.
pub(crate) fn pace(model: &Model, token: usize) -> Option<Duration> {
    let speed = model.tokens_per_second;
    #[expect(clippy::cast_precision_loss, reason = "nobody waits for 2^52 tokens")]
    let seconds = token as f64 / speed;
    if speed > 0.0 { Duration::try_from_secs_f64(seconds).ok() } else { None }
}

// === impl Work ===

impl Work {
    /// Waits for a place among the requests that the instance works on, and for the first token.
    pub(crate) async fn begin(
        exchange: Exchange,
        mut handle: Handle,
        asked: Option<&str>,
    ) -> Result<Self, Killed> {
        let place = match place(&exchange, &mut handle).await {
            Ok(place) => place,
            Err(ending) => return Err(Killed { exchange, ending }),
        };
        let fault =
            exchange.meet(Stage::Generation, &[&handle.id, &handle.model.key, asked.unwrap_or_default()]);
        let event = Event::RequestStarted { request: exchange.number, instance: handle.id.clone() };
        exchange.shared.log.note(event);
        let started = Instant::now();
        let pause = handle.model.first_token_time;
        let mut work = Self { exchange, handle, fault, started, _place: place };
        if !pause.is_zero()
            && let Err(ending) = unless_gone(&mut work.handle, tokio::time::sleep(pause)).await
        {
            work.note_killed();
            return Err(Killed { exchange: work.exchange, ending });
        }
        Ok(work)
    }

    /// Lets the request's fault act, if its time has come: after so many chunks, or before the last where `closing`.
    pub(crate) async fn strike(&mut self, sent: u32, closing: bool) -> Struck {
        let due = |after: u32| sent >= after || closing;
        let Some(mut met) = self.fault.take_if(|met| met.kind.bites().is_some_and(due)) else {
            return Struck::No;
        };
        match &met.kind {
            fault::Kind::CutStream { ending, .. } => Struck::Cut(*ending),
            fault::Kind::StreamError { message, .. } => Struck::Error(message.clone()),
            fault::Kind::Crash { .. } => {
                self.exchange.shared.crash(&self.handle.id);
                Struck::Killed(Ending::Crashed)
            }
            _ => match unless_gone(&mut self.handle, self.exchange.hold(&mut met)).await {
                Ok(()) => Struck::No,
                Err(ending) => Struck::Killed(ending),
            },
        }
    }

    /// Waits until the token of that number is due; the error is why the instance is gone.
    pub(crate) async fn wait_for_token(&mut self, first: Instant, token: usize) -> Result<(), Ending> {
        match pace(&self.handle.model, token) {
            Some(wait) => unless_gone(&mut self.handle, tokio::time::sleep_until(first + wait)).await,
            None => self.handle.ending().map_or(Ok(()), Err),
        }
    }

    pub(crate) fn note_first_token(&self) {
        let event = Event::FirstToken { request: self.exchange.number, instance: self.handle.id.clone() };
        self.exchange.shared.log.note(event);
    }

    pub(crate) fn note_killed(&self) {
        let event = Event::StreamKilled { request: self.exchange.number, instance: self.handle.id.clone() };
        self.exchange.shared.log.note(event);
    }

    /// The process behind the instance did not answer: it has crashed, unless it was just being ended.
    pub(crate) fn lost_engine(&self) -> Ending {
        self.handle.ending().unwrap_or_else(|| {
            self.exchange.shared.crash(&self.handle.id);
            Ending::Crashed
        })
    }
}

/// A place among the `parallel` requests that the instance works on at once.
async fn place(exchange: &Exchange, handle: &mut Handle) -> Result<Place, Ending> {
    if let Some(place) = handle.place_now() {
        return handle.ending().map_or(Ok(place), Err);
    }
    exchange.shared.log.note(Event::RequestQueued { request: exchange.number, instance: handle.id.clone() });
    let queue = handle.clone();
    unless_gone(handle, queue.place()).await
}
