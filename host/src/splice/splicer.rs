//! Tool calls in a running answer: held, replaced or released, while text and reasoning pass at once. A pure state machine:
//! frames, answers of the hook and calls written by other models go in, actions come out. It knows no protocol (a
//! [`Dialect`] reads and writes), no clock and no socket, and polls nothing.
//!
//! A call is held from its first frame until its hook has answered. Calls of one choice leave in the order in which the
//! model made them, each exactly once; the choice's end, the usage and the terminator wait for them. Nothing leaves while
//! a hook is being asked, so what passes goes out byte for byte as it came, also where calls share a frame.
//!
//! Bounded by `hold_bytes_max` over the frames and arguments that are held, and by [`CALLS_MAX`]. Beyond either, calls
//! are released as the model made them, and no more are asked about; a call that was denied never leaves.
//!
//! It does not ask hooks, choose models, check arguments or count time: the response body does, with what this says.

mod call;
mod choice;
mod flow;
mod record;
mod said;
#[cfg(test)]
mod sim;

use std::collections::BTreeMap;
use std::sync::LazyLock;

use bytes::Bytes;
use memchr::memmem::Finder;

pub use record::{Fate, Record, beginning};

use crate::wire::answer::{Usage, Watch};
use crate::wire::calls::{Dialect, How};
use crate::wire::sse::Frame;
use choice::Choice;
use said::Said;

/// Calls of one message that are looked at. More are a model gone wild: they pass.
pub const CALLS_MAX: usize = 64;

/// How often the model is told that all its calls were denied, and asked to go on, before the reasons become its answer.
pub const ROUNDS_MAX: u32 = 3;

/// The machine of one answer. `R` is what a hook names as the way to write a call: it comes back in [`Write`] untouched.
#[derive(Debug)]
pub struct Splicer<R> {
    dialect: Box<dyn Dialect>,
    hold_bytes_max: usize,
    call_ids: String,
    /// Calls so far, over all rounds.
    count: u32,
    choices: BTreeMap<u32, Choice<R>>,
    /// Usage and terminators that wait.
    tail: Vec<(Piece, Option<Usage>)>,
    said: Said,
    /// The choice in which something was said in rounds before this one, and nothing in this one so far.
    owes_paragraph: Option<u32>,
    /// What the client is to be told beyond the last round's own usage.
    added: Usage,
    earlier: Vec<Record>,
    frames: u64,
    leaving: Vec<Leaving>,
    new_asks: Vec<Ask>,
    /// Hooks that have not answered.
    asked: usize,
    /// Never less than what is held: it is weighed only where this is above the limit.
    held_at_most: usize,
    round: u32,
    /// The model is not asked again, whatever is denied.
    stays: bool,
    overflowed: bool,
    is_streamed: bool,
    phase: Phase,
}

/// What the response body is to do, in this order.
#[derive(Debug, Clone, PartialEq)]
pub enum Action<R> {
    /// Send these bytes to the client.
    Forward(Bytes),
    /// Ask the hook; [`Splicer::answer`] takes what it says. Until all asked have answered, nothing more leaves.
    Ask(Ask),
    /// The upstream is read to its end: have these calls written by others, one after another in any order, and give each to
    /// [`Splicer::written`].
    Write(Vec<Write<R>>),
    /// Every call was denied: ask the model again with these results. Its frames follow as those of the same answer; where
    /// it cannot be asked, [`Splicer::stay`].
    GoOn(GoOn),
    /// All has been sent.
    Over,
}

/// A call of this answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallNumber(u32);

/// A question to the hook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ask {
    /// The call.
    pub call: CallNumber,
    /// As the client will know it.
    pub id: String,
    /// The tool.
    pub name: String,
    /// The complete arguments as the model wrote them; none while they still come.
    pub arguments: Option<String>,
}

