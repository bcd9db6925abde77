//! What happens to calls, case by case: the chunks of a chat in shorthand, what hooks say, and what is to be done.

use bytes::Bytes;
use serde_json::{Value, json};

use super::*;
use crate::wire::calls::chat::{body::Body, chunk::Chunks};

/// What is done, in shorthand: chunks without what stands around them, and questions.
#[derive(Debug, Default)]
struct Told(Vec<String>);

fn frame(delta: &Value, finish: &Value) -> Frame {
    let choices = json!([{"index": 0, "delta": delta, "finish_reason": finish}]);
    Frame::from(Bytes::from(format!("data: {}\n\n", json!({"id": "m", "x": 1, "choices": choices}))))
}

fn call(index: u32, id: &str, name: &str, arguments: &str) -> Frame {
    let function = json!({"name": name, "arguments": arguments});
    frame(
        &json!({"tool_calls": [{"index": index, "id": id, "type": "function", "function": function}]}),
        &Value::Null,
    )
}

fn more(index: u32, arguments: &str) -> Frame {
    frame(&json!({"tool_calls": [{"index": index, "function": {"arguments": arguments}}]}), &Value::Null)
}

fn text(text: &str) -> Frame {
    frame(&json!({"content": text}), &Value::Null)
}

fn finish(reason: &str) -> Frame {
    frame(&json!({}), &json!(reason))
}

