//! What all providers share, against small servers that say what the test wants; and the servers themselves, which the
//! tests of each provider use too.

use axum::Json;
use axum::Router;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::*;
use crate::id::ModelId;

/// A server on a port of its own; it ends when this is dropped.
pub(super) struct Stub {
    pub(super) url: String,
    _serving: JoinSet<()>,
}

impl Stub {
    pub(super) async fn start(router: Router) -> Self {
        let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", socket.local_addr().unwrap());
        let mut serving = JoinSet::new();
        serving.spawn(async move { axum::serve(socket, router).await.unwrap() });
        Self { url, _serving: serving }
    }

    /// Answers each path with a fixed document, and every other with 404 and an empty body.
    pub(super) async fn saying(answers: impl IntoIterator<Item = (&'static str, Value)>) -> Self {
        let router = answers.into_iter().fold(Router::new(), |router, (path, answer)| {
            router.route(path, get(async move || Json(answer.clone())))
        });
        Self::start(router).await
    }
}

/// An error as Ollama and LM Studio write it, or as an object.
pub(super) fn refuse(status: u16, error: impl Into<Value>) -> Response {
    (StatusCode::from_u16(status).unwrap(), Json(json!({"error": error.into()}))).into_response()
}

pub(super) fn load_of(key: &str, context_length: Option<u32>) -> LoadRequest {
    let settings = Settings { context_length, ..Settings::default() };
    LoadRequest { model: ModelId::of("p", key), settings }
}

/// The entry of a list.
pub(super) fn of<'a>(listed: &'a [Listed], key: &str) -> &'a Listed {
    listed.iter().find(|model| model.key == key).unwrap_or_else(|| panic!("{key} is not listed: {listed:?}"))
}

fn list_of_one() -> Value {
    json!({"object": "list", "data": [{"id": "m", "object": "model"}]})
}

#[tokio::test]
async fn each_kind_of_server_is_known_by_what_only_it_says() {
    let router = json!({"role": "router", "default_generation_settings": {"n_ctx": 0}});
    let single = json!({"default_generation_settings": {"n_ctx": 4096}, "total_slots": 4});
    let tags = json!({"models": []});
    let cases = [
        (vec![("/lmstudio-greeting", json!({"lmstudio": true}))], Some(ServerKind::LmStudio)),
        (vec![("/api/v1/models", json!({"models": []}))], Some(ServerKind::LmStudio)),
        (vec![("/props", router), ("/v1/models", list_of_one())], Some(ServerKind::LlamaServer)),
        (
            vec![("/props", single), ("/api/tags", tags.clone()), ("/v1/models", list_of_one())],
            Some(ServerKind::LlamaServer),
        ),
        (
            vec![
                ("/api/version", json!({"version": "0.34.3"})),
                ("/api/tags", tags),
                ("/v1/models", list_of_one()),
            ],
            Some(ServerKind::Ollama),
        ),
        // A proxy with a version of its own is no Ollama.
        (
            vec![("/api/version", json!({"version": "v1"})), ("/v1/models", list_of_one())],
            Some(ServerKind::OpenAi),
        ),
        // Another server's list where LM Studio has its own.
        (vec![("/api/v1/models", list_of_one()), ("/v1/models", list_of_one())], Some(ServerKind::OpenAi)),
        (vec![("/", json!("a web site"))], None),
    ];
    for (answers, kind) in cases {
        let paths: Vec<_> = answers.iter().map(|(path, _)| *path).collect();
        let stub = Stub::saying(answers).await;
        for suffix in ["", "/", "/v1"] {
            let detected = detect(&format!("{}{suffix}", stub.url), None).await;
            match kind {
                Some(kind) => assert_eq!(detected, Ok(kind), "{paths:?}"),
                None => assert!(matches!(detected, Err(Error::Unsupported(_))), "{detected:?}"),
            }
        }
    }
}

#[tokio::test]
async fn a_path_before_v1_belongs_to_a_compatible_server() {
    let stub = Stub::saying([("/openai/v1/models", list_of_one())]).await;
    assert_eq!(detect(&format!("{}/openai/v1", stub.url), None).await, Ok(ServerKind::OpenAi));
}

#[tokio::test]
async fn an_old_lm_studio_answers_every_path_and_is_known_by_its_greeting() {
    let wrong = async || Json(json!({"error": "Unexpected endpoint or method. (GET /x)"}));
    let greeting = get(async || Json(json!({"lmstudio": true})));
    let stub = Stub::start(Router::new().route("/lmstudio-greeting", greeting).fallback(wrong)).await;
    assert_eq!(detect(&stub.url, None).await, Ok(ServerKind::LmStudio));
    let stub = Stub::start(Router::new().fallback(wrong)).await;
    assert!(matches!(detect(&stub.url, None).await, Err(Error::Unsupported(_))));
}

