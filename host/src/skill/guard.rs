//! Guards: skills that narrow every list of models which is about to be used, whoever chose it. Their results intersect.
//!
//! Guards fail closed: one that errs, traps, has no free instance or cannot be used at all refuses the request. A guard
//! asks no models itself.

use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::time::Instant;

use super::call::CallError;
use super::chain::{Step, StepResult};
use super::generation::{Active, Generation};
use super::inquiry::Inquiry;
use super::load::Hook;
use crate::capability::bindings::types;
use crate::capability::models::record;
use crate::capability::{Code, Error, Guards, Subject};
use crate::id::ModelId;
use crate::turn::verdict::Refusal;

/// What the guards made of a list of models.
#[derive(Debug, Clone, PartialEq)]
pub struct Narrowed {
    /// Those that may be used, at least one; or why none may.
    pub allowed: Result<Vec<ModelId>, Refusal>,
    /// Which guards were asked.
    pub steps: Vec<Step>,
}

/// The guards of a request, for what skills infer in it.
pub(super) struct Watch {
    generation: Arc<Generation>,
    turn: Arc<types::Turn>,
    subject: Subject,
}

/// The status of a refusal because no model is left.
const FORBIDDEN: u16 = 403;

/// The status of a refusal because a guard could not be asked.
const UNGUARDED: u16 = 503;

// === impl Inquiry ===

impl Inquiry {
    /// Which of these models may be used. Without guards, all of them.
    pub async fn narrow(&self, models: Vec<ModelId>) -> Narrowed {
        self.generation.narrow(&self.turn, &self.subject, models).await
    }
}

// === impl Generation ===

impl Generation {
    /// Some skill must be asked before a model is used.
    pub fn is_guarded(&self) -> bool {
        self.has(Hook::Guard) || !self.unguarded.is_empty()
    }

    async fn narrow(&self, turn: &types::Turn, subject: &Subject, models: Vec<ModelId>) -> Narrowed {
        let (mut allowed, mut steps) = (models, Vec::new());
        if let Some((name, reason)) = self.unguarded.first() {
            let message = format!("the guard `{name}` {reason}; nothing is served without it");
            return Narrowed { allowed: Err(Refusal { status: UNGUARDED, message }), steps };
        }
        for guard in self.skills.iter().filter(|it| it.hooks.contains(&Hook::Guard)) {
            let begun = Instant::now();
            let answer = guard.narrow(turn, subject, &allowed).await;
            let (left, result) = match answer {
                Ok(left) if left.len() == allowed.len() => (Ok(left), StepResult::Passed),
                Ok(left) => (Ok(left), StepResult::Narrowed),
                Err(error) => {
                    let message = error.to_string();
                    if error.is_fault() {
                        guard.failed(&message);
                    }
                    let refusal = format!("the guard `{}` {message}", guard.name);
                    (Err(Refusal { status: UNGUARDED, message: refusal }), StepResult::Failed { message })
                }
            };
            steps.push(Step { skill: guard.name.clone(), elapsed: begun.elapsed(), result });
            allowed = match left {
                Ok(left) if left.is_empty() => {
                    let message =
                        format!("the guard `{}` lets this request use none of its models", guard.name);
                    return Narrowed { allowed: Err(Refusal { status: FORBIDDEN, message }), steps };
                }
                Ok(left) => left,
                Err(refusal) => return Narrowed { allowed: Err(refusal), steps },
            };
        }
        Narrowed { allowed: Ok(allowed), steps }
    }
}

// === impl Active ===

impl Active {
    /// Of these models those that the guard lets through; what it names besides is nothing to it.
    async fn narrow(
        &self,
        turn: &types::Turn,
        subject: &Subject,
        models: &[ModelId],
    ) -> Result<Vec<ModelId>, CallError> {
        let directory = self.pool.delegates().models.directory();
        let candidates: Vec<types::Model> =
            models.iter().filter_map(|id| directory.get(id)).map(record).collect();
        let mut instance = self.pool.take().await?;
        let allowed = instance.narrow(turn, &candidates, subject.without_models()).await?;
        self.pool.put_back(instance);
        self.succeeded();
        let is_allowed = |id: &&ModelId| allowed.iter().any(|it| it == id.as_str());
        Ok(models.iter().filter(is_allowed).cloned().collect())
    }
}

// === impl Watch ===

impl Watch {
    pub(super) fn new(generation: Arc<Generation>, turn: Arc<types::Turn>, subject: Subject) -> Self {
        Self { generation, turn, subject }
    }
}

impl Guards for Watch {
    fn narrow(&self, models: Vec<ModelId>) -> BoxFuture<'static, Result<Vec<ModelId>, Error>> {
        let (generation, turn, subject) = (self.generation.clone(), self.turn.clone(), self.subject.clone());
        async move {
            let narrowed = generation.narrow(&turn, &subject, models).await;
            narrowed.allowed.map_err(|refusal| Error::new(Code::Denied, refusal.message))
        }
        .boxed()
    }
}
