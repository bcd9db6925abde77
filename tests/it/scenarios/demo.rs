//! `pointsman demo` on a real engine, as a shell starts it: what it prints, its exit code, and that nothing is left of it.

use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use pointsman_tests::{engine, tools};
use serde_json::Value;
use tempfile::TempDir;

use crate::binary::program;

/// How long the demonstration may take before the test gives up: far more than it ever takes.
const DEADLINE: Duration = Duration::from_secs(180);

/// Plays the demonstration with nothing of this machine's settings, and with temporary folders in this one.
async fn demo(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = tokio::process::Command::from(Command::new(program("pointsman")));
    command.arg("demo").args(arguments).current_dir(folder).env_clear();
    command.env("HOME", folder).env("TMPDIR", folder).stdin(Stdio::null()).kill_on_drop(true);
    let output = tokio::time::timeout(DEADLINE, command.output()).await;
    output.expect("the demonstration does not end").unwrap()
}

/// The processes that were given a path in this folder.
fn processes(folder: &Path) -> Vec<String> {
    let output = tools::run(Command::new("ps").args(["-A", "-ww", "-o", "args="])).unwrap();
    let folder = folder.to_str().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    text.lines().filter(|line| line.contains(folder)).map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_demonstration_swaps_models_of_a_real_engine() {
    if engine::is_skipped() {
        return;
    }
    let folder = TempDir::new().unwrap();
    let server = engine::llama_server();
    let server = server.to_str().unwrap();
    let output = demo(folder.path(), &["--engine", "llama-server", "--llama-server", server, "--json"]).await;
    let report: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"));
    assert_eq!((output.status.code(), &report["ok"]), (Some(0), &Value::Bool(true)), "{report}\n{output:?}");
    let steps = report["steps"].as_array().unwrap();
    let all = |field: &str| steps.iter().map(|step| step[field].as_str().unwrap()).collect::<Vec<_>>();
    assert_eq!(all("kind"), ["request", "intent", "drain", "unload", "load", "answer", "restore"]);
    let (everyday, specialist) = ("scripted/everyday", "scripted/translategemma");
    assert_eq!(
        all("model"),
        [everyday, specialist, everyday, everyday, specialist, specialist, everyday],
        "{report}"
    );
    assert!(all("detail")[5].contains("Parking is forbidden here"), "{report}");
    let times: Vec<_> = steps.iter().map(|step| step["at_ms"].as_u64().unwrap()).collect();
    assert!(times.is_sorted(), "{times:?}");
    assert_eq!(report["loaded_before"], report["loaded_after"]);
    assert_eq!(report["loaded_before"][0]["settings"]["context_length"], 4096);
    assert_eq!(processes(folder.path()), [""; 0], "something of it runs on");
    let left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|it| it.unwrap().file_name()).collect();
    assert!(left.is_empty(), "{left:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_is_not_there_is_one_error_with_its_mend() {
    let folder = TempDir::new().unwrap();
    let output = demo(folder.path(), &["--llama-server", "no-such-program", "--json"]).await;
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0), "{said}");
    assert!(said.contains("no-such-program") && said.contains("--llama-server PATH"), "{said}");
    assert_eq!(said.trim().lines().count(), 1, "{said}");
}
