//! Chat commands: a message that begins with the prefix and the name of a command is answered by the skill that has it,
//! and by no model. What begins like one and is none goes its ordinary way: agents have commands of their own.

use std::time::Duration;

use tokio::time::Instant;

use super::call::CallError;
use super::generation::{Active, Generation};
use super::inquiry::Inquiry;
use super::load::Hook;
use super::text::{is_unsafe, shown};
use super::verdict::{self, VerdictError};
use crate::capability::bindings::command_hook;
use crate::id::SkillName;

/// A command, as its skill describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// What follows the prefix.
    pub name: String,
    /// Its arguments, for people.
    pub usage: String,
    /// What it does, in one line.
    pub summary: String,
}

/// What came of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answered {
    /// Who answered.
    pub skill: SkillName,
    /// The command's name.
    pub command: String,
    /// Markdown: the answer, or why there is none.
    pub text: String,
    /// The skill failed.
    pub failure: Option<String>,
    /// From the wish for an instance to the checked answer.
    pub took: Duration,
}

/// Why a skill's commands are refused; a fragment that follows "names a chat command badly:".
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    /// Too many of them.
    #[error("it has more than {COMMANDS_MAX}")]
    Count,
    /// Not a name that could be written after a prefix.
    #[error("`{0}` is not made of 1 to {NAME_BYTES_MAX} of a-z, 0-9, `-` and `_`")]
    Name(String),
    /// A text that would break what shows it.
    #[error("its usage and summary are lines of at most {LINE_BYTES_MAX} bytes")]
    Line,
}

/// Commands of one skill.
const COMMANDS_MAX: usize = 64;

/// Bytes of a command's name.
const NAME_BYTES_MAX: usize = 32;

/// Bytes of its usage, and of its summary.
const LINE_BYTES_MAX: usize = 300;

/// Bytes of a command with its arguments.
const COMMAND_BYTES_MAX: usize = 4096;

/// Why a command has no answer.
#[derive(Debug, thiserror::Error)]
enum AnswerError {
    #[error("{0}")]
    Call(#[from] CallError),
    #[error("gave an answer that was refused: {0}")]
    Answer(#[from] VerdictError),
}

/// Checks what `commands` answered.
pub(super) fn check(commands: Vec<command_hook::Command>) -> Result<Vec<Command>, CommandError> {
    if commands.len() > COMMANDS_MAX {
        return Err(CommandError::Count);
    }
    commands.into_iter().map(check_one).collect()
}

fn check_one(command: command_hook::Command) -> Result<Command, CommandError> {
    let command_hook::Command { name, usage, summary, extra: _ } = command;
    let is_legal = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_');
    if name.is_empty() || name.len() > NAME_BYTES_MAX || !name.bytes().all(is_legal) {
        return Err(CommandError::Name(shown(&name)));
    }
    let is_line = |text: &str| text.len() <= LINE_BYTES_MAX && !text.contains(is_unsafe);
    if !is_line(&usage) || !is_line(&summary) {
        return Err(CommandError::Line);
    }
    Ok(Command { name, usage, summary })
}

/// The name and the arguments of what may be a command: the first line, and no longer than a command is.
fn parse<'a>(prefix: &str, text: &'a str) -> Option<(&'a str, &'a str)> {
    let line = text.trim().lines().next().filter(|line| line.len() <= COMMAND_BYTES_MAX)?;
    let rest = line.strip_prefix(prefix).filter(|_| !prefix.is_empty())?;
    let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
    let (name, arguments) = rest.split_at_checked(end)?;
    Some((name, arguments.trim()))
}

// === impl Generation ===

impl Generation {
    /// Who answers a message that begins so, and what is asked of it. Where two have a command, the first in order.
    fn commanded<'a>(&self, prefix: &str, text: &'a str) -> Option<(&Active, &'a str, &'a str)> {
        let (name, arguments) = parse(prefix, text)?;
        let has = |skill: &&std::sync::Arc<Active>| skill.commands.iter().any(|it| it.name == name);
        let skill = self.skills.iter().find(has)?;
        Some((skill, name, arguments))
    }

    /// The message is a command.
    pub fn is_command(&self, prefix: &str, text: &str) -> bool {
        self.has(Hook::Command) && self.commanded(prefix, text).is_some()
    }
}

// === impl Inquiry ===

impl Inquiry {
    /// Has the command answered that this text is; none where it is none.
    pub async fn command(&self, prefix: &str, text: &str) -> Option<Answered> {
        let (skill, name, arguments) = self.generation.commanded(prefix, text)?;
        let begun = Instant::now();
        let answer = skill.answer(self, name, arguments).await;
        let (text, failure) = match answer {
            Ok(text) => (text, None),
            Err(error) => {
                let message = error.to_string();
                // An error of its own is the command's answer; anything else is the skill's failure.
                if !matches!(&error, AnswerError::Call(CallError::Answer { .. } | CallError::Busy(_))) {
                    skill.failed(&message);
                }
                (error.for_people(&skill.name), Some(message))
            }
        };
        let took = begun.elapsed();
        Some(Answered { skill: skill.name.clone(), command: name.to_owned(), text, failure, took })
    }
}

// === impl Active ===

impl Active {
    async fn answer(&self, inquiry: &Inquiry, name: &str, arguments: &str) -> Result<String, AnswerError> {
        let mut instance = self.pool.take().await?;
        let answer = instance.on_command(&inquiry.turn, (name, arguments), inquiry.subject.clone()).await?;
        self.pool.put_back(instance);
        verdict::check_reply(&answer)?;
        self.succeeded();
        Ok(answer)
    }
}

// === impl AnswerError ===

impl AnswerError {
    fn for_people(&self, skill: &SkillName) -> String {
        match self {
            Self::Call(CallError::Answer { message, .. }) => message.clone(),
            other => format!("The skill `{skill}` {other}."),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_a_prefix_and_a_name() {
        let check =
            |prefix: &str, text: &str, expected| assert_eq!(parse(prefix, text), expected, "{text:?}");
        check("/", "/models", Some(("models", "")));
        check("/", " /model  acme/otter 8b \n", Some(("model", "acme/otter 8b")));
        check("/", "/why \nnow", Some(("why", "")));
        check("/", &format!("/why {}", "a".repeat(5000)), None);
        check("/", "what does /models do?", None);
        check("!pm ", "!pm models", Some(("models", "")));
        check("", "models", None);
        check("/", "/", Some(("", "")));
    }

    #[test]
    fn commands_are_checked() {
        let command = |name: &str, summary: &str| command_hook::Command {
            name: name.to_owned(),
            usage: "[ID]".to_owned(),
            summary: summary.to_owned(),
            extra: Vec::new(),
        };
        assert_eq!(check(vec![command("model", "Shows it")]).map(|it| it.len()), Ok(1));
        for bad in ["", "Model", "a b", "a/b", &"a".repeat(33)] {
            assert_eq!(check(vec![command(bad, "")]), Err(CommandError::Name(bad.to_owned())));
        }
        assert_eq!(check(vec![command("a", "\u{1b}[31m")]), Err(CommandError::Line));
        assert_eq!(check(vec![command("a", ""); 65]), Err(CommandError::Count));
    }
}
