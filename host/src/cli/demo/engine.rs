//! A llama-server of the demonstration's own: the process, the models that are written for it, and its end.
//!
//! It is a router with memory for two models, so that whatever leaves memory was sent away by the gateway. It listens
//! on a free port, which it says in what it writes; that goes into a file, whose last lines are in the error where it
//! does not start. Starting is bounded by [`START_TIMEOUT`]; no process is left behind.

use std::io;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, bail};
use scripted_gguf::Script;
use tokio::process::{Child, Command};

use super::stage::Loaded;
use crate::wire::llama_server::{Models, Named, State};

/// The model that is in memory at the start.
pub(super) const EVERYDAY: &str = "scripted/everyday";

/// The specialist, by whose name the skill knows how it wants to be asked.
pub(super) const TRANSLATOR: &str = "scripted/translategemma";

/// The model that writes edits.
pub(super) const EDITOR: &str = "scripted/editor";

/// What the translator says where its target is English.
pub(super) const TRANSLATED: &str = "Parking is forbidden here, I am afraid.";

/// The program, where none is named.
const PROGRAM: &str = "llama-server";

/// What a router says its address after.
const BEFORE_ADDRESS: &str = "listening on ";

/// How long the server, a load and an unload may take.
const START_TIMEOUT: Duration = Duration::from_secs(60);

/// How often it is looked whether they are there.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Lines of what it wrote that an error shows.
const LOG_LINES: usize = 12;

/// Tokens of context of the models.
const CONTEXT: &str = "4096";

/// Columns of zeros that slow the everyday model down, so that its answers can be seen to run.
const SLOW_COLUMNS: u32 = 100_000;

/// The highest number that the everyday model counts to.
const COUNT: u32 = 60;

/// The server.
pub(super) struct Engine {
    process: Child,
    url: String,
    http: reqwest::Client,
}

// === impl Engine ===

impl Engine {
    /// Starts it in this folder and waits until the everyday model is in memory.
    pub(super) async fn start(
        program: Option<&Path>,
        folder: &Path,
        http: reqwest::Client,
    ) -> anyhow::Result<Self> {
        let preset = write_models(folder)?;
        let log = folder.join("llama-server.log");
        let process = spawn(program.unwrap_or(Path::new(PROGRAM)), &preset, folder, &log)?;
        let mut engine = Self { process, url: String::new(), http };
        let ready = tokio::time::timeout(START_TIMEOUT, engine.until_ready(&log)).await;
        match ready.unwrap_or_else(|_| bail!("it was not ready within {} s", START_TIMEOUT.as_secs())) {
            Ok(()) => Ok(engine),
            Err(error) => {
                engine.stop().await;
                Err(error.context(format!("llama-server does not start; it wrote:\n{}", last_lines(&log))))
            }
        }
    }

    /// Where it listens, without a slash at the end.
    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// What it says is in memory now.
    pub(super) async fn loaded(&self) -> anyhow::Result<Vec<Loaded>> {
        let list = self.http.get(format!("{}/models", self.url)).send().await?;
        let list: Models = list.json().await.context("llama-server's list of models")?;
        let is_loaded = |state: State| state == State::Loaded;
        let loaded = list.entries().filter(|it| it.status.as_ref().is_some_and(|it| is_loaded(it.value)));
        let settings = |tokens: Option<u32>| serde_json::json!({ "context_length": tokens });
        Ok(loaded.map(|it| Loaded { settings: settings(it.context()), model: it.id }).collect())
    }

    /// What happens in its memory from now on.
    pub(super) async fn events(&self) -> anyhow::Result<reqwest::Response> {
        let events = self.http.get(format!("{}/models/sse", self.url)).send().await?;
        events.error_for_status().context("llama-server's events")
    }

    /// Ends it. Its models' processes go first: they would outlive it.
    pub(super) async fn stop(mut self) {
        let emptied = tokio::time::timeout(START_TIMEOUT, self.empty()).await;
        if !matches!(emptied, Ok(Ok(()))) {
            tracing::debug!("llama-server did not unload its models before its end");
        }
        // One that has ended by itself is as good.
        let _ = self.process.kill().await;
    }

    async fn empty(&self) -> anyhow::Result<()> {
        for loaded in self.loaded().await? {
            self.post("unload", &loaded.model).await?;
        }
        while !self.loaded().await?.is_empty() {
            tokio::time::sleep(LOOK_EVERY).await;
        }
        Ok(())
    }

    async fn until_ready(&mut self, log: &Path) -> anyhow::Result<()> {
        self.url = loop {
            if let Some(url) = address(log) {
                break url;
            }
            if let Some(status) = self.process.try_wait()? {
                bail!("its process ended with {status}");
            }
            tokio::time::sleep(LOOK_EVERY).await;
        };
        self.post("load", EVERYDAY).await?;
        while self.loaded().await?.is_empty() {
            tokio::time::sleep(LOOK_EVERY).await;
        }
        Ok(())
    }

