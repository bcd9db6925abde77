//! Tool calls in a response body: what the splicer wants is asked of the exchange here, one thing at a time, and what comes
//! of it is given back. While something is under way the upstream is not polled and the client is kept company.
//!
//! Whoever drops it drops what is under way: a client that leaves ends the writing of its calls.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use tokio::time::{Instant, Interval, MissedTickBehavior};

use super::body::{BEAT, Opened, Opening};
use super::splicer::{Action, Answer, Ask, CallNumber, GoOn, Record, Splicer, Write};
use crate::error::Error;
use crate::id::SkillName;
use crate::turn::verdict::Reroute;
use crate::wire::answer::{Usage, Watch};
use crate::wire::sse::Frame;
use crate::wire::written;

/// How another model is to write a call, and which skill said so.
#[derive(Debug, Clone, PartialEq)]
pub struct Way {
    /// The skill.
    pub skill: SkillName,
    /// What it said.
    pub reroute: Arc<Reroute>,
}

/// What becomes of the tool calls of an answer. The exchange knows.
pub trait Calls: Send {
    /// What is to become of a call.
    fn decide(&mut self, ask: Ask) -> BoxFuture<'static, Answer<Way>>;

    /// Has calls written by other models. All of them are answered; one that nobody could write has no arguments.
    fn write(&mut self, writes: Vec<Write<Way>>) -> BoxFuture<'static, Vec<Written>>;

    /// Asks the model again, after all its calls were withheld.
    fn go_on(&mut self, go_on: GoOn) -> Opening;

    /// What the client is waiting for, in one line.
    fn say(&self) -> String;

    /// What became of the calls in the end.
    fn ended(&mut self, ended: Ended);
}

/// What became of the calls of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// Each of them.
    pub calls: Vec<Record>,
    /// The client has some; none where nothing was called.
    pub has_called: Option<bool>,
    /// More was to be held than may be.
    pub overflowed: bool,
}

/// What came of having a call written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// The call.
    pub call: CallNumber,
    /// Its arguments, checked; none where nobody could write it.
    pub arguments: Option<String>,
    /// What it cost.
    pub usage: Usage,
}

/// The splicer of a running answer, with what it waits for.
pub struct Splice {
    splicer: Splicer<Way>,
    calls: Box<dyn Calls>,
    /// Frames that wait for what is under way.
    frames: VecDeque<Frame>,
    actions: VecDeque<Action<Way>>,
    work: Option<Work>,
    beat: Option<Interval>,
    upstream: Upstream,
    spent: Usage,
}

