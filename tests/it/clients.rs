//! Real clients: OpenAI's SDK for Python through a swap, through errors, and by its streaming helper.

#![cfg(test)]

use std::path::Path;
use std::process::Command;

use lmstudio_emulator::Fault;
use lmstudio_emulator::fault::Kind;
use pointsman_tests::tools;
use pointsman_tests::world::{GENERAL, SPECIALIST, World, lmstudio};
use serde_json::{Value, json};

/// Runs one function of the script, with what it is to ask, against the gateway; what it prints is JSON.
pub(crate) async fn python(gateway: &str, function: &str, asked: &Value) -> Value {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/openai_sdk.py");
    let url = format!("{gateway}/v1");
    let (function, asked) = (function.to_owned(), asked.to_string());
    let run = move || {
        let mut python = Command::new(tools::openai_python());
        python
            .arg(script)
            .arg(function)
            .arg(asked)
            .env("OPENAI_BASE_URL", url)
            .env("OPENAI_API_KEY", "sk-local");
        for proxy in ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"] {
            python.env_remove(proxy);
        }
        tools::run(&mut python)
    };
    let output = tokio::task::spawn_blocking(run).await.unwrap().unwrap();
    serde_json::from_slice(&output.stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn openais_sdk_streams_through_a_swap() {
    if tools::is_skipped("openai-python") {
        return;
    }
    for grace in ["10s", "0s"] {
        let world = World::configured(lmstudio(), &format!("[limits]\nstream_grace = \"{grace}\"\n")).await;
        let seen = python(&world.gateway.url(), "translate", &Value::Null).await;
        assert_eq!(seen["streamed"], format!("[{SPECIALIST}] Wo ist der Bahnhof?"), "{seen}");
        assert_eq!(seen["helper"], format!("[{SPECIALIST}] Wo ist der Bahnhof?"), "{seen}");
        assert_eq!(seen["whole"], format!("[{SPECIALIST}] Wo ist der Bahnhof?"), "{seen}");
        assert_eq!((&seen["finish"], &seen["helper_finish"]), (&json!("stop"), &json!("stop")), "{seen}");
        assert!(seen["tokens"].as_u64().unwrap() > 0, "{seen}");
        assert_eq!(seen["models"][0], "auto");
        world.resting_on(GENERAL).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn openais_sdk_raises_errors() {
    if tools::is_skipped("openai-python") {
        return;
    }
    let broken = || Fault::once(Kind::CutStream { after_chunks: 3, ending: Default::default() });
    let world = World::start(lmstudio().fault(broken()).fault(broken())).await;
    let seen = python(&world.gateway.url(), "errors", &Value::Null).await;
    for way in ["streamed", "helper"] {
        assert_eq!(seen[way]["error"], "APIError", "{seen}");
        assert!(seen[way]["message"].as_str().unwrap().contains("terminator"), "{seen}");
        assert!(seen[way]["text"].as_str().unwrap().starts_with(&format!("[{GENERAL}]")), "{seen}");
    }
    assert_eq!(seen["unknown"], json!({"error": "NotFoundError", "code": "model_not_found"}));
}
