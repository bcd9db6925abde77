//! Each class of keys is seen to take effect, while requests run.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use lmstudio_emulator::Emulator;
use lmstudio_emulator::Fault;
use lmstudio_emulator::fault::{Kind, Route};
use pointsman::residency::{ProviderState, Report};
use pointsman_tests::guests::guest;
use pointsman_tests::world::{CONTEXT, GENERAL, GENERAL_ID, OTHER, VISION, World, beside, lmstudio, says};
use reqwest::Method;
use serde_json::{Value, json};

use super::{PATIENCE, admin, nothing_was_unloaded, reload, take, until, write};

/// Ids of the models that clients are told of, without `auto`.
async fn listed(world: &World) -> Vec<String> {
    let url = format!("{}/pointsman/v1/models", world.gateway.url());
    let sent = world.http.get(url).bearer_auth(world.gateway.admin_token()).send().await.unwrap();
    let body: Value = sent.json().await.unwrap();
    body["models"].as_array().unwrap().iter().map(|it| it["id"].as_str().unwrap().to_owned()).collect()
}

async fn model(world: &World, id: &str) -> Value {
    let told = admin(world, Method::GET, "models").await;
    told["models"].as_array().unwrap().iter().find(|it| it["id"] == id).unwrap().clone()
}

fn asks(model: &str) -> Value {
    json!({"model": model, "stream": true, "messages": [{"role": "user", "content": "hello"}]})
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_run_through_fifty_reloads() {
    let world = Arc::new(World::start(lmstudio()).await);
    let is_over = Arc::new(AtomicBool::new(false));
    let clients: Vec<_> = (0..6)
        .map(|client| {
            let (world, is_over) = (world.clone(), is_over.clone());
            beside(async move {
                let mut answers = 0;
                while !is_over.load(Ordering::Relaxed) {
                    let answer = world.ask(&format!("s{client}"), &asks("auto")).await;
                    assert!(answer.status == 200 && answer.is_terminated(), "{answer:?}");
                    assert_eq!(answer.error(), None, "{answer:?}");
                    answers += 1;
                }
                answers
            })
        })
        .collect();
    for turn in 0..50 {
        let toml = match turn % 5 {
            0 => "[limits]\nstream_grace = \"1s\"\nconnections_max = 64\n[residency.local]\nmax_loaded = 2",
            1 => "[residency.local]\nmemory = \"24GiB\"\nmax_queue = 9\n[models.nobody]\naliases = [\"x\"]",
            2 => "[skills.model-swapper]\npriority = 7\n[providers.spare]\nurl = \"http://127.0.0.1:9\"",
            3 => "[limits.skills]\nhook_cpu = \"80ms\"\n[defaults]\nfallbacks = [\"nobody\"]",
            _ => "[providers.spare]\nurl = \"http://127.0.0.1:9\"\ndevice = \"far\"",
        };
        take(&world, toml).await;
    }
    is_over.store(true, Ordering::Relaxed);
    for client in clients {
        assert!(client.await.unwrap() > 0);
    }
    nothing_was_unloaded(&world);
    assert_eq!(world.resident(), [(GENERAL.to_owned(), CONTEXT)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn models_are_called_and_loaded_as_they_are_configured_now() {
    let world = World::configured(lmstudio().memory_gb(64.0), "").await;
    assert_eq!(world.ask("s", &asks("otter")).await.status, 404);
    let toml = format!(
        "[models.\"{OTHER}\"]\naliases = [\"otter\"]\ncontext_length = 16000\nlocal = false\ninput_cost = 2.0"
    );
    take(&world, &format!("{toml}\n[residency.local]\nmax_loaded = 2")).await;
    let told = model(&world, &format!("lmstudio/{OTHER}")).await;
    assert_eq!((&told["local"], &told["input_cost"]), (&json!(false), &json!(2.0)), "{told}");
    let answer = world.ask("s", &asks("otter")).await;
    assert_eq!((answer.status, answer.header("x-pointsman-model")), (200, &*format!("lmstudio/{OTHER}")));
    // Beside the other one, with the context that is configured.
    assert_eq!(world.resident(), [(GENERAL.to_owned(), CONTEXT), (OTHER.to_owned(), 16_000)]);
    take(&world, "[residency.local]\nmax_loaded = 1").await;
    assert_eq!(world.ask("s", &asks("otter")).await.status, 404, "the name is gone");
    assert_eq!(
        (
            world.resident().len(),
            world.happened(|it| matches!(it, lmstudio_emulator::Event::Unloaded { .. }))
        ),
        (2, 0)
    );
    // Who needs the room gets it.
    let answer = world.ask("t", &asks(VISION)).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(world.resident().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_come_and_go_while_their_requests_run() {
    let second = Emulator::start(lmstudio()).await.unwrap();
    let world = World::configured(lmstudio(), "").await;
    let spare = |device: &str| format!("[providers.spare]\nurl = \"{}\"\n{device}", second.url());
    take(&world, &spare("")).await;
    let shows = async |name: &str, is_shown: bool| {
        let is_so = async || listed(&world).await.iter().any(|id| id.starts_with(name)) == is_shown;
        until("the list of models", is_so).await;
    };
    shows("spare/", true).await;
    second.faults([Fault::once(Kind::Stall { after_chunks: 2 }).on(Route::Chat).named("gate")]);
    let mut live = world.open("s", &asks(&format!("spare/{GENERAL}"))).await;
    live.until("data: ").await;
    take(&world, "").await;
    shows("spare/", false).await;
    assert_eq!(world.ask("t", &asks(&format!("spare/{GENERAL}"))).await.status, 404);
    assert_eq!(world.ask("t", &asks(GENERAL)).await.status, 200, "nobody else is concerned");
    second.release(Some("gate"));
    let answer = live.finish().await;
    assert!(answer.is_terminated() && answer.error().is_none(), "{answer:?}");
    // It comes back on a device of its own, and finds what it left.
    take(&world, &spare("device = \"far\"")).await;
    shows("spare/", true).await;
    let report = world.residency(|report| report.providers.len() == 2 && report.baseline.len() == 2).await;
    assert!(report.providers.iter().any(|it| (&*it.name, &*it.device) == ("spare", "far")), "{report:?}");
    assert_eq!(world.ask("u", &asks(&format!("spare/{GENERAL}"))).await.status, 200);
    assert_eq!(second.resident().len(), 1);
    nothing_was_unloaded(&world);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_gets_the_key_that_is_configured_now() {
    let mut config = lmstudio();
    config.server.auth_tokens.push("right".to_owned());
    let second = Emulator::start(config).await.unwrap();
    let world = World::configured(lmstudio(), "").await;
    let spare = |key: &str| format!("[providers.spare]\nurl = \"{}\"\nkey = \"{key}\"\n", second.url());
    take(&world, &spare("wrong")).await;
    let is_down = |report: &Report| {
        let spare = report.providers.iter().find(|it| it.name == "spare");
        matches!(spare.map(|it| &it.state), Some(ProviderState::Down(reason)) if reason.starts_with("not authorised"))
    };
    tokio::time::timeout(PATIENCE, world.residency(is_down)).await.expect("the wrong key is refused");
    assert!(!listed(&world).await.iter().any(|id| id.starts_with("spare/")));
    take(&world, &spare("right")).await;
    let is_served = async || world.ask("s", &asks(&format!("spare/{GENERAL}"))).await.status == 200;
    until("the right key", is_served).await;
    let last = second.requests().pop().unwrap();
    assert_eq!(last.header("authorization"), Some("Bearer right"));
}

/// What the skill `settings` answers: its settings.
async fn greeting(world: &World) -> String {
    world.ask("s", &says("hello")).await.text()
}

fn settings(greeting: &str) -> String {
    format!("[skills.settings.settings]\n{greeting} = \"one\"\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn skills_take_their_settings_or_keep_what_they_had() {
    let skills = [("settings.wasm", guest("settings"))];
    let world = World::with_skills(lmstudio(), &settings("greeting"), &skills).await;
    assert_eq!(greeting(&world).await, r#"{"greeting":"one"}"#);
    take(&world, "[skills.settings.settings]\ngreeting = \"two\"").await;
    assert_eq!(greeting(&world).await, r#"{"greeting":"two"}"#);

    write(&world, &format!("{}[skills.model-swapper]\nenabled = false", settings("grunt")));
    let reloaded = reload(&world).await;
    let problem = &reloaded["configuration"]["problems"][0];
    assert_eq!((&reloaded["ok"], &problem["key"]), (&json!(true), &json!("skills.settings")), "{reloaded}");
    assert!(problem["message"].as_str().unwrap().contains("settings need a `greeting`"), "{reloaded}");
    assert_eq!(greeting(&world).await, r#"{"greeting":"two"}"#, "it keeps what it had");
    let status = admin(&world, Method::GET, "status").await;
    let state = |name: &str| {
        let skills = status["skills"].as_array().unwrap();
        skills.iter().find(|skill| skill["name"] == name).unwrap()["state"].clone()
    };
    assert_eq!(
        (state("settings"), state("model-swapper")),
        (json!("active"), json!("disabled")),
        "the rest holds"
    );

    let toml = format!("{}[skills.settings]\nenabled = false", settings("greeting"));
    take(&world, &toml).await;
    assert!(greeting(&world).await.contains(GENERAL), "the model answers");
    // Another size of memory is another engine: all skills are loaded into it, as one generation.
    let before = admin(&world, Method::GET, "status").await["generation"].as_u64().unwrap();
    let toml =
        format!("{}[limits.skills]\nmemory_bytes_max = 33554432\ninstances_max = 16", settings("greeting"));
    take(&world, &toml).await;
    assert_eq!(greeting(&world).await, r#"{"greeting":"one"}"#);
    assert_eq!(admin(&world, Method::GET, "status").await["generation"], json!(before + 1));
    take(&world, &toml).await;
    assert_eq!(admin(&world, Method::GET, "status").await["generation"], json!(before + 1), "nothing is new");
    assert!(listed(&world).await.contains(&GENERAL_ID.to_owned()));
    nothing_was_unloaded(&world);
}
