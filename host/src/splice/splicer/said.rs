//! What the model has said to the user in this message. Frames are only kept as they pass, and read when somebody asks, so
//! that an answer without calls costs next to nothing.
//!
//! Bounded by [`UNREAD_BYTES_MAX`] of frames (more are read, and forgotten) and [`TEXT_BYTES_MAX`] of text (of more, the
//! end is kept).

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::wire::calls::Dialect;
use crate::wire::sse::Decoder;

/// Frames that are kept unread: most answers that lead to a call are shorter.
const UNREAD_BYTES_MAX: usize = 256 * 1024;

/// More text than any model writes in one message.
const TEXT_BYTES_MAX: usize = 1024 * 1024;

/// The text of each choice.
#[derive(Debug, Default)]
pub(super) struct Said {
    unread: Vec<Bytes>,
    unread_bytes: usize,
    texts: BTreeMap<u32, String>,
}

impl Said {
    /// Keeps whole frames of a stream.
    pub(super) fn keep(&mut self, frames: Bytes, dialect: &dyn Dialect) {
        self.unread_bytes += frames.len();
        self.unread.push(frames);
        if self.unread_bytes > UNREAD_BYTES_MAX {
            self.read_frames(dialect);
        }
    }

    /// Reads an event at once.
    pub(super) fn read(&mut self, event: &Bytes, dialect: &dyn Dialect) {
        let texts = &mut self.texts;
        dialect.said(event, &mut |choice, more| {
            let text = texts.entry(choice).or_default();
            text.push_str(more);
            if text.len() > TEXT_BYTES_MAX {
                text.drain(..text.ceil_char_boundary(text.len() - TEXT_BYTES_MAX));
            }
        });
    }

    /// The text of a choice.
    pub(super) fn text(&mut self, choice: u32, dialect: &dyn Dialect) -> String {
        self.read_frames(dialect);
        self.texts.get(&choice).cloned().unwrap_or_default()
    }

    /// The choices that have said anything, were it only that they are there.
    pub(super) fn choices(&mut self, dialect: &dyn Dialect) -> impl Iterator<Item = u32> {
        self.read_frames(dialect);
        self.texts.keys().copied()
    }

    fn read_frames(&mut self, dialect: &dyn Dialect) {
        let (mut decoder, mut frames) = (Decoder::default(), Vec::new());
        for bytes in std::mem::take(&mut self.unread) {
            // Frames that came in whole are no longer than a decoder takes.
            let _ = decoder.feed(bytes, &mut frames);
        }
        self.unread_bytes = 0;
        frames.iter().for_each(|frame| self.read(frame.bytes(), dialect));
    }
}
