//! Conversations side by side: who waits for whom, what a turn keeps, what a side call leaves alone, and what becomes of
//! a model when its client leaves or reads nothing.

#![cfg(test)]

use std::sync::Arc;

use lmstudio_emulator::fault::Kind;
use lmstudio_emulator::{Event, Fault};
use pointsman::residency::{Phase, Report};
use pointsman_tests::guests;
use pointsman_tests::live::Deaf;
use pointsman_tests::world::{
    CONTEXT, GENERAL, GENERAL_ID, OTHER, SPECIALIST, VISION, World, lmstudio, says,
};
use serde_json::{Value, json};

const TRANSLATE: &str = "Translate into German: Where is the station?";
const TRANSLATED: &str = "Wo ist der Bahnhof?";

fn stall(after_chunks: u32, model: &str) -> Fault {
    Fault::once(Kind::Stall { after_chunks }).model(model).named("gate")
}

fn hang_load(model: &str) -> Fault {
    Fault::once(Kind::HangLoad).model(model).named("load")
}

/// The sequence number of the first event like this.
fn sequence(world: &World, what: impl Fn(&Event) -> bool) -> u64 {
    world.lmstudio.log().iter().find(|entry| what(&entry.event)).unwrap().sequence
}

fn leases(report: &Report) -> u32 {
    report.instances.iter().map(|instance| instance.leases).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_swap_waits_for_the_stream_of_another_session() {
    let world = Arc::new(World::start(lmstudio().fault(stall(5, GENERAL))).await);
    let mut long = world.open("a", &says("write 800 words")).await;
    long.until("data: ").await;
    let translation = world.ask_beside("b", &says(TRANSLATE));
    world.waiting_for(SPECIALIST, 1).await;
    assert_eq!(world.resident(), [(GENERAL.to_owned(), CONTEXT)]);
    assert_eq!(world.happened(|event| matches!(event, Event::Unload { .. })), 0);

    world.lmstudio.release(Some("gate"));
    let long = long.finish().await;
    assert!(long.is_terminated(), "{long:?}");
    assert_eq!(long.text().split_whitespace().count(), 801, "the instance's name and every word");
    let translation = translation.await.unwrap();
    assert!(translation.text().contains(TRANSLATED), "{translation:?}");

    let ended = sequence(
        &world,
        |event| matches!(event, Event::RequestFinished { instance: Some(instance), .. } if **instance == *GENERAL),
    );
    let unloaded = sequence(&world, |event| matches!(event, Event::Unload { .. }));
    assert!(ended < unloaded, "unloaded at {unloaded}, the stream ended at {ended}");
    world.resting_on(GENERAL).await;
    assert_eq!(world.resident(), [(GENERAL.to_owned(), CONTEXT)]);
    assert_eq!(world.happened(|event| matches!(event, Event::StreamKilled { .. })), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ordinary_request_during_a_swap_waits_for_the_first_model() {
    // While the specialist is loaded, while it answers, while nothing is there, while the first model comes back.
    let faults = [hang_load(SPECIALIST), stall(1, SPECIALIST), hang_load(GENERAL)];
    for fault in faults {
        let world = Arc::new(World::start(lmstudio().fault(fault.clone())).await);
        let translation = world.ask_beside("a", &says(TRANSLATE));
        world.held().await;
        let plain = world.ask_beside("b", &says("hello"));
        world.waiting_for(GENERAL, 1).await;
        world.lmstudio.release(None);
        assert!(translation.await.unwrap().text().contains(TRANSLATED));
        let plain = plain.await.unwrap();
        assert_eq!(plain.text(), format!("[{GENERAL}] You wrote: hello"), "{fault:?} {plain:?}");
        world.idle().await;
        assert_eq!(world.resident(), [(GENERAL.to_owned(), CONTEXT)]);
        assert_eq!((world.loads(SPECIALIST), world.loads(GENERAL)), (1, 1));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_translations_share_one_swap() {
    let world = Arc::new(World::start(lmstudio().fault(hang_load(SPECIALIST))).await);
    let asked: Vec<_> =
        (0..10).map(|index| world.ask_beside(&format!("s{index}"), &says(TRANSLATE))).collect();
    world.waiting_for(SPECIALIST, 10).await;
    world.held().await;
    world.lmstudio.release(Some("load"));
    for asked in asked {
        let answer = asked.await.unwrap();
        assert_eq!(answer.text(), format!("[{SPECIALIST}] {TRANSLATED}"), "{answer:?}");
        assert!(answer.is_terminated());
    }
    world.resting_on(GENERAL).await;
    world.idle().await;
    assert_eq!((world.loads(SPECIALIST), world.loads(GENERAL)), (1, 1));
    assert_eq!(world.resident(), [(GENERAL.to_owned(), CONTEXT)]);
}

/// A first request of a turn that the router sends to `model` and that ends in a tool call.
fn routed_with_a_call(model: &str) -> Value {
    let tool = json!({"type": "function", "function": {"name": "read", "parameters": {"type": "object"}}});
    json!({"model": "auto", "stream": true, "tools": [tool], "tool_choice": "required",
        "messages": [{"role": "user", "content": format!("route {model}")}]})
}

/// The same turn with the tool's result.
fn with_result(first: &Value, result: &str) -> Value {
    let mut next = first.clone();
    next["tool_choice"] = json!("auto");
    let call = json!({"id": "1", "type": "function", "function": {"name": "read", "arguments": "{}"}});
    next["messages"].as_array_mut().unwrap().extend([
        json!({"role": "assistant", "content": null, "tool_calls": [call]}),
        json!({"role": "tool", "tool_call_id": "1", "content": result}),
        json!({"role": "user", "content": "<system-reminder>be brief</system-reminder>"}),
    ]);
    next
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tool_result_continues_its_turn_and_a_side_call_leaves_it_alone() {
    let world = World::with_skills(lmstudio(), "", &[("router.wasm", guests::guest("router"))]).await;
    let first = routed_with_a_call(VISION);
    let called = world.ask("s", &first).await;
    assert!(called.body.contains("tool_calls"), "{called:?}");
    assert_eq!(called.header("x-pointsman-skill"), "router");

    let title = json!({"model": VISION, "stream": true, "messages": [{"role": "user", "content": format!("route {OTHER}")}]});
    let titled = world.ask("s", &title).await;
    let record = world.record(&titled).await;
    assert_eq!((&*record.standing, &record.skill), ("side call", &None), "{record:?}");
    assert!(record.steps.is_empty() && titled.text().starts_with(&format!("[{VISION}]")), "{record:?}");

    let result = world.ask("s", &with_result(&first, "forty-two")).await;
    let record = world.record(&result).await;
    assert!(result.text().starts_with(&format!("[{VISION}] The tool answered: forty-two")), "{result:?}");
    assert_eq!((&*record.standing, record.skill.as_deref()), ("continues", Some("router")));
    assert!(record.steps.is_empty(), "a skill was asked again: {record:?}");

    world.resting_on(GENERAL).await;
    world.idle().await;
    let report = world.residency(|_| true).await;
    let baseline: Vec<_> = report.baseline.iter().map(|entry| entry.model.as_str()).collect();
    assert_eq!(baseline, [GENERAL_ID]);
    assert_eq!(world.loads(VISION), 1, "the turn kept its model");
    let next = world.ask("s", &says("and now?")).await;
    assert!(next.text().starts_with(&format!("[{GENERAL}]")), "the turn's route outlived it: {next:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_leaves_the_queue_is_forgotten() {
    let world = Arc::new(World::start(lmstudio().fault(hang_load(SPECIALIST))).await);
    let translation = world.ask_beside("a", &says(TRANSLATE));
    world.held().await;
    let mut other = says("hello");
    other["model"] = json!(OTHER);
    let waiting = world.ask_beside("b", &other);
    world.waiting_for(OTHER, 1).await;
    waiting.abort();
    world.waiting_for(OTHER, 0).await;

    world.lmstudio.release(Some("load"));
    assert!(translation.await.unwrap().text().contains(TRANSLATED));
    world.resting_on(GENERAL).await;
    world.idle().await;
    assert_eq!(world.loads(OTHER), 0);
    let left = world.records(2).await.into_iter().find(|record| &*record.session == "b").unwrap();
    assert!(left.error.is_some_and(|error| error.contains("the client left")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_leaves_during_the_load_leaves_the_baseline_behind() {
    for streamed in [true, false] {
        let world = Arc::new(World::start(lmstudio().fault(hang_load(SPECIALIST))).await);
        let mut body = says(TRANSLATE);
        body["stream"] = json!(streamed);
        let leaving = world.ask_beside("a", &body);
        world.held().await;
        leaving.abort();
        world.waiting_for(SPECIALIST, 0).await;
        world.lmstudio.release(Some("load"));
        world.idle().await;
        world.resting_on(GENERAL).await;
        assert_eq!(world.resident(), [(GENERAL.to_owned(), CONTEXT)], "streamed: {streamed}");
        assert!(world.chats().is_empty(), "nobody was there to be answered");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_leaves_in_the_middle_frees_the_model() {
    for model in [GENERAL, SPECIALIST] {
        let world = World::start(lmstudio().fault(stall(2, model))).await;
        let words = if model == GENERAL { "write 100 words" } else { TRANSLATE };
        let mut live = world.open("a", &says(words)).await;
        live.until("data: ").await;
        world.residency(|report| leases(report) == 1).await;
        drop(live);
        let left = |event: &Event| matches!(event, Event::ClientDisconnected { .. });
        world.lmstudio.wait_for_event(left).await;
        world.residency(|report| leases(report) == 0).await;
        let record = world.records(1).await.remove(0);
        assert!(record.error.is_some_and(|error| error.contains("the client left")));

        let next = world.ask("b", &says(TRANSLATE)).await;
        assert!(next.text().contains(TRANSLATED), "{next:?}");
        world.idle().await;
        world.resting_on(GENERAL).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_reads_nothing_does_not_keep_others_waiting() {
    let toml = "[residency.local]\nslow_client = \"50ms\"\nmax_wait = \"1ms\"\n";
    let world = World::configured(lmstudio(), toml).await;
    let deaf = Deaf::ask(world.address(), "deaf", &says("write 100000 words")).await;
    world.residency(|report| leases(report) == 1).await;
    let translation = world.ask("b", &says(TRANSLATE)).await;
    assert!(translation.text().contains(TRANSLATED), "{translation:?}");

    let left = |event: &Event| matches!(event, Event::ClientDisconnected { .. });
    assert_eq!(world.happened(left), 1, "the long answer was broken off");
    let heard = deaf.hear().await;
    assert!(heard.contains("\"code\":\"client_too_slow\""), "{}", &heard[heard.len().saturating_sub(400)..]);
    let record = world.records(2).await.into_iter().find(|record| &*record.session == "deaf").unwrap();
    assert!(record.error.is_some_and(|error| error.contains("broken off by the gateway")));
    world.idle().await;
    world.resting_on(GENERAL).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_waiting_client_is_told_why_it_waits() {
    let world =
        World::configured(lmstudio().fault(stall(2, GENERAL)), "[limits]\nstream_grace = \"0s\"\n").await;
    let mut long = world.open("a", &says("write 50 words")).await;
    long.until("the ").await;
    let mut waiting = world.open("b", &says(TRANSLATE)).await;
    waiting.until("for translategemma-12b-it").await;
    let is_told = |report: &Report| {
        report.waiters.iter().any(|waiter| matches!(waiter.phase, Phase::Queued | Phase::Draining))
    };
    world.residency(is_told).await;
    world.lmstudio.release(Some("gate"));
    assert!(long.finish().await.is_terminated());
    assert!(waiting.finish().await.text().contains(TRANSLATED));
}
