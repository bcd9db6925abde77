//! `POST /v1/embeddings` and that of version 0: texts to vectors of unit length.
//!
//! An imitated model's vectors come from `embeddings/vector.rs`; those of an instance that is a process from the
//! process. As in the real program usage is zero and `dimensions` does nothing.

mod vector;

use std::borrow::Cow;
use std::time::Duration;

use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::config::Kind;
use crate::exchange::Exchange;
use crate::fault::{self, Route};
use crate::inference::{self, Ask, Killed, Struck, Work, broken, killed, unless_gone, unserved};
use crate::memory::Ending;
use crate::reply::{Reply, compact};

/// Texts one request may have.
const INPUTS_MAX: usize = 2048;

#[derive(Debug, Deserialize)]
struct Request<'a> {
    #[serde(borrow, default)]
    model: Option<Cow<'a, str>>,
    #[serde(default)]
    input: Option<Input>,
    #[serde(default)]
    encoding_format: Option<Encoding>,
    #[serde(default)]
    ttl: Option<u64>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Input {
    One(String),
    Several(Vec<String>),
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Encoding {
    #[default]
    Float,
    /// The numbers' bytes, four each, the lowest first.
    Base64,
}

#[derive(Debug, Serialize)]
struct List {
    object: &'static str,
    data: Vec<Item>,
    model: String,
    usage: Usage,
}

#[derive(Debug, Serialize)]
struct Item {
    object: &'static str,
    embedding: Embedding,
    index: usize,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Embedding {
    Numbers(Vec<f32>),
    Text(String),
}

#[derive(Debug, Default, Serialize)]
struct Usage {
    prompt_tokens: u32,
    total_tokens: u32,
}

/// Why there are no vectors.
enum Without {
    Refused(Reply),
    Dead(Ending),
}

/// Answers a request for vectors.
pub(crate) async fn embed(mut exchange: Exchange, body: &Bytes) -> Response {
    let (request, texts) = match read(body) {
        Ok(read) => read,
        Err(refusal) => return exchange.reply(refusal),
    };
    let name = request.model.as_deref();
    let ttl = request.ttl.map(Duration::from_secs);
    let ask = Ask { name, kind: Kind::Embedding, ttl, context_length: None };
    let handle = match inference::instance_for(&exchange, ask).await {
        Ok(handle) => handle,
        Err(error) => return exchange.reply(unserved(&error)),
    };
    exchange.instance = Some(handle.id.clone());
    let mut work = match Work::begin(exchange, handle, name).await {
        Ok(work) => work,
        Err(Killed { exchange, ending }) => {
            let refusal = killed(&exchange, &ending);
            return exchange.reply(refusal);
        }
    };
    let reply = match vectors(&mut work, &texts).await {
        Ok(vectors) => Reply::json(&list(&work, vectors, request.encoding_format.unwrap_or_default())),
        Err(Without::Refused(refusal)) => refusal,
        Err(Without::Dead(ending)) => {
            work.note_killed();
            killed(&work.exchange, &ending)
        }
    };
    work.exchange.reply(reply)
}

/// Reads a body. The words of all refusals are guesses.
fn read(body: &Bytes) -> Result<(Request<'_>, Vec<String>), Reply> {
    let empty: &[u8] = b"{}";
    let body: &[u8] = if body.is_empty() { empty } else { body };
    let mut request: Request<'_> =
        serde_json::from_slice(body).map_err(|error| broken(&format!("Invalid body: {error}")))?;
    let texts = match request.input.take() {
        None => return Err(broken("'input' field is required")),
        Some(Input::One(text)) => vec![text],
        Some(Input::Several(texts)) => texts,
    };
    if texts.is_empty() || texts.len() > INPUTS_MAX {
        return Err(broken(&format!("'input' field must have 1 to {INPUTS_MAX} texts")));
    }
    Ok((request, texts))
}

async fn vectors(work: &mut Work, texts: &[String]) -> Result<Vec<Vec<f32>>, Without> {
    match work.strike(u32::MAX, true).await {
        Struck::No | Struck::Cut(_) => {}
        Struck::Error(message) => return Err(Without::Refused(broken(&message))),
        Struck::Killed(ending) => return Err(Without::Dead(ending)),
    }
    match work.handle.seat.address() {
        Some(address) => from_engine(work, address, texts).await,
        None => {
            let model = work.handle.model.clone();
            Ok(texts.iter().map(|text| vector::of(&model, text)).collect())
        }
    }
}

async fn from_engine(
    work: &mut Work,
    address: std::net::SocketAddr,
    texts: &[String],
) -> Result<Vec<Vec<f32>>, Without> {
    let question = json!({ "model": &*work.handle.id, "input": texts });
    let engines = work.exchange.shared.engines.clone();
    let asked = engines.ask(address, "/v1/embeddings", &question);
    let (status, answer) = match unless_gone(&mut work.handle, asked).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(_)) => return Err(Without::Dead(work.lost_engine())),
        Err(ending) => return Err(Without::Dead(ending)),
    };
    let refused = || {
        let code = status.as_u16();
        broken(&format!("Engine protocol embed request returned {code}: {}", compact(&answer)))
    };
    if !status.is_success() {
        return Err(Without::Refused(refused()));
    }
    let items = answer.get("data").and_then(Value::as_array).into_iter().flatten();
    let read = items.map(|item| item.get("embedding").and_then(|it| Vec::<f32>::deserialize(it).ok()));
    let vectors: Option<Vec<Vec<f32>>> = read.collect();
    vectors.filter(|vectors| vectors.len() == texts.len()).ok_or_else(|| Without::Refused(refused()))
}

fn list(work: &Work, vectors: Vec<Vec<f32>>, encoding: Encoding) -> List {
    let item = |(index, vector): (usize, Vec<f32>)| {
        let embedding = match encoding {
            Encoding::Float => Embedding::Numbers(vector),
            Encoding::Base64 => Embedding::Text(STANDARD.encode(bytes_of(&vector))),
        };
        Item { object: "embedding", embedding, index }
    };
    let data = vectors.into_iter().enumerate().map(item).collect();
    List { object: "list", data, model: name(work), usage: Usage::default() }
}

fn bytes_of(vector: &[f32]) -> Vec<u8> {
    vector.iter().flat_map(|number| number.to_le_bytes()).collect()
}

/// What the answer calls the model: version 0 names its quantization too.
fn name(work: &Work) -> String {
    match work.fault.as_ref().map(|met| &met.kind) {
        Some(fault::Kind::WrongModel { model }) => model.clone(),
        _ if work.exchange.route == Route::V0Embeddings => {
            format!("{}@{}", work.handle.id, work.handle.model.quantization.to_lowercase())
        }
        _ => work.handle.id.to_string(),
    }
}
