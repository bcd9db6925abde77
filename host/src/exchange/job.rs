//! What the attempts to serve one request share.

use std::sync::Arc;

use http::HeaderMap;
use tokio::time::Instant;

use super::account::Account;
use crate::id::{ModelId, SessionKey};
use crate::residency::{Claim, Progress, Purpose};
use crate::route::{Attempt, Plan};
use crate::skill::Inquiry;
use crate::turn::prompt::Prompt;
use crate::turn::verdict::{Candidate, Swap};
use crate::wire::chat::Request;
use crate::wire::order::Told;

/// One request on its way through its attempts.
pub(super) struct Job {
    pub(super) account: Arc<Account>,
    pub(super) request: Arc<Request>,
    pub(super) headers: HeaderMap,
    pub(super) session: SessionKey,
    pub(super) plan: Plan,
    /// What skills amended, in order.
    pub(super) patches: Vec<String>,
    pub(super) weight: Weight,
    /// Whom to ask about tool calls; none where nobody is to be asked.
    pub(super) hearing: Option<Arc<Inquiry>>,
    /// What the model was told since, after its calls were withheld.
    pub(super) told: Vec<Told>,
    pub(super) progress: Arc<Progress>,
}

/// What a request may move.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Weight {
    /// It was decided for itself: the route's prompts were composed for it.
    Decided,
    /// An earlier decision holds for it: prompts of that would repeat the words they were composed for.
    Held,
    /// A title, a summary: it moves neither route nor baseline.
    Side,
    /// A tool call of it, which another model writes: it moves neither as well.
    Call,
}

// === impl Job ===

impl Job {
    /// The same request by another plan, with what the model has been told since. Its calls are not asked about.
    pub(super) fn again(&self, plan: Plan, weight: Weight, told: Vec<Told>) -> Self {
        let Self { account, request, headers, session, patches, .. } = self;
        Self {
            account: account.clone(),
            request: request.clone(),
            headers: headers.clone(),
            session: session.clone(),
            plan,
            patches: patches.clone(),
            weight,
            hearing: None,
            told,
            progress: Arc::default(),
        }
    }

    /// The claim that an attempt makes on its model.
    pub(super) fn claim(&self, attempt: &Attempt, prompt_tokens: u32) -> Claim {
        let purpose = match (self.weight, attempt.terms) {
            (Weight::Side, _) => Purpose::SideCall { swap: Swap::Wait },
            (Weight::Call, terms) => Purpose::SideCall { swap: terms.map_or(Swap::Wait, |(swap, _)| swap) },
            (Weight::Decided | Weight::Held, Some((swap, afterwards))) => {
                Purpose::Routed { swap, afterwards }
            }
            (Weight::Decided | Weight::Held, None) => Purpose::Plain,
        };
        Claim {
            model: attempt.model.clone(),
            purpose,
            session: self.session.clone(),
            request: self.account.id.clone(),
            prompt_tokens,
            output_tokens: self.request.max_output_tokens.unwrap_or_default(),
            context_length: attempt.context_length,
            progress: self.progress.clone(),
        }
    }

    /// The route's candidate that an attempt stands for.
    pub(super) fn candidate(&self, attempt: &Attempt) -> Option<&Candidate> {
        self.plan.routed.as_ref()?.route.candidates.get(attempt.candidate?)
    }

    /// The prompt that an attempt sends in place of the conversation.
    pub(super) fn prompt(&self, attempt: &Attempt) -> Option<&Prompt> {
        match self.weight {
            Weight::Decided | Weight::Call => self.candidate(attempt)?.prompt.as_ref(),
            Weight::Held | Weight::Side => None,
        }
    }

    /// Patches that an attempt merges into the body: what skills amended, then the candidate's own.
    pub(super) fn patches(&self, attempt: &Attempt) -> impl Iterator<Item = &str> {
        let own = self.candidate(attempt).and_then(|candidate| candidate.patch.as_deref());
        self.patches.iter().map(String::as_str).chain(own)
    }

    /// What the client is waiting for, in one line.
    pub(super) fn waiting_line(&self) -> String {
        let model = self.account.waiting_for();
        let name = model.as_ref().map_or("a model", short);
        self.stage_line(name).unwrap_or_else(|| format!("waiting for {name}"))
    }

    /// What the client is waiting for while its first attempt's model writes a call of this tool.
    pub(super) fn waiting_line_of_call(&self, tool: &str) -> String {
        let name = self.plan.attempts.first().map_or("a model", |attempt| short(&attempt.model));
        self.stage_line(name).unwrap_or_else(|| format!("{name} writes the call of {tool}"))
    }

    /// What is being done so that this model can answer; none where nothing is.
    fn stage_line(&self, name: &str) -> Option<String> {
        let stage = self.progress.read()?;
        let since = Instant::now().into_std().saturating_duration_since(stage.since);
        Some(format!("{} {name} {} s", stage.phase, since.as_secs()))
    }
}

/// A model's name as people say it.
fn short(model: &ModelId) -> &str {
    model.as_str().rsplit('/').next().unwrap_or_default()
}
