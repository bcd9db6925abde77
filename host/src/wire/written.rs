//! Answers that the gateway writes itself: the first chunk of a stream that had to be opened before its model was there,
//! and a skill's reply in the assistant's place.

use bytes::Bytes;
use serde_json::{Value, json};

use crate::id::RequestId;

/// Who and when an answer says it is from.
#[derive(Debug, Clone, Copy)]
pub struct Stamp<'a> {
    /// The request answered; the answer's id is made of it.
    pub request: &'a RequestId,
    /// The model named in the answer.
    pub model: &'a str,
    /// Seconds since the Unix epoch.
    pub created: u64,
}

/// The first chunk of a chat stream: a role and no text. A real chunk, since some clients count only those as life.
pub fn opening_chunk(stamp: Stamp<'_>) -> Bytes {
    frame(&chunk(stamp, json!({"role": "assistant", "content": ""}), Value::Null))
}

/// A comment, which every client passes over.
pub fn comment(text: &str) -> Bytes {
    Bytes::from(format!(": {}\n\n", text.replace(['\r', '\n'], " ")))
}

/// A whole chat stream that says `text`.
pub fn reply_stream(stamp: Stamp<'_>, text: &str) -> Bytes {
    let chunks = [
        chunk(stamp, json!({"role": "assistant", "content": text}), Value::Null),
        chunk(stamp, json!({}), json!("stop")),
    ];
    let mut stream: Vec<u8> = chunks.iter().flat_map(|chunk| frame(chunk).to_vec()).collect();
    stream.extend_from_slice(b"data: [DONE]\n\n");
    Bytes::from(stream)
}

/// A chat completion that says `text`.
pub fn reply(stamp: Stamp<'_>, text: &str) -> Bytes {
    let answer = json!({
        "id": format!("chatcmpl-{}", stamp.request),
        "object": "chat.completion",
        "created": stamp.created,
        "model": stamp.model,
        "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0},
    });
    Bytes::from(answer.to_string())
}

fn chunk(stamp: Stamp<'_>, delta: Value, finish: Value) -> Value {
    json!({
        "id": format!("chatcmpl-{}", stamp.request),
        "object": "chat.completion.chunk",
        "created": stamp.created,
        "model": stamp.model,
        "choices": [{"index": 0, "delta": delta, "finish_reason": finish}],
    })
}

fn frame(chunk: &Value) -> Bytes {
    Bytes::from(format!("data: {chunk}\n\n"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::answer::{Seen, Watch};
    use crate::wire::sse::Decoder;

    #[test]
    fn what_we_write_we_can_read() {
        let request = RequestId::new("r1");
        let stamp = Stamp { request: &request, model: "m", created: 1 };
        let mut frames = Vec::new();
        let mut decoder = Decoder::default();
        decoder.feed(opening_chunk(stamp), &mut frames).unwrap();
        decoder.feed(comment("loading\nm"), &mut frames).unwrap();
        decoder.feed(reply_stream(stamp, "hi"), &mut frames).unwrap();
        let mut watch = Watch::default();
        let seen: Vec<_> = frames.iter().map(|frame| watch.frame(frame)).collect();
        assert_eq!(seen, [Seen::Delta, Seen::Comment, Seen::Delta, Seen::Delta, Seen::Done]);
        assert_eq!(watch.finish.as_deref(), Some("stop"));
        Watch::default().whole(&reply(stamp, "hi")).unwrap();
    }
}
