//! The place where a running answer's upstream is kept. It can be emptied from outside: a body whose client reads nothing
//! is not polled, so it could not drop its upstream by itself.

use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::Body;
use hyper::body::Incoming;

/// An upstream body, or the gap it left.
#[derive(Debug)]
pub struct Slot(Mutex<Option<Incoming>>);

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
    pub fn new(body: Incoming) -> Self {
        Self(Mutex::new(Some(body)))
    }

    /// Drops the upstream, which closes its connection: the provider stops generating.
    pub fn empty(&self) {
        drop(self.0.lock().unwrap_or_else(PoisonError::into_inner).take());
    }

    /// The next piece.
    pub fn poll(&self, cx: &mut Context<'_>) -> Poll<Piece> {
        let mut slot = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(body) = slot.as_mut() else { return Poll::Ready(Piece::Emptied) };
        loop {
            return match Pin::new(&mut *body).poll_frame(cx) {
                Poll::Pending => Poll::Pending,
                Poll::Ready(None) => Poll::Ready(Piece::End),
                Poll::Ready(Some(Err(error))) => Poll::Ready(Piece::Broken(error.to_string())),
                Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                    Ok(data) => Poll::Ready(Piece::Data(data)),
                    Err(_trailers) => continue,
                },
            };
        }
    }
}
