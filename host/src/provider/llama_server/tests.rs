//! Against a small router that changes its models' states as its list is asked, and against a server of one model.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use axum::body::Body;
use axum::extract::State as Shared;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Value, json};
use tokio::sync::{Notify, broadcast};

use super::super::tests::{Stub, load_of, of, refuse};
use super::*;

/// A model's state, and the one it comes to when it has been listed so many times.
#[derive(Clone, Copy)]
struct Life {
    state: &'static str,
    has_failed: bool,
    next: Option<(u32, &'static str, bool)>,
}

struct World {
    models: Mutex<BTreeMap<&'static str, Life>>,
    calls: Mutex<Vec<String>>,
    news: broadcast::Sender<String>,
    opened: Notify,
    closed: Notify,
}

/// Tells when a stream's body is dropped.
struct Listener(Arc<World>);

impl Drop for Listener {
    fn drop(&mut self) {
        self.0.closed.notify_one();
    }
}

// === impl Life ===

impl Life {
    fn of(state: &'static str) -> Self {
        Self { state, has_failed: false, next: None }
    }

    fn then(self, lists: u32, state: &'static str) -> Self {
        Self { next: Some((lists, state, false)), ..self }
    }

    fn then_failed(self, lists: u32) -> Self {
        Self { next: Some((lists, "unloaded", true)), ..self }
    }

    /// One list later.
    fn aged(self) -> Self {
        match self.next {
            None => self,
            Some((0, state, has_failed)) => Self { state, has_failed, next: None },
            Some((lists, state, has_failed)) => Self { next: Some((lists - 1, state, has_failed)), ..self },
        }
    }
}

// === impl World ===

impl World {
    fn calls(&self) -> Vec<String> {
        std::mem::take(&mut *self.calls.lock().unwrap())
    }

