//! What an author implements, and what the host gives them for it.
//!
//! The trait has a default for every hook; which hooks the host will call is decided by [`skill!`](crate::skill!), not
//! here. Bounded by the contract; keeps no state of its own.

use crate::{Command, Error, Event, Manifest, Model, ToolCall, ToolVerdict, Turn, Verdict};

/// A skill. `&self` is what [`configure`](Skill::configure) built; it must not be used to remember one call in the next,
/// because the host may serve every call with a fresh instance.
pub trait Skill: Sized + 'static {
    /// Who this is. Must be pure: it is asked once, at install.
    fn describe() -> Manifest;

    /// Reads the user's settings. An error keeps the skill from being activated and is shown to the user, so it should
    /// name the key.
    fn configure(settings: Settings<'_>) -> Result<Self, Error>;

    /// `request`: a turn's first request arrived. An error falls through to the next skill.
    fn on_request(&self, _turn: &Turn) -> Result<Verdict, Error> {
        Ok(Verdict::Pass)
    }

    /// `tool`: the model calls a tool, and the client has not seen the call. It is asked at the tool's name; after
    /// [`ToolVerdict::Wait`] it is asked once more, with the arguments. An error falls through to the next skill.
    fn on_tool_call(&self, _turn: &Turn, _call: &ToolCall) -> Result<ToolVerdict, Error> {
        Ok(ToolVerdict::Pass)
    }

    /// `guard`: which of the models that are about to be used may be. An error refuses the request.
    fn narrow(&self, _turn: &Turn, candidates: &[Model]) -> Result<Vec<String>, Error> {
        Ok(candidates.iter().map(|model| model.id.clone()).collect())
    }

    /// `command`: the chat commands this skill answers.
    fn commands(&self) -> Vec<Command> {
        Vec::new()
    }

    /// `command`: someone wrote one of them; the answer is Markdown.
    fn on_command(&self, _turn: &Turn, name: &str, _arguments: &str) -> Result<String, Error> {
        Err(Error::new("not-found", format!("no command `{name}`")))
    }

    /// `event`: something happened.
    fn on_event(&self, _event: &Event) -> Result<(), Error> {
        Ok(())
    }
}

/// The user's settings: JSON, `{}` where there are none.
#[derive(Debug, Clone, Copy)]
pub struct Settings<'a>(&'a str);

// === impl Settings ===

impl<'a> Settings<'a> {
    /// Wraps a JSON text.
    pub fn new(json: &'a str) -> Self {
        Self(json)
    }

    /// The JSON as the host gave it.
    pub fn as_json(self) -> &'a str {
        self.0
    }

    /// Decodes the settings. An error is `invalid` and names the key: `rules.edit.primary: missing field ...`.
    pub fn parse<T: serde::de::DeserializeOwned>(self) -> Result<T, Error> {
        parse(self.0)
    }
}

/// Decodes JSON; an error names the key.
pub(crate) fn parse<T: serde::de::DeserializeOwned>(json: &str) -> Result<T, Error> {
    let mut json = serde_json::Deserializer::from_str(json);
    serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let key = error.path().to_string();
        let reason = error.into_inner().to_string();
        if key == "." { Error::invalid(reason) } else { Error::invalid(format!("`{key}`: {reason}")) }
    })
}

// === impl Manifest ===

impl Manifest {
    /// A manifest without settings, of priority 0, asking for a fresh instance for every call.
    pub fn new(name: &str, version: &str, description: &str) -> Self {
        Self {
            name: name.to_owned(),
            version: version.to_owned(),
            description: description.to_owned(),
            priority: 0,
            settings_schema: None,
            reusable: false,
            extra: Vec::new(),
        }
    }

    /// Skills run in ascending order.
    pub fn priority(mut self, priority: i32) -> Self {
        self.priority = priority;
        self
    }

    /// JSON Schema against which the host checks the settings before [`Skill::configure`] sees them.
    pub fn settings_schema(mut self, schema: &str) -> Self {
        self.settings_schema = Some(schema.to_owned());
        self
    }

    /// One instance may serve many calls, one after another: the skill leaves nothing behind between them.
    pub fn reusable(mut self) -> Self {
        self.reusable = true;
        self
    }
}

// === impl Error ===

impl Error {
    /// An error that is not worth repeating the call for.
    pub fn new(code: &str, message: impl Into<String>) -> Self {
        Self { code: code.to_owned(), message: message.into(), retryable: false }
    }

    /// Something the skill was given makes no sense.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new("invalid", message)
    }
}
