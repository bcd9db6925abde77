//! Attach and decide: which conversation and turn a request belongs to, and which way of serving it follows from the
//! skills' verdicts. The chain runs in the skill room and names are resolved in the route room; this is their order.

use std::sync::{Arc, PoisonError};

use http::HeaderMap;

use super::account::Account;
use super::conversation;
use super::job::Weight;
use crate::error::{Error, Fault};
use crate::id::{ModelId, SessionKey, SkillName};
use crate::model::Directory;
use crate::route::{self, Current, Plan};
use crate::session::key;
use crate::session::table::{Facts, Held, Standing};
use crate::skill::{Answered, Behind, Hook, Inquiry, Step, StepResult};
use crate::telemetry::{self, Record};
use crate::turn::verdict::Decision;
use crate::turn::{LAST_ANSWER_MAX, Protocol, Turn, USER_TEXT_MAX, excerpt};
use crate::wire::chat::Request;

/// A skill may refuse for many reasons, but not in the name of the keys: clients that are told 401 give the key up.
const UNAUTHORISED: u16 = 401;

/// Names of tools that skills are shown; the largest agents seen offer about 150.
const TOOLS_MAX: usize = 1024;

/// Bytes of such a name; providers take 64.
const TOOL_BYTES_MAX: usize = 256;

/// A request, with all that its decision depends on.
pub(super) struct Case<'a> {
    pub(super) request: &'a Arc<Request>,
    pub(super) session: &'a SessionKey,
    pub(super) agent: Option<&'a str>,
    pub(super) standing: &'a Standing,
    pub(super) current: &'a Current,
    pub(super) directory: &'a Arc<Directory>,
}

/// How a request will be answered.
pub(super) enum Decided {
    /// By a model.
    Serve {
        /// Which, in what order.
        plan: Plan,
        /// What skills amended, in order.
        patches: Vec<String>,
        /// What the request may move.
        weight: Weight,
        /// Whom to ask about tool calls; none where nobody is to be asked.
        hearing: Option<Arc<Inquiry>>,
    },
    /// By a skill, in the assistant's place.
    Reply(String),
}

/// What the skills say to a turn.
enum Said {
    Route(Plan),
    Reply(String),
    Nothing,
}

/// Where a request belongs.
pub(super) struct Attached {
    pub(super) session: SessionKey,
    pub(super) agent: Option<String>,
    pub(super) standing: Standing,
    /// The model that a person picked for it.
    pub(super) picked: Option<ModelId>,
}

/// Finds the request's conversation and how it relates to it.
pub(super) fn attach(account: &Account, headers: &HeaderMap, request: &Request) -> Attached {
    let session = key::of(key::Hints {
        headers,
        cache_key: request.cache_key.as_deref(),
        user_id: request.user_id.as_deref(),
        first_user_text: request.first_user_text(),
        first_user_words: &|| request.first_user_words(),
    });
    let agent = key::agent(headers, request.first_user_text());
    let facts = Facts {
        continues_turn: request.continues_turn(),
        tools: !request.tools.is_empty(),
        requested: &request.model,
    };
    let now = tokio::time::Instant::now().into_std();
    let mut sessions = account.gateway.sessions.lock().unwrap_or_else(PoisonError::into_inner);
    let standing = sessions.attach(now, &session, facts);
    let picked = sessions.picked(&session).cloned();
    drop(sessions);
    account.attach(&session, !matches!(standing, Standing::SideCall));
    account.note(|record| {
        record.session = session.shared();
        record.agent = agent.as_deref().map(Into::into);
        record.requested.clone_from(&request.model);
        record.streaming = request.stream;
        record.standing = match standing {
            Standing::NewTurn(_) => "new turn",
            Standing::Continues(..) => "continues",
            Standing::SideCall => "side call",
        }
        .into();
    });
    Attached { session, agent, standing, picked }
}

/// What is to be done with the request.
pub(super) async fn decide(account: &Account, case: &Case<'_>) -> Result<Decided, Error> {
    let generation = account.gateway.skills.generation();
    account.note(|record| record.generation = generation.number());
    let is_new_turn = matches!(case.standing, Standing::NewTurn(_));
    let hears_calls = !case.request.tools.is_empty() && generation.has(Hook::Tool);
    if !is_new_turn && !hears_calls && !generation.is_guarded() {
        return by_skills(account, case, None).await;
    }
    let conversation = Arc::new(conversation::Behind(case.request.clone()));
    let behind = Behind { conversation: Some(conversation), directory: case.directory.clone() };
    let inquiry = Arc::new(Inquiry::new(generation, turn(account, case), behind));
    let decided = by_skills(account, case, Some(&inquiry)).await?;
    let Decided::Serve { plan, patches, weight, .. } = decided else { return Ok(decided) };
    let plan = guarded(account, &inquiry, plan).await?;
    Ok(Decided::Serve { plan, patches, weight, hearing: hears_calls.then_some(inquiry) })
}