fn usage(prompt: u32, completion: u32) -> Frame {
    let usage = json!({"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion});
    Frame::from(Bytes::from(format!("data: {}\n\n", json!({"id": "m", "choices": [], "usage": usage}))))
}

fn done() -> Frame {
    Frame::from(Bytes::from_static(b"data: [DONE]\n\n"))
}

impl Told {
    /// Notes what is to be done; hooks are answered from `answers`, in the order in which they are asked.
    fn take(&mut self, splicer: &mut Splicer<u8>, actions: Vec<Action<u8>>, answers: &mut Vec<Answer<u8>>) {
        for action in actions {
            match action {
                Action::Forward(bytes) => self.0.extend(chunks(&bytes)),
                Action::Ask(ask) => {
                    self.0.push(format!("ask {} {} {:?}", ask.id, ask.name, ask.arguments.as_deref()));
                    let actions = splicer.answer(ask.call, answers.remove(0));
                    self.take(splicer, actions, answers);
                }
                Action::Write(writes) => {
                    for write in writes {
                        let Write { route, arguments, text, .. } = &write;
                        self.0.push(format!("write by {route} for {arguments} after {text:?}"));
                        let written = (*route > 0).then(|| format!("{{\"by\":{route}}}"));
                        let cost = Usage { prompt_tokens: Some(10), completion_tokens: Some(1) };
                        let actions = splicer.written(write.call, written, cost);
                        self.take(splicer, actions, answers);
                    }
                }
                Action::GoOn(GoOn { text, calls }) => {
                    let calls: Vec<String> = calls
                        .iter()
                        .map(|call| format!("{} {}: {}", call.id, call.arguments, call.reason))
                        .collect();
                    self.0.push(format!("go on after {text:?} with {}", calls.join(", ")));
                }
                Action::Over => self.0.push("over".to_owned()),
            }
        }
    }
}

/// Chunks as one reads them.
fn chunks(bytes: &[u8]) -> Vec<String> {
    let text = std::str::from_utf8(bytes).unwrap();
    text.trim_end().split("\n\n").map(|chunk| shorthand(chunk.trim_start_matches("data: "))).collect()
}

fn shorthand(chunk: &str) -> String {
    let Ok(chunk) = serde_json::from_str::<Value>(chunk) else { return chunk.to_owned() };
    let mut said = Vec::new();
    for choice in chunk["choices"].as_array().into_iter().flatten() {
        assert_eq!(chunk["id"], "m", "what stands around a part goes with it");
        for (key, value) in choice["delta"].as_object().into_iter().flatten() {
            if key != "tool_calls" {
                said.push(format!("{key} {value}"));
            }
        }
        for call in choice["delta"]["tool_calls"].as_array().into_iter().flatten() {
            let texts = [&call["id"], &call["function"]["name"], &call["function"]["arguments"]];
            let texts: Vec<&str> = texts.iter().filter_map(|text| text.as_str()).collect();
            said.push(format!("call {} {}", call["index"], texts.join(" ")));
        }
        said.extend(choice["finish_reason"].as_str().map(|reason| format!("finish {reason}")));
    }
    if let Some(usage) = chunk["usage"].as_object() {
        let count = |key: &str| usage[key].to_string();
        said.push(["prompt_tokens", "completion_tokens", "total_tokens"].map(count).join("+"));
    }
    said.join(", ")
}

/// Rounds of frames, each played to its end.
fn play(rounds: &[Vec<Frame>], mut answers: Vec<Answer<u8>>) -> (Vec<String>, Splicer<u8>) {
    let mut splicer = Splicer::new(Box::new(Chunks::default()), 1 << 20, "r");
    let mut told = Told::default();
    for round in rounds {
        for frame in round {
            let actions = splicer.frame(frame);
            told.take(&mut splicer, actions, &mut answers);
        }
        let actions = splicer.end();
        told.take(&mut splicer, actions, &mut answers);
    }
    assert!(answers.is_empty(), "{answers:?} were not asked for");
    (told.0, splicer)
}

fn check(rounds: &[Vec<Frame>], answers: Vec<Answer<u8>>, expected: &[&str]) {
    assert_eq!(play(rounds, answers).0, expected);
}

#[test]
fn what_a_hook_says_is_what_leaves() {
    let message = || {
        let rest = [more(0, "1}"), text("and"), finish("tool_calls"), usage(5, 6), done()];
        [[text("so "), call(0, "a", "edit", "{\"x\":")].as_slice(), &rest].concat()
    };
    let (said, asked) = ("content \"so \"", "ask a edit None");
    let whole = |arguments: &str| format!("call 0 a edit {arguments}");
    let (end, count) = ("finish tool_calls", "5+6+11");
    let and = "content \"and\"";
    check(
        &[message()],
        vec![Answer::Pass],
        &[said, asked, "call 0 a edit {\"x\":", "call 0 1}", and, end, count, "[DONE]", "over"],
    );
    let again = "ask a edit Some(\"{\\\"x\\\":1}\")";
    check(
        &[message()],
        vec![Answer::Wait, Answer::Wait],
        &[said, asked, and, again, "call 0 a edit {\"x\":", "call 0 1}", end, count, "[DONE]", "over"],
    );
    check(
        &[message()],
        vec![Answer::Wait, Answer::Rewrite("[]".to_owned())],
        &[said, asked, and, again, &whole("[]"), end, count, "[DONE]", "over"],
    );
    let write = |by: u8| format!("write by {by} for {{\"x\":1}} after \"so and\"");
    check(
        &[message()],
        vec![Answer::Reroute(7)],
        &[said, asked, and, &write(7), &whole("{\"by\":7}"), end, "15+7+22", "[DONE]", "over"],
    );
    check(
        &[message()],
        vec![Answer::Reroute(0)],
        &[
            said,
            asked,
            and,
            &write(0),
            "call 0 a edit {\"x\":",
            "call 0 1}",
            end,
            "15+7+22",
            "[DONE]",
            "over",
        ],
    );
}

#[test]
fn what_is_denied_leaves_no_gap() {
    let calls = vec![
        call(0, "a", "edit", "{}"),
        call(1, "b", "read", "{}"),
        call(2, "", "list", "{}"),
        finish("stop"),
        done(),
    ];
    let passed = [
        "ask a edit None",
        "ask b read None",
        "call 0 b read {}",
        "ask call_r002 list None",
        "call 1 call_r002 list {}",
    ];
    let end = ["content \"no edits\"", "finish tool_calls", "[DONE]", "over"];
    check(
        &[calls],
        vec![Answer::Deny("no edits".to_owned()), Answer::Pass, Answer::Pass],
        &[passed.as_slice(), &end].concat(),
    );
}

#[test]
fn where_all_is_denied_the_model_goes_on_until_it_has_been_told_often_enough() {
    let round = |said: &str| {
        let opens = json!({"role": "assistant", "content": null,
            "tool_calls": [{"index": 0, "id": "a", "type": "function", "function": {"name": "edit", "arguments": "{"}}]});
        vec![text(said), frame(&opens, &Value::Null), finish("tool_calls"), usage(5, 6), done()]
    };
    let deny = || Answer::Deny("no".to_owned());
    let rounds = [round("1"), round("2"), round("3"), round("4")];
    check(
        &rounds,
        vec![deny(), deny(), deny(), deny()],
        &[
            "content \"1\"",
            "ask a edit None",
            // The role was with the call.
            "role \"assistant\", content null",
            "go on after \"1\" with a {}: no",
            "content \"\\n\\n\"",
            "content \"2\"",
            "ask a edit None",
            "content null",
            "go on after \"2\" with a {}: no",
            "content \"\\n\\n\"",
            "content \"3\"",
            "ask a edit None",
            "content null",
            "go on after \"3\" with a {}: no",
            "content \"\\n\\n\"",
            "content \"4\"",
            "ask a edit None",
            "content null",
            "content \"\\n\\nno\"",
            "finish stop",
            "20+24+44",
            "[DONE]",
            "over",
        ],
    );
}

#[test]
fn too_much_is_released_and_what_was_denied_never_leaves() {
    let mut splicer: Splicer<u8> = Splicer::new(Box::new(Chunks::default()), 700, "r");
    let mut told = Told::default();
    let mut answers = vec![Answer::Deny("no".to_owned()), Answer::Reroute(1)];
    let fill = "x".repeat(300);
    let frames = [
        call(0, "a", "edit", "{}"),
        call(1, "b", "edit", "{"),
        more(1, &fill),
        call(2, "c", "edit", "{}"),
        finish("stop"),
    ];
    for frame in &frames {
        let actions = splicer.frame(frame);
        assert!(splicer.held_bytes() <= 700);
        told.take(&mut splicer, actions, &mut answers);
    }
    let fill = format!("call 0 {fill}");
    let expected = [
        "ask a edit None",
        "ask b edit None",
        "call 0 b edit {",
        &fill,
        "call 1 c edit {}",
        "content \"no\"",
        "finish tool_calls",
    ];
    assert_eq!(told.0, expected);
    assert!(splicer.overflowed());
    let fates: Vec<Fate> = splicer.calls().into_iter().map(|record| record.fate).collect();
    assert_eq!(fates, [Fate::Denied("no".to_owned()), Fate::Released, Fate::Released]);
}

#[test]
fn calls_without_number_pass_and_close_the_gaps() {
    let mut frames: Vec<Frame> =
        (0..80).map(|number| call(number, &format!("c{number}"), "edit", "{}")).collect();
    frames.push(finish("tool_calls"));
    let answers =
        (0..CALLS_MAX).map(|number| if number == 3 { Answer::Deny("no".to_owned()) } else { Answer::Pass });
    let (told, splicer) = play(&[frames], answers.collect());
    let left: Vec<&String> = told.iter().filter(|told| told.starts_with("call")).collect();
    assert_eq!((left.len(), left[78].as_str()), (79, "call 78 c79 edit {}"));
    assert!(splicer.overflowed());
}

#[test]
fn a_frame_matters_once_there_are_calls_and_only_if_it_has_to_do_with_them() {
    let mut splicer: Splicer<u8> = Splicer::new(Box::new(Chunks::default()), 1 << 20, "r");
    let mut watch = Watch::default();
    let mut matters = |splicer: &Splicer<u8>, frame: &Frame| {
        watch.frame(frame);
        splicer.matters(&watch, frame)
    };
    assert!(!matters(&splicer, &text("so \"tool_calls\":[{")));
    splicer.passed(text("so").bytes());
    let begins = call(0, "a", "edit", "{}");
    assert!(matters(&splicer, &begins));
    let Some(Action::Ask(ask)) = splicer.frame(&begins).pop() else { panic!("nobody is asked") };
    assert!(matters(&splicer, &text("held")));
    splicer.answer(ask.call, Answer::Pass);
    assert!(!matters(&splicer, &text("not held")));
    assert!(!matters(&splicer, &finish("stop")));
    assert!(matters(&splicer, &more(0, "x")));
}

#[test]
fn an_answer_that_is_not_streamed_is_one_piece() {
    let body = Bytes::from(
        json!({"id": "m", "x": 1, "choices": [{"index": 0, "finish_reason": "tool_calls", "message": {"role": "assistant",
            "content": "so", "tool_calls": [
                {"id": "a", "type": "function", "function": {"name": "edit", "arguments": "{}"}},
                {"id": "b", "type": "function", "function": {"name": "read", "arguments": "{\"n\":1}"}}]}}],
            "usage": {"prompt_tokens": 5, "completion_tokens": 6, "total_tokens": 11, "y": null}})
        .to_string(),
    );
    let play = |answers: [Answer<u8>; 2]| {
        let mut splicer: Splicer<u8> = Splicer::new(Box::new(Body::default()), 1 << 20, "r");
        let mut actions = splicer.whole(&body);
        let mut out = Bytes::new();
        let mut answers = answers.into_iter();
        while !actions.is_empty() {
            match actions.remove(0) {
                Action::Forward(bytes) => out = bytes,
                Action::Ask(ask) => {
                    assert!(ask.arguments.is_some());
                    actions.extend(splicer.answer(ask.call, answers.next().unwrap()));
                }
                Action::Write(writes) => {
                    assert_eq!((writes[0].text.as_str(), writes[0].arguments.as_str()), ("so", "{\"n\":1}"));
                    let cost = Usage { prompt_tokens: Some(10), completion_tokens: None };
                    actions.extend(splicer.written(writes[0].call, Some("[]".to_owned()), cost));
                }
                Action::GoOn(_) => actions.extend(splicer.stay()),
                Action::Over => {}
            }
        }
        out
    };
    assert_eq!(play([Answer::Pass, Answer::Wait]), body);
    let deny = |reason: &str| Answer::Deny(reason.to_owned());
    let value: Value = serde_json::from_slice(&play([deny("no edits"), Answer::Reroute(1)])).unwrap();
    assert_eq!(
        value,
        json!({"id": "m", "x": 1, "choices": [{"index": 0, "finish_reason": "tool_calls", "message": {"role": "assistant",
            "content": "so\n\nno edits", "tool_calls": [
                {"id": "b", "type": "function", "function": {"name": "read", "arguments": "[]"}}]}}],
            "usage": {"prompt_tokens": 15, "completion_tokens": 6, "total_tokens": 21, "y": null}})
    );
    let value: Value = serde_json::from_slice(&play([deny("a"), deny("b")])).unwrap();
    let choice = json!({"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "so\n\na\nb"}});
    assert_eq!(value["choices"][0], choice);
}

#[test]
fn what_is_no_chunk_with_calls_passes_as_it_is() {
    let odd = [
        ": a comment\n\n",
        "data: no json [\n\n",
        "data: [1,2]\n\n",
        "data: {\"choices\":{},\"x\":1e400}\n\n",
        "data: {\"choices\":[{\"delta\":{\"tool_calls\":[]}}]}\n\n",
        "data: {\"choices\":[{\"delta\":{\"tool_calls\":null,\"function_call\":{\"name\":\"old\"}}}]}\n\n",
        "event: ping\ndata: {\"choices\":[7]}\n\n",
        "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"\\ud83d\"},\"logprobs\":{\"a\":0.10}}]}\n\n",
    ];
    let mut splicer: Splicer<u8> = Splicer::new(Box::new(Chunks::default()), 1 << 20, "r");
    let Some(Action::Ask(_)) = splicer.frame(&call(0, "a", "edit", "{}")).pop() else {
        panic!("nobody is asked")
    };
    for raw in odd {
        let raw = Bytes::from_static(raw.as_bytes());
        assert_eq!(splicer.frame(&Frame::from(raw.clone())), [Action::Forward(raw)]);
    }
    splicer.abandon();
    assert_eq!(splicer.held_bytes(), 0);
    assert_eq!(splicer.calls()[0].fate, Fate::Undecided);
}

#[test]
fn choices_that_share_frames_leave_in_them() {
    let frame = |deltas: [Value; 2]| {
        let [first, second] = deltas;
        let choices = json!([{"index": 0, "delta": first}, {"index": 1, "delta": second}]);
        Bytes::from(format!("data: {}\n\n", json!({"id": "m", "choices": choices})))
    };
    let begins = |id: &str| json!({"tool_calls": [{"index": 0, "id": id, "function": {"name": "edit", "arguments": "{"}}]});
    let goes_on = || json!({"tool_calls": [{"index": 0, "function": {"arguments": "}"}}]});
    let stream = [frame([begins("a"), begins("b")]), frame([goes_on(), goes_on()])];
    let mut splicer: Splicer<u8> = Splicer::new(Box::new(Chunks::default()), 1 << 20, "r");
    let actions: Vec<Action<u8>> =
        stream.iter().flat_map(|raw| splicer.frame(&Frame::from(raw.clone()))).collect();
    let [Action::Ask(first), Action::Ask(second)] = actions.as_slice() else { panic!("{actions:?}") };
    assert_eq!(splicer.answer(first.call, Answer::Pass), []);
    let left = splicer.answer(second.call, Answer::Pass);
    assert_eq!(left, stream.map(Action::Forward));
}
