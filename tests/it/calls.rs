//! Tool calls on their way from the model to the agent: written by another model, rewritten, withheld. Through a running
//! gateway, with `tool-router` and with a guest that says of a call what the tool's name tells it to.

#![cfg(test)]

mod clients;
mod trouble;

use lmstudio_emulator::config::{Answers, Tuning};
use pointsman::telemetry::{Call, Record};
use pointsman_tests::guests::guest;
use pointsman_tests::world::{Answer, GENERAL, OTHER, VISION, World, lmstudio};
use serde_json::{Value, json};

/// A request in which the user's words make the model call tools. Every tool takes a path and a text.
fn calling(words: &str, tools: &[&str], stream: bool) -> Value {
    let tool = |name: &&str| {
        json!({"type": "function", "function": {"name": name, "parameters": {
            "type": "object", "required": ["path", "text"], "additionalProperties": false,
            "properties": {"path": {"type": "string"}, "text": {"type": "string"}},
        }}})
    };
    let tools: Vec<Value> = tools.iter().map(tool).collect();
    let mut body = json!({"model": "auto", "stream": stream, "tools": tools,
        "messages": [{"role": "user", "content": words}]});
    if stream {
        body["stream_options"] = json!({"include_usage": true});
    }
    body
}

/// The assistant's message as a client puts it together: text, calls as (id, name, arguments), finish reason, total tokens.
#[derive(Debug, Default, PartialEq)]
struct Message {
    text: String,
    calls: Vec<(String, String, String)>,
    finish: String,
    tokens: u64,
}

fn message(answer: &Answer) -> Message {
    assert_eq!(answer.status, 200, "{answer:?}");
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let call = |call: &Value| {
        (text(&call["id"]), text(&call["function"]["name"]), text(&call["function"]["arguments"]))
    };
    if let Ok(whole) = serde_json::from_str::<Value>(&answer.body) {
        let choice = &whole["choices"][0];
        return Message {
            text: text(&choice["message"]["content"]),
            calls: choice["message"]["tool_calls"].as_array().into_iter().flatten().map(call).collect(),
            finish: text(&choice["finish_reason"]),
            tokens: whole["usage"]["total_tokens"].as_u64().unwrap_or_default(),
        };
    }
    assert!(answer.is_terminated(), "{answer:?}");
    let mut message = Message::default();
    for chunk in answer.chunks() {
        let choice = &chunk["choices"][0];
        message.text += &text(&choice["delta"]["content"]);
        for delta in choice["delta"]["tool_calls"].as_array().into_iter().flatten() {
            let index = usize::try_from(delta["index"].as_u64().unwrap()).unwrap();
            let (id, name, arguments) = call(delta);
            if message.calls.len() <= index {
                assert_eq!(message.calls.len(), index, "a gap: {answer:?}");
                message.calls.push((id, name, arguments));
            } else {
                message.calls[index].2 += &arguments;
            }
        }
        if let Some(reason) = choice["finish_reason"].as_str() {
            assert_eq!(message.finish, "", "two ends: {answer:?}");
            message.finish = reason.to_owned();
        }
        message.tokens += chunk["usage"]["total_tokens"].as_u64().unwrap_or_default();
    }
    message
}