/// What skills decide, and what holds where they pass.
async fn by_skills(account: &Account, case: &Case<'_>, inquiry: Option<&Inquiry>) -> Result<Decided, Error> {
    let routes = &account.settings.routes;
    let resolve = |held: &Held| {
        route::routed(held.skill.clone(), held.route.clone(), case.current, routes, case.directory)
    };
    // What a person picked goes before every route, also one that began to hold at the same moment.
    let held = || case.standing.held().filter(|_| !case.current.is_picked()).and_then(resolve);
    let (plan, patches, weight) = match (case.standing, inquiry) {
        (Standing::SideCall, _) => (None, Vec::new(), Weight::Side),
        (Standing::Continues(_, amended), _) => (held(), amended.to_vec(), Weight::Held),
        (Standing::NewTurn(_), None) => (held(), Vec::new(), Weight::Held),
        (Standing::NewTurn(_), Some(inquiry)) => match ask(account, case, inquiry).await? {
            (Said::Route(plan), patches) => (Some(plan), patches, Weight::Decided),
            (Said::Nothing, patches) => (held(), patches, Weight::Held),
            (Said::Reply(text), _) => return Ok(Decided::Reply(text)),
        },
    };
    let plan = match plan {
        Some(plan) => plan,
        None => plain(account, case)?,
    };
    if let Some(routed) = &plan.routed {
        account.route(routed);
    }
    Ok(Decided::Serve { plan, patches, weight, hearing: None })
}

/// Asks the skills, and notes what they decided for the whole turn.
async fn ask(account: &Account, case: &Case<'_>, inquiry: &Inquiry) -> Result<(Said, Vec<String>), Error> {
    let gateway = &account.gateway;
    gateway.residency.turn_over(case.session);
    if let Some(answered) = inquiry.command(&account.settings.command_prefix, &case.request.user_text).await {
        account.note(|record| note_command(&answered, record));
        return Ok((Said::Reply(answered.text), Vec::new()));
    }
    let outcome = inquiry.decide().await;
    gateway.skills.decided(inquiry, &outcome);
    account.note(|record| note_steps(&outcome.steps, record));
    let patches: Vec<String> = outcome.patches.into_iter().map(|(_, patch)| patch).collect();
    let said = match outcome.decision {
        Some((skill, decision)) => verdict(account, case, skill, decision)?,
        None => Said::Nothing,
    };
    let route = match &said {
        Said::Route(plan) => plan.routed.as_ref().map(|routed| (routed.skill.clone(), routed.route.clone())),
        Said::Reply(_) | Said::Nothing => None,
    };
    if route.is_some() || !patches.is_empty() {
        let mut sessions = gateway.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        sessions.decided(case.session, route, &patches);
    }
    Ok((said, patches))
}

fn cut(text: &str, bytes: usize) -> String {
    text.get(..text.floor_char_boundary(bytes)).unwrap_or_default().to_owned()
}

/// The turn as skills see it.
fn turn(account: &Account, case: &Case<'_>) -> Turn {
    let (request, current) = (case.request, case.current);
    let (user_text, user_text_truncated) = excerpt(&request.user_text, USER_TEXT_MAX);
    let mut last_answer = request.last_answer();
    last_answer.truncate(last_answer.floor_char_boundary(LAST_ANSWER_MAX));
    Turn {
        request_id: account.id.clone(),
        session: case.session.clone(),
        agent: case.agent.map(str::to_owned),
        client: account.client.clone(),
        protocol: Protocol::ChatCompletions,
        streaming: request.stream,
        requested_model: request.model.clone(),
        current_model: current.model().map(ToString::to_string).unwrap_or_default(),
        pinned: current.is_picked()
            || (!account.settings.routes.route_named_models && matches!(current, Current::Named(_))),
        user_text,
        user_text_truncated,
        last_answer,
        media: request.turn_media().map(|part| part.kind).collect(),
        history_media: request.media_kinds(),
        tools: request.tools.iter().take(TOOLS_MAX).map(|name| cut(name, TOOL_BYTES_MAX)).collect(),
        message_count: u32::try_from(request.message_count()).unwrap_or(u32::MAX),
        estimated_tokens: request.estimated_tokens(),
        max_output_tokens: request.max_output_tokens,
    }
}

