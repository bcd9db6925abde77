//! A native chat answered as named events, the load of its model among them.
//!
//! One task writes them, in order, into a channel of [`EVENTS_WAITING_MAX`] places that the client's connection empties;
//! when the client leaves, the task ends. There is no `[DONE]`; the last event has the whole answer. Faults count
//! deltas as chunks.

use std::io;
use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use futures_util::stream;
use http::StatusCode;
use serde::Serialize;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::outcome::Item;
use super::question::Question;
use super::whole::{Stopped, answered, outcome};
use super::{load_seconds, thousandths};
use crate::chat::pieces;
use crate::exchange::Exchange;
use crate::fault::Ending as CutEnding;
use crate::inference::{Found, Killed, Load, Struck, Work, settle};
use crate::memory::Handle;
use crate::reply::{compact, event_stream};

/// Events that wait for a slow client.
const EVENTS_WAITING_MAX: usize = 64;

/// How many times a load says how far it is.
const PROGRESS_STEPS: u32 = 4;

/// How often a load says how far it is that is not known to take long.
const PROGRESS_EVERY_MIN: Duration = Duration::from_millis(100);

/// Where events go.
struct Events(mpsc::Sender<io::Result<Bytes>>);

/// The client is gone, or the stream was cut.
struct Ended;

/// What was sent so far of an answer.
struct Progress {
    sent: u32,
    first: Instant,
    items: Vec<Item>,
}

/// Starts sending.
pub(super) fn respond(exchange: Exchange, question: Question, found: Found) -> Response {
    let headers = exchange.headers();
    let (sender, receiver) = mpsc::channel(EVENTS_WAITING_MAX);
    let client = sender.clone();
    let shared = exchange.shared.clone();
    shared.spawn(async move {
        tokio::select! {
            () = write(Events(sender), exchange, question, found) => {}
            () = client.closed() => {}
        }
    });
    let body = stream::unfold(receiver, |mut receiver| async move {
        let item = receiver.recv().await?;
        Some((item, receiver))
    });
    event_stream(Body::from_stream(body), headers)
}

/// Everything, from the first event to the last.
async fn write(events: Events, exchange: Exchange, question: Question, mut found: Found) {
    let began = Instant::now();
    let id = found.handle.id.clone();
    if events.send("chat.start", json!({ "model_instance_id": &*id })).await.is_err() {
        return;
    }
    if let Err(message) = load(&events, &mut found, &question, began).await {
        return fail(&events, exchange, &id, &message).await;
    }
    let load = load_seconds(&found, began);
    // The real program says so even where a prompt is read in no time.
    let reading = ["prompt_processing.start", "prompt_processing.progress", "prompt_processing.end"];
    let [start, progress, end] = reading;
    events.send_all([(start, json!({})), (progress, json!({ "progress": 0.0 }))]).await;
    let mut work = match Work::begin(exchange, found.handle, Some(&question.model)).await {
        Ok(work) => work,
        Err(Killed { exchange, ending }) => {
            return fail(&events, exchange, &id, ending.in_flight_text()).await;
        }
    };
    events.send_all([(progress, json!({ "progress": 1.0 })), (end, json!({}))]).await;
    let mut sent = Progress { sent: 0, first: Instant::now(), items: Vec::new() };
    work.note_first_token();
    match generate(&events, &mut work, &question, &mut sent).await {
        Ok(Ok(())) => {}
        Ok(Err(message)) => events.send_all([("error", error(&message))]).await,
        Err(Ended) => return work.exchange.finish(StatusCode::OK),
    }
    let result = answered(&question, &work, &sent.items, sent.first, load);
    events.send_all([("chat.end", json!({ "result": result }))]).await;
    work.exchange.finish(StatusCode::OK);
}

/// Waits for the load and tells of it; the error is what is told of its failure.
async fn load(events: &Events, found: &mut Found, question: &Question, began: Instant) -> Result<(), String> {
    if found.load == Load::Before && found.handle.is_settled() {
        return settle(&mut found.handle, question.ask()).await.map_err(|error| error.to_string());
    }
    let id = found.handle.id.clone();
    let named = || json!({ "model_instance_id": &*id });
    events.send_all([("model_load.start", named())]).await;
    let expected = found.handle.model.load_time;
    let step = (expected / PROGRESS_STEPS).max(PROGRESS_EVERY_MIN);
    while let Err(_elapsed) = tokio::time::timeout(step, settled(&mut found.handle)).await {
        let part = began.elapsed().as_secs_f64() / expected.as_secs_f64().max(f64::MIN_POSITIVE);
        let progress = json!({ "model_instance_id": &*id, "progress": thousandths(part.min(0.99)) });
        events.send_all([("model_load.progress", progress)]).await;
    }
    settle(&mut found.handle, question.ask()).await.map_err(|error| error.to_string())?;
    let seconds = thousandths(began.elapsed().as_secs_f64());
    let over = json!({ "model_instance_id": &*id, "load_time_seconds": seconds });
    let whole = json!({ "model_instance_id": &*id, "progress": 1.0 });
    events.send_all([("model_load.progress", whole), ("model_load.end", over)]).await;
    Ok(())
}

async fn settled(handle: &mut Handle) {
    // Why it failed is asked afterwards.
    let _ = handle.settled().await;
}

