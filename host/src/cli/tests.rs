//! The command line and the admin API against a real gateway in front of an emulated LM Studio, through real sockets.

use std::io::Write;
use std::sync::{Arc, Mutex};

use serde_json::Value;

use super::args::{Global, Models};
use super::demo::stage::{Pace, RESIDENT, Stage};
use super::demo::talk::Conversation;
use super::output::{Format, Output};
use super::{Success, demo, doctor, models, why};
use crate::admin::{PREFIX, SIGNATURE_HEADER, TOKEN_FILE};

/// What was printed.
#[derive(Clone, Default)]
struct Paper(Arc<Mutex<Vec<u8>>>);

impl Write for Paper {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Paper {
    fn output(&self, format: Format) -> Output {
        Output::to(format, self.clone())
    }

    fn text(&self) -> String {
        String::from_utf8(std::mem::take(&mut *self.0.lock().unwrap())).unwrap()
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.text()).unwrap()
    }
}

/// The options that name the stage's gateway.
fn global(stage: &Stage) -> Global {
    let data_dir = Some(stage.data_dir().to_path_buf());
    Global { url: Some(stage.gateway.url()), data_dir, json: false }
}

/// Asks the admin API: status and body.
async fn ask(
    stage: &Stage,
    method: &str,
    path: &str,
    token: Option<&str>,
    body: &'static str,
) -> (u16, Value) {
    let url = format!("{}{PREFIX}/{path}", stage.gateway.url());
    let mut request = stage.http.request(method.parse().unwrap(), url).body(body);
    if let Some(token) = token {
        request = request.bearer_auth(token);
    }
    let response = request.send().await.unwrap();
    assert_eq!(response.headers()["content-type"], "application/json", "{method} {path}");
    let status = response.status().as_u16();
    (status, serde_json::from_slice(&response.bytes().await.unwrap()).unwrap())
}

#[tokio::test]
async fn the_admin_api_opens_to_its_token_alone() {
    let stage = Stage::open(Pace::AtOnce).await.unwrap();
    let file = std::fs::read_to_string(stage.data_dir().join(TOKEN_FILE)).unwrap();
    assert_eq!(file.trim(), stage.gateway.admin_token());
    for token in [None, Some("wrong"), Some("")] {
        for path in ["status", "no/such/path", "models/load"] {
            let (status, body) = ask(&stage, "GET", path, token, "").await;
            let message = body["error"]["message"].as_str().unwrap();
            assert!(status == 401 && message.contains(TOKEN_FILE), "{path}: {status} {message}");
        }
    }
    let (status, body) = ask(&stage, "GET", "status", Some(stage.gateway.admin_token()), "").await;
    assert_eq!((status, body["version"].as_str()), (200, Some(env!("CARGO_PKG_VERSION"))));
    assert_eq!(body["providers"][0]["state"], "up");
    assert_eq!(body["providers"][0]["url"].as_str(), Some(stage.lmstudio.url().as_str()));
    assert_eq!(body["skills"][0]["state"], "active");
    stage.close().await;
}

