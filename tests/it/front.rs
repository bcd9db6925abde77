//! The front: what is served, what is refused and how, before any model is asked.

#![cfg(test)]

use async_compression::tokio::write::{BrotliEncoder, GzipEncoder, ZlibEncoder, ZstdEncoder};
use lmstudio_emulator::fault::Route;
use pointsman_tests::guests;
use pointsman_tests::world::{Answer, GENERAL, World, lmstudio, says};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncWrite, AsyncWriteExt};

const CHAT: &str = "/v1/chat/completions";
const HELLO: &str = r#"{"model":"auto","messages":[{"role":"user","content":"hello"}]}"#;

/// A request, the status of its answer and the error's code.
type Case<'a> = (Method, &'a str, &'a [(&'a str, &'a str)], &'a [u8], u16, &'a str);

async fn call(world: &World, method: Method, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
    let mut request =
        world.http.request(method, format!("{}{path}", world.gateway.url())).body(body.to_vec());
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    Answer::read(request.send().await.unwrap()).await
}

fn code(answer: &Answer) -> String {
    let body: Value = serde_json::from_str(&answer.body).unwrap_or_default();
    body["error"]["code"].as_str().unwrap_or_default().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_and_health() {
    let world = World::start(lmstudio()).await;
    let get = |path: &'static str| call(&world, Method::GET, path, &[], b"");
    assert_eq!(get("/healthz").await.status, 200);
    assert_eq!(get("/readyz").await.status, 200);
    let listed: Value = serde_json::from_str(&get("/v1/models").await.body).unwrap();
    let ids: Vec<_> =
        listed["data"].as_array().unwrap().iter().map(|model| model["id"].as_str().unwrap()).collect();
    assert_eq!(ids[0], "auto");
    assert_eq!(ids.len(), 7, "{ids:?}");
    assert!(ids.contains(&GENERAL));
    assert_eq!(listed["data"][0]["input_modalities"], json!(["text", "image"]));
    assert_eq!(listed["data"][0]["context_length"], 131_072);
    let one: Value = serde_json::from_str(&get("/v1/models/openai/gpt-oss-20b").await.body).unwrap();
    assert_eq!((&one["id"], &one["loaded"]), (&json!(GENERAL), &json!(true)));
    assert_eq!(get("/v1/models/nobody").await.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_is_said() {
    let world = World::configured(lmstudio(), "[limits]\nbody_bytes_max = 20000\n").await;
    let unknown = r#"{"model":"nobody","messages":[{"role":"user","content":"hello"}]}"#;
    let long = vec![b' '; 20_001];
    let bomb = compressed(GzipEncoder::new(Vec::new()), &vec![b' '; 1_000_000]).await;
    let cases: [Case; 16] = [
        (Method::POST, CHAT, &[], unknown.as_bytes(), 404, "model_not_found"),
        (Method::GET, CHAT, &[], b"", 404, "not_found"),
        (Method::POST, "/v1/embeddings", &[], b"{}", 404, "not_found"),
        (Method::GET, "/v2", &[], b"", 404, "not_found"),
        (Method::POST, CHAT, &[], b"{\"model\":", 400, "invalid_request"),
        (Method::POST, CHAT, &[], b"[]", 400, "invalid_request"),
        (Method::POST, CHAT, &[], b"{\"model\":\"auto\"}", 400, "invalid_request"),
        (Method::POST, CHAT, &[], b"{\"messages\":[],\"x\":\"\xff\"}", 400, "invalid_request"),
        (Method::POST, CHAT, &[], &long, 413, "body_too_long"),
        (Method::POST, CHAT, &[("content-encoding", "gzip")], &bomb, 413, "body_too_long"),
        (Method::POST, CHAT, &[("content-encoding", "gzip")], HELLO.as_bytes(), 400, "invalid_request"),
        (
            Method::POST,
            CHAT,
            &[("content-encoding", "compress")],
            HELLO.as_bytes(),
            415,
            "unsupported_encoding",
        ),
        (
            Method::POST,
            CHAT,
            &[("content-type", "multipart/form-data; boundary=x")],
            b"--x--",
            415,
            "unsupported_media_type",
        ),
        (Method::POST, CHAT, &[("host", "evil.example")], HELLO.as_bytes(), 403, "host_not_allowed"),
        (
            Method::POST,
            CHAT,
            &[("origin", "https://evil.example")],
            HELLO.as_bytes(),
            403,
            "origin_not_allowed",
        ),
        (Method::GET, "/v1/models", &[("host", "evil.example")], b"", 403, "host_not_allowed"),
    ];
    for (method, path, headers, body, status, expected) in cases {
        let answer = call(&world, method.clone(), path, headers, body).await;
        assert_eq!(
            (answer.status, code(&answer).as_str()),
            (status, expected),
            "{method} {path} {headers:?} {answer:?}"
        );
        assert_eq!(answer.header("content-type"), "application/json");
    }
    let answer = call(&world, Method::POST, CHAT, &[], unknown.as_bytes()).await;
    assert!(answer.error().unwrap().contains(GENERAL), "known models are named: {answer:?}");
    let chunked =
        reqwest::Body::wrap_stream(futures_util::stream::iter([Ok::<_, std::io::Error>(long.clone())]));
    let sent = world.http.post(format!("{}{CHAT}", world.gateway.url())).body(chunked).send().await.unwrap();
    assert_eq!(sent.status(), 413);
    assert!(world.chats().is_empty(), "nothing of it reached a model");
}

async fn compressed(mut encoder: impl AsyncWrite + Unpin + Inner, body: &[u8]) -> Vec<u8> {
    encoder.write_all(body).await.unwrap();
    encoder.shutdown().await.unwrap();
    encoder.inner()
}

/// What an encoder wrote.
trait Inner {
    fn inner(self) -> Vec<u8>;
}

macro_rules! inner {
    ($($encoder:ident)*) => { $(impl Inner for $encoder<Vec<u8>> {
        fn inner(self) -> Vec<u8> { self.into_inner() }
    })* };
}

inner!(GzipEncoder ZstdEncoder BrotliEncoder ZlibEncoder);

#[tokio::test(flavor = "multi_thread")]
async fn compressed_bodies_are_taken() {
    let world = World::start(lmstudio()).await;
    let body = HELLO.as_bytes();
    let cases = [
        ("gzip", compressed(GzipEncoder::new(Vec::new()), body).await),
        ("zstd", compressed(ZstdEncoder::new(Vec::new()), body).await),
        ("br", compressed(BrotliEncoder::new(Vec::new()), body).await),
        ("deflate", compressed(ZlibEncoder::new(Vec::new()), body).await),
        ("identity", body.to_vec()),
    ];
    for (encoding, bytes) in cases {
        let answer = call(&world, Method::POST, CHAT, &[("content-encoding", encoding)], &bytes).await;
        assert_eq!(answer.text(), format!("[{GENERAL}] You wrote: hello"), "{encoding} {answer:?}");
        let seen = world.chats().pop().unwrap();
        assert_eq!(
            (seen.header("content-encoding"), seen.json()["model"].as_str()),
            (None, Some(GENERAL)),
            "{encoding}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_stay_on_their_side() {
    let mut server = lmstudio();
    server.server.auth_tokens = vec!["lm-token".to_owned()];
    let toml = "[keys]\nlaptop = \"secret\"\n[providers.lmstudio]\nurl = \"{url}\"\nkey = \"lm-token\"\n";
    let world = World::configured(server, toml).await;
    let wrong: [&[(&str, &str)]; 3] =
        [&[], &[("authorization", "Bearer wrong")], &[("authorization", "Bearer lm-token")]];
    for headers in wrong {
        for path in [CHAT, "/v1/models"] {
            let method = if path == CHAT { Method::POST } else { Method::GET };
            let refused = call(&world, method, path, headers, HELLO.as_bytes()).await;
            assert_eq!(
                (refused.status, code(&refused).as_str()),
                (401, "invalid_api_key"),
                "{headers:?} {path}"
            );
        }
    }
    assert!(world.chats().is_empty());
    assert_eq!(call(&world, Method::GET, "/healthz", &[], b"").await.status, 200);
    for headers in [
        [("authorization", "Bearer secret"), ("cookie", "c=1")],
        [("x-api-key", "secret"), ("te", "trailers")],
    ] {
        let answer = call(&world, Method::POST, CHAT, &headers, HELLO.as_bytes()).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let seen = world.chats().pop().unwrap();
        assert_eq!(seen.header("authorization"), Some("Bearer lm-token"));
        let all = format!("{:?} {:?}", seen.headers, seen.body);
        assert!(!all.contains("secret") && !all.contains("c=1") && !all.contains("trailers"), "{all}");
    }
    for request in world.lmstudio.requests() {
        assert_eq!(request.header("authorization"), Some("Bearer lm-token"), "{}", request.path);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_went_round_is_refused() {
    let world = World::start(lmstudio()).await;
    assert_eq!(call(&world, Method::POST, CHAT, &[], HELLO.as_bytes()).await.status, 200);
    let hop = world.chats().pop().unwrap().header("x-pointsman-hop").unwrap().to_owned();
    let refused = call(&world, Method::POST, CHAT, &[("x-pointsman-hop", &hop)], HELLO.as_bytes()).await;
    assert_eq!((refused.status, code(&refused).as_str()), (508, "loop"), "{refused:?}");
    let others = call(&world, Method::POST, CHAT, &[("x-pointsman-hop", "another")], HELLO.as_bytes()).await;
    assert_eq!(others.status, 200, "another gateway may stand before this one");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_not_streamed_passes_whole() {
    let world = World::start(lmstudio()).await;
    let answer = call(&world, Method::POST, CHAT, &[], HELLO.as_bytes()).await;
    let body: Value = serde_json::from_str(&answer.body).unwrap();
    assert_eq!(body["choices"][0]["message"]["content"], format!("[{GENERAL}] You wrote: hello"));
    assert_eq!(body["model"], GENERAL);
    assert!(body["usage"]["total_tokens"].as_u64().unwrap() > 0 && body.get("stats").is_some(), "{body}");
    assert!(answer.header("content-type").starts_with("application/json"));
    assert_eq!(answer.header("x-pointsman-model"), format!("lmstudio/{GENERAL}"));
    assert_eq!(answer.header("x-powered-by"), "", "the provider's own dress stays behind");
    let record = world.record(&answer).await;
    assert_eq!(record.completion_tokens.map(u64::from), body["usage"]["completion_tokens"].as_u64());

    let mut body = says("Translate into German: Good morning.");
    body["stream"] = json!(false);
    let translated = world.ask("t", &body).await;
    assert!(translated.text().ends_with("Guten Morgen."), "{translated:?}");
    world.resting_on(GENERAL).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_skill_answers_or_refuses_in_the_shape_of_the_protocol() {
    let world = World::with_skills(lmstudio(), "", &[("speaks.wasm", guests::guest("speaks"))]).await;
    for streamed in [true, false] {
        let mut body = says("say Grüße,\nWorld");
        body["stream"] = json!(streamed);
        let reply = world.ask("s", &body).await;
        assert_eq!((reply.status, reply.text().as_str()), (200, "Grüße,\nWorld"), "{reply:?}");
        assert_eq!(
            (reply.header("x-pointsman-skill"), reply.is_terminated()),
            ("speaks", streamed),
            "{reply:?}"
        );
        let kind = if streamed { "text/event-stream" } else { "application/json" };
        assert_eq!(reply.header("content-type"), kind);
        assert_eq!(reply.body.matches("\"finish_reason\":\"stop\"").count(), 1);

        body["messages"][0]["content"] = json!("refuse not today");
        let refused = world.ask("s", &body).await;
        assert_eq!(refused.status, 451, "{refused:?}");
        let error: Value = serde_json::from_str(&refused.body).unwrap();
        assert_eq!(error["error"]["source"], "skill");
        assert_eq!(error["error"]["message"], "speaks: not today");
        assert_eq!(error["error"]["type"], "invalid_request_error");
        assert_eq!(world.record(&refused).await.skill.as_deref(), Some("speaks"));
    }
    let reached = world.lmstudio.requests().iter().filter(|seen| seen.route == Route::Chat).count();
    assert_eq!(reached, 0);
}
