//! A skill's own question to a model: one exchange beside the request that it is about. It goes to a model that is in
//! memory or elsewhere, never pushes another out, moves neither the turn nor what is due, and is never streamed.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Response};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::id::{ModelId, RequestId, SessionKey};
use crate::residency::{Claim, End, Lease, Purpose, Residency, TurnAfter};
use crate::turn::verdict::Swap;
use crate::upstream::{SendError, Upstream};
use crate::wire::edit::Pieces;
use crate::wire::fault;

/// The way from skills to models.
#[derive(Clone)]
pub struct Inference {
    /// Who looks after the models in memory.
    pub residency: Residency,
    /// The way to the providers.
    pub upstream: Arc<Upstream>,
}

/// Who is asked, and about which request.
#[derive(Debug, Clone)]
pub struct Question {
    /// The model.
    pub model: ModelId,
    /// The request that the skill was asked about.
    pub request: RequestId,
    /// Its conversation.
    pub session: SessionKey,
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InferError {
    /// The model is not in memory, or its provider is away.
    #[error("{0}")]
    Unavailable(String),
    /// The provider refused, or answered nonsense.
    #[error("{0}")]
    Failed(String),
}

/// Bytes of an answer: a thousand vectors of the usual sizes, as text.
const ANSWER_BYTES_MAX: usize = 32 << 20;

/// How long one answer may take; the hook that asks has less.
const TIMEOUT: Duration = Duration::from_secs(30);

#[derive(Deserialize)]
struct Vectors {
    data: Vec<Vector>,
}

#[derive(Deserialize)]
struct Vector {
    index: Option<usize>,
    embedding: Vec<f32>,
}

// === impl Inference ===

impl Inference {
    /// The answer's text to one system message, if there is one, and one user message.
    pub async fn complete(
        &self,
        question: Question,
        (system, user): (&str, &str),
        max_tokens: u32,
    ) -> Result<String, InferError> {
        let estimate = u32::try_from((system.len() + user.len()) / 4).unwrap_or(u32::MAX);
        let lease = self.lease(&question, estimate, max_tokens).await?;
        let mut messages = Vec::new();
        if !system.is_empty() {
            messages.push(json!({"role": "system", "content": system}));
        }
        messages.push(json!({"role": "user", "content": user}));
        let body = json!({
            "model": lease.instance().as_str(), "messages": messages, "max_tokens": max_tokens, "stream": false,
        });
        let headers = HeaderMap::new();
        let sent = self.upstream.chat(question.model.provider(), &headers, pieces(&body));
        let answer = finish(lease, sent).await?;
        let answer: Value = read(&answer)?;
        let text = answer.pointer("/choices/0/message/content").and_then(Value::as_str);
        text.map(str::to_owned).ok_or_else(|| InferError::Failed("the model's answer has no text".to_owned()))
    }

    /// One vector for each input.
    pub async fn embed(&self, question: Question, inputs: Vec<String>) -> Result<Vec<Vec<f32>>, InferError> {
        let bytes: usize = inputs.iter().map(String::len).sum();
        let lease = self.lease(&question, u32::try_from(bytes / 4).unwrap_or(u32::MAX), 0).await?;
        let count = inputs.len();
        let body = json!({"model": lease.instance().as_str(), "input": inputs});
        let sent = self.upstream.embeddings(question.model.provider(), pieces(&body));
        let answer = finish(lease, sent).await?;
        let mut data = read::<Vectors>(&answer)?.data;
        if data.iter().all(|vector| vector.index.is_some()) {
            data.sort_by_key(|vector| vector.index);
        }
        if data.len() != count {
            let message = format!("{} vectors came for {count} texts", data.len());
            return Err(InferError::Failed(message));
        }
        Ok(data.into_iter().map(|vector| vector.embedding).collect())
    }

    async fn lease(&self, question: &Question, prompt: u32, output: u32) -> Result<Lease, InferError> {
        let claim = Claim {
            model: question.model.clone(),
            purpose: Purpose::SideCall { swap: Swap::Never },
            session: question.session.clone(),
            request: question.request.clone(),
            prompt_tokens: prompt,
            output_tokens: output,
            context_length: None,
            progress: Arc::default(),
        };
        // Asked first: residency would load what fits beside the rest, and a skill is to wait for no load.
        let directory = self.residency.directory();
        let is_there = directory.get(&question.model).is_some_and(|model| model.is_resident());
        if !is_there {
            let message =
                format!("{} is not in memory, and a skill's question loads nothing", question.model);
            return Err(InferError::Unavailable(message));
        }
        self.residency.acquire(claim).await.map_err(|refused| InferError::Unavailable(refused.to_string()))
    }
}

/// Waits for the answer and gives the lease back.
async fn finish(
    lease: Lease,
    sent: impl Future<Output = Result<Response<Incoming>, SendError>>,
) -> Result<Bytes, InferError> {
    let answer = tokio::time::timeout(TIMEOUT, collected(sent)).await.unwrap_or_else(|_| {
        Err(InferError::Unavailable(format!("no answer within {} s", TIMEOUT.as_secs())))
    });
    lease.finish(match &answer {
        Ok(_) => End::Answered { turn: TurnAfter::Finished },
        Err(_) => End::Failed,
    });
    answer
}

async fn collected(
    sent: impl Future<Output = Result<Response<Incoming>, SendError>>,
) -> Result<Bytes, InferError> {
    let response = sent.await.map_err(|error| InferError::Unavailable(error.to_string()))?;
    let status = response.status();
    let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await;
    let body = body.map_err(|error| InferError::Failed(format!("the answer broke off: {error}")))?.to_bytes();
    if status.is_success() && fault::message_in(&body).is_none() {
        return Ok(body);
    }
    let message = fault::message_in(&body).unwrap_or_else(|| format!("the provider answered {status}"));
    Err(InferError::Failed(message))
}

fn pieces(body: &Value) -> Pieces {
    Pieces::whole(Bytes::from(body.to_string()))
}

fn read<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, InferError> {
    serde_json::from_slice(body).map_err(|error| InferError::Failed(format!("an unreadable answer: {error}")))
}
