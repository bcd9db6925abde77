//! Tool calls of an answer: what skills say to them, and who acts for the splicer while an answer runs. Calls that another
//! model writes are written in `exchange/write.rs`.
//!
//! Each question is about one call. What a person picked is not passed by: no call of it is written by another model.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use futures_util::future::{BoxFuture, FutureExt};
use tokio::time::Instant;

use super::attempt::{self, Answer as Response, Content};
use super::job::Job;
use super::{decide, respond, write};
use crate::error::Error;
use crate::id::ModelId;
use crate::route::{Attempt, Plan};
use crate::skill::{Inquiry, ToolCall};
use crate::splice::body::Opening;
use crate::splice::calls::{Calls, Ended, Splice, Way, Written};
use crate::splice::splicer::{
    Action, Answer, Ask, CallNumber, Fate, GoOn, Record, Splicer, Write, beginning,
};
use crate::telemetry::{self, Writing};
use crate::turn::verdict::ToolDecision;
use crate::wire::answer::{Usage, Watch};
use crate::wire::calls::Dialect;
use crate::wire::calls::chat::{body::Body, chunk::Chunks};
use crate::wire::order::{Told, Withheld};

/// Who acts for the splicer of one answer.
pub(super) struct Actor(Arc<Acting>);

/// An answer that is not streamed, while its calls are seen to.
struct Whole {
    actor: Actor,
    splicer: Splicer<Way>,
}

/// What its acts share.
pub(super) struct Acting {
    pub(super) job: Arc<Job>,
    pub(super) inquiry: Arc<Inquiry>,
    /// The attempt that is answering.
    attempt: Attempt,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// What is known of the calls, for `why`.
    calls: Vec<(CallNumber, telemetry::Call)>,
    /// What the model was told so far.
    told: Vec<Told>,
    /// The call that is being written, and the job that does it.
    writing: Option<(String, Arc<Job>)>,
    /// The job in which the model goes on.
    going_on: Option<Arc<Job>>,
}

/// What looks at the calls of a stream.
pub(super) fn splice(job: &Arc<Job>, attempt: &Attempt) -> Option<Splice> {
    let actor = Actor::new(job, attempt)?;
    Some(Splice::new(splicer(job, Chunks::default()), Box::new(actor)))
}

/// An answer that is not streamed, after what became of its calls. Streams pass: their bodies see to that.
pub(super) async fn heard(job: &Arc<Job>, attempt: &Attempt, answer: Response) -> Result<Response, Error> {
    let Response { status, headers, content } = answer;
    let content = match content {
        Content::Whole(body, watch) if watch.tool_calls => match Actor::new(job, attempt) {
            Some(actor) => {
                let whole = Whole { actor, splicer: splicer(job, Body::default()) };
                let (body, watch) = whole.see_through(body, watch).await;
                Content::Whole(body, watch)
            }
            None => Content::Whole(body, watch),
        },
        content => content,
    };
    Ok(Response { status, headers, content })
}

fn splicer(job: &Job, dialect: impl Dialect + 'static) -> Splicer<Way> {
    let account = &job.account;
    Splicer::new(Box::new(dialect), account.settings.limits.hold_bytes_max, account.id.as_str())
}

// === impl Actor ===

impl Actor {
    fn new(job: &Arc<Job>, attempt: &Attempt) -> Option<Self> {
        let inquiry = job.hearing.clone()?;
        let (job, attempt) = (job.clone(), attempt.clone());
        Some(Self(Arc::new(Acting { job, inquiry, attempt, state: Mutex::default() })))
    }
}

// === impl Whole ===