fn written_by(model: &str) -> String {
    format!(r#"{{"path":"written by {model}","text":"written by {model}"}}"#)
}

fn names(message: &Message) -> Vec<&str> {
    message.calls.iter().map(|(_, name, _)| name.as_str()).collect()
}

/// The newest record, as soon as it is there, and its only call.
async fn only_call(world: &World, answer: &Answer) -> (Record, Call) {
    let record = world.record(answer).await;
    assert_eq!(record.calls.len(), 1, "{record:?}");
    let call = record.calls[0].clone();
    (record, call)
}

/// A gateway whose `edit` goes to [`OTHER`], then to [`VISION`].
async fn editing(change: impl FnOnce(lmstudio_emulator::Config) -> lmstudio_emulator::Config) -> World {
    let rules = format!(
        "[skills.tool-router.settings.rules]\nedit = {{ primary = \"{OTHER}\", fallbacks = [\"{VISION}\"] }}"
    );
    World::configured(change(lmstudio()), &rules).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_is_written_by_the_model_that_is_good_at_it() {
    let world = editing(|it| it).await;
    for stream in [true, false] {
        let plain = message(&world.ask("plain", &calling("call read", &["read", "edit"], stream)).await);
        let answer = world.ask("s", &calling("call edit", &["read", "edit"], stream)).await;
        let called = message(&answer);
        assert_eq!(called.calls.len(), 1, "{answer:?}");
        let (id, name, arguments) = &called.calls[0];
        assert_eq!((name.as_str(), arguments.as_str()), ("edit", written_by(OTHER).as_str()));
        assert!(!id.is_empty() && called.finish == "tool_calls", "{called:?}");
        assert!(called.tokens > plain.tokens, "usage is summed: {called:?} {plain:?}");

        let (record, call) = only_call(&world, &answer).await;
        assert_eq!(record.model.as_deref(), Some("lmstudio/openai/gpt-oss-20b"));
        assert_eq!((call.tool.as_str(), &call.id), ("edit", id));
        assert_eq!(call.own, written_by(GENERAL));
        assert_eq!(call.sent.as_deref(), Some(arguments.as_str()));
        assert_eq!(call.outcome, format!("written by lmstudio/{OTHER}"));
        let [writing] = call.writings.as_slice() else { panic!("{call:?}") };
        assert_eq!(writing.attempt.outcome, "written");
        assert!(writing.attempt.loaded_ms.is_some(), "it was loaded for the call: {writing:?}");
        // The first model is back for the next request.
        world.resting_on(GENERAL).await;
        let next = message(&world.ask("s", &calling("And now?", &["read", "edit"], stream)).await);
        assert!(next.text.starts_with(&format!("[{GENERAL}]")), "{next:?}");
    }
    world.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_written_as_it_must_be_is_asked_of_the_next_and_in_the_end_stays() {
    let clumsy = |model: &str| Tuning { answers: Some(Answers::Clumsy), ..Tuning::of(model) };
    let world = editing(|it| it.tuned(clumsy(OTHER)).tuned(clumsy(GENERAL))).await;
    for stream in [true, false] {
        let answer = world.ask("s", &calling("call edit", &["edit"], stream)).await;
        assert_eq!(message(&answer).calls[0].2, written_by(VISION));
        let (_, call) = only_call(&world, &answer).await;
        let outcomes: Vec<_> = call.writings.iter().map(|it| it.attempt.outcome.as_ref()).collect();
        assert_eq!(outcomes.len(), 2, "{call:?}");
        assert!(outcomes[0].starts_with("its arguments are not JSON"), "{outcomes:?}");
        assert!(call.writings[0].wrote.as_deref().is_some_and(|wrote| wrote.starts_with("{\"path\"")));
        assert_eq!(outcomes[1], "written");
        assert!(serde_json::from_str::<Value>(&call.own).is_err(), "its own were broken: {call:?}");
    }
    let world = editing(|it| it.tuned(clumsy(OTHER)).tuned(clumsy(VISION))).await;
    for stream in [true, false] {
        let answer = world.ask("s", &calling("call edit", &["edit"], stream)).await;
        assert_eq!(message(&answer).calls[0].2, written_by(GENERAL));
        let (_, call) = only_call(&world, &answer).await;
        assert_eq!((call.outcome.as_ref(), call.writings.len()), ("kept: no other model wrote it", 2));
    }
    world.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn parallel_calls_keep_their_places() {
    let world = editing(|it| it).await;
    for stream in [true, false] {
        let words =
            r#"call edit {"path":"a","text":"x"}, call read, call edit, call read {"path":"b","text":"y"}"#;
        let answer = world.ask("s", &calling(words, &["read", "edit"], stream)).await;
        let called = message(&answer);
        assert_eq!(names(&called), ["edit", "read", "edit", "read"]);
        assert_eq!(called.calls[1].2, written_by(GENERAL));
        assert_eq!(called.calls[3].2, r#"{"path":"b","text":"y"}"#);
        let record = world.record(&answer).await;
        assert_eq!(record.calls.len(), 4, "{record:?}");
        let loads = world.loads(OTHER);
        assert_eq!(loads, if stream { 1 } else { 2 }, "one swap for both calls");
        world.resting_on(GENERAL).await;
    }
    world.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_are_rewritten_and_withheld() {
    let world = World::with_skills(
        lmstudio(),
        "[skills.hears-calls]\ngrants = [\"models\"]",
        &[("hears-calls.wasm", guest("hears-calls"))],
    )
    .await;
    let tools = ["read", "rewrite", "deny", "wait", "trap", "no-json", "wait-then-deny"];
    for stream in [true, false] {
        let ask = async |words: &str| world.ask("s", &calling(words, &tools, stream)).await;
        let rewritten = message(&ask("call rewrite").await);
        assert_eq!(rewritten.calls[0].2, r#"{"path":"/tmp/elsewhere"}"#);

        for tool in ["wait", "trap", "no-json", "read"] {
            let answer = ask(&format!("call {tool}")).await;
            assert_eq!(message(&answer).calls[0].2, written_by(GENERAL), "{tool}");
            let (_, call) = only_call(&world, &answer).await;
            assert_eq!(call.outcome, "passed");
        }

        let beside = message(&ask("call deny, call read, call deny").await);
        assert_eq!((names(&beside), beside.finish.as_str()), (vec!["read"], "tool_calls"));
        assert!(beside.text.contains("not that one:\nuse `read`"), "{beside:?}");

        // Told so, the model answers.
        for tool in ["deny", "wait-then-deny"] {
            let answer = ask(&format!("call {tool}")).await;
            let alone = message(&answer);
            assert_eq!((alone.calls.len(), alone.finish.as_str()), (0, "stop"), "{alone:?}");
            assert!(alone.text.contains("The tool answered: The call was not made."), "{alone:?}");
            let (first, second) = alone.text.split_once("\n\n").unwrap();
            assert!(
                first.starts_with('[') && second.starts_with('['),
                "each round is a paragraph: {alone:?}"
            );
            let record = world.record(&answer).await;
            assert!(record.calls.iter().all(|call| call.outcome == "denied"), "{record:?}");
            assert_eq!(record.finish.as_deref(), Some("stop"));
        }
    }
    world.gateway.stop().await;
}