/// What the hook says of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer<R> {
    /// It leaves as it is.
    Pass,
    /// Ask again when the arguments are complete; of complete ones it means [`Self::Pass`].
    Wait,
    /// Another model writes its arguments, when the upstream has ended.
    Reroute(R),
    /// These are its arguments. JSON.
    Rewrite(String),
    /// It does not leave, for this reason.
    Deny(String),
}

/// A call that another model writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Write<R> {
    /// The call.
    pub call: CallNumber,
    /// What the hook said about how.
    pub route: R,
    /// As the client will know it.
    pub id: String,
    /// The tool.
    pub name: String,
    /// The model's own arguments, complete; not necessarily JSON.
    pub arguments: String,
    /// What the model said to the user in this message (of this choice).
    pub text: String,
}

/// What the model is told when every call of its message was denied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GoOn {
    /// What it said to the user in this message.
    pub text: String,
    /// Its calls.
    pub calls: Vec<Denied>,
}

/// A call that was denied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Denied {
    /// Its id.
    pub id: String,
    /// The tool.
    pub name: String,
    /// A JSON object: the model's own arguments, or an empty one where they were none or too long to keep.
    pub arguments: String,
    /// What the model is told in place of a result.
    pub reason: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Frames come.
    Reading,
    /// The upstream has ended.
    Ended,
    /// Calls are being written by others.
    Writing,
    /// The model is asked again.
    GoingOn,
    /// All is said.
    Over,
}

/// One part of a frame, as it came.
#[derive(Debug, Clone)]
struct Piece {
    frame: u64,
    part: usize,
    /// Parts that the frame has.
    of: usize,
    raw: Bytes,
}

/// A part on its way to the client.
#[derive(Debug)]
struct Leaving {
    piece: Piece,
    how: How,
}

static CALLS: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new("\"tool_calls\""));

// === impl Splicer ===

impl<R> Splicer<R> {
    /// A machine for one answer, which may hold so many bytes. Ids that the model leaves out begin with `call_` and
    /// `call_ids`, which is best as unique as the request.
    pub fn new(dialect: Box<dyn Dialect>, hold_bytes_max: usize, call_ids: impl Into<String>) -> Self {
        Self {
            dialect,
            hold_bytes_max,
            call_ids: call_ids.into(),
            count: 0,
            choices: BTreeMap::new(),
            tail: Vec::new(),
            said: Said::default(),
            owes_paragraph: None,
            added: Usage::default(),
            earlier: Vec::new(),
            frames: 0,
            leaving: Vec::new(),
            new_asks: Vec::new(),
            asked: 0,
            held_at_most: 0,
            round: 0,
            stays: false,
            overflowed: false,
            is_streamed: true,
            phase: Phase::Reading,
        }
    }

    /// Whether a frame that is part of the answer has to be given to [`Self::frame`]. Others may be forwarded as they are,
    /// if [`Self::passed`] is told of them. As long as `watch` has seen no calls, this is a look at two booleans.
    pub fn matters(&self, watch: &Watch, frame: &Frame) -> bool {
        self.is_engaged() || (watch.tool_calls && CALLS.find(frame.bytes()).is_some())
    }

    /// Something is held or has been changed, so that every frame matters.
    fn is_engaged(&self) -> bool {
        let is_idle = self.round == 0
            && self.phase == Phase::Reading
            && self.tail.is_empty()
            && self.asked == 0
            && self.choices.values().all(Choice::is_untouched);
        !is_idle
    }

    /// Takes note of whole frames that were forwarded as they are: what they say is part of the message.
    pub fn passed(&mut self, frames: &Bytes) {
        self.said.keep(frames.clone(), &*self.dialect);
    }

    /// Takes in a frame of a stream. Errors are not given to it: see [`Self::abandon`].
    pub fn frame(&mut self, frame: &Frame) -> Vec<Action<R>> {
        self.take(frame.bytes());
        self.act()
    }

