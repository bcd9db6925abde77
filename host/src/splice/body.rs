//! The response body: one hand-written state machine that owns the answer and, before its model is there, the attempt to
//! get one. There is no task per request: hyper polls this, and drops it when the client leaves.
//!
//! It tells its [`Ends`] exactly once how the exchange ended, whatever happens.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::time::{Instant, Interval};

use super::calls::{Splice, beat};
use super::slot::Slot;
use super::stream::Streaming;
use crate::error::Error;
use crate::residency::Lease;
use crate::wire::answer::Watch;
use crate::wire::fault;
use crate::wire::sse::Decoder;
use crate::wire::written;

/// How often a waiting client is told what is going on.
pub const BEAT: Duration = Duration::from_secs(5);

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
    /// Where skills look at tool calls.
    pub splice: Option<Splice>,
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
        let said = VecDeque::from([chunk, written::comment(&say())]);
        Self(State::Waiting(Box::new(Waiting { opening, said, beat: beat(), say, ends })))
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

#[cfg(test)]
mod tests;
