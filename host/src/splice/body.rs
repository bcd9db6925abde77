//! The response body: one hand-written state machine that owns the lease and, before its model is there, the attempt to
//! get one. There is no task per request: hyper polls this, and drops it when the client leaves.
//!
//! It tells its [`Ends`] exactly once how the exchange ended, whatever happens. Held bytes are bounded by one upstream
//! chunk and one unfinished frame.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::time::{Instant, Interval, MissedTickBehavior, Sleep};

use super::silence::{SILENCE_MAX, Silence};
use super::slot::{Piece, Slot};
use crate::error::{Error, Fault};
use crate::residency::{End, Lease};
use crate::wire::answer::{Seen, Watch};
use crate::wire::fault;
use crate::wire::sse::{self, Decoder};
use crate::wire::written;

/// How often a waiting client is told what is going on.
pub const BEAT: Duration = Duration::from_secs(5);

/// After the terminator the upstream may take this long to end its body, so that its connection can be used again.
const TAIL: Duration = Duration::from_millis(250);

/// A streamed answer whose first frame is there.
#[derive(Debug)]
pub struct Opened {
    /// The claim on the instance that answers.
    pub lease: Lease,
    /// The rest of the answer.
    pub upstream: Slot,
    /// Frames read so far, to be forwarded first.
    pub first: VecDeque<Bytes>,
    /// What was read of them.
    pub watch: Watch,
    /// What of the next frame has come.
    pub decoder: Decoder,
    /// The terminator was among the first frames.
    pub done: bool,
    /// When the first frame came.
    pub first_token: Instant,
}

/// The attempt to open an answer; dropping it leaves the queue or closes the upstream.
pub type Opening = Pin<Box<dyn Future<Output = Result<Opened, Error>> + Send>>;

/// Is told how an exchange ended. Only the first telling counts.
pub trait Ends: Send {
    /// It ended.
    fn ended(&mut self, ending: Ending);
}

/// How an exchange ended.
#[derive(Debug)]
pub struct Ending {
    /// In one word.
    pub outcome: Outcome,
    /// What was seen of the answer.
    pub watch: Watch,
    /// When its first frame came.
    pub first_token: Option<Instant>,
}

/// How an exchange ended, in one word.
#[derive(Debug)]
pub enum Outcome {
    /// The answer is whole.
    Whole,
    /// It is not.
    Failed(Error),
    /// The client left first.
    ClientLeft,
}

/// A response's body.
pub struct ResponseBody(State);

enum State {
    /// All there is to send.
    Fixed(Option<Bytes>),
    /// The stream was opened before its model was there.
    Waiting(Box<Waiting>),
    /// The model answers.
    Streaming(Box<Streaming>),
}

struct Waiting {
    opening: Opening,
    said: VecDeque<Bytes>,
    beat: Interval,
    say: Box<dyn Fn() -> String + Send>,
    ends: Box<dyn Ends>,
}

struct Streaming {
    lease: Option<Lease>,
    upstream: Arc<Slot>,
    decoder: Decoder,
    watch: Watch,
    first_token: Option<Instant>,
    ready: VecDeque<Bytes>,
    phase: Phase,
    silence: Silence,
    scratch: Vec<sse::Frame>,
    ends: Box<dyn Ends>,
}

enum Phase {
    /// Frames are coming.
    Open,
    /// The terminator has been seen; the upstream's own end is awaited for so long.
    Tail(Option<Pin<Box<Sleep>>>),
    /// Nothing more will come.
    Over,
}

// === impl ResponseBody ===

impl ResponseBody {
    /// A body that is all there.
    pub fn fixed(bytes: Bytes) -> Self {
        Self(State::Fixed(Some(bytes)))
    }

    /// A stream whose first frame is there.
    pub fn streaming(opened: Opened, ends: Box<dyn Ends>) -> Self {
        Self(State::Streaming(Box::new(Streaming::new(opened, ends))))
    }

    /// A stream that is opened now, with `chunk`, and says at every beat what it waits for.
    pub fn waiting(
        chunk: Bytes,
        opening: Opening,
        say: Box<dyn Fn() -> String + Send>,
        ends: Box<dyn Ends>,
    ) -> Self {
        let mut beat = tokio::time::interval_at(Instant::now() + BEAT, BEAT);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let said = VecDeque::from([chunk, written::comment(&say())]);
        Self(State::Waiting(Box::new(Waiting { opening, said, beat, say, ends })))
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        loop {
            let next = match &mut self.0 {
                State::Fixed(bytes) => return Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
                State::Waiting(waiting) => match ready!(waiting.poll(cx)) {
                    Wait::Say(bytes) => return Poll::Ready(Some(Ok(Frame::data(bytes)))),
                    Wait::Opened(opened, ends) => State::Streaming(Box::new(Streaming::new(*opened, ends))),
                    Wait::Failed(error) => State::Fixed(Some(fault::openai_frames(&error))),
                },
                State::Streaming(streaming) => {
                    return streaming.poll(cx).map(|bytes| bytes.map(|bytes| Ok(Frame::data(bytes))));
                }
            };
            self.0 = next;
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            State::Fixed(bytes) => SizeHint::with_exact(
                bytes.as_ref().map_or(0, |bytes| u64::try_from(bytes.len()).unwrap_or(u64::MAX)),
            ),
            State::Waiting(_) | State::Streaming(_) => SizeHint::default(),
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self.0, State::Fixed(None))
    }
}

// === impl Waiting ===

enum Wait {
    Say(Bytes),
    Opened(Box<Opened>, Box<dyn Ends>),
    Failed(Error),
}

