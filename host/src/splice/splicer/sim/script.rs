//! What the model of a case says, as a stream and as one body, and what hooks and writers say to it.

use bytes::Bytes;
use serde_json::{Value, json};

/// Chance, made of bytes; when they are used up, always the first of what there is.
pub(super) struct Dice<'b>(pub(super) &'b [u8]);

impl Dice<'_> {
    pub(super) fn below(&mut self, limit: usize) -> usize {
        let mut number = 0;
        for _ in 0..if limit > 256 { 2 } else { 1 } {
            let Some((first, rest)) = self.0.split_first() else { break };
            (number, self.0) = (number * 256 + usize::from(*first), rest);
        }
        number % limit.max(1)
    }

    fn one_in(&mut self, limit: usize) -> bool {
        self.below(limit) == limit - 1
    }
}

/// A case.
#[derive(Debug)]
pub(super) struct Script {
    pub(super) rounds: Vec<Round>,
    pub(super) hold_bytes_max: usize,
    /// Ids and names are said with every delta.
    pub(super) repeats: bool,
    pub(super) has_usage: bool,
    /// Something in the stream has to be mended on its way, or is taken apart.
    is_odd: bool,
}

/// One answer of the model.
#[derive(Debug)]
pub(super) struct Round {
    pub(super) choices: Vec<Choice>,
    /// Frame by frame.
    pub(super) stream: Vec<Bytes>,
    pub(super) body: Bytes,
}

#[derive(Debug)]
pub(super) struct Choice {
    pub(super) text: String,
    pub(super) calls: Vec<Call>,
    /// Empty where the server leaves it out.
    pub(super) finish: String,
}

#[derive(Debug)]
pub(super) struct Call {
    /// Over all rounds and choices.
    pub(super) number: u32,
    /// Empty where the server leaves it out.
    pub(super) id: String,
    pub(super) name: String,
    pub(super) arguments: String,
    pub(super) first: Verdict,
    pub(super) second: Verdict,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Pass,
    Wait,
    /// Whether anybody can write it.
    Reroute(bool),
    Rewrite,
    Deny,
}

/// How a server numbers calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Numbering {
    Right,
    FromOne,
    /// None; each call is told by its id, or by being one piece.
    Missing,
    /// Every call is the first; each is told by its id.
    AllFirst,
}

/// How a server speaks.
struct Manners {
    numbering: Numbering,
    repeats: bool,
    /// Deltas of several calls, and of text, in one frame.
    shares: bool,
    /// In one frame with calls there may be text.
    mixes: bool,
    /// Parallel calls are written at the same time.
    interleaves: bool,
    /// The name may come after the id.
    names_late: bool,
    usage: usize,
}

/// One thing that is said in a frame.
enum Said {
    Text(String),
    /// Of which call of the choice.
    Call(usize, Value),
    Finish(String),
}

const ARGUMENTS: [&str; 7] = [
    r#"{}"#,
    r#"{"path":"a.rs","edits":[{"oldText":"\"tool_calls\":[{","newText":"}]"}]}"#,
    r#"{"n":1,"s":"ü€😀\ud83d"}"#,
    r#"{"broken":"#,
    "",
    r#"{"long":"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"}"#,
    r#"["finish_reason","usage"]"#,
];

// === impl Script ===

impl Script {
    pub(super) fn new(dice: &mut Dice<'_>) -> Self {
        let hold_bytes_max = if dice.one_in(4) { 200 + dice.below(3000) } else { 1 << 20 };
        let lenient = dice.below(3);
        let numberings =
            [Numbering::Right, Numbering::Right, Numbering::FromOne, Numbering::Missing, Numbering::AllFirst];
        let numbering = numberings[dice.below(numberings.len())];
        let manners = Manners {
            numbering,
            repeats: numbering == Numbering::Missing || dice.one_in(5),
            shares: dice.one_in(3),
            mixes: dice.one_in(4),
            interleaves: numbering != Numbering::Missing
                && numbering != Numbering::AllFirst
                && dice.one_in(2),
            names_late: numbering == Numbering::Right && dice.one_in(5),
            usage: dice.below(3),
        };
        let has_ids = matches!(numbering, Numbering::Missing | Numbering::AllFirst) || !dice.one_in(4);
        let choices = if dice.one_in(6) { 2 } else { 1 };
        let mut number = 0;
        let mut rounds = Vec::new();
        for round in 0..=dice.below(5) {
            let choices = (0..choices).map(|_| Choice::new(dice, &mut number, has_ids, lenient)).collect();
            rounds.push(Round::new(dice, choices, &manners, round));
        }
        let is_odd = numbering != Numbering::Right || !has_ids || manners.mixes || manners.names_late;
        Self { rounds, hold_bytes_max, repeats: manners.repeats, has_usage: manners.usage > 0, is_odd }
    }

    pub(super) fn call(&self, name: &str) -> &Call {
        let choices = self.rounds.iter().flat_map(|round| &round.choices);
        choices.flat_map(|choice| &choice.calls).find(|call| call.name == name).expect("a call of the script")
    }

