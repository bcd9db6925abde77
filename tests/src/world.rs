//! A gateway and an LM Studio in one process, on loopback, with state of their own: what nearly every scenario needs.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use lmstudio_emulator::fault::Route;
use lmstudio_emulator::log::{RequestSeen, ResidentPhase};
use lmstudio_emulator::{Config as LmStudio, Emulator, Event};
use pointsman::app::{self, Running};
use pointsman::config::{Config, Overrides};
use pointsman::residency::Report;
use pointsman::telemetry::Record;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::task::JoinHandle;

use crate::live::Live;

/// The model that is in memory when a scenario begins.
pub const GENERAL: &str = "openai/gpt-oss-20b";

/// Its id, provider in front.
pub const GENERAL_ID: &str = "lmstudio/openai/gpt-oss-20b";

/// Another general model, which reads no pictures either.
pub const OTHER: &str = "qwen/qwen3-8b";

/// A general model that reads pictures.
pub const VISION: &str = "qwen/qwen2.5-vl-7b";

/// The specialist with the strict template.
pub const SPECIALIST: &str = "google/translategemma-12b-it";

/// Tokens of context that the general model is loaded with: not the default, so that its return can be recognised.
pub const CONTEXT: u32 = 32_768;

/// A gateway in front of an emulated LM Studio.
pub struct World {
    /// The model server.
    pub lmstudio: Emulator,
    /// The gateway.
    pub gateway: Running,
    /// A plain HTTP client.
    pub http: reqwest::Client,
    folder: TempDir,
}

/// An LM Studio with the general model loaded and memory for one model.
pub fn lmstudio() -> LmStudio {
    LmStudio::default().loaded_with_context(GENERAL, CONTEXT).memory_gb(16.0)
}

// === impl World ===

impl World {
    /// Both, with nothing configured.
    pub async fn start(lmstudio: LmStudio) -> Self {
        Self::configured(lmstudio, "").await
    }

    /// Both, with these lines of TOML in the gateway's configuration.
    ///
    /// # Panics
    /// Where something does not start.
    pub async fn configured(lmstudio: LmStudio, toml: &str) -> Self {
        Self::with_skills(lmstudio, toml, &[]).await
    }

    /// Both, with these components in the skills folder, by file name.
    ///
    /// # Panics
    /// Where something does not start.
    pub async fn with_skills(lmstudio: LmStudio, toml: &str, skills: &[(&str, Vec<u8>)]) -> Self {
        let world = Self::build(Emulator::start(lmstudio).await.unwrap(), toml, skills).await;
        world.ready().await;
        world
    }

    /// A gateway whose LM Studio is not there yet; `restart` brings it.
    ///
    /// # Panics
    /// Where something does not start.
    pub async fn before_lmstudio(lmstudio: LmStudio) -> Self {
        let lmstudio = Emulator::start(lmstudio).await.unwrap();
        lmstudio.stop().await;
        Self::build(lmstudio, "", &[]).await
    }

    async fn build(lmstudio: Emulator, toml: &str, skills: &[(&str, Vec<u8>)]) -> Self {
        let folder = TempDir::new().unwrap();
        let data = folder.path().join("data");
        std::fs::create_dir_all(data.join("skills")).unwrap();
        for (name, wasm) in skills {
            std::fs::write(data.join("skills").join(name), wasm).unwrap();
        }
        let gateway = gateway(folder.path(), &lmstudio.url(), toml).await;
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        Self { lmstudio, gateway, http, folder }
    }

    /// Waits until the gateway knows its models.
    pub async fn ready(&self) {
        let mut notices = self.gateway.gateway().residency.notices();
        while self.gateway.gateway().residency.directory().models().is_empty() {
            let _ = tokio::time::timeout(Duration::from_millis(50), notices.recv()).await;
        }
    }

    /// Where the gateway listens.
    pub fn address(&self) -> SocketAddr {
        self.gateway.address()
    }

    /// Where state is.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A chat request, sent.
    ///
    /// # Panics
    /// Where the gateway cannot be reached.
    pub async fn post(&self, body: &Value) -> reqwest::Response {
        let url = format!("{}/v1/chat/completions", self.gateway.url());
        self.http.post(url).json(body).send().await.unwrap()
    }

