//! Each fault does what it says, to whom it says, as often as it says.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::*;
use crate::fault::{Ending, Fault, Kind, Route};
use crate::log::Event;

async fn with(fault: Fault) -> Stage {
    Stage::set(Config::default().loaded(QWEN).fault(fault)).await
}

fn stream() -> Value {
    let mut body = said(QWEN, "count to 9");
    body["stream"] = json!(true);
    body
}

#[tokio::test]
async fn answers_at_the_door() {
    let cases = [
        (Kind::Html500, 500, "<!DOCTYPE html>"),
        (Kind::Answer { status: 503, body: "{\"busy\":1}".to_owned() }, 503, "{\"busy\":1}"),
        (Kind::StringError { message: "no".to_owned() }, 200, "{\"error\":\"no\"}"),
    ];
    for (kind, status, text) in cases {
        let stage = with(Fault::once(kind).on(Route::List).times(2)).await;
        assert_eq!(stage.get("/v1/models").await.status, 200, "another route");
        for _ in 0..2 {
            let answer = stage.get("/api/v1/models").await;
            assert_eq!(answer.status.as_u16(), status);
            assert!(answer.text.starts_with(text), "{}", answer.text);
        }
        assert_eq!(
            stage.get("/api/v1/models").await.json()["models"].as_array().unwrap().len(),
            6,
            "used up"
        );
    }
}

#[tokio::test]
async fn a_fault_may_be_for_one_model() {
    let stage = with(Fault::always(Kind::Html500).model(QWEN)).await;
    assert_eq!(stage.say("QWEN/qwen3-8b", "hi").await.status, 500);
    assert_eq!(stage.unload(QWEN).await.status, 500);
    assert_eq!(stage.say(GPT, "hi").await.status, 200);
}