    /// Nothing that anybody says changes the first answer, and nothing in it has to be mended.
    pub(super) fn passes_untouched(&self) -> bool {
        let calls = self.rounds.iter().flat_map(|round| &round.choices).flat_map(|choice| &choice.calls);
        !self.is_odd && calls.into_iter().all(|call| call.first == Verdict::Pass)
    }
}

// === impl Choice ===

impl Choice {
    fn new(dice: &mut Dice<'_>, number: &mut u32, has_ids: bool, lenient: usize) -> Self {
        let texts = ["", "I edit it. ", "So: \"tool_calls\":[{ €😀"];
        let count = [1, 2, 3, 0, 1, 4, 2, 5][dice.below(8)];
        let calls: Vec<Call> = (0..count)
            .map(|_| {
                *number += 1;
                Call {
                    number: *number,
                    id: if has_ids { format!("id{number}") } else { String::new() },
                    name: format!("tool{number}"),
                    arguments: ARGUMENTS[dice.below(ARGUMENTS.len())].to_owned(),
                    first: Verdict::new(dice, lenient),
                    second: Verdict::new(dice, lenient),
                }
            })
            .collect();
        let finish = match (dice.below(8), calls.is_empty()) {
            (0..=4, false) => "tool_calls",
            (0..=6, _) => "stop",
            (7, false) if dice.one_in(2) => "",
            _ => "length",
        };
        Self { text: texts[dice.below(texts.len())].to_owned(), calls, finish: finish.to_owned() }
    }

    /// What is said in this choice, in an order in which a server may say it.
    fn said(&self, dice: &mut Dice<'_>, manners: &Manners) -> Vec<Said> {
        let mut calls: Vec<std::collections::VecDeque<Value>> = self
            .calls
            .iter()
            .enumerate()
            .map(|(place, call)| call.deltas(dice, manners, place).into_iter().collect())
            .collect();
        let lengths: Vec<usize> = calls.iter().map(std::collections::VecDeque::len).collect();
        let mut text: Vec<char> = self.text.chars().collect();
        let mut said = Vec::new();
        let (mut begun, mut silent) = (1, 0);
        loop {
            if !text.is_empty() && (silent > 3 || dice.below(3) > 0) {
                let length = text.len() - dice.below(text.len());
                said.push(Said::Text(text.drain(..length).collect()));
            }
            silent += 1;
            // Calls begin one after another; whether one may go on when the next has begun is a matter of manners.
            if manners.interleaves && begun < calls.len() && dice.one_in(2) {
                begun += usize::from(calls[begun - 1].len() < lengths[begun - 1]);
            }
            let open: Vec<usize> = (0..begun.min(calls.len())).filter(|at| !calls[*at].is_empty()).collect();
            match open.as_slice() {
                [] if begun < calls.len() => begun += 1,
                [] if text.is_empty() => break,
                [] => {}
                open => {
                    let at = open[dice.below(open.len())];
                    said.extend(calls[at].pop_front().map(|delta| Said::Call(at, delta)));
                }
            }
        }
        if !self.finish.is_empty() {
            said.push(Said::Finish(self.finish.clone()));
        }
        said
    }

    fn body(&self, number: usize) -> Value {
        let calls: Vec<Value> = self
            .calls
            .iter()
            .map(|call| {
                json!({"id": call.id, "type": "function",
                    "function": {"name": call.name, "arguments": call.arguments}})
            })
            .collect();
        let mut message = json!({"role": "assistant", "content": self.text, "tool_calls": calls});
        if self.calls.is_empty() {
            message.as_object_mut().unwrap().remove("tool_calls");
        }
        let finish = if self.finish.is_empty() { Value::Null } else { json!(self.finish) };
        json!({"index": number, "message": message, "finish_reason": finish})
    }
}

// === impl Call ===

impl Call {
    /// What a hook or another model writes.
    pub(super) fn better(&self) -> String {
        format!("{{\"better\":{}}}", self.number)
    }

    pub(super) fn reason(&self) -> String {
        format!("{} is denied.", self.name)
    }

    fn deltas(&self, dice: &mut Dice<'_>, manners: &Manners, place: usize) -> Vec<Value> {
        let mut rest: Vec<char> = self.arguments.chars().collect();
        let mut fragments: Vec<String> = Vec::new();
        let is_one = manners.numbering == Numbering::Missing && self.id.is_empty();
        while !rest.is_empty() && !is_one {
            let length = rest.len() - dice.below(rest.len());
            fragments.push(rest.drain(..length).collect());
        }
        // The name and the id may come alone, and the name after the id.
        let is_named_late = manners.names_late && !manners.repeats && dice.one_in(2);
        if is_one || fragments.is_empty() || is_named_late || dice.one_in(2) {
            fragments.insert(0, rest.drain(..).collect());
        }
        if is_named_late && fragments.len() < 2 {
            fragments.push(String::new());
        }
        let named = usize::from(is_named_late);
        let delta = |(at, fragment): (usize, &String)| {
            let mut delta = json!({"index": place, "function": {"arguments": fragment}});
            let members = delta.as_object_mut().unwrap();
            match manners.numbering {
                Numbering::Right => {}
                Numbering::FromOne => drop(members.insert("index".to_owned(), json!(place + 1))),
                Numbering::Missing => drop(members.remove("index")),
                Numbering::AllFirst => drop(members.insert("index".to_owned(), json!(0))),
            }
            if at == 0 || manners.repeats {
                members.insert("id".to_owned(), json!(self.id));
                members.insert("type".to_owned(), json!("function"));
            }
            if at == named || manners.repeats {
                delta["function"]["name"] = json!(self.name);
            }
            delta
        };
        fragments.iter().enumerate().map(delta).collect()
    }
}

