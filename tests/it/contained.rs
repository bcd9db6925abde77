//! The folder of badly behaved guests, each in a running gateway: the request is served by the default route, the skill
//! beside it does its work, its place comes free, and the user can read why. A guard that does the same refuses.
//!
//! Nothing here measures time: what the gateway's own limits do not end would never let its test end.

#![cfg(test)]

mod files;
#[cfg(target_os = "linux")]
pub(crate) mod footprint;

use std::path::Path;

use pointsman::skill::{FAILURES_MAX, State, Status};
use pointsman::telemetry::Record;
use pointsman_tests::guests::guest;
use pointsman_tests::world::{Answer, GENERAL, World, lmstudio, says};

/// Misbehaves when it is asked: what `why` and `skill list` say of it then.
const WHEN_ASKED: [(&str, &str); 17] = [
    ("answers-a-crowd", "too much data is being copied between the host and the guest"),
    ("answers-from-nowhere", "was ended: string pointer/length out of bounds of memory"),
    ("answers-hugely", "too much data is being copied between the host and the guest"),
    ("calls-home", "called the host more than 1000 times"),
    ("crafts-handles", "was ended: cannot allocate another handle"),
    ("errs", "answered with an error: unavailable: the oracle is out"),
    ("hoards-handles", "held more handles of WASI's than it may"),
    ("hoards-table-elements", "it wanted 21000 table elements and may have 20000"),
    ("hogs-at-once", "bytes of memory and may have 67108864"),
    ("hogs-by-growth", "bytes of memory and may have 67108864"),
    ("policy-3", "it printed: thread '<unnamed>' (1) panicked"),
    ("recurses", "call stack exhausted"),
    ("sleeps", "did not answer within 300ms"),
    ("spins", "used more than 500ms of computing time"),
    ("traps", "cannot make sense of"),
    ("traps-after-deciding", "crashed"),
    ("watches-the-clock", "used more than 500ms of computing time"),
];

/// Verdicts that no gateway should believe, by the words that `lies` tells them at, and what `why` says of each.
const LIES: [(&str, &str); 14] = [
    ("control", "the reason holds control characters"),
    ("header", "the reason holds control characters"),
    ("tag", "the tag holds control characters"),
    ("escape", "the reply holds control characters"),
    ("long", "the reason has 10000 bytes, more than 500"),
    ("nobody", "it has 0 candidates"),
    ("crowd", "it has 1000 candidates"),
    ("status", "status 200 is not between 400 and 599"),
    ("media", "a prompt names medium 7 of a turn that has 0"),
    ("fields", "a part's fields is not a JSON object"),
    ("patch", "a candidate's patch is not a JSON object"),
    ("model", "a candidate's patch may not touch `model`"),
    ("stream", "a candidate's patch may not touch `stream`"),
    ("amend", "the patch may not touch `messages`"),
];

/// What a guard does when it is told to, and what the client whose request is refused reads.
const GUARDED: [(&str, &str); 7] = [
    ("fail", "answered with an error: invalid: no"),
    ("trap", "the guard trapped"),
    ("spin", "used more than 500ms of computing time"),
    ("sleep", "did not answer within 5s"),
    ("hog", "bytes of memory and may have 67108864"),
    ("recurse", "call stack exhausted"),
    ("answer hugely", "too much data is being copied between the host and the guest"),
];

/// Limits that only those reach who misbehave. There are fewer places than bad guests: one that was not given back would
/// be missed.
const LIMITS: &str = "[limits.skills]\nhook_cpu = \"500ms\"\ninstances_max = 4\n";

/// A gateway with these guests, and a good skill that is asked after all of them, for its name is the last.
async fn beside_a_good_one(toml: &str, skills: impl IntoIterator<Item = (&str, Vec<u8>)>) -> World {
    let mut files: Vec<(String, Vec<u8>)> =
        skills.into_iter().map(|(name, wasm)| (format!("{name}.wasm"), wasm)).collect();
    files.push(("zz-speaks.wasm".to_owned(), guest("speaks")));
    let files: Vec<(&str, Vec<u8>)> =
        files.iter().map(|(file, wasm)| (file.as_str(), wasm.clone())).collect();
    World::with_skills(lmstudio(), &format!("{LIMITS}{toml}"), &files).await
}

/// The good skill does its work.
async fn the_good_one_speaks(world: &World) {
    let answer = world.ask("s", &says("say good morning")).await;
    assert_eq!((answer.header("x-pointsman-skill"), answer.text().as_str()), ("zz-speaks", "good morning"));
}

/// The answer is the default model's.
fn is_served(answer: &Answer, words: &str) {
    assert_eq!(answer.text(), format!("[{GENERAL}] You wrote: {words}"), "{answer:?}");
}

