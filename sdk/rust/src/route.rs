//! Routes, put together in the order in which one would say them.
//!
//! Builders sit on the contract's records, so what they make can still be read and changed field by field. Nothing is
//! checked here: the host checks verdicts as untrusted input.

use crate::{Afterwards, Candidate, Hold, Prompt, Refusal, Route, Swap, Verdict};

impl Route {
    /// A route to a model: an id, a key, the beginning of a key's last segment, or an alias. It may wait for the model
    /// to be swapped in, holds for this turn and puts back what was in memory.
    pub fn to(model: impl Into<String>) -> Self {
        Self::through(vec![Candidate::new(model)])
    }

    /// A route with the given ways to serve it, in order of preference.
    pub fn through(candidates: Vec<Candidate>) -> Self {
        Self {
            candidates,
            swap: Swap::Wait,
            hold: Hold::Turn,
            afterwards: Afterwards::Restore,
            tag: None,
            reason: String::new(),
            extra: Vec::new(),
        }
    }

    /// Adds the next best way to serve it.
    pub fn or(mut self, candidate: Candidate) -> Self {
        self.candidates.push(candidate);
        self
    }

    /// Sends the candidate named last this prompt in place of the conversation.
    pub fn with_prompt(mut self, prompt: Prompt) -> Self {
        if let Some(last) = self.candidates.last_mut() {
            last.prompt = Some(prompt);
        }
        self
    }

    /// Applies this RFC 7396 merge patch (a JSON object) to the body sent to the candidate named last.
    pub fn with_patch(mut self, json: impl Into<String>) -> Self {
        if let Some(last) = self.candidates.last_mut() {
            last.patch = Some(json.into());
        }
        self
    }

    /// May it push other models out of memory?
    pub fn swap(mut self, swap: Swap) -> Self {
        self.swap = swap;
        self
    }

    /// How long it stays in force.
    pub fn hold(mut self, hold: Hold) -> Self {
        self.hold = hold;
        self
    }

    /// What is in memory when the hold has ended.
    pub fn afterwards(mut self, afterwards: Afterwards) -> Self {
        self.afterwards = afterwards;
        self
    }

    /// Puts back what was in memory when the hold has ended.
    pub fn restore(self) -> Self {
        self.afterwards(Afterwards::Restore)
    }

    /// Leaves the routed model in memory.
    pub fn keep(self) -> Self {
        self.afterwards(Afterwards::Keep)
    }

    /// For the skill's own statistics; comes back in `Outcome::tag`.
    pub fn tag(mut self, tag: impl Into<String>) -> Self {
        self.tag = Some(tag.into());
        self
    }

    /// One line for people that says why.
    pub fn because(mut self, reason: impl Into<String>) -> Self {
        self.reason = reason.into();
        self
    }
}

impl Candidate {
    /// The conversation as it is, to this model.
    pub fn new(model: impl Into<String>) -> Self {
        Self { model: model.into(), context_length: None, prompt: None, patch: None, extra: Vec::new() }
    }

    /// This prompt in place of the conversation.
    pub fn with_prompt(mut self, prompt: Prompt) -> Self {
        self.prompt = Some(prompt);
        self
    }

    /// This RFC 7396 merge patch (a JSON object) on the request's body.
    pub fn with_patch(mut self, json: impl Into<String>) -> Self {
        self.patch = Some(json.into());
        self
    }

    /// Load it, if it must be loaded, with this many tokens of context.
    pub fn with_context(mut self, tokens: u32) -> Self {
        self.context_length = Some(tokens);
        self
    }
}

impl Refusal {
    /// An HTTP status from 400 to 599 and a message for the user.
    pub fn new(status: u16, message: impl Into<String>) -> Self {
        Self { status, message: message.into() }
    }
}

impl From<Route> for Verdict {
    fn from(route: Route) -> Self {
        Self::Route(route)
    }
}

impl From<Refusal> for Verdict {
    fn from(refusal: Refusal) -> Self {
        Self::Refuse(refusal)
    }
}
