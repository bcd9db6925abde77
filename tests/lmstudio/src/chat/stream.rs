//! An answer sent as events: `data:` lines only, the role in every delta, `[DONE]` at the end of what went well.
//!
//! A generation whose instance goes ends with an error event and without `[DONE]`. Without a speed limit and without
//! faults nothing here waits, so that the emulator can stand for a model that takes no time.

use std::collections::VecDeque;
use std::io;
use std::ops::Range;

use axum::body::Body;
use axum::response::Response;
use bytes::{BufMut as _, Bytes, BytesMut};
use futures_util::stream;
use http::StatusCode;
use serde::Serialize;
use tokio::time::Instant;

use super::stats::full;
use super::whole::{Usage, finish_reason};
use super::{Extras, Shape, Writing};
use crate::exchange::Exchange;
use crate::fault::Ending as CutEnding;
use crate::inference::Struck;
use crate::memory::Ending;
use crate::reply::event_stream;

/// Bytes of a tool call's arguments that one chunk carries.
const FRAGMENT_BYTES: usize = 12;

/// Bytes set aside for chunks at a time.
const BUFFER_BYTES: usize = 4096;

/// One event of an answer.
#[derive(Debug)]
enum Piece {
    Reasoning,
    Text(Range<usize>),
    CallStart(usize),
    CallArguments(usize, Range<usize>),
    Finish,
    Usage,
    Done,
}

/// A stream that is being written.
struct Writer {
    /// None once the last byte was handed over: the place in the instance's queue is given back at once.
    writing: Option<Writing>,
    pieces: VecDeque<Piece>,
    /// What stands before every delta.
    head: String,
    sent: u32,
    first_token_at: Option<Instant>,
    buffer: BytesMut,
}

/// Starts sending.
pub(super) fn respond(writing: Writing, usage: bool) -> Response {
    let headers = writing.work.exchange.headers();
    let writer = Writer::new(writing, usage);
    let body = stream::unfold(writer, |mut writer| async move {
        let item = writer.next().await?;
        Some((item, writer))
    });
    event_stream(Body::from_stream(body), headers)
}

/// A stream of nothing but an error.
pub(super) fn error_alone(mut exchange: Exchange, message: &str) -> Response {
    let headers = exchange.headers();
    exchange.finish(StatusCode::OK);
    event_stream(Body::from(error_event(message)), headers)
}

// === impl Writer ===

impl Writer {
    fn new(writing: Writing, usage: bool) -> Self {
        let pieces = pieces(&writing, usage);
        let head = head(&writing);
        let buffer = BytesMut::with_capacity(BUFFER_BYTES);
        Self { writing: Some(writing), pieces, head, sent: 0, first_token_at: None, buffer }
    }

    /// The next bytes; none when there are no more.
    async fn next(&mut self) -> Option<io::Result<Bytes>> {
        let closing = matches!(self.pieces.front(), Some(Piece::Finish));
        match self.writing.as_mut()?.work.strike(self.sent, closing).await {
            Struck::No => {}
            Struck::Cut(ending) => {
                self.finish();
                return cut(ending);
            }
            Struck::Error(message) => {
                self.finish();
                return Some(Ok(error_event(&message)));
            }
            Struck::Killed(ending) => return Some(Ok(self.kill(&ending))),
        }
        if let Err(ending) = self.wait_for_token().await {
            return Some(Ok(self.kill(&ending)));
        }
        let piece = self.pieces.pop_front()?;
        let bytes = self.write(&piece);
        self.sent += 1;
        if self.pieces.is_empty() {
            self.finish();
        }
        Some(Ok(bytes))
    }

    /// Until the next token is due; the error is why the instance is gone.
    async fn wait_for_token(&mut self) -> Result<(), Ending> {
        let Some(Writing { work, .. }) = self.writing.as_mut() else {
            return Ok(());
        };
        if let Some(ending) = work.handle.ending() {
            return Err(ending);
        }
        let Some(first) = self.first_token_at else {
            work.note_first_token();
            self.first_token_at = Some(Instant::now());
            return Ok(());
        };
        match self.pieces.front() {
            Some(Piece::Text(_) | Piece::CallArguments(..)) => {
                work.wait_for_token(first, self.sent as usize).await
            }
            _ => Ok(()),
        }
    }

