//! Vectors, and text completions: the parts of the OpenAI-compatible API that are not chat.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::*;
use crate::{Fault, Model, fault};

const EMBEDDINGS: &str = "/v1/embeddings";

fn vector(item: &Value) -> Vec<f64> {
    item["embedding"].as_array().unwrap().iter().map(|it| it.as_f64().unwrap()).collect()
}

fn cosine(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[tokio::test]
async fn vectors_depend_on_model_and_text_and_have_unit_length() {
    let other = Model { kind: crate::config::Kind::Embedding, ..Model::new("text-embedding-other") };
    let stage = Stage::set(Config::default().model(other).loaded(EMBEDDER)).await;
    let texts = ["translate this text", "translate this sentence", "fix the build", ""];
    let answer = stage.post(EMBEDDINGS, &json!({ "model": EMBEDDER, "input": texts })).await.json();
    assert_eq!(keys(&answer), ["object", "data", "model", "usage"]);
    assert_eq!(answer["model"], EMBEDDER);
    assert_eq!(answer["usage"], json!({ "prompt_tokens": 0, "total_tokens": 0 }));
    let data = answer["data"].as_array().unwrap();
    assert!(
        data.iter()
            .enumerate()
            .all(|(index, it)| keys(it) == ["object", "embedding", "index"] && it["index"] == json!(index))
    );
    let vectors: Vec<Vec<f64>> = data.iter().map(vector).collect();
    assert!(vectors.iter().all(|it| it.len() == 768 && (cosine(it, it) - 1.0).abs() < 1e-4));
    let (near, far) = (cosine(&vectors[0], &vectors[1]), cosine(&vectors[0], &vectors[2]));
    assert!(near > 0.5 && far < 0.3, "texts of the same words are close: {near} {far}");

    let again = json!({ "model": EMBEDDER, "input": texts[0], "dimensions": 3 });
    assert_eq!(vector(&stage.post(EMBEDDINGS, &again).await.json()["data"][0]), vectors[0]);
    let second = json!({ "model": "text-embedding-other", "input": texts[0] });
    let second = vector(&stage.post(EMBEDDINGS, &second).await.json()["data"][0]);
    assert!(cosine(&second, &vectors[0]).abs() < 0.3, "another model");
}

#[tokio::test]
async fn vectors_come_as_bytes_too() {
    let stage = Stage::set(Config::default().loaded(EMBEDDER)).await;
    let mut body = json!({ "model": EMBEDDER, "input": "hello" });
    let numbers = vector(&stage.post(EMBEDDINGS, &body).await.json()["data"][0]);
    body["encoding_format"] = json!("base64");
    let answer = stage.post(EMBEDDINGS, &body).await.json();
    let bytes = STANDARD.decode(answer["data"][0]["embedding"].as_str().unwrap()).unwrap();
    let read = bytes.chunks(4).map(|it| f64::from(f32::from_le_bytes(it.try_into().unwrap())));
    assert!(read.zip(&numbers).all(|(read, number)| (read - number).abs() < 1e-6));
    assert_eq!(bytes.len(), numbers.len() * 4);
}

#[tokio::test]
async fn embedding_models_are_loaded_by_requests_and_evict_no_other() {
    let stage = Stage::set(Config::default()).await;
    assert_eq!(stage.say(QWEN, "hi").await.status, 200);
    let body = json!({ "model": EMBEDDER, "input": "hi", "ttl": 60 });
    let v0 = stage.post("/api/v0/embeddings", &body).await.json();
    assert_eq!(v0["model"], format!("{EMBEDDER}@q4_k_m"));
    assert_eq!(stage.ids(), [QWEN, EMBEDDER]);
    let listed = stage.get("/api/v1/models").await.json();
    let ttl = listed["models"][5]["loaded_instances"][0]["remaining_ttl_seconds"].as_u64().unwrap();
    assert!((50..=60).contains(&ttl), "{ttl}");
    stage.emulator.change(|server| server.list_shows_jit_embeddings = false);
    let listed = stage.get("/api/v1/models").await.json();
    assert_eq!(listed["models"][5]["loaded_instances"], json!([]));
    stage.emulator.change(|server| server.auto_evict_embeddings = true);
    stage.unload(EMBEDDER).await;
    stage.post(EMBEDDINGS, &body).await;
    assert_eq!(stage.ids(), [EMBEDDER]);
}

#[tokio::test]
async fn what_cannot_be_embedded_is_refused() {
    let stage = Stage::set(Config::default().loaded(QWEN).loaded(EMBEDDER)).await;
    let cases = [
        (json!({ "model": EMBEDDER }), "'input' field is required"),
        (json!({ "model": EMBEDDER, "input": [] }), "'input' field must have"),
        (json!({ "model": EMBEDDER, "input": [[1, 2]] }), "Invalid body"),
        (json!({ "model": QWEN, "input": "hi" }), "No models loaded."),
    ];
    for (body, expected) in cases {
        let answer = stage.post(EMBEDDINGS, &body).await;
        assert!(answer.status == 400 && answer.error().starts_with(expected), "{body}: {}", answer.text);
    }
    stage.emulator.faults([Fault::once(fault::Kind::Crash { after_chunks: 0 }).on(fault::Route::Embeddings)]);
    let crashed = stage.post(EMBEDDINGS, &json!({ "model": EMBEDDER, "input": "hi" })).await;
    assert!(crashed.status == 400 && crashed.error().contains("has crashed"), "{}", crashed.text);
    assert_eq!(stage.ids(), [QWEN]);
}

#[tokio::test]
async fn a_prompt_is_completed_whole_and_streamed() {
    let stage = Stage::set(Config::default().loaded(QWEN).loaded(STRICT)).await;
    let mut body = json!({ "model": QWEN, "prompt": "count to 4" });
    let whole = stage.post("/v1/completions", &body).await.json();
    assert_eq!(keys(&whole), ["id", "object", "created", "model", "choices", "usage", "stats"]);
    assert_eq!((&whole["object"], &whole["stats"]), (&json!("text_completion"), &json!({})));
    assert!(whole["id"].as_str().unwrap().starts_with("cmpl-"));
    let choice = json!({
        "index": 0, "text": "[qwen/qwen3-8b] 1 2 3 4", "logprobs": null, "finish_reason": "stop",
    });
    assert_eq!(whole["choices"][0], choice);
    body["stream"] = json!(true);
    body["stream_options"] = json!({ "include_usage": true });
    let stream = stage.post("/v1/completions", &body).await;
    let events = stream.events();
    let text: String = events.iter().filter_map(|it| it["choices"][0]["text"].as_str()).collect();
    assert!(stream.is_done() && text == "[qwen/qwen3-8b] 1 2 3 4", "{}", stream.text);
    assert_eq!(events.last().unwrap()["usage"], whole["usage"]);
    let raw = json!({ "model": STRICT, "prompt": "Guten Morgen." });
    let answer = stage.post("/v1/completions", &raw).await;
    assert_eq!(answer.status, 200, "no template, so none fails: {}", answer.text);
    let missing = stage.post("/v1/completions", &json!({ "model": QWEN })).await;
    assert_eq!((missing.status.as_u16(), missing.error().as_str()), (400, "'prompt' field is required"));
}
