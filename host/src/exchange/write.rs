//! Tool calls written by other models: one exchange each, beside the request that they belong to and after its model's
//! lease has ended, so that nobody waits for a model while holding one.
//!
//! Calls for one model are written one after another, those for models in memory first: one swap each. What is written
//! counts only if it is a call of that tool whose arguments fit; else the route's next candidate is asked, and in the end
//! the model's own call stands. Bounded by `reroute_timeout` for all calls of a message, and by `hold_bytes_max` each.

use std::sync::Arc;

use http::{Response, StatusCode};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::time::Instant;

use super::attempt::{self, Failed, is_event_stream};
use super::calls::Acting;
use super::job::{Job, Weight};
use crate::error::{Error, Fault};
use crate::residency::{End, Lease};
use crate::route::{self, Attempt, Plan};
use crate::splice::calls::{Way, Written};
use crate::splice::splicer::Write;
use crate::telemetry::millis;
use crate::wire::answer::{Seen, Usage, Watch};
use crate::wire::arguments::{self, Expected, Unfit};
use crate::wire::calls::chat::{body::Body, chunk::Chunks};
use crate::wire::edit::Pieces;
use crate::wire::fault;
use crate::wire::gather::Gathered;
use crate::wire::order::{self, Force, Order};
use crate::wire::sse::Decoder;

/// Has the calls of a message written.
pub(super) async fn all(acting: &Arc<Acting>, writes: Vec<Write<Way>>) -> Vec<Written> {
    let deadline = Instant::now() + acting.job.account.settings.limits.reroute_timeout;
    let mut planned = Vec::with_capacity(writes.len());
    for (place, write) in writes.iter().enumerate() {
        planned.push((place, write, plan(acting, write).await));
    }
    let directory = acting.job.account.gateway.residency.directory();
    planned.sort_by_key(|(place, _, plan)| {
        let model = plan.attempts.first().map(|attempt| &attempt.model);
        let is_here = model.and_then(|id| directory.get(id)).is_some_and(|model| model.is_resident());
        (!is_here, model.cloned(), *place)
    });
    let mut written: Vec<Written> = Vec::with_capacity(writes.len());
    for (_, write, plan) in planned {
        let beside = beside(&writes, &written, write);
        let mut usage = Usage::default();
        let arguments = one(acting, write, plan, &beside, deadline, &mut usage).await;
        written.push(Written { call: write.call, arguments, usage });
    }
    written
}

/// The candidates that guards leave.
async fn plan(acting: &Acting, write: &Write<Way>) -> Plan {
    let directory = acting.job.account.gateway.residency.directory();
    let Way { skill, reroute } = &write.route;
    let plan = route::rerouted(skill.clone(), Arc::new(reroute.route.clone()), &directory);
    if !acting.inquiry.generation().is_guarded() {
        return plan;
    }
    match acting.inquiry.narrow(plan.models()).await.allowed {
        Ok(allowed) => plan.narrowed(&allowed),
        Err(refusal) => {
            acting.note(write.call, |noted| noted.reason = Some(refusal.message));
            plan.narrowed(&[])
        }
    }
}

/// The message's other calls of the same tool, so that the same one is not written twice.
fn beside(writes: &[Write<Way>], written: &[Written], write: &Write<Way>) -> Vec<(String, String)> {
    let others = writes.iter().filter(|it| it.call != write.call && it.name == write.name);
    let arguments = |it: &Write<Way>| {
        let done = written.iter().find(|done| done.call == it.call);
        done.and_then(|done| done.arguments.clone()).unwrap_or_else(|| it.arguments.clone())
    };
    others.map(|it| (it.name.clone(), arguments(it))).collect()
}

