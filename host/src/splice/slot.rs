//! The place where a running answer's upstream is kept. It can be emptied from outside: a body whose client reads nothing
//! is not polled, so it could not drop its upstream by itself. A body that is waiting for its upstream is woken then, so
//! that its client is told.

use std::fmt::Display;
use std::pin::Pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http_body::Body;
use http_body_util::BodyExt;
use http_body_util::combinators::UnsyncBoxBody;

/// An upstream body, or the gap it left.
#[derive(Debug)]
pub struct Slot(Mutex<Held>);

#[derive(Debug)]
struct Held {
    body: Option<UnsyncBoxBody<Bytes, String>>,
    /// Who waits for the body's next piece.
    waiting: Option<Waker>,
}

/// What the upstream gave.
#[derive(Debug)]
pub enum Piece {
    /// Bytes of the answer.
    Data(Bytes),
    /// The body's end.
    End,
    /// The connection broke.
    Broken(String),
    /// Somebody emptied the slot.
    Emptied,
}

// === impl Slot ===

impl Slot {
    /// A slot with this body in it.
    pub fn new<B>(body: B) -> Self
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Display,
    {
        let body = body.map_err(|error| error.to_string()).boxed_unsync();
        Self(Mutex::new(Held { body: Some(body), waiting: None }))
    }

    /// Drops the upstream, which closes its connection: the provider stops generating.
    pub fn empty(&self) {
        let mut held = self.lock();
        let (body, waiting) = (held.body.take(), held.waiting.take());
        drop(held);
        // Who is woken may poll at once, and finds the slot free and empty.
        if body.is_some()
            && let Some(waiting) = waiting
        {
            waiting.wake();
        }
    }

    /// The next piece.
    pub fn poll(&self, cx: &mut Context<'_>) -> Poll<Piece> {
        let mut held = self.lock();
        let Held { body, waiting } = &mut *held;
        let Some(body) = body.as_mut() else { return Poll::Ready(Piece::Emptied) };
        loop {
            return match Pin::new(&mut *body).poll_frame(cx) {
                Poll::Pending => {
                    match waiting {
                        Some(waiting) => waiting.clone_from(cx.waker()),
                        None => *waiting = Some(cx.waker().clone()),
                    }
                    Poll::Pending
                }
                Poll::Ready(None) => Poll::Ready(Piece::End),
                Poll::Ready(Some(Err(cause))) => Poll::Ready(Piece::Broken(cause)),
                Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                    Ok(data) => Poll::Ready(Piece::Data(data)),
                    Err(_trailers) => continue,
                },
            };
        }
    }

    fn lock(&self) -> MutexGuard<'_, Held> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