#[tokio::test]
async fn a_server_that_wants_a_key_is_known_where_it_can_be() {
    let locked = |message: &'static str| async move || refuse(401, message);
    let stub = Stub::start(Router::new().fallback(locked("Invalid API Key"))).await;
    let error = detect(&stub.url, Some("sk-secret")).await.unwrap_err();
    assert_eq!(error, Error::Unauthorised("Invalid API Key".to_owned()));
    let stub = Stub::start(Router::new().fallback(locked("An LM Studio API token is required"))).await;
    assert_eq!(detect(&stub.url, None).await, Ok(ServerKind::LmStudio));
    let cloud = Router::new().route("/v1/models", get(locked("You didn't provide an API key")));
    assert_eq!(detect(&Stub::start(cloud).await.url, None).await, Ok(ServerKind::OpenAi));
}

#[tokio::test]
async fn a_llama_server_that_still_loads_its_model_is_one_already() {
    let loading = json!({"message": "Loading model", "type": "unavailable_error", "code": 503});
    let stub = Stub::start(Router::new().fallback(async move || refuse(503, loading.clone()))).await;
    assert_eq!(detect(&stub.url, None).await, Ok(ServerKind::LlamaServer));
    let provider = llama_server::LlamaServer::new("p", &stub.url, None, Locality::Local).unwrap();
    let error = provider.list().await.unwrap_err();
    assert_eq!(error, Error::Refused { status: 503, message: "Loading model".to_owned() });
}

#[tokio::test]
async fn nobody_there_is_told_at_once() {
    let url = {
        let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
        format!("http://{}", socket.local_addr().unwrap())
    };
    assert!(matches!(detect(&url, None).await, Err(Error::Unreachable(_))));
}

#[tokio::test]
async fn a_key_goes_into_its_header_and_never_into_an_error() {
    let echo = async |headers: HeaderMap| {
        let said = headers.get("authorization").map(|it| it.to_str().unwrap().to_owned());
        refuse(401, format!("wrong key {}", said.unwrap_or_default()))
    };
    let stub = Stub::start(Router::new().fallback(echo)).await;
    let key = || Some("sk-secret-7".to_owned());
    let providers: [Box<dyn Provider>; 4] = [
        Box::new(lmstudio::LmStudio::new("p", &stub.url, key(), Locality::Local).unwrap()),
        Box::new(llama_server::LlamaServer::new("p", &stub.url, key(), Locality::Local).unwrap()),
        Box::new(ollama::Ollama::new("p", &stub.url, key(), Locality::Local).unwrap()),
        Box::new(openai::OpenAi::new("p", &stub.url, key(), Locality::Local).unwrap()),
    ];
    for provider in providers {
        let error = provider.list().await.unwrap_err();
        assert_eq!(error, Error::Unauthorised("wrong key Bearer …".to_owned()));
        assert!(!error.is_transient() && !error.is_uncertain());
    }
    let detected = detect(&stub.url, Some("sk-secret-7")).await.unwrap_err();
    assert!(!detected.to_string().contains("secret"), "{detected}");
    let provider = openai::OpenAi::new("p", &stub.url, key(), Locality::Local).unwrap();
    assert!(!format!("{provider:?}").contains("secret"));
}

#[tokio::test]
async fn an_endless_answer_is_not_read_to_its_end() {
    let endless = async || {
        let chunks = futures_util::stream::repeat_with(|| Ok::<_, std::io::Error>(vec![b' '; 64 * 1024]));
        axum::body::Body::from_stream(chunks)
    };
    let stub = Stub::start(Router::new().fallback(endless)).await;
    let provider = openai::OpenAi::new("p", &stub.url, None, Locality::Local).unwrap();
    assert!(matches!(provider.list().await, Err(Error::Malformed(_))));
}

#[test]
fn roots_are_found_in_addresses() {
    type Root = fn(&str) -> &str;
    let cases: [(Root, &str, &str); 8] = [
        (lmstudio::root, "http://h:1/api/v1/", "http://h:1"),
        (openai::root, " http://h:1/v1/ ", "http://h:1"),
        (openai::root, "http://h:1/api", "http://h:1/api"),
        (lmstudio::root, "http://h:1/v1", "http://h:1"),
        (lmstudio::root, "http://h:1/api/", "http://h:1"),
        (openai::root, "https://openrouter.ai/api/v1", "https://openrouter.ai/api"),
        (openai::root, "https://api.groq.com/openai/v1/", "https://api.groq.com/openai"),
        (openai::root, "http://h:1", "http://h:1"),
    ];
    for (root, url, expected) in cases {
        assert_eq!(root(url), expected, "{url}");
    }
}
