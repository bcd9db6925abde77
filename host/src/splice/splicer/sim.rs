//! Made-up answers, with made-up hooks: a model that calls tools in all the ways in which servers let it, hooks that decide
//! by chance, writers that fail, rounds, small limits, streams that break off, bytes that come in any pieces. What a client
//! makes of the outcome is held against what it should be, which is worked out from the script and not from the machine.
//!
//! A case is made of bytes, so that the seeded test and the fuzzer play the same. It uses the splicer from the outside only.

mod client;
mod oracle;
mod script;

use bytes::Bytes;

use crate::splice::splicer::{Action, Answer, CallNumber, Fate, GoOn, Record, Splicer, Write};
use crate::wire::answer::{Seen, Usage, Watch};
use crate::wire::calls::Dialect;
use crate::wire::calls::chat::{body::Body, chunk::Chunks};
use crate::wire::sse::{Decoder, Frame};
use client::Client;
use script::{Dice, Script, Verdict};

/// What writing one call costs.
const WRITING: Usage = Usage { prompt_tokens: Some(100), completion_tokens: Some(10) };

/// Plays the case that these bytes are.
pub(crate) fn play(case: &[u8]) {
    let mut dice = Dice(case);
    let script = Script::new(&mut dice);
    let whole_frames = Play::stream(&script, &mut Dice(&[]), Manner::Prompt);
    oracle::check(&script, &whole_frames);
    let torn = Play::stream(&script, &mut dice, Manner::Torn);
    check_same(&torn.out, &whole_frames.out, "other bytes for other pieces");
    let late = Play::stream(&script, &mut dice, Manner::Late);
    oracle::check(&script, &late);
    if script.passes_untouched() {
        let all = script.rounds.first().map(|round| round.stream.concat()).unwrap_or_default();
        check_same(&whole_frames.out, &all, "what passes has changed");
    }
    Play::broken(&script, &mut dice);
    oracle::check_body(&script, &Play::body(&script));
}

/// What a hook says about how a call is written.
#[derive(Debug, Clone, PartialEq)]
struct Way {
    /// Which call it was asked about.
    call: u32,
    /// Whether anybody there can write it.
    leads: bool,
}

/// How an answer comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Manner {
    /// Frame by frame, hooks answering at once.
    Prompt,
    /// In any pieces, hooks answering at once.
    Torn,
    /// Frame by frame, hooks answering while more frames come.
    Late,
}

/// How an answer was played.
struct Play<'s> {
    script: &'s Script,
    splicer: Splicer<Way>,
    watch: Watch,
    /// What the client got.
    out: Vec<u8>,
    /// The questions that no hook has answered: the call, its name, and whether its arguments were there.
    asks: Vec<(CallNumber, String, bool)>,
    writes: Vec<Write<Way>>,
    go_on: Option<GoOn>,
    /// Rounds that were played, less one.
    round: usize,
    is_over: bool,
}

impl<'s> Play<'s> {
    fn new(script: &'s Script, dialect: Box<dyn Dialect>) -> Self {
        Self {
            script,
            splicer: Splicer::new(dialect, script.hold_bytes_max, "x"),
            watch: Watch::default(),
            out: Vec::new(),
            asks: Vec::new(),
            writes: Vec::new(),
            go_on: None,
            round: 0,
            is_over: false,
        }
    }

    /// Plays the rounds of a stream to their end.
    fn stream(script: &'s Script, dice: &mut Dice<'_>, manner: Manner) -> Self {
        let mut play = Self::new(script, Box::new(Chunks::default()));
        loop {
            play.upstream(dice, manner);
            let actions = play.splicer.end();
            play.take(actions);
            play.answer_all();
            if !play.goes_on() {
                break;
            }
        }
        assert!(play.is_over, "the answer has no end");
        assert_eq!(play.splicer.held_bytes(), 0, "something is held after the end");
        play
    }

    /// Plays a stream that breaks off in its first round.
    fn broken(script: &'s Script, dice: &mut Dice<'_>) {
        let mut play = Self::new(script, Box::new(Chunks::default()));
        let frames = script.rounds.first().map(|round| round.stream.as_slice()).unwrap_or_default();
        for raw in frames.iter().take(dice.below(frames.len() + 1)) {
            play.frame(&Frame::from(raw.clone()));
            if dice.below(3) > 0 {
                play.answer_all();
            }
        }
        play.splicer.abandon();
        assert_eq!(play.splicer.held_bytes(), 0);
        oracle::check_broken(script, &play);
    }

    /// Plays an answer that is not streamed.
    fn body(script: &'s Script) -> Self {
        let mut play = Self::new(script, Box::new(Body::default()));
        while let Some(round) = script.rounds.get(play.round) {
            let actions = play.splicer.whole(&round.body);
            play.take(actions);
            play.answer_all();
            if !play.goes_on() {
                break;
            }
        }
        assert!(play.is_over, "the answer has no end");
        play
    }

