//! One request's account: when it came, what was decided and tried, how it ended. It is opened with the request and closed
//! exactly once, whoever closes it: the answer's end, an error, a skill's reply, or the drop of a client that left.
//!
//! Closing commits everything that outlives the request: the session's hold, the record that `why` reads, the event that
//! skills are told, the line in the log.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::{Gateway, Settings};
use crate::id::{ModelId, RequestId, SessionKey};
use crate::route::{Attempt, Routed};
use crate::session::table;
use crate::skill::Hook;
use crate::splice::body::{Ending, Ends, Outcome};
use crate::telemetry::{self, Record, millis};
use crate::turn::event::{self, Event};
use crate::turn::verdict::Route;
use crate::wire::answer::Watch;

/// What is known of one request so far.
pub(super) struct Account {
    pub(super) gateway: Arc<Gateway>,
    /// As they were when it came.
    pub(super) settings: Arc<Settings>,
    pub(super) id: RequestId,
    pub(super) started: Instant,
    /// The configured name of the client's key, where keys are in use.
    pub(super) client: Option<String>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    record: Record,
    /// The conversation, unless it is only beside it.
    session: Option<SessionKey>,
    routed: Option<Routed>,
    /// The model that is being waited for, and which of the route's candidates it is.
    trying: Option<(ModelId, Option<usize>)>,
    is_closed: bool,
}

/// Closes an account: when told how the exchange ended, else when dropped.
pub(super) struct Finish {
    account: Arc<Account>,
    pub(super) status: u16,
}

// === impl Account ===

impl Account {
    /// Opens the account of a request that came at this moment.
    pub(super) fn open(gateway: &Arc<Gateway>, client: Option<String>) -> Arc<Self> {
        let id = gateway.next_request();
        let record = Record { request: id.shared(), at_ms: epoch_ms(), ..Record::default() };
        let state = Mutex::new(State { record, ..State::default() });
        let (gateway, settings) = (gateway.clone(), gateway.settings.load_full());
        Arc::new(Self { gateway, settings, id, started: Instant::now(), client, state })
    }

    /// Changes the record.
    pub(super) fn note(&self, change: impl FnOnce(&mut Record)) {
        change(&mut self.state().record);
    }

    /// The request belongs to this conversation; `moves_it` unless it is a side call.
    pub(super) fn attach(&self, session: &SessionKey, moves_it: bool) {
        self.state().session = moves_it.then(|| session.clone());
    }

    /// A skill's route is in force for the request.
    pub(super) fn route(&self, routed: &Routed) {
        let mut state = self.state();
        state.record.skill = Some(routed.skill.shared());
        state.record.reason = Some(routed.route.reason.as_str().into());
        state.routed = Some(routed.clone());
    }

    /// The route in force came to nothing without anything having failed: it counts as if the skill had passed.
    pub(super) fn unroute(&self) {
        let mut state = self.state();
        let Some(routed) = state.routed.take() else { return };
        let note =
            format!("{}'s route may not push other models out now, so it counted as pass", routed.skill);
        state.record.notes.push(note);
        (state.record.skill, state.record.reason) = (None, None);
        drop(state);
        self.release(&routed.route);
    }

    /// The route does not hold for the conversation any more.
    pub(super) fn release(&self, route: &Arc<Route>) {
        let session = self.state().session.clone();
        if let Some(session) = session {
            let mut sessions = self.gateway.sessions.lock().unwrap_or_else(PoisonError::into_inner);
            sessions.release(&session, route);
        }
    }

    /// An attempt begins.
    pub(super) fn begin(&self, attempt: &Attempt, sent: &'static str) {
        let mut state = self.state();
        let model = attempt.model.shared();
        let trying = Some((attempt.model.clone(), attempt.candidate));
        // Where it goes on with its own answer, it did not fall back once more.
        let is_another = !state.record.attempts.is_empty() && state.trying != trying;
        if state.routed.is_some() && attempt.candidate.is_none() && is_another {
            state.record.notes.push(format!("fell back to {model}"));
        }
        state.trying = trying;
        state.record.attempts.push(telemetry::Attempt { model, sent: sent.into(), ..Default::default() });
    }

    /// The attempt that is going on has something to say of itself.
    pub(super) fn note_attempt(&self, change: impl FnOnce(&mut telemetry::Attempt)) {
        if let Some(attempt) = self.state().record.attempts.last_mut() {
            change(attempt);
        }
    }

    /// The model of the moment, the deciding skill and its reason: what response headers say.
    pub(super) fn headline(&self) -> [Option<Arc<str>>; 3] {
        let state = self.state();
        let model = state.trying.as_ref().map(|(model, _)| model.shared());
        [model, state.record.skill.clone(), state.record.reason.clone()]
    }