    fn entry(&self, id: &str) -> Value {
        let life = self.models.lock().unwrap()[id];
        let mut entry = json!({
            "id": id, "status": {"value": life.state, "args": ["llama-server", "--ctx-size", "8192"]},
            "architecture": {"input_modalities": ["text", "image"]}, "context_length": 131_072,
        });
        if life.has_failed {
            entry["status"]["failed"] = json!(true);
            entry["status"]["exit_code"] = json!(1);
        }
        if life.state == "loaded" {
            entry["meta"] = json!({"n_ctx": 4096, "size": 77});
        }
        entry
    }
}

async fn list(Shared(world): Shared<Arc<World>>) -> Json<Value> {
    let mut models = world.models.lock().unwrap();
    models.values_mut().for_each(|life| *life = life.aged());
    let ids: Vec<&str> = models.keys().copied().collect();
    drop(models);
    let entries: Vec<Value> = ids.into_iter().map(|id| world.entry(id)).collect();
    Json(json!({"object": "list", "data": entries}))
}

async fn load(Shared(world): Shared<Arc<World>>, Json(asked): Json<Value>) -> Response {
    let id = asked["model"].as_str().unwrap().to_owned();
    world.calls.lock().unwrap().push(format!("load {id}"));
    let mut models = world.models.lock().unwrap();
    let Some(life) = models.get_mut(id.as_str()) else { return refuse(404, wrong(404, "File Not Found")) };
    *life = match (id.as_str(), life.state) {
        (_, "loaded" | "loading" | "sleeping") => return refuse(400, wrong(400, "model is already running")),
        ("late", _) => return refuse(500, wrong(500, "model limit reached, try again later")),
        ("broken", _) => Life::of("loading").then_failed(1),
        ("stuck", _) => Life::of("loading"),
        _ => Life::of("loading").then(2, "loaded"),
    };
    Json(json!({"success": true})).into_response()
}

async fn unload(Shared(world): Shared<Arc<World>>, Json(asked): Json<Value>) -> Response {
    let id = asked["model"].as_str().unwrap().to_owned();
    world.calls.lock().unwrap().push(format!("unload {id}"));
    let mut models = world.models.lock().unwrap();
    let Some(life) = models.get_mut(id.as_str()) else {
        return refuse(400, wrong(400, "model is not found"));
    };
    match (id.as_str(), life.state) {
        (_, "unloaded") => return refuse(400, wrong(400, "model is not running")),
        // Whenever it goes somebody's request brings it back.
        ("busy", _) => {}
        _ => *life = life.then(2, "unloaded"),
    }
    Json(json!({"success": true})).into_response()
}

fn wrong(code: u16, message: &str) -> Value {
    json!({"code": code, "message": message, "type": "server_error"})
}

async fn sse(Shared(world): Shared<Arc<World>>) -> Body {
    let (receiver, listener) = (world.news.subscribe(), Listener(world.clone()));
    world.opened.notify_one();
    let events = futures_util::stream::unfold((receiver, listener), async |(mut receiver, listener)| {
        let event = receiver.recv().await.ok()?;
        Some((Ok::<_, std::io::Error>(format!("data: {event}\n\n")), (receiver, listener)))
    });
    Body::from_stream(events)
}

/// A router; only some have a stream of events.
async fn start(has_stream: bool) -> (Stub, Arc<World>, LlamaServer) {
    let models = [
        ("broken", Life::of("unloaded")),
        ("busy", Life::of("loaded")),
        ("late", Life::of("unloaded")),
        ("nap", Life::of("sleeping")),
        ("stuck", Life::of("unloaded")),
        ("tiny", Life::of("unloaded")),
        ("young", Life::of("downloading")),
    ];
    let world = Arc::new(World {
        models: Mutex::new(models.into()),
        calls: Mutex::default(),
        news: broadcast::channel(16).0,
        opened: Notify::new(),
        closed: Notify::new(),
    });
    let mut router = Router::new()
        .route("/v1/models", get(list))
        .route("/models/load", post(load))
        .route("/models/unload", post(unload));
    if has_stream {
        router = router.route("/models/sse", get(sse));
    }
    let stub = Stub::start(router.with_state(world.clone())).await;
    let provider = LlamaServer::new("llama", &format!("{}/v1", stub.url), None, Locality::Local).unwrap();
    (stub, world, provider)
}

#[tokio::test]
async fn it_lists_every_model_with_its_state() {
    let (_stub, world, provider) = start(false).await;
    world.models.lock().unwrap().insert("broken", Life::of("loading").then_failed(0));
    world.models.lock().unwrap().insert("stuck", Life::of("loading"));
    let listed = provider.list().await.unwrap();
    let keys: Vec<&str> = listed.iter().map(|model| model.key.as_str()).collect();
    assert_eq!(keys, ["broken", "busy", "late", "nap", "stuck", "tiny"]);
    let state = |key: &str| of(&listed, key).instances.first().map(|instance| instance.readiness);
    assert_eq!([state("broken"), state("tiny")], [None; 2]);
    assert_eq!([state("busy"), state("nap")], [Some(Readiness::Ready); 2]);
    assert_eq!(state("stuck"), Some(Readiness::Loading));
    let (busy, tiny) = (of(&listed, "busy"), of(&listed, "tiny"));
    assert!(busy.vision && busy.local && busy.kind == Kind::Language);
    assert_eq!((busy.max_context, busy.size_bytes), (Some(4096), Some(77)));
    assert_eq!(busy.instances[0].settings.context_length, Some(4096));
    assert_eq!((tiny.max_context, tiny.size_bytes), (Some(8192), None));
    assert_eq!(provider.control(), Control::Full);
}

#[tokio::test]
async fn a_load_is_followed_until_the_model_answers() {
    for has_stream in [false, true] {
        let (_stub, world, provider) = start(has_stream).await;
        let loaded = provider.load(load_of("tiny", Some(32_768))).await.unwrap();
        // Asked for more than the preset gives: what it gives is read back.
        assert_eq!((loaded.instance.as_str(), loaded.settings.context_length), ("tiny", Some(4096)));
        assert_eq!(world.models.lock().unwrap()["tiny"].state, "loaded");
        assert_eq!(world.calls(), ["load tiny"]);
    }
}

#[tokio::test]
async fn a_load_under_way_is_joined() {
    let (_stub, world, provider) = start(false).await;
    world.models.lock().unwrap().insert("tiny", Life::of("loading").then(3, "loaded"));
    for key in ["tiny", "busy", "nap"] {
        assert_eq!(provider.load(load_of(key, None)).await.unwrap().instance.as_str(), key);
    }
}

#[tokio::test]
async fn failures_are_told_apart() {
    let (stub, _world, provider) = start(false).await;
    let load = async |key: &str| provider.load(load_of(key, None)).await.unwrap_err();
    let crash = load("broken").await;
    assert!(matches!(&crash, Error::Crashed(message) if message.contains("exit code 1")), "{crash}");
    assert!(!crash.is_transient() && !crash.is_uncertain());
    assert!(matches!(load("late").await, Error::OutOfMemory(message) if message.contains("--models-max")));
    assert!(matches!(load("nope").await, Error::UnknownModel(_)));
    drop(stub);
    assert!(load("tiny").await.is_uncertain());
}

#[tokio::test]
async fn an_unload_is_followed_until_the_process_is_gone() {
    for has_stream in [false, true] {
        let (_stub, world, provider) = start(has_stream).await;
        provider.unload(InstanceId::new("nap")).await.unwrap();
        assert_eq!(world.models.lock().unwrap()["nap"].state, "unloaded");
        for done in ["nap", "tiny", "nope"] {
            provider.unload(InstanceId::new(done)).await.unwrap();
        }
        assert_eq!(world.calls(), ["unload nap", "unload nap", "unload tiny", "unload nope"]);
    }
}

#[tokio::test]
async fn an_unload_breaks_a_load_off() {
    let (_stub, world, provider) = start(true).await;
    let load = provider.load(load_of("stuck", None));
    let unload = async {
        // The stream is opened beside the load: once the model is loading, the load has been sent.
        while world.models.lock().unwrap()["stuck"].state != "loading" {
            tokio::task::yield_now().await;
        }
        provider.unload(InstanceId::new("stuck")).await
    };
    let (loaded, unloaded) = futures_util::future::join(load, unload).await;
    unloaded.unwrap();
    let aborted = loaded.unwrap_err();
    assert!(matches!(aborted, Error::Aborted(_)) && aborted.is_transient(), "{aborted}");
}

#[tokio::test]
async fn a_model_that_came_back_at_once_was_seen_to_go() {
    for event in ["model_status", "status_change"] {
        let (_stub, world, provider) = start(true).await;
        let say = |model: &str, status: &str| {
            let news = json!({"model": model, "event": event, "data": {"status": status, "exit_code": 0}});
            world.news.send(news.to_string()).unwrap();
        };
        let server = async {
            world.opened.notified().await;
            say("tiny", "unloaded");
            say("busy", "loading");
            say("busy", "unloaded");
        };
        let unload = provider.unload(InstanceId::new("busy"));
        let (unloaded, ()) = futures_util::future::join(unload, server).await;
        unloaded.unwrap();
        assert_eq!(world.models.lock().unwrap()["busy"].state, "loaded");
    }
}

#[tokio::test]
async fn a_call_that_is_dropped_leaves_no_listener_behind() {
    let (_stub, world, provider) = start(true).await;
    let load = provider.load(load_of("stuck", None));
    tokio::select! {
        loaded = load => panic!("it never loads: {loaded:?}"),
        () = world.opened.notified() => {}
    }
    world.closed.notified().await;
}

#[tokio::test]
async fn a_stream_of_nonsense_or_one_that_ends_costs_nothing() {
    for said in ["data: {\"model\":\ndata: x\n\n: comment\n\n", ""] {
        let (_stub, world, _) = start(false).await;
        let router = Router::new()
            .route("/v1/models", get(list))
            .route("/models/load", post(load))
            .route("/models/sse", get(async move || said));
        let stub = Stub::start(router.with_state(world.clone())).await;
        let provider = LlamaServer::new("llama", &stub.url, None, Locality::Local).unwrap();
        provider.load(load_of("tiny", None)).await.unwrap();
    }
}

#[tokio::test]
async fn a_server_of_one_model_has_it_always() {
    let list = json!({"object": "list", "models": [{"name": "one"}],
        "data": [{"id": "one", "architecture": {"input_modalities": ["text"]},
                  "meta": {"n_ctx": 2048, "n_ctx_train": 131_072, "size": 77}}]});
    let props = json!({"default_generation_settings": {"n_ctx": 2048}, "total_slots": 4});
    let stub = Stub::saying([("/v1/models", list), ("/props", props)]).await;
    let provider = LlamaServer::new("llama", &stub.url, None, Locality::Remote).unwrap();
    assert_eq!(provider.control(), Control::Full);
    let listed = provider.list().await.unwrap();
    assert_eq!(provider.control(), Control::ListOnly);
    let one = of(&listed, "one");
    assert_eq!((one.max_context, one.size_bytes, one.local), (Some(2048), Some(77), false));
    assert_eq!(one.instances[0].readiness, Readiness::Ready);
    assert_eq!(one.instances[0].parallel.map(std::num::NonZeroU32::get), Some(4));
    assert_eq!(provider.load(load_of("one", None)).await.unwrap().instance.as_str(), "one");
    provider.unload(InstanceId::new("one")).await.unwrap();
}

#[tokio::test]
async fn a_router_without_models_is_one() {
    let stub =
        Stub::saying([("/v1/models", json!({"data": []})), ("/props", json!({"role": "router"}))]).await;
    let provider = LlamaServer::new("llama", &stub.url, None, Locality::Local).unwrap();
    assert_eq!((provider.list().await.unwrap().len(), provider.control()), (0, Control::Full));
}
