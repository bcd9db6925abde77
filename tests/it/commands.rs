//! Chat commands, picked models, guards and what skills ask of models, through a whole gateway and an emulated LM Studio.

#![cfg(test)]

use lmstudio_emulator::Config as LmStudio;
use pointsman_tests::guests::guest;
use pointsman_tests::world::{Answer, GENERAL, VISION as OTHER, World, lmstudio, says};

const EMBEDDER: &str = "text-embedding-nomic-embed-text-v1.5";
const TRANSLATE: &str = "Translate into German: Where is the station?";

/// Memory for two language models, which are in it, beside one for embeddings.
fn two() -> LmStudio {
    lmstudio().memory_gb(64.0).loaded(OTHER).loaded(EMBEDDER)
}

const ROOM_FOR_TWO: &str = "[residency.local]\nmax_loaded = 2\n[defaults]\nmodel = \"gpt-oss-20b\"\n";

async fn command(world: &World, text: &str) -> String {
    let answer = world.ask("s", &says(text)).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.header("x-pointsman-skill"), "chat-commands", "{answer:?}");
    answer.text()
}

fn served_by(answer: &Answer) -> &str {
    answer.header("x-pointsman-model")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_conversation_shows_and_changes_its_model() {
    let world = World::configured(two(), ROOM_FOR_TWO).await;
    let models = command(&world, "/models").await;
    assert!(
        models.contains(GENERAL) && models.contains(OTHER) && !models.contains("text-embedding"),
        "{models}"
    );
    let set = command(&world, &format!("/model {OTHER}")).await;
    assert!(set.contains(OTHER), "{set}");
    let served = world.ask("s", &says("hello")).await;
    assert!(served_by(&served).ends_with(OTHER), "{served:?}");
    // A person's choice is strict: no skill routes past it, in this conversation alone.
    let strict = world.ask("s", &says(TRANSLATE)).await;
    assert!(served_by(&strict).ends_with(OTHER), "{strict:?}");
    let elsewhere = world.ask("t", &says("hello")).await;
    assert!(served_by(&elsewhere).ends_with(GENERAL), "{elsewhere:?}");
    let why = command(&world, "/why").await;
    assert!(why.contains("qwen2.5-vl"), "{why}");
    let unknown = command(&world, "/model nonsense").await;
    assert!(unknown.contains("nonsense"), "{unknown}");
    command(&world, "/model default").await;
    let back = world.ask("s", &says("hello")).await;
    assert!(served_by(&back).ends_with(GENERAL), "{back:?}");
    let skills = command(&world, "/skills").await;
    assert!(skills.contains("model-swapper") && skills.contains("active"), "{skills}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_command_goes_its_ordinary_way() {
    let toml = "[defaults]\ncommand_prefix = \"!\"\n";
    let world = World::configured(lmstudio(), toml).await;
    for text in ["/models", "!nonsense", "what does !models do?"] {
        let answer = world.ask("s", &says(text)).await;
        assert!(served_by(&answer).ends_with(GENERAL), "{text}: {answer:?}");
    }
    assert!(command(&world, "!models").await.contains(GENERAL));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guard_narrows_whatever_was_chosen() {
    let world = World::with_skills(two(), ROOM_FOR_TWO, &[("guards.wasm", guest("guards"))]).await;
    let allowed = world.ask("s", &says(&format!("only {GENERAL}"))).await;
    assert!(served_by(&allowed).ends_with(GENERAL), "{allowed:?}");
    for (text, status) in [("none", 403), ("only nobody", 403), ("trap", 503)] {
        let refused = world.ask("s", &says(text)).await;
        assert_eq!(refused.status, status, "{text}: {refused:?}");
        assert!(refused.error().unwrap().contains("the guard `guards`"), "{refused:?}");
    }
    let record = world.record(&world.ask("s", &says("none")).await).await;
    assert!(record.steps.iter().any(|step| &*step.skill == "guards"), "{record:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_skill_asks_models_that_are_in_memory() {
    let toml = format!("{ROOM_FOR_TWO}[skills.infers]\ngrants = [\"inference\"]\n");
    let world = World::with_skills(two(), &toml, &[("infers.wasm", guest("infers"))]).await;
    let told = world.ask("s", &says(&format!("ask {OTHER}"))).await.text();
    assert!(told.starts_with("Ok(") && told.contains(OTHER), "{told}");
    let vectors = world.ask("s", &says(&format!("embed {EMBEDDER}"))).await.text();
    assert_eq!(vectors, "Ok(2)");
    let away = world.ask("s", &says("ask translategemma")).await.text();
    assert_eq!(away, "Err(\"unavailable\")", "nothing is loaded for a skill's question");
    assert_eq!(world.resident().len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_skill_keeps_what_it_is_granted() {
    let toml = "[skills.keeps]\ngrants = [\"kv=100\"]\n";
    let world = World::with_skills(lmstudio(), toml, &[("keeps.wasm", guest("keeps"))]).await;
    let ask = async |text: &str| world.ask("s", &says(text)).await.text();
    assert_eq!(ask("count").await, "Ok(1.0) Ok([\"asked\"])");
    assert_eq!(ask("keep 80").await, "Ok(())");
    assert_eq!(ask("keep 100").await, "Err(\"limit\")");
    assert_eq!(ask("count").await, "Ok(2.0) Ok([\"asked\", \"much\"])");
}

/// With `obeys`, which may keep much and read its conversations, and has time enough for it on any machine.
async fn obeying() -> World {
    let toml = "[skills.obeys]\ngrants = [\"kv=1GiB\", \"conversation\"]\n\
        [limits.skills]\nhook_cpu = \"60s\"\nwall_clock = \"600s\"\nhost_calls_max = 10000\n";
    World::with_skills(lmstudio(), toml, &[("obeys.wasm", guest("obeys"))]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_skill_is_told_of_so_many_keys_at_once() {
    let world = obeying().await;
    let ask = async |text: &str| world.ask("s", &says(text)).await.text();
    for (from, keys) in [(0, "Ok(500)"), (500, "Ok(1000)"), (1000, "Ok(1000)")] {
        assert_eq!(ask(&format!("keep-from {from}")).await, "Ok(())");
        assert_eq!(ask("keys 0").await, keys);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_skill_reads_so_much_of_a_conversation() {
    let world = obeying().await;
    let ask = async |before: Vec<String>, order: &str| {
        let said = before.into_iter().map(|text| ("assistant", text));
        let messages: Vec<_> = said
            .chain([("user", order.to_owned())])
            .map(|(role, text)| serde_json::json!({"role": role, "content": text}))
            .collect();
        let answer = world.ask("s", &serde_json::json!({"model": "auto", "messages": messages})).await;
        assert_eq!(answer.header("x-pointsman-skill"), "obeys", "{answer:?}");
        answer.text()
    };
    let (kib, mib) = (1024, 1024 * 1024);
    let long = |bytes: usize, count: usize| vec!["x".repeat(bytes); count];
    let many = |count: usize| vec!["hello".to_owned(); count];
    for (before, order, said) in [
        // Messages at once: with the order itself, the last of them.
        (many(999), "read 5000", "Ok((1000, 9))"),
        (many(1000), "read 5000", "Ok((1000, 5))"),
        // Bytes of one.
        (long(256 * kib, 1), "read 10", "Ok((2, 262144))"),
        (long(256 * kib + 1, 1), "read 10", "Ok((2, 262144))"),
        // Bytes of all.
        (long(256 * kib, 3), "read 10", "Ok((4, 262144))"),
        (long(256 * kib, 4), "read 10", "Ok((4, 262144))"),
        (long(mib + 1, 1), "read-body 0", "Err(\"limit\")"),
    ] {
        assert_eq!(ask(before, order).await, said);
    }
    let body = ask(long(mib - 200, 1), "read-body 0").await;
    let bytes = body.trim_start_matches("Ok(").trim_end_matches(')').parse::<usize>().unwrap();
    assert!((mib - 200..=mib).contains(&bytes), "{body}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_in_the_folder_is_used_when_it_is_whole() {
    let world = World::configured(lmstudio(), "").await;
    let file = world.folder().join("data/skills/policy.wasm");
    let wasm = guest("policy-1");
    std::fs::write(&file, &wasm[..wasm.len() / 2]).unwrap();
    let says_policy = async |expected: &str| loop {
        let text = world.ask("s", &says("hello")).await.text();
        if text == expected {
            return;
        }
        tokio::task::yield_now().await;
    };
    std::fs::write(&file, &wasm).unwrap();
    says_policy("policy 1").await;
    std::fs::write(&file, guest("policy-2")).unwrap();
    says_policy("policy 2").await;
    // A broken one changes nothing, and says so.
    std::fs::write(&file, b"garbage").unwrap();
    loop {
        let statuses = world.gateway.gateway().skills.statuses();
        let policy = statuses.iter().find(|it| it.name.as_str() == "policy").unwrap();
        if policy.last_error.as_ref().is_some_and(|told| told.contains("a newer file that is not used")) {
            break;
        }
        tokio::task::yield_now().await;
    }
    says_policy("policy 2").await;
    std::fs::remove_file(&file).unwrap();
    says_policy(&format!("[{GENERAL}] You wrote: hello")).await;
}
