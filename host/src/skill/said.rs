//! What a skill said to a turn, or to a tool call, in a form that can be kept, shown and compared with what another version says.
//!
//! Two sayings are alike where they come to the same for the request: the reason of a route is for people, and so is the
//! message of a failure.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::chain::{Outcome, StepResult};
use super::tool::ToolOutcome;
use crate::id::SkillName;
use crate::turn::prompt::{Content, Part, Prompt};
use crate::turn::verdict::{Afterwards, Candidate, Decision, Hold, Route, Swap, ToolDecision};

/// What a skill said to a turn.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Said {
    /// In a word.
    pub verdict: Verdict,
    /// A route's ways to serve, in order of preference.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ways: Vec<Way>,
    /// A route's swap, hold and afterwards.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub terms: Option<String>,
    /// A refusal's status.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// The reason, the reply, the message, the patch, or why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub says: Option<String>,
}

/// One way to serve.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Way {
    /// As the skill names it.
    pub model: String,
    /// Tokens of context to load it with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context_length: Option<u32>,
    /// What is sent in place of the conversation, piece by piece; the user's words and media only by name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompt: Option<String>,
    /// The patch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub patch: Option<String>,
}

/// What a skill may say, in a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// No opinion.
    Pass,
    /// A patch, and no opinion on the model.
    Amend,
    /// A route.
    Route,
    /// An answer in the assistant's place.
    Reply,
    /// A refusal.
    Refuse,
    /// To be asked again with a tool call's arguments.
    Wait,
    /// A route for a tool call.
    Reroute,
    /// Other arguments for a tool call.
    Rewrite,
    /// A tool call that is withheld.
    Deny,
    /// It failed.
    Fail,
}

/// Bytes of a text that is shown of what was said.
const SHOWN_BYTES_MAX: usize = 100;

// === impl Said ===

impl Said {
    /// No opinion: what a skill says that is not there.
    pub fn pass() -> Self {
        Self::plain(Verdict::Pass, None)
    }

    /// It comes to the same for the request.
    pub fn is_alike(&self, other: &Self) -> bool {
        let is_same_text = match self.verdict {
            Verdict::Reply | Verdict::Amend | Verdict::Refuse | Verdict::Rewrite | Verdict::Deny => {
                self.says == other.says
            }
            Verdict::Pass | Verdict::Route | Verdict::Wait | Verdict::Reroute | Verdict::Fail => true,
        };
        let acts = |said: &Self| (said.verdict, said.status, said.terms.clone());
        is_same_text && acts(self) == acts(other) && self.ways == other.ways
    }

    fn plain(verdict: Verdict, says: Option<String>) -> Self {
        Self { verdict, ways: Vec::new(), terms: None, status: None, says }
    }

    fn routed(verdict: Verdict, route: &Route) -> Self {
        Self {
            ways: route.candidates.iter().map(way).collect(),
            terms: Some(terms(route)),
            ..Self::plain(verdict, Some(route.reason.clone()))
        }
    }

    /// What was said to a tool call.
    fn of_call(decision: &ToolDecision) -> Self {
        match decision {
            ToolDecision::Pass => Self::pass(),
            ToolDecision::Wait => Self::plain(Verdict::Wait, None),
            ToolDecision::Reroute(reroute) => Self::routed(Verdict::Reroute, &reroute.route),
            ToolDecision::Rewrite(arguments) => Self::plain(Verdict::Rewrite, Some(arguments.clone())),
            ToolDecision::Deny(reason) => Self::plain(Verdict::Deny, Some(reason.clone())),
        }
    }

    fn decided(decision: &Decision) -> Self {
        match decision {
            Decision::Route(route) => Self::routed(Verdict::Route, route),
            Decision::Reply(text) => Self::plain(Verdict::Reply, Some(text.clone())),
            Decision::Refuse(refusal) => Self {
                status: Some(refusal.status),
                ..Self::plain(Verdict::Refuse, Some(refusal.message.clone()))
            },
        }
    }
}

impl fmt::Display for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.verdict.as_str())?;
        if let Some(way) = self.ways.first() {
            write!(f, " {}", way.model)?;
        }
        if let Some(status) = self.status {
            write!(f, " {status}")?;
        }
        let Some(says) = self.says.as_deref().filter(|says| !says.is_empty()) else { return Ok(()) };
        let shown = says.get(..says.floor_char_boundary(SHOWN_BYTES_MAX)).unwrap_or_default();
        let more = if shown.len() < says.len() { "…" } else { "" };
        write!(f, " ({}{more})", shown.replace(char::is_control, " "))
    }
}

// === impl Outcome ===

impl Outcome {
    /// What this skill said; none where it was not asked, or could not be.
    pub fn said_by(&self, skill: &SkillName) -> Option<Said> {
        let step = self.steps.iter().find(|step| step.skill == *skill)?;
        let patch = || self.patches.iter().find(|(name, _)| name == skill).map(|(_, patch)| patch.clone());
        Some(match (&step.result, &self.decision) {
            (StepResult::Unasked { .. }, _) => return None,
            (StepResult::Failed { message }, _) => Said::plain(Verdict::Fail, Some(message.clone())),
            (StepResult::Amended, _) => Said::plain(Verdict::Amend, patch()),
            (StepResult::Decided, Some((_, decision))) => Said::decided(decision),
            (StepResult::Passed | StepResult::Waits | StepResult::Narrowed | StepResult::Decided, _) => {
                Said::pass()
            }
        })
    }
}

