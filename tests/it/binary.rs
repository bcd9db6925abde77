//! The programs themselves, as a shell starts them: exit codes, what is on standard output, the environment, signals.
//!
//! Every wait is bounded by [`DEADLINE`], after which the test fails with what the program has written. Nothing of this
//! machine's settings reaches the programs: they get an environment, a home and a working folder of their own.

#![cfg(test)]

use std::fmt::Debug;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::OnceLock;
use std::time::Duration;

use lmstudio_emulator::{Config as LmStudio, Emulator};
use pointsman_tests::tools;
use pointsman_tests::world::{CONTEXT, GENERAL, SPECIALIST, lmstudio};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStderr, Command};

/// How long anything may take before the test gives up: far more than it ever takes.
pub(crate) const DEADLINE: Duration = Duration::from_secs(180);

/// A program of this workspace, built as this test was.
///
/// Cargo tells a test only the programs of its own package, so a nested cargo builds them into the folder that this
/// test's own program is in. Its flags are left as they are: the same flags make the same build.
pub(crate) fn program(name: &str) -> PathBuf {
    static BUILT: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let build = || {
        let own = std::env::current_exe().map_err(|error| error.to_string())?;
        let profile = own.parent().and_then(Path::parent).ok_or("the test is in no target folder")?;
        let target = profile.parent().ok_or("the test is in no target folder")?;
        let mut cargo = std::process::Command::new(env!("CARGO"));
        cargo.args(["build", "--locked", "--bins", "-p", "pointsman", "-p", "lmstudio-emulator"]);
        cargo.arg("--target-dir").arg(target).current_dir(env!("CARGO_MANIFEST_DIR"));
        if profile.ends_with("release") {
            cargo.arg("--release");
        }
        tools::run(&mut cargo).map(|_| profile.to_path_buf())
    };
    match BUILT.get_or_init(build) {
        Ok(folder) => folder.join(name).with_extension(std::env::consts::EXE_EXTENSION),
        Err(error) => panic!("the programs cannot be built: {error}"),
    }
}

/// A place of its own for programs.
pub(crate) struct Place(TempDir);

/// How a program ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// `pointsman serve`, and what it has logged.
#[derive(Debug)]
pub(crate) struct Serving {
    child: Child,
    log: Lines<BufReader<ChildStderr>>,
    seen: Vec<String>,
}

