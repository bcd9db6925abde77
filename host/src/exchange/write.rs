//! Tool calls written by other models: one exchange each, beside the request that they belong to and after its model's
//! lease has ended, so that nobody waits for a model while holding one. A lease of theirs ends with the claim that comes
//! after it: where that is granted or stands in line, nothing is put back for the moment in between.
//!
//! Calls go to the first candidate of their routes together, then those that are not written to the next: calls for one model
//! are written one after another, those for models in memory first, one swap each. What is written counts only if it is a
//! call of that tool whose arguments fit; in the end the model's own call stands. Bounded by `reroute_timeout` for all calls
//! of a message, of which each attempt has its share, and by `hold_bytes_max` each.

use std::sync::Arc;

use bytes::Bytes;
use http::{Response, StatusCode};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::time::Instant;

use super::attempt::{self, is_event_stream};
use super::calls::Acting;
use super::failed::{self, Failed};
use super::job::{Job, Weight};
use crate::error::{Error, Fault};
use crate::residency::{End, Lease};
use crate::route::{self, Attempt, Plan};
use crate::splice::calls::{Way, Written};
use crate::splice::splicer::{Write, beginning};
use crate::telemetry::millis;
use crate::wire::answer::{Seen, Usage, Watch};
use crate::wire::arguments::{self, Expected, Unfit};
use crate::wire::calls::chat::{body::Body, chunk::Chunks};
use crate::wire::chat::Request;
use crate::wire::edit::Pieces;
use crate::wire::fault::{self, Class};
use crate::wire::gather::Gathered;
use crate::wire::order::{self, Force, Order, OrderError};
use crate::wire::sse::Decoder;

/// Has the calls of a message written.
pub(super) async fn all(acting: &Arc<Acting>, writes: Vec<Write<Way>>) -> Vec<Written> {
    let deadline = Instant::now() + acting.job.account.settings.limits.reroute_timeout;
    let mut open = Vec::with_capacity(writes.len());
    for write in writes {
        open.push(Open::new(acting, write).await);
    }
    let ranks = open.iter().map(|open| open.plan.attempts.len()).max().unwrap_or_default();
    let mut lease = None;
    for rank in 0..ranks {
        for place in turns(acting, &open, rank) {
            let left: usize = open.iter().map(|open| open.attempts_left(rank)).sum();
            let now = Instant::now();
            let share =
                deadline.saturating_duration_since(now) / u32::try_from(left.max(1)).unwrap_or(u32::MAX);
            let beside = beside(&open, place);
            let Some(call) = open.get_mut(place) else { continue };
            if let Some(writing) = Writing::new(acting, call, rank, beside) {
                let (arguments, spent) = writing.within(now + share, &mut lease).await;
                call.arguments = arguments;
                call.usage = call.usage.plus(spent);
            }
        }
    }
    if let Some(lease) = lease {
        lease.finish(End::answered(false));
    }
    open.into_iter()
        .map(|Open { write, arguments, usage, .. }| Written { call: write.call, arguments, usage })
        .collect()
}

/// Which calls are to be written by the candidate of this rank, in order: for models that are in memory first, and those
/// for one model together.
fn turns(acting: &Acting, open: &[Open], rank: usize) -> Vec<usize> {
    let directory = acting.job.account.gateway.residency.directory();
    let key = |(place, open): (usize, &Open)| {
        let model = &open.plan.attempts.get(rank).filter(|_| open.arguments.is_none())?.model;
        let is_here = directory.get(model).is_some_and(|model| model.is_resident());
        Some((!is_here, model.clone(), place))
    };
    let mut turns: Vec<_> = open.iter().enumerate().filter_map(key).collect();
    turns.sort();
    turns.into_iter().map(|(_, _, place)| place).collect()
}

/// The message's other calls of the same tool, so that the same one is not written twice.
fn beside(open: &[Open], place: usize) -> Vec<(String, String)> {
    let own = open.get(place).map(|open| &open.write);
    let others = open
        .iter()
        .filter(|it| own.is_some_and(|own| it.write.call != own.call && it.write.name == own.name));
    let arguments = |it: &Open| it.arguments.clone().unwrap_or_else(|| it.write.arguments.clone());
    others.map(|it| (it.write.name.clone(), arguments(it))).collect()
}

/// A call that is to be written.
struct Open {
    write: Write<Way>,
    plan: Plan,
    expected: Expected,
    arguments: Option<String>,
    usage: Usage,
}