#[tokio::test]
async fn what_cannot_be_is_refused_with_a_reason() {
    let stage = Stage::open(Pace::AtOnce).await.unwrap();
    let token = Some(stage.gateway.admin_token());
    let cases = [
        ("GET", "nowhere", "", 404, "not_found", "models/load"),
        ("GET", "models/load", "", 405, "method_not_allowed", "POST"),
        ("POST", "models/load", "{", 400, "invalid_request", "body"),
        (
            "POST",
            "models/load",
            r#"{"model":"x","contextlength":1}"#,
            400,
            "invalid_request",
            "contextlength",
        ),
        ("POST", "models/load", r#"{"model":"x","context_length":0}"#, 400, "invalid_request", "nonzero"),
        ("POST", "models/load", r#"{"model":"nobody"}"#, 404, "model_not_found", "gpt-oss-20b"),
        ("POST", "models/unload", r#"{"model":"nobody"}"#, 404, "model_not_found", "gpt-oss-20b"),
        ("GET", "requests/latest", "", 404, "request_not_found", "no request has come"),
        ("GET", "requests/r0", "", 404, "request_not_found", "x-pointsman-request"),
        ("GET", "requests?limit=many", "", 400, "invalid_request", "limit"),
        ("GET", "skills/nobody", "", 404, "skill_not_found", "pointsman skill list"),
        ("POST", "skills/nobody/enable", "", 404, "skill_not_found", "pointsman skill list"),
        ("POST", "skills/nobody/teach", "", 404, "not_found", "skills/NAME/enable"),
        (
            "POST",
            "skills/model-swapper/grant",
            r#"{"grants":["http"]}"#,
            400,
            "invalid_request",
            "needs a host",
        ),
        ("POST", "skills/model-swapper/grant", r#"{"rights":[]}"#, 400, "invalid_request", "rights"),
        (
            "POST",
            "skills/model-swapper/approve",
            "",
            409,
            "not_possible",
            "no version of model-swapper waits",
        ),
        ("DELETE", "skills/model-swapper", "", 409, "not_possible", "ships with the gateway"),
        ("POST", "skills/look", "x", 400, "invalid_request", "`name`"),
        ("POST", "skills/look?name=x", "x", 422, "invalid_component", "is not WebAssembly"),
        ("POST", "skills/look?name=X", "x", 400, "invalid_name", "no name of a skill"),
        ("PUT", "skills/x?grant=all", "x", 400, "invalid_request", "unknown grant"),
        ("PUT", "skills/x?force=perhaps", "x", 400, "invalid_request", "`force`"),
        ("PUT", "skills/x?colour=red", "x", 400, "invalid_request", "`colour`"),
        ("PUT", "skills/look", "x", 405, "method_not_allowed", "PUT"),
        ("POST", "skills/trust", r#"{"signer":"a","key":"b"}"#, 400, "invalid_request", "ed25519:"),
        ("DELETE", "skills/trust/nobody", "", 404, "signer_not_found", "pointsman skill trust"),
        ("GET", "sessions/nobody", "", 404, "session_not_found", "pointsman sessions list"),
        ("DELETE", "sessions/nobody", "", 404, "session_not_found", "pointsman sessions list"),
        ("POST", "use", r#"{"model":"nobody"}"#, 404, "model_not_found", "gpt-oss-20b"),
        ("POST", "use", r#"{"modell":"x"}"#, 400, "invalid_request", "modell"),
    ];
    for (method, path, body, status, code, part) in cases {
        let (got, said) = ask(&stage, method, path, token, body).await;
        let message = said["error"]["message"].as_str().unwrap();
        assert_eq!((got, said["error"]["code"].as_str()), (status, Some(code)), "{path} {body}: {message}");
        assert!(message.contains(part), "{path} {body}: {message}");
    }
    stage.close().await;
}

#[tokio::test]
async fn a_component_may_be_big_and_nothing_else() {
    let stage = Stage::open(Pace::AtOnce).await.unwrap();
    let big: &'static str = "x".repeat(100_000).leak();
    let token = Some(stage.gateway.admin_token());
    for (method, path) in [("POST", "skills/look?name=x"), ("PUT", "skills/x")] {
        let (status, said) = ask(&stage, method, path, token, big).await;
        assert_eq!(
            (status, said["error"]["code"].as_str()),
            (422, Some("invalid_component")),
            "{path}: {said}"
        );
    }
    let url = format!("{}{PREFIX}/skills/x/grant", stage.gateway.url());
    let sent = stage.http.post(url).bearer_auth(stage.gateway.admin_token()).body(big).send().await.unwrap();
    assert_eq!(sent.status().as_u16(), 413);
    stage.close().await;
}

#[tokio::test]
async fn a_signature_that_is_none_is_refused() {
    let stage = Stage::open(Pace::AtOnce).await.unwrap();
    let url = format!("{}{PREFIX}/skills/x", stage.gateway.url());
    for header in ["%%%", "bm9uc2Vuc2U="] {
        let request = stage.http.put(&url).bearer_auth(stage.gateway.admin_token()).body("x");
        let response = request.header(SIGNATURE_HEADER, header).send().await.unwrap();
        let said: Value = serde_json::from_slice(&response.bytes().await.unwrap()).unwrap();
        assert!(said["error"]["message"].as_str().unwrap().contains(SIGNATURE_HEADER), "{header}: {said}");
    }
    stage.close().await;
}

#[tokio::test]
async fn models_are_listed_loaded_and_unloaded_for_a_person() {
    let stage = Stage::open(Pace::AtOnce).await.unwrap();
    let (global, paper) = (global(&stage), Paper::default());
    let list = async || {
        models::run(&global, Models::List, &mut paper.output(Format::Text)).await.unwrap();
        paper.text()
    };
    let text = list().await;
    assert!(text.contains("lmstudio/openai/gpt-oss-20b") && text.contains("ready 32768 tokens"), "{text}");
    let context_length = std::num::NonZeroU32::new(8_192);
    let load = Models::Load { model: "qwen3-8b".to_owned(), context_length, pin: true };
    models::run(&global, load, &mut paper.output(Format::Json)).await.unwrap();
    let wished = paper.json();
    assert_eq!(
        (wished["standing"].as_str(), wished["model"].as_str()),
        (Some("done"), Some("lmstudio/qwen/qwen3-8b"))
    );
    assert_eq!(wished["instances"][0]["context_length"], 8_192);
    let resident: Vec<_> = stage.lmstudio.resident().iter().map(|it| it.key.to_string()).collect();
    assert_eq!(resident, ["qwen/qwen3-8b"]);
    let (_, residency) = ask(&stage, "GET", "residency", Some(stage.gateway.admin_token()), "").await;
    assert_eq!(residency["instances"][0]["pinned"], true);
    assert_eq!(residency["baseline"][0]["model"], "lmstudio/qwen/qwen3-8b");

    let unload = Models::Unload { model: "qwen3".to_owned() };
    models::run(&global, unload, &mut paper.output(Format::Text)).await.unwrap();
    assert!(paper.text().contains("is unloaded"));
    assert!(stage.lmstudio.resident().is_empty());
    let nobody = Models::Unload { model: "nobody".to_owned() };
    let error = models::run(&global, nobody, &mut paper.output(Format::Text)).await.unwrap_err();
    assert!(error.to_string().contains("known are"), "{error}");
    stage.close().await;
}

#[tokio::test]
async fn why_tells_the_newest_request_or_the_one_named() {
    let stage = Stage::open(Pace::AtOnce).await.unwrap();
    let (global, paper) = (global(&stage), Paper::default());
    let mut talk = Conversation::new(stage.http.clone(), &stage.gateway.url(), "s", RESIDENT);
    let first = talk.ask("Hello there", None).await.unwrap();
    let second = talk.ask("Translate into German: Good morning.", None).await.unwrap();
    assert!(first.is_whole && second.text.contains("Guten Morgen"), "{second:?}");
    let (_, body) = ask(&stage, "GET", "requests?limit=1", Some(stage.gateway.admin_token()), "").await;
    assert_eq!(body["requests"].as_array().unwrap().len(), 1);

    why::run(&global, None, &mut paper.output(Format::Text)).await.unwrap();
    let text = paper.text();
    assert!(text.starts_with("model-swapper: translate") && text.contains(&second.request), "{text}");
    assert!(text.contains("decided") && text.contains("loaded"), "{text}");
    why::run(&global, Some(&first.request), &mut paper.output(Format::Json)).await.unwrap();
    let record = paper.json();
    assert_eq!(record["request"].as_str(), Some(first.request.as_str()));
    assert_eq!(record["model"].as_str(), Some("lmstudio/openai/gpt-oss-20b"));
    let error = why::run(&global, Some("r0"), &mut paper.output(Format::Text)).await.unwrap_err();
    assert!(error.to_string().contains("no request \"r0\""), "{error}");
    stage.close().await;
}

#[tokio::test]
async fn without_a_gateway_commands_say_how_to_start_one() {
    let stage = Stage::open(Pace::AtOnce).await.unwrap();
    let (global, paper) = (global(&stage), Paper::default());
    let elsewhere = Global { data_dir: Some("/nowhere".into()), ..global.clone() };
    let error = why::run(&elsewhere, None, &mut paper.output(Format::Text)).await.unwrap_err().to_string();
    assert!(error.contains("--data-dir"), "{error}");
    let folder = stage.close_and_keep().await;
    for global in [global, elsewhere] {
        let error = why::run(&global, None, &mut paper.output(Format::Text)).await.unwrap_err().to_string();
        assert!(error.contains("no gateway answers") && error.contains("pointsman serve"), "{error}");
    }
    drop(folder);
}

#[tokio::test]
async fn the_doctor_works_with_and_without_a_gateway() {
    let stage = Stage::open(Pace::AtOnce).await.unwrap();
    let (global, paper) = (global(&stage), Paper::default());
    let config = stage.data_dir().join("pointsman.toml");
    let text =
        format!("listen = \"127.0.0.1:0\"\n[providers.lmstudio]\nurl = \"{}\"\n", stage.lmstudio.url());
    std::fs::write(&config, text).unwrap();
    let success = doctor::run(&global, Some(&config), &mut paper.output(Format::Text)).await.unwrap();
    let text = paper.text();
    assert_eq!(success, Success::Yes, "{text}");
    for part in
        ["runs at", "LM Studio answers", "translates", "read images", "JIT", "model-swapper", "it works"]
    {
        assert!(text.contains(part), "{part} is missing in\n{text}");
    }
    let alone = Global { url: None, ..global };
    doctor::run(&alone, Some(&config), &mut paper.output(Format::Json)).await.unwrap();
    let examination = paper.json();
    assert_eq!(examination["ok"], true, "{examination}");
    assert!(examination["findings"].as_array().unwrap().iter().any(|it| it["about"] == "skills"));

    std::fs::write(&config, "listen = \"nowhere\"\nunknown = 1\n").unwrap();
    let success = doctor::run(&alone, Some(&config), &mut paper.output(Format::Text)).await.unwrap();
    assert!(success == Success::No && paper.text().contains("fail  config"));
    stage.close().await;
}

#[tokio::test]
async fn the_demonstration_succeeds() {
    let paper = Paper::default();
    let success = demo::run(&mut paper.output(Format::Json)).await.unwrap();
    let report = paper.json();
    assert_eq!(success, Success::Yes, "{report}");
    assert_eq!(report["ok"], true);
    let kinds: Vec<_> =
        report["steps"].as_array().unwrap().iter().map(|it| it["kind"].as_str().unwrap()).collect();
    let swap = ["request", "intent", "drain", "unload", "load", "answer", "restore"];
    assert_eq!(kinds, swap);
    assert!(report["steps"][5]["detail"].as_str().unwrap().contains("No parking."), "{report}");
    let times: Vec<_> =
        report["steps"].as_array().unwrap().iter().map(|it| it["at_ms"].as_u64().unwrap()).collect();
    assert!(times.is_sorted(), "{times:?}");
    assert_eq!(report["loaded_before"], report["loaded_after"]);
    assert_eq!(report["loaded_before"][0]["settings"]["context_length"], 32_768);
}
