//! What the attempts to serve one request share.

use std::sync::Arc;

use http::HeaderMap;
use tokio::time::Instant;

use super::account::Account;
use crate::id::SessionKey;
use crate::residency::{Claim, Progress, Purpose};
use crate::route::{Attempt, Plan};
use crate::turn::prompt::Prompt;
use crate::turn::verdict::{Candidate, Swap};
use crate::wire::chat::Request;

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
}

// === impl Job ===

impl Job {
    /// The claim that an attempt makes on its model.
    pub(super) fn claim(&self, attempt: &Attempt, prompt_tokens: u32) -> Claim {
        let purpose = match attempt.terms {
            _ if self.weight == Weight::Side => Purpose::SideCall { swap: Swap::Wait },
            Some((swap, afterwards)) => Purpose::Routed { swap, afterwards },
            None => Purpose::Plain,
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
        if self.weight == Weight::Decided { self.candidate(attempt)?.prompt.as_ref() } else { None }
    }

    /// Patches that an attempt merges into the body: what skills amended, then the candidate's own.
    pub(super) fn patches(&self, attempt: &Attempt) -> impl Iterator<Item = &str> {
        let own = self.candidate(attempt).and_then(|candidate| candidate.patch.as_deref());
        self.patches.iter().map(String::as_str).chain(own)
    }

    /// What the client is waiting for, in one line.
    pub(super) fn waiting_line(&self) -> String {
        let model = self.account.waiting_for();
        let name =
            model.as_ref().map_or("a model", |model| model.as_str().rsplit('/').next().unwrap_or_default());
        match self.progress.read() {
            Some(stage) => {
                let now = Instant::now().into_std();
                format!("{} {name} {} s", stage.phase, now.saturating_duration_since(stage.since).as_secs())
            }
            None => format!("waiting for {name}"),
        }
    }
}
