//! Skills that come and go while requests run: a store on a real disk, real guests, many requests at once.

#![cfg(test)]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use pointsman::id::{ModelId, SkillName};
use pointsman::skill::{
    Config, Delegates, FAILURES_MAX, Inquiry, Installed, ManageError, Offer, OnFailure, SkillConfig, Skills,
    State, StepResult, trial,
};
use pointsman::turn::verdict::Decision;
use pointsman_tests::guests::guest;
use tempfile::TempDir;

#[cfg(target_os = "linux")]
use crate::contained::footprint::{Footprint, alone};
use crate::skills::{reply, turn};

/// Skills with a store in a folder of their own.
struct Shop {
    folder: TempDir,
}

impl Shop {
    fn new() -> Self {
        Self { folder: TempDir::new().unwrap() }
    }

    /// Another life, with the same store.
    async fn open(&self) -> (Arc<Skills>, pointsman::skill::Housekeeping) {
        let config = Config {
            store: Some(self.folder.path().join("store")),
            folder: Some(self.folder.path().join("folder")),
            ..Config::default()
        };
        Skills::start(config, Delegates::nowhere(), &[]).await.unwrap()
    }
}

fn policy() -> SkillName {
    SkillName::new("policy")
}

fn offer(guest_name: &str) -> Offer {
    Offer {
        name: policy(),
        wasm: guest(guest_name).into(),
        source: format!("{guest_name}.wasm"),
        signature: None,
        grants: Vec::new(),
        force: false,
        approve: false,
    }
}

async fn install(skills: &Arc<Skills>, guest_name: &str) -> Installed {
    skills.install(offer(guest_name)).await.unwrap().1
}

async fn says(skills: &Arc<Skills>) -> String {
    reply(&skills.generation().decide(turn("")).await).to_owned()
}

#[tokio::test]
async fn versions_are_installed_upgraded_and_rolled_back() {
    let shop = Shop::new();
    let (skills, _housekeeping) = shop.open().await;
    assert_eq!(install(&skills, "policy-1").await, Installed::Activated);
    assert_eq!(says(&skills).await, "policy 1");
    let number = skills.generation().number();
    assert_eq!(install(&skills, "policy-1").await, Installed::Unchanged);
    assert_eq!(skills.generation().number(), number, "the same bytes change nothing");
    assert_eq!(install(&skills, "policy-2").await, Installed::Activated);
    assert_eq!(says(&skills).await, "policy 2");
    let refused = skills.install(offer("policy-1")).await.unwrap_err();
    assert!(
        matches!(refused, ManageError::Install(_)) && refused.to_string().contains("--force"),
        "{refused}"
    );
    skills.rollback(&policy()).await.unwrap();
    assert_eq!(says(&skills).await, "policy 1");
    assert!(matches!(skills.rollback(&policy()).await, Err(ManageError::Rollback(_))));
    drop(skills);
    let (skills, _housekeeping) = shop.open().await;
    assert_eq!(says(&skills).await, "policy 1", "after a restart, too");
    skills.remove(&policy()).await.unwrap();
    assert!(skills.statuses().is_empty() && skills.generation().decide(turn("")).await.steps.is_empty());
    assert!(matches!(skills.remove(&policy()).await, Err(ManageError::Unknown(_))));
}

#[tokio::test]
async fn a_bad_candidate_changes_nothing() {
    let shop = Shop::new();
    let (skills, _housekeeping) = shop.open().await;
    install(&skills, "policy-1").await;
    let number = skills.generation().number();
    for (guest_name, reason) in
        [("spins-in-configure", "in `configure`"), ("bare", "lifecycle"), ("from-the-future", "contract")]
    {
        let error = skills.install(offer(guest_name)).await.unwrap_err().to_string();
        assert!(error.contains(reason), "{guest_name}: {error}");
    }
    let garbage = Offer { wasm: Bytes::from_static(b"garbage"), ..offer("policy-2") };
    assert!(skills.install(garbage).await.unwrap_err().to_string().contains("is not WebAssembly"));
    let nameless = Offer { name: SkillName::new("../policy"), ..offer("policy-2") };
    assert!(matches!(skills.install(nameless).await, Err(ManageError::Name(_))));
    assert_eq!((says(&skills).await.as_str(), skills.generation().number()), ("policy 1", number));
}

