//! Engine mode, against a stand-in for llama-server: a small Python program that speaks as much of it as is used here.
//!
//! What a real engine generates is tested where one is built; here it is what the emulator makes of an engine, whatever
//! happens to it.

use std::path::{Path, PathBuf};

use super::*;
use crate::config::{Engine, Kind as ModelKind};
use crate::log::Event;
use crate::{Fault, Model, Restart, fault};

const REAL: &str = "acme/real";
const VECTORS: &str = "text-embedding-real";

fn stand_in() -> Engine {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/tests/engine/stand_in.py");
    Engine { arguments: vec![script.to_string_lossy().into_owned()], ..Engine::new("python3") }
}

/// Weights that the stand-in takes for a kind of behaviour.
fn model(key: &str, gguf: &str) -> Model {
    Model { gguf: Some(PathBuf::from(gguf)), ..Model::new(key) }
}

fn config(gguf: &str) -> Config {
    let vectors = Model { kind: ModelKind::Embedding, ..model(VECTORS, "vectors.gguf") };
    Config::default().engine(stand_in()).model(model(REAL, gguf)).model(vectors)
}

/// The child's process id, which the stand-in says when asked.
async fn pid(stage: &Stage) -> u32 {
    stage.say(REAL, "pid").await.content().parse().unwrap()
}

/// The system forgets a process when its parent has waited for it.
fn is_alive(pid: u32) -> bool {
    rustix::process::test_kill_process(process(pid)).is_ok()
}

fn process(pid: u32) -> rustix::process::Pid {
    rustix::process::Pid::from_raw(pid.try_into().unwrap()).unwrap()
}

#[tokio::test]
async fn an_instance_is_a_process_and_its_answers_look_like_the_emulated_programs() {
    let stage = Stage::set(config("plain.gguf")).await;
    let load = json!({ "model": REAL, "context_length": 2048, "echo_load_config": true });
    assert_eq!(stage.post("/api/v1/models/load", &load).await.json()["instance_id"], REAL);
    assert_eq!(stage.load(REAL).await.json()["instance_id"], "acme/real:2");
    let whole = stage.say("acme/real:2", "hello").await.json();
    let expected = ["choices", "created", "model", "object", "usage", "id", "system_fingerprint", "stats"];
    assert_eq!(keys(&whole), expected);
    assert_eq!(
        (&whole["model"], &whole["system_fingerprint"]),
        (&json!("acme/real:2"), &json!("acme/real:2"))
    );
    assert!(whole["id"].as_str().unwrap().starts_with("chatcmpl-"));
    assert_eq!(whole["choices"][0]["message"]["content"], "acme/real:2 heard hello");
    let arguments = stage.say(REAL, "arguments").await.content();
    let common = "--alias acme/real --host 127.0.0.1 --port PORT -c 2048 -np 4 -t 1 --no-ui";
    assert_eq!(arguments, format!("-m plain.gguf {common} --kv-unified"));

    let mut body = said(REAL, "a b c");
    body["stream"] = json!(true);
    let stream = stage.chat(&body).await;
    assert!(stream.is_done() && stream.streamed() == "acme/real heard a b c ", "{}", stream.text);
    assert!(stream.events().iter().all(|it| it["model"] == REAL && it.get("timings").is_none()));
    let v0 = stage.post("/api/v0/chat/completions", &said(REAL, "hi")).await.json();
    assert_eq!(v0["stats"]["stop_reason"], "eosFound");
    let text = stage.post("/v1/completions", &json!({ "model": REAL, "prompt": "once" })).await.json();
    assert_eq!((&text["choices"][0]["text"], &text["model"]), (&json!("acme/real heard once"), &json!(REAL)));
    let native = stage.post("/api/v1/chat", &json!({ "model": REAL, "input": "hi", "stream": true })).await;
    let output = json!([{ "type": "message", "content": "acme/real heard hi" }]);
    assert!(native.text.contains(&format!("\"output\":{output}")), "{}", native.text);
}

#[tokio::test]
async fn vectors_come_from_the_process() {
    let stage = Stage::set(config("plain.gguf")).await;
    let body = json!({ "model": VECTORS, "input": ["a", "b"] });
    let answer = stage.post("/v1/embeddings", &body).await.json();
    assert_eq!(answer["data"][1]["embedding"], json!([0.0, 1.0]));
    assert_eq!((&answer["model"], &answer["usage"]["total_tokens"]), (&json!(VECTORS), &json!(0)));
}

#[tokio::test]
async fn processes_end_with_their_instances_and_with_the_emulator() {
    let stage = Stage::set(config("plain.gguf").loaded(REAL)).await;
    let first = pid(&stage).await;
    assert!(is_alive(first));
    assert_eq!(stage.unload(REAL).await.status, 200);
    assert!(!is_alive(first), "gone when the unload is answered");
    stage.load(REAL).await;
    let second = pid(&stage).await;
    stage.emulator.stop().await;
    assert!(!is_alive(second));
    assert_eq!(stage.ids(), Vec::<String>::new());
    stage.emulator.restart(Restart::Fresh).await.unwrap();
    assert_ne!(pid(&stage).await, second, "in memory from the start, so there is one again");
}