impl Whole {
    /// Does all that there is to be done about the calls.
    async fn see_through(mut self, body: Bytes, mut watch: Watch) -> (Bytes, Watch) {
        let mut spent = Usage::default();
        let mut left = body.clone();
        let mut actions: VecDeque<Action<Way>> = self.splicer.whole(&body).into();
        while let Some(action) = actions.pop_front() {
            match action {
                Action::Forward(bytes) => left = bytes,
                Action::Ask(ask) => {
                    let call = ask.call;
                    let answer = self.actor.decide(ask).await;
                    actions.extend(self.splicer.answer(call, answer));
                }
                Action::Write(writes) => {
                    for Written { call, arguments, usage } in self.actor.write(writes).await {
                        spent = spent.plus(usage);
                        actions.extend(self.splicer.written(call, arguments, usage));
                    }
                }
                Action::GoOn(go_on) => match self.actor.0.go_on(go_on).await.map(|answer| answer.content) {
                    Ok(Content::Whole(body, next)) => {
                        spent = spent.plus(watch.usage.unwrap_or_default());
                        watch = next;
                        actions.extend(self.splicer.whole(&body));
                    }
                    Ok(Content::Stream(_)) | Err(_) => actions.extend(self.splicer.stay()),
                },
                Action::Over => break,
            }
        }
        watch.settle(self.splicer.has_called(), spent);
        (left, watch)
    }
}

impl Drop for Whole {
    /// Also where the client has left in the middle of it.
    fn drop(&mut self) {
        self.actor.ended(Ended::of(&self.splicer));
    }
}

impl Calls for Actor {
    fn decide(&mut self, ask: Ask) -> BoxFuture<'static, Answer<Way>> {
        let acting = self.0.clone();
        async move { acting.decide(ask).await }.boxed()
    }

    fn write(&mut self, writes: Vec<Write<Way>>) -> BoxFuture<'static, Vec<Written>> {
        let acting = self.0.clone();
        async move { write::all(&acting, writes).await }.boxed()
    }

    fn go_on(&mut self, go_on: GoOn) -> Opening {
        let acting = self.0.clone();
        async move { acting.go_on(go_on).await.and_then(respond::streamed) }.boxed()
    }

    fn say(&self) -> String {
        let state = self.0.state();
        match (&state.writing, &state.going_on) {
            (Some((tool, job)), _) => job.waiting_line_of_call(tool),
            (None, job) => job.as_ref().unwrap_or(&self.0.job).waiting_line(),
        }
    }

    fn ended(&mut self, ended: Ended) {
        self.0.ended(ended);
    }
}

// === impl Acting ===

impl Acting {
    /// The model that makes the calls.
    fn model(&self) -> &ModelId {
        &self.attempt.model
    }

    async fn decide(&self, ask: Ask) -> Answer<Way> {
        let Ask { call, id, name, arguments } = ask;
        let asked = ToolCall { id, name, arguments, model: self.model().clone() };
        let outcome = self.inquiry.tool_call(&asked).await;
        let picked = self.inquiry.is_pinned() && matches!(outcome.decision, ToolDecision::Reroute(_));
        self.note(call, |noted| {
            (noted.id, noted.tool) = (beginning(&asked.id), beginning(&asked.name));
            noted.steps.extend(outcome.steps.iter().map(decide::noted));
            noted.skill = outcome.skill.as_ref().map(|skill| skill.shared());
            noted.reason = match &outcome.decision {
                ToolDecision::Reroute(_) if picked => Some("a person picked this model".to_owned()),
                ToolDecision::Reroute(reroute) => Some(reroute.route.reason.clone()),
                ToolDecision::Deny(reason) => Some(reason.clone()),
                ToolDecision::Pass | ToolDecision::Wait | ToolDecision::Rewrite(_) => None,
            };
        });
        match (outcome.decision, outcome.skill) {
            (ToolDecision::Wait, _) => Answer::Wait,
            (ToolDecision::Rewrite(arguments), _) => Answer::Rewrite(arguments),
            (ToolDecision::Deny(reason), _) => Answer::Deny(reason),
            (ToolDecision::Reroute(reroute), Some(skill)) if !picked => {
                Answer::Reroute(Way { skill, reroute: Arc::new(reroute) })
            }
            (ToolDecision::Pass | ToolDecision::Reroute(_), _) => Answer::Pass,
        }
    }