    /// The model that is being waited for.
    pub(super) fn waiting_for(&self) -> Option<ModelId> {
        self.state().trying.as_ref().map(|(model, _)| model.clone())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Closes the account. Only the first call counts.
    fn close(&self, ending: &Ending, status: u16) {
        let mut state = {
            let mut state = self.state();
            if state.is_closed {
                return;
            }
            let closed = State { is_closed: true, ..State::default() };
            std::mem::replace(&mut *state, closed)
        };
        let now = Instant::now();
        if let Some(session) = &state.session {
            let end = match &ending.outcome {
                Outcome::Whole if ending.watch.tool_calls => table::End::CalledTools,
                Outcome::Whole => table::End::Answered,
                Outcome::Failed(_) | Outcome::ClientLeft => table::End::Broken,
            };
            let route = state.routed.as_ref().map(|routed| &routed.route);
            let mut sessions = self.gateway.sessions.lock().unwrap_or_else(PoisonError::into_inner);
            sessions.ended(now.into_std(), session, route, end);
        }
        self.complete(&mut state.record, ending, now, status);
        if self.gateway.skills.generation().has(Hook::Event) {
            let outcome = self.outcome(&state, ending, now - self.started);
            self.gateway.skills.events().send(Event::RequestFinished(Box::new(outcome)));
        }
        log(&state.record);
        self.gateway.ring.push(state.record);
    }

    fn complete(&self, record: &mut Record, ending: &Ending, now: Instant, status: u16) {
        record.total_ms = millis(now - self.started);
        record.first_token_ms = ending.first_token.map(|at| millis(at - self.started));
        record.queue_ms =
            record.attempts.iter().filter_map(|attempt| attempt.queued_ms).reduce(|sum, ms| sum + ms);
        record.finish.clone_from(&ending.watch.finish);
        record.prompt_tokens = ending.watch.usage.and_then(|usage| usage.prompt_tokens);
        record.completion_tokens = ending.watch.usage.and_then(|usage| usage.completion_tokens);
        record.status = status;
        record.error = match &ending.outcome {
            Outcome::Whole => None,
            Outcome::Failed(error) => Some(format!("{} ({})", error.message, error.fault.as_str())),
            Outcome::ClientLeft => Some("the client left before the answer was whole".to_owned()),
        };
    }

    fn outcome(&self, state: &State, ending: &Ending, total: Duration) -> event::Outcome {
        let record = &state.record;
        let candidate = state.trying.as_ref().and_then(|(_, candidate)| *candidate);
        let decided = state.routed.as_ref().zip(candidate).map(|(routed, candidate)| event::Decided {
            skill: routed.skill.clone(),
            tag: routed.route.tag.clone(),
            candidate: u32::try_from(candidate).unwrap_or(u32::MAX),
        });
        event::Outcome {
            request_id: self.id.clone(),
            session: SessionKey::new(record.session.clone()),
            agent: record.agent.as_deref().map(str::to_owned),
            client: self.client.clone(),
            model: record.model.as_deref().unwrap_or_default().to_owned(),
            decided,
            finish_reason: record.finish.clone(),
            fault: fault(&ending.outcome),
            prompt_tokens: record.prompt_tokens,
            completion_tokens: record.completion_tokens,
            queued: Duration::from_millis(record.queue_ms.unwrap_or_default()),
            first_token: ending.first_token.map(|at| at - self.started),
            total,
        }
    }
}

/// What went wrong, in the contract's words.
fn fault(outcome: &Outcome) -> Option<event::Fault> {
    let (code, message, retryable) = match outcome {
        Outcome::Whole => return None,
        Outcome::Failed(error) => (error.code, error.message.clone(), error.status >= 500),
        Outcome::ClientLeft => ("cancelled", "the client left".to_owned(), false),
    };
    Some(event::Fault { code: code.to_owned(), message, retryable })
}

/// Milliseconds since the Unix epoch.
pub(super) fn epoch_ms() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    millis(since)
}

/// The one line that a request leaves in the log.
fn log(record: &Record) {
    let (request, session) = (&*record.request, &*record.session);
    let status = record.status;
    match &record.error {
        None if record.skill.is_some() => tracing::info!(request, session, status, "{}", record.headline()),
        None => tracing::debug!(request, session, status, "{}", record.headline()),
        Some(_) => tracing::warn!(request, session, status, "{}", record.headline()),
    }
}

// === impl Finish ===

impl Finish {
    /// A guard over the account's end.
    pub(super) fn new(account: Arc<Account>) -> Self {
        Self { account, status: 0 }
    }
}

impl Ends for Finish {
    fn ended(&mut self, ending: Ending) {
        self.account.close(&ending, self.status);
    }
}

impl Drop for Finish {
    fn drop(&mut self) {
        let ending = Ending { outcome: Outcome::ClientLeft, watch: Watch::default(), first_token: None };
        self.account.close(&ending, self.status);
    }
}
