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

use super::whole::{Usage, finish_reason};
use super::{Work, note_killed, pace, unless_gone};
use crate::exchange::Exchange;
use crate::fault::{Ending as CutEnding, Kind, Met};
use crate::log::Event;
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
    work: Option<Work>,
    pieces: VecDeque<Piece>,
    /// What stands before every delta.
    head: String,
    sent: u32,
    first_token_at: Option<Instant>,
    buffer: BytesMut,
}

/// What a fault makes of a stream.
enum Struck {
    /// Nothing (any more).
    No,
    /// It ends, with these bytes or with an error of the connection.
    Ends(Option<io::Result<Bytes>>),
}

/// Starts sending.
pub(super) fn respond(work: Work, usage: bool) -> Response {
    let headers = work.exchange.headers();
    let writer = Writer::new(work, usage);
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
    fn new(work: Work, usage: bool) -> Self {
        let pieces = pieces(&work, usage);
        let head = head(&work);
        let buffer = BytesMut::with_capacity(BUFFER_BYTES);
        Self { work: Some(work), pieces, head, sent: 0, first_token_at: None, buffer }
    }

    /// The next bytes; none when there are no more.
    async fn next(&mut self) -> Option<io::Result<Bytes>> {
        match self.strike().await {
            Struck::No => {}
            Struck::Ends(last) => return last,
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

    /// Lets the request's fault act, if its time has come.
    async fn strike(&mut self) -> Struck {
        let closing = matches!(self.pieces.front(), Some(Piece::Finish));
        let (sent, Some(work)) = (self.sent, self.work.as_mut()) else {
            return Struck::Ends(None);
        };
        let due = |after: u32| sent >= after || closing;
        let Some(mut met) = work.fault.take_if(|met| bites(&met.kind).is_some_and(due)) else {
            return Struck::No;
        };
        match &met.kind {
            Kind::CutStream { ending, .. } => {
                let broken = || Err(io::Error::new(io::ErrorKind::ConnectionAborted, "cut by a fault"));
                let last = (*ending == CutEnding::Abrupt).then(broken);
                self.finish();
                Struck::Ends(last)
            }
            Kind::StreamError { message, .. } => {
                let last = error_event(message);
                self.finish();
                Struck::Ends(Some(Ok(last)))
            }
            Kind::Crash { .. } => {
                work.exchange.shared.crash(&work.handle.id);
                Struck::Ends(Some(Ok(self.kill(&Ending::Crashed))))
            }
            _ => self.stall(&mut met).await,
        }
    }

    async fn stall(&mut self, met: &mut Met) -> Struck {
        let Some(work) = self.work.as_mut() else {
            return Struck::Ends(None);
        };
        match unless_gone(&mut work.handle, work.exchange.hold(met)).await {
            Ok(()) => Struck::No,
            Err(ending) => Struck::Ends(Some(Ok(self.kill(&ending)))),
        }
    }

    /// Until the next token is due; the error is why the instance is gone.
    async fn wait_for_token(&mut self) -> Result<(), Ending> {
        let Some(work) = self.work.as_mut() else {
            return Ok(());
        };
        if let Some(ending) = work.handle.ending() {
            return Err(ending);
        }
        let Some(started) = self.first_token_at else {
            let event = Event::FirstToken { request: work.exchange.number, instance: work.handle.id.clone() };
            work.exchange.shared.log.note(event);
            self.first_token_at = Some(Instant::now());
            return Ok(());
        };
        let token = matches!(self.pieces.front(), Some(Piece::Text(_) | Piece::CallArguments(..)));
        match pace(&work.handle.model, self.sent as usize).filter(|_| token) {
            Some(wait) => unless_gone(&mut work.handle, tokio::time::sleep_until(started + wait)).await,
            None => Ok(()),
        }
    }

    /// The instance is gone: an error event, and nothing after it.
    fn kill(&mut self, ending: &Ending) -> Bytes {
        if let Some(work) = &self.work {
            note_killed(&work.exchange, &work.handle);
        }
        self.finish();
        error_event(ending.in_flight_text())
    }

    fn finish(&mut self) {
        self.pieces.clear();
        if let Some(mut work) = self.work.take() {
            work.exchange.finish(StatusCode::OK);
        }
    }

    fn write(&mut self, piece: &Piece) -> Bytes {
        let Some(work) = &self.work else {
            return Bytes::new();
        };
        let (answer, buffer) = (&work.answer, &mut self.buffer);
        match piece {
            Piece::Done => return Bytes::from_static(b"data: [DONE]\n\n"),
            Piece::Usage => {
                buffer.put_slice(self.head.as_bytes());
                buffer.put_slice(b"\"choices\":[],\"usage\":");
                put(buffer, &Usage::of(work));
                buffer.put_slice(b"}\n\n");
                return buffer.split().freeze();
            }
            _ => {}
        }
        buffer.put_slice(self.head.as_bytes());
        buffer.put_slice(b"\"choices\":[{\"index\":0,\"delta\":");
        match piece {
            Piece::Reasoning => {
                buffer.put_slice(b"{\"role\":\"assistant\",\"reasoning_content\":");
                put(buffer, &answer.reasoning);
                buffer.put_slice(b"}");
            }
            Piece::Text(range) => {
                buffer.put_slice(b"{\"role\":\"assistant\",\"content\":");
                put(buffer, &answer.text.get(range.clone()));
                buffer.put_slice(b"}");
            }
            Piece::CallStart(index) => put(buffer, &call_start(work, *index)),
            Piece::CallArguments(index, range) => put(buffer, &call_arguments(work, *index, range)),
            Piece::Finish | Piece::Usage | Piece::Done => buffer.put_slice(b"{}"),
        }
        buffer.put_slice(b",\"logprobs\":null,\"finish_reason\":");
        put(buffer, &matches!(piece, Piece::Finish).then(|| finish_reason(work)));
        buffer.put_slice(b"}]}\n\n");
        buffer.split().freeze()
    }
}

/// What stands before a chunk's choices.
fn head(work: &Work) -> String {
    #[derive(Serialize)]
    struct Head<'a> {
        id: &'a str,
        object: &'a str,
        created: u64,
        model: &'a str,
        system_fingerprint: &'a str,
    }
    let envelope = &work.envelope;
    let model: &str = &envelope.model;
    let head = Head {
        id: &envelope.id,
        object: "chat.completion.chunk",
        created: envelope.created,
        model,
        system_fingerprint: model,
    };
    let mut text = format!("data: {}", crate::reply::compact(&head));
    // The object goes on with the choices.
    text.pop();
    text.push(',');
    text
}

/// The whole answer, in the order in which it is sent.
fn pieces(work: &Work, usage: bool) -> VecDeque<Piece> {
    let answer = &work.answer;
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

fn call_start(work: &Work, index: usize) -> CallDelta<'_> {
    let name = work.answer.calls.get(index).map_or("", |call| call.name.as_str());
    let function = FunctionPart { name: Some(name), arguments: "" };
    let id = Some(work.envelope.call_id(index));
    CallDelta { role: Some("assistant"), tool_calls: [CallPart { index, id, kind: "function", function }] }
}

fn call_arguments<'a>(work: &'a Work, index: usize, range: &Range<usize>) -> CallDelta<'a> {
    let call = work.answer.calls.get(index);
    let arguments = call.and_then(|call| call.arguments.get(range.clone())).unwrap_or_default();
    let function = FunctionPart { name: None, arguments };
    CallDelta { role: None, tool_calls: [CallPart { index, id: None, kind: "function", function }] }
}

/// After how many chunks a fault acts on a stream; none where it acts otherwise.
fn bites(kind: &Kind) -> Option<u32> {
    match kind {
        Kind::Crash { after_chunks }
        | Kind::CutStream { after_chunks, .. }
        | Kind::StreamError { after_chunks, .. }
        | Kind::Stall { after_chunks } => Some(*after_chunks),
        _ => None,
    }
}

/// The shape of an error after the status was sent.
fn error_event(message: &str) -> Bytes {
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
