//! The chain: skills are asked one after another until one decides. What each did is a step, for `why`.
//!
//! A skill that fails is passed over or ends the chain with a refusal, as the user said; the step says what went wrong.
//! One instance is held at a time. Dropping the future drops the instance that was running.

use std::time::Duration;

use tokio::time::Instant;

use super::OnFailure;
use super::call::CallError;
use super::generation::Active;
use super::inquiry::Inquiry;
use super::load::Hook;
use super::said::Said;
use super::verdict::{self, Verdict, VerdictError};
use crate::id::SkillName;
use crate::turn::verdict::{Decision, Refusal};

/// What the skills say to a turn.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Outcome {
    /// Who decided, and what; none where every skill passed. A refusal with status 503 may also come from the host, in
    /// the name of a skill that failed or had no free instance.
    pub decision: Option<(SkillName, Decision)>,
    /// Merge patches on the request, in the order in which they are to be applied.
    pub patches: Vec<(SkillName, String)>,
    /// Who was asked, in order.
    pub steps: Vec<Step>,
}

/// One skill's part in a decision.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// The skill.
    pub skill: SkillName,
    /// From the wish for an instance to the checked answer.
    pub elapsed: Duration,
    /// What came of it.
    pub result: StepResult,
}

/// What came of asking one skill.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StepResult {
    /// It had no opinion.
    Passed,
    /// It amended the request.
    Amended,
    /// It wants to see a tool call's complete arguments.
    Waits,
    /// A guard took models away.
    Narrowed,
    /// It decided.
    Decided,
    /// It could not be asked, which is no fault of its own; the message is a fragment that follows its name.
    Unasked {
        /// What was in the way.
        message: String,
    },
    /// It failed; the message is a fragment that follows its name.
    Failed {
        /// What went wrong, with what the guest printed.
        message: String,
    },
}

/// The status of a refusal in the name of a skill that failed, and of one that had no free instance.
const FAILED_STATUS: u16 = 503;

/// Why a skill gave no verdict.
#[derive(Debug, thiserror::Error)]
pub(super) enum AskError {
    #[error("{0}")]
    Call(#[from] CallError),
    #[error("gave a verdict that was refused: {0}")]
    Verdict(#[from] VerdictError),
}

// === impl Inquiry ===

impl Inquiry {
    /// Asks the skills what is to become of the turn.
    pub async fn decide(&self) -> Outcome {
        let mut outcome = Outcome::default();
        for skill in self.generation.skills.iter().filter(|it| it.hooks.contains(&Hook::Request)) {
            outcome.ask(skill, self).await;
            if outcome.decision.is_some() {
                break;
            }
        }
        outcome
    }

    /// What one skill says to the turn, on its own; none where there was no free instance of it.
    pub(super) async fn ask(&self, skill: &Active) -> Option<Said> {
        let mut outcome = Outcome::default();
        outcome.ask(skill, self).await;
        outcome.said_by(&skill.name)
    }
}

// === impl Outcome ===

impl Outcome {
    async fn ask(&mut self, skill: &Active, inquiry: &Inquiry) {
        let begun = Instant::now();
        let answer = skill.ask(inquiry).await;
        let result = self.take(skill, answer);
        self.steps.push(Step { skill: skill.name.clone(), elapsed: begun.elapsed(), result });
    }

    /// Takes in one skill's answer.
    fn take(&mut self, skill: &Active, answer: Result<Verdict, AskError>) -> StepResult {
        match answer {
            Ok(Verdict::Pass) => StepResult::Passed,
            Ok(Verdict::Amend(patch)) => {
                self.patches.push((skill.name.clone(), patch));
                StepResult::Amended
            }
            Ok(Verdict::Decide(decision)) => {
                self.decision = Some((skill.name.clone(), decision));
                StepResult::Decided
            }
            Err(error) => {
                let message = error.to_string();
                if error.is_fault() {
                    skill.failed(&message);
                }
                if !error.is_fault() || skill.on_failure == OnFailure::Refuse {
                    let refusal = Refusal {
                        status: FAILED_STATUS,
                        message: format!("the skill `{}` {message}", skill.name),
                    };
                    self.decision = Some((skill.name.clone(), Decision::Refuse(refusal)));
                }
                if error.is_fault() {
                    StepResult::Failed { message }
                } else {
                    StepResult::Unasked { message }
                }
            }
        }
    }
}

// === impl Active ===

impl Active {
    async fn ask(&self, inquiry: &Inquiry) -> Result<Verdict, AskError> {
        let mut instance = self.pool.take().await?;
        let answer = instance.on_request(&inquiry.turn, inquiry.subject.clone()).await?;
        self.pool.put_back(instance);
        let verdict = verdict::check(answer, inquiry.media)?;
        self.succeeded();
        Ok(verdict)
    }
}

// === impl AskError ===

impl AskError {
    /// The skill is at fault, not the gateway's load.
    pub(super) fn is_fault(&self) -> bool {
        match self {
            Self::Call(error) => error.is_fault(),
            Self::Verdict(_) => true,
        }
    }
}