impl Place {
    pub(crate) fn new() -> Self {
        Self(TempDir::new().unwrap())
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn write(&self, name: &str, text: impl AsRef<[u8]>) -> String {
        let path = self.0.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }

    pub(crate) fn command(&self, name: &str, arguments: &[&str], variables: &[(&str, &str)]) -> Command {
        let folder = self.0.path();
        let mut command = Command::new(program(name));
        command.args(arguments).current_dir(folder).env_clear().env("HOME", folder);
        command.env("POINTSMAN_DATA_DIR", folder.join("data")).envs(variables.iter().copied());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        command
    }

    /// Runs a program to its end.
    pub(crate) async fn run(&self, name: &str, arguments: &[&str], variables: &[(&str, &str)]) -> Ended {
        let output = self.command(name, arguments, variables).output();
        let output = tokio::time::timeout(DEADLINE, output).await;
        let output = output.unwrap_or_else(|_| panic!("{name} {arguments:?} does not end")).unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Ended { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
    }

    pub(crate) fn serve(&self, variables: &[(&str, &str)]) -> Serving {
        let mut command = self.command("pointsman", &["serve"], variables);
        let mut child = command.stdout(Stdio::null()).spawn().unwrap();
        let log = BufReader::new(child.stderr.take().unwrap()).lines();
        Serving { child, log, seen: Vec::new() }
    }
}

impl Ended {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

impl Serving {
    /// The address that it says it listens on.
    pub(crate) async fn url(&mut self) -> String {
        const BEFORE: &str = "listening on ";
        loop {
            let line = tokio::time::timeout(DEADLINE, self.log.next_line()).await;
            let Ok(Ok(Some(line))) = line else { panic!("it does not listen: {:#?}", self.seen) };
            self.seen.push(line.clone());
            if let Some((_, rest)) = line.split_once(BEFORE) {
                return rest.chars().take_while(|&c| c != '"' && !c.is_whitespace()).collect();
            }
        }
    }

    /// Ends it as a crash does: it does nothing more.
    pub(crate) async fn kill(mut self) {
        self.child.kill().await.unwrap();
    }

    /// Sends it a signal.
    pub(crate) async fn signal(&self, name: &str) {
        let id = self.child.id().unwrap().to_string();
        let told = Command::new("kill").args([&format!("-{name}"), &id]).status().await.unwrap();
        assert!(told.success());
    }

    /// Tells it to stop, and waits until it has: its exit code.
    pub(crate) async fn terminate(mut self) -> Option<i32> {
        self.signal("TERM").await;
        let end = async {
            // Read to its end, or a full pipe would hold up the program.
            while let Ok(Some(line)) = self.log.next_line().await {
                self.seen.push(line);
            }
            self.child.wait().await
        };
        match tokio::time::timeout(DEADLINE, end).await {
            Ok(status) => status.unwrap().code(),
            Err(_) => panic!("it does not stop: {:#?}", self.seen),
        }
    }
}

/// Within the deadline, or the test fails and says what it has.
pub(crate) async fn in_time<T>(what: &str, seen: impl Debug, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(DEADLINE, future).await {
        Ok(value) => value,
        Err(_) => panic!("{what}: {seen:#?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn exit_codes_say_how_it_went() {
    let place = Place::new();
    let broken = place.write("broken.toml", "listen = 1\n");
    let nobody = "http://127.0.0.1:1";
    for (code, arguments) in [
        (0, &["--version"][..]),
        (0, &["serve", "--help"]),
        (0, &["config", "check"]),
        (1, &["config", "check", "--config", &broken]),
        (1, &["serve", "--config", &broken]),
        (1, &["serve", "--log", "loud"]),
        (1, &["why", "--url", nobody]),
        (1, &["models", "list", "--url", nobody]),
        (2, &[]),
        (2, &["frobnicate"]),
        (2, &["serve", "--listen", "nowhere"]),
    ] {
        let ended = place.run("pointsman", arguments, &[]).await;
        assert_eq!(ended.code, Some(code), "{arguments:?}: {ended:?}");
        let silent = ended.out.is_empty() && ended.err.is_empty();
        assert!(!silent, "{arguments:?} says nothing");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_file_is_named_with_all_that_is_wrong_in_it() {
    let place = Place::new();
    let file = place.write("pointsman.toml", "listen = 1\n[limits]\nnonsense = 1\n[keys]\nlaptop = 4711\n");
    // Found where it lies, as well as by its name.
    for arguments in [&["config", "check", "--json"][..], &["config", "check", "--json", "--config", &file]] {
        let ended = place.run("pointsman", arguments, &[]).await;
        let checked = ended.json();
        assert_eq!((ended.code, &checked["ok"]), (Some(1), &json!(false)), "{ended:?}");
        let problems = checked["problems"].as_array().unwrap();
        let keys: Vec<_> = problems.iter().map(|problem| problem["key"].as_str().unwrap()).collect();
        for key in ["listen", "limits.nonsense", "keys.laptop"] {
            assert!(keys.contains(&key), "{key}: {checked}");
        }
        assert!(!ended.out.contains("4711") && !ended.err.contains("4711"), "a key is printed: {ended:?}");
    }
    let text = place.run("pointsman", &["config", "check"], &[]).await;
    assert!(text.out.contains("limits.nonsense") && text.out.contains("line 3"), "{text:?}");
}

/// A model server that only lets in who knows its token.
async fn guarded() -> Emulator {
    let mut config: LmStudio = lmstudio();
    config.server.auth_tokens.push("lm-token".to_owned());
    Emulator::start(config).await.unwrap()
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn serve_lives_by_its_environment_and_puts_the_models_back_when_told_to_stop() {
    let (place, lmstudio) = (Place::new(), guarded().await);
    // The specialist would stay for an hour: what puts the baseline back is the end.
    let config = place.write("mine.toml", "[residency.local]\nlinger = \"1h\"\n");
    let base = format!("{}/v1", lmstudio.url());
    let mut serving = place.serve(&[
        ("OPENAI_API_BASE", &base),
        ("LM_API_TOKEN", "lm-token"),
        ("POINTSMAN_CONFIG", &config),
        ("POINTSMAN_LISTEN", "127.0.0.1:0"),
    ]);
    let url = serving.url().await;
    let gateway = [("POINTSMAN_URL", url.as_str())];
    let known = async {
        while !place.run("pointsman", &["models", "list", "--json"], &gateway).await.out.contains(SPECIALIST)
        {
        }
    };
    in_time("the models are not known", &serving.seen, known).await;

    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let body = json!({"model": "auto", "messages": [
        {"role": "user", "content": "Translate into German: the early bird catches the worm"}]});
    let sent = http.post(format!("{url}/v1/chat/completions")).json(&body).send();
    let answer = in_time("no answer", &serving.seen, sent).await.unwrap();
    assert_eq!(answer.status(), 200, "{:?}", answer.text().await);
    drop(answer.bytes().await);

    let record = place.run("pointsman", &["why", "--json"], &gateway).await;
    assert_eq!((record.code, &record.json()["skill"]), (Some(0), &json!("model-swapper")), "{record:?}");
    assert!(lmstudio.resident().iter().any(|it| *it.key == *SPECIALIST), "{:?}", lmstudio.resident());

    assert_eq!(serving.terminate().await, Some(0));
    let resident: Vec<_> =
        lmstudio.resident().iter().map(|it| (it.key.to_string(), it.context_length)).collect();
    assert_eq!(resident, [(GENERAL.to_owned(), CONTEXT)]);
    for seen in lmstudio.requests() {
        assert_eq!(seen.header("authorization"), Some("Bearer lm-token"), "{}", seen.path);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_emulator_prints_a_configuration_that_it_reads() {
    let place = Place::new();
    let printed = place.run("lmstudio-emulator", &["--memory-gb", "16", "--print-config"], &[]).await;
    assert_eq!(printed.code, Some(0), "{printed:?}");
    assert!(LmStudio::from_toml(&printed.out).is_ok(), "{printed:?}");
    let file = place.write("emulator.toml", "nonsense = 1");
    for (code, arguments) in [(1, &["--config", &file][..]), (2, &["--nonsense"])] {
        let ended = place.run("lmstudio-emulator", arguments, &[]).await;
        assert_eq!(ended.code, Some(code), "{arguments:?}: {ended:?}");
    }
}
