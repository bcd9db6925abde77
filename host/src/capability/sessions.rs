//! The capability `sessions`: which model a conversation uses. A model that is set here counts as picked by a person: it
//! is what requests of that conversation go to, and automatic routing respects it.

use super::bindings::{sessions, types};
use super::{Code, Error, Sandbox, check_model_name};
use crate::grant::Capability;
use crate::id::SessionKey;

/// Knows the conversations.
pub trait Sessions: Send + Sync {
    /// The model that was picked for the conversation, as an id; none where it has its default.
    fn model(&self, session: &SessionKey) -> Option<String>;

    /// Picks a model, as somebody named it; none returns the conversation to its default.
    ///
    /// # Errors
    /// No provider lists such a model.
    fn set_model(&self, session: &SessionKey, model: Option<&str>) -> Result<(), Error>;
}

/// Bytes of a conversation's key; what clients send as one is cut to less.
const SESSION_BYTES_MAX: usize = 512;

impl sessions::Host for Sandbox {
    fn model(&mut self, session: String) -> wasmtime::Result<Option<String>> {
        self.enter()?;
        if self.check(Capability::Sessions).is_err() {
            return Ok(None);
        }
        Ok(session_key(session).ok().and_then(|session| self.delegates.sessions.model(&session)))
    }

    fn set_model(
        &mut self,
        session: String,
        model: Option<String>,
    ) -> wasmtime::Result<Result<(), types::Error>> {
        self.enter()?;
        Ok(self.set_session_model(session, model.as_deref()).map_err(Error::into_record))
    }
}

impl Sandbox {
    fn set_session_model(&self, session: String, model: Option<&str>) -> Result<(), Error> {
        self.check(Capability::Sessions)?;
        let session = session_key(session)?;
        model.map_or(Ok(()), check_model_name)?;
        if self.is_setup() {
            return Err(Error::new(Code::Unavailable, "sessions are changed only from hooks"));
        }
        if let Some(model) = model.filter(|model| self.directory().find(model).is_none()) {
            return Err(Error::unknown_model(model));
        }
        self.delegates.sessions.set_model(&session, model)
    }
}

fn session_key(session: String) -> Result<SessionKey, Error> {
    if session.is_empty() || session.len() > SESSION_BYTES_MAX || session.contains(char::is_control) {
        return Err(Error::new(Code::Invalid, "not the key of a session"));
    }
    Ok(SessionKey::new(session))
}
