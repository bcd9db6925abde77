//! What the configuration says of skills, changed while they serve: nothing is served past a guard, what is taken from a skill is
//! taken, and what one does not take is said until it does.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use lmstudio_emulator::Emulator;
use pointsman_tests::guests::guest;
use pointsman_tests::world::{GENERAL, World, beside, lmstudio, says};
use reqwest::Method;
use serde_json::{Value, json};

use super::{admin, ask, reload, take, until, write};

async fn state(world: &World, name: &str) -> Value {
    let status = admin(world, Method::GET, "status").await;
    let skills = status["skills"].as_array().unwrap();
    skills.iter().find(|skill| skill["name"] == name).unwrap()["state"].clone()
}

async fn problem(world: &World, toml: &str) -> String {
    write(world, toml);
    let reloaded = reload(world).await;
    assert_eq!(reloaded["ok"], json!(true), "{reloaded}");
    reloaded["configuration"]["problems"].to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_right_that_is_taken_is_taken_whatever_the_skill_makes_of_it() {
    let granted = "[skills.insists]\ngrants = [\"kv\"]\n";
    let world = World::with_skills(lmstudio(), granted, &[("insists.wasm", guest("insists"))]).await;
    assert_eq!(world.ask("s", &says("hello")).await.text(), "in force");
    let told = problem(&world, "[skills.insists]\ngrants = []\n").await;
    assert!(told.contains("skills.insists") && told.contains("is not asked any more"), "{told}");
    assert_eq!(state(&world, "insists").await, "failed");
    assert!(world.ask("s", &says("hello")).await.text().contains(GENERAL), "the model answers");
    take(&world, granted).await;
    assert_eq!(world.ask("s", &says("hello")).await.text(), "in force");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_skill_that_must_not_be_done_without_any_more_does_not_keep_what_it_had() {
    let settings = "[skills.settings.settings]\ngreeting = \"one\"\n";
    let world = World::with_skills(lmstudio(), settings, &[("settings.wasm", guest("settings"))]).await;
    assert_eq!(world.ask("s", &says("hello")).await.status, 200);
    let needed = "[skills.settings]\non_failure = \"refuse\"\nsettings = { grunt = 1 }";
    let told = problem(&world, needed).await;
    assert!(told.contains("is not asked any more"), "{told}");
    assert_eq!(world.ask("s", &says("hello")).await.status, 503);
    take(&world, settings).await;
    assert_eq!(world.ask("s", &says("hello")).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_skill_that_is_kept_on_other_limits_is_named_until_it_takes_those_in_force() {
    let settings = "[skills.settings.settings]\ngreeting = \"one\"\n";
    let world = World::with_skills(lmstudio(), settings, &[("settings.wasm", guest("settings"))]).await;
    let small = format!("{settings}[limits.skills]\nmemory_bytes_max = 65536\n");
    for toml in [small.clone(), small.clone(), format!("{small}[defaults]\nfallbacks = [\"nobody\"]")] {
        let told = problem(&world, &toml).await;
        assert!(told.contains("skills.settings") && told.contains("goes on as before"), "{told}");
        assert_eq!(world.ask("s", &says("hello")).await.text(), r#"{"greeting":"one"}"#);
    }
    take(&world, settings).await;
    take(&world, settings).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_comes_with_its_guard_serves_nothing_past_it() {
    let cloud = Emulator::start(lmstudio()).await.unwrap();
    let off = "[skills.guards]\nenabled = false\n";
    let guards = [("guards.wasm", guest("guards"))];
    let world = Arc::new(World::with_skills(lmstudio(), off, &guards).await);
    let is_over = Arc::new(AtomicBool::new(false));
    let cloudy = format!("cloud/{GENERAL}");
    let client = {
        let (world, is_over, cloudy) = (world.clone(), is_over.clone(), cloudy.clone());
        beside(async move {
            let body = json!({"model": cloudy, "messages": [{"role": "user", "content": "none"}]});
            while !is_over.load(Ordering::Relaxed) {
                let answer = world.ask("s", &body).await;
                assert_ne!(answer.status, 200, "it is served past its guard");
            }
        })
    };
    take(&world, &format!("[providers.cloud]\nurl = \"{}\"", cloud.url())).await;
    until("the guard lets others through", async || ask(&world, &cloudy, "").await.status == 200).await;
    is_over.store(true, Ordering::Relaxed);
    client.await.unwrap();
}
