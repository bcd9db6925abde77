//! A client of the gateway, as any program would be one: streamed chat over HTTP, and nothing else. It knows no room of the
//! gateway; what it says and reads is OpenAI's protocol.

use anyhow::{Context as _, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::{Stream, StreamExt as _};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::picture::Picture;
use crate::wire::sse::{Decoder, Frame};

/// One conversation with the gateway.
pub(in crate::cli) struct Conversation {
    http: reqwest::Client,
    url: String,
    session: &'static str,
    model: &'static str,
    messages: Vec<Message>,
    tools: Vec<Value>,
}

/// What is sent.
#[derive(Debug, Serialize)]
struct Body<'a> {
    model: &'a str,
    stream: bool,
    messages: &'a [Message],
    #[serde(skip_serializing_if = "<[Value]>::is_empty")]
    tools: &'a [Value],
}

#[derive(Debug, Default, Serialize)]
struct Message {
    role: &'static str,
    content: Vec<Part>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tool_calls: Vec<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_call_id: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Part {
    Text { text: String },
    ImageUrl { image_url: ImageUrl },
}

#[derive(Debug, Serialize)]
struct ImageUrl {
    url: String,
}

/// An answer, read to its end.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::cli) struct Answer {
    /// All of its text.
    pub(in crate::cli) text: String,
    /// The model that it says it is from.
    pub(in crate::cli) model: String,
    /// The request's id, as the gateway names it.
    pub(in crate::cli) request: String,
    /// The tools that it calls.
    pub(in crate::cli) calls: Vec<Call>,
    /// It ended as an answer should: with a finish reason and the terminator.
    pub(in crate::cli) is_whole: bool,
}

/// A call of a tool.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::cli) struct Call {
    /// By which its result is known.
    pub(in crate::cli) id: String,
    /// The tool.
    pub(in crate::cli) tool: String,
    /// JSON.
    pub(in crate::cli) arguments: String,
}

