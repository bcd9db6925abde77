//! A running router: a process of its own, the models it lists, and what a test asks of it.
//!
//! A test waits for what it waits for by the router's own events; nothing here sleeps, and nothing waits longer than
//! the deadline. The router and its children end with the value, whatever happened to the test.

use std::path::Path;
use std::process::{Child as Process, Command, Stdio};
use std::time::Duration;

use reqwest::Response;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::build::llama_server;
use super::children::{self, Child};
use super::model::Model;
use crate::live::Live;
use crate::log::Log;
use crate::world::Answer;

/// What anything may take before the test is lost: it tells a hang from a machine under load.
const DEADLINE: Duration = Duration::from_secs(120);

/// Models in memory at a time.
const LOADED_MAX: u32 = 1;

/// Tokens of context that models are loaded with.
const CONTEXT: u32 = 4096;

/// Seconds after which the router kills a child that it has told to stop. Its own default is ten.
const STOP_TIMEOUT: u32 = 1;

/// What a router is started with.
#[derive(Clone, Debug)]
pub struct Setup {
    models: Vec<Model>,
    loaded_max: u32,
    context: u32,
    key: Option<String>,
    arguments: Vec<String>,
}

/// A router that runs.
pub struct Router {
    process: Process,
    url: String,
    log: Log,
    setup: Setup,
    http: reqwest::Client,
    folder: TempDir,
}

/// A model as the router lists it.
#[derive(Clone, Debug)]
pub struct Listed {
    /// Its name.
    pub id: String,
    /// `unloaded`, `loading`, `loaded` or `sleeping`.
    pub status: String,
    /// Its process ended with an error.
    pub failed: bool,
    /// With which code it ended, where it failed.
    pub exit_code: Option<i64>,
    /// All that the list says of it.
    pub json: Value,
}

/// A streaming chat request with one user message.
pub fn says(model: &str, text: &str) -> Value {
    json!({"model": model, "stream": true, "messages": [{"role": "user", "content": text}]})
}

// === impl Setup ===

impl Setup {
    /// A router with these models, memory for one, and a context of 4096 tokens.
    pub fn of<M: Into<Model>>(models: impl IntoIterator<Item = M>) -> Self {
        Self {
            models: models.into_iter().map(Into::into).collect(),
            loaded_max: LOADED_MAX,
            context: CONTEXT,
            key: None,
            arguments: Vec::new(),
        }
    }

    /// So many models in memory at a time.
    pub fn loaded_max(mut self, models: u32) -> Self {
        self.loaded_max = models;
        self
    }

    /// Models are loaded with so many tokens of context.
    pub fn context(mut self, tokens: u32) -> Self {
        self.context = tokens;
        self
    }

    /// The router wants this key.
    pub fn key(mut self, key: &str) -> Self {
        self.key = Some(key.to_owned());
        self
    }

    /// Another argument of its command line.
    pub fn argument(mut self, argument: &str) -> Self {
        self.arguments.push(argument.to_owned());
        self
    }

    /// Starts the router, and waits until it is ready.
    ///
    /// # Panics
    /// Where it does not start.
    pub async fn start(self) -> Router {
        let folder = TempDir::new().unwrap();
        std::fs::create_dir(folder.path().join("cache")).unwrap();
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        self.write(folder.path());
        let (process, log, url) = self.spawn(folder.path(), 0).await;
        let router = Router { process, url, log, setup: self, http, folder };
        router.wait_ready().await;
        router
    }

    /// Writes the models and the preset that names them.
    fn write(&self, folder: &Path) {
        let all = format!("[*]\nstop-timeout = {STOP_TIMEOUT}\n");
        let preset = self.models.iter().fold(all, |preset, model| preset + &model.write(folder));
        std::fs::write(folder.join("preset.ini"), preset).unwrap();
    }

