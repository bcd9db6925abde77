//! Every limit of what a skill may use, at work: what stays just under it passes, what goes just over it is stopped, and
//! where it was written in the configuration that is what counts.
//!
//! Limits of time are told apart by what no machine can mistake: some milliseconds against an hour. How many instances
//! there may be, and how often one is reused, is in `skills`; what verdicts may hold, beside the checks themselves.

#![cfg(test)]

use std::net::SocketAddr;

use pointsman::config::{Config, Overrides};
use pointsman::skill::{Limits, Outcome, State, StepResult};
use pointsman::turn::verdict::Decision;

use crate::skills::{Log, Setup, reply, turn};

/// A limit, what stays under it, and what goes over it.
struct Case {
    /// Who is told what to do.
    guest: &'static str,
    grants: &'static [&'static str],
    /// What the configuration says, and the order.
    under: (&'static str, &'static str),
    over: (&'static str, &'static str),
    /// What is said of the second, and not of the first.
    told: &'static str,
}

/// May use everything that `obeys` asks for.
const ALL: &[&str] = &["http=localhost", "inference", "kv=1GiB"];

const CASES: [Case; 19] = [
    case(
        "hook_cpu = \"60s\"",
        "ponder 100",
        "hook_cpu = \"5ms\"",
        "ponder 100",
        "used more than 5ms of computing time",
    ),
    Case {
        guest: "sleeps",
        grants: &[],
        under: ("wall_clock_asking = \"5ms\"", "sleep 50"),
        over: ("wall_clock = \"300ms\"", "sleep 3600000"),
        told: "did not answer within 300ms",
    },
    Case {
        guest: "sleeps",
        grants: &["http=localhost"],
        under: ("wall_clock_asking = \"60s\"", "sleep 50"),
        over: ("wall_clock_asking = \"5ms\"", "sleep 3600000"),
        told: "did not answer within 5ms",
    },
    case("", "take 33554432", "", "take 134217728", "of memory and may have 67108864"),
    case(
        "memory_bytes_max = 16777216",
        "take 8388608",
        "memory_bytes_max = 16777216",
        "take 16777216",
        "may have 16777216",
    ),
    case(
        "transfer_bytes_max = 100000",
        "answer 90000",
        "transfer_bytes_max = 100000",
        "answer 110000",
        "too much data",
    ),
    case(
        "host_calls_max = 10",
        "call 10",
        "host_calls_max = 10",
        "call 11",
        "called the host more than 10 times",
    ),
    case("", "dig 1000", "", "dig 10000000", "call stack exhausted"),
    case("", "answer 262144", "", "answer 262145", "the reply has 262145 bytes, more than 262144"),
    case("", "random 1023", "", "random 1025", "1024"),
    case("", "infer 16", "", "infer 17", "limit"),
    case("", "embed 256", "", "embed 257", "invalid"),
    case("", "embed-bytes 262144", "", "embed-bytes 262145", "invalid"),
    case("", "send 16", "", "send 17", "limit"),
    case("", "send-headers 64", "", "send-headers 65", "limit"),
    // The address has 17 bytes.
    case("", "send-bytes 1048559", "", "send-bytes 1048560", "limit"),
    case("", "keep 262144", "", "keep 262145", "limit"),
    case("", "keep-under 512", "", "keep-under 513", "invalid"),
    case("host_calls_max = 5", "log 5", "host_calls_max = 5", "log 6", "called the host more than 5 times"),
];

/// Skills that are within a limit and over it when they are loaded.
const LOADED: [(&str, &str, &str, &str); 3] = [
    // Three times 400 pages.
    ("memories-together", "memory_bytes_max = 78643200", "memory_bytes_max = 78643199", "may have 78643199"),
    (
        "wants-a-huge-table",
        "table_elements_max = 1000000",
        "table_elements_max = 999999",
        "exceeds the limit of 999999",
    ),
    (
        "obeys",
        "configure_cpu = \"60s\"",
        "configure_cpu = \"5ms\"",
        "used more than 5ms of computing time in `configure`",
    ),
];

const fn case(
    under: &'static str,
    to_stay: &'static str,
    over: &'static str,
    to_go: &'static str,
    told: &'static str,
) -> Case {
    Case { guest: "obeys", grants: ALL, under: (under, to_stay), over: (over, to_go), told }
}

