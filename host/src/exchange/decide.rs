//! Attach and decide: which conversation and turn a request belongs to, and which way of serving it follows from the
//! skills' verdicts. The chain runs in the skill room and names are resolved in the route room; this is their order.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use http::HeaderMap;

use super::Gateway;
use crate::error::{Error, Fault};
use crate::id::{ModelId, RequestId};
use crate::model::{Directory, Kind};
use crate::route::{self, Current, Plan};
use crate::session::key;
use crate::session::table::{Facts, Held, Standing};
use crate::skill::Outcome;
use crate::skill::StepResult;
use crate::telemetry::{self, Record};
use crate::turn::verdict::Decision;
use crate::turn::{LAST_ANSWER_MAX, Protocol, Turn, USER_TEXT_MAX, excerpt};
use crate::wire::chat::Request;

/// When a refusal that may pass is worth another try.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// Models named in an error message.
const NAMED_MAX: usize = 12;

/// How a request will be answered.
pub(super) enum Decided {
    /// By a model.
    Serve {
        /// Which, in what order.
        plan: Plan,
        /// What skills amended, in order.
        patches: Vec<String>,
    },
    /// By a skill, in the assistant's place.
    Reply(String),
}

/// Finds the request's conversation and how it relates to it.
pub(super) fn attach(
    gateway: &Gateway,
    headers: &HeaderMap,
    request: &Request,
    record: &mut Record,
) -> Standing {
    let session = key::of(gateway.session_hints(headers, request));
    record.session = session.to_string();
    record.agent = key::agent(headers, request.first_user_text());
    record.requested.clone_from(&request.model);
    record.streaming = request.stream;
    let facts = Facts {
        continues_turn: request.continues_turn(),
        tools: !request.tools.is_empty(),
        requested: &request.model,
    };
    let now = tokio::time::Instant::now().into_std();
    let standing =
        gateway.sessions.lock().unwrap_or_else(PoisonError::into_inner).attach(now, &session, facts);
    record.standing = match standing {
        Standing::NewTurn(_) => "new turn",
        Standing::Continues(_) => "continues",
        Standing::SideCall => "side call",
    }
    .to_owned();
    standing
}

/// The language model that is due in memory when nobody needs anything else, the one chosen last; looked up only where
/// the request's model depends on it. What is in memory at this moment may be there for somebody's route.
pub(super) async fn due(gateway: &Gateway, requested: &str, directory: &Directory) -> Option<ModelId> {
    if !route::wants_default(requested) || gateway.routes.model.is_some() {
        return None;
    }
    let report = gateway.residency.report().await?;
    let is_language = |id: &ModelId| directory.get(id).is_some_and(|model| model.kind == Kind::Language);
    report.baseline.into_iter().rev().map(|entry| entry.model).find(is_language)
}

/// The turn as skills see it.
pub(super) fn turn(
    gateway: &Gateway,
    request: &Request,
    id: &RequestId,
    current: &Current,
    client: Option<String>,
    record: &Record,
) -> Turn {
    let (user_text, user_text_truncated) = excerpt(&request.user_text, USER_TEXT_MAX);
    let (last_answer, _) = excerpt_start(&request.last_answer());
    Turn {
        request_id: id.clone(),
        session: crate::id::SessionKey::new(record.session.as_str()),
        agent: record.agent.clone(),
        client,
        protocol: Protocol::ChatCompletions,
        streaming: request.stream,
        requested_model: request.model.clone(),
        current_model: current.model().map(ToString::to_string).unwrap_or_default(),
        pinned: !gateway.routes.route_named_models && matches!(current, Current::Named(_)),
        user_text,
        user_text_truncated,
        last_answer,
        media: request.turn_media().map(|part| part.kind).collect(),
        history_media: request.media_kinds(),
        tools: request.tools.clone(),
        message_count: u32::try_from(request.message_count()).unwrap_or(u32::MAX),
        estimated_tokens: request.estimated_tokens(),
        max_output_tokens: request.max_output_tokens,
    }
}

