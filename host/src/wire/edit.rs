//! Edits on a body as bytes: the parts between them are slices of the original, never copies.

use std::ops::Range;

use bytes::Bytes;

/// A body after edits: pieces to be sent one after another.
#[derive(Debug, Clone, Default)]
pub struct Pieces {
    pieces: Vec<Bytes>,
}

/// One replacement.
#[derive(Debug, Clone)]
pub struct Edit {
    /// The bytes to go.
    pub range: Range<usize>,
    /// What stands in their place.
    pub with: Bytes,
}

/// Applies edits that do not overlap, in any order.
pub fn apply(raw: &Bytes, mut edits: Vec<Edit>) -> Pieces {
    edits.sort_by_key(|edit| edit.range.start);
    let mut pieces = Vec::with_capacity(edits.len() * 2 + 1);
    let mut at = 0;
    for edit in edits {
        debug_assert!(edit.range.start >= at, "edits overlap");
        pieces.push(raw.slice(at.min(edit.range.start)..edit.range.start));
        pieces.push(edit.with);
        at = edit.range.end;
    }
    pieces.push(raw.slice(at.min(raw.len())..));
    pieces.retain(|piece| !piece.is_empty());
    Pieces { pieces }
}

// === impl Pieces ===

impl Pieces {
    /// A body of one piece.
    pub fn whole(body: Bytes) -> Self {
        Self { pieces: vec![body] }
    }

    /// Bytes in all.
    pub fn len(&self) -> usize {
        self.pieces.iter().map(Bytes::len).sum()
    }

    /// Nothing to send.
    pub fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// The pieces, in order.
    pub fn into_inner(self) -> Vec<Bytes> {
        self.pieces
    }

    /// All pieces as one, copied.
    pub fn concat(&self) -> Vec<u8> {
        self.pieces.concat()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edits_change_what_they_name() {
        let raw = Bytes::from_static(b"0123456789");
        let edit = |range: Range<usize>, with: &'static str| Edit {
            range,
            with: Bytes::from_static(with.as_bytes()),
        };
        let cases: [(Vec<Edit>, &str); 4] = [
            (vec![], "0123456789"),
            (vec![edit(3..5, "abc")], "012abc56789"),
            (vec![edit(8..10, ""), edit(0..1, "xx")], "xx1234567"),
            (vec![edit(1..1, "-")], "0-123456789"),
        ];
        for (edits, expected) in cases {
            let pieces = apply(&raw, edits);
            assert_eq!(String::from_utf8(pieces.concat()).unwrap(), expected);
            assert_eq!(pieces.len(), expected.len());
        }
    }
}
