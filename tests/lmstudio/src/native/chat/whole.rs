//! A native chat answered with one JSON body; and what both ways of answering share of its beginning and end.

use std::sync::Arc;

use axum::response::Response;
use http::StatusCode;
use tokio::time::Instant;

use super::outcome::{Item, Outcome};
use super::question::Question;
use super::stored::{self, Said};
use super::{Answered, internal, killed, load_seconds, stats, unserved};
use crate::exchange::Exchange;
use crate::inference::{self, Found, Killed, Struck, Work, pace, unless_gone};
use crate::memory::Ending;
use crate::reply::Reply;

/// Waits as long as the load and the writing take and sends it.
pub(super) async fn respond(exchange: Exchange, question: Question, mut found: Found) -> Response {
    let began = Instant::now();
    if let Err(error) = inference::settle(&mut found.handle, question.ask()).await {
        let refusal = unserved(&exchange, &error);
        return exchange.reply(refusal);
    }
    let load = load_seconds(&found, began);
    let mut work = match Work::begin(exchange, found.handle, Some(&question.model)).await {
        Ok(work) => work,
        Err(Killed { exchange, ending }) => {
            let refusal = killed(&exchange, &ending);
            return exchange.reply(refusal);
        }
    };
    match generate(&mut work, &question).await {
        Ok(items) => {
            let first = work.started + work.handle.model.first_token_time;
            work.note_first_token();
            let reply = Reply::json(&answered(&question, &work, &items, first, load));
            work.exchange.reply(reply)
        }
        Err(Stopped::Refused(message)) => work.exchange.reply(internal(StatusCode::BAD_REQUEST, &message)),
        Err(Stopped::Dead(ending)) => {
            work.note_killed();
            let refusal = killed(&work.exchange, &ending);
            work.exchange.reply(refusal)
        }
    }
}

/// Why there is no answer.
pub(super) enum Stopped {
    Refused(String),
    Dead(Ending),
}

async fn generate(work: &mut Work, question: &Question) -> Result<Vec<Item>, Stopped> {
    match work.strike(u32::MAX, true).await {
        Struck::No | Struck::Cut(_) => {}
        Struck::Error(message) => return Err(Stopped::Refused(message)),
        Struck::Killed(ending) => return Err(Stopped::Dead(ending)),
    }
    let items = outcome(work, question).await?;
    let tokens = items.iter().filter_map(Item::message).flat_map(crate::chat::pieces).count();
    if let Some(wait) = pace(&work.handle.model, tokens) {
        let paced = unless_gone(&mut work.handle, tokio::time::sleep(wait)).await;
        paced.map_err(Stopped::Dead)?;
    }
    Ok(items)
}

/// What the model comes to, imitated or real.
pub(super) async fn outcome(work: &mut Work, question: &Question) -> Result<Vec<Item>, Stopped> {
    let Some(address) = work.handle.seat.address() else {
        return Ok(Outcome::imitated(question, &work.handle).items);
    };
    let (shared, handle) = (work.exchange.shared.clone(), work.handle.clone());
    let asked = Outcome::of_engine(question, &shared, &handle, address);
    match unless_gone(&mut work.handle, asked).await {
        Ok(Ok(Outcome { refused: Some(message), .. })) => Err(Stopped::Refused(message)),
        Ok(Ok(outcome)) => Ok(outcome.items),
        Ok(Err(_)) => Err(Stopped::Dead(work.lost_engine())),
        Err(ending) => Err(Stopped::Dead(ending)),
    }
}

/// The answer's body. Remembers it where the request wants that.
pub(super) fn answered<'a>(
    question: &Question,
    work: &'a Work,
    items: &'a [Item],
    first: Instant,
    load: Option<f64>,
) -> Answered<'a> {
    let response_id = question.store.then(|| stored::id(work.exchange.number));
    if let Some(id) = &response_id {
        let spoken: Vec<&str> = items.iter().filter_map(Item::message).collect();
        let mut said = question.said.clone();
        said.push(Arc::new(Said::assistant(spoken.join("\n"))));
        work.exchange.shared.locked(|hub| hub.stored.push(id.clone(), said));
    }
    let stats = stats(question, work, items, first, load);
    Answered { model_instance_id: &work.handle.id, output: items, stats, response_id }
}