#[tokio::test]
async fn a_reset_comes_before_any_byte() {
    let stage = with(Fault::once(Kind::Reset)).await;
    let mut socket = TcpStream::connect(stage.emulator.address()).await.unwrap();
    socket.write_all(b"GET /v1/models HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let error = socket.read(&mut [0; 16]).await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    let finished =
        stage.emulator.wait_for_event(|event| matches!(event, Event::RequestFinished { .. })).await;
    assert!(matches!(finished.unwrap().event, Event::RequestFinished { status: None, .. }));
}

#[tokio::test]
async fn a_pooled_connection_turns_out_to_be_stale() {
    let stage = with(Fault::once(Kind::ResetReused)).await;
    let mut socket = TcpStream::connect(stage.emulator.address()).await.unwrap();
    let request = b"GET /lmstudio-greeting HTTP/1.1\r\nhost: x\r\n\r\n";
    socket.write_all(request).await.unwrap();
    let mut text = Vec::new();
    while !text.ends_with(b"{\"lmstudio\":true}") {
        assert_ne!(socket.read_buf(&mut text).await.unwrap(), 0, "the first is served");
    }
    socket.write_all(request).await.unwrap();
    let error = socket.read(&mut [0; 16]).await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    assert_eq!(stage.get("/lmstudio-greeting").await.status, 200);
}

#[tokio::test]
async fn a_token_is_missing_all_of_a_sudden() {
    let stage = with(Fault::once(Kind::Unauthorized).on(Route::Chat)).await;
    let refused = stage.say(QWEN, "hi").await;
    assert_eq!((refused.status.as_u16(), &refused.json()["error"]["code"]), (401, &json!("invalid_api_key")));
    assert_eq!(stage.say(QWEN, "hi").await.status, 200);
}

#[tokio::test]
async fn what_hangs_goes_on_when_released() {
    let kinds = [Kind::Hang, Kind::Stall { after_chunks: 0 }, Kind::Stall { after_chunks: 3 }];
    for kind in kinds {
        let stage = with(Fault::once(kind.clone()).on(Route::Chat).named("gate")).await;
        let answer = stage.in_background("/v1/chat/completions", &stream());
        stage.emulator.wait_for_event(|event| matches!(event, Event::FaultHolds { .. })).await;
        assert!(!answer.is_finished());
        stage.emulator.release(Some("another"));
        let released = stage.post("/emulator/release", &json!({ "name": "gate" })).await;
        assert_eq!(released.json()["released"], 1);
        let answer = answer.await.unwrap().unwrap();
        assert!(answer.is_done() && answer.streamed().ends_with("8 9"), "{kind:?}: {}", answer.text);
    }
}

#[tokio::test]
async fn a_stall_can_be_cleared_and_can_be_killed() {
    let stage = with(Fault::always(Kind::Stall { after_chunks: 1 })).await;
    let holds = |event: &Event| matches!(event, Event::FaultHolds { .. });
    let first = stage.in_background("/v1/chat/completions", &said(QWEN, "hi"));
    stage.emulator.wait_for_event(holds).await;
    let second = stage.in_background("/v1/chat/completions", &stream());
    stage.emulator.wait_for(|entries| entries.iter().filter(|it| holds(&it.event)).count() == 2).await;
    stage.unload(QWEN).await;
    assert_eq!(first.await.unwrap().unwrap().error(), "Model unloaded.");
    assert!(second.await.unwrap().unwrap().ends_with_error("Model unloaded."));
}

#[tokio::test]
async fn loads_fail_in_every_way() {
    let cases = [
        (Kind::Guardrail, "insufficient system resources"),
        (Kind::LoadCrash, "Engine protocol startup was aborted."),
    ];
    for (kind, text) in cases {
        let stage = Stage::set(Config::default().fault(Fault::once(kind.clone()).times(2))).await;
        let explicit = stage.load(QWEN).await;
        assert_eq!(
            (explicit.status.as_u16(), &explicit.json()["error"]["type"]),
            (500, &json!("internal_error"))
        );
        assert!(explicit.error().contains(text), "{}", explicit.text);
        let jit = stage.say(QWEN, "hi").await;
        assert_eq!(jit.status, 400);
        assert!(jit.error().starts_with("Failed to load model \"qwen/qwen3-8b\". Error: "), "{}", jit.text);
        assert!(jit.error().contains(text), "{}", jit.text);
        assert_eq!(stage.ids(), Vec::<String>::new());
        assert_eq!(stage.say(QWEN, "hi").await.status, 200);
    }
}

#[tokio::test]
async fn a_slow_load_takes_so_much_longer() {
    let stage = Stage::set(Config::default().fault(Fault::once(Kind::SlowLoad { seconds: 90.0 }))).await;
    let load = stage.in_background("/api/v1/models/load", &json!({ "model": QWEN }));
    stage.emulator.wait_for_event(|event| matches!(event, Event::LoadStarted { .. })).await;
    // Only now: a paused clock would run out under a connection that is still being made.
    tokio::time::pause();
    let load_time = load.await.unwrap().unwrap().json()["load_time_seconds"].as_f64().unwrap();
    assert!(load_time >= 90.0, "{load_time}");
}

#[tokio::test]
async fn a_list_lags() {
    let stage = with(Fault::once(Kind::ListLags)).await;
    stage.unload(QWEN).await;
    let loaded = |answer: Answer| answer.json()["models"][3]["loaded_instances"].as_array().unwrap().len();
    assert_eq!(loaded(stage.get("/api/v1/models").await), 1);
    assert_eq!(loaded(stage.get("/api/v1/models").await), 0);
}

#[tokio::test]
async fn a_crash_takes_the_instance_with_it() {
    let text = "The model has crashed without additional information. (Exit code: 11)";
    let stage = with(Fault::once(Kind::Crash { after_chunks: 2 }).times(2)).await;
    let broken = stage.chat(&stream()).await;
    assert!(broken.ends_with_error(text) && broken.streamed() == "[qwen/qwen3-8b] 1 ", "{}", broken.text);
    assert_eq!(stage.ids(), Vec::<String>::new());
    let whole = stage.say(QWEN, "hi").await;
    assert_eq!(
        (whole.status.as_u16(), whole.text.as_str()),
        (400, format!("{{\"error\":\"{text}\"}}").as_str())
    );
}

#[tokio::test]
async fn streams_end_early() {
    let cut = with(Fault::once(Kind::CutStream { after_chunks: 3, ending: Ending::Clean })).await;
    let answer = cut.chat(&stream()).await;
    assert_eq!((answer.streamed().as_str(), answer.events().len()), ("[qwen/qwen3-8b] 1 2 ", 3));
    assert!(!answer.is_done());

    let late = with(Fault::once(Kind::CutStream { after_chunks: 1000, ending: Ending::Clean })).await;
    let answer = late.chat(&stream()).await;
    assert!(answer.streamed().ends_with('9') && !answer.text.contains("\"stop\""), "{}", answer.text);

    let abrupt = with(Fault::once(Kind::CutStream { after_chunks: 3, ending: Ending::Abrupt })).await;
    assert!(abrupt.in_background("/v1/chat/completions", &stream()).await.unwrap().is_err());

    let error = Fault::always(Kind::StreamError { after_chunks: 1, message: "oh".to_owned() });
    let error = with(error).await;
    let answer = error.chat(&stream()).await;
    assert!(answer.ends_with_error("oh") && answer.streamed() == "[qwen/qwen3-8b] ");
    assert_eq!(error.say(QWEN, "hi").await.error(), "oh");
}

#[tokio::test]
async fn answers_that_are_wrong_in_small_things() {
    let wrong = with(Fault::always(Kind::WrongModel { model: "acme/other".to_owned() })).await;
    assert_eq!(wrong.say(QWEN, "hi").await.json()["model"], "acme/other");
    assert!(wrong.chat(&stream()).await.events().iter().all(|it| it["model"] == "acme/other"));

    let empty = with(Fault::always(Kind::EmptyToolCallId)).await;
    let mut body = said(QWEN, "call edit");
    body["tools"] = json!([tool("edit")]);
    assert_eq!(empty.chat(&body).await.json()["choices"][0]["message"]["tool_calls"][0]["id"], "");
}

#[tokio::test]
async fn faults_are_armed_and_taken_away_over_http() {
    let stage = Stage::set(Config::default().loaded(QWEN)).await;
    let faults = json!([
        { "name": "x", "match": { "route": "chat", "model": QWEN }, "count": "always", "kind": "html500" },
        { "match": { "route": "load" }, "count": 2, "kind": { "slow-load": { "seconds": 0.5 } } },
    ]);
    assert_eq!(stage.post("/emulator/faults", &faults).await.status, 204);
    assert_eq!(stage.get("/emulator/state").await.json()["faults"], faults);
    assert_eq!(stage.say(QWEN, "hi").await.status, 500);
    assert_eq!(Answer::of(stage.request(Method::DELETE, "/emulator/faults")).await.status, 204);
    assert_eq!(stage.say(QWEN, "hi").await.status, 200);
    let nonsense = stage.post("/emulator/faults", &json!([{ "kind": "meteor" }])).await;
    assert_eq!(nonsense.status, 422, "{}", nonsense.text);
}