// === impl Open ===

impl Open {
    async fn new(acting: &Acting, write: Write<Way>) -> Self {
        let fixed = write.route.reroute.fixed.as_deref();
        let (plan, schema) = match order::offered(acting.job.request.raw(), &write.name) {
            Some(tool) => (plan(acting, &write).await, tool.schema),
            None => {
                let reason = format!("the request offers no tool `{}`", write.name);
                acting.note(write.call, |noted| noted.reason = Some(reason));
                (Plan::default(), None)
            }
        };
        let expected = Expected::new(schema.as_ref(), fixed);
        Self { write, plan, expected, arguments: None, usage: Usage::default() }
    }

    /// How often it may still be tried, from this rank on.
    fn attempts_left(&self, rank: usize) -> usize {
        if self.arguments.is_some() { 0 } else { self.plan.attempts.len().saturating_sub(rank) }
    }
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

/// One attempt to have a call written.
struct Writing<'a> {
    acting: &'a Arc<Acting>,
    job: Arc<Job>,
    attempt: Attempt,
    write: &'a Write<Way>,
    expected: &'a Expected,
    beside: Vec<(String, String)>,
}

/// What may help where an attempt came to nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Again {
    /// The same once more: the instance was gone.
    Same,
    /// The same model, asked in words alone: not every server knows how to force a call, and some stumble over it.
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

impl<'a> Writing<'a> {
    /// By the candidate of this rank, where there is one.
    fn new(
        acting: &'a Arc<Acting>,
        open: &'a Open,
        rank: usize,
        beside: Vec<(String, String)>,
    ) -> Option<Self> {
        let attempt = open.plan.attempts.get(rank)?.clone();
        let only = Plan { attempts: vec![attempt.clone()], routed: open.plan.routed.clone() };
        let job = Arc::new(acting.job.again(only, Weight::Call, acting.told()));
        Some(Self { acting, job, attempt, write: &open.write, expected: &open.expected, beside })
    }

    /// The arguments, if they are written in time, and what was spent on them. `lease` is that of the exchange before, which
    /// is over; then of the last one here, whatever became of it: it ends with the next claim.
    async fn within(&self, until: Instant, lease: &mut Option<Lease>) -> (Option<String>, Usage) {
        let mut usage = Usage::default();
        let began = Instant::now();
        let arguments = tokio::time::timeout_at(until, self.try_all(&mut usage, lease)).await;
        let arguments = arguments.unwrap_or_else(|_| {
            let waited = millis(began.elapsed());
            self.acting.end_writing(self.write.call, None, format!("not written within {waited} ms"));
            None
        });
        (arguments, usage)
    }

    /// The arguments, as far as this model can be made to write them: as it has to be, then, where that cannot be forced, in
    /// words.
    async fn try_all(&self, usage: &mut Usage, lease: &mut Option<Lease>) -> Option<String> {
        let (mut force, mut was_gone) = (Force::Required, false);
        loop {
            match self.try_once(force, usage, lease).await {
                Ok(arguments) => return Some(arguments),
                Err(Again::Same) if !was_gone => was_gone = true,
                Err(Again::Same | Again::InWords) if force == Force::Required => force = Force::Words,
                Err(_) => return None,
            }
            if lease.is_none() {
                // Until the owner has seen the last try's end, the gate of an instance that is gone may still be open.
                self.job.account.gateway.residency.settled().await;
            }
        }
    }

    async fn try_once(
        &self,
        force: Force,
        usage: &mut Usage,
        lease: &mut Option<Lease>,
    ) -> Result<String, Again> {
        let Self { acting, job, attempt, write, .. } = self;
        acting.begin_writing(write, job, attempt);
        let asked = Instant::now();
        // Made before anything is moved for it: what cannot be asked for swaps no model.
        let prompt_tokens = match self.body(attempt.model.key(), force) {
            Ok(body) => Request::read(body).map_or(0, |request| request.estimated_tokens()),
            Err(failed) => return Err(self.failed(None, &failed)),
        };
        let residency = &job.account.gateway.residency;
        let claim = job.claim(attempt, prompt_tokens);
        let granted = match lease.take() {
            Some(before) => residency.acquire_after(before, claim).await,
            None => residency.acquire(claim).await,
        };
        let granted = match granted {
            Ok(granted) => lease.insert(granted),
            Err(refused) => return Err(self.failed(None, &failed::by_residency(refused))),
        };
        acting.note_writing(write.call, |writing| attempt::granted(&mut writing.attempt, granted, asked));
        let begun = Instant::now();
        match self.exchange(granted, force).await {
            Ok(gathered) => {
                *usage = usage.plus(gathered.usage);
                self.accept(&gathered, begun)
            }
            Err(failed) => {
                if let Some(gone) = lease.take_if(|_| failed.end() == End::Gone) {
                    gone.finish(End::Gone);
                }
                Err(self.failed(Some(begun), &failed))
            }
        }
    }

