//! Against a small server that keeps models as Ollama does.

use std::sync::Arc;
use std::sync::atomic::AtomicU32;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Value, json};

use super::super::tests::{Stub, load_of, of, refuse};
use super::*;
use crate::model::Kind;

/// What the server was told and holds.
#[derive(Default)]
struct World {
    /// Models in memory with their contexts.
    running: Mutex<HashMap<String, u32>>,
    /// Models that are going: lists that still show them.
    leaving: Mutex<HashMap<String, u32>>,
    calls: Mutex<Vec<(&'static str, Value)>>,
    shows: AtomicU32,
}

/// The context of models that were loaded without one.
const OWN_CONTEXT: u32 = 4096;

impl World {
    fn running(&self) -> MutexGuard<'_, HashMap<String, u32>> {
        self.running.lock().unwrap()
    }

    fn calls(&self) -> Vec<(&'static str, Value)> {
        std::mem::take(&mut *self.calls.lock().unwrap())
    }
}

fn tags() -> Value {
    json!({"models": [
        {"name": "qwen3:8b", "size": 5_000, "digest": "d-qwen", "details": {"family": "qwen3"}},
        {"name": "copy:8b", "size": 5_000, "digest": "d-qwen", "details": {"family": "qwen3"}},
        {"name": "nomic:latest", "size": 7, "digest": "d-nomic", "details": {"family": "nomic-bert"}},
        {"name": "new:1b", "digest": "d-new", "details": {"context_length": 8192},
         "capabilities": ["completion", "thinking"]},
        {"name": "huge:cloud", "digest": "d-huge", "remote_host": "https://ollama.com:443"},
    ]})
}

async fn ps(State(world): State<Arc<World>>) -> Json<Value> {
    let mut leaving = world.leaving.lock().unwrap();
    let shown = world.running().clone().into_iter().chain(leaving.keys().map(|name| (name.clone(), 1)));
    let models: Vec<Value> = shown
        .map(|(name, context)| {
            json!({"name": name, "context_length": context, "expires_at": "2318-03-04T05:06:07.89+01:00"})
        })
        .collect();
    leaving.retain(|_, lists| {
        *lists -= 1;
        *lists > 0
    });
    Json(json!({"models": models}))
}

async fn show(State(world): State<Arc<World>>, Json(asked): Json<Value>) -> Response {
    world.shows.fetch_add(1, Ordering::Relaxed);
    match asked["model"].as_str().unwrap() {
        "nomic:latest" => refuse(500, "broken manifest"),
        _ => Json(json!({"capabilities": ["completion", "tools", "vision"],
            "model_info": {"general.architecture": "qwen3", "qwen3.context_length": 40_960}}))
        .into_response(),
    }
}

async fn generate(State(world): State<Arc<World>>, Json(asked): Json<Value>) -> Response {
    world.calls.lock().unwrap().push(("generate", asked.clone()));
    let model = asked["model"].as_str().unwrap().to_owned();
    match (model.as_str(), asked["keep_alive"].as_i64()) {
        ("nope:1b", _) => refuse(404, "model 'nope:1b' not found"),
        ("fat:70b", _) => refuse(500, "model requires more system memory (40 GiB) than is available (8 GiB)"),
        ("bad:1b", _) => refuse(500, "llama runner process has terminated: exit status 2"),
        (_, Some(0)) => {
            if world.running().remove(&model).is_some() {
                world.leaving.lock().unwrap().insert(model, 2);
            }
            Json(json!({"done": true, "done_reason": "unload"})).into_response()
        }
        ("nomic:latest", _) => refuse(400, "\"nomic:latest\" does not support generate"),
        _ => keep(&world, &asked),
    }
}

async fn embed(State(world): State<Arc<World>>, Json(asked): Json<Value>) -> Response {
    world.calls.lock().unwrap().push(("embed", asked.clone()));
    keep(&world, &asked)
}

fn keep(world: &World, asked: &Value) -> Response {
    let context = asked["options"]["num_ctx"].as_u64().and_then(|it| u32::try_from(it).ok());
    let model = asked["model"].as_str().unwrap().to_owned();
    world.running().insert(model, context.unwrap_or(OWN_CONTEXT));
    Json(json!({"done": true, "done_reason": "load"})).into_response()
}

async fn start() -> (Stub, Arc<World>, Ollama) {
    let world = Arc::new(World::default());
    let router = Router::new()
        .route("/api/tags", get(async || Json(tags())))
        .route("/api/ps", get(ps))
        .route("/api/show", post(show))
        .route("/api/generate", post(generate))
        .route("/api/embed", post(embed))
        .with_state(world.clone());
    let stub = Stub::start(router).await;
    let provider = Ollama::new("ollama", &format!("{}/v1", stub.url), None, Locality::Local).unwrap();
    (stub, world, provider)
}

