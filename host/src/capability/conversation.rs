//! The capability `conversation`: the messages behind the turn that a hook is about, while it runs. There is no other
//! conversation that a guest could ask for.

use super::bindings::{conversation, types};
use super::{Code, Error, Sandbox};
use crate::grant::Capability;

/// The conversation behind one turn.
pub trait Conversation: Send + Sync {
    /// At most so many messages from this place on, with their texts cut to [`TEXT_BYTES_MAX`].
    fn messages(&self, offset: usize, limit: usize) -> Vec<Message>;

    /// The request body as sent, media removed; none where it is longer than [`BODY_BYTES_MAX`] even so.
    fn body(&self) -> Option<String>;
}

/// A message of a conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// `system`, `user`, `assistant`, `tool`.
    pub role: &'static str,
    /// Its text.
    pub text: String,
    /// Kinds of its parts that are not text.
    pub media: Vec<&'static str>,
    /// Names of the tools that it calls or answers.
    pub tools: Vec<String>,
}

/// Bytes of one message's text.
pub const TEXT_BYTES_MAX: usize = 256 * 1024;

/// Bytes of a body that a guest is shown.
pub const BODY_BYTES_MAX: usize = 1024 * 1024;

/// Messages in one answer.
const MESSAGES_MAX: u32 = 1000;

/// Bytes of all texts of one answer together: what a guest's memory can take.
const ANSWER_BYTES_MAX: usize = 1024 * 1024;

impl conversation::Host for Sandbox {
    fn messages(
        &mut self,
        request_id: String,
        offset: u32,
        limit: u32,
    ) -> wasmtime::Result<Result<Vec<conversation::Message>, types::Error>> {
        self.enter()?;
        Ok(self.read_messages(&request_id, offset, limit).map_err(Error::into_record))
    }

    fn body(&mut self, request_id: String) -> wasmtime::Result<Result<String, types::Error>> {
        self.enter()?;
        let body = self.conversation(&request_id).and_then(|conversation| {
            let message = format!("the body is longer than {BODY_BYTES_MAX} bytes");
            conversation.body().ok_or_else(|| Error::new(Code::Limit, message))
        });
        Ok(body.map_err(Error::into_record))
    }
}

impl Sandbox {
    fn read_messages(
        &self,
        request: &str,
        offset: u32,
        limit: u32,
    ) -> Result<Vec<conversation::Message>, Error> {
        let conversation = self.conversation(request)?;
        let place = |number: u32| usize::try_from(number).unwrap_or(usize::MAX);
        let mut left = ANSWER_BYTES_MAX;
        let messages = conversation.messages(place(offset), place(limit.min(MESSAGES_MAX))).into_iter();
        // Who wants the rest asks from there on; a first message is always given.
        let fitting = messages.enumerate().take_while(|(nth, message)| {
            let bytes = message.text.len() + message.tools.iter().map(String::len).sum::<usize>();
            let fits = *nth == 0 || bytes <= left;
            left = left.saturating_sub(bytes);
            fits
        });
        Ok(fitting.map(|(_, message)| record(message)).collect())
    }

    fn conversation(&self, request: &str) -> Result<&dyn Conversation, Error> {
        self.check(Capability::Conversation)?;
        let subject = self.subject().filter(|subject| subject.request.as_str() == request);
        let conversation = subject.and_then(|subject| subject.conversation.as_deref());
        let message = "a conversation can be read only while a hook about its request runs";
        conversation.ok_or_else(|| Error::new(Code::NotFound, message))
    }
}

fn record(message: Message) -> conversation::Message {
    conversation::Message {
        role: message.role.to_owned(),
        text: message.text,
        media: message.media.into_iter().map(str::to_owned).collect(),
        tools: message.tools,
        extra: Vec::new(),
    }
}
