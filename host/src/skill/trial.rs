//! Trying a component before it is installed: a table of turns and what it should say to each, without a gateway. It runs
//! in the same sandbox as ever, sees the models that the table names, and nothing that it asks for has an effect.
//!
//! Bounded by [`CASES_MAX`] and by the limits of each call.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::said::{Said, Verdict};
use super::status::State;
use super::{Bundled, Config, SkillConfig, Skills, StartError};
use crate::capability::Delegates;
use crate::capability::models::Models;
use crate::id::{InstanceId, ModelId, RequestId, SessionKey, SkillName};
use crate::model::{Costs, Directory, Instance, InstanceState, Kind, MediaKind, Model};
use crate::turn::{Protocol, Turn};

/// Cases of one table.
pub const CASES_MAX: usize = 10_000;

/// What may be written in a table of cases.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Table {
    /// For the skill's `configure`.
    #[serde(default)]
    settings: Option<BTreeMap<String, Value>>,
    /// What it may use; all that it imports unless written.
    #[serde(default)]
    grants: Option<Vec<String>>,
    /// The models that it sees.
    #[serde(default)]
    models: Vec<Seen>,
    cases: Vec<Case>,
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

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    /// For people; the text where there is none.
    name: Option<String>,
    text: String,
    #[serde(default)]
    last_answer: String,
    #[serde(default)]
    media: Vec<Medium>,
    #[serde(default)]
    tools: Vec<String>,
    #[serde(default)]
    pinned: bool,
    agent: Option<String>,
    /// The model that the client names.
    #[serde(default = "auto")]
    requested: String,
    expect: Expected,
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
struct Expected {
    verdict: Verdict,
    /// The route's first model, as the skill names it.
    model: Option<String>,
    /// Part of the reason, of the reply, of the refusal's message, or of why it failed.
    says: Option<String>,
    /// The refusal's status.
    status: Option<u16>,
}

/// How a component did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Everything was as expected.
    pub ok: bool,
    /// One by one.
    pub cases: Vec<Judged>,
}

