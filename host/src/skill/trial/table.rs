//! What may be written in a table of cases, and the turns, calls and models that it means. What makes no sense is told with
//! its line.
//!
//! A case is about a turn, or, where it has a `call`, about a tool call in that turn; each has verdicts of its own.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;
use toml::Spanned;

use crate::id::{InstanceId, ModelId, RequestId, SessionKey};
use crate::model::{Costs, Instance, InstanceState, Kind, MediaKind, Model};
use crate::skill::ToolCall;
use crate::skill::said::Verdict;
use crate::turn::{Protocol, Turn};

/// A table of cases.
#[derive(Debug)]
pub(super) struct Table {
    /// For the skill's `configure`.
    pub(super) settings: Option<BTreeMap<String, Value>>,
    /// What it may use; all that it imports unless written.
    pub(super) grants: Option<Vec<String>>,
    /// The models that it sees.
    pub(super) models: Vec<Model>,
    pub(super) cases: Vec<Case>,
}

/// Why a text is no table of cases.
#[derive(Debug, thiserror::Error)]
pub enum TableError {
    /// It is not written as it must be.
    #[error("{0}")]
    Written(#[from] toml::de::Error),
    /// A case that makes no sense.
    #[error("the case at line {line}: {reason}")]
    Case {
        /// Where it begins, counted from 1.
        line: usize,
        /// What is wrong with it.
        reason: CaseError,
    },
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenTable {
    settings: Option<BTreeMap<String, Value>>,
    grants: Option<Vec<String>>,
    #[serde(default)]
    models: Vec<Seen>,
    cases: Vec<Spanned<WrittenCase>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Seen {
    id: String,
    #[serde(default)]
    embedding: bool,
    #[serde(default)]
    vision: bool,
    #[serde(default)]
    tools: bool,
    #[serde(default)]
    reasoning: bool,
    #[serde(default)]
    remote: bool,
    #[serde(default)]
    resident: bool,
    context: Option<u32>,
    size_mib: Option<u64>,
}

/// One question, and the answer to it.
#[derive(Debug)]
pub(super) struct Case {
    /// For people: what it is called, else the tool, else the text.
    pub(super) name: String,
    /// The tool call that it is about; none where it is about the turn.
    pub(super) call: Option<ToolCall>,
    pub(super) expect: Expected,
    turn: Turn,
    /// One of its own, unless written.
    session: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenCase {
    name: Option<String>,
    text: Option<String>,
    #[serde(default)]
    last_answer: String,
    #[serde(default)]
    media: Vec<Medium>,
    #[serde(default)]
    tools: Vec<String>,
    #[serde(default)]
    pinned: bool,
    agent: Option<String>,
    session: Option<String>,
    /// The model that the client names.
    #[serde(default = "auto")]
    requested: String,
    /// Where the turn goes if the skill passes.
    #[serde(default)]
    current: String,
    call: Option<WrittenCall>,
    expect: Expected,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenCall {
    /// The tool.
    name: String,
    /// JSON as a text, or a table that is made JSON; none while the model is writing them.
    arguments: Option<Value>,
    /// Who calls; the turn's current model unless written.
    model: Option<String>,
    #[serde(default = "call_id")]
    id: String,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Medium {
    Image,
    Audio,
    Video,
    Document,
}

/// What should be said. What is not written may be anything.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Expected {
    pub(super) verdict: Verdict,
    /// The route's first model, as the skill names it.
    pub(super) model: Option<String>,
    /// The route's other models, in order.
    pub(super) fallbacks: Option<Vec<String>>,
    /// Whether the route may push other models out.
    pub(super) swap: Option<Swap>,
    /// Part of the reason, of the reply, of the refusal's message, of the arguments, or of why it failed.
    pub(super) says: Option<String>,
    /// The refusal's status.
    pub(super) status: Option<u16>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Swap {
    Never,
    IfIdle,
    Wait,
}

/// Why a case makes no sense.
#[derive(Debug, thiserror::Error)]
pub enum CaseError {
    /// It is about nothing.
    #[error("a case about a turn needs its `text`; one about a tool call has a `call`")]
    NoText,
    /// To a call nobody says that.
    #[error("to a tool call a skill says pass, wait, reroute, rewrite, deny or fails, never {}", .0.as_str())]
    OfTurn(Verdict),
    /// To a turn nobody says that.
    #[error("to a turn a skill says pass, amend, route, reply, refuse or fails, never {}", .0.as_str())]
    OfCall(Verdict),
}

fn auto() -> String {
    "auto".to_owned()
}

fn call_id() -> String {
    "call_1".to_owned()
}

// === impl Table ===

impl Table {
    /// Reads a table.
    pub(super) fn parse(text: &str) -> Result<Self, TableError> {
        let written: WrittenTable = toml::from_str(text)?;
        let read = |case: Spanned<WrittenCase>| {
            let begins = case.span().start;
            Case::try_from(case.into_inner()).map_err(|reason| {
                let line = text.bytes().take(begins).filter(|byte| *byte == b'\n').count() + 1;
                TableError::Case { line, reason }
            })
        };
        Ok(Self {
            settings: written.settings,
            grants: written.grants,
            models: written.models.iter().map(Seen::model).collect(),
            cases: written.cases.into_iter().map(read).collect::<Result<_, _>>()?,
        })
    }
}

// === impl Seen ===

impl Seen {
    fn model(&self) -> Model {
        let instance = Instance {
            id: InstanceId::new(self.id.as_str()),
            state: InstanceState::Ready,
            context_length: self.context,
            in_flight: 0,
            queued: 0,
        };
        Model {
            id: ModelId::new(self.id.as_str()),
            display_name: self.id.clone(),
            kind: if self.embedding { Kind::Embedding } else { Kind::Language },
            vision: self.vision,
            tool_use: self.tools,
            reasoning: self.reasoning,
            local: !self.remote,
            max_context: self.context,
            size_bytes: self.size_mib.map(|size| size << 20),
            instances: if self.resident { vec![instance] } else { Vec::new() },
            load_seconds: None,
            costs: Costs::default(),
        }
    }
}

// === impl Case ===

impl Case {
    /// The turn of the case that is so many cases after the first.
    pub(super) fn turn(&self, number: usize) -> Turn {
        let name = format!("case-{number}");
        Turn {
            session: SessionKey::new(self.session.as_deref().unwrap_or(&name)),
            request_id: RequestId::new(name),
            ..self.turn.clone()
        }
    }
}

impl TryFrom<WrittenCase> for Case {
    type Error = CaseError;

    fn try_from(case: WrittenCase) -> Result<Self, CaseError> {
        let verdict = case.expect.verdict;
        match (&case.call, &case.text) {
            (None, None) => return Err(CaseError::NoText),
            (None, _) if verdict.is_of_call() => return Err(CaseError::OfCall(verdict)),
            (Some(_), _) if verdict.is_of_turn() => return Err(CaseError::OfTurn(verdict)),
            _ => {}
        }
        let of_call = case.call.as_ref().map(|call| format!("a call of {}", call.name));
        let text = case.text.as_deref().unwrap_or_default();
        Ok(Self {
            name: case.name.clone().or(of_call).unwrap_or_else(|| text.to_owned()),
            turn: case.turn(text),
            call: case.call.map(|call| call.made_by(&case.current)),
            expect: case.expect,
            session: case.session,
        })
    }
}

// === impl WrittenCase ===

impl WrittenCase {
    fn turn(&self, text: &str) -> Turn {
        let media: Vec<MediaKind> = self.media.iter().map(|medium| medium.kind()).collect();
        let tokens = text.len() / 4 + media.len() * 256;
        Turn {
            request_id: RequestId::new("case"),
            session: SessionKey::new("case"),
            agent: self.agent.clone(),
            client: None,
            protocol: Protocol::ChatCompletions,
            streaming: true,
            requested_model: self.requested.clone(),
            current_model: self.current.clone(),
            pinned: self.pinned,
            user_text: text.to_owned(),
            user_text_truncated: false,
            last_answer: self.last_answer.clone(),
            history_media: media.clone(),
            media,
            tools: self.tools.clone(),
            message_count: 1,
            estimated_tokens: u32::try_from(tokens).unwrap_or(u32::MAX),
            max_output_tokens: None,
        }
    }
}

// === impl WrittenCall ===

impl WrittenCall {
    fn made_by(self, current: &str) -> ToolCall {
        let model = self.model.as_deref().unwrap_or(current);
        ToolCall {
            id: self.id,
            name: self.name,
            arguments: self.arguments.map(|written| match written {
                Value::String(json) => json,
                table => table.to_string(),
            }),
            model: ModelId::new(model),
        }
    }
}

// === impl Swap ===

impl Swap {
    /// The word for it.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Never => "never",
            Self::IfIdle => "if-idle",
            Self::Wait => "wait",
        }
    }
}

// === impl Medium ===

impl Medium {
    fn kind(self) -> MediaKind {
        match self {
            Self::Image => MediaKind::Image,
            Self::Audio => MediaKind::Audio,
            Self::Video => MediaKind::Video,
            Self::Document => MediaKind::Document,
        }
    }
}
