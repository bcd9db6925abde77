//! What the attempts to serve one request share, and the record of what became of them.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::HeaderMap;
use tokio::time::Instant;

use super::Gateway;
use crate::id::ModelId;
use crate::residency::{Claim, Progress, Purpose};
use crate::route::{Attempt, Plan};
use crate::session::table::{self, Standing};
use crate::skill::Hook;
use crate::splice::body::{Ending, Ends, Outcome};
use crate::telemetry::{self, Record};
use crate::turn::Turn;
use crate::turn::event::{self, Event};
use crate::turn::verdict::{Candidate, Swap};
use crate::wire::chat::Request;

/// One request on its way through its attempts.
pub(super) struct Job {
    pub(super) gateway: Arc<Gateway>,
    pub(super) request: Request,
    pub(super) headers: HeaderMap,
    pub(super) turn: Turn,
    pub(super) plan: Plan,
    pub(super) patches: Vec<String>,
    pub(super) progress: Arc<Progress>,
    pub(super) started: Instant,
    /// The request continues a turn: a prompt composed for its first request would drop the tools' results.
    continues: bool,
    side_call: bool,
    state: Mutex<State>,
}

struct State {
    record: Record,
    /// The model that is being waited for now.
    waiting_for: ModelId,
    candidate: Option<usize>,
    over: bool,
}

// === impl Job ===

impl Job {
    #[expect(clippy::too_many_arguments, reason = "each is the output of one step of the data path")]
    pub(super) fn new(
        gateway: &Arc<Gateway>,
        request: Request,
        headers: HeaderMap,
        turn: Turn,
        plan: Plan,
        patches: Vec<String>,
        standing: &Standing,
        record: Record,
    ) -> Arc<Self> {
        let waiting_for =
            plan.attempts.first().map_or_else(|| ModelId::new(""), |attempt| attempt.model.clone());
        Arc::new(Self {
            gateway: gateway.clone(),
            request,
            headers,
            turn,
            plan,
            patches,
            progress: Arc::default(),
            started: Instant::now(),
            continues: matches!(standing, Standing::Continues(_)),
            side_call: matches!(standing, Standing::SideCall),
            state: Mutex::new(State { record, waiting_for, candidate: None, over: false }),
        })
    }

    /// The claim that an attempt makes on its model.
    pub(super) fn claim(&self, attempt: &Attempt, prompt_tokens: u32) -> Claim {
        let purpose = match attempt.terms {
            _ if self.side_call => Purpose::SideCall { swap: Swap::Wait },
            Some((swap, afterwards)) => Purpose::Routed { swap, afterwards },
            None => Purpose::Plain,
        };
        Claim {
            model: attempt.model.clone(),
            purpose,
            session: self.turn.session.clone(),
            request: self.turn.request_id.clone(),
            prompt_tokens,
            output_tokens: self.turn.max_output_tokens.unwrap_or_default(),
            context_length: attempt.context_length,
            progress: self.progress.clone(),
        }
    }

    /// The route's candidate that an attempt stands for.
    pub(super) fn candidate(&self, attempt: &Attempt) -> Option<&Candidate> {
        self.plan.routed.as_ref()?.route.candidates.get(attempt.candidate?)
    }

    /// The prompt that an attempt sends in place of the conversation.
    pub(super) fn prompt(&self, attempt: &Attempt) -> Option<&crate::turn::prompt::Prompt> {
        if self.continues { None } else { self.candidate(attempt)?.prompt.as_ref() }
    }

    /// Changes the record.
    pub(super) fn note(&self, change: impl FnOnce(&mut Record)) {
        change(&mut self.state().record);
    }

    /// An attempt begins.
    pub(super) fn begin(&self, attempt: &Attempt, sent: &str) {
        let mut state = self.state();
        state.waiting_for = attempt.model.clone();
        state.candidate = attempt.candidate;
        let model = attempt.model.to_string();
        state.record.attempts.push(telemetry::Attempt { model, sent: sent.to_owned(), ..Default::default() });
    }

    /// The attempt that is going on has something to say of itself.
    pub(super) fn note_attempt(&self, change: impl FnOnce(&mut telemetry::Attempt)) {
        if let Some(attempt) = self.state().record.attempts.last_mut() {
            change(attempt);
        }
    }

