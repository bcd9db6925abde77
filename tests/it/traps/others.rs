//! Others: people and programs that load, unload and ask beside the gateway, and models that are not its to touch.

use lmstudio_emulator::config::Loaded;
use lmstudio_emulator::log::ResidentPhase;
use lmstudio_emulator::{Config, Entry, Event};
use pointsman_tests::guests;
use pointsman_tests::world::{CONTEXT, GENERAL, OTHER, VISION, World, lmstudio, says};
use serde_json::{Value, json};

use super::{ROOMY_GB, TRANSLATE, TRANSLATED, at_rest, effects, greeted, stall, to};

const EMBEDDER: &str = "text-embedding-nomic-embed-text-v1.5";

/// A program that talks to LM Studio itself.
async fn directly(world: &World, model: &str) {
    let url = format!("{}/v1/chat/completions", world.lmstudio.url());
    let answer = world.http.post(url).json(&to(model)).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    assert!(answer.text().await.unwrap().contains("[DONE]"));
}

#[tokio::test(flavor = "multi_thread")]
async fn duplicates_that_others_made_are_used_and_left_alone() {
    let server = lmstudio().memory_gb(ROOMY_GB).loaded_with_context(GENERAL, CONTEXT);
    let world = World::start(server).await;
    for _ in 0..3 {
        let answer = world.ask("s", &says("hello")).await;
        assert!(answer.text().ends_with("You wrote: hello"), "{answer:?}");
    }
    world.idle().await;
    assert!(effects(&world).is_empty(), "somebody wanted both");
    assert_eq!(world.resident().len(), 2);
    let translated = world.ask("s", &says(TRANSLATE)).await;
    assert!(translated.text().ends_with(TRANSLATED), "{translated:?}");
    at_rest(&world).await;
    assert_eq!(world.resident(), [(GENERAL.to_owned(), CONTEXT)], "one of them is what is due");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_somebody_gave_an_instance_is_what_it_is_asked_by() {
    let named = Loaded { identifier: Some("mine".to_owned()), ..Loaded::new(OTHER) };
    let world = World::start(Config { loaded: vec![named], ..lmstudio() }).await;
    for name in [OTHER, "mine", "auto"] {
        let answer = world.ask("s", &to(name)).await;
        assert_eq!(answer.text(), "[mine] You wrote: hello", "{name} {answer:?}");
        assert_eq!(world.chats().last().unwrap().json()["model"], "mine");
    }
    assert!(effects(&world).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_a_swap_lost_goes_on_naming_its_model() {
    let named = Loaded { identifier: Some("mine".to_owned()), ..Loaded::new(OTHER) };
    let world = World::start(Config { loaded: vec![named], ..lmstudio() }).await;
    let translated = world.ask("s", &says(TRANSLATE)).await;
    assert!(translated.text().ends_with(TRANSLATED), "{translated:?}");
    world.idle().await;
    world.resting_on(OTHER).await;
    // A load over HTTP cannot give the name back.
    let answer = world.ask("s", &to("mine")).await;
    assert_eq!(answer.text(), greeted(OTHER), "{answer:?}");
    world.idle().await;
    assert_eq!(world.loads(OTHER), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_embedding_model_is_never_in_the_way() {
    let world = World::start(lmstudio().memory_gb(22.0).loaded(EMBEDDER)).await;
    let translated = world.ask("s", &says(TRANSLATE)).await;
    assert!(translated.text().ends_with(TRANSLATED), "{translated:?}");
    world.idle().await;
    let unloaded = |event: &Event| matches!(event, Event::Unload { instance } if **instance == *EMBEDDER);
    let is_back = |entry: &Entry| {
        let ready =
            |key: &str| entry.resident.iter().any(|it| *it.key == *key && it.phase == ResidentPhase::Ready);
        entry.resident.len() == 2 && ready(GENERAL) && ready(EMBEDDER)
    };
    world.lmstudio.wait_for(|entries| entries.last().is_some_and(is_back)).await;
    assert_eq!(world.happened(unloaded), 0);
    assert!(world.resident().contains(&(GENERAL.to_owned(), CONTEXT)), "{:?}", world.resident());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_gateway_loaded_is_not_what_auto_evict_takes() {
    let world = World::start(lmstudio().memory_gb(ROOMY_GB).fault(stall(5, OTHER))).await;
    let mut body = says("write 100 words");
    body["model"] = json!(OTHER);
    let mut live = world.open("s", &body).await;
    world.held().await;
    live.until("data: ").await;
    // Each of these loads by a request, and the second takes the first's place.
    directly(&world, GENERAL).await;
    directly(&world, VISION).await;
    assert_eq!(world.happened(|event| matches!(event, Event::Evicted { .. })), 1);
    world.lmstudio.release(Some("gate"));
    let answer = live.finish().await;
    assert!(answer.is_terminated() && answer.error().is_none(), "{answer:?}");
    assert_eq!(answer.text().split_whitespace().count(), 101);
    assert_eq!(world.happened(|event| matches!(event, Event::StreamKilled { .. })), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_whose_time_to_live_is_over_is_loaded_again() {
    let mut server = Config { loaded: Vec::new(), ..lmstudio() };
    server.server.default_ttl = std::time::Duration::from_millis(1);
    let world = World::start(server).await;
    directly(&world, OTHER).await;
    let expired = |event: &Event| matches!(event, Event::Expired { .. });
    world.lmstudio.wait_for_event(expired).await;
    let answer = world.ask("s", &to(OTHER)).await;
    assert_eq!(answer.text(), greeted(OTHER), "{answer:?}");
    world.idle().await;
    assert_eq!(world.happened(expired), 1, "what the gateway loads has no time to live");
    assert_eq!(world.resident().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_time_to_live_goes_on_after_a_swap() {
    let mut server = Config { loaded: Vec::new(), ..lmstudio() };
    server.server.default_ttl = std::time::Duration::from_secs(5);
    let world = World::start(server).await;
    directly(&world, OTHER).await;
    let used = world.ask("s", &to(OTHER)).await;
    assert_eq!(used.text(), greeted(OTHER), "{used:?}");
    let translated = world.ask("s", &says(TRANSLATE)).await;
    assert!(translated.text().ends_with(TRANSLATED), "{translated:?}");
    world.idle().await;
    world.resting_on(OTHER).await;
    // LM Studio keeps what a load over HTTP brings: the rest of its time is the gateway's to remember.
    world.lmstudio.wait_for(|entries| entries.last().is_some_and(|it| it.resident.is_empty())).await;
}

/// The same turn with its tool's result.
fn with_result(first: &Value) -> Value {
    let mut next = first.clone();
    next["tool_choice"] = json!("auto");
    let call = json!({"id": "1", "type": "function", "function": {"name": "read", "arguments": "{}"}});
    next["messages"].as_array_mut().unwrap().extend([
        json!({"role": "assistant", "content": null, "tool_calls": [call]}),
        json!({"role": "tool", "tool_call_id": "1", "content": "forty-two"}),
    ]);
    next
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_loaded_by_hand_in_mid_turn_waits_for_the_turn_and_stays() {
    let server = lmstudio().memory_gb(ROOMY_GB);
    let world = World::with_skills(server, "", &[("router.wasm", guests::guest("router"))]).await;
    let tool = json!({"type": "function", "function": {"name": "read", "parameters": {"type": "object"}}});
    let mut first = says(&format!("route {VISION}"));
    first["tools"] = json!([tool]);
    first["tool_choice"] = json!("required");
    let called = world.ask("s", &first).await;
    assert!(called.body.contains("tool_calls"), "{called:?}");

    world.by_hand("load", &json!({"model": OTHER, "context_length": 16_384})).await;
    let result = world.ask("s", &with_result(&first)).await;
    assert!(result.text().starts_with(&format!("[{VISION}] The tool answered: forty-two")), "{result:?}");
    assert_eq!(world.loads(VISION), 1, "the turn kept its model");
    world.resting_on(OTHER).await;
    world.idle().await;
    // One has room by the gateway's count: the one that was chosen last.
    assert_eq!(world.resident(), [(OTHER.to_owned(), 16_384)]);
    assert_eq!(world.loads(GENERAL), 0);
}
