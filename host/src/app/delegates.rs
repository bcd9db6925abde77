//! The rooms behind the capabilities: what a skill's imports reach.

mod http;
mod kv;

use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use super::picks;
use crate::capability::inference::{Ask, Completion};
use crate::capability::{self, Code, Delegates, Error};
use crate::exchange::infer::{InferError, Inference, Question};
use crate::id::SessionKey;
use crate::model::Directory;
use crate::residency::{
    Action, Pin, Reason, Refused, Residency, Standing, WhenAnswered, Whose, Wish, Wisher,
};
use crate::session::table::Table;
use crate::skill::Skills;
use crate::store::Store;
use crate::telemetry::Ring;
use crate::upstream::Upstream;

/// What stands behind all capabilities.
pub(super) struct Behind {
    pub(super) residency: Residency,
    pub(super) upstream: Arc<Upstream>,
    pub(super) sessions: Arc<Mutex<Table>>,
    pub(super) ring: Arc<Ring>,
    pub(super) store: Store,
    /// There only when the skills are, which are given these delegates.
    pub(super) skills: Arc<OnceLock<Weak<Skills>>>,
}

// === impl Behind ===

impl Behind {
    /// A delegate for each capability.
    pub(super) fn delegates(&self) -> Result<Delegates, reqwest::Error> {
        let Self { residency, upstream, sessions, ring, store, skills } = self;
        let inference = Inference { residency: residency.clone(), upstream: upstream.clone() };
        Ok(Delegates {
            models: Arc::new(Models(residency.clone())),
            residency: Arc::new(Wishes(residency.clone())),
            sessions: Arc::new(Picks {
                residency: residency.clone(),
                sessions: sessions.clone(),
                store: store.clone(),
            }),
            inference: Arc::new(Questions(inference)),
            kv: Arc::new(kv::Kept::new(store.clone())),
            http: Arc::new(http::Client::new()?),
            activity: Arc::new(History { ring: ring.clone(), skills: skills.clone() }),
        })
    }
}

/// What stands behind capabilities where no gateway runs: what was kept, and nothing else.
pub(super) fn at_rest(store: &Store) -> Delegates {
    Delegates { kv: Arc::new(kv::Kept::new(store.clone())), ..Delegates::nowhere() }
}

/// Knows which model a conversation uses.
struct Picks {
    residency: Residency,
    sessions: Arc<Mutex<Table>>,
    store: Store,
}

/// Asks models.
struct Questions(Inference);

/// Knows what happened.
struct History {
    ring: Arc<Ring>,
    skills: Arc<OnceLock<Weak<Skills>>>,
}

/// Sees the models.
pub(super) struct Models(pub(super) Residency);

impl capability::models::Models for Models {
    fn directory(&self) -> Arc<Directory> {
        self.0.directory()
    }
}

/// Takes skills' wishes.
pub(super) struct Wishes(pub(super) Residency);

impl capability::residency::Residency for Wishes {
    fn wish(
        &self,
        wish: capability::residency::Wish,
    ) -> BoxFuture<'static, Result<capability::residency::Standing, Error>> {
        let residency = self.0.clone();
        async move {
            let directory = residency.directory();
            let Some(model) = directory.find(&wish.model).map(|model| model.id.clone()) else {
                return Err(Error::unknown_model(&wish.model));
            };
            let wish = Wish {
                model,
                action: action(&wish),
                by: Wisher::Skill { skill: wish.skill, session: wish.session },
                answer: WhenAnswered::AtOnce,
            };
            residency.wish(wish).await.map(standing).map_err(refused)
        }
        .boxed()
    }
}

fn action(wish: &capability::residency::Wish) -> Action {
    match wish.change {
        capability::residency::Change::Load { context_length, pin } => {
            Action::Load { context_length, pin: if pin { Pin::Pinned } else { Pin::Loose } }
        }
        capability::residency::Change::Unload => {
            Action::Unload { whose: if wish.all { Whose::Everyones } else { Whose::Ours } }
        }
    }
}

fn standing(standing: Standing) -> capability::residency::Standing {
    match standing {
        Standing::Done => capability::residency::Standing::Done,
        Standing::Started => capability::residency::Standing::Started,
        Standing::Queued => capability::residency::Standing::Queued,
    }
}

fn refused(refused: Refused) -> Error {
    let code = match refused.reason {
        Reason::QueueFull => Code::Limit,
        Reason::UnknownModel => Code::NotFound,
        _ => Code::Unavailable,
    };
    Error { code, message: refused.to_string(), retryable: refused.retry_after.is_some() }
}

// === impl Picks ===

impl capability::sessions::Sessions for Picks {
    fn model(&self, session: &SessionKey) -> Option<String> {
        let sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        sessions.picked(session).map(ToString::to_string)
    }

    fn set_model(&self, session: &SessionKey, model: Option<&str>) -> Result<(), Error> {
        let directory = self.residency.directory();
        let find = |name: &str| {
            let unknown = || Error::unknown_model(name);
            directory.find(name).map(|model| model.id.clone()).ok_or_else(unknown)
        };
        let model = model.map(find).transpose()?;
        picks::pick(&self.store, &self.sessions, Some(session), model);
        Ok(())
    }
}

// === impl Questions ===

impl capability::inference::Inference for Questions {
    fn embed(&self, ask: Ask, inputs: Vec<String>) -> BoxFuture<'static, Result<Vec<Vec<f32>>, Error>> {
        let inference = self.0.clone();
        async move { inference.embed(question(ask), inputs).await.map_err(no_answer) }.boxed()
    }

    fn complete(&self, ask: Ask, prompt: Completion) -> BoxFuture<'static, Result<String, Error>> {
        let inference = self.0.clone();
        async move {
            let Completion { system, user, max_tokens } = prompt;
            inference.complete(question(ask), (&system, &user), max_tokens).await.map_err(no_answer)
        }
        .boxed()
    }
}

fn question(ask: Ask) -> Question {
    Question { model: ask.model, request: ask.subject.request, session: ask.subject.session }
}

fn no_answer(error: InferError) -> Error {
    match error {
        InferError::Unavailable(message) => Error::passing(Code::Unavailable, message),
        InferError::Failed(message) => Error::new(Code::Unavailable, message),
    }
}

// === impl History ===

impl capability::activity::Activity for History {
    fn skills(&self) -> Vec<capability::activity::SkillEntry> {
        let Some(skills) = self.skills.get().and_then(Weak::upgrade) else { return Vec::new() };
        let told = skills.statuses().into_iter().map(|status| capability::activity::SkillEntry {
            name: status.name.to_string(),
            version: status.version,
            description: status.description,
            state: status.state.as_str().to_owned(),
            reason: status.state.reason().or(status.last_error),
        });
        told.collect()
    }

    fn explain(&self, session: &SessionKey) -> Option<String> {
        let record = self.ring.last_served(session.as_str())?;
        Some(record.explained())
    }
}