#[tokio::test]
async fn an_upgrade_that_wants_more_waits_for_a_person() {
    let shop = Shop::new();
    let (skills, _housekeeping) = shop.open().await;
    install(&skills, "policy-2").await;
    let (looked, outcome) = skills.install(offer("policy-4")).await.unwrap();
    assert_eq!((outcome, looked.wants.len()), (Installed::Waits, 1));
    assert_eq!(says(&skills).await, "policy 2", "the old one serves meanwhile");
    skills.grant(&policy(), &["models".parse().unwrap()]).await.unwrap();
    assert_eq!(says(&skills).await, "policy 4 sees 0");
    assert!(skills.statuses()[0].denied.is_empty());
    skills.revoke(&policy(), &["models".parse().unwrap()]).await.unwrap();
    assert_eq!(skills.statuses()[0].denied.len(), 1);
    skills.set_enabled(&policy(), false).await.unwrap();
    assert_eq!(skills.statuses()[0].state, State::Disabled);
    skills.set_enabled(&policy(), true).await.unwrap();
    assert_eq!(says(&skills).await, "policy 4 sees 0");
}

#[tokio::test]
async fn a_version_that_fails_again_and_again_makes_way_for_the_last_good_one() {
    let shop = Shop::new();
    let (skills, housekeeping) = shop.open().await;
    install(&skills, "policy-2").await;
    install(&skills, "policy-3").await;
    let failing = async {
        for _ in 0..FAILURES_MAX {
            let outcome = skills.generation().decide(turn("")).await;
            assert!(matches!(outcome.steps[0].result, StepResult::Failed { .. }), "{outcome:?}");
        }
        while says_or_fails(&skills).await.is_none() {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        () = housekeeping.run() => panic!("it runs as long as the skills are there"),
        () = failing => {}
    }
    assert_eq!(says(&skills).await, "policy 2");
    let lock = skills.lock().await.unwrap();
    let broken = lock.entry(&policy()).unwrap().versions.iter().find(|it| it.version == "3.0.0").unwrap();
    assert!(broken.quarantined.as_ref().unwrap().contains("policy 3 cannot make sense"), "{broken:?}");
    let error = skills.statuses()[0].last_error.clone().unwrap();
    assert!(error.contains("3.0.0"), "{error}");
    let again = skills.install(offer("policy-3")).await.unwrap_err().to_string();
    assert!(again.contains("--force"), "{again}");
}

async fn says_or_fails(skills: &Arc<Skills>) -> Option<String> {
    match skills.generation().decide(turn("")).await.decision {
        Some((_, Decision::Reply(text))) => Some(text),
        _ => None,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_requests_at_once_never_notice_a_hundred_upgrades() {
    let shop = Shop::new();
    let (skills, _housekeeping) = shop.open().await;
    install(&skills, "policy-1").await;
    let is_over = Arc::new(AtomicBool::new(false));
    let mut asking = tokio::task::JoinSet::new();
    for _ in 0..200 {
        let (skills, is_over) = (skills.clone(), is_over.clone());
        asking.spawn(async move {
            let mut answers = 0_u32;
            while !is_over.load(Ordering::Relaxed) {
                let generation = skills.generation();
                let outcome = generation.decide(turn("")).await;
                // Which version is whose is told by the generation alone.
                let expected = if generation.number() % 2 == 0 { "policy 1" } else { "policy 2" };
                assert_eq!(reply(&outcome), expected, "generation {}", generation.number());
                answers += 1;
                tokio::task::yield_now().await;
            }
            answers
        });
    }
    for _ in 0..50 {
        let offer = Offer { force: true, ..offer("policy-2") };
        assert_eq!(skills.install(offer).await.unwrap().1, Installed::Activated);
        skills.rollback(&policy()).await.unwrap();
    }
    is_over.store(true, Ordering::Relaxed);
    let answers: Vec<u32> = asking.join_all().await;
    let (all, fewest) = (answers.iter().sum::<u32>(), answers.iter().min().unwrap());
    println!("{all} requests during 100 changes of the skill; the slowest client had {fewest}");
    assert!(*fewest > 0 && skills.generation().number() >= 101);
}

/// What a process holds can be measured only where nothing else happens in it.
#[cfg(target_os = "linux")]
#[test]
fn a_thousand_swaps_leave_nothing_behind() {
    println!("{}", alone("plugins::it_swaps_a_thousand_times", "1000 swaps:"));
}

#[cfg(target_os = "linux")]
#[tokio::test]
#[ignore = "runs in a process of its own, started by the test above"]
async fn it_swaps_a_thousand_times() {
    let shop = Shop::new();
    let (skills, _housekeeping) = shop.open().await;
    install(&skills, "policy-1").await;
    install(&skills, "policy-2").await;
    let swap = async || {
        skills.rollback(&policy()).await.unwrap();
        assert_eq!(says(&skills).await, "policy 1");
        let offer = Offer { force: true, ..offer("policy-2") };
        skills.install(offer).await.unwrap();
        assert_eq!(says(&skills).await, "policy 2");
    };
    // What is made once and kept, the allocator's own places among it, is made in the first of them.
    for _ in 0..100 {
        swap().await;
    }
    let before = Footprint::now();
    for _ in 0..500 {
        swap().await;
    }
    let after = Footprint::now();
    println!(
        "1000 swaps: resident {} → {} KiB, threads {} → {}, files {} → {}",
        before.resident_kib, after.resident_kib, before.threads, after.threads, before.files, after.files
    );
    assert!(after.resident_kib <= before.resident_kib + before.resident_kib / 20, "{before:?} {after:?}");
    assert!(after.threads <= before.threads + 2 && after.files <= before.files + 2, "{before:?} {after:?}");
}

#[tokio::test]
async fn a_store_that_was_tampered_with_falls_back_to_the_version_before() {
    let shop = Shop::new();
    let (skills, housekeeping) = shop.open().await;
    install(&skills, "policy-1").await;
    install(&skills, "policy-2").await;
    let lock = skills.lock().await.unwrap();
    let digest = lock.entry(&policy()).unwrap().active.unwrap();
    drop((skills, housekeeping));
    let store = shop.folder.path().join("store");
    let file = store.join("versions").join(format!("{}.wasm", digest.hex()));
    std::fs::write(&file, b"tampered").unwrap();
    // Its machine code is kept apart, and was made of what was installed: what serves is that, and no other component is read.
    let (skills, housekeeping) = shop.open().await;
    assert_eq!(says(&skills).await, "policy 2");
    drop((skills, housekeeping));
    std::fs::remove_dir_all(store.join("compiled")).unwrap();
    let (skills, _housekeeping) = shop.open().await;
    assert_eq!(says(&skills).await, "policy 1");
    let told = skills.statuses()[0].last_error.clone().unwrap();
    assert!(told.contains("in the place of a newer version"), "{told}");
}

#[tokio::test]
async fn a_table_of_cases_says_what_is_not_as_expected() {
    let table = r#"
        [[models]]
        id = "lmstudio/acme/otter-8b"
        [[cases]]
        text = "route otter"
        expect = { verdict = "route", model = "otter", says = "test: otter" }
        [[cases]]
        name = "it has no opinion"
        text = "hello"
        expect = { verdict = "pass" }
        [[cases]]
        name = "this is wrong"
        text = "route owl"
        expect = { verdict = "route", model = "otter" }
        [[cases]]
        name = "this, too"
        text = "hello"
        expect = { verdict = "reply" }
    "#;
    let report = trial::run(guest("router"), table).await.unwrap();
    let because: Vec<_> = report.cases.iter().map(|case| case.because.as_deref()).collect();
    let expected =
        [None, None, Some("expected a route to \"otter\""), Some("expected reply, and it said pass")];
    assert_eq!((report.ok, because), (false, expected.to_vec()));
    let failing = "[[cases]]\ntext = \"\"\nexpect = { verdict = \"fail\", says = \"cannot make sense\" }";
    assert!(trial::run(guest("traps"), failing).await.unwrap().ok);
    for (table, reason) in [
        ("", "missing field `cases`"),
        ("cases = []", "1 to"),
        ("grants = [\"x\"]\n[[cases]]\ntext = \"\"\nexpect = { verdict = \"pass\" }", "unknown grant"),
        ("[[cases]]\ntext = \"\"\nexpect = { verdict = \"pas\" }", "unknown variant"),
    ] {
        let error = trial::run(guest("router"), table).await.unwrap_err().to_string();
        assert!(error.contains(reason), "{error}");
    }
}

/// Where the process that is killed keeps its skills.
const STORE: &str = "POINTSMAN_TEST_STORE";

#[tokio::test]
async fn killed_at_any_moment_of_a_change_it_comes_back_whole() {
    for changes in 1..=8 {
        let shop = Shop::new();
        let (skills, housekeeping) = shop.open().await;
        install(&skills, "policy-1").await;
        drop((skills, housekeeping));
        let mut child = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "plugins::it_changes_until_it_is_killed", "--ignored", "--nocapture"])
            .env(STORE, shop.folder.path())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        // So many changes are done, and the next one has begun.
        let lines = std::io::BufRead::lines(std::io::BufReader::new(child.stdout.take().unwrap()));
        let seen =
            lines.map_while(Result::ok).filter(|line| line.starts_with("changed")).take(changes).count();
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(seen, changes, "it ended by itself");
        let (skills, _housekeeping) = shop.open().await;
        let answer = says(&skills).await;
        assert!(answer == "policy 1" || answer == "policy 2", "{answer}");
        assert_eq!(skills.statuses()[0].last_error, None, "nothing had to stand in for anything");
        install_forced(&skills, "policy-2").await;
        assert_eq!(says(&skills).await, "policy 2");
    }
}

async fn install_forced(skills: &Arc<Skills>, guest_name: &str) {
    skills.install(Offer { force: true, ..offer(guest_name) }).await.unwrap();
}

#[tokio::test]
#[ignore = "runs in a process of its own, started and killed by the test above"]
#[expect(clippy::disallowed_methods, reason = "how the test above says where")]
async fn it_changes_until_it_is_killed() {
    let folder = std::path::PathBuf::from(std::env::var(STORE).unwrap());
    let config = Config { store: Some(folder.join("store")), ..Config::default() };
    let (skills, _housekeeping) = Skills::start(config, Delegates::nowhere(), &[]).await.unwrap();
    loop {
        install_forced(&skills, "policy-2").await;
        println!("changed");
        skills.rollback(&policy()).await.unwrap();
        println!("changed");
    }
}

#[tokio::test]
async fn an_installed_guard_is_never_done_without() {
    let shop = Shop::new();
    let (skills, housekeeping) = shop.open().await;
    let guard = || Offer { name: SkillName::new("guards"), ..offer("guards") };
    // A version that guards nothing came before it.
    skills.install(Offer { wasm: guest("policy-1").into(), ..guard() }).await.unwrap();
    skills.install(Offer { approve: true, ..guard() }).await.unwrap();
    let narrowed = async |skills: &Arc<Skills>, text: &str| {
        let models = vec![ModelId::of("lmstudio", "acme/otter-8b")];
        Inquiry::new(skills.generation(), turn(text), pointsman::skill::Behind::default())
            .narrow(models)
            .await
            .allowed
    };
    let failing = async {
        for _ in 0..FAILURES_MAX {
            narrowed(&skills, "trap").await.unwrap_err();
        }
        while skills.generation().decide(turn("")).await.steps.is_empty() {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        () = housekeeping.run() => panic!("it runs as long as the skills are there"),
        () = failing => {}
    }
    let closed = async |skills: &Arc<Skills>| {
        let refusal = narrowed(skills, "only otter").await.unwrap_err();
        assert!(
            refusal.status == 503 && refusal.message.contains("nothing is served without"),
            "{refusal:?}"
        );
    };
    assert_eq!(says(&skills).await, "policy 1", "the version before answers");
    closed(&skills).await;
    drop(skills);
    let (skills, _housekeeping) = shop.open().await;
    closed(&skills).await;
    skills.set_enabled(&SkillName::new("guards"), true).await.unwrap();
    closed(&skills).await;
    // Whoever wants none says so.
    skills.remove(&SkillName::new("guards")).await.unwrap();
    assert_eq!(narrowed(&skills, "").await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_guard_that_does_not_load_is_known_for_one() {
    let shop = Shop::new();
    let folder = shop.folder.path().join("folder");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("guards.wasm"), guest("guards")).unwrap();
    let skill = SkillConfig { settings: serde_json::json!([1]), ..SkillConfig::default() };
    let config = Config {
        store: Some(shop.folder.path().join("store")),
        folder: Some(folder),
        skills: [("guards".to_owned(), skill)].into(),
        ..Config::default()
    };
    let (skills, _housekeeping) = Skills::start(config, Delegates::nowhere(), &[]).await.unwrap();
    assert!(matches!(skills.statuses()[0].state, State::Failed(_)));
    assert!(skills.generation().is_guarded());
    let needed = SkillConfig { on_failure: OnFailure::Refuse, ..SkillConfig::default() };
    let config = Config { skills: [("absent".to_owned(), needed)].into(), ..Config::default() };
    let (skills, _housekeeping) = Skills::start(config, Delegates::nowhere(), &[]).await.unwrap();
    assert!(skills.generation().is_guarded(), "what must not be done without is not there");
}

#[tokio::test]
async fn what_is_taken_from_a_skill_is_taken_whatever_it_makes_of_that() {
    let shop = Shop::new();
    let (skills, _housekeeping) = shop.open().await;
    let grants = vec!["models".parse().unwrap()];
    skills.install(Offer { grants, ..offer("policy-4") }).await.unwrap();
    assert!(skills.statuses()[0].denied.is_empty());
    skills.revoke(&policy(), &["models".parse().unwrap()]).await.unwrap();
    assert_eq!(skills.statuses()[0].denied.len(), 1);
}