/// The arguments that the first of the plan's models writes as they have to be.
async fn one(
    acting: &Arc<Acting>,
    write: &Write<Way>,
    plan: Plan,
    beside: &[(String, String)],
    deadline: Instant,
    usage: &mut Usage,
) -> Option<String> {
    let fixed = write.route.reroute.fixed.as_deref();
    let schema = order::schema(acting.job.request.raw(), &write.name);
    let expected = Expected::new(schema.as_ref(), fixed);
    let beside: Vec<_> = beside.iter().map(|(tool, arguments)| (tool.as_str(), arguments.as_str())).collect();
    for attempt in &plan.attempts {
        let only = Plan { attempts: vec![attempt.clone()], routed: plan.routed.clone() };
        let job = Arc::new(acting.job.again(only, Weight::Call, acting.told()));
        for force in [Force::Required, Force::Words] {
            let order = Order {
                tool: &write.name,
                said: &write.text,
                draft: &write.arguments,
                beside: &beside,
                fixed,
                force,
            };
            let writing = Writing { acting, job: &job, attempt, write, expected: &expected };
            let tried = tokio::time::timeout_at(deadline, writing.try_once(&order, usage)).await;
            match tried {
                Ok(Ok(arguments)) => return Some(arguments),
                // Not every server knows how to force a call, and some stumble over it.
                Ok(Err(Again::InWords)) if force == Force::Required => {}
                Ok(Err(_)) => break,
                Err(_) => {
                    let limit = acting.job.account.settings.limits.reroute_timeout.as_secs();
                    acting.end_writing(write.call, None, format!("not written within {limit} s"));
                    return None;
                }
            }
        }
    }
    None
}

/// One attempt to have a call written.
struct Writing<'a> {
    acting: &'a Arc<Acting>,
    job: &'a Arc<Job>,
    attempt: &'a Attempt,
    write: &'a Write<Way>,
    expected: &'a Expected,
}

/// What may help where an attempt came to nothing.
enum Again {
    /// The same model, asked in words alone.
    InWords,
    /// Another model.
    Elsewhere,
}

/// Why a model's answer is no call.
#[derive(Debug, thiserror::Error)]
enum NoCall {
    #[error("it called nothing")]
    Nothing,
    #[error("it called `{0}`")]
    Other(String),
    #[error("{0}")]
    Unfit(#[from] Unfit),
}

// === impl Writing ===

impl Writing<'_> {
    async fn try_once(&self, order: &Order<'_>, usage: &mut Usage) -> Result<String, Again> {
        let Self { acting, job, attempt, write, .. } = self;
        acting.begin_writing(write, job, attempt);
        let prompt_tokens = job.request.estimated_tokens();
        let gateway = &job.account.gateway;
        let asked = Instant::now();
        let lease = match gateway.residency.acquire(job.claim(attempt, prompt_tokens)).await {
            Ok(lease) => lease,
            Err(refused) => return Err(self.failed(None, &attempt::refused(refused))),
        };
        self.note_grant(&lease, asked);
        let begun = Instant::now();
        let gathered = match self.exchange(lease, order).await {
            Ok(gathered) => gathered,
            Err(failed) => return Err(self.failed(Some(begun), &failed)),
        };
        *usage = usage.plus(gathered.usage);
        match self.accept(&gathered) {
            Ok(arguments) => {
                acting.end_writing(write.call, Some(begun), "written".to_owned());
                Ok(arguments)
            }
            Err((no_call, wrote)) => {
                acting.end_writing(write.call, Some(begun), no_call.to_string());
                acting.note_writing(write.call, |writing| writing.wrote = wrote);
                Err(if matches!(no_call, NoCall::Nothing) { Again::InWords } else { Again::Elsewhere })
            }
        }
    }

    fn failed(&self, begun: Option<Instant>, failed: &Failed) -> Again {
        self.acting.end_writing(self.write.call, begun, failed.error().message.clone());
        match failed {
            Failed::Stop(_) | Failed::Again(_) | Failed::Gone(_) => Again::InWords,
            Failed::Next(_) | Failed::NotThisModel(_) | Failed::WouldSwap(_) => Again::Elsewhere,
        }
    }

    fn note_grant(&self, lease: &Lease, asked: Instant) {
        let timings = lease.timings();
        self.acting.note_writing(self.write.call, |writing| {
            let attempt = &mut writing.attempt;
            attempt.instance = Some(lease.instance().shared());
            attempt.queued_ms = Some(millis(timings.queued.unwrap_or_else(|| asked.elapsed())));
            attempt.drained_ms = timings.drained.map(millis);
            attempt.unloaded_ms = timings.unloaded.map(millis);
            attempt.loaded_ms = timings.loaded.map(millis);
        });
    }

