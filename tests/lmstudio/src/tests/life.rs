//! What happens over time: unloads under running streams, queues, eviction, vanishing clients, a server that dies.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::*;
use crate::log::{Entry, Event, ResidentPhase};
use crate::{Fault, Restart, fault};

fn stall(after_chunks: u32) -> Fault {
    Fault::always(fault::Kind::Stall { after_chunks }).named("stall")
}

fn count(entries: &[Entry], wanted: fn(&Event) -> bool) -> usize {
    entries.iter().filter(|entry| wanted(&entry.event)).count()
}

fn holds(event: &Event) -> bool {
    matches!(event, Event::FaultHolds { .. })
}

#[tokio::test]
async fn unloading_kills_what_is_in_flight() {
    let config = Config::default().loaded(QWEN).fault(stall(2));
    let stage = Stage::set(config.server(|server| server.killed_status = 500)).await;
    let stream = stage.streaming(QWEN, "count to 100");
    let whole = stage.in_background("/v1/chat/completions", &said(QWEN, "hi"));
    stage.emulator.wait_for(|entries| count(entries, holds) == 2).await;
    assert_eq!(stage.unload(QWEN).await.status, 200);
    let stream = stream.await.unwrap().unwrap();
    assert!(stream.status == 200 && stream.ends_with_error("Model unloaded.") && !stream.is_done());
    let whole = whole.await.unwrap().unwrap();
    assert_eq!((whole.status.as_u16(), whole.error().as_str()), (500, "Model unloaded."));
    let killed = |event: &Event| matches!(event, Event::StreamKilled { .. });
    assert_eq!(count(&stage.emulator.log(), killed), 2);
}

#[tokio::test]
async fn a_paced_stream_dies_with_its_model_too() {
    let config = Config::default().loaded(QWEN).tokens_per_second(0.001);
    let stage = Stage::set(config).await;
    let stream = stage.streaming(QWEN, "write 200 words");
    stage.emulator.wait_for_event(|event| matches!(event, Event::FirstToken { .. })).await;
    stage.unload(QWEN).await;
    assert!(stream.await.unwrap().unwrap().ends_with_error("Model unloaded."));
}

#[tokio::test]
async fn a_pace_is_kept() {
    let stage = Stage::set(Config::default().loaded(QWEN).tokens_per_second(0.1)).await;
    let stream = stage.streaming(QWEN, "count to 100");
    let started = tokio::time::Instant::now();
    stage.emulator.wait_for_event(|event| matches!(event, Event::FirstToken { .. })).await;
    // Only now: a paused clock would run out under a connection that is still being made.
    tokio::time::pause();
    assert!(stream.await.unwrap().unwrap().is_done());
    assert!(started.elapsed() >= Duration::from_secs(1000), "{:?}", started.elapsed());
}

#[tokio::test]
async fn the_first_token_and_a_whole_answer_take_their_time_too() {
    let mut config = Config::default().loaded(QWEN).tokens_per_second(0.1);
    config.models.iter_mut().for_each(|model| model.first_token_time = Duration::from_secs(500));
    let stage = Stage::set(config).await;
    let answer = stage.in_background("/v1/chat/completions", &said(QWEN, "count to 50"));
    let started = tokio::time::Instant::now();
    stage.emulator.wait_for_event(|event| matches!(event, Event::RequestStarted { .. })).await;
    tokio::time::pause();
    assert_eq!(answer.await.unwrap().unwrap().status, 200);
    assert!(started.elapsed() >= Duration::from_secs(1000), "{:?}", started.elapsed());
}

#[tokio::test]
async fn an_unload_that_takes_time_keeps_its_memory() {
    let config = Config::default().loaded(GPT).memory_gb(16.0).unload_time(Duration::from_millis(30));
    let stage = Stage::set(config).await;
    let unload = stage.in_background("/api/v1/models/unload", &json!({ "instance_id": GPT }));
    let begun = stage.emulator.wait_for_event(|event| matches!(event, Event::Unload { .. })).await.unwrap();
    assert_eq!(begun.resident[0].phase, ResidentPhase::Unloading);
    assert_eq!(unload.await.unwrap().unwrap().status, 200);
    let freed = stage.emulator.wait_for_event(|event| matches!(event, Event::Unloaded { .. })).await.unwrap();
    assert!(freed.resident.is_empty());
}

