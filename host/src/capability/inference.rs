//! The capability `inference`: ask a model. The gateway's own providers answer; no skill is asked about it but guards, and
//! nothing is loaded or pushed out for it.
//!
//! Bounded per request, over all skills that are asked about it: [`CALLS_MAX`]. A guard may not infer, nor may a hook that
//! is about no turn.

use futures_util::future::BoxFuture;

use super::bindings::{inference, types};
use super::{Code, Error, Sandbox, Subject, check_model_name};
use crate::grant::Capability;
use crate::id::{ModelId, SkillName};
use crate::model::Kind;

/// Asks models.
pub trait Inference: Send + Sync {
    /// One vector for each input.
    fn embed(&self, ask: Ask, inputs: Vec<String>) -> BoxFuture<'static, Result<Vec<Vec<f32>>, Error>>;

    /// The answer's text.
    fn complete(&self, ask: Ask, prompt: Completion) -> BoxFuture<'static, Result<String, Error>>;
}

/// Who asks whom.
#[derive(Debug, Clone)]
pub struct Ask {
    /// The skill.
    pub skill: SkillName,
    /// The turn that its hook is about.
    pub subject: Subject,
    /// The model, which guards let through.
    pub model: ModelId,
}

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Completion {
    /// The system message; none where empty.
    pub system: String,
    /// The user's message.
    pub user: String,
    /// Tokens of the answer.
    pub max_tokens: u32,
}

/// Questions to models that all skills together may ask about one request.
pub const CALLS_MAX: u32 = 16;

/// Texts of one call.
const INPUTS_MAX: usize = 256;

/// Bytes of all texts of one call.
const INPUT_BYTES_MAX: usize = 256 * 1024;

/// Tokens of one answer.
const TOKENS_MAX: u32 = 4096;

impl inference::Host for Sandbox {
    async fn embed(
        &mut self,
        model: String,
        inputs: Vec<String>,
    ) -> wasmtime::Result<Result<Vec<Vec<f32>>, types::Error>> {
        self.enter()?;
        let answer = async {
            check_inputs(&inputs)?;
            let ask = self.ask(&model, Kind::Embedding).await?;
            let answer = self.delegates.inference.embed(ask, inputs);
            self.wait(answer).await
        };
        Ok(answer.await.map_err(Error::into_record))
    }

    async fn complete(
        &mut self,
        model: String,
        system: String,
        user: String,
        max_tokens: u32,
    ) -> wasmtime::Result<Result<String, types::Error>> {
        self.enter()?;
        let answer = async {
            if max_tokens == 0 || system.len() + user.len() > INPUT_BYTES_MAX {
                let message =
                    format!("a question has 1 to {INPUT_BYTES_MAX} bytes, its answer a token at least");
                return Err(Error::new(Code::Invalid, message));
            }
            let ask = self.ask(&model, Kind::Language).await?;
            let prompt = Completion { system, user, max_tokens: max_tokens.min(TOKENS_MAX) };
            let answer = self.delegates.inference.complete(ask, prompt);
            self.wait(answer).await
        };
        Ok(answer.await.map_err(Error::into_record))
    }
}

impl Sandbox {
    /// Whether this skill may ask this model now.
    async fn ask(&mut self, name: &str, kind: Kind) -> Result<Ask, Error> {
        self.check(Capability::Inference)?;
        check_model_name(name)?;
        let subject = self.subject().cloned();
        let here = subject.and_then(|subject| Some((subject.guards.clone()?, subject)));
        let message = "models are asked only in hooks about a request, and not by guards";
        let (guards, subject) = here.ok_or_else(|| Error::new(Code::Denied, message))?;
        let directory = self.directory();
        let unknown = || Error::unknown_model(name);
        let model = directory.find(name).filter(|model| model.kind == kind).ok_or_else(unknown)?.id.clone();
        if !self.identity.rights.allow_inference(model.as_str()) {
            let skill = &self.identity.name;
            let message = format!("`inference` is not granted to {skill} for {model}");
            return Err(Error::new(Code::Denied, message));
        }
        if !subject.budget.take_inference(CALLS_MAX) {
            let message = format!("skills have asked models {CALLS_MAX} times about this request");
            return Err(Error::new(Code::Limit, message));
        }
        let allowed = guards.narrow(vec![model.clone()]);
        if self.wait(allowed).await?.is_empty() {
            return Err(Error::new(Code::Denied, format!("a guard forbids {model}")));
        }
        Ok(Ask { skill: self.identity.name.clone(), subject, model })
    }
}

fn check_inputs(inputs: &[String]) -> Result<(), Error> {
    let bytes: usize = inputs.iter().map(String::len).sum();
    if inputs.is_empty() || inputs.len() > INPUTS_MAX || bytes > INPUT_BYTES_MAX {
        let message = format!("1 to {INPUTS_MAX} texts of at most {INPUT_BYTES_MAX} bytes together");
        return Err(Error::new(Code::Invalid, message));
    }
    Ok(())
}