    /// The instance is gone: an error event, and nothing after it.
    fn kill(&mut self, ending: &Ending) -> Bytes {
        if let Some(writing) = &self.writing {
            writing.work.note_killed();
        }
        self.finish();
        error_event(ending.in_flight_text())
    }

    fn finish(&mut self) {
        self.pieces.clear();
        if let Some(mut writing) = self.writing.take() {
            writing.work.exchange.finish(StatusCode::OK);
        }
    }

    fn write(&mut self, piece: &Piece) -> Bytes {
        let Some(writing) = &self.writing else {
            return Bytes::new();
        };
        if matches!(piece, Piece::Done) {
            return Bytes::from_static(b"data: [DONE]\n\n");
        }
        let buffer = &mut self.buffer;
        buffer.put_slice(self.head.as_bytes());
        if matches!(piece, Piece::Usage) {
            buffer.put_slice(b"\"choices\":[],\"usage\":");
            put(buffer, &Usage::of(writing));
            buffer.put_slice(b"}\n\n");
            return buffer.split().freeze();
        }
        buffer.put_slice(b"\"choices\":[{\"index\":0,");
        match writing.surface.shape {
            Shape::Chat => put_delta(buffer, writing, piece),
            Shape::Text => put_text(buffer, writing, piece),
        }
        buffer.put_slice(b",\"logprobs\":null,\"finish_reason\":");
        put(buffer, &matches!(piece, Piece::Finish).then(|| finish_reason(writing)));
        buffer.put_slice(b"}]");
        if matches!(piece, Piece::Finish) && writing.surface.extras == Extras::Stats {
            put_stats(buffer, writing, self.first_token_at);
        }
        buffer.put_slice(b"}\n\n");
        buffer.split().freeze()
    }
}

fn put_delta(buffer: &mut BytesMut, writing: &Writing, piece: &Piece) {
    buffer.put_slice(b"\"delta\":");
    match piece {
        Piece::Reasoning => {
            buffer.put_slice(b"{\"role\":\"assistant\",\"reasoning_content\":");
            put(buffer, &writing.answer.reasoning);
            buffer.put_slice(b"}");
        }
        Piece::Text(range) => {
            buffer.put_slice(b"{\"role\":\"assistant\",\"content\":");
            put(buffer, &writing.answer.text.get(range.clone()));
            buffer.put_slice(b"}");
        }
        Piece::CallStart(index) => put(buffer, &call_start(writing, *index)),
        Piece::CallArguments(index, range) => put(buffer, &call_arguments(writing, *index, range)),
        Piece::Finish | Piece::Usage | Piece::Done => buffer.put_slice(b"{}"),
    }
}

fn put_text(buffer: &mut BytesMut, writing: &Writing, piece: &Piece) {
    let text = match piece {
        Piece::Text(range) => writing.answer.text.get(range.clone()).unwrap_or_default(),
        _ => "",
    };
    buffer.put_slice(b"\"text\":");
    put(buffer, &text);
}

/// That version 0 puts its numbers into the last chunk is a guess.
fn put_stats(buffer: &mut BytesMut, writing: &Writing, first: Option<Instant>) {
    let tokens = Usage::of(writing).completion_tokens;
    let first = first.unwrap_or(writing.work.started);
    let full = full(&writing.work, first, tokens, finish_reason(writing));
    // The chunk's object goes on with them.
    let text = crate::reply::compact(&full);
    buffer.put_slice(b",");
    let inner = text.strip_prefix('{').and_then(|it| it.strip_suffix('}')).unwrap_or_default();
    buffer.put_slice(inner.as_bytes());
}