    /// Asks the same model again, with what became of its calls.
    async fn go_on(&self, go_on: GoOn) -> Result<Response, Error> {
        let withheld = go_on.calls.into_iter().map(|call| Withheld {
            id: call.id,
            tool: call.name,
            arguments: call.arguments,
            reason: call.reason,
        });
        let told = Told { said: go_on.text, withheld: withheld.collect() };
        let told = {
            let mut state = self.state();
            state.told.push(told);
            state.told.clone()
        };
        let plan = Plan { attempts: vec![self.attempt.clone()], routed: self.job.plan.routed.clone() };
        // The splicer that runs looks at its calls.
        let job = Arc::new(self.job.again(plan, self.job.weight, told));
        self.state().going_on = Some(job.clone());
        attempt::open(job).await
    }

    fn ended(&self, ended: Ended) {
        let Ended { calls, has_called, overflowed } = ended;
        let denied = calls.iter().all(|call| matches!(call.fate, Fate::Denied(_)));
        if has_called == Some(false) && denied {
            // The model called something, so its lease ended in the middle of a turn; its client heard the end of one.
            self.job.account.gateway.residency.turn_over(&self.job.session);
        }
        for Record { call, id, name, arguments, fate, .. } in calls {
            self.note(call, |noted| {
                (noted.id, noted.tool, noted.own) = (beginning(&id), beginning(&name), arguments);
                (noted.outcome, noted.sent) = match fate {
                    Fate::Undecided => ("broken off".into(), None),
                    Fate::Passed => ("passed".into(), None),
                    Fate::Released => ("released: too much was to be held".into(), None),
                    Fate::Rewritten(arguments) => ("rewritten".into(), Some(arguments)),
                    Fate::Written(arguments) => {
                        let by = noted.writings.last().map(|it| it.attempt.model.clone()).unwrap_or_default();
                        (format!("written by {by}").into(), Some(arguments))
                    }
                    Fate::Kept => ("kept: no other model wrote it".into(), None),
                    Fate::Denied(_) => ("denied".into(), None),
                };
            });
        }
        let calls = std::mem::take(&mut self.state().calls);
        self.job.account.note(|record| {
            record.calls.extend(calls.into_iter().map(|(_, noted)| noted));
            if overflowed {
                record
                    .notes
                    .push("tool calls were too long to be held: they went out as they were".to_owned());
            }
        });
    }

    /// What the model was told since the request came.
    pub(super) fn told(&self) -> Vec<Told> {
        self.state().told.clone()
    }

    /// Says something of a call.
    pub(super) fn note(&self, call: CallNumber, say: impl FnOnce(&mut telemetry::Call)) {
        let mut state = self.state();
        if let Some((_, noted)) = state.calls.iter_mut().find(|(number, _)| *number == call) {
            return say(noted);
        }
        let mut noted = telemetry::Call::default();
        say(&mut noted);
        state.calls.push((call, noted));
    }

    /// An attempt to have a call written begins, by this job.
    pub(super) fn begin_writing(&self, write: &Write<Way>, job: &Arc<Job>, attempt: &Attempt) {
        let sent = attempt::sent(job, attempt).into();
        let attempt = telemetry::Attempt { model: attempt.model.shared(), sent, ..Default::default() };
        self.note(write.call, |noted| noted.writings.push(Writing { attempt, ..Default::default() }));
        self.state().writing = Some((write.name.clone(), job.clone()));
    }

    /// Says something of the attempt that was begun last.
    pub(super) fn note_writing(&self, call: CallNumber, say: impl FnOnce(&mut Writing)) {
        self.note(call, |noted| noted.writings.last_mut().map_or((), say));
    }

    /// An attempt to have a call written has ended.
    pub(super) fn end_writing(&self, call: CallNumber, begun: Option<Instant>, outcome: String) {
        self.state().writing = None;
        self.note_writing(call, |writing| {
            writing.attempt.outcome = outcome.into();
            writing.took_ms = begun.map(|begun| telemetry::millis(begun.elapsed()));
        });
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
