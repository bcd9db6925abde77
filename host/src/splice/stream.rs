//! A running answer: whole frames pass as they came, in one piece as far as nothing is to be done about them. Where skills
//! look at tool calls, frames that matter go through the splice first.
//!
//! It tells its [`Ends`] exactly once how the exchange ended, whatever happens. The model's lease ends when its upstream
//! does, which is before its calls are written by others. Held bytes are bounded by one upstream chunk, one unfinished
//! frame, and what the splicer may hold.

use std::collections::VecDeque;
use std::future::Future as _;
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, Sleep};

use super::body::{Ending, Ends, Opened, Outcome};
use super::calls::{Next, Splice};
use super::silence::{SILENCE_MAX, Silence};
use super::slot::{Piece, Slot};
use crate::error::{Error, Fault};
use crate::residency::{End, Lease};
use crate::wire::answer::{Seen, Usage, Watch};
use crate::wire::fault;
use crate::wire::sse::{Decoder, Frame};

/// After the terminator the upstream may take this long to end its body, so that its connection can be used again.
const TAIL: Duration = Duration::from_millis(250);

/// A running answer.
pub(super) struct Streaming {
    pub(super) lease: Option<Lease>,
    pub(super) upstream: Arc<Slot>,
    pub(super) decoder: Decoder,
    pub(super) watch: Watch,
    pub(super) first_token: Option<Instant>,
    pub(super) ready: VecDeque<Bytes>,
    pub(super) phase: Phase,
    pub(super) silence: Silence,
    pub(super) scratch: Vec<Frame>,
    /// Where skills look at tool calls.
    pub(super) splice: Option<Splice>,
    /// By answers of the same model before the one that runs.
    pub(super) spent: Usage,
    pub(super) ends: Box<dyn Ends>,
}

/// How far a running answer is.
pub(super) enum Phase {
    /// Frames are coming.
    Open,
    /// The upstream has said all; calls are still under way.
    Splicing,
    /// All has been said; the upstream's own end is awaited for so long.
    Tail(Option<Pin<Box<Sleep>>>),
    /// Nothing more will come.
    Over,
}

// === impl Streaming ===

impl Streaming {
    pub(super) fn new(opened: Opened, ends: Box<dyn Ends>) -> Self {
        let Opened { lease, upstream, first, watch, decoder, done, first_token, splice } = opened;
        let mut streaming = Self {
            lease: None,
            upstream: Arc::new(upstream),
            decoder,
            watch,
            first_token: Some(first_token),
            ready: VecDeque::new(),
            phase: Phase::Open,
            silence: Silence::default(),
            scratch: Vec::new(),
            splice,
            spent: Usage::default(),
            ends,
        };
        streaming.begin(lease, first, done);
        streaming
    }

    /// Begins to pass an answer on, with what was read of it already.
    fn begin(&mut self, lease: Lease, first: VecDeque<Bytes>, done: bool) {
        let slot = self.upstream.clone();
        lease.on_abort(Box::new(move || slot.empty()));
        self.lease = Some(lease);
        if self.splice.is_none() {
            self.ready.extend(first);
            if done {
                self.whole();
            }
            return;
        }
        let mut decoder = Decoder::default();
        for bytes in first {
            let mut frames = Vec::new();
            // It was decoded before: it has no faults, and nothing is left over.
            if let Ok(whole) = decoder.feed(bytes, &mut frames) {
                self.frames(&mut frames, &whole);
            }
        }
    }

