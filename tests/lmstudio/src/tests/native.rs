//! The native API and the server's manners: shapes, statuses, headers, strictness.

use super::*;
use crate::log::Event;
use crate::{Fault, fault};

/// Method, path, body, status, beginning of the error.
type Row = (Method, &'static str, &'static str, u16, &'static str);

fn status_table() -> Vec<Row> {
    let load = "/api/v1/models/load";
    let unload = "/api/v1/models/unload";
    let chat = "/v1/chat/completions";
    let unknown = "Unexpected endpoint or method.";
    vec![
        (Method::GET, "/api/v1/models", "", 200, ""),
        (Method::POST, load, r#"{"model":"openai/gpt-oss-20b"}"#, 200, ""),
        (
            Method::POST,
            load,
            r#"{"model":"acme/nope"}"#,
            404,
            "Model acme/nope not found in downloaded models",
        ),
        (Method::POST, load, "{}", 400, "\"model\" is required"),
        (Method::POST, load, "[]", 400, "Expected object, received array"),
        (Method::POST, load, "{", 400, "Invalid body: failed to parse JSON value."),
        (Method::POST, load, r#"{"model":5}"#, 400, "Expected string, received number"),
        (
            Method::POST,
            load,
            r#"{"model":"a","context_length":"x"}"#,
            400,
            "Expected number, received string",
        ),
        (
            Method::POST,
            load,
            r#"{"model":"a","stream":true}"#,
            400,
            "Unrecognized key(s) in object: 'stream'",
        ),
        (
            Method::POST,
            load,
            r#"{"model":"a","ttl":1,"gpu":2}"#,
            400,
            "Unrecognized key(s) in object: 'ttl', 'gpu'",
        ),
        (Method::POST, unload, r#"{"instance_id":"openai/gpt-oss-20b"}"#, 200, ""),
        (
            Method::POST,
            unload,
            r#"{"instance_id":"x"}"#,
            404,
            "Model with instance identifier 'x' is not loaded.",
        ),
        (Method::POST, unload, "{}", 400, "\"instance_id\" is required"),
        (Method::POST, unload, r#"{"model":"x"}"#, 400, "\"instance_id\" is required"),
        (Method::GET, "/v1/models", "", 200, ""),
        (Method::POST, chat, "{}", 400, "'messages' field is required"),
        (Method::POST, chat, "", 400, "'messages' field is required"),
        (Method::POST, chat, "{", 400, "Invalid body"),
        (Method::OPTIONS, chat, "", 400, "'messages' field is required"),
        (Method::GET, "/lmstudio-greeting", "", 200, ""),
        (Method::GET, "/api/tags", "", 200, "Unexpected endpoint or method. (GET /api/tags)"),
        (Method::POST, "/api/chat", "{}", 200, unknown),
        (Method::GET, chat, "", 200, unknown),
        (Method::POST, "/v1/responses", "{}", 200, unknown),
        (Method::POST, "/api/v1/models", "{}", 404, unknown),
        (Method::GET, "/api/v1/nonsense", "", 404, "Unexpected endpoint or method. (GET /api/v1/nonsense)"),
    ]
}

#[tokio::test]
async fn every_row_of_the_status_table() {
    let stage = Stage::set(Config::default().loaded(QWEN)).await;
    for (method, path, body, status, error) in status_table() {
        let request = stage.request(method.clone(), path).body(body);
        let answer = Answer::of(request).await;
        assert_eq!(answer.status.as_u16(), status, "{method} {path} {body}: {}", answer.text);
        if error.is_empty() {
            assert!(answer.json().get("error").is_none(), "{}", answer.text);
        } else {
            assert!(answer.error().starts_with(error), "{method} {path} {body}: {}", answer.text);
        }
    }
    assert_eq!(stage.get("/lmstudio-greeting").await.text, "{\"lmstudio\":true}");
}

#[tokio::test]
async fn error_bodies_have_the_real_keys_in_the_real_order() {
    let stage = Stage::set(Config::default()).await;
    let missing = stage.post("/api/v1/models/load", &json!({})).await;
    assert_eq!(keys(&missing.json()["error"]), ["message", "type", "param", "code"]);
    assert!(missing.text.starts_with("{\n  \"error\": {\n    \"message\""), "{}", missing.text);
    let unknown = stage.load("nope").await;
    assert_eq!(keys(&unknown.json()["error"]), ["type", "message"]);
    assert_eq!(unknown.json()["error"]["type"], "model_not_found");
    let chat = stage.say("nope", "hi").await;
    assert_eq!(keys(&chat.json()["error"]), ["message", "type", "param", "code"]);
    assert!(chat.text.starts_with("{\n    \"error\": {\n        \"message\""), "{}", chat.text);
}

#[tokio::test]
async fn the_list_has_the_real_keys_in_the_real_order() {
    let stage =
        Stage::set(Config::default().loaded_with_context(QWEN, 8192).loaded(VISION).loaded(EMBEDDER)).await;
    let answer = stage.get("/api/v1/models").await;
    let json = answer.json();
    let model = |key: &str| json["models"].as_array().unwrap().iter().find(|it| it["key"] == key).unwrap();
    let common = ["type", "publisher", "key", "display_name", "architecture", "quantization", "size_bytes"];
    let rest =
        ["params_string", "loaded_instances", "max_context_length", "format", "capabilities", "description"];
    assert_eq!(keys(model(GPT)), [&common[..], &rest[..]].concat());
    assert_eq!(keys(model(QWEN)), [&common[..], &rest[..], &["variants", "selected_variant"]].concat());
    assert_eq!(keys(model(EMBEDDER)), [&common[..4], &common[5..], &rest[..4]].concat());
    let gguf = &model(QWEN)["loaded_instances"][0];
    let fields =
        ["context_length", "eval_batch_size", "parallel", "flash_attention", "offload_kv_cache_to_gpu"];
    assert_eq!(keys(gguf), ["id", "config"]);
    assert_eq!((keys(&gguf["config"]), &gguf["config"]["context_length"]), (fields.to_vec(), &json!(8192)));
    let mlx = &model(VISION)["loaded_instances"][0]["config"];
    assert_eq!(keys(mlx), ["context_length", "parallel", "reasoning_budget_message"]);
    assert_eq!(mlx["context_length"], model(VISION)["max_context_length"]);
    assert_eq!(keys(&model(EMBEDDER)["loaded_instances"][0]["config"]), ["context_length"]);
    assert_eq!(model(GPT)["capabilities"]["reasoning"]["default"], "low");
}

#[tokio::test]
async fn every_load_makes_an_instance_and_free_numbers_are_used_again() {
    let stage = Stage::set(Config::default()).await;
    let mut load = Vec::new();
    for _ in 0..3 {
        load.push(stage.load(QWEN).await.json()["instance_id"].clone());
    }
    assert_eq!(load, [QWEN, "qwen/qwen3-8b:2", "qwen/qwen3-8b:3"]);
    let freed = stage.unload("qwen/qwen3-8b:2").await;
    assert_eq!(freed.json(), json!({ "instance_id": "qwen/qwen3-8b:2" }));
    assert_eq!(stage.load("QWEN/qwen3-8B@q8_0").await.json()["instance_id"], "qwen/qwen3-8b:2");
    stage.emulator.change(|server| server.load_takes_variants = false);
    assert_eq!(stage.load("qwen/qwen3-8b@q8_0").await.status, 404);
}

#[tokio::test]
async fn a_load_says_what_it_did() {
    let stage = Stage::set(Config::default()).await;
    let cases = [
        (json!({ "model": QWEN, "echo_load_config": true }), 4096),
        (json!({ "model": QWEN, "echo_load_config": true, "context_length": 16_384 }), 16_384),
        (json!({ "model": QWEN, "echo_load_config": true, "context_length": 1_000_000 }), 40_960),
        (json!({ "model": VISION, "echo_load_config": true, "context_length": 8192 }), 128_000),
        (json!({ "model": EMBEDDER, "echo_load_config": true }), 2048),
    ];
    for (body, context) in cases {
        let answer = stage.post("/api/v1/models/load", &body).await.json();
        assert_eq!(keys(&answer), ["type", "instance_id", "load_time_seconds", "status", "load_config"]);
        assert_eq!(answer["load_config"]["context_length"], context, "{body}");
    }
    stage.emulator.change(|server| server.mlx_ignores_context = false);
    let body = json!({ "model": VISION, "echo_load_config": true, "context_length": 8192 });
    assert_eq!(stage.post("/api/v1/models/load", &body).await.json()["load_config"]["context_length"], 8192);
    assert!(stage.load(QWEN).await.json().get("load_config").is_none());
}

#[tokio::test]
async fn memory_that_is_taken_is_not_given_twice() {
    let config = Config::default().memory_gb(16.0).loaded(GPT);
    let stage = Stage::set(config).await;
    let refused = stage.load(STRICT).await;
    assert_eq!((refused.status.as_u16(), &refused.json()["error"]["type"]), (500, &json!("internal_error")));
    assert!(refused.error().contains("insufficient system resources"), "{}", refused.text);
    assert!(refused.error().contains("requires approximately 7.59 GB of memory"), "{}", refused.text);
    stage.emulator.change(|server| server.guardrail_status = 507);
    assert_eq!(stage.load(STRICT).await.status.as_u16(), 507);
    stage.unload(GPT).await;
    assert_eq!(stage.load(STRICT).await.status.as_u16(), 200);
}

#[tokio::test]
async fn a_load_blocks_and_goes_on_without_its_client() {
    let stage = Stage::set(Config::default().fault(Fault::once(fault::Kind::HangLoad))).await;
    let load = stage.in_background("/api/v1/models/load", &json!({ "model": QWEN }));
    stage.emulator.wait_for_event(|event| matches!(event, Event::FaultHolds { .. })).await;
    assert!(!load.is_finished());
    let instances = stage.get("/api/v1/models").await.json()["models"][3]["loaded_instances"].clone();
    assert_eq!(instances[0]["id"], QWEN, "listed while it loads");
    stage.emulator.change(|server| server.list_shows_loading = false);
    assert_eq!(stage.get("/api/v1/models").await.json()["models"][3]["loaded_instances"], json!([]));
    load.abort();
    stage.emulator.wait_for_event(|event| matches!(event, Event::ClientDisconnected { .. })).await;
    stage.emulator.release(Some("hang-load"));
    let loaded = stage.emulator.wait_for_event(|event| matches!(event, Event::Loaded { .. })).await;
    assert_eq!(&*loaded.unwrap().resident[0].id, QWEN);
    assert!(stage.say(QWEN, "hi").await.content().starts_with("[qwen/qwen3-8b] "));
}

#[tokio::test]
async fn unloading_what_is_loading_cancels_the_load() {
    let stage = Stage::set(Config::default().fault(Fault::once(fault::Kind::HangLoad))).await;
    let load = stage.in_background("/api/v1/models/load", &json!({ "model": QWEN }));
    stage.emulator.wait_for_event(|event| matches!(event, Event::FaultHolds { .. })).await;
    assert_eq!(stage.unload(QWEN).await.status, 200);
    let answer = load.await.unwrap().unwrap();
    assert_eq!(answer.status, 500);
    assert!(answer.error().contains("Operation canceled."), "{}", answer.text);
    assert_eq!(stage.ids(), Vec::<String>::new());
}

#[tokio::test]
async fn headers_are_those_of_the_real_server() {
    let stage = Stage::set(Config::default().loaded(QWEN)).await;
    let answer = stage.get("/api/v1/models").await;
    let header =
        |answer: &Answer, name: &str| answer.headers.get(name).map(|it| it.to_str().unwrap().to_owned());
    assert_eq!(header(&answer, "x-powered-by").as_deref(), Some("Express"));
    assert_eq!(header(&answer, "keep-alive").as_deref(), Some("timeout=5"));
    assert_eq!(header(&answer, "content-type").as_deref(), Some("application/json; charset=utf-8"));
    assert!(header(&answer, "etag").unwrap().starts_with("W/\""));
    assert_eq!(header(&answer, "access-control-allow-origin"), None);
    stage.emulator.change(|server| server.cors = true);
    let stream =
        stage.chat(&json!({ "stream": true, "messages": [{ "role": "user", "content": "hi" }] })).await;
    assert_eq!(header(&stream, "content-type").as_deref(), Some("text/event-stream"));
    assert_eq!(header(&stream, "cache-control").as_deref(), Some("no-cache"));
    assert_eq!(header(&stream, "access-control-allow-origin").as_deref(), Some("*"));
    assert_eq!(Answer::of(stage.request(Method::OPTIONS, "/v1/chat/completions")).await.status, 204);
}

#[tokio::test]
async fn forms_are_refused() {
    let stage = Stage::set(Config::default()).await;
    let form = "multipart/form-data; boundary=x";
    for path in ["/v1/chat/completions", "/api/v1/models/load"] {
        let request = stage.request(Method::POST, path).header("content-type", form).body("--x--");
        assert_eq!(Answer::of(request).await.status, 415, "{path}");
    }
}

#[tokio::test]
async fn tokens_are_asked_for_where_they_are_configured() {
    let token = "sk-lm-abcdefgh:01234567890123456789";
    let stage = Stage::set(Config::default()).await;
    let with = |token: &str| stage.request(Method::GET, "/v1/models").bearer_auth(token);
    assert_eq!(Answer::of(with("anything")).await.status, 200, "ignored while off");
    stage.emulator.change(|server| server.auth_tokens.push(token.to_owned()));
    let paths = [
        "/api/v1/models",
        "/api/v1/models/download/status/job_1",
        "/api/v0/models",
        "/api/v0/models/qwen/qwen3-8b",
        "/v1/models",
        "/nonsense",
    ];
    for path in paths {
        let refused = stage.get(path).await;
        assert_eq!(refused.status, 401, "{path}");
        assert_eq!(keys(&refused.json()["error"]), ["type", "code", "message"]);
        assert_eq!(refused.json()["error"]["code"], "invalid_api_key");
        assert!(refused.error().starts_with("An LM Studio API token is required"));
    }
    let asked = [
        "/api/v1/models/load",
        "/api/v1/models/unload",
        "/api/v1/models/download",
        "/api/v1/chat",
        "/api/v0/chat/completions",
        "/api/v0/completions",
        "/api/v0/embeddings",
        "/v1/chat/completions",
        "/v1/completions",
        "/v1/embeddings",
        "/v1/messages",
    ];
    for path in asked {
        assert_eq!(stage.post(path, &json!({})).await.status, 401, "{path}");
        let key = stage.request(Method::POST, path).header("x-api-key", token).body("{}");
        let expected = if path == "/v1/messages" { 200 } else { 401 };
        assert_eq!(Answer::of(key).await.status, expected, "{path}");
    }
    assert_eq!(Answer::of(with("wrong")).await.status, 401);
    assert_eq!(Answer::of(with(token)).await.status, 200);
    assert_eq!(stage.get("/lmstudio-greeting").await.status, 200);
}
