//! Against an emulated LM Studio, new and old, and small servers that say what each kind says of itself.

use axum::routing::get;
use axum::{Json, Router};
use lmstudio_emulator::{Config as LmStudio, Emulator};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::super::finding::{Finding, Level};
use super::super::provider::judge;
use super::super::tests::at_device;
use super::*;
use crate::config::{Config, Overrides};

/// Answers each path with a fixed document, and every other with 404.
async fn saying<const N: usize>(answers: [(&'static str, Value); N]) -> (String, JoinSet<()>) {
    let router = answers.into_iter().fold(Router::new(), |router, (path, answer)| {
        router.route(path, get(async move || Json(answer.clone())))
    });
    let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", socket.local_addr().unwrap());
    let mut serving = JoinSet::new();
    serving.spawn(async move { axum::serve(socket, router).await.unwrap() });
    (url, serving)
}

/// What answers at `url`, with these lines in the provider's table, and what it means.
async fn asked(url: &str, provider: &str) -> (Probed, Vec<Finding>) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("pointsman.toml");
    std::fs::write(&file, format!("[providers.p]\nurl = \"{url}\"\n{provider}\n")).unwrap();
    let config = Config::load(Some(&file), &Overrides::default()).unwrap();
    let configured = Configured::all(&config).next().unwrap();
    let probed = probe(&configured).await.unwrap();
    let findings = judge(&configured, &probed);
    (probed, findings)
}

fn facts_of(probed: Probed) -> Facts {
    match probed {
        Probed::Server(facts) => facts,
        other => panic!("{other:?}"),
    }
}

fn levels(findings: &[Finding]) -> Vec<Level> {
    findings.iter().map(|finding| finding.level).collect()
}

#[tokio::test]
async fn lm_studio_is_known_with_its_models_and_its_settings() {
    let emulator = Emulator::start(LmStudio::default().loaded("openai/gpt-oss-20b")).await.unwrap();
    let url = emulator.url();
    for kind in ["", "kind = \"lmstudio\""] {
        emulator.change(|server| server.jit = true);
        let (probed, findings) = asked(&url, kind).await;
        let facts = facts_of(probed);
        assert!(facts.models.len() > 3 && facts.control == Control::Full);
        assert_eq!(facts.own, Own::LmStudio { lists_unloaded: Some(true) });
        assert_eq!(levels(&findings), [Level::Ok, Level::Warn], "{findings:?}");
        emulator.change(|server| server.jit = false);
        let (probed, findings) = asked(&url, kind).await;
        assert_eq!(facts_of(probed).own, Own::LmStudio { lists_unloaded: Some(false) });
        assert_eq!(levels(&findings), [Level::Ok], "{findings:?}");
    }
    emulator.stop().await;
    let (probed, findings) = asked(&url, "").await;
    assert!(matches!(&probed, Probed::Unreachable(why) if !why.contains("error sending")), "{probed:?}");
    assert_eq!(levels(&findings), [Level::Fail]);
}

#[tokio::test]
async fn an_lm_studio_without_version_one_is_old_whatever_it_says_of_paths_it_does_not_know() {
    for status in [200, 404] {
        let old = LmStudio::default().loaded("openai/gpt-oss-20b").server(|server| {
            server.native_v1 = false;
            server.unknown_v1_route_status = status;
        });
        let emulator = Emulator::start(old).await.unwrap();
        for kind in ["", "kind = \"lmstudio\""] {
            let (probed, findings) = asked(&emulator.url(), kind).await;
            let facts = facts_of(probed);
            assert_eq!((facts.kind, facts.control), (ServerKind::LmStudio, Control::ListOnly));
            assert_eq!(levels(&findings), [Level::Warn], "{findings:?}");
            assert!(findings[0].message.contains("neither be loaded nor unloaded"), "{findings:?}");
            assert!(findings[0].mend.as_ref().unwrap().contains("update LM Studio"), "{findings:?}");
        }
    }
}

#[tokio::test]
async fn a_token_that_is_wanted_is_asked_for() {
    let config = LmStudio::default().server(|server| server.auth_tokens = vec!["sk-1".to_owned()]);
    let emulator = Emulator::start(config).await.unwrap();
    for (key, expected) in [("", "wants an API token"), ("key = \"sk-2\"", "does not take")] {
        for kind in ["", "kind = \"lmstudio\""] {
            let (probed, findings) = asked(&emulator.url(), &format!("{key}\n{kind}")).await;
            assert_eq!(probed, Probed::Unauthorised);
            assert!(findings[0].message.contains(expected), "{findings:?}");
        }
    }
    let (probed, _) = asked(&emulator.url(), "key = \"sk-1\"").await;
    assert_eq!(facts_of(probed).kind, ServerKind::LmStudio);
}

#[tokio::test]
async fn a_router_says_what_it_was_started_with() {
    let entry = |id: &str, value: &str| {
        json!({"id": id, "object": "model", "context_length": 131_072,
            "architecture": {"input_modalities": ["text"], "output_modalities": ["text"]},
            "status": {"value": value, "args": ["-c", "32768"], "preset": format!("[{id}]\nstop-timeout = 20\n")}})
    };
    let list = json!({"object": "list", "data": [entry("a", "loaded"), entry("b", "unloaded")]});
    let props = json!({"role": "router", "max_instances": 1, "models_autoload": true});
    let (url, _serving) = saying([("/props", props), ("/v1/models", list)]).await;
    let (probed, findings) = asked(&url, "").await;
    let facts = facts_of(probed);
    assert_eq!((facts.kind, facts.control, facts.models.len()), (ServerKind::LlamaServer, Control::Full, 2));
    let settings = llama_server::Settings {
        models_max: Some(1),
        loads_for_requests: Some(true),
        stop_timeout: Some(Duration::from_secs(20)),
    };
    assert_eq!(facts.own, Own::LlamaServer(settings));
    assert_eq!(levels(&findings), [Level::Ok, Level::Warn, Level::Warn], "{findings:?}");
    let (_, findings) = asked(&url, "kind = \"ollama\"").await;
    assert_eq!(findings[0].level, Level::Fail, "{findings:?}");
    assert!(findings[0].message.contains("a llama-server"), "{findings:?}");
}

#[tokio::test]
async fn a_llama_server_of_one_model_is_told_from_a_router() {
    let list = json!({"object": "list", "data": [{"id": "a", "object": "model", "meta": {"n_ctx": 8192}}]});
    let props = json!({"default_generation_settings": {"n_ctx": 8192}, "total_slots": 1});
    let (url, _serving) = saying([("/props", props), ("/v1/models", list)]).await;
    let (probed, findings) = asked(&url, "kind = \"llama-server\"").await;
    let facts = facts_of(probed);
    assert_eq!((facts.kind, facts.control), (ServerKind::LlamaServer, Control::ListOnly));
    assert_eq!(levels(&findings), [Level::Ok], "{findings:?}");
}

#[tokio::test]
async fn ollama_is_known_and_told_of_its_variables() {
    let model = json!({"name": "llama3:8b", "size": 5, "digest": "d", "capabilities": ["completion"],
        "details": {"family": "llama", "context_length": 131_072}});
    let running = json!({"name": "llama3:8b", "expires_at": "2318-01-01T00:00:00Z", "context_length": 4096});
    let (url, _serving) = saying([
        ("/api/version", json!({"version": "0.34.3"})),
        ("/api/tags", json!({"models": [model]})),
        ("/api/ps", json!({"models": [running]})),
    ])
    .await;
    let (probed, findings) = asked(&url, "").await;
    let facts = facts_of(probed);
    assert_eq!((facts.kind, facts.models[0].instances.len()), (ServerKind::Ollama, 1));
    assert_eq!(levels(&findings), [Level::Ok; 4], "{findings:?}");
    let text = serde_json::to_string(&findings).unwrap();
    for part in ["OLLAMA_CONTEXT_LENGTH", "OLLAMA_MAX_LOADED_MODELS", "not protected"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let openai = at_device("kind = \"openai\"", "", |configured| judge(configured, &Probed::Server(facts)));
    assert!(openai[0].level == Level::Warn && openai[0].message.contains("neither loaded nor unloaded"));
}

#[tokio::test]
async fn any_other_is_listed_and_a_stranger_is_refused() {
    let list = json!({"object": "list", "data": [{"id": "m", "object": "model"}]});
    let (url, _serving) = saying([("/v1/models", list)]).await;
    let (probed, findings) = asked(&url, "kind = \"openai\"").await;
    assert_eq!((facts_of(probed).kind, levels(&findings)), (ServerKind::OpenAi, vec![Level::Ok]));
    let (_, findings) = asked(&url, "kind = \"lmstudio\"").await;
    assert_eq!(findings[0].level, Level::Fail, "{findings:?}");

    let (url, _serving) = saying([("/", json!("hello"))]).await;
    let (probed, findings) = asked(&url, "").await;
    assert!(matches!(probed, Probed::Unknown(_)), "{probed:?}");
    assert_eq!(levels(&findings), [Level::Fail]);
}