// === impl ToolOutcome ===

impl ToolOutcome {
    /// What this skill said; none where it was not asked, or could not be.
    pub fn said_by(&self, skill: &SkillName) -> Option<Said> {
        let step = self.steps.iter().find(|step| step.skill == *skill)?;
        Some(match &step.result {
            StepResult::Unasked { .. } => return None,
            StepResult::Failed { message } => Said::plain(Verdict::Fail, Some(message.clone())),
            _ if self.skill.as_ref() == Some(skill) => Said::of_call(&self.decision),
            _ => Said::pass(),
        })
    }
}

// === impl Verdict ===

impl Verdict {
    /// Only a tool call is answered so.
    pub(super) fn is_of_call(self) -> bool {
        matches!(self, Self::Wait | Self::Reroute | Self::Rewrite | Self::Deny)
    }

    /// Only a turn is answered so.
    pub(super) fn is_of_turn(self) -> bool {
        matches!(self, Self::Amend | Self::Route | Self::Reply | Self::Refuse)
    }

    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Amend => "amend",
            Self::Route => "route",
            Self::Reply => "reply",
            Self::Refuse => "refuse",
            Self::Wait => "wait",
            Self::Reroute => "reroute",
            Self::Rewrite => "rewrite",
            Self::Deny => "deny",
            Self::Fail => "fail",
        }
    }
}

fn way(candidate: &Candidate) -> Way {
    Way {
        model: candidate.model.clone(),
        context_length: candidate.context_length,
        prompt: candidate.prompt.as_ref().map(prompt),
        patch: candidate.patch.clone(),
    }
}

fn terms(route: &Route) -> String {
    let swap = match route.swap {
        Swap::Never => "never",
        Swap::IfIdle => "if-idle",
        Swap::Wait => "wait",
    };
    let hold = match route.hold {
        Hold::Turn => "turn",
        Hold::Session => "session",
    };
    let afterwards = match route.afterwards {
        Afterwards::Restore => "restore",
        Afterwards::Keep => "keep",
    };
    format!("swap {swap}, hold {hold}, afterwards {afterwards}")
}

fn prompt(prompt: &Prompt) -> String {
    let message = |message: &crate::turn::prompt::Message| {
        let parts: Vec<String> = message.parts.iter().map(part).collect();
        format!("{}: {}", message.role.as_str(), parts.join(" + "))
    };
    let mut lines: Vec<String> = prompt.messages.iter().map(message).collect();
    if prompt.keep_tools {
        lines.push("with the client's tools".to_owned());
    }
    lines.join("\n")
}

fn part(part: &Part) -> String {
    let content = match &part.content {
        Content::Text(text) => format!("{text:?}"),
        Content::UserText => "user-text".to_owned(),
        Content::LastAnswer => "last-answer".to_owned(),
        Content::Media(number) => format!("media {number}"),
    };
    part.fields.as_ref().map_or_else(|| content.clone(), |fields| format!("{content} {fields}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::turn::prompt::{Message, Role};

    fn route(model: &str, reason: &str) -> Route {
        let prompt = Prompt {
            messages: vec![Message {
                role: Role::User,
                parts: vec![
                    Part { content: Content::Text("to German".to_owned()), fields: None },
                    Part { content: Content::UserText, fields: Some("{\"a\":1}".to_owned()) },
                ],
            }],
            keep_tools: false,
        };
        Route {
            candidates: vec![Candidate {
                model: model.to_owned(),
                context_length: Some(2048),
                prompt: Some(prompt),
                patch: None,
            }],
            swap: Swap::Wait,
            hold: Hold::Turn,
            afterwards: Afterwards::Restore,
            tag: None,
            reason: reason.to_owned(),
        }
    }

    #[test]
    fn routes_are_alike_by_what_they_do_and_not_by_what_they_say() {
        let said = |model: &str, reason: &str| Said::decided(&Decision::Route(route(model, reason)));
        let one = said("a", "because");
        assert!(one.is_alike(&said("a", "for another reason")));
        assert!(!one.is_alike(&said("b", "because")));
        assert!(!one.is_alike(&Said::pass()));
        let mut kept = route("a", "because");
        kept.afterwards = Afterwards::Keep;
        assert!(!one.is_alike(&Said::decided(&Decision::Route(kept))));
        let mut shorter = route("a", "because");
        shorter.candidates[0].prompt = None;
        assert!(!one.is_alike(&Said::decided(&Decision::Route(shorter))));
        assert_eq!(one.ways[0].prompt.as_deref(), Some("user: \"to German\" + user-text {\"a\":1}"));
        assert_eq!(one.to_string(), "route a (because)");
    }

    #[test]
    fn replies_are_alike_by_their_text() {
        let reply = |text: &str| Said::decided(&Decision::Reply(text.to_owned()));
        assert!(reply("a").is_alike(&reply("a")));
        assert!(!reply("a").is_alike(&reply("b")));
        assert_eq!(
            reply(&"x\n".repeat(100)).to_string().len(),
            "reply ()".len() + SHOWN_BYTES_MAX + "…".len()
        );
    }
}
