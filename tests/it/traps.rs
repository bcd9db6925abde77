//! The traps that LM Studio is known for, each through a real gateway: loads that do not do what they were asked, lists
//! that lag, models that others load and unload, answers that are wrong in a small thing, versions that can do less.
//!
//! What simply breaks is in `faults`; who waits for whom in `sessions`. Nothing here waits for time to pass: hangs are
//! released, and what has to have happened is waited for.

#![cfg(test)]

mod answers;
mod between;
mod loads;
mod modes;
mod others;
mod routes;
mod wishes;

use lmstudio_emulator::fault::{Kind, Route};
use lmstudio_emulator::log::RequestSeen;
use lmstudio_emulator::{Event, Fault};
use pointsman_tests::world::{GENERAL, World, says};
use serde_json::{Value, json};

const TRANSLATE: &str = "Translate into German: Where is the station?";
const TRANSLATED: &str = "Wo ist der Bahnhof?";

/// GiB in which two models have room, for scenarios in which people load beside the gateway.
const ROOMY_GB: f64 = 40.0;

/// A greeting that names its model.
fn to(model: &str) -> Value {
    let mut body = says("hello");
    body["model"] = json!(model);
    body
}

/// What a model says to it.
fn greeted(model: &str) -> String {
    format!("[{model}] You wrote: hello")
}

/// The next load of this model hangs until "load" is released.
fn hang_load(model: &str) -> Fault {
    Fault::once(Kind::HangLoad).model(model).named("load")
}

/// The next so many answers of this model hang after so many chunks, until "gate" is released.
fn stall(after_chunks: u32, model: &str) -> Fault {
    Fault::once(Kind::Stall { after_chunks }).model(model).named("gate")
}

/// The loads and unloads that reached LM Studio, also those of a version that knows neither.
fn effects(world: &World) -> Vec<RequestSeen> {
    let is_effect =
        |seen: &RequestSeen| seen.path.ends_with("/models/load") || seen.path.ends_with("/models/unload");
    world.lmstudio.requests().into_iter().filter(is_effect).collect()
}

/// How often LM Studio was asked to load this model.
fn loads_asked(world: &World, model: &str) -> usize {
    effects(world).iter().filter(|seen| seen.route == Route::Load && seen.json()["model"] == model).count()
}

/// Waits until LM Studio has been listed so often since something like this happened.
async fn listed_since(world: &World, times: usize, what: impl Fn(&Event) -> bool) {
    let is_list = |event: &Event| matches!(event, Event::Request(seen) if seen.route == Route::List);
    world
        .lmstudio
        .wait_for(|entries| {
            let since = entries.iter().position(|entry| what(&entry.event));
            let after = since.map(|at| entries.iter().skip(at).filter(|entry| is_list(&entry.event)).count());
            after.is_some_and(|lists| lists >= times)
        })
        .await;
}

/// The baseline is back, and nothing was cut off on the way.
async fn at_rest(world: &World) {
    world.idle().await;
    world.resting_on(GENERAL).await;
    assert_eq!(world.happened(|event| matches!(event, Event::StreamKilled { .. })), 0);
}
