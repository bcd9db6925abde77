//! Tool calls where something is in the way: one slot for two conversations, no room, no time, no patience, a person's
//! choice, arguments without end.

use std::sync::Arc;

use lmstudio_emulator::Fault;
use lmstudio_emulator::config::{Answers, Tuning};
use lmstudio_emulator::fault::Kind;
use pointsman_tests::world::{GENERAL, OTHER, VISION, World, lmstudio, says};

use super::{calling, editing, message, only_call, written_by};

#[tokio::test(flavor = "multi_thread")]
async fn conversations_that_reroute_against_each_other_on_one_slot_all_come_through() {
    let rules = format!(
        "[skills.tool-router.settings.rules]\nedit = {{ primary = \"{OTHER}\" }}\nwrite = {{ primary = \"{GENERAL}\" }}"
    );
    let world = Arc::new(World::configured(lmstudio(), &rules).await);
    let ask = |session: String, stream: bool| {
        // One is served by the model that the other's calls need, and the other way round.
        let mut body = calling("call edit, call read, call write", &["read", "edit", "write"], stream);
        if session.ends_with("-other") {
            body["model"] = OTHER.into();
        }
        let answer = world.ask_beside(&session, &body);
        (session, answer)
    };
    let asked: Vec<_> = (0..4)
        .flat_map(|number| [(format!("{number}"), true), (format!("{number}-other"), number % 2 == 0)])
        .map(|(session, stream)| ask(session, stream))
        .collect();
    for (session, answer) in asked {
        let answer = answer.await.unwrap();
        let called = message(&answer);
        let own = if session.ends_with("-other") { OTHER } else { GENERAL };
        let hands = [OTHER, own, GENERAL].map(written_by);
        let wrote: Vec<&str> = called.calls.iter().map(|(_, _, arguments)| arguments.as_str()).collect();
        assert_eq!(wrote, hands, "{session}: {answer:?}");
        let record = world.record(&answer).await;
        let by_others = record.calls.iter().filter(|call| !call.writings.is_empty()).count();
        assert_eq!(by_others, 1, "{record:?}");
    }
    world.idle().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_was_opened_before_its_model_was_there_has_its_calls_written_too() {
    let rules = format!(
        "[limits]\nstream_grace = \"0s\"\n[skills.tool-router.settings.rules]\nedit = {{ primary = \"{OTHER}\" }}"
    );
    let world = World::configured(lmstudio(), &rules).await;
    let mut body = calling("call edit, call read", &["read", "edit"], true);
    body["model"] = VISION.into();
    let answer = world.ask("s", &body).await;
    let called = message(&answer);
    let wrote: Vec<&str> = called.calls.iter().map(|(_, _, arguments)| arguments.as_str()).collect();
    assert_eq!(wrote, [written_by(OTHER), written_by(VISION)], "{answer:?}");
    let record = world.record(&answer).await;
    assert!(record.notes.iter().any(|note| note.contains("opened before")), "{record:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_is_not_worth_a_swap_is_written_by_its_own_model() {
    let rules = format!(
        "[skills.tool-router.settings]\nswap = \"never\"\n[skills.tool-router.settings.rules]\nedit = {{ primary = \"{OTHER}\" }}"
    );
    let world = World::configured(lmstudio(), &rules).await;
    let answer = world.ask("s", &calling("call edit", &["edit"], true)).await;
    assert_eq!(message(&answer).calls[0].2, written_by(GENERAL));
    let (_, call) = only_call(&world, &answer).await;
    assert_eq!(call.outcome, "kept: no other model wrote it");
    assert_eq!((call.writings.len(), world.loads(OTHER)), (1, 0), "{call:?}");
    // With room for both it is written by the other one.
    let roomy = format!("[residency.local]\nmax_loaded = 2\n{rules}");
    let world = World::configured(lmstudio().memory_gb(64.0), &roomy).await;
    let answer = world.ask("s", &calling("call edit", &["edit"], true)).await;
    assert_eq!(message(&answer).calls[0].2, written_by(OTHER), "{answer:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_leaves_ends_the_writing_of_its_calls() {
    let world = editing(|it| it).await;
    let fault = Fault::once(Kind::Hang).on(lmstudio_emulator::fault::Route::Chat).model(OTHER).named("gate");
    world.lmstudio.faults([fault]);
    let live = world.open("s", &calling("call edit", &["edit"], true)).await;
    world.held().await;
    drop(live);
    world.idle().await;
    world.resting_on(GENERAL).await;
    let records = world.records(1).await;
    let call = &records[0].calls[0];
    assert_eq!(call.outcome, "broken off", "{call:?}");
    assert!(records[0].error.as_deref().is_some_and(|error| error.contains("the client left")));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_written_in_time_is_left_as_it_was() {
    let rules = format!(
        "[limits]\nreroute_timeout = \"500ms\"\n[skills.tool-router.settings.rules]\nedit = {{ primary = \"{OTHER}\" }}"
    );
    let world = World::configured(lmstudio(), &rules).await;
    for stream in [true, false] {
        let fault = Fault::once(Kind::Hang).on(lmstudio_emulator::fault::Route::Chat).model(OTHER);
        world.lmstudio.faults([fault]);
        let answer = world.ask("s", &calling("call edit", &["edit"], stream)).await;
        assert_eq!(message(&answer).calls[0].2, written_by(GENERAL));
        let (_, call) = only_call(&world, &answer).await;
        assert!(call.writings[0].attempt.outcome.starts_with("not written within"), "{call:?}");
        world.lmstudio.release(None);
        world.resting_on(GENERAL).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_write_in_its_share_of_the_time_makes_way_for_the_next() {
    let rules = format!(
        "[limits]\nreroute_timeout = \"20s\"\n[skills.tool-router.settings.rules]\nedit = {{ primary = \"{OTHER}\", fallbacks = [\"{VISION}\"] }}"
    );
    let world = World::configured(lmstudio(), &rules).await;
    world.lmstudio.faults([Fault::once(Kind::Hang).on(lmstudio_emulator::fault::Route::Chat).model(OTHER)]);
    let general = world.loads(GENERAL);
    let answer = world.ask("s", &calling("call edit", &["edit"], true)).await;
    assert_eq!(message(&answer).calls[0].2, written_by(VISION));
    let (_, call) = only_call(&world, &answer).await;
    let outcomes: Vec<_> = call.writings.iter().map(|it| it.attempt.outcome.as_ref()).collect();
    assert!(outcomes[0].starts_with("not written within") && outcomes[1] == "written", "{outcomes:?}");
    // In between the first one was not put back.
    world.resting_on(GENERAL).await;
    assert_eq!(world.loads(GENERAL), general + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_that_one_model_cannot_write_go_to_the_next_together() {
    let clumsy = Tuning { answers: Some(Answers::Clumsy), ..Tuning::of(OTHER) };
    let world = editing(|it| it.tuned(clumsy)).await;
    let words = r#"call edit {"path":"a","text":"x"}, call edit {"path":"b","text":"y"}"#;
    let answer = world.ask("s", &calling(words, &["edit"], true)).await;
    let called = message(&answer);
    assert!(called.calls.iter().all(|(_, _, arguments)| *arguments == written_by(VISION)), "{answer:?}");
    assert_eq!((called.calls.len(), world.loads(OTHER), world.loads(VISION)), (2, 1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_cannot_be_forced_to_call_is_asked_in_words_and_then_the_next_by_one_swap_each() {
    let world = editing(|it| it).await;
    for stream in [true, false] {
        let loads = || [GENERAL, OTHER, VISION].map(|model| world.loads(model));
        let before = loads();
        let body = r#"{"error":"`tool_choice` is not supported here"}"#.to_owned();
        let fault = Fault::once(Kind::Answer { status: 400, body }).on(lmstudio_emulator::fault::Route::Chat);
        world.lmstudio.faults([fault.model(OTHER)]);
        let answer = world.ask("s", &calling("call edit", &["edit"], stream)).await;
        assert_eq!(message(&answer).calls[0].2, written_by(VISION), "{answer:?}");
        let (_, call) = only_call(&world, &answer).await;
        let outcomes: Vec<_> = call.writings.iter().map(|it| it.attempt.outcome.as_ref()).collect();
        assert!(outcomes[0].contains("not supported here"), "{outcomes:?}");
        // Asked in words the emulator's models answer with text.
        assert_eq!(outcomes[1..], ["it called nothing", "written"]);
        world.resting_on(GENERAL).await;
        // In between the first one was not put back.
        assert_eq!(loads(), before.map(|count| count + 1));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_that_are_too_long_to_be_held_go_out_as_they_are() {
    let rules = format!(
        "[limits]\nhold_bytes_max = 2000\n[skills.tool-router.settings.rules]\nedit = {{ primary = \"{OTHER}\" }}"
    );
    let world = World::configured(lmstudio(), &rules).await;
    let long = serde_json::json!({"path": "a", "text": "x".repeat(5000)}).to_string();
    for stream in [true, false] {
        let words = format!("call edit {long}");
        let answer = world.ask("s", &calling(&words, &["edit"], stream)).await;
        assert_eq!(message(&answer).calls[0].2, long);
        let record = world.record(&answer).await;
        assert!(record.notes.iter().any(|note| note.contains("too long to be held")), "{record:?}");
        assert_eq!(world.loads(OTHER), 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_that_a_person_picked_writes_its_own_calls() {
    let world = editing(|it| it).await;
    world.ask("s", &says(&format!("/model {GENERAL}"))).await;
    let answer = world.ask("s", &calling("call edit", &["edit"], true)).await;
    assert_eq!(message(&answer).calls[0].2, written_by(GENERAL));
    let elsewhere = world.ask("t", &calling("call edit", &["edit"], true)).await;
    assert_eq!(message(&elsewhere).calls[0].2, written_by(OTHER));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tool_behind_another_is_written_by_its_own_rule() {
    let world = editing(|it| it).await;
    let mut body = calling(
        r#"call tool_call {"id":"edit","args":{"path":"a"}}, call tool_call {"id":"read","args":{}}"#,
        &["tool_call"],
        true,
    );
    body["tools"][0]["function"]["parameters"] = serde_json::json!({
        "type": "object", "required": ["id", "args"],
        "properties": {"id": {"type": "string"}, "args": {"type": "object"}},
    });
    let answer = world.ask("s", &body).await;
    let called = message(&answer);
    assert_eq!(called.calls.len(), 2, "{answer:?}");
    // What the other model makes up for `args` is an empty object, since their schema says no more.
    assert_eq!(called.calls[0].2, r#"{"id":"edit","args":{}}"#);
    assert_eq!(called.calls[1].2, r#"{"id":"read","args":{}}"#);
    let record = world.record(&answer).await;
    assert_eq!(record.calls[0].outcome, format!("written by lmstudio/{OTHER}"), "{record:?}");
    assert!(record.calls[1].writings.is_empty(), "{record:?}");
}
