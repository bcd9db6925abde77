//! Every situation in which a request names a model, or none, and what comes of it.

use super::*;
use crate::config::Loaded;

struct Row {
    what: &'static str,
    config: Config,
    name: Option<&'static str>,
    expected: Result<&'static str, &'static str>,
}

fn row(
    what: &'static str,
    config: Config,
    name: Option<&'static str>,
    expected: Result<&'static str, &'static str>,
) -> Row {
    Row { what, config, name, expected }
}

fn alias() -> Config {
    let mut config = Config::default();
    config.loaded.push(Loaded { identifier: Some("my-model".to_owned()), ..Loaded::new(QWEN) });
    config
}

fn without_jit(config: Config) -> Config {
    config.server(|server| server.jit = false)
}

const INVALID: &str = "Invalid model identifier";

fn table() -> Vec<Row> {
    let none = Config::default;
    let one = || none().loaded(QWEN);
    let two = || one().loaded(GPT);
    let twice = || one().loaded(QWEN);
    let nothing = "No models loaded.";
    vec![
        row("a loaded instance's id", two(), Some(GPT), Ok(GPT)),
        row("a further instance's id", twice(), Some("qwen/qwen3-8b:2"), Ok("qwen/qwen3-8b:2")),
        row("a bare key with several instances", twice(), Some(QWEN), Ok(QWEN)),
        row("a key loaded under another id", alias(), Some(QWEN), Ok("my-model")),
        row("that id", alias(), Some("my-model"), Ok("my-model")),
        row("another case", one(), Some("Qwen/QWEN3-8b"), Ok(QWEN)),
        row("a variant of a loaded key", one(), Some("qwen/qwen3-8b@q8_0"), Ok(QWEN)),
        row("downloaded, with JIT", none(), Some(QWEN), Ok(QWEN)),
        row("downloaded in another case, with JIT", none(), Some("QWEN/qwen3-8b"), Ok(QWEN)),
        row("downloaded, another loaded", one(), Some(GPT), Ok(GPT)),
        row("downloaded, without JIT, another loaded", without_jit(one()), Some(GPT), Ok(QWEN)),
        row("unknown, one loaded", one(), Some("acme/nope"), Ok(QWEN)),
        row("unknown, two loaded", two(), Some("acme/nope"), Err(INVALID)),
        row("unknown, none loaded, with JIT", none(), Some("acme/nope"), Err(INVALID)),
        row("unknown, one and an embedder", one().loaded(EMBEDDER), Some("acme/nope"), Ok(QWEN)),
        row(
            "unknown, one loaded, fallback off",
            one().server(|server| server.fallback_single_model = false),
            Some("acme/nope"),
            Err(INVALID),
        ),
        row("missing, one loaded", one(), None, Ok(QWEN)),
        row("missing, several loaded", two(), None, Err("Multiple models are loaded.")),
        row("missing, none loaded", none(), None, Err(nothing)),
        row("nothing loaded, without JIT", without_jit(none()), Some(QWEN), Err(nothing)),
        row("unknown, nothing loaded, without JIT", without_jit(none()), Some("acme/nope"), Err(nothing)),
        row("an embedding model", one(), Some(EMBEDDER), Err(nothing)),
        row(
            "a load without room",
            none().memory_gb(1.0),
            Some(QWEN),
            Err("Failed to load model \"qwen/qwen3-8b\". "),
        ),
    ]
}

#[tokio::test]
async fn every_row_of_the_resolution_table() {
    for Row { what, config, name, expected } in table() {
        let stage = Stage::set(config).await;
        let mut body = json!({ "messages": [{ "role": "user", "content": "hi" }] });
        if let Some(name) = name {
            body["model"] = json!(name);
        }
        let answer = stage.chat(&body).await;
        match expected {
            Ok(id) => {
                assert_eq!(answer.status, 200, "{what}: {}", answer.text);
                assert_eq!(answer.json()["model"], id, "{what}");
                assert_eq!(answer.json()["system_fingerprint"], id, "{what}");
                assert!(answer.content().starts_with(&format!("[{id}] ")), "{what}");
            }
            Err(message) => {
                assert_eq!(answer.status, 400, "{what}: {}", answer.text);
                let error = &answer.json()["error"];
                assert!(answer.error().starts_with(message), "{what}: {}", answer.text);
                assert_eq!(
                    (&error["type"], &error["param"]),
                    (&json!("invalid_request_error"), &json!("model"))
                );
                let coded = message == INVALID || message.starts_with("Multiple");
                let code = if coded { json!("model_not_found") } else { Value::Null };
                assert_eq!(error["code"], code, "{what}");
            }
        }
    }
}

#[tokio::test]
async fn the_compatible_list_depends_on_jit() {
    let ids = |answer: Answer| -> Vec<String> {
        let json = answer.json();
        assert_eq!(keys(&json), ["data", "object"]);
        let data = json["data"].as_array().unwrap();
        data.iter().map(|it| it["id"].as_str().unwrap().to_owned()).collect()
    };
    let stage = Stage::set(Config::default().loaded(QWEN).loaded(QWEN)).await;
    let all = ids(stage.get("/v1/models").await);
    assert_eq!((all.len(), all.last().map(String::as_str)), (7, Some("qwen/qwen3-8b:2")));
    stage.emulator.change(|server| server.jit = false);
    assert_eq!(ids(stage.get("/v1/models").await), [QWEN, "qwen/qwen3-8b:2"]);
}