#[tokio::test]
async fn requests_beyond_parallel_wait_inside() {
    let config = Config::default()
        .loaded(QWEN)
        .fault(stall(1))
        .server(|server| server.parallel = 2.try_into().unwrap());
    let stage = Stage::set(config).await;
    let streams: Vec<_> = (0..3).map(|_| stage.streaming(QWEN, "count to 3")).collect();
    let queued = |event: &Event| matches!(event, Event::RequestQueued { .. });
    stage.emulator.wait_for(|entries| count(entries, queued) == 1 && count(entries, holds) == 2).await;
    stage.emulator.clear_faults();
    for stream in streams {
        assert!(stream.await.unwrap().unwrap().is_done());
    }
}

#[tokio::test]
async fn a_request_evicts_what_an_earlier_request_loaded_but_nothing_else() {
    let stage = Stage::set(Config::default().loaded(VISION)).await;
    assert_eq!(stage.say(QWEN, "hi").await.status, 200);
    let listed = stage.get("/api/v1/models").await.json();
    let ttl = &listed["models"][3]["loaded_instances"][0]["remaining_ttl_seconds"];
    assert!((3590..=3600).contains(&ttl.as_u64().unwrap()), "{ttl}");
    assert!(listed["models"][4]["loaded_instances"][0].get("remaining_ttl_seconds").is_none());
    stage.emulator.faults([stall(2)]);
    let running = stage.streaming(QWEN, "count to 100");
    stage.emulator.wait_for_event(holds).await;
    stage.emulator.faults([]);
    let next = stage.in_background("/v1/chat/completions", &said(GPT, "hi"));
    assert!(running.await.unwrap().unwrap().ends_with_error("Model unloaded."));
    stage.emulator.clear_faults();
    assert_eq!(next.await.unwrap().unwrap().json()["model"], GPT);
    assert_eq!(stage.ids(), [VISION, GPT]);
    assert_eq!(count(&stage.emulator.log(), |event| matches!(event, Event::Evicted { .. })), 1);
    stage.emulator.change(|server| server.auto_evict = false);
    stage.say(QWEN, "hi").await;
    assert_eq!(stage.ids(), [VISION, GPT, QWEN]);
}

#[tokio::test]
async fn cold_requests_join_one_load_or_each_start_their_own() {
    for (duplicates, expected) in [(false, vec![QWEN]), (true, vec![QWEN, "qwen/qwen3-8b:2"])] {
        let config = Config::default()
            .server(|server| server.jit_duplicates = duplicates)
            .fault(Fault::always(fault::Kind::HangLoad));
        let stage = Stage::set(config).await;
        let first = stage.in_background("/v1/chat/completions", &said(QWEN, "hi"));
        stage.emulator.wait_for_event(holds).await;
        let second = stage.in_background("/v1/chat/completions", &said(QWEN, "hi"));
        let requests = |event: &Event| matches!(event, Event::Request(_));
        stage.emulator.wait_for(|entries| count(entries, requests) == 2).await;
        if duplicates {
            stage.emulator.wait_for(|entries| count(entries, holds) == 2).await;
        }
        stage.emulator.clear_faults();
        assert_eq!(
            (first.await.unwrap().unwrap().status, second.await.unwrap().unwrap().status),
            (StatusCode::OK, StatusCode::OK)
        );
        assert_eq!(stage.ids(), expected);
    }
}

#[tokio::test]
async fn a_client_that_leaves_ends_its_generation() {
    let config = Config::default()
        .loaded(QWEN)
        .fault(stall(1))
        .server(|server| server.parallel = 1.try_into().unwrap());
    let stage = Stage::set(config).await;
    let stream = stage.streaming(QWEN, "count to 3");
    stage.emulator.wait_for_event(holds).await;
    stream.abort();
    let left = stage.emulator.wait_for_event(|event| matches!(event, Event::ClientDisconnected { .. })).await;
    assert!(
        matches!(left.unwrap().event, Event::ClientDisconnected { instance: Some(id), .. } if &*id == QWEN)
    );
    stage.emulator.clear_faults();
    assert_eq!(stage.say(QWEN, "hi").await.status, 200, "its place is free again");
}