#[tokio::test]
async fn a_process_that_does_not_listen_to_reason_is_killed() {
    let stage = Stage::set(config("stubborn.gguf").loaded(REAL)).await;
    let pid = pid(&stage).await;
    let unload = stage.in_background("/api/v1/models/unload", &json!({ "instance_id": REAL }));
    stage.emulator.wait_for_event(|event| matches!(event, Event::Unload { .. })).await;
    // The grace it has runs out at once.
    tokio::time::pause();
    assert_eq!(unload.await.unwrap().unwrap().status, 200);
    assert!(!is_alive(pid));
}

#[tokio::test]
async fn a_crash_looks_as_it_does_in_the_emulated_program() {
    let text = "The model has crashed without additional information. (Exit code: 11)";
    let stage = Stage::set(config("plain.gguf").loaded(REAL)).await;
    let pid = pid(&stage).await;
    let stream = stage.streaming(REAL, "FOREVER");
    let first = |event: &Event| matches!(event, Event::FirstToken { request: 2, .. });
    stage.emulator.wait_for_event(first).await;
    rustix::process::kill_process(process(pid), rustix::process::Signal::KILL).unwrap();
    let broken = stream.await.unwrap().unwrap();
    assert!(broken.ends_with_error(text) && !broken.is_done(), "{}", broken.text);
    assert!(broken.streamed().starts_with("acme/real "), "{}", broken.text);
    stage.emulator.wait_for_event(|event| matches!(event, Event::Crashed { .. })).await;
    assert_eq!(stage.ids(), Vec::<String>::new());
    let whole = stage.say(REAL, "DIE").await;
    assert_eq!((whole.status.as_u16(), whole.error().as_str()), (400, text));
    assert_eq!(stage.say(REAL, "hi").await.status, 200, "a request loads it again");
    stage.emulator.faults([Fault::once(fault::Kind::Crash { after_chunks: 1 })]);
    let mut body = said(REAL, "one two");
    body["stream"] = json!(true);
    let broken = stage.chat(&body).await;
    assert!(broken.ends_with_error(text) && broken.events().len() == 2, "{}", broken.text);
}

#[tokio::test]
async fn a_load_that_ends_by_itself_has_failed() {
    let stage = Stage::set(config("broken.gguf")).await;
    let explicit = stage.load(REAL).await;
    assert!(explicit.status == 500 && explicit.error().contains("startup was aborted"), "{}", explicit.text);
    let jit = stage.say(REAL, "hi").await;
    assert!(jit.status == 400 && jit.error().contains("startup was aborted"), "{}", jit.text);
    let mut absent = config("plain.gguf");
    absent.engine = Some(Engine::new("/nowhere/llama-server"));
    let stage = Stage::set(absent).await;
    assert_eq!(stage.load(REAL).await.status, 500);
    assert_eq!(stage.ids(), Vec::<String>::new());
}

#[tokio::test]
async fn an_unload_ends_what_is_running_and_what_is_loading() {
    let stage = Stage::set(config("plain.gguf").loaded(REAL)).await;
    let stream = stage.streaming(REAL, "FOREVER");
    stage.emulator.wait_for_event(|event| matches!(event, Event::FirstToken { .. })).await;
    assert_eq!(stage.unload(REAL).await.status, 200);
    let stream = stream.await.unwrap().unwrap();
    assert!(stream.ends_with_error("Model unloaded.") && !stream.is_done());

    let stage = Stage::set(config("slow.gguf")).await;
    let load = stage.in_background("/api/v1/models/load", &json!({ "model": REAL }));
    stage.emulator.wait_for_event(|event| matches!(event, Event::LoadStarted { .. })).await;
    assert_eq!(stage.unload(REAL).await.status, 200);
    let load = load.await.unwrap().unwrap();
    assert!(load.error().contains("Operation canceled."), "{}", load.text);
}

#[tokio::test]
async fn refusals_of_the_process_become_the_emulated_programs() {
    let stage = Stage::set(config("plain.gguf").loaded(REAL)).await;
    let message = "Input does not fit in context length. The input has 9000 tokens, but the context length only \
                   supports 4096 tokens.";
    let whole = stage.say(REAL, "LONG").await;
    assert_eq!((whole.status.as_u16(), whole.error().as_str()), (400, message));
    let mut body = said(REAL, "LONG");
    body["stream"] = json!(true);
    let stream = stage.chat(&body).await;
    assert!(stream.status == 200 && stream.ends_with_error(message), "{}", stream.text);
    let other = stage.say(REAL, "REFUSE").await;
    assert!(other.status == 400, "{}", other.text);
    assert!(other.error().starts_with("Engine protocol predict request returned 400: {"), "{}", other.text);
}

#[test]
fn weights_without_an_engine_are_refused() {
    let error = Config::default().model(model(REAL, "plain.gguf")).check().unwrap_err();
    assert!(error.to_string().contains("acme/real has a gguf"), "{error}");
}
