//! The conversation behind a request, for skills that were granted to read it: made of its bytes when it is asked for, and
//! only then.

use std::sync::Arc;

use crate::skill::conversation::{BODY_BYTES_MAX, Conversation, Message, TEXT_BYTES_MAX};
use crate::wire::chat::Request;

/// What stands behind a request.
pub(super) struct Behind(pub(super) Arc<Request>);

/// The conversation that a kept body holds; none where it holds none.
pub fn conversation_of(body: &str) -> Option<Arc<dyn Conversation>> {
    let request = Request::read(body.to_owned().into()).ok()?;
    Some(Arc::new(Behind(Arc::new(request))))
}

impl Conversation for Behind {
    fn messages(&self, offset: usize, limit: usize) -> Vec<Message> {
        let said = self.0.said(offset, limit);
        said.map(|mut said| {
            said.text.truncate(said.text.floor_char_boundary(TEXT_BYTES_MAX));
            Message {
                role: said.role,
                text: said.text,
                media: said.media.into_iter().map(|kind| kind.as_str()).collect(),
                tools: said.tools,
            }
        })
        .collect()
    }

    fn body(&self) -> Option<String> {
        self.0.without_media().filter(|body| body.len() <= BODY_BYTES_MAX)
    }
}