/// What is under way.
enum Work {
    Deciding(CallNumber, BoxFuture<'static, Answer<Way>>),
    Writing(BoxFuture<'static, Vec<Written>>),
    GoingOn(Opening),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Upstream {
    /// More frames may come.
    Open,
    /// Its terminator was the last frame.
    Ended,
    /// The splicer knows that.
    Told,
}

/// What the body is to do next.
pub(super) enum Next {
    /// Read on.
    Read,
    /// Send this.
    Forward(Bytes),
    /// Read this answer of the same model from here on.
    GoOn(Box<Opened>),
    /// The answer is whole, and all of it has been said.
    Over,
}

// === impl Ended ===

impl Ended {
    /// What this splicer knows at its end.
    pub fn of(splicer: &Splicer<Way>) -> Self {
        let (calls, has_called, overflowed) = (splicer.calls(), splicer.has_called(), splicer.overflowed());
        Self { calls, has_called, overflowed }
    }
}

// === impl Splice ===

impl Splice {
    /// A splicer with who acts for it.
    pub fn new(splicer: Splicer<Way>, calls: Box<dyn Calls>) -> Self {
        Self {
            splicer,
            calls,
            frames: VecDeque::new(),
            actions: VecDeque::new(),
            work: None,
            beat: None,
            upstream: Upstream::Open,
            spent: Usage::default(),
        }
    }

    /// Whether a frame has to be given to [`Self::frame`]; if not, it may be forwarded as it is.
    pub(super) fn wants(&self, watch: &Watch, frame: &Frame) -> bool {
        !self.is_idle() || self.splicer.matters(watch, frame)
    }

    /// Takes note of frames that were forwarded as they came.
    pub(super) fn passed(&mut self, frames: &Bytes) {
        self.splicer.passed(frames);
    }

    /// Takes in a frame.
    pub(super) fn frame(&mut self, frame: Frame) {
        self.frames.push_back(frame);
    }

    /// The terminator was the last frame.
    pub(super) fn end(&mut self) {
        self.upstream = Upstream::Ended;
    }

    /// Nothing is to be done but to read on.
    pub(super) fn is_idle(&self) -> bool {
        self.work.is_none()
            && self.actions.is_empty()
            && self.frames.is_empty()
            && self.upstream != Upstream::Ended
    }

    /// The answer broke off: nothing of what is held is said.
    pub(super) fn abandon(&mut self) {
        self.splicer.abandon();
        self.frames.clear();
        self.actions.clear();
        self.work = None;
    }

    /// Says what became of the calls; whether the client has any, and what was spent beside the last answer of the model
    /// itself.
    pub(super) fn finish(&mut self) -> (Option<bool>, Usage) {
        let ended = Ended::of(&self.splicer);
        let has_called = ended.has_called;
        self.calls.ended(ended);
        (has_called, self.spent)
    }

    /// Gets on with it, one step.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Next> {
        loop {
            if let Some(work) = &mut self.work {
                match work.poll(cx) {
                    Poll::Ready(done) => {
                        (self.work, self.beat) = (None, None);
                        if let Some(opened) = self.take(done) {
                            return Poll::Ready(Next::GoOn(opened));
                        }
                    }
                    Poll::Pending => return self.keep_company(cx),
                }
            } else if let Some(action) = self.actions.pop_front() {
                match action {
                    Action::Forward(bytes) => return Poll::Ready(Next::Forward(bytes)),
                    Action::Ask(ask) => self.work = Some(Work::Deciding(ask.call, self.calls.decide(ask))),
                    Action::Write(writes) => self.work = Some(Work::Writing(self.calls.write(writes))),
                    Action::GoOn(go_on) => self.work = Some(Work::GoingOn(self.calls.go_on(go_on))),
                    Action::Over => return Poll::Ready(Next::Over),
                }
            } else if let Some(frame) = self.frames.pop_front() {
                self.actions.extend(self.splicer.frame(&frame));
            } else if self.upstream == Upstream::Ended {
                self.upstream = Upstream::Told;
                self.actions.extend(self.splicer.end());
            } else {
                return Poll::Ready(Next::Read);
            }
        }
    }

    /// Takes in what came of the work.
    fn take(&mut self, done: Done) -> Option<Box<Opened>> {
        match done {
            Done::Decided(call, answer) => self.actions.extend(self.splicer.answer(call, answer)),
            Done::Written(written) => {
                for Written { call, arguments, usage } in written {
                    self.spent = self.spent.plus(usage);
                    self.actions.extend(self.splicer.written(call, arguments, usage));
                }
            }
            Done::Opened(opened) => match opened {
                Ok(opened) => {
                    self.upstream = Upstream::Open;
                    return Some(opened);
                }
                Err(error) => {
                    tracing::warn!("the model could not be asked to go on: {}", error.message);
                    self.actions.extend(self.splicer.stay());
                }
            },
        }
        None
    }

    /// Says at every beat what is going on.
    fn keep_company(&mut self, cx: &mut Context<'_>) -> Poll<Next> {
        ready!(self.beat.get_or_insert_with(beat).poll_tick(cx));
        Poll::Ready(Next::Forward(written::comment(&self.calls.say())))
    }
}

/// When a waiting client is told what is going on.
pub(super) fn beat() -> Interval {
    let mut beat = tokio::time::interval_at(Instant::now() + BEAT, BEAT);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    beat
}

/// What came of the work.
enum Done {
    Decided(CallNumber, Answer<Way>),
    Written(Vec<Written>),
    Opened(Result<Box<Opened>, Error>),
}

impl fmt::Debug for Splice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Splice").field("splicer", &self.splicer).finish_non_exhaustive()
    }
}

// === impl Work ===

impl Work {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Done> {
        match self {
            Self::Deciding(call, answer) => answer.as_mut().poll(cx).map(|it| Done::Decided(*call, it)),
            Self::Writing(written) => written.as_mut().poll(cx).map(Done::Written),
            Self::GoingOn(opening) => opening.as_mut().poll(cx).map(|it| Done::Opened(it.map(Box::new))),
        }
    }
}