    /// A chat request of this session, its headers answered.
    ///
    /// # Panics
    /// Where the gateway cannot be reached.
    pub async fn send(&self, session: &str, body: &Value) -> reqwest::Response {
        let url = format!("{}/v1/chat/completions", self.gateway.url());
        self.http.post(url).header("x-session-id", session).json(body).send().await.unwrap()
    }

    /// A chat request of this session, answered: status, headers and text.
    ///
    /// # Panics
    /// Where the answer breaks off.
    pub async fn ask(&self, session: &str, body: &Value) -> Answer {
        Answer::read(self.send(session, body).await).await
    }

    /// The same beside the scenario; aborting it is the client's leaving.
    pub fn ask_beside(self: &Arc<Self>, session: &str, body: &Value) -> JoinHandle<Answer> {
        let (world, session, body) = (self.clone(), session.to_owned(), body.clone());
        beside(async move { world.ask(&session, &body).await })
    }

    /// A chat request of this session whose answer is read as it comes.
    ///
    /// # Panics
    /// Where the gateway cannot be reached.
    pub async fn open(&self, session: &str, body: &Value) -> Live {
        Live::new(self.send(session, body).await)
    }

    /// Bytes as a chat request's body, answered.
    ///
    /// # Panics
    /// Where the answer breaks off.
    pub async fn raw(&self, body: impl Into<Vec<u8>>) -> Answer {
        let url = format!("{}/v1/chat/completions", self.gateway.url());
        let post = self.http.post(url).header("content-type", "application/json");
        Answer::read(post.body(body.into()).send().await.unwrap()).await
    }

    /// The records of requests, newest first, once there are `count` of them.
    pub async fn records(&self, count: usize) -> Vec<Record> {
        loop {
            let records = self.gateway.gateway().ring.recent(1000);
            if records.len() >= count {
                return records.iter().map(|record| (**record).clone()).collect();
            }
            tokio::task::yield_now().await;
        }
    }

    /// The record of an answered request, once it is there.
    pub async fn record(&self, answer: &Answer) -> Record {
        loop {
            if let Some(record) = self.gateway.gateway().ring.find(Some(answer.header("x-pointsman-request")))
            {
                return (*record).clone();
            }
            tokio::task::yield_now().await;
        }
    }

    /// What residency says of itself, once `is_it` says yes to it.
    ///
    /// # Panics
    /// Where residency has stopped.
    pub async fn residency(&self, mut is_it: impl FnMut(&Report) -> bool) -> Report {
        loop {
            let report = self.gateway.gateway().residency.report().await.unwrap();
            if is_it(&report) {
                return report;
            }
            tokio::task::yield_now().await;
        }
    }

    /// Waits until nobody uses a model, waits for one or swaps.
    pub async fn idle(&self) {
        let is_idle = |report: &Report| {
            let used = report.instances.iter().any(|instance| instance.leases > 0);
            !used && report.waiters.is_empty() && report.under_way.is_empty()
        };
        self.residency(is_idle).await;
    }

    /// Waits until so many requests wait for this model.
    pub async fn waiting_for(&self, model: &str, count: usize) {
        self.residency(|report| {
            report.waiters.iter().filter(|waiter| waiter.model.key() == model).count() == count
        })
        .await;
    }

    /// Waits until a request hangs in a fault.
    pub async fn held(&self) {
        self.lmstudio.wait_for_event(|event| matches!(event, Event::FaultHolds { .. })).await;
    }

    /// The chat requests that reached LM Studio, in order.
    pub fn chats(&self) -> Vec<RequestSeen> {
        self.lmstudio.requests().into_iter().filter(|seen| seen.route == Route::Chat).collect()
    }

    /// How often this happened in LM Studio.
    pub fn happened(&self, what: impl Fn(&Event) -> bool) -> usize {
        self.lmstudio.log().iter().filter(|entry| what(&entry.event)).count()
    }

    /// How often a load of this model began.
    pub fn loads(&self, model: &str) -> usize {
        self.happened(|event| matches!(event, Event::LoadStarted { instance } if **instance == *model))
    }

