//! Answers: wrong in a small thing, from a connection that was closed, from a model that is full or gone, or refused
//! for a reason of LM Studio's own.

use std::num::NonZeroU32;
use std::sync::Arc;

use lmstudio_emulator::config::{Overflow, Tuning};
use lmstudio_emulator::fault::{Ending, Kind, Route};
use lmstudio_emulator::{Entry, Event, Fault};
use pointsman_tests::world::{CONTEXT, GENERAL, World, lmstudio, says};
use serde_json::{Value, json};

use super::{greeted, stall};

/// A request that a tool is called with.
fn calls_a_tool(streamed: bool) -> Value {
    let tool = json!({"type": "function", "function": {"name": "read", "parameters": {"type": "object"}}});
    let mut body = says("call read {\"path\":\"a.txt\"}");
    body["tools"] = json!([tool]);
    body["stream"] = json!(streamed);
    body
}

/// The calls of an answer, streamed or not, as they came.
fn calls(body: &str, chunks: &[Value]) -> Vec<Value> {
    let whole = serde_json::from_str::<Value>(body).ok();
    let messages = whole.iter().map(|whole| &whole["choices"][0]["message"]);
    let deltas = chunks.iter().map(|chunk| &chunk["choices"][0]["delta"]);
    messages.chain(deltas).filter_map(|it| it["tool_calls"].as_array()).flatten().cloned().collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tool_call_without_an_id_is_given_one_and_its_result_continues_the_turn() {
    let world = World::start(lmstudio()).await;
    for streamed in [true, false] {
        world.lmstudio.faults([Fault::once(Kind::EmptyToolCallId)]);
        let body = calls_a_tool(streamed);
        let called = world.ask("s", &body).await;
        let found = calls(&called.body, &called.chunks());
        assert_eq!(found[0]["function"]["name"], "read", "{called:?}");
        let id = found[0]["id"].as_str().unwrap();
        assert!(id.starts_with("call_"), "{called:?}");
        assert_eq!((called.is_terminated(), called.error()), (streamed, None), "{called:?}");

        let mut next = body.clone();
        let call = json!({"id": id, "type": "function", "function": {"name": "read", "arguments": "{}"}});
        next["messages"].as_array_mut().unwrap().extend([
            json!({"role": "assistant", "content": null, "tool_calls": [call]}),
            json!({"role": "tool", "tool_call_id": id, "content": "forty-two"}),
        ]);
        let result = world.ask("s", &next).await;
        assert!(
            result.text().starts_with(&format!("[{GENERAL}] The tool answered: forty-two")),
            "{result:?}"
        );
        assert_eq!(&*world.record(&result).await.standing, "continues");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_whose_time_was_over_is_replaced() {
    for streamed in [true, false] {
        let world = World::start(lmstudio()).await;
        let mut body = says("hello");
        body["stream"] = json!(streamed);
        assert_eq!(world.ask("s", &body).await.text(), greeted(GENERAL));
        world.lmstudio.faults([Fault::once(Kind::ResetReused).on(Route::Chat)]);
        let answer = world.ask("s", &body).await;
        assert_eq!(answer.text(), greeted(GENERAL), "{answer:?}");
        let record = world.record(&answer).await;
        assert_eq!((record.status, record.error), (200, None));
        assert_eq!(world.happened(|event| matches!(event, Event::FaultFired { .. })), 1);
        world.idle().await;
        assert_eq!(world.loads(GENERAL), 0, "it had been there all the time");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn more_than_a_model_takes_is_the_requests_own_fault_in_every_shape() {
    for overflow in [Overflow::StreamEvent, Overflow::Status] {
        for streamed in [true, false] {
            let world = World::start(lmstudio().server(|server| server.overflow = overflow)).await;
            let tuning = Tuning { model: GENERAL.to_owned(), context_limit: Some(100), ..Tuning::default() };
            assert!(world.lmstudio.tune(&tuning));
            world.by_hand("unload", &json!({"instance_id": GENERAL})).await;
            world.by_hand("load", &json!({"model": GENERAL, "context_length": CONTEXT})).await;
            let mut body = says(&"word ".repeat(200));
            body["stream"] = json!(streamed);
            let refused = world.ask("s", &body).await;
            assert_eq!(refused.status, 400, "{overflow:?} {streamed} {refused:?}");
            let error: Value = serde_json::from_str(&refused.body).unwrap();
            assert_eq!(error["error"]["code"], "context_length_exceeded", "{refused:?}");
            assert_eq!(world.chats().len(), 1, "asking again does not make it shorter");
            let short = world.ask("s", &says("hello")).await;
            assert_eq!(short.text(), greeted(GENERAL), "{short:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_is_wanted_all_at_once_is_not_the_clients_fault() {
    let world = World::start(lmstudio()).await;
    world.lmstudio.change(|server| server.auth_tokens = vec!["sk-1".to_owned()]);
    let refused = world.ask("s", &says("hello")).await;
    let error: Value = serde_json::from_str(&refused.body).unwrap();
    assert_eq!((refused.status, &error["error"]["source"]), (502, &json!("provider")), "{refused:?}");
    world.lmstudio.change(|server| server.auth_tokens.clear());
    let answer = world.ask("s", &says("hello")).await;
    assert_eq!(answer.text(), greeted(GENERAL), "{answer:?}");
    assert_eq!(world.loads(GENERAL), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_instance_is_asked_more_than_it_works_on_at_once() {
    let two = NonZeroU32::new(2).unwrap();
    let fault = stall(2, GENERAL).times(2);
    let world = Arc::new(World::start(lmstudio().server(|server| server.parallel = two).fault(fault)).await);
    let asked: Vec<_> =
        (0..6).map(|index| world.ask_beside(&format!("s{index}"), &says("write 20 words"))).collect();
    world.waiting_for(GENERAL, 4).await;
    let holds = |entry: &Entry| matches!(entry.event, Event::FaultHolds { .. });
    world.lmstudio.wait_for(|entries| entries.iter().filter(|entry| holds(entry)).count() == 2).await;
    assert_eq!(world.chats().len(), 2);
    world.lmstudio.release(Some("gate"));
    for asked in asked {
        let answer = asked.await.unwrap();
        assert!(answer.is_terminated() && answer.error().is_none(), "{answer:?}");
    }
    assert_eq!(world.happened(|event| matches!(event, Event::RequestQueued { .. })), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_torn_in_the_middle_is_told_in_the_stream() {
    let kind = Kind::CutStream { after_chunks: 5, ending: Ending::Abrupt };
    // Some words are on their way before it is torn, or nobody would notice.
    let world = World::start(lmstudio().tokens_per_second(50.0).fault(Fault::once(kind))).await;
    let broken = world.ask("s", &says("write 100 words")).await;
    assert_eq!(broken.status, 200);
    assert!(broken.error().is_some() && broken.is_terminated(), "{broken:?}");
    assert!(!broken.body.contains("\"finish_reason\":\"stop\""), "passed on as a success: {broken:?}");
    assert_eq!(world.ask("s", &says("hello")).await.text(), greeted(GENERAL));
    assert_eq!(world.loads(GENERAL), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_unloaded_by_hand_in_the_middle_is_told_in_the_stream_and_loaded_for_the_next() {
    let mut server = lmstudio().fault(stall(5, GENERAL));
    server.server.jit = false;
    let world = World::start(server).await;
    let mut live = world.open("s", &says("write 100 words")).await;
    world.held().await;
    live.until("data: ").await;
    world.by_hand("unload", &json!({"instance_id": GENERAL})).await;
    let broken = live.finish().await;
    assert_eq!(broken.chunks().pop().unwrap()["error"]["type"], "server_error", "{broken:?}");
    assert!(!broken.body.contains("\"finish_reason\":\"stop\"") && broken.is_terminated(), "{broken:?}");
    let next = world.ask("s", &says("hello")).await;
    assert_eq!(next.text(), greeted(GENERAL), "{next:?}");
    world.idle().await;
    assert_eq!(world.resident(), [(GENERAL.to_owned(), CONTEXT)]);
    assert_eq!(world.loads(GENERAL), 1);
}