/// An answer that has begun.
pub(in crate::cli) struct Speaking {
    body: std::pin::Pin<Box<dyn Stream<Item = reqwest::Result<bytes::Bytes>> + Send>>,
    decoder: Decoder,
    answer: Answer,
    finished: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Chunk {
    model: String,
    choices: Vec<Choice>,
    error: Option<Value>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Choice {
    delta: Delta,
    finish_reason: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Delta {
    content: Option<String>,
    tool_calls: Vec<CallDelta>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct CallDelta {
    index: usize,
    id: Option<String>,
    function: FunctionDelta,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct FunctionDelta {
    name: Option<String>,
    arguments: Option<String>,
}

// === impl Conversation ===

impl Conversation {
    /// A conversation in which nothing was said yet.
    pub(in crate::cli) fn new(
        http: reqwest::Client,
        gateway: &str,
        session: &'static str,
        model: &'static str,
    ) -> Self {
        let url = format!("{gateway}/v1/chat/completions");
        Self { http, url, session, model, messages: Vec::new(), tools: Vec::new() }
    }

    /// From now on the model may call these tools.
    pub(in crate::cli) fn offer(&mut self, tools: Vec<Value>) {
        self.tools = tools;
    }

    /// The model that is asked for.
    pub(in crate::cli) fn model(&self) -> &'static str {
        self.model
    }

    /// Says something and hears the answer to its end.
    pub(in crate::cli) async fn ask(
        &mut self,
        text: &str,
        picture: Option<&Picture>,
    ) -> anyhow::Result<Answer> {
        let answer = self.begin(text, picture).await?.rest().await?;
        self.remember(&answer);
        Ok(answer)
    }

    /// An answer that was heard is part of what is sent next.
    pub(in crate::cli) fn remember(&mut self, answer: &Answer) {
        let content = vec![Part::Text { text: answer.text.clone() }];
        let call = |call: &Call| {
            let function = json!({"name": call.tool, "arguments": call.arguments});
            json!({"id": call.id, "type": "function", "function": function})
        };
        let tool_calls = answer.calls.iter().map(call).collect();
        self.messages.push(Message { role: "assistant", content, tool_calls, ..Message::default() });
    }

    /// Says what came of a call, and hears what the model makes of it.
    pub(in crate::cli) async fn tell(&mut self, call: &Call, result: &str) -> anyhow::Result<Answer> {
        let content = vec![Part::Text { text: result.to_owned() }];
        let tool_call_id = Some(call.id.clone());
        self.messages.push(Message { role: "tool", content, tool_call_id, ..Message::default() });
        let answer = self.send().await?.rest().await?;
        self.remember(&answer);
        Ok(answer)
    }

    /// Says something and waits until the answer begins.
    pub(in crate::cli) async fn begin(
        &mut self,
        text: &str,
        picture: Option<&Picture>,
    ) -> anyhow::Result<Speaking> {
        let content = content(text, picture);
        self.messages.push(Message { role: "user", content, ..Message::default() });
        self.send().await
    }

    /// Sends what was said so far and waits until the answer begins.
    async fn send(&self) -> anyhow::Result<Speaking> {
        let Self { model, messages, tools, .. } = self;
        let body = Body { model, stream: true, messages, tools };
        let body = serde_json::to_vec(&body).context("the request's body")?;
        let request = self.http.post(&self.url).header("x-session-id", self.session);
        let request = request.header(reqwest::header::CONTENT_TYPE, "application/json").body(body);
        let response = request.send().await.context("the gateway cannot be asked")?;
        let status = response.status();
        if !status.is_success() {
            bail!("the gateway answered {status}: {}", response.text().await.unwrap_or_default());
        }
        let id = response.headers().get("x-pointsman-request").and_then(|value| value.to_str().ok());
        let answer = Answer { request: id.unwrap_or_default().to_owned(), ..Answer::default() };
        let body = Box::pin(response.bytes_stream());
        let mut speaking = Speaking { body, decoder: Decoder::default(), answer, finished: false };
        while speaking.answer.text.is_empty() && speaking.read().await? {}
        Ok(speaking)
    }
}

fn content(text: &str, picture: Option<&Picture>) -> Vec<Part> {
    let url = |it: &Picture| ImageUrl { url: format!("data:image/png;base64,{}", STANDARD.encode(&it.png)) };
    let picture = picture.map(|it| Part::ImageUrl { image_url: url(it) });
    std::iter::once(Part::Text { text: text.to_owned() }).chain(picture).collect()
}

// === impl Speaking ===

impl Speaking {
    /// Hears the rest.
    pub(in crate::cli) async fn rest(mut self) -> anyhow::Result<Answer> {
        while self.read().await? {}
        Ok(self.answer)
    }

    /// Hears some more; false where it was all.
    async fn read(&mut self) -> anyhow::Result<bool> {
        let Some(bytes) = self.body.next().await else { return Ok(false) };
        let mut frames = Vec::new();
        self.decoder.feed(bytes.context("the answer broke off")?, &mut frames)?;
        for data in frames.iter().filter_map(Frame::data) {
            self.take(data)?;
        }
        Ok(true)
    }

    fn take(&mut self, data: &[u8]) -> anyhow::Result<()> {
        if data == b"[DONE]" {
            let Answer { text, calls, .. } = &self.answer;
            self.answer.is_whole = self.finished && (!text.is_empty() || !calls.is_empty());
            return Ok(());
        }
        let chunk: Chunk = serde_json::from_slice(data).context("a frame of the answer")?;
        if let Some(error) = chunk.error {
            bail!("the answer failed in its middle: {error}");
        }
        if !chunk.model.is_empty() {
            self.answer.model = chunk.model;
        }
        for choice in chunk.choices {
            self.answer.text.push_str(&choice.delta.content.unwrap_or_default());
            self.finished |= choice.finish_reason.is_some();
            choice.delta.tool_calls.into_iter().for_each(|delta| self.call(delta));
        }
        Ok(())
    }

    /// Puts a piece of a call to the others of its index.
    fn call(&mut self, delta: CallDelta) {
        let calls = &mut self.answer.calls;
        if delta.index == calls.len() {
            calls.push(Call::default());
        }
        let Some(call) = calls.get_mut(delta.index) else { return };
        call.id.push_str(&delta.id.unwrap_or_default());
        call.tool.push_str(&delta.function.name.unwrap_or_default());
        call.arguments.push_str(&delta.function.arguments.unwrap_or_default());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn heard(pieces: &[&'static str]) -> anyhow::Result<Answer> {
        let pieces: Vec<_> =
            pieces.iter().map(|&piece| Ok(bytes::Bytes::from_static(piece.as_bytes()))).collect();
        let body = Box::pin(futures_util::stream::iter(pieces));
        Speaking { body, decoder: Decoder::default(), answer: Answer::default(), finished: false }
            .rest()
            .await
    }

    #[tokio::test]
    async fn an_answer_is_whole_with_its_finish_reason_and_its_terminator() {
        const TEXT: &str = "data: {\"model\":\"m\",\"choices\":[{\"delta\":{\"content\":\"hel";
        const MORE: &str = "lo\"}}]}\n\n: waiting\n\n";
        const STOP: &str = "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n";
        const DONE: &str = "data: [DONE]\n\n";
        let whole = heard(&[TEXT, MORE, STOP, DONE]).await.unwrap();
        assert_eq!((whole.text.as_str(), whole.model.as_str(), whole.is_whole), ("hello", "m", true));
        assert!(!heard(&[TEXT, MORE, STOP]).await.unwrap().is_whole);
        assert!(!heard(&[TEXT, MORE, DONE]).await.unwrap().is_whole);
        assert!(!heard(&[STOP, DONE]).await.unwrap().is_whole);
        assert!(heard(&[TEXT, MORE, "data: {\"error\":{\"message\":\"gone\"}}\n\n"]).await.is_err());
    }
}