/// What stands before a chunk's choices.
fn head(writing: &Writing) -> String {
    #[derive(Serialize)]
    struct Head<'a> {
        id: &'a str,
        object: &'a str,
        created: u64,
        model: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        system_fingerprint: Option<&'a str>,
    }
    let envelope = &writing.envelope;
    let model: &str = &envelope.model;
    let chat = writing.surface.shape == Shape::Chat;
    let head = Head {
        id: &envelope.id,
        object: if chat { "chat.completion.chunk" } else { "text_completion" },
        created: envelope.created,
        model,
        system_fingerprint: chat.then_some(model),
    };
    let mut text = format!("data: {}", crate::reply::compact(&head));
    // The object goes on with the choices.
    text.pop();
    text.push(',');
    text
}

/// The whole answer, in the order in which it is sent.
fn pieces(writing: &Writing, usage: bool) -> VecDeque<Piece> {
    let answer = &writing.answer;
    let mut pieces = VecDeque::new();
    if !answer.reasoning.is_empty() {
        pieces.push_back(Piece::Reasoning);
    }
    let mut start = 0;
    for piece in answer.pieces() {
        pieces.push_back(Piece::Text(start..start + piece.len()));
        start += piece.len();
    }
    for (index, call) in answer.calls.iter().enumerate() {
        pieces.push_back(Piece::CallStart(index));
        pieces.extend(fragments(&call.arguments).map(|range| Piece::CallArguments(index, range)));
    }
    pieces.push_back(Piece::Finish);
    if usage {
        pieces.push_back(Piece::Usage);
    }
    pieces.push_back(Piece::Done);
    pieces
}

/// Ranges of about [`FRAGMENT_BYTES`] that never split a character.
fn fragments(text: &str) -> impl Iterator<Item = Range<usize>> {
    let mut start = 0;
    std::iter::from_fn(move || {
        let mut end = (start + FRAGMENT_BYTES).min(text.len());
        while !text.is_char_boundary(end) {
            end += 1;
        }
        let range = start..end;
        start = end;
        (!range.is_empty()).then_some(range)
    })
}

#[derive(Serialize)]
struct CallDelta<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<&'a str>,
    tool_calls: [CallPart<'a>; 1],
}

#[derive(Serialize)]
struct CallPart<'a> {
    index: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    #[serde(rename = "type")]
    kind: &'a str,
    function: FunctionPart<'a>,
}

#[derive(Serialize)]
struct FunctionPart<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    arguments: &'a str,
}

fn call_start(writing: &Writing, index: usize) -> CallDelta<'_> {
    let name = writing.answer.calls.get(index).map_or("", |call| call.name.as_str());
    let function = FunctionPart { name: Some(name), arguments: "" };
    let id = Some(writing.envelope.call_id(index));
    CallDelta { role: Some("assistant"), tool_calls: [CallPart { index, id, kind: "function", function }] }
}

fn call_arguments<'a>(writing: &'a Writing, index: usize, range: &Range<usize>) -> CallDelta<'a> {
    let call = writing.answer.calls.get(index);
    let arguments = call.and_then(|call| call.arguments.get(range.clone())).unwrap_or_default();
    let function = FunctionPart { name: None, arguments };
    CallDelta { role: None, tool_calls: [CallPart { index, id: None, kind: "function", function }] }
}

/// The end of a stream that a fault cuts.
pub(super) fn cut(ending: CutEnding) -> Option<io::Result<Bytes>> {
    let broken = || Err(io::Error::new(io::ErrorKind::ConnectionAborted, "cut by a fault"));
    (ending == CutEnding::Abrupt).then(broken)
}

/// The shape of an error after the status was sent.
pub(super) fn error_event(message: &str) -> Bytes {
    #[derive(Serialize)]
    struct Inner<'a> {
        message: &'a str,
    }
    #[derive(Serialize)]
    struct Outer<'a> {
        error: Inner<'a>,
        message: &'a str,
    }
    let data = crate::reply::compact(&Outer { error: Inner { message }, message });
    Bytes::from(format!("event: error\ndata: {data}\n\n"))
}

fn put(buffer: &mut BytesMut, value: &impl Serialize) {
    // Writing to memory cannot fail.
    let _ = serde_json::to_writer(buffer.writer(), value);
}
