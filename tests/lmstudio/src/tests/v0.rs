//! Version 0 of the native API, and a server that has no other.

use super::*;
use crate::config::Loaded;
use crate::log::Event;
use crate::{Fault, fault};

fn state<'a>(list: &'a Value, id: &str) -> Option<&'a str> {
    list["data"].as_array().unwrap().iter().find(|it| it["id"] == id).map(|it| it["state"].as_str().unwrap())
}

#[tokio::test]
async fn the_list_has_the_real_keys_and_the_states() {
    let mut config = Config::default().loaded_with_context(QWEN, 8192).loaded(QWEN);
    config.loaded.push(Loaded { identifier: Some("mine".to_owned()), ..Loaded::new(GPT) });
    let stage = Stage::set(config.fault(Fault::always(fault::Kind::HangLoad))).await;
    let load = stage.in_background("/api/v1/models/load", &json!({ "model": VISION }));
    stage.emulator.wait_for_event(|event| matches!(event, Event::FaultHolds { .. })).await;
    let answer = stage.get("/api/v0/models").await;
    let list = answer.json();
    assert_eq!(keys(&list), ["data", "object"]);
    let model = |id: &str| list["data"].as_array().unwrap().iter().find(|it| it["id"] == id).unwrap();
    let head = ["id", "object", "type", "publisher", "arch", "compatibility_type", "quantization", "state"];
    let loaded = ["max_context_length", "loaded_context_length", "capabilities"];
    assert_eq!(keys(model(QWEN)), [&head[..], &loaded[..]].concat());
    assert_eq!(keys(model(STRICT)), [&head[..], &loaded[..1]].concat());
    assert_eq!(
        (&model(QWEN)["loaded_context_length"], &model(QWEN)["capabilities"]),
        (&json!(8192), &json!(["tool_use"]))
    );
    let kinds = [(QWEN, "llm", "gguf"), (VISION, "vlm", "mlx"), (EMBEDDER, "embeddings", "gguf")];
    for (id, kind, format) in kinds {
        let found = (&model(id)["type"], &model(id)["compatibility_type"]);
        assert_eq!(found, (&json!(kind), &json!(format)), "{id}");
    }
    let states = [
        (QWEN, Some("loaded")),
        ("qwen/qwen3-8b:2", Some("loaded")),
        ("mine", Some("loaded")),
        (GPT, Some("not-loaded")),
        (VISION, Some("loading")),
        ("nobody", None),
    ];
    for (id, expected) in states {
        assert_eq!(state(&list, id), expected, "{id}");
    }
    stage.emulator.clear_faults();
    load.await.unwrap().unwrap();
    assert_eq!(state(&stage.get("/api/v0/models").await.json(), VISION), Some("loaded"));
    stage.emulator.change(|server| server.jit = false);
    let only = stage.get("/api/v0/models").await.json();
    assert_eq!((state(&only, STRICT), only["data"].as_array().unwrap().len()), (None, 4));
}

#[tokio::test]
async fn one_model_is_found_however_its_slash_is_written() {
    let stage = Stage::set(Config::default().loaded(QWEN)).await;
    for path in ["/api/v0/models/qwen/qwen3-8b", "/api/v0/models/qwen%2Fqwen3-8b"] {
        let answer = stage.get(path).await;
        assert_eq!(
            (&answer.json()["id"], &answer.json()["state"]),
            (&json!(QWEN), &json!("loaded")),
            "{path}"
        );
    }
    assert_eq!(stage.get("/api/v0/models/nobody").await.status, 404);
    let fault = Fault::once(fault::Kind::Html500).on(fault::Route::V0Models);
    stage.emulator.faults([fault]);
    let broken = stage.get("/api/v0/models/qwen/qwen3-8b").await;
    assert!(broken.status == 500 && broken.text.starts_with("<!DOCTYPE html>"));
    assert_eq!(stage.get("/api/v0/models").await.status, 200, "only once");
}

#[tokio::test]
async fn answers_have_their_numbers() {
    let stage = Stage::set(Config::default().loaded_with_context(QWEN, 8192)).await;
    let whole = stage.post("/api/v0/chat/completions", &said(QWEN, "count to 3")).await;
    assert!(whole.content().ends_with("1 2 3"));
    let text = json!({ "model": QWEN, "prompt": "count to 3" });
    let completed = stage.post("/api/v0/completions", &text).await.json();
    let mut body = said(QWEN, "count to 3");
    body["stream"] = json!(true);
    let stream = stage.post("/api/v0/chat/completions", &body).await;
    assert!(stream.is_done());
    let last = stream.events().pop().unwrap();
    for answer in [whole.json(), completed, last] {
        let stats = ["tokens_per_second", "time_to_first_token", "generation_time", "stop_reason"];
        assert_eq!(keys(&answer["stats"]), stats);
        assert_eq!(answer["stats"]["stop_reason"], "eosFound");
        let info = json!({ "arch": "qwen3", "quant": "Q4_K_M", "format": "gguf", "context_length": 8192 });
        assert_eq!(answer["model_info"], info);
        assert_eq!(keys(&answer["runtime"]), ["name", "version", "supported_formats"]);
    }
    let mut cut = said(QWEN, "count to 9");
    cut["max_tokens"] = json!(2);
    let cut = stage.post("/api/v0/chat/completions", &cut).await.json();
    assert_eq!(cut["stats"]["stop_reason"], "maxPredictedTokensReached");
}

#[tokio::test]
async fn an_old_server_lists_and_loads_by_request_alone() {
    let stage = Stage::set(Config::default().server(|server| server.native_v1 = false)).await;
    for path in ["/api/v1/models", "/api/v1/models/download/status/job_1"] {
        let answer = stage.get(path).await;
        let expected = format!("{{\"error\":\"Unexpected endpoint or method. (GET {path})\"}}");
        assert_eq!((answer.status.as_u16(), answer.text), (200, expected));
    }
    assert!(stage.load(QWEN).await.error().starts_with("Unexpected endpoint"));
    assert_eq!(stage.ids(), Vec::<String>::new());
    assert_eq!(state(&stage.get("/api/v0/models").await.json(), QWEN), Some("not-loaded"));
    assert_eq!(stage.say(QWEN, "hi").await.status, 200);
    assert_eq!(state(&stage.get("/api/v0/models").await.json(), QWEN), Some("loaded"));
}