/// Writes the answer's parts. The inner error is what the stream tells of, the outer that there is nobody to tell.
async fn generate(
    events: &Events,
    work: &mut Work,
    question: &Question,
    sent: &mut Progress,
) -> Result<Result<(), String>, Ended> {
    let items = match outcome(work, question).await {
        Ok(items) => items,
        Err(Stopped::Refused(message)) => return Ok(Err(message)),
        Err(Stopped::Dead(ending)) => {
            work.note_killed();
            return Ok(Err(ending.in_flight_text().to_owned()));
        }
    };
    for item in items {
        let written = match &item {
            Item::Reasoning { content } => spoken(events, work, sent, "reasoning", content).await?,
            Item::Message { content } => spoken(events, work, sent, "message", content).await?,
            Item::ToolCall { tool, arguments, output, provider_info } => {
                let start = json!({ "tool": tool, "provider_info": provider_info });
                let called = json!({ "tool": tool, "arguments": arguments, "provider_info": provider_info });
                let success = json!({
                    "tool": tool, "arguments": arguments, "output": output, "provider_info": provider_info,
                });
                events.send("tool_call.start", start).await?;
                events.send("tool_call.arguments", called).await?;
                events.send("tool_call.success", success).await?;
                Ok(())
            }
            Item::InvalidToolCall { reason, metadata } => {
                let failure = json!({ "reason": reason, "metadata": metadata });
                events.send("tool_call.failure", failure).await?;
                Ok(())
            }
        };
        match written {
            Ok(()) => sent.items.push(item),
            Err((message, part)) => {
                sent.items.extend(partly(&item, part));
                return Ok(Err(message));
            }
        }
    }
    Ok(Ok(()))
}

/// What was said of a part before its end.
fn partly(item: &Item, part: String) -> Option<Item> {
    match item {
        _ if part.is_empty() => None,
        Item::Reasoning { .. } => Some(Item::Reasoning { content: part }),
        _ => Some(Item::Message { content: part }),
    }
}

/// Writes a text in pieces. The inner error is what the stream tells of and what had been written until then.
async fn spoken(
    events: &Events,
    work: &mut Work,
    sent: &mut Progress,
    kind: &str,
    content: &str,
) -> Result<Result<(), (String, String)>, Ended> {
    events.send(&format!("{kind}.start"), json!({})).await?;
    let mut part = String::new();
    let last = pieces(content).count().saturating_sub(1);
    for (index, piece) in pieces(content).enumerate() {
        match work.strike(sent.sent, kind == "message" && index == last).await {
            Struck::No => {}
            Struck::Cut(ending) => return Err(events.cut(ending).await),
            Struck::Error(message) => return Ok(Err((message, part))),
            Struck::Killed(ending) => {
                work.note_killed();
                return Ok(Err((ending.in_flight_text().to_owned(), part)));
            }
        }
        if let Err(ending) = work.wait_for_token(sent.first, sent.sent as usize).await {
            work.note_killed();
            return Ok(Err((ending.in_flight_text().to_owned(), part)));
        }
        events.send(&format!("{kind}.delta"), json!({ "content": piece })).await?;
        sent.sent += 1;
        part.push_str(piece);
    }
    events.send(&format!("{kind}.end"), json!({})).await?;
    Ok(Ok(()))
}

/// Ends a stream that never came to an answer.
async fn fail(events: &Events, mut exchange: Exchange, id: &str, message: &str) {
    let stats = json!({
        "input_tokens": 0, "total_output_tokens": 0, "reasoning_output_tokens": 0,
        "tokens_per_second": 0, "time_to_first_token_seconds": 0,
    });
    let result = json!({ "model_instance_id": id, "output": [], "stats": stats });
    events.send_all([("error", error(message)), ("chat.end", json!({ "result": result }))]).await;
    exchange.finish(StatusCode::OK);
}

fn error(message: &str) -> Value {
    json!({ "error": { "type": "internal_error", "message": message } })
}

// === impl Events ===

impl Events {
    /// One event. Its name is in its data too, before everything else.
    async fn send(&self, name: &str, payload: Value) -> Result<(), Ended> {
        #[derive(Serialize)]
        struct Named<'a> {
            #[serde(rename = "type")]
            kind: &'a str,
            #[serde(flatten)]
            payload: &'a Value,
        }
        let data = compact(&Named { kind: name, payload: &payload });
        let bytes = Bytes::from(format!("event: {name}\ndata: {data}\n\n"));
        self.0.send(Ok(bytes)).await.map_err(|_| Ended)
    }

    /// Several. Where the client is gone the task that sends is about to be dropped.
    async fn send_all<const N: usize>(&self, all: [(&str, Value); N]) {
        for (name, payload) in all {
            if self.send(name, payload).await.is_err() {
                return;
            }
        }
    }

    /// The end of a stream that a fault cuts.
    async fn cut(&self, ending: CutEnding) -> Ended {
        if ending == CutEnding::Abrupt {
            let broken = io::Error::new(io::ErrorKind::ConnectionAborted, "cut by a fault");
            // A client that is gone needs no breaking.
            let _ = self.0.send(Err(broken)).await;
        }
        Ended
    }
}
