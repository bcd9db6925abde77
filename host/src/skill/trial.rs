//! Trying a component before it is installed: a table of turns and tool calls, and what it should say to each, without a
//! gateway. It runs
//! in the same sandbox as ever, sees the models that the table names, and nothing that it asks for has an effect.
//!
//! Bounded by [`CASES_MAX`] and by the limits of each call.

mod table;

use std::sync::Arc;

use serde::Serialize;
use serde_json::Value;

use super::said::{Said, Verdict};
use super::status::State;
use super::{Behind, Bundled, Config, Inquiry, SkillConfig, Skills, StartError};
use crate::capability::Delegates;
use crate::capability::models::Models;
use crate::id::SkillName;
use crate::model::Directory;
use table::{Case, Expected, Table};

pub use table::{CaseError, TableError};

/// Cases of one table.
pub const CASES_MAX: usize = 10_000;

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
    Table(#[from] TableError),
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
    let table = Table::parse(table)?;
    if table.cases.is_empty() || table.cases.len() > CASES_MAX {
        return Err(TrialError::Count);
    }
    let skills = start(wasm, &table).await?;
    let (name, mut cases) = (SkillName::new(NAME), Vec::new());
    for (number, case) in table.cases.iter().enumerate() {
        let behind = Behind { conversation: None, directory: skills.generation().directory() };
        let inquiry = Inquiry::new(skills.generation(), case.turn(number), behind);
        let said = match &case.call {
            Some(call) => inquiry.tool_call(call).await.said_by(&name),
            None => inquiry.decide().await.said_by(&name),
        };
        cases.push(judge(case, said.unwrap_or_else(Said::pass)));
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
    let listed = Listed(Arc::new(Directory::new(table.models.clone(), Vec::new())));
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

fn judge(case: &Case, said: Said) -> Judged {
    let because = misfit(&case.expect, &said);
    Judged {
        name: case.name.clone(),
        ok: because.is_none(),
        verdict: said.verdict,
        model: said.ways.into_iter().next().map(|way| way.model),
        says: said.says,
        because,
    }
}

/// What is not as expected, where something is not.
fn misfit(expect: &Expected, said: &Said) -> Option<String> {
    let Expected { verdict, model, fallbacks, swap, says, status } = expect;
    let mut models = said.ways.iter().map(|way| &way.model);
    let (first, others) = (models.next(), models);
    if said.verdict != *verdict {
        return Some(format!("expected {}, and it said {}", verdict.as_str(), said.verdict.as_str()));
    }
    if let Some(model) = model.as_ref().filter(|it| Some(*it) != first) {
        return Some(format!("expected a route to {model:?}"));
    }
    if let Some(fallbacks) = fallbacks.as_ref().filter(|it| !others.eq(it.iter())) {
        return Some(format!("expected the fallbacks {fallbacks:?}"));
    }
    let terms = said.terms.as_deref().unwrap_or_default();
    if let Some(swap) = swap.as_ref().filter(|it| !terms.starts_with(&format!("swap {},", it.as_str()))) {
        return Some(format!("expected the swap {:?}", swap.as_str()));
    }
    if let Some(part) = says.as_ref().filter(|it| !said.says.as_ref().is_some_and(|said| said.contains(*it)))
    {
        return Some(format!("expected it to say {part:?}"));
    }
    status.filter(|status| Some(*status) != said.status).map(|status| format!("expected status {status}"))
}