/// What a deciding skill's verdict comes to: nothing, where no model of its route is known.
fn verdict(account: &Account, case: &Case<'_>, skill: SkillName, decision: Decision) -> Result<Said, Error> {
    match decision {
        Decision::Route(_) if case.current.is_picked() => {
            let note = format!("{skill} routed, but a person picked this conversation's model");
            account.note(|record| record.notes.push(note));
            Ok(Said::Nothing)
        }
        Decision::Route(decided) => {
            let decided = Arc::new(decided);
            let routes = &account.settings.routes;
            let plan = route::routed(skill.clone(), decided.clone(), case.current, routes, case.directory);
            if let Some(plan) = plan {
                return Ok(Said::Route(plan));
            }
            let names: Vec<_> = decided.candidates.iter().map(|candidate| candidate.model.as_str()).collect();
            let note = format!("{skill} routed to models that nobody knows: {}", names.join(", "));
            tracing::warn!(request = %account.id, "{note}");
            account.note(|record| record.notes.push(note));
            Ok(Said::Nothing)
        }
        Decision::Reply(text) => {
            account.note(|record| {
                record.skill = Some(skill.shared());
                record.reason = Some("answered in the assistant's place".into());
            });
            Ok(Said::Reply(text))
        }
        Decision::Refuse(refusal) => {
            account.note(|record| record.skill = Some(skill.shared()));
            let status = if refusal.status == UNAUTHORISED { 403 } else { refusal.status };
            let message = format!("{skill}: {}", refusal.message);
            Err(Error::new(Fault::Skill, status, "refused_by_skill", message))
        }
    }
}

/// The plan of a request that nobody routed.
fn plain(account: &Account, case: &Case<'_>) -> Result<Plan, Error> {
    match case.current {
        Current::Picked(pool) => Ok(route::picked(pool.clone())),
        Current::PickedAway(model) => {
            let message = format!(
                "{model} was picked for this conversation, and no provider lists it now: `pointsman use default \
                 --session {}` returns it to its default",
                case.session
            );
            Err(Error::new(Fault::Client, 404, "model_not_found", message))
        }
        Current::Named(model) | Current::Default(model) => {
            Ok(route::plain(model.clone(), &account.settings.routes, case.directory))
        }
        Current::Unknown => Err(Error::unknown_model(&case.request.model, &case.directory.named())),
        Current::None => {
            let message = "the provider lists no language model: is LM Studio's server running, with a model downloaded? \
                           `pointsman doctor` looks closer";
            Err(Error::new(Fault::Provider, 503, "no_models", message))
        }
    }
}

/// What guards leave of a plan.
async fn guarded(account: &Account, inquiry: &Inquiry, plan: Plan) -> Result<Plan, Error> {
    if !inquiry.generation().is_guarded() {
        return Ok(plan);
    }
    let narrowed = inquiry.narrow(plan.models()).await;
    account.note(|record| note_steps(&narrowed.steps, record));
    let allowed = narrowed.allowed.map_err(|refusal| {
        // A route that may not be served is not to hold either.
        if let Some(routed) = &plan.routed {
            account.release(&routed.route);
        }
        Error::new(Fault::Skill, refusal.status, "refused_by_guard", refusal.message)
    })?;
    Ok(plan.narrowed(&allowed))
}

fn note_command(answered: &Answered, record: &mut Record) {
    record.skill = Some(answered.skill.shared());
    record.reason = Some(format!("the command {}", answered.command).into());
    let result = if answered.failure.is_some() { "failed" } else { "answered" };
    record.steps.push(telemetry::Step {
        skill: answered.skill.shared(),
        result: result.into(),
        detail: answered.failure.clone(),
        took_us: u64::try_from(answered.took.as_micros()).unwrap_or(u64::MAX),
    });
}

fn note_steps(steps: &[Step], record: &mut Record) {
    record.steps.extend(steps.iter().map(noted));
}

/// A step, as `why` shows it.
pub(super) fn noted(step: &Step) -> telemetry::Step {
    let (result, detail) = match &step.result {
        StepResult::Passed => ("passed", None),
        StepResult::Amended => ("amended", None),
        StepResult::Waits => ("waits", None),
        StepResult::Narrowed => ("narrowed", None),
        StepResult::Decided => ("decided", None),
        StepResult::Failed { message } | StepResult::Unasked { message } => ("failed", Some(message.clone())),
    };
    telemetry::Step {
        skill: step.skill.shared(),
        result: result.into(),
        detail,
        took_us: u64::try_from(step.elapsed.as_micros()).unwrap_or(u64::MAX),
    }
}