impl Waiting {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Wait> {
        if let Some(bytes) = self.said.pop_front() {
            return Poll::Ready(Wait::Say(bytes));
        }
        if let Poll::Ready(opened) = self.opening.as_mut().poll(cx) {
            let ends = std::mem::replace(&mut self.ends, Box::new(Nobody));
            return Poll::Ready(match opened {
                Ok(mut opened) => {
                    // Headers named the first choice; who serves in the end is said here.
                    opened
                        .first
                        .push_front(written::comment(&format!("answered by {}", opened.lease.model())));
                    Wait::Opened(Box::new(opened), ends)
                }
                Err(error) => Self::failed(error, ends),
            });
        }
        ready!(self.beat.poll_tick(cx));
        Poll::Ready(Wait::Say(written::comment(&(self.say)())))
    }

    fn failed(error: Error, mut ends: Box<dyn Ends>) -> Wait {
        let outcome = Outcome::Failed(error.clone());
        ends.ended(Ending { outcome, watch: Watch::default(), first_token: None });
        Wait::Failed(error)
    }
}

/// Stands in for an [`Ends`] that has been handed on.
struct Nobody;

impl Ends for Nobody {
    fn ended(&mut self, _: Ending) {}
}

// === impl Streaming ===

impl Streaming {
    fn new(opened: Opened, ends: Box<dyn Ends>) -> Self {
        let upstream = Arc::new(opened.upstream);
        let slot = upstream.clone();
        opened.lease.on_abort(Box::new(move || slot.empty()));
        let mut streaming = Self {
            lease: Some(opened.lease),
            upstream,
            decoder: opened.decoder,
            watch: opened.watch,
            first_token: Some(opened.first_token),
            ready: opened.first,
            phase: Phase::Open,
            silence: Silence::default(),
            scratch: Vec::new(),
            ends,
        };
        if opened.done {
            streaming.whole();
        }
        streaming
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        loop {
            if let Some(bytes) = self.ready.pop_front() {
                if let Some(lease) = &self.lease {
                    lease.meter().delivered();
                }
                return Poll::Ready(Some(bytes));
            }
            match &mut self.phase {
                Phase::Over => return Poll::Ready(None),
                Phase::Tail(limit) => {
                    ready!(poll_tail(&self.upstream, limit, cx));
                    self.phase = Phase::Over;
                }
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

    /// Forwards whole frames: all at once where none of them is an error, which is nearly always.
    fn chunk(&mut self, chunk: Bytes) {
        let mut frames = std::mem::take(&mut self.scratch);
        match self.decoder.feed(chunk, &mut frames) {
            Ok(whole) => self.frames(&mut frames, whole),
            Err(error) => self.fail(broken(&error.to_string())),
        }
        frames.clear();
        self.scratch = frames;
    }

    fn frames(&mut self, frames: &mut [sse::Frame], whole: Bytes) {
        let mut forwarded = 0;
        for frame in frames.iter() {
            match self.watch.frame(frame) {
                Seen::Comment | Seen::Delta => forwarded += frame.bytes().len(),
                Seen::Done => {
                    forwarded += frame.bytes().len();
                    self.forward(&whole, forwarded);
                    return self.whole();
                }
                Seen::Error(message) => {
                    self.forward(&whole, forwarded);
                    return self.fail(fault::provider(502, &message));
                }
            }
        }
        self.forward(&whole, forwarded);
    }

    fn forward(&mut self, whole: &Bytes, upto: usize) {
        if upto > 0 {
            self.ready.push_back(whole.slice(..upto));
        }
    }

    /// The upstream's body ended; without a terminator that is an error, never success. Of an event that was not ended,
    /// only the terminator and errors are taken: whatever else it is may be torn.
    fn end(&mut self) {
        let torn = self.decoder.finish();
        match torn.as_ref().map(|frame| (self.watch.frame(frame), frame)) {
            Some((Seen::Done, frame)) => {
                self.ready.push_back(frame.bytes().clone());
                self.whole();
                // There is no tail to wait for: an upstream that has ended must not be asked again.
                self.phase = Phase::Over;
            }
            Some((Seen::Error(message), _)) => self.fail(fault::provider(502, &message)),
            Some((Seen::Comment | Seen::Delta, _)) | None => {
                self.fail(broken("the provider's stream ended without its terminator"));
            }
        }
    }

    /// The terminator has been seen.
    fn whole(&mut self) {
        self.phase = Phase::Tail(None);
        self.over(End::answered(self.watch.tool_calls), Outcome::Whole);
    }

    /// The answer cannot be completed: the client is told in its stream, and the stream properly ended.
    fn fail(&mut self, error: Error) {
        self.phase = Phase::Over;
        self.ready.push_back(fault::openai_frames(&error));
        self.upstream.empty();
        let gone = fault::class(&error.message) == fault::Class::Gone;
        self.over(if gone { End::Gone } else { End::Failed }, Outcome::Failed(error));
    }

    fn over(&mut self, end: End, outcome: Outcome) {
        if let Some(lease) = self.lease.take() {
            lease.finish(end);
        }
        self.ends.ended(Ending {
            outcome,
            watch: std::mem::take(&mut self.watch),
            first_token: self.first_token,
        });
    }
}

impl Drop for Streaming {
    fn drop(&mut self) {
        self.upstream.empty();
        let watch = std::mem::take(&mut self.watch);
        self.ends.ended(Ending { outcome: Outcome::ClientLeft, watch, first_token: self.first_token });
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

#[cfg(test)]
mod tests;
