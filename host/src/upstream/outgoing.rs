//! A request body in pieces, sent one after another without being joined. Its length is known, so it is sent with
//! `Content-Length`, and it can be cloned for another attempt at the price of a few reference counts.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use crate::wire::edit::Pieces;

/// The body.
#[derive(Debug)]
pub struct Outgoing {
    pieces: std::vec::IntoIter<Bytes>,
    left: u64,
}

// === impl Outgoing ===

impl Outgoing {
    /// A body of these pieces.
    pub fn new(pieces: Pieces) -> Self {
        let left = u64::try_from(pieces.len()).unwrap_or(u64::MAX);
        Self { pieces: pieces.into_inner().into_iter(), left }
    }
}

impl Body for Outgoing {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let Some(piece) = self.pieces.next() else { return Poll::Ready(None) };
        self.left = self.left.saturating_sub(u64::try_from(piece.len()).unwrap_or(u64::MAX));
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.pieces.len() == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}