    /// Starts the process at this port, any for 0, and waits until it says where it listens.
    async fn spawn(&self, folder: &Path, port: u16) -> (Process, Log, String) {
        let mut command = Command::new(llama_server());
        command.arg("--models-preset").arg(folder.join("preset.ini"));
        command.args(["--models-max", &self.loaded_max.to_string(), "--ctx-size", &self.context.to_string()]);
        // More threads than cores that are free, and generation collapses.
        command.args(["--threads", "1", "--host", "127.0.0.1", "--port", &port.to_string(), "--no-ui"]);
        command.args(self.key.iter().flat_map(|key| ["--api-key", key])).args(&self.arguments);
        command.env("LLAMA_CACHE", folder.join("cache"));
        // It writes its own lines to one, and its children's to the other.
        let (reader, writer) = std::io::pipe().unwrap();
        command.stdin(Stdio::null()).stdout(writer.try_clone().unwrap()).stderr(writer);
        let mut process = command.spawn().unwrap();
        // The pipe ends with the process, once nobody else holds it.
        drop(command);
        let (log, listens) = Log::follow(reader);
        match tokio::time::timeout(DEADLINE, listens).await {
            Ok(Ok(url)) => (process, log, url),
            _ => {
                let _ = (process.kill(), process.wait());
                panic!("the router does not listen:\n{}", log.text())
            }
        }
    }
}

// === impl Router ===

impl Router {
    /// A router with these models, memory for one, and a context of 4096 tokens.
    ///
    /// # Panics
    /// Where it does not start.
    pub async fn start<M: Into<Model>>(models: impl IntoIterator<Item = M>) -> Self {
        Setup::of(models).start().await
    }

    /// Where it listens, without a slash at the end.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Its process's number.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// The last lines that it and its children wrote.
    pub fn log(&self) -> String {
        self.log.text()
    }

    /// Waits until it or a child has written this, among the last lines.
    ///
    /// # Panics
    /// Where it has not before the deadline.
    pub async fn logged(&self, part: &str) {
        let wait = async {
            while !self.log().contains(part) {
                tokio::task::yield_now().await;
            }
        };
        let logged = tokio::time::timeout(DEADLINE, wait).await;
        assert!(logged.is_ok(), "{part:?} is not written:\n{}", self.log());
    }

    /// Waits until it answers that it is well.
    ///
    /// # Panics
    /// Where it does not.
    pub async fn wait_ready(&self) {
        let health = self.get("/health").await;
        assert_eq!(health.status(), 200, "the router is not well:\n{}", self.log());
    }

    /// Ends the process and its children, as a power cut does, and starts it anew at the same address.
    ///
    /// # Panics
    /// Where it does not start.
    pub async fn restart(&mut self) {
        self.stop();
        let port = self.url.rsplit(':').next().and_then(|port| port.parse().ok()).unwrap();
        (self.process, self.log, self.url) = self.setup.spawn(self.folder.path(), port).await;
        self.wait_ready().await;
    }

    /// Ends the process and its children at once. [`Router::restart`] brings it back.
    pub fn stop(&mut self) {
        // Whoever has been waited for has no number any more that could be another's by now.
        let children = if matches!(self.process.try_wait(), Ok(None)) { self.children() } else { Vec::new() };
        let _ = (self.process.kill(), self.process.wait());
        children.iter().for_each(|child| children::kill(child.id));
    }

    /// Lists one more model, or an old one anew.
    ///
    /// # Panics
    /// Where the router cannot read it.
    pub async fn add(&mut self, model: impl Into<Model>) {
        let model = model.into();
        self.setup.models.retain(|it| it.name() != model.name());
        self.setup.models.push(model);
        self.setup.write(self.folder.path());
        assert_eq!(self.get("/models?reload=1").await.status(), 200, "{}", self.log());
    }

    /// What it lists.
    ///
    /// # Panics
    /// Where it does not answer with a list.
    pub async fn models(&self) -> Vec<Listed> {
        let list: Value = self.get("/models").await.json().await.unwrap();
        let models = list["data"].as_array().unwrap_or_else(|| panic!("no list: {list}"));
        models.iter().map(Listed::read).collect()
    }

    /// The names of those that are in memory, ready.
    pub async fn loaded(&self) -> Vec<String> {
        let models = self.models().await;
        models.into_iter().filter(|model| model.status == "loaded").map(|model| model.id).collect()
    }