fn status(world: &World, name: &str) -> Status {
    let statuses = world.gateway.gateway().skills.statuses();
    let found = statuses.iter().find(|it| it.name.as_str() == name);
    found.unwrap_or_else(|| panic!("{name}: {statuses:?}")).clone()
}

/// What a skill failed of, as people read it: one short line.
fn failure(record: &Record, name: &str) -> String {
    let step = record.steps.iter().find(|step| *step.skill == *name);
    let step = step.unwrap_or_else(|| panic!("{name}: {record:?}"));
    assert_eq!(step.result, "failed", "{name}: {step:?}");
    let told = step.detail.as_deref().unwrap_or_default().to_owned();
    assert!(told.len() < 1000 && !told.contains(char::is_control), "{name}: {told:?}");
    told
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_misbehaves_when_asked_is_passed_over() {
    // Who sleeps is told from who computes by what it may use.
    let toml = "wall_clock = \"60s\"\nwall_clock_asking = \"300ms\"\n[skills.sleeps]\ngrants = [\"http=localhost\"]\n";
    let world = beside_a_good_one(toml, WHEN_ASKED.map(|(name, _)| (name, guest(name)))).await;
    let plain = world.ask("s", &says("hello")).await;
    is_served(&plain, "hello");
    let record = world.record(&plain).await;
    for (name, reason) in WHEN_ASKED {
        let told = failure(&record, name);
        assert!(told.contains(reason), "{name}: {told}");
        let status = status(&world, name);
        assert_eq!((&status.state, status.last_error.as_ref()), (&State::Active, Some(&told)), "{name}");
    }
    the_good_one_speaks(&world).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_verdict_that_lies_is_refused() {
    let world = beside_a_good_one("", [("lies", guest("lies"))]).await;
    for (lie, reason) in LIES {
        let answer = world.ask("s", &says(lie)).await;
        is_served(&answer, lie);
        assert!(answer.headers.get("set-cookie").is_none(), "{answer:?}");
        let record = world.record(&answer).await;
        let told = failure(&record, "lies");
        assert!(
            told.starts_with("gave a verdict that was refused: ") && told.contains(reason),
            "{lie}: {told}"
        );
        // It passes on this, so that it is not taken out of use before it has told all its lies.
        the_good_one_speaks(&world).await;
    }
    let unknown = world.ask("s", &says("unknown")).await;
    is_served(&unknown, "unknown");
    let notes = world.record(&unknown).await.notes;
    assert_eq!(*notes, ["lies routed to models that nobody knows: nobody/has-this"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_skill_makes_of_the_end_is_its_own_affair() {
    let world = beside_a_good_one("", [("traps-when-told", guest("traps-when-told"))]).await;
    for _ in 0..FAILURES_MAX {
        let answer = world.ask("s", &says("hello")).await;
        assert_eq!((answer.status, answer.text().as_str()), (200, "decided"), "{answer:?}");
    }
    while !status(&world, "traps-when-told").last_error.is_some_and(|told| told.contains("regrets r")) {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guard_that_misbehaves_refuses() {
    let world = beside_a_good_one("wall_clock = \"5s\"\n", [("guards", guest("guards"))]).await;
    for (order, reason) in GUARDED {
        let refused = world.ask("s", &says(order)).await;
        let told = refused.error().unwrap_or_default();
        assert!(
            refused.status == 503 && told.contains("the guard `guards`") && told.contains(reason),
            "{order}: {refused:?}"
        );
        let record = world.record(&refused).await;
        assert!(failure(&record, "guards").contains(reason), "{record:?}");
        assert!(status(&world, "guards").last_error.is_some_and(|it| it.contains(reason)), "{order}");
        // It lets this through, so that it is not taken out of use before it has done everything.
        is_served(&world.ask("s", &says("only gpt")).await, "only gpt");
    }
}

#[test]
fn every_guest_is_in_some_test() {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut sources = String::new();
    read_all(&tests.join("it"), &mut sources);
    read_all(&tests.join("src"), &mut sources);
    for (folder, extension) in [("guests/examples", "rs"), ("guests/wat", "wat")] {
        for file in std::fs::read_dir(tests.join(folder)).unwrap() {
            let path = file.unwrap().path();
            if path.extension().is_none_or(|it| it != extension) {
                continue;
            }
            let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
            let is_named =
                sources.contains(&format!("\"{name}\"")) || sources.contains(&format!("\"{name}.wat\""));
            assert!(is_named, "no test names the guest {}", path.display());
        }
    }
}

fn read_all(folder: &Path, text: &mut String) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            read_all(&path, text);
        } else if path.extension().is_some_and(|it| it == "rs") {
            text.push_str(&std::fs::read_to_string(&path).unwrap());
        }
    }
}
