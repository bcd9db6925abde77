//! What a client should have got: worked out from the script, and from what became of calls only where a limit was passed.

use serde_json::{Value, json};

use super::script::{Call, Choice, Script, Verdict};
use super::{Play, WRITING, Way, is_own};
use crate::splice::splicer::{Fate, GoOn, ROUNDS_MAX, Record, Write};

/// What a call should come to.
fn fate(call: &Call) -> Fate {
    let verdict = if call.first == Verdict::Wait { call.second } else { call.first };
    match verdict {
        Verdict::Pass | Verdict::Wait => Fate::Passed,
        Verdict::Reroute(true) => Fate::Written(call.better()),
        Verdict::Reroute(false) => Fate::Kept,
        Verdict::Rewrite => Fate::Rewritten(call.better()),
        Verdict::Deny => Fate::Denied(call.reason()),
    }
}

/// What it came to: what it should, unless too much was held.
fn came_to(play: &Play<'_>, records: &[Record], call: &Call, is_whole: bool) -> Fate {
    let should = if is_whole { fate(&Call { first: call.second, ..copy(call) }) } else { fate(call) };
    let records: Vec<&Record> = records.iter().filter(|record| record.name == call.name).collect();
    assert_eq!(records.len(), 1, "{} is one call", call.name);
    if play.overflowed() && records[0].fate == Fate::Released {
        return Fate::Released;
    }
    assert_eq!(records[0].fate, should, "{call:?}");
    should
}

fn copy(call: &Call) -> Call {
    let (id, name, arguments) = (call.id.clone(), call.name.clone(), call.arguments.clone());
    Call { number: call.number, id, name, arguments, first: call.first, second: call.second }
}

/// Which round is the last, by the script.
fn last_round(play: &Play<'_>, script: &Script, records: &[Record], is_whole: bool) -> usize {
    let mut round = 0;
    while let Some([choice]) = script.rounds.get(round).map(|round| round.choices.as_slice()) {
        let is_denied = |call: &Call| matches!(came_to(play, records, call, is_whole), Fate::Denied(_));
        let is_last = round + 1 == script.rounds.len() || round == ROUNDS_MAX as usize;
        if choice.calls.is_empty() || is_last || !choice.calls.iter().all(is_denied) {
            break;
        }
        round += 1;
    }
    round
}

/// A stream that was played to its end.
pub(super) fn check(script: &Script, play: &Play<'_>) {
    let (client, records) = (play.client(), play.records());
    let last = play.round;
    if !play.overflowed() {
        assert_eq!(last, last_round(play, script, &records, false), "another number of rounds");
    }
    assert!(client.is_done, "there is no terminator");
    let earlier = earlier(script, last);
    for (number, choice) in script.rounds[last].choices.iter().enumerate() {
        let at = u64::try_from(number).unwrap();
        let expected = Expected::new(play, &records, choice, false);
        expected.check_calls(client.calls(at), choice);
        assert_eq!(client.finish.get(&at).cloned().unwrap_or_default(), expected.finish, "{choice:?}");
        if play.overflowed() {
            expected.reasons.iter().for_each(|reason| assert!(client.text(at).contains(reason)));
        } else {
            assert_eq!(client.text(at), message(&earlier, choice, &expected));
        }
        if let Some(message) = client.messages.get(&at) {
            assert_eq!(message["role"], "assistant");
        }
    }
    assert_eq!(client.usage.unwrap_or_default(), usage(script, last, &records));
}

/// What was said in the rounds before the last.
fn earlier(script: &Script, last: usize) -> Vec<&str> {
    script.rounds[..last].iter().map(|round| round.choices[0].text.as_str()).collect()
}

/// All that is said in a choice: each round is a paragraph.
fn message(earlier: &[&str], choice: &Choice, expected: &Expected) -> String {
    let own = format!("{}{}", choice.text, expected.said(choice));
    let all = earlier.iter().copied().chain([own.as_str()]);
    all.filter(|text| !text.is_empty()).collect::<Vec<_>>().join("\n\n")
}

