//! The commands: their names, what people are told of them, and how they are written in this conversation.
//!
//! The host takes the configured prefix away before a skill is asked, so how a command is written is read off the turn.

use pointsman_sdk::{Command, Turn};

use crate::markdown::code;

/// Bytes of a prefix that is still taken for one; `!pm ` has four.
const PREFIX_BYTES_MAX: usize = 16;

/// A command of this skill.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Name {
    /// The language models.
    Models,
    /// The model of this conversation.
    Model,
    /// The installed skills.
    Skills,
    /// Why the last request went where it went.
    Why,
}

/// How commands are written in this conversation.
#[derive(Debug)]
pub(crate) struct Prefix<'t>(&'t str);

// === impl Name ===

impl Name {
    const ALL: [Self; 4] = [Self::Models, Self::Model, Self::Skills, Self::Why];

    /// The command of that name.
    pub(crate) fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|command| command.as_str() == name)
    }

    /// The name, without the prefix.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Models => "models",
            Self::Model => "model",
            Self::Skills => "skills",
            Self::Why => "why",
        }
    }

    /// What may follow the name.
    fn usage(self) -> &'static str {
        match self {
            Self::Models => "[provider] [page]",
            Self::Model => "[id|default]",
            Self::Skills | Self::Why => "",
        }
    }

    fn summary(self) -> &'static str {
        match self {
            Self::Models => "Lists the language models and which are in memory",
            Self::Model => "Says which model this conversation uses, or picks one",
            Self::Skills => "Lists the skills and their state",
            Self::Why => "Says why the last request went where it went",
        }
    }
}

/// What the host is told of the commands.
pub(crate) fn all() -> Vec<Command> {
    let command = |name: Name| Command {
        name: name.as_str().to_owned(),
        usage: name.usage().to_owned(),
        summary: name.summary().to_owned(),
        extra: Vec::new(),
    };
    Name::ALL.into_iter().map(command).collect()
}

// === impl Prefix ===

impl<'t> Prefix<'t> {
    /// What stands before the command's name where the user wrote it; `/` if that cannot be told.
    pub(crate) fn of(turn: &'t Turn, name: Name) -> Self {
        let text = turn.user_text.trim();
        let (name, ends) =
            (name.as_str(), |rest: &str| rest.is_empty() || rest.starts_with(char::is_whitespace));
        let written = text.match_indices(name).find_map(|(at, _)| {
            let (prefix, rest) = text.split_at_checked(at)?;
            rest.strip_prefix(name).is_some_and(ends).then_some(prefix)
        });
        let is_prefix = |prefix: &&str| {
            (1..=PREFIX_BYTES_MAX).contains(&prefix.len()) && !prefix.contains(char::is_control)
        };
        Self(written.filter(is_prefix).unwrap_or("/"))
    }

    /// A command as this user would write it, in backticks.
    pub(crate) fn write(&self, command: &str) -> String {
        code(&format!("{}{command}", self.0))
    }

    /// The usage line.
    pub(crate) fn usage(&self, name: Name) -> String {
        let command = format!("{} {}", name.as_str(), name.usage());
        format!("Usage: {}", self.write(command.trim_end()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_prefix_is_read_off_the_turn() {
        for (text, name, written) in [
            ("/models 2", Name::Models, "`/why`"),
            ("  !model otter", Name::Model, "`!why`"),
            ("!pm skills", Name::Skills, "`!pm why`"),
            ("//why\nmodel", Name::Why, "`//why`"),
            ("why", Name::Why, "`/why`"),
            ("something before /models", Name::Models, "`/why`"),
            ("hello\n/models", Name::Models, "`/why`"),
            ("/models", Name::Model, "`/why`"),
        ] {
            assert_eq!(Prefix::of(&Turn::saying(text), name).write("why"), written, "{text}");
        }
    }

    #[test]
    fn names_are_found_as_they_are_told() {
        for command in all() {
            assert_eq!(Name::of(&command.name).map(Name::usage), Some(command.usage.as_str()));
            assert!(!command.summary.is_empty());
        }
        assert_eq!(Name::of("translate"), None);
    }
}
