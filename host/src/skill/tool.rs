//! Tool calls: when the model calls a tool, skills with the hook are asked one after another what is to become of the call,
//! before the client sees it. The first that does more than pass decides.
//!
//! A call may be asked about twice: when its name is known, and, if a skill waits for them, with its arguments; the second
//! time all are asked anew. A skill that fails is passed over or has the call denied, as the user said. These questions
//! are neither recorded nor asked of whoever is tried: a trial is about turns, and what a call comes to depends on what
//! the model wrote in it.

use tokio::time::Instant;

use super::OnFailure;
use super::chain::{AskError, Step, StepResult};
use super::generation::Active;
use super::inquiry::Inquiry;
use super::load::Hook;
use super::verdict;
use crate::capability::bindings::tool_hook;
use crate::capability::{Moment, Subject};
use crate::id::{ModelId, SkillName};
use crate::turn::verdict::ToolDecision;

/// A tool call, as the model writes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToolCall {
    /// As the model, or its server, gave it.
    pub id: String,
    /// The tool.
    pub name: String,
    /// JSON, as far as the model's word goes; none while it is being written.
    pub arguments: Option<String>,
    /// Who writes it.
    pub model: ModelId,
}

/// What the skills say to a tool call.
#[derive(Debug, Clone, PartialEq)]
pub struct ToolOutcome {
    /// What is to become of it.
    pub decision: ToolDecision,
    /// Who said so; none where every skill passed.
    pub skill: Option<SkillName>,
    /// Who was asked, in order.
    pub steps: Vec<Step>,
}

// === impl Inquiry ===

impl Inquiry {
    /// Some skill is to be asked about tool calls. Where none is, nobody has to look for them.
    pub fn hears_tool_calls(&self) -> bool {
        self.generation.has(Hook::Tool)
    }

    /// Asks the skills what is to become of a tool call. A call with arguments is never waited for.
    pub async fn tool_call(&self, call: &ToolCall) -> ToolOutcome {
        let asked = tool_hook::ToolCall {
            id: call.id.clone(),
            name: call.name.clone(),
            arguments: call.arguments.clone(),
            model: call.model.as_str().to_owned(),
            extra: Vec::new(),
        };
        // A call comes later than its request: it has a time and models of its own.
        let moment = Moment::now(self.generation.directory());
        let subject = Subject { moment: Some(moment), ..self.subject.clone() };
        let mut outcome = ToolOutcome { decision: ToolDecision::Pass, skill: None, steps: Vec::new() };
        for skill in self.generation.skills.iter().filter(|it| it.hooks.contains(&Hook::Tool)) {
            let begun = Instant::now();
            let answer = skill.on_tool_call(self, &asked, subject.clone()).await;
            let (decision, result) = skill.take_tool(answer, call);
            outcome.steps.push(Step { skill: skill.name.clone(), elapsed: begun.elapsed(), result });
            if decision != ToolDecision::Pass {
                (outcome.decision, outcome.skill) = (decision, Some(skill.name.clone()));
                break;
            }
        }
        outcome
    }
}

// === impl Active ===

impl Active {
    async fn on_tool_call(
        &self,
        inquiry: &Inquiry,
        call: &tool_hook::ToolCall,
        subject: Subject,
    ) -> Result<ToolDecision, AskError> {
        let mut instance = self.pool.take().await?;
        let answer = instance.on_tool_call(&inquiry.turn, call, subject).await?;
        self.pool.put_back(instance);
        let decision = verdict::check_tool(answer, inquiry.media)?;
        self.succeeded();
        Ok(decision)
    }

    /// What this skill's answer comes to. One that could not be asked is passed over like one that failed: the model has
    /// written its call already, and a turn is never lost for a place.
    fn take_tool(
        &self,
        answer: Result<ToolDecision, AskError>,
        call: &ToolCall,
    ) -> (ToolDecision, StepResult) {
        let error = match answer {
            Ok(ToolDecision::Pass) => return (ToolDecision::Pass, StepResult::Passed),
            Ok(ToolDecision::Wait) if call.arguments.is_some() => {
                return (ToolDecision::Pass, StepResult::Passed);
            }
            Ok(ToolDecision::Wait) => return (ToolDecision::Wait, StepResult::Waits),
            Ok(decision) => return (decision, StepResult::Decided),
            Err(error) => error,
        };
        let message = error.to_string();
        let decision = match self.on_failure {
            OnFailure::Pass => ToolDecision::Pass,
            OnFailure::Refuse => ToolDecision::Deny(format!("the skill `{}` {message}", self.name)),
        };
        if error.is_fault() {
            self.failed(&message);
            (decision, StepResult::Failed { message })
        } else {
            (decision, StepResult::Unasked { message })
        }
    }
}