fn excerpt_start(text: &str) -> (String, bool) {
    let mut end = text.len().min(LAST_ANSWER_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    (text.get(..end).unwrap_or_default().to_owned(), end < text.len())
}

/// What is to be done with the request.
pub(super) async fn decide(
    gateway: &Gateway,
    turn: &Turn,
    standing: &Standing,
    current: &Current,
    directory: &Directory,
    record: &mut Record,
) -> Result<Decided, Error> {
    let resolve = |held: &Held| {
        route::routed(held.skill.clone(), held.route.clone(), current, &gateway.routes, directory)
    };
    let (held, patches) = match standing {
        Standing::SideCall => (None, Vec::new()),
        Standing::Continues(held) => (held.as_ref().and_then(resolve), Vec::new()),
        Standing::NewTurn(held) => {
            gateway.residency.turn_over(&turn.session);
            let generation = gateway.skills.generation();
            record.generation = generation.number();
            let mut outcome = generation.decide(turn).await;
            note_steps(&outcome, record);
            let patches = std::mem::take(&mut outcome.patches).into_iter().map(|(_, patch)| patch).collect();
            match verdict(gateway, turn, outcome, current, directory, record)? {
                Some(Decided::Serve { plan, .. }) => (Some(plan), patches),
                Some(reply) => return Ok(reply),
                None => (held.as_ref().and_then(resolve), patches),
            }
        }
    };
    let plan = match held {
        Some(plan) => plan,
        None => plain(gateway, turn, current, directory)?,
    };
    if let Some(routed) = &plan.routed {
        record.skill = Some(routed.skill.to_string());
        record.reason = Some(routed.route.reason.clone());
    }
    Ok(Decided::Serve { plan, patches })
}

/// What a deciding skill's verdict comes to; none where nobody decided, or no model of the route is known.
fn verdict(
    gateway: &Gateway,
    turn: &Turn,
    outcome: Outcome,
    current: &Current,
    directory: &Directory,
    record: &mut Record,
) -> Result<Option<Decided>, Error> {
    let Some((skill, decision)) = outcome.decision else { return Ok(None) };
    match decision {
        Decision::Route(decided) => {
            let decided = Arc::new(decided);
            let plan = route::routed(skill.clone(), decided.clone(), current, &gateway.routes, directory);
            let Some(plan) = plan else {
                let names: Vec<_> =
                    decided.candidates.iter().map(|candidate| candidate.model.as_str()).collect();
                record
                    .notes
                    .push(format!("{skill} routed to models that nobody knows: {}", names.join(", ")));
                return Ok(None);
            };
            let now = tokio::time::Instant::now().into_std();
            let mut sessions = gateway.sessions.lock().unwrap_or_else(PoisonError::into_inner);
            sessions.hold(now, &turn.session, skill, decided);
            Ok(Some(Decided::Serve { plan, patches: Vec::new() }))
        }
        Decision::Reply(text) => {
            record.skill = Some(skill.to_string());
            record.reason = Some("answered in the assistant's place".to_owned());
            Ok(Some(Decided::Reply(text)))
        }
        Decision::Refuse(refusal) => {
            record.skill = Some(skill.to_string());
            let message = format!("{skill}: {}", refusal.message);
            let error = Error::new(Fault::Skill, refusal.status, "refused_by_skill", message);
            Err(if matches!(refusal.status, 429 | 503) { error.retry_after(RETRY_AFTER) } else { error })
        }
    }
}

/// The plan of a request that nobody routed.
fn plain(gateway: &Gateway, turn: &Turn, current: &Current, directory: &Directory) -> Result<Plan, Error> {
    match current {
        Current::Named(model) | Current::Default(model) => {
            Ok(route::plain(model.clone(), &gateway.routes, directory))
        }
        Current::Unknown => {
            let keys = directory.models().iter().map(|model| model.id.key());
            let mut known: Vec<_> = keys.take(NAMED_MAX).collect();
            if directory.models().len() > NAMED_MAX {
                known.push("…");
            }
            Err(Error::unknown_model(&turn.requested_model, &known.join(", ")))
        }
        Current::None => {
            let message = "the provider lists no language model: is LM Studio's server running, with a model downloaded? \
                           `pointsman doctor` looks closer";
            Err(Error::new(Fault::Provider, 503, "no_models", message).retry_after(RETRY_AFTER))
        }
    }
}

fn note_steps(outcome: &Outcome, record: &mut Record) {
    for step in &outcome.steps {
        let (result, detail) = match &step.result {
            StepResult::Passed => ("passed", None),
            StepResult::Amended => ("amended", None),
            StepResult::Decided => ("decided", None),
            StepResult::Failed { message } => ("failed", Some(message.clone())),
        };
        record.steps.push(telemetry::Step {
            skill: step.skill.to_string(),
            result: result.to_owned(),
            detail,
            took_us: u64::try_from(step.elapsed.as_micros()).unwrap_or(u64::MAX),
        });
    }
}