/// What the answer has cost.
fn usage(script: &Script, last: usize, records: &[Record]) -> Value {
    if !script.has_usage {
        return Value::Null;
    }
    let is_written = |record: &&Record| matches!(record.fate, Fate::Written(_) | Fate::Kept);
    let written = u32::try_from(records.iter().filter(is_written).count()).unwrap();
    let rounds = u32::try_from(last).unwrap() + 1;
    let prompt = 1000 * rounds + written * WRITING.prompt_tokens.unwrap();
    let completion = 7 * rounds + written * WRITING.completion_tokens.unwrap();
    json!({"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion, "x": {"y": 1}})
}

/// What should become of one choice.
struct Expected {
    /// In order: the own id, the name, the arguments.
    calls: Vec<(String, String, String)>,
    reasons: Vec<String>,
    finish: String,
}

impl Expected {
    fn new(play: &Play<'_>, records: &[Record], choice: &Choice, is_whole: bool) -> Self {
        let fates: Vec<Fate> =
            choice.calls.iter().map(|call| came_to(play, records, call, is_whole)).collect();
        let mut calls = Vec::new();
        let mut reasons = Vec::new();
        for (call, fate) in choice.calls.iter().zip(&fates) {
            match fate {
                Fate::Denied(reason) => reasons.push(reason.clone()),
                _ => {
                    let arguments = if is_own(fate) { call.arguments.clone() } else { call.better() };
                    calls.push((call.id.clone(), call.name.clone(), arguments));
                }
            }
        }
        let is_changed = fates.iter().any(|fate| !is_own(fate));
        let is_mended = fates.last().is_some_and(|fate| !is_own(fate));
        let finish = match choice.finish.as_str() {
            "" => "",
            _ if calls.is_empty() && !reasons.is_empty() => "stop",
            "stop" if is_changed => "tool_calls",
            "length" if is_mended => "tool_calls",
            own => own,
        };
        Self { calls, reasons, finish: finish.to_owned() }
    }

    fn said(&self, choice: &Choice) -> String {
        let gap = if self.reasons.is_empty() || choice.text.is_empty() { "" } else { "\n\n" };
        format!("{gap}{}", self.reasons.join("\n"))
    }

    fn check_calls(&self, found: Vec<(String, String, String)>, choice: &Choice) {
        assert_eq!(found.len(), self.calls.len(), "{found:?}: {choice:?}");
        for (found, expected) in found.iter().zip(&self.calls) {
            assert_eq!((&found.1, &found.2), (&expected.1, &expected.2), "{choice:?}");
            if expected.0.is_empty() {
                assert!(found.0.starts_with("call_x"), "{found:?}");
            } else {
                assert_eq!(found.0, expected.0);
            }
        }
    }
}

/// A stream that broke off: of what was held, nothing left.
pub(super) fn check_broken(script: &Script, play: &Play<'_>) {
    let (client, records) = (play.client(), play.records());
    for choice in client.messages.keys() {
        for (_, name, arguments) in client.calls(*choice) {
            if name.is_empty() {
                // Released before its name came.
                assert!(play.overflowed());
                continue;
            }
            let record = records.iter().find(|record| record.name == name).unwrap();
            let call = script.call(&name);
            match &record.fate {
                fate if is_own(fate) => assert!(call.arguments.starts_with(&arguments)),
                Fate::Rewritten(whole) => assert_eq!(&arguments, whole),
                fate => panic!("{name} left, and is {fate:?}"),
            }
        }
    }
}

/// An answer that was not streamed.
pub(super) fn check_body(script: &Script, play: &Play<'_>) {
    let records = play.records();
    let last = play.round;
    if !play.overflowed() {
        assert_eq!(last, last_round(play, script, &records, true), "another number of rounds");
    }
    let body: Value = serde_json::from_slice(&play.out).unwrap();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    for (number, choice) in script.rounds[last].choices.iter().enumerate() {
        let expected = Expected::new(play, &records, choice, true);
        let found = &body["choices"][number];
        let calls = found["message"]["tool_calls"].as_array();
        assert!(calls.is_none_or(|calls| !calls.is_empty()), "no call is no list");
        let found_calls = calls.into_iter().flatten().map(|call| {
            assert!(call.get("index").is_none());
            (text(&call["id"]), text(&call["function"]["name"]), text(&call["function"]["arguments"]))
        });
        expected.check_calls(found_calls.collect(), choice);
        let is_silent = choice.finish.is_empty();
        let finish = if is_silent { text(&found["finish_reason"]) } else { expected.finish.clone() };
        assert_eq!(text(&found["finish_reason"]), finish);
        assert_eq!(text(&found["message"]["content"]), message(&earlier(script, last), choice, &expected));
    }
    assert_eq!(body["usage"], usage(script, last, &records));
    let is_same = records.iter().all(|record| is_own(&record.fate)) && last == 0;
    let has_ids = script.rounds[0].choices.iter().flat_map(|it| &it.calls).all(|call| !call.id.is_empty());
    let has_usage = records.iter().any(|record| record.fate == Fate::Kept);
    if is_same && has_ids && !has_usage {
        assert_eq!(play.out, script.rounds[0].body.as_ref(), "what passes has changed");
    }
}

/// A writer sees what the model has said.
pub(super) fn check_text(script: &Script, round: usize, write: &Write<Way>) {
    let choices = &script.rounds[round].choices;
    let choice = choices.iter().find(|choice| choice.calls.iter().any(|call| call.name == write.name));
    assert_eq!(write.text, choice.unwrap().text);
}

/// The model is told of each call why it was denied, with arguments that are JSON.
pub(super) fn check_denials(script: &Script, round: usize, go_on: &GoOn) {
    let [choice] = script.rounds[round].choices.as_slice() else { panic!("several choices go on") };
    assert_eq!(go_on.text, choice.text);
    assert_eq!(go_on.calls.len(), choice.calls.len());
    for (denied, call) in go_on.calls.iter().zip(&choice.calls) {
        assert_eq!((&denied.name, &denied.reason), (&call.name, &call.reason()));
        let is_own = denied.arguments == call.arguments;
        assert!(is_own || denied.arguments == "{}", "{denied:?}");
        assert!(serde_json::from_str::<Value>(&denied.arguments).unwrap().is_object());
    }
}