    /// The same model goes on in an answer of its own, after its calls were withheld.
    fn go_on(&mut self, opened: Opened) {
        let Opened { lease, upstream, first, watch, decoder, done, .. } = opened;
        let before = std::mem::replace(&mut self.watch, watch);
        self.spent = self.spent.plus(before.usage.unwrap_or_default());
        (self.upstream, self.decoder, self.phase) = (Arc::new(upstream), decoder, Phase::Open);
        self.begin(lease, first, done);
    }

    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        loop {
            if let Some(bytes) = self.ready.pop_front() {
                if let Some(lease) = &self.lease {
                    lease.meter().delivered();
                }
                return Poll::Ready(Some(bytes));
            }
            if let (Phase::Open | Phase::Splicing, Some(splice)) = (&self.phase, &mut self.splice) {
                match ready!(splice.poll(cx)) {
                    Next::Read => {}
                    Next::Forward(bytes) => {
                        self.ready.push_back(bytes);
                        continue;
                    }
                    Next::GoOn(opened) => {
                        self.go_on(*opened);
                        continue;
                    }
                    Next::Over => {
                        self.completed();
                        continue;
                    }
                }
            }
            match &mut self.phase {
                Phase::Over => return Poll::Ready(None),
                Phase::Tail(limit) => {
                    ready!(poll_tail(&self.upstream, limit, cx));
                    self.phase = Phase::Over;
                }
                // The splicer has nothing more to say, so that was all.
                Phase::Splicing => self.completed(),
                Phase::Open => match self.upstream.poll(cx) {
                    Poll::Ready(piece) => self.take(piece),
                    Poll::Pending => {
                        if let Some(lease) = &self.lease {
                            lease.meter().waiting();
                        }
                        ready!(self.silence.poll(cx));
                        self.fail(silent());
                    }
                },
            }
        }
    }

    /// Takes in what the upstream gave.
    fn take(&mut self, piece: Piece) {
        self.silence.broken();
        match piece {
            Piece::Data(chunk) => self.chunk(chunk),
            Piece::End => self.end(),
            Piece::Broken(cause) => self.fail(broken(&format!("the provider's stream broke off: {cause}"))),
            Piece::Emptied => self.fail(Error::new(
                Fault::Gateway,
                504,
                "client_too_slow",
                "broken off by the gateway: the model was needed by others, or the gateway is shutting down",
            )),
        }
    }

    fn chunk(&mut self, chunk: Bytes) {
        let mut frames = std::mem::take(&mut self.scratch);
        match self.decoder.feed(chunk, &mut frames) {
            Ok(whole) => self.frames(&mut frames, &whole),
            Err(error) => self.fail(broken(&error.to_string())),
        }
        frames.clear();
        self.scratch = frames;
    }

    /// Passes whole frames on.
    fn frames(&mut self, frames: &mut Vec<Frame>, whole: &Bytes) {
        let mut passing = 0..0;
        for frame in frames.drain(..) {
            let end = passing.end + frame.bytes().len();
            let seen = self.watch.frame(&frame);
            if let Seen::Error(message) = seen {
                self.forward(whole, passing);
                return self.fail(fault::provider(502, &message));
            }
            match &mut self.splice {
                Some(splice) if splice.wants(&self.watch, &frame) => {
                    splice.frame(frame);
                    self.forward(whole, passing);
                    passing = end..end;
                }
                _ => passing.end = end,
            }
            if seen == Seen::Done {
                self.forward(whole, passing);
                return self.whole();
            }
        }
        self.forward(whole, passing);
    }

    fn forward(&mut self, whole: &Bytes, passing: Range<usize>) {
        if !passing.is_empty() {
            let bytes = whole.slice(passing);
            if let Some(splice) = &mut self.splice {
                splice.passed(&bytes);
            }
            self.ready.push_back(bytes);
        }
    }

    /// The upstream's body ended; without a terminator that is an error, never success. Of an event that was not ended,
    /// only the terminator and errors are taken: whatever else it is may be torn.
    fn end(&mut self) {
        let torn = self.decoder.finish();
        match torn.map(|frame| (self.watch.frame(&frame), frame)) {
            Some((Seen::Done, frame)) => {
                // There is no tail to wait for: an upstream that has ended must not be asked again.
                self.upstream.empty();
                match &mut self.splice {
                    Some(splice) if splice.wants(&self.watch, &frame) => splice.frame(frame),
                    _ => self.ready.push_back(frame.bytes().clone()),
                }
                self.whole();
            }
            Some((Seen::Error(message), _)) => self.fail(fault::provider(502, &message)),
            Some((Seen::Comment | Seen::Delta, _)) | None => {
                self.fail(broken("the provider's stream ended without its terminator"));
            }
        }
    }

    /// The upstream has said all: its model is free, whatever becomes of its calls.
    fn whole(&mut self) {
        if let Some(lease) = self.lease.take() {
            lease.finish(End::answered(self.watch.tool_calls));
        }
        match &mut self.splice {
            Some(splice) if !splice.is_idle() => {
                splice.end();
                self.phase = Phase::Splicing;
            }
            _ => self.completed(),
        }
    }

    /// All has been said.
    fn completed(&mut self) {
        self.phase = Phase::Tail(None);
        self.tell(Outcome::Whole);
    }

    /// The answer cannot be completed: the client is told in its stream, and the stream properly ended.
    fn fail(&mut self, error: Error) {
        self.phase = Phase::Over;
        if let Some(splice) = &mut self.splice {
            splice.abandon();
        }
        self.ready.push_back(fault::openai_frames(&error));
        self.upstream.empty();
        let gone = fault::class(&error.message) == fault::Class::Gone;
        if let Some(lease) = self.lease.take() {
            lease.finish(if gone { End::Gone } else { End::Failed });
        }
        self.tell(Outcome::Failed(error));
    }

    fn tell(&mut self, outcome: Outcome) {
        let mut watch = std::mem::take(&mut self.watch);
        let (has_called, spent) = self.splice.take().map(|mut splice| splice.finish()).unwrap_or_default();
        watch.settle(has_called, self.spent.plus(spent));
        self.ends.ended(Ending { outcome, watch, first_token: self.first_token });
    }
}

impl Drop for Streaming {
    fn drop(&mut self) {
        self.upstream.empty();
        // What is under way for its calls ends before anybody is told.
        if let Some(splice) = &mut self.splice {
            splice.abandon();
        }
        self.tell(Outcome::ClientLeft);
    }
}

fn broken(message: &str) -> Error {
    Error::new(Fault::Provider, 502, "stream_broken", message)
}

fn silent() -> Error {
    let message = format!("the provider's stream has said nothing for {} s", SILENCE_MAX.as_secs());
    Error::new(Fault::Provider, 504, "provider_timeout", message)
}

/// Waits for the upstream's own end, for a short while.
fn poll_tail(upstream: &Slot, limit: &mut Option<Pin<Box<Sleep>>>, cx: &mut Context<'_>) -> Poll<()> {
    loop {
        match upstream.poll(cx) {
            Poll::Ready(Piece::Data(_)) => {}
            Poll::Ready(_) => return Poll::Ready(()),
            Poll::Pending => break,
        }
    }
    let limit = limit.get_or_insert_with(|| Box::pin(tokio::time::sleep(TAIL)));
    limit.as_mut().poll(cx)
}