    /// Somebody else calls LM Studio's own API.
    ///
    /// # Panics
    /// Where LM Studio refuses.
    pub async fn by_hand(&self, path: &str, body: &Value) {
        let url = format!("{}/api/v1/models/{path}", self.lmstudio.url());
        let answer = self.http.post(url).json(body).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{path} {body}");
    }

    /// Models in LM Studio's memory: keys and context lengths.
    pub fn resident(&self) -> Vec<(String, u32)> {
        self.lmstudio.resident().iter().map(|it| (it.key.to_string(), it.context_length)).collect()
    }

    /// Waits until exactly this model is in memory, ready.
    pub async fn resting_on(&self, model: &str) {
        self.lmstudio
            .wait_for(|entries| {
                entries.last().is_some_and(|entry| {
                    entry.resident.len() == 1
                        && entry
                            .resident
                            .iter()
                            .all(|it| *it.key == *model && it.phase == ResidentPhase::Ready)
                })
            })
            .await;
    }
}

/// Stands for LM Studio's address in configurations that write the provider's table themselves.
const URL: &str = "{url}";

/// A gateway with these lines of configuration in front of a model server.
///
/// # Panics
/// Where it does not start.
pub async fn gateway(folder: &Path, lmstudio: &str, toml: &str) -> Running {
    let file = folder.join("pointsman.toml");
    let provider = if toml.contains(URL) { "" } else { "[providers.lmstudio]\nurl = \"{url}\"" };
    std::fs::write(&file, format!("{toml}\n{provider}\n").replace(URL, lmstudio)).unwrap();
    let overrides = Overrides {
        listen: Some(SocketAddr::from(([127, 0, 0, 1], 0))),
        data_dir: Some(folder.join("data")),
        ..Overrides::default()
    };
    app::start(Config::load(Some(&file), &overrides).unwrap()).await.unwrap()
}

/// An answer, read to its end.
#[derive(Debug)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// Response headers.
    pub headers: reqwest::header::HeaderMap,
    /// The body as it came.
    pub body: String,
}

// === impl Answer ===

impl Answer {
    /// Reads a response.
    ///
    /// # Panics
    /// Where it breaks off.
    pub async fn read(response: reqwest::Response) -> Self {
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Self { status, headers, body: response.text().await.unwrap() }
    }

    /// The assistant's text, streamed or not.
    pub fn text(&self) -> String {
        if let Ok(whole) = serde_json::from_str::<Value>(&self.body) {
            return whole["choices"][0]["message"]["content"].as_str().unwrap_or_default().to_owned();
        }
        self.chunks().iter().filter_map(|chunk| chunk["choices"][0]["delta"]["content"].as_str()).collect()
    }

    /// The stream's JSON payloads.
    pub fn chunks(&self) -> Vec<Value> {
        let data = self.body.lines().filter_map(|line| line.strip_prefix("data: "));
        data.filter_map(|data| serde_json::from_str(data).ok()).collect()
    }

    /// The stream ended with its terminator.
    pub fn is_terminated(&self) -> bool {
        self.body.trim_end().ends_with("data: [DONE]")
    }

    /// The message of an error, in a body or in the stream.
    pub fn error(&self) -> Option<String> {
        let whole = serde_json::from_str::<Value>(&self.body).ok();
        let all = whole.into_iter().chain(self.chunks());
        all.filter_map(|value| value["error"]["message"].as_str().map(str::to_owned)).next()
    }

    /// A header's text.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}

/// Runs beside the scenario.
#[expect(clippy::disallowed_methods, reason = "the scenario's runtime ends it with everything else")]
pub fn beside<T: Send + 'static>(future: impl Future<Output = T> + Send + 'static) -> JoinHandle<T> {
    tokio::spawn(future)
}

/// A chat request with one user message.
pub fn says(text: &str) -> Value {
    json!({"model": "auto", "stream": true, "messages": [{"role": "user", "content": text}]})
}

/// A PNG of one pixel, as a data URL.
pub const PIXEL: &str = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg==";

/// A chat request with a picture.
pub fn shows(text: &str) -> Value {
    json!({"model": "auto", "stream": true, "messages": [{"role": "user", "content": [
        {"type": "text", "text": text}, {"type": "image_url", "image_url": {"url": PIXEL}}]}]})
}