// === impl Verdict ===

impl Verdict {
    fn new(dice: &mut Dice<'_>, lenient: usize) -> Self {
        let all =
            [Self::Pass, Self::Wait, Self::Reroute(true), Self::Reroute(false), Self::Rewrite, Self::Deny];
        match lenient {
            0 => Self::Pass,
            1 => all[dice.below(all.len())],
            _ => [Self::Deny, Self::Deny, Self::Wait, Self::Deny, Self::Reroute(true)][dice.below(5)],
        }
    }
}

// === impl Round ===

impl Round {
    fn new(dice: &mut Dice<'_>, choices: Vec<Choice>, manners: &Manners, round: usize) -> Self {
        let usage =
            json!({"prompt_tokens": 1000, "completion_tokens": 7, "total_tokens": 1007, "x": {"y": 1}});
        let body: Vec<Value> = choices.iter().enumerate().map(|(at, choice)| choice.body(at)).collect();
        let mut body = json!({"id": format!("m{round}"), "object": "chat.completion", "choices": body});
        if manners.usage > 0 {
            body["usage"] = usage.clone();
        }
        let mut frames: Vec<Value> = Vec::new();
        let mut said: Vec<std::collections::VecDeque<Said>> =
            choices.iter().map(|choice| choice.said(dice, manners).into()).collect();
        let mut has_begun = vec![false; choices.len()];
        while said.iter().any(|said| !said.is_empty()) {
            let open: Vec<usize> = (0..said.len()).filter(|at| !said[*at].is_empty()).collect();
            let at = open[dice.below(open.len())];
            let mut delta = json!({});
            if !std::mem::replace(&mut has_begun[at], true) {
                delta = json!({"role": "assistant", "content": null});
                if dice.one_in(2) {
                    frames.push(chunk(round, at, json!({"role": "assistant", "content": ""}), None));
                    delta = json!({});
                }
            }
            let (mut finish, mut last) = (None, None);
            loop {
                match said[at].pop_front() {
                    Some(Said::Text(text)) => delta["content"] = json!(text),
                    Some(Said::Call(place, call)) => {
                        last = Some(place);
                        match delta.get_mut("tool_calls").and_then(Value::as_array_mut) {
                            Some(calls) => calls.push(call),
                            None => delta["tool_calls"] = json!([call]),
                        }
                    }
                    Some(Said::Finish(reason)) => finish = Some(reason),
                    None => break,
                }
                let goes_with = match said[at].front() {
                    Some(Said::Text(_)) => manners.mixes && !delta["content"].is_string(),
                    // No client takes two deltas of one call in one chunk.
                    Some(Said::Call(place, _)) if last.is_some_and(|last| *place <= last) => false,
                    Some(Said::Call(..)) => manners.mixes || !delta["content"].is_string(),
                    Some(Said::Finish(_)) => manners.mixes || !delta["content"].is_string(),
                    None => false,
                };
                if !(manners.shares && goes_with && dice.one_in(2)) {
                    break;
                }
            }
            frames.push(chunk(round, at, delta, finish));
        }
        Self {
            choices,
            stream: finished(dice, frames, manners.usage, round, &usage),
            body: json!(body).to_string().into(),
        }
    }
}

/// The frames with usage, comments and a terminator.
fn finished(
    dice: &mut Dice<'_>,
    mut frames: Vec<Value>,
    mode: usize,
    round: usize,
    usage: &Value,
) -> Vec<Bytes> {
    let is_end = |frame: &&mut Value| frame["choices"][0]["finish_reason"].is_string();
    match (mode, frames.last_mut().filter(is_end)) {
        (0, _) => {}
        (1, Some(end)) => end["usage"] = usage.clone(),
        _ => frames.push(json!({"id": format!("m{round}"), "choices": [], "usage": usage})),
    }
    let mut stream = Vec::new();
    for frame in frames {
        if dice.one_in(12) {
            stream.push(Bytes::from_static(b": still here\n\n"));
        }
        stream.push(Bytes::from(format!("data: {frame}\n\n")));
    }
    stream.push(Bytes::from_static(b"data: [DONE]\n\n"));
    stream
}

fn chunk(round: usize, choice: usize, delta: Value, finish: Option<String>) -> Value {
    json!({"id": format!("m{round}"), "object": "chat.completion.chunk", "created": 1 + round, "x": {"y": [1.5]},
        "choices": [{"index": choice, "delta": delta, "finish_reason": finish}]})
}
