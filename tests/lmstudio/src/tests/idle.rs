//! Idle times: who goes by itself, when, and who stays.

use std::time::Duration;

use super::*;
use crate::log::Event;
use crate::{Fault, fault};

fn expired(event: &Event) -> bool {
    matches!(event, Event::Expired { .. })
}

/// Moves the clock while nothing is on the wire.
async fn pass(seconds: u64) {
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(seconds)).await;
    tokio::time::resume();
}

#[tokio::test]
async fn what_a_request_loaded_goes_when_idle_and_nothing_else() {
    let stage = Stage::set(Config::default().loaded(VISION)).await;
    let mut body = said(QWEN, "hi");
    body["ttl"] = json!(600);
    assert_eq!(stage.chat(&body).await.status, 200);
    pass(500).await;
    assert_eq!(stage.say(QWEN, "hi").await.status, 200, "its clock begins again");
    pass(500).await;
    let listed = stage.get("/api/v1/models").await.json();
    let left = listed["models"][3]["loaded_instances"][0]["remaining_ttl_seconds"].as_u64().unwrap();
    assert!((50..=100).contains(&left), "{left}");
    assert_eq!(stage.ids(), [VISION, QWEN]);
    pass(101).await;
    stage.emulator.wait_for_event(expired).await;
    assert_eq!(stage.ids(), [VISION]);
    pass(1_000_000).await;
    assert_eq!(stage.get("/api/v1/models").await.status, 200);
    assert_eq!(stage.ids(), [VISION], "an explicit load has no time");
}

#[tokio::test]
async fn work_is_not_idleness() {
    let stall = Fault::once(fault::Kind::Stall { after_chunks: 1 });
    let config = Config::default().fault(stall).server(|server| server.default_ttl = Duration::from_secs(60));
    let stage = Stage::set(config).await;
    let stream = stage.streaming(QWEN, "count to 3");
    stage.emulator.wait_for_event(|event| matches!(event, Event::FaultHolds { .. })).await;
    pass(3600).await;
    assert_eq!(stage.get("/v1/models").await.status, 200);
    assert_eq!(stage.ids(), [QWEN]);
    stage.emulator.release(None);
    assert!(stream.await.unwrap().unwrap().is_done());
    pass(61).await;
    stage.emulator.wait_for_event(expired).await;
    assert_eq!(stage.ids(), Vec::<String>::new());
}

#[tokio::test]
async fn without_the_setting_only_a_ttl_in_the_body_counts() {
    let config = Config::default().server(|server| {
        server.auto_unload = false;
        server.auto_evict = false;
    });
    let stage = Stage::set(config).await;
    stage.say(QWEN, "hi").await;
    let mut body = said(GPT, "hi");
    body["ttl"] = json!(5);
    stage.chat(&body).await;
    pass(100_000).await;
    stage.emulator.wait_for_event(expired).await;
    assert_eq!(stage.ids(), [QWEN]);
    let listed = stage.get("/api/v1/models").await.json();
    assert!(listed["models"][3]["loaded_instances"][0].get("remaining_ttl_seconds").is_none());
}