#[tokio::test]
async fn it_lists_what_is_installed_and_what_is_in_memory() {
    let (_stub, world, provider) = start().await;
    world.running().insert("qwen3:8b".to_owned(), 16_384);
    let listed = provider.list().await.unwrap();
    let keys: Vec<&str> = listed.iter().map(|model| model.key.as_str()).collect();
    assert_eq!(keys, ["qwen3:8b", "copy:8b", "nomic:latest", "new:1b"]);
    let qwen = of(&listed, "qwen3:8b");
    assert!(qwen.vision && qwen.tool_use && !qwen.reasoning && qwen.local);
    assert_eq!((qwen.kind, qwen.max_context, qwen.size_bytes), (Kind::Language, Some(40_960), Some(5_000)));
    assert_eq!(qwen.instances.len(), 1);
    assert_eq!(qwen.instances[0].settings.context_length, Some(16_384));
    assert_eq!(qwen.instances[0].remaining_ttl, None);
    assert!(of(&listed, "copy:8b").tool_use && of(&listed, "copy:8b").instances.is_empty());
    assert_eq!(of(&listed, "nomic:latest").kind, Kind::Embedding);
    let new = of(&listed, "new:1b");
    assert_eq!((new.reasoning, new.tool_use, new.max_context), (true, false, Some(8192)));
    assert_eq!(provider.control(), super::super::Control::Full);
}

#[tokio::test]
async fn a_model_is_asked_about_once_for_each_content() {
    let (_stub, world, provider) = start().await;
    for _ in 0..3 {
        provider.list().await.unwrap();
    }
    // Of the two with one digest one is asked about; the one that cannot be shown is not asked about again.
    assert_eq!(world.shows.load(Ordering::Relaxed), 2);
}

#[tokio::test]
async fn it_loads_for_ever_with_the_context_asked_for_and_unloads_to_the_end() {
    let (_stub, world, provider) = start().await;
    let loaded = provider.load(load_of("qwen3:8b", Some(32_768))).await.unwrap();
    assert_eq!((loaded.instance.as_str(), loaded.settings.context_length), ("qwen3:8b", Some(32_768)));
    let sent =
        json!({"model": "qwen3:8b", "keep_alive": -1, "stream": false, "options": {"num_ctx": 32_768}});
    assert_eq!(world.calls(), [("generate", sent)]);
    provider.unload(loaded.instance.clone()).await.unwrap();
    let sent = json!({"model": "qwen3:8b", "keep_alive": 0, "stream": false});
    assert_eq!(world.calls(), [("generate", sent)]);
    assert!(world.leaving.lock().unwrap().is_empty(), "the answer came before the model was gone");
    provider.unload(loaded.instance).await.unwrap();
    provider.unload(InstanceId::new("nope:1b")).await.unwrap();
}

#[tokio::test]
async fn an_embedding_model_is_loaded_by_embedding_nothing() {
    let (_stub, world, provider) = start().await;
    let loaded = provider.load(load_of("nomic:latest", None)).await.unwrap();
    assert_eq!(loaded.settings.context_length, Some(OWN_CONTEXT));
    let (path, sent) = world.calls().pop().unwrap();
    assert_eq!((path, sent), ("embed", json!({"model": "nomic:latest", "input": [], "keep_alive": -1})));
    provider.unload(loaded.instance).await.unwrap();
    assert!(world.running().is_empty());
}

#[tokio::test]
async fn a_context_that_does_not_last_is_not_asked_for_again() {
    let (_stub, world, provider) = start().await;
    let num_ctx = |world: &World| world.calls().pop().unwrap().1["options"]["num_ctx"].as_u64();
    provider.load(load_of("qwen3:8b", Some(32_768))).await.unwrap();
    assert_eq!(num_ctx(&world), Some(32_768));
    provider.list().await.unwrap();
    provider.load(load_of("qwen3:8b", Some(32_768))).await.unwrap();
    assert_eq!(num_ctx(&world), Some(32_768));
    // A request that named no context came by.
    world.running().insert("qwen3:8b".to_owned(), OWN_CONTEXT);
    provider.list().await.unwrap();
    let loaded = provider.load(load_of("qwen3:8b", Some(32_768))).await.unwrap();
    assert_eq!((num_ctx(&world), loaded.settings.context_length), (None, Some(OWN_CONTEXT)));
}

#[tokio::test]
async fn errors_are_told_apart() {
    let (stub, _world, provider) = start().await;
    let load = async |key: &str| provider.load(load_of(key, None)).await.unwrap_err();
    assert!(matches!(load("nope:1b").await, Error::UnknownModel(_)));
    assert!(matches!(load("fat:70b").await, Error::OutOfMemory(_)));
    let crash = load("bad:1b").await;
    assert!(matches!(crash, Error::Crashed(_)) && !crash.is_transient());
    drop(stub);
    assert!(matches!(provider.list().await, Err(Error::Unreachable(_))));
}

#[test]
fn a_time_centuries_away_is_no_time_to_live() {
    let soon = jiff::Timestamp::now() + Duration::from_secs(300);
    assert!(remaining(&soon.to_string()).is_some_and(|left| left <= Duration::from_secs(300)));
    let just_past = jiff::Timestamp::now() - Duration::from_secs(300);
    assert_eq!(remaining(&just_past.to_string()), Some(Duration::ZERO), "it goes as soon as it is idle");
    for never in ["2318-03-04T05:06:07.89+01:00", "0001-01-01T00:00:00Z", "1970-01-01T00:00:00Z", "soon"] {
        assert_eq!(remaining(never), None, "{never}");
    }
}
