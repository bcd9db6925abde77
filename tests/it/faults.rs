//! LM Studio breaks in every way it is known to break: before the first frame nobody notices, after it the client is
//! told in its stream, and the memory is as it was.

#![cfg(test)]

use std::sync::Arc;

use lmstudio_emulator::fault::{Ending, Kind, Route};
use lmstudio_emulator::{Emulator, Event, Fault, Restart};
use pointsman::residency::ProviderState;
use pointsman_tests::world::{CONTEXT, GENERAL, OTHER, SPECIALIST, World, beside, lmstudio, says};
use serde_json::{Value, json};

const TRANSLATE: &str = "Translate into German: Where is the station?";
const TRANSLATED: &str = "Wo ist der Bahnhof?";

fn answer(status: u16, body: &str) -> Kind {
    Kind::Answer { status, body: body.to_owned() }
}

fn hello(streamed: bool) -> Value {
    let mut body = says("hello");
    body["stream"] = json!(streamed);
    body
}

#[tokio::test(flavor = "multi_thread")]
async fn what_breaks_before_the_first_frame_is_tried_again() {
    let world = World::start(lmstudio()).await;
    let unloaded = || Kind::StreamError { after_chunks: 0, message: "Model unloaded.".to_owned() };
    let cut = |ending| Kind::CutStream { after_chunks: 0, ending };
    let cases = [
        (Kind::Reset, true),
        (Kind::Reset, false),
        (Kind::WrongModel { model: SPECIALIST.to_owned() }, true),
        (Kind::WrongModel { model: SPECIALIST.to_owned() }, false),
        (unloaded(), true),
        (unloaded(), false),
        (cut(Ending::Clean), true),
        (cut(Ending::Abrupt), true),
        (Kind::Html500, true),
        (Kind::StringError { message: "odd".to_owned() }, false),
        (answer(429, r#"{"error":"slow down"}"#), true),
    ];
    for (kind, streamed) in cases {
        let before = world.chats().len();
        world.lmstudio.faults([Fault::once(kind.clone()).on(Route::Chat)]);
        let answer = world.ask("s", &hello(streamed)).await;
        assert_eq!(answer.text(), format!("[{GENERAL}] You wrote: hello"), "{kind:?} {answer:?}");
        assert_eq!(answer.is_terminated(), streamed);
        assert_eq!(world.chats().len(), before + 2, "{kind:?}");
        let record = world.record(&answer).await;
        assert_eq!((record.error, record.status), (None, 200), "{kind:?}");
        world.idle().await;
    }
    assert_eq!(world.resident(), [(GENERAL.to_owned(), CONTEXT)]);
    assert_eq!(world.loads(GENERAL), 0, "it had been there all the time");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_mended_is_an_error_of_the_providers() {
    let world = World::start(lmstudio()).await;
    let overflow = "Input does not fit in context length. The input has 9 tokens, but the context length only supports 8 tokens.";
    let cases: [(Kind, u16, &str, &str, &str); 9] = [
        (Kind::Html500, 500, "server_error", "provider_error", "HTML page"),
        (Kind::StringError { message: "odd".to_owned() }, 502, "server_error", "provider_error", "odd"),
        (answer(200, ""), 502, "server_error", "provider_error", "not a chat completion"),
        (answer(200, "{}"), 502, "server_error", "provider_error", "not a chat completion"),
        (answer(200, r#"{"choices":[]}"#), 502, "server_error", "provider_error", "not a chat completion"),
        (
            answer(401, r#"{"error":{"message":"no token"}}"#),
            502,
            "server_error",
            "provider_error",
            "no token",
        ),
        (answer(429, r#"{"error":"slow down"}"#), 429, "rate_limit_error", "provider_error", "slow down"),
        (
            answer(422, r#"{"error":"odd field"}"#),
            422,
            "invalid_request_error",
            "provider_error",
            "odd field",
        ),
        (
            answer(400, &json!({"error": overflow}).to_string()),
            400,
            "invalid_request_error",
            "context_length_exceeded",
            "does not fit",
        ),
    ];
    for (kind, status, error_type, code, message) in cases {
        for streamed in [true, false] {
            world.lmstudio.faults([Fault::always(kind.clone()).on(Route::Chat)]);
            let refused = world.ask("s", &hello(streamed)).await;
            world.lmstudio.clear_faults();
            assert_eq!(refused.status, status, "{kind:?} {refused:?}");
            let error: Value = serde_json::from_str(&refused.body).unwrap();
            let error = &error["error"];
            assert_eq!((&error["type"], &error["code"]), (&json!(error_type), &json!(code)), "{kind:?}");
            assert_eq!(error["source"], "provider");
            assert!(error["message"].as_str().unwrap().contains(message), "{kind:?} {error}");
            assert!(world.record(&refused).await.error.unwrap().contains(message));
            assert_eq!(world.ask("s", &hello(streamed)).await.status, 200);
        }
    }
    world.idle().await;
    assert_eq!(world.resident(), [(GENERAL.to_owned(), CONTEXT)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_breaks_in_the_middle_is_told_in_the_stream() {
    let cases = [
        (Kind::CutStream { after_chunks: 5, ending: Ending::Clean }, "ended without its terminator"),
        (Kind::StreamError { after_chunks: 5, message: "Something odd.".to_owned() }, "Something odd."),
        (Kind::Crash { after_chunks: 5 }, "crash"),
    ];
    let world = World::start(lmstudio()).await;
    for (kind, message) in cases {
        world.lmstudio.faults([Fault::once(kind.clone())]);
        let broken = world.ask("s", &says("write 100 words")).await;
        assert_eq!(broken.status, 200);
        let text = broken.text();
        assert!(text.starts_with(&format!("[{GENERAL}]")) && !text.contains("seven"), "{kind:?} {text}");
        let error = broken.chunks().pop().unwrap();
        assert_eq!(error["error"]["type"], "server_error", "{kind:?} {broken:?}");
        assert!(
            error["error"]["message"].as_str().unwrap().to_lowercase().contains(&message.to_lowercase()),
            "{kind:?} {error}"
        );
        assert!(!broken.body.contains("\"finish_reason\":\"stop\""), "passed on as a success: {broken:?}");
        assert!(broken.is_terminated(), "{broken:?}");
        assert!(world.record(&broken).await.error.is_some());

        let next = world.ask("s", &says("hello")).await;
        assert_eq!(next.text(), format!("[{GENERAL}] You wrote: hello"), "{kind:?} {next:?}");
        assert_eq!(world.resident(), [(GENERAL.to_owned(), CONTEXT)], "{kind:?}");
    }
    assert_eq!(world.loads(GENERAL), 1, "only the crash made it necessary");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stall_is_a_stall_and_nothing_else() {
    let fault = Fault::once(Kind::Stall { after_chunks: 5 }).named("gate");
    let world = World::start(lmstudio().fault(fault)).await;
    let mut live = world.open("s", &says("write 20 words")).await;
    world.held().await;
    live.until("river").await;
    world.lmstudio.release(Some("gate"));
    let answer = live.finish().await;
    assert!(answer.is_terminated() && answer.error().is_none(), "{answer:?}");
    assert_eq!(answer.text().split_whitespace().count(), 21);
}

#[tokio::test(flavor = "multi_thread")]
async fn silence_has_an_end() {
    let fault = Fault::once(Kind::Hang).on(Route::Chat);
    let world = World::configured(lmstudio().fault(fault), "[limits]\nanswer_timeout = \"300ms\"\n").await;
    let refused = world.ask("s", &hello(true)).await;
    assert_eq!((refused.status, refused.error().is_some()), (504, true), "{refused:?}");
    world.lmstudio.wait_for_event(|event| matches!(event, Event::ClientDisconnected { .. })).await;
    world.idle().await;
    assert_eq!(world.ask("s", &hello(true)).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn fallbacks_follow_when_all_else_failed() {
    let toml = "[defaults]\nfallbacks = [\"nobody\", \"qwen3-8b\"]\n";
    let world = World::configured(lmstudio(), toml).await;
    world.lmstudio.faults([Fault::once(Kind::Html500).times(2).on(Route::Chat)]);
    let answer = world.ask("s", &hello(true)).await;
    assert_eq!(answer.text(), format!("[{OTHER}] You wrote: hello"), "{answer:?}");
    world.idle().await;
    world.resting_on(GENERAL).await;
    assert_eq!(world.resident(), [(GENERAL.to_owned(), CONTEXT)]);

    world.lmstudio.faults([Fault::always(Kind::Guardrail).model(SPECIALIST)]);
    let answer = world.ask("s", &says(TRANSLATE)).await;
    assert_eq!(answer.text(), format!("[{OTHER}] You wrote: {TRANSLATE}"), "{answer:?}");
    let record = world.record(&answer).await;
    assert_eq!(record.attempts.last().unwrap().sent, "conversation");
    world.idle().await;
    world.resting_on(GENERAL).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_load_refused_for_memory_leaves_the_baseline_and_an_error() {
    for (grace, status) in [("10s", 503), ("0s", 200)] {
        let guardrail = Fault::always(Kind::Guardrail).model(SPECIALIST);
        let toml = format!("[limits]\nstream_grace = \"{grace}\"\n");
        let world = World::configured(lmstudio().fault(guardrail), &toml).await;
        let refused = world.ask("s", &says(TRANSLATE)).await;
        assert_eq!(refused.status, status, "{refused:?}");
        assert!(refused.error().unwrap().contains("memory"), "{refused:?}");
        if status == 503 {
            let error: Value = serde_json::from_str(&refused.body).unwrap();
            assert_eq!(
                (&error["error"]["type"], &error["error"]["code"]),
                (&json!("server_error"), &json!("load_failed"))
            );
            let wait: u64 = refused.header("retry-after").parse().unwrap();
            assert!((1..=300).contains(&wait), "{wait}");
        } else {
            let chunks = refused.chunks();
            assert_eq!(chunks[0]["choices"][0]["delta"], json!({"role": "assistant", "content": ""}));
            assert_eq!(chunks[1]["error"]["type"], "server_error");
            assert!(refused.is_terminated(), "{refused:?}");
        }
        world.idle().await;
        world.resting_on(GENERAL).await;
        assert_eq!(world.resident(), [(GENERAL.to_owned(), CONTEXT)]);
        assert_eq!(world.ask("s", &hello(true)).await.status, 200, "others are not hurt");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_load_refused_for_memory_moves_on_to_the_next_model() {
    let next = "lmstudio-community/translategemma-12b-it";
    let toml = format!(
        "[skills.model-swapper.settings.intents.translate]\nmodels = [\"{SPECIALIST}\", \"{next}\"]\n"
    );
    for kind in [Kind::Guardrail, Kind::LoadCrash] {
        let world = World::configured(lmstudio().fault(Fault::always(kind).model(SPECIALIST)), &toml).await;
        let answer = world.ask("s", &says(TRANSLATE)).await;
        assert_eq!(answer.text(), format!("[{next}] {TRANSLATED}"), "{answer:?}");
        world.idle().await;
        world.resting_on(GENERAL).await;
        assert_eq!(world.resident(), [(GENERAL.to_owned(), CONTEXT)]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unload_that_finds_nothing_is_done() {
    let gone = answer(404, r#"{"error":{"type":"model_not_found","message":"is not loaded"}}"#);
    let world = World::start(lmstudio()).await;
    world.lmstudio.faults([Fault::once(gone).on(Route::Unload)]);
    // It says that nothing is loaded, and the next list shows otherwise: the swap goes on until memory really is free.
    let answer = world.ask("s", &says(TRANSLATE)).await;
    assert!(answer.text().ends_with(TRANSLATED), "{answer:?}");
    world.idle().await;
    world.resting_on(GENERAL).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_unloaded_by_hand_is_loaded_again() {
    let mut server = lmstudio();
    server.server.jit = false;
    let world = World::start(server).await;
    world.by_hand("unload", &json!({"instance_id": GENERAL})).await;
    let answer = world.ask("s", &hello(true)).await;
    assert_eq!(answer.text(), format!("[{GENERAL}] You wrote: hello"), "{answer:?}");
    world.idle().await;
    assert_eq!(world.resident(), [(GENERAL.to_owned(), CONTEXT)]);
}

/// A world in which somebody put another model in the place of the general one, and a client that names the general
/// one has been answered.
async fn usurped() -> World {
    let mut server = lmstudio().memory_gb(40.0);
    server.server.jit = false;
    let world = World::start(server).await;
    world.by_hand("unload", &json!({"instance_id": GENERAL})).await;
    world.by_hand("load", &json!({"model": OTHER})).await;
    let mut body = hello(true);
    body["model"] = json!(GENERAL);
    let answer = world.ask("s", &body).await;
    // The only loaded model answers for any name, under its own: nobody may take its answer for the other's.
    assert_eq!(answer.text(), format!("[{GENERAL}] You wrote: hello"), "{answer:?}");
    world
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_by_another_model_is_not_passed_on() {
    let world = usurped().await;
    let by = |model: &str| {
        let what = |event: &Event| matches!(event, Event::RequestFinished { instance: Some(instance), .. } if **instance == *model);
        world.happened(what)
    };
    assert_eq!((by(OTHER), by(GENERAL)), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_model_that_was_asked_for_last_stays() {
    let world = usurped().await;
    world.idle().await;
    world.resting_on(GENERAL).await;
    world.idle().await;
    assert_eq!(world.loads(OTHER), 1, "it was not brought back");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_loaded_by_hand_joins_the_baseline() {
    let world = World::start(lmstudio().memory_gb(40.0)).await;
    world.by_hand("load", &json!({"model": OTHER, "context_length": 16384})).await;
    let answer = world.ask("s", &says(TRANSLATE)).await;
    assert!(answer.text().ends_with(TRANSLATED), "{answer:?}");
    world.idle().await;
    // One fits by the gateway's count, and the one chosen last stays.
    world.resting_on(OTHER).await;
    assert_eq!(world.resident(), [(OTHER.to_owned(), 16384)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_comes_later_is_found() {
    let world = World::before_lmstudio(lmstudio()).await;
    let ready = format!("{}/readyz", world.gateway.url());
    world.residency(|report| matches!(report.state_of("lmstudio"), Some(ProviderState::Down(_)))).await;
    assert_eq!(world.http.get(&ready).send().await.unwrap().status(), 503);
    for body in [hello(true), hello(false)] {
        let refused = world.ask("s", &body).await;
        assert_eq!((refused.status, refused.header("retry-after")), (503, "5"), "{refused:?}");
        assert!(refused.error().unwrap().contains("LM Studio"));
    }
    world.lmstudio.restart(Restart::Kept).await.unwrap();
    world.ready().await;
    assert_eq!(world.http.get(&ready).send().await.unwrap().status(), 200);
    assert!(world.ask("s", &hello(true)).await.text().starts_with(&format!("[{GENERAL}]")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_killed_in_the_middle_is_an_error_and_comes_back() {
    let world = World::start(lmstudio().fault(Fault::once(Kind::Stall { after_chunks: 5 }))).await;
    let mut live = world.open("s", &says("write 100 words")).await;
    live.until("river").await;
    world.lmstudio.stop().await;
    let broken = live.finish().await;
    assert_eq!(broken.chunks().pop().unwrap()["error"]["type"], "server_error", "{broken:?}");
    assert!(!broken.body.contains("\"finish_reason\":\"stop\""));

    let refused = world.ask("s", &hello(true)).await;
    assert_eq!((refused.status, refused.header("retry-after")), (503, "5"), "{refused:?}");
    world.lmstudio.restart(Restart::Kept).await.unwrap();
    world.residency(|report| report.state_of("lmstudio") == Some(&ProviderState::Up)).await;
    assert_eq!(world.ask("s", &hello(true)).await.status, 200);
    let translated = world.ask("s", &says(TRANSLATE)).await;
    assert!(translated.text().ends_with(TRANSLATED), "{translated:?}");
    world.idle().await;
    world.resting_on(GENERAL).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_opened_early_says_what_it_waits_for() {
    let fault = Fault::once(Kind::HangLoad).model(SPECIALIST).named("load");
    let world = World::configured(lmstudio().fault(fault), "[limits]\nstream_grace = \"10ms\"\n").await;
    let mut live = world.open("s", &says(TRANSLATE)).await;
    world.held().await;
    let begun = live.until(": loading translategemma-12b-it").await;
    assert!(begun.starts_with("data: {"), "a real chunk comes first: {begun}");
    world.lmstudio.release(Some("load"));
    let answer = live.finish().await;
    assert_eq!(answer.header("x-pointsman-model"), format!("lmstudio/{SPECIALIST}"));
    assert_eq!(answer.header("x-pointsman-skill"), "model-swapper");
    assert_eq!(answer.header("x-pointsman-reason"), "translate: English -> German");
    assert_eq!(answer.chunks()[0]["choices"][0]["delta"], json!({"role": "assistant", "content": ""}));
    assert_eq!(answer.text(), format!("[{SPECIALIST}] {TRANSLATED}"));
    assert!(answer.is_terminated(), "{answer:?}");
    world.idle().await;
    world.resting_on(GENERAL).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_queue_refuses_at_once() {
    let fault = Fault::once(Kind::HangLoad).model(SPECIALIST).named("load");
    for (toml, same_session) in [("max_queue = 1", false), ("max_queue_per_session = 1", true)] {
        let toml = format!("[residency.local]\n{toml}\n");
        let world = Arc::new(World::configured(lmstudio().fault(fault.clone()), &toml).await);
        let first = world.ask_beside("a", &says(TRANSLATE));
        world.held().await;
        let refused = world.ask(if same_session { "a" } else { "b" }, &says(TRANSLATE)).await;
        assert_eq!(refused.status, 429, "{refused:?}");
        assert!(refused.header("retry-after").parse::<u64>().unwrap() > 0);
        let error: Value = serde_json::from_str(&refused.body).unwrap();
        assert_eq!(error["error"]["type"], "rate_limit_error");
        world.lmstudio.release(Some("load"));
        assert!(first.await.unwrap().text().ends_with(TRANSLATED));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shutdown_lets_a_stream_end_and_puts_the_baseline_back() {
    let fault = Fault::once(Kind::Stall { after_chunks: 2 }).model(SPECIALIST).named("gate");
    let world = World::start(lmstudio().fault(fault)).await;
    let address = world.address();
    let mut live = world.open("s", &says(TRANSLATE)).await;
    live.until("data: ").await;
    let World { lmstudio, gateway, .. } = world;
    let stopping = beside(gateway.stop());
    while tokio::net::TcpStream::connect(address).await.is_ok() {
        tokio::task::yield_now().await;
    }
    assert!(!stopping.is_finished());
    lmstudio.release(Some("gate"));
    let answer = live.finish().await;
    assert_eq!(answer.text(), format!("[{SPECIALIST}] {TRANSLATED}"));
    assert!(answer.is_terminated(), "{answer:?}");
    stopping.await.unwrap();
    assert_eq!(resident(&lmstudio), [(GENERAL.to_owned(), CONTEXT)]);
}

fn resident(lmstudio: &Emulator) -> Vec<(String, u32)> {
    lmstudio.resident().iter().map(|it| (it.key.to_string(), it.context_length)).collect()
}