/// The limits that this configuration means. What it does not say about time leaves enough of it on any machine.
fn limits(written: &str) -> Limits {
    let usual = [
        ("hook_cpu", "\"60s\""),
        ("configure_cpu", "\"60s\""),
        ("wall_clock", "\"600s\""),
        ("wall_clock_asking", "\"600s\""),
        ("instances_max", "4"),
    ];
    let unsaid = usual.iter().filter(|(key, _)| !written.contains(&format!("{key} =")));
    let unsaid: String = unsaid.map(|(key, value)| format!("{key} = {value}\n")).collect();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("pointsman.toml");
    std::fs::write(&file, format!("[limits.skills]\n{unsaid}{written}\n")).unwrap();
    let overrides = Overrides {
        listen: Some(SocketAddr::from(([127, 0, 0, 1], 0))),
        data_dir: Some(folder.path().to_owned()),
        ..Overrides::default()
    };
    Config::load(Some(&file), &overrides).unwrap().skills.limits
}

fn setup(guest: &'static str, grants: &[&str], written: &str) -> Setup {
    let grants = grants.iter().map(|it| it.parse().unwrap()).collect();
    Setup::of(&[guest]).skill(guest, |it| it.grants = Some(grants)).limits(limits(written))
}

/// What became of it, in one text: what it replied, or of what it failed.
fn outcome(outcome: &Outcome) -> Result<&str, &str> {
    match (&outcome.decision, &outcome.steps[0].result) {
        (Some((_, Decision::Reply(text))), _) => Ok(text),
        (_, StepResult::Failed { message } | StepResult::Unasked { message }) => Err(message),
        _ => panic!("{outcome:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_under_a_limit_passes_and_what_is_over_it_is_stopped() {
    for Case { guest, grants, under, over, told } in CASES {
        let stays = setup(guest, grants, under.0).ask(under.1).await;
        let said = outcome(&stays).unwrap_or_else(|failed| panic!("{}: {failed}", under.1));
        assert!(!said.contains(told), "{}: {said}", under.1);
        let goes = setup(guest, grants, over.0).ask(over.1).await;
        let (Ok(said) | Err(said)) = outcome(&goes);
        assert!(said.contains(told), "{}: {said}", over.1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_over_a_limit_when_it_is_loaded_is_not_used() {
    for (guest, under, over, told) in LOADED {
        let states = async |written: &str| {
            let ponders = serde_json::json!({"ponder": true});
            let setup = setup(guest, ALL, written).skill(guest, |it| it.settings = ponders);
            let (skills, _, _) = setup.start().await;
            skills.statuses()[0].state.clone()
        };
        assert_eq!(states(under).await, State::Active, "{guest}: {under}");
        let state = states(over).await;
        assert!(state.reason().is_some_and(|it| it.contains(told)), "{guest}: {over}: {state:?}");
    }
}

#[tokio::test]
async fn lines_and_bytes_of_the_log_end_at_their_limits() {
    let cases = [
        ("log_lines_max = 5", "log 5", 5, false),
        ("log_lines_max = 5", "log 6", 5, true),
        ("log_bytes_max = 100", "log-bytes 100", 1, false),
    ];
    for (written, order, lines, is_cut) in cases {
        let log = Log::default();
        let logged = log.during(setup("obeys", ALL, written).ask(order)).await;
        assert_eq!(reply(&logged), "logged");
        let written = log.lines("obeys");
        let dropped = written.iter().filter(|line| line.contains("further lines of this call are dropped"));
        assert_eq!(
            (written.len() - dropped.clone().count(), dropped.count() == 1),
            (lines, is_cut),
            "{written:?}"
        );
    }
    let bytes = async |order: &str| {
        let log = Log::default();
        log.during(setup("obeys", ALL, "log_bytes_max = 100").ask(order)).await;
        log.lines("obeys").iter().map(|line| line.matches('x').count()).max()
    };
    assert_eq!((bytes("log-bytes 100").await, bytes("log-bytes 101").await), (Some(100), Some(100)));
}

#[tokio::test]
async fn a_warm_instance_is_kept_while_it_has_grown_within_its_limit() {
    let counts = async |written: &str| {
        let (skills, _, _) = setup("grows", &[], written).start().await;
        let mut counts = Vec::new();
        for _ in 0..3 {
            counts.push(reply(&skills.generation().decide(turn("")).await).to_owned());
        }
        counts
    };
    // It leaks five megabytes a call.
    assert_eq!(counts("reuse_growth_bytes_max = 33554432").await, ["1", "2", "3"]);
    assert_eq!(counts("reuse_growth_bytes_max = 4194304").await, ["1", "1", "1"]);
    assert_eq!(counts("reuse_growth_bytes_max = 33554432\nreuse_max = 2").await, ["1", "2", "1"]);
    assert_eq!(counts("reuse_growth_bytes_max = 33554432\nreuse_max = 3").await, ["1", "2", "3"]);
}