    /// The frames of one round.
    fn upstream(&mut self, dice: &mut Dice<'_>, manner: Manner) {
        let Some(round) = self.script.rounds.get(self.round) else { return };
        let mut all = Bytes::from(round.stream.concat());
        let mut decoder = Decoder::default();
        while !all.is_empty() {
            let length = match manner {
                Manner::Torn => {
                    let longest = if dice.below(2) == 0 { 8 } else { 900 };
                    (1 + dice.below(longest)).min(all.len())
                }
                Manner::Prompt | Manner::Late => all.len(),
            };
            let mut frames = Vec::new();
            decoder.feed(all.split_to(length), &mut frames).unwrap();
            for frame in &frames {
                self.frame(frame);
                if manner != Manner::Late || dice.below(3) == 0 {
                    self.answer_all();
                }
            }
        }
    }

    /// As the response body does it.
    fn frame(&mut self, frame: &Frame) {
        let seen = self.watch.frame(frame);
        assert!(!matches!(seen, Seen::Error(_)));
        if self.splicer.matters(&self.watch, frame) {
            let actions = self.splicer.frame(frame);
            self.take(actions);
        } else {
            self.splicer.passed(frame.bytes());
            self.out.extend_from_slice(frame.bytes());
        }
    }

    fn take(&mut self, actions: Vec<Action<Way>>) {
        let held = self.splicer.held_bytes();
        assert!(held <= self.script.hold_bytes_max, "{held} bytes are held");
        for action in actions {
            assert!(!self.is_over, "something comes after the end: {action:?}");
            match action {
                Action::Forward(bytes) => self.out.extend_from_slice(&bytes),
                Action::Ask(ask) => {
                    assert!(!ask.id.is_empty() && !ask.name.is_empty());
                    if let Some(arguments) = &ask.arguments {
                        assert_eq!(arguments, &self.script.call(&ask.name).arguments, "asked with others");
                    }
                    self.asks.push((ask.call, ask.name, ask.arguments.is_some()));
                }
                Action::Write(writes) => self.writes.extend(writes),
                Action::GoOn(go_on) => self.go_on = Some(go_on),
                Action::Over => self.is_over = true,
            }
        }
    }

    /// Hooks and writers say what the script has them say.
    fn answer_all(&mut self) {
        while !self.asks.is_empty() {
            let (call, name, is_whole) = self.asks.remove(0);
            let script = self.script.call(&name);
            let verdict = if is_whole { &script.second } else { &script.first };
            let answer = match verdict {
                Verdict::Pass => Answer::Pass,
                Verdict::Wait => Answer::Wait,
                Verdict::Reroute(leads) => Answer::Reroute(Way { call: script.number, leads: *leads }),
                Verdict::Rewrite => Answer::Rewrite(script.better()),
                Verdict::Deny => Answer::Deny(script.reason()),
            };
            let actions = self.splicer.answer(call, answer);
            self.take(actions);
        }
        for write in std::mem::take(&mut self.writes) {
            let script = self.script.call(&write.name);
            assert_eq!(write.route.call, script.number);
            assert_eq!(write.arguments, script.arguments, "the writer sees others");
            oracle::check_text(self.script, self.round, &write);
            let arguments = write.route.leads.then(|| script.better());
            let actions = self.splicer.written(write.call, arguments, WRITING);
            self.take(actions);
        }
    }

    /// The model is asked again, where the machine wants it and the script can.
    fn goes_on(&mut self) -> bool {
        let Some(go_on) = self.go_on.take() else { return false };
        oracle::check_denials(self.script, self.round, &go_on);
        if self.script.rounds.get(self.round + 1).is_some() {
            self.round += 1;
            return true;
        }
        let actions = self.splicer.stay();
        self.take(actions);
        false
    }

    /// What became of the calls.
    fn records(&self) -> Vec<Record> {
        self.splicer.calls()
    }

    fn overflowed(&self) -> bool {
        self.splicer.overflowed()
    }

    /// What a client makes of it.
    fn client(&self) -> Client {
        let mut frames = Vec::new();
        Decoder::default().feed(Bytes::from(self.out.clone()), &mut frames).unwrap();
        assert_eq!(
            frames.iter().map(|frame| frame.bytes().len()).sum::<usize>(),
            self.out.len(),
            "a torn frame"
        );
        let mut client = Client::new(self.script.repeats);
        frames.iter().filter_map(Frame::data).for_each(|data| client.take(data));
        client
    }
}

/// Is this the fate of a call whose own pieces leave?
fn is_own(fate: &Fate) -> bool {
    matches!(fate, Fate::Passed | Fate::Released | Fate::Kept)
}

fn check_same(found: &[u8], expected: &[u8], what: &str) {
    let same = found.iter().zip(expected).take_while(|(found, expected)| found == expected).count();
    let around = |bytes: &[u8]| {
        let until = bytes.len().min(same + 200);
        String::from_utf8_lossy(&bytes[same.saturating_sub(300)..until]).into_owned()
    };
    assert!(found == expected, "{what}:\n{}\ninstead of\n{}", around(found), around(expected));
}

#[cfg(test)]
mod tests {
    use rand::rngs::StdRng;
    use rand::{Rng, SeedableRng};

    /// The fuzz crate plays more of them, optimised.
    const CASES: u64 = 400;

    #[test]
    fn whatever_happens_the_client_gets_what_it_should() {
        for seed in 0..CASES {
            let mut rng = StdRng::seed_from_u64(seed);
            let length = rng.random_range(8..400);
            let case: Vec<u8> = (0..length).map(|_| rng.random()).collect();
            let played = std::panic::catch_unwind(|| super::play(&case));
            assert!(played.is_ok(), "seed {seed}");
        }
    }
}
