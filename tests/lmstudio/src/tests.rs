//! The emulator through real sockets, as a client of LM Studio meets it. One file for each subject, mostly tables.
//!
//! Nothing here sleeps: tests wait for the log to say that something happened.

mod chat;
mod config;
mod download;
mod embeddings;
mod engine;
mod faults;
mod idle;
mod life;
mod native;
mod native_chat;
mod resolution;
mod v0;

use http::{HeaderMap, Method, StatusCode};
use serde_json::{Value, json};

use crate::{Config, Emulator};

const GPT: &str = "openai/gpt-oss-20b";
const STRICT: &str = "google/translategemma-12b-it";
const ORDINARY: &str = "lmstudio-community/translategemma-12b-it";
const QWEN: &str = "qwen/qwen3-8b";
const VISION: &str = "qwen/qwen2.5-vl-7b";
const EMBEDDER: &str = "text-embedding-nomic-embed-text-v1.5";

/// One white pixel.
const PIXEL: &str = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8/5+hHgAHggJ/PchI7wAAAABJRU5ErkJggg==";

/// An emulator and a client of it.
struct Stage {
    emulator: Emulator,
    client: reqwest::Client,
}

/// A whole answer.
struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    text: String,
}

impl Stage {
    async fn set(config: Config) -> Self {
        let client = reqwest::Client::builder().no_proxy().pool_max_idle_per_host(0).build().unwrap();
        Self { emulator: Emulator::start(config).await.unwrap(), client }
    }

    fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        self.client.request(method, format!("{}{path}", self.emulator.url()))
    }

    async fn get(&self, path: &str) -> Answer {
        Answer::of(self.request(Method::GET, path)).await
    }

    async fn post(&self, path: &str, body: &Value) -> Answer {
        Answer::of(self.request(Method::POST, path).json(body)).await
    }

    async fn load(&self, model: &str) -> Answer {
        self.post("/api/v1/models/load", &json!({ "model": model })).await
    }

    async fn unload(&self, id: &str) -> Answer {
        self.post("/api/v1/models/unload", &json!({ "instance_id": id })).await
    }

    async fn chat(&self, body: &Value) -> Answer {
        self.post("/v1/chat/completions", body).await
    }

    async fn say(&self, model: &str, text: &str) -> Answer {
        self.chat(&said(model, text)).await
    }

    /// Sends a request whose answer is read later, or never.
    fn streaming(&self, model: &str, text: &str) -> tokio::task::JoinHandle<reqwest::Result<Answer>> {
        let mut body = said(model, text);
        body["stream"] = json!(true);
        self.in_background("/v1/chat/completions", &body)
    }

    fn in_background(&self, path: &str, body: &Value) -> tokio::task::JoinHandle<reqwest::Result<Answer>> {
        let request = self.request(Method::POST, path).json(body);
        tokio::runtime::Handle::current().spawn(Answer::or_error(request))
    }

    fn ids(&self) -> Vec<String> {
        self.emulator.resident().iter().map(|it| it.id.to_string()).collect()
    }
}

impl Answer {
    async fn of(request: reqwest::RequestBuilder) -> Self {
        Self::or_error(request).await.unwrap()
    }

    async fn or_error(request: reqwest::RequestBuilder) -> reqwest::Result<Self> {
        let response = request.send().await?;
        let (status, headers) = (response.status(), response.headers().clone());
        Ok(Self { status, headers, text: response.text().await? })
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }

    /// The text of the first choice.
    fn content(&self) -> String {
        let json = self.json();
        json["choices"][0]["message"]["content"]
            .as_str()
            .unwrap_or_else(|| panic!("{}", self.text))
            .to_owned()
    }

    /// The message of an error, whatever its shape.
    fn error(&self) -> String {
        let error = &self.json()["error"];
        error.as_str().or(error["message"].as_str()).unwrap_or_default().to_owned()
    }

    /// The data of each event but `[DONE]`.
    fn events(&self) -> Vec<Value> {
        let data = self.text.lines().filter_map(|line| line.strip_prefix("data: "));
        data.filter(|data| *data != "[DONE]").map(|data| serde_json::from_str(data).unwrap()).collect()
    }

    /// The text of all deltas.
    fn streamed(&self) -> String {
        self.events()
            .iter()
            .filter_map(|it| it["choices"][0]["delta"]["content"].as_str().map(str::to_owned))
            .collect()
    }

    fn is_done(&self) -> bool {
        self.text.ends_with("data: [DONE]\n\n")
    }

    /// It ends with the event of a broken stream, and with nothing after it.
    fn ends_with_error(&self, message: &str) -> bool {
        let event = format!(
            "event: error\ndata: {}\n\n",
            json!({ "error": { "message": message }, "message": message })
        );
        self.text.ends_with(&event)
    }
}

fn said(model: &str, text: &str) -> Value {
    json!({ "model": model, "messages": [{ "role": "user", "content": text }] })
}

fn keys(value: &Value) -> Vec<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

fn tool(name: &str) -> Value {
    let properties = json!({ "path": { "type": "string" }, "line": { "type": "integer" } });
    let parameters = json!({ "type": "object", "properties": properties, "required": ["path", "line"] });
    json!({ "type": "function", "function": { "name": name, "parameters": parameters } })
}