    /// Takes in an answer that is not streamed, and its end. It leaves as one piece.
    pub fn whole(&mut self, body: &Bytes) -> Vec<Action<R>> {
        self.is_streamed = false;
        self.take(body);
        self.end()
    }

    /// Takes in what the hook said of a call. What comes too late, after the call was released, changes nothing.
    pub fn answer(&mut self, call: CallNumber, answer: Answer<R>) -> Vec<Action<R>> {
        if let Answer::Rewrite(arguments) = &answer {
            self.held_at_most += arguments.len();
        }
        if let Some((choice, place)) = self.find(call) {
            let is_complete = choice.is_complete(place);
            let call = choice.calls.get_mut(place).filter(|call| call.is_asked());
            let again = call.map(|call| call.answered(answer, is_complete));
            self.asked -= usize::from(again.is_some());
            self.ask(again.flatten());
        }
        self.act()
    }

    /// Takes in a call that another model wrote; without arguments, its own are what leaves. `usage` is what writing it has
    /// cost, failed attempts too.
    pub fn written(&mut self, call: CallNumber, arguments: Option<String>, usage: Usage) -> Vec<Action<R>> {
        if let Some((choice, place)) = self.find(call)
            && let Some(call) = choice.calls.get_mut(place)
            && call.written(arguments)
        {
            self.added = self.added.plus(usage);
        }
        self.act()
    }

    /// The upstream has ended as it should.
    pub fn end(&mut self) -> Vec<Action<R>> {
        if self.phase == Phase::Reading {
            self.phase = Phase::Ended;
            let asks: Vec<Ask> = self.choices.values_mut().flat_map(Choice::end).collect();
            self.ask(asks);
        }
        self.act()
    }

    /// The model cannot be asked again: the reasons become its answer.
    pub fn stay(&mut self) -> Vec<Action<R>> {
        if self.phase == Phase::GoingOn {
            self.stays = true;
            self.phase = Phase::Ended;
        }
        self.act()
    }

    /// The answer broke off: nothing of what is held leaves, not half a call.
    pub fn abandon(&mut self) {
        self.earlier = self.calls();
        self.choices.clear();
        self.tail.clear();
        self.leaving.clear();
        self.new_asks.clear();
        self.asked = 0;
        self.phase = Phase::Over;
    }

    /// What became of each call so far.
    pub fn calls(&self) -> Vec<Record> {
        let now = self.choices.values().flat_map(|choice| &choice.calls).map(|call| call.record(self.round));
        self.earlier.iter().cloned().chain(now).collect()
    }

    /// More was to be held than may be, so calls were released as the model made them.
    pub fn overflowed(&self) -> bool {
        self.overflowed
    }

    /// The client has a call of this answer, among them those that nobody looked at; none where it calls nothing.
    pub fn has_called(&self) -> Option<bool> {
        let has_more = self.choices.values().any(|choice| choice.has_more);
        let calls = self.calls();
        (has_more || !calls.is_empty()).then(|| has_more || calls.iter().any(|call| call.fate.has_left()))
    }

    /// Bytes of frames and arguments that are held.
    pub fn held_bytes(&self) -> usize {
        let mut frames: Vec<(u64, usize)> = Vec::new();
        let mut bytes = 0;
        for choice in self.choices.values() {
            let (pieces, kept) = choice.held();
            frames.extend(pieces.map(|piece| (piece.frame, piece.raw.len())));
            bytes += kept;
        }
        frames.extend(self.tail.iter().map(|(piece, _)| (piece.frame, piece.raw.len())));
        frames.sort_unstable();
        frames.dedup();
        bytes + frames.iter().map(|(_, length)| length).sum::<usize>()
    }
}

// === impl CallNumber ===

impl CallNumber {
    /// The id of a call to which the server gave none. Clients that strip what is no letter and no digit still tell them
    /// apart.
    fn id(self, call_ids: &str) -> String {
        format!("call_{call_ids}{:03}", self.0)
    }
}

#[cfg(test)]
mod tests;
