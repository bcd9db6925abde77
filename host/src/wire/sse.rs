//! Server-sent events, taken apart into whole frames. A frame is passed on as the bytes it came in; nothing is passed on
//! torn, so whatever the gateway adds stands between frames.
//!
//! Bounded by [`FRAME_BYTES_MAX`]: a frame that never ends is an error, not a growing buffer.

use std::ops::Range;

use bytes::{Bytes, BytesMut};
use memchr::memchr;

/// Bytes of one frame. A delta is a few hundred; a whole tool call or an image in one stays below this.
pub const FRAME_BYTES_MAX: usize = 4 * 1024 * 1024;

/// A frame that never ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a stream event is longer than {FRAME_BYTES_MAX} bytes")]
pub struct FrameTooLong;

/// Takes bytes as they come and gives back whole frames.
#[derive(Debug, Default)]
pub struct Decoder {
    partial: BytesMut,
}

/// One event, the blank line after it included.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    raw: Bytes,
}

// === impl Decoder ===

impl Decoder {
    /// Appends to `frames` those that `chunk` completes, and gives back their bytes as one piece.
    pub fn feed(&mut self, chunk: Bytes, frames: &mut Vec<Frame>) -> Result<Bytes, FrameTooLong> {
        let searched = self.partial.len().saturating_sub(3);
        let buffer = if self.partial.is_empty() {
            chunk
        } else {
            self.partial.extend_from_slice(&chunk);
            self.partial.split().freeze()
        };
        let mut start = 0;
        let mut from = searched;
        while let Some(end) = frame_end(&buffer, from) {
            frames.push(Frame { raw: buffer.slice(start..end) });
            (start, from) = (end, end);
        }
        self.partial.extend_from_slice(buffer.get(start..).unwrap_or_default());
        if self.partial.len() > FRAME_BYTES_MAX { Err(FrameTooLong) } else { Ok(buffer.slice(..start)) }
    }

    /// The stream has ended: what is left over, if a server left out the last blank line.
    pub fn finish(&mut self) -> Option<Frame> {
        let rest = self.partial.split().freeze();
        let blank = rest.iter().all(u8::is_ascii_whitespace);
        (!blank).then(|| {
            let mut raw = BytesMut::from(rest.as_ref());
            raw.extend_from_slice(b"\n\n");
            Frame { raw: raw.freeze() }
        })
    }
}

/// The offset just past the first blank line at or after `from`.
fn frame_end(buffer: &[u8], mut from: usize) -> Option<usize> {
    loop {
        let newline = from + memchr(b'\n', buffer.get(from..)?)?;
        match buffer.get(newline + 1..) {
            Some([b'\n', ..]) => return Some(newline + 2),
            Some([b'\r', b'\n', ..]) => return Some(newline + 3),
            _ => from = newline + 1,
        }
    }
}

// === impl Frame ===

impl From<Bytes> for Frame {
    /// An event that was taken apart from others before.
    fn from(raw: Bytes) -> Self {
        Self { raw }
    }
}

impl Frame {
    /// The frame as it came.
    pub fn bytes(&self) -> &Bytes {
        &self.raw
    }

    /// The payload: the first `data:` line, without its prefix. Chat servers never use more than one.
    pub fn data(&self) -> Option<&[u8]> {
        self.field(b"data:").and_then(|range| self.raw.get(range))
    }

    /// The event's name, where it has one.
    pub fn event(&self) -> Option<&[u8]> {
        self.field(b"event:").and_then(|range| self.raw.get(range))
    }

    fn field(&self, name: &[u8]) -> Option<Range<usize>> {
        let mut at = 0;
        loop {
            let rest = self.raw.get(at..)?;
            let end = memchr(b'\n', rest)?;
            if rest.starts_with(name) {
                let line = rest.get(name.len()..end)?;
                let lead = line.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
                let trail = line.iter().rev().take_while(|byte| byte.is_ascii_whitespace()).count();
                let start = at + name.len() + lead;
                return Some(start..(at + end - trail).max(start));
            }
            at += end + 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: &str = ": hello\n\ndata: {\"a\":1}\n\nevent: error\r\ndata:  x \r\n\r\ndata: [DONE]\n\n";

    fn decode(pieces: &[&[u8]]) -> Vec<Frame> {
        let mut decoder = Decoder::default();
        let mut frames = Vec::new();
        for piece in pieces {
            decoder.feed(Bytes::copy_from_slice(piece), &mut frames).unwrap();
        }
        frames.extend(decoder.finish());
        frames
    }

    #[test]
    fn frames_carry_their_fields() {
        let frames = decode(&[STREAM.as_bytes()]);
        let data: Vec<_> = frames.iter().map(|frame| frame.data().map(String::from_utf8_lossy)).collect();
        assert_eq!(data, [None, Some("{\"a\":1}".into()), Some("x".into()), Some("[DONE]".into())]);
        assert_eq!(frames[2].event(), Some(&b"error"[..]));
    }

    #[test]
    fn any_split_gives_the_same_frames() {
        let whole = decode(&[STREAM.as_bytes()]);
        for first in 0..STREAM.len() {
            for second in first..STREAM.len() {
                let bytes = STREAM.as_bytes();
                assert_eq!(decode(&[&bytes[..first], &bytes[first..second], &bytes[second..]]), whole);
            }
        }
    }

    #[test]
    fn a_last_frame_without_its_blank_line_is_kept() {
        let frames = decode(&[b"data: 1\n\ndata: [DONE]"]);
        assert_eq!(frames[1].data(), Some(&b"[DONE]"[..]));
    }

    #[test]
    fn a_frame_without_end_is_an_error() {
        let mut decoder = Decoder::default();
        let fed = decoder.feed(Bytes::from(vec![b'x'; FRAME_BYTES_MAX + 1]), &mut Vec::new());
        assert_eq!(fed, Err(FrameTooLong));
    }
}
