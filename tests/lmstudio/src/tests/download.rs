//! Downloads: how far they are as time goes, what they bring, what becomes of those that break.

use std::time::Duration;

use super::*;
use crate::log::Event;
use crate::{Fault, Model, fault};

const NEW: &str = "acme/otter-8b";
const DOWNLOAD: &str = "/api/v1/models/download";

/// A thousand seconds of download.
fn slow() -> Config {
    Config::default().downloadable(Model { size_bytes: 1_000_000, ..Model::new(NEW) }, 1000.0)
}

async fn status(stage: &Stage, id: &str) -> Answer {
    stage.get(&format!("{DOWNLOAD}/status/{id}")).await
}

async fn begin(stage: &Stage) -> String {
    let begun = stage.post(DOWNLOAD, &json!({ "model": NEW })).await.json();
    begun["job_id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_download_takes_its_time_and_brings_a_model() {
    let stage = Stage::set(slow()).await;
    assert_eq!(stage.load(NEW).await.status, 404);
    let begun = stage.post(DOWNLOAD, &json!({ "model": NEW })).await.json();
    assert_eq!(keys(&begun), ["job_id", "status", "total_size_bytes", "started_at"]);
    assert_eq!((&begun["status"], &begun["total_size_bytes"]), (&json!("downloading"), &json!(1_000_000)));
    let id = begun["job_id"].as_str().unwrap();
    assert!(id.strip_prefix("job_").is_some_and(|it| it.len() == 10), "{id}");
    let again = stage.post(DOWNLOAD, &json!({ "model": "ACME/otter-8b" })).await.json();
    assert_eq!(again["job_id"], begun["job_id"], "one job for a model");
    let running = status(&stage, id).await.json();
    let expected = [
        "job_id",
        "status",
        "bytes_per_second",
        "estimated_completion",
        "total_size_bytes",
        "downloaded_bytes",
        "started_at",
    ];
    assert_eq!((keys(&running), &running["bytes_per_second"]), (expected.to_vec(), &json!(1000.0)));
    // Nothing is on the wire now, so the clock can be moved by hand.
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(250)).await;
    tokio::time::resume();
    let bytes = status(&stage, id).await.json()["downloaded_bytes"].as_u64().unwrap();
    assert!((250_000..500_000).contains(&bytes), "{bytes}");
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(750)).await;
    tokio::time::resume();
    stage.emulator.wait_for_event(|event| matches!(event, Event::Downloaded { .. })).await;
    let over = status(&stage, id).await.json();
    let expected = ["job_id", "status", "completed_at", "total_size_bytes", "downloaded_bytes", "started_at"];
    assert_eq!((keys(&over), &over["status"]), (expected.to_vec(), &json!("completed")));
    assert_eq!(over["downloaded_bytes"], 1_000_000);
    assert_eq!(
        stage.post(DOWNLOAD, &json!({ "model": NEW })).await.json(),
        json!({ "status": "already_downloaded" })
    );
    for (path, list, name) in
        [("/api/v1/models", "models", "key"), ("/api/v0/models", "data", "id"), ("/v1/models", "data", "id")]
    {
        let json = stage.get(path).await.json();
        assert!(json[list].as_array().unwrap().iter().any(|it| it[name] == NEW), "{path}");
    }
    assert_eq!(stage.load(NEW).await.status, 200);
    stage.emulator.reset();
    assert_eq!(status(&stage, id).await.status, 404);
}

#[tokio::test]
async fn a_download_without_a_speed_is_over_at_once() {
    let stage = Stage::set(Config::default().downloadable(Model::new(NEW), 0.0)).await;
    let begun = stage.post(DOWNLOAD, &json!({ "model": NEW })).await.json();
    assert_eq!(begun["status"], "completed");
    assert!(begun["completed_at"].as_str().unwrap().ends_with('Z'));
    let mut config = Config::default();
    config.downloadable[0].bytes_per_second = 0.0;
    let link = config.downloadable[0].link.clone();
    let stage = Stage::set(config).await;
    let body = json!({ "model": link, "quantization": "Q4_K_M" });
    assert_eq!(stage.post(DOWNLOAD, &body).await.json()["status"], "completed");
}

#[tokio::test]
async fn what_cannot_be_downloaded_is_refused() {
    let stage = Stage::set(Config::default()).await;
    let cases = [
        (json!({ "model": QWEN }), 200, None),
        (json!({ "model": "acme/nope" }), 404, Some("model_not_found")),
        (json!({}), 400, Some("invalid_request")),
        (json!({ "model": QWEN, "force": true }), 400, Some("invalid_request")),
    ];
    for (body, expected, kind) in cases {
        let answer = stage.post(DOWNLOAD, &body).await;
        assert_eq!(answer.status.as_u16(), expected, "{body}: {}", answer.text);
        assert_eq!(answer.json()["error"]["type"].as_str(), kind, "{body}");
    }
    let unknown = status(&stage, "job_0").await;
    let error = json!({ "type": "job_not_found", "message": "Download job with id 'job_0' not found" });
    assert_eq!((unknown.status.as_u16(), &unknown.json()["error"]), (404, &error));
}

#[tokio::test]
async fn downloads_break_and_pause() {
    let stage = Stage::set(Config::default().downloadable(Model::new(NEW), 0.0)).await;
    stage.emulator.faults([Fault::once(fault::Kind::DownloadFailure { after_bytes: 5 })]);
    let id = begin(&stage).await;
    stage.emulator.wait_for_event(|event| matches!(event, Event::DownloadFailed { .. })).await;
    let failed = status(&stage, &id).await.json();
    assert_eq!((&failed["status"], &failed["downloaded_bytes"]), (&json!("failed"), &json!(5)));
    stage.emulator.faults([Fault::once(fault::Kind::DownloadPause { after_bytes: 7 })]);
    let id = begin(&stage).await;
    stage.emulator.wait_for_event(|event| matches!(event, Event::FaultHolds { .. })).await;
    let paused = status(&stage, &id).await.json();
    assert_eq!((&paused["status"], &paused["downloaded_bytes"]), (&json!("paused"), &json!(7)));
    assert!(paused.get("bytes_per_second").is_none());
    stage.emulator.release(None);
    stage.emulator.wait_for_event(|event| matches!(event, Event::Downloaded { .. })).await;
    assert_eq!(status(&stage, &id).await.json()["status"], "completed");
}