    /// Asks for a load, which goes on after the answer.
    pub async fn load(&self, model: &str) -> Answer {
        self.post("/models/load", &json!({"model": model})).await
    }

    /// Loads a model, and waits until it is there.
    ///
    /// # Panics
    /// Where the router refuses or the load fails.
    pub async fn load_and_wait(&self, model: &str) {
        let answer = self.load(model).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let end = self.until(model, |it| it.status == "loaded" || it.failed).await;
        assert!(!end.failed, "{model} does not load:\n{}", self.log());
    }

    /// Asks for an unload, which goes on after the answer.
    pub async fn unload(&self, model: &str) -> Answer {
        self.post("/models/unload", &json!({"model": model})).await
    }

    /// Unloads a model, and waits until it is gone.
    ///
    /// # Panics
    /// Where the router refuses.
    pub async fn unload_and_wait(&self, model: &str) {
        let answer = self.unload(model).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        self.until(model, |it| it.status == "unloaded").await;
    }

    /// Waits until the list says this of a model.
    ///
    /// # Panics
    /// Where it does not before the deadline, or lists no such model.
    pub async fn until(&self, model: &str, is_it: impl Fn(&Listed) -> bool) -> Listed {
        let wait = async {
            // Subscribed before the first look, so that no change falls between.
            let mut events = self.get("/models/sse").await;
            loop {
                let models = self.models().await;
                let listed = models.into_iter().find(|it| it.id == model);
                let listed = listed.unwrap_or_else(|| panic!("{model} is not listed"));
                if is_it(&listed) {
                    return listed;
                }
                assert!(events.chunk().await.unwrap().is_some(), "the events ended:\n{}", self.log());
            }
        };
        match tokio::time::timeout(DEADLINE, wait).await {
            Ok(listed) => listed,
            Err(_) => panic!("{model} does not get there: {:#?}\n{}", self.models().await, self.log()),
        }
    }

    /// What happens to its models, from now on, as server-sent events.
    pub async fn events(&self) -> Live {
        Live::new(self.get("/models/sse").await)
    }

    /// A chat request, answered.
    pub async fn ask(&self, body: &Value) -> Answer {
        self.post("/v1/chat/completions", body).await
    }

    /// A chat request whose answer is read as it comes.
    pub async fn open(&self, body: &Value) -> Live {
        Live::new(self.send("/v1/chat/completions", body).await)
    }

    /// The processes of its models.
    pub fn children(&self) -> Vec<Child> {
        children::of(self.id())
    }

    /// Ends a model's process at once, as a crash does.
    ///
    /// # Panics
    /// Where the model has none.
    pub fn kill(&self, model: &str) {
        let children = self.children();
        let child = children.iter().find(|child| child.model == model);
        children::kill(child.unwrap_or_else(|| panic!("{model} has no process: {children:?}")).id);
    }

    /// Any request with a body, answered.
    ///
    /// # Panics
    /// Where the router cannot be reached, or the answer breaks off.
    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        Answer::read(self.send(path, body).await).await
    }

    async fn send(&self, path: &str, body: &Value) -> Response {
        let request = self.http.post(format!("{}{path}", self.url)).json(body);
        self.with_key(request).send().await.unwrap_or_else(|error| panic!("{error}\n{}", self.log()))
    }

    async fn get(&self, path: &str) -> Response {
        let request = self.http.get(format!("{}{path}", self.url));
        self.with_key(request).send().await.unwrap_or_else(|error| panic!("{error}\n{}", self.log()))
    }

    fn with_key(&self, request: reqwest::RequestBuilder) -> reqwest::RequestBuilder {
        match &self.setup.key {
            Some(key) => request.bearer_auth(key),
            None => request,
        }
    }
}

impl Drop for Router {
    fn drop(&mut self) {
        self.stop();
    }
}

// === impl Listed ===

impl Listed {
    fn read(json: &Value) -> Self {
        let status = &json["status"];
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        Self {
            id: text(&json["id"]),
            status: text(&status["value"]),
            failed: status["failed"].as_bool().unwrap_or_default(),
            exit_code: status["exit_code"].as_i64(),
            json: json.clone(),
        }
    }
}