    async fn post(&self, path: &str, model: &str) -> anyhow::Result<()> {
        let sent =
            self.http.post(format!("{}/models/{path}", self.url)).json(&Named { model }).send().await?;
        sent.error_for_status().with_context(|| format!("{path} {model}"))?;
        Ok(())
    }
}

fn spawn(program: &Path, preset: &Path, folder: &Path, log: &Path) -> anyhow::Result<Child> {
    let out = std::fs::File::create(log).context("llama-server's log")?;
    let mut command = Command::new(program);
    command.arg("--models-preset").arg(preset).args(["--models-max", "2", "--ctx-size", CONTEXT]);
    command.args(["--threads", "1", "--host", "127.0.0.1", "--port", "0", "--no-ui"]);
    command.env("LLAMA_CACHE", folder.join("cache"));
    command.stdin(Stdio::null()).stdout(out.try_clone()?).stderr(out).kill_on_drop(true);
    command.spawn().map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => anyhow::anyhow!(
            "there is no program {}: install llama.cpp, or name its server with `--llama-server PATH`",
            program.display()
        ),
        _ => anyhow::Error::new(error).context(format!("{} does not start", program.display())),
    })
}

/// Writes the models, and the file that names them.
fn write_models(folder: &Path) -> anyhow::Result<std::path::PathBuf> {
    std::fs::create_dir_all(folder.join("cache"))?;
    let mut preset = "[*]\nstop-timeout = 1\n".to_owned();
    for script in [everyday(), editor(), Script::translator(TRANSLATOR).when("en", TRANSLATED)] {
        let file = folder.join(format!("{}.gguf", script.name().replace('/', "-")));
        script.write(&file).context("the demonstration's models")?;
        preset.push_str(&format!("[{}]\nmodel = {}\n", script.name(), file.display()));
    }
    let path = folder.join("models.ini");
    std::fs::write(&path, preset).context("the list of the demonstration's models")?;
    Ok(path)
}

/// What the everyday model answers to what the demonstration asks it.
fn everyday() -> Script {
    let counted: Vec<String> = (1..=COUNT).map(|number| number.to_string()).collect();
    Script::new(EVERYDAY)
        .when("switchman", "A switchman sets the points, so that every train takes the track it should.")
        .when("count to", &counted.join(", "))
        .when("such a sign", "Of aluminium as a rule, with a film on it that reflects light.")
        .when("call edit", &edit("The train leaves from track three."))
        .answer("The sign names track 4 now.")
        .feed_forward(SLOW_COLUMNS)
}

/// What writes the edit as it has to be.
fn editor() -> Script {
    Script::new(EDITOR).when("`edit`", &edit("track 3"))
}

/// The call that puts another text in the place of this one.
fn edit(old: &str) -> String {
    scripted_gguf::tool_call("edit", &serde_json::json!({"path": "signs.txt", "old": old, "new": "track 4"}))
}

/// The address in what it has written so far.
fn address(log: &Path) -> Option<String> {
    let text = std::fs::read_to_string(log).ok()?;
    let (_, rest) = text.split_once(BEFORE_ADDRESS)?;
    // The line has to be there to its end.
    let (line, _) = rest.split_once('\n')?;
    Some(line.trim().trim_end_matches('/').to_owned())
}

fn last_lines(log: &Path) -> String {
    let text = std::fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text).into_owned();
    let lines: Vec<&str> = text.lines().collect();
    let last = lines.iter().skip(lines.len().saturating_sub(LOG_LINES));
    last.map(|line| format!("  {line}")).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_models_can_be_written_and_are_named() {
        let folder = tempfile::TempDir::new().unwrap();
        let preset = std::fs::read_to_string(write_models(folder.path()).unwrap()).unwrap();
        for model in [EVERYDAY, TRANSLATOR, EDITOR] {
            assert!(preset.contains(&format!("[{model}]\n")), "{preset}");
        }
    }

    #[test]
    fn the_address_is_read_from_a_whole_line() {
        let folder = tempfile::TempDir::new().unwrap();
        let log = folder.path().join("log");
        assert_eq!(address(&log), None);
        std::fs::write(&log, "start\nlistening on http://127.0.0.1:47").unwrap();
        assert_eq!(address(&log), None);
        std::fs::write(&log, "start\nsrv: listening on http://127.0.0.1:4711 \nmore\n").unwrap();
        assert_eq!(address(&log).as_deref(), Some("http://127.0.0.1:4711"));
        assert_eq!(last_lines(&log).lines().last(), Some("  more"));
    }

    #[tokio::test]
    async fn a_program_that_is_not_there_is_named_with_its_mend() {
        let folder = tempfile::TempDir::new().unwrap();
        let http = crate::cli::client::http_client().unwrap();
        let missing = folder.path().join("no-such-program");
        let error = Engine::start(Some(&missing), folder.path(), http).await.err().unwrap();
        let said = format!("{error:#}");
        assert!(said.contains("no-such-program") && said.contains("--llama-server"), "{said}");
    }
}
