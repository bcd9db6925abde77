//! The gateway's own configuration, changed while it serves: every key is seen to take effect, nothing is dropped, no model is
//! unloaded, and what is wrong changes nothing.

#![cfg(test)]

mod file;
mod moved;
mod rooms;
mod skills;

use std::time::Duration;

use lmstudio_emulator::Event;
use pointsman_tests::world::{Answer, World};
use serde_json::{Value, json};

/// How long the gateway may take to see what changed: it looks every second.
const PATIENCE: Duration = Duration::from_secs(60);

/// Writes the world's configuration anew: these lines, and its LM Studio.
fn write(world: &World, toml: &str) {
    let file = world.folder().join("pointsman.toml");
    let next = world.folder().join("next.toml");
    let text = format!("{toml}\n[providers.lmstudio]\nurl = \"{}\"\n", world.lmstudio.url());
    std::fs::write(&next, text).unwrap();
    // As editors do.
    std::fs::rename(next, file).unwrap();
}

/// Asks the gateway's admin API.
async fn admin(world: &World, method: reqwest::Method, path: &str) -> Value {
    let url = format!("{}/pointsman/v1/{path}", world.gateway.url());
    let request = world.http.request(method, url).bearer_auth(world.gateway.admin_token());
    request.send().await.unwrap().json().await.unwrap()
}

/// Waits until it is so.
async fn until(what: &str, is_so: impl AsyncFn() -> bool) {
    let waiting = async { while !is_so().await {} };
    tokio::time::timeout(PATIENCE, waiting)
        .await
        .unwrap_or_else(|_| panic!("{what}: it never comes to that"));
}

/// Has the gateway take what is written, and waits until it has.
async fn reload(world: &World) -> Value {
    admin(world, reqwest::Method::POST, "config/reload").await
}

/// Writes these lines, and has them taken.
async fn take(world: &World, toml: &str) -> Value {
    write(world, toml);
    let reloaded = reload(world).await;
    assert_eq!(
        (&reloaded["ok"], &reloaded["configuration"]["problems"]),
        (&json!(true), &json!([])),
        "{reloaded}"
    );
    reloaded
}

/// A request that names a model, not streamed, with a key.
async fn ask(world: &World, model: &str, key: &str) -> Answer {
    let url = format!("{}/v1/chat/completions", world.gateway.url());
    let body = json!({"model": model, "messages": [{"role": "user", "content": "hello"}]});
    Answer::read(world.http.post(url).bearer_auth(key).json(&body).send().await.unwrap()).await
}

/// No model has left LM Studio's memory.
fn nothing_was_unloaded(world: &World) {
    let unloads = world.happened(|event| matches!(event, Event::Unloaded { .. }));
    assert_eq!(unloads, 0, "a reload unloads nothing");
}
