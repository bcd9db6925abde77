//! What was reported is there after `kill -9`. The process that is killed is this test binary again, running the test that
//! only it runs.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, ChildStdout, Command, Stdio};

use super::*;

/// A file whose presence says that a test runs in a process of its own, to be killed.
const MARK: &str = "to-be-killed";

/// The number that stands before each number the child reports.
const REPORT: &str = "synced ";

/// Starts the child on this folder.
fn start(folder: &Path) -> (Child, BufReader<ChildStdout>) {
    std::fs::write(folder.join(MARK), "").unwrap();
    let (_, module) = module_path!().split_once("::").unwrap();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "--nocapture", &format!("{module}::it_writes_until_it_is_killed")])
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let output = BufReader::new(child.stdout.take().unwrap());
    (child, output)
}

/// The next number that the child reports.
fn next_report(output: &mut BufReader<ChildStdout>) -> u32 {
    loop {
        let mut line = String::new();
        assert_ne!(output.read_line(&mut line).unwrap(), 0, "the child ended");
        if let Some(number) = line.strip_prefix(REPORT) {
            return number.trim().parse().unwrap();
        }
    }
}

#[test]
fn what_was_reported_survives_a_kill() {
    let folder = tempfile::tempdir().unwrap();
    for round in 0..3 {
        let (mut child, mut output) = start(folder.path());
        let mut last = 0;
        while last < 20 * (round + 1) {
            last = next_report(&mut output);
        }
        let error = Store::open(folder.path()).unwrap_err();
        let named = matches!(error, OpenError::InUse { process: Some(id), .. } if id == child.id());
        assert!(named, "{error}");
        // In the middle of what it writes, since it does nothing else.
        child.kill().unwrap();
        child.wait().unwrap();
        let mut rest = String::new();
        output.read_to_string(&mut rest).unwrap();
        let reports = rest.lines().filter_map(|line| line.strip_prefix(REPORT)?.parse().ok());
        let last = reports.fold(last, u32::max);

        let store = Store::open(folder.path()).unwrap();
        for number in 1..=last {
            let pair = [("with", number), ("synced", number)]
                .map(|(kind, number)| store.get::<u32>(PLACES, &format!("{kind}-{number}")).unwrap());
            assert_eq!(pair, [Some(number), Some(number)], "of {last}");
        }
    }
}

#[tokio::test]
#[ignore = "runs in a process of its own, started and killed by the test above"]
async fn it_writes_until_it_is_killed() {
    if !Path::new(MARK).exists() {
        return;
    }
    let store = Store::open_within(Path::new("."), patient()).unwrap();
    for number in 1_u32.. {
        store.put(PLACES, &format!("with-{number}"), &number);
        store.put_synced(PLACES, &format!("synced-{number}"), &number).await.unwrap();
        println!("\n{REPORT}{number}");
    }
}