    /// Asks the model, and reads its answer to the end.
    async fn exchange(&self, lease: Lease, order: &Order<'_>) -> Result<Gathered, Failed> {
        let Self { job, attempt, .. } = self;
        let composed = attempt::composed(job, attempt, lease.instance().as_str())?;
        let body = order::call(&composed.body.concat(), order).map_err(|error| {
            Failed::Next(Error::new(Fault::Client, 400, "no_such_tool", error.to_string()))
        })?;
        let upstream = &job.account.gateway.upstream;
        let sent = upstream.chat(attempt.model.provider(), &job.headers, Pieces::whole(body)).await;
        let answer = match sent {
            Ok(response) => read(response, job.account.settings.limits.hold_bytes_max).await,
            Err(error) => Err(Broken::Unreachable(attempt::unreachable(&error))),
        };
        match answer {
            Ok(gathered) => {
                lease.finish(End::answered(false));
                Ok(gathered)
            }
            Err(Broken::Unreachable(failed)) => {
                lease.finish(End::Failed);
                Err(failed)
            }
            Err(Broken::Refused(status, message)) => {
                Err(attempt::upstream_failed(lease, status, fault::provider(status, &message)))
            }
        }
    }

    /// The arguments, if they are such a call; else why not, and what was written.
    fn accept(&self, gathered: &Gathered) -> Result<String, (NoCall, Option<String>)> {
        let tool = self.write.name.as_str();
        let called = gathered.calls.iter().find(|call| call.name == tool);
        let arguments = match (called, gathered.calls.first()) {
            (Some(call), _) => call.arguments.clone(),
            (None, Some(other)) => return Err((NoCall::Other(other.name.clone()), None)),
            (None, None) => match arguments::in_text(&gathered.text, tool) {
                Some(arguments) => arguments,
                None => return Err((NoCall::Nothing, Some(gathered.text.clone()))),
            },
        };
        match self.expected.check(&arguments) {
            Ok(()) => Ok(arguments),
            Err(unfit) => Err((unfit.into(), Some(arguments))),
        }
    }
}

/// Why there is no whole answer.
enum Broken {
    Unreachable(Failed),
    /// By the server, in its words.
    Refused(u16, String),
}

/// Reads an answer to its end, whether or not it is streamed.
async fn read(response: Response<Incoming>, bytes_max: usize) -> Result<Gathered, Broken> {
    let (head, mut body) = response.into_parts();
    let is_stream = head.status.is_success() && is_event_stream(&head.headers);
    let (mut decoder, mut frames, mut watch) = (Decoder::default(), Vec::new(), Watch::default());
    let (mut gathered, mut whole) = (Gathered::default(), Vec::new());
    let chunks = Chunks::default();
    let refused = |message: String| Broken::Refused(StatusCode::BAD_GATEWAY.as_u16(), message);
    while let Some(piece) = body.frame().await {
        let piece = piece.map_err(|error| refused(format!("its answer broke off: {error}")))?;
        let Ok(chunk) = piece.into_data() else { continue };
        if !is_stream {
            whole.extend_from_slice(&chunk);
        } else {
            decoder.feed(chunk, &mut frames).map_err(|error| refused(error.to_string()))?;
        }
        for frame in frames.drain(..) {
            match watch.frame(&frame) {
                Seen::Done => {
                    gathered.usage = watch.usage.unwrap_or_default();
                    return Ok(gathered);
                }
                Seen::Error(message) => return Err(refused(message)),
                Seen::Comment => {}
                Seen::Delta => gathered.take(&chunks, frame.bytes()),
            }
        }
        if gathered.bytes() > bytes_max || whole.len() > bytes_max {
            return Err(refused(format!("it wrote more than {bytes_max} bytes")));
        }
    }
    if is_stream {
        return Err(refused("its answer ended without its terminator".to_owned()));
    }
    let message =
        || fault::message_in(&whole).unwrap_or_else(|| format!("the provider answered {}", head.status));
    if !head.status.is_success() {
        return Err(Broken::Refused(head.status.as_u16(), message()));
    }
    watch.whole(&whole).map_err(refused)?;
    gathered.take(&Body::default(), &whole.into());
    gathered.usage = watch.usage.unwrap_or_default();
    Ok(gathered)
}
