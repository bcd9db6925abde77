//! Against servers that answer as LM Studio 0.3 does: version 0 only, and every other path with 200 or 404.

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};

use super::super::super::tests::{Stub, load_of, of};
use super::super::super::{Control, Error, Provider};
use super::super::LmStudio;
use super::*;
use crate::id::InstanceId;

fn list() -> Value {
    json!({"object": "list", "data": [
        {"id": "acme/otter-8b", "type": "llm", "state": "loaded", "max_context_length": 131_072,
         "loaded_context_length": 8192, "capabilities": ["tool_use"]},
        {"id": "acme/otter-8b:2", "type": "llm", "state": "loading", "max_context_length": 131_072},
        {"id": "acme/owl-vl-4b", "type": "vlm", "state": "not-loaded", "max_context_length": 32_768},
        {"id": "text-embedding-x", "type": "embeddings", "state": "not-loaded"},
        {"id": "nickname:7", "type": "llm", "state": "loaded"},
        {"id": 7},
    ]})
}

/// Wrong paths get this status and an error that is a bare string.
async fn start(status: u16) -> (Stub, LmStudio) {
    let wrong = async move || -> Response {
        let error = json!({"error": "Unexpected endpoint or method. (GET /api/v1/models)"});
        (StatusCode::from_u16(status).unwrap(), Json(error)).into_response()
    };
    let router = Router::new().route("/api/v0/models", get(async || Json(list()))).fallback(wrong);
    let stub = Stub::start(router).await;
    let provider = LmStudio::new("old", &stub.url, None, Locality::Local).unwrap();
    (stub, provider)
}

#[tokio::test]
async fn it_is_listed_and_nothing_more() {
    for status in [200, 404] {
        let (_stub, provider) = start(status).await;
        assert_eq!(provider.control(), Control::Full);
        let listed = provider.list().await.unwrap();
        assert_eq!(provider.control(), Control::ListOnly);
        let keys: Vec<&str> = listed.iter().map(|model| model.key.as_str()).collect();
        assert_eq!(keys, ["acme/otter-8b", "acme/owl-vl-4b", "text-embedding-x", "nickname:7"]);
        let otter = of(&listed, "acme/otter-8b");
        assert!(otter.tool_use && !otter.vision && otter.local);
        let instances: Vec<_> = otter
            .instances
            .iter()
            .map(|it| (it.id.as_str(), it.readiness, it.settings.context_length))
            .collect();
        let expected =
            [("acme/otter-8b", Readiness::Ready, Some(8192)), ("acme/otter-8b:2", Readiness::Loading, None)];
        assert_eq!(instances, expected);
        assert!(of(&listed, "acme/owl-vl-4b").vision && of(&listed, "acme/owl-vl-4b").instances.is_empty());
        assert_eq!(of(&listed, "text-embedding-x").kind, Kind::Embedding);

        let load = provider.load(load_of("acme/owl-vl-4b", None)).await.unwrap_err();
        let unload = provider.unload(InstanceId::new("acme/otter-8b")).await.unwrap_err();
        for error in [load, unload] {
            let said = error.to_string();
            assert!(matches!(error, Error::Unsupported(_)), "{said}");
            assert!(said.contains("update it to 0.4") && said.contains("[providers.old]"), "{said}");
        }
    }
}

#[tokio::test]
async fn a_server_with_neither_list_is_no_lm_studio() {
    let stub = Stub::saying([("/v1/models", json!({"data": []}))]).await;
    let provider = LmStudio::new("odd", &stub.url, None, Locality::Local).unwrap();
    let error = provider.list().await.unwrap_err();
    assert!(matches!(&error, Error::Unsupported(said) if said.contains("`kind`")), "{error}");
    assert_eq!(provider.control(), Control::Full);
}

#[tokio::test]
async fn an_update_is_noticed() {
    let list = json!({"models": [{"type": "llm", "key": "acme/otter-8b", "loaded_instances": []}]});
    let (old, provider) = start(200).await;
    provider.list().await.unwrap();
    let new = Stub::saying([("/api/v1/models", list)]).await;
    let provider = LmStudio {
        server: super::super::Server::new(&new.url, None, super::super::refusal).unwrap(),
        ..provider
    };
    provider.list().await.unwrap();
    assert_eq!(provider.control(), Control::Full);
    drop(old);
}