#[tokio::test]
async fn idle_connections_are_closed_after_the_keep_alive_time() {
    let stage =
        Stage::set(Config::default().server(|server| server.keep_alive = Duration::from_millis(50))).await;
    let mut socket = TcpStream::connect(stage.emulator.address()).await.unwrap();
    let request = b"GET /lmstudio-greeting HTTP/1.1\r\nhost: x\r\n\r\n";
    socket.write_all(request).await.unwrap();
    let mut text = String::new();
    socket.read_to_string(&mut text).await.unwrap();
    assert!(text.starts_with("HTTP/1.1 200 OK\r\nX-Powered-By: Express\r\n"), "{text}");
    assert_eq!(text.matches("HTTP/1.1").count(), 1, "closed without a word: {text}");
}

#[tokio::test]
async fn a_stopped_server_is_gone_at_once_and_comes_back_on_its_port() {
    let stage = Stage::set(Config::default().loaded(QWEN).fault(stall(1))).await;
    let url = stage.emulator.url();
    let stream = stage.streaming(QWEN, "count to 3");
    stage.emulator.wait_for_event(holds).await;
    stage.emulator.stop().await;
    assert!(stream.await.unwrap().is_err());
    let error = Answer::or_error(stage.request(Method::GET, "/v1/models")).await.err().unwrap();
    assert!(error.is_connect(), "{error}");

    stage.emulator.clear_faults();
    stage.emulator.restart(Restart::Kept).await.unwrap();
    assert_eq!(stage.load(GPT).await.status, 200);
    assert_eq!((stage.ids().len(), stage.emulator.url()), (2, url));
    stage.emulator.restart(Restart::Fresh).await.unwrap();
    assert_eq!((stage.ids(), stage.emulator.log().len()), (vec![QWEN.to_owned()], 0));
    assert_eq!(stage.get("/v1/models").await.status, 200);
}

#[tokio::test]
async fn the_log_has_every_byte_and_every_change() {
    let stage = Stage::set(Config::default()).await;
    let body = "{\"messages\":  [{\"role\":\"user\",\"content\":\"\\u00fc\"}],\"model\":\"qwen/qwen3-8b\"}";
    let request = stage.request(Method::POST, "/v1/chat/completions?x=1").header("x-test", "yes").body(body);
    Answer::of(request).await;
    let seen = stage.emulator.requests().remove(0);
    assert_eq!(
        (&seen.body[..], seen.header("x-test"), seen.status),
        (body.as_bytes(), Some("yes"), Some(200))
    );
    let binary = stage.request(Method::POST, "/x").body(vec![0xff, 0xfe]);
    Answer::of(binary).await;
    let log = stage.get("/emulator/log").await.json();
    let names: Vec<&str> = log.as_array().unwrap().iter().map(|it| it["event"].as_str().unwrap()).collect();
    let chat = ["request", "load-started", "loaded", "request-started", "first-token", "request-finished"];
    assert_eq!(names, [&chat[..], &["request", "request-finished"]].concat());
    assert_eq!((&log[0]["body_text"], &log[0]["path"]), (&json!(body), &json!("/v1/chat/completions?x=1")));
    assert_eq!((&log[6]["body_base64"], &log[2]["resident"][0]["phase"]), (&json!("//4="), &json!("ready")));
    assert!(log.as_array().unwrap().iter().enumerate().all(|(place, it)| it["sequence"] == place + 1));
    let later = stage.get("/emulator/log?after=6").await.json();
    assert_eq!(later.as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn without_a_record_only_changes_of_memory_are_kept() {
    let stage = Stage::set(Config::default().without_record()).await;
    assert_eq!(stage.say(QWEN, "hi").await.status, 200);
    let log = stage.emulator.log();
    assert_eq!(
        count(&log, |event| matches!(event, Event::LoadStarted { .. } | Event::Loaded { .. })),
        log.len()
    );
    assert_eq!(log.len(), 2);
}

#[tokio::test]
async fn a_reset_brings_the_start_back() {
    let stage = Stage::set(Config::default().loaded(QWEN)).await;
    stage.load(GPT).await;
    let tuning = json!({ "model": GPT, "context_limit": 1 });
    assert_eq!(stage.post("/emulator/models", &tuning).await.status, 204);
    stage.unload(GPT).await;
    assert_eq!(stage.say(GPT, "these are too many words").await.status, 400);
    assert_eq!(stage.post("/emulator/models", &json!({ "model": "nobody" })).await.status, 404);
    assert_eq!(stage.post("/emulator/reset", &json!({})).await.status, 204);
    let state = stage.get("/emulator/state").await.json();
    assert_eq!(state["resident"].as_array().unwrap().len(), 1);
    assert_eq!(stage.say(GPT, "these are too many words").await.status, 200);
}
