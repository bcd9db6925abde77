//! What a skill answers to a turn, and to a tool call in it. Models are still names here: the route room resolves them against what is known.
//!
//! The values have passed the checks on untrusted input (lengths, control characters, statuses, JSON) in the skill room;
//! past that point no one checks them again.

use super::prompt::Prompt;

/// A request hook's answer that ends the chain.
#[derive(Debug, Clone, PartialEq)]
pub enum Decision {
    /// Serve the request this way.
    Route(Route),
    /// Answer in the assistant's place, without a model. Markdown.
    Reply(String),
    /// Do not serve the request.
    Refuse(Refusal),
}

/// What is to become of a tool call.
#[derive(Debug, Clone, PartialEq)]
pub enum ToolDecision {
    /// It goes out as the model writes it.
    Pass,
    /// To be asked again with the complete arguments; never the answer to those.
    Wait,
    /// Another model writes its arguments.
    Reroute(Reroute),
    /// It goes out with these arguments: a JSON object.
    Rewrite(String),
    /// It is withheld, and the model is told why: some lines of text.
    Deny(String),
}

/// Who is to write a tool call's arguments, and what stays as it is.
#[derive(Debug, Clone, PartialEq)]
pub struct Reroute {
    /// In force for this call alone, whatever hold it names.
    pub route: Route,
    /// Members that the arguments must have with these values, whoever writes them: a JSON object, where there are some.
    /// What another model writes without them, or with other values, is no valid call.
    pub fixed: Option<String>,
}

/// Ways to serve a request, in order of preference.
#[derive(Debug, Clone, PartialEq)]
pub struct Route {
    /// In order of preference; at least one.
    pub candidates: Vec<Candidate>,
    /// May serving this route push other models out of memory?
    pub swap: Swap,
    /// How long the route stays in force.
    pub hold: Hold,
    /// What is in memory when the hold has ended.
    pub afterwards: Afterwards,
    /// For the skill's own statistics; comes back in `outcome`.
    pub tag: Option<String>,
    /// One line for people.
    pub reason: String,
}

/// One way to serve a request.
#[derive(Debug, Clone, PartialEq)]
pub struct Candidate {
    /// An id, a bare key, the beginning of a key's last segment, or a configured alias.
    pub model: String,
    /// Tokens of context to load the model with, if it must be loaded.
    pub context_length: Option<u32>,
    /// What to send in place of the conversation.
    pub prompt: Option<Prompt>,
    /// RFC 7396 merge patch on the request body: a JSON object, checked to touch nothing it may not.
    pub patch: Option<String>,
}

/// May serving this route push other models out of memory?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Swap {
    /// Only a candidate that is resident or fits beside what is.
    Never,
    /// Only models that nobody is using or waiting for.
    IfIdle,
    /// Queue for it.
    Wait,
}

/// How long a route stays in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hold {
    /// Until the assistant answers without a tool call.
    Turn,
    /// Until the session ends or another route replaces it.
    Session,
}

/// What is in memory when the hold has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Afterwards {
    /// What was there before.
    Restore,
    /// The routed model.
    Keep,
}

/// A request that a skill will not have served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// HTTP status, 400 to 599.
    pub status: u16,
    /// For the user.
    pub message: String,
}