/// How it did in one case.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Judged {
    /// What the case is called.
    pub name: String,
    /// It was as expected.
    pub ok: bool,
    /// What was said.
    pub verdict: Verdict,
    /// The route's first model.
    pub model: Option<String>,
    /// The reason, the reply, the message, the patch, or why it failed.
    pub says: Option<String>,
    /// Why it is not as expected.
    pub because: Option<String>,
}

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub enum TrialError {
    /// The table cannot be read.
    #[error("the table: {0}")]
    Table(#[from] toml::de::Error),
    /// It has none, or too many.
    #[error("a table has 1 to {CASES_MAX} `[[cases]]`")]
    Count,
    /// A grant that nobody can mean.
    #[error("`grants`: {0}")]
    Grant(#[from] crate::grant::ParseGrantError),
    /// The engine does not start.
    #[error("{0}")]
    Start(#[from] StartError),
    /// The component cannot be used.
    #[error("the component {0}")]
    Unusable(String),
}

/// The models of a table.
struct Listed(Arc<Directory>);

/// Asks the component about every case of a table.
///
/// # Errors
/// The table is not one, or the component cannot be used at all.
pub async fn run(wasm: Vec<u8>, table: &str) -> Result<Report, TrialError> {
    let table: Table = toml::from_str(table)?;
    if table.cases.is_empty() || table.cases.len() > CASES_MAX {
        return Err(TrialError::Count);
    }
    let skills = start(wasm, &table).await?;
    let (name, mut cases) = (SkillName::new(NAME), Vec::new());
    for (number, case) in table.cases.iter().enumerate() {
        let outcome = skills.generation().decide(turn(number, case)).await;
        cases.push(judge(case, outcome.said_by(&name).unwrap_or_else(Said::pass)));
    }
    Ok(Report { ok: cases.iter().all(|it| it.ok), cases })
}

async fn start(wasm: Vec<u8>, table: &Table) -> Result<Arc<Skills>, TrialError> {
    let grants = table.grants.as_ref().map(|grants| grants.iter().map(|it| it.parse()).collect());
    let settings = table.settings.clone().map(|it| Value::Object(it.into_iter().collect()));
    let skill = SkillConfig {
        grants: grants.transpose()?,
        settings: settings.unwrap_or_default(),
        ..SkillConfig::default()
    };
    let config = Config { skills: [(NAME.to_owned(), skill)].into(), ..Config::default() };
    let models = table.models.iter().map(model).collect();
    let listed = Listed(Arc::new(Directory::new(models, Vec::new())));
    let delegates = Delegates { models: Arc::new(listed), ..Delegates::nowhere() };
    let bundled = Bundled { name: NAME, wasm: wasm.into() };
    let (skills, _housekeeping) = Skills::start(config, delegates, &[bundled]).await?;
    match skills.statuses().into_iter().next().map(|status| status.state) {
        Some(State::Active) => Ok(skills),
        Some(State::Failed(reason) | State::Quarantined(reason)) => Err(TrialError::Unusable(reason)),
        _ => Err(TrialError::Unusable("is not used".to_owned())),
    }
}

/// The name that the skill goes by while it is tried.
const NAME: &str = "candidate";

impl Models for Listed {
    fn directory(&self) -> Arc<Directory> {
        self.0.clone()
    }
}

fn auto() -> String {
    "auto".to_owned()
}

fn model(seen: &Seen) -> Model {
    let instance = Instance {
        id: InstanceId::new(seen.id.as_str()),
        state: InstanceState::Ready,
        context_length: seen.context,
        in_flight: 0,
        queued: 0,
    };
    Model {
        id: ModelId::new(seen.id.as_str()),
        display_name: seen.id.clone(),
        kind: if seen.embedding { Kind::Embedding } else { Kind::Language },
        vision: seen.vision,
        tool_use: seen.tools,
        reasoning: seen.reasoning,
        local: !seen.remote,
        max_context: seen.context,
        size_bytes: seen.size_mib.map(|size| size << 20),
        instances: if seen.resident { vec![instance] } else { Vec::new() },
        load_seconds: None,
        costs: Costs::default(),
    }
}

fn turn(number: usize, case: &Case) -> Turn {
    let media: Vec<MediaKind> = case.media.iter().map(|medium| medium.kind()).collect();
    let tokens = case.text.len() / 4 + media.len() * 256;
    Turn {
        request_id: RequestId::new(format!("case-{number}")),
        session: SessionKey::new(format!("case-{number}")),
        agent: case.agent.clone(),
        client: None,
        protocol: Protocol::ChatCompletions,
        streaming: true,
        requested_model: case.requested.clone(),
        current_model: String::new(),
        pinned: case.pinned,
        user_text: case.text.clone(),
        user_text_truncated: false,
        last_answer: case.last_answer.clone(),
        history_media: media.clone(),
        media,
        tools: case.tools.clone(),
        message_count: 1,
        estimated_tokens: u32::try_from(tokens).unwrap_or(u32::MAX),
        max_output_tokens: None,
    }
}

fn judge(case: &Case, said: Said) -> Judged {
    let Expected { verdict, model, says, status } = &case.expect;
    let first = said.ways.into_iter().next().map(|way| way.model);
    let holds = |part: &String| said.says.as_ref().is_some_and(|said| said.contains(part));
    let because = if said.verdict != *verdict {
        Some(format!("expected {}, and it said {}", verdict.as_str(), said.verdict.as_str()))
    } else if model.is_some() && *model != first {
        Some(format!("expected a route to {:?}", model.as_deref().unwrap_or_default()))
    } else if says.as_ref().is_some_and(|part| !holds(part)) {
        Some(format!("expected it to say {:?}", says.as_deref().unwrap_or_default()))
    } else if status.is_some() && *status != said.status {
        Some(format!("expected status {}", status.unwrap_or_default()))
    } else {
        None
    };
    Judged {
        name: case.name.clone().unwrap_or_else(|| case.text.clone()),
        ok: because.is_none(),
        verdict: said.verdict,
        model: first,
        says: said.says,
        because,
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