    /// What the client is waiting for, in one line.
    pub(super) fn waiting_line(&self) -> String {
        let model = self.state().waiting_for.clone();
        let name = model.as_str().rsplit('/').next().unwrap_or_default().to_owned();
        let now = Instant::now();
        match self.progress.read() {
            Some(stage) => {
                let seconds = now.into_std().saturating_duration_since(stage.since).as_secs();
                format!("{} {name} {seconds} s", stage.phase)
            }
            None => format!("waiting for the first token of {name}"),
        }
    }

    /// The route's reason, the deciding skill and the model of the moment: what response headers say.
    pub(super) fn headline(&self) -> (String, Option<String>, Option<String>) {
        let state = self.state();
        (state.waiting_for.to_string(), state.record.skill.clone(), state.record.reason.clone())
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Commits what happened: the session's hold, the record, the event for skills. The first call counts.
    fn finish(&self, ending: Ending, status: u16) {
        let (mut record, candidate) = {
            let mut state = self.state();
            if std::mem::replace(&mut state.over, true) {
                return;
            }
            (std::mem::take(&mut state.record), state.candidate)
        };
        let now = Instant::now();
        let end = match &ending.outcome {
            Outcome::Whole if ending.watch.tool_calls => table::End::CalledTools,
            Outcome::Whole => table::End::Answered,
            Outcome::Failed(_) | Outcome::ClientLeft => table::End::Broken,
        };
        if !self.side_call {
            let mut sessions = self.gateway.sessions.lock().unwrap_or_else(PoisonError::into_inner);
            sessions.ended(now.into_std(), &self.turn.session, end);
        }
        self.complete(&mut record, &ending, now, status);
        // Telling nobody would still copy a dozen strings and wake a task.
        if self.gateway.skills.generation().has(Hook::Event) {
            let outcome = self.outcome(&record, &ending, candidate, now - self.started);
            self.gateway.skills.events().send(Event::RequestFinished(Box::new(outcome)));
        }
        log(&record);
        self.gateway.ring.push(record);
    }

    fn complete(&self, record: &mut Record, ending: &Ending, now: Instant, status: u16) {
        record.at_ms = epoch_ms().saturating_sub(telemetry::millis(now - self.started));
        record.total_ms = telemetry::millis(now - self.started);
        record.first_token_ms = ending.first_token.map(|at| telemetry::millis(at - self.started));
        record.queue_ms = record.attempts.last().and_then(|attempt| attempt.queued_ms);
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

    fn outcome(
        &self,
        record: &Record,
        ending: &Ending,
        candidate: Option<usize>,
        total: Duration,
    ) -> event::Outcome {
        let decided = self.plan.routed.as_ref().map(|routed| event::Decided {
            skill: routed.skill.clone(),
            tag: routed.route.tag.clone(),
            candidate: candidate.and_then(|index| u32::try_from(index).ok()).unwrap_or_default(),
        });
        event::Outcome {
            request_id: self.turn.request_id.clone(),
            session: self.turn.session.clone(),
            agent: self.turn.agent.clone(),
            client: self.turn.client.clone(),
            model: record.model.clone().unwrap_or_default(),
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
    telemetry::millis(since)
}

/// The one line that a request leaves in the log.
pub(super) fn log(record: &Record) {
    let request = record.request.as_str();
    let session = record.session.as_str();
    let status = record.status;
    match &record.error {
        None if record.skill.is_some() => tracing::info!(request, session, status, "{}", record.headline()),
        None => tracing::debug!(request, session, status, "{}", record.headline()),
        Some(_) => tracing::warn!(request, session, status, "{}", record.headline()),
    }
}

/// Finishes a job exactly once: when told how it ended, else when dropped because its client left.
pub(super) struct Finish {
    job: Arc<Job>,
    pub(super) status: u16,
}

impl Finish {
    /// A guard over the job's end.
    pub(super) fn new(job: Arc<Job>) -> Self {
        Self { job, status: 0 }
    }
}

impl Ends for Finish {
    fn ended(&mut self, ending: Ending) {
        self.job.finish(ending, self.status);
    }
}

impl Drop for Finish {
    fn drop(&mut self) {
        let ending = Ending { outcome: Outcome::ClientLeft, watch: Default::default(), first_token: None };
        self.job.finish(ending, self.status);
    }
}
