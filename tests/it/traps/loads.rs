//! Loads: every one makes another instance, some are refused, some take no notice of what was asked, some are still
//! going on when they were given up, and lists may lag behind them all.

use std::sync::Arc;

use lmstudio_emulator::config::Overflow;
use lmstudio_emulator::fault::{Kind, Route};
use lmstudio_emulator::log::Origin;
use lmstudio_emulator::{Event, Fault};
use pointsman_tests::world::{CONTEXT, GENERAL, OTHER, SPECIALIST, VISION, World, beside, lmstudio, says};
use serde_json::{Value, json};

use super::between::Between;
use super::{ROOMY_GB, TRANSLATE, TRANSLATED, at_rest, greeted, hang_load, listed_since, loads_asked, to};

/// Bytes of text that need some 10 000 tokens: more than LM Studio's default context.
const LONG_TEXT: usize = 40_000;

fn long_text() -> Value {
    says(&"word ".repeat(LONG_TEXT / 5))
}

#[tokio::test(flavor = "multi_thread")]
async fn many_cold_requests_are_one_explicit_load() {
    let mut server = lmstudio().fault(hang_load(OTHER));
    server.server.jit_duplicates = true;
    let world = Arc::new(World::start(server).await);
    let asked: Vec<_> = (0..10).map(|index| world.ask_beside(&format!("s{index}"), &to(OTHER))).collect();
    world.waiting_for(OTHER, 10).await;
    world.held().await;
    world.lmstudio.release(Some("load"));
    for asked in asked {
        let answer = asked.await.unwrap();
        assert_eq!(answer.text(), greeted(OTHER), "{answer:?}");
    }
    world.idle().await;
    assert_eq!((world.loads(OTHER), loads_asked(&world, OTHER)), (1, 1));
    let resident = world.lmstudio.resident();
    let found: Vec<_> = resident.iter().map(|it| (&*it.id, it.origin)).collect();
    assert_eq!(found, [(OTHER, Origin::Explicit)], "no second one, and none by a request");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_that_somebody_loads_meanwhile_is_waited_for_and_used() {
    // Its instance is listed while it loads, or only version 0 shows it.
    for list_shows_loading in [true, false] {
        let mut server = lmstudio().memory_gb(ROOMY_GB).fault(hang_load(OTHER));
        server.server.list_shows_loading = list_shows_loading;
        let world = Arc::new(World::start(server).await);
        let by_hand = world.clone();
        let by_hand = beside(async move { by_hand.by_hand("load", &json!({"model": OTHER})).await });
        world.held().await;
        let asked = world.ask_beside("s", &to(OTHER));
        world.residency(|report| report.instances.iter().any(|it| it.model.key() == OTHER)).await;
        world.lmstudio.release(Some("load"));
        by_hand.await.unwrap();
        let answer = asked.await.unwrap();
        assert_eq!(answer.text(), greeted(OTHER), "{answer:?}");
        assert_eq!(loads_asked(&world, OTHER), 1, "listed while loading: {list_shows_loading}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_load_that_was_given_up_is_found_and_not_sent_again() {
    for list_shows_loading in [true, false] {
        let mut server = lmstudio().fault(hang_load(SPECIALIST));
        server.server.list_shows_loading = list_shows_loading;
        let toml = "[residency.local]\nload_timeout = \"8s\"\n";
        let world = Arc::new(World::configured(server, toml).await);
        let asked = world.ask_beside("s", &says(TRANSLATE));
        world.held().await;
        listed_since(&world, 1, |event| matches!(event, Event::ClientDisconnected { .. })).await;
        world.lmstudio.release(Some("load"));
        let answer = asked.await.unwrap();
        assert_eq!(answer.text(), format!("[{SPECIALIST}] {TRANSLATED}"), "{answer:?}");
        at_rest(&world).await;
        assert_eq!(loads_asked(&world, SPECIALIST), 1);
        assert_eq!(world.resident(), [(GENERAL.to_owned(), CONTEXT)]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_refused_for_memory_is_not_tried_again_at_once() {
    let world = World::start(lmstudio().fault(Fault::always(Kind::Guardrail).model(SPECIALIST))).await;
    let first = world.ask("a", &says(TRANSLATE)).await;
    assert_eq!((first.status, first.header("retry-after")), (503, "5"), "{first:?}");
    at_rest(&world).await;
    let unloads = || world.happened(|event| matches!(event, Event::Unload { .. }));
    let unloads_before = unloads();
    let second = world.ask("b", &says(TRANSLATE)).await;
    assert_eq!(second.status, 503, "{second:?}");
    assert!(second.error().unwrap().contains("memory"), "{second:?}");
    assert!((1..=5).contains(&second.header("retry-after").parse::<u32>().unwrap()), "{second:?}");
    assert_eq!((loads_asked(&world, SPECIALIST), unloads()), (1, unloads_before), "nobody was hurt for it");
    let plain = world.ask("c", &says("hello")).await;
    assert_eq!(plain.text(), greeted(GENERAL), "{plain:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_dies_while_it_loads_is_an_error_and_the_baseline_is_back() {
    let world = World::start(lmstudio().fault(Fault::always(Kind::LoadCrash).model(SPECIALIST))).await;
    let refused = world.ask("s", &says(TRANSLATE)).await;
    assert_eq!(refused.status, 503, "{refused:?}");
    let error: Value = serde_json::from_str(&refused.body).unwrap();
    assert_eq!(error["error"]["code"], "load_failed");
    assert_eq!(loads_asked(&world, SPECIALIST), 1, "the same load would crash again");
    at_rest(&world).await;
    assert_eq!(world.resident(), [(GENERAL.to_owned(), CONTEXT)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn effects_that_are_answered_with_nonsense_leave_a_state_to_go_on_from() {
    let odd = || Kind::StringError { message: "odd".to_owned() };
    for route in [Route::Load, Route::Unload] {
        for kind in [Kind::Html500, odd(), Kind::Reset] {
            let world = World::start(lmstudio()).await;
            world.lmstudio.faults([Fault::once(kind.clone()).on(route)]);
            let first = world.ask("a", &says(TRANSLATE)).await;
            let is_served = first.status == 200 && first.text().ends_with(TRANSLATED);
            assert!(is_served || first.status == 503, "{route:?} {kind:?} {first:?}");
            at_rest(&world).await;
            let second = world.ask("b", &says(TRANSLATE)).await;
            assert!(second.text().ends_with(TRANSLATED), "{route:?} {kind:?} {second:?}");
            at_rest(&world).await;
            assert_eq!(world.resident(), [(GENERAL.to_owned(), CONTEXT)], "{route:?} {kind:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_that_still_shows_what_was_unloaded_is_not_believed() {
    let world = Arc::new(World::start(lmstudio()).await);
    world.lmstudio.faults([Fault::always(Kind::ListLags)]);
    let asked = world.ask_beside("s", &says(TRANSLATE));
    listed_since(&world, 2, |event| matches!(event, Event::Unloaded { .. })).await;
    assert_eq!(loads_asked(&world, SPECIALIST), 0, "memory is not known to be free");
    world.lmstudio.clear_faults();
    let answer = asked.await.unwrap();
    assert_eq!(answer.text(), format!("[{SPECIALIST}] {TRANSLATED}"), "{answer:?}");
    at_rest(&world).await;
    assert_eq!((world.loads(SPECIALIST), world.loads(GENERAL)), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_that_does_not_show_yet_what_was_loaded_is_not_believed() {
    let mut server = lmstudio().fault(hang_load(SPECIALIST));
    server.server.list_shows_loading = false;
    let world = Arc::new(World::start(server).await);
    let asked = world.ask_beside("s", &says(TRANSLATE));
    world.held().await;
    // From now on lists show an empty memory.
    world.lmstudio.faults([Fault::always(Kind::ListLags).named("lag")]);
    world.lmstudio.release(Some("load"));
    let answer = asked.await.unwrap();
    assert_eq!(answer.text(), format!("[{SPECIALIST}] {TRANSLATED}"), "{answer:?}");
    at_rest(&world).await;
    let plain = world.ask("s", &says("hello")).await;
    assert_eq!(plain.text(), greeted(GENERAL), "{plain:?}");
    world.lmstudio.clear_faults();
    at_rest(&world).await;
    assert_eq!((loads_asked(&world, SPECIALIST), loads_asked(&world, GENERAL)), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn too_little_context_is_mended_by_one_reload_before_anything_is_sent() {
    // With the last of these, LM Studio would answer with nothing and call it a success.
    for overflow in [Overflow::StreamEvent, Overflow::Status, Overflow::Empty] {
        let server = lmstudio().server(|server| server.overflow = overflow);
        let world =
            World::start(lmstudio_emulator::Config { loaded: Vec::new(), ..server }.loaded(GENERAL)).await;
        let answer = world.ask("s", &long_text()).await;
        assert!(answer.text().starts_with(&format!("[{GENERAL}] You wrote: word")), "{answer:?}");
        assert_eq!(world.chats().len(), 1, "it was not tried in vain");
        world.idle().await;
        let context = world.resident()[0].1;
        assert!(context >= 16_384, "{context}");
        // What the conversation needs is what comes back after a specialist.
        let translated = world.ask("s", &says(TRANSLATE)).await;
        assert!(translated.text().ends_with(TRANSLATED), "{translated:?}");
        at_rest(&world).await;
        assert_eq!(world.resident(), [(GENERAL.to_owned(), context)]);
        assert_eq!(loads_asked(&world, GENERAL), 2);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_context_that_loads_take_no_notice_of_is_asked_for_once() {
    let between = Between::changing_loads(|body| {
        body.as_object_mut().unwrap().remove("context_length");
    })
    .await;
    let server = lmstudio_emulator::Config { loaded: Vec::new(), ..lmstudio() }.loaded(GENERAL);
    let world = World::configured(server, &between.provider()).await;
    for _ in 0..2 {
        let refused = world.ask("s", &long_text()).await;
        assert_eq!(refused.status, 400, "{refused:?}");
        let error: Value = serde_json::from_str(&refused.body).unwrap();
        assert_eq!(error["error"]["code"], "context_length_exceeded", "{refused:?}");
        world.idle().await;
    }
    assert_eq!(loads_asked(&world, GENERAL), 1, "what was read back is accepted");
    let short = world.ask("s", &says("hello")).await;
    assert_eq!(short.text(), greeted(GENERAL), "{short:?}");
    assert_eq!(world.resident(), [(GENERAL.to_owned(), 4096)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_with_a_context_of_its_own_is_not_loaded_again_for_it() {
    // MLX models load with all the context they have.
    let toml = format!("[models.\"{VISION}\"]\ncontext_length = 16384\n");
    let world = World::configured(lmstudio(), &toml).await;
    for session in ["a", "b"] {
        let answer = world.ask(session, &to(VISION)).await;
        assert_eq!(answer.text(), greeted(VISION), "{answer:?}");
        world.idle().await;
    }
    assert_eq!((loads_asked(&world, VISION), loads_asked(&world, GENERAL)), (1, 0));
    assert_eq!(world.resident(), [(VISION.to_owned(), 128_000)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_load_that_brings_another_model_is_not_taken_for_the_one_that_was_asked_for() {
    let between = Between::changing_loads(|body| {
        if body["model"] == SPECIALIST {
            body["model"] = json!(OTHER);
        }
    })
    .await;
    let world = World::configured(lmstudio(), &between.provider()).await;
    let refused = world.ask("s", &says(TRANSLATE)).await;
    assert_ne!(refused.status, 200, "another model's answer was passed on: {refused:?}");
    assert!(refused.error().is_some(), "{refused:?}");
    at_rest(&world).await;
    assert_eq!(world.resident(), [(GENERAL.to_owned(), CONTEXT)]);
}