    fn failed(&self, begun: Option<Instant>, failed: &Failed) -> Again {
        let message = &failed.error().message;
        self.acting.end_writing(self.write.call, begun, message.clone());
        match failed {
            Failed::Gone(_) => Again::Same,
            Failed::Stop(_) if fault::class(message) == Class::ContextOverflow => Again::Elsewhere,
            Failed::Stop(_) | Failed::Again(_) => Again::InWords,
            Failed::Next(_) | Failed::NotThisModel(_) | Failed::WouldSwap(_) => Again::Elsewhere,
        }
    }

    /// The request for the call, as this instance gets it.
    fn body(&self, instance: &str, force: Force) -> Result<Bytes, Failed> {
        let Self { job, attempt, write, beside, .. } = self;
        let beside: Vec<_> = beside.iter().map(|(tool, text)| (tool.as_str(), text.as_str())).collect();
        let order = Order {
            tool: &write.name,
            said: &write.text,
            draft: &write.arguments,
            beside: &beside,
            fixed: write.route.reroute.fixed.as_deref(),
            force,
        };
        let composed = attempt::composed(job, attempt, instance)?;
        let refused = |error: OrderError| Error::new(Fault::Skill, 502, "bad_prompt", error.to_string());
        order::call(&composed.body.concat(), &order).map_err(|error| Failed::Next(refused(error)))
    }

    /// Asks the model, and reads its answer to the end.
    async fn exchange(&self, lease: &Lease, force: Force) -> Result<Gathered, Failed> {
        let Self { job, attempt, .. } = self;
        let body = Pieces::whole(self.body(lease.instance().as_str(), force)?);
        let upstream = &job.account.gateway.upstream;
        let sent = upstream.chat(attempt.model.provider(), &job.headers, body).await;
        let response = sent.map_err(|error| failed::unreachable(&error))?;
        let (gathered, watch) = read(response, job.account.settings.limits.hold_bytes_max).await?;
        attempt::check_model(job, lease, &watch)?;
        Ok(gathered)
    }

    /// Takes the arguments, if they are such a call, and says what came of it.
    fn accept(&self, gathered: &Gathered, begun: Instant) -> Result<String, Again> {
        let (acting, call) = (self.acting, self.write.call);
        match self.read(gathered) {
            Ok(arguments) => {
                acting.end_writing(call, Some(begun), "written".to_owned());
                Ok(arguments)
            }
            Err((no_call, wrote)) => {
                acting.end_writing(call, Some(begun), no_call.to_string());
                acting.note_writing(call, |writing| writing.wrote = wrote.as_deref().map(beginning));
                Err(if matches!(no_call, NoCall::Nothing) { Again::InWords } else { Again::Elsewhere })
            }
        }
    }

    /// The arguments, if they are such a call; else why not, and what was written.
    fn read(&self, gathered: &Gathered) -> Result<String, (NoCall, Option<String>)> {
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

/// Reads an answer to its end, whether or not it is streamed.
async fn read(response: Response<Incoming>, bytes_max: usize) -> Result<(Gathered, Watch), Failed> {
    let (head, mut body) = response.into_parts();
    let is_stream = head.status.is_success() && is_event_stream(&head.headers);
    let (mut decoder, mut frames, mut watch) = (Decoder::default(), Vec::new(), Watch::default());
    let (mut gathered, mut whole) = (Gathered::default(), Vec::new());
    let chunks = Chunks::default();
    let failed = |status: u16, message: &str| failed::by_provider(status, fault::provider(status, message));
    let refused = |message: String| failed(StatusCode::BAD_GATEWAY.as_u16(), &message);
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
                    return Ok((gathered, watch));
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
        return Err(failed(head.status.as_u16(), &message()));
    }
    watch.whole(&whole).map_err(refused)?;
    gathered.take(&Body::default(), &whole.into());
    gathered.usage = watch.usage.unwrap_or_default();
    Ok((gathered, watch))
}
